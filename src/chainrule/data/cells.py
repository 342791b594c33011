"""Cells: any one becomes a number, a date or the name of a category.

A cell is missing when it is None, NaN, NaT or the empty string. Messages count rows from 1.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from math import nan
from types import NoneType
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import TableError

MISSING_WORDS = frozenset({"na", "n/a", "nan", "null", "none", "?", "-", "."})
"""What people write for a missing number or date. Only where these are expected: elsewhere "NA" may be a country."""
BLOCK = 8192
"""Rows that are worked on together: enough to make Python's share small, and few enough to stay in the cache."""
MOST_YEARS = 100_000
"""Farther from 1970 a date is a mistake, and microseconds would soon overflow."""


# One cell.


class Category(str):
    """A cell of a column that its DataFrame declares categorical: no number and no date, even if it reads as one."""

    __slots__ = ()


def is_missing(value: object) -> bool:
    """Tell whether a cell is None, NaN, NaT or the empty string."""
    try:
        return value is None or bool(value != value) or (isinstance(value, str) and value == "")
    except TypeError:  # pandas.NA is neither true nor false
        return True


def to_text(value: object) -> str:
    """Return what a cell is called as a category: 3 and 3.0 are both "3"."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def spelling(text: str) -> str:
    """Return the one way to write a category that files and types write in several: 01 and 1.0 are "1", true "True"."""
    if text.lower() in ("true", "false"):
        return text.capitalize()
    return to_text(float(text)) if re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?", text) else text


def to_number(value: Any) -> float:
    """Return a cell as a number, NaN if it is missing; raise ValueError or TypeError if it is none."""
    if is_missing(value):
        return nan
    if not isinstance(value, str):
        return float(value)
    if value.strip().lower() in MISSING_WORDS:
        return nan
    if "_" in value:
        raise ValueError("digits joined by _ are a name")
    return float(value)


def to_date(value: Any) -> datetime | None:
    """Return a cell as a time in UTC, None if it is missing; raise ValueError or TypeError if it is none.

    Dates are their midnight; a time without a zone is taken as it is. Text is a date in ISO 8601's long form, perhaps
    with a time: 2024-03-01, 2024-03-01 12:30, 2024-03-01T12:30:45Z.
    """
    if is_missing(value):
        return None
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in MISSING_WORDS:
            return None
        # datetime reads shorter forms too, which may as well be numbers: 20240301 or 2024-W09-5.
        if not re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", text):
            raise ValueError("it is no ISO date")
        value = datetime.fromisoformat(text)
    elif isinstance(value, np.datetime64):
        value = value.astype("M8[us]").item()
    elif hasattr(value, "to_timestamp"):  # a period of pandas, which is its beginning
        value = value.to_timestamp()
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    if not isinstance(value, date):
        raise TypeError("it is no date")
    return datetime(value.year, value.month, value.day)


def are_numbers(levels: Iterable[Any]) -> bool:
    """Tell whether there are numbers, or text that reads as numbers, and nothing else but missing cells."""
    some = False
    for level in levels:
        if isinstance(level, bool | np.bool_ | Category):
            return False
        try:
            some |= not np.isnan(to_number(level))
        except (TypeError, ValueError, OverflowError):
            return False
    return some


def as_dates_only(levels: Iterable[Any]) -> Array | None:
    """Return times in microseconds, NaT where missing; None unless there are dates and nothing else."""
    times = []
    for level in levels:
        try:
            times.append(None if isinstance(level, Category) else to_date(level))
        except (TypeError, ValueError, OverflowError):
            return None
    dates = np.array(times, "M8[us]")
    return None if np.isnat(dates).all() else dates


# A column of them.


def as_levels(name: str, values: Array) -> Array:
    """Return a column with every cell a Level, missing ones None."""
    levels, codes = factorize(name, values)
    return np.array([None if is_missing(level) else Category(to_text(level)) for level in levels], object)[codes]


def missing_rows(name: str, values: Array) -> Array:
    """Return a boolean array (n,) that tells where a column's cells are missing."""
    if values.dtype.kind in "iub":
        return np.zeros(len(values), np.bool_)
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "Mm":
        return np.isnat(values)
    levels, codes = factorize(name, values)
    return np.array([is_missing(level) for level in levels], np.bool_)[codes]


