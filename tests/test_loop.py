import signal
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest

import oracles
from chainrule import (
    SGD,
    Activation,
    Adam,
    BatchNorm,
    Callback,
    Dense,
    Dropout,
    EarlyStopping,
    History,
    Network,
    RMSProp,
    mlp,
    train,
)
from chainrule.errors import DivergenceError
from chainrule.training.batches import batches
from chainrule.training.run import Run
from chainrule.training.schedules import ReduceOnPlateau


@pytest.fixture
def data(rng):
    X = rng.normal(size=(50, 3))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def classifier(seed=0, **options):
    return mlp(3, 8, 2, loss="cross_entropy", seed=seed, **options)


@pytest.mark.parametrize("batch_size", [None, 1, 7, 50, 1000])
def test_a_training_is_steps_along_the_gradient_of_each_batch(batch_size, data):
    X, y = data
    net, by_hand = classifier(dtype="float64"), classifier(dtype="float64")
    history = train(net, X, y, optimizer=SGD(0.1), epochs=3, batch_size=batch_size, shuffle=False)
    size = min(batch_size or len(X), len(X))
    for epoch in range(3):
        total = 0.0
        for start in range(0, len(X), size):
            rows = slice(start, start + size)
            value, grad = by_hand.loss_and_grad(X[rows], y[rows])
            total += value * len(X[rows])
            by_hand.theta = by_hand.theta - 0.1 * grad
        assert history.loss[epoch] == pytest.approx(total / len(X), rel=1e-12)
    np.testing.assert_allclose(net.theta, by_hand.theta, rtol=1e-12)


def test_batch_gradient_descent_on_one_neuron_is_the_naive_loop(rng):
    X = rng.normal(size=(12, 2))
    y = rng.normal(size=12)
    net = Network([Dense(2, 1)], dtype="float64", seed=0)
    w, b = [list(net.params[0]["W"][:, 0]), net.params[0]["b"][0]]
    train(net, X, y, optimizer=SGD(0.3), epochs=20, batch_size=None)
    for _ in range(20):
        gaps = oracles.dense(X, np.array([w]).T, [b])[:, 0] - y
        w = [w[k] - 0.3 * sum(gap * x[k] for gap, x in zip(gaps, X, strict=True)) / 12 for k in range(2)]
        b -= 0.3 * sum(gaps) / 12
    np.testing.assert_allclose(net.theta, [*w, b], rtol=1e-12)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(data):
    nets = [classifier(dropout=0.3) for _ in range(3)]
    histories = [train(net, *data, epochs=4, batch_size=8, seed=seed) for net, seed in zip(nets, (1, 1, 2))]
    np.testing.assert_array_equal(nets[0].theta, nets[1].theta)
    assert histories[0].loss == histories[1].loss
    assert not np.array_equal(nets[0].theta, nets[2].theta)


def test_the_optimizer_passed_in_stays_unchanged(data):
    optimizer = Adam()
    train(classifier(), *data, optimizer=optimizer, epochs=2)
    assert (optimizer.steps, optimizer.moments) == (0, {})


def test_history_has_a_value_for_each_epoch_in_every_column(data):
    X, y = data
    history = train(
        classifier(),
        X[:40],
        y[:40],
        epochs=6,
        batch_size=16,
        validation=(X[40:], y[40:]),
        metrics=["accuracy", "log_loss"],
    )
    assert isinstance(history, History)
    assert list(history.columns) == [
        "loss",
        "validation_loss",
        "validation_accuracy",
        "validation_log_loss",
        "learning_rate",
        "gradient_norm",
        "step_ratio",
        "seconds",
    ]
    for column in history.columns:
        assert len(history[column]) == len(history) == 6
        assert np.isfinite(history[column]).all()
    assert history["validation_loss"] == pytest.approx(history["validation_log_loss"], rel=1e-5)
    assert history.line().startswith("loss 0.")
    with pytest.raises(KeyError, match=r"column must be one of loss, validation_loss, .* got 'auc'"):
        history["auc"]


def test_metrics_are_measured_on_the_training_rows_without_a_validation_set(data):
    net = classifier()
    history = train(net, *data, epochs=3, metrics=["accuracy"])
    assert history["accuracy"][-1] == np.mean(net.predict(data[0]) == data[1])
    assert history.validation_loss == []


