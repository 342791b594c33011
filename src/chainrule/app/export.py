"""The command `export`: write a model as ONNX, C, Python or JavaScript, and show how to use the file."""

import json
import shlex
from collections.abc import Callable
from keyword import iskeyword
from pathlib import Path
from typing import Any, NamedTuple

from chainrule.app.options import EXPORT_FLAGS, ExportOptions, Language, ReadingOptions
from chainrule.app.plan import text_columns
from chainrule.app.reporter import Reporter
from chainrule.app.results import open_table
from chainrule.app.tables import TableFile
from chainrule.export import to_c, to_js, to_python
from chainrule.export.javascript import script_name
from chainrule.export.steps import Model
from chainrule.export.writing import Export, stem_of
from chainrule.files.model import load
from chainrule.model.predictor import Predictor


def run(options: ExportOptions) -> None:
    """Write the export, and print how to use it."""
    loaded = load(options.model)
    given: dict[str, Any] = {name: value for name in EXPORT_FLAGS if (value := getattr(options, name))}
    if options.rows is not None:
        given["rows"] = read_sample(loaded, options.rows)
    write_export(loaded, options.to, options.output, f"exporting {options.model}", **given)


def write_export(model: Model, to: Language, out: Path, title: str, **given: Any) -> None:
    """Write a model in a language, and print how to use the file."""
    writer, reporter = _WRITERS[to], Reporter()
    with reporter.step(title):
        exported = writer.write(model, out, **given)
    reporter.say(*_export_lines(exported), "", *writer.usage(model, out))


def read_sample(model: Model, path: Path, options: ReadingOptions | None = None) -> Any:
    """Return the rows of a table as a model takes them."""
    if not isinstance(model, Predictor):
        return TableFile(path).read().to_numpy()
    return open_table(model, path, options or ReadingOptions()).read(text_columns(model))


def _export_lines(exported: Export) -> list[str]:
    """Return lines with the file's path and size, and how far its predictions are from the model's."""
    lines = [
        f"{exported.path}  ({exported.n_bytes / 1024:,.0f} KB)",
        f"largest difference on its {exported.n_rows} golden rows: {exported.difference:.1e}",
    ]
    if exported.loss is not None:
        ends = "" if exported.loss_of_ends is None else f", to the ends of 90% intervals: {exported.loss_of_ends:.1e}"
        lines.append(f"largest difference caused by the 8-bit weights: {exported.loss:.1e}{ends}")
    return lines


# One writer and one usage per language.


def _write_onnx(model: Model, out: Path, coverage: float | None = None) -> Export:
    from chainrule.export import to_onnx  # here, because it needs the package onnx

    return to_onnx(model, out, coverage)


def _onnx_usage(model: Model, out: Path) -> list[str]:
    inputs = ['"X": X']
    if isinstance(model, Predictor):
        sources = {column.source for column in model.encoder.columns}
        inputs = [f'"{name}": {name}' for name in ("X", "numbers", "dates", "categories") if name in sources]
    return [
        f'session = onnxruntime.InferenceSession("{out}")',
        f"session.run(None, {{{', '.join(inputs)}}})",
        f'chainrule.export.verify_onnx("{out}")  # runs the golden rows',
    ]


def _c_usage(model: Model, out: Path) -> list[str]:
    name, file = stem_of(out), shlex.quote(str(out))
    return [
        f'#include "{out.name}"',
        f"{name}_predict(x, out);",
        f"cc -std=c99 -D{name.upper()}_SELF_TEST -x c {file} -o self_test -lm && ./self_test",
    ]


def _python_usage(model: Model, out: Path) -> list[str]:
    """Return the commands, and an import, which a name that is no identifier needs a function for."""
    file, stem = shlex.quote(str(out)), out.stem
    if stem.isidentifier() and not iskeyword(stem):
        imported = f"import {stem}; {stem}.predict(rows)"
    else:
        imported = f"importlib.import_module({stem!r}).predict(rows)"
    return [f"python {file} < rows.csv", f"python {file} --test", imported]


def _js_usage(model: Model, out: Path) -> list[str]:
    if out.suffix == ".js":
        name = script_name(out)
        return ["in a page, after a <script> with the text of the file:", f"{name}.predict(row)", f"{name}.selfTest()"]
    test = f"import({json.dumps('./' + out.name)}).then((m) => console.log(m.selfTest()))"
    return [
        f"import {{ predict, predictAll }} from {json.dumps('./' + out.name)};",
        "predict({ ... });  // an object of cells",
        f"node -e {shlex.quote(test)}",
    ]


class _Writer(NamedTuple):
    """The functions that write a model in a language, and describe the use of the file."""

    write: Callable[..., Export]
    usage: Callable[[Any, Path], list[str]]


_WRITERS = {
    Language.onnx: _Writer(_write_onnx, _onnx_usage),
    Language.c: _Writer(to_c, _c_usage),
    Language.python: _Writer(to_python, _python_usage),
    Language.js: _Writer(to_js, _js_usage),
}
