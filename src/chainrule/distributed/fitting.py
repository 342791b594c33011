"""From a Dask collection to a predictor: merge statistics, make shards, train the recipe's members, calibrate them.

The recipe, its variants and the calibration are those of one machine: `chainrule.model.fitting` gets the rows that the
folds hold out, at most `MAX_HELD_OUT`, and a function that trains a member on the rows of all shards instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from time import perf_counter
from typing import Any

import numpy as np
from dask import delayed
from distributed import Client, Future

from chainrule.arrays import Array, require, require_integer
from chainrule.data.rowfile import EncodedRows
from chainrule.data.splits import Split
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.distributed import shards
from chainrule.distributed.cluster import Cluster, constant, tree
from chainrule.distributed.collections import partitions_of
from chainrule.distributed.methods import METHODS
from chainrule.distributed.training import ShardedNetwork
from chainrule.errors import look_up
from chainrule.files.checkpoint import CheckpointFile
from chainrule.metrics import Metric, as_metric
from chainrule.model.executors import Threads
from chainrule.model.fitting import CallbacksFor, Data, Fitted, encoder_for, fit_encoded, recipe_of
from chainrule.model.portfolio import QUALITIES, names_for
from chainrule.model.recipe import KeepLatestBest, Member, Recipe
from chainrule.training import loop
from chainrule.training.batches import Batch
from chainrule.training.callbacks import Callback
from chainrule.training.kernels import choose

_MEMBERS_AT_A_TIME = 16
"""Members whose rounds are computed at the same time: one waits for its slowest shard while others use the workers."""


@dataclass(frozen=True)
class Settings:
    """How to train; see `DaskTabularClassifier`, where `seed` is called `random_state`."""

    n_shards: int = 8
    method: str = "local"
    local_steps: int = 100
    quality: str = "default"
    n_folds: int | None = None
    epochs: int | None = None
    metric: str | Metric | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    time_limit: float | None = None
    checkpoint: str | PathLike[str] | None = None
    resume: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        require_integer(self.n_shards, "n_shards")
        require_integer(self.local_steps, "local_steps")
        look_up(METHODS, self.method, "method")


def train(
    client: Client | None, X: Any, y: Any, sample_weight: Any = None, *, task: str = "classification", **settings: Any
) -> Fitted:
    """Train a tabular model on Dask collections, by the workers that have the rows.

    Parameters
    ----------
    client : dask.distributed.Client or None
        None: the default client.
    X, y, sample_weight
        As for `DaskTabularClassifier.fit`.
    task : "classification" or "regression"
    **settings
        Fields of `chainrule.distributed.fitting.Settings`.

    Returns
    -------
    Fitted
        With `predictor`, the model as a `chainrule.Predictor`, and `histories`, in which an epoch is a round.

    Raises
    ------
    ClusterError
        If the cluster is lost; with a checkpoint, training can be resumed on another one.
    """
    return _train(Cluster(client), partitions_of(X, y, sample_weight), task, Settings(**settings))


def _train(cluster: Cluster, partitions: Sequence[Any], task: str, settings: Settings) -> Fitted:
    time_limit = settings.time_limit or look_up(QUALITIES, settings.quality, "quality").time_limit
    end = None if time_limit is None else perf_counter() + time_limit
    summaries = [delayed(shards.summarized)(part, task, i) for i, part in enumerate(partitions)]
    lengths = delayed([delayed(_n_rows)(one) for one in summaries])
    summary, lengths = cluster.results(cluster.compute([tree(shards.merged, summaries, fan_in=2), lengths]))
    n = summary.n_rows
    require(n >= settings.n_shards, "X", f"have at least one row for each of {settings.n_shards} shards", n)
    target = summary.target(task)
    encoder = encoder_for(target).fit_statistics(summary.columns)
    given = {"folds": settings.n_folds, "epochs": settings.epochs, "selected_by": settings.metric}
    recipe = recipe_of(target, settings.quality, n, given | dict(settings.options))
    futures = _make_shards(cluster, partitions, lengths, encoder, target, recipe.folds, settings)
    sample = cluster.results(cluster.compute(delayed(shards.held_out)(shard) for shard in futures))
    X, y, fold = (np.concatenate([getattr(part, name) for part in sample]) for name in ("X", "y", "fold"))
    weight = None if sample[0].weight is None else np.concatenate([part.weight for part in sample])
    splits = [Split(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(recipe.folds)]
    numbers = y if isinstance(target, NumberTarget) else None
    return fit_encoded(
        Data((X, y if numbers is None else target.encode(y), weight), splits, np.arange(len(X)), []),
        encoder,
        target,
        numbers,
        recipe,
        settings.quality,
        n,
        settings.seed,
        end,
        Threads(_MEMBERS_AT_A_TIME),
        _checkpoints(settings, recipe, len(names_for(encoder, settings.quality, task, n))),
        train=_Trainer(cluster, futures, n, fold, settings),
    )


def _n_rows(summary: shards.Summary) -> int:
    return summary.n_rows


def _make_shards(
    cluster: Cluster,
    partitions: Sequence[Any],
    lengths: Sequence[int],
    encoder: TabularEncoder,
    target: ClassTarget | NumberTarget,
    n_folds: int,
    settings: Settings,
) -> list[Future]:
    """Return futures of the shards, which the workers keep in memory."""
    encoder, target = constant(encoder), constant(target)
    made = []
    for number, parts in enumerate(shards.pieces(lengths, settings.n_shards)):
        encoded = [delayed(shards.encoded)(partitions[i], start, stop, encoder, target) for i, start, stop in parts]
        made.append(delayed(shards.joined)(number, settings.n_shards, encoded, sum(lengths), n_folds, settings.seed))
    return cluster.compute(made)


def _checkpoints(settings: Settings, recipe: Recipe, n_variants: int) -> CallbacksFor | None:
    if settings.checkpoint is None:
        return None
    about = {name: str(getattr(settings, name)) for name in ("n_shards", "method", "local_steps")}
    about["epochs"] = str(recipe.epochs)
    file = CheckpointFile(settings.checkpoint, n_variants * recipe.folds, resume=settings.resume, about=about)
    return lambda number: [file.checkpoint(number)]


@dataclass
class _Trainer:
    """Trains a member on the rows of all shards but one fold; the rows it is passed are a sample of them."""

    cluster: Cluster
    futures: list[Future]
    n_rows: int
    fold: Array
    settings: Settings

    def __call__(
        self,
        recipe: Recipe,
        sample: Batch,
        split: Split,
        target: ClassTarget | NumberTarget,
        seed: int,
        callbacks: Sequence[Callback],
        kernels: str,
        more: EncodedRows | None,
    ) -> Member:
        training, held_out = (_take(sample, rows) for rows in (split.training, split.held_out))
        recipe = recipe.fitted(*training)
        network = recipe.network(sample[0].shape[1], target.n_outputs, seed)
        kind, n_shards = METHODS[self.settings.method], len(self.futures)
        batch_size = recipe.batch_size_for(self.n_rows // n_shards)
        n_rounds = kind.rounds(self.n_rows, n_shards, batch_size, self.settings.local_steps)
        n_steps = recipe.epochs * self.n_rows // (n_shards * batch_size)
        kernels = choose("auto", network.theta.size, n_steps).name
        fold = int(self.fold[split.held_out[0]])
        method = kind(network, recipe, target, fold, seed, n_rounds, batch_size, kernels)
        sharded, selected_by = ShardedNetwork(self.cluster, self.futures, method), as_metric(recipe.selected_by)
        history = loop.train(
            sharded,
            *training[:2],
            sample_weight=training[2],
            **method.options,
            epochs=recipe.epochs * n_rounds,
            batch_size=None,
            validation=[part for part in held_out if part is not None],
            metrics=[selected_by],
            callbacks=[sharded.rounds, KeepLatestBest(f"validation_{selected_by.name}", 12 * n_rounds), *callbacks],
            kernels="numpy",
            seed=seed,
        )
        return Member.of(recipe.name, network, split.held_out, held_out[0], history)


def _take(sample: Batch, rows: Array) -> Batch:
    X, y, weight = sample
    return X[rows], y[rows], None if weight is None else weight[rows]
