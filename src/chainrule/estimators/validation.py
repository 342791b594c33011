"""Held-out rows: splitting them off for early stopping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from chainrule.arrays import Array
from chainrule.training.batches import Batch

Rows = tuple[Any, Array, Array | None]
"""X, dense or sparse; the target matrix Y; and the weights."""


@dataclass(frozen=True)
class Validation:
    """Held-out rows as the engine takes them, and the function that returns their score."""

    rows: Batch
    score: Callable[[], float]


def split_rows(rows: Rows, fraction: float, stratify: bool, random_state: np.random.RandomState) -> tuple[Rows, Rows]:
    """Return the training rows, and a random fraction of the rows for validation, as scikit-learn splits them."""
    X, Y, weight = rows
    parts = [X, Y] if weight is None else [X, Y, weight]
    split = train_test_split(*parts, random_state=random_state, test_size=fraction, stratify=Y if stratify else None)
    training, held_out = tuple(split[0::2]), tuple(split[1::2])
    if held_out[0].shape[0] < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset, "
            f"got {held_out[0].shape[0]} rows"
        )
    if weight is None:
        return (*training, None), (*held_out, None)
    if not (training[2].any() and held_out[2].any()):
        raise ValueError(
            "sample_weight must be > 0 for at least one training row and one validation row, got all zeros in a split "
            f"with validation_fraction={fraction}"
        )
    return training, held_out
