r"""The path of a parameter through the chain rule: the quantities it affects, and the factors of its gradient.

For each quantity, a letter encodes the entries that belong to one entry of the parameter: "j" for the column of the
unit that a weight leads to, "k" for the column of the unit it comes from, "r" for the row of the unit it leads to, "e"
for the same entry, "a" for all entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chainrule.insight.trace.model import Quantity
from chainrule.typeset import MATHML, partial, title

if TYPE_CHECKING:
    from chainrule.insight.trace.model import Trace

_ADDED = ("b", r"\beta")
"""Letters of additive parameters, on which no derivative depends except their own."""


@dataclass(frozen=True)
class Factor:
    """A factor of a gradient: its fraction in MathML, the quantity and place of its value, and that of its color.

    J and K are placeholders for the indices of the units that the parameter leads to and comes from.
    """

    fraction: str
    name: str
    place: str
    color: str


@dataclass(frozen=True)
class Path:
    """The path of a parameter.

    Attributes
    ----------
    parameter, gradient : Quantity
    title : str
        An entry of the gradient in MathML.
    lit : dict
        For each quantity on the path, the letter of its highlighted entries.
    factors : tuple of Factor
        The factors whose product, summed over rows, is the gradient.
    branches : tuple of two str, or None
        Names of delta and W of the next layer, if the first factor is a sum over its units.
    """

    parameter: Quantity
    gradient: Quantity
    title: str
    lit: dict[str, str]
    factors: tuple[Factor, ...]
    branches: tuple[str, str] | None


def paths(trace: Trace) -> Iterator[Path]:
    """Yield the path of every parameter."""
    for gradient in trace:
        if gradient.kind == "gradient":
            yield _path_of(trace, gradient)


def _path_of(trace: Trace, gradient: Quantity) -> Path:
    parameter = trace[gradient.derivative_of]
    first = next(quantity for quantity in trace if parameter.name in quantity.sources)
    lit = _highlighted(trace, parameter, first)
    factors, branches = _factors_of(trace, parameter, first, gradient)
    index = {"jk": "JK", "j": "J"}.get(parameter.symbol.look.index, "")
    return Path(parameter, gradient, _entry(gradient, index), lit, factors, branches)


def _highlighted(trace: Trace, parameter: Quantity, first: Quantity) -> dict[str, str]:
    """Return the letter of the entries that depend on one entry of the parameter, for each affected quantity."""
    reached = {first.name: "j" if parameter.symbol.look.index else "a"}
    lit = {parameter.name: "e"}
    if parameter.symbol.look.index == "jk":
        lit[first.sources[0]] = "k"
    for quantity in trace:
        before = [reached[source] for source in quantity.sources if source in reached]
        if quantity.kind in ("forward", "loss") and before and quantity.name not in reached:
            reached[quantity.name] = "a" if quantity.mixing or "a" in before else "j"
            for source in map(trace.__getitem__, quantity.sources):
                if source.kind == "given" and source.symbol.look.letter not in _ADDED:
                    lit.setdefault(source.name, "a" if "a" in before else _place_beside(source))
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


def _place_beside(source: Quantity) -> str:
    """Return the letter for the other factor of a unit: a row of W of the next layer, or the column of the unit."""
    return "r" if source.symbol.look.index == "jk" else "j"


def _factors_of(
    trace: Trace, parameter: Quantity, first: Quantity, gradient: Quantity
) -> tuple[tuple[Factor, ...], tuple[str, str] | None]:
    """Return the factors of a gradient, none if it is not a product, and the branches of the first factor."""
    into = next((quantity for quantity in trace if quantity.derivative_of == first.name), None)
    if into is None or parameter.symbol.look.index not in ("j", "jk"):
        return (), None
    index = {"jk": "JK", "j": "J"}[parameter.symbol.look.index]
    loss, z, of_parameter = MATHML.name("C"), _entry(first), _entry(parameter, index)
    other = [source for source in gradient.sources if source not in (into.name, parameter.name)]
    place = "k" if parameter.symbol.look.index == "jk" else "j"
    last = (Factor(partial(z, of_parameter, MATHML), other[0] if other else "", place, parameter.name),)
    slope = next((trace[source] for source in into.sources if trace[source].kind == "slope"), None)
    if slope is None:
        return (Factor(partial(loss, z, MATHML), into.name, "j", into.name), *last), _branches_of(trace, into)
    outer = trace[into.sources[0]]
    activation = trace[outer.derivative_of]
    a = _entry(activation)
    return (
        Factor(partial(loss, a, MATHML), outer.name, "j", outer.name),
        Factor(partial(a, z, MATHML), slope.name, "j", activation.name),
        *last,
    ), _branches_of(trace, outer)


def _branches_of(trace: Trace, derivative: Quantity) -> tuple[str, str] | None:
    """Return the names of delta and W of the next layer if the derivative is delta W^T, else None."""
    if len(derivative.sources) == 2 and trace[derivative.sources[1]].symbol.look.index == "jk":
        return derivative.sources[0], derivative.sources[1]
    return None


def _entry(quantity: Quantity, index: str = "J") -> str:
    """Return the title of an entry in MathML."""
    return title(quantity.symbol, MATHML, "column", index)
