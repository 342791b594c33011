r"""Layers, formula by formula: each kind's way forward, and its way back directly under it.

A function of the table FORMULAS takes one layer's pass and the symbol of what comes in. It writes down the lines of the
way forward and returns the symbol of what goes out, and the way back: a function that takes the symbol of the loss's
derivative in what goes out, writes down the lines, and returns that of the derivative in what came in.

The values are the layer's own, as its `forward` and `backward` in `chainrule.nn.layers` give them. The formulas are
written here a second time and for themselves, so that a trace can hold one against the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

import numpy as np

from chainrule.arrays import Array
from chainrule.insight.curves import CURVES, sigmoid, sigmoid_slope
from chainrule.insight.quantities import Formula, Function, Symbol, Tape
from chainrule.nn.layers import (
    Activation,
    BatchNorm,
    Bounded,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    Params,
    Residual,
    Scale,
    describe,
    part,
)

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


def dense(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """Z = X W + b."""
    p.tape.layer += 1
    W, b = p.give("W", "w", "W", "jk"), p.give("b")
    z = p.tape.compute(
        p.tape.unit("z"),
        "forward",
        (x, W, b),
        Formula(f"{x.row} {W.row} + {b.row}", rf"\sum_{{k}} {W.column()} {x.column('k')} + {b.column()}"),
        lambda X, W, b: X @ W + b,
        p.run(x),
        wrong={
            "the bias is forgotten": lambda X, W, b: X @ W,
            "W is transposed": lambda X, W, b: X @ W.T + b,
        },
        mixing=True,
    )

    def backward(dz: Symbol, need_dx: bool) -> Symbol:
        p.gradient(
            "W",
            W,
            (x, dz),
            Formula(f"{x.row}^{{T}} {dz.row}", p.tape.over_rows(f"{x.column('k')} {dz.column()}")),
            lambda X, dZ: X.T @ dZ,
            wrong={"the gradient is transposed": lambda X, dZ: dZ.T @ X},
        )
        p.gradient(
            "b",
            b,
            (dz,),
            sum_over_rows(p.tape, dz),
            sum_of_rows,
            wrong={"1/n is taken twice": lambda dZ: dZ.mean(axis=0)},
        )
        if not need_dx:
            return dz
        return p.derivative(
            x,
            dz,
            (dz, W),
            Formula(f"{dz.row} {W.row}^{{T}}", rf"\sum_{{i}} {W.column('ij')} {dz.column('i')}"),
            lambda dZ, W: dZ @ W.T,
            wrong={"W is not transposed": lambda dZ, W: dZ @ W},
        )

    return z, backward


def activation(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """A = f(Z); a user's own function, which may not be elementwise, goes as a layer of one's own does."""
    assert isinstance(p.layer, Activation)
    if not isinstance(p.layer.function, str):
        return own(p, x)
    curve = CURVES[p.layer.function]

    def applied(formula: str, to: str) -> str:
        return formula.replace("*", to)

    def defined(to: str) -> str:
        definition = applied(curve.definition, to)
        return f"{curve.sign}({to})" + f" = {definition}" * bool(definition)

    a = p.tape.compute(
        p.tape.unit("a"),
        "forward",
        (x,),
        Formula(defined(x.row), defined(x.column())),
        curve.value,
        p.run(x),
        wrong={f"{p.layer.function} is forgotten": lambda Z: Z},
    )

    def backward(da: Symbol, need_dx: bool) -> Symbol:
        slope = p.tape.compute(
            x.slope(curve.sign),
            "slope",
            (x,),
            Formula(applied(curve.slope_definition, x.row), applied(curve.slope_definition, x.column())),
            curve.slope,
            p.layer_backward(np.ones(p.tape[x].shape), {}),
            wrong={
                f"{p.layer.function}' is missing": np.ones_like,
                f"{p.layer.function} itself stands for its slope": curve.value,
            },
        )
        return p.derivative(
            x,
            da,
            (da, slope),
            Formula(rf"{da.row} \odot {slope.row}", rf"{da.column()} {slope.column()}"),
            np.multiply,
        )

    return a, backward


def scale(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """S = X * scale."""
    factor = p.give("scale", "c")
    s = p.tape.compute(
        p.tape.unit("s"),
        "forward",
        (x, factor),
        Formula(rf"{x.row} \odot {factor.row}", f"{x.column()} {factor.column()}"),
        np.multiply,
        p.run(x),
    )

    def backward(ds: Symbol, need_dx: bool) -> Symbol:
        p.gradient("scale", factor, (ds, x), product_over_rows(p.tape, ds, x), sum_of_products)
        if not need_dx:
            return ds
        return p.derivative(
            x,
            ds,
            (ds, factor),
            Formula(rf"{ds.row} \odot {factor.row}", f"{ds.column()} {factor.column()}"),
            np.multiply,
            wrong={"the factor is forgotten": lambda dS, scale: dS},
        )

    return s, backward


def bounded(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """Y = low + (high - low) sigmoid(X)."""
    assert isinstance(p.layer, Bounded)
    low, width = p.layer.low, p.layer.high - p.layer.low
    lift, stretch = f"{low:g} + " * (low != 0), f"{width:g} " * (width != 1)
    o = p.tape.compute(
        p.tape.unit("o"),
        "forward",
        (x,),
        Formula(*(rf"{lift}{stretch}\sigma({title})" for title in (x.row, x.column()))),
        lambda X: low + width * sigmoid(X),
        p.run(x),
    )

    def backward(do: Symbol, need_dx: bool) -> Symbol:
        return p.derivative(
            x,
            do,
            (do, x),
            Formula(rf"{stretch}{do.row} \odot \sigma'({x.row})", rf"{stretch}{do.column()} \sigma'({x.column()})"),
            lambda dO, X: dO * width * sigmoid_slope(X),
            wrong={
                "sigmoid' is missing": lambda dO, X: dO * width,
                "the width of the range is missing": lambda dO, X: dO * sigmoid_slope(X),
            },
        )

    return o, backward


def dropout(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """D = X * M, M a mask of zeros and 1 / (1 - rate); at inference the layer lets everything pass, and has no line."""
    assert isinstance(p.layer, Dropout)
    Y = p.run(x)
    if p.rng is None or p.layer.rate == 0:
        return x, lambda dy, need_dx: dy
    ones, _ = p.layer.forward(np.ones(p.tape[x].shape), {}, p.rng_before)
    mask = p.tape.give(p.tape.unit("mask", "m", "M"), ones)
    d = p.tape.compute(
        p.tape.unit("d"),
        "forward",
        (x, mask),
        Formula(rf"{x.row} \odot {mask.row}", f"{x.column()} {mask.column()}"),
        np.multiply,
        Y,
        wrong={"the mask does not divide by 1 - rate": lambda X, M: X * (M > 0)},
    )

    def backward(dd: Symbol, need_dx: bool) -> Symbol:
        return p.derivative(
            x,
            dd,
            (dd, mask),
            Formula(rf"{dd.row} \odot {mask.row}", f"{dd.column()} {mask.column()}"),
            np.multiply,
            wrong={"the mask is forgotten on the way back": lambda dD, M: dD},
        )

    return d, backward


def layer_norm(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """Y = H gamma + beta, H each row of X with its mean taken off and divided by its deviation."""
    assert isinstance(p.layer, LayerNorm)
    epsilon = p.layer.epsilon
    gamma, beta = p.give("gamma", r"\gamma"), p.give("beta", r"\beta")
    Y = p.run(x)
    mean = p.tape.compute(
        p.tape.unit("mean", r"\mu", r"\mu", index=""),
        "forward",
        (x,),
        Formula(mean_over(r"\text{columns}", "d", x.row), mean_over("j", "d", x.column())),
        lambda X: X.mean(axis=1, keepdims=True),
        mixing=True,
    )
    tau = p.tape.compute(
        p.tape.unit("tau", r"\tau", r"\tau", index=""),
        "forward",
        (x, mean),
        Formula(
            deviation(mean_over(r"\text{columns}", "d", f"({x.row} - {mean.row})^{{2}}")),
            deviation(mean_over("j", "d", f"({x.column()} - {mean.column()})^{{2}}")),
        ),
        lambda X, mean: np.sqrt(((X - mean) ** 2).mean(axis=1, keepdims=True) + epsilon),
        mixing=True,
    )
    h, y = normalised(p, x, mean, tau, gamma, beta, Y)

    def backward(dy: Symbol, need_dx: bool) -> Symbol:
        dh = back_to_normalised(p, dy, h, gamma, beta)
        rows = mean_over(r"\text{columns}", "d", dh.row), mean_over(r"\text{columns}", "d", rf"{dh.row} \odot {h.row}")
        sums = mean_over("k", "d", dh.column("k")), mean_over("k", "d", f"{dh.column('k')} {h.column('k')}")
        return p.derivative(
            x,
            dy,
            (dh, h, tau),
            Formula(
                rf"({dh.row} - {rows[0]} - {h.row} \odot {rows[1]}) / {tau.row}",
                rf"({dh.column()} - {sums[0]} - {h.column()} {sums[1]}) / {tau.column()}",
            ),
            lambda dH, H, tau: (dH - dH.mean(axis=1, keepdims=True) - H * (dH * H).mean(axis=1, keepdims=True)) / tau,
            wrong={"mean and deviation are taken for constants": lambda dH, H, tau: dH / tau},
        )

    return y, backward


def batch_norm(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """Y = H gamma + beta, H each column of X with a mean taken off and divided by a deviation.

    In training they are the batch's own, through which every row depends on every other; at inference, and for a single
    row, they are the running ones, which depend on nothing.
    """
    assert isinstance(p.layer, BatchNorm)
    in_training = p.rng is not None and p.tape.n_rows > 1
    gamma, beta = p.give("gamma", r"\gamma"), p.give("beta", r"\beta")
    old_mean, old_variance = p.give("mean", r"\mu"), p.give("variance", "v")
    Y = p.run(x)
    if in_training:
        mean, tau = batch_statistics(p, p.layer, x, old_mean, old_variance)
    else:
        mean, tau = old_mean, running_deviation(p, p.layer, old_variance)
    h, y = normalised(p, x, mean, tau, gamma, beta, Y)

    def backward(dy: Symbol, need_dx: bool) -> Symbol:
        dh = back_to_normalised(p, dy, h, gamma, beta)
        if not in_training:
            formula = Formula(f"{dh.row} / {tau.row}", f"{dh.column()} / {tau.column()}")
            wrong = {"the deviation is forgotten": lambda dH, tau: dH}
            return p.derivative(x, dy, (dh, tau), formula, np.divide, wrong)
        rows = mean_over(r"\text{rows}", "n", dh.row), mean_over(r"\text{rows}", "n", rf"{dh.row} \odot {h.row}")
        sums = mean_over("x", "n", dh.column()), mean_over("x", "n", f"{dh.column()} {h.column()}")
        return p.derivative(
            x,
            dy,
            (dh, h, tau),
            Formula(
                rf"({dh.row} - {rows[0]} - {h.row} \odot {rows[1]}) / {tau.row}",
                rf"({dh.column()} - {sums[0]} - {h.column()} {sums[1]}) / {tau.column()}",
            ),
            lambda dH, H, tau: (dH - dH.mean(axis=0) - H * (dH * H).mean(axis=0)) / tau,
            wrong={"mean and deviation are taken for constants": lambda dH, H, tau: dH / tau},
        )

    return y, backward


def running_deviation(p: Pass, layer: BatchNorm, variance: Symbol) -> Symbol:
    """Write down the deviation that the running variance gives."""
    return p.tape.compute(
        p.tape.parameter("tau", r"\tau"),
        "forward",
        (variance,),
        Formula(deviation(variance.row), deviation(variance.column())),
        lambda variance: np.sqrt(variance + layer.epsilon),
    )


def batch_statistics(
    p: Pass, layer: BatchNorm, x: Symbol, old_mean: Symbol, old_variance: Symbol
) -> tuple[Symbol, Symbol]:
    """Write down a batch's own mean and deviation, and how far they move the running ones."""
    n, move = p.tape.n_rows, 1 - layer.decay
    mean = p.tape.compute(
        p.tape.parameter("batch mean", "m"),
        "forward",
        (x,),
        Formula(mean_over(r"\text{rows}", "n", x.row), mean_over("x", "n", x.column())),
        lambda X: X.mean(axis=0),
    )
    variance = p.tape.compute(
        p.tape.parameter("batch variance", "s"),
        "forward",
        (x, mean),
        Formula(
            mean_over(r"\text{rows}", "n", f"({x.row} - {mean.row})^{{2}}"),
            mean_over("x", "n", f"({x.column()} - {mean.column()})^{{2}}"),
        ),
        lambda X, mean: ((X - mean) ** 2).mean(axis=0),
    )
    p.tape.compute(
        old_mean.step(),
        "forward",
        (old_mean, mean),
        Formula(*(f"{move:g} ({new} - {old})" for new, old in both(mean, old_mean))),
        lambda old, new: move * (new - old),
        p.params["mean"] - p.before["mean"],
    )
    p.tape.compute(
        old_variance.step(),
        "forward",
        (old_variance, variance),
        Formula(*(rf"{move:g} (\frac{{n}}{{n - 1}} {new} - {old})" for new, old in both(variance, old_variance))),
        lambda old, new: move * (n / (n - 1) * new - old),
        p.params["variance"] - p.before["variance"],
    )
    return mean, running_deviation(p, layer, variance)


