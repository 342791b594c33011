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

from chainrule.terms import MARKS, ZERO, Number, Operation, Symbol, Term, evaluator, is_number, rebuilt, where

# Reduction to what every language has.


def expand(term: Term, kept: Collection[str] = ()) -> Term:
    """Return the term with elementary operations only, except calls of the functions in `kept`; constants computed."""
    if isinstance(term, Number):
        return Number(term.number)
    if term.op in MARKS:
        return expand(term.args[0], kept)
    if term.op == "call" and term.note.name not in kept:
        return expand(term.note.expanded(*term.args), kept)
    args = [expand(arg, kept) for arg in term.args]
    if term.op == "where":  # its condition stays a comparison
        args[0] = Operation("greater", tuple(expand(side, kept) for side in term.args[0].args))
    if args and all(map(is_number, args)):
        return Number(float(evaluator(rebuilt(term, tuple(args)))({})))
    return _LOWERED[term.op](*args) if term.op in _LOWERED else rebuilt(term, tuple(args))


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
}
"""Operations that no language has as a function."""


# Languages.


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


_INFIX = {"greater": (">", 1), "add": ("+", 2), "subtract": ("-", 2), "multiply": ("*", 3), "divide": ("/", 3)}
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
    if term.op in _INFIX:
        sign, binds = _INFIX[term.op]
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
    calls = {op: template.format(name) for op, name in zip(_ELEMENTARY, names.split())}
    return {op: call + ("({}, {})" if "imum" in op else "({})") for op, call in calls.items()}


_ELEMENTARY = ("exp", "expm1", "log", "log1p", "tanh", "sqrt", "absolute", "maximum", "minimum")
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
