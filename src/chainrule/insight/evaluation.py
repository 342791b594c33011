"""How good a model is, beyond one score: the numbers behind the usual curves, and what each column does to its answers.

Everywhere `y` (n,) are class numbers, or for a curve of two classes 0 and 1, and `P` (n, K) the probabilities that a
classifier gives, or (n,) or (n, 1) that of class 1 alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_generator, as_matrix, require, require_integer
from chainrule.data.cells import are_numbers, as_dates_only, factorize, missing_rows, to_number
from chainrule.data.reading import Columns, n_rows, read_columns, require_names, take_rows
from chainrule.data.targets import ClassTarget
from chainrule.errors import TableError
from chainrule.model.predictor import Predictor
from chainrule.nn.losses import class_numbers
from chainrule.training.metrics import Metric, as_metric

# Classes.


def of_classes(y: ArrayLike, P: ArrayLike) -> tuple[Array, Array]:
    """Return y (n,) as class numbers and P as float64 (n, K), or raise a ValueError that says what does not fit."""
    P = np.asarray(P)
    if P.ndim == 1:
        P = P[:, np.newaxis]
    P = as_matrix(P, P.shape[-1], np.float64, "P")
    if P.shape[1] == 1:
        P = np.hstack([1 - P, P])
    y = class_numbers(np.asarray(y), P.shape[1])
    require(len(y) == len(P) > 0, "y", f"have a class number for each of {len(P)} rows, one at least", y.shape)
    return y, P


def confusion_matrix(y: ArrayLike, P: ArrayLike) -> Array:
    """Return how many rows (K, K) of each actual class, down, were taken for each class, across.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1], [0.2, 0.7, 0.9])
    array([[1, 1],
           [0, 1]])
    """
    y, P = of_classes(y, P)
    K = P.shape[1]
    return np.bincount(y * K + P.argmax(axis=1), minlength=K * K).reshape(K, K)


def roc_curve(y: ArrayLike, scores: ArrayLike) -> tuple[Array, Array, Array]:
    """Return shares of false alarms and of hits, each (m,), and the score (m,) from which on a row counts as class 1.

    Points within a straight stretch are left out; the first is (0, 0), at an infinite score. `y` (n,) is 0 or 1 and
    both occur, else ValueError; `scores` (n,) are larger where class 1 is likelier (Fawcett 2006, algorithm 1).
    """
    hits, alarms, thresholds = binary_counts(y, scores)
    require(hits[-1] > 0 and alarms[-1] > 0, "y", "hold both classes", "one class only")
    kept = np.ones(len(hits), np.bool_)
    kept[1:-1] = np.diff(hits, 2).astype(bool) | np.diff(alarms, 2).astype(bool)
    shares = (np.append(0, counts[kept]) / counts[-1] for counts in (alarms, hits))
    return *shares, np.append(np.inf, thresholds[kept])


def precision_recall_curve(y: ArrayLike, scores: ArrayLike) -> tuple[Array, Array, Array]:
    """Return precision and recall, each (m + 1,), and the score (m,) from which on a row counts as class 1.

    In the order of rising scores; the last point, precision 1 at recall 0, has no score. Arguments as for `roc_curve`,
    but class 1 alone must occur.
    """
    hits, alarms, thresholds = binary_counts(y, scores)
    require(hits[-1] > 0, "y", "hold class 1", "class 0 only")
    precision, recall = hits / (hits + alarms), hits / hits[-1]
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0), thresholds[::-1]


def binary_counts(y: ArrayLike, scores: ArrayLike) -> tuple[Array, Array, Array]:
    """Return how many rows of class 1 and of class 0 score at least so much, and so much: each score once, falling."""
    scores = as_matrix(np.asarray(scores).reshape(-1, 1), 1, np.float64, "scores")[:, 0]
    y = class_numbers(np.asarray(y), 2)
    require(len(y) == len(scores) > 0, "y", f"have a 0 or 1 for each of {len(scores)} scores, one at least", y.shape)
    falling = np.argsort(-scores, kind="stable")
    scores, y = scores[falling], y[falling]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.cumsum(y)[last]
    return hits, 1 + last - hits, scores[last]


def area_under(x: Array, y: Array) -> float:
    """Return the area under straight lines from point to point; of a ROC curve, the AUC."""
    return float(np.diff(x) @ (y[1:] + y[:-1]) / 2)


def average_precision(precision: Array, recall: Array) -> float:
    """Return sum_k (recall_k - recall_(k-1)) precision_k: the area under the curve's steps."""
    return float(-np.diff(recall) @ precision[:-1])


