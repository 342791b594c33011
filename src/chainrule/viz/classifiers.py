"""Classification quality: confusion matrix, ROC and precision-recall curves, calibration.

In all functions, `y` (n,) contains class numbers, `P` (n, K) the probabilities of the classes, or (n,) or (n, 1) the
probability of class 1, and `labels` the names of the classes. The values come from `chainrule.insight.evaluation`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from chainrule.arrays import Array, require
from chainrule.insight import evaluation
from chainrule.viz.style import DASHES, add_legend, evenly_spaced, new_axes, palette_for, shorten, shorter_side

_COUNTS_HEIGHT = 0.12
"""Height of the bar of the fullest bin of a calibration curve."""
_MIN_FONT_SIZE = 4.5
"""Font size in points below which text is illegible and left out."""


def confusion(
    y: ArrayLike,
    P: ArrayLike,
    labels: Sequence[object] | None = None,
    ax: Axes | None = None,
    title: str = "Confusion matrix",
) -> Axes:
    """Draw the number of rows of each actual class (vertical) that were predicted as each class (horizontal).

    Cells are shaded by their fraction of the actual class. Counts and names that would be too small are left out.
    """
    counts = evaluation.confusion_matrix(y, P)
    K = len(counts)
    side = min(max(0.45 * K, 3.6), 9.0) + 1.2
    ax = new_axes(ax, side, side)
    cell = shorter_side(ax) / K
    colors = palette_for(ax)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.pcolormesh(
        np.arange(K + 1) - 0.5,
        np.arange(K + 1) - 0.5,
        fractions,
        cmap=colors.shades,
        vmin=0,
        vmax=1,
        edgecolor=(colors.pale, 0.35),
        linewidth=min(0.5, cell / 40),
    )
    texts = {(i, j): format_count(count) for (i, j), count in np.ndenumerate(counts) if count}
    size = min(11.0, 0.5 * cell, 1.5 * cell / max(map(len, texts.values())))
    if size >= _MIN_FONT_SIZE:
        for (i, j), text in texts.items():
            ax.text(j, i, text, ha="center", va="center", fontsize=size, color=colors.ink)
    ax.set(xlim=(-0.5, K - 0.5), ylim=(K - 0.5, -0.5), xlabel="Predicted class", ylabel="Actual class", title=title)
    ax.set_aspect("equal")
    size = min(10.0, 0.75 * cell)
    names = [shorten(name, max(6, int(0.6 * K * cell / size))) for name in _class_names(labels, K)]
    shown = range(K) if size >= _MIN_FONT_SIZE else range(0)
    fits = 0.6 * size * max(map(len, names)) < cell
    ax.set_xticks(shown, [names[k] for k in shown], fontsize=size, rotation=0 if fits else 90)
    ax.set_yticks(shown, [names[k] for k in shown], fontsize=size)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def roc(
    y: ArrayLike,
    P: ArrayLike,
    labels: Sequence[object] | None = None,
    ax: Axes | None = None,
    title: str = "ROC curve",
) -> Axes:
    """Draw the ROC curve of class 1 of two, or of each class against the rest.

    The legend shows the area under each curve. Of more than five classes, the five with the smallest areas are colored
    and the others pale. Classes that contain all rows or none have no curve.
    """
    y, P = evaluation.check_probabilities(y, P)
    curves = []
    for k, name in _one_vs_rest(P, labels):
        if 0 < (y == k).sum() < len(y):
            false_positives, true_positives, _ = evaluation.roc_curve(y == k, P[:, k])
            curves.append(
                _Curve(name, false_positives, true_positives, evaluation.area_under(false_positives, true_positives))
            )
    ax = _unit_square(ax, title, "False positive rate", "True positive rate")
    ax.plot([0, 1], [0, 1], color=palette_for(ax).pale, linewidth=1.2, linestyle=":", label="chance level (0.500)")
    return _draw_curves(ax, curves, "AUC", "lower right")


def precision_recall(
    y: ArrayLike,
    P: ArrayLike,
    labels: Sequence[object] | None = None,
    ax: Axes | None = None,
    title: str = "Precision-recall curve",
) -> Axes:
    """Draw the precision-recall curve of class 1 of two, or of each class against the rest.

    The legend shows the average precision of each curve. Of more than five classes, the five with the lowest average
    precision are colored and the others pale. Classes without rows have no curve.
    """
    y, P = evaluation.check_probabilities(y, P)
    curves = []
    for k, name in _one_vs_rest(P, labels):
        if (y == k).any():
            precision, recall, _ = evaluation.precision_recall_curve(y == k, P[:, k])
            curves.append(_Curve(name, recall, precision, evaluation.average_precision(precision, recall)))
    ax = _unit_square(ax, title, "Recall", "Precision")
    if P.shape[1] == 2 and curves:
        prevalence = float((y == 1).mean())
        label = f"chance level ({prevalence:.3f})"
        ax.axhline(prevalence, color=palette_for(ax).pale, linewidth=1.2, linestyle=":", label=label)
    corner = "lower left" if len(curves) <= len(palette_for(ax).classes) else "best"
    return _draw_curves(ax, curves, "Average precision", corner, drawstyle="steps-post")


def calibration(
    y: ArrayLike,
    P: ArrayLike,
    labels: Sequence[object] | None = None,
    ax: Axes | None = None,
    title: str = "Calibration curve",
    n_bins: int = 10,
    before: ArrayLike | None = None,
) -> Axes:
    """Draw the observed frequency over the predicted probability; calibrated probabilities are on the diagonal.

    For two classes, it is the probability of class 1; for more, that of the predicted class. The bins have equal
    widths. The area of a dot grows with the number of rows in its bin, which a bar at the bottom counts; vertical lines
    are 95 % confidence intervals, and the legend shows the expected calibration error (ECE). `before` are probabilities
    like `P`, from before a calibration, for a second curve.
    """
    y, P = evaluation.check_probabilities(y, P)
    names = _class_names(labels, P.shape[1])
    if P.shape[1] == 2:
        xlabel, ylabel = f"Predicted probability of {shorten(names[1])}", f"Observed fraction of {shorten(names[1])}"
    else:
        xlabel, ylabel = "Probability of the predicted class", "Accuracy"
    observed, predicted, counts = evaluation.calibration_curve(*evaluation.calibrated_outcome(y, P), n_bins)
    ax = _unit_square(ax, title, xlabel, ylabel)
    colors = palette_for(ax)
    ax.plot([0, 1], [0, 1], color=colors.pale, linewidth=1.2, linestyle=":", label="perfect calibration")
    if before is not None:
        y, P = evaluation.check_probabilities(y, before)
        curve = evaluation.calibration_curve(*evaluation.calibrated_outcome(y, P), n_bins)
        label = f"before, ECE = {evaluation.calibration_error(*curve):.3f}"
        ax.plot(curve[1], curve[0], "s--", color=colors.orange, linewidth=1, markersize=4, label=label)
    _count_rows(ax, predicted, counts, n_bins)
    ax.plot(predicted, observed, color=colors.blue, linewidth=1)
    ax.vlines(predicted, *evaluation.wilson_interval(observed, counts), color=colors.blue, linewidth=1)
    error = evaluation.calibration_error(observed, predicted, counts)
    sizes = 15 + 105 * counts / counts.max()
    dots = ax.scatter(predicted, observed, s=sizes, color=colors.blue, linewidths=0, zorder=3)
    dots.set_label(f"ECE = {error:.3f}")
    add_legend(ax)
    return ax


def _count_rows(ax: Axes, predicted: Array, counts: Array, n_bins: int) -> None:
    """Draw the number of rows in each bin below the curve, as a bar and as text if there is room for it."""
    left = np.maximum(np.ceil(predicted * n_bins - 1e-9) - 1, 0) / n_bins
    colors, heights, bottom = palette_for(ax), _COUNTS_HEIGHT * counts / counts.max(), -1.8 * _COUNTS_HEIGHT
    ax.bar(left, heights, 1 / n_bins, bottom, align="edge", color=colors.pale, alpha=0.5, linewidth=0)
    ax.set_ylim(bottom, 1.02)
    ax.set_yticks(np.linspace(0, 1, 6))
    size = min(7.0, shorter_side(ax) / n_bins / 3)
    if size >= _MIN_FONT_SIZE:
        for x, height, count in zip(left, heights, counts.tolist()):
            text = format_count(count)
            ax.text(x + 0.5 / n_bins, bottom + height, text, ha="center", va="bottom", fontsize=size, color=colors.ink)


@dataclass(frozen=True, eq=False)
class _Curve:
    """The curve of one class and the area under it."""

    name: str
    x: Array
    y: Array
    area: float


def _one_vs_rest(P: Array, labels: Sequence[object] | None) -> list[tuple[int, str]]:
    """Return number and name of the classes to draw: of two only class 1, because the other is its mirror image."""
    names = _class_names(labels, P.shape[1])
    return [(1, names[1])] if len(names) == 2 else list(enumerate(names))


def _class_names(labels: Sequence[object] | None, K: int) -> list[str]:
    require(labels is None or len(labels) == K, "labels", f"name {K} classes", labels)
    return [str(label) for label in labels] if labels is not None else [f"class {k}" for k in range(K)]


def _unit_square(ax: Axes | None, title: str, xlabel: str, ylabel: str) -> Axes:
    """Return Axes from 0 to 1 in both directions."""
    ax = new_axes(ax)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title=title, xlabel=xlabel, ylabel=ylabel)
    ax.grid(alpha=0.25)
    return ax


def _draw_curves(ax: Axes, curves: Sequence[_Curve], area: str, corner: str, drawstyle: str = "default") -> Axes:
    """Draw the curves with a legend in a corner: the smallest areas in colors of their own, the others pale."""
    colors = palette_for(ax)
    if not curves:
        ax.text(0.5, 0.5, "undefined:\na class has no rows", ha="center", va="center", color=colors.ink)
        return ax
    hardest = sorted(curves, key=lambda curve: curve.area)[: len(colors.classes)]
    others = [curve for curve in curves if curve not in hardest]
    for curve in others:
        corners = evenly_spaced(len(curve.x))
        ax.plot(curve.x[corners], curve.y[corners], color=colors.pale, alpha=0.5, linewidth=0.8, drawstyle=drawstyle)
    for k, curve in enumerate(curve for curve in curves if curve in hardest):
        corners = evenly_spaced(len(curve.x))
        label = f"{shorten(curve.name)} ({curve.area:.3f})"
        ax.plot(
            curve.x[corners],
            curve.y[corners],
            color=colors.classes[k],
            linestyle=DASHES[k % len(DASHES)],
            linewidth=1.8,
            drawstyle=drawstyle,
            label=label,
        )
    if others:
        areas = [curve.area for curve in others]
        label = f"{len(others)} others ({min(areas):.3f} to {max(areas):.3f})"
        ax.plot([], [], color=colors.pale, linewidth=0.8, label=label)
    add_legend(ax, corner, area)
    return ax


def format_count(count: int) -> str:
    """Return a count in at most five characters."""
    for unit, suffix in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= 10 * unit:
            return f"{count / unit:.0f}{suffix}"
    return str(count)
