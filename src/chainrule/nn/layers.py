"""Layers: a few lines of forward, and directly below them their backward, the next factor of the chain rule.

A layer is a frozen description of sizes and options and never has state. Parameters come in as `params`, a dict of
named arrays that the network owns, and gradients go out into `grads`, a dict with the same names. The closure keeps
what the backward pass needs, so a forward pass whose closure is dropped keeps nothing.

Shapes: X (n, n_in) -> Y (n, n_out); dY and dX are the derivatives of the loss with respect to Y and X. A forward also
computes k networks at once: X (k, n, n_in) or (n, n_in), W (k, n_in, n_out), b and its like (k, 1, n_out).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, fields, is_dataclass
from functools import cached_property
from typing import Annotated, final

import numpy as np

from chainrule.arrays import Array, Checked, require
from chainrule.errors import look_up, suggest_keywords
from chainrule.nn.activations import ACTIVATIONS, ActivationFunction, find_activation, logistic
from chainrule.nn.initializers import INITIALIZERS

Params = dict[str, Array]
Shapes = dict[str, tuple[int, ...]]
Backward = Callable[..., Array]
"""`backward(dY, grads, need_dX=True) -> dX` fills every array of `grads` in place. The first layer with parameters is
called with `need_dX=False`: nobody reads its dX, so it may skip that work and return anything."""


class Layer(Checked, ABC):
    """Base class. A custom layer defines `forward`, and `shapes` and `init` if it has parameters."""

    @property
    def sizes(self) -> tuple[int, int] | None:
        """Number of input and output columns, (n_in, n_out); None: any number, the same on both sides."""
        return None

    def width_after(self, width: int) -> int:
        """Return the number of output columns for this number of input columns."""
        return self.sizes[1] if self.sizes else width

    @property
    def shapes(self) -> Shapes:
        """Name -> shape of each trainable parameter."""
        return {}

    @property
    def buffer_shapes(self) -> Shapes:
        """Name -> shape of each running statistic, which `forward` updates in training mode."""
        return {}

    def init(self, params: Params, rng: np.random.Generator) -> None:
        """Fill every array of `params`, buffers included, with initial values."""

    @abstractmethod
    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        """Return Y and the backward closure. With `rng`: training mode; None: inference. `X` must not be modified."""

    def __str__(self) -> str:
        """Name and options as in code, without defaults: `Dense(2, 3)`."""
        options: tuple[Field[object], ...] = fields(self) if is_dataclass(self) else ()
        shown = [describe(getattr(self, o.name)) for o in options if getattr(self, o.name) != o.default]
        return f"{type(self).__name__}({', '.join(shown)})"

    __repr__ = __str__


@suggest_keywords
@dataclass(frozen=True, repr=False)
class Dense(Layer):
    """Y = X W + b: each output is a weighted sum of all inputs. W (n_in, n_out), b (n_out,).

    dW = X^T dY, db = the sum of the rows of dY, dX = dY W^T.

    `weights` and `biases` name their initializers.
    """

    n_in: Annotated[int, "an integer >= 1"]
    n_out: Annotated[int, "an integer >= 1"]
    weights: str = "glorot_uniform"
    biases: str = "zeros"

    def __post_init__(self) -> None:
        super().__post_init__()
        look_up(INITIALIZERS, self.weights, "weights")
        look_up(INITIALIZERS, self.biases, "biases")

    @property
    def sizes(self) -> tuple[int, int]:
        return self.n_in, self.n_out

    @property
    def shapes(self) -> Shapes:
        return {"W": (self.n_in, self.n_out), "b": (self.n_out,)}

    def init(self, params: Params, rng: np.random.Generator) -> None:
        params["W"][...] = INITIALIZERS[self.weights](rng, params["W"].shape)
        params["b"][...] = INITIALIZERS[self.biases](rng, params["b"].shape)

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        W = params["W"]
        Y = X.dot(W) if W.ndim == 2 else X @ W  # the same, but dot has less overhead on small arrays
        Y += params["b"]

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            multiply(X.T, dY, grads["W"])
            np.add.reduce(dY, out=grads["b"])  # dY.sum(axis=0), with less overhead
            return dY.dot(W.T) if need_dX else dY

        return Y, backward


def multiply(A: Array, B: Array, out: Array) -> None:
    """Write A @ B into `out`."""
    # np.dot has less overhead on small arrays, but does not cast: a custom layer or loss may return another dtype.
    (np.dot if A.dtype == B.dtype == out.dtype else np.matmul)(A, B, out=out)


@suggest_keywords
@final
@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """A = f(Z), elementwise: a name from `chainrule.nn.activations`, or a custom function of the same form."""

    function: str | ActivationFunction

    def __post_init__(self) -> None:
        object.__setattr__(self, "function", find_activation(self.function, "function"))

    @cached_property
    def activate(self) -> ActivationFunction:
        """The function itself; a custom one raises ValueError if it returns the wrong form."""
        return _checked(self.function) if callable(self.function) else ACTIVATIONS[self.function]

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        A, chain_rule = self.activate(X)

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            return chain_rule(dY)

        return A, backward


@dataclass(frozen=True, repr=False)
class PerColumn(Layer):
    """A layer with parameters of its own for each of `n` columns."""

    n: Annotated[int, "an integer >= 1"]

    @property
    def sizes(self) -> tuple[int, int]:
        return self.n, self.n


@suggest_keywords
@final
@dataclass(frozen=True, repr=False)
class Scale(PerColumn):
    """Y = X * scale: one learned factor for each column, initially 1. scale (n,)."""

    @property
    def shapes(self) -> Shapes:
        return {"scale": (self.n,)}

    def init(self, params: Params, rng: np.random.Generator) -> None:
        params["scale"][...] = 1

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        scale = params["scale"]

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            np.einsum("ij,ij->j", dY, X, out=grads["scale"])
            return dY * scale if need_dX else dY

        return X * scale, backward


@suggest_keywords
@final
@dataclass(frozen=True, repr=False)
class Bounded(Layer):
    """Y = low + (high - low) sigmoid(X): outputs stay between `low` and `high`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        require(bool(np.isfinite([self.low, self.high]).all()), "low and high", "be finite", (self.low, self.high))
        require(self.low < self.high, "low", f"be below high={self.high}", self.low)
        object.__setattr__(self, "low", float(self.low))  # a NumPy scalar would promote float32 rows to float64
        object.__setattr__(self, "high", float(self.high))

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        A = logistic(X)
        width = self.high - self.low

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            return dY * (width * A * (1 - A))

        return self.low + width * A, backward


