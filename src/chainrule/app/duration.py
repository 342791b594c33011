"""How long what follows the training will take, measured with untrained networks on some of the rows."""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

from chainrule.app.plan import Plan, Table
from chainrule.app.results import diagnose_fit, score_on
from chainrule.app.scores import MAX_RESAMPLED_ROWS, baseline_predictions, score_interval
from chainrule.insight.diagnosis import MAX_ROWS as MAX_DIAGNOSED_ROWS
from chainrule.model.ensemble import Ensemble
from chainrule.model.fitting import Fitted, recipe_for
from chainrule.model.predictor import Predictor

_TIMED_ROWS = 1_000
"""Rows on which the work for more of them is timed."""
_FEW_ROWS = 20
"""Rows for which the work takes hardly longer than for none."""


def seconds_after_training(plan: Plan, held: Table, members: int, report: bool, baselines: bool = False) -> float:
    """Return about how long scoring, diagnosis and the report will take, with or without baselines.

    All but the baselines are timed, which takes no longer than the work on 1,000 rows.
    """
    encoder, target = plan.encoder, plan.target
    network = recipe_for(target).network(encoder.n_features, target.n_outputs, seed=0).copy(dtype="float64")
    predictor = Predictor(encoder, Ensemble((network,) * members), target)
    known = held.part(held.known)
    few = known.part(known.known[:_TIMED_ROWS])
    result = score_on(predictor, few)
    n_test, n_training = len(known.known), len(plan.training)

    def predict(n: int) -> None:
        predictor.predictions(few.part(few.known[:n]).inputs)

    def resample(n: int) -> None:
        groups = None if few.groups is None else few.groups[:n]
        score_interval(target, few.values[:n], result.predictions[:n], groups=groups)

    def encode(n: int) -> None:
        encoder.transform(plan.table.part(plan.training[:n]).inputs)

    def diagnose(n: int) -> None:
        fitted = Fitted(predictor, [], baseline_predictions(target, n))
        diagnose_fit(replace(plan, training=plan.training[:n]), fitted, result)

    prediction = seconds_for(predict, n_test)
    seconds = prediction + seconds_for(resample, min(n_test, MAX_RESAMPLED_ROWS))
    seconds += seconds_for(encode, n_training) + seconds_for(diagnose, min(n_training, MAX_DIAGNOSED_ROWS))
    if report:
        from chainrule.app.report import seconds_for_report
        from chainrule.app.report.baselines import seconds_for_baselines

        seconds += seconds_for_report(result, prediction / n_test, n_test)
        seconds += seconds_for_baselines(n_training, target.n_outputs) if baselines else 0.0
    return seconds


def seconds_for(work: Callable[[int], None], n: int) -> float:
    """Return how long work on n rows takes: a fixed time, that of very few rows, and one in proportion to the rows."""
    n_timed = min(n, _TIMED_ROWS)
    n_few = min(n, _FEW_ROWS)
    work(n_few)  # loads what is loaded when it is first used
    fixed, whole = _timed(work, n_few), _timed(work, n_timed)
    return fixed + max(0.0, whole - fixed) * (n - n_few) / max(1, n_timed - n_few)


def _timed(work: Callable[[int], None], n: int) -> float:
    begin = perf_counter()
    work(n)
    return perf_counter() - begin
