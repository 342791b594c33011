"""What the pictures of a training show: histograms of layers, the loss as a landscape, a boundary that forms."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch
from PIL import Image

from chainrule import SGD, mlp, train, viz
from chainrule.data.datasets import disc
from chainrule.insight.recording import LayerSamples, WeightPath
from chainrule.insight.surface import Surface, surface_around, surface_of_paths
from chainrule.viz.style import ON_LIGHT


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


def watched(*sizes, epochs=4, activation="tanh"):
    net, way, samples = (
        mlp(*sizes, activation=activation, loss="cross_entropy", seed=0),
        WeightPath(),
        LayerSamples(*disc(30)),
    )
    train(net, *disc(30), optimizer=SGD(0.5), epochs=epochs, batch_size=10, callbacks=[way, samples])
    return net, way, samples


NET, WAY, SAMPLES = watched(2, 4, 2)
SURFACE = surface_around(NET, *disc(30), points=9)
PICTURES = {
    "activation_histograms": lambda ax=None: viz.activation_histograms(SAMPLES, ax),
    "gradient_histograms": lambda ax=None: viz.gradient_histograms(SAMPLES, ax),
    "loss_surface": lambda ax=None: viz.loss_surface(SURFACE, ax),
    "descent_paths": lambda ax=None: viz.descent_paths(SURFACE, {"one": WAY.thetas}, ax),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_a_picture_is_drawn_on_the_axes_it_is_given_or_on_its_own(name, style):
    with plt.style.context(style):
        _, ax = plt.subplots(figsize=(3, 3), layout="constrained")
        assert PICTURES[name](ax) is ax
        ax.figure.canvas.draw()
        own = PICTURES[name]()
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
def test_each_layer_has_a_histogram_a_record_of_all_its_numbers(draw, layers):
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


def test_of_many_layers_some_are_shown_the_first_and_the_last_among_them():
    samples = watched(2, *[3] * 9, 2, epochs=1)[2]
    names = [text.get_text().split("\n")[0] for text in viz.gradient_histograms(samples).get_xticklabels()]
    assert len(names) == 6
    assert (names[0], names[-1]) == ("0.W", "18.W")


def test_a_layer_that_always_gives_the_same_is_drawn():
    samples = LayerSamples(*disc(10))
    net = mlp(2, 3, 2, loss="cross_entropy", seed=0)
    net.theta = np.zeros_like(net.theta)
    train(net, *disc(10), optimizer=SGD(1e-30), epochs=1, callbacks=[samples])
    ax = viz.activation_histograms(samples)
    ax.figure.canvas.draw()
    assert ax.get_xticklabels()[0].get_text() == "1 relu\n-0.5 to 0.5"


@pytest.mark.parametrize(
    ("draw", "source"),
    [
        (viz.activation_histograms, "samples must be a LayerSamples that was among the callbacks"),
        (viz.gradient_histograms, "samples must be a LayerSamples that was among the callbacks"),
        (viz.loss_surface, "surface must be what surface_around or surface_of_paths returns"),
        (viz.loss_curves, "histories must be what train returns"),
        (viz.importance, "found must be what permutation_importance returns"),
        (viz.partial_dependence, "found must be what partial_dependence of chainrule.insight.evaluation returns"),
    ],
)
def test_what_no_picture_can_be_made_of_is_refused_with_what_can(draw, source):
    with pytest.raises(ValueError, match=f"{source}.*, got Network"):
        draw(mlp(2, 3, 1))


def test_a_recorder_that_has_seen_nothing_is_refused():
    samples = LayerSamples(*disc(10))
    samples.epochs, samples.activations = [], {}
    with pytest.raises(ValueError, match="samples must have watched a training"):
        viz.activation_histograms(samples)


# Landscapes.


def test_the_lowest_loss_is_marked_and_levels_lie_between_the_ends():
    surface = Surface(np.zeros(2), np.eye(2), np.arange(3.0), np.arange(4.0), np.arange(12.0)[::-1].reshape(4, 3))
    ax = viz.loss_surface(surface)
    (mark,) = ax.lines
    assert (mark.get_xdata().tolist(), mark.get_ydata().tolist()) == ([2], [3])
    assert mark.get_label() == "lowest loss here, 0"
    filled, lines = ax.collections
    assert (filled.levels[0], filled.levels[-1]) == (0, 11)
    assert (np.diff(filled.levels, 2) >= 0).all(), "closer where lower"
    assert set(lines.levels) <= set(filled.levels)
    assert ax.get_xlim() == (0, 2)
    assert ax.get_ylim() == (0, 3)


def test_a_flat_surface_has_no_levels():
    surface = Surface(np.zeros(2), np.eye(2), np.arange(3.0), np.arange(3.0), np.ones((3, 3)))
    ax = viz.loss_surface(surface)
    ax.figure.canvas.draw()
    assert not ax.collections


def test_each_way_is_drawn_where_it_went_from_the_start_they_share():
    ways = {"one": WAY.thetas, "two": WAY.thetas[:1] + watched(2, 4, 2, epochs=2)[1].thetas}
    surface = surface_of_paths(NET, *disc(30), list(ways.values()), points=5)
    ax = viz.descent_paths(surface, ways)
    lines = {line.get_label(): line for line in ax.lines}
    plain = [line for line in ax.lines if len(line.get_xdata()) > 1]
    for line, thetas in zip(plain, ways.values(), strict=True):
        np.testing.assert_allclose(np.column_stack(line.get_data()), surface.project(thetas))
    np.testing.assert_allclose(np.ravel(lines["start"].get_data()), surface.project(WAY.thetas[:1])[0])
    assert lines["one"].get_markevery() == [len(WAY.thetas) - 1], "the mark is where it ends"
    assert [to_hex(line.get_color()) for line in plain] == list(ON_LIGHT.classes[:2])
    assert ax.get_legend().get_title().get_text() == f"{surface.share:.0%} in this plane"


def test_any_two_of_many_ways_are_told_apart_in_the_legend():
    surface = Surface(
        np.zeros(2), np.eye(2), np.array([-1.0, 1.0]), np.array([-1.0, 1.0]), np.arange(4.0).reshape(2, 2)
    )
    ways = {str(k): [np.zeros(2), np.full(2, 0.1 * k)] for k in range(10)}
    handles = viz.descent_paths(surface, ways).get_legend_handles_labels()[0][2:]
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in handles}
    assert len(looks) == 10


def test_without_a_way_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="paths must hold one way at least"):
        viz.descent_paths(SURFACE, {})


# The animation.


def test_a_boundary_forms_from_the_first_epoch_to_the_last(tmp_path):
    before = NET.theta.copy()
    path = viz.animate_boundary(tmp_path / "disc.gif", NET, WAY, *disc(30), frames=3)
    with Image.open(path) as gif:
        assert gif.n_frames >= 3
        pictures = [np.asarray(frame.convert("RGB"), int) for frame in frames_of(gif)]
    assert any((pictures[0] != picture).any() for picture in pictures[1:])
    np.testing.assert_array_equal(NET.theta, before)
    assert plt.get_fignums() == []


def frames_of(gif):
    for k in range(gif.n_frames):
        gif.seek(k)
        yield gif


def test_it_is_drawn_on_the_axes_it_is_given_and_ends_with_the_last_epoch(tmp_path):
    figure, ax = plt.subplots(figsize=(2, 2))
    other = mlp(2, 4, 2, activation="tanh", loss="cross_entropy")
    viz.animate_boundary(tmp_path / "disc.gif", other, WAY, *disc(30), ax, frames=2)
    assert ax.get_title() == "epoch 4"
    last = viz.decision_boundary(NET, *disc(30), plt.figure(figure.number).add_subplot())
    for drawn, expected in zip(ax.collections, last.collections, strict=True):
        for path, wanted in zip(drawn.get_paths(), expected.get_paths(), strict=True):
            np.testing.assert_allclose(path.vertices, wanted.vertices, atol=1e-4)
    assert plt.get_fignums() == [figure.number]


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"file must end in .gif"):
        viz.animate_boundary(tmp_path / "disc.mp4", NET, WAY, *disc(30))
