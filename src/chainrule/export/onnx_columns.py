"""The preprocessing of an ONNX graph: encodes raw cells as `chainrule.data.columns` does, kind by kind.

Functions that add nodes to a graph return the name of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.data.columns import PERIODS, CategoryColumn, Column, DateColumn, NumberColumn, RawColumn
from chainrule.export.onnx_graph import Graph, TensorProto, helper


def inputs_of(columns: Sequence[Column]) -> list[Any]:
    """Return the graph inputs for a table with these columns."""
    return [
        helper.make_tensor_value_info(name, element, ["n", len(names)])
        for name, (kind, element) in INPUTS.items()
        if (names := [column.name for column in columns if isinstance(column, kind)])
    ]


INPUTS: dict[str, tuple[type[Column], int]] = {
    "X": (RawColumn, TensorProto.FLOAT),
    "numbers": (NumberColumn, TensorProto.DOUBLE),
    "dates": (DateColumn, TensorProto.DOUBLE),
    "categories": (CategoryColumn, TensorProto.STRING),
}
"""From the name of an input to the kind of its columns and their element type."""


def encode(graph: Graph, columns: Sequence[Column]) -> tuple[str, Array]:
    """Add the encoding of raw cells; return its name and the matrix that maps its columns to the encoder's.

    The graph groups columns by kind, while the encoder keeps the order of the table. A category with two values has two
    columns in the graph, which the matrix combines into one of -1 and +1.
    """
    parts, targets = [], []
    ends = np.cumsum([column.n_features for column in columns]).tolist()
    starts = {column.name: end - column.n_features for column, end in zip(columns, ends)}
    for kind, encode_kind in _ENCODED.items():
        of_kind = [column for column in columns if isinstance(column, kind)]
        if of_kind:
            for name, its_targets in encode_kind(graph, of_kind, starts):
                parts.append(name)
                targets += its_targets
    encoded = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)
    matrix = np.zeros((len(targets), ends[-1]))
    for i, (j, factor) in enumerate(targets):
        matrix[i, j] = factor
    return encoded, matrix


Encoded = list[tuple[str, list[tuple[int, float]]]]
"""Names of arrays, and for each of their columns the encoder's column it belongs to and its factor."""


def _encode_numbers(graph: Graph, columns: Sequence[NumberColumn], starts: Mapping[str, int]) -> Encoded:
    """Add the encoding of numbers: clipped value, missing indicator, bin positions."""
    first = [starts[column.name] for column in columns]
    numbers = _without_sentinels(graph, columns)
    missing = graph.add("IsNaN", numbers)
    z = _smooth_clip(graph, numbers, [column.center for column in columns], [column.scale for column in columns])
    encoded = [(_zero_where(graph, missing, z), [(j, 1.0) for j in first])]
    encoded += _indicators(graph, missing, {j: first[j] + 1 for j, column in enumerate(columns) if column.indicator})
    bins = [(j, k, *edges) for j, column in enumerate(columns) for k, edges in enumerate(pairwise(column.edges))]
    if bins:
        source, _, low, high = (np.array(values) for values in zip(*bins))
        sources = graph.constant(source, np.int64)
        half = _double(graph, "Mul", graph.add("Gather", numbers, sources, axis=1), 0.5)
        position = _clip(graph, _double(graph, "Div", _double(graph, "Sub", half, low / 2), high / 2 - low / 2), 0, 1)
        positions = _zero_where(graph, graph.add("Gather", missing, sources, axis=1), position)
        encoded.append((positions, [(first[j] + 1 + columns[j].indicator + k, 1.0) for j, k, *_ in bins]))
    return encoded


def _without_sentinels(graph: Graph, columns: Sequence[NumberColumn]) -> str:
    """Add NaN in place of the numbers that stand for missing values; nothing if there are none."""
    numbers = "numbers"
    for of_rank in zip_longest(*(column.format.sentinels for column in columns), fillvalue=np.nan):
        equal = graph.add("Equal", numbers, graph.constant(of_rank, np.float64))
        numbers = graph.add("Where", equal, graph.constant(np.nan, np.float64), numbers)
    return numbers


def _pass_through(graph: Graph, columns: Sequence[RawColumn], starts: Mapping[str, int]) -> Encoded:
    return [("X", [(starts[column.name], 1.0) for column in columns])]


def _smooth_clip(graph: Graph, x: str, centers: Sequence[float], scales: Sequence[float]) -> str:
    """Add z / sqrt(1 + (z / 3)^2) with z = (x - center) * scale."""
    z = _double(graph, "Mul", _double(graph, "Sub", x, centers), scales)
    z = _clip(graph, z, -1e6, 1e6)
    third = _double(graph, "Div", z, 3)
    return graph.add("Div", z, graph.add("Sqrt", _double(graph, "Add", graph.add("Mul", third, third), 1)))


def _indicators(graph: Graph, missing: str, targets: Mapping[int, int]) -> Encoded:
    """Add 1 where a cell is missing; `targets` maps columns of `missing` to columns of the encoder."""
    if not targets:
        return []
    selected = graph.add("Gather", missing, graph.constant(list(targets), np.int64), axis=1)
    return [(graph.add("Cast", selected, to=TensorProto.FLOAT), [(j, 1.0) for j in targets.values()])]


