r"""Expressions: trees of operations that know their value, their derivatives by the chain rule, and their code.

    >>> z = symbol("z")
    >>> y = z * tanh(z)
    >>> y.value(z=0.5)
    0.23105857863000487
    >>> derivative(y, z).value(z=0.5)
    0.8553413478532227
    >>> C.source(y), PYTHON.source(y)
    ('z * tanhf(z)', 'z * math.tanh(z)')

Each operation has a value and a rule: given the term y = f(a, b, ...) and d, the derivative of the loss with respect to
y, the rule returns the derivatives with respect to a, b, ... A derivative is a term itself, so it can be printed,
evaluated and compiled as well. `typeset` prints terms as text, LaTeX and MathML.

A term stands for a matrix, of which some rows or columns may be equal and stored once: `axes` names the directions in
which it varies, "r" from row to row and "c" from column to column. A bias varies by column ("c"), a weight matrix by
both ("rc"), a number by none ("").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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
        return evaluate(self, symbols)

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


def _sum_simplified(a: Term, b: Term) -> Term | None:
    """0 + b = b; 2 + 3 = 5; where(c, a, 0) + where(c, 0, b) = where(c, a, b)."""
    if is_number(a, 0) or is_number(b, 0):
        return b if is_number(a, 0) else a
    if is_number(a) and is_number(b):
        return Number(number=a.number + b.number)  # type: ignore[attr-defined]
    if a.op == b.op == "where" and a.args[0] == b.args[0] and is_number(a.args[2], 0) and is_number(b.args[1], 0):
        return where(a.args[0], a.args[1], b.args[2])
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


def _part_rule(y: Term, d: Term) -> tuple[Term]:
    return (build("part", d, note=y.note),)


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
    "part": (lambda a: a, _part_rule),
    "instead": (lambda a: a, lambda y, d: (d, ZERO)),
}
"""Each operation's value, with NumPy, and its rule."""


def evaluate(term: Term, symbols: Mapping[str, Any]) -> Any:
    """Return the value of a term for these values of the symbols, by name. What occurs twice is computed once."""
    known: dict[Term, Any] = {}

    def value(term: Term) -> Any:
        if isinstance(term, Number):
            return term.number
        if isinstance(term, Symbol):
            return symbols[term.name]
        if term not in known:
            known[term] = compute(term, [value(arg) for arg in term.args[: 1 if term.op == "instead" else None]])
        return known[term]

    def compute(term: Term, args: list[Any]) -> Any:
        operation = OPERATIONS[term.op][0]
        if operation is not None:
            return operation(*args)
        if term.op == "sum":
            return _sum(np.asarray(args[0]), term.note)
        function: Function = term.note
        return function.value(*args) if function.value else value(function.expanded(*term.args))

    return value(term)


def _sum(a: Array, axes: str) -> Array:
    """Return a sum; one over columns keeps its axis, so that it lines up with the rows."""
    return {"r": a.sum(axis=0), "c": a.sum(axis=-1, keepdims=a.ndim > 1), "rc": a.sum()}[axes]


# The chain rule.


def contributions(y: Term, d: Term) -> Iterator[tuple[Term, Term]]:
    """Yield every symbol in y with a derivative of the loss with respect to it, one for each path, given d for y."""
    if isinstance(y, Symbol):
        yield y, d
        return
    for arg, d_arg in zip(y.args, OPERATIONS[y.op][1](y, d) if y.args else ()):
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


def plain(term: Term) -> Term:
    """Return the term without the marks of parts and mistakes, simplified."""
    if term.op in ("part", "instead"):
        return plain(term.args[0])
    return rebuilt(term, tuple(map(plain, term.args)))


def expand(term: Term) -> Term:
    """Return the term with elementary operations only, and with constants computed."""
    if isinstance(term, Number):
        return Number(number=term.number)
    if term.op in ("part", "instead", "let"):
        return expand(term.args[0])
    if term.op == "call":
        return expand(term.note.expanded(*term.args))
    condition = term.args[:1] if term.op == "where" else ()
    args = tuple(rebuilt(arg, tuple(map(expand, arg.args))) if arg in condition else expand(arg) for arg in term.args)
    if args and all(map(is_number, args)):
        return Number(number=float(evaluate(rebuilt(term, args), {})))
    return LOWERED[term.op](*args) if term.op in LOWERED else rebuilt(term, args)


def _power_lowered(a: Term, n: Term) -> Term:
    """a^3 = a a a."""
    assert isinstance(n, Number)
    power = a
    for _ in range(int(n.number) - 1):
        power = power * a
    return power


LOWERED: dict[str, Callable[..., Term]] = {
    "power": _power_lowered,
    "greater": lambda a, b: where(Term("greater", (a, b)), 1, 0),
    "sign": lambda a: where(Term("greater", (a, ZERO)), 1, where(Term("greater", (ZERO, a)), -1, 0)),
}
"""Operations that no language has as a function."""


# Code.


