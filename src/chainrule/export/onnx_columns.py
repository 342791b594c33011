"""Raw cells in an ONNX graph: what encodes them, kind by kind, as `chainrule.data.columns` does column by column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.data.columns import PERIODS, CategoryColumn, Column, DateColumn, NumberColumn, RawColumn
from chainrule.export.onnx_graph import Graph, TensorProto, helper


def inputs_of(columns: Sequence[Column]) -> list[Any]:
    """Return the inputs of a table with these columns."""
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


def encode(graph: Graph, columns: Sequence[Column]) -> tuple[str, Array]:
    """Add what encodes raw cells; return its name and what takes its columns to the encoder's own, a matrix.

    The graph encodes kind by kind, the encoder column by column; and where a category's two levels are two columns
    here, they are -1 and +1 of one there.
    """
    parts, places = [], []
    ends = np.cumsum([column.n_features for column in columns]).tolist()
    starts = {column.name: end - column.n_features for column, end in zip(columns, ends)}
    for kind, encode_kind in ENCODED.items():
        of_kind = [column for column in columns if isinstance(column, kind)]
        if of_kind:
            for name, placed in encode_kind(graph, of_kind, starts):
                parts.append(name)
                places += placed
    encoded = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)
    matrix = np.zeros((len(places), ends[-1]))
    for i, (place, factor) in enumerate(places):
        matrix[i, place] = factor
    return encoded, matrix


Encoded = list[tuple[str, list[tuple[int, float]]]]
"""Names of arrays, and for each of their columns the encoder's column and the factor to take it by."""


def encode_numbers(graph: Graph, columns: Sequence[NumberColumn], starts: Mapping[str, int]) -> Encoded:
    """Add what encodes numbers: clipped, whether missing, ramps."""
    first = [starts[column.name] for column in columns]
    missing = graph.add("IsNaN", "numbers")
    z = smooth_clip(graph, "numbers", [column.center for column in columns], [column.scale for column in columns])
    encoded = [(zero_where(graph, missing, z), [(place, 1.0) for place in first])]
    encoded += indicators(graph, missing, {j: first[j] + 1 for j, column in enumerate(columns) if column.indicator})
    ramps = [(j, k, *edges) for j, column in enumerate(columns) for k, edges in enumerate(pairwise(column.edges))]
    if ramps:
        source, _, low, high = (np.array(values) for values in zip(*ramps))
        sources = graph.constant(source, np.int64)
        half = double(graph, "Mul", graph.add("Gather", "numbers", sources, axis=1), 0.5)
        share = clip(graph, double(graph, "Div", double(graph, "Sub", half, low / 2), high / 2 - low / 2), 0, 1)
        ramp = zero_where(graph, graph.add("Gather", missing, sources, axis=1), share)
        encoded.append((ramp, [(first[j] + 1 + columns[j].indicator + k, 1.0) for j, k, *_ in ramps]))
    return encoded


def take_raw(graph: Graph, columns: Sequence[RawColumn], starts: Mapping[str, int]) -> Encoded:
    """Take numbers as they are."""
    return [("X", [(starts[column.name], 1.0) for column in columns])]


def smooth_clip(graph: Graph, x: str, centres: Sequence[float], scales: Sequence[float]) -> str:
    """Add z / sqrt(1 + (z / 3)^2) with z = (x - centre) * scale."""
    z = double(graph, "Mul", double(graph, "Sub", x, centres), scales)
    z = clip(graph, z, -1e6, 1e6)
    third = double(graph, "Div", z, 3)
    return graph.add("Div", z, graph.add("Sqrt", double(graph, "Add", graph.add("Mul", third, third), 1)))


def indicators(graph: Graph, missing: str, places: Mapping[int, int]) -> Encoded:
    """Add 1 where a cell is missing; `places` are those of the columns of `missing` that are asked for."""
    if not places:
        return []
    which = graph.add("Gather", missing, graph.constant(list(places), np.int64), axis=1)
    return [(graph.add("Cast", which, to=TensorProto.FLOAT), [(place, 1.0) for place in places.values()])]


