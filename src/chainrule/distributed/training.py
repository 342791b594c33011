"""Training over shards: a network whose objective is a sum over the cluster, and one round is one epoch of a run.

`chainrule.train` takes it like any other network: the guard, early stopping and checkpoints are those of one machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from dask import delayed
from numpy.typing import ArrayLike

from chainrule.arrays import Array
from chainrule.distributed.cluster import Cluster, constant, tree
from chainrule.distributed.methods import Method, Round, Sums, add
from chainrule.distributed.shards import Shard
from chainrule.nn.network import Network
from chainrule.training.callbacks import Callback
from chainrule.training.run import Run


class ShardedNetwork(Network):
    """A view of a network, with the same vectors, whose objective is that of the rows of all shards in a round.

    `rounds`, a callback of the run, tells it which round it is.
    """

    def __init__(self, cluster: Cluster, shards: Sequence[object], method: Method) -> None:
        self.__dict__.update(method.network.__dict__)
        self.network = method.network
        self.cluster, self.shards, self.method = cluster, shards, cluster.send(method)
        self.rounds = Rounds()

    def objective(
        self, X: Array, y: Array, weight: Array | None = None, rng: np.random.Generator | None = None
    ) -> tuple[float, Array]:
        run, cluster = self.rounds.run, self.cluster
        end = run.progress + 1 / run.epochs
        now = constant(Round(run.epoch, run.progress, end, self.theta.copy(), self.buffers.copy()))
        parts = [delayed(_compute)(self.method, shard, now) for shard in self.shards]
        [sums] = cluster.results(cluster.compute([tree(add, parts)]))
        self.grad[...], self.buffers[...] = sums.grad / sums.weight, sums.buffers / sums.weight
        return sums.loss / sums.weight, self.grad

    def __call__(self, X: ArrayLike) -> Array:
        return self.network(X)


class Rounds(Callback):
    """Keeps the run that has begun."""

    order = -1

    def on_train_begin(self, run: Run) -> None:
        self.run = run


def _compute(method: Method, shard: Shard, now: Round) -> Sums:
    return method(shard, now)
