"""A figure of `learn/graph.md`: every derivative of a small network as a product along the paths of its graph.

The colors are those of `chainrule.viz.draw_graph`: each factor has the color of the edge whose derivative it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser
from matplotlib.patches import BoxStyle
from matplotlib.path import Path

from chainrule.arrays import require
from chainrule.nn.losses import SquaredError
from chainrule.nn.network import Network
from chainrule.viz.canvas import MATH_FONT, Canvas
from chainrule.viz.diagrams import edge_colors, function_name, stages
from chainrule.viz.style import Palette

_MAX_UNITS = 3
"""Units per layer at most, because every term is written out."""
_LINE, _GAP, _BLOCK = 3.4, 0.4, 6.6
"""Heights in units of the font size: a line of fractions, the gap between units, the title and results of a layer."""
_MARGIN = 1.0
_FRAME = BoxStyle("round", pad=0, rounding_size=0.57)


def draw_derivatives(net: Network, ax: Axes | None = None) -> Axes:
    """Write out the derivatives of the cost with respect to all weights and biases, last layer first, and as matrices.

    Each line is the chain rule along one path through the graph of `draw_graph`, or a sum over several paths. The
    common factor of the lines of a unit is its delta.

    Parameters
    ----------
    net : Network
        One or two Dense layers of at most three units, each with an activation, and a squared error loss.

    Raises
    ------
    ValueError
        If the network has another form.
    """
    formulas = Formulas.of(net)
    blocks = [formulas.last_layer(), *([formulas.first_layer()] if formulas.depth == 2 else [])]
    width = 2 * _MARGIN + max(block.width for block in blocks)
    height = 2 * _MARGIN + sum(block.height for block in blocks)
    canvas = Canvas(ax, width, height, inches=0.2, line=0.07)
    top = height - _MARGIN
    paint = _edge_paint(canvas.colors)
    for block in blocks:
        block.draw(canvas, top, paint)
        top -= block.height
    return canvas.ax


def _edge_paint(colors: Palette) -> dict[str, str]:
    """Return the color of each kind of edge in the graph; the key "" is for everything else."""
    kinds = ("z1", "a1", "z2", "a2", "C", "")
    return dict(zip(kinds, (*edge_colors(colors, 1), *edge_colors(colors, 2), colors.orange, colors.ink)))


Factors = Sequence[tuple[str, str]]
"""Formulas, each with the kind of edge whose derivative it is: "z1", "a1", "z2", "a2", "C", or "" for none."""


@dataclass(frozen=True)
class Line:
    """One derivative: its name, its chain of fractions, and their product."""

    name: str
    chain: Factors
    product: Factors


@dataclass(frozen=True)
class Block:
    """The derivatives of a layer: the lines of each unit, the units' deltas, and the results in matrix form."""

    layer: int
    units: Sequence[Sequence[Line]]
    deltas: Sequence[Factors]
    gathered: Factors
    results: Sequence[Factors]

    @property
    def columns(self) -> tuple[float, float, float, float]:
        """Where names, chains and products start, and where products end, relative to the left margin."""
        lines = [line for unit in self.units for line in unit]
        names, chains = max(_width_of(line.name) for line in lines), max(_measure(line.chain) for line in lines)
        return 0.0, names, names + chains, names + chains + max(_measure(line.product) for line in lines)

    @property
    def width(self) -> float:
        """Width in units."""
        results = _measure(self.gathered) + sum(_measure(result) + 3.2 for result in self.results)
        return max(self.columns[-1] + 2.2 + max(map(_measure, self.deltas)), results)

    @property
    def height(self) -> float:
        """Height in units."""
        return sum(_LINE * len(unit) + _GAP for unit in self.units) + _BLOCK

    def draw(self, canvas: Canvas, top: float, paint: dict[str, str]) -> None:
        """Draw the block from `top` downwards."""

        def write(x: float, y: float, factors: Factors) -> float:
            for formula, edge in factors:
                size = _size_of(formula)
                text = canvas.text(x, y - 0.3 * (size - 1), f"${formula}$", size, paint[edge], align="left")
                text.set_verticalalignment("baseline")
                x += size * _width_of(formula)
            return x

        canvas.text(_MARGIN, top - 0.7, f"layer {self.layer}", 1.0, align="left")
        y = top - 1.4
        columns = [_MARGIN + place for place in self.columns]
        for unit, delta in zip(self.units, self.deltas, strict=True):
            for k, line in enumerate(unit):
                base = y - _LINE * (k + 0.5) - 0.3
                for place, factors in zip(columns, ([(line.name, "")], line.chain, line.product)):
                    write(place, base, factors)
            low = y - _LINE * len(unit)
            x = columns[-1] + 0.6
            canvas.line(Path([(x, y - 0.4), (x + 0.5, y - 0.4), (x + 0.5, low + 0.4), (x, low + 0.4)]))
            write(x + 1.0, (y + low) / 2 - 0.3, delta)
            y = low - _GAP
        base = y - 2.4
        x = write(_MARGIN, base, self.gathered) if self.gathered else _MARGIN - 1.5
        for result in self.results:
            end = write(x + 2.2, base, result)
            canvas.line(_FRAME(x + 1.5, base - 1.6, end - x - 0.8, 3.8, mutation_size=1.0), thickness=1.5)
            x = end + 1.0


