"""`chainrule train`: from a file to a model, scored on rows it has not seen."""

import os
import shlex
import sys
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from rich.console import Console

from chainrule.app.options import (
    FileArgument,
    JsonOption,
    KindOption,
    Task,
    check_places,
    one_line_errors,
    uninterrupted,
)
from chainrule.app.pipeline import (
    Plan,
    Result,
    coverage_of,
    describe_columns,
    examine,
    fit,
    require_scorable,
    score_on,
    separate,
    separate_for,
    understand,
)
from chainrule.app.progress import Board, Lines, Live
from chainrule.app.say import column_lines, console_for, history_line, print_json, row_lines, score_lines, tell
from chainrule.app.tables import STDIN, TableFile
from chainrule.arrays import Array, require
from chainrule.data.cells import as_numbers
from chainrule.data.reading import Columns, named, read_columns
from chainrule.errors import TableError
from chainrule.model.fitting import Executor, Serial, Threads
from chainrule.training.checkpoint import CheckpointFile

SECONDS_BETWEEN = 2.0
"""Between two writings of a member's checkpoint; its last epoch is written in any case."""


def train_command(
    file: FileArgument,
    target: Annotated[str, typer.Option(help="The column to predict.")],
    task: Annotated[Task | None, typer.Option(help="Taken from the target's values unless told.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="A column not to use; may be given several times.")] = None,
    identifier: Annotated[
        list[str] | None, typer.Option("--id", help="A column that names rows: not used, and kept by predict.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="A column whose numbers are codes, not quantities.")
    ] = None,
    weight: Annotated[str | None, typer.Option(help="A column of numbers: what each row counts for.")] = None,
    test: Annotated[Path | None, typer.Option(help="A table to test on, instead of rows of FILE.")] = None,
    test_share: Annotated[
        float | None, typer.Option(min=0.01, max=0.5, help="Share of FILE's rows to test on; unless told, 0.2.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the model goes; unless told, FILE's name, .chainrule.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report, one HTML file, here.")] = None,
    members: Annotated[int, typer.Option(min=2, help="Networks, each trained on all rows but one part.")] = 5,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Times each member sees its rows, at most; unless told, 64 or by the rows."),
    ] = None,
    time_limit: Annotated[float | None, typer.Option(min=1, help="Seconds after which training ends.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Members trained side by side; unless told, one a processor.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, the first weights and the order of rows.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Write here, time and again, all it takes to go on.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from --checkpoint, where there is one.")] = False,
    form: KindOption = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Train networks on a table and write a model file.

    A part of the rows is set apart for testing and never trained on; the scores are of those, beside what knowing
    nothing would score. Ctrl-C keeps the best networks so far.

    Example: `chainrule train penguins.csv --target species --report penguins.html`
    """
    start = perf_counter()
    console = console_for(quiet or as_json)
    with one_line_errors():
        given = "table" if file == STDIN else file.name.split(".")[0]
        out = out or Path(f"{given}.chainrule")
        require(checkpoint is not None or not resume, "--checkpoint", "be given with --resume", checkpoint)
        require(test is None or test_share is None, "--test-share", "not be given with --test", test_share)
        if test is not None and test.exists() and file.exists() and test.samefile(file):
            raise TableError(f"--test must be another table than FILE, whose rows are trained on, got {test}")
        if report is not None:
            from chainrule.app.report import write_report  # which says at once what it needs
        check_places({"--out": out, "--report": report, "--checkpoint": checkpoint}, {"FILE": file, "--test": test})
        source = TableFile(file, form)
        columns = read_columns(source.read(category or ()))
        weights = None if weight is None else weights_in(columns, weight, target)
        unused = [*(drop or ()), *(identifier or ()), *([weight] if weight else [])]
        table = separate(columns, target, unused)
        table.notices += source.notices
        plan = understand(table, target, task, category or (), 0.0 if test else test_share or 0.2, seed)
        held = table.part(plan.test) if test is None else separate_for(plan, TableFile(test))
        require_scorable(plan, held)
        described = describe_columns(plan)
        tell(console, [f"{file}: {len(table.values):,} rows, {len(columns)} columns", ""])
        tell(console, column_lines(described, plan.target))
        members = min(members, len(plan.training))
        tell(console, row_lines(plan, len(held.known), members, "" if test is None else f" from {test}"))
        kept = None if checkpoint is None else CheckpointFile(checkpoint, members, resume=resume)
        if kept is not None and kept.trainings:
            tell(console, [f"going on from {checkpoint}"])
        with board(members, quiet or as_json) as watched:
            fitted = fit(
                plan,
                weight=None if weights is None else weights[plan.training],
                n_members=members,
                epochs=epochs,
                time_limit=None if time_limit is None else max(0.01, time_limit - (perf_counter() - start)),
                seed=seed,
                workers=workers_for(jobs, members),
                watch=lambda k: [*watched.watch(k), *([kept.checkpoint(k, seconds=SECONDS_BETWEEN)] if kept else [])],
            )
        predictor, command = fitted.predictor, shlex.join(["chainrule", *sys.argv[1:]])
        with uninterrupted():
            result = score_on(predictor, held, fitted.histories)
            seconds = perf_counter() - start
            tell(console, [history_line(result, seconds), ""])
            of = "never trained on" if test is None else f"of {test}"
            tell(console, score_lines(result, f"on {len(held.known):,} rows {of}"))
            findings = [str(finding) for finding in examine(plan, fitted, result)]
            tell(console, ["", "what to try next:", *(f"  {finding}" for finding in findings)] if findings else [])
            predictor.metadata |= metadata(plan, result) | {
                "table": source.name,
                "columns": described,
                "id": identifier or [],
                "weight": [weight] if weight else [],
                "findings": findings,
                "seconds": round(seconds, 3),
                "command": command,
            }
            predictor.save(out)
        tell(console, ["", f"model   {out}  ({out.stat().st_size / 1024:,.0f} KB)"])
        if report is not None:
            write_report(report, result)
            tell(console, [f"report  {report}"])
        if as_json:
            print_json({"model": str(out), "report": None if report is None else str(report)} | predictor.metadata)


def board(members: int, quiet: bool) -> Board:
    """Return what shows the training: a live line on a terminal, a line a member elsewhere, nothing when quiet."""
    console = Console(stderr=True)
    return Board(members) if quiet else Live(members, console) if console.is_terminal else Lines(members)


def workers_for(jobs: int | None, members: int) -> Executor:
    """Return who trains the members: as many at once as there are processors to do it, or as was told."""
    if jobs is None:
        jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = min(jobs, members)
    return Threads(jobs) if jobs > 1 else Serial()


def weights_in(columns: Columns, name: str, target: str) -> Array:
    """Return what each row counts for, by a column's numbers."""
    if name == target:
        raise TableError(f"--weight must not be the target, got both are {name!r}")
    weights = as_numbers(name, named(columns, name))
    wrong = ~(weights > 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise TableError(f"--weight must be a column of numbers above 0, however row {row + 1} holds {weights[row]:g}")
    return weights


def metadata(plan: Plan, result: Result) -> dict[str, Any]:
    """Return what a reader of the model file may want to know of the training."""
    return {
        "rows": {"training": len(plan.training), "test": len(result.values)},
        "notices": plan.notices,
        "scores": result.scores,
        "spread": {name: list(ends) for name, ends in result.spread.items()},
        "baseline": result.baseline,
        "coverage": coverage_of(result),
    }
