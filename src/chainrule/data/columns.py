"""Columns: what was learned of each one in training, and the features that encode it.

Each kind is a small frozen dataclass of plain fields: `fit` computes them from values, and a model file stores them. It
reads its cells as numbers, and lowers to features of them (see `chainrule.data.features`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import inf, isfinite, nan
from typing import Any, ClassVar, Self, final

import numpy as np

from chainrule.arrays import Array, require
from chainrule.data.cells import as_dates, as_numbers, factorize
from chainrule.data.features import Feature, Index, Levels, Missing, Ramps, SmoothClip, Value, Wave
from chainrule.data.formats import DATE_ORDERS, ISO, PLAIN, Categories, DateFormat, NumberFormat
from chainrule.data.statistics import Numbers, Statistics, quantiles
from chainrule.errors import TableError, look_up


class Column(ABC):
    """Base class of the kinds of columns. A new kind is a frozen dataclass of plain fields, listed in COLUMNS."""

    kind: ClassVar[str]
    source: ClassVar[str]
    """What its cells are: one of READERS."""
    name: str
    format: NumberFormat | DateFormat = PLAIN
    """How the cells were written in training, and how those to predict are read."""

    @property
    @abstractmethod
    def features(self) -> tuple[Feature, ...]:
        """The features that encode a cell, in the order of the encoded columns."""

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError if the fields, which may come from a file, are not such as `fit` computes."""

    def read(self, values: Array, first_row: int = 0) -> dict[str, Array]:
        """Return the parts of cells (n,) as float64 (n,), NaN where missing.

        `first_row` is the index of `values[0]` in its table, for error messages.
        """
        return READERS[self.source](self, values, first_row)

    @property
    def is_plain(self) -> bool:
        """Whether cells that are numbers are read as they are."""
        return self.source == "numbers" and self.format == PLAIN

    @property
    def sentinels(self) -> tuple[float, ...]:
        """Numbers that stand for a missing value."""
        return self.format.sentinels if isinstance(self.format, NumberFormat) else ()

    @property
    def n_features(self) -> int:
        """Number of encoded columns."""
        return sum(feature.width for feature in self.features)

    @property
    def feature_names(self) -> list[str]:
        """Names of the encoded columns."""
        return [self.name + label for feature in self.features for label in feature.labels]


# Cells.


def _read_numbers(column: Column, values: Array, first_row: int) -> dict[str, Array]:
    return {"": as_numbers(column.name, values, first_row, column.format)}  # type: ignore[arg-type]


def _read_raw(column: Column, values: Array, first_row: int) -> dict[str, Array]:
    x = as_numbers(column.name, values, first_row)
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(x.astype(np.float32))
    if not is_finite.all():
        row = int(np.argmin(is_finite))
        missing = np.isnan(x[row])
        fault = "a number, got a missing value" if missing else f"a number in the range of float32, got {x[row]:g}"
        raise TableError(f"column {column.name!r}, row {first_row + row + 1}: expected {fault}")
    return {"": x}


def _read_dates(column: Column, values: Array, first_row: int) -> dict[str, Array]:
    return date_parts(as_dates(column.name, values, first_row, column.format))  # type: ignore[arg-type]


DAY = 86_400_000_000
"""Microseconds in a day."""
FIRST_DAY, LAST_DAY = -719162, 2932896
"""The days since 1970 of 0001-01-01 and 9999-12-31: the dates that a table can contain."""
PERIODS = {"month": 12, "weekday": 7, "hour": 24}
PARTS = ("days", "year", *PERIODS)


