"""Training and prediction on a Dask cluster.

collections   partitions of DataFrames and Arrays, and lazy predictions of the same kind
shards        the rows, encoded, in a fixed number of equal parts; statistics, merged from those of partitions
methods       what each shard computes in a round: many local steps, or its part of an exact gradient
training      a network whose objective is the sum over the shards, for the training loop of one machine
fitting       the recipe's members, trained over shards and calibrated
cluster       pure tasks with retries; waiting without hanging
"""

from typing import TYPE_CHECKING, Any

from chainrule.errors import MissingExtraError

try:
    import dask.dataframe  # noqa: F401
    import distributed  # noqa: F401
except ImportError:
    raise MissingExtraError("chainrule.distributed", "dask") from None

from chainrule.distributed.collections import predict
from chainrule.distributed.fitting import train

if TYPE_CHECKING:
    from chainrule.distributed.estimators import DaskTabularClassifier, DaskTabularRegressor

__all__ = ["DaskTabularClassifier", "DaskTabularRegressor", "predict", "train"]


def __getattr__(name: str) -> Any:
    if name not in ("DaskTabularClassifier", "DaskTabularRegressor"):
        raise AttributeError(f"module 'chainrule.distributed' has no attribute {name!r}")
    from chainrule.distributed import estimators  # imported late because workers do not need scikit-learn

    return getattr(estimators, name)
