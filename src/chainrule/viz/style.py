"""The palette, which suits print, light and dark backgrounds and color-blind readers, and helpers for Axes.

Color is never the only cue: classes also differ in their markers, curves in their dashes, edges in their labels.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgba
from matplotlib.figure import Figure

from chainrule.arrays import Array, require


@dataclass(frozen=True)
class Palette:
    """An ink, a paler ink, and five colors that are distinguishable with every kind of color vision."""

    ink: str
    pale: str
    blue: str
    green: str
    purple: str
    red: str
    orange: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Colors of classes 0, 1, 2, ..., the most different ones first."""
        return self.blue, self.orange, self.green, self.purple, self.red

    @property
    def scale(self) -> LinearSegmentedColormap:
        """From the color of class 0 through gray to that of class 1."""
        return LinearSegmentedColormap.from_list("class 0 to class 1", [self.blue, "#9a9a9a", self.orange])

    @property
    def shades(self) -> LinearSegmentedColormap:
        """From transparent to a blue on which ink is still legible."""
        return LinearSegmentedColormap.from_list("shades", [to_rgba(self.blue, 0.0), to_rgba(self.blue, 0.6)])

    @property
    def signs(self) -> LinearSegmentedColormap:
        """From blue for negative values through transparent at 0 to orange for positive ones."""
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
MAX_NAME_LENGTH = 24
"""Characters of a name that are shown."""
MAX_POINTS = 2_000
"""Points drawn at most: more would hide one another and make large files."""
_TRANSPARENT = (0.0, 0.0, 0.0, 0.0)


def new_axes(ax: Axes | None, width: float = 5.0, height: float = 5.0) -> Axes:
    """Return `ax`, or the Axes of a new figure of this size in inches if it is None."""
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    vars(ax)["_ipython_display_"] = partial(_show_figure, ax)
    return ax


def _show_figure(ax: Axes) -> None:
    """Show the figure, not the name of its Axes, in IPython; `%matplotlib inline` itself shows those that are open."""
    figure = figure_of(ax)
    if not plt.fignum_exists(getattr(figure, "number", -1)):
        import_module("IPython.display").display(figure)


def palette_for(target: Axes | Figure) -> Palette:
    """Return the palette for the background of Axes or a figure.

    For a transparent background it suits light and dark, with rcParams["text.color"] as ink.
    """
    red, green, blue, opacity = _background_of(target)
    if opacity == 0:
        return replace(ON_EITHER, ink=to_hex(plt.rcParams["text.color"]))
    return ON_DARK if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else ON_LIGHT


def _background_of(target: Axes | Figure) -> tuple[float, float, float, float]:
    """Return the background color: that of the Axes or, if they are transparent, of their figure."""
    red, green, blue, opacity = to_rgba(target.get_facecolor()) if target.patch.get_visible() else _TRANSPARENT
    if opacity == 0 and isinstance(target, Axes):
        return _background_of(figure_of(target))
    return red, green, blue, opacity


def figure_of(ax: Axes) -> Figure:
    """Return the figure that contains the Axes."""
    return ax.figure.figure


def shorten(name: object, max_length: int = MAX_NAME_LENGTH) -> str:
    """Return a name with its middle elided if it is long, and with dollar signs escaped."""
    text = " ".join(str(name).split())
    if len(text) > max_length:
        end = max_length // 3
        text = f"{text[: max_length - end - 1]}\N{HORIZONTAL ELLIPSIS}{text[-end:]}"
    return text.replace("$", r"\$")


def shorter_side(ax: Axes) -> float:
    """Return the length of the shorter side of Axes, in points."""
    extent = ax.get_window_extent()
    return float(min(extent.width, extent.height)) * 72 / figure_of(ax).dpi


def shorten_equation(sides: tuple[str, str], max_length: int) -> str:
    """Return "name = value", or the name alone if the value is empty, with the middle of each elided if it is long."""
    name, value = sides
    if not value:
        return shorten(name, max_length)
    room = max_length - len(" = ")
    for_value = max(room // 3, room - len(name))
    return f"{shorten(name, room - min(len(value), for_value))} = {shorten(value, for_value)}"


def label_ticks(
    axis: Axis,
    names: Iterable[object],
    max_length: int = MAX_NAME_LENGTH,
    shorten: Callable[[Any, int], str] = shorten,
) -> None:
    """Label positions 0, 1, 2, ... of an axis, in text as large and long as fits."""
    names, is_x = list(names), axis is axis.axes.xaxis
    extent = axis.axes.get_window_extent()
    along, across = (extent.width, extent.height) if is_x else (extent.height, extent.width)
    points = 72 / figure_of(axis.axes).dpi
    room = along * points / len(names)
    size = min(10.0, 0.85 * room)
    max_length = max(8, min(max_length, int(0.75 * across * points / size)))
    labels = [shorten(name, max_length) for name in names]
    while len(set(labels)) < len(set(names)) and max_length < MAX_NAME_LENGTH:
        max_length += 1
        labels = [shorten(name, max_length) for name in names]
    axis.set_ticks(np.arange(len(labels)), labels, fontsize=size)
    if is_x and 0.6 * size * max(map(len, labels)) > room:
        axis.set_tick_params(rotation=90)


def add_legend(ax: Axes, loc: str = "best", title: str | None = None) -> None:
    """Add a legend on a translucent background; its text shrinks with the Axes."""
    size, background = min(9.0, shorter_side(ax) / 22), _background_of(ax)
    look: dict[str, Any] = {"loc": loc, "alignment": "left", "fontsize": size, "title_fontsize": size}
    ax.legend(title=title, frameon=background[3] > 0, facecolor=background, framealpha=0.7, edgecolor="none", **look)


def subsample(n: int) -> Array:
    """Return the indices of at most `MAX_POINTS` of n points, drawn with a fixed seed."""
    return np.sort(np.random.default_rng(0).permutation(n)[:MAX_POINTS]) if n > MAX_POINTS else np.arange(n)


def evenly_spaced(n: int, max_size: int = MAX_POINTS) -> Array:
    """Return at most `max_size` evenly spaced integers from 0 to n - 1, including both ends."""
    return np.unique(np.linspace(0, n - 1, min(n, max_size)).round().astype(np.intp))


def require_type(value: object, kind: type, argument: str, expected: str) -> None:
    """Raise ValueError, which describes the expected value, unless `value` is of type `kind`."""
    if not isinstance(value, kind):
        raise ValueError(f"{argument} must be {expected}, got {type(value).__name__}")


def require_points(X: Array) -> None:
    """Raise ValueError unless `X` is a non-empty array of points in the plane."""
    require(X.ndim == 2 and X.shape[1] == 2 and len(X) > 0, "X", "have shape (n, 2) with n >= 1", X.shape)
