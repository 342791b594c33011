"""Recognition: decide from all cells of a column what they are, and in which format they are written.

Text is read as numbers or dates where there is one way to read it, and words that stand for missing values do not count
against it. Cells that are neither, in a column that otherwise consists of numbers or dates, are mistakes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import isnan
from typing import Any, final

import numpy as np

from chainrule.arrays import Array
from chainrule.data import formats
from chainrule.data.cells import Category, as_dates, as_numbers, factorize
from chainrule.data.statistics import Cells
from chainrule.errors import TableError, shorten

_MOSTLY = 0.95
"""If at least this fraction of a column's known cells are numbers or dates, the others are mistakes."""
_MAX_WORDS, _MIN_DISTINCT = 3, 20
"""Up to 3 words that repeat, among at least 20 different numbers or dates, stand for missing values. Fewer different
numbers may be categories, and the words are more of them."""
_SAMPLE, _FEW = 200, 20
"""Numbers of different cells that show in which formats a column may be written."""
_SEPARATORS = ((".", ""), (".", ","), (",", "."))
"""The decimal mark and the thousands separator of each way of writing numbers, the most common first."""
_MIN_COMPACT_DATES = 3
"""Fewer different integers such as 20240131 may be something else."""
_DAY_FIRST, _MONTH_FIRST = "day, month, year", "month, day, year"
_AMBIGUOUS = "the order of day and month is not clear; write the values as 2024-12-31 to have them parsed"
EARLIEST_COMPACT, LATEST_COMPACT = 19000101, 21001231


@final
@dataclass(frozen=True)
class Reading:
    """How to read a column: its kind, "number", "date" or "category", its format, and what to tell the user.

    `words` are words for missing values, with the number of their cells. `strays` are the indices of the distinct cells
    that are mistakes. `hint` says why text that resembles numbers or dates is not read as such.
    """

    kind: str
    number_format: formats.NumberFormat = formats.PLAIN
    date_format: formats.DateFormat = formats.ISO
    words: dict[str, int] = field(default_factory=dict)
    strays: tuple[int, ...] = ()
    hint: str = ""
    example: str = ""

    def value_of(self, cell: object) -> float | datetime | None:
        """Return a cell's value, NaN or None if it is missing; raise an error if it is not of this kind."""
        if self.kind == "number":
            return formats.read_number(cell, self.number_format)
        return formats.to_date(cell, self.date_format)

    def notices(self, name: str) -> list[str]:
        """Return notices about an unusual format and about words for missing values."""
        notices = [f"{name}: {self.example}"] if self.example else []
        if self.words:
            counted = shorten([f"{word!r} ({count:,})" for word, count in self.words.items()])
            notices.append(f"{name}: treated as missing: {counted}")
        return notices


_CATEGORY = Reading("category")


def recognize(name: str, values: Array) -> Reading:
    """Return how to read a column (n,) of cells of any type; see `recognize_cells`."""
    if values.dtype.kind in "iuf":
        return Reading("number")
    distinct, codes = factorize(name, values)
    return recognize_cells(distinct, np.bincount(codes, minlength=len(distinct)).tolist())


def as_ordered(name: str, values: Array, reading: Reading | None = None, first_row: int = 0) -> Array | None:
    """Return cells (n,) as numbers or times, in whatever format they are written; None if they are neither.

    `reading` is that of the table of which they are the rows from `first_row`; default: that of these cells. Raises
    TableError naming a cell that is not of the kind of all others.
    """
    if values.dtype.kind == "M":
        return as_dates(name, values, first_row)
    reading = reading or recognize(name, values)
    if reading.kind == "number":
        return as_numbers(name, values, first_row, reading.number_format)
    return as_dates(name, values, first_row, reading.date_format) if reading.kind == "date" else None


