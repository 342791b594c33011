"""Cells and rows: what a row of a table is to the networks, exactly as `chainrule.data` reads and encodes it."""

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
    """Tell whether a cell is None, NaN, NaT or the empty string."""
    try:
        return value is None or bool(value != value) or (isinstance(value, str) and value == "")
    except TypeError:
        return True


def to_text(value: Any) -> str:
    """Return what a cell is called as a category: 3 and 3.0 are both "3"."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def spelling(text: str) -> str:
    """Return the one way to write a category that files and types write in several: 01 and 1.0 are "1", true "True"."""
    if text.lower() in ("true", "false"):
        return text.capitalize()
    return to_text(float(text)) if re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?", text) else text


def place_level(levels: list[str], value: Any) -> int:
    """Return the position of a cell's level, or of the only one that is spelled like it; -1 where there is none."""
    if is_missing(value):
        return -1
    text = to_text(value)
    if text in levels:
        return levels.index(text)
    alike = [k for k, level in enumerate(levels) if spelling(level) == spelling(text)]
    return alike[0] if len(alike) == 1 else -1


def to_number(value: Any) -> float:
    """Return a cell as a number, NaN if it is missing."""
    if is_missing(value):
        return math.nan
    if not isinstance(value, str):
        return float(value)
    if value.strip().lower() in MISSING_WORDS:
        return math.nan
    if "_" in value:
        raise ValueError("digits joined by _ are a name")
    return float(value)


def to_date(value: Any) -> datetime | None:
    """Return a cell as a time in UTC, None if it is missing; text is a date in ISO 8601's long form."""
    if is_missing(value):
        return None
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in MISSING_WORDS:
            return None
        found = ISO_DATE.fullmatch(text)
        if not found:
            raise ValueError("it is no ISO date")
        year, month, day, hour, minute, second, fraction, sign, hours, minutes = found.groups()
        micros = int((fraction or "0").ljust(6, "0")[:6])
        value = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micros)
        if sign:
            ahead_of_utc = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
            value = value.replace(tzinfo=timezone(ahead_of_utc))
    elif type(value).__name__ == "datetime64":
        value = value.astype("M8[us]").item()
    elif hasattr(value, "to_timestamp"):  # a period of pandas, which is its beginning
        value = value.to_timestamp()
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(timezone.utc).replace(tzinfo=None)
    if not isinstance(value, date):
        raise TypeError("it is no date")
    return datetime(value.year, value.month, value.day)


def smooth_clip(x: float, centre: float, scale: float) -> float:
    """Return z / sqrt(1 + (z / 3)^2) with z = (x - centre) * scale."""
    z = max(-1e6, min(1e6, (x - centre) * scale))
    return z / math.sqrt(1 + (z / 3) ** 2)


def encode_number(column: Column, value: Any) -> list[float]:
    """Return the encoded columns of a number: clipped, whether missing, its ramps."""
    x = to_number(value)
    if math.isinf(x):
        raise OverflowError("it is not finite")
    edges, missing = column["edges"], math.isnan(x)
    ramps = [
        0.0 if missing else max(0.0, min(1.0, (x / 2 - low / 2) / (high / 2 - low / 2)))
        for low, high in zip(edges, edges[1:])
    ]
    clipped = 0.0 if missing else smooth_clip(x, column["center"], column["scale"])
    return [clipped, *([float(missing)] if column["indicator"] else []), *ramps]


def take_raw(column: Column, value: Any) -> list[float]:
    """Return a number as it is."""
    x = to_number(value)
    if not math.isfinite(x):
        raise ValueError("it is missing or not finite")
    return [x]


def encode_date(column: Column, value: Any) -> list[float]:
    """Return the encoded columns of a date: elapsed days, year, and month, weekday and hour as points on a circle."""
    known = to_date(value)
    moment = EPOCH if known is None else known
    elapsed = (moment - EPOCH) // timedelta(microseconds=1)
    said = {"month": moment.month - 1, "weekday": (elapsed // DAY + 3) % 7, "hour": elapsed % DAY / (DAY / 24)}
    encoded = []
    for part in column["parts"]:
        if part in PERIODS:
            angle = said[part] * (2 * math.pi / PERIODS[part])
            encoded += [math.sin(angle), math.cos(angle)]
        else:
            x = elapsed / DAY if part == "days" else moment.year
            encoded.append(smooth_clip(x, column[part + "_center"], column[part + "_scale"]))
    if known is None:
        encoded = [0.0] * len(encoded)
    return encoded + ([float(known is None)] if column["indicator"] else [])


def encode_category(column: Column, value: Any) -> list[float]:
    """Return the encoded columns of a category: 1 for its level; two levels share one column, -1 and +1."""
    place = place_level(column["categories"], value)
    if len(column["categories"]) == 2:
        return [{0: -1.0, 1: 1.0}.get(place, 0.0)]
    return [float(place == k) for k in range(len(column["categories"]))]


ENCODED = {
    "number": (encode_number, "finite numbers"),
    "raw": (take_raw, "a finite number in every row"),
    "date": (encode_date, "dates such as 2024-03-01"),
    "category": (encode_category, "categories"),
}


def encode(columns: list[Column], rows: list[dict[str, Any]]) -> list[array[float]]:
    """Return each row, a dict, as the single-precision numbers that the networks take."""
    for row in rows:
        if not hasattr(row, "get"):
            raise ValueError(f"a row must be a dict of its cells, got {row!r:.60}")
    for column in columns:
        if rows and not any(column["name"] in row for row in rows):
            raise ValueError(f"the rows have no column {column['name']!r}; they have {', '.join(map(str, rows[0]))}")
    encoded = []
    for i, row in enumerate(rows):
        numbers = array("f")
        for column in columns:
            read, kind = ENCODED[column["kind"]]
            value = row.get(column["name"])
            try:
                numbers.extend(read(column, value))
            except (TypeError, ValueError, OverflowError):
                told = f"column {column['name']!r} must hold {kind}, however row {i + 1} holds {value!r}"
                raise ValueError(told) from None
        encoded.append(numbers)
    return encoded