@dataclass(frozen=True)
class Language:
    """How a programming language writes functions of one real number.

    `calls` maps operations to templates of calls, `choice` is the template of a conditional expression, `literal` maps
    a number to its text, `local` declares a local variable, and `function` a function of z.
    """

    calls: Mapping[str, str]
    choice: str
    literal: Callable[[float], str]
    local: str
    function: str
    indent: str = "    "

    def source(self, term: Term) -> str:
        """Return a term as one expression."""
        return _code(expand(term), self, {})[0]

    def define(self, name: str, term: Term) -> str:
        """Return the function `name` of the symbol z. Terms that occur more than once become local variables."""
        body = expand(term)
        names: dict[Term, str] = {}
        lines = []
        for repeated in _repeated(body):
            code = _code(repeated, self, names)[0]
            names[repeated] = f"t{len(names) + 1}"
            lines.append(self.indent + self.local.format(name=names[repeated], value=code) + "\n")
        return self.function.format(name=name, locals="".join(lines), value=_code(body, self, names)[0])


def _repeated(term: Term) -> list[Term]:
    """Return the operations that occur more than once, the inner ones first."""
    count: dict[Term, int] = {}

    def visit(term: Term) -> None:
        if term.args:
            count[term] = count.get(term, 0) + 1
            if count[term] == 1:
                for arg in term.args:
                    visit(arg)
                count[term] = count.pop(term)  # behind its parts

    visit(term)
    return [term for term, n in count.items() if n > 1 and term.op != "greater"]


INFIX = {"greater": (">", 1), "add": ("+", 2), "subtract": ("-", 2), "multiply": ("*", 3), "divide": ("/", 3)}
"""Operators and how tightly they bind: more than a choice (0), less than a name (9)."""


def _code(term: Term, language: Language, names: Mapping[Term, str]) -> tuple[str, int]:
    """Return the code of a term, and how tightly its outermost operator binds."""
    if term in names:
        return names[term], 9
    if isinstance(term, Number):
        return language.literal(term.number), 9
    if isinstance(term, Symbol):
        return term.name, 9
    if term.op == "negative":
        return f"-{_bracketed(term.args[0], 4, language, names)}", 3
    if term.op == "where" and language.choice:
        return language.choice.format(*(_bracketed(arg, 1, language, names) for arg in term.args)), 0
    if term.op in INFIX:
        sign, binds = INFIX[term.op]
        left, right = term.args
        loose = term.op in ("add", "multiply")  # (a + b) + c may drop its brackets, a - (b + c) may not
        right_binds = binds if loose and right.op == term.op else binds + 1
        return (
            f"{_bracketed(left, binds, language, names)} {sign} {_bracketed(right, right_binds, language, names)}",
            binds,
        )
    return language.calls[term.op].format(*(_code(arg, language, names)[0] for arg in term.args)), 9


def _bracketed(term: Term, least: int, language: Language, names: Mapping[Term, str]) -> str:
    """Return the code of a term, in brackets if it binds less tightly than the operator around it."""
    code, binds = _code(term, language, names)
    return code if binds >= least else f"({code})"


def _calls(template: str, names: str) -> dict[str, str]:
    """Return the templates of a language's calls, given its names of the functions in the order of ELEMENTARY."""
    calls = {op: template.format(name) for op, name in zip(ELEMENTARY, names.split())}
    return {op: call + ("({}, {})" if "imum" in op else "({})") for op, call in calls.items()}


ELEMENTARY = ("exp", "expm1", "log", "log1p", "tanh", "sqrt", "absolute", "maximum", "minimum")
_DEF = "def {name}(z):\n{locals}    return {value}\n"
_IF_ELSE = "{1} if {0} else {2}"
_OF_TWO = {"maximum": "max({}, {})", "minimum": "min({}, {})"}

C = Language(
    _calls("{}f", "exp expm1 log log1p tanh sqrt fabs fmax fmin"),
    "{} ? {} : {}",
    lambda number: f"{np.float32(number)!s}f",
    "const float {name} = {value};",
    "static inline float {name}(float z)\n{{\n{locals}    return {value};\n}}\n",
)
PYTHON = Language(
    _calls("math.{}", "exp expm1 log log1p tanh sqrt fabs") | _OF_TWO, _IF_ELSE, repr, "{name} = {value}", _DEF
)
NUMPY = Language(
    _calls("np.{}", "exp expm1 log log1p tanh sqrt abs maximum minimum") | {"where": "np.where({}, {}, {})"},
    "",
    repr,
    "{name} = {value}",
    _DEF,
)
NUMBA = Language(
    {**NUMPY.calls, **_OF_TWO},
    _IF_ELSE,
    "real({!r})".format,  # numbers take the type of z, so that float32 stays float32
    "{name} = {value}",
    _DEF.replace("{locals}", "    real = type(z)\n{locals}"),
)
JAVASCRIPT = Language(
    _calls("Math.{}", "exp expm1 log log1p tanh sqrt abs max min"),
    "{} ? {} : {}",
    repr,
    "const {name} = {value};",
    "function {name}(z) {{\n{locals}  return {value};\n}}\n",
    "  ",
)
