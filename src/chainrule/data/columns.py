"""Columns: what was learned of each one in training, and how it is encoded in float32.

Each kind is a small frozen dataclass of plain fields: `fit` computes them from values, and a model file stores them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from math import inf, isfinite
from typing import Any, ClassVar, Self, final

import numpy as np

from chainrule.arrays import Array, all_finite, require
from chainrule.data.cells import as_dates, as_numbers, factorize, plain_numbers
from chainrule.data.formats import DATE_ORDERS, ISO, PLAIN, Categories, DateFormat, NumberFormat
from chainrule.data.reading import FEW_ROWS, Matrix, matrix_place, require_names
from chainrule.errors import TableError, look_up


class Column(ABC):
    """Base class of the kinds of columns. A new kind is a frozen dataclass of plain fields, listed in COLUMNS."""

    kind: ClassVar[str]
    name: str

    @abstractmethod
    def encode(self, values: Array, X: Array, first_row: int = 0) -> None:
        """Write the encoding of the values (n,) into `X` (n, n_features), which is zero on entry.

        `first_row` is the index of `values[0]` in its table, for error messages.
        """

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Number of encoded columns."""

    @property
    @abstractmethod
    def feature_names(self) -> list[str]:
        """Names of the encoded columns."""

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError if the fields, which may come from a file, are not such as `fit` computes."""


# Numbers.


@final
@dataclass(frozen=True)
class NumberColumn(Column):
    """A numeric column, scaled and smoothly clipped to +-3: z / sqrt(1 + (z / 3)^2) with z = (x - center) * scale.

    `center` is the median, `scale` 1 / interquartile range, or 2 / (max - min) where that range is 0 (Holzmueller et
    al. 2024, RealMLP). A missing value is encoded as 0, the median. If the training data had missing values
    (`indicator`), a second column is 1 for them and 0 elsewhere.

    Each pair of neighbors in `edges`, the quantiles q_0 < ... < q_k, adds a column
    clip((x - q_(j-1)) / (q_j - q_(j-1)), 0, 1): the piecewise-linear encoding of Gorishniy et al. 2022, equation 1,
    except that the first and the last bin are clipped too. A missing value is 0 in all of them.

    `format` is how the numbers were written in training, and how those to predict are read.
    """

    name: str
    center: float
    scale: float
    indicator: bool = False
    edges: tuple[float, ...] = ()
    format: NumberFormat = PLAIN
    kind: ClassVar[str] = "number"

    @classmethod
    def fit(cls, name: str, numbers: Array, n_bins: int = 0, number_format: NumberFormat = PLAIN) -> Self:
        """Fit to finite numbers (n,), NaN where missing, with at least two different values."""
        known = numbers[~np.isnan(numbers)]
        center, scale, quantiles = _center_and_scale(known, n_bins)
        edges = _merge_edges(quantiles) if n_bins else ()
        return cls(name, center, scale, len(known) < len(numbers), edges, number_format)

    def numbers(self, values: Array, first_row: int = 0) -> Array:
        """Return values (n,) as float64, NaN where missing; see `as_numbers`."""
        return as_numbers(self.name, values, first_row, self.format)

    @property
    def n_features(self) -> int:
        return 1 + self.indicator + max(0, len(self.edges) - 1)

    @property
    def feature_names(self) -> list[str]:
        missing = [f"{self.name} is missing"] if self.indicator else []
        return [self.name, *missing, *(f"{self.name} bin {j}" for j in range(1, len(self.edges)))]

    def encode(self, values: Array, X: Array, first_row: int = 0) -> None:
        x = self.numbers(values, first_row)
        missing = np.isnan(x)
        for j, position in enumerate(_bin_positions(x, self.edges), start=1 + self.indicator):
            X[:, j] = position
        X[:, 0] = _smooth_clip(x, self.center, self.scale)
        X[missing] = 0
        if self.indicator:
            X[:, 1] = missing

    def check(self) -> None:
        _require_scale("center", self.center, "scale", self.scale)
        require(isinstance(self.indicator, bool), "indicator", "be true or false", self.indicator)
        numeric = all(isinstance(edge, float) and isfinite(edge) for edge in self.edges)
        increasing = numeric and _merge_edges(self.edges) == tuple(self.edges)
        require(increasing and len(self.edges) != 1, "edges", "be increasing, none or at least 2", self.edges)
        check_number_format(self.format)


def check_number_format(number_format: NumberFormat) -> None:
    """Raise ValueError unless a format, which may come from a file, is one that `recognize` finds."""
    decimal, thousands, unit, words, sentinels = number_format
    texts = all(isinstance(text, str) for text in (decimal, thousands, unit, *words))
    valid = texts and decimal in (".", ",") and thousands in ("", ",", ".") and decimal != thousands
    require(valid, "format", "have the decimal mark . or , and another thousands separator or none", number_format)
    numeric = all(isinstance(sentinel, float) and isfinite(sentinel) for sentinel in sentinels)
    require(numeric, "sentinels", "be finite numbers", sentinels)


@final
@dataclass(frozen=True)
class RawColumn(Column):
    """A numeric column that is passed on unchanged in float32, for a network trained on raw inputs.

    Missing values are an error.
    """

    name: str
    kind: ClassVar[str] = "raw"

    @property
    def n_features(self) -> int:
        return 1

    @property
    def feature_names(self) -> list[str]:
        return [self.name]

    def encode(self, values: Array, X: Array, first_row: int = 0) -> None:
        x = as_numbers(self.name, values, first_row)
        with np.errstate(over="ignore"):
            X[:, 0] = x
        if not all_finite(X):
            row = int(np.argmin(np.isfinite(X[:, 0])))
            fault = (
                "expected a number, got a missing value"
                if np.isnan(x[row])
                else f"expected a number in the range of float32, got {x[row]:g}"
            )
            raise TableError(f"column {self.name!r}, row {first_row + row + 1}: {fault}")

    def check(self) -> None:
        """Accept any name: there are no other fields."""


def _smooth_clip(x: Array, center: float | Array, scale: float | Array) -> Array:
    """Return z / sqrt(1 + (z / 3)^2) with z = (x - center) * scale, in float32; z is computed in float64."""
    z = x.astype(np.float64)
    with np.errstate(over="ignore"):
        z -= center
        z *= scale
        z = z.astype(np.float32)
    # Beyond 1e6 the curve is flat to the last bit, and the squares stay finite.
    np.clip(z, -1e6, 1e6, out=z)
    root = z * np.float32(1 / 3)
    root *= root
    root += 1
    z /= np.sqrt(root, out=root)
    return z


def _bin_positions(x: Array, edges: tuple[float, ...]) -> Iterator[Array]:
    """Yield the position (n,), from 0 to 1, of numbers (n,) in each bin between two neighbors of `edges`."""
    # The difference of two halves cannot overflow.
    half = x / 2
    for low, high in pairwise(edges):
        with np.errstate(over="ignore"):
            position = (half - low / 2) / (high / 2 - low / 2)
        yield np.clip(position, 0, 1, out=position)


def _merge_edges(quantiles: tuple[float, ...]) -> tuple[float, ...]:
    """Return the quantiles without repetitions; none if only one is left."""
    edges = list(quantiles[:1])
    for quantile in quantiles[1:]:
        if quantile / 2 > edges[-1] / 2:
            edges.append(quantile)
    return tuple(edges) if len(edges) > 1 else ()


def _center_and_scale(known: Array, bins: int = 0) -> tuple[float, float, tuple[float, ...]]:
    """Return the numbers' median, their scale, and the edges of that many quantile bins; see `NumberColumn`."""
    percents = [25, 50, 75, *(np.linspace(0, 100, bins + 1) if bins else ())]
    # Percentiles interpolate, and the difference of two halves cannot overflow.
    low, center, high, *edges = (2 * float(q) for q in np.percentile(known / 2, percents))
    scale = _reciprocal(high, low)
    if not isfinite(scale):
        scale = 2 * _reciprocal(float(known.max()), float(known.min()))
    return center, scale if isfinite(scale) else 1.0, tuple(edges)


