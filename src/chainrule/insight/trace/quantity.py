"""A line of a trace: a symbol, its values, and the term that computes them from those of earlier lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.terms import Symbol, Term, evaluator, symbols_in, walk
from chainrule.typeset import LATEX, Style, formula, title


@dataclass(frozen=True, eq=False)
class Quantity:
    """One line of a trace.

    Attributes
    ----------
    symbol : Symbol
    kind : str
        "given", "forward", "loss", "slope" (the derivative of an activation), "derivative" (of the loss with respect to
        an intermediate quantity), "gradient" (with respect to a parameter), or "step" (of the optimizer).
    values : array
        Float64, read-only: those of the network where it exposes them, else those of the term.
    term : Term or None
        Computes the values from those of earlier quantities; None for a given quantity.
    derivative_of : str
        Name of the quantity with respect to which it is the derivative of the loss, or "".
    rounding : float
        Absolute rounding error of the values, which may be a difference of large numbers.
    """

    symbol: Symbol
    kind: str
    values: Array
    term: Term | None = None
    derivative_of: str = ""
    rounding: float = 0.0

    def __post_init__(self) -> None:
        values = np.array(self.values, np.float64)
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    @property
    def name(self) -> str:
        """The name in code."""
        return self.symbol.name

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values."""
        return self.values.shape

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the earlier quantities from which it is computed."""
        return () if self.term is None else tuple(symbol.name for symbol in symbols_in(self.term))

    @cached_property
    def _compute(self) -> Callable[[Mapping[str, Any]], Any]:
        assert self.term is not None
        return evaluator(self.term)

    @property
    def mixing(self) -> bool:
        """Whether each unit depends on all units of a source, rather than on the same unit only."""
        return self.term is not None and any(
            each.op == "matmul" or (each.op == "sum" and "c" in each.note) or (each.op == "call" and each.note.value)
            for each in walk(self.term)
        )

    def title(self, notation: str, style: Style = LATEX) -> str:
        """Return the title in formulas of the notation."""
        return title(self.symbol, style, notation)

    def equation(self, notation: str, style: Style = LATEX) -> str:
        """Return the formula with its left-hand side, in LaTeX or another style; only the title if it is given."""
        left = self.title(notation, style)
        if self.term is None:
            return left
        return style.spaced(left, style.sign("="), formula(self.term, style, notation))

    def grid(self, notation: str) -> Array:
        """Return the values as a matrix in the notation; in column form it is transposed."""
        rows = np.atleast_2d(self.values)
        return rows if notation == "row" else rows.T

    def recompute(self, values: Mapping[str, Array], term: Term | None = None) -> Array:
        """Return the values computed from those of the sources, by another term or its own."""
        result = np.asarray((evaluator(term) if term else self._compute)(values), np.float64)
        return np.full(self.shape, result.item()) if result.size == 1 else result
