"""Kernels compiled by numba (extra `fast`): each loop touches every number once.

Importing this module takes half a second; `training.kernels` does so when it pays. Compiled code is cached on disk,
beside this file or in numba's own cache directory. A loop contains the update rule of `training.optimizers` that it
compiles: after changing a rule, touch this file. Everything runs in one thread: the process may have been given no
more, and the matrix products have their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar, final

import numpy as np
from numba import njit, types
from numba.extending import overload

from chainrule.arrays import Array
from chainrule.nn import inference
from chainrule.nn.layers import Activation, Backward, Dense, Layer, Params
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
def _sgd_loop(theta, g, rate):  # type: ignore[no-untyped-def]
    real = theta.dtype.type
    for i in range(theta.size):
        theta[i] = _sgd(theta[i], g[i], real(_rate_of(rate, i)))


@jit
def _momentum_loop(theta, g, v, rate, mu):  # type: ignore[no-untyped-def]
    real = theta.dtype.type
    for i in range(theta.size):
        theta[i], v[i] = _momentum(theta[i], g[i], v[i], real(_rate_of(rate, i)), real(mu))


@jit
def _nesterov_loop(theta, g, v, rate, mu):  # type: ignore[no-untyped-def]
    real = theta.dtype.type
    for i in range(theta.size):
        theta[i], v[i] = _nesterov(theta[i], g[i], v[i], real(_rate_of(rate, i)), real(mu))


@jit
def _rmsprop_loop(theta, g, v, rate, rho, rest, epsilon):  # type: ignore[no-untyped-def]
    real = theta.dtype.type
    for i in range(theta.size):
        rate_i = real(_rate_of(rate, i))
        theta[i], v[i] = _rmsprop(theta[i], g[i], v[i], rate_i, real(rho), real(rest), real(epsilon))


@jit
def _adam_loop(theta, g, m, v, rate, beta1, rest1, beta2, rest2, eps):  # type: ignore[no-untyped-def]
    real = theta.dtype.type
    for i in range(theta.size):
        theta[i], m[i], v[i] = _adam(
            theta[i], g[i], m[i], v[i], real(_rate_of(rate, i)),
            real(beta1), real(rest1), real(beta2), real(rest2), real(eps),
        )  # fmt: skip


LOOPS: dict[Any, Any] = {
    optimizers.sgd: _sgd_loop,
    optimizers.momentum: _momentum_loop,
    optimizers.nesterov: _nesterov_loop,
    optimizers.rmsprop: _rmsprop_loop,
    optimizers.adam: _adam_loop,
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
def _softmax_cross_entropy(Z: Array, y: Array) -> tuple[float, Array]:
    """Return the mean over rows of -log P_y with P = softmax(Z), and its derivative (P - one-hot y) / n."""
    dZ, zero, sum_of_losses = np.empty_like(Z), Z.dtype.type(0), 0.0
    weight = Z.dtype.type(1 / len(Z))
    for i in range(Z.shape[0]):
        most, total = Z[i, 0], zero
        for j in range(1, Z.shape[1]):
            most = max(most, Z[i, j])
        for j in range(Z.shape[1]):
            dZ[i, j] = np.exp(Z[i, j] - most)
            total += dZ[i, j]
        sum_of_losses += np.log(total) + most - Z[i, y[i]]
        scale = weight / total
        for j in range(Z.shape[1]):
            dZ[i, j] *= scale
        dZ[i, y[i]] -= weight
    return sum_of_losses / len(Z), dZ


# A whole small network as one loop, where calling matrix products takes longer than computing them.

CODES = {"identity": 0, "relu": 1, "sigmoid": 2, "tanh": 3}
"""Activations whose derivative is a function of their value."""


@jit
def _activate(code: int, z: Any) -> Any:
    """Return f(z), as in `chainrule.nn.activations`."""
    if code == 0:
        return z
    if code == 1:
        return z if z > 0 else z * 0
    return np.tanh(z) if code == 3 else 1 / (1 + np.exp(-z))


@jit
def _derivative(code: int, a: Any) -> Any:
    """Return df/dz at f(z) = a."""
    if code == 0:
        return a * 0 + 1
    if code == 1:
        return a * 0 + (a > 0)
    return 1 - a * a if code == 3 else a * (1 - a)


@jit
def _forward(theta: Array, sizes: Array, codes: Array, X: Array) -> Array:
    """Return, for each row of X, the row itself and the activated outputs of every Dense layer, concatenated."""
    A = np.empty((len(X), sizes.sum()), theta.dtype)
    for row in range(len(X)):
        a, start, first = A[row], 0, 0  # of the layer's weights in theta, and of its inputs in a
        for i in range(sizes[0]):
            a[i] = X[row, i]
        for k, code in enumerate(codes):
            n_in, n_out = sizes[k], sizes[k + 1]
            after = first + n_in
            for j in range(n_out):
                z = theta[start + n_in * n_out + j]
                for i in range(n_in):
                    z += a[first + i] * theta[start + i * n_out + j]
                a[after + j] = _activate(code, z)
            start, first = start + (n_in + 1) * n_out, after
    return A


@jit
def _backward(theta: Array, sizes: Array, codes: Array, A: Array, dY: Array, grad: Array) -> None:
    """Write the gradient, from the result of `_forward` and the derivative of the loss with respect to the outputs."""
    d, zero = np.empty_like(A[0]), theta.dtype.type(0)
    grad[:] = zero
    for row in range(len(A)):
        a, start, after = A[row], theta.size, A.shape[1] - sizes[-1]
        for j in range(sizes[-1]):
            d[after + j] = dY[row, j]
        for k in range(len(codes) - 1, -1, -1):
            n_in, n_out = sizes[k], sizes[k + 1]
            start, first = start - (n_in + 1) * n_out, after - n_in
            for j in range(n_out):
                d[after + j] *= _derivative(codes[k], a[after + j])
                grad[start + n_in * n_out + j] += d[after + j]
            for i in range(n_in):
                total = zero
                for j in range(n_out):
                    grad[start + i * n_out + j] += a[first + i] * d[after + j]
                    total += theta[start + i * n_out + j] * d[after + j]
                d[first + i] = total
            after = first


@jit
def _cross_entropy_and_gradient(theta: Array, sizes: Array, codes: Array, X: Array, y: Array, grad: Array) -> float:
    """Return the loss of a small network with softmax and cross-entropy, and write its gradient, in one call."""
    A = _forward(theta, sizes, codes, X)
    value, dY = _softmax_cross_entropy(A[:, A.shape[1] - sizes[-1] :], y)
    _backward(theta, sizes, codes, A, dY, grad)
    return value


# Fused forms of a network.

IDENTITY = Activation("identity")
MAX_BATCH = 4096
"""Parameters times rows up to which a loop is faster than BLAS and the calls around it."""


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

    A Dense followed by a relu becomes a DenseRelu. If all layers are plain, a small batch goes through one
    compiled loop.
    """

    def __init__(self, original: Network) -> None:
        self.__dict__.update(original.__dict__)
        self.codes = np.array(_activation_codes(self.layers), np.intp)
        self.sizes = np.array([self.n_in, *(layer.n_out for layer in self.layers if isinstance(layer, Dense))])
        layers = list(self.layers)
        for i, (layer, following) in enumerate(pairwise(self.layers)):
            if type(layer) is Dense and following == inference.RELU:
                layers[i : i + 2] = DenseRelu(layer.n_in, layer.n_out), IDENTITY
        self.layers = tuple(layers)
        steps = [(layer, params, False) for layer, params in zip(layers, self.params) if layer != IDENTITY]
        self.plan = inference.Plan(steps, original.plan.rows)
        if isinstance(self.loss, CrossEntropy):
            self.loss = FusedCrossEntropy(self.loss.label_smoothing)
        self.is_plain = self.loss == FusedCrossEntropy()

    def objective(
        self, X: Array, y: Array, weight: Array | None = None, rng: np.random.Generator | None = None
    ) -> tuple[float, Array]:
        if not len(self.codes) or len(X) * self._theta.size > MAX_BATCH:
            return super().objective(X, y, weight, rng)
        if self.is_plain and weight is None and y.ndim == 1:
            value = _cross_entropy_and_gradient(self._theta, self.sizes, self.codes, X, y, self.grad)
        else:
            A = _forward(self._theta, self.sizes, self.codes, X)
            value, dY = self.loss(A[:, -self.n_out :], y, weight)
            _backward(self._theta, self.sizes, self.codes, A, dY, self.grad)
        if self.l1 or self.l2 or self.alpha:
            value += self.penalize(X, weight)
        return value, self.grad


def _activation_codes(layers: Sequence[Layer]) -> list[int]:
    """Return the code of the activation after each Dense; an empty list if a layer is of another kind."""
    codes: list[int] = []
    for layer in layers:
        if type(layer) is Dense:
            codes.append(CODES["identity"])
        elif isinstance(layer, Activation) and isinstance(layer.function, str) and codes and not codes[-1]:
            if layer.function not in CODES:
                return []
            codes[-1] = CODES[layer.function]
        else:
            return []
    return codes


def fuse(objective: Any) -> Any:
    """Return a FusedNetwork for a Network, and any other objective unchanged."""
    return FusedNetwork(objective) if type(objective) is Network else objective
