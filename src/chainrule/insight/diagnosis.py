"""The training doctor: what stands in a network's way, the number that shows it, and one remedy.

Each check looks at a `Case` and says what is wrong with it, or nothing. They stand in `CHECKS`, what does most harm
first, and that is the order of the findings.
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
from chainrule.nn.layers import Activation, BatchNorm
from chainrule.nn.losses import AbsoluteError, BinaryCrossEntropy, CrossEntropy, Huber, Quantile, SquaredError
from chainrule.nn.network import Network
from chainrule.training.history import History

MOST_ROWS = 2_000
"""Rows that go through the network for a look inside; enough to tell a dead unit from a rare one."""
FEWEST_ROWS = 20
"""Rows below which shares say little."""
NAMED = 5
"""Rows, columns or classes that a finding names."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: its kind, what is so with the number that shows it, and what to do about it."""

    kind: str
    message: str
    remedy: str

    def __str__(self) -> str:
        """Return it as two sentences."""
        return f"{self.message}. {self.remedy}."


class Diagnosis(tuple[Finding, ...]):
    """Findings, what does most harm first; printed, a line each."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the findings as lines."""
        return "\n".join(map(str, self)) or "Nothing stands out."

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
    """Return what is wrong with a network, its data and its training, what does most harm first.

    Parameters
    ----------
    net : Network
    X : (n, n_in)
        The rows it was trained on.
    y : (n,) or (n, n_out)
        Their targets, as the loss takes them.
    history : History, optional
        What `train` returned; without it, nothing is said of the way.
    validation : (X, y), optional
        Rows that it was not trained on.
    answers : (n, n_out), optional
        What is predicted for the rows X by a network that was not trained on them, as cross-validation gives; None: by
        `net` itself, which may know wrong labels by heart. Rows that hold NaN are passed over.
    names : sequence of str, optional
        Of the columns of X; None: "column 0" and so on.
    labels : sequence of str, optional
        Of the classes; None: "class 0" and so on.
    rows : (n,) of int, optional
        What the rows are called; None: they are counted from 1.

    Raises
    ------
    ValueError
        When these do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import diagnose, mlp, train
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2)) * [1, 5000]
    >>> net = mlp(2, 8, 1, seed=0)
    >>> history = train(net, X, X[:, :1], epochs=3, max_rollbacks=20)
    >>> diagnose(net, X, X[:, :1], history)[0].kind
    'a column that gives the answer away'
    """
    X, y, _ = net.check(X, y)
    names = [f"column {j}" for j in range(net.n_in)] if names is None else list(names)
    require(len(names) == net.n_in, "len(names)", f"be {net.n_in}, one for each column of X", len(names))
    unseen = None if validation is None else net.check(*validation)[:2]
    given = None if predictions is None else np.asarray(predictions, np.float64)
    if given is not None:
        require(given.shape == (len(X), net.n_out), "answers", f"have shape {(len(X), net.n_out)}", given.shape)
    numbers = np.arange(1, len(X) + 1) if rows is None else np.asarray(rows)
    require(len(numbers) == len(X), "len(rows)", f"be {len(X)}, one for each row of X", len(numbers))
    labels = [f"class {k}" for k in range(max(2, net.n_out))] if labels is None else list(labels)
    case = Case(net, X, y, history, unseen, given, names, labels, numbers)
    return Diagnosis(Finding(kind, *found) for kind, check in CHECKS.items() for found in check(case))


