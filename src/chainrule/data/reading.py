"""Reading: turn any table into 1-D arrays by column name.

A table is anything with named columns: a dict of columns, a list of dicts, a 2-D or structured array, a sparse matrix,
a DataFrame. `chainrule.data.cells` parses the individual cells.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any, final

import numpy as np

from chainrule.arrays import Array
from chainrule.data.cells import BLOCK, as_categories
from chainrule.data.formats import is_missing
from chainrule.errors import MissingExtraError, TableError, first_line, require_names, shorten

Columns = dict[str, Array]

FEW_ROWS = 512
"""Rows up to which the calls cost more than the arithmetic, so that numeric columns are treated together."""
_MAX_SPARSE_CELLS = 2**27
"""A sparse matrix is converted to a dense one, which takes a gigabyte of float64 at this size."""


def read_columns(table: object) -> Columns:
    """Return a table's columns by name, as 1-D arrays of one length; views of the caller's data where possible.

    `table` is a dict of columns, a list of dicts (one per row) or of rows, a 2-D array (whose columns are named x0, x1,
    ...), a structured array, a SciPy sparse matrix, or a pandas, polars or pyarrow DataFrame.

    Raises
    ------
    TableError
        If it is none of these, or has columns of different lengths or duplicate names.
    MissingExtraError
        For a DataFrame if narwhals is not installed.

    Examples
    --------
    >>> read_columns([{"age": 30, "sex": "f"}, {"age": 41}])
    {'age': array([30, 41]), 'sex': array(['f', None], dtype=object)}
    """
    return dict(open_columns(table))


def open_columns(table: object) -> Mapping[str, Array]:
    """Return a table's columns as `read_columns` does, but convert those of a DataFrame or matrix only on access."""
    if isinstance(table, np.ndarray):
        if table.ndim == 2 and table.shape[1] and table.dtype.kind in "iuf" and type(table) is not np.ma.MaskedArray:
            return Matrix(table)
        pairs = _array_columns(table)
    elif isinstance(table, Frame | Matrix):
        return table
    elif isinstance(table, Mapping):
        pairs = [(str(name), values) for name, values in table.items()]
    elif isinstance(table, list | tuple):
        matrix = _as_matrix(table)
        if matrix is not None:
            return matrix
        pairs = _row_columns(table)
    elif hasattr(table, "toarray"):
        pairs = _array_columns(_dense(table))
    elif hasattr(type(table), "columns"):
        return _small_matrix(table) or Frame.open(table)
    else:
        kinds = "a dict of columns, a list of dicts, a 2-D array or a DataFrame"
        raise TableError(f"table must be {kinds}, got a {type(table).__name__}")
    columns: Columns = {}
    for name, values in pairs:
        if name in columns:
            raise TableError(f"table must have unique column names, got {name!r} twice")
        columns[name] = _as_column(name, values)
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        sizes = ", ".join(f"{name!r}: {len(values)}" for name, values in list(columns.items())[:5])
        raise TableError(f"table must have columns of equal length, got lengths {sizes}")
    return columns


def n_rows(columns: Mapping[str, Array]) -> int:
    """Return the number of rows; 0 for a table without columns."""
    if isinstance(columns, Frame | Matrix):
        return columns.n_rows
    return len(next(iter(columns.values()))) if columns else 0


def rows_from(columns: Mapping[str, Array], start: int, stop: int) -> Mapping[str, Array]:
    """Return a slice of the rows, as views."""
    if isinstance(columns, Frame | Matrix):
        return columns.rows(start, stop)
    return {name: values[start:stop] for name, values in columns.items()}


def take_rows(columns: Columns, rows: Array) -> Columns:
    """Return the rows selected by an array of indices or a boolean mask."""
    return {name: values[rows] for name, values in columns.items()}


def named(columns: Mapping[str, Array], name: str) -> Array:
    """Return the column of that name, or raise a TableError that suggests the closest names."""
    require_names(columns, [name])
    return columns[name]


def are_nested(values: Array) -> bool:
    """Return whether a column's first cell that is not missing is a list, a dict or an array."""
    if values.dtype.kind != "O":
        return False
    first = next((value for value in values if value is not None and not isinstance(value, float)), None)
    return isinstance(first, list | dict | np.ndarray)


def _array_columns(table: Array) -> list[tuple[str, object]]:
    """Return the columns of a structured or a 2-D array."""
    if table.dtype.names is not None:
        return [(name, table[name]) for name in table.dtype.names]
    if table.ndim != 2:
        raise TableError(f"table must be 2-D, got shape {table.shape}")
    return [(name, table[:, j]) for name, j in matrix_names(table.shape[1]).items()]


