"""Reading: any table becomes 1-D arrays by name.

A table is whatever names columns: a dict of columns, a list of dicts, a 2-D or structured array, a sparse matrix, a
DataFrame. What stands in its cells is the matter of `chainrule.data.cells`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, final

import numpy as np

from chainrule.arrays import Array
from chainrule.data.cells import BLOCK, as_levels
from chainrule.errors import MissingExtraError, TableError, first_line, shorten

Columns = dict[str, Array]

MOST_SPARSE_CELLS = 2**27
"""A sparse matrix is made dense, a gigabyte of float64 at this size."""


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
            "a table must be a dict of columns, a list of dicts, a 2-D array or a DataFrame, got "
            f"it is a {type(table).__name__}"
        )
    columns: Columns = {}
    for name, values in named:
        if name in columns:
            raise TableError(f"a table must name its columns differently, got {name!r} is there twice")
        columns[name] = as_column(name, values)
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        told = ", ".join(f"{name!r} {len(values)}" for name, values in list(columns.items())[:5])
        raise TableError(f"a table's columns must be equally long, got {told}")
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


def array_columns(table: Array) -> list[tuple[str, object]]:
    """Return the columns of a structured or a 2-D array."""
    if table.dtype.names is not None:
        return [(name, table[name]) for name in table.dtype.names]
    if table.ndim != 2:
        raise TableError(f"a table must be 2-D, rows by columns, got shape {table.shape}")
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
        raise TableError("a list of rows must hold one row at least, got empty")
    if isinstance(rows[0], Mapping):
        if not all(isinstance(row, Mapping) for row in rows):
            raise TableError("a list of dicts must hold dicts only")
        dicts: Sequence[Mapping[object, object]] = rows  # type: ignore[assignment]
        names = dict.fromkeys(name for row in dicts for name in row)
        return [(str(name), [row.get(name) for row in dicts]) for name in names]
    try:
        return array_columns(np.array(rows, dtype=object))
    except ValueError as error:
        raise TableError(f"a list of rows must hold rows of one length, got {error}") from None


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
        raise TableError(f"column {name!r} must be 1-D, got shape {column.shape}{hint}")
    if column.dtype.kind in "cV":
        raise TableError(f"column {name!r} must hold numbers, text or booleans, got {column.dtype}")
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
            raise TableError("a table must be in memory, such as frame.collect(), got a LazyFrame")
        with readable():
            opened = cls(nw.from_native(frame, eager_only=True))
        if len(opened.names) < len(opened.frame.columns):
            told = shorten(list(opened.frame.columns))
            raise TableError(f"a table must name its columns differently, got one of {told} is there twice")
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
        raise TableError(f"a table must name its columns differently, got {told}") from None
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
