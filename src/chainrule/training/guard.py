"""The guard: training never ends in NaN, and never with weights that have diverged.

One rule. A fixed probe of a few training rows is evaluated in inference mode after each epoch. The epoch is good if the
loss on the probe is finite and at most MAX_LOSS_RATIO times the loss before training (or 1 if that is larger); then
weights, running statistics and generator are copied. Otherwise, or as soon as the loss or gradient of a batch is not
finite, the run returns to the last good copy and halves the learning rate, up to `max_rollbacks` times.

The rows are always the same, so outliers in a batch raise no alarm; and inference is compared with inference, so
dropout and batch statistics have no influence.
"""

from __future__ import annotations

from copy import deepcopy
from math import isfinite

import numpy as np

from chainrule.arrays import Array, all_finite
from chainrule.errors import DivergenceError
from chainrule.nn import inference
from chainrule.nn.network import Network
from chainrule.training.batches import Batch
from chainrule.training.callbacks import Callback, KeepBest
from chainrule.training.run import Run

MAX_LOSS_RATIO = 100
"""A network on its way to a minimum may pass through ten times its first loss; one that diverges passes through this
within an epoch or two."""
MAX_LOSS_RATIO_WITHOUT_ROLLBACK = 1e6
"""The same, for a run that ends where it diverges: it may still recover, as scikit-learn's own tests expect."""
PROBE_ROWS = 64
"""Rows of the probe: few enough to cost a small table little, enough to see a network diverge."""


class DivergedError(ArithmeticError):
    """The current epoch has diverged; the message says where. It does not leave `training.loop`."""


class Guard(Callback):
    """Watches a run, and takes it back; with `max_rollbacks=0` the first divergence ends it."""

    every_batch = False

    def __init__(self, max_rollbacks: int) -> None:
        self.max_rollbacks = max_rollbacks

    def on_train_begin(self, run: Run) -> None:
        n = len(run.rows[0])
        every = max(1, n // PROBE_ROWS)
        self.probe: Batch = tuple(None if part is None else part[::every][:PROBE_ROWS] for part in run.rows)  # type: ignore[assignment]
        with np.errstate(all="ignore"):
            self.first_loss = run.net.value(*self.probe)
        self.theta: Array = np.empty_like(run.net.theta)
        self.keep(run)

    def state(self) -> dict[str, float]:
        return {"first_loss": self.first_loss}

    def restore(self, run: Run, state: dict[str, float]) -> None:
        self.first_loss = float(state["first_loss"])
        self.keep(run)

    def keep(self, run: Run) -> None:
        """Copy the state of a run at the end of a good epoch."""
        self.theta[...], self.buffers = run.net.theta, run.net.buffers.copy()
        self.rng = deepcopy(run.rng.bit_generator.state)

    def go_back(self, run: Run) -> None:
        """Return to the last good state, with moments of zero: those that led astray are dropped."""
        run.net.theta[...], run.net.buffers[...] = self.theta, self.buffers
        run.rng.bit_generator.state = self.rng
        run.optimizer.moments.clear()
        run.optimizer.steps = 0
        run.epoch_fraction = 0.0

    def on_gradient(self, run: Run) -> None:
        """Raise DivergedError if the loss or the gradient of a batch is not finite."""
        if not (isfinite(run.loss) and isfinite(run.gradient_norm)):
            net = run.net
            place = inference.first_non_finite(net, *run.batch_rows) if isinstance(net, Network) else "the loss"
            raise DivergedError(f"batch {run.batch + 1}: {place or 'the gradient'} is not finite")

    def check_epoch(self, run: Run) -> None:
        """Raise DivergedError if the epoch has diverged; otherwise keep its state."""
        if not all_finite(run.net.theta):
            raise DivergedError(f"batch {run.batch + 1}: the weights are not finite after the step")
        loss = run.net.value(*self.probe)
        limit = MAX_LOSS_RATIO if self.max_rollbacks else MAX_LOSS_RATIO_WITHOUT_ROLLBACK
        if not isfinite(loss) or loss > limit * max(self.first_loss, 1):
            rise = f"the loss rose from {self.first_loss:.3g} to {loss:.3g}"
            rise += f"; {inference.largest_output(run.net, self.probe[0])}" if isinstance(run.net, Network) else ""
            raise DivergedError(f"batch {run.batch + 1}: {rise}")
        self.keep(run)

    def roll_back(self, run: Run, failure: DivergedError) -> None:
        """Return to the last good state and halve the rate; raise DivergenceError if that cannot help."""
        started = run.epoch > 0 or run.epoch_fraction > 0
        self.go_back(run)
        message, rollbacks = f"epoch {run.epoch + 1}, {failure}", run.history.rollbacks
        if not started:
            X, y, _ = run.rows
            raise DivergenceError(
                f"training cannot start: {message} before the first step (max abs X is {np.abs(X[:]).max():.3g}, "
                f"max abs y is {np.abs(y).max():.3g}). Standardize X and y."
            )
        if rollbacks >= self.max_rollbacks:
            halved = f", although the learning rate was halved {rollbacks} times" if rollbacks else ""
            raise DivergenceError(
                f"training diverged: {message}{halved}. The weights of the last good epoch were restored. Lower "
                "learning_rate, standardize X and y, or set clip_norm."
            )
        run.history.rollbacks += 1
        run.rate_scale /= 2
        run.history.notes.append(f"{message}: restored the last good weights, halved the learning rate")


class KeepBestIfInterrupted(KeepBest):
    """After Ctrl-C, leave the network with the weights of its best epoch."""

    def on_train_end(self, run: Run) -> None:
        if run.history.interrupted:
            super().on_train_end(run)
            if self.best_epoch is not None:
                run.stop = f"interrupted; restored the weights of epoch {self.best_epoch + 1}, the best so far"


class StepRatio(Callback):
    """Record the length of each epoch's last step divided by that of the weights."""

    every_batch = False
    MAX_SAMPLE = 2**17
    """Parameters, evenly spaced, by which the lengths are estimated."""

    def on_epoch_begin(self, run: Run) -> None:
        run.results["step_ratio"] = np.nan

    def on_gradient(self, run: Run) -> None:
        if run.batch == run.n_batches - 1:
            self.before = self._sample(run).copy()

    def on_batch_end(self, run: Run) -> None:
        if run.batch == run.n_batches - 1:
            step = run.norm(self._sample(run) - self.before)
            run.results["step_ratio"] = step / (run.norm(self.before) or 1.0)

    def _sample(self, run: Run) -> Array:
        theta = run.net.theta
        return theta[:: -(-theta.size // self.MAX_SAMPLE)]
