"""The rows with the largest errors, and their cells: mistakes in the table are often among them."""

import numpy as np

from chainrule.app import messages
from chainrule.app.report.blocks import Section, Table, Text
from chainrule.app.report.study import Study
from chainrule.arrays import Array
from chainrule.data.formats import is_missing
from chainrule.data.targets import ClassTarget

_MAX_ROWS, _MAX_COLUMNS = 8, 8


def section(study: Study) -> Section:
    """Return the rows with the largest loss: actual and predicted target, and their cells of important columns."""
    worst = worst_rows(study)
    if not len(worst):
        return Section("Largest errors", [Text("Every row is classified correctly.")])
    names, result = study.importance.ranking[:_MAX_COLUMNS], study.result
    rows = [
        [f"{result.rows[i]:,}", _cell(result.values[i]), text, *(_cell(result.inputs[name][i]) for name in names)]
        for i, text in zip(worst.tolist(), _predicted(study, worst))
    ]
    caption = (
        "The rows with the largest loss, by their number in the file, and their values of the most important columns."
    )
    return Section("Largest errors", [Table(["row", "actual", "predicted", *names], rows, caption, numeric=False)])


def worst_rows(study: Study) -> Array:
    """Return the indices of the rows with the largest loss, the worst first."""
    predictions = study.result.predictions
    if isinstance(study.target, ClassTarget):
        y = study.classes
        worst = np.argsort(predictions[np.arange(len(predictions)), y], kind="stable")[:_MAX_ROWS]
        return worst[predictions[worst].argmax(axis=1) != y[worst]]
    return np.argsort(-np.abs(study.actual - study.predicted), kind="stable")[:_MAX_ROWS]


def _predicted(study: Study, rows: Array) -> list[str]:
    """Return what is predicted for these rows."""
    if isinstance(study.target, ClassTarget):
        P = study.result.predictions[rows]
        return [f"{label} ({of.max():.0%})" for label, of in zip(study.target.decode(P), P)]
    return [messages.format_cell(value) for value in study.predicted[rows].tolist()]


def _cell(value: object) -> str:
    """Return a cell of the user's table as text."""
    if is_missing(value):
        return ""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return messages.format_cell(float(value))
    return str(value)
