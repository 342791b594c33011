"""Networks that share their hidden layers: together in training, apart afterwards.

Networks that are trained alone make different errors, which their mean cancels, but each of them overfits. Networks
with common weights between a `Scale` and an output layer of their own keep each other from that (TabM-mini, Gorishniy
et al. 2024, section 3.3). In training they are one network::

    Scales(n, k)         k copies of the rows, each with a scale of its own, one below the other
    Dense, activation    on all k n rows
    Outputs(n, m, k)     an output layer for each copy, whose k m outputs are put side by side
    MeanOfLosses         the mean of the k losses; prediction: the mean of the k predictions

Afterwards `apart` takes them apart into k ordinary networks, so that files, exports and explanations see nothing new.

Four of them with piecewise-linear functions, in the portfolio of `chainrule.model.portfolio`: on concrete (two splits),
and on 2,000 rows each of california_housing, bike_hourly and abalone, RMSE of the best quality is 0.994 times that
without them, between 0.978 and 1. It then has up to 20 networks more. Added to the variants of the default quality, on
all rows of california_housing, they make it 0.988 times, in 5 times the time. Eight networks are no better than four,
and take twice as long. On german_credit and bank_marketing, log loss is 1.0007 times as large, so classification does
without.

Shapes: X (n, n_in), below it X (k n, n_in), and at the end Z (n, k m).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from chainrule.arrays import Array
from chainrule.nn.layers import Backward, Dense, Layer, Params, Scale, Shapes
from chainrule.nn.losses import Loss
from chainrule.nn.network import Network


@dataclass(frozen=True, repr=False)
class OwnLayer(Layer):
    """Base class: a layer for each of k networks; the first axis of each array is theirs."""

    @property
    @abstractmethod
    def single(self) -> Layer:
        """The layer that each of the networks has on its own."""

    @property
    def sizes(self) -> tuple[int, int] | None:
        return self.single.sizes


@final
@dataclass(frozen=True, repr=False)
class Scales(OwnLayer):
    """Y_i = X * scale_i for each network i, one below the other: Y (k n, n_in).

    scale (k, n_in) starts as random signs, which make the networks differ.
    """

    n: Annotated[int, "an integer >= 1"]
    k: Annotated[int, "an integer >= 1"]

    @property
    def single(self) -> Scale:
        return Scale(self.n)

    @property
    def shapes(self) -> Shapes:
        return {"scale": (self.k, self.n)}

    def init(self, params: Params, rng: np.random.Generator) -> None:
        params["scale"][...] = rng.choice([-1.0, 1.0], (self.k, self.n))

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        scale = params["scale"]

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            dY = dY.reshape(self.k, *X.shape)
            np.einsum("kij,ij->kj", dY, X, out=grads["scale"])
            return np.einsum("kij,kj->ij", dY, scale) if need_dX else dY

        return (X * scale[:, np.newaxis]).reshape(-1, self.n), backward


@final
@dataclass(frozen=True, repr=False)
class Outputs(OwnLayer):
    """Y_i = X_i W_i + b_i for each network i, side by side: Y (n, k n_out). W (k, n_in, n_out), b (k, n_out)."""

    n_in: Annotated[int, "an integer >= 1"]
    n_out: Annotated[int, "an integer >= 1"]
    k: Annotated[int, "an integer >= 1"]

    @property
    def single(self) -> Dense:
        return Dense(self.n_in, self.n_out)

    @property
    def sizes(self) -> tuple[int, int]:
        return self.n_in, self.k * self.n_out

    @property
    def shapes(self) -> Shapes:
        return {"W": (self.k, self.n_in, self.n_out), "b": (self.k, self.n_out)}

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        W, b = params["W"], params["b"]
        X = X.reshape(self.k, -1, self.n_in)
        Y = np.matmul(X, W) + b[:, np.newaxis]

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            dY = dY.reshape(-1, self.k, self.n_out).transpose(1, 0, 2)
            np.matmul(X.transpose(0, 2, 1), dY, out=grads["W"])
            dY.sum(axis=1, out=grads["b"])
            return np.matmul(dY, W.transpose(0, 2, 1)).reshape(-1, self.n_in)

        return Y.transpose(1, 0, 2).reshape(-1, self.k * self.n_out), backward


@final
@dataclass(frozen=True)
class MeanOfLosses(Loss):
    """The mean of the losses of k networks, whose raw outputs lie side by side; link function: their mean prediction.

    Not the loss of the mean prediction, with which networks would rely on each other.
    """

    single: Loss
    k: Annotated[int, "an integer >= 1"]

    def per_row(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        losses, dZ = self.single.per_row(self._rows(Z), np.repeat(Y, self.k, axis=0))
        dZ /= self.k
        return losses.reshape(-1, self.k).mean(axis=1), dZ.reshape(Z.shape)

    def predict(self, Z: Array) -> Array:
        predictions = self.single.predict(self._rows(Z))
        return predictions.reshape(len(Z), self.k, -1).mean(axis=1)

    def targets(self, y: ArrayLike, n_out: int, dtype: DTypeLike) -> Array:
        return self.single.targets(y, n_out // self.k, dtype)

    def _rows(self, Z: Array) -> Array:
        """Return the raw outputs with a row for each network."""
        return Z.reshape(len(Z) * self.k, -1)


def shared(layers: list[Layer], loss: Loss, k: int, seed: int) -> Network:
    """Return k networks in one, which share all layers but their `Scale` and the last `Dense`."""
    *hidden, last = layers
    assert isinstance(last, Dense)
    scaled = [Scales(layer.n, k) if isinstance(layer, Scale) else layer for layer in hidden]
    return Network([*scaled, Outputs(last.n_in, last.n_out, k)], MeanOfLosses(loss, k), seed=seed)


def apart(network: Network) -> tuple[Network, ...]:
    """Return the networks that one from `shared` consists of; for any other one, that network alone."""
    loss = network.loss
    if not isinstance(loss, MeanOfLosses):
        return (network,)
    layers = [layer.single if isinstance(layer, OwnLayer) else layer for layer in network.layers]
    networks = []
    for i in range(loss.k):
        single = Network.empty(layers, loss.single, l1=0.0, l2=0.0, dtype=network.dtype.name)
        single.set_weights(
            [
                {name: array[i] for name, array in params.items()} if isinstance(layer, OwnLayer) else params
                for layer, params in zip(network.layers, network.params)
            ]
        )
        networks.append(single)
    return tuple(networks)
