"""Figures of `learn/matrices.md`."""

from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from chainrule.arrays import Array
from chainrule.viz.style import palette_for
from figures import new
from figures.graph import network_of_page

X = np.array([[0.05, 0.10], [1, 0], [0, 1]])
Y = np.array([[0.01, 0.99], [0.99, 0.01], [0.01, 0.99]])
"""The batch of the page."""
_N, _D, _M = 5.0, 2.0, 3.0


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with: sizes, and entries for sizes up to 6."""
    rng = np.random.default_rng(0)
    return {"n": 5, "d": 3, "m": 2} | {name: rng.integers(-3, 4, (6, 6)).tolist() for name in ("X", "W", "dZ")}


def relu() -> list[Axes]:
    """ReLU and its derivative."""
    ax = new(3.6, 2.4, xlabel="$z$", title=r"$\max(0, z)$ and its derivative")
    colors = palette_for(ax)
    ax.plot([-3, 0, 3], [0, 0, 3], color=colors.blue, linewidth=2, label=r"$\max(0, z)$")
    ax.plot([-3, 0, 0, 3], [0, 0, 1, 1], color=colors.orange, linestyle="--", label="derivative")
    ax.legend(frameon=False)
    return [ax]


def shapes() -> list[Axes]:
    """The forward product and the two backward products as rectangles of their sizes."""
    rows = [
        ("X", (_N, _D), "W", (_D, _M), "Z = X W + b", (_N, _M)),
        ("dZ", (_N, _M), "W^T", (_M, _D), "dX = dZ\\, W^T", (_N, _D)),
        ("X^T", (_D, _N), "dZ", (_N, _M), "dW = X^T dZ", (_D, _M)),
    ]
    panels = []
    for left, left_size, right, right_size, title, size in rows:
        ax = new(3.6, 1.7, xlim=(-1.2, 17), ylim=(-0.8, 6.2), aspect="equal", title=f"${title}$")
        ax.set_axis_off()
        x = 0.0
        for name, (height, width), after in ((left, left_size, ""), (right, right_size, "="), ("", size, "")):
            _block(ax, x, height, width, name)
            x += width + 1.6
            if after:
                ax.text(x - 0.6, 2.5, f"${after}$", ha="center", va="center")
                x += 0.8
        panels.append(ax)
    return panels


def outer_products() -> list[Axes]:
    """The gradient of the second weight matrix as a sum of one outer product for each row."""
    A1, dZ2 = _errors()
    parts = [np.outer(a, d) for a, d in zip(A1, dZ2, strict=True)]
    panels = []
    for values, title in zip([*parts, sum(parts)], ["row 1", "+ row 2", "+ row 3", "= $dW_2$"], strict=True):
        ax = new(1.75, 1.6, title=title, xticks=[], yticks=[])
        ax.imshow(values, cmap=palette_for(ax).signs, vmin=-0.04, vmax=0.04)
        for i, j in product(range(2), range(2)):
            ax.text(j, i, f"{values[i, j]:.4f}", ha="center", va="center", fontsize=8)
        ax.spines[:].set_visible(False)
        panels.append(ax)
    return panels


def _errors() -> tuple[Array, Array]:
    """Return A1 and dZ2 of the batch."""
    net = network_of_page()
    A1, A2 = net.activations(X)[1].astype(float), net.activations(X)[3].astype(float)
    return A1, (A2 - Y) * A2 * (1 - A2) / len(X)


def _block(ax: Axes, x: float, height: float, width: float, name: str) -> None:
    """Draw a matrix as a rectangle, with its sizes on its sides."""
    colors = palette_for(ax)
    paint = {_N: colors.blue, _D: colors.orange, _M: colors.green}
    letters = {_N: "n", _D: "d", _M: "m"}
    low = 2.5 - height / 2
    ax.add_patch(Rectangle((x, low), width, height, facecolor=colors.pale, alpha=0.35, linewidth=0))
    ax.plot([x, x], [low, low + height], color=paint[height], linewidth=2.5)
    ax.plot([x, x + width], [low + height] * 2, color=paint[width], linewidth=2.5)
    ax.text(x - 0.55, 2.5, letters[height], ha="center", va="center", color=paint[height], fontsize=8)
    ax.text(x + width / 2, low + height + 0.4, letters[width], ha="center", color=paint[width], fontsize=8)
    if name:
        ax.text(x + width / 2, 2.5, f"${name}$", ha="center", va="center")
