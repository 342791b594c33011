"""Rows on disk: encoded rows with their targets in a temporary file, in an order that is as good as shuffled.

The file consists of buckets, each of which fits into memory. Every row goes to a random bucket, so that a bucket is a
random subset of the table, also of a sorted one. An epoch reads the buckets in a random order, and shuffles each.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from threading import Lock
from typing import Any, final
from weakref import finalize
from zlib import crc32

import numpy as np

from chainrule.arrays import Array, as_generator

Path = str | os.PathLike[str]


@final
class RowFile:
    """Rows of encoded columns X, the values to predict, weights and folds, in buckets of random rows.

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
    n_folds : int
        Number of folds; a row is in one of them or in none.
    seed : int
        Decides which rows are in which bucket.

    Raises
    ------
    OSError
        If there is not enough space in the folder.
    """

    def __init__(
        self,
        folder: Path,
        n_rows: int,
        n_columns: int,
        bucket_bytes: int,
        *,
        weighted: bool = False,
        n_folds: int = 0,
        seed: int = 0,
    ) -> None:
        self.fields = {"X": np.dtype((np.float32, (n_columns,))), "values": np.dtype(np.float64)}
        self.fields |= {"weight": np.dtype(np.float64)} if weighted else {}
        self.fields |= {"fold": np.dtype(np.int32)} if n_folds else {}
        self.row_bytes = sum(dtype.itemsize for dtype in self.fields.values())
        n_bytes = n_rows * self.row_bytes
        free = shutil.disk_usage(folder).free
        if n_bytes > free:
            fault = f"the encoded rows take {n_bytes / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free"
            raise OSError(f"{os.fspath(folder)} cannot hold the table: {fault}")
        n_buckets = max(1, -(-n_bytes // bucket_bytes))
        ends = np.arange(n_buckets + 1) * n_rows // n_buckets
        self.capacities, self.starts = np.diff(ends), ends[:-1]
        self.counts = np.zeros((n_buckets, n_folds + 1), np.int64)
        """Rows in each bucket of each fold, and last of none."""
        self.rng, self.checksum, self.lock = as_generator(seed), 0, Lock()
        self.ends = np.array([np.inf, -np.inf])
        self.folder = os.fspath(folder)
        self.file = TemporaryFile(dir=folder, prefix="chainrule-", buffering=0)  # noqa: SIM115 # open as long as the object
        finalize(self, self.file.close)

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.counts.sum())

    def __repr__(self) -> str:
        return f"RowFile({len(self):,} rows of {self.fields['X'].shape[0]} columns, {self.checksum:08x})"

    def append(self, X: Array, values: Array, weight: Array | None = None, fold: Array | None = None) -> None:
        """Write rows X (n, n_columns) to random buckets.

        They have values to predict (n,), numbers, and where the file has them, weights (n,), and folds (n,) from 0, or
        -1 for none.
        """
        given = {"X": X, "values": values, "weight": weight, "fold": fold}
        arrays = {name: np.ascontiguousarray(given[name], dtype.base) for name, dtype in self.fields.items()}
        for array in arrays.values():
            self.checksum = crc32(array.data, self.checksum)
        self.ends = np.array([min(self.ends[0], values.min()), max(self.ends[1], values.max())])
        filled, n_sets = self.counts.sum(axis=1), self.counts.shape[1]
        of = np.zeros(len(X), np.intp) if fold is None else fold % n_sets  # -1 is the last one
        counts = self.rng.multivariate_hypergeometric(self.capacities - filled, len(X), method="marginals")
        order, stop = self.rng.permutation(len(X)), 0
        for k in np.flatnonzero(counts).tolist():
            rows, stop = order[stop : stop + counts[k]], stop + int(counts[k])
            for name, offset in self._offsets(k).items():
                self._write(offset + int(filled[k]) * self.fields[name].itemsize, arrays[name][rows])
            self.counts[k] += np.bincount(of[rows], minlength=n_sets)

    def _offsets(self, bucket: int) -> dict[str, int]:
        """Return where in the file the bucket's X, values, weights and folds begin."""
        offset, offsets = int(self.starts[bucket]) * self.row_bytes, {}
        for name, dtype in self.fields.items():
            offsets[name] = offset
            offset += dtype.itemsize * int(self.capacities[bucket])
        return offsets

    def _write(self, offset: int, array: Array) -> None:
        try:
            with self.lock:
                self.file.seek(offset)
                left = array.data.cast("B")
                while left:
                    left = left[self.file.write(left) :]
        except OSError as error:
            raise OSError(error.errno, f"{self.folder} cannot hold the encoded rows: {error.strerror}") from None

    def buffers(self) -> dict[str, Array]:
        """Return arrays that hold X, values, weights and folds of any bucket."""
        return {name: np.empty(int(self.capacities.max()), dtype) for name, dtype in self.fields.items()}

    def read(self, bucket: int, buffers: Mapping[str, Array]) -> dict[str, Array]:
        """Return X, values, weights and folds of a bucket's rows, read into buffers."""
        n = int(self.counts[bucket].sum())
        arrays = {name: buffer[:n] for name, buffer in buffers.items()}
        for name, offset in self._offsets(bucket).items():
            with self.lock:
                self.file.seek(offset)
                left = arrays[name].data.cast("B") if arrays[name].size else memoryview(b"")
                while left:
                    left = left[self.file.readinto(left) :]
        return arrays


@final
@dataclass(frozen=True)
class EncodedRows:
    """The rows of a file for training, without those of the fold `without`, which is one that the file has.

    `encode` turns values into what the loss takes.
    """

    file: RowFile
    encode: Callable[[Array], Array]
    without: int | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return sum(self.sizes)

    @property
    def sizes(self) -> Sequence[int]:
        """The number of rows in each part."""
        kept = np.delete(self.file.counts, [] if self.without is None else self.without, axis=1)
        return kept.sum(axis=1).tolist()

    def windows(self, rng: np.random.Generator | None) -> Iterator[tuple[Array, Array, Array | None]]:
        """Yield X, encoded targets and weights of one bucket after the other, each in the memory of the one before."""
        n, buffers = len(self.file.counts), self.file.buffers()
        for bucket in range(n) if rng is None else rng.permutation(n).tolist():
            rows: Mapping[str, Any] = self.file.read(bucket, buffers)
            if self.without is not None:
                kept = rows["fold"] != self.without
                rows = {name: array[kept] for name, array in rows.items()}
            yield rows["X"], self.encode(rows["values"]), rows.get("weight")

    def __repr__(self) -> str:
        return repr(self.file)
