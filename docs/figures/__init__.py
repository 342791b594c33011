"""The figures of the learning pages: a module for each page, and in it a function for each figure.

A function returns the Axes of its panels. It is called once for light and once for dark pages, so what takes time is
computed in functions of its own, with a cache.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

import chainrule
from chainrule.viz.style import ON_DARK, ON_LIGHT

THEMES = {"light": (ON_LIGHT, "#ffffff"), "dark": (ON_DARK, "#131416")}
"""Name -> the palette and the background of a page."""


def save(name: str, theme: str, folder: Path) -> list[Path]:
    """Draw the figure `module.function` for a theme, one file for each panel, and return the files.

    Files that are newer than all sources are kept.
    """
    module, function = name.split(".")
    drawn = sorted(folder.glob(f"{module}_{function}_*_{theme}.svg"))
    if drawn and min(path.stat().st_mtime for path in drawn) > _newest_source():
        return drawn
    for path in drawn:
        path.unlink()
    palette, background = THEMES[theme]
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color")
    look: dict[Any, Any] = dict.fromkeys(inks, palette.ink)
    look |= {"figure.facecolor": background, "axes.facecolor": background, "axes.titlesize": 10, "font.size": 9}
    with plt.rc_context({**look, "svg.hashsalt": name}):
        panels: Sequence[Axes] = getattr(import_module(f"figures.{module}"), function)()
        paths = [folder / f"{module}_{function}_{k}_{theme}.svg" for k in range(len(panels))]
        for ax, path in zip(panels, paths, strict=True):
            ax.figure.savefig(path, metadata={"Date": None})
            plt.close(ax.figure)
    return paths


@cache
def _newest_source() -> float:
    """Return the time of the last change of the figures and of the library."""
    folders = Path(__file__).parent, Path(chainrule.__file__).parent
    return max(path.stat().st_mtime for folder in folders for path in folder.rglob("*.py"))


def new(width: float = 3.3, height: float = 2.9, **properties: Any) -> Axes:
    """Return the Axes of a new panel, without a frame at the top and right, with properties such as `title`."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set(**properties)
    return ax
