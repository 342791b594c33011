"""From a table to a scored predictor: split, encode, train, and measure on rows that training never saw."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.arrays import Array, require
from chainrule.data.columns import NumberColumn
from chainrule.data.reading import Columns, are_numbers, as_numbers, factorize, missing_rows, named
from chainrule.data.tabular import TabularEncoder, notices_of
from chainrule.data.targets import ClassTarget, NumberTarget, fit_target
from chainrule.errors import TableError
from chainrule.model.predictor import Predictor
from chainrule.nn.network import Network, mlp
from chainrule.training.callbacks import Callback, EarlyStopping
from chainrule.training.history import History
from chainrule.training.loop import train
from chainrule.training.metrics import METRICS
from chainrule.training.optimizers import Adam

Target = ClassTarget | NumberTarget
Scores = dict[str, float]

FEWEST_ROWS = 10
"""Fewer cannot be split into rows to train, to validate and to test on."""
WIDE = 512
"""Units a layer from which on a second thread is worth its while."""
SCORES = {"classification": ("accuracy", "log_loss"), "regression": ("rmse", "mae", "r2")}
HIGHER_IS_BETTER = frozenset(name for name, metric in METRICS.items() if metric.higher_is_better)


@dataclass(frozen=True)
class Recipe:
    """How the network is built and trained.

    Chosen on rows held out from the training rows of ten data sets. silu beat relu on most of them; a third layer and
    a little dropout helped where there is much to learn and hurt little elsewhere; the cosine spares the tuning of the
    rate.
    """

    hidden: tuple[int, ...] = (128, 128, 128)
    activation: str = "silu"
    dropout: float = 0.1
    learning_rate: float = 5e-3
    schedule: str = "cosine"
    epochs: int | None = None
    patience: int = 30

    def batch_size(self, n: int) -> int:
        """Return rows a step: about 32 steps an epoch, so that small tables get enough of them; 16 to 256."""
        return int(np.clip(2 ** round(np.log2(n / 32)), 16, 256)) if n > 32 else 16

    def n_epochs(self, n: int) -> int:
        """Return the epochs at most: as told, or what 6,000 steps make; 48 to 256, and less above 100,000 rows."""
        if self.epochs is not None:
            return self.epochs
        steps = -(-n // self.batch_size(n))
        return int(np.clip(6_000 // steps, max(12, 48 * min(1, 100_000 / n)), 256))


@dataclass(frozen=True)
class Rows:
    """Row numbers: to train on, to choose the best epoch by, and to test on. No row is in two of them."""

    training: Array
    validation: Array
    test: Array


@dataclass
class Table:
    """A table with its target apart, the numbers of the rows in which it is known, and what was noticed on the way."""

    inputs: Columns
    values: Array
    known: Array
    notices: list[str]

    def part(self, rows: Array) -> "Table":
        """Return some rows, their target known, as a table."""
        inputs = {name: column[rows] for name, column in self.inputs.items()}
        return Table(inputs, self.values[rows], np.arange(len(rows)), [])


@dataclass(frozen=True)
class Plan:
    """A table that is understood: what to learn, from which rows, and as which numbers."""

    table: Table
    target: Target
    rows: Rows
    encoder: TabularEncoder

    @property
    def notices(self) -> list[str]:
        """What a person should know, beside the columns left out."""
        left_out = notices_of(self.encoder.left_out)
        return self.table.notices + [note for note in self.encoder.notices if note not in left_out]


@dataclass(frozen=True)
class Result:
    """A scored predictor, with what a report tells of it."""

    predictor: Predictor
    history: History
    values: Array
    answers: Array
    scores: Scores
    baseline: Scores


def separate(columns: Columns, target: str, drop: Sequence[str] = ()) -> Table:
    """Return the target apart from the inputs, without dropped columns."""
    values = named(columns, target)
    inputs = {name: column for name, column in columns.items() if name != target}
    for name in drop:
        require(name != target, "--drop", "not name the target", name)
        named(inputs, name)
    inputs = {name: column for name, column in inputs.items() if name not in drop}
    if not inputs:
        raise TableError(f"the table must have a column to learn from, however: all it has is the target {target!r}")
    missing = missing_rows(target, values)
    notice = f"{target}: the {missing.sum():,} rows in which it is missing are not used"
    return Table(inputs, values, np.flatnonzero(~missing), [notice] if missing.any() else [])


def split(y: Array, test_share: float, seed: int, validation_share: float = 0.2) -> Rows:
    """Split rows three ways; `y` holds class numbers (n,), and each class is split alike, or anything (n, 1).

    With `test_share` 0 there are no test rows.
    """
    rng = np.random.default_rng(seed)
    strata = y if y.ndim == 1 else np.zeros(len(y), np.intp)
    rest, test = hold_out(strata, test_share, rng)
    training, validation = hold_out(strata[rest], validation_share, rng)
    return Rows(rest[training], rest[validation], test)


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


def understand(table: Table, name: str, task: str | None, test_share: float, seed: int) -> Plan:
    """Return what the target `name` is, the split, and the encoder fitted on the training rows.

    Raises TableError when there is too little of anything.
    """
    known = table.values[table.known]
    if len(table.values) and not len(known):
        raise TableError(f"target {name!r} must hold something, however: every cell is empty; choose another column")
    if len(known) < FEWEST_ROWS:
        raise TableError(
            f"a table must have {FEWEST_ROWS} rows with a target at least, to train, validate and test on, "
            f"however: it has {len(known)}"
        )
    for other, column in table.inputs.items():
        if column.dtype.kind == "f" or (column.dtype.kind == "O" and are_numbers(factorize(other, column)[0])):
            as_numbers(other, column)  # before rows are chosen, so that the row it names is the table's
    target = fit_target(name, table.values, task)
    rows = split(target.encode(known), test_share, seed)
    rows = Rows(*(table.known[part] for part in (rows.training, rows.validation, rows.test)))
    # What the test rows are like is none of the training's business; only the names of their classes are.
    seen = table.values[np.union1d(rows.training, rows.validation)]
    if isinstance(target, NumberTarget):
        target = NumberTarget.fit(name, seen)
    else:
        target = replace(target, shares=class_shares(target, seen))
    encoder = TabularEncoder().fit(table.part(rows.training).inputs)
    for number in (kept for kept in encoder.columns if isinstance(kept, NumberColumn)):
        as_numbers(number.name, table.inputs[number.name])  # on the whole table, whose row it names
    return Plan(table, target, rows, encoder)


def require_scorable(plan: Plan, held: Table) -> None:
    """Raise TableError, before any work is lost, for a table that the finished predictor could not be scored on."""
    plan.target.encode(held.values[held.known])
    plan.encoder.transform(held.inputs)


def class_shares(target: ClassTarget, values: Array) -> tuple[float, ...]:
    """Return each class's share of these values (n,)."""
    counts = np.bincount(target.encode(values), minlength=target.n_outputs)
    return tuple((counts / counts.sum()).tolist())


