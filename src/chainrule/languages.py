"""Terms as source code: C, Python with and without NumPy, numba and JavaScript.

>>> from chainrule.terms import Symbol, tanh
>>> y = Symbol("z") * tanh(Symbol("z"))
>>> C.source(y), PYTHON.source(y)
('z * tanhf(z)', 'z * math.tanh(z)')
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from chainrule.terms import MARKS, ZERO, Number, Operation, Symbol, Term, evaluator, exp, is_number, log, rebuilt, where

# Reduction to what every language has.


def expand(term: Term, lacking: Collection[str] = (), kept: Collection[str] = ()) -> Term:
    """Return the term in elementary operations, with constants computed.

    `lacking` are operations to express by others, besides those that no language has as a function. Calls of the
    functions in `kept` stay calls.
    """
    if isinstance(term, Number):
        return Number(term.number)
    if term.op in MARKS:
        return expand(term.args[0], lacking, kept)
    if term.op == "call" and term.note.name not in kept:
        return expand(term.note.expanded(*term.args), lacking, kept)
    args = [expand(arg, lacking, kept) for arg in term.args]
    if term.op == "where":  # its condition stays a comparison
        args[0] = Operation("greater", tuple(expand(side, lacking, kept) for side in term.args[0].args))
    if args and all(map(is_number, args)):
        return Number(float(evaluator(rebuilt(term, tuple(args)))({})))
    if term.op in ("power", "greater", "sign", *lacking):
        return _LOWERED[term.op](*args)
    return rebuilt(term, tuple(args))


def _power_lowered(a: Term, n: Term) -> Term:
    """a^3 = a a a."""
    assert isinstance(n, Number)
    power = a
    for _ in range(int(n.number) - 1):
        power = power * a
    return power


_LOWERED: dict[str, Callable[..., Term]] = {
    "power": _power_lowered,
    "greater": lambda a, b: where(Operation("greater", (a, b)), 1, 0),
    "sign": lambda a: where(Operation("greater", (a, ZERO)), 1, where(Operation("greater", (ZERO, a)), -1, 0)),
    "maximum": lambda a, b: where(Operation("greater", (b, a)), b, a),  # a where it is NaN
    "minimum": lambda a, b: where(Operation("greater", (a, b)), b, a),
    "expm1": lambda a: exp(a) - 1,
    "log1p": lambda a: log(1 + a),
}
"""Operations expressed by others."""

# Languages.


@dataclass(frozen=True)
class Language:
    """How a programming language writes functions of one real number.

    `calls` maps operations to templates of calls, except those in `lacking`; `choice` is the template of a conditional
    expression, `literal` maps a number to its text, `local` declares a local variable, and `function` a function of z.
    """

    calls: Mapping[str, str]
    choice: str
    literal: Callable[[float], str]
    local: str
    function: str
    lacking: tuple[str, ...] = ()
    indent: str = "    "

    def source(self, term: Term) -> str:
        """Return a term as one expression."""
        return self._show(expand(term, self.lacking), {})

    def define(self, name: str, term: Term) -> str:
        """Return the function `name` of the symbol z. Terms that occur more than once become local variables."""
        body = expand(term, self.lacking)
        names: dict[Term, str] = {}
        lines = []
        for repeated in _repeated(body):
            value = self._show(repeated, names)
            names[repeated] = f"t{len(names) + 1}"
            lines.append(self.indent + self.local.format(name=names[repeated], value=value) + "\n")
        return self.function.format(name=name, locals="".join(lines), value=self._show(body, names))

    def _show(self, term: Term, names: Mapping[Term, str], least: int = 0) -> str:
        """Return the code of a term, in brackets if it binds less tightly than `least`."""
        code, binds = self._code(term, names)
        return code if binds >= least else f"({code})"

    def _code(self, term: Term, names: Mapping[Term, str]) -> tuple[str, int]:
        """Return the code of a term, and how tightly it binds: 0 for a choice, 9 for a name."""
        if term in names or isinstance(term, Symbol):
            return names.get(term) or term.name, 9  # type: ignore[attr-defined]
        if isinstance(term, Number):
            return self.literal(term.number), 9
        if term.op == "negative":
            return f"-{self._show(term.args[0], names, 4)}", 3
        if term.op == "where" and self.choice:
            return self.choice.format(*(self._show(arg, names, 1) for arg in term.args)), 0
        if term.op in _INFIX:
            (left, right), (sign, binds) = term.args, _INFIX[term.op]
            loose = right.op == term.op in ("add", "multiply")  # a + (b + c) needs no brackets, a - (b + c) does
            return f"{self._show(left, names, binds)} {sign} {self._show(right, names, binds + (not loose))}", binds
        return self.calls[term.op].format(*(self._show(arg, names) for arg in term.args)), 9


_INFIX = {"greater": (">", 1), "add": ("+", 2), "subtract": ("-", 2), "multiply": ("*", 3), "divide": ("/", 3)}


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


def _calls(template: str, names: str, maximum: str = "", minimum: str = "") -> dict[str, str]:
    """Return the templates of calls, given the names of nine functions and of two with two arguments."""
    ops = ("exp", "expm1", "log", "log1p", "tanh", "sin", "cos", "sqrt", "absolute")
    calls = {op: template.format(name) + "({})" for op, name in zip(ops, names.split())}
    return {**calls, "maximum": maximum + "({}, {})", "minimum": minimum + "({}, {})"}


_DEF = "def {name}(z):\n{locals}    return {value}\n"
_ASSIGN, _IF_ELSE = "{name} = {value}", "{1} if {0} else {2}"

C = Language(  # with comparisons, since compilers do not inline fmaxf
    _calls("{}f", "exp expm1 log log1p tanh sin cos sqrt fabs"),
    "{} ? {} : {}",
    lambda number: f"{np.float32(number)!s}f",
    "const float {name} = {value};",
    "static inline float {name}(float z)\n{{\n{locals}    return {value};\n}}\n",
    ("maximum", "minimum"),
)
PYTHON = Language(
    _calls("math.{}", "exp expm1 log log1p tanh sin cos sqrt fabs", "max", "min"),
    _IF_ELSE, repr, _ASSIGN, _DEF,
)  # fmt: skip
NUMPY = Language(
    _calls("np.{}", "exp expm1 log log1p tanh sin cos sqrt abs", "np.maximum", "np.minimum")
    | {"where": "np.where({}, {}, {})"},
    "", repr, _ASSIGN, _DEF,
)  # fmt: skip
NUMBA = Language(  # numbers take the type of z, so that float32 stays float32
    _calls("np.{}", "exp expm1 log log1p tanh sin cos sqrt abs", "max", "min"),
    _IF_ELSE, "real({!r})".format, _ASSIGN, _DEF.replace("{locals}", "    real = type(z)\n{locals}"),
)  # fmt: skip
JAVASCRIPT = Language(
    _calls("Math.{}", "exp expm1 log log1p tanh sin cos sqrt abs", "Math.max", "Math.min"),
    "{} ? {} : {}",
    repr,
    "const {name} = {value};",
    "function {name}(z) {{\n{locals}  return {value};\n}}\n",
    indent="  ",
)
