"""The command `train`: from a table to a model file, with scores on held-out rows.

Options become a job: the plan and the rows to score on. The job is run, which gives trained networks; these are scored,
described and written.
"""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from chainrule.app import messages, plan
from chainrule.app.csv_file import Show
from chainrule.app.duration import seconds_after_training
from chainrule.app.options import TrainOptions
from chainrule.app.paths import shown
from chainrule.app.plan import Plan, Table
from chainrule.app.reporter import Reporter, uninterrupted
from chainrule.app.results import Result, Training, diagnose_fit, score_on
from chainrule.app.tables import TableFile
from chainrule.arrays import Array
from chainrule.data.cells import as_numbers
from chainrule.data.hints import suggestions
from chainrule.data.reading import Columns, n_rows, named, open_columns, read_columns
from chainrule.data.survey import Parts
from chainrule.errors import TableError
from chainrule.files.checkpoint import CheckpointFile
from chainrule.model import portfolio
from chainrule.model.executors import Executor, Serial, Threads
from chainrule.model.fitting import Fitted, encoder_for, fit_predictor, recipe_of
from chainrule.model.larger import Larger, available_memory, fits

_CHECKPOINT_SECONDS = 2.0
"""The least time between two writes of a member's checkpoint; its last epoch is always written."""
_MAX_RESERVED = 0.7
"""Largest fraction of the time limit that is reserved for what follows the training."""


@dataclass(frozen=True)
class _Job:
    """A plan, the rows to score on, the sample weights of the training rows, and what is known of the table."""

    options: TrainOptions
    source: TableFile
    plan: Plan
    held: Table
    weights: Array | None
    n_columns: int
    findings: list[str]
    larger: Larger | None = None
    """The table, if only a sample of its rows is in memory."""

    @property
    def n_rows(self) -> int:
        """Number of rows of the table."""
        return self.larger.survey.n_rows if self.larger else len(self.plan.table.values)

    @property
    def n_training(self) -> int:
        """Number of rows to train on; on disk, those that may turn out not to be usable are among them."""
        return len(self.plan.training) + self.n_rows - len(self.plan.table.values)

    @property
    def folds(self) -> int:
        """The number of folds: not more than rows."""
        given = {"folds": self.options.folds}
        return recipe_of(self.plan.target, self.options.quality, self.n_training, given).folds

    @property
    def members(self) -> int:
        """The number of networks."""
        planned = self.plan
        names = portfolio.names_for(planned.encoder, self.options.quality, planned.target.task, self.n_training)
        return self.folds * len(names)


def run(options: TrainOptions) -> None:
    """Train on a table, and write the model and the report."""
    reporter = Reporter(as_json=options.as_json, quiet=options.quiet)
    if options.report is not None:
        import chainrule.app.report  # noqa: F401 # fails now, before any work, if matplotlib is missing
    with reporter.step(f"reading {shown(options.file)}") as show:
        job = _job(options, show)
    columns = plan.describe_columns(job.plan)
    _describe(job, columns, reporter)
    begin = perf_counter()
    fitted = _fit(job, reporter)
    seen = job.plan.table.part(job.plan.training)
    training = Training(
        seen.inputs,
        seen.values,
        job.weights,
        fitted.out_of_fold,
        perf_counter() - begin,
        _command_without_paths(job.options),
    )
    with uninterrupted():
        result = _publish(job, columns, fitted, training, reporter)
    _report(job, result, training, reporter)


# Options -> job.


def _job(options: TrainOptions, show: Show) -> _Job:
    """Read the table and plan the training; raise TableError for everything that would fail after training."""
    source = TableFile(options.file, options.table.kind, options.table.reading(expected=[options.target]))
    columns, larger = _read(options, source, show)
    source.require_scalars(options.named)
    weights = None if options.weight is None else _weights_in(columns, options.weight)
    show("encoding", None)
    planned = plan.make_plan(
        columns,
        options.target,
        drop=[name for name in options.not_inputs if name not in source.nested],
        task=options.task,
        categories=options.category or [],
        group=options.group,
        time=options.time,
        test_fraction=0.0 if options.test else options.test_share or 0.2,
        seed=options.seed,
        rows=None if larger is None else larger.survey.rows,
    )
    candidates = [name for name in options.identifier or [] if name not in (options.drop or [])]
    tied = planned.table.inputs | {name: columns[name] for name in candidates}
    remedies = (None if options.group else "--group {name}", None if options.time else "--time {name}")
    findings = suggestions(tied, *remedies)
    if options.goal is not None and planned.target.n_outputs != 2:
        raise ValueError(f"--goal requires a target of two classes, got {planned.target.task} of {options.target!r}")
    held = planned.table.part(planned.test)
    if options.test is not None:
        held, shared = _test_table(options, source, planned, columns)
        findings += shared
    planned.table.notices[:] = [*source.notices, *planned.table.notices, *plan.require_scorable(planned, held)]
    weights = None if weights is None else weights[planned.training]
    if larger is not None:
        planned = replace(
            planned, encoder=larger.fit(encoder_for(planned.target, options.category or []), planned.table.inputs)
        )
        planned.table.notices.append(_about(larger, options))
    return _Job(options, source, planned, held, weights, len(columns), findings, larger)


