"""The options of every command: one dataclass each, which knows its parsers, its help and its rules.

Nothing here is slow to import: help and usage errors come at once.
"""

import codecs
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from chainrule.app.dialects import Reading
from chainrule.app.paths import OUTPUT_KINDS, STDIN, check_places, kind_of, require_table
from chainrule.errors import ModelFileError, TableError, look_up

# Parsers. A BadParameter holds the rule and the value; `chainrule.app.commands` puts the option's name before it.


def _number(rule: str, fits: Callable[[float], bool], kind: type[float] = float) -> dict[str, Any]:
    """Return the arguments of `typer.Option` for a number; `rule` describes what `fits` checks."""

    def parse(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if fits(value):
                return value
        raise typer.BadParameter(f"must be {rule}, got {_shown(text)}")

    return {"parser": parse, "metavar": "N" if kind is int else "NUMBER"}


def _integer(least: int) -> dict[str, Any]:
    return _number(f"an integer >= {least}", lambda value: value >= least, int)


def _choice(kind: type[StrEnum]) -> dict[str, Any]:
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
    names = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|"}
    separator = names.get(text.lower(), text)
    if not re.fullmatch(r"[^\w.\"\r\n\0]", separator, re.ASCII) or not separator.isascii():
        raise typer.BadParameter(f"must be a single character such as ';', or 'tab' or 'space', got {text!r}")
    return separator


def _decimal(text: str) -> str:
    if text not in (",", "."):
        raise typer.BadParameter(f"must be ',' or '.', got {text!r}")
    return text


def _encoding(text: str) -> str:
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


# Choices, and what several commands share.


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


class Language(StrEnum):
    """The language of an exported model."""

    onnx = "onnx"
    c = "c"
    python = "python"


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


FileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="Table: .csv, .tsv, .csv.gz, .parquet, .arrow or .jsonl; - reads standard input."
    ),
]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file written by `chainrule train`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a single JSON object.")]


