"""The figures of the learning pages: a module for each page, and in it a function for each figure.

A function returns the Axes of its panels. What several figures of a page need is computed in functions with a cache.
"""

import re
from collections.abc import Sequence
from dataclasses import fields
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


def save(name: str, folder: Path) -> dict[str, list[Path]]:
    """Draw the figure `module.function`, and return a file for each panel by theme.

    Figures are drawn for light pages; for dark ones, the colors in the file are replaced. Files that are newer than all
    sources are kept.
    """
    module, function = name.split(".")
    drawn = {theme: sorted(folder.glob(f"{module}_{function}_*_{theme}.svg")) for theme in THEMES}
    if drawn["dark"] and drawn["dark"][0].stat().st_mtime > _newest_source():
        return drawn
    for path in [path for paths in drawn.values() for path in paths]:
        path.unlink()
    palette, background = THEMES["light"]
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color")
    look: dict[Any, Any] = dict.fromkeys(inks, palette.ink)
    look |= {"figure.facecolor": background, "axes.facecolor": background, "axes.titlesize": 10, "font.size": 9}
    drawn = {theme: [] for theme in THEMES}
    with plt.rc_context({**look, "svg.hashsalt": name}):
        panels: Sequence[Axes] = getattr(import_module(f"figures.{module}"), function)()
        for k, ax in enumerate(panels):
            for theme, paths in drawn.items():
                paths.append(folder / f"{module}_{function}_{k}_{theme}.svg")
            ax.figure.savefig(drawn["light"][k], metadata={"Date": None})
            plt.close(ax.figure)
            drawn["dark"][k].write_text(_recolor(drawn["light"][k].read_text()))
    return drawn


def blank(folder: Path) -> dict[str, list[Path]]:
    """Return a blank picture for each theme."""
    path = folder / "blank.svg"
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>')
    return {theme: [path] for theme in THEMES}


def _recolor(drawing: str) -> str:
    """Replace the colors of light pages with those of dark ones."""
    (light, white), (dark, black) = THEMES.values()
    colors = {getattr(light, field.name): getattr(dark, field.name) for field in fields(light)} | {white: black}
    return re.sub("|".join(colors), lambda match: colors[match[0]], drawing)


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
