"""A trace as data: its quantities, each with a symbol, values, and the term that computes them from earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import look_up, shorten
from chainrule.terms import Symbol, Term, evaluator, symbols_in, walk
from chainrule.typeset import LATEX, Style, formula, title

if TYPE_CHECKING:
    from chainrule.insight.trace.exercise import Exercise
    from chainrule.insight.trace.proof import Proof


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
        """The term as a function."""
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


@dataclass(frozen=True, eq=False)
class Trace:
    """One training step: its quantities in the order of computation.

    `trace["z1"]` returns a quantity by name. A trace prints as text and renders as an interactive page in a notebook.

    Attributes
    ----------
    quantities : tuple of Quantity
    network : str
        The layers.
    loss : str
    optimizer : str
    n_rows : int
        Number of rows of data.
    columns, outputs : tuple of str
        Names of the columns of X and of the network's outputs, or empty.
    """

    quantities: tuple[Quantity, ...]
    network: str
    loss: str
    optimizer: str
    n_rows: int
    columns: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Quantity:
        return look_up({quantity.name: quantity for quantity in self.quantities}, name, "name")

    def __iter__(self) -> Iterator[Quantity]:
        return iter(self.quantities)

    def __len__(self) -> int:
        return len(self.quantities)

    @property
    def title(self) -> str:
        """A one-line summary."""
        rows = "one row" if self.n_rows == 1 else f"{self.n_rows:,} rows"
        return f"One training step on {rows}: {self.network}, {self.loss}, {self.optimizer}"

    @property
    def legend(self) -> list[str]:
        """The names of the first 40 columns and outputs, one line each, if they are known."""
        legend = {"columns of X": self.columns, "outputs": self.outputs}
        return [f"{title}: {shorten(names, 40)}" for title, names in legend.items() if names]

    def to_text(self, notation: str = "row") -> str:
        """Return the trace as text for a terminal; `notation` is "row" or "column"."""
        from chainrule.insight.trace.text import as_page

        return as_page(self, notation)

    def to_latex(self, notation: str = "row") -> str:
        """Return the body of a LaTeX document that loads amsmath; `notation` is "row" or "column"."""
        from chainrule.insight.trace.text import as_latex

        return as_latex(self, notation)

    def to_html(self, notation: str = "row") -> str:
        """Return a self-contained page that highlights the path of a weight through the chain rule.

        `notation`, "row" or "column", is the one shown first.
        """
        from chainrule.insight.trace.page import as_html

        return as_html(self, notation)

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as JSON-serializable dicts and lists."""
        from chainrule.insight.trace.text import as_dict

        return as_dict(self)

    def verify(self) -> Proof:
        """Recompute every quantity from its sources and check every derivative by finite differences, in float64."""
        from chainrule.insight.trace.proof import prove

        return prove(self)

    def exercise(self, blanks: int | str | Sequence[str] = 5, seed: int = 0) -> Exercise:
        """Return the trace with hidden quantities to fill in.

        `blanks` is their number, drawn at random with `seed`, or their names.
        """
        from chainrule.insight.trace.exercise import Exercise

        return Exercise.of(self, blanks, seed)

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        page = escape(self.to_html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 40rem; border: 0" title="trace"></iframe>'
