"""Partial dependence on one column and on two. The values come from `chainrule.insight.dependence`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from chainrule.arrays import Array
from chainrule.display import count, format_number
from chainrule.insight.dependence import Dependence, Interaction
from chainrule.viz.style import (
    DASHES,
    MARKERS,
    add_legend,
    evenly_spaced,
    figure_of,
    label_ticks,
    new_axes,
    palette_for,
    require_type,
    shorten,
)

_MAX_RUG = 300
"""Marks of observed values that are drawn."""
_MAX_TICKS = 5
"""Values of a number or date that are written along an axis of a heat map."""
_CURVE_QUANTILES = (0.05, 0.95)
"""The part of the curves of single rows that an axis shows: a few that are far off would flatten the mean."""


def partial_dependence(
    result: Dependence,
    ax: Axes | None = None,
    title: str = "Partial dependence",
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draw a model's mean prediction as a function of one column, over the thin curves of single rows.

    `result` is the result of `chainrule.insight.dependence.partial_dependence`. For two classes the probability of the
    second is shown; for more than five outputs, the five that vary most. Curves of single rows are drawn if one output
    is shown; where they are not parallel, the effect depends on other columns. Marks at the bottom are the values of
    the table's rows, and notes at the top count those outside of the axis. `limits` are those of the vertical axis; see
    `dependence_limits`.
    """
    require_type(result, Dependence, "result", "the result of chainrule.insight.dependence.partial_dependence")
    ax = new_axes(ax, 5.6, 3.8)
    colors = palette_for(ax)
    shown = shown_outputs(result, len(colors.classes))
    places = result.values if result.ordered else np.arange(len(result.values))
    if len(shown) == 1 and result.curves is not None:
        curves = result.curves[:, :, shown[0]].T
        ax.plot(places, curves, color=colors.pale, linewidth=0.7, alpha=0.45, zorder=1)
    for k, j in enumerate(shown):
        look: dict[str, Any] = {"color": colors.classes[k], "label": shorten(result.names[j]), "zorder": 3}
        if result.ordered:
            look["marker"] = MARKERS[k] if len(result.values) == 1 else None
            ax.plot(places, result.predictions[:, j], linestyle=DASHES[k % len(DASHES)], linewidth=2.2, **look)
        else:
            ax.plot(places, result.predictions[:, j], MARKERS[k], markersize=7, **look)
    ax.set_ylim(limits or dependence_limits([result]))
    if result.ordered:
        _mark_observed(ax, result)
    else:
        label_ticks(ax.xaxis, result.values)
        ax.set_xlim(-0.5, len(result.values) - 0.5)
    if result.values.dtype.kind == "M":
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    if len(shown) == 1:
        ax.set_ylabel(_meaning(result, shown[0]))
    else:
        ax.set_ylabel("Mean probability" if result.are_probabilities else "Mean prediction")
        add_legend(ax)
    ax.set_xlabel(shorten(result.column))
    ax.set_title(title, pad=18 if ax.texts else None)  # above the notes
    ax.grid(alpha=0.25)
    return ax


