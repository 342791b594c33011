"""Checkpoints: everything a training run needs to continue after an interruption, bit for bit as without it.

A checkpoint is an archive (see `chainrule.archive`) with one document, `checkpoint.json`. For each run it contains a
description of the run, so that it is never continued with other data or settings, and the state at the end of an epoch:
parameters, running statistics, the optimizer's moments, the random generator, schedule, callbacks and history.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields, is_dataclass
from inspect import signature
from itertools import zip_longest
from math import isfinite
from threading import Lock
from time import perf_counter
from typing import Any, ClassVar, final

import numpy as np

from chainrule.archive import Archive, Format, Path, opened, pack_archive, refusing, require_that, write_whole
from chainrule.arrays import Array, all_finite, digest, require, require_integer, same_shape
from chainrule.errors import ModelFileError, shorten
from chainrule.training.callbacks import Callback
from chainrule.training.run import Run

FORMAT = Format("chainrule checkpoint", 1, "checkpoint.json")

Tree = Any
"""Dicts with string keys, lists, strings, numbers, booleans, None, and arrays of floats."""


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
            self.settings = _settings_of(run)
            return
        with refusing(self.file.path, "a checkpoint"):
            run.use(training["settings"]["kernels"])  # those it started with, even if there are more epochs now
            self.settings = _settings_of(run)
            _require_same(training["settings"], self.settings, self.file.path)
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
            arrays: dict[str, Array] = {}
            trainings = {str(k): _flatten(tree, arrays, str(k)) for k, tree in sorted(self.trainings.items())}
            document = {"count": self.count, "about": self.about, "trainings": trainings}
            content = pack_archive(FORMAT, document, arrays)
            write_whole(self.path, lambda file: file.write(content))

    def _read(self) -> dict[int, Tree]:
        with opened(self.path, FORMAT, "a checkpoint") as archive:
            saved = dict(archive.document.get("about", {}))
            _require_same(saved, {name: value for name, value in self.about.items() if name in saved}, self.path)
            count = archive.document["count"]
            _require_same({"number of members": count}, {"number of members": self.count}, self.path)
            return {int(k): _unflatten(tree, archive) for k, tree in archive.document["trainings"].items()}


def _flatten(tree: Tree, arrays: dict[str, Array], name: str) -> Tree:
    """Return the tree as JSON; arrays, and numbers that are not finite, go into `arrays` by name."""
    if isinstance(tree, Mapping):
        return {key: _flatten(value, arrays, f"{name}.{key}") for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_flatten(value, arrays, f"{name}.{k}") for k, value in enumerate(tree)]
    if isinstance(tree, np.ndarray) or (isinstance(tree, float) and not isfinite(tree)):
        arrays[name] = np.asarray(tree)
        return {"array": name}
    return tree.item() if isinstance(tree, np.generic) else tree


def _unflatten(tree: Tree, archive: Archive) -> Tree:
    if isinstance(tree, list):
        return [_unflatten(value, archive) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if set(tree) == {"array"}:
        array = archive.array(tree["array"])
        return array if array.ndim else array.item()
    return {key: _unflatten(value, archive) for key, value in tree.items()}


# The description of a run.


def _settings_of(run: Run) -> dict[str, str]:
    """Return everything that, with the state, determines the result of a run that has not started."""
    net = run.net
    layers = ", ".join(map(str, getattr(net, "layers", ()))) or type(net).__name__
    return {
        "network": f"{layers}; {net.theta.size:,} parameters in {net.theta.dtype}",
        **{name: _describe(getattr(net, name, None)) for name in ("loss", "l1", "l2")},
        "optimizer": _describe(run.optimizer),
        "schedule": _describe(run.schedule),
        **({"epochs": str(run.epochs)} if run.schedule.depends_on_n_epochs else {}),
        "batch_size": str(run.batch_size),
        "shuffle": str(run.shuffle),
        "clip_norm": str(run.clip_norm),
        "learning_rate_multipliers": _describe(run.multipliers),
        "metrics": ", ".join(metric.name for metric in run.metrics),
        "callbacks": ", ".join(map(_describe_callback, _with_state(run))),
        "kernels": run.kernels,
        "X, y and sample_weight": _describe_rows(run.rows),
        "validation": "None" if run.validation is None else _describe_rows(run.validation),
        "seed": _describe_generator(run) if run.seeded else "None",
    }


def _require_same(saved: Mapping[str, object], settings: Mapping[str, object], path: Path) -> None:
    """Raise ModelFileError naming the first setting that differs."""
    for name, value in settings.items():
        if saved.get(name) != value:
            difference = _difference(name, saved.get(name), value)
            raise ModelFileError(f"{os.fspath(path)} is the checkpoint of another run: {difference}")


def _difference(name: str, saved: object, value: object) -> str:
    """Return what differs between two values of a setting: of a network the first layer, of a list the items."""
    if isinstance(saved, list) and isinstance(value, list):
        removed, added = ([item for item in a if item not in b] for a, b in ((saved, value), (value, saved)))
        parts = [f"{word} {shorten(items)}" for word, items in (("without", removed), ("with", added)) if items]
        return f"{name} are now {' and '.join(parts) or 'in another order'}"
    if name == "network":
        layers = zip_longest(*(re.split(r", (?=[A-Z])|; ", str(text)) for text in (saved, value)), fillvalue="none")
        saved, value = next((was, now) for was, now in layers if was != now)
    return f"{name} was {saved}, now {value}"


def _describe(value: object) -> str:
    """Return a setting as text that is the same in every process."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}, {digest(value)[:16]}"
    if is_dataclass(value):
        options = (f"{field.name}={_describe(getattr(value, field.name))}" for field in fields(value) if field.init)
        return f"{type(value).__name__}({', '.join(options)})"
    is_custom = callable(value) or type(value).__repr__ is object.__repr__
    return getattr(value, "__qualname__", type(value).__name__) if is_custom else repr(value)