@lru_cache(maxsize=16)
def matrix_names(n_columns: int) -> dict[str, int]:
    """Return the names of a matrix's columns, x0, x1, ..., with their indices."""
    return {f"x{j}": j for j in range(n_columns)}


def _row_columns(rows: Sequence[object]) -> list[tuple[str, object]]:
    """Return the columns of a list of rows: dicts, where an absent name is a missing cell, or sequences."""
    if not rows:
        raise TableError("table must have at least one row, got an empty list")
    if isinstance(rows[0], Mapping):
        if not all(isinstance(row, Mapping) for row in rows):
            raise TableError("a list of dicts must contain only dicts")
        dicts: Sequence[Mapping[object, object]] = rows  # type: ignore[assignment]
        names = dict.fromkeys(name for row in dicts for name in row)
        return [(str(name), [row.get(name) for row in dicts]) for name in names]
    try:
        return _array_columns(np.array(rows, dtype=object))
    except ValueError as error:
        raise TableError(f"a list of rows must contain rows of equal length: {error}") from None


def _as_matrix(rows: Sequence[Any]) -> "Matrix | None":
    """Return dicts of floats alone, under the same names, as a matrix; None if the rows are anything else."""
    names = list(rows[0]) if rows and type(rows[0]) is dict else []
    if not names or not all(type(row) is dict and list(row) == names for row in rows):
        return None
    cells = [cell for row in rows for cell in row.values()]
    named = {str(name): j for j, name in enumerate(names)}
    if len(named) < len(names) or set(map(type, cells)) != {float}:
        return None
    return Matrix(np.fromiter(cells, np.float64, len(cells)).reshape(len(rows), -1), named)


def _small_matrix(frame: Any) -> "Matrix | None":
    """Return a pandas or polars frame of few rows and floats of one dtype as a matrix; None if it is anything else."""
    dtypes = set(frame.dtypes) if _library_of(frame) and 0 < len(frame) <= FEW_ROWS else set()
    if len(dtypes) != 1 or str(*dtypes).lower() not in ("float64", "float32"):
        return None
    numbers, names = frame.to_numpy(), {str(name): j for j, name in enumerate(frame.columns)}
    return Matrix(numbers, names) if numbers.dtype.kind == "f" and len(names) == numbers.shape[1] else None


def _library_of(frame: Any) -> str:
    """Return "pandas" or "polars", if it is a DataFrame of one of them in memory, else an empty string."""
    library = type(frame).__module__.partition(".")[0]
    return library if library in ("pandas", "polars") and hasattr(frame, "to_numpy") else ""


def _series_of(frame: Any, library: str) -> Iterable[Any]:
    """Return the columns of a DataFrame of one of the two libraries, in order; none of any other."""
    return (series for _, series in frame.items()) if library == "pandas" else frame.iter_columns() if library else ()


def _dense(sparse: Any) -> Array:
    """Return a sparse matrix as a dense array, or raise TableError if that would be too large."""
    if np.prod(sparse.shape, dtype=np.float64) > _MAX_SPARSE_CELLS:
        size = " x ".join(f"{length:,}" for length in sparse.shape)
        raise TableError(
            f"a sparse table must have at most {_MAX_SPARSE_CELLS:,} cells, because it is converted to a dense array, "
            f"got {size}"
        )
    return np.asarray(sparse.toarray())


def _as_column(name: str, values: object) -> Array:
    """Return one column's values as a 1-D array; a list of anything but plain numbers becomes an object array.

    Durations become numbers of days.
    """
    if type(values) is np.ndarray and values.ndim == 1 and values.dtype.kind in "iufbU":
        return values
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
        remedy = ". Pass [row], a list of one dict, for a single row." if column.ndim == 0 else ""
        raise TableError(f"column {name!r} must be 1-D, got shape {column.shape}{remedy}")
    if column.dtype.kind in "cV":
        raise TableError(f"column {name!r} must contain numbers, text, booleans or dates, got dtype {column.dtype}")
    if column.dtype.kind == "m" or (column.dtype.kind == "O" and _are_durations(column)):
        return _as_days(column)
    if not isinstance(values, np.ndarray) and hasattr(getattr(values, "cat", values), "categories"):  # pandas
        return as_categories(name, column)
    return column


def _are_durations(column: Array) -> bool:
    """Return whether all cells of an object array are durations or missing, and one is not missing."""
    first = next((value for value in column if not is_missing(value)), None)
    kinds = (timedelta, np.timedelta64)
    return isinstance(first, kinds) and all(is_missing(value) or isinstance(value, kinds) for value in column)


