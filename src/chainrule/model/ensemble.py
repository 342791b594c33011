"""An ensemble: networks that answer together, calibrated on rows that none of them was trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, require
from chainrule.nn.losses import CrossEntropy, softmax
from chainrule.nn.network import Network

LEAST, MOST = 0.02, 50.0
"""Bounds of the temperature."""


@dataclass(frozen=True)
class Ensemble:
    """Networks of the same sizes whose answers are averaged.

    Classifiers average softmax(Z / temperature) and mix it with doubt: (rows P + 1 / K) / (rows + 1), what a network
    that was right on all of `rows` rows may still be wrong about (Laplace's rule, K classes). Others average their
    answers and keep them between `low` and `high` (n_out,), the range of the training targets.
    """

    networks: tuple[Network, ...]
    temperature: float = 1.0
    rows: float = np.inf
    low: Array | float = -np.inf
    high: Array | float = np.inf

    def __post_init__(self) -> None:
        require(len(self.networks) >= 1, "networks", "hold one network at least", self.networks)
        sizes = {(network.n_in, network.n_out) for network in self.networks}
        require(len(sizes) == 1, "networks", "have the same sizes", sorted(sizes))
        require(self.temperature > 0, "temperature", "be above 0", self.temperature)
        require(self.rows > 0, "rows", "be above 0", self.rows)

    @property
    def n_in(self) -> int:
        """Columns taken."""
        return self.networks[0].n_in

    @property
    def n_out(self) -> int:
        """Columns given."""
        return self.networks[0].n_out

    def predict(self, X: ArrayLike) -> Array:
        """Return the answers (n, n_out) for rows X (n, n_in)."""
        if not isinstance(self.networks[0].loss, CrossEntropy):
            mean = np.mean([network.predict(X) for network in self.networks], axis=0)
            return np.clip(mean, self.low, self.high)
        P = np.mean([softmax(network.outputs(X) / self.temperature) for network in self.networks], axis=0)
        return (P + 1 / (self.rows * self.n_out)) / (1 + 1 / self.rows)


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
    for _ in range(steps):
        if function(left) < function(right):
            high = right
        else:
            low = left
        left, right = high - golden * (high - low), low + golden * (high - low)
    return (low + high) / 2


def residual_quantile(residuals: Array, coverage: float) -> Array:
    """Return the half-width that covers `coverage` of new rows, for each output.

    `residuals` (n, n_out) are absolute errors on rows that the network was not trained on: their k-th least with
    k = ceil((n + 1) coverage) (split conformal prediction, Lei et al. 2018, algorithm 2); infinite when n is too small.
    """
    require(0 < coverage < 1, "coverage", "lie strictly between 0 and 1", coverage)
    n = len(residuals)
    k = int(np.ceil((n + 1) * coverage))
    return np.full(residuals.shape[1], np.inf) if k > n else np.sort(residuals, axis=0)[k - 1]
