"""From a table to a predictor: encode it, train the recipe's members on its folds, calibrate their predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from math import ceil
from threading import Lock
from time import perf_counter
from typing import Any, Protocol

import numpy as np

import chainrule
from chainrule.arrays import Array, digest
from chainrule.data.reading import Columns
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.model.ensemble import Ensemble
from chainrule.model.predictor import Predictor
from chainrule.model.recipe import (
    CLASSIFICATION,
    REGRESSION,
    Member,
    Recipe,
    TimeBudget,
    folds,
    train_member,
)
from chainrule.model.scale import choose_scale
from chainrule.training.batches import Batch
from chainrule.training.callbacks import Callback
from chainrule.training.history import History
from chainrule.training.metrics import Metric
from chainrule.training.run import Run

_MIN_SECONDS = 0.01
_POLL_SECONDS = 0.1
"""Interval at which the main thread checks for Ctrl-C."""

MemberTask = Callable[[Sequence[Callback]], Member]
"""Trains a member, with these callbacks in addition to its own."""
CallbacksFor = Callable[[int], Sequence[Callback]]
"""Returns the callbacks of the member of that number, counted from 0."""


class Executor(Protocol):
    """Trains the members, `jobs` of them at a time."""

    jobs: int

    def __call__(self, tasks: Sequence[MemberTask], /) -> list[Member]:
        """Run the tasks and return the members; after Ctrl-C, those that have finished at least one epoch."""


class Serial:
    """Trains one member after the other. Ctrl-C stops the current one, and the others are not started."""

    jobs = 1

    def __call__(self, tasks: Sequence[MemberTask]) -> list[Member]:
        members = []
        for task in tasks:
            members.append(task([]))
            if members[-1].history.interrupted:
                break
        return [member for member in members if len(member.history)]


class Threads(Callback):
    """Trains members in `jobs` threads, which release the GIL in matrix products. Ctrl-C stops each after its batch."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __call__(self, tasks: Sequence[MemberTask]) -> list[Member]:
        self.stopped = False
        futures: list[Future[Member | None]] = []
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                futures.extend(pool.submit(self._run_unless_stopped, task) for task in tasks)
                while wait(futures, _POLL_SECONDS).not_done:
                    pass  # a signal delivered to another thread is only handled between two waits
            except KeyboardInterrupt:
                pass
            finally:
                self.stopped = True
        members = [future.result() for future in futures]
        return [member for member in members if member is not None and len(member.history)]

    def _run_unless_stopped(self, task: MemberTask) -> Member | None:
        """Run a task unless stopped; if it fails, stop all the others."""
        if self.stopped:
            return None
        try:
            return task([self])
        except BaseException:
            self.stopped = True
            raise

    def on_batch_end(self, run: Run) -> None:
        if self.stopped:
            run.interrupt()


@dataclass(frozen=True)
class Fitted:
    """A predictor, the history of each of its members, and the predictions for its training rows.

    `out_of_fold` (n, n_outputs) is the prediction for each row by the member that was not trained on it: probabilities,
    or numbers as the target encodes them; NaN if Ctrl-C came before that member. With separate validation rows, the
    table's own rows are NaN, and the predictions for the validation rows follow below them. `notices` are messages for
    the user.
    """

    predictor: Predictor
    histories: list[History]
    out_of_fold: Array
    notices: list[str] = field(default_factory=list)


def fit_predictor(
    columns: Columns,
    values: Array,
    target: ClassTarget | NumberTarget,
    *,
    weight: Array | None = None,
    validation: tuple[Columns, Array] | None = None,
    n_members: int = 5,
    epochs: int | None = None,
    metric: str | Metric | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    callbacks_for: CallbacksFor | None = None,
    encoder: TabularEncoder | None = None,
) -> Fitted:
    """Return a predictor trained on a table of at least two rows, by the recipe of `chainrule.model.recipe`.

    Parameters
    ----------
    columns : dict of (n,)
        The output of `chainrule.data.tabular.read_columns`.
    values : (n,) or (n, n_outputs)
        Values to predict, none missing; `target` was fitted to them.
    weight : (n,), optional
        Sample weights, > 0.
    validation : (columns, values), optional
        Separate rows on which every member's best epoch is chosen and the ensemble is calibrated; each member is then
        trained on all rows of the table. None: each member uses a fold of the table's own rows for this.
    n_members, epochs, metric, time_limit, seed
        As for `chainrule.TabularClassifier`, where the seed is called `random_state`.
    executor : Executor, optional
        Trains the members; default: `Serial()`.
    callbacks_for : function, optional
        Returns the callbacks of a member's training, given its number.
    encoder : TabularEncoder, optional
        An encoder from `encoder_for(target)` that was fitted to the table; default: a new one.

    Raises
    ------
    KeyboardInterrupt
        For Ctrl-C before any member has finished an epoch. Later Ctrl-C stops training, and the members trained so far
        are returned.
    """
    end = None if time_limit is None else perf_counter() + time_limit
    executor = executor or Serial()
    recipe = recipe_for(target)
    recipe = replace(
        recipe,
        members=min(n_members, len(values)),
        epochs=recipe.epochs_for(len(values)) if epochs is None else epochs,
        selected_by=recipe.selected_by if metric is None else metric,
    )
    encoder = encoder or encoder_for(target).fit(columns)
    X, y = encoder.transform(columns), target.encode(values)
    if validation is None:
        held_out = folds(y, recipe.members, seed)
    else:
        held_out = [np.arange(len(X), len(X) + len(validation[1]))] * recipe.members
        X = np.concatenate([X, encoder.transform(validation[0])])
        y = np.concatenate([y, target.encode(validation[1])])
        weight = None if weight is None else np.concatenate([weight, np.ones(len(X) - len(weight))])
    notices: list[str] = []
    if isinstance(target, NumberTarget):
        numbers = target.numbers(values)
        if validation is not None:
            numbers = np.concatenate([numbers, target.numbers(validation[1])])
        left = None if end is None else end - perf_counter()
        with one_blas_thread:
            target, notices = choose_scale(recipe, X, numbers, target, weight, held_out, seed, left)
        y = target.encode(numbers)
    rows = X, y, weight

    def train(k: int, extra: Sequence[Callback]) -> Member:
        callbacks = [*extra, *(callbacks_for(k) if callbacks_for else [])]
        if end is not None:
            rounds = ceil((recipe.members - k) / executor.jobs)
            callbacks.append(TimeBudget(max(end - perf_counter(), _MIN_SECONDS) / rounds))
        return train_member(recipe, rows, held_out[k], target.n_outputs, seed + k, callbacks)

    with one_blas_thread:
        members = executor([partial(train, k) for k in range(recipe.members)])
    if not members:
        raise KeyboardInterrupt
    target, ensemble, out_of_fold = _calibrate(target, members, rows)
    histories = [member.history for member in members]
    metadata = _training_metadata(encoder, target, histories, seed)
    metadata |= {"rows": {"training": len(values)}, "data": digest(X, y, weight), "notices": notices}
    return Fitted(Predictor(encoder, ensemble, target, metadata), histories, out_of_fold, notices)


