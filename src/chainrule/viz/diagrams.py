"""Diagrams of small networks: units as columns of circles, and the computational graph with a node per operation.

Weights are labeled as in Nielsen's column form: w_ij^l is the weight of unit i in layer l for unit j in layer l - 1,
where layer 0 is the input. It is `params["W"][j - 1, i - 1]` of the l-th Dense layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import Array, require
from chainrule.nn.layers import Activation, Dense, Dropout
from chainrule.nn.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    Loss,
    Poisson,
    Quantile,
    SquaredError,
)
from chainrule.nn.network import Network
from chainrule.viz.canvas import Canvas, Point
from chainrule.viz.style import Palette

MIN_THICKNESS, MAX_THICKNESS = 0.3, 2.5
"""Thickness of a zero weight and of the largest weight of its layer, in line widths."""
_COLUMN, _ROW, _RADIUS = 3.2, 1.7, 0.45
"""Distance between columns, distance between units, and radius of a unit."""
_SIZE, _SMALL = 0.4, 0.34
"""Font size in circles, and on edges and braces."""
_STEP, _COST_STEP, _GRAPH_ROW = 2.4, 3.0, 1.9
"""In a graph: length of edges with an activation, of edges with a cost, and distance between nodes."""
_LEGEND_HEIGHT = 0.6
"""Height of the legend below a network."""
_MAX_UNITS = 8
"""Units drawn per column at most; larger layers have dots in the middle."""
_MAX_LABELS, _MAX_GRAPH_LABELS = 6, 9
"""Labeled weights between two columns at most, in a network and in a graph, whose columns are farther apart."""
_MAX_GRAPH_UNITS = 5
"""Units per layer of a graph at most, because every operation is drawn."""
_COST_PER_OUTPUT = SquaredError, AbsoluteError, Huber, Quantile, Poisson, BinaryCrossEntropy
"""Losses that are a sum over outputs, so that each output has its own cost node."""


@dataclass(frozen=True)
class Stage:
    """A Dense layer, its weights W (n_in, n_out), and the activation after it, or None."""

    dense: Dense
    W: Array
    activation: Activation | None

    def activated(self, z: str) -> str:
        """Return the activation's formula for z."""
        return f"{function_name(self.activation)}({z})"


def stages(net: Network) -> list[Stage]:
    """Return a network's Dense layers with their activations, without Dropout; raise ValueError for other layers."""
    result: list[Stage] = []
    for i, layer in enumerate(net.layers):
        if isinstance(layer, Dense):
            result.append(Stage(layer, net.params[i]["W"], None))
        elif isinstance(layer, Activation) and result and result[-1].activation is None:
            result[-1] = replace(result[-1], activation=layer)
        elif not isinstance(layer, Dropout):
            rule = "consist of Dense layers, each followed by at most one Activation"
            raise ValueError(f"net must {rule}, got {layer} as layer {i}")
    return result


# The network, with a circle per unit.


