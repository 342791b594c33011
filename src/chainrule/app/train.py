"""The command `train`: from a table to a model file, with scores on held-out rows."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from rich.console import Console

from chainrule.app.dialects import Reading
from chainrule.app.messages import (
    column_lines,
    console_for,
    echo,
    history_line,
    print_json,
    score_lines,
    split_lines,
)
from chainrule.app.options import (
    DecimalOption,
    EncodingOption,
    FileArgument,
    HeaderOption,
    JsonOption,
    KindOption,
    SeparatorOption,
    Task,
    check_places,
    choice,
    integer,
    number,
    one_line_errors,
    uninterrupted,
)
from chainrule.app.pipeline import (
    Plan,
    Result,
    Table,
    coverage_of,
    describe_columns,
    diagnose_fit,
    make_plan,
    require_scorable,
    score_on,
    split_target,
    split_target_for,
    train,
)
from chainrule.app.progress import LineDisplay, LiveDisplay, Progress, status
from chainrule.app.tables import STDIN, TableFile
from chainrule.arrays import Array
from chainrule.data.cells import as_numbers
from chainrule.data.reading import Columns, named, read_columns
from chainrule.errors import TableError
from chainrule.model.fitting import Executor, Fitted, Serial, Threads
from chainrule.training.checkpoint import CheckpointFile

_CHECKPOINT_SECONDS = 2.0
"""The least time between two writes of a member's checkpoint; its last epoch is always written."""


