"""Figures of the first page."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from chainrule import SGD, Network, mlp, train
from chainrule.datasets import disc
from chainrule.viz import decision_boundary
from chainrule.viz.style import palette_for
from figures import new

_X, _Y = disc(150, seed=0)
_SHOWN = (0, 20, 150)
"""Epochs that the still pictures show."""


def start() -> dict[str, Any]:
    """Return the points and the weights that the moving figure begins with."""
    net = _network()
    parameters = [net.params[i][name].tolist() for i in (0, 2) for name in ("W", "b")]
    return {"X": _X.round(3).tolist(), "y": _Y.tolist(), "parameters": parameters, "rate": 3, "size": 10, "epochs": 150}


def three_lines() -> list[Axes]:
    """The lines of three hidden units before, during and after training, with the region they enclose."""
    panels = []
    for epoch, net in _stages().items():
        ax = decision_boundary(net, _X, _Y, new(2.35, 2.6), f"after {epoch} epochs" if epoch else "before training")
        ax.title.set_fontsize(9)
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
        W, b = net.params[0]["W"], net.params[0]["b"]
        for w, bias in zip(W.T, b, strict=True):
            foot = -bias * w / (w @ w)
            ax.axline(foot, foot + np.array([-w[1], w[0]]), color=palette_for(ax).green, linestyle="--", linewidth=1)
        panels.append(ax)
    return panels


def understand() -> list[Axes]:
    """A curve with its tangent."""
    ax = _small()
    colors, x = palette_for(ax), np.linspace(-4, 4, 81)
    ax.plot(x, 1 / (1 + np.exp(-x)), color=colors.blue, linewidth=2.5)
    ax.plot([-1.6, 1.6], [0.1, 0.9], color=colors.orange, linewidth=2)
    ax.plot([0], [0.5], "o", color=colors.ink)
    return [ax]


def table() -> list[Axes]:
    """The cells of a table, and a prediction with its interval for each row."""
    ax = _small()
    colors = palette_for(ax)
    for row, (low, middle, high) in enumerate([(5.2, 5.9, 6.6), (6.5, 7.6, 8.7), (5.0, 5.4, 5.8), (7.2, 8.1, 9.0)]):
        for column in range(3):
            empty = (row, column) == (1, 1)
            ax.add_patch(Rectangle((1.3 * column, row), 1.15, 0.8, color=colors.pale, alpha=0.2 if empty else 0.6))
        ax.plot([low, high], [row + 0.4] * 2, color=colors.blue, linewidth=2)
        ax.plot([middle], [row + 0.4], "o", color=colors.orange)
    ax.set(xlim=(-0.1, 9.2), ylim=(4, -0.2))
    return [ax]


def build() -> list[Axes]:
    """Three layers, with the way forward above and the way back below."""
    ax = _small()
    colors = palette_for(ax)
    for k in range(3):
        ax.add_patch(Rectangle((3 * k, 0), 1.4, 3, color=colors.green if k == 1 else colors.pale, alpha=0.6))
    for x in (1.5, 4.5):
        for y, ends, color in ((2.2, (x + 1.4, x), colors.blue), (0.8, (x, x + 1.4), colors.orange)):
            ax.annotate(
                "", (ends[0], y), (ends[1], y), arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 2}
            )
    ax.set(xlim=(-0.1, 7.5), ylim=(-0.1, 3.1))
    return [ax]


def _small() -> Axes:
    ax = new(1.9, 1.0)
    ax.set_axis_off()
    return ax


def _network() -> Network:
    sigmoids = {"activation": "sigmoid", "output_activation": "sigmoid"}
    return mlp(2, 3, 2, **sigmoids, loss="squared_error", seed=1)


@cache
def _stages() -> dict[int, Network]:
    """Return the network after each of the epochs that are shown."""
    net, done, stages = _network(), 0, {}
    for epoch in _SHOWN:
        if epoch > done:
            train(net, _X, np.eye(2)[_Y], optimizer=SGD(3.0), epochs=epoch - done, batch_size=10, seed=epoch)
            done = epoch
        stages[epoch] = net.copy()
    return stages
