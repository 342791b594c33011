"""The training loop: batches in, steps out, and nothing that is not finite survives.

A run needs of a network only what `Objective` lists, above all `objective(X, y, weight, rng) -> (loss, grad)` and
`theta`. Anything that answers that, one machine or forty, trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from math import inf, isfinite, nan, sqrt
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, all_finite, as_generator, require, require_integer
from chainrule.errors import DivergenceError, OutOfRangeError
from chainrule.training.batches import Batch, batches
from chainrule.training.callbacks import Callback, KeepBest, ProgressBar
from chainrule.training.checkpoint import Checkpoint
from chainrule.training.history import History
from chainrule.training.kernels import NUMPY, Kernels, choose
from chainrule.training.memory import keep_freed_memory
from chainrule.training.metrics import Metric, as_metric
from chainrule.training.optimizers import Optimizer, as_optimizer
from chainrule.training.schedules import Schedule, as_schedule

EXPLODED, RUINED = 1e6, 100
"""Times the fair loss, or 1 if that is more: beyond the first a batch's loss is as good as infinite, beyond the second
the loss that an epoch ends in.

On the way a loss may come back, but an epoch's end may be what the network is left with. Where no rollback is allowed,
which could mend it, the first counts for both.
"""
LOOKED_AT = 64
"""Rows by which an epoch's last step is judged."""
SAMPLED = 2**17
"""Parameters, evenly taken, by which the length of a step is told from that of the weights."""


class Objective(Protocol):
    """What a run needs, all of it for arrays that have been checked."""

    buffers: Array

    @property
    def theta(self) -> Array:
        """Every parameter, one vector, which the optimiser changes in place."""

    def objective(
        self, X: Array, y: Array, weight: Array | None = None, rng: np.random.Generator | None = None
    ) -> tuple[float, Array]:
        """Return the loss and its gradient in theta."""

    def value(self, X: Array, y: Array, weight: Array | None = None) -> float:
        """Return the loss at inference."""

    def predict(self, X: ArrayLike) -> Array:
        """Return answers."""

    def first_non_finite(self, X: Array, y: Array, weight: Array | None = None) -> str:
        """Name the first place where a number is not finite."""

    def largest_output(self, X: Array) -> str:
        """Name the layer whose output is the largest, and the number."""


