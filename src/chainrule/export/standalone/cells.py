"""Preprocessing: rows of raw cells are encoded exactly as in `chainrule.data`."""

from __future__ import annotations

import math
from array import array
from datetime import datetime, timedelta
from typing import Any, Callable, Dict

from chainrule.data.formats import Categories, DateFormat, NumberFormat, to_date, to_number

Column = Dict[str, Any]
Parts = Dict[str, float]

DAY = 86400000000  # microseconds


# The parts of a cell, NaN where missing.


def number_parts(column: Column, value: Any) -> Parts:
    """Return the number; a raw one must not be missing."""
    x = to_number(value, column["format"])
    if math.isinf(x) or (column["source"] == "X" and math.isnan(x)):
        raise ValueError("missing or not finite")
    return {"": x}


def date_parts(column: Column, value: Any) -> Parts:
    """Return the days since 1970, and the calendar and clock fields, of a date."""
    moment = to_date(value, column["format"])
    if moment is None:
        return dict.fromkeys(("days", "year", "month", "weekday", "hour"), math.nan)
    elapsed = (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    weekday, hour = (elapsed // DAY + 3) % 7, elapsed % DAY / (DAY / 24)
    month = moment.month - 1
    return {"days": elapsed / DAY, "year": moment.year, "month": month, "weekday": weekday, "hour": hour}


def category_parts(column: Column, value: Any) -> Parts:
    """Return the index of a category, NaN if it is missing or unknown."""
    index = column["index"].index(value)
    return {"": index if index >= 0 else math.nan}


READERS = {
    "numbers": (number_parts, "a finite number"),
    "X": (number_parts, "a finite number"),
    "dates": (date_parts, "a date such as 2024-03-01"),
    "categories": (category_parts, "a category"),
}


# The features of a part that is not missing.


def smooth_clip(x: float, center: float, scale: float) -> list[float]:
    """Return z / sqrt(1 + (z / 3)^2) with z = (x - center) * scale."""
    z = max(-1e6, min(1e6, (x - center) * scale))
    return [z / math.sqrt(1 + (z / 3) ** 2)]


def ramps(x: float, edges: list[float]) -> list[float]:
    """Return clip((x - low) / (high - low), 0, 1) for each pair of neighboring edges."""
    return [max(0.0, min(1.0, (x / 2 - low / 2) / (high / 2 - low / 2))) for low, high in zip(edges, edges[1:])]


def levels(x: float, categories: list[str]) -> list[float]:
    """Return the one-hot encoding of a category; two categories share one column of -1 and +1."""
    return [2.0 * x - 1] if len(categories) == 2 else [float(x == k) for k in range(len(categories))]


def wave(x: float, period: float) -> list[float]:
    """Return the sine and cosine of 2 pi x / period."""
    angle = x * (2 * math.pi / period)
    return [math.sin(angle), math.cos(angle)]


FEATURES: Dict[str, Callable[..., list[float]]] = {
    "Value": lambda x: [x],
    "SmoothClip": smooth_clip,
    "Ramps": ramps,
    "Missing": lambda x: [0.0],
    "Levels": levels,
    "Index": lambda x, categories: [x + 1],
    "Wave": wave,
}


def prepare(column: Column) -> Column:
    """Return a column's description with its format and the index of its categories as objects."""
    names = [
        category for kind, _, _, *rest in column["features"] if kind in ("Levels", "Index") for category in rest[0]
    ]
    written = DateFormat if column["source"] == "dates" else NumberFormat
    return {**column, "format": written(**column["format"]), "index": Categories(names)}


def encode_cell(column: Column, parts: Parts) -> list[float]:
    """Return the features of a cell: 0 for each encoded column of a part that is missing, but 1 for Missing."""
    encoded: list[float] = []
    for kind, part, width, *arguments in column["features"]:
        x = parts[part]
        encoded += [float(kind == "Missing")] * width if math.isnan(x) else FEATURES[kind](x, *arguments)
    return encoded


def as_dicts(columns: list[Column], rows: Any) -> list[dict[str, Any]]:
    """Return rows as dicts of cells: they may be one dict, a DataFrame or, where all columns are raw, a matrix."""
    if hasattr(rows, "to_dicts"):  # polars
        return list(rows.to_dicts())
    if hasattr(rows, "to_dict"):  # pandas
        return list(rows.to_dict("records"))
    rows = [rows] if isinstance(rows, dict) or not hasattr(rows, "__iter__") else list(rows)
    names = [column["name"] for column in columns]
    if all(column["source"] == "X" for column in columns):
        for row in rows:
            if not hasattr(row, "get") and len(row) != len(names):
                raise ValueError(f"each row must have {len(names)} values, got {len(row)}")
        return [row if hasattr(row, "get") else dict(zip(names, row)) for row in rows]
    for row in rows:
        if not hasattr(row, "get"):
            raise ValueError(f"each row must be a dict of cells, got {row!r:.60}")
    return rows


def encode(columns: list[Column], rows: list[dict[str, Any]]) -> list[array[float]]:
    """Return the rows, dicts of cells, as the float32 columns that the networks take.

    `columns` are as `prepare` returns them.
    """
    missing = [column["name"] for column in columns if rows and not any(column["name"] in row for row in rows)]
    if missing:
        subject = f"column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}"
        verb, available = "are" if len(missing) > 1 else "is", ", ".join(map(repr, rows[0]))
        raise ValueError(f"{subject} {verb} missing from the table, which has {available}")
    encoded = []
    for i, row in enumerate(rows):
        features = array("f")
        for column in columns:
            read, expected = READERS[column["source"]]
            value = row.get(column["name"])
            try:
                features.extend(encode_cell(column, read(column, value)))
            except (TypeError, ValueError, OverflowError):
                message = f"column {column['name']!r}, row {i + 1}: expected {expected}, got {value!r}"
                raise ValueError(message) from None
        encoded.append(features)
    return encoded
