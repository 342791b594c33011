"""Columns: what training saw of each, and the float32 columns it becomes.

Each kind is a small frozen dataclass of plain fields: it is saved as its fields, and `fit` makes it from values.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import inf, isfinite
from typing import Any, ClassVar, Self, final

import numpy as np

from chainrule.arrays import Array, all_finite, require
from chainrule.data.cells import as_dates, as_numbers, factorize, place_levels
from chainrule.data.reading import Matrix, matrix_place, require_names
from chainrule.errors import TableError, look_up


class Column(ABC):
    """What every kind of column answers. A new kind is a frozen dataclass of plain fields, listed in COLUMNS."""

    kind: ClassVar[str]
    name: str

    @abstractmethod
    def encode(self, values: Array, X: Array, first_row: int = 0) -> None:
        """Write the columns that stand for these values (n,) into `X` (n, n_features), which holds zeros.

        `first_row` is where in its table the first of them stands: errors name rows.
        """

    @property
    @abstractmethod
    def n_features(self) -> int:
        """How many columns it becomes."""

    @property
    @abstractmethod
    def feature_names(self) -> list[str]:
        """A name for each of them."""

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError if the fields, which may come from a file, are not what `fit` makes."""


# Numbers.


@final
@dataclass(frozen=True)
class NumberColumn(Column):
    """z / sqrt(1 + (z / 3)^2) with z = (x - centre) * scale: as good as z near 0, and never beyond +-3.

    `centre` is the median, `scale` 1 / interquartile range, or 2 / (max - min) where that range is 0 (Holzmueller et
    al. 2024, RealMLP). A missing number becomes 0, the median; where training had missing ones (`indicator`), a second
    column is 1 for them and 0 elsewhere.

    Between each two neighbours of `edges`, the quantiles q_0 < ... < q_k, a ramp clip((x - q_(j-1)) / (q_j - q_(j-1)),
    0, 1) is added: the piecewise linear encoding of Gorishniy et al. 2022, equation 1, except that the first and the
    last ramp stay within 0 and 1 too. A missing number is 0 in all of them.
    """

    name: str
    centre: float
    scale: float
    indicator: bool
    edges: tuple[float, ...] = ()
    kind: ClassVar[str] = "number"

    @classmethod
    def fit(cls, name: str, numbers: Array, n_bins: int = 0) -> Self:
        """See finite numbers (n,), NaN where missing, of which two at least differ."""
        known = numbers[~np.isnan(numbers)]
        centre, scale, quantiles = centre_and_scale(known, n_bins)
        return cls(name, centre, scale, len(known) < len(numbers), merge_edges(quantiles) if n_bins else ())

    @property
    def n_features(self) -> int:
        return 1 + self.indicator + max(0, len(self.edges) - 1)

    @property
    def feature_names(self) -> list[str]:
        missing = [f"{self.name} is missing"] if self.indicator else []
        return [self.name, *missing, *(f"{self.name} ramp {j}" for j in range(1, len(self.edges)))]

    def encode(self, values: Array, X: Array, first_row: int = 0) -> None:
        x = as_numbers(self.name, values, first_row)
        missing = np.isnan(x)
        for j, ramp in enumerate(bin_positions(x, self.edges), start=1 + self.indicator):
            X[:, j] = ramp
        X[:, 0] = smooth_clip(x, self.centre, self.scale)
        X[missing] = 0
        if self.indicator:
            X[:, 1] = missing

    def check(self) -> None:
        require_scale("centre", self.centre, "scale", self.scale)
        require(isinstance(self.indicator, bool), "indicator", "be true or false", self.indicator)
        numbers = all(isinstance(edge, float) and isfinite(edge) for edge in self.edges)
        higher_is_better = numbers and merge_edges(self.edges) == tuple(self.edges)
        require(higher_is_better and len(self.edges) != 1, "edges", "be rising numbers, two at least", self.edges)


@final
@dataclass(frozen=True)
class RawColumn(Column):
    """The number as it is, in float32: for a network that was trained on numbers as they are. None may be missing."""

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
            held = "it is missing" if np.isnan(x[row]) else f"it is {x[row]:g}, more than float32 can hold,"
            raise TableError(
                f"column {self.name!r} must be a number in every row, however {held} in row {first_row + row + 1}"
            )

    def check(self) -> None:
        """Its name is all there is."""


