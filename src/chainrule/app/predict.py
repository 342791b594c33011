"""The commands `predict` and `evaluate`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from chainrule.app.messages import console_for, echo, print_json, printable, score_lines
from chainrule.app.options import (
    DecimalOption,
    EncodingOption,
    FileArgument,
    HeaderOption,
    JsonOption,
    KindOption,
    ModelArgument,
    SeparatorOption,
    check_places,
    load_predictor,
    number,
    one_line_errors,
    reading_for,
)
from chainrule.app.pipeline import (
    coverage_of,
    score_on,
    split_target_for,
    text_columns,
    training_overlap,
    warnings_as,
)
from chainrule.app.progress import status
from chainrule.app.scores import Target
from chainrule.app.tables import WRITERS, TableFile, suffix_of, with_numbers, write_csv, write_table
from chainrule.arrays import Array
from chainrule.data.columns import NumberColumn, RawColumn
from chainrule.data.reading import require_names
from chainrule.data.targets import ClassTarget
from chainrule.errors import TableError
from chainrule.model.predictor import Predictor


def predict_command(
    model: ModelArgument,
    file: FileArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the predictions to this .csv, .tsv, .parquet, .arrow or .jsonl file.",
            show_default="standard output, as CSV",
        ),
    ] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Add the probability of each class.")] = False,
    interval: Annotated[
        float | None,
        typer.Option(
            help="Add prediction intervals with this coverage, such as 0.9.",
            **number("a number in [0.001, 0.999]", lambda value: 0.001 <= value <= 0.999),
        ),
    ] = None,
    identifier: Annotated[
        list[str] | None,
        typer.Option(
            "--id",
            metavar="COLUMN",
            help="Copy this column of FILE to the predictions; repeat for several.",
            show_default="the columns given to train as --id",
        ),
    ] = None,
    form: KindOption = None,
    separator: SeparatorOption = None,
    decimal: DecimalOption = None,
    encoding: EncodingOption = None,
    header: HeaderOption = None,
) -> None:
    """Predict every row of a table; the output has one column named after the target.

    The table must have the columns the model was trained on, in any order. It is read in batches and may be larger than
    memory.

    Example: `chainrule predict penguins.chainrule new.csv --out predictions.csv`
    """
    with one_line_errors():
        if out is not None:
            suffix_of(out, WRITERS)
            check_places({"--out": out}, {"MODEL": model, "FILE": file})
        predictor = load_predictor(model)
        if proba and not isinstance(predictor.target, ClassTarget):
            raise TableError(f"--proba requires a classification model, got {model}, a regression model")
        if interval is not None and isinstance(predictor.target, ClassTarget):
            raise TableError(f"--interval requires a regression model, got {model}, a classification model")
        shifts = None if interval is None else predictor.ensemble.residual_quantiles(interval)
        reading = reading_for(predictor, separator, decimal, encoding, header)
        frames = _predicted(predictor, TableFile(file, form, reading), proba, shifts, identifier)
        rows_are_seen = out is None and sys.stdout.isatty()
        with status(f"predicting {file}", quiet=rows_are_seen) as show:
            if out is not None:
                write_table(_counted(frames, show), out)
            else:
                write_csv(_counted(frames, show), sys.stdout.buffer)
                sys.stdout.flush()


def _counted(frames: Iterator[pl.DataFrame], show: Callable[[str], None]) -> Iterator[pl.DataFrame]:
    """Yield the frames, and show the number of rows so far."""
    n = 0
    for frame in frames:
        yield frame
        n += len(frame)
        show(f"{n:,} rows")


def _predicted(
    predictor: Predictor,
    source: TableFile,
    proba: bool,
    shifts: tuple[Array, Array] | None,
    identifiers: Sequence[str] | None,
) -> Iterator[pl.DataFrame]:
    """Yield the predictions for a table in batches; print notices to standard error."""
    target, encoder, row = predictor.target, predictor.encoder, 0
    notices: list[str] = []
    noted: set[str] = set()
    text = text_columns(predictor)
    numbers = (column.name for column in encoder.columns if isinstance(column, NumberColumn | RawColumn))
    numeric = [name for name in numbers if name not in text]
    for frame in source.batches(text):
        source.require_scalars(identifiers or ())
        if identifiers is None:
            copied = [name for name in predictor.metadata.get("id", []) if name in frame.columns]
        else:
            require_names(dict.fromkeys(frame.columns), identifiers)  # type: ignore[arg-type]
            for name in target.output_names:
                if name in identifiers:
                    raise TableError(f"--id must not name the predicted column, got {name!r}")
            copied = list(identifiers)
        with warnings_as(notices):
            predictions = predictor.predictions(with_numbers(frame, numeric), first_row=row)
        columns: dict[str, object] = {name: frame[name] for name in copied}
        columns |= _prediction_columns(target, predictions)
        if shifts is not None:
            for end, shift in zip((" low", " high"), shifts):
                columns |= _prediction_columns(target, predictions + shift, end)
        if proba and isinstance(target, ClassTarget):
            columns |= {f"{target.name}={label}": predictions[:, k] for k, label in enumerate(target.labels)}
        if not row:
            used = [name for use in ("weight", "group", "time") for name in predictor.metadata.get(use, [])]
            expected = [target.name, *target.output_names, *copied, *used]
            notices += [*source.notices, *encoder.notices_for(frame.drop(expected, strict=False))]
        _print_notices(notices, noted)
        notices.clear()
        yield pl.DataFrame(columns)
        row += len(frame)
    _print_notices(source.notices, noted)


def _print_notices(notices: Sequence[str], noted: set[str]) -> None:
    """Print one notice per subject, although every batch may have its own, and note the subject."""
    for notice in notices:
        subject = notice.partition(":")[0]
        if subject not in noted:
            noted.add(subject)
            typer.echo(f"note: {printable(notice)}", err=True)


def _prediction_columns(target: Target, predictions: Array, end: str = "") -> dict[str, list[object]]:
    """Return decoded predictions (n, n_outputs) as one column per output, with `end` appended to its name."""
    names = target.output_names
    columns = target.decode(predictions).reshape(len(predictions), len(names)).T
    return {name + end: column.tolist() for name, column in zip(names, columns)}


def evaluate_command(
    model: ModelArgument,
    file: FileArgument,
    form: KindOption = None,
    separator: SeparatorOption = None,
    decimal: DecimalOption = None,
    encoding: EncodingOption = None,
    header: HeaderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a model on a table that includes the target, next to a baseline that ignores the inputs.

    Example: `chainrule evaluate penguins.chainrule more.csv`
    """
    with one_line_errors():
        predictor = load_predictor(model)
        reading = reading_for(predictor, separator, decimal, encoding, header)
        source = TableFile(file, form, reading)
        with status(f"reading {file}", as_json):
            table = split_target_for(predictor, source)
        with status("scoring the model", as_json):
            result = score_on(predictor, table)
            overlap = training_overlap(predictor, table)
        notices = table.notices + source.notices + result.notices + overlap
        echo(console_for(as_json), [*notices, *score_lines(result, f"on {len(table.known):,} rows")])
        if as_json:
            print_json(
                {
                    "model": str(model),
                    "rows": len(table.known),
                    "notices": notices,
                    "coverage": coverage_of(result),
                    "scores": result.scores,
                    "intervals": result.intervals,
                    "baseline": result.baseline,
                }
            )