def calibration_curve(y: ArrayLike, p: ArrayLike, bins: int = 10) -> tuple[Array, Array, Array]:
    """Return what share of rows was of class 1, what was said on average, and how many rows, in each bin of p.

    `p` (n,) are probabilities of class 1, from 0 to 1; bins are equally wide, and those without a row are left out.
    """
    require_integer(bins, "bins")
    y, P = of_classes(y, p)
    p = P[:, 1]
    require(p.min() >= 0 and p.max() <= 1, "p", "be between 0 and 1", (float(p.min()), float(p.max())))
    bin_of = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], p)
    counts = np.bincount(bin_of, minlength=bins)
    some = counts > 0
    said, were = (np.bincount(bin_of, values, bins)[some] / counts[some] for values in (p, y))
    return were, said, counts[some]


def wilson_interval(share: Array, counts: Array, sure: float = 0.95) -> tuple[Array, Array]:
    """Return the ends of an interval that holds the true share in so many cases, however few rows (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + sure) / 2)
    middle = (share + z**2 / (2 * counts)) / (1 + z**2 / counts)
    reach = z * np.sqrt(share * (1 - share) / counts + (z / (2 * counts)) ** 2) / (1 + z**2 / counts)
    return np.minimum(middle - reach, share).clip(0), np.maximum(middle + reach, share).clip(max=1)


def calibration_error(were: Array, said: Array, counts: Array) -> float:
    """Return the mean of |share - probability| over rows: the expected calibration error (Guo et al. 2017, eq. 3)."""
    return float(np.average(np.abs(were - said), weights=counts))


# Columns.

Answers = Callable[[Columns], ArrayLike]
"""From a table, a dict of columns, to answers: (n,), or (n, k) as a metric takes them."""


def answers_of(model: Predictor | Answers) -> Callable[[Columns], Array]:
    """Return what a model answers to a table, (n, k): probabilities, or numbers in the target's unit."""
    if not isinstance(model, Predictor):
        return lambda table: as_rows(model(table), n_rows(table))
    return lambda table: in_its_unit(model, model.predictions(table))


def in_its_unit(model: Predictor, predictions: Array) -> Array:
    """Return a predictor's answers (n, k) as probabilities, or as numbers in the target's unit."""
    return (
        predictions
        if isinstance(model.target, ClassTarget)
        else as_rows(model.target.decode(predictions), len(predictions))
    )


def answers_with(model: Predictor | Answers, table: Columns) -> Callable[[str, Array], Array]:
    """Return a function of a column's name and other cells (n,) for it: the model's answers to the table with these.

    A Predictor encodes the table once, and then the one column that is another.
    """
    if not isinstance(model, Predictor):
        answer = answers_of(model)
        return lambda name, cells: answer(table | {name: cells})
    X, dtype = model.encoder.transform(table), model.ensemble.dtype
    places = {column.name: (column, slice(start, end)) for column, start, end in model.encoder.layout.places}

    def predictions(name: str, cells: Array) -> Array:
        other = X.copy()
        if name in places:
            column, place = places[name]
            other[:, place] = 0
            column.encode(cells, other[:, place])
        return in_its_unit(model, model.ensemble.infer(other.astype(dtype, copy=False)))

    return predictions


