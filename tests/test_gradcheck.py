"""The tester is tested: wrong derivatives are planted and must be caught, right ones must pass."""

import numpy as np
import pytest

from chainrule import Activation, Dense, Network, check_gradients, mlp, trace, train
from chainrule.nn import activations, layers


@pytest.fixture
def data(rng):
    return rng.normal(size=(8, 3)), rng.integers(0, 2, 8)


def test_a_right_gradient_passes_and_prints_a_table(data):
    report = check_gradients(mlp(3, 5, 2, activation="gelu", loss="cross_entropy", seed=0), *data)
    assert report.ok
    assert report.max_error < 1e-7
    text = str(report)
    assert text.startswith("gradients agree: largest error")
    assert "random direction 5" in text
    assert "2.W (5, 2)" in text


def plant(monkeypatch, layer_type, change):
    """Let `change` spoil what the backward of a layer type writes and returns."""
    honest = layer_type.forward

    def forward(self, X, params, rng=None):
        Y, backward = honest(self, X, params, rng)

        def spoiled(dY, grads, need_dX=True):
            return change(backward(dY, grads, need_dX), grads)

        return Y, spoiled

    monkeypatch.setattr(layer_type, "forward", forward)


def forget_bias(dX, grads):
    grads["b"][...] = 0
    return dX


def sum_instead_of_mean(dX, grads):
    grads["W"] *= 8
    return dX


def slightly_long(dX, grads):
    grads["W"] *= 1.0005
    return dX


def transpose_square(dX, grads):
    if grads["W"].shape[0] == grads["W"].shape[1]:
        grads["W"][...] = grads["W"].T.copy()
    return dX


@pytest.mark.parametrize(
    ("change", "block"),
    [(forget_bias, ".b"), (sum_instead_of_mean, ".W"), (slightly_long, ".W"), (transpose_square, "2.W")],
)
def test_a_planted_mistake_is_caught_and_its_block_named(monkeypatch, data, change, block):
    plant(monkeypatch, layers.Dense, change)
    report = check_gradients(mlp(3, 4, 4, 2, activation="tanh", loss="cross_entropy", seed=0), *data)
    assert not report.ok
    assert block in report.worst.name
    assert "[" in report.worst.name, "the single entry is named"
    assert report.worst.backpropagation != pytest.approx(report.worst.finite_difference, rel=1e-5)
    assert str(report).startswith(f"gradients are WRONG, most of all in {report.worst.name}")


def test_a_derivative_of_2001_thousandths_is_caught(monkeypatch, data):
    def wrong_tanh(Z):
        A = np.tanh(Z)
        return A, lambda dA: dA * (1 - A * A) * 1.0005

    monkeypatch.setitem(activations.ACTIVATIONS, "tanh", wrong_tanh)
    assert not check_gradients(mlp(3, 4, 2, activation="tanh", loss="cross_entropy", seed=0), *data).ok


def test_a_gradient_that_is_not_a_number_is_not_right(monkeypatch, data):
    def nan_tanh(Z):
        return np.tanh(Z), lambda dA: dA * np.nan

    monkeypatch.setitem(activations.ACTIVATIONS, "tanh", nan_tanh)
    report = check_gradients(mlp(3, 4, 2, activation="tanh", loss="cross_entropy", seed=0), *data)
    assert not report.ok
    assert np.isnan(report.worst.error)


def test_a_kink_exactly_at_the_point_is_seen_and_forgiven():
    net = Network([Dense(1, 1, "zeros"), Activation("relu"), Dense(1, 1, "ones")], seed=0)
    report = check_gradients(net, [[1.0], [2.0]], [1.0, 2.0])
    assert report.ok
    assert any(comparison.kink for comparison in (*report.directions, *report.blocks))
    assert "kink" in str(report)


def log_cosh(Z, Y):
    R = Z - Y
    return np.logaddexp(R, -R) - np.log(2), np.tanh(R)


@pytest.mark.parametrize("loss", ["cross_entropy", log_cosh])
def test_where_several_units_stand_on_their_kinks_it_is_looked_beside(loss):
    beside = 0
    for seed in range(20):
        # No bias, and rows that leave all units of a layer at 0: so are all of the next.
        net = mlp(3, 4, 4, 2, loss=loss, seed=seed)
        X = np.random.default_rng(seed).normal(size=(10, 3))
        y = np.arange(10) % 2 if loss == "cross_entropy" else X[:, :2]
        report = check_gradients(net, X, y)
        assert report.ok, report
        assert ("beside a kink" in str(report)) == report.beside
        beside += report.beside
        step = trace(net, X, y)
        assert step.verify().ok
        train(net, X, y, epochs=1)
    assert beside > 0


def test_a_wrong_gradient_is_not_excused_by_several_kinks(monkeypatch):
    def wrong_relu(Z):
        return np.maximum(Z, 0), lambda dA: dA * (Z > 0) * 1.001

    monkeypatch.setitem(activations.ACTIVATIONS, "relu", wrong_relu)
    for seed in range(20):
        X = np.random.default_rng(seed).normal(size=(10, 3))
        assert not check_gradients(mlp(3, 4, 4, 2, loss="cross_entropy", seed=seed), X, np.arange(10) % 2).ok


def test_a_wrong_gradient_is_not_excused_by_a_kink(monkeypatch):
    def wrong_relu(Z):
        return np.maximum(Z, 0), lambda dA: dA * 3

    monkeypatch.setitem(activations.ACTIVATIONS, "relu", wrong_relu)
    net = Network([Dense(1, 1, "zeros"), Activation("relu"), Dense(1, 1, "ones")], seed=0)
    assert not check_gradients(net, [[1.0], [2.0]], [1.0, 2.0]).ok


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_losses_of_any_size_can_be_checked(scale, rng):
    net = mlp(3, 4, 1, activation="tanh", seed=0)
    assert check_gradients(net, rng.normal(size=(8, 3)), scale * rng.normal(size=8)).ok


def test_the_network_is_left_as_it_was(data):
    net = mlp(3, 4, 2, loss="cross_entropy", dropout=0.5, seed=0)
    theta, grad = net.theta.copy(), net.grad.copy()
    check_gradients(net, *data)
    np.testing.assert_array_equal(net.theta, theta)
    np.testing.assert_array_equal(net.grad, grad)


def test_the_same_seed_gives_the_same_report(data):
    net = mlp(3, 4, 2, loss="cross_entropy", dropout=0.5, seed=0)
    assert str(check_gradients(net, *data)) == str(check_gradients(net, *data))
    with pytest.raises(ValueError, match="directions must be >= 1"):
        check_gradients(net, *data, directions=0)


def test_an_own_loss_gets_a_report_from_check_gradients_rather_than_an_error(rng):
    net = Network([Dense(3, 1)], lambda Z, Y: ((Z - Y) ** 2, Z - Y), seed=0)
    assert not check_gradients(net, rng.normal(size=(5, 3)), rng.normal(size=5)).ok