def smooth_clip(x: Array, centre: float | Array, scale: float | Array) -> Array:
    """Return z / sqrt(1 + (z / 3)^2) with z = (x - centre) * scale, in float32; z is made in float64."""
    z = x.astype(np.float64)
    with np.errstate(over="ignore"):
        z -= centre
        z *= scale
        z = z.astype(np.float32)
    # Beyond 1e6 the curve is flat to the last bit, and squares stay finite.
    np.clip(z, -1e6, 1e6, out=z)
    root = z * np.float32(1 / 3)
    root *= root
    root += 1
    z /= np.sqrt(root, out=root)
    return z


def bin_positions(x: Array, edges: tuple[float, ...]) -> Iterator[Array]:
    """Return the ramp (n,) of numbers (n,) between each two neighbours of `edges`."""
    # A difference of halves is never too large for a float.
    half = x / 2
    for low, high in pairwise(edges):
        with np.errstate(over="ignore"):
            ramp = (half - low / 2) / (high / 2 - low / 2)
        yield np.clip(ramp, 0, 1, out=ramp)


def merge_edges(quantiles: tuple[float, ...]) -> tuple[float, ...]:
    """Return the quantiles that rise above the one before; not one alone."""
    edges = list(quantiles[:1])
    for quantile in quantiles[1:]:
        if quantile / 2 > edges[-1] / 2:
            edges.append(quantile)
    return tuple(edges) if len(edges) > 1 else ()


def centre_and_scale(known: Array, bins: int = 0) -> tuple[float, float, tuple[float, ...]]:
    """Return numbers' median, their scale, and the edges of that many quantile bins; see `NumberColumn`."""
    percents = [25, 50, 75, *(np.linspace(0, 100, bins + 1) if bins else ())]
    # Between quantiles a difference is taken; that of halves is never too large for a float.
    low, centre, high, *edges = (2 * float(q) for q in np.percentile(known / 2, percents))
    scale = reciprocal(high, low)
    if not isfinite(scale):
        scale = 2 * reciprocal(float(known.max()), float(known.min()))
    return centre, scale if isfinite(scale) else 1.0, tuple(edges)


def reciprocal(high: float, low: float) -> float:
    """Return 1 / (high - low), infinity when they are equal; a difference too large for a float is none here."""
    difference = high / 2 - low / 2
    with np.errstate(divide="ignore", over="ignore"):
        return float(np.float64(0.5) / difference)


def require_scale(centre_name: str, centre: object, scale_name: str, scale: object) -> None:
    """Raise ValueError unless these are numbers by which others can be scaled."""
    require(isinstance(centre, float) and isfinite(centre), centre_name, "be a finite number", centre)
    require(isinstance(scale, float) and 0 < scale < inf, scale_name, "be finite and > 0", scale)


FEWEST_SHARING = 64
"""Columns of numbers from which on a common range is taken to mean something."""


def shared_columns(columns: Mapping[str, Array], apart: Sequence[str] = ()) -> dict[str, NumberColumn]:
    """Return the columns that share one range, such as the pixels of images, with one mean and deviation for all.

    Scaled one by one, a pixel at the border that is hardly ever touched would count as much as one in the middle.
    There must be 64 columns of numbers at least, half of which vary; of these, nine in ten begin at the same number and
    half end at the same one; the others that share end below it. Columns with missing cells and those named in `apart`
    have no part in it, nor have columns that know two numbers only.
    """
    if len(columns) < FEWEST_SHARING:
        return {}
    seen: dict[str, tuple[float, float, float, float]] = {}
    shades: set[float] = set()
    for name, values in columns.items():
        if values.dtype.kind in "iuf" and name not in apart:
            x = values.astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                seen[name] = (float(x.min()), float(x.max()), float(x.mean()), float(x.var()))
            if len(shades) < 3:
                shades.update(x[:1000].tolist())
    varying = {name: facts for name, facts in seen.items() if facts[0] < facts[1] and isfinite(facts[3])}
    if len(seen) < FEWEST_SHARING or len(varying) < len(seen) / 2 or len(shades) < 3:
        return {}
    lows, highs, *_ = zip(*varying.values())
    low, high = max(set(lows), key=lows.count), max(set(highs), key=highs.count)
    if lows.count(low) < 0.9 * len(varying) or highs.count(high) < 0.5 * len(varying):
        return {}
    sharing = {name: facts for name, facts in varying.items() if facts[0] == low and facts[1] <= high}
    *_, means, variances = map(np.array, zip(*sharing.values()))
    centre, deviation = float(means.mean()), float(np.sqrt(variances.mean() + means.var()))
    return {name: NumberColumn(name, centre, 1 / deviation, indicator=False) for name in sharing}


