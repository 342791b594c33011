"""Model evaluation beyond a single score: the values behind the usual curves, and the influence of each column.

Throughout, `y` (n,) contains class numbers, 0 and 1 for a binary curve, and `P` (n, K) the predicted probabilities of a
classifier; (n,) or (n, 1) is the probability of class 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_class_numbers, as_generator, as_matrix, require, require_integer
from chainrule.data.reading import n_rows, read_columns, take_rows
from chainrule.data.targets import ClassTarget
from chainrule.errors import require_names
from chainrule.insight.responses import PredictionFunction, column_replacer, prediction_function, sample_rows
from chainrule.metrics import Metric, as_metric
from chainrule.model.embeddings import Lookup
from chainrule.model.predictor import Predictor

# Classification curves.


def check_probabilities(y: ArrayLike, P: ArrayLike) -> tuple[Array, Array]:
    """Return y (n,) as class numbers and P as float64 (n, K); raise ValueError if they are invalid."""
    P = np.asarray(P)
    if P.ndim == 1:
        P = P[:, np.newaxis]
    P = as_matrix(P, P.shape[-1], np.float64, "P")
    if P.shape[1] == 1:
        P = np.hstack([1 - P, P])
    y = as_class_numbers(np.asarray(y), P.shape[1])
    require(len(P) > 0, "P", "have at least one row", P.shape)
    require(len(y) == len(P), "y", f"have shape ({len(P)},), one class number per row", y.shape)
    return y, P


def confusion_matrix(y: ArrayLike, P: ArrayLike) -> Array:
    """Return the number of rows (K, K) of each actual class (down) that are predicted as each class (across).

    Examples
    --------
    >>> confusion_matrix([0, 0, 1], [0.2, 0.7, 0.9])
    array([[1, 1],
           [0, 1]])
    """
    y, P = check_probabilities(y, P)
    K = P.shape[1]
    return np.bincount(y * K + P.argmax(axis=1), minlength=K * K).reshape(K, K)


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall and F1 of each class (K,), and its number of rows, the support; 0 where undefined."""

    precision: Array
    recall: Array
    f1: Array
    support: Array


def class_scores(counts: Array) -> ClassScores:
    """Return the scores of each class, given a confusion matrix (K, K).

    Examples
    --------
    >>> class_scores(np.array([[1, 1], [0, 1]])).precision
    array([1. , 0.5])
    """
    hits, actual, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(actual, 1)
    return ClassScores(precision, recall, 2 * hits / np.maximum(actual + predicted, 1), actual)


def roc_curve(y: ArrayLike, scores: ArrayLike) -> tuple[Array, Array, Array]:
    """Return false positive rates, true positive rates and decreasing thresholds on the score, each (m,).

    Collinear points are dropped; the first point is (0, 0), at an infinite threshold. `y` (n,) must contain both 0 and
    1, else ValueError; `scores` (n,) increase with the probability of class 1 (Fawcett 2006, algorithm 1).
    """
    true_positives, false_positives, thresholds = binary_counts(y, scores)
    is_mixed = true_positives[-1] > 0 and false_positives[-1] > 0
    require(is_mixed, "y", "contain both classes", np.unique(np.asarray(y)).tolist())
    kept = np.ones(len(thresholds), np.bool_)
    kept[1:-1] = np.diff(true_positives, 2).astype(bool) | np.diff(false_positives, 2).astype(bool)
    rates = (np.append(0, counts[kept]) / counts[-1] for counts in (false_positives, true_positives))
    return *rates, np.append(np.inf, thresholds[kept])


def precision_recall_curve(y: ArrayLike, scores: ArrayLike) -> tuple[Array, Array, Array]:
    """Return precision and recall, each (m + 1,), and increasing thresholds on the score (m,).

    The last point, precision 1 at recall 0, has no threshold. Arguments as for `roc_curve`, except that only class 1
    must occur.
    """
    true_positives, false_positives, thresholds = binary_counts(y, scores)
    require(true_positives[-1] > 0, "y", "contain class 1", np.unique(np.asarray(y)).tolist())
    precision, recall = true_positives / (true_positives + false_positives), true_positives / true_positives[-1]
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0), thresholds[::-1]


