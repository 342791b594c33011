r"""The activations as terms. The trace, the exports and the compiled loops print their own forms of them.

`chainrule.nn.activations` has the same functions by hand, and a test holds one against the other. A new activation is
one entry in each table, under the same name; its derivative follows by the chain rule. Where the textbook's definition
overflows or cancels, `computed` is a stable form of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from textwrap import indent
from typing import Any
from zlib import crc32

import numpy as np

from chainrule import terms as t
from chainrule.languages import NUMBA
from chainrule.terms import Function, Number, Symbol, Term

# Ways to define a function of one number.


def named(name: str, definition: Callable[[Term], Term], title: str = "") -> Function:
    """Return a function that formulas show under its name."""
    return Function(name, title or rf"\operatorname{{{name}}}", definition)


def _by_slope(slope: Callable[[Term, Term], Term]) -> Callable[[Term, Term, Term], tuple[Term]]:
    """Return the rule of a function y of z with this derivative, in terms of y and z."""
    return lambda y, d, z: (d * t.part(slope(y, z), f"{y.note.name}'"),)


# Parts of activations.

sigmoid = Function(
    "sigmoid",
    r"\sigma",
    lambda z: 1 / (1 + t.exp(-z)),
    lambda z: 1 / (1 + t.exp(t.minimum(-z, 87))),  # of which the exponential is finite in float32
    _by_slope(lambda y, z: y * (1 - y)),
)
softplus = Function(
    "softplus",
    r"\operatorname{softplus}",
    lambda z: t.log(1 + t.exp(z)),
    lambda z: t.log1p(t.exp(-t.absolute(z))) + t.maximum(z, 0),
    _by_slope(lambda y, z: sigmoid(z)),
)
_below_0 = Function("below_0", "", lambda z: z, lambda z: t.minimum(z, 0), lambda y, d, z: (d,))
"""z, where it is not used above 0."""
_within_30 = Function("within_30", "", lambda z: z, lambda z: t.minimum(t.maximum(z, -30), 30), lambda y, d, z: (d,))
"""z, where the result is the same to the last bit beyond +-30."""
_SCALE, _ALPHA = Number(1.0507009873554805, "s"), Number(1.6732632423543772, r"\alpha")
"""The constants of selu."""


def _gelu(z: Term) -> Term:
    c = _within_30(z)
    return 0.5 * z * (1 + t.let("t", t.tanh(t.sqrt(2 / Number(math.pi, r"\pi")) * (c + 0.044715 * c**3))))


# tanh(softplus(z)) with one exponential u instead of three; beyond z = 20 it and u / (1 + u) are 1.


def _u(z: Term) -> Term:
    return t.exp(t.minimum(z, 20))


def _w_ratio(z: Term) -> Term:
    w = _u(z) * (_u(z) + 2)
    return w / (w + 2)


_slope_of_softplus = Function("sigmoid", r"\sigma", None, lambda z: _u(z) / (1 + _u(z)))
_tanh_of_softplus = Function(
    "tanh(softplus)",
    "",
    lambda z: t.tanh(softplus(z)),
    _w_ratio,
    lambda y, d, z: (d * (1 - y**2) * _slope_of_softplus(z),),
)

CURVES: dict[str, Function] = {
    "identity": named("identity", lambda z: z, r"\operatorname{id}"),
    "step": named("step", lambda z: t.greater(z, 0)),
    "sigmoid": sigmoid,
    "tanh": named("tanh", t.tanh, r"\tanh"),
    "relu": named("relu", lambda z: t.maximum(z, 0)),
    "leaky_relu": named("leaky_relu", lambda z: t.where(t.greater(z, 0), z, 0.01 * z), r"\operatorname{leaky}"),
    "elu": named("elu", lambda z: t.where(t.greater(z, 0), z, t.expm1(_below_0(z)))),
    "selu": named("selu", lambda z: t.where(t.greater(z, 0), _SCALE * z, _SCALE * _ALPHA * t.expm1(_below_0(z)))),
    "softplus": softplus,
    "silu": named("silu", lambda z: z * sigmoid(z)),
    "gelu": named("gelu", _gelu),
    "mish": named("mish", lambda z: z * t.let("t", _tanh_of_softplus(z))),
}
"""Name -> activation."""

# Their forms as terms in Z.

Z = Symbol("z")


def value_of(name: str) -> Term:
    """Return an activation."""
    return CURVES[name].expanded(Z)


def slope_of(name: str) -> Term:
    """Return the derivative of an activation."""
    return t.derivative(CURVES[name](Z), Z)


def capped_exp(largest: float) -> Term:
    """Return exp(Z), with Z at most `largest`: 87.7 where the result is a float32, 708 where it is a float64."""
    return t.exp(t.minimum(Z, largest))


# Their forms as Python functions for numba, which take and return a float32 or a float64.


def scalar_functions(name: str) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """Return an activation and its derivative as functions of one number z, which numba can compile."""
    value, slope = (_executed(NUMBA.define("NAME", term), name) for term in (value_of(name), slope_of(name)))
    return value, slope


def scalar_switch(terms: Iterable[Term], *others: str) -> Callable[..., float]:
    """Return the function of `code`, z and the other symbols that computes the term at position `code`, for numba.

    It returns z if there is no such term.
    """
    branches = [
        f"    if code == {code}:\n" + indent(NUMBA.define("NAME", term).partition("\n")[2], "    ")
        for code, term in enumerate(terms)
    ]
    return _executed(f"def NAME({', '.join(('code', 'z', *others))}):\n{''.join(branches)}    return z\n", "switch")


def _executed(source: str, name: str) -> Callable[..., float]:
    """Return the function NAME of Python source.

    numba caches compiled code by file and function name, and does not see constants: another source gets another name.
    """
    unique = f"{name}_{crc32(source.encode()):08x}"
    namespace: dict[str, Any] = {"np": np, "__name__": __name__}
    exec(compile(source.replace("NAME", unique, 1), __file__, "exec"), namespace)
    return namespace[unique]