def _reciprocal(high: float, low: float) -> float:
    """Return 1 / (high - low), infinity where they are equal, even if the difference overflows."""
    difference = high / 2 - low / 2
    with np.errstate(divide="ignore", over="ignore"):
        return float(np.float64(0.5) / difference)


def _require_scale(center_name: str, center: object, scale_name: str, scale: object) -> None:
    require(isinstance(center, float) and isfinite(center), center_name, "be a finite number", center)
    require(isinstance(scale, float) and 0 < scale < inf, scale_name, "be finite and > 0", scale)


MIN_SHARED_COLUMNS = 64
"""Minimum number of numeric columns for which a common range is not put down to coincidence."""


def shared_columns(columns: Mapping[str, Array], excluded: Sequence[str] = ()) -> dict[str, NumberColumn]:
    """Return the columns with a common range, such as the pixels of images, scaled by one mean and standard deviation.

    Scaled separately, a pixel at the border that is almost always 0 would weigh as much as one in the center. At least
    64 numeric columns are needed, of which half must vary; of those, 90 % must have the same minimum and 50 % the same
    maximum. The result contains the columns with that minimum and no larger maximum. Columns with missing cells and
    those named in `excluded` do not take part, and tables with only two different numbers have no shared columns.
    """
    if len(columns) < MIN_SHARED_COLUMNS:
        return {}
    stats: dict[str, tuple[float, float, float, float]] = {}
    distinct: set[float] = set()
    for name, values in columns.items():
        if values.dtype.kind in "iuf" and name not in excluded:
            x = values.astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                stats[name] = (float(x.min()), float(x.max()), float(x.mean()), float(x.var()))
            if len(distinct) < 3:
                distinct.update(x[:1000].tolist())
    varying = {name: of for name, of in stats.items() if of[0] < of[1] and isfinite(of[3])}
    if len(stats) < MIN_SHARED_COLUMNS or len(varying) < len(stats) / 2 or len(distinct) < 3:
        return {}
    lows, highs, *_ = zip(*varying.values())
    low, high = max(set(lows), key=lows.count), max(set(highs), key=highs.count)
    if lows.count(low) < 0.9 * len(varying) or highs.count(high) < 0.5 * len(varying):
        return {}
    sharing = {name: of for name, of in varying.items() if of[0] == low and of[1] <= high}
    *_, means, variances = map(np.array, zip(*sharing.values()))
    center, std = float(means.mean()), float(np.sqrt(variances.mean() + means.var()))
    return {name: NumberColumn(name, center, 1 / std, indicator=False) for name in sharing}


