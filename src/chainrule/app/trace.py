"""The command `trace`: one training step of a model on rows of a table, every number of it."""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from chainrule.app.options import FileArgument, KindOption, ModelArgument, check_places, load_predictor, one_line_errors
from chainrule.app.pipeline import separate_for
from chainrule.app.tables import TableFile
from chainrule.archive import write_whole
from chainrule.arrays import Array
from chainrule.data.targets import ClassTarget
from chainrule.errors import TableError
from chainrule.model.predictor import Predictor
from chainrule.nn.network import Network

if TYPE_CHECKING:
    from chainrule.insight.trace import Trace


class Form(StrEnum):
    """What a trace can be written as."""

    text = "text"
    latex = "latex"
    html = "html"
    json = "json"


class Notation(StrEnum):
    """How formulas and matrices are written."""

    row = "row"
    column = "column"


FORMS: dict[Form, Callable[["Trace", Notation], str]] = {
    Form.text: lambda step, notation: step.to_text(notation) + "\n",
    Form.latex: lambda step, notation: step.to_latex(notation),
    Form.html: lambda step, notation: step.to_html(notation),
    Form.json: lambda step, notation: json.dumps(step.to_dict()) + "\n",
}


def trace_command(
    model: ModelArgument,
    file: FileArgument,
    row: Annotated[list[int] | None, typer.Option(min=1, help="A row, from 1; several make a batch.")] = None,
    member: Annotated[int, typer.Option(min=1, help="Which of the model's networks, from 1.")] = 1,
    rate: Annotated[float, typer.Option(help="The learning rate of the step, of gradient descent.")] = 0.01,
    to: Annotated[Form, typer.Option("--to", help="What to write.")] = Form.text,
    notation: Annotated[Notation, typer.Option(help="Rows and Z = X W + b, or columns and w_jk.")] = Notation.row,
    out: Annotated[Path | None, typer.Option(help="Where it goes; the terminal unless told.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Prove every line and derivative; exit status 1 if one is wrong.")
    ] = False,
    form: KindOption = None,
) -> None:
    """Show every quantity of one training step on a table's row, forward and back, without taking it.

    Example: `chainrule trace penguins.chainrule penguins.csv --row 3 --to html --out step.html`
    """
    with one_line_errors():
        check_places({"--out": out}, {"MODEL": model, "FILE": file})
        predictor = load_predictor(model)
        X, y = encoded(predictor, TableFile(file, form), row or [1])
        from chainrule.insight.trace import trace

        columns, target = predictor.encoder.get_feature_names_out().tolist(), predictor.target
        outputs = [str(label) for label in target.labels] if isinstance(target, ClassTarget) else [target.name]
        step = trace(network_of(predictor, member), X, y, rate=rate, columns=columns, outputs=outputs)
        proof = step.verify() if verify else None
        written = FORMS[to](step, notation)
        if out is None:
            typer.echo(written, nl=False)
        else:
            write_whole(out, lambda place: place.write(written.encode()))
            typer.echo(f"trace  {out}", err=True)
        if proof is not None:
            typer.echo(str(proof).splitlines()[0], err=True)
            if not proof.ok:
                raise typer.Exit(1)


def network_of(predictor: Predictor, member: int) -> Network:
    """Return a network of a predictor's ensemble, numbered from 1."""
    networks = predictor.ensemble.networks
    if member > len(networks):
        raise TableError(f"--member must be {len(networks)} at most, the model's last, got --member {member}")
    return networks[member - 1]


def encoded(predictor: Predictor, source: TableFile, numbers: Sequence[int]) -> tuple[Array, Array]:
    """Return the inputs and targets of rows, numbered from 1, as a predictor's networks take them."""
    table = separate_for(predictor, source)
    n_rows, target = len(table.values), predictor.target
    for number in numbers:
        if number > n_rows:
            raise TableError(f"--row must be {n_rows:,} at most, the table's last, got --row {number}")
        if number - 1 not in table.known:
            raise TableError(f"the target {target.name!r} must be known, got in row {number} it is not")
    part = table.part(np.array(numbers) - 1)
    return predictor.encoder.transform(part.inputs), target.encode(part.values)
