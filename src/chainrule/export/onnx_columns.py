"""The preprocessing of an ONNX graph: encodes raw cells as `chainrule.data.features` does, kind by kind.

Functions that add nodes to a graph return the name of the output.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.data.columns import FIRST_DAY, LAST_DAY, Column
from chainrule.data.features import Feature, Index, Levels, Missing, Ramps, SmoothClip, Value, Wave
from chainrule.export.onnx_graph import ML_DOMAIN, Graph, TensorProto, helper

INPUTS = {
    "X": TensorProto.FLOAT,
    "numbers": TensorProto.DOUBLE,
    "dates": TensorProto.DOUBLE,
    "categories": TensorProto.STRING,
}
"""From the source of columns, the name of the graph's input for their cells, to the type of its elements."""


_STRINGS = 19
"""The operator set since which strings can be compared."""


def inputs_of(columns: Sequence[Column]) -> list[Any]:
    """Return the graph inputs for a table with these columns."""
    inputs = []
    for name, element in INPUTS.items():
        names = [column.name for column in columns if column.source == name]
        if names:
            inputs.append(helper.make_tensor_value_info(name, element, ["n", len(names)], doc_string=", ".join(names)))
    return inputs


def encode(graph: Graph, columns: Sequence[Column]) -> tuple[str, Array]:
    """Add the encoding of raw cells; return its name and the matrix that maps its columns to the encoder's.

    The graph groups features by kind, while the encoder keeps the order of the table. A category with two values has
    two columns in the graph, which the matrix combines into one of -1 and +1.
    """
    encoded, targets = [], []
    parts = {source: _parts(graph, source, columns) for source in dict.fromkeys(column.source for column in columns)}
    for (source, part, kind), group in _groups(columns).items():
        places = [place for _, place, its_targets in group for _ in its_targets]
        x = graph.add("Gather", parts[source][part], graph.constant(places, np.int64), axis=1)
        encoded.append(PRINTERS[kind](graph, x, [feature for feature, _, _ in group]))
        targets += [target for _, _, its_targets in group for target in its_targets]
    matrix = np.zeros((len(targets), sum(column.n_features for column in columns)))
    for i, (j, factor) in enumerate(targets):
        matrix[i, j] = factor
    return encoded[0] if len(encoded) == 1 else graph.add("Concat", *encoded, axis=1), matrix


_Placed = tuple[Any, int, list[tuple[int, float]]]
"""A feature, the column of its input that it reads, and for each of its columns in the graph the encoder's column that
it belongs to and its factor."""


def _groups(columns: Sequence[Column]) -> dict[tuple[str, str, type[Feature]], list[_Placed]]:
    """Return the features of all columns by source, part of the cell and kind."""
    groups: dict[tuple[str, str, type[Feature]], list[_Placed]] = {}
    seen: Counter[str] = Counter()
    start = 0
    for column in columns:
        for feature in column.features:
            is_pair = isinstance(feature, Levels) and len(feature.categories) == 2
            targets = [(start, -1.0), (start, 1.0)] if is_pair else [(start + k, 1.0) for k in range(feature.width)]
            group = groups.setdefault((column.source, feature.part, type(feature)), [])
            group.append((feature, seen[column.source], targets))
            start += feature.width
        seen[column.source] += 1
    return groups


def _parts(graph: Graph, source: str, columns: Sequence[Column]) -> dict[str, str]:
    """Return the names of the parts (n, columns) of all cells of a source; a sentinel becomes NaN."""
    if source == "dates":
        return _date_fields(graph, source)
    cells = source
    for of_rank in zip_longest(*(column.sentinels for column in columns if column.source == source), fillvalue=np.nan):
        equal = graph.add("Equal", cells, graph.constant(of_rank, np.float64))
        cells = graph.add("Where", equal, graph.constant(np.nan, np.float64), cells)
    return {"": cells}


def add_faults(graph: Graph, columns: Sequence[Column]) -> str:
    """Add (n, 1): NaN for rows with a cell that is not valid, and 0 for others."""
    faults = []
    for source in dict.fromkeys(column.source for column in columns if column.source != "categories"):
        fault = _FAULTS[source](graph, source)
        width = sum(column.source == source for column in columns)
        faults.append(graph.add("MatMul", _as_float(graph, fault), graph.constant(np.ones((width, 1)))))
    if not faults:
        return graph.constant([[0.0]])
    total = faults[0]
    for fault in faults[1:]:
        total = graph.add("Add", total, fault)
    return total


