"""The options of every command: one dataclass each, which knows its parsers, its help and its rules.

Nothing here is slow to import: help and usage errors come at once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from inspect import cleandoc
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from chainrule.app import parsers
from chainrule.app.dialects import Reading, names_in
from chainrule.app.paths import FIGURE_KINDS, OUTPUT_KINDS, STDIN, check_places, kind_of, require_model, require_table
from chainrule.errors import ModelFileError, TableError, require_names

# Choices, and what several commands share.


Task = StrEnum("Task", ["classification", "regression"])
Kind = StrEnum("Kind", ["csv", "parquet", "arrow", "jsonl"])
Quality = StrEnum("Quality", ["fast", "default", "best"])
Language = StrEnum("Language", ["onnx", "c", "python", "js"])
Form = StrEnum("Form", ["text", "latex", "html", "json"])
Notation = StrEnum("Notation", ["row", "column"])


def help_text(text: str) -> str:
    """Return a text with `code` in backticks, and paragraphs of any number of lines, in the markup of rich."""
    paragraphs = re.sub(r"(?<!\n)\n(?!\n)", " ", cleandoc(text)).replace("[", r"\[")
    return re.sub("`(.+?)`", r"[bold cyan on black]\1[/]", paragraphs)


def _option(text: str, *names: str, default: str | bool = True, **settings: Any) -> Any:
    """Return an option; `default` describes its default value, where that is not shown as it is."""
    return typer.Option(*names, help=help_text(text), show_default=default, **settings)


_TABLE = "Table: .csv, .tsv, .csv.gz, .parquet, .arrow or .jsonl, or a folder of them; - reads standard input."
_FILE: Any = {"metavar": "FILE"}
_COLUMN: Any = {"metavar": "COLUMN"}
_FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help=_TABLE)]
_ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help=help_text("Model file written by `chainrule train`."))
]
_JsonOption = Annotated[bool, _option("Print a single JSON object.", "--json")]
_Names = list[str] | None


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How to read a table, where that should not be detected."""

    kind: Annotated[
        Kind | None,
        _option("Read FILE in this format.", "--format", default="inferred from the file name", **parsers.choice(Kind)),
    ] = None
    separator: Annotated[
        str | None,
        _option(
            "Separator of a CSV file's fields: a character, tab or space.",
            default="detected",
            metavar="CHARACTER",
            parser=parsers.separator,
        ),
    ] = None
    decimal: Annotated[
        str | None,
        _option(
            "Decimal mark of a CSV file.", default="detected for each column", metavar=",|.", parser=parsers.decimal
        ),
    ] = None
    encoding: Annotated[
        str | None,
        _option("Encoding of a CSV file, such as cp1252.", default="detected", metavar="NAME", parser=parsers.encoding),
    ] = None
    header: Annotated[
        bool | None,
        _option(
            "The first line holds column names, or does not: they are column_1, column_2, ...",
            "--header/--no-header",
            default="detected",
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
class _ModelOptions(Options):
    model: _ModelArgument
    file: _FileArgument

    @property
    def output(self) -> Path | None:
        """The file to write, if any."""
        return getattr(self, "out", None)

    def check(self) -> None:
        if self.model == STDIN:
            raise ModelFileError("MODEL must be a file, got standard input. The model comes first, then the table.")
        check_places({"--out": self.output}, {"MODEL": self.model, "FILE": self.file})
        require_model(self.model)
        require_table(self.file, getattr(self, "table", ReadingOptions()).kind)


# Commands.


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Train an ensemble of networks on a table and write a model file.

    Some rows are held out for testing. Their scores are printed next to a baseline that ignores the inputs. Ctrl-C ends
    training and keeps the best networks so far.

    Example: `chainrule train penguins.csv --target species --report penguins.html`
    """

    file: _FileArgument
    target: Annotated[str, _option("Predict this column.", **_COLUMN)]
    task: Annotated[
        Task | None,
        _option(
            "Treat the target as classes or as numbers.", default="inferred from the target", **parsers.choice(Task)
        ),
    ] = None
    drop: Annotated[_Names, _option("Ignore this column; repeat for several.", **_COLUMN)] = None
    identifier: Annotated[
        _Names,
        _option(
            "Treat this column as a row identifier: do not train on it, copy it to the predictions.", "--id", **_COLUMN
        ),
    ] = None
    category: Annotated[
        _Names, _option("Treat the numbers in this column as categories; repeat for several.", **_COLUMN)
    ] = None
    weight: Annotated[str | None, _option("Use this column as sample weights.", **_COLUMN)] = None
    group: Annotated[
        str | None,
        _option("Validate and test on other groups than those trained on, such as patients; not an input.", **_COLUMN),
    ] = None
    time: Annotated[
        str | None,
        _option(
            "Validate and test on the latest rows by this column of dates or numbers; an input unless dropped.",
            **_COLUMN,
        ),
    ] = None
    test: Annotated[Path | None, _option("Test on this table instead of on rows of FILE.", **_FILE)] = None
    test_share: Annotated[
        float | None,
        _option(
            "Hold out this fraction of FILE's rows for testing.",
            default="0.2",
            **parsers.number("a number in [0.01, 0.5]", lambda value: 0.01 <= value <= 0.5),
        ),
    ] = None
    out: Annotated[
        Path | None, _option("Write the model to this file.", default="FILE's name with .chainrule", **_FILE)
    ] = None
    report: Annotated[Path | None, _option("Write an HTML report to this file.", **_FILE)] = None
    baselines: Annotated[
        bool,
        _option(
            "Compare with a linear and a gradient-boosted model in the report, if scikit-learn is installed.",
            "--baselines/--no-baselines",
        ),
    ] = True
    keep_command: Annotated[
        bool, _option("Store this command in the model file, without directories.", "--keep-command")
    ] = False
    goal: Annotated[
        str | None,
        _option(
            "For two classes: choose the threshold of the second for this goal: f1, balanced, recall=0.9, "
            "precision=0.9, or cost=5:1 if to miss it costs 5 times as much as a false alarm.",
            default="balanced",
            metavar="GOAL",
            parser=parsers.goal,
        ),
    ] = None
    quality: Annotated[
        Quality,
        _option("Train for a short time, the default one, or a long one.", **parsers.choice(Quality)),
    ] = Quality.default
    folds: Annotated[
        int | None,
        _option(
            "Split the rows into this many folds; on each, networks are trained that hold it out.",
            default="5, or 3 with --quality fast",
            **parsers.integer(2),
        ),
    ] = None
    hidden: Annotated[
        str | None,
        _option(
            "Use hidden layers of these sizes, such as 128,128.",
            default="128,128,128",
            metavar="N,N,...",
            parser=parsers.sizes,
        ),
    ] = None
    activation: Annotated[
        str | None,
        _option("Use this activation.", default="selu, or mish for numbers", metavar="NAME", parser=parsers.activation),
    ] = None
    learning_rate: Annotated[
        float | None,
        _option(
            "Start from this learning rate.",
            default="0.04, or 0.07 for numbers",
            **parsers.number("a number > 0", lambda value: value > 0),
        ),
    ] = None
    dropout: Annotated[
        float | None,
        _option(
            "Zero this fraction of each hidden layer's outputs in training.",
            default="0",
            **parsers.number("a number in [0, 0.9]", lambda value: 0 <= value <= 0.9),
        ),
    ] = None
    weight_decay: Annotated[
        float | None,
        _option(
            "Decay weights by this much times the learning rate in each step.",
            default="0",
            **parsers.number("a number >= 0", lambda value: value >= 0),
        ),
    ] = None
    batch_size: Annotated[
        int | None, _option("Use batches of this many rows.", default="32 to 256, by the rows", **parsers.integer(1))
    ] = None
    epochs: Annotated[
        int | None,
        _option(
            "Train each network for at most this many epochs.",
            default="64, or fewer for large tables",
            **parsers.integer(1),
        ),
    ] = None
    time_limit: Annotated[
        float | None,
        _option(
            "Finish after about this many seconds, reading, scoring and report included.",
            **parsers.number("a number >= 1", lambda value: value >= 1),
        ),
    ] = None
    memory: Annotated[
        int | None,
        _option(
            "Train in about this much memory: a larger table is read in parts, and encoded in a temporary file.",
            default="half of what is free",
            **parsers.size(),
        ),
    ] = None
    jobs: Annotated[
        int | None, _option("Train this many networks in parallel.", default="one per processor", **parsers.integer(1))
    ] = None
    seed: Annotated[int, _option("Seed the split, the initialization and the shuffling.", **parsers.integer(0))] = 0
    checkpoint: Annotated[Path | None, _option("Save checkpoints to this file during training.", **_FILE)] = None
    resume: Annotated[bool, _option("Resume from --checkpoint if it exists.", "--resume")] = False
    table: ReadingOptions
    as_json: _JsonOption = False
    quiet: Annotated[bool, _option("Print errors only.", "--quiet", "-q")] = False

    @property
    def output(self) -> Path:
        """The model file to write."""
        name = self.file.name.split(".")[0].rstrip("*?[]-_")
        return self.out or Path(f"{'table' if self.file == STDIN else name or 'table'}.chainrule")

    @property
    def recipe(self) -> dict[str, Any]:
        """The options of the recipe that were given."""
        names = ("activation", "learning_rate", "dropout", "weight_decay", "batch_size")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return given if self.hidden is None else given | {"hidden": tuple(map(int, self.hidden.split(",")))}

    @property
    def not_inputs(self) -> list[str]:
        """The columns that options exclude from the inputs."""
        others = [name for name in (self.weight, self.group) if name is not None]
        return [*dict.fromkeys([*(self.drop or ()), *(self.identifier or ()), *others])]

    @property
    def named(self) -> list[str]:
        """The columns that must not contain lists."""
        others = [name for name in (self.weight, self.group, self.time) if name is not None]
        return [self.target, *(self.identifier or ()), *(self.category or ()), *others]

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
        kind = require_table(self.file, self.table.kind)
        if self.test is not None:
            require_table(self.test)
        columns = names_in(self.file, self.table.reading(expected=[self.target])) if kind == "csv" else ()
        if columns:
            require_names(dict.fromkeys(columns), [self.target])


@dataclass(frozen=True, kw_only=True)
class PredictOptions(_ModelOptions):
    """Predict every row of a table; the output has one column named after the target.

    The table must have the columns the model was trained on, in any order. It is read in batches and may be larger than
    memory.

    Example: `chainrule predict penguins.chainrule new.csv --out predictions.csv`
    """

    out: Annotated[
        Path | None,
        _option(
            "Write the predictions to this .csv, .tsv, .parquet, .arrow or .jsonl file.",
            default="standard output, as CSV",
            **_FILE,
        ),
    ] = None
    proba: Annotated[bool, _option("Add the probability of each class.", "--proba")] = False
    coverage: Annotated[
        float | None,
        _option(
            "Add prediction intervals, or sets of classes joined by |, with this coverage, such as 0.9.",
            "--coverage",
            "--interval",
            **parsers.number("a number in [0.001, 0.999]", lambda value: 0.001 <= value <= 0.999),
        ),
    ] = None
    identifier: Annotated[
        _Names,
        _option(
            "Copy this column of FILE to the predictions; repeat for several.",
            "--id",
            default="the columns given to train as --id",
            **_COLUMN,
        ),
    ] = None
    table: ReadingOptions

    def check(self) -> None:
        if self.out is not None:
            kind_of(self.out, OUTPUT_KINDS)
        super().check()


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(_ModelOptions):
    """Score a model on a table that includes the target, next to a baseline that ignores the inputs.

    Example: `chainrule evaluate penguins.chainrule more.csv`
    """

    table: ReadingOptions
    as_json: _JsonOption = False


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(_ModelOptions):
    """Show how much each column contributes to predictions, compared with the mean prediction of a background.

    Contributions are Shapley values, in the unit of the target or, for classes, in log-odds. Those of all columns sum
    to the prediction minus the baseline. Without --row, a summary of a sample of rows is printed.

    Example: `chainrule explain penguins.chainrule new.csv --row 3`
    """

    row: Annotated[
        list[int] | None,
        _option(
            "Explain this row, numbered from 1; repeat for several.", default="a sample of rows", **parsers.integer(1)
        ),
    ] = None
    max_rows: Annotated[
        int, _option("Without --row: explain a random sample of at most this many rows.", **parsers.integer(1))
    ] = 100
    of: Annotated[
        str | None,
        _option("Explain the log-odds of this class.", "--class", default="the predicted class", metavar="LABEL"),
    ] = None
    columns: Annotated[int, _option("Show this many columns, and the sum of the others.", **parsers.integer(1))] = 10
    background: Annotated[
        Path | None,
        _option("Compare with up to 64 rows of this table.", default="training rows stored in MODEL", **_FILE),
    ] = None
    permutations: Annotated[
        int | None,
        _option(
            "Sample this many pairs of orders of the columns.",
            default="exact for up to 10 columns, else 2 to 8; 2 without --row",
            **parsers.integer(1),
        ),
    ] = None
    seed: Annotated[int, _option("Seed the samples.", **parsers.integer(0))] = 0
    out: Annotated[
        Path | None,
        _option(
            "Write all contributions to this .csv, .tsv, .parquet, .arrow or .jsonl file, or a figure to this .png, "
            ".svg or .pdf file.",
            **_FILE,
        ),
    ] = None
    table: ReadingOptions
    as_json: _JsonOption = False

    def check(self) -> None:
        if self.out is not None:
            kind_of(self.out, OUTPUT_KINDS | FIGURE_KINDS)
        if self.background is not None:
            require_table(self.background)
        super().check()


@dataclass(frozen=True, kw_only=True)
class InspectOptions(Options):
    """Describe a model: its target, columns, networks, scores and training.

    Example: `chainrule inspect penguins.chainrule`
    """

    model: _ModelArgument
    markdown: Annotated[bool, _option("Print a model card in Markdown.", "--markdown")] = False
    as_json: _JsonOption = False

    def check(self) -> None:
        if self.markdown and self.as_json:
            raise ValueError("--markdown cannot be combined with --json")
        require_model(self.model)


@dataclass(frozen=True, kw_only=True)
class ReportOptions(_ModelOptions):
    """Evaluate a model on a table that includes the target, and write the results as a single HTML file.

    Example: `chainrule report penguins.chainrule more.csv --out penguins.html`
    """

    out: Annotated[
        Path | None, _option("Write the report to this file.", default="MODEL's name with .html", **_FILE)
    ] = None
    table: ReadingOptions

    @property
    def output(self) -> Path:
        return self.out or Path(f"{self.model.name.split('.')[0]}.html")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Options):
    """Export a model as a single file for other programs, with golden rows to test it.

    Example: `chainrule export penguins.chainrule --to c`
    """

    model: _ModelArgument
    to: Annotated[Language, _option("Export to this language.", "--to", **parsers.choice(Language))]
    out: Annotated[
        Path | None,
        _option("Write the export to this file.", default="MODEL's name with .onnx, .h, .py or .mjs", **_FILE),
    ] = None
    int8: Annotated[
        bool, _option("For C and JavaScript: quantize the weights to 8 bits, and print the error.", "--int8")
    ] = False
    rows: Annotated[
        Path | None,
        _option("Measure the error of --int8 on this table.", default="synthetic rows drawn from the model", **_FILE),
    ] = None
    pure: Annotated[bool, _option("For Python: write a file that does not need NumPy.", "--pure")] = False
    inline: Annotated[
        bool, _option("For JavaScript: write a constant for a script within a page, not a module.", "--inline")
    ] = False
    contributions: Annotated[
        bool,
        _option(
            "For JavaScript: explain predictions. Stores the model's sample of encoded training rows in the file.",
            "--contributions",
        ),
    ] = False
    coverage: Annotated[
        float | None,
        _option(
            "For ONNX: return prediction intervals or sets with this coverage too. The other languages take it as an "
            "argument.",
            **parsers.number("strictly between 0 and 1", lambda value: 0 < value < 1),
        ),
    ] = None

    @property
    def output(self) -> Path:
        """The file to write."""
        return self.out or export_path(self.model, self.to, self.inline)

    def check(self) -> None:
        for name, languages in EXPORT_FLAGS.items():
            if getattr(self, name) and self.to not in languages:
                raise ValueError(f"--{name} requires --to {' or '.join(languages)}, got --to {self.to}")
        if self.rows is not None and not self.int8:
            raise ValueError("--rows requires --int8, whose error they measure")
        check_places({"--out": self.output}, {"MODEL": self.model, "--rows": self.rows})
        require_model(self.model)


EXPORT_FLAGS = {
    "int8": (Language.c, Language.js),
    "pure": (Language.python,),
    "inline": (Language.js,),
    "contributions": (Language.js,),
    "coverage": (Language.onnx,),
}
"""From an option of `export` to the languages that have it."""


def export_path(model: Path, to: Language, inline: bool = False) -> Path:
    """Return the default file of an export, in the current directory."""
    suffixes = {Language.onnx: ".onnx", Language.c: ".h", Language.python: ".py", Language.js: ".mjs"}
    return Path(f"{model.name.split('.')[0]}{'.js' if inline else suffixes[to]}")


@dataclass(frozen=True, kw_only=True)
class DistilOptions(Options):
    """Train one small network to predict what a model does, write it as a model, and export it.

    It learns from the rows of a table, whose target is not needed, or else from rows drawn from what the model knows of
    its columns. The difference from the model is measured on other rows, and stated in all files.

    Example: `chainrule distil penguins.chainrule penguins.csv --size 16 --to c`
    """

    model: _ModelArgument
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help=_TABLE)] = None
    size: Annotated[
        str | None,
        _option("Use hidden layers of these sizes.", default="16,16", metavar="N,N,...", parser=parsers.sizes),
    ] = None
    max_loss: Annotated[
        float | None,
        _option(
            "Try larger and larger networks until the root mean square difference of the predictions is at most this.",
            **parsers.number("a number > 0", lambda value: value > 0),
        ),
    ] = None
    max_bytes: Annotated[
        int | None, _option("Use no network whose weights need more bytes, 4 for each.", **parsers.integer(1))
    ] = None
    out: Annotated[
        Path | None, _option("Write the model to this file.", default="MODEL's name with -small.chainrule", **_FILE)
    ] = None
    to: Annotated[
        Language | None,
        _option("Export to this language too, next to the model.", "--to", default=False, **parsers.choice(Language)),
    ] = None
    intervals: Annotated[
        bool, _option("Learn the prediction intervals too, or keep the limits of prediction sets.", "--intervals")
    ] = False
    seed: Annotated[int, _option("Seed the rows, the initialization and the shuffling.", **parsers.integer(0))] = 0
    table: ReadingOptions

    @property
    def output(self) -> Path:
        """The model file to write."""
        return self.out or Path(f"{self.model.name.split('.')[0]}-small.chainrule")

    @property
    def export(self) -> Path | None:
        """The export to write."""
        return None if self.to is None else self.output.parent / export_path(self.output, self.to)

    @property
    def sizes(self) -> tuple[int, ...] | None:
        """The sizes of the hidden layers, if they were given."""
        return None if self.size is None else tuple(map(int, self.size.split(",")))

    def check(self) -> None:
        if self.size is not None and (self.max_loss is not None or self.max_bytes is not None):
            raise ValueError("--size cannot be combined with --max-loss or --max-bytes, which choose one")
        check_places({"--out": self.output, "--to": self.export}, {"MODEL": self.model, "FILE": self.file})
        require_model(self.model)
        if self.file is not None:
            require_table(self.file, self.table.kind)


@dataclass(frozen=True, kw_only=True)
class DriftOptions(_ModelOptions):
    """Compare a table with what a model was trained on, column by column, with a verdict for each.

    The table does not need the target. Distances from 0 to 1 are those from the training rows that the model contains.

    Example: `chainrule drift penguins.chainrule new.csv`
    """

    table: ReadingOptions
    as_json: _JsonOption = False


@dataclass(frozen=True, kw_only=True)
class TraceOptions(_ModelOptions):
    """Show every quantity in one training step on rows of a table, forward and backward. The model is not changed.

    Example: `chainrule trace penguins.chainrule penguins.csv --row 3 --to html --out step.html`
    """

    row: Annotated[
        list[int] | None,
        _option(
            "Trace this row, numbered from 1; repeat for a batch of several rows.", default="1", **parsers.integer(1)
        ),
    ] = None
    member: Annotated[int, _option("Trace this network of the model, numbered from 1.", **parsers.integer(1))] = 1
    rate: Annotated[
        float,
        _option(
            "Use this learning rate for the step of gradient descent.",
            **parsers.number("a finite number > 0", lambda value: 0 < value < inf),
        ),
    ] = 0.01
    to: Annotated[Form, _option("Write the trace in this format.", "--to", **parsers.choice(Form))] = Form.text
    notation: Annotated[
        Notation,
        _option("Write samples as rows (Z = X W + b), or weights by index (w_jk).", **parsers.choice(Notation)),
    ] = Notation.row
    out: Annotated[Path | None, _option("Write the trace to this file.", default="standard output", **_FILE)] = None
    verify: Annotated[
        bool, _option("Verify every line and derivative; exit with status 1 if one is wrong.", "--verify")
    ] = False
    table: ReadingOptions


@dataclass(frozen=True, kw_only=True)
class PlaygroundOptions(Options):
    """Open a page in the browser to build, train and inspect a network, until Ctrl-C.

    Example: `chainrule playground --lesson xor`
    """

    port: Annotated[
        int | None,
        _option(
            "Serve the page on this port.",
            default="a free port",
            **parsers.number("a port from 1 to 65535", lambda value: 1 <= value <= 65535, int),
        ),
    ] = None
    browser: Annotated[bool, _option("Open the browser, or only print the address.", "--browser/--no-browser")] = True
    lesson: Annotated[
        str | None,
        _option("Start with this lesson, such as xor or overfitting.", default="the first one", metavar="NAME"),
    ] = None
