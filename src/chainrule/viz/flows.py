"""Histograms of each layer's activations and gradients during training."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from chainrule.arrays import Array, require
from chainrule.insight.recording import LayerSamples
from chainrule.viz.style import evenly_spaced, figure_of, new_axes, palette_for, require_type, shorten

_N_BINS = 40
_MAX_LAYERS = 6
"""Layers shown at most, evenly spaced from first to last."""
_GAP = 0.15
"""Distance between two layers, in widths of a histogram."""
_SAMPLES = "a LayerSamples callback that has recorded a training run"


def activation_histograms(samples: LayerSamples, ax: Axes | None = None, title: str = "Activations") -> Axes:
    """Draw the distribution of each layer's outputs, from before training, at the top, to its end.

    `samples` is the callback that recorded the training. Each layer has its own scale, written below it. Heights are
    proportional to the square root of the counts, so that rare values are visible next to a peak.
    """
    require_type(samples, LayerSamples, "samples", _SAMPLES)
    return _histograms(samples.activations, samples.epochs, ax, title)


def gradient_histograms(samples: LayerSamples, ax: Axes | None = None, title: str = "Weight gradients") -> Axes:
    """Draw the distribution of the gradient of each weight matrix, as `activation_histograms` does.

    Scales that shrink by orders of magnitude from the last layer to the first are a sign of vanishing gradients.
    """
    require_type(samples, LayerSamples, "samples", _SAMPLES)
    return _histograms(samples.gradients, samples.epochs, ax, title)


def _histograms(layers: Mapping[str, Sequence[Array]], epochs: Sequence[int], ax: Axes | None, title: str) -> Axes:
    """Draw a grid of histograms with one column per layer and one row per recorded epoch."""
    require(bool(epochs and layers), "samples", "contain at least one recorded epoch", list(epochs))
    names = list(layers)
    shown = [names[i] for i in evenly_spaced(len(names), _MAX_LAYERS)]
    ax = new_axes(ax, 1.5 + 1.6 * len(shown), 1.5 + 0.35 * len(epochs))
    colors = palette_for(ax)
    labels = []
    for column, name in enumerate(shown):
        left = column * (1 + _GAP)
        low, high = _limits(layers[name])
        labels.append(f"{shorten(name, 12)}\n{low:.2g} to {high:.2g}")
        edges = np.linspace(0, 1, _N_BINS + 1)
        for row, values in enumerate(layers[name]):
            counts = np.histogram((values - low) / (high - low), edges)[0]
            heights = 0.9 * np.sqrt(counts / counts.max())
            ax.stairs(row - heights, left + edges, baseline=row, fill=True, color=colors.blue, alpha=0.75, zorder=2)
        if low < 0 < high:
            zero = left - low / (high - low)
            ax.plot([zero, zero], [-1, len(epochs) - 1], color=colors.pale, linewidth=0.6, zorder=1)
    ax.set_yticks(range(len(epochs)), [str(epoch) for epoch in epochs])
    room = ax.get_window_extent().width * 72 / figure_of(ax).dpi / len(shown)
    size = min(9.0, room / (0.6 * max(len(line) for label in labels for line in label.split("\n"))))
    ax.set_xticks([column * (1 + _GAP) + 0.5 for column in range(len(shown))], labels, fontsize=size)
    ax.set(ylim=(len(epochs) - 0.9, -1.1), xlim=(-_GAP, len(shown) * (1 + _GAP)), ylabel="Epoch", title=title)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def _limits(values: Sequence[Array]) -> tuple[float, float]:
    """Return the range of a layer's values, widened if they are all equal."""
    low, high = min(float(some.min()) for some in values), max(float(some.max()) for some in values)
    margin = 0.0 if high > low else 0.5 * abs(high) or 0.5
    return low - margin, high + margin