def _calibrate(
    target: ClassTarget | NumberTarget, members: Sequence[Member], rows: Batch
) -> tuple[ClassTarget | NumberTarget, Ensemble, Array]:
    """Return the target and the ensemble, calibrated on the members' held-out rows, and the out-of-fold predictions.

    The predictions (n, n_outputs) are NaN for rows that are not held out by any member.
    """
    X, y, weight = rows
    # In float64 a row's prediction does not depend on the other rows of the batch.
    networks = [member.network.copy(dtype="float64") for member in members]
    held_out, outputs = _held_out_outputs(members)
    if isinstance(target, ClassTarget):
        weight = None if weight is None else weight[held_out]
        ensemble = Ensemble.of_classes(networks, outputs, y[held_out], weight)
    else:
        bounds = np.stack([y.min(axis=0), y.max(axis=0)])
        centered = target.centered(np.clip(outputs, *bounds), y[held_out])
        shift = (np.array(target.means) - centered.means) / target.stds
        target, y, bounds = centered, y + shift, bounds + shift
        ensemble = Ensemble.of_numbers(networks, outputs, y[held_out], bounds)
    out_of_fold = np.full((len(X), target.n_outputs), np.nan)
    out_of_fold[held_out] = ensemble.predictions([outputs])
    return target, ensemble, out_of_fold


def _training_metadata(
    encoder: TabularEncoder, target: ClassTarget | NumberTarget, histories: Sequence[History], seed: int
) -> dict[str, Any]:
    return origin(encoder, target) | {
        "seed": seed,
        "members": len(histories),
        "epochs": [len(history) for history in histories],
        "best_epochs": [(history.best_epoch or 0) + 1 for history in histories],
    }


def origin(encoder: TabularEncoder, target: ClassTarget | NumberTarget) -> dict[str, Any]:
    """Return the metadata common to all models: versions, date, target and columns."""
    columns = [{"name": column.name, "kind": column.kind} for column in encoder.columns]
    return {
        "chainrule": chainrule.__version__,
        "numpy": np.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": target.name,
        "task": target.task,
        "columns": columns + [{"name": name, "kind": "left out"} for name in encoder.left_out],
    }


def _held_out_outputs(members: Sequence[Member]) -> tuple[Array, Array]:
    """Return the indices (m,) of rows held out by at least one member, and the mean raw outputs of such members."""
    pooled = np.concatenate([member.rows for member in members])
    outputs = np.concatenate([member.outputs for member in members]).astype(np.float64)
    rows, places, counts = np.unique(pooled, return_inverse=True, return_counts=True)
    sums = np.zeros((len(rows), outputs.shape[1]))
    np.add.at(sums, places, outputs)
    return rows, sums / counts[:, np.newaxis]


def recipe_for(target: ClassTarget | NumberTarget) -> Recipe:
    """Return the recipe for a target's task."""
    return CLASSIFICATION if isinstance(target, ClassTarget) else REGRESSION


def encoder_for(target: ClassTarget | NumberTarget, categories: Sequence[str] = ()) -> TabularEncoder:
    """Return an unfitted encoder with the recipe's settings for a target's task."""
    return TabularEncoder(categories=categories, n_bins=recipe_for(target).n_bins)


class OneBlasThread:
    """A context in which matrix products run on a single thread; without threadpoolctl, it does nothing.

    For products this small a second thread gains nothing, and if another program is using the processor, threads
    waiting for each other made training 24 times slower. The setting is global to the process: of several contexts that
    are active at once, the first sets it and the last restores it.
    """

    def __init__(self) -> None:
        self.lock, self.active, self.limits = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            self.active += 1
            if self.active == 1:
                with suppress(ImportError):
                    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

                    self.limits.enter_context(threadpool_limits(1))

    def __exit__(self, *exception: object) -> None:
        with self.lock:
            self.active -= 1
            if not self.active:
                self.limits.close()


one_blas_thread = OneBlasThread()