@dataclass(frozen=True)
class Case:
    """A network with its data and history, and what several checks want to know of them."""

    net: Network
    X: Array
    y: Array
    history: History | None
    validation: tuple[Array, Array] | None
    given: Array | None
    names: Sequence[str]
    labels: Sequence[str]
    rows: Array

    @cached_property
    def some(self) -> Array:
        """The numbers of the rows that are looked at inside."""
        n = len(self.X)
        return np.sort(np.random.default_rng(0).permutation(n)[:MOST_ROWS])

    @cached_property
    def hidden(self) -> dict[str, tuple[Activation, Array]]:
        """Every activation but one that ends the network, with its outputs for some rows."""
        outputs = self.net.activations(self.X[self.some])
        layers = enumerate(zip(self.net.layers[:-1], outputs))
        return {f"layer {i}, {layer.function}": (layer, A) for i, (layer, A) in layers if isinstance(layer, Activation)}

    @cached_property
    def gradients(self) -> dict[str, float]:
        """The root mean square of the gradient of every weight matrix, on some rows, first to last."""
        self.net.objective(self.X[self.some], self.y[self.some])
        blocks = [block for block in self.net.blocks if block.kind == "W"]
        return {block.full_name: rms(self.net.grad[block.slice]) for block in blocks}

    @cached_property
    def predictions(self) -> tuple[Array, Array]:
        """Predictions (m, n_out) for rows that have one, and these rows' targets."""
        if self.given is None:
            return self.net.predict(self.X), self.y
        known = np.isfinite(self.given).all(axis=1)
        return self.given[known], self.y[known]

    @cached_property
    def answered_rows(self) -> Array:
        """What the rows of `answers` are called."""
        return self.rows if self.given is None else self.rows[np.isfinite(self.given).all(axis=1)]

    @cached_property
    def classes(self) -> Array | None:
        """The class number (n,) of each row; None where there are no classes, or several labels a row."""
        if isinstance(self.net.loss, BinaryCrossEntropy):
            return (self.y[:, 0] > 0.5).astype(np.intp) if self.net.n_out == 1 else None
        if not isinstance(self.net.loss, CrossEntropy):
            return None
        return self.y if self.y.ndim == 1 else self.y.argmax(axis=1)

    @cached_property
    def numbers(self) -> Array | None:
        """The numbers (n, n_out) to be answered; None where there are none."""
        return self.y if isinstance(self.net.loss, SquaredError | AbsoluteError | Huber | Quantile) else None

    @cached_property
    def probabilities(self) -> tuple[Array, Array] | None:
        """The probability (m, K) of each class, for rows whose class (m,) is known too."""
        if self.classes is None:
            return None
        P, y = self.predictions
        if P.shape[1] == 1:
            return np.hstack([1 - P, P]), (y[:, 0] > 0.5).astype(np.intp)
        return P, y if y.ndim == 1 else y.argmax(axis=1)


Found = Iterator[tuple[str, str]]
"""What is so, and the remedy."""


# The data.


def tells_the_answer(case: Case) -> Found:
    """A column from which alone the target follows, when there are others: it may not be known in time."""
    if len(case.X) < FEWEST_ROWS or case.net.n_in < 2:
        return
    suspects = []
    if case.classes is not None:
        X, y = case.X[case.some], case.classes[case.some]
        if len(y) - np.bincount(y).max() > max(4, 0.05 * len(y)):  # few others may stand together by chance
            suspects = [j for j in range(case.net.n_in) if told_by(X[:, j], y) > 0.998]
    elif case.numbers is not None and case.numbers.shape[1] == 1:
        found = rank_correlations(case.X[case.some], case.numbers[case.some, 0])
        suspects = np.flatnonzero(np.abs(found) > 0.9995).tolist()
    if suspects:
        each = "each of " if len(suspects) > 1 else ""
        yield (
            f"{each}{several([case.names[j] for j in suspects])} alone tells the target of nearly every row",
            "Leave it out unless it is known before the target is",
        )


def is_seen_already(case: Case) -> Found:
    """Validation rows that are training rows too: what is measured on them is memory."""
    if case.validation is None:
        return
    n = len(case.validation[0])
    again = int(np.isin(fingerprints(case.validation[0]), fingerprints(case.X)).sum())
    if again > max(1, 0.02 * n):
        yield (
            f"{again:,} of {n:,} validation rows ({again / n:.0%}) are training rows too",
            "Drop repeated rows before the table is split, or split by what they have in common",
        )


