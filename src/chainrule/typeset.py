r"""Terms as formulas: text for a terminal, LaTeX, and MathML for a page, in one of two notations.

- "row": samples are the rows of X, W is (n_in, n_out), Z = X W + b; the derivatives of the loss are dZ, dW, db.
- "column": Nielsen's notation. Samples are column vectors, w_jk is the weight from unit k to unit j,
  z_j = sum_k w_jk a_k + b_j, and the derivative of the loss with respect to z is delta. A formula is that of one entry.
  With several samples, a superscript x marks what depends on the sample.

>>> from chainrule.terms import Symbol, derivative, tanh
>>> z = Symbol("z")
>>> formula(derivative(z * tanh(z), z), TEXT)
'tanh(z) + z (1 - tanh(z)²)'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from chainrule.terms import Number, Symbol, Term, axes_of, is_number, log, rebuilt, walk, where

NOTATIONS = ("row", "column")

# Formats.


@dataclass(frozen=True)
class Style:
    r"""How a format writes the pieces of a formula.

    Names of letters and functions are given in LaTeX, such as w, \sigma, \operatorname{relu} and \hat{m}, signs in
    Unicode. `scripts` takes a base, a superscript, a subscript and primes; `power` a base and a formula; `total` the
    index of a sum, a letter, a word, or "" for everything; `before` a letter, \partial or \Delta, and what it stands
    before. `comma` separates a formula from the definitions of letters in it.
    """

    name: Callable[[str], str]
    number: Callable[[str], str]
    sign: Callable[[str], str]
    scripts: Callable[[str, str, str, str], str]
    power: Callable[[str, str], str]
    fraction: Callable[[str, str], str]
    root: Callable[[str], str]
    total: Callable[[str], str]
    before: Callable[[str, str], str]
    space: str
    comma: str

    def spaced(self, *parts: str) -> str:
        """Return parts with spaces between them."""
        return self.space.join(parts)

    def bracketed(self, inner: str, brackets: str = "()") -> str:
        """Return a formula in brackets."""
        return self.sign(brackets[0]) + inner + self.sign(brackets[1])


LATEX = Style(
    name=str,
    number=str,
    sign=lambda sign: {"⊙": r"\odot", "·": r"\cdot", "≤": r"\le"}.get(sign, sign),
    scripts=lambda base, above, below, primes: (
        base + (f"^{{{above}}}" if above else "") + (f"_{{{below}}}" if below else "") + primes
    ),
    power=lambda base, exponent: f"{base}^{{{exponent}}}",
    fraction=lambda above, below: rf"\frac{{{above}}}{{{below}}}",
    root=lambda inner: rf"\sqrt{{{inner}}}",
    total=lambda index: r"\sum" + (rf"_{{\text{{{index}}}}}" if len(index) > 1 else f"_{{{index}}}" if index else ""),
    before=lambda letter, base: f"{letter} {base}",
    space=" ",
    comma=r", \; ",
)

# Text.

_LETTERS = {
    r"\alpha": "α", r"\beta": "β", r"\gamma": "γ", r"\delta": "δ", r"\Delta": "Δ", r"\epsilon": "ε", r"\eta": "η",
    r"\theta": "θ", r"\lambda": "λ", r"\mu": "μ", r"\partial": "∂", r"\pi": "π", r"\rho": "ρ", r"\sigma": "σ",
    r"\tau": "τ",
}  # fmt: skip
_RAISED = dict(zip("0123456789+-()=Txljkintm", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾⁼ᵀˣˡʲᵏⁱⁿᵗᵐ"))
_LOWERED = dict(zip("0123456789+-()=jkinmtx", "₀₁₂₃₄₅₆₇₈₉₊₋₍₎₌ⱼₖᵢₙₘₜₓ"))


def _decoded(latex: str) -> tuple[str, str]:
    """Return the command with braces, if there is one, and the word of a name in LaTeX."""
    command = re.fullmatch(r"\\(operatorname|text|hat)\{(.*)\}('?)", latex)
    return (command[1], command[2] + command[3]) if command else ("", _LETTERS.get(latex, latex.removeprefix("\\")))


def _word(latex: str) -> str:
    command, word = _decoded(latex)
    return word + "\N{COMBINING CIRCUMFLEX ACCENT}" * (command == "hat")


def _script(text: str, mark: str, letters: dict[str, str]) -> str:
    """Return a script in Unicode superscripts or subscripts if all its characters have them, or else after a mark."""
    if all(letter in letters for letter in text):
        return "".join(letters[letter] for letter in text)
    return mark + (text if len(text) == 1 or text.isalpha() else f"({text})")


def _closed(text: str, separators: str = " ") -> str:
    """Return text in parentheses if it contains one of the separators."""
    return f"({text})" if set(separators) & set(text) else text


TEXT = Style(
    name=_word,
    number=str,
    sign=str,
    scripts=lambda base, above, below, primes: (
        base + _script(above, "^", _RAISED) + _script(below, "_", _LOWERED) + primes
    ),
    power=lambda base, exponent: base + _script(exponent, "^", _RAISED),
    fraction=lambda above, below: f"{_closed(above)}/{_closed(below)}",
    root=lambda inner: f"√{_closed(inner, ' /')}",
    total=lambda index: f"Σ{_script(index, '_', _LOWERED)}",
    before=lambda letter, base: _word(letter) + base,
    space=" ",
    comma=", ",
)

# MathML, which browsers render natively.


def _row(inner: str) -> str:
    return f"<mrow>{inner}</mrow>"


def _identifier(latex: str) -> str:
    command, word = _decoded(latex)
    letter = f"<mi>{escape(word)}</mi>"
    return f'<mover accent="true">{letter}<mo>^</mo></mover>' if command == "hat" else letter


def _operator(sign: str) -> str:
    typographic = {"-": "\N{MINUS SIGN}", "'": "\N{PRIME}"}.get(sign, escape(sign))
    return f'<mo stretchy="false">{typographic}</mo>'


def _number(text: str) -> str:
    return f"<mn>{text}</mn>"


def _element_of(script: str) -> str:
    """Return the letters and digits of a script as one element."""
    kinds = [
        (_number if s.isdigit() else _identifier if s.isalpha() else _operator)(s) for s in re.findall(r"\d+|.", script)
    ]
    return kinds[0] if len(kinds) == 1 else _row("".join(kinds))


def _with_scripts(base: str, above: str, below: str, primes: str) -> str:
    up, down = above + primes, below
    tag = "msubsup" if up and down else "msup" if up else "msub"
    scripts = "".join(_element_of(script) for script in (down, up) if script)
    return f"<{tag}>{base}{scripts}</{tag}>" if scripts else base


def _total(index: str) -> str:
    below = f"<mtext>{index}</mtext>" if len(index) > 1 else f"<mi>{index}</mi>"
    return f"<munder>{_operator('Σ')}{below}</munder>" if index else _operator("Σ")


MATHML = Style(
    name=_identifier,
    number=_number,
    sign=_operator,
    scripts=_with_scripts,
    power=lambda base, exponent: f"<msup>{_row(base)}{_row(exponent)}</msup>",
    fraction=lambda above, below: f"<mfrac>{_row(above)}{_row(below)}</mfrac>",
    root=lambda inner: f"<msqrt>{inner}</msqrt>",
    total=_total,
    before=lambda letter, base: _identifier(letter) + base,
    space="",
    comma=_operator(",") + '<mspace width="1em"></mspace>',
)

# Symbols.


@dataclass(frozen=True)
class Look:
    """How formulas show a symbol.

    In column form it is an entry: a letter with a superscript `above` and the `index` of its unit, or of its two units.
    In row form it is a matrix: the letter `row` with a subscript `below`. The role is "" or what the symbol is to the
    quantity with these letters: the "derivative" of the loss, the "step" of the optimizer, the "slope" of a function
    there or a "moment" of the gradient, the latter two followed by a letter.
    """

    letter: str
    row: str
    above: str = ""
    below: str = ""
    index: str = ""
    role: str = ""

    def indexed(self, index: str | None) -> str:
        """Return the index, or another in its place; a weight keeps its own two if there is one only."""
        if index is None or 0 < len(index) < len(self.index):
            return self.index
        return index if self.index else ""


def _look_of(symbol: Symbol) -> Look:
    """Return how a symbol is shown: by default as its name."""
    return symbol.look or Look(symbol.name, symbol.name)


def title(symbol: Symbol, style: Style, notation: str = "row", index: str | None = None) -> str:
    """Return the title of a symbol: of the matrix in row form, of an entry, perhaps with another index, otherwise."""
    look = _look_of(symbol)
    role, _, letter = look.role.partition(" ")
    is_delta = notation == "column" and role == "derivative" and look.letter == "z"
    if notation == "row":
        number = look.below.rstrip("'")
        base = style.scripts(style.name(look.row), "", number, look.below[len(number) :])
        derived = style.name("d") + base
    else:
        base = style.scripts(style.name(r"\delta" if is_delta else look.letter), look.above, look.indexed(index), "")
        derived = base if is_delta else partial(style.name("C"), base, style)
    if role in ("slope", "moment"):
        return style.name(letter) + style.sign("'") * (role == "slope") + style.bracketed(base)
    return {"": base, "derivative": derived, "step": style.before(r"\Delta", base)}[role]


def partial(above: str, below: str, style: Style) -> str:
    """Return the fraction of a partial derivative."""
    return style.fraction(style.before(r"\partial", above), style.before(r"\partial", below))


# Terms.


def formula(term: Term, style: Style, notation: str = "row") -> str:
    """Return a term as a formula: a call with the function's definition, letters with theirs behind the formula."""
    term = _readable(term)
    layout = _Layout(term, style, notation)
    sides = [layout.show(term)]
    if term.op == "call" and term.note.definition:
        function, term = term.note, _readable(term.note.definition(*term.args))
        if not term.op or term.op not in function.title:  # tanh has no other definition
            sides.append(layout.show(term))
    letters = dict.fromkeys(each for each in walk(term) if each.op == "let")
    equations = [sides, *([style.name(let.note), layout.show(let.args[0])] for let in letters)]
    return style.comma.join(style.spaced(*_between(sides, style.sign("="))) for sides in equations)


