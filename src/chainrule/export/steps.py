"""Models as programs: short lists of elementary steps, from which all exporters generate their code.

Each member of an ensemble becomes a list of steps from encoded columns to its term of the prediction; the prediction is
the sum of the terms, clipped to `bounds`, and its exponential if the target is learned as a logarithm. Temperature,
smoothing, the mean over members and the scaling to the target's unit are affine steps. `fold` multiplies these, and
every other affine step, into adjacent weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import pi
from typing import Any

import numpy as np

from chainrule.arrays import Array, all_finite
from chainrule.curves import CURVES, Z, capped_exp
from chainrule.data.columns import Column
from chainrule.data.features import Missing
from chainrule.data.reading import matrix_names
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.files.model import digest_of
from chainrule.model import embeddings, neighbors
from chainrule.model.embedding_curves import EMBEDDING_CURVES
from chainrule.model.ensemble import Ensemble
from chainrule.model.predictor import Predictor
from chainrule.model.quantiles import MeanAndQuantiles, added_to_outputs
from chainrule.nn import layers, losses
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.custom import is_custom
from chainrule.nn.layers import Layer, Params
from chainrule.nn.network import Network
from chainrule.terms import Term

Model = Predictor | Ensemble | Network

# The steps.


@dataclass(frozen=True, eq=False)
class Step:
    """One step, applied to a row; its output has `width` values."""

    width: int


@dataclass(frozen=True, eq=False)
class Affine(Step):
    """X W + b. W (n_in, width), b (width,)."""

    W: Array
    b: Array


@dataclass(frozen=True, eq=False)
class Quantized(Step):
    """(X W) scale + b with int8 weights W in [-127, 127]. W (n_in, width), scale and b (width,)."""

    W: Array
    scale: Array
    b: Array


@dataclass(frozen=True, eq=False)
class AffineElementwise(Step):
    """(X - center) scale + shift. All (width,)."""

    center: Array
    scale: Array
    shift: Array


@dataclass(frozen=True, eq=False)
class Elementwise(Step):
    """A function applied to each value: the name of an activation, or another one of `functions_of`."""

    function: str


@dataclass(frozen=True, eq=False)
class Normalized(Step):
    """(X - mean) / sqrt(variance + epsilon), with the mean and variance of each row."""

    epsilon: float


@dataclass(frozen=True, eq=False)
class Softmax(Step):
    """exp(Z_k) / sum_j exp(Z_j)."""


@dataclass(frozen=True, eq=False)
class ResidualBlock(Step):
    """X + steps(X)."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, eq=False)
class Columns(Step):
    """X[:, columns]. columns (width,)."""

    columns: Array


@dataclass(frozen=True, eq=False)
class BlockAffine(Step):
    """X W + b for each of m blocks of k values: W (m, k, n_out), b (m, n_out), width = m n_out."""

    W: Array
    b: Array


@dataclass(frozen=True, eq=False)
class Rows(Step):
    """Row starts + k of E for each of m indices k, limited to 0, ..., lasts. E (rows, n_out), width = m n_out."""

    E: Array
    starts: Array
    lasts: Array


@dataclass(frozen=True, eq=False)
class Appended(Step):
    """[X, steps(X)]."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, eq=False)
class InOrder(Step):
    """X with all but the first of each `block` values sorted: the quantiles of each number."""

    block: int


Nested = ResidualBlock | Appended


def functions_of(largest_exponent: float) -> dict[str, Term]:
    """Return the functions of elementwise steps, by name; exp takes at most `largest_exponent`."""
    functions = {name: curve.expanded(Z) for name, curve in (CURVES | EMBEDDING_CURVES).items()}
    return functions | {"exp": capped_exp(largest_exponent)}


def flattened(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield every step, including nested ones."""
    for step in steps:
        yield step
        if isinstance(step, Nested):
            yield from flattened(step.steps)


# From a model to its steps.


