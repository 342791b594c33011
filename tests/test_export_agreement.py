"""All formats answer the same rows alike: predictions, intervals, sets, missing cells, and cells that are not valid."""

import importlib.util
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from chainrule import load
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.errors import TableError
from chainrule.export import to_c, to_js, to_python
from chainrule.export.c_columns import raw_rows
from chainrule.files.model import digest_of
from exported import TABLES, calibrated, predictions_of, query_table

onnxruntime = pytest.importorskip("onnxruntime")
to_onnx = pytest.importorskip("chainrule.export.onnx").to_onnx
COMPILER, NODE = shutil.which("cc"), shutil.which("node")
MODELS = {
    "numbers": NumberTarget("y", (300.0,), (100.0,)),
    "logarithms": NumberTarget("y", (3.0,), (0.7,), transform="log"),
    "classes": ClassTarget("y", "str", ("a", "b", "c"), (0.2, 0.3, 0.5)),
}
COVERAGE = 0.8
C = """
#define M_IMPLEMENTATION
#define M_OPTION
#include "m.h"
#include <stdio.h>
int main(void)
{
    double x[M_N_IN];
    while (fread(x, sizeof x, 1, stdin) == 1) {
        float out[M_N_OUT], low[M_N_OUT], high[M_N_OUT];
        unsigned char contained[M_N_OUT];
        int j, status = m_predict(x, out);
        CALIBRATED;
        printf("%d", status);
        for (j = 0; j < M_N_OUT; j++) printf(" %.9g", (double)out[j]);
        for (j = 0; j < M_N_OUT; j++) PRINT;
        printf("\\n");
    }
    return 0;
}
"""
JS = """
import { readFileSync } from "node:fs";
const m = await import(process.argv[1]), rows = JSON.parse(readFileSync(0, "utf8"));
rows.push({ ...rows[0], height: Infinity }, { ...rows[0], born: "10000-01-01" });
const inSet = (row) => m.schema.labels.map((label) => Number(m.predictSet(row, COVERAGE).includes(label)));
const certain = (row) => m.predictSet ? inSet(row) : m.predictInterval(row, COVERAGE);
const answers = rows.map((row) => {
  try { return [m.predictProba ? Object.values(m.predictProba(row)) : [m.predict(row)], certain(row)].flat(); }
  catch (error) { return error.column; }
});
console.log(JSON.stringify([m.schema, answers]));
"""


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    """A calibrated model, and rows with extreme numbers, missing cells and unseen categories."""
    table = {
        name: [None if cell is None or cell != cell else cell for cell in np.asarray(cells, object).tolist()]
        for name, cells in query_table("all kinds", 24).items()
    }
    model = calibrated(TABLES["all kinds"], MODELS[request.param], members=2)
    rows = [dict(zip(table, cells)) for cells in zip(*table.values())]
    predictions = predictions_of(model, rows)
    if request.param == "classes":
        sets = model.predict_set(rows, COVERAGE)
        certain = np.array([[label in one for label in model.target.labels] for one in sets])
    else:
        certain = model.predict_interval(rows, COVERAGE)
    for wrong in ({"height": np.inf}, {"born": "10000-01-01"}):
        with pytest.raises(TableError):
            model.predict([rows[0] | wrong])
    return model, rows, np.hstack([predictions, certain])


def require_equal(answers, expected):
    finite = np.where(np.isfinite(expected), expected, 0)
    np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-5 * np.abs(finite).max())


def require_schema(schema, model):
    assert schema["schema"] == 1
    assert schema["model"] == digest_of(model)
    assert [column["name"] for column in schema["columns"]] == [column.name for column in model.encoder.columns]


