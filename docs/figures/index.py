"""Figures of the first page."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes

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
