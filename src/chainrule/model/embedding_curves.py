"""The functions of one number in the layers of this package as terms, like the activations in `chainrule.curves`."""

from chainrule import terms as t
from chainrule.curves import named
from chainrule.model.embeddings import LARGEST_CLIPPED
from chainrule.model.neighbors import LEAST_POSITIVE
from chainrule.terms import Function, Term


def _clipped(z: Term) -> Term:
    return t.let("c", t.minimum(t.maximum(z, -LARGEST_CLIPPED), LARGEST_CLIPPED))


def _root(z: Term) -> Term:
    return t.sqrt(1 - _clipped(z) ** 2 / 9)


def _unclip_rule(y: Term, d: Term, z: Term) -> tuple[Term]:
    return (t.where(t.greater(LARGEST_CLIPPED, t.absolute(z)), d / _root(z) ** 3, 0),)


EMBEDDING_CURVES: dict[str, Function] = {
    "cos": named("cos", t.cos, r"\cos"),
    "ramp": named("ramp", lambda z: t.minimum(t.maximum(z, 0), 1)),
    "log": named("log", lambda z: t.log(t.maximum(z, LEAST_POSITIVE)), r"\log"),
    "unclip": Function("unclip", r"\operatorname{unclip}", lambda z: _clipped(z) / _root(z), rule=_unclip_rule),
}
"""Name -> function."""
