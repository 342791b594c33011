"""What every command shares: its arguments, and what it does before its work begins and when something is wrong."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from chainrule.app.say import printable
from chainrule.app.tables import STDIN, require_writable
from chainrule.errors import ChainruleError, ModelFileError, TableError, first_line
from chainrule.model.file import load
from chainrule.model.predictor import Predictor


class Task(StrEnum):
    """What a target can be."""

    classification = "classification"
    regression = "regression"


class Kind(StrEnum):
    """How a table can be written."""

    csv = "csv"
    parquet = "parquet"
    arrow = "arrow"
    jsonl = "jsonl"


FileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="A table: .csv, .tsv, .csv.gz, .parquet, .arrow or .jsonl; - is standard input."
    ),
]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="A file that `chainrule train` wrote.")]
KindOption = Annotated[Kind | None, typer.Option("--format", help="How FILE is written, where its name does not say.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a user can put right into one line on standard error and exit status 2. SIGTERM is as Ctrl-C."""
    with suppress(ValueError):  # only a program's main thread may say so
        signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except BrokenPipeError:
        # The reader, `head` perhaps, has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ChainruleError, OSError, ValueError) as error:
        typer.echo(f"chainrule: {printable(first_line(error))}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("chainrule: interrupted; no unfinished file is left", err=True)
        raise typer.Exit(130) from None


def interrupt(number: int, frame: object) -> None:
    """End the work in an orderly way."""
    raise KeyboardInterrupt


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Pass over Ctrl-C and SIGTERM while what took long to make is put away: whoever presses twice must not lose it."""
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}
    with suppress(ValueError):  # only a program's main thread may say so
        for number in before:
            signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        with suppress(ValueError):
            for number, handler in before.items():
                signal.signal(number, handler)


def check_places(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Raise TableError where an output cannot be written, or would overwrite an input or another output."""
    taken = {path.resolve(): name for name, path in inputs.items() if path not in (None, STDIN)}
    for name, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        if place in taken:
            raise TableError(f"{name} must not be the file of {taken[place]}, got both are {path}")
        taken[place] = name
        require_writable(path)


def load_predictor(path: Path) -> Predictor:
    """Return the predictor in a model file."""
    model = load(path)
    if not isinstance(model, Predictor):
        raise ModelFileError(f"{path} holds a bare network, without the table it is for; load it in Python")
    return model
