import logging
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

from chainrule import (
    SGD,
    Activation,
    Adam,
    BatchNorm,
    Callback,
    Dense,
    Dropout,
    Network,
    Residual,
    RMSProp,
    Scale,
    mlp,
    train,
)
from chainrule.errors import OutOfRangeError
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.losses import CrossEntropy
from chainrule.training import kernels
from chainrule.training.kernels import NUMPY, START_SECONDS, choose

OPTIMIZERS = [SGD(0.01), SGD(0.01, 0.9), SGD(0.01, 0.9, nesterov=True), RMSProp(0.01), Adam(0.01)]
CLOSE = {"float32": 5e-6, "float64": 1e-13}


@pytest.fixture
def numba_kernels():
    pytest.importorskip("numba")
    return kernels.compiled()


@pytest.fixture
def fresh_choice(monkeypatch):
    kernels.compiled.cache_clear()
    yield monkeypatch
    kernels.compiled.cache_clear()


@pytest.mark.parametrize("rates", ["one for all", "one for each"])
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_a_compiled_update_rule_computes_what_numpy_does(optimizer, dtype, rates, rng, numba_kernels):
    size = 70_001  # more than one block, and not a multiple of anything
    rate = 0.01 if rates == "one for all" else rng.random(size).astype(dtype)
    theta, grad = (rng.normal(size=size).astype(dtype) for _ in "ab")
    results = []
    for either in (NUMPY, numba_kernels):
        twin, moved = replace(optimizer), theta.copy()
        twin.update = either.update
        for _ in range(3):
            twin.step(moved, grad, rate)
        results.append([moved, *twin.moments.values()])
    for by_numpy, by_numba in zip(*results, strict=True):
        np.testing.assert_allclose(by_numba, by_numpy, rtol=CLOSE[dtype], atol=CLOSE[dtype])
    assert any(not np.array_equal(*pair) for pair in zip(*results)) or dtype == "float64"  # else numba was not used


def test_a_custom_rule_is_applied_by_numpy(numba_kernels):
    def halve(theta, grad, rate):
        theta *= 0.5

    theta = np.ones(3)
    numba_kernels.update(halve, (theta, theta), 0.1, ())
    np.testing.assert_array_equal(theta, 0.5)


def relus(*sizes, **options):
    return lambda dtype: mlp(*sizes, seed=1, dtype=dtype, **({"loss": "cross_entropy"} | options))


def stack(*layers, loss="squared_error"):
    return lambda dtype: Network(layers, loss, seed=1, dtype=dtype)


NETWORKS = {
    "relu layers": relus(6, 120, 80, 3),
    "dropout": relus(6, 60, 3, dropout=0.4),
    "penalties": relus(6, 3, 3, l1=0.01, l2=0.1),
    "label smoothing": relus(6, 200, 3, loss=CrossEntropy(0.1)),
    "relu at the end": relus(6, 200, 3, output_activation="relu"),
    "another loss": relus(6, 200, 1, loss="huber"),
    "residual": stack(Dense(6, 5), Residual([Dense(5, 5), Activation("relu")]), Activation("relu"), Dense(5, 1)),
    "batch normalization": stack(Dense(6, 5), BatchNorm(5), Activation("relu"), Dense(5, 1)),
    "small": relus(6, 4, 3),
    "small, deeper": relus(6, 4, 3, 5, 2),
    "small, sigmoid": relus(6, 4, 3, activation="sigmoid", output_activation="sigmoid", loss="squared_error"),
    "small, tanh": relus(6, 4, 1, activation="tanh", loss="binary_cross_entropy"),
    "small, Dense alone": stack(Dense(6, 1)),
    "small, two Dense in a row": stack(Dense(6, 2), Dense(2, 1)),
    "small, an activation first": stack(Activation("tanh"), Dense(6, 1)),
    "small, two activations": stack(Dense(6, 1), Activation("tanh"), Activation("relu")),
    "small, dropout": stack(Dense(6, 8), Dropout(0.5), Dense(8, 1)),
}


