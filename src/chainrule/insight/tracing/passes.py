r"""The pass of one layer: what the layer computes, recorded as quantities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

import numpy as np

from chainrule.arrays import Array
from chainrule.insight.tracing.quantities import Formula, Function, Symbol, Tape
from chainrule.nn.layers import Layer, Params

Back = Callable[[Symbol, bool], Symbol]
"""Maps the derivative with respect to the output to that with respect to the input, if the latter is needed."""


class Pass:
    """The forward and backward pass of one layer, recorded on a tape.

    `place` is the prefix of its parameters' full names, such as "0." or, inside a Residual, "2.0.". `grads` are the
    gradients of the total loss with respect to its parameters, and `penalties` the network's `l1` and `l2`.
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
        """Return the output of the layer, and keep its backward function for `derivative`."""
        Y, self.layer_backward = self.layer.forward(self.tape[x].copy(), self.params, self.rng)
        return Y

    def run_back(self, dy: Symbol) -> Array:
        """Return the derivative with respect to the input."""
        grads = {name: np.zeros(shape) for name, shape in self.layer.shapes.items()}
        return self.layer_backward(self.tape[dy].copy(), grads)

    def give(self, name: str, letter: str = "", row: str = "", index: str = "j") -> Symbol:
        """Record a parameter or running statistic, with its value before the pass."""
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
        """Record the derivative of the loss with respect to the input."""
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
        """Record the gradient of the loss with respect to a parameter, including penalties for a weight matrix."""
        wrong = {} if wrong is None else wrong
        if name == "W" and any(self.penalties):
            sources, formula, function, wrong = self._with_penalties(parameter, sources, formula, function, wrong)
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

    def _with_penalties(
        self,
        W: Symbol,
        sources: tuple[Symbol, ...],
        formula: Formula,
        function: Function,
        wrong: Mapping[str, Function],
    ) -> tuple[tuple[Symbol, ...], Formula, Function, Mapping[str, Function]]:
        """Add the gradients of the penalties, l2 W + l1 sign(W), to a gradient."""
        l1, l2 = self.penalties

        def add_penalties(function: Function) -> Function:
            return lambda *values: function(*values[:-1]) + l2 * values[-1] + l1 * np.sign(values[-1])

        terms = [rf" + {l2:g} *"] * (l2 > 0) + [rf" + {l1:g} \operatorname{{sign}}(*)"] * (l1 > 0)
        row, column = ("".join(terms).replace("*", title) for title in (W.row, W.column()))
        wrong = {mistake: add_penalties(spoiled) for mistake, spoiled in wrong.items()}
        wrong["the penalty is missing"] = lambda *values: function(*values[:-1])
        both = Formula(formula.row + row, formula.column + column)
        return (*sources, W), both, add_penalties(function), wrong


# Parts of formulas.


def both(*symbols: Symbol) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the titles of the symbols in row and in column form."""
    return tuple(symbol.row for symbol in symbols), tuple(symbol.column() for symbol in symbols)


def sum_over_rows(tape: Tape, dy: Symbol) -> Formula:
    """Return the formula of a derivative summed over rows."""
    return Formula(rf"\sum_{{\text{{rows}}}} {dy.row}", tape.over_rows(dy.column()))


def product_over_rows(tape: Tape, dy: Symbol, x: Symbol) -> Formula:
    """Return the formula of a derivative times the input, summed over rows."""
    return Formula(rf"\sum_{{\text{{rows}}}} {dy.row} \odot {x.row}", tape.over_rows(f"{dy.column()} {x.column()}"))


def sum_of_rows(dY: Array) -> Array:
    """Return the sum over rows."""
    return dY.sum(axis=0)


def sum_of_products(dY: Array, X: Array) -> Array:
    """Return the elementwise product summed over rows."""
    return (dY * X).sum(axis=0)
