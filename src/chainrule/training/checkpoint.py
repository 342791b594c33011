"""Checkpoints: all that a training needs to go on after it was cut off, bit for bit as if it never had been.

A checkpoint is an archive (see `chainrule.archive`) with one document, `checkpoint.json`. Of each training it holds
what the training is of, so that it is never continued with anything else, and its state at the end of an epoch:
parameters, running statistics, the optimiser's moments, the random generator, schedule, callbacks and history.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields, is_dataclass
from inspect import signature
from math import isfinite
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, final

import numpy as np

from chainrule.archive import Archive, Format, Path, opened, pack_archive, refusing, require_that, write_whole
from chainrule.arrays import Array, all_finite, digest, require, require_integer, same_shape
from chainrule.errors import ModelFileError, look_up
from chainrule.training.callbacks import Callback
from chainrule.training.kernels import KERNELS

if TYPE_CHECKING:
    from chainrule.training.loop import Run

FORMAT = Format("chainrule checkpoint", 1, "checkpoint.json")

Tree = Any
"""Dicts with texts as keys, lists, texts, numbers, booleans, None, and arrays of floats."""


class Checkpoint(Callback):
    """Write all that training needs to go on, at the end of epochs; with `resume`, go on from what was written.

    Training that is killed at any moment and begun again ends with the same bits as training that was not. The file
    appears whole or not at all, and holds data, never code. An epoch that was cut short is not written.

    Parameters
    ----------
    path : path
        The file, which is written over.
    every : int
        Epochs from one writing to the next. The last epoch is written whatever its number.
    seconds : float
        Time that has to pass between two writings, the last epoch's apart.
    resume : bool
        Go on from the file where there is one, else begin.

    Raises
    ------
    ModelFileError
        With `resume`, when the file cannot be trusted, or belongs to other data, another network, optimiser or setting,
        which is named. More epochs than before may be asked for, unless the schedule goes by how many there will be.
    OSError
        When the file cannot be written; the one before stays.

    Examples
    --------
    >>> from chainrule import Checkpoint, mlp, train
    >>> def train_xor():
    ...     net = mlp(2, 8, 2, loss="cross_entropy", seed=0)
    ...     checkpoint = Checkpoint("xor.checkpoint", every=10, resume=True)
    ...     return train(net, [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], epochs=50, callbacks=[checkpoint])
    """

    def __init__(self, path: Path, *, every: int = 1, seconds: float = 0.0, resume: bool = False) -> None:
        self.set_up(CheckpointFile(path, resume=resume), 0, every, seconds)

    def set_up(self, file: CheckpointFile, number: int, every: int, seconds: float) -> None:
        """Take a place among the trainings of a file."""
        require_integer(every, "every")
        require(seconds >= 0, "seconds", "be >= 0", seconds)
        self.file, self.number, self.every, self.seconds = file, number, every, seconds

    def on_train_begin(self, run: Run) -> None:
        self.written = perf_counter()
        saved = self.file.trainings.get(self.number)
        if saved is None:
            self.settings = settings_of(run)
            return
        with refusing(self.file.path, "a checkpoint"):
            if not os.environ.get("CHAINRULE_KERNELS"):  # then those that it began with, however many epochs it has now
                run.use(look_up(KERNELS, saved["settings"]["kernels"], "kernels")())
            self.settings = settings_of(run)
            require_same(saved["settings"], self.settings, self.file.path)
            restore(run, saved["state"])

    def on_epoch_end(self, run: Run) -> None:
        is_due = (run.epoch + 1) % self.every == 0 and perf_counter() - self.written >= self.seconds
        is_last = bool(run.stop) or run.epoch + 1 == run.epochs
        if (is_due or is_last) and not run.cut_short:
            self.file.keep(self.number, {"settings": self.settings, "state": deepcopy(state_of(run))})
            self.written = perf_counter()


@final
class CheckpointFile:
    """One file for the checkpoints of several trainings, which may run side by side in threads.

    Parameters
    ----------
    path : path
    count : int
        Number of the trainings.
    resume : bool
        Read what the file holds, where there is one.
    """

    def __init__(self, path: Path, count: int = 1, *, resume: bool = False) -> None:
        self.path, self.count, self.lock = path, count, Lock()
        self.trainings: dict[int, Tree] = self.read() if resume and os.path.lexists(path) else {}

    def checkpoint(self, number: int, *, every: int = 1, seconds: float = 0.0) -> Checkpoint:
        """Return the callback of the training of that number, counted from 0."""
        checkpoint = Checkpoint.__new__(Checkpoint)
        checkpoint.set_up(self, number, every, seconds)
        return checkpoint

    def keep(self, number: int, training: Tree) -> None:
        """Write the file anew, with this state of one training and the last known ones of the others."""
        with self.lock:
            self.trainings[number] = training
            arrays: dict[str, Array] = {}
            trainings = {str(k): apart(tree, arrays, str(k)) for k, tree in sorted(self.trainings.items())}
            content = pack_archive(FORMAT, {"count": self.count, "trainings": trainings}, arrays)
            write_whole(self.path, lambda file: file.write(content))

    def read(self) -> dict[int, Tree]:
        """Return each training's state by its number."""
        with opened(self.path, FORMAT, "a checkpoint") as archive:
            count = archive.document["count"]
            require_same({"number of members": count}, {"number of members": self.count}, self.path)
            return {int(k): together(tree, archive) for k, tree in archive.document["trainings"].items()}


