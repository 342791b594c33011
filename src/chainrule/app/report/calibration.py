"""Calibration of a classifier: whether what has a probability of 80% happens in 80% of the rows."""

from functools import partial

from chainrule import viz
from chainrule.app.report.blocks import Figure, Section
from chainrule.app.report.study import Study
from chainrule.app.report.wording import percent
from chainrule.arrays import Array
from chainrule.data.targets import ClassTarget
from chainrule.display import format_numbers
from chainrule.insight.evaluation import calibrated_outcome, calibration_curve, calibration_error
from chainrule.metrics import log_loss


def section(study: Study) -> Section | None:
    """Return the reliability diagram before and after temperature scaling; None for numbers."""
    if not isinstance(study.target, ClassTarget):
        return None
    y, P = study.classes[study.compared], study.result.predictions[study.compared]
    before = study.untempered
    caption = _after(study, y, P) + (_before(y, P, before) if before is not None else "")
    draw = partial(viz.calibration, y, P, study.labels, before=before)
    return Section("Calibration", [Figure(draw, 4.8, 4.8, "Calibration curve", caption)])


def error(y: Array, P: Array) -> float:
    """Return the expected calibration error of the second of two classes, or of the predicted one of several."""
    return calibration_error(*calibration_curve(*calibrated_outcome(y, P)))


def _after(study: Study, y: Array, P: Array) -> str:
    of = f"the probability of {study.labels[1]}" if P.shape[1] == 2 else "the probability of the predicted class"
    return f"On average, {of} differs by {percent(error(y, P))} from the observed fraction in its bin."


def _before(y: Array, P: Array, before: Array) -> str:
    loss, loss_before = log_loss(y, P), log_loss(y, before)
    was, now = format_numbers([loss_before, loss], width=abs(loss_before - loss) or 1e-3)
    effect = "lowers" if loss < loss_before else "raises"
    return (
        f" Before the networks' outputs were divided by a temperature, learned out of fold, it was "
        f"{percent(error(y, before))}; the temperature {effect} the log loss from {was} to {now}. Gray bars count the "
        "rows."
    )
