"""`TabularClassifier` and `TabularRegressor`: the best answer a network can give to a table, in one line.

A table goes in as it is: numbers, categories, holes, odd scales. Inside are the encoder of `chainrule.data.tabular`,
the recipe of `chainrule.model.recipe`, five members on five folds, and one calibrated ensemble of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, _fit_context
from sklearn.utils import check_random_state, compute_sample_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, _check_y, check_is_fitted, column_or_1d, validate_data

from chainrule.arrays import Array, as_real, require, require_no_mask
from chainrule.data.reading import Columns, n_rows, read_columns, take_rows
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.estimators.labels import check_labels
from chainrule.model.ensemble import Ensemble
from chainrule.model.fitting import Fitted, MemberTask, fit_predictor
from chainrule.model.recipe import Member
from chainrule.training.callbacks import ProgressBar
from chainrule.training.metrics import METRICS, Metric, as_metric


@dataclass(eq=False, repr=False)
class BaseTabular(BaseEstimator):
    """What both classes share: their parameters, encoding, and training the members."""

    _: KW_ONLY
    n_members: int = 5
    epochs: int | None = None
    metric: str | Metric | Callable[[Array, Array], float] | None = None
    validation_data: tuple[Any, Any] | None = None
    time_limit: float | None = None
    random_state: int | np.random.RandomState | None = None
    n_jobs: int | None = None
    verbose: bool = False

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_members": [Interval(Integral, 2, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left"), None],
        "metric": [StrOptions(set(METRICS)), Metric, callable, None],
        "validation_data": "no_validation",  # which would print a whole table
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": ["boolean"],
    }

    def _columns(self, X: Any, reset: bool) -> Columns:
        """Return a table's columns by name; arrays are validated as scikit-learn does, missing values let through."""
        if names_its_columns(X):
            columns = read_columns(X)
            if reset:
                self.n_features_in_ = len(columns)
                self.feature_names_in_ = np.array(list(columns), dtype=object)
            return columns
        if isinstance(X, np.ma.MaskedArray):
            X = without_mask(X)
        options: dict[str, Any] = {"dtype": None, "ensure_all_finite": "allow-nan", "accept_sparse": ("csr", "csc")}
        return read_columns(validate_data(self, X, **options, reset=reset))

    def _fit(self, columns: Columns, values: Array, target: ClassTarget | NumberTarget, weight: Array | None) -> Fitted:
        """Train, and keep what both classes have."""
        fitted = fit_predictor(
            columns,
            values,
            target,
            weight=weight,
            validation=self._validation(),
            n_members=self.n_members,
            epochs=self.epochs,
            metric=None if self.metric is None else as_metric(self.metric),
            time_limit=self.time_limit,
            seed=int(check_random_state(self.random_state).randint(2**31 - self.n_members)),
            executor=Joblib(self.n_jobs) if self.n_jobs not in (None, 1) else None,
            callbacks_for=(lambda member: [ProgressBar()]) if self.verbose else None,
        )
        self.predictor_, self.histories_ = fitted.predictor, fitted.histories
        return fitted

    def _rows(self, X: Any, y: Any, sample_weight: Any) -> tuple[Columns, Array, Array | None]:
        """Return columns, targets and weights of the rows that count, two at least."""
        columns = self._columns(X, reset=True)
        require_target(self, y)
        y = self._targets(y)
        check_lengths(columns, y)
        return rows_that_count(columns, y, sample_weight)

    def _validation(self) -> tuple[Columns, Array] | None:
        """Return the columns and the targets of `validation_data`, of one row at least."""
        if self.validation_data is None:
            return None
        if not isinstance(self.validation_data, tuple | list):
            raise ValueError(f"validation_data must be (X, y), got a {type(self.validation_data).__name__}")
        if len(self.validation_data) != 2:
            raise ValueError(f"validation_data must be (X, y), got {len(self.validation_data)} parts")
        X, y = self.validation_data
        columns, values = self._columns(X, reset=False), self._targets(y)
        check_lengths(columns, values, least=1)
        return columns, values

    @abstractmethod
    def _targets(self, y: Any) -> Array:
        """Return a target as an array, labels or numbers, or raise ValueError."""

    @property
    def encoder_(self) -> TabularEncoder:
        """What became of each column."""
        return self.predictor_.encoder

    @property
    def ensemble_(self) -> Ensemble:
        """The members and what they were calibrated to."""
        return self.predictor_.ensemble

    def _table(self, X: Any) -> Columns:
        """Return the table to answer for, of a model that is fitted."""
        check_is_fitted(self)
        return self._columns(X, reset=False)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to one file; `chainrule.load` gives its Predictor back, with NumPy alone installed."""
        check_is_fitted(self)
        self.predictor_.save(path)

    def get_feature_names_out(self) -> Array:
        """Return the name of each column that the networks see."""
        check_is_fitted(self)
        return np.array(self.encoder_.get_feature_names_out(), dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


@dataclass(eq=False, repr=False)
class TabularClassifier(ClassifierMixin, BaseTabular):
    """A network for classes, from a table as it is: calibrated probabilities, nothing to tune.

    Parameters
    ----------
    n_members : int, default=5
        Networks, each trained on all rows but one fold: fewer are quicker and less accurate.
    epochs : int, default=None
        Times each member sees its rows, at most; it stops when it no longer improves. None is 64, and for more than
        50,000 rows 64 sqrt(50,000 / rows). More gain little: five members of 64 have 10 % less error than one of 256.
    metric : str or callable, default=None
        What a member's best epoch is chosen by on the rows it is not trained on: "accuracy", "balanced_accuracy",
        "f1_macro", "roc_auc", "log_loss" or "brier", or a function of (y, prediction), class numbers (n,) and
        probabilities (n, n_classes), for which lower is better.
        None is "brier": unlike accuracy it sees how sure the network was, and unlike log loss no row decides it alone.
    validation_data : tuple (X, y), default=None
        Rows apart for that, and for calibration; members are then trained on all rows of `fit`. None: each member has a
        fold of the rows of `fit` for it, so that together they have learned from all.
    time_limit : float, default=None
        Seconds for all members together, which then train for fewer epochs; each keeps its best.
    random_state : int, RandomState instance or None, default=None
        Of folds, initial weights and order of rows.
    n_jobs : int, default=None
        Members trained side by side, as joblib counts them; -1 is one a processor. They take a thread each.
    verbose : bool, default=False
        Show the progress of each member on standard error.
    class_weight : dict or "balanced", default=None
        What each class counts for in training.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    predictor_ : chainrule.Predictor
        What answers: it needs NumPy alone, and `save` writes it to a file.
    ensemble_ : chainrule.model.ensemble.Ensemble
        The members, their temperature, and the smoothing mixed in.
    encoder_ : chainrule.TabularEncoder
        What became of each column; `encoder_.notices` says what was left out and why.
    histories_ : list of chainrule.History
        One a member.
    out_of_fold_proba_ : ndarray of shape (n_samples, n_classes)
        Each training row's probabilities by the member that was not trained on it; NaN with `validation_data`.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Examples
    --------
    >>> from chainrule import TabularClassifier
    >>> colours = ["red", "red", "red", "blue", "blue", "red"]
    >>> table = {"size": [1.0, 1.2, None, 3.1, 3.3, 2.9] * 5, "colour": colours * 5}
    >>> kind = ["small", "small", "small", "large", "large", "large"] * 5
    >>> model = TabularClassifier(epochs=20, random_state=0).fit(table, kind)
    >>> model.predict([{"size": 3.0, "colour": "blue"}, {"size": 1.1, "colour": None}])
    array(['large', 'small'], dtype='<U5')
    """

    class_weight: dict[Any, float] | str | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseTabular._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on a table.

        Parameters
        ----------
        X : DataFrame, dict of columns, list of dicts or array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of any type.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self
        """
        columns, y, weight = self._rows(X, y, sample_weight)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            told = self.classes_.tolist()[0]
            raise ValueError(f"y must have two classes at least, got there is 1 class, {told!r}")
        if self.class_weight is not None:
            by_class = compute_sample_weight(self.class_weight, y)
            require(bool((by_class >= 0).all()), "class_weight", "be >= 0", self.class_weight)
            weight = by_class if weight is None else weight * by_class
        target = ClassTarget.of("y", self.classes_, np.bincount(codes) / len(codes))
        self.out_of_fold_proba_ = self._fit(columns, y, target, weight).out_of_fold[: len(y)]
        return self

    def _targets(self, y: Any) -> Array:
        require_no_mask(y, "y")
        y = _check_y(y)
        check_labels(y)
        return y

    def predict(self, X: Any) -> Array:
        """Return the likeliest class (n_samples,) of each row of a table."""
        P = self.predict_proba(X)
        return self.classes_[P.argmax(axis=1)]

    def predict_proba(self, X: Any) -> Array:
        """Return the probability (n_samples, n_classes) of each class, in the order of `classes_`."""
        table = self._table(X)
        return self.predictor_.predict_proba(table)


