"""How good a predictor's answers are, beside knowing nothing, and how far the figure can be trusted."""

from math import isfinite

import numpy as np

from chainrule.arrays import Array
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.training.metrics import METRICS

Target = ClassTarget | NumberTarget

RESAMPLES, MOST_DRAWN = 200, 50_000
SURE = 0.9
"""The share of resamples between the ends of a score's interval."""
IN_THE_TARGETS_UNIT = frozenset({"rmse", "mae"})


def names_for(target: Target) -> tuple[str, ...]:
    """Return the scores that suit a target."""
    if isinstance(target, NumberTarget):
        return ("rmse", "mae", "r2")
    return ("accuracy", "roc_auc" if target.n_outputs == 2 else "balanced_accuracy", "log_loss")


def pairs(target: Target, values: Array, answers: Array) -> tuple[Array, Array]:
    """Return truth and prediction as the scores take them."""
    if isinstance(target, ClassTarget):
        return target.encode(values), answers
    return target.numbers(values), target.decode(answers)[:, np.newaxis]


def score(target: Target, values: Array, answers: Array) -> dict[str, float]:
    """Return the scores of answers (n, n_outputs) for rows whose target is `values` (n,): those such rows can tell."""
    y, prediction = pairs(target, values, answers)
    scores = {name: METRICS[name].function(y, prediction) for name in names_for(target)}
    return {name: value for name, value in scores.items() if isfinite(value)}


def score_baseline(target: Target, values: Array) -> dict[str, float]:
    """Return the scores of knowing nothing of a row: the classes' shares in training, or the mean."""
    shares = target.shares if isinstance(target, ClassTarget) else (0.0,)
    return score(target, values, np.tile(np.array(shares), (len(values), 1)))


def spread(target: Target, values: Array, answers: Array, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Return the ends between which 90 % of the scores lie when the rows are drawn again with replacement.

    Efron 1979: the percentile bootstrap, 200 resamples. Of more than 50,000 rows so many are drawn, and the ends moved
    towards the score by the root of their share (Bickel et al. 1997, m out of n).
    """
    y, prediction = pairs(target, values, answers)
    rng = np.random.default_rng(seed)
    n_drawn = min(len(y), MOST_DRAWN)
    nearer = np.sqrt(n_drawn / len(y))
    drawn = [rng.integers(0, len(y), n_drawn) for _ in range(RESAMPLES)]
    ends = [(1 - SURE) / 2, (1 + SURE) / 2]
    found = {}
    for name, value in score(target, values, answers).items():
        again = np.nanquantile([METRICS[name].function(y[rows], prediction[rows]) for rows in drawn], ends)
        low, high = value + nearer * (again - value) if nearer < 1 else again
        found[name] = (float(low), float(high))
    return found


def show_score(name: str, value: float) -> str:
    """Return a score as text: errors in the target's unit with five digits, the others with four decimals."""
    return f"{value:.5g}" if name in IN_THE_TARGETS_UNIT else f"{round(value, 4) + 0:.4f}"
