"""Callbacks: observe a training run, and end it.

A callback overrides some of the hooks of `Callback`; each receives the run, with its network, history, epoch and
optimizer. Setting `run.stop` to a reason ends the training after the current batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from time import perf_counter
from typing import Any, ClassVar, TextIO

from chainrule.arrays import Array, require, same_shape
from chainrule.display import as_call
from chainrule.errors import suggest_keywords
from chainrule.live import LiveLine
from chainrule.training.run import Run


class Callback:
    """Does nothing. Override what you need; `on_train_begin` must reset all state, since a callback may be reused."""

    order: ClassVar[int] = 0
    """Callbacks are called in ascending order."""
    every_batch: ClassVar[bool] = True
    """Whether `on_gradient` and `on_batch_end` must see every batch. If not, compiled code may train a small network on
    thousands of batches between two calls. The last batch of an epoch is always seen."""

    def on_train_begin(self, run: Run) -> None:
        """Everything has been checked and set up; nothing has been computed."""

    def on_epoch_begin(self, run: Run) -> None:
        """An epoch begins, perhaps for the second time after a rollback."""

    def on_gradient(self, run: Run) -> None:
        """The loss and gradient of a batch have been computed; the step has not been taken."""

    def on_batch_end(self, run: Run) -> None:
        """A step has been taken."""

    def on_epoch_end(self, run: Run) -> None:
        """The epoch has been recorded in the history."""

    def on_train_end(self, run: Run) -> None:
        """Training has ended, for any reason but an error."""

    def state(self) -> dict[str, Any]:
        """Return the state kept from epoch to epoch, for a checkpoint: plain values and arrays of floats."""
        return {}

    def restore(self, run: Run, state: dict[str, Any]) -> None:
        """Restore what `state` returned, tuples as lists; called after `on_train_begin`."""

    __repr__ = as_call


HOOKS = ("on_train_begin", "on_epoch_begin", "on_gradient", "on_batch_end", "on_epoch_end", "on_train_end")


def as_callbacks(callbacks: Callback | Sequence[Callback]) -> list[Callback]:
    """Return a list of callbacks; raise ValueError for other objects, and for hooks with another signature."""
    several = list(callbacks) if isinstance(callbacks, Sequence) and not isinstance(callbacks, str) else [callbacks]
    for callback in several:
        require(
            isinstance(callback, Callback), "callbacks", "contain Callback objects, such as EarlyStopping()", callback
        )
        for hook in HOOKS:
            form = signature(getattr(callback, hook))
            try:
                form.bind(None)
                is_run_only = not any(p.default is not p.empty for p in form.parameters.values())
            except TypeError:
                is_run_only = False
            if not is_run_only:
                name = f"{type(callback).__name__}.{hook}"
                given = ", ".join(["self", *map(str, form.parameters.values())])
                raise ValueError(f"{name} must have the signature (self, run), got ({given})")
    return several


def hooks_of(callbacks: Sequence[Callback]) -> dict[str, list[Any]]:
    """Return for each hook the methods of the callbacks that override it."""
    return {
        name: [getattr(c, name) for c in callbacks if getattr(type(c), name) is not getattr(Callback, name)]
        for name in HOOKS
    }


@suggest_keywords
class KeepBest(Callback):
    """Restore the weights of the best epoch at the end.

    Parameters
    ----------
    metric : str, optional
        A column of the history, such as "validation_loss" or "validation_accuracy"; None: the validation loss if there
        is one, else the loss. Whether higher or lower is better is known for every metric.
    min_delta : float
        Smallest improvement that counts.
    """

    def __init__(self, metric: str | None = None, *, min_delta: float = 0.0) -> None:
        require(min_delta >= 0, "min_delta", "be >= 0", min_delta)
        self.metric = metric
        self.min_delta = min_delta

    def on_train_begin(self, run: Run) -> None:
        run.history.require(self.metric)
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


@suggest_keywords
class EarlyStopping(KeepBest):
    """Stop when `metric` has not improved for `patience` epochs, and restore the weights of the best epoch.

    Parameters
    ----------
    metric, min_delta
        As for `KeepBest`.
    patience : int
        Number of epochs without improvement after which training stops.
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


@suggest_keywords
class TimeLimit(Callback):
    """Stop after the batch in which `seconds` have elapsed."""

    every_batch: ClassVar[bool] = False

    def __init__(self, seconds: float) -> None:
        require(seconds > 0, "seconds", "be > 0", seconds)
        self.seconds = seconds
        self.start()

    def start(self) -> None:
        """Start the clock."""
        self.end = perf_counter() + self.seconds

    def is_over(self) -> bool:
        """Return whether the time has elapsed."""
        return perf_counter() >= self.end

    def on_train_begin(self, run: Run) -> None:
        self.start()

    def on_batch_end(self, run: Run) -> None:
        if self.is_over():
            run.stop = f"reached the time limit of {self.seconds:g} s"


@suggest_keywords
class ProgressBar(Callback):
    """Show epoch, losses and time remaining: one updated line on a terminal or in a notebook, ten lines elsewhere."""

    every_batch: ClassVar[bool] = False

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream

    def on_train_begin(self, run: Run) -> None:
        self.live, self.start = LiveLine(self.stream), perf_counter()

    def on_batch_end(self, run: Run) -> None:
        if self.live.in_place and self.live.is_due():
            self.show(run)

    def on_epoch_end(self, run: Run) -> None:
        tenth = max(1, run.epochs // 10)
        if not self.live.in_place and ((run.epoch + 1) % tenth == 0 or run.epoch + 1 == run.epochs):
            self.show(run)

    def on_train_end(self, run: Run) -> None:
        ended = f"stopped: {run.stop}" if run.stop else ""
        if self.live.in_place:
            self.live.show(run.progress, f"{self.line(run)}  {ended}")
            self.live.end()
        elif ended:
            self.live.write(ended)

    def show(self, run: Run) -> None:
        """Show the state, in place of the last one where that is possible."""
        self.live.show(run.progress, self.line(run))

    def line(self, run: Run) -> str:
        """Return the state: epoch, losses, seconds elapsed and remaining."""
        elapsed = perf_counter() - self.start
        remaining = elapsed / run.progress - elapsed if run.progress else 0.0
        numbers = f"  {run.history.line()}" if len(run.history) else ""
        return f"epoch {len(run.history)}/{run.epochs}{numbers}  {elapsed:.0f} s, {remaining:.0f} s remaining"
