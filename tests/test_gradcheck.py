"""The gradient check is tested: wrong derivatives are planted and must be found, correct ones must pass."""

import numpy as np
import pytest

import chainrule
from chainrule import Activation, Dense, Network, check_gradients, mlp, train
from chainrule.differences import STEPS, compare_along, embed, unit
from chainrule.errors import GradientError
from chainrule.nn import activations, layers
from chainrule.nn.gradcheck import require_gradients


@pytest.fixture
def data(rng):
    return rng.normal(size=(8, 3)), rng.integers(0, 2, 8)


def test_a_correct_gradient_passes_and_prints_a_table(data):
    report = check_gradients(mlp(3, 5, 2, activation="gelu", loss="cross_entropy", seed=0), *data)
    assert report.ok
    assert report.max_error < 1e-7
    text = str(report)
    assert text.startswith("gradients agree: largest error")
    assert "random direction 5" in text
    assert "2.W (5, 2)" in text
    assert repr(report) == text
    assert len(text.splitlines()) == 2 + 5 + 4


def plant(monkeypatch, layer_type, change):
    """Let `change` modify what the backward of a layer type writes and returns."""
    original = layer_type.forward

    def forward(self, X, params, rng=None):
        Y, backward = original(self, X, params, rng)

        def changed(dY, grads, need_dX=True):
            return change(backward(dY, grads, need_dX), grads)

        return Y, changed

    monkeypatch.setattr(layer_type, "forward", forward)


def forget_bias(dX, grads):
    grads["b"][...] = 0
    return dX


def sum_instead_of_mean(dX, grads):
    grads["W"] *= 8
    return dX


def slightly_too_long(dX, grads):
    grads["W"] *= 1.0005
    return dX


def transpose_square(dX, grads):
    if grads["W"].shape[0] == grads["W"].shape[1]:
        grads["W"][...] = grads["W"].T.copy()
    return dX


@pytest.mark.parametrize(
    ("change", "block"),
    [(forget_bias, ".b"), (sum_instead_of_mean, ".W"), (slightly_too_long, ".W"), (transpose_square, "2.W")],
)
def test_a_planted_mistake_is_found_and_its_block_named(monkeypatch, data, change, block):
    plant(monkeypatch, layers.Dense, change)
    report = check_gradients(mlp(3, 4, 4, 2, activation="tanh", loss="cross_entropy", seed=0), *data)
    assert not report.ok
    assert block in report.worst.name
    assert "[" in report.worst.name, "the single entry is named"
    assert report.worst.backpropagation != pytest.approx(report.worst.finite_difference, rel=1e-5)
    assert str(report).startswith(f"gradients are WRONG, most of all in {report.worst.name}")


def test_an_error_of_half_a_thousandth_is_found(monkeypatch, data):
    def wrong_tanh(Z):
        A = np.tanh(Z)
        return A, lambda dA: dA * (1 - A * A) * 1.0005

    monkeypatch.setitem(activations.ACTIVATIONS, "tanh", wrong_tanh)
    assert not check_gradients(mlp(3, 4, 2, activation="tanh", loss="cross_entropy", seed=0), *data).ok


def test_a_gradient_of_nan_is_wrong(monkeypatch, data):
    def nan_tanh(Z):
        return np.tanh(Z), lambda dA: dA * np.nan

    monkeypatch.setitem(activations.ACTIVATIONS, "tanh", nan_tanh)
    report = check_gradients(mlp(3, 4, 2, activation="tanh", loss="cross_entropy", seed=0), *data)
    assert not report.ok
    assert np.isnan(report.worst.error)


def test_a_kink_exactly_at_the_parameters_is_detected_and_accepted():
    net = Network([Dense(1, 1, "zeros"), Activation("relu"), Dense(1, 1, "ones")], seed=0)
    report = check_gradients(net, [[1.0], [2.0]], [1.0, 2.0])
    assert report.ok
    assert any(comparison.kink for comparison in (*report.directions, *report.blocks))
    assert "kink" in str(report)


def log_cosh(Z, Y):
    R = Z - Y
    return np.logaddexp(R, -R) - np.log(2), np.tanh(R)


def network_at_kinks(loss, seed):
    """Return a network without biases, and rows that leave all units of a layer at 0: so are all of the next."""
    net = mlp(3, 4, 4, 2, loss=loss, seed=seed)
    X = np.random.default_rng(seed).normal(size=(10, 3))
    return net, X, np.arange(10) % 2 if loss == "cross_entropy" else X[:, :2]


@pytest.mark.parametrize("loss", ["cross_entropy", log_cosh])
def test_where_several_units_are_at_their_kinks_gradients_are_compared_nearby(loss):
    n_moved = 0
    for seed in range(20):
        net, X, y = network_at_kinks(loss, seed)
        report = check_gradients(net, X, y)
        assert report.ok, report
        assert ("near a kink" in str(report)) == report.moved
        n_moved += report.moved
        train(net, X, y, epochs=1)
    assert n_moved > 0


