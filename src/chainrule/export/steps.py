"""What a model computes, as a few plain steps: what every export is written from.

Each member of an ensemble is a list of steps, from encoded columns to its share of the answer; the answer is the sum of
the shares, kept within `bounds`. Temperature, smoothing, the mean over members and a target's own unit are affine and so
are steps like others, and `fold` multiplies them, and whatever else is affine, into the weights beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.arrays import Array, all_finite
from chainrule.data.columns import Column
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.model.ensemble import Ensemble
from chainrule.model.predictor import Predictor
from chainrule.nn import layers, losses
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.layers import Layer, Params
from chainrule.nn.network import Network
from chainrule.nn.own import is_own

Model = Predictor | Ensemble | Network

# The steps.


@dataclass(frozen=True, eq=False)
class Step:
    """One step for a row: `width` numbers come out."""

    width: int


@dataclass(frozen=True, eq=False)
class Affine(Step):
    """X W + b. W (n_in, width), b (width,)."""

    W: Array
    b: Array


@dataclass(frozen=True, eq=False)
class Quantised(Step):
    """(X W) scale + b with whole numbers W from -127 to 127. W (n_in, width), scale, b (width,)."""

    W: Array
    scale: Array
    b: Array


@dataclass(frozen=True, eq=False)
class Scaled(Step):
    """(X - centre) scale + shift. All (width,)."""

    centre: Array
    scale: Array
    shift: Array


@dataclass(frozen=True, eq=False)
class Elementwise(Step):
    """A function of each number: an activation by its name, or "exp"."""

    function: str


@dataclass(frozen=True, eq=False)
class Normalised(Step):
    """Each row with its mean taken off, divided by sqrt(variance + epsilon)."""

    epsilon: float


@dataclass(frozen=True, eq=False)
class Softmax(Step):
    """exp(Z_k) / sum_j exp(Z_j)."""


@dataclass(frozen=True, eq=False)
class Around(Step):
    """X + what the `steps` make of X."""

    steps: tuple[Step, ...]


# From a model to its steps.


@dataclass(frozen=True, eq=False)
class Program:
    """What a model computes: the sum of what its `members` make of a row, within `bounds` (2, n_out) if there are any.

    `columns` and `target` are a predictor's; a bare network has none, and takes its own `n_in` columns.
    """

    members: tuple[tuple[Step, ...], ...]
    bounds: Array | None
    n_in: int
    n_out: int
    columns: tuple[Column, ...] | None
    target: ClassTarget | NumberTarget | None

    @property
    def labels(self) -> tuple[Any, ...] | None:
        """A classifier's labels, in the order of its probabilities."""
        return self.target.labels if isinstance(self.target, ClassTarget) else None

    @property
    def single_bounds(self) -> Array | None:
        """The bounds in float32, its greatest number where they lie beyond that."""
        limit = np.finfo(np.float32).max
        return None if self.bounds is None else np.clip(self.bounds, -limit, limit).astype(np.float32)


def program_of(model: Model) -> Program:
    """Return what a model computes; ValueError naming what a user wrote, or for numbers that are not finite."""
    if not isinstance(model, Predictor | Ensemble | Network):
        raise ValueError(f"model must be a Predictor, an Ensemble or a Network, got {type(model).__name__}")
    predictor = model if isinstance(model, Predictor) else None
    target = predictor.target if predictor else None
    ensemble = as_ensemble(model)
    require_known(ensemble)
    scale, shift = np.ones(ensemble.n_out), np.zeros(ensemble.n_out)
    if isinstance(target, NumberTarget):
        scale, shift = np.array(target.stds), np.array(target.means)
    bounds, smoothing = ensemble.bounds, 0.0
    if isinstance(ensemble.networks[0].loss, losses.CrossEntropy):
        bounds, smoothing = None, ensemble.smoothing
    n = len(ensemble.networks)
    share = scaled(scale / (n * (1 + smoothing)), (scale * smoothing / ensemble.n_out / (1 + smoothing) + shift) / n)
    return Program(
        tuple((*steps_of(network, ensemble.temperature), *share) for network in ensemble.networks),
        None if bounds is None else bounds * scale + shift,
        ensemble.n_in,
        ensemble.n_out,
        tuple(predictor.encoder.columns) if predictor else None,
        target,
    )