def binary_counts(y: ArrayLike, scores: ArrayLike) -> tuple[Array, Array, Array]:
    """Return the numbers of true and of false positives at each threshold, and the distinct scores, decreasing.

    A row counts as positive if its score is at least the threshold.
    """
    scores = as_matrix(np.asarray(scores).reshape(-1, 1), 1, np.float64, "scores")[:, 0]
    y = as_class_numbers(np.asarray(y), 2)
    require(len(scores) > 0, "scores", "have at least one value", scores.shape)
    require(len(y) == len(scores), "y", f"have shape ({len(scores)},), a 0 or 1 per score", y.shape)
    order = np.argsort(-scores, kind="stable")
    scores, y = scores[order], y[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    true_positives = np.cumsum(y)[last]
    return true_positives, 1 + last - true_positives, scores[last]


def area_under(x: Array, y: Array) -> float:
    """Return the area under the curve by the trapezoidal rule; for a ROC curve, the AUC."""
    return float(np.diff(x) @ (y[1:] + y[:-1]) / 2)


def average_precision(precision: Array, recall: Array) -> float:
    """Return sum_k (recall_k - recall_(k-1)) precision_k, the area under the step function."""
    return float(-np.diff(recall) @ precision[:-1])


def calibrated_outcome(y: Array, P: Array) -> tuple[Array, Array]:
    """Return an outcome (n,), 0 or 1, and its probability: class 1 of two, or that the predicted class is right."""
    return (y, P[:, 1]) if P.shape[1] == 2 else (P.argmax(axis=1) == y, P.max(axis=1))


def calibration_curve(y: ArrayLike, p: ArrayLike, bins: int = 10) -> tuple[Array, Array, Array]:
    """Return the observed fraction of class 1, the mean predicted probability and the number of rows of each bin.

    `p` (n,) contains probabilities of class 1 between 0 and 1. Bins have equal width; empty ones are dropped.
    """
    require_integer(bins, "bins")
    y, P = check_probabilities(y, p)
    p = P[:, 1]
    require(p.min() >= 0 and p.max() <= 1, "p", "be between 0 and 1", (float(p.min()), float(p.max())))
    bin_of = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], p)
    counts = np.bincount(bin_of, minlength=bins)
    kept = counts > 0
    predicted, observed = (np.bincount(bin_of, values, bins)[kept] / counts[kept] for values in (p, y))
    return observed, predicted, counts[kept]


