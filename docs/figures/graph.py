"""Figures of `learn/graph.md`."""

from typing import Any

import numpy as np
from derivatives import draw_derivatives
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from chainrule import Network, mlp
from chainrule.arrays import Array
from chainrule.viz import draw_graph, draw_network
from chainrule.viz.canvas import Canvas, Point
from chainrule.viz.style import palette_for
from figures import new

_W1, _B1 = np.array([[0.5, -1.0], [1.0, 0.5]]), np.array([0.2, -0.1])
_W2, _B2 = np.array([[1.0, -0.5], [1.0, 0.5]]), np.zeros(2)
X, Y = np.array([0.05, 0.10]), np.array([0.01, 0.99])
"""The network of the page in column form, and its row."""


def start() -> dict[str, Any]:
    """Return what the figure to play with begins with: the network in row form, and its row."""
    return {
        "X": [X.tolist()],
        "Y": [Y.tolist()],
        "parameters": [_W1.T.tolist(), _B1.tolist(), _W2.T.tolist(), _B2.tolist()],
    }


def network() -> list[Axes]:
    """The network, with a circle for each neuron."""
    return [draw_network(network_of_page())]


def operations() -> list[Axes]:
    """The graph, with a node for each operation, the biases, and the loss that adds up its two terms."""
    ax = draw_graph(network_of_page())
    colors, names = palette_for(ax), {text.get_text(): text for text in ax.texts}
    size = names["$z_{1}^{1}$"].get_fontsize()
    for l, color in ((1, colors.blue), (2, colors.purple)):
        for j in (1, 2):
            x, y = names[f"$z_{{{j}}}^{{{l}}}$"].get_position()
            look = {"color": color, "ha": "center", "va": "center", "fontsize": 0.85 * size, "math_fontfamily": "stix"}
            arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 0.9}
            ax.annotate(f"$b_{{{j}}}^{{{l}}}$", (x, y - 0.42), (x, y - 0.95), arrowprops=arrow, **look)
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    ends = [names[f"$C_{{{j}}}$"].get_position() for j in (1, 2)]
    x, y = right + 1.2, (ends[0][1] + ends[1][1]) / 2
    circle = Circle((x, y), 0.45, facecolor=ax.figure.get_facecolor(), edgecolor=colors.ink, linewidth=0.9, zorder=3)
    ax.add_patch(circle)
    ax.text(x, y, "$L$", ha="center", va="center", fontsize=size, math_fontfamily="stix", zorder=4)
    for end in ends:
        step = (np.array([x, y]) - end) / np.hypot(x - end[0], y - end[1])
        arrow = {"arrowstyle": "-|>", "color": colors.ink, "linewidth": 0.9}
        ax.annotate("", [x, y] - 0.45 * step, end + 0.45 * step, arrowprops=arrow)
    width, height = ax.figure.get_size_inches()
    ax.figure.set_size_inches(width * (x + 0.7 - left) / (right - left), height * (high - low + 0.3) / (high - low))
    ax.set(xlim=(left, x + 0.7), ylim=(low - 0.3, high))
    return [ax]


def derivatives() -> list[Axes]:
    """All twelve derivatives, in the colors of the graph."""
    return [draw_derivatives(network_of_page())]


