"""Initializers: each draws an (n_in, n_out) matrix from `rng`, in float64, the same one for every dtype."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np

from chainrule.arrays import Array

Initializer = Callable[["np.random.Generator", tuple[int, ...]], Array]


def zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """All 0: right for biases. As weights of hidden layers, it would leave all units identical."""
    return np.zeros(shape)


def ones(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """All 1."""
    return np.ones(shape)


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """N(0, 1), whatever the sizes."""
    return rng.standard_normal(shape)


def uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """U[0, 1). Not centered: behind the first layer the sums grow with n_in, and sigmoids start saturated."""
    return rng.random(shape)


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """U(-a, a), a = sqrt(6 / (n_in + n_out)): equal variances forward and backward (Glorot & Bengio 2010, eq. 16)."""
    return _symmetric_uniform(rng, shape, sqrt(6 / sum(_fans(shape))))


def glorot_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """N(0, 2 / (n_in + n_out)) (Glorot & Bengio 2010, eq. 12)."""
    return rng.standard_normal(shape) * sqrt(2 / sum(_fans(shape)))


def he_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """U(-a, a), a = sqrt(6 / n_in): variance 2 / n_in, for relu (He et al. 2015, eq. 10)."""
    return _symmetric_uniform(rng, shape, sqrt(6 / _fans(shape)[0]))


def he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """N(0, 2 / n_in), for relu (He et al. 2015, eq. 10)."""
    return rng.standard_normal(shape) * sqrt(2 / _fans(shape)[0])


def lecun_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """U(-a, a), a = sqrt(3 / n_in): variance 1 / n_in (LeCun et al. 1998, eq. 16)."""
    return _symmetric_uniform(rng, shape, sqrt(3 / _fans(shape)[0]))


def lecun_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """N(0, 1 / n_in), for selu (LeCun et al. 1998, eq. 16; Klambauer et al. 2017)."""
    return rng.standard_normal(shape) / sqrt(_fans(shape)[0])


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    # A bias vector counts as a matrix with one input.
    return (shape[0], shape[1]) if len(shape) == 2 else (1, shape[0])


def _symmetric_uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float) -> Array:
    """U(-bound, bound)."""
    return rng.uniform(-bound, bound, shape)


INITIALIZERS: dict[str, Initializer] = {
    function.__name__: function
    for function in (
        zeros, ones, normal, uniform, glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal,
    )
}  # fmt: skip

DEFAULT_INITIALIZERS = dict.fromkeys(("relu", "leaky_relu", "elu", "gelu", "silu", "mish", "softplus"), "he_normal")
DEFAULT_INITIALIZERS["selu"] = "lecun_normal"
"""Keeps the variance for relu, leaky_relu and selu, nearly for smooth ones; all others have `glorot_uniform`."""
