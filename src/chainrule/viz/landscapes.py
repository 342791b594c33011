"""The loss as a landscape, and the ways down. The numbers come from `chainrule.insight.surface`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import Array, require
from chainrule.insight.surface import Surface
from chainrule.viz.style import DASHES, MARKERS, add_legend, cut, new_axes, palette_for, require_kind

LEVELS = 14


def loss_surface(surface: Surface, ax: Axes | None = None, title: str = "loss around the weights") -> Axes:
    """Draw the loss over a plane of weights: lines of equal loss, the ground the bluer, the higher it is.

    `surface` is what `surface_around` and `surface_of_paths` return. A cross marks the lowest loss that was measured.
    Levels lie the closer, the lower they are.
    """
    require_kind(surface, Surface, "surface", "what surface_around or surface_of_paths returns")
    ax = new_axes(ax)
    colours = palette_for(ax)
    low, high = float(surface.losses.min()), float(surface.losses.max())
    if high > low:
        levels = low + (high - low) * np.linspace(0, 1, LEVELS) ** 3
        ax.contourf(surface.x, surface.y, surface.losses, levels, cmap=colours.shades)
        lines = ax.contour(surface.x, surface.y, surface.losses, levels[1:-1], colors=[colours.ink], linewidths=0.6)
        ax.clabel(lines, levels[2:-1:2], fontsize=7, fmt=lambda level: f"{level:.2g}")
        j, i = np.unravel_index(surface.losses.argmin(), surface.losses.shape)
        ax.plot(surface.x[i], surface.y[j], "x", color=colours.ink, markersize=8, label=f"lowest loss here, {low:.3g}")
    else:
        ax.plot([], [], " ", label=f"the loss is {low:.3g} everywhere here")
    ax.set(xlim=surface.x[[0, -1]], ylim=surface.y[[0, -1]], title=title)
    ax.set(xlabel="first direction", ylabel="second direction")
    add_legend(ax)
    return ax


def descent_paths(
    surface: Surface,
    paths: Mapping[str, Sequence[Array]],
    ax: Axes | None = None,
    title: str = "ways down",
) -> Axes:
    """Draw, over the loss of a plane, the ways that weights have gone, by name: `WeightPath.thetas` of each training.

    A large mark is where a way ends. What is off the plane is drawn at the point of it that is closest; the legend says
    how much of the ways lies in it.
    """
    require(len(paths) > 0, "paths", "hold one way at least", paths)
    ax = loss_surface(surface, ax, title)
    colours = palette_for(ax)
    begins = {tuple(surface.project(thetas[:1])[0]) for thetas in paths.values()}
    ax.plot(*zip(*begins), "*", color=colours.ink, markersize=11, label="start", zorder=5)
    for k, (name, thetas) in enumerate(paths.items()):
        colour = colours.classes[k % len(colours.classes)]
        x, y = surface.project(thetas).T
        look: dict[str, Any] = {"marker": MARKERS[k % len(MARKERS)], "markeredgecolor": colours.ink, "markersize": 9}
        dash = DASHES[k % len(DASHES)]
        ax.plot(x, y, color=colour, linestyle=dash, linewidth=1.8, markevery=[len(x) - 1], label=cut(name), **look)
    add_legend(ax, title=f"{surface.share:.0%} in this plane")
    return ax