def _as_days(column: Array) -> Array:
    """Return durations as numbers of days, NaN where missing. Those without a unit, as NumPy allows, are refused."""
    if column.dtype.kind == "O":
        column = np.array([None if is_missing(value) else np.timedelta64(value, "us") for value in column], "m8[us]")
    if np.datetime_data(column.dtype)[0] == "generic":
        raise TableError("durations must have a unit, got dtype timedelta64. Convert them to timedelta64[s].")
    if np.datetime_data(column.dtype)[0] in ("Y", "M"):
        column = column.astype("m8[D]", casting="unsafe")
    return column / np.timedelta64(1, "D")


# Columns converted on access.


class _Columns(Mapping[str, Array]):
    """Base class: `names` maps the names of the columns to where they are."""

    names: Mapping[str, Any]

    def __contains__(self, name: object) -> bool:  # without reading the column
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@final
class Matrix(_Columns):
    """The columns of a numeric 2-D array (n, d); their names are those of `matrix_names`, if no others are given."""

    def __init__(self, numbers: Array, names: Mapping[str, int] | None = None) -> None:
        self.numbers = numbers
        self.names = matrix_names(numbers.shape[1]) if names is None else names

    @property
    def n_rows(self) -> int:
        return len(self.numbers)

    def rows(self, start: int, stop: int) -> "Matrix":
        """Return a slice of the rows, a view."""
        return Matrix(self.numbers[start:stop], self.names)

    def __getitem__(self, name: str) -> Array:
        return self.numbers[:, self.names[name]]


@final
class Frame(_Columns):
    """The columns of a DataFrame, converted to arrays on access so that they are never all in memory at once."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.names = {str(name): name for name in frame.columns}

    @classmethod
    def open(cls, frame: Any) -> "Frame":
        """Return the columns of a DataFrame of any library that narwhals supports."""
        try:
            import narwhals.stable.v1 as nw
        except ImportError:
            raise MissingExtraError("reading a DataFrame", "sklearn") from None
        if hasattr(frame, "collect"):
            raise TableError("table must be in memory, got a LazyFrame. Pass frame.collect().")
        with _reading_errors():
            opened = cls(nw.from_native(frame, eager_only=True))
        if len(opened.names) < len(opened.frame.columns):
            names = shorten(list(opened.frame.columns))
            raise TableError(f"table must have unique column names when converted to strings, got {names}")
        return opened

    @property
    def n_rows(self) -> int:
        return len(self.frame)

    def rows(self, start: int, stop: int) -> "Frame":
        """Return a slice of the rows."""
        return Frame(self.frame[start:stop])

    @cached_property
    def _few(self) -> Columns:
        """The columns of numbers and text of a small pandas or polars frame, without the detour of narwhals."""
        native = self.frame.to_native()
        library = _library_of(native) if 0 < self.n_rows <= FEW_ROWS else ""
        columns: Columns = {}
        for name, series in zip(self.names, _series_of(native, library)):
            of_numpy = isinstance(series.dtype, np.dtype) and series.dtype.kind in "iufbMm"
            if of_numpy or (library == "polars" and (series.dtype.is_numeric() or series.dtype.is_temporal())):
                columns[name] = _as_column(name, series.to_numpy())
            elif str(series.dtype) in ("str", "string", "String"):
                cells = [cell if isinstance(cell, str) else None for cell in series.to_list()]
                columns[name] = np.fromiter(cells, object, len(cells))
        return columns

    def __getitem__(self, name: str) -> Array:
        import narwhals.stable.v1 as nw

        with _reading_errors():
            if name in self._few:
                return self._few[name]
            series = self.frame.get_column(self.names[name])
            dtype = series.dtype
            declared = isinstance(dtype, nw.Categorical | nw.Enum)
            shared = declared or dtype == nw.String
            if isinstance(dtype, nw.List | nw.Array | nw.Struct):
                return np.fromiter(series.to_list(), object, len(series))
            column = _share_text(series) if shared else _as_column(name, series.to_numpy())
        return as_categories(name, column) if declared else column


@contextmanager
def _reading_errors() -> Iterator[None]:
    """Turn errors of narwhals and the libraries under it into TableErrors."""
    import narwhals.stable.v1 as nw

    try:
        yield
    except nw.exceptions.DuplicateError as error:
        raise TableError(f"table must have unique column names: {' '.join(str(error).split())}") from None
    except (TypeError, ValueError, nw.exceptions.NarwhalsError) as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"the DataFrame cannot be read: {first_line(error)}") from None


def _share_text(series: Any) -> Array:
    """Return a text series as an object array with one object per distinct string, a tenth of the memory."""
    cells = np.empty(len(series), object)
    pool: dict[Any, Any] = {}
    for start in range(0, len(cells), BLOCK):
        block = series[start : start + BLOCK].to_list()
        cells[start : start + BLOCK] = np.fromiter(map(pool.setdefault, block, block), object, len(block))
    return cells
