"""Finite differences: the derivative of a function along a direction, to compare another one with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chainrule.arrays import Array

STEPS = (1e-5, 1e-6, 1e-7)
"""Lengths of the step e, tried in order until one agrees: a longer one may step across a kink."""


@dataclass(frozen=True)
class Comparison:
    """One derivative computed twice: by backpropagation and by finite differences."""

    name: str
    backpropagation: float
    finite_difference: float
    error: float
    """|difference| / the larger of the two, minus what rounding explains; 0 at a kink if the gradient lies between the
    one-sided derivatives."""
    kink: bool = False

    def __str__(self) -> str:
        line = f"{self.name:<24}{self.backpropagation:>20.10g}{self.finite_difference:>20.10g}{self.error:>12.1e}"
        return line + ("  kink" if self.kink else "")


def compare_along(
    direction: Array,
    name: str,
    value_at: Callable[[Array], float],
    theta: Array,
    value: float,
    derivative: float,
    tolerance: float,
) -> Comparison:
    """Compare `derivative`, that of the loss along `direction`, with central differences."""
    for step in STEPS:
        above, below = value_at(theta + step * direction), value_at(theta - step * direction)
        numeric = (above - below) / (2 * step)
        # What rounding the two losses to 16 digits can do to their difference.
        noise = 10 * np.finfo(np.float64).eps * max(abs(above), abs(below)) / step
        error = abs(derivative - numeric) / (max(abs(derivative), abs(numeric)) + noise / tolerance or 1)
        if error <= tolerance:
            return Comparison(name, derivative, numeric, error)
    left, right = sorted([(value - below) / step, (above - value) / step])
    bent = right - left > 1e-4 * max(abs(left), abs(right)) + 4 * noise
    if bent and left - 2 * noise <= derivative <= right + 2 * noise:
        return Comparison(name, derivative, numeric, 0.0, kink=True)
    return Comparison(name, derivative, numeric, error)


def unit(rng: np.random.Generator, size: int) -> Array:
    """Return a random vector of length 1."""
    vector = rng.standard_normal(size)
    return vector / np.linalg.norm(vector)


def embed(size: int, place: slice | int, values: Array | float) -> Array:
    """Return a vector of zeros with `values` at `place`."""
    vector = np.zeros(size)
    vector[place] = values
    return vector
