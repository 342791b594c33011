"""Training on a Dask cluster: the same bits for any number of workers, and no hang whatever is lost."""

import contextlib
import os
import pickle
import signal
import sys
import time
from itertools import pairwise

import dask
import dask.array as da
import dask.dataframe as dd
import joblib
import numpy as np
import pandas as pd
import pytest
from dask.distributed import Client, LocalCluster, Status
from sklearn.base import clone

from chainrule import ClusterError, TabularClassifier, load
from chainrule.data.targets import ClassTarget
from chainrule.distributed import DaskTabularClassifier, DaskTabularRegressor, predict, shards, train
from chainrule.distributed import cluster as cluster_module
from chainrule.distributed.cluster import Cluster
from chainrule.distributed.methods import METHODS, Round, add
from chainrule.model.recipe import CLASSIFICATION

QUICK = {"quality": "fast", "n_folds": 2, "hidden_layer_sizes": (8,), "epochs": 1, "batch_size": 64}
QUICK |= {"n_shards": 2, "local_steps": 1}
IN_PROCESS = {"processes": False, "n_workers": 1, "dashboard_address": ":0", "silence_logs": 50}


@pytest.fixture(scope="module")
def cluster():
    """One worker process; tests scale it."""
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with LocalCluster(n_workers=1, **options) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=300), "color": rng.choice(["red", "blue"], 300)})
    frame.loc[250:, "color"] = "green"  # in the last partitions only
    frame.loc[::7, "size"] = np.nan
    kind = pd.Series(np.where((frame["size"] > 0) ^ (frame.color == "red"), "yes", "no"), name="kind")
    return frame, kind


def collections(*frames):
    """Return DataFrames in partitions of very different sizes, one of them empty."""
    ends = [0, 10, 10, 200, 260, 300]
    parts = list(pairwise(ends))
    return [dd.from_map(lambda part, frame=frame: frame.iloc[slice(*part)], parts) for frame in frames]


def weights(model):
    return [network.theta.tobytes() for network in model.predictor_.ensemble.networks]


@pytest.fixture(scope="module")
def fitted(client, table):
    """A classifier for each method, trained by one worker."""
    return {
        method: DaskTabularClassifier(client, method=method, **QUICK, random_state=0).fit(*collections(*table))
        for method in METHODS
    }


def test_without_a_client_there_is_an_error(table):
    X, y = collections(*table)
    with pytest.raises(ValueError, match="No clients found"):
        DaskTabularClassifier().fit(X, y)


def test_one_two_and_four_workers_give_the_same_bits(table, fitted):
    with LocalCluster(**IN_PROCESS) as threads, Client(threads) as client:
        for method, n_workers in (("local", 2), ("exact", 4), ("local", 4)):
            threads.scale(n_workers)
            if method == "exact":
                client.wait_for_workers(n_workers)  # otherwise they join late
            model = clone(fitted[method]).set_params(client=client).fit(*collections(*table))
            assert weights(model) == weights(fitted[method])
    assert weights(fitted["local"]) != weights(fitted["exact"])


def test_a_worker_loads_no_scikit_learn(client, fitted):
    loaded = client.run(lambda: {name.partition(".")[0] for name in sys.modules})
    assert loaded
    assert all("chainrule" in names and "sklearn" not in names for names in loaded.values())


def kill_one(cluster, rng):
    """Kill a running worker, waiting until there is one; its nanny starts another one."""
    deadline = time.monotonic() + 60
    while not (pids := [pid for pid in map(running_pid, list(cluster.workers.values())) if pid]):
        assert time.monotonic() < deadline, "no worker has started"
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
        os.kill(rng.choice(pids), signal.SIGKILL)


def running_pid(nanny):
    """Return the process of a nanny's worker, None while it starts or ends (in another thread, at any moment)."""
    process = nanny.process
    return process.pid if process and process.status == Status.running else None


def test_killed_workers_cost_their_rounds_and_change_nothing(cluster, client, table, fitted, monkeypatch):
    rng, compute = np.random.default_rng(1), Cluster.compute
    killed = []

    def compute_and_kill(self, values):
        futures = compute(self, values)
        if rng.random() < 0.4 and len(killed) < 2:
            kill_one(cluster, rng)
            killed.append(True)
        return futures

    cluster.scale(2)
    monkeypatch.setattr(Cluster, "compute", compute_and_kill)
    model = clone(fitted["local"]).fit(*collections(*table))
    assert len(killed) == 2
    assert weights(model) == weights(fitted["local"])


