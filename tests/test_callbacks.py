import io
import re
import sys
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest

import chainrule
from chainrule import Callback, EarlyStopping, History, KeepBest, ProgressBar, TimeLimit, mlp, train
from chainrule.training.callbacks import HOOKS, as_callbacks


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def data(rng):
    X = rng.normal(size=(60, 3))
    return X, (X.sum(axis=1) > 0).astype(int)


def noisy(rng):
    """Return labels that cannot be learned: the validation loss is best early."""
    return (rng.normal(size=(40, 5)), rng.integers(0, 2, 40)), (rng.normal(size=(40, 5)), rng.integers(0, 2, 40))


def test_early_stopping_stops_after_its_patience_and_restores_the_best_epoch(rng):
    (X, y), validation = noisy(rng)
    net = mlp(5, 32, 2, loss="cross_entropy", seed=0)
    stopper = EarlyStopping(patience=5)
    history = train(net, X, y, optimizer="adam", epochs=500, batch_size=8, validation=validation, callbacks=[stopper])
    best = int(np.argmin(history.validation_loss))
    assert len(history) == best + 1 + 5
    assert history.best_epoch == best
    assert history.stopped == "validation_loss has not improved for 5 epochs"
    assert net.evaluate(*validation) == pytest.approx(history.validation_loss[best], rel=1e-6)


def test_a_metric_for_which_higher_is_better_is_restored_at_its_maximum(rng):
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


def test_improvements_up_to_min_delta_do_not_count(data):
    net = mlp(3, 4, 2, loss="cross_entropy", seed=0)
    history = train(net, *data, epochs=50, callbacks=[EarlyStopping("loss", patience=3, min_delta=10)])
    assert len(history) == 4


def test_a_constant_metric_is_no_improvement(data):
    net = mlp(3, 4, 2, loss="cross_entropy", seed=0)
    history = train(
        net, *data, epochs=50, batch_size=None, schedule=lambda e, p: 0, callbacks=[EarlyStopping(patience=3)]
    )
    assert len(history) == 4


def test_keep_best_trains_to_the_end_and_restores_the_best_epoch(rng):
    (X, y), validation = noisy(rng)
    net = mlp(5, 32, 2, loss="cross_entropy", seed=0)
    history = train(net, X, y, epochs=60, batch_size=8, validation=validation, callbacks=[KeepBest()])
    assert len(history) == 60
    assert net.evaluate(*validation) == pytest.approx(min(history.validation_loss), rel=1e-6)


def test_without_early_stopping_the_last_weights_are_kept(rng):
    (X, y), validation = noisy(rng)
    net = mlp(5, 32, 2, loss="cross_entropy", seed=0)
    history = train(net, X, y, epochs=60, batch_size=8, validation=validation)
    assert history.best_epoch is None
    assert net.evaluate(*validation) == pytest.approx(history.validation_loss[-1], rel=1e-6)


def test_early_stopping_may_be_reused(data):
    stopper = EarlyStopping("loss", patience=2, min_delta=10)
    lengths = [len(train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=50, callbacks=[stopper])) for _ in "ab"]
    assert lengths == [3, 3]


@pytest.mark.parametrize("metric", ["validation_loss", "validation_accuracy", "accuracy", "seconds", "f1"])
def test_a_metric_that_is_not_recorded_is_refused_before_training(metric, data):
    net = mlp(3, 2, loss="cross_entropy", seed=0)
    before = net.theta.copy()
    with pytest.raises(ValueError, match=rf"metric .*{{'loss'}}, got '{metric}'"):
        train(net, *data, callbacks=[EarlyStopping(metric)])
    np.testing.assert_array_equal(net.theta, before)


def test_a_time_limit_stops_training_within_an_epoch(data):
    class Slow(Callback):
        def on_batch_end(self, run):
            time.sleep(0.01)

    start = time.perf_counter()
    net = mlp(3, 2, loss="cross_entropy", seed=0)
    history = train(net, *data, epochs=1000, batch_size=1, callbacks=[Slow(), TimeLimit(0.1)])
    assert time.perf_counter() - start < 30
    assert history.stopped == "reached the time limit of 0.1 s"
    assert len(history) == 1


