"""How training over shards scales with workers: measured here for 1, 2 and 4, simulated for 8 to 512.

The simulation knows what one machine can measure: how long a local round of a shard computes, how long a vector of
weights takes from one process to another, what the scheduler and the client do for each task and round. It is checked
against the measured times of whole trainings.
"""

import os
from heapq import heappop, heappush
from math import ceil, log2
from resource import RUSAGE_SELF, getrusage
from statistics import median
from typing import NamedTuple

import dask.array as da
import numpy as np
from dask import delayed
from dask.distributed import Client, LocalCluster

from chainrule.data.targets import NumberTarget
from chainrule.distributed import train
from chainrule.distributed.cluster import Cluster, constant, tree
from chainrule.distributed.methods import LocalSteps, Round
from chainrule.distributed.shards import Shard
from chainrule.model.recipe import REGRESSION
from harness import machine, publish, seconds, table

N_COLUMNS, N_SHARDS, BATCH = 20, 8, 256
N_ROWS, EPOCHS, N_FOLDS, LOCAL_STEPS = 100_000, 2, 2, 10
"""Of the trainings that are measured; of those that are only simulated, they are the defaults."""
N_VARIANTS = 3
CORES = len(os.sched_getaffinity(0))


class Costs(NamedTuple):
    """Seconds: per row of a local round, per vector sent, per task scheduled, per round for the client's own work."""

    row: float
    vector: float
    task: float
    round: float


def measured_costs(client):
    """Measure the costs, each as the median of several repetitions."""
    rng = np.random.default_rng(0)
    n = 50 * BATCH
    X, y = rng.normal(size=(n, N_COLUMNS)).astype(np.float32), rng.normal(size=(n, 1))
    network = REGRESSION.network(N_COLUMNS, 1, seed=0)
    method = LocalSteps(network, REGRESSION, NumberTarget("y", (0.0,), (1.0,)), 0, 0, 1, BATCH, "numpy")
    shard = Shard(0, X, y, None, np.full(n, -1))
    now = Round(0, 0.0, 0.1, network.theta.copy(), network.buffers)
    row = median(seconds(lambda: method(shard, now)) for _ in range(5)) / n
    cluster = Cluster(client)
    names = list(client.scheduler_info()["workers"])

    def graph(n_tasks, size):
        value = constant(np.ones(size, np.float32))
        return tree(_first, [delayed(_pass_on)(value, k) for k in range(n_tasks)])

    def time_of(n_tasks, size):
        return median(seconds(lambda: cluster.results(cluster.compute([graph(n_tasks, size)]))) for _ in range(15))

    few, many = time_of(2, 1), time_of(66, 1)
    task = max((many - few) / (64 + ceil(64 / 16)), 1e-5)
    sent = [cluster.client.submit(_ones, network.theta.size * 64, k, workers=names[:1], pure=False) for k in range(5)]
    vector = median(seconds(client.submit(_size, future, workers=names[-1:], pure=False).result) for future in sent)
    validation = median(seconds(lambda: network.value(X[:6554], y[:6554].astype(np.float32))) for _ in range(5))
    return Costs(row, vector / 64, task, max(few - 4 * task, 0.0) + validation)


def _pass_on(value, k):
    return value


def _first(values):
    return values[0]


def _ones(size, k):
    return np.ones(size, np.float32)


def _size(values):
    return values.size


def simulated(costs, n_workers, n_rows, n_networks, epochs, local_steps=100, n_shards=N_SHARDS, cores=None):
    """Return the seconds of a training: the client and the scheduler are one queue, and each worker is one.

    A round waits for the first queue, spreads its weights from worker to worker, computes each shard on the worker that
    is free first, and adds the results up. `cores`, of all workers together, are shared if they are fewer.
    """
    n_rounds = epochs * max(1, round(n_rows / (n_shards * BATCH * local_steps)))
    compute = costs.row * epochs * n_rows / n_shards / n_rounds * max(1.0, n_workers / (cores or n_workers))
    n_tasks = n_shards + ceil(n_shards / 16) + 1
    spread = costs.vector * ceil(log2(min(n_workers, n_shards) + 1))
    gather = costs.vector * (min(n_shards, 16) * ceil(log2(max(n_shards, 2)) / 4) + 1)
    free_workers = [0.0] * n_workers
    waiting = [(0.0, k, n_rounds) for k in range(n_networks)]
    queue = end = 0.0
    while waiting:
        begin, network, rounds = heappop(waiting)
        queue = max(queue, begin) + costs.round + n_tasks * costs.task
        done = 0.0
        for _ in range(n_shards):
            begin = max(heappop(free_workers), queue + spread)
            heappush(free_workers, begin + compute)
            done = max(done, begin + compute)
        end = max(end, done + gather)
        if rounds > 1:
            heappush(waiting, (done + gather, network, rounds - 1))
    return end


