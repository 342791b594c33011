"""The command `explain`: the contribution of each column to predictions for rows of a table."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from chainrule.app.models import load_predictor, open_table, text_columns, warnings_as
from chainrule.app.options import ExplainOptions
from chainrule.app.paths import FIGURE_KINDS, kind_of, shown
from chainrule.app.reporter import Reporter
from chainrule.app.tables import write_table
from chainrule.arrays import Array
from chainrule.data.reading import Columns, n_rows, read_columns, take_rows
from chainrule.data.targets import ClassTarget
from chainrule.display import count
from chainrule.errors import TableError, did_you_mean
from chainrule.files.archive import write_whole
from chainrule.insight.explanation import Explanation, explain
from chainrule.insight.responses import sample_rows
from chainrule.model.background import N_ROWS
from chainrule.model.predictor import Predictor

_PAIRS_OF_SUMMARY = 2
"""Pairs of orders for a sample of rows: their means are more precise than the contributions to a single prediction."""


def run(options: ExplainOptions) -> None:
    """Print the largest contributions for each of the given rows, or a summary; write all of them to a file."""
    reporter = Reporter(as_json=options.as_json)
    predictor = load_predictor(options.model)
    _check_model(predictor, options)
    rng = np.random.default_rng(options.seed)
    table, notices = _read(predictor, options.file, options, reporter)
    background = None
    if options.background is not None:
        background, _ = _read(predictor, options.background, options, reporter)
        background = take_rows(background, sample_rows(n_rows(background), N_ROWS, rng))
    rows = _chosen_rows(n_rows(table), options, rng)
    with reporter.step(f"explaining {count(len(rows), 'row')}") as show, warnings_as(notices):
        explanation = _explained(
            predictor, table, rows, background, options, lambda done: show(f"{done:.0%} done", done)
        )
    reporter.say(*(f"note: {notice}" for notice in dict.fromkeys(notices)))
    for part in explanation if options.row else [explanation]:
        reporter.say_with_bars(f"{part.to_text(options.columns, options.of)}\n")
    if options.out is not None:
        _write(explanation, options.out, options)
        reporter.say(f"contributions  {options.out}")
    reporter.tell({"model": str(options.model), "notices": notices} | explanation.to_dict())


def _check_model(predictor: Predictor, options: ExplainOptions) -> None:
    """Raise TableError if the options do not fit the model."""
    if predictor.background is None and options.background is None:
        raise TableError(f"{options.model} contains no background rows. Pass --background TRAINING_TABLE.")
    target = predictor.target
    if options.of is None:
        return
    if not isinstance(target, ClassTarget):
        raise TableError(f"--class requires a classification model, got {options.model}, a regression model")
    labels = list(map(str, target.labels))
    explained = labels[1:] if len(labels) == 2 else labels
    if options.of not in explained:
        names = ", ".join(map(repr, explained))
        rule = f"{names}, the second of two classes" if len(labels) == 2 else f"one of {names}"
        raise TableError(f"--class must be {rule}, got {options.of!r}{did_you_mean(options.of, explained)}")


def _read(predictor: Predictor, path: Path, options: ExplainOptions, reporter: Reporter) -> tuple[Columns, list[str]]:
    """Return a table with at least one row, and the notices about its file."""
    source = open_table(predictor, path, options.table)
    with reporter.step(f"reading {shown(path)}") as show:
        table = read_columns(source.read(text_columns(predictor.encoder, predictor.target), show))
    if not n_rows(table):
        raise TableError(f"{source.name} must have at least one row, got only a header")
    return table, source.notices


def _chosen_rows(n: int, options: ExplainOptions, rng: np.random.Generator) -> Array:
    """Return the indices of the rows to explain."""
    for row in options.row or ():
        if row > n:
            raise TableError(f"--row must be <= {n:,}, the number of rows, got {row}")
    return np.array(options.row) - 1 if options.row else sample_rows(n, options.max_rows, rng)


def _explained(
    predictor: Predictor,
    table: Columns,
    rows: Array,
    background: Columns | None,
    options: ExplainOptions,
    progress: Callable[[float], object],
) -> Explanation:
    """Return the explanation of some rows, which has their numbers in the file."""
    predictor.encoder.layout.require(table)
    for row in rows.tolist():  # each on its own, so that errors give the row's number in the file
        predictor.encoder.transform(take_rows(table, np.array([row])), first_row=row)
    explanation = explain(
        predictor,
        take_rows(table, rows),
        background=background,
        permutations=options.permutations or (None if options.row else _PAIRS_OF_SUMMARY),
        seed=options.seed,
        progress=progress,
    )
    return replace(explanation, rows=rows + 1)


def _write(explanation: Explanation, path: Path, options: ExplainOptions) -> None:
    """Write the contributions as a table or as a figure, whichever the path's suffix indicates."""
    if path.suffix.lower() not in FIGURE_KINDS:
        write_table([pl.DataFrame(_columns(explanation))], path)
        return
    figure = explanation.plot(output=options.of, max_columns=options.columns).figure
    kind = kind_of(path, FIGURE_KINDS)
    write_whole(path, lambda file: figure.savefig(file, format=kind, dpi=150))


def _columns(explanation: Explanation) -> dict[str, object]:
    """Return a table with one row for each row and output."""
    n, outputs = len(explanation), explanation.outputs
    phi = explanation.contributions.reshape(n, len(explanation.columns), len(outputs))
    fixed = {
        "row": np.repeat(explanation.rows, len(outputs)),
        "output": list(outputs) * n,
        "prediction": explanation.predictions.ravel(),
        "baseline": np.tile(np.ravel(explanation.baseline), n),
    }
    return fixed | {f"contribution of {name}": phi[:, j].ravel() for j, name in enumerate(explanation.columns)}
