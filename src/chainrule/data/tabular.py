"""Tables to matrices: columns of many kinds in, one float32 matrix out.

A table is whatever names columns: a dict of columns, a list of dicts, a 2-D or structured array, a DataFrame.
`read_columns` makes them all one thing, a dict of 1-D arrays. Each kind of column is a small frozen dataclass that
knows what training saw of it, turns values into columns of the matrix, and is saved as its fields. A cell is missing
when it is None, NaN or the empty string. Messages count rows from 1.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, isfinite, nan
from typing import Any, ClassVar, Self, final

import numpy as np

from chainrule.arrays import Array, require
from chainrule.errors import MissingExtraError, TableError, look_up

Columns = dict[str, Array]

MISSING_WORDS = frozenset({"na", "n/a", "nan", "null", "none", "?", "-", "."})
"""What people write for a missing number. Only where numbers are expected: elsewhere "NA" may be a country."""
ENOUGH_ROWS = 20
"""Rows from which on it says something that all values of a column differ."""
IDENTIFIER = re.compile(
    r"(^|[ _.-])(id|idx|index|key|nr|no|row|rownames?|rowid|uuid|unnamed: ?0)$|[a-z]Id$|[a-z]ID$|^$"
)
"""Names by which a column of whole numbers, all different, is taken for a counter and not for a quantity."""


# Reading: any table to a dict of 1-D arrays.


def read_columns(table: object) -> Columns:
    """Return a table's columns by name, as 1-D arrays of one length; views of the caller's data where possible.

    `table` is a dict of columns, a list of dicts (a row each) or of rows, a 2-D array (its columns become x0, x1, ...),
    a structured array, or a DataFrame of pandas, polars or pyarrow.

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
    if isinstance(table, Mapping):
        named = [(str(name), values) for name, values in table.items()]
    elif isinstance(table, np.ndarray):
        named = array_columns(table)
    elif isinstance(table, list | tuple):
        named = row_columns(table)
    elif hasattr(type(table), "columns"):
        named = frame_columns(table)
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


def array_columns(table: Array) -> list[tuple[str, object]]:
    """Return the columns of a structured or a 2-D array."""
    if table.dtype.names is not None:
        return [(name, table[name]) for name in table.dtype.names]
    if table.ndim != 2:
        raise TableError(f"a table must be 2-D, rows by columns, however: its shape is {table.shape}")
    return [(f"x{j}", table[:, j]) for j in range(table.shape[1])]


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


def frame_columns(frame: Any) -> list[tuple[str, object]]:
    """Return the columns of a DataFrame, through narwhals."""
    try:
        import narwhals.stable.v1 as nw
    except ImportError:
        raise MissingExtraError("reading a DataFrame", "sklearn") from None
    try:
        table = nw.from_native(frame, eager_only=True)
        return [(str(name), table.get_column(name).to_numpy()) for name in table.columns]
    except (TypeError, ValueError, nw.exceptions.NarwhalsError) as error:
        raise TableError(f"the DataFrame cannot be read: {first_line(error)}") from None


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
    return column


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
    levels, codes = factorize(name, values)
    return np.array([is_missing(level) for level in levels], np.bool_)[codes]


def to_text(value: object) -> str:
    """Return what a cell is called as a category: 3 and 3.0 are both "3"."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


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


def factorize(name: str, values: Array) -> tuple[list[Any], Array]:
    """Return a column's distinct values, and for each row (n,) the position of its own among them."""
    if values.dtype.kind in "iufb":
        levels, codes = np.unique(values, return_inverse=True)
        return levels.tolist(), codes
    rows = values.tolist()
    try:
        # A dict is many times faster than sorting strings.
        places = {value: i for i, value in enumerate(dict.fromkeys(rows))}
    except TypeError:
        raise TableError(f"column {name!r} must hold simple values, however: it holds lists or dicts") from None
    return list(places), np.fromiter(map(places.__getitem__, rows), np.intp, len(rows))


def as_numbers(name: str, values: Array) -> Array:
    """Return a column as float64 (n,), NaN where missing; text is parsed.

    Raises TableError naming column, row and value of the first that is no number, or infinite.
    """
    if values.dtype.kind in "iufb":
        numbers = values.astype(np.float64)
    elif values.dtype.kind in "Mm":
        raise TableError(f"column {name!r} must hold numbers, however: it holds dates or times")
    else:
        levels, codes = factorize(name, values)
        parsed = np.empty(len(levels))
        for i, level in enumerate(levels):
            try:
                parsed[i] = to_number(level)
            except (TypeError, ValueError, OverflowError):
                row = int(np.argmax(codes == i)) + 1
                raise TableError(f"column {name!r} must hold numbers, however row {row} holds {level!r}") from None
        numbers = parsed[codes]
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise TableError(f"column {name!r} must hold finite numbers, however row {row + 1} holds {values[row]}")
    return numbers