def _readable(term: Term) -> Term:
    """Return the term without the marks of mistakes, and with the definitions of functions without a title."""
    if term.op in ("part", "instead"):
        return _readable(term.args[0])
    if term.op == "call" and not term.note.title:
        return _readable(term.note.definition(*term.args))
    return rebuilt(term, tuple(map(_readable, term.args)))


_SUM, _PRODUCT, _POWER, _ATOM = 1, 2, 3, 4
"""How tightly the outermost operation of a formula binds."""
_Shown = tuple[str, int]
"""A formula, and how tightly it binds."""


@dataclass(frozen=True)
class _Layout:
    """The layout of a term in a format and a notation."""

    term: Term
    style: Style
    notation: str

    @property
    def is_row(self) -> bool:
        """Whether matrices are shown, not their entries."""
        return self.notation == "row"

    def show(self, term: Term, index: str = "j", least: int = _SUM) -> str:
        """Return a formula, in brackets if it binds less tightly than `least`; its entry is in the column `index`."""
        shown, binds = _SHOWN.get(term.op, _show_call)(self, term, index)
        return shown if binds >= least else self.style.bracketed(shown)

    def signed(self, left: str, sign: str, right: str) -> str:
        """Return two formulas with a sign between them."""
        return self.style.spaced(left, self.style.sign(sign), right)


