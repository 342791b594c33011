"""Figures: their lines, labels, colors and limits, and that no text overlaps or is clipped."""

import math
import re
import sys
from dataclasses import replace
from itertools import combinations, pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Circle, FancyArrowPatch

from chainrule import SGD, Activation, BatchNorm, Dense, Dropout, History, Network, mlp, train
from chainrule.datasets import disc, half_plane, spiral
from chainrule.errors import MissingExtraError
from chainrule.nn.losses import SquaredError
from chainrule.viz import (
    decision_boundary,
    draw_graph,
    draw_network,
    learned_line,
    loss_curves,
    scatter_labels,
    scatter_predictions,
    weight_images,
)
from chainrule.viz.canvas import Canvas
from chainrule.viz.diagrams import MAX_THICKNESS, MIN_THICKNESS
from chainrule.viz.style import (
    MARKERS,
    MAX_POINTS,
    ON_DARK,
    ON_EITHER,
    ON_LIGHT,
    palette_for,
    shorten,
    shorten_equation,
)
from drawn import assert_texts_are_apart, color_of, sigmoid_net, texts


def line_net(w=(2.0, 4.0), b=-1.0):
    net = Network([Dense(2, 1), Activation("sigmoid")])
    net.set_weights([{"W": np.reshape(w, (2, 1)), "b": [b]}, {}])
    return net


def history(epochs=3, **options):
    X, y = half_plane(20)
    return train(line_net(), X, y, optimizer=SGD(0.1), epochs=epochs, **options)


FIGURES = {
    "decision_boundary": lambda ax=None: decision_boundary(sigmoid_net(2, 3, 2), *disc(30), ax),
    "draw_graph": lambda ax=None: draw_graph(sigmoid_net(2, 2, 2), ax),
    "draw_network": lambda ax=None: draw_network(sigmoid_net(2, 2, 2), ax),
    "loss_curves": lambda ax=None: loss_curves(history(), ax),
    "scatter_labels": lambda ax=None: scatter_labels(*disc(30), ax),
    "scatter_predictions": lambda ax=None: scatter_predictions(line_net(), disc(30)[0], ax),
    "weight_images": lambda ax=None: weight_images(mlp(12, 5, 2, seed=0), (4, 3), ax),
}


# All figures.


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_on_the_given_axes_and_returns_them(name):
    _, ax = plt.subplots()
    assert FIGURES[name](ax) is ax
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("name", FIGURES)
def test_without_axes_a_new_figure_is_created(name):
    ax = FIGURES[name]()
    assert ax.figure.axes == [ax]
    assert FIGURES[name]() is not ax


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("chainrule.viz")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'chainrule\[plot\]'"):
        import chainrule.viz  # noqa: F401


# Colors.

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
VISION = {
    "trichromat": np.eye(3),
    "protanope": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranope": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanope": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1, 1.089])
BACKGROUNDS = [(ON_LIGHT, "white"), (ON_DARK, "#121212"), (ON_EITHER, "white"), (ON_EITHER, "#16181b")]


def linear(color):
    return np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)])


def contrast(color, background):
    """WCAG 2: (lighter + 0.05) / (darker + 0.05) of the luminances."""
    darker, lighter = sorted(float(TO_XYZ[1] @ linear(c)) for c in (color, background))
    return (lighter + 0.05) / (darker + 0.05)


