r"""The optimizers as terms: the step of each in one parameter array.

The values come from the optimizer's `step` on the whole parameter vector. All operations are elementwise. The
hyperparameters are shown in the summary of the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.insight.trace.tape import Tape, derivative_of, rounding_of, step_of
from chainrule.nn.network import Network
from chainrule.nn.vector import Block
from chainrule.terms import Function, Number, Symbol, Term, instead, let, part, sqrt
from chainrule.training.optimizers import SGD, Adam, AdamW, Optimizer, RMSProp

# The rules: the optimizer, the gradient g, the parameter theta and a function that records a moment -> the step.

_Moment = Callable[[str, str], Symbol]
"""Maps the name of a moment in the optimizer and its letter to its symbol."""


def _sgd(optimizer: Any, g: Term, theta: Term, moment: _Moment, decay: Any) -> Term:
    """-rate g, with momentum and Nesterov's look-ahead."""
    rate, mu = Number(optimizer.learning_rate, r"\eta"), Number(optimizer.momentum, r"\mu")
    if not optimizer.momentum:
        return -(part(rate, "the learning rate") * g)
    v = moment("velocity", "v")
    velocity = part(mu * v, "the momentum") - rate * g
    if not optimizer.nesterov:
        return velocity
    ahead = instead(mu * (mu * v - rate * g) - rate * g, "the momentum is missing", -(rate * g))
    return instead(ahead, "the Nesterov look-ahead is missing", velocity)


def _rmsprop(optimizer: Any, g: Term, theta: Term, moment: _Moment, decay: Any) -> Term:
    """-rate g / (sqrt(v) + epsilon)."""
    rate, rho = Number(optimizer.learning_rate, r"\eta"), Number(optimizer.rho, r"\rho")
    v = rho * moment("square", "v") + (1 - rho) * g**2
    return -(rate * g) / (sqrt(v) + Number(optimizer.epsilon, r"\epsilon"))


def _adam(optimizer: Any, g: Term, theta: Term, moment: _Moment, decay: Any) -> Term:
    """-rate m' / (sqrt(v') + epsilon)."""
    beta1, beta2 = (Number(beta, rf"\beta_{k}") for k, beta in enumerate(optimizer.betas, 1))
    rate, epsilon = Number(optimizer.learning_rate, r"\eta"), Number(optimizer.epsilon, r"\epsilon")
    t = Number(optimizer.steps + 1, "t")
    m = (beta1 * moment("mean", "m") + (1 - beta1) * g) / part(1 - beta1**t, "the bias correction")
    v = (beta2 * moment("square", "v") + (1 - beta2) * g**2) / part(1 - beta2**t, "the bias correction")
    return -(rate * let(r"\hat{m}", m)) / (sqrt(let(r"\hat{v}", v)) + epsilon)


def _adamw(optimizer: Any, g: Term, theta: Term, moment: _Moment, decay: Any) -> Term:
    """Adam's step plus weight decay, -rate decay theta; decay is a number or nested tuples of the shape of theta."""
    rate, factor = Number(optimizer.learning_rate, r"\eta"), Number(decay, r"\lambda")
    return _adam(optimizer, g, theta, moment, decay) - part(rate * factor * theta, "the weight decay")


RULES: dict[type[Optimizer], Callable[..., Term]] = {SGD: _sgd, RMSProp: _rmsprop, Adam: _adam, AdamW: _adamw}

# Recording.


def record_steps(tape: Tape, net: Network, optimizer: Optimizer) -> None:
    """Record the step in every parameter; neither net nor optimizer is changed."""
    theta, moved = net.theta.copy(), deepcopy(optimizer)
    for name, moment in moved.moments.items():
        moved.moments[name] = moment.astype(np.float64)
    moved.step(theta, net.grad.copy())
    blocks = {block.full_name: block for block in net.blocks if block.full_name in tape.parameters}
    for name, block in blocks.items():
        symbol = tape.parameters[name]
        if type(optimizer) in RULES:
            step = _library_step(tape, optimizer, symbol, block)
        else:
            step = _custom_step(tape, optimizer, blocks, block)
        before, after = tape[symbol], _in(block, theta)
        tape.compute(step_of(symbol), step, after - before, "step", rounding=rounding_of(before, after))


def _in(block: Block, vector: Array) -> Array:
    """Return the entries of a parameter in a vector like theta."""
    return vector[block.slice].reshape(block.shape)


def _library_step(tape: Tape, optimizer: Any, theta: Symbol, block: Block) -> Term:
    """Return the step of an optimizer of the table, whose moments before the step are recorded."""

    def moment(name: str, letter: str) -> Symbol:
        symbol = replace(theta, name=f"{letter} {theta.name}", look=replace(theta.look, role=f"moment {letter}"))
        known = name in optimizer.moments
        return tape.give(symbol, _in(block, optimizer.moments[name]) if known else np.zeros(block.shape))

    decay = np.asarray(getattr(optimizer, "weight_decay", 0.0), np.float64)
    decays = _as_tuples((_in(block, decay) if decay.ndim else decay).tolist())
    step = RULES[type(optimizer)](optimizer, derivative_of(theta), theta, moment, decays)
    return instead(step, "the sign is wrong (gradient ascent)", -step)


def _as_tuples(values: Any) -> Any:
    """Return nested lists as tuples, which a term can contain."""
    return tuple(map(_as_tuples, values)) if isinstance(values, list) else values


def _custom_step(tape: Tape, optimizer: Optimizer, blocks: Mapping[str, Block], block: Block) -> Term:
    """Return the step of a custom optimizer, of which only `step` is known, as a function of all parameters."""
    thetas = [tape.parameters[name] for name in blocks]

    def value(*values: Array) -> Array:
        before, grad = (
            np.concatenate([array.ravel() for array in arrays])
            for arrays in (values[: len(thetas)], values[len(thetas) :])
        )
        moved = before.copy()
        deepcopy(optimizer).step(moved, grad)
        return _in(block, moved - before)

    shown = Function("", rf"\operatorname{{{type(optimizer).__name__.replace('_', '')}}}")
    theta, g = Number(0, r"\theta"), Number(0, "g")
    return Function("step", "", lambda *args: shown(theta, g), value=value)(*thetas, *map(derivative_of, thetas))
