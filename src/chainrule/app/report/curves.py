"""Learning curves: the metric by which each network's epoch was chosen, and the loss that its training minimizes."""

from math import log
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from chainrule.app.report.blocks import Figure, Section
from chainrule.app.report.study import Study
from chainrule.app.report.wording import percent
from chainrule.arrays import Array
from chainrule.data.targets import NumberTarget
from chainrule.training.history import History
from chainrule.viz.style import add_legend, palette_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OVERFITTING = {
    0.9: "there is no sign of overfitting.",
    0.5: "there is little overfitting.",
    0.0: "the networks overfit, so the epoch that is kept matters.",
}
"""Least ratio of the training loss to the validation loss -> what it means."""
_LEAST = 1e-6
"""What is less is drawn as this: a logarithmic axis has no zero."""


def section(study: Study) -> Section | None:
    """Return the learning curves of all members; None if the model was trained before."""
    histories = [history for history in study.result.histories if len(history)]
    if not histories:
        return None
    return Section("Learning curves", [_selection(study, histories), _loss(study, histories)])


def _selection(study: Study, histories: list[History]) -> Figure:
    """Return the metric that chose the epochs, on the rows that a member was not trained on."""
    column = next(name for name in histories[0].metrics if name.startswith("validation_"))
    metric, curves = _in_unit(study, column.removeprefix("validation_"), [history[column] for history in histories])
    best = [history.best_epoch if history.best_epoch is not None else len(history) - 1 for history in histories]
    at_end = sum(epoch == len(history) - 1 for epoch, history in zip(best, histories))
    worse = float(np.median([curve[-1] / curve[k] - 1 if curve[k] > 0 else 0.0 for curve, k in zip(curves, best)]))
    caption = (
        "One curve per network, on the rows that it was not trained on; the dot marks the epoch that is kept, epoch "
        f"{min(best) + 1} to {max(best) + 1}."
    )
    if at_end < len(best):
        caption += f" At the end of training, the median network is {percent(abs(worse))} worse than at its dot."
    if at_end:
        caption += f" {at_end} of {len(best)} networks were best in their last epoch: more epochs may help."

    def draw(ax: "Axes") -> None:
        blue = palette_for(ax).blue
        for curve, k in zip(curves, best):
            ax.plot(np.arange(1, len(curve) + 1), curve, color=blue, linewidth=1.2, alpha=0.7)
            ax.plot(k + 1, curve[k], "o", color=blue, markersize=5)
        _finish(ax, f"Validation {metric}")

    return Figure(draw, 4.4, 3.4, f"Validation {metric} by epoch", caption)


def _in_unit(study: Study, metric: str, curves: list[list[float]]) -> tuple[str, list[Array]]:
    """Return the name and the curves of a metric: for numbers, RMSE in their own unit if that is linear."""
    arrays = [np.array(curve) for curve in curves]
    if metric == "mse" and isinstance(study.target, NumberTarget):
        if study.target.transform == "identity":
            return "RMSE", [np.sqrt(array) * study.target.stds[0] for array in arrays]
        return f"RMSE of the standardized {study.target.transform}", [np.sqrt(array) for array in arrays]
    return {"brier": "Brier score"}.get(metric, metric.replace("_", " ")), arrays


def _loss(study: Study, histories: list[History]) -> Figure:
    """Return the training and validation loss, above what label smoothing makes unattainable."""
    floor = _floor(study)
    training, validation = (
        [np.maximum(np.array(curve) - floor, _LEAST) for curve in curves]
        for curves in ([history.loss for history in histories], [history.validation_loss for history in histories])
    )
    ratio = float(np.median([seen[-1] / max(unseen[-1], _LEAST) for seen, unseen in zip(training, validation)]))
    caption = f"At the end, the training loss is {percent(ratio)} of the validation loss in the median network: "
    caption += next(text for least, text in _OVERFITTING.items() if ratio >= least)
    if floor:
        caption += f" The {floor:.3f} that label smoothing adds to every loss are subtracted."

    def draw(ax: "Axes") -> None:
        colors = palette_for(ax)
        for k, (seen, unseen) in enumerate(zip(training, validation)):
            names = ("training rows", "validation rows") if k == 0 else (None, None)
            epochs = np.arange(1, len(seen) + 1)
            ax.plot(epochs, seen, color=colors.orange, linewidth=1, alpha=0.7, linestyle="--", label=names[0])
            ax.plot(epochs, unseen, color=colors.blue, linewidth=1.2, alpha=0.7, label=names[1])
        _finish(ax, "Loss above its floor" if floor else "Loss")
        add_legend(ax)

    return Figure(draw, 4.4, 3.4, "Training and validation loss by epoch", caption)


def _floor(study: Study) -> float:
    """Return the entropy of a smoothed label: the least cross-entropy that a network can have."""
    smoothing = float(getattr(study.ensemble.networks[0].loss, "label_smoothing", 0.0))
    if not smoothing:
        return 0.0
    rest = smoothing / study.target.n_outputs
    label = 1 - smoothing + rest
    return -label * log(label) - (study.target.n_outputs - 1) * rest * log(rest)


def _finish(ax: "Axes", ylabel: str) -> None:
    ax.set(xlabel="Epoch", ylabel=ylabel, title=ylabel, yscale="log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.25)
