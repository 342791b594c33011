r"""The layers as terms: the forward pass of each kind. The backward pass follows by the chain rule.

A function in the table FORMULAS takes the pass of a layer and the symbol of its input, records the quantities of the
forward pass, and returns the symbol of the output. The values come from `chainrule.nn.layers`, the terms do not depend
on that code: a trace verifies one against the other.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.costs import softmax
from chainrule.curves import CURVES, sigmoid
from chainrule.insight.trace.tape import Tape, derivative_of, rounding_of, step_of
from chainrule.model import embeddings, neighbors
from chainrule.model.embedding_curves import EMBEDDING_CURVES
from chainrule.nn import layers
from chainrule.nn.layers import Layer, Params, describe
from chainrule.nn.layers import part as part_of
from chainrule.terms import ZERO, Function, Number, Symbol, Term, gradient, instead, part, sqrt, total


class Pass:
    """The pass of one layer: its parameters on the tape, and the network's own results.

    `place` is the prefix of its parameters' full names, such as "0." or, inside a Residual, "2.0.". `grads` are the
    gradients of the total loss with respect to its parameters.
    """

    def __init__(
        self, tape: Tape, place: str, layer: Layer, params: Params, grads: Params, rng: np.random.Generator | None
    ) -> None:
        self.tape, self.place = tape, place
        self.layer: Any = layer
        self.params, self.grads = params, grads
        self.rng, self.rng_before = rng, deepcopy(rng)
        self.before = {name: array.copy() for name, array in params.items()}

    @property
    def uses_batch(self) -> bool:
        """Whether a BatchNorm normalizes by the statistics of the batch."""
        return self.rng is not None and self.tape.n_rows > 1

    def give(self, name: str, letter: str = "", row: str = "", axes: str = "c", index: str = "j") -> Symbol:
        """Record a parameter or running statistic, with its value before the pass."""
        symbol = self.tape.give(self.tape.parameter(name, letter, row, axes, index), self.before[name])
        if name in self.layer.shapes:
            self.tape.parameters[self.place + name] = symbol
            self.tape.engine[symbol.name] = lambda: self.grads[name]
        return symbol

    def run(self, x: Symbol) -> Array:
        """Return the output of the layer, and keep its backward closure."""
        Y, self.layer_backward = self.layer.forward(self.tape[x].copy(), self.params, self.rng)
        return Y

    def output(self, x: Symbol, y: Symbol, term: Term, Y: Array | None = None) -> Symbol:
        """Record the output; the layer's own backward pass leads from its derivative to that of the input x."""

        def backward() -> Array:
            grads = {name: np.zeros(shape) for name, shape in self.layer.shapes.items()}
            return self.layer_backward(self.tape[derivative_of(y)].copy(), grads)

        self.tape.engine[x.name] = backward
        return self.tape.compute(y, term, self.run(x) if Y is None else Y)


def _dense(p: Pass, x: Symbol) -> Symbol:
    """Z = X W + b."""
    p.tape.layer += 1
    W, b = p.give("W", "w", "W", "rc", "jk"), p.give("b")
    return p.output(x, p.tape.unit("z"), x @ W + part(b, "the bias"))


def _activation(p: Pass, x: Symbol) -> Symbol:
    """A = f(Z); a function without a term, which need not be elementwise, is treated like a custom layer."""
    name = p.layer.function
    if name not in CURVES:
        return _custom(p, x)
    f = CURVES[name]
    a = p.output(x, p.tape.unit("a"), instead(f(x), f"{name} is not applied", x))
    slope = gradient(f(x), x)
    if isinstance(slope, Number):  # a constant slope is a function of x too
        slope = Function("constant", "", lambda x, constant=slope: constant)(x)
    slope = instead(part(slope, f"{name}'"), f"{name} is used in place of {name}'", f(x))
    ones = np.ones(p.tape[x].shape)
    symbol = replace(x, name=f"slope {x.name}", look=replace(x.look, role=f"slope {f.title}"))
    p.tape.slopes[a.name] = symbol, slope, p.layer_backward(ones, {})
    return a


def _scale(p: Pass, x: Symbol) -> Symbol:
    """S = X * scale."""
    return p.output(x, p.tape.unit("s"), x * part(p.give("scale", "c"), "the factor"))


def _bounded(p: Pass, x: Symbol) -> Symbol:
    """Y = low + (high - low) sigmoid(X)."""
    width = part(p.layer.high - p.layer.low, "the factor high - low")
    return p.output(x, p.tape.unit("o"), p.layer.low + width * sigmoid(x))


def _unclip(p: Pass, x: Symbol) -> Symbol:
    """Y = X / sqrt(1 - (X / 3)^2), X clipped."""
    return p.output(x, p.tape.unit("o"), EMBEDDING_CURVES["unclip"](x))


def _softmax(p: Pass, x: Symbol) -> Symbol:
    """Y = softmax(X)."""
    return p.output(x, p.tape.unit("o"), softmax(x))


