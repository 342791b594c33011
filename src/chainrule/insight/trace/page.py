r"""A trace as a self-contained HTML page that highlights the path of a weight through the chain rule.

Colors distinguish the kinds of edges of the network's graph: two for weights and two for activations, alternating
between layers, and one for the loss.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from chainrule.insight.trace.paths import Path, paths
from chainrule.insight.trace.quantity import Quantity
from chainrule.insight.trace.text import BLANK, cells_of, require_notation, sections
from chainrule.pages import render
from chainrule.typeset import MATHML, NOTATIONS

if TYPE_CHECKING:
    from chainrule.insight.trace.model import Trace

_NOTATION_TITLES = {"row": "row vectors, Z = X W + b", "column": "column vectors, z = Σ w a + b"}


def as_html(trace: Trace, notation: str, asked: Sequence[str] = (), hidden: Collection[str] = ()) -> str:
    """Return the trace as a page; `notation` is the one shown first.

    For an exercise, `asked` are the quantities to fill in, and `hidden` those without values. Raises MissingExtraError
    if Jinja2 is not installed.
    """
    require_notation(notation)
    path_of = {path.parameter.name: path for path in paths(trace)}
    rows = "one row" if trace.n_rows == 1 else f"{trace.n_rows:,} rows"
    return render(
        "trace.html",
        title="One training step",
        lines=[f"{rows}; {trace.network}; {trace.loss}; {trace.optimizer}", *trace.legend],
        notation=notation,
        notations=_NOTATION_TITLES,
        blank=BLANK,
        asked={name: trace[name].grid("row").shape for name in asked},
        sections=[
            (title, [_card(quantity, quantity.name in path_of, quantity.name in hidden) for quantity in quantities])
            for title, quantities in sections(trace)
        ],
        paths={name: _describe(trace, path) for name, path in path_of.items()},
    )


def _card(quantity: Quantity, is_parameter: bool, blank: bool) -> dict[str, Any]:
    """Return what the page shows of a quantity: its formula and its values in both notations."""
    return {
        "name": quantity.name,
        "color": _color_class(quantity),
        "sources": quantity.sources,
        "is_parameter": is_parameter,
        "forms": [
            {
                "notation": notation,
                "equation": _as_math(quantity.equation(notation, MATHML)),
                "shape": quantity.grid(notation).shape,
                "rows": _rows(quantity, notation, blank),
            }
            for notation in NOTATIONS
        ],
    }


def _rows(quantity: Quantity, notation: str, blank: bool) -> list[list[dict[str, Any] | None]]:
    """Return rows of entries with their place in row form, None for an ellipsis; those of a blank have no value."""
    grid = quantity.grid(notation)

    def entry(i: int | None, j: int | None, text: str) -> dict[str, Any] | None:
        if i is None or j is None:
            return None
        row, column = (i, j) if notation == "row" else (j, i)
        value = "" if blank else f"{float(grid[i, j]):.6g}"
        return {"row": row, "column": column, "value": value, "text": text}

    return [[entry(*cell) for cell in cells] for cells in cells_of(quantity, notation, blank)]


def _as_math(formula: str) -> str:
    """Return a formula in MathML as an element of a page."""
    return f"<math><mrow>{formula}</mrow></math>"


def _color_class(quantity: Quantity) -> str:
    """Return the CSS class for the kind of edge of a quantity."""
    layer = quantity.symbol.look.above.rpartition(",")[2].rstrip("'")
    if quantity.name == "X":
        return "data"
    if quantity.kind == "loss" or not layer.isdigit() or {"y", "T"} & set(quantity.sources):
        return "cost"
    own = quantity.symbol.look.letter in ("w", "b", "z", r"\delta") and quantity.kind != "slope"
    return f"{'weight' if own else 'unit'}{int(layer) % 2}"


def _describe(trace: Trace, path: Path) -> dict[str, Any]:
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
