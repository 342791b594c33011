"""Features: the few functions of a cell that every column is lowered to, and the encoding of a table by them.

A cell becomes numbers first, NaN where missing, each a *part* of the cell: the number itself, the days and the calendar
fields of a date, the index of a category. A feature is a function of one part that fills one or several columns of the
encoded matrix. The encoder computes the features of one kind together here, for all columns of a table; the exporters
print them. A missing cell is 0 in every feature but `Missing`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np

from chainrule.arrays import Array


class Feature(ABC):
    """Base class. A new feature is a frozen dataclass, with an entry in ENCODERS and in the table of each exporter."""

    part: str

    @property
    def labels(self) -> list[str]:
        """What follows the column's name in the name of each encoded column."""
        return [f" {self.part}" if self.part else ""]

    @property
    def width(self) -> int:
        """Number of encoded columns."""
        return 1


@final
@dataclass(frozen=True)
class Value(Feature):
    """x."""

    part: str = ""


@final
@dataclass(frozen=True)
class SmoothClip(Feature):
    """z / sqrt(1 + (z / 3)^2) with z = (x - center) * scale: x scaled, and smoothly clipped to +-3."""

    center: float
    scale: float
    part: str = ""


@final
@dataclass(frozen=True)
class Ramps(Feature):
    """clip((x - low) / (high - low), 0, 1) for each pair of neighboring edges low < high."""

    edges: tuple[float, ...]
    part: str = ""

    @property
    def labels(self) -> list[str]:
        return [f" bin {j}" for j in range(1, len(self.edges))]

    @property
    def width(self) -> int:
        return len(self.edges) - 1


@final
@dataclass(frozen=True)
class Missing(Feature):
    """1 where a number or a date is missing, 0 elsewhere."""

    part: str = ""

    @property
    def labels(self) -> list[str]:
        return [" is missing"]


@final
@dataclass(frozen=True)
class Levels(Feature):
    """1 in the column of the cell's category, 0 elsewhere; of two categories, -1 and +1 in a single column."""

    categories: tuple[str, ...]
    part: str = ""

    @property
    def labels(self) -> list[str]:
        return [f"={category}" for category in self.categories[len(self.categories) == 2 :]]

    @property
    def width(self) -> int:
        return 1 if len(self.categories) == 2 else len(self.categories)


@final
@dataclass(frozen=True)
class Index(Feature):
    """1 + the position of the cell's category, for a table of learned vectors (`chainrule.model.embeddings.Lookup`)."""

    categories: tuple[str, ...]
    part: str = ""


Categorical = Levels | Index
"""The features of a cell's category."""


def categories_of(column: Any) -> list[str] | None:
    """Return the categories that a column's features encode, in order; None if it has none."""
    return next((list(of.categories) for of in column.features if isinstance(of, Categorical)), None)


@final
@dataclass(frozen=True)
class Wave(Feature):
    """sin and cos of 2 pi x / period, for a part of a date that begins again after a period."""

    period: int
    part: str

    @property
    def labels(self) -> list[str]:
        return [f" {self.part} sin", f" {self.part} cos"]

    @property
    def width(self) -> int:
        return 2


# Encoding with NumPy, all features of a kind together. An encoder takes the parts as x (n_features, n), NaN where
# missing, and writes into rows of Z, the transposed matrix (n_encoded, n), which is zero on entry.

Encoder = Callable[[Array, Array], None]


def as_slice(places: Sequence[int] | Array) -> slice | list[int]:
    """Return consecutive places as a slice, which NumPy indexes without a copy; others as a list."""
    first = places[0] if len(places) else 0
    return slice(first, first + len(places)) if list(places) == [*range(first, first + len(places))] else list(places)


def _values(features: Sequence[Value], starts: Array) -> Encoder:
    places = as_slice(starts)

    def encode(x: Array, Z: Array) -> None:
        Z[places] = x

    return encode


def _smooth_clips(features: Sequence[SmoothClip], starts: Array) -> Encoder:
    centers, scales = (np.array([[getattr(f, name)] for f in features]) for name in ("center", "scale"))
    places = as_slice(starts)

    def encode(x: Array, Z: Array) -> None:
        z = x.astype(np.float64)
        with np.errstate(over="ignore"):
            z -= centers
            z *= scales
            z = z.astype(np.float32)
        # Beyond 1e6 the curve is flat to the last bit, and the squares stay finite.
        np.minimum(np.maximum(z, -1e6, out=z), 1e6, out=z)
        root = z * np.float32(1 / 3)
        root *= root
        root += 1
        z /= np.sqrt(root, out=root)
        Z[places] = _zero_where_missing(z)

    return encode


def _ramps(features: Sequence[Ramps], starts: Array) -> Encoder:
    # The difference of two halves cannot overflow.
    bins = [(low / 2, high / 2) for feature in features for low, high in pairwise(feature.edges)]
    lows, highs = np.array(bins).T[:, :, np.newaxis]
    lengths = highs - lows
    widths = [feature.width for feature in features]
    places = as_slice(np.concatenate([np.arange(width) + start for width, start in zip(widths, starts)]))

    def encode(x: Array, Z: Array) -> None:
        position = np.repeat(x.astype(np.float64) / 2, widths, axis=0)
        with np.errstate(over="ignore"):
            position -= lows
            position /= lengths
        np.fmax(0, position, out=position)  # 0 where missing
        Z[places] = np.minimum(position, 1, out=position)

    return encode


def _missing(features: Sequence[Missing], starts: Array) -> Encoder:
    places = as_slice(starts)

    def encode(x: Array, Z: Array) -> None:
        Z[places] = np.isnan(x)

    return encode


def _levels(features: Sequence[Levels], starts: Array) -> Encoder:
    is_pair = np.array([len(feature.categories) == 2 for feature in features])
    pairs, others = np.flatnonzero(is_pair), np.flatnonzero(~is_pair)

    def encode(x: Array, Z: Array) -> None:
        if len(pairs):
            Z[starts[pairs]] = _zero_where_missing(2 * x[pairs] - 1)
        index = x[others]
        columns, rows = np.nonzero(index >= 0)
        Z[starts[others[columns]] + index[columns, rows].astype(np.intp), rows] = 1

    return encode


def _indices(features: Sequence[Index], starts: Array) -> Encoder:
    places = as_slice(starts)

    def encode(x: Array, Z: Array) -> None:
        Z[places] = _zero_where_missing(x + 1)

    return encode


def _waves(features: Sequence[Wave], starts: Array) -> Encoder:
    speeds = np.array([[2 * np.pi / feature.period] for feature in features])

    def encode(x: Array, Z: Array) -> None:
        angle = x * speeds
        Z[starts] = _zero_where_missing(np.sin(angle))
        Z[starts + 1] = _zero_where_missing(np.cos(angle))

    return encode


def _zero_where_missing(Z: Array) -> Array:
    missing = np.isnan(Z)
    if missing.any():
        Z[missing] = 0
    return Z


ENCODERS: dict[type[Feature], Callable[[Any, Array], Encoder]] = {
    Value: _values,
    SmoothClip: _smooth_clips,
    Ramps: _ramps,
    Missing: _missing,
    Levels: _levels,
    Index: _indices,
    Wave: _waves,
}
"""From a kind of feature to the function of several of them, and where each starts in the matrix, to their encoder."""
