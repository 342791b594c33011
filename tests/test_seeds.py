"""The batched gradient is the mean of the textbooks' per-row gradients, to the last digits of float64."""

from itertools import pairwise

import numpy as np
import pytest

import oracles_seeds as oracle
from chainrule import Activation, Dense, Network, mlp
from chainrule.nn import activations

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def by_layer(net, grad):
    """Return a gradient as [(dW, db), ...], one pair for each Dense layer, W (n_in, n_out)."""
    parts = [grad[block.slice].reshape(block.shape) for block in net.blocks]
    return list(zip(parts[::2], parts[1::2], strict=True))


def neuron_gradients(rng, n=7):
    X, y = rng.uniform(-1, 1, (n, 2)), rng.integers(0, 2, n)
    net = Network([Dense(2, 1, "normal", "normal"), Activation("sigmoid")], "squared_error", seed=1, dtype="float64")
    _, grad = net.loss_and_grad(X, y)
    ((dW, db),) = by_layer(net, grad)
    w, b = net.params[0]["W"][:, 0], net.params[0]["b"][0]
    return [dW[:, 0], db[0]], list(oracle.neuron_gradient(w, b, X, y))


def column_mlp_gradients(sizes, rng, n=5):
    X, Y = rng.normal(size=(n, sizes[0])), np.eye(sizes[-1])[rng.integers(0, sizes[-1], n)]
    layers = [part for pair in pairwise(sizes) for part in (Dense(*pair, "normal", "normal"), Activation("sigmoid"))]
    net = Network(layers, "squared_error", seed=1, dtype="float64")
    _, grad = net.loss_and_grad(X, Y)
    dense = [params for params in net.params if params]
    dW, db = oracle.column_mlp_gradient([p["W"].T.tolist() for p in dense], [p["b"].tolist() for p in dense], X, Y)
    ours = [part for W, b in by_layer(net, grad) for part in (W.T, b)]
    return ours, [part for pair in zip(dW, db, strict=True) for part in pair]


def softmax_net_gradients(rng, n=6):
    X, y = rng.normal(size=(n, 2)), rng.integers(0, 3, n)
    net = mlp(2, 5, 3, activation="relu", loss="cross_entropy", biases="normal", seed=1, dtype="float64")
    _, grad = net.loss_and_grad(X, y)
    arrays = [params[name] for params in net.params if params for name in ("W", "b")]
    return [part for pair in by_layer(net, grad) for part in pair], list(oracle.softmax_net_gradient(*arrays, X, y))


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, **EXACT)


def test_the_single_neurons_gradient_is_its_formula_summed_over_rows(rng):
    assert_equal(*neuron_gradients(rng))


@pytest.mark.parametrize("sizes", [(2, 2, 2), (2, 3, 2), (3, 4, 5, 2)], ids=str)
def test_the_sigmoid_networks_gradient_is_the_delta_recursions_in_column_form(sizes, rng):
    assert_equal(*column_mlp_gradients(sizes, rng))


def test_the_softmax_networks_gradient_is_that_of_scalar_loops(rng):
    assert_equal(*softmax_net_gradients(rng))


COMPARISONS = {
    "neuron": neuron_gradients,
    "sigmoid network": lambda rng: column_mlp_gradients((2, 3, 2), rng),
    "softmax network": softmax_net_gradients,
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_relative_error_of_a_millionth_is_detected(name, rng, monkeypatch):
    """The comparison itself is tested with a wrong bias gradient."""
    forward = Dense.forward

    def slightly_wrong(self, X, params, rng=None):
        Y, backward = forward(self, X, params, rng)

        def wrong_backward(dY, grads, need_dX=True):
            dX = backward(dY, grads, need_dX)
            grads["b"] *= 1 + 1e-6
            return dX

        return Y, wrong_backward

    monkeypatch.setattr(Dense, "forward", slightly_wrong)
    with pytest.raises(AssertionError):
        assert_equal(*COMPARISONS[name](rng))


@pytest.mark.parametrize("name", ["neuron", "sigmoid network"])
def test_a_missing_sigma_prime_is_detected(name, rng, monkeypatch):
    monkeypatch.setitem(activations.ACTIVATIONS, "sigmoid", lambda Z: (activations.logistic(Z), lambda dA: dA))
    with pytest.raises(AssertionError):
        assert_equal(*COMPARISONS[name](rng))


def test_a_transposed_weight_matrix_in_backward_is_detected(rng, monkeypatch):
    """Only a square W fits when it is transposed."""

    def transposed(self, X, params, rng=None):
        W = params["W"]

        def backward(dY, grads, need_dX=True):
            grads["W"][...], grads["b"][...] = X.T @ dY, dY.sum(axis=0)
            return dY @ W

        return X @ W + params["b"], backward

    monkeypatch.setattr(Dense, "forward", transposed)
    with pytest.raises(AssertionError):
        assert_equal(*column_mlp_gradients((2, 2, 2), rng))
