"""The loss surface, and the paths of optimizers on it. The values come from `chainrule.insight.surface`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import Array, require
from chainrule.insight.surface import Surface
from chainrule.viz.style import DASHES, MARKERS, add_legend, new_axes, palette_for, require_type, shorten

_N_LEVELS = 14


def loss_surface(surface: Surface, ax: Axes | None = None, title: str = "Loss surface") -> Axes:
    """Draw the contours of the loss over a plane of weight space, with darker blue for higher losses.

    `surface` is the result of `surface_around` or `surface_of_paths`; the axes are the coordinates along its two
    directions. A cross marks the lowest loss on the grid. Contour levels are denser at low losses.
    """
    require_type(surface, Surface, "surface", "the result of surface_around or surface_of_paths")
    ax = new_axes(ax)
    colors = palette_for(ax)
    low, high = float(surface.losses.min()), float(surface.losses.max())
    if high > low:
        levels = low + (high - low) * np.linspace(0, 1, _N_LEVELS) ** 3
        ax.contourf(surface.x, surface.y, surface.losses, levels, cmap=colors.shades)
        lines = ax.contour(surface.x, surface.y, surface.losses, levels[1:-1], colors=[colors.ink], linewidths=0.6)
        ax.clabel(lines, levels[2:-1:2], fontsize=7, fmt=lambda level: f"{level:.2g}")
        j, i = np.unravel_index(surface.losses.argmin(), surface.losses.shape)
        label = f"lowest loss on the grid: {low:.3g}"
        ax.plot(surface.x[i], surface.y[j], "x", color=colors.ink, markersize=8, label=label)
    else:
        ax.plot([], [], " ", label=f"constant loss: {low:.3g}")
    ax.set(xlim=surface.x[[0, -1]], ylim=surface.y[[0, -1]], title=title)
    ax.set(xlabel="First direction", ylabel="Second direction")
    add_legend(ax)
    return ax


def descent_paths(
    surface: Surface,
    paths: Mapping[str, Sequence[Array]],
    ax: Axes | None = None,
    title: str = "Optimization paths",
) -> Axes:
    """Draw named paths through weight space, `WeightPath.thetas` of each training run, over the loss surface.

    A large marker is at the end of each path. Weights off the plane are projected onto it; the legend shows the
    fraction of the paths' variance that lies in the plane.
    """
    require(len(paths) > 0, "paths", "contain at least one path", paths)
    ax = loss_surface(surface, ax, title)
    colors = palette_for(ax)
    starts = {tuple(surface.project(thetas[:1])[0]) for thetas in paths.values()}
    ax.plot(*zip(*starts), "*", color=colors.ink, markersize=11, label="start", zorder=5)
    for k, (name, thetas) in enumerate(paths.items()):
        color = colors.classes[k % len(colors.classes)]
        x, y = surface.project(thetas).T
        look: dict[str, Any] = {"marker": MARKERS[k % len(MARKERS)], "markeredgecolor": colors.ink, "markersize": 9}
        dash = DASHES[k % len(DASHES)]
        ax.plot(x, y, color=color, linestyle=dash, linewidth=1.8, markevery=[len(x) - 1], label=shorten(name), **look)
    add_legend(ax, title=f"{surface.share:.0%} of variance in plane")
    return ax
