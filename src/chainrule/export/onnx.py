"""ONNX: a model as a graph of standard operators, including its preprocessing.

A network takes `X` (n, n_in), float, and returns `Y` (n, n_out). A predictor takes raw cells, with one input for each
kind of column that the table has. The file's metadata, under the key "chainrule", lists the columns of each input in
order, their categories and ranges, the classes and the golden rows. The operator set is the lowest that has all
operators: 9 for raw columns, 12 for numbers, 19 for categories that are compared.

    numbers     double (n, columns)   NaN where missing
    dates       double (n, columns)   days since 1970-01-01 in UTC; NaN where missing
    categories  string (n, columns)   "" where missing

A classifier returns `label` (n,) and `probabilities` (n, classes), without a ZipMap; a regressor returns `predictions`
(n, outputs) in the target's unit. With a coverage, a classifier also returns `contained` (n, classes), true for the
classes in the prediction set, and a regressor `low` and `high` (n, outputs), the ends of the prediction interval. A row
with a cell that is not valid, such as an infinite number, has predictions that are NaN, and as text an empty label.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import chainrule
from chainrule.arrays import Array, require
from chainrule.curves import CURVES, Z
from chainrule.errors import ModelFileError, first_line
from chainrule.export import onnx_calibration
from chainrule.export import steps as ir
from chainrule.export.calibration import intervals_of, set_limits_of
from chainrule.export.golden import TOLERANCE, Golden, days_of, golden_of, largest_difference
from chainrule.export.onnx_columns import INPUTS, add_faults, encode, inputs_of
from chainrule.export.onnx_graph import Graph, TensorProto, helper, numpy_helper, onnx, onnxruntime
from chainrule.export.schema import notes_of, schema_of
from chainrule.export.writing import Export, write
from chainrule.files.archive import Path
from chainrule.languages import expand
from chainrule.model.conformal import at_level
from chainrule.terms import Number, Symbol, Term

_KEY = "chainrule"
"""Metadata key of the columns and the golden rows."""


def to_onnx(model: ir.Model, path: Path, coverage: float | None = None) -> Export:
    """Write a model as an ONNX file, after onnxruntime has reproduced the model's predictions for the golden rows.

    Parameters
    ----------
    model : Predictor, Ensemble or Network
        An ensemble or a network takes its own columns, a predictor raw cells.
    path : str or Path
    coverage : float, optional
        Also return prediction intervals or sets with this coverage.

    Raises
    ------
    ValueError
        If the model contains a custom layer, activation or Loss class, or is not calibrated for the coverage. Nothing
        is written.
    MissingExtraError
        On import, if the extra `onnx` is not installed.
    """
    program, golden = ir.program_of(model), golden_of(model)
    program = replace(program, members=tuple(map(ir.fold, program.members)))
    calibrated = () if coverage is None else (_calibration_of(model, coverage),)
    content = _model_of(program, golden, *calibrated).SerializeToString()
    difference = golden.require_close(run_golden(content))
    return write(path, content, len(golden.X), difference)


def verify_onnx(path: Path) -> float:
    """Run a file of `to_onnx` in onnxruntime and return the largest difference on its golden rows.

    Differences are relative to the largest prediction, and absolute for probabilities. Raises ModelFileError if the
    difference exceeds 1e-5, if the file contains no golden rows, or if it is not an ONNX model.
    """
    with open(path, "rb") as file:
        difference = run_golden(file.read())
    if not difference <= TOLERANCE:
        raise ModelFileError(f"{path} does not reproduce its golden rows: largest difference {difference:.1e}")
    return difference


def run_golden(content: bytes) -> float:
    """Return the largest difference on the golden rows stored in an ONNX file with this content."""
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base class for its exceptions
        raise ModelFileError(f"not a valid ONNX model: {first_line(error)}") from None
    metadata = session.get_modelmeta().custom_metadata_map
    if _KEY not in metadata:
        raise ModelFileError("the ONNX model has no golden rows: it was not exported by chainrule")
    golden = json.loads(metadata[_KEY])["golden"]
    inputs = {name: _AS_INPUT[name](rows) for name, rows in golden["inputs"].items()}
    name = next(output.name for output in session.get_outputs() if output.name in _PREDICTIONS)
    (predictions,) = session.run([name], inputs)
    return largest_difference(predictions, np.array(golden["predictions"]), np.array(golden["units"]))


def _calibration_of(model: ir.Model, coverage: float) -> Callable[[Graph, str, str], list[Any]]:
    """Return the function that adds intervals or sets to a graph, given its encoded rows and its predictions."""
    require(0 < coverage < 1, "coverage", "be strictly between 0 and 1", coverage)
    if (limits := set_limits_of(model)) is not None:
        limit, n_classes = at_level(limits, coverage)[0], limits.shape[1] - 1
        return lambda graph, X, P: onnx_calibration.add_set(graph, P, limit, n_classes)
    intervals = intervals_of(model)
    if intervals is None:
        raise ValueError("coverage must be None for a model that was not calibrated for intervals or sets")
    return lambda graph, X, Y: onnx_calibration.add_interval(
        graph, _add_sum(graph, intervals.program, X), Y, intervals, coverage
    )


# The graph.

_PREDICTIONS = ("Y", "predictions", "probabilities")


def _model_of(
    program: ir.Program, golden: Golden, calibrated: Callable[[Graph, str, str], list[Any]] | None = None
) -> Any:
    """Return the ONNX model."""
    graph = Graph()
    if program.columns is None:
        inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", program.n_in])]
        X, to_encoded = "X", None
    else:
        inputs = inputs_of(program.columns)
        X, to_encoded = encode(graph, program.columns)
    if to_encoded is not None and not np.array_equal(to_encoded, np.eye(len(to_encoded))):
        X = graph.add("MatMul", X, graph.constant(to_encoded))
    outputs = _add_outputs(graph, program, _add_sum(graph, program, X), add_faults(graph, program.inputs))
    if calibrated is not None:
        outputs += calibrated(graph, X, outputs[-1].name)
    made = helper.make_graph(graph.nodes, "chainrule", inputs, outputs, graph.constants)
    model = helper.make_model(
        made,
        opset_imports=graph.opsets,
        ir_version=helper.find_min_ir_version_for(graph.opsets),
        producer_name="chainrule",
        producer_version=chainrule.__version__,
    )
    helper.set_model_props(model, {_KEY: json.dumps(_metadata(program, golden))})
    onnx.checker.check_model(model, full_check=True)
    return model


def _add_sum(graph: Graph, program: ir.Program, X: str) -> str:
    """Add the sum of the members' terms, within its bounds."""
    first, *others = (_add_steps(graph, steps, X) for steps in program.members)
    Y = first
    for term in others:
        Y = graph.add("Add", Y, term)
    if program.single_bounds is not None:
        Y = graph.add("Max", Y, graph.constant(program.single_bounds[0]))
        Y = graph.add("Min", Y, graph.constant(program.single_bounds[1]))
    return Y


