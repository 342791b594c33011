"""Thresholds: from which probability on a row counts as class 1 of two, chosen for a goal.

A threshold is chosen on rows that the model was not trained on; its quality there is slightly too good, so it is
measured on others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array
from chainrule.insight.evaluation import binary_counts


@dataclass(frozen=True)
class ThresholdCurve:
    """What each threshold (m,), decreasing, makes of the rows: p >= threshold counts as class 1.

    `true_positives` and `false_positives` (m,) are rows of class 1 and 0 that count as class 1, out of `n_positive` and
    `n_negative`.
    """

    thresholds: Array
    true_positives: Array
    false_positives: Array
    n_positive: int
    n_negative: int

    @property
    def recall(self) -> Array:
        """The fraction of the rows of class 1 that count as class 1."""
        return self.true_positives / max(self.n_positive, 1)

    @property
    def specificity(self) -> Array:
        """The fraction of the rows of class 0 that do not."""
        return 1 - self.false_positives / max(self.n_negative, 1)

    @property
    def precision(self) -> Array:
        """The fraction of class 1 among the rows that count as class 1; 0 where there are none."""
        return self.true_positives / np.maximum(self.true_positives + self.false_positives, 1)

    @property
    def f1(self) -> Array:
        """The harmonic mean of precision and recall."""
        return 2 * self.true_positives / (self.n_positive + self.true_positives + self.false_positives)


def threshold_curve(y: ArrayLike, p: ArrayLike) -> ThresholdCurve:
    """Return the counts at each threshold that divides the probabilities p (n,) of class 1 differently.

    Thresholds are halfway between neighboring probabilities. y (n,) contains 0 and 1.
    """
    true_positives, false_positives, scores = binary_counts(y, p)
    halfway = (scores + np.append(scores[1:], 0.0)) / 2
    first = max((1 + scores[0]) / 2, np.nextafter(scores[0], 2))  # no row counts as class 1
    return ThresholdCurve(
        np.append(first, halfway),
        np.append(0, true_positives),
        np.append(0, false_positives),
        int(true_positives[-1]),
        int(false_positives[-1]),
    )


_Value = Callable[[ThresholdCurve, float], Array]

_VALUES: dict[str, _Value] = {
    "f1": lambda curve, _: curve.f1,
    "balanced": lambda curve, _: (curve.recall + curve.specificity) / 2,
    # Where no threshold reaches the level, the one that comes closest.
    "recall": lambda curve, level: np.where(curve.recall >= level, 1 + curve.precision, curve.recall),
    "precision": lambda curve, level: np.where(curve.precision >= level, 1 + curve.recall, curve.precision),
    "cost": lambda curve, ratio: -ratio * (curve.n_positive - curve.true_positives) - curve.false_positives,
}
"""Name of a goal -> what is largest at the best thresholds, for the level or the ratio that the goal states."""

_GRAMMAR = r"(f1|balanced)|(recall|precision)=(0?\.\d+|1(?:\.0*)?)|(cost)=(\d+\.?\d*):(\d+\.?\d*)"


@dataclass(frozen=True)
class Goal:
    """A goal for the choice of a threshold.

    "f1" and "balanced" maximize F1 and balanced accuracy; "recall=0.9" maximizes precision among the thresholds with
    this recall at least, "precision=0.9" recall among those with this precision; "cost=5:1" minimizes the cost if to
    miss a row of class 1 costs 5 times as much as a false alarm.
    """

    text: str
    name: str
    level: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Return the goal; ValueError unless it is one of the forms above.

        Examples
        --------
        >>> Goal.parse("cost=5:1")
        Goal(text='cost=5:1', name='cost', level=5.0)
        """
        match = re.fullmatch(_GRAMMAR, text)
        if match:
            plain, rate, level, cost, missed, false_alarm = match.groups()
            if plain or (rate and float(level) > 0):
                return cls(text, plain or rate, float(level or 0))
            if cost and float(missed) > 0 and float(false_alarm) > 0:
                return cls(text, cost, float(missed) / float(false_alarm))
        raise ValueError(f"goal must be f1, balanced, recall=0.9, precision=0.9 or cost=5:1, got {text!r}")

    def best_threshold(self, curve: ThresholdCurve) -> float:
        """Return the best threshold for this goal, of equally good ones the middle one."""
        value = _VALUES[self.name](curve, self.level)
        best = np.flatnonzero(value == value.max())
        return float(curve.thresholds[best[len(best) // 2]])
