import numpy as np
import pytest

from chainrule import Activation, BatchNorm, Dense, Layer, Loss, Network, Residual, check_gradients, mlp, train


class Custom(Layer):
    """Y = X."""

    def forward(self, X, params, rng=None):
        return X.copy(), self.backward

    def backward(self, dY, grads, need_dX=True):
        return dY


class WritesIntoX(Custom):
    def forward(self, X, params, rng=None):
        X *= 2
        return X, self.backward


class ReturnsNoBackward(Custom):
    def forward(self, X, params, rng=None):
        return X


class LosesAColumn(Custom):
    def forward(self, X, params, rng=None):
        return X[:, 1:], self.backward


class LacksNeedDX(Custom):
    def backward(self, dY, grads):
        return dY


class LosesADerivative(Custom):
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
    WritesIntoX: r"WritesIntoX\(\).* forward .*not modify its input X",
    ReturnsNoBackward: r"ReturnsNoBackward\(\).* forward .*\(Y, backward\), got a ndarray",
    LosesAColumn: r"LosesAColumn\(\).* forward .*Y of shape \(10, 3\), got \(10, 2\)",
}
BACKWARDS = {
    LacksNeedDX: r"LacksNeedDX\(\).* backward\(dY, grads, need_dX=True\), got backward\(dY, grads\)",
    LosesADerivative: r"LosesADerivative\(\).* backward .*dX of shape \(10, 3\), got \(10,\)",
}
MESSAGES = FORWARDS | BACKWARDS


@pytest.mark.parametrize("layer", MESSAGES)
def test_a_layer_of_another_form_is_named_before_training(layer, X):
    net = Network([Dense(3, 3), layer(), Dense(3, 1)], seed=0)
    theta, before = net.theta.copy(), X.tobytes()
    with pytest.raises(ValueError, match=f"layer 1, {MESSAGES[layer]}"):
        train(net, X, X[:, 0])
    with pytest.raises(ValueError, match=f"layer 1, {MESSAGES[layer].replace('10', '12')}"):
        check_gradients(net, X, X[:, 0])
    np.testing.assert_array_equal(net.theta, theta)
    assert X.tobytes() == before


@pytest.mark.parametrize("layer", BACKWARDS)
def test_backward_is_not_called_below_the_first_parameters(layer, X):
    assert len(train(Network([layer(), Dense(3, 1)], seed=0), X, X[:, 0], epochs=1)) == 1


@pytest.mark.parametrize("layer", FORWARDS)
def test_a_layer_of_another_form_is_named_at_inference(layer, X):
    before = X.tobytes()
    with pytest.raises(ValueError, match=f"layer 0, {FORWARDS[layer]}"):
        Network([layer(), Dense(3, 1)], seed=0)(X)
    assert X.tobytes() == before


def test_a_layer_that_modifies_its_input_is_found_inside_residuals_and_activations(X):
    def doubled(Z):
        Z *= 2
        return Z, lambda dA: 2 * dA

    for layer in (Residual([WritesIntoX()]), Activation(doubled)):
        with pytest.raises(ValueError, match=r"layer 0, .* not modify its input X"):
            Network([layer, Dense(3, 1)], seed=0)(X)


@pytest.mark.parametrize(
    ("per_row", "message"),
    [
        (lambda Z, Y: (1.0, Z - Y), r"losses of shape \(10,\) and dZ of shape \(10, 1\), got \(\) and \(10, 1\)"),
        (lambda Z, Y: ((Z - Y) ** 2, Z - Y), r"losses of shape \(10,\) .*, got \(10, 1\) and \(10, 1\)"),
        (lambda Z, Y: ((Z - Y)[:, 0] ** 2, (Z - Y)[:, 0]), r"dZ of shape \(10, 1\), got \(10,\) and \(10,\)"),
        (lambda Z, Y: Z - Y, r"\(losses, dZ\), got a ndarray"),
    ],
)
@pytest.mark.parametrize("first_use", [Network.loss_and_grad, check_gradients, train])
def test_a_loss_of_another_form_is_refused(per_row, message, first_use, X):
    with pytest.raises(ValueError, match=rf"CustomLoss\.per_row .*{message}"):
        first_use(mlp(3, 1, loss=CustomLoss(per_row)), X[:10], X[:10, 0])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda Z, Y: (((Z - Y) ** 2).mean(), Z - Y), r"\(10,\) or \(10, 1\) .*\(10, 1\), got \(\) and \(10, 1\)"),
        (lambda Z, Y: ((Z - Y) ** 2, (Z - Y)[:, 0]), r"\(10,\) or \(10, 1\) .*\(10, 1\), got \(10, 1\) and \(10,\)"),
        (lambda Z, Y: (Z - Y) ** 2, r"\(losses, dZ\), got a ndarray"),
    ],
)
@pytest.mark.parametrize("first_use", [Network.loss_and_grad, check_gradients, train])
def test_a_function_of_another_form_is_refused_as_a_loss(function, message, first_use, X):
    with pytest.raises(ValueError, match=f"loss .*{message}"):
        first_use(mlp(3, 1, loss=function), X[:10], X[:10, 0])


def test_checking_arrays_does_not_check_gradients(X):
    net = Network([LosesADerivative(), Dense(3, 1), LosesADerivative()], seed=0)
    net.check(X, X[:, 0])
    assert not net.gradients_checked


def test_gradients_are_checked_once(X):
    passes = []

    class Counting(Custom):
        def backward(self, dY, grads, need_dX=True):
            passes.append(len(dY))
            return dY

    net = Network([Dense(3, 3), Counting(), Dense(3, 1)], seed=0)
    train(net, X, X[:, 0], epochs=1, batch_size=None)
    assert net.gradients_checked
    assert passes[:-1]
    passes.clear()
    train(net, X, X[:, 0], epochs=2, batch_size=None)
    assert passes == [12, 12]
    assert net.copy().gradients_checked


def test_a_network_without_custom_parts_needs_no_check():
    assert Network([Residual([Dense(3, 3), Activation("relu")]), Dense(3, 1)]).gradients_checked


def test_checking_custom_parts_does_not_change_the_network(X):
    net = Network([BatchNorm(3), Custom(), Dense(3, 1)], seed=0)
    theta, buffers = net.theta.copy(), net.buffers.copy()
    net.loss_and_grad(X, X[:, 0])
    net(X)
    np.testing.assert_array_equal(net.theta, theta)
    np.testing.assert_array_equal(net.buffers, buffers)