def _describe_callback(callback: Callback) -> str:
    options = {name: getattr(callback, name, ...) for name in signature(type(callback)).parameters}
    simple = (f"{name}={value!r}" for name, value in options.items() if isinstance(value, str | int | float | None))
    return f"{type(callback).__name__}({', '.join(simple)})"


def _describe_rows(rows: tuple[Array, Array, Array | None]) -> str:
    return f"{len(rows[0]):,} rows of {rows[0].shape[1]:,} columns, {digest(*rows)[:16]}"


def _describe_generator(run: Run) -> str:
    state = repr(_plain(run.rng.bit_generator.state))
    return f"a generator in state {digest(np.frombuffer(state.encode(), np.uint8))[:16]}"


# The state of a run.


def _with_state(run: Run) -> list[Any]:
    return [callback for callback in run.callbacks if type(callback).state is not Callback.state]


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
        "rng": _plain(run.rng.bit_generator.state),
        "schedule": run.schedule.state(),
        "callbacks": [callback.state() for callback in _with_state(run)],
        "history": {name: np.array(column) for name, column in run.history.columns.items()},
        "notes": run.history.notes,
    }


def _restore(run: Run, state: Tree) -> None:
    """Bring a run that has not started to a state, which may come from an untrusted file."""
    net, optimizer = run.net, run.optimizer
    epoch = int(state["epoch"])
    require_that(0 < epoch <= run.epochs, f"it has {epoch} epochs, more than the {run.epochs} requested")
    theta, buffers = (
        same_shape(state["theta"], net.theta, "theta"),
        same_shape(state["buffers"], net.buffers, "buffers"),
    )
    require_that(all_finite(theta) and all_finite(buffers), "its parameters are not finite")
    for name, column in run.history.columns.items():
        column[:] = same_shape(state["history"][name], np.empty(epoch), name).tolist()
    run.history.notes[:] = map(str, state["notes"])
    run.schedule.restore(state["schedule"])
    for name, moment in state["moments"].items():
        optimizer.moments[name] = same_shape(moment, net.theta, name)
    run.rng.bit_generator.state = state["rng"]  # raises if it is not the state of a generator
    run.epoch, run.stop = epoch, str(state["stop"])
    run.rate_scale, run.history.rollbacks = float(state["rate_scale"]), int(state["rollbacks"])
    optimizer.steps = int(state["steps"])
    net.theta[...], net.buffers[...] = theta, buffers
    for callback, saved in zip(_with_state(run), state["callbacks"], strict=True):
        callback.restore(run, saved)


def _plain(value: Any) -> Any:
    """Return the state of a random generator with arrays as lists."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
