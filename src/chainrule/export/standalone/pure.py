"""Inference in plain Python: one row at a time, as a list of floats."""

from __future__ import annotations

import math
import sys
from array import array
from io import BytesIO
from operator import mul
from typing import Any, Callable, List

Row = List[float]


def read_array(kind: str, shape: list[int], data: BytesIO) -> Any:
    """Return the next array of that shape as lists: kind "f" is float32, "d" float64, both little-endian."""
    values = array(kind)
    values.frombytes(data.read(math.prod(shape) * values.itemsize))
    if sys.byteorder == "big":
        values.byteswap()
    width = shape[-1]
    return (
        values.tolist() if len(shape) == 1 else [values[i : i + width].tolist() for i in range(0, len(values), width)]
    )


def infer(members: list[Any], bounds: Any, rows: Any) -> list[Row]:
    """Return the predictions for encoded rows: the sum over the members, clipped to `bounds`."""
    predictions = [list(map(math.fsum, zip(*(run(steps, row) for steps in members)))) for row in rows]
    if bounds is None:
        return predictions
    return [[max(low, min(high, y)) for y, low, high in zip(row, *bounds)] for row in predictions]


def run(steps: list[Any], x: Row) -> Row:
    """Apply the steps to a row."""
    for name, *arguments in steps:
        x = STEPS[name](x, *arguments)
    return x


def affine(x: Row, W: list[Row], b: Row) -> Row:
    """Return x W + b; each row of W here contains the weights of one output."""
    return [sum(map(mul, x, weights)) + bias for weights, bias in zip(W, b)]


def block_affine(x: Row, W: list[Row], b: Row) -> Row:
    """Return a W + bias for each output; each takes one block a of k values, and consecutive outputs share blocks."""
    k = len(W[0])
    outputs_per_block = len(W) * k // len(x)
    blocks = [x[i // outputs_per_block * k : (i // outputs_per_block + 1) * k] for i in range(len(W))]
    return [sum(map(mul, block, weights)) + bias for block, weights, bias in zip(blocks, W, b)]


def rows_of(x: Row, E: list[Row], starts: list[int], lasts: list[int]) -> Row:
    """Return for each index k the row start + k of E, one after the other; k is limited to 0, ..., last."""
    rows = [E[start + int(max(0, min(k, last)))] for k, start, last in zip(x, starts, lasts)]
    return [value for row in rows for value in row]


def in_order(x: Row, block: int) -> Row:
    """Return x with all but the first of each `block` values sorted."""
    blocks = [x[i : i + block] for i in range(0, len(x), block)]
    return [value for first, *others in blocks for value in (first, *sorted(others))]


def normalized(x: Row, epsilon: float) -> Row:
    """Return (x - mean) / sqrt(variance + epsilon)."""
    mean = sum(x) / len(x)
    h = [value - mean for value in x]
    deviation = math.sqrt(sum(map(mul, h, h)) / len(h) + epsilon)
    return [value / deviation for value in h]


def softmax(z: Row) -> Row:
    """Return exp(z_k) / sum_j exp(z_j)."""
    largest = max(z)
    p = [math.exp(value - largest) for value in z]
    total = sum(p)
    return [value / total for value in p]


def residual_block(x: Row, steps: list[Any]) -> Row:
    """Return x + steps(x)."""
    return [value + correction for value, correction in zip(x, run(steps, x))]


def elementwise(function: Callable[[float], float]) -> Callable[[Row], Row]:
    """Return the function that applies `function` to each value of a row."""
    return lambda x: [function(value) for value in x]


STEPS: dict[str, Callable[..., Row]] = {
    "affine": affine,
    "affine_elementwise": lambda x, *params: [
        (value - center) * scale + shift for value, center, scale, shift in zip(x, *params)
    ],
    "normalized": normalized,
    "softmax": softmax,
    "in_order": in_order,
    "residual_block": residual_block,
    "appended": lambda x, steps: [*x, *run(steps, x)],
    "columns": lambda x, columns: [x[j] for j in columns],
    "block_affine": block_affine,
    "rows": rows_of,
}
