"""How good a predictor's answers are, beside knowing nothing, and how far the figure can be trusted."""

from math import isfinite

import numpy as np

from chainrule.arrays import Array
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.insight.evaluation import wilson_interval
from chainrule.training.metrics import METRICS, roc_auc

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


def pairs(target: Target, values: Array, predictions: Array) -> tuple[Array, Array]:
    """Return truth and prediction as the scores take them."""
    if isinstance(target, ClassTarget):
        return target.encode(values), predictions
    return target.numbers(values), target.decode(predictions).reshape(predictions.shape)


def score(target: Target, values: Array, predictions: Array) -> dict[str, float]:
    """Return the scores of answers (n, n_outputs) for rows whose target is `values` (n,): those such rows can tell."""
    y, prediction = pairs(target, values, predictions)
    scores = {name: METRICS[name].function(y, prediction) for name in names_for(target)}
    return {name: value for name, value in scores.items() if isfinite(value)}


def score_baseline(target: Target, values: Array) -> dict[str, float]:
    """Return the scores of knowing nothing of a row: the classes' shares in training, or the mean."""
    shares = target.frequencies if isinstance(target, ClassTarget) else (0.0,)
    return score(target, values, np.tile(np.array(shares), (len(values), 1)))


def spread(target: Target, values: Array, predictions: Array, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Return the ends of an interval for each score that holds what it is on all rows there are, in 90 of 100 cases.

    Shares of rows have theirs by formula (see `spread_of_shares`), the others those between which 90 % of scores lie
    when the rows are drawn again with replacement (Efron 1979: the percentile bootstrap, 200 resamples). Of more than
    50,000 rows so many are drawn, and the ends moved towards the score by the root of their share (Bickel et al. 1997).
    """
    y, prediction = pairs(target, values, predictions)
    found = spread_of_shares(y, prediction) if isinstance(target, ClassTarget) else {}
    scores = score(target, values, predictions)
    rng = np.random.default_rng(seed)
    n_drawn = min(len(y), MOST_DRAWN)
    nearer = np.sqrt(n_drawn / len(y))
    drawn = [rng.integers(0, len(y), n_drawn) for _ in range(RESAMPLES)]
    ends = [(1 - SURE) / 2, (1 + SURE) / 2]
    for name in scores.keys() - found.keys():
        again = np.nanquantile([METRICS[name].function(y[rows], prediction[rows]) for rows in drawn], ends)
        low, high = scores[name] + nearer * (again - scores[name]) if nearer < 1 else again
        found[name] = (float(low), float(high))
    return {name: found[name] for name in scores}


def spread_of_shares(y: Array, P: Array) -> dict[str, tuple[float, float]]:
    """Return the ends for accuracy (Wilson 1927) and balanced accuracy, whose classes' distances are squared and added.

    Where all rows are right, and all that are drawn again are too, these tell how many rows say so (Zou & Donner 2008,
    eq. 3). Of a perfect ROC curve the rarer class tells it.
    """
    right, counts = P.argmax(axis=1) == y, np.bincount(y)
    shares = np.bincount(y, right)[counts > 0] / counts[counts > 0]
    low, high = wilson_interval(shares, counts[counts > 0], SURE)
    balanced, reach = shares.mean(), np.sqrt([((shares - low) ** 2).sum(), ((high - shares) ** 2).sum()]) / len(shares)
    ends = {
        "accuracy": wilson_interval(right.mean(), np.array(len(y)), SURE),
        "balanced_accuracy": (balanced - reach[0], balanced + reach[1]),
    }
    if roc_auc(y, P) == 1:
        ends["roc_auc"] = wilson_interval(np.ones(()), counts[counts > 0].min(), SURE)
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def show_score(name: str, value: float) -> str:
    """Return a score as text: errors in the target's unit with five digits, the others with four decimals."""
    return f"{value:.5g}" if name in IN_THE_TARGETS_UNIT else f"{round(value, 4) + 0:.4f}"
