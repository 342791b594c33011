"""Shards: the rows of a Dask collection, encoded, in a fixed number of parts of equal size.

A shard is made of contiguous rows in the order of the partitions, so that it depends neither on the workers nor on the
sizes of the partitions. The functions here are pure and run on the workers, on one partition or one shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from chainrule.arrays import Array, as_real
from chainrule.data.cells import missing_rows
from chainrule.data.reading import Columns, n_rows, read_columns, take_rows
from chainrule.data.statistics import Cells, Numbers, Statistics, merge, summarize
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.training.batches import Batch

MAX_HELD_OUT = 32_768
"""Rows that the folds hold out together: enough to calibrate, and few enough to be evaluated in each round."""
_BLOCK = 65_536
"""Rows that are dealt out to the folds at a time."""
_TARGET = "y"
"""Name of the target, as in the estimators for one machine."""


# Partitions.


class Partition(NamedTuple):
    """A part of a table with its targets and weights, as Dask has it."""

    X: Any
    y: Any
    weight: Any = None

    def rows(self) -> tuple[Columns, Array, Array | None]:
        """Return columns, targets and weights of the rows with a known target and a weight > 0."""
        columns, y = read_columns(self.X), np.asarray(self.y)
        weight = None if self.weight is None else as_real(self.weight, np.float64, "sample_weight")
        for name, values in ((_TARGET, y), ("sample_weight", weight)):
            if values is not None and len(values) != n_rows(columns):
                lengths = f"got {n_rows(columns)} and {len(values)}"
                raise ValueError(f"the partitions of X and {name} must have the same numbers of rows, {lengths}")
        used = ~(missing_rows(_TARGET, y) if y.ndim == 1 else np.isnan(y).any(axis=1))
        if weight is not None:
            if not (weight >= 0).all():
                raise ValueError(f"sample_weight must be >= 0, got {weight[~(weight >= 0)][0]}")
            used &= weight > 0
        return take_rows(columns, used), y[used], None if weight is None else weight[used]


class Summary(NamedTuple):
    """How many rows a part of a table has, and the statistics of its columns and of its targets."""

    n_rows: int
    columns: Statistics
    targets: Statistics

    def target(self, task: str) -> ClassTarget | NumberTarget:
        """Return the target of the whole table."""
        statistics = list(self.targets.values())
        if task == "classification":
            [cells] = statistics
            assert isinstance(cells, Cells)
            from chainrule.estimators.labels import check_labels  # imported late: workers do not need scikit-learn

            check_labels(np.array(cells.cells, object))
            if len(cells.cells) < 2:
                raise ValueError(f"y must have at least 2 classes, got {cells.cells}")
            order = sorted(range(len(cells.cells)), key=cells.cells.__getitem__)
            return ClassTarget.of(_TARGET, np.array([cells.cells[i] for i in order]), cells.counts[order] / self.n_rows)
        moments = [numbers.moments for numbers in statistics if isinstance(numbers, Numbers)]
        stds = [sqrt(square / n) or 1.0 for n, _, square in moments]
        target = NumberTarget(_TARGET, tuple(mean for _, mean, _ in moments), tuple(stds))
        target.check()
        return target


def summarized(partition: Partition, task: str, number: int) -> Summary:
    """Return the summary of the partition of this number."""
    columns, y, _ = partition.rows()
    first_row = number << 32  # cells stay in the order of the partitions
    targets = {f"{_TARGET}{j}": values for j, values in enumerate(np.atleast_2d(y.T))}
    classes = list(targets) if task == "classification" else []
    return Summary(len(y), dict(summarize(columns, (), first_row)), dict(summarize(targets, classes, first_row)))


def merged(parts: Sequence[Summary]) -> Summary:
    """Return the summary of all parts."""
    return reduce(
        lambda a, b: Summary(a.n_rows + b.n_rows, merge(a.columns, b.columns), merge(a.targets, b.targets)), parts
    )


def encoded(
    partition: Partition, start: int, stop: int, encoder: TabularEncoder, target: ClassTarget | NumberTarget
) -> Batch:
    """Return some rows of a partition as the networks take them, but numbers to predict in their own unit."""
    columns, y, weight = partition.rows()
    columns, y = {column.name: columns[column.name][start:stop] for column in encoder.columns}, y[start:stop]
    y = target.encode(y) if isinstance(target, ClassTarget) else target.numbers(y)
    return encoder.transform(columns), y, None if weight is None else weight[start:stop]


# Shards.


@dataclass(frozen=True)
class Shard:
    """Encoded rows X (n, d) with their targets and weights; `fold` (n,) is the fold that holds a row out, -1 for none.

    Targets are class numbers (n,), or numbers (n, n_outputs) in their own unit.
    """

    number: int
    X: Array
    y: Array
    weight: Array | None
    fold: Array

    def take(self, rows: Array) -> Batch:
        """Return (X, y, weight) of some rows."""
        return self.X[rows], self.y[rows], None if self.weight is None else self.weight[rows]


def pieces(lengths: Sequence[int], n_shards: int) -> Iterator[list[tuple[int, int, int]]]:
    """Yield for each shard its pieces (partition, start, stop), for partitions of these numbers of rows."""
    ends = list(accumulate(lengths, initial=0))
    for low, high in pairwise(ends[-1] * k // n_shards for k in range(n_shards + 1)):
        overlaps = [(i, max(low - begin, 0), min(high, end) - begin) for i, (begin, end) in enumerate(pairwise(ends))]
        yield [(i, start, stop) for i, start, stop in overlaps if start < stop]


def joined(number: int, n_shards: int, batches: Sequence[Batch], n_rows: int, n_folds: int, seed: int) -> Shard:
    """Return the shard of that number from its pieces, for a table of n_rows."""
    X, y, weight = zip(*batches)
    start, stop = (n_rows * k // n_shards for k in (number, number + 1))
    return Shard(
        number,
        np.concatenate(X),
        np.concatenate(y),
        None if weight[0] is None else np.concatenate(weight),
        folds_of(start, stop, n_rows, n_folds, seed),
    )


def held_out(shard: Shard) -> Shard:
    """Return the rows that a fold holds out."""
    rows = np.flatnonzero(shard.fold >= 0)
    return Shard(shard.number, *shard.take(rows), shard.fold[rows])


def folds_of(start: int, stop: int, n_rows: int, n_folds: int, seed: int) -> Array:
    """Return for the rows of these numbers, of n_rows in total, the fold that holds each out, or -1.

    In each block of rows, a sample is dealt out to the folds, of equal numbers of rows.
    """
    size = min(n_rows, _BLOCK)
    n_held_out = max(n_folds, round(size * min(1, MAX_HELD_OUT / n_rows)))
    fold = []
    for block in range(start // size, -(-stop // size)):
        place = np.random.default_rng((seed, block)).permutation(size)
        fold.append(np.where(place < n_held_out, place % n_folds, -1).astype(np.int8))
    skipped = start // size * size
    return np.concatenate(fold)[start - skipped : stop - skipped]
