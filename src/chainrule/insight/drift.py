"""Drift: whether the columns of a table still look like those that a model was trained on.

A model file knows of each column its range, its categories, how many cells were missing, and has a sample of encoded
training rows. Numbers and dates are compared with the sample by the Kolmogorov-Smirnov distance, categories by the
total variation distance: both are between 0 and 1. A distance counts where chance alone would hardly produce it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import erfc, exp, sqrt
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.data.cells import missing_rows
from chainrule.data.columns import Column
from chainrule.data.features import Missing
from chainrule.data.reading import Columns, n_rows, read_columns, take_rows
from chainrule.errors import TableError
from chainrule.insight.responses import in_target_unit
from chainrule.model.predictor import Predictor

_LEVEL = 0.01
"""Probability of a verdict other than "ok" by chance, shared by all columns."""
_NOTABLE = 0.01
"""Share of cells outside the range of training, or of unknown categories, from which on a verdict names them."""
_MORE_MISSING = 0.05
"""How much larger the share of missing cells is that a verdict names, where it is not by chance."""
_MAX_ROWS = 20_000
"""Number of rows that stand for a larger table."""


@dataclass(frozen=True)
class ColumnDrift:
    """How a column of a table differs from that of training.

    Attributes
    ----------
    name : str
    verdict : str
        "ok", or what is different.
    distance : float or None
        Between the distributions, from 0 to 1; None if the model has no training rows to compare with.
    probability : float or None
        Of a distance at least as large between samples of the same distribution.
    unusual : float
        Share of cells outside the range of training, or of categories that it did not have.
    missing, missing_before : float
        Shares of missing cells in the table, and in training; None if it is not known.
    """

    name: str
    verdict: str
    distance: float | None
    probability: float | None
    unusual: float
    missing: float
    missing_before: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as plain data."""
        return asdict(self)


PREDICTIONS = "(predictions)"
"""The name of the row of the predictions, which are compared like a column."""


def drift(model: Predictor, table: object) -> list[ColumnDrift]:
    """Return how each column of a table differs from the one that the model was trained on, and then its predictions.

    Of a larger table, 20,000 rows are compared. The sample of training rows that a model contains has at most 64 rows:
    with many new rows, distances from about 0.25 are recognized.

    Raises
    ------
    TableError
        If the table has no rows, or does not fit the model.
    """
    rows = read_columns(table)
    n = n_rows(rows)
    if not n:
        raise TableError("table must have at least one row, got a table without rows")
    if n > _MAX_ROWS:
        rows = take_rows(rows, np.sort(np.random.default_rng(0).permutation(n)[:_MAX_ROWS]))
    X, places = model.encoder.transform(rows), model.encoder.layout.places
    comparison = _Comparison(model, rows, n_columns=len(places) + 1)
    found = [comparison.of_column(column, X[:, start:end], slice(start, end)) for column, start, end in places]
    return [*found, comparison.of_predictions(X)]


