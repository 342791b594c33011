r"""The quantities of a training step: each with its formula in two notations, its values, and how to find them again.

- "row": a row of X is a row of data, W is (n_in, n_out), Z = X W + b; derivatives of the loss are dZ, dW, db.
- "column": Nielsen's. A row of data is a column, w_jk leads to unit j from unit k, z_j = sum_k w_jk a_k + b_j, and the
  loss's derivative in z is delta. Its W is the transpose of the other's.

With several rows of data the column form marks what belongs to a row by an x above it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from chainrule.arrays import Array

NOTATIONS = ("row", "column")

Function = Callable[..., Array]
"""From the values of a quantity's sources to its own."""


@dataclass(frozen=True)
class Symbol:
    """What a quantity is called: `name` in code, and in formulas of both notations.

    `around` is what its entry in column form is written into, such as a derivative's fraction; `*` is the entry.
    """

    name: str
    row: str
    letter: str
    above: str = ""
    index: str = "j"
    around: str = "*"

    def column(self, index: str | None = None) -> str:
        """Return an entry in column form, such as `w^{1}_{jk}`."""
        below = self.index if index is None else index
        scripts = (f"^{{{self.above}}}" if self.above else "") + (f"_{{{below}}}" if below else "")
        return self.around.replace("*", self.letter + scripts)

    def derivative(self) -> Symbol:
        """Return what the loss's derivative in this quantity is called; that in z is delta."""
        if self.letter == "z":
            return Symbol(f"delta{self.name[1:]}", f"d{self.row}", r"\delta", self.above)
        around = rf"\frac{{\partial C}}{{\partial {self.around}}}"
        return Symbol(f"d{self.name}", f"d{self.row}", self.letter, self.above, self.index, around)

    def step(self) -> Symbol:
        """Return what the optimiser's step in this quantity is called."""
        around = rf"\Delta {self.around}"
        return Symbol(f"step {self.name}", rf"\Delta {self.row}", self.letter, self.above, self.index, around)

    def slope(self, function: str) -> Symbol:
        """Return what a function's slope at this quantity is called."""
        return Symbol(
            f"slope {self.name}", f"{function}'({self.row})", self.letter, self.above, self.index, f"{function}'(*)"
        )


@dataclass(frozen=True)
class Formula:
    """The right-hand side, in both notations, in the little LaTeX of `chainrule.insight.tracing.notation`."""

    row: str
    column: str


@dataclass(frozen=True, eq=False)
class Quantity:
    """One line of a trace.

    Attributes
    ----------
    symbol : Symbol
    kind : str
        "given", "forward", "loss", "slope" of an activation, "derivative" of what is on the way, "gradient" of a
        parameter, or "step".
    values : array
        Float64 and not to be written to.
    sources : tuple of str
        Names of the earlier quantities that it is made of.
    formula : Formula or None
        None: it is given.
    function : callable or None
        From the values of the sources to the values.
    wrong : dict
        Mistakes that are often made here, by name: what would be computed instead of `function`.
    derivative_of : str
        Name of the quantity that it is the loss's derivative in; "" if it is no such derivative.
    mixing : bool
        Whether each of its units is made of all units of what comes in; else a unit is made of the same unit.
    rounding : float
        How far the values may be off because they are a difference of large numbers.
    """

    symbol: Symbol
    kind: str
    values: Array
    sources: tuple[str, ...] = ()
    formula: Formula | None = None
    function: Function | None = None
    wrong: Mapping[str, Function] = field(default_factory=dict)
    derivative_of: str = ""
    mixing: bool = False
    rounding: float = 0.0

    def __post_init__(self) -> None:
        values = np.array(self.values, np.float64)
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    @property
    def name(self) -> str:
        """What it is called in code."""
        return self.symbol.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return self.values.shape

    def title(self, notation: str) -> str:
        """Return what it is called in formulas."""
        return self.symbol.row if notation == "row" else self.symbol.column()

    def equation(self, notation: str) -> str:
        """Return its formula, title and all; the title alone when it is given."""
        side = "" if self.formula is None else getattr(self.formula, notation)
        return f"{self.title(notation)} = {side}" if side else self.title(notation)

    def grid(self, notation: str) -> Array:
        """Return the values as a matrix, as the notation writes it: in column form the other's transpose."""
        rows = np.atleast_2d(self.values)
        return rows if notation == "row" else rows.T

    def recompute(self, values: Mapping[str, Array], function: Function | None = None) -> Array:
        """Return its values, found from those of its sources; by its own function unless another is given."""
        compute = function or self.function
        assert compute is not None
        return np.asarray(compute(*(values[name] for name in self.sources)))


class Tape:
    """Quantities in the order in which they were computed, while they are being written down.

    `layer` counts the Dense layers so far, and `parameters` has the parameters by their full names in the network.
    """

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self.layer = 0
        self.quantities: dict[str, Quantity] = {}
        self.parameters: dict[str, Symbol] = {}

    def __getitem__(self, symbol: Symbol) -> Array:
        return self.quantities[symbol.name].values

    def __iter__(self) -> Iterator[Quantity]:
        return iter(self.quantities.values())

    def unit(self, word: str, letter: str = "", row: str = "", index: str = "j") -> Symbol:
        """Return a new symbol for something that the present layer makes of each row of data."""
        symbol = self.parameter(word, letter, row or (letter or word).upper(), index)
        return replace(symbol, above=f"x,{symbol.above}") if self.n_rows > 1 else symbol

    def parameter(self, word: str, letter: str = "", row: str = "", index: str = "j") -> Symbol:
        """Return a new symbol for something that the present layer has once for all rows; a second one has a prime."""
        primes = ""
        while f"{word}{self.layer}{primes}" in self.quantities:
            primes += "'"
        title = f"{row or letter or word}_{{{self.layer}}}{primes}"
        letter = letter or word
        above = f"{self.layer}{primes}" + "'" * (letter == "a" and not self.layer)  # in column form X is a^0 itself
        return Symbol(f"{word}{self.layer}{primes}", title, letter, above, index)

    def over_rows(self, term: str) -> str:
        """Return a term of the column form summed over rows of data; of one row it is the term."""
        return rf"\sum_{{x}} {term}" if self.n_rows > 1 else term

    def give(self, symbol: Symbol, values: Array) -> Symbol:
        """Write down what is given."""
        return self.add(Quantity(symbol, "given", values))

    def add(self, quantity: Quantity) -> Symbol:
        """Write a quantity down and return its symbol."""
        assert quantity.name not in self.quantities, quantity.name
        self.quantities[quantity.name] = quantity
        return quantity.symbol

    def compute(
        self,
        symbol: Symbol,
        kind: str,
        sources: tuple[Symbol, ...],
        formula: Formula,
        function: Function,
        values: Array | float | None = None,
        *,
        wrong: Mapping[str, Function] | None = None,
        derivative_of: str = "",
        mixing: bool = False,
        rounding: float = 0.0,
    ) -> Symbol:
        """Write down what is computed.

        `values` are the network's own; None where it keeps them to itself: then they are the formula's.
        """
        found = function(*(self[source] for source in sources)) if values is None else values
        return self.add(
            Quantity(
                symbol,
                kind,
                np.asarray(found),
                tuple(source.name for source in sources),
                formula,
                function,
                wrong or {},
                derivative_of,
                mixing,
                rounding,
            )
        )


def rounding_of(before: Array, after: Array) -> float:
    """Return how far after - before may be off."""
    eps = float(np.finfo(np.float64).eps)
    return 2 * eps * float(max(np.abs(before).max(initial=0), np.abs(after).max(initial=0)))
