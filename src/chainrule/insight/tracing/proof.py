r"""The proof of a trace: every line is found again from its sources, every derivative by finite differences.

A trace is a graph: each quantity knows what it is made of and how. So a derivative can be tried, without any network:
one quantity is moved a little, what depends on it is found again, line by line, and the loss moves with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chainrule.arrays import Array
from chainrule.insight.tracing.quantities import Quantity
from chainrule.nn.differences import Comparison, compare_along, embed, unit

if TYPE_CHECKING:
    from chainrule.insight.trace import Trace

LINE_TOLERANCE, SLOPE_TOLERANCE = 1e-9, 1e-5
"""Largest difference in a line, beside its largest value; largest relative error of a derivative."""
MOST_ENTRIES, DIRECTIONS = 64, 16
"""Up to so many entries of a derivative are tried one by one, more of them along so many random directions."""


@dataclass(frozen=True)
class Line:
    """A line found again: the largest difference, and how large it may be."""

    name: str
    difference: float
    allowed: float

    @property
    def ok(self) -> bool:
        """Whether the line holds."""
        return self.difference <= self.allowed

    def __str__(self) -> str:
        return f"{self.name:<20}{self.difference:>12.1e}{self.allowed:>12.1e}{'' if self.ok else '  WRONG'}"


@dataclass(frozen=True)
class Proof:
    """The result of `Trace.verify`; print it.

    Attributes
    ----------
    lines : tuple of Line
        One for each quantity that is made of others.
    slopes : tuple of Comparison
        For each derivative of the loss, the worst of the directions it was tried along.
    """

    lines: tuple[Line, ...]
    slopes: tuple[Comparison, ...]

    @property
    def wrong(self) -> tuple[str, ...]:
        """Names of the quantities that do not hold, in the order of the trace: the first is where to look."""
        slopes = {slope.name for slope in self.slopes if not slope.error <= SLOPE_TOLERANCE}
        return tuple(line.name for line in self.lines if not line.ok or line.name in slopes)

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.wrong

    def __str__(self) -> str:
        said = f"{len(self.lines)} lines follow from their sources, {len(self.slopes)} derivatives from differences"
        verdict = f"the trace holds: {said}" if self.ok else f"the trace is WRONG in {', '.join(self.wrong)}"
        return "\n".join(
            [
                verdict,
                "",
                f"{'line':<20}{'difference':>12}{'allowed':>12}",
                *map(str, self.lines),
                "",
                f"{'derivative':<24}{'in the trace':>20}{'by differences':>20}{'error':>12}",
                *map(str, self.slopes),
            ]
        )


def prove(trace: Trace) -> Proof:
    """Find every line again, and try every derivative of the loss."""
    values = {quantity.name: quantity.values for quantity in trace}
    lines = tuple(find_again(quantity, values) for quantity in trace if quantity.function is not None)
    derivatives = [quantity for quantity in trace if quantity.derivative_of]
    slopes = [try_derivative(trace, quantity, values) for quantity in derivatives]
    if not all(slope.error <= SLOPE_TOLERANCE for slope in slopes):
        # Several units may stand on their kinks at once, where no slope can be told: see `check_gradients`.
        beside = move(trace, values)
        again = [
            slope if slope.error <= SLOPE_TOLERANCE else try_derivative(trace, quantity, beside)
            for slope, quantity in zip(slopes, derivatives)
        ]
        slopes = [second if second.error <= SLOPE_TOLERANCE else first for first, second in zip(slopes, again)]
    return Proof(lines, tuple(slopes))


def move(trace: Trace, values: Mapping[str, Array]) -> dict[str, Array]:
    """Return what the quantities would be if the given ones that the loss is derived in were a little beside."""
    rng, moved = np.random.default_rng(0), dict(values)
    derived = {quantity.derivative_of for quantity in trace}
    for quantity in trace:
        if quantity.function is not None:
            moved[quantity.name] = quantity.recompute(moved)
        elif quantity.name in derived:
            moved[quantity.name] = quantity.values + BESIDE * rng.standard_normal(quantity.shape)
    return moved


def find_again(quantity: Quantity, values: Mapping[str, Array]) -> Line:
    """Hold a quantity against what follows from its sources."""
    found = quantity.recompute(values)
    if found.shape != quantity.shape:
        return Line(quantity.name, np.inf, 0.0)
    # What rounding the sources to 16 digits can do, where they nearly cancel.
    noise = 16 * np.finfo(np.float64).eps * max(float(np.abs(values[name]).max(initial=0)) for name in quantity.sources)
    allowed = LINE_TOLERANCE * float(np.abs(quantity.values).max(initial=0)) + float(noise) + quantity.rounding
    return Line(quantity.name, float(np.abs(found - quantity.values).max(initial=0)), allowed)


def try_derivative(trace: Trace, derivative: Quantity, values: Mapping[str, Array]) -> Comparison:
    """Hold a derivative of the loss against finite differences, along directions of what it is the derivative in.

    `values` are those of all quantities.
    """
    moved = values[derivative.derivative_of]
    chain = downstream(trace, derivative.derivative_of)

    def value_at(point: Array) -> float:
        now = dict(values)
        now[derivative.derivative_of] = point.reshape(moved.shape)
        for quantity in chain:
            now[quantity.name] = quantity.recompute(now)
        return float(now["C"])

    slope, start = values[derivative.name].ravel(), moved.ravel()
    tried = [
        compare_along(
            direction, derivative.name, value_at, start, value_at(start), float(slope @ direction), SLOPE_TOLERANCE
        )
        for direction in directions(start.size)
    ]
    return max(tried, key=lambda comparison: comparison.error if np.isfinite(comparison.error) else np.inf)


def downstream(trace: Trace, name: str) -> list[Quantity]:
    """Return the quantities up to the loss that depend on the one of that name, in order."""
    moved, chain = {name}, []
    for quantity in trace:
        if moved & set(quantity.sources):
            moved.add(quantity.name)
            chain.append(quantity)
        if quantity.name == "C":
            break
    return chain


def directions(size: int) -> Iterator[Array]:
    """Yield the axes where they are few, else random directions, which see every entry at once."""
    if size <= MOST_ENTRIES:
        yield from (embed(size, k, 1.0) for k in range(size))
    else:
        rng = np.random.default_rng(0)
        yield from (unit(rng, size) for _ in range(DIRECTIONS))
