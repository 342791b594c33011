"""The settings of a run as text: a checkpoint is never continued with other ones, and an error names the difference."""

import os
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from hashlib import sha256
from inspect import signature
from itertools import zip_longest
from typing import Any

import numpy as np

from chainrule.arrays import digest
from chainrule.errors import ModelFileError, shorten
from chainrule.files.archive import Path
from chainrule.training.batches import Batch
from chainrule.training.callbacks import Callback
from chainrule.training.run import Run


def settings_of(run: Run) -> dict[str, str]:
    """Return everything that, with the state, determines the result of a run that has not started."""
    net = run.net
    layers = ", ".join(map(str, getattr(net, "layers", ()))) or type(net).__name__
    generator = sha256(_describe(run.rng.bit_generator.state).encode()).hexdigest()[:16]
    return {
        "network": f"{layers}; {net.theta.size:,} parameters in {net.theta.dtype}",
        **{name: _describe(getattr(net, name, None)) for name in ("loss", "l1", "l2")},
        "optimizer": _describe(run.optimizer),
        "schedule": _describe(run.schedule),
        **({"epochs": str(run.epochs)} if run.schedule.depends_on_n_epochs else {}),
        **{name: _describe(getattr(run, name)) for name in ("batch_size", "shuffle", "clip_norm")},
        "learning_rate_multipliers": _describe(run.multipliers),
        "metrics": ", ".join(metric.name for metric in run.metrics),
        "callbacks": ", ".join(map(_describe, with_state(run))),
        "kernels": run.kernels,
        "X, y and sample_weight": _describe_rows(run.rows),
        **({"further rows": repr(run.more)} if run.more else {}),
        "validation": "None" if run.validation is None else _describe_rows(run.validation),
        "seed": f"a generator in state {generator}" if run.seeded else "None",
    }


def _describe(value: object) -> str:
    """Return a setting as text that is the same in every process."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}, {digest(value)[:16]}"
    if isinstance(value, dict):
        return ", ".join(f"{name}={_describe(option)}" for name, option in value.items())
    if is_dataclass(value) or isinstance(value, Callback):
        options = {name: getattr(value, name, None) for name in signature(type(value)).parameters}
        return f"{type(value).__name__}({_describe(options)})"
    return re.sub(r" at 0x\w+", "", repr(value))  # an address would differ


def _describe_rows(rows: Batch) -> str:
    return f"{len(rows[0]):,} rows of {rows[0].shape[1]:,} columns, {digest(*rows)[:16]}"


def require_same(saved: Mapping[str, object], settings: Mapping[str, object], path: Path) -> None:
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


def with_state(run: Run) -> list[Any]:
    """Return the callbacks with a state of their own."""
    return [callback for callback in run.callbacks if type(callback).state is not Callback.state]
