"""The parameters of the recipe, which all tabular estimators have, on one machine and on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from chainrule.arrays import Array, is_integer, require
from chainrule.estimators._sklearn import Interval, StrOptions
from chainrule.metrics import METRICS, Metric, as_metric
from chainrule.model.portfolio import QUALITIES
from chainrule.nn.activations import ACTIVATIONS

_MAX_MEMBERS = 10_000
"""Seeds that members are given one after the other."""


@dataclass(eq=False, repr=False)
class RecipeEstimator(BaseEstimator):
    """Base class of the tabular estimators: how their networks are trained."""

    _: KW_ONLY
    quality: str = "default"
    n_folds: int | None = None
    hidden_layer_sizes: Sequence[int] | None = None
    activation: str | None = None
    learning_rate: float | None = None
    dropout: float | None = None
    weight_decay: float | None = None
    batch_size: int | None = None
    epochs: int | None = None
    metric: str | Metric | Callable[[Array, Array], float] | None = None
    time_limit: float | None = None
    random_state: int | np.random.RandomState | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "quality": [StrOptions(set(QUALITIES))],
        "n_folds": [Interval(Integral, 2, None, closed="left"), None],
        "hidden_layer_sizes": ["array-like", None],
        "activation": [StrOptions(set(ACTIVATIONS)), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "dropout": [Interval(Real, 0, 1, closed="left"), None],
        "weight_decay": [Interval(Real, 0, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "epochs": [Interval(Integral, 1, None, closed="left"), None],
        "metric": [StrOptions(set(METRICS)), Metric, callable, None],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "random_state": ["random_state"],
    }

    def _training_options(self) -> dict[str, Any]:
        """Return the parameters as arguments of `chainrule.model.fitting.fit_predictor`; draw the seed."""
        return {
            "quality": self.quality,
            "n_folds": self.n_folds,
            "epochs": self.epochs,
            "metric": None if self.metric is None else as_metric(self.metric),
            "options": self._recipe_options(),
            "time_limit": self.time_limit,
            "seed": int(check_random_state(self.random_state).randint(2**31 - _MAX_MEMBERS)),
        }

    def _recipe_options(self) -> dict[str, Any]:
        """Return the parameters that change the recipe, under the names of its fields."""
        names = ("activation", "learning_rate", "dropout", "weight_decay", "batch_size")
        options = {name: getattr(self, name) for name in names}
        if self.hidden_layer_sizes is None:
            return options
        sizes = tuple(self.hidden_layer_sizes)
        valid = all(is_integer(size, 1) for size in sizes) and len(sizes) > 0
        require(valid, "hidden_layer_sizes", "be one or more integers >= 1", sizes)
        return options | {"hidden": tuple(map(int, sizes))}
