"""What a network's first layer looks for, as pictures."""

from math import ceil, sqrt

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import require
from chainrule.nn.layers import Dense
from chainrule.nn.network import Network
from chainrule.viz.style import figure_of, new_axes, palette_for


def weight_images(
    net: Network, shape: tuple[int, int], ax: Axes | None = None, title: str = "first-layer weights"
) -> Axes:
    """Draw each first-layer unit's weights as an image of `shape`, (height, width): blue where negative, orange where
    positive, pale at 0. Each image has its own scale.
    """
    first = net.layers[0]
    if not isinstance(first, Dense):
        raise ValueError(f"the first layer must be Dense, got {first}")
    height, width = shape
    require(height * width == first.n_in, "shape", f"hold the first layer's {first.n_in} inputs", shape)
    columns = ceil(sqrt(first.n_out * height / width))
    rows = ceil(first.n_out / columns)
    # The lines of NaN between the images let the ground through.
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for k, w in enumerate(net.params[0]["W"].T):
        top, left = k // columns * (height + 1), k % columns * (width + 1)
        sheet[top : top + height, left : left + width] = w.reshape(shape) / (np.abs(w).max() or 1)
    ax = new_axes(ax, 6.0, 6.0 * sheet.shape[0] / sheet.shape[1] + 0.4)
    ax.imshow(sheet, cmap=palette_for(figure_of(ax)).signs, vmin=-1, vmax=1)
    ax.set_title(title)
    ax.set_axis_off()
    return ax
