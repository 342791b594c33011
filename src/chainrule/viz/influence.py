"""What a table's columns do to a model's answers. The numbers come from `chainrule.insight.evaluation`."""

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
    MOST_LETTERS,
    add_legend,
    cut,
    figure_of,
    new_axes,
    palette_for,
    require_kind,
)


def importance(
    found: Importance, ax: Axes | None = None, title: str = "what a shuffled column costs", most: int = 20
) -> Axes:
    """Draw how much worse the metric gets when a column is shuffled, with a standard deviation over the shuffles.

    `found` is what `permutation_importance` returns. Of many columns, the `most` that matter most are shown.
    """
    require_kind(found, Importance, "found", "what permutation_importance returns")
    ranking = found.ranking
    shown, others = ranking[:most], len(ranking[most:])
    ax = new_axes(ax, 6.4, 1.3 + 0.28 * (len(shown) + bool(others)))
    colours = palette_for(ax)
    places = np.arange(len(shown))
    means, deviations = ([float(of(found.worse[name])) for name in shown] for of in (np.mean, np.std))
    ax.axvline(0, color=colours.pale, linewidth=1)
    ax.barh(places, means, height=0.6, color=colours.blue, alpha=0.35)
    ax.errorbar(means, places, xerr=deviations, fmt="o", color=colours.blue, markersize=4, elinewidth=1.5, capsize=3)
    names = [*shown, f"{others} others"] if others else shown
    name_places(ax.yaxis, names)
    ax.set(ylim=(len(names) - 0.4, -0.6), title=title, xlabel=f"{found.metric.replace('_', ' ')} gets worse by")
    ax.grid(axis="x", alpha=0.25)
    return ax


def name_places(axis: Axis, names: Iterable[object]) -> None:
    """Write a name at 0, 1, 2 ... of an axis, as large and as long as there is room."""
    names, is_x = list(names), axis is axis.axes.xaxis
    extent = axis.axes.get_window_extent()
    along, across = (extent.width, extent.height) if is_x else (extent.height, extent.width)
    points = 72 / figure_of(axis.axes).dpi
    room = along * points / len(names)
    size = min(10.0, 0.85 * room)
    letters = max(8, min(MOST_LETTERS, int(0.75 * across * points / size)))
    shown = [cut(name, letters) for name in names]
    axis.set_ticks(np.arange(len(shown)), shown, fontsize=size)
    if is_x and 0.6 * size * max(map(len, shown)) > room:
        axis.set_tick_params(rotation=90)


def partial_dependence(found: Dependence, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw a model's mean answer when a column is held at a value in every row.

    `found` is what the function of that name in `chainrule.insight.evaluation` returns. Of two classes the second is
    shown; of more than five, those that change most. Ticks at the foot are the values asked about: where rows are many,
    they are close.
    """
    require_kind(found, Dependence, "found", "what partial_dependence of chainrule.insight.evaluation returns")
    ax = new_axes(ax, 5.6, 3.8)
    colours = palette_for(ax)
    for k, j in enumerate(answers_shown(found, len(colours.classes))):
        look: dict[str, Any] = {"color": colours.classes[k], "label": cut(found.names[j])}
        if found.ordered:
            look["marker"] = MARKERS[k] if len(found.values) == 1 else None
            ax.plot(found.values, found.predictions[:, j], linestyle=DASHES[k % len(DASHES)], linewidth=2, **look)
        else:
            ax.plot(np.arange(len(found.values)), found.predictions[:, j], MARKERS[k], markersize=7, **look)
    if found.are_probabilities:
        ax.set_ylim(-0.02, 1.02)
    if found.ordered:
        foot = np.zeros(len(found.values))
        ax.plot(found.values, foot, "|", color=colours.pale, markersize=9, transform=ax.get_xaxis_transform())
    else:
        name_places(ax.xaxis, found.values)
        ax.set_xlim(-0.5, len(found.values) - 0.5)
    if found.values.dtype.kind == "M":
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    only = len(found.names) == 1 or (found.are_probabilities and len(found.names) == 2)
    if only:
        of = "mean probability of " if found.are_probabilities else "mean "
        ax.set_ylabel(of + cut(found.names[-1]))
    else:
        ax.set_ylabel("mean probability" if found.are_probabilities else "mean answer")
        add_legend(ax)
    ax.set(xlabel=cut(found.column), title=title)
    ax.grid(alpha=0.25)
    return ax


def answers_shown(found: Dependence, most: int) -> list[int]:
    """Return which answers have a line: of two classes the second, of many those that change most."""
    if found.are_probabilities and len(found.names) == 2:
        return [1]
    return sorted(np.argsort(-np.ptp(found.predictions, axis=0), kind="stable")[:most].tolist())
