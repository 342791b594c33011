"""Calibration as plain data: what the exports need for prediction intervals and prediction sets.

`chainrule.model.conformal` calibrates levels from 0.001 to 0.999. For each, the score of a number is turned here into a
place among the quantiles that the networks predict, so that an export only interpolates between two of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from chainrule.arrays import Array
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.export import steps as ir
from chainrule.export.steps import Model, Program, as_ensemble
from chainrule.model.conformal import at_level
from chainrule.model.ensemble import Ensemble
from chainrule.model.predictor import Predictor
from chainrule.model.quantiles import MeanAndQuantiles
from chainrule.nn.losses import CrossEntropy

COVERAGE = 0.9
"""The coverage of the intervals and sets that golden rows have."""


@dataclass(frozen=True, eq=False)
class Intervals:
    """The ends of the intervals of n_out numbers.

    The sums over the members of `program` are, for each number, its mean and q increasing quantiles v. The end at the
    level k / 1000 is at the place p = places[k - 1] among them, v[p] where p is an index, with linear interpolation
    between two quantiles. Below the first, places count distances of it from the median; above the last likewise.
    The distance of the end from the median is then multiplied by max(spread / typical, 2^-23)^power. Without quantiles,
    the end is the mean + p. Ends are exponentials if the program is, and clipped to `limits`.

    Attributes
    ----------
    places : (999, n_out)
    contrast : (2, n_out)
        Powers and typical spreads; a spread is the distance between the quantiles q - 1 - q // 4 and q // 4.
    limits : (2, n_out)
        Each is 0 or infinite.
    """

    program: Program
    n_quantiles: int
    places: Array
    contrast: Array
    limits: Array

    def ends(self, X: Array, coverage: float = COVERAGE) -> Array:
        """Return the ends (n, n_out, 2) of intervals for encoded rows, computed as the exports do."""
        sums = ir.sums_of(self.program, X).astype(np.float64)
        V = sums.reshape(len(X), self.places.shape[1], -1)[:, :, min(self.n_quantiles, 1) :]
        q = V.shape[2]
        (powers, typical), middle = self.contrast, V[:, :, q // 2]
        factors = np.maximum((V[:, :, q - 1 - q // 4] - V[:, :, q // 4]) / typical, 2.0**-23) ** powers
        ends = []
        for level in ((1 - coverage) / 2, (1 + coverage) / 2):
            weights, shift = self.end(level)
            end = middle + ((V * weights).sum(axis=2) - middle) * factors + shift
            ends.append(np.clip(np.exp(end) if self.program.exponential else end, *self.limits))
        return np.stack(ends, axis=2)

    def end(self, level: float) -> tuple[Array, Array]:
        """Return weights (n_out, q) and shifts (n_out,): before the correction, the end is their sum with quantiles.

        Without quantiles, the mean stands for them, q = 1. A shift is infinite where calibration had too few rows.
        """
        places, q = at_level(self.places, level), max(self.n_quantiles, 1)
        if q == 1:
            return np.ones((len(places), 1)), places
        finite = np.isfinite(places)
        weights = [_interpolation(place, q) if known else np.zeros(q) for place, known in zip(places, finite)]
        return np.array(weights), np.where(finite, 0, places)


def _interpolation(place: float, q: int) -> Array:
    """Return the weights (q,) of increasing quantiles in the value at a place among them, or beyond them."""
    weights, middle, last = np.zeros(q), q // 2, q - 1
    inner = min(max(place, 0), last)
    k = min(int(inner), last - 1)
    weights[[k, k + 1]] = 1 - (inner - k), inner - k
    weights[0 if place < 0 else last] += abs(place - inner)
    weights[middle] -= abs(place - inner)
    return weights


def intervals_of(model: Model, int8: bool = False) -> Intervals | None:
    """Return the intervals of a model of numbers, folded; None if it was not calibrated for intervals."""
    ensemble = as_ensemble(model)
    if ensemble.scores is None or isinstance(ensemble.loss, CrossEntropy):
        return None
    program = ir.program_of(model, quantiles=True)
    members = tuple(map(ir.fold, program.members))
    program = replace(program, members=tuple(map(ir.quantize, members)) if int8 else members)
    stds = np.array(program.target.stds) if isinstance(program.target, NumberTarget) else np.ones(ensemble.n_out)
    limits = _limits(program, ensemble.loss.width)
    if not isinstance(ensemble.loss, MeanAndQuantiles):
        return Intervals(program, 0, ensemble.scores * stds, np.array([0 * stds, stds]), limits)
    logits = ensemble.loss.logits
    return Intervals(
        replace(program, bounds=None), len(logits), _places(logits, ensemble.scores), _contrast(ensemble, stds), limits
    )


def _places(logits: Array, scores: Array) -> Array:
    """Return the places of scores (999, n_out) among quantiles at `logits`."""
    first, middle, last = logits[0], logits[len(logits) // 2], logits[-1]
    inside = np.interp(scores, logits, np.arange(len(logits)))
    below, above = (scores - first) / (middle - first), (scores - last) / (last - middle)
    return np.asarray(inside + np.minimum(below, 0) + np.maximum(above, 0))


def _contrast(ensemble: Ensemble, stds: Array) -> Array:
    if ensemble.contrast is None:
        return np.array([0 * stds, stds])
    exponents, typical = ensemble.contrast
    return np.array([exponents - 1, typical * stds])


def _limits(program: Program, width: int) -> Array:
    """Return 0 where all targets of training were on one side of it, and infinity elsewhere."""
    n_out = program.n_out // width
    if program.bounds is None or program.exponential:
        return np.tile([[-np.inf], [np.inf]], n_out)
    least, most = program.bounds[:, ::width]
    rounding = 1e-9 * (most - least)
    return np.array([np.where(least >= -rounding, 0, -np.inf), np.where(most <= rounding, 0, np.inf)])


def set_limits_of(model: Model) -> Array | None:
    """Return the largest 1 - P (999, 1 + K) of the classes in a prediction set, at the levels 0.001 to 0.999.

    First for all rows, then for those of each class; None if the model has no labels or was not calibrated for sets.
    """
    classifies = isinstance(model, Predictor) and isinstance(model.target, ClassTarget)
    return as_ensemble(model).scores if classifies else None
