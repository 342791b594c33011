"""Neighbors: a network learns an embedding in which rows nearby have similar targets, and averages these.

This is neighborhood components analysis (Goldberger et al. 2004) with a network as in ModernNCA (Ye et al. 2024), and
with squared distances, as in the former. In training, each row of a batch is predicted from the others::

    E = network(X)                              the embedding (b, d)
    A_ij = -|E_i - E_j|^2 / d, A_ii = -inf
    P = softmax(A) T                            T: the targets of the batch, classes as one-hot rows
    loss: (P - T)^2 / 2, or -log P of the own class

Nothing but the embedding has to be learned. Afterwards, each row is predicted from training rows, with the embedding C,
the centers, in the same way. Since |E_i|^2 cancels in the softmax, that is an ordinary network::

    Dense(d, m)        A = 2 E C^T / d - |C|^2 / d
    Softmax            share of each center
    Dense(m, n_out)    means of the centers' targets
    Log                logits, for classes

Files, exports and explanations thus see only two more layers without parameters. Weights count: a row of weight 2 is
two rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p
from typing import Annotated, final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from chainrule.arrays import Array, as_generator
from chainrule.model.quantiles import MeanAndQuantiles
from chainrule.nn.layers import LAYERS, Backward, Dense, Layer, Params, Scale
from chainrule.nn.losses import CrossEntropy, Loss, SquaredError
from chainrule.nn.network import Network
from chainrule.training.batches import Batch

N_DIMENSIONS = 16
"""Dimensions of the embedding."""
MAX_CENTERS = 1024
"""Training rows from which a row is predicted."""
_NEAREST = 64
"""Centers around each one whose errors tell how its neighbors' targets scatter."""
_NEVER = -1e9
"""Affinity of a row with itself: finite, so that a row that is alone predicts itself."""
LEAST_POSITIVE = 1e-30
LEAST = 1e-3
"""Added to the share of each class; the sum is then divided by 1 + k times that, k the number of classes."""


@final
@dataclass(frozen=True, repr=False)
class Softmax(Layer):
    """Y_k = exp(X_k) / sum_j exp(X_j) for each row; dX = Y (dY - sum_j dY_j Y_j)."""

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        Y = _softmax(X.copy())

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            return _softmax_backward(Y, dY)

        return Y, backward


def _softmax(X: Array) -> Array:
    """Overwrite X with its softmax: a single exponential, for rows that are long."""
    X -= X.max(axis=-1, keepdims=True)
    np.exp(X, out=X)
    X /= X.sum(axis=-1, keepdims=True)
    return X


def _softmax_backward(Y: Array, dY: Array) -> Array:
    dX = dY - np.einsum("ij,ij->i", Y, dY)[:, np.newaxis]
    dX *= Y
    return dX


@final
@dataclass(frozen=True, repr=False)
class Log(Layer):
    """Y = log(max(X, 1e-30)); dX = dY / X, and 0 where X is smaller than that."""

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        C = np.maximum(X, X.dtype.type(LEAST_POSITIVE))

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            return dY / C * (C == X)

        return np.log(C), backward


LAYERS |= {layer.__name__: layer for layer in (Softmax, Log)}