def _add_outputs(graph: Graph, program: ir.Program, Y: str, faults: str) -> list[Any]:
    """Add the exponential and the label, if any; return the graph's outputs. Predictions are NaN where `faults` are."""
    name = "Y" if program.columns is None else "predictions" if program.labels is None else "probabilities"
    if program.exponential:
        Y = graph.add("Exp", Y)
    graph.add("Add", Y, faults, name=name)
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", program.n_out])]
    if program.labels is None:
        return outputs
    classes, top = _label_array(program), graph.add("ArgMax", name, axis=1, keepdims=1)
    if classes.dtype == object:  # an empty text where there is no answer
        top = graph.add("Where", graph.add("IsNaN", faults), graph.constant(len(classes), np.int64), top)
        classes = np.append(classes, "")
    labels = numpy_helper.from_array(classes, "labels")
    graph.constants.append(labels)
    graph.add("Gather", "labels", graph.add("Reshape", top, graph.constant([-1], np.int64)), name="label")
    return [helper.make_tensor_value_info("label", labels.data_type, ["n"]), *outputs]


def _label_array(program: ir.Program) -> Array:
    """Return the labels as strings, 64-bit integers or, if they are neither, in their own dtype."""
    classes = program.target.classes  # type: ignore[union-attr]
    return classes.astype({"U": object, "i": np.int64}.get(classes.dtype.kind, classes.dtype))


# Steps.


def _add_affine_elementwise(graph: Graph, step: ir.AffineElementwise, X: str) -> str:
    if step.center.any():
        X = graph.add("Sub", X, graph.constant(step.center))
    return graph.add("Add", graph.add("Mul", X, graph.constant(step.scale)), graph.constant(step.shift))


def _add_normalized(graph: Graph, step: ir.Normalized, X: str) -> str:
    # From elementary operators: LayerNormalization may compute the variance as E[x^2] - E[x]^2, which cancels.
    axes = graph.constant([1], np.int64)
    H = graph.add("Sub", X, graph.add("ReduceMean", X, axes))
    variance = graph.add("ReduceMean", graph.add("Mul", H, H), axes)
    return graph.add("Div", H, graph.add("Sqrt", graph.add("Add", variance, graph.constant(step.epsilon))))


def _add_steps(graph: Graph, steps: Sequence[ir.Step], X: str) -> str:
    for step in steps:
        X = _STEPS[type(step)](graph, step, X)
    return X