def _show_leaf(layout: _Layout, term: Term, index: str) -> _Shown:
    s = layout.style
    if isinstance(term, Symbol):
        return title(term, s, layout.notation, index), _ATOM
    assert isinstance(term, Number)
    if term.title:
        letter, _, below = term.title.partition("_")
        return s.scripts(s.name(letter), "", below, ""), _ATOM
    if term.number == 0.5:
        return s.fraction(s.number("1"), s.number("2")), _ATOM
    shown = s.number(f"{abs(term.number):g}")
    return (s.sign("-") + shown, _SUM) if term.number < 0 else (shown, _ATOM)


def _show_sum(layout: _Layout, term: Term, index: str) -> _Shown:
    (a, b), is_sum = term.args, term.op == "add"
    right = layout.show(b, index, _SUM if is_sum else _PRODUCT)
    return layout.signed(layout.show(a, index), "+" if is_sum else "-", right), _SUM


def _show_product(layout: _Layout, term: Term, index: str) -> _Shown:
    """Return factors side by side, numbers first, with a circled dot between matrices and a dot before a digit."""
    shown: list[str] = []
    factors = [factor for arg in term.args for factor in _factors(arg)]
    factors.sort(key=lambda factor: not _is_constant(factor))  # stable
    for k, factor in enumerate(factors):
        if shown and layout.is_row and axes_of(factor) and any(map(axes_of, factors[:k])):
            shown.append(layout.style.sign("⊙"))
        elif shown and is_number(factor):
            shown.append(layout.style.sign("·"))
        ends = k == len(factors) - 1 or (factor.op != "sum" and not _is_mean(factor))
        shown.append(layout.show(factor, index, _PRODUCT if ends else _ATOM))
    return layout.style.spaced(*shown), _PRODUCT


