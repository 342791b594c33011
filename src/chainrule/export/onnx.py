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
from typing import Any

import numpy as np

import chainrule
from chainrule.archive import Path
from chainrule.arrays import Array
from chainrule.data.columns import DateColumn
from chainrule.errors import ModelFileError, first_line
from chainrule.export.golden import TOLERANCE, Golden, days_of, golden_of, greatest_difference
from chainrule.export.onnx_columns import INPUTS, encode, inputs_of
from chainrule.export.onnx_graph import Graph, TensorProto, helper, numpy_helper, onnx, onnxruntime
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
from chainrule.nn.activations import SELU_ALPHA, SELU_SCALE

OPSET, IR_VERSION = 19, 9
"""The first operator set in which texts can be compared, and the file version of its time."""
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
        When the model holds a layer, activation or Loss class of the user's own; nothing is written.
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
    if program.single_bounds is not None:
        Y = graph.add("Max", Y, graph.constant(program.single_bounds[0]))
        Y = graph.add("Min", Y, graph.constant(program.single_bounds[1]))
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
        by_input = {
            name: [column.name for column in program.columns if isinstance(column, kind)]
            for name, (kind, _) in INPUTS.items()
        }
        told["columns"] = {name: names for name, names in by_input.items() if names}
        rows: Any = golden.rows
        of_date = {column.name for column in program.columns if isinstance(column, DateColumn)}
        inputs = {
            name: [[days_of(row[of]) if of in of_date else row[of] for of in names] for row in rows]
            for name, names in told["columns"].items()
        }
    if program.target is not None:
        told |= {"target": program.target.name, "task": program.target.task}
    golden_rows = {"inputs": inputs, "answers": golden.predictions.tolist(), "units": golden.units.tolist()}
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
