"""Targets: what a network is to answer, as the numbers its loss takes, and its answers as values again."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, ClassVar, Self, final

import numpy as np

from chainrule.arrays import Array, require
from chainrule.data.cells import are_numbers, as_numbers, factorize, missing_rows, place_levels, to_number, to_text
from chainrule.errors import TableError, look_up, shorten


class Target(ABC):
    """What every kind of target answers: values to what a loss takes, and a network's answers back to values."""

    task: ClassVar[str]
    loss: ClassVar[str]
    name: str

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Outputs that a network needs."""

    @property
    def output_names(self) -> list[str]:
        """What the columns of its answers are called in a table."""
        return [self.name]

    @abstractmethod
    def encode(self, values: Array) -> Array:
        """Return what the loss takes for values (n,) or (n, n_outputs); TableError names row and value of a misfit."""

    @abstractmethod
    def decode(self, predictions: Array) -> Array:
        """Return values (n,), or (n, n_outputs) of several a row, for a network's answers (n, n_outputs)."""

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError if the fields, which may come from a file, are not what `fit` makes."""


LABEL_TYPES = frozenset(
    {"bool", "str", "float32", "float64"} | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)

MOST_CHARACTERS = 10_000_000
"""Room for labels as an array: the longest of them times their number."""


@final
@dataclass(frozen=True)
class ClassTarget(Target):
    """Classes: class number k is `labels[k]`, of NumPy's type `dtype`; `shares[k]` is how much of the rows it had."""

    name: str
    dtype: str
    labels: tuple[Any, ...]
    shares: tuple[float, ...]
    task: ClassVar[str] = "classification"
    loss: ClassVar[str] = "cross_entropy"

    @classmethod
    def fit(cls, name: str, values: Array) -> Self:
        """See labels (n,), none missing, of two classes at least."""
        levels, codes = factorize(name, values)
        dtype = label_type(values, levels)
        if dtype == "str":
            levels = [to_text(level) for level in levels]
        labels = sorted(set(levels))
        if len(labels) < 2:
            raise TableError(f"target {name!r} must have two classes at least, got {labels[0]!r}")
        if len(labels) == len(values) > 2:
            told = f"all its {len(values)} values differ"
            raise TableError(f"target {name!r} must have classes with several rows each, got {told}")
        places = {label: i for i, label in enumerate(labels)}
        numbers = np.array([places[level] for level in levels])[codes]
        shares = np.bincount(numbers, minlength=len(labels)) / len(numbers)
        return cls(name, dtype, tuple(labels), tuple(shares.tolist()))

    @classmethod
    def of(cls, name: str, labels: Array, shares: Array) -> Self:
        """Take different labels (K,) in their order, and the share (K,) of the rows that each has."""
        dtype, levels = label_type(labels, labels.tolist()), labels.tolist()
        told = map(to_text, levels) if dtype == "str" else levels
        return cls(name, dtype, tuple(told), tuple(np.asarray(shares, np.float64).tolist()))

    @property
    def n_outputs(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> Array:
        """The labels as an array of their own type."""
        return np.array(self.labels, dtype=self.dtype)

    def encode(self, values: Array) -> Array:
        levels, codes = factorize(self.name, values)
        numbers = place_levels(levels, [to_text(label) for label in self.labels])[codes]
        if len(numbers) and numbers.min() < 0:
            row = int(np.argmin(numbers))
            told = f"however row {row + 1} holds {values.tolist()[row]!r}"
            raise TableError(f"target {self.name!r} must be one of {shorten(self.labels)}, {told}")
        return numbers

    def decode(self, predictions: Array) -> Array:
        return self.classes[predictions.argmax(axis=1)]

    def check(self) -> None:
        require(self.dtype in LABEL_TYPES, "dtype", f"be one of {', '.join(sorted(LABEL_TYPES))}", self.dtype)
        longest = max((len(label) for label in self.labels if isinstance(label, str)), default=0)
        room = longest * len(self.labels)
        require(room <= MOST_CHARACTERS, "labels", f"fit {MOST_CHARACTERS:,} characters as one array", room)
        of_type = str if self.dtype == "str" else bool if self.dtype == "bool" else int | float
        simple = all(isinstance(label, of_type) for label in self.labels)
        require(simple and 2 <= len(set(self.labels)) == len(self.classes), "labels", f"be {self.dtype}s", self.labels)
        shares = all(isinstance(share, float) and 0 <= share <= 1 for share in self.shares)
        require(shares and len(self.shares) == len(self.labels), "shares", "be a share a label", self.shares)


@final
@dataclass(frozen=True)
class NumberTarget(Target):
    """Numbers, one or several a row, learned as (y - mean) / deviation and answered in their own unit."""

    name: str
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    task: ClassVar[str] = "regression"
    loss: ClassVar[str] = "squared_error"

    @classmethod
    def fit(cls, name: str, values: Array) -> Self:
        """See numbers (n,), not all equal; missing ones are passed over."""
        numbers = as_numbers(name, values)
        numbers = numbers[~np.isnan(numbers)]
        if len(numbers) == 0 or numbers.min() == numbers.max():
            held = f"{numbers[0]:g} in every row" if len(numbers) else "missing in every row"
            raise TableError(f"target {name!r} must vary, got {held}")
        return cls.of(name, numbers[:, np.newaxis])

    @classmethod
    def of(cls, name: str, Y: Array) -> Self:
        """See numbers (n, n_outputs), none missing; those that are all equal have the deviation 1.

        Raises TableError where their squares are too large or too small for a float.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            means, deviations = Y.mean(axis=0), Y.std(axis=0)
        varying = np.ptp(Y / 2, axis=0) > 0
        deviations[~varying] = 1.0
        if not (np.isfinite(means) & (deviations > 0) & np.isfinite(deviations)).all():
            raise TableError(f"target {name!r} must vary within what squares can hold, got its deviation does not")
        return cls(name, tuple(means.tolist()), tuple(deviations.tolist()))

    @property
    def n_outputs(self) -> int:
        return len(self.means)

    @property
    def output_names(self) -> list[str]:
        return [self.name] if self.n_outputs == 1 else [f"{self.name}{j}" for j in range(self.n_outputs)]

    def numbers(self, values: Array) -> Array:
        """Return values (n,) or (n, n_outputs) as float64 (n, n_outputs); TableError names the first missing number."""
        columns = [values] if values.ndim == 1 else list(values.T)
        if len(columns) != self.n_outputs:
            raise TableError(f"target {self.name!r} must have {self.n_outputs} numbers a row, got {len(columns)}")
        numbers = np.column_stack([as_numbers(self.name, column) for column in columns])
        missing = np.isnan(numbers).any(axis=1)
        if missing.any():
            raise TableError(f"target {self.name!r} must not be missing, got in row {missing.argmax() + 1}")
        return numbers

    def encode(self, values: Array) -> Array:
        return (self.numbers(values) - self.means) / self.deviations

    def decode(self, predictions: Array) -> Array:
        numbers = predictions.astype(np.float64) * self.deviations + self.means
        return numbers[:, 0] if self.n_outputs == 1 else numbers

    def check(self) -> None:
        numbers = all(isinstance(number, float) for number in self.means + self.deviations)
        require(numbers and all(map(isfinite, self.means)), "means", "be finite numbers", self.means)
        positive = all(0 < deviation < inf for deviation in self.deviations)
        fits = positive and len(self.deviations) == len(self.means) >= 1
        require(fits, "deviations", "be finite and > 0, one a mean", self.deviations)


TARGETS: dict[str, type[ClassTarget] | type[NumberTarget]] = {
    target.task: target for target in (ClassTarget, NumberTarget)
}

FEW_LEVELS, ROWS_A_LEVEL = 10, 5


def fit_target(name: str, values: Array, task: str | None = None) -> ClassTarget | NumberTarget:
    """Return the target that these values (n,) make; missing ones are passed over.

    `task` is "classification" or "regression"; None lets the values tell (see `task_of`). Raises TableError when
    nothing is there, when there is one class only, or when numbers do not vary.
    """
    known = values[~missing_rows(name, values)]
    if not len(known):
        raise TableError(f"target {name!r} must hold something, got every cell is empty")
    kind = look_up(TARGETS, task or task_of(name, known), "task")
    return kind.fit(name, values if kind is NumberTarget else known)


def task_of(name: str, known: Array) -> str:
    """Return the task that a target without missing cells suggests.

    Text and booleans are classes. Numbers are classes when there are two different ones, or at most 10 different whole
    ones with five rows each on average; else they are quantities.
    """
    levels, _ = factorize(name, known)
    if not are_numbers(levels):
        return "classification"
    whole = all(to_number(level).is_integer() for level in levels)
    few = len(levels) <= FEW_LEVELS and len(known) >= ROWS_A_LEVEL * len(levels)
    return "classification" if len(levels) <= 2 or (whole and few) else "regression"


def label_type(values: Array, levels: list[Any]) -> str:
    """Return the NumPy type in which labels are given back; labels of several types become text."""
    if values.dtype.name in LABEL_TYPES:
        return values.dtype.name
    types = {type(level) for level in levels}
    return next((name for name, of in (("bool", bool), ("int64", int), ("float64", float)) if types == {of}), "str")
