"""Learning curves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from chainrule.arrays import require
from chainrule.training.history import History
from chainrule.viz.style import DASHES, add_legend, new_axes, palette_for, require_type, shorten

_MAX_DETAILED = 3
"""Number of histories up to which the legend also lists validation curves and best epochs."""


def loss_curves(
    histories: History | Mapping[str, History],
    ax: Axes | None = None,
    title: str = "Learning curves",
    scale: str | None = None,
) -> Axes:
    """Draw the loss by epoch of one history, or of several by name.

    Validation losses are thinner lines in a color of their own, or in the color of the training loss if there are more
    than two histories. A dot marks the best epoch, unless it is the last, and a cross at the top each epoch whose loss
    is not finite. With more than three histories, the legend lists only their names. `scale` is a matplotlib axis
    scale; None is "log" if every loss is > 0, else "linear".
    """
    named = histories if isinstance(histories, Mapping) else {"": histories}
    for history in named.values():
        require_type(history, History, "histories", "a History, as returned by train, or a dict of them")
    require(bool(named) and all(map(len, named.values())), "histories", "contain at least one epoch each", list(named))
    ax = new_axes(ax, 6.4, 4.2)
    colors = palette_for(ax).classes
    detailed = len(named) <= _MAX_DETAILED
    paired = len(named) <= 2 and any(history.validation_loss for history in named.values())
    for k, (name, history) in enumerate(named.items()):
        n, first = len(history), 2 * k if paired else k
        color = colors[first % len(colors)]
        validation_color = colors[first + 1] if paired else color
        look: dict[str, Any] = {"linestyle": DASHES[k % len(DASHES)], "marker": "o" if n == 1 else None}
        epochs, prefix = np.arange(1, n + 1), f"{shorten(name)}, " if name else ""
        ax.plot(epochs, history.loss, linewidth=2, color=color, label=shorten(name) or "training", **look)
        if history.validation_loss:
            label = f"{prefix}validation" if detailed else None
            look |= {"color": validation_color, "markerfacecolor": "none"}
            ax.plot(epochs, history.validation_loss, linewidth=1, label=label, **look)
        if history.best_epoch is not None and history.best_epoch < n - 1:
            best = (history.validation_loss or history.loss)[history.best_epoch]
            best_color = validation_color if history.validation_loss else color
            label = f"{prefix}best epoch" if detailed else None
            ax.plot([history.best_epoch + 1], [best], "o", markersize=7, color=best_color, label=label)
        not_finite = epochs[~np.isfinite(history.loss)]
        if len(not_finite):
            at_top: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False}
            ones = np.ones(len(not_finite))
            ax.plot(not_finite, ones, "x", color=color, label=f"{prefix}not finite", **at_top)
    losses = np.concatenate([history.loss + history.validation_loss for history in named.values()])
    positive = bool((losses[np.isfinite(losses)] > 0).all())
    ax.set(xlabel="Epoch", ylabel="Loss", title=title, yscale=scale or ("log" if positive else "linear"))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if max(map(len, named.values())) == 1:
        ax.set_xlim(0, 2)
    ax.grid(alpha=0.25)
    add_legend(ax)
    return ax
