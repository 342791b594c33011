"""Prove a network's gradient on the user's own configuration, by finite differences in float64.

Along a direction d the loss must change as backpropagation says: grad . d = (L(theta + e d) - L(theta - e d)) / 2e.
Random directions see every parameter at once, then each parameter block has one of its own, so that a wrong derivative
is caught and named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_generator, require
from chainrule.nn.own import require_forms

if TYPE_CHECKING:
    from chainrule.nn.network import Network

Batch = tuple[Array, Array, Array | None]
"""X, y and weights, as `Network.check` returns them."""

STEPS = (1e-5, 1e-6, 1e-7)
"""Lengths of the step e. A shorter one is tried only where a longer one disagrees: it may have stepped over a kink."""
BESIDE = 1e-3
"""How far beside its place a parameter is, one standard deviation, where the check is done again that has failed."""
ENTRIES = 64
"""Entries of a block that fails which are looked at one by one, to name the worst."""


@dataclass(frozen=True)
class Comparison:
    """One derivative found twice: by backpropagation and by finite differences."""

    name: str
    backpropagation: float
    finite_difference: float
    error: float
    """|difference| / larger of the two, less what rounding explains; 0 at a kink when the gradient lies between the
    slopes on its two sides."""
    kink: bool = False

    def __str__(self) -> str:
        line = f"{self.name:<24}{self.backpropagation:>20.10g}{self.finite_difference:>20.10g}{self.error:>12.1e}"
        return line + ("  kink" if self.kink else "")


@dataclass(frozen=True)
class GradientReport:
    """The result of `check_gradients`; print it.

    `entries` is filled only for a block that failed. `beside` says that the loss has kinks where the parameters are, so
    that the gradients were compared a little beside.
    """

    directions: tuple[Comparison, ...]
    blocks: tuple[Comparison, ...]
    entries: tuple[Comparison, ...]
    tolerance: float
    beside: bool = False

    @property
    def worst(self) -> Comparison:
        """The comparison with the largest error, of the smallest part that has been looked at."""
        # NaN counts as the largest of all.
        return max(
            self.entries or self.blocks or self.directions, key=lambda c: c.error if np.isfinite(c.error) else np.inf
        )

    @property
    def max_error(self) -> float:
        """The largest error of all."""
        return float(np.max([c.error for c in (*self.directions, *self.blocks, *self.entries)]))

    @property
    def ok(self) -> bool:
        """Whether every error is within the tolerance."""
        return self.max_error <= self.tolerance

    def __str__(self) -> str:
        worst = self.worst
        if self.ok:
            place = " beside a kink" if self.beside else ""
            verdict = f"gradients agree{place}: largest error {self.max_error:.1e}, tolerance {self.tolerance:.0e}"
        else:
            verdict = (
                f"gradients are WRONG, most of all in {worst.name}: backpropagation {worst.backpropagation:.10g}, "
                f"finite difference {worst.finite_difference:.10g}"
            )
        head = f"{'derivative along':<24}{'backpropagation':>20}{'finite difference':>20}{'error':>12}"
        return "\n".join([verdict, head, *map(str, (*self.directions, *self.blocks, *self.entries))])


def check_gradients(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    directions: int = 5,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> GradientReport:
    """Hold backpropagation against finite differences, in float64, in training mode, with penalties.

    Parameters
    ----------
    net : Network
        It is copied and stays as it is.
    X, y, sample_weight
        As for `net.loss_and_grad`; a few rows will do.
    directions : int
        Random directions through all parameters.
    tolerance : float
        The largest relative error that counts as agreement.
    seed : int
        Of the directions and of dropout, which draws the same mask at every evaluation.

    Returns
    -------
    GradientReport
        `.ok`, `.max_error`, `.worst`; it prints as a table.

    Examples
    --------
    >>> from chainrule import mlp
    >>> check_gradients(mlp(2, 3, 2, loss="cross_entropy", seed=0), [[0.5, -1.0], [2.0, 0.3]], [0, 1]).ok
    True
    """
    require(directions >= 1, "directions", "be >= 1", directions)
    proved, net = net.gradients_proved, net.copy(dtype="float64")
    net.gradients_proved = True  # so that `check` does not ask for the proof that this is
    arrays = net.check(X, y, sample_weight)
    if not proved:
        require_forms(net, *arrays[:2])
    theta = net.theta.copy()
    report = compare_at(net, theta, arrays, directions, tolerance, seed)
    if not report.ok:
        # Where several units stand on their kinks at once a slope may be any number, but not a little beside.
        moved = theta + BESIDE * as_generator(seed).standard_normal(theta.size)
        again = compare_at(net, moved, arrays, directions, tolerance, seed)
        return replace(again, beside=True) if again.ok else report
    return report


def compare_at(
    net: Network, theta: Array, arrays: Batch, directions: int, tolerance: float, seed: int
) -> GradientReport:
    """Compare the two gradients of a network of float64 where its parameters are `theta`."""

    def value_at(point: Array) -> float:
        net.theta = point
        return net.objective(*arrays, as_generator(seed))[0]

    net.theta = theta
    value, grad = net.objective(*arrays, as_generator(seed))
    grad = grad.copy()
    rng = as_generator(seed)

    def compare(name: str, direction: Array) -> Comparison:
        return compare_along(direction, name, value_at, theta, value, float(grad @ direction), tolerance)

    along = tuple(compare(f"random direction {k + 1}", unit(rng, theta.size)) for k in range(directions))
    blocks = tuple(compare(str(block), embed(theta.size, block.slice, unit(rng, block.size))) for block in net.blocks)
    entries: tuple[Comparison, ...] = ()
    if not all(c.error <= tolerance for c in blocks):
        worst = net.blocks[int(np.argmax([c.error for c in blocks]))]
        some = np.sort(rng.permutation(worst.size)[:ENTRIES])
        compared = (compare(worst.entry_name(k), embed(theta.size, worst.slice.start + k, 1.0)) for k in some)
        entries = tuple(c for c in compared if not c.error <= tolerance)
    return GradientReport(along, blocks, entries, tolerance)


def compare_along(
    direction: Array,
    name: str,
    value_at: Callable[[Array], float],
    theta: Array,
    value: float,
    slope: float,
    tolerance: float,
) -> Comparison:
    """Hold `slope`, the derivative of the loss along `direction`, against central differences."""
    for step in STEPS:
        above, below = value_at(theta + step * direction), value_at(theta - step * direction)
        numeric = (above - below) / (2 * step)
        # What rounding the two losses to 16 digits can do to their difference.
        noise = 10 * np.finfo(np.float64).eps * max(abs(above), abs(below)) / step
        error = abs(slope - numeric) / (max(abs(slope), abs(numeric)) + noise / tolerance or 1)
        if error <= tolerance:
            return Comparison(name, slope, numeric, error)
    left, right = sorted([(value - below) / step, (above - value) / step])
    bent = right - left > 1e-4 * max(abs(left), abs(right)) + 4 * noise
    if bent and left - 2 * noise <= slope <= right + 2 * noise:
        return Comparison(name, slope, numeric, 0.0, kink=True)
    return Comparison(name, slope, numeric, error)


def unit(rng: np.random.Generator, size: int) -> Array:
    """Return a random vector of length 1."""
    vector = rng.standard_normal(size)
    return vector / np.linalg.norm(vector)


def embed(size: int, place: slice | int, values: Array | float) -> Array:
    """Return a vector of zeros with `values` at `place`."""
    vector = np.zeros(size)
    vector[place] = values
    return vector
