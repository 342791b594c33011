"""Figures of `learn/losses.md`."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import Array
from chainrule.losses import AbsoluteError, Huber, Loss, Quantile, SquaredError
from chainrule.viz.style import DASHES, palette_for
from figures import new

_ROWS = np.array([[1.0], [2.0], [3.0], [4.0], [100.0]])


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with."""
    return {"y": _ROWS[:, 0].tolist(), "answer": 50, "q": 0.9}


def answers() -> list[Axes]:
    """The cost of one answer to five rows, for three losses; a dot marks the lowest."""
    panels = []
    shown = {"squared error": SquaredError(), "absolute error": AbsoluteError(), "0.9-quantile": Quantile(0.9)}
    for name, loss in shown.items():
        ax = new(2.35, 2.2, title=name, xlabel="answer", yticks=[])
        colors = palette_for(ax)
        a = np.linspace(0, 110, 441)
        C = np.array([_cost(loss, value) for value in a])
        ax.plot(a, C, color=colors.blue)
        best = a[C.argmin()]
        ax.plot([best], [C.min()], "o", color=colors.orange)
        ax.annotate(f"{best:g}", (best, C.min()), (0, 8), textcoords="offset points", ha="center")
        panels.append(ax)
    return panels


def shapes() -> list[Axes]:
    """The losses of one row over the error, and their derivatives."""
    R = np.linspace(-3, 3, 241)[:, np.newaxis]
    left = new(3.3, 2.6, title="Loss", xlabel="$a - y$")
    right = new(3.3, 2.6, title="Derivative: the pull", xlabel="$a - y$")
    colors = palette_for(left)
    shown = {
        "squared error": (SquaredError(), colors.blue),
        "Huber": (Huber(), colors.orange),
        "absolute error": (AbsoluteError(), colors.green),
        "0.9-quantile": (Quantile(0.9), colors.purple),
    }
    for k, (name, (loss, color)) in enumerate(shown.items()):
        losses, dZ = loss.per_row(R, np.zeros_like(R))
        look = {"color": color, "linestyle": DASHES[k], "label": name}
        left.plot(R, losses, **look)
        right.plot(R, dZ, **look)
    left.legend(frameon=False, fontsize=8)
    return [left, right]


def coin() -> list[Axes]:
    """The expected loss of a probability q for a coin that shows heads in 70 % of throws."""
    ax = new(4.6, 2.8, xlabel="answer $q$", ylabel="expected loss", title="A coin with $p = 0.7$", ylim=(0, 1.2))
    colors = palette_for(ax)
    q = np.linspace(0.01, 0.99, 197)
    curves = {
        "cross-entropy": -0.7 * np.log(q) - 0.3 * np.log(1 - q),
        "squared error": (0.7 * (1 - q) ** 2 + 0.3 * q**2) / 2,
        "absolute error": 0.7 * (1 - q) + 0.3 * q,
    }
    for k, (name, values) in enumerate(curves.items()):
        color = colors.classes[k]
        ax.plot(q, values, color=color, linestyle=DASHES[k], label=name)
        ax.plot(q[values.argmin()], values.min(), "o", color=color)
    ax.legend(frameon=False, fontsize=8)
    return [ax]


def _cost(loss: Loss, answer: float) -> float:
    Z: Array = np.full_like(_ROWS, answer)
    return float(loss(Z, _ROWS)[0])
