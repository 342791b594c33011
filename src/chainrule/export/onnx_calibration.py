"""Prediction intervals and prediction sets in an ONNX graph, for one coverage."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.export.calibration import Intervals
from chainrule.export.onnx_graph import Graph, TensorProto, helper


def add_set(graph: Graph, P: str, limit: float, n_classes: int) -> list[Any]:
    """Add whether each class is in the prediction set, given the largest 1 - P in one; return the graph's output."""
    top = graph.add("ArgMax", P, axis=1, keepdims=1)
    is_top = graph.add("Equal", top, graph.constant(np.arange(n_classes), np.int64))
    is_far = graph.add("Less", P, graph.constant(np.clip(1 - limit, -1, 2)))
    graph.add("Or", is_top, graph.add("Not", is_far), name="contained")
    return [helper.make_tensor_value_info("contained", TensorProto.BOOL, ["n", n_classes])]


def add_interval(graph: Graph, sums: str, Y: str, intervals: Intervals, coverage: float) -> list[Any]:
    """Add the ends of intervals, NaN where the predictions Y are; return the graph's outputs.

    `sums` are those of the members, of each number the mean and its quantiles. As in `Intervals.ends`, an end is
    middle + (quantiles weights - middle) factor + shift, where the middle and the spread are linear in the sums too.
    """
    k, q = intervals.places.shape[1], max(intervals.n_quantiles, 1)
    is_middle = np.zeros((k, q))
    is_middle[:, q // 2] = 1
    spread = np.zeros((k, q))
    spread[:, q - 1 - q // 4] += 1
    spread[:, q // 4] -= 1
    powers, typical = intervals.contrast
    middle = _linear(graph, sums, is_middle, intervals)
    ratio = graph.add("Max", _linear(graph, sums, spread / typical[:, np.newaxis], intervals), graph.constant(2.0**-23))
    factor, fault = graph.add("Pow", ratio, graph.constant(powers)), graph.add("Sub", Y, Y)
    for name, level in (("low", (1 - coverage) / 2), ("high", (1 + coverage) / 2)):
        weights, shift = intervals.end(level)
        distance = graph.add("Mul", _linear(graph, sums, weights - is_middle, intervals), factor)
        end = graph.add("Add", graph.add("Add", middle, distance), graph.constant(shift))
        end = graph.add("Exp", end) if intervals.program.exponential else end
        for operator, limit in zip(("Max", "Min"), intervals.limits):
            end = graph.add(operator, end, graph.constant(limit))
        graph.add("Add", end, fault, name=name)
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", k]) for name in ("low", "high")]


def _linear(graph: Graph, sums: str, weights: Array, intervals: Intervals) -> str:
    """Add the sums of the quantiles of each number, or of the means if there are none, with weights (k, q)."""
    k, q = weights.shape
    width = 1 + intervals.n_quantiles
    matrix = np.zeros((k, width, k))
    matrix[np.arange(k), width - q :, np.arange(k)] = weights
    return graph.add("MatMul", sums, graph.constant(matrix.reshape(k * width, k)))


def add_in_order(graph: Graph, X: str, width: int, block: int) -> str:
    """Add X with all but the first of each block of values sorted."""
    blocks = graph.add("Reshape", X, graph.constant([-1, width // block, block], np.int64))
    first, others = (
        graph.add("Gather", blocks, graph.constant(places, np.int64), axis=2) for places in ([0], range(1, block))
    )
    n = graph.constant([block - 1], np.int64)
    ordered = graph.add("TopK", others, n, n_outputs=2, axis=2, largest=0, sorted=1)
    return graph.add("Reshape", graph.add("Concat", first, ordered, axis=2), graph.constant([-1, width], np.int64))
