"""`DaskTabularClassifier` and `DaskTabularRegressor`: the tabular estimators for Dask collections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from numbers import Integral
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from chainrule.data.targets import ClassTarget
from chainrule.distributed.collections import columns_of, predict
from chainrule.distributed.fitting import train
from chainrule.distributed.methods import METHODS
from chainrule.estimators._sklearn import Interval, StrOptions, fit_context
from chainrule.estimators.recipe import RecipeEstimator
from chainrule.estimators.tabular import BaseTabular, TabularClassifier, TabularRegressor


@dataclass(eq=False, repr=False)
class BaseDaskTabular(RecipeEstimator):
    """Base class of `DaskTabularClassifier` and `DaskTabularRegressor`."""

    client: Any = None
    _: KW_ONLY
    n_shards: int = 8
    method: str = "local"
    local_steps: int = 100
    checkpoint: str | PathLike[str] | None = None
    resume: bool = False

    _parameter_constraints: ClassVar[dict[str, Any]] = RecipeEstimator._parameter_constraints | {
        "client": "no_validation",
        "n_shards": [Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions(set(METHODS))],
        "local_steps": [Interval(Integral, 1, None, closed="left")],
        "checkpoint": [str, PathLike, None],
        "resume": ["boolean"],
    }
    _task: ClassVar[str]
    _local: ClassVar[type[BaseTabular]]

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model to a table.

        Parameters
        ----------
        X : Dask DataFrame or Array of shape (n_samples, n_features)
            The table; an array has columns named x0, x1, ...
        y : Dask Series or Array of shape (n_samples,), or (n_samples, n_outputs) in regression
            Class labels, or numbers, in the same partitions as `X`. Rows in which it is missing are not used.
        sample_weight : Dask Series or Array of shape (n_samples,), default=None
            Sample weights, in the same partitions. If None, all samples have equal weight.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        chainrule.ClusterError
            If the scheduler is lost, if there is no worker for five minutes, or if several workers die of the same
            task. With `checkpoint`, call `fit` again with `resume=True` on another cluster.
        """
        fitted = train(
            self.client,
            X,
            y,
            sample_weight,
            task=self._task,
            n_shards=self.n_shards,
            method=self.method,
            local_steps=self.local_steps,
            checkpoint=self.checkpoint,
            resume=self.resume,
            **self._training_options(),
        )
        self._column_names = columns_of(X)
        self.n_features_in_ = len(self._column_names)
        if hasattr(X, "columns"):
            self.feature_names_in_ = np.array(self._column_names, dtype=object)
        self.predictor_, self.histories_ = fitted.predictor, fitted.histories
        self.notices_ = fitted.notices + fitted.findings
        if isinstance(self.predictor_.target, ClassTarget):
            self.classes_ = self.predictor_.classes
        return self

    def to_local(self) -> BaseTabular:
        """Return the model as the estimator for one machine, which needs no Dask."""
        check_is_fitted(self)
        local = self._local(**{of.name: getattr(self, of.name) for of in fields(RecipeEstimator)})
        for name, value in vars(self).items():
            if name.endswith("_") and not name.startswith("_"):
                setattr(local, name, value)
        local._column_names = self._column_names
        return local

    def _predict(self, X: Any, method: str, **options: Any) -> Any:
        check_is_fitted(self)
        return predict(self.client, self.predictor_, X, method, **options)

    def predict(self, X: Any) -> Any:
        """Return the predictions (n_samples,) for a Dask collection, lazily: an Array, or a Series for a DataFrame."""
        return self._predict(X, "predict")

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to a file, from which `chainrule.load` reads a `Predictor` that needs NumPy alone."""
        check_is_fitted(self)
        self.predictor_.save(path)

    def __getstate__(self) -> dict[str, Any]:
        """A client is not pickled: set the attribute `client`, or use the default one, after unpickling."""
        return super().__getstate__() | {"client": None}

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted estimator with the same parameters and the same client, which cannot be copied."""
        parameters = self.get_params(deep=False)
        client = parameters.pop("client")
        return type(self)(client, **{name: clone(value, safe=False) for name, value in parameters.items()})