NETWORKS |= {
    f"Scale and {name}": stack(Scale(6), Dense(6, 7, biases="normal"), Dropout(0.0), Activation(name), Dense(7, 3))
    for name in ACTIVATIONS
    if name != "step"
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_fused_network_computes_what_the_network_does(name, dtype, weighted, rng, numba_kernels):
    net = NETWORKS[name](dtype)
    X = rng.normal(size=(12, 6))
    several = "CrossEntropy(" in str(net.loss) and net.n_out > 1
    y = rng.integers(0, net.n_out, 12) if several else rng.integers(0, 2, (12, net.n_out))
    rows = net.check(X, y, rng.random(12) if weighted else None)
    value, grad = net.objective(*rows, np.random.default_rng(7))
    grad = grad.copy()
    fused = numba_kernels.fuse(net)
    fused_value, fused_grad = fused.objective(*rows, np.random.default_rng(7))
    assert fused is not net
    assert fused_value == pytest.approx(value, rel=10 * CLOSE[dtype])
    np.testing.assert_allclose(fused_grad, grad, rtol=10 * CLOSE[dtype], atol=CLOSE[dtype])
    assert fused_grad is net.grad
    for rows in (X[:1], X, np.tile(X, (400, 1))):  # one, some, and more than go through at once
        np.testing.assert_allclose(fused(rows), net(rows), rtol=10 * CLOSE[dtype], atol=CLOSE[dtype])


def test_a_perceptron_predicts_as_well(rng, numba_kernels):
    net, X = stack(Dense(6, 9), Activation("step"))("float32"), rng.normal(size=(1, 6))
    np.testing.assert_array_equal(numba_kernels.fuse(net)(X), net(X))


@pytest.mark.parametrize("n", [12, 3000])
@pytest.mark.parametrize("name", NETWORKS)
def test_only_small_batches_through_plain_layers_are_taken_in_loops(name, n, rng, numba_kernels, monkeypatch):
    from chainrule.compiled import small

    net, taken = NETWORKS[name]("float32"), []
    for owner, loops in ((small.SmallNetwork, "_with_loss"), (small, "_objective")):
        original = getattr(owner, loops)
        monkeypatch.setattr(owner, loops, lambda *given, original=original: taken.append(1) or original(*given))
    y = rng.integers(0, 2, n if "CrossEntropy(" in str(net.loss) and net.n_out > 1 else (n, net.n_out))
    numba_kernels.fuse(net).objective(*net.check(rng.normal(size=(n, 6)), y))
    odd = {"small, an activation first", "small, two activations", "small, dropout"}
    is_small = name.startswith("small") or name == "penalties"
    assert bool(taken) is (is_small and name not in odd and n == 12)


def test_an_objective_that_is_not_a_network_stays_unchanged(numba_kernels):
    objective = object()
    assert numba_kernels.fuse(objective) is NUMPY.fuse(objective) is objective


@pytest.mark.parametrize("sizes", [(2, 3, 2), (2, 300, 2)])
def test_a_value_that_is_not_finite_is_not_lost_in_a_compiled_loop(sizes, numba_kernels):
    net = mlp(*sizes, loss="cross_entropy", seed=0)
    X, y = np.full((3, 2), np.nan, np.float32), np.array([0, 1, 0])
    value, _ = numba_kernels.fuse(net).objective(X, y)
    assert np.isnan(value)
    assert np.isnan(numba_kernels.square_sum(np.array([1, np.nan, 1], np.float32)))
    assert numba_kernels.square_sum(np.array([1e30, 1], np.float32)) == np.inf


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", NETWORKS)
def test_rows_that_are_not_finite_are_refused(name, value, numba_kernels):
    net = NETWORKS[name]("float32")
    net.theta = np.abs(net.theta)  # so that -inf is below every relu's zero
    X = np.ones((3000, 6), np.float32)
    X[2900, 4] = value
    for rows, place in ((X, 2900), (X[2900:2901], 0)):
        with pytest.raises(ValueError, match=rf"X must be finite in float32, got {value} at X\[{place}, 4\]"):
            numba_kernels.fuse(net)(rows)


def test_overflow_is_reported_with_row_and_layer(numba_kernels):
    net = relus(6, 4, 3)("float32")
    X = np.ones((3, 6), np.float32)
    X[1] = 3e38
    for rows, place in ((X, 1), (X[1:2], 0)):
        message = rf"layer 2, Dense\(4, 3, .* overflows float32 for X\[{place}\] \(max abs 3e\+38\)"
        with pytest.raises(OutOfRangeError, match=message):
            numba_kernels.fuse(net)(rows)


def trained(sizes=(2, 8, 2), **options):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, sizes[0]))
    net = mlp(*sizes, loss="cross_entropy", seed=0)
    history = train(net, X, (X[:, 0] * X[:, 1] > 0).astype(int), epochs=5, batch_size=20, seed=0, **options)
    return net.theta, history


@pytest.mark.parametrize("sizes", [(2, 8, 2), (2, 100, 2)])
def test_training_with_either_ends_at_the_same_weights_and_repeats_its_bits(sizes, numba_kernels):
    theta, history = trained(sizes, kernels="numpy")
    (first, compiled_history), (second, _) = (trained(sizes, kernels="numba") for _ in "ab")
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, theta, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(compiled_history.loss, history.loss, rtol=1e-4)
    assert not np.array_equal(first, theta)  # else numba was not used


