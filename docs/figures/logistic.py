"""Figures of `learn/logistic.md`."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import SGD, Network, datasets, mlp, train
from chainrule.arrays import Array
from chainrule.viz import learned_line, scatter_labels
from chainrule.viz.style import palette_for
from figures import new


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with: the penguins, centered, and a neuron that knows nothing."""
    X, y, mean = measurements()
    return {"X": (X - mean).round(3).tolist(), "y": y.tolist(), "parameters": [0, 0, 0], "rate": 0.5}


def losses() -> list[Axes]:
    """Squared error and cross-entropy of a row with y = 1, and their derivatives, over z."""
    z = np.linspace(-8, 6, 281)
    a = 1 / (1 + np.exp(-z))
    left = new(title="Loss of a row with $y = 1$", xlabel="$z$", ylabel="$L$")
    right = new(title=r"Its derivative $\delta$", xlabel="$z$", ylabel=r"$\partial L / \partial z$")
    colors = palette_for(left)
    left.plot(z, -np.log(a), color=colors.blue, label="cross-entropy")
    left.plot(z, (a - 1) ** 2 / 2, color=colors.orange, linestyle="--", label="squared error")
    right.plot(z, a - 1, color=colors.blue)
    right.plot(z, (a - 1) * a * (1 - a), color=colors.orange, linestyle="--")
    left.legend(frameon=False)
    return [left, right]


def valleys() -> list[Axes]:
    """Both costs of two rows along the weight w2."""
    ax = new(4.6, 2.8, title="Both costs along one weight", xlabel="$w_2$", ylabel="$C$")
    colors = palette_for(ax)
    w = np.linspace(-8, 8, 321)
    a = 1 / (1 + np.exp(-np.stack([0.5 + 2 * w + 0.25, 1.0 - w + 0.25])))
    right = np.stack([a[0], 1 - a[1]])
    ax.plot(w, -np.log(right).mean(axis=0), color=colors.blue, label="cross-entropy")
    ax.plot(w, ((1 - right) ** 2 / 2).mean(axis=0), color=colors.orange, linestyle="--", label="squared error")
    ax.legend(frameon=False)
    return [ax]


def penguins() -> list[Axes]:
    """The probability of "male" over the body mass of penguins with bills of average depth."""
    X, y, _ = measurements()
    ax = new(4.6, 2.8, xlabel="body mass in kg", ylabel="probability of male", title="Penguins with average bills")
    colors = palette_for(ax)
    W, b = neuron().params[0]["W"][:, 0], neuron().params[0]["b"][0]
    mass = np.linspace(2.7, 6.4, 200)
    ax.plot(mass, 1 / (1 + np.exp(-(W[0] * (mass - X[:, 0].mean()) + b))), color=colors.blue)
    jitter = np.random.default_rng(0).uniform(-0.04, 0.04, len(y))
    ax.plot(X[:, 0], y + jitter, ".", color=colors.orange, markersize=3, alpha=0.6)
    return [ax]


def line() -> list[Axes]:
    """The penguins and the line of the neuron."""
    X, y, mean = measurements()
    ax = scatter_labels(X - mean, y, new(4.2, 3.4), "Male penguins, orange, and female ones")
    ax.set(xlabel="body mass in kg, less its mean", ylabel="bill depth in mm, less its mean")
    limits = ax.get_xlim(), ax.get_ylim()
    learned_line(neuron(), ax)
    ax.set(xlim=limits[0], ylim=limits[1])
    return [ax]


@cache
def measurements() -> tuple[Array, Array, Array]:
    """Return body mass in kg and bill depth in mm of each penguin, whether it is male, and the mean of the columns."""
    table = datasets.penguins()
    known = table["sex"] != ""
    X = np.column_stack([table["body_mass_g"] / 1000, table["bill_depth_mm"]])[known]
    return X, (table["sex"][known] == "male").astype(int), X.mean(axis=0)


@cache
def neuron() -> Network:
    """Return the neuron that the page fits."""
    X, y, mean = measurements()
    net = mlp(2, 1, loss="binary_cross_entropy", weights="zeros")
    train(net, X - mean, y, optimizer=SGD(0.5), epochs=2000, batch_size=None)
    return net
