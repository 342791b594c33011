import logging
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from chainrule import SGD, Activation, Adam, BatchNorm, Dense, Dropout, Network, Residual, Scale, mlp, train
from chainrule.errors import OutOfRangeError
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.losses import CrossEntropy
from chainrule.training import kernels
from chainrule.training.kernels import NUMPY, REPAID, Kernels, choose

CASES = {
    "square_sum": (1, ()),
    "sgd": (2, ("rate",)),
    "momentum": (3, ("rate", 0.9)),
    "nesterov": (3, ("rate", 0.9)),
    "rmsprop": (3, ("rate", 0.9, 1e-8)),
    "adam": (4, ("rate", 0.9, 0.999, 1e-8)),
}
"""Kernel: how many vectors it takes, and what follows them."""
CLOSE = {"float32": 5e-6, "float64": 1e-13}


@pytest.fixture
def numba_kernels():
    pytest.importorskip("numba")
    return kernels.compiled()


@pytest.fixture
def fresh_choice(monkeypatch):
    monkeypatch.delenv("CHAINRULE_KERNELS", raising=False)
    kernels.compiled.cache_clear()
    yield monkeypatch
    kernels.compiled.cache_clear()


def test_every_kernel_is_in_the_table_of_cases():
    assert set(CASES) == set(Kernels._fields) - {"name", "fuse"}


@pytest.mark.parametrize("rates", ["one for all", "one for each"])
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", CASES)
def test_the_compiled_twin_computes_what_numpy_does(name, dtype, rates, rng, numba_kernels):
    n_vectors, constants = CASES[name]
    size = 40_001  # more than one part, and not a multiple of anything
    rate = 0.01 if rates == "one for all" else rng.random(size).astype(dtype)
    vectors = [np.abs(rng.normal(size=size)).astype(dtype) for _ in range(n_vectors)]
    twins = [vector.copy() for vector in vectors]
    arguments = [rate if constant == "rate" else constant for constant in constants]
    for _ in range(3):
        predictions = getattr(NUMPY, name)(*vectors, *arguments), getattr(numba_kernels, name)(*twins, *arguments)
        for vector, twin in zip(vectors, twins, strict=True):
            np.testing.assert_allclose(twin, vector, rtol=CLOSE[dtype], atol=CLOSE[dtype])
    if predictions[0] is not None:
        assert predictions[1] == pytest.approx(predictions[0], rel=2 * CLOSE[dtype])


def relus(*sizes, **options):
    return lambda dtype: mlp(*sizes, seed=1, dtype=dtype, **({"loss": "cross_entropy"} | options))


def stack(*layers, loss="squared_error"):
    return lambda dtype: Network(layers, loss, seed=1, dtype=dtype)


