"""The panel: the model within the page, whose reader changes the cells of a row and sees the prediction move.

It is a JavaScript export with contributions. A model with many weights would be slow and large there; a portrait stands
for it, a small network that it has taught, and the page states how far that is from the model.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np

from chainrule.app import messages
from chainrule.app.report.blocks import Control, Panel, Section, Text
from chainrule.app.report.errors import worst_rows
from chainrule.app.report.explanations import farthest
from chainrule.app.report.study import Study
from chainrule.app.report.wording import short
from chainrule.arrays import Array
from chainrule.data.columns import Column
from chainrule.data.features import categories_of
from chainrule.data.reading import n_rows, take_rows
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.export.golden import in_single_precision
from chainrule.export.javascript import module
from chainrule.insight.explanation import orders_of
from chainrule.insight.responses import sample_rows
from chainrule.model.background import N_ROWS
from chainrule.model.predictor import Predictor

MAX_WEIGHTS = 20_000
"""Weights of a model that is in the page itself: its 8,192 predictions that explain one of seven columns take 0.1 s."""
SIZES, EPOCHS, _MAX_TAUGHT = (32, 32), 40, 8_000
"""Hidden layers of a portrait, the epochs of its training, and the rows of the table that it learns from at most."""
SECONDS = 2.5
"""What that training takes, on a table of seven columns."""
_MIN_TAUGHT = 50
"""Fewer rows say less of a model than rows drawn from what it knows of its columns."""
MAX_PREDICTIONS = 2**16
"""Predictions for an explanation, less than half a second: of all 1,024 coalitions of 10 columns with 64 rows."""
_MAX_SHOWN = 12
"""Columns that are shown at first, the most important ones."""
_N_VALUES = 41
"""Quantiles of a column between which its distances are measured."""
_MAX_CLASSES = 6
"""Classes of which a typical row is offered."""
_INTRODUCTION = (
    "Start from a row, change its cells, and see what the model predicts. Each bar is the contribution of a column, as "
    "in Explanations: to the right it raises {}, to the left it lowers it. An empty cell is missing."
)


def section(study: Study) -> Section | None:
    """Return the panel; None for a model that cannot be exported."""
    study.show("the model to try", None)
    try:
        model = shown_model(study)
        single = in_single_precision(model)
        script = module(model, single, contributions=True, name="model")
    except ValueError:  # custom layers or losses, or a precision that the export does not have
        return None
    given = _Rows(study)
    columns = _in_order(study)
    data = {
        "rows": [{"cells": cells, "predicted": predicted} for _, cells, predicted in given.offered],
        "columns": [_values(study, column) for column in columns],
        "scale": _scales(study),
    } | _target_data(study)
    subject = "the log-odds of the class" if isinstance(study.target, ClassTarget) else "the prediction"
    blocks = [Text(_INTRODUCTION.format(subject))]
    if model.ensemble is not study.ensemble:
        blocks.append(Text(_agreement(model)))
    code = (files("chainrule.pages") / "panel.js").read_text("utf-8")
    panel = Panel(
        target=study.target.name,
        labels=study.labels if isinstance(study.target, ClassTarget) else (),
        rows=[label for label, _, _ in given.offered],
        controls=[_control(study, column) for column in columns],
        n_shown=_MAX_SHOWN if len(columns) > _MAX_SHOWN + 2 else len(columns),
        has_intervals="predictInterval" in script,
        script=Panel.joined(script, data, code),
    )
    return Section("Try the model", [*blocks, panel])


def network_rows(n_rows: int) -> int:
    """Return how many rows the networks evaluate for the section at most, of which 6,000 are mixtures."""
    return min(n_rows, _MAX_TAUGHT) + 6_000


def shown_model(study: Study) -> Predictor:
    """Return the model if it has few weights, else a small network that it has taught; with rows to explain with."""
    predictor, inputs = study.predictor, study.result.inputs
    background = predictor.background
    if background is None:
        rows = sample_rows(study.n_rows, N_ROWS, np.random.default_rng(0))
        background = predictor.encoder.transform(take_rows(inputs, rows))
    model = predictor
    if sum(network.theta.size for network in predictor.ensemble.networks) > MAX_WEIGHTS:
        table = inputs if study.training is None else study.training.inputs
        rows = sample_rows(n_rows(table), _MAX_TAUGHT, np.random.default_rng(0))
        taught = take_rows(table, rows) if len(rows) >= _MIN_TAUGHT else None
        is_calibrated = predictor.ensemble.scores is not None
        model = predictor.distil(taught, sizes=SIZES, epochs=EPOCHS, intervals=is_calibrated)
    few = _few(background, len(predictor.encoder.columns))
    if model.background is not None and len(few) == len(model.background):
        return model
    return Predictor(model.encoder, model.ensemble, model.target, model.metadata, few)


def _few(background: Array, n_columns: int) -> Array:
    """Return so many of the background rows, evenly spaced, that the browser explains a row without a pause."""
    orders = orders_of(n_columns)
    n_coalitions = 2**n_columns if orders is None else len(orders) * (n_columns + 1)
    n = min(len(background), max(8, MAX_PREDICTIONS // n_coalitions))
    return background[np.linspace(0, len(background) - 1, n).astype(int)]


def _agreement(portrait: Predictor) -> str:
    """Return a sentence on how far the portrait is from the model."""
    record, target = portrait.metadata["distillation"], portrait.target
    unit, suffix = 1.0, " in probability"
    if isinstance(target, NumberTarget) and target.transform == "identity":
        unit, suffix = target.stds[0], ""
    elif isinstance(target, NumberTarget):
        suffix = " standard deviations of the logarithm"
    text = (
        f"The panel runs a portrait of the model: a network of {record['weights']:,} weights that learned its "
        f"predictions, in place of {record['weights of the teacher']:,}. On {record['measured on']}, the two differ by "
        f"{short(record['loss'] * unit)}{suffix} (root mean square), at most {short(record['largest'] * unit)}"
    )
    if "loss of ends" in record:
        text += f"; the ends of the intervals by {short(record['loss of ends'] * unit)}"
    return f"{text}. The model's own prediction is shown for the rows of the table."


def _in_order(study: Study) -> list[Column]:
    """Return the columns, the most important ones first."""
    columns = {column.name: column for column in study.predictor.encoder.columns}
    ranked = [name for name in study.importance.ranking if name in columns]
    return [columns[name] for name in dict.fromkeys([*ranked, *columns])]


# Cells.


def _days_text(days: float, with_time: bool) -> str:
    """Return days since 1970 as the value of an input for dates, or for dates with times."""
    seconds = np.datetime64(round(days * 86400), "s")
    return str(seconds.astype("M8[m]" if with_time else "M8[D]"))


def _has_time(column: Column) -> bool:
    return any(feature.part == "hour" for feature in column.features)


def _numbers(study: Study, column: Column, rows: Array | None = None) -> Array:
    """Return the cells of a column as numbers (n,): days of dates, indices of categories; NaN where missing."""
    cells = study.result.inputs[column.name]
    parts = column.read(cells if rows is None else cells[rows])
    return parts["days" if column.source == "dates" else ""]


def _plain(column: Column, number: float) -> Any:
    """Return a cell as the panel's control has it: a number, or the text of a date or a category; None if missing."""
    if np.isnan(number):
        return None
    if column.source == "categories":
        return (categories_of(column) or [])[int(number)]
    return _days_text(number, _has_time(column)) if column.source == "dates" else float(number)


