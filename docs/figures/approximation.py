"""Figures of `learn/approximation.md`."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import Adam, Network, mlp, train
from chainrule.arrays import Array
from chainrule.datasets import disc
from chainrule.viz import decision_boundary
from chainrule.viz.style import DASHES, palette_for
from figures import new


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with: targets on a grid, and the units of a flat line."""
    x = np.linspace(0, 1, 61)
    targets = {
        "a wave": 0.9 * np.sin(2 * np.pi * x),
        "the curve of this page": curve(x),
        "a bell": 1.6 * np.exp(-(((x - 0.5) / 0.16) ** 2)) - 0.8,
        "a step": np.where(x < 0.5, -0.7, 0.7),
    }
    return {
        "x": x.round(4).tolist(),
        "targets": {name: y.round(4).tolist() for name, y in targets.items()},
        "units": 8,
        "rate": 0.01,
    }


def curve(x: Array) -> Array:
    """Return the target of the page."""
    return x * np.sin(2 * np.pi * x)


def kinks() -> list[Axes]:
    """A sine, and piecewise-linear curves of three, five and ten pieces through points of it."""
    x, panels = np.linspace(0, 1, 201), []
    for n in (3, 5, 10):
        ax = new(2.35, 2.1, title=f"{n} units", xlabel="$x$", ylim=(-1.1, 1.1))
        colors, points = palette_for(ax), np.linspace(0, 1, n + 1)
        ax.plot(x, 0.9 * np.sin(2 * np.pi * x), color=colors.orange, linestyle="--", linewidth=1)
        ax.plot(points, 0.9 * np.sin(2 * np.pi * points), color=colors.blue, marker="o", markersize=4)
        panels.append(ax)
    return panels


def beyond() -> list[Axes]:
    """Networks trained between 0 and 1, and what they predict outside."""
    ax = new(4.4, 2.7, xlabel="$x$", ylim=(-1.6, 1.6), title="Trained on the gray interval")
    colors = palette_for(ax)
    inside, shown = np.linspace(0, 1, 100)[:, np.newaxis], np.linspace(-1, 2, 301)
    ax.axvspan(0, 1, color=colors.pale, alpha=0.2, linewidth=0)
    ax.plot(shown, curve(shown), color=colors.pale, linewidth=2, label="target")
    for activation, color, dash in (("relu", colors.blue, "-"), ("tanh", colors.orange, "--")):
        net = mlp(1, 64, 64, 1, activation=activation, loss="squared_error", seed=0)
        train(net, inside, curve(inside), optimizer=Adam(0.01), schedule="cosine", epochs=400, batch_size=20, seed=0)
        ax.plot(shown, net.predict(shown[:, np.newaxis]), color=color, linestyle=dash, label=activation)
    ax.legend(frameon=False, fontsize=8)
    return [ax]


def bumps() -> list[Axes]:
    """A triangle made of three ReLU units, and a curve made of ten of them."""
    x = np.linspace(0, 1, 401)
    left = new(3.2, 2.5, title="A triangle of three ReLU units", xlabel="$x$")
    colors = palette_for(left)
    for k, (factor, color) in enumerate(((1, colors.pale), (-2, colors.pale), (1, colors.pale))):
        left.plot(x * 4, factor * np.maximum(x * 4 - k, 0), color=color, linestyle=DASHES[k + 1], linewidth=1)
    left.plot(x * 4, _relu(x * 4) - 2 * _relu(x * 4 - 1) + _relu(x * 4 - 2), color=colors.blue, linewidth=2)
    left.set_ylim(-2, 2)
    right = new(3.4, 2.5, title="A curve of ten bumps", xlabel="$x$")
    knots = np.linspace(0, 1, 11)
    for k, knot in enumerate(knots):
        bump = curve(knot) * np.maximum(1 - np.abs(x - knot) * 10, 0)
        right.plot(x, bump, color=colors.orange, linewidth=0.8, label="bumps" if k == 0 else None)
    right.plot(x, curve(x), color=colors.pale, linewidth=2, label="target")
    right.plot(x, np.interp(x, knots, curve(knots)), color=colors.blue, label="sum")
    right.legend(frameon=False, fontsize=8)
    return [left, right]


def units() -> list[Axes]:
    """The decision boundary of one, two, three and eight hidden units."""
    X, y = disc(300, seed=0)
    panels = []
    for k, net in _networks().items():
        ax = decision_boundary(net, X, y, new(1.8, 2.1), f"{k} unit{'s' * (k > 1)}: {np.mean(net.predict(X) == y):.2f}")
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
        panels.append(ax)
    return panels


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


@cache
def _networks() -> dict[int, Network]:
    """Return the best of three networks for each number of hidden units."""
    X, y = disc(300, seed=0)
    best = {}
    for k in (1, 2, 3, 8):
        nets = [mlp(2, k, 2, activation="tanh", loss="cross_entropy", seed=seed) for seed in range(3)]
        for seed, net in enumerate(nets):
            train(net, X, y, optimizer=Adam(0.03), epochs=150, batch_size=32, seed=seed)
        best[k] = max(nets, key=lambda net: float(np.mean(net.predict(X) == y)))
    return best
