"""An ensemble: networks that answer together, calibrated on rows that none of them was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, isfinite, log
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_matrix, require
from chainrule.nn.losses import CrossEntropy
from chainrule.nn.network import Network

LEAST, MOST = 0.02, 50.0
"""Bounds of the temperature."""
LEVELS = 999
"""Quantiles of residuals that an ensemble keeps: 0.001 to 0.999."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks of the same layers and loss whose answers are averaged.

    Classifiers average softmax(Z / temperature) and mix it with `smoothing`: (P + smoothing / K) / (1 + smoothing) for K classes.
    Others average their answers and keep them within `bounds`. An ensemble of one is that network.

    Parameters
    ----------
    networks : tuple of Network
    temperature : float
        What raw outputs are divided by (Guo et al. 2017, eq. 9).
    smoothing : float
        1 / n for n rows: what networks that were right on all of n rows may still be wrong about (Laplace's rule).
    bounds : (2, n_out), optional
        Least and greatest answer, the range of the training targets.
    residuals : (999, n_out), optional
        Row k - 1 is the quantile k / 1000 of truth - answer on rows that no member was trained on.
    """

    networks: tuple[Network, ...]
    temperature: float = 1.0
    smoothing: float = 0.0
    bounds: Array | None = None
    residuals: Array | None = None

    def __post_init__(self) -> None:
        require(len(self.networks) >= 1, "networks", "hold one network at least", self.networks)
        first = self.networks[0]
        alike = all(
            (net.layers, net.loss, net.dtype) == (first.layers, first.loss, first.dtype) for net in self.networks
        )
        require(alike, "networks", "have the same layers, loss and dtype", [str(net.layers) for net in self.networks])
        require(self.temperature > 0 and isfinite(self.temperature), "temperature", "be > 0", self.temperature)
        require(self.smoothing >= 0 and isfinite(self.smoothing), "smoothing", "be >= 0", self.smoothing)
        for name, array, rows in (("bounds", self.bounds, 2), ("residuals", self.residuals, LEVELS)):
            fits = array is None or (array.shape == (rows, self.n_out) and bool((array[1:] >= array[:-1]).all()))
            require(
                fits,
                name,
                f"be of shape ({rows}, {self.n_out}) and rise from row to row",
                getattr(array, "shape", None),
            )

    @classmethod
    def of_classes(cls, networks: Sequence[Network], Z: Array, y: Array, weight: Array | None = None) -> Self:
        """Calibrate classifiers by raw outputs Z (n, K) for rows of classes y (n,) that they were not trained on."""
        return cls(tuple(networks), best_temperature(Z, y, weight), smoothing=1 / len(y))

    @classmethod
    def of_numbers(cls, networks: Sequence[Network], Z: Array, Y: Array, bounds: Array) -> Self:
        """Calibrate regressors by answers Z for rows of targets Y, both (n, n_out), that they were not trained on."""
        residuals = residual_quantiles(Y - np.clip(Z, *bounds))
        return cls(tuple(networks), bounds=bounds, residuals=residuals)

    @property
    def n_in(self) -> int:
        """Columns taken."""
        return self.networks[0].n_in

    @property
    def dtype(self) -> np.dtype[Any]:
        """What it calculates in."""
        return self.networks[0].dtype

    @property
    def n_out(self) -> int:
        """Columns given."""
        return self.networks[0].n_out

    def predict(self, X: ArrayLike) -> Array:
        """Return the answers (n, n_out) for rows X (n, n_in)."""
        return self.infer(as_matrix(X, self.n_in, self.dtype, finite=False))

    def infer(self, X: Array) -> Array:
        """Return what `predict` does for rows (n, n_in) of the networks' dtype; ValueError where one is not finite."""
        return self.predictions([network.infer(X) for network in self.networks])

    def predictions(self, outputs: Sequence[Array]) -> Array:
        """Return the answers (n, n_out) that each network's raw outputs (n, n_out) make together."""
        loss = self.networks[0].loss
        if isinstance(loss, CrossEntropy):
            tempered = outputs if self.temperature == 1 else [Z / self.temperature for Z in outputs]
            P = mean_of([loss.predict(Z) for Z in tempered])
            return (P + self.smoothing / self.n_out) / (1 + self.smoothing) if self.smoothing else P
        mean = mean_of([loss.predict(Z) for Z in outputs])
        return mean if self.bounds is None else np.clip(mean, *self.bounds)

    def shift(self, quantile: float) -> Array:
        """Return what to add (n_out,) to an answer, below which the truth lies in that share of new rows.

        Infinite where the ensemble was calibrated on too few rows to tell, and within a thousandth of 0 or 1: whatever
        lies between two shifts holds at least the share that it should. ValueError where it was calibrated on none.
        """
        require(isinstance(quantile, Real) and 0 < quantile < 1, "quantile", "be strictly between 0 and 1", quantile)
        if self.residuals is None:
            raise ValueError("intervals must be asked of a model that answers numbers and was calibrated for them")
        place = round(quantile * (LEVELS + 1), 9)
        k = floor(place) if quantile < 0.5 else ceil(place)
        if 1 <= k <= LEVELS:
            return self.residuals[k - 1]
        return np.full(self.n_out, -np.inf if quantile < 0.5 else np.inf)

    def shifts(self, coverage: float) -> tuple[Array, Array]:
        """Return what to add to an answer for the ends, each (n_out,), of the interval of that coverage."""
        require(isinstance(coverage, Real) and 0 < coverage < 1, "coverage", "be strictly between 0 and 1", coverage)
        return self.shift((1 - coverage) / 2), self.shift((1 + coverage) / 2)


def mean_of(predictions: Sequence[Array]) -> Array:
    """Return the mean of arrays of one shape."""
    return predictions[0] if len(predictions) == 1 else sum(predictions[1:], predictions[0]) / len(predictions)


def best_temperature(Z: Array, y: Array, weight: Array | None = None) -> float:
    """Return the temperature T for which softmax(Z / T) has the least cross-entropy (Guo et al. 2017, section 4.2).

    Z (n, K) are raw outputs for rows that the network was not trained on, y (n,) their class numbers.
    """
    loss, Z = CrossEntropy(), Z.astype(np.float64)
    return exp(least(lambda t: loss(Z / exp(t), y, weight)[0], log(LEAST), log(MOST)))


def least(function: Callable[[float], float], low: float, high: float, steps: int = 40) -> float:
    """Return where a function with one valley is least, by golden-section search."""
    golden = (5**0.5 - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(steps):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = function(right)
    return (low + high) / 2


def residual_quantiles(residuals: Array) -> Array:
    """Return the shifts (999, n_out) below which 1 to 999 thousandths of new rows' truths lie, for each output.

    `residuals` (n, n_out) are truth - answer on rows that the network was not trained on. For a share c below 1/2 it is
    their floor((n + 1) c)-th least, from 1/2 on their ceil((n + 1) c)-th: split conformal prediction (Lei et al. 2018,
    algorithm 2) for each tail by itself, as errors need not be symmetric. Infinite when n is too small for it.
    """
    n, n_out = residuals.shape
    ends = np.full((1, n_out), np.inf)
    within = np.vstack([-ends, np.sort(residuals, axis=0), ends])
    thousandths = np.arange(1, LEVELS + 1)
    below, above = (n + 1) * thousandths // (LEVELS + 1), -(-(n + 1) * thousandths // (LEVELS + 1))
    return within[np.where(2 * thousandths < LEVELS + 1, below, above)]
