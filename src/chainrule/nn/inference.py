"""Inference: rows go through the network slice by slice, and what is not finite is found and located."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from chainrule.arrays import Array, all_finite, require_finite_rows
from chainrule.errors import OutOfRangeError
from chainrule.nn.activations import zero_row
from chainrule.nn.custom import require_forward
from chainrule.nn.layers import Activation, Dense, Layer, Params

if TYPE_CHECKING:
    from chainrule.nn.network import Network

SLICE_ELEMENTS, SLICE_ROWS = 2**21, 512
"""Maximum elements of a layer's output, and rows, that go through at once: measured to suit the caches."""
CHECKED_ROWS = 10
"""Rows on which custom parts are checked."""
RELU = Activation("relu")


@dataclass(frozen=True)
class Plan:
    """The steps (layer, params, in place?) of one pass, and how many rows go through at once."""

    steps: list[tuple[Layer, Params, bool]]
    rows: int

    @classmethod
    def of(cls, layers: Sequence[Layer], params: Sequence[Params]) -> Plan:
        """Return the plan for these layers."""
        # A relu may overwrite the array that Dense has just made: nobody else has it.
        in_place = (layer == RELU and isinstance(before, Dense) for before, layer in pairwise((None, *layers)))
        widest = max(layer.sizes[1] for layer in layers if layer.sizes)
        return cls(list(zip(layers, params, in_place)), min(max(SLICE_ELEMENTS // widest, 1), SLICE_ROWS))

    def slices(self, n: int) -> list[slice]:
        """Cut n rows into slices."""
        return [slice(start, start + self.rows) for start in range(0, max(n, 1), self.rows)]

    def run(self, X: Array, first: int = 0) -> Array:
        """Return the output of the last layer, starting at layer `first`."""
        for layer, params, in_place in self.steps[first:]:
            X = np.maximum(X, zero_row(X), out=X) if in_place else layer.forward(X, params)[0]
        return X


def infer(net: Network, X: Array) -> Array:
    """Return the raw outputs Z (n, n_out) for rows X (n, n_in) of the network's dtype.

    Raises ValueError naming row and column of a value that is not finite, and OutOfRangeError naming row and layer
    where values overflow.
    """
    if not net.gradients_checked:
        require_finite_rows(X[:CHECKED_ROWS])
        require_forward(net, X[:CHECKED_ROWS])
    with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite are searched for
        if len(X) <= net.plan.rows:
            Z = _outputs(net, X[:])
        else:
            Z = np.concatenate([_outputs(net, X[rows], rows.start) for rows in net.plan.slices(len(X))])
    if not all_finite(Z):
        _raise_overflow(net, Z, X)
    return Z


def mean_loss(net: Network, X: Array, y: Array, weight: Array | None = None) -> float:
    """Return the (weighted) mean loss over rows, without penalties."""
    total = 0.0
    for rows in net.plan.slices(len(X)):
        part = None if weight is None else weight[rows]
        mean, _ = net.loss(net.plan.run(X[rows]), y[rows], part)
        total += mean * (len(y[rows]) if part is None else float(part.sum()))
    return total / (len(X) if weight is None else float(weight.sum()) or 1)


def activations(net: Network, X: Array) -> list[Array]:
    """Return the output of every layer."""
    outputs = [X]
    for layer, params in zip(net.layers, net.params):
        outputs.append(layer.forward(outputs[-1], params)[0])
    return outputs[1:]


def first_non_finite(net: Network, X: Array, y: Array, weight: Array | None = None) -> str:
    """Name the first place, forward and then backward, where a value is not finite; "" if all are."""
    for i, A in enumerate(activations(net, X)):
        if not np.isfinite(A).all():
            return f"the output of layer {i}, {net.layers[i]}"
    value, grad = net.objective(X, y, weight)
    if not np.isfinite(value):
        return f"the loss, {net.loss}"
    for block in reversed(net.blocks):
        if not np.isfinite(grad[block.slice]).all():
            return f"the gradient of {block.full_name}"
    return ""


def largest_output(net: Network, X: Array) -> str:
    """Name the layer with the largest output for rows X, and that value."""
    sizes = [float(np.abs(A).max()) for A in activations(net, X)]
    i = int(np.argmax(sizes))
    return f"the output of layer {i}, {net.layers[i]}, reached {sizes[i]:.3g}"


def _outputs(net: Network, X: Array, first_row: int = 0) -> Array:
    """Return the raw outputs for one slice of rows."""
    layer, params, _ = net.plan.steps[0]
    A = layer.forward(X, params)[0]
    # A row that is not finite makes every output of a Dense layer not finite, and those are fewer to look at.
    if not (isinstance(layer, Dense) and all_finite(A)):
        require_finite_rows(X, first=first_row)
    return net.plan.run(A, 1)


def _raise_overflow(net: Network, Z: Array, X: Array) -> None:
    row = int(np.argmin(np.isfinite(Z).all(axis=1)))
    with np.errstate(all="ignore"):
        finite = [bool(np.isfinite(A).all()) for A in activations(net, X[row : row + 1])]
    i = finite.index(False) if False in finite else len(finite) - 1
    raise OutOfRangeError(
        f"layer {i}, {net.layers[i]}, overflows {net.dtype} for X[{row}] (max abs "
        f"{np.abs(X[row : row + 1]).max():.3g}). Rescale X, or use dtype='float64'."
    )
