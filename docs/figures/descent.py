"""Figures of `learn/descent.md`."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import Array
from chainrule.viz.style import DASHES, palette_for
from figures import new

_X, _Y = np.array([[1.0, 2.0], [2.0, -1.0]]), np.array([1.0, 0.0])
_START = np.array([0.5, -1.0, 0.25])
_CURVATURES = np.array([1.0, 10.0])


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with; `noise` is in units of its slider."""
    noise = np.random.default_rng(0).normal(size=(40, 2)).round(3).tolist()
    return {"t": [10, 1], "curvatures": [1, 10], "rate": 0.15, "momentum": 0, "steps": 40, "noise": noise}


def cost(theta: Array) -> float:
    """Return the cost of the neuron of `learn/neuron.md` at theta = (w1, w2, b)."""
    a = 1 / (1 + np.exp(-(_X @ theta[:2] + theta[2])))
    return float(((a - _Y) ** 2).mean() / 2)


def gradient(theta: Array) -> Array:
    """Return the gradient of `cost`."""
    a = 1 / (1 + np.exp(-(_X @ theta[:2] + theta[2])))
    delta = (a - _Y) * a * (1 - a)
    return np.append(_X.T @ delta, delta.sum()) / len(_X)


def tangent() -> list[Axes]:
    """The cost along one weight, with the tangent at the start."""
    ax = new(3.4, 2.8, xlabel="$w_2$", ylabel="$C$", title="The cost along one weight")
    colors = palette_for(ax)
    w = np.linspace(-3, 2, 201)
    ax.plot(w, [cost(_START + (value + 1) * np.eye(3)[1]) for value in w], color=colors.blue)
    slope = gradient(_START)[1]
    near = np.array([-1.8, -0.2])
    ax.plot(near, cost(_START) + slope * (near + 1), color=colors.orange, label=f"derivative {slope:.4f}")
    ax.plot([-1], [cost(_START)], "o", color=colors.ink)
    ax.legend(frameon=False)
    return [ax]


def fall() -> list[Axes]:
    """The fall of the cost in one step, by learning rate: predicted by the gradient, and true."""
    ax = new(3.6, 2.8, xlabel=r"learning rate $\eta$", ylabel="fall of $C$", title="How far to trust the gradient")
    colors = palette_for(ax)
    g = gradient(_START)
    rates = np.geomspace(0.3, 30, 60)
    ax.loglog(rates, rates * (g @ g), color=colors.orange, linestyle="--", label=r"$\eta \, \|\nabla C\|^2$")
    falls = [cost(_START) - cost(_START - rate * g) for rate in rates]
    ax.loglog(rates, falls, color=colors.blue, label="true fall")
    ax.legend(frameon=False)
    return [ax]


def valley() -> list[Axes]:
    """Forty steps in a narrow valley, for six learning rates."""
    panels = []
    for rate in (0.05, 0.1, 0.15, 0.19, 0.2, 0.21):
        ax = new(2.3, 1.9, title=rf"$\eta = {rate:g}$", xlabel=r"$\theta_1$", ylabel=r"$\theta_2$")
        contours(ax, 11, 1.6)
        path(ax, (10.0, 1.0), rate, 40)
        panels.append(ax)
    return panels


def contours(ax: Axes, x: float, y: float) -> None:
    """Draw the contours of C = (theta_1^2 + 10 theta_2^2) / 2."""
    grids = np.meshgrid(np.linspace(-x, x, 80), np.linspace(-y, y, 80))
    C = (grids[0] ** 2 + 10 * grids[1] ** 2) / 2
    ax.contour(*grids, C, levels=[1, 4, 10, 20, 35, 55], colors=[palette_for(ax).pale], linewidths=0.6)
    ax.set(xlim=(-x, x), ylim=(-y, y))


def path(ax: Axes, start: tuple[float, float], rate: float, steps: int) -> None:
    """Draw steps of gradient descent on those contours."""
    t = [np.array(start)]
    for _ in range(steps):
        t.append(t[-1] - rate * _CURVATURES * t[-1])
    ax.plot(*np.transpose(t), color=palette_for(ax).blue, linestyle=DASHES[0], marker="o", markersize=2, linewidth=0.9)
