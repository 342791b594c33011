"""Preprocessing: rows of raw cells are read and encoded exactly as in `chainrule.data`."""

from __future__ import annotations

import math
import re
from array import array
from datetime import date, datetime, timedelta, timezone
from typing import Any, Dict

Column = Dict[str, Any]

MISSING_WORDS = {"na", "n/a", "nan", "null", "none", "?", "-", "."}
ISO_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d\d):?(\d\d))?)?"
)
EPOCH = datetime(1970, 1, 1)
DAY = 86400000000  # microseconds
PERIODS = {"month": 12, "weekday": 7, "hour": 24}


def is_missing(value: Any) -> bool:
    """Return whether a cell is None, NaN, NaT or the empty string."""
    try:
        return value is None or bool(value != value) or (isinstance(value, str) and value == "")
    except TypeError:
        return True


def to_text(value: Any) -> str:
    """Return the name of a cell as a category: 3 and 3.0 are both "3"."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def spelling(text: str) -> str:
    """Return the canonical spelling of a category: 01 and 1.0 become "1", true becomes "True"."""
    if text.lower() in ("true", "false"):
        return text.capitalize()
    return to_text(float(text)) if re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?", text) else text


def category_index(categories: list[str], value: Any) -> int:
    """Return the index of a cell's category, or of the only one with the same canonical spelling, or -1."""
    if is_missing(value):
        return -1
    text = to_text(value)
    if text in categories:
        return categories.index(text)
    matches = [k for k, category in enumerate(categories) if spelling(category) == spelling(text)]
    return matches[0] if len(matches) == 1 else -1


def to_number(value: Any) -> float:
    """Return a cell as a float, NaN if it is missing."""
    if is_missing(value):
        return math.nan
    if not isinstance(value, str):
        return float(value)
    if value.strip().lower() in MISSING_WORDS:
        return math.nan
    if "_" in value:
        raise ValueError("underscores between digits are not accepted")
    return float(value)


def to_date(value: Any) -> datetime | None:
    """Return a cell as a datetime in UTC, None if it is missing; text must be in the extended format of ISO 8601."""
    if is_missing(value):
        return None
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in MISSING_WORDS:
            return None
        match = ISO_DATE.fullmatch(text)
        if not match:
            raise ValueError("not an ISO date")
        year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
        micros = int((fraction or "0").ljust(6, "0")[:6])
        value = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micros)
        if sign:
            utc_offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
            value = value.replace(tzinfo=timezone(utc_offset))
    elif type(value).__name__ == "datetime64":
        value = value.astype("M8[us]").item()
    elif hasattr(value, "to_timestamp"):  # a pandas Period, represented by its start
        value = value.to_timestamp()
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(timezone.utc).replace(tzinfo=None)
    if not isinstance(value, date):
        raise TypeError("not a date")
    return datetime(value.year, value.month, value.day)


def smooth_clip(x: float, center: float, scale: float) -> float:
    """Return z / sqrt(1 + (z / 3)^2) with z = (x - center) * scale."""
    z = max(-1e6, min(1e6, (x - center) * scale))
    return z / math.sqrt(1 + (z / 3) ** 2)


def encode_number(column: Column, value: Any) -> list[float]:
    """Return the encoded columns of a number: clipped value, missing indicator, bin positions."""
    x = to_number(value)
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
    known = to_date(value)
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
    index = category_index(column["categories"], value)
    if len(column["categories"]) == 2:
        return [{0: -1.0, 1: 1.0}.get(index, 0.0)]
    return [float(index == k) for k in range(len(column["categories"]))]


ENCODERS = {
    "number": (encode_number, "a finite number"),
    "raw": (encode_raw, "a finite number"),
    "date": (encode_date, "a date such as 2024-03-01"),
    "category": (encode_category, "a category"),
}


def encode(columns: list[Column], rows: list[dict[str, Any]]) -> list[array[float]]:
    """Return the rows, dicts of cells, as the float32 columns that the networks take."""
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