def test_weights_of_validation_rows_count(data):
    X, y = data
    weight = np.arange(10.0)
    net = classifier()
    history = train(net, X[:40], y[:40], epochs=2, validation=(X[40:], y[40:], weight))
    assert history.validation_loss[-1] == pytest.approx(net.evaluate(X[40:], y[40:], weight), rel=1e-6)


def test_sample_weights_are_what_repeating_rows_is(data):
    X, y = data
    counts = np.random.default_rng(1).integers(0, 4, len(X))
    weighted, repeated = classifier(dtype="float64"), classifier(dtype="float64")
    options = {"optimizer": SGD(0.5), "epochs": 20, "batch_size": None}
    a = train(weighted, X, y, sample_weight=counts, **options)
    b = train(repeated, np.repeat(X, counts, axis=0), np.repeat(y, counts), **options)
    np.testing.assert_allclose(weighted.theta, repeated.theta, rtol=1e-9)
    assert a.loss == pytest.approx(b.loss, rel=1e-10)


def test_the_epochs_loss_counts_each_batch_by_its_weight(data):
    X, y = data
    weight = np.random.default_rng(1).random(len(X))
    net = classifier(dtype="float64")
    expected = net.evaluate(X, y, weight)
    still = train(net, X, y, sample_weight=weight, optimizer=SGD(1e-12), epochs=1, batch_size=7)
    assert still.loss[0] == pytest.approx(expected, rel=1e-8)


def test_long_gradients_are_clipped_and_keep_their_direction(rng):
    X, y = rng.normal(size=(20, 2)), 100 * rng.normal(size=20)
    net = Network([Dense(2, 1)], dtype="float64", seed=0)
    before = net.theta.copy()
    _, grad = net.loss_and_grad(X, y)
    history = train(net, X, y, optimizer=SGD(1.0), epochs=1, batch_size=None, clip_norm=0.5)
    np.testing.assert_allclose(net.theta - before, -0.5 * grad / np.linalg.norm(grad), rtol=1e-10)
    assert history.gradient_norm[0] == pytest.approx(np.linalg.norm(grad))


def test_short_gradients_pass_unclipped(data):
    free, clipped = classifier(), classifier()
    train(free, *data, epochs=2)
    train(clipped, *data, epochs=2, clip_norm=1e6)
    np.testing.assert_array_equal(free.theta, clipped.theta)


def test_learning_rate_multipliers_slow_single_blocks(data):
    net, before = classifier(), classifier().theta.copy()
    train(net, *data, optimizer=SGD(0.1), epochs=1, batch_size=None, learning_rate_multipliers={"W": 0.5, "0.b": 0})
    full = classifier()
    train(full, *data, optimizer=SGD(0.1), epochs=1, batch_size=None)
    factors = net.per_parameter({"W": 0.5, "0.b": 0})
    np.testing.assert_allclose(net.theta - before, factors * (full.theta - before), atol=1e-7)


@pytest.mark.parametrize("raise_it", [lambda: signal.raise_signal(signal.SIGINT), None])
def test_ctrl_c_ends_cleanly_with_the_best_weights_so_far(raise_it, rng):
    X, y = rng.normal(size=(40, 5)), rng.integers(0, 2, 40)
    validation = rng.normal(size=(40, 5)), rng.integers(0, 2, 40)

    class Interrupt(Callback):
        ended = False

        def on_batch_end(self, run):
            if run.epoch == 30 and run.epoch_fraction > 0.5:
                if raise_it is None:
                    raise KeyboardInterrupt
                raise_it()

        def on_train_end(self, run):
            self.ended = True

    interrupt = Interrupt()
    net = mlp(5, 32, 2, loss="cross_entropy", seed=0)
    history = train(net, X, y, epochs=1000, batch_size=8, validation=validation, callbacks=[interrupt])
    assert len(history) == 30
    assert history.stopped.startswith("interrupted")
    assert history.best_epoch == int(np.argmin(history.validation_loss)) < 29
    assert net.evaluate(*validation) == pytest.approx(min(history.validation_loss), rel=1e-6)
    assert interrupt.ended


@pytest.mark.parametrize(("rate", "batch_size"), [(30.0, None), (5.0, 10)])
def test_a_rate_that_explodes_is_halved_until_it_does_not(rate, batch_size, rng):
    X, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    net = Network([Dense(2, 1)], seed=0)
    history = train(net, X, y, optimizer=SGD(rate), epochs=100, batch_size=batch_size)
    assert len(history.notes) > 1
    assert history.notes[0].startswith("epoch ")
    assert history.notes[0].endswith(": restored the last good weights, halved the learning rate")
    assert history.learning_rate[-1] == pytest.approx(rate / 2 ** len(history.notes))
    residual = y - np.c_[X, np.ones(50)] @ np.linalg.lstsq(np.c_[X, np.ones(50)], y, rcond=None)[0]
    assert history.loss[-1] < 3 * np.mean(residual**2)