def draw_network(net: Network, ax: Axes | None = None) -> Axes:
    """Draw a network of Dense and Activation layers: one circle per unit, containing a plot of its activation.

    Lines are as thick as weights are large, relative to the largest of the layer: orange if positive, dashed blue if
    negative. Weights are labeled if there is room. Layers of more than eight units are drawn with dots in the middle.

    Raises
    ------
    ValueError
        If the network has other kinds of layers.
    """
    parts = stages(net)
    sizes = [net.n_in, *(stage.dense.n_out for stage in parts)]
    shown = [_visible(size) for size in sizes]
    rows = max(map(len, shown))
    braces = sizes[1:] != [1]
    height = _LEGEND_HEIGHT + _ROW * rows + (1.6 if braces else 0.2)
    canvas = Canvas(ax, _COLUMN * len(parts) + 3.2, height, inches=0.6)
    columns = [_column(units, 1.0 + _COLUMN * l, _LEGEND_HEIGHT + _ROW * rows / 2) for l, units in enumerate(shown)]
    for l, stage in enumerate(parts, start=1):
        _draw_edges(canvas, columns[l - 1], columns[l], l, _weight_looks(stage.W, canvas.colors))
        for at in columns[l].values():
            canvas.circle(at, _RADIUS)
            _draw_activation(canvas, stage.activation, at)
    for j, at in columns[0].items():
        canvas.circle(at, _RADIUS, canvas.colors.pale)
        canvas.text(*at, f"$x_{{{j}}}$", _SIZE)
    for i, (x, y) in columns[-1].items():
        canvas.arrow((x + _RADIUS, y), (x + 1.4, y), 0)
        canvas.text(x + 1.7, y, "$a$" if sizes[-1] == 1 else f"$a_{{{i}}}$", _SIZE)
    _draw_dots(canvas, shown, columns, sizes)
    _draw_legend(canvas)
    if braces:
        for positions, name in zip(columns, _layer_names(len(parts)), strict=True):
            x = next(iter(positions.values()))[0]
            canvas.brace(x - 0.9, x + 0.9, _LEGEND_HEIGHT + _ROW * rows + 0.1, 0.4, name, _SMALL)
    return canvas.ax


def _visible(size: int) -> list[int | None]:
    """Return the numbers, from 1, of the units to draw; None stands for the dots between them."""
    if size <= _MAX_UNITS:
        return list(range(1, size + 1))
    half = _MAX_UNITS // 2
    return [*range(1, half + 1), None, *range(size - half + 2, size + 1)]


def _column(units: Sequence[int | None], x: float, middle: float, row: float = _ROW) -> dict[int, Point]:
    """Return the position of each unit in a column, the first at the top."""
    top = middle + row * (len(units) - 1) / 2
    return {unit: (x, top - row * k) for k, unit in enumerate(units) if unit is not None}


_Look = tuple[str, float, str]
"""The color of an edge, its thickness in line widths, and its dash."""


def _draw_edges(
    canvas: Canvas,
    before: dict[int, Point],
    after: dict[int, Point],
    l: int,
    look: Callable[[int, int], _Look],
    max_labels: int = _MAX_LABELS,
) -> None:
    """Draw the weights of layer l between two columns, labeled if there are few of them."""
    labeled = len(before) * len(after) <= max_labels
    for j, start in before.items():
        for i, end in after.items():
            color, thickness, dash = look(i, j)
            canvas.arrow(start, end, _RADIUS, color, thickness=thickness, dash=dash)
            if labeled:
                t = _label_position(len(before), len(after))
                x, y = (1 - t) * np.array(start) + t * np.array(end)
                canvas.label(x, y, f"w_{{{i}{j}}}^{{{l}}}", _SMALL, color)  # so few that i and j are single digits


def _weight_looks(W: Array, colors: Palette) -> Callable[[int, int], _Look]:
    """Return a function of i and j that returns the look of the weight of unit i for unit j, by sign and size."""
    largest = float(np.abs(W).max()) or 1.0

    def look(i: int, j: int) -> _Look:
        w = float(W[j - 1, i - 1])
        thickness = MIN_THICKNESS + (MAX_THICKNESS - MIN_THICKNESS) * abs(w) / largest
        return (colors.blue, thickness, "--") if w < 0 else (colors.orange, thickness, "-")

    return look


def _label_position(n_before: int, n_after: int) -> float:
    """Return the position t along crossing edges, in [0, 1], at which their labels are evenly spaced.

    At t, neighboring edges of one unit are t rows apart and edges of neighboring units 1 - t rows. Labels are evenly
    spaced if 1 - t = n_after t or, from the other end, t = n_before (1 - t). The smaller fan leaves more room.
    """
    return 1 / (1 + n_after) if n_after <= n_before else n_before / (1 + n_before)


