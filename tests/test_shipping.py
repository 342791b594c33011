"""Saved `MLPClassifier` and `MLPRegressor`: the file and every export predict like the estimator."""

import csv
import importlib.util
import json
import re

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from chainrule import MLPClassifier, MLPRegressor, Predictor, TabularClassifier, TabularEncoder, load, mlp
from chainrule.app import commands
from chainrule.data.columns import RawColumn
from chainrule.errors import TableError
from chainrule.estimators.shipping import number_target
from chainrule.export import to_c, to_onnx, to_python
from chainrule.export.onnx import run_golden
from chainrule.nn.losses import Quantile

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N = 40
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
CLASSES = {
    "strings": RNG.choice(["a b", "ü", "z"], N),
    "two strings": RNG.choice(["no", "yes"], N),
    "integers": RNG.choice([3, 7, 11], N).astype(np.int16),
    "floats": RNG.choice([1.0, 2.0], N),
    "booleans": RNG.random(N) < 0.5,
    "objects": RNG.choice(["left", "right", "up"], N).astype(object),
}
NUMBERS = {
    "one": {"y": 1000 + 50 * X[:, 0]},
    "several": {"y": X @ RNG.normal(size=(3, 2))},
    "counts": {"y": RNG.poisson(3, N), "loss": "poisson"},
    "bounded": {"y": RNG.random(N), "output_range": (0, 1)},
    "quantiles": {"y": X[:, 0], "loss": Quantile((0.1, 0.5, 0.9))},
}
QUICK = {"hidden_layer_sizes": (6,), "max_iter": 3, "tol": 0, "random_state": 0}


def fitted(kind, rows=X):
    if kind in CLASSES:
        return quickly(MLPClassifier(**QUICK), rows, CLASSES[kind])
    parameters = dict(NUMBERS[kind])
    y = parameters.pop("y")
    return quickly(MLPRegressor(**QUICK, **parameters), rows, y)


def quickly(model, rows, y):
    return model.fit(rows, y)


def dicts(names=("x0", "x1", "x2")):
    return [dict(zip(names, row)) for row in X.tolist()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [*CLASSES, *NUMBERS])
def test_the_file_predicts_like_the_estimator(kind, dtype, tmp_path):
    rows = X.astype(dtype)
    model = fitted(kind, rows)
    model.save(tmp_path / "model.chainrule")
    predictor = load(tmp_path / "model.chainrule")
    for table in (rows, dicts(), pl.DataFrame(dicts())):
        if kind in CLASSES:
            np.testing.assert_allclose(predictor.predict_proba(table), model.predict_proba(rows), atol=1e-6)
            np.testing.assert_array_equal(predictor.predict(table), model.predict(rows))
            assert predictor.predict(table).dtype.kind == ("U" if kind == "objects" else CLASSES[kind].dtype.kind)
        else:
            np.testing.assert_allclose(predictor.predict(table), model.predict(rows), rtol=1e-5, atol=1e-5)
    assert predictor.metadata["estimator"] == type(model).__name__
    assert predictor.metadata["epochs"] == [3]


def test_named_columns_are_read_by_name(tmp_path):
    model = fitted("strings", pl.DataFrame(X, schema=["a", "b", "c"]))
    model.save(tmp_path / "model.chainrule")
    predictor = load(tmp_path / "model.chainrule")
    turned = [dict(reversed(row.items())) for row in dicts("abc")]
    np.testing.assert_array_equal(predictor.predict(turned), predictor.predict(dicts("abc")))
    with pytest.raises(TableError, match="columns 'a', 'b', 'c' are missing"):
        predictor.predict(X)


@pytest.mark.parametrize(
    ("number", "problem"), [(np.nan, "(missing|nan)"), (1e300, r"1e\+300.*float32|float32.*1e\+300")]
)
def test_an_invalid_number_is_reported_with_its_column_and_row(number, problem):
    predictor, rows = fitted("one").predictor_, X.copy()
    rows[4, 1] = number
    for table in (rows, {f"x{j}": column for j, column in enumerate(rows.T)}):
        with pytest.raises(TableError, match=f"column 'x1'(?=.*row 5)(?=.*({problem}))"):
            predictor.predict(table)
    rows[4, 1] = np.inf
    with pytest.raises(TableError, match=r"column 'x1'(?=.*row 5)(?=.*inf)"):
        predictor.predict(rows)


def test_raw_columns_are_in_the_order_of_the_names():
    encoder = TabularEncoder.raw(["x3", "x0", "x1"])
    wide = RNG.normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(encoder.transform(wide), wide[:, [3, 0, 1]])
    np.testing.assert_array_equal(encoder.transform({"x3": [1], "x0": [True], "x1": ["2.5"]}), [[1, 1, 2.5]])
    assert (
        TabularEncoder.from_state(encoder.state()).columns
        == encoder.columns
        == list(map(RawColumn, ["x3", "x0", "x1"]))
    )
    with pytest.raises(ValueError, match=r"names must .*\[\'a\', \'a\'\]"):
        TabularEncoder.raw(["a", "a"])


def test_the_class_prior_is_the_class_frequencies():
    model = fitted("two strings")
    expected = [np.mean(CLASSES["two strings"] == label) for label in ("no", "yes")]
    np.testing.assert_allclose(model.class_prior_, expected)
    np.testing.assert_allclose(model.predictor_.target.frequencies, expected)
    np.testing.assert_allclose(fitted("strings").class_prior_.sum(), 1)


