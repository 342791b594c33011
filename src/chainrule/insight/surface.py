"""The loss as a landscape: over a plane that cuts through the space of all weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_generator, require, require_integer
from chainrule.nn.network import Network
from chainrule.nn.vector import Block

ROOM = 0.15
"""Share of the paths' extent that is left free around them."""


@dataclass(frozen=True)
class Surface:
    """The loss at origin + x[i] directions[0] + y[j] directions[1], which is `losses[j, i]`.

    `share` is how much of what led to the choice of the plane lies in it: of the paths' squared distances from the
    origin; 1 where it was no question.
    """

    origin: Array
    directions: Array
    x: Array
    y: Array
    losses: Array
    share: float = 1.0

    def project(self, thetas: ArrayLike) -> Array:
        """Return where weights (m, n_parameters) lie in the plane, or over which point of it: (m, 2)."""
        away = np.asarray(thetas, np.float64) - self.origin
        return np.linalg.lstsq(self.directions.T, away.T, rcond=None)[0].T


def surface_around(
    net: Network, X: ArrayLike, y: ArrayLike, *, reach: float = 1.0, points: int = 41, seed: int = 0
) -> Surface:
    """Measure the loss around a network's weights, along two random directions (Li et al. 2018, section 4).

    Each unit's part of a direction is as long as the unit's weights: a step of 1 is as large as the weights are,
    whatever their scale. Biases stay as they are.

    Parameters
    ----------
    net : Network
        Not changed.
    X, y
        Rows on which the loss is taken, as `net.evaluate` takes them.
    reach : float
        How far to go, in units of the weights' own lengths.
    points : int
        A side.
    seed : int
        Of the directions.
    """
    require(0 < reach < np.inf, "reach", "be finite and > 0", reach)
    rng = as_generator(seed)
    origin = net.theta.astype(np.float64)
    directions = np.zeros((2, origin.size))
    for block in net.blocks:
        if len(block.shape) == 2:
            for direction in directions:
                direction[block.slice] = as_long_as(origin[block.slice], block, rng)
    return measured(net, X, y, origin, directions, np.array([[-reach, -reach], [reach, reach]]), points)


def as_long_as(weights: Array, block: Block, rng: np.random.Generator) -> Array:
    """Return a random direction, each column of which is as long as that of the weights."""
    W, D = weights.reshape(block.shape), rng.normal(size=block.shape)
    return (D * np.linalg.norm(W, axis=0) / np.linalg.norm(D, axis=0)).ravel()


def surface_of_paths(
    net: Network, X: ArrayLike, y: ArrayLike, paths: Sequence[Sequence[Array]], *, points: int = 41
) -> Surface:
    """Measure the loss over the plane that lies closest to the paths that weights have gone.

    Its directions are the two principal ones of all the paths' points (as in Li et al. 2018, section 7, which takes one
    path at a time). A path may leave the plane; then the loss beneath it is not its own.

    Parameters
    ----------
    net : Network
        Not changed; its weights do not matter.
    X, y
        Rows on which the loss is taken, as `net.evaluate` takes them.
    paths : sequence of lists of (n_parameters,)
        As `WeightPath.thetas` holds them.
    points : int
        A side.
    """
    thetas = np.array([theta for path in paths for theta in path], np.float64)
    fits = thetas.ndim == 2 and thetas.shape[1] == net.theta.size >= 2 and len(thetas) >= 2
    require(fits, "paths", f"hold two points at least, each of net's {net.theta.size} parameters", thetas.shape)
    origin = thetas.mean(axis=0)
    _, lengths, axes = np.linalg.svd(thetas - origin, full_matrices=False)
    directions = axes[:2]
    share = float((lengths[:2] ** 2).sum() / ((lengths**2).sum() or 1))
    plane = Surface(origin, directions, np.zeros(0), np.zeros(0), np.zeros((0, 0)))
    places = plane.project(thetas)
    low, high = places.min(axis=0), places.max(axis=0)
    room = ROOM * (float((high - low).max()) or 1.0)
    return measured(net, X, y, origin, directions, np.stack([low - room, high + room]), points, share)


def measured(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    origin: Array,
    directions: Array,
    corners: Array,
    points: int,
    share: float = 1.0,
) -> Surface:
    """Return the surface between two corners (2, 2) of the plane; losses too large for a number are the largest one."""
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
    require(bool(finite.any()), "net", "have a finite loss somewhere on the surface", "none")
    losses[~finite] = losses[finite].max()
    return Surface(origin, directions, xs, ys, losses, share)
