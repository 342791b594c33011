"""The command `export`: a model as ONNX, C or Python, and three lines on how to use what was written."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.app.options import ModelArgument, check_places, one_line_errors
from chainrule.data.columns import CategoryColumn, DateColumn, NumberColumn, RawColumn
from chainrule.export import to_c, to_python
from chainrule.export.steps import Model
from chainrule.export.writing import Export, stem_of
from chainrule.model.file import load
from chainrule.model.predictor import Predictor


class Language(StrEnum):
    """What a model can be exported to."""

    onnx = "onnx"
    c = "c"
    python = "python"


def export_command(
    model: ModelArgument,
    to: Annotated[Language, typer.Option("--to", help="What to write.")],
    out: Annotated[
        Path | None, typer.Option(help="Where it goes; unless told, MODEL's name, .onnx, .h or .py.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="C: weights in 8 bits; what that costs is printed.")] = False,
    pure: Annotated[bool, typer.Option("--pure", help="Python: a file that needs no NumPy.")] = False,
) -> None:
    """Write a model as one file for other programs; it holds golden rows, and tests itself by them.

    Example: `chainrule export penguins.chainrule --to c`
    """
    with one_line_errors():
        writer, wanted = WRITERS[to], {name: True for name, asked in (("int8", int8), ("pure", pure)) if asked}
        for name in wanted:
            if name != writer.option:
                of = next(language for language in WRITERS if WRITERS[language].option == name)
                raise ValueError(f"--{name} must be asked of {of} only, got --to {to}")
        out = out or Path(f"{model.name.split('.')[0]}{writer.suffix}")
        check_places({"--out": out}, {"MODEL": model})
        loaded = load(model)
        written = writer.write(loaded, out, **wanted)
        for line in [*told(written), "", *writer.usage(loaded, out)]:
            typer.echo(line)


def told(written: Export) -> list[str]:
    """Return what was written, its size, and how close its answers are."""
    lines = [
        f"{written.path}  ({written.n_bytes / 1024:,.0f} KB)",
        f"greatest difference on its {written.n_rows} golden rows: {written.difference:.1e}",
    ]
    if written.loss is not None:
        lines.append(f"greatest difference that weights in 8 bits make there: {written.loss:.1e}")
    return lines


# How each is written and used.


def write_onnx(model: Model, out: Path) -> Export:
    """Write ONNX; only this loads onnx."""
    from chainrule.export import to_onnx

    return to_onnx(model, out)


def onnx_usage(model: Model, out: Path) -> list[str]:
    """Return how an ONNX file is run."""
    inputs = ['"X": X']
    if isinstance(model, Predictor):
        kinds = {type(column) for column in model.encoder.columns}
        inputs = [f'"{name}": {name}' for kind, name in NAMES.items() if kind in kinds]
    return [
        f'session = onnxruntime.InferenceSession("{out}")',
        f"session.run(None, {{{', '.join(inputs)}}})",
        f'chainrule.export.verify_onnx("{out}")  # answers the golden rows',
    ]


NAMES = {RawColumn: "X", NumberColumn: "numbers", DateColumn: "dates", CategoryColumn: "categories"}


def c_usage(model: Model, out: Path) -> list[str]:
    """Return how a C header is used."""
    name = stem_of(out)
    return [
        f'#include "{out.name}"',
        f"{name}_predict(x, out);",
        f"cc -std=c99 -D{name.upper()}_SELF_TEST -x c {out} -o self_test -lm && ./self_test",
    ]


def python_usage(model: Model, out: Path) -> list[str]:
    """Return how a Python file is run."""
    return [
        f"python {out} < rows.csv",
        f"python {out} --test",
        f"{stem_of(out)}.predict(rows), after  import {stem_of(out)}",
    ]


@dataclass(frozen=True)
class Writer:
    """How a language's file is named, written and used, and the option that it takes."""

    suffix: str
    write: Callable[..., Export]
    usage: Callable[[Any, Path], list[str]]
    option: str = ""


WRITERS = {
    Language.onnx: Writer(".onnx", write_onnx, onnx_usage),
    Language.c: Writer(".h", to_c, c_usage, "int8"),
    Language.python: Writer(".py", to_python, python_usage, "pure"),
}
