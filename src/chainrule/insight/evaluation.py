"""Model evaluation beyond a single score: the values behind the usual curves, and the influence of each column.

Throughout, `y` (n,) contains class numbers, 0 and 1 for a binary curve, and `P` (n, K) the predicted probabilities of a
classifier; (n,) or (n, 1) is the probability of class 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_class_numbers, as_generator, as_matrix, require, require_integer
from chainrule.data.cells import are_numbers, as_dates_only, factorize, missing_rows
from chainrule.data.formats import to_number
from chainrule.data.layout import Layout
from chainrule.data.reading import Columns, n_rows, read_columns, require_names, take_rows
from chainrule.data.targets import ClassTarget
from chainrule.errors import TableError
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


def roc_curve(y: ArrayLike, scores: ArrayLike) -> tuple[Array, Array, Array]:
    """Return false positive rates, true positive rates and decreasing thresholds on the score, each (m,).

    Collinear points are dropped; the first point is (0, 0), at an infinite threshold. `y` (n,) must contain both 0 and
    1, else ValueError; `scores` (n,) increase with the probability of class 1 (Fawcett 2006, algorithm 1).
    """
    true_positives, false_positives, thresholds = _binary_counts(y, scores)
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
    true_positives, false_positives, thresholds = _binary_counts(y, scores)
    require(true_positives[-1] > 0, "y", "contain class 1", np.unique(np.asarray(y)).tolist())
    precision, recall = true_positives / (true_positives + false_positives), true_positives / true_positives[-1]
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0), thresholds[::-1]


def _binary_counts(y: ArrayLike, scores: ArrayLike) -> tuple[Array, Array, Array]:
    """Return the numbers of true and of false positives at each threshold, and the distinct scores, decreasing."""
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

_PredictionFunction = Callable[[Columns], ArrayLike]
"""Maps a table, a dict of columns, to predictions: (n,), or (n, k) as the metric takes them."""


def _prediction_function(model: Predictor | _PredictionFunction) -> Callable[[Columns], Array]:
    """Return a function from a table to predictions (n, k): probabilities, or values in the unit of the target."""
    if not isinstance(model, Predictor):
        return lambda table: _as_matrix(model(table), n_rows(table))
    return lambda table: _in_target_unit(model, model.predictions(table))


def _in_target_unit(model: Predictor, predictions: Array) -> Array:
    """Return a classifier's predictions unchanged, and those of a regressor in the unit of the target."""
    if isinstance(model.target, ClassTarget):
        return predictions
    return _as_matrix(model.target.decode(predictions), len(predictions))


def _column_replacer(model: Predictor | _PredictionFunction, table: Columns) -> Callable[[str, Array], Array]:
    """Return a function of a column's name and new cells (n,): the predictions for the table with these cells.

    For a Predictor the table is encoded only once, and then only the column that changes.
    """
    if not isinstance(model, Predictor):
        predict_table = _prediction_function(model)
        return lambda name, cells: predict_table(table | {name: cells})
    X, dtype = model.encoder.transform(table), model.ensemble.dtype
    places = {column.name: (column, slice(start, end)) for column, start, end in model.encoder.layout.places}

    def predict(name: str, cells: Array) -> Array:
        changed = X.copy()
        if name in places:
            column, place = places[name]
            changed[:, place] = 0
            Layout([column]).encode({name: cells}, changed[:, place])
        return _in_target_unit(model, model.ensemble.infer(changed.astype(dtype, copy=False)))

    return predict


def saliency_ranking(model: Predictor, table: object, n_columns: int, seed: int = 0) -> list[str]:
    """Return the names of the `n_columns` columns with the largest gradient saliency, the largest first.

    The saliency of an encoded column x is |dz/dx| times its standard deviation, with z a randomly weighted sum of the
    first network's outputs, averaged over rows; a column's saliency is the sum over its encoded columns. An index of
    categories has the saliency of the vectors that the network looks up. This approximates the ranking of
    `permutation_importance` at the cost of two predictions.
    """
    rng = as_generator(seed)
    columns = read_columns(table)
    columns = take_rows(columns, _sample_rows(n_rows(columns), 500, rng))
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


def _as_matrix(predictions: ArrayLike, n: int) -> Array:
    """Return predictions (n,) or (n, k) as (n, k); raise ValueError for any other shape."""
    predictions = np.asarray(predictions)
    is_valid = predictions.ndim in (1, 2) and len(predictions) == n
    require(is_valid, "model", f"return predictions of shape ({n},) or ({n}, k)", predictions.shape)
    return predictions[:, np.newaxis] if predictions.ndim == 1 else predictions


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
    model: Predictor | _PredictionFunction,
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
    rows = _sample_rows(len(y), max_rows, rng)
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
    predictions, predict_with = _prediction_function(model)(cells), _column_replacer(model, cells)
    y = y[:, np.newaxis] if y.ndim == predictions.shape[1] == 1 else y
    score = metric.measure(y, predictions)
    sign = 1 if metric.higher_is_better else -1
    worse = {}
    for name in columns:
        shuffled = (predict_with(name, rng.permutation(cells[name])) for _ in range(repeats))
        worse[name] = np.array([sign * (score - metric.measure(y, others)) for others in shuffled])
    return Importance(metric.name, score, worse)


