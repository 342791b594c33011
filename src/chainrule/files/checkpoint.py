"""Checkpoints: everything a training run needs to continue after an interruption, bit for bit as without it.

A checkpoint is an archive (see `chainrule.files.archive`). For each run it contains a description of the run, so that
it is never continued with other data or settings, and the state at the end of an epoch: parameters, running statistics,
the optimizer's moments, the random generator, schedule, callbacks and history.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from threading import Lock
from time import perf_counter
from typing import ClassVar, final

import numpy as np

from chainrule.arrays import as_array, require, require_integer, same_shape
from chainrule.files.archive import Format, Path, Tree, pack, read, refusing, require_that, write_whole
from chainrule.files.settings import require_same, settings_of, with_state
from chainrule.training.callbacks import Callback
from chainrule.training.run import Run

FORMAT = Format("chainrule checkpoint", 1)


class Checkpoint(Callback):
    """Save checkpoints at the end of epochs; with `resume`, continue from the saved one.

    A run that is killed at any moment and resumed ends with the same bits as one that was not. The file is written
    completely or not at all, and contains data, never code. An epoch that was cut short is not saved.

    Parameters
    ----------
    path : path
        The file; an existing one is replaced.
    every : int
        Save every so many epochs. The last epoch is always saved.
    seconds : float
        Minimum time between two saves, except for the last epoch.
    resume : bool
        Resume from the file if it exists.

    Raises
    ------
    ModelFileError
        With `resume`, if the file is invalid, or of other data, another network, optimizer or setting, which is named.
        The number of epochs may be raised, unless the schedule depends on it.
    OSError
        If the file cannot be written; the previous one stays.

    Examples
    --------
    >>> from chainrule import Checkpoint, mlp, train
    >>> def train_xor():
    ...     net = mlp(2, 8, 2, loss="cross_entropy", seed=0)
    ...     checkpoint = Checkpoint("xor.checkpoint", every=10, resume=True)
    ...     rows = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    ...     return train(net, *rows, epochs=50, callbacks=checkpoint, seed=0)
    """

    order: ClassVar[int] = 1  # after the others: a checkpoint is of what they have seen

    def __init__(
        self,
        path: Path | CheckpointFile,
        *,
        every: int = 1,
        seconds: float = 0.0,
        resume: bool = False,
        number: int = 0,
    ) -> None:
        require_integer(every, "every")
        require(seconds >= 0, "seconds", "be >= 0", seconds)
        self.file = path if isinstance(path, CheckpointFile) else CheckpointFile(path, resume=resume)
        self.number, self.every, self.seconds = number, every, seconds

    def on_train_begin(self, run: Run) -> None:
        self.saved = perf_counter()
        training = self.file.trainings.get(self.number)
        if training is None:
            self.settings = settings_of(run)
            return
        with refusing(self.file.path, "a checkpoint"):
            run.use(training["settings"]["kernels"])  # those it started with, even if there are more epochs now
            self.settings = settings_of(run)
            require_same(training["settings"], self.settings, self.file.path)
            _restore(run, training["state"])

    def on_epoch_end(self, run: Run) -> None:
        is_due = (run.epoch + 1) % self.every == 0 and perf_counter() - self.saved >= self.seconds
        is_last = bool(run.stop) or run.epoch + 1 == run.epochs
        if (is_due or is_last) and not run.cut_short:
            self.file.keep(self.number, {"settings": self.settings, "state": deepcopy(_state_of(run))})
            self.saved = perf_counter()


@final
class CheckpointFile:
    """One file for the checkpoints of several runs, which may be in parallel threads.

    Parameters
    ----------
    path : path
    count : int
        Number of runs.
    resume : bool
        Read the file if it exists.
    about : dict, optional
        What the runs are about, as text or lists of text, such as {"target": "price"}. A file that is about something
        else is refused, which names the difference in the user's terms.
    """

    def __init__(
        self, path: Path, count: int = 1, *, resume: bool = False, about: Mapping[str, str | list[str]] | None = None
    ) -> None:
        self.path, self.count, self.about, self.lock = path, count, dict(about or {}), Lock()
        self.trainings: dict[int, Tree] = self._read() if resume and os.path.lexists(path) else {}

    def checkpoint(self, number: int, *, every: int = 1, seconds: float = 0.0) -> Checkpoint:
        """Return the callback of the run with this number, from 0."""
        return Checkpoint(self, every=every, seconds=seconds, number=number)

    def keep(self, number: int, training: Tree) -> None:
        """Rewrite the file with this state of one run, and the latest ones of the others."""
        with self.lock:
            self.trainings[number] = training
            trainings = {str(k): training for k, training in sorted(self.trainings.items())}
            content = pack(FORMAT, {"count": self.count, "about": self.about, "trainings": trainings})
            write_whole(self.path, lambda file: file.write(content))

    def _read(self) -> dict[int, Tree]:
        with refusing(self.path, "a checkpoint"):
            tree = read(self.path, FORMAT)
            saved = dict(tree["about"])
            require_same(saved, {name: value for name, value in self.about.items() if name in saved}, self.path)
            require_same({"number of members": tree["count"]}, {"number of members": self.count}, self.path)
            return {int(k): training for k, training in tree["trainings"].items()}


# The state of a run.


def _state_of(run: Run) -> Tree:
    """Return what a run needs at the end of an epoch to continue with the next one."""
    return {
        "epoch": run.epoch + 1,
        "stop": run.stop,
        "rate_scale": run.rate_scale,
        "rollbacks": run.history.rollbacks,
        "theta": run.net.theta,
        "buffers": run.net.buffers,
        "steps": run.optimizer.steps,
        "moments": run.optimizer.moments,
        "rng": run.rng.bit_generator.state,
        "schedule": run.schedule.state(),
        "callbacks": [callback.state() for callback in with_state(run)],
        "history": {name: np.array(column) for name, column in run.history.columns.items()},
        "notes": run.history.notes,
    }


def _restore(run: Run, state: Tree) -> None:
    """Bring a run that has not started to a state, which may come from an untrusted file."""
    net, optimizer, history, epoch = run.net, run.optimizer, run.history, int(state["epoch"])
    require_that(0 < epoch <= run.epochs, f"it has {epoch} epochs, more than the {run.epochs} requested")
    theta = as_array(state["theta"], net.theta.shape, net.theta.dtype, "theta")
    buffers = as_array(state["buffers"], net.buffers.shape, net.buffers.dtype, "buffers")
    for name, column in history.columns.items():
        column[:] = same_shape(state["history"][name], np.empty(epoch), name).tolist()
    history.notes[:], history.rollbacks = map(str, state["notes"]), int(state["rollbacks"])
    run.schedule.restore(state["schedule"])
    for name, moment in state["moments"].items():
        optimizer.moments[name] = same_shape(moment, net.theta, name)
    optimizer.steps = int(state["steps"])
    run.rng.bit_generator.state = state["rng"]  # raises if it is not the state of a generator
    run.epoch, run.stop, run.rate_scale = epoch, str(state["stop"]), float(state["rate_scale"])
    net.theta[...], net.buffers[...] = theta, buffers
    for callback, saved in zip(with_state(run), state["callbacks"], strict=True):
        callback.restore(run, saved)
