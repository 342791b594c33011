"""Colours that hold in print, on light and dark ground and for the colour-blind, and the Axes that are drawn on.

Colour is never alone: classes differ in their markers too, curves in their dashes, edges in their labels.
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from chainrule.arrays import Array, require


@dataclass(frozen=True)
class Palette:
    """The ink, its pale form, and five colours told apart with any kind of colour vision."""

    ink: str
    pale: str
    blue: str
    green: str
    purple: str
    red: str
    orange: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Colours of classes 0, 1, 2 ..., from the furthest apart on."""
        return self.blue, self.orange, self.green, self.purple, self.red

    @property
    def scale(self) -> LinearSegmentedColormap:
        """From class 0's colour through grey to class 1's."""
        return LinearSegmentedColormap.from_list("class 0 to class 1", [self.blue, "#9a9a9a", self.orange])


ON_LIGHT = Palette("#1a1a1a", "#8c8c8c", "#1d4e89", "#00a080", "#be3ad6", "#a61b29", "#b88600")
ON_DARK = Palette("#f2f2f2", "#8c8c8c", "#4a86c4", "#22ddb5", "#c93cf8", "#e4473c", "#f6bc22")

MARKERS = ("o", "s", "^", "D", "v")
DASHES = ("-", "--", "-.", ":")


def new_axes(ax: Axes | None, width: float = 5.0, height: float = 5.0) -> Axes:
    """Return the Axes itself, or those of a new figure of this size in inches."""
    if ax is not None:
        return ax
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def palette_for(ground: Axes | Figure) -> Palette:
    """Return the colours to be seen on this ground."""
    red, green, blue, opacity = to_rgba(ground.get_facecolor())
    if opacity == 0 and isinstance(ground, Axes):
        return palette_for(figure_of(ground))
    return ON_DARK if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else ON_LIGHT


def figure_of(ax: Axes) -> Figure:
    """Return the figure that the Axes are part of."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def require_plane(X: Array) -> None:
    """Raise ValueError unless `X` holds points of the plane."""
    require(X.ndim == 2 and X.shape[1] == 2 and len(X) > 0, "X", "hold points of the plane, (n, 2)", X.shape)
