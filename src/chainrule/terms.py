r"""Expressions: trees of operations that know their value, their derivatives by the chain rule, and their code.

    >>> z = symbol("z")
    >>> y = z * tanh(z)
    >>> derivative(y, z) == tanh(z) + z * (1 - tanh(z) ** 2)
    True
    >>> float(round(derivative(y, z).value(z=0.5), 6))
    0.855341

Each operation has a value and a rule: given the term y = f(a, b, ...) and d, the derivative of the loss with respect to
y, the rule returns the derivatives with respect to a, b, ... A derivative is a term itself, so it can be printed,
evaluated and compiled as well: `chainrule.typeset` prints it as a formula, `chainrule.languages` as source code.

A term stands for a matrix, of which some rows or columns may be equal and stored once: `axes` names the directions in
which it varies, "r" from row to row and "c" from column to column. A bias varies by column ("c"), a weight matrix by
both ("rc"), a number by none ("").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from operator import itemgetter, mul
from typing import Any

import numpy as np

from chainrule.arrays import Array

# The tree.


@dataclass(frozen=True)
class Term:
    """An operation `op` applied to the terms `args`; `note` holds what else the operation needs, such as an axis."""

    op: str = ""
    args: tuple[Term, ...] = ()
    note: Any = None

    @property
    def axes(self) -> str:
        """The directions in which the values vary: a part of "rc"."""
        if self.op == "sum":
            return "".join(axis for axis in self.args[0].axes if axis not in self.note)
        if self.op == "transpose":
            return "".join(axis for axis in "rc" if {"r": "c", "c": "r"}[axis] in self.args[0].axes)
        return "".join(axis for axis in "rc" if any(axis in arg.axes for arg in self.args))

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

    def __pow__(self, exponent: float) -> Term:
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
    r"""A number; with a `title`, such as "\eta", a named constant, which is shown by its name and not simplified."""

    number: float = 0.0
    title: str = ""


@dataclass(frozen=True)
class Symbol(Term):
    """A quantity with a name in code. `typeset` shows it by its letter, scripts and role."""

    name: str = ""
    directions: str = ""
    letter: str = ""
    """The letter of an entry in column form, and `row_letter` that of the matrix in row form."""
    row_letter: str = ""
    above: str = ""
    """The superscript in column form, and `below` the subscript in row form."""
    below: str = ""
    index: str = ""
    role: str = ""
    """"" or what is shown around the letter: see `chainrule.typeset`."""

    @property
    def axes(self) -> str:
        return self.directions

    def indexed(self, index: str | None) -> str:
        """Return the subscript of an entry: the index where the symbol has one. A weight keeps its own two for one."""
        if index is None or 0 < len(index) < len(self.index):
            return self.index
        return index if self.index else ""


def symbol(name: str, axes: str = "") -> Symbol:
    """Return a symbol that is shown as its name."""
    return Symbol(name=name, directions=axes, letter=name, row_letter=name)


def build(op: str, *args: Term | float, note: Any = None) -> Term:
    """Return an operation on terms and plain numbers, in its simplest form."""
    terms = tuple(arg if isinstance(arg, Term) else Number(number=float(arg)) for arg in args)
    simpler = SIMPLER[op](*terms) if op in SIMPLER else None
    return Term(op, terms, note) if simpler is None else simpler


ZERO, ONE = Number(number=0.0), Number(number=1.0)


def is_number(term: Term, number: float | None = None) -> bool:
    """Return whether a term is an unnamed number, or the given one."""
    return isinstance(term, Number) and not term.title and number in (None, term.number)


def factors_of(term: Term) -> list[Term]:
    """Return the factors of a product."""
    return [factor for arg in term.args for factor in factors_of(arg)] if term.op == "multiply" else [term]


def _sum_simplified(a: Term, b: Term) -> Term | None:
    """0 + b = b; 2 + 3 = 5; a + a b = a (1 + b); where(c, a, 0) + where(c, 0, b) = where(c, a, b)."""
    if is_number(a, 0) or is_number(b, 0):
        return b if is_number(a, 0) else a
    if is_number(a) and is_number(b):
        return Number(number=a.number + b.number)  # type: ignore[attr-defined]
    if a.op == b.op == "where" and a.args[0] == b.args[0] and is_number(a.args[2], 0) and is_number(b.args[1], 0):
        return where(a.args[0], a.args[1], b.args[2])
    if a.op == "add" and (last := _sum_simplified(a.args[1], b)) is not None:
        return a.args[0] + last
    first, second = factors_of(a), factors_of(b)
    if len(first) < len(second) and first == second[: len(first)]:
        return a * (1 + reduce(mul, second[len(first) :]))
    return None


def _product_simplified(a: Term, b: Term) -> Term | None:
    """0 b = 0; 1 b = b; 2 * 3 = 6; (a * 2) * 3 = a * 6; where(c, 0, a) * b = where(c, 0, a * b)."""
    if is_number(a, 0) or is_number(b, 0):
        return ZERO
    if is_number(a, 1) or is_number(b, 1):
        return b if is_number(a, 1) else a
    if is_number(a) and is_number(b):
        return Number(number=a.number * b.number)  # type: ignore[attr-defined]
    if is_number(b) and a.op == "multiply" and is_number(a.args[1]):
        return a.args[0] * (a.args[1] * b)
    if a.op == "where" and (is_number(a.args[1], 0) or is_number(a.args[2], 0)):
        return where(a.args[0], a.args[1] * b, a.args[2] * b)
    return None


SIMPLER: dict[str, Callable[..., Term | None]] = {
    "add": _sum_simplified,
    "subtract": lambda a, b: a if is_number(b, 0) else -b if is_number(a, 0) else None,
    "multiply": _product_simplified,
    "divide": lambda a, b: a if is_number(b, 1) else ZERO if is_number(a, 0) else None,
    "power": lambda a, b: a if is_number(b, 1) else None,
    "negative": lambda a: Number(number=-a.number) if is_number(a) else a.args[0] if a.op == "negative" else None,
    "transpose": lambda a: a.args[0] if a.op == "transpose" else None,
    "where": lambda condition, a, b: a if a == b else None,
}

# Functions of terms. The elementwise ones have the names and meanings of NumPy's.


def total(a: Term, axes: str = "rc") -> Term:
    """Return the sum over rows ("r"), over columns ("c") or over both."""
    return build("sum", a, note=axes)


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


exp, expm1, log, log1p, tanh, sqrt, absolute, sign = map(
    _elementwise, ("exp", "expm1", "log", "log1p", "tanh", "sqrt", "absolute", "sign")
)


@dataclass(frozen=True, eq=False)
class Function:
    """An operation made of others, with its own closed form of the derivative where there is a better one.

    `definition` is the textbook's, for readers. `computed` is a term with the same value that neither overflows nor
    cancels; default: the definition. `rule(y, d, *args)` returns the derivatives with respect to the arguments;
    default: the chain rule on `computed`. Without a `title`, the definition is shown in place of the call.
    `value` computes with NumPy what no term expresses.
    """

    name: str
    title: str = ""
    definition: Callable[..., Term] | None = None
    computed: Callable[..., Term] | None = None
    rule: Callable[..., tuple[Term, ...]] | None = None
    value: Callable[..., Array] | None = None

    def __call__(self, *args: Term | float) -> Term:
        return build("call", *args, note=self)

    @property
    def is_named(self) -> bool:
        """Whether a formula shows both the call and the definition."""
        return bool(self.title and self.definition)

    def expanded(self, *args: Term) -> Term:
        """Return the term that computes the function."""
        form = self.computed or self.definition
        assert form is not None, self.name
        return form(*args)


def let(letter: str, a: Term) -> Term:
    """Return a term that is shown as a letter, with its definition behind the formula."""
    return build("let", a, note=letter)


def part(a: Term | float, name: str) -> Term:
    """Return a term that beginners forget as a summand or a factor: see `mistakes`."""
    return build("part", a, note=f"{name} is missing")


def instead(a: Term, remark: str, wrong: Term | float) -> Term:
    """Return a term in place of which beginners write another; the remark names that mistake."""
    return build("instead", a, wrong, note=remark)


# Values and rules.


def _power_rule(y: Term, d: Term) -> tuple[Term, Term]:
    """D(a^n) = n a^(n - 1)."""
    a, n = y.args
    assert isinstance(n, Number)
    factor = part(n, "the factor 2 from the square") if n.number == 2 else n
    return d * factor * a ** (n.number - 1), ZERO


def _call_rule(y: Term, d: Term) -> tuple[Term, ...]:
    """The function's closed form, or else the chain rule on the term that computes it."""
    function: Function = y.note
    if function.rule is not None:
        return function.rule(y, d, *y.args)
    inner = function.expanded(*y.args)
    return tuple(gradient(inner, arg, d) for arg in y.args)


