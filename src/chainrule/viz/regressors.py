"""Regression quality: predictions against actual values, and residuals."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_array, require
from chainrule.viz.style import add_legend, new_axes, palette_for, shorten, subsample

_N_BINS, _MIN_ROWS_PER_BIN = 10, 20
"""Number of equally populated bins that summarize the residuals, and the minimum number of rows in each."""
_MAX_LARGE_DOTS = 100
"""Number of rows up to which dots are large and opaque."""


def predicted_against_actual(
    y: ArrayLike,
    predictions: ArrayLike,
    name: str = "",
    ax: Axes | None = None,
    title: str = "Predicted vs. actual",
) -> Axes:
    """Draw predictions (n,) over actual values y (n,), one point per row; they are equal on the dotted line.

    `name` is the target's name. At most 2,000 rows are drawn.
    """
    y, predictions = _as_vectors(y, predictions)
    ax = new_axes(ax)
    colors = palette_for(ax)
    rows = subsample(len(y))
    y, predictions = y[rows], predictions[rows]
    low, high = min(y.min(), predictions.min()), max(y.max(), predictions.max())
    margin = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
    limits = low - margin, high + margin
    ax.plot(limits, limits, color=colors.pale, linewidth=1.2, linestyle=":")
    ax.scatter(y, predictions, color=colors.blue, zorder=3, **_dot_style(len(y)))
    ax.set(xlim=limits, ylim=limits, aspect="equal", title=title)
    ax.set(xlabel=f"Actual {shorten(name)}".rstrip(), ylabel=f"Predicted {shorten(name)}".rstrip())
    ax.grid(alpha=0.25)
    return ax


def residuals(
    y: ArrayLike, predictions: ArrayLike, name: str = "", ax: Axes | None = None, title: str = "Residuals"
) -> Axes:
    """Draw the residuals y - predictions over the predictions, all (n,), one point per row.

    With at least 200 rows, the median and the 10th to 90th percentile are drawn over ten equally populated bins: a
    median off the zero line indicates bias, a widening band errors that grow with the prediction. At most 2,000 rows
    are drawn. `name` is the target's name.
    """
    y, predictions = _as_vectors(y, predictions)
    ax = new_axes(ax, 6.4, 4.2)
    colors = palette_for(ax)
    errors = y - predictions
    rows = subsample(len(y))
    ax.axhline(0, color=colors.pale, linewidth=1.2, linestyle=":")
    ax.scatter(predictions[rows], errors[rows], color=colors.blue, zorder=2, **_dot_style(len(rows)))
    if len(y) >= _N_BINS * _MIN_ROWS_PER_BIN and np.ptp(predictions) > 0:
        bins = np.array_split(np.argsort(predictions, kind="stable"), _N_BINS)
        centers = [np.median(predictions[bin_rows]) for bin_rows in bins]
        low, median, high = np.array([np.quantile(errors[bin_rows], [0.1, 0.5, 0.9]) for bin_rows in bins]).T
        band: dict[str, Any] = {"color": colors.orange, "label": "10th to 90th percentile"}
        ax.fill_between(centers, low, high, alpha=0.2, linewidth=0, zorder=3, **band)
        ax.plot(centers, median, color=colors.orange, linewidth=2, label="median", zorder=4)
        add_legend(ax)
    ax.set(title=title, xlabel=f"Predicted {shorten(name)}".rstrip(), ylabel="Residual (actual - predicted)")
    ax.grid(alpha=0.25)
    return ax


def _as_vectors(y: ArrayLike, predictions: ArrayLike) -> tuple[Array, Array]:
    """Return both as float64 (n,); columns (n, 1) are flattened."""
    y = np.asarray(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    require(y.ndim == 1 and len(y) > 0, "y", "have shape (n,) with n >= 1", y.shape)
    predictions = np.asarray(predictions)
    predictions = predictions[:, 0] if predictions.ndim == 2 and predictions.shape[1] == 1 else predictions
    return as_array(y, y.shape, np.float64, "y"), as_array(predictions, y.shape, np.float64, "predictions")


def _dot_style(n: int) -> dict[str, Any]:
    """Return the style of n dots: small and translucent if there are many."""
    if n > _MAX_LARGE_DOTS:
        return {"s": 12, "alpha": 0.5, "linewidths": 0}
    return {"s": 30, "alpha": 0.9, "linewidths": 0}
