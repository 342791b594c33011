"""From a table to a scored predictor: split, train, and measure on rows that training never saw."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule.app.scores import Target, score, score_baseline, spread
from chainrule.app.tables import TableFile
from chainrule.arrays import Array, require
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

FEWEST_ROWS = 10
"""Fewer cannot be split into rows to train and to test on."""
NEARLY_ALL = 0.95
"""The share of a column's cells from which on those that are no number look like mistakes."""

THE_RECIPES = frozenset(
    {"learning rate too high", "learning rate too low", "unscaled inputs", "unscaled targets", "dead units"}
    | {"saturated units", "vanishing or exploding gradients"}
)
"""Kinds of findings about what the recipe decides."""
REMEDIES = {
    "class collapse": "Give more --epochs or a longer --time-limit, or more rows of the others",
    "too few epochs": "Give more --epochs, or a longer --time-limit",
}
"""Kind -> what to do about it at the command line, where that is another thing than in Python."""


@dataclass
class Table:
    """A table with its target apart, the rows in which it is known, and what was noticed on the way.

    `rows` are the rows' numbers in the file, from 1.
    """

    inputs: Columns
    values: Array
    known: Array
    rows: Array
    notices: list[str]

    def part(self, rows: Array) -> "Table":
        """Return some rows, their target known, as a table."""
        return Table(take_rows(self.inputs, rows), self.values[rows], np.arange(len(rows)), self.rows[rows], [])


@dataclass(frozen=True)
class Plan:
    """A table that is understood: what to learn, from which rows, and as which numbers; no row is in both parts."""

    table: Table
    target: Target
    training: Array
    test: Array
    encoder: TabularEncoder

    @property
    def notices(self) -> list[str]:
        """What a person should know, beside the columns left out."""
        left_out = notices_of(self.encoder.left_out)
        return self.table.notices + [note for note in self.encoder.notices if note not in left_out]


@dataclass(frozen=True)
class Result:
    """A predictor with its answers for rows whose target is known, scored; `spread` is where scores may lie.

    `rows` are the rows' numbers in their file, from 1.
    """

    predictor: Predictor
    inputs: Columns
    values: Array
    rows: Array
    predictions: Array
    scores: dict[str, float]
    baseline: dict[str, float]
    spread: dict[str, tuple[float, float]]
    histories: list[History] = field(default_factory=list)


def separate(columns: Columns, target: str, drop: Sequence[str] = ()) -> Table:
    """Return the target apart from the inputs, without dropped columns."""
    values = named(columns, target)
    inputs = {name: column for name, column in columns.items() if name != target}
    for name in drop:
        if name == target:
            raise TableError(f"the target {target!r} must not be among --drop, --id and --weight")
        named(inputs, name)
    inputs = {name: column for name, column in inputs.items() if name not in drop}
    if not inputs:
        raise TableError(f"the table must have a column to learn from, got the target {target!r}")
    values = without_words(target, values)
    missing = missing_rows(target, values)
    told = (
        "1 row in which it is missing is"
        if missing.sum() == 1
        else f"{missing.sum():,} rows in which it is missing are"
    )
    notice = f"{target}: the {told} not used"
    rows = np.arange(1, len(values) + 1)
    return Table(inputs, values, np.flatnonzero(~missing), rows, [notice] if missing.any() else [])


def separate_for(model: Predictor | Plan, source: TableFile) -> Table:
    """Return a table to score a model on, its target apart; TableError when no row has one."""
    name, n_outputs = model.target.name, len(model.target.output_names)
    if n_outputs > 1:
        raise TableError(f"the model must answer one number a row, the target, got it answers {n_outputs}")
    table = separate(read_columns(source.read(words_of(model))), name)
    if not len(table.known):
        raise TableError(f"the table to score on must have a row whose {name!r} is known, got none has")
    return table


def words_of(model: Predictor | Plan) -> list[str]:
    """Return the columns whose cells are words to a model, whatever those of another file look like."""
    words = [column.name for column in model.encoder.columns if isinstance(column, CategoryColumn)]
    target = model.target
    return [*words, target.name] if isinstance(target, ClassTarget) and target.dtype == "str" else words