@dataclass(frozen=True, eq=False)
class Program:
    """The computation of a model: the sum over `members` of their steps, clipped to `bounds` (2, n_out) if not None.

    If the target is learned as a logarithm, `exponential` is true, and the prediction is the exponential of that sum.
    `columns`, `target` and `metadata` are a predictor's; a bare network has none of them and takes `n_in`
    numeric columns. `digest` is the model's, None for an ensemble.
    """

    members: tuple[tuple[Step, ...], ...]
    bounds: Array | None
    n_in: int
    n_out: int
    columns: tuple[Column, ...] | None
    target: ClassTarget | NumberTarget | None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    digest: str | None = None

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The columns; those of a bare network are raw, and called x0, x1, ..."""
        return self.columns or tuple(TabularEncoder.raw(list(matrix_names(self.n_in))).columns)

    @property
    def exponential(self) -> bool:
        """Whether the sum is the logarithm of the prediction."""
        return isinstance(self.target, NumberTarget) and self.target.transform == "log"

    @property
    def labels(self) -> tuple[Any, ...] | None:
        """A classifier's labels, in the order of its probabilities."""
        return self.target.labels if isinstance(self.target, ClassTarget) else None

    @property
    def single_bounds(self) -> Array | None:
        """The bounds in float32, clipped to its range."""
        limit = np.finfo(np.float32).max
        return None if self.bounds is None else np.clip(self.bounds, -limit, limit).astype(np.float32)


def program_of(model: Model, quantiles: bool = False) -> Program:
    """Return a model's program; with `quantiles`, each prediction is followed by its quantiles if the model has any.

    Raises ValueError for custom layers or losses, for parameters that are not finite, and for columns that mark missing
    categories: in C and ONNX, a category is an index or a text, which cannot be NaN.
    """
    if not isinstance(model, Predictor | Ensemble | Network):
        raise ValueError(f"model must be a Predictor, an Ensemble or a Network, got {type(model).__name__}")
    predictor = model if isinstance(model, Predictor) else None
    target = predictor.target if predictor else None
    columns = tuple(predictor.encoder.columns) if predictor else None
    ensemble = as_ensemble(model) if quantiles else as_ensemble(model).means
    _require_exportable(ensemble, columns or ())
    scale, shift, bounds = _units(ensemble, target)
    smoothing = 0.0
    if isinstance(ensemble.networks[0].loss, losses.CrossEntropy):
        bounds, smoothing = None, ensemble.smoothing
    members = []
    for network, weight in zip(ensemble.networks, ensemble.weights):
        constant = scale * smoothing / ensemble.n_out / (1 + smoothing) + shift
        term = _affine_elementwise(weight * scale / (1 + smoothing), weight * constant)
        members.append((*_network_steps(network, ensemble.temperature), *term))
    return Program(
        tuple(members),
        bounds,
        ensemble.n_in,
        len(scale),
        columns,
        target,
        predictor.metadata if predictor else {},
        None if isinstance(model, Ensemble) else digest_of(model),
    )


def _units(ensemble: Ensemble, target: ClassTarget | NumberTarget | None) -> tuple[Array, Array, Array | None]:
    """Return scale and shift of each raw output to the target's unit, and their bounds in it."""
    n, width = ensemble.n_out, ensemble.loss.width
    stds, means = (target.stds, target.means) if isinstance(target, NumberTarget) else (np.ones(n), np.zeros(n))
    scale = np.repeat(stds, width)
    shift = scale * np.tile(added_to_outputs(ensemble.loss), n) + np.repeat(means, width)
    if ensemble.bounds is None:
        return scale, shift, None
    bounds = np.tile([[-np.inf], [np.inf]], n * width)
    bounds[:, ::width] = ensemble.bounds * stds + means
    return scale, shift, bounds


def as_ensemble(model: Model) -> Ensemble:
    """Return a model's ensemble; a network becomes an ensemble of one."""
    if isinstance(model, Network):
        return Ensemble((model,))
    return model.ensemble if isinstance(model, Predictor) else model


