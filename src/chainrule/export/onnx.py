"""ONNX: a model as a graph of standard operators, its preprocessing inside.

A network takes `X` (n, n_in), float, and gives `Y` (n, n_out). A predictor takes raw cells, each kind only where the
table has such columns, in the order that the file's metadata tells under "chainrule", beside the golden rows:

    numbers     double (n, columns)   NaN where missing
    dates       double (n, columns)   days since 1970 began, in UTC; NaN where missing
    categories  string (n, columns)   "" where missing

It gives `label` (n,) and `probabilities` (n, classes), with no ZipMap, or `answers` (n, outputs) in the target's unit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

import chainrule
from chainrule.arrays import Array
from chainrule.data.columns import PERIODS, CategoryColumn, Column, DateColumn, NumberColumn
from chainrule.data.reading import first_line
from chainrule.errors import MissingExtraError, ModelFileError
from chainrule.export.golden import TOLERANCE, Golden, days_of, golden_of, greatest_difference
from chainrule.export.steps import (
    Affine,
    Around,
    Elementwise,
    Model,
    Normalised,
    Program,
    Scaled,
    Softmax,
    Step,
    fold,
    program_of,
)
from chainrule.export.writing import Export, write
from chainrule.model.file import Path
from chainrule.nn.activations import SELU_ALPHA, SELU_SCALE

try:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise MissingExtraError("export to ONNX", "onnx") from error

OPSET, IR_VERSION = 19, 9
"""Of December 2022: the first in which texts can be compared; onnxruntime 1.15 and later run it."""
KEY = "chainrule"
"""Under which the file's metadata holds the columns and the golden rows."""


def to_onnx(model: Model, path: Path) -> Export:
    """Write a model as an ONNX file, once onnxruntime has given the golden rows the model's answers.

    Parameters
    ----------
    model : Predictor, Ensemble or Network
        A network takes its own columns, a predictor raw cells.
    path : str or Path

    Raises
    ------
    ValueError
        When the model holds a layer or loss of the user's own; nothing is written.
    MissingExtraError
        On import, without the extra `onnx`.
    """
    program, golden = program_of(model), golden_of(model)
    program = replace(program, members=tuple(map(fold, program.members)))
    content = graph_of(program, golden).SerializeToString()
    difference = golden.require_close(run_golden(content))
    return write(path, content, len(golden.X), difference)


def verify_onnx(path: Path) -> float:
    """Return the greatest difference on the golden rows in a file of `to_onnx`, run by onnxruntime.

    Differences count in units of the largest answer, of probabilities in 1. Raises ModelFileError when it is above
    1e-5, when the file holds no golden rows, or when it is no ONNX model.
    """
    with open(path, "rb") as file:
        difference = run_golden(file.read())
    if not difference <= TOLERANCE:
        raise ModelFileError(f"{path} answers its golden rows otherwise than it should: by {difference:.1e}")
    return difference


def run_golden(content: bytes) -> float:
    """Return the greatest difference on the golden rows that an ONNX file's bytes hold."""
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each of many mistakes
        raise ModelFileError(f"the file is no ONNX model that can be run: {first_line(error)}") from None
    metadata = session.get_modelmeta().custom_metadata_map
    if KEY not in metadata:
        raise ModelFileError("the file holds no golden rows: it is no export of this library's")
    told = json.loads(metadata[KEY])["golden"]
    given = session.run(None, read_inputs(told["inputs"]))[-1]
    return greatest_difference(given, np.array(told["answers"]), np.array(told["units"]))


# The graph.


class Graph:
    """Nodes and constants under names of their own."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node, and return its output's name."""
        name = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add a constant, and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name


def graph_of(program: Program, golden: Golden) -> Any:
    """Return the ONNX model."""
    graph = Graph()
    if program.columns is None:
        inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", program.n_in])]
        X, placed = "X", None
    else:
        inputs = inputs_of(program.columns)
        X, placed = encode(graph, program.columns)
    shares = []
    for steps in program.members:
        Y = X
        for step in steps if placed is None else placed_first(steps, placed):
            Y = STEPS[type(step)](graph, step, Y)
        shares.append(Y)
    outputs = answer(graph, program, shares)
    made = helper.make_graph(graph.nodes, "chainrule", inputs, outputs, graph.constants)
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="chainrule",
        producer_version=chainrule.__version__,
    )
    helper.set_model_props(model, {KEY: json.dumps(metadata(program, golden))})
    onnx.checker.check_model(model, full_check=True)
    return model


