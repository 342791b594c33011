import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest

from chainrule import Activation, Adam, Dense, Network, Periodic, Scale, load, mlp, train
from chainrule.data.reading import read_columns
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import fit_target
from chainrule.errors import MissingExtraError
from chainrule.model.fitting import fit_predictor
from chainrule.model.predictor import Predictor

rows = np.random.default_rng(0)
HEIGHT = rows.normal(size=200)
TABLE = {
    "height": HEIGHT.tolist(),
    "color": rows.choice(["red", "green", "blue"], 200).tolist(),
    "spare": [None if i % 7 == 0 else float(i % 5) for i in range(200)],
}
TARGETS = {
    "text": np.where(HEIGHT > 0, "tall", "short"),
    "booleans": HEIGHT > 0,
    "integers": np.where(HEIGHT > 0, 7, 3).astype(np.int16),
    "numbers": 1e6 + 1e4 * HEIGHT,
}


def predictor_for(values, metadata=None):
    encoder, target = TabularEncoder().fit(TABLE), fit_target("y", values)
    net = mlp(encoder.n_features, 16, target.n_outputs, activation="tanh", loss=target.loss, seed=0)
    train(net, encoder.transform(TABLE), target.encode(values), optimizer=Adam(0.02), epochs=40, batch_size=32)
    return Predictor(encoder, net, target, metadata)


@pytest.fixture(scope="module")
def predictors():
    return {name: predictor_for(values) for name, values in TARGETS.items()}


@pytest.mark.parametrize("name", ["text", "booleans", "integers"])
def test_predicted_labels_are_right_and_of_their_own_type(name, predictors):
    predictions = predictors[name].predict(TABLE)
    assert predictions.dtype == TARGETS[name].dtype
    assert (predictions == TARGETS[name]).mean() > 0.97


def test_predicted_numbers_are_in_the_targets_unit(predictors):
    predictions = predictors["numbers"].predict(TABLE)
    assert predictions.shape == (200,)
    assert np.abs(predictions - TARGETS["numbers"]).mean() < 1e3


def test_probabilities_have_one_column_per_class(predictors):
    P = predictors["text"].predict_proba(TABLE)
    assert P.shape == (200, 2)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-5)
    assert predictors["text"].classes.tolist() == ["short", "tall"]
    np.testing.assert_array_equal(predictors["text"].classes[P.argmax(axis=1)], predictors["text"].predict(TABLE))


def test_only_classifiers_have_classes_and_probabilities(predictors):
    with pytest.raises(ValueError, match="predict_proba is only available for classifiers, got a regression model"):
        predictors["numbers"].predict_proba(TABLE)
    assert not hasattr(predictors["numbers"], "classes")


@pytest.mark.parametrize(
    "form",
    [
        lambda: {name: TABLE[name] for name in reversed(TABLE)},
        lambda: [dict(zip(TABLE, row)) for row in zip(*TABLE.values())],
        lambda: pd.DataFrame(TABLE),
        lambda: pl.DataFrame(TABLE),
        lambda: {name: list(map(str, values)) if name == "height" else values for name, values in TABLE.items()},
    ],
    ids=["reordered", "rows", "pandas", "polars", "numbers as text"],
)
def test_predictions_do_not_depend_on_the_form_of_the_table(form, predictors):
    np.testing.assert_array_equal(predictors["text"].predict(form()), predictors["text"].predict(TABLE))


def test_unknown_categories_and_missing_cells_are_accepted(predictors):
    odd = [{"height": None, "color": "violet", "spare": None}, {"height": 2.0, "color": None, "spare": ""}]
    P = predictors["text"].predict_proba(odd)
    assert np.isfinite(P).all()
    assert predictors["text"].predict(odd)[1] == "tall"


def test_no_rows_give_no_predictions(predictors):
    nothing = {name: [] for name in TABLE}
    assert predictors["text"].predict(nothing).shape == (0,)
    assert predictors["text"].predict_proba(nothing).shape == (0, 2)
    assert predictors["numbers"].predict(nothing).shape == (0,)


def test_a_single_row_is_predicted_the_same_as_among_many(predictors):
    one = [{name: values[3] for name, values in TABLE.items()}]
    np.testing.assert_allclose(
        predictors["numbers"].predict(one)[0], predictors["numbers"].predict(TABLE)[3], rtol=1e-5
    )


def test_threads_get_the_same_predictions(predictors):
    expected = predictors["numbers"].predict(TABLE)
    with ThreadPoolExecutor(16) as pool:
        for predictions in pool.map(lambda _: predictors["numbers"].predict(TABLE), range(64)):
            np.testing.assert_array_equal(predictions, expected)


@pytest.fixture(scope="module")
def ensembles():
    """A classifier and a regressor of three networks each, calibrated."""
    columns, fitted = read_columns(TABLE), {}
    for name in ("text", "numbers"):
        target = fit_target("y", TARGETS[name])
        fitted[name] = fit_predictor(columns, TARGETS[name], target, n_folds=3, epochs=3).predictor
    return fitted


