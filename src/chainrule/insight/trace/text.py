r"""A trace as text for a terminal, as LaTeX and as plain data."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import look_up
from chainrule.insight.trace.quantity import Quantity
from chainrule.typeset import LATEX, NOTATIONS, TEXT, formula, title

if TYPE_CHECKING:
    from chainrule.insight.trace.model import Trace

_MAX_SHOWN, _N_FIRST, _N_LAST = 8, 5, 2
"""Most rows or columns of a matrix shown in full; of a larger one, the numbers of first and last ones shown."""
_SECTIONS = {
    "forward": "Forward pass",
    "loss": "Loss",
    "slope": "Backward pass",
    "derivative": "Backward pass",
    "gradient": "Backward pass",
    "step": "Optimizer step",
}
"""Kind of quantity -> title of its section."""
BLANK = "?"
"""Shown in place of a hidden value."""


def sections(trace: Trace) -> list[tuple[str, list[Quantity]]]:
    """Return the sections with their quantities; a given one belongs to the section that first uses it."""
    titled, title = [], _SECTIONS["step"]
    for quantity in reversed(trace.quantities):
        title = _SECTIONS.get(quantity.kind, title)
        titled.append((title, quantity))
    return [
        (title, [quantity for _, quantity in group]) for title, group in groupby(titled[::-1], lambda pair: pair[0])
    ]


def require_notation(notation: str) -> str:
    """Return the notation; raise ValueError if it is unknown."""
    return look_up({name: name for name in NOTATIONS}, notation, "notation")


# Values.


_Cell = tuple[int | None, int | None, str]
"""A row, a column and a text; for an ellipsis in place of several entries, None and ""."""


def cells_of(quantity: Quantity, notation: str, blank: bool = False) -> list[list[_Cell]]:
    """Return the values as rows of cells with the same number of decimals, abridged if there are many."""
    grid = quantity.grid(notation)
    decimals = _decimals_for(grid)

    def text(i: int | None, j: int | None) -> str:
        if i is None or j is None:
            return ""
        return BLANK if blank else _show(float(grid[i, j]), decimals)

    rows, columns = map(_places, grid.shape)
    return [[(i, j, text(i, j)) for j in columns] for i in rows]


def _decimals_for(values: Array) -> int | None:
    """Return the number of decimals with which the largest value has five digits; None for scientific notation."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if not sizes.size or (sizes.max() < 1e6 and bool((sizes == np.round(sizes)).all())):
        return 0
    decimals = max(4 - int(np.floor(np.log10(sizes.max()))), 0)
    return decimals if decimals <= 8 and sizes.max() < 1e7 else None


def _show(value: float, decimals: int | None) -> str:
    """Return a number with the given decimals, or in scientific notation if it would lose its digits.

    Examples
    --------
    >>> _show(0.25, 4), _show(0.00000314, 4), _show(-0.0, 4), _show(3.0, 0)
    ('0.2500', '3.14e-06', '0.0000', '3')
    """
    if not np.isfinite(value):
        return str(value)
    value += 0.0  # turns -0.0 into 0.0
    if decimals is None:
        return f"{value:.4e}"
    readable = value == 0 or decimals == 0 or abs(value) >= 10.0 ** (1 - decimals)
    return f"{value:.{decimals}f}" if readable else f"{value:.2e}"


def _places(size: int) -> list[int | None]:
    """Return the indices of the rows or columns to show; None stands for those left out."""
    if size <= _MAX_SHOWN:
        return list(range(size))
    return [*range(_N_FIRST), None, *range(size - _N_LAST, size)]


# Text.


