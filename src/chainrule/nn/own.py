"""Parts of a user's own: a layer, an activation, a loss that does not answer in the form asked of it is named.

What is wrong in form would end in a broadcast, a message of NumPy's, or another array than the caller's being changed;
what is wrong in value, a derivative, is found by `chainrule.nn.gradcheck`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.arrays import Array
from chainrule.nn.layers import LAYERS, Activation, Layer, Residual
from chainrule.nn.losses import LOSSES, Loss

if TYPE_CHECKING:
    from chainrule.nn.network import Network


def is_own(part: Layer | Loss) -> bool:
    """Tell whether a layer or a loss is a user's own, or holds something that is."""
    if isinstance(part, Residual):
        return any(map(is_own, part.layers))
    if isinstance(part, Activation):
        return callable(part.function)
    return type(part) not in (*LAYERS.values(), *LOSSES.values())


def require_forward(net: Network, X: Array, rng: np.random.Generator | None = None) -> tuple[Array, list[Any]]:
    """Return what `net.forward` does, or raise a ValueError that names the first layer whose forward is no such thing.

    `X` (n, n_in) stays as it is, whatever a layer does to it.
    """
    backwards = []
    for i, (layer, params) in enumerate(zip(net.layers, net.params, strict=True)):
        given = X.copy()
        result = layer.forward(given, params, rng)
        name = f"layer {i}, {layer},"
        if not (isinstance(result, tuple) and len(result) == 2 and callable(result[1])):
            raise ValueError(f"{name} must return (Y, backward), got forward returns a {type(result).__name__}")
        if not np.array_equal(given, X, equal_nan=True):
            raise ValueError(f"{name} must leave its input X as it is, got forward writes into it")
        shape = (len(X), layer.width_after(X.shape[1]))
        X, backward = result
        if np.shape(X) != shape:
            raise ValueError(f"{name} must return Y of shape {shape}, got shape {np.shape(X)}")
        backwards.append(backward)
    return X, backwards


def require_forms(net: Network, X: Array, y: Array) -> None:
    """Raise ValueError naming the layer, activation or loss of a user's own that is not of the form asked of it.

    One pass of training, forward and back, on rows and targets that `net.check` has returned.
    """
    Z, backwards = require_forward(net, X, np.random.default_rng(0))
    dY = require_rows(net.loss, Z, y)
    columns = [net.n_in]
    for layer in net.layers:
        columns.append(layer.width_after(columns[-1]))
    for i in reversed(range(net.first_trainable, len(backwards))):
        name = f"layer {i}, {net.layers[i]},"
        try:
            inspect.signature(backwards[i]).bind(dY, net.grads[i], True)
        except TypeError:
            told = f"backward{inspect.signature(backwards[i])}"
            raise ValueError(f"{name} must return backward(dY, grads, need_dX=True), got {told}") from None
        dY = backwards[i](dY, net.grads[i], True)
        shape = (len(X), columns[i])
        if np.shape(dY) != shape:
            raise ValueError(f"{name} must return dX of shape {shape} from backward, got {np.shape(dY)}")


def require_rows(loss: Loss, Z: Array, Y: Array) -> Array:
    """Return dZ (n, k), or raise ValueError unless `loss.per_row` gives a loss for each row and their derivative."""
    name, result = type(loss).__name__, loss.per_row(Z.copy(), Y)
    if not (isinstance(result, tuple) and len(result) == 2):
        raise ValueError(f"{name} must return (losses, dZ) from per_row, got a {type(result).__name__}")
    losses, dZ = result
    if np.shape(losses) != Z.shape[:1] or np.shape(dZ) != Z.shape:
        raise ValueError(
            f"{name} must return losses of shape {Z.shape[:1]} and dZ of shape {Z.shape} from per_row, "
            f"however: {np.shape(losses)} and {np.shape(dZ)}"
        )
    return dZ
