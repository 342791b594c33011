"""A boundary that forms: the plane of a network's decisions, epoch by epoch, as a moving picture."""

from os import PathLike
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from chainrule.arrays import require, require_integer
from chainrule.insight.recording import WeightPath
from chainrule.nn.network import Network
from chainrule.viz.planes import decision_boundary
from chainrule.viz.style import figure_of, new_axes

LAST_FRAMES = 10
"""Times the last picture is shown before the first comes again."""


def animate_boundary(
    file: str | PathLike[str],
    net: Network,
    way: WeightPath,
    X: ArrayLike,
    y: ArrayLike,
    ax: Axes | None = None,
    *,
    frames: int = 60,
    per_second: int = 10,
) -> Path:
    """Write a GIF of the decision boundary as the weights went their way, and return its path.

    Parameters
    ----------
    file : str or Path
        Ends in .gif.
    net : Network
        The one that was trained; not changed.
    way : WeightPath
        The callback that has watched the training.
    X, y
        Points (n, 2) and their class numbers (n,).
    frames : int
        Most pictures: most of them early, where most happens, the first and the last among them.
    per_second : int
    """
    path = Path(file)
    require(path.suffix == ".gif", "file", "end in .gif", str(file))
    require_integer(frames, "frames", 2)
    require_integer(per_second, "per_second")
    own = ax is None
    ax = new_axes(ax)
    moving = net.copy()
    pictures = np.unique(np.geomspace(1, len(way.thetas), frames).round().astype(np.intp)) - 1
    writer = PillowWriter(fps=per_second)
    with writer.saving(figure_of(ax), str(path), dpi=80):
        for k in [*pictures, *[pictures[-1]] * LAST_FRAMES]:
            moving.theta = way.thetas[k]
            ax.clear()
            decision_boundary(moving, X, y, ax, f"epoch {way.epochs[k]}")
            writer.grab_frame()
    if own:
        plt.close(figure_of(ax))
    return path