OPERATIONS: dict[str, tuple[Callable[..., Any] | None, Callable[[Term, Term], tuple[Term, ...]]]] = {
    "add": (np.add, lambda y, d: (d, d)),
    "subtract": (np.subtract, lambda y, d: (d, -d)),
    "multiply": (np.multiply, lambda y, d: (d * y.args[1], d * y.args[0])),
    "divide": (np.divide, lambda y, d: (d / y.args[1], -(d * y) / y.args[1])),
    "power": (np.power, _power_rule),
    "negative": (np.negative, lambda y, d: (-d,)),
    "matmul": (np.matmul, lambda y, d: (d @ y.args[1].T, y.args[0].T @ d)),
    "transpose": (np.transpose, lambda y, d: (d.T,)),
    "sum": (None, lambda y, d: (d,)),
    "maximum": (np.maximum, lambda y, d: (d * greater(*y.args), d * (1 - greater(*y.args)))),
    "minimum": (np.minimum, lambda y, d: (d * greater(y.args[1], y.args[0]), d * (1 - greater(y.args[1], y.args[0])))),
    "greater": (lambda a, b: np.greater(a, b) * 1.0, lambda y, d: (ZERO, ZERO)),
    "where": (np.where, lambda y, d: (ZERO, where(y.args[0], d, 0), where(y.args[0], 0, d))),
    "exp": (np.exp, lambda y, d: (d * y,)),
    "expm1": (np.expm1, lambda y, d: (d * exp(y.args[0]),)),
    "log": (np.log, lambda y, d: (d / y.args[0],)),
    "log1p": (np.log1p, lambda y, d: (d / (1 + y.args[0]),)),
    "tanh": (np.tanh, lambda y, d: (d * (1 - y**2),)),
    "sqrt": (np.sqrt, lambda y, d: (d / (2 * y),)),
    "absolute": (np.abs, lambda y, d: (d * sign(y.args[0]),)),
    "sign": (np.sign, lambda y, d: (ZERO,)),
    "call": (None, _call_rule),
    "let": (lambda a: a, lambda y, d: (d,)),
    "part": (lambda a: a, lambda y, d: (d,)),
    "instead": (lambda a: a, lambda y, d: (d, ZERO)),
}
"""Each operation's value, with NumPy, and its rule."""


