"""Sets of classes that contain the true one with a stated coverage."""

import numpy as np
import pytest

from chainrule import TabularClassifier, TabularRegressor, load, mlp
from chainrule.metrics import set_coverage, set_size
from chainrule.model.ensemble import Ensemble

K = 4


def noisy_classes(n, rng):
    """Probabilities (n, 4) and classes drawn from them, of which the last is rare."""
    Z = 1.5 * rng.normal(size=(n, K)) - [0, 0, 0, 2.5]
    P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    y = (P.cumsum(axis=1) < rng.random(size=(n, 1))).sum(axis=1)
    return P, np.minimum(y, K - 1)


def calibrated(P, y, weight=None):
    return Ensemble((mlp(2, K, loss="cross_entropy", seed=0),)).for_sets(P, y, weight)


@pytest.mark.parametrize("coverage", [0.7, 0.9, 0.99])
def test_sets_have_the_stated_coverage_on_new_rows(coverage, rng):
    P, y = noisy_classes(20_000, rng)
    sets = calibrated(P[:10_000], y[:10_000]).sets(P[10_000:], coverage)
    assert set_coverage(y[10_000:], sets) == pytest.approx(coverage, abs=0.015)


def test_with_probabilities_that_are_wrong_too(rng):
    P, y = noisy_classes(20_000, rng)
    wrong = np.sqrt(P) / np.sqrt(P).sum(axis=1, keepdims=True)
    sets = calibrated(wrong[:10_000], y[:10_000]).sets(wrong[10_000:], 0.9)
    assert set_coverage(y[10_000:], sets) == pytest.approx(0.9, abs=0.015)


def test_by_class_each_class_is_covered_even_the_rare_one(rng):
    P, y = noisy_classes(40_000, rng)
    ensemble, new = calibrated(P[:20_000], y[:20_000]), y[20_000:]
    on_average, by_class = (ensemble.sets(P[20_000:], 0.9, by) for by in (False, True))
    rare = new == K - 1
    assert set_coverage(new[rare], on_average[rare]) < 0.7
    for k in range(K):
        assert set_coverage(new[new == k], by_class[new == k]) == pytest.approx(0.9, abs=0.05)
    assert set_size(by_class) > set_size(on_average)


def test_sets_grow_with_the_coverage_and_are_never_empty(rng):
    P, y = noisy_classes(2000, rng)
    ensemble = calibrated(P[:1000], y[:1000])
    smaller = np.zeros((1000, K), bool)
    for coverage in (0.001, 0.1, 0.5, 0.9, 0.99, 0.9999):
        sets = ensemble.sets(P[1000:], coverage)
        assert sets[np.arange(1000), P[1000:].argmax(axis=1)].all()
        assert (sets >= smaller).all()
        smaller = sets
    assert sets.all()


def test_weights_count_as_copies(rng):
    P, y = noisy_classes(300, rng)
    weight = rng.integers(1, 4, 300)
    repeated = calibrated(np.repeat(P, weight, axis=0), np.repeat(y, weight))
    weighted = calibrated(P, y, weight.astype(float))
    np.testing.assert_allclose(weighted.scores[500:990, 0], repeated.scores[500:990, 0], atol=0.03)


@pytest.mark.parametrize("weight", [None, np.ones(60)])
def test_a_class_without_held_out_rows_is_in_every_set_by_class(weight, rng):
    P, y = noisy_classes(60, rng)
    y[y == K - 1] = 0
    assert calibrated(P, y, weight).sets(P, 0.6, by_class=True)[:, K - 1].all()


def test_an_ensemble_that_was_not_calibrated_refuses(rng):
    P, y = noisy_classes(60, rng)
    with pytest.raises(ValueError, match="prediction sets are only available for a calibrated classification model"):
        Ensemble((mlp(2, K, loss="cross_entropy"),)).sets(P, 0.9)
    with pytest.raises(ValueError, match="coverage must be strictly between 0 and 1, got 1"):
        calibrated(P, y).sets(P, 1)
    with pytest.raises(ValueError, match="only available for a calibrated regression model"):
        calibrated(P, y).ends(0.9)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1200, 2))
    labels = np.array(["low", "middle", "top"])[np.digitize(X[:, 0] + 0.7 * rng.normal(size=1200), [-0.8, 0.8])]
    model = TabularClassifier(quality="fast", random_state=0).fit(X[:600], labels[:600])
    return model, X[600:], labels[600:]


@pytest.mark.parametrize("by_class", [False, True])
def test_a_classifier_predicts_lists_of_labels(fitted, by_class, tmp_path):
    model, X, labels = fitted
    sets = model.predict_set(X, 0.85, by_class)
    assert np.mean([label in each for label, each in zip(labels, sets)]) == pytest.approx(0.85, abs=0.05)
    assert all(isinstance(label, str) for each in sets for label in each)
    assert [each[0] for each in sets] == model.predict(X).tolist()
    P = model.predict_proba(X)
    for each, p in zip(sets, P):
        shown = [p[model.classes_.tolist().index(label)] for label in each]
        assert shown == sorted(shown, reverse=True)
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").predict_set({"x0": X[:, 0], "x1": X[:, 1]}, 0.85, by_class) == sets


def test_a_regressor_has_no_sets(rng):
    model = TabularRegressor(quality="fast", epochs=1).fit(rng.normal(size=(40, 1)), rng.normal(size=40))
    with pytest.raises(ValueError, match="only available for a calibrated classification model"):
        model.predictor_.predict_set({"x0": [1.0]})