def _draw_activation(canvas: Canvas, activation: Activation | None, at: Point) -> None:
    """Plot an activation for z from -4 to 4 inside a circle; nothing if it is None."""
    if activation is None:
        return
    Z = np.linspace(-4, 4, 161)
    A = activation.activate(Z[:, np.newaxis])[0][:, 0]
    reach = 0.6 * _RADIUS
    heights = (A - (A.max() + A.min()) / 2) / (np.ptp(A) or 1)
    canvas.curve(at[0] + reach * Z / 4, at[1] + 1.4 * reach * heights, canvas.colors.blue)


def _draw_dots(
    canvas: Canvas, shown: Sequence[Sequence[int | None]], columns: Sequence[dict[int, Point]], sizes: Sequence[int]
) -> None:
    """Draw dots and the layer size in place of the units that are left out."""
    for units, positions, size in zip(shown, columns, sizes, strict=True):
        if None in units:
            x, above = positions[units.index(None)]
            canvas.text(x, above - _ROW, f"$\\vdots$\n{size}\n$\\vdots$", _SMALL)


def _draw_legend(canvas: Canvas) -> None:
    """Draw the legend of the two line styles below the network."""
    colors = canvas.colors
    for x, name, color, dash in ((0.4, "positive", colors.orange, "-"), (3.4, "negative", colors.blue, "--")):
        canvas.arrow(
            (x, _LEGEND_HEIGHT / 2), (x + 0.8, _LEGEND_HEIGHT / 2), 0, color, head=False, thickness=1.5, dash=dash
        )
        canvas.text(x + 1.0, _LEGEND_HEIGHT / 2, name, _SMALL, align="left")


def _layer_names(depth: int) -> list[str]:
    hidden = ["hidden layer"] if depth == 2 else [f"hidden layer {k}" for k in range(1, depth)]
    return ["input layer", *hidden, "output layer"]


# The graph, with a node per operation.


def draw_graph(net: Network, ax: Axes | None = None) -> Axes:
    """Draw the computational graph: nodes z are weighted sums, a activations and C the cost.

    Each kind of edge has its own color and is labeled with what it computes. By the chain rule, the derivative of one
    node with respect to another is the product of the derivatives along the edges of a path between them, summed over
    all paths.

    Raises
    ------
    ValueError
        If a layer has more than five units, or is neither Dense nor Activation.
    """
    parts = stages(net)
    largest = max(net.n_in, *(stage.dense.n_out for stage in parts))
    require(largest <= _MAX_GRAPH_UNITS, "net", f"have layers of at most {_MAX_GRAPH_UNITS} units", largest)
    sums = sum(_sum_step(stage.dense.n_in * stage.dense.n_out) for stage in parts)
    activations = _STEP * sum(stage.activation is not None for stage in parts)
    canvas = Canvas(ax, sums + activations + _COST_STEP + 1.8, _GRAPH_ROW * largest + 1.5, inches=0.6)
    graph = _Graph(canvas, _GRAPH_ROW * largest)
    graph.place("a", 0, net.n_in, step=0)
    graph.brace("input")
    for l, stage in enumerate(parts, start=1):
        of_weights, of_activation = edge_colors(canvas.colors, l)
        graph.sum(l, stage.dense.n_out, of_weights)
        if stage.activation is not None:
            graph.activate(l, stage, of_activation)
        graph.brace("output" if l == len(parts) else "hidden" if len(parts) == 2 else f"hidden {l}")
    graph.cost(net.loss, len(parts), canvas.colors.orange)
    graph.brace("cost")
    return canvas.ax


def edge_colors(colors: Palette, l: int) -> tuple[str, str]:
    """Return the colors of the weights and of the activation of layer l."""
    return (colors.blue, colors.green) if l % 2 else (colors.purple, colors.red)


def _sum_step(n_weights: int) -> float:
    """Return the length of edges with weights: more labels need more room."""
    return 3.0 if n_weights <= _MAX_LABELS else 4.2


