"""Inference with NumPy: all rows at once, (n, columns), in float64."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Callable

import numpy as np


def read_array(kind: str, shape: list[int], data: BytesIO) -> Any:
    """Return the next array of that shape: kind "f" is float32, "d" float64, both little-endian."""
    count = int(np.prod(shape))
    raw = data.read(count * np.dtype(kind).itemsize)
    return np.frombuffer(raw, "<" + kind, count).astype(np.float64).reshape(shape)


def infer(members: list[Any], bounds: Any, rows: Any) -> Any:
    """Return the predictions for encoded rows as lists: the sum over the members, clipped to `bounds`."""
    X = np.array(rows, np.float64)
    predictions: Any = sum(run(steps, X) for steps in members)
    return (predictions if bounds is None else np.clip(predictions, bounds[0], bounds[1])).tolist()


def run(steps: list[Any], X: Any) -> Any:
    """Apply the steps to rows X."""
    for name, *arguments in steps:
        X = STEPS[name](X, *arguments)
    return X


def block_affine(X: Any, W: Any, b: Any) -> Any:
    """Return x W + b for each output; each takes one block of k values of X, and consecutive outputs share blocks."""
    n, k = len(X), W.shape[1]
    blocks = X.reshape(n, X.shape[1] // k, 1, k)
    return (blocks * W.reshape(blocks.shape[1], -1, k)).sum(axis=3).reshape(n, len(b)) + b


def rows_of(X: Any, E: Any, starts: list[int], lasts: list[int]) -> Any:
    """Return for each index k the row start + k of E, one after the other; k is limited to 0, ..., last."""
    return E[np.clip(X, 0, lasts).astype(int) + starts].reshape(len(X), X.shape[1] * E.shape[1])


def in_order(X: Any, block: int) -> Any:
    """Return X with all but the first of each `block` values sorted."""
    blocks = X.reshape(len(X), X.shape[1] // block, block)
    return np.concatenate([blocks[:, :, :1], np.sort(blocks[:, :, 1:], axis=2)], axis=2).reshape(X.shape)


def normalized(X: Any, epsilon: float) -> Any:
    """Return (X - mean) / sqrt(variance + epsilon), with the mean and variance of each row."""
    H = X - X.mean(axis=1, keepdims=True)
    return H / np.sqrt((H * H).mean(axis=1, keepdims=True) + epsilon)


def softmax(Z: Any) -> Any:
    """Return exp(Z_k) / sum_j exp(Z_j) of each row."""
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    return P / P.sum(axis=1, keepdims=True)


def elementwise(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the function itself, which applies to all values at once."""
    return function


STEPS: dict[str, Callable[..., Any]] = {
    "affine": lambda X, W, b: X @ W.T + b,
    "affine_elementwise": lambda X, center, scale, shift: (X - center) * scale + shift,
    "normalized": normalized,
    "softmax": softmax,
    "in_order": in_order,
    "residual_block": lambda X, steps: X + run(steps, X),
    "appended": lambda X, steps: np.concatenate([X, run(steps, X)], axis=1),
    "columns": lambda X, columns: X[:, columns],
    "block_affine": block_affine,
    "rows": rows_of,
}
