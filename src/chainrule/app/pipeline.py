"""From a table to a scored predictor: split, train, and evaluate on held-out rows."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np

from chainrule.app.scores import Target, score, score_baseline, score_interval
from chainrule.app.tables import TableFile
from chainrule.arrays import Array
from chainrule.data.cells import as_dates, as_numbers, factorize, missing_rows
from chainrule.data.columns import CategoryColumn, DateColumn, NumberColumn
from chainrule.data.formats import PLAIN, is_missing, is_missing_word
from chainrule.data.hints import group_like, suggestion, time_like
from chainrule.data.reading import Columns, named, read_columns, require_names, take_rows
from chainrule.data.recognition import Reading, recognize, require_no_strays
from chainrule.data.splits import (
    Split,
    Structure,
    copies,
    describe_copies,
    group_codes,
    hold_out,
    strata_of,
    time_numbers,
)
from chainrule.data.tabular import TabularEncoder, notices_of
from chainrule.data.targets import ClassTarget, NumberTarget, fit_target, read_target, target_notices
from chainrule.errors import TableError
from chainrule.insight.diagnosis import Diagnosis, diagnose
from chainrule.model.executors import Executor
from chainrule.model.fitting import CallbacksFor, Fitted, encoder_for, fit_predictor
from chainrule.model.predictor import Predictor
from chainrule.model.seen import TRAINING_ROWS, fraction_seen
from chainrule.training.history import History

_MIN_OVERLAP = 0.05
"""Fraction of evaluated rows among the training rows from which on the evaluation is called into question."""
_MIN_ROWS = 10
"""Fewer rows cannot be split into training and test rows."""

_RECIPE_FINDINGS = frozenset(
    {"learning rate too high", "learning rate too low", "unscaled inputs", "unscaled targets", "dead units"}
    | {"saturated units", "vanishing or exploding gradients"}
)
"""Findings about settings that the recipe makes, and that no option of the command line changes."""
_REMEDIES = {
    "class collapse": "Increase --epochs or --time-limit, or add rows of the other classes",
    "too few epochs": "Increase --epochs or --time-limit",
}
"""Kind of finding -> remedy, where the command line has another one than the Python interface."""


@dataclass
class Table:
    """A table split into inputs and target.

    `known` are the indices of the rows whose target is known, `rows` the rows' numbers in the file, from 1.
    """

    inputs: Columns
    values: Array
    known: Array
    rows: Array
    notices: list[str]

    def part(self, rows: Array) -> "Table":
        """Return some rows, all with a known target, as a table."""
        return Table(take_rows(self.inputs, rows), self.values[rows], np.arange(len(rows)), self.rows[rows], [])


@dataclass(frozen=True)
class Ties:
    """The columns that tie rows together, and the group numbers and times of the rows with a known target."""

    group: str | None = None
    time: str | None = None
    groups: Array | None = None
    times: Array | None = None

    @classmethod
    def read(cls, columns: Columns, table: Table, group: str | None, time: str | None) -> "Ties":
        """Read the columns that --group and --time name; TableError if they cannot divide the rows."""
        known = table.known
        groups = None if group is None else group_codes(group, named(columns, group)[known], "--group", known)
        times = None if time is None else time_numbers(time, named(columns, time)[known], "--time", known)
        return cls(group, time, groups, times)


@dataclass(frozen=True)
class Plan:
    """A table, its target, its training and test rows, which are disjoint, and the encoder of its inputs.

    `groups` and `times` are those of the training rows.
    """

    table: Table
    target: Target
    training: Array
    test: Array
    encoder: TabularEncoder
    ties: Ties = field(default_factory=Ties)
    groups: Array | None = None
    times: Array | None = None

    @property
    def notices(self) -> list[str]:
        """The notices to show; columns that are left out are listed in the table of columns already."""
        left_out = notices_of(self.encoder.left_out)
        return self.table.notices + [notice for notice in self.encoder.notices if notice not in left_out]


@dataclass(frozen=True)
class Result:
    """A predictor with its predictions for rows whose target is known, their scores, and the scores' intervals.

    `rows` are the rows' numbers in their file, from 1.
    """

    predictor: Predictor
    inputs: Columns
    values: Array
    rows: Array
    predictions: Array
    scores: dict[str, float]
    baseline: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    histories: list[History] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


# Splitting a table.


def split_target(columns: Columns, target: str, drop: Sequence[str] = (), task: str | None = None) -> Table:
    """Return the inputs, without dropped columns, and the target."""
    values = named(columns, target)
    inputs = {name: column for name, column in columns.items() if name != target}
    for name in drop:
        if name == target:
            raise TableError(f"--drop, --id and --weight must not name the target, got {target!r}")
    require_names(inputs, drop)
    inputs = {name: column for name, column in inputs.items() if name not in drop}
    if not inputs:
        raise TableError(f"the table must have at least one input column, got only the target {target!r}")
    values, notices = (values, []) if task == "classification" else read_target(target, values)
    missing = missing_rows(target, values)
    n_missing = int(missing.sum())
    verb = "row with a missing target is" if n_missing == 1 else "rows with a missing target are"
    notices += [f"{target}: {n_missing:,} {verb} not used"] if n_missing else []
    return Table(inputs, values, np.flatnonzero(~missing), np.arange(1, len(values) + 1), notices)


def split_target_for(model: Predictor | Plan, source: TableFile) -> Table:
    """Return the inputs and the target of a table to score a model on; TableError if the target is never known."""
    name, n_outputs = model.target.name, len(model.target.output_names)
    if n_outputs > 1:
        raise TableError(f"the model must predict a single target, got {n_outputs}")
    table = split_target(read_columns(source.read(text_columns(model))), name, task=model.target.task)
    if not len(table.known):
        raise TableError(f"{source.name} must have at least one row in which {name!r} is known, got none")
    return table


def text_columns(model: Predictor | Plan) -> list[str]:
    """Return the columns that the model reads as text, even if they look like numbers in another file."""
    names = [
        column.name
        for column in model.encoder.columns
        if isinstance(column, CategoryColumn) or (isinstance(column, NumberColumn) and column.format[:3] != PLAIN[:3])
    ]
    target = model.target
    return [*names, target.name] if isinstance(target, ClassTarget) and target.dtype == "str" else names


# Planning.


def make_plan(
    table: Table,
    name: str,
    task: str | None,
    categories: Sequence[str],
    test_fraction: float,
    seed: int,
    ties: Ties | None = None,
) -> Plan:
    """Return the target called `name`, the training and test rows, and the encoder fitted to the training rows.

    Test rows share no group and no copy with the training rows, and with times, they are the latest ones; see
    `chainrule.data.splits`. With `test_fraction` 0 there are no test rows. Raises TableError if the table cannot be
    learned from.
    """
    known = table.values[table.known]
    if len(table.values) and not len(known):
        raise TableError(f"target {name!r} must contain values, got only empty cells")
    if len(known) < _MIN_ROWS:
        raise TableError(f"the table must have at least {_MIN_ROWS} rows with a known target, got {len(known)}")
    if not task and (table.values.dtype.kind == "M" or recognize(name, known).kind == "date"):
        raise TableError(f"target {name!r} must contain classes or numbers, got dates. Convert them to days.")
    if name in categories:
        raise TableError(f"--category must not name the target, got {name!r}. Use --task classification.")
    # Before the split, so that errors give the row's number in the file.
    readings = {other: _read_kind(other, values) for other, values in table.inputs.items() if other not in categories}
    target = fit_target(name, table.values, task)
    table.notices += target_notices(target, table.values)
    if isinstance(target, ClassTarget):
        notices = table.notices + _label_notices(target)
        table = replace(table, values=_integer_labels(table.values, target), notices=notices)
        target = fit_target(name, table.values, "classification")
    ties = ties or Ties()
    split, notices = _split(table, target, categories, readings, test_fraction, seed, ties)
    training, test = table.known[split.training], table.known[split.held_out]
    if test_fraction and not len(test):
        raise TableError(
            f"target {name!r} must have several rows per class, or no row is left for testing, got {len(known)} rows "
            f"and {target.n_outputs} classes. Pass --task regression if it is a number, or --test FILE."
        )
    table = replace(table, notices=table.notices + notices)
    # From here on only the training rows count; of the test rows, training knows no more than the names of the classes.
    seen = table.values[training]
    if isinstance(target, NumberTarget):
        target = NumberTarget.fit(name, seen)
    else:
        counts = np.bincount(target.encode(seen), minlength=target.n_outputs)
        target = replace(target, frequencies=tuple((counts / counts.sum()).tolist()))
    encoder = encoder_for(target, categories).fit(table.part(training).inputs, readings=readings)
    groups, times = (None if of is None else of[split.training] for of in (ties.groups, ties.times))
    return Plan(table, target, training, test, encoder, ties, groups, times)


def _split(
    table: Table,
    target: Target,
    categories: Sequence[str],
    readings: dict[str, Reading],
    fraction: float,
    seed: int,
    ties: Ties,
) -> tuple[Split, list[str]]:
    """Return the split of the rows with a known target, and notices about it."""
    known = table.part(table.known)
    y = target.encode(known.values)
    units, notices = ties.groups, []
    if units is None:
        inputs = _without_identifiers(known.inputs, target, categories, readings)
        units = copies(inputs if ties.times is None else inputs | {"--time": ties.times}, y)
        notices = [] if units is None else [describe_copies(units)]
    split = hold_out(Structure(strata_of(y), units, ties.times), fraction, np.random.default_rng(seed))
    if ties.groups is not None:
        n_training, n_test = (len(np.unique(ties.groups[part])) for part in (split.training, split.held_out))
        if n_training < 2 or (fraction and not n_test):
            subject, n = f"--group column {ties.group!r}", ties.groups.max() + 1
            rule = "at least 2 groups to train on and 1 to test on" if fraction else "at least 2 groups"
            raise TableError(f"{subject} must have {rule}, got {n} groups with {n_training} among the training rows")
    unused = len(known.known) - len(split.training) - len(split.held_out)
    if unused:
        reason = "early rows of groups to test on, and late rows of the others"
        notices.append(f"{unused:,} rows are used neither for training nor for testing: {reason}")
    return split, notices


def _without_identifiers(
    inputs: Columns, target: Target, categories: Sequence[str], readings: dict[str, Reading]
) -> Columns:
    """Return the inputs without the columns that the encoder will leave out because all values differ."""
    n = len(next(iter(inputs.values())))
    different = {name: values for name, values in inputs.items() if len(factorize(name, values)[0]) == n}
    encoder = encoder_for(target, [name for name in categories if name in different])
    try:
        left_out = encoder.fit(different, readings=readings).left_out if different else {}
    except TableError:  # all of them
        left_out = encoder.left_out
    return {name: values for name, values in inputs.items() if name not in left_out}


def _read_kind(name: str, values: Array) -> Reading:
    """Return how to read a column; TableError if it contains an infinity, or a few cells of another kind."""
    reading = recognize(name, values) if values.dtype.kind not in "mM" else Reading("date")
    require_no_strays(name, values, reading, f"pass --category {name} or --drop {name}")
    if reading.kind == "number":
        as_numbers(name, values, 0, reading.number_format)
    return reading


def _integer_labels(values: Array, target: ClassTarget) -> Array:
    """Return labels as integers, if they were read as floats only because some are missing."""
    if target.dtype != "float64" or not all(float(label).is_integer() for label in target.labels):
        return values
    return np.array([None if is_missing(value) else int(value) for value in values.tolist()], object)


def _label_notices(target: ClassTarget) -> list[str]:
    """Return notices about labels that look like missing values."""
    words = [str(label) for label in target.labels if is_missing_word(str(label))]
    return [f"{target.name}: {word!r} is a class; leave cells empty if the target is missing" for word in words]


def require_scorable(plan: Plan, held: Table) -> list[str]:
    """Raise TableError unless the table can be scored on, before any training; return the encoder's warnings."""
    plan.target.encode(held.values[held.known])
    notices: list[str] = []
    with warnings_as(notices):
        plan.encoder.transform(held.inputs)
    return notices


