"""What all commands share: arguments and options, their parsers, checks of paths, and the handling of errors."""

import codecs
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from warnings import catch_warnings, filterwarnings

import typer

from chainrule.app.dialects import Reading
from chainrule.app.messages import print_error
from chainrule.app.tables import STDIN, has_table_suffix, require_writable
from chainrule.errors import ChainruleError, ModelFileError, TableError, first_line, look_up
from chainrule.model.file import load
from chainrule.model.predictor import Predictor

# Parsers. A BadParameter holds the rule and the value; `chainrule.app.commands` puts the option's name before it.


def number(rule: str, fits: Callable[[float], bool], kind: type[float] = float) -> dict[str, Any]:
    """Return the arguments of `typer.Option` for a number; `rule` describes what `fits` checks."""

    def parse(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if fits(value):
                return value
        raise typer.BadParameter(f"must be {rule}, got {_shown(text)}")

    return {"parser": parse, "metavar": "N" if kind is int else "NUMBER"}


def integer(least: int) -> dict[str, Any]:
    """Return the arguments of `typer.Option` for an integer >= `least`."""
    return number(f"an integer >= {least}", lambda value: value >= least, int)


def choice(kind: type[StrEnum]) -> dict[str, Any]:
    """Return the arguments of `typer.Option` for one of the names in `kind`."""

    def parse(text: str) -> StrEnum:
        try:
            return look_up(kind.__members__, str(text), "")
        except ValueError as error:
            raise typer.BadParameter(str(error).strip()) from None

    def complete(incomplete: str) -> list[str]:
        return [name for name in kind if name.startswith(incomplete)]

    return {"parser": parse, "metavar": "|".join(kind), "autocompletion": complete}


def _separator(text: str) -> str:
    """Return the separator that an option names."""
    names = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|"}
    separator = names.get(text.lower(), text)
    if not re.fullmatch(r"[^\w.\"\r\n\0]", separator, re.ASCII) or not separator.isascii():
        raise typer.BadParameter(f"must be a single character such as ';', or 'tab' or 'space', got {text!r}")
    return separator


def _decimal(text: str) -> str:
    """Return the decimal mark that an option names."""
    if text not in (",", "."):
        raise typer.BadParameter(f"must be ',' or '.', got {text!r}")
    return text


def _encoding(text: str) -> str:
    """Return the text encoding that an option names."""
    try:
        name = codecs.lookup(text).name
        "".encode(name)  # refuses codecs of bytes, such as zip
    except (LookupError, ValueError):
        raise typer.BadParameter(f"must be a text encoding such as utf-8 or cp1252, got {text!r}") from None
    return name


def _shown(text: str) -> str:
    """Return a value as it is shown in a message: quoted, unless it is a number."""
    try:
        float(text)
    except ValueError:
        return repr(text)
    return str(text)


# Arguments and options.


class Task(StrEnum):
    """The task a target defines."""

    classification = "classification"
    regression = "regression"


class Kind(StrEnum):
    """The file format of a table."""

    csv = "csv"
    parquet = "parquet"
    arrow = "arrow"
    jsonl = "jsonl"


FileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="Table: .csv, .tsv, .csv.gz, .parquet, .arrow or .jsonl; - reads standard input."
    ),
]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file written by `chainrule train`.")]
KindOption = Annotated[
    Kind | None,
    typer.Option(
        "--format", help="Read FILE in this format.", show_default="inferred from the file name", **choice(Kind)
    ),
]
SeparatorOption = Annotated[
    str | None,
    typer.Option(
        metavar="CHARACTER",
        parser=_separator,
        help="Separator of a CSV file's fields: a character, tab or space.",
        show_default="detected",
    ),
]
DecimalOption = Annotated[
    str | None,
    typer.Option(
        metavar=",|.", parser=_decimal, help="Decimal mark of a CSV file.", show_default="detected for each column"
    ),
]
EncodingOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", parser=_encoding, help="Encoding of a CSV file, such as cp1252.", show_default="detected"
    ),
]
HeaderOption = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="The first line holds column names, or does not: they are column_1, column_2, ...",
        show_default="detected",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a single JSON object.")]


# Errors and signals.


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Report errors that the user can fix in one line on standard error, with exit status 2. SIGTERM acts as Ctrl-C."""
    with suppress(ValueError):  # handlers can be set from the main thread only
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        with catch_warnings():  # every command reports them as notices, once
            filterwarnings("ignore", r"column .* are unknown", UserWarning)
            yield
    except BrokenPipeError:
        # The reader, for example `head`, has closed the pipe. Python must not write to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ChainruleError, OSError, ValueError) as error:
        print_error(_message_of(error))
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        print_error("interrupted; nothing was written")
        raise typer.Exit(130) from None


def _message_of(error: Exception) -> str:
    """Return an error's message in one line, without the number of an OSError."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return first_line(error)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM while results are saved, so that a second Ctrl-C does not lose them."""
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}
    with suppress(ValueError):  # handlers can be set from the main thread only
        for number in before:
            signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        with suppress(ValueError):
            for number, handler in before.items():
                signal.signal(number, handler)


# Files.


def check_places(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Raise TableError if an output cannot be written, or would overwrite an input or another output."""
    taken = {path.resolve(): name for name, path in inputs.items() if path not in (None, STDIN)}
    for name, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        if place in taken:
            raise TableError(f"{name} must not be the same file as {taken[place]}, got {path} for both")
        taken[place] = name
        require_writable(path)


def reading_for(
    predictor: Predictor, separator: str | None, decimal: str | None, encoding: str | None, header: bool | None
) -> Reading:
    """Return how to read a table for a model: the user's choices, and what held for the training table."""
    trained = predictor.metadata.get("reading", {})
    names = [column.name for column in predictor.encoder.columns]
    trained = trained if isinstance(trained, dict) else {}
    return Reading(separator, decimal, encoding, header, trained, names)


def load_predictor(path: Path) -> Predictor:
    """Return the predictor in a model file."""
    if path == STDIN:
        raise ModelFileError("MODEL must be a file, got standard input. The model comes first, then the table.")
    try:
        model = load(path)
    except ModelFileError:
        if path.is_file() and has_table_suffix(path):
            raise ModelFileError(f"{path} is a table, not a model. The model comes first, then the table.") from None
        raise
    if not isinstance(model, Predictor):
        raise ModelFileError(f"{path} contains a bare network, not a model of a table. Load it in Python.")
    return model
