"""Tick labels are short, distinct and right, and never overlap, whatever the range."""

import re
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from chainrule.viz.svg import svg
from chainrule.viz.ticks import space_ticks, tick_labels

RANGES = {
    "tiny": (1e-9, 5e-9),
    "small": (0.00012, 0.00034),
    "years": (2007, 2009),
    "prices": (326, 18_823),
    "huge": (1e9, 3e9),
    "enormous": (1e20, 3e20),
    "negative": (-2e6, 3e5),
    "close together": (1e9, 1e9 + 3),
    "a single value": (1e9, 1e9),
    "zero": (0, 0),
    "both": (-1e-9, 1e9),
}


def axes(x, width=4.4, scale="linear"):
    figure, ax = plt.subplots(figsize=(width, 3), layout="constrained")
    ax.plot(x, x, "o")
    ax.set(xscale=scale, yscale=scale)
    return figure, ax


def number_of(text):
    unit = {"G": 1e9, "M": 1e6}.get(text[-1], 1.0)
    return float(text.rstrip("GM").replace(",", "")) * unit


def assert_legible(figure, ax):
    figure.draw_without_rendering()
    for axis, start, end in ((ax.xaxis, "x0", "x1"), (ax.yaxis, "y0", "y1")):
        labels = axis.get_ticklabels()
        texts = [label.get_text() for label in labels]
        assert len(set(texts)) == len(texts) >= 1
        boxes = [label.get_window_extent() for label in labels]
        spans = sorted((getattr(box, start), getattr(box, end)) for box in boxes)
        assert all(one[1] < other[0] for one, other in pairwise(spans)), texts
        low, high = axis.get_view_interval()
        for place, text in zip(axis.get_majorticklocs(), texts):
            assert abs(number_of(text) - place) <= 0.01 * (high - low), text


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("width", [2.5, 4.4])
def test_labels_are_legible_at_any_range(name, width):
    figure, ax = axes(np.linspace(*RANGES[name], 20), width)
    limits = ax.get_xlim()
    space_ticks(ax)
    assert_legible(figure, ax)
    assert ax.get_xlim() == limits


@pytest.mark.parametrize("name", [name for name, (low, _) in RANGES.items() if low > 0])
def test_labels_of_a_logarithmic_axis_are_legible(name):
    figure, ax = axes(np.linspace(*RANGES[name], 20), scale="log")
    space_ticks(ax)
    assert_legible(figure, ax)


def test_many_decades_have_powers_of_ten():
    _, ax = axes([1e-12, 1e12], scale="log")
    space_ticks(ax)
    ticks = ax.get_xticks()
    assert 2 <= len(ticks) <= 13
    np.testing.assert_allclose(np.log10(ticks), np.round(np.log10(ticks)), atol=1e-9)


def test_dates_are_legible():
    figure, ax = plt.subplots(figsize=(2.5, 3), layout="constrained")
    ax.plot(np.arange("2020-01-01", "2024-06-01", dtype="M8[D]"), np.arange(1613))
    space_ticks(ax)
    figure.draw_without_rendering()
    spans = sorted((box.x0, box.x1) for box in (label.get_window_extent() for label in ax.get_xticklabels()))
    assert len(spans) >= 2
    assert all(one[1] < other[0] for one, other in pairwise(spans))


def test_integers_stay_integers_and_names_stay_names():
    _, ax = plt.subplots()
    ax.plot([1, 2, 3], [0, 1, 2])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_yticks([0, 1, 2], ["a", "b", "c"])
    space_ticks(ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "3"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0, 0.5, 1], ["0.0", "0.5", "1.0"]),
        ([-0.0, 0.1], ["0.0", "0.1"]),
        ([5_000, 10_000], ["5,000", "10,000"]),
        ([2_000, 4_000], ["2000", "4000"]),
        ([-2e6, 0, 2.5e6], ["-2.0M", "0", "2.5M"]),
        ([1e9, 1.5e9], ["1.0G", "1.5G"]),
        ([0, 2.5e-9], ["0", "2.5e-9"]),
        ([1e20, 2e20], ["1e20", "2e20"]),
        ([1, 10, 100, 1000], ["1", "10", "100", "1,000"]),
        ([0.0], ["0"]),
        ([], []),
    ],
)
def test_labels_are_the_shortest_that_tell_numbers_apart(ticks, labels):
    assert tick_labels(ticks) == labels


def test_figures_of_pages_have_spaced_ticks():
    drawing = svg(lambda ax: ax.plot([1e9, 1e9 + 3], [0, 1]), 3.0, 2.0, "label")
    assert "1,000,000,000" in drawing
    assert not re.search(r">1e9<|>\+1e9<", drawing)
