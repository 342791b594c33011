"""Metrics: what people read beside the loss. A metric is a function `(y, prediction) -> float`.

`y` is in the loss's own form, class numbers (n,) or rows (n, k), and `prediction` (n, k) is what `net.predict` returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import nan

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import look_up


@dataclass(frozen=True)
class Metric:
    """A function with its name, its better direction, and the targets it is for: "classes", "numbers" or "any"."""

    name: str
    function: Callable[[Array, Array], float]
    higher_is_better: bool = False
    targets: str = "any"

    def check(self, y: Array) -> None:
        """Raise ValueError for targets of another kind."""
        held = "classes" if y.ndim == 1 else "numbers" if y.min() < 0 or y.max() > 1 else "any"
        if {held, self.targets} == {"classes", "numbers"}:
            raise ValueError(f"metrics must fit y, got {self.name!r} is for {self.targets}, and y holds {held}")

    def measure(self, y: Array, prediction: Array) -> float:
        """Return the metric's value; the function sees arrays that it cannot change."""
        y, prediction = y.view(), prediction.view()
        y.flags.writeable = prediction.flags.writeable = False
        return float(self.function(y, prediction))


def accuracy(y: Array, prediction: Array) -> float:
    """Share of rows whose largest output is the class's; with one output, whose side of 1/2 is.

    With several labels a row, the share of labels whose side of 1/2 is right.
    """
    if has_several_labels(y):
        return float(np.mean((prediction > 0.5) == (y > 0.5)))
    return float(np.mean(classes(y) == classes(prediction)))


def balanced_accuracy(y: Array, prediction: Array) -> float:
    """Mean, over the classes there are, of the share of its rows that is told: rare classes count like frequent ones.

    With several labels a row, the mean over them too.
    """
    if has_several_labels(y):
        return mean_over_labels(balanced_accuracy, y, prediction)
    truth, told = classes(y), classes(prediction)
    return float(np.mean([np.mean(told[truth == k] == k) for k in np.unique(truth)]))


def f1_macro(y: Array, prediction: Array) -> float:
    """Mean, over the classes there are or were told, of 2 hits / (its rows + rows told to be it).

    With several labels a row, the mean over them too.
    """
    if has_several_labels(y):
        return mean_over_labels(f1_macro, y, prediction)
    truth, told = classes(y), classes(prediction)
    k = max(prediction.shape[1], 2)
    hits, rows, claims = (np.bincount(part, minlength=k) for part in (truth[truth == told], truth, told))
    there = rows + claims > 0
    return float(np.mean(2 * hits[there] / (rows + claims)[there]))


def roc_auc(y: Array, prediction: Array) -> float:
    """The chance that a row of a class is given a higher probability of it than a row of another; half where equal.

    Of more than two classes, and with several labels a row, the mean over all that some rows have and others not; NaN
    where there is none (Hanley & McNeil 1982).
    """
    labels = y if has_several_labels(y) else classes(y)[:, np.newaxis] == np.arange(max(prediction.shape[1], 2))
    if prediction.shape[1] <= 2 and not has_several_labels(y):  # the second class's chances are the first one's
        labels, prediction = labels[:, 1:], prediction[:, -1:]
    told = [(p[label], p[~label]) for label, p in zip(labels.astype(bool).T, prediction.T)]
    areas = [share_above(*both) for both in told if all(map(len, both))]
    return float(np.mean(areas)) if areas else nan


def share_above(these: Array, others: Array) -> float:
    """Return in what share of pairs of one of each the first is larger; equal ones count half."""
    ordered = np.sort(others)
    below, not_above = (np.searchsorted(ordered, these, side) for side in ("left", "right"))
    return float((below + not_above).mean() / (2 * len(others)))


def log_loss(y: Array, prediction: Array) -> float:
    """-mean log of the probability given to the class that was right; probabilities are kept above 1e-15.

    With several labels a row, the mean over them too.
    """
    if has_several_labels(y):
        return mean_over_labels(log_loss, y, prediction)
    n, k = prediction.shape
    P = np.clip(prediction.astype(np.float64), 1e-15, 1)
    if k == 1:
        P = np.hstack([np.clip(1 - prediction.astype(np.float64), 1e-15, 1), P])
    return float(-np.log(P[np.arange(n), classes(y)]).mean())


def brier(y: Array, prediction: Array) -> float:
    """Mean over rows of sum_k (P_k - Y_k)^2, a proper score that stays finite (Brier 1950)."""
    Y = np.eye(prediction.shape[1])[y] if y.ndim == 1 else y
    return float(((prediction - Y) ** 2).sum(axis=1).mean())


def mse(y: Array, prediction: Array) -> float:
    """Mean squared error, over rows and outputs."""
    return float(((prediction - y) ** 2).mean())


def rmse(y: Array, prediction: Array) -> float:
    """Root of the mean squared error, in the target's unit."""
    return float(np.sqrt(mse(y, prediction)))


def mae(y: Array, prediction: Array) -> float:
    """Mean absolute error, in the target's unit."""
    return float(np.abs(prediction - y).mean())


def r2(y: Array, prediction: Array) -> float:
    """1 - squared error / variance, each output's own, averaged; 0 is what the mean would score."""
    variance = y.var(axis=0)
    error = ((prediction - y) ** 2).mean(axis=0)
    return float(np.mean(1 - error / np.where(variance > 0, variance, 1)))


def has_several_labels(y: Array) -> bool:
    """Tell whether rows (n, k) of 0 and 1 say of each of k labels whether it holds, and not which of k classes."""
    return y.ndim == 2 and y.shape[1] > 1 and not np.allclose(y.sum(axis=1), 1)


def mean_over_labels(function: Callable[[Array, Array], float], y: Array, prediction: Array) -> float:
    """Return the mean of what a function makes of each label's column by itself."""
    return float(np.mean([function(label[:, np.newaxis], p[:, np.newaxis]) for label, p in zip(y.T, prediction.T)]))


def classes(rows: Array) -> Array:
    """Return class numbers (n,): those given, the largest column's, or for one column which side of 1/2 it is on."""
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


def as_metric(metric: str | Metric | Callable[[Array, Array], float]) -> Metric:
    """Return the metric itself, the one of that name, or a user's function, for which lower is better."""
    if isinstance(metric, Metric):
        return metric
    if callable(metric):
        return Metric(getattr(metric, "__name__", "metric"), metric)
    return look_up(METRICS, metric, "metrics")
