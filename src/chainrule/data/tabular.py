"""From tables to matrices: columns of any kind in, one float32 matrix out.

A table is anything with named columns (see `chainrule.data.reading`). The encoder decides the kind of each column,
which determines its encoding (see `chainrule.data.columns`), and drops columns without information.
"""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from math import sqrt
from typing import Any, Self

import numpy as np

from chainrule.arrays import Array, all_finite, require
from chainrule.data.cells import factorize
from chainrule.data.columns import (
    COLUMNS,
    CategoryColumn,
    Column,
    DateColumn,
    NumberColumn,
    RawColumn,
    as_plain,
    build,
    shared_columns,
)
from chainrule.data.formats import (
    ISO,
    PLAIN,
    DateFormat,
    NumberFormat,
    is_missing,
    is_missing_word,
    to_date,
    to_text,
)
from chainrule.data.layout import Layout
from chainrule.data.reading import Columns, n_rows, open_columns, read_columns
from chainrule.data.recognition import (
    EARLIEST_COMPACT,
    LATEST_COMPACT,
    Reading,
    are_compact_dates,
    differences_in_spelling,
    find_sentinels,
    recognize_cells,
    require_no_strays,
)
from chainrule.data.statistics import Cells, Numbers, Statistics, summarize
from chainrule.display import Shown, as_call
from chainrule.errors import TableError, require_names, shorten

__all__ = ["Columns", "TabularEncoder", "read_columns"]

_MIN_IDENTIFIER_ROWS = 20
"""In a shorter column, that all values differ is no sign of an identifier."""
_IDENTIFIER_NAME = r"(^|[ _.-])(id|idx|index|key|nr|no|row|rownames?|rowid|uuid|unnamed: ?0)$|[a-z]Id$|[a-z]ID$|^$"
"""Names that make a column of integers, all different, an identifier and not a quantity."""

MIN_INDEXED_CELLS = 3
"""Cells of a category from which on a vector is learned for it."""
_LOOKALIKES = {
    r"^\s*\d{1,4}([./-])\d{1,2}\1\d{1,4}\b(?![./-]\d)": (
        "the values look like dates; write them as 2024-12-31 to have them parsed"
    ),
    r"^(?!.*([.,'])(?:\d|\d{4,})\1)\s*[$€£¥+-]*\s?\d[\d.,' ]*\s?[%$€£¥]?\s*$": (
        "the values look like numbers; write them as 1234.5 to have them parsed"
    ),
}
"""Formats of text that is probably meant as something else, and the remedy."""
_MIN_WARNED = 5
"""Fewer cells than this say little about a column."""
_COMPACT = DateFormat("yyyymmdd")
_CONSTANT = "constant"
_EMPTY = "empty"
_INDEX_NAME = r"__index_level_\d+__"
"""pandas' name for an index without a name, in Parquet and Arrow files."""
_UNSUPPORTED_TIMES = "mixed or unsupported date/time values"
"""Times of day, and dates or durations mixed with other values are neither dates nor numbers."""


