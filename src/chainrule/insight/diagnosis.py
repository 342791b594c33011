"""Diagnosis of a training: common problems of the data, the network and the optimization, each with one remedy.

Each check inspects a `_Context` and yields the problems it finds. `CHECKS` lists them, the most harmful problem first,
which is also the order of the findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil, inf, isfinite

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, require
from chainrule.data.reading import open_columns
from chainrule.data.splits import copies, fingerprints
from chainrule.display import Shown
from chainrule.model.embeddings import Lookup
from chainrule.nn.layers import Activation, BatchNorm
from chainrule.nn.losses import AbsoluteError, BinaryCrossEntropy, CrossEntropy, Huber, Quantile, SquaredError
from chainrule.nn.network import Network
from chainrule.training.history import History

# Sizes.

MAX_ROWS = 2_000
"""Rows passed through the network to inspect its layers: enough to tell a dead unit from a rarely active one."""
_MIN_ROWS = 20
"""Checks that compute a fraction of rows need at least this many."""
_MAX_NAMED = 5
"""Rows, columns or classes listed in one message."""

# Thresholds, chosen so that every fault planted in the tests is found and no healthy training there is reported.

_LEAKY_PREDICTIVENESS = 0.998
"""A column that alone gives the class of more than this fraction of the rows leaks the target."""
_LEAKY_RANK_CORRELATION = 0.9995
"""A column whose absolute rank correlation with a numeric target exceeds this leaks it."""
_MIN_MINORITY_ROWS, _MIN_MINORITY_FRACTION = 4, 0.05
"""Leakage is tested only with more rows outside the largest class: a few may be sorted by chance."""
_MAX_DUPLICATE_FRACTION = 0.02
"""Fraction of validation rows that may be copies of training rows without a finding."""
_MIN_CLASS_ROWS = 5
"""A class with fewer rows is rare."""
_MAX_INPUT_RMS, _MIN_INPUT_RMS = 30.0, 0.01
"""Initialization and default learning rates assume columns with a root mean square near 1."""
_MAX_TARGET_RMS, _MIN_TARGET_STD = 30.0, 0.01
"""An untrained network outputs values near 0 with a standard deviation near 1."""
_CONFIDENT, _IMPLAUSIBLE = 0.95, 0.02
"""A label may be wrong if another class has a probability above the first, and its own one below the second."""
_OUTLIER_RATIO, _OUTLIER_FRACTION = 40.0, 0.001
"""A numeric target may be wrong if its error exceeds this multiple of the median error; the fraction expected to."""
_EXPECTED_FACTOR, _EXPECTED_OFFSET = 3.0, 2.0
"""Suspicious rows are reported if there are more than factor * expected + offset of them."""
_MAX_SUSPICIOUS_FRACTION = 0.1
"""With a larger fraction of suspicious rows, the network is wrong rather than the targets."""
_COLLAPSED_FRACTION, _MAX_MAJORITY_FRACTION = 0.99, 0.9
"""Classes have collapsed if more than the first fraction is predicted as a class of less than the second one."""
_DEAD_RANGE, _DEAD_FRACTION = 1e-6, 1 / 3
"""A unit is dead if its range is below this fraction of its layer's range; the fraction of such units reported."""
_SATURATION_MARGIN, _SATURATED_FRACTION = 0.01, 0.8
"""An output is saturated within this fraction of its range from a limit; the fraction of such outputs reported."""
_MAX_GRADIENT_RATIO = 1e3
"""Largest ratio between the gradients of the first and the last layer."""
_RISING_FRACTION, _FLUCTUATION, _REMAINING_LOSS = 0.25, 0.1, 0.05
"""In the second half, the learning rate is too high if the loss rises in more than the first fraction of the epochs,
its relative standard deviation exceeds the second, and its mean the third times the first loss."""
_STEADY_FRACTION, _UNSOLVED_LOSS, _STEADY_RATE = 0.35, 0.3, 0.5
"""The learning rate is too low if the second half brought more than the first fraction of the decrease, and the loss
is still above the second times the first loss, at a rate above the third times the largest."""
_LATE_FRACTION, _LATE_RATE = 0.03, 0.1
"""Training stopped early if the last tenth of the epochs brought more than the first fraction of the decrease, at a
rate above the second times the largest."""
_OVERFIT_RATIO = 1.1
"""The last validation loss, relative to the lowest one, above which the network overfits."""
_USUAL_STEP = 1e-4, 1e-2
"""Usual range of the norm of a step relative to the norm of the weights."""


