"""Tables larger than memory: read in parts, once for their statistics and a sample, once for all other rows.

A part is a table of any kind. The sample is in memory, in the order of the table; it gives all but the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from chainrule.arrays import Array, as_generator
from chainrule.data.cells import factorize
from chainrule.data.reading import Columns, n_rows, open_columns, take_rows
from chainrule.data.statistics import Statistic, Statistics, merge, summarize
from chainrule.errors import TableError, require_names

Parts = Callable[[int], Iterable[object]]
"""Returns the parts of a table, in order, of about so many rows."""
_MAX_ALWAYS = 200
"""Different cells of the target of which a row is in the sample in any case: classes, and of numbers a few."""


@final
@dataclass(frozen=True)
class Survey:
    """What is known of a table after one pass: its number of rows, the statistics of its columns, and some of its rows.

    `rows` (k,) are the indices of the rows of `sample`, sorted; all rows if they fit.
    """

    n_rows: int
    statistics: Statistics
    rows: Array
    sample: Columns


def survey(
    parts: Iterable[object],
    target: str,
    most: int,
    n_sample: int,
    categories: Sequence[str] = (),
    ignored: Sequence[str] = (),
    seed: int = 0,
) -> Survey:
    """Return the survey of a table: all rows if there are at most `most`, else a uniform sample of `n_sample`.

    The sample contains every class of the target. `categories` are the columns whose numbers are names; the columns in
    `ignored` have no statistics. Raises TableError if the table is empty or lacks the target, and for a
    cell that is not finite.
    """
    rng, start = as_generator(seed), 0
    statistics: dict[str, Statistic] = {}
    chosen, seen = _Sample(most, n_sample), set[object]()
    for part in parts:
        columns = open_columns(part)
        n = n_rows(columns)
        if not n:
            continue
        require_names(columns, [target, *categories])
        every = summarize(columns, categories, start)
        of_part = {name: every[name] for name in every if name not in ignored}
        statistics = merge(statistics, of_part) if statistics else of_part
        keys = rng.random(n)
        if len(seen) < _MAX_ALWAYS:
            keys[_first_rows(target, columns[target], seen)] = -1
        chosen.add(columns, start, keys)
        start += n
    if not start:
        raise TableError("table must have at least one row and one column, got an empty table")
    return Survey(start, statistics, chosen.rows, chosen.columns())


def _first_rows(name: str, values: Array, seen: set[object]) -> list[int]:
    """Return the first rows of a few cells that have not been seen, which are added."""
    cells, codes = factorize(name, values)
    new = [i for i, cell in enumerate(cells) if cell not in seen][: _MAX_ALWAYS - len(seen)]
    seen.update(cells[i] for i in new)
    return [int(np.argmax(codes == i)) for i in new]


class _Sample:
    """The rows with the smallest of random keys; all of them while there are at most `most`."""

    def __init__(self, most: int, size: int) -> None:
        self.most, self.size = most, size
        self.rows, self.keys = np.zeros(0, np.int64), np.zeros(0)
        self.pieces: list[tuple[Array, Columns]] = []

    def add(self, columns: Mapping[str, Array], start: int, keys: Array) -> None:
        """Consider the rows of a part that begins at a row."""
        if start + len(keys) > self.most:
            self.most = self.size
        places = np.arange(len(keys))
        if len(self.rows) == self.most:
            places = np.flatnonzero(keys < self.keys.max())
        self.pieces.append((places + start, {name: columns[name][places] for name in columns}))
        rows, keys = np.append(self.rows, places + start), np.append(self.keys, keys[places])
        if len(rows) > self.most:
            kept = np.sort(np.argpartition(keys, self.most)[: self.most])
            rows, keys = rows[kept], keys[kept]
        self.rows, self.keys = rows, keys
        if sum(len(of_piece) for of_piece, _ in self.pieces) > 2 * self.most:
            self._shrink()

    def _shrink(self) -> None:
        pieces = []
        for rows, columns in self.pieces:
            kept = np.isin(rows, self.rows, assume_unique=True)
            pieces.append((rows[kept], take_rows(columns, kept)))
        self.pieces = pieces

    def columns(self) -> Columns:
        """Return the columns of the rows."""
        self._shrink()
        names = self.pieces[0][1]
        return {name: np.concatenate([columns[name] for _, columns in self.pieces]) for name in names}


def others(parts: Iterable[object], rows: Array) -> Iterator[tuple[int, Mapping[str, Array], Array]]:
    """Yield the index of the first row of each part, its columns, and which rows (n,) are not among some rows (k,)."""
    start = 0
    for part in parts:
        columns = open_columns(part)
        kept = np.ones(n_rows(columns), np.bool_)
        first, last = np.searchsorted(rows, [start, start + len(kept)])
        kept[rows[first:last] - start] = False
        if kept.any():
            yield start, columns, kept
        start += len(kept)
