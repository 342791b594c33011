import numpy as np
import pytest
from sklearn import metrics as theirs

from chainrule import metrics, mlp, train
from chainrule.metrics import METRICS, as_metric


@pytest.fixture
def classified(rng):
    return rng.integers(0, 3, 40), rng.dirichlet(np.ones(3), 40)


def test_scores_of_classes_are_scikit_learns(classified):
    y, P = classified
    assert METRICS["accuracy"].function(y, P) == pytest.approx(theirs.accuracy_score(y, P.argmax(axis=1)))
    assert METRICS["log_loss"].function(y, P) == pytest.approx(theirs.log_loss(y, P))
    assert METRICS["brier"].function(y, P) == pytest.approx(((P - np.eye(3)[y]) ** 2).sum(axis=1).mean())


@pytest.mark.parametrize("k", [2, 3, 5])
def test_scores_averaged_over_classes_are_scikit_learns(k, rng):
    y, P = rng.choice(k, 60, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum()), rng.dirichlet(np.ones(k), 60).round(1)
    P /= P.sum(axis=1, keepdims=True)
    predicted = P.argmax(axis=1)
    assert METRICS["balanced_accuracy"].function(y, P) == pytest.approx(theirs.balanced_accuracy_score(y, predicted))
    assert METRICS["f1_macro"].function(y, P) == pytest.approx(theirs.f1_score(y, predicted, average="macro"))
    expected = theirs.roc_auc_score(y, P[:, 1] if k == 2 else P, multi_class="ovr")
    assert METRICS["roc_auc"].function(y, P) == pytest.approx(expected)


def test_scores_by_class_ignore_classes_that_do_not_occur(rng):
    y, P = np.array([0, 0, 1, 1]), np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.3, 0.4, 0.3]])
    assert METRICS["balanced_accuracy"].function(y, P) == 0.75
    assert METRICS["f1_macro"].function(y, P) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert METRICS["roc_auc"].function(y, P) == pytest.approx((0.75 + 0.75) / 2)
    assert np.isnan(METRICS["roc_auc"].function(np.zeros(4, int), P))
    assert METRICS["roc_auc"].function(np.array([0, 1]), np.full((2, 2), 0.5)) == 0.5


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss", "brier"])
def test_one_hot_rows_count_as_class_numbers(name, classified):
    y, P = classified
    assert METRICS[name].function(np.eye(3)[y], P) == pytest.approx(METRICS[name].function(y, P))


def test_one_output_is_the_probability_of_class_1(rng):
    y, p = rng.integers(0, 2, (40, 1)), rng.random((40, 1))
    assert METRICS["accuracy"].function(y, p) == pytest.approx(theirs.accuracy_score(y[:, 0], p[:, 0] > 0.5))
    assert METRICS["log_loss"].function(y, p) == pytest.approx(theirs.log_loss(y[:, 0], p[:, 0]))
    assert METRICS["roc_auc"].function(y, p) == pytest.approx(theirs.roc_auc_score(y[:, 0], p[:, 0]))
    predicted = p[:, 0] > 0.5
    assert METRICS["balanced_accuracy"].function(y, p) == pytest.approx(
        theirs.balanced_accuracy_score(y[:, 0], predicted)
    )
    assert METRICS["f1_macro"].function(y, p) == pytest.approx(theirs.f1_score(y[:, 0], predicted, average="macro"))


@pytest.mark.parametrize("k", [2, 4])
def test_weighted_scores_of_classes_are_scikit_learns(k, rng):
    y, P, weight = rng.integers(0, k, 80), rng.dirichlet(np.ones(k), 80).round(1) + 0.01, rng.random(80)
    weight[::7] = 0
    P /= P.sum(axis=1, keepdims=True)
    predicted = P.argmax(axis=1)
    expected = {
        "accuracy": theirs.accuracy_score(y, predicted, sample_weight=weight),
        "balanced_accuracy": theirs.balanced_accuracy_score(y, predicted, sample_weight=weight),
        "f1_macro": theirs.f1_score(y, predicted, average="macro", sample_weight=weight),
        "roc_auc": theirs.roc_auc_score(y, P[:, 1], sample_weight=weight)
        if k == 2
        else np.mean([theirs.roc_auc_score(y == j, P[:, j], sample_weight=weight) for j in range(k)]),
        "log_loss": theirs.log_loss(y, P, sample_weight=weight),
        "brier": np.average(((P - np.eye(k)[y]) ** 2).sum(axis=1), weights=weight),
    }
    for name, score in expected.items():
        assert METRICS[name].measure(y, P, weight) == pytest.approx(score), name


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("mse", theirs.mean_squared_error),
        ("rmse", theirs.root_mean_squared_error),
        ("mae", theirs.mean_absolute_error),
        ("r2", theirs.r2_score),
    ],
)
def test_weighted_scores_of_numbers_are_scikit_learns(name, function, rng):
    y, prediction, weight = rng.normal(size=(50, 2)), rng.normal(size=(50, 2)), rng.random(50)
    expected = function(y, prediction, sample_weight=weight)
    if name == "rmse":  # ours is the root of the mean over outputs too
        expected = np.sqrt(theirs.mean_squared_error(y, prediction, sample_weight=weight))
    assert METRICS[name].measure(y, prediction, weight) == pytest.approx(expected)


