"""From settings and data to a network, an optimizer and a training run."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.app.playground.plane import Sample
from chainrule.app.playground.settings import Setup
from chainrule.arrays import Array, as_generator
from chainrule.errors import look_up
from chainrule.metrics import as_metrics
from chainrule.nn.initializers import DEFAULT_INITIALIZERS
from chainrule.nn.layers import Activation, BatchNorm, Dense, Dropout, Layer, LayerNorm
from chainrule.nn.network import Network
from chainrule.training.optimizers import OPTIMIZERS, SGD, Optimizer
from chainrule.training.run import Run
from chainrule.training.schedules import SCHEDULES

_NORMS: dict[str, type[BatchNorm] | type[LayerNorm]] = {"batch": BatchNorm, "layer": LayerNorm}
_FOR_CLASSES = ("cross_entropy", "binary_cross_entropy", "squared_error", "absolute_error", "huber")
_FOR_NUMBERS = ("squared_error", "absolute_error", "huber", "quantile", "poisson")


def losses_for(sample: Sample) -> tuple[str, ...]:
    """Return the losses that suit the targets."""
    return _FOR_CLASSES if sample.is_classification else _FOR_NUMBERS


def fitting(setup: Setup, sample: Sample, keep: bool = True) -> Setup:
    """Return the setup with a loss that suits the targets: its own if it does and `keep`, else the usual one."""
    several = len(sample.labels) > 2
    if keep and setup.loss in losses_for(sample) and not (several and setup.loss == "binary_cross_entropy"):
        return setup
    loss = "cross_entropy" if several else "binary_cross_entropy" if sample.is_classification else "squared_error"
    return setup.changed({"loss": loss, "outputs": 0})


def n_outputs(setup: Setup, sample: Sample) -> int:
    """Return the number of outputs: one for each class, or a single one for numbers and, mostly, for two classes."""
    n_classes = len(sample.labels)
    if n_classes == 0:
        return 1
    if n_classes > 2 or setup.loss == "cross_entropy":
        return n_classes
    return setup.outputs or 1


def targets(setup: Setup, sample: Sample, y: Array) -> Array:
    """Return y in the form that the loss takes."""
    k = n_outputs(setup, sample)
    if not sample.is_classification or setup.loss == "cross_entropy":
        return y
    return np.eye(k)[y] if k > 1 else y.astype(np.float64)


def layers(setup: Setup, sample: Sample) -> list[Layer]:
    """Return the layers: for each hidden one Dense, the norm, the activation and dropout."""
    chain: list[Layer] = []
    width = sample.X.shape[1]
    for hidden in setup.layers:
        init = initializer(setup, hidden.activation)
        chain.append(Dense(width, hidden.units, weights=init, biases=setup.biases))
        if hidden.norm in _NORMS:
            chain.append(_NORMS[hidden.norm](hidden.units))
        chain.append(Activation(hidden.activation))
        if hidden.dropout:
            chain.append(Dropout(hidden.dropout))
        width = hidden.units
    last = setup.layers[-1].activation if setup.layers else setup.output
    chain.append(Dense(width, n_outputs(setup, sample), weights=initializer(setup, last), biases=setup.biases))
    return [*chain, Activation(setup.output)] if setup.output != "identity" else chain


def initializer(setup: Setup, activation: str) -> str:
    """Return the initializer, "auto" being the one that suits the activation."""
    return DEFAULT_INITIALIZERS.get(activation, "glorot_uniform") if setup.init == "auto" else setup.init


def network(setup: Setup, sample: Sample) -> Network:
    """Return the network with its first weights, in float64, so that every digit of a trace is its own."""
    return Network(layers(setup, sample), setup.loss, l1=setup.l1, l2=setup.l2, seed=setup.seed, dtype="float64")


def optimizer(setup: Setup) -> Optimizer:
    """Return the optimizer."""
    if setup.optimizer in ("sgd", "nesterov"):
        return SGD(setup.rate, momentum=setup.momentum, nesterov=setup.optimizer == "nesterov" and setup.momentum > 0)
    kind: Any = look_up(OPTIMIZERS, setup.optimizer, "optimizer")
    return kind(setup.rate)


def horizon(setup: Setup) -> int:
    """Return the number of epochs of the run: that of the schedule if it depends on it, else practically infinite."""
    return setup.epochs if SCHEDULES[setup.schedule].depends_on_n_epochs else 1_000_000


def metric(sample: Sample) -> str:
    """Return the metric that the page shows next to the loss."""
    return "accuracy" if sample.is_classification else "r2"


def run(setup: Setup, sample: Sample, net: Network) -> Run:
    """Return the run that `train` would make of these settings."""
    X, y = sample.rows(training=True)
    X_test, y_test = sample.rows(training=False)
    rows = net.check(X, targets(setup, sample, y))
    size = min(setup.batch or len(X), len(X))
    return Run(
        net=net,
        rows=rows,
        validation=net.check(X_test, targets(setup, sample, y_test)),
        optimizer=optimizer(setup),
        schedule=SCHEDULES[setup.schedule](),
        epochs=horizon(setup),
        batch_size=size,
        metrics=as_metrics(metric(sample)),
        clip_norm=np.inf,
        multipliers=1.0,
        shuffle=size < len(X),
        rng=as_generator(setup.seed),
        kernels="numpy",
    )
