"""Predictions from training rows nearby, in places that a network learns."""

from dataclasses import replace

import numpy as np
import pytest

from chainrule import check_gradients
from chainrule.data.splits import Split
from chainrule.data.targets import fit_target
from chainrule.model.neighbors import LEAST, MAX_CENTERS, N_DIMENSIONS, centers_of
from chainrule.model.recipe import CLASSIFICATION, REGRESSION, train_member

RNG = np.random.default_rng(0)
X, WEIGHT = RNG.normal(size=(40, 3)), RNG.integers(1, 4, 40).astype(float)
CLASSES, NUMBERS = RNG.integers(0, 3, 40), RNG.normal(size=(40, 2))
TARGETS = {"classes": (CLASSIFICATION, CLASSES, 3), "numbers": (REGRESSION, NUMBERS, 2)}
KINDS = pytest.mark.parametrize(("recipe", "y", "n_out"), TARGETS.values(), ids=TARGETS)


def neighbor_network(recipe, y, n_out, weight=None):
    """Return a network that places rows, in float64."""
    recipe = replace(recipe, hidden=(8,), by_neighbors=True).fitted(X, y, weight)
    network = recipe.network(3, n_out, seed=0).copy(dtype="float64")
    network.theta = 0.5 * network.theta  # near enough for every center to have a share
    return network


def averaged(E, C, y, weight, alone=False):
    """Return the mean of the targets y of centers at C for each place of E, computed one by one."""
    T = np.eye(3)[y] if y.ndim == 1 else y
    means = []
    for i, e in enumerate(E):
        shares = [weight[j] * np.exp(-np.sum((e - c) ** 2) / len(c)) for j, c in enumerate(C)]
        if alone:
            shares[i] = 0
        means.append(np.average(T, axis=0, weights=shares))
    return np.array(means)


@KINDS
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weighted"])
def test_the_loss_predicts_each_row_of_a_batch_from_the_others_and_has_the_right_gradient(recipe, y, n_out, weight):
    network = neighbor_network(recipe, y, n_out)
    assert network.n_out == N_DIMENSIONS
    assert check_gradients(network, X, y, weight).ok
    weights = np.ones(40) if weight is None else weight
    E = network.outputs(X)
    P = averaged(E, E, y, weights, alone=True)
    of_classes = y.ndim == 1
    own = (P[np.arange(40), y] + LEAST) / (1 + 3 * LEAST) if of_classes else None
    losses = -np.log(own) if of_classes else ((P - y) ** 2).sum(axis=1) / 2
    if weight is None:
        np.testing.assert_allclose(network.loss.per_row(E, y)[0], losses, rtol=1e-9)
    assert network.loss_and_grad(X, y, weight)[0] == pytest.approx(np.average(losses, weights=weights), rel=1e-9)


@KINDS
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weighted"])
def test_afterwards_an_ordinary_network_averages_the_targets_of_the_centers(recipe, y, n_out, weight, rng):
    network = neighbor_network(recipe, y, n_out, weight)
    ordinary = network.ordinary()
    assert ordinary.loss == recipe.loss
    new = rng.normal(size=(7, 3))
    P = averaged(network.outputs(new), network.outputs(X), y, np.ones(40) if weight is None else weight)
    expected = (P + LEAST) / (1 + 3 * LEAST) if y.ndim == 1 else P
    np.testing.assert_allclose(ordinary(new), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(network(new), expected, rtol=0, atol=1e-9)


@KINDS
def test_a_row_of_weight_2_is_two_rows_and_a_row_that_is_alone_has_a_finite_loss(recipe, y, n_out):
    network = neighbor_network(recipe, y, n_out)
    copies = np.repeat(np.arange(40), WEIGHT.astype(int))
    new = X + 0.1
    network.centers = (X, y, WEIGHT)
    weighted = network(new)
    network.centers = (X[copies], y[copies], None)
    np.testing.assert_allclose(network(new), weighted, rtol=0, atol=1e-9)
    loss, grad = network.loss_and_grad(X[:1], y[:1])
    assert np.isfinite(loss)
    assert not grad.any()


def test_quantiles_are_as_far_apart_as_the_errors_nearby(rng):
    x = rng.uniform(-1, 1, size=(600, 1)).astype(np.float32)
    numbers = x[:, 0] + np.where(x[:, 0] > 0, 0.5, 0.05) * rng.normal(size=600)
    target = fit_target("y", numbers)
    recipe = replace(REGRESSION, hidden=(16,), epochs=8, by_neighbors=True)
    split = Split(np.arange(400), np.arange(400, 600))
    member = train_member(recipe, (x, target.encode(numbers), None), split, target, 0)
    (network,) = member.networks
    Z = network.outputs(x[split.held_out])
    np.testing.assert_array_equal(np.diff(Z[:, 1:], axis=1) >= 0, True)
    low, high, y = Z[:, 1], Z[:, -1], target.encode(numbers[400:])[:, 0]
    right = x[400:, 0] > 0
    assert np.median((high - low)[right]) > 4 * np.median((high - low)[~right])
    assert 0.8 < ((low <= y) & (y <= high)).mean() < 0.97


def test_places_are_learned_in_which_rows_of_one_class_are_near(rng):
    x = rng.uniform(-2, 2, size=(700, 6)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(int)  # four fields of a chessboard, and four columns of noise
    target = fit_target("y", y)
    split = Split(np.arange(500), np.arange(500, 700))
    recipe = replace(CLASSIFICATION, hidden=(32, 32), epochs=20, by_neighbors=True)
    member = train_member(recipe, (x, y, None), split, target, 0)
    learned = (member.outputs.argmax(axis=1) == y[500:]).mean()
    untrained = recipe.fitted(x[:500], y[:500], None).network(6, 2, seed=0)
    assert learned > 0.9 > 0.1 + (untrained(x[500:]).argmax(axis=1) == y[500:]).mean()


def test_many_rows_have_few_centers_which_are_training_rows_from_all_over_the_table(rng):
    n = 5 * MAX_CENTERS  # every fifth row would be one of a kind, if kinds alternate
    x, y = rng.normal(size=(n, 2)), np.arange(n)[:, np.newaxis]
    centers, targets, weight = centers_of(x, y, 2 * np.ones(n))
    assert len(centers) == len(np.unique(targets)) == len(weight) == MAX_CENTERS
    np.testing.assert_array_equal(centers, x[targets[:, 0]])
    for part in (targets % 5, targets // MAX_CENTERS):
        assert np.bincount(part[:, 0]).min() > MAX_CENTERS / 6
    recipe = replace(REGRESSION, by_neighbors=True)
    assert recipe.batch_size_for(2049) == 228  # not eight of 256 and one of 1
