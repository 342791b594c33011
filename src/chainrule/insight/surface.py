"""The loss surface: the loss over a plane through the space of all weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_generator, require, require_integer
from chainrule.nn.network import Network
from chainrule.nn.vector import Block

_MARGIN = 0.15
"""Margin around paths, as a fraction of their extent."""


@dataclass(frozen=True)
class Surface:
    """The loss `losses[j, i]` at the weights origin + x[i] directions[0] + y[j] directions[1].

    `share` is the fraction of the variance of the paths that lies in the plane; 1 for a surface without paths.
    """

    origin: Array
    directions: Array
    x: Array
    y: Array
    losses: Array
    share: float = 1.0

    def project(self, thetas: ArrayLike) -> Array:
        """Return the coordinates (m, 2) in the plane of the orthogonal projection of weights (m, n_parameters)."""
        offsets = np.asarray(thetas, np.float64) - self.origin
        return np.linalg.lstsq(self.directions.T, offsets.T, rcond=None)[0].T


def surface_around(
    net: Network, X: ArrayLike, y: ArrayLike, *, reach: float = 1.0, points: int = 41, seed: int = 0
) -> Surface:
    """Compute the loss around a network's weights along two random directions (Li et al. 2018, section 4).

    Each unit's part of a direction has the norm of the unit's weights, so a step of 1 is as long as the weights,
    whatever their scale. Biases are not varied.

    Parameters
    ----------
    net : Network
        Not changed.
    X, y
        Rows on which to compute the loss, as for `net.evaluate`.
    reach : float
        Half the width of the surface, in units of the weights' norms.
    points : int
        Number of points per side.
    seed : int
        Seed for the directions.
    """
    require(0 < reach < np.inf, "reach", "be finite and > 0", reach)
    rng = as_generator(seed)
    origin = net.theta.astype(np.float64)
    directions = np.zeros((2, origin.size))
    for block in net.blocks:
        if len(block.shape) == 2:
            for direction in directions:
                direction[block.slice] = _random_direction(origin[block.slice], block, rng)
    return _evaluate(net, X, y, origin, directions, np.array([[-reach, -reach], [reach, reach]]), points)


def _random_direction(weights: Array, block: Block, rng: np.random.Generator) -> Array:
    """Return a random direction whose columns have the norms of the columns of the weights."""
    W, D = weights.reshape(block.shape), rng.normal(size=block.shape)
    return (D * np.linalg.norm(W, axis=0) / np.linalg.norm(D, axis=0)).ravel()


def surface_of_paths(
    net: Network, X: ArrayLike, y: ArrayLike, paths: Sequence[Sequence[Array]], *, points: int = 41
) -> Surface:
    """Compute the loss over the plane closest to the paths of weights during training.

    The plane is spanned by the first two principal components of the points of all paths (Li et al. 2018, section 7,
    use a single path). A path may leave the plane; its loss then differs from that of its projection.

    Parameters
    ----------
    net : Network
        Not changed; its weights do not matter.
    X, y
        Rows on which to compute the loss, as for `net.evaluate`.
    paths : sequence of lists of (n_parameters,)
        For example `WeightPath.thetas` of several trainings.
    points : int
        Number of points per side.
    """
    thetas = np.array([theta for path in paths for theta in path], np.float64)
    fits = thetas.ndim == 2 and thetas.shape[1] == net.theta.size >= 2 and len(thetas) >= 2
    require(fits, "paths", f"contain at least 2 points of {net.theta.size} parameters each", thetas.shape)
    origin = thetas.mean(axis=0)
    _, lengths, axes = np.linalg.svd(thetas - origin, full_matrices=False)
    directions = axes[:2]
    share = float((lengths[:2] ** 2).sum() / ((lengths**2).sum() or 1))
    plane = Surface(origin, directions, np.zeros(0), np.zeros(0), np.zeros((0, 0)))
    coordinates = plane.project(thetas)
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    margin = _MARGIN * (float((high - low).max()) or 1.0)
    return _evaluate(net, X, y, origin, directions, np.stack([low - margin, high + margin]), points, share)


def _evaluate(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    origin: Array,
    directions: Array,
    corners: Array,
    points: int,
    share: float = 1.0,
) -> Surface:
    """Return the surface between two corners (2, 2) of the plane; infinite losses become the largest finite one."""
    require_integer(points, "points", 2)
    net = net.copy()
    rows = net.check(X, y)
    xs, ys = (np.linspace(low, high, points) for low, high in corners.T)
    losses = np.empty((points, points))
    with np.errstate(over="ignore", invalid="ignore"):
        for j, i in np.ndindex(points, points):
            net.theta = origin + xs[i] * directions[0] + ys[j] * directions[1]
            losses[j, i] = net.value(*rows)
    finite = np.isfinite(losses)
    if not finite.any():
        raise ValueError("net must have a finite loss somewhere on the surface, got none. Reduce the reach.")
    losses[~finite] = losses[finite].max()
    return Surface(origin, directions, xs, ys, losses, share)
