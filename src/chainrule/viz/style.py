"""Colours that hold in print, on light and dark ground and for the colour-blind, and the Axes that are drawn on.

Colour is never alone: classes differ in their markers too, curves in their dashes, edges in their labels.
"""

from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgba
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

    @property
    def shades(self) -> LinearSegmentedColormap:
        """From the bare ground to a blue on which ink can still be read."""
        return LinearSegmentedColormap.from_list("shades", [to_rgba(self.blue, 0.0), to_rgba(self.blue, 0.6)])

    @property
    def signs(self) -> LinearSegmentedColormap:
        """From blue, negative, through the bare ground, 0, to orange, positive."""
        halves = [
            to_rgba(self.blue, 1.0),
            to_rgba(self.blue, 0.0),
            to_rgba(self.orange, 0.0),
            to_rgba(self.orange, 1.0),
        ]
        return LinearSegmentedColormap.from_list("signs", list(zip((0.0, 0.5, 0.5, 1.0), halves)))


ON_LIGHT = Palette("#1a1a1a", "#8c8c8c", "#1d4e89", "#00a080", "#be3ad6", "#a61b29", "#b88600")
ON_DARK = Palette("#f2f2f2", "#8c8c8c", "#4a86c4", "#22ddb5", "#c93cf8", "#e4473c", "#f6bc22")
ON_EITHER = Palette("#808080", "#808080", "#036df8", "#07834a", "#ba3fb8", "#fd2b5c", "#b6790f")

MARKERS = ("o", "s", "^", "D", "v")
DASHES = ("-", "--", "-.", ":")
NOTHING = (0.0, 0.0, 0.0, 0.0)
"""The colour of no ground."""
MOST_LETTERS = 24
"""Letters of a name that are shown."""
MOST_POINTS = 2_000
"""Points that are drawn: what is more hides itself, and makes a file large."""


def new_axes(ax: Axes | None, width: float = 5.0, height: float = 5.0) -> Axes:
    """Return the Axes itself, or those of a new figure of this size in inches."""
    if ax is not None:
        return ax
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def palette_for(place: Axes | Figure) -> Palette:
    """Return the colours to be seen on the ground there; on none, colours for light and dark, and the ink of text."""
    red, green, blue, opacity = ground_of(place)
    if opacity == 0:
        return replace(ON_EITHER, ink=to_hex(plt.rcParams["text.color"]))
    return ON_DARK if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else ON_LIGHT


def ground_of(place: Axes | Figure) -> tuple[float, float, float, float]:
    """Return the colour that is behind everything: the Axes' own or, where that lets all through, its figure's."""
    red, green, blue, opacity = to_rgba(place.get_facecolor()) if place.patch.get_visible() else NOTHING
    if opacity == 0 and isinstance(place, Axes):
        return ground_of(figure_of(place))
    return red, green, blue, opacity


def figure_of(ax: Axes) -> Figure:
    """Return the figure that the Axes are part of."""
    return ax.figure.figure


def cut(name: object, most: int = MOST_LETTERS) -> str:
    """Return a name, or where it is long its beginning and its end; dollar signs are no formulas."""
    text = " ".join(str(name).split())
    if len(text) > most:
        end = most // 3
        text = f"{text[: most - end - 1]}\N{HORIZONTAL ELLIPSIS}{text[-end:]}"
    return text.replace("$", r"\$")


def points_across(ax: Axes) -> float:
    """Return the shorter side of Axes, in points."""
    extent = ax.get_window_extent()
    return float(min(extent.width, extent.height)) * 72 / figure_of(ax).dpi


def add_legend(ax: Axes, loc: str = "best", title: str | None = None) -> None:
    """Add a legend on a thin veil of ground; in small Axes its text is small."""
    size, ground = min(9.0, points_across(ax) / 22), ground_of(ax)
    look: dict[str, Any] = {"loc": loc, "alignment": "left", "fontsize": size, "title_fontsize": size}
    ax.legend(title=title, frameon=ground[3] > 0, facecolor=ground, framealpha=0.7, edgecolor="none", **look)


def some_of(n: int) -> Array:
    """Return the numbers of the points, out of n, that are drawn: always the same ones."""
    return np.sort(np.random.default_rng(0).permutation(n)[:MOST_POINTS]) if n > MOST_POINTS else np.arange(n)


def spread_over(n: int, most: int = MOST_POINTS) -> Array:
    """Return at most so many of the numbers 0 to n - 1, evenly spaced, both ends among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.intp))


def require_kind(value: object, kind: type, argument: str, source: str) -> None:
    """Raise ValueError, which tells where such a value comes from, unless it is of its kind."""
    if not isinstance(value, kind):
        raise ValueError(f"{argument} must be {source}, got {type(value).__name__}")


def require_plane(X: Array) -> None:
    """Raise ValueError unless `X` holds points of the plane."""
    require(X.ndim == 2 and X.shape[1] == 2 and len(X) > 0, "X", "hold points of the plane, (n, 2)", X.shape)
