"""Words for numbers, in sentences."""

from chainrule.display import format_number


def percent(fraction: float) -> str:
    """Return a fraction as 4%, 0.4% or less than 0.1%."""
    if 0 < fraction < 0.001:
        return "less than 0.1%"
    if 0.99 < fraction < 1 or 0 < fraction < 0.01:
        return f"{fraction:.1%}" if fraction < 0.9995 else "more than 99.9%"
    return f"{fraction:.0%}"


def short(value: float) -> str:
    """Return a number with three significant digits."""
    return format_number(float(f"{value:.3g}"), group_from=10_000)


def joined(words: list[str]) -> str:
    """Return words as an enumeration: a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