NETWORKS = {
    "relu layers": relus(6, 30, 20, 3),
    "dropout": relus(6, 60, 3, dropout=0.4),
    "penalties": relus(6, 3, 3, l1=0.01, l2=0.1),
    "label smoothing": relus(6, 60, 3, loss=CrossEntropy(0.1)),
    "relu at the end": relus(6, 60, 3, output_activation="relu"),
    "another loss": relus(6, 60, 1, loss="huber"),
    "residual": stack(Dense(6, 5), Residual([Dense(5, 5), Activation("relu")]), Activation("relu"), Dense(5, 1)),
    "batch normalisation": stack(Dense(6, 5), BatchNorm(5), Activation("relu"), Dense(5, 1)),
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
def test_a_fused_network_answers_as_the_network_itself(name, dtype, weighted, rng, numba_kernels):
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
        np.testing.assert_allclose(fused.predict(rows), net.predict(rows), rtol=10 * CLOSE[dtype], atol=CLOSE[dtype])


def test_a_perceptrons_step_is_answered_as_well(rng, numba_kernels):
    net, X = stack(Dense(6, 9), Activation("step"))("float32"), rng.normal(size=(1, 6))
    np.testing.assert_array_equal(numba_kernels.fuse(net).predict(X), net.predict(X))


@pytest.mark.parametrize("n", [12, 2000])
@pytest.mark.parametrize("name", NETWORKS)
def test_only_small_batches_through_plain_layers_are_taken_in_loops(name, n, rng, numba_kernels, monkeypatch):
    from chainrule.training import compiled

    net, taken = NETWORKS[name]("float32"), []
    for name_of_loops in ("forward", "cross_entropy_and_gradient"):
        loops = getattr(compiled, name_of_loops)
        monkeypatch.setattr(compiled, name_of_loops, lambda *given, loops=loops: taken.append(1) or loops(*given))
    y = rng.integers(0, 2, n if "CrossEntropy(" in str(net.loss) and net.n_out > 1 else (n, net.n_out))
    numba_kernels.fuse(net).objective(*net.check(rng.normal(size=(n, 6)), y))
    odd = {"small, an activation first", "small, two activations", "small, dropout"}
    assert bool(taken) is (name.startswith("small") and name not in odd and n == 12)


def test_an_objective_that_is_no_network_stays_as_it_is(numba_kernels):
    objective = object()
    assert numba_kernels.fuse(objective) is NUMPY.fuse(objective) is objective


@pytest.mark.parametrize("sizes", [(2, 3, 2), (2, 300, 2)])
def test_a_number_that_is_not_finite_is_not_lost_in_a_compiled_loop(sizes, numba_kernels):
    net = mlp(*sizes, loss="cross_entropy", seed=0)
    X, y = np.full((3, 2), np.nan, np.float32), np.array([0, 1, 0])
    value, _ = numba_kernels.fuse(net).objective(X, y)
    assert np.isnan(value)
    assert np.isnan(numba_kernels.square_sum(np.array([1, np.nan, 1], np.float32)))
    assert numba_kernels.square_sum(np.array([1e30, 1], np.float32)) == np.inf


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_answer_is_given_to_what_is_not_finite(name, value, numba_kernels):
    net = NETWORKS[name]("float32")
    net.theta = np.abs(net.theta)  # so that -inf is below every relu's zero
    X = np.ones((3000, 6), np.float32)
    X[2900, 4] = value
    for rows, place in ((X, 2900), (X[2900:2901], 0)):
        with pytest.raises(ValueError, match=rf"X must be finite in float32, got {value}"):
            numba_kernels.fuse(net).predict(rows)


def test_numbers_that_grow_too_large_are_told_by_row_and_layer(numba_kernels):
    net = relus(6, 4, 3)("float32")
    X = np.ones((3, 6), np.float32)
    X[1] = 3e38
    for rows, place in ((X, 1), (X[1:2], 0)):
        message = rf"for X\[{place}\], whose largest number is 3e\+38, the output of layer 2, Dense\(4, 3"
        with pytest.raises(OutOfRangeError, match=message):
            numba_kernels.fuse(net).predict(rows)


def trained(sizes=(2, 8, 2), **options):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, sizes[0]))
    net = mlp(*sizes, loss="cross_entropy", seed=0)
    history = train(net, X, (X[:, 0] * X[:, 1] > 0).astype(int), epochs=5, batch_size=20, **options)
    return net.theta, history


@pytest.mark.parametrize("sizes", [(2, 8, 2), (2, 100, 2)])
def test_a_training_by_either_ends_at_the_same_weights_and_repeats_its_bits(sizes, numba_kernels, monkeypatch):
    monkeypatch.setenv("CHAINRULE_KERNELS", "numpy")
    theta, history = trained(sizes)
    monkeypatch.setenv("CHAINRULE_KERNELS", "numba")
    (first, compiled_history), (second, _) = trained(sizes), trained(sizes)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, theta, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(compiled_history.loss, history.loss, rtol=1e-4)
    assert not np.array_equal(first, theta)  # or the twins were not asked


def test_a_rate_far_too_high_is_noticed_by_the_twins_as_well(numba_kernels, monkeypatch):
    monkeypatch.setenv("CHAINRULE_KERNELS", "numba")
    theta, history = trained((2, 100, 2), optimizer=SGD(300))
    assert np.isfinite(theta).all()
    assert history.notes


