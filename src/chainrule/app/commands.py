"""The commands `train`, `predict` and `evaluate`."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from rich.console import Console

import chainrule
from chainrule.app.pipeline import (
    HIGHER_IS_BETTER,
    Plan,
    Recipe,
    Result,
    Table,
    Target,
    describe_columns,
    fit,
    require_scorable,
    score_on,
    separate,
    show_score,
    understand,
)
from chainrule.app.progress import LiveProgress
from chainrule.app.tables import WRITERS, read_table, require_writable, suffix_of, write_table
from chainrule.data.reading import first_line, read_columns, shorten
from chainrule.data.targets import ClassTarget
from chainrule.errors import ChainruleError, ModelFileError, TableError
from chainrule.model.file import load
from chainrule.model.predictor import Predictor
from chainrule.training.callbacks import Callback, ProgressBar, TimeLimit

MOST_COLUMNS_SHOWN = 60

app = typer.Typer(
    help="Feed-forward neural networks for tables: train one on a file, and use it.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


class Task(StrEnum):
    """What a target can be."""

    classification = "classification"
    regression = "regression"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a user can put right into one line on standard error and exit status 2."""
    try:
        yield
    except BrokenPipeError:
        # The reader, `head` perhaps, has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ChainruleError, OSError, ValueError) as error:
        typer.echo(f"chainrule: {first_line(error)}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("chainrule: interrupted; no unfinished file is left", err=True)
        raise typer.Exit(130) from None


def version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"chainrule {chainrule.__version__}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Feed-forward neural networks for tables: train one on a file, and use it."""


FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A table: .csv, .tsv, .csv.gz or .parquet.")]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="A file that `chainrule train` wrote.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command("train")
def train_command(
    file: FileArgument,
    target: Annotated[str, typer.Option(help="The column to predict.")],
    task: Annotated[Task | None, typer.Option(help="Taken from the target's values unless told.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="A column not to use; may be given several times.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the model goes; unless told, FILE's name, .chainrule.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report, one HTML file, here.")] = None,
    test: Annotated[Path | None, typer.Option(help="A table to test on, instead of rows of FILE.")] = None,
    test_share: Annotated[float, typer.Option(min=0.01, max=0.5, help="Share of FILE's rows to test on.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, the first weights and the order of rows.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Times each row is used, at most.")] = None,
    hidden: Annotated[str, typer.Option(help="Units of each hidden layer.")] = ",".join(map(str, Recipe().hidden)),
    time_limit: Annotated[float | None, typer.Option(min=1, help="Seconds after which training ends.")] = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Train a network on a table and write a model file.

    A part of the rows is set apart for testing and never trained on; the scores are of those, beside what knowing
    nothing would score. Ctrl-C keeps the best network so far.

    Example: `chainrule train penguins.csv --target species --report penguins.html`
    """
    start = perf_counter()
    console = console_for(quiet or as_json)
    with one_line_errors():
        recipe = Recipe(hidden=read_sizes(hidden), epochs=epochs)
        out = out or Path(f"{file.name.split('.')[0]}.chainrule")
        check_places({"--out": out, "--report": report}, {"FILE": file, "--test": test})
        table = separate(read_columns(read_table(file)), target, drop or ())
        plan = understand(table, target, task, 0.0 if test else test_share, seed)
        held = table.part(plan.rows.test) if test is None else separate_for(plan.target, read_table(test))
        require_scorable(plan, held)
        columns = describe_columns(plan)
        tell(console, [f"{file}: {len(table.values):,} rows, {len(table.inputs) + 1} columns", ""])
        tell(console, [*column_lines(columns, plan.target), *row_lines(plan, len(held.known), test)])
        with ExitStack() as stack:
            watch = progress(stack, quiet or as_json)
            if time_limit is not None:
                watch.append(TimeLimit(max(0.01, time_limit - (perf_counter() - start))))
            predictor, history = fit(plan, recipe, seed, watch)
        if not len(history):
            raise KeyboardInterrupt
        result = score_on(predictor, held, history)
        seconds = perf_counter() - start
        tell(console, [history_line(result, seconds), ""])
        tell(console, score_lines(result, f"on {len(held.known):,} rows never trained on"))
        predictor.passport.update(
            {"table": file.name, "columns": columns, "seed": seed, "seconds": round(seconds, 3)}
            | passport(plan, result, recipe)
        )
        predictor.save(out)
        tell(console, ["", f"model   {out}  ({out.stat().st_size / 1024:,.0f} KB)"])
        if report is not None:
            from chainrule.app.report import write_report

            write_report(report, result)
            tell(console, [f"report  {report}"])
        if as_json:
            print_json({"model": str(out), "report": None if report is None else str(report)} | predictor.passport)


@app.command("predict")
def predict_command(
    model: ModelArgument,
    file: FileArgument,
    out: Annotated[Path | None, typer.Option(help="A .csv, .tsv or .parquet file; the terminal unless told.")] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Add the probability of each class.")] = False,
) -> None:
    """Answer for every row of a table, in its order, one column named like the target.

    The table needs the columns that the model was trained on, in any order.

    Example: `chainrule predict penguins.chainrule new.csv --out answers.csv`
    """
    with one_line_errors():
        if out is not None:
            suffix_of(out, WRITERS)
            check_places({"--out": out}, {"MODEL": model, "FILE": file})
        predictor = load_predictor(model)
        answers = predictor.answers(read_table(file))
        name = predictor.target.name
        columns = {name: predictor.target.decode(answers)}
        if proba:
            if not isinstance(predictor.target, ClassTarget):
                raise TableError(f"--proba must be asked of a classifier, however: {model} answers numbers")
            columns |= {f"{name}={label}": answers[:, k] for k, label in enumerate(predictor.target.labels)}
        frame = pl.DataFrame({name: column.tolist() for name, column in columns.items()})
        if out is not None:
            write_table(frame, out)
        else:
            typer.echo(frame.write_csv(), nl=False)
            sys.stdout.flush()


@app.command("evaluate")
def evaluate_command(model: ModelArgument, file: FileArgument, as_json: JsonOption = False) -> None:
    """Score a model on a table that holds the target too, beside what knowing nothing would score.

    Example: `chainrule evaluate penguins.chainrule more.csv`
    """
    with one_line_errors():
        predictor = load_predictor(model)
        table = separate_for(predictor.target, read_table(file))
        result = score_on(predictor, table)
        tell(console_for(as_json), [*table.notices, *score_lines(result, f"on {len(table.known):,} rows")])
        if as_json:
            told = {"model": str(model), "rows": len(table.known), "notices": table.notices}
            print_json(told | {"scores": result.scores, "baseline": result.baseline})


# What the commands do first.


def read_sizes(text: str) -> tuple[int, ...]:
    """Return the sizes in "256,256"."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise TableError(f"--hidden must be whole numbers above 0 such as 256,256, however: --hidden={text!r}")
    return tuple(map(int, parts))


def check_places(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Raise TableError where an output cannot be written, or would overwrite an input or another output."""
    taken = {path.resolve(): name for name, path in inputs.items() if path is not None}
    for name, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        if place in taken:
            raise TableError(f"{name} must not be the file of {taken[place]}, however: both are {path}")
        taken[place] = name
        require_writable(path)


def load_predictor(path: Path) -> Predictor:
    """Return the predictor in a model file."""
    model = load(path)
    if not isinstance(model, Predictor):
        raise ModelFileError(f"{path} holds a bare network, without the table it is for; load it in Python")
    return model


def separate_for(target: Target, frame: pl.DataFrame) -> Table:
    """Return a table to score on, its target apart; TableError when no row has one."""
    table = separate(read_columns(frame), target.name)
    if not len(table.known):
        raise TableError(f"the table to score on must have a row whose {target.name!r} is known, however: none has")
    return table


def progress(stack: ExitStack, quiet: bool) -> list[Callback]:
    """Return what shows the training: a live bar on a terminal, some lines elsewhere, nothing when quiet."""
    if quiet:
        return []
    console = Console(stderr=True)
    return [stack.enter_context(LiveProgress(console)) if console.is_terminal else ProgressBar(sys.stderr)]


# What the commands say.


def console_for(silent: bool) -> Console:
    """Return where people read: standard output, every line as it is."""
    return Console(quiet=silent, soft_wrap=True, highlight=False, markup=False, emoji=False)


def tell(console: Console, lines: list[str]) -> None:
    """Print lines."""
    for line in lines:
        console.print(line)


def column_lines(columns: list[dict[str, Any]], target: Target) -> list[str]:
    """Return a line a column: name, kind, missing cells, and levels, range or the reason it was left out."""
    width = min(30, max(len(name) for name in [target.name, *(column["name"] for column in columns)]))
    lines = [f"  {column['name']:<{width}}  {column['kind']:<9} {facts(column)}" for column in columns]
    if len(lines) > MOST_COLUMNS_SHOWN:
        lines[MOST_COLUMNS_SHOWN:] = [f"  ... and {len(lines) - MOST_COLUMNS_SHOWN:,} more"]
    if isinstance(target, ClassTarget):
        told = f"{target.n_outputs} classes: {shorten(target.labels)}"
    else:
        told = f"numbers, mean {target.means[0]:.5g}, deviation {target.deviations[0]:.5g}"
    return [*lines, f"  {target.name:<{width}}  target    {told}"]


def facts(column: Mapping[str, Any]) -> str:
    """Return what is known of a column."""
    told = [column["reason"]] if "reason" in column else []
    if "levels" in column:
        told.append(f"{column['levels']:,} levels")
    if "from" in column:
        told.append(f"{column['from']:.6g} to {column['to']:.6g}")
    if column["missing"] and "reason" not in column:
        told.append(f"{column['missing']:,} missing")
    return ", ".join(told)


def row_lines(plan: Plan, n_tested: int, test: Path | None) -> list[str]:
    """Return the notices, and what happens to the rows."""
    source = "" if test is None else f" from {test}"
    n_training, n_validation = len(plan.rows.training), len(plan.rows.validation)
    split = f"{n_training:,} rows to train on, {n_validation:,} to choose the best epoch by, {n_tested:,} to test on"
    return [*(f"  note: {notice}" for notice in plan.notices), "", split + source]


def history_line(result: Result, seconds: float) -> str:
    """Return how the training went."""
    history = result.history
    best = f"epoch {(history.best_epoch or 0) + 1} of {len(history)} was best"
    notes = "".join(f"; {note}" for note in history.notes)
    interrupted = "interrupted: the best network so far is kept; " if history.stopped.startswith("interrupted") else ""
    return f"{interrupted}{best}; {seconds:.1f} s in all{notes}"


def score_lines(result: Result, heading: str) -> list[str]:
    """Return the scores beside the baseline's, as a table."""
    classifier = isinstance(result.predictor.target, ClassTarget)
    knowing_nothing = "class shares" if classifier else "mean"
    lines = [f"  {heading:<38}{'network':>10}{knowing_nothing:>14}"]
    for name, value in result.scores.items():
        told = f"{name.replace('_', ' ')} ({'higher' if name in HIGHER_IS_BETTER else 'lower'} is better)"
        lines.append(f"  {told:<38}{show_score(name, value):>10}{show_score(name, result.baseline[name]):>14}")
    return lines


def passport(plan: Plan, result: Result, recipe: Recipe) -> dict[str, Any]:
    """Return what a reader of the model file may want to know of the training."""
    rows = plan.rows
    return {
        "chainrule": chainrule.__version__,
        "numpy": np.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": plan.target.name,
        "task": plan.target.task,
        "rows": {"training": len(rows.training), "validation": len(rows.validation), "test": len(result.values)},
        "notices": plan.notices,
        "hidden": list(recipe.hidden),
        "epochs": len(result.history),
        "best_epoch": (result.history.best_epoch or 0) + 1,
        "scores": result.scores,
        "baseline": result.baseline,
    }


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document for machines."""
    typer.echo(json.dumps(document, indent=2))
