r"""The formulas of the optimizers: the step of each in one parameter array.

The values come from the optimizer's `step` on the whole parameter vector. In a formula, g is the gradient, and all
operations are elementwise. The hyperparameters are shown in the summary of the trace.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.insight.tracing.quantities import Formula, Function, Symbol, Tape, rounding_of
from chainrule.nn.network import Network
from chainrule.nn.vector import Block
from chainrule.training.optimizers import SGD, Adam, AdamW, Optimizer, RMSProp


@dataclass(frozen=True)
class Rule:
    """A step: its formula, in which `g` is the gradient and `*` the parameter, and its function.

    The function takes the gradient, the moments named in `moments` and, if it `decays`, the parameter.
    """

    formula: str
    function: Function
    moments: tuple[str, ...] = ()
    wrong: dict[str, Function] = field(default_factory=dict)
    decays: bool = False


def sgd(optimizer: Any, block: Block) -> Rule:
    """-rate g, with momentum and Nesterov's look-ahead."""
    rate, mu = optimizer.learning_rate, optimizer.momentum
    if not mu:
        return Rule(r"-\eta g", lambda g: -rate * g, (), {"the learning rate is missing": lambda g: -g})

    def plain(g: Array, v: Array) -> Array:
        return mu * v - rate * g

    wrong = {"the momentum is missing": lambda g, v: -rate * g}
    if not optimizer.nesterov:
        return Rule(r"\mu v - \eta g", plain, ("velocity",), wrong)
    return Rule(
        r"\mu (\mu v - \eta g) - \eta g",
        lambda g, v: mu * plain(g, v) - rate * g,
        ("velocity",),
        wrong | {"the Nesterov look-ahead is missing": plain},
    )


def rmsprop(optimizer: Any, block: Block) -> Rule:
    """-rate g / (sqrt(v) + epsilon)."""
    rate, rho, epsilon = optimizer.learning_rate, optimizer.rho, optimizer.epsilon
    return Rule(
        r"\frac{-\eta g}{\sqrt{\rho v + (1 - \rho) (g)^{2}} + \epsilon}",
        lambda g, v: -rate * g / (np.sqrt(rho * v + (1 - rho) * g**2) + epsilon),
        ("square",),
    )


def adam(optimizer: Any, block: Block) -> Rule:
    """-rate m' / (sqrt(v') + epsilon)."""
    rate, (beta1, beta2), epsilon = optimizer.learning_rate, optimizer.betas, optimizer.epsilon
    t = optimizer.steps + 1

    def step(g: Array, m: Array, v: Array) -> Array:
        mean = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)
        square = (beta2 * v + (1 - beta2) * g**2) / (1 - beta2**t)
        return -rate * mean / (np.sqrt(square) + epsilon)

    def uncorrected(g: Array, m: Array, v: Array) -> Array:
        root = np.sqrt(beta2 * v + (1 - beta2) * g**2)
        return -rate * (beta1 * m + (1 - beta1) * g) / (root + epsilon)

    return Rule(
        r"\frac{-\eta \hat{m}}{\sqrt{\hat{v}} + \epsilon}, \;"
        r" \hat{m} = \frac{\beta_{1} m + (1 - \beta_{1}) g}{1 - \beta_{1}^{t}}, \;"
        r" \hat{v} = \frac{\beta_{2} v + (1 - \beta_{2}) (g)^{2}}{1 - \beta_{2}^{t}}",
        step,
        ("mean", "square"),
        {"the bias correction is missing": uncorrected},
    )


def adamw(optimizer: Any, block: Block) -> Rule:
    """Adam's step plus weight decay, -rate decay theta."""
    inner = adam(optimizer, block)
    decay = np.asarray(optimizer.weight_decay, np.float64)
    decay = decay[block.slice].reshape(block.shape) if decay.ndim else decay

    def step(g: Array, m: Array, v: Array, theta: Array) -> Array:
        return inner.function(g, m, v) - optimizer.learning_rate * decay * theta

    formula = inner.formula.replace(r"\epsilon}, \;", r"\epsilon} - \eta \lambda *, \;", 1)
    wrong = {"the weight decay is missing": lambda g, m, v, theta: inner.function(g, m, v)}
    return Rule(formula, step, inner.moments, wrong, decays=True)


RULES: dict[type[Optimizer], Callable[[Any, Block], Rule]] = {SGD: sgd, RMSProp: rmsprop, Adam: adam, AdamW: adamw}

LETTERS = {"mean": "m", "square": "v", "velocity": "v"}


def record_steps(tape: Tape, net: Network, optimizer: Optimizer, parameters: dict[str, Symbol]) -> None:
    """Record the step in every parameter, by its full name in `net`; neither net nor optimizer is changed."""
    theta, copy = net.theta.copy(), deepcopy(optimizer)
    for name, moment in copy.moments.items():
        copy.moments[name] = moment.astype(np.float64)
    copy.step(theta, net.grad.copy())
    blocks = [block for block in net.blocks if block.full_name in parameters]
    for block in blocks:
        after = theta[block.slice].reshape(block.shape)
        if type(optimizer) in RULES:
            record_step(tape, optimizer, block, parameters[block.full_name], after)
        else:
            record_custom_step(tape, optimizer, blocks, block, parameters, after)


def record_step(tape: Tape, optimizer: Optimizer, block: Block, theta: Symbol, after: Array) -> None:
    """Record the step of an optimizer of the table, after which the parameter is `after`."""
    rule, g = RULES[type(optimizer)](optimizer, block), theta.derivative()
    kept = {}
    for name in rule.moments:
        moment = optimizer.moments.get(name)
        before = np.zeros(block.shape) if moment is None else moment[block.slice].reshape(block.shape)
        letter = LETTERS[name]
        around = rf"{letter}({theta.around})"
        symbol = Symbol(
            f"{letter} {theta.name}", f"{letter}({theta.row})", theta.letter, theta.above, theta.index, around
        )
        kept[letter] = tape.give(symbol, before)
    titles = {"g": g, "*": theta, **kept}
    place = re.compile(r"(?<![\\A-Za-z{])(?:g|m|v)(?![A-Za-z])|\*")
    row = place.sub(lambda match: titles[match[0]].row, rule.formula)
    column = place.sub(lambda match: titles[match[0]].column(), rule.formula)
    tape.compute(
        theta.step(),
        "step",
        (g, *kept.values(), *([theta] if rule.decays else [])),
        Formula(row, column),
        rule.function,
        after - tape[theta],
        wrong={"the sign is wrong (gradient ascent)": lambda *values: -rule.function(*values), **rule.wrong},
        rounding=rounding_of(tape[theta], after),
    )


def record_custom_step(
    tape: Tape, optimizer: Optimizer, blocks: list[Block], block: Block, parameters: dict[str, Symbol], after: Array
) -> None:
    """Record the step of a custom optimizer, of which only `step` is known."""
    thetas = [parameters[block.full_name] for block in blocks]
    count = len(blocks)

    def step(*values: Array) -> Array:
        before, grad = (np.concatenate([array.ravel() for array in part]) for part in (values[:count], values[count:]))
        moved = before.copy()
        deepcopy(optimizer).step(moved, grad)
        return (moved - before)[block.slice].reshape(block.shape)

    name = rf"\operatorname{{{type(optimizer).__name__.replace('_', '')}}}(\theta, g)"
    theta = parameters[block.full_name]
    tape.compute(
        theta.step(),
        "step",
        (*thetas, *(theta.derivative() for theta in thetas)),
        Formula(name, name),
        step,
        after - tape[theta],
        rounding=rounding_of(tape[theta], after),
    )
