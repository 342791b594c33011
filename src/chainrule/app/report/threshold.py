"""The threshold of the second of two classes: chosen out of fold in training, measured on the evaluation rows."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import viz
from chainrule.app.report.blocks import Figure, Section, Table, Text
from chainrule.app.report.study import Study
from chainrule.app.report.wording import percent
from chainrule.arrays import Array
from chainrule.insight.evaluation import class_scores, confusion_matrix
from chainrule.insight.thresholds import ThresholdCurve, threshold_curve
from chainrule.viz.style import add_legend, evenly_spaced, palette_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GOALS = {
    "f1": "the largest F1 of {label}",
    "balanced": "the largest mean of both classes' recall",
    "recall": "the largest precision with a recall of at least {level}",
    "precision": "the largest recall with a precision of at least {level}",
    "cost": "the least cost, if a missed row of {label} and a false alarm cost {level}",
}


def section(study: Study) -> Section | None:
    """Return the threshold, what it does, and what others would do; None if the model has none."""
    chosen = study.metadata.get("threshold")
    if chosen is None:
        return None
    return Section("Threshold", [Text(_sentence(study, chosen)), _table(study, chosen), *_figures(study, chosen)])


def _sentence(study: Study, chosen: dict[str, Any]) -> str:
    name, _, level = chosen["goal"].partition("=")
    goal = _GOALS[name].format(label=chosen["class"], level=level.replace(":", " to "))
    return (
        f"Goal: {goal}. On rows that the networks were not trained on (out of fold), it is best reached by predicting "
        f"{chosen['class']} from a probability of {chosen['value']:.3f} on. The model itself predicts the more "
        "probable class, which is a threshold of 0.5; to use another one, predict with --proba."
    )


def _table(study: Study, chosen: dict[str, Any]) -> Table:
    """Return what the threshold and 0.5 make of the rows that it was chosen on, and of the evaluation rows."""
    samples = {study.rows_name: (study.classes, study.result.predictions[:, 1])}
    if study.training is not None:
        rows = study.training.predicted
        y = study.target.encode(study.training.values[rows])
        samples = {"training rows, out of fold": (y, study.training.out_of_fold[rows, 1])} | samples
    table: list[Sequence[str | tuple[str, str]]] = []
    for name, (y, p) in samples.items():
        for threshold in (chosen["value"], 0.5):
            scores = class_scores(confusion_matrix(y, (p >= threshold).astype(float)))
            values = (scores.precision[1], scores.recall[1], scores.f1[1], scores.recall.mean())
            table.append(((f"{threshold:.3f}", name), *(f"{value:.3f}" for value in values)))
    caption = f"Precision, recall and F1 of {chosen['class']} at the chosen threshold and at 0.5."
    return Table(("threshold", "precision", "recall", "F1", "mean recall"), table, caption, fits=True)


def _figures(study: Study, chosen: dict[str, Any]) -> list[Figure]:
    y, p = study.classes, study.result.predictions[:, 1]
    counts = confusion_matrix(y, (p >= chosen["value"]).astype(float))
    changed = int(((p >= chosen["value"]) != (p >= 0.5)).sum())
    caption = (
        f"At {chosen['value']:.3f}, {counts[1, 0]:,} of {counts[1].sum():,} rows of {study.labels[1]} are missed, and "
        f"{counts[0, 1]:,} of {counts[0].sum():,} others are false alarms; {percent(changed / len(y))} of the rows "
        "change sides compared with 0.5."
    )
    taken = (p >= chosen["value"]).astype(float)
    matrix = partial(viz.confusion, y, taken, study.labels, title=f"At a threshold of {chosen['value']:.3f}")
    figures = [Figure(matrix, 3.8, 3.2, "Confusion matrix at the threshold", caption)]
    if len(np.unique(y)) == 2:
        curve = threshold_curve(y, p)
        figures.append(_curves(curve, chosen))
    return figures


def _curves(curve: ThresholdCurve, chosen: dict[str, Any]) -> Figure:
    best = float(curve.thresholds[curve.f1.argmax()])
    caption = (
        f"A higher threshold finds fewer rows of {chosen['class']}, and is right more often about them. On these rows, "
        f"which did not choose it, F1 would be largest at {best:.3f}."
    )

    def draw(ax: "Axes") -> None:
        colors = palette_for(ax)
        points = evenly_spaced(len(curve.thresholds), 500)
        lines: dict[str, tuple[Array, str, str]] = {
            "precision": (curve.precision, colors.blue, "-"),
            "recall": (curve.recall, colors.orange, "--"),
            "F1": (curve.f1, colors.green, "-."),
        }
        for name, (values, color, dashes) in lines.items():
            drawn = points[1:] if name == "precision" else points  # without rows, there is no precision
            ax.plot(curve.thresholds[drawn], values[drawn], dashes, color=color, label=name, linewidth=1.6)
        ax.axvline(chosen["value"], color=colors.pale, linestyle=":", label=f"chosen: {chosen['value']:.3f}")
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), title="Threshold curve")
        ax.set(xlabel="Threshold", ylabel="Score")
        ax.grid(alpha=0.25)
        add_legend(ax)

    return Figure(draw, 4.4, 3.6, "Precision, recall and F1 by threshold", caption)
