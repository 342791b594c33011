r"""The losses as terms: the loss of a row, and the mean over rows. Their derivatives follow by the chain rule.

`z` is the network's output, `y` the target and `p` the prediction, that is, the output after the link function. The
losses with a link have a rule of their own: the derivative of the two together, p - y. As for layers, the values come
from the losses and the terms do not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.curves import sigmoid
from chainrule.insight.trace.tape import Tape
from chainrule.nn import losses
from chainrule.nn.losses import Loss
from chainrule.terms import (
    ZERO,
    Function,
    Number,
    Symbol,
    Term,
    absolute,
    exp,
    greater,
    instead,
    log,
    maximum,
    minimum,
    part,
    total,
)
from chainrule.typeset import Look

_WRONG_SIGN = "the sign is wrong (target minus prediction)"
_MAX_EXPONENT = 700
"""Close to the largest number whose exponential is finite in float64."""

# The loss of one output. A function in the table COSTS takes the loss, z and y, and p if it has a link.


def _difference(z: Term, y: Term) -> Term:
    """z - y."""
    return instead(z - y, _WRONG_SIGN, y - z)


def _squared_error(loss: Any, z: Term, y: Term) -> Term:
    """Factor (z - y)^2."""
    return part(loss.factor, "the factor in front of the square") * _difference(z, y) ** 2


def _absolute_error(loss: Any, z: Term, y: Term) -> Term:
    """|z - y|."""
    return absolute(_difference(z, y))


def _huber(loss: Any, z: Term, y: Term) -> Term:
    """Quadratic near 0, linear beyond delta; its derivative is the residual, clipped."""

    def definition(r: Term) -> Term:
        low = minimum(absolute(r), loss.delta)
        return low * (absolute(r) - 0.5 * low)

    def rule(cost: Term, d: Term, r: Term) -> tuple[Term]:
        clipped = maximum(-loss.delta, minimum(r, loss.delta))
        return (d * instead(clipped, "the derivative is not clipped", r),)

    return Function("huber", "", definition, rule=rule)(_difference(z, y))


def _quantile(loss: Any, z: Term, y: Term) -> Term:
    """Q (y - z) if y > z, else (1 - q) (z - y)."""
    one = np.ndim(loss.levels) == 0
    q = Number(loss.levels, f"{loss.levels:g}" if one else "q")
    q = instead(q, "q and 1 - q are swapped", 1 - q)  # type: ignore[assignment]
    return instead(greater(z, y) - q, _WRONG_SIGN, q - greater(z, y)) * (z - y)


def _with_link(name: str, shown: Term, value: Callable[[Array, Array], Array], z: Term, y: Term, slope: Term) -> Term:
    """Return a loss that is shown in terms of p, computed from z, and whose derivative is `slope`."""
    return Function(name, "", lambda z, y: shown, rule=lambda cost, d, z, y: (d * slope, ZERO), value=value)(z, y)


def _poisson(loss: Any, z: Term, y: Term, p: Term) -> Term:
    """P - y + y log(y / p), p = e^z."""

    def value(Z: Array, Y: Array) -> Array:
        return np.exp(np.minimum(Z, _MAX_EXPONENT)) - Y - Y * Z + Y * np.log(np.where(Y > 0, Y, 1))

    return _with_link("poisson", p - y + y * log(y / p), value, z, y, _difference(p, y))


def _binary_cross_entropy(loss: Any, z: Term, y: Term, p: Term) -> Term:
    """-y log p - (1 - y) log(1 - p), p = sigmoid(z)."""
    slope = instead(_difference(p, y), "there is an extra factor sigmoid'", (p - y) * p * (1 - p))
    shown = -(y * log(p)) - (1 - y) * log(1 - p)
    return _with_link("binary_cross_entropy", shown, lambda Z, Y: np.logaddexp(0, Z) - Y * Z, z, y, slope)


def _cross_entropy(loss: Any, z: Term, y: Term, p: Term) -> Term:
    """-y log p, summed over classes, p = softmax(z)."""
    return _with_link("cross_entropy", -(y * log(p)), lambda Z, Y: -Y * _log_softmax(Z), z, y, _difference(p, y))


COSTS: dict[type[Loss], Callable[..., Term]] = {
    losses.SquaredError: _squared_error,
    losses.AbsoluteError: _absolute_error,
    losses.Huber: _huber,
    losses.Quantile: _quantile,
    losses.Poisson: _poisson,
    losses.BinaryCrossEntropy: _binary_cross_entropy,
    losses.CrossEntropy: _cross_entropy,
}

# Links.


def _log_softmax(Z: Array) -> Array:
    """Log softmax, with the maximum of each row subtracted first."""
    S = Z - Z.max(axis=1, keepdims=True)
    return S - np.log(np.exp(S).sum(axis=1, keepdims=True))


_softmax = Function("softmax", r"\operatorname{softmax}", value=lambda Z: np.exp(_log_softmax(Z)))


def _softmax_link(z: Term) -> Term:
    """Softmax(z)."""
    twice = instead(_softmax(z), "softmax is applied twice", _softmax(_softmax(z)))
    return instead(twice, "the exponentials are not divided by their sum", exp(minimum(z, _MAX_EXPONENT)))


_LINKS: dict[type[Loss], tuple[str, Callable[[Term], Term]]] = {
    losses.Poisson: ("exp", Function("exp", "", exp, lambda z: exp(minimum(z, _MAX_EXPONENT)))),
    losses.BinaryCrossEntropy: ("sigmoid", sigmoid),
    losses.CrossEntropy: ("softmax", _softmax_link),
}


def _custom(loss: Loss, z: Term, y: Term, targets: Array) -> Term:
    """A custom loss, of which only `per_row` is known; it takes targets in the form of `targets`."""
    title = rf"\operatorname{{{''.join(letter for letter in type(loss).__name__ if letter.isalnum())}}}"

    def per_row(Z: Array, Y: Array) -> tuple[Array, Array]:
        return loss.per_row(Z.copy(), Y.reshape(targets.shape).astype(targets.dtype))

    slope = Function("slope", f"{title}'", value=lambda Z, Y: per_row(Z, Y)[1])
    value = Function("loss", title, value=lambda Z, Y: per_row(Z, Y)[0][:, np.newaxis])
    return replace(value, rule=lambda cost, d, z, y: (d * instead(slope(z, y), _WRONG_SIGN, -slope(z, y)), ZERO))(z, y)


# Recording.


def record_loss(
    tape: Tape, loss: Loss, z: Symbol, y: Array, weight: Array | None, value: float, l1: float, l2: float
) -> None:
    """Record the loss of the outputs z, with penalties, and the network's own derivative with respect to z."""
    Z = tape[z].copy()
    targets = _smoothed(tape, loss, tape.give(_beside(tape, "y"), _targets_as_rows(loss, y, Z)))
    if type(loss) in COSTS:
        p = (_record_link(tape, loss, z),) if type(loss) in _LINKS else ()
        row_loss = total(COSTS[type(loss)](loss, z, targets, *p), "c")
    else:
        row_loss = _custom(loss, z, targets, y)
    L = tape.compute(_beside(tape, "L", "r"), row_loss, loss.per_row(Z.copy(), y)[0][:, np.newaxis], "loss")
    mean = _mean_over_rows(tape, L, weight)
    matrices = [symbol for name, symbol in tape.parameters.items() if name.rpartition(".")[2] == "W"]
    if l1 or l2:
        R = tape.compute(_beside(tape, "R", ""), _penalty(matrices, l1, l2), kind="loss")
        tape.branches[R.name] = "the penalty"
        mean = mean + part(R, "the penalty")
    tape.compute(_beside(tape, "C", ""), mean, value, "loss")
    tape.engine[z.name] = lambda: loss(Z.copy(), y, weight)[1]


