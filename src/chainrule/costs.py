r"""The losses as terms: the loss of one output. The trace and the compiled loops print their own forms of them.

`chainrule.nn.losses` has the same functions by hand, and tests hold one against the other. A function of the table
COSTS takes the output `z`, the prediction `p`, that is, the output after the link function, the target `y`, and the
loss's setting `c`, such as delta, if it has one. The losses with a link have a rule of their own: the derivative of the
two together, p - y.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.curves import sigmoid
from chainrule.nn import losses
from chainrule.nn.losses import Loss
from chainrule.terms import (
    ZERO,
    Function,
    Number,
    Symbol,
    Term,
    absolute,
    build,
    derivative,
    exp,
    greater,
    instead,
    log,
    log1p,
    maximum,
    minimum,
    part,
    total,
    where,
)

WRONG_SIGN = "the sign is wrong (target minus prediction)"
_MAX_EXPONENT = 700
"""Close to the largest number whose exponential is finite in float64."""


def _difference(p: Term, y: Term) -> Term:
    """p - y."""
    return instead(p - y, WRONG_SIGN, y - p)


def _squared_error(z: Term, p: Term, y: Term, factor: Any) -> Term:
    """Factor (p - y)^2."""
    return part(factor, "the factor in front of the square") * _difference(p, y) ** 2


def _absolute_error(z: Term, p: Term, y: Term, c: Any) -> Term:
    """|p - y|."""
    return absolute(_difference(p, y))


def _huber(z: Term, p: Term, y: Term, delta: Any) -> Term:
    """Quadratic near 0, linear beyond delta; its derivative is the residual, clipped."""

    def definition(r: Term) -> Term:
        low = minimum(absolute(r), delta)
        return low * (absolute(r) - 0.5 * low)

    def rule(cost: Term, d: Term, r: Term) -> tuple[Term]:
        clipped = maximum(-delta, minimum(r, delta))
        return (d * instead(clipped, "the derivative is not clipped", r),)

    return Function("huber", "", definition, rule=rule)(_difference(p, y))


def _quantile(z: Term, p: Term, y: Term, q: Any) -> Term:
    """Q (y - p) if y > p, else (1 - q) (p - y); q is a term, a number, or a number for each output."""
    if not isinstance(q, Term):
        q = Number(q, f"{q:g}" if np.ndim(q) == 0 else "q")
    q = instead(q, "q and 1 - q are swapped", 1 - q)
    return instead(greater(p, y) - q, WRONG_SIGN, q - greater(p, y)) * (p - y)


def _with_link(name: str, shown: Term, z: Term, y: Term, slope: Term, **form: Callable[..., Any]) -> Term:
    """Return a loss that is shown in terms of p, computed from z and y, and whose derivative is `slope`."""
    return Function(name, "", lambda z, y: shown, rule=lambda cost, d, z, y: (d * slope, ZERO), **form)(z, y)


def _poisson(z: Term, p: Term, y: Term, c: Any) -> Term:
    """P - y + y log(y / p), p = e^z."""

    def computed(z: Term, y: Term) -> Term:
        return exp(minimum(z, _MAX_EXPONENT)) - y + (y * log(where(greater(y, 0), y, 1)) - y * z)

    return _with_link("poisson", p - y + y * log(y / p), z, y, _difference(p, y), computed=computed)


def _binary_cross_entropy(z: Term, p: Term, y: Term, c: Any) -> Term:
    """-y log p - (1 - y) log(1 - p), p = sigmoid(z)."""

    def computed(z: Term, y: Term) -> Term:
        return log1p(exp(-absolute(z))) + (maximum(z, 0) - y * z)

    slope = instead(_difference(p, y), "there is an extra factor sigmoid'", (p - y) * p * (1 - p))
    shown = -(y * log(p)) - (1 - y) * log(1 - p)
    return _with_link("binary_cross_entropy", shown, z, y, slope, computed=computed)


def _cross_entropy(z: Term, p: Term, y: Term, c: Any) -> Term:
    """-y log p, summed over classes, p = softmax(z)."""

    def value(Z: Array, Y: Array) -> Array:
        return -Y * _log_softmax(Z)

    return _with_link("cross_entropy", -(y * log(p)), z, y, _difference(p, y), value=value)


COSTS: dict[type[Loss], Callable[[Term, Term, Term, Any], Term]] = {
    losses.SquaredError: _squared_error,
    losses.AbsoluteError: _absolute_error,
    losses.Huber: _huber,
    losses.Quantile: _quantile,
    losses.Poisson: _poisson,
    losses.BinaryCrossEntropy: _binary_cross_entropy,
    losses.CrossEntropy: _cross_entropy,
}


def setting_of(loss: Any) -> Any:
    """Return the one setting of a built-in loss; None if it has none."""
    return next((getattr(loss, field.name) for field in fields(loss)), None)


# Links.


def _log_softmax(Z: Array) -> Array:
    """Log softmax, with the maximum of each row subtracted first."""
    S = Z - Z.max(axis=1, keepdims=True)
    return S - np.log(np.exp(S).sum(axis=1, keepdims=True))


softmax = Function(
    "softmax",
    r"\operatorname{softmax}",
    value=lambda Z: np.exp(_log_softmax(Z)),
    rule=lambda y, d, z: (y * (d - total(d * y, "c")),),
)


def _softmax_link(z: Term) -> Term:
    """Softmax(z)."""
    twice = instead(softmax(z), "softmax is applied twice", softmax(softmax(z)))
    return instead(twice, "the exponentials are not divided by their sum", exp(minimum(z, _MAX_EXPONENT)))


LINKS: dict[type[Loss], tuple[str, Callable[[Term], Term]]] = {
    losses.Poisson: ("exp", Function("exp", "", exp, lambda z: exp(minimum(z, _MAX_EXPONENT)))),
    losses.BinaryCrossEntropy: ("sigmoid", sigmoid),
    losses.CrossEntropy: ("softmax", _softmax_link),
}
"""The name of a link function, and the function; losses that are not in the table have none."""

# Targets.


def smoothed(kind: type[Loss], y: Symbol, smoothing: Any, n_out: int) -> Term:
    """Return the targets of a loss that may smooth them: a fraction of each is spread evenly over all classes."""
    if kind not in (losses.BinaryCrossEntropy, losses.CrossEntropy) or not smoothing:
        return y
    share = build("divide", smoothing, n_out if kind is losses.CrossEntropy else 2)
    return instead((1 - smoothing) * y + share, "label smoothing is missing", y)


# Their forms as terms in Z, Y and C, for losses that treat each output by itself.

Z, Y, C = Symbol("z"), Symbol("y"), Symbol("c")


def value_of(kind: type[Loss]) -> Term:
    """Return the loss of one output."""
    p = LINKS[kind][1](Z) if kind in LINKS else Z
    return COSTS[kind](Z, p, smoothed(kind, Y, C, 1), C)


def slope_of(kind: type[Loss]) -> Term:
    """Return the derivative of the loss with respect to that output."""
    return derivative(value_of(kind), Z)