def normalised(
    p: Pass, x: Symbol, mean: Symbol, tau: Symbol, gamma: Symbol, beta: Symbol, Y: Array
) -> tuple[Symbol, Symbol]:
    """Write down H = (X - mean) / tau and H gamma + beta."""
    h = p.tape.compute(
        p.tape.unit("h"),
        "forward",
        (x, mean, tau),
        Formula(*(f"({x} - {mean}) / {tau}" for x, mean, tau in both(x, mean, tau))),
        lambda X, mean, tau: (X - mean) / tau,
        wrong={"the mean is not taken off": lambda X, mean, tau: X / tau},
    )
    y = p.tape.compute(
        p.tape.unit("n"),
        "forward",
        (h, gamma, beta),
        Formula(rf"{h.row} \odot {gamma.row} + {beta.row}", f"{gamma.column()} {h.column()} + {beta.column()}"),
        lambda H, gamma, beta: H * gamma + beta,
        Y,
        wrong={"beta is forgotten": lambda H, gamma, beta: H * gamma},
    )
    return h, y


def back_to_normalised(p: Pass, dy: Symbol, h: Symbol, gamma: Symbol, beta: Symbol) -> Symbol:
    """Write down the gradients in gamma and beta, and the derivative in H."""
    p.gradient("gamma", gamma, (dy, h), product_over_rows(p.tape, dy, h), sum_of_products)
    p.gradient("beta", beta, (dy,), sum_over_rows(p.tape, dy), sum_of_rows)
    return p.tape.compute(
        h.derivative(),
        "derivative",
        (dy, gamma),
        Formula(rf"{dy.row} \odot {gamma.row}", f"{dy.column()} {gamma.column()}"),
        np.multiply,
        wrong={"gamma is forgotten": lambda dY, gamma: dY},
        derivative_of=h.name,
    )