def has_few_rows(case: Case) -> Found:
    """A class of which there is hardly an example."""
    if case.classes is None:
        return
    counts = np.bincount(case.classes, minlength=max(2, case.net.n_out))
    few = [f"{label} ({count})" for label, count in zip(case.labels, counts.tolist()) if count < 5]
    if few:
        have, it, another = ("has", "it", "another class") if len(few) == 1 else ("have", "them", "other classes")
        yield f"{several(few)} {have} fewer than 5 rows", f"Collect more of {it}, or join {it} to {another}"


def inputs_are_unscaled(case: Case) -> Found:
    """Columns of very different or very large size, which one learning rate cannot serve."""
    if isinstance(case.net.layers[0], BatchNorm):
        return
    sizes = np.sqrt(np.mean(case.X.astype(np.float64) ** 2, axis=0))
    j = int(sizes.argmax())
    if sizes[j] > 30:
        yield f"{case.names[j]} of X has a size of {sizes[j]:.3g}, far from 1", SCALE
    elif 0 < sizes[j] < 0.01:
        yield f"the largest column of X has a size of {sizes[j]:.3g}, far from 1", SCALE


SCALE = "Bring every column to mean 0 and deviation 1, as TabularEncoder and scikit-learn's StandardScaler do"


def targets_are_unscaled(case: Case) -> Found:
    """Numbers to be answered that are far from what a network starts with."""
    if case.numbers is None:
        return
    size, deviation = rms(case.numbers), float(case.numbers.std(axis=0).max())
    if size > 30 or 0 < deviation < 0.01:
        yield (
            f"y has a size of {size:.3g} and a deviation of {deviation:.3g}, far from 1",
            "Train on (y - mean) / deviation, as TabularRegressor does",
        )


def looks_wrong(case: Case) -> Found:
    """Rows that the network is sure about and wrong: more of them than its own probabilities, or errors, expect."""
    if case.probabilities is not None:
        P, y = case.probabilities
        sure = P.max(axis=1) > 0.95
        wrong = sure & (P[np.arange(len(y)), y] < 0.02)
        expected = float((1 - P.max(axis=1))[sure].sum())
        told = "the network is sure of another class"
    elif case.numbers is not None and len(np.unique(case.numbers)) > FEWEST_ROWS:
        prediction, numbers = case.predictions
        errors = np.abs(prediction - numbers).max(axis=1)
        wrong = errors > 40 * np.median(errors)
        expected, told = 0.001 * len(errors), "their errors are 40 times the usual one"
    else:
        return
    n = int(wrong.sum())
    if len(wrong) >= FEWEST_ROWS and 3 * expected + 2 < n < 0.1 * len(wrong):  # of more, the network is to blame
        rows = several([str(row) for row in case.answered_rows[wrong]])
        yield f"the targets of {n:,} rows look wrong ({told}): {rows}", "Look at these rows"


# The network.


def knows_one_class(case: Case) -> Found:
    """The same class for every row, whatever is in it."""
    if case.probabilities is None:
        return
    P, y = case.probabilities
    if len(y) < FEWEST_ROWS:
        return
    answered, there = (np.bincount(classes, minlength=P.shape[1]) / len(y) for classes in (P.argmax(axis=1), y))
    k = int(answered.argmax())
    if answered[k] > 0.99 and there[k] < 0.9:
        yield (
            f"{answered[k]:.0%} of the rows are taken for {case.labels[k]}, which {there[k]:.0%} of them are",
            'Scale X and train for longer; where classes are rare, weigh them: class_weight="balanced"',
        )


def units_are_dead(case: Case) -> Found:
    """Units that give the same whatever comes in: no gradient flows through them."""
    for name, (_, A) in case.hidden.items():
        if len(A) < FEWEST_ROWS:
            continue
        share = float(np.mean(np.ptp(A, axis=0) <= 1e-6 * max(float(np.ptp(A)), 1e-30)))
        if share > 1 / 3:
            yield (
                f"{share:.0%} of the units of {name} give the same for every row",
                "Lower the learning rate or scale X; leaky_relu, selu and mish do not die",
            )