@dataclass(eq=False, repr=False)
class DaskTabularClassifier(ClassifierMixin, BaseDaskTabular):
    """`chainrule.TabularClassifier` for Dask collections: trained by the workers that have the rows.

    Training is over shards of the rows, not over workers: the same model, to the bit, for any number of workers of one
    kind of processor, also if some of them are lost or join late. It differs from the model of one machine; see
    "On a cluster" in the documentation for by how much, and for when one machine is faster.

    Parameters
    ----------
    client : dask.distributed.Client, default=None
        Connection to the cluster. If None, the default client. It is not pickled.
    n_shards : int, default=8
        Number of parts into which the rows are divided for training. Each network is trained by at most so many workers
        at the same time, but up to 16 networks are trained at once. The model depends on it.
    method : {"local", "exact"}, default="local"
        How the shards are trained together. "local": each takes `local_steps` steps of its own from common weights,
        then the weights follow the mean of the results (DiLoCo). "exact": one step follows the sum of the gradients of
        a batch from each shard, as on one machine with batches `n_shards` times as large; it communicates more.
    local_steps : int, default=100
        Steps between two synchronizations with `method="local"`.
    checkpoint : str or path, default=None
        File to save a checkpoint to at the end of each round.
    resume : bool, default=False
        Whether to resume from `checkpoint` if the file exists.
    quality, n_folds, hidden_layer_sizes, activation, learning_rate, dropout, weight_decay, batch_size, epochs, \
metric, time_limit, random_state
        As for `chainrule.TabularClassifier`. Folds hold out a sample of the rows, 32,768 of all of them together at
        most, and may divide copies of a row.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    predictor_ : chainrule.Predictor
        The model without Dask, which needs NumPy alone; `save` writes it to a file.
    histories_ : list of chainrule.History
        Training history of each member; its epochs are rounds.
    notices_ : list of str
        Messages about the training.
    n_features_in_ : int
        Number of columns seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen during `fit`, if it was passed a DataFrame.
    """

    _task: ClassVar[str] = "classification"
    _local: ClassVar[type[BaseTabular]] = TabularClassifier

    def predict_proba(self, X: Any) -> Any:
        """Return the class probabilities (n_samples, n_classes) for a Dask collection, lazily, of its kind."""
        return self._predict(X, "predict_proba")


@dataclass(eq=False, repr=False)
class DaskTabularRegressor(RegressorMixin, BaseDaskTabular):
    """`chainrule.TabularRegressor` for Dask collections: trained by the workers that have the rows.

    See `DaskTabularClassifier`.

    Parameters
    ----------
    client, n_shards, method, local_steps, checkpoint, resume
        As for `DaskTabularClassifier`.
    quality, n_folds, hidden_layer_sizes, activation, learning_rate, dropout, weight_decay, batch_size, epochs, \
metric, time_limit, random_state
        As for `chainrule.TabularRegressor`.

    Attributes
    ----------
    predictor_, histories_, notices_, n_features_in_, feature_names_in_
        As for `DaskTabularClassifier`.
    """

    _task: ClassVar[str] = "regression"
    _local: ClassVar[type[BaseTabular]] = TabularRegressor

    def predict_interval(self, X: Any, coverage: float = 0.9) -> Any:
        """Return the ends (n_samples, 2) of prediction intervals for a Dask collection, lazily, of its kind."""
        return self._predict(X, "predict_interval", coverage=coverage)

    def predict_quantiles(self, X: Any, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> Any:
        """Return quantiles (n_samples, n_quantiles) for a Dask collection, lazily, of its kind."""
        return self._predict(X, "predict_quantiles", quantiles=quantiles)
