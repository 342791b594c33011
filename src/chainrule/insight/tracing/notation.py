r"""Formulas in a subset of LaTeX, rendered as text for a terminal and as MathML for a page.

The subset is letters, numbers, signs, `^`, `_`, braces and the commands in the tables below. Spaces, which LaTeX
ignores, are preserved in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|.", re.DOTALL)
LETTERS = {
    r"\alpha": "α", r"\beta": "β", r"\gamma": "γ", r"\delta": "δ", r"\Delta": "Δ", r"\epsilon": "ε", r"\eta": "η",
    r"\theta": "θ", r"\lambda": "λ", r"\mu": "μ", r"\pi": "π", r"\rho": "ρ", r"\sigma": "σ", r"\tau": "τ",
    r"\partial": "∂",
}  # fmt: skip
SIGNS = {r"\odot": "⊙", r"\sum": "Σ", r"\cdot": "·", r"\leftarrow": "←", r"\le": "≤", r"\ne": "≠", r"\to": "→"}
NAMES = {rf"\{name}": name for name in ("log", "exp", "tanh", "max", "min")}
SPACES = {r"\,": "", r"\;": " ", r"\quad": "   "}
RAISED = dict(zip("0123456789+-()=Txljkintm", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾⁼ᵀˣˡʲᵏⁱⁿᵗᵐ"))
LOWERED = dict(zip("0123456789+-()=jkinmtx", "₀₁₂₃₄₅₆₇₈₉₊₋₍₎₌ⱼₖᵢₙₘₜₓ"))


@dataclass(frozen=True)
class Part:
    """A node of a formula: its kind, and its text or child nodes.

    The text of a node with scripts lists them in order: "^", "_", "^_" or "_^".
    """

    kind: str
    text: str = ""
    parts: tuple[Part, ...] = ()


def parse(formula: str) -> Part:
    """Return a formula as a tree; raise ValueError for unbalanced braces and unknown commands."""
    tokens = TOKEN.findall(formula)
    tokens.reverse()
    row = parse_row(tokens, "")
    if tokens:
        raise ValueError(f"formula must have balanced braces, got {formula!r}")
    return row


def parse_row(tokens: list[str], end: str) -> Part:
    """Consume nodes, with their scripts, up to the token `end`."""
    parts: list[Part] = []
    while tokens and tokens[-1] != "}":
        if tokens[-1] in "^_":
            base = parts.pop() if parts else Part("row")
            scripts = {}
            while tokens and tokens[-1] in "^_":
                place = tokens.pop()
                scripts[place] = parse_one(tokens)
            parts.append(Part("scripts", "".join(scripts), (base, *scripts.values())))
        else:
            parts.append(parse_one(tokens))
    if end and not tokens:
        raise ValueError("formula must have balanced braces, got an unclosed one")
    if end:
        tokens.pop()
    return Part("row", parts=tuple(parts))


def parse_one(tokens: list[str]) -> Part:
    """Consume one node: a group in braces, a command with its arguments, a number or a character."""
    token = tokens.pop()
    if token == "{":
        return parse_row(tokens, "}")
    if token == r"\frac":
        return Part("fraction", parts=(parse_one(tokens), parse_one(tokens)))
    if token in (r"\sqrt", r"\hat"):
        return Part(token[1:], parts=(parse_one(tokens),))
    if token in (r"\operatorname", r"\text"):
        kind = {r"\operatorname": "name", r"\text": "text"}[token]
        tokens.pop()  # the opening brace
        letters = []
        while tokens[-1] != "}":
            letters.append(tokens.pop())
        tokens.pop()
        return Part(kind, "".join(letters).replace("\\", ""))
    if token in (r"\partial", r"\Delta") and tokens[-1:] == [" "]:
        tokens.pop()  # no space after an operator
    for kind, table in (("letter", LETTERS), ("sign", SIGNS), ("name", NAMES), ("space", SPACES)):
        if token in table:
            return Part(kind, table[token])
    if token in (r"\{", r"\}"):
        return Part("sign", token[1:])
    if token.startswith("\\"):
        raise ValueError(f"commands must be among those in chainrule.insight.tracing.notation, got {token}")
    if token.isspace():
        return Part("space", " ")
    return Part("number" if token[0].isdigit() else "letter" if token.isalpha() else "sign", token)


# Text.


def as_text(formula: str) -> str:
    r"""Return a formula as one line of text.

    Examples
    --------
    >>> as_text(r"\frac{\partial C}{\partial w^{1}_{jk}} = a^{0}_{k} \delta^{1}_{j}")
    '∂C/∂w¹ⱼₖ = a⁰ₖ δ¹ⱼ'
    """
    return re.sub(" +", " ", text_of(parse(formula))).strip()


def text_of(part: Part) -> str:
    """Return a node as text."""
    inner = [text_of(node) for node in part.parts]
    return TEXT[part.kind](part.text, inner)


def closed(text: str) -> str:
    """Return text in parentheses if it contains a space."""
    return f"({text.strip()})" if " " in text.strip() else text


def scripted(marks: str, base: str, *scripts: str) -> str:
    """Return a text followed by its scripts."""
    return base + "".join(script(text, mark) for mark, text in zip(marks, scripts))


def script(text: str, mark: str) -> str:
    """Return a script in Unicode superscripts or subscripts if all its characters have them, or after its mark."""
    letters = {"^": RAISED, "_": LOWERED}[mark]
    if all(letter in letters for letter in text):
        return "".join(letters[letter] for letter in text)
    return mark + (text if len(text) == 1 or text.isalpha() else f"({text})")


TEXT: dict[str, Callable[[str, list[str]], str]] = {
    "row": lambda text, inner: "".join(inner),
    "fraction": lambda text, inner: f"{closed(inner[0])}/{closed(inner[1])}",
    "sqrt": lambda text, inner: f"√{closed(inner[0])}",
    "hat": lambda text, inner: f"{inner[0]}\N{COMBINING CIRCUMFLEX ACCENT}",
    "scripts": lambda text, inner: scripted(text, *inner),
    **dict.fromkeys(("letter", "sign", "name", "space", "number", "text"), lambda text, inner: text),
}


# MathML.


def as_mathml(formula: str) -> str:
    r"""Return a formula as MathML, which browsers render natively.

    Examples
    --------
    >>> as_mathml("z^{1}")
    '<math><mrow><msup><mi>z</mi><mn>1</mn></msup></mrow></math>'
    """
    return f"<math>{mathml_of(parse(formula))}</math>"


def mathml_of(part: Part) -> str:
    """Return a node as MathML; a group of one node becomes that node."""
    shown = [node for node in part.parts if node.kind != "space"] if part.kind == "row" else list(part.parts)
    inner = [mathml_of(unwrap(node)) for node in shown]
    if part.kind == "scripts":
        return mathml_scripts(part, inner)
    return MATHML[part.kind](escape(part.text), inner)


def unwrap(part: Part) -> Part:
    """Return the only node of a group, or the group itself if it has several."""
    shown = [node for node in part.parts if node.kind != "space"]
    return unwrap(shown[0]) if part.kind == "row" and len(shown) == 1 else part


def mathml_scripts(part: Part, inner: list[str]) -> str:
    """Return a base with its scripts, placed below and above a sum."""
    stacked = part.parts[0].text == SIGNS[r"\sum"]
    base, scripts = inner[0], dict(zip(part.text, inner[1:]))
    name = {"_": "sub", "^": "sup"}, {"_": "under", "^": "over"}
    tag = "m" + "".join(name[stacked][mark] for mark in "_^" if mark in scripts)
    return f"<{tag}>{base}{''.join(scripts[mark] for mark in '_^' if mark in scripts)}</{tag}>"


TYPESET = {"-": "\N{MINUS SIGN}", "'": "\N{PRIME}"}
MATHML: dict[str, Callable[[str, list[str]], str]] = {
    "row": lambda text, inner: f"<mrow>{''.join(inner)}</mrow>",
    "fraction": lambda text, inner: f"<mfrac>{inner[0]}{inner[1]}</mfrac>",
    "sqrt": lambda text, inner: f"<msqrt>{inner[0]}</msqrt>",
    "hat": lambda text, inner: f'<mover accent="true">{inner[0]}<mo>^</mo></mover>',
    "letter": lambda text, inner: f"<mi>{text}</mi>",
    "name": lambda text, inner: f"<mi>{text}</mi><mo>&#x2061;</mo>",
    "number": lambda text, inner: f"<mn>{text}</mn>",
    "sign": lambda text, inner: f'<mo stretchy="false">{TYPESET.get(text, text)}</mo>',
    "text": lambda text, inner: f"<mtext>{text}</mtext>",
    "space": lambda text, inner: "",
}
