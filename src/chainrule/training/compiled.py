"""The compiled twins of the kernels, by numba: each a loop that touches every number once.

This module needs the extra `fast`, and importing it takes half a second; `chainrule.training.kernels` does so when it
pays. What is compiled is kept on disk, beside this file or where numba keeps its cache. One thread does all: the
process may have been given no more, and the matrix products have theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit, types
from numba.extending import overload

from chainrule.arrays import Array
from chainrule.nn.activations import SELU_ALPHA, SELU_SCALE
from chainrule.training.kernels import Rate

F = TypeVar("F", bound=Callable[..., Any])

# Of what fastmath allows, all but to take numbers for finite: a NaN must arrive where it is looked for.
OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "afn", "nsz"},
    "nogil": True,
}


def twin(function: F) -> F:
    """Return the function compiled when it is first called; kept on disk where any place for it can be written."""
    try:
        return njit(function, cache=True, **OPTIONS)
    except RuntimeError:
        return njit(function, **OPTIONS)


def entry(rate: Rate, i: int) -> float:
    """Return the rate of entry i."""
    raise NotImplementedError("it exists in compiled form only")


# By type: one rate for each entry, or one for all.
overload(entry, inline="always")(
    lambda rate, i: (lambda rate, i: rate[i]) if isinstance(rate, types.Array) else (lambda rate, i: rate)
)


@twin
def square_sum(vector: Array) -> float:
    total = vector.dtype.type(0)
    for i in range(vector.size):
        total += vector[i] * vector[i]
    return total


@twin
def sgd(theta: Array, grad: Array, rate: Rate) -> None:
    real = theta.dtype.type
    for i in range(theta.size):
        theta[i] -= real(entry(rate, i)) * grad[i]


@twin
def momentum(theta: Array, grad: Array, velocity: Array, rate: Rate, mu: float) -> None:
    real = theta.dtype.type
    for i in range(theta.size):
        velocity[i] = real(mu) * velocity[i] - real(entry(rate, i)) * grad[i]
        theta[i] += velocity[i]


@twin
def nesterov(theta: Array, grad: Array, velocity: Array, rate: Rate, mu: float) -> None:
    real = theta.dtype.type
    for i in range(theta.size):
        move = real(entry(rate, i)) * grad[i]
        velocity[i] = real(mu) * velocity[i] - move
        theta[i] += real(mu) * velocity[i] - move


@twin
def rmsprop(theta: Array, grad: Array, square: Array, rate: Rate, rho: float, epsilon: float) -> None:
    real = theta.dtype.type
    for i in range(theta.size):
        square[i] = real(rho) * square[i] + real(1 - rho) * grad[i] * grad[i]
        theta[i] -= real(entry(rate, i)) * grad[i] / (np.sqrt(square[i]) + real(epsilon))


@twin
def adam(
    theta: Array, grad: Array, mean: Array, square: Array, rate: Rate, beta1: float, beta2: float, epsilon: float
) -> None:
    real = theta.dtype.type
    for i in range(theta.size):
        mean[i] = real(beta1) * mean[i] + grad[i]
        square[i] = real(beta2) * square[i] + grad[i] * grad[i]
        theta[i] -= real(entry(rate, i)) * mean[i] / (np.sqrt(square[i]) + real(epsilon))


@twin
def bias_relu(Z: Array, b: Array) -> None:
    """Z <- max(0, Z + b); what is not finite stays so, and is NaN below 0."""
    zero = Z.dtype.type(0)
    for i in range(Z.shape[0]):
        for j in range(Z.shape[1]):
            z = Z[i, j] + b[j]
            Z[i, j] = z if z > 0 else z * zero


@twin
def relu_backward(dA: Array, A: Array, db: Array) -> Array:
    """Return dZ = dA where A > 0, else 0, and fill db with its sum over rows."""
    dZ, zero = np.empty_like(A), A.dtype.type(0)
    db[:] = zero
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            dZ[i, j] = dA[i, j] if A[i, j] > 0 else zero
            db[j] += dZ[i, j]
    return dZ


@twin
def softmax_cross_entropy(Z: Array, y: Array) -> tuple[float, Array]:
    """Return the mean over rows of -log P_y with P = softmax(Z), and its derivative (P - one-hot y) / n."""
    dZ, zero, sum_of_losses = np.empty_like(Z), Z.dtype.type(0), 0.0
    share = Z.dtype.type(1 / len(Z))
    for i in range(Z.shape[0]):
        most, total = Z[i, 0], zero
        for j in range(1, Z.shape[1]):
            most = max(most, Z[i, j])
        for j in range(Z.shape[1]):
            dZ[i, j] = np.exp(Z[i, j] - most)
            total += dZ[i, j]
        sum_of_losses += np.log(total) + most - Z[i, y[i]]
        scale = share / total
        for j in range(Z.shape[1]):
            dZ[i, j] *= scale
        dZ[i, y[i]] -= share
    return sum_of_losses / len(Z), dZ


@twin
def softmax(Z: Array) -> Array:
    """Return exp(Z_k) / sum_j exp(Z_j) for each row of Z (n, k)."""
    P, zero = np.empty_like(Z), Z.dtype.type(0)
    for i in range(Z.shape[0]):
        most, total = Z[i, 0], zero
        for j in range(1, Z.shape[1]):
            most = max(most, Z[i, j])
        for j in range(Z.shape[1]):
            P[i, j] = np.exp(Z[i, j] - most)
            total += P[i, j]
        for j in range(Z.shape[1]):
            P[i, j] /= total
    return P


# A whole network in a loop, where calling the products takes longer than computing them: one for answers, and for
# training one that remembers and one that goes back.

DENSE, SCALE = -1, -2
RELU = 1
ACTIVATIONS = (
    "identity", "relu", "sigmoid", "tanh", "step", "leaky_relu", "elu", "selu", "softplus", "silu", "gelu", "mish",
)  # fmt: skip
CODES = {name: code for code, name in enumerate(ACTIVATIONS)}
TOLD = 4
"""The first so many are those whose derivative can be told from their value."""


@twin
def activated(code: int, z: Any) -> Any:
    """Return f(z), as `chainrule.nn.activations` has it."""
    if code == 0:
        return z
    if code == 1:
        return z if z > 0 else z * 0
    if code == 2:
        return 1 / (1 + np.exp(-z))
    if code == 3:
        return np.tanh(z)
    if code == 4:
        return 1 if z > 0 else z * 0
    if code == 5:
        return z if z > 0 else z * 0.01
    if code == 6:
        return z if z > 0 else np.expm1(z)
    if code == 7:
        return SELU_SCALE * (z if z > 0 else SELU_ALPHA * np.expm1(z))
    if code == 8:
        return np.log1p(np.exp(-np.abs(z))) + (z if z > 0 else z * 0)
    if code == 9:
        return z / (1 + np.exp(-z))
    if code == 10:
        return z * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z * z * z)))
    u = np.exp(min(z, 20))
    return z * u * (u + 2) / (u * (u + 2) + 2)


@twin
def derivative(code: int, a: Any) -> Any:
    """Return df/dz where f(z) = a."""
    if code == 0:
        return a * 0 + 1
    if code == 1:
        return a * 0 + (a > 0)
    return 1 - a * a if code == 3 else a * (1 - a)


@twin
def add_product(z: Array, x: Array, W: Array) -> None:
    """Add x W to z: four rows of W in a pass, as z is read and written in each."""
    whole = len(x) - len(x) % 4
    for i in range(0, whole, 4):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(len(z)):
            z[j] += a * W[i, j] + b * W[i + 1, j] + c * W[i + 2, j] + d * W[i + 3, j]
    for i in range(whole, len(x)):
        for j in range(len(z)):
            z[j] += x[i] * W[i, j]


@twin
def answer(theta: Array, steps: Array, x: Array) -> Array:
    """Return the last layer's numbers (1, n_out) for a row x (n_in,); all are NaN unless x is finite.

    Each of the steps (n, 2) is a layer: DENSE and how many numbers it gives, SCALE, or an activation's code.
    """
    zero = nothing = theta.dtype.type(0)
    for i in range(len(x)):
        nothing += x[i] * zero
    start = 0  # where the layer's parameters begin in theta
    for k in range(len(steps)):
        kind, width = steps[k]
        if kind == DENSE:
            biases, after = start + len(x) * width, start + (len(x) + 1) * width
            z = theta[biases:after].copy()
            add_product(z, x, theta[start:biases].reshape(len(x), width))
            start = after
        elif kind == SCALE:
            z = x * theta[start : start + len(x)]
            start += len(x)
        else:
            z = np.empty_like(x)
            if kind == RELU:  # in a loop without a choice in it, which becomes vector instructions
                for i in range(len(x)):
                    z[i] = zero if x[i] <= 0 else x[i]
            else:
                for i in range(len(x)):
                    z[i] = activated(kind, x[i])
        x = z
    return (x + nothing).reshape(1, -1)


@twin
def forward(theta: Array, sizes: Array, codes: Array, X: Array) -> Array:
    """Return for each row of X its numbers and every Dense layer's, once activated, side by side."""
    A = np.empty((len(X), sizes.sum()), theta.dtype)
    for row in range(len(X)):
        a, start, first = A[row], 0, 0  # where the layer's weights begin in theta, and its inputs in a
        for i in range(sizes[0]):
            a[i] = X[row, i]
        for k, code in enumerate(codes):
            n_in, n_out = sizes[k], sizes[k + 1]
            after = first + n_in
            for j in range(n_out):
                z = theta[start + n_in * n_out + j]
                for i in range(n_in):
                    z += a[first + i] * theta[start + i * n_out + j]
                a[after + j] = activated(code, z)
            start, first = start + (n_in + 1) * n_out, after
    return A


@twin
def backward(theta: Array, sizes: Array, codes: Array, A: Array, dY: Array, grad: Array) -> None:
    """Write the gradient, given what `forward` returned and the loss's derivative in the last layer's numbers."""
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
                d[after + j] *= derivative(codes[k], a[after + j])
                grad[start + n_in * n_out + j] += d[after + j]
            for i in range(n_in):
                total = zero
                for j in range(n_out):
                    grad[start + i * n_out + j] += a[first + i] * d[after + j]
                    total += theta[start + i * n_out + j] * d[after + j]
                d[first + i] = total
            after = first


@twin
def cross_entropy_and_gradient(theta: Array, sizes: Array, codes: Array, X: Array, y: Array, grad: Array) -> float:
    """Return the loss of a small network that ends in softmax, and write its gradient: all of a batch in one call."""
    A = forward(theta, sizes, codes, X)
    value, dY = softmax_cross_entropy(A[:, A.shape[1] - sizes[-1] :], y)
    backward(theta, sizes, codes, A, dY, grad)
    return value
