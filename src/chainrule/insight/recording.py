"""What a training leaves behind only if somebody writes it down: the way of the weights, and what flows through layers.

Both are callbacks: `train(..., callbacks=[WeightPath()])`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, require_integer
from chainrule.nn.layers import Activation
from chainrule.nn.network import Network
from chainrule.training.callbacks import Callback
from chainrule.training.run import Run


def network_of(run: Run) -> Network:
    """Return the network in training, or raise ValueError where it is something else that trains."""
    if not isinstance(run.net, Network):
        raise ValueError(f"only a Network's training can be recorded, got a {type(run.net).__name__}")
    return run.net


class WeightPath(Callback):
    """Keep the weights as they were before training and after its epochs.

    Parameters
    ----------
    most : int
        Once there are twice as many, every other one is dropped and only every other epoch kept from then on.

    Attributes
    ----------
    epochs : list of int
        0 is before training.
    thetas : list of (n_parameters,)
        The network's `theta` after each of these epochs.
    """

    def __init__(self, most: int = 200) -> None:
        require_integer(most, "most", 2)
        self.most = most

    def on_train_begin(self, run: Run) -> None:
        self.stride = 1
        self.epochs, self.thetas = [0], [run.net.theta.copy()]

    def on_epoch_end(self, run: Run) -> None:
        epoch = run.epoch + 1
        if epoch % self.stride and epoch < run.epochs:
            return
        self.epochs.append(epoch)
        self.thetas.append(run.net.theta.copy())
        if len(self.epochs) >= 2 * self.most:
            self.stride *= 2
            self.epochs, self.thetas = self.epochs[::2], self.thetas[::2]


class LayerSamples(Callback):
    """Keep samples of what every layer gives, and of the gradient of every weight matrix, on a few rows.

    They are taken before training and after epochs 1, 2, 4, 8, ..., since most happens early, and at the end.

    Parameters
    ----------
    X, y
        Rows to look at; a hundred are enough.
    most : int
        Numbers that are kept of a layer or a matrix each time, drawn once and for all.

    Attributes
    ----------
    epochs : list of int
        0 is before training.
    activations : dict of list of (m,)
        For each Activation, and for the last layer, its outputs after each of these epochs.
    gradients : dict of list of (m,)
        For each weight matrix the entries of its gradient.
    """

    def __init__(self, X: ArrayLike, y: ArrayLike, *, most: int = 2_000) -> None:
        require_integer(most, "most")
        self.X, self.y, self.most = X, y, most

    def on_train_begin(self, run: Run) -> None:
        self.rows = network_of(run).check(self.X, self.y)
        self.epochs: list[int] = []
        self.activations: dict[str, list[Array]] = {}
        self.gradients: dict[str, list[Array]] = {}
        self.look(network_of(run), 0)

    def on_epoch_end(self, run: Run) -> None:
        epoch = run.epoch + 1
        if epoch & (epoch - 1) == 0:  # a power of two has a single bit
            self.look(network_of(run), epoch)

    def on_train_end(self, run: Run) -> None:
        if self.epochs[-1] < len(run.history):
            self.look(network_of(run), len(run.history))

    def look(self, net: Network, epoch: int) -> None:
        """Take the samples."""
        X, y, weight = self.rows
        self.epochs.append(epoch)
        last = len(net.layers) - 1
        for i, (layer, outputs) in enumerate(zip(net.layers, net.activations(X))):
            if isinstance(layer, Activation) or i == last:
                self.activations.setdefault(f"{i} {name_of(layer)}", []).append(self.sample(outputs))
        net.objective(X, y, weight)
        for block in net.blocks:
            if block.kind == "W":
                self.gradients.setdefault(block.full_name, []).append(self.sample(net.grad[block.slice]))

    def sample(self, numbers: Array) -> Array:
        """Return some of the numbers, of the same places whenever there are as many."""
        some = np.random.default_rng(0).permutation(numbers.size)[: self.most]
        return numbers.ravel()[np.sort(some)].copy()


def name_of(layer: object) -> str:
    """Return a layer's name in a picture: an activation's function, or the kind of layer it is."""
    if not isinstance(layer, Activation):
        return type(layer).__name__
    return layer.function if isinstance(layer.function, str) else getattr(layer.function, "__name__", "own")
