"""Figures of `learn/initialization.md`."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import mlp
from chainrule.viz.style import DASHES, palette_for
from figures import new


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with: rows, and the weights of 29 layers with variance 1."""
    rng = np.random.default_rng(0)
    width = 24
    X, W = rng.normal(size=(20, width)), rng.normal(size=(29, width, width))
    return {"X": X.round(2).tolist(), "W": W.round(2).tolist(), "width": width, "gain": 2}


def spreads() -> list[Axes]:
    """The spread between rows in 29 layers, for several activations and initializers."""
    ax = new(4.5, 3.2, xlabel="layer", ylabel="standard deviation between rows", yscale="log")
    ax.set_title("What is left of the differences between rows")
    colors = palette_for(ax)
    runs = [
        ("relu", "he_normal", colors.blue),
        ("relu", "glorot_normal", colors.orange),
        ("tanh", "glorot_normal", colors.green),
        ("silu", "he_normal", colors.purple),
        ("sigmoid", "glorot_normal", colors.red),
    ]
    for k, (activation, weights, color) in enumerate(runs):
        label = f"{activation}, {weights.split('_')[0].capitalize()}"
        ax.plot(range(1, 30), _spread(activation, weights), color=color, linestyle=DASHES[k % 4], label=label)
    ax.legend(frameon=False, fontsize=8)
    return [ax]


def gains() -> list[Axes]:
    """Size and spread of the weighted sums of ReLU layers, for three gains."""
    begin = start()
    panels = []
    for gain in (1, 2, 3):
        ax = new(2.35, 2.2, xlabel="layer", title=f"variance {gain} / n", yscale="log", ylim=(1e-5, 1e4))
        colors = palette_for(ax)
        rows, sizes, spread = np.array(begin["X"]), [], []
        for W in np.array(begin["W"]):
            Z = rows @ W.T * np.sqrt(gain / begin["width"])
            sizes.append(np.sqrt(np.mean(Z**2)))
            spread.append(Z.std(axis=0).mean())
            rows = np.maximum(Z, 0)
        ax.axhline(1, color=colors.pale, linewidth=0.8)
        ax.plot(range(1, 30), sizes, color=colors.orange, linestyle="--")
        ax.plot(range(1, 30), spread, color=colors.blue)
        panels.append(ax)
    return panels


def sums() -> list[Axes]:
    """Distributions of a weighted sum of 100 inputs, for three sizes of weights."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 100))
    panels = []
    for variance, title in ((1.0, "variance 1"), (0.02, "variance 2/100"), (0.0001, "variance 1/10,000")):
        ax = new(2.3, 2.0, title=title, xlabel="$z$", yticks=[])
        z = x @ (rng.normal(size=100) * variance**0.5)
        ax.hist(z, np.linspace(-30, 30, 121) if variance == 1 else np.linspace(-5, 5, 81), color=palette_for(ax).blue)
        panels.append(ax)
    return panels


@cache
def _spread(activation: str, weights: str) -> list[float]:
    """Return the mean standard deviation between rows of the weighted sums of each layer."""
    net = mlp(*[128] * 31, activation=activation, weights=weights, seed=0)
    Z = net.activations(np.random.default_rng(0).normal(size=(200, 128)))[:-1:2]
    return [float(z.std(axis=0).mean()) for z in Z]
