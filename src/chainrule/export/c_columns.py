"""The preprocessing of a C header: the encoding of raw cells, and the names of columns, categories and classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from math import nan
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.data.columns import Column
from chainrule.data.features import Categorical, Feature, Index, Levels, Missing, Ramps, SmoothClip, Value, Wave
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
            functions += [_category_function(k, of.categories) for of in column.features if isinstance(of, Categorical)]
    if program.labels is not None:
        functions += [_text_function("@_label", list(map(str, program.labels))), _CLASS]
    return functions


def _text_function(name: str, texts: Sequence[str]) -> str:
    """Return a function of k that returns the k-th text."""
    table = f"static const char *const texts[] = {{{', '.join(map(_quoted, texts))}}};"
    return f"static inline const char *{name}(int k)\n{{\n    {table}\n    return texts[k];\n}}"


def _category_function(k: int, categories: Sequence[str]) -> str:
    """Return the function that returns a category's index in column k."""
    table = f"static const char *const categories[] = {{{', '.join([*map(_quoted, categories), '0'])}}};"
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


HINTS = {
    "categories": '@_category_{k}("text"), -1 if missing or unseen',
    "dates": "days since 1970-01-01 in UTC",
}
"""What the opening comment says of cells that are not numbers."""


def encoder(columns: Sequence[Column], c_type: str) -> str:
    """Return the function that encodes a row of cells of type `c_type`."""
    expressions = [expression for j, column in enumerate(columns) for expression in _expressions(column, f"x[{j}]")]
    body = "\n    ".join(f"X[{k}] = {expression};" for k, expression in enumerate(expressions))
    return f"static inline void @_encode(const {c_type} *x, float *X)\n{{\n    {body}\n}}"


def _expressions(column: Column, x: str) -> Iterator[str]:
    """Yield the expressions of a cell's encoded columns."""
    for sentinel in column.sentinels:
        x = f"({x} == {sentinel!r} ? NAN : {x})"
    for feature in column.features:
        part = x if feature.part in ("", "days") else f"@_{feature.part}({x})"
        yield from PRINTERS[type(feature)](feature, part)


def _levels(feature: Levels, x: str) -> Iterator[str]:
    if len(feature.categories) == 2:
        yield f"{x} == 0 ? -1.0f : {x} == 1 ? 1.0f : 0.0f"
    else:
        yield from (f"{x} == {k} ? 1.0f : 0.0f" for k in range(feature.width))


PRINTERS: dict[type[Feature], Callable[[Any, str], Iterable[str]]] = {
    Value: lambda feature, x: [f"(float){x}"],
    SmoothClip: lambda feature, x: [f"@_smooth_clip({x}, {feature.center!r}, {feature.scale!r})"],
    Ramps: lambda feature, x: [f"@_bin_position({x}, {low!r}, {high!r})" for low, high in pairwise(feature.edges)],
    Missing: lambda feature, x: [f"isnan({x}) ? 1.0f : 0.0f"],
    Levels: _levels,
    Index: lambda feature, x: [f"{x} >= 0 ? (float)({x} + 1) : 0.0f"],
    Wave: lambda feature, x: [f"@_{wave}({x}, {feature.period})" for wave in ("sine", "cosine")],
}
"""From a kind of feature to the C expressions of its encoded columns, given that of the part of the cell."""


def required_helpers(column: Column) -> set[str]:
    """Return the functions of `helpers.h` that encoding a column calls."""
    functions = {SmoothClip: "smooth_clip", Ramps: "bin_position", Levels: "find", Index: "find"}
    helpers = {functions[type(feature)] for feature in column.features if type(feature) in functions}
    return helpers | ({"dates"} if column.source == "dates" else set())


def raw_rows(columns: Sequence[Column], rows: Any) -> Array:
    """Return golden rows as the header takes them."""
    return np.array([[_raw_cell(column, row[column.name]) for column in columns] for row in rows], np.float64)


def _raw_cell(column: Column, cell: Any) -> float:
    if column.source == "categories":
        (part,) = column.read(np.array([cell], object)).values()
        return -1.0 if np.isnan(part[0]) else part[0]
    number = days_of(cell) if column.source == "dates" else cell
    return nan if number is None else number
