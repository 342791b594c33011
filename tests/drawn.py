"""What tests of diagrams share: a network to draw, and what is read from the Axes."""

from itertools import combinations

import matplotlib.pyplot as plt
from matplotlib.colors import to_hex

from chainrule import mlp
from chainrule.nn.losses import SquaredError


def sigmoid_net(*sizes, loss=None):
    loss = loss or SquaredError(1.0)
    return mlp(*sizes, activation="sigmoid", output_activation="sigmoid", loss=loss, biases="normal", seed=0)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def color_of(text):
    return to_hex(text.get_color())


def assert_texts_are_apart(draw, inches):
    """Assert that no text overlaps another or is clipped, on Axes of that width, or on new ones."""
    ax = None
    if inches:
        width, height = draw(None).figure.get_size_inches()
        _, ax = plt.subplots(figsize=(inches, inches * height / width))
    ax = draw(ax)
    placed = list(_boxes(ax))
    width, height = ax.figure.bbox.size
    for text, (left, right, low, high) in placed:
        assert left >= 0 and right <= width and low >= 0 and high <= height, text  # noqa: PT018
    for (one, a), (other, b) in combinations(placed, 2):
        assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2], f"{one} and {other} overlap"


def _boxes(ax):
    """Yield each text with its extent in pixels, slightly reduced, because glyphs do not fill it."""
    ax.figure.draw_without_rendering()
    for text in ax.texts:
        box = text.get_window_extent()
        slack = 0.5 + 0.08 * text.get_fontsize() * ax.figure.dpi / 72
        yield text.get_text(), (box.x0 + slack, box.x1 - slack, box.y0 + slack, box.y1 - slack)
