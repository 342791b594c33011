"""Networks with the same layers are computed together, and predict what each of them predicts alone."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from chainrule import (
    Activation,
    BatchNorm,
    Bounded,
    Dense,
    Dropout,
    LayerNorm,
    Network,
    OutOfRangeError,
    Residual,
    Scale,
)
from chainrule.model import stack
from chainrule.model.embeddings import Lookup, Periodic, PiecewiseLinear, Select, Unclip
from chainrule.model.ensemble import Ensemble
from chainrule.model.quantiles import LEVELS, MeanAndQuantiles, in_order
from chainrule.nn.losses import CrossEntropy, SquaredError, softmax

N_IN, EDGES = 4, (-1.0, 0.0, 0.5, 2.0)
LOOKUP = Lookup(N_IN, (1, 3), (3, 2), n_out=2, rate=0.1)
FRONTS = {
    "none": [],
    "scaled": [Scale(N_IN)],
    "unclipped and selected": [Select(N_IN, (2, 0)), Unclip(), Scale(2)],
    "waves": [Periodic(N_IN, (0, 2), n_waves=5), Scale(10)],
    "waves of neighbors": [Periodic(N_IN, (1, 2), n_waves=5), Dropout(0.5)],
    "pieces": [PiecewiseLinear(N_IN, (0, 3), (EDGES, EDGES))],
    "vectors": [LOOKUP, Scale(6)],
    "waves and vectors": [LOOKUP, Periodic(6, (0, 1, 4)), Scale(15)],
    "pieces and vectors": [LOOKUP, PiecewiseLinear(6, (1,), (EDGES,)), Scale(9)],
    "a block": [Dense(N_IN, 3), Residual([Dense(3, 5), Activation("mish"), Dense(5, 3)]), LayerNorm(3)],
    "batch norm": [BatchNorm(N_IN)],
    "vectors behind parameters": [Scale(N_IN), LOOKUP],
    "a custom activation": [Dense(N_IN, 3), Activation(lambda Z: (np.sort(Z, axis=0), lambda dA: dA))],
}
NOT_TOGETHER = {"batch norm", "vectors behind parameters", "a custom activation"}
LOSSES = {"classes": (CrossEntropy(), 3), "numbers": (SquaredError(), 2), "quantiles": (MeanAndQuantiles(), 40)}


def networks(front, loss, activation="selu", n=3, first_seed=0):
    """Return networks of the same layers, in float64 and with nothing 0."""
    loss, n_out = LOSSES[loss]
    width = N_IN
    for layer in front:
        width = layer.width_after(width)
    layers = [*front, Dense(width, 6), Activation(activation), Dense(6, n_out)]
    built = [Network(layers, loss, seed=first_seed + seed, dtype="float64") for seed in range(n)]
    for seed, network in enumerate(built):
        network.theta += np.random.default_rng(seed).normal(size=network.theta.shape) / 5
    return built


def rows(rng, n):
    return np.column_stack([2 * rng.normal(size=(n, N_IN - 2)), rng.integers(0, 4, n), rng.normal(size=n)])[
        :, [0, 2, 1, 3]
    ]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("front", FRONTS)
def test_the_prediction_is_the_mean_of_those_of_the_networks_one_by_one(front, loss, rng):
    members = networks(FRONTS[front], loss) + networks([Scale(N_IN), Bounded(-1, 1)], loss, "relu", 2, first_seed=9)
    alone, weights = [network.copy() for network in members], (0.3, 0.1, 0.2, 0.25, 0.15)
    options = {"temperature": 1.7, "smoothing": 0.1} if loss == "classes" else {}
    ensemble = Ensemble(tuple(members), weights, **options)
    for n in (1, 3):
        X = rows(rng, n)
        outputs = [network.outputs(X) for network in alone]
        link = (lambda Z: softmax(Z / 1.7)) if loss == "classes" else alone[0].loss.predict
        expected = sum(weight * link(Z) for weight, Z in zip(weights, outputs))
        if loss == "classes":
            expected = (expected + 0.1 / 3) / 1.1
        np.testing.assert_allclose(ensemble.infer(X), expected, rtol=1e-12, atol=1e-14)
        ordered = sum(weight * in_order(alone[0].loss, Z) for weight, Z in zip(weights, outputs))
        distribution = ensemble.distribution(X)
        np.testing.assert_allclose(distribution.means, alone[0].loss.predict(ordered), rtol=1e-12, atol=1e-14)
        if loss == "quantiles":
            medians = ordered.reshape(n, 2, 1 + len(LEVELS))[:, :, 10]
            np.testing.assert_allclose(distribution.values[:, :, 9], medians, rtol=1e-12, atol=1e-14)
    kinds = [type(part) for part in stack.stacks_of(members)]
    assert kinds == [*([stack.Alone] * 3 if front in NOT_TOGETHER else [stack.Stack]), stack.Stack]


@pytest.mark.parametrize("front", ["scaled", "waves and vectors"])
def test_a_row_that_is_not_finite_and_an_overflow_are_named_as_by_a_network(front, rng):
    members = networks(FRONTS[front], "numbers", "tanh")  # whose outputs are finite for infinite inputs
    ensemble, X = Ensemble(tuple(members)), rows(rng, 3)
    ensemble.infer(X)
    for value in (np.nan, -np.inf):
        wrong = X.copy()
        wrong[1, 2] = value
        with pytest.raises(ValueError, match=rf"X must be finite in float64, got {value} at X\[1, 2\]"):
            ensemble.infer(wrong)
    members[2].params[-1]["b"][1] = np.inf
    with pytest.raises(OutOfRangeError, match=rf"layer {len(members[2].layers) - 1}, .* overflows float64") as alone:
        members[2].outputs(X)
    with pytest.raises(OutOfRangeError) as together:
        ensemble.infer(X)
    assert str(together.value) == str(alone.value)


def test_networks_that_change_are_followed_whichever_ensemble_they_are_in(rng):
    members, X = networks(FRONTS["scaled"], "numbers"), rows(rng, 2)
    whole, part = Ensemble(tuple(members)), Ensemble(tuple(members[1:]))
    for change in (0.5, 2.0, 0.25):
        for network in members:
            network.theta *= change
            network.params[-1]["b"] += 1
        for ensemble in (whole, part, whole):
            expected = np.mean([network.predict(X) for network in ensemble.networks], axis=0)
            np.testing.assert_allclose(ensemble.predict(X), expected, rtol=1e-12)
    assert replace(whole, bounds=np.array([[0.0, 0], [0, 0]])).predict(X).tolist() == [[0, 0], [0, 0]]


def test_an_ensemble_is_pickled_as_before_its_first_prediction(rng):
    ensemble, X = Ensemble(tuple(networks(FRONTS["waves"], "classes"))), rows(rng, 2)
    ensemble.networks[0].predict(X)  # layers remember what they compute from their options
    before = pickle.dumps(ensemble)
    P = ensemble.predict(X)
    assert len(pickle.dumps(ensemble)) == len(before)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ensemble)).predict(X), P)


def test_threads_that_make_the_first_prediction_at_once_get_the_same(rng):
    X = rows(rng, 2)
    for seed in range(20):
        ensemble = Ensemble(tuple(networks(FRONTS["scaled"], "classes", first_seed=seed)))
        expected = pickle.loads(pickle.dumps(ensemble)).predict(X)
        with ThreadPoolExecutor(8) as pool:
            for P in pool.map(lambda _, of=ensemble: of.predict(X), range(8)):
                np.testing.assert_array_equal(P, expected)
