"""Cards of a network, as a diagram whose width is that of its layers, and of the check of its gradients."""

from collections.abc import Callable, Sequence
from math import exp, isfinite, log2, log10, sin
from xml.etree.ElementTree import Element

import numpy as np

from chainrule.differences import Comparison
from chainrule.model.embeddings import Periodic, PiecewiseLinear
from chainrule.nn.gradcheck import GradientReport
from chainrule.nn.layers import Activation, BatchNorm, Bounded, Dense, Dropout, Layer, LayerNorm
from chainrule.nn.network import Network
from chainrule.notebook.elements import Content, Point, card, element, pale, polyline, segment, svg, table, to_html

_WIDTH, _HEIGHT = 150.0, 44.0
"""Size of the picture of a layer."""
_TIMES = "\N{MULTIPLICATION SIGN}"
_MOST_DOTS = 9
"""Units up to which each is a dot; more of them are a bar."""


@to_html.register
def _(net: Network) -> str:
    parameters = f"{net.theta.size:,} parameters"
    facts = f"{net.n_in:,} → {net.n_out:,}, {parameters}, {net.dtype.name}, loss {net.loss}"
    return card("Network", facts, diagram(net))


def diagram(net: Network) -> Element:
    """Return a table of the layers, whose pictures make up a diagram."""
    sizes = [net.n_in]
    for layer in net.layers:
        sizes.append(layer.width_after(sizes[-1]))
    lanes = [_lane(size, max(sizes)) for size in sizes]
    rows: list[list[Content]] = [[_picture("inputs", lanes[0]), "inputs", "", f"(n, {net.n_in:,})", ""]]
    for i, layer in enumerate(net.layers):
        blocks = [block for block in net.blocks if block.layer == i]
        shapes = ", ".join(f"{block.name} {f' {_TIMES} '.join(map(str, block.shape))}" for block in blocks)
        n_parameters = f"{sum(block.size for block in blocks):,}" if blocks else ""
        picture = _picture(str(layer), lanes[i + 1], *_between(layer, *lanes[i : i + 2]))
        rows.append([picture, _name(i, layer), pale(shapes), f"(n, {sizes[i + 1]:,})", n_parameters])
    return table(["", "layer", "arrays", "output", "parameters"], rows, numbers=(4,), look="diagram")


def _name(i: int, layer: Layer) -> Element:
    """Return the index of a layer, the name of its class, and its options."""
    name, _, options = str(layer).partition("(")
    shown = options if len(options) < 60 else f"{options[:58]}…)"
    return element("code", pale(f"{i} "), element("b", name), f"({shown}", title=str(layer))


def _lane(size: int, largest: int) -> list[float]:
    """Return the places of the units of a layer, between which the diagram is as wide as the logarithm of the size."""
    half = (8 + 60 * log2(size + 1) / log2(largest + 1)) if size > 1 else 0
    n = min(size, _MOST_DOTS + 1)
    return [_WIDTH / 2 + half * (2 * k / max(n - 1, 1) - 1) if n > 1 else _WIDTH / 2 for k in range(n)]


def _picture(label: str, lane: Sequence[float], *between: Element) -> Element:
    """Return the picture of a layer: the units of its output below what is between them and those of its input."""
    y = _HEIGHT - 4
    if len(lane) > _MOST_DOTS:
        width = lane[-1] - lane[0]
        units = [element("rect", x=f"{lane[0]:.1f}", y=y - 2.5, width=f"{width:.1f}", height=5, rx=2.5, class_="unit")]
    else:
        units = [element("circle", cx=f"{x:.1f}", cy=y, r=3, class_="unit") for x in lane]
    return svg(_WIDTH, _HEIGHT, label, *between, *units)


def _between(layer: Layer, above: Sequence[float], below: Sequence[float]) -> list[Element]:
    """Return what is drawn between the units of a layer's input and those of its output."""
    top, bottom = -4.0, _HEIGHT - 4
    corners = [(above[0] - 3, top), (above[-1] + 3, top), (below[-1] + 3, bottom), (below[0] - 3, bottom)]
    is_dense = isinstance(layer, Dense)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    area = element("polygon", points=points, class_="flow" if is_dense else "pass")
    if is_dense:
        links = "".join(f"M{x:.1f},{top}L{y:.1f},{bottom}" for x in above for y in below)
        return [area, element("path", d=links, class_="link")]
    curve = _curve(layer)
    return [area, polyline(curve, "curve")] if curve else [area]


def _curve(layer: Layer) -> list[Point]:
    """Return the curve that stands for a layer, fitted into the middle of its picture; none for most kinds."""
    z = np.linspace(-3.0, 3.0, 41)
    if isinstance(layer, Activation):
        with np.errstate(all="ignore"):
            values = layer.activate(z[:, np.newaxis])[0].ravel().tolist()
    else:
        function = next((function for kind, function in _CURVES.items() if isinstance(layer, kind)), None)
        values = [] if function is None else [function(x) for x in z.tolist()]
    known = [(x, value) for x, value in zip(z.tolist(), values) if isfinite(value)]
    low, high = min((v for _, v in known), default=0.0), max((v for _, v in known), default=1.0)
    return [(_WIDTH / 2 + 5 * x, 28 - 20 * (value - low) / (high - low or 1)) for x, value in known]


_CURVES: dict[type[Layer], Callable[[float], float]] = {
    BatchNorm: lambda x: exp(-x * x),
    LayerNorm: lambda x: exp(-x * x),
    Bounded: lambda x: min(max(x, -1.5), 1.5),
    Dropout: lambda x: float(int(x + 3) % 2),
    Periodic: lambda x: sin(3 * x),
    PiecewiseLinear: lambda x: min(max(x, -1.0), 1.0),
}


@to_html.register
def _(report: GradientReport) -> str:
    worst, compared = report.worst, (*report.directions, *report.blocks, *report.entries)
    if report.ok:
        title = "Gradients agree" + (" near a kink" if report.moved else "")
        facts = f"largest error {report.max_error:.1e}, tolerance {report.tolerance:.0e}"
    else:
        title, facts = "Gradients are wrong", f"most of all in {worst.name}"
        facts += ", whose sign is wrong: does your loss take its arguments as (Z, Y)?" if report.is_negated else ""
    head = ["derivative along", "backpropagation", "finite difference", "error", f"tolerance {report.tolerance:.0e}"]
    rows = [_compared(comparison, report.tolerance) for comparison in compared]
    return card(title, facts, table(head, rows, numbers=(1, 2, 3)), mark=report.ok)


def _compared(comparison: Comparison, tolerance: float) -> list[Content]:
    """Return a row with the error as a bar on a logarithmic scale, on which the tolerance is in the middle."""
    error, is_ok = comparison.error, comparison.error <= tolerance
    decades = log10(error / tolerance) if 0 < error < float("inf") else -6.0 if error == 0 else 6.0
    length = 60 + 10 * min(max(decades, -6.0), 6.0)
    bar = element("rect", x=0, y=4, width=f"{length:.1f}", height=8, class_="plus" if is_ok else "minus")
    picture = svg(120, 16, f"{error:.1e}", bar, segment((60, 0), (60, 16), "axis"))
    numbers = [f"{comparison.backpropagation:.10g}", f"{comparison.finite_difference:.10g}"]
    text = "kink" if comparison.kink else f"{error:.1e}"
    shown = text if is_ok else element("span", text, class_="bad")
    return [
        element("code", comparison.name),
        *numbers,
        shown,
        picture,
    ]
