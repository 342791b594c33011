"""Rows that a model was trained on: a sample of their hashes, by which an evaluation on them is recognized.

The sample is by value: it keeps the hashes that are multiples of `modulus`, and of other rows the same multiples are
compared with it. So at most MAX_HASHES hashes stand for a table of any size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.arrays import Array

MAX_HASHES = 256
TRAINING_ROWS = "training_rows"
"""The entry of a predictor's metadata that contains the sample."""
_BLOCK = 65536
"""Rows hashed at once, to bound the memory."""


def sample_rows(X: Array, Y: Array) -> dict[str, Any]:
    """Return a sample of the hashes of encoded rows X (n, n_in) with their encoded targets Y, as plain values."""
    hashes, modulus = np.unique(_hash_rows(X, Y)), 1
    while np.count_nonzero(hashes % modulus == 0) > MAX_HASHES:
        modulus *= 2
    return {"modulus": modulus, "hashes": [f"{value:016x}" for value in hashes[hashes % modulus == 0].tolist()]}


def fraction_seen(sample: dict[str, Any], X: Array, Y: Array) -> float:
    """Return the estimated fraction of rows that are in the sampled table; 0 if none of them is comparable."""
    hashes = _hash_rows(X, Y)
    comparable = hashes[hashes % int(sample["modulus"]) == 0]
    known = np.array([int(value, 16) for value in sample["hashes"]], np.uint64)
    return float(np.isin(comparable, known).mean()) if len(comparable) else 0.0


def _hash_rows(X: Array, Y: Array) -> Array:
    """Return a 64-bit hash (n,) of each row, at a precision that rounding on another machine rarely changes."""
    rows = np.column_stack([X, Y]).astype(np.float16, copy=False) if len(X) <= _BLOCK else None
    if rows is None:
        starts = range(0, len(X), _BLOCK)
        return np.concatenate([_hash_rows(X[i : i + _BLOCK], Y[i : i + _BLOCK]) for i in starts])
    words = (rows + np.float16(0)).view(np.uint16).astype(np.uint64)  # adding 0 makes -0 equal to 0
    factors = np.random.default_rng(0).integers(1, 2**63, words.shape[1], np.uint64) * np.uint64(2) + np.uint64(1)
    hashes = (words * factors).sum(axis=1, dtype=np.uint64)  # modulo 2^64
    hashes ^= hashes >> np.uint64(31)
    hashes *= np.uint64(0x9E3779B97F4A7C15)
    return hashes ^ (hashes >> np.uint64(29))
