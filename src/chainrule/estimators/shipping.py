"""From a fitted `MLPClassifier` or `MLPRegressor` to a `Predictor`: one file, and NumPy alone to answer."""

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

TARGET = "y"
"""What the target is called: estimators are not told its name."""


def class_target(classes: Array, shares: Array) -> ClassTarget:
    """Return the target of a classifier whose classes (K,) had these shares (K,) of the rows."""
    if len(classes) < 2:
        raise ValueError(f"classes_ must be two at least for a model that is saved, got {classes}")
    return ClassTarget.of(TARGET, classes, shares)


def number_target(n_outputs: int) -> NumberTarget:
    """Return the target of a network that answers in the target's own unit."""
    return NumberTarget(TARGET, (0.0,) * n_outputs, (1.0,) * n_outputs)


def with_two_outputs(network: Network) -> Network:
    """Return a network of one logit z as one of the two logits 0 and z: softmax(0, z) is 1 - sigmoid(z) and sigmoid(z).

    What networks for several classes have one stays as it is.
    """
    if not (isinstance(network.loss, BinaryCrossEntropy) and network.n_out == 1):
        return network
    two = Network.empty([*network.layers, Dense(1, 2)], CrossEntropy(), l1=0, l2=0, dtype=network.dtype.name)
    two.theta = np.append(network.theta, [0, 1, 0, 0])  # W = (0 1), b = (0, 0)
    two.buffers[...] = network.buffers
    return two


def predictor_of(
    network: Network, target: ClassTarget | NumberTarget, names: Sequence[str] | None, **told: object
) -> Predictor:
    """Return what answers as the estimator does, to columns of these names; None: to those of a matrix."""
    encoder = TabularEncoder.raw(list(matrix_names(network.n_in)) if names is None else names)
    return Predictor(encoder, network, target, origin(encoder, target) | told)
