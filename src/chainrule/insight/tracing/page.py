r"""A trace as a page: one file without a network, in which a weight's way through the chain rule lights up.

The colours are the kinds of edges of the network's graph: two for weights and two for activations, in turn from layer
to layer, and one for the loss.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from chainrule.insight.tracing.notation import as_mathml
from chainrule.insight.tracing.paths import Path, paths
from chainrule.insight.tracing.quantities import NOTATIONS, Quantity
from chainrule.insight.tracing.text import BLANK, decimals_for, places, require_notation, sections, show

if TYPE_CHECKING:
    from chainrule.insight.trace import Trace

NOTATION_TITLES = {"row": "rows, Z = X W + b", "column": "columns, z = Σ w a + b"}


def as_html(trace: Trace, notation: str, asked: Sequence[str] = (), hidden: Collection[str] = ()) -> str:
    """Return the trace as a page that opens in a notation; of an exercise, what is asked and what is not shown."""
    require_notation(notation)
    ways = list(paths(trace))
    focusable = {way.parameter.name for way in ways}
    body = "".join(section(title, quantities, focusable, hidden) for title, quantities in sections(trace))
    place = files("chainrule.insight.tracing")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>One training step</title>
<link rel="icon" href="data:,">
<style>
{place.joinpath("page.css").read_text(encoding="utf-8")}</style>
</head>
<body data-notation="{notation}">
<header>
<h1>One training step</h1>
{"".join(f'<p class="pale">{escape(line)}</p>' for line in (summary(trace), *trace.legend))}
<fieldset><legend>Notation</legend>{"".join(choice(name, notation) for name in NOTATIONS)}</fieldset>
<p class="hint">Point at a weight, tap it, or reach it with Tab and the arrow keys: its way through the chain rule
lights up. Enter or a click holds it, Escape lets go.</p>
{task(trace, asked)}</header>
<main>
{body}</main>
<aside id="chain" aria-live="polite"></aside>
<script type="application/json" id="ways">{as_json({way.parameter.name: told(trace, way) for way in ways})}</script>
<script>
{place.joinpath("page.js").read_text(encoding="utf-8")}</script>
</body>
</html>
"""


def summary(trace: Trace) -> str:
    """Return what it is a trace of."""
    rows = "one row" if trace.n_rows == 1 else f"{trace.n_rows:,} rows"
    return f"{rows}; {trace.network}; {trace.loss}; {trace.optimizer}"


def task(trace: Trace, asked: Sequence[str]) -> str:
    """Return what an exercise asks for; nothing of a trace that is whole."""
    told = (
        f"<b>{escape(name)}</b>&nbsp;{'&nbsp;×&nbsp;'.join(map(str, trace[name].grid('row').shape))}" for name in asked
    )
    return f"<p>To be found, where a {BLANK} stands: {', '.join(told)}.</p>\n" if asked else ""


def choice(name: str, chosen: str) -> str:
    """Return the button that shows a notation."""
    checked = " checked" if name == chosen else ""
    return f'<label><input type="radio" name="notation" value="{name}"{checked}> {NOTATION_TITLES[name]}</label> '


def section(title: str, quantities: list[Quantity], focusable: set[str], hidden: Collection[str]) -> str:
    """Return a part of the step with its quantities."""
    cards = "".join(card(quantity, quantity.name in focusable, quantity.name in hidden) for quantity in quantities)
    return f'<section aria-label="{title}"><h2>{title}</h2><div class="cards">\n{cards}</div></section>\n'


def card(quantity: Quantity, focusable: bool, blank: bool) -> str:
    """Return a quantity: its formula and its values, in both notations."""
    name = escape(quantity.name)
    forms = "".join(
        f'<div class="{notation}">{as_mathml(quantity.equation(notation))}'
        f"{values_table(quantity, notation, focusable, blank)}</div>"
        for notation in NOTATIONS
    )
    origin = f"from {escape(', '.join(quantity.sources))}" if quantity.sources else "given"
    return (
        f'<article id="{name.replace(" ", "-")}" class="{colour_of(quantity)}">'
        f'<h3>{name} <span class="pale">{origin}</span></h3>{forms}</article>\n'
    )


def colour_of(quantity: Quantity) -> str:
    """Return the name of the colour of a quantity's kind of edge."""
    layer = quantity.symbol.above.rpartition(",")[2].rstrip("'")
    if quantity.name == "X":
        return "data"
    if quantity.kind == "loss" or not layer.isdigit() or {"y", "T"} & set(quantity.sources):
        return "cost"
    own = quantity.symbol.letter in ("w", "b", "z", r"\delta") and quantity.kind != "slope"
    return f"{'weight' if own else 'unit'}{int(layer) % 2}"


def values_table(quantity: Quantity, notation: str, focusable: bool, blank: bool) -> str:
    """Return the values as a table, abridged where they are many; a cell knows its place in the row form.

    A blank has question marks, and its cells know no number.
    """
    grid = quantity.grid(notation)
    decimals, name = decimals_for(grid), escape(quantity.name)
    lines = []
    first = focusable
    for i in places(grid.shape[0]):
        cells = []
        for j in places(grid.shape[1]):
            if i is None or j is None:
                cells.append("<td>…</td>")
                continue
            row, column = (i, j) if notation == "row" else (j, i)
            value = float(grid[i, j])
            text, known = (BLANK, "") if blank else (show(value, decimals), f' data-v="{value:.6g}"')
            stop = f' tabindex="{0 if first else -1}"' if focusable else ""
            label = f' aria-label="{name}, {row + 1}, {column + 1}: {text}"' if focusable else ""
            at = f'data-q="{name}" data-i="{row}" data-j="{column}"{known}'
            cells.append(f"<td {at}{stop}{label}>{text}</td>")
            first = False
        lines.append(f"<tr>{''.join(cells)}</tr>")
    shape = " × ".join(map(str, grid.shape))
    return f'<div class="wide"><table title="{shape}">{"".join(lines)}</table></div>'


def told(trace: Trace, way: Path) -> dict[str, object]:
    """Return a way as plain data for the page's script."""
    return {
        "gradient": way.gradient.name,
        "title": as_mathml(way.title),
        "lit": way.lit,
        "rows": trace.n_rows,
        "branches": way.branches,
        "penalised": way.parameter.name in way.gradient.sources,
        "factors": [
            [as_mathml(factor.fraction), factor.name, factor.place, colour_of(trace[factor.colour])]
            for factor in way.factors
        ],
    }


def as_json(document: object) -> str:
    """Return data that can stand inside a script element."""
    return json.dumps(document).replace("<", "\\u003c")