@dataclass(frozen=True)
class Finding:
    """A problem: its kind, a message with the value that shows it, and a remedy."""

    kind: str
    message: str
    remedy: str

    def __str__(self) -> str:
        """Return message and remedy as two sentences."""
        return f"{self.message}. {self.remedy}."


class Diagnosis(tuple[Finding, ...], Shown):
    """Findings, the most harmful first; printed, one per line."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return one line per finding."""
        return "\n".join(map(str, self)) or "No problems found."

    __repr__ = __str__


def diagnose(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    history: History | None = None,
    *,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    predictions: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    rows: ArrayLike | None = None,
) -> Diagnosis:
    """Return the problems of a network, its data and its training, the most harmful first.

    Parameters
    ----------
    net : Network
    X : (n, n_in)
        The training rows.
    y : (n,) or (n, n_out)
        Their targets, in the form that the loss takes.
    history : History, optional
        The result of `train`. Without it, the learning rate, the number of epochs and overfitting are not checked.
    validation : (X, y), optional
        Held-out rows.
    predictions : (n, n_out), optional
        Out-of-sample predictions for the rows of X, as from cross-validation. Rows that contain NaN are skipped.
        Default: the predictions of `net`, which may have memorized wrong labels.
    names : sequence of str, optional
        Names of the columns of X; default: "column 0", "column 1", ...
    labels : sequence of str, optional
        Names of the classes; default: "class 0", "class 1", ...
    rows : (n,) of int, optional
        Row numbers for the messages; default: counted from 1.

    Raises
    ------
    ValueError
        If the shapes or lengths of the arguments are inconsistent.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import diagnose, mlp, train
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2)) * [1, 5000]
    >>> net = mlp(2, 8, 1, seed=0)
    >>> history = train(net, X, X[:, :1], epochs=3, max_rollbacks=20)
    >>> diagnose(net, X, X[:, :1], history)[0].kind
    'target leakage'
    """
    X, y, _ = net.check(X, y)
    names = [f"column {j}" for j in range(net.n_in)] if names is None else list(names)
    require(len(names) == net.n_in, "len(names)", f"be {net.n_in}, one for each column of X", len(names))
    held_out = None if validation is None else net.check(*validation)[:2]
    P = None if predictions is None else np.asarray(predictions, np.float64)
    if P is not None:
        shape = len(X), net.n_out // net.loss.width
        require(P.shape == shape, "predictions", f"have shape {shape}", P.shape)
    row_numbers = np.arange(1, len(X) + 1) if rows is None else np.asarray(rows)
    require(len(row_numbers) == len(X), "len(rows)", f"be {len(X)}, one for each row of X", len(row_numbers))
    labels = [f"class {k}" for k in range(max(2, net.n_out))] if labels is None else list(labels)
    context = _Context(net, X, y, history, held_out, P, names, labels, row_numbers)
    return Diagnosis(
        Finding(kind, message, remedy) for kind, check in CHECKS.items() for message, remedy in check(context)
    )