def as_ensemble(model: Model) -> Ensemble:
    """Return a model's networks; a network is an ensemble of one."""
    if isinstance(model, Network):
        return Ensemble((model,))
    return model.ensemble if isinstance(model, Predictor) else model


def require_known(ensemble: Ensemble) -> None:
    """Raise ValueError naming the layer or loss that a user wrote, or for parameters that are not finite."""
    first = ensemble.networks[0]
    for i, layer in enumerate(first.layers):
        if is_own(layer):
            raise ValueError(f"model must be made of the library's own layers, got layer {i} is {layer}")
    if type(first.loss) not in LINKS:
        raise ValueError(f"model must have one of the library's own losses, got its loss is {first.loss}")
    if not all(all_finite(network.theta) and all_finite(network.buffers) for network in ensemble.networks):
        raise ValueError("model must have finite parameters, got one is not")


def steps_of(network: Network, temperature: float = 1.0) -> list[Step]:
    """Return a network's steps, through its loss's link."""
    link = LINKS[type(network.loss)](network.n_out, temperature)
    return [*lowered(network.layers, network.params, network.n_in), *link]


def lowered(row: Sequence[Layer], params: Sequence[Params], width: int) -> list[Step]:
    """Return the steps of layers in a row, of which the first takes `width` columns."""
    steps: list[Step] = []
    for layer, own in zip(row, params):
        steps += LOWERED[type(layer)](layer, own, width)
        width = layer.width_after(width)
    return steps


def scaled(scale: Array, shift: Array, centre: Array | None = None) -> list[Step]:
    """Return the step (X - centre) scale + shift, or none where it changes nothing."""
    if centre is None:
        centre = np.zeros(len(scale))
    if np.all(scale == 1) and not (shift.any() or centre.any()):
        return []
    return [Scaled(len(scale), centre, scale, shift)]


def of_activation(layer: layers.Activation, params: Params, width: int) -> list[Step]:
    """Return an activation's step; identity needs none."""
    return [] if layer.function == "identity" else [Elementwise(width, str(layer.function))]


def of_bounded(layer: layers.Bounded, params: Params, width: int) -> list[Step]:
    """Return sigmoid, and what takes 0 to `low` and 1 to `high`."""
    return [Elementwise(width, "sigmoid"), *scaled(np.full(width, layer.high - layer.low), np.full(width, layer.low))]


def of_batch_norm(layer: layers.BatchNorm, params: Params, width: int) -> list[Step]:
    """Return what normalising by the running statistics is: affine."""
    deviation = np.sqrt(params["variance"].astype(np.float64) + layer.epsilon)
    return scaled(params["gamma"] / deviation, params["beta"], params["mean"])


def of_residual(layer: layers.Residual, params: Params, width: int) -> list[Step]:
    """Return the steps of its layers, around which X goes."""
    inner = [layers.part(params, i) for i in range(len(layer.layers))]
    return [Around(width, tuple(lowered(layer.layers, inner, width)))]


LOWERED: dict[type[Layer], Callable[[Any, Params, int], list[Step]]] = {
    layers.Dense: lambda layer, params, width: [Affine(layer.n_out, params["W"], params["b"])],
    layers.Activation: of_activation,
    layers.Scale: lambda layer, params, width: scaled(params["scale"], np.zeros(width)),
    layers.Bounded: of_bounded,
    layers.Dropout: lambda layer, params, width: [],
    layers.LayerNorm: lambda layer, params, width: [
        Normalised(width, layer.epsilon),
        *scaled(params["gamma"], params["beta"]),
    ],
    layers.BatchNorm: of_batch_norm,
    layers.Residual: of_residual,
}


def no_link(width: int, temperature: float) -> list[Step]:
    """Return no step: raw outputs are answers."""
    return []


LINKS: dict[type[losses.Loss], Callable[[int, float], list[Step]]] = {
    losses.SquaredError: no_link,
    losses.AbsoluteError: no_link,
    losses.Huber: no_link,
    losses.Quantile: no_link,
    losses.OwnLoss: no_link,
    losses.Poisson: lambda width, temperature: [Elementwise(width, "exp")],
    losses.BinaryCrossEntropy: lambda width, temperature: [Elementwise(width, "sigmoid")],
    losses.CrossEntropy: lambda width, temperature: [
        *scaled(np.full(width, 1 / temperature), np.zeros(width)),
        Softmax(width),
    ],
}