def recognize_cells(distinct: Sequence[Any], counts: Sequence[int]) -> Reading:
    """Return how to read a column with these distinct cells, each of which occurs so often."""
    if any(isinstance(value, bool | np.bool_ | Category) for value in distinct):
        return _CATEGORY
    plain_words = _words_among_plain(distinct, counts)
    if plain_words is not None:
        if _are_codes(distinct):
            return _CATEGORY
        compact = Reading("date", date_format=formats.DateFormat("yyyymmdd"), words=plain_words)
        known = [value for value in distinct if not _is_blank(value)]
        return _with_example(compact, known) if are_compact_dates(known) else Reading("number", words=plain_words)
    return _recognize_text(distinct, counts)


def _recognize_text(distinct: Sequence[Any], counts: Sequence[int]) -> Reading:
    """Return how to read a column in which not every cell is a plain number."""
    known = [i for i, value in enumerate(distinct) if not _is_blank(value)]
    cells, rows = [distinct[i] for i in known], [counts[i] for i in known]
    best, read, n_best = _CATEGORY, [False] * len(cells), 0
    rivals: list[Reading] = []
    for one in _candidates(cells):
        flags = [_reads(one, cell) for cell in cells]
        n_rows = sum(count for count, ok in zip(rows, flags) if ok)
        rivals = [*rivals, one] if n_rows == n_best else [one] if n_rows > n_best else rivals
        if n_rows > n_best:
            best, read, n_best = one, flags, n_rows
        if all(flags) and one.date_format.order != _DAY_FIRST:  # the later ones are less common
            break
    if best is _CATEGORY:
        return _CATEGORY
    words: dict[str, int] = {}
    for value, count in zip(distinct, counts):
        if isinstance(value, str) and not formats.is_missing(value) and formats.is_missing_word(value):
            words[value.strip()] = words.get(value.strip(), 0) + count
    if _is_ambiguous(best, rivals, [cell for cell, ok in zip(cells, read) if ok]):
        return replace(_CATEGORY, hint=_AMBIGUOUS)
    strays = {i: count for i, count, ok in zip(known, rows, read) if not ok}
    return _with_example(_settle(replace(best, words=words), strays, distinct, read, n_best), cells)


def _words_among_plain(distinct: Iterable[Any], counts: Iterable[int]) -> dict[str, int] | None:
    """Return the words for missing values if all other cells are plain numbers, at least one; else None."""
    words: dict[str, int] = {}
    any_number = False
    for value, count in zip(distinct, counts):
        try:
            number = formats.read_number(value)
        except (TypeError, ValueError, OverflowError):
            return None
        if not isnan(number):
            any_number = True
        elif isinstance(value, str) and not formats.is_missing(value):
            words[value.strip()] = words.get(value.strip(), 0) + count
    return words if any_number else None


def _are_codes(distinct: Iterable[Any]) -> bool:
    """Return whether text consists of digits only, always as many, some with leading zeros, as ZIP codes do."""
    cells = [value for value in distinct if not _is_blank(value)]
    if not all(isinstance(value, str) and value.strip().isdecimal() for value in cells):
        return False
    lengths = {len(text.strip()) for text in cells}
    return len(lengths) == 1 and lengths.pop() > 1 and any(text.strip().startswith("0") for text in cells)


def are_compact_dates(cells: Sequence[Any]) -> bool:
    """Return whether all numbers, at least 3 different ones, are dates from 1900 to 2100 such as 20240131."""
    compact = formats.DateFormat("yyyymmdd")
    for value in cells:
        try:
            if not EARLIEST_COMPACT <= float(value) <= LATEST_COMPACT:
                return False
            formats.to_date(value if isinstance(value, str) else formats.to_text(float(value)), compact)
        except (TypeError, ValueError, OverflowError):
            return False
    return len(cells) >= _MIN_COMPACT_DATES


def _is_blank(value: Any) -> bool:
    """Return whether a cell is missing or a word for a missing value."""
    return formats.is_missing(value) or (isinstance(value, str) and formats.is_missing_word(value))


