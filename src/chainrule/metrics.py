"""Metrics, reported next to the loss. A metric is a function `(y, prediction) -> float`; those here take weights too.

`y` has the form that the loss requires, class numbers (n,) or rows (n, k); `prediction` (n, k) is `net(X)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import nan

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import look_up

__all__ = [
    "METRICS",
    "Metric",
    "accuracy",
    "balanced_accuracy",
    "brier",
    "f1_macro",
    "log_loss",
    "mae",
    "mse",
    "r2",
    "rmse",
    "roc_auc",
]


@dataclass(frozen=True)
class Metric:
    """A function with its name, its direction, and the targets it applies to: "classes", "numbers" or "any"."""

    name: str
    function: Callable[..., float] = field(repr=False)
    higher_is_better: bool = False
    targets: str = "any"

    def check(self, y: Array) -> None:
        """Raise ValueError if the metric does not apply to these targets."""
        kind = "classes" if y.ndim == 1 else "numbers" if y.min() < 0 or y.max() > 1 else "any"
        if {kind, self.targets} == {"classes", "numbers"}:
            raise ValueError(
                f"metrics must apply to y, which has {kind}, got {self.name!r}, a metric for {self.targets}"
            )

    def measure(self, y: Array, prediction: Array, weight: Array | None = None) -> float:
        """Return the value of the metric; the function gets read-only arrays.

        With weights (n,), >= 0, the metrics of this module weigh the rows; functions of the user's do not.
        """
        y, prediction = y.view(), prediction.view()
        y.flags.writeable = prediction.flags.writeable = False
        if weight is None or METRICS.get(self.name) is not self:
            return float(self.function(y, prediction))
        counted = weight > 0
        return float(self.function(y[counted], prediction[counted], weight[counted])) if counted.any() else nan


AnyMetric = str | Metric | Callable[[Array, Array], float]
Weight = Array | None
"""Weights (n,) of the rows, > 0; None: all equal."""


def accuracy(y: Array, prediction: Array, weight: Weight = None) -> float:
    """Fraction of rows whose most probable class is right; with one output, those on the right side of 1/2.

    With several labels per row, the fraction of labels on the right side of 1/2.
    """
    if _is_multilabel(y):
        return float(np.average(np.mean((prediction > 0.5) == (y > 0.5), axis=1), weights=weight))
    return float(np.average(classes(y) == classes(prediction), weights=weight))


def balanced_accuracy(y: Array, prediction: Array, weight: Weight = None) -> float:
    """Mean recall over the classes that occur: rare classes count as much as frequent ones.

    With several labels per row, averaged over labels.
    """
    if _is_multilabel(y):
        return _mean_over_labels(balanced_accuracy, y, prediction, weight)
    truth, right = classes(y), classes(y) == classes(prediction)
    return float(np.mean([np.average(right[truth == k], weights=_part(weight, truth == k)) for k in np.unique(truth)]))


def f1_macro(y: Array, prediction: Array, weight: Weight = None) -> float:
    """Mean F1 score, 2 hits / (rows of the class + rows predicted as it), over classes that occur or are predicted.

    With several labels per row, averaged over labels.
    """
    if _is_multilabel(y):
        return _mean_over_labels(f1_macro, y, prediction, weight)
    truth, predicted = classes(y), classes(prediction)
    k, right = max(prediction.shape[1], 2), truth == predicted
    hits = np.bincount(truth[right], _part(weight, right), k)
    actual, claims = np.bincount(truth, weight, k), np.bincount(predicted, weight, k)
    counted = actual + claims > 0
    return float(np.mean(2 * hits[counted] / (actual + claims)[counted]))


def roc_auc(y: Array, prediction: Array, weight: Weight = None) -> float:
    """Area under the ROC curve: the probability that a row of the class ranks above one of another; ties count half.

    For more than two classes, and for several labels per row, the mean one-against-rest area over those that some rows
    have and others do not; NaN if there are none (Hanley & McNeil 1982).
    """
    labels = y if _is_multilabel(y) else classes(y)[:, np.newaxis] == np.arange(max(prediction.shape[1], 2))
    if prediction.shape[1] <= 2 and not _is_multilabel(y):  # the area of the first class is that of the second
        labels, prediction = labels[:, 1:], prediction[:, -1:]
    weight = np.ones(len(y)) if weight is None else weight
    split = [(label, ~label, p) for label, p in zip(labels.astype(bool).T, prediction.T)]
    areas = [_fraction_above(p[a], p[b], weight[a], weight[b]) for a, b, p in split if a.any() and b.any()]
    return float(np.mean(areas)) if areas else nan


def _fraction_above(these: Array, others: Array, weight: Array, others_weight: Array) -> float:
    """Return the fraction of pairs (a, b) with a > b, by the product of their weights; ties count half."""
    order = np.argsort(others)
    sums = np.append(0, np.cumsum(others_weight[order]))
    below, not_above = (sums[np.searchsorted(others[order], these, side)] for side in ("left", "right"))
    return float(np.average(below + not_above, weights=weight) / (2 * sums[-1]))


def log_loss(y: Array, prediction: Array, weight: Weight = None) -> float:
    """-mean log of the predicted probability of the true class; probabilities are clipped to at least 1e-15.

    With several labels per row, averaged over labels.
    """
    if _is_multilabel(y):
        return _mean_over_labels(log_loss, y, prediction, weight)
    n, k = prediction.shape
    P = np.clip(prediction.astype(np.float64), 1e-15, 1)
    if k == 1:
        P = np.hstack([np.clip(1 - prediction.astype(np.float64), 1e-15, 1), P])
    return float(-np.average(np.log(P[np.arange(n), classes(y)]), weights=weight))


def brier(y: Array, prediction: Array, weight: Weight = None) -> float:
    """Mean over rows of sum_k (P_k - Y_k)^2: a proper scoring rule that stays finite (Brier 1950)."""
    Y = np.eye(prediction.shape[1])[y] if y.ndim == 1 else y
    return float(np.average(((prediction - Y) ** 2).sum(axis=1), weights=weight))


def mse(y: Array, prediction: Array, weight: Weight = None) -> float:
    """Mean squared error, over rows and outputs."""
    return float(np.average(((prediction - y) ** 2).mean(axis=1), weights=weight))


def rmse(y: Array, prediction: Array, weight: Weight = None) -> float:
    """Root mean squared error, in the unit of the target."""
    return float(np.sqrt(mse(y, prediction, weight)))


def mae(y: Array, prediction: Array, weight: Weight = None) -> float:
    """Mean absolute error, in the unit of the target."""
    return float(np.average(np.abs(prediction - y).mean(axis=1), weights=weight))


def r2(y: Array, prediction: Array, weight: Weight = None) -> float:
    """Coefficient of determination, 1 - squared error / variance, averaged over outputs; the mean scores 0."""
    variance = np.average((y - np.average(y, axis=0, weights=weight)) ** 2, axis=0, weights=weight)
    error = np.average((prediction - y) ** 2, axis=0, weights=weight)
    return float(np.mean(1 - error / np.where(variance > 0, variance, 1)))


# Scores of intervals, quantiles and sets, which are no metrics of `train`: they need more than `net(X)`.


def coverage(y: Array, interval: Array, weight: Weight = None) -> float:
    """Fraction of numbers y (n,) inside their intervals (n, 2), the ends included."""
    low, high = interval.T
    return float(np.average((low <= y) & (y <= high), weights=weight))


def coverage_by_part(y: Array, interval: Array, by: Array, n_parts: int = 5, weight: Weight = None) -> list[float]:
    """Coverage in each of `n_parts` parts of the rows, as equal in number as possible, in the order of `by` (n,).

    Intervals of one width for all rows cover too much in one part and too little in another. NaN for a part without
    rows.
    """
    parts = np.array_split(np.argsort(by, kind="stable"), n_parts)
    return [coverage(y[rows], interval[rows], _part(weight, rows)) if len(rows) else nan for rows in parts]


def winkler(y: Array, interval: Array, coverage: float, weight: Weight = None) -> float:
    """Mean width of intervals (n, 2), plus 2 / (1 - coverage) times the distance of each y (n,) that is outside.

    Lowest for the true quantiles at (1 - coverage) / 2 and (1 + coverage) / 2 (Winkler 1972).
    """
    low, high = interval.T
    outside = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    return float(np.average(high - low + 2 / (1 - coverage) * outside, weights=weight))


def crps(y: Array, quantiles: Array, levels: Array, weight: Weight = None) -> float:
    """Continuous ranked probability score of quantiles (n, q) at evenly spaced levels (q,), for numbers y (n,).

    Twice the mean quantile loss over the levels, which for many of them tends to the integral of the squared difference
    between the predicted distribution function and the step at y; for a single predicted number it would be the
    absolute error (Gneiting & Raftery 2007, section 4.2).
    """
    above = y[:, np.newaxis] - quantiles
    losses = np.maximum(levels * above, (levels - 1) * above)
    return float(2 * np.average(losses.mean(axis=1), weights=weight))


def set_coverage(y: Array, sets: Array, weight: Weight = None) -> float:
    """Fraction of rows whose class number y (n,) is in their set: sets (n, K) are true for the classes in them."""
    return float(np.average(sets[np.arange(len(y)), y], weights=weight))


def set_size(sets: Array, weight: Weight = None) -> float:
    """Mean number of classes in sets (n, K)."""
    return float(np.average(sets.sum(axis=1), weights=weight))


def _part(weight: Weight, rows: Array) -> Weight:
    return None if weight is None else weight[rows]


def _is_multilabel(y: Array) -> bool:
    """Return whether rows (n, k) of 0 and 1 are k independent labels, rather than one of k classes."""
    return y.ndim == 2 and y.shape[1] > 1 and not np.allclose(y.sum(axis=1), 1)


def _mean_over_labels(function: Callable[..., float], y: Array, prediction: Array, weight: Weight) -> float:
    """Return the mean of a function over the labels' columns."""
    pairs = zip(y.T[:, :, np.newaxis], prediction.T[:, :, np.newaxis])
    return float(np.mean([function(label, p, weight) for label, p in pairs]))