@pytest.mark.parametrize("name", ["text", "numbers"])
@pytest.mark.parametrize("kind", ["predictors", "ensembles"])
def test_a_compiled_predictor_predicts_the_same(kind, name, request):
    pytest.importorskip("numba")
    plain = request.getfixturevalue(kind)[name]
    compiled = copy(plain).compile()
    for n_rows in (0, 1, 200):
        table = {name: values[:n_rows] for name, values in TABLE.items()}
        np.testing.assert_allclose(compiled.predictions(table), plain.predictions(table), rtol=2e-5, atol=1e-6)
    assert compiled.predict(TABLE).shape == (200,)


def test_the_layers_behind_an_embedding_are_compiled():
    pytest.importorskip("numba")
    from chainrule.model.compiled import CompiledNetwork

    net = Network(
        [Periodic(3, (0, 2)), Scale(9), Dense(9, 5), Activation("selu"), Dense(5, 2)], "cross_entropy", seed=0
    )
    compiled, x = CompiledNetwork(net), np.array([[0.5, -1, 2]], np.float32)
    assert len(compiled.row_steps) == 4
    np.testing.assert_allclose(compiled.infer(x), net.infer(x), rtol=1e-5)
    with pytest.raises(ValueError, match="finite"):
        compiled.infer(np.array([[0, np.nan, 0]], np.float32))


def test_a_compiled_predictor_is_saved_and_pickled_as_before(ensembles, tmp_path):
    pytest.importorskip("numba")
    plain, compiled = ensembles["text"], copy(ensembles["text"]).compile()
    plain.save(tmp_path / "plain")
    compiled.save(tmp_path / "compiled")
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "compiled").read_bytes()
    assert pickle.dumps(compiled) == pickle.dumps(plain)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(compiled)).predictions(TABLE), plain.predictions(TABLE))


def test_compiling_without_numba_names_the_missing_extra(predictors, without_numba):
    with pytest.raises(MissingExtraError, match=r"Predictor\.compile requires the extra 'fast'.* pip install"):
        predictors["text"].compile()


def test_parts_that_do_not_fit_are_refused():
    encoder, target = TabularEncoder().fit(TABLE), fit_target("y", TARGETS["text"])
    with pytest.raises(ValueError, match=f"network must have {encoder.n_features} inputs, .* got 2"):
        Predictor(encoder, mlp(2, 2, loss="cross_entropy"), target)
    with pytest.raises(ValueError, match=r"network must have 2 outputs, .* got 3"):
        Predictor(encoder, mlp(encoder.n_features, 3, loss="cross_entropy"), target)


def test_the_repr_names_task_target_and_columns(predictors):
    assert repr(predictors["text"]) == "Predictor(classification of 'y' from 3 columns)"


def test_a_saved_model_predicts_with_numpy_alone(predictors, tmp_path):
    path = tmp_path / "model.chainrule"
    predictors["text"].save(path)
    code = f"""
import sys
from chainrule.files.model import load
print(load({str(path)!r}).predict([{{"height": 2.0, "color": "red", "spare": None}}])[0])
heavy = {{"narwhals", "pandas", "polars", "pyarrow", "scipy", "sklearn", "matplotlib", "typer", "rich", "numba"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "tall\n"


def test_a_table_read_once_provides_target_and_inputs():
    columns = read_columns(TABLE | {"y": TARGETS["text"]})
    values = columns.pop("y")
    assert (predictor_for(values).predict(columns) == values).mean() > 0.97


def test_intervals_have_the_stated_coverage(tmp_path):
    columns = read_columns({"height": TABLE["height"], "color": TABLE["color"]})
    values = 1000 * HEIGHT + np.random.default_rng(1).normal(scale=500, size=200)
    target = fit_target("y", values)
    fitted = fit_predictor(columns, values, target, n_folds=3, epochs=12)
    low, high = fitted.predictor.predict_interval(columns, 0.8).T
    assert np.mean((low <= values) & (values <= high)) == pytest.approx(0.85, abs=0.08)
    predicted = fitted.predictor.predict(columns)
    assert (low < predicted).all() and (predicted < high).all()  # noqa: PT018
    tenth, median, ninetieth = fitted.predictor.predict_quantiles(columns, (0.1, 0.5, 0.9)).T
    np.testing.assert_array_equal([low, high], [tenth, ninetieth])
    assert np.mean(values <= median) == pytest.approx(0.5, abs=0.08)
    fitted.predictor.save(tmp_path / "model")
    back = load(tmp_path / "model")
    np.testing.assert_array_equal(back.predict_interval(columns, 0.8).T, [low, high])
    np.testing.assert_array_equal(back.predict(columns), fitted.predictor.predict(columns))
    size = sum(net.theta.size for net in back.ensemble.networks) * 4
    assert (tmp_path / "model").stat().st_size < size + 20_000


def test_intervals_of_an_uncalibrated_model_are_refused(predictors):
    for name in ("text", "numbers"):
        with pytest.raises(ValueError, match="only available for a calibrated regression model"):
            predictors[name].predict_interval(TABLE)