def without_words(name: str, values: Array) -> Array:
    """Return a column with nothing where people write a word for a missing number, if all the rest are numbers."""
    if values.dtype.kind != "O" or not are_numbers(factorize(name, values)[0]):
        return values
    missing = np.isnan(as_numbers(name, values))
    return np.where(missing, np.array(None, object), values) if missing.any() else values


def hold_out(strata: Array, share: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the row numbers kept and those held out: `share` of every stratum, to within one row.

    The rows are lined up stratum by stratum, shuffled within each, and every (1 / share)-th is held out. The only row
    of a stratum is kept.
    """
    n = len(strata)
    order = rng.permutation(n)
    order = order[np.argsort(strata[order], kind="stable")]
    marks = np.floor(np.arange(n + 1) * share + rng.random())
    held = np.zeros(n, np.bool_)
    held[order] = np.diff(marks) > 0
    held &= np.bincount(strata)[strata] > 1
    return np.flatnonzero(~held), np.flatnonzero(held)


def understand(
    table: Table, name: str, task: str | None, categories: Sequence[str], test_share: float, seed: int
) -> Plan:
    """Return what the target `name` is, which rows to train and to test on, and the encoder of the former.

    With `test_share` 0 there are no test rows. Raises TableError when there is too little of anything.
    """
    known = table.values[table.known]
    if len(table.values) and not len(known):
        raise TableError(f"target {name!r} must hold something, got every cell is empty; choose another column")
    if len(known) < FEWEST_ROWS:
        raise TableError(
            f"a table must have {FEWEST_ROWS} rows with a target at least, to train and test on, "
            f"however: it has {len(known)}"
        )
    if not task and (table.values.dtype.kind == "M" or as_dates_only(factorize(name, known)[0]) is not None):
        raise TableError(f"target {name!r} must hold classes or numbers, got dates; give days as numbers")
    require(name not in categories, "--category", "not name the target; say --task classification", name)
    for other, column in table.inputs.items():  # before rows are chosen, so that the row that is named is the table's
        if other not in categories:
            require_one_kind(other, column)
    target = fit_target(name, table.values, task)
    if isinstance(target, ClassTarget):
        table = replace(table, values=whole_labels(table.values, target), notices=table.notices + odd_labels(target))
        target = fit_target(name, table.values, "classification")
    strata = target.encode(known) if isinstance(target, ClassTarget) else np.zeros(len(known), np.intp)
    training, test = (table.known[part] for part in hold_out(strata, test_share, np.random.default_rng(seed)))
    # What the test rows are like is none of the training's business; only the names of their classes are.
    seen = table.values[training]
    if isinstance(target, NumberTarget):
        target = NumberTarget.fit(name, seen)
    else:
        counts = np.bincount(target.encode(seen), minlength=target.n_outputs)
        target = replace(target, frequencies=tuple((counts / counts.sum()).tolist()))
    encoder = encoder_for(target, categories).fit(table.part(training).inputs)
    for number in (kept for kept in encoder.columns if isinstance(kept, NumberColumn)):
        as_numbers(number.name, table.inputs[number.name])  # on the whole table, whose row it names
    return Plan(table, target, training, test, encoder)


def require_one_kind(name: str, values: Array) -> None:
    """Raise TableError for a column that is infinite somewhere, or of numbers but for a few cells, and say which."""
    if values.dtype.kind == "f":
        as_numbers(name, values)
    if values.dtype.kind != "O":
        return
    levels, codes = factorize(name, values)
    counts = np.bincount(codes, minlength=len(levels))
    numbers = others = 0
    for level, count in zip(levels, counts.tolist()):
        if is_missing(level):
            continue
        try:
            to_number(level)
            numbers += count
        except (TypeError, ValueError, OverflowError):
            others += count
    if not others and numbers:
        as_numbers(name, values)
    elif numbers >= NEARLY_ALL * (numbers + others):
        remedy = f"mend the {others:,} such cells, or give --category {name} or --drop {name}"
        try:
            as_numbers(name, values)
        except TableError as error:
            raise TableError(f"{error}; {remedy}") from None


def whole_labels(values: Array, target: ClassTarget) -> Array:
    """Return labels as whole numbers where holes alone have made a table's reader call them fractions."""
    if target.dtype != "float64" or not all(float(label).is_integer() for label in target.labels):
        return values
    return np.array([None if is_missing(value) else int(value) for value in values.tolist()], object)


def odd_labels(target: ClassTarget) -> list[str]:
    """Return a notice of labels that differ by blanks around them alone, or that are words for nothing."""
    texts = [str(label) for label in target.labels]
    stray = [text for text in texts if text != text.strip() and text.strip() in texts]
    words = [text for text in texts if text.strip().lower() in MISSING_WORDS]
    return [
        *(f"{target.name}: {text!r} and {text.strip()!r} are two classes; blanks tell them apart" for text in stray),
        *(f"{target.name}: {word} is a class like any other; leave cells empty where it is missing" for word in words),
    ]


def require_scorable(plan: Plan, held: Table) -> None:
    """Raise TableError, before any work is lost, for a table that the finished predictor could not be scored on."""
    plan.target.encode(held.values[held.known])
    plan.encoder.transform(held.inputs)


def fit(plan: Plan, *, workers: Executor | None = None, watch: CallbacksFor | None = None, **options: Any) -> Fitted:
    """Train on the training rows; `options` are those of `fit_predictor`."""
    seen = plan.table.part(plan.training)
    return fit_predictor(
        seen.inputs, seen.values, plan.target, encoder=plan.encoder, executor=workers, callbacks_for=watch, **options
    )


def score_on(predictor: Predictor, table: Table, histories: Sequence[History] = ()) -> Result:
    """Return the predictor with its scores, and the baseline's, on the rows of a table whose target is known."""
    held, target = table.part(table.known), predictor.target
    predictions = predictor.predictions(table.inputs)[
        table.known
    ]  # of all rows, so that errors name them as they are counted
    return Result(
        predictor,
        held.inputs,
        held.values,
        held.rows,
        predictions,
        score(target, held.values, predictions),
        score_baseline(target, held.values),
        spread(target, held.values, predictions),
        list(histories),
    )


def examine(plan: Plan, fitted: Fitted, result: Result) -> Diagnosis:
    """Return what stands in the training's way: of the first member, and of all members' answers for unseen rows.

    Nothing of what the recipe decides, which nobody at the command line can change.
    """
    predictor = fitted.predictor
    seen, target, encoder = plan.table.part(plan.training), predictor.target, predictor.encoder
    found = diagnose(
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
    ours = (finding for finding in found if finding.kind not in THE_RECIPES)
    return Diagnosis(replace(finding, remedy=REMEDIES.get(finding.kind, finding.remedy)) for finding in ours)


def coverage_of(result: Result, promised: float = 0.9) -> float | None:
    """Return the share of rows whose true number lies in its interval; None where there are no intervals."""
    target, ensemble = result.predictor.target, result.predictor.ensemble
    if not isinstance(target, NumberTarget) or ensemble.residuals is None:
        return None
    low, high = ensemble.residual_quantiles(promised)
    residuals = target.encode(result.values) - result.predictions
    return float(np.mean((low <= residuals) & (residuals <= high)))


def describe_columns(plan: Plan) -> list[dict[str, Any]]:
    """Return for each input what it is taken for: name, kind, missing cells, and levels, range or reason."""
    encoder = plan.encoder
    kinds = {column.name: column for column in encoder.columns}
    return [describe_column(name, values, kinds.get(name), encoder) for name, values in plan.table.inputs.items()]


def describe_column(name: str, values: Array, column: object, encoder: TabularEncoder) -> dict[str, Any]:
    """Return what a column is taken for, how many cells are missing, and its range, levels, or why it is left out."""
    if isinstance(column, NumberColumn):
        numbers = as_numbers(name, values)
        seen = numbers[~np.isnan(numbers)]
        facts = {"missing": len(numbers) - len(seen), "from": float(seen.min()), "to": float(seen.max())}
        return {"name": name, "kind": column.kind} | facts
    if isinstance(column, DateColumn):
        dates = as_dates(name, values)
        seen = dates[~np.isnat(dates)]
        days = {"from": str(seen.min().astype("M8[D]")), "to": str(seen.max().astype("M8[D]"))}
        return {"name": name, "kind": column.kind, "missing": len(dates) - len(seen)} | days
    missing = missing_rows(name, values)
    if column is None:
        return {
            "name": name,
            "kind": "left out",
            "missing": int(missing.sum()),
            "reason": encoder.left_out.get(name, ""),
        }
    levels = len(factorize(name, values[~missing])[0])
    return {"name": name, "kind": "category", "missing": int(missing.sum()), "levels": levels}
