"""Metrics: what people read beside the loss. A metric is a function `(y, prediction) -> float`.

`y` is in the loss's own form, class numbers (n,) or rows (n, k), and `prediction` (n, k) is what `net.predict` returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import look_up


@dataclass(frozen=True)
class Metric:
    """A function with its name and its better direction."""

    name: str
    function: Callable[[Array, Array], float]
    higher_is_better: bool = False


def accuracy(y: Array, prediction: Array) -> float:
    """Share of rows whose largest output is the class's; with one output, whose side of 1/2 is."""
    return float(np.mean(classes(y) == classes(prediction)))


def log_loss(y: Array, prediction: Array) -> float:
    """-mean log of the probability given to the class that was right; probabilities are kept above 1e-15."""
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


def classes(rows: Array) -> Array:
    """Return class numbers (n,): those given, the largest column's, or for one column which side of 1/2 it is on."""
    if rows.ndim == 1:
        return rows
    return (rows[:, 0] > 0.5).astype(np.intp) if rows.shape[1] == 1 else rows.argmax(axis=1)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", accuracy, higher_is_better=True),
        Metric("log_loss", log_loss),
        Metric("brier", brier),
        Metric("mse", mse),
        Metric("rmse", rmse),
        Metric("mae", mae),
        Metric("r2", r2, higher_is_better=True),
    )
}


def as_metric(metric: str | Metric | Callable[[Array, Array], float]) -> Metric:
    """Return the metric itself, the one of that name, or a user's function, for which lower is better."""
    if isinstance(metric, Metric):
        return metric
    if callable(metric):
        return Metric(getattr(metric, "__name__", "metric"), metric)
    return look_up(METRICS, metric, "metrics")
