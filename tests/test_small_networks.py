"""Small networks train whole epochs in compiled calls, and end where a step-by-step training ends."""

import numpy as np
import pytest

from chainrule import (
    SGD,
    Adam,
    Callback,
    Checkpoint,
    DivergenceError,
    MLPClassifier,
    RMSProp,
    TimeLimit,
    mlp,
    train,
)
from chainrule.nn import losses
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.losses import AbsoluteError, BinaryCrossEntropy, CrossEntropy, Huber, Poisson, Quantile, SquaredError
from chainrule.training.optimizers import FLUSH_EVERY
from chainrule.training.run import Run

pytest.importorskip("numba")
epochs = pytest.importorskip("chainrule.compiled.epochs")
compiled_small = pytest.importorskip("chainrule.compiled.small")

OPTIMIZERS = [SGD(0.1), SGD(0.02, 0.5), SGD(0.02, 0.5, nesterov=True), RMSProp(0.005), Adam(0.01, (0.8, 0.99))]
ROWS = np.random.default_rng(0).normal(size=(203, 3))
LABELS = (ROWS[:, 0] * ROWS[:, 1] > 0).astype(int) + (ROWS[:, 2] > 1)
NUMBERS, COUNTS, SHARES = 2 * ROWS, (ROWS + 3).clip(0).round(), np.eye(3)[LABELS] * 0.7 + 0.1
LOSSES = [
    (SquaredError(), NUMBERS),
    (SquaredError(3), NUMBERS),
    (AbsoluteError(), NUMBERS),
    (Huber(0.7), NUMBERS),
    (Quantile(0.3), NUMBERS),
    (Quantile((0.1, 0.5, 0.9)), NUMBERS[:, 0]),
    (Poisson(), COUNTS),
    (BinaryCrossEntropy(), SHARES),
    (BinaryCrossEntropy(0.1), np.eye(3)[LABELS]),
    (CrossEntropy(), SHARES),
    (CrossEntropy(0.1), np.eye(3)[LABELS]),
    (CrossEntropy(0.1), LABELS),
]


@pytest.fixture
def calls(monkeypatch):
    """The number of epochs that were trained in compiled calls, and in all."""
    counts = {"compiled": 0, "all": 0}
    is_possible, begin_epoch = epochs._is_possible, Run.begin_epoch

    def counted(run):
        counts["compiled"] += is_possible(run)
        return is_possible(run)

    def begin(run):
        counts["all"] += 1
        begin_epoch(run)

    monkeypatch.setattr(epochs, "_is_possible", counted)
    monkeypatch.setattr(Run, "begin_epoch", begin)
    return counts


def trained(kernels, *, activation="tanh", dtype="float64", penalties=None, y=LABELS, loss="cross_entropy", **options):
    net = mlp(3, 5, 4, 3, activation=activation, loss=loss, seed=0, dtype=dtype, **(penalties or {}))
    history = train(net, ROWS, y, **{"epochs": 3, "batch_size": 10, "seed": 0, "kernels": kernels} | options)
    return net, history


def assert_equal_runs(one, other):
    (net, history), (other_net, other_history) = one, other
    np.testing.assert_allclose(net.theta, other_net.theta, rtol=1e-9, atol=1e-11)
    for name in ("loss", "gradient_norm", "step_ratio", "learning_rate"):
        np.testing.assert_allclose(history[name], other_history[name], rtol=1e-8)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "step"])
def test_every_activation_and_rule_ends_at_the_weights_of_numpy(activation, optimizer, calls):
    options = {"activation": activation, "optimizer": optimizer}
    assert_equal_runs(trained("numba", **options), trained("numpy", **options))
    assert calls == {"compiled": 3, "all": 6}


@pytest.mark.parametrize(("loss", "y"), LOSSES, ids=[f"{loss}-{y.ndim}" for loss, y in LOSSES])
def test_every_loss_and_rule_ends_at_the_weights_of_numpy(loss, y, calls):
    for optimizer in OPTIMIZERS:
        options = {"loss": loss, "y": y, "optimizer": optimizer, "epochs": 2}
        assert_equal_runs(trained("numba", **options), trained("numpy", **options))
    assert calls == {"compiled": 10, "all": 20}


def test_every_loss_is_among_them():
    assert {type(loss) for loss, _ in LOSSES} == set(losses.LOSSES.values())


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "cosine"},
        {"clip_norm": 0.1},
        {"clip_norm": 0.6},
        {"shuffle": False},
        {"batch_size": 1},
        {"batch_size": 7},
        {"batch_size": 67},
        {"penalties": {"l1": 0.01}},
        {"penalties": {"l1": 0.01, "l2": 0.1}},
    ],
    ids=str,
)
def test_schedules_clipping_penalties_and_all_batch_sizes_are_respected(options, calls):
    options = {"optimizer": SGD(0.05)} | options
    assert_equal_runs(trained("numba", **options), trained("numpy", **options))
    assert calls["compiled"] == 3


