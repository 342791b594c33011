"""The importance of a table's columns. The values come from `chainrule.insight.evaluation`."""

import numpy as np
from matplotlib.axes import Axes

from chainrule.insight.evaluation import Importance
from chainrule.viz.style import label_ticks, new_axes, palette_for, require_type


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
    label_ticks(ax.yaxis, names)
    metric = result.metric.replace("_", " ")
    ax.set(ylim=(len(names) - 0.4, -0.6), title=title, xlabel=f"Drop in performance ({metric})")
    ax.grid(axis="x", alpha=0.25)
    return ax
