"""Backpropagation written out: every derivative of a small network as the walk along the edges of its graph.

The colours are those of `draw_graph`: a factor has the colour of the edge it is the derivative of.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from chainrule.arrays import require
from chainrule.nn.losses import SquaredError
from chainrule.nn.network import Network
from chainrule.viz.canvas import Canvas, width_of
from chainrule.viz.diagrams import edge_colours, function_name, stages
from chainrule.viz.style import Palette

MOST_UNITS = 3
"""Units of a layer: every term is written out."""
LINE, GAP, BLOCK = 3.4, 0.4, 6.6
"""Heights, in units of the text's size: a line of fractions, what parts two units' lines, and a layer's title and
results."""
MARGIN = 1.0


def draw_derivatives(net: Network, ax: Axes | None = None) -> Axes:
    """Write out the derivative of the cost in every weight and bias, last layer first, and gather them into matrices.

    A line is the chain rule along one way through the graph of `draw_graph`, or a sum over the ways there are; what
    the lines of a unit share is its delta.

    Parameters
    ----------
    net : Network
        One or two Dense layers of three units at most, each with an activation, under a squared error.

    Raises
    ------
    ValueError
        When the network is of another form.
    """
    sheet = Sheet.of(net)
    blocks = [sheet.last_layer(), *([sheet.first_layer()] if sheet.depth == 2 else [])]
    width = 2 * MARGIN + max(block.width for block in blocks)
    height = 2 * MARGIN + sum(block.height for block in blocks)
    canvas = Canvas(ax, width, height, inches=0.2, line=0.07)
    top = height - MARGIN
    paint = edge_paint(canvas.colours)
    for block in blocks:
        block.draw(canvas, top, paint)
        top -= block.height
    return canvas.ax


def edge_paint(colours: Palette) -> dict[str, str]:
    """Return the colour of each kind of edge in the graph, and under "" that of what is no edge."""
    kinds = ("z1", "a1", "z2", "a2", "C", "")
    return dict(zip(kinds, (*edge_colours(colours, 1), *edge_colours(colours, 2), colours.orange, colours.ink)))


Factors = Sequence[tuple[str, str]]
"""Formulas, each with the edge it is the derivative of: "z1", "a1", "z2", "a2", "C", or "" for none."""


@dataclass(frozen=True)
class Line:
    """One derivative: its name, its chain of fractions, and the product that they are."""

    name: str
    chain: Factors
    product: Factors


@dataclass(frozen=True)
class Block:
    """A layer's derivatives, the lines of each unit together, with the units' deltas and the layer's results."""

    layer: int
    units: Sequence[Sequence[Line]]
    deltas: Sequence[Factors]
    gathered: Factors
    results: Sequence[Factors]

    @property
    def columns(self) -> tuple[float, float, float, float]:
        """Where names, chains and products begin and where products end, from the left margin on."""
        lines = [line for unit in self.units for line in unit]
        names, chains = max(width_of(line.name) for line in lines), max(measure(line.chain) for line in lines)
        return 0.0, names, names + chains, names + chains + max(measure(line.product) for line in lines)

    @property
    def width(self) -> float:
        """Width in units."""
        results = measure(self.gathered) + sum(measure(result) + 3.2 for result in self.results)
        return max(self.columns[-1] + 2.2 + max(map(measure, self.deltas)), results)

    @property
    def height(self) -> float:
        """Height in units."""
        return sum(LINE * len(unit) + GAP for unit in self.units) + BLOCK

    def draw(self, canvas: Canvas, top: float, paint: dict[str, str]) -> None:
        """Draw the block from `top` downwards."""

        def write(x: float, y: float, factors: Factors) -> float:
            for formula, edge in factors:
                size = size_of(formula)
                x = canvas.write(x, y - 0.3 * (size - 1), formula, size, paint[edge])
            return x

        canvas.text(MARGIN, top - 0.7, f"layer {self.layer}", 1.0, align="left")
        y = top - 1.4
        columns = [MARGIN + place for place in self.columns]
        for unit, delta in zip(self.units, self.deltas, strict=True):
            for k, line in enumerate(unit):
                base = y - LINE * (k + 0.5) - 0.3
                for place, factors in zip(columns, ([(line.name, "")], line.chain, line.product)):
                    write(place, base, factors)
            low = y - LINE * len(unit)
            x = columns[-1] + 0.6
            canvas.bracket(x, low + 0.4, y - 0.4, 0.5)
            write(x + 1.0, (y + low) / 2 - 0.3, delta)
            y = low - GAP
        base = y - 2.4
        x = write(MARGIN, base, self.gathered) if self.gathered else MARGIN - 1.5
        for result in self.results:
            end = write(x + 2.2, base, result)
            canvas.box(x + 1.5, end + 0.7, base - 1.6, base + 2.2)
            x = end + 1.0