def test_an_epoch_of_many_steps_is_divided(calls, monkeypatch):
    whole = trained("numba", optimizer=Adam(0.01))
    monkeypatch.setattr(epochs, "MAX_STEPS", 4)
    divided = trained("numba", optimizer=Adam(0.01))
    np.testing.assert_array_equal(whole[0].theta, divided[0].theta)
    assert calls == {"compiled": 6, "all": 6}


@pytest.mark.parametrize(
    "options",
    [
        {"sample_weight": np.linspace(1, 2, 203)},
        {"optimizer": "adamw"},
        {"learning_rate_multipliers": {"b": 0.1}},
        {"loss": lambda Z, Y: ((Z - Y) ** 2, 2 * (Z - Y)), "y": NUMBERS},
    ],
    ids=["weights", "AdamW", "multipliers", "custom loss"],
)
def test_what_the_compiled_loop_lacks_is_trained_step_by_step(options, calls):
    assert_equal_runs(trained("numba", **options), trained("numpy", **options))
    assert calls["compiled"] == 0


def test_a_callback_sees_every_batch_unless_it_allows_otherwise(calls):
    class Count(Callback):
        def on_train_begin(self, run):
            self.batches = []

        def on_batch_end(self, run):
            self.batches.append(run.batch)

    class CountLast(Count):
        every_batch = False

    counts = Count(), CountLast()
    for count in counts:
        trained("numba", callbacks=count, epochs=1)
    assert counts[0].batches == list(range(21))
    assert counts[1].batches == [20]
    assert calls == {"compiled": 1, "all": 2}


def test_one_batch_per_epoch(calls):
    rows = ROWS[:60], LABELS[:60]
    nets = [mlp(3, 5, 3, loss="cross_entropy", seed=0, dtype="float64") for _ in range(2)]
    for net, kernels in zip(nets, ("numba", "numpy")):
        history = train(net, *rows, epochs=3, batch_size=None, kernels=kernels)
        assert np.isfinite(history.step_ratio).all()
    np.testing.assert_allclose(nets[0].theta, nets[1].theta, rtol=1e-9)
    assert calls["compiled"] == 3


def test_a_time_limit_ends_the_epoch(calls):
    _, history = trained("numba", epochs=10**7, callbacks=TimeLimit(0.05))
    assert history.stopped == "reached the time limit of 0.05 s"
    assert calls["compiled"] == calls["all"] == len(history)


def test_moments_do_not_stay_denormal_between_compiled_calls():
    net = compiled_small.fuse(mlp(3, 5, 3, loss="cross_entropy", seed=0))
    X = ROWS.astype(np.float32)
    X[:, 0] = 0  # the gradient of this input's weights is 0
    optimizer = Adam(0.01)
    optimizer.moment("mean", net.theta)[:5] = 1e-40
    optimizer.steps = FLUSH_EVERY - 3
    net.descend(X, LABELS, np.arange(50), 10, np.inf, optimizer, np.full(5, 0.01))
    assert optimizer.steps == FLUSH_EVERY + 2
    assert not optimizer.moments["mean"][:5].any()
    assert optimizer.moments["mean"][5:15].all()


def test_divergence_names_the_batch_and_the_place():
    with pytest.raises(DivergenceError, match=r"epoch 1, batch \d+: the .* is not finite"):
        trained("numba", optimizer=SGD(1e30), max_rollbacks=0, activation="identity", dtype="float32")


def test_a_resumed_training_ends_with_the_same_bits(tmp_path, calls):
    whole, _ = trained("numba", epochs=6)
    for n_epochs in (3, 6):
        resumed, _ = trained("numba", epochs=n_epochs, callbacks=Checkpoint(tmp_path / "x.checkpoint", resume=True))
    np.testing.assert_array_equal(resumed.theta, whole.theta)
    assert calls["compiled"] == calls["all"]


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_the_estimators_train_small_networks_in_compiled_calls(solver, calls, monkeypatch):
    monkeypatch.setattr("chainrule.training.kernels.START_SECONDS", 0.0)
    options = {"max_iter": 3, "random_state": 0, "batch_size": 10, "solver": solver, "alpha": 0.1}
    with pytest.warns(UserWarning, match="Maximum iterations"):
        fast = MLPClassifier((4,), **options).fit(ROWS, LABELS)
    assert calls["compiled"] == 3
    monkeypatch.setattr("chainrule.training.kernels.START_SECONDS", np.inf)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        slow = MLPClassifier((4,), **options).fit(ROWS, LABELS)
    np.testing.assert_allclose(fast.coefs_[0], slow.coefs_[0], rtol=1e-9)
    np.testing.assert_allclose(fast.loss_curve_, slow.loss_curve_, rtol=1e-9)