def _factors(term: Term) -> list[Term]:
    """Return the factors of a product, in which a mean is one factor."""
    is_product = term.op == "multiply" and not _is_mean(term)
    return [factor for arg in term.args for factor in _factors(arg)] if is_product else [term]


def _is_mean(term: Term) -> bool:
    """Return whether a term is a number times a sum."""
    return term.op == "multiply" and term.args[1].op == "sum" and _is_constant(term.args[0])


def _show_power(layout: _Layout, term: Term, index: str) -> _Shown:
    base, exponent = term.args
    shown = layout.show(base, index, _ATOM)
    look = _look_of(base) if isinstance(base, Symbol) else None
    if look and (look.role or (look.below.endswith("'") if layout.is_row else look.above)):
        shown = layout.style.bracketed(shown)  # it has a superscript already
    return layout.style.power(shown, layout.show(exponent)), _POWER


def _show_transpose(layout: _Layout, term: Term, index: str) -> _Shown:
    (base,) = term.args
    shown = layout.show(base, index, _ATOM)
    if isinstance(base, Symbol) and _look_of(base).below.endswith("'"):
        shown = layout.style.bracketed(shown)
    return layout.style.power(shown, layout.style.name("T")), _POWER


def _show_exp(layout: _Layout, term: Term, index: str) -> _Shown:
    return layout.style.power(layout.style.name("e"), layout.show(term.args[0], index)), _POWER


def _show_expm1(layout: _Layout, term: Term, index: str) -> _Shown:
    return layout.signed(_show_exp(layout, term, index)[0], "-", layout.style.number("1")), _SUM


def _show_choice(layout: _Layout, term: Term, index: str) -> _Shown:
    """Return a where b > c, else d, with Iverson's brackets: a [b > c] + d [b <= c]."""
    condition, *values = term.args
    left, right = (layout.show(side, index) for side in condition.args)
    parts = []
    for value, sign in zip(values, (">", "≤")):
        factors = [] if is_number(value, 1) else [layout.show(value, index, _PRODUCT)]
        if not is_number(value, 0):
            bracket = layout.style.bracketed(layout.signed(left, sign, right), "[]")
            parts.append(layout.style.spaced(*factors, bracket))
    return layout.style.spaced(*_between(parts, layout.style.sign("+"))), _SUM if len(parts) > 1 else _PRODUCT