# Folding.

FAR = 32
"""Deviations from 0 beyond which a centre stays a step of its own: X W - centre W would lose what X - centre keeps."""


def fold(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the same computation in fewer steps: what is affine is multiplied, in float64, into what is beside it."""
    folded: list[Step] = []
    for step in steps:
        step = Around(step.width, fold(step.steps)) if isinstance(step, Around) else step
        both = FOLDS.get((type(folded[-1]), type(step))) if folded else None
        one = both(folded[-1], step) if both else None
        if one is None:
            folded.append(step)
        else:
            folded[-1] = one
    return tuple(folded)


def affine_of_scaled(first: Scaled, then: Affine) -> Affine | None:
    """Return ((X - centre) scale + shift) W + b as one; None where that would cost digits."""
    if np.max(np.abs(first.centre * first.scale)) > FAR:
        return None
    W = then.W.astype(np.float64)
    return Affine(then.width, first.scale[:, np.newaxis] * W, (first.shift - first.centre * first.scale) @ W + then.b)


def scaled_affine(first: Affine, then: Scaled) -> Affine:
    """Return (X W + b - centre) scale + shift as one."""
    scale = then.scale.astype(np.float64)
    return Affine(then.width, first.W * scale, (first.b - then.centre) * scale + then.shift)


def scaled_twice(first: Scaled, then: Scaled) -> Scaled:
    """Return one scaling after another as one."""
    scale = then.scale.astype(np.float64)
    return Scaled(then.width, first.centre, first.scale * scale, (first.shift - then.centre) * scale + then.shift)


FOLDS: dict[tuple[type[Step], type[Step]], Callable[[Any, Any], Step | None]] = {
    (Scaled, Affine): affine_of_scaled,
    (Affine, Scaled): scaled_affine,
    (Scaled, Scaled): scaled_twice,
}


def quantise(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps with every weight matrix in whole numbers of -127 to 127, one scale an output column."""
    return tuple(QUANTISED[type(step)](step) if type(step) in QUANTISED else step for step in steps)


def quantise_affine(step: Affine) -> Quantised:
    """Return the step with its weights rounded to 127ths of the largest in their column."""
    largest = np.abs(step.W).max(axis=0)
    scale = np.where(largest > 0, largest, 1) / 127
    return Quantised(step.width, np.rint(step.W / scale).astype(np.int8), scale, step.b)


QUANTISED: dict[type[Step], Callable[[Any], Step]] = {
    Affine: quantise_affine,
    Around: lambda step: Around(step.width, quantise(step.steps)),
}


# Running the steps, as the single precision of C and ONNX does.


def infer(program: Program, X: Array) -> Array:
    """Return the answers (n, n_out) for encoded rows X (n, n_in), computed in float32."""
    predictions = np.zeros((len(X), program.n_out), np.float32)
    for steps in program.members:
        predictions += run(steps, X.astype(np.float32))
    return predictions if program.single_bounds is None else np.clip(predictions, *program.single_bounds)


def run(steps: Sequence[Step], X: Array) -> Array:
    """Return what the steps make of rows X."""
    for step in steps:
        X = RUN[type(step)](step, X)
    return X


def single(array: Array) -> Array:
    """Return an array in float32."""
    return array.astype(np.float32)


def exp(X: Array) -> Array:
    """exp(X), kept below the largest number."""
    return np.exp(np.minimum(X, np.log(np.finfo(X.dtype).max) - 1))


def run_normalised(step: Normalised, X: Array) -> Array:
    """Return each row normalised."""
    H = X - X.mean(axis=1, keepdims=True)
    return H / np.sqrt((H * H).mean(axis=1, keepdims=True) + np.float32(step.epsilon))


RUN: dict[type[Step], Callable[[Any, Array], Array]] = {
    Affine: lambda step, X: X @ single(step.W) + single(step.b),
    Quantised: lambda step, X: (X @ single(step.W)) * single(step.scale) + single(step.b),
    Scaled: lambda step, X: (X - single(step.centre)) * single(step.scale) + single(step.shift),
    Elementwise: lambda step, X: exp(X) if step.function == "exp" else ACTIVATIONS[step.function](X)[0],
    Normalised: run_normalised,
    Softmax: lambda step, X: losses.softmax(X),
    Around: lambda step, X: X + run(step.steps, X),
}
