"""Diagrams of small networks: the units as columns of circles, and the graph of every operation.

Weights are labelled as in Nielsen's column form, w_ij^l: to unit i from unit j, in layer l, the first after the inputs
being layer 1. That is `params["W"][j - 1, i - 1]` of the l-th Dense layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import Array
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

COLUMN, ROW, RADIUS = 3.2, 1.7, 0.45
"""Distance between columns and between units, and a unit's radius: these set the unit of the drawings."""
SIZE, SMALL = 0.4, 0.34
"""Text in circles and on braces; text on edges."""
STEP, COST_STEP, GRAPH_ROW = 2.4, 3.0, 1.9
"""In the graph: the length of an edge with an activation and of one with a cost, and the distance between nodes."""
FOOT = 0.6
"""Height of the key below a network."""
THINNEST, THICKEST = 0.3, 2.5
"""A weight of 0 and the largest of its layer, in lines."""
MOST_UNITS = 8
"""Columns of more units are drawn with dots in the middle."""
MOST_LABELS, MOST_GRAPH_LABELS = 6, 9
"""Weights between two columns that are still labelled, in the network and in the graph, where columns give way."""
MOST_GRAPH_UNITS = 5
"""Units of a column in the graph, where every operation is drawn."""
COST_PER_OUTPUT = SquaredError, AbsoluteError, Huber, Quantile, Poisson, BinaryCrossEntropy
"""Losses that are a sum over outputs, so each output has a cost node of its own."""


@dataclass(frozen=True)
class Stage:
    """A Dense layer, its weights W (n_in, n_out), and the activation after it, None where there is none."""

    dense: Dense
    W: Array
    activation: Activation | None

    def activated(self, z: str) -> str:
        """Return the activation's formula for z."""
        return f"{function_name(self.activation)}({z})"


def stages(net: Network, caller: str) -> list[Stage]:
    """Return a network's Dense layers with their activations; Dropout, which inference passes over, is passed over.

    Raises ValueError, naming the caller, for a network of any other form.
    """
    found: list[Stage] = []
    for i, layer in enumerate(net.layers):
        if isinstance(layer, Dense):
            found.append(Stage(layer, net.params[i]["W"], None))
        elif isinstance(layer, Activation) and found and found[-1].activation is None:
            found[-1] = replace(found[-1], activation=layer)
        elif not isinstance(layer, Dropout):
            raise ValueError(f"{caller} draws Dense layers, each with one Activation at most, got layer {i} is {layer}")
    return found


# The network, unit by unit.


def draw_network(net: Network, ax: Axes | None = None) -> Axes:
    """Draw a network of Dense and Activation layers: a circle a unit, in it the curve of its activation.

    A weight is the thicker, the larger it is beside the largest of its layer; orange where positive, blue and dashed
    where negative. Weights have their names where there is room for them, and layers of more than eight units are drawn
    with dots in the middle.

    Raises
    ------
    ValueError
        When the network has layers of other kinds.
    """
    parts = stages(net, "draw_network")
    sizes = [net.n_in, *(stage.dense.n_out for stage in parts)]
    shown = [visible(size) for size in sizes]
    rows = max(map(len, shown))
    braces = sizes[1:] != [1]
    height = FOOT + ROW * rows + (1.6 if braces else 0.2)
    canvas = Canvas(ax, COLUMN * len(parts) + 3.2, height, inches=0.6)
    columns = [column(units, 1.0 + COLUMN * l, FOOT + ROW * rows / 2) for l, units in enumerate(shown)]
    for l, stage in enumerate(parts, start=1):
        draw_edges(canvas, columns[l - 1], columns[l], l, weight_looks(stage.W, canvas.colours))
        for at in columns[l].values():
            canvas.circle(at, RADIUS)
            draw_activation(canvas, stage.activation, at)
    for j, at in columns[0].items():
        canvas.circle(at, RADIUS, canvas.colours.pale)
        canvas.text(*at, f"$x_{{{j}}}$", SIZE)
    for i, (x, y) in columns[-1].items():
        canvas.arrow((x + RADIUS, y), (x + 1.4, y), 0)
        canvas.text(x + 1.7, y, "$a$" if sizes[-1] == 1 else f"$a_{{{i}}}$", SIZE)
    draw_dots(canvas, shown, columns, sizes)
    draw_key(canvas)
    if braces:
        for places, name in zip(columns, layer_names(len(parts)), strict=True):
            x = next(iter(places.values()))[0]
            canvas.brace(x - 0.9, x + 0.9, FOOT + ROW * rows + 0.1, 0.4, name, SMALL)
    return canvas.ax


def visible(size: int) -> list[int | None]:
    """Return the numbers, from 1, of the units that are drawn; None stands for the dots between them."""
    if size <= MOST_UNITS:
        return list(range(1, size + 1))
    half = MOST_UNITS // 2
    return [*range(1, half + 1), None, *range(size - half + 2, size + 1)]


def column(units: Sequence[int | None], x: float, middle: float, row: float = ROW) -> dict[int, Point]:
    """Return where each unit of a column stands, the first on top."""
    top = middle + row * (len(units) - 1) / 2
    return {unit: (x, top - row * k) for k, unit in enumerate(units) if unit is not None}


