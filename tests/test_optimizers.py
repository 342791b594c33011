import copy
import math

import numpy as np
import pytest

import oracles
from chainrule import SGD, Adam, AdamW, RMSProp, mlp, train
from chainrule.training.optimizers import (
    BLOCK,
    FLUSH_EVERY,
    OPTIMIZERS,
    Optimizer,
    adam,
    as_optimizer,
    momentum,
    nesterov,
    rmsprop,
    sgd,
    update,
)

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


def adam_arguments(t, rate=RATE, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Return rate and constants of the t-th step, with the bias corrections of algorithm 1 folded in."""
    root = math.sqrt(1 - beta2**t)
    return rate * root / (1 - beta1**t), beta1, 1 - beta1, beta2, 1 - beta2, epsilon * root


RULES = {
    # name: rule, number of moments, rate and constants of the t-th step, oracle
    "sgd": (sgd, 0, lambda t: (RATE,), CASES["plain"][1]),
    "momentum": (momentum, 1, lambda t: (RATE, 0.9), CASES["momentum"][1]),
    "nesterov": (nesterov, 1, lambda t: (RATE, 0.9), CASES["nesterov"][1]),
    "rmsprop": (rmsprop, 1, lambda t: (RATE, 0.9, 1 - 0.9, 1e-8), CASES["rmsprop"][1]),
    "adam": (adam, 2, adam_arguments, CASES["adam"][1]),
}


def path(rng, steps=50, size=7):
    """Return a starting point and gradients whose magnitudes differ by orders of magnitude."""
    scales = np.logspace(-4, 2, size)
    return rng.normal(size=size), [scales * rng.normal(size=size) for _ in range(steps)]


@pytest.mark.parametrize("name", RULES)
def test_fifty_steps_of_a_rule_are_those_of_the_published_algorithm(name, rng):
    rule, n_moments, arguments, oracle = RULES[name]
    theta, gradients = path(rng)
    moved, *moments = theta.copy(), *(np.zeros_like(theta) for _ in range(n_moments))
    for t, grad in enumerate(gradients, start=1):
        rule(moved, grad, *moments, *arguments(t))
        if t in (1, 2, 10, 50):
            np.testing.assert_allclose(moved, oracle(theta, gradients[:t]), rtol=1e-10)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_on_arrays_is_the_rule_applied_to_each_entry(name, rng):
    rule, n_moments, arguments, _ = RULES[name]
    theta, gradients = path(rng)
    arrays = theta.copy(), *(np.zeros_like(theta) for _ in range(n_moments))
    entries = [[float(x), *[0.0] * n_moments] for x in theta]
    for t, grad in enumerate(gradients, start=1):
        rule(arrays[0], grad, *arrays[1:], *arguments(t))
        for i, (x, *moments) in enumerate(entries):
            moved = rule(x, float(grad[i]), *moments, *arguments(t))
            entries[i] = list(moved) if n_moments else [moved]
        np.testing.assert_array_equal(np.transpose(arrays), entries)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_changes_arrays_in_place_and_returns_them(name, rng):
    rule, n_moments, arguments, _ = RULES[name]
    theta, (grad,) = path(rng, steps=1)
    before, kept = theta.copy(), grad.copy()
    vectors = theta, *(np.zeros_like(theta) for _ in range(n_moments))
    returned = rule(theta, grad, *vectors[1:], *arguments(1))
    returned = returned if n_moments else (returned,)
    assert len(returned) == len(vectors)
    assert all(a is b for a, b in zip(returned, vectors, strict=True))
    assert (theta != before).all()
    np.testing.assert_array_equal(grad, kept)


@pytest.mark.parametrize("rates", ["one for all", "one for each"])
@pytest.mark.parametrize("name", RULES)
def test_a_long_vector_is_updated_block_by_block(name, rates, rng):
    rule, n_moments, arguments, _ = RULES[name]
    size = 2 * BLOCK + 3
    theta, grad = rng.normal(size=size), rng.normal(size=size)
    whole, parts = (tuple(np.array([theta, *[grad] * n_moments]) ** 2) for _ in "ab")
    _, *constants = arguments(3)
    rate = RATE if rates == "one for all" else rng.random(size)
    rule(whole[0], grad, *whole[1:], rate, *constants)
    update(rule, (parts[0], grad, *parts[1:]), rate, tuple(constants))
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.8, 0.95)])
def test_the_moments_of_adam_are_m_and_v_of_algorithm_1(betas, rng):
    theta, gradients = path(rng)
    optimizer = Adam(RATE, betas)
    for t, grad in enumerate(gradients, start=1):
        optimizer.step(theta, grad)
        m, v = oracles.adam_moments(gradients[:t], *betas)
        np.testing.assert_allclose(optimizer.moments["mean"], m, rtol=1e-10)
        np.testing.assert_allclose(optimizer.moments["square"], v, rtol=1e-10)
    assert optimizer.steps == 50


@pytest.mark.parametrize("name", CASES)
def test_fifty_steps_are_those_of_the_published_algorithm(name, rng):
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
def test_the_gradient_is_not_modified_and_theta_is_moved_in_place(name, rng):
    theta, (grad,) = path(rng, steps=1)
    before, start = grad.copy(), theta.copy()
    CASES[name][0]().step(theta, grad)
    np.testing.assert_array_equal(grad, before)
    assert (theta != start).all()


@pytest.mark.parametrize("name", CASES)
def test_a_rate_for_each_entry_is_one_optimizer_for_each(name, rng):
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
def test_moments_and_step_count_are_the_whole_state(name, rng):
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


@pytest.mark.parametrize("name", CASES)
def test_update_applies_the_rule_of_every_step(name, rng):
    theta, gradients = path(rng, steps=3)
    steps, optimizer = [], CASES[name][0]()

    def recording(rule, vectors, rate, constants):
        steps.append((rule, len(vectors)))
        update(rule, vectors, rate, constants)

    assert optimizer.update is update
    moved, lent = theta.copy(), CASES[name][0]()
    lent.update = recording
    for grad in gradients:
        optimizer.step(theta, grad)
        lent.step(moved, grad)
    np.testing.assert_array_equal(moved, theta)
    assert len(steps) == 3
    assert set(steps) <= {(rule, 2 + n_moments) for rule, n_moments, *_ in RULES.values()}


def test_a_custom_optimizer_applies_its_rule(rng):
    def sign_descent(theta, g, rate):
        theta -= rate * np.sign(g)
        return theta

    class SignDescent(Optimizer):
        rule = sign_descent, ()

    theta, gradients = path(rng, steps=3)
    moved, optimizer = theta.copy(), SignDescent(0.1)
    for grad in gradients:
        optimizer.step(moved, grad)
    np.testing.assert_allclose(moved, theta - 0.1 * np.sign(gradients).sum(axis=0), rtol=1e-13)
    assert optimizer.steps == 3
    X = rng.normal(size=(20, 2))
    history = train(mlp(2, 1, seed=0), X, X[:, 0], optimizer=SignDescent(0.01), epochs=30, batch_size=None)
    assert history.loss[-1] < history.loss[0] / 2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns(name, rng):
    X = rng.normal(size=(200, 2))
    y = (X[:, 0] > X[:, 1]).astype(int)
    net = mlp(2, 8, 2, loss="cross_entropy", seed=0)
    optimizer = SGD(0.5) if name == "sgd" else OPTIMIZERS[name](0.01)
    history = train(net, X, y, optimizer=optimizer, epochs=20, batch_size=20, metrics=["accuracy"])
    assert history["accuracy"][-1] > 0.95


def test_weight_decay_can_exclude_biases():
    net = mlp(2, 3, 1, biases="ones", seed=0)
    decay = net.per_parameter({"W": 0.5}, default=0)
    before = net.theta.copy()
    AdamW(0.1, weight_decay=decay).step(net.theta, np.zeros_like(net.theta))
    np.testing.assert_allclose(net.theta, before * (1 - 0.1 * decay), rtol=1e-6)
    np.testing.assert_array_equal(net.params[0]["b"], 1)


def test_moments_that_decay_do_not_stay_denormal():
    theta, optimizer = np.zeros(2, np.float32), Adam()
    optimizer.step(theta, np.array([1, 1], np.float32))
    for _ in range(2000):
        optimizer.step(theta, np.array([0, 1], np.float32))
    assert optimizer.moments["mean"][0] == 0


def test_only_denormal_moments_are_flushed():
    values = np.array([1e-40, -1e-39, 1e-37, -2.0, 0.0], np.float32)
    flushed = np.array([0, 0, 1e-37, -2.0, 0.0], np.float32)
    optimizer = Adam()
    optimizer.moments["mean"], optimizer.steps = np.tile(values, BLOCK), FLUSH_EVERY
    moment = optimizer.moment("mean", np.zeros(5 * BLOCK, np.float32))
    assert moment is optimizer.moments["mean"]
    np.testing.assert_array_equal(moment, np.tile(flushed, BLOCK))


def test_an_optimizer_of_another_network_is_refused():
    optimizer = Adam()
    optimizer.step(np.zeros(3), np.ones(3))
    with pytest.raises(ValueError, match=r"theta .*\(3,\), got \(4,\).*new one"):
        optimizer.step(np.zeros(4), np.ones(4))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_name_of_an_optimizer_may_be_in_any_case(name):
    for spelling in (name, name.upper(), name.title()):
        assert as_optimizer(spelling) == OPTIMIZERS[name]()
    optimizer = OPTIMIZERS[name](0.5)
    assert as_optimizer(optimizer) is optimizer


@pytest.mark.parametrize(("given", "meant"), [("adamm", "adam"), ("rms_prop", "rmsprop")])
def test_a_misspelled_optimizer_is_refused_with_the_closest_name(given, meant):
    with pytest.raises(ValueError, match=rf"optimizer .*'sgd'.*got '{given}'\. Did you mean '{meant}'\?"):
        as_optimizer(given)


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
        lambda: Adam("fast"),
        lambda: SGD(momentum=None),
        lambda: Adam(betas=(0.9, 1.0)),
        lambda: Adam(betas=(0.9,)),
        lambda: Adam(betas=0.9),
        lambda: Adam(epsilon=0),
        lambda: AdamW(weight_decay=-0.1),
        lambda: as_optimizer("adamax"),
    ],
)
def test_invalid_options_are_refused_when_the_optimizer_is_made(make):
    with pytest.raises(ValueError, match="must"):
        make()