def answer(graph: Graph, program: Program, shares: Sequence[str]) -> list[Any]:
    """Add what makes answers of the members' shares, and return the outputs."""
    name = "Y" if program.columns is None else "answers" if program.labels is None else "probabilities"
    Y = shares[0]
    for share in shares[1:]:
        Y = graph.add("Add", Y, share)
    if program.bounds is not None:
        Y = graph.add("Max", Y, graph.constant(program.bounds[0]))
        Y = graph.add("Min", Y, graph.constant(program.bounds[1]))
    graph.add("Identity", Y, name=name)
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", program.n_out])]
    if program.labels is None:
        return outputs
    labels = numpy_helper.from_array(label_array(program), "labels")
    graph.constants.append(labels)
    graph.add("Gather", "labels", graph.add("ArgMax", name, axis=1, keepdims=0), name="label")
    return [helper.make_tensor_value_info("label", labels.data_type, ["n"]), *outputs]


def label_array(program: Program) -> Array:
    """Return the labels as strings, 64-bit whole numbers, or the type that they have."""
    classes = program.target.classes  # type: ignore[union-attr]
    return classes.astype({"U": object, "i": np.int64}.get(classes.dtype.kind, classes.dtype))


# Columns.


def inputs_of(columns: Sequence[Column]) -> list[Any]:
    """Return the inputs of a table with these columns."""
    return [
        helper.make_tensor_value_info(name, element, ["n", len(names)])
        for name, (kind, element) in INPUTS.items()
        if (names := [column.name for column in columns if isinstance(column, kind)])
    ]


