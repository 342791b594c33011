"""Recording does not affect a training, and surfaces contain the losses of the weights at each point."""

from types import SimpleNamespace

import numpy as np
import pytest

from chainrule import SGD, Activation, Dense, EarlyStopping, Network, mlp, train
from chainrule.datasets import disc
from chainrule.insight.recording import LayerSamples, WeightPath
from chainrule.insight.surface import surface_around, surface_of_paths


def trained(*callbacks, epochs=10, **options):
    X, y = disc(40)
    net = mlp(2, 4, 3, 2, activation="tanh", loss="cross_entropy", seed=0, dropout=0.1)
    history = train(net, X, y, optimizer=SGD(0.1), epochs=epochs, batch_size=10, callbacks=callbacks, seed=0, **options)
    return net, history


@pytest.mark.parametrize("recorder", [WeightPath(), LayerSamples(*disc(20))], ids=["weights", "layers"])
def test_recording_does_not_change_the_training(recorder):
    np.testing.assert_array_equal(trained(recorder)[0].theta, trained()[0].theta)
    np.testing.assert_array_equal(trained(recorder)[0].theta, trained()[0].theta, "also when the recorder is reused")


def test_the_path_leads_from_the_initial_weights_to_the_final_ones():
    path = WeightPath()
    net, _ = trained(path)
    assert path.epochs == list(range(11))
    np.testing.assert_array_equal(path.thetas[0], mlp(2, 4, 3, 2, activation="tanh", dropout=0.1, seed=0).theta)
    np.testing.assert_array_equal(path.thetas[-1], net.theta)
    np.testing.assert_array_equal(path.thetas[4], trained(epochs=4)[0].theta)


def test_a_long_path_is_thinned_evenly():
    path = WeightPath(n_points=4)
    trained(path, epochs=30)
    assert path.epochs == [0, 8, 16, 24, 30]
    assert len(path.thetas) == 5
    np.testing.assert_array_equal(path.thetas[1], trained(epochs=8)[0].theta)


def test_layers_are_sampled_after_powers_of_two_and_at_the_end():
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


def test_a_training_that_stops_early_has_a_final_sample():
    samples = LayerSamples(*disc(20))
    _, history = trained(EarlyStopping(patience=3, min_delta=10), samples, epochs=50)
    assert samples.epochs[-1] == len(history) < 50


def test_large_arrays_are_sampled_at_the_same_positions_each_time():
    few, all_ = LayerSamples(*disc(20), max_values=7), LayerSamples(*disc(20))
    trained(few, all_)
    for some, every in zip(few.activations["1 tanh"], all_.activations["1 tanh"], strict=True):
        assert len(some) == 7
        assert np.isin(some, every).all()


def test_a_custom_activation_is_recorded_under_its_name():
    def cube(Z):
        return Z**3, lambda dA: dA * 3 * Z**2

    samples = LayerSamples(*disc(20))
    train(Network([Dense(2, 1), Activation(cube)], seed=0), *disc(20), epochs=1, callbacks=[samples])
    assert list(samples.activations) == ["1 cube"]


def test_unsuitable_rows_and_objects_other_than_networks_raise():
    with pytest.raises(ValueError, match="X must be 2-D with 2 columns"):
        trained(LayerSamples(np.ones((3, 5)), [0, 1, 1]))
    with pytest.raises(ValueError, match="net must be a Network to be recorded, got a SimpleNamespace"):
        LayerSamples(*disc(3)).on_train_begin(SimpleNamespace(net=SimpleNamespace()))
    with pytest.raises(ValueError, match="n_points must be an integer >= 2"):
        WeightPath(n_points=1)


# Surfaces.


def test_the_loss_at_a_point_is_that_of_its_weights_and_the_network_is_unchanged():
    net, _ = trained()
    before = net.theta.copy()
    surface = surface_around(net, *disc(40), points=5, reach=0.5)
    np.testing.assert_array_equal(net.theta, before)
    assert surface.losses.shape == (5, 5)
    assert surface.losses[2, 2] == pytest.approx(net.evaluate(*disc(40)), rel=1e-6)
    net.theta = surface.origin + surface.x[3] * surface.directions[0] + surface.y[0] * surface.directions[1]
    assert surface.losses[0, 3] == pytest.approx(net.evaluate(*disc(40)), rel=1e-6)


def test_directions_have_the_norm_of_each_units_weights_and_skip_biases():
    net, _ = trained()
    for direction in surface_around(net, *disc(40), points=2).directions:
        for block in net.blocks:
            ours, weights = (v[block.slice].reshape(block.shape) for v in (direction, net.theta))
            expected = np.linalg.norm(weights, axis=0) if block.kind == "W" else 0 * weights
            found = np.linalg.norm(ours, axis=0) if block.kind == "W" else ours
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_with_two_parameters_the_plane_is_the_whole_space():
    X, y = np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [4.0], [7.0]])
    net, path = Network([Dense(1, 1)], seed=0, dtype="float64"), WeightPath()
    train(net, X, y, optimizer=SGD(0.05), epochs=20, batch_size=None, callbacks=[path], seed=0)
    surface = surface_of_paths(net, X, y, [path.thetas], points=3)
    assert surface.share == pytest.approx(1)
    points = surface.project(path.thetas)
    np.testing.assert_allclose(surface.origin + points @ surface.directions, path.thetas, atol=1e-12)
    assert (points.min(axis=0) > [surface.x[0], surface.y[0]]).all()
    assert (points.max(axis=0) < [surface.x[-1], surface.y[-1]]).all()
    w, b = surface.origin + surface.x[2] * surface.directions[0] + surface.y[1] * surface.directions[1]
    assert surface.losses[1, 2] == pytest.approx(0.5 * np.mean((w * X + b - y) ** 2))


def test_the_plane_is_the_closest_to_the_paths(rng):
    net = mlp(3, 2, seed=0)
    flat = rng.normal(size=(30, 2)) @ rng.normal(size=(2, net.theta.size))
    noise = 0.1 * rng.normal(size=flat.shape)
    surface = surface_of_paths(net, rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), [flat + noise], points=2)
    assert 0.97 < surface.share < 1
    np.testing.assert_allclose(surface.directions @ surface.directions.T, np.eye(2), atol=1e-12)


def test_a_path_of_a_single_repeated_point_has_a_surface():
    net, _ = trained()
    surface = surface_of_paths(net, *disc(40), [[net.theta, net.theta]], points=3)
    assert np.isfinite(surface.losses).all()
    assert np.ptp(surface.x) > 0


def test_infinite_losses_become_the_largest_finite_one():
    net = mlp(2, 3, 1, seed=0)
    surface = surface_around(net, 1e10 * np.ones((4, 2)), np.ones((4, 1)), reach=1e12, points=5)
    assert np.isfinite(surface.losses).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: surface_around(net, *disc(9), reach=0), "reach must be finite and > 0"),
        (lambda net: surface_around(net, *disc(9), points=1), "points must be"),
        (
            lambda net: surface_of_paths(net, *disc(9), [[np.ones(3), np.ones(3)]]),
            "paths must contain at least 2 points",
        ),
        (lambda net: surface_of_paths(net, *disc(9), [[net.theta]]), "paths must contain at least 2 points"),
    ],
)
def test_invalid_arguments_of_surfaces_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call(mlp(2, 3, 2, loss="cross_entropy", seed=0))