# Dates.


DAY = 86_400_000_000
"""Microseconds in a day."""
PERIODS = {"month": 12, "weekday": 7, "hour": 24}
PARTS = ("days", "year", *PERIODS)


def _date_parts(dates: Array) -> dict[str, Array]:
    """Return each of PARTS as numbers (n,) for times in microseconds (n,).

    Days are counted from 1970, months from January, weekdays from Monday, hours from midnight; days and hours are
    fractional.
    """
    elapsed, months = dates.astype(np.int64), dates.astype("M8[M]").astype(np.int64)
    return {
        "days": elapsed / DAY,
        "year": months // 12 + 1970.0,
        "month": months % 12,
        "weekday": (elapsed // DAY + 3) % 7,  # 1 January 1970 was a Thursday
        "hour": elapsed % DAY / (DAY / 24),
    }


@final
@dataclass(frozen=True)
class DateColumn(Column):
    """A date: elapsed days and the year, scaled like numbers; month, weekday and hour as sine and cosine.

    `parts` are those that varied in the training data: dates without times have no hour, those of a single year no
    year. A missing date is encoded as 0 everywhere. If the training data had missing dates (`indicator`), a last column
    is 1 for them and 0 elsewhere. Times with a zone are converted to UTC. `format` is how the dates were written in
    training; those to predict may also be in ISO 8601.
    """

    name: str
    parts: tuple[str, ...]
    days_center: float
    days_scale: float
    year_center: float
    year_scale: float
    indicator: bool = False
    format: DateFormat = ISO
    kind: ClassVar[str] = "date"

    @classmethod
    def fit(cls, name: str, dates: Array, date_format: DateFormat = ISO) -> Self:
        """Fit to times in microseconds (n,), NaT where missing, of which at least one is known."""
        known = _date_parts(dates[~np.isnat(dates)])
        varying = tuple(part for part in PARTS if np.ptp(known[part]) > 0)
        days_center, days_scale, _ = _center_and_scale(known["days"])
        year_center, year_scale, _ = _center_and_scale(known["year"])
        indicator = len(known["days"]) < len(dates)
        return cls(name, varying, days_center, days_scale, year_center, year_scale, indicator, date_format)

    def dates(self, values: Array, first_row: int = 0) -> Array:
        """Return values (n,) as times in microseconds, NaT where missing; see `as_dates`."""
        return as_dates(self.name, values, first_row, self.format)

    @property
    def n_features(self) -> int:
        return sum(2 if part in PERIODS else 1 for part in self.parts) + self.indicator

    @property
    def feature_names(self) -> list[str]:
        names: list[str] = []
        for part in self.parts:
            names += (
                [f"{self.name} {part} {wave}" for wave in ("sin", "cos")]
                if part in PERIODS
                else [f"{self.name} {part}"]
            )
        return [*names, f"{self.name} is missing"] if self.indicator else names

    def encode(self, values: Array, X: Array, first_row: int = 0) -> None:
        dates = self.dates(values, first_row)
        missing = np.isnat(dates)
        dates[missing] = np.datetime64(0, "us")
        columns = iter(X.T)
        for part, numbers in _date_parts(dates).items():
            if part not in self.parts:
                continue
            if part in PERIODS:
                angle = numbers * (2 * np.pi / PERIODS[part])
                next(columns)[:] = np.sin(angle)
                next(columns)[:] = np.cos(angle)
            elif part == "days":
                next(columns)[:] = _smooth_clip(numbers, self.days_center, self.days_scale)
            else:
                next(columns)[:] = _smooth_clip(numbers, self.year_center, self.year_scale)
        X[missing] = 0
        if self.indicator:
            X[:, -1] = missing

    def check(self) -> None:
        in_order = tuple(part for part in PARTS if part in self.parts)
        any_column = self.indicator or len(in_order) > 0
        rule = f"be some of {', '.join(PARTS)}, in this order"
        require(self.parts == in_order and any_column, "parts", rule, self.parts)
        _require_scale("days_center", self.days_center, "days_scale", self.days_scale)
        _require_scale("year_center", self.year_center, "year_scale", self.year_scale)
        require(isinstance(self.indicator, bool), "indicator", "be true or false", self.indicator)
        look_up(DATE_ORDERS, self.format.order, "order")
        require(all(isinstance(word, str) for word in self.format.words), "words", "be strings", self.format.words)


# Categories.


@final
@dataclass(frozen=True)
class CategoryColumn(Column):
    """A categorical column, one-hot encoded; two categories share a single column, encoded as -1 and +1.

    A missing value or an unknown category is 0 everywhere; see `Categories` for the spellings of a known one.
    In training, `missing` is the fraction of missing cells, and `unknown` the fraction of the others that are of
    categories too rare to be encoded.
    """

    name: str
    categories: tuple[str, ...]
    unknown: float = 0.0
    missing: float = 0.0
    kind: ClassVar[str] = "category"

    @cached_property
    def index(self) -> Categories:
        """The index of each category, in every spelling."""
        return Categories(self.categories)

    @property
    def n_features(self) -> int:
        return 1 if len(self.categories) == 2 else len(self.categories)

    @property
    def feature_names(self) -> list[str]:
        encoded = self.categories[1:] if len(self.categories) == 2 else self.categories
        return [f"{self.name}={category}" for category in encoded]

    def encode(self, values: Array, X: Array, first_row: int = 0) -> None:
        if values.dtype.kind in "Mm":
            raise TableError(f"column {self.name!r}: expected categories, got dates or times")
        cells, codes = factorize(self.name, values)
        place = np.array([self.index.index(cell) for cell in cells], np.intp)[codes]
        if len(self.categories) == 2:
            X[:, 0] = np.array([-1, 1, 0], np.float32)[place]
            return
        rows = np.flatnonzero(place >= 0)
        X[rows, place[rows]] = 1

    def check(self) -> None:
        strings = all(isinstance(category, str) and category for category in self.categories)
        distinct = 0 < len(set(self.categories)) == len(self.categories)
        require(strings and distinct, "categories", "be distinct, non-empty strings, at least one", self.categories)
        for name, fraction in (("unknown", self.unknown), ("missing", self.missing)):
            require(isinstance(fraction, float) and 0 <= fraction <= 1, name, "be in [0, 1]", fraction)


# The whole matrix.

BLOCK_CELLS = 2**17
"""Numbers encoded together: a megabyte, which stays in the cache."""
MAX_NAME_CHARS = 100_000_000
"""Limit on the total length of the names of all encoded columns."""


@final
class Layout:
    """The position of each column's encoding in the matrix, and the fast paths from a table's rows to it."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.names = [column.name for column in columns]
        n_chars = sum(len(column.name) * column.n_features for column in columns)
        rule = f"have names of at most {MAX_NAME_CHARS:,} characters in total"
        require(n_chars <= MAX_NAME_CHARS, "columns", rule, n_chars)
        *starts, self.n_features = np.cumsum([0, *(column.n_features for column in columns)]).tolist()
        self.places = [(c, start, start + c.n_features) for c, start in zip(columns, starts)]
        self.numeric = [(c, start) for c, start, _ in self.places if isinstance(c, NumberColumn) and c.format == PLAIN]
        self.plain = [place for place in self.numeric if not place[0].edges]
        in_matrix = {name: matrix_place(name) for name in self.names}
        not_a_matrix = -1 in in_matrix.values()
        self.width = inf if not_a_matrix else max(in_matrix.values(), default=0) + 1  # of a matrix with all columns
        self.together = _Numbers(self.numeric, in_matrix)
        self.plain_together = _Numbers(self.plain, in_matrix) if len(self.plain) < len(self.numeric) else self.together
        raw = all(isinstance(column, RawColumn) for column in columns)
        in_order = list(in_matrix.values()) == list(range(len(columns)))
        self.identity_width = self.n_features if raw and in_order else -1  # of a matrix that is its own encoding

    def require(self, table: Mapping[str, Array]) -> None:
        """Raise a TableError unless the table has every column."""
        if not (isinstance(table, Matrix) and len(table) >= self.width):
            require_names(table, self.names)

    def as_given(self, table: Mapping[str, Array]) -> Array | None:
        """Return a matrix's own numbers in float32 if they are their own encoding, else None.

        A matrix that already is float32 is not checked for NaN and infinities: that is left to the caller.
        """
        if not (isinstance(table, Matrix) and table.numbers.shape[1] == self.identity_width):
            return None
        if table.numbers.dtype == np.float32:
            return table.numbers
        with np.errstate(over="ignore"):
            X = table.numbers.astype(np.float32)
        return X if all_finite(X) else None

    def encode(self, table: Mapping[str, Array], X: Array, first_row: int) -> None:
        """Write the encoding of some rows into X, which is zero on entry; `first_row` is their first row's index."""
        few = len(X) <= FEW_ROWS
        if isinstance(table, Matrix):
            group = self.together if few else self.plain_together
            group.encode(table.numbers[:, group.in_matrix], X, first_row)
            separate = [place for place in self.places if place[0].name not in group.names]
        else:
            separate = self._encode_few(table, X, first_row) if few else self.places
        for column, start, end in separate:
            column.encode(table[column.name], X[:, start:end], first_row)

    def _encode_few(self, table: Mapping[str, Array], X: Array, first_row: int) -> list[tuple[Column, int, int]]:
        """Encode the numeric columns that need no parsing, all at once; return the places of the others."""
        plain: list[tuple[NumberColumn, int]] = []
        numbers: list[Array] = []
        for column, start in self.numeric:
            values = plain_numbers(table[column.name])
            if values is not None:
                plain.append((column, start))
                numbers.append(values)
        if plain:
            together = self.together if len(plain) == len(self.numeric) else _Numbers(plain, {})
            x = np.empty((len(X), len(plain)))
            for j, values in enumerate(numbers):
                x[:, j] = values
            together.encode(x, X, first_row)
        encoded = {column.name for column, _ in plain}
        return [place for place in self.places if place[0].name not in encoded]


@final
class _Numbers:
    """Numeric columns, each with the start of its encoding, that are encoded together: a few calls instead of many."""

    def __init__(self, columns: Sequence[tuple[NumberColumn, int]], in_matrix: Mapping[str, int]) -> None:
        self.names = {column.name: j for j, (column, _) in enumerate(columns)}
        self.in_matrix = _as_slice([in_matrix.get(name, -1) for name in self.names])
        self.firsts = _as_slice([start for _, start in columns])
        self.centers = np.array([column.center for column, _ in columns])
        self.scales = np.array([column.scale for column, _ in columns])
        self.indicated = np.flatnonzero([column.indicator for column, _ in columns])
        self.indicators = [start + 1 for column, start in columns if column.indicator]
        self.bins: list[tuple[list[int] | slice, Array, Array, Array]] = []  # of the columns with as many edges
        width = len(columns)
        for n_edges in sorted({len(column.edges) for column, _ in columns} - {0}):
            alike = [j for j, (column, _) in enumerate(columns) if len(column.edges) == n_edges]
            halves = np.array([columns[j][0].edges for j in alike]) / 2
            starts = np.array([columns[j][1] + 1 + columns[j][0].indicator for j in alike])
            places = starts[:, np.newaxis] + np.arange(n_edges - 1)
            self.bins.append((_as_slice(alike), places, halves[:, :-1], np.diff(halves)))
            width = max(width, places.size)
        self.step = max(1, BLOCK_CELLS // max(1, width))

    def encode(self, numbers: Array, X: Array, first_row: int) -> None:
        """Write the encoding of numbers (n, n_columns) into X, with the result of `NumberColumn.encode`."""
        if not self.names:
            return
        for start in range(0, len(X), self.step):
            rows = slice(start, start + self.step)
            self._encode(numbers[rows], X[rows], first_row + start)

    def _encode(self, x: Array, X: Array, first_row: int) -> None:
        z = _smooth_clip(x, self.centers, self.scales)
        missing = None
        if not all_finite(x):
            if np.isinf(x).any():
                for name, j in self.names.items():
                    as_numbers(name, x[:, j], first_row)
            missing = np.isnan(x)
            z[missing] = 0
            X[:, self.indicators] = missing[:, self.indicated]
        X[:, self.firsts] = z
        for alike, places, lows, widths in self.bins:
            # The difference of two halves cannot overflow.
            positions = (x[:, alike].astype(np.float64) / 2)[:, :, np.newaxis] - lows
            with np.errstate(over="ignore"):
                positions /= widths
            np.clip(positions, 0, 1, out=positions)
            if missing is not None:
                positions[missing[:, alike]] = 0
            X[:, places] = positions


def _as_slice(places: list[int]) -> slice | list[int]:
    """Return consecutive places as a slice, which NumPy indexes without a copy; others unchanged."""
    first = places[0] if places else 0
    return slice(first, first + len(places)) if places == list(range(first, first + len(places))) else places


COLUMNS: dict[str, type[NumberColumn] | type[RawColumn] | type[DateColumn] | type[CategoryColumn]] = {
    column.kind: column for column in (NumberColumn, RawColumn, DateColumn, CategoryColumn)
}


# Saving and loading.


def as_plain(instance: object) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults, formats as dicts."""
    plain = {}
    for field in fields(instance):  # type: ignore[arg-type]
        value = getattr(instance, field.name)
        if value != field.default:
            plain[field.name] = value._asdict() if isinstance(value, NumberFormat | DateFormat) else value
    return plain


def build(table: Mapping[str, Any], key: str, state: Mapping[str, Any]) -> Any:
    """Build and check an object: `state[key]` names its class in `table`, the other items are its fields."""
    kind = look_up(table, state[key], key)
    values = {name: _as_tuple(value) for name, value in state.items() if name != key}
    require(isinstance(values["name"], str), "name", "be a string", values["name"])
    if "format" in values:
        parts = {name: _as_tuple(part) for name, part in values["format"].items()}
        values["format"] = type(kind.format)(**parts)
    instance = kind(**values)
    instance.check()
    return instance


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