@final
@dataclass(frozen=True)
class LeaveOneOut(Loss):
    """The loss of a batch whose rows are each predicted from the others, given their embedding Z (b, d).

    Derivative: dZ_i = 2 / d sum_j (dA_ij + dA_ji) (Z_j - Z_i), dA that of the affinities through the softmax.
    `single` is the loss of the network that `NeighborNetwork.ordinary` returns, `n_out` its number of outputs.
    """

    single: Loss
    n_out: Annotated[int, "an integer >= 1"]

    def __call__(self, Z: Array, Y: Array, weight: Array | None = None) -> tuple[float, Array]:
        of_rows = np.full(len(Z), 1 / len(Z), Z.dtype) if weight is None else weight / (weight.sum() or 1)
        losses, dZ = self._of_batch(Z, Y, weight, of_rows)
        return float(losses @ of_rows), dZ

    def per_row(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        """Return the loss of each row, and the derivative of their sum: every loss depends on all rows."""
        return self._of_batch(Z, Y, None, np.ones(len(Z), Z.dtype))

    def _of_batch(self, Z: Array, Y: Array, weight: Array | None, of_rows: Array) -> tuple[Array, Array]:
        """Return the loss of each row, and the derivative of their sum, weighted by `of_rows` (b,)."""
        T = self.target_rows(Y, Z.dtype)
        shares = _shares_of_others(Z, weight)
        P = shares @ T
        if isinstance(self.single, CrossEntropy):
            p = np.einsum("ij,ij->i", P, T) + Z.dtype.type(LEAST)
            losses, dP = log1p(self.n_out * LEAST) - np.log(p), T * (-of_rows / p)[:, np.newaxis]
        else:
            R = P - T
            losses, dP = np.einsum("ij,ij->i", R, R) / 2, R * of_rows[:, np.newaxis]
        dA = _softmax_backward(shares, dP @ T.T)
        dA += dA.T.copy()
        dZ = dA @ Z - dA.sum(axis=1)[:, np.newaxis] * Z
        dZ *= Z.dtype.type(2 / Z.shape[1])
        return losses, dZ

    def targets(self, y: ArrayLike, n_out: int, dtype: DTypeLike) -> Array:
        return self.single.targets(y, self.n_out, dtype)

    def target_rows(self, Y: Array, dtype: DTypeLike) -> Array:
        """Return numbers (n, k) as they are, and class numbers (n,) as one-hot rows."""
        return np.eye(self.n_out, dtype=dtype)[Y] if Y.ndim == 1 else Y


def _affinities(Z: Array, C: Array, weight: Array | None) -> Array:
    """Return -|Z_i - C_j|^2 / d + |Z_i|^2 / d + log weight_j (n, m)."""
    W, b = _to_centers(C, weight)
    return Z @ W + b


def _to_centers(C: Array, weight: Array | None) -> tuple[Array, Array]:
    """Return W (d, m) and b (m,) of the Dense layer from an embedding to affinities with centers C (m, d)."""
    d = C.dtype.type(C.shape[1])
    b = -np.einsum("ij,ij->i", C, C) / d
    return 2 / d * C.T, b if weight is None else b + np.log(np.maximum(weight, LEAST_POSITIVE))


def _shares_of_others(Z: Array, weight: Array | None) -> Array:
    """Return the share (n, n) that each row has in the prediction of each other one; 0 in that of its own."""
    A = _affinities(Z, Z, weight)
    np.fill_diagonal(A, _NEVER)
    return _softmax(A)


class NeighborNetwork(Network):
    """A network that is trained to embed rows, and predicts from those of the `centers`, (X, y, weight), nearby."""

    centers: Batch | None = None

    def __call__(self, X: ArrayLike) -> Array:
        return self.ordinary(quantiles=False)(X)

    def ordinary(self, quantiles: bool = True) -> Network:
        """Return the ordinary network that predicts rows from the centers; with quantiles, if its loss has any."""
        assert isinstance(self.loss, LeaveOneOut)
        assert self.centers is not None
        X, y, weight = self.check(*self.centers)
        loss, C, T = self.loss.single, self.infer(X), self.loss.target_rows(y, self.dtype)
        if isinstance(loss, CrossEntropy):
            k = T.shape[1]
            ends = [_dense(T, LEAST), (Log(), {}), (Scale(k), {"scale": np.ones(k)})]
        elif isinstance(loss, MeanAndQuantiles) and quantiles:
            ends = [_dense(_with_quantiles(loss, T, C, weight))]
        else:
            loss, ends = SquaredError(), [_dense(T)]
        layers, params = zip(_dense(*_to_centers(C, weight)), (Softmax(), {}), *ends)
        network = Network.empty([*self.layers, *layers], loss, l1=0.0, l2=0.0, dtype=self.dtype.name)
        network.set_weights([*self.params, *params])
        return network


def _dense(W: Array, b: ArrayLike = 0) -> tuple[Layer, Params]:
    """Return a Dense layer and its parameters."""
    return Dense(*W.shape), {"W": W, "b": np.broadcast_to(b, W.shape[1])}


def _with_quantiles(loss: MeanAndQuantiles, T: Array, C: Array, weight: Array | None) -> Array:
    """Return the raw outputs (m, k (1 + q)) of centers C (m, d): each target of T (m, k), and its quantiles.

    These are quantiles of the errors around a center, when each is predicted from the others, added to its target.
    """
    errors = T - _shares_of_others(C, weight) @ T
    near = np.argsort(-_affinities(C, C, None), axis=1, kind="stable")[:, :_NEAREST]
    quantiles = np.quantile(errors[near], loss.levels, axis=1)  # (q, m, k)
    return np.concatenate([T[np.newaxis], T + quantiles]).transpose(1, 2, 0).reshape(len(T), -1).astype(T.dtype)


def centers_of(X: Array, y: Array, weight: Array | None) -> Batch:
    """Return at most `MAX_CENTERS` of the rows, at random: a table may repeat itself every so many rows."""
    rows = np.sort(as_generator(0).permutation(len(X))[:MAX_CENTERS])
    return X[rows], y[rows], None if weight is None else weight[rows]


def neighbor_network(layers: Sequence[Layer], loss: Loss, centers: Batch | None, seed: int) -> NeighborNetwork:
    """Return an untrained network whose predictions have this loss; `layers` end in a Dense layer of its outputs."""
    *hidden, last = layers
    assert isinstance(last, Dense)
    network = NeighborNetwork(
        [*hidden, Dense(last.n_in, N_DIMENSIONS, "lecun_normal")], LeaveOneOut(loss, last.n_out), seed=seed
    )
    network.centers = centers
    return network
