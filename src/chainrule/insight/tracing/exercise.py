r"""A trace with blanks to be filled in by hand, and the grading of the answers.

A wrong answer is held against what the mistakes that are often made would give. Each mistake stands beside the formula
that it spoils (`Quantity.wrong`); made there, it is carried on by the lines that follow, as it would be by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, require, require_integer
from chainrule.insight.tracing.page import as_html
from chainrule.insight.tracing.quantities import Function, Quantity
from chainrule.insight.tracing.text import as_latex, as_page, require_notation

if TYPE_CHECKING:
    from chainrule.insight.trace import Trace

TOLERANCE = 1e-3
"""How far an answer may be off, beside the largest number of the quantity: three digits are enough."""
ASKED = ("forward", "loss", "slope", "derivative", "gradient", "step")


@dataclass(frozen=True)
class Mark:
    """What is said of one answer: whether it is right and, if not, the likely mistake, "" where none was found."""

    name: str
    right: bool
    remark: str = ""

    def __str__(self) -> str:
        return f"{self.name:<16}{'right' if self.right else 'WRONG'}{f'  {self.remark}' if self.remark else ''}"


@dataclass(frozen=True)
class Grades:
    """The result of `Exercise.grade`; print it."""

    marks: tuple[Mark, ...]

    @property
    def n_right(self) -> int:
        """Number of right answers."""
        return sum(mark.right for mark in self.marks)

    @property
    def ok(self) -> bool:
        """Whether all are right."""
        return self.n_right == len(self.marks)

    def __getitem__(self, name: str) -> Mark:
        return {mark.name: mark for mark in self.marks}[name]

    def __str__(self) -> str:
        return "\n".join([f"{self.n_right} of {len(self.marks)} right", *map(str, self.marks)])


@dataclass(frozen=True, eq=False)
class Exercise:
    """A trace with blanks; print it.

    Attributes
    ----------
    trace : Trace
    blanks : tuple of str
        Names of the quantities to be found.
    """

    trace: Trace
    blanks: tuple[str, ...]

    @classmethod
    def of(cls, trace: Trace, blanks: int | Sequence[str], seed: int) -> Exercise:
        """Return an exercise with so many blanks, drawn by `seed`, or with those of these names."""
        possible = [quantity.name for quantity in trace if quantity.kind in ASKED]
        if not isinstance(blanks, Sequence):
            require_integer(blanks, "blanks")
            require(blanks <= len(possible), "blanks", f"be {len(possible)} at most", blanks)
            drawn = np.sort(np.random.default_rng(seed).permutation(len(possible))[:blanks])
            return cls(trace, tuple(possible[k] for k in drawn))
        names = [blanks] if isinstance(blanks, str) else list(blanks)
        require(len(names) > 0, "blanks", "name one quantity at least", blanks)
        for name in names:
            require(name in possible, "blanks", f"be names out of {', '.join(possible)}", name)
        return cls(trace, tuple(name for name in possible if name in names))

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of the quantities that are not shown: the blanks, and the steps that would give them away."""
        away = [
            quantity.name
            for quantity in self.trace
            if quantity.kind == "step" and set(self.blanks) & set(quantity.sources)
        ]
        return (*self.blanks, *(name for name in away if name not in self.blanks))

    def to_text(self, notation: str = "row") -> str:
        """Return the trace as text, question marks in the blanks; `notation` is "row" or "column"."""
        shapes = "".join(f"\n  {name:<12}{self.trace[name].grid(notation).shape}" for name in self.blanks)
        return f"{as_page(self.trace, notation, self.hidden)}\n\nTo be found{shapes}"

    def to_latex(self, notation: str = "row") -> str:
        """Return the trace as LaTeX, question marks in the blanks; `notation` is "row" or "column"."""
        return as_latex(self.trace, notation, self.hidden)

    def to_html(self, notation: str = "row") -> str:
        """Return the trace as a page, question marks in the blanks; it opens in the notation "row" or "column"."""
        return as_html(self.trace, notation, self.blanks, self.hidden)

    def __str__(self) -> str:
        return self.to_text()

    def grade(
        self, predictions: Mapping[str, ArrayLike], notation: str = "row", tolerance: float = TOLERANCE
    ) -> Grades:
        """Grade the answers and name the likely mistake in each wrong one.

        Parameters
        ----------
        answers : dict of array-likes
            By the blanks' names, each in the shape that the exercise tells; a single row or column may be a list.
        notation : "row" or "column"
            In which the answers are.
        tolerance : float
            How far a number may be off, beside the largest number of its quantity.

        Returns
        -------
        Grades
            `.ok`, `.n_right`, `.marks`; it prints as a list.

        Raises
        ------
        ValueError
            For an answer to what was not asked, and for one that is not made of numbers.
        """
        require(tolerance > 0, "tolerance", "be > 0", tolerance)
        for name in predictions:
            require(name in self.blanks, "answers", f"have names out of {', '.join(self.blanks)}", name)
        require_notation(notation)
        given = {name: as_answer(answer, self.trace[name], notation) for name, answer in predictions.items()}
        return Grades(tuple(self.mark(self.trace[name], given, tolerance) for name in self.blanks))

    def mark(self, quantity: Quantity, given: Mapping[str, Array], tolerance: float) -> Mark:
        """Return the mark of one answer."""
        if quantity.name not in given:
            return Mark(quantity.name, False, "no answer")
        answer, right = given[quantity.name], quantity.values
        if is_close(answer, right, tolerance):
            return Mark(quantity.name, True)
        if answer.shape != right.shape and is_close(answer, right.T, tolerance):
            return Mark(quantity.name, False, "it is the transpose of the answer")
        for remark, spoiled in self.suspects(quantity, given):
            if is_close(answer, spoiled, tolerance) and not is_close(right, spoiled, tolerance):
                return Mark(quantity.name, False, remark)
        if answer.shape != right.shape:
            return Mark(quantity.name, False, f"its shape is {answer.shape} and must be {right.shape}")
        return Mark(quantity.name, False)

    def suspects(self, quantity: Quantity, given: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
        """Yield likely mistakes, from the nearest on, and what each would have given."""
        values = {each.name: each.values for each in self.trace}
        wrong_before = [name for name in given if name in quantity.sources and given[name].shape == values[name].shape]
        if wrong_before and quantity.function is not None:
            told = " and ".join(wrong_before)
            yield (
                f"it follows from your answer to {told}",
                quantity.recompute({**values, **{name: given[name] for name in wrong_before}}),
            )
        yield "its sign is wrong", -quantity.values
        lines = self.upstream(quantity)
        for at, line in enumerate(lines):
            for mistake, function in line.wrong.items():
                spoiled = carried(function, lines[at::-1], values)
                if spoiled is not None:
                    where = "" if line is quantity else f", in {line.name}"
                    yield f"{mistake}{where}", spoiled
        yield from self.everywhere(lines, values)

    def everywhere(self, lines: list[Quantity], values: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
        """Yield mistakes that are made in every line where they can be, and what each would have given."""
        for mistake in dict.fromkeys(mistake for line in lines for mistake in line.wrong):
            now = dict(values)
            try:
                for line in reversed(lines):
                    now[line.name] = line.recompute(now, line.wrong.get(mistake))
            except ValueError:
                continue
            yield f"{mistake}, everywhere", now[lines[0].name]

    def upstream(self, quantity: Quantity) -> list[Quantity]:
        """Return the quantity and what it is made of, from itself backwards."""
        needed, lines = {quantity.name}, []
        for each in reversed(self.trace.quantities):
            if each.name in needed and each.function is not None:
                needed |= set(each.sources)
                lines.append(each)
        return lines


def carried(mistake: Function, lines: list[Quantity], values: Mapping[str, Array]) -> Array | None:
    """Return what the last of the lines becomes when the first is computed by a mistake; None where it cannot be."""
    first, *others = lines
    now = dict(values)
    try:
        now[first.name] = first.recompute(now, mistake)
        for line in others:
            now[line.name] = line.recompute(now)
    except ValueError:  # a matrix that is not square cannot be mistaken for its transpose
        return None
    return now[lines[-1].name]


def as_answer(answer: ArrayLike, quantity: Quantity, notation: str) -> Array:
    """Return an answer as numbers in the row form; what is a single row or column stands for it however it is given."""
    try:
        numbers = np.asarray(answer, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"answers must hold numbers, however that to {quantity.name!r} does not: {error}") from None
    if numbers.size == quantity.values.size == max(quantity.shape, default=1):
        return numbers.reshape(quantity.shape)
    return numbers if notation == "row" else numbers.T


def is_close(answer: Array, right: Array, tolerance: float) -> bool:
    """Tell whether an answer is within the tolerance, beside the largest number of what is right."""
    if answer.shape != right.shape:
        return False
    largest = float(np.abs(right).max(initial=0))
    return bool((np.abs(answer - right) <= tolerance * largest).all())
