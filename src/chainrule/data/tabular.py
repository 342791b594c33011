"""Tables to matrices: columns of many kinds in, one float32 matrix out.

A table is whatever names columns (see `chainrule.data.reading`); what each column becomes stands in
`chainrule.data.columns`. The encoder decides which kind a column is, and leaves out what says nothing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Self

import numpy as np

from chainrule.arrays import Array, all_finite, require
from chainrule.data.cells import (
    BLOCK,
    MISSING_WORDS,
    are_numbers,
    as_dates,
    as_dates_only,
    as_numbers,
    factorize,
    is_missing,
    to_text,
)
from chainrule.data.columns import (
    COLUMNS,
    CategoryColumn,
    Column,
    DateColumn,
    Layout,
    NumberColumn,
    RawColumn,
    as_plain,
    build,
    shared_columns,
)
from chainrule.data.reading import Columns, n_rows, open_columns, read_columns, require_names, rows_from
from chainrule.errors import TableError, shorten

__all__ = ["Columns", "TabularEncoder", "read_columns"]

ENOUGH_ROWS = 20
"""Rows from which on it says something that all values of a column differ."""
IDENTIFIER = r"(^|[ _.-])(id|idx|index|key|nr|no|row|rownames?|rowid|uuid|unnamed: ?0)$|[a-z]Id$|[a-z]ID$|^$"
"""Names by which a column of whole numbers, all different, is taken for a counter and not for a quantity."""

FOREIGN = {
    r"^\s*\d{1,4}([./-])\d{1,2}\1\d{1,4}\b": "they look like dates, which are read when written as 2024-12-31",
    r"^\s*[$€£¥+-]*\s?\d[\d.,' ]*\s?[%$€£¥]?\s*$": "they look like numbers, which are read when written as 1234.5",
}
"""What text looks like that is not read as what it means, and what to say of it."""
NEITHER = "it holds times of day, durations, or dates among other things"
"""Why a column is left out that is about time, and is neither dates nor numbers."""


class TabularEncoder:
    """Turns the columns of a table into a float32 matrix, always the same way once it is fitted.

    Numbers, and text that reads as numbers, are scaled (see `NumberColumn`); dates, and text that reads as ISO dates,
    become elapsed days and their place in the year, the week and the day (see `DateColumn`); text, booleans,
    categoricals and the columns declared in `categories` become one column a level (see `CategoryColumn`). Where many
    columns of numbers share one range, as pixels do, they share one mean and deviation (see `shared_columns`). Columns
    that say nothing are left out: empty ones, constant ones, identifiers. At prediction the order of columns does not
    matter, and columns that training did not use are ignored.

    Parameters
    ----------
    categories : sequence of str
        Columns of numbers that are codes, not quantities.
    max_levels : int
        Levels of a category that get a column of their own: the most frequent ones. Others count as unseen.
    n_bins : int
        Quantile bins of each number that get a ramp of their own, beside the number: the network can bend there at
        once. 8 of them cut a regression's error by a twentieth; classifiers gain nothing. 0 is none.

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
    >>> encoder.sources
    ['age', 'age', 'sex']
    """

    def __init__(self, *, categories: Sequence[str] = (), max_levels: int = 50, n_bins: int = 0) -> None:
        require(not isinstance(categories, str), "categories", "be a sequence of names", categories)
        require(max_levels >= 2, "max_levels", "be >= 2", max_levels)
        require(isinstance(n_bins, int) and n_bins >= 0, "n_bins", "be an integer >= 0", n_bins)
        self.categories = tuple(categories)
        self.max_levels = max_levels
        self.n_bins = n_bins
        self.columns: list[Column] = []
        self.layout = Layout(())
        self.left_out: dict[str, str] = {}
        self.notices: list[str] = []

    @classmethod
    def raw(cls, names: Sequence[str]) -> Self:
        """Return the encoder of columns of numbers that a network takes as they are; nothing is left to fit."""
        require(len(names) == len(set(names)) > 0, "names", "be different, one at least", names)
        encoder = cls()
        encoder.columns = [RawColumn(name) for name in names]
        encoder.layout = Layout(encoder.columns)
        return encoder

    def fit(self, table: object) -> Self:
        """Learn every column from a table of one row at least.

        Raises TableError when it cannot be read, or no column is left to learn from.
        """
        columns = open_columns(table)
        require_names(columns, self.categories)
        if not n_rows(columns):
            raise TableError("a table must have one row and one column at least")
        self.columns, self.left_out, self.notices = [], {}, []
        shared = shared_columns(columns, self.categories)
        if shared:
            self.notices.append(f"{shorten(list(shared))}: one mean and deviation for all, as they share one range")
        for name in columns:
            column = shared[name] if name in shared else self.fit_column(name, columns[name])
            if isinstance(column, Column):
                self.columns.append(column)
            else:
                self.left_out[name] = column
        self.notices += notices_of(self.left_out)
        if not self.columns:
            raise TableError(f"no column is left to learn from: {'; '.join(self.notices)}")
        self.layout = Layout(self.columns)
        return self

    def fit_column(self, name: str, values: Array) -> Column | str:
        """Return the column, or the reason to leave it out."""
        declared = name in self.categories
        if declared and values.dtype.kind in "Mm":
            raise TableError(f"categories must not name dates or times, got {name!r} holds them")
        if values.dtype.kind == "m":
            return NEITHER
        if values.dtype.kind == "M":
            return self.fit_dates(name, as_dates(name, values))
        if values.dtype.kind in "iuf" and not declared:
            return self.fit_numbers(name, values)
        levels, codes = factorize(name, values)
        if not declared and are_numbers(levels):
            return self.fit_numbers(name, values)
        dates = None if declared else as_dates_only(levels)
        if dates is not None:
            return self.fit_dates(name, dates[codes])
        if any(
            (hasattr(level, "isoformat") or isinstance(level, timedelta)) and not is_missing(level) for level in levels
        ):
            return NEITHER
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
        if re.search(IDENTIFIER, name.strip()) and all_whole(known) and all_different(known):
            return "every value is different: it is an identifier"
        return NumberColumn.fit(name, numbers, self.n_bins)

    def fit_dates(self, name: str, dates: Array) -> Column | str:
        """Return a column of dates, or the reason to leave it out."""
        if np.isnat(dates).all():
            return "it is empty"
        column = DateColumn.fit(name, dates)
        return column if column.n_features else "it is constant"

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
            return f"every value is different: it is an identifier{foreign(counts)}"
        frequent = sorted(counts, key=lambda level: (-counts[level], level))[: self.max_levels]
        if len(frequent) < len(counts):
            rest = n_known - sum(counts[level] for level in frequent)
            self.notices.append(
                f"{name}: its {len(frequent)} most frequent levels are told apart; the other "
                f"{len(counts) - len(frequent):,}, {rest / n_known:.0%} of its values, count as unseen"
                + foreign(frequent)
            )
        words = [level for level in counts if level.strip().lower() in MISSING_WORDS]
        if words:
            self.notices.append(
                f"{name}: {shorten(words)} is a level like any other; leave such cells empty where they are missing"
            )
        return CategoryColumn(name, tuple(sorted(frequent)))

    def transform(self, table: object, first_row: int = 0) -> Array:
        """Return the float32 matrix (n, d) for a table; extra columns are ignored, and the table stays as it is.

        A float32 matrix whose columns are all raw is its own encoding, and is what comes back.

        `first_row` is where in a larger table this one begins: errors name rows. Raises TableError naming a column that
        is missing, or column, row and value of what cannot be encoded.
        """
        require(bool(self.columns), "TabularEncoder", "be fitted first", self.columns)
        given = open_columns(table)
        self.layout.require(given)
        matrix = self.layout.as_given(given)
        if matrix is not None and all_finite(matrix):
            return matrix
        X = np.zeros((n_rows(given), self.layout.n_features), np.float32)
        # Block by block, what is read and what is written stays in the cache, and nothing is there twice.
        for start in range(0, len(X), BLOCK):
            stop = start + BLOCK
            self.layout.encode(rows_from(given, start, stop), X[start:stop], first_row + start)
        return X

    def fit_transform(self, table: object) -> Array:
        """Fit, and return the matrix for the same table."""
        columns = open_columns(table)
        return self.fit(columns).transform(columns)

    def notices_for(self, table: object) -> list[str]:
        """Return what a person should know before a table is encoded: which columns training has not had."""
        known = {column.name for column in self.columns} | set(self.left_out)
        extra = [name for name in open_columns(table) if name not in known]
        return [f"{shorten(extra)}: ignored, training did not have {'it' if len(extra) == 1 else 'them'}"] * bool(extra)

    @property
    def n_features(self) -> int:
        """Columns of the matrix."""
        return self.layout.n_features

    @property
    def sources(self) -> list[str]:
        """For each column of the matrix, the name of the table's column that it comes from."""
        return [column.name for column in self.columns for _ in range(column.n_features)]

    def get_feature_names_out(self) -> Array:
        """Return the name of each column of the matrix."""
        return np.array([name for column in self.columns for name in column.feature_names], object)

    def state(self) -> dict[str, Any]:
        """Return all there is to it as plain dicts, lists, texts and numbers, which JSON can hold."""
        return {
            "categories": list(self.categories),
            "max_levels": self.max_levels,
            "n_bins": self.n_bins,
            "columns": [{"kind": column.kind} | as_plain(column) for column in self.columns],
            "left_out": dict(self.left_out),
            "notices": list(self.notices),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the encoder that `state` describes; ValueError, TypeError or KeyError where it describes none."""
        options = {"max_levels": state["max_levels"], "n_bins": state.get("n_bins", 0)}
        encoder = cls(categories=texts(state["categories"]), **options)
        encoder.columns = [build(COLUMNS, "kind", column) for column in state["columns"]]
        encoder.layout = Layout(encoder.columns)
        encoder.left_out = {name: str(reason) for name, reason in state["left_out"].items()}
        encoder.notices = list(texts(state["notices"]))
        return encoder


def foreign(levels: Iterable[str]) -> str:
    """Return what to add to a notice of text that looks like what it is not read as; "" where it does not."""
    hints = (f"; {hint}" for form, hint in FOREIGN.items() if all(re.search(form, level) for level in levels))
    return next(hints, "")


def notices_of(left_out: Mapping[str, str]) -> list[str]:
    """Return a notice a reason, which names the columns left out for it."""
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        reasons.setdefault(reason, []).append(name)
    return [f"{shorten(names)}: left out, {reason}" for reason, names in reasons.items()]


def all_whole(known: Array) -> bool:
    """Tell whether all numbers (no NaN) are whole."""
    return bool(np.all(known == np.floor(known)))


def all_different(known: Array) -> bool:
    """Tell whether there are enough numbers for it to mean something, and no two are equal."""
    return len(known) >= ENOUGH_ROWS and len(np.unique(known)) == len(known)


def texts(values: Sequence[object]) -> tuple[str, ...]:
    """Return the texts, or raise ValueError."""
    require(all(isinstance(value, str) for value in values), "a list of texts", "hold texts only", values)
    return tuple(str(value) for value in values)
