"""Rows on disk: encoded rows with their targets in a temporary file, in an order that is as good as shuffled.

The file consists of buckets, each of which fits into memory. Every row goes to a random bucket, so that a bucket is a
random subset of the table, also of a sorted one. An epoch reads the buckets in a random order, and shuffles each.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from threading import Lock
from typing import final
from weakref import finalize
from zlib import crc32

import numpy as np

from chainrule.arrays import Array, as_generator

Path = str | os.PathLike[str]


@final
class RowFile:
    """Rows of encoded columns X, the values to predict and weights, in buckets of random rows.

    Parameters
    ----------
    folder : path
        Where the file is created. It has no name there, so that nothing of it is left when the process ends.
    n_rows, n_columns : int
        The most rows that will be appended, and the columns of X.
    bucket_bytes : int
        About the size of a bucket.
    weighted : bool
        Whether the rows have weights.
    seed : int
        Decides which rows are in which bucket.

    Raises
    ------
    OSError
        If there is not enough space in the folder.
    """

    def __init__(
        self, folder: Path, n_rows: int, n_columns: int, bucket_bytes: int, weighted: bool = False, seed: int = 0
    ) -> None:
        self.n_columns, self.weighted = n_columns, weighted
        self.row_bytes = 4 * n_columns + 8 + 8 * weighted
        n_bytes = n_rows * self.row_bytes
        free = shutil.disk_usage(folder).free
        if n_bytes > free:
            fault = f"the encoded rows take {n_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
            raise OSError(f"{os.fspath(folder)} cannot hold the table: {fault}")
        n_buckets = max(1, -(-n_bytes // bucket_bytes))
        ends = np.arange(n_buckets + 1) * n_rows // n_buckets
        self.capacities, self.starts = np.diff(ends), ends[:-1]
        self.filled = np.zeros(n_buckets, np.int64)
        self.rng, self.checksum, self.lock = as_generator(seed), 0, Lock()
        self.ends = np.array([np.inf, -np.inf])
        self.folder = os.fspath(folder)
        self.file = TemporaryFile(dir=folder, prefix="chainrule-", buffering=0)  # noqa: SIM115 # open as long as the object
        finalize(self, self.file.close)

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.filled.sum())

    def __repr__(self) -> str:
        return f"RowFile({len(self):,} rows of {self.n_columns} columns, {self.checksum:08x})"

    @property
    def sizes(self) -> list[int]:
        """The number of rows in each bucket."""
        return self.filled.tolist()

    def append(self, X: Array, values: Array, weight: Array | None = None) -> None:
        """Write rows X (n, n_columns) with the values to predict (n,), numbers, and weights (n,) to random buckets."""
        arrays = self._parts(X, values, weight)
        for array in arrays:
            self.checksum = crc32(array.data, self.checksum)
        self.ends = np.array([min(self.ends[0], values.min()), max(self.ends[1], values.max())])
        counts = self.rng.multivariate_hypergeometric(self.capacities - self.filled, len(X), method="marginals")
        order, stop = self.rng.permutation(len(X)), 0
        for k in np.flatnonzero(counts).tolist():
            rows, stop = order[stop : stop + counts[k]], stop + int(counts[k])
            for offset, array in zip(self._offsets(k), arrays):
                self._write(offset + int(self.filled[k]) * array.strides[0], array[rows])
            self.filled[k] += len(rows)

    def _parts(self, X: Array, values: Array, weight: Array | None) -> list[Array]:
        parts: list[Array] = [np.ascontiguousarray(X, np.float32), np.ascontiguousarray(values, np.float64)]
        return parts if weight is None else [*parts, np.ascontiguousarray(weight, np.float64)]

    def _offsets(self, bucket: int) -> Iterator[int]:
        """Yield where in the file the bucket's X, values and weights begin."""
        offset, capacity = int(self.starts[bucket]) * self.row_bytes, int(self.capacities[bucket])
        for item in (4 * self.n_columns, 8, 8)[: 2 + self.weighted]:
            yield offset
            offset += item * capacity

    def _write(self, offset: int, array: Array) -> None:
        try:
            with self.lock:
                self.file.seek(offset)
                left = array.data.cast("B")
                while left:
                    left = left[self.file.write(left) :]
        except OSError as error:
            raise OSError(error.errno, f"{self.folder} cannot hold the encoded rows: {error.strerror}") from None

    def buffers(self) -> list[Array]:
        """Return arrays that hold X, values and weights of any bucket."""
        n = int(self.capacities.max())
        return [np.empty((n, self.n_columns), np.float32), *(np.empty(n) for _ in range(1 + self.weighted))]

    def read(self, bucket: int, buffers: list[Array]) -> list[Array]:
        """Return X, values and weights of a bucket's rows, read into buffers."""
        arrays = [buffer[: self.filled[bucket]] for buffer in buffers]
        for offset, array in zip(self._offsets(bucket), arrays):
            with self.lock:
                self.file.seek(offset)
                left = array.data.cast("B") if array.size else memoryview(b"")
                while left:
                    left = left[self.file.readinto(left) :]
        return arrays

    def encoded(self, encode: Callable[[Array], Array]) -> EncodedRows:
        """Return the rows with their values as the loss takes them."""
        return EncodedRows(self, encode)


@final
@dataclass(frozen=True)
class EncodedRows:
    """The rows of a file for training; `encode` turns values into what the loss takes."""

    file: RowFile
    encode: Callable[[Array], Array]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.file)

    @property
    def sizes(self) -> Sequence[int]:
        """The number of rows in each part."""
        return self.file.sizes

    def windows(self, rng: np.random.Generator | None) -> Iterator[tuple[Array, Array, Array | None]]:
        """Yield X, encoded targets and weights of one bucket after the other, each in the memory of the one before."""
        n, buffers = len(self.sizes), self.file.buffers()
        for bucket in range(n) if rng is None else rng.permutation(n).tolist():
            X, values, *weight = self.file.read(bucket, buffers)
            yield X, self.encode(values), weight[0] if weight else None

    def __repr__(self) -> str:
        return repr(self.file)
