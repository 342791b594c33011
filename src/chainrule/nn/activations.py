"""Activations, from the perceptron's step to the smooth ones, each with its derivative directly below it.

An activation is a function `Z -> (A, backward)`: `A` has the shape of `Z`, and `backward(dA)` applies the chain rule,
`dZ = dA * dA/dZ`; the closure keeps what the derivative needs. All are elementwise, keep the dtype, modify neither `Z`
nor `dA`, and do not overflow or warn for any finite `Z`. A custom function of this form works wherever a name does.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import GradientError, look_up

Activated = tuple[Array, Callable[[Array], Array]]
ActivationFunction = Callable[[Array], Activated]


def identity(Z: Array) -> Activated:
    """A = Z; dA/dZ = 1."""
    return Z, lambda dA: dA


def step(Z: Array) -> Activated:
    """A = 1 where Z > 0, else 0: Rosenblatt's perceptron (1958). It cannot be trained by gradient descent."""

    def backward(dA: Array) -> Array:
        raise GradientError(
            "step cannot be trained by gradient descent: its derivative is 0 on both sides of the threshold and "
            "undefined at it. Use sigmoid, its smooth form, or the perceptron learning rule."
        )

    return (Z > 0).astype(Z.dtype), backward


def sigmoid(Z: Array) -> Activated:
    """A = 1 / (1 + exp(-Z)); dA/dZ = A (1 - A)."""
    A = logistic(Z)
    return A, lambda dA: dA * (A * (1 - A))


def tanh(Z: Array) -> Activated:
    """A = tanh(Z); dA/dZ = 1 - A^2."""
    A = np.tanh(Z)
    return A, lambda dA: dA * (1 - A * A)


def relu(Z: Array) -> Activated:
    """A = max(0, Z); dA/dZ = 1 where Z > 0, else 0."""
    A = np.maximum(Z, zero_row(Z))
    return A, lambda dA: dA * (A > 0).astype(A.dtype)


def zero_row(Z: Array) -> Array:
    """Return a row of zeros as wide as Z.

    `np.maximum` of two arrays takes a third of the time of `np.maximum` of an array and the scalar 0, and both are many
    times faster than `np.where`.
    """
    return np.zeros(Z.shape[-1:], Z.dtype)


def leaky_relu(Z: Array) -> Activated:
    """A = Z where Z > 0, else 0.01 Z; dA/dZ = 1 or 0.01 (Maas et al. 2013)."""
    A = np.maximum(Z, 0.01 * Z)
    return A, lambda dA: dA * ((A > 0) * Z.dtype.type(0.99) + Z.dtype.type(0.01))


def elu(Z: Array) -> Activated:
    """A = Z where Z > 0, else exp(Z) - 1; dA/dZ = 1 or A + 1 (Clevert et al. 2016, alpha = 1)."""
    zero = zero_row(Z)
    A = np.maximum(Z, np.exp(np.minimum(Z, zero)) - 1)  # expm1 avoids a rounding error of 1, at eight times the cost
    return A, lambda dA: dA * (np.minimum(A, zero) + 1)


SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772


def selu(Z: Array) -> Activated:
    """A = s Z where Z > 0, else s a (exp(Z) - 1); dA/dZ = s or A + s a (Klambauer et al. 2017, eq. 2)."""
    zero = zero_row(Z)
    A = np.exp(np.minimum(Z, zero))
    A -= 1
    A *= SELU_SCALE * SELU_ALPHA
    A += SELU_SCALE * np.maximum(Z, zero)

    def backward(dA: Array) -> Array:
        derivative = np.minimum(A, zero)
        derivative += SELU_SCALE * SELU_ALPHA
        derivative -= (A > 0) * A.dtype.type(SELU_SCALE * SELU_ALPHA - SELU_SCALE)
        derivative *= dA
        return derivative

    return A, backward


def softplus(Z: Array) -> Activated:
    """A = log(1 + exp(Z)), a smooth form of relu; dA/dZ = sigmoid(Z)."""
    A = np.log1p(np.exp(-np.abs(Z))) + np.maximum(Z, zero_row(Z))
    return A, lambda dA: dA * logistic(Z)


def silu(Z: Array) -> Activated:
    """A = Z S with S = sigmoid(Z), also called swish; dA/dZ = S + A (1 - S)."""
    S = logistic(Z)
    A = Z * S
    return A, lambda dA: dA * (S + A * (1 - S))


def gelu(Z: Array) -> Activated:
    """A = Z (1 + T) / 2 with T = tanh(c (Z + 0.044715 Z^3)), c = sqrt(2 / pi) (Hendrycks & Gimpel 2016, section 2).

    dA/dZ = (1 + T) / 2 + Z (1 - T^2) c (1 + 3 * 0.044715 Z^2) / 2. This is the paper's tanh form,
    within 5e-4 of Z Phi(Z): NumPy has no error function.
    """
    c, k = sqrt(2 / pi), 0.044715
    # Beyond |Z| = 30 the tanh is +-1 to the last bit, and clipping keeps Z^3 from overflowing.
    C = np.clip(Z, -30, 30)
    T = np.tanh(c * (C + k * C * C * C))

    def backward(dA: Array) -> Array:
        return dA * (0.5 * (1 + T) + 0.5 * C * (1 - T * T) * (c * (1 + 3 * k * C * C)))

    return 0.5 * Z * (1 + T), backward


def mish(Z: Array) -> Activated:
    """A = Z T with T = tanh(softplus(Z)) (Misra 2019, eq. 1); dA/dZ = T + Z (1 - T^2) sigmoid(Z).

    With u = exp(Z), T = u (u + 2) / (u (u + 2) + 2): one exponential instead of three. Beyond Z = 20, T is 1 to the
    last bit.
    """
    U = np.exp(np.minimum(Z, zero_row(Z) + 20))
    W = U * (U + 2)
    T = W / (W + 2)

    def backward(dA: Array) -> Array:
        derivative = 1 - T * T
        derivative *= Z
        derivative *= U / (1 + U)
        derivative += T
        derivative *= dA
        return derivative

    return Z * T, backward


def logistic(Z: Array) -> Array:
    """1 / (1 + exp(-Z)); below Z = -87 it stays at 1.6e-38, the smallest normal float32."""
    A = np.minimum(-Z, zero_row(Z) + 87)
    np.exp(A, out=A)
    A += 1
    return np.reciprocal(A, out=A)


ACTIVATIONS: dict[str, ActivationFunction] = {
    function.__name__: function
    for function in (identity, step, sigmoid, tanh, relu, leaky_relu, elu, selu, softplus, silu, gelu, mish)
}


def find_activation(function: str | ActivationFunction, argument: str) -> str | ActivationFunction:
    """Return the name of a known activation in its own spelling ("ReLU" is "relu"), or the custom function."""
    if callable(function):
        return function
    name = function.lower() if isinstance(function, str) else function
    look_up(ACTIVATIONS, name if name in ACTIVATIONS else function, argument)
    return name
