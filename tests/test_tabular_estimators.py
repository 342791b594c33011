import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.utils.estimator_checks import check_estimator

from chainrule import TabularClassifier, TabularRegressor, load

QUICK = {"quality": "fast", "n_folds": 2, "hidden_layer_sizes": (32,), "epochs": 8, "random_state": 0}
WEIGHTS_ARE_NOT_REPETITIONS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "folds are drawn by row: a repeated row may be in several"
    for kind in ("dense", "sparse")
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
def test_check_estimator_passes(kind):
    estimator = kind(quality="fast", n_folds=2, hidden_layer_sizes=(16,), epochs=3)
    results = check_estimator(estimator, expected_failed_checks=WEIGHTS_ARE_NOT_REPETITIONS, on_fail=None)
    assert [result["check_name"] for result in results if result["status"] == "failed"] == []


@pytest.fixture
def mixed(rng):
    """Skewed numbers, categories, missing values and an identifier; the class depends on all but the identifier."""
    n = 300
    height, income = rng.normal(170, 10, n), np.exp(rng.normal(10, 2, n))
    color = rng.choice(["red", "green", "blue"], n).astype(object)
    signs = (height > 170).astype(int) + (color == "red") + (income > np.e**10)
    y = np.where(signs >= 2, "yes", "no")
    color[::17] = None
    height[::13] = np.nan
    return {"row_id": np.arange(n), "height": height, "income": income, "color": color}, y


def test_a_raw_table_can_be_fitted(mixed):
    table, y = mixed
    model = TabularClassifier(n_folds=2, epochs=16, random_state=0).fit(table, y)
    assert list(model.classes_) == ["no", "yes"]
    assert list(model.feature_names_in_) == list(table)
    assert any("row_id" in notice for notice in model.encoder_.notices)
    assert np.mean(model.out_of_fold_proba_.argmax(axis=1) == (y == "yes")) > 0.75


@pytest.mark.parametrize(
    "make", [pd.DataFrame, pl.DataFrame, lambda t: [dict(zip(t, row)) for row in zip(*t.values())]]
)
def test_the_form_of_the_table_and_the_order_of_its_columns_do_not_matter(make, mixed):
    table, y = mixed
    table = {name: column.tolist() for name, column in table.items()}
    model = TabularClassifier(**QUICK).fit(make(table), y)
    turned = make(dict(reversed(table.items())))
    np.testing.assert_allclose(
        model.predict_proba(turned), TabularClassifier(**QUICK).fit(table, y).predict_proba(table)
    )


def test_a_linear_target_far_from_zero_is_learned():
    X, y = load_diabetes(return_X_y=True)
    y = 50_000 + 0.01 * y
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    assert TabularRegressor(**QUICK).fit(X, y).score(X_test, y_test) > 0.3


def test_predictions_leave_the_training_range_by_half_of_it_at_most(rng):
    X = rng.normal(size=(100, 2))
    y = X[:, 0] ** 3
    far = TabularRegressor(**QUICK).fit(X, y).predict(100 * X)
    margin = np.ptp(y) / 2 + 1e-3
    assert y.min() - margin <= far.min() <= far.max() <= y.max() + margin


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_intervals_have_the_stated_coverage_on_new_rows(coverage, rng):
    covered = []
    for _ in range(4):
        X = rng.normal(size=(1500, 3))
        y = X[:, 0] * X[:, 1] + 0.5 * rng.standard_t(3, size=1500)
        model = TabularRegressor(**QUICK).fit(X[:500], y[:500])
        low, high = model.predict_interval(X[500:], coverage).T
        covered.append(np.mean((low <= y[500:]) & (y[500:] <= high)))
    assert np.mean(covered) == pytest.approx(coverage, abs=0.03)


def test_quantiles_have_the_stated_coverage_for_skewed_errors(rng):
    below = []
    for _ in range(4):
        X = rng.normal(size=(1500, 3))
        y = 3 * X[:, 0] + rng.exponential(size=1500)
        model = TabularRegressor(**QUICK).fit(X[:500], y[:500])
        quantiles = model.predict_quantiles(X[500:], (0.1, 0.5, 0.95))
        assert (np.diff(quantiles, axis=1) > 0).all()
        below.append(np.mean(y[500:, np.newaxis] <= quantiles, axis=0))
    np.testing.assert_allclose(np.mean(below, axis=0), (0.1, 0.5, 0.95), atol=0.05)


