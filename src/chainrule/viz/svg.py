"""Figures as inline SVG whose ink follows the text color of the surrounding page."""

from collections.abc import Callable
from html import escape
from io import StringIO
from typing import Any
from warnings import catch_warnings, filterwarnings

from matplotlib import rc_context
from matplotlib.figure import Figure

from chainrule.viz.ticks import space_ticks

Draw = Callable[..., object]
"""A function that draws on the Axes `ax`, like those of `chainrule.viz`."""

_INK = "#010203"
"""Placeholder for the color of the surrounding text."""


def svg(draw: Draw, width: float, height: float, label: str) -> str:
    """Return a figure as SVG source with an accessible label; its ink is `currentColor`."""
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    ink: dict[Any, Any] = dict.fromkeys(inks, _INK)
    with rc_context({**ink, "svg.fonttype": "none", "svg.hashsalt": label, "font.family": "sans-serif"}):
        figure = Figure(figsize=(width, height), dpi=72, layout="constrained", facecolor="none")
        ax = figure.add_subplot()
        ax.spines[["top", "right"]].set_visible(False)
        ax.patch.set_visible(False)
        draw(ax=ax)
        text = StringIO()
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with catch_warnings():
            filterwarnings("ignore", "Glyph")  # text stays text: the reader's font may have glyphs that ours lacks
            space_ticks(ax)
            figure.set_layout_engine("none")  # it is laid out, for the dots per inch of SVG
            figure.savefig(text, format="svg", transparent=True, metadata=no_metadata)
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :].replace(_INK, "currentColor")
    return drawing.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
