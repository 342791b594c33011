r"""The formulas of the activations: each function and its derivative, independent of `chainrule.nn.activations`.

In a formula, `*` is the argument. The functions here are straightforward, those of `chainrule.nn.activations` fast; a
trace verifies one against the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chainrule.arrays import Array
from chainrule.nn.activations import SELU_ALPHA, SELU_SCALE

GELU_C = np.sqrt(2 / np.pi)
GELU_K = 0.044715
MAX_EXPONENT = 700.0
"""Close to the largest number whose exponential is finite in float64."""


@dataclass(frozen=True)
class Curve:
    """A scalar function: its symbol, and its definition and derivative as formulas and as NumPy functions."""

    sign: str
    definition: str
    slope_definition: str
    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def exp(Z: Array) -> Array:
    """e^Z, clipped to remain finite."""
    return np.exp(np.clip(Z, -MAX_EXPONENT, MAX_EXPONENT))


def sigmoid(Z: Array) -> Array:
    """1 / (1 + e^-Z)."""
    return 1 / (1 + exp(-Z))


def sigmoid_slope(Z: Array) -> Array:
    """Sigmoid (1 - sigmoid)."""
    return sigmoid(Z) * (1 - sigmoid(Z))


def softplus(Z: Array) -> Array:
    """log(1 + e^Z)."""
    return np.logaddexp(0, Z)


def gelu_tanh(Z: Array) -> Array:
    """The factor T of gelu, Z (1 + T) / 2."""
    return np.tanh(GELU_C * (Z + GELU_K * Z**3))


def gelu_slope(Z: Array) -> Array:
    """The derivative of Z (1 + T) / 2 by the product rule."""
    T = gelu_tanh(Z)
    return (1 + T) / 2 + Z / 2 * (1 - T**2) * GELU_C * (1 + 3 * GELU_K * Z**2)


def mish_slope(Z: Array) -> Array:
    """The derivative of Z tanh(softplus(Z)) by the product rule."""
    T = np.tanh(softplus(Z))
    return T + Z * (1 - T**2) * sigmoid(Z)


CURVES: dict[str, Curve] = {
    "identity": Curve(r"\operatorname{id}", "*", "1", lambda Z: Z, np.ones_like),
    "step": Curve(r"\operatorname{step}", "[* > 0]", "0", lambda Z: Z > 0, np.zeros_like),
    "sigmoid": Curve(r"\sigma", r"\frac{1}{1 + e^{-*}}", r"\sigma(*) (1 - \sigma(*))", sigmoid, sigmoid_slope),
    "tanh": Curve(r"\tanh", "", r"1 - \tanh(*)^{2}", np.tanh, lambda Z: 1 - np.tanh(Z) ** 2),
    "relu": Curve(r"\operatorname{relu}", r"\max(0, *)", "[* > 0]", lambda Z: np.where(Z > 0, Z, 0), lambda Z: Z > 0),
    "leaky_relu": Curve(
        r"\operatorname{leaky}",
        r"\max(0.01 *, *)",
        r"0.01 + 0.99 [* > 0]",
        lambda Z: np.where(Z > 0, Z, 0.01 * Z),
        lambda Z: 0.01 + 0.99 * (Z > 0),
    ),
    "elu": Curve(
        r"\operatorname{elu}",
        r"* [* > 0] + (e^{*} - 1) [* \le 0]",
        r"[* > 0] + e^{*} [* \le 0]",
        lambda Z: np.where(Z > 0, Z, exp(Z) - 1),
        lambda Z: np.where(Z > 0, 1, exp(Z)),
    ),
    "selu": Curve(
        r"\operatorname{selu}",
        r"s * [* > 0] + s \alpha (e^{*} - 1) [* \le 0]",
        r"s [* > 0] + s \alpha e^{*} [* \le 0]",
        lambda Z: SELU_SCALE * np.where(Z > 0, Z, SELU_ALPHA * (exp(Z) - 1)),
        lambda Z: SELU_SCALE * np.where(Z > 0, 1, SELU_ALPHA * exp(Z)),
    ),
    "softplus": Curve(r"\operatorname{softplus}", r"\log(1 + e^{*})", r"\frac{1}{1 + e^{-*}}", softplus, sigmoid),
    "silu": Curve(
        r"\operatorname{silu}",
        r"* \sigma(*)",
        r"\sigma(*) + * \sigma(*) (1 - \sigma(*))",
        lambda Z: Z * sigmoid(Z),
        lambda Z: sigmoid(Z) + Z * sigmoid_slope(Z),
    ),
    "gelu": Curve(
        r"\operatorname{gelu}",
        r"\frac{1}{2} * (1 + \tanh(\sqrt{2 / \pi} (* + 0.044715 (*)^{3})))",
        r"\frac{1}{2} (1 + t) + \frac{1}{2} * (1 - t^{2}) \sqrt{2 / \pi} (1 + 0.134145 (*)^{2}), \;"
        r" t = \tanh(\sqrt{2 / \pi} (* + 0.044715 (*)^{3}))",
        lambda Z: Z * (1 + gelu_tanh(Z)) / 2,
        gelu_slope,
    ),
    "mish": Curve(
        r"\operatorname{mish}",
        r"* \tanh(\log(1 + e^{*}))",
        r"t + * (1 - t^{2}) \sigma(*), \; t = \tanh(\log(1 + e^{*}))",
        lambda Z: Z * np.tanh(softplus(Z)),
        mish_slope,
    ),
}
