"""Preprocessing: rows of raw cells are encoded exactly as in `chainrule.data`."""

from __future__ import annotations

import math
from array import array
from datetime import datetime, timedelta
from typing import Any, Dict

from chainrule.data.formats import Categories, DateFormat, NumberFormat, to_date, to_number

Column = Dict[str, Any]

EPOCH = datetime(1970, 1, 1)
DAY = 86400000000  # microseconds
PERIODS = {"month": 12, "weekday": 7, "hour": 24}


def smooth_clip(x: float, center: float, scale: float) -> float:
    """Return z / sqrt(1 + (z / 3)^2) with z = (x - center) * scale."""
    z = max(-1e6, min(1e6, (x - center) * scale))
    return z / math.sqrt(1 + (z / 3) ** 2)


def encode_number(column: Column, value: Any) -> list[float]:
    """Return the encoded columns of a number: clipped value, missing indicator, bin positions."""
    x = to_number(value, column["format"])
    if math.isinf(x):
        raise OverflowError("not finite")
    edges, missing = column["edges"], math.isnan(x)
    positions = [
        0.0 if missing else max(0.0, min(1.0, (x / 2 - low / 2) / (high / 2 - low / 2)))
        for low, high in zip(edges, edges[1:])
    ]
    clipped = 0.0 if missing else smooth_clip(x, column["center"], column["scale"])
    return [clipped, *([float(missing)] if column["indicator"] else []), *positions]


def encode_raw(column: Column, value: Any) -> list[float]:
    """Return a number unchanged."""
    x = to_number(value)
    if not math.isfinite(x):
        raise ValueError("missing or not finite")
    return [x]


def encode_date(column: Column, value: Any) -> list[float]:
    """Return the encoded columns of a date: days, year, and the sine and cosine of month, weekday and hour."""
    known = to_date(value, column["format"])
    moment = EPOCH if known is None else known
    elapsed = (moment - EPOCH) // timedelta(microseconds=1)
    fields = {"month": moment.month - 1, "weekday": (elapsed // DAY + 3) % 7, "hour": elapsed % DAY / (DAY / 24)}
    encoded = []
    for part in column["parts"]:
        if part in PERIODS:
            angle = fields[part] * (2 * math.pi / PERIODS[part])
            encoded += [math.sin(angle), math.cos(angle)]
        else:
            x = elapsed / DAY if part == "days" else moment.year
            encoded.append(smooth_clip(x, column[part + "_center"], column[part + "_scale"]))
    if known is None:
        encoded = [0.0] * len(encoded)
    return encoded + ([float(known is None)] if column["indicator"] else [])


def encode_category(column: Column, value: Any) -> list[float]:
    """Return the one-hot encoding of a category; two categories share one column of -1 and +1."""
    index = column["index"].index(value)
    if len(column["categories"]) == 2:
        return [{0: -1.0, 1: 1.0}.get(index, 0.0)]
    return [float(index == k) for k in range(len(column["categories"]))]


ENCODERS = {
    "number": (encode_number, "a finite number"),
    "raw": (encode_raw, "a finite number"),
    "date": (encode_date, "a date such as 2024-03-01"),
    "category": (encode_category, "a category"),
}


def prepare(column: Column) -> Column:
    """Return a column's description with its defaults, and its format or the index of its categories as an object."""
    if column["kind"] == "category":
        return {**column, "index": Categories(column["categories"])}
    kinds = {"number": NumberFormat, "date": DateFormat}
    if column["kind"] not in kinds:
        return column
    return {"edges": [], "indicator": False, **column, "format": kinds[column["kind"]](**column.get("format", {}))}


def encode(columns: list[Column], rows: list[dict[str, Any]]) -> list[array[float]]:
    """Return the rows, dicts of cells, as the float32 columns that the networks take.

    `columns` are as `prepare` returns them.
    """
    for row in rows:
        if not hasattr(row, "get"):
            raise ValueError(f"each row must be a dict of cells, got {row!r:.60}")
    missing = [column["name"] for column in columns if rows and not any(column["name"] in row for row in rows)]
    if missing:
        subject = f"column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}"
        verb, available = "are" if len(missing) > 1 else "is", ", ".join(map(repr, rows[0]))
        raise ValueError(f"{subject} {verb} missing from the table, which has {available}")
    encoded = []
    for i, row in enumerate(rows):
        features = array("f")
        for column in columns:
            encode_cell, expected = ENCODERS[column["kind"]]
            value = row.get(column["name"])
            try:
                features.extend(encode_cell(column, value))
            except (TypeError, ValueError, OverflowError):
                message = f"column {column['name']!r}, row {i + 1}: expected {expected}, got {value!r}"
                raise ValueError(message) from None
        encoded.append(features)
    return encoded
