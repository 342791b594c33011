"""Formats: how a single cell is read as a number, a date or a category.

Exported Python files contain this module, so it needs nothing but the standard library and runs on Python 3.8.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from datetime import date, datetime, time, timedelta, timezone
from math import nan
from typing import Any, Callable, Dict, NamedTuple, Sequence, Tuple

MISSING_WORDS = frozenset(
    {"na", "n/a", "nan", "-nan", "null", "none", "nil", "?", "-", ".", "--", "---", "..", "...", "\u2013", "\u2014"}
    | {"#n/a", "#na", "#n/a n/a", "n.a.", "n.a", "<na>", "nat", "(null)", "\\n", "unknown", "missing", "undefined"}
    | {"not available", "not applicable", "no data", "nodata", "#value!", "#div/0!", "#ref!", "#num!", "#name?"}
    | {"#null!", "1.#qnan", "-1.#ind", "k.a.", "(blank)", "(missing)", "(unknown)", "tbd"}
)
"""Spellings of a missing number or date. Elsewhere they are ordinary text: "NA" may be a country."""


# Any cell.


def is_missing(value: Any) -> bool:
    """Return whether a cell is None, NaN, NaT or text without anything but whitespace."""
    try:
        return value is None or bool(value != value) or (isinstance(value, str) and (value == "" or value.isspace()))
    except TypeError:  # pandas.NA has no truth value
        return True


def is_missing_word(text: str) -> bool:
    """Return whether text stands for a missing number or date; see MISSING_WORDS."""
    return text.strip().lower() in MISSING_WORDS


def to_text(value: Any) -> str:
    """Return the name of a cell's category: both 3 and 3.0 are "3"."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


# Numbers.


