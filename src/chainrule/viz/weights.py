"""The weights of the first layer as images."""

from math import ceil, sqrt

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import require
from chainrule.nn.layers import Dense
from chainrule.nn.network import Network
from chainrule.viz.style import figure_of, new_axes, palette_for


def weight_images(
    net: Network, shape: tuple[int, int], ax: Axes | None = None, title: str = "First-layer weights"
) -> Axes:
    """Draw the weights of each first-layer unit as an image of `shape`, (height, width).

    Negative weights are blue, positive ones orange, and 0 is transparent. Each image has its own scale.
    """
    first = net.layers[0]
    if not isinstance(first, Dense):
        raise ValueError(f"the first layer must be Dense, got {first}")
    height, width = shape
    require(height * width == first.n_in, "shape", f"have {first.n_in} pixels, one per input", shape)
    columns = ceil(sqrt(first.n_out * height / width))
    rows = ceil(first.n_out / columns)
    # Lines of NaN between the images stay transparent.
    mosaic = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for k, w in enumerate(net.params[0]["W"].T):
        top, left = k // columns * (height + 1), k % columns * (width + 1)
        mosaic[top : top + height, left : left + width] = w.reshape(shape) / (np.abs(w).max() or 1)
    ax = new_axes(ax, 6.0, 6.0 * mosaic.shape[0] / mosaic.shape[1] + 0.4)
    ax.imshow(mosaic, cmap=palette_for(figure_of(ax)).signs, vmin=-1, vmax=1)
    ax.set_title(title)
    ax.set_axis_off()
    return ax
