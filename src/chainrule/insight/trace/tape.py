"""A tape, on which the forward pass is recorded term by term; `derive` appends the backward pass by the chain rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby

import numpy as np

from chainrule.arrays import Array
from chainrule.insight.trace.quantity import Quantity
from chainrule.terms import ONE, ZERO, Symbol, Term, evaluator, gradient, instead, is_number, part, substitute
from chainrule.typeset import Look


class Tape:
    """A recording of quantities in the order of computation.

    Attributes
    ----------
    layer : int
        The number of Dense layers so far.
    parameters : dict
        Full name of a parameter in the network -> its symbol.
    engine : dict
        Name of a quantity -> the network's own derivative of the loss with respect to it, once those that it is
        computed from are on the tape.
    slopes : dict
        Name of the output of an activation -> its slope: a symbol, a term, and the network's own values.
    branches : dict
        Name of a quantity -> what beginners leave out if they forget it among the paths to the loss.
    known : dict
        Terms for which the backward pass uses the symbol of their value.
    """

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self.layer = 0
        self.quantities: dict[str, Quantity] = {}
        self.parameters: dict[str, Symbol] = {}
        self.engine: dict[str, Callable[[], Array]] = {}
        self.slopes: dict[str, tuple[Symbol, Term, Array]] = {}
        self.branches: dict[str, str] = {}
        self.known: dict[Term, Term] = {}

    def __getitem__(self, symbol: Symbol) -> Array:
        return self.quantities[symbol.name].values

    def __iter__(self) -> Iterator[Quantity]:
        return iter(self.quantities.values())

    # Recording.

    def parameter(self, word: str, letter: str = "", row: str = "", axes: str = "c", index: str = "j") -> Symbol:
        """Return a new symbol for a quantity shared by all samples, with a prime if the layer already has one."""
        primes = ""
        while f"{word}{self.layer}{primes}" in self.quantities:
            primes += "'"
        number = f"{self.layer}{primes}"
        letter = letter or word
        above = number + "'" * (letter == "a" and not self.layer)  # X is a^0 in column form
        return Symbol(word + number, axes, Look(letter, row or letter, above, number, index))

    def unit(self, word: str, letter: str = "", row: str = "", axes: str = "rc", index: str = "j") -> Symbol:
        """Return a new symbol for an output of the current layer, which depends on the sample."""
        symbol = self.parameter(word, letter, row or (letter or word).upper(), axes, index)
        look = replace(symbol.look, above=f"x,{symbol.look.above}") if self.n_rows > 1 else symbol.look
        return replace(symbol, look=look)

    def give(self, symbol: Symbol, values: Array) -> Symbol:
        """Record a given quantity."""
        return self._add(Quantity(symbol, "given", values))

    def compute(
        self,
        symbol: Symbol,
        term: Term,
        values: Array | float | None = None,
        kind: str = "forward",
        derivative_of: str = "",
        rounding: float = 0.0,
    ) -> Symbol:
        """Record a computed quantity; `values` are those of the network, or None if it does not expose them."""
        if values is None:
            values = evaluator(term)({quantity.name: quantity.values for quantity in self})
        return self._add(Quantity(symbol, kind, np.asarray(values), term, derivative_of, rounding))

    def _add(self, quantity: Quantity) -> Symbol:
        assert quantity.name not in self.quantities, quantity.name
        self.quantities[quantity.name] = quantity
        return quantity.symbol

    # The chain rule.

    def derive(self) -> None:
        """Record the derivative of the loss C with respect to all that depends on a parameter, last quantity first."""
        forward = list(self)
        derivatives: dict[str, Term] = {"C": ONE}
        trainable = self._trainable(forward) - set(derivatives)
        for quantity in _backwards(forward):
            if quantity.name not in trainable:
                continue
            term = self._sum_over_paths(quantity.symbol, forward, derivatives)
            if is_number(term, 0):
                continue
            derivatives[quantity.name] = term if quantity.kind == "loss" else self._record(quantity, term)

    def _trainable(self, forward: list[Quantity]) -> set[str]:
        """Return the names of the parameters and of all that depends on them."""
        names = {symbol.name for symbol in self.parameters.values()}
        for quantity in forward:
            if names & set(quantity.sources):
                names.add(quantity.name)
        return names

    def _sum_over_paths(self, symbol: Symbol, forward: list[Quantity], derivatives: dict[str, Term]) -> Term:
        """Return the derivative with respect to a symbol: the sum over the quantities that it is a source of."""
        paths = [each for each in forward if symbol.name in each.sources and each.name in derivatives]
        total: Term = ZERO
        for each in paths:
            assert each.term is not None
            d = derivatives[each.name]
            along = d * self._slope(each) if each.name in self.slopes else gradient(each.term, symbol, d)
            branch = self.branches.get(each.name) if len(paths) > 1 else None
            total = total + (part(along, branch) if branch else along)
        return substitute(total, self.known)

    def _slope(self, activation: Quantity) -> Symbol:
        symbol, term, values = self.slopes[activation.name]
        return self.compute(symbol, term, values, "slope")

    def _record(self, quantity: Quantity, term: Term) -> Symbol:
        kind = "gradient" if quantity.term is None else "derivative"
        if term.op == "sum":
            term = instead(term, "1/n is applied twice", term / self.n_rows)
        values = self.engine[quantity.name]() if quantity.name in self.engine else None
        return self.compute(derivative_of(quantity.symbol), term, values, kind, quantity.name)


def derivative_of(symbol: Symbol) -> Symbol:
    """Return the symbol of the derivative of the loss; for z it is delta."""
    name = f"delta{symbol.name[1:]}" if symbol.look.letter == "z" else f"d{symbol.name}"
    return replace(symbol, name=name, look=replace(symbol.look, role="derivative"))


def step_of(symbol: Symbol) -> Symbol:
    """Return the symbol of the optimizer's step in a parameter, or of the update of a running statistic."""
    return replace(symbol, name=f"step {symbol.name}", look=replace(symbol.look, role="step"))


def rounding_of(before: Array, after: Array) -> float:
    """Return the rounding error of after - before."""
    eps = float(np.finfo(np.float64).eps)
    return 2 * eps * float(max(np.abs(before).max(initial=0), np.abs(after).max(initial=0)))


def _backwards(forward: list[Quantity]) -> Iterator[Quantity]:
    """Yield the quantities from the last to the first, but the parameters of a layer in their own order."""
    groups = [list(group) for _, group in groupby(forward, key=lambda quantity: quantity.term is None)]
    for group in reversed(groups):
        yield from group if group[0].term is None else reversed(group)
