"""Translate scikit-learn's parameters to the engine's layers, and a network back to the parameters that describe it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.nn.activations import ActivationFunction
from chainrule.nn.layers import Activation, BatchNorm, Dense, Dropout, Layer, LayerNorm, Residual
from chainrule.nn.network import Network

if TYPE_CHECKING:
    from chainrule.estimators.base import BaseMLP

NORMALIZATIONS: dict[str, type[BatchNorm | LayerNorm]] = {"batch": BatchNorm, "layer": LayerNorm}


def sizes_of(estimator: BaseMLP) -> list[int]:
    """Return the number of units of each hidden layer, or raise as scikit-learn does."""
    given: Any = estimator.hidden_layer_sizes
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    if any(np.ndim(size) for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be integers, got {sizes}")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    if not all(isinstance(size, Integral) for size in sizes):
        raise TypeError(f"hidden_layer_sizes must be integers, got {sizes}")
    return [int(size) for size in sizes]


def activations_of(estimator: BaseMLP) -> list[str | ActivationFunction]:
    """Return the activation of each hidden layer, by the engine's names."""
    depth, given = len(sizes_of(estimator)), estimator.activation
    each = [given] * depth if isinstance(given, str) or callable(given) else list(given)
    if len(each) != depth:
        raise ValueError(f"activation must have one entry for each of the {depth} hidden layers, got {given!r}")
    return [engine_activation(name) for name in each]


def engine_activation(name: Any) -> Any:
    """Return the engine's name of an activation: scikit-learn's "logistic" is its "sigmoid"."""
    return "sigmoid" if name == "logistic" else name


def layers_of(estimator: BaseMLP, n_out: int, last: Sequence[Layer]) -> list[Layer]:
    """Return the layers that the parameters describe: hidden blocks, the output layer, and `last` after it."""
    layers: list[Layer] = []
    initialization = estimator.initialization or "glorot_uniform"
    width = estimator.n_features_in_
    for size, activation in zip(sizes_of(estimator), activations_of(estimator), strict=True):
        block: list[Layer] = [Dense(width, size, initialization)]
        if estimator.normalization:
            block.append(NORMALIZATIONS[estimator.normalization](size))
        block.append(Activation(activation))
        if estimator.dropout:
            block.append(Dropout(estimator.dropout))
        layers += [Residual(block)] if estimator.residual and width == size else block
        width = size
    return [*layers, Dense(width, n_out, initialization), *last]


def described_by(network: Network) -> dict[str, Any]:
    """Return the parameters that describe a network best."""
    flat = _flatten(network.layers)
    dense = [layer for layer in flat if isinstance(layer, Dense)]
    last = max(i for i, layer in enumerate(flat) if isinstance(layer, Dense))
    after_hidden = [layer.function for layer in flat[:last] if isinstance(layer, Activation)]
    return {
        "hidden_layer_sizes": tuple(layer.n_out for layer in dense[:-1]),
        "activation": after_hidden if len(after_hidden) == len(dense) - 1 else ["identity"] * (len(dense) - 1),
        "dropout": next((layer.rate for layer in flat if isinstance(layer, Dropout)), 0.0),
        "normalization": next((n for n, kind in NORMALIZATIONS.items() if any(type(x) is kind for x in flat)), None),
        "residual": any(isinstance(layer, Residual) for layer in network.layers),
    }


def _flatten(layers: Sequence[Layer]) -> list[Layer]:
    """Replace each Residual by the layers inside it."""
    inside = ([layer] if not isinstance(layer, Residual) else _flatten(layer.layers) for layer in layers)
    return [layer for part in inside for layer in part]


def structure_of(layer: Layer) -> object:
    """Return what two layers have in common if they differ only in their initialization."""
    if isinstance(layer, Residual):
        return [structure_of(inner) for inner in layer.layers]
    return ("Dense", layer.sizes) if isinstance(layer, Dense) else layer
