"""The distribution of the target over the evaluation rows."""

from typing import TYPE_CHECKING

import numpy as np

from chainrule.app import messages
from chainrule.app.report.blocks import Figure, Section
from chainrule.app.report.study import Study
from chainrule.app.report.wording import percent
from chainrule.data.targets import ClassTarget
from chainrule.viz.style import palette_for, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def section(study: Study) -> Section:
    """Return bars of classes, or a histogram of numbers."""
    return Section("Target", [figure(study)])


def figure(study: Study) -> Figure:
    """Return the figure of the section."""
    return _bars(study) if isinstance(study.target, ClassTarget) else _histogram(study)


def _bars(study: Study) -> Figure:
    labels, n = study.labels, study.n_rows
    counts = np.bincount(study.classes, minlength=len(labels))
    most, least = int(counts.argmax()), int(counts.argmin())
    caption = (
        f"{labels[most]} is the most frequent of {len(labels)} classes, {percent(counts[most] / n)} of the "
        f"{study.rows_name}; {labels[least]} the rarest, {percent(counts[least] / n)}."
    )

    def draw(ax: "Axes") -> None:
        places = np.arange(len(labels))
        ax.barh(places, counts, color=palette_for(ax).blue, alpha=0.6, height=0.7)
        ax.set_yticks(places, [shorten(label) for label in labels])
        ax.invert_yaxis()
        ax.set(xlabel=f"Number of {study.rows_name}")

    return Figure(draw, 4.4, 0.9 + 0.28 * len(labels), "Number of evaluation rows per class", caption)


def _histogram(study: Study) -> Figure:
    quantiles = np.quantile(study.actual, [0, 0.25, 0.5, 0.75, 1]).tolist()
    low, quarter, half, three_quarters, high = map(messages.format_cell, quantiles)
    caption = f"From {low} to {high}; half of the {study.rows_name} are between {quarter} and {three_quarters}, the "
    caption += f"median is {half}."
    if getattr(study.target, "transform", "identity") == "log":
        caption += " The networks learn the logarithm, which was better out of fold."
    bins = int(np.clip(2 * np.sqrt(len(study.actual)), 5, 40))

    def draw(ax: "Axes") -> None:
        ax.hist(study.actual, bins=bins, color=palette_for(ax).blue, alpha=0.6)
        ax.set(xlabel=shorten(study.target.name), ylabel=f"Number of {study.rows_name}")

    return Figure(draw, 4.4, 2.8, "Histogram of the target over the evaluation rows", caption)