class Trainable(Objective, Protocol):
    """What `train` needs: an objective that checks what it is given; `Network` is one."""

    def check(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Batch:
        """Return the arrays in the form the other methods take, or raise ValueError."""

    def per_parameter(self, values: Mapping[str, float], default: float = 1.0) -> Array:
        """Return a vector like theta with one number a block."""


def train(
    net: Trainable,
    X: ArrayLike,
    y: ArrayLike,
    *,
    optimizer: str | Optimizer = "adam",
    schedule: str | Schedule | Callable[[float, float], float] = "constant",
    epochs: int = 30,
    batch_size: int | None = 128,
    sample_weight: ArrayLike | None = None,
    validation: Sequence[ArrayLike] | None = None,
    metrics: Sequence[str | Metric | Callable[[Array, Array], float]] = (),
    clip_norm: float | None = None,
    learning_rate_multipliers: Mapping[str, float] | None = None,
    callbacks: Sequence[Callback] = (),
    max_rollbacks: int = 10,
    shuffle: bool = True,
    progress: bool = False,
    seed: int | np.random.Generator = 0,
) -> History:
    """Train a network in place and return the history of it.

    Parameters
    ----------
    net : Network
        Its `theta` is changed; whatever happens, it is left finite.
    X : (n, n_in)
    y : (n,) or (n, n_out)
        As the network's loss takes them.
    optimizer : str or Optimizer
        A name, "sgd", "rmsprop", "adam" or "adamw", or an object, which is copied: it stays as new.
    schedule : str, Schedule or function
        A name of `chainrule.training.schedules`, an object, or `(epoch, progress) -> factor` on the learning rate.
    epochs : int
        Times every row is used.
    batch_size : int or None
        Rows a step: None is batch gradient descent, 1 stochastic, k mini-batch. The last batch of an epoch may be
        short; its mean is over its own rows.
    sample_weight : (n,), optional
        What each row counts for in its batch's mean.
    validation : (X, y) or (X, y, sample_weight), optional
        Rows that are only measured on, after each epoch.
    metrics : sequence of str, Metric or function
        Measured after each epoch on the validation set, or on the training rows where there is none: names of
        `chainrule.training.metrics`, or functions of (y, prediction), for which lower is better.
    clip_norm : float, optional
        Longest gradient let through; longer ones keep their direction (Pascanu et al. 2013, algorithm 1).
    learning_rate_multipliers : dict, optional
        Factors on the rate of single blocks, as for `net.per_parameter`: `{"b": 0.1, "0.scale": 6}`.
    callbacks : sequence of Callback
        Early stopping, a time limit, a checkpoint to go on from, your own.
    max_rollbacks : int
        Times a training that leaves the finite numbers may go back to its last good weights and halve the rate.
    shuffle : bool
        Whether each epoch takes the rows in a new order.
    progress : bool
        Show a progress bar on standard error.
    seed : int or Generator
        Of the shuffling and of dropout. The same seed on the same machine gives the same bits.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        For bad arguments, before anything is computed.
    DivergenceError
        When the loss or gradient is not finite, or the loss has grown a million-fold, although the rate was halved
        `max_rollbacks` times; the network then has its last good weights. Ctrl-C is no error: the network has its best
        weights so far, and `history.stopped` says so.

    Examples
    --------
    >>> from chainrule import Adam, mlp, train
    >>> net = mlp(2, 8, 2, activation="tanh", loss="cross_entropy", seed=0)
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> history = train(net, X, y, epochs=300, batch_size=None, optimizer=Adam(0.02))
    >>> net.predict(X).argmax(axis=1)
    array([0, 1, 1, 0])
    """
    require_integer(epochs, "epochs")
    if batch_size is not None:
        require_integer(batch_size, "batch_size")
    for callback in callbacks:
        require(isinstance(callback, Callback), "callbacks", "hold Callback objects, such as EarlyStopping()", callback)
    for key, factor in (learning_rate_multipliers or {}).items():
        require(0 <= factor < inf, f"learning_rate_multipliers[{key!r}]", "be finite and >= 0", factor)
    require_integer(max_rollbacks, "max_rollbacks", least=0)
    require(clip_norm is None or clip_norm > 0, "clip_norm", "be > 0", clip_norm)
    if validation is not None:
        require(len(validation) in (2, 3), "len(validation)", "be 2 or 3: X, y and perhaps weight", len(validation))
    rows = net.check(X, y, sample_weight)
    n = len(rows[0])
    size = min(batch_size or n, n)
    run = Run(
        net=net,
        rows=rows,
        validation=None if validation is None else net.check(*validation),
        optimizer=deepcopy(as_optimizer(optimizer)),
        schedule=deepcopy(as_schedule(schedule)),
        epochs=epochs,
        batch_size=size,
        metrics=[as_metric(metric) for metric in metrics],
        clip_norm=clip_norm or inf,
        factors=net.per_parameter(learning_rate_multipliers) if learning_rate_multipliers else 1.0,
        shuffle=shuffle and size < n,
        callbacks=[*callbacks, ProgressBar()] if progress else list(callbacks),
        max_rollbacks=max_rollbacks,
        rng=as_generator(seed),
    )
    run.train()
    return run.history


class DivergedError(ArithmeticError):
    """An epoch ended in numbers that are not finite, or about to be; the message says where. It stays in this file."""


class Snapshot:
    """A network and the generator at the beginning of the last epoch that was known to begin well."""

    def __init__(self) -> None:
        self.theta = self.buffers = np.empty(0)

    def begin(self, run: Run) -> None:
        """Note what an epoch's first batch will change."""
        self.begun = run.net.buffers.copy(), deepcopy(run.rng.bit_generator.state)

    def take(self, run: Run) -> None:
        """Copy the weights, which the epoch has not changed yet."""
        if len(self.theta) != len(run.net.theta):
            self.theta = np.empty_like(run.net.theta)
        self.theta[...] = run.net.theta
        self.buffers, self.rng = self.begun

    def restore(self, run: Run) -> None:
        """Put them back, with moments of zero: what led astray is forgotten."""
        run.net.theta[...], run.net.buffers[...] = self.theta, self.buffers
        run.rng.bit_generator.state = self.rng
        run.optimizer.moments.clear()
        run.optimizer.steps = 0
        run.share_of_epoch = 0.0


@dataclass
class Run:
    """A training while it runs.

    For callbacks: `net`, `optimizer`, `history`, `epoch` (from 0), `epochs`, `progress` from 0 to 1, and `stop`, which
    ends the training when it is set to a reason.
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
    factors: float | Array
    shuffle: bool
    callbacks: list[Callback]
    rng: np.random.Generator
    max_rollbacks: int = 10
    history: History = field(default_factory=History)
    good: Snapshot = field(default_factory=Snapshot)
    epoch: int = 0
    share_of_epoch: float = 0.0
    fair_loss: float | None = None
    """The largest that a batch's loss is with weights that are good: the first batch's, or that of rows far out."""
    rate_scale: float = 1.0
    stop: str = ""
    cut_short: bool = False
    """Whether something stopped the training before its epoch had ended."""

    def __post_init__(self) -> None:
        before = "" if self.validation is None else "validation_"
        names = [metric.name for metric in self.metrics]
        require(len(set(names)) == len(names), "metrics", "have different names", names)
        for metric in self.metrics:
            metric.check((self.validation or self.rows)[1])
        steps = self.epochs * -(-len(self.rows[0]) // self.batch_size)
        # A checkpoint is of what all others have seen.
        self.observers = [KeepBest(), *sorted(self.callbacks, key=lambda callback: isinstance(callback, Checkpoint))]
        self.use(choose(self.net.theta.size * steps))
        self.history.monitor = f"{before}loss"
        self.history.metrics = {before + metric.name: [] for metric in self.metrics}
        self.history.higher_is_better = {before + metric.name for metric in self.metrics if metric.higher_is_better}

    def use(self, kernels: Kernels) -> None:
        """Take every step by these kernels."""
        self.kernels = kernels
        self.optimizer.kernels_name = kernels.name

    @property
    def progress(self) -> float:
        """The share of the whole training that is done."""
        return (self.epoch + self.share_of_epoch) / self.epochs

    @property
    def rate(self) -> float:
        """The learning rate of the next step, before factors of single blocks."""
        factor = self.schedule(self.epoch + self.share_of_epoch, self.progress)
        return self.optimizer.learning_rate * factor * self.rate_scale

    def begins_well(self, value: float) -> bool:
        """Tell by the first batch's loss, and the last epoch's, whether an epoch's weights are worth going back to."""
        loss = self.history.loss
        return not loss or max(loss[-1], value) <= min(loss) + 9 * abs(min(loss))

    def is_fair(self, value: float, batch: Batch, times: float) -> bool:
        """Tell whether a loss is so many times the fair one at most, or what good weights make of the same rows."""
        assert self.fair_loss is not None
        if value <= times * max(self.fair_loss, 1):
            return True
        now = self.net.theta.copy()
        self.net.theta[...] = self.good.theta
        fair = self.net.value(*batch)
        self.net.theta[...] = now
        self.fair_loss = max(self.fair_loss, fair) if isfinite(fair) else self.fair_loss
        return value <= times * max(self.fair_loss, 1)

    def train(self) -> None:
        """Run all epochs, or until something stops it."""
        keep_freed_memory()
        self.schedule.begin(self.history)
        for callback in self.observers:
            callback.on_train_begin(self)
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what is not finite is looked for
                while self.epoch < self.epochs and not self.stop:
                    self.train_epoch()
                    self.schedule.observe(self.history)
                    for callback in self.observers:
                        callback.on_epoch_end(self)
                    self.epoch, self.share_of_epoch = self.epoch + 1, 0.0
        except KeyboardInterrupt:
            self.interrupt()
            if not all_finite(self.net.theta):
                self.good.restore(self)
            self.observers[0].on_train_end(self)
        for callback in self.observers[1:]:
            callback.on_train_end(self)
        self.history.stopped = self.stop

    def train_epoch(self) -> None:
        """Take every row once and measure; on the way into the infinite, go back, halve the rate and try again."""
        start = perf_counter()
        while True:
            self.good.begin(self)
            if not self.history.loss:
                self.good.take(self)
            try:
                results = self.descend()
                break
            except DivergedError as failure:
                self.good.restore(self)
                self.roll_back(f"epoch {self.epoch + 1}, {failure}")
        self.cut_short = bool(self.stop)
        results |= self.measure() | {"seconds": perf_counter() - start}
        for name, column in self.history.columns.items():
            column.append(results[name])

    def interrupt(self) -> None:
        """End the training as Ctrl-C does: the network is left with its best weights so far."""
        self.stop, self.history.interrupted = "interrupted; the network has its best weights so far", True

    def measure(self) -> dict[str, float]:
        """Return the validation loss, where there is one, and the metrics, each under its column's name."""
        results = {}
        if self.validation is not None:
            results["validation_loss"] = self.net.value(*self.validation)
        if self.metrics:
            X, y, _ = self.validation or self.rows
            try:
                prediction = self.net.predict(X)
            except OutOfRangeError:  # the next epoch will find it and mend it
                return results | dict.fromkeys(self.history.metrics, nan)
            values = (metric.measure(y, prediction) for metric in self.metrics)
            results |= dict(zip(self.history.metrics, values, strict=True))
        return results

    def descend(self) -> dict[str, float]:
        """Take a step for every batch; return the epoch's mean loss and gradient norm, last rate and step ratio."""
        theta, n_batches = self.net.theta, -(-len(self.rows[0]) // self.batch_size)
        objective = self.kernels.fuse(self.net).objective
        watching = [c for c in self.callbacks if type(c).on_batch_end is not Callback.on_batch_end]
        loss_sum = weight_sum = norm_sum = rate = 0.0
        some, before = theta[:: -(-theta.size // SAMPLED)], None
        for k, (X, y, weight) in enumerate(batches(*self.rows, self.batch_size, self.rng if self.shuffle else None)):
            value, grad = objective(X, y, weight, self.rng)
            norm = length(grad, self.kernels)
            if not (isfinite(value) and isfinite(norm)):
                place = self.net.first_non_finite(X, y, weight) or "the gradient"
                raise DivergedError(f"batch {k + 1}: {place} is not finite")
            if self.fair_loss is None:
                self.fair_loss = value
            if value > EXPLODED * self.fair_loss and not self.is_fair(value, (X, y, weight), EXPLODED):
                grown = f"the loss has grown from {self.fair_loss:.3g} to {value:.3g}"
                raise DivergedError(f"batch {k + 1}: {grown}, most of all by {self.net.largest_output(X)}")
            if not k and self.history.loss and self.begins_well(value):
                self.good.take(self)
            if norm > self.clip_norm:
                grad *= self.clip_norm / norm
            rate = self.rate
            if k == n_batches - 1:
                before = some.copy()
            self.optimizer.step(theta, grad, rate * self.factors)
            batch_weight = len(X) if weight is None else float(weight.sum())
            loss_sum, weight_sum, norm_sum = loss_sum + batch_weight * value, weight_sum + batch_weight, norm_sum + norm
            self.share_of_epoch = (k + 1) / n_batches
            for callback in watching:
                callback.on_batch_end(self)
            if self.stop:
                break
        self.judge_last_step(k, (X, y, weight))
        step_ratio = nan if before is None else length(some - before) / (length(before) or 1.0)
        return {
            "loss": loss_sum / (weight_sum or 1),
            "gradient_norm": norm_sum / (k + 1),
            "learning_rate": rate,
            "step_ratio": step_ratio,
        }

    def judge_last_step(self, k: int, batch: Batch) -> None:
        """Raise DivergedError where an epoch's last step, whose outcome no batch shows, has led astray."""
        if not all_finite(self.net.theta):
            raise DivergedError(f"batch {k + 1}: the weights after the step are not finite")
        X, y, weight = batch
        some_rows = X[:LOOKED_AT], y[:LOOKED_AT], None if weight is None else weight[:LOOKED_AT]
        value = self.net.value(*some_rows)
        if not (isfinite(value) and self.is_fair(value, some_rows, RUINED if self.max_rollbacks else EXPLODED)):
            grown = f"the loss has grown from {self.fair_loss:.3g} to {value:.3g}"
            raise DivergedError(f"batch {k + 1}: {grown} by the step")

    def roll_back(self, failure: str) -> None:
        """Note the failure and halve the rate, or give up: at once where no step has been taken yet."""
        if self.fair_loss is None:
            X, y, _ = self.rows
            largest = f"the largest number in X is {np.abs(X[:]).max():.3g}, in y {np.abs(y).max():.3g}"
            raise DivergenceError(
                f"training cannot begin: {failure} before any step; {largest}. Bring both to a common scale."
            )
        halvings = self.history.rollbacks
        if halvings >= self.max_rollbacks:
            halved = f", though the learning rate was halved {halvings} times" if halvings else ""
            raise DivergenceError(
                f"training diverged: {failure}{halved}. The network has its last good weights. "
                "Lower learning_rate, bring X and y to a common scale, or set clip_norm."
            )
        self.history.rollbacks += 1
        self.rate_scale /= 2
        self.history.notes.append(f"{failure}: back to the last good weights, learning rate halved")


def length(vector: Array, kernels: Kernels = NUMPY) -> float:
    """Return the Euclidean norm; in float64 where squares do not fit the vector's own dtype."""
    square = kernels.square_sum(vector)
    if square == inf:
        square = kernels.square_sum(vector.astype(np.float64))
    return sqrt(square) if square >= 0 else square