@dataclass(frozen=True)
class _Context:
    """A network with its data and history, and intermediate results shared by several checks."""

    net: Network
    X: Array
    y: Array
    history: History | None
    validation: tuple[Array, Array] | None
    out_of_sample: Array | None
    names: Sequence[str]
    labels: Sequence[str]
    rows: Array

    @cached_property
    def sample(self) -> Array:
        """Indices of the rows used to inspect the layers."""
        n = len(self.X)
        return np.sort(np.random.default_rng(0).permutation(n)[:MAX_ROWS])

    @cached_property
    def hidden(self) -> dict[str, tuple[Activation, Array]]:
        """Every activation except one in the last layer, with its outputs for the sample."""
        outputs = self.net.activations(self.X[self.sample])
        layers = enumerate(zip(self.net.layers[:-1], outputs))
        return {f"layer {i}, {layer.function}": (layer, A) for i, (layer, A) in layers if isinstance(layer, Activation)}

    @cached_property
    def gradients(self) -> dict[str, float]:
        """Root mean square of the gradient of every weight matrix on the sample, from the first layer to the last."""
        self.net.objective(self.X[self.sample], self.y[self.sample])
        blocks = [block for block in self.net.blocks if block.kind == "W"]
        return {block.full_name: _rms(self.net.grad[block.slice]) for block in blocks}

    @cached_property
    def predicted(self) -> Array:
        """Boolean mask (n,) of the rows that have a prediction."""
        if self.out_of_sample is None:
            return np.ones(len(self.X), np.bool_)
        return np.asarray(np.isfinite(self.out_of_sample).all(axis=1))

    @cached_property
    def predictions(self) -> tuple[Array, Array]:
        """Predictions (m, n_out) and targets of the predicted rows."""
        if self.out_of_sample is None:
            return self.net(self.X), self.y
        return self.out_of_sample[self.predicted], self.y[self.predicted]

    @cached_property
    def classes(self) -> Array | None:
        """Class number (n,) of each row; None for regression and for several labels per row."""
        if isinstance(self.net.loss, BinaryCrossEntropy):
            return (self.y[:, 0] > 0.5).astype(np.intp) if self.net.n_out == 1 else None
        if not isinstance(self.net.loss, CrossEntropy):
            return None
        return self.y if self.y.ndim == 1 else self.y.argmax(axis=1)

    @cached_property
    def numeric_targets(self) -> Array | None:
        """Targets (n, n_out) of a regression; None otherwise."""
        return self.y if isinstance(self.net.loss, SquaredError | AbsoluteError | Huber | Quantile) else None

    @cached_property
    def probabilities(self) -> tuple[Array, Array] | None:
        """Predicted probabilities (m, K) and class (m,) of the predicted rows; None where `classes` is None."""
        if self.classes is None:
            return None
        P, y = self.predictions
        if P.shape[1] == 1:
            return np.hstack([1 - P, P]), (y[:, 0] > 0.5).astype(np.intp)
        return P, y if y.ndim == 1 else y.argmax(axis=1)


_Problems = Iterator[tuple[str, str]]
"""The message and the remedy of each problem found."""


# Data.


def _check_target_leakage(context: _Context) -> _Problems:
    """Find columns, if there are several, from one of which alone the target follows."""
    if len(context.X) < _MIN_ROWS or context.net.n_in < 2:
        return
    leaks = []
    if context.classes is not None:
        X, y = context.X[context.sample], context.classes[context.sample]
        if len(y) - np.bincount(y).max() > max(_MIN_MINORITY_ROWS, _MIN_MINORITY_FRACTION * len(y)):
            leaks = [j for j in range(context.net.n_in) if predictiveness(X[:, j], y) > _LEAKY_PREDICTIVENESS]
    elif context.numeric_targets is not None and context.numeric_targets.shape[1] == 1:
        correlations = rank_correlations(context.X[context.sample], context.numeric_targets[context.sample, 0])
        leaks = np.flatnonzero(np.abs(correlations) > _LEAKY_RANK_CORRELATION).tolist()
    if leaks:
        each, which = ("", "it unless it is") if len(leaks) == 1 else ("each of ", "those that are not")
        names = _join([context.names[j] for j in leaks])
        yield (
            f"target leakage: {each}{names} alone predicts the target of almost every row",
            f"Drop {which} known at prediction time",
        )


def _check_duplicated_rows(context: _Context) -> _Problems:
    """Find validation rows that are copies of training rows, so that a score measures memorization.

    Copies are equal in inputs and target, and more often than by chance: see `chainrule.data.splits.copies`.
    """
    if context.validation is None:
        return
    (X, y), (X_validation, y_validation) = (context.X, context.y), context.validation
    n, limit = len(X_validation), max(1, _MAX_DUPLICATE_FRACTION * len(X_validation))
    if np.isin(fingerprints(open_columns(X_validation), y_validation), fingerprints(open_columns(X), y)).sum() <= limit:
        return
    units = copies(open_columns(np.vstack([X, X_validation])), np.concatenate([y, y_validation]))
    duplicates = 0 if units is None else int(np.isin(units[len(X) :], units[: len(X)]).sum())
    if duplicates > limit:
        yield (
            f"{duplicates:,} of {n:,} validation rows ({duplicates / n:.0%}) also occur in the training data",
            "Drop duplicates before splitting, or split by group",
        )


