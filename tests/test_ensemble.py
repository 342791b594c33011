from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

from chainrule import mlp
from chainrule.model.conformal import conformal_quantiles
from chainrule.model.ensemble import Ensemble, best_temperature, minimize
from chainrule.nn.losses import CrossEntropy, softmax


@pytest.fixture
def classifiers():
    return tuple(mlp(3, 4, 2, loss="cross_entropy", seed=seed, dtype="float64") for seed in range(3))


def test_classifiers_average_tempered_probabilities_and_smooth_them(classifiers, rng):
    X = rng.normal(size=(5, 3))
    mean = np.mean([softmax(network.outputs(X) / 2.0) for network in classifiers], axis=0)
    np.testing.assert_allclose(Ensemble(classifiers, temperature=2.0).predict(X), mean)
    smoothed = Ensemble(classifiers, temperature=2.0, smoothing=1 / 9).predict(X)
    np.testing.assert_allclose(smoothed, (9 * mean + 1 / 2) / 10)
    np.testing.assert_allclose(smoothed.sum(axis=1), 1)


def test_the_mean_is_weighted_and_networks_may_have_different_layers(rng):
    networks = (
        mlp(3, 4, 2, seed=0, dtype="float64"),
        mlp(3, 2, seed=1, dtype="float64"),
        mlp(3, 2, seed=2, dtype="float64"),
    )
    X = rng.normal(size=(5, 3))
    expected = sum(weight * network.predict(X) for weight, network in zip((0.5, 0.3, 0.2), networks))
    np.testing.assert_allclose(Ensemble(networks, (0.5, 0.3, 0.2)).predict(X), expected)
    np.testing.assert_allclose(Ensemble(networks, (0, 1, 0)).predict(X), networks[1].predict(X))
    assert Ensemble(networks).weights == (1 / 3,) * 3


def test_smoothing_keeps_probabilities_below_one(classifiers):
    for network in classifiers:
        network.theta = 100 * network.theta
    P = Ensemble(classifiers, smoothing=1 / 100).predict(np.ones((1, 3)))
    assert P.max() <= (100 + 1 / 2) / 101


def test_regressors_average_predictions_and_clip_them_to_the_bounds(rng):
    networks = tuple(mlp(3, 4, 2, seed=seed, dtype="float64") for seed in range(2))
    X = rng.normal(size=(50, 3))
    mean = (networks[0].predict(X) + networks[1].predict(X)) / 2
    np.testing.assert_allclose(Ensemble(networks).predict(X), mean)
    bounds = np.array([[-0.1, -np.inf], [0.2, np.inf]])
    np.testing.assert_allclose(Ensemble(networks, bounds=bounds).predict(X), np.clip(mean, *bounds))


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_temperature_that_generated_the_labels_is_recovered(true, rng):
    Z = 3 * rng.normal(size=(20_000, 3))
    P = softmax(Z / true)
    y = (P.cumsum(axis=1) < rng.random((len(Z), 1))).sum(axis=1)
    assert best_temperature(Z, y) == pytest.approx(true, rel=0.05)


def test_the_temperature_agrees_with_a_grid_search_over_the_cross_entropy(rng):
    Z, y = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    weight = rng.random(50)
    grid = np.exp(np.linspace(np.log(0.02), np.log(50), 20_001))
    values = [CrossEntropy()(Z / t, y, weight)[0] for t in grid]
    assert best_temperature(Z, y, weight) == pytest.approx(grid[np.argmin(values)], rel=1e-3)


def test_minimize_finds_the_minimum():
    assert minimize(lambda t: (t - 1.7) ** 2, -10, 10) == pytest.approx(1.7, abs=1e-6)


@pytest.mark.parametrize("quantile", [0.05, 0.25, 0.5, 0.8, 0.975])
def test_that_fraction_of_new_rows_lies_below_a_quantile_of_a_skewed_distribution(quantile, rng):
    threshold = conformal_quantiles(rng.exponential(size=(5000, 1)))[round(1000 * quantile) - 1]
    assert np.mean(rng.exponential(size=20_000) <= threshold) == pytest.approx(quantile, abs=0.015)


def test_with_too_few_rows_for_a_quantile_it_is_infinite():
    few = conformal_quantiles(np.arange(9.0)[:, np.newaxis])[:, 0]
    assert few[98] == -np.inf
    assert few[99] == 0
    assert few[899] == 8
    assert few[900] == np.inf