def test_an_estimator_made_from_a_network_can_be_saved(tmp_path):
    network = mlp(3, 5, 1, loss="binary_cross_entropy", seed=0)
    model = MLPClassifier.from_network(network, classes=["no", "yes"])
    model.save(tmp_path / "model.chainrule")
    np.testing.assert_allclose(load(tmp_path / "model.chainrule").predict_proba(X)[:, 1:], network(X), atol=1e-6)


def test_a_model_that_cannot_be_saved_is_rejected_and_nothing_is_written(tmp_path):
    labels = RNG.integers(0, 2, (N, 3))
    several = quickly(MLPClassifier(**QUICK), X, labels)
    with pytest.raises(ValueError, match="a multilabel classifier cannot be saved as a Predictor"):
        several.save(tmp_path / "model.chainrule")
    single = quickly(MLPClassifier(**QUICK), X, np.zeros(N))
    with pytest.raises(ValueError, match="classes_ must hold at least 2 classes to be saved, got "):
        single.save(tmp_path / "model.chainrule")
    custom = quickly(MLPRegressor(lambda Z, Y: ((Z - Y) ** 2, 2 * (Z - Y)), **QUICK), X, X[:, 0])
    with pytest.raises(ValueError, match=r"a model with a .* cannot be saved"):
        custom.save(tmp_path / "model.chainrule")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["strings", "two strings", "one", "several"])
def test_every_export_predicts_like_the_estimator(kind, tmp_path):
    model = fitted(kind)
    for write, name in ((to_c, "model.h"), (to_python, "model.py")):
        assert write(model.predictor_, tmp_path / name).difference < 1e-5
    spec = importlib.util.spec_from_file_location("shipped", tmp_path / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if kind in CLASSES:
        assert module.predict(dicts()) == model.predict(X).tolist()
    else:
        np.testing.assert_allclose(module.predict(dicts()), model.predict(X), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"column 'x2'(?=.*row 1)(?=.*None)"):
        module.predict([{"x0": 1, "x1": 2, "x2": None}])


@pytest.mark.parametrize("kind", ["strings", "two strings", "one", "several"])
def test_onnx_takes_the_matrix_unchanged(kind, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, path = fitted(kind), tmp_path / "model.onnx"
    to_onnx(model.predictor_, path)
    assert run_golden(path.read_bytes()) < 1e-5
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    *labels, predictions = session.run(None, {"X": X.astype(np.float32)})
    if kind in CLASSES:
        assert labels[0].tolist() == model.predict(X).tolist()
        np.testing.assert_allclose(predictions, model.predict_proba(X), atol=1e-5)
    else:
        np.testing.assert_allclose(predictions.squeeze(), model.predict(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["MLPClassifier", "TabularClassifier"])
def test_the_command_line_reads_saved_estimators(kind, tmp_path, monkeypatch, brief_reports):
    monkeypatch.chdir(tmp_path)
    table = pl.DataFrame(X, schema=["a", "b", "c"])
    if kind == "MLPClassifier":
        model = fitted("strings", table)
    else:
        model = TabularClassifier(quality="fast", n_folds=2, epochs=2, random_state=0).fit(table, CLASSES["strings"])
    model.save("model.chainrule")
    name = model.predictor_.target.name
    with open("rows.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", name])
        writer.writerows([*row, label] for row, label in zip(X, CLASSES["strings"]))

    def run(*arguments):
        done = CliRunner().invoke(commands.app, list(arguments))
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "a  " in run("inspect", "model.chainrule")
    assert json.loads(run("inspect", "model.chainrule", "--json"))["task"] == "classification"
    assert run("predict", "model.chainrule", "rows.csv").splitlines()[0] == name
    assert "accuracy" in run("evaluate", "model.chainrule", "rows.csv")
    run("report", "model.chainrule", "rows.csv", "--out", "page.html")
    assert re.search("What matters|Permutation importance", (tmp_path / "page.html").read_text())


@pytest.mark.parametrize("kind", ["several", "quantiles"])
def test_the_command_line_predicts_several_outputs_but_does_not_score_them(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = fitted(kind)
    model.save("model.chainrule")
    pl.DataFrame(dicts()).with_columns(y=X[:, 0]).write_csv("rows.csv")
    runner = CliRunner()
    assert (
        runner.invoke(commands.app, ["predict", "model.chainrule", "rows.csv", "--out", "predictions.csv"]).exit_code
        == 0
    )
    predicted, expected = pl.read_csv("predictions.csv"), model.predict(X)
    assert predicted.columns == [f"y{j}" for j in range(expected.shape[1])]
    np.testing.assert_allclose(predicted.to_numpy(), expected, rtol=1e-5, atol=1e-5)
    for command in ("evaluate", "report", "trace"):
        done = runner.invoke(commands.app, [command, "model.chainrule", "rows.csv"])
        assert done.exit_code == 2
        assert re.search(rf"\b{predicted.width}\b", done.stderr)
    with pytest.raises(TableError, match=rf"target 'y' must have {predicted.width} .*, got 1"):
        load("model.chainrule").target.encode(X[:, 0])


def test_a_predictor_without_metadata_can_be_inspected(tmp_path):
    predictor = Predictor(TabularEncoder.raw(["a", "b"]), mlp(2, 3, 1, seed=0), number_target(1))
    predictor.save(tmp_path / "model.chainrule")
    done = CliRunner().invoke(commands.app, ["inspect", str(tmp_path / "model.chainrule")])
    assert done.exit_code == 0, done.output
    assert "regression of y" in done.stdout
