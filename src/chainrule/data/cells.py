"""Cells: parse a single value as a number, a date or a category.

A cell is missing if it is None, NaN, NaT or the empty string. Error messages count rows from 1.
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
"""Spellings of a missing number or date. Elsewhere they are ordinary text: "NA" may be a country."""
BLOCK = 8192
"""Rows processed together: enough to amortize Python's overhead, few enough to stay in the cache."""
MAX_YEARS = 100_000
"""A date farther from 1970 is a mistake, and not much farther microseconds overflow int64."""


# Single cells.


class Category(str):
    """A cell of a column that a DataFrame declares as categorical: never parsed as a number or a date."""

    __slots__ = ()


def is_missing(value: object) -> bool:
    """Return whether a cell is None, NaN, NaT or the empty string."""
    try:
        return value is None or bool(value != value) or (isinstance(value, str) and value == "")
    except TypeError:  # pandas.NA has no truth value
        return True


def to_text(value: object) -> str:
    """Return the name of a cell's category: both 3 and 3.0 are "3"."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def spelling(text: str) -> str:
    """Return the canonical spelling of a category: "01" and "1.0" become "1", "true" becomes "True"."""
    if text.lower() in ("true", "false"):
        return text.capitalize()
    return to_text(float(text)) if re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?", text) else text


def to_number(value: Any) -> float:
    """Return a cell as a number, NaN if it is missing; raise ValueError or TypeError if it is not a number."""
    if is_missing(value):
        return nan
    if not isinstance(value, str):
        return float(value)
    if value.strip().lower() in MISSING_WORDS:
        return nan
    if "_" in value:
        raise ValueError("float would accept underscores between digits")
    return float(value)


def to_date(value: Any) -> datetime | None:
    """Return a cell as a time in UTC, None if it is missing; raise ValueError or TypeError if it is not a date.

    A date without a time is its midnight; a time without a zone is taken as UTC. Text must be in the extended format
    of ISO 8601, with or without a time: 2024-03-01, 2024-03-01 12:30, 2024-03-01T12:30:45Z.
    """
    if is_missing(value):
        return None
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in MISSING_WORDS:
            return None
        # datetime also parses shorter forms, which could just as well be numbers or codes: 20240301 or 2024-W09-5.
        if not re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", text):
            raise ValueError("not an ISO 8601 date")
        value = datetime.fromisoformat(text)
    elif isinstance(value, np.datetime64):
        value = value.astype("M8[us]").item()
    elif hasattr(value, "to_timestamp"):  # a pandas Period, represented by its start
        value = value.to_timestamp()
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    if not isinstance(value, date):
        raise TypeError("not a date")
    return datetime(value.year, value.month, value.day)


def are_numbers(values: Iterable[Any]) -> bool:
    """Return whether every value is a number, text that parses as one, or missing, and not all are missing."""
    any_number = False
    for value in values:
        if isinstance(value, bool | np.bool_ | Category):
            return False
        try:
            any_number |= not np.isnan(to_number(value))
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


def category_codes(cells: Sequence[Any], categories: Sequence[str]) -> Array:
    """Return the index (n,) in `categories` of each cell, -1 where it is missing or unknown.

    A cell that equals no category matches the one with the same canonical spelling (see `spelling`), if there is
    exactly one.
    """
    places = {category: i for i, category in enumerate(categories)}
    texts = [cell if type(cell) is str else "" if is_missing(cell) else to_text(cell) for cell in cells]
    codes = [places.get(text, -1) for text in texts]
    if -1 in codes and any(code < 0 and text for code, text in zip(codes, texts)):
        spelled: dict[str, int] = {}
        for category, i in places.items():
            spelled[spelling(category)] = -1 if spelling(category) in spelled else i
        codes = [spelled.get(spelling(text), -1) if code < 0 else code for code, text in zip(codes, texts)]
    return np.array(codes, np.intp)


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


def as_numbers(name: str, values: Array, first_row: int = 0) -> Array:
    """Return a column as float64 (n,), NaN where missing; text is parsed.

    Raises TableError with the column, row and value of the first cell that is not a finite number. `first_row` is the
    index of `values[0]` in its table.
    """
    if values.dtype.kind in "iufb":
        numbers = values.astype(np.float64)
    elif values.dtype.kind in "Mm":
        raise TableError(f"column {name!r}: expected numbers, got dates or times")
    else:
        numbers = _parse(name, values, to_number, "a finite number", np.float64, first_row)
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise TableError(f"column {name!r}, row {first_row + row + 1}: expected a finite number, got {values[row]}")
    return numbers


def as_dates(name: str, values: Array, first_row: int = 0) -> Array:
    """Return a column as times in UTC, datetime64[us] (n,), NaT where missing; text is parsed.

    Raises TableError with the column, row and value of the first cell that is not a date. `first_row` is the index of
    `values[0]` in its table.
    """
    if values.dtype.kind != "M":
        return _parse(name, values, to_date, "a date such as 2024-03-01", "M8[us]", first_row)
    if np.datetime_data(values.dtype)[0] in ("Y", "M", "W", "D", "h", "m", "s", "ms"):  # finer units span less
        first, last = np.array([-MAX_YEARS, MAX_YEARS], "M8[Y]").astype(values.dtype)
        far = (values < first) | (values > last)
        if far.any():
            row = int(np.argmax(far))
            rule = f"expected a date within {MAX_YEARS:,} years of 1970"
            raise TableError(f"column {name!r}, row {first_row + row + 1}: {rule}, got {values[row]}")
    return values.astype("M8[us]")


def _parse(
    name: str, values: Array, read: Callable[[Any], object], kind: str, dtype: type | str, first_row: int
) -> Array:
    """Apply `read` to every distinct cell; raise TableError for the first that it cannot parse."""
    distinct, codes = factorize(name, values)
    parsed = []
    for i, value in enumerate(distinct):
        try:
            parsed.append(read(value))
        except (TypeError, ValueError, OverflowError):
            row = first_row + int(np.argmax(codes == i)) + 1
            raise TableError(f"column {name!r}, row {row}: expected {kind}, got {value!r}") from None
    return np.array(parsed, dtype)[codes]