def test_every_quantile_is_the_order_statistic_of_the_paper(rng):
    R = rng.normal(size=(37, 2))
    quantiles = conformal_quantiles(R)
    ends = {0: [-np.inf, -np.inf], 38: [np.inf, np.inf]}
    for thousandths in range(1, 1000):
        place = Fraction(38 * thousandths, 1000)
        k = floor(place) if thousandths < 500 else ceil(place)
        np.testing.assert_array_equal(quantiles[thousandths - 1], ends.get(k, np.sort(R, axis=0)[min(k, 37) - 1]))


def test_equal_weights_change_no_quantile(rng):
    R = rng.normal(size=(37, 2))
    for weight in (1.0, 2.5):
        np.testing.assert_array_equal(conformal_quantiles(R, np.full(37, weight)), conformal_quantiles(R))


def test_a_weighted_quantile_leaves_out_the_least_weight_that_exceeds_its_level(rng):
    R, weight = rng.normal(size=23), rng.integers(1, 9, 23)
    total = Fraction(int(weight.sum())) * Fraction(24, 23)  # the new row has the mean weight
    quantiles = conformal_quantiles(R[:, np.newaxis], weight.astype(float))[:, 0]
    for thousandths in range(1, 1000):
        level = Fraction(thousandths, 1000)
        if level < Fraction(1, 2):
            reached = [r for r in R if int(weight[r <= R].sum()) >= (1 - level) * total]
            assert quantiles[thousandths - 1] == max(reached, default=-np.inf)
        else:
            reached = [r for r in R if int(weight[r >= R].sum()) >= level * total]
            assert quantiles[thousandths - 1] == min(reached, default=np.inf)


def test_weighted_quantiles_cover_the_rows_that_the_weights_stand_for(rng):
    rare = rng.random(6000) < 0.1  # rows with ten times the error, weighted as if they were half of all rows
    R = rng.normal(size=6000) * np.where(rare, 10, 1)
    low, high = conformal_quantiles(R[:, np.newaxis], np.where(rare, 9.0, 1.0))[[49, 949], 0]
    new_rare = rng.random(20_000) < 0.5
    new = rng.normal(size=20_000) * np.where(new_rare, 10, 1)
    assert np.mean((low <= new) & (new <= high)) == pytest.approx(0.9, abs=0.015)


def test_an_interval_is_rounded_outwards(rng):
    net = mlp(2, 1, seed=0)
    bounds = np.array([[-1.0], [1.0]])
    ensemble = Ensemble.of_numbers([net], rng.normal(size=(5000, 1)), rng.normal(size=(5000, 1)), bounds)
    R = ensemble.scores
    assert ensemble.ends(0.9) == (R[49], R[949])
    assert ensemble.ends(0.9001) == (R[48], R[950])
    assert ensemble.ends(0.07) == (R[464], R[534])
    assert ensemble.ends(0.9999) == (-np.inf, np.inf)
    for coverage in (0, 1, -0.5, np.nan, "0.9", None, [0.9]):
        with pytest.raises(ValueError, match="coverage must be strictly between 0 and 1"):
            ensemble.ends(coverage)
        with pytest.raises(ValueError, match="quantile must be strictly between 0 and 1"):
            ensemble.score(coverage)
    with pytest.raises(ValueError, match="only available for a calibrated regression model"):
        Ensemble((net,)).ends(0.9)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Ensemble(()),
        lambda: Ensemble((mlp(2, 1), mlp(3, 1))),
        lambda: Ensemble((mlp(2, 1),), temperature=0),
        lambda: Ensemble((mlp(2, 1), mlp(2, 1)), weights=(0.5, 0.6)),
        lambda: Ensemble((mlp(2, 1), mlp(2, 1)), weights=(1.0,)),
        lambda: Ensemble((mlp(2, 1), mlp(2, 1)), weights=(-0.5, 1.5)),
        lambda: Ensemble((mlp(2, 1), mlp(2, 1)), weights=(np.nan, 1.0)),
        lambda: Ensemble((mlp(2, 1), mlp(2, 1)), weights=("0", "1")),
        lambda: Ensemble((mlp(2, 1), mlp(2, 1, loss="absolute_error"))),
        lambda: Ensemble((mlp(2, 1), mlp(2, 1, dtype="float64"))),
        lambda: Ensemble((mlp(2, 1),), smoothing=-1),
        lambda: Ensemble((mlp(2, 1),), bounds=np.array([[1.0], [0.0]])),
        lambda: Ensemble((mlp(2, 1),), bounds=np.zeros((2, 2))),
        lambda: Ensemble((mlp(2, 1),), scores=np.full((999, 1), np.nan)),
    ],
)
def test_an_inconsistent_ensemble_is_refused(make):
    with pytest.raises(ValueError, match="must"):
        make()