def dependence_limits(results: Sequence[Dependence]) -> tuple[float, float]:
    """Return limits of the vertical axis that suit several partial dependences of one model, to compare them.

    They are 0 and 1 for probabilities. Otherwise they contain all means, and all but the highest and lowest twentieth
    of the curves of single rows.
    """
    if all(result.are_probabilities for result in results):
        return -0.02, 1.02
    values: list[float] = []
    for result in results:
        shown = shown_outputs(result, len(MARKERS))
        values += [float(end(result.predictions[:, shown])) for end in (np.min, np.max)]
        if len(shown) == 1 and result.curves is not None:
            values += np.quantile(result.curves[:, :, shown[0]], _CURVE_QUANTILES).tolist()
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def interaction(result: Interaction, ax: Axes | None = None, title: str = "Strongest interaction") -> Axes:
    """Draw a model's mean prediction for pairs of values of two columns as a heat map.

    `result` is the result of `chainrule.insight.dependence.strongest_interaction`. For several outputs the one that
    varies most is shown, of two classes the second. Pairs to which no row of the table is nearest are crossed out.
    """
    require_type(result, Interaction, "result", "the result of chainrule.insight.dependence.strongest_interaction")
    ax = new_axes(ax, 5.6, 4.4)
    colors = palette_for(ax)
    k = shown_outputs(result, 1)[0]
    means = result.predictions[:, :, k]
    edges = [np.arange(n + 1) - 0.5 for n in means.T.shape]
    # Shapes rather than a picture, in a vector file; of 50 colors or more, the color bar would be a picture.
    image = ax.pcolormesh(*edges, means, cmap=colors.scale.resampled(40), edgecolors="face", linewidth=0.3)
    down, across = np.nonzero(result.counts == 0)
    ax.plot(across, down, "x", color=colors.ink, markersize=4, alpha=0.6, linestyle="none")
    for axis, values in ((ax.yaxis, result.values[0]), (ax.xaxis, result.values[1])):
        texts = _as_text(values)
        if values.dtype.kind in "fM":  # between two values, readers can interpolate
            crowded = max(map(len, texts)) - 3 if axis is ax.xaxis else 0
            some = evenly_spaced(len(texts), max(2, _MAX_TICKS - max(0, crowded)))
            axis.set_ticks(some, [texts[k] for k in some])
        else:
            label_ticks(axis, texts)
    bar = figure_of(ax).colorbar(image, ax=ax)
    bar.set_label(_meaning(result, k))
    ax.set(xlabel=shorten(result.columns[1]), ylabel=shorten(result.columns[0]), title=title)
    ax.grid(visible=False)
    return ax


def _as_text(values: Array) -> list[str]:
    """Return numbers, dates or names of categories as text."""
    if values.dtype.kind == "f":
        return [format_number(value, digits=3, group_from=10_000) for value in values.tolist()]
    return values.astype("M8[D]").astype(str).tolist() if values.dtype.kind == "M" else values.tolist()


def _mark_observed(ax: Axes, result: Dependence) -> None:
    """Mark the values of rows at the bottom, and note how many are outside of the axis."""
    low, high = result.values[0], result.values[-1]
    observed = result.values if result.observed is None else result.observed
    inside = observed[(observed >= low) & (observed <= high)]
    marks = inside[evenly_spaced(len(inside), _MAX_RUG)]
    colors = palette_for(ax)
    look: dict[str, Any] = {"color": colors.pale, "markersize": 7, "alpha": 0.6, "zorder": 2}
    ax.plot(marks, np.zeros(len(marks)), "|", transform=ax.get_xaxis_transform(), clip_on=False, **look)
    ends = _as_text(np.array([observed[0], observed[-1]], observed.dtype))
    for x, align, n, text in (
        (0.01, "left", int((observed < low).sum()), "\N{LEFTWARDS ARROW} {} from {}"),
        (0.99, "right", int((observed > high).sum()), "{} up to {} \N{RIGHTWARDS ARROW}"),
    ):
        if n:
            note = text.format(count(n, "row"), ends[align == "right"])
            ax.text(x, 1.015, note, ha=align, fontsize=8, color=colors.ink, alpha=0.8, transform=ax.transAxes)


def _meaning(result: Dependence | Interaction, k: int) -> str:
    prefix = "Mean probability of " if result.are_probabilities else "Mean "
    return prefix + shorten(result.names[k])


def shown_outputs(result: Dependence | Interaction, max_outputs: int) -> list[int]:
    """Return the outputs to draw: the second of two classes, else those that vary most."""
    if result.are_probabilities and len(result.names) == 2:
        return [1]
    spread = np.ptp(result.predictions.reshape(-1, len(result.names)), axis=0)
    return sorted(np.argsort(-spread, kind="stable")[:max_outputs].tolist())