def test_a_hopeless_training_raises_naming_epoch_batch_and_layer_and_leaves_good_weights():
    X, y = np.full((20, 2), 1e30), np.zeros(20)
    net = mlp(2, 8, 1, seed=0)
    before = net.theta.copy()
    with pytest.raises(DivergenceError, match=r"cannot start: epoch 1, batch 1: the .* \(max abs X is 1e\+30"):
        train(net, X, y, epochs=3, batch_size=5)
    np.testing.assert_array_equal(net.theta, before)


@pytest.mark.parametrize(("optimizer", "loss"), [(RMSProp(1e6), "squared_error"), (SGD(1e9), "cross_entropy")])
def test_a_rate_far_too_high_is_detected_in_the_first_epoch(optimizer, loss, rng):
    X = rng.normal(size=(300, 3))
    y = X.sum(axis=1) if loss == "squared_error" else (X.sum(axis=1) > 0).astype(int)
    net = mlp(3, 16, 1 if loss == "squared_error" else 2, loss=loss, seed=0)
    before = net.evaluate(X, y)
    with pytest.raises(
        DivergenceError,
        match=r"diverged: epoch 1, batch \d: the loss rose from .* the output of layer 2, .* halved 3 times",
    ):
        train(net, X, y, optimizer=optimizer, epochs=5, max_rollbacks=3)
    assert net.evaluate(X, y) == before


@pytest.mark.parametrize("rate", [0.5, 10.0, 1e4])
@pytest.mark.parametrize("batch_size", [None, 25])
def test_no_training_leaves_weights_that_have_exploded(rate, batch_size):
    X = np.linspace(-3, 3, 50)[:, np.newaxis]
    net = mlp(1, 8, 1, seed=0)
    before = net.evaluate(X, 3 * X)
    history = None
    for epochs in (1, 3, 30):
        with suppress(DivergenceError):
            history = train(net, X, 3 * X, optimizer=SGD(rate), batch_size=batch_size, epochs=epochs, seed=0)
        assert net.evaluate(X, 3 * X) < 100 * before
    assert rate > 1 or history.rollbacks


def test_the_last_step_of_an_epoch_is_checked_too():
    X = np.linspace(-3, 3, 50)[:, np.newaxis]
    with pytest.raises(DivergenceError, match=r"epoch 1, batch 2: the loss rose from .* to .*"):
        train(mlp(1, 8, 1, seed=0), X, 3 * X, optimizer=SGD(100.0), batch_size=49, epochs=1, max_rollbacks=1)


@pytest.mark.parametrize("shuffle", [True, False])
def test_outliers_are_no_divergence(shuffle):
    X, y, weight = np.linspace(-1, 1, 64)[:, np.newaxis], np.zeros(64), np.ones(64)
    y[40], weight[:8] = 1e4, 0
    for sample_weight in (None, weight):
        options = {"batch_size": 8, "epochs": 3, "shuffle": shuffle, "sample_weight": sample_weight}
        assert train(mlp(1, 4, 1, seed=0), X, y, **options).rollbacks == 0
        assert train(mlp(1, 4, 1, seed=0), X, X[:, 0] * 3e3 + 5e3, **options).rollbacks == 0


def test_a_metric_of_predictions_that_are_not_finite_is_nan(data):
    X, y = data
    far = np.full((4, X.shape[1]), 3e38)
    history = train(classifier(), X, y, epochs=1, validation=(far, y[:4]), metrics=["accuracy"])
    assert np.isnan(history["validation_accuracy"]).all()


def test_an_interrupt_while_measuring_leaves_whole_epochs(data):
    calls = []

    def interrupt(y, prediction):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return 0.0

    history = train(classifier(), *data, epochs=9, metrics=[interrupt])
    assert {len(column) for column in history.columns.values()} == {2}


def test_a_history_prints_in_one_line(data):
    history = train(classifier(), *data, epochs=2)
    assert repr(history).startswith("History(2 epochs, loss 0.")
    assert "\n" not in repr(history)
    assert repr(History()) == "History(0 epochs)"


