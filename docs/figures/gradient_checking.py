"""Figures of `learn/gradient-checking.md`."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import Array
from chainrule.viz.style import palette_for
from figures import new


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with: the weight, and the exponents of the step and of a fault."""
    return {"w": 1, "exponent": -3, "fault": -3}


def steps() -> list[Axes]:
    """The error of finite differences over their step, in both precisions, and that of a wrong derivative."""
    h = np.logspace(-12, -0.5, 200)
    panels = []
    for dtype in (np.float64, np.float32):
        ax = new(
            3.4, 3.0, xlabel="$h$", ylabel="relative error", title=dtype.__name__, xlim=(1e-12, 1), ylim=(1e-13, 10)
        )
        colors = palette_for(ax)
        w, right = dtype(1), _derivative(dtype(1))
        central = (_cost(w + h.astype(dtype)) - _cost(w - h.astype(dtype))) / (2 * h)
        one_sided = (_cost(w + h.astype(dtype)) - _cost(w)) / h
        for values, truth, label, look in (
            (one_sided, right, "one-sided", {"color": colors.orange, "linestyle": "--"}),
            (central, right, "central", {"color": colors.blue}),
            (central, right * 1.0005, "central, wrong derivative", {"color": colors.red, "linestyle": ":"}),
        ):
            ax.loglog(h, np.abs(values - truth) / np.abs(truth) + 1e-16, label=label, linewidth=1.2, **look)
        ax.legend(frameon=False, fontsize=8)
        panels.append(ax)
    return panels


def kink() -> list[Axes]:
    """ReLU at its kink, with both one-sided slopes and the chord of the central difference."""
    ax = new(3.6, 2.6, xlabel="$z$", title="A kink", xticks=[-1, 0, 1], xticklabels=["$-h$", "0", "$h$"], yticks=[])
    colors = palette_for(ax)
    ax.plot([-1.5, 0, 1.5], [0, 0, 1.5], color=colors.blue, linewidth=2, label="ReLU: slopes 0 and 1")
    ax.plot([-1, 1], [0, 1], color=colors.orange, linestyle="--", marker="o", label="central difference: slope ½")
    ax.legend(frameon=False)
    return [ax]


def _cost(w: Array) -> Array:
    """sigmoid(w)^2, in the precision of w."""
    return (1 / (1 + np.exp(-w))) ** 2


def _derivative(w: float) -> float:
    a = 1 / (1 + np.exp(-np.float64(w)))
    return float(2 * a * a * (1 - a))
