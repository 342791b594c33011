"""What flows through the layers while they learn: activations forward, gradients back."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import Array, require
from chainrule.insight.recording import LayerSamples
from chainrule.viz.style import cut, figure_of, new_axes, palette_for, require_kind, spread_over

BINS = 40
MOST_LAYERS = 6
"""Layers side by side; of more, some evenly spread from first to last are shown."""
GAP = 0.15
"""What parts two layers, in widths of one."""
WATCHER = "a LayerSamples that was among the callbacks of a training"


def activation_histograms(samples: LayerSamples, ax: Axes | None = None, title: str = "activations") -> Axes:
    """Draw how each layer's outputs are spread, from before training, on top, to its end.

    `samples` is the callback that has watched a training. Each layer has a scale of its own, written below it; heights
    are square roots of shares, so that what is rare can be seen beside a peak.
    """
    require_kind(samples, LayerSamples, "samples", WATCHER)
    return histograms(samples.activations, samples.epochs, ax, title)


def gradient_histograms(samples: LayerSamples, ax: Axes | None = None, title: str = "gradients of the weights") -> Axes:
    """Draw how the entries of each weight matrix's gradient are spread, as `activation_histograms` does.

    Scales that shrink by orders of magnitude from the last layer to the first are a gradient that vanishes.
    """
    require_kind(samples, LayerSamples, "samples", WATCHER)
    return histograms(samples.gradients, samples.epochs, ax, title)


def histograms(layers: Mapping[str, Sequence[Array]], epochs: Sequence[int], ax: Axes | None, title: str) -> Axes:
    """Draw a column of histograms a layer, a row a record."""
    require(bool(epochs and layers), "samples", "have watched a training", list(epochs))
    names = list(layers)
    shown = [names[i] for i in spread_over(len(names), MOST_LAYERS)]
    ax = new_axes(ax, 1.5 + 1.6 * len(shown), 1.5 + 0.35 * len(epochs))
    colours = palette_for(ax)
    scales = []
    for column, name in enumerate(shown):
        left = column * (1 + GAP)
        low, high = limits_of(layers[name])
        scales.append(f"{cut(name, 12)}\n{low:.2g} to {high:.2g}")
        edges = np.linspace(0, 1, BINS + 1)
        for row, values in enumerate(layers[name]):
            counts = np.histogram((values - low) / (high - low), edges)[0]
            heights = 0.9 * np.sqrt(counts / counts.max())
            ax.stairs(row - heights, left + edges, baseline=row, fill=True, color=colours.blue, alpha=0.75, zorder=2)
        if low < 0 < high:
            ax.plot([left - low / (high - low)] * 2, [-1, len(epochs) - 1], color=colours.pale, linewidth=0.6, zorder=1)
    ax.set_yticks(range(len(epochs)), [str(epoch) for epoch in epochs])
    room = ax.get_window_extent().width * 72 / figure_of(ax).dpi / len(shown)
    size = min(9.0, room / (0.6 * max(len(line) for scale in scales for line in scale.split("\n"))))
    ax.set_xticks([column * (1 + GAP) + 0.5 for column in range(len(shown))], scales, fontsize=size)
    ax.set(ylim=(len(epochs) - 0.9, -1.1), xlim=(-GAP, len(shown) * (1 + GAP)), ylabel="epoch", title=title)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def limits_of(values: Sequence[Array]) -> tuple[float, float]:
    """Return what a layer's histograms span: its values, or some room around a single one."""
    low, high = min(float(some.min()) for some in values), max(float(some.max()) for some in values)
    room = 0.0 if high > low else 0.5 * abs(high) or 0.5
    return low - room, high + room
