import numpy as np
import pytest

import oracles
from chainrule import Activation, Network, check_gradients, mlp, train
from chainrule.errors import GradientError
from chainrule.nn.activations import ACTIVATIONS, find_activation

SMOOTH = [name for name in ACTIVATIONS if name != "step"]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_are_those_of_the_formula(name, rng):
    Z = rng.normal(scale=3, size=(20, 5))
    A, _ = ACTIVATIONS[name](Z)
    expected = np.vectorize(oracles.ACTIVATIONS[name], otypes=[float])(Z)
    np.testing.assert_allclose(A, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", SMOOTH)
def test_backward_multiplies_by_the_derivative(name, rng):
    Z = rng.normal(scale=3, size=(20, 5))
    dA = rng.normal(size=Z.shape)
    f, step = ACTIVATIONS[name], 1e-6
    _, backward = f(Z)
    difference = (f(Z + step)[0] - f(Z - step)[0]) / (2 * step)
    np.testing.assert_allclose(backward(dA), dA * difference, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_finite_input_overflows(name, dtype):
    Z = np.array([[-1e30, -1e4, -700, -100, -88, -20, -1e-30, 0, 1e-30, 20, 88, 100, 700, 1e4, 1e30]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        A, backward = ACTIVATIONS[name](Z)
        assert np.isfinite(A).all()
        assert A.dtype == dtype
        if name != "step":
            dZ = backward(np.ones_like(Z))
            assert np.isfinite(dZ).all()
            assert dZ.dtype == dtype


@pytest.mark.parametrize("name", SMOOTH)
def test_input_and_incoming_gradient_are_not_modified(name, rng):
    Z, dA = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    Z_before, dA_before = Z.copy(), dA.copy()
    _, backward = ACTIVATIONS[name](Z)
    backward(dA)
    np.testing.assert_array_equal(Z, Z_before)
    np.testing.assert_array_equal(dA, dA_before)


def test_small_sigmoids_are_precise_in_float32():
    A, _ = ACTIVATIONS["sigmoid"](np.array([-50], np.float32))
    np.testing.assert_allclose(A, np.exp(-50.0), rtol=1e-5)


def test_step_is_1_above_the_threshold_only():
    np.testing.assert_array_equal(ACTIVATIONS["step"](np.array([-1.0, 0.0, 1e-9]))[0], [0, 0, 1])


def test_the_gradient_of_step_raises_an_error_with_the_reason():
    net = mlp(2, 3, 1, activation="step", seed=0)
    assert set(np.unique(net.activations([[1.0, 2.0]])[1])) <= {0, 1}
    with pytest.raises(GradientError, match="derivative is 0 on both sides"):
        net.loss_and_grad([[1.0, 2.0]], [1.0])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_name_may_be_in_any_case(name):
    assert {find_activation(spelling, "activation") for spelling in (name, name.upper(), name.title())} == {name}
    net = mlp(2, 3, 1, activation=name.upper(), output_activation=name.title(), seed=0)
    np.testing.assert_array_equal(net.theta, mlp(2, 3, 1, activation=name, output_activation=name, seed=0).theta)
    assert net.layers[1] == Activation(name)


@pytest.mark.parametrize(("given", "meant"), [("rellu", "relu"), ("Sigmoidal", "sigmoid"), ("leakyrelu", "leaky_relu")])
def test_a_misspelled_name_is_refused_with_the_closest_one(given, meant):
    with pytest.raises(ValueError, match=rf"activation .*Did you mean '{meant}'\?$"):
        mlp(2, 3, 1, activation=given)


def cube(Z):
    return Z**3, lambda dA: dA * 3 * Z**2


def wrong_cube(Z):
    return Z**3, lambda dA: dA * 2 * Z**2


def test_a_custom_activation_works_where_a_name_does(rng):
    net = mlp(2, 4, 1, activation=cube, seed=0)
    X, y = rng.normal(size=(8, 2)), rng.normal(size=8)
    net.loss_and_grad(X, y)
    assert net.gradients_checked
    assert check_gradients(net, X, y).ok


def test_a_function_that_returns_no_backward_is_refused():
    with pytest.raises(ValueError, match=r"tanh .*\(A, backward\), got a ndarray"):
        mlp(2, 4, 1, activation=np.tanh)([[1.0, 2.0]])


@pytest.mark.parametrize("first_use", [Network.loss_and_grad, train])
def test_a_custom_activation_with_a_wrong_derivative_is_found_at_its_first_use(first_use, rng):
    net = mlp(2, 4, 1, activation=wrong_cube, seed=0)
    with pytest.raises(GradientError, match=r"custom .*activation .*wrong derivative.*most of all in 0\.[Wb]"):
        first_use(net, rng.normal(size=(8, 2)), rng.normal(size=8))
