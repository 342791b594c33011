import ast
import json
import math
import shutil
import subprocess
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest

from chainrule import Predictor, TabularEncoder, load, mlp
from chainrule.data import columns, features, synthetic
from chainrule.data.columns import READERS, Column
from chainrule.data.features import Feature, Index, Levels, Missing, Ramps, SmoothClip, Value, Wave
from chainrule.data.layout import Layout
from chainrule.data.targets import fit_target
from chainrule.export import c_columns, javascript, schema, to_c, to_js, to_python
from chainrule.export.standalone import cells
from fuzz_model_file import GOLDEN

FEATURES = [kind for kind in vars(features).values() if isinstance(kind, type) and Feature in kind.__bases__]


def test_encoded_matrices_are_the_same_as_ever():
    saved = json.loads((GOLDEN / "encoded.json").read_text("utf-8"))
    encoder = TabularEncoder(n_bins=3).fit(saved["train"])
    assert encoder.get_feature_names_out().tolist() == saved["names"]
    expected = np.array(saved["expected"], np.float32)
    waves = [" sin" in name or " cos" in name for name in saved["names"]]  # math libraries differ in the last bit
    rows = [dict(zip(saved["new"], row)) for row in zip(*saved["new"].values())]
    for table in (saved["new"], rows):
        X = encoder.transform(table)
        np.testing.assert_array_equal(X[:, ~np.array(waves)], expected[:, ~np.array(waves)])
        np.testing.assert_allclose(X[:, waves], expected[:, waves], rtol=1e-6, atol=1e-7)


# One entry for each feature in each back end.


def test_every_feature_has_an_encoder_and_is_exported():
    assert len(FEATURES) >= 6
    assert set(features.ENCODERS) == set(FEATURES)
    assert set(c_columns.PRINTERS) == set(javascript.PRINTERS) == set(FEATURES)
    assert set(cells.FEATURES) == {kind.__name__ for kind in FEATURES}


def test_onnx_has_every_feature():
    pytest.importorskip("onnxruntime")
    from chainrule.export import onnx_columns

    assert set(onnx_columns.PRINTERS) == set(FEATURES)
    assert set(onnx_columns.INPUTS) == set(READERS)


def test_every_source_is_read_and_drawn():
    assert set(READERS) == set(cells.READERS) == set(synthetic.CELLS)
    assert set(READERS) == set(c_columns.CHECKS) == set(schema.KINDS)


@dataclass(frozen=True)
class Cell(Column):
    """A column with any features."""

    name: str
    source: str
    listed: tuple
    features = property(lambda self: self.listed)
    categories: tuple = ("a", "b", "c")
    index = columns.CategoryColumn.index

    def check(self):
        pass


def by_the_formula(feature, x):
    """Return the features of a number, None where missing, by a naive loop."""
    if x is None:
        return [float(isinstance(feature, Missing))] * feature.width
    match feature:
        case SmoothClip():
            z = (x - feature.center) * feature.scale
            return [z / math.hypot(1, z / 3)]
        case Ramps():
            return [min(max((x - low) / (high - low), 0), 1) for low, high in pairwise(feature.edges)]
        case Missing():
            return [0.0]
        case Levels() if feature.width == 1:
            return [(-1.0, 1.0)[x]]
        case Levels():
            return [float(k == x) for k in range(feature.width)]
        case Index():
            return [x + 1.0]
        case Wave():
            return [math.sin(2 * math.pi * x / feature.period), math.cos(2 * math.pi * x / feature.period)]
        case Value():
            return [x]


NUMBERS = [None, 0.0, -3.5, 2.0, 1e6, 17.25, None, 7.0]
CASES = {
    "smooth clip": (SmoothClip(1.5, 0.25), NUMBERS),
    "ramps": (Ramps((-4.0, 0.0, 3.0, 20.0)), NUMBERS),
    "missing": (Missing(), NUMBERS),
    "levels": (Levels(("a", "b", "c")), [None, 0, 2, 1, 0]),
    "index": (Index(("a", "b", "c")), [None, 0, 2, 1, 0]),
    "wave": (Wave(7, ""), NUMBERS),
    "value": (Value(), NUMBERS[1:6]),
}


