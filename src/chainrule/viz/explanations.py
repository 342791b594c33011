"""The contributions of columns to predictions. The values come from `chainrule.explain`."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from chainrule.arrays import Array, require
from chainrule.display import format_numbers
from chainrule.insight.explanation import Explanation, percent, probability, ranks
from chainrule.viz.style import (
    add_legend,
    evenly_spaced,
    label_ticks,
    new_axes,
    palette_for,
    require_type,
    shorten,
    shorten_equation,
)

_EXPECTED = "an Explanation, the result of explain"
_BINS = 60
"""Intervals of the contributions in which the dots of a beeswarm are stacked."""
_MAX_LABEL = 36
"""Characters of a column with its value."""
_PROBABILITIES = (0.5, 0.1, 0.9, 0.01, 0.99, 0.001, 0.999, 0.25, 0.75)
"""Ticks of an axis of probabilities, the most important first."""
_LEAST_DISTANCE = 0.12
"""Distance of two of them, as a fraction of the axis, so that their labels do not overlap."""


def waterfall(
    explanation: Explanation,
    ax: Axes | None = None,
    title: str | None = None,
    *,
    row: int = 0,
    output: str | None = None,
    max_columns: int = 10,
) -> Axes:
    """Draw how the columns lead from the baseline to the prediction for one row.

    `explanation` is the result of `chainrule.explain`, `row` the index of its row. The largest contribution is at the
    top, and the smallest ones, beyond `max_columns`, are added up. Bars to the right raise the prediction. For classes,
    the axis at the top shows probabilities.
    """
    require_type(explanation, Explanation, "explanation", _EXPECTED)
    require(-len(explanation) <= row < len(explanation), "row", f"be an index of {len(explanation)} rows", row)
    one = explanation[row].for_output(output)
    entries = one.ranking(max_columns)
    ax = new_axes(ax, 7.2, 1.6 + 0.34 * len(entries))
    colors = palette_for(ax)
    sizes = np.array([entry.contribution for entry in entries])
    prediction = float(one.predictions[0])
    ends = prediction - np.append(0, np.cumsum(sizes))[:-1]  # the last bar begins at the baseline
    begins = ends - sizes
    places = np.arange(len(entries))
    tints = [colors.orange if size >= 0 else colors.blue for size in sizes]
    ax.barh(places, sizes, left=begins, height=0.62, color=tints, alpha=0.55)
    for k in range(len(entries) - 1):
        ax.plot([begins[k]] * 2, [k - 0.31, k + 1.31], color=colors.pale, linewidth=0.8)
    span = float(np.ptp([*begins, *ends])) or 1.0
    for k, (size, text) in enumerate(zip(sizes, format_numbers(sizes.tolist(), float(np.abs(sizes).max())))):
        right = max(begins[k], ends[k])
        ax.text(right + 0.015 * span, k, f"{'+' * bool(size > 0)}{text}", va="center", fontsize=9, color=colors.ink)
    ax.axvline(float(one.baseline), color=colors.pale, linewidth=1, linestyle=":")
    ax.axvline(prediction, color=colors.pale, linewidth=1)
    low, high = min(*begins, *ends), max(*begins, *ends)
    names = [(entry.column, entry.value) for entry in entries]
    label_ticks(ax.yaxis, names, _MAX_LABEL, shorten_equation)
    ax.set(ylim=(len(entries) - 0.4, -0.6), xlim=(low - 0.06 * span, high + 0.16 * span))
    texts = format_numbers([float(one.baseline), prediction], span)
    if one.unit == "log-odds":
        _add_probabilities(ax)
        texts = [f"{text} ({percent(z)})" for text, z in zip(texts, (float(one.baseline), prediction))]
    ax.set_xlabel(f"{shorten(one.subject, 40)}\nbaseline {texts[0]}, prediction {texts[1]}")
    ax.set_title(f"Row {one.rows[0]:,}" if title is None else title)
    ax.grid(axis="x", alpha=0.25)
    return ax


def beeswarm(
    explanation: Explanation,
    ax: Axes | None = None,
    title: str = "Contributions to predictions",
    *,
    output: str | None = None,
    max_columns: int = 10,
) -> Axes:
    """Draw the contributions of the most important columns to the predictions for many rows, one dot per row.

    `explanation` is the result of `chainrule.explain`. Dots are stacked where many rows have the same contribution. The
    color of a dot is the rank of the row's number or date in the column, from blue for low to orange for high ones;
    those of categories and missing cells are gray.
    """
    require_type(explanation, Explanation, "explanation", _EXPECTED)
    if not len(explanation):
        raise ValueError("explanation must have at least one row, got none")
    one = explanation.for_output(output)
    sizes = np.abs(one.contributions).mean(axis=0)
    shown = np.argsort(-sizes, kind="stable")[:max_columns]
    ax = new_axes(ax, 6.4, 1.5 + 0.42 * len(shown))
    colors = palette_for(ax)
    rows = evenly_spaced(len(one))
    phi = one.contributions[rows][:, shown]
    edges = np.linspace(phi.min(), phi.max(), _BINS + 1)[1:-1]
    ax.axvline(0, color=colors.pale, linewidth=1)
    for k, j in enumerate(shown):
        rank = ranks(one.values[rows, j])
        dots = np.where(np.isnan(rank)[:, np.newaxis], [0.6, 0.6, 0.6, 1.0], colors.scale(np.nan_to_num(rank)))
        ax.scatter(phi[:, k], k + _stacked(np.searchsorted(edges, phi[:, k])), s=11, color=dots, linewidths=0, zorder=3)
    for name, tint in (("low value", colors.blue), ("high value", colors.orange), ("category", "#999999")):
        ax.scatter([], [], s=14, color=tint, label=name, linewidths=0)
    label_ticks(ax.yaxis, [one.columns[j] for j in shown])
    ax.set(ylim=(len(shown) - 0.4, -0.6), title=title, xlabel=f"Contribution to {shorten(one.subject, 40)}")
    ax.grid(axis="x", alpha=0.25)
    add_legend(ax, "lower right")
    return ax


def _add_probabilities(ax: Axes) -> None:
    """Add an axis of the probabilities at the top of one of log-odds."""
    low, high = ax.get_xlim()
    ticks: list[float] = []
    for z in map(_log_odds, _PROBABILITIES):
        if low < z < high and all(abs(z - other) > _LEAST_DISTANCE * (high - low) for other in ticks):
            ticks.append(z)
    top = ax.secondary_xaxis("top")
    top.set_ticks(ticks)
    top.xaxis.set_major_formatter(FuncFormatter(lambda z, _: f"{100 * probability(z):.3g}%"))
    top.tick_params(labelsize=8, colors=palette_for(ax).pale)
    top.spines["top"].set_visible(False)


def _log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


def _stacked(bins: Array) -> Array:
    """Return vertical offsets (n,) that spread the dots in the same bin, at most 0.4."""
    counts = np.bincount(bins)
    step = min(0.09, 0.8 / counts.max())
    order = np.argsort(bins, kind="stable")
    place = np.empty(len(bins), np.intp)
    place[order] = np.arange(len(bins)) - np.repeat(np.cumsum(counts) - counts, counts)
    offsets: Array = (place + 1) // 2 * np.where(place % 2, 1, -1) * step
    return offsets