@dataclass(frozen=True)
class Formulas:
    """The formulas of one network."""

    sizes: tuple[int, ...]
    functions: tuple[str, ...]
    cost_factor: str

    @classmethod
    def of(cls, net: Network) -> "Formulas":
        """Return the formulas of a network; raise ValueError if it has another form."""
        parts = stages(net)
        sizes = (net.n_in, *(stage.dense.n_out for stage in parts))
        require(len(parts) <= 2, "net", "have at most two Dense layers", len(parts))
        require(max(sizes) <= _MAX_UNITS, "net", f"have layers of at most {_MAX_UNITS} units", sizes)
        require(
            all(stage.activation for stage in parts), "net", "have an activation after each Dense layer", net.layers
        )
        require(isinstance(net.loss, SquaredError), "net", "have a squared error as its loss", str(net.loss))
        assert isinstance(net.loss, SquaredError)
        twice = 2 * net.loss.factor
        factor = "" if twice == 1 else rf"{twice:g}\,"
        return cls(sizes, tuple(function_name(stage.activation) for stage in parts), factor)

    @property
    def depth(self) -> int:
        """Number of Dense layers."""
        return len(self.functions)

    def derivative(self, i: str, l: int) -> str:
        """Return the activation's derivative at z_i^l, or at the vector z^l if i is empty."""
        return rf"\,{self.functions[l - 1]}'({_at('z', l, i)})"

    def cost(self, i: int) -> str:
        """Return the name of the term of output i in the loss L."""
        return "L" if self.sizes[-1] == 1 else f"C_{i}"

    def error(self, i: int) -> str:
        """Return the derivative of that term with respect to a_i^D."""
        return rf"{self.cost_factor}({_at('a', self.depth, i)} - y_{i})"

    def path(self, i: int, l: int) -> Factors:
        """Return the fractions on the path from the term C_i to z_i^l of the last layer."""
        C, a, z = self.cost(i), _at("a", l, i), _at("z", l, i)
        return [(_fraction(C, a), "C"), (r"\,", ""), (_fraction(a, z), f"a{l}"), (r"\,", "")]

    def last_layer(self) -> Block:
        """Return the derivatives with respect to the last layer's parameters, with one path each."""
        l = self.depth
        units = []
        for i in self.numbers(l):
            lines = []
            for target, last in self.inputs(i, l):
                chain = [_EQUALS, *self.path(i, l), (_fraction(_at("z", l, i), target), f"z{l}")]
                product = [_EQUALS, (self.error(i), "C"), (self.derivative(str(i), l), f"a{l}"), *last]
                lines.append(Line(_fraction("L", target), chain, product))
            units.append(lines)
        deltas = [
            [(_at(_DELTA, l, i), ""), _EQUALS, (self.error(i), "C"), (self.derivative(str(i), l), f"a{l}")]
            for i in self.numbers(l)
        ]
        gathered = [
            *self.vector(l),
            (rf"{self.cost_factor}({_at('a', l)} - y)", "C"),
            (r"\,\odot", ""),
            (self.derivative("", l), f"a{l}"),
        ]
        return Block(l, units, deltas, gathered, self.results(l))

    def first_layer(self) -> Block:
        """Return the derivatives with respect to the first of two layers' parameters, with one path per output."""
        units = []
        for j in self.numbers(1):
            a, z = _at("a", 1, j), _at("z", 1, j)
            paths: list[tuple[str, str]] = []
            terms: list[tuple[str, str]] = []
            for i in self.numbers(2):
                plus = [(r"\,+\,", "")] if paths else []
                paths += [*plus, *self.path(i, 2), (_fraction(_at("z", 2, i), a), "z2")]
                terms += [*plus, (_at(_DELTA, 2, i) + r"\,", ""), (f"w_{{{i}{j}}}^{{2}}", "z2")]
            if self.sizes[2] > 1:
                paths, terms = [_LEFT, *paths, _RIGHT], [("(", ""), *terms, (")", "")]
            lines = []
            for target, last in self.inputs(j, 1):
                tail = [(r"\,", ""), (_fraction(a, z), "a1"), (r"\,", ""), (_fraction(z, target), "z1")]
                product = [_EQUALS, *terms, (self.derivative(str(j), 1), "a1"), *last]
                lines.append(Line(_fraction("L", target), [_EQUALS, *paths, *tail], product))
            units.append(lines)
        deltas = [[(_at(_DELTA, 1, j), "")] for j in self.numbers(1)]
        recursion = [
            (_at(_DELTA, 1) + r"\,=\,", ""),
            (r"(W^{2})^{T}", "z2"),
            (rf"\,{_at(_DELTA, 2)}\,\odot", ""),
            (self.derivative("", 1), "a1"),
        ]
        return Block(1, units, deltas, [], [recursion, *self.results(1)])

    def numbers(self, l: int) -> range:
        """Return the numbers of the units of layer l, from 1."""
        return range(1, self.sizes[l] + 1)

    def inputs(self, i: int, l: int) -> list[tuple[str, Factors]]:
        """Return the parameters of z_i^l, each with the derivative of z_i^l with respect to it; for a bias it is 1."""
        weights = [(f"w_{{{i}{j}}}^{{{l}}}", [(rf"\,{_at('a', l - 1, j)}", f"z{l}")]) for j in self.numbers(l - 1)]
        return [*weights, (_at("b", l, i), [])]

    def vector(self, l: int) -> Factors:
        """Return `delta^l =`, followed by its entries, if there are several, as a transposed row."""
        entries = r",\,".join(_at(_DELTA, l, i) for i in self.numbers(l))
        column = [(rf"({entries})^{{T}}", ""), _EQUALS] if self.sizes[l] > 1 else []
        return [(_at(_DELTA, l), ""), _EQUALS, *column]

    def results(self, l: int) -> list[Factors]:
        """Return the layer's derivatives in matrix form."""
        delta = (rf"\,=\,{_at(_DELTA, l)}", "")
        return [
            [(_fraction("L", f"W^{{{l}}}"), ""), delta, (rf"\,({_at('a', l - 1)})^{{T}}", f"z{l}")],
            [(_fraction("L", f"b^{{{l}}}"), ""), delta],
        ]


