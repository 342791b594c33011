"""Curves of a training, epoch by epoch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from chainrule.arrays import require
from chainrule.training.history import History
from chainrule.viz.style import DASHES, add_legend, cut, new_axes, palette_for, require_kind

MOST_TOLD = 3
"""Trainings whose validation and kept epoch stand in the legend too."""


def loss_curves(
    histories: History | Mapping[str, History],
    ax: Axes | None = None,
    title: str = "loss",
    scale: str | None = None,
) -> Axes:
    """Draw the loss of each training by epoch: one history, or several by name.

    Validation losses, where there are some, are drawn thin in the same colour; a dot marks the epoch whose weights were
    kept, where it is not the last, and a cross at the top one whose loss is not finite. Of more than three trainings
    the legend has the names alone. `scale` is matplotlib's name of the axis's scale; None is "log" where every loss is
    above 0, else "linear".
    """
    named = histories if isinstance(histories, Mapping) else {"": histories}
    for history in named.values():
        require_kind(history, History, "histories", "what train returns, or several of it by name")
    require(bool(named) and all(map(len, named.values())), "histories", "hold an epoch each", list(named))
    ax = new_axes(ax, 6.4, 4.2)
    colours = palette_for(ax).classes
    for k, (name, history) in enumerate(named.items()):
        colour, n = colours[k % len(colours)], len(history)
        look: dict[str, Any] = {
            "color": colour,
            "linestyle": DASHES[k % len(DASHES)],
            "marker": "o" if n == 1 else None,
        }
        epochs, before = np.arange(1, n + 1), f"{cut(name)}, " if name else ""
        told = len(named) <= MOST_TOLD
        ax.plot(epochs, history.loss, linewidth=2, label=cut(name) or "training", **look)
        if history.validation_loss:
            label = f"{before}validation" if told else None
            ax.plot(epochs, history.validation_loss, linewidth=1, markerfacecolor="none", label=label, **look)
        if history.best_epoch is not None and history.best_epoch < n - 1:
            kept = (history.validation_loss or history.loss)[history.best_epoch]
            look["marker"] = "o"
            ax.plot([history.best_epoch + 1], [kept], markersize=7, label=f"{before}kept" if told else None, **look)
        lost = epochs[~np.isfinite(history.loss)]
        if len(lost):
            at_top: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False}
            ax.plot(lost, np.ones(len(lost)), "x", color=colour, label=f"{before}not finite", **at_top)
    losses = np.concatenate([history.loss + history.validation_loss for history in named.values()])
    positive = bool((losses[np.isfinite(losses)] > 0).all())
    ax.set(xlabel="epoch", ylabel="loss", title=title, yscale=scale or ("log" if positive else "linear"))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if max(map(len, named.values())) == 1:
        ax.set_xlim(0, 2)
    ax.grid(alpha=0.25)
    add_legend(ax)
    return ax
