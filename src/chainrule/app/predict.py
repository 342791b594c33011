"""`chainrule predict` and `chainrule evaluate`: a model's answers, and how good they are."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from chainrule.app.options import (
    FileArgument,
    JsonOption,
    KindOption,
    ModelArgument,
    check_places,
    load_predictor,
    one_line_errors,
)
from chainrule.app.pipeline import coverage_of, score_on, separate_for, words_of
from chainrule.app.say import console_for, print_json, printable, score_lines, tell
from chainrule.app.scores import Target
from chainrule.app.tables import WRITERS, TableFile, suffix_of, with_numbers, write_csv, write_table
from chainrule.arrays import Array, require
from chainrule.data.columns import NumberColumn, RawColumn
from chainrule.data.reading import require_names
from chainrule.data.targets import ClassTarget
from chainrule.errors import TableError
from chainrule.model.predictor import Predictor


def predict_command(
    model: ModelArgument,
    file: FileArgument,
    out: Annotated[
        Path | None, typer.Option(help="A .csv, .tsv, .parquet, .arrow or .jsonl file; the terminal unless told.")
    ] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Add the probability of each class.")] = False,
    interval: Annotated[
        float | None,
        typer.Option(min=0.001, max=0.999, help="Add the ends that hold this share of true numbers, such as 0.9."),
    ] = None,
    identifier: Annotated[
        list[str] | None, typer.Option("--id", help="A column of FILE to keep; unless told, those of train's --id.")
    ] = None,
    form: KindOption = None,
) -> None:
    """Answer for every row of a table, in its order, one column named like the target.

    The table needs the columns that the model was trained on, in any order, and may be larger than memory.

    Example: `chainrule predict penguins.chainrule new.csv --out answers.csv`
    """
    with one_line_errors():
        if out is not None:
            suffix_of(out, WRITERS)
            check_places({"--out": out}, {"MODEL": model, "FILE": file})
        predictor = load_predictor(model)
        if proba and not isinstance(predictor.target, ClassTarget):
            raise TableError(f"--proba must be asked of a classifier, got {model} answers numbers")
        if interval is not None and isinstance(predictor.target, ClassTarget):
            raise TableError(f"--interval must be asked of a model of numbers, got {model} answers classes")
        shifts = None if interval is None else predictor.ensemble.residual_quantiles(interval)
        source = TableFile(file, form)
        frames = answered(predictor, source, proba, shifts, identifier)
        if out is not None:
            write_table(frames, out)
        else:
            write_csv(frames, sys.stdout.buffer)
            sys.stdout.flush()


def answered(
    predictor: Predictor,
    source: TableFile,
    proba: bool,
    shifts: tuple[Array, Array] | None,
    identifier: Sequence[str] | None,
) -> Iterator[pl.DataFrame]:
    """Yield the answers to a table, some rows at a time; what should be known goes to standard error."""
    target, encoder, row = predictor.target, predictor.encoder, 0
    numbers = [column.name for column in encoder.columns if isinstance(column, NumberColumn | RawColumn)]
    for frame in source.batches(words_of(predictor)):
        if identifier is None:
            kept = [name for name in predictor.metadata.get("id", []) if name in frame.columns]
        else:
            require_names(dict.fromkeys(frame.columns), identifier)  # type: ignore[arg-type]
            for name in target.output_names:
                require(name not in identifier, "--id", "not name the column that is answered", name)
            kept = list(identifier)
        predictions = predictor.predictions(with_numbers(frame, numbers), first_row=row)
        columns: dict[str, object] = {name: frame[name] for name in kept}
        columns |= prediction_columns(target, predictions)
        if shifts is not None:
            for end, shift in zip((" low", " high"), shifts):
                columns |= prediction_columns(target, predictions + shift, end)
        if proba and isinstance(target, ClassTarget):
            columns |= {f"{target.name}={label}": predictions[:, k] for k, label in enumerate(target.labels)}
        if not row:
            known = [target.name, *target.output_names, *kept, *predictor.metadata.get("weight", [])]
            for notice in [*source.notices, *encoder.notices_for(frame.drop(known, strict=False))]:
                typer.echo(f"note: {printable(notice)}", err=True)
        yield pl.DataFrame(columns)
        row += len(frame)


def prediction_columns(target: Target, predictions: Array, end: str = "") -> dict[str, list[object]]:
    """Return what answers (n, n_outputs) mean, a column for each that the target has, its name with this `end`."""
    names = target.output_names
    columns = target.decode(predictions).reshape(len(predictions), len(names)).T
    return {name + end: column.tolist() for name, column in zip(names, columns)}


def evaluate_command(
    model: ModelArgument, file: FileArgument, form: KindOption = None, as_json: JsonOption = False
) -> None:
    """Score a model on a table that holds the target too, beside what knowing nothing would score.

    Example: `chainrule evaluate penguins.chainrule more.csv`
    """
    with one_line_errors():
        predictor = load_predictor(model)
        source = TableFile(file, form)
        table = separate_for(predictor, source)
        result = score_on(predictor, table)
        notices = table.notices + source.notices
        tell(console_for(as_json), [*notices, *score_lines(result, f"on {len(table.known):,} rows")])
        if as_json:
            told = {"model": str(model), "rows": len(table.known), "notices": notices, "coverage": coverage_of(result)}
            print_json(told | {"scores": result.scores, "spread": result.spread, "baseline": result.baseline})