def are_numbers(levels: Iterable[Any]) -> bool:
    """Tell whether there are numbers, or text that reads as numbers, and nothing else but missing cells."""
    some = False
    for level in levels:
        if isinstance(level, bool | np.bool_):
            return False
        try:
            some |= not np.isnan(to_number(level))
        except (TypeError, ValueError, OverflowError):
            return False
    return some


# Columns: what training saw of each, and what it becomes.


class Column(ABC):
    """What every kind of column answers. A new kind is a frozen dataclass of plain fields, listed in COLUMNS."""

    kind: ClassVar[str]
    name: str

    @abstractmethod
    def encode(self, values: Array) -> Array:
        """Return the float32 columns (n, len(feature_names)) that stand for these values (n,)."""

    @property
    @abstractmethod
    def feature_names(self) -> list[str]:
        """A name for each encoded column."""

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError if the fields, which may come from a file, are not what `fit` makes."""


@final
@dataclass(frozen=True)
class NumberColumn(Column):
    """z / sqrt(1 + (z / 3)^2) with z = (x - centre) * scale: as good as z near 0, and never beyond +-3.

    `centre` is the median, `scale` 1 / interquartile range, or 2 / (max - min) where that range is 0 (Holzmueller et
    al. 2024, RealMLP). A missing number becomes 0, the median; where training had missing ones (`indicator`), a second
    column is 1 for them and 0 elsewhere.
    """

    name: str
    centre: float
    scale: float
    indicator: bool
    kind: ClassVar[str] = "number"

    @classmethod
    def fit(cls, name: str, numbers: Array) -> Self:
        """See finite numbers (n,), NaN where missing, of which two at least differ."""
        known = numbers[~np.isnan(numbers)]
        # Between quantiles a difference is taken; that of halves is never too large for a float.
        low, centre, high = (2 * float(q) for q in np.percentile(known / 2, [25, 50, 75]))
        scale = reciprocal(high, low)
        if not isfinite(scale):
            scale = 2 * reciprocal(float(known.max()), float(known.min()))
        return cls(name, centre, scale if isfinite(scale) else 1.0, len(known) < len(numbers))

    @property
    def feature_names(self) -> list[str]:
        return [self.name, f"{self.name} is missing"] if self.indicator else [self.name]

    def encode(self, values: Array) -> Array:
        z = as_numbers(self.name, values)
        missing = np.isnan(z)
        with np.errstate(over="ignore"):
            z -= self.centre
            z *= self.scale
        # Beyond 1e6 the curve is flat to the last bit, and squares stay finite.
        np.clip(z, -1e6, 1e6, out=z)
        z /= np.sqrt(1 + (z / 3) ** 2)
        z[missing] = 0
        encoded = np.empty((len(z), len(self.feature_names)), np.float32)
        encoded[:, 0] = z
        if self.indicator:
            encoded[:, 1] = missing
        return encoded

    def check(self) -> None:
        numbers = isinstance(self.centre, float) and isinstance(self.scale, float)
        require(numbers and isfinite(self.centre), "centre", "be a finite number", self.centre)
        require(0 < self.scale < inf, "scale", "be above 0 and finite", self.scale)
        require(isinstance(self.indicator, bool), "indicator", "be true or false", self.indicator)


@final
@dataclass(frozen=True)
class CategoryColumn(Column):
    """One column a level, 1 where the value is that level, else 0; two levels share one column, -1 and +1.

    A missing value and a level that is not in `levels` are 0 everywhere.
    """

    name: str
    levels: tuple[str, ...]
    kind: ClassVar[str] = "category"

    @property
    def feature_names(self) -> list[str]:
        return [f"{self.name}={level}" for level in (self.levels[1:] if len(self.levels) == 2 else self.levels)]

    def encode(self, values: Array) -> Array:
        if values.dtype.kind in "Mm":
            raise TableError(f"column {self.name!r} must hold categories, however: it holds dates or times")
        found, codes = factorize(self.name, values)
        places = {level: i for i, level in enumerate(self.levels)}
        known = [-1 if is_missing(value) else places.get(to_text(value), -1) for value in found]
        place = np.array(known, np.intp)[codes]
        if len(self.levels) == 2:
            return np.array([-1, 1, 0], np.float32)[place][:, np.newaxis]
        encoded = np.zeros((len(values), len(self.levels)), np.float32)
        rows = np.flatnonzero(place >= 0)
        encoded[rows, place[rows]] = 1
        return encoded

    def check(self) -> None:
        text = all(isinstance(level, str) for level in self.levels)
        require(text and 0 < len(set(self.levels)) == len(self.levels), "levels", "be different texts", self.levels)


COLUMNS: dict[str, type[NumberColumn] | type[CategoryColumn]] = {
    column.kind: column for column in (NumberColumn, CategoryColumn)
}


def reciprocal(high: float, low: float) -> float:
    """Return 1 / (high - low), infinity when they are equal; a difference too large for a float is none here."""
    difference = high / 2 - low / 2
    with np.errstate(divide="ignore", over="ignore"):
        return float(np.float64(0.5) / difference)


class TabularEncoder:
    """Turns the columns of a table into a float32 matrix, always the same way once it is fitted.

    Numbers, and text that reads as numbers, are scaled (see `NumberColumn`); text, booleans and the columns declared
    in `categories` become one column a level (see `CategoryColumn`). Columns that say nothing are left out: empty
    ones, constant ones, identifiers. At prediction the order of columns does not matter, and columns that training did
    not use are ignored.

    Parameters
    ----------
    categories : sequence of str
        Columns of numbers that are codes, not quantities.
    max_levels : int
        Levels of a category that get a column of their own: the most frequent ones. Others count as unseen.

    Attributes
    ----------
    columns : list of Column
        Those in use, in the order of the encoded columns.
    left_out : dict
        Name -> reason of each column that is not used.
    notices : list of str
        What a person should know: what was left out, what was cut.

    Examples
    --------
    >>> encoder = TabularEncoder().fit({"age": [30, 41, None], "sex": ["f", "m", "f"]})
    >>> encoder.get_feature_names_out()
    array(['age', 'age is missing', 'sex=m'], dtype=object)
    >>> encoder.transform([{"sex": "m", "age": "41"}])
    array([[0.9486833, 0.       , 1.       ]], dtype=float32)
    """

    def __init__(self, *, categories: Sequence[str] = (), max_levels: int = 50) -> None:
        require(max_levels >= 2, "max_levels", "be at least 2", max_levels)
        self.categories = tuple(categories)
        self.max_levels = max_levels
        self.columns: list[Column] = []
        self.left_out: dict[str, str] = {}
        self.notices: list[str] = []

    def fit(self, table: object) -> Self:
        """Learn every column from a table of one row at least.

        Raises TableError when it cannot be read, or no column is left to learn from.
        """
        columns = read_columns(table)
        for name in self.categories:
            named(columns, name)
        if not columns or not len(next(iter(columns.values()))):
            raise TableError("a table must have one row and one column at least")
        self.columns, self.left_out, self.notices = [], {}, []
        for name, values in columns.items():
            column = self.fit_column(name, values)
            if isinstance(column, Column):
                self.columns.append(column)
            else:
                self.left_out[name] = column
                self.notices.append(f"{name}: left out, {column}")
        if not self.columns:
            raise TableError(f"no column is left to learn from: {'; '.join(self.notices)}")
        return self

    def fit_column(self, name: str, values: Array) -> Column | str:
        """Return the column, or the reason to leave it out."""
        if values.dtype.kind in "Mm":
            return "dates and times are not read yet"
        declared = name in self.categories
        if values.dtype.kind in "iuf" and not declared:
            return self.fit_numbers(name, values)
        levels, codes = factorize(name, values)
        if not declared and are_numbers(levels):
            return self.fit_numbers(name, values)
        if any(hasattr(level, "isoformat") and not is_missing(level) for level in levels):
            return "dates and times are not read yet"
        return self.fit_levels(name, levels, codes, may_identify=not declared)

    def fit_numbers(self, name: str, values: Array) -> Column | str:
        """Return a column of numbers, or the reason to leave it out."""
        numbers = as_numbers(name, values)
        known = numbers[~np.isnan(numbers)]
        if not len(known):
            return "it is empty"
        if known.min() == known.max():
            # Then all it can tell is whether the number is there, and a category of one level tells that.
            return CategoryColumn(name, (to_text(float(known[0])),)) if len(known) < len(values) else "it is constant"
        if IDENTIFIER.search(name.strip()) and all_whole(known) and all_different(known):
            return "every value is different: it is an identifier"
        return NumberColumn.fit(name, numbers)

    def fit_levels(self, name: str, levels: list[Any], codes: Array, may_identify: bool) -> Column | str:
        """Return a column of categories, or the reason to leave it out."""
        counts: dict[str, int] = {}
        for level, count in zip(levels, np.bincount(codes, minlength=len(levels)).tolist()):
            if not is_missing(level):
                counts[to_text(level)] = counts.get(to_text(level), 0) + count
        n_known = sum(counts.values())
        if not counts:
            return "it is empty"
        if len(counts) == 1 and n_known == len(codes):
            return "it is constant"
        if may_identify and len(counts) == n_known >= ENOUGH_ROWS:
            return "every value is different: it is an identifier"
        frequent = sorted(counts, key=lambda level: (-counts[level], level))[: self.max_levels]
        if len(frequent) < len(counts):
            rest = n_known - sum(counts[level] for level in frequent)
            self.notices.append(
                f"{name}: its {len(frequent)} most frequent levels are told apart; the other "
                f"{len(counts) - len(frequent):,}, {rest / n_known:.0%} of its values, count as unseen"
            )
        return CategoryColumn(name, tuple(sorted(frequent)))

    def transform(self, table: object) -> Array:
        """Return the float32 matrix (n, d) for a table; extra columns are ignored, and the table stays as it is.

        Raises TableError naming a column that is missing, or column, row and value of what cannot be encoded.
        """
        require(bool(self.columns), "TabularEncoder", "be fitted first", self.columns)
        given = read_columns(table)
        found = [(column, named(given, column.name)) for column in self.columns]
        X = np.empty((len(found[0][1]), self.n_features), np.float32)
        start = 0
        for column, values in found:
            encoded = column.encode(values)
            X[:, start : start + encoded.shape[1]] = encoded
            start += encoded.shape[1]
        return X

    def fit_transform(self, table: object) -> Array:
        """Fit, and return the matrix for the same table."""
        columns = read_columns(table)
        return self.fit(columns).transform(columns)

    @property
    def n_features(self) -> int:
        """Columns of the matrix."""
        return sum(len(column.feature_names) for column in self.columns)

    def get_feature_names_out(self) -> Array:
        """Return the name of each column of the matrix."""
        return np.array([name for column in self.columns for name in column.feature_names], object)

    def state(self) -> dict[str, Any]:
        """Return all there is to it as plain dicts, lists, texts and numbers, which JSON can hold."""
        return {
            "categories": list(self.categories),
            "max_levels": self.max_levels,
            "columns": [{"kind": column.kind} | as_plain(column) for column in self.columns],
            "left_out": dict(self.left_out),
            "notices": list(self.notices),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the encoder that `state` describes; ValueError, TypeError or KeyError where it describes none."""
        encoder = cls(categories=texts(state["categories"]), max_levels=state["max_levels"])
        encoder.columns = [build(COLUMNS, "kind", column) for column in state["columns"]]
        encoder.left_out = {name: str(reason) for name, reason in state["left_out"].items()}
        encoder.notices = list(texts(state["notices"]))
        return encoder


