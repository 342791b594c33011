r"""Expressions: numbers, symbols and operations, with their values and, by the chain rule, their derivatives.

    >>> z = Symbol("z")
    >>> y = z * tanh(z)
    >>> derivative(y, z) == tanh(z) + z * (1 - tanh(z) ** 2)
    True
    >>> float(y.value(z=0.5).round(6)), float(derivative(y, z).value(z=0.5).round(6))
    (0.231059, 0.855341)

A derivative is a term like any other: `chainrule.typeset` prints terms as formulas, `chainrule.languages` as code.

A term stands for a matrix. What is the same in all rows or all columns is stored once, as NumPy broadcasts it: `axes`
names the directions in which a term varies, "r" from row to row and "c" from column to column. A weight matrix varies
in both, "rc", a bias by column, "c", and a number not at all, "".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import itemgetter, mul
from typing import Any

import numpy as np

from chainrule.arrays import Array

# The tree.


@dataclass(frozen=True)
class Term:
    """Base class: a number, a symbol, or an operation on other terms."""

    op: str = field(default="", init=False)
    args: tuple[Term, ...] = field(default=(), init=False)
    note: Any = field(default=None, init=False)

    def value(self, **symbols: Any) -> Any:
        """Return the value for these values of the symbols."""
        return evaluator(self)(symbols)

    def __add__(self, other: Term | float) -> Term:
        return build("add", self, other)

    def __radd__(self, other: float) -> Term:
        return build("add", other, self)

    def __sub__(self, other: Term | float) -> Term:
        return build("subtract", self, other)

    def __rsub__(self, other: float) -> Term:
        return build("subtract", other, self)

    def __mul__(self, other: Term | float) -> Term:
        return build("multiply", self, other)

    def __rmul__(self, other: float) -> Term:
        return build("multiply", other, self)

    def __truediv__(self, other: Term | float) -> Term:
        return build("divide", self, other)

    def __rtruediv__(self, other: float) -> Term:
        return build("divide", other, self)

    def __pow__(self, exponent: Term | float) -> Term:
        return build("power", self, exponent)

    def __neg__(self) -> Term:
        return build("negative", self)

    def __matmul__(self, other: Term) -> Term:
        return build("matmul", self, other)

    @property
    def T(self) -> Term:
        """The transpose."""
        return build("transpose", self)


@dataclass(frozen=True)
class Number(Term):
    r"""A number. One with a title, such as "\eta", is a named constant, shown by its name and not simplified."""

    number: float
    title: str = ""


@dataclass(frozen=True)
class Symbol(Term):
    """A variable with its name in code; `look` is for `chainrule.typeset`."""

    name: str
    axes: str = ""
    look: Any = None


@dataclass(frozen=True)
class Operation(Term):
    """The operation `op` on the terms `args`; `note` is what else it needs, such as the axes of a sum."""

    op: str
    args: tuple[Term, ...]
    note: Any = None


ZERO, ONE = Number(0.0), Number(1.0)


def build(op: str, *args: Term | float, note: Any = None) -> Term:
    """Return an operation on terms and plain numbers, simplified."""
    terms = tuple(arg if isinstance(arg, Term) else Number(float(arg)) for arg in args)
    simpler = _SIMPLER[op](*terms) if op in _SIMPLER else None
    return Operation(op, terms, note) if simpler is None else simpler


def axes_of(term: Term) -> str:
    """Return the directions in which a term varies: a part of "rc"."""
    if isinstance(term, Symbol):
        return term.axes
    axes = {axis for arg in term.args for axis in axes_of(arg)}
    if term.op == "sum":
        axes -= set(term.note)
    if term.op == "transpose":
        axes = {{"r": "c", "c": "r"}[axis] for axis in axes}
    return "".join(axis for axis in "rc" if axis in axes)


# Operations. They have the names and the meanings of NumPy's.


def total(a: Term, axes: str = "rc") -> Term:
    """Return the sum over rows ("r"), over columns ("c") or over both."""
    return build("sum", a, note=axes)


def ones_like(a: Term) -> Term:
    """Return 1 for every entry of a."""
    return build("ones_like", a)


def where(condition: Term, a: Term | float, b: Term | float) -> Term:
    """Return a where the condition is 1, b where it is 0."""
    return build("where", condition, a, b)


def greater(a: Term | float, b: Term | float) -> Term:
    """Return 1 where a > b, else 0."""
    return build("greater", a, b)


def maximum(a: Term | float, b: Term | float) -> Term:
    """Return the larger of a and b."""
    return build("maximum", a, b)


def minimum(a: Term | float, b: Term | float) -> Term:
    """Return the smaller of a and b."""
    return build("minimum", a, b)


def _elementwise(op: str) -> Callable[[Term | float], Term]:
    return lambda a: build(op, a)


exp, expm1, log, log1p = map(_elementwise, ("exp", "expm1", "log", "log1p"))
tanh, sqrt, absolute, sign = map(_elementwise, ("tanh", "sqrt", "absolute", "sign"))


@dataclass(frozen=True, eq=False)
class Function:
    """An operation made of others, called as `function(a, b)`.

    Attributes
    ----------
    name : str
    title : str
        In LaTeX. Without one, formulas show the definition in place of the call.
    definition : callable
        Maps the arguments to the term that a textbook gives.
    computed : callable
        The same in a form that neither overflows nor cancels; default: `definition`.
    rule : callable
        Its rule of the chain rule, a closed form: see `RULES`. Default: the chain rule on `computed`.
    value : callable
        A function of arrays, for what no term expresses.
    """

    name: str
    title: str = ""
    definition: Callable[..., Term] | None = None
    computed: Callable[..., Term] | None = None
    rule: Callable[..., tuple[Term, ...]] | None = None
    value: Callable[..., Array] | None = None

    def __call__(self, *args: Term | float) -> Term:
        return build("call", *args, note=self)

    def expanded(self, *args: Term) -> Term:
        """Return the term that computes the function."""
        form = self.computed or self.definition
        assert form is not None, self.name
        return form(*args)


# Three marks, which change neither value nor derivative.


def let(letter: str, a: Term) -> Term:
    """Return a term that is shown as a letter, with its definition behind the formula."""
    return build("let", a, note=letter)


def part(a: Term | float, name: str) -> Term:
    """Return a summand or factor that is easily forgotten."""
    return build("part", a, note=f"{name} is missing")


def instead(a: Term, remark: str, wrong: Term | float) -> Term:
    """Return a term in place of which beginners write a wrong one; the remark describes the mistake."""
    return build("instead", a, wrong, note=remark)


MARKS = ("let", "part", "instead")

# The chain rule.


def _power_rule(y: Term, d: Term, a: Term, n: Term) -> tuple[Term, Term]:
    """a^n has the derivative n a^(n - 1)."""
    assert isinstance(n, Number)
    factor = part(n, "the factor 2 from the square") if n.number == 2 else n
    return d * factor * a ** (n.number - 1), ZERO


def _call_rule(y: Term, d: Term, *args: Term) -> tuple[Term, ...]:
    """The closed form of a function, or else the chain rule on the term that computes it."""
    if y.note.rule is not None:
        return y.note.rule(y, d, *args)
    return tuple(gradient(y.note.expanded(*args), arg, d) for arg in args)


RULES: dict[str, Callable[..., tuple[Term, ...]]] = {
    "add": lambda y, d, a, b: (d, d),
    "subtract": lambda y, d, a, b: (d, -d),
    "multiply": lambda y, d, a, b: (d * b, d * a),
    "divide": lambda y, d, a, b: (d / b, -(d * y) / b),
    "power": _power_rule,
    "negative": lambda y, d, a: (-d,),
    "matmul": lambda y, d, A, B: (d @ B.T, A.T @ d),
    "transpose": lambda y, d, A: (d.T,),
    "sum": lambda y, d, a: (d * ones_like(a),),
    "ones_like": lambda y, d, a: (ZERO,),
    "maximum": lambda y, d, a, b: (d * greater(a, b), d * greater(b, a)),
    "minimum": lambda y, d, a, b: (d * greater(b, a), d * greater(a, b)),
    "greater": lambda y, d, a, b: (ZERO, ZERO),
    "where": lambda y, d, condition, a, b: (ZERO, where(condition, d, 0), where(condition, 0, d)),
    "exp": lambda y, d, a: (d * y,),
    "expm1": lambda y, d, a: (d * exp(a),),
    "log": lambda y, d, a: (d / a,),
    "log1p": lambda y, d, a: (d / (1 + a),),
    "tanh": lambda y, d, a: (d * (1 - y**2),),
    "sqrt": lambda y, d, a: (d / (2 * y),),
    "absolute": lambda y, d, a: (d * sign(a),),
    "sign": lambda y, d, a: (ZERO,),
    "call": _call_rule,
    "part": lambda y, d, a: (d,),
    "instead": lambda y, d, a, wrong: (d, ZERO),
}
"""For y = op(a, b, ...) and d, the derivative of the loss with respect to y: those with respect to a, b, ..."""


def paths(y: Term, d: Term) -> Iterator[tuple[Symbol, Term]]:
    """Yield, for each path from y to a symbol in it, the symbol and the product of the derivatives along the path."""
    if isinstance(y, Symbol):
        yield y, d
    for a, d_a in _derivatives(y, d):
        if d_a != ZERO:
            shared = "".join(axis for axis in axes_of(d_a) if axis not in axes_of(a))
            yield from paths(a, total(d_a, shared) if shared else d_a)  # one value for many rows affects all of them


def _derivatives(y: Term, d: Term) -> Iterable[tuple[Term, Term]]:
    """Return the arguments of y, each with the derivative of the loss with respect to it."""
    if y.op == "let":  # by the rule of what it stands for, in terms of the letter
        (a,) = y.args
        factors = (substitute(factor, {a: y}) for factor in RULES[a.op](a, ONE, *a.args))
        return zip(a.args, (d * factor for factor in factors))
    return zip(y.args, RULES[y.op](y, d, *y.args)) if y.args else ()


def gradient(y: Term, a: Term, d: Term = ONE) -> Term:
    """Return the derivative of the loss with respect to `a`, a symbol or a term in y, given that with respect to y."""
    if not isinstance(a, Symbol):
        stand_in = Symbol("argument", axes_of(a))
        return substitute(gradient(substitute(y, {a: stand_in}), stand_in, d), {stand_in: a})
    return sum((along for reached, along in paths(y, d) if reached == a), ZERO)


def derivative(y: Term, z: Symbol) -> Term:
    """Return dy/dz of a scalar function."""
    return gradient(y, z)


# Simplification, which keeps derivatives short.


def is_number(term: Term, number: float | None = None) -> bool:
    """Return whether a term is an unnamed number, or the given one."""
    return isinstance(term, Number) and not term.title and number in (None, term.number)


def _factors_of(term: Term) -> list[Term]:
    return [factor for arg in term.args for factor in _factors_of(arg)] if term.op == "multiply" else [term]


def _simpler_sum(a: Term, b: Term) -> Term | None:
    """0 + b = b, 2 + 3 = 5, a + (-b) = a - b, a + a b = a (1 + b), where(c, a, 0) + where(c, 0, b) = where(c, a, b)."""
    if is_number(a, 0) or is_number(b, 0):
        return b if is_number(a, 0) else a
    if is_number(a) and is_number(b):
        return Number(a.number + b.number)  # type: ignore[attr-defined]
    if a.op == b.op == "where" and a.args[0] == b.args[0] and is_number(a.args[2], 0) and is_number(b.args[1], 0):
        return where(a.args[0], a.args[1], b.args[2])
    if b.op == "negative":
        return a - b.args[0]
    if a.op == "add" and (last := _simpler_sum(a.args[1], b)) is not None:
        return a.args[0] + last
    first, second = _factors_of(a), _factors_of(b)
    if len(first) < len(second) and first == second[: len(first)]:
        return a * (1 + reduce(mul, second[len(first) :]))
    return None


def _simpler_product(a: Term, b: Term) -> Term | None:
    """0 b = 0, 1 b = b, 2 * 3 = 6, (-a) b = -(a b), (a * 2) * 3 = a * 6, where(c, 0, a) * b = where(c, 0, a * b).

    Ones move to the end of a product and vanish beside a factor with as many entries.
    """
    if is_number(a, 0) or is_number(b, 0):
        return ZERO
    if is_number(a, 1) or is_number(b, 1):
        return b if is_number(a, 1) else a
    if is_number(a) and is_number(b):
        return Number(a.number * b.number)  # type: ignore[attr-defined]
    if a.op == "negative" or b.op == "negative":
        return -(a.args[0] * b) if a.op == "negative" else -(a * b.args[0])
    if is_number(b) and a.op == "multiply" and is_number(a.args[1]):
        return a.args[0] * (a.args[1] * b)
    if a.op == "where" and (is_number(a.args[1], 0) or is_number(a.args[2], 0)):
        return where(a.args[0], a.args[1] * b, a.args[2] * b)
    *others, last = _factors_of(a)
    if last.op == "ones_like" and b.op != "ones_like":
        product = reduce(mul, others, ONE) * b
        return product if set(axes_of(last)) <= set(axes_of(b)) else product * last
    return None


def _simpler_fraction(a: Term, b: Term) -> Term | None:
    """a / 1 = a, 0 / b = 0, (-a) / b = -(a / b)."""
    if is_number(b, 1) or is_number(a, 0):
        return a
    return -(a.args[0] / b) if a.op == "negative" else None


_SIMPLER: dict[str, Callable[..., Term | None]] = {
    "add": _simpler_sum,
    "subtract": lambda a, b: a if is_number(b, 0) else -b if is_number(a, 0) else None,
    "multiply": _simpler_product,
    "divide": _simpler_fraction,
    "power": lambda a, n: a if is_number(n, 1) else None,
    "negative": lambda a: Number(-a.number) if is_number(a) else a.args[0] if a.op == "negative" else None,
    "transpose": lambda a: a.args[0] if a.op == "transpose" else None,
    "ones_like": lambda a: None if axes_of(a) else ONE,
    "where": lambda condition, a, b: a if a == b else None,
}
"""From the arguments of an operation to a simpler term, or None if there is none."""

# Values.


def evaluator(term: Term) -> Callable[[Mapping[str, Any]], Any]:
    """Return the function that computes a term from the values of the symbols, by name.

    It is a list of steps, each with the places of its arguments in the list. What occurs twice is computed once.
    """
    steps: list[tuple[Callable[..., Any], list[int]]] = []
    places: dict[Term, int] = {}

    def place(term: Term) -> int:
        if term.op in MARKS:
            return place(term.args[0])
        if term.op == "call" and term.note.value is None:
            return place(term.note.expanded(*term.args))
        if term not in places:
            step = _numpy_function(term), [place(arg) for arg in term.args]
            places[term] = len(steps)
            steps.append(step)
        return places[term]

    last = place(term)

    def run(symbols: Mapping[str, Any]) -> Any:
        values: list[Any] = []
        for compute, args in steps:
            values.append(compute(*[values[k] for k in args]) if args else compute(symbols))
        return values[last]

    return run


def _numpy_function(term: Term) -> Callable[..., Any]:
    """Return what computes a term from the values of its arguments or, if it has none, from those of the symbols."""
    if isinstance(term, Number):
        return lambda symbols: term.number
    if isinstance(term, Symbol):
        return itemgetter(term.name)
    special: dict[str, Callable[..., Any]] = {
        "sum": partial(_sum, axes=term.note),
        "greater": lambda a, b: np.greater(a, b) * 1.0,
    }
    if term.op == "call":
        return term.note.value
    return special.get(term.op) or getattr(np, term.op)


def _sum(a: Array, axes: str) -> Array:
    """Return a sum; one over columns keeps its axis, so that it lines up with the rows."""
    return a.sum(axis={"r": 0, "c": -1, "rc": None}[axes], keepdims=axes == "c")


# Walks through the tree.


def walk(term: Term) -> Iterator[Term]:
    """Yield a term and everything it is made of, in the order of reading."""
    yield term
    for arg in term.args:
        yield from walk(arg)


def symbols_in(term: Term) -> list[Symbol]:
    """Return the symbols on which the value of a term depends, each once, in the order of reading."""
    if isinstance(term, Symbol):
        return [term]
    args = term.args[:1] if term.op == "instead" else term.args
    return list(dict.fromkeys(symbol for arg in args for symbol in symbols_in(arg)))


def rebuilt(term: Term, args: tuple[Term, ...]) -> Term:
    """Return an operation on other arguments."""
    return term if args == term.args else build(term.op, *args, note=term.note)


def substitute(term: Term, replacements: Mapping[Term, Term]) -> Term:
    """Return a term in which others are put in the place of some."""
    if term in replacements:
        return replacements[term]
    return rebuilt(term, tuple(substitute(arg, replacements) for arg in term.args))
