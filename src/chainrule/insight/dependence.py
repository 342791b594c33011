"""Partial dependence: a model's mean prediction as a function of one column, or of the two that interact most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from chainrule.arrays import Array, as_generator, require, require_integer
from chainrule.data.cells import are_numbers, as_dates_only, factorize, missing_rows
from chainrule.data.formats import to_number
from chainrule.data.reading import Columns, n_rows, read_columns, take_rows
from chainrule.errors import TableError, require_names
from chainrule.insight.responses import PredictionFunction, column_replacer, output_names, sample_rows
from chainrule.model.predictor import Predictor

_MAX_CURVES = 40
"""Rows whose own curves are kept: more would hide one another in a figure."""
_TAIL = 0.01
"""Fraction of the rows at each end of a column that a grid leaves out: an outlier would take up most of an axis."""


@dataclass(frozen=True)
class Dependence:
    """Partial dependence: a model's mean predictions (m, k) with one column set to each of m values in every row.

    `values` (m,) are numbers or dates, increasing, or names of categories, those with the largest prediction first;
    `names` are those of the k outputs. `curves` (r, m, k) are the predictions for some of the rows, whose mean they
    are: individual conditional expectations (Goldstein et al. 2015). `observed` (n,) are the values of the table's
    rows, as far as they are known.
    """

    column: str
    values: Array
    predictions: Array
    names: tuple[str, ...]
    curves: Array | None = None
    observed: Array | None = None

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers or dates rather than categories."""
        return self.values.dtype.kind in "fM"

    @property
    def are_probabilities(self) -> bool:
        """Whether the predictions are those of a classifier: at least two, none negative, with sum 1."""
        return _are_probabilities(self.predictions)


@dataclass(frozen=True)
class Interaction:
    """Mean predictions (m1, m2, k) with two columns set to each pair of m1 and m2 values in every row.

    `counts` (m1, m2) is the number of the table's rows nearest to each pair. `strength` is the standard deviation of
    what the sum of the two partial dependences leaves unexplained, of the output for which it is largest; `h` is
    Friedman's H, which relates it to the joint partial dependence: 0 if the two effects add up, 1 if nothing else is
    left of them.
    """

    columns: tuple[str, str]
    values: tuple[Array, Array]
    predictions: Array
    names: tuple[str, ...]
    counts: Array
    strength: float
    h: float

    @property
    def are_probabilities(self) -> bool:
        """Whether the predictions are those of a classifier: at least two, none negative, with sum 1."""
        return _are_probabilities(self.predictions)


def partial_dependence(
    model: Predictor | PredictionFunction,
    table: object,
    column: str,
    *,
    points: int = 20,
    max_rows: int = 500,
    seed: int = 0,
) -> Dependence:
    """Average the predictions for all rows of a table with one column set to a fixed value, for several values.

    Friedman 2001, "Greedy function approximation", eq. 53. The average includes implausible rows, such as a
    three-year-old two meters tall, if columns are correlated. It hides effects of opposite sign in different rows,
    which the curves of single rows show.

    Parameters
    ----------
    model, table, max_rows, seed
        As for `chainrule.insight.evaluation.permutation_importance`.
    column : str
    points : int
        Maximum number of values. If a number or date has more, they are chosen from the data between the 1st and the
        99th percentile, half of them evenly spaced by rank and half by value; for categories, they are the most
        frequent ones.

    Raises
    ------
    TableError
        If the column is missing or empty.
    """
    require_integer(points, "points", 2)
    cells = read_columns(table)
    require_names(cells, [column])
    grid = _Grid.of(column, cells[column], points)
    rng = as_generator(seed)
    cells = take_rows(cells, sample_rows(n_rows(cells), max_rows, rng))
    curves = _curves(model, cells, [column], [(cell,) for cell in grid.cells])
    means = curves.mean(axis=0)
    order = grid.order(means)
    some = sample_rows(len(curves), _MAX_CURVES, rng)
    names = output_names(model, means.shape[1])
    return Dependence(column, grid.values[order], means[order], names, curves[some][:, order], grid.observed)


