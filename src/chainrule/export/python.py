"""Python: a model as one file for Python 3.8 and later that requires NumPy, or nothing at all.

It reads rows as dicts, or a CSV on standard input, exactly as the encoder does, including dates and missing cells, and
provides `predict`, `predict_proba`, `predict_interval` and `predict_set`. `python FILE --test` checks the golden rows.
Parameters are stored bit for bit and nothing is folded: it computes the model's own steps in double precision.
"""

from __future__ import annotations

import ast
import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from pprint import pformat
from typing import Any

import numpy as np

import chainrule
from chainrule.data.columns import Column
from chainrule.data.targets import NumberTarget
from chainrule.export import steps as ir
from chainrule.export.golden import Golden, golden_of
from chainrule.export.schema import notes_of, schema_of
from chainrule.export.writing import Export, write
from chainrule.files.archive import Path, flatten
from chainrule.files.model import shortened
from chainrule.languages import NUMPY, PYTHON, Language
from chainrule.model.ensemble import Ensemble
from chainrule.model.quantiles import MeanAndQuantiles
from chainrule.nn.losses import CrossEntropy

_LINE_WIDTH = 120
_LARGEST_EXPONENT = 708
"""Close to the largest number whose exponential is a finite double."""


def to_python(model: ir.Model, path: Path, pure: bool = False) -> Export:
    """Write a model as one Python file, after it has reproduced the model's predictions for the golden rows.

    Parameters
    ----------
    model : Predictor, Ensemble or Network
        An ensemble or a network takes its own columns, a predictor raw cells.
    path : str or Path
    pure : bool
        Write a file that does not need NumPy. It takes fifty to a hundred times as long per row, so it suits small
        models and few rows.

    Raises
    ------
    ValueError
        If the model contains a custom layer, activation or Loss class. Nothing is written.
    """
    program, golden = ir.program_of(model, quantiles=True), golden_of(model)
    description = _describe(program, golden, ir.as_ensemble(model))
    arithmetic, language = ("pure", PYTHON) if pure else ("with_numpy", NUMPY)
    text = _source(description, _docstring(program, path), arithmetic, _functions(program, language))
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(compile(text, "exported", "exec"), namespace)  # our own generated code, tested before it is written
    difference = golden.require_close(namespace["MODEL"].difference())
    return write(path, text.encode(), len(golden.X), difference)


# The model as plain data.


def _describe(program: ir.Program, golden: Golden, ensemble: Ensemble) -> dict[str, Any]:
    """Return the model as plain lists, dicts and arrays, which the exported `fill` reads."""
    loss, scores, contrast = ensemble.loss, ensemble.scores, ensemble.contrast
    columns, target, set_limits = None, program.target, None
    rows: Any = golden.rows
    if program.columns is not None:
        columns = list(map(_describe_column, program.columns))
        rows = [[row[column["name"]] for column in columns] for row in rows]
    if isinstance(loss, CrossEntropy):
        scores, set_limits = None, None if target is None else scores
    elif isinstance(target, NumberTarget) and contrast is not None:
        contrast = contrast * np.array([np.ones(len(target.stds)), target.stds])
    elif isinstance(target, NumberTarget) and scores is not None:
        scores = scores * np.array(target.stds)  # distances from the means
    return {
        "schema": schema_of(program),
        "target": "y" if target is None else target.name,
        "labels": None if program.labels is None else list(program.labels),
        "columns": columns,
        "n_in": program.n_in,
        "members": [[_describe_step(step) for step in steps] for steps in program.members],
        "bounds": program.bounds,
        "exponential": program.exponential,
        "logits": loss.logits.tolist() if isinstance(loss, MeanAndQuantiles) else [],
        "scores": scores,
        "set_limits": set_limits,
        "contrast": contrast,
        "golden_rows": rows,
        "golden_predictions": golden.predictions,
        "golden_units": golden.units,
    }


def _describe_column(column: Column) -> dict[str, Any]:
    """Return a column's name, the source and format of its cells, and its features: kind, part, width, arguments."""
    features = []
    for feature in column.features:
        arguments = [value for name, value in vars(feature).items() if name != "part"]
        features.append([type(feature).__name__, feature.part, feature.width, *arguments])
    return {"name": column.name, "source": column.source, "format": column.format._asdict(), "features": features}


def _describe_step(step: ir.Step) -> list[Any]:
    """Return a step as its name and its arguments."""
    return _DESCRIBED[type(step)](step)


