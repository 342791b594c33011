"""Statistics: what an encoder learns of a table, from parts of it that are merged in any order.

The statistic of a column is how often each different cell occurs: `Numbers` or `Cells`. `summarize` computes it for one
part, exactly; `merge` adds two up and bounds the result. A table in memory is one part.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final
from zlib import crc32

import numpy as np

from chainrule.arrays import Array
from chainrule.data.cells import as_dates, as_numbers, factorize, parse_distinct, require_finite
from chainrule.data.formats import DateFormat, NumberFormat, is_missing, to_date, to_number
from chainrule.data.reading import are_nested, open_columns
from chainrule.errors import TableError

MAX_DISTINCT = 2**16
"""Different cells of a column that a merged statistic keeps: a megabyte of numbers."""
N_SAMPLED = 256
"""Numbers whose repetitions are always counted exactly: if one in fifty numbers repeats, 99 % of samples show it."""


# Numbers and times.


@final
@dataclass(frozen=True, eq=False)
class Numbers:
    """How often each different number, or time in microseconds, occurs.

    It is exact up to MAX_DISTINCT different ones. More are grouped by their leading bits, in as few groups as suffice,
    each represented by its smallest member: a value is too low by at most the fraction `error` of itself, or a time by
    `error` microseconds. The result of merges does not depend on their order, except for rounding in the moments.

    Attributes
    ----------
    keys, counts : (k,)
        The values as integers in the same order, and how often they occur.
    shift : int
        Number of trailing bits that a group ignores.
    high : int
        The largest key, 0 if there is none.
    moments : (n, mean, square)
        How many there are, their mean and the sum of their squared differences from it; of times, all zero.
    sample : (2, m)
        The smallest hashes of numbers, and how often these numbers occur.
    """

    keys: Array
    counts: Array
    n_missing: int
    is_date: bool
    high: int
    moments: tuple[int, float, float]
    sample: Array
    shift: int = 0

    @classmethod
    def of(cls, cells: Array, counts: Array | None = None) -> Numbers:
        """Count numbers or times in microseconds (n,), missing ones included; `counts` (n,): each occurs so often."""
        is_date = cells.dtype.kind == "M"
        missing = np.isnat(cells) if is_date else np.isnan(cells)
        n_missing = int(missing.sum() if counts is None else counts[missing].sum())
        if missing.any():
            cells, counts = cells[~missing], None if counts is None else counts[~missing]
        keys, sums = _grouped(_to_keys(cells), counts)
        moments = (0, 0.0, 0.0) if is_date else _moments(cells, counts)
        sample = _smallest(np.stack([_hashes(keys), sums.astype(np.uint64)]))
        return cls(keys, sums, n_missing, is_date, int(keys[-1]) if len(keys) else 0, moments, sample)

    def __len__(self) -> int:
        """Number of cells, missing ones included."""
        return self.n_known + self.n_missing

    @property
    def n_known(self) -> int:
        """Number of cells that are not missing."""
        return int(self.counts.sum())

    @property
    def values(self) -> Array:
        """The different numbers as float64, or times as datetime64[us], in order; the smallest is exact."""
        return _from_keys(self.keys, self.is_date)

    @property
    def largest(self) -> Any:
        """The largest number or time."""
        return _from_keys(np.array([self.high]), self.is_date)[0]

    @property
    def error(self) -> float:
        """The largest error of a value: a fraction of it, or microseconds."""
        return 0.0 if not self.shift else 2.0**self.shift if self.is_date else min(1.0, 2.0 ** (self.shift - 52))

    @property
    def all_differ(self) -> bool:
        """Whether no number occurs twice, judged by a sample of them if there are many."""
        return bool((self.sample[1] == 1).all() if self.shift else (self.counts == 1).all())

    def without(self, numbers: Sequence[float]) -> Numbers:
        """Return the statistic with some numbers counted as missing."""
        kept = ~np.isin(self.values, numbers)
        n_missing = self.n_missing + self.counts[~kept].sum()
        of = Numbers.of(np.append(self.values[kept], np.nan), np.append(self.counts[kept], n_missing))
        return replace(of, shift=self.shift)

    def merged(self, other: Numbers) -> Numbers:
        """Return the statistic of the cells of both."""
        shift = max(self.shift, other.shift)
        halves = [_grouped(part.keys, part.counts, shift) for part in (self, other)]
        keys, counts = map(np.concatenate, zip(*halves))
        keys, counts = _grouped(keys, counts, shift)
        if len(keys) > MAX_DISTINCT:
            shift += bisect_left(range(64 - shift), True, key=lambda s: _n_groups(keys, shift + s) <= MAX_DISTINCT)
            keys, counts = _grouped(keys, counts, shift)
        return Numbers(
            keys,
            counts,
            self.n_missing + other.n_missing,
            self.is_date,
            max((part.high for part in (self, other) if len(part.keys)), default=0),
            _added(self.moments, other.moments),
            _smallest(np.stack(_grouped(*np.concatenate([self.sample, other.sample], axis=1)))),
            shift,
        )


def quantiles(values: Array, counts: Array, percents: Sequence[float]) -> list[float]:
    """Return the percentiles of values (k,), sorted, that occur so often, with the bits of `numpy.percentile`."""
    position = (counts.sum() - 1) * (np.asarray(percents, np.float64) / 100)
    ends = counts.cumsum()
    before = np.floor(position)
    low = values[np.searchsorted(ends, before, "right")]
    high = values[np.searchsorted(ends, np.minimum(before + 1, ends[-1] - 1), "right")]
    share, step = position - before, high - low
    return np.where(share < 0.5, low + step * share, high - step * (1 - share)).tolist()


def _to_keys(values: Array) -> Array:
    """Return numbers or times as int64 in the same order."""
    if values.dtype.kind == "M":
        return values.astype("M8[us]").astype(np.int64)
    return _flipped((values.astype(np.float64) + 0.0).view(np.int64))  # -0.0 becomes 0.0


def _from_keys(keys: Array, is_date: bool) -> Array:
    return keys.astype("M8[us]") if is_date else _flipped(keys).view(np.float64)


def _flipped(bits: Array) -> Array:
    """Return the bits of floats as integers in the order of the floats, or the reverse: negative ones are reversed."""
    return np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits)


def _grouped(keys: Array, counts: Array | None, shift: int = 0) -> tuple[Array, Array]:
    """Return the smallest key of each group with equal leading bits, in order, and the sum of its counts."""
    if counts is None:
        keys = np.sort(keys)
    elif (keys[1:] < keys[:-1]).any():
        order = np.argsort(keys, kind="stable")  # fast for two sorted halves
        keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(_begins_group(keys, shift))
    if counts is None:
        return keys[starts], np.diff(np.append(starts, len(keys)))
    return keys[starts], np.add.reduceat(counts, starts) if len(keys) else counts


def _begins_group(keys: Array, shift: int) -> Array:
    groups = keys >> keys.dtype.type(shift)
    return np.append(True, groups[1:] != groups[:-1])[: len(keys)]


def _n_groups(keys: Array, shift: int) -> int:
    return int(np.count_nonzero(_begins_group(keys, shift)))


def _moments(numbers: Array, counts: Array | None) -> tuple[int, float, float]:
    n = len(numbers) if counts is None else int(counts.sum())
    if not n:
        return 0, 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        if counts is None:
            return n, float(numbers.mean()), float(numbers.var()) * n
        mean = float((numbers * counts).sum() / n)
        return n, mean, float(((numbers - mean) ** 2 * counts).sum())


def _added(a: tuple[int, float, float], b: tuple[int, float, float]) -> tuple[int, float, float]:
    """Return the moments of both (Chan et al. 1979)."""
    n = a[0] + b[0]
    if not a[0] or not b[0]:
        return max(a, b)
    step = b[1] - a[1]
    return n, (a[0] * a[1] + b[0] * b[1]) / n, a[2] + b[2] + step * step * a[0] / n * b[0]


def _hashes(keys: Array) -> Array:
    """Return a 64-bit hash of each key; different keys have different ones (Steele et al. 2014, splitmix64)."""
    bits = keys.view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))


def _smallest(sample: Array) -> Array:
    if sample.shape[1] > N_SAMPLED:
        sample = sample[:, np.argpartition(sample[0], N_SAMPLED)[:N_SAMPLED]]
    return sample


# Other cells.


@final
@dataclass(frozen=True, eq=False)
class Cells:
    """How often each different cell of any other type occurs, in the order of their first rows.

    A merged statistic keeps the MAX_DISTINCT most frequent cells, those with the smallest hashes among equally frequent
    ones. `n_dropped` cells were of others, none of which occurs more than `error` times more than counted.

    Attributes
    ----------
    cells : list
        The different ones, none missing.
    counts, rows : (k,)
        How often they occur, and the index of the first row of each.
    is_nested : bool
        Whether the cells are lists or dicts, which are not counted.
    """

    cells: list[Any]
    counts: Array
    rows: Array
    n_missing: int
    n_dropped: int = 0
    error: int = 0
    is_nested: bool = False

    @classmethod
    def of(cls, name: str, values: Array, first_row: int = 0) -> Cells:
        """Count the cells (n,) of a column; `first_row` is the index of the first one in its table."""
        if are_nested(values):
            return cls([], np.zeros(0, np.int64), np.zeros(0, np.int64), len(values), is_nested=True)
        cells, codes = factorize(name, values)
        rows = np.empty(len(cells), np.int64)
        rows[codes[::-1]] = np.arange(len(codes))[::-1] + first_row  # of equal places the last assignment remains
        counts = np.bincount(codes, minlength=len(cells))
        kept = [i for i, cell in enumerate(cells) if not is_missing(cell)]
        return cls([cells[i] for i in kept], counts[kept], rows[kept], len(codes) - int(counts[kept].sum()))

    def __len__(self) -> int:
        """Number of cells, missing ones included."""
        return self.n_known + self.n_missing

    @property
    def n_known(self) -> int:
        """Number of cells that are not missing."""
        return int(self.counts.sum()) + self.n_dropped

    def numbers(self, name: str, number_format: NumberFormat) -> Numbers:
        """Return the statistic of the numbers that the cells are in a format; TableError if one is no finite number."""
        read, kind = (lambda cell: to_number(cell, number_format)), "a finite number"
        numbers = parse_distinct(name, self.cells, read, kind, np.float64, self.rows.__getitem__)
        require_finite(name, numbers, self.cells, self.rows.__getitem__)
        return self._counted(numbers)

    def dates(self, name: str, date_format: DateFormat) -> Numbers:
        """Return the statistic of the times that the cells are in a format; TableError if one is none."""
        read, kind = (lambda cell: to_date(cell, date_format)), "a date such as 2024-03-01"
        return self._counted(parse_distinct(name, self.cells, read, kind, "M8[us]", self.rows.__getitem__))

    def _counted(self, parsed: Array) -> Numbers:
        missing = np.array(["NaT" if parsed.dtype.kind == "M" else "nan"], parsed.dtype)
        return Numbers.of(np.append(parsed, missing), np.append(self.counts, self.n_missing))

    def merged(self, other: Cells) -> Cells:
        """Return the statistic of the cells of both."""
        pairs = [(type(cell), cell) for cell in [*self.cells, *other.cells]]  # True == 1
        places = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
        codes = [places[pair] for pair in pairs]
        counts, rows = np.zeros(len(places), np.int64), np.full(len(places), np.iinfo(np.int64).max)
        np.add.at(counts, codes, np.concatenate([self.counts, other.counts]))
        np.minimum.at(rows, codes, np.concatenate([self.rows, other.rows]))
        cells: list[Any] = [cell for _, cell in places]
        kept, dropped = np.arange(len(cells)), np.zeros(0, np.intp)
        if len(cells) > MAX_DISTINCT:
            hashes = np.array([crc32(repr(cell).encode("utf-8", "replace")) for cell in cells])
            kept, dropped = np.split(np.lexsort([rows, hashes, -counts]), [MAX_DISTINCT])
        kept = kept[np.argsort(rows[kept], kind="stable")]
        return Cells(
            [cells[i] for i in kept.tolist()],
            counts[kept],
            rows[kept],
            self.n_missing + other.n_missing,
            self.n_dropped + other.n_dropped + int(counts[dropped].sum()),
            self.error + other.error + int(counts[dropped].max(initial=0)),
            self.is_nested or other.is_nested,
        )


# Tables.

Statistic = Numbers | Cells
Statistics = Mapping[str, Statistic]
"""The statistic of each column of a table, by name."""


@final
class _Summary(Mapping[str, Statistic]):
    """The statistics of a table, each computed on access, so that they are never all in memory at once."""

    def __init__(self, columns: Mapping[str, Array], categories: Sequence[str], first_row: int) -> None:
        self.columns, self.categories, self.first_row = columns, categories, first_row

    def __getitem__(self, name: str) -> Statistic:
        values, first_row = self.columns[name], self.first_row
        if values.dtype.kind == "M":
            return Numbers.of(as_dates(name, values, first_row))
        if values.dtype.kind in "iuf" and name not in self.categories:
            return Numbers.of(as_numbers(name, values, first_row))
        return Cells.of(name, values, first_row)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


def summarize(table: object, categories: Sequence[str] = (), first_row: int = 0) -> Statistics:
    """Return the statistics of a table or of a part of it, exactly; each is computed when it is accessed.

    `categories` are the columns whose numbers are names, `first_row` is the index of the part's first row. Accessing a
    column of numbers raises TableError if one is infinite.
    """
    return _Summary(open_columns(table), categories, first_row)


def merge(a: Statistics, b: Statistics) -> dict[str, Statistic]:
    """Return the statistics of two parts of a table; TableError if they do not have the same columns.

    A column without any values in one part may be of any type there.
    """
    different = set(a) ^ set(b)
    if different:
        raise TableError(f"all parts of a table must have the same columns, got {min(different)!r} in some only")
    return {name: _merge_column(name, a[name], b[name]) for name in a}


def _merge_column(name: str, a: Statistic, b: Statistic) -> Statistic:
    if isinstance(a, Cells) and isinstance(b, Cells):
        return a.merged(b)
    if isinstance(a, Numbers) and isinstance(b, Numbers) and a.is_date == b.is_date:
        return a.merged(b)
    if a.n_known and b.n_known:
        raise TableError(f"column {name!r} must be of one type in all parts of the table, got two")
    empty, other = (b, a) if a.n_known else (a, b)
    return replace(other, n_missing=other.n_missing + empty.n_missing)
