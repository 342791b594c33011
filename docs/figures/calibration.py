"""Figures of `learn/calibration.md`."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import Adam, Network, mlp, train
from chainrule.arrays import Array
from chainrule.insight.evaluation import calibration_curve
from chainrule.losses import Quantile
from chainrule.nn.losses import softmax
from chainrule.viz import calibration
from chainrule.viz.style import palette_for
from figures import new
from figures.overfitting import flipped

TEMPERATURES = np.linspace(1, 20, 191)


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with: differences of logits, and classes, of 1,000 new points."""
    X, y = flipped(1000, 2)
    Z = overconfident()[0].outputs(X)
    return {"z": (Z[:, 1] - Z[:, 0]).round(2).tolist(), "y": y.tolist(), "T": 1}


def curves() -> list[Axes]:
    """The calibration curve of an overfitted network, before and after a temperature."""
    net, T = overconfident()
    X, y = flipped(3000, 2)
    Z = net.outputs(X)
    titles = {1.0: "as trained", T: f"with temperature {T:.1f}"}
    return [calibration(y, softmax(Z / t), None, new(3.3, 3.3), title) for t, title in titles.items()]


def tempered() -> list[Axes]:
    """The calibration curve of the overfitted network at three temperatures."""
    z, y = np.array(start()["z"]), np.array(start()["y"])
    panels = []
    for T in (1, 3, 9):
        ax = new(2.35, 2.5, title=f"$T = {T}$", xlabel="predicted", xlim=(0, 1), ylim=(0, 1))
        observed, predicted, _ = calibration_curve(y, 1 / (1 + np.exp(-z / T)))
        ax.plot([0, 1], [0, 1], color=palette_for(ax).pale, linewidth=0.8)
        ax.plot(predicted, observed, color=palette_for(ax).blue, marker="o", markersize=3)
        panels.append(ax)
    panels[0].set_ylabel("observed")
    return panels


def temperatures() -> list[Axes]:
    """Softmax of three logits at three temperatures."""
    panels = []
    for T in (1, 2, 5):
        ax = new(2.2, 1.9, title=f"$T = {T}$", ylim=(0, 1), xlabel="class")
        p = softmax(np.array([[2.0, 1.0, -1.0]]) / T)[0]
        ax.bar(["1", "2", "3"], p, color=palette_for(ax).blue)
        for k, value in enumerate(p):
            ax.text(k, value + 0.03, f"{value:.2f}", ha="center")
        panels.append(ax)
    return panels


def intervals() -> list[Axes]:
    """Intervals of constant and of adaptive width, with new rows."""
    net, q, quantiles, d = regressors()
    x, t = waves(300, seed=2)
    grid = np.linspace(-3, 3, 200)[:, np.newaxis]
    Q = quantiles(grid)
    bands = {
        "one width for all": (net.predict(grid) - q, net.predict(grid) + q),
        "quantiles": (Q[:, 0] - d, Q[:, 1] + d),
    }
    panels = []
    for title, (low, high) in bands.items():
        ax = new(3.3, 2.8, title=title, xlabel="$x$", ylabel="$y$")
        colors = palette_for(ax)
        ax.fill_between(grid[:, 0], low, high, color=colors.blue, alpha=0.25, linewidth=0)
        ax.plot(x[:, 0], t, ".", color=colors.orange, markersize=3)
        panels.append(ax)
    return panels


def waves(n: int, seed: int) -> tuple[Array, Array]:
    """Return rows of a wave whose noise grows with x."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, (n, 1))
    return x, np.sin(2 * x[:, 0]) + rng.normal(size=n) * (0.4 + 0.1 * x[:, 0])


@cache
def overconfident() -> tuple[Network, float]:
    """Return an overfitted network, and the temperature that suits it."""
    X, y = flipped(150, 0)
    net = mlp(2, 64, 64, 2, activation="relu", loss="cross_entropy", seed=0)
    train(net, X, y, optimizer=Adam(0.01), epochs=200, batch_size=20, seed=0)
    held_out, labels = flipped(300, 1)
    Z = net.outputs(held_out)
    losses = [-np.log(softmax(Z / T)[np.arange(300), labels]).mean() for T in TEMPERATURES]
    return net, float(TEMPERATURES[np.argmin(losses)])


@cache
def regressors() -> tuple[Network, float, Network, float]:
    """Return a network with the half width of its intervals, and one of quantiles with its correction."""
    x, t = waves(600, seed=0)
    net = mlp(1, 32, 32, 1, activation="tanh", loss="squared_error", seed=0)
    quantiles = mlp(1, 32, 32, 2, activation="tanh", loss=Quantile((0.05, 0.95)), seed=0)
    for each in (net, quantiles):
        train(each, x, t, optimizer=Adam(0.01), schedule="cosine", epochs=100, batch_size=32, seed=0)
    x, t = waves(1000, seed=1)
    Q = quantiles(x)
    misses = np.sort(np.abs(t - net.predict(x))), np.sort(np.maximum(Q[:, 0] - t, t - Q[:, 1]))
    return net, float(misses[0][900]), quantiles, float(misses[1][900])