class NumberFormat(NamedTuple):
    """How the numbers of a column are written; the default is what `float` reads.

    `unit` is a currency, a percent sign or a unit of measurement, before or after the number. `words` stand for missing
    values in addition to MISSING_WORDS, `sentinels` are numbers that do, such as -999.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    words: Tuple[str, ...] = ()
    sentinels: Tuple[float, ...] = ()


PLAIN = NumberFormat()
TRUTH = {"true": 1.0, "false": 0.0}

_CURRENCY = r"(?:US|CA|AU|NZ|HK|MX|SG|[ACRS])?\$|[€£¥₹₽₩₺₴₫฿₪₦¢]"
_CODE = (
    "USD|EUR|GBP|JPY|CNY|CHF|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|INR|BRL|RUB|KRW|MXN|ZAR|TRY|SGD|HKD|"
    "Rs[.]?|kr[.]?|Fr[.]?"
)
_MEASURE = r"[%‰‱]|°\s?[CFK]?|[^\W\d_](?:[^\W\d_]|[./²³°·^% ]){0,14}[23]?"
BEFORE, AFTER = f"{_CURRENCY}|{_CODE}", f"{_CURRENCY}|{_MEASURE}"
"""Patterns of units before and after a number."""


def number_pattern(before: str, after: str) -> str:
    """Return the pattern of a number with separators, a sign of any kind and units that match these patterns."""
    return (
        rf"(?P<open>\()?(?P<sign>[+-]?) ?(?P<before>{before})? ?(?P<minus>-?)"
        rf"(?P<digits>\d+(?:[.,' ]\d+)*[.,]?|[.,]\d+)(?P<exponent>[eE][+-]?\d+)? ?(?P<after>{after})?(?P<close>\))?"
    )


_NUMBER = re.compile(number_pattern(BEFORE, AFTER))


class _WrittenNumber(NamedTuple):
    """The parts of a number in text: sign and exponent as Python writes them, digits with their separators."""

    sign: str
    digits: str
    exponent: str
    unit: str


def split_number(text: str) -> _WrittenNumber | None:
    """Return the parts of a number with separators, a sign of any kind or a unit; None if text is not one.

    Codes such as 007A are none: a number with separators or a unit has no leading zeros.
    """
    plain = " ".join(text.replace("\u2212", "-").replace("\u2019", "'").split())
    match = _NUMBER.fullmatch(plain)
    if not match or bool(match["open"]) != bool(match["close"]) or re.match(r"0[\d ']", match["digits"]):
        return None
    signs = [sign for sign in (match["sign"], match["minus"], "-" if match["open"] else "") if sign]
    if len(signs) > 1:
        return None
    unit = " ".join(part for part in (match["before"], match["after"]) if part)
    return _WrittenNumber("".join(signs), match["digits"], match["exponent"] or "", unit)


def _number_value(parts: _WrittenNumber, decimal: str, thousands: str) -> float:
    """Return the value of a number with these separators; blanks and apostrophes may separate thousands too.

    Raises ValueError if the separators do not stand where they belong.
    """
    whole, _, fraction = parts.digits.partition(decimal)
    separators = set(whole) - set("0123456789")
    if separators:
        separator = separators.pop()
        groups = rf"[1-9]\d{{0,2}}(?:[{separator}]\d{{2,3}})*[{separator}]\d{{3}}"
        if separators or separator not in (" ", "'", thousands) or not re.fullmatch(groups, whole):
            raise ValueError("separators do not group thousands")
    return float(parts.sign + re.sub(r"\D", "", whole) + "." + (fraction or "0") + parts.exponent)


def read_number(value: Any, number_format: NumberFormat = PLAIN) -> float:
    """Return a cell as a number, NaN if it is missing; raise ValueError or TypeError if it is not a number."""
    if not isinstance(value, str):
        return nan if is_missing(value) else float(value)
    if number_format.decimal == "." and number_format.thousands != ".":
        try:
            number = float(value)
        except ValueError:
            pass
        else:
            if "_" in value:
                raise ValueError("float would accept underscores between digits")
            return number
    text = value.strip()
    if not text or text.lower() in MISSING_WORDS or text in number_format.words:
        return nan
    parts = split_number(text)
    if parts is None or parts.unit not in ("", number_format.unit):
        raise ValueError("not a number")
    return _number_value(parts, number_format.decimal, number_format.thousands)


def to_number(value: Any, number_format: NumberFormat = PLAIN) -> float:
    """Return a cell as `read_number` does, "true" as 1 and "false" as 0, and a sentinel as NaN."""
    try:
        number = read_number(value, number_format)
    except ValueError:
        number = TRUTH.get(value.strip().lower(), nan) if isinstance(value, str) else nan
        if number != number:
            raise
    return nan if number_format.sentinels and number in number_format.sentinels else number


# Dates.

ISO_DATE = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?:[T ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"(?:Z|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d))?)?"
)
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?: ?(?P<half>[AaPp])[.]?[Mm][.]?)?"
)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY, _MONTH = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?", r"(?P<month>\d{1,2}|[A-Za-z]{3,9})[.]?"
_YEAR = r"(?P<year>\d{4}|\d\d)"
_BETWEEN = r"(?:[-/.]|,? )"
_WRITTEN_DATES: Dict[str, str] = {
    "year, month, day": rf"(?P<year>\d{{4}}){_BETWEEN}{_MONTH}{_BETWEEN}{_DAY}(?:[T ]{_CLOCK})?",
    "day, month, year": rf"{_DAY}{_BETWEEN}{_MONTH}{_BETWEEN}{_YEAR}(?:,? {_CLOCK})?",
    "month, day, year": rf"{_MONTH}{_BETWEEN}{_DAY}{_BETWEEN}{_YEAR}(?:,? {_CLOCK})?",
    "year, month": r"(?P<year>\d{4})[-/](?P<month>\d\d)",
    "yyyymmdd": r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
    "time of day": _CLOCK,
}
DATE_ORDERS = {"ISO 8601": ISO_DATE, **{name: re.compile(pattern) for name, pattern in _WRITTEN_DATES.items()}}
"""From the name of a way to write dates to its pattern. A time of day is that time on 1970-01-01."""


class DateFormat(NamedTuple):
    """How the dates of a column are written: one of DATE_ORDERS, and words for missing dates beside MISSING_WORDS."""

    order: str = "ISO 8601"
    words: Tuple[str, ...] = ()


ISO = DateFormat()


def to_date(value: Any, date_format: DateFormat = ISO) -> datetime | None:
    """Return a cell as a time in UTC, None if it is missing; raise ValueError or TypeError if it is not a date.

    A date without a time is its midnight; a time without a zone is taken as UTC. Text must be in the extended format of
    ISO 8601, with or without a time (2024-03-01, 2024-03-01 12:30, 2024-03-01T12:30:45Z), or in the given format.
    """
    if is_missing(value):
        return None
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in MISSING_WORDS or text in date_format.words:
            return None
        iso = date_format.order == "ISO 8601" or ISO_DATE.fullmatch(text)
        value = _iso_date(text) if iso else _written_date(text, date_format.order)
    elif type(value).__name__ == "datetime64":
        value = value.astype("M8[us]").item()
    elif hasattr(value, "to_timestamp"):  # a pandas Period, represented by its start
        value = value.to_timestamp()
    elif date_format.order == "time of day" and isinstance(value, time):
        value = datetime.combine(date(1970, 1, 1), value)
    elif date_format.order == "yyyymmdd" and isinstance(value, (int, float)):
        value = _written_date(to_text(value), date_format.order)
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(timezone.utc).replace(tzinfo=None)
    if not isinstance(value, date):
        raise TypeError("not a date")
    return datetime(value.year, value.month, value.day)


def _iso_date(text: str) -> datetime:
    match = ISO_DATE.fullmatch(text)
    if not match:
        raise ValueError("not an ISO 8601 date")
    if sys.version_info >= (3, 11):  # three times as fast as what follows
        return datetime.fromisoformat(text)
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    micros = int((fraction or "0").ljust(6, "0")[:6])
    moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micros)
    if not sign:
        return moment
    utc_offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    return moment.replace(tzinfo=timezone(utc_offset))


def _written_date(text: str, order: str) -> datetime:
    """Return a date in one of DATE_ORDERS but the first. Years of two digits are 1969 to 2068, as in POSIX."""
    match = DATE_ORDERS[order].fullmatch(" ".join(text.split()))
    if not match:
        raise ValueError(f"not written as {order}")
    fields = match.groupdict()
    year, month = fields.get("year", "1970"), fields.get("month", "1")
    if len(year) == 2:
        if month.isdigit() and "-" in text:
            raise ValueError("the year may stand first or last")
        year = f"{20 if int(year) < 69 else 19}{year}"
    number = int(month) if month.isdigit() else MONTHS.index(month[:3].lower()) + 1
    hour = int(fields.get("hour") or 0)
    if fields.get("half"):
        if not 1 <= hour <= 12:
            raise ValueError("hours before noon and after noon are 1 to 12")
        hour = hour % 12 + 12 * (fields["half"] in "pP")
    micros = int((fields.get("fraction") or "0").ljust(6, "0")[:6])
    clock = (hour, int(fields.get("minute") or 0), int(fields.get("second") or 0), micros)
    return datetime(int(year), number, int(fields.get("day", 1)), *clock)


# Categories.


def spelling(text: str) -> str:
    """Return the canonical spelling of a category: "01" and "1.0" become "1", "true" becomes "True"."""
    if text[:1] in "tTfF":
        return text.capitalize() if text.lower() in TRUTH else text
    return (
        to_text(float(text))
        if text[:1] in "+-0123456789" and re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?", text)
        else text
    )


def folded(text: str) -> str:
    """Return the canonical spelling without differences in case, width, composition of characters and whitespace."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return spelling(" ".join(text.split()).casefold())


