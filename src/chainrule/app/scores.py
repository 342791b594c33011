"""Scores of predictions, of a baseline that ignores the inputs, and their confidence intervals."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from chainrule import metrics
from chainrule.arrays import Array
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.display import format_number, format_numbers
from chainrule.insight.evaluation import wilson_interval
from chainrule.metrics import METRICS, roc_auc
from chainrule.model.predictor import Predictor
from chainrule.model.quantiles import LEVELS, Distribution

Target = ClassTarget | NumberTarget

_N_RESAMPLES, MAX_RESAMPLED_ROWS = 200, 50_000
_CONFIDENCE = 0.9
"""The confidence level of the intervals."""


def _names_for(target: Target) -> tuple[str, ...]:
    if isinstance(target, NumberTarget):
        return ("rmse", "mae", "r2")
    return ("accuracy", "roc_auc" if target.n_outputs == 2 else "balanced_accuracy", "log_loss")


def _metric_inputs(target: Target, values: Array, predictions: Array) -> tuple[Array, Array]:
    """Return y and the predictions in the form the metrics take."""
    if isinstance(target, ClassTarget):
        return target.encode(values), predictions
    return target.numbers(values), target.decode(predictions).reshape(predictions.shape)


def score(target: Target, values: Array, predictions: Array) -> dict[str, float]:
    """Return the scores of predictions (n, n_outputs) for target values (n,), without those undefined on these rows."""
    y, prediction = _metric_inputs(target, values, predictions)
    scores = {name: METRICS[name].function(y, prediction) for name in _names_for(target)}
    return {name: value for name, value in scores.items() if isfinite(value)}


def score_baseline(target: Target, values: Array) -> dict[str, float]:
    """Return the scores of predicting the class frequencies, or the mean, of the training rows for every row."""
    return score(target, values, baseline_predictions(target, len(values)))


def baseline_predictions(target: Target, n: int) -> Array:
    """Return the predictions (n, n_outputs) of the baseline for n rows."""
    frequencies = target.frequencies if isinstance(target, ClassTarget) else (0.0,)
    return np.tile(np.array(frequencies), (n, 1))


def score_interval(
    target: Target, values: Array, predictions: Array, seed: int = 0, groups: Array | None = None
) -> dict[str, tuple[float, float]]:
    """Return a 90 % confidence interval for each score.

    Proportions of rows have a closed form (see `proportion_intervals`). The others use the percentile bootstrap (Efron
    1979) with 200 resamples. Of more than 50,000 rows, only so many are drawn, and the ends are moved towards the score
    by the square root of their fraction (Bickel et al. 1997).

    Rows of a group resemble each other, so there is less in them than in as many unrelated rows. With `groups` (n,),
    numbers from 0, whole groups are drawn (Davison & Hinkley 1997, section 3.8), and the interval of a proportion is at
    least as wide as its closed form.
    """
    y, prediction = _metric_inputs(target, values, predictions)
    closed = proportion_intervals(y, prediction) if isinstance(target, ClassTarget) else {}
    scores = score(target, values, predictions)
    drawn, fraction = _resamples(len(y), groups, np.random.default_rng(seed))
    levels = [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2]
    intervals = {}
    for name, value in scores.items():
        if name in closed and groups is None:
            intervals[name] = closed[name]
            continue
        ends = np.nanquantile([METRICS[name].function(y[rows], prediction[rows]) for rows in drawn], levels)
        low, high = value + np.sqrt(fraction) * (ends - value) if fraction < 1 else ends
        low_closed, high_closed = closed.get(name, (low, high))
        intervals[name] = (float(min(low, low_closed)), float(max(high, high_closed)))
    return intervals


def score_intervals(predictor: Predictor, distribution: Distribution, values: Array) -> dict[str, Any]:
    """Return the scores of the 90 % prediction intervals and of the quantiles for target values (n,).

    The scores of this function and the next are empty if the model was not calibrated on held-out rows.
    """
    target = predictor.target
    if predictor.ensemble.scores is None or not isinstance(target, NumberTarget):
        return {}
    y, levels = target.numbers(values)[:, 0], np.array(LEVELS)
    ends, shown = predictor.ensemble.ends(_CONFIDENCE), map(predictor.ensemble.score, levels)
    interval, quantiles = (
        np.column_stack([predictor.decode_end(distribution.at(score)) for score in scores]) for scores in (ends, shown)
    )
    fifths = metrics.coverage_by_part(y, interval, distribution.means[:, 0])
    covered = {"coverage": metrics.coverage(y, interval)} | ({"coverage_by_fifth": fifths} if len(y) >= 5 else {})
    scores = {"winkler": metrics.winkler(y, interval, _CONFIDENCE), "crps": metrics.crps(y, quantiles, levels)}
    return covered | {name: value for name, value in scores.items() if isfinite(value)}  # infinite ends of few rows


def score_sets(predictor: Predictor, P: Array, values: Array) -> dict[str, Any]:
    """Return the scores of the 90 % prediction sets of rows with probabilities P (n, K) for target values (n,)."""
    if predictor.ensemble.scores is None:
        return {}
    y, sets = predictor.target.encode(values), predictor.ensemble.sets(P, _CONFIDENCE)
    return {"coverage": metrics.set_coverage(y, sets), "set_size": metrics.set_size(sets)}


_UNCERTAINTY: dict[str, tuple[str, Callable[[Any], str]]] = {
    "coverage": ("coverage of 90% prediction intervals", lambda share: f"{share:.1%}"),
    "coverage_by_fifth": (
        "coverage by fifths of the prediction",
        lambda shares: " ".join(f"{share:.0%}" for share in shares),
    ),
    "winkler": ("Winkler score (lower is better)", format_number),
    "crps": ("CRPS (lower is better)", format_number),
    "set_size": ("classes in a set (lower is better)", lambda size: f"{size:.2f}"),
}


def format_uncertainty(scores: Mapping[str, Any]) -> dict[str, str]:
    """Return the scores of intervals or sets as text, by what they are."""
    known = {name: value for name, value in scores.items() if name in _UNCERTAINTY}
    shown = {_UNCERTAINTY[name][0]: _UNCERTAINTY[name][1](value) for name, value in known.items()}
    if "set_size" in scores:
        shown = {name.replace("prediction intervals", "prediction sets"): text for name, text in shown.items()}
    return shown


def _resamples(n: int, groups: Array | None, rng: np.random.Generator) -> tuple[list[Array], float]:
    """Return the row numbers of each resample, and their expected number as a fraction of n."""
    fraction = min(1.0, MAX_RESAMPLED_ROWS / n)
    if groups is None:
        return [rng.integers(0, n, round(fraction * n)) for _ in range(_N_RESAMPLES)], fraction
    _, sizes = np.unique(groups, return_counts=True)
    rows_of = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])
    n_drawn = max(1, round(fraction * len(rows_of)))
    draws = (rng.integers(0, len(rows_of), n_drawn) for _ in range(_N_RESAMPLES))
    return [np.concatenate([rows_of[k] for k in draw]) for draw in draws], fraction


def proportion_intervals(y: Array, P: Array) -> dict[str, tuple[float, float]]:
    """Return intervals for accuracy (Wilson 1927) and balanced accuracy (Zou & Donner 2008, eq. 3).

    The latter adds the squared distances between the classes' recalls and the ends of their intervals. If every row is
    right, so is every resample, and a bootstrap interval would have no width; these depend on the number of rows. For
    the same reason a perfect area under the ROC curve has the interval of the smaller class's recall.
    """
    correct, counts = P.argmax(axis=1) == y, np.bincount(y)
    recalls = np.bincount(y, correct)[counts > 0] / counts[counts > 0]
    low, high = wilson_interval(recalls, counts[counts > 0], _CONFIDENCE)
    balanced = recalls.mean()
    below, above = np.sqrt([((recalls - low) ** 2).sum(), ((high - recalls) ** 2).sum()]) / len(recalls)
    ends = {
        "accuracy": wilson_interval(correct.mean(), np.array(len(y)), _CONFIDENCE),
        "balanced_accuracy": (balanced - below, balanced + above),
    }
    if roc_auc(y, P) == 1:
        ends["roc_auc"] = wilson_interval(np.ones(()), counts[counts > 0].min(), _CONFIDENCE)
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def format_scores(
    scores: Mapping[str, float], intervals: Mapping[str, Sequence[float]], baseline: Mapping[str, float]
) -> dict[str, tuple[str, str, str]]:
    """Return each score, its interval and the baseline's score as text, to three digits of the interval's width.

    An interval or a baseline that is not known is the empty string.
    """
    shown = {}
    for name, value in scores.items():
        ends = list(intervals.get(name, ()))
        others = [*ends, *([baseline[name]] if name in baseline else [])]
        text, *texts = format_numbers([value, *others], width=ends[1] - ends[0] if ends else 0.0)
        n = len(ends)
        shown[name] = (text, " to ".join(texts[:n]), "".join(texts[n:]))
    return shown