def _require_exportable(ensemble: Ensemble, columns: Sequence[Column]) -> None:
    for column in columns:
        if column.source == "categories" and any(isinstance(feature, Missing) for feature in column.features):
            raise ValueError(f"model must not mark missing categories, as column {column.name!r} does")
    for network in ensemble.networks:
        for i, layer in enumerate(network.layers):
            if is_custom(layer):
                raise ValueError(f"model must not contain custom layers, got {layer} as layer {i}")
    loss = ensemble.networks[0].loss
    if type(loss) not in LINKS:
        raise ValueError(f"model must not have a custom loss, got {loss}")
    if not all(all_finite(network.theta) and all_finite(network.buffers) for network in ensemble.networks):
        raise ValueError("model must have finite parameters, got NaN or infinity")


def _network_steps(network: Network, temperature: float = 1.0) -> list[Step]:
    """Return the steps of a network, including the link function of its loss."""
    link = LINKS[type(network.loss)](network, temperature)
    return [*_lower(network.layers, network.params, network.n_in), *link]


def _lower(sequence: Sequence[Layer], params: Sequence[Params], width: int) -> list[Step]:
    """Return the steps of consecutive layers, the first of which takes `width` columns."""
    steps: list[Step] = []
    for layer, its_params in zip(sequence, params):
        steps += LOWERED[type(layer)](layer, its_params, width)
        width = layer.width_after(width)
    return steps


def _affine_elementwise(scale: Array, shift: Array, center: Array | None = None) -> list[Step]:
    """Return the step (X - center) scale + shift, or no step if it is the identity."""
    if center is None:
        center = np.zeros(len(scale))
    if np.all(scale == 1) and not (shift.any() or center.any()):
        return []
    return [AffineElementwise(len(scale), center, scale, shift)]


def _lower_bounded(layer: layers.Bounded, params: Params, width: int) -> list[Step]:
    """Return low + (high - low) sigmoid(X)."""
    scale, shift = np.full(width, layer.high - layer.low), np.full(width, layer.low)
    return [Elementwise(width, "sigmoid"), *_affine_elementwise(scale, shift)]


def _lower_batch_norm(layer: layers.BatchNorm, params: Params, width: int) -> list[Step]:
    """Return the normalization by the running statistics, which is affine."""
    deviation = np.sqrt(params["variance"].astype(np.float64) + layer.epsilon)
    return _affine_elementwise(params["gamma"] / deviation, params["beta"], params["mean"])


def _lower_residual(layer: layers.Residual, params: Params, width: int) -> list[Step]:
    inner = [layers.part(params, i) for i in range(len(layer.layers))]
    return [ResidualBlock(width, tuple(_lower(layer.layers, inner, width)))]


def _lower_piecewise_linear(layer: embeddings.PiecewiseLinear, params: Params, width: int) -> list[Step]:
    columns, lows, slopes = layer.pieces
    scaled = AffineElementwise(len(lows), lows, slopes, np.zeros(len(lows)))
    steps = (Columns(len(lows), columns), scaled, Elementwise(len(lows), "ramp"))
    return [Appended(width + layer.width, steps)]


def _lower_periodic(layer: embeddings.Periodic, params: Params, width: int) -> list[Step]:
    n = params["f"].size
    columns = np.repeat(layer.columns, layer.n_waves)
    angle = _affine_elementwise(2 * pi * params["f"].ravel(), params["phase"].ravel())
    blocks = BlockAffine(layer.width, params["W"], params["b"])
    return [Appended(width + layer.width, (Columns(n, columns), *angle, Elementwise(n, "cos"), blocks))]


def _lower_lookup(layer: embeddings.Lookup, params: Params, width: int) -> list[Step]:
    """Return [X, rows of E], and then the columns of it that are not indices."""
    m = len(layer.columns)
    rows = Rows(m * layer.n_out, params["E"], *layer.tables)
    appended = Appended(width + rows.width, (Columns(m, np.array(layer.columns)), rows))
    kept = np.array([*layer.others, *range(width, appended.width)])
    return [appended, Columns(len(kept), kept)]


