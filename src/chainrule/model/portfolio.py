"""The portfolio: variants of the recipe that are trained on the same folds and mixed by their errors out of fold.

Which encoding of the numbers is right depends on the table, and networks that see different ones complement each
other::

    plain     the numbers as they are: scaled and smoothly clipped
    waves     with periodic functions of each (`chainrule.model.embeddings.Periodic`)
    pieces    with piecewise-linear functions of each, on 24 quantile bins (`PiecewiseLinear`)
    neighbors rows are predicted from training rows nearby (`chainrule.model.neighbors`), which are seen as waves in
              classification, as pieces in regression, and with one hidden layer there
    linear    no hidden layers, and numbers that are not clipped: few rows, and what is linear anyway
    shared    pieces in four networks that share their hidden layers (`chainrule.model.shared`)
    strongest only the 8 or 32 columns that correlate most with the target, plain or linear: more columns than rows

    quality    classification             regression
    fast       waves, linear              waves, linear                width 64, 16 epochs, 3 folds
    default    plain, neighbors, linear   waves, neighbors, linear
    best       plain, waves, pieces, neighbors and linear, then wider ones, with other frequencies, pieces, activations
               and seeds; in regression, the shared ones last

Longer ones do not pay: the more epochs there are to choose the best one from, the more their error out of fold, by
which they are weighted, is too small.

A table without numbers, or with very many, has no waves and pieces. The others look up learned vectors of the
categories of columns with more than 50 (`Lookup`): on 1,000 categories of 10 rows each, the AUC is 0.77 with them and
0.61 without.

A table with more columns than half its rows, encoded and without indices, has the strongest ones, too: on 200 rows of
2,000 columns, five of which matter, accuracy is 0.87 with them and 0.51 without; L1-penalized logistic regression has
0.87. Each member selects columns by its own training rows, so that the errors out of fold are not too small.

Neighbors in place of waves, or of pieces in regression: on ten classification tables, over three splits, 1 % less error
and 3 % less log loss, from 16 and 8 % less on soybean and mlc_churn to 4 % more on letter; on seven regression tables
1 % less RMSE, from 5 and 3 % less on ames and concrete to 1 % more on diamonds, and more of it the fewer the rows. In
classification they take about twice the time of waves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule.arrays import Array
from chainrule.data.tabular import TabularEncoder
from chainrule.errors import look_up
from chainrule.model.embeddings import Lookup, Periodic, PiecewiseLinear, Unclip
from chainrule.model.recipe import Recipe
from chainrule.nn.layers import Layer
from chainrule.nn.losses import CrossEntropy

MAX_PIECES = 1024
"""Pieces of all numbers of a table."""
_FORGOTTEN = 0.3
"""Fraction of the categories of a `Lookup` that a training step forgets. Where the category is pure noise, RMSE is 1 %
smaller than with 0.1; on 1,000 categories of 10 rows that matter, AUC is 0.766 with either."""
MAX_EMBEDDED = 256
"""Numbers up to which embeddings of them pay."""


class _Table:
    """The first layers for a table: all variants that see all columns look up the vectors of its categories."""

    def __init__(self, X: Array, numbers: Sequence[int], indices: Mapping[int, int]) -> None:
        lookup = Lookup(X.shape[1], tuple(indices), tuple(indices.values()), rate=_FORGOTTEN) if indices else None
        self.lookup: tuple[Layer, ...] = (lookup,) if lookup else ()
        self.not_indices = tuple(j for j in range(X.shape[1]) if j not in indices)
        self.n_in = lookup.sizes[1] if lookup else X.shape[1]
        passed_on = lookup.others if lookup else range(X.shape[1])
        self.numbers = {passed_on.index(j): X[:, j] for j in numbers}


Variant = Callable[[Recipe, _Table], Recipe]
"""Returns a recipe changed for a table."""


def _plain(recipe: Recipe, table: _Table) -> Recipe:
    return replace(recipe, front=table.lookup)


def _waves(recipe: Recipe, table: _Table) -> Recipe:
    return replace(recipe, front=(*table.lookup, Periodic(table.n_in, tuple(table.numbers), sigma=recipe.sigma)))


def _pieces(recipe: Recipe, table: _Table, n: int = 24) -> Recipe:
    n = min(n, MAX_PIECES // len(table.numbers))
    edges = {j: _edges(x, n) for j, x in table.numbers.items()}
    several = {j: places for j, places in edges.items() if len(places) > 1}
    pieces = [PiecewiseLinear(table.n_in, tuple(several), tuple(several.values()))] if several else []
    return replace(recipe, front=(*table.lookup, *pieces))


def _edges(x: Array, n: int) -> tuple[float, ...]:
    """Return the different ones of the n + 1 quantiles of numbers (n_rows,), at least a thousandth apart.

    They are rounded to four decimals, which are enough for that and keep model files short.
    """
    edges: list[float] = []
    for quantile in np.quantile(x, np.linspace(0, 1, n + 1)).tolist():
        if not edges or quantile - edges[-1] > 1e-3:
            edges.append(round(quantile, 4))
    return tuple(edges)


def _linear(recipe: Recipe, table: _Table) -> Recipe:
    return replace(recipe, hidden=(), front=(*table.lookup, Unclip()), least_batch_size=8)


def _neighbors(recipe: Recipe, table: _Table) -> Recipe:
    if isinstance(recipe.loss, CrossEntropy):
        return _near(_waves, recipe, table)
    return _near(_pieces, replace(recipe, hidden=recipe.hidden[:1]), table)


def _other_neighbors(recipe: Recipe, table: _Table) -> Recipe:
    return _near(_pieces if isinstance(recipe.loss, CrossEntropy) else _waves, recipe, table)


def _near(see: Variant, recipe: Recipe, table: _Table) -> Recipe:
    """Return the recipe by neighbors, of rows that are seen in this way."""
    seen = see if 0 < len(table.numbers) <= MAX_EMBEDDED else _plain
    return seen(replace(recipe, by_neighbors=True), table)


def _strongest(recipe: Recipe, table: _Table, n: int) -> Recipe:
    return replace(recipe, strongest=n, candidates=table.not_indices)


def _strongest_linear(recipe: Recipe, table: _Table, n: int) -> Recipe:
    return _strongest(replace(recipe, hidden=(), front=(Unclip(),)), table, n)


def _wide(recipe: Recipe) -> Recipe:
    return replace(recipe, hidden=tuple(2 * size for size in recipe.hidden))


def _shared(recipe: Recipe) -> Recipe:
    return replace(recipe, shared_by=4, epochs=3 * recipe.epochs)


def _other_activation(recipe: Recipe) -> Recipe:
    return replace(recipe, activation="mish" if recipe.activation == "selu" else "selu")


_FIRST: dict[str, Variant] = {
    "plain": _plain,
    "waves": _waves,
    "pieces": _pieces,
    "neighbors": _neighbors,
    "linear": _linear,
}
_STRONGEST: dict[str, Variant] = {
    "strongest 8": lambda recipe, table: _strongest(recipe, table, 8),
    "strongest 8, linear": lambda recipe, table: _strongest_linear(recipe, table, 8),
    "strongest 32": lambda recipe, table: _strongest(recipe, table, 32),
    "strongest 32, linear": lambda recipe, table: _strongest_linear(recipe, table, 32),
}
_FURTHER: dict[str, Variant] = {
    "plain, wide": lambda recipe, table: _plain(_wide(recipe), table),
    "neighbors, other numbers": _other_neighbors,
    "waves, other frequencies": lambda recipe, table: _waves(replace(recipe, sigma=1 / recipe.sigma), table),
    "pieces, wide": lambda recipe, table: _pieces(_wide(recipe), table),
    "waves, wide": lambda recipe, table: _waves(_wide(recipe), table),
    "neighbors, wide": lambda recipe, table: _neighbors(_wide(recipe), table),
    "waves, dropout": lambda recipe, table: _waves(replace(recipe, dropout=0.1), table),
    "pieces, other activation": lambda recipe, table: _pieces(_other_activation(recipe), table),
    "plain, another seed": _plain,
    "waves, another seed": _waves,
    "pieces, another seed": _pieces,
    "neighbors, another seed": _neighbors,
    "pieces, few": lambda recipe, table: _pieces(recipe, table, 8),
}
"""Trained one by one, in this order, while there is enough time. Members have different seeds anyway."""
_LAST_IN_REGRESSION: dict[str, Variant] = {
    "pieces, shared": lambda recipe, table: _pieces(_shared(recipe), table),
}
_ON_NUMBERS = ("waves", "pieces", "neighbors, other numbers")
"""How the names of variants begin that are of use for embedded numbers only."""


@dataclass(frozen=True)
class Quality:
    """Names of the variants by task, and the options that are the recipe's unless the user gives others."""

    classification: Sequence[str]
    regression: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    time_limit: float | None = None


