import re
from inspect import signature
from math import cos, log2, pi

import numpy as np
import pytest

from chainrule import SGD, History, mlp, train
from chainrule.training.schedules import (
    SCHEDULES,
    Cosine,
    CustomSchedule,
    Exponential,
    InverseScaling,
    OneCycle,
    ReduceOnPlateau,
    Step,
    as_schedule,
)


@pytest.mark.parametrize(
    ("schedule", "epoch", "progress", "factor"),
    [
        ("constant", 7, 0.7, 1),
        (Step(every=3, gamma=0.5), 2.9, 0, 1),
        (Step(every=3, gamma=0.5), 3.0, 0, 0.5),
        (Step(every=3, gamma=0.5), 9.5, 0, 0.125),
        (Exponential(0.9), 2.5, 0, 0.9**2.5),
        (InverseScaling(0.5), 3, 0, 0.5),
        (InverseScaling(1), 3, 0, 0.25),
        (Cosine(warmup=0.2), 0, 0.1, 0.5),
        (Cosine(warmup=0.2), 0, 0.2, 1),
        (Cosine(warmup=0.2), 0, 0.6, 0.5),
        (Cosine(warmup=0.2, final=0.1), 0, 1.0, 0.1),
        (Cosine(warmup=0), 0, 0.25, (1 + cos(pi / 4)) / 2),
        (OneCycle(), 0, 0, 1 / 25),
        (OneCycle(), 0, 0.3, 1),
        (OneCycle(), 0, 1, 1 / 250_000),
        ("coslog4", 0, 0, 0),
        ("coslog4", 0, 0.3, (1 - cos(2 * pi * log2(1 + 15 * 0.3))) / 2),
        ("coslog4", 0, (2**3.5 - 1) / 15, 1),
        ("coslog4", 0, 1, 0),
        (lambda epoch, progress: epoch + progress, 3, 0.5, 3.5),
    ],
)
def test_factors_are_those_of_the_formula(schedule, epoch, progress, factor):
    assert as_schedule(schedule)(epoch, progress) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_factors_stay_between_0_and_1(name):
    schedule = as_schedule(name)
    factors = [schedule(20 * p, p) for p in np.linspace(0, 1, 201)]
    assert min(factors) >= 0
    assert max(factors) <= 1 + 1e-12


def test_a_warmup_starts_above_zero_so_that_no_step_is_wasted():
    assert 0 < Cosine(warmup=0.1)(0, 0) < 0.01


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rate_of_a_training_follows_its_schedule(name, rng):
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    net = mlp(2, 3, 1, seed=0)
    history = train(net, X, y, optimizer=SGD(0.1), schedule=name, epochs=20, batch_size=10)
    # The last of four batches of each epoch is taken at three quarters of it.
    expected = [0.1 * as_schedule(name)(e + 0.75, (e + 0.75) / 20) for e in range(20)]
    np.testing.assert_allclose(history.learning_rate, expected, rtol=1e-12)


def test_a_plateau_reduces_the_rate_and_an_improvement_does_not():
    schedule, history = ReduceOnPlateau(patience=2, factor=0.5, min_delta=0.1), History()
    factors = []
    for loss in [1.0, 0.8, 0.79, 0.78, 0.3, 0.3, 0.3, 0.3, 0.3]:
        history.loss.append(loss)
        schedule.observe(history)
        factors.append(schedule(0, 0))
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_a_plateau_of_a_metric_for_which_higher_is_better():
    history = History(metrics={"accuracy": []}, higher_is_better={"accuracy"})
    schedule = ReduceOnPlateau("accuracy", patience=1, factor=0.1)
    for accuracy in [0.5, 0.6, 0.6]:
        history.metrics["accuracy"].append(accuracy)
        schedule.observe(history)
    assert schedule(0, 0) == pytest.approx(0.1)


def test_a_schedule_may_be_reused(rng):
    schedule = ReduceOnPlateau(patience=1, min_delta=10)
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    first, second = (train(mlp(2, 1, seed=0), X, y, schedule=schedule, epochs=5) for _ in range(2))
    assert first.learning_rate == second.learning_rate
    assert first.learning_rate[-1] < first.learning_rate[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Step(every=0),
        lambda: Step(gamma=0),
        lambda: Exponential(1.5),
        lambda: InverseScaling(-1),
        lambda: Cosine(warmup=1),
        lambda: Cosine(final=2),
        lambda: OneCycle(peak=0),
        lambda: ReduceOnPlateau(factor=1),
        lambda: ReduceOnPlateau(patience=0),
        lambda: ReduceOnPlateau(min_delta=-1),
        lambda: ReduceOnPlateau(minimum=2.0),
        lambda: OneCycle(start=-1),
        lambda: OneCycle(final=5),
        lambda: as_schedule(Cosine),
        lambda: as_schedule("linear"),
        lambda: as_schedule(lambda e, p: -1)(0, 0),
        lambda: as_schedule(lambda e, p: np.nan)(0, 0),
    ],
)
def test_invalid_options_are_refused(make):
    with pytest.raises(ValueError, match="must"):
        make()


@pytest.mark.parametrize("function", [lambda epoch: 1.0, lambda: 1.0, lambda epoch, progress, factor: 1.0])
def test_a_function_of_other_arguments_is_refused_before_training(function, rng):
    net = mlp(2, 1, seed=0)
    theta = net.theta.copy()
    form = re.escape(str(signature(function)))
    with pytest.raises(TypeError, match=rf"schedule .*\(epoch, progress\), got {form}"):
        train(net, rng.normal(size=(20, 2)), rng.normal(size=20), schedule=function)
    np.testing.assert_array_equal(net.theta, theta)


@pytest.mark.parametrize(
    "function", [lambda epoch, progress: 0.5, lambda *args: 0.5, lambda e, p, factor=0.5: factor, lambda e, p=0: 0.5]
)
def test_a_function_that_takes_two_arguments_is_a_schedule(function, rng):
    assert isinstance(as_schedule(function), CustomSchedule)
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    history = train(mlp(2, 1, seed=0), X, y, optimizer=SGD(0.1), schedule=function, epochs=2)
    assert history.learning_rate == [0.05, 0.05]


def test_a_misspelled_schedule_is_refused_with_the_closest_name():
    with pytest.raises(ValueError, match=r"schedule .*'cosine'.*got 'cosin'\. Did you mean 'cosine'\?"):
        as_schedule("cosin")


def test_a_plateau_of_a_missing_metric_is_refused_before_training(rng):
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    with pytest.raises(ValueError, match=r"metric .*'loss'.*got 'validation_loss'.*validation=\(X, y\)"):
        train(mlp(2, 1, seed=0), X, y, schedule=ReduceOnPlateau("validation_loss"))