def _log(p: Pass, x: Symbol) -> Symbol:
    """Y = log X, X at least 1e-30."""
    return p.output(x, p.tape.unit("o"), EMBEDDING_CURVES["log"](x))


def _piecewise_linear(p: Pass, x: Symbol) -> Symbol:
    """Y = [X, E], E = ramp((C - low) / (high - low)), C the column of X that each piece encodes."""
    columns, lows, slopes = p.layer.pieces
    low = p.tape.give(p.tape.parameter("low", r"\operatorname{low}"), lows)
    high = p.tape.give(p.tape.parameter("high", r"\operatorname{high}"), lows + 1 / slopes)
    c = p.tape.compute(p.tape.unit("c"), _columns(columns)(x))
    e = p.tape.compute(p.tape.unit("e"), EMBEDDING_CURVES["ramp"]((c - low) / (high - low)))
    return p.output(x, p.tape.unit("o"), _append(x, e))


def _select(p: Pass, x: Symbol) -> Symbol:
    return p.output(x, p.tape.unit("o"), _columns(np.array(p.layer.columns))(x))


def _columns(columns: Array) -> Function:
    """Return the function X -> X[:, columns]."""

    def spread(d: Array, X: Array) -> Array:
        dX = np.zeros_like(X)
        np.add.at(dX.T, columns, d.T)
        return dX

    back = _operator("spread", spread)
    return _operator("columns", lambda X: X[:, columns], lambda y, d, x: (back(d, x),))


def _operator(name: str, value: Callable[..., Array], rule: Callable[..., tuple[Term, ...]] | None = None) -> Function:
    return Function(name, rf"\operatorname{{{name}}}", value=value, rule=rule)


_first = _operator("first", lambda d, X, E: d[:, : X.shape[1]])
_last = _operator("last", lambda d, X, E: d[:, X.shape[1] :])
_append = _operator(
    "append",
    lambda X, E: np.concatenate([X, E], axis=1),
    lambda y, d, x, e: (_first(d, x, e), _last(d, x, e)),
)
"""[X, E]; its first columns are those of X, its last ones those of E."""


def _dropout(p: Pass, x: Symbol) -> Symbol:
    """D = X * M / (1 - rate), M a mask of zeros and ones; at inference the identity, which is not recorded."""
    Y = p.run(x)
    if p.rng is None or p.layer.rate == 0:
        return x
    ones, _ = p.layer.forward(np.ones(p.tape[x].shape), {}, p.rng_before)
    mask = p.tape.give(p.tape.unit("mask", "m", "M"), ones != 0)
    kept = part(1 - p.layer.rate, "the division by 1 - rate")
    return p.output(x, p.tape.unit("d"), x * part(mask / kept, "the mask"), Y)


# Norms.


def _mean(a: Term, axes: str, count: int, letter: str) -> Term:
    """Return the mean over rows or over columns, whose number is shown as a letter."""
    return 1 / Number(count, letter) * total(a, axes)


def _standardized(x: Symbol, center: Term, std: Term, average: Callable[[Term], Term]) -> Term:
    """Return (x - center) / std with the rule for a center and a std that depend on all the values of x averaged."""

    def rule(y: Term, d: Term, *args: Term) -> tuple[Term, ...]:
        remark = "the mean and standard deviation are treated as constants"
        return instead((d - average(d) - y * average(d * y)) / std, remark, d / std), ZERO, ZERO

    function = Function("standardized", "", lambda x, center, std: (x - center) / std, rule=rule)
    return function(x, center, std)


def _scaled(p: Pass, x: Symbol, h: Term, std: Term, Y: Array) -> Symbol:
    """Record H and then Y = H gamma + beta, whose symbols have been given already."""
    gamma, beta = (p.tape.parameters[p.place + name] for name in ("gamma", "beta"))
    H = p.tape.compute(p.tape.unit("h"), instead(h, "the mean is not subtracted", x / std))
    p.tape.known[h] = H
    return p.output(x, p.tape.unit("n"), H * part(gamma, "gamma") + part(beta, "beta"), Y)


def _layer_norm(p: Pass, x: Symbol) -> Symbol:
    """Y = H gamma + beta, H the rows of X standardized to mean 0 and standard deviation 1."""
    p.give("gamma", r"\gamma"), p.give("beta", r"\beta")

    def average(a: Term) -> Term:
        return _mean(a, "c", p.layer.n, "d")

    Y = p.run(x)
    center = p.tape.compute(p.tape.unit("mean", r"\mu", r"\mu", "r", ""), average(x))
    variance = average((x - center) ** 2) + Number(p.layer.epsilon, r"\epsilon")
    std = p.tape.compute(p.tape.unit("tau", r"\tau", r"\tau", "r", ""), sqrt(variance))
    return _scaled(p, x, _standardized(x, center, std, average), std, Y)


