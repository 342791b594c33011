r"""The formulas of LayerNorm and BatchNorm; see `chainrule.insight.tracing.layers`."""

from __future__ import annotations

import numpy as np

from chainrule.arrays import Array
from chainrule.insight.tracing.passes import (
    Back,
    Pass,
    both,
    product_over_rows,
    sum_of_products,
    sum_of_rows,
    sum_over_rows,
)
from chainrule.insight.tracing.quantities import Formula, Symbol, rounding_of
from chainrule.nn.layers import BatchNorm, LayerNorm


def layer_norm(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """Y = H gamma + beta, H the rows of X standardized to mean 0 and standard deviation 1."""
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
            std_of(mean_over(r"\text{columns}", "d", f"({x.row} - {mean.row})^{{2}}")),
            std_of(mean_over("j", "d", f"({x.column()} - {mean.column()})^{{2}}")),
        ),
        lambda X, mean: np.sqrt(((X - mean) ** 2).mean(axis=1, keepdims=True) + epsilon),
        mixing=True,
    )
    h, y = normalize(p, x, mean, tau, gamma, beta, Y)

    def backward(dy: Symbol, need_dx: bool) -> Symbol:
        dh = normalize_backward(p, dy, h, gamma, beta)
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
            wrong={"the mean and standard deviation are treated as constants": lambda dH, H, tau: dH / tau},
        )

    return y, backward


def batch_norm(p: Pass, x: Symbol) -> tuple[Symbol, Back]:
    """Y = H gamma + beta, H the columns of X minus a mean and divided by a standard deviation.

    In training these are the statistics of the batch, through which every row depends on every other; at inference, and
    for a single row, they are the running statistics, which are constant.
    """
    assert isinstance(p.layer, BatchNorm)
    in_training = p.rng is not None and p.tape.n_rows > 1
    gamma, beta = p.give("gamma", r"\gamma"), p.give("beta", r"\beta")
    old_mean, old_variance = p.give("mean", r"\mu"), p.give("variance", "v")
    Y = p.run(x)
    if in_training:
        mean, tau = batch_statistics(p, p.layer, x, old_mean, old_variance)
    else:
        mean, tau = old_mean, running_std(p, p.layer, old_variance)
    h, y = normalize(p, x, mean, tau, gamma, beta, Y)

    def backward(dy: Symbol, need_dx: bool) -> Symbol:
        dh = normalize_backward(p, dy, h, gamma, beta)
        if not in_training:
            formula = Formula(f"{dh.row} / {tau.row}", f"{dh.column()} / {tau.column()}")
            wrong = {"the division by the standard deviation is missing": lambda dH, tau: dH}
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
            wrong={"the mean and standard deviation are treated as constants": lambda dH, H, tau: dH / tau},
        )

    return y, backward


def running_std(p: Pass, layer: BatchNorm, variance: Symbol) -> Symbol:
    """Record the standard deviation from the running variance."""
    return p.tape.compute(
        p.tape.parameter("tau", r"\tau"),
        "forward",
        (variance,),
        Formula(std_of(variance.row), std_of(variance.column())),
        lambda variance: np.sqrt(variance + layer.epsilon),
    )


def batch_statistics(
    p: Pass, layer: BatchNorm, x: Symbol, old_mean: Symbol, old_variance: Symbol
) -> tuple[Symbol, Symbol]:
    """Record the mean and standard deviation of a batch, and the updates of the running statistics."""
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
        rounding=rounding_of(p.before["mean"], p.params["mean"]),
    )
    p.tape.compute(
        old_variance.step(),
        "forward",
        (old_variance, variance),
        Formula(*(rf"{move:g} (\frac{{n}}{{n - 1}} {new} - {old})" for new, old in both(variance, old_variance))),
        lambda old, new: move * (n / (n - 1) * new - old),
        p.params["variance"] - p.before["variance"],
        rounding=rounding_of(p.before["variance"], p.params["variance"]),
    )
    return mean, running_std(p, layer, variance)


def normalize(
    p: Pass, x: Symbol, mean: Symbol, tau: Symbol, gamma: Symbol, beta: Symbol, Y: Array
) -> tuple[Symbol, Symbol]:
    """Record H = (X - mean) / tau and H gamma + beta."""
    h = p.tape.compute(
        p.tape.unit("h"),
        "forward",
        (x, mean, tau),
        Formula(*(f"({x} - {mean}) / {tau}" for x, mean, tau in both(x, mean, tau))),
        lambda X, mean, tau: (X - mean) / tau,
        wrong={"the mean is not subtracted": lambda X, mean, tau: X / tau},
    )
    y = p.tape.compute(
        p.tape.unit("n"),
        "forward",
        (h, gamma, beta),
        Formula(rf"{h.row} \odot {gamma.row} + {beta.row}", f"{gamma.column()} {h.column()} + {beta.column()}"),
        lambda H, gamma, beta: H * gamma + beta,
        Y,
        wrong={"beta is missing": lambda H, gamma, beta: H * gamma},
    )
    return h, y


def normalize_backward(p: Pass, dy: Symbol, h: Symbol, gamma: Symbol, beta: Symbol) -> Symbol:
    """Record the gradients of gamma and beta, and the derivative with respect to H."""
    p.gradient("gamma", gamma, (dy, h), product_over_rows(p.tape, dy, h), sum_of_products)
    p.gradient("beta", beta, (dy,), sum_over_rows(p.tape, dy), sum_of_rows)
    return p.tape.compute(
        h.derivative(),
        "derivative",
        (dy, gamma),
        Formula(rf"{dy.row} \odot {gamma.row}", f"{dy.column()} {gamma.column()}"),
        np.multiply,
        wrong={"gamma is missing": lambda dY, gamma: dY},
        derivative_of=h.name,
    )


def mean_over(index: str, count: str, term: str) -> str:
    """Return the formula of a mean."""
    return rf"\frac{{1}}{{{count}}} \sum_{{{index}}} {term}"


def std_of(variance: str) -> str:
    """Return the formula of a standard deviation."""
    return rf"\sqrt{{{variance} + \epsilon}}"