_DESCRIBED: dict[type[ir.Step], Callable[[Any], list[Any]]] = {
    ir.Affine: lambda step: ["affine", step.W.T, step.b],
    ir.AffineElementwise: lambda step: ["affine_elementwise", step.center, step.scale, step.shift],
    ir.Elementwise: lambda step: [step.function],
    ir.Normalized: lambda step: ["normalized", step.epsilon],
    ir.Softmax: lambda step: ["softmax"],
    ir.ResidualBlock: lambda step: ["residual_block", [_describe_step(inner) for inner in step.steps]],
    ir.Appended: lambda step: ["appended", [_describe_step(inner) for inner in step.steps]],
    ir.Columns: lambda step: ["columns", step.columns.tolist()],
    ir.InOrder: lambda step: ["in_order", step.block],
    ir.Rows: lambda step: ["rows", step.E, step.starts.tolist(), step.lasts.tolist()],
    ir.BlockAffine: lambda step: ["block_affine", step.W.transpose(0, 2, 1).reshape(step.width, -1), step.b.ravel()],
}


# The file.


def _docstring(program: ir.Program, path: Path) -> str:
    """Return the exported module's docstring."""
    file = os.path.basename(os.fspath(path))
    subject = "a network's outputs" if program.target is None else repr(program.target.name)
    networks = f"{len(program.members)} network{'s' * (len(program.members) > 1)}"
    notes = "".join(f"\n{note}" for note in notes_of(program))
    title = f"""\
Predict {subject[:60]} with {networks}. Generated by chainrule {chainrule.__version__}.{notes}

    python {file} < rows.csv    write one prediction per line
    python {file} --test        check the golden rows in this file

or call `predict(rows)`, `predict_proba(rows)`, `predict_set(rows, coverage)` and `predict_interval(rows, coverage)`
of this module. `schema` describes its columns and labels.
"""
    return title.replace("\\", "/").replace('"', "'")


def _source(description: Mapping[str, Any], docstring: str, arithmetic: str, functions: str) -> str:
    """Return the text of the file: docstring, modules of `standalone`, functions, description and parameters."""
    document, arrays = flatten(description)
    stored = {name: shortened(array) for name, array in arrays.items()}
    shapes = {name: [array.dtype.char, *array.shape] for name, array in stored.items()}
    described, shaped = (pformat(x, width=_LINE_WIDTH, sort_dicts=False, compact=True) for x in (document, shapes))
    encoded = b64encode(b"".join(array.tobytes() for array in stored.values())).decode()
    parameters = "\n".join(encoded[i : i + _LINE_WIDTH] for i in range(0, len(encoded), _LINE_WIDTH))
    standalone = [f"export/standalone/{name}.py" for name in ("cells", arithmetic, "predicting")]
    imports, bodies = _read_modules("data/formats.py", *standalone)
    return f'''"""{docstring}"""

from __future__ import annotations

{imports}

{bodies}

{functions}

DESCRIPTION = {described}

SHAPES = {shaped}

ARRAYS = """
{parameters}
"""

MODEL = Model(DESCRIPTION, SHAPES, ARRAYS)
schema, predict, predict_proba = MODEL.schema, MODEL.predict, MODEL.predict_proba
predict_interval, predict_set = MODEL.predict_interval, MODEL.predict_set

if __name__ == "__main__":
    sys.exit(MODEL.main(sys.argv[1:]))
'''


def _functions(program: ir.Program, language: Language) -> str:
    """Return the definitions of the program's elementwise functions, and their entries in STEPS."""
    steps = [step for member in program.members for step in ir.flattened(member)]
    names = sorted({step.function for step in steps if isinstance(step, ir.Elementwise)})
    terms = ir.functions_of(_LARGEST_EXPONENT)
    definitions = [language.define(f"elementwise_{name}", terms[name]) for name in names]
    entries = [f'STEPS["{name}"] = elementwise(elementwise_{name})' for name in names]
    return "\n\n".join([*definitions, "\n".join(entries)])


@cache
def _read_modules(*names: str) -> tuple[str, str]:
    """Return the merged and sorted external imports of modules of the package, and their joined bodies."""
    modules: set[str] = set()
    members: dict[str, set[str]] = {}
    bodies = []
    for name in names:
        text = (files("chainrule") / name).read_text("utf-8")
        statements = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in statements:
            if isinstance(node, ast.Import):
                modules.add(ast.unparse(node))
            elif node.module and not node.module.startswith((chainrule.__name__, "__future__")):
                members.setdefault(node.module, set()).update(alias.name for alias in node.names)
        bodies.append("\n".join(text.splitlines()[statements[-1].end_lineno :]).strip())
    imported = [f"from {module} import {', '.join(sorted(imports))}" for module, imports in sorted(members.items())]
    return "\n".join([*sorted(modules), *imported]), "\n\n\n".join(bodies)
