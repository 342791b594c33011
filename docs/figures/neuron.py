"""Figures of `learn/neuron.md`."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import SGD, Activation, Dense, Network, mlp, train
from chainrule.datasets import half_plane, truth_table
from chainrule.nn.activations import sigmoid, step
from chainrule.viz import draw_network, learned_line, scatter_labels, scatter_predictions
from chainrule.viz.style import palette_for
from figures import new

_GATES = {"and": ([1, 1], -1.5), "or": ([1, 1], -0.5), "nand": ([-1, -1], 1.5)}


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with: twelve points, and a neuron that is wrong about most of them."""
    return {
        "X": [[-1.6, 1.2], [-0.9, -0.2], [-1.3, 0.4], [-0.4, 1.5], [0.2, 0.9], [0.7, 1.1],
              [-0.7, -1.4], [0.1, -0.9], [0.9, 0.1], [1.2, -0.8], [1.7, 0.5], [0.5, -1.7]],
        "y": [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1],
        "w": [-0.6, 1.6],
        "b": 0.5,
    }  # fmt: skip


def diagram() -> list[Axes]:
    """The neuron as a circle with its inputs and its output."""
    return [draw_network(mlp(2, 1, output_activation="sigmoid", seed=0))]


def gates() -> list[Axes]:
    """Three gates with their lines and weight vectors, and XOR, which has no line."""
    panels = []
    for gate in (*_GATES, "xor"):
        ax = scatter_labels(*truth_table(gate), new(1.8, 2.0), gate.upper())
        ax.set(xlim=(-0.5, 1.5), ylim=(-0.5, 1.5), xticks=[0, 1], yticks=[0, 1])
        if gate in _GATES:
            w, b = _GATES[gate]
            learned_line(_neuron(w, b, "step"), ax)
            foot = -b * np.array(w) / 2
            look = {"arrowstyle": "-|>", "color": palette_for(ax).orange, "linewidth": 1.5}
            ax.annotate("", foot + 0.35 * np.array(w), foot, arrowprops=look)
        panels.append(ax)
    return panels


def curves() -> list[Axes]:
    """The step, the sigmoid and its derivative."""
    ax = new(4.4, 2.7, xlabel="$z$", title="The step, the sigmoid and its derivative")
    colors = palette_for(ax)
    z = np.linspace(-8, 8, 401)
    a, backward = sigmoid(z)
    ax.plot(z, step(z)[0], color=colors.pale, linestyle=":", label="step")
    ax.plot(z, a, color=colors.blue, linewidth=2.5, label=r"$\sigma(z)$")
    ax.plot(z, backward(np.ones_like(z)), color=colors.orange, label=r"$\sigma'(z)$, at most 1/4")
    ax.legend(frameon=False)
    return [ax]


def steps() -> list[Axes]:
    """The line of the neuron at the start, and after 10 and 100 steps with the squared error."""
    X, y = np.array(start()["X"]), np.array(start()["y"])
    panels, done = [], 0
    neuron = Network([Dense(2, 1), Activation("sigmoid")], dtype="float64")
    neuron.set_weights([{"W": np.reshape(start()["w"], (2, 1)), "b": [start()["b"]]}, {}])
    for n in (0, 10, 100):
        if n > done:
            train(neuron, X, y, optimizer=SGD(1.0), epochs=n - done, batch_size=None)
            done = n
        ax = scatter_labels(X, y, new(2.35, 2.5), f"after {n} steps: $C = {neuron.evaluate(X, y):.3f}$")
        ax.title.set_fontsize(9)
        learned_line(neuron, ax)
        ax.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
        panels.append(ax)
    return panels


def learned() -> list[Axes]:
    """The line learned from 100 points, and a neuron that fails on XOR."""
    X, _ = half_plane(100, seed=0)
    neuron, corners = fitted("half plane"), truth_table("xor")
    left = learned_line(neuron, scatter_predictions(neuron, X, new(3.2, 3.2), "One line separates the classes"))
    w, b = neuron.params[0]["W"][:, 0], neuron.params[0]["b"][0]
    for level in (0.1, 0.9):
        z = np.log(level / (1 - level))
        learned_line(_neuron(w, b - z, "sigmoid"), left)
        left.lines[-1].set(linestyle="--", linewidth=0.8)
    right = scatter_predictions(fitted("xor"), corners[0], new(3.2, 3.2), "XOR: every output is 0.50")
    for x, target in zip(*corners, strict=True):
        right.annotate(f"y = {target}", x, (8, 8), textcoords="offset points")
    right.set(xlim=(-0.5, 1.7), ylim=(-0.5, 1.7), xticks=[0, 1], yticks=[0, 1])
    return [left, right]


@cache
def fitted(name: str) -> Network:
    """Return a neuron that was trained on a data set."""
    X, y = half_plane(100, seed=0) if name == "half plane" else truth_table(name)
    neuron = Network([Dense(2, 1), Activation("sigmoid")], seed=0)
    train(neuron, X, y, optimizer=SGD(2.0), epochs=1500, batch_size=None, seed=0)
    return neuron


def _neuron(w: object, b: float, activation: str) -> Network:
    neuron = Network([Dense(2, 1), Activation(activation)])
    neuron.set_weights([{"W": np.reshape(w, (2, 1)), "b": [b]}, {}])
    return neuron
