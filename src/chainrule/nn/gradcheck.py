"""Gradient checking: compare a network's gradient with finite differences in float64, on your own data.

Along a direction d the loss must change at the rate backpropagation gives: grad . d = (L(theta + e d) - L(theta - e d))
/ 2e. Random directions involve every parameter at once; then each parameter block gets a direction of its own, so that
a wrong derivative is found and named.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_generator, require
from chainrule.differences import Comparison, compare_along, embed, unit
from chainrule.display import Shown
from chainrule.errors import GradientError
from chainrule.nn.custom import require_forms
from chainrule.nn.inference import CHECKED_ROWS

if TYPE_CHECKING:
    from chainrule.nn.network import Network

Batch = tuple[Array, Array, Array | None]
"""X, y and weights, as returned by `Network.check`."""

JITTER = 1e-3
"""Standard deviation by which every parameter is moved when a failed check is repeated nearby."""
MAX_ENTRIES = 64
"""Maximum number of entries of a failed block that are compared one by one, to name the worst."""


@dataclass(frozen=True, repr=False)
class GradientReport(Shown):
    """The result of `check_gradients`; it prints as a table.

    `entries` is filled only for a block that failed. `moved` means that the loss has kinks at the given parameters, so
    the gradients were compared at a point nearby.
    """

    directions: tuple[Comparison, ...]
    blocks: tuple[Comparison, ...]
    entries: tuple[Comparison, ...]
    tolerance: float
    moved: bool = False

    @property
    def worst(self) -> Comparison:
        """The comparison with the largest error, among the most detailed ones made."""
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

    @property
    def is_negated(self) -> bool:
        """Whether the gradient is exactly the negative of the right one."""
        sums = [abs(c.backpropagation + c.finite_difference) for c in self.blocks or self.directions]
        sizes = [abs(c.backpropagation) for c in self.blocks or self.directions]
        return not self.ok and max(sums) <= 1e-4 * max(sizes)

    def __repr__(self) -> str:
        worst = self.worst
        if self.ok:
            place = " near a kink" if self.moved else ""
            verdict = f"gradients agree{place}: largest error {self.max_error:.1e}, tolerance {self.tolerance:.0e}"
        else:
            verdict = (
                f"gradients are WRONG, most of all in {worst.name}: backpropagation {worst.backpropagation:.10g}, "
                f"finite difference {worst.finite_difference:.10g}"
            )
            if self.is_negated:
                verdict += "\nThe gradient is exactly the negative: does your loss take its arguments as (Z, Y)?"
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
    """Compare backpropagation with finite differences, in float64 and training mode, penalties included.

    Parameters
    ----------
    net : Network
        A copy is checked; the network itself does not change.
    X, y, sample_weight
        As for `net.loss_and_grad`; a few rows are enough.
    directions : int
        Number of random directions through all parameters.
    tolerance : float
        Largest relative error that counts as agreement.
    seed : int
        Seed for the directions and for dropout, which draws the same mask at every evaluation.

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
    checked, net = net.gradients_checked, net.copy(dtype="float64")
    arrays = net.check(X, y, sample_weight)
    if not checked:
        require_forms(net, *arrays[:2])
    theta = net.theta.copy()
    report = _compare_at(net, theta, arrays, directions, tolerance, seed)
    if not report.ok:
        # Where several units are at their kinks at once, any derivative is possible; not so at a point nearby.
        moved = theta + JITTER * as_generator(seed).standard_normal(theta.size)
        again = _compare_at(net, moved, arrays, directions, tolerance, seed)
        return replace(again, moved=True) if again.ok else report
    return report


def require_gradients(net: Network, X: Array, y: Array) -> None:
    """Check a custom loss, activation or layer, once, on the first rows; raise GradientError if it is wrong."""
    if net.gradients_checked:
        return
    report = check_gradients(net, X[:CHECKED_ROWS], y[:CHECKED_ROWS])
    if not report.ok:
        raise GradientError(f"a custom loss, activation or layer has a wrong derivative; {report}")
    net.gradients_checked = len(X) > 1  # with one row, a mean and a sum look the same


def _compare_at(
    net: Network, theta: Array, arrays: Batch, directions: int, tolerance: float, seed: int
) -> GradientReport:
    """Compare the two gradients of a float64 network at the parameters `theta`."""

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
        some = np.sort(rng.permutation(worst.size)[:MAX_ENTRIES])
        compared = (compare(worst.entry_name(k), embed(theta.size, worst.slice.start + k, 1.0)) for k in some)
        entries = tuple(c for c in compared if not c.error <= tolerance)
    return GradientReport(along, blocks, entries, tolerance)