def evaluator(term: Term) -> Callable[[Mapping[str, Any]], Any]:
    """Return the function that computes a term from the values of the symbols, by name.

    It is a list of steps, each with the places of its arguments in the list. What occurs twice is computed once.
    """
    steps: list[tuple[Callable[..., Any], list[int]]] = []
    places: dict[Term, int] = {}

    def place(term: Term) -> int:
        if term.op in ("let", "part", "instead"):
            return place(term.args[0])
        if term.op == "call" and term.note.value is None:
            return place(term.note.expanded(*term.args))
        if term not in places:
            args = [place(arg) for arg in term.args]
            steps.append((_operation(term), args))
            places[term] = len(steps) - 1
        return places[term]

    last = place(term)

    def run(symbols: Mapping[str, Any]) -> Any:
        values: list[Any] = []
        for compute, args in steps:
            values.append(compute(*[values[k] for k in args]) if args else compute(symbols))
        return values[last]

    return run


def _operation(term: Term) -> Callable[..., Any]:
    """Return what computes a term from its arguments, or from the symbols if it has none."""
    if isinstance(term, Number):
        return lambda symbols: term.number
    if isinstance(term, Symbol):
        return itemgetter(term.name)
    if term.op == "sum":
        return partial(_sum, axes=term.note)
    operation = term.note.value if term.op == "call" else OPERATIONS[term.op][0]
    assert operation is not None
    return operation  # type: ignore[no-any-return]