def test_a_lost_scheduler_leaves_a_checkpoint_from_which_another_cluster_goes_on(
    client, table, fitted, monkeypatch, tmp_path
):
    options = {"checkpoint": tmp_path / "fit.checkpoint"}
    results, rounds = Cluster.results, []

    def lose(self, futures):
        rounds.append(1)
        if len(rounds) == 8:
            self.client.cluster.sync(self.client.cluster.scheduler.close)
        return results(self, futures)

    with monkeypatch.context() as patch, dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        patch.setattr(Cluster, "results", lose)
        with LocalCluster(**IN_PROCESS) as other, Client(other) as lost, pytest.raises(ClusterError, match="scheduler"):
            clone(fitted["local"]).set_params(client=lost, **options).fit(*collections(*table))
    assert options["checkpoint"].exists()
    resumed = clone(fitted["local"]).set_params(resume=True, **options).fit(*collections(*table))
    assert weights(resumed) == weights(fitted["local"])
    with pytest.raises(ValueError, match="n_shards was 2, now 4"):
        clone(fitted["local"]).set_params(resume=True, n_shards=4, **options).fit(*collections(*table))


def test_without_any_worker_there_is_an_error_and_no_hang(table, monkeypatch):
    monkeypatch.setattr(cluster_module, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(cluster_module, "PATIENCE", 5)
    results, rounds = Cluster.results, []

    def close_workers(self, futures):
        rounds.append(1)
        if len(rounds) == 4:
            for worker in list(self.client.cluster.workers.values()):
                self.client.cluster.sync(worker.close)
        return results(self, futures)

    monkeypatch.setattr(Cluster, "results", close_workers)
    with LocalCluster(**IN_PROCESS) as other, Client(other) as client, pytest.raises(ClusterError, match="no worker"):
        DaskTabularClassifier(client, **QUICK, random_state=0).fit(*collections(*table))


def test_predictions_are_lazy_and_of_the_kind_given(client, table, fitted):
    frame, _ = table
    [X] = collections(frame)
    model = fitted["local"]
    local = model.to_local()
    assert isinstance(local, TabularClassifier)
    labels, probabilities = model.predict(X), model.predict_proba(X)
    assert isinstance(labels, dd.Series)
    assert isinstance(probabilities, dd.DataFrame)
    assert list(probabilities.columns) == ["no", "yes"]
    pd.testing.assert_series_equal(labels.compute(), pd.Series(local.predict(frame), frame.index))
    np.testing.assert_array_equal(probabilities.compute(), local.predict_proba(frame))


def test_arrays_give_arrays_and_regressors_intervals(client, rng):
    X = rng.normal(size=(200, 3))
    y = X @ [1.0, 2.0, 0.0]
    A, b = da.from_array(X, chunks=(70, 2)), da.from_array(y, chunks=70)
    weight = da.ones_like(b)
    model = DaskTabularRegressor(client, **QUICK | {"epochs": 8, "local_steps": 4}, random_state=0).fit(A, b, weight)
    prediction, interval = model.predict(A), model.predict_interval(A, coverage=0.8)
    assert isinstance(interval, da.Array)
    assert interval.shape == (200, 2)
    np.testing.assert_array_equal(prediction.compute(), model.to_local().predict(X))
    np.testing.assert_array_equal(interval.compute(), model.predictor_.predict_interval(X, 0.8))
    assert model.to_local().score(X, y) > 0.5


def test_the_model_is_the_plain_file_and_the_client_stays_here(client, table, fitted, tmp_path):
    model = fitted["local"]
    model.save(tmp_path / "model.chainrule")
    restored = pickle.loads(pickle.dumps(model))
    assert restored.client is None
    assert clone(model).client is client
    for other in (load(tmp_path / "model.chainrule"), restored.to_local()):
        np.testing.assert_array_equal(other.predict_proba(table[0]), model.to_local().predict_proba(table[0]))
    [X] = collections(table[0])
    assert (predict(None, restored, X).compute() == model.predict(X).compute()).all()  # with the default client


def test_the_function_trains_the_same_model(client, table, fitted):
    options = {name: value for name, value in QUICK.items() if name not in ("hidden_layer_sizes", "batch_size")}
    seed = fitted["local"].predictor_.metadata["seed"]
    result = train(client, *collections(*table), options={"hidden": (8,), "batch_size": 64}, seed=seed, **options)
    assert [network.theta.tobytes() for network in result.predictor.ensemble.networks] == weights(fitted["local"])


def test_members_of_a_table_in_memory_are_trained_by_joblib_on_the_cluster(client, table):
    model = TabularClassifier(quality="fast", n_folds=2, epochs=2, random_state=0)
    with joblib.parallel_config(backend="dask"):
        spread = clone(model).set_params(n_jobs=2).fit(*table)
    assert weights(spread) == weights(model.fit(*table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": pd.DataFrame({"size": [1.0]})}, "X must be a Dask DataFrame or Array, got a DataFrame"),
        ({"y": da.zeros(300, chunks=150)}, "same partitions, got X: 5, y: 2"),
        (
            {"y": da.zeros(300, chunks=60)},
            "partitions of X and y must have the same numbers of rows, got [0-9]+ and 60",
        ),
        ({"y": dd.from_pandas(pd.Series(["a"] * 300), npartitions=1)}, "same partitions"),
    ],
)
def test_an_error_says_what_to_do(client, table, change, message):
    X, y = collections(*table)
    arguments = {"X": X, "y": y} | change
    with pytest.raises(ValueError, match=message):
        DaskTabularClassifier(client, **QUICK).fit(**arguments)


# The mathematics, without a cluster.


def method(kind, rng, weight=None, n_rounds=1):
    """Return a method, two of its shards, and their rows together."""
    X, y = rng.normal(size=(20, 3)).astype(np.float32), rng.integers(0, 2, 20)
    fold = np.full(20, -1)
    fold[::5] = 0
    network = CLASSIFICATION.network(3, 2, seed=0)
    network.theta[...] = rng.normal(size=network.theta.size) / 10
    made = METHODS[kind](network, CLASSIFICATION, ClassTarget.fit("y", y), 0, 0, n_rounds, 4, "numpy")
    parts = [
        shards.Shard(k, X[rows], y[rows], None if weight is None else weight[rows], fold[rows])
        for k, rows in enumerate((slice(0, 8), slice(8, 20)))
    ]
    return made, parts, (X[fold < 0], y[fold < 0], None if weight is None else weight[fold < 0])


@pytest.mark.parametrize("weighted", [False, True])
def test_the_exact_gradient_is_that_of_all_rows_at_once(weighted, rng):
    exact, parts, rows = method("exact", rng, rng.random(20) if weighted else None)
    network = exact.network
    sums = add([exact(shard, Round(0, 0.0, 1.0, network.theta, network.buffers)) for shard in parts])
    loss, grad = network.loss_and_grad(*rows)
    assert sums.loss / sums.weight == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(sums.grad / sums.weight, grad, atol=1e-6)


@pytest.mark.parametrize("kind", METHODS)
def test_the_rounds_of_a_pass_use_every_row_but_the_held_out_ones_once(kind, rng):
    trained, parts, rows = method(kind, rng, n_rounds=3)
    total = sum(
        trained(s, Round(k, 0.0, 1.0, trained.network.theta, trained.network.buffers)).weight
        for s in parts
        for k in (3, 4, 5)
    )
    assert total == len(rows[0])
    seen = np.concatenate([trained.rows(parts[1], k) for k in (3, 4, 5)])
    assert sorted(seen) == np.flatnonzero(parts[1].fold < 0).tolist()
    assert seen.tolist() != np.concatenate([trained.rows(parts[1], k) for k in (0, 1, 2)]).tolist()


def test_shards_are_contiguous_rows_of_equal_number_whatever_the_partitions():
    for lengths in ([10, 0, 4, 1, 9], [24], [1] * 24):
        starts = np.cumsum([0, *lengths])
        numbers = [[starts[i] + np.arange(a, b) for i, a, b in pieces] for pieces in shards.pieces(lengths, 5)]
        joined = [np.concatenate(rows) for rows in numbers]
        assert [len(rows) for rows in joined] == [4, 5, 5, 5, 5]
        assert np.concatenate(joined).tolist() == list(range(24))


def test_folds_hold_out_equal_samples_that_do_not_depend_on_the_shards():
    n = 300_000
    whole = shards.folds_of(0, n, n, n_folds=3, seed=1)
    parts = [shards.folds_of(a, b, n, n_folds=3, seed=1) for a, b in ((0, 7), (7, 150_000), (150_000, n))]
    assert np.concatenate(parts).tolist() == whole.tolist()
    counts = np.bincount(whole[whole >= 0])
    assert counts.sum() == pytest.approx(shards.MAX_HELD_OUT, rel=0.02)
    assert counts.max() - counts.min() < 200