def units_are_saturated(case: Case) -> Found:
    """Units at the flat ends of their function, where its slope, and so every gradient behind it, is nearly nothing."""
    for name, (layer, A) in case.hidden.items():
        ends = ENDS.get(str(layer.function))
        if ends is None:
            continue
        low, high = ends
        margin = 0.01 * (high - low)
        share = float(np.mean((low + margin > A) | (high - margin < A)))
        if share > 0.8:
            yield (
                f"{share:.0%} of what {name} gives is within 1 % of its ends",
                "Start from smaller weights (glorot_normal) and scale X, or take relu, selu or mish",
            )


ENDS = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}


def gradients_vanish(case: Case) -> Found:
    """Gradients that shrink, or grow, from layer to layer on the way back."""
    sizes = [size for size in case.gradients.values() if size > 0 and isfinite(size)]
    if len(sizes) < 3:
        return
    ratio = sizes[0] / sizes[-1]
    if ratio < 1e-3:
        yield (
            f"the gradient at the first layer is {1 / ratio:,.0f} times smaller than at the last",
            "Take relu, selu or mish, fewer layers, LayerNorm, or Residual blocks",
        )
    elif ratio > 1e3:
        yield (
            f"the gradient at the first layer is {ratio:,.0f} times larger than at the last",
            "Start from smaller weights (he_normal or glorot_normal), or set clip_norm",
        )


# The way.


