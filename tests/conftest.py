import signal
import sys
from itertools import count

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job ignores the signals that tests send
    signal.signal(signal.SIGINT, signal.default_int_handler)

default_rng = np.random.default_rng
unused_seeds = count()


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


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def without_numba(monkeypatch):
    """As where numba is not installed, and nothing has been compiled."""
    for name in ("compiled", "compiled.epochs", "compiled.fused", "compiled.small", "model.compiled"):
        monkeypatch.delitem(sys.modules, f"chainrule.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
