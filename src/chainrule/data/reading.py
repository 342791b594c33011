"""Reading: any table becomes 1-D arrays by name, and any cell a number, a date or the name of a category.

A table is whatever names columns: a dict of columns, a list of dicts, a 2-D or structured array, a sparse matrix, a
DataFrame. A cell is missing when it is None, NaN, NaT or the empty string. Messages count rows from 1.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import lru_cache
from math import nan
from types import NoneType
from typing import Any, final

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import MissingExtraError, TableError

Columns = dict[str, Array]

MISSING_WORDS = frozenset({"na", "n/a", "nan", "null", "none", "?", "-", "."})
"""What people write for a missing number or date. Only where these are expected: elsewhere "NA" may be a country."""
BLOCK = 8192
"""Rows that are worked on together: enough to make Python's share small, and few enough to stay in the cache."""
MOST_SPARSE_CELLS = 2**27
"""A sparse matrix is made dense, a gigabyte of float64 at this size."""
MOST_YEARS = 100_000
"""Farther from 1970 a date is a mistake, and microseconds would soon overflow."""


# Tables.


def read_columns(table: object) -> Columns:
    """Return a table's columns by name, as 1-D arrays of one length; views of the caller's data where possible.

    `table` is a dict of columns, a list of dicts (a row each) or of rows, a 2-D array (its columns become x0, x1, ...),
    a structured array, a sparse matrix of SciPy, or a DataFrame of pandas, polars or pyarrow.

    Raises
    ------
    TableError
        When it is none of these, has columns of different lengths or two of one name.
    MissingExtraError
        For a DataFrame when narwhals is not installed.

    Examples
    --------
    >>> read_columns([{"age": 30, "sex": "f"}, {"age": 41}])
    {'age': array([30, 41]), 'sex': array(['f', None], dtype=object)}
    """
    return dict(open_columns(table))


def open_columns(table: object) -> Mapping[str, Array]:
    """Return a table's columns as `read_columns` does, those of a DataFrame or matrix when they are asked for."""
    if isinstance(table, np.ndarray):
        if table.ndim == 2 and table.shape[1] and table.dtype.kind in "iuf" and type(table) is not np.ma.MaskedArray:
            return Matrix(table)
        named = array_columns(table)
    elif isinstance(table, Frame | Matrix):
        return table
    elif isinstance(table, Mapping):
        named = [(str(name), values) for name, values in table.items()]
    elif isinstance(table, list | tuple):
        named = row_columns(table)
    elif hasattr(table, "toarray"):
        named = array_columns(dense(table))
    elif hasattr(type(table), "columns"):
        return Frame.open(table)
    else:
        raise TableError(
            "a table must be a dict of columns, a list of dicts, a 2-D array or a DataFrame, however: "
            f"it is a {type(table).__name__}"
        )
    columns: Columns = {}
    for name, values in named:
        if name in columns:
            raise TableError(f"a table must name its columns differently, however: {name!r} is there twice")
        columns[name] = as_column(name, values)
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        told = ", ".join(f"{name!r} {len(values)}" for name, values in list(columns.items())[:5])
        raise TableError(f"a table's columns must be equally long, however: {told}")
    return columns


def n_rows(columns: Mapping[str, Array]) -> int:
    """Return how many rows there are; none where there is no column."""
    if isinstance(columns, Frame | Matrix):
        return columns.n_rows
    return len(next(iter(columns.values()))) if columns else 0


def rows_from(columns: Mapping[str, Array], start: int, stop: int) -> Mapping[str, Array]:
    """Return some rows of every column, as views."""
    if isinstance(columns, Frame | Matrix):
        return columns.rows(start, stop)
    return {name: values[start:stop] for name, values in columns.items()}


def take_rows(columns: Columns, rows: Array) -> Columns:
    """Return the rows of these numbers, or where a mask is true, of every column."""
    return {name: values[rows] for name, values in columns.items()}