def apart(tree: Tree, arrays: dict[str, Array], name: str) -> Tree:
    """Return the tree as JSON can hold it; arrays, and numbers that are not finite, go into `arrays` under a name."""
    if isinstance(tree, Mapping):
        return {key: apart(value, arrays, f"{name}.{key}") for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [apart(value, arrays, f"{name}.{k}") for k, value in enumerate(tree)]
    if isinstance(tree, np.ndarray) or (isinstance(tree, float) and not isfinite(tree)):
        arrays[name] = np.asarray(tree)
        return {"array": name}
    return tree.item() if isinstance(tree, np.generic) else tree


def together(tree: Tree, archive: Archive) -> Tree:
    """Return the tree that `apart` took apart."""
    if isinstance(tree, list):
        return [together(value, archive) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if set(tree) == {"array"}:
        array = archive.array(tree["array"])
        return array if array.ndim else array.item()
    return {key: together(value, archive) for key, value in tree.items()}


# What a training is of.


def settings_of(run: Run) -> dict[str, str]:
    """Return all that decides, with the state, what a training comes to; for a run that has not begun."""
    net = run.net
    layers = ", ".join(map(str, getattr(net, "layers", ()))) or type(net).__name__
    return {
        "network": f"{layers}; {net.theta.size:,} parameters in {net.theta.dtype}",
        **{name: shown(getattr(net, name, None)) for name in ("loss", "l1", "l2")},
        "optimizer": shown(run.optimizer),
        "schedule": shown(run.schedule),
        **({"epochs": str(run.epochs)} if run.schedule.depends_on_n_epochs else {}),
        "batch_size": str(run.batch_size),
        "shuffle": str(run.shuffle),
        "clip_norm": str(run.clip_norm),
        "learning_rate_multipliers": shown(run.factors),
        "max_rollbacks": str(run.max_rollbacks),
        "metrics": ", ".join(metric.name for metric in run.metrics),
        "callbacks": ", ".join(map(describe_callback, with_state(run))),
        "kernels": run.kernels.name,
        "X, y and sample_weight": describe_rows(run.rows),
        "validation": "None" if run.validation is None else describe_rows(run.validation),
        "seed": f"a generator in state {text_digest(repr(plain(run.rng.bit_generator.state)))}",
    }


def require_same(saved: Mapping[str, object], settings: Mapping[str, object], path: Path) -> None:
    """Raise ModelFileError that names the first setting that is another one."""
    for name, value in settings.items():
        if saved.get(name) != value:
            told = f"{name} was {saved.get(name)}, and is {value}"
            raise ModelFileError(f"{os.fspath(path)} is a checkpoint of another training: {told}")


def shown(value: object) -> str:
    """Return a setting as text that is the same in every process."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}, {digest(value)[:16]}"
    if is_dataclass(value):
        options = (f"{field.name}={shown(getattr(value, field.name))}" for field in fields(value) if field.init)
        return f"{type(value).__name__}({', '.join(options)})"
    own = callable(value) or type(value).__repr__ is object.__repr__
    return getattr(value, "__qualname__", type(value).__name__) if own else repr(value)


def describe_callback(callback: Callback) -> str:
    """Return a callback's name and the options that it was made with."""
    options = {name: getattr(callback, name, ...) for name in signature(type(callback)).parameters}
    simple = (f"{name}={value!r}" for name, value in options.items() if isinstance(value, str | int | float | None))
    return f"{type(callback).__name__}({', '.join(simple)})"


def describe_rows(rows: tuple[Array, Array, Array | None]) -> str:
    """Return how many rows and columns there are, and the digest of their numbers."""
    return f"{len(rows[0]):,} rows of {rows[0].shape[1]:,} columns, {digest(*rows)[:16]}"


def text_digest(text: str) -> str:
    """Return a digest of a text."""
    return digest(np.frombuffer(text.encode(), np.uint8))[:16]


# The state it is in.


def with_state(run: Run) -> list[Callback]:
    """Return the callbacks that have something to remember."""
    return [callback for callback in run.observers if type(callback).state is not Callback.state]


def state_of(run: Run) -> Tree:
    """Return what a run at the end of an epoch needs to go on with the next one."""
    return {
        "epoch": run.epoch + 1,
        "stop": run.stop,
        "fair_loss": run.fair_loss,
        "rate_scale": run.rate_scale,
        "rollbacks": run.history.rollbacks,
        "theta": run.net.theta,
        "buffers": run.net.buffers,
        "steps": run.optimizer.steps,
        "moments": run.optimizer.moments,
        "rng": plain(run.rng.bit_generator.state),
        "schedule": run.schedule.state(),
        "callbacks": [callback.state() for callback in with_state(run)],
        "history": {name: np.array(column) for name, column in run.history.columns.items()},
        "notes": run.history.notes,
        "good": {"theta": run.good.theta, "buffers": run.good.buffers, "rng": plain(run.good.rng)},
    }


def restore(run: Run, state: Tree) -> None:
    """Bring a run that has not begun to a state, which may come from a stranger."""
    net, optimizer, good = run.net, run.optimizer, state["good"]
    epoch, vectors = int(state["epoch"]), {"theta": net.theta, "buffers": net.buffers}
    require_that(0 < epoch <= run.epochs, f"it has {epoch} epochs, and {run.epochs} are asked for")
    for name, column in run.history.columns.items():
        column[:] = same_shape(state["history"][name], np.empty(epoch), name).tolist()
    run.history.notes[:] = map(str, state["notes"])
    for callback, remembered in zip(with_state(run), state["callbacks"], strict=True):
        callback.restore(run, remembered)
    run.schedule.restore(state["schedule"])
    for name, moment in state["moments"].items():
        optimizer.moments[name] = same_shape(moment, net.theta, name)
    run.good.theta, run.good.buffers = (same_shape(good[name], of, name) for name, of in vectors.items())
    run.good.rng = good["rng"]
    run.rng.bit_generator.state = good["rng"]  # which raises if it is none
    run.rng.bit_generator.state = state["rng"]
    run.epoch, run.stop, run.fair_loss = epoch, str(state["stop"]), float(state["fair_loss"])
    run.rate_scale, run.history.rollbacks = float(state["rate_scale"]), int(state["rollbacks"])
    optimizer.steps = int(state["steps"])
    theta, buffers = (same_shape(state[name], of, name) for name, of in vectors.items())
    finite = all(map(all_finite, (theta, buffers, run.good.theta, run.good.buffers)))
    require_that(finite, "its parameters are not finite")
    net.theta[...], net.buffers[...] = theta, buffers


def plain(value: Any) -> Any:
    """Return a random generator's state with its arrays as lists."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
