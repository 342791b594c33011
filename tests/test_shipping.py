"""`MLPClassifier` and `MLPRegressor` as one file: it answers as they do, by name or by place, and every export too."""

import csv
import importlib.util
import json

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
    "texts": RNG.choice(["a b", "ü", "z"], N),
    "two texts": RNG.choice(["no", "yes"], N),
    "whole numbers": RNG.choice([3, 7, 11], N).astype(np.int16),
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
def test_the_file_answers_as_the_estimator_does(kind, dtype, tmp_path):
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


def test_columns_that_had_names_are_asked_for_by_name(tmp_path):
    model = fitted("texts", pl.DataFrame(X, schema=["a", "b", "c"]))
    model.save(tmp_path / "model.chainrule")
    predictor = load(tmp_path / "model.chainrule")
    turned = [dict(reversed(row.items())) for row in dicts("abc")]
    np.testing.assert_array_equal(predictor.predict(turned), predictor.predict(dicts("abc")))
    with pytest.raises(TableError, match="column 'a' is missing from the table"):
        predictor.predict(X)


@pytest.mark.parametrize(
    ("number", "said"), [(np.nan, "got a missing value"), (1e300, r"range of float32, got 1e\+300")]
)
def test_a_number_that_is_none_is_named_by_column_and_row(number, said):
    predictor, rows = fitted("one").predictor_, X.copy()
    rows[4, 1] = number
    for table in (rows, {f"x{j}": column for j, column in enumerate(rows.T)}):
        with pytest.raises(TableError, match=f"column 'x1', row 5: .* {said}"):
            predictor.predict(table)
    rows[4, 1] = np.inf
    with pytest.raises(TableError, match="column 'x1', row 5: expected a finite number, got inf"):
        predictor.predict(rows)


def test_raw_columns_stand_where_they_are_asked_for():
    encoder = TabularEncoder.raw(["x3", "x0", "x1"])
    wide = RNG.normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(encoder.transform(wide), wide[:, [3, 0, 1]])
    np.testing.assert_array_equal(encoder.transform({"x3": [1], "x0": [True], "x1": ["2.5"]}), [[1, 1, 2.5]])
    assert (
        TabularEncoder.from_state(encoder.state()).columns
        == encoder.columns
        == list(map(RawColumn, ["x3", "x0", "x1"]))
    )
    with pytest.raises(ValueError, match="names must be distinct, at least one"):
        TabularEncoder.raw(["a", "a"])


def test_class_shares_are_those_of_the_rows():
    model = fitted("two texts")
    expected = [np.mean(CLASSES["two texts"] == label) for label in ("no", "yes")]
    np.testing.assert_allclose(model.class_prior_, expected)
    np.testing.assert_allclose(model.predictor_.target.frequencies, expected)
    np.testing.assert_allclose(fitted("texts").class_prior_.sum(), 1)


def test_a_network_that_was_adopted_is_saved_like_any_other(tmp_path):
    network = mlp(3, 5, 1, loss="binary_cross_entropy", seed=0)
    model = MLPClassifier.from_network(network, classes=["no", "yes"])
    model.save(tmp_path / "model.chainrule")
    np.testing.assert_allclose(
        load(tmp_path / "model.chainrule").predict_proba(X)[:, 1:], network(X), atol=1e-6
    )


def test_what_no_predictor_answers_is_refused_and_nothing_is_written(tmp_path):
    labels = RNG.integers(0, 2, (N, 3))
    several = quickly(MLPClassifier(**QUICK), X, labels)
    with pytest.raises(ValueError, match="must answer one label a row to be saved"):
        several.save(tmp_path / "model.chainrule")
    single = quickly(MLPClassifier(**QUICK), X, np.zeros(N))
    with pytest.raises(ValueError, match="classes_ must be two at least for a model that is saved"):
        single.save(tmp_path / "model.chainrule")
    own = quickly(MLPRegressor(lambda Z, Y: ((Z - Y) ** 2, 2 * (Z - Y)), **QUICK), X, X[:, 0])
    with pytest.raises(ValueError, match="custom"):
        own.save(tmp_path / "model.chainrule")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["texts", "two texts", "one", "several"])
def test_every_export_answers_as_the_estimator_does(kind, tmp_path):
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
    with pytest.raises(
        ValueError, match="column 'x2' must hold a finite number in every row, however row 1 holds None"
    ):
        module.predict([{"x0": 1, "x1": 2, "x2": None}])


@pytest.mark.parametrize("kind", ["texts", "two texts", "one", "several"])
def test_onnx_takes_the_matrix_as_it_is(kind, tmp_path):
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
def test_the_command_line_reads_what_estimators_saved(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pl.DataFrame(X, schema=["a", "b", "c"])
    model = (
        fitted("texts", table) if kind == "MLPClassifier" else TabularClassifier(n_members=2, epochs=2, random_state=0)
    )
    if kind == "TabularClassifier":
        model.fit(table, CLASSES["texts"])
    model.save("model.chainrule")
    name = model.predictor_.target.name
    with open("rows.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", name])
        writer.writerows([*row, label] for row, label in zip(X, CLASSES["texts"]))

    def run(*arguments):
        done = CliRunner().invoke(commands.app, list(arguments))
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "a  " in run("inspect", "model.chainrule")
    assert json.loads(run("inspect", "model.chainrule", "--json"))["task"] == "classification"
    assert run("predict", "model.chainrule", "rows.csv").splitlines()[0] == name
    assert "accuracy" in run("evaluate", "model.chainrule", "rows.csv")
    run("report", "model.chainrule", "rows.csv", "--out", "page.html")
    assert "What matters" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("kind", ["several", "quantiles"])
def test_the_command_line_answers_several_numbers_a_row_and_scores_none(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = fitted(kind)
    model.save("model.chainrule")
    pl.DataFrame(dicts()).with_columns(y=X[:, 0]).write_csv("rows.csv")
    runner = CliRunner()
    assert runner.invoke(commands.app, ["predict", "model.chainrule", "rows.csv", "--out", "told.csv"]).exit_code == 0
    told, expected = pl.read_csv("told.csv"), model.predict(X)
    assert told.columns == [f"y{j}" for j in range(expected.shape[1])]
    np.testing.assert_allclose(told.to_numpy(), expected, rtol=1e-5, atol=1e-5)
    for command in ("evaluate", "report", "trace"):
        done = runner.invoke(commands.app, [command, "model.chainrule", "rows.csv"])
        assert done.exit_code == 2
        assert f"the model must answer one number a row, the target, got it answers {told.width}" in done.stderr
    with pytest.raises(TableError, match=rf"target 'y' must have {told.width} columns, got 1"):
        load("model.chainrule").target.encode(X[:, 0])


def test_a_predictor_without_a_passport_is_inspected_all_the_same(tmp_path):
    predictor = Predictor(TabularEncoder.raw(["a", "b"]), mlp(2, 3, 1, seed=0), number_target(1))
    predictor.save(tmp_path / "model.chainrule")
    done = CliRunner().invoke(commands.app, ["inspect", str(tmp_path / "model.chainrule")])
    assert done.exit_code == 0, done.output
    assert "regression of y: numbers, as the network gives them" in done.stdout