@dataclass(eq=False, repr=False)
class TabularRegressor(RegressorMixin, BaseTabular):
    """A network for numbers, from a table as it is: answers in the target's unit, with honest intervals.

    Parameters
    ----------
    n_members, epochs, validation_data, time_limit, random_state, n_jobs, verbose
        As for `TabularClassifier`.
    metric : str or callable, default=None
        What a member's best epoch is chosen by: "mse", "rmse", "mae" or "r2", or a function of (y, prediction), both
        (n, n_outputs) of mean 0 and deviation 1, for which lower is better. None is "mse", which is trained on too.

    Attributes
    ----------
    predictor_, ensemble_, encoder_, histories_, n_features_in_, feature_names_in_
        As for `TabularClassifier`.
    residuals_ : ndarray of shape (n_samples, n_outputs)
        Each training row's absolute error by the member that was not trained on it; NaN with `validation_data`.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import TabularRegressor
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> model = TabularRegressor(epochs=20, random_state=0).fit(X, 3 * X[:, 0] + 50_000)
    >>> bool(abs(model.predict([[1.0, 0.0]])[0] - 50_003) < 1)
    True
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on a table.

        Parameters
        ----------
        X : DataFrame, dict of columns, list of dicts or array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self
        """
        columns, y, weight = self._rows(X, y, sample_weight)
        Y = y[:, np.newaxis] if y.ndim == 1 else y
        target = NumberTarget.of("y", Y)
        expected = target.decode(self._fit(columns, y, target, weight).out_of_fold[: len(y)])
        self.residuals_ = np.abs(expected.reshape(Y.shape) - Y)
        return self

    def _targets(self, y: Any) -> Array:
        y = as_real(y, np.float64, "y")
        missing = np.isnan(y)
        if missing.any():
            raise ValueError(f"y must not be missing, got in row {int(np.argwhere(missing)[0][0]) + 1}")
        y = _check_y(y, multi_output=True, y_numeric=True, estimator=self)
        return column_or_1d(y, warn=True) if y.shape[1:] == (1,) else y

    def predict(self, X: Any) -> Array:
        """Return the predicted number (n_samples,), or numbers (n_samples, n_outputs), for each row of a table."""
        table = self._table(X)
        return self.predictor_.predict(table)

    def predict_interval(self, X: Any, coverage: float = 0.9) -> Array:
        """Return the ends of an interval that holds the true number of `coverage` of new rows.

        By split conformal prediction on rows that training never saw: each row's error is that of the member which was
        not trained on it. Right on average over rows, whatever the data, as long as new rows are like the old ones.

        Returns
        -------
        ndarray of shape (n_samples, 2) or (n_samples, n_outputs, 2)
        """
        table = self._table(X)
        return self.predictor_.predict_interval(table, coverage)

    def predict_quantiles(self, X: Any, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> Array:
        """Return the numbers below which the true number lies in each of these shares of new rows.

        From the same rows as `predict_interval`, whose ends for a coverage of 0.8 are the quantiles 0.1 and 0.9.

        Returns
        -------
        ndarray of shape (n_samples, n_quantiles) or (n_samples, n_outputs, n_quantiles)
        """
        table = self._table(X)
        return self.predictor_.predict_quantiles(table, quantiles)


class Joblib:
    """Members side by side as joblib does it: in threads, or where its `parallel_config` says, such as on a cluster."""

    def __init__(self, n_jobs: int | None) -> None:
        self.n_jobs, self.jobs = n_jobs, effective_n_jobs(n_jobs)

    def __call__(self, works: Sequence[MemberTask]) -> list[Member]:
        return Parallel(self.n_jobs, prefer="threads")(delayed(work)([]) for work in works)


def require_target(estimator: BaseTabular, y: Any) -> None:
    """Raise ValueError when there is no target."""
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")


def rows_that_count(columns: Columns, y: Array, sample_weight: Any) -> tuple[Columns, Array, Array | None]:
    """Return the rows whose weight is not zero, with their weights; the others must decide nothing."""
    if sample_weight is None:
        return columns, y, None
    require_no_mask(sample_weight, "sample_weight")
    weight = _check_sample_weight(sample_weight, np.empty((len(y), 1)), ensure_non_negative=True)
    counts = weight > 0
    return take_rows(columns, counts), y[counts], weight[counts]


def check_lengths(columns: Columns, y: Array, least: int = 2) -> None:
    """Raise ValueError unless the table has as many rows as y, and `least` at least."""
    n = n_rows(columns)
    if n != len(y):
        raise ValueError(f"X and y must have as many rows, got {n} and {len(y)}")
    if n < least:
        raise ValueError(f"X must have n_samples >= {least}, a minimum of {least} is required, got n_samples = {n}")


def without_mask(X: Any) -> Array:
    """Return a masked array's cells, those that are masked missing."""
    missing = np.nan if X.dtype.kind in "biuf" else None
    return np.where(np.ma.getmaskarray(X), np.array(missing), X.data)


def names_its_columns(X: Any) -> bool:
    """Tell whether X is a DataFrame, a dict of columns, a list of dicts or a structured array."""
    if issparse(X):  # some sparse matrices are mappings too
        return False
    if isinstance(X, list):
        return bool(X) and isinstance(X[0], Mapping)
    structured = isinstance(X, np.ndarray) and X.dtype.names is not None
    return isinstance(X, Mapping) or hasattr(type(X), "columns") or structured