def classes(rows: Array) -> Array:
    """Return class numbers (n,): as they are, of the largest column, or for one column whether it is above 1/2."""
    if rows.ndim == 1:
        return rows
    return (rows[:, 0] > 0.5).astype(np.intp) if rows.shape[1] == 1 else rows.argmax(axis=1)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", accuracy, higher_is_better=True, targets="classes"),
        Metric("balanced_accuracy", balanced_accuracy, higher_is_better=True, targets="classes"),
        Metric("f1_macro", f1_macro, higher_is_better=True, targets="classes"),
        Metric("roc_auc", roc_auc, higher_is_better=True, targets="classes"),
        Metric("log_loss", log_loss, targets="classes"),
        Metric("brier", brier, targets="classes"),
        Metric("mse", mse, targets="numbers"),
        Metric("rmse", rmse, targets="numbers"),
        Metric("mae", mae, targets="numbers"),
        Metric("r2", r2, higher_is_better=True, targets="numbers"),
    )
}


def as_metrics(metrics: AnyMetric | Sequence[AnyMetric]) -> list[Metric]:
    """Return a list of metrics, from one or several."""
    several = isinstance(metrics, Sequence) and not isinstance(metrics, str)
    return [as_metric(metric) for metric in (metrics if several else [metrics])]  # type: ignore[union-attr, arg-type]


def as_metric(metric: AnyMetric) -> Metric:
    """Return the metric itself, the one with this name, or a custom function, for which lower is better."""
    if isinstance(metric, Metric):
        return metric
    if callable(metric):
        return Metric(getattr(metric, "__name__", "metric"), metric)
    return look_up(METRICS, metric, "metrics")
