"""Golden rows: rows that go with every export, and the model's own answers for them, by which it tests itself.

A model file holds no row of its training table. So these are made from what the encoder has kept: numbers around each
centre, as far apart as its scale says, or missing; every level of every category, a level that training never saw, a
missing one; dates around their centre. They are drawn by a fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.data.columns import CategoryColumn, Column, DateColumn, NumberColumn, RawColumn
from chainrule.data.targets import NumberTarget
from chainrule.export.steps import Model, as_ensemble
from chainrule.model.predictor import Predictor

ROWS = 16
"""Golden rows, at least; a category of more levels needs more."""
TOLERANCE = 1e-5
"""How far an export's answers may be from the model's, in the unit of `Golden.units`."""


@dataclass(frozen=True, eq=False)
class Golden:
    """Rows and the model's answers for them.

    Attributes
    ----------
    rows : list of dict, or (n, n_in)
        What a predictor, or a network, is asked.
    X : (n, n_in)
        The same rows, encoded.
    answers : (n, n_out)
        Probabilities, or numbers in the target's unit.
    units : (n_out,)
        What differences count against: of numbers in a target's unit the largest answer, else that or 1.
    """

    rows: list[dict[str, Any]] | Array
    X: Array
    predictions: Array
    units: Array

    def difference(self, predictions: Array) -> float:
        """Return the greatest difference of other answers (n, n_out) from these, in `units`."""
        return greatest_difference(predictions, self.predictions, self.units)

    def require_close(self, difference: float) -> float:
        """Return the difference; ValueError where it is so great that an export must not be written."""
        if not difference <= TOLERANCE:
            told = f"on its golden rows they are {difference:.1e} apart; single precision may be too little for it"
            raise ValueError(f"an export must answer like the model, got {told}")
        return difference


def greatest_difference(predictions: Array, expected: Array, units: Array) -> float:
    """Return the greatest difference of answers from those expected, both (n, n_out), in units (n_out,)."""
    return float(np.max(np.abs(predictions - expected) / units))


def golden_of(model: Model) -> Golden:
    """Return a model's golden rows."""
    rng = np.random.default_rng(0)
    if not isinstance(model, Predictor):
        ensemble = as_ensemble(model)
        X = rng.normal(size=(ROWS, ensemble.n_in)).astype(np.float32)
        predictions = ensemble.predict(X)
        return Golden(X, X, predictions, np.maximum(1, np.abs(predictions).max(axis=0)))
    rows = golden_rows(model.encoder.columns, rng)
    predictions = model.predictions(rows)
    units = np.ones(predictions.shape[1])
    if isinstance(model.target, NumberTarget):
        predictions = np.reshape(model.target.decode(predictions), predictions.shape)
        largest = np.abs(predictions).max(axis=0)
        units = np.where(largest > 0, largest, 1)
    return Golden(rows, model.encoder.transform(rows), predictions, units)


def golden_rows(columns: list[Column], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return rows in which every column has had all that it can hold; in the last, all that may be missing is."""
    levels = (len(column.categories) + 2 for column in columns if isinstance(column, CategoryColumn))
    n = max(ROWS - 1, *levels, 0)
    cells = {column.name: CELLS[type(column)](column, n, rng) for column in columns}
    last = {column.name: 0.0 if isinstance(column, RawColumn) else None for column in columns}
    return [*({name: values[i] for name, values in cells.items()} for i in range(n)), last]


def numbers(column: NumberColumn, n: int, rng: np.random.Generator) -> list[float | None]:
    """Return numbers around the centre, as far as the scale says; one in eight is missing."""
    with np.errstate(over="ignore"):
        drawn = column.center + rng.normal(size=n) / column.scale
        limit = float(np.finfo(np.float64).max)
        values = np.clip(drawn, -limit, limit).tolist()
    return [None if hole else value for value, hole in zip(values, rng.random(n) < 1 / 8)]


def levels(column: CategoryColumn, n: int, rng: np.random.Generator) -> list[str | None]:
    """Return each level in turn, then one that training never saw, then a missing one, and so on."""
    unseen = "unseen"
    while unseen in column.categories:
        unseen += "?"
    turn = [*column.categories, unseen, None]
    return [turn[i % len(turn)] for i in rng.permutation(n)]


EARLIEST, LATEST = -70 * 365.25, 130 * 365.25
"""Days from 1970 between which golden dates lie: 1900 to 2100."""


def dates(column: DateColumn, n: int, rng: np.random.Generator) -> list[str | None]:
    """Return dates as ISO texts, with the time of day where the column has one; one in eight is missing."""
    days = np.clip(column.days_center + rng.normal(size=n) / column.days_scale, EARLIEST, LATEST)
    days = np.rint(days * 86400) / 86400
    length = 19 if "hour" in column.parts else 10
    texts = [(datetime(1970, 1, 1) + timedelta(days=day)).isoformat()[:length] for day in days.tolist()]
    return [None if hole else text for text, hole in zip(texts, rng.random(n) < 1 / 8)]


def days_of(text: str | None) -> float | None:
    """Return the days from the beginning of 1970 to a golden date; None for a missing one."""
    return None if text is None else (datetime.fromisoformat(text) - datetime(1970, 1, 1)) / timedelta(days=1)


CELLS: dict[type[Column], Callable[[Any, int, np.random.Generator], list[Any]]] = {
    NumberColumn: numbers,
    RawColumn: lambda column, n, rng: rng.normal(size=n).astype(np.float32).tolist(),
    CategoryColumn: levels,
    DateColumn: dates,
}
