"""Figures of `learn/scaling.md`."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import SGD, mlp, train
from chainrule.arrays import Array
from chainrule.datasets import disc
from chainrule.viz.style import palette_for
from figures import new


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with: the second derivatives of the cost of 200 rows."""
    X = _rows()
    return {"H": (X.T @ X / len(X)).tolist(), "t": [1.1, 0.5], "factor": 8}


def curves() -> list[Axes]:
    """Loss curves with and without scaling."""
    ax = new(4.6, 2.8, xlabel="epoch", ylabel="loss", title="The same points, the same network", yscale="log")
    colors = palette_for(ax)
    for scaled, color, dash in ((False, colors.orange, "--"), (True, colors.blue, "-")):
        ax.plot(_losses(scaled), color=color, linestyle=dash, label="standardized" if scaled else "in different units")
    ax.legend(frameon=False)
    return [ax]


def contours() -> list[Axes]:
    """The cost of a line over its two weights, with both inputs in similar units and in different ones."""
    panels = []
    for factor, title in ((1, "similar scales"), (8, "second input 8 times as large")):
        rows = _rows() * [1, factor]
        H = rows.T @ rows / len(rows)
        ax = new(3.2, 2.9, title=title, xlabel="$w_1$", ylabel="$w_2$")
        colors = palette_for(ax)
        w = np.meshgrid(np.linspace(-1.3, 1.3, 81), np.linspace(-1.3, 1.3, 81))
        stacked = np.stack(w)
        C = np.einsum("iab,ij,jab->ab", stacked, H, stacked) / 2
        ax.contour(*w, C, levels=np.array([0.02, 0.1, 0.25, 0.5, 0.8]) * C.max(), colors=[colors.pale], linewidths=0.7)
        rate = 2 / np.linalg.eigvalsh(H).sum()
        steps = [np.array([1.1, 0.5])]
        for _ in range(15):
            steps.append(steps[-1] - rate * H @ steps[-1])
        ax.plot(*np.transpose(steps), color=colors.blue, marker="o", markersize=2.5, linewidth=0.9)
        panels.append(ax)
    return panels


def _rows() -> Array:
    return np.random.default_rng(0).normal(size=(200, 2))


@cache
def _losses(scaled: bool) -> list[float]:
    X, y = disc(300, seed=0)
    X = X * [1, 1000]
    net = mlp(2, 16, 2, activation="tanh", loss="cross_entropy", seed=0)
    return train(net, _standardize(X) if scaled else X, y, optimizer=SGD(0.1, momentum=0.9), epochs=100, seed=0).loss


def _standardize(X: Array) -> Array:
    return (X - X.mean(axis=0)) / X.std(axis=0)
