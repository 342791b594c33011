r"""A trace as a self-contained HTML page that highlights the path of a weight through the chain rule.

Colors distinguish the kinds of edges of the network's graph: two for weights and two for activations, alternating
between layers, and one for the loss.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from chainrule.insight.trace.model import Quantity
from chainrule.insight.trace.paths import Path, paths
from chainrule.insight.trace.text import BLANK, cells_of, require_notation, sections
from chainrule.typeset import MATHML, NOTATIONS

if TYPE_CHECKING:
    from chainrule.insight.trace.model import Trace

_NOTATION_TITLES = {"row": "row vectors, Z = X W + b", "column": "column vectors, z = Σ w a + b"}


def as_html(trace: Trace, notation: str, asked: Sequence[str] = (), hidden: Collection[str] = ()) -> str:
    """Return the trace as a page; `notation` is the one shown first.

    For an exercise, `asked` are the quantities to fill in, and `hidden` those without values.
    """
    require_notation(notation)
    all_paths = list(paths(trace))
    focusable = {path.parameter.name for path in all_paths}
    body = "".join(_section(title, quantities, focusable, hidden) for title, quantities in sections(trace))
    document = _as_json({path.parameter.name: _describe(trace, path) for path in all_paths})
    folder = files("chainrule.insight.trace")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>One training step</title>
<link rel="icon" href="data:,">
<style>
{folder.joinpath("page.css").read_text(encoding="utf-8")}</style>
</head>
<body data-notation="{notation}">
<header>
<h1>One training step</h1>
{"".join(f'<p class="pale">{escape(line)}</p>' for line in (_summary(trace), *trace.legend))}
<fieldset><legend>Notation</legend>{"".join(_choice(name, notation) for name in NOTATIONS)}</fieldset>
<p class="hint">Hover over a weight, tap it, or select it with Tab and the arrow keys to highlight its path through the
chain rule. Click or press Enter to keep it highlighted, Escape to clear it.</p>
{_task(trace, asked)}</header>
<main>
{body}</main>
<aside id="chain" aria-live="polite"></aside>
<script type="application/json" id="paths">{document}</script>
<script>
{folder.joinpath("page.js").read_text(encoding="utf-8")}</script>
</body>
</html>
"""


def _as_math(formula: str) -> str:
    """Return a formula in MathML as an element of a page."""
    return f"<math><mrow>{formula}</mrow></math>"


def _summary(trace: Trace) -> str:
    rows = "one row" if trace.n_rows == 1 else f"{trace.n_rows:,} rows"
    return f"{rows}; {trace.network}; {trace.loss}; {trace.optimizer}"


def _task(trace: Trace, asked: Sequence[str]) -> str:
    """Return the instructions of an exercise; "" if nothing is asked."""
    quantities = (
        f"<b>{escape(name)}</b>&nbsp;{'&nbsp;×&nbsp;'.join(map(str, trace[name].grid('row').shape))}" for name in asked
    )
    return f"<p>Fill in the entries marked {BLANK}: {', '.join(quantities)}.</p>\n" if asked else ""


def _choice(name: str, chosen: str) -> str:
    """Return the radio button for a notation."""
    checked = " checked" if name == chosen else ""
    return f'<label><input type="radio" name="notation" value="{name}"{checked}> {_NOTATION_TITLES[name]}</label> '


def _section(title: str, quantities: list[Quantity], focusable: set[str], hidden: Collection[str]) -> str:
    cards = "".join(_card(quantity, quantity.name in focusable, quantity.name in hidden) for quantity in quantities)
    return f'<section aria-label="{title}"><h2>{title}</h2><div class="cards">\n{cards}</div></section>\n'


def _card(quantity: Quantity, focusable: bool, blank: bool) -> str:
    """Return the formula and the values of a quantity in both notations."""
    name = escape(quantity.name)
    forms = "".join(
        f'<div class="{notation}">{_as_math(quantity.equation(notation, MATHML))}'
        f"{_values_table(quantity, notation, focusable, blank)}</div>"
        for notation in NOTATIONS
    )
    origin = f"from {escape(', '.join(quantity.sources))}" if quantity.sources else "given"
    return (
        f'<article id="{name.replace(" ", "-")}" class="{_color_class(quantity)}">'
        f'<h3>{name} <span class="pale">{origin}</span></h3>{forms}</article>\n'
    )


def _color_class(quantity: Quantity) -> str:
    """Return the CSS class for the kind of edge of a quantity."""
    layer = quantity.symbol.look.above.rpartition(",")[2].rstrip("'")
    if quantity.name == "X":
        return "data"
    if quantity.kind == "loss" or not layer.isdigit() or {"y", "T"} & set(quantity.sources):
        return "cost"
    own = quantity.symbol.look.letter in ("w", "b", "z", r"\delta") and quantity.kind != "slope"
    return f"{'weight' if own else 'unit'}{int(layer) % 2}"


def _values_table(quantity: Quantity, notation: str, focusable: bool, blank: bool) -> str:
    """Return the values as a table, abridged if it is large; cells store their position in row form.

    The cells of a blank show question marks and store no value.
    """
    grid, name = quantity.grid(notation), escape(quantity.name)
    lines, first = [], focusable
    for cells in cells_of(quantity, notation, blank):
        shown = []
        for i, j, text in cells:
            if i is None or j is None:
                shown.append("<td>…</td>")
                continue
            row, column = (i, j) if notation == "row" else (j, i)
            known = "" if blank else f' data-v="{float(grid[i, j]):.6g}"'
            stop = f' tabindex="{0 if first else -1}"' if focusable else ""
            label = f' aria-label="{name}, {row + 1}, {column + 1}: {text}"' if focusable else ""
            at = f'data-q="{name}" data-i="{row}" data-j="{column}"{known}'
            shown.append(f"<td {at}{stop}{label}>{text}</td>")
            first = False
        lines.append(f"<tr>{''.join(shown)}</tr>")
    shape = " × ".join(map(str, grid.shape))
    return f'<div class="wide"><table title="{shape}">{"".join(lines)}</table></div>'


def _describe(trace: Trace, path: Path) -> dict[str, object]:
    """Return a path as plain data for the script of the page."""
    return {
        "gradient": path.gradient.name,
        "title": _as_math(path.title),
        "lit": path.lit,
        "rows": trace.n_rows,
        "branches": path.branches,
        "penalized": path.parameter.name in path.gradient.sources,
        "factors": [
            [_as_math(factor.fraction), factor.name, factor.place, _color_class(trace[factor.color])]
            for factor in path.factors
        ],
    }


def _as_json(document: object) -> str:
    """Return JSON that is safe inside a script element."""
    return json.dumps(document).replace("<", "\\u003c")