def test_the_first_layer_that_went_wrong_is_named():
    class Poison(Callback):
        def on_batch_end(self, run):
            if run.epoch == 1:
                run.net.params[2]["W"][0, 0] = np.nan

    net = classifier()
    with pytest.raises(DivergenceError, match=r"epoch 2, batch 2: the output of layer 2, Dense\(8, 2"):
        train(net, np.ones((6, 3)), [0, 1, 0, 1, 0, 1], epochs=5, batch_size=2, callbacks=[Poison()])
    assert np.isfinite(net.theta).all()


def test_a_last_step_to_infinity_is_rolled_back():
    class Poison(Callback):
        def on_batch_end(self, run):
            run.net.theta[0] = np.inf

    net = classifier()
    with pytest.raises(DivergenceError, match="the weights are not finite after the step"):
        train(net, np.ones((6, 3)), [0, 1, 0, 1, 0, 1], epochs=2, batch_size=None, callbacks=[Poison()])
    assert np.isfinite(net.theta).all()


def test_a_rollback_restores_running_statistics_and_clears_moments(rng):
    class PoisonOnce(Callback):
        done = False

        def on_batch_end(self, run):
            if run.epoch == 1 and run.epoch_fraction == 1 and not self.done:
                self.done = True
                run.net.theta[0] = np.nan

    X, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    layers = [Dense(3, 4), BatchNorm(4), Activation("relu"), Dropout(0.2), Dense(4, 2)]
    poisoned, clean = (Network(layers, "cross_entropy", seed=0) for _ in "ab")
    a = train(poisoned, X, y, optimizer=Adam(0.01), epochs=2, batch_size=10, callbacks=[PoisonOnce()], seed=0)
    generator = np.random.default_rng(0)
    first, second = (
        train(clean, X, y, optimizer=Adam(rate), epochs=1, batch_size=10, seed=generator) for rate in (0.01, 0.005)
    )
    assert len(a.notes) == 1
    np.testing.assert_array_equal(poisoned.theta, clean.theta)
    np.testing.assert_array_equal(poisoned.buffers, clean.buffers)
    assert a.loss == first.loss + second.loss


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be an integer >= 1, got 0"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1"),
        ({"clip_norm": 0}, "clip_norm must be > 0"),
        ({"epochs": 2.5}, "epochs must be an integer >= 1, got 2.5"),
        ({"batch_size": "3"}, "batch_size must be an integer >= 1 or None, got .3."),
        ({"callbacks": [EarlyStopping]}, r"callbacks must contain Callback objects, such as EarlyStopping\(\)"),
        ({"learning_rate_multipliers": {"W": -1.0}}, r"learning_rate_multipliers\['W'\] must be finite and >= 0"),
        ({"metrics": [max, max]}, "metrics must have different names"),
        ({"metrics": ["mse"]}, "classes, got 'mse', a metric for numbers"),
        ({"schedule": ReduceOnPlateau("acc")}, "metric must be one of {'loss'}, got 'acc'"),
        ({"max_rollbacks": -1}, "max_rollbacks must be an integer >= 0"),
        ({"max_rollbacks": 1.5}, "max_rollbacks must be an integer >= 0"),
        ({"optimizer": "adamax"}, "optimizer must be one of {'sgd', 'rmsprop', 'adam', 'adamw'"),
        ({"schedule": "linear"}, "schedule must be one of {'constant'"),
        ({"metrics": ["auc"]}, "metrics must be one of {'accuracy'"),
        ({"validation": (np.ones((2, 3)),)}, r"len\(validation\) must be 2 or 3: X, y"),
        ({"seed": "first"}, "seed must be an integer >= 0, a Generator or None, got 'first'"),
        ({"validation": (np.ones((2, 4)), [0, 1])}, "X must be 2-D with 3 columns"),
        ({"learning_rate_multipliers": {"V": 1}}, "a block must be one of"),
        ({"sample_weight": [1, 2]}, "sample_weight must have shape"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_computed(options, message, data):
    net, before = classifier(), classifier().theta.copy()
    with pytest.raises(ValueError, match=message):
        train(net, *data, **options)
    np.testing.assert_array_equal(net.theta, before)


def test_one_row_and_one_column_can_be_trained_on():
    net = Network([Dense(1, 1)], seed=0)
    history = train(net, [[1.0]], [2.0], optimizer=SGD(0.5), epochs=50)
    assert history.loss[-1] < 1e-6


def test_the_norm_of_huge_gradients_is_still_finite(data):
    runs = []

    class Keep(Callback):
        def on_train_begin(self, run):
            runs.append(run)

    train(classifier(), *data, epochs=1, callbacks=Keep())
    norm = runs[0].norm
    assert norm(np.full(4, 1e30, np.float32)) == pytest.approx(2e30)
    assert norm(np.array([3.0, 4.0])) == 5
    assert not np.isfinite(norm(np.array([np.nan, 1.0])))
    with np.errstate(all="ignore"):
        assert not np.isfinite(norm(np.array([np.inf, 1.0])))


def test_a_run_prints_in_one_line(data):
    lines = []

    class Show(Callback):
        def on_epoch_end(self, run):
            assert isinstance(run, Run)
            lines.append(repr(run))

    train(classifier(), *data, epochs=2, callbacks=[Show()])
    assert lines[1].startswith("Run(epoch 2 of 2, loss 0.")
    assert "\n" not in lines[1]


def test_running_statistics_that_diverge_are_rolled_back_with_the_weights(rng):
    class Poison(Callback):
        done = False

        def on_batch_end(self, run):
            if run.epoch == 1 and run.batch == run.n_batches - 1 and not self.done:
                self.done = True
                run.net.params[1]["variance"][...] = 1e-12
                run.net.params[1]["mean"][...] = -1e3

    X = rng.normal(size=(200, 2))
    net = Network([Dense(2, 16), BatchNorm(16, epsilon=1e-12), Activation("relu"), Dense(16, 1)], seed=0)
    history = train(net, X, X.sum(axis=1), epochs=3, batch_size=20, callbacks=Poison())
    assert history.rollbacks == 1
    assert "BatchNorm" in history.notes[0]
    assert net.evaluate(X, X.sum(axis=1)) < 3


def test_a_custom_training_loop_is_six_lines(data):
    X, y = data
    net, by_hand = classifier(dtype="float64"), classifier(dtype="float64")
    train(net, X, y, optimizer=Adam(0.01), epochs=3, batch_size=10, seed=5)
    optimizer, rng = Adam(0.01), np.random.default_rng(5)
    X, y, weight = by_hand.check(X, y)
    for _ in range(3):
        for batch in batches(X, y, weight, 10, rng):
            _, grad = by_hand.objective(*batch, rng)
            optimizer.step(by_hand.theta, grad)
    np.testing.assert_array_equal(net.theta, by_hand.theta)


def test_anything_that_returns_loss_and_gradient_trains(data):
    class Halves:
        """Two halves of the data on two machines, as it were."""

        def __init__(self, net):
            self.net = net
            self.buffers, self.check, self.value = net.buffers, net.check, net.value
            self.theta = net.theta

        def objective(self, X, y, weight=None, rng=None):
            half = len(X) // 2
            first, grad = self.net.loss_and_grad(X[:half], y[:half])
            second, other = self.net.loss_and_grad(X[half:], y[half:])
            return (first + second) / 2, (grad + other) / 2

    whole, halves = classifier(dtype="float64"), classifier(dtype="float64")
    train(whole, *data, epochs=5, batch_size=None)
    train(Halves(halves), *data, epochs=5, batch_size=None)
    np.testing.assert_allclose(whole.theta, halves.theta, rtol=1e-9)


def test_a_memory_mapped_table_is_trained_on_without_being_read_into_memory(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype=np.float32, shape=(20_000, 50))
    X[...] = np.random.default_rng(0).normal(size=X.shape)
    net = mlp(50, 4, 2, loss="cross_entropy", seed=0)
    y = (X[:, 0] > 0).astype(int)
    tracemalloc.start()
    try:
        history = train(net, X, y, epochs=2, batch_size=100)
        assert tracemalloc.get_traced_memory()[1] < X.nbytes / 4
    finally:
        tracemalloc.stop()
    assert history.loss[-1] < history.loss[0]


def test_progress_is_the_fraction_of_all_batches_that_is_done():
    seen = []

    class Record(Callback):
        def on_epoch_begin(self, run):
            seen.append(run.progress)

        def on_batch_end(self, run):
            seen.append(run.progress)

    train(mlp(1, 1, seed=0), np.zeros((4, 1)), np.zeros((4, 1)), batch_size=2, epochs=2, callbacks=Record())
    assert seen == [0, 0.25, 0.5, 0.5, 0.75, 1]
