"""Callbacks that record a training: the path of the weights, and samples of activations and gradients.

Use them as `train(..., callbacks=[WeightPath()])`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, require_integer
from chainrule.nn.layers import Activation
from chainrule.nn.network import Network
from chainrule.training.callbacks import Callback
from chainrule.training.run import Run


def _network_of(run: Run) -> Network:
    """Return the network in training; raise ValueError if it is another object."""
    if not isinstance(run.net, Network):
        raise ValueError(f"net must be a Network to be recorded, got a {type(run.net).__name__}")
    return run.net


class WeightPath(Callback):
    """Record the weights before training and after epochs.

    Parameters
    ----------
    n_points : int
        When twice as many points are stored, every other one is dropped, and from then on only every other epoch is
        stored.

    Attributes
    ----------
    epochs : list of int
        The recorded epochs; 0 is before training.
    thetas : list of (n_parameters,)
        The network's `theta` after each of these epochs.
    """

    def __init__(self, n_points: int = 200) -> None:
        require_integer(n_points, "n_points", 2)
        self.n_points = n_points

    def on_train_begin(self, run: Run) -> None:
        self.stride = 1
        self.epochs, self.thetas = [0], [run.net.theta.copy()]

    def on_epoch_end(self, run: Run) -> None:
        epoch = run.epoch + 1
        if epoch % self.stride and epoch < run.epochs:
            return
        self.epochs.append(epoch)
        self.thetas.append(run.net.theta.copy())
        if len(self.epochs) >= 2 * self.n_points:
            self.stride *= 2
            self.epochs, self.thetas = self.epochs[::2], self.thetas[::2]


class LayerSamples(Callback):
    """Record samples of every layer's outputs and of every weight matrix's gradient on a few rows.

    Samples are taken before training, after epochs 1, 2, 4, 8, ..., because most changes happen early, and at the end.

    Parameters
    ----------
    X, y
        Rows to evaluate; a hundred are enough.
    max_values : int
        Number of values stored for a layer or a matrix each time, always at the same positions.

    Attributes
    ----------
    epochs : list of int
        The recorded epochs; 0 is before training.
    activations : dict of list of (m,)
        For each Activation and for the last layer, its outputs after each of these epochs.
    gradients : dict of list of (m,)
        For each weight matrix, the entries of its gradient after each of these epochs.
    """

    def __init__(self, X: ArrayLike, y: ArrayLike, *, max_values: int = 2_000) -> None:
        require_integer(max_values, "max_values")
        self.X, self.y, self.max_values = X, y, max_values

    def on_train_begin(self, run: Run) -> None:
        self.rows = _network_of(run).check(self.X, self.y)
        self.epochs: list[int] = []
        self.activations: dict[str, list[Array]] = {}
        self.gradients: dict[str, list[Array]] = {}
        self.record(_network_of(run), 0)

    def on_epoch_end(self, run: Run) -> None:
        epoch = run.epoch + 1
        if epoch & (epoch - 1) == 0:  # a power of two has a single bit set
            self.record(_network_of(run), epoch)

    def on_train_end(self, run: Run) -> None:
        if self.epochs[-1] < len(run.history):
            self.record(_network_of(run), len(run.history))

    def record(self, net: Network, epoch: int) -> None:
        """Store samples of the activations and gradients of an epoch."""
        X, y, weight = self.rows
        self.epochs.append(epoch)
        last = len(net.layers) - 1
        for i, (layer, outputs) in enumerate(zip(net.layers, net.activations(X))):
            if isinstance(layer, Activation) or i == last:
                self.activations.setdefault(f"{i} {_layer_name(layer)}", []).append(self.sample(outputs))
        net.objective(X, y, weight)
        for block in net.blocks:
            if block.kind == "W":
                self.gradients.setdefault(block.full_name, []).append(self.sample(net.grad[block.slice]))

    def sample(self, values: Array) -> Array:
        """Return up to `max_values` of the values, at the same positions for arrays of the same size."""
        positions = np.random.default_rng(0).permutation(values.size)[: self.max_values]
        return values.ravel()[np.sort(positions)].copy()


def _layer_name(layer: object) -> str:
    """Return an activation's function or the type of any other layer."""
    if not isinstance(layer, Activation):
        return type(layer).__name__
    return layer.function if isinstance(layer.function, str) else getattr(layer.function, "__name__", "custom")
