from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from chainrule import Adam, Callback, Dense, History, train
from chainrule.data.splits import Split, Structure, folds
from chainrule.data.targets import ClassTarget
from chainrule.model import recipe
from chainrule.model.recipe import CLASSIFICATION, REGRESSION, KeepLatestBest, train_member
from chainrule.training import callbacks


def test_dividing_start_and_rate_is_dividing_in_the_layer(rng):
    small = replace(CLASSIFICATION, hidden=(8, 8))
    X, y = rng.normal(size=(50, 5)).astype(np.float32), rng.integers(0, 3, 50)
    net = small.network(5, 3, seed=0)
    # The paper's form: W = V / sqrt(n_in) with V ~ N(0, 1), Adam's first step being rate * sign of the gradient in V.
    roots = net.per_parameter({f"{i}.W": np.sqrt(l.n_in) for i, l in enumerate(net.layers) if isinstance(l, Dense)})
    V, grad_V = net.theta * roots, net.loss_and_grad(X, y)[1] / roots
    V -= small.learning_rate * net.per_parameter({"scale": 6.0, "b": 0.1}) * grad_V / (np.abs(grad_V) + 1e-8)
    optimizer = Adam(small.learning_rate, small.betas)
    train(
        net,
        X,
        y,
        optimizer=optimizer,
        learning_rate_multipliers=small.learning_rate_multipliers(net),
        epochs=1,
        batch_size=None,
    )
    np.testing.assert_allclose(net.theta, V / roots, atol=2e-4)


def test_the_network_starts_with_answers_of_zero(rng):
    net = REGRESSION.network(4, 2, seed=0)
    assert not net.outputs(rng.normal(size=(10, 4))).any()
    assert net.params[1]["W"].std() == pytest.approx(0.5, rel=0.1)
    assert net.params[1]["b"].std() == pytest.approx(1, rel=0.15)
    assert [str(layer) for layer in net.layers][:3] == [
        "Scale(4)",
        "Dense(4, 128, 'lecun_normal', 'normal')",
        "Activation('mish')",
    ]


@pytest.mark.parametrize("n_folds", [2, 5])
def test_each_row_is_in_one_fold_and_each_class_in_all(n_folds, rng):
    y = np.repeat([0, 1, 2], [50, 30, 10])
    parts = [split.held_out for split in folds(Structure(y), n_folds, seed=0)]
    assert sorted(np.concatenate(parts)) == list(range(90))
    for part in parts:
        counts = np.bincount(y[part], minlength=3)
        assert np.abs(counts - np.array([50, 30, 10]) / n_folds).max() <= 1
    assert not np.array_equal(parts[0], folds(Structure(y), n_folds, seed=1)[0].held_out)
    assert {len(split.held_out) for split in folds(Structure(np.zeros(11, np.intp)), 5, seed=0)} == {2, 3}


@pytest.mark.parametrize(("n_rows", "rows"), [(10, 32), (256, 32), (800, 100), (2048, 256), (10**6, 256)])
def test_an_epoch_has_eight_batches_unless_they_are_too_small(n_rows, rows):
    assert CLASSIFICATION.batch_size_for(n_rows) == rows


@pytest.mark.parametrize(("n_rows", "epochs"), [(10, 64), (50_000, 64), (200_000, 32), (5 * 10**6, 7), (10**12, 1)])
def test_large_tables_are_seen_less_often(n_rows, epochs):
    assert REGRESSION.epochs_for(n_rows) == epochs


def test_a_member_never_trains_on_its_own_fold(rng):
    X = rng.normal(size=(60, 2)).astype(np.float32)
    y = rng.integers(0, 2, 60)
    held_out = np.arange(0, 60, 5)
    split = Split(np.setdiff1d(np.arange(60), held_out), held_out)
    target = ClassTarget.fit("y", y)
    first = train_member(CLASSIFICATION, (X, y, None), split, target, seed=0)
    spoiled = X.copy()
    spoiled[held_out] = 1e3  # other values there change the choice of the epoch at most
    second = train_member(CLASSIFICATION, (spoiled, y, None), split, target, seed=0)
    shared = min(len(first.history), len(second.history))
    assert first.history.loss[:shared] == second.history.loss[:shared]


@pytest.mark.parametrize(("seconds", "epochs"), [(40, 64), (10, 20), (0.6, 1), (0.4, 1)])
def test_within_a_time_limit_the_schedule_comes_to_its_end(seconds, epochs, monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(recipe, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(callbacks, "perf_counter", lambda: clock.now)

    class Batch(Callback):
        def on_batch_end(self, run):
            clock.now += 0.25
            rates.append(run.rate)

    rates = []
    net = CLASSIFICATION.network(2, 2, seed=0)
    X, y = np.zeros((512, 2), np.float32), np.zeros(512, np.intp)
    limited = [Batch(), recipe.TimeBudget(seconds)]
    history = train(net, X, y, epochs=64, batch_size=256, schedule="coslog4", callbacks=limited)
    assert len(history) == epochs
    assert clock.now - 100 <= max(seconds, 0.5)
    assert ("the time limit" in history.stopped) == (epochs < 64)
    if epochs > 2:
        assert rates[-1] < 0.02 * max(rates)


def test_the_last_of_equal_epochs_is_kept_and_stopping_waits_for_twice_as_many():
    net = SimpleNamespace(theta=np.zeros(1), buffers=np.zeros(0))
    run = SimpleNamespace(history=History(monitor="validation_loss"), stop="", epoch=-1, net=net)
    stopper = KeepLatestBest()
    stopper.on_train_begin(run)
    for value in [3.0, 1.0, 1.0] + [2.0] * 40:
        run.epoch += 1
        run.history.validation_loss.append(value)
        stopper.on_epoch_end(run)
        if run.stop:
            break
    assert stopper.best_epoch == 2
    assert run.epoch == 2 * 2 + 13