def saliency_ranking(model: Predictor, table: object, most: int, seed: int = 0) -> list[str]:
    """Return the names of the columns, `most` of them, that the answers follow most, by one look at the derivatives.

    A column counts for |dz/dx| times the deviation of x, with z the first network's outputs, weighed at random;
    averaged over rows, and summed over the encoded columns x that it became. It tells roughly what
    `permutation_importance` finds, in the time of two answers.
    """
    rng = as_generator(seed)
    given = read_columns(table)
    given = take_rows(given, some_rows(n_rows(given), 500, rng))
    network = model.ensemble.networks[0].copy()
    X = model.encoder.transform(given).astype(network.dtype)
    Z, backwards = network.forward(X)
    dX = rng.normal(size=Z.shape).astype(network.dtype)
    for backward, grads in zip(reversed(backwards), reversed(network.grads)):
        dX = backward(dX, grads)
    heed = np.abs(dX).mean(axis=0) * X.std(axis=0)
    totals = {column.name: float(heed[start:end].sum()) for column, start, end in model.encoder.layout.places}
    return sorted(totals, key=lambda name: -totals[name])[:most]


def as_rows(predictions: ArrayLike, n: int) -> Array:
    """Return answers (n,) or (n, k) as (n, k), or raise a ValueError that says what is wrong."""
    predictions = np.asarray(predictions)
    require(
        predictions.ndim in (1, 2) and len(predictions) == n, "model", f"answer each of {n} rows", predictions.shape
    )
    return predictions[:, np.newaxis] if predictions.ndim == 1 else predictions


@dataclass(frozen=True)
class Importance:
    """How much worse a metric gets when a column is shuffled: `worse[column]` (repeats,), from `score` on."""

    metric: str
    score: float
    worse: dict[str, Array]

    @property
    def ranking(self) -> list[str]:
        """The columns, the one that matters most first."""
        return sorted(self.worse, key=lambda name: -float(self.worse[name].mean()))


def permutation_importance(
    model: Predictor | Answers,
    table: object,
    y: ArrayLike,
    metric: str | Metric | Callable[[Array, Array], float] | None = None,
    *,
    columns: Sequence[str] | None = None,
    repeats: int = 10,
    most_rows: int = 2_000,
    seed: int = 0,
) -> Importance:
    """Measure how much worse the answers get when one column is shuffled and so tells nothing.

    Breiman 2001, "Random forests", section 10. What stands in another column too is missed less than it is worth. The
    rows should be ones that the model was not trained on.

    Parameters
    ----------
    model : Predictor or function
        A function takes a dict of columns and returns answers (n,) or (n, k), a classifier's being probabilities.
    table : dict of columns, DataFrame or any other that `read_columns` takes
    y : (n,) or (n, k)
        For a Predictor the target's values; for a function class numbers or numbers, as the metric takes them.
    metric : str, Metric or function, optional
        None: for a Predictor "log_loss" or "rmse"; a function needs one.
    columns : sequence of str, optional
        None: those that the Predictor uses, or every one.
    repeats : int
        Shuffles of each column.
    most_rows : int
        A larger table is represented by so many of its rows.
    seed : int

    Raises
    ------
    ValueError
        When an argument breaks its rule.
    TableError
        When the table does not fit, or a column is not there.
    """
    require_integer(repeats, "repeats")
    rng = as_generator(seed)
    given = read_columns(table)
    y = np.asarray(y)
    require(len(y) == n_rows(given) > 0, "y", f"have a value for each of {n_rows(given)} rows, one at least", y.shape)
    rows = some_rows(len(y), most_rows, rng)
    given, y = take_rows(given, rows), y[rows]
    if isinstance(model, Predictor):
        classifier = isinstance(model.target, ClassTarget)
        y = model.target.encode(y) if classifier else model.target.decode(model.target.encode(y))
        metric = metric or ("log_loss" if classifier else "rmse")
        columns = [column.name for column in model.encoder.columns] if columns is None else columns
    if metric is None:
        raise ValueError("metric must be given with a function, such as 'log_loss' or 'rmse'")
    metric = as_metric(metric)
    columns = list(given) if columns is None else list(columns)
    require(len(columns) > 0, "columns", "name one column at least", columns)
    require_names(given, columns)
    predictions, answers_to = answers_of(model)(given), answers_with(model, given)
    y = y[:, np.newaxis] if y.ndim == predictions.shape[1] == 1 else y
    score = metric.measure(y, predictions)
    sign = 1 if metric.higher_is_better else -1
    worse = {}
    for name in columns:
        shuffled = (answers_to(name, rng.permutation(given[name])) for _ in range(repeats))
        worse[name] = np.array([sign * (score - metric.measure(y, others)) for others in shuffled])
    return Importance(metric.name, score, worse)


