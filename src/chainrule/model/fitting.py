"""From a table to a predictor: encode it, train the recipe's members on its folds, calibrate what they answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
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
from chainrule.training.batches import Batch
from chainrule.training.callbacks import Callback
from chainrule.training.history import History
from chainrule.training.run import Run
from chainrule.training.metrics import Metric
from chainrule.model.recipe import (
    CLASSIFICATION,
    REGRESSION,
    Member,
    Recipe,
    TimeBudget,
    folds,
    train_member,
)

LEAST_SECONDS = 0.01
PATIENCE = 0.1
"""Seconds after which Ctrl-C is looked for."""

Work = Callable[[Sequence[Callback]], Member]
"""Trains a member, with these callbacks beside its own."""
Watch = Callable[[int], Sequence[Callback]]
"""The callbacks for the member of that number, counted from 0."""


class Executor(Protocol):
    """Who trains the members: `jobs` of them at a time. Calling it does the work and returns what is done."""

    jobs: int

    def __call__(self, works: Sequence[Work]) -> list[Member]:
        """Return the members; after Ctrl-C those that have finished an epoch at least."""


class Serial:
    """One member after the other. Ctrl-C ends the one that is trained, and the others are not begun."""

    jobs = 1

    def __call__(self, works: Sequence[Work]) -> list[Member]:
        members = []
        for work in works:
            members.append(work([]))
            if members[-1].history.interrupted:
                break
        return [member for member in members if len(member.history)]


class Threads(Callback):
    """Members in `jobs` threads, which leave Python's lock alone while they multiply. Ctrl-C ends each at its batch."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __call__(self, works: Sequence[Work]) -> list[Member]:
        self.over = False
        futures: list[Future[Member | None]] = []
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                futures.extend(pool.submit(self.unless_over, work) for work in works)
                while wait(futures, PATIENCE).not_done:
                    pass  # a signal that another thread was given is heard between two waits only
            except KeyboardInterrupt:
                pass
            finally:
                self.over = True
        members = [future.result() for future in futures]
        return [member for member in members if member is not None and len(member.history)]

    def unless_over(self, work: Work) -> Member | None:
        """Do the work, unless all was over before it began; when it fails all is over."""
        if self.over:
            return None
        try:
            return work([self])
        except BaseException:
            self.over = True
            raise

    def on_batch_end(self, run: Run) -> None:
        if self.over:
            run.interrupt()


@dataclass(frozen=True)
class Fitted:
    """A predictor, the history of each of its members, and what is known of the rows it was trained on.

    `out_of_fold` (n, n_outputs) is each row's answer by the member that was not trained on it: probabilities, or
    numbers as the target encodes them; NaN where Ctrl-C came before that member. With rows apart for validation it has
    theirs too, below the table's, which are NaN.
    """

    predictor: Predictor
    histories: list[History]
    out_of_fold: Array


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
    workers: Executor | None = None,
    watch: Watch | None = None,
    encoder: TabularEncoder | None = None,
) -> Fitted:
    """Return a predictor trained on a table, two rows at least, by the recipe of `chainrule.model.recipe`.

    Parameters
    ----------
    columns : dict of (n,)
        As `chainrule.data.tabular.read_columns` gives them.
    values : (n,) or (n, n_outputs)
        What to answer, none missing; `target` was fitted to them.
    weight : (n,), optional
        What each row counts for, above 0.
    validation : (columns, values), optional
        Rows apart on which every member's best epoch is chosen and the ensemble is calibrated; each member is then
        trained on all rows of the table. None: each member has a fold of the table's own rows for it.
    n_members, epochs, metric, time_limit, seed
        As for `chainrule.TabularClassifier`, whose `random_state` is the seed here.
    workers : Workers, optional
        Who trains the members; None: `Serial()`.
    watch : function, optional
        Member number -> the callbacks of its training.
    encoder : TabularEncoder, optional
        One of `encoder_for(target)` that was fitted to the table; None: one is made.

    Raises
    ------
    KeyboardInterrupt
        For Ctrl-C before any member has finished an epoch; later it ends training, and what is there is returned.
    """
    end = None if time_limit is None else perf_counter() + time_limit
    workers = workers or Serial()
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
    rows = X, y, weight

    def work(k: int, also: Sequence[Callback]) -> Member:
        callbacks = [*also, *(watch(k) if watch else [])]
        if end is not None:
            rounds = ceil((recipe.members - k) / workers.jobs)
            callbacks.append(TimeBudget(max(end - perf_counter(), LEAST_SECONDS) / rounds))
        return train_member(recipe, rows, held_out[k], target.n_outputs, seed + k, callbacks)

    with one_blas_thread:
        members = workers([partial(work, k) for k in range(recipe.members)])
    if not members:
        raise KeyboardInterrupt
    ensemble, out_of_fold = calibrated(target, members, rows)
    histories = [member.history for member in members]
    told = metadata(encoder, target, histories, seed)
    told |= {"rows": {"training": len(values)}, "data": digest(X, y, weight)}
    return Fitted(Predictor(encoder, ensemble, target, told), histories, out_of_fold)