def _read(options: TrainOptions, source: TableFile, show: Show) -> tuple[Columns, Larger | None]:
    """Return the columns of the table; if it is larger than the memory, those of a sample, and the way to the rest."""
    memory = options.memory or available_memory()
    if fits(source.n_cells, memory):
        return read_columns(source.read(options.category or [], show)), None
    names = options.category or []
    larger = Larger(
        _shown(source, source.parts(names), show),
        options.target,
        memory,
        categories=names,
        ignored=options.not_inputs,
        weight=options.weight,
        group=options.group,
        time=options.time,
        zero_weights=False,
        folder=options.output.absolute().parent,
        seed=options.seed,
    )
    return larger.survey.sample, None if larger.in_memory else larger


def _shown(source: TableFile, parts: Parts, show: Show) -> Parts:
    """Return the parts of a table, which show how many rows they are so far."""

    def counted(most: int) -> Iterator[object]:
        n = 0
        for part in parts(most):
            n += n_rows(open_columns(part))
            show(f"{n:,} rows", source.fraction)
            yield part

    return counted


def _about(larger: Larger, options: TrainOptions) -> str:
    """Return a notice about a table of which only a sample is in memory."""
    n, n_sample = larger.survey.n_rows, len(larger.survey.rows)
    which = ["of groups that are tested on or held out"] * bool(options.group)
    which += ["that are not earlier than test rows and held-out ones"] * bool(options.time)
    return (
        f"of {n:,} rows, a random {n_sample:,} are in memory: test rows, folds, calibration and report are of these; "
        f"every network is trained on all others, too{', but those ' * bool(which)}{' or '.join(which)}"
    )


def _test_table(options: TrainOptions, source: TableFile, planned: Plan, columns: Columns) -> tuple[Table, list[str]]:
    """Return the rows of --test, read like the training table, and findings about groups that they share with it."""
    assert options.test is not None
    reading = type(source.reading)(trained=source.state, expected=list(planned.table.inputs))
    held, others = plan.table_to_score(planned, TableFile(options.test, reading=reading))
    if options.group is None:
        return held, []
    return held, plan.shared_groups(options.group, columns[options.group][planned.training], others, str(options.test))


