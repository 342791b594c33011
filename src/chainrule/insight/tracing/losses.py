r"""The formulas of the losses: the loss of a row, the mean over rows, and the derivative where backpropagation starts.

In a formula, `z` is the network's output, `y` the target and `p` the prediction, that is, the output after the link
function. As for layers, the values come from the losses and the formulas are independent of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.insight.tracing.curves import exp, sigmoid
from chainrule.insight.tracing.quantities import Formula, Function, Symbol, Tape
from chainrule.nn.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    Loss,
    Poisson,
    Quantile,
    SquaredError,
)


@dataclass(frozen=True)
class Cost:
    """The loss of one row: its terms, which are summed over outputs, and their derivative with respect to z.

    `link` is the formula and the function of p, or None. The derivative is a function of p and y if there is a link,
    else of z and y.
    """

    term: str
    terms: Function
    slope_term: str
    slope: Function
    link: tuple[str, Function] | None = None
    link_wrong: dict[str, Function] | None = None
    slope_wrong: dict[str, Function] | None = None
    over_outputs: str = r"\sum_{*} "


def squared_error(loss: Any) -> Cost:
    """Factor (z - y)^2."""
    factor, twice = (fraction(value) for value in (loss.factor, 2 * loss.factor))
    return Cost(
        f"{factor}(z - y)^{{2}}",
        lambda Z, Y: loss.factor * (Z - Y) ** 2,
        f"{twice}(z - y)" if twice else "z - y",
        lambda Z, Y: 2 * loss.factor * (Z - Y),
        slope_wrong={
            "the factor 2 from the square is missing": lambda Z, Y: loss.factor * (Z - Y),
            "the factor in front of the square is missing": lambda Z, Y: 2 * (Z - Y),
        },
    )


def absolute_error(loss: Any) -> Cost:
    """|z - y|."""
    return Cost("|z - y|", lambda Z, Y: np.abs(Z - Y), r"\operatorname{sign}(z - y)", lambda Z, Y: np.sign(Z - Y))


def huber(loss: Any) -> Cost:
    """Quadratic near 0, linear beyond delta."""
    delta = loss.delta
    low = rf"\min(|z - y|, {delta:g})"
    return Cost(
        rf"{low} (|z - y| - \frac{{1}}{{2}} {low})",
        lambda Z, Y: np.where(np.abs(Z - Y) <= delta, (Z - Y) ** 2 / 2, delta * (np.abs(Z - Y) - delta / 2)),
        rf"\max(-{delta:g}, \min(z - y, {delta:g}))",
        lambda Z, Y: np.minimum(np.maximum(Z - Y, -delta), delta),
        slope_wrong={"the derivative is not clipped": lambda Z, Y: Z - Y},
    )


def quantile(loss: Any) -> Cost:
    """Q (y - z) if y > z, else (1 - q) (z - y)."""
    q = np.asarray(loss.levels, np.float64)
    name = f"{loss.levels:g}" if q.ndim == 0 else "q"
    return Cost(
        f"([z > y] - {name}) (z - y)",
        lambda Z, Y: np.where(Z > Y, (1 - q) * (Z - Y), q * (Y - Z)),
        f"[z > y] - {name}",
        lambda Z, Y: np.where(Z > Y, 1 - q, -q),
        slope_wrong={"q and 1 - q are swapped": lambda Z, Y: np.where(Z > Y, q, q - 1)},
    )


def poisson(loss: Any) -> Cost:
    """P - y + y log(y / p), p = e^z."""
    return Cost(
        r"(p - y + y \log(y / p))",
        lambda Z, Y: exp(Z) - Y - Y * Z + Y * np.log(np.where(Y > 0, Y, 1)),
        "p - y",
        np.subtract,
        link=("e^{z}", exp),
        link_wrong={"the exp of the loss is missing": lambda Z: Z},
    )


def binary_cross_entropy(loss: Any) -> Cost:
    """-y log p - (1 - y) log(1 - p), p = sigmoid(z)."""
    return Cost(
        r"(-y \log(p) - (1 - y) \log(1 - p))",
        lambda Z, Y: np.logaddexp(0, Z) - Y * Z,
        "p - y",
        np.subtract,
        link=(r"\sigma(z)", sigmoid),
        link_wrong={"the sigmoid of the loss is missing": lambda Z: Z},
        slope_wrong={"there is an extra factor sigmoid'": lambda P, Y: (P - Y) * P * (1 - P)},
    )


def cross_entropy(loss: Any) -> Cost:
    """-sum_k y_k log p_k, p = softmax(z)."""
    return Cost(
        r"-y \log(p)",
        lambda Z, Y: -Y * log_softmax(Z),
        "p - y",
        np.subtract,
        link=(r"\operatorname{softmax}(z)", lambda Z: np.exp(log_softmax(Z))),
        link_wrong={
            "the softmax of the loss is missing": lambda Z: Z,
            "softmax is applied twice": lambda Z: np.exp(log_softmax(np.exp(log_softmax(Z)))),
            "the exponentials are not divided by their sum": exp,
        },
    )


COSTS: dict[type[Loss], Callable[[Any], Cost]] = {
    SquaredError: squared_error,
    AbsoluteError: absolute_error,
    Huber: huber,
    Quantile: quantile,
    Poisson: poisson,
    BinaryCrossEntropy: binary_cross_entropy,
    CrossEntropy: cross_entropy,
}


def custom(loss: Loss, y: Array) -> Cost:
    """A custom loss, of which only `per_row` is known; it takes targets of the form of `y`."""
    name = "".join(letter for letter in type(loss).__name__ if letter.isalnum())

    def per_row(Z: Array, Y: Array) -> tuple[Array, Array]:
        return loss.per_row(Z.copy(), Y.reshape(y.shape).astype(y.dtype))

    return Cost(
        rf"\operatorname{{{name}}}(z, y)",
        lambda Z, Y: per_row(Z, Y)[0][:, np.newaxis],
        rf"\operatorname{{{name}}}'(z, y)",
        lambda Z, Y: per_row(Z, Y)[1],
        over_outputs="",
    )


def record_loss(
    tape: Tape,
    loss: Loss,
    z: Symbol,
    y: Array,
    weight: Array | None,
    value: float,
    penalty: Callable[[], Symbol] | None = None,
) -> Callable[[], Symbol]:
    """Record the loss of the outputs z with its penalty; return the start of the backward pass.

    That is a function that records the derivative with respect to z and returns its symbol.
    """
    n, several = tape.n_rows, tape.n_rows > 1
    cost = COSTS[type(loss)](loss) if type(loss) in COSTS else custom(loss, y)
    Z, place = tape[z], "x" if several else ""
    symbols = {"z": z, "y": tape.give(Symbol("y", "Y", "y", place), targets_as_rows(loss, y, Z))}
    smoothing = getattr(loss, "label_smoothing", 0.0)
    if smoothing:
        symbols["y"] = smoothed(tape, loss, symbols["y"], smoothing, place)
    if cost.link is not None:
        symbols["p"] = tape.compute(
            Symbol("P", "P", "p", place),
            "forward",
            (z,),
            filled(cost.link[0], symbols),
            cost.link[1],
            loss.predict(Z.copy()),
            wrong=cost.link_wrong,
            mixing=isinstance(loss, CrossEntropy),
        )
    row_loss = filled(cost.term, symbols)
    L = tape.compute(
        Symbol("L", "L", "L", place, index=""),
        "loss",
        (z, symbols["y"]),
        Formula(*(cost.over_outputs.replace("*", index) + term for index, term in zip(OUTPUTS, sides(row_loss)))),
        lambda Z, Y: cost.terms(Z, Y).sum(axis=1, keepdims=True),
        loss.per_row(Z.copy(), y)[0][:, np.newaxis],
        mixing=True,
    )
    w = () if weight is None else (tape.give(Symbol("w", "w", "w", place, index=""), weight[:, np.newaxis]),)
    penalties = () if penalty is None else (penalty(),)
    record_mean(tape, L, w, penalties, value)

    def backward() -> Symbol:
        sources = (symbols.get("p", z), symbols["y"], *w)
        slope = filled(cost.slope_term, symbols)
        weights = Formula(r"\frac{w}{\sum w} \odot ", r"\frac{w^{x}}{\sum_{x} w^{x}} ") if w else ONE_NTH[several]
        if weights.row and cost.slope_term[0] in "pz[":
            slope = Formula(f"({slope.row})", f"({slope.column})")
        elif weights.row and cost.slope_term[0].isdigit():
            slope = Formula(rf"\cdot {slope.row}", rf"\cdot {slope.column}")
        wrong = {
            "1/n is missing": lambda A, Y, *w: cost.slope(A, Y) * (w[0] if w else 1),
            "the sign is wrong (target minus prediction)": lambda A, Y, *w: -cost.slope(A, Y) * row_weights(n, *w),
        }
        for mistake, spoiled in (cost.slope_wrong or {}).items():
            wrong[mistake] = lambda A, Y, *w, spoiled=spoiled: spoiled(A, Y) * row_weights(n, *w)
        return tape.compute(
            z.derivative(),
            "derivative",
            sources,
            Formula(weights.row + slope.row, weights.column + slope.column),
            lambda A, Y, *w: cost.slope(A, Y) * row_weights(n, *w),
            loss(Z.copy(), y, weight)[1],
            wrong=wrong,
            derivative_of=z.name,
        )

    return backward


def record_mean(tape: Tape, L: Symbol, w: tuple[Symbol, ...], penalties: tuple[Symbol, ...], value: float) -> None:
    """Record C, the mean of the losses of the rows, weighted if there are weights, plus the penalties."""
    n = tape.n_rows
    if w:
        formula = Formula(r"\frac{\sum w \odot L}{\sum w}", r"\frac{\sum_{x} w^{x} L^{x}}{\sum_{x} w^{x}}")
    elif n > 1:
        formula = Formula(r"\frac{1}{n} \sum_{\text{rows}} L", r"\frac{1}{n} \sum_{x} L^{x}")
    else:
        formula = Formula("L", "L")
    added = "".join(f" + {penalty.row}" for penalty in penalties)

    k = len(w)  # the arguments after L are the weights, if any, and the penalties

    def mean(L: Array, *values: Array) -> Array:
        return (L * row_weights(n, *values[:k])).sum() + sum(values[k:])

    def total(L: Array, *values: Array) -> Array:
        return (L * (values[0] if k else 1)).sum() + sum(values[k:])

    wrong: dict[str, Function] = {"1/n is missing": total}
    if penalties:
        wrong["the penalty is missing"] = lambda L, *values: mean(L, *values[:k])
    tape.compute(
        Symbol("C", "C", "C", index=""),
        "loss",
        (L, *w, *penalties),
        Formula(formula.row + added, formula.column + added),
        mean,
        value,
        wrong=wrong,
        mixing=True,
    )


def record_penalty(tape: Tape, matrices: list[Symbol], l1: float, l2: float) -> Symbol:
    """Record the penalty on weight matrices, l1 * sum |W| + l2 / 2 * sum W^2."""
    terms = [rf"\frac{{{l2:g}}}{{2}} \sum W^{{2}}"] * (l2 > 0) + [rf"{l1:g} \sum |W|"] * (l1 > 0)
    formula = " + ".join(terms)
    return tape.compute(
        Symbol("R", "R", "R", index=""),
        "loss",
        tuple(matrices),
        Formula(formula, formula.replace("W", "w")),
        lambda *Ws: np.asarray(sum(l2 / 2 * (W**2).sum() + l1 * np.abs(W).sum() for W in Ws)),
        wrong={
            "the factor 1/2 is missing": lambda *Ws: np.asarray(
                sum(l2 * (W**2).sum() + l1 * np.abs(W).sum() for W in Ws)
            )
        },
    )


def smoothed(tape: Tape, loss: Loss, y: Symbol, smoothing: float, place: str) -> Symbol:
    """Record smoothed targets: a fraction `smoothing` of each is spread evenly over all classes."""
    k = tape[y].shape[1] if isinstance(loss, CrossEntropy) else 2
    return tape.compute(
        Symbol("T", "T", "t", place),
        "forward",
        (y,),
        Formula(*(rf"{1 - smoothing:g} {title} + \frac{{{smoothing:g}}}{{{k}}}" for title in (y.row, y.column()))),
        lambda Y: (1 - smoothing) * Y + smoothing / k,
        wrong={"label smoothing is missing": lambda Y: Y},
    )


OUTPUTS = (r"\text{columns}", "j")
ONE_NTH = {True: Formula(r"\frac{1}{n} ", r"\frac{1}{n} "), False: Formula("", "")}
"""The factor of the mean over several rows, and of one."""


def row_weights(n: int, *w: Array) -> Array | float:
    """Return the weight of each row in the mean."""
    return w[0] / w[0].sum() if w else 1 / n


def filled(term: str, symbols: dict[str, Symbol]) -> Formula:
    """Replace z, y and p by the titles of the symbols."""
    place = re.compile(r"(?<![\\A-Za-z])[zyp](?![A-Za-z])")
    return Formula(
        place.sub(lambda match: symbols[match[0]].row, term), place.sub(lambda match: symbols[match[0]].column(), term)
    )


def sides(formula: Formula) -> tuple[str, str]:
    """Return a formula's two forms."""
    return formula.row, formula.column


def targets_as_rows(loss: Loss, y: Array, Z: Array) -> Array:
    """Return targets as rows (n, k) or (n, 1); class numbers become one-hot rows."""
    if isinstance(loss, CrossEntropy) and y.ndim == 1:
        return np.eye(Z.shape[1])[y]
    return y if y.ndim == 2 else y[:, np.newaxis]


def log_softmax(Z: Array) -> Array:
    """Log softmax, with the maximum of each row subtracted first."""
    S = Z - Z.max(axis=1, keepdims=True)
    return S - np.log(np.exp(S).sum(axis=1, keepdims=True))


def fraction(value: float) -> str:
    """Return a factor of a formula: 1/2 as a fraction, 1 as ""."""
    return {0.5: r"\frac{1}{2} ", 1.0: ""}.get(value, f"{value:g} ")
