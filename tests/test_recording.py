"""Recorders see a training without disturbing it, and surfaces are the losses of the weights beneath them."""

from types import SimpleNamespace

import numpy as np
import pytest

from chainrule import SGD, Activation, Dense, EarlyStopping, Network, mlp, train
from chainrule.data.datasets import disc
from chainrule.insight.recording import LayerSamples, WeightPath
from chainrule.insight.surface import surface_around, surface_of_paths


def trained(*callbacks, epochs=10, **options):
    X, y = disc(40)
    net = mlp(2, 4, 3, 2, activation="tanh", loss="cross_entropy", seed=0, dropout=0.1)
    history = train(net, X, y, optimizer=SGD(0.1), epochs=epochs, batch_size=10, callbacks=callbacks, **options)
    return net, history


@pytest.mark.parametrize("recorder", [WeightPath(), LayerSamples(*disc(20))], ids=["weights", "layers"])
def test_a_training_is_the_same_whether_it_is_watched_or_not(recorder):
    np.testing.assert_array_equal(trained(recorder)[0].theta, trained()[0].theta)
    np.testing.assert_array_equal(trained(recorder)[0].theta, trained()[0].theta, "and when the recorder is used again")


def test_the_way_goes_from_the_first_weights_to_the_last():
    way = WeightPath()
    net, _ = trained(way)
    assert way.epochs == list(range(11))
    np.testing.assert_array_equal(way.thetas[0], mlp(2, 4, 3, 2, activation="tanh", dropout=0.1, seed=0).theta)
    np.testing.assert_array_equal(way.thetas[-1], net.theta)
    np.testing.assert_array_equal(way.thetas[4], trained(epochs=4)[0].theta)


def test_a_long_way_is_thinned_evenly():
    way = WeightPath(most=4)
    trained(way, epochs=30)
    assert way.epochs == [0, 8, 16, 24, 30]
    assert len(way.thetas) == 5
    np.testing.assert_array_equal(way.thetas[1], trained(epochs=8)[0].theta)


def test_layers_are_looked_at_after_powers_of_two_and_at_the_end():
    samples = LayerSamples(*disc(20))
    net, _ = trained(samples)
    assert samples.epochs == [0, 1, 2, 4, 8, 10]
    assert list(samples.activations) == ["1 tanh", "4 tanh", "6 Dense"]
    assert list(samples.gradients) == ["0.W", "3.W", "6.W"]
    X, y = disc(20)
    outputs = net.activations(X)
    np.testing.assert_array_equal(samples.activations["4 tanh"][-1], outputs[4].ravel())
    net.loss_and_grad(X, y)
    np.testing.assert_array_equal(samples.gradients["3.W"][-1], net.grads[3]["W"].ravel())


def test_a_training_that_ends_early_has_its_last_look():
    samples = LayerSamples(*disc(20))
    _, history = trained(EarlyStopping(patience=3, min_delta=10), samples, epochs=50)
    assert samples.epochs[-1] == len(history) < 50


def test_of_many_numbers_some_are_kept_the_same_ones_each_time():
    few, all_ = LayerSamples(*disc(20), most=7), LayerSamples(*disc(20))
    trained(few, all_)
    for some, every in zip(few.activations["1 tanh"], all_.activations["1 tanh"], strict=True):
        assert len(some) == 7
        assert np.isin(some, every).all()


def test_an_activation_of_ones_own_has_its_name():
    def cube(Z):
        return Z**3, lambda dA: dA * 3 * Z**2

    samples = LayerSamples(*disc(20))
    train(Network([Dense(2, 1), Activation(cube)], seed=0), *disc(20), epochs=1, callbacks=[samples])
    assert list(samples.activations) == ["1 cube"]


def test_rows_that_do_not_fit_and_what_is_no_network_are_refused():
    with pytest.raises(ValueError, match="X must be 2-D with 2 columns"):
        trained(LayerSamples(np.ones((3, 5)), [0, 1, 1]))
    with pytest.raises(ValueError, match="only a Network's training can be recorded, got a SimpleNamespace"):
        LayerSamples(*disc(3)).on_train_begin(SimpleNamespace(net=SimpleNamespace()))
    with pytest.raises(ValueError, match="most must be an integer >= 2"):
        WeightPath(most=1)


