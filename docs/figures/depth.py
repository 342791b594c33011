"""Figures of `learn/depth.md`."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import Adam, Dense, Network, Residual, mlp, train
from chainrule.arrays import Array
from chainrule.datasets import disc
from chainrule.nn.layers import Activation
from chainrule.viz import decision_boundary
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


def bumps() -> list[Axes]:
    """A triangle made of three ReLU units, and a curve made of ten of them."""
    x = np.linspace(0, 1, 401)
    left = new(3.2, 2.5, title="A triangle of three ReLU units", xlabel="$x$")
    colors = palette_for(left)
    for k, (factor, color) in enumerate(((1, colors.pale), (-2, colors.pale), (1, colors.pale))):
        left.plot(x * 4, factor * np.maximum(x * 4 - k, 0), color=color, linestyle=DASHES[k + 1], linewidth=1)
    left.plot(x * 4, _relu(x * 4) - 2 * _relu(x * 4 - 1) + _relu(x * 4 - 2), color=colors.blue, linewidth=2)
    left.set_ylim(-2, 2)
    right = new(3.4, 2.5, title="A curve of ten bumps", xlabel="$x$")
    knots = np.linspace(0, 1, 11)
    curve = x * np.sin(2 * np.pi * x)
    for k, knot in enumerate(knots):
        height = knot * np.sin(2 * np.pi * knot)
        bump = height * np.maximum(1 - np.abs(x - knot) * 10, 0)
        right.plot(x, bump, color=colors.orange, linewidth=0.8, label="bumps" if k == 0 else None)
    right.plot(x, curve, color=colors.pale, linewidth=2, label="target")
    right.plot(x, np.interp(x, knots, knots * np.sin(2 * np.pi * knots)), color=colors.blue, label="sum")
    right.legend(frameon=False, fontsize=8)
    return [left, right]


def units() -> list[Axes]:
    """The decision boundary of one, two, three and eight hidden units."""
    X, y = disc(300, seed=0)
    panels = []
    for k, net in _networks().items():
        ax = decision_boundary(net, X, y, new(1.8, 2.1), f"{k} unit{'s' * (k > 1)}: {np.mean(net.predict(X) == y):.2f}")
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
        panels.append(ax)
    return panels


def vanishing() -> list[Axes]:
    """The largest gradient of each weight matrix in networks with twelve hidden layers, before training."""
    ax = new(5.0, 2.9, xlabel="weight matrix", ylabel="largest gradient", yscale="log")
    ax.set_title("Twelve hidden layers of 30 units, before training")
    colors = palette_for(ax)
    nets = {"sigmoid": colors.red, "relu": colors.blue, "sigmoid, residual blocks": colors.green}
    for k, (name, color) in enumerate(nets.items()):
        sizes = _gradients(name)
        ax.plot(range(1, len(sizes) + 1), sizes, color=color, linestyle=DASHES[k], marker=".", label=name)
    ax.legend(frameon=False, fontsize=8)
    return [ax]


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


@cache
def _networks() -> dict[int, Network]:
    """Return the best of three networks for each number of hidden units."""
    X, y = disc(300, seed=0)
    best = {}
    for k in (1, 2, 3, 8):
        nets = [mlp(2, k, 2, activation="tanh", loss="cross_entropy", seed=seed) for seed in range(3)]
        for seed, net in enumerate(nets):
            train(net, X, y, optimizer=Adam(0.03), epochs=150, batch_size=32, seed=seed)
        best[k] = max(nets, key=lambda net: float(np.mean(net.predict(X) == y)))
    return best


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
