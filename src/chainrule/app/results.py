"""Results: a model's predictions on rows whose target is known, their scores, and the diagnosis of the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.app import plan as planning
from chainrule.app.options import EvaluateOptions, ReadingOptions, ReportOptions, TraceOptions
from chainrule.app.paths import has_table_suffix, shown
from chainrule.app.plan import Plan, Table
from chainrule.app.reporter import Reporter
from chainrule.app.scores import score, score_baseline, score_interval, score_intervals, score_sets
from chainrule.app.tables import TableFile
from chainrule.arrays import Array
from chainrule.data.reading import Columns
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.errors import ModelFileError
from chainrule.files.model import load
from chainrule.insight.diagnosis import Diagnosis, diagnose
from chainrule.insight.thresholds import Goal, threshold_curve
from chainrule.model.fitting import Fitted
from chainrule.model.predictor import Predictor
from chainrule.model.seen import TRAINING_ROWS, fraction_seen
from chainrule.nn.network import Network
from chainrule.training.history import History

_MIN_OVERLAP = 0.05
"""Fraction of evaluated rows among the training rows from which on the evaluation is called into question."""
_RECIPE_FINDINGS = frozenset(
    {"learning rate too high", "learning rate too low", "unscaled inputs", "unscaled targets", "dead units"}
    | {"saturated units", "vanishing or exploding gradients"}
)
"""Findings about settings that the recipe makes, and that no option of the command line changes."""
_REMEDIES = {
    "class collapse": "Increase --epochs or --time-limit, or add rows of the other classes",
    "too few epochs": "Increase --epochs or --time-limit",
}
"""Kind of finding -> remedy, where the command line has another one than the Python interface."""


@dataclass(frozen=True)
class Result:
    """A predictor with its predictions for rows whose target is known, their scores, and the scores' intervals.

    `rows` are the rows' numbers in their file, from 1, and `uncertainty` the scores of prediction intervals or sets.
    """

    predictor: Predictor
    inputs: Columns
    values: Array
    rows: Array
    predictions: Array
    scores: dict[str, float]
    baseline: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    uncertainty: dict[str, Any]
    histories: list[History] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Training:
    """What a training knows beyond its result: its rows, all with a target, and the predictions for them out of fold.

    `out_of_fold` (n, n_outputs) is NaN for rows that no member held out. `seconds` is how long the networks took, and
    `command` the command line without directories.
    """

    inputs: Columns
    values: Array
    weights: Array | None
    out_of_fold: Array
    seconds: float
    command: str = ""

    @property
    def predicted(self) -> Array:
        """The indices of the rows with a prediction out of fold."""
        return np.flatnonzero(np.isfinite(self.out_of_fold).all(axis=1))

    def threshold(self, target: ClassTarget | NumberTarget, goal: str) -> dict[str, Any] | None:
        """Return the threshold of the second of two classes, chosen for a goal out of fold; None for other targets."""
        if not isinstance(target, ClassTarget) or target.n_outputs != 2:
            return None
        y, p = target.encode(self.values[self.predicted]), self.out_of_fold[self.predicted, 1]
        if len(np.unique(y)) < 2:
            return None
        threshold = Goal.parse(goal).best_threshold(threshold_curve(y, p))
        return {"class": str(target.labels[1]), "goal": goal, "value": threshold}


def load_model(path: Path) -> Predictor | Network:
    """Return the model in a file."""
    try:
        return load(path)
    except ModelFileError:
        if path.is_file() and has_table_suffix(path):
            raise ModelFileError(f"{path} is a table, not a model. The model comes first, then the table.") from None
        raise


def load_predictor(path: Path) -> Predictor:
    """Return the predictor in a model file."""
    model = load_model(path)
    if not isinstance(model, Predictor):
        raise ModelFileError(f"{path} contains a bare network, not a model of a table. Load it in Python.")
    return model


def open_table(predictor: Predictor, path: Path, options: ReadingOptions) -> TableFile:
    """Return a table for a model, to be read like the training table unless options say otherwise."""
    names = [column.name for column in predictor.encoder.columns]
    return TableFile(path, options.kind, options.reading(predictor.metadata.get("reading"), names))


def read_to_score(
    options: EvaluateOptions | ReportOptions | TraceOptions, reporter: Reporter
) -> tuple[Predictor, Table, TableFile]:
    """Return the predictor in the model file, and the table to score it on, with the file that it is from."""
    predictor = load_predictor(options.model)
    source = open_table(predictor, options.file, options.table)
    with reporter.step(f"reading {shown(options.file)}") as show:
        table, _ = planning.table_to_score(predictor, source, show)
    return predictor, table, source


def score_on(
    predictor: Predictor,
    table: Table,
    histories: Sequence[History] = (),
    show: Callable[[str], None] = lambda part: None,
) -> Result:
    """Return the predictor with its scores, and the baseline's, on the rows of a table whose target is known."""
    held, target = table.part(table.known), predictor.target
    notices: list[str] = []
    show("predictions")
    with planning.warnings_as(notices):  # predict all rows, so that errors give the row's number in the file
        if isinstance(target, NumberTarget):
            distribution = predictor.distribution(table.inputs).part(table.known)
            predictions, uncertainty = distribution.means, score_intervals(predictor, distribution, held.values)
        else:
            predictions = predictor.predictions(table.inputs)[table.known]
            uncertainty = score_sets(predictor, predictions, held.values)
    show("confidence intervals")
    return Result(
        predictor,
        held.inputs,
        held.values,
        held.rows,
        predictions,
        score(target, held.values, predictions),
        score_baseline(target, held.values),
        score_interval(target, held.values, predictions, groups=held.groups),
        uncertainty,
        list(histories),
        notices,
    )


def training_overlap(predictor: Predictor, table: Table) -> list[str]:
    """Return a notice if some of the rows with a known target are among those the predictor was trained on."""
    sample = predictor.metadata.get(TRAINING_ROWS)
    if sample is None:
        return []
    held = table.part(table.known)
    with planning.warnings_as([]):  # those that `score_on` has noted already
        X = predictor.encoder.transform(held.inputs)
    fraction = fraction_seen(sample, X, predictor.target.encode(held.values))
    if fraction < _MIN_OVERLAP:
        return []
    return [f"about {fraction:.0%} of the rows were in the training data: the scores are too good. Use held-out rows."]


def diagnose_fit(plan: Plan, fitted: Fitted, result: Result) -> Diagnosis:
    """Return the problems of the first member, and of the ensemble's predictions for rows it was not trained on.

    Findings about the settings of the recipe are left out, because no option of the command line changes them.
    """
    predictor = fitted.predictor
    seen, target, encoder = plan.table.part(plan.training), predictor.target, predictor.encoder
    findings = diagnose(
        predictor.ensemble.means.networks[0],
        encoder.transform(seen.inputs),
        target.encode(seen.values),
        next(iter(fitted.histories), None),
        validation=(encoder.transform(result.inputs), target.encode(result.values)),
        predictions=fitted.out_of_fold,
        names=encoder.get_feature_names_out().tolist(),
        labels=[str(label) for label in target.labels] if isinstance(target, ClassTarget) else None,
        rows=plan.training + 1,
    )
    relevant = (finding for finding in findings if finding.kind not in _RECIPE_FINDINGS)
    return Diagnosis(replace(finding, remedy=_REMEDIES.get(finding.kind, finding.remedy)) for finding in relevant)
