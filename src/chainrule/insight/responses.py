"""How a model responds to changed cells: its predictions for a table in which some columns are replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, require, require_integer
from chainrule.data.layout import Layout
from chainrule.data.reading import Columns, n_rows
from chainrule.data.targets import ClassTarget
from chainrule.model.predictor import Predictor

PredictionFunction = Callable[[Columns], ArrayLike]
"""Maps a table, a dict of columns, to predictions: (n,) or (n, k)."""


def prediction_function(model: Predictor | PredictionFunction) -> Callable[[Columns], Array]:
    """Return a function from a table to predictions (n, k): probabilities, or values in the unit of the target."""
    if not isinstance(model, Predictor):
        return lambda table: as_predictions(model(table), n_rows(table))
    return lambda table: in_target_unit(model, model.predictions(table))


def in_target_unit(model: Predictor, predictions: Array) -> Array:
    """Return a classifier's predictions unchanged, and those of a regressor in the unit of the target."""
    if isinstance(model.target, ClassTarget):
        return predictions
    return as_predictions(model.target.decode(predictions), len(predictions))


def column_replacer(model: Predictor | PredictionFunction, table: Columns) -> Callable[[Mapping[str, Array]], Array]:
    """Return a function of new cells (n,) by the name of their column: the predictions for the table with these cells.

    For a Predictor the table is encoded only once, and then only the columns that change.
    """
    if not isinstance(model, Predictor):
        predict_table = prediction_function(model)
        return lambda cells: predict_table(table | dict(cells))
    X, dtype = model.encoder.transform(table), model.ensemble.dtype
    places = {column.name: (column, slice(start, end)) for column, start, end in model.encoder.layout.places}

    def predict(cells: Mapping[str, Array]) -> Array:
        changed = X.copy()
        for name in cells.keys() & places.keys():
            column, place = places[name]
            changed[:, place] = 0
            Layout([column]).encode({name: cells[name]}, changed[:, place])
        return in_target_unit(model, model.ensemble.infer(changed.astype(dtype, copy=False)))

    return predict


def as_predictions(predictions: ArrayLike, n: int) -> Array:
    """Return predictions (n,) or (n, k) as (n, k); raise ValueError for any other shape."""
    predictions = np.asarray(predictions)
    is_valid = predictions.ndim in (1, 2) and len(predictions) == n
    require(is_valid, "model", f"return predictions of shape ({n},) or ({n}, k)", predictions.shape)
    return predictions[:, np.newaxis] if predictions.ndim == 1 else predictions


def output_names(model: Predictor | PredictionFunction, k: int) -> tuple[str, ...]:
    """Return the names of a model's k outputs: the classes or the targets of a Predictor."""
    if isinstance(model, Predictor) and isinstance(model.target, ClassTarget):
        return tuple(map(str, model.target.labels))
    name = model.target.name if isinstance(model, Predictor) else "prediction"
    return (name,) if k == 1 else tuple(f"{name} {j}" for j in range(k))


def sample_rows(n: int, max_rows: int, rng: np.random.Generator) -> Array:
    """Return the indices of all rows, or of a sorted random sample of `max_rows` of them."""
    require_integer(max_rows, "max_rows")
    return np.arange(n) if n <= max_rows else np.sort(rng.choice(n, max_rows, replace=False))
