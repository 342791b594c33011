"""Formulas that users type: text becomes a term of `chainrule.terms`. Nothing of it is ever run as Python.

>>> float(parse("x1^2 + 2 x2").value(x1=3.0, x2=0.5))
10.0
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import e, pi
from typing import Any

import numpy as np

from chainrule import terms
from chainrule.errors import look_up
from chainrule.terms import Function, Number, Symbol, Term
from chainrule.typeset import Look

X1, X2 = (Symbol(f"x{k}", "", Look("x", "x", "", str(k))) for k in (1, 2))
_NAMES: dict[str, Term] = {
    "x1": X1, "x2": X2, "x": X1, "y": X2, "pi": Number(pi, r"\pi"), "e": Number(e, "e"),
}  # fmt: skip
_sin = Function("sin", r"\sin", value=np.sin)
_cos = Function("cos", r"\cos", value=np.cos)
_FUNCTIONS: dict[str, tuple[int, Callable[..., Term]]] = {
    "sin": (1, _sin), "cos": (1, _cos), "exp": (1, terms.exp), "log": (1, terms.log), "sqrt": (1, terms.sqrt),
    "abs": (1, terms.absolute), "tanh": (1, terms.tanh), "sign": (1, terms.sign), "max": (2, terms.maximum),
    "min": (2, terms.minimum),
}  # fmt: skip
"""Name -> number of arguments and function."""
_TOKEN = re.compile(r"\s*(?:((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|([A-Za-z]\w*)|(\*\*|[-+*/^(),<>]))")
_MAX_DEPTH = 40


def parse(text: str) -> Term:
    """Return the formula as a term in the symbols x1 and x2; ValueError says where it cannot be read.

    Operators are + - * / ^ and, once at the top, > or <; a product needs no sign before a name or a parenthesis.
    """
    parser = _Parser(text, _tokens(text))
    term = parser.comparison()
    if parser.token is not None:
        raise parser.error("an operator")
    return term


def values(term: Term, X: Any) -> Any:
    """Return the values of a formula at points (n, 2); ValueError if one is not finite."""
    with np.errstate(all="ignore"):
        y = np.broadcast_to(np.asarray(term.value(x1=X[:, 0], x2=X[:, 1]), np.float64), len(X)).copy()
    if not np.isfinite(y).all():
        x1, x2 = X[int(np.argmin(np.isfinite(y)))]
        raise ValueError(f"formula must be finite everywhere, got no number at x1 = {x1:.2f}, x2 = {x2:.2f}")
    return y


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int


def _tokens(text: str) -> list[_Token]:
    tokens, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if not match:
            raise ValueError(
                f"formula must be arithmetic in x1 and x2, got {text[place:].strip()[0]!r} at character {place + 1}"
            )
        kind = ("number", "name", "sign")[match.lastindex - 1]  # type: ignore[operator]
        tokens.append(_Token(kind, match[match.lastindex], match.start(match.lastindex)))  # type: ignore[index, arg-type]
        place = match.end()
    return tokens


class _Parser:
    """Recursive descent, one method for each strength of binding."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self.text, self.tokens, self.place, self.depth = text, tokens, 0, 0

    @property
    def token(self) -> _Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def error(self, expected: str) -> ValueError:
        found = f"{self.token.text!r} at character {self.token.place + 1}" if self.token else "the end"
        return ValueError(f"formula must have {expected} here, got {found} in {self.text!r}")

    def take(self, *signs: str) -> str:
        """Return the next sign and go on, if it is one of these; else ""."""
        if self.token is not None and self.token.kind == "sign" and self.token.text in signs:
            self.place += 1
            return self.tokens[self.place - 1].text
        return ""

    def need(self, sign: str) -> None:
        if not self.take(sign):
            raise self.error(repr(sign))

    def comparison(self) -> Term:
        """a > b, a < b."""
        a = self.sum()
        sign = self.take(">", "<")
        if not sign:
            return a
        b = self.sum()
        return terms.greater(a, b) if sign == ">" else terms.greater(b, a)

    def sum(self) -> Term:
        """a + b - c."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ValueError(f"formula must be nested at most {_MAX_DEPTH} deep, got more")
        a = self.product()
        while sign := self.take("+", "-"):
            a = a + self.product() if sign == "+" else a - self.product()
        self.depth -= 1
        return a

    def product(self) -> Term:
        """a * b / c, and 2 x1."""
        a = self.signed()
        while True:
            if sign := self.take("*", "/"):
                a = a * self.signed() if sign == "*" else a / self.signed()
            elif self.token is not None and (self.token.kind == "name" or self.token.text == "("):
                a = a * self.power()
            else:
                return a

    def signed(self) -> Term:
        """-a."""
        sign = 1
        while taken := self.take("-", "+"):
            sign = -sign if taken == "-" else sign
        return -self.power() if sign < 0 else self.power()

    def power(self) -> Term:
        """a ^ b, from the right."""
        a = self.atom()
        if not self.take("^", "**"):
            return a
        exponent = self.signed()
        if not isinstance(exponent, Number):
            return terms.exp(exponent * terms.log(a))
        return terms.build("power", a, exponent)

    def atom(self) -> Term:
        """A number, a name, a call or a formula in parentheses."""
        if self.take("("):
            a = self.sum()
            self.need(")")
            return a
        token = self.token
        if token is None or token.kind == "sign":
            raise self.error("a number, x1, x2 or a function")
        self.place += 1
        if token.kind == "number":
            return Number(float(token.text))
        if token.text in _FUNCTIONS:
            return self.call(token.text)
        known: dict[str, Any] = {**_NAMES, **_FUNCTIONS}
        return look_up(known, token.text, "a name in the formula")

    def call(self, name: str) -> Term:
        """f(a, b)."""
        n, function = _FUNCTIONS[name]
        self.need("(")
        args = [self.sum()]
        while self.take(","):
            args.append(self.sum())
        self.need(")")
        if len(args) != n:
            raise ValueError(f"{name} must have {n} argument{'s' * (n > 1)}, got {len(args)}")
        return function(*args)
