import io
import time

import numpy as np
import pytest

from chainrule import Callback, EarlyStopping, KeepBest, ProgressBar, TimeLimit, mlp, train


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def data(rng):
    X = rng.normal(size=(60, 3))
    return X, (X.sum(axis=1) > 0).astype(int)


def noisy(rng):
    """Labels that cannot be learned: the validation loss is best early."""
    return (rng.normal(size=(40, 5)), rng.integers(0, 2, 40)), (rng.normal(size=(40, 5)), rng.integers(0, 2, 40))


def test_early_stopping_waits_for_its_patience_and_restores_the_best_epoch(rng):
    (X, y), validation = noisy(rng)
    net = mlp(5, 32, 2, loss="cross_entropy", seed=0)
    stopper = EarlyStopping(patience=5)
    history = train(net, X, y, optimizer="adam", epochs=500, batch_size=8, validation=validation, callbacks=[stopper])
    best = int(np.argmin(history.validation_loss))
    assert len(history) == best + 1 + 5
    assert history.best_epoch == best
    assert history.stopped == "validation_loss has not improved for 5 epochs"
    assert net.evaluate(*validation) == pytest.approx(history.validation_loss[best], rel=1e-6)


def test_a_metric_that_rises_is_stopped_at_its_highest(rng):
    (X, y), validation = noisy(rng)
    net = mlp(5, 32, 2, loss="cross_entropy", seed=0)
    history = train(
        net,
        X,
        y,
        epochs=200,
        batch_size=8,
        validation=validation,
        metrics=["accuracy"],
        callbacks=[EarlyStopping("validation_accuracy", patience=8)],
    )
    assert history.best_epoch == int(np.argmax(history["validation_accuracy"]))
    assert len(history) == history.best_epoch + 9


def test_gains_up_to_min_delta_do_not_count(data):
    net = mlp(3, 4, 2, loss="cross_entropy", seed=0)
    history = train(net, *data, epochs=50, callbacks=[EarlyStopping("loss", patience=3, min_delta=10)])
    assert len(history) == 4


def test_standing_still_is_no_gain(data):
    net = mlp(3, 4, 2, loss="cross_entropy", seed=0)
    history = train(
        net, *data, epochs=50, batch_size=None, schedule=lambda e, p: 0, callbacks=[EarlyStopping(patience=3)]
    )
    assert len(history) == 4


def test_keep_best_runs_to_the_end_and_goes_back(rng):
    (X, y), validation = noisy(rng)
    net = mlp(5, 32, 2, loss="cross_entropy", seed=0)
    history = train(net, X, y, epochs=60, batch_size=8, validation=validation, callbacks=[KeepBest()])
    assert len(history) == 60
    assert net.evaluate(*validation) == pytest.approx(min(history.validation_loss), rel=1e-6)


def test_without_a_stopper_the_last_weights_stay(rng):
    (X, y), validation = noisy(rng)
    net = mlp(5, 32, 2, loss="cross_entropy", seed=0)
    history = train(net, X, y, epochs=60, batch_size=8, validation=validation)
    assert history.best_epoch is None
    assert net.evaluate(*validation) == pytest.approx(history.validation_loss[-1], rel=1e-6)


def test_a_stopper_may_be_used_again(data):
    stopper = EarlyStopping("loss", patience=2, min_delta=10)
    lengths = [len(train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=50, callbacks=[stopper])) for _ in "ab"]
    assert lengths == [3, 3]


@pytest.mark.parametrize("metric", ["validation_loss", "validation_accuracy", "accuracy", "seconds", "f1"])
def test_a_metric_that_will_not_be_there_is_refused_before_training(metric, data):
    net = mlp(3, 2, loss="cross_entropy", seed=0)
    before = net.theta.copy()
    with pytest.raises(ValueError, match=f"metric must be one of {'loss', 'got' '{metric}'"):
        train(net, *data, callbacks=[EarlyStopping(metric)])
    np.testing.assert_array_equal(net.theta, before)


def test_a_time_limit_ends_training_within_an_epoch(data):
    class Slow(Callback):
        def on_batch_end(self, run):
            time.sleep(0.01)

    start = time.perf_counter()
    net = mlp(3, 2, loss="cross_entropy", seed=0)
    history = train(net, *data, epochs=1000, batch_size=1, callbacks=[Slow(), TimeLimit(0.1)])
    assert time.perf_counter() - start < 5
    assert history.stopped == "the time limit of 0.1 s was reached"
    assert len(history) == 1


def test_an_own_callback_sees_the_run_in_order(data):
    class Diary(Callback):
        def __init__(self):
            self.pages = []

        def on_train_begin(self, run):
            self.pages.append(("begin", len(run.history), run.progress))

        def on_batch_end(self, run):
            self.pages.append(("batch", run.epoch, round(run.progress, 6)))

        def on_epoch_end(self, run):
            self.pages.append(("epoch", run.epoch, len(run.history)))

        def on_train_end(self, run):
            self.pages.append(("end", len(run.history), run.stop))

    diary = Diary()
    train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=2, batch_size=30, callbacks=[diary])
    assert diary.pages == [
        ("begin", 0, 0.0),
        ("batch", 0, 0.25),
        ("batch", 0, 0.5),
        ("epoch", 0, 1),
        ("batch", 1, 0.75),
        ("batch", 1, 1.0),
        ("epoch", 1, 2),
        ("end", 2, ""),
    ]


def test_an_own_callback_can_stop_the_training(data):
    class Stop(Callback):
        def on_epoch_end(self, run):
            if run.history.loss[-1] < 10:
                run.stop = "good enough"

    history = train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=9, callbacks=[Stop()])
    assert (len(history), history.stopped) == (1, "good enough")


def test_the_progress_bar_rewrites_one_line_on_a_terminal(data):
    out = Terminal()
    train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=5, metrics=["accuracy"], callbacks=[ProgressBar(out)])
    last = out.getvalue().split("\r")[-1]
    assert last.startswith("[####################] epoch 5/5  loss 0.")
    assert "accuracy" in last
    assert "0 s left" in last
    assert out.getvalue().count("\n") == 1


def test_the_progress_bar_writes_some_ten_lines_elsewhere(data):
    out = io.StringIO()
    bar = ProgressBar(out)
    train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=95, callbacks=[bar, TimeLimit(1000)])
    lines = out.getvalue().splitlines()
    assert 9 <= len(lines) <= 12
    assert "\r" not in out.getvalue()
    assert "epoch 95/95" in lines[-1]


def test_progress_goes_to_standard_error_and_says_why_it_stopped(data, capsys):
    stopper = EarlyStopping("loss", patience=1, min_delta=10)
    train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=20, progress=True, callbacks=[stopper])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("stopped: loss has not improved for 1 epochs\n")


@pytest.mark.parametrize(
    "make", [lambda: EarlyStopping(patience=0), lambda: KeepBest(min_delta=-1), lambda: TimeLimit(0)]
)
def test_bad_options_are_refused_when_the_callback_is_made(make):
    with pytest.raises(ValueError, match="must"):
        make()
