"""Kernels: how a training run computes what is not a matrix product; here with NumPy, in `training.fast` with numba."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from chainrule.arrays import Array

BLOCK = 65536
"""Entries of theta that a rule is applied to at once: their blocks of moments stay in the cache between operations."""

Rate = float | Array


class Kernels(NamedTuple):
    """One implementation of everything that is not a matrix product."""

    name: str
    update: Callable[[Callable[..., Any], tuple[Array, ...], Rate, tuple[float, ...]], None]
    """Apply an update rule, in place, to (theta, grad, *moments)."""
    square_sum: Callable[[Array], float]
    fuse: Callable[[Any], Any]
    """Return an equivalent objective on the same vectors, with fused operations."""


def update(rule: Callable[..., Any], vectors: tuple[Array, ...], rate: Rate, constants: tuple[float, ...]) -> None:
    """Apply an update rule to blocks of vectors."""
    size = vectors[0].size
    if size <= BLOCK:
        rule(*vectors, rate, *constants)
        return
    for block in blocks(size):
        part = rate[block] if isinstance(rate, np.ndarray) else rate
        rule(*(vector[block] for vector in vectors), part, *constants)


@lru_cache
def blocks(size: int) -> Sequence[slice]:
    """Cut a vector into blocks."""
    return tuple(slice(start, start + BLOCK) for start in range(0, size, BLOCK))


def square_sum(vector: Array) -> float:
    """Return sum_i vector_i^2."""
    return float(np.vdot(vector, vector))


NUMPY = Kernels("numpy", update, square_sum, fuse=lambda objective: objective)