def strongest_interaction(
    model: Predictor | PredictionFunction,
    table: object,
    columns: Sequence[str],
    *,
    points: int = 10,
    max_rows: int = 40,
    seed: int = 0,
) -> Interaction:
    """Return the joint partial dependence of that pair of columns whose effects add up least.

    For each pair, the joint partial dependence F(x, z) at the rows of a sample is compared with the sum of the two
    partial dependences, all centered: h^2 = sum (F(x, z) - F(x) - F(z))^2 / sum F(x, z)^2 (Friedman & Popescu 2008,
    eq. 44). The numerator, not H, determines the strongest pair: H is large for pairs that matter little.

    Parameters
    ----------
    model, table, seed
        As for `partial_dependence`.
    columns : sequence of str
        At least two; p of them take max_rows^2 p (p + 1) / 2 predictions.
    points : int
        Maximum number of values of each of the two columns in the result.
    max_rows : int
        Size of the sample.

    Raises
    ------
    TableError
        If a column is missing or empty.
    """
    require_integer(points, "points", 2)
    require(len(set(columns)) == len(columns) >= 2, "columns", "be at least two different names", list(columns))
    cells = read_columns(table)
    require_names(cells, columns)
    grids = {name: _Grid.of(name, cells[name], points) for name in columns}
    sample = take_rows(cells, sample_rows(n_rows(cells), max_rows, as_generator(seed)))
    single = {name: _centered_at_rows(model, sample, [name]) for name in columns}
    best, strength, h = ("", ""), -1.0, 0.0
    for one, other in combinations(columns, 2):
        joint = _centered_at_rows(model, sample, [one, other])
        rest = joint - single[one] - single[other]
        size = float(np.sqrt((rest**2).mean(axis=0)).max())
        if size > strength:
            total = float((joint**2).sum())
            best, strength, h = (one, other), size, float(np.sqrt((rest**2).sum() / total)) if total else 0.0
    down, across = (grids[name] for name in best)
    pairs = [(cell, other) for cell in down.cells for other in across.cells]
    means = _curves(model, sample, best, pairs).mean(axis=0)
    means = means.reshape(len(down.cells), len(across.cells), -1)
    orders = down.order(means.mean(axis=1)), across.order(means.mean(axis=0))
    counts = np.zeros(means.shape[:2], np.intp)
    places = down.nearest(cells[best[0]]), across.nearest(cells[best[1]])
    is_known = (places[0] >= 0) & (places[1] >= 0)
    np.add.at(counts, (places[0][is_known], places[1][is_known]), 1)
    return Interaction(
        best,
        (down.values[orders[0]], across.values[orders[1]]),
        means[np.ix_(*orders)],
        output_names(model, means.shape[2]),
        counts[np.ix_(*orders)],
        strength,
        h,
    )


def _are_probabilities(predictions: Array) -> bool:
    enough = predictions.shape[-1] > 1 and predictions.min() >= 0
    return bool(enough and np.allclose(predictions.sum(axis=-1), 1, atol=1e-4))


def _curves(
    model: Predictor | PredictionFunction, table: Columns, columns: Sequence[str], grid: Sequence[tuple[object, ...]]
) -> Array:
    """Return the predictions (n, m, k) for all rows with the columns set to each of m tuples of cells."""
    predict_with = column_replacer(model, table)
    changes = ({name: _constant(cell, table[name]) for name, cell in zip(columns, cells)} for cells in grid)
    return np.stack([predict_with(cells) for cells in changes], axis=1).astype(np.float64)


def _centered_at_rows(model: Predictor | PredictionFunction, table: Columns, columns: Sequence[str]) -> Array:
    """Return the partial dependence (n, k) on some columns together at each row's own cells, with mean 0."""
    n = n_rows(table)
    everything = take_rows(table, np.tile(np.arange(n), n))
    own = {name: np.repeat(table[name], n) for name in columns}
    F = column_replacer(model, everything)(own).reshape(n, n, -1).mean(axis=1)
    return F - F.mean(axis=0)


