"""Tables larger than memory: a sample of the rows is in memory, and members are trained on all others from disk, too.

The sample is what a table in memory is: its folds select epochs, and calibrate and weight the members. Of the others,
no more than a bucket (`chainrule.data.rowfile`) is in memory for each member in training.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from tempfile import gettempdir
from typing import final

import numpy as np

from chainrule.arrays import Array
from chainrule.data.cells import as_numbers, missing_rows
from chainrule.data.reading import open_columns
from chainrule.data.rowfile import RowFile
from chainrule.data.survey import Parts, Survey, others, survey
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget, clean_target

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
    names, `ignored` those that are no inputs, and `weight` is the column of sample weights. Encoded rows are kept in
    `folder` while they are needed.
    """

    parts: Parts
    target: str
    memory: int
    categories: Sequence[str] = ()
    ignored: Sequence[str] = ()
    weight: str | None = None
    folder: str | os.PathLike[str] = field(default_factory=gettempdir)
    seed: int = 0

    @cached_property
    def survey(self) -> Survey:
        """The statistics, and a sample of rows: all if they fit into memory."""
        most = _for_rows(self.memory) // (_BYTES_PER_CELL * self._n_columns)
        n_sample = min(_MAX_SAMPLE, max(_PROBE_ROWS, most // 8))
        parts, columns = self.parts(self._rows_per_part), (self.categories, self.ignored)
        return survey(parts, self.target, most, n_sample, *columns, self.seed)

    @property
    def in_memory(self) -> bool:
        """Whether the sample consists of all rows."""
        return len(self.survey.rows) == self.survey.n_rows

    @cached_property
    def _n_columns(self) -> int:
        return max(1, max((len(open_columns(part)) for part in self._first_part()), default=1))

    def _first_part(self) -> list[object]:
        return [part for part, _ in zip(self.parts(_PROBE_ROWS), range(1))]

    @property
    def _rows_per_part(self) -> int:
        return min(100_000, max(_PROBE_ROWS, _for_rows(self.memory) // 40 // (8 * self._n_columns)))

    def fit(self, encoder: TabularEncoder, inputs: Iterable[str]) -> TabularEncoder:
        """Fit an encoder to all rows of these columns, and return it."""
        return encoder.fit_statistics({name: self.survey.statistics[name] for name in inputs})

    def rest(self, encoder: TabularEncoder, target: ClassTarget | NumberTarget) -> RowFile | None:
        """Return the rows that are not in the sample, encoded on disk; None if there is none.

        Rows with a missing target are not among them. Raises OSError if the disk is full, and TableError for a cell
        that cannot be encoded.
        """
        if self.in_memory:
            return None
        n = self.survey.n_rows - len(self.survey.rows)
        weighted = self.weight is not None
        file = RowFile(self.folder, n, encoder.n_features, _for_rows(self.memory) // 16, weighted, self.seed)
        for start, columns, kept in others(self.parts(self._rows_per_part), self.survey.rows):
            values, _ = clean_target(self.target, columns[self.target], target.task)
            kept = np.flatnonzero(kept & ~missing_rows(self.target, values))
            weight = self._weights(columns, start)
            if weight is not None:
                kept = kept[weight[kept] > 0]
            X = np.zeros((len(values), encoder.n_features), np.float32)
            encoder.layout.encode(columns, X, start)
            if len(kept):
                numbers = _numbers(target, values[kept])
                file.append(X[kept], numbers, None if weight is None else weight[kept])
        return file

    def _weights(self, columns: Mapping[str, Array], start: int) -> Array | None:
        return None if self.weight is None else as_numbers(self.weight, columns[self.weight], start)


def _numbers(target: ClassTarget | NumberTarget, values: Array) -> Array:
    """Return class numbers (n,), or the numbers of a single output (n,)."""
    return target.encode(values) if isinstance(target, ClassTarget) else target.numbers(values)[:, 0]


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