def _show_total(layout: _Layout, term: Term, index: str) -> _Shown:
    """Return a sum; that over one sample in column form is the term itself."""
    (inner,), over = term.args, term.note
    running = {"r": "x", "c": "k" if "c" in axes_of(layout.term) else "j", "rc": ""}[over]
    if layout.is_row:
        running = {"r": "rows", "c": "columns", "rc": ""}[over]
    shown = layout.show(inner, running if over == "c" and not layout.is_row else index, _PRODUCT)
    if not layout.is_row and over == "r" and not _has_samples(inner):
        return shown, _PRODUCT
    return layout.style.spaced(layout.style.total(running), shown), _PRODUCT


def _show_matmul(layout: _Layout, term: Term, index: str) -> _Shown:
    """Return A B, or in column form the sum over the index that they share."""
    a, b = term.args
    s = layout.style
    if layout.is_row:
        return s.spaced(layout.show(a, index, _PRODUCT), layout.show(b, index, _PRODUCT)), _PRODUCT
    if a.op == "transpose":  # X^T dZ
        product = s.spaced(layout.show(a.args[0], "k"), layout.show(b, "j"))
        return (s.spaced(s.total("x"), product) if _has_samples(b) else product), _PRODUCT
    if b.op == "transpose":  # dZ W^T
        return s.spaced(s.total("i"), layout.show(b.args[0], "ij"), layout.show(a, "i")), _PRODUCT
    return s.spaced(s.total("k"), layout.show(b, "jk"), layout.show(a, "k")), _PRODUCT


def _show_call(layout: _Layout, term: Term, index: str) -> _Shown:
    """Return f(a, b); a maximum or minimum with a number begins with it."""
    args = sorted(term.args, key=lambda arg: not _is_constant(arg)) if "imum" in term.op else term.args
    name = term.note.title if term.op == "call" else _NAMES.get(term.op, rf"\{term.op}")
    inner = (layout.style.sign(",") + layout.style.space).join(layout.show(arg, index) for arg in args)
    return layout.style.name(name) + layout.style.bracketed(inner), _ATOM


_NAMES = {"maximum": r"\max", "minimum": r"\min", "sign": r"\operatorname{sign}"}
_SHOWN: dict[str, Callable[[_Layout, Term, str], _Shown]] = {
    "": _show_leaf,
    "add": _show_sum,
    "subtract": _show_sum,
    "negative": lambda layout, term, index: (layout.style.sign("-") + layout.show(term.args[0], index, _PRODUCT), _SUM),
    "multiply": _show_product,
    "divide": lambda layout, term, index: (
        layout.style.fraction(*(layout.show(arg, index) for arg in term.args)),
        _PRODUCT,
    ),
    "power": _show_power,
    "exp": _show_exp,
    "expm1": _show_expm1,
    "log1p": lambda layout, term, index: _show_call(layout, log(1 + term.args[0]), index),
    "sqrt": lambda layout, term, index: (layout.style.root(layout.show(term.args[0], index)), _ATOM),
    "absolute": lambda layout, term, index: (layout.style.bracketed(layout.show(term.args[0], index), "||"), _ATOM),
    "greater": lambda layout, term, index: _show_choice(layout, where(term, 1, 0), index),
    "where": _show_choice,
    "sum": _show_total,
    "ones_like": lambda layout, term, index: (layout.style.number("1"), _ATOM),
    "matmul": _show_matmul,
    "transpose": _show_transpose,
    "let": lambda layout, term, index: (layout.style.name(term.note), _ATOM),
}


def _is_constant(term: Term) -> bool:
    return not any(isinstance(each, Symbol) for each in walk(term))


def _has_samples(term: Term) -> bool:
    """Return whether a term depends on one of several samples."""
    return any(isinstance(each, Symbol) and _look_of(each).above.startswith("x") for each in walk(term))


def _between(parts: Sequence[str], sign: str) -> list[str]:
    """Return parts with a sign between them."""
    return [piece for part in parts for piece in (sign, part)][1:]
