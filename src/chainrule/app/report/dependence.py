"""Partial dependence of the prediction on the most important columns."""

from functools import partial

import numpy as np

from chainrule import viz
from chainrule.app import messages
from chainrule.app.report.blocks import Figure, Section
from chainrule.app.report.study import Study
from chainrule.app.report.wording import short
from chainrule.insight.evaluation import Dependence, partial_dependence

N_DEPENDENCES = 4
"""Number of columns whose partial dependence is shown, the most important first."""


def section(study: Study) -> Section:
    """Return the partial dependence of the prediction on some columns."""
    columns = study.importance.ranking[:N_DEPENDENCES]
    figures = []
    for k, name in enumerate(columns):
        study.show("partial dependence", k / len(columns))
        dependence = partial_dependence(study.predictor, study.result.inputs, name)
        draw = partial(viz.partial_dependence, dependence, title="")
        figures.append(Figure(draw, 4.2, 3.0, f"Partial dependence on {name}", _caption(dependence)))
    return Section("Partial dependence", figures)


def _caption(dependence: Dependence) -> str:
    """Return from where to where the output that varies most goes."""
    ranges = np.ptp(dependence.predictions, axis=0)
    k = len(ranges) - 1 if len(ranges) == 2 else int(ranges.argmax())
    curve = dependence.predictions[:, k]
    what = f"{'probability' if dependence.are_probabilities else 'prediction'} of {dependence.names[k]}"
    low, high = int(curve.argmin()), int(curve.argmax())
    are_numbers = dependence.values.dtype.kind == "f"
    at = [
        messages.format_cell(float(dependence.values[i])) if are_numbers else str(dependence.values[i])
        for i in (low, high)
    ]
    return (
        f"With all else as it is, the mean {what} is {short(curve[low])} at {dependence.column} = {at[0]}, and "
        f"{short(curve[high])} at {at[1]}."
    )