def _candidates(cells: Sequence[Any]) -> Iterator[Reading]:
    """Yield the formats in which at least half of the cells may be written; of units only the most frequent one."""
    sample = cells[:: max(1, len(cells) // _SAMPLE)]
    if 2 * sum(not isinstance(cell, str) or any(map(str.isdigit, cell)) for cell in sample) < len(sample):
        return
    units = [
        parts.unit for cell in sample if isinstance(cell, str) and (parts := formats.split_number(cell)) and parts.unit
    ]
    unit = max(dict.fromkeys(units), key=units.count) if units else ""
    numbers = [Reading("number", formats.NumberFormat(decimal, thousands, unit)) for decimal, thousands in _SEPARATORS]
    few = sample[:: max(1, len(sample) // _FEW)]  # rejects most formats of most columns in no time
    for one in [*numbers, *(Reading("date", date_format=formats.DateFormat(order)) for order in formats.DATE_ORDERS)]:
        likely = 4 * sum(_reads(one, cell) for cell in few) >= len(few) > 0
        if likely and 2 * sum(_reads(one, cell) for cell in sample) >= len(sample):
            yield one


def _reads(reading: Reading, cell: Any) -> bool:
    """Return whether a cell that is not missing is a number or a date in this format."""
    try:
        reading.value_of(cell)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _settle(
    best: Reading, strays: dict[int, int], distinct: Sequence[Any], read: Sequence[bool], n_read: int
) -> Reading:
    """Return how to read the column, given the format in which most cells can be read, and the others' counts."""
    n_known = n_read + sum(strays.values())
    if _are_words([distinct[i] for i in strays], list(strays.values())) and sum(read) >= _MIN_DISTINCT:
        own = {str(distinct[i]).strip(): count for i, count in strays.items()}
        number_format, date_format = (
            best.number_format._replace(words=(*own,)),
            best.date_format._replace(words=(*own,)),
        )
        return replace(best, number_format=number_format, date_format=date_format, words=best.words | own)
    if n_read >= _MOSTLY * n_known:
        return replace(best, strays=tuple(strays))
    if sum(read) < _MIN_DISTINCT:
        return _CATEGORY
    hint = f"{n_read:,} of {n_known:,} values are {best.kind}s, the others are not, such as {distinct[min(strays)]!r}"
    return replace(_CATEGORY, hint=hint)


def _is_ambiguous(best: Reading, rivals: Sequence[Reading], cells: Sequence[Any]) -> bool:
    """Return whether the cells are different dates with the day before the month and after it; dots mean before."""
    orders = {rival.date_format.order for rival in rivals}
    if best.kind != "date" or not {_DAY_FIRST, _MONTH_FIRST} <= orders:
        return False
    texts = [cell for cell in cells if isinstance(cell, str) and "." not in cell]
    swapped = formats.DateFormat(_MONTH_FIRST)
    return any(formats.to_date(text, best.date_format) != formats.to_date(text, swapped) for text in texts)


def _are_words(cells: Sequence[Any], counts: Sequence[int]) -> bool:
    """Return whether cells are a few words without digits, each of which repeats."""
    texts = all(isinstance(cell, str) and not any(map(str.isdigit, cell)) for cell in cells)
    return 1 <= len(cells) <= _MAX_WORDS and texts and min(counts) > 1


def _with_example(reading: Reading, cells: Sequence[Any]) -> Reading:
    """Return a reading that shows a cell of a format that is not plain."""
    if reading.kind == "category" or (reading.number_format, reading.date_format) == (formats.PLAIN, formats.ISO):
        return reading
    known = (cell for cell in cells if str(cell).strip() not in reading.words and _reads(reading, cell))
    cell = next((cell for cell in known if _is_unusual(reading, cell)), None)
    if cell is None:
        return reading
    value = reading.value_of(cell)
    if isinstance(value, datetime):
        midnight = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        shown = value.date().isoformat() if midnight else value.isoformat(" ", "seconds")
        shown = shown[11:] if reading.date_format.order == "time of day" else shown
        kind = "times of day" if reading.date_format.order == "time of day" else "dates"
        return replace(reading, example=f"read as {kind}: {cell!r} as {shown or '00:00:00'}")
    return replace(reading, example=f"read as numbers: {cell!r} as {value:.15g}{_alternative(reading, cells)}")


def _is_unusual(reading: Reading, cell: Any) -> bool:
    """Return whether a cell is not what float or ISO 8601 read."""
    try:
        if reading.kind == "date":
            formats.to_date(cell)
        else:
            return formats.read_number(cell) != reading.value_of(cell)
    except (TypeError, ValueError, OverflowError):
        return True
    return False


def _alternative(reading: Reading, cells: Sequence[Any]) -> str:
    """Return an addition to a notice if the commas that are taken for thousands separators may be decimal marks."""
    number_format = reading.number_format
    if number_format.thousands != ",":
        return ""
    decimal = Reading("number", number_format._replace(decimal=",", thousands="."))
    return "; write decimals with a point" if all(_reads(decimal, cell) for cell in cells) else ""


# Mistakes.


def stray_rows(name: str, values: Array, reading: Reading) -> Array:
    """Return a boolean array (n,), true where a cell is one that the column's reading calls a mistake."""
    if not reading.strays:
        return np.zeros(len(values), np.bool_)
    return np.isin(factorize(name, values)[1], reading.strays)


def require_no_strays(name: str, cells: Cells, reading: Reading, remedy: str = "") -> None:
    """Raise TableError for the first cell of a column that its reading calls a mistake; `remedy` is the alternative."""
    if not reading.strays:
        return
    strays = list(reading.strays)
    first, n_strays = min(strays, key=cells.rows.__getitem__), int(cells.counts[strays].sum())
    kind = "a finite number" if reading.kind == "number" else "a date such as 2024-03-01"
    which = "this cell" if n_strays == 1 else f"the {n_strays:,} cells that are not {reading.kind}s"
    remedy = remedy or "convert the column to a categorical type"
    message = f"column {name!r}, row {cells.rows[first] + 1}: expected {kind}, got {cells.cells[first]!r}"
    raise TableError(f"{message}. Correct {which}, or {remedy}.")


# Spellings.


def differences_in_spelling(texts: Iterable[str], kind: str) -> list[str]:
    """Return a message for each group of texts that differ only in case or whitespace, such as Yes and yes."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(formats.folded(text), []).append(text)
    alike = [group for group in groups.values() if len(group) > 1]
    return [f"{shorten(list(map(repr, group)))} are different {kind}; they differ only in spelling" for group in alike]


# Sentinels.

_SENTINELS = {-99.0, -999.0, -9999.0, -99999.0, -999999.0, -999.9, -99.9, -9999.9, -99.99, -999.99, -32768.0} | {
    -2147483648.0,
    float(np.finfo(np.float32).min),
    float(np.finfo(np.float64).min),
    -1e30,
    -1e20,
}
"""Negative numbers that stand for missing values in many files."""
_SUSPECTS = _SENTINELS | {-9.0, -99.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0, 9999999.0, 1e20, 1e30}
"""Numbers that may also be ordinary values."""
_MIN_OTHERS = 5
"""Fewer different values show no range that a number could lie outside of."""


def find_sentinels(known: Array, counts: Array) -> tuple[dict[float, int], dict[float, int]]:
    """Return the numbers that stand for missing values, and those that may do so, with their counts.

    `known` (k,) are the different numbers of a column, sorted, which occur so often. A sentinel is the smallest one,
    occurs more than once, and either all others are >= 0 or it is farther from them than they are from each other. A
    suspect is the smallest or the largest, as far from the others.
    """
    sentinels: dict[float, int] = {}
    suspects: dict[float, int] = {}
    while len(known):
        place = next((place for place in (0, -1) if float(known[place]) in _SUSPECTS), None)
        if place is None:
            break
        value, n_cells = float(known[place]), int(counts[place])
        others = slice(1, None) if place == 0 else slice(None, -1)
        known, counts = known[others], counts[others]
        if n_cells < 2 or len(known) < _MIN_OTHERS:
            break
        low, high = float(known[0]), float(known[-1])
        far = min(abs(low / 2 - value / 2), abs(high / 2 - value / 2)) > high / 2 - low / 2
        if value in _SENTINELS and place == 0 and (far or (value <= -999 and low >= 0)):
            sentinels[value] = n_cells
        elif far:
            suspects[value] = n_cells
        else:
            break
    return sentinels, suspects