INPUTS: dict[str, tuple[type[Column], int]] = {
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
    ends = np.cumsum([len(column.feature_names) for column in columns]).tolist()
    starts = {column.name: end - len(column.feature_names) for column, end in zip(columns, ends)}
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
    """Add what encodes numbers: squashed, whether missing, ramps."""
    first = [starts[column.name] for column in columns]
    missing = graph.add("IsNaN", "numbers")
    z = squash(graph, "numbers", [column.centre for column in columns], [column.scale for column in columns])
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


def squash(graph: Graph, x: str, centres: Sequence[float], scales: Sequence[float]) -> str:
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
    """Add what encodes dates, days since 1970: days and year squashed, the others as points on a circle."""
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
            scaled = [(getattr(columns[j], f"{part}_centre"), getattr(columns[j], f"{part}_scale")) for j in having]
            waves = [squash(graph, numbers, *map(list, zip(*scaled)))]
        encoded += [
            (zero_where(graph, holes, wave), [(place + k, 1.0) for place in first]) for k, wave in enumerate(waves)
        ]
    last = {j: starts[column.name] + len(column.feature_names) - 1 for j, column in enumerate(columns)}
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
    sources = [j for j, column in enumerate(columns) for _ in column.levels]
    levels = [level for column in columns for level in column.levels]
    cells = graph.add("Gather", "categories", graph.constant(sources, np.int64), axis=1)
    same = graph.add("Cast", graph.add("Equal", cells, graph.constant(levels, object)), to=TensorProto.FLOAT)
    places: list[tuple[int, float]] = []
    for column in columns:
        first = starts[column.name]
        two = len(column.levels) == 2
        places += [(first, -1.0), (first, 1.0)] if two else [(first + k, 1.0) for k in range(len(column.levels))]
    return [(same, places)]


ENCODED: dict[type[Column], Callable[[Graph, Any, Mapping[str, int]], Encoded]] = {
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


def placed_first(steps: Sequence[Step], matrix: Array) -> list[Step]:
    """Return the steps for columns that the matrix takes to the encoder's: it goes into the first weights."""
    first, *rest = steps
    if isinstance(first, Affine):
        return [Affine(first.width, matrix @ first.W, first.b), *rest]
    if np.array_equal(matrix, np.eye(len(matrix))):
        return list(steps)
    return [Affine(matrix.shape[1], matrix, np.zeros(matrix.shape[1])), *steps]


# Steps.


def add_scaled(graph: Graph, step: Scaled, X: str) -> str:
    """Add (X - centre) scale + shift."""
    if step.centre.any():
        X = graph.add("Sub", X, graph.constant(step.centre))
    return graph.add("Add", graph.add("Mul", X, graph.constant(step.scale)), graph.constant(step.shift))


def add_normalised(graph: Graph, step: Normalised, X: str) -> str:
    """Add the row's normalisation, in steps: the operator for it takes a difference of squares."""
    axes = graph.constant([1], np.int64)
    H = graph.add("Sub", X, graph.add("ReduceMean", X, axes))
    variance = graph.add("ReduceMean", graph.add("Mul", H, H), axes)
    return graph.add("Div", H, graph.add("Sqrt", graph.add("Add", variance, graph.constant(step.epsilon))))


def add_around(graph: Graph, step: Around, X: str) -> str:
    """Add X + steps(X)."""
    Y = X
    for inner in step.steps:
        Y = STEPS[type(inner)](graph, inner, Y)
    return graph.add("Add", X, Y)


STEPS: dict[type[Step], Callable[[Graph, Any, str], str]] = {
    Affine: lambda graph, step, X: graph.add("Gemm", X, graph.constant(step.W), graph.constant(step.b)),
    Scaled: add_scaled,
    Elementwise: lambda graph, step, X: FUNCTIONS[step.function](graph, X),
    Normalised: add_normalised,
    Softmax: lambda graph, step, X: graph.add("Softmax", X, axis=1),
    Around: add_around,
}


def add_gelu(graph: Graph, Z: str) -> str:
    """Add Z (1 + tanh(c (Z + 0.044715 Z^3))) / 2: the operator Gelu came with a later opset."""
    cube = graph.add("Mul", graph.add("Mul", Z, Z), Z)
    inner = graph.add("Add", Z, graph.add("Mul", cube, graph.constant(0.044715)))
    T = graph.add("Tanh", graph.add("Mul", inner, graph.constant(np.sqrt(2 / np.pi))))
    return graph.add("Mul", graph.add("Mul", Z, graph.constant(0.5)), graph.add("Add", T, graph.constant(1)))


def add_exp(graph: Graph, Z: str) -> str:
    """Add exp(Z), kept below the largest float."""
    return graph.add("Exp", graph.add("Min", Z, graph.constant(np.log(np.finfo(np.float32).max) - 1)))


FUNCTIONS: dict[str, Callable[[Graph, str], str]] = {
    "sigmoid": lambda graph, Z: graph.add("Sigmoid", Z),
    "step": lambda graph, Z: graph.add("Cast", graph.add("Greater", Z, graph.constant(0)), to=TensorProto.FLOAT),
    "tanh": lambda graph, Z: graph.add("Tanh", Z),
    "relu": lambda graph, Z: graph.add("Relu", Z),
    "leaky_relu": lambda graph, Z: graph.add("LeakyRelu", Z, alpha=0.01),
    "elu": lambda graph, Z: graph.add("Elu", Z, alpha=1.0),
    "selu": lambda graph, Z: graph.add("Selu", Z, alpha=SELU_ALPHA, gamma=SELU_SCALE),
    "softplus": lambda graph, Z: graph.add("Softplus", Z),
    "silu": lambda graph, Z: graph.add("Mul", Z, graph.add("Sigmoid", Z)),
    "gelu": add_gelu,
    "mish": lambda graph, Z: graph.add("Mish", Z),
    "exp": add_exp,
}


# Golden rows.


def metadata(program: Program, golden: Golden) -> dict[str, Any]:
    """Return what the file tells of itself: its columns in order, and its golden rows."""
    told: dict[str, Any] = {"version": chainrule.__version__}
    if program.columns is None:
        inputs: dict[str, Any] = {"X": golden.X.tolist()}
    else:
        told["columns"] = {
            name: [column.name for column in program.columns if isinstance(column, kind)]
            for name, (kind, _) in INPUTS.items()
        }
        rows: Any = golden.rows
        of_date = {column.name for column in program.columns if isinstance(column, DateColumn)}
        inputs = {
            name: [[days_of(row[of]) if of in of_date else row[of] for of in names] for row in rows]
            for name, names in told["columns"].items()
            if names
        }
    if program.target is not None:
        told |= {"target": program.target.name, "task": program.target.task}
    golden_rows = {"inputs": inputs, "answers": golden.answers.tolist(), "units": golden.units.tolist()}
    return told | {"golden": golden_rows}


AS_TAKEN: dict[str, Callable[[Any], Array]] = {
    "X": lambda rows: np.array(rows, np.float32),
    "numbers": lambda rows: np.array(rows, np.float64),
    "dates": lambda rows: np.array(rows, np.float64),
    "categories": lambda rows: np.array([[cell or "" for cell in row] for row in rows], object),
}
"""Rows of plain cells, None where missing, as the graph takes them."""


def read_inputs(inputs: Mapping[str, Any]) -> dict[str, Array]:
    """Return golden rows as the graph takes them."""
    return {name: AS_TAKEN[name](rows) for name, rows in inputs.items()}
