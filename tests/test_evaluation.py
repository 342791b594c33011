"""Curves equal scikit-learn's; permutation importance and partial dependence equal their closed forms."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn import calibration, inspection, metrics
from sklearn.base import BaseEstimator, RegressorMixin

from chainrule.data.reading import read_columns
from chainrule.data.targets import fit_target
from chainrule.errors import TableError
from chainrule.insight.dependence import partial_dependence
from chainrule.insight.evaluation import (
    Importance,
    area_under,
    average_precision,
    calibration_curve,
    calibration_error,
    confusion_matrix,
    permutation_importance,
    precision_recall_curve,
    roc_curve,
    saliency_ranking,
    wilson_interval,
)
from chainrule.model.fitting import fit_predictor

# Classification curves.


def scored(name, rng):
    """Targets and scores of two classes: overlapping, with ties, separable, all equal, or large."""
    y = np.append(rng.integers(0, 2, 98), [0, 1])
    return y, {
        "overlapping": 0.6 * rng.random(100) + 0.4 * y,
        "ties": np.round(0.6 * rng.random(100) + 0.4 * y, 1),
        "separable": y + 0.1 * rng.random(100),
        "equal": np.full(100, 0.3),
        "large": 1e12 * rng.normal(size=100),
    }[name]


KINDS = ["overlapping", "ties", "separable", "equal", "large"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_roc_curve_and_its_area_equal_scikit_learns(kind, rng):
    y, scores = scored(kind, rng)
    ours, theirs = roc_curve(y, scores), metrics.roc_curve(y, scores)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)
    assert area_under(*ours[:2]) == pytest.approx(metrics.roc_auc_score(y, scores))


@pytest.mark.parametrize("kind", KINDS)
def test_the_precision_recall_curve_and_its_area_equal_scikit_learns(kind, rng):
    y, scores = scored(kind, rng)
    ours, theirs = precision_recall_curve(y, scores), metrics.precision_recall_curve(y, scores)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)
    assert average_precision(*ours[:2]) == pytest.approx(metrics.average_precision_score(y, scores))


def test_precision_is_1_at_every_threshold_if_every_row_is_positive():
    precision, recall, _ = precision_recall_curve([1, 1], [0.2, 0.7])
    assert precision.tolist() == [1, 1, 1]
    assert recall.tolist() == [1, 0.5, 0]


@pytest.mark.parametrize("bins", [1, 5, 10])
def test_the_calibration_curve_equals_scikit_learns(bins, rng):
    p = np.append(rng.random(200), [0, 0.2, 0.5, 1])
    y = (rng.random(204) < p**2).astype(int)
    observed, predicted, counts = calibration_curve(y, p, bins)
    theirs = calibration.calibration_curve(y, p, n_bins=bins)
    np.testing.assert_allclose(observed, theirs[0])
    np.testing.assert_allclose(predicted, theirs[1])
    assert counts.sum() == 204
    expected = sum(n * abs(o - q) for o, q, n in zip(observed, predicted, counts)) / 204
    assert calibration_error(observed, predicted, counts) == pytest.approx(expected)


@pytest.mark.parametrize("n", [1, 5, 200])
@pytest.mark.parametrize("truth", [0.02, 0.4, 1.0])
def test_the_wilson_interval_covers_the_true_proportion(n, truth, rng):
    counts = np.full(2000, n)
    fractions = rng.binomial(n, truth, 2000) / n
    low, high = wilson_interval(fractions, counts)
    assert np.mean((low <= truth) & (truth <= high)) > 0.9
    assert (low >= 0).all()
    assert (low <= fractions).all()
    assert (fractions <= high).all()
    assert (high <= 1).all()


@pytest.mark.parametrize("K", [2, 3, 26])
def test_the_confusion_matrix_equals_scikit_learns(K, rng):
    y, P = rng.integers(0, K, 80), rng.dirichlet(np.ones(K), 80)
    theirs = metrics.confusion_matrix(y, P.argmax(axis=1), labels=range(K))
    np.testing.assert_array_equal(confusion_matrix(y, P), theirs)
    if K == 2:
        np.testing.assert_array_equal(confusion_matrix(y, P[:, 1]), theirs)
        np.testing.assert_array_equal(confusion_matrix(y, P[:, 1:]), theirs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: roc_curve([1, 1], [0.1, 0.2]), r"y must contain both classes, got \[1\]"),
        (lambda: precision_recall_curve([0, 0], [0.1, 0.2]), r"y must contain class 1, got \[0\]"),
        (lambda: roc_curve([0, 1], [0.1, np.nan]), r"scores must be finite .* got nan at scores\[1, 0\]"),
        (lambda: roc_curve([0, 2], [0.1, 0.2]), "y must be class numbers from 0 to 1"),
        (lambda: roc_curve([], []), "scores must have at least one value"),
        (lambda: confusion_matrix([0], [[0.5, np.inf]]), "P must be finite"),
        (
            lambda: confusion_matrix([0, 1, 1], [0.5, 0.1]),
            r"y must have shape \(2,\), one class number per row, got shape \(3,\)",
        ),
        (lambda: confusion_matrix(["a"], [0.5]), "y must be class numbers from 0 to 1, got dtype"),
        (lambda: calibration_curve([0, 1], [0.5, 1.2]), "p must be between 0 and 1"),
        (lambda: calibration_curve([0, 1], [0.5, 0.2], 0), "bins must be an integer >= 1, got 0"),
    ],
)
def test_invalid_arguments_of_curves_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Influence of columns, with a function of a table.


class Sum(RegressorMixin, BaseEstimator):
    """y = 2 a - b, as a scikit-learn estimator."""

    def fit(self, X, y=None):
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return 2 * X["a"].to_numpy() - X["b"].to_numpy()


def linear(table):
    return 2 * table["a"] - table["b"]


@pytest.fixture
def frame(rng):
    return pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300) * 3, "c": rng.normal(size=300)})


def test_importance_equals_scikit_learns_up_to_sampling_error(frame, rng):
    y = linear(frame).to_numpy() + rng.normal(size=300)
    ours = permutation_importance(linear, frame, y, "r2", repeats=60)
    theirs = inspection.permutation_importance(Sum().fit(frame), frame, y, n_repeats=60, random_state=0)
    assert ours.metric == "r2"
    assert ours.score == pytest.approx(metrics.r2_score(y, linear(frame)))
    assert ours.ranking == ["b", "a", "c"]
    for j, worse in enumerate(ours.worse.values()):
        error = np.hypot(worse.std(), theirs.importances_std[j]) / np.sqrt(60)
        assert abs(worse.mean() - theirs.importances_mean[j]) <= 4 * error
        assert worse.shape == (60,)


def test_mse_importance_is_twice_the_weighted_variance_of_the_column(frame):
    """For a perfect model, E (w x - w x')^2 over shuffles is 2 w^2 var(x)."""
    found = permutation_importance(linear, frame, linear(frame), "mse", repeats=200)
    assert found.score == 0
    for name, w in {"a": 2, "b": -1, "c": 0}.items():
        expected = 2 * w**2 * frame[name].to_numpy().var()
        assert found.worse[name].mean() == pytest.approx(expected, rel=0.02, abs=1e-12)


def test_importance_is_positive_whether_higher_or_lower_is_better(rng):
    x = rng.random(200)
    y = (x > 0.5).astype(int)
    for metric in ("accuracy", "log_loss", "brier"):
        found = permutation_importance(lambda t: np.clip(t["x"], 0.01, 0.99), {"x": x, "z": x}, y, metric)
        assert (found.worse["x"] > 0.1).all()
        assert (found.worse["z"] == 0).all()


def test_only_the_given_columns_are_shuffled_and_the_table_is_unchanged(frame):
    before = frame.copy()
    found = permutation_importance(linear, frame, linear(frame), "rmse", columns=["c"], repeats=3)
    assert list(found.worse) == ["c"]
    pd.testing.assert_frame_equal(frame, before)


@pytest.fixture
def trained(rng):
    n = 200
    table = {
        "x": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
        "kind": rng.choice(["a", "b", "c"], n).astype(object),
        "day": np.datetime64("2024-01-01", "D") + rng.integers(0, 300, n),
        "noise": rng.normal(size=n),
    }
    y = np.nan_to_num(table["x"]) * 3 + (table["kind"] == "b") * 2 + 50
    columns = read_columns(table)
    return fit_predictor(columns, y, fit_target("y", y), n_folds=2, epochs=20).predictor, columns, y


def test_encoding_only_the_changed_column_gives_the_same_result(trained):
    predictor, table, y = trained
    slow = permutation_importance(predictor.predict, table, y, "rmse", columns=list(table), repeats=3)
    fast = permutation_importance(predictor, table, y, "rmse", repeats=3)
    for name in table:
        np.testing.assert_allclose(fast.worse[name], slow.worse[name], rtol=1e-4, atol=1e-6)
        one, other = (partial_dependence(model, table, name) for model in (predictor, predictor.predict))
        np.testing.assert_allclose(one.predictions, other.predictions, rtol=1e-6)


def test_saliency_ranks_informative_columns_first(trained):
    predictor, table, _ = trained
    before = predictor.ensemble.networks[0].grad.copy()
    assert set(saliency_ranking(predictor, table, 2)) == {"x", "kind"}
    assert len(saliency_ranking(predictor, table, 10)) == 4
    np.testing.assert_array_equal(predictor.ensemble.networks[0].grad, before)


def test_saliency_of_many_categories_is_that_of_their_vectors(rng):
    shops = rng.integers(0, 60, 900)
    table = {f"noise {k}": rng.normal(size=900) for k in range(3)} | {
        "shop": np.array([f"s{k}" for k in shops], object)
    }
    y, columns = rng.normal(size=60)[shops], read_columns(table)
    predictor = fit_predictor(columns, y, fit_target("y", y), n_folds=2, epochs=8).predictor
    assert predictor.encoder.indices
    assert saliency_ranking(predictor, columns, 1) == ["shop"]


def test_the_seed_determines_the_result(frame):
    one, same, other = (
        permutation_importance(linear, frame, linear(frame), "rmse", repeats=2, seed=seed).worse["a"]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_a_large_table_is_sampled():
    sizes = []

    def predict(table):
        sizes.append(len(table["x"]))
        return table["x"]

    x = np.arange(20_000.0)
    permutation_importance(predict, {"x": x}, x, "rmse", repeats=1, max_rows=50)
    partial_dependence(predict, {"x": x}, "x", points=3, max_rows=40)
    assert set(sizes) == {50, 40}


def test_shuffling_a_single_row_changes_nothing():
    found = permutation_importance(lambda t: t["x"], {"x": [1.0]}, [2.0], "rmse")
    assert found == Importance("rmse", 1.0, {"x": pytest.approx(np.zeros(10))})


def test_dependence_equals_scikit_learns(frame):
    frame["c"] = np.round(frame["c"])
    values = np.unique(frame["c"])
    with sklearn.config_context(assume_finite=True):
        theirs = inspection.partial_dependence(Sum().fit(frame), frame, ["c"], method="brute", kind="average")
    ours = partial_dependence(linear, frame, "c")
    np.testing.assert_array_equal(ours.values, values)
    np.testing.assert_array_equal(ours.values, theirs["grid_values"][0])
    np.testing.assert_allclose(ours.predictions[:, 0], theirs["average"][0])
    ours = partial_dependence(linear, frame, "a")
    theirs = inspection.partial_dependence(
        Sum().fit(frame), frame, ["a"], method="brute", kind="average", custom_values={"a": ours.values}
    )
    np.testing.assert_allclose(ours.predictions[:, 0], theirs["average"][0])


def test_a_numeric_column_is_evaluated_at_observed_values_by_rank_and_by_value(frame):
    found = partial_dependence(linear, frame, "a", points=19)
    assert np.isin(found.values, frame["a"]).all()
    low, high = np.quantile(frame["a"], [0.01, 0.99])
    wanted = [*np.quantile(frame["a"], np.linspace(0.01, 0.99, 10)), *np.linspace(low, high, 11)[1:-1]]
    np.testing.assert_allclose(found.values, np.sort(wanted), atol=0.1)
    np.testing.assert_allclose(found.predictions[:, 0], 2 * found.values - frame["b"].mean())
    assert found.ordered
    assert not found.are_probabilities


def test_a_categorical_column_is_evaluated_at_its_most_frequent_categories():
    table = {"who": ["b", "a", "b", None, "c", "a", "b"], "x": np.arange(7.0)}
    found = partial_dependence(lambda t: [len(t["who"]) + (who == "b") for who in t["who"]], table, "who", points=2)
    assert found.values.tolist() == ["b", "a"]
    assert found.predictions.tolist() == [[8], [7]]
    assert not found.ordered


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["10", "9", "NA", "10", ""], [9, 10]),
        (np.array(["2024-03-01", "2023-01-01", "NaT"], "M8[D]"), ["2023-01-01", "2024-03-01"]),
        (["2024-03-01", "2023-01-01", None], ["2023-01-01", "2024-03-01"]),
        ([3.5, None, 2.5], [2.5, 3.5]),
        (np.array([2, 1, 2]), [1, 2]),
        ([True, False, True], ["True", "False"]),
    ],
    ids=["numbers as text", "dates", "dates as text", "numbers", "integers", "booleans"],
)
def test_each_kind_of_column_is_evaluated_at_its_own_cells(cells, expected):
    seen = []

    def predict(table):
        assert len(set(table["x"].tolist())) == 1
        seen.append(table["x"][0])
        return np.zeros(len(table["x"]))

    found = partial_dependence(predict, {"x": cells}, "x")
    assert len(seen) == len(found.values) == len(expected)
    wanted = np.array(expected, found.values.dtype)
    np.testing.assert_array_equal(found.values, wanted)
    assert set(map(str, seen)) <= set(map(str, read_columns({"x": cells})["x"])), "the model sees cells of the table"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: permutation_importance(linear, {"a": [1], "b": [1]}, [1]), ValueError, "metric is required"),
        (
            lambda: permutation_importance(linear, {"a": [1], "b": [1]}, [1, 2], "rmse"),
            ValueError,
            r"len\(y\) must be 1, one value per row, got 2",
        ),
        (lambda: permutation_importance(linear, {"a": [1]}, [1], "rmse", repeats=0), ValueError, "repeats must be"),
        (lambda: permutation_importance(linear, {"a": [1]}, [1], "rmse", columns=["d"]), TableError, "'d'"),
        (
            lambda: permutation_importance(lambda t: [1], {"a": [1, 2]}, [1, 2], "rmse"),
            ValueError,
            r"model must return predictions of shape \(2,\)",
        ),
        (
            lambda: permutation_importance(linear, {"a": [1]}, [1], "rmse", columns=[]),
            ValueError,
            "columns must contain at least one name",
        ),
        (
            lambda: partial_dependence(linear, {"a": [np.inf]}, "a"),
            TableError,
            "column 'a' must contain a finite number",
        ),
        (lambda: partial_dependence(linear, {"a": [1.0]}, "d"), TableError, "'d'"),
        (
            lambda: partial_dependence(linear, {"a": [None, ""]}, "a"),
            TableError,
            "column 'a' must have at least one value",
        ),
        (lambda: partial_dependence(linear, {"a": [1.0]}, "a", points=1), ValueError, "points must be"),
    ],
)
def test_invalid_arguments_of_importance_and_dependence_raise(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Influence of columns, with a Predictor.


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    n = 240
    table = {"x": rng.normal(size=n), "who": rng.choice(["ann", "bob"], n), "noise": rng.normal(size=n)}
    table["label"] = np.where(table["x"] + (table["who"] == "bob") > 0.5, "yes", "no")
    table["price"] = 1000 * table["x"] + 500 * (table["who"] == "bob")
    return table


def predictor(table, name):
    columns = read_columns({key: table[key] for key in ("x", "who", "noise")})
    values = np.asarray(table[name])
    target = fit_target(name, values)
    return fit_predictor(columns, values, target, n_folds=2, epochs=20, seed=0).predictor


def test_a_classifier_is_scored_by_its_probabilities_on_its_own_labels(table):
    model = predictor(table, "label")
    found = permutation_importance(model, table, table["label"])
    assert (found.metric, found.ranking[0]) == ("log_loss", "x")
    assert set(found.worse) == {"x", "who", "noise"}
    assert found.score == pytest.approx(metrics.log_loss(table["label"], model.predict_proba(table)), rel=1e-5)
    dependence = partial_dependence(model, table, "who")
    assert dependence.names == ("no", "yes")
    assert dependence.are_probabilities
    yes = {who: model.predict_proba(table | {"who": np.full(240, who)})[:, 1].mean() for who in ("ann", "bob")}
    np.testing.assert_allclose(dependence.predictions[:, 1], [yes[who] for who in dependence.values], rtol=1e-5)


def test_a_regressor_is_scored_in_the_unit_of_its_target(table):
    model = predictor(table, "price")
    found = permutation_importance(model, table, table["price"])
    assert found.metric == "rmse"
    error = metrics.root_mean_squared_error(table["price"], model.predict(table))
    assert found.score == pytest.approx(error, rel=1e-5)
    dependence = partial_dependence(model, table, "x")
    assert dependence.names == ("price",)
    assert np.ptp(dependence.predictions) > 1000
