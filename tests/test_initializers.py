import numpy as np
import pytest

from chainrule import Dense, Network, mlp
from chainrule.nn.initializers import DEFAULT_INITIALIZERS, INITIALIZERS

N_IN, N_OUT = 300, 200
VARIANCES = {
    "zeros": 0,
    "ones": 0,
    "normal": 1,
    "uniform": 1 / 12,
    "glorot_uniform": 2 / (N_IN + N_OUT),
    "glorot_normal": 2 / (N_IN + N_OUT),
    "he_uniform": 2 / N_IN,
    "he_normal": 2 / N_IN,
    "lecun_uniform": 1 / N_IN,
    "lecun_normal": 1 / N_IN,
}
MEANS = {"ones": 1, "uniform": 0.5}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_mean_and_variance_are_those_of_the_paper(name, rng):
    W = INITIALIZERS[name](rng, (N_IN, N_OUT))
    assert W.shape == (N_IN, N_OUT)
    assert np.var(W) == pytest.approx(VARIANCES[name], rel=0.03)
    assert np.mean(W) == pytest.approx(MEANS.get(name, 0), abs=0.01)


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name.endswith("_uniform")])
def test_uniform_initializers_reach_their_bound(name, rng):
    W = INITIALIZERS[name](rng, (N_IN, N_OUT))
    assert np.abs(W).max() == pytest.approx(np.sqrt(3 * VARIANCES[name]), rel=1e-3)


def test_uniform_values_are_between_0_and_1():
    net = Network([Dense(5, 4, "uniform", "uniform")], seed=0)
    assert 0 <= net.theta.min() < net.theta.max() < 1


def test_both_dtypes_have_the_same_initial_values():
    a, b = (mlp(3, 5, 2, seed=7, dtype=dtype).theta for dtype in ("float32", "float64"))
    np.testing.assert_array_equal(a, b.astype(np.float32))


@pytest.mark.parametrize("activation", DEFAULT_INITIALIZERS)
def test_the_default_initializer_of_mlp_suits_its_activation(activation):
    assert mlp(2, 3, 1, activation=activation).layers[0].weights == DEFAULT_INITIALIZERS[activation]


@pytest.mark.parametrize("activation", ["relu", "selu", "tanh"])
def test_rows_stay_different_through_29_layers(activation, rng):
    """What counts is the spread between rows: a sigmoid's values keep their size while all rows become equal."""
    assert 0.1 < spread_in_layer_29(activation, rng) < 3


def test_rows_become_equal_in_29_layers_of_sigmoids(rng):
    assert spread_in_layer_29("sigmoid", rng) < 1e-5


def spread_in_layer_29(activation, rng):
    net = mlp(*[128] * 31, activation=activation, seed=0)
    return net.activations(rng.normal(size=(200, 128)))[-3].std(axis=0).mean()


def test_the_default_initializer_does_not_depend_on_the_case_of_the_activation():
    assert mlp(2, 3, 1, activation="ReLU").layers[0].weights == DEFAULT_INITIALIZERS["relu"]


@pytest.mark.parametrize("activation", ["identity", "tanh", "sigmoid", lambda Z: (Z, lambda dA: dA)])
def test_other_activations_start_with_glorot_uniform(activation):
    assert {layer.weights for layer in mlp(2, 3, 1, activation=activation).layers[::2]} == {"glorot_uniform"}


@pytest.mark.parametrize("argument", ["weights", "biases"])
@pytest.mark.parametrize("make", [lambda **options: Dense(2, 3, **options), lambda **options: mlp(2, 3, 1, **options)])
def test_an_unknown_initializer_is_refused_with_the_closest_name(argument, make):
    with pytest.raises(ValueError, match=rf"{argument} must be one of {{'zeros'.*got 'he_norm'.*'he_normal'\?"):
        make(**{argument: "he_norm"})
