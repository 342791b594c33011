"""Curves of a training, epoch by epoch."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import require
from chainrule.training.history import History
from chainrule.viz.style import DASHES, new_axes, palette_for


def loss_curves(
    histories: History | Mapping[str, History],
    ax: Axes | None = None,
    title: str = "loss",
    scale: str = "log",
) -> Axes:
    """Draw the loss of each training by epoch: one history, or several by name.

    Validation losses, where there are some, are drawn thin in the same colour. `scale` is matplotlib's name of the
    axis's scale, "log" or "linear".
    """
    named = {"training": histories} if isinstance(histories, History) else dict(histories)
    require(bool(named) and all(map(len, named.values())), "histories", "hold an epoch each", list(named))
    ax = new_axes(ax, 6.4, 4.2)
    colours = palette_for(ax).classes
    for k, (name, history) in enumerate(named.items()):
        colour, dash = colours[k % len(colours)], DASHES[k % len(DASHES)]
        epochs = np.arange(1, len(history) + 1)
        ax.plot(epochs, history.loss, color=colour, linestyle=dash, linewidth=2, label=name)
        if history.validation_loss:
            ax.plot(
                epochs, history.validation_loss, color=colour, linestyle=dash, linewidth=1, label=f"{name}, validation"
            )
    ax.set(xlabel="epoch", ylabel="loss", title=title, yscale=scale)
    ax.grid(alpha=0.25)
    ax.legend(frameon=False)
    return ax
