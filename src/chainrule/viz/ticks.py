"""Ticks of numbers and dates: as many as fit, with labels that do not overlap."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MaxNLocator, NullLocator

from chainrule.arrays import Array
from chainrule.viz.style import figure_of

_MAX_TICKS = 6
_GAP = 8.0
"""Least distance of two labels, in points."""
_UNITS = {1e9: "G", 1e6: "M"}
_MAX_FIXED, _MIN_FIXED = 1e15, 1e-4
"""Axes of larger or smaller numbers have exponents."""
_TENTHS_FROM, _DECADES_ONLY_FROM = 0.7, 2.5
"""Decades of a logarithmic axis: with fewer, ticks are evenly spaced numbers; from the second, only powers of ten."""


def space_ticks(ax: Axes) -> None:
    """Give numeric and date axes of a finished figure as many ticks as fit, and lay it out; other axes keep theirs."""
    choices = {axis: _choices(axis) for axis in (ax.xaxis, ax.yaxis)}
    crowded = {axis for axis, settings in choices.items() if next(settings, False)}
    figure_of(ax).draw_without_rendering()
    while crowded := {axis for axis in crowded if _overlap(axis) and next(choices[axis], False)}:
        figure_of(ax).draw_without_rendering()


def _choices(axis: Axis) -> Iterator[bool]:
    """Set fewer and fewer ticks, and yield True after each time."""
    locator = axis.get_major_locator()
    if isinstance(locator, AutoDateLocator):
        for n in range(_MAX_TICKS, 1, -1):
            fewer = AutoDateLocator(minticks=1, maxticks=n)  # type: ignore[no-untyped-call]
            axis.set_major_locator(fewer)
            axis.set_major_formatter(ConciseDateFormatter(fewer))  # type: ignore[no-untyped-call]
            yield True
    elif axis.get_scale() == "log" or isinstance(locator, MaxNLocator):
        low, high = sorted(axis.get_view_interval())
        candidates = _log_ticks(low, high) if axis.get_scale() == "log" else _linear_ticks(locator, low, high)
        axis.set_minor_locator(NullLocator())
        for ticks in candidates:
            axis.set_ticks(ticks, tick_labels(ticks))
            yield True


def _linear_ticks(locator: object, low: float, high: float) -> Iterator[Array]:
    """Yield fewer and fewer round numbers within the limits, at least one."""
    assert isinstance(locator, MaxNLocator)
    for n in range(_MAX_TICKS, 0, -1):
        locator.set_params(nbins=n)
        ticks = _within(np.asarray(locator.tick_values(low, high)), low, high)
        if len(ticks):
            yield ticks
            last = ticks
    yield last[:1]


def _log_ticks(low: float, high: float) -> Iterator[Array]:
    """Yield fewer and fewer ticks of a logarithmic axis, at least one: 1, 2 and 5 of each decade, or powers of ten."""
    decades = np.log10(high / low)
    if decades < _TENTHS_FROM:
        yield from _linear_ticks(MaxNLocator(), low, high)
        return
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    if decades < _DECADES_ONLY_FROM:
        yield _within(np.outer(powers, (1, 2, 5)).ravel(), low, high)
    powers = _within(powers, low, high)
    for stride in range(max(1, len(powers) // _MAX_TICKS), len(powers) + 1):
        yield powers[::stride]


def _within(ticks: Array, low: float, high: float) -> Array:
    slack = 1e-9 * (high - low)
    return ticks[(ticks >= low - slack) & (ticks <= high + slack)]


def _overlap(axis: Axis) -> bool:
    """Return whether any two neighboring labels of a drawn axis overlap."""
    boxes = [label.get_window_extent() for label in axis.get_ticklabels() if label.get_text()]
    is_x = axis is axis.axes.xaxis
    gap = _GAP * figure_of(axis.axes).dpi / 72 if is_x else 0.0
    spans = sorted((box.x0, box.x1) if is_x else (box.y0, box.y1) for box in boxes)
    return any(one[1] + gap > other[0] for one, other in pairwise(spans))


def tick_labels(ticks: Sequence[float] | Array) -> list[str]:
    """Return the shortest texts of evenly spaced numbers, or of powers of ten, that tell them apart.

    Examples
    --------
    >>> tick_labels([0, 0.25, 0.5]), tick_labels([0, 5e5, 1e6]), tick_labels([2007, 2008]), tick_labels([0, 2e-9])
    (['0.00', '0.25', '0.50'], ['0', '0.5M', '1.0M'], ['2007', '2008'], ['0', '2e-9'])
    """
    values = np.asarray(ticks, np.float64)
    largest = float(np.abs(values).max(initial=0.0))
    if largest >= _MAX_FIXED or 0 < largest < _MIN_FIXED:
        return [_with_exponent(value, values) for value in values.tolist()]
    if len(values) > 1 and _is_geometric(values):
        return [
            _plain(f"{value:,.15g}" if value >= _MIN_FIXED else _short_exponent(value)) for value in values.tolist()
        ]
    for unit, suffix in _UNITS.items():
        decimals = _decimals(values / unit)
        if largest >= unit and decimals <= 2:
            return [f"{value / unit:.{decimals}f}{suffix}" if value else "0" for value in values.tolist()]
    separator = "," if largest >= 10_000 else ""
    decimals = _decimals(values)
    return [_plain(f"{value:{separator}.{decimals}f}") for value in values.tolist()]


def _is_geometric(values: Array) -> bool:
    """Return whether numbers are not evenly spaced: those of a logarithmic axis."""
    steps = np.diff(values)
    return len(steps) > 1 and values.min() > 0 and bool(steps.max() > 1.5 * steps.min())


def _decimals(values: Array) -> int:
    """Return how many decimals tell the numbers from what they are rounded to."""
    step = np.abs(np.diff(np.unique(values))).min(initial=np.inf)
    tolerance = 1e-3 * min(step, float(np.abs(values).max(initial=0.0)) or 1.0)
    return next((d for d in range(12) if np.abs(np.round(values, d) - values).max(initial=0.0) <= tolerance), 12)


def _with_exponent(value: float, values: Array) -> str:
    """Return a number with an exponent, with digits enough to tell it from the others."""
    if value == 0:
        return "0"
    for digits in range(6):
        rounded = [float(f"{other:.{digits}e}") for other in values]
        if len(set(rounded)) == len(values) and np.allclose(rounded, values, rtol=1e-3, atol=0):
            break
    return _short_exponent(float(f"{value:.{digits}e}"))


def _short_exponent(value: float) -> str:
    mantissa, _, exponent = f"{value:.10e}".partition("e")
    return _plain(f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}")


def _plain(text: str) -> str:
    """Return the text of a number, without the sign of a negative zero."""
    return text.removeprefix("-") if not text.strip("-0.,") else text