def as_lab(color, eye):
    x, y, z = (
        t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116
        for t in TO_XYZ @ np.clip(VISION[eye] @ linear(color), 0, 1) / WHITE
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize(("palette", "background"), BACKGROUNDS)
@pytest.mark.parametrize("eye", VISION)
def test_colors_are_distinguishable_with_every_kind_of_color_vision(eye, palette, background):
    for one, other in combinations(palette.classes, 2):
        assert np.linalg.norm(as_lab(one, eye) - as_lab(other, eye)) > 10, (one, other)


@pytest.mark.parametrize(("palette", "background"), BACKGROUNDS)
def test_every_color_has_enough_contrast(palette, background):
    assert min(contrast(color, background) for color in (*palette.classes, palette.ink, palette.pale)) >= 3


@pytest.mark.parametrize(("style", "palette"), [("default", ON_LIGHT), ("dark_background", ON_DARK)])
def test_the_palette_follows_the_style(style, palette):
    with plt.style.context(style):
        ax = draw_graph(sigmoid_net(2, 2, 2))
        assert {color_of(text) for text in ax.texts} == {
            palette.ink, palette.blue, palette.green, palette.purple, palette.red, palette.orange,
        }  # fmt: skip


def test_transparent_axes_use_the_background_of_their_figure():
    figure, ax = plt.subplots(facecolor="black")
    ax.set_facecolor("none")
    assert palette_for(ax) is palette_for(figure) is ON_DARK


def test_a_transparent_figure_uses_the_neutral_palette_and_the_text_color():
    with plt.rc_context({"text.color": "#010203"}):
        _, ax = plt.subplots(facecolor="none")
        ax.patch.set_visible(False)
        assert palette_for(ax) == replace(ON_EITHER, ink="#010203")


def test_long_names_are_elided_in_the_middle():
    assert shorten("short  name\n") == "short name"
    assert shorten("abcdefghijkl", 9) == "abcde\N{HORIZONTAL ELLIPSIS}jkl"
    assert len(shorten("x" * 1000)) == 24
    assert shorten("$10 to $20") == r"\$10 to \$20"
    for name in ("flipper_length_mm", "x"):
        for value in ("213.0", "a very long category"):
            label = shorten_equation((name, value), 16)
            assert re.fullmatch(rf"{name[:4]}.* = {value[0]}.*", label)
            assert len(label) <= 16
    assert shorten_equation(("flipper", "213"), 16) == "flipper = 213"
    assert shorten_equation(("the other columns", ""), 9) == "the o\N{HORIZONTAL ELLIPSIS}mns"


# Diagrams.

DIAGRAMS = {
    "neuron": lambda ax: draw_network(sigmoid_net(2, 1), ax),
    "2-2-2": lambda ax: draw_network(sigmoid_net(2, 2, 2), ax),
    "2-3-2": lambda ax: draw_network(sigmoid_net(2, 3, 2), ax),
    "784-30-10": lambda ax: draw_network(mlp(784, 30, 10), ax),
    "graph of a neuron": lambda ax: draw_graph(sigmoid_net(2, 1), ax),
    "graph of 2-2-2": lambda ax: draw_graph(sigmoid_net(2, 2, 2), ax),
    "graph of 2-2-2, softmax": lambda ax: draw_graph(mlp(2, 2, 2, loss="cross_entropy"), ax),
    "graph of 2-3-3, softmax": lambda ax: draw_graph(mlp(2, 3, 3, loss="cross_entropy"), ax),
}


@pytest.mark.parametrize("inches", [None, 5, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", DIAGRAMS)
def test_texts_in_a_diagram_do_not_overlap_and_are_not_clipped(name, inches):
    assert_texts_are_apart(DIAGRAMS[name], inches)


def test_one_neuron_has_two_inputs_a_curve_and_one_output():
    ax = draw_network(sigmoid_net(2, 1))
    assert sum(isinstance(patch, Circle) for patch in ax.patches) == 3
    arrows = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 3 + 2  # and two lines in the legend
    assert texts(ax) == ["$w_{11}^{1}$", "$w_{12}^{1}$", "$x_{1}$", "$x_{2}$", "$a$", "positive", "negative"]
    (curve,) = ax.lines
    assert np.all(np.diff(curve.get_ydata()) > 0)


def test_a_weight_has_the_color_of_its_sign_and_the_thickness_of_its_size():
    ax = draw_network(line_net(w=(-2.0, 0.5)))
    negative, positive = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)][:2]
    assert (to_hex(negative.get_edgecolor()), negative.get_linestyle()) == (ON_LIGHT.blue, "--")
    assert (to_hex(positive.get_edgecolor()), positive.get_linestyle()) == (ON_LIGHT.orange, "-")
    lines = [edge.get_linewidth() / Canvas(None, 6.4, 4.2, 0.6).line_width for edge in (negative, positive)]
    assert lines == pytest.approx([MAX_THICKNESS, MIN_THICKNESS + (MAX_THICKNESS - MIN_THICKNESS) / 4], rel=0.02)
    legend = {text.get_text(): text for text in ax.texts}
    assert {"positive", "negative"} <= set(legend)


def test_zero_weights_are_drawn_thin():
    net = mlp(2, 2)
    net.theta = np.zeros_like(net.theta)
    edges = [patch for patch in draw_network(net).patches if isinstance(patch, FancyArrowPatch)]
    assert len({edge.get_linewidth() for edge in edges[:4]}) == 1


def test_layers_are_named_above_braces():
    assert {"input layer", "hidden layer", "output layer"} <= set(texts(draw_network(sigmoid_net(2, 2, 2))))
    assert {"hidden layer 1", "hidden layer 2"} <= set(texts(draw_network(sigmoid_net(2, 2, 2, 2))))


@pytest.mark.parametrize("sizes", [(2, 2, 2), (2, 3, 2), (3, 2, 1)], ids=str)
def test_a_weight_is_labeled_on_its_edge(sizes):
    ax = draw_network(sigmoid_net(*sizes))
    circles = [patch.center for patch in ax.patches if isinstance(patch, Circle)]
    xs = sorted({x for x, _ in circles})
    columns = [sorted((c for c in circles if c[0] == x), key=lambda c: -c[1]) for x in xs]
    n_labels = 0
    for text in ax.texts:
        match = re.fullmatch(r"\$w_\{(\d)(\d)\}\^\{(\d)\}\$", text.get_text())
        if match:
            i, j, l = map(int, match.groups())
            start, end, at = columns[l - 1][j - 1], columns[l][i - 1], text.get_position()
            assert math.dist(start, at) + math.dist(at, end) == pytest.approx(math.dist(start, end))
            n_labels += 1
    assert n_labels == sum(a * b for a, b in pairwise(sizes))


def test_large_layers_are_drawn_with_dots_and_their_size():
    ax = draw_network(mlp(784, 30, 10))
    assert sum(isinstance(patch, Circle) for patch in ax.patches) == 3 * 7
    assert {"$x_{1}$", "$x_{784}$", "$a_{10}$"} <= set(texts(ax))
    assert [text.split("\n")[1] for text in texts(ax) if "vdots" in text] == ["784", "30", "10"]
    assert not any("w_" in text for text in texts(ax))


def test_dropout_is_ignored_in_diagrams():
    plain, with_dropout = draw_network(mlp(2, 3, 2, seed=0)), draw_network(mlp(2, 3, 2, dropout=0.5, seed=0))
    assert texts(plain) == texts(with_dropout)


def test_custom_activations_are_drawn():
    ax = draw_network(Network([Dense(2, 1), Activation(lambda Z: (Z * Z, lambda dA: 2 * Z * dA))]))
    heights = ax.lines[0].get_ydata()
    assert heights.argmin() == len(heights) // 2
    ax = draw_graph(Network([Dense(2, 1), Activation(lambda Z: (Z * Z, lambda dA: 2 * Z * dA))]))
    assert "$f(z_{1}^{1})$" in texts(ax)


@pytest.mark.parametrize("draw", [draw_network, draw_graph])
def test_other_layers_are_rejected_by_name(draw):
    with pytest.raises(ValueError, match=r"net must consist of Dense layers.*, got BatchNorm\(2\) as layer 1"):
        draw(Network([Dense(2, 2), BatchNorm(2), Activation("tanh")]))


def test_the_graph_has_a_node_per_operation_and_a_color_per_kind_of_edge():
    ax = draw_graph(sigmoid_net(2, 2, 2))
    colors = {text.get_text().strip("$"): color_of(text) for text in ax.texts}
    nodes = [
        f"{symbol}_{{{i}}}^{{{l}}}" for symbol, l in [("a", 0), ("z", 1), ("a", 1), ("z", 2), ("a", 2)] for i in (1, 2)
    ]
    for node in [*nodes, "C_{1}", "C_{2}", "input", "hidden", "output", "cost"]:
        assert colors.pop(node) == ON_LIGHT.ink
    kinds = {
        ON_LIGHT.blue: ["w_{11}^{1}", "w_{12}^{1}", "w_{21}^{1}", "w_{22}^{1}"],
        ON_LIGHT.green: [r"\sigma(z_{1}^{1})", r"\sigma(z_{2}^{1})"],
        ON_LIGHT.purple: ["w_{11}^{2}", "w_{12}^{2}", "w_{21}^{2}", "w_{22}^{2}"],
        ON_LIGHT.red: [r"\sigma(z_{1}^{2})", r"\sigma(z_{2}^{2})"],
        ON_LIGHT.orange: ["(a_{1}^{2} - y_{1})^2", "(a_{2}^{2} - y_{2})^2"],
    }
    assert colors == {label: color for color, labels in kinds.items() for label in labels}
    edges = [to_hex(patch.get_edgecolor()) for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert {color: edges.count(color) for color in set(edges)} == {c: len(labels) for c, labels in kinds.items()}


@pytest.mark.parametrize(
    ("loss", "label", "costs"),
    [
        ("squared_error", r"$\frac{1}{2}(z_{1}^{2} - y_{1})^2$", ["$C_{1}$", "$C_{2}$"]),
        (SquaredError(3.0), "$3(z_{1}^{2} - y_{1})^2$", ["$C_{1}$", "$C_{2}$"]),
        ("absolute_error", "$|z_{1}^{2} - y_{1}|$", ["$C_{1}$", "$C_{2}$"]),
        ("huber", "$C(z_{1}^{2}, y_{1})$", ["$C_{1}$", "$C_{2}$"]),
        ("cross_entropy", r"$-y_{1} \log p_{1}$", ["$C$"]),
    ],
)
def test_a_linear_output_is_connected_directly_to_the_cost(loss, label, costs):
    ax = draw_graph(mlp(2, 2, 2, activation="tanh", loss=loss, seed=0))
    assert label in texts(ax)
    assert [text for text in texts(ax) if text.startswith("$C_") or text == "$C$"] == costs
    assert "$a_{1}^{2}$" not in texts(ax)
    assert r"$\tanh(z_{2}^{1})$" in texts(ax)


def test_a_graph_too_large_to_read_is_rejected():
    with pytest.raises(ValueError, match="net must have layers of at most 5 units, got 6"):
        draw_graph(mlp(2, 6, 1))


# The plane.


def test_each_class_has_its_own_color_marker_and_name():
    X, y = spiral(20, arms=3)
    ax = scatter_labels(X, y)
    assert ax.get_title() == "True labels"
    for k, points in enumerate(ax.collections):
        np.testing.assert_array_equal(points.get_offsets(), X[y == k])
        assert points.get_label() == f"class {k}"
        assert to_hex(points.get_facecolor()[0]) == ON_LIGHT.classes[k]
    assert len(ax.collections) == 3
    assert len(set(MARKERS)) == len(ON_LIGHT.classes)


def test_all_points_are_inside_the_limits():
    X, y = half_plane()
    ax = scatter_labels(X, y)
    for limits, values in zip((ax.get_xlim(), ax.get_ylim()), X.T, strict=True):
        assert limits[0] < values.min() - 0.05
        assert limits[1] > values.max() + 0.05


def test_a_single_point_can_be_drawn():
    assert len(scatter_labels([[1.0, 2.0]], [1]).collections) == 1


def test_many_points_are_subsampled_within_the_limits_of_all(rng):
    X = rng.normal(size=(100_000, 2))
    X[0] = 50
    ax = scatter_labels(X, rng.integers(0, 2, 100_000))
    assert sum(len(points.get_offsets()) for points in ax.collections) == MAX_POINTS
    assert ax.get_xlim()[1] > 50
    assert len(scatter_predictions(line_net(), X).collections[0].get_offsets()) == MAX_POINTS


@pytest.mark.parametrize("net", [line_net(), sigmoid_net(2, 3, 2)], ids=["one output", "two outputs"])
def test_predictions_are_colored_by_the_output_for_class_1(net):
    X, _ = half_plane()
    (points,) = scatter_predictions(net, X).collections
    np.testing.assert_allclose(points.get_array(), net(X)[:, -1])
    assert points.get_clim() == (0, 1)
    assert [to_hex(points.get_cmap()(side)) for side in (0.0, 1.0)] == [ON_LIGHT.blue, ON_LIGHT.orange]


def test_the_learned_line_is_where_the_output_is_one_half():
    _, ax = plt.subplots()
    net = line_net(w=(2.0, 4.0), b=-1.0)
    (line,) = learned_line(net, ax).lines
    points = np.array([line.get_xy1(), line.get_xy2()])
    np.testing.assert_allclose(net(points), 0.5)
    assert not np.allclose(*points)


@pytest.mark.parametrize("net", [sigmoid_net(2, 2, 1), sigmoid_net(3, 1), sigmoid_net(2, 2)], ids=str)
def test_only_a_single_neuron_with_two_inputs_has_a_line(net):
    with pytest.raises(ValueError, match="net must be a single neuron with two inputs, got Dense"):
        learned_line(net, plt.subplots()[1])


def test_a_neuron_with_zero_weights_has_no_line():
    with pytest.raises(ValueError, match="net must have a nonzero weight, got"):
        learned_line(line_net(w=(0.0, 0.0)), plt.subplots()[1])


def test_the_decision_boundary_is_drawn_and_misclassified_points_are_ringed():
    X = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    net = line_net(w=(5.0, 5.0), b=-5.0 * 1.5)  # x1 + x2 = 1.5
    ax = decision_boundary(net, X, [0, 1, 1, 0])
    boundary = np.vstack(
        [path.vertices for drawn in ax.collections for path in drawn.get_paths() if is_contour_line(drawn)]
    )
    np.testing.assert_allclose(boundary.sum(axis=1), 1.5, atol=1e-3)
    rings = next(drawn for drawn in ax.collections if drawn.get_label() == "misclassified")
    np.testing.assert_array_equal(rings.get_offsets(), [[0, 1]])
    assert rings.get_facecolor().size == 0


def is_contour_line(drawn):
    return type(drawn).__name__ == "QuadContourSet" and not drawn.filled


def test_each_region_has_the_color_of_its_class():
    X, y = spiral(20, arms=3)
    net = mlp(2, 20, 3, loss="cross_entropy", seed=0)
    train(net, X, y, epochs=30, batch_size=10, seed=0)
    ax = decision_boundary(net, X, y)
    filled = [to_hex(drawn.get_facecolor()[0]) for drawn in ax.collections if getattr(drawn, "filled", False)]
    assert filled == list(ON_LIGHT.classes[:3])


def test_a_constant_network_has_one_region_and_no_boundary():
    ax = decision_boundary(line_net(w=(0.0, 0.0), b=3.0), *half_plane())
    assert [drawn.filled for drawn in ax.collections if hasattr(drawn, "filled")] == [True]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: scatter_labels(np.ones((4, 3)), np.ones(4)),
            r"X must have shape \(n, 2\) with n >= 1, got shape \(4, 3\)",
        ),
        (lambda: scatter_labels(np.ones((0, 2)), []), r"X must have shape \(n, 2\) with n >= 1, got shape \(0, 2\)"),
        (
            lambda: scatter_labels(np.ones((4, 2)), [0, 1]),
            r"y must have shape \(4,\), one class number per point, got shape \(2,\)",
        ),
        (lambda: scatter_labels(np.ones((1, 2)), [5]), "y must be class numbers from 0 to 4"),
        (lambda: scatter_predictions(sigmoid_net(2, 3), np.ones((4, 2))), "net must have one or two outputs, got 3"),
        (
            lambda: decision_boundary(mlp(2, 6), np.ones((4, 2)), np.zeros(4, int)),
            "net must have at most 5 outputs, one per color, got 6",
        ),
        (lambda: weight_images(mlp(12, 5), (3, 3)), "shape must have 12 pixels, one per input, got"),
        (lambda: weight_images(Network([Dropout(), Dense(2, 1)]), (1, 2)), "the first layer must be Dense"),
        (lambda: loss_curves({}), "histories must contain at least one epoch each, got"),
    ],
)
def test_invalid_arguments_are_rejected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Curves and weights.