@suggest_keywords
@final
@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """In training, X with a fraction `rate` of its elements zeroed and the rest divided by 1 - rate; at inference, X.

    The expected output is the input (Srivastava et al. 2014, section 10, the inverted form).
    """

    rate: Annotated[float, "in [0, 1)"] = 0.5

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        if rng is None or self.rate == 0:
            return X, lambda dY, grads, need_dX=True: dY
        kept = (rng.random(X.shape, dtype=X.dtype) >= self.rate) * X.dtype.type(1 / (1 - self.rate))

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            return dY * kept

        return X * kept, backward


@suggest_keywords
@final
@dataclass(frozen=True, repr=False)
class LayerNorm(PerColumn):
    """Y = H gamma + beta, H each row of X minus its mean, divided by its standard deviation. gamma, beta (n,).

    The standard deviation is sqrt(variance + epsilon) (Ba et al. 2016, eq. 4).
    """

    epsilon: Annotated[float, "> 0"] = 1e-5

    @property
    def shapes(self) -> Shapes:
        return {"gamma": (self.n,), "beta": (self.n,)}

    def init(self, params: Params, rng: np.random.Generator) -> None:
        params["gamma"][...] = 1
        params["beta"][...] = 0

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        gamma = params["gamma"]
        H = X - X.mean(axis=-1, keepdims=True)
        std = np.sqrt((H * H).mean(axis=-1, keepdims=True) + self.epsilon)
        H /= std

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            np.einsum("ij,ij->j", dY, H, out=grads["gamma"])
            dY.sum(axis=0, out=grads["beta"])
            dH = dY * gamma
            return (dH - dH.mean(axis=1, keepdims=True) - H * (dH * H).mean(axis=1, keepdims=True)) / std

        return H * gamma + params["beta"], backward


@suggest_keywords
@final
@dataclass(frozen=True, repr=False)
class BatchNorm(PerColumn):
    """Y = H gamma + beta, H each column of X minus its mean, divided by its standard deviation. gamma, beta (n,).

    Training uses the batch's own mean and variance, and moves the running ones towards them by 1 - `decay`; inference
    uses the running ones (Ioffe & Szegedy 2015, algorithms 1 and 2). Unlike in the paper, a batch of one row, which has
    no variance, is normalized by the running statistics and does not change them.
    """

    decay: Annotated[float, "in [0, 1)"] = 0.9
    epsilon: Annotated[float, "> 0"] = 1e-5

    @property
    def shapes(self) -> Shapes:
        return {"gamma": (self.n,), "beta": (self.n,)}

    @property
    def buffer_shapes(self) -> Shapes:
        return {"mean": (self.n,), "variance": (self.n,)}

    def init(self, params: Params, rng: np.random.Generator) -> None:
        params["gamma"][...] = params["variance"][...] = 1
        params["beta"][...] = params["mean"][...] = 0

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        n, gamma = len(X), params["gamma"]
        uses_batch = rng is not None and n > 1
        mean = X.mean(axis=0) if uses_batch else params["mean"]
        H = X - mean
        variance = (H * H).mean(axis=0) if uses_batch else params["variance"]
        std = np.sqrt(variance + self.epsilon)
        H /= std
        if uses_batch:
            params["mean"] += (1 - self.decay) * (mean - params["mean"])
            params["variance"] += (1 - self.decay) * (variance * (n / (n - 1)) - params["variance"])

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            dgamma = np.einsum("ij,ij->j", dY, H, out=grads["gamma"])
            dbeta = dY.sum(axis=0, out=grads["beta"])
            # The batch's statistics depend on X as well; the running ones do not.
            through = dY - dbeta / n - H * (dgamma / n) if uses_batch else dY
            return through * (gamma / std)

        return H * gamma + params["beta"], backward


