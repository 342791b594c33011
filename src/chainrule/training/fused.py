"""Networks in forms that suit the compiled kernels: on the vectors of a given one, answering as it does, sooner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np

from chainrule.arrays import Array
from chainrule.nn.layers import Activation, Backward, Dense, Layer, Params
from chainrule.nn.losses import CrossEntropy
from chainrule.nn.network import Network
from chainrule.training import compiled
from chainrule.training.kernels import Kernels

SMALL = 4096
"""Parameters times rows, up to which plain loops are done before the products of BLAS and the calls around them are."""


@final
@dataclass(frozen=True)
class DenseRelu(Layer):
    """A = max(0, X W + b): a Dense and its relu, with fewer passes each way. W (n_in, n_out), b (n_out,)."""

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        W = params["W"]
        A = X.dot(W)
        compiled.bias_relu(A, params["b"])

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            dZ = compiled.relu_backward(dY, A, grads["b"])
            np.matmul(X.T, dZ, out=grads["W"])
            return dZ.dot(W.T) if need_dX else dZ

        return A, backward


def cross_entropy(Z: Array, Y: Array, weight: Array | None = None) -> tuple[float, Array]:
    """Return what `CrossEntropy()` does: value and dZ."""
    if weight is None and Y.ndim == 1:
        return compiled.softmax_cross_entropy(Z, Y)
    return CrossEntropy()(Z, Y, weight)


@final
class FusedNetwork(Network):
    """A network on the vectors of `original`, with a DenseRelu for every Dense that a relu follows.

    Small batches through plain layers go forward in one loop and back in another.
    """

    def __init__(self, original: Network) -> None:
        self.__dict__.update(original.__dict__)
        self.codes = np.array([] if self.l1 or self.l2 else activation_codes(self.layers), np.intp)
        self.sizes = np.array([self.n_in, *(layer.n_out for layer in self.layers if isinstance(layer, Dense))])
        layers = list(self.layers)
        for i, (layer, following) in enumerate(pairwise(self.layers)):
            if isinstance(layer, Dense) and following == Activation("relu"):
                layers[i : i + 2] = DenseRelu(), Activation("identity")
        self.layers = tuple(layers)
        if self.loss == CrossEntropy():
            self.loss: Any = cross_entropy

    def objective(
        self, X: Array, y: Array, weight: Array | None = None, rng: np.random.Generator | None = None
    ) -> tuple[float, Array]:
        if not len(self.codes) or len(X) * self._theta.size > SMALL:
            return super().objective(X, y, weight, rng)
        if self.loss is cross_entropy and weight is None and y.ndim == 1:
            return compiled.cross_entropy_and_gradient(self._theta, self.sizes, self.codes, X, y, self.grad), self.grad
        A = compiled.forward(self._theta, self.sizes, self.codes, X)
        value, dY = self.loss(A[:, -self.n_out :], y, weight)
        compiled.backward(self._theta, self.sizes, self.codes, A, dY, self.grad)
        return value, self.grad


def activation_codes(layers: Sequence[Layer]) -> list[int]:
    """Return the code of what follows each Dense; none at all where a layer is of another kind."""
    codes: list[int] = []
    for layer in layers:
        if isinstance(layer, Dense):
            codes.append(compiled.CODES["identity"])
        elif isinstance(layer, Activation) and isinstance(layer.function, str) and codes and not codes[-1]:
            if layer.function not in compiled.CODES:
                return []
            codes[-1] = compiled.CODES[layer.function]
        else:
            return []
    return codes


def fuse(objective: Any) -> Any:
    """Return a FusedNetwork for a Network, and anything else as it is."""
    return FusedNetwork(objective) if type(objective) is Network else objective


NUMBA = Kernels(
    "numba",
    compiled.square_sum,
    compiled.sgd,
    compiled.momentum,
    compiled.nesterov,
    compiled.rmsprop,
    compiled.adam,
    fuse,
)
