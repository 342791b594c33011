"""An animated decision boundary during training."""

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

_N_LAST_FRAMES = 10
"""How often the last frame is repeated before the animation restarts."""


def animate_boundary(
    file: str | PathLike[str],
    net: Network,
    weight_path: WeightPath,
    X: ArrayLike,
    y: ArrayLike,
    ax: Axes | None = None,
    *,
    frames: int = 60,
    fps: int = 10,
) -> Path:
    """Write a GIF of the decision boundary during training and return its path.

    Parameters
    ----------
    file : str or Path
        Must end in .gif.
    net : Network
        The trained network, which is not changed.
    weight_path : WeightPath
        The callback that recorded the training.
    X, y
        Points (n, 2) and their class numbers (n,).
    frames : int
        Maximum number of frames, spaced geometrically over the epochs, because most changes happen early. The first
        and the last recorded epoch are always included.
    fps : int
        Frames per second.
    """
    path = Path(file)
    require(path.suffix == ".gif", "file", "end in .gif", str(file))
    require_integer(frames, "frames", 2)
    require_integer(fps, "fps")
    close = ax is None
    ax = new_axes(ax)
    replayed = net.copy()
    recorded = np.unique(np.geomspace(1, len(weight_path.thetas), frames).round().astype(np.intp)) - 1
    figure, writer = figure_of(ax), PillowWriter(fps=fps)
    with writer.saving(figure, str(path), dpi=80):
        for k in recorded:
            replayed.theta = weight_path.thetas[k]
            ax.clear()
            decision_boundary(replayed, X, y, ax, f"Epoch {weight_path.epochs[k]}")
            writer.grab_frame()
            figure.set_layout_engine("none")  # the first frame has shown where everything fits
        for _ in range(_N_LAST_FRAMES):
            writer.grab_frame()
    if close:
        plt.close(figure)
    return path
