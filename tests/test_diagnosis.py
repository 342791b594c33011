"""Every planted fault is found, and healthy trainings have no findings."""

import re

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, make_moons

from chainrule import SGD, Activation, Adam, Dense, EarlyStopping, Network, diagnose, mlp, train
from chainrule.data.splits import Structure, fingerprints, folds, strata_of
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.insight.diagnosis import CHECKS, predictiveness, rank_correlations
from chainrule.model.embeddings import Lookup
from chainrule.model.recipe import CLASSIFICATION, REGRESSION, train_member


def standardized(X):
    return (X - X.mean(axis=0)) / (X.std(axis=0) + 1e-9)


def kinds(diagnosis):
    return [finding.kind for finding in diagnosis]


def two_classes(n=300, seed=0):
    """Two slightly overlapping classes that depend on three columns, none of which suffices alone."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, (X.sum(axis=1) + 0.3 * rng.normal(size=n) > 0).astype(int)


# Each function returns arguments of `diagnose` with one fault.


def leaked_class():
    X, y = two_classes()
    X[:, 1] = y * 7 + 3.5
    X = standardized(X)
    net = mlp(3, 8, 2, loss="cross_entropy", seed=0)
    return net, X, y, train(net, X, y, optimizer=Adam(0.01), epochs=40)


def leaked_number():
    X, _ = two_classes()
    y = X @ [1.0, 2.0, 3.0]
    X[:, 2] = 5 * y + 0.01
    net = mlp(3, 8, 1, seed=0)
    return net, standardized(X), y[:, np.newaxis], None


def duplicated_rows():
    X, y = two_classes()
    net = mlp(3, 8, 2, loss="cross_entropy", seed=0)
    return net, X, y, None, {"validation": (X[:40], y[:40])}


def collapsed():
    X, y = two_classes()
    net = mlp(3, 8, 2, loss="cross_entropy", seed=0)
    net.params[-1]["b"][...] = [8, -8]
    return net, X, y, None


def oscillating():
    X, y = two_classes()
    net = mlp(3, 8, 2, loss="cross_entropy", seed=0)
    return net, X, y, train(net, X, y, optimizer=SGD(10.0), epochs=30, batch_size=20)


def diverging():
    X, _ = two_classes()
    net = mlp(3, 8, 1, seed=0)
    return net, X, X[:, :1], train(net, X, X[:, :1], optimizer=SGD(2.0), epochs=5, max_rollbacks=30)


def unscaled_inputs():
    X, y = two_classes()
    return mlp(3, 8, 2, loss="cross_entropy", seed=0), X * [1, 1, 5000], y, None


def tiny_inputs():
    X, y = two_classes()
    return mlp(3, 8, 2, loss="cross_entropy", seed=0), X * 1e-4, y, None


def unscaled_targets():
    X, _ = two_classes()
    y = 50_000 + 900 * np.sin(X[:, 0] * X[:, 1])
    return mlp(3, 8, 1, seed=0), X, y[:, np.newaxis], None


def dead():
    X, y = two_classes()
    net = mlp(3, 16, 2, loss="cross_entropy", seed=0)
    net.params[0]["b"][:10] = -50
    return net, X, y, None


def saturated():
    X, y = two_classes()
    net = mlp(3, 16, 2, activation="tanh", loss="cross_entropy", seed=0)
    net.params[0]["W"][...] *= 100
    return net, X, y, None


def vanishing():
    X, y = two_classes()
    net = mlp(3, *[8] * 10, 2, activation="sigmoid", loss="cross_entropy", seed=0)
    return net, X, y, None


def exploding():
    X, y = two_classes()
    net = mlp(3, 16, 16, 2, loss="cross_entropy", seed=0)
    net.params[0]["W"][...] *= 1e-5
    return net, X, y, None


def slow_learning():
    X, y = two_classes()
    net = mlp(3, 8, 2, loss="cross_entropy", seed=0)
    return net, X, y, train(net, X, y, optimizer=SGD(1e-4), epochs=40)


def unfinished():
    X, y = two_classes()
    net = mlp(3, 8, 2, loss="cross_entropy", seed=0)
    return net, X, y, train(net, X, y, optimizer=Adam(0.002), epochs=12)


def overfitting():
    X, y = two_classes(60)
    X = np.hstack([X, np.random.default_rng(5).normal(size=(60, 40))])
    net = mlp(43, 64, 2, loss="cross_entropy", seed=0)
    return (
        net,
        X[:30],
        y[:30],
        train(net, X[:30], y[:30], optimizer=Adam(0.01), epochs=150, validation=(X[30:], y[30:])),
    )


def wrong_labels():
    X, y = two_classes(400)
    far = np.flatnonzero(np.abs(X.sum(axis=1)) > 2)[:12]
    net = mlp(3, 8, 2, loss="cross_entropy", seed=0)
    history = train(net, X, y, optimizer=Adam(0.01), epochs=60)
    wrong = y.copy()
    wrong[far] = 1 - wrong[far]
    return net, X, wrong, history, {"predictions": net(X)}


def wrong_numbers():
    X, _ = two_classes(400)
    y = np.sin(X[:, :1]) + 0.05 * np.random.default_rng(1).normal(size=(400, 1))
    net = mlp(3, 32, 1, activation="tanh", seed=0)
    history = train(net, X, y, optimizer=Adam(0.01), epochs=100)
    y[3::40] += 50
    return net, X, y, history


def rare_class():
    X, y = two_classes()
    y[y == 1] = np.where(X[y == 1, 0] > 0, 1, 2)
    y[:3], y[3:][y[3:] == 0] = 0, 1
    return mlp(3, 8, 3, loss="cross_entropy", seed=0), X, y, None


FAULTS = {
    leaked_class: ("target leakage", r"column 1 alone predicts the target"),
    leaked_number: ("target leakage", r"column 2 alone"),
    duplicated_rows: ("duplicated validation rows", r"40 of 40 validation rows \(100%\)"),
    collapsed: ("class collapse", r"100% of the rows are predicted as class 0, but only \d\d% belong to it"),
    oscillating: (
        "learning rate too high",
        r"rose in \d\d% of the epochs and fluctuated by \d+%; the median step is \de-\d\d times the norm",
    ),
    diverging: ("learning rate too high", r"diverged and was rolled back (once|\d+ times)"),
    unscaled_inputs: ("unscaled inputs", r"column 2 of X has a root mean square of [45]\.?\d*e\+03"),
    tiny_inputs: ("unscaled inputs", r"the largest column of X has a root mean square of \d\.\d+e-05"),
    unscaled_targets: ("unscaled targets", r"y has a root mean square of 5e\+04 and a standard deviation of \d\d\d"),
    dead: ("dead units", r"62% of the units of layer 1, relu"),
    saturated: ("saturated units", r"9\d% of the outputs of layer 1, tanh are saturated, within 1% of a limit"),
    vanishing: ("vanishing or exploding gradients", r"[\d,]+ times smaller in the first layer than in the last"),
    exploding: ("vanishing or exploding gradients", r"[\d,]+ times larger in the first layer than in the last"),
    slow_learning: (
        "learning rate too low",
        r"at a nearly constant pace after 40 epochs; the median step is \de-0[5-9] .* \(usual: 1e-04 to 1e-02\)",
    ),
    unfinished: ("too few epochs", r"\d+% of the decrease of the loss came in the last 2 of 12 epochs"),
    overfitting: ("overfitting", r"the validation loss rose from 0\.\d+ \(epoch \d+\) to \d"),
    wrong_labels: ("possible label errors", r"12 rows may have wrong targets"),
    wrong_numbers: ("possible label errors", r"10 rows may have wrong targets .*: 4, 44, 84, 124, 164 and 5 more"),
    rare_class: ("rare classes", r"class 0 \(3\) has fewer than 5 rows"),
}


def diagnosed(case):
    """Diagnose the arguments that `case` returns, the last of which may be a dict of options."""
    *arguments, last = case()
    return diagnose(*arguments, **last) if isinstance(last, dict) else diagnose(*arguments, last)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(fault):
    kind, message = FAULTS[fault]
    found = diagnosed(fault)
    assert kind in kinds(found), found
    finding = next(finding for finding in found if finding.kind == kind)
    assert re.search(message, finding.message), finding.message
    assert finding.remedy


def test_every_check_has_a_planted_fault():
    assert {kind for kind, _ in FAULTS.values()} == set(CHECKS)


# Healthy trainings.


def member_of(recipe, X, y, target):
    split = folds(Structure(strata_of(y)), 5, seed=0)[0]
    member = train_member(recipe, (X.astype(np.float32), y, None), split, target, seed=0)
    predictions = np.full((len(X), target.n_outputs), np.nan)
    (network,) = member.networks
    predictions[split.held_out] = network(X[split.held_out])
    return network, X, y, member.history, {"predictions": predictions}


def or_gate():
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    y = np.array([[0], [1], [1], [1]])
    net = Network([Dense(2, 1), Activation("sigmoid")], seed=0)
    return net, X, y, train(net, X, y, optimizer=SGD(2.0), epochs=2000, batch_size=None)


def digits():
    X, y = load_digits(return_X_y=True)
    layers = [Dense(64, 30), Activation("sigmoid"), Dense(30, 10), Activation("sigmoid")]
    net = Network(layers, loss="squared_error", seed=0)
    return net, X / 16, np.eye(10)[y], train(net, X / 16, np.eye(10)[y], optimizer=SGD(3.0), epochs=30, batch_size=10)


def moons():
    X, y = make_moons(400, noise=0.2, random_state=0)
    net = mlp(2, 32, 32, 2, loss="cross_entropy", seed=0)
    stop = EarlyStopping(patience=10)
    history = train(
        net, X[:300], y[:300], optimizer=Adam(0.005), epochs=200, validation=(X[300:], y[300:]), callbacks=[stop]
    )
    return net, X[:300], y[:300], history, {"validation": (X[300:], y[300:])}


def binary():
    X, y = load_breast_cancer(return_X_y=True)
    X = standardized(X)
    net = mlp(30, 16, 1, loss="binary_cross_entropy", l2=0.01, seed=0)
    return net, X, y[:, np.newaxis], train(net, X, y[:, np.newaxis], optimizer=Adam(0.005), epochs=60)


def regression():
    X, y = load_diabetes(return_X_y=True)
    X, y = standardized(X), standardized(y)[:, np.newaxis]
    net = mlp(10, 16, 1, activation="tanh", l2=0.01, seed=0)
    stop = EarlyStopping(patience=20)
    history = train(
        net, X[:350], y[:350], optimizer=Adam(0.005), epochs=200, validation=(X[350:], y[350:]), callbacks=[stop]
    )
    return net, X[:350], y[:350], history, {"validation": (X[350:], y[350:])}


HEALTHY = {
    "a sigmoid neuron": or_gate,
    "digits with sigmoids": digits,
    "moons": moons,
    "binary cross-entropy": binary,
    "regression": regression,
    "iris with the default recipe": lambda: member_of(
        CLASSIFICATION, standardized(load_iris().data), load_iris().target, ClassTarget.fit("y", load_iris().target)
    ),
    "diabetes with the default recipe": lambda: member_of(
        REGRESSION,
        standardized(load_diabetes().data),
        standardized(load_diabetes().target)[:, np.newaxis],
        NumberTarget("y", (0.0,), (1.0,)),
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_training_has_no_findings(name):
    found = diagnosed(HEALTHY[name])
    assert not found, str(found)
    assert str(found) == "No problems found."


def test_several_rare_classes_are_one_finding():
    X, y = two_classes()
    y[:], y[:3], y[3:7] = 1, 0, 2
    message = str(diagnose(mlp(3, 8, 3, loss="cross_entropy", seed=0), X, y))
    assert "class 0 (3), class 2 (4) have fewer than 5 rows" in message


def test_the_most_harmful_finding_comes_first():
    X, y = two_classes()
    net = mlp(3, 16, 2, loss="cross_entropy", seed=0)
    net.params[0]["b"][:10] = -1e6
    net.params[-1]["W"][...] = 0
    found = diagnose(net, X * 5000, y)
    assert kinds(found) == ["class collapse", "unscaled inputs", "dead units"]
    assert str(found).count("\n") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["a", "b"]}, r"len\(names\) must be 3, one for each column of X"),
        ({"predictions": np.zeros((300, 3))}, r"predictions must have shape \(300, 2\)"),
        ({"validation": (np.zeros((2, 4)), [0, 1])}, "3 columns"),
    ],
)
def test_inconsistent_arguments_raise(options, message):
    X, y = two_classes()
    with pytest.raises(ValueError, match=message):
        diagnose(mlp(3, 8, 2, loss="cross_entropy"), X, y, **options)


@pytest.mark.parametrize("n", [20, 60, 150, 1000])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_a_random_column_predicts_no_class(n, n_classes, rng):
    """No matter how few rows share a value, and how many classes there are."""
    for _ in range(20):
        y = rng.integers(0, n_classes, n)
        for x in (rng.normal(size=n), rng.integers(0, 5, n), rng.integers(0, n // 2, n), np.ones(n)):
            assert predictiveness(x, y) <= 0.95


@pytest.mark.parametrize("n", [20, 60, 150, 1000])
def test_codes_and_thresholds_predict_a_class(n, rng):
    x = rng.normal(size=n)
    y = np.digitize(x, [-0.5, 0.5])
    assert predictiveness(x, y) == 1
    assert predictiveness(np.array([7.0, -1.0, 3.0])[y], y) == 1
    assert predictiveness(np.array([7.0, -1.0, 3.0])[y] + 10 * (np.arange(n) % 2), y) == 1
    y[np.argmin(x)] = 2
    assert 0.9 < predictiveness(x, y) < 1


def test_rank_correlations_equal_scipys(rng):
    X = rng.integers(0, 9, (50, 3)).astype(float)
    y = X[:, 0] ** 3 + rng.normal(size=50)
    expected = [spearmanr(x, y).statistic for x in X.T]
    np.testing.assert_allclose(rank_correlations(X, y), expected, rtol=1e-12)
    assert rank_correlations(np.ones((5, 1)), np.arange(5.0)) == 0


def test_only_equal_rows_have_equal_fingerprints(rng):
    X = rng.integers(0, 3, (500, 4)).astype(np.float32)
    X[X == 0] *= rng.choice([-1, 1], (X == 0).sum())
    prints = fingerprints({str(j): X[:, j] for j in range(3)}, X[:, 3])
    same = prints[:, np.newaxis] == prints
    np.testing.assert_array_equal(same, (X[:, np.newaxis] == X).all(axis=2))


def test_indices_of_categories_have_no_scale(rng):
    X = np.column_stack([rng.normal(size=200), rng.integers(0, 2000, 200)])
    net = Network([Lookup(2, (1,), (2000,), n_out=2), Dense(3, 1)], seed=0)
    assert "unscaled inputs" not in kinds(diagnose(net, X, X[:, 0]))