def _sum(a: Array, axes: str) -> Array:
    """Return a sum; one over columns keeps its axis, so that it lines up with the rows."""
    return a.sum(axis={"r": 0, "c": -1, "rc": None}[axes], keepdims=axes == "c")


# The chain rule.


def contributions(y: Term, d: Term) -> Iterator[tuple[Term, Term]]:
    """Yield every symbol in y with a derivative of the loss with respect to it, one for each path, given d for y."""
    if isinstance(y, Symbol):
        yield y, d
        return
    if y.op == "let":  # derived once, in terms of the letter
        (inner,) = y.args
        local = OPERATIONS[inner.op][1](inner, ONE)
        found = zip(inner.args, (d * substitute(factor, {inner: y}) for factor in local))
    else:
        found = zip(y.args, OPERATIONS[y.op][1](y, d) if y.args else ())
    for arg, d_arg in found:
        if not is_number(d_arg, 0):
            yield from contributions(arg, _summed_like(d_arg, arg))


def _summed_like(d: Term, a: Term) -> Term:
    """Return the derivative summed over the directions in which `a` is one value for all, since it affects them all."""
    repeated = "".join(axis for axis in d.axes if axis not in a.axes)
    return total(d, repeated) if repeated else d


def gradient(y: Term, a: Term, d: Term = ONE) -> Term:
    """Return the derivative of the loss with respect to the symbol `a` in y, given that with respect to y."""
    if not isinstance(a, Symbol):  # an argument that is a term itself: derive with respect to a symbol in its place
        stand_in = Symbol(name="argument", directions=a.axes)
        return substitute(gradient(substitute(y, {a: stand_in}), stand_in, d), {stand_in: a})
    found: Term = ZERO
    for reached, derivative in contributions(y, d):
        if reached == a:
            found = found + derivative
    return found


def derivative(y: Term, z: Symbol) -> Term:
    """Return dy/dz of a scalar function."""
    return gradient(y, z)


# Transformations.


def rebuilt(term: Term, args: tuple[Term, ...]) -> Term:
    """Return the operation on other arguments."""
    return term if not term.args or args == term.args else build(term.op, *args, note=term.note)


def substitute(term: Term, replacements: Mapping[Term, Term]) -> Term:
    """Return the term with some of its subterms replaced by others."""
    if term in replacements:
        return replacements[term]
    return rebuilt(term, tuple(substitute(arg, replacements) for arg in term.args))


def walk(term: Term) -> Iterator[Term]:
    """Yield the term and everything it is made of, in the order of reading."""
    yield term
    for arg in term.args:
        yield from walk(arg)


def symbols_in(term: Term) -> list[Symbol]:
    """Return the symbols that the value of a term depends on, each once, in the order of reading."""
    if isinstance(term, Symbol):
        return [term]
    args = term.args[:1] if term.op == "instead" else term.args
    return list(dict.fromkeys(symbol for arg in args for symbol in symbols_in(arg)))


def plain(term: Term) -> Term:
    """Return the term without the marks of parts and mistakes, simplified."""
    if term.op in ("part", "instead"):
        return plain(term.args[0])
    return rebuilt(term, tuple(map(plain, term.args)))
