"""A training run: everything that the loop, the guard, schedules, callbacks and checkpoints share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import inf, nan, sqrt
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, require
from chainrule.data.rowfile import EncodedRows
from chainrule.errors import OutOfRangeError
from chainrule.metrics import Metric
from chainrule.training.batches import Batch, batches
from chainrule.training.history import History
from chainrule.training.kernels import choose
from chainrule.training.optimizers import Optimizer
from chainrule.training.schedules import Schedule


class Objective(Protocol):
    """What a run requires; all arrays have been checked. A Network is one, on one machine or on forty."""

    buffers: Array

    @property
    def theta(self) -> Array:
        """Every parameter, one vector, which the optimizer changes in place."""

    def objective(
        self, X: Array, y: Array, weight: Array | None = None, rng: np.random.Generator | None = None
    ) -> tuple[float, Array]:
        """Return the loss and its gradient with respect to theta."""

    def value(self, X: Array, y: Array, weight: Array | None = None) -> float:
        """Return the loss in inference mode."""

    def __call__(self, X: ArrayLike) -> Array:
        """Return predictions; used by metrics."""


class Trainable(Objective, Protocol):
    """What `train` requires: an objective that checks its input."""

    def check(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Batch:
        """Return the arrays in the form that the other methods require, or raise ValueError."""

    def per_parameter(self, values: Mapping[str, float], default: float = 1.0) -> Array:
        """Return a vector like theta with one value for each block."""


@dataclass(repr=False)
class Run:
    """The state of a training run.

    For callbacks: `net`, `optimizer`, `history`; `epoch` (from 0), `epochs`, `progress` from 0 to 1; of the current
    batch `batch` (from 0), `n_batches`, `batch_rows`, `loss`, `gradient_norm`; and `stop`: set it to end training.
    """

    net: Objective
    rows: Batch
    validation: Batch | None
    optimizer: Optimizer
    schedule: Schedule
    epochs: int
    batch_size: int
    metrics: list[Metric]
    clip_norm: float
    multipliers: float | Array
    shuffle: bool
    rng: np.random.Generator
    more: EncodedRows | None = None
    """Further rows to train on, which are on disk."""
    kernels: str = "auto"
    seeded: bool = True
    """Whether the caller chose the generator: a checkpoint then checks that it is the same one."""
    history: History = field(default_factory=History)
    callbacks: list[Any] = field(default_factory=list)
    """Every callback, in the order in which they are called."""
    hooks: dict[str, list[Any]] = field(default_factory=dict)
    """By name, the hooks that callbacks override."""
    epoch: int = 0
    epoch_fraction: float = 0.0
    """The fraction of the current epoch that is done."""
    batch: int = 0
    batch_rows: Batch = field(init=False)
    loss: float = nan
    gradient_norm: float = nan
    results: dict[str, float] = field(default_factory=dict)
    """What the history will record of the current epoch, by column."""
    rate_scale: float = 1.0
    """Factor on the learning rate; each rollback halves it."""
    stop: str = ""
    cut_short: bool = False
    """Whether training stopped before the end of the epoch."""

    def __post_init__(self) -> None:
        sizes = [len(self.rows[0]), *(self.more.sizes if self.more else [])]
        self.n_batches = sum(-(-size // self.batch_size) for size in sizes)
        prefix = "" if self.validation is None else "validation_"
        names = [metric.name for metric in self.metrics]
        require(len(set(names)) == len(names), "metrics", "have different names", names)
        for metric in self.metrics:
            metric.check((self.validation or self.rows)[1])
        self.history.monitor = f"{prefix}loss"
        self.history.metrics = {prefix + metric.name: [] for metric in self.metrics}
        self.history.higher_is_better = {prefix + metric.name for metric in self.metrics if metric.higher_is_better}
        self.use(self.kernels)

    def use(self, kernels: str) -> None:
        """Choose the kernels for every step from here on."""
        self.backend = choose(kernels, self.net.theta.size, self.epochs * self.n_batches)
        self.kernels, self.optimizer.update = self.backend.name, self.backend.update
        self.fused = self.backend.fuse(self.net)  # with NumPy, the network itself
        self.objective, self.square_sum = self.fused.objective, self.backend.square_sum

    @property
    def progress(self) -> float:
        """The fraction of the whole training that is done."""
        return (self.epoch + self.epoch_fraction) / self.epochs

    @property
    def rate(self) -> float:
        """The learning rate of the next step, before the multipliers of single blocks."""
        factor = self.schedule(self.epoch + self.epoch_fraction, self.progress)
        return self.optimizer.learning_rate * factor * self.rate_scale

    def call(self, hook: str) -> None:
        """Call a hook of all callbacks."""
        for function in self.hooks[hook]:
            function(self)

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of an epoch."""
        rng = self.rng if self.shuffle else None
        for rows in chain([self.rows], self.more.windows(rng) if self.more else ()):
            yield from batches(*rows, self.batch_size, rng)

    def begin_epoch(self) -> None:
        """Start the sums over the epoch's batches."""
        self.n_steps, self.weight_sum, self.loss_sum, self.norm_sum = 0, 0.0, 0.0, 0.0
        self.call("on_epoch_begin")

    def note(self, n_steps: int, rate: float, weight: float, loss: float, norm: float) -> None:
        """Record that so many steps of the epoch are done, and add to the sums of row weights, losses and norms."""
        self.n_steps, self.epoch_fraction, self.last_rate = n_steps, n_steps / self.n_batches, rate
        self.weight_sum += weight
        self.loss_sum += loss
        self.norm_sum += norm

    def end_epoch(self) -> None:
        """Record the epoch's results."""
        self.cut_short = bool(self.stop)
        loss, norm = self.loss_sum / (self.weight_sum or 1), self.norm_sum / self.n_steps
        self.results |= {"loss": loss, "gradient_norm": norm, "learning_rate": self.last_rate}

    def interrupt(self) -> None:
        """End training as Ctrl-C does."""
        self.stop, self.history.interrupted = "interrupted", True

    def norm(self, vector: Array) -> float:
        """Return the Euclidean norm; in float64 where the squares overflow the vector's own dtype."""
        square = self.square_sum(vector)
        if square == inf:
            square = self.square_sum(vector.astype(np.float64))
        return sqrt(square) if square >= 0 else square

    def measure(self) -> dict[str, float]:
        """Return the validation loss, if there are validation rows, and the metrics, by column."""
        results = {}
        if self.validation is not None:
            results["validation_loss"] = self.net.value(*self.validation)
        if self.metrics:
            X, y, weight = self.validation or (*self.rows[:2], None)
            try:
                prediction = self.net(X)
            except OutOfRangeError:  # the guard will find it in the next epoch
                return results | dict.fromkeys(self.history.metrics, nan)
            values = (metric.measure(y, prediction, weight) for metric in self.metrics)
            results |= dict(zip(self.history.metrics, values, strict=True))
        return results

    def __repr__(self) -> str:
        latest = f", {self.history.line()}" if len(self.history) else ""
        return f"Run(epoch {min(self.epoch + 1, self.epochs)} of {self.epochs}{latest})"
