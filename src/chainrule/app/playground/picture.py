"""Messages for drawing: the columns of the diagram, the map of every unit, the surface, points and curves."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

from chainrule.app.playground.frames import encode
from chainrule.app.playground.plane import GRID, Sample, draw
from chainrule.app.playground.settings import CHOICES, Setup
from chainrule.app.playground.training import Training
from chainrule.arrays import Array
from chainrule.nn.inference import activations
from chainrule.nn.layers import Activation, Dense

STRIDE = 2
"""A unit's map takes every other point of the grid in both directions."""
MAX_INPUTS = 10
_CENTER = {"sigmoid": (0.5, 0.5), "tanh": (0.0, 1.0)}
"""Activation -> what is shown as neutral, and how far its values go from there; others: 0, and the unit's largest."""
MIN_REACH = 0.1
"""The same for a unit whose values are small, relative to the largest of its layer."""


def columns_of(training: Training) -> list[dict[str, Any]]:
    """Return the columns of the diagram: the inputs, the hidden layers, the outputs.

    `layer` is the index of the layer whose outputs a column shows, -1 for the inputs; `W` and `b` are the parameters
    that lead there, with their place in theta.
    """
    sample, net = training.sample, training.net
    names = list(sample.columns)
    columns: list[dict[str, Any]] = [
        {"kind": "input", "layer": -1, "units": names[:MAX_INPUTS], "more": max(0, len(names) - MAX_INPUTS)}
    ]
    dense = [i for i, layer in enumerate(net.layers) if isinstance(layer, Dense)]
    blocks = {block.full_name: block for block in net.blocks}
    for i, until in zip(dense, [*dense[1:], len(net.layers)]):
        shown = [k for k in range(i, until) if isinstance(net.layers[k], Dense | Activation)][-1]
        W, b = blocks[f"{i}.W"], blocks[f"{i}.b"]
        kind = "output" if until == len(net.layers) else "hidden"
        units = _output_names(sample, b.size) if kind == "output" else [str(k + 1) for k in range(b.size)]
        place = {"name": W.full_name, "at": W.slice.start, "shape": list(W.shape)}
        bias = {"name": b.full_name, "at": b.slice.start, "shape": list(b.shape)}
        columns.append({"kind": kind, "layer": shown, "units": units, "more": 0, "W": place, "b": bias})
    return columns


def _output_names(sample: Sample, n: int) -> list[str]:
    if n == 1:
        return [sample.labels[1] if sample.labels else "y"]
    return list(sample.labels)


def network(training: Training) -> bytes:
    """Return the message with the diagram's columns and the maps of the inputs."""
    grid = training.sample.grid[:, :MAX_INPUTS]
    low, high = grid.min(axis=0), grid.max(axis=0)
    center, reach = (low + high) / 2, np.maximum((high - low) / 2, 1e-12)
    maps = _bytes(_thinned(grid), center, reach)
    return encode("network", {"columns": columns_of(training), "summary": repr(training.net)}, {"maps": maps})


def thumbnails() -> bytes:
    """Return the message with some points of each sample that can be drawn."""
    names = [name for name in CHOICES["data"] if name not in ("formula", "points", "table")]
    samples = [draw(Setup(data=name, rows=150, noise=0.02)) for name in names]
    n = min(len(sample.y) for sample in samples)
    arrays: dict[str, Array] = {
        "places": np.stack([sample.places[:n] for sample in samples]).astype(np.float32),
        "y": np.stack([sample.y[:n] for sample in samples]).astype(np.float32),
    }
    return encode("thumbnails", {"names": names, "numbers": [not each.labels for each in samples]}, arrays)


def data(sample: Sample) -> bytes:
    """Return the message with the points to show and what the plane is."""
    shown = sample.shown
    low, high = sample.range if not sample.is_classification else (0.0, 1.0)
    values = {
        "extent": sample.extent, "axes": sample.axes, "labels": sample.labels, "range": [low, high], "grid": GRID,
        "rows": len(sample.X), "training": int(sample.train.sum()), "notices": sample.notices, "note": sample.note,
    }  # fmt: skip
    arrays: dict[str, Array] = {
        "places": sample.places[shown].astype(np.float32),
        "y": sample.y[shown].astype(np.float32),
        "train": sample.train[shown].astype(np.uint8),
    }
    return encode("data", values, arrays)


def frame(training: Training, first_row: int) -> bytes:
    """Return the message with everything that changes in training; of the curve, the rows from `first_row` on."""
    net, sample = training.net, training.sample
    with np.errstate(all="ignore"):
        outputs = activations(net, sample.grid)
        maps = [_map(training, column["layer"], outputs) for column in columns_of(training)[1:-1]]
        surface = _surface(training, net.loss.predict(outputs[-1]))
        arrays: dict[str, Array] = {
            "theta": net.theta.astype(np.float32),
            "grad": net.grad.astype(np.float32),
            "update": training.update.astype(np.float32),
            "curve": np.array(training.curve[first_row:], np.float32).reshape(-1, len(training.curve[0])),
            "maps": np.concatenate(maps) if maps else np.zeros((0, 0), np.uint8),
            "surface": surface,
            "wrong": _wrong_rows(training).astype(np.uint8),
        }
    latest = [value if isfinite(value) else None for value in training.curve[-1]]
    return encode("frame", training.settings() | {"first": first_row, "latest": latest}, arrays)


def _wrong_rows(training: Training) -> Array:
    """Return a mask of the shown rows whose class is predicted wrong; for numbers none is."""
    sample, net = training.sample, training.net
    if not sample.is_classification:
        return np.zeros(len(sample.shown), np.bool_)
    P = net.loss.predict(net.plan.run(sample.X[sample.shown]))
    predicted = P.argmax(axis=1) if P.shape[1] > 1 else (P[:, 0] > 0.5).astype(np.intp)
    return np.asarray(predicted != sample.y[sample.shown])


def _map(training: Training, layer: int, outputs: list[Array]) -> Array:
    """Return the maps (units, points) of a hidden layer as bytes."""
    A = _thinned(outputs[layer])
    shown = training.net.layers[layer]
    function = shown.function if isinstance(shown, Activation) else ""
    if str(function) in _CENTER:
        return _bytes(A, *_CENTER[str(function)])
    largest = np.abs(A).max(axis=0)  # of each unit; one that hardly responds stays pale
    return _bytes(A, 0.0, np.maximum(largest, MIN_REACH * (largest.max(initial=0.0) or 1.0)))


def _thinned(A: Array) -> Array:
    """Return every other point in both directions of maps (GRID^2, units)."""
    return A.reshape(GRID, GRID, -1)[::STRIDE, ::STRIDE].reshape(-1, A.shape[1])


def _bytes(A: Array, center: float | Array, reach: float | Array) -> Array:
    """Return maps (points, units) as bytes (units, points): 128 is the center, 1 and 255 are as far as they go."""
    share = np.nan_to_num((A - center) / reach, nan=0.0)
    return np.ascontiguousarray(np.clip(128.5 + 127 * share.T, 1, 255).astype(np.uint8))


def _surface(training: Training, P: Array) -> Array:
    """Return the predictions on the grid as bytes (planes, points).

    One plane for numbers and for two classes, from the lowest number or class 0 to the highest or class 1; of more
    classes one for each, its probability.
    """
    sample = training.sample
    if not sample.is_classification:
        return _bytes(P, 0.0, sample.range[1])
    if P.shape[1] == 2:
        P = (1 + P[:, 1:] - P[:, :1]) / 2
    return np.ascontiguousarray(np.clip(255 * np.nan_to_num(P.T), 0, 255).astype(np.uint8))