def encode_dates(graph: Graph, columns: Sequence[DateColumn], starts: Mapping[str, int]) -> Encoded:
    """Add what encodes dates, days since 1970: days and year clipped, the others as points on a circle."""
    missing = graph.add("IsNaN", "dates")
    encoded: Encoded = []
    for part, days in parts_of_dates(graph, "dates").items():
        having = [j for j, column in enumerate(columns) if part in column.parts]
        if not having:
            continue
        which = graph.constant(having, np.int64)
        numbers, holes = (graph.add("Gather", source, which, axis=1) for source in (days, missing))
        first = [starts[columns[j].name] + place_of(columns[j], part) for j in having]
        if part in PERIODS:
            angle = double(graph, "Mul", numbers, 2 * np.pi / PERIODS[part])
            waves = [graph.add("Sin", angle), graph.add("Sin", double(graph, "Add", angle, np.pi / 2))]
        else:
            scaled = [(getattr(columns[j], f"{part}_center"), getattr(columns[j], f"{part}_scale")) for j in having]
            waves = [smooth_clip(graph, numbers, *map(list, zip(*scaled)))]
        encoded += [
            (zero_where(graph, holes, wave), [(place + k, 1.0) for place in first]) for k, wave in enumerate(waves)
        ]
    last = {j: starts[column.name] + column.n_features - 1 for j, column in enumerate(columns)}
    return encoded + indicators(graph, missing, {j: last[j] for j in last if columns[j].indicator})


def place_of(column: DateColumn, part: str) -> int:
    """Return where a part begins among a date's encoded columns."""
    return sum(1 + (earlier in PERIODS) for earlier in column.parts[: column.parts.index(part)])


def parts_of_dates(graph: Graph, days: str) -> dict[str, str]:
    """Add what calendar and clock say of days since 1970; years begin in March, and 400 of them have 146097 days."""

    def floor_of(x: str, divisor: float) -> str:
        return graph.add("Floor", double(graph, "Div", x, divisor))

    def less(x: str, *others: str) -> str:
        for other in others:
            x = graph.add("Sub", x, other)
        return x

    whole = graph.add("Floor", days)
    shifted = double(graph, "Add", whole, 719468)
    era = floor_of(shifted, 146097)
    of_era = less(shifted, double(graph, "Mul", era, 146097))
    leap = graph.add("Add", less(floor_of(of_era, 1460), floor_of(of_era, 36524)), floor_of(of_era, 146096))
    year = floor_of(less(of_era, leap), 365)
    of_year = graph.add("Add", less(of_era, double(graph, "Mul", year, 365), floor_of(year, 4)), floor_of(year, 100))
    month = floor_of(double(graph, "Add", double(graph, "Mul", of_year, 5), 2), 153)
    months = graph.add("Add", double(graph, "Mul", graph.add("Add", double(graph, "Mul", era, 400), year), 12), month)
    months = double(graph, "Add", months, 2)
    since_monday = double(graph, "Add", whole, 3)
    return {
        "days": days,
        "year": floor_of(months, 12),
        "month": less(months, double(graph, "Mul", floor_of(months, 12), 12)),
        "weekday": less(since_monday, double(graph, "Mul", floor_of(since_monday, 7), 7)),
        "hour": double(graph, "Mul", less(days, whole), 24),
    }


def encode_categories(graph: Graph, columns: Sequence[CategoryColumn], starts: Mapping[str, int]) -> Encoded:
    """Add what encodes categories: a column a level, 1 where the cell is that level."""
    sources = [j for j, column in enumerate(columns) for _ in column.categories]
    levels = [level for column in columns for level in column.categories]
    cells = graph.add("Gather", "categories", graph.constant(sources, np.int64), axis=1)
    same = graph.add("Cast", graph.add("Equal", cells, graph.constant(levels, object)), to=TensorProto.FLOAT)
    places: list[tuple[int, float]] = []
    for column in columns:
        first = starts[column.name]
        two = len(column.categories) == 2
        places += [(first, -1.0), (first, 1.0)] if two else [(first + k, 1.0) for k in range(len(column.categories))]
    return [(same, places)]


ENCODED: dict[type[Column], Callable[[Graph, Any, Mapping[str, int]], Encoded]] = {
    RawColumn: take_raw,
    NumberColumn: encode_numbers,
    DateColumn: encode_dates,
    CategoryColumn: encode_categories,
}


def double(graph: Graph, operator: str, x: str, constant: Any) -> str:
    """Add an operation of doubles and a constant."""
    return graph.add(operator, x, graph.constant(constant, np.float64))


def clip(graph: Graph, x: str, low: float, high: float) -> str:
    """Add what keeps doubles within two bounds."""
    return graph.add("Clip", x, graph.constant(low, np.float64), graph.constant(high, np.float64))


def zero_where(graph: Graph, missing: str, x: str) -> str:
    """Add what is 0 where a cell is missing, else the double as a float."""
    return graph.add("Where", missing, graph.constant(0), graph.add("Cast", x, to=TensorProto.FLOAT))