def rate_is_too_high(case: Case) -> Found:
    """A loss that goes back and forth, or had to be taken back."""
    if case.history is None or not case.history.loss:
        return
    history, remedy = case.history, f"Divide the learning rate by 10: it was {max(case.history.learning_rate):.3g}"
    if history.rollbacks:
        yield f"training went into the infinite and back {history.rollbacks} times", remedy
        return
    second = np.array(history.loss[len(history.loss) // 2 :])
    rises = float(np.mean(np.diff(second) > 0)) if len(second) > 4 else 0.0
    swing = float(second.std() / second.mean()) if len(second) and second.mean() > 0 else 0.0
    if rises > 0.25 and swing > 0.1 and second.mean() > 0.05 * history.loss[0]:
        yield f"the loss rose in {rises:.0%} of the later epochs and swings by {swing:.0%}{steps_of(history)}", remedy


def rate_is_too_low(case: Case) -> Found:
    """A loss that falls at every epoch as evenly as at the beginning, and has not got far."""
    if case.history is None or len(case.history.loss) < 5 or case.history.stopped:
        return
    loss, rates = case.history.loss, case.history.learning_rate
    fallen = loss[0] - loss[-1]
    late = loss[len(loss) // 2] - loss[-1]
    steady = all(after < before for before, after in pairwise(loss))
    if steady and late > 0.35 * fallen and loss[-1] > 0.3 * loss[0] and rates[-1] > 0.5 * max(rates):
        yield (
            f"the loss fell as evenly in the last half of {len(loss)} epochs as in the first{steps_of(case.history)}",
            f"Multiply the learning rate by 10: it was {max(rates):.3g}",
        )


def is_still_improving(case: Case) -> Found:
    """An end that came before the best did, at a learning rate that would have gone on."""
    if case.history is None or len(case.history.loss) < 10 or case.history.stopped:
        return
    history = case.history
    column, rates = history[history.monitor], history.learning_rate
    tail = ceil(len(column) / 10)
    late, whole = column[-1 - tail] - column[-1], column[0] - column[-1]
    if late > 0.03 * whole > 0 and column[-1] == min(column) and rates[-1] > 0.1 * max(rates):
        told = history.monitor.replace("_", " ")
        yield (
            f"{late / whole:.0%} of what the {told} fell by came in the last {tail} of {len(column)} epochs",
            f"Train for more than {len(column)} epochs, with EarlyStopping to end it",
        )


def it_overfits(case: Case) -> Found:
    """A validation loss that has been lower, while the training loss fell, and the last weights were kept."""
    history = case.history
    if history is None or len(history.validation_loss) < 5 or history.best_epoch not in (None, len(history) - 1):
        return
    best = int(np.argmin(history.validation_loss))
    least, last = history.validation_loss[best], history.validation_loss[-1]
    if last > 1.1 * least and history.loss[-1] < history.loss[best]:
        yield (
            f"the validation loss rose from {least:.3g} after epoch {best + 1} to {last:.3g}; the training loss fell",
            "Keep the best epoch with EarlyStopping; more rows, dropout, weight decay or a smaller network help",
        )


CHECKS: dict[str, Callable[[Case], Found]] = {
    "a column that gives the answer away": tells_the_answer,
    "rows on both sides of the split": is_seen_already,
    "majority-class collapse": knows_one_class,
    "rate too high": rate_is_too_high,
    "inputs unscaled": inputs_are_unscaled,
    "targets unscaled": targets_are_unscaled,
    "dead units": units_are_dead,
    "saturated units": units_are_saturated,
    "vanishing or exploding gradients": gradients_vanish,
    "rate too low": rate_is_too_low,
    "overfitting": it_overfits,
    "still improving": is_still_improving,
    "labels that look wrong": looks_wrong,
    "too few rows in a class": has_few_rows,
}
"""Kind -> check, what does most harm first."""


# Numbers.


def rms(values: Array) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def several(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def steps_of(history: History) -> str:
    """Return how large steps were beside the weights, where the history knows."""
    known = [ratio for ratio in history.step_ratio if 0 < ratio < inf]
    if not known:
        return ""
    ratio = float(np.median(known))
    ideal = "" if 1e-4 <= ratio <= 1e-2 else ", where 1e-04 to 1e-02 is usual"
    return f"; a step is {ratio:.0e} of the weights{ideal}"


def told_by(x: Array, classes: Array) -> float:
    """Return for how many of the rows, as a share, x tells the class: as a code of it, or by where it stands in order.

    As a code it tells those whose class is the most frequent of the other rows of the same x; in order all but those
    that stand in another class's stretch, when each class has one.
    """
    n = len(x)
    levels, place = np.unique(x, return_inverse=True)
    counts = np.zeros((len(levels), classes.max() + 1), np.intp)
    np.add.at(counts, (place, classes), 1)
    others = counts[place]
    others[np.arange(n), classes] -= 1
    alike = others[np.arange(n), classes]
    as_code = np.mean((alike > 0) & (alike == others.max(axis=1)))
    stretches, n_classes = 1 + np.count_nonzero(np.diff(counts.argmax(axis=1))), np.count_nonzero(counts.any(axis=0))
    astray = n - counts.max(axis=1).sum() + max(0, stretches - n_classes)
    return float(max(as_code, 1 - astray / n))


def fingerprints(X: Array) -> Array:
    """Return a number (n,) for each row of X (n, d), equal for equal rows and, as good as surely, for these alone."""
    bits = np.ascontiguousarray(X.astype(np.float64) + 0.0).view(np.uint64)  # -0.0 becomes 0.0
    factors = np.random.default_rng(0).integers(0, 2**64, X.shape[1], np.uint64)
    mixed = np.zeros(len(X), np.uint64)
    for column, factor in zip(bits.T, factors):
        mixed = (mixed ^ (column * (factor | np.uint64(1)))) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def rank_correlations(X: Array, y: Array) -> Array:
    """Return Spearman's correlation of each column (d,) with y (n,); 0 where one of the two does not vary."""
    X, y = ranks(X), ranks(y[:, np.newaxis])[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = X.T @ y / np.sqrt((X * X).sum(axis=0) * (y @ y))
    return np.nan_to_num(found)


def ranks(X: Array) -> Array:
    """Return the rank of each entry (n, d) in its column, the mean rank where several are equal, centred on 0."""
    found = np.empty(X.shape)
    for j, x in enumerate(X.T):
        _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
        found[:, j] = (np.cumsum(counts) - (counts + 1) / 2)[place]
    return found - (len(X) - 1) / 2