@dataclass(frozen=True)
class Dependence:
    """Partial dependence: a model's mean predictions (m, k) with one column set to each of m values in every row.

    `values` (m,) are numbers or dates, increasing, or names of categories; `names` are those of the k outputs.
    """

    column: str
    values: Array
    predictions: Array
    names: tuple[str, ...]

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers or dates rather than categories."""
        return self.values.dtype.kind in "fM"

    @property
    def are_probabilities(self) -> bool:
        """Whether the predictions are those of a classifier: at least two, none negative, with sum 1."""
        enough = self.predictions.shape[1] > 1 and self.predictions.min() >= 0
        return bool(enough and np.allclose(self.predictions.sum(axis=1), 1, atol=1e-4))


def partial_dependence(
    model: Predictor | _PredictionFunction,
    table: object,
    column: str,
    *,
    points: int = 20,
    max_rows: int = 500,
    seed: int = 0,
) -> Dependence:
    """Average the predictions for all rows of a table with one column set to a fixed value, for several values.

    Friedman 2001, "Greedy function approximation", eq. 53. The average includes implausible rows, such as a
    three-year-old two meters tall, if columns are correlated.

    Parameters
    ----------
    model, table, max_rows, seed
        As for `permutation_importance`.
    column : str
    points : int
        Maximum number of values. If a number or date has more, they are chosen from the data, evenly spaced by rank
        from the 5th to the 95th percentile; for categories, they are the most frequent ones.

    Raises
    ------
    TableError
        If the column is missing or empty.
    """
    require_integer(points, "points", 2)
    cells = read_columns(table)
    require_names(cells, [column])
    cells = take_rows(cells, _sample_rows(n_rows(cells), max_rows, as_generator(seed)))
    grid, values = _grid(column, cells[column], points)
    predict_with = _column_replacer(model, cells)
    means = [predict_with(column, _constant_column(cell, cells[column])).mean(axis=0) for cell in grid]
    return Dependence(column, values, np.array(means, np.float64), _output_names(model, len(means[0])))


def _grid(name: str, column: Array, max_points: int) -> tuple[list[Any], Array]:
    """Return representative cells of a column, and their values: numbers, dates or names of categories."""
    known = column[~missing_rows(name, column)]
    if not len(known):
        raise TableError(f"column {name!r} must have at least one value, got only missing ones")
    if known.dtype.kind == "M":
        distinct, codes = np.unique(known, return_inverse=True)
        cells: list[Any] = list(distinct)
    else:
        cells, codes = factorize(name, known)
    values = np.array([to_number(cell) for cell in cells]) if are_numbers(cells) else as_dates_only(cells)
    if values is None:
        frequent = np.argsort(-np.bincount(codes), kind="stable")[:max_points]
        return [cells[i] for i in frequent], np.array([str(cells[i]) for i in frequent])
    by_rank = np.sort(values[codes])
    by_rank = by_rank[np.isfinite(by_rank)]  # spelled-out missing values, such as "NA", are NaN here
    if not len(by_rank):
        raise TableError(f"column {name!r} must contain a finite number, got {cells[0]!r}")
    chosen = np.unique(by_rank)
    if len(chosen) > max_points:
        ranks = np.linspace(0.05, 0.95, max_points) * (len(by_rank) - 1)
        chosen = np.unique(by_rank[ranks.round().astype(np.intp)])
    cell_of = dict(zip(values.tolist(), cells))
    return [cell_of[value] for value in chosen.tolist()], chosen


def _constant_column(cell: object, column: Array) -> Array:
    """Return a column like this one with the same cell in every row."""
    constant: Array = np.empty(len(column), column.dtype)
    constant[:] = cell
    return constant


def _output_names(model: Predictor | _PredictionFunction, k: int) -> tuple[str, ...]:
    """Return the names of a model's k outputs: the classes or the target of a Predictor."""
    if isinstance(model, Predictor) and isinstance(model.target, ClassTarget):
        return tuple(map(str, model.target.labels))
    name = model.target.name if isinstance(model, Predictor) else "prediction"
    return (name,) if k == 1 else tuple(f"{name} {j}" for j in range(k))


def _sample_rows(n: int, max_rows: int, rng: np.random.Generator) -> Array:
    """Return the indices of all rows, or of a sorted random sample of `max_rows` of them."""
    require_integer(max_rows, "max_rows")
    return np.arange(n) if n <= max_rows else np.sort(rng.choice(n, max_rows, replace=False))
