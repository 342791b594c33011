"""How good a classifier is: what it took for what, its curves, and whether its probabilities are true.

In all of them `y` (n,) are class numbers, `P` (n, K) the probabilities of the classes, or (n,) or (n, 1) that of class
1 alone, and `labels` the classes' names. The numbers come from `chainrule.insight.evaluation`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from chainrule.arrays import Array, require
from chainrule.insight.evaluation import (
    area_under,
    average_precision,
    calibration_curve,
    calibration_error,
    check_probabilities,
    confusion_matrix,
    precision_recall_curve,
    roc_curve,
    wilson_interval,
)
from chainrule.viz.style import DASHES, add_legend, cut, new_axes, palette_for, points_across, spread_over

LEAST_SIZE = 4.5
"""Points that text must have to be read; smaller, it is left out."""


def confusion(
    y: ArrayLike,
    P: ArrayLike,
    labels: Sequence[object] | None = None,
    ax: Axes | None = None,
    title: str = "which class was taken for which",
) -> Axes:
    """Draw how many rows of each actual class, down, were taken for each class, across.

    A cell is the bluer, the larger its share of the row. Numbers and names are left out where they would be too small.
    """
    counts = confusion_matrix(y, P)
    K = len(counts)
    side = min(max(0.45 * K, 3.6), 9.0) + 1.2
    ax = new_axes(ax, side, side)
    cell = points_across(ax) / K
    colours = palette_for(ax)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.pcolormesh(
        np.arange(K + 1) - 0.5,
        np.arange(K + 1) - 0.5,
        shares,
        cmap=colours.shades,
        vmin=0,
        vmax=1,
        edgecolor=(colours.pale, 0.35),
        linewidth=min(0.5, cell / 40),
    )
    texts = {(i, j): short(count) for (i, j), count in np.ndenumerate(counts) if count}
    size = min(11.0, 0.5 * cell, 1.5 * cell / max(map(len, texts.values())))
    if size >= LEAST_SIZE:
        for (i, j), text in texts.items():
            ax.text(j, i, text, ha="center", va="center", fontsize=size, color=colours.ink)
    ax.set(xlim=(-0.5, K - 0.5), ylim=(K - 0.5, -0.5), xlabel="predicted", ylabel="actual", title=title)
    ax.set_aspect("equal")
    size = min(10.0, 0.75 * cell)
    names = [cut(name, max(6, int(0.6 * K * cell / size))) for name in names_for(labels, K)]
    shown = range(K) if size >= LEAST_SIZE else range(0)
    level = 0.6 * size * max(map(len, names)) < cell
    ax.set_xticks(shown, [names[k] for k in shown], fontsize=size, rotation=0 if level else 90)
    ax.set_yticks(shown, [names[k] for k in shown], fontsize=size)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def roc(
    y: ArrayLike, P: ArrayLike, labels: Sequence[object] | None = None, ax: Axes | None = None, title: str = "ROC"
) -> Axes:
    """Draw the share of hits against the share of false alarms, for class 1 of two, or for each class against the rest.

    Named with their area under the curve; of more than five classes the five of the least, others pale. Classes that
    all rows or none belong to have no curve.
    """
    y, P = check_probabilities(y, P)
    curves = []
    for k, name in one_against_rest(P, labels):
        if 0 < (y == k).sum() < len(y):
            alarms, hits, _ = roc_curve(y == k, P[:, k])
            curves.append(Curve(name, alarms, hits, area_under(alarms, hits)))
    ax = unit_square(ax, title, "share of the others taken for it", "share of the class found")
    ax.plot([0, 1], [0, 1], color=palette_for(ax).pale, linewidth=1.2, linestyle=":", label="chance (0.500)")
    return draw_curves(ax, curves, "area under the curve", "lower right")


def precision_recall(
    y: ArrayLike,
    P: ArrayLike,
    labels: Sequence[object] | None = None,
    ax: Axes | None = None,
    title: str = "precision and recall",
) -> Axes:
    """Draw how many of the rows taken for a class belong to it, against how many of the class were found.

    For class 1 of two, or each class against the rest. Named with their average precision; of more than five classes
    the five of the least, others pale. Classes without a row have no curve.
    """
    y, P = check_probabilities(y, P)
    curves = []
    for k, name in one_against_rest(P, labels):
        if (y == k).any():
            precision, recall, _ = precision_recall_curve(y == k, P[:, k])
            curves.append(Curve(name, recall, precision, average_precision(precision, recall)))
    ax = unit_square(ax, title, "recall: share of the class found", "precision: share of those right")
    if P.shape[1] == 2 and curves:
        share = float((y == 1).mean())
        ax.axhline(share, color=palette_for(ax).pale, linewidth=1.2, linestyle=":", label=f"chance ({share:.3f})")
    corner = "lower left" if len(curves) <= len(palette_for(ax).classes) else "best"
    return draw_curves(ax, curves, "average precision", corner, drawstyle="steps-post")


def calibration(
    y: ArrayLike,
    P: ArrayLike,
    labels: Sequence[object] | None = None,
    ax: Axes | None = None,
    title: str = "calibration",
    bins: int = 10,
) -> Axes:
    """Draw how often it was so against how likely it was said to be; on the diagonal, probabilities are true.

    It is class 1 of two; of more, the class that was answered. Bins of probability are equally wide, a dot is the
    larger, the more rows its bin has, and a bar holds the true share in 95 of 100 cases.
    """
    y, P = check_probabilities(y, P)
    names = names_for(labels, P.shape[1])
    if P.shape[1] == 2:
        so, p = y, P[:, 1]
        said, was = f"probability of {cut(names[1])}", f"share that was {cut(names[1])}"
    else:
        so, p = P.argmax(axis=1) == y, P.max(axis=1)
        said, was = "probability of the class answered", "share that was right"
    were, mean, counts = calibration_curve(so, p, bins)
    ax = unit_square(ax, title, said, was)
    colours = palette_for(ax)
    ax.plot([0, 1], [0, 1], color=colours.pale, linewidth=1.2, linestyle=":", label="true probabilities")
    ax.plot(mean, were, color=colours.blue, linewidth=1)
    ax.vlines(mean, *wilson_interval(were, counts), color=colours.blue, linewidth=1)
    error = calibration_error(were, mean, counts)
    dots = ax.scatter(mean, were, s=15 + 105 * counts / counts.max(), color=colours.blue, linewidths=0, zorder=3)
    dots.set_label(f"off by {error:.3f} on average")
    add_legend(ax)
    return ax


# Their parts.


@dataclass(frozen=True, eq=False)
class Curve:
    """A class's curve and its area."""

    name: str
    x: Array
    y: Array
    area: float