@contextmanager
def warnings_as(notices: list[str]) -> Iterator[None]:
    """A context in which warnings to the user are not printed but added to a list."""
    with catch_warnings(record=True) as caught:
        simplefilter("always", UserWarning)
        yield
    notices += [str(warning.message) for warning in caught]


# Training and evaluation.


def train(plan: Plan, *, workers: Executor | None = None, watch: CallbacksFor | None = None, **options: Any) -> Fitted:
    """Train on the training rows; `options` are those of `fit_predictor`."""
    seen = plan.table.part(plan.training)
    return fit_predictor(
        seen.inputs,
        seen.values,
        plan.target,
        groups=plan.groups,
        times=plan.times,
        encoder=plan.encoder,
        executor=workers,
        callbacks_for=watch,
        **options,
    )


def score_on(predictor: Predictor, table: Table, histories: Sequence[History] = ()) -> Result:
    """Return the predictor with its scores, and the baseline's, on the rows of a table whose target is known."""
    held, target = table.part(table.known), predictor.target
    notices: list[str] = []
    with warnings_as(notices):  # predict all rows, so that errors give the row's number in the file
        predictions = predictor.predictions(table.inputs)
    predictions = predictions[table.known]
    return Result(
        predictor,
        held.inputs,
        held.values,
        held.rows,
        predictions,
        score(target, held.values, predictions),
        score_baseline(target, held.values),
        score_interval(target, held.values, predictions),
        list(histories),
        notices,
    )