def as_page(trace: Trace, notation: str, blanks: Collection[str] = ()) -> str:
    """Return the trace as text, without the values of the quantities in `blanks`."""
    require_notation(notation)
    lines = [part for line in (trace.title, *trace.legend) for part in wrap(line, 100, break_on_hyphens=False)]
    width = max(len(quantity.name) for quantity in trace)
    for heading, quantities in sections(trace):
        equations = [quantity.equation(notation, TEXT) for quantity in quantities]
        middle = min(48, max(map(len, equations)))
        lines += ["", heading]
        for quantity, equation in zip(quantities, equations):
            origin = f"from {', '.join(quantity.sources)}" if quantity.sources else "given"
            shape = str(quantity.grid(notation).shape)
            lines.append(f"  {quantity.name:<{width}}  {equation:<{middle}}  {shape}  {origin}")
            lines += [" " * (width + 6) + line for line in _matrix_lines(quantity, notation, quantity.name in blanks)]
    return "\n".join(lines)


def _matrix_lines(quantity: Quantity, notation: str, blank: bool) -> list[str]:
    texts = [[text or "..." for *_, text in row] for row in cells_of(quantity, notation, blank)]
    widths = [max(map(len, column)) for column in zip(*texts)]
    return ["  ".join(f"{text:>{width}}" for text, width in zip(row, widths)) for row in texts]


# LaTeX.

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def as_latex(trace: Trace, notation: str, blanks: Collection[str] = ()) -> str:
    """Return the trace as the body of a LaTeX document."""
    require_notation(notation)
    header = ("".join(_ESCAPES.get(letter, letter) for letter in line) for line in (trace.title, *trace.legend))
    parts = [r"\allowdisplaybreaks", *header]
    for heading, quantities in sections(trace):
        lines = [_latex_line(quantity, notation, quantity.name in blanks) for quantity in quantities]
        body = " \\\\[1ex]\n".join(lines)
        parts.append(f"\\section*{{{heading}}}\n\\begin{{align*}}\n{body}\n\\end{{align*}}")
    return "\n\n".join(parts) + "\n"


def _latex_line(quantity: Quantity, notation: str, blank: bool) -> str:
    """Return the formula of a quantity and, below it, its values."""
    matrix = r"\;?" if blank else _latex_matrix(cells_of(quantity, notation))
    of_all = title(quantity.symbol, LATEX, notation, "")
    if quantity.term is None:
        return f"{of_all} &= {matrix}"
    side = formula(quantity.term, LATEX, notation).replace(r", \;", ", \\\\\n&\\quad ")
    if quantity.values.size == 1:
        return f"{quantity.title(notation)} &= {side} = {matrix}"
    return f"{quantity.title(notation)} &= {side} \\\\\n{of_all} &= {matrix}"


def _latex_matrix(rows: list[list[_Cell]]) -> str:
    """Return a matrix, or a single number."""
    if len(rows) == len(rows[0]) == 1:
        return _latex_number(rows[0][0][2])
    body = r" \\ ".join(" & ".join(_latex_number(text) or _ellipsis(i, j) for i, j, text in row) for row in rows)
    return rf"\begin{{bmatrix}} {body} \end{{bmatrix}}"


def _ellipsis(i: int | None, j: int | None) -> str:
    return r"\cdots" if i is not None else r"\vdots" if j is not None else r"\ddots"


def _latex_number(text: str) -> str:
    digits, e, power = text.partition("e")
    return rf"{digits} \cdot 10^{{{int(power)}}}" if e and power else text.replace("inf", r"\infty")


# Data.


def as_dict(trace: Trace) -> dict[str, Any]:
    """Return the trace as JSON-serializable dicts and lists; values that are not finite become None."""
    return {
        "network": trace.network,
        "loss": trace.loss,
        "optimizer": trace.optimizer,
        "rows": trace.n_rows,
        "columns": list(trace.columns),
        "outputs": list(trace.outputs),
        "quantities": [
            {
                "name": quantity.name,
                "kind": quantity.kind,
                "derivative_of": quantity.derivative_of or None,
                "sources": list(quantity.sources),
                "shape": list(quantity.shape),
                "values": _as_lists(quantity.values),
                "text": {notation: quantity.equation(notation, TEXT) for notation in NOTATIONS},
                "latex": {notation: quantity.equation(notation) for notation in NOTATIONS},
            }
            for quantity in trace
        ],
    }


def _as_lists(values: Array) -> Any:
    known = values.astype(object)
    known[~np.isfinite(values)] = None
    return known.tolist()