@suggest_keywords
@final
@dataclass(frozen=True, repr=False)
class Residual(Layer):
    """Y = X + block(X), where the block is a chain of `layers`: it learns a correction (He et al. 2016, eq. 1).

    Its parameters are those of its layers, named by position: "0.W", "0.b", "2.W" ...
    """

    layers: tuple[Layer, ...]

    def __init__(self, layers: Sequence[Layer]) -> None:
        object.__setattr__(self, "layers", as_layers(layers))
        n_in, n_out = self.sizes or (None, None)
        if n_in != n_out:
            raise ValueError(
                f"layers of a Residual must have as many outputs as inputs, got {n_in} inputs and {n_out} outputs"
            )

    @property
    def sizes(self) -> tuple[int, int] | None:
        return chain(self.layers)

    @property
    def shapes(self) -> Shapes:
        return {f"{i}.{name}": shape for i, layer in enumerate(self.layers) for name, shape in layer.shapes.items()}

    @property
    def buffer_shapes(self) -> Shapes:
        return {
            f"{i}.{name}": shape for i, layer in enumerate(self.layers) for name, shape in layer.buffer_shapes.items()
        }

    def init(self, params: Params, rng: np.random.Generator) -> None:
        for i, layer in enumerate(self.layers):
            layer.init(part(params, i), rng)

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        Y = X
        backwards = []
        for i, layer in enumerate(self.layers):
            Y, layer_backward = layer.forward(Y, part(params, i), rng)
            backwards.append(layer_backward)

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            dX = dY
            for i in reversed(range(len(backwards))):
                dX = backwards[i](dX, part(grads, i))
            return dX + dY

        return X + Y, backward


def part(params: Params, i: int) -> Params:
    """Return the arrays of layer `i` of a Residual, under that layer's own names."""
    prefix = f"{i}."
    return {name.removeprefix(prefix): array for name, array in params.items() if name.startswith(prefix)}


def _checked(function: ActivationFunction) -> ActivationFunction:
    """Return the custom function, with a check of the form that it returns."""

    def activate(Z: Array) -> tuple[Array, Callable[[Array], Array]]:
        result = function(Z)
        if not (isinstance(result, tuple) and len(result) == 2 and callable(result[1])):
            raise ValueError(f"{describe(function)} must return (A, backward), got a {type(result).__name__}")
        return result

    return activate


def describe(option: object) -> str:
    """Return the value of an option as code."""
    if isinstance(option, tuple):
        return f"[{', '.join(map(str, option))}]"
    return getattr(option, "__name__", repr(option))


def as_layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return layers as a tuple; raise ValueError if it is not a sequence of them."""
    if not isinstance(layers, Sequence):
        remedy = f". Pass [{layers}]." if isinstance(layers, Layer) else ""
        raise ValueError(f"layers must be a list of Layer objects, got {layers}{remedy}")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ValueError(f"layers must contain Layer objects, got {layer!r} at layers[{i}]")
    return tuple(layers)


def chain(layers: Sequence[Layer]) -> tuple[int, int] | None:
    """Return the sizes (n_in, n_out) of a chain of `layers`; raise ValueError if one does not fit the next."""
    n_in = n_out = None
    before = 0
    for i, layer in enumerate(layers):
        sizes = layer.sizes  # once: nested Residuals would double the time with each level
        if sizes is None:
            continue
        if n_out is not None and sizes[0] != n_out:
            source = f"from layer {before}, {layers[before]}"
            raise ValueError(f"layer {i}, {layer}, must have {n_out} inputs {source}, got {sizes[0]}")
        n_in, n_out, before = n_in or sizes[0], sizes[1], i
    return None if n_in is None or n_out is None else (n_in, n_out)


LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer for layer in (Dense, Activation, Scale, Bounded, Dropout, LayerNorm, BatchNorm, Residual)
}
