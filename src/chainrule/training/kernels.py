"""Kernels: what computes everything but the matrix products of a training run, NumPy or numba (extra `fast`).

A run chooses once, when it starts, by the time that it predicts to save. The prediction depends on the sizes of the run
alone, so the same run gives the same bits whatever ran before it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from logging import INFO, WARNING, getLogger
from typing import Any, NamedTuple

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import look_up
from chainrule.training import optimizers

SAVED_PER_STEP, SAVED_PER_PARAMETER = 15e-6, 1.5e-9
"""Seconds that the compiled form saves in each step, and for each parameter in each step. Measured on 2 cores of an AMD
EPYC: 2-3-2 in batches of 10 takes 24 us a step with NumPy and 5 with numba, Adam on 100,000 parameters 176 and 18."""
START_SECONDS = 1.5
"""Seconds that must be saved for numba to be worth starting: importing it and loading compiled code takes 0.6."""


class Kernels(NamedTuple):
    """One implementation of everything that is not a matrix product."""

    name: str
    update: optimizers.Update
    square_sum: Callable[[Array], float]
    fuse: Callable[[Any], Any]
    """Return an equivalent objective on the same vectors, with fused operations."""
    train_epoch: Callable[[Any], bool]
    """Train for an epoch of a run, if there is a faster way than batch by batch; return whether there is."""


NUMPY = Kernels(
    "numpy",
    optimizers.update,
    square_sum=lambda x: float(np.vdot(x, x)),
    fuse=lambda objective: objective,
    train_epoch=lambda run: False,
)


@cache
def compiled() -> Kernels:
    """Return the compiled kernels; where numba is missing, broken or too new, log that and return NumPy's."""
    try:
        kernels: Kernels = import_module("chainrule.compiled").NUMBA
        kernels.square_sum(np.zeros(1, np.float32))
    except Exception as error:  # a numba that is too new may fail in any way
        level, reason = WARNING if find_spec("numba") else INFO, str(error).partition("\n")[0]
        message = "numba is unavailable; falling back to NumPy: %s: %s"
        getLogger(__name__).log(level, message, type(error).__name__, reason)
        return NUMPY
    return kernels


KERNELS: dict[str, Callable[[], Kernels]] = {"numpy": lambda: NUMPY, "numba": compiled}


def choose(kernels: str, n_parameters: int, n_steps: int) -> Kernels:
    """Return the kernels with this name; for "auto" the compiled ones where they save more time than numba's start."""
    if kernels == "auto":
        saved = n_steps * (SAVED_PER_STEP + SAVED_PER_PARAMETER * n_parameters)
        kernels = "numba" if saved >= START_SECONDS else "numpy"
    elif kernels not in KERNELS:
        look_up({"auto": None, **KERNELS}, kernels, "kernels")
    return KERNELS[kernels]()
