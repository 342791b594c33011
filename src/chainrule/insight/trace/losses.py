"""The loss of a row as a term, from those of its outputs in `chainrule.costs`, and the mean over rows.

The derivatives follow by the chain rule. As for layers, the values come from the losses and the terms do not depend on
them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from chainrule.arrays import Array
from chainrule.costs import COSTS, LINKS, WRONG_SIGN, setting_of, smoothed
from chainrule.insight.trace.tape import Tape
from chainrule.nn import losses
from chainrule.nn.losses import Loss
from chainrule.terms import ZERO, Function, Number, Symbol, Term, absolute, instead, part, total
from chainrule.typeset import Look


def _custom(loss: Loss, z: Term, y: Term, targets: Array) -> Term:
    """A custom loss, of which only `per_row` is known; it takes targets in the form of `targets`."""
    title = rf"\operatorname{{{''.join(letter for letter in type(loss).__name__ if letter.isalnum())}}}"

    def per_row(Z: Array, Y: Array) -> tuple[Array, Array]:
        return loss.per_row(Z.copy(), Y.reshape(targets.shape).astype(targets.dtype))

    slope = Function("slope", f"{title}'", value=lambda Z, Y: per_row(Z, Y)[1])
    value = Function("loss", title, value=lambda Z, Y: per_row(Z, Y)[0][:, np.newaxis])
    return replace(value, rule=lambda cost, d, z, y: (d * instead(slope(z, y), WRONG_SIGN, -slope(z, y)), ZERO))(z, y)


# Recording.


def record_loss(
    tape: Tape, loss: Loss, z: Symbol, y: Array, weight: Array | None, value: float, l1: float, l2: float
) -> None:
    """Record the loss of the outputs z, with penalties, and the network's own derivative with respect to z."""
    Z = tape[z].copy()
    targets = tape.give(_beside(tape, "y"), _targets_as_rows(loss, y, Z))
    if type(loss) in COSTS:
        targets = _smoothed(tape, loss, targets)
        p = _record_link(tape, loss, z) if type(loss) in LINKS else z
        row_loss = total(COSTS[type(loss)](z, p, targets, setting_of(loss)), "c")
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
    name, link = LINKS[type(loss)]
    term = instead(link(z), f"the {name} of the loss is missing", z)
    return tape.compute(_beside(tape, "P"), term, loss.predict(tape[z].copy()))


def _smoothed(tape: Tape, loss: Loss, y: Symbol) -> Symbol:
    """Record smoothed targets, if the loss smooths them."""
    term = smoothed(type(loss), y, setting_of(loss), tape[y].shape[1])
    return y if term is y else tape.compute(_beside(tape, "T"), term)


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
