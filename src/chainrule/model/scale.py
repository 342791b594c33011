"""The scale of a numeric target: learn the numbers or their logarithms, whichever predicts the numbers better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np

from chainrule.arrays import Array, as_generator
from chainrule.data.splits import Split
from chainrule.data.targets import NumberTarget
from chainrule.model.recipe import Recipe, TimeBudget, train_member
from chainrule.nn.losses import SquaredError
from chainrule.training.batches import Batch

_MIN_SKEWNESS = 1.0
"""Least third standardized moment of a target worth a trial; an exponential distribution has 2, a normal one 0."""
_MIN_ROWS, _MAX_ROWS = 40, 2_500
_EPOCHS, _FOLDS = 16, 2
"""A trial is two short trainings per scale: a fifth of the time of a small table, less of a large one."""
_MIN_GAIN = 0.03
"""Least relative gain in absolute error. With less, as on abalone and ames, neither scale wins on new rows."""
_TIME_SHARE = 0.15
"""Fraction of a time limit for the trials."""


def is_heavy_tailed(numbers: Array) -> bool:
    """Return whether numbers (n,) are positive and skewed to the right, and their logarithms less so."""
    if len(numbers) < _MIN_ROWS or numbers.min() <= 0:
        return False
    skewness = _skewness(numbers)
    return skewness > _MIN_SKEWNESS and abs(_skewness(np.log(numbers))) < skewness


def _skewness(numbers: Array) -> float:
    """Return the third standardized moment."""
    z = (numbers - numbers.mean()) / max(float(numbers.std()), np.finfo(np.float64).tiny)
    return float((z**3).mean())


def choose_scale(
    recipe: Recipe,
    table: Batch,
    target: NumberTarget,
    splits: Sequence[Split],
    seed: int,
    time_limit: float | None = None,
    kernels: str = "auto",
) -> tuple[NumberTarget, list[str]]:
    """Return the target on the scale that is better out of fold, and a notice if that is the logarithm.

    `table` is (X, numbers, weight). Of heavy-tailed numbers (n, 1) both scales are tried: two members train for 16
    epochs, on at most 2,500 rows, and their errors are compared in the target's own unit. The logarithm must be better
    by absolute error by at least 3 % and, as far as the rows can tell, no worse by squared error.
    """
    X, numbers, weight = table
    if target.n_outputs > 1 or target.transform != "identity" or not is_heavy_tailed(numbers[:, 0]):
        return target, []
    numbers = numbers[:, 0]
    rows = np.arange(len(numbers))
    if len(rows) > _MAX_ROWS:
        rows = np.sort(as_generator(seed).permutation(len(rows))[:_MAX_ROWS])
    logarithmic = NumberTarget.of(target.name, numbers[rows, np.newaxis], "log")
    tried = replace(recipe, epochs=min(recipe.epochs, _EPOCHS), loss=SquaredError())
    parts = [
        Split(np.flatnonzero(np.isin(rows, split.training)), np.flatnonzero(np.isin(rows, split.held_out)))
        for split in splits[:_FOLDS]
    ]
    parts = [part for part in parts if len(part.training) and len(part.held_out)]
    end = None if time_limit is None else perf_counter() + _TIME_SHARE * time_limit
    errors: dict[str, list[Array]] = {"identity": [], "log": []}
    for left, part in zip(range(len(parts), 0, -1), parts):
        for one in (target, logarithmic):
            limit = [] if end is None else [TimeBudget(max(0.01, end - perf_counter()) / (2 * left))]
            y = one.encode(numbers[rows])
            its_weight = None if weight is None else weight[rows]
            member = train_member(tried, (X[rows], y, its_weight), part, one, seed, limit, kernels)
            outputs = np.clip(member.outputs, y.min(), y.max())
            predictions = one.centered(outputs, y[part.held_out]).decode(outputs)
            errors[one.transform].append(predictions - numbers[rows][part.held_out])
    if not parts:
        return target, []
    plain, log = (np.concatenate(errors[name]) for name in ("identity", "log"))
    if not _is_better(log, plain):
        return target, []
    ratio = float(np.abs(log).mean() / np.abs(plain).mean())
    notice = f"{target.name}: learned as its logarithm; in trials, {1 - ratio:.0%} less absolute error out of fold"
    return NumberTarget.of(target.name, numbers[:, np.newaxis], "log"), [notice]


def _is_better(errors: Array, than: Array) -> bool:
    """Return whether errors are smaller than others for the same rows, both (n,)."""
    gain = than**2 - errors**2
    noise = float(gain.std()) / np.sqrt(len(gain))
    return bool(np.abs(errors).mean() < (1 - _MIN_GAIN) * np.abs(than).mean() and gain.mean() > -noise)
