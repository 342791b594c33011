"""Losses: each computes its value and its gradient together, from the network's raw outputs.

A loss owns its link function: it takes raw outputs `Z` (n, k), and `predict(Z)` turns them into probabilities or
numbers. Softmax and the logarithm thus meet in one numerically stable step. The reduction is the same for all: mean
over rows, sum over outputs; sample weights divide by their sum.

`loss(Z, Y, weight) -> (value, dZ)` with `Y = loss.targets(y, k, dtype)`, which checks the targets once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from chainrule.arrays import Array, Checked, as_class_numbers, as_targets, require, require_no_mask
from chainrule.errors import look_up
from chainrule.nn.activations import logistic

RowLosses = Callable[[Array, Array], tuple[Array, Array]]


class Loss(Checked, ABC):
    """Base class. A custom loss defines `per_row`, and `predict`, `decide`, `targets` where the defaults do not fit."""

    is_classification: ClassVar[bool] = False
    """Whether `predict` returns probabilities."""

    @property
    def width(self) -> int:
        """Number of raw outputs for each predicted number; default: 1."""
        return 1

    @abstractmethod
    def per_row(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        """Return the loss of each row (n,), summed over outputs, and its derivative with respect to Z, a new array."""

    def __call__(self, Z: Array, Y: Array, weight: Array | None = None) -> tuple[float, Array]:
        """Return the mean over rows, weighted by `weight` (n,) if given, and its derivative dZ (n, k)."""
        losses, dZ = self.per_row(Z, Y)
        if weight is None:
            dZ *= 1 / len(Z)
            return float(np.add.reduce(losses, axis=None)) / len(Z), dZ
        # A batch whose weights are all zero has loss and gradient 0.
        share = weight / (weight.sum() or 1)
        dZ *= share[:, np.newaxis]
        return float(losses @ share), dZ

    def predict(self, Z: Array) -> Array:
        """Apply the link function to raw outputs (n, k); default: identity."""
        return Z

    def decide(self, prediction: Array) -> Array:
        """Turn the output of `predict` (n, k) into class numbers or numbers: (n,), or (n, k) for k > 1 numbers."""
        return prediction[:, 0] if prediction.shape[1] == 1 else prediction

    def targets(self, y: ArrayLike, n_out: int, dtype: DTypeLike) -> Array:
        """Return `y` as the finite (n, n_out) array that `per_row` takes; (n,) is accepted for one output.

        Raises ValueError for another shape, and for values that are not finite numbers.
        """
        return as_targets(y, n_out, dtype)


@final
@dataclass(frozen=True)
class SquaredError(Loss):
    """factor (Z - Y)^2; derivative 2 factor (Z - Y). The default 1/2, the quadratic cost's, makes that Z - Y."""

    factor: Annotated[float, "> 0"] = 0.5

    def per_row(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        R = Z - Y
        losses = np.einsum("ij,ij->i", R, R)
        losses *= self.factor
        R *= 2 * self.factor
        return losses, R


@final
@dataclass(frozen=True)
class AbsoluteError(Loss):
    """|Z - Y|, whose minimum is the median; derivative sign(Z - Y)."""

    def per_row(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        R = Z - Y
        return np.abs(R).sum(axis=1), np.sign(R)


@final
@dataclass(frozen=True)
class Huber(Loss):
    """R^2 / 2 while |R| = |Z - Y| <= delta, else delta (|R| - delta / 2); derivative: R clipped to [-delta, delta].

    (Huber 1964, section 4.)
    """

    delta: Annotated[float, "> 0"] = 1.0

    def per_row(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        R = Z - Y
        C = np.clip(R, -self.delta, self.delta)
        return (C * (R - 0.5 * C)).sum(axis=1), C


@final
@dataclass(frozen=True)
class Quantile(Loss):
    """q (Y - Z) where Y > Z, else (1 - q) (Z - Y), whose minimum is the q-quantile; derivative -q or 1 - q.

    `levels` is one q for all outputs, or a tuple with one for each; then a single target column is used for all of them
    (Koenker & Bassett 1978, eq. 3.1).
    """

    levels: Annotated[float | tuple[float, ...], "strictly between 0 and 1"] = 0.5

    def per_row(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        dZ = (Z > Y) - np.asarray(self.levels, Z.dtype)
        return (dZ * (Z - Y)).sum(axis=1), dZ

    def targets(self, y: ArrayLike, n_out: int, dtype: DTypeLike) -> Array:
        n_levels = np.size(self.levels)
        if n_levels == 1:
            return super().targets(y, n_out, dtype)
        require(n_levels == n_out, "levels", f"have one entry for each of {n_out} outputs", self.levels)
        one_column = np.ndim(y) == 1 or np.shape(y)[1:] == (1,)
        Y = super().targets(y, 1 if one_column else n_out, dtype)
        return np.repeat(Y, n_out, axis=1) if one_column else Y


@final
@dataclass(frozen=True)
class Poisson(Loss):
    """M - Y + Y log(Y / M) with M = exp(Z), half the Poisson deviance of counts Y >= 0; derivative M - Y.

    Link function: exp. A perfect prediction has loss 0.
    """

    def per_row(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        with np.errstate(over="ignore"):  # an infinite loss is detected by the training loop
            M = np.exp(Z)
        Y_log_Y = Y * np.log(np.where(Y > 0, Y, 1))
        dZ = M - Y
        return (dZ + (Y_log_Y - Y * Z)).sum(axis=1), dZ

    def predict(self, Z: Array) -> Array:
        return np.exp(np.minimum(Z, np.log(np.finfo(Z.dtype).max) - 1))

    def targets(self, y: ArrayLike, n_out: int, dtype: DTypeLike) -> Array:
        Y = super().targets(y, n_out, dtype)
        if Y.min(initial=0) < 0:
            raise ValueError(f"y must be >= 0 for poisson, got {Y.min()}")
        return Y


@final
@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """-Y log P - (1 - Y) log(1 - P) with P = sigmoid(Z), for one label or several at once; derivative P - Y.

    In terms of Z it is max(Z, 0) - Y Z + log(1 + exp(-|Z|)), which never takes the logarithm of zero. `y` is 0, 1, or a
    probability. `label_smoothing` moves each target by that fraction of the way to 1/2. Link function: sigmoid.
    """

    label_smoothing: Annotated[float, "in [0, 1)"] = 0.0
    is_classification: ClassVar[bool] = True

    def per_row(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        if self.label_smoothing:
            Y = Y * (1 - self.label_smoothing) + self.label_smoothing / 2
        L = np.log1p(np.exp(-np.abs(Z))) + (np.maximum(Z, 0) - Y * Z)
        return L.sum(axis=1), logistic(Z) - Y

    def predict(self, Z: Array) -> Array:
        return logistic(Z)

    def decide(self, prediction: Array) -> Array:
        return super().decide((prediction > 0.5).astype(np.intp))

    def targets(self, y: ArrayLike, n_out: int, dtype: DTypeLike) -> Array:
        Y = super().targets(y, n_out, dtype)
        if Y.min(initial=0) < 0 or Y.max(initial=0) > 1:
            raise ValueError(f"y must be in [0, 1] for binary_cross_entropy, got {Y.min()} to {Y.max()}")
        return Y


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """-sum_k Y_k log P_k with P = softmax(Z), for one class of k >= 2; derivative P - Y.

    `y` is class numbers (n,) from 0 to k - 1, or one-hot or probability rows (n, k). `label_smoothing` distributes that
    fraction of each target evenly over all k classes (Szegedy et al. 2016, section 7). Link function: softmax.
    """

    label_smoothing: Annotated[float, "in [0, 1)"] = 0.0
    is_classification: ClassVar[bool] = True

    def per_row(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        log_P = log_softmax(Z)
        dZ = np.exp(log_P)  # P; Y is subtracted below
        if Y.ndim == 1 and not self.label_smoothing:
            own = np.arange(len(Z)), Y  # of each row, the entry of its own class
            dZ[own] -= 1
            return -log_P[own], dZ
        Y = self._target_rows(Y, Z)
        dZ -= Y
        return -np.einsum("ij,ij->i", Y, log_P), dZ

    def _target_rows(self, Y: Array, Z: Array) -> Array:
        """Return the targets as smoothed probability rows (n, k)."""
        if Y.ndim == 1:
            Y = np.eye(Z.shape[1], dtype=Z.dtype)[Y]
        return Y * (1 - self.label_smoothing) + self.label_smoothing / Z.shape[1]

    def predict(self, Z: Array) -> Array:
        return softmax(Z)

    def decide(self, prediction: Array) -> Array:
        return prediction.argmax(axis=1)

    def targets(self, y: ArrayLike, n_out: int, dtype: DTypeLike) -> Array:
        if n_out < 2:
            raise ValueError("cross_entropy needs at least two outputs, got 1. Use binary_cross_entropy for one.")
        if np.ndim(y) == 2:
            Y = super().targets(y, n_out, dtype)
            if Y.min(initial=0) < 0 or not np.allclose(Y.sum(axis=1), 1, atol=1e-3):
                raise ValueError("rows of y must be probabilities for cross_entropy: >= 0, each row summing to 1")
            return Y / Y.sum(axis=1, keepdims=True)
        require_no_mask(y, "y")
        return as_class_numbers(np.asarray(y), n_out)


@final
@dataclass(frozen=True)
class CustomLoss(Loss):
    """A custom function `(Z, Y) -> (losses, dZ)`: losses (n,) or (n, k) before any mean, their derivative (n, k)."""

    function: RowLosses = field(repr=False)

    def per_row(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        result = self.function(Z, Y)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise ValueError(f"loss must return (losses, dZ), got a {type(result).__name__}")
        losses, dZ = result
        losses = np.asarray(losses, Z.dtype)
        if np.shape(dZ) != Z.shape or losses.shape not in (Z.shape, Z.shape[:1]):
            raise ValueError(
                f"loss must return losses of shape {Z.shape[:1]} or {Z.shape} and their derivative of shape {Z.shape}, "
                f"got {losses.shape} and {np.shape(dZ)}"
            )
        return losses.reshape(len(Z), -1).sum(axis=1), np.array(dZ, Z.dtype)


def softmax(Z: Array) -> Array:
    """exp(Z_k) / sum_j exp(Z_j) for each row of Z (n, k); rows sum to 1."""
    return np.exp(log_softmax(Z))


def log_softmax(Z: Array) -> Array:
    """Z_k - log sum_j exp(Z_j) for each row of Z (n, k), shifted by the row's maximum so that nothing overflows."""
    S = Z.T.copy()  # NumPy reduces k long rows many times faster than n short ones
    S -= np.maximum.reduce(S)
    S -= np.log(np.add.reduce(np.exp(S)))
    return S.T


LOSSES: dict[str, type[Loss]] = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "quantile": Quantile,
    "poisson": Poisson,
    "binary_cross_entropy": BinaryCrossEntropy,
    "cross_entropy": CrossEntropy,
}
ALIASES = {
    "mse": "squared_error",
    "mean_squared_error": "squared_error",
    "mae": "absolute_error",
    "mean_absolute_error": "absolute_error",
    "pinball": "quantile",
    "bce": "binary_cross_entropy",
    "binary_crossentropy": "binary_cross_entropy",
    "crossentropy": "cross_entropy",
    "log_loss": "cross_entropy",
}


def as_loss(loss: str | Loss | RowLosses) -> Loss:
    """Return the loss with this name or alias, the Loss itself, or a custom function as a Loss."""
    if isinstance(loss, Loss):
        return loss
    if callable(loss):
        return CustomLoss(loss)
    name = loss.lower().replace("-", "_").replace(" ", "_") if isinstance(loss, str) else loss
    return look_up(LOSSES, name if name in LOSSES else ALIASES.get(name, loss), "loss")()
