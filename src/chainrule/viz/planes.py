"""Pictures of the plane: labelled points, a network's answers to them, and the boundary it has drawn."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from chainrule.arrays import Array, require
from chainrule.nn.layers import Activation, Dense
from chainrule.nn.losses import class_numbers
from chainrule.nn.network import Network
from chainrule.training.metrics import classes
from chainrule.viz.style import MARKERS, ON_LIGHT, new_axes, palette_for, require_plane, some_of

GRID = 300
"""Points a side at which a network is asked for its decision."""
MARGIN = 0.05
"""Share of the points' extent that is left free around them."""


def scatter_labels(X: ArrayLike, y: ArrayLike, ax: Axes | None = None, title: str = "true labels") -> Axes:
    """Draw points X (n, 2), each class of y (n,) in its own colour and marker; of many points 2,000."""
    X, y = np.asarray(X, np.float64), np.asarray(y)
    require_plane(X)
    ax = plane(X, ax, title)
    colours = palette_for(ax).classes
    require(len(y) == len(X), "y", f"have one class number for each of {len(X)} points", y.shape)
    y = class_numbers(y, len(colours))
    rows = some_of(len(X))
    X, y = X[rows], y[rows]
    for k in np.unique(y):
        own = X[y == k]
        name = f"class {k}"
        ax.scatter(own[:, 0], own[:, 1], s=22, color=colours[k], marker=MARKERS[k], linewidths=0, label=name, zorder=3)
    return ax


def scatter_predictions(net: Network, X: ArrayLike, ax: Axes | None = None, title: str = "predictions") -> Axes:
    """Draw points X (n, 2) in the colour of the network's answer: from class 0's through grey to class 1's.

    The network has one output, the answer for class 1, or two.
    """
    X = np.asarray(X, np.float64)
    require_plane(X)
    require(net.n_out <= 2, "net", "have one output or two", net.n_out)
    ax = plane(X, ax, title)
    X = X[some_of(len(X))]
    predictions = net.predict(X)[:, -1]
    ax.scatter(
        X[:, 0], X[:, 1], s=22, c=predictions, cmap=palette_for(ax).scale, vmin=0, vmax=1, linewidths=0, zorder=3
    )
    return ax


def decision_boundary(
    net: Network, X: ArrayLike, y: ArrayLike, ax: Axes | None = None, title: str = "decision"
) -> Axes:
    """Fill each class's region, and draw points X (n, 2) over it with a ring around those the network gets wrong."""
    most = len(ON_LIGHT.classes)
    require(net.n_out <= most, "net", f"answer {most} classes at most, for each of which there is a colour", net.n_out)
    ax = scatter_labels(X, y, ax, title)
    X, y = np.asarray(X, np.float64), np.asarray(y)
    colours = palette_for(ax)
    grids = np.meshgrid(*(np.linspace(*limits, GRID) for limits in (ax.get_xlim(), ax.get_ylim())))
    P = probabilities(net, np.column_stack([grid.ravel() for grid in grids]))
    for k, colour in zip(range(P.shape[1]), colours.classes):
        lead = (P[:, k] - np.delete(P, k, axis=1).max(axis=1)).reshape(GRID, GRID)
        if lead.max() > 0:
            ax.contourf(*grids, lead, levels=[0, lead.max() + 1], colors=[colour], alpha=0.22, zorder=1)
        if lead.min() < 0 < lead.max():
            ax.contour(*grids, lead, levels=[0], colors=[colours.ink], linewidths=1.2, zorder=2)
    rows = some_of(len(X))
    X, y = X[rows], y[rows]
    wrong = X[classes(net.predict(X)) != y]
    ax.scatter(wrong[:, 0], wrong[:, 1], s=80, facecolor="none", edgecolor=colours.ink, label="wrong", zorder=4)
    return ax


def learned_line(net: Network, ax: Axes) -> Axes:
    """Draw the line w . x + b = 0 on which a single neuron of two inputs is undecided."""
    sizes = [(layer.n_in, layer.n_out) for layer in net.layers if isinstance(layer, Dense)]
    if sizes != [(2, 1)] or not all(isinstance(layer, Dense | Activation) for layer in net.layers):
        raise ValueError(f"net must be a single neuron of two inputs, got {', '.join(map(str, net.layers))}")
    params = next(p for p in net.params if "W" in p)
    w, b = params["W"][:, 0].astype(np.float64), float(params["b"][0])
    require(bool(w.any()), "net", "have a weight that is not 0, else there is no line", w)
    foot = -b * w / (w @ w)
    ax.axline(tuple(foot), tuple(foot + np.array([-w[1], w[0]])), color=palette_for(ax).ink, linewidth=1.5, zorder=2)
    return ax


def plane(X: Array, ax: Axes | None, title: str) -> Axes:
    """Return square-ruled Axes with room for the points X."""
    ax = new_axes(ax)
    low, high = X.min(axis=0), X.max(axis=0)
    room = MARGIN * (np.max(high - low) or 1)
    ax.set(xlim=(low[0] - room, high[0] + room), ylim=(low[1] - room, high[1] + room))
    ax.set(xlabel="$x_1$", ylabel="$x_2$", title=title, aspect="equal")
    return ax


def probabilities(net: Network, X: Array) -> Array:
    """Return an answer for each class: the network's outputs, or for a single one p those of 1 - p and p."""
    P = net.predict(X)
    return np.column_stack([1 - P, P]) if net.n_out == 1 else P
