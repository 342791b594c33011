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
    """Return the predictions (n, n_out) for encoded rows: the sum over the members, clipped to `bounds`."""
    X = np.array(rows, np.float64)
    predictions = sum(run(steps, X) for steps in members)
    return predictions if bounds is None else np.clip(predictions, bounds[0], bounds[1])


def run(steps: list[Any], X: Any) -> Any:
    """Apply the steps to rows X."""
    for name, *arguments in steps:
        X = STEPS[name](X, *arguments)
    return X


def normalized(X: Any, epsilon: float) -> Any:
    """Return (X - mean) / sqrt(variance + epsilon), with the mean and variance of each row."""
    H = X - X.mean(axis=1, keepdims=True)
    return H / np.sqrt((H * H).mean(axis=1, keepdims=True) + epsilon)


def softmax(Z: Any) -> Any:
    """Return exp(Z_k) / sum_j exp(Z_j) of each row."""
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    return P / P.sum(axis=1, keepdims=True)


def sigmoid(Z: Any) -> Any:
    """Return 1 / (1 + exp(-Z))."""
    return 1 / (1 + np.exp(np.minimum(-Z, 87)))


def gelu(Z: Any) -> Any:
    """Return Z (1 + tanh(c (Z + 0.044715 Z^3))) / 2."""
    C = np.clip(Z, -30, 30)
    return 0.5 * Z * (1 + np.tanh(np.sqrt(2 / np.pi) * (C + 0.044715 * C * C * C)))


def mish(Z: Any) -> Any:
    """Return Z tanh(log(1 + exp(Z)))."""
    U = np.exp(np.minimum(Z, 20))
    return Z * (U * (U + 2) / (U * (U + 2) + 2))


def selu(Z: Any) -> Any:
    """Return s Z where Z > 0, else s a (exp(Z) - 1)."""
    return 1.0507009873554805 * np.where(Z > 0, Z, 1.6732632423543772 * np.expm1(np.minimum(Z, 0)))


STEPS: dict[str, Callable[..., Any]] = {
    "affine": lambda X, W, b: X @ W.T + b,
    "affine_elementwise": lambda X, center, scale, shift: (X - center) * scale + shift,
    "normalized": normalized,
    "softmax": softmax,
    "residual_block": lambda X, steps: X + run(steps, X),
    "sigmoid": sigmoid,
    "step": lambda Z: (Z > 0) * 1.0,
    "tanh": np.tanh,
    "relu": lambda Z: np.maximum(Z, 0),
    "leaky_relu": lambda Z: np.where(Z > 0, Z, 0.01 * Z),
    "elu": lambda Z: np.maximum(Z, np.expm1(np.minimum(Z, 0))),
    "selu": selu,
    "softplus": lambda Z: np.log1p(np.exp(-np.abs(Z))) + np.maximum(Z, 0),
    "silu": lambda Z: Z * sigmoid(Z),
    "gelu": gelu,
    "mish": mish,
    "exp": lambda Z: np.exp(np.minimum(Z, 708)),
}