# Dates.


DAY = 86_400_000_000
"""Microseconds."""
PERIODS = {"month": 12, "weekday": 7, "hour": 24}
PARTS = ("days", "year", *PERIODS)


def parts_of(dates: Array) -> dict[str, Array]:
    """Return what calendar and clock say of times in microseconds (n,): each of PARTS as numbers (n,).

    Days are counted from 1970, months from January, weekdays from Monday, hours from midnight; days and hours have
    fractions.
    """
    elapsed, months = dates.astype(np.int64), dates.astype("M8[M]").astype(np.int64)
    return {
        "days": elapsed / DAY,
        "year": months // 12 + 1970.0,
        "month": months % 12,
        "weekday": (elapsed // DAY + 3) % 7,  # 1970 began on a Thursday
        "hour": elapsed % DAY / (DAY / 24),
    }


@final
@dataclass(frozen=True)
class DateColumn(Column):
    """Elapsed days and the year, scaled as numbers are; month, weekday and hour as points on a circle, sin and cos.

    `parts` are those that varied in training: dates without times have no hour, those of one year no year. A missing
    date is 0 everywhere; where training had missing ones (`indicator`), a last column is 1 for them and 0 elsewhere.
    Times with a zone count in UTC.
    """

    name: str
    parts: tuple[str, ...]
    days_centre: float
    days_scale: float
    year_centre: float
    year_scale: float
    indicator: bool
    kind: ClassVar[str] = "date"

    @classmethod
    def fit(cls, name: str, dates: Array) -> Self:
        """See times in microseconds (n,), NaT where missing, of which one at least is known."""
        known = parts_of(dates[~np.isnat(dates)])
        varying = tuple(part for part in PARTS if np.ptp(known[part]) > 0)
        days_centre, days_scale, _ = centre_and_scale(known["days"])
        year_centre, year_scale, _ = centre_and_scale(known["year"])
        indicator = len(known["days"]) < len(dates)
        return cls(name, varying, days_centre, days_scale, year_centre, year_scale, indicator)

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
        dates = as_dates(self.name, values, first_row)
        missing = np.isnat(dates)
        dates[missing] = np.datetime64(0, "us")
        columns = iter(X.T)
        for part, numbers in parts_of(dates).items():
            if part not in self.parts:
                continue
            if part in PERIODS:
                angle = numbers * (2 * np.pi / PERIODS[part])
                next(columns)[:] = np.sin(angle)
                next(columns)[:] = np.cos(angle)
            elif part == "days":
                next(columns)[:] = smooth_clip(numbers, self.days_centre, self.days_scale)
            else:
                next(columns)[:] = smooth_clip(numbers, self.year_centre, self.year_scale)
        X[missing] = 0
        if self.indicator:
            X[:, -1] = missing

    def check(self) -> None:
        in_order = tuple(part for part in PARTS if part in self.parts)
        some = self.indicator or len(in_order) > 0
        require(self.parts == in_order and some, "parts", "be parts of dates", self.parts)
        require_scale("days_centre", self.days_centre, "days_scale", self.days_scale)
        require_scale("year_centre", self.year_centre, "year_scale", self.year_scale)
        require(isinstance(self.indicator, bool), "indicator", "be true or false", self.indicator)


# Categories.


@final
@dataclass(frozen=True)
class CategoryColumn(Column):
    """One column a level, 1 where the value is that level, else 0; two levels share one column, -1 and +1.

    A missing value and a level that is not in `levels` are 0 everywhere; see `place_levels`.
    """

    name: str
    levels: tuple[str, ...]
    kind: ClassVar[str] = "category"

    @property
    def n_features(self) -> int:
        return 1 if len(self.levels) == 2 else len(self.levels)

    @property
    def feature_names(self) -> list[str]:
        return [f"{self.name}={level}" for level in (self.levels[1:] if len(self.levels) == 2 else self.levels)]

    def encode(self, values: Array, X: Array, first_row: int = 0) -> None:
        if values.dtype.kind in "Mm":
            raise TableError(f"column {self.name!r} must hold categories, got dates or times")
        found, codes = factorize(self.name, values)
        place = place_levels(found, self.levels)[codes]
        if len(self.levels) == 2:
            X[:, 0] = np.array([-1, 1, 0], np.float32)[place]
            return
        rows = np.flatnonzero(place >= 0)
        X[rows, place[rows]] = 1

    def check(self) -> None:
        text = all(isinstance(level, str) and level for level in self.levels)
        require(text and 0 < len(set(self.levels)) == len(self.levels), "levels", "be different texts", self.levels)


# All of them.

CELLS = 2**17
"""Numbers that are encoded together: a megabyte, which stays in the cache."""
MOST_CHARACTERS = 100_000_000
"""Room for the names of all encoded columns."""


@final
class Layout:
    """Where the encoded columns of each of `columns` stand in the matrix, and how a table's rows get there."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.names = [column.name for column in columns]
        room = sum(len(column.name) * column.n_features for column in columns)
        require(
            room <= MOST_CHARACTERS, "columns", f"have names of {MOST_CHARACTERS:,} characters at most in all", room
        )
        *starts, self.n_features = np.cumsum([0, *(column.n_features for column in columns)]).tolist()
        self.places = [(c, start, start + c.n_features) for c, start in zip(columns, starts)]
        self.plain = [(c, start) for c, start, _ in self.places if isinstance(c, NumberColumn) and not c.edges]
        together = {column for column, _ in self.plain}
        self.others = [place for place in self.places if place[0] not in together]
        in_matrix = {name: matrix_place(name) for name in self.names}
        nowhere = -1 in in_matrix.values()
        self.width = inf if nowhere else max(in_matrix.values(), default=0) + 1  # of a matrix that has all columns
        self.in_matrix = as_slice([in_matrix[column.name] for column, _ in self.plain])
        self.firsts = as_slice([start for _, start in self.plain])
        raw = all(isinstance(column, RawColumn) for column in columns)
        in_order = list(in_matrix.values()) == list(range(len(columns)))
        self.as_it_is = self.n_features if raw and in_order else -1  # the width of a matrix that is its own encoding
        self.centres = np.array([column.centre for column, _ in self.plain])
        self.scales = np.array([column.scale for column, _ in self.plain])
        self.indicated = np.flatnonzero([column.indicator for column, _ in self.plain])
        self.indicators = [start + 1 for column, start in self.plain if column.indicator]

    def require(self, given: Mapping[str, Array]) -> None:
        """Raise a TableError unless the table has every column."""
        if not (isinstance(given, Matrix) and len(given) >= self.width):
            require_names(given, self.names)

    def as_given(self, given: Mapping[str, Array]) -> Array | None:
        """Return a matrix's own numbers in float32 where these are what encoding makes of them, else None.

        Whether a float32 matrix is finite is left to the caller.
        """
        if not (isinstance(given, Matrix) and given.numbers.shape[1] == self.as_it_is):
            return None
        if given.numbers.dtype == np.float32:
            return given.numbers
        with np.errstate(over="ignore"):
            X = given.numbers.astype(np.float32)
        return X if all_finite(X) else None

    def encode(self, given: Mapping[str, Array], X: Array, first_row: int) -> None:
        """Write the encoded columns of some rows, of which the first is a table's `first_row`, into X, of zeros."""
        alone = self.places
        if isinstance(given, Matrix):
            alone = self.others
            if self.plain:
                self.encode_together(given, X, first_row)
        for column, start, end in alone:
            column.encode(given[column.name], X[:, start:end], first_row)

    def encode_together(self, given: Matrix, X: Array, first_row: int) -> None:
        """Encode a matrix's plain numbers as `NumberColumn.encode` does one by one."""
        step = max(1, CELLS // len(self.plain))
        for start in range(0, len(X), step):
            rows = slice(start, start + step)
            x = given.numbers[rows, self.in_matrix]
            z = smooth_clip(x, self.centres, self.scales)
            if not all_finite(x):
                if np.isinf(x).any():
                    for column, _ in self.plain:
                        as_numbers(column.name, given[column.name][rows], first_row + start)
                missing = np.isnan(x)
                z[missing] = 0
                X[rows, self.indicators] = missing[:, self.indicated]
            X[rows, self.firsts] = z


def as_slice(places: list[int]) -> slice | list[int]:
    """Return places that follow one another as a slice, by which NumPy views instead of copying; others as given."""
    first = places[0] if places else 0
    return slice(first, first + len(places)) if places == list(range(first, first + len(places))) else places


COLUMNS: dict[str, type[NumberColumn] | type[RawColumn] | type[DateColumn] | type[CategoryColumn]] = {
    column.kind: column for column in (NumberColumn, RawColumn, DateColumn, CategoryColumn)
}


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