def _weights_in(columns: Columns, name: str) -> Array:
    """Return a column as sample weights; TableError unless all are > 0."""
    weights = as_numbers(name, named(columns, name))
    wrong = ~(weights > 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise TableError(f"--weight column {name!r}, row {row + 1}: expected a number > 0, got {weights[row]:g}")
    return weights


def _describe(job: _Job, columns: list[dict[str, Any]], reporter: Reporter) -> None:
    """Print how each column is read, and how the rows are split."""
    options = job.options
    reporter.say(f"{shown(options.file)}: {job.n_rows:,} rows, {job.n_columns} columns", "")
    reporter.say(*messages.column_lines(columns, job.plan.target))
    test_source = "" if options.test is None else f" from {options.test}"
    n_training = f"{'up to ' if job.larger else ''}{job.n_training:,}"
    reporter.say(*messages.split_lines(job.plan, n_training, len(job.held.known), job.members, test_source))


# Job -> trained networks.


def _fit(job: _Job, reporter: Reporter) -> Fitted:
    """Train the members, with progress and checkpoints."""
    options, planned = job.options, job.plan
    checkpoints = _checkpoints(job, reporter)
    seen = planned.table.part(planned.training)
    rest = None
    if job.larger is not None:
        rest = partial(job.larger.rest, planned.encoder, planned.target, planned.training, planned.test, None)
    seconds = _seconds_for_training(job)
    with reporter.training(job.members) as display:
        if job.larger:
            display.preparing = "encoding the rows on disk"
        return fit_predictor(
            seen.inputs,
            seen.values,
            planned.target,
            weight=job.weights,
            groups=planned.groups,
            times=planned.times,
            quality=options.quality,
            n_folds=job.folds,
            options=options.recipe,
            epochs=options.epochs,
            time_limit=seconds,
            seed=options.seed,
            encoder=planned.encoder,
            rest=rest,
            executor=_executor_for(options.jobs, job.members),
            callbacks_for=lambda k: [
                *display.callbacks_for(k),
                *([checkpoints.checkpoint(k, seconds=_CHECKPOINT_SECONDS)] if checkpoints else []),
            ],
        )


def _checkpoints(job: _Job, reporter: Reporter) -> CheckpointFile | None:
    """Return the file of checkpoints, if there is one; print how much of it is done already."""
    options, planned = job.options, job.plan
    if options.checkpoint is None:
        return None
    about: dict[str, str | list[str]] = {
        "target": planned.target.name,
        "task": planned.target.task,
        "columns": list(planned.table.inputs),
        "seed": str(options.seed),
        "number of training rows": f"{job.n_training:,}",
    }
    checkpoints = CheckpointFile(options.checkpoint, job.members, resume=options.resume, about=about)
    if checkpoints.trainings:
        done = [
            checkpoints.trainings[k]["state"]["epoch"] if k in checkpoints.trainings else 0 for k in range(job.members)
        ]
        epochs = ", ".join(map(str, done))
        reporter.say(f"resuming from {options.checkpoint}: the members have been trained for {epochs} epochs")
    return checkpoints


def _seconds_for_training(job: _Job) -> float | None:
    """Return what the time limit leaves for training, given what is spent, and what the rest is measured to take."""
    options = job.options
    if options.time_limit is None:
        return None
    has_report = options.report is not None
    afterwards = seconds_after_training(job.plan, job.held, job.members, has_report, options.baselines)
    left = options.time_limit - (perf_counter() - options.started)
    return max(0.01, left - min(afterwards, _MAX_RESERVED * left))


def _executor_for(jobs: int | None, members: int) -> Executor:
    """Return an executor with `jobs` threads; default: one per available processor."""
    if jobs is None:
        jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = min(jobs, members)
    return Threads(jobs) if jobs > 1 else Serial()


# Trained networks -> scores, model, report.


def _publish(
    job: _Job, columns: list[dict[str, Any]], fitted: Fitted, training: Training, reporter: Reporter
) -> Result:
    """Score the ensemble, print the scores and findings, and write the model."""
    options, planned, predictor = job.options, job.plan, fitted.predictor
    with reporter.step("scoring the model") as show:
        result = score_on(predictor, job.held, fitted.histories, show)
        seconds = perf_counter() - options.started
        show("diagnosis")
        findings = [*job.findings, *fitted.findings, *map(str, diagnose_fit(planned, fitted, result))]
    tested_on = planned.describe_test_rows(len(job.held.known), "" if options.test is None else options.test.name)
    reporter.say(*(f"  note: {notice}" for notice in fitted.target_notices))
    reporter.say(messages.history_line(result, seconds), "", *messages.score_lines(result, f"on {tested_on}"))
    reporter.say(*(["", "what to try next:", *(f"  {finding}" for finding in findings)] if findings else []))
    planned.table.notices += fitted.target_notices
    outcome = {"columns": columns, "tested on": tested_on, "findings": findings, "seconds": round(seconds, 3)}
    threshold = training.threshold(predictor.target, options.goal or "balanced")
    predictor.metadata |= {} if threshold is None else {"threshold": threshold}
    predictor.metadata |= _metadata(job, result) | outcome
    predictor.metadata |= {"command": training.command} if options.keep_command else {}
    predictor.save(options.output)
    reporter.say("", f"model   {options.output}  ({options.output.stat().st_size / 1024:,.0f} KB)")
    return result


def _metadata(job: _Job, result: Result) -> dict[str, Any]:
    """Return the rows, notices, scores and options, for the metadata of the model file."""
    options = job.options
    return {
        "rows": result.predictor.metadata["rows"] | {"test": len(result.values)},
        "notices": job.plan.notices,
        "scores": result.scores,
        "intervals": {name: list(ends) for name, ends in result.intervals.items()},
        "baseline": result.baseline,
        **result.uncertainty,
        "table": job.source.name,
        "file": {"rows": job.n_rows, "columns": job.n_columns, "sha256": job.source.sha256},
        "reading": job.source.state,
        "id": options.identifier or [],
        "weight": [options.weight] if options.weight else [],
        "group": [options.group] if options.group else [],
        "time": [options.time] if options.time else [],
    }


def _command_without_paths(options: TrainOptions) -> str:
    """Return the command line with the names of the files only."""
    paths = (options.file, options.test, options.out, options.report, options.checkpoint)
    names = {str(path): path.name for path in paths if path is not None}
    words = [word.rpartition("=") if word.startswith("-") else ("", "", word) for word in sys.argv[1:]]
    return shlex.join(
        ["chainrule", *(f"{option}{mark}{names.get(str(Path(value)), value)}" for option, mark, value in words)]
    )


def _report(job: _Job, result: Result, training: Training, reporter: Reporter) -> None:
    """Write the report, if it is wanted, and print the next commands."""
    options = job.options
    report = None if options.report is None else str(options.report)
    if options.report is not None:
        from chainrule.app.report import write_report

        with _model_is_written(), reporter.step(f"writing the report {report}", announce=True) as show:
            write_report(options.report, result, show, training, options.baselines)
        reporter.say(f"report  {report}")
    reporter.say("", "next:", *(f"  {command}" for command in messages.next_commands(options)))
    reporter.tell({"model": str(options.output), "report": report} | result.predictor.metadata)


@contextmanager
def _model_is_written() -> Iterator[None]:
    """A context in which an interruption loses the report only."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the model is written, the report is not") from None
