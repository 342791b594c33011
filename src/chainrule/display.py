"""Display: numbers, tables, objects and text as people read them. Files and JSON keep every digit."""

from collections.abc import Sequence
from importlib import import_module
from inspect import signature
from math import floor, isfinite, isnan, log10

_MAX_FIXED = 1e15
"""From here on float64 no longer resolves tenths, and a number is shown with an exponent."""
_MAX_DECIMALS = 8
_MAX_DIGITS = 15
"""Significant digits that every float64 has."""


def format_number(value: float, *, digits: int = 6, group_from: float = 1_000) -> str:
    """Return a single number: integers in full, others with that many significant digits, thousands separated.

    Numbers of at least 1e15, and those below 0.0001, have an exponent. Smaller numbers than `group_from` have no
    thousands separators.

    Examples
    --------
    >>> [format_number(value) for value in (1490400, -12285.0, 8.314462618, 1234567.8, 0.000012, 6.02214076e23)]
    ['1,490,400', '-12,285', '8.31446', '1,234,568', '1.2e-05', '6.02214e+23']
    """
    size = abs(value)
    if not isfinite(value):
        return _not_finite(value)
    if size >= _MAX_FIXED or 0 < size < 1e-4:
        return f"{value:.{digits - 1}e}" if value != float(f"{value:g}") else f"{value:g}"
    if value == floor(value):
        return _fixed(value, 0, group_from)
    decimals = max(0, digits - 1 - _exponent(size))
    text = _fixed(value, decimals, group_from)
    return text.rstrip("0").rstrip(".") if decimals else text


def format_numbers(values: Sequence[float], width: float, digits: int = 3) -> list[str]:
    """Return numbers that belong together, such as a score and the ends of its interval, to a common decimal place.

    The place is the last of the first `digits` digits of `width`: the width of the interval, or a standard deviation.
    What is smaller is noise. Without a width that is finite and > 0, each number is formatted on its own.

    Examples
    --------
    >>> format_numbers([911943.7, 770238.3, 1049977.0], width=1049977.0 - 770238.3)
    ['912,000', '770,000', '1,050,000']
    >>> format_numbers([0.98529, 0.96172, 1.0], width=1.0 - 0.96172)
    ['0.9853', '0.9617', '1.0000']
    """
    if not (isfinite(width) and width > 0):
        return [format_number(value) for value in values]
    largest = max((abs(value) for value in values if isfinite(value)), default=0.0)
    decimals = digits - 1 - _exponent(width)
    if largest:  # an interval may be narrower than what float64 resolves
        decimals = min(decimals, _MAX_DIGITS - 1 - _exponent(largest))
    return [_to_place(value, decimals) for value in values]


def _to_place(value: float, decimals: int) -> str:
    """Return a number rounded to a decimal place, which is negative for tens, hundreds and so on."""
    if not isfinite(value):
        return _not_finite(value)
    if abs(value) >= _MAX_FIXED or decimals > _MAX_DECIMALS:
        digits = 0 if value == 0 else max(0, min(_exponent(abs(value)) + decimals, _MAX_DIGITS - 1))
        return f"{value + 0.0:.{digits}e}"
    return _fixed(round(value, decimals), max(0, decimals), group_from=0)


def _fixed(value: float, decimals: int, group_from: float) -> str:
    text = f"{value:,.{decimals}f}" if abs(value) >= group_from else f"{value:.{decimals}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text  # no negative zero


def _exponent(size: float) -> int:
    """Return the power of ten of a number's first digit."""
    return floor(log10(size))


def _not_finite(value: float) -> str:
    return "nan" if isnan(value) else "infinity" if value > 0 else "-infinity"


def count(n: int, noun: str) -> str:
    """Return a number with its noun: 1 row, 2,000 rows."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def format_duration(seconds: float) -> str:
    """Return a duration in its largest sensible unit.

    Examples
    --------
    >>> [format_duration(seconds) for seconds in (45, 1304, 5400)]
    ['45 s', '22 min', '1.5 h']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def printable(text: str) -> str:
    """Return text with control characters escaped: a table may contain some, and a terminal would obey them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def aligned(rows: Sequence[Sequence[str]], widths: Sequence[int] = ()) -> list[str]:
    """Return rows of texts in columns, each at least as wide as given: the first to the left, the others to the right.

    There are two spaces between any two columns.
    """
    least = [*widths, *[0] * (max(map(len, rows), default=0) - len(widths))]
    widths = [max(width, *(len(row[k]) for row in rows)) for k, width in enumerate(least)]
    return [
        f"  {row[0]:<{widths[0]}}{''.join(f'  {text:>{width}}' for text, width in zip(row[1:], widths[1:]))}".rstrip()
        for row in rows
    ]


def signed_bar(value: float, largest: float, width: int = 10) -> str:
    """Return a bar of a number, to the left of a line if it is negative, else to the right.

    That of the largest absolute value has `width` blocks; all bars have the same number of characters.

    Examples
    --------
    >>> [signed_bar(value, largest=4.0, width=4) for value in (4.0, -2.0)]
    ['    │████', '  ██│    ']
    """
    n = round(width * abs(value) / largest) if largest else 0
    left, right = ("", "\N{FULL BLOCK}" * n)[:: -1 if value < 0 else 1]
    return f"{left:>{width}}\N{BOX DRAWINGS LIGHT VERTICAL}{right:<{width}}"


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a head, a foot and a last column of numbers as text."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join([*map(str.ljust, row[:-1], widths), row[-1].rjust(widths[-1])]) for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def as_call(self: object) -> str:
    """Return an object as the call that makes it, for `__repr__`: the arguments it has as attributes."""
    arguments = signature(type(self)).parameters
    given = ", ".join(f"{name}={getattr(self, name)!r}" for name in arguments if hasattr(self, name))
    return f"{type(self).__name__}({given})"


class Shown:
    """Has an HTML form, which `chainrule.notebook` writes, so that importing this costs nothing."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        html: str = import_module("chainrule.notebook").to_html(self)
        return html
