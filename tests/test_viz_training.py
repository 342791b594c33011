"""Figures of training: histograms of layers, the loss surface, an animated decision boundary."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch
from PIL import Image

from chainrule import SGD, mlp, train, viz
from chainrule.datasets import disc
from chainrule.insight.recording import LayerSamples, WeightPath
from chainrule.insight.surface import Surface, surface_around, surface_of_paths
from chainrule.viz.style import ON_LIGHT


def recorded(*sizes, epochs=4, activation="tanh"):
    net, path, samples = (
        mlp(*sizes, activation=activation, loss="cross_entropy", seed=0),
        WeightPath(),
        LayerSamples(*disc(30)),
    )
    train(net, *disc(30), optimizer=SGD(0.5), epochs=epochs, batch_size=10, callbacks=[path, samples])
    return net, path, samples


NET, PATH, SAMPLES = recorded(2, 4, 2)
SURFACE = surface_around(NET, *disc(30), points=9)
FIGURES = {
    "activation_histograms": lambda ax=None: viz.activation_histograms(SAMPLES, ax),
    "gradient_histograms": lambda ax=None: viz.gradient_histograms(SAMPLES, ax),
    "loss_surface": lambda ax=None: viz.loss_surface(SURFACE, ax),
    "descent_paths": lambda ax=None: viz.descent_paths(SURFACE, {"one": PATH.thetas}, ax),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_a_figure_is_drawn_on_the_given_axes_or_new_ones(name, style):
    with plt.style.context(style):
        _, ax = plt.subplots(figsize=(3, 3), layout="constrained")
        assert FIGURES[name](ax) is ax
        ax.figure.canvas.draw()
        own = FIGURES[name]()
        own.figure.canvas.draw()
        assert own.figure.axes == [own]


# Layers.


def steps(ax):
    return [patch for patch in ax.patches if isinstance(patch, StepPatch)]


@pytest.mark.parametrize(
    ("draw", "layers"),
    [(viz.activation_histograms, SAMPLES.activations), (viz.gradient_histograms, SAMPLES.gradients)],
    ids=["activations", "gradients"],
)
def test_each_layer_has_a_histogram_per_recorded_epoch(draw, layers):
    ax = draw(SAMPLES)
    drawn = steps(ax)
    assert len(drawn) == len(layers) * len(SAMPLES.epochs)
    for k, (name, records) in enumerate(layers.items()):
        low, high = min(map(np.min, records)), max(map(np.max, records))
        for row, values in enumerate(records):
            heights, edges, baseline = drawn[k * len(records) + row].get_data()
            counts = np.histogram(values, np.linspace(low, high, len(edges)))[0]
            np.testing.assert_allclose(((baseline - heights) / 0.9) ** 2 * counts.max(), counts, atol=1.01)
            assert baseline == row
        assert ax.get_xticklabels()[k].get_text() == f"{name}\n{low:.2g} to {high:.2g}"
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "1", "2", "4"]


def test_of_many_layers_some_are_shown_including_the_first_and_the_last():
    samples = recorded(2, *[3] * 9, 2, epochs=1)[2]
    names = [text.get_text().split("\n")[0] for text in viz.gradient_histograms(samples).get_xticklabels()]
    assert len(names) == 6
    assert (names[0], names[-1]) == ("0.W", "18.W")


def test_a_constant_layer_is_drawn():
    samples = LayerSamples(*disc(10))
    net = mlp(2, 3, 2, loss="cross_entropy", seed=0)
    net.theta = np.zeros_like(net.theta)
    train(net, *disc(10), optimizer=SGD(1e-30), epochs=1, callbacks=[samples])
    ax = viz.activation_histograms(samples)
    ax.figure.canvas.draw()
    assert ax.get_xticklabels()[0].get_text() == "1 relu\n-0.5 to 0.5"


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (viz.activation_histograms, "samples must be a LayerSamples callback that has recorded a training run"),
        (viz.gradient_histograms, "samples must be a LayerSamples callback that has recorded a training run"),
        (viz.loss_surface, "surface must be the result of surface_around or surface_of_paths"),
        (viz.loss_curves, "histories must be a History, as returned by train"),
        (viz.importance, "result must be the result of permutation_importance"),
        (viz.interaction, "result must be the result of chainrule.insight.dependence.strongest_interaction"),
        (viz.waterfall, "explanation must be an Explanation, the result of explain"),
        (viz.partial_dependence, "result must be the result of chainrule.insight.dependence.partial_dependence"),
    ],
)
def test_arguments_of_another_type_are_rejected(draw, message):
    with pytest.raises(ValueError, match=f"{message}.*, got Network"):
        draw(mlp(2, 3, 1))


def test_an_empty_recorder_is_rejected():
    samples = LayerSamples(*disc(10))
    samples.epochs, samples.activations = [], {}
    with pytest.raises(ValueError, match="samples must contain at least one recorded epoch"):
        viz.activation_histograms(samples)


# Loss surfaces.


def test_the_lowest_loss_is_marked_and_levels_span_the_range():
    surface = Surface(np.zeros(2), np.eye(2), np.arange(3.0), np.arange(4.0), np.arange(12.0)[::-1].reshape(4, 3))
    ax = viz.loss_surface(surface)
    (marker,) = ax.lines
    assert (marker.get_xdata().tolist(), marker.get_ydata().tolist()) == ([2], [3])
    assert marker.get_label() == "lowest loss on the grid: 0"
    filled, lines = ax.collections
    assert (filled.levels[0], filled.levels[-1]) == (0, 11)
    assert (np.diff(filled.levels, 2) >= 0).all(), "denser at low losses"
    assert set(lines.levels) <= set(filled.levels)
    assert ax.get_xlim() == (0, 2)
    assert ax.get_ylim() == (0, 3)


def test_a_constant_surface_has_no_levels():
    surface = Surface(np.zeros(2), np.eye(2), np.arange(3.0), np.arange(3.0), np.ones((3, 3)))
    ax = viz.loss_surface(surface)
    ax.figure.canvas.draw()
    assert not ax.collections


def test_paths_are_drawn_from_their_common_start():
    paths = {"one": PATH.thetas, "two": PATH.thetas[:1] + recorded(2, 4, 2, epochs=2)[1].thetas}
    surface = surface_of_paths(NET, *disc(30), list(paths.values()), points=5)
    ax = viz.descent_paths(surface, paths)
    lines = {line.get_label(): line for line in ax.lines}
    plain = [line for line in ax.lines if len(line.get_xdata()) > 1]
    for line, thetas in zip(plain, paths.values(), strict=True):
        np.testing.assert_allclose(np.column_stack(line.get_data()), surface.project(thetas))
    np.testing.assert_allclose(np.ravel(lines["start"].get_data()), surface.project(PATH.thetas[:1])[0])
    assert lines["one"].get_markevery() == [len(PATH.thetas) - 1], "the marker is at the end"
    assert [to_hex(line.get_color()) for line in plain] == list(ON_LIGHT.classes[:2])
    assert ax.get_legend().get_title().get_text() == f"{surface.share:.0%} of variance in plane"


def test_many_paths_are_distinguishable_in_the_legend():
    surface = Surface(
        np.zeros(2), np.eye(2), np.array([-1.0, 1.0]), np.array([-1.0, 1.0]), np.arange(4.0).reshape(2, 2)
    )
    paths = {str(k): [np.zeros(2), np.full(2, 0.1 * k)] for k in range(10)}
    handles = viz.descent_paths(surface, paths).get_legend_handles_labels()[0][2:]
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in handles}
    assert len(looks) == 10


def test_an_empty_dict_of_paths_is_rejected():
    with pytest.raises(ValueError, match="paths must contain at least one path"):
        viz.descent_paths(SURFACE, {})


# The animation.


def test_the_animation_shows_the_boundary_from_first_to_last_epoch(tmp_path):
    before = NET.theta.copy()
    path = viz.animate_boundary(tmp_path / "disc.gif", NET, PATH, *disc(30), frames=3)
    with Image.open(path) as gif:
        assert gif.n_frames >= 3
        images = [np.asarray(frame.convert("RGB"), int) for frame in frames_of(gif)]
    assert any((images[0] != image).any() for image in images[1:])
    np.testing.assert_array_equal(NET.theta, before)
    assert plt.get_fignums() == []


def frames_of(gif):
    for k in range(gif.n_frames):
        gif.seek(k)
        yield gif


def test_the_animation_uses_the_given_axes_and_ends_with_the_last_epoch(tmp_path):
    figure, ax = plt.subplots(figsize=(2, 2))
    other = mlp(2, 4, 2, activation="tanh", loss="cross_entropy")
    viz.animate_boundary(tmp_path / "disc.gif", other, PATH, *disc(30), ax, frames=2)
    assert ax.get_title() == "Epoch 4"
    last = viz.decision_boundary(NET, *disc(30), plt.figure(figure.number).add_subplot())
    for drawn, expected in zip(ax.collections, last.collections, strict=True):
        for path, wanted in zip(drawn.get_paths(), expected.get_paths(), strict=True):
            np.testing.assert_allclose(path.vertices, wanted.vertices, atol=1e-4)
    assert plt.get_fignums() == [figure.number]


def test_other_file_types_are_rejected(tmp_path):
    with pytest.raises(ValueError, match=r"file must end in .gif"):
        viz.animate_boundary(tmp_path / "disc.mp4", NET, PATH, *disc(30))