def one_against_rest(P: Array, labels: Sequence[object] | None) -> list[tuple[int, str]]:
    """Return number and name of the classes that have a curve: of two, class 1, since the other's is its mirror."""
    names = names_for(labels, P.shape[1])
    return [(1, names[1])] if len(names) == 2 else list(enumerate(names))


def names_for(labels: Sequence[object] | None, K: int) -> list[str]:
    """Return the classes' names."""
    require(labels is None or len(labels) == K, "labels", f"name {K} classes", labels)
    return [str(label) for label in labels] if labels is not None else [f"class {k}" for k in range(K)]


def unit_square(ax: Axes | None, title: str, xlabel: str, ylabel: str) -> Axes:
    """Return Axes for shares against shares."""
    ax = new_axes(ax)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title=title, xlabel=xlabel, ylabel=ylabel)
    ax.grid(alpha=0.25)
    return ax


def draw_curves(ax: Axes, curves: Sequence[Curve], area: str, corner: str, drawstyle: str = "default") -> Axes:
    """Draw the curves with their legend in a corner: those of least area each in a colour, the others pale."""
    colours = palette_for(ax)
    if not curves:
        ax.text(0.5, 0.5, "no curve:\nthese rows lack a class", ha="center", va="center", color=colours.ink)
        return ax
    most = len(colours.classes)
    hardest = sorted(curves, key=lambda curve: curve.area)[:most]
    others = [curve for curve in curves if curve not in hardest]
    for curve in others:
        corners = spread_over(len(curve.x))
        ax.plot(curve.x[corners], curve.y[corners], color=colours.pale, alpha=0.5, linewidth=0.8, drawstyle=drawstyle)
    for k, curve in enumerate(curve for curve in curves if curve in hardest):
        corners = spread_over(len(curve.x))
        label = f"{cut(curve.name)} ({curve.area:.3f})"
        ax.plot(
            curve.x[corners],
            curve.y[corners],
            color=colours.classes[k],
            linestyle=DASHES[k % len(DASHES)],
            linewidth=1.8,
            drawstyle=drawstyle,
            label=label,
        )
    if others:
        areas = [curve.area for curve in others]
        label = f"{len(others)} others ({min(areas):.3f} to {max(areas):.3f})"
        ax.plot([], [], color=colours.pale, linewidth=0.8, label=label)
    add_legend(ax, corner, area)
    return ax


def short(count: int) -> str:
    """Return a count in five letters at most."""
    for unit, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= 10 * unit:
            return f"{count / unit:.0f}{letter}"
    return str(count)