@pytest.mark.parametrize("n", [1, 5, 2000])
@pytest.mark.parametrize("name", CASES)
def test_features_are_their_formulas_in_numpy_and_in_python(name, n):
    feature, numbers = CASES[name]
    numbers = (numbers * n)[:n]
    source = {"levels": "categories", "index": "categories", "value": "X"}.get(name, "numbers")
    given = [None if x is None else "abc"[x] for x in numbers] if source == "categories" else numbers
    column = Cell("a", source, (Missing(), feature) if source == "numbers" else (feature,))
    X = TabularEncoder()
    X.columns, X.layout = [column], Layout([column])
    encoded = X.transform({"a": given})[:, source == "numbers" :]
    expected = [by_the_formula(feature, x) for x in numbers]
    np.testing.assert_allclose(encoded, np.array(expected, np.float32), rtol=1e-6, atol=1e-7)
    arguments = [value for key, value in vars(feature).items() if key != "part"]
    described = {"features": [[type(feature).__name__, "", feature.width, *arguments]]}
    for x, row in zip(numbers[:8], expected):
        single = cells.encode_cell(described, {"": math.nan if x is None else x})
        np.testing.assert_allclose(single, row, rtol=1e-9, atol=1e-12)


# A new kind of column is one entry.


@dataclass(frozen=True)
class Dose(Column):
    """A number of milligrams with thresholds, and whether it was given at all."""

    name: str
    thresholds: tuple[float, ...]
    kind: ClassVar[str] = "dose"
    source: ClassVar[str] = "numbers"

    @property
    def features(self):
        return Ramps(self.thresholds), Missing(), SmoothClip(10.0, 0.1)

    def check(self):
        assert list(self.thresholds) == sorted(self.thresholds)


@pytest.fixture
def predictor(monkeypatch, rng):
    monkeypatch.setitem(columns.COLUMNS, "dose", Dose)
    table = {"dose": rng.normal(10, 10, 60), "sex": ["f", "m", "m"] * 20}
    encoder = TabularEncoder().fit(table)
    encoder.columns = [encoder.columns[1], Dose("dose", (0.0, 5.0, 20.0))]
    encoder.layout = Layout(encoder.columns)
    target = fit_target("y", rng.normal(size=60))
    return Predictor(encoder, mlp(encoder.n_features, 5, 1, seed=0), target)


def test_a_new_kind_of_column_is_encoded_and_saved(predictor, tmp_path):
    X = predictor.encoder.transform([{"dose": 15, "sex": "m"}, {"dose": None, "sex": "f"}, {"dose": "2.5", "sex": "?"}])
    clipped = [by_the_formula(SmoothClip(10.0, 0.1), dose)[0] for dose in (15, None, 2.5)]
    expected = [[1, 1, 2 / 3, 0, clipped[0]], [-1, 0, 0, 1, 0], [0, 0.5, 0, 0, clipped[2]]]
    np.testing.assert_allclose(X, expected, rtol=1e-6)
    names = ["sex=m", "dose bin 1", "dose bin 2", "dose is missing", "dose"]
    assert predictor.encoder.get_feature_names_out().tolist() == names
    predictor.save(tmp_path / "model")
    assert load(tmp_path / "model").encoder.columns == predictor.encoder.columns


@pytest.mark.parametrize("pure", [False, True])
def test_a_new_kind_of_column_is_exported_to_python(pure, predictor, tmp_path):
    assert to_python(predictor, tmp_path / "model.py", pure=pure).difference < 1e-5


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_new_kind_of_column_is_exported_to_c(predictor, tmp_path):
    to_c(predictor, tmp_path / "model.h")
    command = ["cc", "-std=c99", "-DMODEL_SELF_TEST", "-x", "c", tmp_path / "model.h", "-o", tmp_path / "test", "-lm"]
    subprocess.run(command, check=True)
    subprocess.run([tmp_path / "test"], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_a_new_kind_of_column_is_exported_to_javascript(predictor, tmp_path):
    to_js(predictor, tmp_path / "model.mjs")
    test = "import('./model.mjs').then((m) => process.exit(m.selfTest().ok ? 0 : 1))"
    subprocess.run(["node", "-e", test], check=True, cwd=tmp_path)


def test_a_new_kind_of_column_is_exported_to_onnx(predictor, tmp_path):
    pytest.importorskip("onnxruntime")
    from chainrule.export import to_onnx, verify_onnx

    to_onnx(predictor, tmp_path / "model.onnx")
    assert verify_onnx(tmp_path / "model.onnx") < 1e-5


@pytest.mark.parametrize("write", [to_c, to_js, to_python])
def test_a_column_that_marks_missing_categories_is_not_exported(write, predictor, tmp_path):
    predictor.encoder.columns[1] = Cell("sex", "categories", (Levels(("f", "m")), Missing()))
    with pytest.raises(ValueError, match="model must not mark missing categories, as column 'sex' does"):
        write(predictor, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_exporters_know_no_kind_of_column():
    kinds = {kind.__name__ for kind in columns.COLUMNS.values()}
    for path in files("chainrule.export").iterdir():
        if path.name.endswith(".py"):
            used = {node.id for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Name)}
            assert not used & kinds, path.name