def test_validation_data_selects_the_epoch_and_calibrates(rng):
    X = rng.normal(size=(600, 3))
    y = np.where(X[:, 0] + 0.5 * rng.normal(size=600) > 0, "yes", "no")
    model = TabularClassifier(**QUICK, validation_data=(X[400:], y[400:])).fit(X[:400], y[:400])
    assert model.score(X[400:], y[400:]) > 0.8
    assert np.isnan(model.out_of_fold_proba_).all()
    assert model.ensemble_.smoothing == 1 / 200
    opposite = np.where(y == "yes", "no", "yes")
    unsure = TabularClassifier(**QUICK, validation_data=(X[400:], opposite[400:])).fit(X[:400], y[:400])
    assert unsure.ensemble_.temperature > 10 * model.ensemble_.temperature
    numbers = TabularRegressor(**QUICK, validation_data=(X[400:], X[400:, 0] + 7)).fit(X[:400], X[:400, 0])
    assert (numbers.predict_quantiles(X, [0.5])[:, 0] - numbers.predict(X)).mean() == pytest.approx(7, abs=1)
    assert numbers.predict(X).max() <= X[:, 0].max() + 7.001


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((np.zeros((3, 2)),), "validation_data must be"),
        ((np.zeros((3, 2)), ["a"] * 3), "2 features"),
        ((np.zeros((3, 3)), ["a"] * 2), "same number of rows, got 3 and 2"),
        ((np.zeros((3, 3)), ["c"] * 3), "target 'y', row 1: expected one of a, b, got 'c'"),
    ],
)
def test_invalid_validation_data_is_rejected(data, message, rng):
    with pytest.raises(ValueError, match=message):
        TabularClassifier(**QUICK, validation_data=data).fit(rng.normal(size=(20, 3)), ["a", "b"] * 10)


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", lambda y, P: float(P[:, 0].mean())])
def test_the_metric_selects_the_best_epoch(metric, mixed):
    table, y = mixed
    model = TabularClassifier(**QUICK, metric=metric).fit(table, y)
    for history in model.histories_:
        (name,) = (name for name in history.metrics if name.startswith("validation_"))
        column = history[name]
        best = max(column) if metric == "accuracy" else min(column)
        assert column[history.best_epoch] == best
    with pytest.raises(ValueError, match="metric"):
        TabularClassifier(metric="auc").fit(table, y)


def test_masked_cells_are_missing_values(rng):
    X = rng.normal(size=(60, 2))
    y = X[:, 0]
    mask = rng.random(X.shape) < 0.1
    with_mask, with_nan = np.ma.masked_array(X, mask), np.where(mask, np.nan, X)
    fitted = TabularRegressor(**QUICK).fit(with_mask, y)
    np.testing.assert_array_equal(
        fitted.predict(with_mask), TabularRegressor(**QUICK).fit(with_nan, y).predict(with_nan)
    )


@pytest.mark.parametrize("estimator", [TabularClassifier, TabularRegressor])
@pytest.mark.parametrize("name", ["y", "sample_weight"])
def test_masked_targets_and_weights_are_rejected(estimator, name, rng):
    data = {"y": np.arange(60) % 2, "sample_weight": np.ones(60)}
    data[name] = np.ma.masked_array(data[name], np.arange(60) < 3)
    with pytest.raises(ValueError, match=f"{name} must have no masked cells, got 3"):
        estimator(**QUICK).fit(rng.normal(size=(60, 2)), **data)


def test_several_targets_are_predicted_together(rng):
    X = rng.normal(size=(200, 3))
    Y = np.column_stack([1000 * X[:, 0], 0.001 * X[:, 1]])
    model = TabularRegressor(**QUICK | {"epochs": 40}).fit(X, Y)
    assert model.predict(X).shape == (200, 2)
    assert model.score(X, Y) > 0.8
    assert model.predict_interval(X).shape == (200, 2, 2)


