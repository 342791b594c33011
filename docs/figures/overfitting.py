"""Figures of `learn/overfitting.md`."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import Adam, Network, mlp, train
from chainrule.arrays import Array
from chainrule.datasets import disc
from chainrule.insight.recording import WeightPath
from chainrule.training.history import History
from chainrule.viz import decision_boundary
from chainrule.viz.style import palette_for
from figures import new

_BEST = 12
"""The epoch with the lowest validation loss."""
_SHOWN = (1, 3, 6, _BEST, 20, 35, 60, 100, 150, 220, 300, 400)


def start() -> dict[str, Any]:
    """Return what the figure to play with shows: the points, and losses and predictions at twelve epochs."""
    history, accuracies, networks = _run()
    X, y = flipped(80, 0)
    side = (np.arange(30) - 14.5) / 13.5
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    epochs = [
        {
            "epoch": epoch,
            "loss": history.loss[epoch - 1],
            "newLoss": history.validation_loss[epoch - 1],
            "accuracy": accuracies[epoch - 1],
            "newAccuracy": history["validation_accuracy"][epoch - 1],
            "classes": "".join(map(str, net.predict(grid))),
        }
        for epoch, net in networks.items()
    ]
    return {"X": X.round(3).tolist(), "y": y.tolist(), "epochs": epochs}


def curves() -> list[Axes]:
    """The loss on the training and on new rows, with a dot at the best epoch."""
    history, accuracies, _ = _run()
    left = new(3.5, 2.9, xlabel="epoch", ylabel="loss", title="Loss", xscale="log", yscale="log")
    right = new(3.2, 2.9, xlabel="epoch", ylabel="accuracy", title="Accuracy", xscale="log")
    colors = palette_for(left)
    epochs = np.arange(1, len(history) + 1)
    left.plot(epochs, history.loss, color=colors.blue, label="training rows")
    left.plot(epochs, history.validation_loss, color=colors.orange, linestyle="--", label="new rows")
    left.plot([_BEST], [history.validation_loss[_BEST - 1]], "o", color=colors.orange, label=f"epoch {_BEST}")
    right.plot(epochs, accuracies, color=colors.blue)
    right.plot(epochs, history["validation_accuracy"], color=colors.orange, linestyle="--")
    left.legend(frameon=False, fontsize=8)
    return [left, right]


def boundaries() -> list[Axes]:
    """The decision boundary at the best and at the last epoch."""
    *_, networks = _run()
    X, y = flipped(80, 0)
    panels = []
    for epoch in (_BEST, 400):
        ax = decision_boundary(networks[epoch], X, y, new(3.3, 3.4), f"epoch {epoch}")
        circle = np.linspace(0, 2 * np.pi, 100)
        ax.plot(0.7 * np.cos(circle), 0.7 * np.sin(circle), color=palette_for(ax).pale, linestyle=":")
        panels.append(ax)
    return panels


def flipped(n: int, seed: int) -> tuple[Array, Array]:
    """Return points inside and outside a disc, with every fifth label wrong."""
    X, y = disc(n, seed=seed)
    y[::5] = 1 - y[::5]
    return X, y


@cache
def _run() -> tuple[History, list[float], dict[int, Network]]:
    """Train for 400 epochs; return the history, the accuracy on the training rows, and networks of some epochs."""
    X, y = flipped(80, 0)
    net, path = mlp(2, 64, 64, 2, activation="relu", loss="cross_entropy", seed=0), WeightPath(400)
    options = {"optimizer": Adam(0.01), "epochs": 400, "batch_size": 20, "validation": flipped(1000, 1)}
    history = train(net, X, y, **options, metrics=["accuracy"], callbacks=[path], kernels="numpy", seed=0)
    accuracies, kept = [], {}
    for epoch, theta in zip(path.epochs, path.thetas, strict=True):
        net.theta = theta
        accuracies.append(float(np.mean(net.predict(X) == y)))
        if epoch in _SHOWN:
            kept[epoch] = net.copy()
    return history, accuracies[1:], kept
