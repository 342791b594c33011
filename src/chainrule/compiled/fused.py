"""Loops that touch every number once, for the update of the parameters and between matrix products.

A loop contains the update rule of `training.optimizers` that it compiles: after changing a rule, touch this file, since
numba's cache compares only dates. Everything runs in one thread: the process may have been given no more, and the
matrix products have their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar, final

import numpy as np
from numba import njit, types
from numba.extending import overload

from chainrule.arrays import Array
from chainrule.nn import inference
from chainrule.nn.layers import Activation, Backward, Dense, Params
from chainrule.nn.losses import CrossEntropy
from chainrule.nn.network import Network
from chainrule.training import optimizers
from chainrule.training.optimizers import Rate

F = TypeVar("F", bound=Callable[..., Any])

# Everything that fastmath allows except assuming that values are finite: a NaN must be found.
OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "afn", "nsz"},
    "nogil": True,
}


def jit(function: F) -> F:
    """Return the function compiled at its first call, cached on disk where a cache can be written."""
    try:
        return njit(function, cache=True, **OPTIONS)
    except RuntimeError:
        return njit(function, **OPTIONS)


# The update rules, applied entry by entry.


def _rate_of(rate: Rate, i: int) -> float:
    """Return the rate of entry i: one for all, or one for each. It exists in compiled form only."""
    raise NotImplementedError


overload(_rate_of, inline="always")(
    lambda rate, i: (lambda rate, i: rate[i]) if isinstance(rate, types.Array) else (lambda rate, i: rate)
)
_sgd, _momentum, _nesterov = jit(optimizers.sgd), jit(optimizers.momentum), jit(optimizers.nesterov)
_rmsprop, _adam = jit(optimizers.rmsprop), jit(optimizers.adam)


@jit
def sgd_loop(theta, g, rate):
    real = theta.dtype.type
    for i in range(theta.size):
        theta[i] = _sgd(theta[i], g[i], real(_rate_of(rate, i)))


@jit
def momentum_loop(theta, g, v, rate, mu):
    real = theta.dtype.type
    for i in range(theta.size):
        theta[i], v[i] = _momentum(theta[i], g[i], v[i], real(_rate_of(rate, i)), real(mu))


@jit
def nesterov_loop(theta, g, v, rate, mu):
    real = theta.dtype.type
    for i in range(theta.size):
        theta[i], v[i] = _nesterov(theta[i], g[i], v[i], real(_rate_of(rate, i)), real(mu))


@jit
def rmsprop_loop(theta, g, v, rate, rho, rest, epsilon):
    real = theta.dtype.type
    for i in range(theta.size):
        rate_i = real(_rate_of(rate, i))
        theta[i], v[i] = _rmsprop(theta[i], g[i], v[i], rate_i, real(rho), real(rest), real(epsilon))


@jit
def adam_loop(theta, g, m, v, rate, beta1, rest1, beta2, rest2, eps):
    real = theta.dtype.type
    for i in range(theta.size):
        theta[i], m[i], v[i] = _adam(
            theta[i], g[i], m[i], v[i], real(_rate_of(rate, i)),
            real(beta1), real(rest1), real(beta2), real(rest2), real(eps),
        )  # fmt: skip


LOOPS: dict[Any, Any] = {
    optimizers.sgd: sgd_loop,
    optimizers.momentum: momentum_loop,
    optimizers.nesterov: nesterov_loop,
    optimizers.rmsprop: rmsprop_loop,
    optimizers.adam: adam_loop,
}


def update(rule: Callable[..., Any], vectors: tuple[Array, ...], rate: Rate, constants: tuple[float, ...]) -> None:
    """Apply an update rule: a compiled loop for the library's own, NumPy for a custom one."""
    loop = LOOPS.get(rule)
    if loop is None:
        optimizers.update(rule, vectors, rate, constants)
    else:
        loop(*vectors, rate, *constants)


@jit
def square_sum(vector: Array) -> float:
    """Return sum_i vector_i^2."""
    total = vector.dtype.type(0)
    for i in range(vector.size):
        total += vector[i] * vector[i]
    return total


@jit
def _bias_relu(Z: Array, b: Array) -> None:
    """Z <- max(0, Z + b); a value that is not finite stays so, and becomes NaN below 0."""
    zero = Z.dtype.type(0)
    for i in range(Z.shape[0]):
        for j in range(Z.shape[1]):
            z = Z[i, j] + b[j]
            Z[i, j] = z if z > 0 else z * zero


@jit
def _relu_backward(dA: Array, A: Array, db: Array) -> Array:
    """Return dZ = dA where A > 0, else 0, and fill db with its sum over rows."""
    dZ, zero = np.empty_like(A), A.dtype.type(0)
    db[:] = zero
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            dZ[i, j] = dA[i, j] if A[i, j] > 0 else zero
            db[j] += dZ[i, j]
    return dZ


@jit
def softmax_row(z, share, p):
    """Write p = share softmax(z) for one row, and return log sum_j exp(z_j): less z_k it is -log softmax(z)_k."""
    most, total = z[0], z.dtype.type(0)
    for j in range(1, z.size):
        most = max(most, z[j])
    for j in range(z.size):
        p[j] = np.exp(z[j] - most)
        total += p[j]
    factor = share / total
    for j in range(z.size):
        p[j] *= factor
    return np.log(total) + most


@jit
def _softmax_cross_entropy(Z: Array, y: Array) -> tuple[float, Array]:
    """Return the mean over rows of -log P_y with P = softmax(Z), and its derivative (P - one-hot y) / n."""
    dZ, total, share = np.empty_like(Z), 0.0, Z.dtype.type(1 / len(Z))
    for i in range(len(Z)):
        total += softmax_row(Z[i], share, dZ[i]) - Z[i, y[i]]
        dZ[i, y[i]] -= share
    return total / len(Z), dZ


# Fused forms of a network.

IDENTITY = Activation("identity")


@final
@dataclass(frozen=True)
class DenseRelu(Dense):
    """A = max(0, X W + b): a Dense and its relu in fewer passes over memory."""

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        W = params["W"]
        A = X.dot(W)
        _bias_relu(A, params["b"])

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            dZ = _relu_backward(dY, A, grads["b"])
            np.matmul(X.T, dZ, out=grads["W"])
            return dZ.dot(W.T) if need_dX else dZ

        return A, backward


@final
@dataclass(frozen=True)
class FusedCrossEntropy(CrossEntropy):
    """`CrossEntropy` in fewer passes over memory."""

    def __call__(self, Z: Array, Y: Array, weight: Array | None = None) -> tuple[float, Array]:
        if weight is None and Y.ndim == 1 and not self.label_smoothing:
            return _softmax_cross_entropy(Z, Y)
        return super().__call__(Z, Y, weight)


class FusedNetwork(Network):
    """The network `original`, on the same vectors, with fused operations.

    A Dense followed by a relu becomes a DenseRelu.
    """

    def __init__(self, original: Network) -> None:
        self.__dict__.update(original.__dict__)
        layers = list(self.layers)
        for i, (layer, following) in enumerate(pairwise(self.layers)):
            if type(layer) is Dense and following == inference.RELU:
                layers[i : i + 2] = DenseRelu(layer.n_in, layer.n_out), IDENTITY
        self.layers = tuple(layers)
        steps = [(layer, params, False) for layer, params in zip(layers, self.params) if layer != IDENTITY]
        self.plan = inference.Plan(steps, original.plan.rows)
        if isinstance(self.loss, CrossEntropy):
            self.loss = FusedCrossEntropy(self.loss.label_smoothing)
