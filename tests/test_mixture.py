"""Families of networks are weighted by their predictions out of fold."""

from itertools import product

import numpy as np
import pytest

from chainrule import History, mlp
from chainrule.model.mixture import Family, families_of, greedy_weights, mix_classes, mix_numbers
from chainrule.model.recipe import Member
from chainrule.nn.losses import CrossEntropy


def squared(y):
    return lambda P: float(((P - y) ** 2).mean())


def naive_greedy(predictions, error, steps):
    """Return the weights of the best prefix of a greedily chosen sequence, with means computed anew."""
    chosen, best = [], (np.inf, None)
    for _ in range(steps):
        means = [np.mean([predictions[k] for k in [*chosen, new]], axis=0) for new in range(len(predictions))]
        errors = [error(mean) for mean in means]
        chosen.append(errors.index(min(errors)))
        if min(errors) < best[0] - 1e-15:
            best = min(errors), list(chosen)
    return [best[1].count(k) / len(best[1]) for k in range(len(predictions))]


@pytest.mark.parametrize(("seed", "steps"), list(product(range(5), [1, 3, 20])))
def test_greedy_weights_are_those_of_a_naive_search(seed, steps):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(40, 2))
    predictions = [y + scale * rng.normal(size=y.shape) for scale in (0.5, 0.6, 0.7, 3.0)]
    weights = greedy_weights(predictions, squared(y), steps)
    assert weights == pytest.approx(naive_greedy(predictions, squared(y), steps))
    assert sum(weights) == pytest.approx(1)


def test_greedy_weights_are_never_worse_than_the_best_prediction(rng):
    y = rng.normal(size=(30, 1))
    predictions = [y + rng.normal(size=y.shape) for _ in range(6)]
    weights = greedy_weights(predictions, squared(y))
    mean = sum(weight * P for weight, P in zip(weights, predictions))
    assert squared(y)(mean) <= min(map(squared(y), predictions))


def test_a_perfect_prediction_gets_all_the_weight(rng):
    y = rng.normal(size=(30, 1))
    assert greedy_weights([y + 1, y, y + rng.normal(size=y.shape)], squared(y)) == [0, 1, 0]


def family(outputs, n_networks=2, **options):
    """Return a family with these outputs out of fold, whose networks have nothing to do with them."""
    networks = tuple(mlp(3, 4, outputs.shape[1], seed=k, dtype="float64", **options) for k in range(n_networks))
    return Family(networks, np.arange(len(outputs)), outputs)


def test_numbers_are_predicted_by_the_better_family(rng):
    Y = rng.normal(size=(200, 1))
    good, bad = family(Y + 0.1 * rng.normal(size=Y.shape)), family(rng.normal(size=Y.shape), n_networks=3)
    bounds = np.stack([Y.min(axis=0), Y.max(axis=0)])
    networks, weights, outputs = mix_numbers([bad, good], Y, bounds, None)
    assert networks == good.networks
    assert weights == (0.5, 0.5)
    np.testing.assert_allclose(outputs, good.outputs)


def test_numbers_are_predicted_by_several_families_whose_errors_differ(rng):
    Y = rng.normal(size=(300, 1))
    families = [family(Y + 0.5 * rng.normal(size=Y.shape), n_networks=k) for k in (1, 2)]
    networks, weights, predictions = mix_numbers(families, Y, np.array([[-9.0], [9.0]]), None)
    assert networks == families[0].networks + families[1].networks
    assert weights[1] == weights[2]
    assert sum(weights) == pytest.approx(1)
    share = weights[0]
    np.testing.assert_allclose(predictions, share * families[0].outputs + (1 - share) * families[1].outputs)
    assert 0.3 < share < 0.7


