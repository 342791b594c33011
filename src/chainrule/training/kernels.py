"""Kernels: the loops over whole vectors that training spends its time in beside the matrix products.

Each is a NumPy form, which stands here, and a compiled twin under the same name in `chainrule.training.compiled`. NumPy
takes a pass over memory for every operation, the twin one for all. A training chooses once, when it starts: the twins
where numba is there (extra `fast`) and the training is long enough to repay its start, else NumPy; or what the
environment variable CHAINRULE_KERNELS says, "numpy" or "numba". The choice depends on nothing else: the same training
gives the same bits whatever ran before it.

All take flat arrays of one dtype and change `theta` and the moments in place; `rate` is a number or one for each entry.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from logging import INFO, WARNING, getLogger
from typing import Any, NamedTuple

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import look_up

REPAID = 1e9
"""Entries of theta stepped in all, from which on the twins save more than the half second in which numba starts."""
PART = 65536
"""Entries of theta that are stepped at once."""

Rate = float | Array


class Kernels(NamedTuple):
    """A form of every kernel."""

    name: str
    square_sum: Callable[[Array], float]
    sgd: Callable[[Array, Array, Rate], None]
    momentum: Callable[[Array, Array, Array, Rate, float], None]
    nesterov: Callable[[Array, Array, Array, Rate, float], None]
    rmsprop: Callable[[Array, Array, Array, Rate, float, float], None]
    adam: Callable[[Array, Array, Array, Array, Rate, float, float, float], None]
    fuse: Callable[[Any], Any]
    """Returns an objective that answers as the given one does, and shares its vectors."""


def square_sum(vector: Array) -> float:
    """Return sum_i vector_i^2."""
    return float(np.vdot(vector, vector))


def sgd(theta: Array, grad: Array, rate: Rate) -> None:
    """Plain descent: theta <- theta - rate g."""
    theta -= grad * rate


def momentum(theta: Array, grad: Array, velocity: Array, rate: Rate, mu: float) -> None:
    """Momentum: v <- mu v - rate g, theta <- theta + v."""
    velocity *= mu
    velocity -= grad * rate
    theta += velocity


def nesterov(theta: Array, grad: Array, velocity: Array, rate: Rate, mu: float) -> None:
    """Nesterov: v <- mu v - rate g, theta <- theta + mu v - rate g."""
    move = grad * rate
    velocity *= mu
    velocity -= move
    theta += mu * velocity
    theta -= move


def rmsprop(theta: Array, grad: Array, square: Array, rate: Rate, rho: float, epsilon: float) -> None:
    """RMSProp: v <- rho v + (1 - rho) g^2, theta <- theta - rate g / (sqrt(v) + epsilon)."""
    square *= rho
    square += (1 - rho) * (grad * grad)
    root = np.sqrt(square)
    root += epsilon
    theta -= np.divide(grad, root, out=root) * rate


def adam(
    theta: Array, grad: Array, mean: Array, square: Array, rate: Rate, beta1: float, beta2: float, epsilon: float
) -> None:
    """Adam: m <- beta1 m + g, v <- beta2 v + g^2, theta <- theta - rate m / (sqrt(v) + epsilon)."""
    for part in parts(theta.size):
        t, m, v, g = theta[part], mean[part], square[part], grad[part]
        m *= beta1
        m += g
        v *= beta2
        move = g * g
        v += move
        np.sqrt(v, out=move)
        move += epsilon
        np.divide(m, move, out=move)
        move *= rate[part] if isinstance(rate, np.ndarray) else rate
        t -= move


@lru_cache
def parts(size: int) -> Sequence[slice]:
    """Cut a vector into slices that stay in the processor's cache from the first pass over them to the last."""
    return tuple(slice(start, start + PART) for start in range(0, size, PART))


NUMPY = Kernels("numpy", square_sum, sgd, momentum, nesterov, rmsprop, adam, fuse=lambda objective: objective)


@cache
def compiled() -> Kernels:
    """Return the compiled twins; NumPy's forms, with a line in the log, where numba is missing, broken or too new."""
    try:
        from chainrule.training.fused import NUMBA

        NUMBA.sgd(np.zeros(1, np.float32), np.zeros(1, np.float32), 0.0)
    except Exception as error:  # a numba that is too new may fail in any way there is
        level, reason = WARNING if find_spec("numba") else INFO, str(error).partition("\n")[0]
        getLogger(__name__).log(level, "numba does not serve, so NumPy does: %s: %s", type(error).__name__, reason)
        return NUMPY
    return NUMBA


KERNELS: dict[str, Callable[[], Kernels]] = {"numpy": lambda: NUMPY, "numba": compiled}


def choose(entries: float) -> Kernels:
    """Return the kernels for a training that steps so many entries in all: parameters times steps.

    Raises ValueError when CHAINRULE_KERNELS names neither of the two.
    """
    name = os.environ.get("CHAINRULE_KERNELS") or ("numba" if entries >= REPAID else "numpy")
    return look_up(KERNELS, name, "CHAINRULE_KERNELS")()
