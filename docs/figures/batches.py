"""Figures of `learn/batches.md`."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import SGD, mlp, train
from chainrule.arrays import Array
from chainrule.datasets import spiral
from chainrule.viz.style import DASHES, palette_for
from figures import new


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with: 24 points, and two epochs in their order."""
    x, y = _points()
    rows = np.column_stack([x, np.ones(24)])
    best = np.linalg.lstsq(rows, y)[0]
    points = {"x": x.tolist(), "y": y.tolist(), "H": (rows.T @ rows / 24).tolist(), "best": best.tolist()}
    return {**points, "line": [-1, -1], "orders": [list(range(24))] * 2, "size": 6, "rate": 0.4}


def zigzag() -> list[Axes]:
    """Two epochs of batch, mini-batch and single-row descent for a line with two parameters."""
    x, y = _points()
    rows = np.column_stack([x, np.ones(24)])
    panels = []
    for size, title in ((24, "all 24 rows per step"), (6, "6 rows per step"), (1, "1 row per step")):
        ax = new(2.35, 2.5, title=title, xlabel="$w$", ylabel="$b$")
        colors = palette_for(ax)
        w, b = np.meshgrid(np.linspace(-1.3, 2.5, 60), np.linspace(-1.2, 1.8, 60))
        C = np.mean([(w * r[0] + b - target) ** 2 / 2 for r, target in zip(rows, y, strict=True)], axis=0)
        ax.contour(w, b, C, levels=8, colors=[colors.pale], linewidths=0.6)
        steps = _descend(rows, y, size, rate=0.4 if size > 1 else 0.15)
        ax.plot(*steps.T, color=colors.blue, marker="o", markersize=2, linewidth=0.9)
        best = np.linalg.lstsq(rows, y)[0]
        ax.plot(*best, "x", color=colors.orange, markersize=8, markeredgewidth=2)
        panels.append(ax)
    return panels


def curves() -> list[Axes]:
    """The loss by epoch of the three batch sizes of the page."""
    ax = new(4.6, 2.8, xlabel="epoch", ylabel="loss", title="Three spirals", yscale="log")
    colors = palette_for(ax)
    runs = ((None, 3.0, colors.orange, "all rows"), (32, 1.0, colors.green, "32 rows"), (1, 0.3, colors.blue, "1 row"))
    for k, (batch_size, rate, color, label) in enumerate(runs):
        ax.plot(range(1, 41), _losses(batch_size, rate), color=color, linestyle=DASHES[k], label=f"{label} per step")
    ax.set_ylim(top=20)
    ax.legend(frameon=False, fontsize=8, loc="upper right")
    return [ax]


def _points() -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 24)
    return x, 1.5 * x + 0.5 + 0.6 * rng.normal(size=24)


@cache
def _losses(batch_size: int | None, rate: float) -> list[float]:
    X, y = spiral(100, arms=3, seed=0)
    net = mlp(2, 50, 3, activation="relu", loss="cross_entropy", seed=0)
    return train(net, X, y, optimizer=SGD(rate), epochs=40, batch_size=batch_size, seed=0).loss


def _descend(rows: Array, y: Array, size: int, rate: float) -> Array:
    """Return the path of two epochs."""
    theta, path = np.array([-1.0, -1.0]), [np.array([-1.0, -1.0])]
    for start in [*range(0, len(y), size)] * 2:
        part = slice(start, start + size)
        theta = theta - rate * rows[part].T @ (rows[part] @ theta - y[part]) / len(y[part])
        path.append(theta)
    return np.array(path)
