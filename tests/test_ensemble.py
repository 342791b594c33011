import numpy as np
import pytest

from chainrule import mlp
from chainrule.model.ensemble import Ensemble, best_temperature, least, residual_quantile
from chainrule.nn.losses import CrossEntropy, softmax


@pytest.fixture
def classifiers():
    return tuple(mlp(3, 4, 2, loss="cross_entropy", seed=seed, dtype="float64") for seed in range(3))


def test_classifiers_average_tempered_probabilities_and_mix_in_doubt(classifiers, rng):
    X = rng.normal(size=(5, 3))
    mean = np.mean([softmax(network.outputs(X) / 2.0) for network in classifiers], axis=0)
    np.testing.assert_allclose(Ensemble(classifiers, temperature=2.0).predict(X), mean)
    doubtful = Ensemble(classifiers, temperature=2.0, rows=9).predict(X)
    np.testing.assert_allclose(doubtful, (9 * mean + 1 / 2) / 10)
    np.testing.assert_allclose(doubtful.sum(axis=1), 1)


def test_doubt_keeps_certainty_below_one(classifiers):
    for network in classifiers:
        network.theta = 100 * network.theta
    P = Ensemble(classifiers, rows=100).predict(np.ones((1, 3)))
    assert P.max() <= (100 + 1 / 2) / 101


def test_numbers_are_averaged_and_kept_in_range(rng):
    networks = tuple(mlp(3, 4, 2, seed=seed, dtype="float64") for seed in range(2))
    X = rng.normal(size=(50, 3))
    mean = (networks[0].predict(X) + networks[1].predict(X)) / 2
    np.testing.assert_allclose(Ensemble(networks).predict(X), mean)
    low, high = np.array([-0.1, -np.inf]), np.array([0.2, np.inf])
    np.testing.assert_allclose(Ensemble(networks, low=low, high=high).predict(X), np.clip(mean, low, high))


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_temperature_that_made_the_labels_is_found(true, rng):
    Z = 3 * rng.normal(size=(20_000, 3))
    P = softmax(Z / true)
    y = (P.cumsum(axis=1) < rng.random((len(Z), 1))).sum(axis=1)
    assert best_temperature(Z, y) == pytest.approx(true, rel=0.05)


def test_the_temperature_is_the_least_of_the_cross_entropy_by_a_grid_too(rng):
    Z, y = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    weight = rng.random(50)
    grid = np.exp(np.linspace(np.log(0.02), np.log(50), 20_001))
    values = [CrossEntropy()(Z / t, y, weight)[0] for t in grid]
    assert best_temperature(Z, y, weight) == pytest.approx(grid[np.argmin(values)], rel=1e-3)


def test_the_least_of_a_valley_is_found():
    assert least(lambda t: (t - 1.7) ** 2, -10, 10) == pytest.approx(1.7, abs=1e-6)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
def test_half_the_width_covers_what_it_promises(coverage, rng):
    residuals = np.abs(rng.normal(size=(5000, 1)))
    half = residual_quantile(residuals, coverage)
    assert np.mean(np.abs(rng.normal(size=20_000)) <= half) == pytest.approx(coverage, abs=0.015)


def test_too_few_rows_for_a_coverage_promise_nothing_finite():
    assert residual_quantile(np.ones((5, 1)), 0.9)[0] == np.inf
    assert residual_quantile(np.arange(9.0)[:, np.newaxis], 0.9)[0] == 8
    with pytest.raises(ValueError, match="coverage must lie strictly between 0 and 1"):
        residual_quantile(np.ones((5, 1)), 1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Ensemble(()),
        lambda: Ensemble((mlp(2, 1), mlp(3, 1))),
        lambda: Ensemble((mlp(2, 1),), temperature=0),
        lambda: Ensemble((mlp(2, 1),), rows=0),
    ],
)
def test_what_cannot_answer_together_is_refused(make):
    with pytest.raises(ValueError, match="must"):
        make()
