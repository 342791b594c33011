"""The study: what the sections of a report look at, each computed when it is first asked for."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.app.csv_file import Show
from chainrule.app.report.baselines import Baseline, fit_baselines
from chainrule.app.results import Result, Training
from chainrule.arrays import Array
from chainrule.data.reading import take_rows
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.insight.evaluation import Importance, permutation_importance, saliency_ranking
from chainrule.insight.explanation import Explanation, explain
from chainrule.insight.responses import sample_rows
from chainrule.metrics import METRICS
from chainrule.model.background import N_ROWS
from chainrule.nn.losses import softmax

MAX_PERMUTED = 40
"""Number of columns whose permutation importance is measured, preselected by gradient saliency."""
REPEATS = 5
_MAX_EXPLAINED, MAX_NETWORK_ROWS = 100, 150_000
"""Number of rows that are explained, and that the networks evaluate for it: about as many as for the permutation
importance of 15 columns."""
MAX_COMPARED = 5_000
"""Number of rows on which the members are compared."""


class Study:
    """A model's result on evaluation rows, and what is known of its training, if the report is written by it.

    `show` is called with what is being computed. `evaluated` has the name, rows, columns and SHA-256 of the table,
    if it is not that of the training.
    """

    def __init__(
        self,
        result: Result,
        training: Training | None = None,
        with_baselines: bool = False,
        show: Show = lambda part, fraction: None,
        evaluated: Mapping[str, Any] | None = None,
    ) -> None:
        self.result, self.training, self.with_baselines, self.show = result, training, with_baselines, show
        self.evaluated = evaluated or {}
        self.predictor, self.metadata = result.predictor, result.predictor.metadata
        self.target, self.ensemble = self.predictor.target, self.predictor.ensemble

    @property
    def n_rows(self) -> int:
        """The number of evaluation rows."""
        return len(self.result.values)

    @property
    def n_training(self) -> int:
        """The number of training rows, 0 if the report is not that of a training."""
        return 0 if self.training is None else len(self.training.values)

    @property
    def rows_name(self) -> str:
        """What the evaluation rows are, in the plural."""
        return "held-out rows" if self.training is not None else "rows"

    @cached_property
    def classes(self) -> Array:
        """The class number of each evaluation row."""
        assert isinstance(self.target, ClassTarget)
        return self.target.encode(self.result.values)

    @cached_property
    def labels(self) -> list[str]:
        """The names of the classes."""
        assert isinstance(self.target, ClassTarget)
        return [str(label) for label in self.target.labels]

    @cached_property
    def actual(self) -> Array:
        """The number to predict of each evaluation row, in the target's unit."""
        assert isinstance(self.target, NumberTarget)
        return self.target.numbers(self.result.values)[:, 0]

    @cached_property
    def predicted(self) -> Array:
        """The number predicted for each evaluation row, in the target's unit."""
        assert isinstance(self.target, NumberTarget)
        return self.target.decode(self.result.predictions)

    @cached_property
    def baselines(self) -> list[Baseline]:
        """Models of scikit-learn, trained on the same rows; none for a model that was trained before."""
        if self.training is None or not self.with_baselines:
            return []
        self.show("baselines", None)
        return fit_baselines(self.predictor, self.training, self.result.inputs, self.result.values)

    @cached_property
    def importance(self) -> Importance:
        """The permutation importance of the columns, or of the most salient ones if there are many."""
        result, predictor = self.result, self.predictor
        self.show("importance of the columns", None)
        columns = saliency_ranking(predictor, result.inputs, MAX_PERMUTED)
        metric = METRICS["log_loss" if isinstance(self.target, ClassTarget) else "rmse"]
        n_measured, n_all = 0, 1 + REPEATS * len(columns)

        def measure(y: Array, prediction: Array) -> float:
            nonlocal n_measured
            self.show("importance of the columns", n_measured / n_all)
            n_measured += 1
            return metric.function(y, prediction)

        counted = replace(metric, function=measure)
        return permutation_importance(
            predictor, result.inputs, result.values, counted, columns=columns, repeats=REPEATS
        )

    @cached_property
    def explanation(self) -> Explanation:
        """The contributions of the columns to the predictions for a sample of rows."""
        self.show("explanations", 0.0)
        rng, inputs = np.random.default_rng(0), self.result.inputs
        rows = sample_rows(self.n_rows, n_explained(len(self.predictor.encoder.columns)), rng)
        has_background = self.predictor.background is not None
        background = None if has_background else take_rows(inputs, sample_rows(self.n_rows, N_ROWS, rng))
        explanation = explain(
            self.predictor,
            take_rows(inputs, rows),
            background=background,
            permutations=1,
            progress=lambda done: self.show("explanations", done),
        )
        return replace(explanation, rows=self.result.rows[rows])

    @cached_property
    def compared(self) -> Array:
        """The evaluation rows, sorted, on which the members are compared: at most `MAX_COMPARED`."""
        n = self.n_rows
        return np.sort(np.random.default_rng(0).permutation(n)[:MAX_COMPARED])

    @cached_property
    def _inputs(self) -> Array:
        inputs = take_rows(self.result.inputs, self.compared)
        return self.predictor.encoder.transform(inputs).astype(self.ensemble.dtype, copy=False)

    @cached_property
    def members(self) -> Array:
        """The predictions (members, n, n_outputs) of each network alone for the compared rows."""
        self.show("members", None)
        alone = (replace(self.ensemble, networks=(network,), weights=()) for network in self.ensemble.networks)
        return np.stack([member.infer(self._inputs) for member in alone])

    @cached_property
    def untempered(self) -> Array | None:
        """The ensemble's probabilities (n, K) for the compared rows without temperature; None if it is not known."""
        temperatures = self.metadata.get("temperatures", [])
        if len(temperatures) != len(self.ensemble.networks):
            return None
        scales = [temperature / self.ensemble.temperature for temperature in temperatures]
        outputs = [scale * network.infer(self._inputs) for scale, network in zip(scales, self.ensemble.networks)]
        return np.average([softmax(Z) for Z in outputs], axis=0, weights=self.ensemble.weights)


def n_explained(n_columns: int) -> int:
    """Return the number of rows to explain."""
    return max(1, min(_MAX_EXPLAINED, MAX_NETWORK_ROWS // per_row(n_columns)))


def per_row(n_columns: int) -> int:
    """Return how many rows the networks evaluate for each one that is explained, at most."""
    return 2 * (n_columns + 1) * N_ROWS
