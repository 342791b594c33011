"""Base class of `MLPClassifier` and `MLPRegressor`: parameters, fitting, prediction and fitted attributes."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import zip_longest
from math import nan
from numbers import Real
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from chainrule.arrays import Array, all_finite, as_array, require_no_mask, require_representable_weights
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.errors import OutOfRangeError
from chainrule.estimators._sklearn import (
    MLP_PARAMETER_CONSTRAINTS,
    Interval,
    StrOptions,
    check_sample_weight,
    fit_context,
)
from chainrule.estimators.architecture import (
    NORMALIZATIONS,
    Architecture,
    engine_activation,
    parameters_of,
    same_structure,
)
from chainrule.estimators.hooks import Hooks
from chainrule.estimators.shipping import predictor_of
from chainrule.estimators.solvers import SOLVERS, FitState, SolverOptions, Task
from chainrule.estimators.sparse import dense_by_batch
from chainrule.estimators.validation import Rows, Validation, split_rows
from chainrule.files.checkpoint import Checkpoint
from chainrule.model.predictor import Predictor
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.gradcheck import require_gradients
from chainrule.nn.inference import CHECKED_ROWS
from chainrule.nn.initializers import INITIALIZERS
from chainrule.nn.layers import Dense, Layer, Residual
from chainrule.nn.losses import Loss
from chainrule.nn.network import Network
from chainrule.training.batches import Batch
from chainrule.training.optimizers import Optimizer
from chainrule.training.schedules import SCHEDULES, Schedule

_STOCHASTIC_ONLY = (
    "dropout",
    "weight_decay",
    "clip_norm",
    "schedule",
    "callbacks",
    "validation_data",
    "progress_bar",
)
"""Parameters that lbfgs does not support."""


@dataclass(eq=False, repr=False, kw_only=True)
class BaseMLP(
    SolverOptions, CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC
):
    """Base class of `MLPClassifier` and `MLPRegressor`."""

    random_state: int | np.random.RandomState | None = None
    warm_start: bool = False
    validation_fraction: float = 0.1
    validation_data: tuple[Any, Any] | None = None
    scoring: str | Callable[..., float] | None = None
    initialization: str | None = None
    dropout: float = 0.0
    normalization: str | None = None
    residual: bool = False

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MLP_PARAMETER_CONSTRAINTS,
        "activation": [StrOptions({"logistic", *ACTIVATIONS} - {"step"}), "array-like", callable],
        "initialization": [StrOptions(set(INITIALIZERS)), None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "normalization": [StrOptions(set(NORMALIZATIONS)), None],
        "residual": ["boolean"],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "schedule": [StrOptions(set(SCHEDULES)), Schedule, callable, None],
        "validation_data": [tuple, list, None],
        "scoring": [str, callable, None],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "progress_bar": ["boolean"],
        "callbacks": [tuple, list],
    }

    # What the two subclasses define.

    @abstractmethod
    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        """Return X and the target matrix Y (n, n_outputs), validated as in scikit-learn."""

    def _rows(self, X: Any, y: Any, reset: bool, **options: Any) -> tuple[Any, Array]:
        """Return X and y as validated by scikit-learn; a y with one column becomes a vector."""
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=reset,
            **options,
        )
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    @abstractmethod
    def _make_loss(self) -> Loss:
        """Return the engine's loss."""

    @abstractmethod
    def _has_loss(self, loss: Loss) -> bool:
        """Return whether the parameters describe this loss."""

    @abstractmethod
    def _targets(self, Y: Array) -> Array:
        """Return the target matrix in the form that the engine's loss expects."""

    @abstractmethod
    def _labels(self, Y: Array) -> Array:
        """Return the target matrix in the form in which users pass `y`."""

    @abstractmethod
    def _predict(self, X: Any) -> Array:
        """Return predictions for validated rows."""

    @abstractmethod
    def _predictor_target(self) -> ClassTarget | NumberTarget:
        """Return the target that decodes the network's outputs without scikit-learn."""

    def _predictor_network(self) -> Network:
        """Return a network with the number of outputs that the target expects."""
        return self.network_

    @abstractmethod
    def _default_score(self, y: Array, predictions: Array, weight: Array | None) -> float:
        """Return the accuracy or R2."""

    # Fitting.

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the network to data matrix X and target(s) y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The target values: class labels in classification, real numbers in regression.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights. If None, all samples have equal weight.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Self:
        first = not hasattr(self, "network_") or not (self.warm_start or incremental)
        self._check_parameters(incremental)
        for name, values in (("X", X), ("y", y), ("sample_weight", sample_weight)):
            require_no_mask(values, name)
        X, Y = self._validate_input(X, y, incremental, reset=first)
        weight = self._weights(X, Y, sample_weight, incremental)
        random_state = check_random_state(self.random_state)
        if first:
            self._initialize(Y, X.dtype, random_state)
        elif self.warm_start and not incremental:
            self._check_same_network()
        X = X.astype(self.network_.dtype, copy=False)
        context = self._init_callback_context(max_subtasks=1 if incremental else self.max_iter)
        hooks = Hooks(
            self, context, X, y, weight, publish=self._publish_state, attributes=self._reconstruction_attributes
        )
        context.call_on_fit_task_begin(estimator=self, **hooks.fit_data)
        some = slice(CHECKED_ROWS)
        require_gradients(self.network_, dense_by_batch(X)[some], self._targets(Y)[some])
        rows, validation = self._hold_out((X, Y, weight), random_state)
        task = Task(self.network_, self._batch(rows), validation, incremental, random_state, hooks)
        try:
            self.network_.alpha = self.alpha
            SOLVERS[self.solver](task, self, self._fit_state)
        finally:
            self.network_.alpha = 0.0
            self._publish_state()
        context.call_on_fit_task_end(
            estimator=self, reconstruction_attributes=self._reconstruction_attributes, **hooks.fit_data
        )
        return self

    def _weights(self, X: Any, Y: Array, sample_weight: Any, incremental: bool) -> Array | None:
        if sample_weight is None:
            return None
        weight = check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
        require_representable_weights(weight)
        return weight

    def _initialize(self, Y: Array, dtype: Any, random_state: np.random.RandomState) -> None:
        """Create the network with its initial weights, and reset every counter and curve."""
        self.n_outputs_ = Y.shape[1]
        loss = self._make_loss()
        n_out = max(self.n_outputs_, np.size(getattr(loss, "levels", 0)))
        layers = self._architecture.layers(self.n_features_in_, n_out, self._output_layers())
        self.network_ = Network(layers, loss, seed=0, dtype=np.dtype(dtype).name)
        self._draw_weights(random_state)
        self.n_layers_ = len(self._architecture.sizes()) + 2
        self._fit_state = FitState()
        self._publish_state()

    def _publish_state(self) -> None:
        """Set the fitted attributes that describe the course of training."""
        state = self._fit_state
        self.n_iter_, self.t_ = state.n_iter, state.t
        self.loss_, self.best_loss_, self.loss_curve_ = state.loss, state.best_loss, state.loss_curve
        self.validation_scores_ = state.validation_scores or None
        self.validation_loss_curve_ = state.validation_loss_curve or None
        self.best_validation_score_ = state.best_validation_score

    @property
    def _optimizer(self) -> Optimizer | None:
        """The optimizer, by the name under which scikit-learn's tests read it."""
        return self._fit_state.optimizer

    @property
    def _no_improvement_count(self) -> int:
        """The number of epochs without improvement, by the name under which scikit-learn's tests read it."""
        return self._fit_state.no_improvement_count

    def _check_parameters(self, incremental: bool) -> None:
        """Raise ValueError or TypeError for parameters that contradict each other, before any attribute changes."""
        self._architecture.activations()
        if self.solver == "lbfgs":
            for option in _STOCHASTIC_ONLY:
                if getattr(self, option):
                    raise ValueError(f"{option} requires solver='sgd' or 'adam', got 'lbfgs'")
            if self.normalization == "batch":
                raise ValueError("normalization='batch' requires solver='sgd' or 'adam', got 'lbfgs'")
        if self.solver == "sgd" and self.weight_decay:
            raise ValueError("weight_decay requires solver='adam', got 'sgd'. Use alpha instead.")
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if incremental and self.schedule:
            raise ValueError("partial_fit does not support schedule, which depends on the number of epochs")
        if any(isinstance(callback, Checkpoint) for callback in self.callbacks):
            raise ValueError(
                "callbacks must not contain a Checkpoint: it is not supported by the scikit-learn estimators"
            )
        if self.validation_data is not None and len(self.validation_data) != 2:
            raise ValueError(f"validation_data must be (X, y), got {len(self.validation_data)} items")
        if self.scoring is not None and not self.early_stopping and self.validation_data is None:
            raise ValueError("scoring requires early_stopping=True or validation_data; otherwise nothing is scored")

    def _check_same_network(self) -> None:
        """Raise ValueError if the parameters no longer describe the network that warm_start=True would train."""
        layers = self._architecture.layers(self.n_features_in_, self.network_.n_out, self._output_layers())
        for i, (old, new) in enumerate(zip_longest(self.network_.layers, layers)):
            if not same_structure(old, new):
                change = f"layer {i} was {old}, now {new}"
                raise ValueError(f"warm_start=True cannot change the architecture: {change}")
        if not self._has_loss(self.network_.loss):
            raise ValueError(f"warm_start=True cannot change the loss, which was {self.network_.loss}")

    @property
    def _architecture(self) -> Architecture:
        return Architecture(**{field.name: getattr(self, field.name) for field in fields(Architecture)})

    def _output_layers(self) -> list[Layer]:
        """Return the layers between the last weights and the loss."""
        return []

    def _draw_weights(self, random_state: np.random.RandomState) -> None:
        """Draw the initial weights; by default bit for bit those of scikit-learn for the same random_state."""
        if self.initialization is not None:
            rng = np.random.default_rng(random_state.randint(2**31))
            for layer, params in zip(self.network_.layers, self.network_.params, strict=True):
                layer.init(params, rng)
            return
        hidden = self._architecture.activations()
        last = hidden[-1] if hidden else engine_activation(self.activation)
        for W, b, activation in zip(self.coefs_, self.intercepts_, [*hidden, last], strict=True):
            bound = np.sqrt((2.0 if isinstance(activation, str) and activation == "sigmoid" else 6.0) / sum(W.shape))
            W[...] = random_state.uniform(-bound, bound, W.shape)
            b[...] = random_state.uniform(-bound, bound, b.shape)

    def _hold_out(self, rows: Rows, random_state: np.random.RandomState) -> tuple[Rows, Validation | None]:
        """Return the rows to train on, and those of `validation_data` or a random split if the solver needs them."""
        if self.validation_data is not None:
            X, Y = self._validate_input(*self.validation_data, incremental=True, reset=False)
            held_out: Rows = X.astype(self.network_.dtype, copy=False), Y, None
        elif self.early_stopping and self.solver != "lbfgs":
            rows, held_out = split_rows(rows, self.validation_fraction, self._stratify(rows[1]), random_state)
        else:
            return rows, None
        batch, labels = self._batch(held_out), self._labels(held_out[1])
        return rows, Validation(batch, partial(self._validation_score, batch[0], labels, batch[2]))

    def _batch(self, rows: Rows) -> Batch:
        """Return validated rows in the form that training takes."""
        X, Y, weight = rows
        return dense_by_batch(X), self._targets(Y), weight

    def _stratify(self, Y: Array) -> bool:
        return False

    def _validation_score(self, X: Any, labels: Any, weight: Array | None) -> float:
        """Return the score on validated rows by `scoring`; NaN if a prediction is not finite."""
        if self.scoring is not None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="X does not have valid feature names")
                return float(check_scoring(self, self.scoring)(self, getattr(X, "matrix", X), labels))
        try:
            predictions = self._predict(X)
        except OutOfRangeError:
            return nan
        return float(self._default_score(labels, predictions, weight))

    def _reconstruction_attributes(self) -> dict[str, Any]:
        """Return what a callback needs to rebuild this estimator in its current state."""
        fitted = {name: value for name, value in self.__dict__.items() if name.endswith("_") and name[0] != "_"}
        return fitted | {"network_": self.network_.copy()}

    def _can_fit_partially(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError(f"partial_fit is only available for stochastic solvers, got solver={self.solver!r}")
        return True

    # Prediction.

    def _validate_rows(self, X: Any) -> Any:
        """Return rows in the network's dtype. An array that already fits skips scikit-learn's slower checks."""
        if not hasattr(self, "network_"):
            check_is_fitted(self)
        dtype = self.network_.dtype
        fits = type(X) is np.ndarray and X.dtype == dtype and X.ndim == 2 and X.shape[1] == self.n_features_in_
        if fits and len(X) and not hasattr(self, "feature_names_in_") and all_finite(X):
            return X
        require_no_mask(X, "X")
        X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False)
        with np.errstate(over="ignore"):
            X = X.astype(dtype, copy=False)
        if not all_finite(X.data if issparse(X) else X):
            raise ValueError(f"X must be finite in {dtype}, the dtype of the network, got values beyond its range")
        return dense_by_batch(X)

    def _outputs(self, X: Any) -> Array:
        """Return the network's predictions (n, n_outputs) for validated rows, dense or sparse."""
        return self.network_.loss.predict(self.network_.infer(X))

    def hidden_activations(self, X: Any) -> list[Array]:
        """Return the output (n_samples, n_units) of each hidden layer, after normalization and activation."""
        X = self._validate_rows(X)
        outputs = self.network_.activations(X[:])
        layers = self.network_.layers
        return [outputs[i - 1] for i in range(1, len(layers)) if isinstance(layers[i], Dense | Residual)]

    def transform(self, X: Any) -> Array:
        """Return the output (n_samples, n_units) of the last hidden layer, the features that the network has learned.

        For a network without hidden layers, X itself.
        """
        hidden = self.hidden_activations(X)
        return hidden[-1] if hidden else self._validate_rows(X)[:]

    @property
    def predictor_(self) -> Predictor:
        """The model as a `chainrule.Predictor`, which needs NumPy alone: what `save` writes and the exports convert.

        It reads columns by the names in `feature_names_in_`, or x0, x1, ... if X had none, as float32. Multilabel
        models and those with a single class have none: they raise ValueError.
        """
        check_is_fitted(self)
        names = self.feature_names_in_.tolist() if hasattr(self, "feature_names_in_") else None
        metadata = {"estimator": type(self).__name__, "epochs": [int(self.n_iter_)]}
        return predictor_of(self._predictor_network(), self._predictor_target(), names, **metadata)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to a file, from which `chainrule.load` reads a `Predictor` that needs NumPy alone.

        Raises ValueError if the model has no `predictor_`, or a custom loss or activation, which is code and cannot be
        saved.
        """
        self.predictor_.save(path)

    @property
    def _n_features_out(self) -> int:
        """Number of columns that `transform` returns."""
        return int(self.coefs_[-1].shape[0])

    # Views of the network's parameters.

    @property
    def coefs_(self) -> list[Array]:
        """Weight matrix (n_in, n_out) of each layer, as views of `network_.theta`. Assigning copies the values."""
        return self._parameters("W")

    @coefs_.setter
    def coefs_(self, values: Sequence[Any]) -> None:
        self._set_parameters("W", values)

    @property
    def intercepts_(self) -> list[Array]:
        """Bias vector (n_out,) of each layer, as views of `network_.theta`. Assigning copies the values."""
        return self._parameters("b")

    @intercepts_.setter
    def intercepts_(self, values: Sequence[Any]) -> None:
        self._set_parameters("b", values)

    def _set_parameters(self, kind: str, values: Sequence[Any]) -> None:
        arrays, name = self._parameters(kind), {"W": "coefs_", "b": "intercepts_"}[kind]
        if len(values) != len(arrays):
            raise ValueError(f"{name} must have {len(arrays)} arrays, one per layer, got {len(values)}")
        checked = [
            as_array(value, array.shape, array.dtype, f"{name}[{i}]")
            for i, (value, array) in enumerate(zip(values, arrays, strict=True))
        ]
        for array, value in zip(arrays, checked, strict=True):
            array[...] = value

    def _parameters(self, kind: str) -> list[Array]:
        network = self.network_
        return [network.params[block.layer][block.name] for block in network.blocks if block.kind == kind]

    def _html_repr(self) -> str:
        """Return scikit-learn's diagram, with the network below it once there is one."""
        network = self.network_._repr_html_() if hasattr(self, "network_") else ""
        return f"{super()._html_repr()}{network}"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _adopt(self, network: Network, n_outputs: int) -> Self:
        """Turn into a fitted estimator of a copy of `network`, with the parameters that describe it best."""
        for name, value in parameters_of(network).items():
            setattr(self, name, value)
        self.n_features_in_ = network.n_in
        self._initialize(np.empty((0, n_outputs)), network.dtype, check_random_state(self.random_state))
        self.network_ = network.copy()
        return self
