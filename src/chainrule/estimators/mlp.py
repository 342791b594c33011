"""`MLPClassifier` and `MLPRegressor`: scikit-learn's two classes, one import away.

Parameters, fitted attributes and their meanings are those of scikit-learn 1.9; what stands on top comes after them, by
keyword. The mathematics is the engine's: `network_` is a `chainrule.Network`, and `coefs_` and `intercepts_` are views
into its one vector.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import (
    ClassifierMixin,
    RegressorMixin,
    _fit_context,
)
from sklearn.callback import with_callbacks
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import compute_sample_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels

from chainrule.arrays import Array, all_finite
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.estimators.architecture import engine_activation
from chainrule.estimators.base import BaseMLP
from chainrule.estimators.docstrings import CLASSIFIER, REGRESSOR
from chainrule.estimators.labels import check_labels
from chainrule.estimators.shipping import class_target, number_target, with_two_outputs
from chainrule.nn.activations import ACTIVATIONS, ActivationFunction
from chainrule.nn.layers import (
    Activation,
    Bounded,
    Layer,
)
from chainrule.nn.losses import LOSSES, BinaryCrossEntropy, CrossEntropy, Loss, Poisson, as_loss
from chainrule.nn.network import Network

REGRESSION_LOSSES = tuple(name for name in LOSSES if "cross_entropy" not in name)


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, BaseMLP):  # noqa: D101
    __doc__ = CLASSIFIER

    hidden_layer_sizes: Any = (100,)
    activation: Any = "relu"
    _: KW_ONLY
    class_weight: dict[Any, float] | str | list[Any] | None = None
    label_smoothing: float = 0.0

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        X, y = self._rows(X, y, reset)
        check_labels(y)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_known(unique_labels(y), incremental)
        return X, self._label_binarizer.transform(y).astype(bool)

    def _initialize(self, Y: Array, dtype: Any, random_state: np.random.RandomState) -> None:
        super()._initialize(Y, dtype, random_state)
        share = Y.sum(axis=0) / max(len(Y), 1)
        self.class_prior_ = np.append(1 - share, share) if len(share) == 1 else share

    def _check_known(self, classes: Array, incremental: bool) -> None:
        if not incremental and set(classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {classes}"
            )
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _weights(self, X: Any, Y: Array, sample_weight: Any, incremental: bool) -> Array | None:
        weight = super()._weights(X, Y, sample_weight, incremental)
        if self.class_weight is None:
            return weight
        if incremental and self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' needs all rows at once; for partial_fit pass a dict")
        by_class = compute_sample_weight(self.class_weight, self._labels(Y)).astype(X.dtype)
        weight = by_class if weight is None else weight * by_class
        if not (all_finite(weight) and weight.min() >= 0 and weight.any()):
            raise ValueError(
                f"class_weight must be finite, not negative, and not 0 for all rows: {self.class_weight!r}"
            )
        return weight

    @property
    def out_activation_(self) -> str:
        """The output's link: "softmax" for several classes, "logistic" for two or for several labels at once."""
        return "softmax" if isinstance(self.network_.loss, CrossEntropy) else "logistic"

    def _make_loss(self) -> Loss:
        several = self._label_binarizer.y_type_ == "multiclass"
        return CrossEntropy(self.label_smoothing) if several else BinaryCrossEntropy(self.label_smoothing)

    def _has_loss(self, loss: Loss) -> bool:
        return getattr(loss, "label_smoothing", None) == self.label_smoothing

    def _targets(self, Y: Array) -> Array:
        if self.out_activation_ == "softmax":
            return Y.argmax(axis=1) if Y.shape[1] > 1 else Y[:, 0].astype(np.intp)
        return Y.astype(self.network_.dtype)

    def _predictor_target(self) -> ClassTarget:
        if self._several_labels():
            raise ValueError("a model must answer one label a row to be saved; chainrule.save(network_) saves the rest")
        return class_target(self.classes_, self.class_prior_)

    def _answering_network(self) -> Network:
        return with_two_outputs(self.network_)

    def _labels(self, Y: Array) -> Array:
        return self._label_binarizer.inverse_transform(Y.astype(np.int64))

    def _several_labels(self) -> bool:
        return self._label_binarizer.y_type_ == "multilabel-indicator"

    def _stratify(self, Y: Array) -> bool:
        return not self._several_labels() and self.n_outputs_ == 1  # two classes only, as scikit-learn does

    def _probabilities(self, X: Any) -> Array:
        P = self._answers(X)
        return np.hstack([1 - P, P]) if P.shape[1] == 1 else P

    def _predict(self, X: Any) -> Array:
        P = self._probabilities(X)
        if self._several_labels():
            return self._label_binarizer.inverse_transform(P)
        return self.classes_.take(P.argmax(axis=1), mode="clip")  # a single class has no second one to name

    def _default_score(self, y: Array, predictions: Array, weight: Array | None) -> float:
        return accuracy_score(y, predictions, sample_weight=weight)

    def _more_reconstruction_attributes(self) -> dict[str, Any]:
        return {"_label_binarizer": self._label_binarizer}

    def predict(self, X: Any) -> Array:
        """Return the class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        return self._predict(self._validate_rows(X))

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._probabilities(self._validate_rows(X))

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba(X)`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        P = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(P, out=P)

    @available_if(lambda self: self._can_fit_partially())
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Go on for one epoch over X and y, exactly where the last call stopped.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        sample_weight : array-like of shape (n_samples,), default=None
        classes : array-like of shape (n_classes,), default=None
            All classes there will ever be; needed in the first call.

        Returns
        -------
        self
        """
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            several_labels = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if several_labels else classes)
            self.classes_ = unique_labels(classes)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit: {self.classes_!r}")
        return self._fit(X, y, sample_weight, incremental=True)

    @classmethod
    def from_network(cls, network: Network, classes: Any = None, **params: Any) -> Self:
        """Return a fitted classifier of an engine's network whose loss is a cross-entropy.

        Parameters
        ----------
        network : Network
            It is copied.
        classes : array-like of shape (n_classes,), default=None
            Labels in the order of the outputs; None: 0, 1, ...
        **params
            Parameters of the class, for further training.
        """
        if not isinstance(network.loss, CrossEntropy | BinaryCrossEntropy):
            raise ValueError(f"network must have a cross-entropy as its loss, got {network.loss}")
        n_classes = max(network.n_out, 2)
        labels = np.arange(n_classes) if classes is None else np.asarray(classes)
        if len(labels) != n_classes or not np.array_equal(labels, np.unique(labels)):
            raise ValueError(f"classes must be {n_classes} different labels in order, got {classes!r}")
        several_labels = network.n_out > 1 and isinstance(network.loss, BinaryCrossEntropy)
        estimator = cls(**{"label_smoothing": network.loss.label_smoothing} | params)
        estimator._label_binarizer = LabelBinarizer().fit(np.eye(n_classes, dtype=int) if several_labels else labels)
        estimator.classes_ = labels
        estimator._adopt(network, n_outputs=1 if n_classes == 2 and not several_labels else n_classes)
        estimator.class_prior_ = np.full(n_classes, 1 / n_classes)
        return estimator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, BaseMLP):  # noqa: D101
    __doc__ = REGRESSOR

    loss: Any = "squared_error"
    hidden_layer_sizes: Any = (100,)
    activation: Any = "relu"
    _: KW_ONLY
    output_activation: str | ActivationFunction = "identity"
    output_range: tuple[float, float] | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION_LOSSES)), Loss, callable],
        "output_activation": [StrOptions({"logistic", *ACTIVATIONS} - {"step"}), callable],
        "output_range": [tuple, list, None],
    }

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        X, y = self._rows(X, y, reset, y_numeric=True)
        return X, y[:, np.newaxis] if y.ndim == 1 else y

    @property
    def out_activation_(self) -> str:
        """The last step: "exp" under the Poisson loss, else what stands after the last weights."""
        if isinstance(self.network_.loss, Poisson):
            return "exp"
        return "logistic" if self.output_range else str(self.output_activation)

    def _make_loss(self) -> Loss:
        return as_loss(self.loss)

    def _has_loss(self, loss: Loss) -> bool:
        return loss == self._make_loss()

    def _output_layers(self) -> list[Layer]:
        layers: list[Layer] = []
        if self.output_activation != "identity":
            layers.append(Activation(engine_activation(self.output_activation)))
        if self.output_range is not None:
            layers.append(Bounded(*self.output_range))
        return layers

    def _targets(self, Y: Array) -> Array:
        return self.network_.loss.targets(Y, self.network_.n_out, self.network_.dtype)

    def _predictor_target(self) -> NumberTarget:
        return number_target(self.network_.n_out)

    def _labels(self, Y: Array) -> Array:
        return Y[:, 0] if Y.shape[1] == 1 else Y

    def _predict(self, X: Any) -> Array:
        Y = self._answers(X)
        return Y[:, 0] if Y.shape[1] == 1 else Y

    def _default_score(self, y: Array, predictions: Array, weight: Array | None) -> float:
        if predictions.ndim > np.ndim(y):  # several quantiles of one target: the middle one stands for the answer
            predictions = predictions[:, predictions.shape[1] // 2]
        return r2_score(y, predictions, sample_weight=weight)

    def predict(self, X: Any) -> Array:
        """Return the predicted number of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            One column a level where the loss has several quantile levels.
        """
        return self._predict(self._validate_rows(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R2 (Pedregosa et al. 2011); of several quantiles the middle one stands for the answer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        return float(self._default_score(y, self.predict(X), sample_weight))

    @available_if(lambda self: self._can_fit_partially())
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go on for one epoch over X and y, exactly where the last call stopped.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, incremental=True)

    @classmethod
    def from_network(cls, network: Network, **params: Any) -> Self:
        """Return a fitted regressor of an engine's network.

        Parameters
        ----------
        network : Network
            It is copied.
        **params
            Parameters of the class, for further training.
        """
        if isinstance(network.loss, CrossEntropy | BinaryCrossEntropy):
            raise ValueError(f"network must have a regression loss, got {network.loss}")
        return cls(loss=network.loss, **params)._adopt(network, n_outputs=network.n_out)
