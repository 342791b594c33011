"""The functions of one number in `chainrule.nn.embeddings` as terms, like the activations in `chainrule.curves`."""

from chainrule import terms as t
from chainrule.curves import named
from chainrule.nn.embeddings import LARGEST_CLIPPED
from chainrule.terms import Function, Term


def _unclip(z: Term) -> Term:
    c = t.let("c", t.minimum(t.maximum(z, -LARGEST_CLIPPED), LARGEST_CLIPPED))
    return c / t.sqrt(1 - c * c / 9)


EMBEDDING_CURVES: dict[str, Function] = {
    "cos": named("cos", t.cos, r"\cos"),
    "ramp": named("ramp", lambda z: t.minimum(t.maximum(z, 0), 1)),
    "unclip": named("unclip", _unclip),
}
"""Name -> function."""