def test_every_history_has_a_curve_with_its_own_color_dash_and_name():
    histories = {"first": history(3), "second": history(5)}
    ax = loss_curves(histories)
    assert [line.get_label() for line in ax.lines] == list(histories)
    for line, its_history in zip(ax.lines, histories.values(), strict=True):
        assert line.get_xdata().tolist() == list(range(1, len(its_history) + 1))
        assert list(line.get_ydata()) == its_history.loss
    assert len({line.get_color() for line in ax.lines}) == len({line.get_linestyle() for line in ax.lines}) == 2
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("Epoch", "Loss", "log")


def test_the_best_epoch_is_marked():
    history = History(loss=[3.0, 2.0, 1.0], validation_loss=[3.0, 1.0, 2.0], best_epoch=1)
    ax = loss_curves(history)
    best = ax.lines[-1]
    assert (best.get_xdata().tolist(), best.get_ydata().tolist()) == ([2], [1])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation", "best epoch"]


def test_a_single_epoch_is_a_dot_and_negative_losses_make_the_scale_linear():
    ax = loss_curves(History(loss=[0.5]))
    assert ax.lines[0].get_marker() == "o"
    assert ax.get_xlim() == (0, 2)
    assert loss_curves(History(loss=[0.5, -0.5])).get_yscale() == "linear"


