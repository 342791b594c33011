"""Dask collections: their partitions to train on, and lazy predictions for them, of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from dask import delayed

from chainrule.arrays import Array
from chainrule.data.reading import matrix_names
from chainrule.distributed.cluster import Cluster
from chainrule.distributed.shards import Partition
from chainrule.errors import look_up
from chainrule.model.predictor import Predictor


def partitions_of(X: Any, y: Any, sample_weight: Any = None) -> list[Any]:
    """Return the delayed `Partition`s of collections that are divided alike.

    Raises ValueError if one of them is no Dask collection, or is divided differently.
    """
    parts = {
        name: _delayed(name, values)
        for name, values in (("X", X), ("y", y), ("sample_weight", sample_weight))
        if values is not None
    }
    numbers = {name: len(of) for name, of in parts.items()}
    if len(set(numbers.values())) > 1:
        sizes = ", ".join(f"{name}: {n}" for name, n in numbers.items())
        raise ValueError(f"X, y and sample_weight must have the same partitions, got {sizes}. Repartition them.")
    return [delayed(Partition)(*of) for of in zip(*parts.values())]


def _delayed(name: str, values: Any) -> list[Any]:
    """Return the partitions of a collection, whole rows each."""
    if isinstance(values, da.Array):
        whole = values.rechunk({1: -1}) if values.ndim == 2 else values
        return whole.to_delayed().ravel().tolist()
    if isinstance(values, dd.DataFrame | dd.Series):
        return values.to_delayed()
    raise ValueError(
        f"{name} must be a Dask DataFrame or Array, got a {type(values).__name__}. For a table in memory, use the "
        "estimator without Dask, or convert it with dask.dataframe.from_pandas or dask.array.from_array."
    )


def columns_of(X: Any) -> list[str]:
    """Return the names of the columns of a collection; those of an array are x0, x1, ..."""
    return list(map(str, X.columns)) if isinstance(X, dd.DataFrame) else list(matrix_names(X.shape[1]))


def predict(client: Any, model: Any, collection: Any, method: str = "predict", **options: Any) -> Any:
    """Return predictions for a Dask collection, which are computed partition by partition when they are needed.

    Parameters
    ----------
    client : dask.distributed.Client or None
        Where to compute them. The model is sent there once. None: the default client.
    model : Predictor or fitted tabular estimator
    collection : Dask DataFrame or Array
    method : str
        A method of `chainrule.Predictor`: "predict", "predict_proba", "predict_interval" or "predict_quantiles".
    **options
        Passed to the method, such as `coverage=0.9`.

    Returns
    -------
    Series, DataFrame or Array
        An Array for an Array. For a DataFrame, a Series or a DataFrame with the same index; the columns of
        probabilities are named after the classes.
    """
    predictor: Predictor = getattr(model, "predictor_", model)
    function = partial(_predicted, look_up(_COLUMNS, method, "method"), method, options)
    sent = Cluster(client).send(predictor)
    if isinstance(collection, da.Array):
        whole, empty = collection.rechunk({1: -1}), function(np.empty((0, collection.shape[1])), predictor)
        shape = {"drop_axis": 1} if empty.ndim == 1 else {"chunks": (whole.chunks[0], *empty.shape[1:])}
        return whole.map_blocks(function, sent, dtype=empty.dtype, meta=empty, **shape)
    _delayed("collection", collection)
    return collection.map_partitions(function, sent, meta=function(collection._meta, predictor))


_COLUMNS: dict[str, Callable[..., Sequence[Any]]] = {
    "predict": lambda predictor, **options: predictor.target.output_names,
    "predict_proba": lambda predictor, **options: predictor.classes.tolist(),
    "predict_interval": lambda predictor, **options: ["lower", "upper"],
    "predict_quantiles": lambda predictor, quantiles=(0.1, 0.5, 0.9): list(quantiles),
}
"""The columns of a DataFrame of predictions, by method."""


def _predicted(
    columns: Callable[..., Sequence[Any]], method: str, options: dict[str, Any], part: Any, predictor: Predictor
) -> Any:
    """Return the predictions for a partition, of its kind."""
    values: Array = getattr(predictor, method)(part, **options)
    if isinstance(part, np.ndarray):
        return values
    if values.ndim == 1:
        return pd.Series(values, part.index)
    return pd.DataFrame(values, part.index, columns(predictor, **options))
