"""`TabularClassifier` and `TabularRegressor`: accurate, calibrated networks for raw tables, without tuning.

A table may have numeric and categorical columns, dates and missing values. `chainrule.data.tabular` encodes it,
`chainrule.model.portfolio` trains networks that see the numbers differently, each on four of five folds, and the
held-out rows weight them and calibrate their ensemble.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from numbers import Integral
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from chainrule.arrays import Array, as_real, require, require_no_mask
from chainrule.data.cells import missing_rows
from chainrule.data.hints import suggestions
from chainrule.data.parts import parts_of
from chainrule.data.reading import Columns, n_rows, read_columns, take_rows
from chainrule.data.splits import group_codes, time_numbers
from chainrule.data.survey import Parts
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget, missing_notices, read_target, target_notices
from chainrule.estimators._sklearn import Interval, StrOptions, check_sample_weight, check_y, fit_context
from chainrule.estimators.labels import check_labels
from chainrule.estimators.recipe import RecipeEstimator
from chainrule.insight.explanation import Explanation
from chainrule.model.ensemble import Ensemble
from chainrule.model.executors import Executor, MemberTask, Serial
from chainrule.model.fitting import Fitted, encoder_for, fit_predictor
from chainrule.model.larger import Larger, available_memory
from chainrule.model.progress import Watched
from chainrule.model.recipe import Member


@dataclass(frozen=True)
class _Rows:
    """Rows to train on: columns, targets, weights, group numbers and times.

    `used` (n,) is true for these rows among those passed to `fit`, and `notices` are about their targets. If they are a
    sample of a table that is read in parts, `larger` is the table.
    """

    columns: Columns
    y: Array
    weight: Array | None
    groups: Array | None
    times: Array | None
    used: Array
    notices: list[str]
    larger: Larger | None = None

    def among_all(self, values: Array) -> Array:
        """Return numbers for these rows as numbers for all rows passed to `fit`, NaN for those not used."""
        numbers = np.full((len(self.used), *values.shape[1:]), np.nan, values.dtype)
        numbers[self.used] = values
        return numbers


@dataclass(eq=False, repr=False)
class BaseTabular(RecipeEstimator):
    """Base class of `TabularClassifier` and `TabularRegressor`."""

    _: KW_ONLY
    validation_data: tuple[Any, Any] | None = None
    n_jobs: int | None = None
    verbose: bool = False
    max_memory: int | None = None

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True, "time": True}
    """With scikit-learn's metadata routing, groups and time are passed on without a request."""

    _parameter_constraints: ClassVar[dict[str, Any]] = RecipeEstimator._parameter_constraints | {
        "validation_data": "no_validation",  # its message would print the whole table
        "n_jobs": [Integral, None],
        "verbose": ["boolean"],
        "max_memory": [Interval(Integral, 2**20, None, closed="left"), None],
    }

    def _columns(self, X: Any, reset: bool) -> Columns:
        """Return a table's columns by the names seen in `fit`, which it remembers if `reset` is True.

        If one of the two tables has no column names, the columns go by position, with scikit-learn's warning.
        """
        if _has_column_names(X):
            columns = read_columns(X)
            if not reset:
                return self._by_name(columns)
            self.n_features_in_ = len(columns)
            self.feature_names_in_ = np.array(list(columns), dtype=object)
        else:
            if isinstance(X, np.ma.MaskedArray):
                X = _fill_masked(X)
            options: dict[str, Any] = {"dtype": None, "ensure_all_finite": "allow-nan", "accept_sparse": ("csr", "csc")}
            columns = read_columns(validate_data(self, X, **options, reset=reset))
        if reset:
            self._column_names = list(columns)  # feature_names_in_ may be cleared: SHAP does it to avoid the warning
        return dict(zip(self._column_names, columns.values(), strict=True))

    def _by_name(self, columns: Columns) -> Columns:
        """Return named columns unchanged, or under the names of a matrix if `fit` has seen one."""
        if hasattr(self, "feature_names_in_") or not columns.keys().isdisjoint(self._column_names):
            return columns
        estimator, n = type(self).__name__, self.n_features_in_
        warnings.warn(f"X has feature names, but {estimator} was fitted without feature names", stacklevel=2)
        if len(columns) != n:
            raise ValueError(f"X has {len(columns)} features, but {estimator} is expecting {n} features as input")
        return dict(zip(self._column_names, columns.values(), strict=True))

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, time: Any = None) -> Self:
        """Fit the model to a table.

        Parameters
        ----------
        X : DataFrame, dict of columns, list of dicts or array-like of shape (n_samples, n_features), or path
            The table; arrays and sparse matrices have columns named x0, x1, ... A path of a file, a folder or a pattern
            such as "2024-*.parquet", a polars LazyFrame or a pyarrow Dataset is read in parts, and may be larger than
            memory: see `max_memory`.
        y : array-like of shape (n_samples,), or (n_samples, n_outputs) in regression; or str
            Class labels, or numbers. Rows in which it is missing are not used, with a warning. In regression, numbers
            such as $12.50 are read as numbers, and rows in which it is not a number are not used either. For a table
            that is read in parts, the name of its column.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights. If None, all samples have equal weight. For a table that is read in parts, the names of the
            columns of weights, groups and times; that of times is an input, too, and the others are not.
        groups : array-like of shape (n_samples,), default=None
            Group of each row, such as a patient or a customer, if predictions will be for new groups. Folds never share
            a group, so that intervals and probabilities are calibrated for new ones. Leave the column out of `X`. If
            None, folds never share copies of a row: rows equal in all columns and in `y`, more often than by chance.
        time : array-like of shape (n_samples,), default=None
            Time of each row, dates or numbers, if predictions will be for later rows. All members then hold out the
            latest fifth of the rows, and train on rows that are not later. With `groups`, these rows do not share
            a group either; rows that would violate this are not used.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        for name, values in (("groups", groups), ("time", time)):
            if values is not None and self.validation_data is not None:
                raise ValueError(f"{name} must be None with validation_data, which replaces the folds")
        parts = parts_of(X)
        if parts is None:
            rows = self._rows(X, y, sample_weight, groups, time)
        else:
            rows = self._sample(parts, {"y": y, "sample_weight": sample_weight, "groups": groups, "time": time})
        self._learn(rows)
        return self

    @abstractmethod
    def _learn(self, rows: _Rows) -> None:
        """Train on the rows and set the fitted attributes."""

    def _fit(
        self, rows: _Rows, target: ClassTarget | NumberTarget, weight: Array | None, class_weights: Array | None = None
    ) -> Fitted:
        """Train the members and set the fitted attributes that both classes have.

        `weight` (n,) are those of the rows, in which those of their classes (K,) are contained.
        """
        values = rows.y if isinstance(target, ClassTarget) else rows.among_all(rows.y)
        validation, about_validation = self._validation()
        for notice in rows.notices + target_notices(target, values) + about_validation:
            warnings.warn(notice, UserWarning, stacklevel=5)  # the line that calls fit, which is decorated
        encoder = rest = None
        if rows.larger is not None:
            encoder = rows.larger.fit(encoder_for(target), rows.columns)
            if not rows.larger.in_memory:
                rest = partial(rows.larger.rest, encoder, target, np.flatnonzero(rows.used), None, class_weights)
        fitted = fit_predictor(
            rows.columns,
            rows.y,
            target,
            weight=weight,
            groups=rows.groups,
            times=rows.times,
            validation=validation,
            executor=self._executor(shared=rest is not None),
            encoder=encoder,
            rest=rest,
            **self._training_options(),
        )
        self.predictor_, self.histories_ = fitted.predictor, fitted.histories
        remedies = (None if rows.groups is not None else "groups=", None if rows.times is not None else "time=")
        self.notices_ = rows.notices + about_validation + fitted.notices + fitted.findings
        self.notices_ += suggestions(rows.columns, *remedies)
        return fitted

    def _executor(self, shared: bool) -> Executor:
        """Return what trains the members; if they share a file, in this process."""
        executor: Executor = Serial() if self.n_jobs in (None, 1) else _Joblib(self.n_jobs, shared)
        return Watched(executor) if self.verbose else executor

    def _sample(self, parts: Parts, names: Mapping[str, Any]) -> _Rows:
        """Return the rows in memory of a table that is read in parts, with columns of these names, by argument."""
        for argument, name in names.items():
            valid = isinstance(name, str) or (name is None and argument != "y")
            require(valid, argument, "be the name of a column of a table that is read in parts", name)
        given = [name for name in names.values() if name is not None]
        require(len(set(given)) == len(given), ", ".join(names), "be different columns", given)
        y, weight, group, time = names.values()
        larger = Larger(parts, y, self.max_memory or available_memory(), weight=weight, group=group, time=time)
        sample = larger.survey.sample
        inputs = {name: cells for name, cells in sample.items() if name not in (y, weight, group)}
        groups, times = (None if name is None else sample[name] for name in (group, time))
        rows = self._rows(inputs, sample[y], larger.weights(sample), groups, times, larger.survey.rows)
        return replace(rows, larger=larger)

    def _rows(self, X: Any, y: Any, sample_weight: Any, groups: Any, time: Any, numbers: Array | None = None) -> _Rows:
        """Return the rows with a known target and positive weight; at least 2 targets are known.

        `numbers` (n,) are the indices of the rows in a larger table, for messages.
        """
        columns = self._columns(X, reset=True)
        _require_target(self, y)
        y, known, notices = self._targets(columns, y, min_rows=2)
        n = len(known)
        weight = _weights(sample_weight, n)
        used = known if weight is None else known & (weight > 0)
        groups, time = _cells("groups", groups, n), _cells("time", time, n)
        numbers = np.flatnonzero(used) if numbers is None else numbers[used]
        return _Rows(
            _take(columns, used),
            y[used[known]],
            None if weight is None else weight[used],
            None if groups is None else group_codes("groups", groups[used], rows=numbers),
            None if time is None else time_numbers("time", time[used], rows=numbers),
            used,
            notices,
        )

    def _validation(self) -> tuple[tuple[Columns, Array] | None, list[str]]:
        """Return the columns and targets of `validation_data`, at least 1 of them known, and notices about them."""
        if self.validation_data is None:
            return None, []
        if not isinstance(self.validation_data, tuple | list):
            raise ValueError(f"validation_data must be (X, y), got a {type(self.validation_data).__name__}")
        if len(self.validation_data) != 2:
            raise ValueError(f"validation_data must be (X, y), got {len(self.validation_data)} items")
        X, y = self.validation_data
        columns = self._columns(X, reset=False)
        values, known, notices = self._targets(columns, y, min_rows=1)
        return (_take(columns, known), values), [f"validation_data: {notice}" for notice in notices]

    def _targets(self, columns: Columns, y: Any, min_rows: int) -> tuple[Array, Array, list[str]]:
        """Return the known targets, true (n,) for the rows they belong to, and notices about the cells.

        Raises ValueError unless y has as many rows as the table, and at least `min_rows` of them are known.
        """
        require_no_mask(y, "y")
        cells, known, notices = self._read_target(y)
        _check_lengths(columns, len(known), min_rows)
        n_known = int(known.sum())
        if n_known < min_rows:
            raise ValueError(f"y must be known in at least {min_rows} rows, got {n_known}")
        values = self._checked_targets(cells if n_known == len(known) else cells[known])
        return values, known, notices + missing_notices("y", ~known)

    @abstractmethod
    def _read_target(self, y: Any) -> tuple[Any, Array, list[str]]:
        """Return the cells as the command line reads them, true (n,) where they are known, and notices about them."""

    @abstractmethod
    def _checked_targets(self, cells: Any) -> Array:
        """Return known cells as an array of labels or numbers, or raise ValueError."""

    @property
    def encoder_(self) -> TabularEncoder:
        """The fitted encoder of the table's columns."""
        return self.predictor_.encoder

    @property
    def ensemble_(self) -> Ensemble:
        """The calibrated ensemble of the members."""
        return self.predictor_.ensemble

    def _table(self, X: Any) -> Columns:
        """Return the columns of a table to predict; raise NotFittedError if the model is not fitted."""
        check_is_fitted(self)
        return self._columns(X, reset=False)

    def explain(self, X: Any, *, background: Any = None, permutations: int | None = None, seed: int = 0) -> Explanation:
        """Return the contribution of each column to the prediction for each row: exact or sampled Shapley values.

        They sum to prediction - baseline, in the unit of the target or, for classes, in log-odds. See
        `chainrule.explain`.

        Parameters
        ----------
        X : DataFrame, dict of columns, list of dicts or array-like of shape (n_samples, n_features)
            The rows to explain.
        background : table like X, default=None
            The rows to compare with. If None, a sample of 64 training rows that the model contains.
        permutations : int, default=None
            Number of pairs of orders of the columns to sample. If None, all coalitions of up to 10 columns are valued,
            and of more columns 2 to 8 pairs of orders are sampled.
        seed : int, default=0
            Seed of the orders.

        Returns
        -------
        explanation : chainrule.Explanation
        """
        table = self._table(X)
        background = None if background is None else self._columns(background, reset=False)
        return self.predictor_.explain(table, background=background, permutations=permutations, seed=seed)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to a file, from which `chainrule.load` reads a `Predictor` that needs NumPy alone."""
        check_is_fitted(self)
        self.predictor_.save(path)

    def get_feature_names_out(self) -> Array:
        """Return the names of the encoded features, the networks' inputs."""
        check_is_fitted(self)
        return np.array(self.encoder_.get_feature_names_out(), dtype=object)

    def _html_repr(self) -> str:
        """Return scikit-learn's diagram, with the model below it once there is one."""
        model = self.predictor_._repr_html_() if hasattr(self, "predictor_") else ""
        return f"{super()._html_repr()}{model}"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


