"""Quantiles: one network predicts the mean of a number and 19 of its quantiles, between which lies its distribution.

A quantile network and a mean network would train twice; one network with both in its last layer trains once, and its
mean is as accurate as before. The quantiles of a row are as far apart as numbers like it scatter, but a network that
has seen them in training believes them too close. `chainrule.model.ensemble` therefore calibrates them on held-out
rows.

Shapes: raw outputs Z (n, k (1 + q)) for k numbers and q levels: of each number the mean, then its quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Self, final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from chainrule.arrays import Array, as_targets, require
from chainrule.nn.layers import Dense
from chainrule.nn.losses import Loss, SquaredError
from chainrule.nn.network import Network

LEVELS = tuple(k / 20 for k in range(1, 20))
_LEAST_SLOPE = 1e-3
"""Added to the slope of every quantile function, in standard deviations a logit, so that it has an inverse."""


@final
@dataclass(frozen=True)
class MeanAndQuantiles(Loss):
    """(M - Y)^2 / 2 plus `factor` times the mean `Quantile` loss of the levels, for raw outputs [M, Q_1, ..., Q_q].

    Derivatives: M - Y, and `factor` / q times those of `Quantile`. Link function: the mean M. On 7 tables,
    over 3 splits, RMSE is 0.99 times that of networks without quantiles, which is within the noise.
    """

    levels: Annotated[tuple[float, ...], "strictly between 0 and 1"] = LEVELS
    factor: Annotated[float, "> 0"] = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        increasing = len(self.levels) >= 3 and bool((np.diff(self.logits) > 0).all())
        require(increasing, "levels", "be at least 3 numbers that increase", self.levels)

    def __str__(self) -> str:
        return f"MeanAndQuantiles({len(self.levels)} levels, factor={self.factor})"

    @property
    def width(self) -> int:
        return 1 + len(self.levels)

    @property
    def logits(self) -> Array:
        """log(level / (1 - level)) of the levels."""
        levels = np.array(self.levels)
        return np.log(levels / (1 - levels))

    def per_row(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        R = Z.reshape(*Y.shape, self.width) - Y[:, :, np.newaxis]
        dZ = (R > 0) - np.array([0, *self.levels], Z.dtype)
        dZ *= Z.dtype.type(self.factor / len(self.levels))
        dZ[:, :, 0] = R[:, :, 0]
        R[:, :, 0] /= 2
        return np.einsum("ijk,ijk->i", dZ, R), dZ.reshape(Z.shape)

    def predict(self, Z: Array) -> Array:
        return Z[:, :: self.width]

    def targets(self, y: ArrayLike, n_out: int, dtype: DTypeLike) -> Array:
        return as_targets(y, n_out // self.width, dtype)


@dataclass(frozen=True)
class Distribution:
    """The predicted distribution of each row's numbers: their means (n, k), and their quantile functions.

    These are piecewise linear in the logit of the level, and so are the tails, as those of a logistic distribution:
    `values` (n, k, q), increasing, at `logits` (q,), with slopes (n, k, 1 + q) before, between and after them.
    """

    means: Array
    values: Array
    logits: Array
    slopes: Array

    @classmethod
    def of(cls, loss: MeanAndQuantiles, Z: Array, means: Array) -> Self:
        """Return the distribution with these means and the sorted quantiles among raw outputs."""
        logits = loss.logits
        values = Z.reshape(*means.shape, loss.width)[:, :, 1:] + added_to_outputs(loss)[1:]
        between = np.diff(values) / np.diff(logits)
        middle = len(logits) // 2
        tails = [(values[..., end] - values[..., middle]) / (logits[end] - logits[middle]) for end in (0, -1)]
        slopes = np.concatenate([tails[0][..., np.newaxis], between, tails[1][..., np.newaxis]], axis=2)
        return cls(means, values, logits, slopes)

    @classmethod
    def around(cls, means: Array) -> Self:
        """Return distributions of one width for all rows."""
        return cls(means, means[:, :, np.newaxis], np.zeros(1), np.ones((*means.shape, 2)))

    def part(self, rows: Array) -> Self:
        """Return the distributions of these rows."""
        return replace(self, means=self.means[rows], values=self.values[rows], slopes=self.slopes[rows])

    @property
    def spreads(self) -> Array:
        """Distance (n, k) between two quantiles, with 19 of them the quartiles."""
        q = len(self.logits)
        return self.values[:, :, q - 1 - q // 4] - self.values[:, :, q // 4]

    def contrasted(self, exponents: Array, typical: Array) -> Self:
        """Return distributions that differ more in their spread, or less: it is typical (spread / typical)^exponent.

        Networks that stop early, when their means are best, underestimate how much spreads differ; where they are all
        the same, differences are noise. Exponents and typical spreads are (k,); medians stay where they are.
        """
        least = np.finfo(np.float32).eps * typical
        factors = (np.maximum(self.spreads, least) / typical)[:, :, np.newaxis] ** (exponents - 1)[:, np.newaxis]
        middle = self.values[:, :, [len(self.logits) // 2]]
        return replace(self, values=middle + (self.values - middle) * factors, slopes=self.slopes * factors)

    def at(self, scores: Array) -> Array:
        """Return the quantiles (n, k) at the level with the logit scores[j], for each number j."""
        columns = []
        for j, score in enumerate(scores):
            segment = int(np.searchsorted(self.logits, score))
            knot = max(segment - 1, 0)
            columns.append(self.values[:, j, knot] + self.slopes[:, j, segment] * (score - self.logits[knot]))
        return np.stack(columns, axis=1)

    def scores(self, Y: Array) -> Array:
        """Return for numbers Y (n, k) the logit of their level: the inverse of `at`."""
        segment = (self.values <= Y[:, :, np.newaxis]).sum(axis=2, keepdims=True)
        knot = np.maximum(segment - 1, 0)
        value, slope = np.take_along_axis(self.values, knot, 2), np.take_along_axis(self.slopes, segment, 2)
        return (self.logits[knot] + (Y[:, :, np.newaxis] - value) / slope)[:, :, 0]


def added_to_outputs(loss: Loss) -> Array:
    """Return what is added to the sorted raw outputs (width,) of each number, so that no two quantiles are equal."""
    return np.array([0, *_LEAST_SLOPE * loss.logits]) if isinstance(loss, MeanAndQuantiles) else np.zeros(loss.width)


def in_order(loss: Loss, Z: Array) -> Array:
    """Return raw outputs with the quantiles of each number, if there are any, sorted: so is a mean of such outputs."""
    if not isinstance(loss, MeanAndQuantiles):
        return Z
    ordered = Z.reshape(*Z.shape[:-1], Z.shape[-1] // loss.width, loss.width).copy()
    ordered[..., 1:].sort(axis=-1)
    return ordered.reshape(Z.shape)


def shift_quantiles(networks: Sequence[Network], Z: Array, shift: Array) -> Array:
    """Add shift (k,) to the quantiles, not the means, that the networks predict; return their raw outputs with it."""
    loss = networks[0].loss
    if not isinstance(loss, MeanAndQuantiles):
        return Z
    # Single precision, like all trained parameters: a model file would be twice as large.
    added = np.repeat(shift.astype(np.float32), loss.width)
    added[:: loss.width] = 0
    for network in networks:
        biases = network.params[-1]["b"]
        biases[...] = (biases + added).astype(np.float32)
    return Z + added


def mean_only(network: Network) -> Network:
    """Return a network that predicts the same means, without the quantiles; others unchanged."""
    loss = network.loss
    if not isinstance(loss, MeanAndQuantiles):
        return network
    require(isinstance(network.layers[-1], Dense), "network", "end in a Dense layer", network.layers[-1])
    *weights, ends = network.get_weights()
    dense = Dense(len(ends["W"]), network.n_out // loss.width)
    layers = [*network.layers[:-1], dense]
    plain = Network.empty(layers, SquaredError(), l1=network.l1, l2=network.l2, dtype=network.dtype.name)
    plain.set_weights([*weights, {name: array[..., :: loss.width] for name, array in ends.items()}])
    return plain