def factorize(name: str, values: Array) -> tuple[list[Any], Array]:
    """Return a column's distinct values, and for each row (n,) the position of its own among them."""
    if values.dtype.kind in "iufb":
        levels, codes = np.unique(values, return_inverse=True)
        return levels.tolist(), codes
    # A dict is many times faster than sorting strings. Where there are several types they belong to the key: True is 1.
    types: set[type] = set()
    for rows in blocks(values):
        types.update(map(type, rows))
    typed = len(types - {str, NoneType}) > 1
    places: dict[Any, int] = {}
    codes = np.empty(len(values), np.intp)
    start = 0
    try:
        for rows in blocks(values):
            keys = list(zip(map(type, rows), rows)) if typed else rows
            for key in dict.fromkeys(keys):
                places.setdefault(key, len(places))
            codes[start : start + len(rows)] = np.fromiter(map(places.__getitem__, keys), np.intp, len(keys))
            start += len(rows)
    except TypeError:
        raise TableError(f"column {name!r} must hold simple values, got lists or dicts") from None
    return [value for _, value in places] if typed else list(places), codes


def blocks(values: Array) -> Iterator[list[Any]]:
    """Yield a column's values in order, some at a time."""
    for start in range(0, len(values), BLOCK):
        yield values[start : start + BLOCK].tolist()


def place_levels(cells: Sequence[Any], levels: Sequence[str]) -> Array:
    """Return the position (n,) in `levels` of each cell, -1 where it is missing or none of them.

    A cell that equals no level is the only one that is spelled like it, if there is one (see `spelling`).
    """
    places = {level: i for i, level in enumerate(levels)}
    texts = [cell if type(cell) is str else "" if is_missing(cell) else to_text(cell) for cell in cells]
    found = [places.get(text, -1) for text in texts]
    if -1 in found and any(place < 0 and text for place, text in zip(found, texts)):
        spelled: dict[str, int] = {}
        for level, i in places.items():
            spelled[spelling(level)] = -1 if spelling(level) in spelled else i
        found = [spelled.get(spelling(text), -1) if place < 0 else place for place, text in zip(found, texts)]
    return np.array(found, np.intp)


def as_numbers(name: str, values: Array, first_row: int = 0) -> Array:
    """Return a column as float64 (n,), NaN where missing; text is parsed.

    Raises TableError naming column, row and value of the first that is no number, or infinite; `values` begins at the
    table's row `first_row`.
    """
    if values.dtype.kind in "iufb":
        numbers = values.astype(np.float64)
    elif values.dtype.kind in "Mm":
        raise TableError(f"column {name!r} must hold numbers, got dates or times")
    else:
        numbers = parse(name, values, to_number, "numbers", np.float64, first_row)
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(np.argmax(infinite))
        told = f"however row {first_row + row + 1} holds {values[row]}"
        raise TableError(f"column {name!r} must hold finite numbers, {told}")
    return numbers


def as_dates(name: str, values: Array, first_row: int = 0) -> Array:
    """Return a column as times in UTC, datetime64[us] (n,), NaT where missing; text is parsed.

    Raises TableError naming column, row and value of the first that is no date; `values` begins at the table's row
    `first_row`.
    """
    if values.dtype.kind != "M":
        return parse(name, values, to_date, "dates such as 2024-03-01", "M8[us]", first_row)
    if np.datetime_data(values.dtype)[0] in ("Y", "M", "W", "D", "h", "m", "s", "ms"):  # others end within centuries
        first, last = np.array([-MOST_YEARS, MOST_YEARS], "M8[Y]").astype(values.dtype)
        far = (values < first) | (values > last)
        if far.any():
            row = int(np.argmax(far))
            told = f"however row {first_row + row + 1} holds {values[row]}"
            raise TableError(f"column {name!r} must hold dates within {MOST_YEARS:,} years of 1970, {told}")
    return values.astype("M8[us]")


def parse(
    name: str, values: Array, read: Callable[[Any], object], kind: str, dtype: type | str, first_row: int
) -> Array:
    """Return what `read` makes of every cell, or raise a TableError naming the first that it cannot read."""
    levels, codes = factorize(name, values)
    parsed = []
    for i, level in enumerate(levels):
        try:
            parsed.append(read(level))
        except (TypeError, ValueError, OverflowError):
            row = first_row + int(np.argmax(codes == i)) + 1
            raise TableError(f"column {name!r} must hold {kind}, however row {row} holds {level!r}") from None
    return np.array(parsed, dtype)[codes]
