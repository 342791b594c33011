"""A trace: its quantities in the order of computation, and the forms in which it is shown, verified and exercised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from chainrule.errors import MissingExtraError, look_up, shorten
from chainrule.insight.trace.exercise import Exercise
from chainrule.insight.trace.page import as_html
from chainrule.insight.trace.proof import Proof, prove
from chainrule.insight.trace.quantity import Quantity
from chainrule.insight.trace.text import as_dict, as_latex, as_page


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
    columns : tuple of str
        Names of the columns of X, or empty.
    outputs : tuple of str
        Names of the network's outputs, or empty.
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
        return as_page(self, notation)

    def to_latex(self, notation: str = "row") -> str:
        """Return the body of a LaTeX document that loads amsmath; `notation` is "row" or "column"."""
        return as_latex(self, notation)

    def to_html(self, notation: str = "row") -> str:
        """Return a self-contained page that highlights the path of a weight through the chain rule.

        `notation`, "row" or "column", is the one shown first. Raises MissingExtraError if Jinja2 is not installed.
        """
        return as_html(self, notation)

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as JSON-serializable dicts and lists."""
        return as_dict(self)

    def verify(self) -> Proof:
        """Recompute every quantity from its sources and check every derivative by finite differences, in float64."""
        return prove(self)

    def exercise(self, blanks: int | str | Sequence[str] = 5, seed: int = 0) -> Exercise:
        """Return the trace with hidden quantities to fill in.

        `blanks` is their number, drawn at random with `seed`, or their names.
        """
        return Exercise.of(self, blanks, seed)

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str | None:
        """Return the page in a frame; None if Jinja2 is not installed, so that a notebook shows the text."""
        try:
            page = escape(self.to_html())
        except MissingExtraError:
            return None
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 40rem; border: 0" title="trace"></iframe>'
