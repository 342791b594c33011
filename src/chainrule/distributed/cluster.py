"""The cluster: pure tasks on a Dask client, whose results are waited for without hanging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

from dask import delayed
from dask.delayed import Delayed
from dask.distributed import Client, Future, KilledWorker, default_client, wait
from distributed.comm import CommClosedError

from chainrule.errors import ClusterError

_RETRIES = 2
"""Times that a task which fails, for example in reading a file, is tried again."""
POLL_SECONDS, PATIENCE = 2.0, 150
"""Interval at which a wait looks for workers, and such intervals without any after which the cluster counts as lost."""


class Cluster:
    """Computes pure functions, delayed, with the workers of a client; None: the default one.

    If a worker is lost, its tasks are computed again by others, with all that they need. So that this holds for values
    from this process, too, these are part of the graphs: what is scattered cannot be computed again.
    """

    def __init__(self, client: Client | None = None) -> None:
        self.client = client or default_client()

    def compute(self, values: Iterable[Delayed]) -> list[Future]:
        """Return futures of delayed values, which remain on the workers as long as the futures are kept."""
        with _cluster_errors():
            return self.client.compute(list(values), retries=_RETRIES)

    def send(self, value: Any) -> Future:
        """Return a future of a value of this process."""
        return self.compute([constant(value)])[0]

    def results(self, futures: Sequence[Future]) -> list[Any]:
        """Return the values of futures, when all are there.

        Raises what a task has raised; ClusterError if the scheduler is lost, if there is no worker for five minutes, or
        if several workers die of the same task.
        """
        with _cluster_errors():
            n_polls = 0
            while not self._are_done(futures):
                n_polls = 0 if self.client.nthreads() else n_polls + 1
                if n_polls == PATIENCE:
                    raise ClusterError(f"the cluster had no worker for {PATIENCE * POLL_SECONDS:.0f} s")
            return self.client.gather(list(futures))

    def _are_done(self, futures: Sequence[Future]) -> bool:
        if self.client.status == "closed":
            raise ClusterError("the connection to the scheduler is closed")
        try:
            wait(futures, timeout=POLL_SECONDS)
        except TimeoutError:
            return False
        return True


@contextmanager
def _cluster_errors() -> Iterator[None]:
    """Turn the errors of a lost cluster into ClusterErrors; those of tasks remain."""
    try:
        yield
    except KilledWorker as error:
        raise ClusterError(
            f"several workers died of {error.task}, {error.last_worker.address} last. Give them more memory, or more "
            "shards."
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise ClusterError(f"the connection to the scheduler was lost: {error}") from error


# Delayed values.


def constant(value: Any) -> Delayed:
    """Return a value of this process as a delayed one."""
    return delayed(value, traverse=False)


def tree(function: Callable[[Sequence[Any]], Any], values: Sequence[Delayed], fan_in: int = 16) -> Delayed:
    """Return the function of all values, `fan_in` of them at a time: the order depends on nothing but their number."""
    while len(values) > 1:
        values = [delayed(function)(values[start : start + fan_in]) for start in range(0, len(values), fan_in)]
    return values[0]
