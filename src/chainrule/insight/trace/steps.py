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

# The rules. Each takes the optimizer, the gradient g, the moments by letter, the parameter theta and its block.


def _sgd(optimizer: Any, g: Term, moments: Mapping[str, Term], theta: Term, block: Block) -> Term:
    """-rate g, with momentum and Nesterov's look-ahead."""
    rate, mu = _rate(optimizer), Number(optimizer.momentum, r"\mu")
    if not optimizer.momentum:
        return -(part(rate, "the learning rate") * g)
    velocity = part(mu * moments["v"], "the momentum") - rate * g
    if not optimizer.nesterov:
        return velocity
    ahead = mu * (mu * moments["v"] - rate * g) - rate * g
    return instead(
        instead(ahead, "the Nesterov look-ahead is missing", velocity), "the momentum is missing", -(rate * g)
    )


def _rmsprop(optimizer: Any, g: Term, moments: Mapping[str, Term], theta: Term, block: Block) -> Term:
    """-rate g / (sqrt(v) + epsilon)."""
    rho, epsilon = Number(optimizer.rho, r"\rho"), Number(optimizer.epsilon, r"\epsilon")
    return -(_rate(optimizer) * g) / (sqrt(rho * moments["v"] + (1 - rho) * g**2) + epsilon)


def _adam(optimizer: Any, g: Term, moments: Mapping[str, Term], theta: Term, block: Block) -> Term:
    """-rate m' / (sqrt(v') + epsilon)."""
    beta1, beta2 = (Number(beta, rf"\beta_{k}") for k, beta in enumerate(optimizer.betas, 1))
    epsilon, t = Number(optimizer.epsilon, r"\epsilon"), Number(optimizer.steps + 1, "t")

    def corrected(moment: Term, beta: Number) -> Term:
        return moment / part(1 - beta**t, "the bias correction")

    mean = let(r"\hat{m}", corrected(beta1 * moments["m"] + (1 - beta1) * g, beta1))
    square = let(r"\hat{v}", corrected(beta2 * moments["v"] + (1 - beta2) * g**2, beta2))
    return -(_rate(optimizer) * mean) / (sqrt(square) + epsilon)


def _adamw(optimizer: Any, g: Term, moments: Mapping[str, Term], theta: Term, block: Block) -> Term:
    """Adam's step plus weight decay, -rate decay theta."""
    decay = np.asarray(optimizer.weight_decay, np.float64)
    decay = decay[block.slice].reshape(block.shape) if decay.ndim else decay
    factor = Number(_as_tuples(decay.tolist()), r"\lambda")
    return _adam(optimizer, g, moments, theta, block) - part(_rate(optimizer) * factor * theta, "the weight decay")


def _rate(optimizer: Any) -> Number:
    return Number(optimizer.learning_rate, r"\eta")


def _as_tuples(values: Any) -> Any:
    """Return nested lists as tuples, which a term can contain."""
    return tuple(map(_as_tuples, values)) if isinstance(values, list) else values


RULES: dict[type[Optimizer], Callable[..., Term]] = {SGD: _sgd, RMSProp: _rmsprop, Adam: _adam, AdamW: _adamw}

_LETTERS = {"mean": "m", "square": "v", "velocity": "v"}
"""Name of a moment -> its letter, in the order of the formula."""


def _moments_of(optimizer: Any) -> tuple[str, ...]:
    if isinstance(optimizer, SGD):
        return ("velocity",) if optimizer.momentum else ()
    return ("mean", "square") if isinstance(optimizer, Adam) else ("square",)


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
            moments = _give_moments(tape, optimizer, block, symbol)
            step = RULES[type(optimizer)](optimizer, derivative_of(symbol), moments, symbol, block)
            step = instead(step, "the sign is wrong (gradient ascent)", -step)
        else:
            step = _custom_step(tape, optimizer, blocks, block)
        before, after = tape[symbol], theta[block.slice].reshape(block.shape)
        tape.compute(step_of(symbol), step, after - before, "step", rounding=rounding_of(before, after))


def _give_moments(tape: Tape, optimizer: Optimizer, block: Block, theta: Symbol) -> dict[str, Symbol]:
    """Record the moments of a parameter before the step; return their symbols by letter."""
    moments = {}
    for name in _moments_of(optimizer):
        moment = optimizer.moments.get(name)
        before = np.zeros(block.shape) if moment is None else moment[block.slice].reshape(block.shape)
        letter = _LETTERS[name]
        moments[letter] = tape.give(
            replace(theta, name=f"{letter} {theta.name}", look=replace(theta.look, role=f"moment {letter}")), before
        )
    return moments


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
        return (moved - before)[block.slice].reshape(block.shape)

    shown = Function("", rf"\operatorname{{{type(optimizer).__name__.replace('_', '')}}}")
    theta, g = Number(0, r"\theta"), Number(0, "g")
    return Function("step", "", lambda *args: shown(theta, g), value=value)(*thetas, *map(derivative_of, thetas))
