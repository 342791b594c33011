"""Cells: columns of numbers, dates and categories from columns of cells of any type.

A cell is missing if it is None, NaN, NaT or text without anything but whitespace. Error messages count rows from 1.
`chainrule.data.formats` reads the single cells.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import NoneType
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.data.formats import (
    ISO,
    PLAIN,
    DateFormat,
    NumberFormat,
    is_missing,
    read_number,
    to_date,
    to_number,
    to_text,
)
from chainrule.errors import TableError

BLOCK = 8192
"""Rows processed together: enough to amortize Python's overhead, few enough to stay in the cache."""
_MAX_YEARS = 100_000
"""A date farther from 1970 is a mistake, and not much farther microseconds overflow int64."""


# Single cells.


class Category(str):
    """A cell of a column that a DataFrame declares as categorical: never parsed as a number or a date."""

    __slots__ = ()


def are_numbers(values: Iterable[Any]) -> bool:
    """Return whether every value is a number, text that parses as one, or missing, and not all are missing."""
    any_number = False
    for value in values:
        if isinstance(value, bool | np.bool_ | Category):
            return False
        try:
            any_number |= not np.isnan(read_number(value))
        except (TypeError, ValueError, OverflowError):
            return False
    return any_number


def as_dates_only(values: Iterable[Any]) -> Array | None:
    """Return values as times in microseconds, NaT where missing; None if any is not a date or all are missing."""
    times = []
    for value in values:
        try:
            times.append(None if isinstance(value, Category) else to_date(value))
        except (TypeError, ValueError, OverflowError):
            return None
    dates = np.array(times, "M8[us]")
    return None if np.isnat(dates).all() else dates


# Columns of cells.


def as_categories(name: str, values: Array) -> Array:
    """Return a column with every cell as a Category, None where missing."""
    distinct, codes = factorize(name, values)
    return np.array([None if is_missing(value) else Category(to_text(value)) for value in distinct], object)[codes]


def missing_rows(name: str, values: Array) -> Array:
    """Return a boolean array (n,), true where a cell is missing."""
    if values.dtype.kind in "iub":
        return np.zeros(len(values), np.bool_)
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "Mm":
        return np.isnat(values)
    distinct, codes = factorize(name, values)
    return np.array([is_missing(value) for value in distinct], np.bool_)[codes]


def factorize(name: str, values: Array) -> tuple[list[Any], Array]:
    """Return a column's distinct values, and for each row (n,) the index of its value among them."""
    if values.dtype.kind in "iufb":
        distinct, codes = np.unique(values, return_inverse=True)
        return distinct.tolist(), codes
    # A dict is many times faster than sorting strings. In a column of mixed types the type is part of the key, because
    # True == 1.
    types: set[type] = set()
    for rows in _blocks(values):
        types.update(map(type, rows))
    typed = len(types - {str, NoneType}) > 1
    places: dict[Any, int] = {}
    codes = np.empty(len(values), np.intp)
    start = 0
    try:
        for rows in _blocks(values):
            keys = list(zip(map(type, rows), rows)) if typed else rows
            for key in dict.fromkeys(keys):
                places.setdefault(key, len(places))
            codes[start : start + len(rows)] = np.fromiter(map(places.__getitem__, keys), np.intp, len(keys))
            start += len(rows)
    except TypeError:
        raise TableError(f"column {name!r} must contain scalars, got lists or dicts") from None
    return [value for _, value in places] if typed else list(places), codes


def _blocks(values: Array) -> Iterator[list[Any]]:
    for start in range(0, len(values), BLOCK):
        yield values[start : start + BLOCK].tolist()


def plain_numbers(values: Array) -> Array | None:
    """Return a column that holds nothing but numbers and None as an array of numbers, NaN where missing; else None."""
    if values.dtype.kind in "iufb":
        return values
    if values.dtype.kind != "O" or not set(map(type, values)) <= {int, float, NoneType}:
        return None
    try:
        return values.astype(np.float64)
    except OverflowError:
        return None


def as_numbers(name: str, values: Array, first_row: int = 0, number_format: NumberFormat = PLAIN) -> Array:
    """Return a column as float64 (n,), NaN where missing; text is parsed in the format.

    Raises TableError with the column, row and value of the first cell that is not a finite number. `first_row` is the
    index of `values[0]` in its table.
    """
    if values.dtype.kind in "iufb":
        numbers = values.astype(np.float64)
    elif values.dtype.kind in "Mm":
        raise TableError(f"column {name!r}: expected numbers, got dates or times")
    else:
        read = to_number if number_format is PLAIN else partial(to_number, number_format=number_format)
        numbers = _parse(name, values, read, "a finite number", np.float64, first_row)
    require_finite(name, numbers, values, lambda row: first_row + row)
    for sentinel in number_format.sentinels:
        numbers[numbers == sentinel] = np.nan
    return numbers


def as_dates(name: str, values: Array, first_row: int = 0, date_format: DateFormat = ISO) -> Array:
    """Return a column as times in UTC, datetime64[us] (n,), NaT where missing; text is parsed in the format.

    Raises TableError with the column, row and value of the first cell that is not a date. `first_row` is the index of
    `values[0]` in its table.
    """
    if values.dtype.kind != "M":
        read = to_date if date_format is ISO else partial(to_date, date_format=date_format)
        return _parse(name, values, read, "a date such as 2024-03-01", "M8[us]", first_row)
    if np.datetime_data(values.dtype)[0] in ("Y", "M", "W", "D", "h", "m", "s", "ms"):  # finer units span less
        first, last = np.array([-_MAX_YEARS, _MAX_YEARS], "M8[Y]").astype(values.dtype)
        far = (values < first) | (values > last)
        if far.any():
            row = int(np.argmax(far))
            rule = f"expected a date within {_MAX_YEARS:,} years of 1970"
            raise TableError(f"column {name!r}, row {first_row + row + 1}: {rule}, got {values[row]}")
    return values.astype("M8[us]")


def _parse(
    name: str, values: Array, read: Callable[[Any], object], kind: str, dtype: type | str, first_row: int
) -> Array:
    """Apply `read` to every distinct cell; raise TableError for the first that it cannot parse."""
    distinct, codes = factorize(name, values)
    return parse_distinct(name, distinct, read, kind, dtype, lambda i: first_row + int(np.argmax(codes == i)))[codes]


def parse_distinct(
    name: str,
    cells: Sequence[Any],
    read: Callable[[Any], object],
    kind: str,
    dtype: type | str,
    row_of: Callable[[int], int],
) -> Array:
    """Apply `read` to different cells, of which the i-th is in row `row_of(i)`; TableError if it cannot parse one."""
    parsed = []
    for i, value in enumerate(cells):
        try:
            parsed.append(read(value))
        except (TypeError, ValueError, OverflowError):
            raise TableError(f"column {name!r}, row {row_of(i) + 1}: expected {kind}, got {value!r}") from None
    return np.array(parsed, dtype)


def require_finite(name: str, numbers: Array, cells: Sequence[Any] | Array, row_of: Callable[[int], int]) -> None:
    """Raise TableError for the first of numbers (n,) that is infinite; cells[i] is in row `row_of(i)`."""
    infinite = np.isinf(numbers)
    if infinite.any():
        i = int(np.argmax(infinite))
        raise TableError(f"column {name!r}, row {row_of(i) + 1}: expected a finite number, got {cells[i]}")