_BEST = [*_FIRST, *_FURTHER]
QUALITIES = {
    "fast": Quality(["waves", "linear"], ["waves", "linear"], {"hidden": (64, 64), "epochs": 16, "folds": 3}),
    "default": Quality(["plain", "neighbors", "linear"], ["waves", "neighbors", "linear"]),
    "best": Quality(_BEST, [*_BEST, *_LAST_IN_REGRESSION], time_limit=3600.0),
}


def names(quality: str, task: str, n_numbers: int, n_columns: int, n_rows: int) -> list[str]:
    """Return the names of the variants for a table with so many numbers, encoded columns but indices, and rows."""
    variants = list(getattr(look_up(QUALITIES, quality, "quality"), task))
    if not 0 < n_numbers <= MAX_EMBEDDED:
        variants = list(dict.fromkeys(["plain", *(name for name in variants if not name.startswith(_ON_NUMBERS))]))
    first = n_first(variants)
    return [*variants[:first], *(_STRONGEST if n_columns > n_rows / 2 else ()), *variants[first:]]


def names_for(encoder: TabularEncoder, quality: str, task: str, n_rows: int) -> list[str]:
    """Return the names of the variants for a table of that many rows, to which the encoder was fitted."""
    return names(quality, task, len(encoder.numbers), encoder.n_features - len(encoder.indices), n_rows)


def n_first(names: Sequence[str]) -> int:
    """Return how many of the variants share the time; each of the others is trained while there is enough of it."""
    return sum(name in _FIRST or name in _STRONGEST for name in names)


def portfolio(
    recipe: Recipe, names: Sequence[str], X: Array, numbers: Sequence[int], indices: Mapping[int, int]
) -> list[Recipe]:
    """Return the variants of a recipe for encoded rows X (n, n_in).

    The columns `numbers` of X are scaled numbers, and `indices` the columns of indices of categories, with the numbers
    of their levels.
    """
    table, variants = _Table(X, numbers, indices), _FIRST | _STRONGEST | _FURTHER | _LAST_IN_REGRESSION
    return [replace(variants[name](recipe, table), name=name) for name in names]