def test_a_loss_that_is_not_finite_is_a_cross_at_the_top():
    history = train(mlp(2, 1, seed=0), np.eye(2), [0.0, 1.0], epochs=4, validation=(np.eye(2), [0.0, 1.0]))
    history.loss[2:] = [np.nan, np.inf]
    ax = loss_curves({"a": history})
    crosses = next(line for line in ax.lines if line.get_marker() == "x")
    np.testing.assert_array_equal(crosses.get_xdata(), [3, 4])
    assert "a, not finite" in ax.get_legend_handles_labels()[1]
    assert ax.get_yscale() == "log"


def test_of_more_than_three_histories_the_legend_lists_only_names():
    history = train(mlp(2, 1, seed=0), np.eye(2), [0.0, 1.0], epochs=4, validation=(np.eye(2), [0.0, 1.0]))
    names = ["$5 vs $6", "b", "c", "d"]
    assert loss_curves(dict.fromkeys(names, history)).get_legend_handles_labels()[1] == [r"\$5 vs \$6", "b", "c", "d"]


def test_validation_losses_are_thinner_and_have_their_own_color():
    validated = history(4, validation=half_plane(10, seed=1))
    training, validation = loss_curves(validated, scale="linear").lines
    assert list(validation.get_ydata()) == validated.validation_loss
    assert (training.get_color(), validation.get_color()) == (ON_LIGHT.blue, ON_LIGHT.orange)
    assert validation.get_linewidth() < training.get_linewidth()
    colors = [line.get_color() for line in loss_curves({"a": validated, "b": validated}).lines]
    assert colors == list(ON_LIGHT.classes[:4])


def test_of_more_than_two_histories_validation_losses_share_the_color_of_training():
    validated = history(4, validation=half_plane(10, seed=1))
    colors = [line.get_color() for line in loss_curves(dict.fromkeys("abc", validated)).lines]
    assert colors == [color for color in ON_LIGHT.classes[:3] for _ in range(2)]


def test_each_unit_is_an_image_of_its_weights_scaled_to_the_largest():
    net = mlp(12, 5, 2, seed=0)
    (image,) = weight_images(net, (4, 3)).images
    mosaic = image.get_array()
    columns = (mosaic.shape[1] + 1) // 4
    for k, w in enumerate(net.params[0]["W"].T):
        top, left = k // columns * 5, k % columns * 4
        np.testing.assert_allclose(mosaic[top : top + 4, left : left + 3], w.reshape(4, 3) / np.abs(w).max(), rtol=1e-6)
    assert image.get_clim() == (-1, 1)


def test_a_unit_with_zero_weights_is_an_empty_image():
    net = mlp(4, 1)
    net.theta = np.zeros_like(net.theta)
    (image,) = weight_images(net, (2, 2)).images
    assert not image.get_array().any()
