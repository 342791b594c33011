"""The command `train`: from a table to a model file, with scores on held-out rows."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
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
    Ties,
    coverage_of,
    describe_columns,
    describe_test_rows,
    diagnose_fit,
    make_plan,
    require_scorable,
    score_on,
    split_target,
    split_target_for,
    structure_findings,
    train,
)
from chainrule.app.progress import LineDisplay, LiveDisplay, Progress, status
from chainrule.app.tables import STDIN, TableFile
from chainrule.arrays import Array
from chainrule.data.cells import as_numbers
from chainrule.data.reading import Columns, named, read_columns
from chainrule.errors import TableError
from chainrule.model.executors import Executor, Serial, Threads
from chainrule.model.fitting import Fitted, recipe_for
from chainrule.training.checkpoint import CheckpointFile

_CHECKPOINT_SECONDS = 2.0
"""The least time between two writes of a member's checkpoint; its last epoch is always written."""

_FIXED_SECONDS, _SECONDS_PER_SCORED_ROW, _REPORT_SECONDS = 0.2, 4e-5, 2.5
"""Estimates: diagnosis and saving; the intervals of the scores; the figures of a report."""
_TIMED_ROWS = 256
_MAX_RESERVED = 0.7
"""Largest fraction of the time limit that is reserved for what follows the training."""


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
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Validate and test on other groups than those trained on, such as patients; not an input.",
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Validate and test on the latest rows by this column of dates or numbers; an input unless dropped.",
        ),
    ] = None,
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
        typer.Option(
            help="Finish after about this many seconds, scoring and report included.",
            **number("a number >= 1", lambda value: value >= 1),
        ),
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
        special = _Special(target, drop or (), identifier or (), category or (), weight, group, time)
        with status(f"reading {file}", quiet or as_json):
            data = _read(source, special, task, test, test_share, seed)
        members = min(members, len(data.plan.training))
        test_source = "" if test is None else f" from {test}"
        echo(console, [f"{file}: {len(data.plan.table.values):,} rows, {data.n_columns} columns", ""])
        echo(console, column_lines(data.columns, data.plan.target))
        echo(console, split_lines(data.plan, len(data.held.known), members, test_source))
        about = _about(data.plan, seed)
        checkpoints = None if checkpoint is None else CheckpointFile(checkpoint, members, resume=resume, about=about)
        if checkpoints is not None and checkpoints.trainings:
            echo(console, [f"resuming from {checkpoint}"])
        seconds_left = None
        if time_limit is not None:
            afterwards = seconds_after_training(data.plan, len(data.held.known), members, report is not None)
            left = time_limit - (perf_counter() - start)
            seconds_left = max(0.01, left - min(afterwards, _MAX_RESERVED * left))
        with progress_for(members, quiet or as_json) as progress:
            fitted = _train(data, members, epochs, seconds_left, seed, jobs, progress, checkpoints)
        predictor = fitted.predictor
        with uninterrupted():
            with status("scoring the model", quiet or as_json):
                result = score_on(predictor, data.held, fitted.histories)
                seconds = perf_counter() - start
                findings = [*data.findings, *fitted.findings, *map(str, diagnose_fit(data.plan, fitted, result))]
            rows = describe_test_rows(data.plan, len(data.held.known), "" if test is None else str(test))
            echo(console, [f"  note: {notice}" for notice in fitted.target_notices])
            echo(console, [history_line(result, seconds), "", *score_lines(result, f"on {rows}")])
            echo(console, ["", "what to try next:", *(f"  {finding}" for finding in findings)] if findings else [])
            data.plan.table.notices += fitted.target_notices
            predictor.metadata |= _metadata(data.plan, result) | {
                "table": source.name,
                "columns": data.columns,
                "reading": source.state,
                "id": identifier or [],
                "weight": [weight] if weight else [],
                "group": [group] if group else [],
                "time": [time] if time else [],
                "tested on": rows,
                "findings": findings,
                "seconds": round(seconds, 3),
                "command": shlex.join(["chainrule", *sys.argv[1:]]),
            }
            predictor.save(out)
        echo(console, ["", f"model   {out}  ({out.stat().st_size / 1024:,.0f} KB)"])
        if report is not None:
            with status(f"writing the report {report}", quiet or as_json, announce=True):
                write_report(report, result)
            echo(console, [f"report  {report}"])
        echo(console, ["", f"Next: {shlex.join(['chainrule', 'predict', str(out), 'NEW_TABLE'])}"])
        if as_json:
            print_json({"model": str(out), "report": None if report is None else str(report)} | predictor.metadata)


