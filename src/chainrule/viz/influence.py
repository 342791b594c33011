"""The influence of a table's columns on predictions. The values come from `chainrule.insight.evaluation`."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from chainrule.insight.evaluation import Dependence, Importance
from chainrule.viz.style import (
    DASHES,
    MARKERS,
    MAX_NAME_LENGTH,
    add_legend,
    figure_of,
    new_axes,
    palette_for,
    require_type,
    shorten,
)


def importance(
    result: Importance, ax: Axes | None = None, title: str = "Permutation importance", max_columns: int = 20
) -> Axes:
    """Draw the permutation importance of each column: the mean drop in performance and its standard deviation.

    `result` is the result of `permutation_importance`. The `max_columns` most important columns are shown.
    """
    require_type(result, Importance, "result", "the result of permutation_importance")
    ranking = result.ranking
    shown, n_others = ranking[:max_columns], len(ranking[max_columns:])
    ax = new_axes(ax, 6.4, 1.3 + 0.28 * (len(shown) + bool(n_others)))
    colors = palette_for(ax)
    positions = np.arange(len(shown))
    means, deviations = ([float(of(result.worse[name])) for name in shown] for of in (np.mean, np.std))
    ax.axvline(0, color=colors.pale, linewidth=1)
    ax.barh(positions, means, height=0.6, color=colors.blue, alpha=0.35)
    ax.errorbar(means, positions, xerr=deviations, fmt="o", color=colors.blue, markersize=4, elinewidth=1.5, capsize=3)
    names = [*shown, f"{n_others} others"] if n_others else shown
    _label_ticks(ax.yaxis, names)
    metric = result.metric.replace("_", " ")
    ax.set(ylim=(len(names) - 0.4, -0.6), title=title, xlabel=f"Drop in performance ({metric})")
    ax.grid(axis="x", alpha=0.25)
    return ax


def partial_dependence(result: Dependence, ax: Axes | None = None, title: str = "Partial dependence") -> Axes:
    """Draw a model's mean prediction as a function of one column.

    `result` is the result of `chainrule.insight.evaluation.partial_dependence`. For two classes the probability of the
    second is shown; for more than five outputs, the five that vary most. Ticks at the bottom mark the values at which
    the model was evaluated, which are dense where there are many rows.
    """
    require_type(result, Dependence, "result", "the result of chainrule.insight.evaluation.partial_dependence")
    ax = new_axes(ax, 5.6, 3.8)
    colors = palette_for(ax)
    for k, j in enumerate(_shown_outputs(result, len(colors.classes))):
        look: dict[str, Any] = {"color": colors.classes[k], "label": shorten(result.names[j])}
        if result.ordered:
            look["marker"] = MARKERS[k] if len(result.values) == 1 else None
            ax.plot(result.values, result.predictions[:, j], linestyle=DASHES[k % len(DASHES)], linewidth=2, **look)
        else:
            ax.plot(np.arange(len(result.values)), result.predictions[:, j], MARKERS[k], markersize=7, **look)
    if result.are_probabilities:
        ax.set_ylim(-0.02, 1.02)
    if result.ordered:
        bottom = np.zeros(len(result.values))
        ax.plot(result.values, bottom, "|", color=colors.pale, markersize=9, transform=ax.get_xaxis_transform())
    else:
        _label_ticks(ax.xaxis, result.values)
        ax.set_xlim(-0.5, len(result.values) - 0.5)
    if result.values.dtype.kind == "M":
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    single = len(result.names) == 1 or (result.are_probabilities and len(result.names) == 2)
    if single:
        prefix = "Mean probability of " if result.are_probabilities else "Mean "
        ax.set_ylabel(prefix + shorten(result.names[-1]))
    else:
        ax.set_ylabel("Mean probability" if result.are_probabilities else "Mean prediction")
        add_legend(ax)
    ax.set(xlabel=shorten(result.column), title=title)
    ax.grid(alpha=0.25)
    return ax


def _label_ticks(axis: Axis, names: Iterable[object]) -> None:
    """Label positions 0, 1, 2, ... of an axis, in text as large and long as fits."""
    names, is_x = list(names), axis is axis.axes.xaxis
    extent = axis.axes.get_window_extent()
    along, across = (extent.width, extent.height) if is_x else (extent.height, extent.width)
    points = 72 / figure_of(axis.axes).dpi
    room = along * points / len(names)
    size = min(10.0, 0.85 * room)
    max_length = max(8, min(MAX_NAME_LENGTH, int(0.75 * across * points / size)))
    labels = [shorten(name, max_length) for name in names]
    axis.set_ticks(np.arange(len(labels)), labels, fontsize=size)
    if is_x and 0.6 * size * max(map(len, labels)) > room:
        axis.set_tick_params(rotation=90)


def _shown_outputs(result: Dependence, max_outputs: int) -> list[int]:
    """Return the outputs to draw: the second of two classes, else those that vary most."""
    if result.are_probabilities and len(result.names) == 2:
        return [1]
    return sorted(np.argsort(-np.ptp(result.predictions, axis=0), kind="stable")[:max_outputs].tolist())