def test_probabilities_are_calibrated_when_labels_are_noise(rng):
    X, y = rng.normal(size=(400, 4)), rng.integers(0, 2, 400)
    P = TabularClassifier(**QUICK).fit(X, y).predict_proba(rng.normal(size=(400, 4)))
    assert np.abs(P - 0.5).mean() < 0.1


@pytest.mark.parametrize("options", [{"class_weight": "balanced"}, {"class_weight": {0: 1, 1: 9}}])
def test_class_weights_raise_the_recall_of_the_minority(options, rng):
    y = (rng.random(400) < 0.1).astype(int)
    X = rng.normal(size=(400, 2)) + y[:, np.newaxis]
    plain, weighted = TabularClassifier(**QUICK).fit(X, y), TabularClassifier(**QUICK, **options).fit(X, y)
    assert weighted.predict(X)[y == 1].mean() > plain.predict(X)[y == 1].mean() + 0.2


def test_rows_with_zero_weight_have_no_influence(rng):
    X = rng.normal(size=(200, 2))
    y = (X[:, 0] > 0).astype(int)
    wrong = np.concatenate([y, 1 - y])
    weight = np.repeat([1.0, 0.0], 200)
    assert TabularClassifier(**QUICK).fit(np.vstack([X, X]), wrong, weight).score(X, y) > 0.9


def test_the_same_random_state_gives_the_same_predictions_with_one_worker_or_two():
    X, y = load_iris(return_X_y=True)
    one, again, two = (TabularClassifier(**QUICK, n_jobs=n_jobs).fit(X, y).predict_proba(X) for n_jobs in (None, 1, 2))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_a_time_limit_is_kept(rng):
    X, y = rng.normal(size=(4000, 10)), rng.integers(0, 2, 4000)
    model = TabularClassifier(time_limit=1.0, random_state=0, epochs=5000).fit(X, y)
    assert sum(sum(history.seconds) for history in model.histories_) < 5
    assert np.isfinite(model.predict_proba(X)).all()


def test_estimators_can_be_cloned_pickled_and_cross_validated():
    X, y = load_iris(return_X_y=True)
    model = TabularClassifier(**QUICK)
    assert clone(model).get_params() == model.get_params()
    assert cross_val_score(model, X, y, cv=2).mean() > 0.85
    fitted = model.fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))
    assert len(fitted.get_feature_names_out()) == fitted.ensemble_.n_in


@pytest.mark.parametrize(
    ("cls", "X", "y", "message"),
    [
        (
            TabularClassifier,
            np.ones((4, 2)) * np.arange(4)[:, None],
            [1, 1, 1, 1],
            "at least 2 classes, got 1 class: 1",
        ),
        (
            TabularClassifier,
            {"a": [1.0, 2.0, 3.0]},
            ["x", "y"],
            "X and y must have the same number of rows, got 3 and 2",
        ),
        (TabularClassifier, {"a": [1.0]}, ["x"], "n_samples >= 2"),
        (TabularClassifier, {"a": [1.0, 2.0]}, None, "requires y to be passed"),
        (
            TabularRegressor,
            {"a": [1.0, 2.0, 3.0]},
            [1.0, np.nan, None],
            "y must be known in at least 2 rows, got 1",
        ),
        (TabularRegressor, {"a": [1.0, 2.0, np.inf]}, [1.0, 3.0, 2.0], "column 'a'.*inf"),
    ],
)
def test_bad_tables_are_rejected_with_the_reason(cls, X, y, message):
    with pytest.raises(ValueError, match=message):
        cls(**QUICK).fit(X, y)


def test_a_column_missing_at_prediction_is_named(mixed):
    table, y = mixed
    model = TabularClassifier(**QUICK).fit(table, y)
    del table["color"]
    with pytest.raises(ValueError, match="'color'"):
        model.predict(table)


NAMED = [dict, pd.DataFrame, pl.DataFrame, lambda t: [dict(zip(t, row)) for row in zip(*t.values())]]