def _output(help_text: str, default: str) -> Any:
    return typer.Option(metavar="FILE", help=help_text, show_default=default)


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How to read a table, where that should not be detected."""

    kind: Annotated[
        Kind | None,
        typer.Option(
            "--format", help="Read FILE in this format.", show_default="inferred from the file name", **_choice(Kind)
        ),
    ] = None
    separator: Annotated[
        str | None,
        typer.Option(
            metavar="CHARACTER",
            parser=_separator,
            help="Separator of a CSV file's fields: a character, tab or space.",
            show_default="detected",
        ),
    ] = None
    decimal: Annotated[
        str | None,
        typer.Option(
            metavar=",|.", parser=_decimal, help="Decimal mark of a CSV file.", show_default="detected for each column"
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", parser=_encoding, help="Encoding of a CSV file, such as cp1252.", show_default="detected"
        ),
    ] = None
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="The first line holds column names, or does not: they are column_1, column_2, ...",
            show_default="detected",
        ),
    ] = None

    def reading(self, trained: Any = None, expected: Sequence[str] = ()) -> Reading:
        """Return how to read a table, given how the training table was written, and names of columns."""
        trained = trained if isinstance(trained, dict) else {}
        return Reading(self.separator, self.decimal, self.encoding, self.header, trained, expected)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a command. `started` is when the command began."""

    started: float = field(default_factory=perf_counter)

    def check(self) -> None:
        """Raise an error for everything that is wrong whatever the files contain."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """The options of a command that applies a model to a table."""

    model: ModelArgument
    file: FileArgument

    @property
    def output(self) -> Path | None:
        """The file to write, if any."""
        return None

    def check(self) -> None:
        if self.model == STDIN:
            raise ModelFileError("MODEL must be a file, got standard input. The model comes first, then the table.")
        check_places({"--out": self.output}, {"MODEL": self.model, "FILE": self.file})


# Commands.


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Train an ensemble of networks on a table and write a model file.

    Some rows are held out for testing. Their scores are printed next to a baseline that ignores the inputs. Ctrl-C ends
    training and keeps the best networks so far.

    Example: `chainrule train penguins.csv --target species --report penguins.html`
    """

    file: FileArgument
    target: Annotated[str, typer.Option(metavar="COLUMN", help="Predict this column.")]
    task: Annotated[
        Task | None,
        typer.Option(
            help="Treat the target as classes or as numbers.", show_default="inferred from the target", **_choice(Task)
        ),
    ] = None
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Ignore this column; repeat for several.")
    ] = None
    identifier: Annotated[
        list[str] | None,
        typer.Option(
            "--id",
            metavar="COLUMN",
            help="Treat this column as a row identifier: do not train on it, copy it to the predictions.",
        ),
    ] = None
    category: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Treat the numbers in this column as categories; repeat for several."),
    ] = None
    weight: Annotated[str | None, typer.Option(metavar="COLUMN", help="Use this column as sample weights.")] = None
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Validate and test on other groups than those trained on, such as patients; not an input.",
        ),
    ] = None
    time: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Validate and test on the latest rows by this column of dates or numbers; an input unless dropped.",
        ),
    ] = None
    test: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Test on this table instead of on rows of FILE.")
    ] = None
    test_share: Annotated[
        float | None,
        typer.Option(
            help="Hold out this fraction of FILE's rows for testing.",
            show_default="0.2",
            **_number("a number in [0.01, 0.5]", lambda value: 0.01 <= value <= 0.5),
        ),
    ] = None
    out: Annotated[Path | None, _output("Write the model to this file.", "FILE's name with .chainrule")] = None
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML report to this file.")] = None
    members: Annotated[
        int, typer.Option(help="Train this many networks; each validates on its own fold of the rows.", **_integer(2))
    ] = 5
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Train each network for at most this many epochs.",
            show_default="64, or fewer for large tables",
            **_integer(1),
        ),
    ] = None
    time_limit: Annotated[
        float | None,
        typer.Option(
            help="Finish after about this many seconds, reading, scoring and report included.",
            **_number("a number >= 1", lambda value: value >= 1),
        ),
    ] = None
    jobs: Annotated[
        int | None,
        typer.Option(help="Train this many networks in parallel.", show_default="one per processor", **_integer(1)),
    ] = None
    seed: Annotated[int, typer.Option(help="Seed the split, the initialization and the shuffling.", **_integer(0))] = 0
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save checkpoints to this file during training.")
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Resume from --checkpoint if it exists.")] = False
    table: ReadingOptions
    as_json: JsonOption = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False

    @property
    def output(self) -> Path:
        """The model file to write."""
        return self.out or Path(f"{'table' if self.file == STDIN else self.file.name.split('.')[0]}.chainrule")

    @property
    def not_inputs(self) -> list[str]:
        """The columns that options exclude from the inputs."""
        others = [name for name in (self.weight, self.group) if name is not None]
        return [*dict.fromkeys([*(self.drop or ()), *(self.identifier or ()), *others])]

    def check(self) -> None:
        if self.resume and self.checkpoint is None:
            raise ValueError("--resume requires --checkpoint FILE")
        if self.test is not None and self.test_share is not None:
            raise ValueError("--test-share cannot be combined with --test")
        if self.test is not None and self.test.exists() and self.file.exists() and self.test.samefile(self.file):
            raise TableError(f"--test must not be the same table as FILE, got {self.test} for both")
        singles = {"--group": self.group, "--time": self.time, "--weight": self.weight}
        lists = {"--drop": self.drop, "--id": self.identifier, "--category": self.category}
        for option, names in ({option: [name] for option, name in singles.items()} | lists).items():
            if self.target in (names or ()):
                remedy = ". Use --task classification." if option == "--category" else ""
                raise TableError(f"{option} must not name the target, got {self.target!r}{remedy}")
        if self.group is not None and self.group == self.time:
            raise TableError(f"--group and --time must name different columns, got {self.group!r} for both")
        outputs = {"--out": self.output, "--report": self.report, "--checkpoint": self.checkpoint}
        check_places(outputs, {"FILE": self.file, "--test": self.test})
        require_table(self.file, self.table.kind)
        if self.test is not None:
            require_table(self.test)