def paths() -> list[Axes]:
    """The graph with numbers, and the two paths from a weight of the first layer to the loss."""
    z1, a1, z2, a2 = _forward(_W1)
    canvas = Canvas(None, 18.6, 6.0, inches=0.55)
    colors = canvas.colors
    columns = {"x": (1.0, X), "z^1": (4.6, z1), "a^1": (7.3, a1), "z^2": (10.6, z2), "a^2": (13.3, a2)}
    at: dict[str, Point] = {}
    for name, (x, values) in columns.items():
        symbol, _, layer = name.partition("^")
        for i, value in enumerate(values):
            at[f"{name}{i}"] = (x, 4.2 - 2.8 * i)
            _node(canvas, at[f"{name}{i}"], f"{symbol}_{i + 1}" + (f"^{layer}" if layer else ""), value)
    at["L"], at["w"] = (17.0, 2.8), (2.6, 5.5)
    _node(canvas, at["L"], "L", float(((a2 - Y) ** 2).sum() / 2))
    canvas.text(*at["w"], "$w^1_{12}$", 0.42, colors.orange)
    lit = [("w", "z^10", X[1]), ("z^10", "a^10", a1[0] * (1 - a1[0]))]
    for i in range(2):
        lit += [
            ("a^10", f"z^2{i}", _W2[i, 0]),
            (f"z^2{i}", f"a^2{i}", a2[i] * (1 - a2[i])),
            (f"a^2{i}", "L", (a2 - Y)[i]),
        ]
    pale = [(f"x{k}", f"z^1{j}") for j in range(2) for k in range(2)]
    pale += [("z^11", "a^11"), ("a^11", "z^20"), ("a^11", "z^21")]
    for tail, head in pale:
        canvas.arrow(at[tail], at[head], 0.5, colors.pale, thickness=0.7)
    for tail, head, slope in lit:
        canvas.arrow(at[tail], at[head], 0.5, colors.orange, thickness=2.0)
        middle = (np.array(at[tail]) + at[head]) / 2
        canvas.label(*middle, f"{slope:.4g}" if abs(slope) >= 1 else f"{slope:.3f}", 0.36, colors.orange)
    return [canvas.ax]


def nudges() -> list[Axes]:
    """The loss along a weight of each layer, with its tangent."""
    panels = []
    for name, W, j, k in (("$w^2_{11}$", _W2, 0, 0), ("$w^1_{12}$", _W1, 0, 1)):
        ax = new(xlabel=name, ylabel="$L$", title=f"The loss along {name}", ylim=(0.15, 0.26))
        values = W[j, k] + np.linspace(-1.5, 1.5, 61)
        losses = np.array([_loss_with(W, j, k, value) for value in values])
        slope = (_loss_with(W, j, k, W[j, k] + 1e-5) - _loss_with(W, j, k, W[j, k] - 1e-5)) / 2e-5
        colors = palette_for(ax)
        ax.plot(values, losses, color=colors.blue)
        near = values[20:41]
        ax.plot(near, losses[30] + slope * (near - W[j, k]), color=colors.orange, label=f"derivative {slope:.4f}")
        ax.plot([W[j, k]], [losses[30]], "o", color=colors.ink)
        ax.legend(frameon=False)
        panels.append(ax)
    return panels


def network_of_page() -> Network:
    """Return the network of the page."""
    net = mlp(2, 2, 2, activation="sigmoid", output_activation="sigmoid", loss="squared_error", dtype="float64")
    net.set_weights([{"W": _W1.T, "b": _B1}, {}, {"W": _W2.T, "b": _B2}, {}])
    return net


def _forward(W1: Array, W2: Array = _W2) -> tuple[Array, Array, Array, Array]:
    """Return z1, a1, z2 and a2."""
    z1 = W1 @ X + _B1
    a1 = 1 / (1 + np.exp(-z1))
    z2 = W2 @ a1 + _B2
    return z1, a1, z2, 1 / (1 + np.exp(-z2))


def _loss_with(W: Array, j: int, k: int, value: float) -> float:
    """Return the loss with another value for an entry of `_W1` or `_W2`."""
    changed = W.copy()
    changed[j, k] = value
    a2 = _forward(changed)[-1] if W is _W1 else _forward(_W1, changed)[-1]
    return float(((a2 - Y) ** 2).sum() / 2)


def _node(canvas: Canvas, at: Point, name: str, value: float) -> None:
    """Draw a node with its name inside and its value below."""
    canvas.circle(at, 0.5)
    canvas.text(*at, f"${name}$", 0.42)
    canvas.text(at[0], at[1] - 0.8, f"{value:.3f}", 0.34)
