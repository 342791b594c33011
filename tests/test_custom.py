import numpy as np
import pytest

from chainrule import Activation, BatchNorm, Dense, Layer, Loss, Network, Residual, check_gradients, mlp, train


class Own(Layer):
    """Y = X, so far."""

    def forward(self, X, params, rng=None):
        return X.copy(), self.backward

    def backward(self, dY, grads, need_dX=True):
        return dY


class WritesIntoX(Own):
    def forward(self, X, params, rng=None):
        X *= 2
        return X, self.backward


class ReturnsNoBackward(Own):
    def forward(self, X, params, rng=None):
        return X


class LosesAColumn(Own):
    def forward(self, X, params, rng=None):
        return X[:, 1:], self.backward


class TakesNoNeed(Own):
    def backward(self, dY, grads):
        return dY


class LosesADerivative(Own):
    def backward(self, dY, grads, need_dX=True):
        return dY.sum(axis=1)


class CustomLoss(Loss):
    def __init__(self, per_row):
        self.per_row_function = per_row

    def per_row(self, Z, Y):
        return self.per_row_function(Z, Y)


@pytest.fixture
def X(rng):
    return rng.normal(size=(12, 3)).astype(np.float32)


FORWARDS = {
    WritesIntoX: r"WritesIntoX\(\), must leave its input X as it is, got forward writes into it",
    ReturnsNoBackward: r"ReturnsNoBackward\(\), must return \(Y, backward\), got forward returns a ndarray",
    LosesAColumn: r"LosesAColumn\(\), must return Y of shape \(10, 3\), got shape \(10, 2\)",
}
BACKWARDS = {
    TakesNoNeed: r"TakesNoNeed\(\), must return backward\(dY, grads, need_dX=True\), .* is backward\(dY, grads\)",
    LosesADerivative: r"LosesADerivative\(\), must return dX of shape \(10, 3\) from backward, got \(10,\)",
}


@pytest.mark.parametrize("layer", FORWARDS | BACKWARDS)
def test_a_layer_of_another_form_is_named_before_it_trains(layer, X):
    net = Network([Dense(3, 3), layer(), Dense(3, 1)], seed=0)
    theta, before = net.theta.copy(), X.tobytes()
    with pytest.raises(ValueError, match=f"layer 1, {(FORWARDS | BACKWARDS)[layer]}"):
        train(net, X, X[:, 0])
    with pytest.raises(ValueError, match=f"layer 1, {(FORWARDS | BACKWARDS)[layer].replace('10', '12')}"):
        check_gradients(net, X, X[:, 0])
    np.testing.assert_array_equal(net.theta, theta)
    assert X.tobytes() == before


@pytest.mark.parametrize("layer", BACKWARDS)
def test_a_layer_before_all_parameters_is_asked_for_no_derivative(layer, X):
    assert len(train(Network([layer(), Dense(3, 1)], seed=0), X, X[:, 0], epochs=1)) == 1


@pytest.mark.parametrize("layer", FORWARDS)
def test_a_layer_of_another_form_is_named_before_it_answers(layer, X):
    before = X.tobytes()
    with pytest.raises(ValueError, match=f"layer 0, {FORWARDS[layer]}"):
        Network([layer(), Dense(3, 1)], seed=0).predict(X)
    assert X.tobytes() == before


def test_a_layer_that_writes_is_found_in_a_block_and_an_activation_too(X):
    def doubled(Z):
        Z *= 2
        return Z, lambda dA: 2 * dA

    for layer in (Residual([WritesIntoX()]), Activation(doubled)):
        with pytest.raises(ValueError, match=r"layer 0, .* must leave its input X as it is"):
            Network([layer, Dense(3, 1)], seed=0).predict(X)


@pytest.mark.parametrize(
    ("per_row", "message"),
    [
        (lambda Z, Y: (1.0, Z - Y), r"losses of shape \(10,\) and dZ of shape \(10, 1\) from per_row, got \(\)"),
        (lambda Z, Y: ((Z - Y) ** 2, Z - Y), r"losses of shape \(10,\) .*, got \(10, 1\) and \(10, 1\)"),
        (lambda Z, Y: ((Z - Y)[:, 0] ** 2, (Z - Y)[:, 0]), r"dZ of shape \(10, 1\) .*, got \(10,\) and \(10,\)"),
        (lambda Z, Y: Z - Y, r"CustomLoss must return \(losses, dZ\) from per_row, got a ndarray"),
    ],
)
def test_a_loss_of_another_form_is_told_what_it_must_return(per_row, message, X):
    with pytest.raises(ValueError, match=message):
        train(mlp(3, 1, loss=CustomLoss(per_row)), X, X[:, 0])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda Z, Y: (((Z - Y) ** 2).mean(), Z - Y), r"losses of shape \(n,\) or \(n, k\) .* are \(\) and \(10, 1\)"),
        (lambda Z, Y: (Z - Y) ** 2, r"loss must return \(losses, dZ\), got it returns a ndarray"),
    ],
)
def test_a_function_as_loss_is_told_so_too(function, message, X):
    with pytest.raises(ValueError, match=message):
        train(mlp(3, 1, loss=function), X, X[:, 0])


def test_looking_at_own_parts_leaves_the_network_as_it_was(X):
    net = Network([BatchNorm(3), Own(), Dense(3, 1)], seed=0)
    theta, buffers = net.theta.copy(), net.buffers.copy()
    net.loss_and_grad(X, X[:, 0])
    net.predict(X)
    np.testing.assert_array_equal(net.theta, theta)
    np.testing.assert_array_equal(net.buffers, buffers)
