"""From a table to a predictor: encode it, train the recipe's members on its folds, calibrate what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from chainrule.arrays import Array
from chainrule.data.tabular import Columns, TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.errors import MissingExtraError
from chainrule.model.ensemble import Ensemble
from chainrule.model.predictor import Predictor
from chainrule.training.callbacks import Callback, TimeLimit
from chainrule.training.history import History
from chainrule.training.recipe import CLASSIFICATION, REGRESSION, Member, Recipe, folds, train_member

LEAST_SECONDS = 0.01


@dataclass(frozen=True)
class Fitted:
    """A predictor, the history of each of its members, and what is known of the rows it was trained on.

    `out_of_fold` (n, n_outputs) is each row's answer by the member that was not trained on it: probabilities, or
    numbers as the target encodes them.
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
    n_members: int = 5,
    epochs: int = 64,
    time_limit: float | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
    callbacks: Sequence[Callback] = (),
) -> Fitted:
    """Return a predictor trained on a table, two rows at least, by the recipe of `chainrule.training.recipe`.

    Parameters
    ----------
    columns : dict of (n,)
        As `chainrule.data.tabular.read_columns` gives them.
    values : (n,) or (n, n_outputs)
        What to answer, none missing; `target` was fitted to them.
    weight : (n,), optional
        What each row counts for, above 0.
    n_members, epochs, time_limit, seed, n_jobs
        As for `chainrule.TabularClassifier`.
    callbacks : sequence of Callback
        Called in the training of each member; members trained side by side have none.
    """
    recipe = CLASSIFICATION if isinstance(target, ClassTarget) else REGRESSION
    recipe = replace(recipe, members=min(n_members, len(values)), epochs=epochs)
    encoder = TabularEncoder(ramps=recipe.ramps).fit(columns)
    X, y = encoder.transform(columns), target.encode(values)
    members = train_members(recipe, X, y, weight, target.n_outputs, seed, time_limit, n_jobs, callbacks)
    # In float64 a row's answer is the same alone and among others.
    networks = [member.network.copy(dtype="float64") for member in members]
    outputs = np.empty((len(X), target.n_outputs), np.float64)
    for member in members:
        outputs[member.rows] = member.outputs
    if isinstance(target, ClassTarget):
        ensemble = Ensemble.of_classes(networks, outputs, y, weight)
    else:
        ensemble = Ensemble.of_numbers(networks, outputs, y)
    histories = [member.history for member in members]
    return Fitted(Predictor(encoder, ensemble, target), histories, ensemble.answers([outputs]))


def train_members(
    recipe: Recipe,
    X: Array,
    y: Array,
    weight: Array | None,
    n_out: int,
    seed: int,
    time_limit: float | None,
    n_jobs: int | None,
    callbacks: Sequence[Callback],
) -> list[Member]:
    """Train a member on each fold within the time limit: in turn, or with `n_jobs` side by side, as joblib does it."""
    held_out = folds(y, recipe.members, seed)
    if n_jobs not in (None, 1):
        try:
            from joblib import Parallel, delayed
        except ImportError:
            raise MissingExtraError("training with n_jobs", "sklearn") from None
        limits = [] if time_limit is None else [TimeLimit(time_limit)]
        work = (
            delayed(train_member)(recipe, X, y, weight, rows, n_out, seed + k, limits)
            for k, rows in enumerate(held_out)
        )
        return Parallel(n_jobs=n_jobs)(work)
    end = None if time_limit is None else perf_counter() + time_limit
    members = []
    for k, rows in enumerate(held_out):
        share = None if end is None else max(end - perf_counter(), LEAST_SECONDS) / (recipe.members - k)
        limits = [] if share is None else [TimeLimit(share)]
        members.append(train_member(recipe, X, y, weight, rows, n_out, seed + k, [*limits, *callbacks]))
    return members
