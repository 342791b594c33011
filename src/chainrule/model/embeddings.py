"""Embeddings: first layers that give a network better columns of a table than its numbers themselves.

A small network learns smooth functions of its inputs easily and jagged ones slowly. An `Embedding` appends to X, which
it passes on, several functions of single columns, out of which the next layer composes jagged ones: pieces of straight
lines, or waves. A `Lookup` replaces categories, of columns that have many, by learned vectors; `Select` leaves columns
out.

Shapes: X (n, n_in) -> Y (n, n_out). C denotes the columns that are embedded, m their number.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from math import isfinite, pi, sqrt
from numbers import Real
from typing import Annotated, final

import numpy as np

from chainrule.arrays import Array, require, require_integer
from chainrule.errors import suggest_keywords
from chainrule.nn.layers import LAYERS, Backward, Layer, Params, Shapes


@dataclass(frozen=True, repr=False)
class Embedding(Layer):
    """Base class: Y = [X, E], where E (n, width) are functions of the `columns` of X."""

    n_in: Annotated[int, "an integer >= 1"]
    columns: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "columns", _as_columns(self.columns, self.n_in))

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of columns of E."""

    @property
    def sizes(self) -> tuple[int, int]:
        return self.n_in, self.n_in + self.width

    def __str__(self) -> str:
        """Name and sizes: columns and edges may be very many."""
        return f"{type(self).__name__}({self.n_in}, {len(self.columns)} columns, {self.width} functions)"

    __repr__ = __str__

    @cached_property
    def place(self) -> list[int] | slice:
        """The embedded columns, as an index: neighbors as a slice, which is faster."""
        first, last = self.columns[0], self.columns[0] + len(self.columns)
        return slice(first, last) if self.columns == tuple(range(first, last)) else list(self.columns)

    @abstractmethod
    def embed(self, X: Array, params: Params) -> tuple[Array, Backward]:
        """Return E (n, width), and the function that fills `grads` and returns dX, for the embedded columns alone."""

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        E, embedding_backward = self.embed(X, params)

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            dC = embedding_backward(dY[:, self.n_in :], grads, need_dX)
            if not need_dX:
                return dY
            dX = dY[:, : self.n_in].copy()
            dX[:, self.place] += dC
            return dX

        return _joined(X, E), backward


def _joined(X: Array, E: Array) -> Array:
    """Return [X, E]; if E (k, n, width) are those of k networks, with an X for each of them or for all."""
    return np.concatenate([np.broadcast_to(X, (*E.shape[:-1], X.shape[-1])), E], axis=-1)


def _as_columns(columns: Sequence[int], n_in: int) -> tuple[int, ...]:
    """Return the numbers of columns as a tuple; ValueError unless they are different and below n_in."""
    for column in columns:
        require_integer(column, "columns", 0)
    rule = f"be different numbers below n_in={n_in}, at least one"
    require(0 < len(columns) == len(set(columns)) and max(columns) < n_in, "columns", rule, columns)
    return tuple(columns)


@suggest_keywords
@final
@dataclass(frozen=True, repr=False)
class PiecewiseLinear(Embedding):
    """E = clip((x - low) / (high - low), 0, 1) for each pair of neighboring edges low < high of each column x.

    The piecewise-linear encoding of Gorishniy et al. 2022 (On embeddings for numerical features, equation 1), except
    that the first and the last piece are clipped too: a linear function of E is a piecewise-linear function of x with
    its kinks at the edges. Nothing is learned.

    `edges` are one tuple for each of the `columns`, as a rule its quantiles.
    """

    edges: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.edges) == len(self.columns), "edges", "be one tuple for each column", self.edges)
        for edges in self.edges:
            numbers = all(isinstance(edge, Real) and isfinite(edge) for edge in edges)
            increasing = numbers and all(low < high for low, high in pairwise(edges))
            require(increasing and len(edges) > 1, "edges", "be finite and increasing, at least two of each", edges)
        object.__setattr__(self, "edges", tuple(tuple(map(float, edges)) for edges in self.edges))

    @cached_property
    def width(self) -> int:
        return sum(len(edges) - 1 for edges in self.edges)

    @cached_property
    def pieces(self) -> tuple[Array, Array, Array]:
        """The column of each piece, its lower edge and its slope 1 / (high - low), each (width,)."""
        columns = np.repeat(self.columns, [len(edges) - 1 for edges in self.edges])
        lows = np.array([low for edges in self.edges for low in edges[:-1]])
        highs = np.array([high for edges in self.edges for high in edges[1:]])
        return columns, lows, 1 / (highs - lows)

    def embed(self, X: Array, params: Params) -> tuple[Array, Backward]:
        columns, lows, slopes = (array.astype(X.dtype, copy=False) for array in self.pieces)
        E = X.take(columns.astype(np.intp), axis=-1)
        E -= lows
        E *= slopes
        inside = (E > 0) & (E < 1)
        np.clip(E, 0, 1, out=E)

        def backward(dE: Array, grads: Params, need_dX: bool = True) -> Array:
            starts = [0, *accumulate(len(edges) - 1 for edges in self.edges)][:-1]
            return np.add.reduceat(dE * inside * slopes, starts, axis=1) if need_dX else dE

        return E, backward