@pytest.mark.parametrize("name", METRICS)
def test_a_whole_weight_is_a_number_of_repetitions_and_weights_of_zero_are_no_rows(name, rng):
    y = rng.integers(0, 2, (30, 3)) if METRICS[name].targets == "classes" else rng.normal(size=(30, 3))
    prediction, weight = rng.random((30, 3)), rng.integers(0, 4, 30)
    repeated = METRICS[name].measure(y.repeat(weight, axis=0), prediction.repeat(weight, axis=0))
    assert METRICS[name].measure(y, prediction, weight.astype(float)) == pytest.approx(repeated)
    assert np.isnan(METRICS[name].measure(y, prediction, np.zeros(30)))


def test_the_weights_of_validation_rows_count_in_its_metrics(rng):
    X, y, weight = rng.normal(size=(40, 2)), rng.integers(0, 2, 40), rng.random(40)
    net = mlp(2, 3, 2, loss="cross_entropy", seed=0)
    history = train(net, X, y, validation=(X, y, weight), metrics=["accuracy", lambda y, P: len(y)], epochs=1, seed=0)
    assert history["validation_accuracy"] == [pytest.approx(np.average(net.predict(X) == y, weights=weight))]
    assert history["validation_<lambda>"] == [40]


def test_f1_of_a_constant_prediction_is_defined():
    assert METRICS["f1_macro"].function(np.array([[0], [1]]), np.zeros((2, 1))) == pytest.approx(1 / 3)


def test_the_log_loss_of_a_certain_mistake_is_finite():
    assert METRICS["log_loss"].function(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-np.log(1e-15))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("mse", theirs.mean_squared_error),
        ("rmse", theirs.root_mean_squared_error),
        ("mae", theirs.mean_absolute_error),
        ("r2", theirs.r2_score),
    ],
)
@pytest.mark.parametrize("k", [1, 3])
def test_scores_of_numbers_are_scikit_learns(name, function, k, rng):
    y, prediction = rng.normal(size=(40, k)), rng.normal(size=(40, k))
    expected = function(y, prediction)
    if name == "rmse" and k > 1:
        expected = np.sqrt(theirs.mean_squared_error(y, prediction))
    assert METRICS[name].function(y, prediction) == pytest.approx(expected)


def test_several_labels_are_scored_label_by_label(rng):
    Y, P = rng.integers(0, 2, (40, 3)), rng.random((40, 3))
    assert METRICS["accuracy"].function(Y, P) == pytest.approx(np.mean((P > 0.5) == Y))
    each = [theirs.log_loss(Y[:, j], P[:, j]) for j in range(3)]
    assert METRICS["log_loss"].function(Y, P) == pytest.approx(np.mean(each))
    assert METRICS["accuracy"].function(Y, Y.astype(float)) == 1
    assert METRICS["roc_auc"].function(Y, P) == pytest.approx(theirs.roc_auc_score(Y, P))
    each = [theirs.balanced_accuracy_score(Y[:, j], P[:, j] > 0.5) for j in range(3)]
    assert METRICS["balanced_accuracy"].function(Y, P) == pytest.approx(np.mean(each))
    each = [theirs.f1_score(Y[:, j], P[:, j] > 0.5, average="macro") for j in range(3)]
    assert METRICS["f1_macro"].function(Y, P) == pytest.approx(np.mean(each))


def test_a_metric_of_the_wrong_kind_is_refused():
    with pytest.raises(ValueError, match=r"metrics .*y, which has classes, got 'mse', a metric for numbers"):
        METRICS["mse"].check(np.array([0, 1, 2]))
    with pytest.raises(ValueError, match=r"metrics .*y, which has numbers, got 'accuracy', a metric for classes"):
        METRICS["accuracy"].check(np.array([[0.5], [7.0]]))
    METRICS["accuracy"].check(np.eye(3))
    METRICS["mse"].check(np.eye(3))


def test_a_metric_cannot_modify_its_arguments():
    def spoil(y, prediction):
        y[...] = 0

    with pytest.raises(ValueError, match="read-only"):
        as_metric(spoil).measure(np.ones((3, 1)), np.ones((3, 1)))


def test_a_function_is_a_metric_named_after_it():
    def worst(y, prediction):
        return float(np.abs(y - prediction).max())

    assert as_metric(worst).name == "worst"
    assert as_metric(METRICS["r2"]) is METRICS["r2"]
    with pytest.raises(ValueError, match=r"metrics must be one of {'accuracy'.*got 'auc'"):
        as_metric("auc")


