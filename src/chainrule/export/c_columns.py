"""The preprocessing of a C header: checks and encodes raw cells, and finds names of columns, categories and classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from math import nan
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.data.columns import FIRST_DAY, LAST_DAY, Column
from chainrule.data.features import (
    Feature,
    Index,
    Levels,
    Missing,
    Ramps,
    SmoothClip,
    Value,
    Wave,
    categories_of,
)
from chainrule.export.golden import days_of
from chainrule.export.steps import Program

# Names.

_MAX_LITERAL_BYTES = 4094
"""Longest string literal that every C99 compiler accepts, without its terminator (C99, 5.2.4.1)."""


def lookup_functions(program: Program) -> dict[str, str]:
    """Return the public functions that name columns and classes and look up categories: declaration -> body."""
    functions: dict[str, str] = {}
    if program.columns is not None:
        functions |= _text_function("@_column", [column.name for column in program.columns])
        for k, column in enumerate(program.columns):
            if categories := categories_of(column):
                functions |= _category_function(k, categories)
        if any(column.source == "dates" for column in program.columns):
            functions |= _DATES
    if program.labels is not None:
        functions |= _text_function("@_label", list(map(str, program.labels))) | {
            "int @_class(const float *out)": _CLASS
        }
    return functions


def _text_function(name: str, texts: Sequence[str]) -> dict[str, str]:
    """Return a function of k that returns the k-th text, NULL where there is none."""
    table = f"static const char *const texts[] = {{{', '.join(map(_quoted, texts))}}};"
    return {f"const char *{name}(int k)": f"    {table}\n    return k >= 0 && k < {len(texts)} ? texts[k] : 0;"}


def _category_function(k: int, categories: Sequence[str]) -> dict[str, str]:
    """Return the function that returns a category's index in column k."""
    table = f"static const char *const categories[] = {{{', '.join([*map(_quoted, categories), '0'])}}};"
    return {f"@@_REAL @_category_{k}(const char *text)": f"    {table}\n    return @_find(categories, text);"}


_CLASS = """\
    int k, best = 0;
    for (k = 1; k < @@_N_OUT; k++) if (out[k] > out[best]) best = k;
    return isnan(out[0]) ? -1 : best;"""
_DATES = {
    "@@_REAL @_days(int year, int month, int day, int hour, int minute, int second)": """\
    const int y = month < 3 ? year - 1 : year, m = (month + 9) % 12;
    const int days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719469;
    return (@@_REAL)(hour * 3600 + minute * 60 + second) / 86400 + (@@_REAL)days;""",
    "@@_REAL @_days_of_unix(double seconds)": "    return (@@_REAL)(seconds / 86400);",
}


def _quoted(text: str) -> str:
    """Return a text as a UTF-8 literal, with everything special to C, and the templates' @, escaped in octal."""
    content = text.encode("utf-8", "surrogatepass")
    if len(content) > _MAX_LITERAL_BYTES:
        shown = f"{len(content):,} bytes in {text[:20]!r}..."
        raise ValueError(f"names in C must be at most {_MAX_LITERAL_BYTES:,} bytes long, got {shown}")
    plain = (chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?@' else f"\\{byte:03o}" for byte in content)
    return f'"{"".join(plain)}"'


# Cells.


CHECKS: dict[str, Callable[[Column, str], str]] = {
    "X": lambda column, x: f"!isfinite({x})",
    "numbers": lambda column, x: f"isinf({x})",
    "dates": lambda column, x: f"{x} < {FIRST_DAY} || {x} > {LAST_DAY + 1}",
    "categories": lambda column, x: f"!@_is_index({x}, {len(categories_of(column) or ())})",
}
"""From the source of a column to the condition under which a cell is not valid."""


def check(columns: Sequence[Column]) -> str:
    """Return the function that returns 0, or 1 + the index of the first cell of x that is not valid."""
    if all(column.source == "X" for column in columns):
        lines = ["int k;", f"for (k = 0; k < {len(columns)}; k++) if (!isfinite(x[k])) return k + 1;"]
    else:
        lines = [f"if ({CHECKS[column.source](column, f'x[{k}]')}) return {k + 1};" for k, column in enumerate(columns)]
    body = "\n    ".join([*lines, "return @@_OK;"])
    return f"static inline int @_check(const @@_REAL *x)\n{{\n    {body}\n}}"


def encoder(columns: Sequence[Column]) -> str:
    """Return the function that encodes a row of valid cells."""
    expressions = [expression for j, column in enumerate(columns) for expression in _expressions(column, f"x[{j}]")]
    body = "\n    ".join(f"X[{k}] = {expression};" for k, expression in enumerate(expressions))
    return f"static inline void @_encode(const @@_REAL *x, float *X)\n{{\n    {body}\n}}"


def _expressions(column: Column, x: str) -> Iterator[str]:
    """Yield the expressions of a cell's encoded columns."""
    for sentinel in column.sentinels:  # neither less nor greater, because compilers warn of comparing for equality
        x = f"({x} < {_real(sentinel)} || {x} > {_real(sentinel)} ? {x} : NAN)"
    if column.source == "categories":
        x = f"@_index({x})"
    for feature in column.features:
        part = x if feature.part in ("", "days") else f"@_{feature.part}({x})"
        yield from PRINTERS[type(feature)](feature, part)


def _real(number: float) -> str:
    return f"@@_R({number!r})"


def _levels(feature: Levels, x: str) -> Iterator[str]:
    if len(feature.categories) == 2:
        yield f"{x} == 0 ? -1.0f : {x} == 1 ? 1.0f : 0.0f"
    else:
        yield from (f"{x} == {k} ? 1.0f : 0.0f" for k in range(feature.width))


PRINTERS: dict[type[Feature], Callable[[Any, str], Iterable[str]]] = {
    Value: lambda feature, x: [f"(float){x}"],
    SmoothClip: lambda feature, x: [f"@_smooth_clip({x}, {_real(feature.center)}, {_real(feature.scale)})"],
    Ramps: lambda feature, x: [
        f"@_bin_position({x}, {_real(low)}, {_real(high)})" for low, high in pairwise(feature.edges)
    ],
    Missing: lambda feature, x: [f"isnan({x}) ? 1.0f : 0.0f"],
    Levels: _levels,
    Index: lambda feature, x: [f"(float)({x} + 1)"],
    Wave: lambda feature, x: [f"@_{wave}({x}, {feature.period})" for wave in ("sine", "cosine")],
}
"""From a kind of feature to the C expressions of its encoded columns, given that of the part of the cell."""

_HELPERS: dict[type[Feature], tuple[str, ...]] = {
    SmoothClip: ("sqrt", "smooth_clip"),
    Ramps: ("bin_position",),
    Levels: ("is_index", "index", "find"),
    Index: ("is_index", "index", "find"),
}


def required_helpers(column: Column) -> set[str]:
    """Return the functions of `helpers.h` that checking and encoding a column call."""
    helpers = {name for feature in column.features for name in _HELPERS.get(type(feature), ())}
    return helpers | ({"floor", "sin", "cos", "dates"} if column.source == "dates" else set())


def raw_rows(columns: Sequence[Column], rows: Any) -> Array:
    """Return golden rows as the header takes them."""
    return np.array([[_raw_cell(column, row[column.name]) for column in columns] for row in rows], np.float64)


def _raw_cell(column: Column, cell: Any) -> float:
    if column.source == "categories":
        (part,) = column.read(np.array([cell], object)).values()
        return -1.0 if np.isnan(part[0]) else part[0]
    number = days_of(cell) if column.source == "dates" else cell
    return nan if number is None else number
