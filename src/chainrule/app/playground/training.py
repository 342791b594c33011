"""Training that pauses after every batch: the same steps as `chainrule.train`, one at a time.

A test compares the two bit for bit. Changes by hand are logged, so that `share` can write a script that reproduces the
numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.app.playground import building
from chainrule.app.playground.plane import Sample
from chainrule.app.playground.settings import Setup
from chainrule.arrays import Array, require
from chainrule.errors import DivergenceError, look_up
from chainrule.insight.trace import Trace, trace
from chainrule.nn.vector import Block
from chainrule.training.batches import Batch
from chainrule.training.callbacks import hooks_of
from chainrule.training.epoch import train_batch
from chainrule.training.guard import DivergedError, Guard, StepRatio

MAX_WEIGHT = 1e6
FIRST = 1
"""The moment before the first batch."""
TINY_RATE = 1e-300
"""In place of a learning rate of 0 in a trace: the steps are too short to change a weight."""
LIVE = ("rate", "l1", "l2")
"""Settings that change during training; all others restart it."""


@dataclass(frozen=True)
class Change:
    """A change by hand at a moment of `Training`: of a setting, or of an entry of a parameter."""

    moment: int
    name: str
    index: tuple[int, ...]
    value: float


@dataclass
class Replay:
    """A training to repeat: until which moment, and the changes by hand on the way."""

    until: int
    changes: list[Change]

    def catch_up(self, training: Training) -> bool:
        """Make the changes that are due; return whether the end is reached."""
        while self.changes and self.changes[0].moment <= training.moment:
            training.apply(self.changes.pop(0))
        return training.moment >= self.until


class Training:
    """A network in training.

    `steps` counts the batches. `moment` counts the batches and the beginnings of epochs, also of those repeated after a
    rollback: it identifies a state. `curve` has a row for each epoch, the first before training: loss, test loss,
    metric, test metric, learning rate, then the norm of the gradient of each weight matrix. `changes` is the log of
    changes by hand, `first` has the values of LIVE settings at the first batch.
    """

    def __init__(self, setup: Setup, sample: Sample) -> None:
        self.setup, self.sample = setup, sample
        self.net = building.network(setup, sample)
        self.run = building.run(setup, sample, self.net)
        self.run.schedule.begin(self.run.history)
        self.guard = Guard(max_rollbacks=10)
        self.run.callbacks = [self.guard, StepRatio()]
        self.run.hooks = hooks_of(self.run.callbacks)
        self.run.call("on_train_begin")
        self.steps, self.moment, self.changes = 0, 0, list[Change]()
        self.first = {name: float(getattr(setup, name)) for name in LIVE}
        self.before = self.net.theta.copy()
        self.weights = [block for block in self.net.blocks if block.kind == "W"]
        self.curve = [self._measure()]
        self.failure = ""
        """Why training cannot continue; "" if it can."""
        self.batch: Batch
        """The next batch."""
        self._epochs = self._training()
        next(self._epochs)

    # Steps.

    def _training(self) -> Iterator[None]:
        """Train as `chainrule.train` does, and stop before each batch."""
        run = self.run
        while True:
            try:
                run.begin_epoch()
                self.moment += 1
                for k, self.batch in enumerate(run.batches()):
                    run.batch = k
                    yield
                    self.before[...] = self.net.theta
                    train_batch(run, k, self.batch)
                    self.steps += 1
                    self.moment += 1
                run.end_epoch()
                self.guard.check_epoch(run)
            except DivergedError as failure:
                self.guard.roll_back(run, failure)
                continue
            run.history.record(run.results | run.measure() | {"seconds": 0.0})
            run.schedule.observe(run.history)
            run.call("on_epoch_end")
            run.epoch, run.epoch_fraction = run.epoch + 1, 0.0
            self.curve.append(self._measure())

    @property
    def ended(self) -> bool:
        """Whether the schedule has ended."""
        return self.run.epoch >= self.run.epochs

    def take_batch(self) -> None:
        """Train on the next batch; raise DivergenceError if that fails for good."""
        if self.failure:
            raise DivergenceError(self.failure)
        try:
            with np.errstate(all="ignore"):  # the guard looks for what is not finite
                next(self._epochs)
        except DivergenceError as error:
            self.failure = str(error)
            raise

    def take_epoch(self) -> None:
        """Train to the end of the epoch."""
        epoch = self.run.epoch
        rollbacks = self.run.history.rollbacks
        while self.run.epoch == epoch and self.run.history.rollbacks == rollbacks:
            self.take_batch()

    def _measure(self) -> list[float]:
        """Return a row of the curve."""
        net, run = self.net, self.run
        metric = run.metrics[0]
        row = []
        with np.errstate(all="ignore"):
            for X, y, _ in (run.rows, run.validation or run.rows):
                row += [net.value(X, y), metric.measure(y, net.loss.predict(net.plan.run(X)))]
        loss, score, test_loss, test_score = row
        norms = [float(np.linalg.norm(net.grad[block.slice])) for block in self.weights]
        return [loss, test_loss, score, test_score, run.rate, *norms]

    # Changes by hand.

    def set_live(self, setup: Setup) -> None:
        """Adopt the settings that change during training."""
        for name in LIVE:
            value = getattr(setup, name)
            if value != getattr(self.setup, name):
                self.apply(Change(self.moment, name, (), value))
        self.setup = setup

    def set_weight(self, block: Block, index: tuple[int, ...], value: float) -> None:
        """Set an entry of a parameter."""
        self.apply(Change(self.moment, block.full_name, index, float(value)))

    def apply(self, change: Change) -> None:
        """Make a change, and log it."""
        require(
            bool(np.isfinite(change.value)) and abs(change.value) <= MAX_WEIGHT,
            "a weight",
            f"be a number within {MAX_WEIGHT:,.0f}",
            change.value,
        )
        self.changes.append(change)
        if change.name in LIVE:
            self.setup = self.setup.changed({change.name: change.value})
        if change.name == "rate":
            self.run.optimizer.learning_rate = change.value
        elif change.name in LIVE:
            setattr(self.net, change.name, change.value)
        else:
            block = look_up({block.full_name: block for block in self.net.blocks}, change.name, "a parameter")
            self.net.params[block.layer][block.name][change.index] = change.value
        if self.moment == FIRST:
            self.first |= {change.name: change.value} if change.name in LIVE else {}
            self._start_again()

    def _start_again(self) -> None:
        """Restart the guard and the curve after a change before the first batch."""
        rng = self.guard.rng  # from before the rows were shuffled
        self.guard.on_train_begin(self.run)
        self.guard.rng = rng
        self.curve[0] = self._measure()

    # Insight.

    def trace(self) -> Trace:
        """Return the trace of the step on the next batch; nothing changes."""
        X, y, _ = self.batch
        names = self.sample.columns
        rate = self.run.rate or TINY_RATE  # some schedules begin or end with 0
        return trace(self.net, X, y, self.run.optimizer, rate=rate, rng=self.run.rng, columns=names)

    @property
    def update(self) -> Array:
        """The last update of every parameter."""
        return self.net.theta - self.before

    def settings(self) -> dict[str, Any]:
        """Return where training is, as plain data."""
        run = self.run
        return {
            "epoch": run.epoch, "batch": run.batch, "batches": run.n_batches, "steps": self.steps,
            "rate": run.rate, "rollbacks": run.history.rollbacks, "notes": run.history.notes[-1:],
        }  # fmt: skip
