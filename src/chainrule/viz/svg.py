"""Figures as text in a page: SVG, its ink the colour of the words around it."""

from collections.abc import Callable
from html import escape
from io import StringIO
from typing import Any
from warnings import catch_warnings, filterwarnings

from matplotlib import rc_context
from matplotlib.figure import Figure

Draw = Callable[..., object]
"""A function that draws on the Axes `ax`, as all of `chainrule.viz` do."""

INK = "#010203"
"""Stands in a figure for the colour of the text around it."""


def svg(draw: Draw, width: float, height: float, label: str) -> str:
    """Return a figure as SVG text, its ink the colour of the page's text."""
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    ink: dict[Any, Any] = dict.fromkeys(inks, INK)
    with rc_context({**ink, "svg.fonttype": "none", "svg.hashsalt": label, "font.family": "sans-serif"}):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
        ax = figure.add_subplot()
        ax.spines[["top", "right"]].set_visible(False)
        ax.patch.set_visible(False)
        draw(ax=ax)
        text = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with catch_warnings():
            filterwarnings("ignore", "Glyph")  # what matplotlib's font has not, the reader's may have
            figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :].replace(INK, "currentColor")
    return drawing.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
