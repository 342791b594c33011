"""`MLPClassifier` and `MLPRegressor`, drop-in replacements for scikit-learn's classes.

Parameters and fitted attributes have the names, defaults and meanings of scikit-learn 1.9; additional parameters are
keyword-only. `network_` is the trained `chainrule.Network`, and `coefs_` and `intercepts_` are views of its parameters.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.callback import with_callbacks
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels

from chainrule.arrays import Array, all_finite
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.estimators._sklearn import Interval, StrOptions, fit_context
from chainrule.estimators.architecture import engine_activation
from chainrule.estimators.base import BaseMLP
from chainrule.estimators.labels import check_labels
from chainrule.estimators.shipping import class_target, number_target, with_two_outputs
from chainrule.nn.activations import ACTIVATIONS, ActivationFunction
from chainrule.nn.layers import Activation, Bounded, Layer
from chainrule.nn.losses import LOSSES, BinaryCrossEntropy, CrossEntropy, Loss, Poisson, as_loss
from chainrule.nn.network import Network

_REGRESSION_LOSSES = tuple(name for name in LOSSES if "cross_entropy" not in name)


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multi-layer perceptron classifier, a drop-in replacement for scikit-learn's.

    Minimizes the cross-entropy, under a softmax for multiclass targets and under a sigmoid per output for binary and
    multilabel ones. The parameters up to `max_fun` have the names, defaults and meanings of scikit-learn 1.9.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(100,)
        Number of units in each hidden layer.
    activation : str, callable or sequence of them, default="relu"
        Activation function of the hidden layers: "identity", "logistic", "tanh", "relu" or any other name in
        `chainrule.nn.activations`, or a function `Z -> (A, backward)`, whose derivative is checked before it is used.
        A sequence gives one activation per hidden layer.
    solver : {"lbfgs", "sgd", "adam"}, default="adam"
        Solver for weight optimization. "lbfgs" is SciPy's L-BFGS-B on the full batch, often the best choice for small
        data sets; "sgd" and "adam" are stochastic.
    alpha : float, default=0.0001
        Strength of the L2 penalty, alpha / 2 * sum W^2, which is divided by the number of samples in the batch.
    batch_size : int or "auto", default="auto"
        Number of samples per batch of "sgd" and "adam". "auto" is min(200, n_samples).
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        Learning rate schedule of "sgd": "constant" is `learning_rate_init`; "invscaling" is
        learning_rate_init / (t + 1)^power_t after t samples; "adaptive" divides the rate by 5 each time that training
        stops improving (see `tol`).
    learning_rate_init : float, default=0.001
        Initial learning rate of "sgd" and "adam".
    power_t : float, default=0.5
        Exponent of the "invscaling" learning rate.
    max_iter : int, default=200
        Maximum number of epochs of "sgd" and "adam", or of iterations of "lbfgs".
    shuffle : bool, default=True
        Whether to shuffle the samples in each epoch of "sgd" and "adam".
    random_state : int, RandomState instance or None, default=None
        Seed for the initial weights, the validation split, the shuffling and the dropout. An int gives bitwise
        reproducible results, and the same initial weights as in scikit-learn.
    tol : float, default=1e-4
        Tolerance for the optimization: a smaller improvement of the loss, or of the validation score with
        `early_stopping`, counts as none. For "lbfgs", the gradient norm at which it stops.
    verbose : bool, default=False
        Whether to print the loss of each iteration to stdout.
    warm_start : bool, default=False
        Whether `fit` resumes from the solution of the previous call, including the optimizer's moments.
    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether "sgd" uses Nesterov's momentum, if `momentum` > 0.
    early_stopping : bool, default=False
        Whether to stop "sgd" and "adam" when the score on held-out samples stops improving, and to restore the weights
        with the best score. The samples are those of `validation_data`, or a random `validation_fraction`.
    validation_fraction : float, default=0.1
        Fraction of the training samples to hold out for early stopping.
    beta_1 : float, default=0.9
        Exponential decay rate of the first moment in "adam", in [0, 1).
    beta_2 : float, default=0.999
        Exponential decay rate of the second moment in "adam", in [0, 1).
    epsilon : float, default=1e-8
        Constant for numerical stability in "adam".
    n_iter_no_change : int, default=10
        Maximum number of consecutive epochs without an improvement of at least `tol` in "sgd" and "adam".
    max_fun : int, default=15000
        Maximum number of evaluations of the loss by "lbfgs".
    initialization : str, default=None
        Name of an initializer in `chainrule.nn.initializers`, such as "he_normal". If None, scikit-learn's: Glorot
        uniform for weights and biases.
    dropout : float, default=0.0
        Fraction of the units of each hidden layer to drop during training, in [0, 1).
    normalization : {"batch", "layer"}, default=None
        Normalization before each hidden activation.
    residual : bool, default=False
        Whether to add a skip connection around each hidden layer that is as wide as its input.
    weight_decay : float, default=0.0
        Decoupled weight decay of "adam" on the weight matrices. Unlike that of `alpha`, its effect does not depend on
        the batch size.
    clip_norm : float, default=None
        Maximum norm of the gradient in "sgd" and "adam"; longer gradients are scaled down.
    schedule : str, Schedule or callable, default=None
        Learning rate schedule of "sgd" and "adam": a name in `chainrule.training.schedules`, a Schedule, or a function
        `(epoch, progress) -> factor`, with progress in [0, 1]. The factor multiplies the learning rate.
    validation_data : tuple (X, y), default=None
        Samples to score and to compute the loss on after each epoch of "sgd" and "adam", and to use for early stopping.
    scoring : str or callable, default=None
        Validation score: a scikit-learn scorer or its name. If None, accuracy.
    time_limit : float, default=None
        Maximum training time in seconds; training then stops with the weights it has reached.
    progress_bar : bool, default=False
        Whether to show epoch, loss and remaining time on stderr for "sgd" and "adam".
    callbacks : sequence of chainrule.Callback, default=()
        Callbacks of "sgd" and "adam". For callbacks of scikit-learn's protocol, with any solver, use `set_callbacks`.
    class_weight : dict, "balanced" or list of dict, default=None
        Weights of the classes, as {label: weight}; for multilabel targets, a list with one dict per label. "balanced"
        weights classes inversely to their frequency. If None, all classes have weight 1.
    label_smoothing : float, default=0.0
        Fraction of each target's probability that is spread uniformly over all classes, in [0, 1).

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, in the order of the columns of `predict_proba`.
    class_prior_ : ndarray of shape (n_classes,)
        Relative frequency of each class in the first call of `fit` or `partial_fit`.
    network_ : chainrule.Network
        The trained network.
    predictor_ : chainrule.Predictor
        The model without scikit-learn, which needs NumPy alone: what `save` writes and the exports convert.
    coefs_ : list of ndarray of shape (n_in, n_out)
        Weight matrix of each layer, as views of `network_.theta`.
    intercepts_ : list of ndarray of shape (n_out,)
        Bias vector of each layer, as views of `network_.theta`.
    loss_ : float
        Loss of the last epoch or iteration.
    best_loss_ : float or None
        Minimum loss over all epochs; None with `early_stopping`.
    loss_curve_ : list of float
        Loss of each epoch, averaged over its batches.
    validation_scores_ : list of float or None
        Score on the validation samples after each epoch.
    validation_loss_curve_ : list of float or None
        Loss on the validation samples after each epoch.
    best_validation_score_ : float or None
        Best validation score with `early_stopping`.
    n_iter_ : int
        Number of epochs or iterations of the last fit.
    t_ : int
        Number of training samples seen by "sgd" or "adam", over all calls that resumed from each other.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during `fit`. Defined only if X has feature names that are all strings.
    n_layers_ : int
        Number of layers, including the input.
    n_outputs_ : int
        Number of outputs.
    out_activation_ : {"softmax", "logistic"}
        Name of the output activation.

    See Also
    --------
    MLPRegressor : Multi-layer perceptron regressor.
    TabularClassifier : Ensemble of networks for raw tables, without tuning.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from chainrule import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(solver="lbfgs", class_weight="balanced", alpha=0.1, max_iter=1000, random_state=0)
    >>> model.fit(X, y).predict(X[:1])
    array([0])
    """

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
        prior = Y.sum(axis=0) / max(len(Y), 1)
        self.class_prior_ = np.append(1 - prior, prior) if len(prior) == 1 else prior

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
            raise ValueError("class_weight='balanced' is not supported for partial_fit. Pass a dict of class weights.")
        by_class = compute_sample_weight(self.class_weight, self._labels(Y)).astype(X.dtype)
        weight = by_class if weight is None else weight * by_class
        if not (all_finite(weight) and weight.min() >= 0 and weight.any()):
            raise ValueError(
                f"class_weight must be finite and >= 0, and > 0 for some samples, got {self.class_weight!r}"
            )
        return weight

    @property
    def out_activation_(self) -> str:
        """Name of the output activation: "softmax" for multiclass targets, otherwise "logistic"."""
        return "softmax" if isinstance(self.network_.loss, CrossEntropy) else "logistic"

    def _make_loss(self) -> Loss:
        multiclass = self._label_binarizer.y_type_ == "multiclass"
        return CrossEntropy(self.label_smoothing) if multiclass else BinaryCrossEntropy(self.label_smoothing)

    def _has_loss(self, loss: Loss) -> bool:
        return getattr(loss, "label_smoothing", None) == self.label_smoothing

    def _targets(self, Y: Array) -> Array:
        if self.out_activation_ == "softmax":
            return Y.argmax(axis=1) if Y.shape[1] > 1 else Y[:, 0].astype(np.intp)
        return Y.astype(self.network_.dtype)

    def _predictor_target(self) -> ClassTarget:
        if self._multilabel():
            raise ValueError(
                "a multilabel classifier cannot be saved as a Predictor. Use chainrule.save(network_, path)."
            )
        return class_target(self.classes_, self.class_prior_)

    def _predictor_network(self) -> Network:
        return with_two_outputs(self.network_)

    def _labels(self, Y: Array) -> Array:
        return self._label_binarizer.inverse_transform(Y.astype(np.int64))

    def _multilabel(self) -> bool:
        return self._label_binarizer.y_type_ == "multilabel-indicator"

    def _stratify(self, Y: Array) -> bool:
        return not self._multilabel() and self.n_outputs_ == 1  # as in scikit-learn, for two classes only

    def _probabilities(self, X: Any) -> Array:
        P = self._outputs(X)
        return np.hstack([1 - P, P]) if P.shape[1] == 1 else P

    def _predict(self, X: Any) -> Array:
        P = self._probabilities(X)
        if self._multilabel():
            return self._label_binarizer.inverse_transform(P)
        return self.classes_.take(P.argmax(axis=1), mode="clip")  # clip: a single class has no second one

    def _default_score(self, y: Array, predictions: Array, weight: Array | None) -> float:
        return accuracy_score(y, predictions, sample_weight=weight)

    def _reconstruction_attributes(self) -> dict[str, Any]:
        return super()._reconstruction_attributes() | {"_label_binarizer": self._label_binarizer}

    def predict(self, X: Any) -> Array:
        """Return the predicted class (n_samples,) of each sample; for multilabel targets an indicator matrix."""
        return self._predict(self._validate_rows(X))

    def predict_proba(self, X: Any) -> Array:
        """Return the probability (n_samples, n_classes) of each class, with columns in the order of `classes_`."""
        return self._probabilities(self._validate_rows(X))

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba(X)`."""
        P = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(P, out=P)

    @available_if(lambda self: self._can_fit_partially())
    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch on X and y, resuming exactly where the last call ended; arguments as for `fit`.

        The first call requires `classes`, all classes across all calls.
        """
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)
            self.classes_ = unique_labels(classes)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit: {self.classes_!r}")
        return self._fit(X, y, sample_weight, incremental=True)

    @classmethod
    def from_network(cls, network: Network, classes: Any = None, **params: Any) -> Self:
        """Return a fitted classifier with a copy of a `Network` whose loss is a cross-entropy.

        `classes` (n_classes,) are the labels in the order of the outputs, sorted; default: 0, 1, ... `params` are those
        of the estimator, for further training.
        """
        if not isinstance(network.loss, CrossEntropy | BinaryCrossEntropy):
            raise ValueError(f"network must have a cross-entropy loss, got {network.loss}")
        n_classes = max(network.n_out, 2)
        labels = np.arange(n_classes) if classes is None else np.asarray(classes)
        if len(labels) != n_classes or not np.array_equal(labels, np.unique(labels)):
            raise ValueError(f"classes must be {n_classes} unique labels in sorted order, got {classes!r}")
        multilabel = network.n_out > 1 and isinstance(network.loss, BinaryCrossEntropy)
        estimator = cls(**{"label_smoothing": network.loss.label_smoothing} | params)
        estimator._label_binarizer = LabelBinarizer().fit(np.eye(n_classes, dtype=int) if multilabel else labels)
        estimator.classes_ = labels
        estimator._adopt(network, n_outputs=1 if n_classes == 2 and not multilabel else n_classes)
        estimator.class_prior_ = np.full(n_classes, 1 / n_classes)
        return estimator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron regressor, a drop-in replacement for scikit-learn's.

    The parameters up to `max_fun` have the names, defaults and meanings of scikit-learn 1.9. The loss of a sample is
    the sum over its outputs, for every solver.

    Parameters
    ----------
    loss : str, Loss or callable, default="squared_error"
        Loss function: "squared_error" (half of it), "poisson" (half the deviance, with an exponential output
        activation), "absolute_error", "huber", "quantile", an object such as
        `chainrule.nn.losses.Quantile((0.1, 0.9))`, or a function `(Z, Y) -> (losses, dZ)`, whose derivative is checked
        before it is used.
    hidden_layer_sizes, activation, initialization, dropout, normalization, residual
        The architecture, as in `MLPClassifier`.
    solver, learning_rate, learning_rate_init, power_t, momentum, nesterovs_momentum, beta_1, beta_2, epsilon
        The solver, as in `MLPClassifier`.
    alpha, weight_decay, clip_norm, schedule, batch_size, shuffle, random_state, warm_start
        Regularization, batches and randomness, as in `MLPClassifier`.
    max_iter, max_fun, time_limit, tol, n_iter_no_change, early_stopping, validation_fraction, validation_data
        When to stop, as in `MLPClassifier`.
    verbose, progress_bar, callbacks
        Progress and callbacks, as in `MLPClassifier`.
    scoring : str or callable, default=None
        Validation score: a scikit-learn scorer or its name. If None, R2.
    output_activation : str or callable, default="identity"
        Activation function of the output layer, such as "softplus" for positive predictions: a name in
        `chainrule.nn.activations`, or a function as for `activation`.
    output_range : tuple (low, high), default=None
        Bounds of the predictions: the outputs are passed through a sigmoid that is scaled to this interval.

    Attributes
    ----------
    out_activation_ : str
        Name of the output activation: "exp" for the Poisson loss, "logistic" with `output_range`, otherwise
        `output_activation`.
    network_, predictor_, coefs_, intercepts_, n_features_in_, feature_names_in_, n_layers_, n_outputs_
        The trained model, as in `MLPClassifier`.
    loss_, best_loss_, loss_curve_, validation_scores_, validation_loss_curve_, best_validation_score_, n_iter_, t_
        The course of training, as in `MLPClassifier`.

    See Also
    --------
    MLPClassifier : Multi-layer perceptron classifier, with the shared parameters in full.
    TabularRegressor : Ensemble of networks for raw tables, with prediction intervals.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from chainrule import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor("huber", solver="lbfgs", max_iter=50, alpha=1, tol=0.1, random_state=0)
    >>> model.fit(X, y).predict(X).shape
    (442,)
    """

    loss: Any = "squared_error"
    hidden_layer_sizes: Any = (100,)
    activation: Any = "relu"
    _: KW_ONLY
    output_activation: str | ActivationFunction = "identity"
    output_range: tuple[float, float] | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(set(_REGRESSION_LOSSES)), Loss, callable],
        "output_activation": [StrOptions({"logistic", *ACTIVATIONS} - {"step"}), callable],
        "output_range": [tuple, list, None],
    }

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        X, y = self._rows(X, y, reset, y_numeric=True)
        return X, y[:, np.newaxis] if y.ndim == 1 else y

    @property
    def out_activation_(self) -> str:
        """Name of the output activation: "exp" for the Poisson loss, otherwise the one after the last layer."""
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
        Y = self._outputs(X)
        return Y[:, 0] if Y.shape[1] == 1 else Y

    def _default_score(self, y: Array, predictions: Array, weight: Array | None) -> float:
        if predictions.ndim > np.ndim(y):  # several quantiles of one target: score the middle one
            predictions = predictions[:, predictions.shape[1] // 2]
        return r2_score(y, predictions, sample_weight=weight)

    def predict(self, X: Any) -> Array:
        """Return the predicted values (n_samples,) or (n_samples, n_outputs).

        A loss with several quantile levels has one column per level.
        """
        return self._predict(self._validate_rows(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination, R2, of `predict(X)`; for several quantiles, of the middle one."""
        return float(self._default_score(y, self.predict(X), sample_weight))

    @available_if(lambda self: self._can_fit_partially())
    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on X and y, resuming exactly where the last call ended; arguments as for `fit`."""
        return self._fit(X, y, sample_weight, incremental=True)

    @classmethod
    def from_network(cls, network: Network, **params: Any) -> Self:
        """Return a fitted regressor with a copy of a `Network` whose loss is a regression loss.

        `params` are those of the estimator, for further training.
        """
        if isinstance(network.loss, CrossEntropy | BinaryCrossEntropy):
            raise ValueError(f"network must have a regression loss, got {network.loss}")
        return cls(loss=network.loss, **params)._adopt(network, n_outputs=network.n_out)