# Surfaces.


def test_the_loss_at_a_place_is_that_of_its_weights_and_the_network_stays_as_it_is():
    net, _ = trained()
    before = net.theta.copy()
    surface = surface_around(net, *disc(40), points=5, reach=0.5)
    np.testing.assert_array_equal(net.theta, before)
    assert surface.losses.shape == (5, 5)
    assert surface.losses[2, 2] == pytest.approx(net.evaluate(*disc(40)), rel=1e-6)
    net.theta = surface.origin + surface.x[3] * surface.directions[0] + surface.y[0] * surface.directions[1]
    assert surface.losses[0, 3] == pytest.approx(net.evaluate(*disc(40)), rel=1e-6)


def test_a_direction_is_as_long_as_each_units_weights_and_leaves_biases():
    net, _ = trained()
    for direction in surface_around(net, *disc(40), points=2).directions:
        for block in net.blocks:
            ours, weights = (v[block.slice].reshape(block.shape) for v in (direction, net.theta))
            expected = np.linalg.norm(weights, axis=0) if block.kind == "W" else 0 * weights
            found = np.linalg.norm(ours, axis=0) if block.kind == "W" else ours
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_of_two_parameters_the_plane_is_the_whole_space():
    X, y = np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [4.0], [7.0]])
    net, way = Network([Dense(1, 1)], seed=0, dtype="float64"), WeightPath()
    train(net, X, y, optimizer=SGD(0.05), epochs=20, batch_size=None, callbacks=[way])
    surface = surface_of_paths(net, X, y, [way.thetas], points=3)
    assert surface.share == pytest.approx(1)
    places = surface.project(way.thetas)
    np.testing.assert_allclose(surface.origin + places @ surface.directions, way.thetas, atol=1e-12)
    assert (places.min(axis=0) > [surface.x[0], surface.y[0]]).all()
    assert (places.max(axis=0) < [surface.x[-1], surface.y[-1]]).all()
    w, b = surface.origin + surface.x[2] * surface.directions[0] + surface.y[1] * surface.directions[1]
    assert surface.losses[1, 2] == pytest.approx(0.5 * np.mean((w * X + b - y) ** 2))


def test_the_plane_is_the_closest_to_the_paths(rng):
    net = mlp(3, 2, seed=0)
    flat = rng.normal(size=(30, 2)) @ rng.normal(size=(2, net.theta.size))
    noise = 0.1 * rng.normal(size=flat.shape)
    surface = surface_of_paths(net, rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), [flat + noise], points=2)
    assert 0.97 < surface.share < 1
    np.testing.assert_allclose(surface.directions @ surface.directions.T, np.eye(2), atol=1e-12)


def test_a_way_that_goes_nowhere_has_a_surface_too():
    net, _ = trained()
    surface = surface_of_paths(net, *disc(40), [[net.theta, net.theta]], points=3)
    assert np.isfinite(surface.losses).all()
    assert np.ptp(surface.x) > 0


def test_losses_beyond_all_numbers_are_the_largest_one():
    net = mlp(2, 3, 1, seed=0)
    surface = surface_around(net, 1e10 * np.ones((4, 2)), np.ones((4, 1)), reach=1e12, points=5)
    assert np.isfinite(surface.losses).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: surface_around(net, *disc(9), reach=0), "reach must be > 0"),
        (lambda net: surface_around(net, *disc(9), points=1), "points must be"),
        (
            lambda net: surface_of_paths(net, *disc(9), [[np.ones(3), np.ones(3)]]),
            "paths must hold two points at least",
        ),
        (lambda net: surface_of_paths(net, *disc(9), [[net.theta]]), "paths must hold two points at least"),
    ],
)
def test_what_has_no_surface_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(mlp(2, 3, 2, loss="cross_entropy", seed=0))
