"""The command `trace`: one training step of a model on rows of a table, every number of it."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer

from chainrule.app.commands import check_places, one_line_errors
from chainrule.app.tables import read_table
from chainrule.arrays import Array
from chainrule.data.reading import missing_rows, read_columns
from chainrule.errors import TableError
from chainrule.insight.trace import trace
from chainrule.model.file import load, write_whole
from chainrule.model.predictor import Predictor
from chainrule.nn.network import Network
from chainrule.training.optimizers import OPTIMIZERS, Optimizer, as_optimizer


class Notation(StrEnum):
    """How formulas and matrices are written."""

    row = "row"
    column = "column"


def trace_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model file, of a table's model or of a network.")],
    table: Annotated[
        Path | None,
        typer.Option(help="A table that holds the target too; unless told, the one trained on, if it is there."),
    ] = None,
    row: Annotated[list[int] | None, typer.Option(min=1, help="A row, from 1; several make a batch.")] = None,
    member: Annotated[int, typer.Option(min=1, help="Which network of an ensemble, from 1.")] = 1,
    optimizer: Annotated[str, typer.Option(help=f"Whose step is shown: {', '.join(OPTIMIZERS)}.")] = "sgd",
    learning_rate: Annotated[float | None, typer.Option(help="Of the step; the optimiser's own unless told.")] = None,
    notation: Annotated[Notation, typer.Option(help="Rows and Z = X W + b, or columns and w_jk.")] = Notation.row,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page to explore.")] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX, a document's body, for amsmath.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Print the proof of every line and derivative.")] = False,
) -> None:
    """Show every quantity of one training step, forward and back, without taking it.

    A bare network takes the table's columns in their order: its inputs, then the target, a number a output or, for
    classes, a class number.

    Example: `chainrule trace penguins.chainrule --table penguins.csv --row 3 --html step.html`
    """
    with one_line_errors():
        require_one_form({"--latex": latex, "--json": as_json, "--verify": verify})
        loaded, rows = load(model), row or [1]
        table = table or trained_on(loaded, model)
        check_places({"--html": html}, {"MODEL": model, "--table": table})
        frame = read_table(table)
        chosen = frame[[check_row(number, len(frame)) for number in rows]]
        if isinstance(loaded, Predictor):
            net, X, y = network_of(loaded, member), *encoded(loaded, chosen, rows)
        else:
            net, X, y = only(loaded, member), *split(loaded, chosen)
        step = trace(net, X, y, with_rate(optimizer, learning_rate))
        if html is not None:
            page = step.to_html(notation)
            write_whole(html, lambda file: file.write(page.encode()))
        if as_json:
            typer.echo(json.dumps(step.to_dict(), indent=2))
        elif latex:
            typer.echo(step.to_latex(notation), nl=False)
        elif verify:
            typer.echo(str(step.verify()))
        elif html is None:
            typer.echo(step.to_text(notation))


def require_one_form(forms: dict[str, bool]) -> None:
    """Raise TableError when more than one form is asked for on standard output."""
    asked = [name for name, wanted in forms.items() if wanted]
    if len(asked) > 1:
        raise TableError(f"only one of {', '.join(forms)} can be printed at once, however: {' '.join(asked)}")


def trained_on(loaded: Predictor | Network, model: Path) -> Path:
    """Return the table that a model was trained on, beside its file or in the present folder, or raise TableError."""
    name = loaded.passport.get("table") if isinstance(loaded, Predictor) else None
    found = [path for path in (model.parent / str(name), Path(str(name))) if name and path.is_file()]
    if not found:
        told = f"{name} is not beside the model" if name else "the model does not tell what it was trained on"
        raise TableError(f"--table must name a table with the rows, however: none is named and {told}")
    return found[0]


def check_row(number: int, n_rows: int) -> int:
    """Return the place of a row; TableError when the table has no such row."""
    if number > n_rows:
        raise TableError(f"--row must be {n_rows:,} at most, the table's last row, however: --row {number}")
    return number - 1


def network_of(predictor: Predictor, member: int) -> Network:
    """Return a network of a predictor's ensemble, numbered from 1."""
    networks = predictor.ensemble.networks
    if member > len(networks):
        raise TableError(f"--member must be {len(networks)} at most, the ensemble's last, however: --member {member}")
    return networks[member - 1]


def only(net: Network, member: int) -> Network:
    """Return a bare network, which is the only member there is."""
    if member != 1:
        raise TableError(f"--member must be 1 for a single network, however: --member {member}")
    return net


def encoded(predictor: Predictor, frame: pl.DataFrame, rows: Sequence[int]) -> tuple[Array, Array]:
    """Return inputs and targets as a predictor's networks take them."""
    columns, target = read_columns(frame), predictor.target
    if target.name not in columns:
        raise TableError(f"--table must hold the target {target.name!r}, however: it has {', '.join(columns)}")
    missing = missing_rows(target.name, columns[target.name])
    if missing.any():
        raise TableError(
            f"the target {target.name!r} must be known, however: in row {rows[int(missing.argmax())]} it is not"
        )
    return predictor.encoder.transform(frame), target.encode(columns[target.name])


def split(net: Network, frame: pl.DataFrame) -> tuple[Array, Array]:
    """Return inputs and targets for a bare network: its first columns, and those that are left."""
    numbers = list(read_columns(frame).values())
    if len(numbers) <= net.n_in or any(column.dtype.kind not in "biuf" for column in numbers):
        raise TableError(
            f"--table must hold numbers only, {net.n_in} columns of inputs and then the target, however: "
            f"it has {len(numbers)} columns, {', '.join(frame.columns)}"
        )
    y = np.column_stack(numbers[net.n_in :])
    return np.column_stack(numbers[: net.n_in]), y[:, 0] if y.shape[1] == 1 else y


def with_rate(name: str, learning_rate: float | None) -> Optimizer:
    """Return the optimiser of that name, with this learning rate if one is given."""
    kind = type(as_optimizer(name))
    return as_optimizer(name) if learning_rate is None else kind(learning_rate)