@pytest.mark.parametrize(("given", "meant"), [("acuracy", "accuracy"), ("R2", "r2"), ("logloss", "log_loss")])
def test_a_misspelled_metric_is_refused_with_the_closest_name(given, meant):
    with pytest.raises(ValueError, match=rf"metrics .*got '{given}'\. Did you mean '{meant}'\?"):
        as_metric(given)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_metrics_in_training_measure_probabilities(loss, rng):
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    net = mlp(3, 4, 2 if loss == "cross_entropy" else 1, loss=loss, seed=0)
    history = train(net, X, y, epochs=2, metrics=["accuracy", "log_loss", "roc_auc"], seed=0)
    assert history["accuracy"][-1] == pytest.approx(theirs.accuracy_score(y, net.predict(X)))
    assert history["log_loss"][-1] == pytest.approx(theirs.log_loss(y, net.predict_proba(X)), rel=1e-5)
    assert history["roc_auc"][-1] == pytest.approx(theirs.roc_auc_score(y, net.predict_proba(X)[:, 1]))


# Intervals, quantiles and sets, against loops over the rows.


def weighted_mean(values, weight):
    total = sum(w * value for w, value in zip(weight, values))
    return total / sum(weight)


@pytest.fixture(params=["equal", "weights"])
def rows(request, rng):
    """Numbers (53,), intervals (53, 2), and weights, or None and ones."""
    y = rng.normal(size=53)
    interval = np.sort(rng.normal(size=(53, 2)), axis=1)
    interval[0] = y[0]
    weight = rng.uniform(0.1, 3, size=53) if request.param == "weights" else None
    return y, interval, weight, np.ones(53) if weight is None else weight


def test_coverage_is_the_fraction_of_rows_inside(rows):
    y, interval, weight, w = rows
    inside = [float(low <= value <= high) for value, (low, high) in zip(y, interval)]
    assert inside[0] == 1
    assert metrics.coverage(y, interval, weight) == pytest.approx(weighted_mean(inside, w))


def test_coverage_by_part_is_that_of_rows_next_to_each_other_in_an_order(rows, rng):
    y, interval, weight, w = rows
    by = rng.normal(size=53)
    ranks = [sum(other < value for other in by) for value in by]
    expected = []
    for first, last in ((0, 11), (11, 22), (22, 33), (33, 43), (43, 53)):
        part = [i for i in range(53) if first <= ranks[i] < last]
        inside = [float(interval[i, 0] <= y[i] <= interval[i, 1]) for i in part]
        expected.append(weighted_mean(inside, w[part]))
    np.testing.assert_allclose(metrics.coverage_by_part(y, interval, by, weight=weight), expected)


def test_a_part_without_rows_has_no_coverage():
    shares = metrics.coverage_by_part(np.zeros(2), np.zeros((2, 2)), np.arange(2.0), 3)
    np.testing.assert_array_equal(shares, [1, 1, np.nan])


def test_the_winkler_score_is_the_width_and_a_penalty_for_rows_outside(rows):
    y, interval, weight, w = rows
    scores = []
    for value, (low, high) in zip(y, interval):
        outside = low - value if value < low else value - high if value > high else 0
        scores.append(high - low + 2 / 0.2 * outside)
    assert metrics.winkler(y, interval, 0.8, weight) == pytest.approx(weighted_mean(scores, w))


def test_the_winkler_score_is_lowest_for_the_true_quantiles(rng):
    y = rng.exponential(size=50_000)
    true = -np.log(1 - np.array([0.05, 0.95]))
    best = metrics.winkler(y, np.tile(true, (len(y), 1)), 0.9)
    for shift in ([0.03, 0.5], [0.03, -0.5], [0, 0.5], [0, -0.5]):
        assert metrics.winkler(y, np.tile(true + shift, (len(y), 1)), 0.9) > best


def test_crps_is_twice_the_mean_quantile_loss(rows):
    y, interval, weight, w = rows
    levels, scores = np.array([0.25, 0.75]), []
    for value, quantiles in zip(y, interval):
        losses = [
            level * (value - q) if value > q else (1 - level) * (q - value) for level, q in zip(levels, quantiles)
        ]
        scores.append(2 * sum(losses) / 2)
    assert metrics.crps(y, interval, levels, weight) == pytest.approx(weighted_mean(scores, w))


def test_crps_is_the_integral_of_the_squared_distance_to_a_step():
    levels = (np.arange(2000) + 0.5) / 2000
    value = 0.3  # of a uniform distribution on [0, 1]: the integral of z^2 up to it, and of (1 - z)^2 beyond
    assert metrics.crps(np.array([value]), levels[np.newaxis], levels) == pytest.approx((0.3**3 + 0.7**3) / 3, abs=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_of_sets(weighted, rng):
    sets, y = rng.random(size=(40, 4)) < 0.6, rng.integers(0, 4, 40)
    weight = rng.uniform(0.1, 3, size=40) if weighted else None
    w = np.ones(40) if weight is None else weight
    hits, sizes = [float(row[k]) for row, k in zip(sets, y)], [sum(map(int, row)) for row in sets]
    assert metrics.set_coverage(y, sets, weight) == pytest.approx(weighted_mean(hits, w))
    assert metrics.set_size(sets, weight) == pytest.approx(weighted_mean(sizes, w))