def training_overlap(predictor: Predictor, table: Table) -> list[str]:
    """Return a notice if some of the rows with a known target are among those the predictor was trained on."""
    sample = predictor.metadata.get(TRAINING_ROWS)
    if sample is None:
        return []
    held = table.part(table.known)
    with warnings_as([]):  # those that `score_on` has noted already
        X = predictor.encoder.transform(held.inputs)
    fraction = fraction_seen(sample, X, predictor.target.encode(held.values))
    if fraction < _MIN_OVERLAP:
        return []
    return [f"about {fraction:.0%} of the rows were in the training data: the scores are too good. Use held-out rows."]


def diagnose_fit(plan: Plan, fitted: Fitted, result: Result) -> Diagnosis:
    """Return the problems of the first member, and of the ensemble's predictions for rows it was not trained on.

    Findings about the settings of the recipe are left out, because no option of the command line changes them.
    """
    predictor = fitted.predictor
    seen, target, encoder = plan.table.part(plan.training), predictor.target, predictor.encoder
    findings = diagnose(
        predictor.ensemble.networks[0],
        encoder.transform(seen.inputs),
        target.encode(seen.values),
        fitted.histories[0],
        validation=(encoder.transform(result.inputs), target.encode(result.values)),
        predictions=fitted.out_of_fold,
        names=encoder.get_feature_names_out().tolist(),
        labels=[str(label) for label in target.labels] if isinstance(target, ClassTarget) else None,
        rows=plan.training + 1,
    )
    relevant = (finding for finding in findings if finding.kind not in _RECIPE_FINDINGS)
    return Diagnosis(replace(finding, remedy=_REMEDIES.get(finding.kind, finding.remedy)) for finding in relevant)


