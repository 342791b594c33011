"""Prediction of single rows, compiled by numba (extra `fast`): the whole network is one loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from chainrule.arrays import Array, all_finite
from chainrule.compiled.fused import FusedNetwork, jit
from chainrule.nn.activations import SELU_ALPHA, SELU_SCALE
from chainrule.nn.layers import Activation, Dense, Dropout, Layer, Scale
from chainrule.nn.network import Network

MAX_PARAMETERS = 2**20
"""Parameters up to which a loop predicts a row faster than BLAS and the calls around it."""
DENSE, SCALE = -1, -2
RELU = 1
ACTIVATIONS = (
    "identity", "relu", "sigmoid", "tanh", "step", "leaky_relu", "elu", "selu", "softplus", "silu", "gelu", "mish",
)  # fmt: skip
CODES = {name: code for code, name in enumerate(ACTIVATIONS)}


@final
class CompiledNetwork(FusedNetwork):
    """The network `original`, on the same vectors; a single row goes through one compiled loop."""

    def __init__(self, original: Network) -> None:
        super().__init__(original)
        self.row_steps = np.array(_row_steps(original.layers), np.intp)

    def infer(self, X: Array) -> Array:
        if len(X) == 1 and len(self.row_steps) and self._theta.size <= MAX_PARAMETERS:
            Z = _predict_row(self._theta, self.row_steps, np.array(X[0]))
            if all_finite(Z):
                return Z
        return super().infer(X)


def _row_steps(layers: Sequence[Layer]) -> list[tuple[int, int]]:
    """Return the layers in the form of `_predict_row`; an empty list if one is of another kind."""
    steps: list[tuple[int, int]] = []
    for layer in layers:
        if type(layer) is Dense:
            steps.append((DENSE, layer.n_out))
        elif isinstance(layer, Scale):
            steps.append((SCALE, 0))
        elif isinstance(layer, Activation) and isinstance(layer.function, str):
            steps.append((CODES[layer.function], 0))
        elif not isinstance(layer, Dropout):
            return []
    return steps


@jit
def _activate(code: int, z: Any) -> Any:
    """Return f(z), as in `chainrule.nn.activations`."""
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


@jit
def _add_product(z: Array, x: Array, W: Array) -> None:
    """Add x W to z, four rows of W in a pass: each pass reads and writes z."""
    whole = len(x) - len(x) % 4
    for i in range(0, whole, 4):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(len(z)):
            z[j] += a * W[i, j] + b * W[i + 1, j] + c * W[i + 2, j] + d * W[i + 3, j]
    for i in range(whole, len(x)):
        for j in range(len(z)):
            z[j] += x[i] * W[i, j]


@jit
def _predict_row(theta: Array, steps: Array, x: Array) -> Array:
    """Return the raw outputs (1, n_out) for a row x (n_in,); all are NaN unless x is finite.

    Each of the steps (n, 2) is a layer: DENSE and its number of outputs, SCALE, or the code of an activation.
    """
    zero = invalid = theta.dtype.type(0)
    for i in range(len(x)):
        invalid += x[i] * zero
    start = 0  # of the layer's parameters in theta
    for k in range(len(steps)):
        kind, width = steps[k]
        if kind == DENSE:
            biases, after = start + len(x) * width, start + (len(x) + 1) * width
            z = theta[biases:after].copy()
            _add_product(z, x, theta[start:biases].reshape(len(x), width))
            start = after
        elif kind == SCALE:
            z = x * theta[start : start + len(x)]
            start += len(x)
        else:
            z = np.empty_like(x)
            if kind == RELU:  # a loop without branches, which is vectorized
                for i in range(len(x)):
                    z[i] = zero if x[i] <= 0 else x[i]
            else:
                for i in range(len(x)):
                    z[i] = _activate(kind, x[i])
        x = z
    return (x + invalid).reshape(1, -1)
