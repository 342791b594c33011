"""Optimizers: each moves one vector, `theta`, against its gradient, in place.

    optimizer.step(theta, grad)          theta <- theta - learning_rate * direction

The update rules come first, from simple to complex, then the optimizers that apply them: SGD, RMSProp, Adam, AdamW.

A rule is elementwise. It is written once, with in-place operators, and works on arrays, which it changes, and on single
entries, whose new values it returns: `update` applies it to blocks of vectors, and `compiled.fused` compiles the same
function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, final

import numpy as np

from chainrule.arrays import Array, Checked, require
from chainrule.errors import look_up, suggest_keywords

Rate = float | Array
Rule = tuple[Callable[..., Any], tuple[str, ...]]
"""An update rule and the names of its moments."""
Update = Callable[[Callable[..., Any], tuple[Array, ...], Rate, tuple[float, ...]], None]
"""`update(rule, (theta, grad, *moments), rate, constants)` applies a rule in place."""

BLOCK = 65536
"""Entries of theta that a rule is applied to at once: their blocks of moments stay in the cache between operations."""
FLUSH_EVERY = 256
"""Steps between two flushes of moments that have decayed into denormal numbers, which slow every operation down."""


# Update rules: g is the gradient, `rate` the learning rate.


def sgd(theta: Any, g: Any, rate: Any) -> Any:
    """theta <- theta - rate g."""
    theta -= rate * g
    return theta


def momentum(theta: Any, g: Any, v: Any, rate: Any, mu: Any) -> Any:
    """v <- mu v - rate g;  theta <- theta + v."""
    v *= mu
    v -= rate * g
    theta += v
    return theta, v


def nesterov(theta: Any, g: Any, v: Any, rate: Any, mu: Any) -> Any:
    """v <- mu v - rate g;  theta <- theta + mu v - rate g."""
    move = rate * g
    v *= mu
    v -= move
    theta += mu * v - move
    return theta, v


def rmsprop(theta: Any, g: Any, v: Any, rate: Any, rho: Any, rest: Any, epsilon: Any) -> Any:
    """v <- rho v + (1 - rho) g^2;  theta <- theta - rate g / (sqrt(v) + epsilon).  `rest` is 1 - rho."""
    v *= rho
    v += rest * g * g
    theta -= rate * g / (np.sqrt(v) + epsilon)
    return theta, v


def adam(
    theta: Any, g: Any, m: Any, v: Any, rate: Any, beta1: Any, rest1: Any, beta2: Any, rest2: Any, eps: Any
) -> Any:
    """m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;  theta <- theta - rate m / (sqrt(v) + eps).

    `rest1` is 1 - beta1, `rest2` is 1 - beta2. The bias corrections are already in rate and eps: see `Adam`.
    """
    m *= beta1
    m += rest1 * g
    square = g * g
    square *= rest2
    v *= beta2
    v += square
    root = np.sqrt(v)  # in place from here on, for the speed of arrays
    root += eps
    step = m / root
    step *= rate
    theta -= step
    return theta, m, v


def update(rule: Callable[..., Any], vectors: tuple[Array, ...], rate: Rate, constants: tuple[float, ...]) -> None:
    """Apply a rule to vectors of the same length, block by block."""
    size = vectors[0].size
    if size <= BLOCK:
        rule(*vectors, rate, *constants)
        return
    for start in range(0, size, BLOCK):
        block = slice(start, start + BLOCK)
        part = rate[block] if isinstance(rate, np.ndarray) else rate
        rule(*(vector[block] for vector in vectors), part, *constants)


# Optimizers.


@dataclass
class Optimizer(Checked):
    """Base class. A custom optimizer defines `rule` and `arguments`, or `step` alone.

    Everything an optimizer remembers is in `moments`, named vectors with the shape of theta that start at zero, and in
    `steps`, the number of steps taken: with copies of these two it continues as if never interrupted.
    """

    learning_rate: Annotated[float, "finite and > 0"]
    steps: int = field(default=0, init=False)
    moments: dict[str, Array] = field(default_factory=dict, init=False, repr=False)
    update: Update = field(default_factory=lambda: update, init=False, repr=False, compare=False)
    """What applies the update rule; a training run lends its own."""

    @property
    def rule(self) -> Rule:
        """The update rule, and the names of the moments that it takes after theta and the gradient."""
        raise NotImplementedError(f"{type(self).__name__} must define rule and arguments, or step")

    def arguments(self, rate: Any, t: Any) -> tuple[Any, ...]:
        """Return what the rule takes after the moments, for step number t, from 1: `rate` first. Both may be arrays."""
        return (rate,)

    def step(self, theta: Array, grad: Array, rate: Rate | None = None) -> None:
        """Move `theta` in place; `grad` does not change.

        `rate`, one number or one for each entry, replaces `learning_rate`.
        """
        rule, moments = self.rule
        rate, *constants = self.arguments(self.learning_rate if rate is None else rate, self.steps + 1)
        self.update(rule, (theta, grad, *[self.moment(name, theta) for name in moments]), rate, tuple(constants))
        self.steps += 1

    def moment(self, name: str, theta: Array) -> Array:
        """Return the moment with this name, initially zeros."""
        moment = self.moments.get(name)
        if moment is None:
            moment = self.moments[name] = np.zeros_like(theta)
        elif moment.shape != theta.shape:
            raise ValueError(
                f"theta must have shape {moment.shape}, got {theta.shape}. An optimizer that has taken steps "
                "belongs to its network: make a new one."
            )
        elif self.steps % FLUSH_EVERY == 0:
            flush_denormals(moment)
        return moment


@suggest_keywords
@final
@dataclass
class SGD(Optimizer):
    """Stochastic gradient descent: theta <- theta - rate g.

    With `momentum` mu: v <- mu v - rate g, theta <- theta + v (Sutskever et al. 2013, eqs. 1 and 2). With `nesterov`:
    theta <- theta + mu v - rate g, its eqs. 3 and 4 in terms of the look-ahead point. As in the paper and in
    scikit-learn, the rate is inside the velocity; PyTorch multiplies by it afterwards, which differs when the rate
    changes.
    """

    learning_rate: Annotated[float, "finite and > 0"] = 0.01
    momentum: Annotated[float, "in [0, 1]"] = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.momentum > 0 or not self.nesterov, "momentum", "be > 0 with nesterov=True", self.momentum)

    @property
    def rule(self) -> Rule:
        if not self.momentum:
            return sgd, ()
        return nesterov if self.nesterov else momentum, ("velocity",)

    def arguments(self, rate: Any, t: Any) -> tuple[Any, ...]:
        return (rate, self.momentum) if self.momentum else (rate,)


@suggest_keywords
@final
@dataclass
class RMSProp(Optimizer):
    """v <- rho v + (1 - rho) g^2, theta <- theta - rate g / (sqrt(v) + epsilon) (Hinton's lecture 6e, 2012)."""

    learning_rate: Annotated[float, "finite and > 0"] = 0.001
    rho: Annotated[float, "in [0, 1)"] = 0.9
    epsilon: Annotated[float, "> 0"] = 1e-8

    @property
    def rule(self) -> Rule:
        return rmsprop, ("square",)

    def arguments(self, rate: Any, t: Any) -> tuple[Any, ...]:
        return rate, self.rho, 1 - self.rho, self.epsilon


@suggest_keywords
@dataclass
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1).

    m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2,
    theta <- theta - rate m' / (sqrt(v') + epsilon),  m' = m / (1 - beta1^t),  v' = v / (1 - beta2^t).

    The bias corrections are folded into rate and epsilon, as in the paper's section 2, last paragraph.
    """

    learning_rate: Annotated[float, "finite and > 0"] = 0.001
    betas: Annotated[tuple[float, float], "two numbers in [0, 1)"] = (0.9, 0.999)
    epsilon: Annotated[float, "> 0"] = 1e-8

    @property
    def rule(self) -> Rule:
        return adam, ("mean", "square")

    def arguments(self, rate: Any, t: Any) -> tuple[Any, ...]:
        beta1, beta2 = self.betas
        root = (1 - beta2**t) ** 0.5
        # rate m' / (sqrt(v') + epsilon) = (rate root / (1 - beta1^t)) m / (sqrt(v) + epsilon root)
        return rate * (root / (1 - beta1**t)), beta1, 1 - beta1, beta2, 1 - beta2, self.epsilon * root


@suggest_keywords
@final
@dataclass
class AdamW(Adam):
    """Adam with decoupled weight decay: first theta <- theta (1 - rate weight_decay).

    (Loshchilov & Hutter 2019, algorithm 2; the decay is multiplied by the learning rate, as in PyTorch.)
    `weight_decay` may be a vector with the shape of theta: `net.per_parameter({"W": 0.01}, default=0)` decays nothing
    but the weight matrices.
    """

    weight_decay: Annotated[float | Array, ">= 0"] = 0.01

    def step(self, theta: Array, grad: Array, rate: Rate | None = None) -> None:
        theta *= 1 - (self.learning_rate if rate is None else rate) * self.weight_decay
        super().step(theta, grad, rate)


def flush_denormals(vector: Array) -> None:
    """Set entries below the smallest normal number to zero."""
    for start in range(0, vector.size, BLOCK):
        some = vector[start : start + BLOCK]
        some[np.abs(some) < np.finfo(vector.dtype).tiny] = 0


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSProp, "adam": Adam, "adamw": AdamW}


def as_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """Return the optimizer itself, or the one with this name and default options."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    name = optimizer.lower() if isinstance(optimizer, str) else optimizer
    return look_up(OPTIMIZERS, name if name in OPTIMIZERS else optimizer, "optimizer")()  # type: ignore[call-arg]
