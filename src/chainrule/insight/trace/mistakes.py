"""Common mistakes as changes of a term: a part or a transpose left out, a factor twice, another term in its place."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.insight.trace.model import Quantity
from chainrule.terms import Number, Symbol, Term, rebuilt, substitute, walk


def mistakes(quantity: Quantity) -> dict[str, Term]:
    """Return the mistakes that can be made in a quantity: a remark -> the term computed instead of its own."""
    term = quantity.term
    if term is None:
        return {}
    marked = {each.note: _made(term, each.note) for each in walk(term) if each.op in ("part", "instead")}
    return marked | dict(_transposes(term))


def _made(term: Term, remark: str, nothing: float = 1.0) -> Term:
    """Return the term with a mistake wherever it is marked; a part left out is 0 in a sum and 1 in a product."""
    if term.op in ("part", "instead") and term.note == remark:
        return Number(nothing) if term.op == "part" else term.args[1]
    nothing = 0.0 if term.op in ("add", "subtract") else 1.0
    return rebuilt(term, tuple(_made(arg, remark, nothing) for arg in term.args))


def _transposes(term: Term) -> Iterator[tuple[str, Term]]:
    """Yield the term with another transpose in a matrix product."""
    for product in (each for each in walk(term) if each.op == "matmul"):
        a, b = product.args
        if a.op == "transpose":
            yield "the gradient is transposed", substitute(term, {product: product.T})
        elif b.op == "transpose":
            yield f"{_letter(b.args[0])} is not transposed", substitute(term, {product: a @ b.args[0]})
        else:
            yield f"{_letter(b)} is transposed", substitute(term, {product: a @ b.T})


def _letter(term: Term) -> str:
    assert isinstance(term, Symbol)
    return str(term.look.row)
