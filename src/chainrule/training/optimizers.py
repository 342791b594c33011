"""Optimisers: each moves one vector, `theta`, against its gradient, in place.

    optimizer.step(theta, grad)          theta <- theta - learning_rate * direction

From simple to complex: SGD, RMSProp, Adam, AdamW. What an optimiser remembers lies in `moments`, named vectors of
theta's shape that start at zero, and in `steps`, the number of steps taken: copy those two and it goes on as if never
stopped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import sqrt
from typing import final

import numpy as np

from chainrule.arrays import Array, require
from chainrule.errors import look_up
from chainrule.training.kernels import KERNELS, Kernels, parts

FLUSH_EVERY = 256
"""Steps between two flushes of moments that have decayed into denormal numbers, which are many times slower to use."""


@dataclass
class Optimizer(ABC):
    """What every optimiser answers. Your own needs `step`."""

    learning_rate: float
    steps: int = field(default=0, init=False)
    moments: dict[str, Array] = field(default_factory=dict, init=False, repr=False)
    kernels_name: str = field(default="numpy", init=False, repr=False)

    def __post_init__(self) -> None:
        require(0 < self.learning_rate < np.inf, "learning_rate", "be finite and > 0", self.learning_rate)

    @abstractmethod
    def step(self, theta: Array, grad: Array, rate: float | Array | None = None) -> None:
        """Move `theta` in place; `grad` stays as it is.

        `rate`, a number or one for each entry, stands in for `learning_rate`.
        """

    @property
    def kernels(self) -> Kernels:
        """The form in which steps are taken; a training chooses it."""
        return KERNELS[self.kernels_name]()

    def moment(self, name: str, theta: Array) -> Array:
        """Return the named moment, zeros at first."""
        if name not in self.moments:
            self.moments[name] = np.zeros_like(theta)
        elif self.moments[name].shape != theta.shape:
            raise ValueError(
                "theta must keep its shape from step to step; this optimiser has begun with another network, "
                f"however: theta.shape={theta.shape}, {name}.shape={self.moments[name].shape}"
            )
        elif self.steps % FLUSH_EVERY == 0:
            flush_denormals(self.moments[name])
        return self.moments[name]


@final
@dataclass
class SGD(Optimizer):
    """Stochastic gradient descent: theta <- theta - rate g.

    With `momentum` mu: v <- mu v - rate g, theta <- theta + v (Sutskever et al. 2013, eqs. 1 and 2). With `nesterov`,
    theta <- theta + mu v - rate g, its eqs. 3 and 4 in terms of the point ahead. The rate is inside the velocity, as in
    the paper and in scikit-learn; PyTorch multiplies it in afterwards, which differs when the rate changes.
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.momentum <= 1, "momentum", "be in [0, 1]", self.momentum)
        require(self.momentum > 0 or not self.nesterov, "momentum", "be > 0 for nesterov", self.momentum)

    def step(self, theta: Array, grad: Array, rate: float | Array | None = None) -> None:
        rate = self.learning_rate if rate is None else rate
        if self.momentum:
            step = self.kernels.nesterov if self.nesterov else self.kernels.momentum
            step(theta, grad, self.moment("velocity", theta), rate, self.momentum)
        else:
            self.kernels.sgd(theta, grad, rate)
        self.steps += 1


@final
@dataclass
class RMSProp(Optimizer):
    """v <- rho v + (1 - rho) g^2, theta <- theta - rate g / (sqrt(v) + epsilon) (Hinton's lectures, 6e, 2012)."""

    learning_rate: float = 0.001
    rho: float = 0.9
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.rho < 1, "rho", "be in [0, 1)", self.rho)
        require(self.epsilon > 0, "epsilon", "be > 0", self.epsilon)

    def step(self, theta: Array, grad: Array, rate: float | Array | None = None) -> None:
        rate = self.learning_rate if rate is None else rate
        self.kernels.rmsprop(theta, grad, self.moment("square", theta), rate, self.rho, self.epsilon)
        self.steps += 1


@dataclass
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1), epsilon outside the root of the corrected second moment.

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,
    theta <- theta - rate m' / (sqrt(v') + epsilon),  m' = m / (1 - b1^t),  v' = v / (1 - b2^t).

    Kept as m / (1 - b1) and v / (1 - b2), with the constants folded into rate and epsilon: two passes over memory less.
    """

    learning_rate: float = 0.001
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        require(all(0 <= beta < 1 for beta in self.betas), "betas", "be in [0, 1)", self.betas)
        require(self.epsilon > 0, "epsilon", "be > 0", self.epsilon)

    def step(self, theta: Array, grad: Array, rate: float | Array | None = None) -> None:
        mean, square = self.moment("mean", theta), self.moment("square", theta)
        self.steps += 1
        beta1, beta2 = self.betas
        corrected_mean = (1 - beta1) / (1 - beta1**self.steps)
        corrected_root = sqrt((1 - beta2) / (1 - beta2**self.steps))
        scale = (self.learning_rate if rate is None else rate) * (corrected_mean / corrected_root)
        self.kernels.adam(theta, grad, mean, square, scale, beta1, beta2, self.epsilon / corrected_root)


@final
@dataclass
class AdamW(Adam):
    """Adam with decoupled weight decay: first theta <- theta (1 - rate weight_decay).

    (Loshchilov & Hutter 2019, algorithm 2, with the decay times the rate, as in PyTorch.)
    `weight_decay` may be a vector of theta's shape: `net.per_parameter({"W": 0.01}, default=0)` spares everything but
    the weight matrices.
    """

    weight_decay: float | Array = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(np.all(np.asarray(self.weight_decay) >= 0)), "weight_decay", "be >= 0", self.weight_decay)

    def step(self, theta: Array, grad: Array, rate: float | Array | None = None) -> None:
        theta *= 1 - (self.learning_rate if rate is None else rate) * self.weight_decay
        super().step(theta, grad, rate)


def flush_denormals(vector: Array) -> None:
    """Set to zero, in place, what is too small to be held in full."""
    for part in parts(vector.size):
        some = vector[part]
        some[np.abs(some) < np.finfo(vector.dtype).tiny] = 0


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSProp, "adam": Adam, "adamw": AdamW}


def as_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """Return the optimiser itself, or the one of that name with its defaults."""
    return optimizer if isinstance(optimizer, Optimizer) else look_up(OPTIMIZERS, optimizer, "optimizer")()  # type: ignore[call-arg]