class _Graph:
    """A graph that is drawn column by column, from left to right."""

    def __init__(self, canvas: Canvas, height: float) -> None:
        self.canvas, self.height = canvas, height
        self.x = 0.9
        self.brace_start = 0.0
        self.symbol = "a"
        self.positions: dict[int, Point] = {}

    def place(self, symbol: str, l: int | None, size: int, step: float) -> dict[int, Point]:
        """Draw the next column of nodes, symbol_i^l, at distance `step`; return the positions of the previous one."""
        before, self.x = self.positions, self.x + step
        self.brace_start = self.brace_start or self.x
        self.positions, self.symbol = _column(range(1, size + 1), self.x, self.height / 2, _GRAPH_ROW), symbol
        for i, at in self.positions.items():
            self.canvas.circle(at, _RADIUS)
            index = f"_{{{i}}}" if l is not None or size > 1 else ""
            self.canvas.text(*at, f"${symbol}{index}{'' if l is None else f'^{{{l}}}'}$", _SIZE)
        return before

    def sum(self, l: int, size: int, color: str) -> None:
        before = self.place("z", l, size, _sum_step(len(self.positions) * size))
        _draw_edges(self.canvas, before, self.positions, l, lambda i, j: (color, 1.0, "-"), _MAX_GRAPH_LABELS)

    def activate(self, l: int, stage: Stage, color: str) -> None:
        """Draw a^l with an edge from each z^l."""
        before = self.place("a", l, len(self.positions), _STEP)
        self.join(before, lambda i: stage.activated(f"z_{{{i}}}^{{{l}}}"), color)

    def cost(self, loss: Loss, l: int, color: str) -> None:
        """Draw C: one node per output if the loss is a sum over outputs, else a single one."""
        symbol, n = self.symbol, len(self.positions)
        separate = isinstance(loss, _COST_PER_OUTPUT)
        before = self.place("C", None, n if separate else 1, _COST_STEP)
        self.join(before, lambda i: _cost_formula(loss, f"{symbol}_{{{i}}}^{{{l}}}", f"y_{{{i}}}"), color)
        if isinstance(loss, CrossEntropy):
            below = min(y for _, y in before.values()) - _RADIUS - 0.3
            x = self.x - _COST_STEP / 2
            self.canvas.text(x, below, rf"$p = \mathrm{{softmax}}({symbol}^{l})$", _SMALL, color)

    def join(self, before: dict[int, Point], formula: Callable[[int], str], color: str) -> None:
        """Draw an edge from each node to its successor, or to the only one, with its formula above."""
        for i, start in before.items():
            end = self.positions.get(i, self.positions[1]) if len(self.positions) > 1 else self.positions[1]
            self.canvas.arrow(start, end, _RADIUS, color)
            x, y = (np.array(start) + end) / 2
            if start[1] == end[1]:
                self.canvas.text(x, y + 0.4, f"${formula(i)}$", _SMALL, color)
            else:
                self.canvas.label(x, y, formula(i), _SMALL, color)

    def brace(self, name: str) -> None:
        """Draw a brace over the columns since the last brace."""
        self.canvas.brace(self.brace_start - 0.7, self.x + 0.7, self.height + 0.1, 0.4, name, _SMALL)
        self.brace_start = 0.0


def function_name(activation: Activation | None) -> str:
    """Return an activation's name in formulas: sigma for the sigmoid, f for a custom function."""
    if activation is None or callable(activation.function):
        return "f"
    short = {"sigmoid": r"\sigma", "tanh": r"\tanh", "leaky_relu": r"\mathrm{leaky}"}
    return short.get(activation.function, rf"\mathrm{{{activation.function}}}")


def _cost_formula(loss: Loss, a: str, y: str) -> str:
    if isinstance(loss, SquaredError):
        factor = {1.0: "", 0.5: r"\frac{1}{2}"}.get(loss.factor, f"{loss.factor:g}")
        return f"{factor}({a} - {y})^2"
    if isinstance(loss, AbsoluteError):
        return f"|{a} - {y}|"
    if isinstance(loss, CrossEntropy):
        return rf"-{y} \log p_{a[a.index('_') + 1 : a.index('^')]}"
    return f"C({a}, {y})"
