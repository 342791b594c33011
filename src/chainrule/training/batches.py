"""Mini-batches: shuffling rows and gathering them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chainrule.arrays import Array

Batch = tuple[Array, Array, Array | None]


def batches(
    X: Array, y: Array, weight: Array | None, batch_size: int, rng: np.random.Generator | None
) -> Iterator[Batch]:
    """Yield (X, y, weight) of at most `batch_size` rows until every row has been in one batch; the last may be smaller.

    `rng` shuffles the rows; None keeps their order, and the batches are then views. Shuffled rows are gathered into one
    array, which every batch overwrites.
    """
    n = len(X)
    if rng is None:
        for start in range(0, n, batch_size):
            part = slice(start, start + batch_size)
            yield X[part], y[part], None if weight is None else weight[part]
        return
    order = rng.permutation(n)
    gathered = np.empty((min(batch_size, n), X.shape[1]), X.dtype)
    for start in range(0, n, batch_size):
        rows = order[start : start + batch_size]
        # mode="clip" lets NumPy write into `out` without a temporary buffer; every index is valid.
        batch = X.take(rows, axis=0, out=gathered[: len(rows)], mode="clip")
        yield batch, y.take(rows, axis=0), None if weight is None else weight.take(rows)