class TabularEncoder(Shown):
    """Encodes the columns of a table as a float32 matrix.

    Numbers, durations in days, and text that parses as numbers, are scaled (see `NumberColumn`). Dates, and text that
    parses as ISO dates, become elapsed days and the position in the year, the week and the day (see `DateColumn`).
    Text, booleans, categoricals and the columns named in `categories` are one-hot encoded, or become indices (see
    `CategoryColumn` and `max_indexed`). If many numeric columns have a common range, as pixels do, they are scaled with
    one mean and standard deviation (see `shared_columns`). Columns without information are left out: empty ones,
    constant ones, identifiers, lists. The order of columns may differ at prediction, and columns that training did not
    use are ignored.

    Parameters
    ----------
    categories : sequence of str
        Numeric columns to treat as categorical.
    max_categories : int
        Maximum number of categories to one-hot encode per column: the most frequent ones. Others are encoded as
        unknown.
    max_indexed : int
        A column with more than `max_categories` categories of at least 3 cells becomes a single column of their
        indices instead, from 1, for a network with a `chainrule.Lookup`. At most this number of categories have an
        index, the most frequent ones; others are encoded as 0. Default: 0, all columns are one-hot encoded. The
        tabular estimators use 10,000.
    n_bins : int
        Number of quantile bins per numeric column, each with a column of its own beside the number (piecewise-linear
        encoding). 8 of them reduced the error of regressors by a twentieth; classifiers gained nothing. 0: no bins.

    Attributes
    ----------
    columns : list of Column
        The columns in use, in the order of the encoded columns.
    left_out : dict
        Name -> reason for each column that is not used.
    notices : list of str
        Messages for the user: which columns were left out, which categories were merged.

    Examples
    --------
    >>> encoder = TabularEncoder().fit({"age": [30, 41, None], "sex": ["f", "m", "f"]})
    >>> encoder.get_feature_names_out()
    array(['age', 'age is missing', 'sex=m'], dtype=object)
    >>> encoder.transform([{"sex": "m", "age": "41"}])
    array([[0.9486833, 0.       , 1.       ]], dtype=float32)
    >>> encoder.sources
    ['age', 'age', 'sex']
    """

    def __init__(
        self, *, categories: Sequence[str] = (), max_categories: int = 50, max_indexed: int = 0, n_bins: int = 0
    ) -> None:
        require(not isinstance(categories, str), "categories", "be a sequence of names", categories)
        require(max_categories >= 2, "max_categories", "be >= 2", max_categories)
        require(isinstance(max_indexed, int) and max_indexed >= 0, "max_indexed", "be an integer >= 0", max_indexed)
        require(isinstance(n_bins, int) and n_bins >= 0, "n_bins", "be an integer >= 0", n_bins)
        self.categories = tuple(categories)
        self.max_categories = max_categories
        self.max_indexed = max_indexed
        self.n_bins = n_bins
        self.columns: list[Column] = []
        self.layout = Layout(())
        self.left_out: dict[str, str] = {}
        self.notices: list[str] = []

    @classmethod
    def raw(cls, names: Sequence[str]) -> Self:
        """Return an encoder that passes numeric columns on unchanged; it needs no fitting."""
        require(len(names) == len(set(names)) > 0, "names", "be distinct, at least one", names)
        encoder = cls()
        encoder.columns = [RawColumn(name) for name in names]
        encoder.layout = Layout(encoder.columns)
        return encoder

    def fit(self, table: object, y: object = None, *, readings: Mapping[str, Reading] | None = None) -> Self:
        """Fit every column to a table of at least one row; `y` is ignored, as by every scikit-learn transformer.

        `readings` are those of a larger table that contains these rows; default: those of this table. Raises TableError
        if the table cannot be read, if a column of numbers or dates contains a cell that is neither, or if no usable
        column is left.
        """
        return self.fit_statistics(summarize(table, self.categories), readings=readings)

    def fit_statistics(self, statistics: Statistics, *, readings: Mapping[str, Reading] | None = None) -> Self:
        """Fit every column to the statistics of a table (see `chainrule.data.statistics`), as `fit` does to the table.

        They may be merged from those of its parts, each of which is `summarize(part, encoder.categories)`.
        """
        require_names(statistics, self.categories)
        if not statistics or not len(next(iter(statistics.values()))):
            raise TableError("table must have at least one row and one column, got an empty table")
        self.columns, self.left_out, self.notices = [], {}, []
        index = [name for name in statistics if re.fullmatch(_INDEX_NAME, name)]
        shared = shared_columns(statistics, [*self.categories, *index])
        if shared:
            self.notices.append(
                f"{shorten(list(shared))}: scaled with one common mean and standard deviation, because they have the "
                "same range"
            )
        for name in statistics:
            reading = (readings or {}).get(name)
            column = shared[name] if name in shared else self._fit_column(name, statistics, reading)
            if isinstance(column, Column):
                self.columns.append(column)
            else:
                self.left_out[name] = column
        self.notices += notices_of(self.left_out)
        if not self.columns:
            raise TableError(f"no usable column is left: {'; '.join(self.notices)}")
        self.layout = Layout(self.columns)
        return self

    def _fit_column(self, name: str, statistics: Statistics, reading: Reading | None) -> Column | str:
        """Return the fitted column, or the reason to leave it out; so do the methods below."""
        declared = name in self.categories
        if re.fullmatch(_INDEX_NAME, name) and not declared:
            return "index of a DataFrame"
        cells = statistics[name]
        if isinstance(cells, Numbers):
            if declared:
                raise TableError(f"categories must not name columns of dates or times, got {name!r}")
            return self._fit_dates(name, cells) if cells.is_date else self._fit_numbers(name, cells)
        if cells.is_nested:
            return "lists or dicts"
        if declared:
            return self._fit_categories(name, cells, may_identify=False)
        reading = reading or recognize_cells(cells.cells, cells.counts.tolist())
        require_no_strays(name, cells, reading)
        self.notices += reading.notices(name)
        if reading.kind == "number" and not any(map(_is_long_integer, cells.cells)):
            return self._fit_numbers(name, cells.numbers(name, reading.number_format), reading.number_format)
        if reading.kind == "date":
            return self._fit_dates(name, cells.dates(name, reading.date_format), reading.date_format)
        if any(hasattr(value, "isoformat") or isinstance(value, timedelta) for value in cells.cells):
            return _UNSUPPORTED_TIMES
        return self._fit_categories(name, cells, may_identify=True, hint=reading.hint)

    def _fit_numbers(self, name: str, numbers: Numbers, number_format: NumberFormat = PLAIN) -> Column | str:
        if not numbers.n_known:
            return _EMPTY
        known = numbers.values
        low, high = float(known[0]), float(numbers.largest)
        if low == high:
            # The only information is whether the number is missing, which a single category encodes.
            missing = 1 - numbers.n_known / len(numbers)
            return CategoryColumn(name, (to_text(low),), missing=missing) if missing else _CONSTANT
        if low >= EARLIEST_COMPACT and high <= LATEST_COMPACT and are_compact_dates(known.tolist()):
            self.notices.append(f"{name}: read as dates: {low:.0f} as {to_date(low, _COMPACT):%Y-%m-%d}")
            dates = np.array([to_date(number, _COMPACT) for number in known.tolist()] + [None], "M8[us]")
            return self._fit_dates(name, Numbers.of(dates, np.append(numbers.counts, numbers.n_missing)), _COMPACT)
        named = re.search(_IDENTIFIER_NAME, name.strip()) and numbers.n_known >= _MIN_IDENTIFIER_ROWS
        if named and bool(np.all(known == np.floor(known))) and numbers.all_differ:
            return "identifier: all values differ"
        sentinels = self._sentinels(name, numbers)
        if sentinels:
            number_format = number_format._replace(sentinels=sentinels)
            numbers = numbers.without(sentinels)
        return NumberColumn.fit(name, numbers, self.n_bins, number_format)

    def _sentinels(self, name: str, numbers: Numbers) -> tuple[float, ...]:
        """Return the numbers that stand for missing values, and add notices about them and about suspects."""
        sentinels, suspects = find_sentinels(numbers.values, numbers.counts)
        for value, n_cells in sentinels.items():
            self.notices.append(f"{name}: treated as missing: {value:.15g} ({n_cells:,})")
        for value, n_cells in suspects.items():
            remedy = "if it stands for a missing value, leave the cells empty"
            self.notices.append(f"{name}: {value:.15g} ({n_cells:,} cells) is far from all other values; {remedy}")
        return tuple(sentinels)

    def _fit_dates(self, name: str, dates: Numbers, date_format: DateFormat = ISO) -> Column | str:
        if not dates.n_known:
            return _EMPTY
        column = DateColumn.fit(name, dates, date_format)
        return column if column.n_features else _CONSTANT

    def _fit_categories(self, name: str, cells: Cells, may_identify: bool, hint: str = "") -> Column | str:
        counts: dict[str, int] = {}
        for value, count in zip(cells.cells, cells.counts.tolist()):
            text = to_text(value).strip()
            counts[text] = counts.get(text, 0) + count
        n_known = cells.n_known
        if not counts:
            return _EMPTY
        if len(counts) == 1 and not cells.n_missing:
            return _CONSTANT
        hint = f"; {hint}" if hint else _lookalike_hint(counts)
        if may_identify and max(counts.values()) == 1 and n_known >= _MIN_IDENTIFIER_ROWS:
            return f"identifier: all values differ{hint}"
        by_count = sorted(counts, key=lambda category: (-counts[category], category))
        frequent = [category for category in by_count[: self.max_indexed] if counts[category] >= MIN_INDEXED_CELLS]
        indexed = len(frequent) > self.max_categories
        if not indexed:
            frequent = by_count[: self.max_categories]
        rest = n_known - sum(counts[category] for category in frequent)
        if rest:
            others = f"{len(counts) - len(frequent):,}" + (" and more" if cells.n_dropped else "")
            self.notices.append(
                f"{name}: kept the {len(frequent)} most frequent categories; the other {others} "
                f"({rest / n_known:.0%} of values) are encoded as unknown{hint}"
            )
        elif hint and len(counts) > 2:
            self.notices.append(f"{name}: treated as categories{hint}")
        words = [category for category in counts if is_missing_word(category)]
        if words:
            self.notices.append(
                f"{name}: {shorten(words)} is treated as a category; if it stands for a missing value, leave the "
                "cells empty"
            )
        self.notices += [f"{name}: {notice}" for notice in differences_in_spelling(frequent, "categories")]
        missing = 1 - n_known / len(cells)
        return CategoryColumn(name, tuple(sorted(frequent)), rest / n_known, missing, indexed)

    @property
    def numbers(self) -> list[int]:
        """The encoded columns that are numbers, scaled and smoothly clipped."""
        return self.layout.numbers

    @property
    def indices(self) -> dict[int, int]:
        """The encoded columns that are indices of categories, and how many different ones there are, 0 included."""
        return self.layout.indices

    def transform(self, table: object, first_row: int = 0) -> Array:
        """Return the float32 matrix (n, d) for a table. Extra columns are ignored, and the table is not modified.

        If all columns are raw, a float32 matrix is returned unchanged, without a copy.

        `first_row` is the index of this table's first row in a larger one, for error messages. Raises TableError naming
        the column that is missing, or the column, row and value of a cell that cannot be encoded.
        """
        return self.encode(open_columns(table), first_row)

    def encode(self, columns: Mapping[str, Array], first_row: int = 0) -> Array:
        """Return what `transform` does for columns that are open already, by `chainrule.data.reading.open_columns`."""
        if not self.columns:
            raise ValueError("TabularEncoder must be fitted before transform. Call fit first.")
        self.layout.require(columns)
        matrix = self.layout.as_given(columns)
        if matrix is not None and all_finite(matrix):
            return matrix
        X = np.zeros((n_rows(columns), self.layout.n_features), np.float32)
        self.layout.encode(columns, X, first_row)
        for message in self._unknown_cells(columns, X):
            warnings.warn(message, UserWarning, stacklevel=3)
        return X

    def _unknown_cells(self, columns: Mapping[str, Array], X: Array) -> list[str]:
        """Return a message for each column of categories in which most cells of an encoded table are unknown ones."""
        messages: list[str] = []
        if len(X) < _MIN_WARNED:
            return messages
        for column, start, stop in self.layout.places:
            if not isinstance(column, CategoryColumn):
                continue
            # An unknown category is 0 everywhere, and so is a missing cell: only a slower look tells the two apart.
            n_zero = len(X) - int(np.count_nonzero(X[:, start:stop]))
            if not _is_surprising(n_zero, len(X), column.missing + (1 - column.missing) * column.unknown):
                continue
            distinct, codes = factorize(column.name, columns[column.name])
            counts = np.bincount(codes, minlength=len(distinct)).tolist()
            unknown = {to_text(cell): n for cell, n in zip(distinct, counts) if column.index.is_unknown(cell)}
            n_unknown = sum(unknown.values())
            n_known = sum(n for cell, n in zip(distinct, counts) if not is_missing(cell))
            if _is_surprising(n_unknown, n_known, column.unknown):
                share = f"{n_unknown / n_known:.0%} of the values ({n_unknown:,} of {n_known:,})"
                example = f"such as {max(unknown, key=unknown.__getitem__)!r}"
                messages.append(
                    f"column {column.name!r}: {share} are unknown, {example}. Spell them as in training: "
                    f"{shorten(column.categories)}."
                )
        return messages

    def fit_transform(self, table: object, y: object = None) -> Array:
        """Fit to a table and return its matrix."""
        columns = open_columns(table)
        return self.fit(columns).transform(columns)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, as scikit-learn's `clone` and searches need them."""
        return {
            "categories": self.categories,
            "max_categories": self.max_categories,
            "max_indexed": self.max_indexed,
            "n_bins": self.n_bins,
        }

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; the encoder must then be fitted again."""
        self.__init__(**(self.get_params() | params))  # type: ignore[misc]
        return self

    __repr__ = as_call

    def __sklearn_is_fitted__(self) -> bool:
        return bool(self.columns)

    def __sklearn_tags__(self) -> Any:
        utils = import_module("sklearn.utils")  # only scikit-learn asks for its tags
        inputs = utils.InputTags(string=True, categorical=True, allow_nan=True, sparse=True)
        targets, transformer = utils.TargetTags(required=False), utils.TransformerTags()
        return utils.Tags(estimator_type=None, target_tags=targets, transformer_tags=transformer, input_tags=inputs)

    def notices_for(self, table: object) -> list[str]:
        """Return messages for the user about a table to be encoded: which columns were not in the training table."""
        known = {column.name for column in self.columns} | set(self.left_out)
        extra = [name for name in open_columns(table) if name not in known]
        return [f"{shorten(extra)}: ignored, not in the training table"] if extra else []

    @property
    def n_features(self) -> int:
        """Number of columns of the matrix."""
        return self.layout.n_features

    @property
    def sources(self) -> list[str]:
        """For each column of the matrix, the name of the table column it encodes."""
        return [column.name for column in self.columns for _ in range(column.n_features)]

    def get_feature_names_out(self) -> Array:
        """Return the name of each column of the matrix."""
        return np.array([name for column in self.columns for name in column.feature_names], object)

    def state(self) -> dict[str, Any]:
        """Return the complete state as plain dicts, lists, strings and numbers, ready for JSON."""
        return {
            "categories": list(self.categories),
            "max_categories": self.max_categories,
            "max_indexed": self.max_indexed,
            "n_bins": self.n_bins,
            "columns": [{"kind": column.kind} | as_plain(column) for column in self.columns],
            "left_out": dict(self.left_out),
            "notices": list(self.notices),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the encoder with a state; raise ValueError, TypeError or KeyError if the state is invalid."""
        options = {"max_categories": state["max_categories"]}
        options |= {name: state.get(name, 0) for name in ("max_indexed", "n_bins")}
        encoder = cls(categories=_strings(state["categories"], "categories"), **options)
        encoder.columns = [build(COLUMNS, "kind", column) for column in state["columns"]]
        encoder.layout = Layout(encoder.columns)
        encoder.left_out = {name: str(reason) for name, reason in state["left_out"].items()}
        encoder.notices = list(_strings(state["notices"], "notices"))
        return encoder