def build(recipe: Recipe, encoder: TabularEncoder, target: Target, seed: int) -> Network:
    """Return the recipe's network for this encoder and target."""
    sizes = (encoder.n_features, *recipe.hidden, target.n_outputs)
    return mlp(*sizes, activation=recipe.activation, loss=target.loss, dropout=recipe.dropout, seed=seed)


def fit(plan: Plan, recipe: Recipe, seed: int, callbacks: Sequence[Callback] = ()) -> tuple[Predictor, History]:
    """Train on the training rows and return the predictor of the epoch that was best on the validation rows.

    Classifiers are chosen by the Brier score, which one overconfident row does not decide as it does the logarithm.
    """
    table, target, rows = plan.table, plan.target, plan.rows
    X = plan.encoder.transform(table.inputs)
    X_training, X_validation = X[rows.training], X[rows.validation]
    n = len(X_training)
    network = build(recipe, plan.encoder, target, seed)
    chosen_by, shown = ("brier", "accuracy") if target.task == "classification" else ("mse", "r2")
    with threads_for(recipe):
        history = train(
            network,
            X_training,
            target.encode(table.values[rows.training]),
            optimizer=Adam(recipe.learning_rate),
            schedule=recipe.schedule,
            epochs=recipe.n_epochs(n),
            batch_size=recipe.batch_size(n),
            validation=(X_validation, target.encode(table.values[rows.validation])),
            metrics=[chosen_by, shown],
            callbacks=[EarlyStopping(f"validation_{chosen_by}", patience=recipe.patience), *callbacks],
            seed=seed,
        )
    return Predictor(plan.encoder, network, target), history


def threads_for(recipe: Recipe) -> AbstractContextManager[object]:
    """Return a context in which products of matrices as small as a narrow network's run on one thread.

    A second thread gains them nothing, and where another program wants the processor too, threads that wait for each
    other made training 24 times slower. Needs threadpoolctl; without it, nothing is changed.
    """
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[object] = threadpool_limits(1 if max(recipe.hidden) < WIDE else None)
    return limits


def score(target: Target, values: Array, answers: Array) -> Scores:
    """Return the scores of a network's answers (n, n_outputs) for rows whose target is `values` (n,)."""
    if isinstance(target, ClassTarget):
        y, prediction = target.encode(values), answers
    else:
        y, prediction = target.numbers(values), target.decode(answers)[:, np.newaxis]
    return {name: METRICS[name].function(y, prediction) for name in SCORES[target.task]}


def score_baseline(target: Target, values: Array) -> Scores:
    """Return the scores of knowing nothing of a row: the classes' shares in training, or the mean."""
    shares = target.shares if isinstance(target, ClassTarget) else (0.0,)
    return score(target, values, np.tile(np.array(shares), (len(values), 1)))


def show_score(name: str, value: float) -> str:
    """Return a score as text: errors in the target's unit with five digits, the others with four decimals."""
    return f"{value:.5g}" if name in ("rmse", "mae") else f"{round(value, 4) + 0:.4f}"


def score_on(predictor: Predictor, table: Table, history: History | None = None) -> Result:
    """Return the predictor with its scores, and the baseline's, on the rows of a table whose target is known."""
    answers, values, target = predictor.answers(table.inputs)[table.known], table.values[table.known], predictor.target
    scores, baseline = score(target, values, answers), score_baseline(target, values)
    return Result(predictor, history or History(), values, answers, scores, baseline)


def describe_columns(plan: Plan) -> list[dict[str, Any]]:
    """Return for each input what it is taken for: name, kind, missing cells, and levels, range or reason."""
    encoder = plan.encoder
    kinds = {column.name: column.kind for column in encoder.columns}
    return [
        {"name": name, "kind": kinds.get(name, "left out")}
        | describe_column(name, values, kinds.get(name), encoder.left_out.get(name, ""))
        for name, values in plan.table.inputs.items()
    ]


def describe_column(name: str, values: Array, kind: str | None, reason: str) -> dict[str, Any]:
    """Return how many cells are missing, and the range, the number of levels, or the reason it was left out."""
    missing = missing_rows(name, values)
    if kind == "number":
        numbers = as_numbers(name, values)
        known = numbers[~np.isnan(numbers)]
        return {"missing": len(numbers) - len(known), "from": float(known.min()), "to": float(known.max())}
    facts = {"levels": len(factorize(name, values[~missing])[0])} if kind else {"reason": reason}
    return {"missing": int(missing.sum())} | facts
