import copy

import numpy as np
import pytest

import oracles
from chainrule import SGD, Adam, AdamW, RMSProp, mlp, train
from chainrule.training.optimizers import OPTIMIZERS, as_optimizer, flush_denormals

RATE = 0.01
CASES = {
    "plain": (lambda: SGD(RATE), lambda t, g: oracles.sgd(t, g, RATE)),
    "momentum": (lambda: SGD(RATE, momentum=0.9), lambda t, g: oracles.sgd(t, g, RATE, 0.9)),
    "nesterov": (lambda: SGD(RATE, momentum=0.9, nesterov=True), lambda t, g: oracles.sgd(t, g, RATE, 0.9, True)),
    "rmsprop": (lambda: RMSProp(RATE), lambda t, g: oracles.rmsprop(t, g, RATE)),
    "adam": (lambda: Adam(RATE), lambda t, g: oracles.adam(t, g, RATE)),
    "other betas": (lambda: Adam(RATE, (0.8, 0.95), 1e-3), lambda t, g: oracles.adam(t, g, RATE, 0.8, 0.95, 1e-3)),
    "adamw": (lambda: AdamW(RATE, weight_decay=0.1), lambda t, g: oracles.adam(t, g, RATE, weight_decay=0.1)),
}


def path(rng, steps=50, size=7):
    """A starting point and gradients whose sizes differ by orders of magnitude."""
    scales = np.logspace(-4, 2, size)
    return rng.normal(size=size), [scales * rng.normal(size=size) for _ in range(steps)]


@pytest.mark.parametrize("name", CASES)
def test_fifty_steps_are_those_of_the_papers_algorithm(name, rng):
    make, oracle = CASES[name]
    theta, gradients = path(rng)
    moved, optimizer = theta.copy(), make()
    for steps, grad in enumerate(gradients, start=1):
        optimizer.step(moved, grad)
        if steps in (1, 2, 10, 50):
            np.testing.assert_allclose(moved, oracle(theta, gradients[:steps]), rtol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_fifty_steps_are_those_of_pytorch(name, rng):
    torch = pytest.importorskip("torch")
    theirs = {
        "plain": lambda p: torch.optim.SGD(p, RATE),
        "momentum": lambda p: torch.optim.SGD(p, RATE, momentum=0.9),
        "nesterov": lambda p: torch.optim.SGD(p, RATE, momentum=0.9, nesterov=True),
        "rmsprop": lambda p: torch.optim.RMSprop(p, RATE, alpha=0.9),
        "adam": lambda p: torch.optim.Adam(p, RATE),
        "other betas": lambda p: torch.optim.Adam(p, RATE, (0.8, 0.95), 1e-3),
        "adamw": lambda p: torch.optim.AdamW(p, RATE, weight_decay=0.1),
    }
    theta, gradients = path(rng)
    moved, optimizer = theta.copy(), CASES[name][0]()
    tensor = torch.nn.Parameter(torch.tensor(theta))
    their_optimizer = theirs[name]([tensor])
    for grad in gradients:
        optimizer.step(moved, grad)
        tensor.grad = torch.tensor(grad)
        their_optimizer.step()
    np.testing.assert_allclose(moved, tensor.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_stays_as_it_is_and_theta_is_moved_in_place(name, rng):
    theta, (grad,) = path(rng, steps=1)
    before, place = grad.copy(), theta
    CASES[name][0]().step(theta, grad)
    np.testing.assert_array_equal(grad, before)
    assert theta is place


@pytest.mark.parametrize("name", CASES)
def test_a_rate_for_each_entry_is_that_many_optimisers(name, rng):
    theta, gradients = path(rng, steps=5)
    together, optimizer = theta.copy(), CASES[name][0]()
    rates = rng.random(theta.size)
    for grad in gradients:
        optimizer.step(together, grad, rates)
    for i, rate in enumerate(rates):
        alone, optimizer = theta[[i]].copy(), CASES[name][0]()
        for grad in gradients:
            optimizer.step(alone, grad[[i]], rate)
        assert together[i] == pytest.approx(alone[0], rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_moments_and_step_count_are_all_it_remembers(name, rng):
    theta, gradients = path(rng, steps=20)
    whole, optimizer = theta.copy(), CASES[name][0]()
    for grad in gradients[:10]:
        optimizer.step(whole, grad)
    resumed, second = whole.copy(), CASES[name][0]()
    second.steps, second.moments = optimizer.steps, copy.deepcopy(optimizer.moments)
    for grad in gradients[10:]:
        optimizer.step(whole, grad)
        second.step(resumed, grad)
    np.testing.assert_array_equal(whole, resumed)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_learns(name, rng):
    X = rng.normal(size=(200, 2))
    y = (X[:, 0] > X[:, 1]).astype(int)
    net = mlp(2, 8, 2, loss="cross_entropy", seed=0)
    optimizer = SGD(0.5) if name == "sgd" else OPTIMIZERS[name](0.01)
    history = train(net, X, y, optimizer=optimizer, epochs=20, batch_size=20, metrics=["accuracy"])
    assert history["accuracy"][-1] > 0.95


def test_weight_decay_can_spare_biases():
    net = mlp(2, 3, 1, biases="ones", seed=0)
    decay = net.per_parameter({"W": 0.5}, default=0)
    before = net.theta.copy()
    AdamW(0.1, weight_decay=decay).step(net.theta, np.zeros_like(net.theta))
    np.testing.assert_allclose(net.theta, before * (1 - 0.1 * decay), rtol=1e-6)
    np.testing.assert_array_equal(net.params[0]["b"], 1)


def test_moments_of_a_weight_that_is_never_asked_again_do_not_stay_denormal():
    theta, optimizer = np.zeros(2, np.float32), Adam()
    optimizer.step(theta, np.array([1, 1], np.float32))
    for _ in range(2000):
        optimizer.step(theta, np.array([0, 1], np.float32))
    assert optimizer.moments["mean"][0] == 0


def test_flushing_spares_what_float32_holds_in_full():
    vector = np.array([1e-40, -1e-39, 1e-37, -2.0, 0.0], np.float32)
    flush_denormals(vector)
    np.testing.assert_array_equal(vector, np.array([0, 0, 1e-37, -2.0, 0.0], np.float32))


def test_an_optimiser_that_has_begun_with_another_network_says_so():
    optimizer = Adam()
    optimizer.step(np.zeros(3), np.ones(3))
    with pytest.raises(ValueError, match=r"begun with another network, got shape \(4,\)"):
        optimizer.step(np.zeros(4), np.ones(4))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(0),
        lambda: Adam(-1),
        lambda: Adam(np.nan),
        lambda: SGD(0.1, momentum=1.1),
        lambda: SGD(0.1, nesterov=True),
        lambda: RMSProp(rho=1),
        lambda: RMSProp(epsilon=0),
        lambda: Adam(betas=(0.9, 1.0)),
        lambda: Adam(epsilon=0),
        lambda: AdamW(weight_decay=-0.1),
        lambda: as_optimizer("adamax"),
    ],
)
def test_bad_options_are_refused_when_the_optimiser_is_made(make):
    with pytest.raises(ValueError, match="must"):
        make()
