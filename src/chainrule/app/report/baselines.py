"""Baselines: a linear and a gradient-boosted model of scikit-learn, which show whether networks are worth it.

They are trained on the rows that the networks were trained on, and scored on the same rows. Cells are read as the model
reads them: what is a number, a date or a category was decided on the training rows. The linear model gets numbers
standardized, with the median for missing ones and a column that marks them, and categories one-hot encoded; the trees
get numbers and categories as they are. Nothing is tuned.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from time import perf_counter
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np

from chainrule.app.results import Training
from chainrule.app.scores import score
from chainrule.arrays import Array
from chainrule.data.columns import CategoryColumn, Column, DateColumn
from chainrule.data.reading import Columns, take_rows
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.errors import first_line
from chainrule.model.predictor import Predictor

_MAX_WORK = 100_000
"""Rows times classes that a baseline is trained on."""
_MAX_TREES, _ROUNDS = 600, 100
"""Trees and rounds of gradient boosting; a round has a tree for each of several classes. With 20 classes and 40
columns, a tree takes 6 ms, and 100 rounds 12 s."""
_MAX_CATEGORIES = 254
"""Categories of a column that scikit-learn's trees take; rarer ones are one."""


@dataclass(frozen=True)
class Baseline:
    """A model, its scores, the seconds that its training took on that many rows, or why it failed."""

    name: str
    scores: dict[str, float]
    seconds: float
    n_rows: int
    failure: str = ""


def rounds(n_outputs: int) -> int:
    """Return the number of rounds of gradient boosting: 100, or fewer for many classes."""
    return min(_ROUNDS, max(10, _MAX_TREES // (n_outputs if n_outputs > 2 else 1)))


def seconds_for_baselines(n_rows: int, n_outputs: int) -> float:
    """Return about how long the baselines take: imports and linear model, trees, and what grows with the rows."""
    n_trees = rounds(n_outputs) * (n_outputs if n_outputs > 2 else 1)
    return 2.0 + 0.006 * n_trees + 1e-5 * min(n_rows, _MAX_WORK)


def fit_baselines(predictor: Predictor, training: Training, inputs: Columns, values: Array) -> list[Baseline]:
    """Return the baselines, with their scores on held-out rows; without scikit-learn, there are none."""
    if find_spec("sklearn") is None:
        return []
    target, n = predictor.target, len(training.values)
    n_rows = min(n, _MAX_WORK // (target.n_outputs if target.n_outputs > 2 else 1))
    rows = np.sort(np.random.default_rng(0).permutation(n)[:n_rows])
    seen, seen_values = take_rows(training.inputs, rows), training.values[rows]
    weights = None if training.weights is None else training.weights[rows]
    baselines = []
    for name, make in _MODELS[target.task].items():
        begin = perf_counter()
        try:
            with catch_warnings(), _one_thread():
                begin = perf_counter()
                simplefilter("ignore")
                X, is_category = as_matrix(predictor.encoder.columns, seen)
                model = make(is_category, rounds(target.n_outputs)).fit(
                    X, _labels(target, seen_values), model__sample_weight=weights
                )
                seconds = perf_counter() - begin
                scores = _scores(target, model, as_matrix(predictor.encoder.columns, inputs)[0], values)
            baselines.append(Baseline(name, scores, seconds, n_rows))
        except Exception as error:  # a baseline is an extra: whatever it cannot do, the report is written
            failure = f"{type(error).__name__}: {first_line(error)}"
            baselines.append(Baseline(name, {}, perf_counter() - begin, n_rows, failure))
    return baselines


def _one_thread() -> AbstractContextManager[Any]:
    """Return a context with one thread: on a busy machine, several wait for one another for minutes."""
    import sklearn.ensemble  # noqa: F401 # loads the library whose threads are limited
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(1)


def _labels(target: ClassTarget | NumberTarget, values: Array) -> Array:
    """Return class numbers, or numbers in the target's own unit."""
    return target.encode(values) if isinstance(target, ClassTarget) else target.numbers(values)[:, 0]


def _scores(target: ClassTarget | NumberTarget, model: Any, X: Array, values: Array) -> dict[str, float]:
    if isinstance(target, NumberTarget):
        own_unit = replace(target, means=(0.0,), stds=(1.0,), transform="identity")
        return score(own_unit, values, model.predict(X)[:, np.newaxis])
    P = np.zeros((len(values), target.n_outputs))
    P[:, model.classes_] = model.predict_proba(X)  # a class may be missing from the training rows
    return score(target, values, P)


def as_matrix(columns: list[Column], inputs: Columns) -> tuple[Array, Array]:
    """Return the columns as float64 (n, d), NaN where missing, and whether each of the d is a category, as a code."""
    parts, are_categories = [], []
    for column in columns:
        read = column.read(inputs[column.name])
        names = column.parts if isinstance(column, DateColumn) else list(read)
        parts += [read[name] for name in names]
        are_categories += [isinstance(column, CategoryColumn)] * len(names)
    return np.column_stack(parts), np.array(are_categories)


# Models. They are imported when they are made: scikit-learn is an extra.


def _logistic_regression(is_category: Array, n_rounds: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return _linear(LogisticRegression(max_iter=300), is_category)


def _ridge_regression(is_category: Array, n_rounds: int) -> Any:
    from sklearn.linear_model import Ridge

    return _linear(Ridge(), is_category)


def _boosted_classifier(is_category: Array, n_rounds: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return _trees(HistGradientBoostingClassifier, is_category, n_rounds)


def _boosted_regressor(is_category: Array, n_rounds: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return _trees(HistGradientBoostingRegressor, is_category, n_rounds)


_MODELS: dict[str, dict[str, Callable[[Array, int], Any]]] = {
    "classification": {"gradient boosting": _boosted_classifier, "logistic regression": _logistic_regression},
    "regression": {"gradient boosting": _boosted_regressor, "ridge regression": _ridge_regression},
}
"""Task -> name of a baseline -> function that makes it, given which columns are categories (d,), and the rounds."""


def _linear(model: Any, is_category: Array) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return _pipeline(
        model, is_category, numbers, OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=50)
    )


def _trees(kind: Any, is_category: Array, n_rounds: int) -> Any:
    from sklearn.preprocessing import OrdinalEncoder

    of_unknown = {"handle_unknown": "use_encoded_value", "unknown_value": np.nan}
    categories = OrdinalEncoder(**of_unknown, max_categories=_MAX_CATEGORIES)
    # The pipeline puts numbers first. Early stopping would hold out rows, and fails if a class has a single one.
    model = kind(categorical_features=np.sort(is_category), early_stopping=False, max_iter=n_rounds, random_state=0)
    model.set_params(learning_rate=0.1 if n_rounds == _ROUNDS else 0.3)
    return _pipeline(model, is_category, "passthrough", categories)


def _pipeline(model: Any, is_category: Array, of_numbers: Any, of_categories: Any) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    parts = [("numbers", of_numbers, ~is_category), ("categories", of_categories, is_category)]
    return Pipeline([("cells", ColumnTransformer(parts)), ("model", model)])