def test_compiled_moments_do_not_stay_denormal(numba_kernels):
    theta, optimizer = np.zeros(2, np.float32), Adam()
    optimizer.kernels_name = "numba"
    optimizer.step(theta, np.array([1, 1], np.float32))
    for _ in range(2000):
        optimizer.step(theta, np.array([0, 1], np.float32))
    assert optimizer.moments["mean"][0] == 0


def test_only_a_long_training_is_worth_the_start_of_numba(fresh_choice, numba_kernels):
    assert choose(REPAID - 1) is NUMPY
    assert choose(REPAID).name == "numba"


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_the_environment_forces_either(name, fresh_choice, numba_kernels):
    fresh_choice.setenv("CHAINRULE_KERNELS", name)
    assert choose(1).name == choose(REPAID).name == name


def test_another_value_in_the_environment_is_refused(fresh_choice):
    fresh_choice.setenv("CHAINRULE_KERNELS", "cuda")
    with pytest.raises(ValueError, match=r"CHAINRULE_KERNELS must be one of {'numpy', 'numba'; .*'cuda'"):
        trained()


def test_where_numba_is_missing_numpy_serves_and_says_so(fresh_choice, without_numba, caplog):
    fresh_choice.setattr(kernels, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO):
        assert choose(REPAID) is choose(REPAID) is NUMPY
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert "numba does not serve, so NumPy does: ModuleNotFoundError" in record.getMessage()


def test_where_numba_is_broken_numpy_serves_with_a_warning(fresh_choice, caplog, numba_kernels):
    from chainrule.training import fused

    def broken(*arguments):
        raise SystemError("compiled for another NumPy\nand much more")

    kernels.compiled.cache_clear()
    fresh_choice.setattr(fused, "NUMBA", numba_kernels._replace(sgd=broken))
    with caplog.at_level(logging.INFO):
        assert choose(REPAID) is NUMPY
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().endswith("SystemError: compiled for another NumPy")


def test_where_no_cache_can_be_written_a_twin_is_compiled_without(monkeypatch, numba_kernels):
    from chainrule.training import compiled

    def njit(function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return ("compiled", function)

    monkeypatch.setattr(compiled, "njit", njit)
    assert compiled.twin(len) == ("compiled", len)


def run(code, **environment):
    command = [sys.executable, "-c", f"from chainrule import mlp, train; import numpy as np, sys\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()


TRAIN = "train(mlp(2, 300, 2, loss='cross_entropy'), np.ones((9, 2)), np.arange(9) % 2, epochs=2)"


def test_a_short_training_does_not_import_numba():
    assert run(f"{TRAIN}; print('numba' in sys.modules)", PYTHONPATH=":".join(sys.path)) == "False"


def test_the_twins_start_no_threads(numba_kernels):
    count = "import os; print(len(os.listdir('/proc/self/task')))"
    environment = {"PYTHONPATH": ":".join(sys.path), "OPENBLAS_NUM_THREADS": "1", "CHAINRULE_KERNELS": "numba"}
    if sys.platform != "linux":
        pytest.skip("threads are counted in /proc")
    assert run(f"{TRAIN}; assert 'numba' in sys.modules; {count}", **environment) == "1"


@dataclass
class Sine:
    """An activation of one's own that cannot be looked up: a dataclass has no hash."""

    pace: float = 2.0

    def __call__(self, Z):
        return np.sin(self.pace * Z), lambda dA: dA * self.pace * np.cos(self.pace * Z)


def test_an_activation_of_ones_own_is_trained_by_either(numba_kernels, monkeypatch, rng):
    X, thetas = rng.normal(size=(60, 3)), []
    for name in ("numpy", "numba"):
        monkeypatch.setenv("CHAINRULE_KERNELS", name)
        net = mlp(3, 8, 1, activation=Sine(), seed=0, dtype="float64")
        train(net, X, X[:, 0], epochs=2, batch_size=10)
        thetas.append(net.theta)
    np.testing.assert_allclose(*thetas, rtol=1e-10)
