"""An ensemble: networks whose predictions are averaged, calibrated on held-out rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import exp, isfinite, log
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, as_matrix, require
from chainrule.model.conformal import N_QUANTILES, at_level, calibrate, class_scores, conformal_quantiles
from chainrule.model.quantiles import Distribution, MeanAndQuantiles, in_order, mean_only
from chainrule.model.stack import Alone, Stack, stacks_of
from chainrule.model.threads import in_parallel, one_blas_thread
from chainrule.nn.losses import CrossEntropy, Loss
from chainrule.nn.network import Network

_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.02, 50.0
_MIN_BLAS_WORK, _MIN_PARALLEL_WORK = 2**21, 2**23
"""Multiplications from which BLAS would use several threads, which stall on a busy machine, and from which ours pay."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks of the same task whose predictions are averaged.

    Classifiers average softmax(Z / temperature) and mix the mean P with the uniform distribution:
    (P + smoothing / K) / (1 + smoothing) for K classes. Other ensembles average the predictions and clip them to
    `bounds`. An ensemble of one network predicts what that network does.

    Parameters
    ----------
    networks : tuple of Network
        With the same number of inputs and outputs, loss and dtype; their layers may differ.
    weights : tuple of float, optional
        Weight of each network in the mean, summing to 1. Default: equal weights.
    temperature : float
        Divisor of the raw outputs (Guo et al. 2017, eq. 9).
    smoothing : float
        Weight of the uniform distribution. 1 / n for n rows is Laplace's rule: even networks that were right on all n
        rows are not certain about the next one.
    bounds : (2, n_out), optional
        Minimum and maximum of the predictions, for a table those of its target and half their distance more.
    scores : (999, n_out), or (999, 1 + n_out) for classifiers, optional
        Row k - 1 is the conformal quantile k / 1000 of the scores of held-out rows: for numbers, the places of the
        targets in their predicted distributions (`chainrule.model.quantiles.Distribution.scores`); for classes, the
        ranks of the true ones (`chainrule.model.conformal.class_scores`), first of all rows, then of those of each
        class.
    contrast : (2, n_out), optional
        How the spread of the predicted distributions is corrected before that: exponents, and typical spreads
        (`chainrule.model.quantiles.Distribution.contrasted`).
    """

    networks: tuple[Network, ...]
    weights: tuple[float, ...] = ()
    temperature: float = 1.0
    smoothing: float = 0.0
    bounds: Array | None = None
    scores: Array | None = None
    contrast: Array | None = None

    def __post_init__(self) -> None:
        require(len(self.networks) >= 1, "networks", "contain at least one network", self.networks)
        kinds = {(net.n_in, net.n_out, repr(net.loss), net.dtype.name) for net in self.networks}
        require(
            len(kinds) == 1, "networks", "have the same number of inputs and outputs, loss and dtype", sorted(kinds)
        )
        n_raw, width = self.networks[0].n_out, self.loss.width
        require(n_raw % width == 0, "networks", f"have {width} raw outputs for each prediction, as {self.loss}", n_raw)
        n = len(self.networks)
        weights = tuple(self.weights) or (1 / n,) * n
        numbers = len(weights) == n and all(isinstance(weight, Real) and weight >= 0 for weight in weights)
        valid = numbers and abs(sum(weights) - 1) < 1e-9
        require(valid, "weights", "be one number >= 0 for each network, summing to 1", weights)
        object.__setattr__(self, "weights", weights)
        temperature, smoothing = self.temperature, self.smoothing
        require(temperature > 0 and isfinite(temperature), "temperature", "be finite and > 0", temperature)
        require(smoothing >= 0 and isfinite(smoothing), "smoothing", "be finite and >= 0", smoothing)
        self._check_arrays()

    def _check_arrays(self) -> None:
        n_scores = self.n_out + isinstance(self.loss, CrossEntropy)
        shapes = {"bounds": (2, self.n_out), "scores": (N_QUANTILES, n_scores), "contrast": (2, self.n_out)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array is not None:
                require(array.shape == shape, name, f"have shape {shape}", array.shape)
                if name != "contrast" and not (array[1:] >= array[:-1]).all():
                    raise ValueError(f"{name} must not decrease from row to row")
        if self.contrast is not None:
            exponents, spreads = self.contrast
            valid = (exponents >= 0) & (exponents <= 10) & (spreads > 0) & np.isfinite(spreads)
            require(bool(valid.all()), "contrast", "have exponents in [0, 10] and finite spreads > 0", self.contrast)

    @classmethod
    def of_numbers(
        cls,
        networks: Sequence[Network],
        outputs: Array,
        Y: Array,
        bounds: Array,
        weight: Array | None = None,
        weights: Sequence[float] = (),
    ) -> Self:
        """Calibrate regressors on their mean raw outputs for held-out rows of targets Y (n, n_out)."""
        ensemble = cls(tuple(networks), tuple(weights), bounds=bounds)
        contrast, scores = calibrate(ensemble._distribution(outputs), Y, weight)
        return replace(ensemble, contrast=contrast, scores=scores)

    def for_sets(self, P: Array, y: Array, weight: Array | None = None) -> Self:
        """Calibrate a classifier for prediction sets on its probabilities P (n, K) for held-out rows of classes y."""
        own = class_scores(P)[np.arange(len(y)), y][:, np.newaxis]
        parts = [y >= 0, *(y == k for k in range(self.n_out))]
        columns = [conformal_quantiles(own[rows], None if weight is None else weight[rows]) for rows in parts]
        scores = np.hstack(columns)
        single = scores.astype(np.float32)  # rounded up, for a model file of half the size
        return replace(self, scores=np.where(single < scores, np.nextafter(single, np.float32(np.inf)), single))

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return self.networks[0].n_in

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the networks."""
        return self.networks[0].dtype

    @property
    def n_out(self) -> int:
        """Number of predictions for each row."""
        return self.networks[0].n_out // self.loss.width

    @property
    def loss(self) -> Loss:
        """The loss of the networks, with their link function."""
        return self.networks[0].loss

    @property
    def means(self) -> Self:
        """The ensemble without its quantiles: its predictions are the same."""
        return replace(self, networks=tuple(map(mean_only, self.networks)), scores=None)

    def predict(self, X: ArrayLike) -> Array:
        """Return the predictions (n, n_out) for rows X (n, n_in)."""
        return self.infer(as_matrix(X, self.n_in, self.dtype, finite=False))

    def infer(self, X: Array) -> Array:
        """Return the same as `predict` for rows (n, n_in) of the networks' dtype; ValueError if one is not finite."""
        return self.predictions(self._outputs(X))

    def _outputs(self, X: Array) -> Array:
        """Return the raw outputs (k, n, n_out) of the k networks."""
        work = len(X) * self._n_parameters
        if len(self.networks) == 1 or work < _MIN_BLAS_WORK:
            return self._together(X)
        with one_blas_thread as n_threads:
            if work < _MIN_PARALLEL_WORK or n_threads == 1:
                return self._together(X)
            return np.stack(in_parallel(lambda network: network.infer(X), self.networks, n_threads))

    def _together(self, X: Array) -> Array:
        if not all(stack.is_current for stack in self._stacks):
            self.__dict__.pop("_stacks", None)
        outputs = [stack.infer(X) for stack in self._stacks]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    @cached_property
    def _stacks(self) -> list[Stack | Alone]:
        return stacks_of(self.networks)

    @cached_property
    def _n_parameters(self) -> int:
        return sum(network.theta.size for network in self.networks)

    def predictions(self, outputs: Array) -> Array:
        """Combine the raw outputs (k, n, n_out) of the k networks into the predictions (n, n_out)."""
        is_classifier = isinstance(self.loss, CrossEntropy)
        Z = outputs.reshape(-1, outputs.shape[2])  # the link function is called once for all networks
        if is_classifier and self.temperature != 1:
            Z = Z / self.temperature
        P = self.loss.predict(Z).reshape(*outputs.shape[:2], self.n_out)
        return self.smoothed(self._mean(P)) if is_classifier else self._bounded(self._mean(P))

    def _bounded(self, means: Array) -> Array:
        return means if self.bounds is None else np.minimum(np.maximum(means, self.bounds[0]), self.bounds[1])

    def distribution(self, X: Array) -> Distribution:
        """Return the means, which `infer` returns, and the distributions around them, not yet calibrated."""
        return self._distribution(self._mean(in_order(self.loss, self._outputs(X))))

    def _distribution(self, outputs: Array) -> Distribution:
        means = self._bounded(self.loss.predict(outputs))
        if not isinstance(self.loss, MeanAndQuantiles):
            return Distribution.around(means)
        distribution = Distribution.of(self.loss, outputs, means)
        return distribution if self.contrast is None else distribution.contrasted(*self.contrast)

    def smoothed(self, P: Array) -> Array:
        """Mix probabilities (n, K) with the uniform distribution."""
        return (P + self.smoothing / self.n_out) / (1 + self.smoothing) if self.smoothing else P

    def _mean(self, predictions: Array) -> Array:
        return predictions[0] if len(predictions) == 1 else weighted_mean(self.weights, predictions)

    def __getstate__(self) -> dict[str, Any]:
        """Stacks have the same parameters as the networks: they are not pickled."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def score(self, level: float) -> Array:
        """Return the score (n_out,) at which `distribution` has the calibrated quantile of that level.

        Levels are rounded outwards, to thousandths, so that the coverage between two of them is never too small.
        Infinite within a thousandth of 0 or 1, and if too few rows were available for calibration. Raises ValueError if
        the ensemble was not calibrated for intervals.
        """
        require(isinstance(level, Real) and 0 < level < 1, "quantile", "be strictly between 0 and 1", level)
        if self.scores is None or isinstance(self.loss, CrossEntropy):
            raise ValueError("intervals and quantiles are only available for a calibrated regression model")
        return at_level(self.scores, level)

    def ends(self, coverage: float) -> tuple[Array, Array]:
        """Return the scores, each (n_out,), at the ends of the central interval of that coverage."""
        require(isinstance(coverage, Real) and 0 < coverage < 1, "coverage", "be strictly between 0 and 1", coverage)
        return self.score((1 - coverage) / 2), self.score((1 + coverage) / 2)

    def sets(self, P: Array, coverage: float, by_class: bool = False) -> Array:
        """Return true (n, K) for the classes in the prediction set of each row with probabilities P (n, K).

        A set contains the classes whose score is no larger than that of the true class in this fraction of held-out
        rows, or with `by_class` in this fraction of the rows of that class, and always the most probable class. Raises
        ValueError if the ensemble was not calibrated for sets.
        """
        require(isinstance(coverage, Real) and 0 < coverage < 1, "coverage", "be strictly between 0 and 1", coverage)
        if self.scores is None or not isinstance(self.loss, CrossEntropy):
            raise ValueError("prediction sets are only available for a calibrated classification model")
        limits = at_level(self.scores, coverage)
        contained = class_scores(P) <= (limits[1:] if by_class else limits[0])
        contained[np.arange(len(P)), P.argmax(axis=1)] = True
        return contained


def weighted_mean(weights: Sequence[float], predictions: Sequence[Array] | Array) -> Array:
    """Return the mean of predictions (n, k), all of one shape, with weights that sum to 1."""
    P = np.asarray(predictions)
    return np.add.reduce(P * np.asarray(weights, P.dtype)[:, np.newaxis, np.newaxis])


def best_temperature(Z: Array, y: Array, weight: Array | None = None) -> float:
    """Return the temperature T that minimizes the cross-entropy of softmax(Z / T) (Guo et al. 2017, section 4.2).

    Z (n, K) are raw outputs for held-out rows, y (n,) their class numbers.
    """
    loss, Z = CrossEntropy(), Z.astype(np.float64)
    return exp(minimize(lambda t: loss(Z / exp(t), y, weight)[0], log(_MIN_TEMPERATURE), log(_MAX_TEMPERATURE)))


def minimize(function: Callable[[float], float], low: float, high: float, steps: int = 40) -> float:
    """Return the minimizer of a unimodal function, by golden-section search."""
    golden = (5**0.5 - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(steps):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = function(right)
    return (low + high) / 2
