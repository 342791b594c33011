"""Figures of the plane: labeled points, a network's predictions for them, and its decision boundary."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_class_numbers, require
from chainrule.metrics import classes
from chainrule.nn.layers import Activation, Dense
from chainrule.nn.network import Network
from chainrule.viz.style import MARKERS, ON_LIGHT, new_axes, palette_for, require_points, subsample

_GRID = 300
"""Grid points per side at which a network is evaluated for its decision regions."""
_MARGIN = 0.05
"""Margin around the points, as a fraction of their extent."""


def scatter_labels(X: ArrayLike, y: ArrayLike, ax: Axes | None = None, title: str = "True labels") -> Axes:
    """Draw points X (n, 2) with a color and a marker for each class of y (n,); at most 2,000 points are drawn."""
    X, y = np.asarray(X, np.float64), np.asarray(y)
    require_points(X)
    ax = _plane(X, ax, title)
    colors = palette_for(ax).classes
    require(len(y) == len(X), "y", f"have shape ({len(X)},), one class number per point", y.shape)
    y = as_class_numbers(y, len(colors))
    rows = subsample(len(X))
    X, y = X[rows], y[rows]
    for k in np.unique(y):
        own = X[y == k]
        name = f"class {k}"
        ax.scatter(own[:, 0], own[:, 1], s=22, color=colors[k], marker=MARKERS[k], linewidths=0, label=name, zorder=3)
    return ax


def scatter_predictions(net: Network, X: ArrayLike, ax: Axes | None = None, title: str = "Predictions") -> Axes:
    """Draw points X (n, 2) colored by the network's output, from class 0's color through gray to class 1's.

    The network has one output, for class 1, or two.
    """
    X = np.asarray(X, np.float64)
    require_points(X)
    require(net.n_out <= 2, "net", "have one or two outputs", net.n_out)
    ax = _plane(X, ax, title)
    X = X[subsample(len(X))]
    predictions = net(X)[:, -1]
    ax.scatter(
        X[:, 0], X[:, 1], s=22, c=predictions, cmap=palette_for(ax).scale, vmin=0, vmax=1, linewidths=0, zorder=3
    )
    return ax


def decision_boundary(
    net: Network, X: ArrayLike, y: ArrayLike, ax: Axes | None = None, title: str = "Decision boundary"
) -> Axes:
    """Draw the decision region of each class and points X (n, 2) on top, with rings around the misclassified ones."""
    n_colors = len(ON_LIGHT.classes)
    require(net.n_out <= n_colors, "net", f"have at most {n_colors} outputs, one per color", net.n_out)
    ax = scatter_labels(X, y, ax, title)
    X, y = np.asarray(X, np.float64), np.asarray(y)
    colors = palette_for(ax)
    grids = np.meshgrid(*(np.linspace(*limits, _GRID) for limits in (ax.get_xlim(), ax.get_ylim())))
    P = _probabilities(net, np.column_stack([grid.ravel() for grid in grids]))
    for k, color in zip(range(P.shape[1]), colors.classes):
        margin = (P[:, k] - np.delete(P, k, axis=1).max(axis=1)).reshape(_GRID, _GRID)
        if margin.max() > 0:
            ax.contourf(*grids, margin, levels=[0, margin.max() + 1], colors=[color], alpha=0.22, zorder=1)
        if margin.min() < 0 < margin.max():
            ax.contour(*grids, margin, levels=[0], colors=[colors.ink], linewidths=1.2, zorder=2)
    rows = subsample(len(X))
    X, y = X[rows], y[rows]
    wrong = X[classes(net(X)) != y]
    ring: dict[str, Any] = {"facecolor": "none", "edgecolor": colors.ink, "label": "misclassified"}
    ax.scatter(wrong[:, 0], wrong[:, 1], s=80, zorder=4, **ring)
    return ax


def learned_line(net: Network, ax: Axes) -> Axes:
    """Draw the decision boundary w . x + b = 0 of a single neuron with two inputs."""
    sizes = [(layer.n_in, layer.n_out) for layer in net.layers if isinstance(layer, Dense)]
    if sizes != [(2, 1)] or not all(isinstance(layer, Dense | Activation) for layer in net.layers):
        raise ValueError(f"net must be a single neuron with two inputs, got {', '.join(map(str, net.layers))}")
    params = next(p for p in net.params if "W" in p)
    w, b = params["W"][:, 0].astype(np.float64), float(params["b"][0])
    require(bool(w.any()), "net", "have a nonzero weight", w)
    foot = -b * w / (w @ w)
    ax.axline(tuple(foot), tuple(foot + np.array([-w[1], w[0]])), color=palette_for(ax).ink, linewidth=1.5, zorder=2)
    return ax


def _plane(X: Array, ax: Axes | None, title: str) -> Axes:
    """Return Axes with equal scales and room for the points X."""
    ax = new_axes(ax)
    low, high = X.min(axis=0), X.max(axis=0)
    margin = _MARGIN * (np.max(high - low) or 1)
    ax.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin))
    ax.set(xlabel="$x_1$", ylabel="$x_2$", title=title, aspect="equal")
    return ax


def _probabilities(net: Network, X: Array) -> Array:
    """Return one column per class: the network's outputs, or 1 - p and p for a single output p."""
    P = net(X)
    return np.column_stack([1 - P, P]) if net.n_out == 1 else P
