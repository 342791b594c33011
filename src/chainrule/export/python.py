"""Python: a model as one file that needs NumPy, or nothing at all, and runs from Python 3.8 on.

It reads rows as dicts, or a CSV on standard input, exactly as the encoder does, dates and missing cells included, and
answers `predict`, `predict_proba` and `predict_interval`. `python FILE --test` answers the golden rows in it. Every
number is in it as its own bits, and nothing is folded: it computes in double precision what the model does.
"""

from __future__ import annotations

import ast
import os
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pprint import pformat
from typing import Any

import numpy as np

import chainrule
from chainrule.archive import Path
from chainrule.arrays import Array
from chainrule.data.columns import as_plain
from chainrule.data.targets import NumberTarget
from chainrule.export.golden import Golden, golden_of
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
    as_ensemble,
    program_of,
)
from chainrule.export.writing import Export, write
from chainrule.model.file import shortened

WIDTH = 120


def to_python(model: Model, path: Path, pure: bool = False) -> Export:
    """Write a model as one Python file, once its golden rows have come out right.

    Parameters
    ----------
    model : Predictor, Ensemble or Network
    path : str or Path
    pure : bool
        The file needs no NumPy: for small models and few rows, at fifty to a hundred times the time a row.

    Raises
    ------
    ValueError
        When the model holds a layer, activation or Loss class of the user's own; nothing is written.
    """
    program, golden = program_of(model), golden_of(model)
    description = describe(program, golden, as_ensemble(model).residuals)
    text = source(description, title_of(program, path), "pure" if pure else "with_numpy")
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(compile(text, "exported", "exec"), namespace)  # it is our own text: the file's first run, before it is a file
    difference = golden.require_close(namespace["MODEL"].difference())
    return write(path, text.encode(), len(golden.X), difference)


# What the file says of the model.


def describe(program: Program, golden: Golden, residuals: Array | None) -> dict[str, Any]:
    """Return the model as plain lists, dicts and arrays, which the file's own `fill` reads."""
    columns, target = None, program.target
    rows: Any = golden.rows
    if program.columns is not None:
        columns = [{"kind": column.kind} | as_plain(column) for column in program.columns]
        rows = [[row[column["name"]] for column in columns] for row in rows]
    if residuals is not None and isinstance(target, NumberTarget):
        residuals = residuals * np.array(target.stds)
    return {
        "target": "y" if target is None else target.name,
        "labels": None if program.labels is None else list(program.labels),
        "columns": columns,
        "n_in": program.n_in,
        "members": [[describe_step(step) for step in steps] for steps in program.members],
        "bounds": program.bounds,
        "residuals": residuals,
        "golden_rows": rows,
        "golden_predictions": golden.predictions,
        "golden_units": golden.units,
    }


def describe_step(step: Step) -> list[Any]:
    """Return a step's name and what it takes."""
    return DESCRIBED[type(step)](step)


DESCRIBED: dict[type[Step], Callable[[Any], list[Any]]] = {
    Affine: lambda step: ["affine", step.W.T, step.b],
    Scaled: lambda step: ["scaled", step.centre, step.scale, step.shift],
    Elementwise: lambda step: [step.function],
    Normalised: lambda step: ["normalised", step.epsilon],
    Softmax: lambda step: ["softmax"],
    Around: lambda step: ["around", [describe_step(inner) for inner in step.steps]],
}


def take_out(described: Any, taken: list[bytes]) -> Any:
    """Return a description with each array told as a tuple of its kind and shape, and its bytes taken out in order."""
    if isinstance(described, np.ndarray):
        stored = shortened(described)
        taken.append(stored.tobytes())
        return (stored.dtype.char, *stored.shape)
    if isinstance(described, Mapping):
        return {name: take_out(part, taken) for name, part in described.items()}
    return [take_out(part, taken) for part in described] if isinstance(described, list) else described


# The file.


def title_of(program: Program, path: Path) -> str:
    """Return the file's first lines."""
    file = os.path.basename(os.fspath(path))
    asked = "rows of numbers" if program.target is None else f"{program.target.name!r} of rows"
    networks = f"{len(program.members)} network{'s' * (len(program.members) > 1)}"
    title = f"""\
{asked[:60]}, answered by {networks}. Written by chainrule {chainrule.__version__}.

    python {file} < rows.csv    an answer a line
    python {file} --test        answer the golden rows in this file

or `predict(rows)`, `predict_proba(rows)` and `predict_interval(rows, coverage)` of this module.
"""
    return title[0].upper() + title[1:].replace("\\", "/").replace('"', "'")


def source(description: Mapping[str, Any], title: str, arithmetic: str) -> str:
    """Return the text of the file: its title, the modules of `standalone`, the description and the numbers."""
    taken: list[bytes] = []
    described = pformat(take_out(description, taken), width=WIDTH, sort_dicts=False, compact=True)
    encoded = b64encode(b"".join(taken)).decode()
    numbers = "\n".join(encoded[i : i + WIDTH] for i in range(0, len(encoded), WIDTH))
    imports, bodies = read_modules(["cells", arithmetic, "predicting"])
    return f'''"""{title}"""

from __future__ import annotations

{imports}

{bodies}

DESCRIPTION = {described}

NUMBERS = """
{numbers}
"""

MODEL = Model(DESCRIPTION, NUMBERS)
predict, predict_proba, predict_interval = MODEL.predict, MODEL.predict_proba, MODEL.predict_interval

if __name__ == "__main__":
    sys.exit(MODEL.main(sys.argv[1:]))
'''


def read_modules(names: Sequence[str]) -> tuple[str, str]:
    """Return what modules of `standalone` import from elsewhere, sorted, and all that stands below their imports."""
    modules: set[str] = set()
    members: dict[str, set[str]] = {}
    bodies = []
    for name in names:
        text = (files("chainrule.export.standalone") / f"{name}.py").read_text("utf-8")
        statements = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in statements:
            if isinstance(node, ast.Import):
                modules.add(ast.unparse(node))
            elif node.module and not node.module.startswith((chainrule.__name__, "__future__")):
                members.setdefault(node.module, set()).update(alias.name for alias in node.names)
        bodies.append("\n".join(text.splitlines()[statements[-1].end_lineno :]).strip())
    named = [f"from {module} import {', '.join(sorted(taken))}" for module, taken in sorted(members.items())]
    return "\n".join([*sorted(modules), *named]), "\n\n\n".join(bodies)