def array_columns(table: Array) -> list[tuple[str, object]]:
    """Return the columns of a structured or a 2-D array."""
    if table.dtype.names is not None:
        return [(name, table[name]) for name in table.dtype.names]
    if table.ndim != 2:
        raise TableError(f"a table must be 2-D, rows by columns, however: its shape is {table.shape}")
    return [(name, table[:, j]) for name, j in matrix_names(table.shape[1]).items()]


@lru_cache(maxsize=16)
def matrix_names(n_columns: int) -> dict[str, int]:
    """Return what the columns of a matrix are called, each with its number."""
    return {f"x{j}": j for j in range(n_columns)}


def matrix_place(name: str) -> int:
    """Return the number of a matrix's column by its name, -1 for a name that no matrix has."""
    return int(name[1:]) if re.fullmatch(r"x(0|[1-9][0-9]{,8})", name) else -1


def row_columns(rows: Sequence[object]) -> list[tuple[str, object]]:
    """Return the columns of a list of rows: dicts, in which a name not given is missing, or sequences."""
    if not rows:
        raise TableError("a list of rows must hold one row at least, however: it is empty")
    if isinstance(rows[0], Mapping):
        if not all(isinstance(row, Mapping) for row in rows):
            raise TableError("a list of dicts must hold dicts only")
        dicts: Sequence[Mapping[object, object]] = rows  # type: ignore[assignment]
        names = dict.fromkeys(name for row in dicts for name in row)
        return [(str(name), [row.get(name) for row in dicts]) for name in names]
    try:
        return array_columns(np.array(rows, dtype=object))
    except ValueError as error:
        raise TableError(f"a list of rows must hold rows of one length, however: {error}") from None


def dense(sparse: Any) -> Array:
    """Return a sparse matrix as an array, unless that would be a very large one."""
    if np.prod(sparse.shape, dtype=np.float64) > MOST_SPARSE_CELLS:
        told = " x ".join(f"{length:,}" for length in sparse.shape)
        raise TableError(
            f"a sparse table must have {MOST_SPARSE_CELLS:,} cells at most: it is made dense; it has {told}"
        )
    return np.asarray(sparse.toarray())


def as_column(name: str, values: object) -> Array:
    """Return one column's values as a 1-D array; lists of anything but numbers stay the objects they hold."""
    if isinstance(values, np.ma.MaskedArray):
        column = values.astype(object)
        column = np.where(np.ma.getmaskarray(values), np.array(None), column.data)
    elif isinstance(values, list | tuple):
        types = set(map(type, values))
        plain = types <= {int, float} or types == {bool}
        column = np.asarray(values) if plain else np.fromiter(values, object, len(values))
    else:
        column = np.asarray(values)
    if column.ndim != 1:
        hint = "; for one row pass [row], a list of one dict" if column.ndim == 0 else ""
        raise TableError(f"column {name!r} must be 1-D, however: its shape is {column.shape}{hint}")
    if column.dtype.kind in "cV":
        raise TableError(f"column {name!r} must hold numbers, text or booleans, however: it holds {column.dtype}")
    if not isinstance(values, np.ndarray) and hasattr(getattr(values, "cat", values), "categories"):  # of pandas
        return as_levels(name, column)
    return column


# Columns that are made when they are asked for.


@final
class Matrix(Mapping[str, Array]):
    """The columns of a 2-D array of numbers (n, d), by the names that `matrix_names` gives them."""

    def __init__(self, numbers: Array) -> None:
        self.numbers = numbers
        self.names = matrix_names(numbers.shape[1])

    @property
    def n_rows(self) -> int:
        return len(self.numbers)

    def rows(self, start: int, stop: int) -> "Matrix":
        """Return some rows, a view."""
        return Matrix(self.numbers[start:stop])

    def __getitem__(self, name: str) -> Array:
        return self.numbers[:, self.names[name]]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@final