def _date_faults(graph: Graph, days: str) -> str:
    """Add 0 for days within the years 1 to 9999 and for missing dates, NaN for others."""
    beyond = graph.add("Abs", graph.add("Sub", days, _clip(graph, days, FIRST_DAY, LAST_DAY + 1)))
    fault = graph.add("Sqrt", graph.add("Neg", beyond))
    return graph.add("Where", graph.add("IsNaN", days), graph.constant(0, np.float64), fault)


def _number_faults(graph: Graph, x: str) -> str:
    """Add 0 for finite numbers and missing ones, NaN for infinite ones."""
    difference = graph.add("Sub", x, x)
    return graph.add("Where", graph.add("IsNaN", x), graph.constant(0, np.float64), difference)


_FAULTS: dict[str, Callable[[Graph, str], str]] = {
    "X": lambda graph, x: graph.add("Sub", x, x),
    "numbers": _number_faults,
    "dates": _date_faults,
}


def _smooth_clip(graph: Graph, x: str, features: Sequence[SmoothClip]) -> str:
    """Add z / sqrt(1 + (z / 3)^2) with z = (x - center) * scale."""
    centered = _double(graph, "Sub", x, [feature.center for feature in features])
    z = _clip(graph, _double(graph, "Mul", centered, [feature.scale for feature in features]), -1e6, 1e6)
    third = _double(graph, "Div", z, 3)
    root = graph.add("Sqrt", _double(graph, "Add", graph.add("Mul", third, third), 1))
    return _zero_where_missing(graph, x, graph.add("Div", z, root))


def _ramps(graph: Graph, x: str, features: Sequence[Ramps]) -> str:
    edges = [bin_edges for feature in features for bin_edges in pairwise(feature.edges)]
    low, high = np.array(edges).T
    position = _double(graph, "Sub", _double(graph, "Mul", x, 0.5), low / 2)
    return _zero_where_missing(graph, x, _clip(graph, _double(graph, "Div", position, high / 2 - low / 2), 0, 1))


def _levels(graph: Graph, x: str, features: Sequence[Levels]) -> str:
    """Add a column for each category, also for two of them."""
    categories = [category for feature in features for category in feature.categories]
    return _as_float(graph, graph.add("Equal", x, graph.constant(categories, object), since=_STRINGS))


def _indices(graph: Graph, x: str, features: Sequence[Index]) -> str:
    columns = [graph.add("Gather", x, graph.constant([k], np.int64), axis=1) for k in range(len(features))]
    indices = [
        graph.add(
            "LabelEncoder",
            column,
            domain=ML_DOMAIN,
            keys_strings=feature.categories,
            values_floats=np.arange(1.0, len(feature.categories) + 1),
            default_float=0.0,
        )
        for column, feature in zip(columns, features)
    ]
    return graph.add("Concat", *indices, axis=1)


def _waves(graph: Graph, x: str, features: Sequence[Wave]) -> str:
    """Add the sine and cosine of each; the cosine is the sine of an angle that is larger by pi / 2."""
    angle = _double(graph, "Mul", x, [2 * np.pi / feature.period for feature in features for _ in range(2)])
    shifted = _double(graph, "Add", angle, [0, np.pi / 2] * len(features))
    return _zero_where_missing(graph, x, graph.add("Sin", shifted))


PRINTERS: dict[type[Feature], Callable[[Graph, str, Any], str]] = {
    Value: lambda graph, x, features: x,
    SmoothClip: _smooth_clip,
    Ramps: _ramps,
    Missing: lambda graph, x, features: _as_float(graph, graph.add("IsNaN", x)),
    Levels: _levels,
    Index: _indices,
    Wave: _waves,
}
"""From a kind of feature to the function that adds several of them side by side; x has a column for each of theirs."""


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


def _double(graph: Graph, operator: str, x: str, constant: Any) -> str:
    """Add an operation on doubles and a constant."""
    return graph.add(operator, x, graph.constant(constant, np.float64))


def _clip(graph: Graph, x: str, low: float, high: float) -> str:
    return graph.add("Clip", x, graph.constant(low, np.float64), graph.constant(high, np.float64))


def _as_float(graph: Graph, x: str) -> str:
    return graph.add("Cast", x, to=TensorProto.FLOAT)


def _zero_where_missing(graph: Graph, x: str, values: str) -> str:
    """Add the values, converted from double to float, with 0 where x is missing."""
    return graph.add("Where", graph.add("IsNaN", x), graph.constant(0), _as_float(graph, values))