def all_whole(known: Array) -> bool:
    """Tell whether all numbers (no NaN) are whole."""
    return bool(np.all(known == np.floor(known)))


def all_different(known: Array) -> bool:
    """Tell whether there are enough numbers for it to mean something, and no two are equal."""
    return len(known) >= ENOUGH_ROWS and len(np.unique(known)) == len(known)


# Saving and loading what was learned.


def as_plain(described: object) -> dict[str, Any]:
    """Return a dataclass's fields, tuples as lists."""
    fields = asdict(described)  # type: ignore[call-overload]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def build(table: Mapping[str, Callable[..., Any]], key: str, state: Mapping[str, Any]) -> Any:
    """Return the object of `table` that `state` names under `key` and describes by the rest, checked."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in state.items() if name != key}
    require(isinstance(fields["name"], str), "name", "be text", fields["name"])
    described = look_up(table, state[key], key)(**fields)
    described.check()
    return described


def texts(values: Sequence[object]) -> tuple[str, ...]:
    """Return the texts, or raise ValueError."""
    require(all(isinstance(value, str) for value in values), "a list of texts", "hold texts only", values)
    return tuple(str(value) for value in values)


# Messages.


def named(columns: Columns, name: str) -> Array:
    """Return the column of that name, or raise a TableError that suggests the nearest names."""
    if name in columns:
        return columns[name]
    from difflib import get_close_matches

    lower = {other.lower(): other for other in columns}
    near = [lower[match] for match in get_close_matches(name.lower(), lower, n=3, cutoff=0.6)]
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {shorten(list(columns))}"
    raise TableError(f"the table has no column {name!r}; {hint}")


def shorten(values: Sequence[object], most: int = 8) -> str:
    """Return the first few values as text."""
    more = f", ... ({len(values)} in all)" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more


def first_line(error: BaseException) -> str:
    """Return an error's message up to its first line break."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