@dataclass(frozen=True)
class _Special:
    """The columns that options name: those that are not inputs, and those that are read in another way."""

    target: str
    drop: Sequence[str]
    identifiers: Sequence[str]
    categories: Sequence[str]
    weight: str | None
    group: str | None
    time: str | None

    def left_out(self) -> list[str]:
        """Return the columns that are not inputs; TableError if a column has two uses that exclude each other."""
        for option, name in (("--group", self.group), ("--time", self.time)):
            if name == self.target:
                raise TableError(f"{option} must not name the target, got {name!r}")
        if self.group is not None and self.group == self.time:
            raise TableError(f"--group and --time must name different columns, got {self.group!r} for both")
        others = [name for name in (self.weight, self.group) if name is not None]
        return [*dict.fromkeys([*self.drop, *self.identifiers, *others])]


@dataclass(frozen=True)
class _Data:
    """A plan, the rows to score on, the descriptions of the columns, the sample weights of the training rows."""

    plan: Plan
    held: Table
    columns: list[dict[str, Any]]
    weights: Array | None
    n_columns: int
    findings: list[str]


def _read(
    source: TableFile, special: _Special, task: Task | None, test: Path | None, test_share: float | None, seed: int
) -> _Data:
    """Read the table and plan the training; raise TableError for everything that would fail after training."""
    target, categories = special.target, special.categories
    columns = read_columns(source.read(categories))
    needed = (special.weight, special.group, special.time)
    source.require_scalars([target, *special.identifiers, *categories, *(name for name in needed if name)])
    weights = None if special.weight is None else _weights_in(columns, special.weight, target)
    left_out = [name for name in special.left_out() if name not in source.nested]
    table = split_target(columns, target, left_out, task)
    table.notices += source.notices
    ties = Ties.read(columns, table, special.group, special.time)
    plan = make_plan(table, target, task, categories, 0.0 if test else test_share or 0.2, seed, ties)
    as_trained = Reading(trained=source.state, expected=list(table.inputs))
    held = table.part(plan.test) if test is None else split_target_for(plan, TableFile(test, reading=as_trained))
    plan.table.notices += require_scorable(plan, held)
    weights = None if weights is None else weights[plan.training]
    candidates = table.inputs | {name: columns[name] for name in special.identifiers if name not in special.drop}
    findings = structure_findings(candidates, plan)
    return _Data(plan, held, describe_columns(plan), weights, len(columns), findings)


def seconds_after_training(plan: Plan, n_test: int, members: int, report: bool) -> float:
    """Return about how long scoring, and the report, will take: a forward pass is timed, the rest is proportional."""
    encoder, target = plan.encoder, plan.target
    network = recipe_for(target).network(encoder.n_features, target.n_outputs, seed=0).copy(dtype="float64")
    X = np.zeros((_TIMED_ROWS, encoder.n_features))
    begin = perf_counter()
    network.infer(X)
    per_row = (perf_counter() - begin) / _TIMED_ROWS * members
    seconds = _FIXED_SECONDS + n_test * (per_row + _SECONDS_PER_SCORED_ROW)
    if report:
        n_columns = len(encoder.columns)
        permuted, dependent = 5 * min(n_columns, 40) + 1, 20 * min(n_columns, 4)
        seconds += _REPORT_SECONDS + per_row * (min(n_test, 2_000) * permuted + min(n_test, 500) * dependent)
    return seconds


def _about(plan: Plan, seed: int) -> dict[str, str | list[str]]:
    """Return what a checkpoint is about, so that another run's is refused in the user's terms."""
    return {
        "target": plan.target.name,
        "task": plan.target.task,
        "columns": list(plan.table.inputs),
        "seed": str(seed),
        "number of training rows": f"{len(plan.training):,}",
    }


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
    """Return a live line on a terminal, a line every ten seconds elsewhere, and nothing if `quiet`."""
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