class _Comparison:
    """Compares the columns of a table with what a model knows of its training."""

    def __init__(self, model: Predictor, rows: Columns, n_columns: int) -> None:
        self.model, self.rows, self.n_columns = model, rows, n_columns
        self.about = {column["name"]: column for column in model.metadata.get("columns", ())}
        self.n_before = sum(model.metadata.get("rows", {}).values())

    def of_column(self, column: Column, X: Array, place: slice) -> ColumnDrift:
        """Return the drift of a column with these encoded cells, at this place among all encoded columns."""
        missing = missing_rows(column.name, self.rows[column.name])
        about = self.about.get(column.name, {})
        background = None if self.model.background is None else self.model.background[:, place]
        distance = probability = None
        if background is not None and not missing.all():
            distance, probability = _distance(column, background, X, missing)
        parts = column.read(self.rows[column.name])
        values = parts["days" if column.source == "dates" else ""][~missing]
        unusual = float(np.mean(_is_unusual(column, values, about))) if len(values) else 0.0
        before = about["missing"] / self.n_before if self.n_before and "missing" in about else None
        is_known = column.source == "categories"
        verdict = self._verdict(probability, unusual, float(missing.mean()), before, is_known)
        return ColumnDrift(column.name, verdict, distance, probability, unusual, float(missing.mean()), before)

    def of_predictions(self, X: Array) -> ColumnDrift:
        """Return the drift of the predictions: of classes, the largest one among their probabilities."""
        if self.model.background is None:
            return ColumnDrift(PREDICTIONS, "not known", None, None, 0.0, 0.0, None)
        ensemble = self.model.ensemble
        old, new = (
            in_target_unit(self.model, ensemble.infer(rows.astype(ensemble.dtype, copy=False)))
            for rows in (self.model.background, X)
        )
        compared = [_kolmogorov_smirnov(old[:, k], new[:, k]) for k in range(old.shape[1])]
        distance, probability = max(compared)
        probability = min(1.0, probability * len(compared))
        verdict = self._verdict(probability, 0.0, 0.0, None, False)
        return ColumnDrift(PREDICTIONS, verdict, distance, probability, 0.0, 0.0, None)

    def _verdict(
        self, probability: float | None, unusual: float, missing: float, before: float | None, is_category: bool
    ) -> str:
        parts = []
        if unusual > max(_NOTABLE, 0.0 if is_category else self._outside_by_chance()):
            parts.append(f"{unusual:.0%} {'unknown categories' if is_category else 'outside the range'}")
        if before is not None and missing - before > max(_MORE_MISSING, self._chance(missing, before)):
            parts.append(f"{missing:.0%} missing, {before:.0%} before")
        if probability is not None and probability < _LEVEL / self.n_columns:
            parts.append("shifted")
        return ", ".join(parts) or "ok"

    def _outside_by_chance(self) -> float:
        """Return the share of cells that chance leaves outside the range of as many rows as the training had.

        That is 2 / (rows + 1) on average; four standard errors are added.
        """
        n = n_rows(self.rows)
        expected = 2 * n / (self.n_before + 1) if self.n_before else 0.0
        return (expected + 4 * sqrt(expected)) / n

    def _chance(self, missing: float, before: float) -> float:
        """Return four standard errors of the difference between two shares of missing cells."""
        n, n_before = n_rows(self.rows), self.n_before
        pooled = (missing * n + before * n_before) / (n + n_before)
        return 4 * sqrt(pooled * (1 - pooled) * (1 / n + 1 / n_before))


def _is_unusual(column: Column, values: Array, about: Mapping[str, Any]) -> Array:
    """Return whether each known cell is of an unknown category, or outside the range of training."""
    if column.source == "categories":
        return np.isnan(values)
    if "min" not in about:
        return np.zeros(len(values), bool)
    ends = [about["min"], about["max"]]
    if column.source == "dates":
        ends = [(np.datetime64(end, "us") - np.datetime64(0, "us")) / np.timedelta64(1, "D") for end in ends]
        return (values < ends[0]) | (values >= ends[1] + 1)
    return (values < ends[0]) | (values > ends[1])


def _distance(column: Column, old: Array, new: Array, missing: Array) -> tuple[float, float]:
    """Return the distance of encoded cells from those of training, without missing ones, and its probability."""
    if column.source == "categories":
        return _total_variation(old, new[~missing])
    marks = [k for k, feature in enumerate(column.features) if isinstance(feature, Missing)]
    if marks:
        starts = np.cumsum([0, *(feature.width for feature in column.features)])
        old = old[old[:, starts[marks[0]]] == 0]
    return _kolmogorov_smirnov(old[:, 0], new[~missing, 0])


def _kolmogorov_smirnov(old: Array, new: Array) -> tuple[float, float]:
    """Return the largest distance of two samples' distribution functions, and its asymptotic probability."""
    if not len(old) or not len(new):
        return 0.0, 1.0
    points = np.concatenate([old, new]).astype(np.float64)
    shares = [np.searchsorted(np.sort(of), points + 1e-6 * np.abs(points), "right") / len(of) for of in (old, new)]
    distance = float(np.abs(shares[0] - shares[1]).max())
    n = len(old) * len(new) / (len(old) + len(new))
    x = (sqrt(n) + 0.12 + 0.11 / sqrt(n)) * distance  # Stephens 1970
    return distance, min(1.0, 2 * exp(-2 * x * x))


def _total_variation(old: Array, new: Array) -> tuple[float, float]:
    """Return half the sum of the differences of the categories' shares, and the probability by a chi-squared test."""
    _, codes = np.unique(np.concatenate([old, new]), axis=0, return_inverse=True)
    k = int(codes.max()) + 1
    counts = np.stack([np.bincount(codes[: len(old)], minlength=k), np.bincount(codes[len(old) :], minlength=k)])
    totals = counts.sum(axis=1, keepdims=True)
    distance = float(np.abs(np.diff(counts / totals, axis=0)).sum() / 2)
    if k == 1:
        return distance, 1.0
    expected = totals * counts.sum(axis=0) / totals.sum()
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    degrees = k - 1
    z = ((chi_squared / degrees) ** (1 / 3) - 1 + 2 / (9 * degrees)) / sqrt(2 / (9 * degrees))  # Wilson & Hilferty 1931
    return distance, erfc(z / sqrt(2)) / 2