class Frame(Mapping[str, Array]):
    """The columns of a DataFrame, each made an array when it is asked for: they are never there all at once."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.names = {str(name): name for name in frame.columns}

    @classmethod
    def open(cls, frame: Any) -> "Frame":
        """Return the columns of a DataFrame of any library that narwhals knows."""
        try:
            import narwhals.stable.v1 as nw
        except ImportError:
            raise MissingExtraError("reading a DataFrame", "sklearn") from None
        if hasattr(frame, "collect"):
            raise TableError("a table must be in memory, such as frame.collect(), however: it is a LazyFrame")
        with readable():
            opened = cls(nw.from_native(frame, eager_only=True))
        if len(opened.names) < len(opened.frame.columns):
            told = shorten(list(opened.frame.columns))
            raise TableError(f"a table must name its columns differently, however: one of {told} is there twice")
        return opened

    @property
    def n_rows(self) -> int:
        return len(self.frame)

    def rows(self, start: int, stop: int) -> "Frame":
        """Return some rows."""
        return Frame(self.frame[start:stop])

    def __getitem__(self, name: str) -> Array:
        import narwhals.stable.v1 as nw

        with readable():
            series = self.frame.get_column(self.names[name])
            declared = isinstance(series.dtype, nw.Categorical | nw.Enum)
            shared = declared or series.dtype == nw.String
            column = share_text(series) if shared else as_column(name, series.to_numpy())
        return as_levels(name, column) if declared else column

    def __contains__(self, name: object) -> bool:  # without reading the column
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@contextmanager
def readable() -> Iterator[None]:
    """Turn what narwhals and the libraries under it raise into a TableError."""
    import narwhals.stable.v1 as nw

    try:
        yield
    except nw.exceptions.DuplicateError as error:
        told = " ".join(str(error).split())
        raise TableError(f"a table must name its columns differently, however: {told}") from None
    except (TypeError, ValueError, nw.exceptions.NarwhalsError) as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"the DataFrame cannot be read: {first_line(error)}") from None


def share_text(series: Any) -> Array:
    """Return a series of text as objects, one for each different text and not one a row: a tenth of the memory."""
    cells = np.empty(len(series), object)
    pool: dict[Any, Any] = {}
    for start in range(0, len(cells), BLOCK):
        block = series[start : start + BLOCK].to_list()
        cells[start : start + BLOCK] = np.fromiter(map(pool.setdefault, block, block), object, len(block))
    return cells


class Level(str):
    """A cell of a column that its DataFrame declares categorical: no number and no date, even if it reads as one."""

    __slots__ = ()


def as_levels(name: str, values: Array) -> Array:
    """Return a column with every cell a Level, missing ones None."""
    levels, codes = factorize(name, values)
    return np.array([None if is_missing(level) else Level(to_text(level)) for level in levels], object)[codes]


# Cells.


def is_missing(value: object) -> bool:
    """Tell whether a cell is None, NaN, NaT or the empty string."""
    try:
        return value is None or bool(value != value) or (isinstance(value, str) and value == "")
    except TypeError:  # pandas.NA is neither true nor false
        return True


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
        if isinstance(level, bool | np.bool_ | Level):
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
            times.append(None if isinstance(level, Level) else to_date(level))
        except (TypeError, ValueError, OverflowError):
            return None
    dates = np.array(times, "M8[us]")
    return None if np.isnat(dates).all() else dates


# Columns.


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
        raise TableError(f"column {name!r} must hold simple values, however: it holds lists or dicts") from None
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
        raise TableError(f"column {name!r} must hold numbers, however: it holds dates or times")
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


# Messages.


def require_names(columns: Mapping[str, Array], names: Iterable[str]) -> None:
    """Raise a TableError for the first name that no column has, and suggest the nearest ones."""
    for name in names:
        if name not in columns:
            from difflib import get_close_matches

            lower = {other.lower(): other for other in columns}
            near = [lower[match] for match in get_close_matches(name.lower(), lower, n=3, cutoff=0.6)]
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {shorten(list(columns))}"
            raise TableError(f"the table has no column {name!r}; {hint}")


def named(columns: Mapping[str, Array], name: str) -> Array:
    """Return the column of that name, or raise a TableError that suggests the nearest names."""
    require_names(columns, [name])
    return columns[name]


def shorten(values: Sequence[object], most: int = 8) -> str:
    """Return the first few values as text."""
    more = f", ... ({len(values)} in all)" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more


def first_line(error: BaseException) -> str:
    """Return an error's message up to its first line break."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
