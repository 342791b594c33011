"""The command `export`: write a model as ONNX, C or Python, and show how to use the file."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.app.options import ModelArgument, check_places, choice, one_line_errors
from chainrule.export import to_c, to_python
from chainrule.export.steps import Model
from chainrule.export.writing import Export, stem_of
from chainrule.model.file import load
from chainrule.model.predictor import Predictor


class Language(StrEnum):
    """The language of an exported model."""

    onnx = "onnx"
    c = "c"
    python = "python"


def export_command(
    model: ModelArgument,
    to: Annotated[Language, typer.Option("--to", help="Export to this language.", **choice(Language))],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the export to this file.",
            show_default="MODEL's name with .onnx, .h or .py",
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="For C: quantize the weights to 8 bits, and print the error this causes.")
    ] = False,
    pure: Annotated[bool, typer.Option("--pure", help="For Python: write a file that does not need NumPy.")] = False,
) -> None:
    """Export a model as a single file for other programs, with golden rows to test it.

    Example: `chainrule export penguins.chainrule --to c`
    """
    with one_line_errors():
        writer = _WRITERS[to]
        options = {name: True for name, requested in (("int8", int8), ("pure", pure)) if requested}
        for name in options:
            if name != writer.option:
                language = next(language for language in _WRITERS if _WRITERS[language].option == name)
                raise ValueError(f"--{name} requires --to {language}, got --to {to}")
        out = out or Path(f"{model.name.split('.')[0]}{writer.suffix}")
        check_places({"--out": out}, {"MODEL": model})
        loaded = load(model)
        exported = writer.write(loaded, out, **options)
        for line in [*_export_lines(exported), "", *writer.usage(loaded, out)]:
            typer.echo(line)


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


@dataclass(frozen=True)
class _Writer:
    """The suffix of a language's files, the functions that write one and describe its use, and the option it takes."""

    suffix: str
    write: Callable[..., Export]
    usage: Callable[[Any, Path], list[str]]
    option: str = ""


_WRITERS = {
    Language.onnx: _Writer(".onnx", _write_onnx, _onnx_usage),
    Language.c: _Writer(".h", to_c, _c_usage, "int8"),
    Language.python: _Writer(".py", to_python, _python_usage, "pure"),
}
