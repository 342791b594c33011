"""Tables larger than memory: a sample of the rows is in memory, and members are trained on all others from disk, too.

The sample is what a table in memory is: its folds select epochs, and calibrate and weight the members. Of the others,
no more than a bucket (`chainrule.data.rowfile`) is in memory for each member in training.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from tempfile import gettempdir
from typing import final

import numpy as np

from chainrule.arrays import Array, require_integer
from chainrule.data.cells import as_numbers, factorize, missing_rows
from chainrule.data.reading import Columns, n_rows, open_columns
from chainrule.data.recognition import Reading, as_ordered, recognize_cells
from chainrule.data.rowfile import EncodedRows, RowFile
from chainrule.data.splits import require_complete
from chainrule.data.statistics import Cells
from chainrule.data.survey import Parts, Survey, others, survey
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget, part_reader
from chainrule.errors import TableError, require_names

NO_FOLD, _EVERY_FOLD = -1, -2
"""Instead of the fold that holds a row out: the row is held out by no member, or by all, as test rows are."""

_PROBE_ROWS = 1_000
_MAX_SAMPLE = 100_000
"""Rows of the sample: a fifth of them are held out by each member, and tell two scores apart that differ by 1 %."""
_BYTES_PER_CELL = 72
"""Memory that training takes for each cell of a table in memory: its array, its encoding, and the rows of each fold."""
_LIBRARIES = 250 * 10**6
"""Memory that Python takes with NumPy, polars and scikit-learn."""


@final
@dataclass(frozen=True)
class Larger:
    """A table that is read in parts, of which `target` names the column to predict.

    Training takes about `memory` bytes, whatever the number of rows. `categories` are the columns whose numbers are
    names. `weight` and `group`, the columns of sample weights and of groups, are no inputs, nor are those in `ignored`;
    `time` may be one. A weight of 0 is an error unless `zero_weights`, which leaves such rows out. Encoded rows are
    kept in `folder` while they are needed.
    """

    parts: Parts
    target: str
    memory: int
    categories: Sequence[str] = ()
    ignored: Sequence[str] = ()
    weight: str | None = None
    group: str | None = None
    time: str | None = None
    zero_weights: bool = True
    folder: str | os.PathLike[str] = field(default_factory=gettempdir)
    seed: int = 0

    def __post_init__(self) -> None:
        require_integer(self.memory, "max_memory", least=10**6)

    @cached_property
    def survey(self) -> Survey:
        """The statistics, and a sample of rows: all if they fit into memory.

        Raises TableError if a column that is named is missing, and for a weight that is none.
        """
        most = _for_rows(self.memory) // (_BYTES_PER_CELL * self._n_columns)
        n_sample = min(_MAX_SAMPLE, max(_PROBE_ROWS, most // 8))
        no_inputs = (*self.ignored, self.weight, self.group)
        ignored = [name for name in no_inputs if name is not None and name != self.time]
        parts = self._checked(self.parts(self._rows_per_part))
        return survey(parts, self.target, most, n_sample, self.categories, ignored, self.seed)

    def _checked(self, parts: Iterable[object]) -> Iterator[Mapping[str, Array]]:
        """Yield the parts; TableError for a weight that is none."""
        start = 0
        for part in parts:
            columns = open_columns(part)
            self.weights(columns, start)
            yield columns
            start += n_rows(columns)

    @property
    def in_memory(self) -> bool:
        """Whether the sample consists of all rows."""
        return len(self.survey.rows) == self.survey.n_rows

    @cached_property
    def _n_columns(self) -> int:
        """Number of columns, at least 1; TableError if one that is named is missing."""
        first = next(iter(self.parts(_PROBE_ROWS)), None)
        if first is None:
            return 1
        columns = open_columns(first)
        others = [name for name in (self.weight, self.group, self.time) if name is not None]
        require_names(columns, [self.target, *self.categories, *self.ignored, *others])
        return max(1, len(columns))

    @property
    def _rows_per_part(self) -> int:
        return min(100_000, max(_PROBE_ROWS, _for_rows(self.memory) // 40 // (8 * self._n_columns)))

    def fit(self, encoder: TabularEncoder, columns: Columns) -> TabularEncoder:
        """Fit an encoder to all rows, of which the columns of those in memory are given, and return it."""
        if self.in_memory:
            return encoder.fit(columns)
        return encoder.fit_statistics({name: self.survey.statistics[name] for name in columns})

    def rest(
        self,
        encoder: TabularEncoder,
        target: ClassTarget | NumberTarget,
        training: Array | None = None,
        test: Array | None = None,
        class_weights: Array | None = None,
        fold: Array | None = None,
    ) -> RowFile | None:
        """Return the rows that are not in the sample, encoded on disk; None if there is none to train on.

        `training` and `test` are indices of rows of the sample, and `fold` is that which holds out each of the former,
        or NO_FOLD; default: no row is held out. A row on disk has the fold of its group, and a weight that is
        multiplied by that of its class, if `class_weights` (K,) are given. Not among them are rows with a missing
        target or a weight of 0, of groups with test rows, and with times, those that are not earlier than all held-out
        rows. Raises OSError if the disk is full, and TableError for a cell that cannot be encoded.
        """
        if self.in_memory:
            return None
        read = part_reader(target, self.survey.statistics[self.target])
        held_by = np.full(len(self.survey.rows), NO_FOLD)
        if fold is not None:
            held_by[training] = fold
        if test is not None:
            held_by[test] = _EVERY_FOLD
        earlier = None if self.time is None else _Earlier(self.time, self.survey, held_by)
        groups = None if self.group is None else _Groups(self.group, self.survey, held_by)
        file = RowFile(
            self.folder,
            self.survey.n_rows - len(self.survey.rows),
            encoder.n_features,
            _for_rows(self.memory) // (16 if groups is None else 32),  # the rows of all folds but one are copied
            weighted=self.weight is not None or class_weights is not None,
            n_folds=0 if groups is None else int(held_by.max()) + 1,
            seed=self.seed,
        )
        for start, columns, kept in others(self.parts(self._rows_per_part), self.survey.rows):
            numbers, weight = read(columns[self.target], start), self.weights(columns, start)
            rows = np.flatnonzero(kept & ~np.isnan(numbers) & (True if weight is None else weight > 0))
            folds = np.full(len(rows), NO_FOLD) if groups is None else groups.folds(columns, rows, start)
            usable = (folds != _EVERY_FOLD) & (True if earlier is None else earlier.among(columns, rows, start))
            rows, folds = rows[usable], folds[usable]
            if len(rows):
                X = np.zeros((len(numbers), encoder.n_features), np.float32)
                encoder.layout.encode(columns, X, start)
                weight = None if weight is None else weight[rows]
                if class_weights is not None:
                    weight = class_weights[numbers[rows].astype(np.intp)] * (1 if weight is None else weight)
                file.append(X[rows], numbers[rows], weight, folds)
        return file if len(file) else None

    def weights(self, columns: Mapping[str, Array], start: int = 0) -> Array | None:
        """Return the weights of the rows from `start`, if there are weights; TableError for one that is none."""
        if self.weight is None:
            return None
        weights = as_numbers(self.weight, columns[self.weight], start)
        wrong = ~(weights >= 0) if self.zero_weights else ~(weights > 0)
        if wrong.any():
            row, rule = int(wrong.argmax()), ">= 0" if self.zero_weights else "> 0"
            cell = f"column {self.weight!r}, row {start + row + 1}"
            raise TableError(f"{cell}: expected a weight {rule}, got {weights[row]:g}")
        return weights


class _Earlier:
    """The rows that are earlier than all held-out rows of the sample: of equal times, the upper one is earlier."""

    def __init__(self, name: str, survey: Survey, held_by: Array) -> None:
        self.name, statistic, held = name, survey.statistics[name], np.flatnonzero(held_by != NO_FOLD)
        self.reading = Reading("number")
        if isinstance(statistic, Cells):
            self.reading = recognize_cells(statistic.cells, statistic.counts.tolist())
        times, rows = self._times(survey.sample[name][held]), survey.rows[held]
        first = np.lexsort([rows, times])[0]
        self.time, self.row = times[first], rows[first]

    def _times(self, values: Array, start: int = 0) -> Array:
        times = as_ordered(self.name, values, self.reading, start)
        if times is None:
            raise TableError(f"column {self.name!r} must contain dates or numbers, got {values.tolist()[0]!r}")
        return times

    def among(self, columns: Mapping[str, Array], rows: Array, start: int) -> Array:
        """Return which of some rows of a part, which begins at a row, are among them; TableError for a missing time."""
        times = self._times(columns[self.name], start)[rows]
        require_complete(self.name, missing_rows(self.name, times), rows=rows + start)
        return (times < self.time) | ((times == self.time) & (rows + start < self.row))


class _Groups:
    """The folds of groups, which are those of their held-out rows in the sample."""

    def __init__(self, name: str, survey: Survey, held_by: Array) -> None:
        held = held_by != NO_FOLD
        cells, codes = factorize(name, survey.sample[name][held])
        self.name = name
        self.fold_of = dict(zip((cells[code] for code in codes.tolist()), held_by[held].tolist()))

    def folds(self, columns: Mapping[str, Array], rows: Array, start: int) -> Array:
        """Return the folds of some rows of a part, which begins at a row; TableError for a missing group."""
        groups = columns[self.name][rows]
        require_complete(self.name, missing_rows(self.name, groups), rows=rows + start)
        cells, codes = factorize(self.name, groups)
        return np.array([self.fold_of.get(cell, NO_FOLD) for cell in cells], np.intp)[codes]


def training_rows(
    file: RowFile | None, target: ClassTarget | NumberTarget, without: int | None = None
) -> EncodedRows | None:
    """Return the rows of a file, but those of a fold if it has folds, with targets as the loss takes them."""
    if file is None:
        return None

    def encode(values: Array) -> Array:
        return values.astype(np.intp) if isinstance(target, ClassTarget) else target.encode(values).astype(np.float32)

    return EncodedRows(file, encode, without if "fold" in file.fields else None)


def fits(n_cells: float, memory: int) -> bool:
    """Return whether a table of that many cells is trained on in memory."""
    return n_cells * _BYTES_PER_CELL <= _for_rows(memory)


def _for_rows(memory: int) -> int:
    """Return what the libraries leave of the memory, at least a quarter."""
    return max(memory - _LIBRARIES, memory // 4)


def available_memory() -> int:
    """Return half of the memory that is free, in bytes; 4 GB where the system does not tell."""
    with suppress(OSError, StopIteration, ValueError):
        with open("/proc/meminfo") as file:
            line = next(line for line in file if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024 // 2
    return 4 * 2**30
