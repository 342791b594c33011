"""Translate scikit-learn's parameters to the engine's layers, and a network back to the parameters that describe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from chainrule.nn.activations import ActivationFunction
from chainrule.nn.layers import Activation, BatchNorm, Dense, Dropout, Layer, LayerNorm, Residual
from chainrule.nn.network import Network

NORMALIZATIONS: dict[str, type[BatchNorm | LayerNorm]] = {"batch": BatchNorm, "layer": LayerNorm}


@dataclass(frozen=True)
class Architecture:
    """The parameters of an estimator that describe its layers, in scikit-learn's form."""

    hidden_layer_sizes: Any
    activation: Any
    initialization: str | None
    normalization: str | None
    dropout: float
    residual: bool

    def sizes(self) -> list[int]:
        """Return the number of units of each hidden layer, or raise as scikit-learn does."""
        sizes = (
            list(self.hidden_layer_sizes) if hasattr(self.hidden_layer_sizes, "__iter__") else [self.hidden_layer_sizes]
        )
        if any(np.ndim(size) for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be integers, got {sizes}")
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        if not all(isinstance(size, Integral) for size in sizes):
            raise TypeError(f"hidden_layer_sizes must be integers, got {sizes}")
        return [int(size) for size in sizes]

    def activations(self) -> list[str | ActivationFunction]:
        """Return the activation of each hidden layer, by the engine's names."""
        depth, activation = len(self.sizes()), self.activation
        each = [activation] * depth if isinstance(activation, str) or callable(activation) else list(activation)
        if len(each) != depth:
            raise ValueError(
                f"activation must have one entry for each of the {depth} hidden layers, got {activation!r}"
            )
        return [engine_activation(name) for name in each]

    def layers(self, n_in: int, n_out: int, last: Sequence[Layer]) -> list[Layer]:
        """Return the hidden blocks, the output layer, and `last` after it."""
        layers: list[Layer] = []
        initialization = self.initialization or "glorot_uniform"
        for size, activation in zip(self.sizes(), self.activations(), strict=True):
            block: list[Layer] = [Dense(n_in, size, initialization)]
            if self.normalization:
                block.append(NORMALIZATIONS[self.normalization](size))
            block.append(Activation(activation))
            if self.dropout:
                block.append(Dropout(self.dropout))
            layers += [Residual(block)] if self.residual and n_in == size else block
            n_in = size
        return [*layers, Dense(n_in, n_out, initialization), *last]


def engine_activation(name: Any) -> Any:
    """Return the engine's name of an activation: scikit-learn's "logistic" is its "sigmoid"."""
    return "sigmoid" if name == "logistic" else name


def parameters_of(network: Network) -> dict[str, Any]:
    """Return the parameters of an estimator that describe a network best."""
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


def same_structure(a: Layer | None, b: Layer | None) -> bool:
    """Return whether two layers are equal, except for the initialization of their weights."""
    return a is not None and b is not None and _structure(a) == _structure(b)


def _structure(layer: Layer) -> object:
    if isinstance(layer, Residual):
        return [_structure(inner) for inner in layer.layers]
    return ("Dense", layer.sizes) if isinstance(layer, Dense) else layer
