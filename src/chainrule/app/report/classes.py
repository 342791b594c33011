"""Quality by class: the confusion matrix, precision and recall, and the curves over all thresholds."""

from functools import partial

import numpy as np

from chainrule import viz
from chainrule.app.report.blocks import Block, Figure, Section, Table
from chainrule.app.report.study import Study
from chainrule.app.report.wording import percent
from chainrule.arrays import Array
from chainrule.data.targets import ClassTarget
from chainrule.insight import evaluation


def section(study: Study) -> Section | None:
    """Return the quality of a classifier by class; None for numbers."""
    if not isinstance(study.target, ClassTarget):
        return None
    counts = evaluation.confusion_matrix(study.classes, study.result.predictions)
    figures: list[Block] = [_confusion(study, counts), _roc(study), _precision_recall(study)]
    return Section("Classes", [_by_class(study, counts), *figures])


def _by_class(study: Study, counts: Array) -> Table:
    scores = evaluation.class_scores(counts)
    columns = zip(study.labels, scores.precision, scores.recall, scores.f1, scores.support.tolist())
    rows = [(label, f"{p:.3f}", f"{r:.3f}", f"{f1:.3f}", f"{n:,}") for label, p, r, f1, n in columns]
    present = np.flatnonzero(scores.support)
    worst = present[scores.recall[present].argmin()]
    if scores.recall[worst] == 1:
        caption = f"All {study.rows_name} of every class are recognized."
    else:
        caption = (
            f"Class {study.labels[worst]} is recognized least: {percent(scores.recall[worst])} of its "
            f"{scores.support[worst]:,} {study.rows_name}. Support is the number of rows of a class."
        )
    return Table(("class", "precision", "recall", "F1", "support"), rows, caption, fits=True)


def _confusion(study: Study, counts: Array) -> Figure:
    wrong = counts - np.diag(np.diag(counts))
    i, j = np.unravel_index(wrong.argmax(), wrong.shape)
    if wrong.any():
        caption = (
            f"{percent(wrong.sum() / counts.sum())} of the {study.rows_name} are predicted wrongly. The most frequent "
            f"error: {wrong[i, j]:,} of {counts[i].sum():,} rows of {study.labels[i]} are taken for {study.labels[j]}."
        )
    else:
        caption = f"All {counts.sum():,} {study.rows_name} are predicted correctly."
    side = float(np.clip(0.3 * len(counts) + 2, 3.2, 9))
    draw = partial(viz.confusion, study.classes, study.result.predictions, study.labels)
    return Figure(draw, side + 0.6, side, "Confusion matrix", caption)


def _roc(study: Study) -> Figure:
    y, P = study.classes, study.result.predictions
    areas = {
        label: evaluation.area_under(*evaluation.roc_curve(y == k, P[:, k])[:2])
        for k, label in enumerate(study.labels)
        if 0 < (y == k).sum() < len(y)
    }
    if not areas:
        caption = "All rows are of one class: there is no curve."
    elif len(study.labels) == 2:
        area = areas[study.labels[1]]
        caption = (
            f"Given a row of {study.labels[1]} and one of {study.labels[0]}, the first has the higher probability of "
            f"{study.labels[1]} in {percent(area)} of pairs."
        )
    else:
        hardest = min(areas, key=lambda label: areas[label])
        caption = (
            f"{hardest} is hardest to distinguish: given a row of it and another row, the first has the higher "
            f"probability of {hardest} in {percent(areas[hardest])} of pairs."
        )
    return Figure(partial(viz.roc, y, P, study.labels), 4.4, 4.0, "ROC curve", caption)


def _precision_recall(study: Study) -> Figure:
    y, P = study.classes, study.result.predictions
    present = [k for k in range(len(study.labels)) if (y == k).any()]
    if len(study.labels) == 2:
        present = [k for k in present if k == 1]
    averages = {}
    for k in present:
        precision, recall, _ = evaluation.precision_recall_curve(y == k, P[:, k])
        averages[k] = evaluation.average_precision(precision, recall)
    if averages:
        k = min(averages, key=lambda k: averages[k])
        caption = (
            f"On average over recall, {percent(averages[k])} of the rows taken for {study.labels[k]} are of it; "
            f"of all rows, {percent(float((y == k).mean()))} are."
        )
    else:
        caption = f"No row is of {study.labels[1]}: there is no curve."
    return Figure(partial(viz.precision_recall, y, P, study.labels), 4.4, 4.0, "Precision-recall curve", caption)
