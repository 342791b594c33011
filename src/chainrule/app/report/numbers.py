"""Quality of a regressor: predictions against actual values, and what the errors depend on."""

from functools import partial

import numpy as np

from chainrule import viz
from chainrule.app.report.blocks import Figure, Section
from chainrule.app.report.study import Study
from chainrule.app.report.wording import percent, short
from chainrule.data.targets import NumberTarget

_MIN_ROWS = 20
"""With fewer rows, tenths of them say nothing."""


def section(study: Study) -> Section | None:
    """Return the quality of a regressor; None for classes."""
    if not isinstance(study.target, NumberTarget):
        return None
    return Section("Predictions and residuals", [_predicted(study), _residuals(study)])


def _predicted(study: Study) -> Figure:
    errors = np.abs(study.actual - study.predicted)
    half, most = np.quantile(errors, [0.5, 0.9]).tolist()
    spread = float(study.actual.std())
    caption = f"Half of the predictions are within {short(half)} of the actual value, and 90% within {short(most)}"
    caption += f"; the standard deviation of {study.target.name} is {short(spread)}."
    draw = partial(viz.predicted_against_actual, study.actual, study.predicted, study.target.name)
    return Figure(draw, 4.4, 4.0, "Predicted against actual values", caption)


def _residuals(study: Study) -> Figure:
    errors = study.actual - study.predicted
    bias, spread = float(errors.mean()), float(errors.std())
    caption = f"Predictions are too {'low' if bias > 0 else 'high'} by {short(abs(bias))} on average, "
    caption += f"{percent(abs(bias) / spread) if spread else '0%'} of the residuals' standard deviation."
    if len(errors) >= _MIN_ROWS:
        order = np.argsort(study.predicted, kind="stable")
        n = len(errors) // 5
        small, large = (float(np.median(np.abs(errors[part]))) for part in (order[:n], order[-n:]))
        if small > 0:
            caption += f" In the fifth with the largest predictions, the median error is {short(large / small)} times"
            caption += " that in the fifth with the smallest."
    draw = partial(viz.residuals, study.actual, study.predicted, study.target.name)
    return Figure(draw, 4.4, 4.0, "Residuals", caption)