def _constant(cell: object, column: Array) -> Array:
    """Return a column like this one with the same cell in every row."""
    constant: Array = np.empty(len(column), column.dtype)
    constant[:] = cell
    return constant


@dataclass(frozen=True)
class _Grid:
    """Representative cells of a column, their values, and the values of all rows (n,) in which the column is known."""

    column: str
    cells: list[Any]
    values: Array
    observed: Array

    @classmethod
    def of(cls, name: str, column: Array, max_points: int) -> _Grid:
        """Choose the cells."""
        distinct, values, codes = _distinct(name, column)
        if values is None:
            names = np.array([str(cell) for cell in distinct])
            frequent = np.argsort(-np.bincount(codes), kind="stable")[:max_points]
            return cls(name, [distinct[i] for i in frequent], names[frequent], names[codes])
        by_rank = np.sort(values[codes])
        by_rank = by_rank[np.isfinite(by_rank)]  # spelled-out missing values, such as "NA", are NaN here
        if not len(by_rank):
            raise TableError(f"column {name!r} must contain a finite number, got {distinct[0]!r}")
        chosen = np.unique(by_rank)
        if len(chosen) > max_points:
            chosen = np.unique(by_rank[list(_representative(by_rank, max_points))])
        cell_of = dict(zip(values.tolist(), distinct))
        return cls(name, [cell_of[value] for value in chosen.tolist()], chosen, by_rank)

    def order(self, means: Array) -> Array:
        """Return the order of the values: that of numbers and dates, and categories by their predictions (m, k)."""
        if self.values.dtype.kind in "fM":
            return np.arange(len(self.values))
        k = 1 if means.shape[1] == 2 else int(np.argmax(np.ptp(means, axis=0)))  # of two classes, the second
        return np.argsort(-means[:, k], kind="stable")

    def nearest(self, column: Array) -> Array:
        """Return the index (n,) of the value nearest to each cell, -1 for missing cells and other categories."""
        missing = missing_rows(self.column, column)
        places = np.full(len(column), -1)
        distinct, values, codes = _distinct(self.column, column)
        if values is None:
            known = {name: k for k, name in enumerate(self.values.tolist())}
            places[~missing] = np.array([known.get(str(cell), -1) for cell in distinct])[codes]
            return places
        edges = self.values[:-1] + (self.values[1:] - self.values[:-1]) / 2
        nearest = np.where(np.isfinite(values), np.searchsorted(edges, values), -1)
        places[~missing] = nearest[codes]
        return places


def _distinct(name: str, column: Array) -> tuple[list[Any], Array | None, Array]:
    """Return the distinct known cells, their values if they are numbers or dates, and the codes of the known rows."""
    known = column[~missing_rows(name, column)]
    if not len(known):
        raise TableError(f"column {name!r} must have at least one value, got only missing ones")
    if known.dtype.kind == "M":
        distinct, codes = np.unique(known, return_inverse=True)
        cells: list[Any] = list(distinct)
    else:
        cells, codes = factorize(name, known)
    values = np.array([to_number(cell) for cell in cells]) if are_numbers(cells) else as_dates_only(cells)
    return cells, values, codes


def _representative(by_rank: Array, n: int) -> Iterator[int]:
    """Yield the places of about n values among sorted ones (m,), half of them by rank and half by value."""
    last = len(by_rank) - 1
    ends = round(_TAIL * last), round((1 - _TAIL) * last)
    n_by_rank = (n + 1) // 2
    yield from np.linspace(*ends, n_by_rank).round().astype(np.intp).tolist()
    low, high = by_rank[ends[0]], by_rank[ends[1]]
    steps = np.arange(1, n - n_by_rank + 1) / (n - n_by_rank + 1)
    wanted = low + (high - low) * steps
    right = np.clip(np.searchsorted(by_rank, wanted), 1, last)
    yield from (right - (wanted - by_rank[right - 1] < by_rank[right] - wanted)).tolist()
