"""Custom layers, activations and losses: a part that does not return the required form is named.

Without these checks, a wrong form would end in a broadcast, an obscure NumPy message or a changed input. Wrong values,
that is, wrong derivatives, are found by `chainrule.nn.gradcheck`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import numpy as np

from chainrule.arrays import Array
from chainrule.nn.layers import Activation, Backward, Layer, Residual
from chainrule.nn.losses import CustomLoss, Loss

if TYPE_CHECKING:
    from chainrule.nn.network import Network


def is_custom(part: Layer | Loss) -> bool:
    """Return whether a layer or loss is the user's own, or contains a part that is."""
    if isinstance(part, Residual):
        return any(map(is_custom, part.layers))
    if isinstance(part, Activation):
        return callable(part.function)
    return isinstance(part, CustomLoss) or not type(part).__module__.startswith("chainrule.")


def require_forward(net: Network, X: Array, rng: np.random.Generator | None = None) -> tuple[Array, list[Backward]]:
    """Return what `net.forward` returns; raise ValueError naming the first layer whose forward has the wrong form.

    `X` (n, n_in) stays unchanged, whatever a layer does to it.
    """
    backwards = []
    for i, (layer, params) in enumerate(zip(net.layers, net.params, strict=True)):
        given = X.copy()
        result = layer.forward(given, params, rng)
        name = f"layer {i}, {layer}:"
        if not (isinstance(result, tuple) and len(result) == 2 and callable(result[1])):
            raise ValueError(f"{name} forward must return (Y, backward), got a {type(result).__name__}")
        if not np.array_equal(given, X, equal_nan=True):
            raise ValueError(f"{name} forward must not modify its input X. Copy it first.")
        shape = (len(X), layer.width_after(X.shape[1]))
        X, backward = result
        if np.shape(X) != shape:
            raise ValueError(f"{name} forward must return Y of shape {shape}, got {np.shape(X)}")
        backwards.append(backward)
    return X, backwards


def require_forms(net: Network, X: Array, y: Array) -> None:
    """Raise ValueError naming the custom layer, activation or loss that does not return the required form.

    Makes one training pass, forward and backward, over rows and targets returned by `net.check`.
    """
    Z, backwards = require_forward(net, X, np.random.default_rng(0))
    dY = _require_loss(net.loss, Z, y)
    widths = [net.n_in]
    for layer in net.layers:
        widths.append(layer.width_after(widths[-1]))
    for i in reversed(range(net.first_trainable, len(backwards))):
        name = f"layer {i}, {net.layers[i]}:"
        try:
            inspect.signature(backwards[i]).bind(dY, net.grads[i], True)
        except TypeError:
            form = f"backward{inspect.signature(backwards[i])}"
            raise ValueError(f"{name} forward must return backward(dY, grads, need_dX=True), got {form}") from None
        dY = backwards[i](dY, net.grads[i], True)
        shape = (len(X), widths[i])
        if np.shape(dY) != shape:
            raise ValueError(f"{name} backward must return dX of shape {shape}, got {np.shape(dY)}")


def _require_loss(loss: Loss, Z: Array, Y: Array) -> Array:
    """Return dZ (n, k); raise ValueError unless `loss.per_row` returns a loss for each row and its derivative."""
    name, result = type(loss).__name__, loss.per_row(Z.copy(), Y)
    if not (isinstance(result, tuple) and len(result) == 2):
        raise ValueError(f"{name}.per_row must return (losses, dZ), got a {type(result).__name__}")
    losses, dZ = result
    if np.shape(losses) != Z.shape[:1] or np.shape(dZ) != Z.shape:
        raise ValueError(
            f"{name}.per_row must return losses of shape {Z.shape[:1]} and dZ of shape {Z.shape}, "
            f"got {np.shape(losses)} and {np.shape(dZ)}"
        )
    return dZ