@pytest.mark.parametrize("loss", ["cross_entropy", log_cosh])
def test_a_trace_is_verified_where_several_units_are_at_their_kinks(loss):
    for seed in range(20):
        net, X, y = network_at_kinks(loss, seed)
        assert chainrule.trace(net, X, y).verify().ok


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
def test_losses_of_any_magnitude_can_be_checked(scale, rng):
    net = mlp(3, 4, 1, activation="tanh", seed=0)
    assert check_gradients(net, rng.normal(size=(8, 3)), scale * rng.normal(size=8)).ok


def test_the_network_is_not_changed(data):
    net = mlp(3, 4, 2, loss="cross_entropy", dropout=0.5, seed=0)
    theta, grad = net.theta.copy(), net.grad.copy()
    check_gradients(net, *data)
    np.testing.assert_array_equal(net.theta, theta)
    np.testing.assert_array_equal(net.grad, grad)


def test_the_same_seed_gives_the_same_report(data):
    net = mlp(3, 4, 2, loss="cross_entropy", dropout=0.5, seed=0)
    assert str(check_gradients(net, *data)) == str(check_gradients(net, *data))
    with pytest.raises(ValueError, match="directions must be >= 1, got 0"):
        check_gradients(net, *data, directions=0)


def half_derivative(Z, Y):
    return (Z - Y) ** 2, Z - Y


def swapped(Y, Z):
    return (Z - Y) ** 2, 2 * (Z - Y)


HINT = "does your loss take its arguments as (Z, Y)?"


def test_check_gradients_of_a_wrong_custom_loss_returns_a_report(rng):
    net = Network([Dense(3, 1)], half_derivative, seed=0)
    report = check_gradients(net, rng.normal(size=(5, 3)), rng.normal(size=5))
    assert not report.ok
    assert not report.is_negated
    assert HINT not in repr(report)


@pytest.mark.parametrize("layers", [[Dense(3, 2)], [Dense(3, 4), Activation("tanh"), Dense(4, 2)]])
def test_the_report_on_a_loss_with_swapped_arguments_has_a_hint(layers, rng):
    report = check_gradients(Network(layers, swapped, seed=0), rng.normal(size=(8, 3)), rng.normal(size=(8, 2)))
    assert not report.ok
    assert report.is_negated
    assert HINT in repr(report).splitlines()[1]


def test_a_correct_gradient_is_not_negated(data):
    net = mlp(3, 4, 2, loss="cross_entropy", seed=0)
    assert not check_gradients(net, *data).is_negated
    net.theta = np.zeros_like(net.theta)
    assert not check_gradients(net, data[0], np.full((8, 2), 0.5)).is_negated, "nor is a gradient of zero"


def test_require_gradients_raises_with_the_report_and_checks_once(rng):
    X, Y = rng.normal(size=(8, 3)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    wrong = Network([Dense(3, 1)], half_derivative, seed=0)
    with pytest.raises(GradientError, match=r"custom loss.*WRONG, most of all in 0\.[Wb]"):
        require_gradients(wrong, X, Y)
    assert not wrong.gradients_checked
    right = Network([Dense(3, 1)], lambda Z, Y: ((Z - Y) ** 2, 2 * (Z - Y)), seed=0)
    require_gradients(right, X, Y)
    assert right.gradients_checked
    right.loss = wrong.loss
    require_gradients(right, X, Y)


def cubes(theta):
    """The sum of theta^3, whose derivative is 3 theta^2."""
    return float((theta**3).sum())


def test_a_derivative_along_a_direction_is_compared_with_central_differences(rng):
    theta, direction = rng.normal(size=6), unit(rng, 6)
    assert np.linalg.norm(direction) == pytest.approx(1, rel=1e-15)
    derivative = float(3 * theta**2 @ direction)
    for factor in (1, 1.001):
        found = compare_along(direction, "d", cubes, theta, cubes(theta), factor * derivative, 1e-6)
        assert (found.error <= 1e-6) == (factor == 1)
        assert found.finite_difference == pytest.approx(derivative, rel=1e-6)
        assert (found.name, found.backpropagation, found.kink) == ("d", factor * derivative, False)


def test_a_kink_is_recognized_by_its_one_sided_derivatives():
    def absolute(theta):
        return float(np.abs(theta).sum())

    for derivative in (-1.0, 0.0, 0.3, 1.0):
        found = compare_along(np.ones(1), "d", absolute, np.zeros(1), 0.0, derivative, 1e-6)
        assert found.kink == (derivative != 0)
        assert found.error == 0
    assert compare_along(np.ones(1), "d", absolute, np.zeros(1), 0.0, 1.1, 1e-6).error > 1e-6


def test_a_kink_next_to_the_parameters_is_avoided_by_a_shorter_step():
    theta = np.array([STEPS[0] / 2])
    found = compare_along(np.ones(1), "d", lambda t: float(np.abs(t).sum()), theta, float(theta[0]), 1.0, 1e-6)
    assert found.error <= 1e-6
    assert not found.kink


def test_a_direction_is_embedded_in_a_vector_of_zeros():
    np.testing.assert_array_equal(embed(5, slice(1, 3), np.array([2.0, 3.0])), [0, 2, 3, 0, 0])
    np.testing.assert_array_equal(embed(3, 2, 1.0), [0, 0, 1])