def _beside(tape: Tape, name: str, axes: str = "rc") -> Symbol:
    """Return the symbol of a quantity that belongs to no layer."""
    above = "x" if "r" in axes and tape.n_rows > 1 else ""
    look = Look(name.lower(), name.upper(), above, index="j") if "c" in axes else Look(name, name, above)
    return Symbol(name, axes, look)


def _record_link(tape: Tape, loss: Loss, z: Symbol) -> Symbol:
    name, link = _LINKS[type(loss)]
    term = instead(link(z), f"the {name} of the loss is missing", z)
    return tape.compute(_beside(tape, "P"), term, loss.predict(tape[z].copy()))


def _smoothed(tape: Tape, loss: Any, y: Symbol) -> Symbol:
    """Record smoothed targets, if the loss smooths them: a fraction of each is spread evenly over all classes."""
    smoothing = getattr(loss, "label_smoothing", 0.0)
    if not smoothing:
        return y
    k = tape[y].shape[1] if isinstance(loss, losses.CrossEntropy) else 2
    term = (1 - smoothing) * y + Number(smoothing) / k
    return tape.compute(_beside(tape, "T"), instead(term, "label smoothing is missing", y))


def _mean_over_rows(tape: Tape, L: Symbol, weight: Array | None) -> Term:
    """Return the mean of the losses of the rows, weighted if there are weights, which are recorded."""
    if weight is not None:
        w = tape.give(_beside(tape, "w", "r"), weight[:, np.newaxis])
        return total(w / part(total(w, "r"), "1/n") * L, "r")
    if tape.n_rows == 1:
        return L
    return 1 / part(Number(tape.n_rows, "n"), "1/n") * total(L, "r")


def _penalty(matrices: list[Symbol], l1: float, l2: float) -> Term:
    """l1 * sum |W| + l2 / 2 * sum W^2, summed over the weight matrices."""
    squares = reduce(add, (total(W**2) for W in matrices))
    return l2 * (part(0.5, "the factor 1/2") * squares) + l1 * reduce(add, (total(absolute(W)) for W in matrices))


def _targets_as_rows(loss: Loss, y: Array, Z: Array) -> Array:
    """Return targets as rows (n, k) or (n, 1); class numbers become one-hot rows."""
    if isinstance(loss, losses.CrossEntropy) and y.ndim == 1:
        return np.eye(Z.shape[1])[y]
    return y if y.ndim == 2 else y[:, np.newaxis]
