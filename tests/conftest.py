import os

# One thread in each worker and in the commands that tests start: OpenBLAS and OpenMP, with which scikit-learn boosts
# trees, read this when they are loaded, and their threads wait for each other actively, which multiplies the time of
# small matrix products and of small trees when all processors are busy.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
if hasattr(os, "fork"):  # the workers of Dask's clusters start from a process that has imported Dask already
    os.environ["DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD"] = "forkserver"

import gc
import signal
import sys
from functools import cache
from itertools import count
from unittest import mock

import matplotlib
import numpy as np
import pytest
import typer.testing
from hypothesis import HealthCheck, settings

matplotlib.use("Agg")
settings.register_profile(  # no limit of time: the machine may be busy
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job ignores the signals that tests send
    signal.signal(signal.SIGINT, signal.default_int_handler)

default_rng = np.random.default_rng
unused_seeds = count()
UNMEASURED = {
    "test_derivatives_figure",
    "test_examples",
    "test_fast",
    "test_playground_page",
    "test_readme",
    "test_robustness",
    "test_sklearn_mlp",
}
"""Modules whose tests run without measuring coverage, which doubles their time: long runs of what others cover."""


LONG = {
    "test_cli",
    "test_distributed",
    "test_examples",
    "test_playground_page",
    "test_readme",
    "test_report",
    "test_site",
}
"""Modules that take longest: they come first, so that at the end no worker waits long for another one."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in LONG)
    for item in items:
        if item.path.stem in UNMEASURED:
            item.add_marker("no_cover")


gc.disable()  # until the tests are collected, because modules and tests are no garbage


def pytest_collection_finish():
    """Leave modules and tests, a million objects, out of the garbage collections to come."""
    gc.freeze()
    gc.enable()


def pytest_runtest_setup(item):
    """Restart the seeds of unseeded generators for each test, before its fixtures of any scope are made."""
    global unused_seeds
    unused_seeds = count()


@pytest.fixture(autouse=True, scope="session")
def deterministic_generators():
    """Seed unseeded generators with 0, 1, 2, ...; seeded ones are unchanged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            np.random, "default_rng", lambda seed=None: default_rng(next(unused_seeds) if seed is None else seed)
        )
        yield


@pytest.fixture(autouse=True, scope="session")
def commands_built_once():
    """Build the commands of an app once; the runner of Typer builds them anew for each call, which takes 30 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", cache(typer.main.get_command))
        yield


@pytest.fixture(autouse=True, scope="module")
def own_environment():
    """Restore the environment after each module: Dask sets how processes that are started later allocate memory."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def closed_figures():
    """Close what a test drew: pyplot keeps figures, and the next test would see them."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def brief_reports(monkeypatch):
    """Reports without figures and of few evaluations: for tests of what depends on neither."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("chainrule.app.report.blocks.svg", lambda draw, width, height, label: f"<svg>{label}</svg>")
    monkeypatch.setattr("chainrule.app.report.study.MAX_NETWORK_ROWS", 10_000)
    monkeypatch.setattr("chainrule.app.report.panel.EPOCHS", 2)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def two_blas_threads():
    """As in a process that takes the default number of threads on two processors."""
    with pytest.importorskip("threadpoolctl").threadpool_limits(2, user_api="blas"):
        yield


@pytest.fixture
def without_numba(monkeypatch):
    """As where numba is not installed, and nothing has been compiled."""
    for name in ("compiled", "compiled.epochs", "compiled.fused", "compiled.small", "model.compiled"):
        monkeypatch.delitem(sys.modules, f"chainrule.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