LOWERED: dict[type[Layer], Callable[[Any, Params, int], list[Step]]] = {
    layers.Dense: lambda layer, params, width: [Affine(layer.n_out, params["W"], params["b"])],
    layers.Activation: lambda layer, params, width: (
        [] if layer.function == "identity" else [Elementwise(width, str(layer.function))]
    ),
    layers.Scale: lambda layer, params, width: _affine_elementwise(params["scale"], np.zeros(width)),
    layers.Bounded: _lower_bounded,
    layers.Dropout: lambda layer, params, width: [],
    layers.LayerNorm: lambda layer, params, width: [
        Normalized(width, layer.epsilon),
        *_affine_elementwise(params["gamma"], params["beta"]),
    ],
    layers.BatchNorm: _lower_batch_norm,
    layers.Residual: _lower_residual,
    embeddings.PiecewiseLinear: _lower_piecewise_linear,
    embeddings.Periodic: _lower_periodic,
    embeddings.Lookup: _lower_lookup,
    embeddings.Select: lambda layer, params, width: [Columns(len(layer.columns), np.array(layer.columns))],
    embeddings.Unclip: lambda layer, params, width: [Elementwise(width, "unclip")],
    neighbors.Softmax: lambda layer, params, width: [Softmax(width)],
    neighbors.Log: lambda layer, params, width: [Elementwise(width, "log")],
}
"""From a layer type to the function that returns its steps, given the layer, its parameters and its input width."""


def _identity_link(network: Network, temperature: float) -> list[Step]:
    return []


LINKS: dict[type[losses.Loss], Callable[[Network, float], list[Step]]] = {
    losses.SquaredError: _identity_link,
    losses.AbsoluteError: _identity_link,
    losses.Huber: _identity_link,
    losses.Quantile: _identity_link,
    losses.CustomLoss: _identity_link,
    losses.Poisson: lambda network, temperature: [Elementwise(network.n_out, "exp")],
    losses.BinaryCrossEntropy: lambda network, temperature: [Elementwise(network.n_out, "sigmoid")],
    losses.CrossEntropy: lambda network, temperature: [
        *_affine_elementwise(np.full(network.n_out, 1 / temperature), np.zeros(network.n_out)),
        Softmax(network.n_out),
    ],
    MeanAndQuantiles: lambda network, temperature: [InOrder(network.n_out, network.loss.width)],
}
"""From a loss type to the function that returns the steps of a network's link function, given the temperature."""


# Folding.

_MAX_CENTER_IN_STD = 32
"""Largest |center| * scale to fold into weights: beyond it, X W - center W cancels digits that X - center keeps."""