@suggest_keywords
@final
@dataclass(frozen=True, repr=False)
class Periodic(Embedding):
    """E = H W + b of each column x, H = cos(2 pi x f + phase): a learned mixture of learned waves.

    The embedding PBLD of Holzmueller et al. 2024 (RealMLP, section 3), after Gorishniy et al. 2022 (On embeddings for
    numerical features, equation 2). f, phase (m, n_waves), W (m, n_waves, n_out), b (m, n_out). Frequencies start as
    N(0, sigma^2), phases as U(-pi, pi).
    """

    n_waves: Annotated[int, "an integer >= 1"] = 16
    n_out: Annotated[int, "an integer >= 1"] = 3
    sigma: Annotated[float, "> 0"] = 2.0

    @property
    def width(self) -> int:
        return len(self.columns) * self.n_out

    @property
    def shapes(self) -> Shapes:
        m, k, n_out = len(self.columns), self.n_waves, self.n_out
        return {"f": (m, k), "phase": (m, k), "W": (m, k, n_out), "b": (m, n_out)}

    def init(self, params: Params, rng: np.random.Generator) -> None:
        params["f"][...] = self.sigma * rng.standard_normal(params["f"].shape)
        params["phase"][...] = rng.uniform(-pi, pi, params["phase"].shape)
        for name in ("W", "b"):
            params[name][...] = rng.uniform(-1, 1, params[name].shape) / sqrt(self.n_waves)

    def embed(self, X: Array, params: Params) -> tuple[Array, Backward]:
        f, phase, b = (params[name][..., np.newaxis, :] for name in ("f", "phase", "b"))
        W, n = params["W"], X.shape[-2]
        x = np.swapaxes(X, -1, -2)[..., self.place, :, np.newaxis]  # (m, n, 1)
        angle = x * (2 * pi * f) + phase  # (m, n, n_waves)
        H = np.cos(angle)
        E = np.matmul(H, W) + b  # (m, n, n_out)

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            dE = dY.reshape(n, len(self.columns), self.n_out).transpose(1, 0, 2)
            np.matmul(H.transpose(0, 2, 1), dE, out=grads["W"])
            dE.sum(axis=1, out=grads["b"])
            dangle = np.matmul(dE, W.transpose(0, 2, 1))
            dangle *= -np.sin(angle)
            dangle.sum(axis=1, out=grads["phase"])
            grads["f"][...] = 2 * pi * np.matmul(x.transpose(0, 2, 1), dangle)[:, 0]
            return 2 * pi * np.matmul(dangle, f.transpose(0, 2, 1))[:, :, 0].T if need_dX else dY

        return np.swapaxes(E, -2, -3).reshape(*E.shape[:-3], n, self.width), backward


