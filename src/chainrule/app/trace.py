"""The command `trace`: show one training step of a model on rows of a table."""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from chainrule.app.options import (
    DecimalOption,
    EncodingOption,
    FileArgument,
    HeaderOption,
    KindOption,
    ModelArgument,
    SeparatorOption,
    check_places,
    choice,
    integer,
    load_predictor,
    number,
    one_line_errors,
    reading_for,
)
from chainrule.app.pipeline import split_target_for
from chainrule.app.progress import status
from chainrule.app.tables import TableFile
from chainrule.archive import write_whole
from chainrule.arrays import Array
from chainrule.data.targets import ClassTarget
from chainrule.errors import TableError
from chainrule.model.predictor import Predictor
from chainrule.nn.network import Network

if TYPE_CHECKING:
    from chainrule.insight.trace.model import Trace


class Form(StrEnum):
    """The output format of a trace."""

    text = "text"
    latex = "latex"
    html = "html"
    json = "json"


class Notation(StrEnum):
    """The convention for formulas and matrices."""

    row = "row"
    column = "column"


_WRITERS: dict[Form, Callable[["Trace", Notation], str]] = {
    Form.text: lambda step, notation: step.to_text(notation) + "\n",
    Form.latex: lambda step, notation: step.to_latex(notation),
    Form.html: lambda step, notation: step.to_html(notation),
    Form.json: lambda step, notation: json.dumps(step.to_dict()) + "\n",
}


def trace_command(
    model: ModelArgument,
    file: FileArgument,
    row: Annotated[
        list[int] | None,
        typer.Option(
            help="Trace this row, numbered from 1; repeat for a batch of several rows.", show_default="1", **integer(1)
        ),
    ] = None,
    member: Annotated[int, typer.Option(help="Trace this network of the model, numbered from 1.", **integer(1))] = 1,
    rate: Annotated[
        float,
        typer.Option(
            help="Use this learning rate for the step of gradient descent.",
            **number("a finite number > 0", lambda value: 0 < value < inf),
        ),
    ] = 0.01,
    to: Annotated[Form, typer.Option("--to", help="Write the trace in this format.", **choice(Form))] = Form.text,
    notation: Annotated[
        Notation,
        typer.Option(help="Write samples as rows (Z = X W + b), or weights by index (w_jk).", **choice(Notation)),
    ] = Notation.row,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the trace to this file.", show_default="standard output"),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Verify every line and derivative; exit with status 1 if one is wrong."),
    ] = False,
    form: KindOption = None,
    separator: SeparatorOption = None,
    decimal: DecimalOption = None,
    encoding: EncodingOption = None,
    header: HeaderOption = None,
) -> None:
    """Show every quantity in one training step on rows of a table, forward and backward. The model is not changed.

    Example: `chainrule trace penguins.chainrule penguins.csv --row 3 --to html --out step.html`
    """
    with one_line_errors():
        check_places({"--out": out}, {"MODEL": model, "FILE": file})
        predictor = load_predictor(model)
        reading = reading_for(predictor, separator, decimal, encoding, header)
        with status(f"reading {file}"):
            X, y = _encoded(predictor, TableFile(file, form, reading), row or [1])
        from chainrule.insight.trace import trace

        columns, target = predictor.encoder.get_feature_names_out().tolist(), predictor.target
        outputs = [str(label) for label in target.labels] if isinstance(target, ClassTarget) else [target.name]
        step = trace(_network_of(predictor, member), X, y, rate=rate, columns=columns, outputs=outputs)
        proof = step.verify() if verify else None
        content = _WRITERS[to](step, notation)
        if out is None:
            typer.echo(content, nl=False)
        else:
            write_whole(out, lambda output: output.write(content.encode()))
            typer.echo(f"trace  {out}", err=True)
        if proof is not None:
            typer.echo(str(proof).splitlines()[0], err=True)
            if not proof.ok:
                raise typer.Exit(1)


def _network_of(predictor: Predictor, member: int) -> Network:
    """Return a network of the predictor's ensemble, numbered from 1."""
    networks = predictor.ensemble.networks
    if member > len(networks):
        raise TableError(f"--member must be <= {len(networks)}, the number of networks, got {member}")
    return networks[member - 1]


def _encoded(predictor: Predictor, source: TableFile, numbers: Sequence[int]) -> tuple[Array, Array]:
    """Return the encoded inputs and targets of rows numbered from 1."""
    table = split_target_for(predictor, source)
    n_rows, target = len(table.values), predictor.target
    for row in numbers:
        if row > n_rows:
            raise TableError(f"--row must be <= {n_rows:,}, the number of rows, got {row}")
        if row - 1 not in table.known:
            raise TableError(f"the target {target.name!r} must be known in row {row}, got a missing value")
    part = table.part(np.array(numbers) - 1)
    return predictor.encoder.transform(part.inputs), target.encode(part.values)