def _batch_norm(p: Pass, x: Symbol) -> Symbol:
    """Y = H gamma + beta, H the columns of X minus a mean and divided by a standard deviation.

    In training these are the statistics of the batch, through which every row depends on every other; at inference, and
    for a single row, they are the running statistics, which are constant.
    """
    tape, epsilon = p.tape, Number(p.layer.epsilon, r"\epsilon")
    p.give("gamma", r"\gamma"), p.give("beta", r"\beta")
    center, variance = p.give("mean", r"\mu"), p.give("variance", "v")
    Y = p.run(x)

    def average(a: Term) -> Term:
        return _mean(a, "r", tape.n_rows, "n")

    if p.uses_batch:
        center, variance = _batch_statistics(p, x, center, variance, average)
    std = tape.compute(tape.parameter("tau", r"\tau"), sqrt(variance + epsilon))
    if p.uses_batch:
        h = _standardized(x, center, std, average)
    else:
        h = (x - center) / part(std, "the division by the standard deviation")
    return _scaled(p, x, h, std, Y)


def _batch_statistics(
    p: Pass, x: Symbol, old_mean: Symbol, old_variance: Symbol, average: Callable[[Term], Term]
) -> tuple[Symbol, Symbol]:
    """Record the mean and the variance of a batch, and the updates of the running statistics."""
    tape, n, move = p.tape, Number(p.tape.n_rows, "n"), 1 - p.layer.decay
    center = tape.compute(tape.parameter("batch mean", "m"), average(x))
    variance = tape.compute(tape.parameter("batch variance", "s"), average((x - center) ** 2))
    updates = (("mean", old_mean, center), ("variance", old_variance, n / (n - 1) * variance))
    for name, old, new in updates:
        before, after = p.before[name], p.params[name]
        tape.compute(step_of(old), move * (new - old), after - before, rounding=rounding_of(before, after))
    return center, variance


# Layers of layers.


def _residual(p: Pass, x: Symbol) -> Symbol:
    """R = X + block(U), U = X: the input takes two paths, whose derivatives add up in the backward pass."""
    y = u = p.tape.compute(p.tape.unit("u"), x)
    for i, layer in enumerate(p.layer.layers):
        y = record(Pass(p.tape, f"{p.place}{i}.", layer, part_of(p.params, i), part_of(p.grads, i), p.rng), y)
    r = p.tape.compute(p.tape.unit("r"), part(x, "the skip connection") + y)
    p.tape.branches |= {r.name: "the skip connection", u.name: "the gradient through the block"}
    return r


def _custom(p: Pass, x: Symbol) -> Symbol:
    """O = forward(X) of a layer that is not in the table or has no short terms, with `backward` as a single formula."""
    name = describe(p.layer.function) if isinstance(p.layer, layers.Activation) else type(p.layer).__name__
    name = "".join(letter for letter in name if letter.isalnum()) or "custom"
    parameters = {
        key: p.give(key, rf"\operatorname{{{key.replace('_', ' ')}}}", axes="rc", index="") for key in p.layer.shapes
    }
    statistics = {key: array for key, array in p.before.items() if key not in parameters}

    def forward(X: Array, *values: Array) -> tuple[Array, Callable[..., Array]]:
        params = dict(zip(parameters, (value.copy() for value in values)))
        params |= {key: array.copy() for key, array in statistics.items()}
        return p.layer.forward(X.copy(), params, deepcopy(p.rng_before))

    def backward(key: str) -> Function:
        """Return the function for the derivative with respect to a parameter, or to X for ""."""

        def value(dY: Array, X: Array, *values: Array) -> Array:
            grads = {key: np.zeros_like(value) for key, value in zip(parameters, values)}
            dX = forward(X, *values)[1](dY.copy(), grads)
            return grads[key] if key else dX

        shown = Function("", rf"\text{{backward of {name}}}")
        return Function("backward", "", lambda dY, *rest: shown(dY), value=value)

    def rule(y: Term, d: Term, *args: Term) -> tuple[Term, ...]:
        return tuple(backward(key)(d, *args) for key in ("", *parameters))

    function = Function(name, rf"\operatorname{{{name}}}", value=lambda *values: forward(*values)[0], rule=rule)
    return p.output(x, p.tape.unit("o"), function(x, *parameters.values()))


FORMULAS: dict[type[Layer], Callable[[Pass, Symbol], Symbol]] = {
    layers.Dense: _dense,
    layers.Activation: _activation,
    layers.Scale: _scale,
    layers.Bounded: _bounded,
    layers.Dropout: _dropout,
    layers.LayerNorm: _layer_norm,
    layers.BatchNorm: _batch_norm,
    layers.Residual: _residual,
    embeddings.PiecewiseLinear: _piecewise_linear,
    embeddings.Periodic: _custom,
    embeddings.Lookup: _custom,
    embeddings.Select: _select,
    embeddings.Unclip: _unclip,
    neighbors.Softmax: _softmax,
    neighbors.Log: _log,
}


def record(p: Pass, x: Symbol) -> Symbol:
    """Record the forward pass of a layer; return the symbol of its output."""
    return FORMULAS.get(type(p.layer), _custom)(p, x)