@suggest_keywords
@final
@dataclass(frozen=True, repr=False)
class Lookup(Layer):
    """Y = [X without `columns`, rows of E]: each index k of a category is replaced by a learned vector.

    These are the entity embeddings of Guo & Berkhahn 2016. Each of the `columns` has a table (n_levels, n_out), of
    which its cells 0, ..., n_levels - 1 are replaced by rows; smaller and larger ones by the first and the last row. E,
    of shape (sum of n_levels, n_out), contains the tables of all columns, one below the other. The derivative with
    respect to an index is 0. E starts as N(0, 0.1^2): on 1,000 levels of 10 rows, vectors of N(0, 1) generalize worse.

    Index 0 stands for a missing or unknown category. In training, each index is replaced by 0 with probability `rate`,
    so that its vector is learned too, and the network relies less on rare categories. `n_levels` has one number for
    each of the `columns`.
    """

    n_in: Annotated[int, "an integer >= 1"]
    columns: tuple[int, ...]
    n_levels: tuple[int, ...]
    n_out: Annotated[int, "an integer >= 1"] = 4
    rate: Annotated[float, "in [0, 1)"] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "columns", _as_columns(self.columns, self.n_in))
        object.__setattr__(self, "n_levels", tuple(self.n_levels))
        for n in self.n_levels:
            require_integer(n, "n_levels", 1)
        require(len(self.n_levels) == len(self.columns), "n_levels", "be one number for each column", self.n_levels)

    @cached_property
    def others(self) -> list[int]:
        """The columns that are passed on."""
        return sorted(set(range(self.n_in)) - set(self.columns))

    @property
    def origins(self) -> list[int]:
        """For each column of Y, the column of X that it comes from."""
        return [*self.others, *(column for column in self.columns for _ in range(self.n_out))]

    @property
    def sizes(self) -> tuple[int, int]:
        return self.n_in, self.n_in + len(self.columns) * (self.n_out - 1)

    @property
    def shapes(self) -> Shapes:
        return {"E": (sum(self.n_levels), self.n_out)}

    def init(self, params: Params, rng: np.random.Generator) -> None:
        params["E"][...] = 0.1 * rng.standard_normal(params["E"].shape)

    @cached_property
    def tables(self) -> tuple[Array, Array]:
        """The first row of each table in E, and the last one counted from it, each (m,)."""
        return np.array([0, *accumulate(self.n_levels)][:-1]), np.array(self.n_levels) - 1

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        starts, lasts = self.tables
        k = np.fmin(np.fmax(X.take(self.columns, axis=-1), 0), lasts)  # 0 for NaN, which others find
        if rng is not None and self.rate:
            k[rng.random(k.shape) < self.rate] = 0
        rows = k.astype(np.intp) + starts
        E = params["E"].take(rows, axis=-2)  # (n, m, n_out)

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            n_others = len(self.others)
            grads["E"][...] = 0
            np.add.at(grads["E"], rows.ravel(), dY[:, n_others:].reshape(-1, self.n_out))
            if not need_dX:
                return dY
            dX = np.zeros_like(X)
            dX[:, self.others] = dY[:, :n_others]
            return dX

        vectors = E.reshape(*E.shape[:-2], rows.shape[1] * self.n_out)
        return _joined(X.take(self.others, axis=1), vectors), backward


@suggest_keywords
@final
@dataclass(frozen=True, repr=False)
class Select(Layer):
    """Y = X[:, columns]: the other columns are left out."""

    n_in: Annotated[int, "an integer >= 1"]
    columns: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "columns", _as_columns(self.columns, self.n_in))

    @property
    def sizes(self) -> tuple[int, int]:
        return self.n_in, len(self.columns)

    def __str__(self) -> str:
        """Name and sizes: columns may be many."""
        return f"Select({self.n_in}, {len(self.columns)} columns)"

    __repr__ = __str__

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            if not need_dX:
                return dY
            dX = np.zeros_like(X)
            dX[:, self.columns] = dY
            return dX

        return X.take(self.columns, axis=-1), backward


@suggest_keywords
@final
@dataclass(frozen=True, repr=False)
class Unclip(Layer):
    """Y = X / sqrt(1 - (X / 3)^2), |X| < 2.87: undoes the smooth clip of an encoder within +-10, for a linear model.

    Numbers of a table come scaled and smoothly clipped to +-3 (`chainrule.data.columns.NumberColumn`).
    """

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        C = np.clip(X, -LARGEST_CLIPPED, LARGEST_CLIPPED)
        slope = 1 / np.sqrt(1 - C * C * X.dtype.type(1 / 9))

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            return dY * slope**3 * (C == X)

        return C * slope, backward


LARGEST_CLIPPED = 2.87
"""Number whose `Unclip` is about 10."""


LAYERS |= {layer.__name__: layer for layer in (PiecewiseLinear, Periodic, Lookup, Select, Unclip)}
"""Every kind of layer by its name, these included: model files, exports and traces look them up there."""