def _known(study: Study, column: Column) -> Array:
    numbers = _numbers(study, column)
    known = numbers[~np.isnan(numbers)]
    return known if len(known) else np.zeros(1)


def _values(study: Study, column: Column) -> dict[str, Any]:
    """Return what the script knows of a column: its values from low to high, or the share of each category."""
    known = _known(study, column)
    if column.source == "categories":
        names = categories_of(column) or []
        shares = np.bincount(known.astype(int), minlength=len(names)) / len(known)
        return {"name": column.name, "kind": "category", "categories": names, "shares": shares.round(4).tolist()}
    values = np.unique(np.quantile(known, np.linspace(0, 1, _N_VALUES), method="nearest"))
    kind = "date" if column.source == "dates" else "number"
    return {"name": column.name, "kind": kind, "values": values.tolist(), "decimals": _decimals(known)}


def _decimals(known: Array) -> int:
    """Return the digits after the point with which numbers are written, at most as many as matter."""
    spread = float(np.ptp(known)) or float(abs(known[0])) or 1.0
    most = int(np.clip(4 - np.floor(np.log10(spread)), 0, 12))
    return next((digits for digits in range(most) if np.array_equal(known.round(digits), known)), most)


def _control(study: Study, column: Column) -> Control:
    if column.source == "categories":
        return Control(column.name, "category", options=categories_of(column) or [])
    known = _known(study, column)
    kind, digits, step = "number", _decimals(known), ""
    if column.source == "dates":
        with_time = _has_time(column)
        kind, digits, step = ("datetime-local", 5, "any") if with_time else ("date", 0, "1")
    low, high = (f"{end:.{digits}f}" for end in (known.min(), known.max()))
    return Control(column.name, kind, low, high, step or f"{10.0**-digits:.{digits}f}")


