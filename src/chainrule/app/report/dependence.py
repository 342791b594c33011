"""Partial dependence of the prediction on the most important columns, and the strongest interaction of two of them."""

from functools import partial

import numpy as np

from chainrule import viz
from chainrule.app import messages
from chainrule.app.report.blocks import Block, Figure, Section, Text
from chainrule.app.report.study import Study
from chainrule.app.report.wording import short
from chainrule.insight.dependence import Dependence, Interaction, partial_dependence, strongest_interaction

N_DEPENDENCES = 4
"""Number of columns whose partial dependence is shown, the most important first."""
_INTRODUCTION = (
    "The mean prediction with one column set to the same value in all rows. Thin lines are single rows: where they are "
    "not parallel, the effect depends on other columns. The axes span the middle 98% of the column's values, and all "
    "panels have the same vertical axis."
)


def section(study: Study) -> Section:
    """Return the partial dependence of the prediction on some columns."""
    columns = study.importance.ranking[:N_DEPENDENCES]
    dependences = []
    for k, name in enumerate(columns):
        study.show("partial dependence", k / len(columns))
        dependences.append(partial_dependence(study.predictor, study.result.inputs, name))
    limits = viz.dependence_limits(dependences)
    blocks: list[Block] = [Text(_INTRODUCTION)]
    for dependence in dependences:
        draw = partial(viz.partial_dependence, dependence, title="", limits=limits)
        label = f"Partial dependence on {dependence.column}"
        blocks.append(Figure(draw, 4.2, 3.0, label, _caption(dependence)))
    if len(columns) > 1:
        study.show("interactions", None)
        pair = strongest_interaction(study.predictor, study.result.inputs, columns)
        draw = partial(viz.interaction, pair, title="")
        label = f"Strongest interaction: {pair.columns[0]} and {pair.columns[1]}"
        blocks.append(Figure(draw, 4.8, 3.4, label, _interaction_caption(pair)))
    return Section("Partial dependence", blocks)


def network_rows(n_rows: int, n_columns: int) -> int:
    """Return how many rows the networks evaluate for the section."""
    n_columns = min(n_columns, N_DEPENDENCES)
    interactions = 40**2 * n_columns * (n_columns + 1) // 2 + 40 * 10**2 if n_columns > 1 else 0
    return min(n_rows, 500) * 20 * n_columns + interactions


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


def _interaction_caption(pair: Interaction) -> str:
    """Return which effects do not add up, and by how much."""
    one, other = pair.columns
    strength = f"{pair.strength:.1%}" if pair.are_probabilities else short(pair.strength)
    crossed = " Crosses mark pairs that are nearest to no row." if (pair.counts == 0).any() else ""
    return (
        f"Of these columns, {one} and {other} interact most. Their separate effects added up miss the joint one by "
        f"{strength} (standard deviation; Friedman's H is {pair.h:.2f}, where 0 is no interaction).{crossed}"
    )
