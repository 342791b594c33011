"""Figures of `learn/optimizers.md`."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import SGD, Adam, RMSProp
from chainrule.schedules import Cosine, Exponential, OneCycle, Step
from chainrule.training.optimizers import Optimizer
from chainrule.viz.style import palette_for
from figures import new
from figures.descent import contours

_CURVATURES = np.array([1.0, 10.0])


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with: the four optimizers of the still picture."""
    racers = [
        {"name": "SGD", "rule": "momentum", "momentum": 0, "rate": 0.15},
        {"name": "momentum 0.8", "rule": "momentum", "momentum": 0.8, "rate": 0.05},
        {"name": "RMSProp", "rule": "rmsprop", "rate": 0.5},
        {"name": "Adam", "rule": "adam", "rate": 0.8},
    ]
    return {"t": [10, 1], "curvature": 10, "steps": 30, "racers": racers}


def valley() -> list[Axes]:
    """Thirty steps of four optimizers in the valley."""
    panels = []
    optimizers: dict[str, Optimizer] = {
        "SGD(0.15)": SGD(0.15),
        "SGD(0.05, momentum=0.8)": SGD(0.05, momentum=0.8),
        "RMSProp(0.5)": RMSProp(0.5),
        "Adam(0.8)": Adam(0.8),
    }
    for name, optimizer in optimizers.items():
        ax = new(3.4, 2.1, title=name, xlabel=r"$\theta_1$", ylabel=r"$\theta_2$")
        contours(ax, 11, 1.6)
        theta = np.array([10.0, 1.0])
        steps = [theta.copy()]
        for _ in range(30):
            optimizer.step(theta, _CURVATURES * theta)
            steps.append(theta.copy())
        ax.plot(*np.transpose(steps), color=palette_for(ax).blue, marker="o", markersize=2.5, linewidth=0.9)
        panels.append(ax)
    return panels


def schedules() -> list[Axes]:
    """The learning rate by epoch, for four schedules."""
    ax = new(4.6, 2.6, xlabel="epoch", ylabel="factor of the learning rate", title="Schedules for 60 epochs")
    colors = palette_for(ax)
    epochs = np.linspace(0, 60, 241)
    shown = {
        "step": (Step(every=20), colors.pale, ":"),
        "exponential": (Exponential(), colors.orange, "--"),
        "cosine": (Cosine(), colors.blue, "-"),
        "one cycle": (OneCycle(), colors.green, "-."),
    }
    for name, (schedule, color, dash) in shown.items():
        ax.plot(epochs, [schedule(e, e / 60) for e in epochs], color=color, linestyle=dash, label=name)
    ax.legend(frameon=False)
    return [ax]
