"""Figures of `learn/depth.md`."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import Dense, Network, Residual, mlp
from chainrule.datasets import disc
from chainrule.nn.layers import Activation
from chainrule.viz.style import DASHES, palette_for
from figures import new


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with: two folds in the middle."""
    return {"layers": 2, "knot": 0.5, "height": 1}


def folds() -> list[Axes]:
    """A line, folded one to four times."""
    x = np.linspace(0, 1, 1025)
    values, panels = x, []
    for n in range(1, 5):
        values = 2 * np.maximum(values, 0) - 4 * np.maximum(values - 0.5, 0)
        ax = new(1.8, 1.6, title=f"{n} layer{'s' * (n > 1)}, {2**n} pieces", xticks=[0, 1], yticks=[0, 1])
        ax.title.set_fontsize(9)
        ax.plot(x, values, color=palette_for(ax).blue)
        panels.append(ax)
    return panels


def vanishing() -> list[Axes]:
    """The largest gradient of each weight matrix in networks with twelve hidden layers, before training."""
    ax = new(4.4, 2.9, xlabel="weight matrix", ylabel="largest gradient", yscale="log")
    ax.set_title("Twelve hidden layers of 30 units, before training")
    colors = palette_for(ax)
    nets = {"sigmoid": colors.red, "relu": colors.blue, "sigmoid, residual blocks": colors.green}
    for k, (name, color) in enumerate(nets.items()):
        sizes = _gradients(name)
        ax.plot(range(1, len(sizes) + 1), sizes, color=color, linestyle=DASHES[k], marker=".", label=name)
    ax.legend(frameon=False, fontsize=8)
    return [ax]


@cache
def _gradients(name: str) -> list[float]:
    X, y = disc(300)
    if "residual" in name:
        block = [Dense(30, 30), Activation("sigmoid"), Dense(30, 30)]
        layers = [Dense(2, 30), Activation("sigmoid"), *[Residual(block) for _ in range(6)], Dense(30, 2)]
        net = Network(layers, "cross_entropy", seed=0)
    else:
        net = mlp(2, *[30] * 12, 2, activation=name, loss="cross_entropy", seed=0)
    _, grad = net.loss_and_grad(X, y)
    return [float(np.abs(grad[block.slice]).max()) for block in net.blocks if block.full_name.endswith("W")]
