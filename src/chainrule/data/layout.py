"""The layout: where in the matrix each column's features are, and the encoding of whole tables."""

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np

from chainrule.arrays import Array, all_finite, require
from chainrule.data.cells import BLOCK, plain_numbers
from chainrule.data.columns import Column
from chainrule.data.features import ENCODERS, Encoder, Feature, Index, SmoothClip, as_slice
from chainrule.data.reading import Matrix, rows_from
from chainrule.errors import require_names

BLOCK_CELLS = 2**17
"""Numbers encoded together: a megabyte, which stays in the cache."""
MAX_NAME_CHARS = 100_000_000
"""Limit on the total length of the names of all encoded columns."""


@final
class Layout:
    """The place of each column's features in the matrix: (column, start, end) in `places`.

    A block of rows is read as numbers, one row of an array for each part of each column that a feature uses. Then all
    features of a kind are encoded together, a few calls of NumPy instead of many.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.names = [column.name for column in columns]
        widths = [column.n_features for column in columns]
        n_chars = sum(len(name) * width for name, width in zip(self.names, widths))
        rule = f"have names of at most {MAX_NAME_CHARS:,} characters in total"
        require(n_chars <= MAX_NAME_CHARS, "columns", rule, n_chars)
        *starts, self.n_features = np.cumsum([0, *widths]).tolist()
        self.places = [(c, start, start + width) for c, start, width in zip(columns, starts, widths)]
        self._group_features()
        wide = max(1, self.n_features, self.n_parts)
        self.n_read, self.n_encoded = (max(1, min(BLOCK, k * BLOCK_CELLS // wide)) for k in (32, 1))
        self.all_plain = all(is_plain for _, is_plain, _ in self.reads)
        self.all_raw = all(column.source == "X" for column in columns)
        self.found: tuple[Mapping[str, int], slice | list[int] | None] = {}, None

    def _group_features(self) -> None:
        """Number the parts of all columns, and prepare the encoders, each with the parts that it takes."""
        self.reads: list[tuple[Column, bool, dict[str, int]]] = []
        self.n_parts = 0
        groups: dict[type[Feature], list[tuple[Feature, int, int]]] = {}
        self.numbers: list[int] = []
        self.indices: dict[int, int] = {}
        for column, start, _ in self.places:
            parts: dict[str, int] = {}
            for feature in column.features:
                part = parts.setdefault(feature.part, self.n_parts + len(parts))
                groups.setdefault(type(feature), []).append((feature, part, start))
                self.numbers += [start] if isinstance(feature, SmoothClip) else []
                self.indices |= {start: len(feature.categories) + 1} if isinstance(feature, Index) else {}
                start += feature.width
            self.reads.append((column, column.is_plain, parts))
            self.n_parts += len(parts)
        self.encoders: list[tuple[slice | list[int], Encoder]] = []
        for kind, group in groups.items():
            features, sources, starts = map(list, zip(*group))
            self.encoders.append((as_slice(sources), ENCODERS[kind](features, np.array(starts))))

    def __reduce__(self) -> tuple[type["Layout"], tuple[list[Column]]]:
        return Layout, ([column for column, _, _ in self.places],)

    def find(self, table: Mapping[str, Array]) -> slice | list[int] | None:
        """Return the index of the columns in a matrix; None if it has not all of them, or the table is no matrix.

        Tables that follow each other mostly have the same names: the last ones are kept.
        """
        if not isinstance(table, Matrix):
            return None
        names, places = self.found
        if table.names is not names and table.names != names:
            is_complete = all(name in table.names for name in self.names)
            places = as_slice([table.names[name] for name in self.names]) if is_complete else None
            self.found = table.names, places
        return places

    def require(self, table: Mapping[str, Array]) -> None:
        """Raise a TableError unless the table has every column."""
        if self.find(table) is None:
            require_names(table, self.names)

    def as_given(self, table: Mapping[str, Array]) -> Array | None:
        """Return a matrix's own numbers in float32 if they are their own encoding, else None.

        A matrix that already is float32 is not checked for NaN and infinities: that is left to the caller.
        """
        if not (self.all_raw and isinstance(table, Matrix)):
            return None
        if table.numbers.shape[1] != self.n_features or self.find(table) != slice(0, self.n_features):
            return None
        if table.numbers.dtype == np.float32:
            return table.numbers
        with np.errstate(over="ignore"):
            X = table.numbers.astype(np.float32)
        return X if all_finite(X) else None

    def encode(self, table: Mapping[str, Array], X: Array, first_row: int = 0) -> None:
        """Write the encoding of a table into X, which is zero on entry.

        `first_row` is the index of its first row in a larger table, for error messages.
        """
        for start in range(0, len(X), self.n_read):
            block = X[start : start + self.n_read]
            rows = table if len(block) == len(X) else rows_from(table, start, start + len(block))
            x = self._read(rows, len(block), first_row + start)
            for first in range(0, len(block), self.n_encoded):
                together = slice(first, first + self.n_encoded)
                Z = block[together].T
                for sources, encode in self.encoders:
                    encode(x[sources, together], Z)

    def _read(self, table: Mapping[str, Array], n: int, first_row: int) -> Array:
        """Return all parts of a block of rows as numbers (n_parts, n), NaN where missing."""
        places = self.find(table) if self.all_plain else None
        if isinstance(table, Matrix) and places is not None:
            x = table.numbers[:, places].T
        else:
            x = np.empty((self.n_parts, n))
            for column, is_plain, parts in self.reads:
                cells = table[column.name]
                plain = plain_numbers(cells) if is_plain else None
                if plain is not None:
                    x[parts[""]] = plain
                    continue
                numbers = column.read(cells, first_row)
                for part, place in parts.items():
                    x[place] = numbers[part]
        if not all_finite(x) and np.isinf(x).any():
            for column, _, _ in self.places:
                column.read(table[column.name], first_row)  # raises where plain numbers are not finite
        return x