@dataclass(frozen=True)
class Sheet:
    """The formulas of one network."""

    sizes: tuple[int, ...]
    functions: tuple[str, ...]
    cost_factor: str

    @classmethod
    def of(cls, net: Network) -> "Sheet":
        """Return the network's sheet, or raise ValueError when it has none."""
        parts = stages(net, "draw_derivatives")
        sizes = (net.n_in, *(stage.dense.n_out for stage in parts))
        require(len(parts) <= 2, "net", "have two Dense layers at most", len(parts))
        require(max(sizes) <= MOST_UNITS, "net", f"have layers of {MOST_UNITS} units at most", sizes)
        require(
            all(stage.activation for stage in parts), "net", "have an activation after each Dense layer", net.layers
        )
        require(isinstance(net.loss, SquaredError), "net", "be under a squared error", str(net.loss))
        assert isinstance(net.loss, SquaredError)
        twice = 2 * net.loss.factor
        factor = "" if twice == 1 else rf"{twice:g}\,"
        return cls(sizes, tuple(function_name(stage.activation) for stage in parts), factor)

    @property
    def depth(self) -> int:
        """Number of Dense layers."""
        return len(self.functions)

    def slope(self, i: str, l: int) -> str:
        """Return the activation's derivative at z_i^l; at the whole vector z^l where i is empty."""
        return rf"\,{self.functions[l - 1]}'({at('z', l, i)})"

    def cost(self, i: int) -> str:
        """Return the name of output i's share of the cost."""
        return "C" if self.sizes[-1] == 1 else f"C_{i}"

    def gap(self, i: int) -> str:
        """Return the cost's derivative in a_i^L."""
        return rf"{self.cost_factor}({at('a', self.depth, i)} - y_{i})"

    def down(self, i: int, l: int) -> Factors:
        """Return the fractions from the cost C_i down to z_i^l of the last layer."""
        C, a, z = self.cost(i), at("a", l, i), at("z", l, i)
        return [(fraction(C, a), "C"), (r"\,", ""), (fraction(a, z), f"a{l}"), (r"\,", "")]

    def last_layer(self) -> Block:
        """Return the derivatives in the last layer's weights and biases: one way each."""
        l = self.depth
        units = []
        for i in self.numbers(l):
            lines = []
            for target, last in self.inputs(i, l):
                chain = [EQUALS, *self.down(i, l), (fraction(at("z", l, i), target), f"z{l}")]
                product = [EQUALS, (self.gap(i), "C"), (self.slope(str(i), l), f"a{l}"), *last]
                lines.append(Line(fraction(self.cost(i), target), chain, product))
            units.append(lines)
        deltas = [
            [(at(DELTA, l, i), ""), EQUALS, (self.gap(i), "C"), (self.slope(str(i), l), f"a{l}")]
            for i in self.numbers(l)
        ]
        gathered = [
            *self.vector(l),
            (rf"{self.cost_factor}({at('a', l)} - y)", "C"),
            (r"\,\odot", ""),
            (self.slope("", l), f"a{l}"),
        ]
        return Block(l, units, deltas, gathered, self.results(l))

    def first_layer(self) -> Block:
        """Return the derivatives in the first of two layers' weights and biases: a way through each output."""
        units = []
        for j in self.numbers(1):
            a, z = at("a", 1, j), at("z", 1, j)
            ways: list[tuple[str, str]] = []
            shares: list[tuple[str, str]] = []
            for i in self.numbers(2):
                plus = [(r"\,+\,", "")] if ways else []
                ways += [*plus, *self.down(i, 2), (fraction(at("z", 2, i), a), "z2")]
                shares += [*plus, (at(DELTA, 2, i) + r"\,", ""), (f"w_{{{i}{j}}}^{{2}}", "z2")]
            if self.sizes[2] > 1:
                ways, shares = [LEFT, *ways, RIGHT], [("(", ""), *shares, (")", "")]
            lines = []
            for target, last in self.inputs(j, 1):
                tail = [(r"\,", ""), (fraction(a, z), "a1"), (r"\,", ""), (fraction(z, target), "z1")]
                product = [EQUALS, *shares, (self.slope(str(j), 1), "a1"), *last]
                lines.append(Line(fraction("C", target), [EQUALS, *ways, *tail], product))
            units.append(lines)
        deltas = [[(at(DELTA, 1, j), "")] for j in self.numbers(1)]
        recursion = [
            (at(DELTA, 1) + r"\,=\,", ""),
            (r"(W^{2})^{T}", "z2"),
            (rf"\,{at(DELTA, 2)}\,\odot", ""),
            (self.slope("", 1), "a1"),
        ]
        return Block(1, units, deltas, [], [recursion, *self.results(1)])

    def numbers(self, l: int) -> range:
        """Return the numbers of layer l's units, from 1."""
        return range(1, self.sizes[l] + 1)

    def inputs(self, i: int, l: int) -> list[tuple[str, Factors]]:
        """Return the parameters that make z_i^l, each with the derivative of z_i^l in it; a bias's is 1."""
        weights = [(f"w_{{{i}{j}}}^{{{l}}}", [(rf"\,{at('a', l - 1, j)}", f"z{l}")]) for j in self.numbers(l - 1)]
        return [*weights, (at("b", l, i), [])]

    def vector(self, l: int) -> Factors:
        """Return `delta^l =`, with its entries, where they are several, in a column that is written on one line."""
        entries = r",\,".join(at(DELTA, l, i) for i in self.numbers(l))
        column = [(rf"({entries})^{{T}}", ""), EQUALS] if self.sizes[l] > 1 else []
        return [(at(DELTA, l), ""), EQUALS, *column]

    def results(self, l: int) -> list[Factors]:
        """Return what the layer's derivatives are as matrices."""
        delta = (rf"\,=\,{at(DELTA, l)}", "")
        return [
            [(fraction("C", f"W^{{{l}}}"), ""), delta, (rf"\,({at('a', l - 1)})^{{T}}", f"z{l}")],
            [(fraction("C", f"b^{{{l}}}"), ""), delta],
        ]


EQUALS = (r"\,=\,", "")
LEFT, RIGHT = (r"{(}", ""), (r"{)}", "")
"""Brackets as tall as fractions."""
TALL = 2.3
DELTA = r"\delta"


def at(symbol: str, l: int, i: int | str = "") -> str:
    """Return symbol_i^l; the whole vector's symbol^l without an i."""
    return f"{symbol}{f'_{{{i}}}' if i else ''}^{{{l}}}"


def fraction(above: str, below: str) -> str:
    """Return the derivative of one quantity in another."""
    return rf"\dfrac{{\partial {above}}}{{\partial {below}}}"


def measure(factors: Factors) -> float:
    """Return the width of formulas one after another."""
    return sum(size_of(formula) * width_of(formula) for formula, _ in factors)


def size_of(formula: str) -> float:
    """Return the size of a formula's text: a bracket's that stands alone is that of the fractions it holds."""
    return TALL if (formula, "") in (LEFT, RIGHT) else 1.0