_EQUALS = (r"\,=\,", "")
_LEFT, _RIGHT = (r"{(}", ""), (r"{)}", "")
"""Parentheses as tall as fractions."""
_TALL = 2.3
_DELTA = r"\delta"


def _at(symbol: str, l: int, i: int | str = "") -> str:
    """Return symbol_i^l, or symbol^l for the vector if i is empty."""
    return f"{symbol}{f'_{{{i}}}' if i else ''}^{{{l}}}"


def _fraction(above: str, below: str) -> str:
    """Return the derivative of one quantity with respect to another."""
    return rf"\dfrac{{\partial {above}}}{{\partial {below}}}"


def _measure(factors: Factors) -> float:
    """Return the total width of consecutive formulas."""
    return sum(_size_of(formula) * _width_of(formula) for formula, _ in factors)


def _size_of(formula: str) -> float:
    """Return the font size of a formula: parentheses are as tall as the fractions they enclose."""
    return _TALL if (formula, "") in (_LEFT, _RIGHT) else 1.0


@cache
def _width_of(formula: str) -> float:
    """Return the width of a formula at font size 1."""
    font = FontProperties(size=100, math_fontfamily=MATH_FONT)
    width = MathTextParser("path").parse(f"${formula}$", dpi=72, prop=font)[0]
    return float(width) / 100