def _check_rare_classes(context: _Context) -> _Problems:
    """Find classes with hardly any rows."""
    if context.classes is None:
        return
    counts = np.bincount(context.classes, minlength=max(2, context.net.n_out))
    rare = [f"{label} ({count})" for label, count in zip(context.labels, counts.tolist()) if count < _MIN_CLASS_ROWS]
    if rare:
        have, them, others = ("has", "it", "another class") if len(rare) == 1 else ("have", "them", "other classes")
        yield (
            f"{_join(rare)} {have} fewer than {_MIN_CLASS_ROWS} rows",
            f"Collect more rows or merge {them} with {others}",
        )


def _check_input_scale(context: _Context) -> _Problems:
    """Find columns whose scale differs too much from 1 for one learning rate to suit all weights."""
    if isinstance(context.net.layers[0], BatchNorm):
        return
    sizes = np.sqrt(np.mean(context.X.astype(np.float64) ** 2, axis=0))
    if isinstance(context.net.layers[0], Lookup):
        sizes[list(context.net.layers[0].columns)] = 1  # an index has no scale
    j = int(sizes.argmax())
    if sizes[j] > _MAX_INPUT_RMS:
        yield f"{context.names[j]} of X has a root mean square of {sizes[j]:.3g}, far from 1", _STANDARDIZE_INPUTS
    elif 0 < sizes[j] < _MIN_INPUT_RMS:
        yield (
            f"the largest column of X has a root mean square of {sizes[j]:.3g}, far from 1",
            _STANDARDIZE_INPUTS,
        )


_STANDARDIZE_INPUTS = (
    "Standardize every column to mean 0 and standard deviation 1, as TabularEncoder and scikit-learn's "
    "StandardScaler do"
)


def _check_target_scale(context: _Context) -> _Problems:
    """Find numeric targets whose scale differs too much from the outputs of an untrained network."""
    if context.numeric_targets is None:
        return
    size, std = _rms(context.numeric_targets), float(context.numeric_targets.std(axis=0).max())
    if size > _MAX_TARGET_RMS or 0 < std < _MIN_TARGET_STD:
        yield (
            f"y has a root mean square of {size:.3g} and a standard deviation of {std:.3g}, far from 1",
            "Train on (y - mean) / std, as TabularRegressor does",
        )


def _check_label_errors(context: _Context) -> _Problems:
    """Find confidently wrong rows if there are more of them than the probabilities, or the errors, let one expect."""
    if context.probabilities is not None:
        P, y = context.probabilities
        confident = P.max(axis=1) > _CONFIDENT
        wrong = confident & (P[np.arange(len(y)), y] < _IMPLAUSIBLE)
        expected = float((1 - P.max(axis=1))[confident].sum())
        reason = "the network confidently predicts another class"
    elif context.numeric_targets is not None and len(np.unique(context.numeric_targets)) > _MIN_ROWS:
        Y, targets = context.predictions
        errors = np.abs(Y - targets).max(axis=1)
        wrong = errors > _OUTLIER_RATIO * np.median(errors)
        expected, reason = _OUTLIER_FRACTION * len(errors), f"error above {_OUTLIER_RATIO:g} times the median error"
    else:
        return
    n = int(wrong.sum())
    if len(wrong) >= _MIN_ROWS and _EXPECTED_FACTOR * expected + _EXPECTED_OFFSET < n < _MAX_SUSPICIOUS_FRACTION * len(
        wrong
    ):
        rows = _join([str(row) for row in context.rows[context.predicted][wrong]])
        yield f"{n:,} rows may have wrong targets ({reason}): {rows}", "Inspect these rows"


# Network.


def _check_class_collapse(context: _Context) -> _Problems:
    """Find a network that predicts one class for every row."""
    if context.probabilities is None:
        return
    P, y = context.probabilities
    if len(y) < _MIN_ROWS:
        return
    predicted, actual = (np.bincount(classes, minlength=P.shape[1]) / len(y) for classes in (P.argmax(axis=1), y))
    k = int(predicted.argmax())
    if predicted[k] > _COLLAPSED_FRACTION and actual[k] < _MAX_MAJORITY_FRACTION:
        yield (
            f"{predicted[k]:.0%} of the rows are predicted as {context.labels[k]}, but only {actual[k]:.0%} belong to "
            "it",
            'Scale X and train longer; if classes are imbalanced, weight them with class_weight="balanced"',
        )