@dataclass(eq=False, repr=False)
class TabularClassifier(ClassifierMixin, BaseTabular):
    """Ensemble of networks that classifies the rows of a raw table, with calibrated probabilities and without tuning.

    Numeric and categorical columns, dates and missing values are encoded by a `chainrule.TabularEncoder`. Tables to
    predict are matched to the training table by column name, in any order; if one of the two has no column names, by
    position, with a warning.

    Parameters
    ----------
    quality : {"fast", "default", "best"}, default="default"
        How much to train. "fast" takes less than a tenth of the default's time. "best" trains a portfolio of 18
        variants of its networks, in regression 19, as many as there is time for within `time_limit` or an hour, and
        weights them by their errors out of fold.
    n_folds : int, default=None
        Number of folds. For each, networks are trained on all the other folds: one that sees the numbers as they are,
        in regression with periodic functions of them, one that predicts from training rows nearby in a space that it
        learns, and a linear one. If None, 5, or 3 with `quality="fast"`.
    hidden_layer_sizes : sequence of int, default=None
        Units of each hidden layer. If None, (128, 128, 128).
    activation : str, default=None
        Activation of the hidden layers. If None, "selu", or "mish" in regression.
    learning_rate : float, default=None
        Learning rate of Adam at the start of the schedule. If None, 0.04, or 0.07 in regression.
    dropout : float, default=None
        Fraction of each hidden layer's outputs that is zeroed in training. If None, 0.
    weight_decay : float, default=None
        Decoupled weight decay: each step multiplies weights by 1 - rate * weight_decay. If None, 0.
    batch_size : int, default=None
        Rows in a batch. If None, an eighth of the training rows, from 32 to 256.
    epochs : int, default=None
        Maximum number of epochs per member; training stops early when the validation metric no longer improves. If
        None, 64, or 64 sqrt(50,000 / n_samples) for more than 50,000 samples; 16 with `quality="fast"`.
    metric : str or callable, default=None
        Metric on the held-out fold that selects each member's best epoch: "accuracy", "balanced_accuracy", "f1_macro",
        "roc_auc", "log_loss" or "brier", or a function of (y, prediction), class indices (n,) and probabilities
        (n, n_classes), for which lower is better. If None, "brier": unlike accuracy it depends on the predicted
        probability, and unlike log loss no single row can dominate it.
    validation_data : tuple (X, y), default=None
        Validation rows that replace the held-out folds in selecting the best epoch and in calibration; every member is
        then trained on all rows passed to `fit`. If None, each member holds out a different fold.
    time_limit : float, default=None
        Time limit in seconds for training all members, which then train for fewer epochs and keep the best one. If
        None, none, or an hour with `quality="best"`.
    random_state : int, RandomState instance or None, default=None
        Seed for the folds, the initial weights and the shuffling.
    n_jobs : int, default=None
        Number of members trained in parallel by joblib, one thread each; None means 1, -1 all processors.
    verbose : bool, default=False
        Whether to show a progress bar: one for all members, in a notebook or on stderr.
    max_memory : int, default=None
        Bytes of memory for a table that is read in parts. If it does not fit, a sample of its rows, at most 100,000, is
        what this class describes: the folds, the calibration, `out_of_fold_proba_`. All members are trained on all the
        other rows, too, which are encoded in a temporary file. If None, half of what is free.
    class_weight : dict or "balanced", default=None
        Weights of the classes in training, as {label: weight}. "balanced" weights classes inversely to their frequency.
        If None, all classes have weight 1.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    predictor_ : chainrule.Predictor
        The model without scikit-learn, which needs NumPy alone; `save` writes it to a file.
    ensemble_ : chainrule.model.ensemble.Ensemble
        The members, with their calibrated temperature and smoothing.
    encoder_ : chainrule.TabularEncoder
        The fitted encoder; `encoder_.notices` lists the columns that were left out, and why.
    histories_ : list of chainrule.History
        Training history of each member.
    notices_ : list of str
        Messages about the training: targets that are missing, rows that are copies, columns that look like groups or
        times, and what the time limit cut short.
    out_of_fold_proba_ : ndarray of shape (n_samples, n_classes)
        Probabilities of each training row, predicted by the member that did not train on it; NaN for rows that are not
        used, with `validation_data`, and with `time` for all but the latest rows.
    n_features_in_ : int
        Number of columns seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen during `fit`, if it was passed a table with names.

    Examples
    --------
    >>> from chainrule import TabularClassifier
    >>> colors = ["red", "red", "red", "blue", "blue", "red"]
    >>> table = {"size": [1.0, 1.2, None, 3.1, 3.3, 2.9] * 5, "color": colors * 5}
    >>> kind = ["small", "small", "small", "large", "large", "large"] * 5
    >>> model = TabularClassifier(epochs=20, random_state=0).fit(table, kind)
    >>> model.predict([{"size": 3.0, "color": "blue"}, {"size": 1.1, "color": None}])
    array(['large', 'small'], dtype='<U5')
    """

    class_weight: dict[Any, float] | str | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseTabular._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def _learn(self, rows: _Rows) -> None:
        y, weight, class_weights = rows.y, rows.weight, None
        self.classes_, first, codes = np.unique(y, return_index=True, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must have at least 2 classes, got 1 class: {self.classes_.tolist()[0]!r}")
        if self.class_weight is not None:
            by_class = compute_sample_weight(self.class_weight, y)
            require(bool((by_class >= 0).all()), "class_weight", "be >= 0", self.class_weight)
            weight, class_weights = by_class if weight is None else weight * by_class, by_class[first]
        target = ClassTarget.of("y", self.classes_, np.bincount(codes) / len(codes))
        fitted = self._fit(rows, target, weight, class_weights)
        self.out_of_fold_proba_ = rows.among_all(fitted.out_of_fold[: len(y)])

    def _read_target(self, y: Any) -> tuple[Any, Array, list[str]]:
        labels = column_or_1d(np.asarray(y))
        if labels.dtype.kind in "OU":  # NumPy converts a missing cell among text to text
            labels = np.asarray(y, dtype=object).reshape(len(labels))
        known = ~missing_rows("y", labels)
        return y if known.all() else labels, known, []

    def _checked_targets(self, cells: Any) -> Array:
        if getattr(cells, "dtype", None) == np.object_ and not any(isinstance(label, str) for label in np.ravel(cells)):
            cells = np.array(cells.tolist())
        labels = check_y(cells)
        check_labels(labels)
        return labels

    def predict(self, X: Any) -> Array:
        """Return the most probable class (n_samples,) of each row of a table."""
        P = self.predict_proba(X)
        return self.classes_[P.argmax(axis=1)]

    def predict_proba(self, X: Any) -> Array:
        """Return the class probabilities (n_samples, n_classes), with columns in the order of `classes_`."""
        table = self._table(X)
        return self.predictor_.predict_proba(table)

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba(X)`."""
        return np.log(self.predict_proba(X))

    def predict_set(self, X: Any, coverage: float = 0.9, by_class: bool = False) -> list[list[Any]]:
        """Return for each row a list of classes that contains the true one in a fraction `coverage` of new rows.

        Conformal prediction on rows held out from training: the coverage holds on average over rows, if new rows come
        from the same distribution as the training rows. With `by_class`, it holds for the rows of each class, and sets
        are larger. The most probable class is always in the set, and first.
        """
        table = self._table(X)
        return self.predictor_.predict_set(table, coverage, by_class)


@dataclass(eq=False, repr=False)
class TabularRegressor(RegressorMixin, BaseTabular):
    """Ensemble of networks that predicts numbers from the rows of a raw table, with conformal prediction intervals.

    Numeric and categorical columns, dates and missing values are encoded by a `chainrule.TabularEncoder`. Tables to
    predict are matched to the training table by column name, in any order; if one of the two has no column names, by
    position, with a warning.

    Parameters
    ----------
    quality, n_folds, hidden_layer_sizes, activation, learning_rate, dropout, weight_decay, batch_size, epochs, \
validation_data, time_limit, random_state, n_jobs, verbose, max_memory
        As for `TabularClassifier`.
    metric : str or callable, default=None
        Metric on the held-out fold that selects each member's best epoch: "mse", "rmse", "mae" or "r2", or a function
        of (y, prediction), both (n, n_outputs) with mean 0 and standard deviation 1, for which lower is better. If
        None, "mse", the training loss.

    Attributes
    ----------
    predictor_, ensemble_, encoder_, histories_, notices_, n_features_in_, feature_names_in_
        As for `TabularClassifier`.
    residuals_ : ndarray of shape (n_samples, n_outputs)
        Absolute error of each training row, predicted by the member that did not train on it; NaN for rows that are not
        used, with `validation_data`, and with `time` for all but the latest rows.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import TabularRegressor
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> model = TabularRegressor(epochs=20, random_state=0).fit(X, 3 * X[:, 0] + 50_000)
    >>> bool(abs(model.predict([[1.0, 0.0]])[0] - 50_003) < 1)
    True
    """

    def _learn(self, rows: _Rows) -> None:
        y, weight = rows.y, rows.weight
        Y = y[:, np.newaxis] if y.ndim == 1 else y
        target = NumberTarget.of("y", Y)
        out_of_fold = self._fit(rows, target, weight).out_of_fold[: len(y)]
        expected = self.predictor_.target.decode(out_of_fold)
        self.residuals_ = rows.among_all(np.abs(expected.reshape(Y.shape) - Y))

    def _read_target(self, y: Any) -> tuple[Any, Array, list[str]]:
        notices: list[str] = []
        cells, given = y, np.asarray(y)
        if given.ndim == 1 and given.dtype.kind in "OU":
            cells, notices = read_target("y", np.asarray(y, dtype=object), "regression")
        Y = np.atleast_1d(as_real(cells, np.float64, "y"))
        return Y, ~np.isnan(Y).any(axis=tuple(range(1, Y.ndim))), notices

    def _checked_targets(self, cells: Any) -> Array:
        y = check_y(cells, multi_output=True, y_numeric=True, estimator=self)
        return column_or_1d(y, warn=True) if y.shape[1:] == (1,) else y

    def predict(self, X: Any) -> Array:
        """Return the predicted values (n_samples,) or (n_samples, n_outputs) for the rows of a table."""
        table = self._table(X)
        return self.predictor_.predict(table)

    def predict_interval(self, X: Any, coverage: float = 0.9) -> Array:
        """Return prediction intervals that contain the true values of a fraction `coverage` of new rows.

        Intervals are wider for rows whose numbers scatter more: their ends are quantiles that the networks predict,
        calibrated by conformal prediction on rows held out from training. The coverage holds on average over rows, for
        any distribution, if new rows come from the same one as the training rows.

        Returns
        -------
        intervals : ndarray of shape (n_samples, 2) or (n_samples, n_outputs, 2)
            Lower and upper end.
        """
        table = self._table(X)
        return self.predictor_.predict_interval(table, coverage)

    def predict_quantiles(self, X: Any, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> Array:
        """Return the quantiles of the target: the values that it does not exceed in these fractions of new rows.

        Estimated from the same errors as `predict_interval`; the interval with coverage 0.8 ends at the quantiles 0.1
        and 0.9.

        Returns
        -------
        values : ndarray of shape (n_samples, n_quantiles) or (n_samples, n_outputs, n_quantiles)
        """
        table = self._table(X)
        return self.predictor_.predict_quantiles(table, quantiles)


class _Joblib:
    """Train the members in parallel with joblib: in threads, or with the backend of `joblib.parallel_config`.

    If they are `shared`, members need the memory and the files of this process, and are trained in threads always.
    """

    def __init__(self, n_jobs: int | None, shared: bool) -> None:
        self.n_jobs, self.jobs, self.shared = n_jobs, effective_n_jobs(n_jobs), shared

    def __call__(self, works: Sequence[MemberTask]) -> list[Member]:
        where = {"require": "sharedmem"} if self.shared else {"prefer": "threads"}
        members = Parallel(self.n_jobs, **where)(delayed(work)([]) for work in works)
        return [member for member in members if member is not None]


def _require_target(estimator: BaseTabular, y: Any) -> None:
    """Raise ValueError if there is no target."""
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")


def _take(columns: Columns, used: Array) -> Columns:
    """Return the rows that are used, without a copy if all are."""
    return columns if used.all() else take_rows(columns, used)


def _weights(sample_weight: Any, n: int) -> Array | None:
    """Return the weights (n,) of the rows; those with zero weight must have no influence."""
    if sample_weight is None:
        return None
    require_no_mask(sample_weight, "sample_weight")
    return check_sample_weight(sample_weight, np.empty((n, 1)), ensure_non_negative=True)


def _cells(name: str, values: Any, n: int) -> Array | None:
    """Return groups or times as an array (n,); raise ValueError unless there is one for each row."""
    if values is None:
        return None
    if isinstance(values, str):
        remedy = f"Pass the column, {name}=X[{values!r}]."
        raise ValueError(f"{name} must be an array of length n_samples, got {values!r}. {remedy}")
    require_no_mask(values, name)
    shape = np.shape(values)
    if len(shape) == 2 and shape[1] == 1:  # a DataFrame of one column, or a column of a matrix
        values = np.asarray(values)[:, 0]
    elif len(shape) != 1:
        raise ValueError(f"{name} must be 1-D, got shape {shape}")
    column = read_columns({name: values})[name]
    if len(column) != n:
        raise ValueError(f"{name} must have one value per row of X, {n}, got {len(column)}")
    return column


def _check_lengths(columns: Columns, n_targets: int, min_rows: int) -> None:
    """Raise ValueError unless the table has as many rows as y, and at least `min_rows`."""
    n = n_rows(columns)
    if n != n_targets:
        raise ValueError(f"X and y must have the same number of rows, got {n} and {n_targets}")
    if n < min_rows:
        raise ValueError(f"X must have n_samples >= {min_rows}, got n_samples = {n}")


def _fill_masked(X: Any) -> Array:
    """Return a masked array as an array, with its masked cells missing."""
    missing = np.nan if X.dtype.kind in "biuf" else None
    return np.where(np.ma.getmaskarray(X), np.array(missing), X.data)


def _has_column_names(X: Any) -> bool:
    """Return whether X is a DataFrame, a dict of columns, a list of dicts or a structured array."""
    if issparse(X):  # some sparse matrices are mappings too
        return False
    if isinstance(X, list):
        return bool(X) and isinstance(X[0], Mapping)
    structured = isinstance(X, np.ndarray) and X.dtype.names is not None
    return isinstance(X, Mapping) or hasattr(type(X), "columns") or structured
