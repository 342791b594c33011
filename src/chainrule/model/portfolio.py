"""The portfolio: variants of the recipe that are trained on the same folds and mixed by their errors out of fold.

Which encoding of the numbers is right depends on the table, and networks that see different ones complement each
other::

    plain     the numbers as they are: scaled and smoothly clipped
    waves     with periodic functions of each (`chainrule.model.embeddings.Periodic`)
    pieces    with piecewise-linear functions of each, on 24 quantile bins (`PiecewiseLinear`)
    linear    no hidden layers, and numbers that are not clipped: few rows, and what is linear anyway

    quality    classification             regression
    fast       waves, linear              waves, linear                width 64, 24 epochs, 3 folds
    default    plain, waves, linear       waves, pieces, linear
    best       all four, then wider and longer ones, with other frequencies, pieces, activations and seeds

A table without numbers, or with very many, has plain and linear ones only. Every variant looks up learned vectors of
the categories of columns with more than 50 (`Lookup`): on 1,000 categories of 10 rows each, the AUC is 0.77 with them
and 0.61 without. On 12 tables of 512 to 6,483 rows, the default has 9 % less error and 6 % less log loss than five
plain networks of twice the width, in about the same time; on 7 tables, 4 % less RMSE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import look_up
from chainrule.model.embeddings import Lookup, Periodic, PiecewiseLinear, Unclip
from chainrule.model.recipe import Recipe
from chainrule.nn.layers import Layer

MAX_PIECES = 1024
"""Pieces of all numbers of a table."""
FORGOTTEN = 0.3
"""Fraction of the categories of a `Lookup` that a training step forgets. Where the category is pure noise, RMSE is 2 %
smaller than with 0.1; on 1,000 categories of 10 rows that matter, AUC is 0.766 with either."""
MAX_EMBEDDED = 256
"""Numbers up to which embeddings of them pay."""


@dataclass(frozen=True)
class Quality:
    """Names of the variants, and the options that are the recipe's unless the user gives others."""

    variants: dict[str, tuple[str, ...]]
    options: dict[str, Any]
    time_limit: float | None = None


_FAST, _ALL = ("waves", "linear"), ("plain", "waves", "pieces", "linear")
_EXTRA = (
    "plain, wide", "waves, other frequencies", "pieces, wide", "waves, wide", "plain, long", "waves, dropout",
    "pieces, other activation", "plain, again", "waves, again", "pieces, again", "waves, long", "pieces, few",
)  # fmt: skip
QUALITIES = {
    "fast": Quality(
        dict.fromkeys(("classification", "regression"), _FAST), {"hidden": (64, 64), "epochs": 24, "folds": 3}
    ),
    "default": Quality(
        {"classification": ("plain", "waves", "linear"), "regression": ("waves", "pieces", "linear")}, {}
    ),
    "best": Quality(dict.fromkeys(("classification", "regression"), _ALL + _EXTRA), {}, time_limit=3600.0),
}
"""The variants of each quality, by task. Those in `_EXTRA` are trained one by one while there is enough time."""


def names(quality: str, task: str, n_numbers: int) -> list[str]:
    """Return the names of the variants for a table with that many numbers."""
    variants = look_up(QUALITIES, quality, "quality").variants[task]
    if 0 < n_numbers <= MAX_EMBEDDED:
        return list(variants)
    return list(dict.fromkeys(["plain", *(name for name in variants if name.startswith(("plain", "linear")))]))


def n_first(names: Sequence[str]) -> int:
    """Return how many of the variants share the time; each of the others is trained while there is enough of it."""
    return sum(name not in _EXTRA for name in names)


def portfolio(
    recipe: Recipe, names: Sequence[str], X: Array, numbers: Sequence[int], indices: Mapping[int, int]
) -> list[Recipe]:
    """Return the variants of a recipe for encoded rows X (n, n_in).

    The columns `numbers` of X are scaled numbers, and `indices` the columns of indices of categories, with the numbers
    of their levels.
    """
    table = _Table(X, numbers, indices)
    return [replace(_variant(recipe, name, table), name=name) for name in names]


class _Table:
    """The first layers for a table: all variants look up the vectors of its categories."""

    def __init__(self, X: Array, numbers: Sequence[int], indices: Mapping[int, int]) -> None:
        lookup = Lookup(X.shape[1], tuple(indices), tuple(indices.values()), rate=FORGOTTEN) if indices else None
        self.lookup: tuple[Layer, ...] = (lookup,) if lookup else ()
        self.n_in = lookup.sizes[1] if lookup else X.shape[1]
        passed_on = lookup.others if lookup else range(X.shape[1])
        self.numbers = {passed_on.index(j): X[:, j] for j in numbers}

    def waves(self, sigma: float) -> tuple[Layer, ...]:
        return (*self.lookup, Periodic(self.n_in, tuple(self.numbers), sigma=sigma))

    def pieces(self, n: int = 24) -> tuple[Layer, ...]:
        n = min(n, MAX_PIECES // len(self.numbers))
        edges = {j: _edges(x, n) for j, x in self.numbers.items()}
        several = {j: places for j, places in edges.items() if len(places) > 1}
        pieces = PiecewiseLinear(self.n_in, tuple(several), tuple(several.values())) if several else None
        return (*self.lookup, *([pieces] if pieces else []))


def _edges(x: Array, n: int) -> tuple[float, ...]:
    """Return the different ones of the n + 1 quantiles of numbers (n_rows,), at least a thousandth apart.

    They are rounded to four decimals, which are enough for that and keep model files short.
    """
    edges: list[float] = []
    for quantile in np.quantile(x, np.linspace(0, 1, n + 1)).tolist():
        if not edges or quantile - edges[-1] > 1e-3:
            edges.append(round(quantile, 4))
    return tuple(edges)


def _variant(recipe: Recipe, name: str, table: _Table) -> Recipe:
    """Return a recipe with what the words of a variant's name change."""
    kind, _, change = name.partition(", ")
    changed = _CHANGES[change](recipe)
    if kind == "linear":
        return replace(changed, hidden=(), front=(*table.lookup, Unclip()))
    if kind == "waves":
        return replace(changed, front=table.waves(changed.sigma))
    if kind == "pieces":
        return replace(changed, front=table.pieces(8 if change == "few" else 24))
    return replace(changed, front=table.lookup)


def _wide(recipe: Recipe) -> Recipe:
    return replace(recipe, hidden=tuple(2 * size for size in recipe.hidden))


_CHANGES: dict[str, Callable[[Recipe], Recipe]] = {
    "": lambda recipe: recipe,
    "again": lambda recipe: recipe,  # from another seed
    "few": lambda recipe: recipe,
    "other frequencies": lambda recipe: replace(recipe, sigma=1 / recipe.sigma),
    "wide": _wide,
    "long": lambda recipe: replace(recipe, epochs=3 * recipe.epochs),
    "dropout": lambda recipe: replace(recipe, dropout=0.1),
    "other activation": lambda recipe: replace(recipe, activation="mish" if recipe.activation == "selu" else "selu"),
}
