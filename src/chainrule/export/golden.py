"""Golden rows: synthetic rows stored in every export with the model's own predictions, for its self-test.

A model file contains no rows of its training table, so golden rows are drawn, with a fixed seed, from the statistics
kept by the encoder: numbers distributed around each column's center at its scale, or missing; every category of every
categorical column, an unseen category and a missing one; dates around their center.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.data.columns import Column
from chainrule.data.features import Categorical, SmoothClip
from chainrule.data.targets import NumberTarget
from chainrule.export.steps import Model, as_ensemble
from chainrule.model.predictor import Predictor

TOLERANCE = 1e-5
"""Largest accepted difference between the predictions of an export and of the model, in units of `Golden.units`."""
_MIN_ROWS, _MAX_ROWS = 16, 256
"""Numbers of golden rows; a column with more categories than the minimum needs more."""


@dataclass(frozen=True, eq=False)
class Golden:
    """Golden rows and the model's predictions for them.

    Attributes
    ----------
    rows : list of dict, or (n, n_in)
        Input of a predictor, or of a network.
    X : (n, n_in)
        The same rows, encoded.
    predictions : (n, n_out)
        Probabilities, or values in the target's unit.
    units : (n_out,)
        Divisors of the differences. For a numeric target the largest absolute prediction, for probabilities 1, for a
        bare network the larger of both.
    """

    rows: list[dict[str, Any]] | Array
    X: Array
    predictions: Array
    units: Array

    def difference(self, predictions: Array) -> float:
        """Return the largest difference between `predictions` (n, n_out) and the golden ones, in `units`."""
        return largest_difference(predictions, self.predictions, self.units)

    def require_close(self, difference: float) -> float:
        """Return `difference`; raise ValueError if it exceeds the tolerance, so that no wrong file is written."""
        if not difference <= TOLERANCE:
            raise ValueError(
                f"the exported model must match the model within {TOLERANCE:g} on the golden rows, got a difference of "
                f"{difference:.1e}. Float32 precision is probably too low for this model."
            )
        return difference


def largest_difference(predictions: Array, expected: Array, units: Array) -> float:
    """Return max |predictions - expected| / units. Arrays (n, n_out), units (n_out,)."""
    return float(np.max(np.abs(predictions - expected) / units))


def golden_of(model: Model) -> Golden:
    """Return a model's golden rows."""
    rng = np.random.default_rng(0)
    if not isinstance(model, Predictor):
        ensemble = as_ensemble(model)
        X = rng.normal(size=(_MIN_ROWS, ensemble.n_in)).astype(np.float32)
        predictions = ensemble.predict(X)
        return Golden(X, X, predictions, np.maximum(1, np.abs(predictions).max(axis=0)))
    rows = _golden_rows(model.encoder.columns, rng)
    predictions = model.predictions(rows)
    units = np.ones(predictions.shape[1])
    if isinstance(model.target, NumberTarget):
        predictions = np.reshape(model.target.decode(predictions), predictions.shape)
        largest = np.abs(predictions).max(axis=0)
        units = np.where(largest > 0, largest, 1)
    return Golden(rows, model.encoder.transform(rows), predictions, units)


def days_of(text: str | None) -> float | None:
    """Return the days from 1970-01-01 to a golden date; None if it is missing."""
    return None if text is None else (datetime.fromisoformat(text) - datetime(1970, 1, 1)) / timedelta(days=1)


def _golden_rows(columns: list[Column], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return rows that cover every kind of cell in every column; the last row has every cell missing, where allowed."""
    n_categories = (len(_categories_of(column)) + 2 for column in columns)
    n = min(max(_MIN_ROWS - 1, *n_categories), _MAX_ROWS)
    cells = {column.name: CELLS[column.source](column, n, rng) for column in columns}
    last = {column.name: 0.0 if column.source == "X" else None for column in columns}
    return [*({name: values[i] for name, values in cells.items()} for i in range(n)), last]


def _spread(column: Column) -> tuple[float, float]:
    """Return the center of a column's numbers or days in training, and the reciprocal of their spread."""
    scaled = (of for of in column.features if isinstance(of, SmoothClip) and of.part in ("", "days"))
    return next(((of.center, of.scale) for of in scaled), (0.0, 1.0))


def _numbers(column: Column, n: int, rng: np.random.Generator) -> list[float | None]:
    """Draw numbers around the column's center at its scale; about one in eight is missing, and one is a sentinel."""
    center, scale = _spread(column)
    with np.errstate(over="ignore"):
        drawn = center + rng.normal(size=n) / scale
        limit = float(np.finfo(np.float64).max)
        values = np.clip(drawn, -limit, limit).tolist()
    values[: len(column.sentinels)] = column.sentinels
    return [None if missing else value for value, missing in zip(values, rng.random(n) < 1 / 8)]


def _categories_of(column: Column) -> list[str]:
    return [category for of in column.features if isinstance(of, Categorical) for category in of.categories]


def _categories(column: Column, n: int, rng: np.random.Generator) -> list[str | None]:
    """Return every category, an unseen one and a missing one, repeated to n cells in random order.

    Of more than n - 2 categories, every second one is returned, or every third one, and so on.
    """
    categories = _categories_of(column)
    categories = categories[:: ceil(len(categories) / (n - 2))]
    unseen = "unseen"
    while unseen in categories:
        unseen += "?"
    cells = [*categories, unseen, None]
    return [cells[i % len(cells)] for i in rng.permutation(n)]


_EARLIEST, _LATEST = -70 * 365.25, 130 * 365.25
"""Range of the golden dates in days since 1970: 1900 to 2100."""


def _dates(column: Column, n: int, rng: np.random.Generator) -> list[str | None]:
    """Draw dates as ISO text, with a time of day if the column uses it; about one in eight is missing."""
    center, scale = _spread(column)
    days = np.clip(center + rng.normal(size=n) / scale, _EARLIEST, _LATEST)
    days = np.rint(days * 86400) / 86400
    length = 19 if any(feature.part == "hour" for feature in column.features) else 10
    texts = [(datetime(1970, 1, 1) + timedelta(days=day)).isoformat()[:length] for day in days.tolist()]
    return [None if missing else text for text, missing in zip(texts, rng.random(n) < 1 / 8)]


CELLS: dict[str, Callable[[Column, int, np.random.Generator], list[Any]]] = {
    "numbers": _numbers,
    "X": lambda column, n, rng: rng.normal(size=n).astype(np.float32).tolist(),
    "categories": _categories,
    "dates": _dates,
}