@dataclass(frozen=True, kw_only=True)
class PredictOptions(ModelOptions):
    """Predict every row of a table; the output has one column named after the target.

    The table must have the columns the model was trained on, in any order. It is read in batches and may be larger than
    memory.

    Example: `chainrule predict penguins.chainrule new.csv --out predictions.csv`
    """

    out: Annotated[
        Path | None,
        _output(
            "Write the predictions to this .csv, .tsv, .parquet, .arrow or .jsonl file.", "standard output, as CSV"
        ),
    ] = None
    proba: Annotated[bool, typer.Option("--proba", help="Add the probability of each class.")] = False
    interval: Annotated[
        float | None,
        typer.Option(
            help="Add prediction intervals with this coverage, such as 0.9.",
            **_number("a number in [0.001, 0.999]", lambda value: 0.001 <= value <= 0.999),
        ),
    ] = None
    identifier: Annotated[
        list[str] | None,
        typer.Option(
            "--id",
            metavar="COLUMN",
            help="Copy this column of FILE to the predictions; repeat for several.",
            show_default="the columns given to train as --id",
        ),
    ] = None
    table: ReadingOptions

    @property
    def output(self) -> Path | None:
        return self.out

    def check(self) -> None:
        if self.out is not None:
            kind_of(self.out, OUTPUT_KINDS)
        super().check()


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ModelOptions):
    """Score a model on a table that includes the target, next to a baseline that ignores the inputs.

    Example: `chainrule evaluate penguins.chainrule more.csv`
    """

    table: ReadingOptions
    as_json: JsonOption = False


@dataclass(frozen=True, kw_only=True)
class InspectOptions(Options):
    """Describe a model: its target, columns, networks, scores and training.

    Example: `chainrule inspect penguins.chainrule`
    """

    model: ModelArgument
    as_json: JsonOption = False


@dataclass(frozen=True, kw_only=True)
class ReportOptions(ModelOptions):
    """Evaluate a model on a table that includes the target, and write the results as a single HTML file.

    Example: `chainrule report penguins.chainrule more.csv --out penguins.html`
    """

    out: Annotated[Path | None, _output("Write the report to this file.", "MODEL's name with .html")] = None
    table: ReadingOptions

    @property
    def output(self) -> Path:
        return self.out or Path(f"{self.model.name.split('.')[0]}.html")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Options):
    """Export a model as a single file for other programs, with golden rows to test it.

    Example: `chainrule export penguins.chainrule --to c`
    """

    model: ModelArgument
    to: Annotated[Language, typer.Option("--to", help="Export to this language.", **_choice(Language))]
    out: Annotated[Path | None, _output("Write the export to this file.", "MODEL's name with .onnx, .h or .py")] = None
    int8: Annotated[
        bool, typer.Option("--int8", help="For C: quantize the weights to 8 bits, and print the error this causes.")
    ] = False
    pure: Annotated[bool, typer.Option("--pure", help="For Python: write a file that does not need NumPy.")] = False

    @property
    def output(self) -> Path:
        """The file to write."""
        suffixes = {Language.onnx: ".onnx", Language.c: ".h", Language.python: ".py"}
        return self.out or Path(f"{self.model.name.split('.')[0]}{suffixes[self.to]}")

    def check(self) -> None:
        for name, given, language in (("int8", self.int8, Language.c), ("pure", self.pure, Language.python)):
            if given and self.to != language:
                raise ValueError(f"--{name} requires --to {language}, got --to {self.to}")
        check_places({"--out": self.output}, {"MODEL": self.model})


@dataclass(frozen=True, kw_only=True)
class TraceOptions(ModelOptions):
    """Show every quantity in one training step on rows of a table, forward and backward. The model is not changed.

    Example: `chainrule trace penguins.chainrule penguins.csv --row 3 --to html --out step.html`
    """

    row: Annotated[
        list[int] | None,
        typer.Option(
            help="Trace this row, numbered from 1; repeat for a batch of several rows.", show_default="1", **_integer(1)
        ),
    ] = None
    member: Annotated[int, typer.Option(help="Trace this network of the model, numbered from 1.", **_integer(1))] = 1
    rate: Annotated[
        float,
        typer.Option(
            help="Use this learning rate for the step of gradient descent.",
            **_number("a finite number > 0", lambda value: 0 < value < inf),
        ),
    ] = 0.01
    to: Annotated[Form, typer.Option("--to", help="Write the trace in this format.", **_choice(Form))] = Form.text
    notation: Annotated[
        Notation,
        typer.Option(help="Write samples as rows (Z = X W + b), or weights by index (w_jk).", **_choice(Notation)),
    ] = Notation.row
    out: Annotated[Path | None, _output("Write the trace to this file.", "standard output")] = None
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Verify every line and derivative; exit with status 1 if one is wrong."),
    ] = False
    table: ReadingOptions

    @property
    def output(self) -> Path | None:
        return self.out
