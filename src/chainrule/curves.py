r"""The activations as terms, of which the trace, the exports and the compiled kernels print their own form.

`chainrule.nn.activations` has the same functions by hand; a test holds one against the other. A new activation is one
entry in each table, under the same name:

    CURVES["softsign"] = Function("softsign", r"\\operatorname{softsign}", lambda z: z / (1 + absolute(z)))

Its derivative follows by the chain rule. Where a definition overflows or cancels, `computed` is a stable form of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from chainrule.terms import (
    NUMBA,
    Function,
    Number,
    Term,
    absolute,
    build,
    derivative,
    exp,
    expm1,
    greater,
    let,
    log,
    log1p,
    maximum,
    minimum,
    sqrt,
    symbol,
    tanh,
    where,
)

# Parts of activations.


def limited(z: Term, low: float = -math.inf, high: float = math.inf) -> Term:
    """Return z, clipped beyond bounds where the result stays the same to the last bit or is not used."""
    return build("call", z, note=_limit(low, high))


def _limit(low: float, high: float) -> Function:
    def clipped(z: Term) -> Term:
        above = z if low == -math.inf else maximum(z, low)
        return above if high == math.inf else minimum(above, high)

    return Function("limited", "", lambda z: z, clipped, lambda y, d, z: (d,))


def elementwise(slope: Callable[[Term, Term], Term]) -> Callable[[Term, Term, Term], tuple[Term]]:
    """Return the rule of a function of one number whose derivative is slope(y, z)."""
    return lambda y, d, z: (d * slope(y, z),)


sigmoid = Function(
    "sigmoid",
    r"\sigma",
    lambda z: 1 / (1 + exp(-z)),
    lambda z: 1 / (1 + exp(minimum(-z, 87))),  # exp(87) is finite in float32
    elementwise(lambda y, z: y * (1 - y)),
)
softplus = Function(
    "softplus",
    r"\operatorname{softplus}",
    lambda z: log(1 + exp(z)),
    lambda z: log1p(exp(-absolute(z))) + maximum(z, 0),
    elementwise(lambda y, z: sigmoid(z)),
)


# tanh(softplus(z)) with one exponential u instead of three; beyond z = 20 it is 1, and u / (1 + u) too.


def _limited_exp(z: Term) -> Term:
    return exp(minimum(z, 20))


def _tanh_of_softplus(z: Term) -> Term:
    w = _limited_exp(z) * (_limited_exp(z) + 2)
    return w / (w + 2)


def _slope_of_softplus(z: Term) -> Term:
    return _limited_exp(z) / (1 + _limited_exp(z))


tanh_of_softplus = Function(
    "tanh_of_softplus",
    "",
    lambda z: tanh(softplus(z)),
    _tanh_of_softplus,
    elementwise(lambda y, z: (1 - y**2) * Function("sigmoid", r"\sigma", None, _slope_of_softplus)(z)),
)

SCALE, ALPHA = (
    Number(number=1.0507009873554805, title="s"),
    Number(number=1.6732632423543772, title=r"\alpha"),
)
"""Constants of selu."""


def _gelu(z: Term) -> Term:
    c = limited(z, -30, 30)  # beyond it the tanh is +-1, and the cube does not overflow
    t = let("t", tanh(sqrt(2 / Number(number=math.pi, title=r"\pi")) * (c + 0.044715 * c**3)))
    return 0.5 * z * (1 + t)


def _mish(z: Term) -> Term:
    return z * let("t", tanh_of_softplus(z))


def _named(name: str, definition: Callable[[Term], Term], title: str = "") -> Function:
    return Function(name, title or rf"\operatorname{{{name}}}", definition)


CURVES: dict[str, Function] = {
    "identity": _named("identity", lambda z: z, r"\operatorname{id}"),
    "step": _named("step", lambda z: greater(z, 0)),
    "sigmoid": sigmoid,
    "tanh": _named("tanh", tanh, r"\tanh"),
    "relu": _named("relu", lambda z: maximum(z, 0)),
    "leaky_relu": _named("leaky_relu", lambda z: where(greater(z, 0), z, 0.01 * z), r"\operatorname{leaky}"),
    "elu": _named("elu", lambda z: where(greater(z, 0), z, expm1(limited(z, high=0)))),
    "selu": _named("selu", lambda z: where(greater(z, 0), SCALE * z, SCALE * ALPHA * expm1(limited(z, high=0)))),
    "softplus": softplus,
    "silu": _named("silu", lambda z: z * sigmoid(z)),
    "gelu": _named("gelu", _gelu),
    "mish": _named("mish", _mish),
}
"""Name -> activation."""

Z = symbol("z")


def value_of(name: str) -> Term:
    """Return an activation as a term in Z."""
    return CURVES[name].expanded(Z)


def slope_of(name: str) -> Term:
    """Return the derivative of an activation as a term in Z."""
    return derivative(CURVES[name](Z), Z)


def compiled_source(name: str) -> str:
    """Return Python source, for numba, of the functions `NAME(z)` and `NAME_slope(z)`.

    They take one float32 or float64 and return the same type.
    """
    return NUMBA.define(name, value_of(name)) + "\n\n" + NUMBA.define(f"{name}_slope", slope_of(name))


def scalar_functions(name: str) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """Return an activation and its derivative as functions of one float, which numba can compile.

    numba caches them under this file: their code changes only if it does.
    """
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(compile("import numpy as np\n" + compiled_source(name), __file__, "exec"), namespace)
    return namespace[name], namespace[f"{name}_slope"]