def two_columns(rng, n=40):
    table = {"size": rng.normal(size=n), "kind": rng.integers(0, 3, n).astype(float)}
    return table, np.column_stack(list(table.values())), table["size"] + table["kind"]


@pytest.mark.parametrize("make", [np.asarray, np.ndarray.tolist, sparse.csr_array, np.ma.masked_array])
def test_a_table_without_names_goes_by_position_after_a_fit_with_names(make, rng):
    table, X, y = two_columns(rng)
    model = TabularRegressor(**QUICK).fit(table, y)
    message = "X does not have valid feature names, but TabularRegressor was fitted with feature names"
    for method in (model.predict, model.predict_interval, model.predict_quantiles):
        with pytest.warns(UserWarning, match=message):
            predictions = method(make(X))
        np.testing.assert_array_equal(predictions, method(table))
    with pytest.warns(UserWarning, match=message), pytest.raises(ValueError, match="X has 1 features, but Tabular"):
        model.predict(X[:, :1])


@pytest.mark.parametrize("make", NAMED)
def test_a_table_with_names_goes_by_position_after_a_fit_without_names(make, rng):
    table, X, y = two_columns(rng)
    model = TabularClassifier(**QUICK).fit(X, y > 1)
    message = "X has feature names, but TabularClassifier was fitted without feature names"
    for method in (model.predict, model.predict_proba, model.predict_log_proba):
        with pytest.warns(UserWarning, match=message):
            predictions = method(make(table))
        np.testing.assert_array_equal(predictions, method(X))
    with pytest.warns(UserWarning, match=message), pytest.raises(ValueError, match="X has 1 features, but Tabular"):
        model.predict(make({"size": table["size"]}))
    by_name = make({"x1": table["kind"], "ignored": y, "x0": table["size"]})  # the names of a matrix's columns
    np.testing.assert_array_equal(model.predict_proba(by_name), model.predict_proba(X))


@pytest.mark.parametrize("named_first", [True, False])
def test_validation_data_with_and_without_names_goes_by_position(named_first, rng):
    table, X, y = two_columns(rng)
    first, second = (table, X) if named_first else (X, table)
    expected = TabularRegressor(**QUICK, validation_data=(first, y)).fit(first, y)
    with pytest.warns(UserWarning, match="was fitted with(out)? feature names"):
        model = TabularRegressor(**QUICK, validation_data=(second, y)).fit(first, y)
    np.testing.assert_array_equal(model.predict(first), expected.predict(first))


def test_cleared_feature_names_silence_the_warning(rng):
    table, X, y = two_columns(rng)
    model = TabularRegressor(**QUICK).fit(table, y)
    model.feature_names_in_ = None  # as SHAP does
    np.testing.assert_array_equal(model.predict(X), model.predict(table))


def test_a_refit_forgets_the_names(rng):
    table, X, y = two_columns(rng)
    model = TabularRegressor(**QUICK).fit(table, y).fit(X, y)
    assert not hasattr(model, "feature_names_in_")
    model.predict(X)
    assert list(model.fit(table, y).feature_names_in_) == ["size", "kind"]


def test_log_probabilities_are_the_logarithms_of_the_probabilities(rng):
    X = rng.normal(size=(60, 2))
    model = TabularClassifier(**QUICK).fit(X, X[:, 0] > 0)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))


def test_a_saved_model_predicts_like_the_estimator(mixed, tmp_path):
    table, y = mixed
    model = TabularClassifier(**QUICK).fit(table, y)
    model.save(tmp_path / "classes")
    back = load(tmp_path / "classes")
    np.testing.assert_array_equal(back.predict_proba(table), model.predict_proba(table))
    np.testing.assert_array_equal(back.predict(table), model.predict(table))
    Y = np.column_stack([table["income"], table["row_id"]]).astype(float)
    model = TabularRegressor(**QUICK).fit(table, Y)
    model.save(tmp_path / "numbers")
    np.testing.assert_array_equal(load(tmp_path / "numbers").predict(table), model.predict(table))
    np.testing.assert_array_equal(load(tmp_path / "numbers").predict_interval(table), model.predict_interval(table))


