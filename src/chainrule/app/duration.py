"""How long what follows the training will take, measured with untrained networks on some of the rows."""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

from chainrule.app.plan import Plan, Table
from chainrule.app.results import diagnose_fit, score_on
from chainrule.app.scores import MAX_RESAMPLED_ROWS, score_interval
from chainrule.model.ensemble import Ensemble
from chainrule.model.fitting import Fitted, recipe_for
from chainrule.model.predictor import Predictor

_TIMED_ROWS = 1_000
"""Rows on which the work for more of them is timed."""


def seconds_after_training(plan: Plan, held: Table, members: int, report: bool) -> float:
    """Return about how long scoring, diagnosis and the report will take.

    Each is timed, so that this takes as long on small tables, and no more than on 1,000 rows of large ones.
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
        score_interval(target, few.values[:n], result.predictions[:n])

    def diagnose(n: int) -> None:
        rows = replace(plan, training=plan.training[:n])
        seen = rows.table.part(rows.training)
        diagnose_fit(rows, Fitted(predictor, [], predictor.predictions(seen.inputs)), result)

    prediction = seconds_for(predict, n_test)
    seconds = prediction + seconds_for(resample, min(n_test, MAX_RESAMPLED_ROWS)) + seconds_for(diagnose, n_training)
    if report:
        from chainrule.app.report import seconds_for_report

        seconds += seconds_for_report(predictor, prediction / n_test, n_test)
    return seconds


def seconds_for(work: Callable[[int], None], n: int) -> float:
    """Return how long work on n rows takes: a fixed time, and one in proportion to the rows beyond the timed ones."""
    whole = _timed(work, min(n, _TIMED_ROWS))
    if n <= _TIMED_ROWS:
        return whole
    half = _timed(work, _TIMED_ROWS // 2)
    return whole + max(0.0, whole - half) * (n - _TIMED_ROWS) / (_TIMED_ROWS / 2)


def _timed(work: Callable[[int], None], n: int) -> float:
    begin = perf_counter()
    work(n)
    return perf_counter() - begin
