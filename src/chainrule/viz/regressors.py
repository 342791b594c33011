"""How good answers in numbers are: against the truth, and what is left over."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_array, require
from chainrule.viz.style import add_legend, cut, new_axes, palette_for, some_of

BINS, ROWS_A_BIN = 10, 20
"""Bins of equally many rows whose residuals are summed up, and how many rows each must have at the least."""
FEW_DOTS = 100
"""Dots up to which each is large."""


def predicted_against_actual(
    y: ArrayLike,
    predictions: ArrayLike,
    name: str = "",
    ax: Axes | None = None,
    title: str = "predicted against actual",
) -> Axes:
    """Draw a point a row, answers (n,) over true numbers y (n,); on the dotted line they are equal.

    `name` is the target's. Of many rows 2,000 are drawn.
    """
    y, predictions = numbers(y, predictions)
    ax = new_axes(ax)
    colours = palette_for(ax)
    rows = some_of(len(y))
    y, predictions = y[rows], predictions[rows]
    low, high = min(y.min(), predictions.min()), max(y.max(), predictions.max())
    room = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
    limits = low - room, high + room
    ax.plot(limits, limits, color=colours.pale, linewidth=1.2, linestyle=":")
    ax.scatter(y, predictions, color=colours.blue, zorder=3, **dots(len(y)))
    ax.set(xlim=limits, ylim=limits, aspect="equal", title=title)
    ax.set(xlabel=f"actual {cut(name)}".rstrip(), ylabel=f"predicted {cut(name)}".rstrip())
    ax.grid(alpha=0.25)
    return ax


def residuals(
    y: ArrayLike, predictions: ArrayLike, name: str = "", ax: Axes | None = None, title: str = "residuals"
) -> Axes:
    """Draw a point a row, actual minus predicted, y - answers, over answers, all (n,); the dotted line is no error.

    Where there are rows enough, ten bins of equally many show the median and where the middle 80 % of a bin lie: a
    median off the line is a bias, a band that widens an error that grows. Of many rows 2,000 are drawn.
    """
    y, predictions = numbers(y, predictions)
    ax = new_axes(ax, 6.4, 4.2)
    colours = palette_for(ax)
    left = y - predictions
    rows = some_of(len(y))
    ax.axhline(0, color=colours.pale, linewidth=1.2, linestyle=":")
    ax.scatter(predictions[rows], left[rows], color=colours.blue, zorder=2, **dots(len(rows)))
    if len(y) >= BINS * ROWS_A_BIN and np.ptp(predictions) > 0:
        parts = np.array_split(np.argsort(predictions, kind="stable"), BINS)
        middles = [np.median(predictions[part]) for part in parts]
        low, median, high = np.array([np.quantile(left[part], [0.1, 0.5, 0.9]) for part in parts]).T
        ax.fill_between(middles, low, high, color=colours.orange, alpha=0.2, linewidth=0, label="middle 80 %", zorder=3)
        ax.plot(middles, median, color=colours.orange, linewidth=2, label="median", zorder=4)
        add_legend(ax)
    ax.set(title=title, xlabel=f"predicted {cut(name)}".rstrip(), ylabel="actual - predicted")
    ax.grid(alpha=0.25)
    return ax


def numbers(y: ArrayLike, predictions: ArrayLike) -> tuple[Array, Array]:
    """Return both as float64 (n,), or raise a ValueError that says what does not fit."""
    y = np.asarray(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    require(y.ndim == 1 and len(y) > 0, "y", "hold a number a row, (n,), one row at least", y.shape)
    predictions = np.asarray(predictions)
    predictions = predictions[:, 0] if predictions.ndim == 2 and predictions.shape[1] == 1 else predictions
    return as_array(y, y.shape, np.float64, "y"), as_array(predictions, y.shape, np.float64, "answers")


def dots(n: int) -> dict[str, Any]:
    """Return the look of n dots: few are large and full, of many each lets the others through."""
    return {"s": 12, "alpha": 0.5, "linewidths": 0} if n > FEW_DOTS else {"s": 30, "alpha": 0.9, "linewidths": 0}