Look = tuple[str, float, str]
"""An edge's colour, its thickness in lines, and its dash."""


def draw_edges(
    canvas: Canvas,
    before: dict[int, Point],
    after: dict[int, Point],
    l: int,
    look: Callable[[int, int], Look],
    most_labels: int = MOST_LABELS,
) -> None:
    """Draw the weights of layer l between two columns, with their names if they are few."""
    labelled = len(before) * len(after) <= most_labels
    for j, start in before.items():
        for i, end in after.items():
            colour, batch_weight, dash = look(i, j)
            canvas.arrow(start, end, RADIUS, colour, batch_weight=batch_weight, dash=dash)
            if labelled:
                share = label_share(len(before), len(after))
                x, y = (1 - share) * np.array(start) + share * np.array(end)
                canvas.label(x, y, weight_name(i, j, l), SMALL, colour)


def weight_looks(W: Array, colours: Palette) -> Callable[[int, int], Look]:
    """Return what tells the look of the weight to unit i from unit j: its sign's, and as thick as it is large."""
    largest = float(np.abs(W).max()) or 1.0

    def look(i: int, j: int) -> Look:
        w = float(W[j - 1, i - 1])
        batch_weight = THINNEST + (THICKEST - THINNEST) * abs(w) / largest
        return (colours.blue, batch_weight, "--") if w < 0 else (colours.orange, batch_weight, "-")

    return look


def label_share(n_before: int, n_after: int) -> float:
    """Return how far along their edges labels must lie to be evenly spaced, though the edges cross.

    A share t on the way, edges that leave one unit are t rows apart and those of two units 1 - t: even spacing is
    1 - t = n_after t, or, seen from the other end, t = n_before (1 - t). The fan of fewer edges leaves more room.
    """
    return 1 / (1 + n_after) if n_after <= n_before else n_before / (1 + n_before)


def weight_name(i: int, j: int, l: int) -> str:
    """Return w_ij^l; weights that are labelled lead between so few units that i and j are single digits."""
    return f"w_{{{i}{j}}}^{{{l}}}"


def draw_activation(canvas: Canvas, activation: Activation | None, at: Point) -> None:
    """Draw the activation's curve for z from -4 to 4 inside a circle; nothing where there is none."""
    if activation is None:
        return
    Z = np.linspace(-4, 4, 161)
    A = activation.activate(Z[:, np.newaxis])[0][:, 0]
    reach = 0.6 * RADIUS
    heights = (A - (A.max() + A.min()) / 2) / (np.ptp(A) or 1)
    canvas.curve(at[0] + reach * Z / 4, at[1] + 1.4 * reach * heights, canvas.colours.blue)


def draw_dots(
    canvas: Canvas, shown: Sequence[Sequence[int | None]], columns: Sequence[dict[int, Point]], sizes: Sequence[int]
) -> None:
    """Stand dots and the number of units in for those that are not drawn."""
    for units, places, size in zip(shown, columns, sizes, strict=True):
        if None in units:
            x, above = places[units.index(None)]
            canvas.text(x, above - ROW, f"$\\vdots$\n{size}\n$\\vdots$", SMALL)


def draw_key(canvas: Canvas) -> None:
    """Say at the foot what the two kinds of line are."""
    colours = canvas.colours
    for x, name, colour, dash in ((0.4, "positive", colours.orange, "-"), (3.4, "negative", colours.blue, "--")):
        canvas.arrow((x, FOOT / 2), (x + 0.8, FOOT / 2), 0, colour, head=False, batch_weight=1.5, dash=dash)
        canvas.text(x + 1.0, FOOT / 2, name, SMALL, align="left")


def layer_names(depth: int) -> list[str]:
    """Return what each column is called."""
    hidden = ["hidden layer"] if depth == 2 else [f"hidden layer {k}" for k in range(1, depth)]
    return ["input layer", *hidden, "output layer"]


# The graph, operation by operation.


def draw_graph(net: Network, ax: Axes | None = None) -> Axes:
    """Draw a network with a node an operation: z sums, a activates, C is the cost. Each kind of edge has its colour.

    An edge carries what it computes, so the chain rule is a walk along edges: a derivative is the product of the
    derivatives of the edges between two nodes, summed over the ways there are.

    Raises
    ------
    ValueError
        When a layer has more than five units, or is neither Dense nor Activation.
    """
    parts = stages(net, "draw_graph")
    largest = max(net.n_in, *(stage.dense.n_out for stage in parts))
    if largest > MOST_GRAPH_UNITS:
        raise ValueError(f"draw_graph needs layers of {MOST_GRAPH_UNITS} units at most, got one has {largest}")
    sums = sum(sum_step(stage.dense.n_in * stage.dense.n_out) for stage in parts)
    activations = STEP * sum(stage.activation is not None for stage in parts)
    canvas = Canvas(ax, sums + activations + COST_STEP + 1.8, GRAPH_ROW * largest + 1.5, inches=0.6)
    graph = Graph(canvas, GRAPH_ROW * largest)
    graph.place("a", 0, net.n_in, step=0)
    graph.brace("input")
    for l, stage in enumerate(parts, start=1):
        of_weights, of_activation = edge_colours(canvas.colours, l)
        graph.sum(l, stage.dense.n_out, of_weights)
        if stage.activation is not None:
            graph.activate(l, stage, of_activation)
        graph.brace("output" if l == len(parts) else "hidden" if len(parts) == 2 else f"hidden {l}")
    graph.cost(net.loss, len(parts), canvas.colours.orange)
    graph.brace("cost")
    return canvas.ax