def structure_findings(columns: Columns, plan: Plan) -> list[str]:
    """Return findings about columns that look like groups or times, unless --group and --time name some."""
    findings = []
    for names, option, given in (
        (group_like(columns), "--group", plan.ties.group),
        (time_like(columns), "--time", plan.ties.time),
    ):
        if names and given is None:
            findings.append(suggestion(names[0], option, f"{option} {shlex.quote(names[0])}"))
    return findings


def coverage_of(result: Result, level: float = 0.9) -> float | None:
    """Return the fraction of rows within their prediction interval; None if the model has no intervals."""
    target, ensemble = result.predictor.target, result.predictor.ensemble
    if not isinstance(target, NumberTarget) or ensemble.residuals is None:
        return None
    low, high = ensemble.residual_quantiles(level)
    residuals = target.encode(result.values) - result.predictions
    return float(np.mean((low <= residuals) & (residuals <= high)))


# Descriptions.


def describe_test_rows(plan: Plan, n_test: int, source: str = "") -> str:
    """Return which rows the scores are on."""
    if source:
        return f"{n_test:,} rows of {source}"
    ties = plan.ties
    if ties.groups is None and ties.times is None:
        return f"{n_test:,} held-out rows"
    share = f"the latest {n_test / len(plan.table.known):.0%} of rows"
    n_groups = 0 if ties.groups is None else len(np.unique(ties.groups[np.isin(plan.table.known, plan.test)]))
    if ties.times is None:
        return f"{n_test:,} rows of {n_groups:,} new groups"
    return f"{share} ({n_test:,})" if ties.groups is None else f"{share}, {n_groups:,} new groups"


def describe_columns(plan: Plan) -> list[dict[str, Any]]:
    """Return for each input its name, its kind, the number of missing cells, and its categories, range or reason."""
    encoder = plan.encoder
    fitted = {column.name: column for column in encoder.columns}
    return [_describe_column(name, values, fitted.get(name), encoder) for name, values in plan.table.inputs.items()]


def _describe_column(name: str, values: Array, column: object, encoder: TabularEncoder) -> dict[str, Any]:
    if isinstance(column, NumberColumn):
        numbers = column.read(values)[""]
        known = numbers[~np.isnan(numbers)]
        summary = {"missing": len(numbers) - len(known), "min": float(known.min()), "max": float(known.max())}
        return {"name": name, "kind": column.kind} | summary
    if isinstance(column, DateColumn):
        dates = as_dates(name, values, 0, column.format)
        known = dates[~np.isnat(dates)]
        days = {"min": str(known.min().astype("M8[D]")), "max": str(known.max().astype("M8[D]"))}
        return {"name": name, "kind": column.kind, "missing": len(dates) - len(known)} | days
    missing = missing_rows(name, values)
    n_missing = int(missing.sum())
    if column is None:
        return {"name": name, "kind": "left out", "missing": n_missing, "reason": encoder.left_out.get(name, "")}
    n_categories = len(factorize(name, values[~missing])[0])
    return {"name": name, "kind": "category", "missing": n_missing, "categories": n_categories}