def _is_surprising(n_unknown: int, n: int, expected: float) -> bool:
    """Return whether most of n values are unknown, and significantly more than the expected fraction.

    Four standard deviations: a warning in one of 30,000 tables like the training table.
    """
    excess = n_unknown - n * expected
    return n >= _MIN_WARNED and 2 * n_unknown > n and excess > 4 * sqrt(n * expected * (1 - expected))


def _lookalike_hint(categories: Iterable[str]) -> str:
    """Return an addition to a notice if all categories look like dates or numbers, else an empty string."""
    hints = (f"; {hint}" for form, hint in _LOOKALIKES.items() if all(re.search(form, text) for text in categories))
    return next(hints, "")


def notices_of(left_out: Mapping[str, str]) -> list[str]:
    """Return one notice per reason, naming the columns left out for it."""
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        reasons.setdefault(reason, []).append(name)
    return [f"{shorten(names)}: left out ({reason})" for reason, names in reasons.items()]


def _is_long_integer(value: object) -> bool:
    """Return whether a cell is an integer of 20 digits or more: a name, as no float is equal to it."""
    text = value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    return len(text) >= 20 and re.fullmatch(r"[+-]?\d{20,}", text) is not None


def _strings(values: Sequence[object], name: str) -> tuple[str, ...]:
    require(all(isinstance(value, str) for value in values), name, "contain only strings", values)
    return tuple(str(value) for value in values)