def calibrated(target: ClassTarget | NumberTarget, members: Sequence[Member], rows: Batch) -> tuple[Ensemble, Array]:
    """Return members as an ensemble, and what it answers (n, n_outputs) by those that had not seen the row.

    It is calibrated on those answers; rows that all members have seen have NaN.
    """
    X, y, weight = rows
    # In float64 a row's answer is the same alone and among others.
    networks = [member.network.copy(dtype="float64") for member in members]
    unseen, outputs = outputs_of_unseen(members)
    if isinstance(target, ClassTarget):
        ensemble = Ensemble.of_classes(networks, outputs, y[unseen], None if weight is None else weight[unseen])
    else:
        bounds = np.stack([y.min(axis=0), y.max(axis=0)])
        ensemble = Ensemble.of_numbers(networks, outputs, y[unseen], bounds)
    out_of_fold = np.full((len(X), target.n_outputs), np.nan)
    out_of_fold[unseen] = ensemble.predictions([outputs])
    return ensemble, out_of_fold


def metadata(
    encoder: TabularEncoder, target: ClassTarget | NumberTarget, histories: Sequence[History], seed: int
) -> dict[str, Any]:
    """Return what a reader of the model's file may want to know of its training."""
    return origin(encoder, target) | {
        "seed": seed,
        "members": len(histories),
        "epochs": [len(history) for history in histories],
        "best_epochs": [(history.best_epoch or 0) + 1 for history in histories],
    }


def origin(encoder: TabularEncoder, target: ClassTarget | NumberTarget) -> dict[str, Any]:
    """Return what a metadata says of any model: by what and when it was made, of which columns, for what."""
    columns = [{"name": column.name, "kind": column.kind} for column in encoder.columns]
    return {
        "chainrule": chainrule.__version__,
        "numpy": np.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": target.name,
        "task": target.task,
        "columns": columns + [{"name": name, "kind": "left out"} for name in encoder.left_out],
    }


def outputs_of_unseen(members: Sequence[Member]) -> tuple[Array, Array]:
    """Return the numbers of the rows (m,) that some member was not trained on, and such members' mean outputs."""
    pooled = np.concatenate([member.rows for member in members])
    outputs = np.concatenate([member.outputs for member in members]).astype(np.float64)
    rows, places, counts = np.unique(pooled, return_inverse=True, return_counts=True)
    sums = np.zeros((len(rows), outputs.shape[1]))
    np.add.at(sums, places, outputs)
    return rows, sums / counts[:, np.newaxis]


def recipe_for(target: ClassTarget | NumberTarget) -> Recipe:
    """Return the recipe for what is to be answered."""
    return CLASSIFICATION if isinstance(target, ClassTarget) else REGRESSION


def encoder_for(target: ClassTarget | NumberTarget, categories: Sequence[str] = ()) -> TabularEncoder:
    """Return an encoder, not yet fitted, as the recipe for a target wants it."""
    return TabularEncoder(categories=categories, n_bins=recipe_for(target).n_bins)


class OneBlasThread:
    """A context in which matrix products run on one thread; without threadpoolctl, nothing is changed.

    A second thread gains products as small as these nothing, and where another program wants the processor too, threads
    that wait for each other made training 24 times slower. The number is the whole process's: of several that are
    inside at once the first sets it, and the last sets it back.
    """

    def __init__(self) -> None:
        self.lock, self.inside, self.limits = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                with suppress(ImportError):
                    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

                    self.limits.enter_context(threadpool_limits(1))

    def __exit__(self, *failure: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.limits.close()


one_blas_thread = OneBlasThread()
