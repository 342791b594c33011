"""The preprocessing of a C header: the encoding of raw cells, and the names of columns, categories and classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import nan
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.data.columns import PERIODS, CategoryColumn, Column, DateColumn, NumberColumn, RawColumn
from chainrule.export.golden import days_of
from chainrule.export.steps import Program

# Names.

_MAX_LITERAL_BYTES = 4094
"""Longest string literal that every C99 compiler accepts, without its terminator (C99, 5.2.4.1)."""


def lookup_functions(program: Program) -> list[str]:
    """Return the functions that name columns and classes and look up categories."""
    functions = []
    if program.columns is not None:
        functions.append(_text_function("@_column", [column.name for column in program.columns]))
        for k, column in enumerate(program.columns):
            if isinstance(column, CategoryColumn):
                functions.append(_category_function(k, column))
    if program.labels is not None:
        functions += [_text_function("@_label", list(map(str, program.labels))), _CLASS]
    return functions


def _text_function(name: str, texts: Sequence[str]) -> str:
    """Return a function of k that returns the k-th text."""
    table = f"static const char *const texts[] = {{{', '.join(map(_quoted, texts))}}};"
    return f"static inline const char *{name}(int k)\n{{\n    {table}\n    return texts[k];\n}}"


def _category_function(k: int, column: CategoryColumn) -> str:
    """Return the function that returns a category's index in column k."""
    table = f"static const char *const categories[] = {{{', '.join([*map(_quoted, column.categories), '0'])}}};"
    body = f"    {table}\n    return @_find(categories, text);\n"
    return f"static inline float @_category_{k}(const char *text)\n{{\n{body}}}"


_CLASS = """\
static inline int @_class(const float *out)
{
    int k, best = 0;
    for (k = 1; k < @@_N_OUT; k++) if (out[k] > out[best]) best = k;
    return best;
}"""


def _quoted(text: str) -> str:
    """Return a text as a UTF-8 literal, with everything special to C, and the templates' @, escaped in octal."""
    content = text.encode("utf-8", "surrogatepass")
    if len(content) > _MAX_LITERAL_BYTES:
        shown = f"{len(content):,} bytes in {text[:20]!r}..."
        raise ValueError(f"names in C must be at most {_MAX_LITERAL_BYTES:,} bytes long, got {shown}")
    plain = (chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?@' else f"\\{byte:03o}" for byte in content)
    return f'"{"".join(plain)}"'


# Cells.


HINTS: dict[type[Column], str] = {
    CategoryColumn: '@_category_{k}("text"), -1 if missing or unseen',
    DateColumn: "days since 1970-01-01 in UTC",
}
"""What the opening comment says of columns that are not numeric."""


def encoder(columns: Sequence[Column], c_type: str) -> str:
    """Return the function that encodes a row of cells of type `c_type`."""
    lines: list[str] = []
    for j, column in enumerate(columns):
        for expression in _ENCODED[type(column)](column, f"x[{j}]"):
            lines.append(f"X[{len(lines)}] = {expression};")
    body = "\n    ".join(lines)
    return f"static inline void @_encode(const {c_type} *x, float *X)\n{{\n    {body}\n}}"


def _number_expressions(column: NumberColumn, x: str) -> Iterator[str]:
    for sentinel in column.format.sentinels:
        x = f"({x} == {sentinel!r} ? NAN : {x})"
    yield f"@_smooth_clip({x}, {column.center!r}, {column.scale!r})"
    if column.indicator:
        yield f"isnan({x}) ? 1.0f : 0.0f"
    for low, high in pairwise(column.edges):
        yield f"@_bin_position({x}, {low!r}, {high!r})"


def _category_expressions(column: CategoryColumn, x: str) -> Iterator[str]:
    if len(column.categories) == 2:
        yield f"{x} == 0 ? -1.0f : {x} == 1 ? 1.0f : 0.0f"
        return
    for k in range(len(column.categories)):
        yield f"{x} == {k} ? 1.0f : 0.0f"


def _date_expressions(column: DateColumn, x: str) -> Iterator[str]:
    for part in column.parts:
        if part in PERIODS:
            yield f"@_sine(@_{part}({x}), {PERIODS[part]})"
            yield f"@_cosine(@_{part}({x}), {PERIODS[part]})"
        elif part == "days":
            yield f"@_smooth_clip({x}, {column.days_center!r}, {column.days_scale!r})"
        else:
            yield f"@_smooth_clip(@_year({x}), {column.year_center!r}, {column.year_scale!r})"
    if column.indicator:
        yield f"isnan({x}) ? 1.0f : 0.0f"


_ENCODED: dict[type[Column], Callable[[Any, str], Iterator[str]]] = {
    NumberColumn: _number_expressions,
    RawColumn: lambda column, x: iter([f"(float){x}"]),
    DateColumn: _date_expressions,
    CategoryColumn: _category_expressions,
}
"""From a column type to the C expressions of its encoded columns, given the expression of the cell."""


REQUIRED_HELPERS: dict[type[Column], tuple[str, ...]] = {
    NumberColumn: ("smooth_clip", "bin_position"),
    RawColumn: (),
    DateColumn: ("smooth_clip", "dates"),
    CategoryColumn: ("find",),
}
"""The functions of `helpers.h` that encoding a column calls."""


def raw_rows(columns: Sequence[Column], rows: Any) -> Array:
    """Return golden rows as the header takes them."""
    table = np.empty((len(rows), len(columns)))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            cell = _RAW_CELLS[type(column)](column, row[column.name])
            table[i, j] = nan if cell is None else cell
    return table


_RAW_CELLS: dict[type[Column], Callable[[Any, Any], float | None]] = {
    NumberColumn: lambda column, cell: cell,
    RawColumn: lambda column, cell: cell,
    DateColumn: lambda column, cell: days_of(cell),
    CategoryColumn: lambda column, cell: column.categories.index(cell) if cell in column.categories else -1,
}
"""From a column type to a golden cell as the header takes it, None where missing."""