def measured(cluster, client, n_workers):
    """Return the seconds that the slowest network trains, while all of them do, after one training to warm up."""
    cluster.scale(n_workers)
    client.wait_for_workers(n_workers)
    X = da.random.default_rng(0).normal(size=(N_ROWS, N_COLUMNS), chunks=(N_ROWS // 16, N_COLUMNS)).persist()
    y = (X[:, 0] + X[:, 1] ** 2).persist()
    options = {"task": "regression", "n_shards": N_SHARDS, "local_steps": LOCAL_STEPS, "n_folds": N_FOLDS}
    result = None

    def fit():
        nonlocal result
        result = train(client, X, y, epochs=EPOCHS, **options)

    fit()  # the workers import everything
    fit()
    return max(sum(history.seconds) for history in result.histories)


def grown(client):
    """Return the megabytes by which the peak memory of a worker grows in a training, at most, and those of its rows."""
    X = da.random.default_rng(0).normal(size=(4 * N_ROWS, N_COLUMNS), chunks=(N_ROWS // 16, N_COLUMNS))
    client.persist(X[:1]).compute()
    before = client.run(_peak)
    train(client, X, X[:, 0] + X[:, 1], task="regression", quality="fast", n_folds=2, epochs=1, n_shards=N_SHARDS)
    after = client.run(_peak)
    return max(after[worker] - before[worker] for worker in before), 4 * N_ROWS * N_COLUMNS * 4 / 1e6 / len(before)


def _peak():
    return getrusage(RUSAGE_SELF).ru_maxrss / 1024


def main():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        costs, (megabytes, rows_megabytes) = measured_costs(client), grown(client)
        times = {n: measured(cluster, client, n) for n in (1, 2, 4)}
    small = {"n_networks": N_VARIANTS * N_FOLDS, "epochs": EPOCHS, "local_steps": LOCAL_STEPS, "cores": CORES}
    expected = {n: simulated(costs, n, N_ROWS, **small) for n in times}
    checks = [[str(n), f"{times[n]:.1f}", f"{expected[n]:.1f}"] for n in times]
    ratios = [times[n] / expected[n] for n in times]
    rows = []
    for n_rows in (10**5, 10**6, 10**7, 10**8):
        options = {"n_networks": N_VARIANTS * REGRESSION.folds, "epochs": REGRESSION.epochs_for(n_rows)}
        alone = costs.row * n_rows * options["epochs"] * options["n_networks"]
        speed = [alone / simulated(costs, n, n_rows, **options) for n in (8, 32, 128, 512)]
        more = [alone / simulated(costs, n, n_rows, n_shards=64, **options) for n in (128, 512)]
        rows.append([f"{n_rows:,}", f"{alone / 3600:.2f}", *(f"{x:.1f}" for x in speed + more)])
    publish(
        "scaling",
        "Training over shards on a cluster",
        machine(["chainrule", "numpy", "dask", "distributed"]),
        f"Regression on {N_ROWS:,} rows of {N_COLUMNS} numbers, {N_VARIANTS * N_FOLDS} networks, {EPOCHS} epochs, "
        f"{N_SHARDS} shards, {LOCAL_STEPS} local steps. Here, workers, scheduler and client share {CORES} cores.",
        table(["workers", "measured, s", "simulated, s"], checks),
        f"The measured times are {min(ratios):.1f} to {max(ratios):.1f} times the simulated ones. In the simulation, "
        "client and scheduler have a core of their own: read its other results as upper bounds.",
        f"Measured costs: {1e6 * costs.row:.1f} us for a row, {1e3 * costs.vector:.2f} ms to send weights, "
        f"{1e3 * costs.task:.2f} ms to schedule a task, {1e3 * costs.round:.1f} ms of the client in each round.",
        f"Memory: of two workers that train on {4 * N_ROWS:,} rows, {rows_megabytes:.0f} MB each as encoded, none "
        f"grows by more than {megabytes:.0f} MB.",
        "How many times as fast as one core, simulated with these costs, for workers of one core each, the defaults of "
        "`DaskTabularRegressor`, and 8 shards or 64:",
        table(
            ["rows", "one core, h", "8", "32", "128", "512", "128, 64 shards", "512, 64 shards"],
            rows,
        ),
    )


if __name__ == "__main__":
    main()