def test_targets_whose_squares_overflow_or_underflow_are_rejected(rng):
    X = rng.normal(size=(20, 2))
    for scale in (1e300, 1e-300):
        with pytest.raises(ValueError, match="target 'y' "):
            TabularRegressor(**QUICK).fit(X, scale * X)


def test_a_sparse_matrix_is_a_table():
    rng = np.random.default_rng(0)
    X = sparse.random_array((80, 6), density=0.3, rng=rng, format="dok")
    y = X.toarray()[:, 0] > 0
    models = [TabularClassifier(**QUICK).fit(table, y) for table in (X, X.toarray())]
    np.testing.assert_array_equal(models[0].predict_proba(X.tocoo()), models[1].predict_proba(X.toarray()))


DAYS = np.datetime64("2024-01-01") + np.arange(40)


@pytest.mark.parametrize(
    ("kind", "options", "y", "message"),
    [
        (
            TabularClassifier,
            {},
            np.array(["x", 1] * 20, object),
            "y must hold labels of one type, got int, str",
        ),
        (TabularClassifier, {}, np.array(["x"] * 40), "got 1 class: 'x'"),
        (TabularClassifier, {"class_weight": {0: -2, 1: 1}}, np.arange(40) % 2, "class_weight must be >= 0"),
        (
            TabularClassifier,
            {"validation_data": pd.DataFrame({"a": [1]})},
            np.arange(40) % 2,
            "got a DataFrame",
        ),
        (TabularRegressor, {}, np.array([1.5] + [None] * 39), "y must be known in at least 2 rows, got 1"),
        (TabularRegressor, {}, ["a"] * 40, "y must be numeric: could not convert .*'a'"),
        (TabularRegressor, {}, DAYS, "y must hold real numbers, got dtype datetime64.* Convert it to days"),
        (TabularRegressor, {}, pd.Series(DAYS), "y must hold real numbers, got dtype datetime64.* Convert it to days"),
    ],
)
def test_targets_and_options_that_cannot_be_fitted_are_rejected(kind, options, y, message):
    with pytest.raises(ValueError, match=message):
        kind(**QUICK, **options).fit(np.arange(80.0).reshape(40, 2), y)


def test_a_lazy_frame_is_fitted_by_the_name_of_its_target_and_not_predicted():
    frame = pl.DataFrame({"a": [1.0, 2.0] * 10, "y": [0, 1] * 10})
    with pytest.raises(ValueError, match="y must be the name of a column"):
        TabularClassifier(**QUICK).fit(frame.lazy(), [0, 1] * 10)
    model = TabularClassifier(**QUICK).fit(frame.lazy(), "y")
    with pytest.raises(ValueError, match="LazyFrame"):
        model.predict(frame.lazy())


def test_a_single_quantile_is_rejected():
    X = np.arange(40.0)[:, np.newaxis]
    model = TabularRegressor(**QUICK).fit(X, X[:, 0])
    with pytest.raises(ValueError, match=r"quantiles must .*0\.5"):
        model.predict_quantiles(X, 0.5)


def test_the_encoder_is_a_scikit_learn_transformer():
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    from chainrule import TabularEncoder

    rng = np.random.default_rng(0)
    table = pd.DataFrame({"size": rng.normal(size=60), "color": rng.choice(["red", "blue"], 60)})
    y = np.where(table["size"] + (table["color"] == "red") > 0.5, "large", "small")
    twin = clone(TabularEncoder(categories=["color"], max_categories=7))
    assert twin.get_params() == {"categories": ("color",), "max_categories": 7, "max_indexed": 0, "n_bins": 0}
    assert twin.set_params(n_bins=3).n_bins == 3
    with pytest.raises(ValueError, match="n_bins must be an integer >= 0"):
        twin.set_params(n_bins=-1)
    pipeline = make_pipeline(TabularEncoder(), LogisticRegression())
    assert pipeline.fit(table, y).score(table, y) > 0.9
    search = GridSearchCV(pipeline, {"tabularencoder__n_bins": [0, 4]}, cv=2).fit(table, y)
    assert set(search.cv_results_["param_tabularencoder__n_bins"]) == {0, 4}
