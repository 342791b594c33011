"""Permutation importance: how much worse predictions get when the values of one column are shuffled."""

from functools import partial

from chainrule import viz
from chainrule.app.report.blocks import Block, Figure, Section, Text
from chainrule.app.report.study import Study
from chainrule.app.report.wording import joined, short


def section(study: Study) -> Section:
    """Return the permutation importance of the columns that matter most."""
    importance = study.importance
    n_measured, n_columns = len(importance.worse), len(study.predictor.encoder.columns)
    means = {name: float(importance.worse[name].mean()) for name in importance.ranking}
    metric = importance.metric.replace("_", " ").replace("rmse", "RMSE")
    first, *others = means
    caption = f"Shuffling {first} raises the {metric} from {short(importance.score)} by {short(means[first])}"
    if others:
        caption += f", shuffling {others[0]} by {short(means[others[0]])}"
    useless = [name for name in means if means[name] <= 0]
    caption += "."
    if useless:
        shown = joined(useless) if len(useless) <= 3 else f"{len(useless)} columns"
        caption += f" Without {shown}, predictions would hardly be worse."
    caption += (
        " Bars are standard deviations over 5 shuffles; columns with the same information share their importance."
    )
    height = 1.3 + 0.28 * min(n_measured, 20)
    blocks: list[Block] = [
        Figure(partial(viz.importance, importance, title=""), 4.6, height, "Permutation importance", caption)
    ]
    if n_measured < n_columns:
        text = f"Measured for {n_measured} of {n_columns:,} columns, those of highest saliency."
        blocks.insert(0, Text(text))
    return Section("Permutation importance", blocks)
