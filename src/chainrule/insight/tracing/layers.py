r"""The formulas of the layers: the forward pass of each kind, with its backward pass directly below.

A function in the table FORMULAS takes the pass of a layer and the symbol of its input. It records the quantities of the
forward pass and returns the symbol of the output and the backward pass: a function that takes the symbol of the
derivative with respect to the output, records its quantities, and returns that with respect to the input.

The values come from `forward` and `backward` in `chainrule.nn.layers`. The formulas are independent of that code, so
that a trace can verify one against the other.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np

from chainrule.arrays import Array
from chainrule.insight.tracing.curves import CURVES, sigmoid, sigmoid_slope
from chainrule.insight.tracing.norms import batch_norm, layer_norm
from chainrule.insight.tracing.passes import (
    Back,
    Pass,
    both,
    product_over_rows,
    sum_of_products,
    sum_of_rows,
    sum_over_rows,
)
from chainrule.insight.tracing.quantities import Formula, Symbol
from chainrule.nn.layers import (
    Activation,
    BatchNorm,
    Bounded,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    Residual,
    Scale,
    describe,
    part,
)


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
            "the bias is missing": lambda X, W, b: X @ W,
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
            wrong={"1/n is applied twice": lambda dZ: dZ.mean(axis=0)},
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
    """A = f(Z); a custom function, which need not be elementwise, is treated like a custom layer."""
    assert isinstance(p.layer, Activation)
    function = p.layer.function
    if not isinstance(function, str):
        return custom(p, x)
    curve = CURVES[function]

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
        wrong={f"{function} is not applied": lambda Z: Z},
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
                f"{function}' is missing": np.ones_like,
                f"{function} is used in place of {function}'": curve.value,
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
            wrong={"the factor is missing": lambda dS, scale: dS},
        )

    return s, backward


def bounded(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """Y = low + (high - low) sigmoid(X)."""
    assert isinstance(p.layer, Bounded)
    low, width = p.layer.low, p.layer.high - p.layer.low
    offset, factor = f"{low:g} + " * (low != 0), f"{width:g} " * (width != 1)
    o = p.tape.compute(
        p.tape.unit("o"),
        "forward",
        (x,),
        Formula(*(rf"{offset}{factor}\sigma({title})" for title in (x.row, x.column()))),
        lambda X: low + width * sigmoid(X),
        p.run(x),
    )

    def backward(do: Symbol, need_dx: bool) -> Symbol:
        return p.derivative(
            x,
            do,
            (do, x),
            Formula(rf"{factor}{do.row} \odot \sigma'({x.row})", rf"{factor}{do.column()} \sigma'({x.column()})"),
            lambda dO, X: dO * width * sigmoid_slope(X),
            wrong={
                "sigmoid' is missing": lambda dO, X: dO * width,
                "the factor high - low is missing": lambda dO, X: dO * sigmoid_slope(X),
            },
        )

    return o, backward


def dropout(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """D = X * M / (1 - rate), M a mask of zeros and ones; at inference the identity, which is not recorded."""
    assert isinstance(p.layer, Dropout)
    Y = p.run(x)
    if p.rng is None or p.layer.rate == 0:
        return x, lambda dy, need_dx: dy
    ones, _ = p.layer.forward(np.ones(p.tape[x].shape), {}, p.rng_before)
    mask = p.tape.give(p.tape.unit("mask", "m", "M"), ones != 0)
    kept = 1 - p.layer.rate

    def masked(title: Symbol) -> Formula:
        factor = rf"\frac{{1}}{{{kept:g}}} "
        return Formula(rf"{factor}{title.row} \odot {mask.row}", f"{factor}{title.column()} {mask.column()}")

    def drop(X: Array, M: Array) -> Array:
        return X * M / kept

    d = p.tape.compute(
        p.tape.unit("d"),
        "forward",
        (x, mask),
        masked(x),
        drop,
        Y,
        wrong={"the division by 1 - rate is missing": np.multiply},
    )

    def backward(dd: Symbol, need_dx: bool) -> Symbol:
        return p.derivative(
            x,
            dd,
            (dd, mask),
            masked(dd),
            drop,
            wrong={"the mask is missing in the backward pass": lambda dD, M: dD},
        )

    return d, backward


def residual(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """R = X + block(U), U = X: the input takes two paths, whose derivatives add up in the backward pass."""
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
        wrong={"the skip connection is missing": lambda X, Y: Y},
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
                "the skip connection is missing": lambda dR, dU: dU,
                "the gradient through the block is missing": lambda dR, dU: dR,
            },
            derivative_of=x.name,
        )

    return r, backward


def custom(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """O = forward(X) of a layer that is not in the table, with `backward` as a single formula."""
    name = describe(p.layer.function) if isinstance(p.layer, Activation) else type(p.layer).__name__
    name = "".join(letter for letter in name if letter.isalnum()) or "custom"
    parameters = {key: p.give(key, rf"\operatorname{{{key.replace('_', ' ')}}}", index="") for key in p.layer.shapes}
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
        """The gradients by parameter name, and the derivative with respect to X under ""."""
        grads = {key: np.zeros_like(value) for key, value in zip(parameters, values)}
        return grads | {"": forward(X, values)[1](dY.copy(), grads)}

    def backward(dy: Symbol, need_dx: bool) -> Symbol:
        titles = (rf"\text{{backward of }} \operatorname{{{name}}}({title})" for (title,) in both(dy))
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
    """Record the forward pass of a layer; return the symbol of its output, and the backward pass."""
    return FORMULAS.get(type(p.layer), custom)(p, x)
