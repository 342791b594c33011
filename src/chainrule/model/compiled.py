"""Prediction of single rows, compiled by numba (extra `fast`): the whole network is one loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from chainrule.arrays import Array, all_finite
from chainrule.compiled.fused import FusedNetwork, jit
from chainrule.curves import CURVES, scalar_switch, value_of
from chainrule.nn.layers import Activation, Dense, Dropout, Layer, Scale
from chainrule.nn.network import Network

MAX_PARAMETERS = 2**20
"""Parameters up to which a loop predicts a row faster than BLAS and the calls around it."""
DENSE, SCALE = -1, -2
CODES = {name: code for code, name in enumerate(CURVES)}
RELU = CODES["relu"]


@final
class CompiledNetwork(FusedNetwork):
    """The network `original`, on the same vectors; a single row goes through one compiled loop.

    Layers at the front that the loop does not have, such as embeddings, are computed as usual.
    """

    def __init__(self, original: Network) -> None:
        super().__init__(original)
        layers, n_front = original.layers, 0
        while n_front < len(layers) and not _row_steps(layers[n_front:]):
            n_front += 1
        self.front = list(zip(layers[:n_front], original.params))
        self.row_steps = np.array(_row_steps(layers[n_front:]), np.intp)
        self.row_theta = self._theta[sum(array.size for _, params in self.front for array in params.values()) :]

    def infer(self, X: Array) -> Array:
        if len(X) == 1 and len(self.row_steps) and self._theta.size <= MAX_PARAMETERS:
            row = X
            for layer, params in self.front:
                row, _ = layer.forward(row, params)
            Z = _predict_row(self.row_theta, self.row_steps, np.array(row[0]))
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
        elif isinstance(layer, Activation) and layer.function in CODES:
            steps.append((CODES[str(layer.function)], 0))
        elif not isinstance(layer, Dropout):
            return []
    return steps


_activate = jit(scalar_switch([value_of(name) for name in CURVES]))


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