def _check_dead_units(context: _Context) -> _Problems:
    """Find units with the same output for every row, through which no gradient flows."""
    for name, (_, A) in context.hidden.items():
        if len(A) < _MIN_ROWS:
            continue
        fraction = float(np.mean(np.ptp(A, axis=0) <= _DEAD_RANGE * max(float(np.ptp(A)), 1e-30)))
        if fraction > _DEAD_FRACTION:
            yield (
                f"{fraction:.0%} of the units of {name} are dead: their output is the same for every row",
                "Lower the learning rate or scale X; leaky_relu, selu and mish units do not die",
            )


def _check_saturated_units(context: _Context) -> _Problems:
    """Find units near the limits of their range, where the derivative is almost 0 and gradients vanish."""
    for name, (layer, A) in context.hidden.items():
        limits = _LIMITS.get(str(layer.function))
        if limits is None:
            continue
        low, high = limits
        margin = _SATURATION_MARGIN * (high - low)
        fraction = float(np.mean((low + margin > A) | (high - margin < A)))
        if fraction > _SATURATED_FRACTION:
            yield (
                f"{fraction:.0%} of the outputs of {name} are saturated, within {_SATURATION_MARGIN:.0%} of a limit",
                "Initialize with smaller weights (glorot_normal) and scale X, or use relu, selu or mish",
            )


_LIMITS = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
"""Activation -> the limits of its range at which it saturates."""


def _check_gradient_flow(context: _Context) -> _Problems:
    """Find gradients that shrink or grow too much from the last layer to the first."""
    sizes = [size for size in context.gradients.values() if size > 0 and isfinite(size)]
    if len(sizes) < 3:
        return
    ratio = sizes[0] / sizes[-1]
    if ratio < 1 / _MAX_GRADIENT_RATIO:
        yield (
            f"vanishing gradient: {1 / ratio:,.0f} times smaller in the first layer than in the last",
            "Use relu, selu or mish, fewer layers, LayerNorm, or Residual blocks",
        )
    elif ratio > _MAX_GRADIENT_RATIO:
        yield (
            f"exploding gradient: {ratio:,.0f} times larger in the first layer than in the last",
            "Initialize with smaller weights (he_normal or glorot_normal), or set clip_norm",
        )


# Training.