class Recorder(Callback):
    """Records every call of a hook."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, run):
        self.calls.append(("train begin", len(run.history), run.progress))

    def on_epoch_begin(self, run):
        self.calls.append(("epoch begin", run.epoch, run.progress))

    def on_gradient(self, run):
        self.calls.append(("gradient", run.batch, round(run.progress, 6)))

    def on_batch_end(self, run):
        self.calls.append(("batch end", run.batch, round(run.progress, 6)))

    def on_epoch_end(self, run):
        self.calls.append(("epoch end", run.epoch, len(run.history)))

    def on_train_end(self, run):
        self.calls.append(("train end", len(run.history), run.stop))


def test_the_hooks_of_a_custom_callback_are_called_in_order(data):
    recorder = Recorder()
    train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=2, batch_size=30, callbacks=[recorder])
    assert recorder.calls == [
        ("train begin", 0, 0.0),
        ("epoch begin", 0, 0.0),
        ("gradient", 0, 0.0),
        ("batch end", 0, 0.25),
        ("gradient", 1, 0.25),
        ("batch end", 1, 0.5),
        ("epoch end", 0, 1),
        ("epoch begin", 1, 0.5),
        ("gradient", 0, 0.5),
        ("batch end", 0, 0.75),
        ("gradient", 1, 0.75),
        ("batch end", 1, 1.0),
        ("epoch end", 1, 2),
        ("train end", 2, ""),
    ]
    assert list(HOOKS) == [
        f"on_{hook}" for hook in dict.fromkeys(name.replace(" ", "_") for name, *_ in recorder.calls)
    ]


def test_on_gradient_is_called_between_the_gradient_and_the_step(data):
    net, seen = mlp(3, 2, loss="cross_entropy", seed=0), []

    class Watch(Callback):
        def on_gradient(self, run):
            X, y, weight = run.batch_rows
            value, grad = run.net.copy().objective(X, y, weight)
            assert run.loss == pytest.approx(value)
            assert run.gradient_norm == pytest.approx(np.linalg.norm(grad), rel=1e-6)
            seen.append(run.net.theta.copy())

        def on_batch_end(self, run):
            assert not np.array_equal(run.net.theta, seen[-1])

    start = net.theta.copy()
    train(net, *data, epochs=1, batch_size=20, callbacks=Watch())
    assert len(seen) == 3
    np.testing.assert_array_equal(seen[0], start)


def test_one_callback_may_be_given_without_a_list(data):
    recorder, stopper = Recorder(), EarlyStopping("loss", patience=2, min_delta=10)
    train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=1, batch_size=30, callbacks=recorder)
    assert len(recorder.calls) == 8
    assert as_callbacks(recorder) == [recorder]
    assert as_callbacks((recorder, stopper)) == [recorder, stopper]
    assert as_callbacks([]) == []


class KerasEpochEnd(Callback):
    def on_epoch_end(self, epoch, logs=None):
        pass


class KerasBatchEnd(Callback):
    def on_batch_end(self, batch, logs):
        pass


class OptionalArgument(Callback):
    def on_gradient(self, run, verbose=False):
        pass


class NoArgument(Callback):
    def on_train_end(self):
        pass


@pytest.mark.parametrize(
    ("callback", "hook", "form"),
    [
        (KerasEpochEnd(), "on_epoch_end", "(self, epoch, logs=None)"),
        (KerasBatchEnd(), "on_batch_end", "(self, batch, logs)"),
        (OptionalArgument(), "on_gradient", "(self, run, verbose=False)"),
        (NoArgument(), "on_train_end", "(self"),
    ],
)
def test_a_hook_with_another_signature_is_refused_before_training(callback, hook, form, data):
    net = mlp(3, 2, loss="cross_entropy", seed=0)
    theta = net.theta.copy()
    message = rf"{type(callback).__name__}\.{hook} .*\(self, run\), got {re.escape(form)}"
    for callbacks in (callback, [KeepBest(), callback]):
        with pytest.raises(ValueError, match=message):
            train(net, *data, callbacks=callbacks)
    np.testing.assert_array_equal(net.theta, theta)


def test_the_argument_of_a_hook_may_have_any_name(data):
    class OtherName(Callback):
        def on_epoch_begin(self, r):
            self.n_epochs = r.epochs

        def on_epoch_end(self, *args):
            self.args = args

    callback = OtherName()
    train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=2, callbacks=callback)
    assert callback.n_epochs == 2
    assert len(callback.args) == 1


@pytest.mark.parametrize("callback", [EarlyStopping, "early_stopping", print])
def test_an_object_that_is_not_a_callback_is_refused(callback, data):
    net = mlp(3, 2, loss="cross_entropy", seed=0)
    with pytest.raises(ValueError, match=rf"callbacks .*Callback objects.*, got {re.escape(repr(callback))}"):
        train(net, *data, callbacks=[callback])


def test_a_custom_callback_can_stop_the_training(data):
    class Stop(Callback):
        def on_epoch_end(self, run):
            if run.history.loss[-1] < 10:
                run.stop = "good enough"

    history = train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=9, callbacks=[Stop()])
    assert (len(history), history.stopped) == (1, "good enough")


def test_the_progress_bar_updates_one_line_on_a_terminal(data):
    out = Terminal()
    train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=5, metrics=["accuracy"], callbacks=[ProgressBar(out)])
    last = out.getvalue().split("\r")[-1]
    assert last.startswith("[####################] epoch 5/5  loss 0.")
    assert "accuracy" in last
    assert "0 s remaining" in last
    assert out.getvalue().count("\n") == 1


def test_the_progress_bar_writes_about_ten_lines_elsewhere(data):
    out = io.StringIO()
    bar = ProgressBar(out)
    train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=95, callbacks=[bar, TimeLimit(1000)])
    lines = out.getvalue().splitlines()
    assert 9 <= len(lines) <= 12
    assert "\r" not in out.getvalue()
    assert lines[0].startswith("[#-------------------] epoch 9/95  loss ")
    assert "epoch 95/95" in lines[-1]


def test_progress_is_written_to_standard_error_with_the_reason_for_stopping(data, capsys):
    stopper = EarlyStopping("loss", patience=1, min_delta=10)
    train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=20, progress=True, callbacks=[stopper])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("stopped: loss has not improved for 1 epochs\n")


@pytest.mark.parametrize(
    "make", [lambda: EarlyStopping(patience=0), lambda: KeepBest(min_delta=-1), lambda: TimeLimit(0)]
)
def test_invalid_options_are_refused_when_the_callback_is_made(make):
    with pytest.raises(ValueError, match="must"):
        make()


def test_a_history_is_read_by_column(data):
    net = mlp(3, 2, loss="cross_entropy", seed=0)
    history = train(net, *data, epochs=3, validation=data, metrics=["accuracy"])
    names = [
        "loss",
        "validation_loss",
        "validation_accuracy",
        "learning_rate",
        "gradient_norm",
        "step_ratio",
        "seconds",
    ]
    assert history.keys() == list(history) == names
    table = history.to_dict()
    assert table == {name: history[name] for name in names}
    assert {len(column) for column in table.values()} == {len(history)} == {3}
    table["loss"].clear()
    assert len(history.loss) == 3
    with pytest.raises(KeyError, match=r"column .*validation_accuracy.*got 'accuracy'"):
        history["accuracy"]


def test_a_history_records_one_value_in_every_column():
    history = History(metrics={"accuracy": []})
    values = {"loss": 0.5, "accuracy": 0.9, "learning_rate": 0.1, "gradient_norm": 2, "step_ratio": 0.01, "seconds": 3}
    history.record(values)
    assert history.to_dict() == {name: [value] for name, value in values.items()}
    with pytest.raises(KeyError, match="accuracy"):
        history.record({"loss": 0.5})


@pytest.mark.parametrize("metric", ["validation_loss", "accuracy", "seconds", "los"])
def test_a_history_requires_a_recorded_metric(metric):
    history = History(metrics={"r2": []})
    history.require(None)
    history.require("loss")
    history.require("r2")
    with pytest.raises(ValueError, match=f"metric must be one of {{'loss', 'r2'}}, got '{metric}'"):
        history.require(metric)


def test_a_history_draws_its_learning_curves(data, monkeypatch):
    history = train(mlp(3, 2, loss="cross_entropy", seed=0), *data, epochs=3, metrics=["accuracy"])
    monkeypatch.delitem(sys.modules, "chainrule.viz", raising=False)  # as where nobody has imported it
    monkeypatch.delattr(chainrule, "viz", raising=False)
    ax = history.plot()
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), history.loss)
    assert history.plot(ax) is ax
    plt.close(ax.figure)