@pytest.mark.parametrize("pure", [False, True], ids=["NumPy", "pure"])
def test_python(pure, case, tmp_path):
    model, rows, expected = case
    to_python(model, tmp_path / "m.py", pure=pure)
    spec = importlib.util.spec_from_file_location("m", tmp_path / "m.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.schema["labels"] is None:
        answers = [[y, *ends] for y, ends in zip(module.predict(rows), module.predict_interval(rows, COVERAGE))]
    else:
        sets = module.predict_set(rows, COVERAGE)
        is_in = [[label in one for label in module.schema["labels"]] for one in sets]
        answers = [[*P, *one] for P, one in zip(module.predict_proba(rows), is_in)]
        assert module.predict_set(rows, 0.6, by_class=True) == model.predict_set(rows, 0.6, by_class=True)
        json.dumps(sets)
    require_equal(json.loads(json.dumps(answers)), expected)
    require_schema(module.schema, model)
    for wrong, column in [({"height": np.inf}, "height"), ({"born": "10000-01-01"}, "born")]:
        with pytest.raises(ValueError, match=f"column '{column}', row 1: expected "):
            module.predict([rows[0] | wrong])


@pytest.mark.skipif(NODE is None, reason="there is no node")
def test_javascript(case, tmp_path):
    model, rows, expected = case
    to_js(model, tmp_path / "m.mjs")
    code, address = JS.replace("COVERAGE", str(COVERAGE)), (tmp_path / "m.mjs").as_uri()
    command = [NODE, "--input-type=module", "-e", code, address]
    done = subprocess.run(command, input=json.dumps(rows), capture_output=True, text=True, check=True)
    schema, answers = json.loads(done.stdout)
    assert answers[-2:] == ["height", "born"]
    require_equal(np.array(answers[:-2], float), expected)
    require_schema(schema, model)


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
def test_c(case, tmp_path):
    model, rows, expected = case
    to_c(model, tmp_path / "m.h")
    classes = isinstance(model.target, ClassTarget)
    call = "m_set(x, 0.8f, contained)" if classes else "m_interval(x, 0.8f, low, high)"
    show = 'printf(" %d", contained[j])' if classes else 'printf(" %.9g %.9g", (double)low[j], (double)high[j])'
    code = C.replace("M_OPTION", "M_SETS" if classes else "M_INTERVALS").replace("PRINT", show)
    (tmp_path / "use.c").write_text(code.replace("CALIBRATED", f"if ({call} != status) return 1"))
    flags = ["-std=c99", "-O1", str(tmp_path / "use.c"), "-o", str(tmp_path / "use"), "-lm"]
    subprocess.run([COMPILER, *flags], check=True)
    x = raw_rows(model.encoder.columns, rows)
    names = [column.name for column in model.encoder.columns]
    wrong = np.tile(x[0], (2, 1))
    wrong[0, names.index("height")], wrong[1, names.index("born")] = np.inf, 1.6e9  # seconds for days
    given = np.concatenate([x, wrong]).tobytes()
    done = subprocess.run([tmp_path / "use"], input=given, capture_output=True, check=True)
    answers = np.array([line.split() for line in done.stdout.decode().splitlines()], float)
    assert answers[:, 0].tolist() == [0.0] * len(rows) + [1.0 + names.index("height"), 1.0 + names.index("born")]
    assert np.isnan(answers[-2:, 1 : 1 + model.target.n_outputs]).all()
    require_equal(answers[:-2, 1:], expected)
    require_schema(json.loads(re.search(r"^ *schema +(\{.*\})", (tmp_path / "m.h").read_text(), re.M)[1]), model)


def test_onnx(case, tmp_path):
    model, rows, expected = case
    to_onnx(model, tmp_path / "m.onnx", coverage=COVERAGE)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    inputs, places = {}, {}
    for source, dtype in (("numbers", np.float64), ("dates", np.float64), ("categories", object)):
        columns = [column for column in model.encoder.columns if column.source == source]
        places |= {column.name: (source, j) for j, column in enumerate(columns)}
        cells = raw_rows(columns, rows) if dtype is not object else None
        inputs[source] = (
            cells if cells is not None else np.array([[r[c.name] or "" for c in columns] for r in rows], object)
        )
    inputs = {name: np.concatenate([cells, cells[:1], cells[:1]]) for name, cells in inputs.items()}
    for row, name, cell in ((-2, "height", np.inf), (-1, "born", 1.6e9)):
        source, j = places[name]
        inputs[source][row, j] = cell
    outputs = dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs)))
    if "label" in outputs:
        assert outputs["label"].tolist() == [*model.predict(rows).tolist(), "", ""]
        assert np.isnan(outputs["probabilities"][-2:]).all()
        answers = np.hstack([outputs["probabilities"], outputs["contained"]])
    else:
        answers = np.hstack([outputs["predictions"], outputs["low"], outputs["high"]])
        assert np.isnan(answers[-2:]).all()
    require_equal(answers[:-2], expected)
    (metadata,) = session.get_modelmeta().custom_metadata_map.values()
    require_schema(json.loads(metadata)["schema"], model)


def test_the_digest_is_that_of_the_file(case, tmp_path):
    model, _, _ = case
    model.save(tmp_path / "m.chainrule")
    loaded = load(tmp_path / "m.chainrule")
    loaded.metadata["note"] = "not computed with"
    assert digest_of(loaded) == digest_of(model)
    loaded.ensemble.networks[0].theta[0] += 1
    assert digest_of(loaded) != digest_of(model)