OPPOSITES = (("False", "True"), ("f", "t"), ("no", "yes"), ("n", "y"), ("off", "on"), ("0", "1"))
"""Pairs of words for false and true, as `folded` spells them."""


_MAX_REMEMBERED = 10_000
"""Number of spellings to remember per column."""


class Categories:
    """Finds the category that a cell names.

    A cell that equals no category matches the one with the same canonical spelling (see `spelling`), else the one that
    is equal when folded (see `folded`), if there is exactly one. Where two categories are words for false and true,
    such as "no" and "yes", other such words match them; 0 and 1 only where there is no third category.
    """

    def __init__(self, categories: Sequence[str]) -> None:
        self.places = {category: i for i, category in enumerate(categories)}
        self.limit = len(categories) + _MAX_REMEMBERED
        self.spelled = self._unique(spelling)
        self.folded = self._unique(folded)
        self.opposites: Dict[str, int] = {}
        pairs = [pair for pair in OPPOSITES if all(self.folded.get(word, -1) >= 0 for word in pair)]
        if len(pairs) == 1 and (len(categories) == 2 or "1" not in pairs[0]):
            truth = [self.folded[word] for word in pairs[0]]
            for pair in OPPOSITES if len(categories) == 2 else OPPOSITES[:-1]:
                self.opposites.update(zip(pair, truth))

    def _unique(self, key: Callable[[str], str]) -> Dict[str, int]:
        """Return the index of the category by its key, -1 where several have the same."""
        indices: Dict[str, int] = {}
        for category, i in self.places.items():
            indices[key(category)] = -1 if key(category) in indices else i
        return indices

    def index(self, value: Any) -> int:
        """Return the index of a cell's category, -1 if it is missing or unknown."""
        text = value if type(value) is str else "" if is_missing(value) else to_text(value)
        place = self.places.get(text)
        if place is None:
            place = self._find(text.strip())
            if len(self.places) < self.limit:
                self.places[text] = place
        return place

    def _find(self, text: str) -> int:
        """Return the index of the category that is equal but for its spelling, -1 if there is none."""
        place = self.spelled.get(spelling(text), -1) if text else -1
        if place >= 0 or not text:
            return place
        key = folded(text)
        place = self.folded.get(key, -1)
        return place if place >= 0 else self.opposites.get(key, -1)

    def is_unknown(self, value: Any) -> bool:
        """Return whether a cell is not missing, and of none of the categories."""
        return self.index(value) < 0 and not is_missing(value)
