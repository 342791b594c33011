"""Methods: what every shard computes in a round, and how the weights follow the sum.

A model has a fixed number of shards, whatever the number of workers. Each shard has random generators of its own, and
sums are over the shards in their order: the same bits on one worker and on a hundred::

    "local"   every shard takes many steps from the same weights, which then follow the mean of the results
    "exact"   every shard computes the gradient of its part of one large batch; the weights follow the sum

A method is a pure function of a shard and the weights: any worker can compute it, and compute it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple, final

import numpy as np

from chainrule.arrays import Array
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.distributed.shards import Shard
from chainrule.model.recipe import Recipe
from chainrule.model.threads import one_blas_thread
from chainrule.nn.network import Network
from chainrule.training.batches import Batch
from chainrule.training.loop import train
from chainrule.training.optimizers import SGD
from chainrule.training.schedules import as_schedule


class Round(NamedTuple):
    """A round: its number, the progress of the training at its begin and end, and the weights at its begin."""

    number: int
    begin: float
    end: float
    theta: Array
    buffers: Array


class Sums(NamedTuple):
    """Sums over rows, of their weights and, weighted, of their losses, gradients and running statistics."""

    weight: float
    loss: float
    grad: Array
    buffers: Array


def add(parts: Sequence[Sums]) -> Sums:
    """Return the sum of parts, in their order."""
    weights, losses, grads, buffers = zip(*parts)
    return Sums(sum(weights), sum(losses), sum(grads[1:], grads[0]), sum(buffers[1:], buffers[0]))


@dataclass(frozen=True)
class Method:
    """Base class: how a network is trained on the rows of all shards, except those of one fold.

    `n_rounds` rounds are a pass over the rows: each shard divides its own ones, shuffled, among them.
    """

    network: Network
    recipe: Recipe
    target: ClassTarget | NumberTarget
    fold: int
    seed: int
    n_rounds: int
    batch_size: int
    kernels: str

    @classmethod
    def rounds(cls, n_rows: int, n_shards: int, batch_size: int, local_steps: int) -> int:
        """Return how many rounds are a pass over that many rows."""
        raise NotImplementedError

    def __call__(self, shard: Shard, now: Round) -> Sums:
        """Return the sums over the rows of a shard in a round."""
        network = self.network.copy()
        network.theta[...], network.buffers[...] = now.theta, now.buffers
        rows = self.rows(shard, now.number)
        if not len(rows):
            return Sums(0.0, 0.0, np.zeros_like(network.theta), np.zeros_like(network.buffers))
        X, y, weight = shard.take(rows)
        if isinstance(self.target, NumberTarget):
            y = self.target.encode(y).astype(network.dtype)
        with one_blas_thread:
            rng = np.random.default_rng((self.seed, now.number, shard.number))
            loss, grad = self.compute(network, (X, y, weight), now, rng)
        total = float(len(rows) if weight is None else weight.sum())
        return Sums(total, total * loss, grad * grad.dtype.type(total), network.buffers * grad.dtype.type(total))

    def rows(self, shard: Shard, number: int) -> Array:
        """Return the rows of a shard in the round of that number."""
        rows = np.flatnonzero(shard.fold != self.fold)
        one_pass, part = divmod(number, self.n_rounds)
        order = np.random.default_rng((self.seed, one_pass, shard.number)).permutation(len(rows))
        return rows[np.array_split(order, self.n_rounds)[part]]

    def compute(self, network: Network, rows: Batch, now: Round, rng: np.random.Generator) -> tuple[float, Array]:
        """Return the mean loss of the rows, and what the weights follow."""
        raise NotImplementedError

    @property
    def options(self) -> dict[str, Any]:
        """Options of `chainrule.train` for the one step in each round."""
        raise NotImplementedError


@final
@dataclass(frozen=True)
class LocalSteps(Method):
    """DiLoCo (Douillard et al. 2023, algorithm 1): the gradient is theta - theta_s, if shard s leads to theta_s.

    Nesterov momentum follows its mean, with the paper's rate and momentum: on california housing, 8 shards then have
    1 % more RMSE than one machine, and 6 % more if the weights are the plain mean. Unlike in the paper, Adam's moments
    are zero at the beginning of each round, which then depends on the weights alone. With beta2 = 0.95 they remember
    20 steps.
    """

    @classmethod
    def rounds(cls, n_rows: int, n_shards: int, batch_size: int, local_steps: int) -> int:
        return max(1, round(n_rows / (n_shards * batch_size * local_steps)))

    def compute(self, network: Network, rows: Batch, now: Round, rng: np.random.Generator) -> tuple[float, Array]:
        start, schedule = network.theta.copy(), as_schedule(self.recipe.schedule)
        X, y, weight = rows
        history = train(
            network,
            X,
            y,
            sample_weight=weight,
            optimizer=self.recipe.optimizer(network),
            schedule=lambda epoch, progress: schedule(epoch, now.begin + progress * (now.end - now.begin)),
            learning_rate_multipliers=self.recipe.learning_rate_multipliers(network),
            epochs=1,
            batch_size=self.batch_size,
            kernels=self.kernels,
            seed=rng,
        )
        return history.loss[-1], start - network.theta

    @property
    def options(self) -> dict[str, Any]:
        return {"optimizer": SGD(0.7, momentum=0.9, nesterov=True)}


@final
@dataclass(frozen=True)
class LargeBatches(Method):
    """The gradient of the mean loss of one large batch, of `batch_size` rows of each shard.

    The learning rate does not grow with the batch: on california housing, in batches of 2,048, its square root does not
    reduce the error.
    """

    @classmethod
    def rounds(cls, n_rows: int, n_shards: int, batch_size: int, local_steps: int) -> int:
        return ceil(n_rows / (n_shards * batch_size))

    def compute(self, network: Network, rows: Batch, now: Round, rng: np.random.Generator) -> tuple[float, Array]:
        return network.objective(*rows, rng)

    @property
    def options(self) -> dict[str, Any]:
        return {
            "optimizer": self.recipe.optimizer(self.network),
            "schedule": self.recipe.schedule,
            "learning_rate_multipliers": self.recipe.learning_rate_multipliers(self.network),
        }


METHODS: dict[str, type[Method]] = {"local": LocalSteps, "exact": LargeBatches}
