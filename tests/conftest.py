import signal
import sys

import matplotlib
import numpy as np
import pytest

from chainrule import training

matplotlib.use("Agg")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's job in the background does not hear what tests send
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def without_numba(monkeypatch):
    """As where numba is not installed, and nothing has been compiled."""
    for module in ("fused", "compiled"):
        monkeypatch.delitem(sys.modules, f"chainrule.training.{module}", raising=False)
        monkeypatch.delattr(training, module, raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