@dataclass(frozen=True)
class Dependence:
    """A model's mean answers (m, k) when a column holds each of m values in every row.

    `values` are numbers or dates (m,), rising, or for a category its names; `names` says what the k answers are.
    """

    column: str
    values: Array
    predictions: Array
    names: tuple[str, ...]

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers or dates, and no categories."""
        return self.values.dtype.kind in "fM"

    @property
    def are_probabilities(self) -> bool:
        """Whether the answers are those of a classifier: several, none negative, that sum to 1."""
        enough = self.predictions.shape[1] > 1 and self.predictions.min() >= 0
        return bool(enough and np.allclose(self.predictions.sum(axis=1), 1, atol=1e-4))


def partial_dependence(
    model: Predictor | Answers,
    table: object,
    column: str,
    *,
    points: int = 20,
    most_rows: int = 500,
    seed: int = 0,
) -> Dependence:
    """Ask a model about a table's rows with one column held at a value, for several values, and average.

    Friedman 2001, "Greedy function approximation", eq. 53. Rows that cannot be, such as a height of two metres at the
    age of three, are asked about too.

    Parameters
    ----------
    model, table, most_rows, seed
        As for `permutation_importance`.
    column : str
    points : int
        Most values. A number or date that has more is held at some that occur, evenly spaced by rank from 5 % to 95 %
        of the rows; a category at its most frequent ones.

    Raises
    ------
    TableError
        When the column is not there, or is empty.
    """
    require_integer(points, "points", 2)
    given = read_columns(table)
    require_names(given, [column])
    given = take_rows(given, some_rows(n_rows(given), most_rows, as_generator(seed)))
    cells, values = cells_to_hold(column, given[column], points)
    answers_to = answers_with(model, given)
    held = [answers_to(column, as_held(cell, given[column])).mean(axis=0) for cell in cells]
    return Dependence(column, values, np.array(held, np.float64), names_of(model, len(held[0])))


def cells_to_hold(name: str, column: Array, most: int) -> tuple[list[Any], Array]:
    """Return cells of a column that stand for all, and what they are: numbers, dates or names."""
    known = column[~missing_rows(name, column)]
    if not len(known):
        raise TableError(f"column {name!r} must hold something, got every cell is empty")
    if known.dtype.kind == "M":
        distinct, codes = np.unique(known, return_inverse=True)
        cells: list[Any] = list(distinct)
    else:
        cells, codes = factorize(name, known)
    places = np.array([to_number(cell) for cell in cells]) if are_numbers(cells) else as_dates_only(cells)
    if places is None:
        frequent = np.argsort(-np.bincount(codes), kind="stable")[:most]
        return [cells[i] for i in frequent], np.array([str(cells[i]) for i in frequent])
    by_rank = np.sort(places[codes])
    by_rank = by_rank[np.isfinite(by_rank)]  # without words for what is missing
    if not len(by_rank):
        raise TableError(f"column {name!r} must hold a finite number, got {cells[0]!r}")
    chosen = np.unique(by_rank)
    if len(chosen) > most:
        ranks = np.linspace(0.05, 0.95, most) * (len(by_rank) - 1)
        chosen = np.unique(by_rank[ranks.round().astype(np.intp)])
    cell_at = dict(zip(places.tolist(), cells))
    return [cell_at[place] for place in chosen.tolist()], chosen


def as_held(cell: object, column: Array) -> Array:
    """Return a column of that length which holds one cell everywhere."""
    held: Array = np.empty(len(column), column.dtype)
    held[:] = cell
    return held


def names_of(model: Predictor | Answers, k: int) -> tuple[str, ...]:
    """Return what a model's k answers are: a Predictor's classes or its target."""
    if isinstance(model, Predictor) and isinstance(model.target, ClassTarget):
        return tuple(map(str, model.target.labels))
    name = model.target.name if isinstance(model, Predictor) else "answer"
    return (name,) if k == 1 else tuple(f"{name} {j}" for j in range(k))


def some_rows(n: int, most: int, rng: np.random.Generator) -> Array:
    """Return the numbers of all rows, or of so many drawn at random, in their order."""
    require_integer(most, "most_rows")
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))
