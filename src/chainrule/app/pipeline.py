"""From a table to a scored predictor: split, train, and evaluate on held-out rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule.app.scores import Target, score, score_baseline, score_interval
from chainrule.app.tables import TableFile
from chainrule.arrays import Array
from chainrule.data.cells import (
    MISSING_WORDS,
    are_numbers,
    as_dates,
    as_dates_only,
    as_numbers,
    factorize,
    is_missing,
    missing_rows,
    to_number,
)
from chainrule.data.columns import CategoryColumn, DateColumn, NumberColumn
from chainrule.data.reading import Columns, named, read_columns, take_rows
from chainrule.data.tabular import TabularEncoder, notices_of
from chainrule.data.targets import ClassTarget, NumberTarget, fit_target
from chainrule.errors import TableError
from chainrule.insight.diagnosis import Diagnosis, diagnose
from chainrule.model.fitting import CallbacksFor, Executor, Fitted, encoder_for, fit_predictor
from chainrule.model.predictor import Predictor
from chainrule.training.history import History

_MIN_ROWS = 10
"""Fewer rows cannot be split into training and test rows."""
_MOSTLY_NUMERIC = 0.95
"""If at least this fraction of a column's cells are numbers, the others are reported as mistakes."""

_RECIPE_FINDINGS = frozenset(
    {"rate too high", "rate too low", "inputs unscaled", "targets unscaled", "dead units", "saturated units"}
    | {"vanishing or exploding gradients"}
)
"""Findings about settings that the recipe makes, and that no option of the command line changes."""
_REMEDIES = {
    "majority-class collapse": "Increase --epochs or --time-limit, or add rows of the other classes",
    "still improving": "Increase --epochs or --time-limit",
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
class Plan:
    """A table, its target, its training and test rows, which are disjoint, and the encoder of its inputs."""

    table: Table
    target: Target
    training: Array
    test: Array
    encoder: TabularEncoder

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


# Splitting a table.


def split_target(columns: Columns, target: str, drop: Sequence[str] = ()) -> Table:
    """Return the inputs, without dropped columns, and the target."""
    values = named(columns, target)
    inputs = {name: column for name, column in columns.items() if name != target}
    for name in drop:
        if name == target:
            raise TableError(f"--drop, --id and --weight must not name the target, got {target!r}")
        named(inputs, name)
    inputs = {name: column for name, column in inputs.items() if name not in drop}
    if not inputs:
        raise TableError(f"the table must have at least one input column, got only the target {target!r}")
    values = _blank_missing_words(target, values)
    missing = missing_rows(target, values)
    n_missing = int(missing.sum())
    verb = "row with a missing target is" if n_missing == 1 else "rows with a missing target are"
    notices = [f"{target}: {n_missing:,} {verb} not used"] if n_missing else []
    return Table(inputs, values, np.flatnonzero(~missing), np.arange(1, len(values) + 1), notices)


def split_target_for(model: Predictor | Plan, source: TableFile) -> Table:
    """Return the inputs and the target of a table to score a model on; TableError if the target is never known."""
    name, n_outputs = model.target.name, len(model.target.output_names)
    if n_outputs > 1:
        raise TableError(f"the model must predict a single target, got {n_outputs}")
    table = split_target(read_columns(source.read(text_columns(model))), name)
    if not len(table.known):
        raise TableError(f"{source.name} must have at least one row in which {name!r} is known, got none")
    return table


def text_columns(model: Predictor | Plan) -> list[str]:
    """Return the columns that the model reads as text, even if they look like numbers in another file."""
    names = [column.name for column in model.encoder.columns if isinstance(column, CategoryColumn)]
    target = model.target
    return [*names, target.name] if isinstance(target, ClassTarget) and target.dtype == "str" else names


def _blank_missing_words(name: str, values: Array) -> Array:
    """Return a column with None in place of words such as "NA", if all other cells are numbers."""
    if values.dtype.kind != "O" or not are_numbers(factorize(name, values)[0]):
        return values
    missing = np.isnan(as_numbers(name, values))
    return np.where(missing, np.array(None, object), values) if missing.any() else values


def hold_out(strata: Array, fraction: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the indices of the kept and of the held-out rows: `fraction` of every stratum, to within one row.

    The rows are sorted by stratum, shuffled within each, and every (1 / fraction)-th row is held out. A stratum with a
    single row keeps it.
    """
    n = len(strata)
    order = rng.permutation(n)
    order = order[np.argsort(strata[order], kind="stable")]
    marks = np.floor(np.arange(n + 1) * fraction + rng.random())
    held = np.zeros(n, np.bool_)
    held[order] = np.diff(marks) > 0
    held &= np.bincount(strata)[strata] > 1
    return np.flatnonzero(~held), np.flatnonzero(held)


# Planning.


def make_plan(
    table: Table, name: str, task: str | None, categories: Sequence[str], test_fraction: float, seed: int
) -> Plan:
    """Return the target called `name`, the training and test rows, and the encoder fitted to the training rows.

    With `test_fraction` 0 there are no test rows. Raises TableError if the table cannot be learned from.
    """
    known = table.values[table.known]
    if len(table.values) and not len(known):
        raise TableError(f"target {name!r} must contain values, got only empty cells")
    if len(known) < _MIN_ROWS:
        raise TableError(f"the table must have at least {_MIN_ROWS} rows with a known target, got {len(known)}")
    if not task and (table.values.dtype.kind == "M" or as_dates_only(factorize(name, known)[0]) is not None):
        raise TableError(f"target {name!r} must contain classes or numbers, got dates. Convert them to days.")
    if name in categories:
        raise TableError(f"--category must not name the target, got {name!r}. Use --task classification.")
    for other, column in table.inputs.items():  # before the split, so that errors give the row's number in the file
        if other not in categories:
            _require_one_kind(other, column)
    target = fit_target(name, table.values, task)
    if isinstance(target, ClassTarget):
        notices = table.notices + _label_notices(target)
        table = replace(table, values=_integer_labels(table.values, target), notices=notices)
        target = fit_target(name, table.values, "classification")
    strata = target.encode(known) if isinstance(target, ClassTarget) else np.zeros(len(known), np.intp)
    training, test = (table.known[part] for part in hold_out(strata, test_fraction, np.random.default_rng(seed)))
    if test_fraction and not len(test):
        raise TableError(
            f"target {name!r} must have several rows per class, or no row is left for testing, got {len(known)} rows "
            f"and {target.n_outputs} classes. Pass --task regression if it is a number, or --test FILE."
        )
    # From here on only the training rows count; of the test rows, training knows no more than the names of the classes.
    seen = table.values[training]
    if isinstance(target, NumberTarget):
        target = NumberTarget.fit(name, seen)
    else:
        counts = np.bincount(target.encode(seen), minlength=target.n_outputs)
        target = replace(target, frequencies=tuple((counts / counts.sum()).tolist()))
    encoder = encoder_for(target, categories).fit(table.part(training).inputs)
    for numeric in (column for column in encoder.columns if isinstance(column, NumberColumn)):
        as_numbers(numeric.name, table.inputs[numeric.name])  # the whole column, for the row's number in the file
    return Plan(table, target, training, test, encoder)


def _require_one_kind(name: str, values: Array) -> None:
    """Raise TableError if a column contains an infinity, or mostly numbers and a few other values."""
    if values.dtype.kind == "f":
        as_numbers(name, values)
    if values.dtype.kind != "O":
        return
    distinct, codes = factorize(name, values)
    counts = np.bincount(codes, minlength=len(distinct))
    n_numbers = n_others = 0
    for value, count in zip(distinct, counts.tolist()):
        if is_missing(value):
            continue
        try:
            to_number(value)
            n_numbers += count
        except (TypeError, ValueError, OverflowError):
            n_others += count
    if not n_others and n_numbers:
        as_numbers(name, values)
    elif n_numbers >= _MOSTLY_NUMERIC * (n_numbers + n_others):
        cells = "this cell" if n_others == 1 else f"the {n_others:,} cells that are not numbers"
        try:
            as_numbers(name, values)
        except TableError as error:
            remedy = f"Correct {cells}, or pass --category {name} or --drop {name}."
            raise TableError(f"{str(error).rstrip('.')}. {remedy}") from None


def _integer_labels(values: Array, target: ClassTarget) -> Array:
    """Return labels as integers, if they were read as floats only because some are missing."""
    if target.dtype != "float64" or not all(float(label).is_integer() for label in target.labels):
        return values
    return np.array([None if is_missing(value) else int(value) for value in values.tolist()], object)


def _label_notices(target: ClassTarget) -> list[str]:
    """Return notices about labels that differ only in whitespace, or that look like missing values."""
    texts = [str(label) for label in target.labels]
    padded = [text for text in texts if text != text.strip() and text.strip() in texts]
    words = [text for text in texts if text.strip().lower() in MISSING_WORDS]
    return [
        *(
            f"{target.name}: {text!r} and {text.strip()!r} are different classes; they differ only in whitespace"
            for text in padded
        ),
        *(f"{target.name}: {word!r} is a class; leave cells empty if the target is missing" for word in words),
    ]


def require_scorable(plan: Plan, held: Table) -> None:
    """Raise TableError unless the table can be scored on, before any training."""
    plan.target.encode(held.values[held.known])
    plan.encoder.transform(held.inputs)


# Training and evaluation.


def train(plan: Plan, *, workers: Executor | None = None, watch: CallbacksFor | None = None, **options: Any) -> Fitted:
    """Train on the training rows; `options` are those of `fit_predictor`."""
    seen = plan.table.part(plan.training)
    return fit_predictor(
        seen.inputs, seen.values, plan.target, encoder=plan.encoder, executor=workers, callbacks_for=watch, **options
    )


def score_on(predictor: Predictor, table: Table, histories: Sequence[History] = ()) -> Result:
    """Return the predictor with its scores, and the baseline's, on the rows of a table whose target is known."""
    held, target = table.part(table.known), predictor.target
    predictions = predictor.predictions(table.inputs)  # of all rows, so that errors give the row's number in the file
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
    )


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


def coverage_of(result: Result, level: float = 0.9) -> float | None:
    """Return the fraction of rows within their prediction interval; None if the model has no intervals."""
    target, ensemble = result.predictor.target, result.predictor.ensemble
    if not isinstance(target, NumberTarget) or ensemble.residuals is None:
        return None
    low, high = ensemble.residual_quantiles(level)
    residuals = target.encode(result.values) - result.predictions
    return float(np.mean((low <= residuals) & (residuals <= high)))


# Descriptions.


def describe_columns(plan: Plan) -> list[dict[str, Any]]:
    """Return for each input its name, its kind, the number of missing cells, and its categories, range or reason."""
    encoder = plan.encoder
    fitted = {column.name: column for column in encoder.columns}
    return [_describe_column(name, values, fitted.get(name), encoder) for name, values in plan.table.inputs.items()]


def _describe_column(name: str, values: Array, column: object, encoder: TabularEncoder) -> dict[str, Any]:
    if isinstance(column, NumberColumn):
        numbers = as_numbers(name, values)
        known = numbers[~np.isnan(numbers)]
        summary = {"missing": len(numbers) - len(known), "min": float(known.min()), "max": float(known.max())}
        return {"name": name, "kind": column.kind} | summary
    if isinstance(column, DateColumn):
        dates = as_dates(name, values)
        known = dates[~np.isnat(dates)]
        days = {"min": str(known.min().astype("M8[D]")), "max": str(known.max().astype("M8[D]"))}
        return {"name": name, "kind": column.kind, "missing": len(dates) - len(known)} | days
    missing = missing_rows(name, values)
    n_missing = int(missing.sum())
    if column is None:
        return {"name": name, "kind": "left out", "missing": n_missing, "reason": encoder.left_out.get(name, "")}
    n_categories = len(factorize(name, values[~missing])[0])
    return {"name": name, "kind": "category", "missing": n_missing, "categories": n_categories}
