"""Cards of a history, with its learning curves, and of a diagnosis."""

from collections.abc import Callable, Sequence
from math import isfinite, log10
from xml.etree.ElementTree import Element

from chainrule.display import count, format_number
from chainrule.insight.diagnosis import Diagnosis
from chainrule.notebook.elements import bullets, card, element, pale, polyline, segment, svg, table, to_html
from chainrule.training.history import History

_WIDTH, _HEIGHT = 420.0, 130.0
_LOG_RATIO = 20.0
"""Ratio of the largest to the smallest loss from which on the scale is logarithmic."""


@to_html.register
def _(history: History) -> str:
    facts = f"{count(len(history), 'epoch')} in {sum(history.seconds):.3g} s"
    facts += f", restored the weights of epoch {history.best_epoch + 1}" if history.best_epoch is not None else ""
    facts += f", stopped: {history.stopped}" if history.stopped else ""
    results = {name: column for name, column in history.results.items() if column}
    rows = [_summary(name, column, name in history.higher_is_better) for name, column in results.items()]
    head = ["", "first epoch", "last epoch", "best", "in epoch"]
    parts = [table(head, rows, numbers=(1, 2, 3, 4)), *bullets(history.notes)] if rows else []
    return card("History", facts, *_curves(history), *parts)


def _summary(name: str, column: Sequence[float], higher_is_better: bool) -> list[str]:
    known = [value for value in column if isfinite(value)] or [float("nan")]
    best = max(known) if higher_is_better else min(known)
    where = f"{column.index(best) + 1:,}" if best in column else ""
    return [name.replace("_", " "), *(format_number(v, digits=4) for v in (column[0], column[-1], best)), where]


def _curves(history: History) -> list[Element]:
    """Return a drawing of the training and the validation loss; none if they have no finite value."""
    curves = {"loss": history.loss, "validation loss": history.validation_loss}
    known = [value for column in curves.values() for value in column if isfinite(value)]
    if not known:
        return []
    low, high, n = min(known), max(known), len(history)
    is_log = low > 0 and high / low > _LOG_RATIO
    scale: Callable[[float], float] = log10 if is_log else float
    span = (scale(high) - scale(low)) or 1.0
    left, right, top, bottom = 56.0, _WIDTH - 8, 18.0, _HEIGHT - 20

    def place(epoch: int, value: float) -> tuple[float, float]:
        across = epoch / (n - 1) if n > 1 else 0.5
        return left + (right - left) * across, bottom - (bottom - top) * (scale(value) - scale(low)) / span

    drawn = [segment((left, bottom), (right, bottom), "axis"), segment((left, top), (left, bottom), "axis")]
    for (name, column), look, x in zip(curves.items(), ("first", "second"), (left + 8, left + 110)):
        points = [place(i, value) for i, value in enumerate(column) if isfinite(value)]
        if points:
            drawn += [polyline(points if len(points) > 1 else points * 2, look)]
            drawn += [segment((x, 8), (x + 22, 8), look), element("text", name, x=x + 28, y=12)]
    if history.best_epoch is not None:
        x, _ = place(history.best_epoch, low)
        drawn += [segment((x, top), (x, bottom), "best")]
    ends = [(high, top + 4), (low, bottom)]
    drawn += [element("text", format_number(v, digits=3), x=left - 6, y=y, text_anchor="end") for v, y in ends]
    drawn += [element("text", "1", x=left, y=_HEIGHT - 4, text_anchor="middle")]
    drawn += [element("text", f"epoch {n:,}", x=right, y=_HEIGHT - 4, text_anchor="end")]
    label = f"learning curves, from {high:.3g} to {low:.3g}"
    return [svg(_WIDTH, _HEIGHT, label, *drawn), *([pale("logarithmic scale")] if is_log else [])]


@to_html.register
def _(diagnosis: Diagnosis) -> str:
    if not diagnosis:
        return card("No problems found", "", mark=True)
    found = [
        element("li", element("b", finding.kind), f": {finding.message}.", element("div", f"{finding.remedy}."))
        for finding in diagnosis
    ]
    return card(count(len(diagnosis), "problem"), "the most harmful first", element("ol", *found), mark=False)
