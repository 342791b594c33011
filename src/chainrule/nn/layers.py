"""Layers: each a few lines of forward with its backward, the chain rule's next factor, directly under it.

A layer is a frozen description: its sizes and options. It never holds state. Parameters come in as `params`, a dict of
named arrays that the network owns, and gradients go out into `grads`, a dict of the same names. What the backward pass
needs is what the closure remembers, so a forward pass whose closure is dropped keeps nothing.

Shapes: X (n, n_in) -> Y (n, n_out); dY and dX are the loss's derivatives in Y and X.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, fields, is_dataclass
from functools import cached_property
from typing import final

import numpy as np

from chainrule.arrays import Array, require, require_integer
from chainrule.errors import look_up
from chainrule.nn.activations import ACTIVATIONS, ActivationFunction, logistic
from chainrule.nn.initializers import INITIALIZERS

Params = dict[str, Array]
Shapes = dict[str, tuple[int, ...]]
Backward = Callable[..., Array]
"""`backward(dY, grads, need_dX=True) -> dX`: fills every array of `grads` in place. `need_dX=False` is what a network's
first layer with parameters is called with: nobody reads its dX, so it may skip that work and return anything."""


class Layer(ABC):
    """What every layer answers. Your own needs `forward`, and `shapes` and `init` when it has parameters."""

    @property
    def sizes(self) -> tuple[int, int] | None:
        """Columns taken and given, (n_in, n_out); None: any number, and as many given as taken."""
        return None

    def width_after(self, width: int) -> int:
        """Return how many columns it gives for so many taken."""
        return self.sizes[1] if self.sizes else width

    @property
    def shapes(self) -> Shapes:
        """Name -> shape of each parameter, which training changes."""
        return {}

    @property
    def buffer_shapes(self) -> Shapes:
        """Name -> shape of each running statistic, which `forward` itself keeps up while training."""
        return {}

    def init(self, params: Params, rng: np.random.Generator) -> None:
        """Fill every array of `params`, buffers included, with its initial values."""

    @abstractmethod
    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        """Return Y and the backward closure. `rng` given: training; None: inference. `X` stays as it is."""

    def __str__(self) -> str:
        """Name and options as in code, defaults left out: `Dense(2, 3)`."""
        options: tuple[Field[object], ...] = fields(self) if is_dataclass(self) else ()
        shown = [describe(getattr(self, o.name)) for o in options if getattr(self, o.name) != o.default]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True)
class Dense(Layer):
    """Y = X W + b: every output a weighted sum of every input. W (n_in, n_out), b (n_out,).

    `weights` and `biases` name their initialisers.
    """

    n_in: int
    n_out: int
    weights: str = "glorot_uniform"
    biases: str = "zeros"

    def __post_init__(self) -> None:
        require_integer(self.n_in, "n_in")
        require_integer(self.n_out, "n_out")
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
        Y = X.dot(W)  # as X @ W, sooner where arrays are small
        Y += params["b"]

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            multiply(X.T, dY, grads["W"])
            np.add.reduce(dY, out=grads["b"])
            return dY.dot(W.T) if need_dX else dY

        return Y, backward


def multiply(A: Array, B: Array, out: Array) -> None:
    """Write A @ B into `out`."""
    # np.dot is sooner where arrays are small, and casts nothing: a layer or loss of one's own may hand on another type.
    (np.dot if A.dtype == B.dtype == out.dtype else np.matmul)(A, B, out=out)


@final
@dataclass(frozen=True)
class Activation(Layer):
    """A = f(Z), elementwise: a name of `chainrule.nn.activations`, or a function of the same form."""

    function: str | ActivationFunction

    def __post_init__(self) -> None:
        if not callable(self.function):
            look_up(ACTIVATIONS, self.function, "function")

    @cached_property
    def activate(self) -> ActivationFunction:
        """The function itself; a user's own is made to say what is wrong when it is of another form."""
        return checked(self.function) if callable(self.function) else ACTIVATIONS[self.function]

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        A, chain_rule = self.activate(X)

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            return chain_rule(dY)

        return A, backward


@dataclass(frozen=True)
class PerColumn(Layer):
    """A layer that has its own parameters for each of `n` columns."""

    n: int

    def __post_init__(self) -> None:
        require_integer(self.n, "n")

    @property
    def sizes(self) -> tuple[int, int]:
        return self.n, self.n


@final
@dataclass(frozen=True)
class Scale(PerColumn):
    """Y = X * scale: one learned factor a column, all 1 at first. scale (n,)."""

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


@final
@dataclass(frozen=True)
class Bounded(Layer):
    """Y = low + (high - low) sigmoid(X): outputs that cannot leave the range from `low` to `high`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        require(bool(np.isfinite([self.low, self.high]).all()), "low and high", "be finite", (self.low, self.high))
        require(self.low < self.high, "low", f"be below high={self.high}", self.low)
        object.__setattr__(self, "low", float(self.low))  # a NumPy scalar would turn float32 rows into float64
        object.__setattr__(self, "high", float(self.high))

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        A = logistic(X)
        width = self.high - self.low

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            return dY * (width * A * (1 - A))

        return self.low + width * A, backward


@final
@dataclass(frozen=True)
class Dropout(Layer):
    """In training, X with a share `rate` of its elements zeroed and the rest divided by 1 - rate; at inference, X.

    So the expected output is the input (Srivastava et al. 2014, section 10, the inverted form).
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        require(0 <= self.rate < 1, "rate", "be in [0, 1)", self.rate)

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        if rng is None or self.rate == 0:
            return X, pass_back
        kept = (rng.random(X.shape, dtype=X.dtype) >= self.rate) * X.dtype.type(1 / (1 - self.rate))

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            return dY * kept

        return X * kept, backward