def _add_block_affine(graph: Graph, step: ir.BlockAffine, X: str) -> str:
    m, k, _ = step.W.shape
    blocks = graph.add("Reshape", X, graph.constant([-1, m, 1, k], np.int64))
    Y = graph.add("Add", graph.add("MatMul", blocks, graph.constant(step.W)), graph.constant(step.b[:, np.newaxis]))
    return graph.add("Reshape", Y, graph.constant([-1, step.width], np.int64))


def _add_rows(graph: Graph, step: ir.Rows, X: str) -> str:
    k = graph.add("Min", graph.add("Max", X, graph.constant(0)), graph.constant(step.lasts))
    rows = graph.add("Add", graph.add("Cast", k, to=TensorProto.INT64), graph.constant(step.starts, np.int64))
    found = graph.add("Gather", graph.constant(step.E), rows)
    return graph.add("Reshape", found, graph.constant([-1, step.width], np.int64))


_STEPS: dict[type[ir.Step], Callable[[Graph, Any, str], str]] = {
    ir.Affine: lambda graph, step, X: graph.add("Gemm", X, graph.constant(step.W), graph.constant(step.b)),
    ir.AffineElementwise: _add_affine_elementwise,
    ir.Elementwise: lambda graph, step, X: _add_function(graph, step.function, X),
    ir.Normalized: _add_normalized,
    ir.Softmax: lambda graph, step, X: graph.add("Softmax", X, axis=1),
    ir.InOrder: lambda graph, step, X: onnx_calibration.add_in_order(graph, X, step.width, step.block),
    ir.ResidualBlock: lambda graph, step, X: graph.add("Add", X, _add_steps(graph, step.steps, X)),
    ir.Appended: lambda graph, step, X: graph.add("Concat", X, _add_steps(graph, step.steps, X), axis=1),
    ir.Columns: lambda graph, step, X: graph.add("Gather", X, graph.constant(step.columns, np.int64), axis=1),
    ir.BlockAffine: _add_block_affine,
    ir.Rows: _add_rows,
}


def _add_function(graph: Graph, function: str, X: str) -> str:
    """Add a function of one number; those that ONNX has under the same name as one operator."""
    whole = CURVES[function](Z) if function in CURVES else ir.functions_of(_LARGEST_EXPONENT)[function]
    names: dict[Term, str] = {}

    def add(term: Term) -> str:
        if isinstance(term, Number):
            return graph.constant(term.number)
        if isinstance(term, Symbol):
            return X
        if term not in names:
            operator = term.note.name.title().replace("_", "") if term.op == "call" else _OPERATORS[term.op]
            names[term] = graph.add(operator, *map(add, term.args))
        return names[term]

    return add(expand(whole, ("expm1", "log1p"), _OWN_OPERATORS))


_LARGEST_EXPONENT = np.log(np.finfo(np.float32).max) - 1
_OWN_OPERATORS = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "softplus", "mish")
"""Activations that are operators of ONNX, with the same constants by default."""
_OPERATORS = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg", "exp": "Exp", "log": "Log",
    "tanh": "Tanh", "sqrt": "Sqrt", "absolute": "Abs", "maximum": "Max", "minimum": "Min", "greater": "Greater",
    "where": "Where", "cos": "Cos",
}  # fmt: skip


# Metadata and golden rows.


def _metadata(program: ir.Program, golden: Golden) -> dict[str, Any]:
    """Return the file's metadata: its schema, the columns of each input in order, and the golden rows."""
    schema = schema_of(program)
    metadata: dict[str, Any] = {"schema": schema, "notes": list(notes_of(program))}
    if program.columns is None:
        inputs: dict[str, Any] = {"X": golden.X.tolist()}
    else:
        by_input = {name: [column.name for column in program.columns if column.source == name] for name in INPUTS}
        metadata["columns"] = {name: names for name, names in by_input.items() if names}
        rows: Any = golden.rows
        inputs = {
            name: [[days_of(row[column]) if name == "dates" else row[column] for column in columns] for row in rows]
            for name, columns in metadata["columns"].items()
        }
    golden_rows = {"inputs": inputs, "predictions": golden.predictions.tolist(), "units": golden.units.tolist()}
    return metadata | {"golden": golden_rows}


_AS_INPUT: Mapping[str, Callable[[Any], Array]] = {
    "X": lambda rows: np.array(rows, np.float32),
    "numbers": lambda rows: np.array(rows, np.float64),
    "dates": lambda rows: np.array(rows, np.float64),
    "categories": lambda rows: np.array([[cell or "" for cell in row] for row in rows], object),
}
"""From an input's name to the conversion of its golden cells, None where missing, to the array that the graph takes."""
