"""Disagreement of the members: where networks that saw other rows predict otherwise, errors are more frequent."""

from typing import TYPE_CHECKING

import numpy as np

from chainrule.app.report.blocks import Figure, Section
from chainrule.app.report.study import Study
from chainrule.app.report.wording import percent, short
from chainrule.arrays import Array
from chainrule.data.targets import ClassTarget
from chainrule.viz.style import palette_for
from chainrule.viz.svg import Draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MIN_ROWS = 20
_MAX_PARTS, _ROWS_PER_PART = 10, 10


def section(study: Study) -> Section | None:
    """Return the members' spread against the error; None for a single network or few rows."""
    if len(study.ensemble.networks) < 2 or len(study.compared) < _MIN_ROWS:
        return None
    spread, errors = spread_and_error(study)
    n_parts = min(_MAX_PARTS, len(spread) // _ROWS_PER_PART)
    parts = np.array_split(np.argsort(spread, kind="stable"), n_parts)
    figure = Figure(
        _drawing(study, spread, errors, parts), 4.4, 3.6, "Error by members' spread", _caption(study, parts)
    )
    return Section("Disagreement of the members", [figure])


def spread_and_error(study: Study) -> tuple[Array, Array]:
    """Return for each compared row the standard deviation of the members' predictions, and the ensemble's error.

    For classes, that of the probability of the class that the ensemble predicts, and 1 if that is wrong, else 0; for
    numbers, both are in the target's unit.
    """
    rows, ensemble = study.compared, study.result.predictions[study.compared]
    if isinstance(study.target, ClassTarget):
        chosen = ensemble.argmax(axis=1)
        chances = np.take_along_axis(study.members, chosen[np.newaxis, :, np.newaxis], axis=2)[:, :, 0]
        return chances.std(axis=0), (chosen != study.classes[rows]).astype(float)
    values = np.stack([study.target.decode(predictions) for predictions in study.members])
    return values.std(axis=0), np.abs(study.actual - study.predicted)[rows]


def _caption(study: Study, parts: list[Array]) -> str:
    spread, errors = spread_and_error(study)
    most, others = parts[-1], np.concatenate(parts[:-1])
    is_classifier = isinstance(study.target, ClassTarget)
    what = "the probability of the predicted class" if is_classifier else study.target.name
    show = (lambda value: f"{value:.2g}") if is_classifier else short
    sentence = (
        f"The {len(study.ensemble.networks)} networks' predictions of {what} have a standard deviation of "
        f"{show(float(np.median(spread)))} in the median row. "
    )
    least, share = show(float(spread[most].min())), percent(len(most) / len(spread))
    among = f"Where they differ most, by {least} or more ({share} of rows), "
    there, elsewhere = float(errors[most].mean()), float(errors[others].mean())
    name = "rate of errors" if is_classifier else "mean error"
    if elsewhere > 0:
        return f"{sentence}{among}the {name} is {short(there / elsewhere)} times that of the others."
    return f"{sentence}{among}the {name} is {percent(there)}, and 0% among the others."


def _drawing(study: Study, spread: Array, errors: Array, parts: list[Array]) -> Draw:
    means = np.array([errors[part].mean() for part in parts])
    margins = np.array([1.645 * errors[part].std() / np.sqrt(len(part)) for part in parts])
    centers = np.array([np.median(spread[part]) for part in parts])
    is_classifier = isinstance(study.target, ClassTarget)

    def draw(ax: "Axes") -> None:
        blue = palette_for(ax).blue
        ax.fill_between(centers, np.maximum(means - margins, 0), means + margins, color=blue, alpha=0.2, linewidth=0)
        ax.plot(centers, means, "o-", color=blue, markersize=5, linewidth=1.4)
        ax.set(title="Error by the members' disagreement", ylim=(0, None))
        ax.set(xlabel="Standard deviation between members", ylabel="Rate of errors" if is_classifier else "Mean error")
        ax.grid(alpha=0.25)

    return draw