@final
@dataclass(frozen=True)
class LayerNorm(PerColumn):
    """Y = H gamma + beta, H each row of X with its mean taken off and divided by its deviation. gamma, beta (n,).

    The deviation is sqrt(variance + epsilon) (Ba et al. 2016, eq. 4).
    """

    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.epsilon > 0, "epsilon", "be > 0", self.epsilon)

    @property
    def shapes(self) -> Shapes:
        return {"gamma": (self.n,), "beta": (self.n,)}

    def init(self, params: Params, rng: np.random.Generator) -> None:
        params["gamma"][...] = 1
        params["beta"][...] = 0

    def forward(self, X: Array, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        gamma = params["gamma"]
        H = X - X.mean(axis=1, keepdims=True)
        deviation = np.sqrt((H * H).mean(axis=1, keepdims=True) + self.epsilon)
        H /= deviation

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            np.einsum("ij,ij->j", dY, H, out=grads["gamma"])
            dY.sum(axis=0, out=grads["beta"])
            dH = dY * gamma
            return (dH - dH.mean(axis=1, keepdims=True) - H * (dH * H).mean(axis=1, keepdims=True)) / deviation

        return H * gamma + params["beta"], backward


@final
@dataclass(frozen=True)
class BatchNorm(PerColumn):
    """Y = H gamma + beta, H each column of X with its mean taken off and divided by its deviation. gamma, beta (n,).

    Training uses the batch's own mean and variance and moves the running ones towards them by 1 - `decay`; inference
    uses the running ones (Ioffe & Szegedy 2015, algorithms 1 and 2). A batch of one row has no variance of its own:
    it is normalised by the running statistics and leaves them as they are, a deviation from the paper.
    """

    decay: float = 0.9
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.decay < 1, "decay", "be in [0, 1)", self.decay)
        require(self.epsilon > 0, "epsilon", "be > 0", self.epsilon)

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
        own_statistics = rng is not None and n > 1
        mean = X.mean(axis=0) if own_statistics else params["mean"]
        H = X - mean
        variance = (H * H).mean(axis=0) if own_statistics else params["variance"]
        deviation = np.sqrt(variance + self.epsilon)
        H /= deviation
        if own_statistics:
            params["mean"] += (1 - self.decay) * (mean - params["mean"])
            params["variance"] += (1 - self.decay) * (variance * (n / (n - 1)) - params["variance"])

        def backward(dY: Array, grads: Params, need_dX: bool = True) -> Array:
            dgamma = np.einsum("ij,ij->j", dY, H, out=grads["gamma"])
            dbeta = dY.sum(axis=0, out=grads["beta"])
            # The batch's statistics depend on X as well; the running ones do not.
            through = dY - dbeta / n - H * (dgamma / n) if own_statistics else dY
            return through * (gamma / deviation)

        return H * gamma + params["beta"], backward


@final
@dataclass(frozen=True)
class Residual(Layer):
    """Y = X + block(X), the block being the `layers` in a row: what it learns is a correction (He et al. 2016, eq. 1).

    Its parameters are its layers' own, named by their place: "0.W", "0.b", "2.W" ...
    """

    layers: tuple[Layer, ...]

    def __init__(self, layers: Sequence[Layer]) -> None:
        object.__setattr__(self, "layers", as_layers(layers))
        taken, given = self.sizes or (None, None)
        if taken != given:
            raise ValueError(f"a Residual's layers must give as many columns as they take, got {taken} to {given}")

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
    """Return the arrays of a Residual's layer `i` under that layer's own names."""
    prefix = f"{i}."
    return {name.removeprefix(prefix): array for name, array in params.items() if name.startswith(prefix)}


def checked(function: ActivationFunction) -> ActivationFunction:
    """Return a function that does what a user's own does, or raises ValueError when that returns something else."""

    def activate(Z: Array) -> tuple[Array, Callable[[Array], Array]]:
        result = function(Z)
        if not (isinstance(result, tuple) and len(result) == 2 and callable(result[1])):
            told = f"{describe(function)} returns a {type(result).__name__}"
            raise ValueError(f"an activation must return (A, backward), got {told}")
        return result

    return activate


def describe(option: object) -> str:
    """Return an option's value as code."""
    if isinstance(option, tuple):
        return f"[{', '.join(map(str, option))}]"
    return getattr(option, "__name__", repr(option))


def pass_back(dY: Array, grads: Params, need_dX: bool = True) -> Array:
    """The backward of Y = X."""
    return dY


def as_layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return layers as a tuple, or raise ValueError for what is no sequence of them."""
    if not isinstance(layers, Sequence):
        hint = f"; did you mean [{layers}]?" if isinstance(layers, Layer) else ""
        raise ValueError(f"layers must be a list of Layer objects, got {layers}{hint}")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ValueError(f"layers must hold Layer objects, got {layer!r}")
    return tuple(layers)


def chain(layers: Sequence[Layer]) -> tuple[int, int] | None:
    """Return the sizes of `layers` in a row, (n_in, n_out); raise ValueError where one does not fit the next."""
    n_in = n_out = None
    source = 0
    for i, layer in enumerate(layers):
        sizes = layer.sizes  # asked for once: asked for twice, blocks within blocks take twice as long with every depth
        if sizes is None:
            continue
        taken, given = sizes
        if n_out is not None and taken != n_out:
            gives = f"layer {source}, {layers[source]}, gives {n_out}"
            raise ValueError(f"layer {i}, {layer}, must take the columns it is given, got {gives}")
        n_in, n_out, source = n_in or taken, given, i
    return None if n_in is None or n_out is None else (n_in, n_out)


LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer for layer in (Dense, Activation, Scale, Bounded, Dropout, LayerNorm, BatchNorm, Residual)
}
