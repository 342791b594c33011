"""Synthetic tables: cells drawn from the statistics that an encoder keeps of its columns, where no rows are at hand.

Numbers are distributed around each column's center at its scale, dates likewise, and some are missing. Of a categorical
column, every category, an unseen one and a missing one are equally frequent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import numpy as np

from chainrule.data.columns import Column
from chainrule.data.features import SmoothClip, categories_of

DECIMALS = 3
"""Digits of raw numbers after the point: more would only make the files longer that contain them."""


def synthetic_table(columns: Sequence[Column], n: int, rng: np.random.Generator) -> dict[str, list[Any]]:
    """Return n cells for each of the columns, None where missing."""
    return {column.name: CELLS[column.source](column, n, rng) for column in columns}


def _spread(column: Column) -> tuple[float, float]:
    """Return the center of a column's numbers or days in training, and the reciprocal of their spread."""
    scaled = (of for of in column.features if isinstance(of, SmoothClip) and of.part in ("", "days"))
    return next(((of.center, of.scale) for of in scaled), (0.0, 1.0))


def _numbers(column: Column, n: int, rng: np.random.Generator) -> list[float | None]:
    """Draw numbers around the column's center at its scale; about one in eight is missing, and one is a sentinel."""
    center, scale = _spread(column)
    with np.errstate(over="ignore"):
        drawn = center + rng.normal(size=n) / scale
        limit = float(np.finfo(np.float64).max)
        values = np.clip(drawn, -limit, limit).tolist()
    values[: len(column.sentinels)] = column.sentinels
    return [None if missing else value for value, missing in zip(values, rng.random(n) < 1 / 8)]


def _categories(column: Column, n: int, rng: np.random.Generator) -> list[str | None]:
    """Return every category, an unseen one and a missing one, repeated to n cells in random order.

    Of more than n - 2 categories, every second one is returned, or every third one, and so on.
    """
    categories = categories_of(column) or []
    categories = categories[:: ceil(len(categories) / (n - 2))]
    unseen = "unseen"
    while unseen in categories:
        unseen += "?"
    cells = [*categories, unseen, None]
    return [cells[i % len(cells)] for i in rng.permutation(n)]


_EARLIEST, _LATEST = -70 * 365.25, 130 * 365.25
"""Range of the dates in days since 1970: 1900 to 2100."""


def _dates(column: Column, n: int, rng: np.random.Generator) -> list[str | None]:
    """Draw dates as ISO text, with a time of day if the column uses it; about one in eight is missing."""
    center, scale = _spread(column)
    days = np.clip(center + rng.normal(size=n) / scale, _EARLIEST, _LATEST)
    days = np.rint(days * 86400) / 86400
    length = 19 if any(feature.part == "hour" for feature in column.features) else 10
    texts = [(datetime(1970, 1, 1) + timedelta(days=day)).isoformat()[:length] for day in days.tolist()]
    return [None if missing else text for text, missing in zip(texts, rng.random(n) < 1 / 8)]


CELLS: dict[str, Callable[[Column, int, np.random.Generator], list[Any]]] = {
    "numbers": _numbers,
    "X": lambda column, n, rng: np.round(rng.normal(size=n), DECIMALS).tolist(),
    "categories": _categories,
    "dates": _dates,
}
