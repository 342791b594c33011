"""Prediction intervals of a regressor: how wide they are, and whether they hold what they promise for every size."""

from typing import TYPE_CHECKING

import numpy as np

from chainrule.app.report.blocks import Figure, Section
from chainrule.app.report.study import Study
from chainrule.app.report.wording import percent, short
from chainrule.arrays import Array
from chainrule.data.targets import NumberTarget
from chainrule.insight.evaluation import wilson_interval
from chainrule.viz.style import add_legend, palette_for, shorten, subsample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COVERAGE = 0.9
_N_PARTS, _N_STEPS = 5, 20
_MIN_ROWS_PER_PART = 4


def section(study: Study) -> Section | None:
    """Return the intervals and their coverage by fifths of the prediction; None for classes, and without intervals."""
    if not isinstance(study.target, NumberTarget) or not study.result.uncertainty:
        return None
    study.show("prediction intervals", None)
    low, high = study.predictor.predict_interval(study.result.inputs, COVERAGE).T
    if not (np.isfinite(low).all() and np.isfinite(high).all()) or len(low) < _N_PARTS * _MIN_ROWS_PER_PART:
        return None
    return Section("Prediction intervals", [_band(study, low, high), _by_fifths(study, low, high)])


def _band(study: Study, low: Array, high: Array) -> Figure:
    predicted, actual, name = study.predicted, study.actual, study.target.name
    widths = high - low
    narrow, median, wide = np.quantile(widths, [0.1, 0.5, 0.9]).tolist()
    if wide - narrow < 1e-6 * abs(median):
        caption = f"All intervals have the same width, {short(median)}."
    else:
        caption = (
            f"The median interval has a width of {short(median)}; of 80% of the rows, {short(narrow)} to {short(wide)}."
        )
    inside = float(np.mean((low <= actual) & (actual <= high)))
    caption += f" {percent(inside)} of the {study.rows_name} are within theirs."
    steps = np.array_split(np.argsort(predicted, kind="stable"), min(_N_STEPS, len(predicted)))

    def draw(ax: "Axes") -> None:
        colors = palette_for(ax)
        rows = subsample(len(actual))
        centers, lows, highs = (np.array([values[step].mean() for step in steps]) for values in (predicted, low, high))
        ax.scatter(predicted[rows], actual[rows], s=10, alpha=0.5, linewidths=0, color=colors.blue, label="actual")
        ax.fill_between(centers, lows, highs, color=colors.orange, alpha=0.25, linewidth=0, label="90% interval")
        ax.plot(centers, centers, color=colors.orange, linewidth=1.2)
        ax.set(title="Prediction intervals", xlabel=f"Predicted {shorten(name)}", ylabel=f"Actual {shorten(name)}")
        ax.grid(alpha=0.25)
        add_legend(ax, "upper left")

    return Figure(draw, 4.4, 3.8, "Actual values and 90% prediction intervals by prediction", caption)


def _by_fifths(study: Study, low: Array, high: Array) -> Figure:
    inside = (low <= study.actual) & (study.actual <= high)
    parts = np.array_split(np.argsort(study.predicted, kind="stable"), _N_PARTS)
    fractions, counts = np.array([inside[part].mean() for part in parts]), np.array(list(map(len, parts)))
    ends = wilson_interval(fractions, counts)
    worst = int(np.abs(fractions - COVERAGE).argmax())
    which = ("smallest", "second smallest", "middle", "second largest", "largest")[worst]
    off = int(((ends[0] > COVERAGE) | (ends[1] < COVERAGE)).sum())
    caption = (
        f"Coverage is furthest from 90% in the fifth with the {which} predictions: {percent(float(fractions[worst]))}. "
        f"In {off or 'none'} of the fifths is the difference more than chance explains (95% intervals)."
    )

    def draw(ax: "Axes") -> None:
        colors = palette_for(ax)
        places = np.arange(_N_PARTS)
        ax.axhline(COVERAGE, color=colors.pale, linestyle=":", linewidth=1.2)
        ax.vlines(places, *ends, color=colors.blue, linewidth=2)
        ax.plot(places, fractions, "o", color=colors.blue, markersize=7)
        ax.set_xticks(places, ["smallest", "2nd", "3rd", "4th", "largest"])
        ax.set(xlim=(-0.5, _N_PARTS - 0.5), ylim=(min(0.5, ends[0].min() - 0.03), 1.02))
        ax.set(title="Coverage by fifths of the prediction", xlabel="Fifth", ylabel="Fraction within the interval")
        ax.grid(axis="y", alpha=0.25)

    return Figure(draw, 4.4, 3.4, "Coverage of 90% prediction intervals by fifths of the prediction", caption)
