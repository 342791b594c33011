"""Targets: encode the values to predict as a loss expects them, and decode a network's predictions."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import inf, isfinite, log, nan
from typing import Any, ClassVar, NamedTuple, Self, final

import numpy as np

from chainrule.arrays import Array, require
from chainrule.data.cells import are_numbers, as_numbers, factorize, missing_rows
from chainrule.data.formats import PLAIN, Categories, NumberFormat, is_missing, is_missing_word, to_number, to_text
from chainrule.data.recognition import differences_in_spelling, recognize, recognize_cells, stray_rows
from chainrule.data.statistics import Cells, Statistic
from chainrule.display import format_number
from chainrule.errors import TableError, look_up, shorten


class Target(ABC):
    """Base class of the kinds of targets: from values to what a loss takes, and from predictions back to values."""

    task: ClassVar[str]
    loss: ClassVar[str]
    name: str

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Number of network outputs."""

    @property
    def output_names(self) -> list[str]:
        """Names of the predicted columns in a table."""
        return [self.name]

    @abstractmethod
    def encode(self, values: Array) -> Array:
        """Return what the loss takes for values (n,) or (n, n_outputs); TableError names the first invalid row."""

    @abstractmethod
    def decode(self, predictions: Array) -> Array:
        """Return the values (n,), or (n, n_outputs) for several outputs, of raw predictions (n, n_outputs)."""

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError if the fields, which may come from a file, are not such as `fit` computes."""


_LABEL_TYPES = frozenset(
    {"bool", "str", "float32", "float64"} | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)

_MAX_LABEL_CHARS = 10_000_000
"""Limit on the size of the labels as an array: the longest label times their number."""


@final
@dataclass(frozen=True)
class ClassTarget(Target):
    """A class: class number k has the label `labels[k]`, of the NumPy type `dtype`, and the frequency `frequencies[k]`.

    Frequencies are relative, those of the training rows.
    """

    name: str
    dtype: str
    labels: tuple[Any, ...]
    frequencies: tuple[float, ...]
    task: ClassVar[str] = "classification"
    loss: ClassVar[str] = "cross_entropy"

    @classmethod
    def fit(cls, name: str, values: Array) -> Self:
        """Fit to labels (n,) without missing cells, of at least two classes."""
        distinct, codes = factorize(name, values)
        dtype = _label_type(values, distinct)
        if dtype == "str":
            distinct = [to_text(label) for label in distinct]
        labels = sorted(set(distinct))
        if len(labels) < 2:
            raise TableError(f"target {name!r} must have at least two classes, got only {labels[0]!r}")
        if len(labels) == len(values) > 2:
            raise TableError(f"target {name!r} must have several rows per class, got {len(values)} different values")
        places = {label: i for i, label in enumerate(labels)}
        numbers = np.array([places[label] for label in distinct])[codes]
        frequencies = np.bincount(numbers, minlength=len(labels)) / len(numbers)
        return cls(name, dtype, tuple(labels), tuple(frequencies.tolist()))

    @classmethod
    def of(cls, name: str, labels: Array, frequencies: Array) -> Self:
        """Build from distinct labels (K,), kept in their order, and their frequencies (K,)."""
        values = labels.tolist()
        dtype = _label_type(labels, values)
        if dtype == "str":
            values = [to_text(label) for label in values]
        return cls(name, dtype, tuple(values), tuple(np.asarray(frequencies, np.float64).tolist()))

    @property
    def n_outputs(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> Array:
        """The labels as an array of their own type."""
        return np.array(self.labels, dtype=self.dtype)

    def encode(self, values: Array, rows: Array | None = None) -> Array:
        """As `Target.encode`; `rows` (n,) are the indices of the values in their table, for the message."""
        distinct, codes = factorize(self.name, values)
        labels = Categories([to_text(label) for label in self.labels])
        numbers = np.array([labels.index(value) for value in distinct], np.intp)[codes]
        if len(numbers) and numbers.min() < 0:
            first = int(np.argmin(numbers))
            row = (first if rows is None else int(rows[first])) + 1
            expected = f"expected one of {shorten(self.labels)}"
            raise TableError(f"target {self.name!r}, row {row}: {expected}, got {values.tolist()[first]!r}")
        return numbers

    def decode(self, predictions: Array) -> Array:
        return self.classes[predictions.argmax(axis=1)]

    def check(self) -> None:
        require(self.dtype in _LABEL_TYPES, "dtype", f"be one of {', '.join(sorted(_LABEL_TYPES))}", self.dtype)
        longest = max((len(label) for label in self.labels if isinstance(label, str)), default=0)
        n_chars = longest * len(self.labels)
        require(n_chars <= _MAX_LABEL_CHARS, "labels", f"fit in {_MAX_LABEL_CHARS:,} characters as an array", n_chars)
        of_type = str if self.dtype == "str" else bool if self.dtype == "bool" else int | float
        simple = all(isinstance(label, of_type) for label in self.labels)
        distinct = simple and 2 <= len(set(self.labels)) == len(self.classes)
        require(distinct, "labels", f"be at least 2 distinct values of type {self.dtype}", self.labels)
        in_range = all(isinstance(frequency, float) and 0 <= frequency <= 1 for frequency in self.frequencies)
        fits = in_range and len(self.frequencies) == len(self.labels)
        require(fits, "frequencies", "be in [0, 1], one per label", self.frequencies)


class _Transform(NamedTuple):
    """A function of the numbers to predict, and its inverse."""

    forward: Callable[[Array], Array]
    inverse: Callable[[Array], Array]


def _log(Y: Array) -> Array:
    """Return the logarithm of numbers, -708 for those that have none: training has only positive ones."""
    return np.log(np.maximum(Y, np.finfo(np.float64).tiny))


def _exp(Z: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.exp(Z)


_TRANSFORMS = {"identity": _Transform(lambda Y: Y, lambda Z: Z), "log": _Transform(_log, _exp)}


@final
@dataclass(frozen=True)
class NumberTarget(Target):
    """One or several numbers per row, standardized for the loss as (y - mean) / std and predicted in their own unit.

    With the transform "log", y is the logarithm of the numbers, and predictions are exponentials.
    """

    name: str
    means: tuple[float, ...]
    stds: tuple[float, ...]
    transform: str = "identity"
    task: ClassVar[str] = "regression"
    loss: ClassVar[str] = "squared_error"

    @classmethod
    def fit(cls, name: str, values: Array) -> Self:
        """Fit to numbers (n,) that are not all equal; missing ones are ignored."""
        numbers = as_numbers(name, values)
        numbers = numbers[~np.isnan(numbers)]
        if len(numbers) == 0 or numbers.min() == numbers.max():
            constant = f"{format_number(numbers[0])} in every row" if len(numbers) else "only missing values"
            raise TableError(f"target {name!r} must vary, got {constant}")
        return cls.of(name, numbers[:, np.newaxis])

    @classmethod
    def of(cls, name: str, Y: Array, transform: str = "identity") -> Self:
        """Fit to numbers (n, n_outputs), none missing; a constant output gets the standard deviation 1.

        Raises TableError if a standard deviation overflows or underflows.
        """
        Y = _TRANSFORMS[transform].forward(Y)
        with np.errstate(over="ignore", invalid="ignore"):
            means, stds = Y.mean(axis=0), Y.std(axis=0)
        varying = np.ptp(Y / 2, axis=0) > 0
        stds[~varying] = 1.0
        if not (np.isfinite(means) & (stds > 0) & np.isfinite(stds)).all():
            fault = "its standard deviation overflows or underflows float64"
            raise TableError(f"target {name!r} is too large or too small to standardize: {fault}")
        return cls(name, tuple(means.tolist()), tuple(stds.tolist()), transform)

    @property
    def n_outputs(self) -> int:
        return len(self.means)

    @property
    def output_names(self) -> list[str]:
        return [self.name] if self.n_outputs == 1 else [f"{self.name}{j}" for j in range(self.n_outputs)]

    def numbers(self, values: Array) -> Array:
        """Return values (n,) or (n, n_outputs) as float64 (n, n_outputs); TableError names the first missing one."""
        columns = [values] if values.ndim == 1 else list(values.T)
        if len(columns) != self.n_outputs:
            raise TableError(f"target {self.name!r} must have {self.n_outputs} columns, got {len(columns)}")
        numbers = np.column_stack([as_numbers(self.name, column) for column in columns])
        missing = np.isnan(numbers).any(axis=1)
        if missing.any():
            row = missing.argmax() + 1
            raise TableError(f"target {self.name!r}, row {row}: expected a number, got a missing value")
        return numbers

    def encode(self, values: Array) -> Array:
        return (_TRANSFORMS[self.transform].forward(self.numbers(values)) - self.means) / self.stds

    def decode(self, predictions: Array) -> Array:
        numbers = _TRANSFORMS[self.transform].inverse(predictions.astype(np.float64) * self.stds + self.means)
        return numbers[:, 0] if self.n_outputs == 1 else numbers

    def centered(self, predictions: Array, y: Array) -> Self:
        """Return the target with which predictions are right on average, in the target's unit, for encoded y.

        Both are (n, n_outputs), the predictions out of fold. Without a transform nothing is to be corrected. The
        exponential of a mean is less than the mean of exponentials: predictions are multiplied by sum(Y) / sum(P), like
        the smearing estimate of Duan 1983, but at most by exp(variance of the errors), twice what normal errors need.
        """
        if self.transform == "identity":
            return self
        Y, P = self.decode(y), self.decode(predictions)
        most = float(np.var((y - predictions) * self.stds))
        correction = min(max(0.0, log(float(Y.sum()) / float(P.sum()))), most)
        return replace(self, means=tuple(mean + correction for mean in self.means))

    def check(self) -> None:
        look_up(_TRANSFORMS, self.transform, "transform")
        numbers = all(isinstance(number, float) for number in self.means + self.stds)
        require(numbers and all(map(isfinite, self.means)), "means", "be finite numbers", self.means)
        positive = all(0 < std < inf for std in self.stds)
        fits = positive and len(self.stds) == len(self.means) >= 1
        require(fits, "stds", "be finite and > 0, one per mean", self.stds)


TARGETS: dict[str, type[ClassTarget] | type[NumberTarget]] = {
    target.task: target for target in (ClassTarget, NumberTarget)
}

_MAX_INTEGER_CLASSES, _MIN_ROWS_PER_CLASS = 10, 5


def fit_target(name: str, values: Array, task: str | None = None) -> ClassTarget | NumberTarget:
    """Return the target fitted to values (n,); missing ones are ignored.

    `task` is "classification" or "regression"; None infers it from the values (see `task_of`). Raises TableError if all
    values are missing, if there is only one class, or if the numbers do not vary.
    """
    known = values[~missing_rows(name, values)]
    if not len(known):
        raise TableError(f"target {name!r} must contain values, got only missing cells")
    kind = look_up(TARGETS, task or task_of(name, known), "task")
    return kind.fit(name, values if kind is NumberTarget else known)


def learn_target(
    name: str, values: Array, task: str | None = None
) -> tuple[ClassTarget | NumberTarget, Array, list[str]]:
    """Return the target fitted to the column of a table, its values, None or NaN where not known, and notices.

    Numbers are read as `clean_target` does. Integers that are floats because some are missing are integers again. With
    `task` None, dates raise TableError.
    """
    values, notices = clean_target(name, values, task)
    known = values[~missing_rows(name, values)]
    if task is None and len(known) and (known.dtype.kind == "M" or recognize(name, known).kind == "date"):
        raise TableError(f"target {name!r} must contain classes or numbers, got dates. Convert them to days.")
    target = fit_target(name, values, task)
    if isinstance(target, ClassTarget) and target.dtype == "float64" and all(map(float.is_integer, target.labels)):
        values = np.array([None if is_missing(value) else int(value) for value in values.tolist()], object)
        target = fit_target(name, values, "classification")
    return target, values, notices + target_notices(target, values)


def clean_target(name: str, values: Array, task: str | None = None) -> tuple[Array, list[str]]:
    """Return a target (n,) as `read_target` does, unless the task is classification, and notices, also of gaps."""
    values, notices = (values, []) if task == "classification" else read_target(name, values, task)
    return values, notices + missing_notices(name, missing_rows(name, values))


def missing_notices(name: str, missing: Array) -> list[str]:
    """Return a notice if the target is missing (n,) in some rows, which are not used."""
    n_missing = int(missing.sum())
    subject = "row with a missing target is" if n_missing == 1 else "rows with a missing target are"
    return [f"{name}: {n_missing:,} {subject} not used"] if n_missing else []


def read_target(name: str, values: Array, task: str | None = None) -> tuple[Array, list[str]]:
    """Return a target (n,) with None or NaN where it is not known, and notices about the cells concerned.

    These are words for missing values and mistakes among numbers. Numbers that are written unusually, such as $12.50,
    are returned as float64, unless `task` is None and they are so few that they are classes.
    """
    reading = recognize(name, values)
    if values.dtype.kind != "O" or reading.kind != "number":
        return values, []
    strays = stray_rows(name, values, reading)
    blank = np.where(strays, np.array(None, object), values)
    numbers = as_numbers(name, blank, 0, reading.number_format)
    known = numbers[~np.isnan(numbers)]
    is_class = task is None and task_of(name, known) == "classification"
    if is_class and (strays.any() or reading.number_format != PLAIN):
        return values, []
    notices = reading.notices(name)
    if strays.any():
        row, count = int(strays.argmax()), int(strays.sum())
        cells = "1 cell is not a number" if count == 1 else f"{count:,} cells are not numbers"
        notices.append(f"{name}: {cells}; the first is {values[row]!r} in row {row + 1}")
    if reading.number_format != PLAIN:
        return numbers, notices
    return np.where(np.isnan(numbers), np.array(None, object), values), notices


PartReader = Callable[[Array, int], Array]
"""Returns class numbers or numbers (n,), NaN where not known, of the cells (n,) of a part that begins at a row."""


def part_reader(target: ClassTarget | NumberTarget, statistic: Statistic) -> PartReader:
    """Return how to read the parts of a column with this statistic: as `read_target` reads the whole of it."""
    if isinstance(target, ClassTarget):
        return partial(_class_numbers, target)
    number_format, strays = PLAIN, frozenset[Any]()
    if isinstance(statistic, Cells):
        reading = recognize_cells(statistic.cells, statistic.counts.tolist())
        number_format, strays = reading.number_format, frozenset(statistic.cells[i] for i in reading.strays)
    return partial(_numbers, target.name, number_format, strays)


def _class_numbers(target: ClassTarget, values: Array, first_row: int) -> Array:
    """Return class numbers (n,), NaN where a cell is missing, or is a word for that and no label."""
    cells, codes = factorize(target.name, values)
    blank = [is_missing(cell) or (cell not in target.labels and is_missing_word(to_text(cell))) for cell in cells]
    known = np.flatnonzero(~np.array(blank, np.bool_)[codes])
    numbers = np.full(len(values), nan)
    numbers[known] = target.encode(values[known], known + first_row)
    return numbers


def _numbers(name: str, number_format: NumberFormat, strays: frozenset[Any], values: Array, first_row: int) -> Array:
    """Return cells in a format as numbers (n,), NaN where one is missing or is a mistake."""
    if strays and values.dtype.kind == "O":
        cells, codes = factorize(name, values)
        values = np.array([None if cell in strays else cell for cell in cells], object)[codes]
    return as_numbers(name, values, first_row, number_format)


_FAR, _MAX_OUTLIERS = 100.0, 3
"""Up to 3 numbers that are 100 times as far from the median as all others are probably mistakes. In 1,000 draws from a
log-normal distribution with sigma 2, the two largest differ by a factor of 2 to 5."""


def target_notices(target: ClassTarget | NumberTarget, values: Array) -> list[str]:
    """Return notices about labels that differ only in spelling or look missing, or numbers far from all others."""
    if isinstance(target, ClassTarget):
        texts = [label for label in target.labels if isinstance(label, str)]
        words = [text for text in texts if is_missing_word(text)]
        notices = differences_in_spelling(texts, "classes")
        notices += [f"{word!r} is a class; leave cells empty if the target is missing" for word in words]
        return [f"{target.name}: {notice}" for notice in notices]
    if values.ndim > 1:
        return []
    numbers = as_numbers(target.name, values)
    known = np.flatnonzero(~np.isnan(numbers))
    distances = np.abs(numbers[known] / 2 - np.median(numbers[known]) / 2)
    order = np.argsort(-distances, kind="stable")
    for n_far in range(1, min(_MAX_OUTLIERS, len(known) - _MIN_ROWS_PER_CLASS) + 1):
        if distances[order[n_far - 1]] > _FAR * distances[order[n_far]] > 0:
            row = known[order[0]]
            others = f" and {n_far - 1} more" if n_far > 1 else ""
            return [
                f"{target.name}: {numbers[row]:.6g} in row {row + 1}{others} is more than {_FAR:.0f} times as far from "
                "the median as all other values. Correct it if it is a mistake: it dominates the squared error"
            ]
    return []


def task_of(name: str, known: Array) -> str:
    """Return the task that a target's values suggest; none of them may be missing.

    Text and booleans are classes. Numbers are classes if only two are different, or if they are integers, at most 10
    of them different, with at least five rows each on average; otherwise they are quantities.
    """
    distinct, _ = factorize(name, known)
    if not are_numbers(distinct):
        return "classification"
    integers = all(to_number(value).is_integer() for value in distinct)
    few = len(distinct) <= _MAX_INTEGER_CLASSES and len(known) >= _MIN_ROWS_PER_CLASS * len(distinct)
    return "classification" if len(distinct) <= 2 or (integers and few) else "regression"


def _label_type(values: Array, distinct: list[Any]) -> str:
    """Return the NumPy type of predicted labels; labels of mixed types become text."""
    if values.dtype.name in _LABEL_TYPES:
        return values.dtype.name
    types = {type(label) for label in distinct}
    return next((name for name, of in (("bool", bool), ("int64", int), ("float64", float)) if types == {of}), "str")