def date_parts(dates: Array) -> dict[str, Array]:
    """Return each of PARTS as numbers (n,) for times in microseconds (n,), NaN where missing.

    Days are counted from 1970, months from January, weekdays from Monday, hours from midnight; days and hours are
    fractional.
    """
    elapsed, months = dates.astype(np.int64), dates.astype("M8[M]").astype(np.int64)
    parts: dict[str, Array] = {
        "days": elapsed / DAY,
        "year": months // 12 + 1970.0,
        "month": months % 12 + 0.0,
        "weekday": (elapsed // DAY + 3) % 7 + 0.0,  # 1 January 1970 was a Thursday
        "hour": elapsed % DAY / (DAY / 24),
    }
    missing = np.isnat(dates)
    if missing.any():
        for numbers in parts.values():
            numbers[missing] = np.nan
    return parts


def _read_categories(column: Any, values: Array, first_row: int) -> dict[str, Array]:
    if values.dtype.kind in "Mm":
        raise TableError(f"column {column.name!r}: expected categories, got dates or times")
    cells, codes = factorize(column.name, values)
    places = [column.index.index(cell) for cell in cells]
    return {"": np.array([place if place >= 0 else nan for place in places], np.float64)[codes]}


READERS: dict[str, Callable[[Any, Array, int], dict[str, Array]]] = {
    "numbers": _read_numbers,
    "X": _read_raw,
    "dates": _read_dates,
    "categories": _read_categories,
}
"""From the source of a column to the function that reads the parts of its cells. X: as they are, none missing."""


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
    source: ClassVar[str] = "numbers"

    @classmethod
    def fit(cls, name: str, numbers: Numbers, n_bins: int = 0, number_format: NumberFormat = PLAIN) -> Self:
        """Fit to finite numbers, at least two different ones."""
        center, scale, quantiles = _center_and_scale(numbers.values, numbers.counts, n_bins)
        edges = _merge_edges(quantiles) if n_bins else ()
        return cls(name, center, scale, numbers.n_missing > 0, edges, number_format)

    @property
    def features(self) -> tuple[Feature, ...]:
        missing = (Missing(),) if self.indicator else ()
        return (SmoothClip(self.center, self.scale), *missing, *([Ramps(self.edges)] if self.edges else []))

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
    source: ClassVar[str] = "X"

    @property
    def features(self) -> tuple[Feature, ...]:
        return (Value(),)

    def check(self) -> None:
        """Accept any name: there are no other fields."""


def _merge_edges(quantiles: tuple[float, ...]) -> tuple[float, ...]:
    """Return the quantiles without repetitions; none if only one is left."""
    edges = list(quantiles[:1])
    for quantile in quantiles[1:]:
        if quantile / 2 > edges[-1] / 2:
            edges.append(quantile)
    return tuple(edges) if len(edges) > 1 else ()


def _center_and_scale(known: Array, counts: Array, bins: int = 0) -> tuple[float, float, tuple[float, ...]]:
    """Return the median and the scale of sorted numbers (k,) that occur so often, and the edges of quantile bins."""
    percents = [25, 50, 75, *(np.linspace(0, 100, bins + 1) if bins else ())]
    # Percentiles interpolate, and the difference of two halves cannot overflow.
    low, center, high, *edges = (2 * q for q in quantiles(known / 2, counts, percents))
    scale = _reciprocal(high, low)
    if not isfinite(scale):
        scale = 2 * _reciprocal(float(known[-1]), float(known[0]))
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


def shared_columns(columns: Statistics, excluded: Sequence[str] = ()) -> dict[str, NumberColumn]:
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
    for name in columns:
        of = columns[name] if name not in excluded else None
        if isinstance(of, Numbers) and not of.is_date:
            n, mean, square = of.moments
            complete = n > 0 and not of.n_missing
            ends = (float(of.values[0]), float(of.largest)) if complete else (nan, nan)
            stats[name] = (*ends, mean, square / max(n, 1))
            if len(distinct) < 3:
                distinct.update(of.values[:3].tolist())
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
    source: ClassVar[str] = "dates"

    @classmethod
    def fit(cls, name: str, dates: Numbers, date_format: DateFormat = ISO) -> Self:
        """Fit to times, at least one of them known."""
        known = date_parts(dates.values)
        varying = tuple(part for part in PARTS if np.ptp(known[part]) > 0)
        days_center, days_scale, _ = _center_and_scale(known["days"], dates.counts)
        year_center, year_scale, _ = _center_and_scale(known["year"], dates.counts)
        indicator = dates.n_missing > 0
        return cls(name, varying, days_center, days_scale, year_center, year_scale, indicator, date_format)

    @property
    def features(self) -> tuple[Feature, ...]:
        scaled = {"days": (self.days_center, self.days_scale), "year": (self.year_center, self.year_scale)}
        features = [
            Wave(PERIODS[part], part) if part in PERIODS else SmoothClip(*scaled[part], part) for part in self.parts
        ]
        return (*features, *([Missing("days")] if self.indicator else []))

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

    If `indexed`, there is a single column instead, 1 + the position of the category in `categories`, whose learned
    vector a network looks up. A missing value or an unknown category is 0 everywhere; see `Categories` for the
    spellings of a known one.
    In training, `missing` is the fraction of missing cells, and `unknown` the fraction of the others that are of
    categories too rare to be encoded.
    """

    name: str
    categories: tuple[str, ...]
    unknown: float = 0.0
    missing: float = 0.0
    indexed: bool = False
    kind: ClassVar[str] = "category"
    source: ClassVar[str] = "categories"

    @cached_property
    def index(self) -> Categories:
        """The index of each category, in every spelling."""
        return Categories(self.categories)

    @property
    def features(self) -> tuple[Feature, ...]:
        return (Index(self.categories) if self.indexed else Levels(self.categories),)

    def check(self) -> None:
        strings = all(isinstance(category, str) and category for category in self.categories)
        distinct = 0 < len(set(self.categories)) == len(self.categories)
        require(strings and distinct, "categories", "be distinct, non-empty strings, at least one", self.categories)
        for name, fraction in (("unknown", self.unknown), ("missing", self.missing)):
            require(isinstance(fraction, float) and 0 <= fraction <= 1, name, "be in [0, 1]", fraction)
        require(isinstance(self.indexed, bool), "indexed", "be true or false", self.indexed)


COLUMNS: dict[str, type[Column]] = {
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