# Rows.


class _Rows:
    """The rows that a reader can start from: typical ones, the one that is explained, and those of the errors."""

    def __init__(self, study: Study) -> None:
        self.study = study

    @cached_property
    def offered(self) -> Sequence[tuple[str, dict[str, Any], str]]:
        """The label, the cells and the prediction of each."""
        study = self.study
        indices: dict[int, str] = {}
        for i, why in self._reasons():
            indices[i] = f"{indices[i]}, {why}" if i in indices else why
        chosen = np.array(list(indices))
        columns = study.predictor.encoder.columns
        cells = {column.name: (column, _numbers(study, column, chosen).tolist()) for column in columns}
        return [
            (
                f"Row {study.result.rows[i]:,}: {why}",
                {name: _plain(column, numbers[k]) for name, (column, numbers) in cells.items()},
                self._predicted(int(i)),
            )
            for k, (i, why) in enumerate(indices.items())
        ]

    def _reasons(self) -> Iterator[tuple[int, str]]:
        """Yield the indices of rows and why they are offered."""
        study, predictions = self.study, self.study.result.predictions
        if isinstance(study.target, ClassTarget):
            top = predictions.argmax(axis=1)
            for k in np.argsort(-np.bincount(top), kind="stable")[:_MAX_CLASSES].tolist():
                rows = np.flatnonzero(top == k)
                if len(rows):
                    order = rows[np.argsort(predictions[rows, k], kind="stable")]
                    yield int(order[len(order) // 2]), f"a typical {study.labels[k]}"
        else:
            order = np.argsort(predictions[:, 0], kind="stable")
            for share, name in ((2, "median"), (10, "low"), (1.1, "high")):
                yield int(order[int((len(order) - 1) / share)]), f"a {name} prediction"
        explained = farthest(study.explanation).rows[0]
        yield int(np.flatnonzero(study.result.rows == explained)[0]), "explained above"
        yield from ((int(i), f"error number {k}") for k, i in enumerate(worst_rows(study).tolist(), 1))

    def _predicted(self, i: int) -> str:
        """Return what the model itself predicts for a row."""
        study = self.study
        if isinstance(study.target, ClassTarget):
            P = study.result.predictions[i]
            return f"{study.labels[int(P.argmax())]} ({P.max():.1%})"
        return messages.format_cell(round(float(study.predicted[i]), _target_data(study)["decimals"]))


# The target.


def _scales(study: Study) -> list[float]:
    """Return for each explained output the largest contribution to it in the explained rows: the width of a bar."""
    explanation = study.explanation
    phi = np.abs(explanation.contributions).reshape(-1, len(explanation.outputs))
    return [float(scale) or 1.0 for scale in phi.max(axis=0)]


def _target_data(study: Study) -> dict[str, Any]:
    """Return what the script knows of the target: the range of predictions, and the digits to show."""
    if isinstance(study.target, ClassTarget):
        return {"labels": study.labels}
    predicted = study.predicted
    low, high = float(predicted.min()), float(predicted.max())
    spread = (high - low) or abs(high) or 1.0
    return {
        "range": [low - spread / 4, high + spread / 4],
        "decimals": int(np.clip(3 - np.floor(np.log10(spread)), 0, 12)),
    }
