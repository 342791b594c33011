r"""A parameter's way through the chain rule: what it touches on the way to the loss, and what its gradient is made of.

Where one entry of a parameter matters is told for each quantity by a letter: "j" in the column of the unit that it
leads to, "k" in that of the unit that it comes from, "r" in the row of the unit that it leads to, "e" in the entry
itself, "a" everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chainrule.insight.tracing.quantities import Quantity

if TYPE_CHECKING:
    from chainrule.insight.trace import Trace

ADDED = ("b", r"\beta")
"""Parameters that are added: no derivative but their own depends on them."""


@dataclass(frozen=True)
class Factor:
    """A factor of a gradient: its fraction as a formula, the quantity that holds it and where, and whose colour it has.

    J and K stand for the numbers of the units that the parameter leads to and comes from.
    """

    fraction: str
    name: str
    place: str
    colour: str


@dataclass(frozen=True)
class Path:
    """A parameter's way.

    Attributes
    ----------
    parameter, gradient : Quantity
    title : str
        The gradient's entry as a formula.
    lit : dict
        For each quantity on the way, where it matters.
    factors : tuple of Factor
        Whose product, summed over rows, is the gradient.
    branches : tuple of two str, or None
        Names of the next layer's delta and W, of which the first factor is a sum over branches.
    """

    parameter: Quantity
    gradient: Quantity
    title: str
    lit: dict[str, str]
    factors: tuple[Factor, ...]
    branches: tuple[str, str] | None


def paths(trace: Trace) -> Iterator[Path]:
    """Yield the way of every parameter."""
    for gradient in trace:
        if gradient.kind == "gradient":
            yield path_of(trace, gradient)


def path_of(trace: Trace, gradient: Quantity) -> Path:
    """Return the way of the parameter that a gradient belongs to."""
    parameter = trace[gradient.derivative_of]
    touched = next(quantity for quantity in trace if parameter.name in quantity.sources)
    lit = spread(trace, parameter, touched)
    factors, branches = factors_of(trace, parameter, touched, gradient)
    index = {"jk": "JK", "j": "J"}.get(parameter.symbol.index, "")
    return Path(parameter, gradient, gradient.symbol.column(index), lit, factors, branches)


def spread(trace: Trace, parameter: Quantity, touched: Quantity) -> dict[str, str]:
    """Return where an entry of the parameter matters, in each quantity that it touches."""
    reached = {touched.name: "j" if parameter.symbol.index else "a"}
    lit = {parameter.name: "e"}
    if parameter.symbol.index == "jk":
        lit[touched.sources[0]] = "k"
    for quantity in trace:
        before = [reached[source] for source in quantity.sources if source in reached]
        if quantity.kind in ("forward", "loss") and before and quantity.name not in reached:
            reached[quantity.name] = "a" if quantity.mixing or "a" in before else "j"
            for source in map(trace.__getitem__, quantity.sources):
                if source.kind == "given" and source.symbol.letter not in ADDED:
                    lit.setdefault(source.name, "a" if "a" in before else place_beside(source))
        elif quantity.kind == "loss" and parameter.name in quantity.sources:
            reached[quantity.name] = "a"  # the penalty
    lit |= reached
    for quantity in trace:
        if quantity.derivative_of in reached:
            lit[quantity.name] = reached[quantity.derivative_of]
        elif quantity.kind == "slope" and quantity.sources[0] in reached:
            lit[quantity.name] = reached[quantity.sources[0]]
        elif parameter.name in (quantity.derivative_of, quantity.name.rpartition(" ")[2]):
            lit[quantity.name] = "e"  # its gradient, its moments and its step
    return lit


def place_beside(source: Quantity) -> str:
    """Return where the other factor of a unit matters: the row of the next layer's W, or the unit's own column."""
    return "r" if source.symbol.index == "jk" else "j"


def factors_of(
    trace: Trace, parameter: Quantity, touched: Quantity, gradient: Quantity
) -> tuple[tuple[Factor, ...], tuple[str, str] | None]:
    """Return the factors of a gradient, none where it is no product, and the names of what the first is summed of."""
    z = touched.symbol
    into = next((quantity for quantity in trace if quantity.derivative_of == touched.name), None)
    if into is None or parameter.symbol.index not in ("j", "jk"):
        return (), None
    index = {"jk": "JK", "j": "J"}[parameter.symbol.index]
    last_fraction = fraction(z.column("J"), parameter.symbol.column(index))
    other = [source for source in gradient.sources if source not in (into.name, parameter.name)]
    place = "k" if parameter.symbol.index == "jk" else "j"
    last = (Factor(last_fraction, other[0] if other else "", place, parameter.name),)
    slope = next((trace[source] for source in into.sources if trace[source].kind == "slope"), None)
    if slope is None:
        return (Factor(fraction("C", z.column("J")), into.name, "j", into.name), *last), branches_of(trace, into)
    outer = trace[into.sources[0]]
    a = trace[outer.derivative_of].symbol
    return (
        Factor(fraction("C", a.column("J")), outer.name, "j", outer.name),
        Factor(fraction(a.column("J"), z.column("J")), slope.name, "j", a.name),
        *last,
    ), branches_of(trace, outer)


def branches_of(trace: Trace, derivative: Quantity) -> tuple[str, str] | None:
    """Return the names of the next layer's delta and W where a derivative is their product, W transposed."""
    if len(derivative.sources) == 2 and trace[derivative.sources[1]].symbol.index == "jk":
        return derivative.sources[0], derivative.sources[1]
    return None


def fraction(above: str, below: str) -> str:
    """Return the derivative of one in the other."""
    return rf"\frac{{\partial {above}}}{{\partial {below}}}"
