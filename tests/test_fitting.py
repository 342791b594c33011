from contextlib import ExitStack
from itertools import count

import numpy as np
import pytest

from chainrule import Callback
from chainrule.data.reading import read_columns
from chainrule.data.targets import fit_target
from chainrule.errors import TableError
from chainrule.model.fitting import Serial, Threads, fit_predictor, one_blas_thread

WORKERS = [Serial(), Threads(2), Threads(5)]


@pytest.fixture
def table(rng):
    x = rng.normal(size=200)
    columns = read_columns({"x": x, "colour": rng.choice(["red", "blue"], 200)})
    return columns, np.where(x + 0.3 * rng.normal(size=200) > 0, "yes", "no")


def fitted(table, **options):
    columns, values = table
    return fit_predictor(columns, values, fit_target("y", values), **{"n_members": 4, "epochs": 6} | options)


@pytest.mark.parametrize("workers", WORKERS, ids=["in turn", "two", "five"])
def test_who_trains_the_members_does_not_matter(workers, table):
    alone, result = fitted(table), fitted(table, workers=workers)
    np.testing.assert_array_equal(result.out_of_fold, alone.out_of_fold)
    np.testing.assert_array_equal(result.predictor.predict_proba(table[0]), alone.predictor.predict_proba(table[0]))


def test_what_is_out_of_fold_is_the_answer_of_the_member_that_did_not_see_the_row(table):
    result = fitted(table)
    assert np.isfinite(result.out_of_fold).all()
    np.testing.assert_allclose(result.out_of_fold.sum(axis=1), 1)
    right = result.predictor.classes[result.out_of_fold.argmax(axis=1)] == table[1]
    assert 0.75 < right.mean() < 1


class CtrlC(Callback):
    """Raises in the epoch of the member of those numbers, once."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, run):
        if run.epoch == self.epoch:
            raise KeyboardInterrupt


def test_ctrl_c_keeps_the_members_there_are_and_begins_no_other(table):
    begun = []

    def watch(member):
        begun.append(member)
        return [CtrlC(3)] if member == 1 else []

    result = fitted(table, watch=watch)
    assert begun == [0, 1]
    assert [len(history) for history in result.histories] == [6, 3]
    assert result.histories[1].stopped.startswith("interrupted")
    assert np.isnan(result.out_of_fold).any(axis=1).sum() == 100
    assert (result.predictor.predict(table[0]) == table[1]).mean() > 0.75


def test_ctrl_c_before_the_first_epoch_ends_is_passed_on(table):
    with pytest.raises(KeyboardInterrupt):
        fitted(table, watch=lambda member: [CtrlC(0)])


def test_ctrl_c_ends_members_in_threads_at_their_batch_and_keeps_them(table, monkeypatch):
    from chainrule.model import fitting

    def wait_then_interrupt(futures, timeout):
        while not all(second_epoch):
            pass
        raise KeyboardInterrupt

    class Watch(Callback):
        def __init__(self, member):
            self.member = member

        def on_epoch_end(self, run):
            second_epoch[self.member] = run.epoch >= 1

    second_epoch = [False, False]
    monkeypatch.setattr(fitting, "wait", wait_then_interrupt)
    result = fitted(table, epochs=100_000, workers=Threads(2), watch=lambda k: [Watch(k)] if k < 2 else [])
    assert len(result.histories) == 2
    assert all(history.stopped.startswith("interrupted") for history in result.histories)
    assert np.isfinite(result.predictor.predict_proba(table[0])).all()


def test_an_error_in_one_thread_ends_them_all_and_is_raised(table):
    class Fails(Callback):
        def on_epoch_end(self, run):
            raise TableError("one went wrong")

    with pytest.raises(TableError, match="one went wrong"):
        fitted(table, epochs=100_000, workers=Threads(2), watch=lambda k: [Fails()] if k == 1 else [])


def test_several_at_once_leave_matrix_products_the_threads_they_had():
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def threads():
        return [one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]

    before = threads()
    first, second = ExitStack(), ExitStack()
    first.enter_context(one_blas_thread)
    second.enter_context(one_blas_thread)
    first.close()
    assert set(threads()) <= {1}
    second.close()
    assert threads() == before


def test_the_time_limit_is_shared_by_the_members(table):
    epochs = count()

    def ever_better(y, prediction):
        return -next(epochs)

    for workers in (Serial(), Threads(2)):
        result = fitted(table, epochs=100_000, time_limit=0.2, workers=workers, metric=ever_better)
        seconds = [sum(history.seconds) for history in result.histories]
        assert len(seconds) == 4
        assert sum(seconds) / workers.jobs < 1.5
        assert all(history.stopped.startswith("the time limit") for history in result.histories)