def test_a_rate_far_too_high_is_detected_with_numba_as_well(numba_kernels):
    theta, history = trained((2, 100, 2), optimizer=SGD(300), kernels="numba")
    assert np.isfinite(theta).all()
    assert history.notes


def test_compiled_moments_do_not_stay_denormal(numba_kernels):
    theta, optimizer = np.zeros(2, np.float32), Adam()
    optimizer.update = numba_kernels.update
    optimizer.step(theta, np.array([1, 1], np.float32))
    for _ in range(2000):
        optimizer.step(theta, np.array([0, 1], np.float32))
    assert optimizer.moments["mean"][0] == 0


def test_numba_is_chosen_where_it_saves_more_time_than_it_takes_to_start(fresh_choice, numba_kernels):
    assert choose("auto", 17, 1000) is NUMPY
    assert choose("auto", 17, int(START_SECONDS / 10e-6)).name == "numba"  # tiny steps, many of them
    assert choose("auto", 1_000_000, 1000).name == "numba"  # large steps, a few of them
    assert choose("numpy", 10**9, 10**9) is NUMPY
    assert choose("numba", 1, 1).name == "numba"


def test_an_estimator_lends_its_optimizer_no_compiled_function(numba_kernels):
    optimizers = []

    class Keep(Callback):
        def on_train_begin(self, run):
            optimizers.append((run.optimizer, run.optimizer.update))

    trained(kernels="numba", callbacks=Keep())
    ((optimizer, lent),) = optimizers
    assert lent is numba_kernels.update
    assert optimizer.update is NUMPY.update


def test_unknown_kernels_are_refused():
    with pytest.raises(ValueError, match=r"kernels must be one of {'auto', 'numpy', 'numba'}, got 'cuda'"):
        trained(kernels="cuda")


def test_without_numba_training_falls_back_to_numpy_and_logs_it(fresh_choice, without_numba, caplog):
    fresh_choice.setattr(kernels, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO):
        assert choose("numba", 1, 1) is choose("numba", 1, 1) is NUMPY
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert "numba is unavailable; falling back to NumPy: ModuleNotFoundError" in record.getMessage()


def test_with_a_broken_numba_training_falls_back_to_numpy_with_a_warning(fresh_choice, caplog, numba_kernels):
    def broken(*arguments):
        raise SystemError("compiled for another NumPy\nand much more")

    kernels.compiled.cache_clear()
    fresh_choice.setattr("chainrule.compiled.NUMBA", numba_kernels._replace(square_sum=broken))
    with caplog.at_level(logging.INFO):
        assert choose("numba", 1, 1) is NUMPY
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().endswith("SystemError: compiled for another NumPy")


def test_where_no_cache_can_be_written_a_function_is_compiled_without(monkeypatch, numba_kernels):
    from chainrule.compiled import fused

    def njit(function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return ("compiled", function)

    monkeypatch.setattr(fused, "njit", njit)
    assert fused.jit(len) == ("compiled", len)


def run(code, **environment):
    command = [sys.executable, "-c", f"from chainrule import mlp, train; import numpy as np, sys\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()


TRAIN = "train(mlp(2, 300, 2, loss='cross_entropy'), np.ones((9, 2)), np.arange(9) % 2, epochs=2, kernels={!r})"


def test_a_short_training_does_not_import_numba():
    code = f"{TRAIN.format('auto')}; print('numba' in sys.modules)"
    assert run(code, PYTHONPATH=":".join(sys.path)) == "False"


def test_compiled_kernels_start_no_threads(numba_kernels):
    count = "import os; print(len(os.listdir('/proc/self/task')))"
    environment = {"PYTHONPATH": ":".join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    if sys.platform != "linux":
        pytest.skip("threads are counted in /proc")
    assert run(f"{TRAIN.format('numba')}; assert 'numba' in sys.modules; {count}", **environment) == "1"


@dataclass
class Sine:
    """A custom activation that cannot be looked up: a dataclass has no hash."""

    pace: float = 2.0

    def __call__(self, Z):
        return np.sin(self.pace * Z), lambda dA: dA * self.pace * np.cos(self.pace * Z)


def test_a_custom_activation_trains_with_either(numba_kernels, rng):
    X, thetas = rng.normal(size=(60, 3)), []
    for either in ("numpy", "numba"):
        net = mlp(3, 8, 1, activation=Sine(), seed=0, dtype="float64")
        train(net, X, X[:, 0], epochs=2, batch_size=10, kernels=either, seed=0)
        thetas.append(net.theta)
    np.testing.assert_allclose(*thetas, rtol=1e-10)
