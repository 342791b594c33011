"""Networks in forms that suit the compiled kernels: on the vectors of a given one, answering as it does, sooner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any, final

import numpy as np

from chainrule.arrays import Array, all_finite
from chainrule.nn.layers import Activation, Backward, Dense, Dropout, Layer, Params, Scale
from chainrule.nn.losses import CrossEntropy
from chainrule.nn.network import RELU, Network
from chainrule.training import compiled
from chainrule.training.kernels import Kernels

IDENTITY = Activation("identity")
SMALL, LARGE = 4096, 2**20
"""Parameters times rows up to which loops are done before the products of BLAS and the calls around them: of a batch in
training, and of one row that is to be answered."""


@final
@dataclass(frozen=True)
class DenseRelu(Dense):
    """A = max(0, X W + b): a Dense and its relu, with fewer passes each way."""

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        W = params["W"]
        A = X.dot(W)
        compiled.bias_relu(A, params["b"])

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            dZ = compiled.relu_backward(dY, A, grads["b"])
            np.matmul(X.T, dZ, out=grads["W"])
            return dZ.dot(W.T) if need_dX else dZ

        return A, backward


@final
@dataclass(frozen=True)
class FusedCrossEntropy(CrossEntropy):
    """What `CrossEntropy` is, in fewer passes."""

    def __call__(self, Z: Array, Y: Array, weight: Array | None = None) -> tuple[float, Array]:
        if weight is None and Y.ndim == 1 and not self.label_smoothing:
            return compiled.softmax_cross_entropy(Z, Y)
        return super().__call__(Z, Y, weight)

    def predict(self, Z: Array) -> Array:
        return compiled.softmax(Z) if Z.size <= SMALL else super().predict(Z)


@final
class FusedNetwork(Network):
    """A network on the vectors of `original`, with a DenseRelu for every Dense that a relu follows.

    Through plain layers, a row alone is answered in a loop, and a small batch goes forward in one and back in another.
    """

    def __init__(self, original: Network) -> None:
        self.__dict__.update(original.__dict__)
        self.answering = np.array(answering_steps(self.layers), np.intp)
        self.codes = np.array([] if self.l1 or self.l2 else activation_codes(self.layers), np.intp)
        self.sizes = np.array([self.n_in, *(layer.n_out for layer in self.layers if isinstance(layer, Dense))])
        layers = list(self.layers)
        for i, (layer, following) in enumerate(pairwise(self.layers)):
            if type(layer) is Dense and following == RELU:
                layers[i : i + 2] = DenseRelu(layer.n_in, layer.n_out), IDENTITY
        self.layers = tuple(layers)
        self._steps = [step for step in zip(layers, self.params, repeat(False)) if step[0] != IDENTITY]
        if isinstance(self.loss, CrossEntropy):
            self.loss = FusedCrossEntropy(self.loss.label_smoothing)
        self.is_plain = self.loss == FusedCrossEntropy()

    def objective(
        self, X: Array, y: Array, weight: Array | None = None, rng: np.random.Generator | None = None
    ) -> tuple[float, Array]:
        if not len(self.codes) or len(X) * self._theta.size > SMALL:
            return super().objective(X, y, weight, rng)
        if self.is_plain and weight is None and y.ndim == 1:
            return compiled.cross_entropy_and_gradient(self._theta, self.sizes, self.codes, X, y, self.grad), self.grad
        A = compiled.forward(self._theta, self.sizes, self.codes, X)
        value, dY = self.loss(A[:, -self.n_out :], y, weight)
        compiled.backward(self._theta, self.sizes, self.codes, A, dY, self.grad)
        return value, self.grad

    def infer(self, X: Array) -> Array:
        if len(X) == 1 and len(self.answering) and self._theta.size <= LARGE:
            Z = compiled.answer(self._theta, self.answering, np.array(X[0]))
            if all_finite(Z):
                return Z
        return super().infer(X)


def activation_codes(layers: Sequence[Layer]) -> list[int]:
    """Return the code of what follows each Dense; none at all where a layer is of another kind."""
    codes: list[int] = []
    for layer in layers:
        if type(layer) is Dense:
            codes.append(compiled.CODES["identity"])
        elif isinstance(layer, Activation) and isinstance(layer.function, str) and codes and not codes[-1]:
            codes[-1] = compiled.CODES[layer.function]
            if codes[-1] >= compiled.TOLD:
                return []
        else:
            return []
    return codes


def answering_steps(layers: Sequence[Layer]) -> list[tuple[int, int]]:
    """Return the layers as `compiled.answer` takes them; none at all where one is of another kind."""
    steps: list[tuple[int, int]] = []
    for layer in layers:
        if type(layer) is Dense:
            steps.append((compiled.DENSE, layer.n_out))
        elif isinstance(layer, Scale):
            steps.append((compiled.SCALE, 0))
        elif isinstance(layer, Activation) and isinstance(layer.function, str):
            steps.append((compiled.CODES[layer.function], 0))
        elif not isinstance(layer, Dropout):
            return []
    return steps


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
