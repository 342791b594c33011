r"""A trace with hidden quantities to fill in by hand, and the grading of the answers.

A wrong answer is compared with the results of common mistakes: changes of the term of a quantity, whose effect is
propagated through the quantities that depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, require, require_integer
from chainrule.insight.trace.mistakes import mistakes
from chainrule.insight.trace.page import as_html
from chainrule.insight.trace.quantity import Quantity
from chainrule.insight.trace.text import as_latex, as_page, require_notation
from chainrule.terms import Term

if TYPE_CHECKING:
    from chainrule.insight.trace.model import Trace

TOLERANCE = 1e-3
"""Largest error of an answer relative to the largest value of the quantity: three digits are enough."""


@dataclass(frozen=True)
class Mark:
    """The mark of one answer: whether it is correct and, if not, the likely mistake or ""."""

    name: str
    correct: bool
    remark: str = ""

    def __str__(self) -> str:
        return f"{self.name:<16}{'correct' if self.correct else 'WRONG'}{f'  {self.remark}' if self.remark else ''}"


@dataclass(frozen=True)
class Grades:
    """The result of `Exercise.grade`; it prints as a list."""

    marks: tuple[Mark, ...]

    @property
    def n_correct(self) -> int:
        """Number of correct answers."""
        return sum(mark.correct for mark in self.marks)

    @property
    def ok(self) -> bool:
        """Whether all answers are correct."""
        return self.n_correct == len(self.marks)

    def __getitem__(self, name: str) -> Mark:
        return {mark.name: mark for mark in self.marks}[name]

    def __str__(self) -> str:
        return "\n".join([f"{self.n_correct} of {len(self.marks)} correct", *map(str, self.marks)])


@dataclass(frozen=True, eq=False)
class Exercise:
    """A trace with hidden quantities to fill in; print it.

    Attributes
    ----------
    trace : Trace
    blanks : tuple of str
        Names of the quantities to fill in.
    """

    trace: Trace
    blanks: tuple[str, ...]

    @classmethod
    def of(cls, trace: Trace, blanks: int | str | Sequence[str], seed: int) -> Exercise:
        """Return an exercise with the given number of blanks, drawn with `seed`, or with the given names."""
        possible = [quantity.name for quantity in trace if quantity.term is not None]
        if not isinstance(blanks, Sequence):
            require_integer(blanks, "blanks")
            require(blanks <= len(possible), "blanks", f"be at most {len(possible)}", blanks)
            drawn = np.sort(np.random.default_rng(seed).permutation(len(possible))[:blanks])
            return cls(trace, tuple(possible[k] for k in drawn))
        names = [blanks] if isinstance(blanks, str) else list(blanks)
        require(len(names) > 0, "blanks", "contain at least one name", blanks)
        for name in names:
            require(name in possible, "blanks", f"be among {', '.join(possible)}", name)
        return cls(trace, tuple(name for name in possible if name in names))

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of the hidden quantities: the blanks, and the optimizer steps that would reveal them."""
        revealing = [
            quantity.name
            for quantity in self.trace
            if quantity.kind == "step" and set(self.blanks) & set(quantity.sources)
        ]
        return (*self.blanks, *(name for name in revealing if name not in self.blanks))

    def to_text(self, notation: str = "row") -> str:
        """Return the trace as text with question marks for hidden entries; `notation` is "row" or "column"."""
        shapes = "".join(f"\n  {name:<12}{self.trace[name].grid(notation).shape}" for name in self.blanks)
        return f"{as_page(self.trace, notation, self.hidden)}\n\nFill in{shapes}"

    def to_latex(self, notation: str = "row") -> str:
        """Return the trace as LaTeX with question marks for hidden entries; `notation` is "row" or "column"."""
        return as_latex(self.trace, notation, self.hidden)

    def to_html(self, notation: str = "row") -> str:
        """Return the trace as a page with question marks for hidden entries; `notation` is the one shown first."""
        return as_html(self.trace, notation, self.blanks, self.hidden)

    def __str__(self) -> str:
        return self.to_text()

    def grade(self, answers: Mapping[str, ArrayLike], notation: str = "row", tolerance: float = TOLERANCE) -> Grades:
        """Grade the answers and name the likely mistake in each wrong one.

        Parameters
        ----------
        answers : dict of array-likes
            The answer for each blank, by name, in the shape that the exercise shows; a single row or column may be a
            flat list.
        notation : "row" or "column"
            Notation of the answers.
        tolerance : float
            Largest error of an entry relative to the largest value of its quantity.

        Returns
        -------
        Grades
            `.ok`, `.n_correct`, `.marks`; it prints as a list.

        Raises
        ------
        ValueError
            If an answer is not numeric or does not belong to a blank.
        """
        require(tolerance > 0, "tolerance", "be > 0", tolerance)
        for name in answers:
            require(name in self.blanks, "answers", f"have names among {', '.join(self.blanks)}", name)
        require_notation(notation)
        arrays = {name: _as_answer(answer, self.trace[name], notation) for name, answer in answers.items()}
        return Grades(tuple(self._mark(self.trace[name], arrays, tolerance) for name in self.blanks))

    def _mark(self, quantity: Quantity, answers: Mapping[str, Array], tolerance: float) -> Mark:
        if quantity.name not in answers:
            return Mark(quantity.name, False, "no answer")
        answer, correct = answers[quantity.name], quantity.values
        if _is_close(answer, correct, tolerance):
            return Mark(quantity.name, True)
        if answer.shape != correct.shape and _is_close(answer, correct.T, tolerance):
            return Mark(quantity.name, False, "it is the transpose of the correct answer")
        for remark, wrong in self._likely_mistakes(quantity, answers):
            if _is_close(answer, wrong, tolerance) and not _is_close(correct, wrong, tolerance):
                return Mark(quantity.name, False, remark)
        if answer.shape != correct.shape:
            return Mark(quantity.name, False, f"the shape must be {correct.shape}, got {answer.shape}")
        return Mark(quantity.name, False)

    def _likely_mistakes(self, quantity: Quantity, answers: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
        """Yield likely mistakes, the closest to the quantity first, with the result of each."""
        values = {each.name: each.values for each in self.trace}
        earlier = [name for name in answers if name in quantity.sources and answers[name].shape == values[name].shape]
        if earlier and quantity.term is not None:
            yield (
                f"it follows from your answer for {' and '.join(earlier)}",
                quantity.recompute({**values, **{name: answers[name] for name in earlier}}),
            )
        yield "the sign is wrong", -quantity.values
        chain = self._upstream(quantity)
        possible = [mistakes(each) for each in chain]
        for at, each in enumerate(chain):
            for mistake, term in possible[at].items():
                wrong = _propagate({each.name: term}, chain[at::-1], values)
                if wrong is not None:
                    where = "" if each is quantity else f", in {each.name}"
                    yield f"{mistake}{where}", wrong
        for mistake in dict.fromkeys(mistake for each in possible for mistake in each):
            terms = {each.name: made[mistake] for each, made in zip(chain, possible) if mistake in made}
            wrong = _propagate(terms, chain[::-1], values)
            if wrong is not None:
                yield f"{mistake}, everywhere", wrong

    def _upstream(self, quantity: Quantity) -> list[Quantity]:
        """Return the quantity and all computed ones that it depends on, in reverse order."""
        needed, chain = {quantity.name}, []
        for each in reversed(self.trace.quantities):
            if each.name in needed and each.term is not None:
                needed |= set(each.sources)
                chain.append(each)
        return chain


def _propagate(wrong: Mapping[str, Term], chain: list[Quantity], values: Mapping[str, Array]) -> Array | None:
    """Return the last quantity of a chain with mistakes in some of them, or None if the shapes do not permit it."""
    now = dict(values)
    try:
        with np.errstate(all="ignore"):  # a wrong value may be infinite
            for each in chain:
                now[each.name] = each.recompute(now, wrong.get(each.name))
    except ValueError:  # for example the transpose of a matrix that is not square
        return None
    return now[chain[-1].name]


def _as_answer(answer: ArrayLike, quantity: Quantity, notation: str) -> Array:
    """Return an answer as an array in row form; a single row or column may have any of its shapes."""
    try:
        values = np.asarray(answer, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the answer for {quantity.name!r} must be numeric: {error}") from None
    if values.size == quantity.values.size == max(quantity.shape, default=1):
        return values.reshape(quantity.shape)
    return values if notation == "row" else values.T


def _is_close(answer: Array, correct: Array, tolerance: float) -> bool:
    """Return whether an answer has the correct shape and values, within the tolerance times the largest value."""
    if answer.shape != correct.shape:
        return False
    largest = float(np.abs(correct).max(initial=0))
    return bool((np.abs(answer - correct) <= tolerance * largest).all())