def _encode_dates(graph: Graph, columns: Sequence[DateColumn], starts: Mapping[str, int]) -> Encoded:
    """Add the encoding of dates, days since 1970: clipped days and year, periodic fields as sine and cosine."""
    missing = graph.add("IsNaN", "dates")
    encoded: Encoded = []
    for part, values in _date_fields(graph, "dates").items():
        having = [j for j, column in enumerate(columns) if part in column.parts]
        if not having:
            continue
        selected = graph.constant(having, np.int64)
        field, its_missing = (graph.add("Gather", source, selected, axis=1) for source in (values, missing))
        first = [starts[columns[j].name] + _offset_of(columns[j], part) for j in having]
        if part in PERIODS:
            angle = _double(graph, "Mul", field, 2 * np.pi / PERIODS[part])
            features = [graph.add("Sin", angle), graph.add("Sin", _double(graph, "Add", angle, np.pi / 2))]
        else:
            scaling = [(getattr(columns[j], f"{part}_center"), getattr(columns[j], f"{part}_scale")) for j in having]
            features = [_smooth_clip(graph, field, *map(list, zip(*scaling)))]
        encoded += [
            (_zero_where(graph, its_missing, feature), [(j + k, 1.0) for j in first])
            for k, feature in enumerate(features)
        ]
    last = {j: starts[column.name] + column.n_features - 1 for j, column in enumerate(columns)}
    return encoded + _indicators(graph, missing, {j: last[j] for j in last if columns[j].indicator})


def _offset_of(column: DateColumn, part: str) -> int:
    """Return the offset of a field among the encoded columns of a date."""
    return sum(1 + (earlier in PERIODS) for earlier in column.parts[: column.parts.index(part)])


def _date_fields(graph: Graph, days: str) -> dict[str, str]:
    """Add the calendar and clock fields of days since 1970; years begin in March, and 400 years have 146097 days."""

    def floor_divide(x: str, divisor: float) -> str:
        return graph.add("Floor", _double(graph, "Div", x, divisor))

    def subtract(x: str, *others: str) -> str:
        for other in others:
            x = graph.add("Sub", x, other)
        return x

    whole = graph.add("Floor", days)
    shifted = _double(graph, "Add", whole, 719468)
    era = floor_divide(shifted, 146097)
    of_era = subtract(shifted, _double(graph, "Mul", era, 146097))
    leap = graph.add(
        "Add", subtract(floor_divide(of_era, 1460), floor_divide(of_era, 36524)), floor_divide(of_era, 146096)
    )
    year = floor_divide(subtract(of_era, leap), 365)
    of_year = graph.add(
        "Add", subtract(of_era, _double(graph, "Mul", year, 365), floor_divide(year, 4)), floor_divide(year, 100)
    )
    month = floor_divide(_double(graph, "Add", _double(graph, "Mul", of_year, 5), 2), 153)
    years = graph.add("Add", _double(graph, "Mul", era, 400), year)
    months = graph.add("Add", _double(graph, "Mul", years, 12), month)
    months = _double(graph, "Add", months, 2)
    since_monday = _double(graph, "Add", whole, 3)
    return {
        "days": days,
        "year": floor_divide(months, 12),
        "month": subtract(months, _double(graph, "Mul", floor_divide(months, 12), 12)),
        "weekday": subtract(since_monday, _double(graph, "Mul", floor_divide(since_monday, 7), 7)),
        "hour": _double(graph, "Mul", subtract(days, whole), 24),
    }


def _encode_categories(graph: Graph, columns: Sequence[CategoryColumn], starts: Mapping[str, int]) -> Encoded:
    """Add the one-hot encoding of categories."""
    sources = [j for j, column in enumerate(columns) for _ in column.categories]
    categories = [category for column in columns for category in column.categories]
    cells = graph.add("Gather", "categories", graph.constant(sources, np.int64), axis=1)
    equal = graph.add("Cast", graph.add("Equal", cells, graph.constant(categories, object)), to=TensorProto.FLOAT)
    targets: list[tuple[int, float]] = []
    for column in columns:
        first = starts[column.name]
        binary = len(column.categories) == 2
        targets += (
            [(first, -1.0), (first, 1.0)] if binary else [(first + k, 1.0) for k in range(len(column.categories))]
        )
    return [(equal, targets)]


_ENCODED: dict[type[Column], Callable[[Graph, Any, Mapping[str, int]], Encoded]] = {
    RawColumn: _pass_through,
    NumberColumn: _encode_numbers,
    DateColumn: _encode_dates,
    CategoryColumn: _encode_categories,
}
"""From a kind of column to the function that adds its encoding, given the first encoded column of each column."""


def _double(graph: Graph, operator: str, x: str, constant: Any) -> str:
    """Add an operation on doubles and a constant."""
    return graph.add(operator, x, graph.constant(constant, np.float64))


def _clip(graph: Graph, x: str, low: float, high: float) -> str:
    return graph.add("Clip", x, graph.constant(low, np.float64), graph.constant(high, np.float64))


def _zero_where(graph: Graph, missing: str, x: str) -> str:
    """Add x, converted from double to float, with 0 where a cell is missing."""
    return graph.add("Where", missing, graph.constant(0), graph.add("Cast", x, to=TensorProto.FLOAT))