def wilson_interval(fraction: Array, counts: Array, confidence: float = 0.95) -> tuple[Array, Array]:
    """Return the bounds of the confidence interval of a binomial proportion (Wilson 1927), valid for small counts."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    center = (fraction + z**2 / (2 * counts)) / (1 + z**2 / counts)
    half_width = z * np.sqrt(fraction * (1 - fraction) / counts + (z / (2 * counts)) ** 2) / (1 + z**2 / counts)
    return np.minimum(center - half_width, fraction).clip(0), np.maximum(center + half_width, fraction).clip(max=1)


def calibration_error(observed: Array, predicted: Array, counts: Array) -> float:
    """Return the mean of |observed - predicted| over rows: the expected calibration error (Guo et al. 2017, eq. 3)."""
    return float(np.average(np.abs(observed - predicted), weights=counts))


# Influence of columns.


def saliency_ranking(model: Predictor, table: object, n_columns: int, seed: int = 0) -> list[str]:
    """Return the names of the `n_columns` columns with the largest gradient saliency, the largest first.

    The saliency of an encoded column x is |dz/dx| times its standard deviation, with z a randomly weighted sum of the
    first network's outputs, averaged over rows; a column's saliency is the sum over its encoded columns. An index of
    categories has the saliency of the vectors that the network looks up. This approximates the ranking of
    `permutation_importance` at the cost of two predictions.
    """
    rng = as_generator(seed)
    columns = read_columns(table)
    columns = take_rows(columns, sample_rows(n_rows(columns), 500, rng))
    network = model.ensemble.means.networks[0].copy()
    X = model.encoder.transform(columns).astype(network.dtype)
    Z, backwards = network.forward(X)
    grads_of, sources = network.grads, np.array(model.encoder.sources, object)
    if isinstance(network.layers[0], Lookup):
        X, backwards, grads_of = network.activations(X)[0], backwards[1:], grads_of[1:]
        sources = sources[network.layers[0].origins]
    dX = rng.normal(size=Z.shape).astype(network.dtype)
    for backward, grads in zip(reversed(backwards), reversed(grads_of)):
        dX = backward(dX, grads)
    saliency = np.abs(dX).mean(axis=0) * X.std(axis=0)
    totals = {name: float(saliency[sources == name].sum()) for name in dict.fromkeys(sources)}
    return sorted(totals, key=lambda name: -totals[name])[:n_columns]


@dataclass(frozen=True)
class Importance:
    """Permutation importance: the increase `worse[column]` (repeats,) in error over `score` per shuffle of a column.

    For a metric such as accuracy, of which higher is better, it is the decrease.
    """

    metric: str
    score: float
    worse: dict[str, Array]

    @property
    def ranking(self) -> list[str]:
        """The columns, the most important first."""
        return sorted(self.worse, key=lambda name: -float(self.worse[name].mean()))


def permutation_importance(
    model: Predictor | PredictionFunction,
    table: object,
    y: ArrayLike,
    metric: str | Metric | Callable[[Array, Array], float] | None = None,
    *,
    columns: Sequence[str] | None = None,
    repeats: int = 10,
    max_rows: int = 2_000,
    seed: int = 0,
) -> Importance:
    """Measure how much a metric degrades when the values of one column are shuffled.

    Breiman 2001, "Random forests", section 10. The importance of a column is underestimated if another one contains the
    same information. Use held-out rows.

    Parameters
    ----------
    model : Predictor or function
        A function takes a dict of columns and returns predictions (n,) or (n, k); for a classifier, probabilities.
    table : dict of columns, DataFrame or any other input of `read_columns`
    y : (n,) or (n, k)
        For a Predictor, the target's values; for a function, class numbers or values, as the metric takes them.
    metric : str, Metric or function, optional
        Default for a Predictor: "log_loss" or "rmse"; required for a function.
    columns : sequence of str, optional
        Default: the columns that the Predictor uses, or all columns.
    repeats : int
        Number of shuffles per column.
    max_rows : int
        A random sample of this size represents a larger table.
    seed : int

    Raises
    ------
    ValueError
        If an argument is invalid.
    TableError
        If the table does not fit the model, or a column is missing.
    """
    require_integer(repeats, "repeats")
    rng = as_generator(seed)
    cells = read_columns(table)
    y = np.asarray(y)
    require(n_rows(cells) > 0, "table", "have at least one row", n_rows(cells))
    require(len(y) == n_rows(cells), "len(y)", f"be {n_rows(cells)}, one value per row", len(y))
    rows = sample_rows(len(y), max_rows, rng)
    cells, y = take_rows(cells, rows), y[rows]
    if isinstance(model, Predictor):
        classifier = isinstance(model.target, ClassTarget)
        y = model.target.encode(y) if classifier else model.target.decode(model.target.encode(y))
        metric = metric or ("log_loss" if classifier else "rmse")
        columns = [column.name for column in model.encoder.columns] if columns is None else columns
    if metric is None:
        raise ValueError("metric is required if the model is a function, for example 'log_loss' or 'rmse'")
    metric = as_metric(metric)
    columns = list(cells) if columns is None else list(columns)
    require(len(columns) > 0, "columns", "contain at least one name", columns)
    require_names(cells, columns)
    predictions, predict_with = prediction_function(model)(cells), column_replacer(model, cells)
    y = y[:, np.newaxis] if y.ndim == predictions.shape[1] == 1 else y
    score = metric.measure(y, predictions)
    sign = 1 if metric.higher_is_better else -1
    worse = {}
    for name in columns:
        shuffled = (predict_with({name: rng.permutation(cells[name])}) for _ in range(repeats))
        worse[name] = np.array([sign * (score - metric.measure(y, others)) for others in shuffled])
    return Importance(metric.name, score, worse)
