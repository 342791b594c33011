r"""The quantities of a training step: each with its formula in two notations, its values, and a function for them.

- "row": samples are the rows of X, W is (n_in, n_out), Z = X W + b; the derivatives of the loss are dZ, dW, db.
- "column": Nielsen's notation. Samples are column vectors, w_jk is the weight from unit k to unit j,
  z_j = sum_k w_jk a_k + b_j, and the derivative of the loss with respect to z is delta. W is the transpose of that in
  row form.

With several samples, the column form marks quantities that depend on the sample with a superscript x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from chainrule.arrays import Array

NOTATIONS = ("row", "column")

Function = Callable[..., Array]
"""Maps the values of the sources of a quantity to its own."""


@dataclass(frozen=True)
class Symbol:
    """The name of a quantity in code, and its titles in the formulas of both notations.

    `around` is a template for its column form, such as the fraction of a derivative, in which `*` is the entry.
    """

    name: str
    row: str
    letter: str
    above: str = ""
    index: str = "j"
    around: str = "*"

    def column(self, index: str | None = None) -> str:
        """Return the symbol of an entry in column form, such as `w^{1}_{jk}`."""
        below = self.index if index is None else index
        scripts = (f"^{{{self.above}}}" if self.above else "") + (f"_{{{below}}}" if below else "")
        return self.around.replace("*", self.letter + scripts)

    def derivative(self) -> Symbol:
        """Return the symbol of the derivative of the loss with respect to this quantity; for z it is delta."""
        if self.letter == "z":
            return Symbol(f"delta{self.name[1:]}", f"d{self.row}", r"\delta", self.above)
        around = rf"\frac{{\partial C}}{{\partial {self.around}}}"
        return Symbol(f"d{self.name}", f"d{self.row}", self.letter, self.above, self.index, around)

    def step(self) -> Symbol:
        """Return the symbol of the optimizer's step in this quantity."""
        around = rf"\Delta {self.around}"
        return Symbol(f"step {self.name}", rf"\Delta {self.row}", self.letter, self.above, self.index, around)

    def slope(self, function: str) -> Symbol:
        """Return the symbol of the derivative of a function at this quantity."""
        return Symbol(
            f"slope {self.name}", f"{function}'({self.row})", self.letter, self.above, self.index, f"{function}'(*)"
        )


@dataclass(frozen=True)
class Formula:
    """A right-hand side in both notations, in the LaTeX subset of `chainrule.insight.tracing.notation`."""

    row: str
    column: str


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
        Float64, read-only.
    sources : tuple of str
        Names of the earlier quantities from which it is computed.
    formula : Formula or None
        None for a given quantity.
    function : callable or None
        Maps the values of the sources to `values`.
    wrong : dict
        Common mistakes: name -> the function computed instead of `function`.
    derivative_of : str
        Name of the quantity with respect to which it is the derivative of the loss, or "".
    mixing : bool
        Whether each unit depends on all units of the input, rather than on the same unit only.
    rounding : float
        Absolute rounding error of the values, which may be a difference of large numbers.
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
        """The name in code."""
        return self.symbol.name

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values."""
        return self.values.shape

    def title(self, notation: str) -> str:
        """Return the title in formulas of the notation."""
        return self.symbol.row if notation == "row" else self.symbol.column()

    def equation(self, notation: str) -> str:
        """Return the formula with its left-hand side; only the title of a given quantity."""
        side = "" if self.formula is None else getattr(self.formula, notation)
        return f"{self.title(notation)} = {side}" if side else self.title(notation)

    def grid(self, notation: str) -> Array:
        """Return the values as a matrix in the notation; in column form it is transposed."""
        rows = np.atleast_2d(self.values)
        return rows if notation == "row" else rows.T

    def recompute(self, values: Mapping[str, Array], function: Function | None = None) -> Array:
        """Return the values computed from those of the sources, by `function` or else its own."""
        compute = function or self.function
        assert compute is not None
        return np.asarray(compute(*(values[name] for name in self.sources)))


class Tape:
    """A recording of quantities in the order of computation.

    `layer` counts the Dense layers so far, and `parameters` maps full names in the network to symbols.
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
        """Return a new symbol for an output of the current layer, which depends on the sample."""
        symbol = self.parameter(word, letter, row or (letter or word).upper(), index)
        return replace(symbol, above=f"x,{symbol.above}") if self.n_rows > 1 else symbol

    def parameter(self, word: str, letter: str = "", row: str = "", index: str = "j") -> Symbol:
        """Return a new symbol for a quantity shared by all samples, with a prime if the layer already has one."""
        primes = ""
        while f"{word}{self.layer}{primes}" in self.quantities:
            primes += "'"
        title = f"{row or letter or word}_{{{self.layer}}}{primes}"
        letter = letter or word
        above = f"{self.layer}{primes}" + "'" * (letter == "a" and not self.layer)  # X is a^0 in column form
        return Symbol(f"{word}{self.layer}{primes}", title, letter, above, index)

    def over_rows(self, term: str) -> str:
        """Return a term of the column form, summed over samples if there are several."""
        return rf"\sum_{{x}} {term}" if self.n_rows > 1 else term

    def give(self, symbol: Symbol, values: Array) -> Symbol:
        """Record a given quantity."""
        return self.add(Quantity(symbol, "given", values))

    def add(self, quantity: Quantity) -> Symbol:
        """Record a quantity and return its symbol."""
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
        """Record a computed quantity.

        `values` are those of the network, or None if it does not expose them; then they are computed by `function`.
        """
        result = function(*(self[source] for source in sources)) if values is None else values
        return self.add(
            Quantity(
                symbol,
                kind,
                np.asarray(result),
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
    """Return the rounding error of after - before."""
    eps = float(np.finfo(np.float64).eps)
    return 2 * eps * float(max(np.abs(before).max(initial=0), np.abs(after).max(initial=0)))
