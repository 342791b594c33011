"""A canvas for diagrams, on which shapes and text share one unit, so that a figure looks the same at any size."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, PathPatch
from matplotlib.path import Path
from matplotlib.text import Text

from chainrule.arrays import Array
from chainrule.viz.style import figure_of, new_axes, palette_for

Point = tuple[float, float]

MATH_FONT = "stix"
_MAX_WIDTH_INCHES = 10.0


class Canvas:
    """Axes of `width` by `height` units, with y upwards; font sizes are in units too.

    Parameters
    ----------
    ax : Axes or None
        None creates a figure of `inches` per unit, at most 10 inches wide.
    width, height : float
        Size in units.
    inches : float
        Length of a unit on a new figure.
    line : float
        Line width in units.
    """

    def __init__(self, ax: Axes | None, width: float, height: float, inches: float, line: float = 0.03) -> None:
        inches = min(inches, _MAX_WIDTH_INCHES / width)
        self.ax = new_axes(ax, width * inches, height * inches)
        self.ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        self.ax.set_axis_off()
        figure = figure_of(self.ax)
        # On a new figure, the layout gives diagrams the full width; existing Axes have to be measured.
        box = figure.bbox if ax is None else self.ax.get_window_extent()
        self.points = min(box.width / width, box.height / height) * 72 / figure.dpi
        self.line_width = line * self.points
        self.colors = palette_for(figure)
        self.background = figure.get_facecolor()

    def text(self, x: float, y: float, text: str, size: float, color: str = "", align: str = "center") -> Text:
        """Write text centered at (x, y), or left-aligned there; formulas are enclosed in dollar signs."""
        return self.ax.text(
            x,
            y,
            text,
            fontsize=size * self.points,
            color=color or self.colors.ink,
            ha=align,
            va="center",
            math_fontfamily=MATH_FONT,
            zorder=4,
        )

    def label(self, x: float, y: float, formula: str, size: float, color: str) -> None:
        """Write a formula over the line it belongs to, on a patch of background."""
        text = self.text(x, y, f"${formula}$", size, color)
        text.set_bbox({"facecolor": self.background, "edgecolor": "none", "pad": 0.06 * size * self.points})

    def circle(self, at: Point, radius: float, color: str = "") -> None:
        """Draw a circle in front of lines, filled with the background color."""
        edge = color or self.colors.ink
        self.ax.add_patch(
            Circle(at, radius, facecolor=self.background, edgecolor=edge, linewidth=self.line_width, zorder=3)
        )

    def curve(self, x: Array, y: Array, color: str) -> None:
        """Draw a curve in front of circles."""
        self.ax.plot(x, y, color=color, linewidth=0.045 * self.points, solid_capstyle="round", zorder=4)

    def arrow(
        self,
        start: Point,
        end: Point,
        gap: float,
        color: str = "",
        head: bool = True,
        thickness: float = 1.0,
        dash: str = "-",
    ) -> None:
        """Draw an arrow, or a line, that stops `gap` short of both points; `thickness` is in line widths."""
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
                linewidth=thickness * self.line_width,
                linestyle=dash,
                color=color or self.colors.ink,
                zorder=2,
            )
        )

    def brace(self, left: float, right: float, y: float, height: float, text: str, size: float) -> None:
        """Draw a horizontal brace from `left` to `right` with a label above its tip."""
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

    def line(self, path: Path, thickness: float = 1.0) -> None:
        """Draw a path; `thickness` is in line widths."""
        width = thickness * self.line_width
        self.ax.add_patch(PathPatch(path, fill=False, edgecolor=self.colors.ink, linewidth=width, zorder=2))
