"""Callbacks: what may look at a training, and end it, while it runs.

A callback overrides some of `on_train_begin`, `on_batch_end`, `on_epoch_end`, `on_train_end`; each is handed the run,
with its network, history, epoch and optimiser. Setting `run.stop` to a reason ends the training after the present
batch.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any, TextIO

from chainrule.arrays import Array, require, same_shape
from chainrule.training.history import History

if TYPE_CHECKING:
    from chainrule.training.loop import Run


class Callback:
    """Does nothing; override what you need. `on_train_begin` sets all state up anew: a callback may be used again."""

    def on_train_begin(self, run: Run) -> None:
        """All is checked and set up; nothing has been computed."""

    def on_batch_end(self, run: Run) -> None:
        """One step has been taken."""

    def on_epoch_end(self, run: Run) -> None:
        """The epoch stands in the history."""

    def on_train_end(self, run: Run) -> None:
        """Training is over, for whatever reason but an error."""

    def state(self) -> dict[str, Any]:
        """Return what is remembered from epoch to epoch, for a checkpoint: plain values and arrays of floats."""
        return {}

    def restore(self, run: Run, state: dict[str, Any]) -> None:
        """Remember what `state` returned, tuples as lists; called after `on_train_begin`."""


def require_result(history: History, metric: str | None) -> None:
    """Raise ValueError unless the history will have the column that something goes by."""
    if metric is not None and metric not in history.results:
        hint = "; validation_ columns need validation=(X, y)" if metric.startswith("validation_") else ""
        raise ValueError(f"metric must be one of {', '.join(history.results)}, got {metric!r}{hint}")


class KeepBest(Callback):
    """Leave the network with the weights of its best epoch.

    Parameters
    ----------
    metric : str, optional
        A column of the history, such as "validation_loss" or "validation_accuracy"; None: the validation loss when
        there is one, else the loss. Higher is better for metrics that say so.
    min_delta : float
        Gains up to this do not count.
    """

    def __init__(self, metric: str | None = None, *, min_delta: float = 0.0) -> None:
        require(min_delta >= 0, "min_delta", "be >= 0", min_delta)
        self.metric = metric
        self.min_delta = min_delta

    def on_train_begin(self, run: Run) -> None:
        require_result(run.history, self.metric)
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.weights: tuple[Array, Array] | None = None

    def on_epoch_end(self, run: Run) -> None:
        metric = self.metric or run.history.monitor
        if run.history.improves(metric, self.best, self.min_delta):
            self.best = run.history[metric][-1]
            self.best_epoch = run.epoch
            if self.weights is None:
                self.weights = run.net.theta.copy(), run.net.buffers.copy()
            self.weights[0][...], self.weights[1][...] = run.net.theta, run.net.buffers

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "weights": self.weights}

    def restore(self, run: Run, state: dict[str, Any]) -> None:
        if state["weights"] is not None:
            self.best, self.best_epoch = float(state["best"]), int(state["best_epoch"])
            theta, buffers = state["weights"]
            self.weights = same_shape(theta, run.net.theta, "weights"), same_shape(buffers, run.net.buffers, "weights")

    def on_train_end(self, run: Run) -> None:
        if self.weights is not None:
            run.net.theta[...], run.net.buffers[...] = self.weights
            run.history.best_epoch = self.best_epoch


class EarlyStopping(KeepBest):
    """Stop when `metric` has not improved for `patience` epochs, and leave the network with its best epoch's weights.

    Parameters
    ----------
    metric, min_delta
        As for `KeepBest`.
    patience : int
        Epochs without a gain that are still waited for.
    """

    def __init__(self, metric: str | None = None, *, patience: int = 10, min_delta: float = 0.0) -> None:
        super().__init__(metric, min_delta=min_delta)
        require(patience >= 1, "patience", "be >= 1", patience)
        self.patience = patience

    def on_epoch_end(self, run: Run) -> None:
        super().on_epoch_end(run)
        waited = run.epoch - (-1 if self.best_epoch is None else self.best_epoch)
        if waited >= self.patience and not run.stop:
            run.stop = f"{self.metric or run.history.monitor} has not improved for {self.patience} epochs"


class TimeLimit(Callback):
    """Stop after the batch in which `seconds` have passed."""

    def __init__(self, seconds: float) -> None:
        require(seconds > 0, "seconds", "be > 0", seconds)
        self.seconds = seconds

        self.start()

    def start(self) -> None:
        """Set the clock to zero."""
        self.end = perf_counter() + self.seconds

    def is_over(self) -> bool:
        """Tell whether the seconds have passed."""
        return perf_counter() >= self.end

    def on_train_begin(self, run: Run) -> None:
        self.start()

    def on_batch_end(self, run: Run) -> None:
        if self.is_over():
            run.stop = f"the time limit of {self.seconds:g} s was reached"


class ProgressBar(Callback):
    """Show epoch, losses and time left: on a terminal one line that is rewritten, elsewhere some ten lines in all."""

    WIDTH = 20
    SECONDS_BETWEEN = 0.1

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream

    def on_train_begin(self, run: Run) -> None:
        self.out = self.stream or sys.stderr
        self.start = self.shown = perf_counter()
        self.longest = 0

    def on_batch_end(self, run: Run) -> None:
        if self.out.isatty() and perf_counter() - self.shown > self.SECONDS_BETWEEN:
            self.show(run)

    def on_epoch_end(self, run: Run) -> None:
        tenth = max(1, run.epochs // 10)
        if not self.out.isatty() and ((run.epoch + 1) % tenth == 0 or run.epoch + 1 == run.epochs):
            print(self.line(run), file=self.out, flush=True)

    def on_train_end(self, run: Run) -> None:
        if self.out.isatty():
            self.show(run)
            print(file=self.out)
        if run.stop:
            print(f"stopped: {run.stop}", file=self.out, flush=True)

    def show(self, run: Run) -> None:
        """Write the line over the last one."""
        line = self.line(run)
        self.longest = max(self.longest, len(line))
        print(f"\r{line:<{self.longest}}", end="", file=self.out, flush=True)
        self.shown = perf_counter()

    def line(self, run: Run) -> str:
        """Return the line: bar, epoch, losses, seconds gone and left."""
        done = int(run.progress * self.WIDTH)
        gone = perf_counter() - self.start
        left = gone / run.progress - gone if run.progress else 0.0
        numbers = f"  {run.history.line()}" if len(run.history) else ""
        bar = "#" * done + "-" * (self.WIDTH - done)
        return f"[{bar}] epoch {len(run.history)}/{run.epochs}{numbers}  {gone:.0f} s, {left:.0f} s left"
