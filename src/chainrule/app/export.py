"""The command `export`: write a model as ONNX, C or Python, and show how to use the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from chainrule.app.options import ExportOptions, Language
from chainrule.app.reporter import Reporter
from chainrule.export import to_c, to_python
from chainrule.export.steps import Model
from chainrule.export.writing import Export, stem_of
from chainrule.files.model import load
from chainrule.model.predictor import Predictor


def run(options: ExportOptions) -> None:
    """Write the export, and print how to use it."""
    writer, reporter = _WRITERS[options.to], Reporter()
    given = {name: True for name in ("int8", "pure") if getattr(options, name)}
    loaded = load(options.model)
    with reporter.step(f"exporting {options.model}"):
        exported = writer.write(loaded, options.output, **given)
    reporter.say(*_export_lines(exported), "", *writer.usage(loaded, options.output))


def _export_lines(exported: Export) -> list[str]:
    """Return lines with the file's path and size, and how far its predictions are from the model's."""
    lines = [
        f"{exported.path}  ({exported.n_bytes / 1024:,.0f} KB)",
        f"largest difference on its {exported.n_rows} golden rows: {exported.difference:.1e}",
    ]
    if exported.loss is not None:
        lines.append(f"largest difference caused by the 8-bit weights: {exported.loss:.1e}")
    return lines


# One writer and one usage per language.


def _write_onnx(model: Model, out: Path) -> Export:
    from chainrule.export import to_onnx  # here, because it needs the package onnx

    return to_onnx(model, out)


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
    name = stem_of(out)
    return [
        f'#include "{out.name}"',
        f"{name}_predict(x, out);",
        f"cc -std=c99 -D{name.upper()}_SELF_TEST -x c {out} -o self_test -lm && ./self_test",
    ]


def _python_usage(model: Model, out: Path) -> list[str]:
    return [
        f"python {out} < rows.csv",
        f"python {out} --test",
        f"import {stem_of(out)}; {stem_of(out)}.predict(rows)",
    ]


class _Writer(NamedTuple):
    """The functions that write a model in a language, and describe the use of the file."""

    write: Callable[..., Export]
    usage: Callable[[Any, Path], list[str]]


_WRITERS = {
    Language.onnx: _Writer(_write_onnx, _onnx_usage),
    Language.c: _Writer(to_c, _c_usage),
    Language.python: _Writer(to_python, _python_usage),
}
