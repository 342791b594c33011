"""A sheet for diagrams: circles, arrows, braces and formulas in one unit, so that a picture looks alike at any size."""

from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, PathPatch
from matplotlib.path import Path
from matplotlib.text import Text

from chainrule.arrays import Array
from chainrule.viz.style import figure_of, new_axes, palette_for

Point = tuple[float, float]

MATH_FONT = "stix"
LARGEST_INCHES = 10.0


class Canvas:
    """Axes of `width` by `height` units, y upwards; text is sized in units too.

    Parameters
    ----------
    ax : Axes or None
        None makes a figure of `inches` a unit, at most 10 inches wide.
    width, height : float
        In units.
    inches : float
        A unit's length on a new figure.
    line : float
        Thickness of lines, in units.
    """

    def __init__(self, ax: Axes | None, width: float, height: float, inches: float, line: float = 0.03) -> None:
        inches = min(inches, LARGEST_INCHES / width)
        self.ax = new_axes(ax, width * inches, height * inches)
        self.ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        self.ax.set_axis_off()
        figure = figure_of(self.ax)
        # The layout of new figures leaves diagrams the whole width; Axes that were given are measured.
        box = figure.bbox if ax is None else self.ax.get_window_extent()
        self.points = min(box.width / width, box.height / height) * 72 / figure.dpi
        self.line_width = line * self.points
        self.colours = palette_for(figure)
        self.ground = figure.get_facecolor()

    def text(self, x: float, y: float, text: str, size: float, colour: str = "", align: str = "center") -> Text:
        """Write text centred at (x, y), or with its left end there; formulas stand between dollar signs."""
        return self.ax.text(
            x,
            y,
            text,
            fontsize=size * self.points,
            color=colour or self.colours.ink,
            ha=align,
            va="center",
            math_fontfamily=MATH_FONT,
            zorder=4,
        )

    def label(self, x: float, y: float, formula: str, size: float, colour: str) -> None:
        """Write a formula on a patch of ground, over the line that it belongs to."""
        text = self.text(x, y, f"${formula}$", size, colour)
        text.set_bbox({"facecolor": self.ground, "edgecolor": "none", "pad": 0.06 * size * self.points})

    def write(self, x: float, y: float, formula: str, size: float, colour: str) -> float:
        """Write a formula with the left end of its base line at (x, y), and return where it ends."""
        text = self.text(x, y, f"${formula}$", size, colour, align="left")
        text.set_verticalalignment("baseline")
        return x + size * width_of(formula)

    def circle(self, at: Point, radius: float, colour: str = "") -> None:
        """Draw a circle in front of lines."""
        edge = colour or self.colours.ink
        self.ax.add_patch(
            Circle(at, radius, facecolor=self.ground, edgecolor=edge, linewidth=self.line_width, zorder=3)
        )

    def curve(self, x: Array, y: Array, colour: str) -> None:
        """Draw a curve in front of circles."""
        self.ax.plot(x, y, color=colour, linewidth=0.045 * self.points, solid_capstyle="round", zorder=4)

    def arrow(
        self,
        start: Point,
        end: Point,
        gap: float,
        colour: str = "",
        head: bool = True,
        batch_weight: float = 1.0,
        dash: str = "-",
    ) -> None:
        """Draw an arrow, or a line, from one point to another that stops `gap` short of both, `batch_weight` lines thick."""
        step = np.subtract(end, start)
        short = gap * step / np.hypot(*step)
        self.ax.add_patch(
            FancyArrowPatch(
                tuple(start + short),
                tuple(end - short),
                arrowstyle="-|>" if head else "-",
                mutation_scale=0.2 * self.points,
                shrinkA=0,
                shrinkB=0,
                linewidth=batch_weight * self.line_width,
                linestyle=dash,
                color=colour or self.colours.ink,
                zorder=2,
            )
        )

    def brace(self, left: float, right: float, y: float, height: float, text: str, size: float) -> None:
        """Draw a brace over the columns from `left` to `right`, with its name above its tip."""
        middle, half = (left + right) / 2, height / 2
        corners = [
            (left, y), (left, y + half), (left, y + half), (left + half, y + half),
            (middle - half, y + half), (middle, y + half), (middle, y + half), (middle, y + height),
            (middle, y + half), (middle, y + half), (middle + half, y + half),
            (right - half, y + half), (right, y + half), (right, y + half), (right, y),
        ]  # fmt: skip
        bend = [Path.CURVE4] * 3
        codes = [Path.MOVETO, *bend, Path.LINETO, *bend, *bend, Path.LINETO, *bend]
        self.line(Path(corners, codes))
        self.text(middle, y + height + 0.75 * size, text, size)

    def bracket(self, x: float, low: float, high: float, width: float) -> None:
        """Draw a bracket that gathers the lines from `low` to `high` to its left."""
        self.line(Path([(x, high), (x + width, high), (x + width, low), (x, low)]))

    def line(self, path: Path) -> None:
        """Draw a path in ink."""
        self.ax.add_patch(PathPatch(path, fill=False, edgecolor=self.colours.ink, linewidth=self.line_width, zorder=2))

    def box(self, left: float, right: float, low: float, high: float) -> None:
        """Draw a rounded frame."""
        frame = FancyBboxPatch(
            (left, low),
            right - left,
            high - low,
            boxstyle=f"round,pad=0,rounding_size={0.15 * (high - low)}",
            fill=False,
            edgecolor=self.colours.ink,
            linewidth=1.5 * self.line_width,
            zorder=2,
        )
        self.ax.add_patch(frame)


@cache
def width_of(formula: str) -> float:
    """Return how far a formula advances the pen, in units of its size."""
    font = FontProperties(size=100, math_fontfamily=MATH_FONT)
    width = MathTextParser("path").parse(f"${formula}$", dpi=72, prop=font)[0]
    return float(width) / 100
