from contextlib import ExitStack
from itertools import count

import numpy as np
import pytest
import threadpoolctl

from chainrule import Callback
from chainrule.data.reading import read_columns
from chainrule.data.targets import fit_target
from chainrule.errors import TableError
from chainrule.model.embeddings import Lookup
from chainrule.model.executors import Serial, Threads
from chainrule.model.fitting import fit_predictor
from chainrule.model.threads import one_blas_thread

EXECUTORS = [Serial(), Threads(2), Threads(5)]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    columns = read_columns({"x": x, "color": rng.choice(["red", "blue"], 200)})
    return columns, np.where(x + 0.3 * rng.normal(size=200) > 0, "yes", "no")


def fitted(table, **options):
    columns, values = table
    return fit_predictor(columns, values, fit_target("y", values), **{"n_folds": 4, "epochs": 6} | options)


@pytest.fixture(scope="module")
def serial(table):
    return fitted(table)


def test_each_of_many_categories_has_its_effect_and_an_unknown_one_an_average_one(rng):
    shops, x = np.repeat(np.arange(60), 12), rng.normal(size=720)
    effects = np.array([-1.0, 1.0, 3.0])[np.arange(60) % 3]
    y = effects[shops] + 0.5 * x + 0.1 * rng.normal(size=720)
    order = rng.permutation(720)
    columns = read_columns({"shop": np.array([f"shop {k}" for k in shops], object)[order], "x": x[order]})
    result = fitted((columns, y[order]), n_folds=2, epochs=16)
    assert all(isinstance(network.layers[0], Lookup) for network in result.predictor.ensemble.networks)
    rows = [{"shop": f"shop {k}", "x": 0.0} for k in range(60)]
    assert np.abs(result.predictor.predict(rows) - effects).mean() < 0.2
    unknown = result.predictor.predict([{"shop": "new", "x": 0.0}, {"shop": None, "x": 0.0}])
    assert unknown[0] == unknown[1] == pytest.approx(1, abs=0.7)


@pytest.mark.parametrize("executor", EXECUTORS, ids=["serial", "two threads", "five threads"])
def test_the_executor_does_not_change_the_result(executor, table, serial):
    result = fitted(table, executor=executor)
    np.testing.assert_array_equal(result.out_of_fold, serial.out_of_fold)
    np.testing.assert_array_equal(result.predictor.predict_proba(table[0]), serial.predictor.predict_proba(table[0]))


def test_out_of_fold_predictions_are_made_by_members_that_were_not_trained_on_the_row(table, serial):
    result = serial
    assert np.isfinite(result.out_of_fold).all()
    np.testing.assert_allclose(result.out_of_fold.sum(axis=1), 1)
    right = result.predictor.classes[result.out_of_fold.argmax(axis=1)] == table[1]
    assert 0.75 < right.mean() < 1


class CtrlC(Callback):
    """Interrupts training in an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, run):
        if run.epoch == self.epoch:
            raise KeyboardInterrupt


def test_ctrl_c_keeps_the_members_so_far_and_starts_no_other(table):
    started = []

    def callbacks_for(member):
        started.append(member)
        return [CtrlC(3)] if member == 1 else []

    result = fitted(table, callbacks_for=callbacks_for)
    assert started == [0, 1]
    assert [len(history) for history in result.histories] == [6, 3]
    assert result.histories[1].stopped.startswith("interrupted")
    assert np.isnan(result.out_of_fold).any(axis=1).sum() == 100
    assert (result.predictor.predict(table[0]) == table[1]).mean() > 0.75


def test_ctrl_c_in_the_first_epoch_is_raised(table):
    with pytest.raises(KeyboardInterrupt):
        fitted(table, callbacks_for=lambda member: [CtrlC(0)])


def test_ctrl_c_stops_members_in_threads_after_their_batch_and_keeps_them(table, monkeypatch):
    from chainrule.model import executors

    def wait_then_interrupt(futures, timeout):
        while not all(second_epoch):
            pass
        raise KeyboardInterrupt

    class RecordEpoch(Callback):
        def __init__(self, member):
            self.member = member

        def on_epoch_end(self, run):
            second_epoch[self.member] = run.epoch >= 1

    second_epoch = [False, False]
    monkeypatch.setattr(executors, "wait", wait_then_interrupt)
    result = fitted(
        table, epochs=100_000, executor=Threads(2), callbacks_for=lambda k: [RecordEpoch(k)] if k < 2 else []
    )
    assert len(result.histories) == 2
    assert all(history.stopped.startswith("interrupted") for history in result.histories)
    assert np.isfinite(result.predictor.predict_proba(table[0])).all()


def test_an_error_in_one_thread_stops_all_and_is_raised(table):
    class Fails(Callback):
        def on_epoch_end(self, run):
            raise TableError("member failed")

    with pytest.raises(TableError, match="member failed"):
        fitted(table, epochs=100_000, executor=Threads(2), callbacks_for=lambda k: [Fails()] if k == 1 else [])


def test_nested_contexts_restore_the_number_of_blas_threads(two_blas_threads):
    def threads():
        return {one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"}

    first, second = ExitStack(), ExitStack()
    first.enter_context(one_blas_thread)
    second.enter_context(one_blas_thread)
    first.close()
    assert threads() == {1}
    second.close()
    assert threads() == {2}


def test_the_time_limit_is_shared_by_the_members(table):
    epochs = count()

    def always_better(y, prediction):
        return -next(epochs)

    fitted(table, epochs=100_000, time_limit=0.1)  # loads numba, which may take longer than the limit
    for executor in (Serial(), Threads(2)):
        result = fitted(table, epochs=100_000, time_limit=1, executor=executor, metric=always_better)
        seconds = [sum(history.seconds) for history in result.histories]
        assert 4 <= len(seconds) <= 12  # of three variants on four folds
        assert sum(seconds) / executor.jobs < 4
        assert all(history.stopped.startswith("reached the time limit") for history in result.histories)
