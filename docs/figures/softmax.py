"""Figures of `learn/softmax.md`."""

from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule.losses import CrossEntropy
from chainrule.nn.losses import softmax
from chainrule.viz.style import palette_for
from figures import new


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with."""
    return {"z": [2, 1, -1], "c": 1, "T": 1}


def bars() -> list[Axes]:
    """Three probabilities, and the derivatives of the loss with respect to their logits."""
    z = np.array([start()["z"]], dtype=float)
    value, dz = CrossEntropy()(z, np.array([start()["c"]]))
    panels = []
    for values, title, color in ((softmax(z), "$p$", "blue"), (dz, f"$dz$, with $L = {value:.4f}$", "orange")):
        ax = new(2.4, 2.1, title=title, ylim=(-1, 1), xlabel="class")
        ax.bar(["1", "2", "3"], values[0], color=getattr(palette_for(ax), color))
        ax.axhline(0, color=palette_for(ax).ink, linewidth=0.8)
        panels.append(ax)
    return panels


def surprise() -> list[Axes]:
    """The cross-entropy and the squared error over the probability of the true class."""
    ax = new(4.4, 2.8, xlabel="probability of the true class", ylabel="$L$", title="What it costs to be wrong")
    colors = palette_for(ax)
    p = np.linspace(0.002, 1, 400)
    ax.plot(p, -np.log(p), color=colors.blue, label=r"$-\log p_c$")
    ax.plot(p, (1 - p) ** 2 / 2, color=colors.orange, linestyle="--", label=r"$\frac{1}{2} (1 - p_c)^2$")
    ax.legend(frameon=False)
    return [ax]


def pulls() -> list[Axes]:
    """The gradient of both losses over the logit of the wrong class."""
    ax = new(4.4, 2.8, xlabel="logit of the wrong class, minus that of the true one", ylabel="$|dz|$")
    ax.set_title("How hard a wrong row pulls")
    colors = palette_for(ax)
    z = np.linspace(-4, 12, 300)
    p = 1 / (1 + np.exp(-z))
    ax.plot(z, p, color=colors.blue, label="cross-entropy")
    ax.plot(z, 2 * p * p * (1 - p), color=colors.orange, linestyle="--", label="squared error")
    ax.legend(frameon=False)
    return [ax]


def jacobian() -> list[Axes]:
    """The derivatives of three probabilities with respect to three logits."""
    ax = new(3.0, 2.7, title=r"$\partial p_k / \partial z_j$ at $z = (2, 1, -1)$", xlabel="$j$", ylabel="$k$")
    p = softmax(np.array([[2.0, 1.0, -1.0]]))[0]
    J = np.diag(p) - np.outer(p, p)
    ax.imshow(J, cmap=palette_for(ax).signs, vmin=-0.3, vmax=0.3)
    for k, j in product(range(3), range(3)):
        ax.text(j, k, f"{J[k, j]:.3f}", ha="center", va="center")
    ax.set_xticks(range(3), ["1", "2", "3"])
    ax.set_yticks(range(3), ["1", "2", "3"])
    ax.spines[:].set_visible(False)
    return [ax]
