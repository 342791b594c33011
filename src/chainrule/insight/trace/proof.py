r"""Verification of a trace: every quantity is recomputed from its sources, every derivative by finite differences.

A trace is a graph in which each quantity is a term of its sources. A derivative can therefore be checked without
the network: perturb a quantity, recompute what depends on it, and observe the loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chainrule.arrays import Array
from chainrule.differences import Comparison, compare_along, embed, unit
from chainrule.insight.trace.quantity import Quantity
from chainrule.nn.gradcheck import JITTER

if TYPE_CHECKING:
    from chainrule.insight.trace.model import Trace

_LINE_TOLERANCE, _DERIVATIVE_TOLERANCE = 1e-9, 1e-5
"""Largest difference of a quantity, relative to its largest value; largest relative error of a derivative."""
_MAX_ENTRIES, _N_DIRECTIONS = 64, 16
"""A derivative is checked entry by entry if it has at most that many, otherwise along random directions."""


@dataclass(frozen=True)
class Line:
    """A recomputed quantity: its largest difference from the trace, and the tolerance."""

    name: str
    difference: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        return f"{self.name:<20}{self.difference:>12.1e}{self.tolerance:>12.1e}{'' if self.ok else '  WRONG'}"


@dataclass(frozen=True)
class Proof:
    """The result of `Trace.verify`; print it.

    Attributes
    ----------
    lines : tuple of Line
        One for each quantity that is computed from others.
    derivatives : tuple of Comparison
        For each derivative of the loss, the direction with the largest error.
    """

    lines: tuple[Line, ...]
    derivatives: tuple[Comparison, ...]

    @property
    def wrong(self) -> tuple[str, ...]:
        """Names of the wrong quantities in the order of the trace: look for the mistake in the first."""
        names = {derivative.name for derivative in self.derivatives if not _agrees(derivative)}
        return tuple(line.name for line in self.lines if not line.ok or line.name in names)

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return not self.wrong

    def __str__(self) -> str:
        if self.ok:
            verdict = (
                f"the trace is correct: {len(self.lines)} lines match their formulas, "
                f"{len(self.derivatives)} derivatives match finite differences"
            )
        else:
            verdict = f"the trace is WRONG in {', '.join(self.wrong)}"
        return "\n".join(
            [
                verdict,
                "",
                f"{'line':<20}{'difference':>12}{'tolerance':>12}",
                *map(str, self.lines),
                "",
                f"{'derivative':<24}{'trace':>20}{'finite difference':>20}{'error':>12}",
                *map(str, self.derivatives),
            ]
        )


def prove(trace: Trace) -> Proof:
    """Recompute every quantity of a trace and check every derivative of the loss."""
    values = {quantity.name: quantity.values for quantity in trace}
    lines = tuple(_recompute(quantity, values) for quantity in trace if quantity.term is not None)
    quantities = [quantity for quantity in trace if quantity.derivative_of]
    derivatives = [_check_derivative(trace, quantity, values) for quantity in quantities]
    if not all(map(_agrees, derivatives)):
        # If several units are exactly at a kink, no finite difference is meaningful: see `check_gradients`.
        nearby = _perturb(trace, values)
        again = [
            derivative if _agrees(derivative) else _check_derivative(trace, quantity, nearby)
            for derivative, quantity in zip(derivatives, quantities)
        ]
        derivatives = [second if _agrees(second) else first for first, second in zip(derivatives, again)]
    return Proof(lines, tuple(derivatives))


def _agrees(derivative: Comparison) -> bool:
    return derivative.error <= _DERIVATIVE_TOLERANCE


def _perturb(trace: Trace, values: Mapping[str, Array]) -> dict[str, Array]:
    """Return all quantities recomputed after a small change of the inputs for which there is a derivative."""
    rng, perturbed = np.random.default_rng(0), dict(values)
    names = {quantity.derivative_of for quantity in trace}
    for quantity in trace:
        if quantity.term is not None:
            perturbed[quantity.name] = quantity.recompute(perturbed)
        elif quantity.name in names:
            perturbed[quantity.name] = quantity.values + JITTER * rng.standard_normal(quantity.shape)
    return perturbed


def _recompute(quantity: Quantity, values: Mapping[str, Array]) -> Line:
    """Compare a quantity with its term."""
    recomputed = quantity.recompute(values)
    if recomputed.shape != quantity.shape:
        return Line(quantity.name, np.inf, 0.0)
    # Rounding errors of the sources matter if these nearly cancel.
    noise = 16 * np.finfo(np.float64).eps * max(float(np.abs(values[name]).max(initial=0)) for name in quantity.sources)
    tolerance = _LINE_TOLERANCE * float(np.abs(quantity.values).max(initial=0)) + float(noise) + quantity.rounding
    return Line(quantity.name, float(np.abs(recomputed - quantity.values).max(initial=0)), tolerance)


def _check_derivative(trace: Trace, derivative: Quantity, values: Mapping[str, Array]) -> Comparison:
    """Compare a derivative of the loss with finite differences at `values`; return the worst direction."""
    point = values[derivative.derivative_of]
    chain = _downstream(trace, derivative.derivative_of)

    def loss_at(moved: Array) -> float:
        now = dict(values)
        now[derivative.derivative_of] = moved.reshape(point.shape)
        for quantity in chain:
            now[quantity.name] = quantity.recompute(now)
        return float(now["C"])

    grad, start = values[derivative.name].ravel(), point.ravel()
    loss = loss_at(start)
    comparisons = [
        compare_along(
            direction,
            derivative.name,
            loss_at,
            start,
            loss,
            float(grad @ direction),
            _DERIVATIVE_TOLERANCE,
        )
        for direction in _directions(start.size)
    ]
    return max(comparisons, key=lambda comparison: comparison.error if np.isfinite(comparison.error) else np.inf)


def _downstream(trace: Trace, name: str) -> list[Quantity]:
    """Return the quantities up to the loss that depend on the given one, in order."""
    affected, chain = {name}, []
    for quantity in trace:
        if affected & set(quantity.sources):
            affected.add(quantity.name)
            chain.append(quantity)
        if quantity.name == "C":
            break
    return chain


def _directions(size: int) -> Iterator[Array]:
    """Yield the axes, or random directions if there are many axes."""
    if size <= _MAX_ENTRIES:
        yield from (embed(size, k, 1.0) for k in range(size))
    else:
        rng = np.random.default_rng(0)
        yield from (unit(rng, size) for _ in range(_N_DIRECTIONS))