def residual(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """R = X + block(U), U = X: what comes in goes two ways, and on the way back the two derivatives are added."""
    assert isinstance(p.layer, Residual)
    u = p.tape.compute(p.tape.unit("u"), "forward", (x,), Formula(x.row, x.column()), np.array)
    y, inner = u, []
    for i, layer in enumerate(p.layer.layers):
        y, back = record(
            Pass(p.tape, f"{p.place}{i}.", layer, part(p.params, i), part(p.grads, i), p.penalties, p.rng), y
        )
        inner.append(back)
    r = p.tape.compute(
        p.tape.unit("r"),
        "forward",
        (x, y),
        Formula(f"{x.row} + {y.row}", f"{x.column()} + {y.column()}"),
        np.add,
        wrong={"the way past the block is forgotten": lambda X, Y: Y},
    )

    def backward(dr: Symbol, need_dx: bool) -> Symbol:
        dy = p.tape.compute(
            y.derivative(), "derivative", (dr,), Formula(dr.row, dr.column()), np.array, derivative_of=y.name
        )
        for back in reversed(inner):
            dy = back(dy, True)
        if not need_dx:
            return dr
        return p.tape.compute(
            x.derivative(),
            "derivative",
            (dr, dy),
            Formula(f"{dr.row} + {dy.row}", f"{dr.column()} + {dy.column()}"),
            np.add,
            wrong={
                "the way past the block is forgotten": lambda dR, dU: dU,
                "the way through the block is forgotten": lambda dR, dU: dR,
            },
            derivative_of=x.name,
        )

    return r, backward


def own(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """Y as the layer's own `forward` gives it, and what its `backward` gives: of a layer not in the table no more is known."""
    name = describe(p.layer.function) if isinstance(p.layer, Activation) else type(p.layer).__name__
    name = "".join(letter for letter in name if letter.isalnum()) or "own"
    parameters = {key: p.give(key, rf"\operatorname{{{key.replace('_', ' ')}}}") for key in p.layer.shapes}
    statistics = {key: array for key, array in p.before.items() if key not in parameters}
    y = p.tape.compute(
        p.tape.unit("o"),
        "forward",
        (x, *parameters.values()),
        Formula(*(rf"\operatorname{{{name}}}({', '.join(titles)})" for titles in both(x, *parameters.values()))),
        lambda X, *values: forward(X, values)[0],
        p.run(x),
        mixing=True,
    )

    def forward(X: Array, values: tuple[Array, ...]) -> tuple[Array, Callable[..., Array]]:
        params = dict(zip(parameters, (value.copy() for value in values)))
        params |= {key: array.copy() for key, array in statistics.items()}
        return p.layer.forward(X.copy(), params, deepcopy(p.rng_before))

    def back(dY: Array, X: Array, values: tuple[Array, ...]) -> dict[str, Array]:
        """The gradients in the parameters by name, and the derivative in X under ""."""
        grads = {key: np.zeros_like(value) for key, value in zip(parameters, values)}
        return grads | {"": forward(X, values)[1](dY.copy(), grads)}

    def backward(dy: Symbol, need_dx: bool) -> Symbol:
        titles = (rf"\operatorname{{{name}}}.\operatorname{{backward}}({dy})" for (dy,) in both(dy))
        formula = Formula(*titles)
        sources = (dy, x, *parameters.values())
        for key, parameter in parameters.items():
            p.gradient(key, parameter, sources, formula, lambda dY, X, *values, key=key: back(dY, X, values)[key])
        if not need_dx:
            return dy
        return p.derivative(x, dy, sources, formula, lambda dY, X, *values: back(dY, X, values)[""])

    return y, backward


FORMULAS: dict[type[Layer], Callable[[Pass, Symbol], tuple[Symbol, Back]]] = {
    Dense: dense,
    Activation: activation,
    Scale: scale,
    Bounded: bounded,
    Dropout: dropout,
    LayerNorm: layer_norm,
    BatchNorm: batch_norm,
    Residual: residual,
}


def record(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """Write down a layer's way forward; return the symbol of what goes out, and the way back."""
    return FORMULAS.get(type(p.layer), own)(p, x)


# What several formulas have in common.


def both(*symbols: Symbol) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the symbols' titles in the row and in the column form."""
    return tuple(symbol.row for symbol in symbols), tuple(symbol.column() for symbol in symbols)


def mean_over(index: str, count: str, term: str) -> str:
    """Return the formula of a mean."""
    return rf"\frac{{1}}{{{count}}} \sum_{{{index}}} {term}"


def deviation(variance: str) -> str:
    """Return the formula of a deviation."""
    return rf"\sqrt{{{variance} + \epsilon}}"


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