def edge_colours(colours: Palette, l: int) -> tuple[str, str]:
    """Return the colours of layer l's weights and of its activation."""
    return (colours.blue, colours.green) if l % 2 else (colours.purple, colours.red)


def sum_step(n_weights: int) -> float:
    """Return the length of the edges with weights: more names need more room."""
    return 3.0 if n_weights <= MOST_LABELS else 4.2


class Graph:
    """The columns of a graph as they are placed, from left to right."""

    def __init__(self, canvas: Canvas, height: float) -> None:
        self.canvas, self.height = canvas, height
        self.x = 0.9
        self.braced = 0.0
        self.symbol = "a"
        self.places: dict[int, Point] = {}

    def place(self, symbol: str, l: int | None, size: int, step: float) -> dict[int, Point]:
        """Draw the next column of nodes, symbol_i^l, `step` on, and return the places of the one before."""
        before, self.x = self.places, self.x + step
        self.braced = self.braced or self.x
        self.places, self.symbol = column(range(1, size + 1), self.x, self.height / 2, GRAPH_ROW), symbol
        for i, at in self.places.items():
            self.canvas.circle(at, RADIUS)
            index = f"_{{{i}}}" if l is not None or size > 1 else ""
            self.canvas.text(*at, f"${symbol}{index}{'' if l is None else f'^{{{l}}}'}$", SIZE)
        return before

    def sum(self, l: int, size: int, colour: str) -> None:
        """Draw z^l with an edge for each weight."""
        before = self.place("z", l, size, sum_step(len(self.places) * size))
        draw_edges(self.canvas, before, self.places, l, lambda i, j: (colour, 1.0, "-"), MOST_GRAPH_LABELS)

    def activate(self, l: int, stage: Stage, colour: str) -> None:
        """Draw a^l with an edge from each z^l."""
        before = self.place("a", l, len(self.places), STEP)
        self.join(before, lambda i: stage.activated(f"z_{{{i}}}^{{{l}}}"), colour)

    def cost(self, loss: Loss, l: int, colour: str) -> None:
        """Draw C: a node an output where the loss is a sum over outputs, else a single one."""
        symbol, n = self.symbol, len(self.places)
        separate = isinstance(loss, COST_PER_OUTPUT)
        before = self.place("C", None, n if separate else 1, COST_STEP)
        self.join(before, lambda i: cost_formula(loss, f"{symbol}_{{{i}}}^{{{l}}}", f"y_{{{i}}}"), colour)
        if isinstance(loss, CrossEntropy):
            below = min(y for _, y in before.values()) - RADIUS - 0.3
            x = self.x - COST_STEP / 2
            self.canvas.text(x, below, rf"$p = \mathrm{{softmax}}({symbol}^{l})$", SMALL, colour)

    def join(self, before: dict[int, Point], formula: Callable[[int], str], colour: str) -> None:
        """Draw an edge from each node to its own in the next column, or to the only one, with the formula above it."""
        for i, start in before.items():
            end = self.places.get(i, self.places[1]) if len(self.places) > 1 else self.places[1]
            self.canvas.arrow(start, end, RADIUS, colour)
            x, y = (np.array(start) + end) / 2
            if start[1] == end[1]:
                self.canvas.text(x, y + 0.4, f"${formula(i)}$", SMALL, colour)
            else:
                self.canvas.label(x, y, formula(i), SMALL, colour)

    def brace(self, name: str) -> None:
        """Draw a brace over the columns since the last one."""
        self.canvas.brace(self.braced - 0.7, self.x + 0.7, self.height + 0.1, 0.4, name, SMALL)
        self.braced = 0.0


def function_name(activation: Activation | None) -> str:
    """Return an activation's name in formulas: sigma for the sigmoid, f for one's own."""
    if activation is None or callable(activation.function):
        return "f"
    short = {"sigmoid": r"\sigma", "tanh": r"\tanh", "leaky_relu": r"\mathrm{leaky}"}
    return short.get(activation.function, rf"\mathrm{{{activation.function}}}")


def cost_formula(loss: Loss, a: str, y: str) -> str:
    """Return one output's share of the cost."""
    if isinstance(loss, SquaredError):
        factor = {1.0: "", 0.5: r"\frac{1}{2}"}.get(loss.factor, f"{loss.factor:g}")
        return f"{factor}({a} - {y})^2"
    if isinstance(loss, AbsoluteError):
        return f"|{a} - {y}|"
    if isinstance(loss, CrossEntropy):
        return rf"-{y} \log p_{a[a.index('_') + 1 : a.index('^')]}"
    return f"C({a}, {y})"