def test_weights_of_rows_decide_which_family_is_better(rng):
    Y = np.zeros((100, 1))
    late = np.arange(100) >= 50
    families = [family(np.where(late, 1.0, 0.1)[:, np.newaxis]), family(np.where(late, 0.1, 1.0)[:, np.newaxis])]
    bounds = np.array([[-9.0], [9.0]])
    for weight, best in ((np.where(late, 1e-3, 1.0), 0), (np.where(late, 1.0, 1e-3), 1)):
        assert mix_numbers(families, Y, bounds, weight)[0] == families[best].networks


def test_classes_are_predicted_by_the_better_family_calibrated(rng):
    y = rng.integers(0, 3, 600)
    noisy = np.where(rng.random(600) < 0.2, rng.integers(0, 3, 600), y)  # a fifth of the rows are guesses
    good, bad = family(10.0 * np.eye(3)[noisy], loss="cross_entropy"), family(rng.normal(size=(600, 3)))
    raw = [network.outputs(np.ones((1, 3))) for network in good.networks]
    ensemble, P, temperatures = mix_classes([bad, good], y, None)
    assert ensemble.networks == good.networks
    assert ensemble.weights == (0.5, 0.5)
    assert ensemble.smoothing == 1 / 600
    assert P[np.arange(600), noisy].mean() == pytest.approx((y == noisy).mean(), abs=0.01)
    scales = [before / network.outputs(np.ones((1, 3))) for before, network in zip(raw, good.networks)]
    np.testing.assert_allclose(np.array(scales) * ensemble.temperature, 10 / np.log(P.max() / P.min()), rtol=0.02)
    np.testing.assert_allclose(temperatures, np.mean(scales, axis=(1, 2)) * ensemble.temperature, rtol=1e-5)


def test_families_of_different_temperatures_are_mixed_and_not_worse_than_either(rng):
    Z = 2 * rng.normal(size=(500, 3))
    y = (Z + rng.gumbel(size=Z.shape)).argmax(axis=1)
    outputs = [5 * (Z + rng.normal(size=Z.shape)), 0.2 * (Z + rng.normal(size=Z.shape))]
    loss = CrossEntropy()

    def error(P):
        return loss(np.log(P), y)[0]

    alone = [error(mix_classes([family(Z, loss="cross_entropy")], y, None)[1]) for Z in outputs]
    ensemble, P, _ = mix_classes([family(Z, loss="cross_entropy") for Z in outputs], y, None)
    assert len(ensemble.networks) == 4
    assert error(P) < min(alone) - 0.01


def member(name, rows, outputs):
    network = mlp(3, 1, seed=len(name))
    return Member(name, (network,), np.array(rows), np.array(outputs, np.float32)[:, np.newaxis], History())


def test_members_are_grouped_by_family_and_rows_held_out_twice_are_averaged():
    members = [
        member("plain", [3, 1], [30, 10]),
        member("waves", [3, 1], [31, 11]),
        member("plain", [0, 1], [5, 20]),
        member("waves", [0, 1], [6, 21]),
    ]
    plain, waves = families_of(members)
    assert plain.rows.tolist() == waves.rows.tolist() == [0, 1, 3]
    assert plain.outputs.ravel().tolist() == [5, 15, 30]
    assert waves.outputs.ravel().tolist() == [6, 16, 31]
    assert len(plain.networks) == 2
    assert all(network.dtype == np.float64 for network in plain.networks)


def test_a_family_with_missing_folds_is_left_out():
    members = [
        member("plain", [0, 1], [0, 1]),
        member("plain", [2, 3], [2, 3]),
        member("waves", [0, 1], [0, 1]),
        member("linear", [0, 1], [4, 5]),
        member("linear", [2, 3], [6, 7]),
    ]
    assert [f.outputs.ravel().tolist() for f in families_of(members)] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_family_with_as_many_but_other_rows_is_left_out():
    plain = [member("plain", [0, 1], [0, 1]), member("plain", [2, 3], [2, 3])]
    waves = [member("waves", [0, 1], [0, 1]), member("waves", [4, 5], [4, 5])]
    assert len(families_of([*plain, *waves])) == 1