def _check_high_learning_rate(context: _Context) -> _Problems:
    """Find a loss that oscillates, or that diverged and was rolled back."""
    if context.history is None or not context.history.loss:
        return
    history = context.history
    remedy = f"Divide the learning rate by 10 (it was {max(history.learning_rate):.3g})"
    if history.rollbacks:
        times = "once" if history.rollbacks == 1 else f"{history.rollbacks} times"
        yield f"training diverged and was rolled back {times}", remedy
        return
    second_half = np.array(history.loss[len(history.loss) // 2 :])
    mean = second_half.mean()
    rising = float(np.mean(np.diff(second_half) > 0)) if len(second_half) > 4 else 0.0
    fluctuation = float(second_half.std() / mean) if mean > 0 else 0.0
    if rising > _RISING_FRACTION and fluctuation > _FLUCTUATION and mean > _REMAINING_LOSS * history.loss[0]:
        yield (
            f"in the second half of training the loss rose in {rising:.0%} of the epochs and fluctuated by "
            f"{fluctuation:.0%}{_describe_step_size(history)}",
            remedy,
        )


def _check_low_learning_rate(context: _Context) -> _Problems:
    """Find a loss that falls steadily in every epoch and is still high at the end."""
    if context.history is None or len(context.history.loss) < 5 or context.history.stopped:
        return
    loss, rates = context.history.loss, context.history.learning_rate
    total = loss[0] - loss[-1]
    late = loss[len(loss) // 2] - loss[-1]
    is_steady = all(after < before for before, after in pairwise(loss))
    is_unsolved = late > _STEADY_FRACTION * total and loss[-1] > _UNSOLVED_LOSS * loss[0]
    if is_steady and is_unsolved and rates[-1] > _STEADY_RATE * max(rates):
        yield (
            f"the loss still falls at a nearly constant pace after {len(loss)} epochs"
            f"{_describe_step_size(context.history)}",
            f"Multiply the learning rate by 10 (it was {max(rates):.3g})",
        )


def _check_n_epochs(context: _Context) -> _Problems:
    """Find a training that ended while its metric was still improving, and the learning rate was still high."""
    if context.history is None or len(context.history.loss) < 10 or context.history.stopped:
        return
    history = context.history
    column, rates = history[history.monitor], history.learning_rate
    tail = ceil(len(column) / 10)
    late, total = column[-1 - tail] - column[-1], column[0] - column[-1]
    if late > _LATE_FRACTION * total > 0 and column[-1] == min(column) and rates[-1] > _LATE_RATE * max(rates):
        yield (
            f"{late / total:.0%} of the decrease of the {history.monitor.replace('_', ' ')} came in the last {tail} of "
            f"{len(column)} epochs",
            f"Train for more than {len(column)} epochs, with EarlyStopping",
        )


def _check_overfitting(context: _Context) -> _Problems:
    """Find a validation loss that rose while the training loss fell, if the last weights were kept."""
    history = context.history
    if history is None or len(history.validation_loss) < 5 or history.best_epoch not in (None, len(history) - 1):
        return
    best = int(np.argmin(history.validation_loss))
    lowest, last = history.validation_loss[best], history.validation_loss[-1]
    if last > _OVERFIT_RATIO * lowest and history.loss[-1] < history.loss[best]:
        yield (
            f"overfitting: the validation loss rose from {lowest:.3g} (epoch {best + 1}) to {last:.3g} "
            "while the training loss fell",
            "Use EarlyStopping to keep the best epoch; more data, dropout, weight decay or a smaller network also help",
        )


CHECKS: dict[str, Callable[[_Context], _Problems]] = {
    "target leakage": _check_target_leakage,
    "duplicated validation rows": _check_duplicated_rows,
    "class collapse": _check_class_collapse,
    "learning rate too high": _check_high_learning_rate,
    "unscaled inputs": _check_input_scale,
    "unscaled targets": _check_target_scale,
    "dead units": _check_dead_units,
    "saturated units": _check_saturated_units,
    "vanishing or exploding gradients": _check_gradient_flow,
    "learning rate too low": _check_low_learning_rate,
    "overfitting": _check_overfitting,
    "too few epochs": _check_n_epochs,
    "possible label errors": _check_label_errors,
    "rare classes": _check_rare_classes,
}
"""Kind -> check, the most harmful first."""


# Helpers.


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def _join(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED:,} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def _describe_step_size(history: History) -> str:
    """Return the median norm of a step relative to the weights, or "" if the history lacks it."""
    known = [ratio for ratio in history.step_ratio if 0 < ratio < inf]
    if not known:
        return ""
    ratio, (low, high) = float(np.median(known)), _USUAL_STEP
    usual = "" if low <= ratio <= high else f" (usual: {low:.0e} to {high:.0e})"
    return f"; the median step is {ratio:.0e} times the norm of the weights{usual}"


def predictiveness(x: Array, classes: Array) -> float:
    """Return the fraction of rows (n,) whose class follows from x alone, as a code or by thresholds.

    As a code, x predicts the rows whose class is the most frequent one among the other rows with the same x. By
    thresholds, it predicts all rows except those within another class's interval, if each class has one interval.
    """
    n = len(x)
    values, place = np.unique(x, return_inverse=True)
    counts = np.zeros((len(values), classes.max() + 1), np.intp)
    np.add.at(counts, (place, classes), 1)
    others = counts[place]
    others[np.arange(n), classes] -= 1
    same_class = others[np.arange(n), classes]
    by_code = np.mean((same_class > 0) & (same_class == others.max(axis=1)))
    n_intervals, n_classes = 1 + np.count_nonzero(np.diff(counts.argmax(axis=1))), np.count_nonzero(counts.any(axis=0))
    misplaced = n - counts.max(axis=1).sum() + max(0, n_intervals - n_classes)
    return float(max(by_code, 1 - misplaced / n))


def rank_correlations(X: Array, y: Array) -> Array:
    """Return Spearman's rank correlation (d,) of each column of X (n, d) with y (n,); 0 if either is constant."""
    X, y = _ranks(X), _ranks(y[:, np.newaxis])[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations = X.T @ y / np.sqrt((X * X).sum(axis=0) * (y @ y))
    return np.nan_to_num(correlations)


def _ranks(X: Array) -> Array:
    """Return the rank of each entry of X (n, d) within its column, centered; ties share their mean rank."""
    ranks = np.empty(X.shape)
    for j, x in enumerate(X.T):
        _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
        ranks[:, j] = (np.cumsum(counts) - (counts + 1) / 2)[place]
    return ranks - (len(X) - 1) / 2