def fold(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return an equivalent, shorter program: affine steps are multiplied, in float64, into adjacent affine steps."""
    folded: list[Step] = []
    for step in steps:
        step = replace(step, steps=fold(step.steps)) if isinstance(step, Nested) else step
        merge = _MERGES.get((type(folded[-1]), type(step))) if folded else None
        merged = merge(folded[-1], step) if merge else None
        if merged is None:
            folded.append(step)
        else:
            folded[-1] = merged
    return tuple(folded)


def _elementwise_then_affine(first: AffineElementwise, then: Affine) -> Affine | None:
    """Return ((X - center) scale + shift) W + b as one step; None if that would lose precision."""
    if np.max(np.abs(first.center * first.scale)) > _MAX_CENTER_IN_STD:
        return None
    W = then.W.astype(np.float64)
    return Affine(then.width, first.scale[:, np.newaxis] * W, (first.shift - first.center * first.scale) @ W + then.b)


def _affine_then_elementwise(first: Affine, then: AffineElementwise) -> Affine:
    """Return (X W + b - center) scale + shift as one step."""
    scale = then.scale.astype(np.float64)
    return Affine(then.width, first.W * scale, (first.b - then.center) * scale + then.shift)


def _elementwise_twice(first: AffineElementwise, then: AffineElementwise) -> AffineElementwise:
    scale = then.scale.astype(np.float64)
    shift = (first.shift - then.center) * scale + then.shift
    return AffineElementwise(then.width, first.center, first.scale * scale, shift)


_MERGES: dict[tuple[type[Step], type[Step]], Callable[[Any, Any], Step | None]] = {
    (AffineElementwise, Affine): _elementwise_then_affine,
    (Affine, AffineElementwise): _affine_then_elementwise,
    (AffineElementwise, AffineElementwise): _elementwise_twice,
}


# Quantization.


def quantize(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps with all weight matrices as int8 in [-127, 127], with one scale per output column."""
    return tuple(_QUANTIZED[type(step)](step) if type(step) in _QUANTIZED else step for step in steps)


def _quantize_affine(step: Affine) -> Quantized:
    """Return the step with its weights rounded to 127ths of the largest weight in each column."""
    largest = np.abs(step.W).max(axis=0)
    scale = np.where(largest > 0, largest, 1) / 127
    return Quantized(step.width, np.rint(step.W / scale).astype(np.int8), scale, step.b)


_QUANTIZED: dict[type[Step], Callable[[Any], Step]] = {
    Affine: _quantize_affine,
    ResidualBlock: lambda step: replace(step, steps=quantize(step.steps)),
    Appended: lambda step: replace(step, steps=quantize(step.steps)),
}


# Inference in float32, as the C and ONNX exports compute it.


def infer(program: Program, X: Array) -> Array:
    """Return the predictions (n, n_out) for encoded rows X (n, n_in), computed in float32."""
    sums = sums_of(program, X)
    return _exp(sums) if program.exponential else sums


def sums_of(program: Program, X: Array) -> Array:
    """Return the sums (n, n_out) over the members for encoded rows, within their bounds, computed in float32."""
    sums = np.zeros((len(X), program.n_out), np.float32)
    for steps in program.members:
        sums += run(steps, X.astype(np.float32))
    return sums if program.single_bounds is None else np.clip(sums, *program.single_bounds)


def run(steps: Sequence[Step], X: Array) -> Array:
    """Apply the steps to rows X."""
    for step in steps:
        X = _RUN[type(step)](step, X)
    return X


def _single(array: Array) -> Array:
    return array.astype(np.float32)


def _exp(X: Array) -> Array:
    """exp(X), limited to the finite range of the dtype."""
    return np.exp(np.minimum(X, np.log(np.finfo(X.dtype).max) - 1))


def _run_normalized(step: Normalized, X: Array) -> Array:
    H = X - X.mean(axis=1, keepdims=True)
    return H / np.sqrt((H * H).mean(axis=1, keepdims=True) + np.float32(step.epsilon))


def _run_elementwise(function: str, X: Array) -> Array:
    if function in EMBEDDING_CURVES:
        return _single(EMBEDDING_CURVES[function].expanded(Z).value(z=X))
    return _exp(X) if function == "exp" else ACTIVATIONS[function](X)[0]


def _run_block_affine(step: BlockAffine, X: Array) -> Array:
    m, k, _ = step.W.shape
    blocks = X.reshape(len(X), m, 1, k) @ _single(step.W)
    return (blocks[:, :, 0] + _single(step.b)).reshape(len(X), -1)


def _run_in_order(step: InOrder, X: Array) -> Array:
    blocks = X.reshape(len(X), -1, step.block).copy()
    blocks[:, :, 1:].sort(axis=2)
    return blocks.reshape(X.shape)


def _run_rows(step: Rows, X: Array) -> Array:
    rows = np.clip(X, 0, step.lasts).astype(np.intp) + step.starts
    return _single(step.E)[rows].reshape(len(X), -1)


_RUN: dict[type[Step], Callable[[Any, Array], Array]] = {
    Affine: lambda step, X: X @ _single(step.W) + _single(step.b),
    Quantized: lambda step, X: (X @ _single(step.W)) * _single(step.scale) + _single(step.b),
    AffineElementwise: lambda step, X: (X - _single(step.center)) * _single(step.scale) + _single(step.shift),
    Elementwise: lambda step, X: _run_elementwise(step.function, X),
    Columns: lambda step, X: X[:, step.columns],
    Rows: _run_rows,
    BlockAffine: lambda step, X: _run_block_affine(step, X),
    Appended: lambda step, X: np.concatenate([X, run(step.steps, X)], axis=1),
    Normalized: _run_normalized,
    Softmax: lambda step, X: losses.softmax(X),
    InOrder: _run_in_order,
    ResidualBlock: lambda step, X: X + run(step.steps, X),
}
