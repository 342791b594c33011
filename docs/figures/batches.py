"""Figures of `learn/batches.md`."""

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import Array
from chainrule.viz.style import palette_for
from figures import new


def zigzag() -> list[Axes]:
    """Two epochs of batch, mini-batch and single-row descent for a line with two parameters."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 24)
    rows, y = np.column_stack([x, np.ones(24)]), 1.5 * x + 0.5 + 0.6 * rng.normal(size=24)
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


def _descend(rows: Array, y: Array, size: int, rate: float) -> Array:
    """Return the path of two epochs."""
    theta, path = np.array([-1.0, -1.0]), [np.array([-1.0, -1.0])]
    for start in [*range(0, len(y), size)] * 2:
        part = slice(start, start + size)
        theta = theta - rate * rows[part].T @ (rows[part] @ theta - y[part]) / len(y[part])
        path.append(theta)
    return np.array(path)
