"""The background: a sample of encoded training rows, with which explanations compare the rows that they explain."""

from __future__ import annotations

import numpy as np

from chainrule.arrays import Array, as_generator

N_ROWS = 64
"""Rows of a sample. They take 256 bytes per encoded column, half of what one layer of 128 units does. The noise that
they add to a baseline is less than an eighth of the standard deviation of the predictions."""


def background_rows(X: Array, y: Array, weight: Array | None = None, seed: int = 0) -> Array:
    """Return a sample (at most 64, n_in) of rows X (n, n_in), evenly spaced by targets y (n,) or (n, n_out).

    Of several outputs the first one counts. With weights (n,), a row is as probable as its weight. The mean prediction
    of the sample is then close to that of all rows, also for a rare class.
    """
    n = len(X)
    if n <= N_ROWS and weight is None:
        return X.copy()
    order = as_generator(seed).permutation(n)
    order = order[np.argsort(y.reshape(n, -1)[order, 0], kind="stable")]
    mass = np.cumsum(np.ones(n) if weight is None else weight[order])
    places = np.searchsorted(mass, (np.arange(N_ROWS) + 0.5) / N_ROWS * mass[-1])
    return X[order[np.minimum(places, n - 1)]]
