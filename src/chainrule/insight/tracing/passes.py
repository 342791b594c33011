r"""One layer's pass through the network: what the layer itself computes, and where its lines are written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

import numpy as np

from chainrule.arrays import Array
from chainrule.insight.tracing.quantities import Formula, Function, Symbol, Tape
from chainrule.nn.layers import Layer, Params

Back = Callable[[Symbol, bool], Symbol]
"""From the derivative in what goes out to that in what came in, if that is needed."""


class Pass:
    """One layer's pass through a network: what the layer computes, and where it is written down.

    `place` is what the names of its parameters begin with in the network, such as "0." or, inside a Residual, "2.0.".
    `grads` are the whole loss's gradients in the layer's parameters, penalties included; `l1` and `l2` weigh those.
    """

    def __init__(
        self,
        tape: Tape,
        place: str,
        layer: Layer,
        params: Params,
        grads: Params,
        penalties: tuple[float, float],
        rng: np.random.Generator | None,
    ) -> None:
        self.tape, self.place, self.layer = tape, place, layer
        self.params, self.grads, self.penalties = params, grads, penalties
        self.rng, self.rng_before = rng, deepcopy(rng)
        self.before = {name: array.copy() for name, array in params.items()}

    def run(self, x: Symbol) -> Array:
        """Return what the layer gives, and keep its way back for `derivative`."""
        Y, self.layer_backward = self.layer.forward(self.tape[x].copy(), self.params, self.rng)
        return Y

    def run_back(self, dy: Symbol) -> Array:
        """Return what the layer gives on the way back."""
        grads = {name: np.zeros(shape) for name, shape in self.layer.shapes.items()}
        return self.layer_backward(self.tape[dy].copy(), grads)

    def give(self, name: str, letter: str = "", row: str = "", index: str = "j") -> Symbol:
        """Write down a parameter or running statistic as it was before the pass."""
        symbol = self.tape.give(self.tape.parameter(name, letter, row, index), self.before[name])
        if name in self.layer.shapes:
            self.tape.parameters[self.place + name] = symbol
        return symbol

    def derivative(
        self,
        x: Symbol,
        dy: Symbol,
        sources: tuple[Symbol, ...],
        formula: Formula,
        function: Function,
        wrong: Mapping[str, Function] | None = None,
    ) -> Symbol:
        """Write down the loss's derivative in what came in."""
        return self.tape.compute(
            x.derivative(),
            "derivative",
            sources,
            formula,
            function,
            self.run_back(dy),
            wrong=wrong,
            derivative_of=x.name,
        )

    def gradient(
        self,
        name: str,
        parameter: Symbol,
        sources: tuple[Symbol, ...],
        formula: Formula,
        function: Function,
        wrong: Mapping[str, Function] | None = None,
    ) -> None:
        """Write down the loss's gradient in a parameter; a weight matrix's has its penalties' too."""
        wrong = {} if wrong is None else wrong
        if name == "W" and any(self.penalties):
            sources, formula, function, wrong = self.penalised(parameter, sources, formula, function, wrong)
        self.tape.compute(
            parameter.derivative(),
            "gradient",
            sources,
            formula,
            function,
            self.grads[name],
            wrong=wrong,
            derivative_of=parameter.name,
        )

    def penalised(
        self,
        W: Symbol,
        sources: tuple[Symbol, ...],
        formula: Formula,
        function: Function,
        wrong: Mapping[str, Function],
    ) -> tuple[tuple[Symbol, ...], Formula, Function, Mapping[str, Function]]:
        """Add the penalties' gradients, l2 W + l1 sign(W), to what a gradient is otherwise."""
        l1, l2 = self.penalties

        def with_penalties(function: Function) -> Function:
            return lambda *values: function(*values[:-1]) + l2 * values[-1] + l1 * np.sign(values[-1])

        told = [rf" + {l2:g} *"] * (l2 > 0) + [rf" + {l1:g} \operatorname{{sign}}(*)"] * (l1 > 0)
        row, column = ("".join(told).replace("*", title) for title in (W.row, W.column()))
        wrong = {mistake: with_penalties(spoiled) for mistake, spoiled in wrong.items()}
        wrong["the penalty is forgotten"] = lambda *values: function(*values[:-1])
        both = Formula(formula.row + row, formula.column + column)
        return (*sources, W), both, with_penalties(function), wrong


# What several formulas have in common.


def both(*symbols: Symbol) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the symbols' titles in the row and in the column form."""
    return tuple(symbol.row for symbol in symbols), tuple(symbol.column() for symbol in symbols)


def sum_over_rows(tape: Tape, dy: Symbol) -> Formula:
    """Return the formula of a derivative summed over rows."""
    return Formula(rf"\sum_{{\text{{rows}}}} {dy.row}", tape.over_rows(dy.column()))


def product_over_rows(tape: Tape, dy: Symbol, x: Symbol) -> Formula:
    """Return the formula of a derivative times what it belongs to, summed over rows."""
    return Formula(rf"\sum_{{\text{{rows}}}} {dy.row} \odot {x.row}", tape.over_rows(f"{dy.column()} {x.column()}"))


def sum_of_rows(dY: Array) -> Array:
    """Return the sum over rows."""
    return dY.sum(axis=0)


def sum_of_products(dY: Array, X: Array) -> Array:
    """Return the product, entry by entry, summed over rows."""
    return (dY * X).sum(axis=0)
