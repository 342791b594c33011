"""Figures of `learn/learning-curves.md`."""

import json
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule import SGD, Adam, diagnose, mlp, train
from chainrule.arrays import Array
from chainrule.datasets import disc, spiral
from chainrule.training.history import History
from chainrule.viz.style import palette_for
from figures import new
from figures.overfitting import flipped

SETTINGS: dict[str, list[Any]] = {
    "learning rate": [0.001, 0.01, 0.1, 1, 5],
    "wrong labels": ["0 %", "10 %", "20 %"],
    "hidden units": [2, 8, 64],
}
EPOCHS = 100
RUNS = Path(__file__).with_suffix(".json")
"""A run for each combination of the settings; `python -m figures.learning_curves` writes it, in the folder docs."""


def start() -> dict[str, Any]:
    """Return what the figure to play with shows."""
    shown = dict(zip(SETTINGS, (2, 1, 1), strict=True))
    return {"settings": SETTINGS, "shown": shown, "epochs": EPOCHS, "runs": json.loads(RUNS.read_text())}


def setting_run(i: int, j: int, k: int) -> dict[str, Any]:
    """Train with the settings at these places; return the losses of every second epoch and what `diagnose` finds."""
    rate, wrong, width = (values[place] for values, place in zip(SETTINGS.values(), (i, j, k), strict=True))
    parts = []
    for seed, n in ((0, 60), (1, 400)):
        X, y = disc(n, seed=seed)
        flips = np.random.default_rng(seed).permutation(n)[: n * int(wrong.split()[0]) // 100]
        y[flips] = 1 - y[flips]
        parts.append((X, y))
    (X, y), validation = parts
    net = mlp(2, width, 2, activation="relu", loss="cross_entropy", seed=0)
    options: dict[str, Any] = {"optimizer": SGD(rate, momentum=0.9), "epochs": EPOCHS, "batch_size": 20}
    history = train(net, X, y, **options, validation=validation, kernels="numpy", seed=0)
    findings = dict.fromkeys(finding.kind for finding in diagnose(net, X, y, history))
    losses = {"loss": history.loss[::2], "validation": history.validation_loss[::2]}
    return {name: [round(loss, 3) for loss in values] for name, values in losses.items()} | {"findings": [*findings]}


def dials() -> list[Axes]:
    """Three of the runs of the figure to play with: learning rates that are too low, good, and too high."""
    panels = []
    for place in (0, 2, 4):
        run = start()["runs"][f"{place} 1 1"]
        ax = new(2.35, 2.1, title=f"rate {SETTINGS['learning rate'][place]}", xlabel="epoch", ylim=(0, 2))
        epochs = range(0, EPOCHS, 2)
        ax.plot(epochs, run["loss"], color=palette_for(ax).blue, linewidth=1.2)
        ax.plot(epochs, run["validation"], color=palette_for(ax).orange, linestyle="--", linewidth=1.2)
        panels.append(ax)
    return panels


def healthy() -> list[Axes]:
    """A curve as it should be, on a linear and on a logarithmic axis."""
    panels = []
    for scale in ("linear", "log"):
        ax = _draw(new(3.3, 2.6), "healthy", f"A good run, {scale} axis")
        ax.set_yscale(scale)
        panels.append(ax)
    panels[0].legend(frameon=False, fontsize=8)
    return panels


def field_guide() -> list[Axes]:
    """Eight curves with a problem each."""
    titles = {
        "rate too low": "1. Flat at ln 3",
        "no scaling": "2. Noise around ln 2",
        "rate too high": "3. Zigzag",
        "too small": "4. Both stay high",
        "overfitting": "5. The turn",
        "gap": "6. A gap",
        "dead units": "7. A spike, then flat",
        "dropout": "8. Validation lower",
    }
    panels = [_draw(new(1.8, 1.9), run, title) for run, title in titles.items()]
    for ax in panels:
        ax.set_ylim(bottom=0)
    return panels


def seeds() -> list[Axes]:
    """Validation curves of ten seeds for two settings."""
    ax = new(4.6, 2.8, xlabel="epoch", ylabel="validation loss", title="Ten seeds of two settings", yscale="log")
    colors = palette_for(ax)
    for width, color, dash in ((8, colors.orange, "--"), (10, colors.blue, "-")):
        for seed in range(10):
            losses = _seed_run(width, seed).validation_loss
            ax.plot(losses, color=color, linestyle=dash, linewidth=0.8, label=f"{width} units" if seed == 0 else None)
    ax.legend(frameon=False)
    return [ax]


def _draw(ax: Axes, run: str, title: str) -> Axes:
    history, colors = history_of(run), palette_for(ax)
    epochs = np.arange(1, len(history) + 1)
    ax.plot(epochs, history.loss, color=colors.blue, linewidth=1.2, label="training")
    ax.plot(epochs, history.validation_loss, color=colors.orange, linestyle="--", linewidth=1.2, label="validation")
    ax.set_title(title, fontsize=9)
    ax.set_xlabel("epoch")
    return ax


@cache
def history_of(run: str) -> History:
    """Return the history of one of the runs of the page."""
    X, y = spiral(100, arms=3, seed=0)
    held_out = spiral(100, arms=3, seed=1)
    discs, more = disc(300, seed=0), disc(300, seed=1)
    wide: dict[str, Any] = {"sizes": (2, 50, 3), "optimizer": SGD(0.5), "rows": (X, y), "validation": held_out}
    runs: dict[str, dict[str, Any]] = {
        "healthy": wide | {"epochs": 100},
        "rate too low": wide | {"optimizer": SGD(1e-4)},
        "no scaling": {
            "sizes": (2, 16, 2),
            "activation": "tanh",
            "optimizer": SGD(0.1, momentum=0.9),
            "rows": (discs[0] * [1, 1000], discs[1]),
            "validation": (more[0] * [1, 1000], more[1]),
        },
        "rate too high": wide | {"optimizer": SGD(2.0, momentum=0.8)},
        "too small": wide | {"sizes": (2, 2, 3)},
        "overfitting": {
            "sizes": (2, 64, 64, 2),
            "optimizer": Adam(0.01),
            "rows": flipped(80, 0),
            "validation": flipped(1000, 1),
            "epochs": 90,
        },
        "gap": wide | {"rows": (X[::6], y[::6]), "optimizer": Adam(0.01), "epochs": 150},
        "dead units": {
            "sizes": (2, 30, 1),
            "loss": "squared_error",
            "optimizer": SGD(0.5, momentum=0.8),
            "rows": _waves(200, 0),
            "validation": _waves(200, 1),
        },
        "dropout": wide | {"sizes": (2, 100, 3), "dropout": 0.5, "optimizer": Adam(0.01)},
    }
    options = runs[run]
    options = {"activation": "relu", "dropout": 0.0, "loss": "cross_entropy", "epochs": 60} | options
    (X, y), sizes = options.pop("rows"), options.pop("sizes")
    net = mlp(*sizes, **{name: options.pop(name) for name in ("activation", "dropout", "loss")}, seed=0)
    return train(net, X, y, batch_size=32, seed=0, **options)


def _waves(n: int, seed: int) -> tuple[Array, Array]:
    X = np.random.default_rng(seed).uniform(-1, 1, (n, 2))
    return X, 3 * np.sin(3 * X[:, 0]) + X[:, 1]


@cache
def _seed_run(width: int, seed: int) -> History:
    X, y = disc(300, seed=0)
    net = mlp(2, width, 2, activation="relu", loss="cross_entropy", seed=seed)
    options = {"optimizer": Adam(0.01), "epochs": 60, "batch_size": 32, "validation": disc(300, seed=1)}
    return train(net, X, y, **options, seed=seed)


if __name__ == "__main__":
    places = product(*(range(len(values)) for values in SETTINGS.values()))
    RUNS.write_text(
        json.dumps({" ".join(map(str, place)): setting_run(*place) for place in places}, separators=(",", ":")) + "\n"
    )
