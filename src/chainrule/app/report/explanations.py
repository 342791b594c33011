"""Explanations: the contributions of the columns to the predictions for a sample of rows, and for one of them."""

from functools import partial

import numpy as np

from chainrule import viz
from chainrule.app.report.blocks import Block, Figure, Section, Text
from chainrule.app.report.study import Study, n_explained, per_row
from chainrule.app.report.wording import joined, short
from chainrule.arrays import Array
from chainrule.display import count
from chainrule.insight.explanation import Explanation, percent, ranks

_LEAST_ROWS = 10
_MONOTONE = 0.5
"""Correlation of values and contributions from which on the caption says that high values raise the prediction."""
_INTRODUCTION = (
    "How much each column moves the prediction for a row away from the baseline, the mean prediction for {} (Shapley "
    "values{}). The contributions of a row sum to its prediction minus the baseline. They describe the model, not the "
    "world."
)


def section(study: Study) -> Section:
    """Return the contributions to the predictions for a sample of rows, and for the one farthest from the baseline."""
    explanation = study.explanation
    compared = "training rows" if study.predictor.background is not None else "rows"
    unit = ", in log-odds" if explanation.unit == "log-odds" else ""
    blocks: list[Block] = [Text(_INTRODUCTION.format(f"{explanation.n_background} {compared}", unit))]
    if len(explanation) >= _LEAST_ROWS:
        blocks.append(_beeswarm(explanation))
    blocks.append(_waterfall(explanation))
    return Section("Explanations", blocks)


def network_rows(n_rows: int, n_columns: int) -> int:
    """Return how many rows the networks evaluate for the section at most."""
    return min(n_rows, n_explained(n_columns)) * per_row(n_columns)


def farthest(explanation: Explanation) -> Explanation:
    """Return the explanation of the row whose prediction is the farthest from the baseline, for one output."""
    return max((part.for_output() for part in explanation), key=lambda part: abs(part.predictions[0] - part.baseline))


def _beeswarm(explanation: Explanation) -> Figure:
    one = explanation.for_output()
    first, *others = [entry for entry in one.ranking(3) if entry.column in one.columns]
    j = one.columns.index(first.column)
    caption = (
        f"Each dot is one of {count(len(one), 'row')}. On average, {first.column} moves the {_subject(one)} most, by "
        f"{short(first.contribution)}"
    )
    if others:
        caption += ", followed by " + joined([f"{entry.column} ({short(entry.contribution)})" for entry in others])
    caption += f".{_direction(first.column, one.values[:, j], one.contributions[:, j])}"
    height = 1.1 + 0.34 * min(len(one.columns), 10)
    return Figure(partial(viz.beeswarm, one, title=""), 5.6, height, "Contributions to predictions", caption)


def _direction(column: str, cells: Array, contributions: Array) -> str:
    """Return a sentence if high values of a column raise predictions, or lower them."""
    rank = ranks(cells)
    known = ~np.isnan(rank)
    if known.sum() < _LEAST_ROWS or np.ptp(rank[known]) == 0 or np.ptp(contributions[known]) == 0:
        return ""
    correlation = np.corrcoef(rank[known], contributions[known])[0, 1]
    if abs(correlation) < _MONOTONE:
        return ""
    return f" High values of {column} {'raise' if correlation > 0 else 'lower'} the prediction."


def _waterfall(explanation: Explanation) -> Figure:
    """Return the way from the baseline to the prediction for the row whose prediction is farthest from it."""
    one = farthest(explanation)
    moves = [
        f"{entry.column} = {entry.value} accounts for {'+' * (entry.contribution > 0)}{short(entry.contribution)}"
        for entry in one.ranking(2)[:2]
        if entry.value
    ]
    prediction, baseline = (float(end[0]) for end in (one.predictions, np.ravel(one.baseline)))
    if one.unit == "log-odds":
        outcome = f"probability of {one.outputs[0]} is {percent(prediction)}, against {percent(baseline)} on average"
        subject = f"Of the log-odds, {joined(moves)}"
    else:
        outcome = f"prediction of {one.outputs[0]} is {short(prediction)}, against {short(baseline)} on average"
        subject = f"Of the difference, {joined(moves)}"
    caption = (
        f"Row {one.rows[0]:,}, whose prediction is the farthest from the baseline of all these rows: the {outcome}. "
        f"{subject}."
    )
    height = 1.5 + 0.3 * min(len(one.columns), 11)
    return Figure(partial(viz.waterfall, one, title=""), 5.6, height, f"Explanation of row {one.rows[0]:,}", caption)


def _subject(one: Explanation) -> str:
    return one.subject if one.unit == "log-odds" else f"prediction of {one.subject}"