def train_command(
    file: FileArgument,
    target: Annotated[str, typer.Option(metavar="COLUMN", help="Predict this column.")],
    task: Annotated[
        Task | None,
        typer.Option(
            help="Treat the target as classes or as numbers.", show_default="inferred from the target", **choice(Task)
        ),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Ignore this column; repeat for several.")
    ] = None,
    identifier: Annotated[
        list[str] | None,
        typer.Option(
            "--id",
            metavar="COLUMN",
            help="Treat this column as a row identifier: do not train on it, copy it to the predictions.",
        ),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Treat the numbers in this column as categories; repeat for several."),
    ] = None,
    weight: Annotated[str | None, typer.Option(metavar="COLUMN", help="Use this column as sample weights.")] = None,
    test: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Test on this table instead of on rows of FILE.")
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(
            help="Hold out this fraction of FILE's rows for testing.",
            show_default="0.2",
            **number("a number in [0.01, 0.5]", lambda value: 0.01 <= value <= 0.5),
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the model to this file.", show_default="FILE's name with .chainrule"),
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML report to this file.")] = None,
    members: Annotated[
        int, typer.Option(help="Train this many networks; each validates on its own fold of the rows.", **integer(2))
    ] = 5,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Train each network for at most this many epochs.",
            show_default="64, or fewer for large tables",
            **integer(1),
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(help="End training after this many seconds.", **number("a number >= 1", lambda value: value >= 1)),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Train this many networks in parallel.", show_default="one per processor", **integer(1)),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed the split, the initialization and the shuffling.", **integer(0))] = 0,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save checkpoints to this file during training.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from --checkpoint if it exists.")] = False,
    form: KindOption = None,
    separator: SeparatorOption = None,
    decimal: DecimalOption = None,
    encoding: EncodingOption = None,
    header: HeaderOption = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Train an ensemble of networks on a table and write a model file.

    Some rows are held out for testing. Their scores are printed next to a baseline that ignores the inputs. Ctrl-C ends
    training and keeps the best networks so far.

    Example: `chainrule train penguins.csv --target species --report penguins.html`
    """
    start = perf_counter()
    console = console_for(quiet or as_json)
    with one_line_errors():
        out = out or Path(f"{'table' if file == STDIN else file.name.split('.')[0]}.chainrule")
        if resume and checkpoint is None:
            raise ValueError("--resume requires --checkpoint FILE")
        if test is not None and test_share is not None:
            raise ValueError("--test-share cannot be combined with --test")
        if test is not None and test.exists() and file.exists() and test.samefile(file):
            raise TableError(f"--test must not be the same table as FILE, got {test} for both")
        if report is not None:
            from chainrule.app.report import write_report  # fails now, before any work, if matplotlib is missing
        check_places({"--out": out, "--report": report, "--checkpoint": checkpoint}, {"FILE": file, "--test": test})
        source = TableFile(file, form, Reading(separator, decimal, encoding, header, expected=[target]))
        data = _read(source, target, task, drop or (), identifier or (), category or (), weight, test, test_share, seed)
        members = min(members, len(data.plan.training))
        test_source = "" if test is None else f" from {test}"
        echo(console, [f"{file}: {len(data.plan.table.values):,} rows, {data.n_columns} columns", ""])
        echo(console, column_lines(data.columns, data.plan.target))
        echo(console, split_lines(data.plan, len(data.held.known), members, test_source))
        checkpoints = None if checkpoint is None else CheckpointFile(checkpoint, members, resume=resume)
        if checkpoints is not None and checkpoints.trainings:
            echo(console, [f"resuming from {checkpoint}"])
        seconds_left = None if time_limit is None else max(0.01, time_limit - (perf_counter() - start))
        with progress_for(members, quiet or as_json) as progress:
            fitted = _train(data, members, epochs, seconds_left, seed, jobs, progress, checkpoints)
        predictor = fitted.predictor
        with uninterrupted():
            result = score_on(predictor, data.held, fitted.histories)
            seconds = perf_counter() - start
            findings = [str(finding) for finding in diagnose_fit(data.plan, fitted, result)]
            rows = "held-out rows" if test is None else f"rows of {test}"
            heading = f"on {len(data.held.known):,} {rows}"
            echo(console, [history_line(result, seconds), "", *score_lines(result, heading)])
            echo(console, ["", "what to try next:", *(f"  {finding}" for finding in findings)] if findings else [])
            predictor.metadata |= _metadata(data.plan, result) | {
                "table": source.name,
                "columns": data.columns,
                "reading": source.state,
                "id": identifier or [],
                "weight": [weight] if weight else [],
                "findings": findings,
                "seconds": round(seconds, 3),
                "command": shlex.join(["chainrule", *sys.argv[1:]]),
            }
            predictor.save(out)
        echo(console, ["", f"model   {out}  ({out.stat().st_size / 1024:,.0f} KB)"])
        if report is not None:
            with status(f"writing the report {report}", quiet or as_json):
                write_report(report, result)
            echo(console, [f"report  {report}"])
        echo(console, ["", f"Next: {shlex.join(['chainrule', 'predict', str(out), 'NEW_TABLE'])}"])
        if as_json:
            print_json({"model": str(out), "report": None if report is None else str(report)} | predictor.metadata)


@dataclass(frozen=True)
class _Data:
    """A plan, the rows to score on, the descriptions of the columns, and the sample weights of the training rows."""

    plan: Plan
    held: Table
    columns: list[dict[str, Any]]
    weights: Array | None
    n_columns: int


def _read(
    source: TableFile,
    target: str,
    task: Task | None,
    drop: Sequence[str],
    identifiers: Sequence[str],
    categories: Sequence[str],
    weight: str | None,
    test: Path | None,
    test_share: float | None,
    seed: int,
) -> _Data:
    """Read the table and plan the training; raise TableError for everything that would fail after training."""
    columns = read_columns(source.read(categories))
    source.require_scalars([target, *identifiers, *categories, *([weight] if weight else [])])
    drop = [name for name in drop if name not in source.nested]
    weights = None if weight is None else _weights_in(columns, weight, target)
    table = split_target(columns, target, [*drop, *identifiers, *([weight] if weight else [])])
    table.notices += source.notices
    plan = make_plan(table, target, task, categories, 0.0 if test else test_share or 0.2, seed)
    held = (
        table.part(plan.test)
        if test is None
        else split_target_for(plan, TableFile(test, reading=Reading(trained=source.state, expected=list(table.inputs))))
    )
    require_scorable(plan, held)
    weights = None if weights is None else weights[plan.training]
    return _Data(plan, held, describe_columns(plan), weights, len(columns))


def _train(
    data: _Data,
    members: int,
    epochs: int | None,
    time_limit: float | None,
    seed: int,
    jobs: int | None,
    progress: Progress,
    checkpoints: CheckpointFile | None,
) -> Fitted:
    """Train the members, with progress and checkpoints."""
    return train(
        data.plan,
        weight=data.weights,
        n_members=members,
        epochs=epochs,
        time_limit=time_limit,
        seed=seed,
        workers=_executor_for(jobs, members),
        watch=lambda k: [
            *progress.callbacks_for(k),
            *([checkpoints.checkpoint(k, seconds=_CHECKPOINT_SECONDS)] if checkpoints else []),
        ],
    )


def progress_for(members: int, quiet: bool) -> Progress:
    """Return a live line on a terminal, one line per member elsewhere, and nothing if `quiet`."""
    console = Console(stderr=True)
    return (
        Progress(members) if quiet else LiveDisplay(members, console) if console.is_terminal else LineDisplay(members)
    )


def _executor_for(jobs: int | None, members: int) -> Executor:
    """Return an executor with `jobs` threads; default: one per available processor."""
    if jobs is None:
        jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = min(jobs, members)
    return Threads(jobs) if jobs > 1 else Serial()


def _weights_in(columns: Columns, name: str, target: str) -> Array:
    """Return a column as sample weights; TableError unless all are > 0."""
    if name == target:
        raise TableError(f"--weight must not name the target, got {name!r}")
    weights = as_numbers(name, named(columns, name))
    wrong = ~(weights > 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise TableError(f"--weight column {name!r}, row {row + 1}: expected a number > 0, got {weights[row]:g}")
    return weights


def _metadata(plan: Plan, result: Result) -> dict[str, Any]:
    """Return the rows, notices and scores, for the metadata of the model file."""
    return {
        "rows": {"training": len(plan.training), "test": len(result.values)},
        "notices": plan.notices,
        "scores": result.scores,
        "intervals": {name: list(ends) for name, ends in result.intervals.items()},
        "baseline": result.baseline,
        "coverage": coverage_of(result),
    }
