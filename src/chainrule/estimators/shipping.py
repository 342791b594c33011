"""Convert a fitted `MLPClassifier` or `MLPRegressor` to a `Predictor`: one file, which needs NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainrule.arrays import Array
from chainrule.data.reading import matrix_names
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.model.fitting import origin
from chainrule.model.predictor import Predictor
from chainrule.nn.layers import Dense
from chainrule.nn.losses import BinaryCrossEntropy, CrossEntropy
from chainrule.nn.network import Network

_TARGET = "y"
"""Name of the target: `fit(X, y)` does not pass one."""


def class_target(classes: Array, frequencies: Array) -> ClassTarget:
    """Return the target of a classifier with these classes (K,) and their relative frequencies (K,)."""
    if len(classes) < 2:
        raise ValueError(f"classes_ must hold at least 2 classes to be saved, got {classes}")
    return ClassTarget.of(_TARGET, classes, frequencies)


def number_target(n_outputs: int) -> NumberTarget:
    """Return the target of a network whose outputs are already in the target's unit."""
    return NumberTarget(_TARGET, (0.0,) * n_outputs, (1.0,) * n_outputs)


def with_two_outputs(network: Network) -> Network:
    """Return a network with one logit z as one with the two logits 0 and z; any other network unchanged.

    softmax(0, z) = (1 - sigmoid(z), sigmoid(z)).
    """
    if not (isinstance(network.loss, BinaryCrossEntropy) and network.n_out == 1):
        return network
    two = Network.empty([*network.layers, Dense(1, 2)], CrossEntropy(), l1=0, l2=0, dtype=network.dtype.name)
    two.theta = np.append(network.theta, [0, 1, 0, 0])  # W = (0 1), b = (0, 0)
    two.buffers[...] = network.buffers
    return two


def predictor_of(
    network: Network, target: ClassTarget | NumberTarget, names: Sequence[str] | None, **metadata: object
) -> Predictor:
    """Return a Predictor for columns of these names; None: x0, x1, ..., the columns of a matrix."""
    encoder = TabularEncoder.raw(list(matrix_names(network.n_in)) if names is None else names)
    return Predictor(encoder, network, target, origin(encoder, target) | metadata)
