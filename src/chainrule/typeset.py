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

from chainrule.terms import Number, Symbol, Term, axes_of, factors_of, is_number, log, rebuilt, walk, where

NOTATIONS = ("row", "column")

_LETTERS = {
    r"\alpha": "α", r"\beta": "β", r"\gamma": "γ", r"\delta": "δ", r"\Delta": "Δ", r"\epsilon": "ε", r"\eta": "η",
    r"\theta": "θ", r"\lambda": "λ", r"\mu": "μ", r"\partial": "∂", r"\pi": "π", r"\rho": "ρ", r"\sigma": "σ",
    r"\tau": "τ",
}  # fmt: skip
_RAISED = dict(zip("0123456789+-()=Txljkintm", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾⁼ᵀˣˡʲᵏⁱⁿᵗᵐ"))
_LOWERED = dict(zip("0123456789+-()=jkinmtx", "₀₁₂₃₄₅₆₇₈₉₊₋₍₎₌ⱼₖᵢₙₘₜₓ"))

# Three formats. Each writes the same few pieces; names come in LaTeX, signs in Unicode.


class Latex:
    """LaTeX, with amsmath."""

    def name(self, latex: str) -> str:
        r"""Return a letter or the name of a function: w, \sigma, \tanh, \operatorname{relu}, \hat{m}."""
        return latex

    def number(self, text: str) -> str:
        """Return a number."""
        return text

    def sign(self, sign: str) -> str:
        """Return an operator, a bracket or a comma."""
        return {"⊙": r"\odot", "·": r"\cdot", "≤": r"\le"}.get(sign, sign)

    def near(self, *parts: str) -> str:
        """Return parts without space between them."""
        return "".join(parts)

    def spaced(self, *parts: str) -> str:
        """Return parts with spaces between them."""
        return " ".join(parts)

    def listed(self, *parts: str) -> str:
        """Return parts with commas between them."""
        return ", ".join(parts)

    def scripts(self, base: str, above: str = "", below: str = "", primes: str = "") -> str:
        """Return a base with short scripts: the letters and digits of a superscript, of a subscript, and primes."""
        return base + (f"^{{{above}}}" if above else "") + (f"_{{{below}}}" if below else "") + primes

    def power(self, base: str, exponent: str) -> str:
        """Return a base with a formula as its exponent."""
        return f"{base}^{{{exponent}}}"

    def fraction(self, above: str, below: str) -> str:
        """Return a fraction."""
        return rf"\frac{{{above}}}{{{below}}}"

    def root(self, inner: str) -> str:
        """Return a square root."""
        return rf"\sqrt{{{inner}}}"

    def sum_over(self, index: str) -> str:
        """Return the sign of a sum over a letter, a word, or "" for everything."""
        below = rf"\text{{{index}}}" if len(index) > 1 else index
        return rf"\sum_{{{below}}}" if index else r"\sum"

    def prefixed(self, letter: str, base: str) -> str:
        r"""Return a base after \partial or \Delta."""
        return f"{self.name(letter)} {base}"

    def followed(self, *parts: str) -> str:
        """Return a formula, followed by the definitions of letters in it."""
        return r", \; ".join(parts)


class Text(Latex):
    """One line of Unicode text."""

    def name(self, latex: str) -> str:
        command, word = _decoded(latex)
        return word + "\N{COMBINING CIRCUMFLEX ACCENT}" * (command == "hat")

    def sign(self, sign: str) -> str:
        return sign

    def scripts(self, base: str, above: str = "", below: str = "", primes: str = "") -> str:
        return base + _script(above, "^", _RAISED) + _script(below, "_", _LOWERED) + primes

    def power(self, base: str, exponent: str) -> str:
        return base + _script(exponent, "^", _RAISED)

    def fraction(self, above: str, below: str) -> str:
        return f"{_closed(above)}/{_closed(below)}"

    def root(self, inner: str) -> str:
        return f"√({inner})" if set(" /") & set(inner) else f"√{inner}"

    def sum_over(self, index: str) -> str:
        return f"Σ{_script(index, '_', _LOWERED)}"

    def prefixed(self, letter: str, base: str) -> str:
        return self.name(letter) + base

    def followed(self, *parts: str) -> str:
        return ", ".join(parts)


class MathMl(Latex):
    """MathML, which browsers render natively."""

    def name(self, latex: str) -> str:
        command, word = _decoded(latex)
        letter = f"<mi>{escape(word)}</mi>"
        return f'<mover accent="true">{letter}<mo>^</mo></mover>' if command == "hat" else letter

    def number(self, text: str) -> str:
        return f"<mn>{text}</mn>"

    def sign(self, sign: str) -> str:
        typographic = {"-": "\N{MINUS SIGN}", "'": "\N{PRIME}"}.get(sign, escape(sign))
        return f'<mo stretchy="false">{typographic}</mo>'

    def spaced(self, *parts: str) -> str:
        return "".join(parts)

    def listed(self, *parts: str) -> str:
        return self.sign(",").join(parts)

    def scripts(self, base: str, above: str = "", below: str = "", primes: str = "") -> str:
        up, down = self._script(above + primes), self._script(below)
        if (above or primes) and below:
            return f"<msubsup>{base}{down}{up}</msubsup>"
        return f"<msup>{base}{up}</msup>" if above or primes else f"<msub>{base}{down}</msub>" if below else base

    def _script(self, script: str) -> str:
        tokens = [
            (self.number if token.isdigit() else self.name if token.isalpha() else self.sign)(token)
            for token in re.findall(r"\d+|.", script)
        ]
        return tokens[0] if len(tokens) == 1 else self._row("".join(tokens))

    def _row(self, inner: str) -> str:
        return f"<mrow>{inner}</mrow>"

    def power(self, base: str, exponent: str) -> str:
        return f"<msup>{self._row(base)}{self._row(exponent)}</msup>"

    def fraction(self, above: str, below: str) -> str:
        return f"<mfrac>{self._row(above)}{self._row(below)}</mfrac>"

    def root(self, inner: str) -> str:
        return f"<msqrt>{inner}</msqrt>"

    def sum_over(self, index: str) -> str:
        below = f"<mtext>{index}</mtext>" if len(index) > 1 else f"<mi>{index}</mi>"
        return f"<munder>{self.sign('Σ')}{below}</munder>" if index else self.sign("Σ")

    def prefixed(self, letter: str, base: str) -> str:
        return self.name(letter) + base

    def followed(self, *parts: str) -> str:
        return f'{self.sign(",")}<mspace width="1em"></mspace>'.join(parts)


LATEX, TEXT, MATHML = Latex(), Text(), MathMl()


def _decoded(latex: str) -> tuple[str, str]:
    r"""Return the command with braces and the word of a name: \hat{m}, \operatorname{relu}, \text{...}, \tanh, w."""
    command = re.fullmatch(r"\\(operatorname|text|hat)\{(.*)\}", latex)
    return (command[1], command[2]) if command else ("", _LETTERS.get(latex, latex.removeprefix("\\")))


def _script(text: str, mark: str, letters: dict[str, str]) -> str:
    """Return a script in Unicode superscripts or subscripts if all its characters have them, or else after a mark."""
    if all(letter in letters for letter in text):
        return "".join(letters[letter] for letter in text)
    return mark + (text if len(text) == 1 or text.isalpha() else f"({text})")


def _closed(text: str) -> str:
    """Return text in parentheses if it contains a space."""
    return f"({text})" if " " in text else text


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


def look_of(symbol: Symbol) -> Look:
    """Return how a symbol is shown: by default as its name."""
    return symbol.look or Look(symbol.name, symbol.name)


def title(symbol: Symbol, style: Latex, notation: str = "row", index: str | None = None) -> str:
    """Return the title of a symbol: of the matrix in row form, of an entry, perhaps with another index, otherwise."""
    of = look_of(symbol)
    role, _, letter = of.role.partition(" ")
    is_delta = notation == "column" and role == "derivative" and of.letter == "z"
    if notation == "row":
        number = of.below.rstrip("'")
        base = style.scripts(style.name(of.row), "", number, of.below[len(number) :])
        derived = style.near(style.name("d"), base)
    else:
        base = style.scripts(style.name(r"\delta" if is_delta else of.letter), of.above, of.indexed(index))
        derived = base if is_delta else partial(style.name("C"), base, style)
    if role in ("slope", "moment"):
        sign = [style.sign("'")] if role == "slope" else []
        return style.near(style.name(letter), *sign, style.sign("("), base, style.sign(")"))
    return {"": base, "derivative": derived, "step": style.prefixed(r"\Delta", base)}[role]


def partial(above: str, below: str, style: Latex) -> str:
    """Return the fraction of a partial derivative."""
    return style.fraction(style.prefixed(r"\partial", above), style.prefixed(r"\partial", below))


# Terms.


def formula(term: Term, style: Latex, notation: str = "row") -> str:
    """Return a term as a formula: a call with the function's definition, letters with theirs behind the formula."""
    layout = Layout(readable(term), style, notation)
    sides = [layout.show(layout.term)]
    if layout.term.op == "call" and layout.term.note.definition:
        definition = readable(layout.term.note.definition(*layout.term.args))
        if not definition.op or definition.op not in layout.term.note.title:  # tanh has no other definition
            sides.append(layout.show(definition))
        layout.term = definition
    shown = [style.spaced(*_between(sides, style.sign("=")))]
    letters = dict.fromkeys(each for each in walk(layout.term) if each.op == "let")
    shown += [style.spaced(style.name(let.note), style.sign("="), layout.show(let.args[0])) for let in letters]
    return style.followed(*shown)


SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4
"""How tightly the outermost operation of a formula binds."""


Shown = tuple[str, int]
"""A formula, and how tightly its outermost operation binds."""


class Layout:
    """A term in a format and a notation."""

    def __init__(self, term: Term, style: Latex, notation: str) -> None:
        self.term, self.style, self.notation = term, style, notation

    @property
    def is_row(self) -> bool:
        """Whether matrices are shown, not their entries."""
        return self.notation == "row"

    def show(self, term: Term, index: str = "j", least: int = SUM) -> str:
        """Return a formula, in brackets if it binds less tightly than `least`; its entry is in the column `index`."""
        shown, binds = self.shown(term, index)
        return shown if binds >= least else self.bracketed(shown)

    def shown(self, term: Term, index: str) -> Shown:
        """Return a formula with how tightly it binds."""
        if isinstance(term, Symbol):
            return title(term, self.style, self.notation, index), ATOM
        if isinstance(term, Number):
            return _show_number(self, term)
        return SHOWN.get(term.op, _show_call)(self, term, index)

    def bracketed(self, shown: str, brackets: str = "()") -> str:
        """Return a formula in brackets."""
        return self.style.near(self.style.sign(brackets[0]), shown, self.style.sign(brackets[1]))

    def signed(self, *parts: str) -> str:
        """Return parts with spaces between them, signs among them."""
        return self.style.spaced(*(self.style.sign(part) if part in ("+", "-", ">", "≤") else part for part in parts))


def _show_number(layout: Layout, term: Number) -> Shown:
    s, number = layout.style, term.number
    if term.title:
        letter, _, below = term.title.partition("_")
        return s.scripts(s.name(letter), "", below), ATOM
    if number == 0.5:
        return s.fraction(s.number("1"), s.number("2")), ATOM
    shown = s.number(f"{abs(number):g}")
    return (s.near(s.sign("-"), shown), SUM) if number < 0 else (shown, ATOM)


def _show_sum(layout: Layout, term: Term, index: str) -> Shown:
    a, b = term.args
    sign = "-" if term.op == "subtract" else "+"
    right = layout.show(b, index, PRODUCT if sign == "-" else SUM)
    return layout.signed(layout.show(a, index), sign, right), SUM


def _show_negative(layout: Layout, term: Term, index: str) -> Shown:
    return layout.style.near(layout.style.sign("-"), layout.show(term.args[0], index, PRODUCT)), SUM


def _show_product(layout: Layout, term: Term, index: str) -> Shown:
    """Return factors side by side, numbers first, with a circled dot between matrices and a dot before a digit."""
    s = layout.style
    factors = sorted(factors_of(term), key=lambda factor: not is_constant(factor))  # stable
    shown: list[str] = []
    for k, factor in enumerate(factors):
        last = k == len(factors) - 1
        text = layout.show(factor, index, PRODUCT if last or factor.op != "sum" else ATOM)
        if shown and layout.is_row and axes_of(factor) and any(axes_of(before) for before in factors[:k]):
            shown.append(s.sign("⊙"))
        elif shown and isinstance(factor, Number) and not factor.title:
            shown.append(s.sign("·"))
        shown.append(text)
    return s.spaced(*shown), PRODUCT


def _show_fraction(layout: Layout, term: Term, index: str) -> Shown:
    return layout.style.fraction(*(layout.show(arg, index) for arg in term.args)), PRODUCT


def _show_power(layout: Layout, term: Term, index: str) -> Shown:
    base, exponent = term.args
    shown = layout.show(base, index, ATOM)
    if isinstance(base, Symbol):
        look = look_of(base)
        if look.role or (look.below.endswith("'") if layout.is_row else look.above):
            shown = layout.bracketed(shown)
    return layout.style.power(shown, layout.show(exponent)), POWER


def _show_exp(layout: Layout, term: Term, index: str) -> Shown:
    return layout.style.power(layout.style.name("e"), layout.show(term.args[0], index)), POWER


def _show_choice(layout: Layout, term: Term, index: str) -> Shown:
    """Return a where a > b, else c, with Iverson's brackets: a [a > b] + c [a <= b]."""
    condition, *values = term.args
    left, right = (layout.show(side, index) for side in condition.args)
    parts = []
    for value, sign in zip(values, (">", "≤")):
        bracket = layout.bracketed(layout.signed(left, sign, right), "[]")
        if not is_number(value, 0):
            factors = [] if is_number(value, 1) else [layout.show(value, index, PRODUCT)]
            parts.append(layout.style.spaced(*factors, bracket))
    return layout.style.spaced(*_between(parts, layout.style.sign("+"))), SUM if len(parts) > 1 else PRODUCT


def _show_total(layout: Layout, term: Term, index: str) -> Shown:
    """Return a sum; that over one sample in column form is the term itself."""
    (inner,), over = term.args, term.note
    if layout.is_row:
        word = {"r": "rows", "c": "columns", "rc": ""}[over]
        return layout.style.spaced(layout.style.sum_over(word), layout.show(inner, index, PRODUCT)), PRODUCT
    if over == "r" and not _has_samples(inner):
        return layout.show(inner, index, PRODUCT), PRODUCT
    running = {"r": "x", "c": "k" if "c" in axes_of(layout.term) else "j", "rc": ""}[over]
    inside = layout.show(inner, running if over == "c" else index, PRODUCT)
    return layout.style.spaced(layout.style.sum_over(running), inside), PRODUCT


def _show_matmul(layout: Layout, term: Term, index: str) -> Shown:
    """Return A B, or in column form the sum over the index that they share."""
    a, b = term.args
    s = layout.style
    if layout.is_row:
        return s.spaced(layout.show(a, index, PRODUCT), layout.show(b, index, PRODUCT)), PRODUCT
    if a.op == "transpose":  # X^T dZ
        product = s.spaced(layout.show(a.args[0], "k"), layout.show(b, "j"))
        return (s.spaced(s.sum_over("x"), product) if _has_samples(b) else product), PRODUCT
    if b.op == "transpose":  # dZ W^T
        return s.spaced(s.sum_over("i"), layout.show(b.args[0], "ij"), layout.show(a, "i")), PRODUCT
    return s.spaced(s.sum_over("k"), layout.show(b, "jk"), layout.show(a, "k")), PRODUCT


def _show_transpose(layout: Layout, term: Term, index: str) -> Shown:
    (base,) = term.args
    shown = layout.show(base, index, ATOM)
    if isinstance(base, Symbol) and look_of(base).below.endswith("'"):
        shown = layout.bracketed(shown)
    return layout.style.power(shown, layout.style.name("T")), POWER


def _show_call(layout: Layout, term: Term, index: str) -> Shown:
    """Return f(a, b); a maximum or minimum with a number begins with it."""
    s = layout.style
    args = sorted(term.args, key=lambda arg: not is_constant(arg)) if "imum" in term.op else term.args
    name = term.note.title if term.op == "call" else NAMES.get(term.op, rf"\{term.op}")
    return s.near(s.name(name), layout.bracketed(s.listed(*(layout.show(arg, index) for arg in args)))), ATOM


NAMES = {"maximum": r"\max", "minimum": r"\min", "sign": r"\operatorname{sign}"}
SHOWN: dict[str, Callable[[Layout, Term, str], Shown]] = {
    "add": _show_sum,
    "subtract": _show_sum,
    "negative": _show_negative,
    "multiply": _show_product,
    "divide": _show_fraction,
    "power": _show_power,
    "exp": _show_exp,
    "expm1": lambda layout, term, index: (
        layout.signed(_show_exp(layout, term, index)[0], "-", layout.style.number("1")),
        SUM,
    ),
    "log1p": lambda layout, term, index: _show_call(layout, log(1 + term.args[0]), index),
    "sqrt": lambda layout, term, index: (layout.style.root(layout.show(term.args[0], index)), ATOM),
    "absolute": lambda layout, term, index: (layout.bracketed(layout.show(term.args[0], index), "||"), ATOM),
    "greater": lambda layout, term, index: _show_choice(layout, where(term, 1, 0), index),
    "where": _show_choice,
    "sum": _show_total,
    "matmul": _show_matmul,
    "transpose": _show_transpose,
    "let": lambda layout, term, index: (layout.style.name(term.note), ATOM),
}


def readable(term: Term) -> Term:
    """Return the term without the marks of mistakes, and with the definitions of functions without a title."""
    if term.op in ("part", "instead"):
        return readable(term.args[0])
    if term.op == "call" and not term.note.title:
        return readable(term.note.definition(*term.args))
    return rebuilt(term, tuple(map(readable, term.args)))


def is_constant(term: Term) -> bool:
    """Return whether a term contains no symbols."""
    return not any(isinstance(each, Symbol) for each in walk(term))


def _has_samples(term: Term) -> bool:
    """Return whether a term depends on one of several samples."""
    return any(isinstance(each, Symbol) and look_of(each).above.startswith("x") for each in walk(term))


def _between(parts: Sequence[str], sign: str) -> list[str]:
    """Return parts with a sign between them."""
    return [piece for part in parts for piece in (sign, part)][1:]
