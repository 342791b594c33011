"""`MLPClassifier` and `MLPRegressor` beyond scikit-learn's own tests, which run in test_sklearn_mlp.py."""

import ast
import pickle
import re
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn.neural_network as theirs
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    make_multilabel_classification,
    make_regression,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import check_estimator

from chainrule import Callback, Checkpoint, MLPClassifier, MLPRegressor, Network, TimeLimit, check_gradients, mlp
from chainrule.nn.losses import CrossEntropy, Huber, Quantile

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X_IRIS, Y_IRIS = load_iris(return_X_y=True)
X_IRIS = scale(X_IRIS)
X_CANCER, Y_CANCER = load_breast_cancer(return_X_y=True)
X_CANCER = scale(X_CANCER)
X_DIABETES, Y_DIABETES = load_diabetes(return_X_y=True)
X_DIABETES, Y_DIABETES = scale(X_DIABETES), scale(Y_DIABETES)
X_LABELS, Y_LABELS = make_multilabel_classification(100, random_state=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("estimator", [MLPClassifier(max_iter=30), MLPRegressor(max_iter=30)])
def test_check_estimator_passes_completely(estimator):
    failed = [r["check_name"] for r in check_estimator(estimator, on_fail=None) if r["status"] in ("failed", "xfail")]
    assert failed == []


# As in scikit-learn.


def two_outputs(rng):
    Y = rng.normal(size=(len(X_DIABETES), 2))
    Y[:, 0] += Y_DIABETES
    return Y


PROBLEMS = {
    "three classes": ("Classifier", X_IRIS, Y_IRIS, {}),
    "two classes": ("Classifier", X_CANCER, Y_CANCER, {}),
    "several labels": ("Classifier", X_LABELS, Y_LABELS, {}),
    "numbers": ("Regressor", X_DIABETES, Y_DIABETES, {}),
    "counts": ("Regressor", X_DIABETES, np.abs(Y_DIABETES).round(), {"loss": "poisson"}),
    "several outputs": ("Regressor", X_DIABETES, two_outputs(np.random.default_rng(0)), {}),
}
SOLVERS = {
    "sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "sgd, plain": {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.05},
    "sgd, invscaling": {"solver": "sgd", "learning_rate": "invscaling", "nesterovs_momentum": False},
    "sgd, adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 1, "n_iter_no_change": 3},
    "adam": {"solver": "adam"},
    "lbfgs": {"solver": "lbfgs"},
}


def both(kind, **options):
    ours = {"Classifier": MLPClassifier, "Regressor": MLPRegressor}[kind](**options)
    return ours, getattr(theirs, f"MLP{kind}")(**options)


PAIRS = [(problem, solver) for problem in PROBLEMS for solver in SOLVERS]
# scikit-learn's gradient is n_outputs times too large here; a test below shows that ours is right.
PAIRS.remove(("several outputs", "lbfgs"))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("problem", "solver"), PAIRS)
def test_twenty_epochs_from_the_same_weights_give_the_same_network(problem, solver, weighted):
    kind, X, y, options = PROBLEMS[problem]
    ours, other = both(
        kind, max_iter=20, shuffle=False, random_state=3, hidden_layer_sizes=(10, 5), **SOLVERS[solver], **options
    )
    weight = np.random.default_rng(0).random(len(X)) + 0.5 if weighted else None
    ours.fit(X, y, weight)
    other.fit(X, y, weight)
    for a, b in zip(ours.coefs_ + ours.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.predict(X), other.predict(X), rtol=1e-5, atol=1e-6)
    assert (ours.n_iter_, ours.n_layers_, ours.n_outputs_, ours.out_activation_) == (
        other.n_iter_,
        other.n_layers_,
        other.n_outputs_,
        other.out_activation_,
    )
    if not weighted and problem != "several outputs":
        assert ours.loss_ == pytest.approx(other.loss_, rel=1e-6)


@pytest.mark.parametrize("problem", ["two classes", "three classes", "several labels", "numbers"])
def test_early_stopping_holds_out_the_same_rows_and_stops_at_the_same_epoch(problem):
    kind, X, y, _ = PROBLEMS[problem]
    options = {"early_stopping": True, "shuffle": False, "random_state": 1, "tol": 1e-3, "n_iter_no_change": 4}
    ours, other = both(kind, learning_rate_init=0.005, max_iter=300, **options)
    ours.fit(X, y)
    other.fit(X, y)
    assert ours.n_iter_ == other.n_iter_ < 300
    np.testing.assert_allclose(ours.validation_scores_, other.validation_scores_, rtol=1e-6)
    assert ours.best_validation_score_ == pytest.approx(other.best_validation_score_, rel=1e-6)
    np.testing.assert_allclose(ours.coefs_[0], other.coefs_[0], atol=1e-6)


def test_early_stopping_restores_the_weights_of_the_best_epoch(rng):
    X, y = rng.normal(size=(200, 5)), rng.normal(size=200)
    model = MLPRegressor(
        early_stopping=True, validation_data=(X[100:], y[100:]), learning_rate_init=0.01, random_state=0
    )
    model.fit(X[:100], y[:100])
    assert model.validation_scores_[-1] < model.best_validation_score_ - 0.01
    assert model.score(X[100:], y[100:]) == pytest.approx(model.best_validation_score_)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_initial_weights_are_scikit_learns_for_the_same_random_state(activation):
    ours, other = both("Classifier", activation=activation, random_state=7, max_iter=1, learning_rate_init=1e-12)
    ours.fit(X_IRIS, Y_IRIS)
    other.fit(X_IRIS, Y_IRIS)
    for a, b in zip(ours.coefs_ + ours.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)


def test_lbfgs_with_several_outputs_follows_the_gradient_of_its_loss():
    Y = two_outputs(np.random.default_rng(0))
    model = MLPRegressor(solver="lbfgs", max_iter=500, random_state=0, hidden_layer_sizes=5, alpha=0).fit(X_DIABETES, Y)
    assert check_gradients(model.network_, X_DIABETES[:20], Y[:20]).ok
    _, grad = model.network_.loss_and_grad(X_DIABETES, Y)
    assert np.abs(grad).max() < 0.05
    assert model.loss_ == pytest.approx(0.5 * ((model.predict(X_DIABETES) - Y) ** 2).sum(axis=1).mean())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "newton"}, "The 'solver' parameter of MLP"),
        ({"activation": "swoosh"}, "The 'activation' parameter of MLP"),
        ({"alpha": -1}, "The 'alpha' parameter of MLP"),
        ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes must be > 0"),
        ({"dropout": 1.0}, "The 'dropout' parameter of MLP"),
        ({"normalization": "group"}, "The 'normalization' parameter of MLP"),
        (
            {"activation": ["relu"], "hidden_layer_sizes": (3, 3)},
            "activation must have one entry for each of the 2 hidden layers",
        ),
        ({"solver": "sgd", "weight_decay": 0.1}, "weight_decay requires solver='adam'"),
        ({"scoring": "r2"}, "scoring requires early_stopping=True or validation_data"),
        ({"hidden_layer_sizes": (5, (3,))}, "hidden_layer_sizes must be integers"),
        ({"solver": "lbfgs", "dropout": 0.5}, "dropout requires solver='sgd' or 'adam'"),
        ({"solver": "lbfgs", "validation_data": (X_IRIS, Y_IRIS)}, "validation_data requires solver='sgd' or 'adam'"),
        ({"solver": "lbfgs", "normalization": "batch"}, "normalization='batch' requires solver"),
        ({"validation_data": (X_IRIS,)}, r"validation_data must be \(X, y\)"),
        ({"validation_data": (X_IRIS[:, :2], Y_IRIS)}, "X has 2 features"),
    ],
)
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_bad_parameters_are_value_errors(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(**options).fit(X_IRIS, Y_IRIS)


# Beyond scikit-learn.


def minority(rng, n=400):
    y = (rng.random(n) < 0.1).astype(int)
    return rng.normal(size=(n, 2)) + y[:, np.newaxis], y


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1, 1: 9}])
def test_class_weights_raise_the_recall_of_the_minority(class_weight, rng):
    X, y = minority(rng)
    plain, weighted = (MLPClassifier(random_state=0, class_weight=w).fit(X, y) for w in (None, class_weight))
    assert weighted.predict(X)[y == 1].mean() > plain.predict(X)[y == 1].mean() + 0.2


def test_class_weights_multiply_sample_weights(rng):
    X, y = minority(rng)
    weight = rng.random(len(y))
    options = {"solver": "lbfgs", "random_state": 0, "max_iter": 30}
    a = MLPClassifier(class_weight={0: 1, 1: 5}, **options).fit(X, y, weight)
    b = MLPClassifier(**options).fit(X, y, weight * np.where(y == 1, 5, 1))
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), rtol=1e-6)
    with pytest.raises(ValueError, match="class_weight='balanced' is not supported for partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1])


def test_label_smoothing_makes_predictions_less_confident():
    plain, smooth = (MLPClassifier(random_state=0, label_smoothing=s).fit(X_IRIS, Y_IRIS) for s in (0, 0.3))
    assert smooth.predict_proba(X_IRIS).max() < 0.96 < 0.99 < plain.predict_proba(X_IRIS).max()


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_raises_the_training_loss_and_leaves_predictions_deterministic(dropout):
    model = MLPClassifier(random_state=0, dropout=dropout, max_iter=100).fit(X_IRIS, Y_IRIS)
    gap = model.loss_ - model.network_.evaluate(X_IRIS, Y_IRIS)
    assert (gap > 0.02) == (dropout > 0)
    np.testing.assert_array_equal(model.predict_proba(X_IRIS), model.predict_proba(X_IRIS))


def test_each_hidden_layer_may_have_its_own_activation():
    model = MLPClassifier((4, 3), activation=["tanh", "gelu"], max_iter=5).fit(X_IRIS, Y_IRIS)
    assert "Activation('tanh')" in str(model.network_)
    assert "Activation('gelu')" in str(model.network_)


def test_a_custom_activation_is_checked_before_it_is_used():
    def cube(Z):
        return Z**3, lambda dA: dA * 3 * Z**2

    assert (
        MLPRegressor(activation=cube, max_iter=5, hidden_layer_sizes=5).fit(X_IRIS, Y_IRIS).network_.gradients_checked
    )


def test_layer_normalization_makes_predictions_independent_of_a_rows_scale():
    model = MLPClassifier(normalization="layer", max_iter=50, random_state=0).fit(X_IRIS, Y_IRIS)
    model.intercepts_[0][...] = 0
    near, far = model.predict_proba(X_IRIS), model.predict_proba(1000 * X_IRIS)
    np.testing.assert_allclose(near, far, atol=0.01)
    assert model.score(X_IRIS, Y_IRIS) > 0.7


def test_batch_normalization_handles_unscaled_columns():
    X = X_IRIS * [1, 1000, 1e-3, 1] + [0, 5000, 0, 0]
    options = {"random_state": 0, "max_iter": 100, "hidden_layer_sizes": (20, 20)}
    model = MLPClassifier(normalization="batch", **options).fit(X, Y_IRIS)
    assert model.score(X, Y_IRIS) > MLPClassifier(**options).fit(X, Y_IRIS).score(X, Y_IRIS)


def test_residual_blocks_train_where_thirty_plain_layers_do_not():
    options = {"hidden_layer_sizes": (16,) * 30, "activation": "tanh", "random_state": 0, "max_iter": 30}
    scores = [MLPClassifier(residual=r, **options).fit(X_IRIS, Y_IRIS).score(X_IRIS, Y_IRIS) for r in (False, True)]
    assert scores[1] > max(scores[0], 0.93)


def test_decoupled_weight_decay_shrinks_weights():
    plain, decayed = (
        MLPClassifier(random_state=0, weight_decay=w, alpha=0, max_iter=100).fit(X_IRIS, Y_IRIS) for w in (0, 3.0)
    )
    for a, b in zip(decayed.coefs_, plain.coefs_, strict=True):
        assert np.abs(a).sum() < 0.9 * np.abs(b).sum()


def test_clipping_allows_a_high_learning_rate():
    options = {"solver": "sgd", "learning_rate_init": 1.0, "random_state": 0, "max_iter": 50}
    y = 100 * Y_DIABETES
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        MLPRegressor(**options).fit(X_DIABETES, y)
    assert np.isfinite(MLPRegressor(clip_norm=1.0, **options).fit(X_DIABETES, y).predict(X_DIABETES)).all()


def test_a_schedule_works_with_adam():
    still = MLPClassifier(schedule=lambda epoch, progress: 0.0, max_iter=3, random_state=0).fit(X_IRIS, Y_IRIS)
    assert len(set(still.loss_curve_)) == 1
    assert MLPClassifier(schedule="cosine", random_state=0).fit(X_IRIS, Y_IRIS).score(X_IRIS, Y_IRIS) > 0.9


@pytest.mark.parametrize(
    ("loss", "statistic"),
    [("absolute_error", np.median), (Quantile(0.8), lambda y: np.quantile(y, 0.8)), ("squared_error", np.mean)],
)
def test_each_loss_predicts_its_own_statistic(loss, statistic, rng):
    y = rng.exponential(size=1001)
    model = MLPRegressor(loss, hidden_layer_sizes=(), solver="lbfgs" if loss == "squared_error" else "adam")
    model.set_params(learning_rate_init=0.01, max_iter=300, random_state=0, alpha=0, schedule=None)
    model.fit(np.zeros((1001, 1)), y)
    assert model.predict([[0.0]])[0] == pytest.approx(statistic(y), abs=0.05)


def test_huber_is_robust_to_outliers(rng):
    X = rng.normal(size=(300, 1))
    y = 2 * X[:, 0]
    y[:20] = 100
    options = {"hidden_layer_sizes": (), "solver": "lbfgs", "random_state": 0}
    huber, squared = (MLPRegressor(loss, **options).fit(X, y) for loss in (Huber(0.5), "squared_error"))
    clean = slice(20, None)
    assert np.abs(huber.predict(X) - y)[clean].mean() < 0.2 < np.abs(squared.predict(X) - y)[clean].mean()


def test_several_quantiles_are_columns(rng):
    X, y = np.zeros((2000, 1)), rng.normal(size=2000)
    model = MLPRegressor(Quantile((0.1, 0.5, 0.9)), hidden_layer_sizes=(), learning_rate_init=0.01, random_state=0)
    low, middle, high = model.fit(X, y).predict(X[:1])[0]
    assert (low, middle, high) == pytest.approx((-1.28, 0, 1.28), abs=0.12)
    assert model.n_outputs_ == 1
    assert model.score(X, y) == pytest.approx(0, abs=0.05)


def test_a_custom_loss_is_checked_then_used():
    def log_cosh(Z, Y):
        return np.log(np.cosh(Z - Y)), np.tanh(Z - Y)

    assert MLPRegressor(log_cosh, random_state=0).fit(X_DIABETES, Y_DIABETES).score(X_DIABETES, Y_DIABETES) > 0.4
    with pytest.raises(ValueError, match="a custom loss, activation or layer has a wrong derivative"):
        MLPRegressor(lambda Z, Y: ((Z - Y) ** 2, Z - Y)).fit(X_DIABETES, Y_DIABETES)


def test_outputs_can_be_bounded():
    y = np.clip(Y_DIABETES, -1, 1)
    model = MLPRegressor(output_range=(-1, 1), random_state=0, max_iter=100).fit(X_DIABETES, y)
    far = model.predict(100 * X_DIABETES)
    assert far.min() >= -1
    assert far.max() <= 1
    assert model.score(X_DIABETES, y) > 0.3
    positive = MLPRegressor(output_activation="softplus", random_state=0).fit(X_DIABETES, np.abs(Y_DIABETES))
    assert positive.predict(100 * X_DIABETES).min() >= 0


def test_validation_data_is_scored_and_decides_when_to_stop():
    train, held_out = slice(None, None, 2), slice(1, None, 2)
    model = MLPClassifier(
        early_stopping=True,
        validation_data=(X_CANCER[held_out], Y_CANCER[held_out]),
        scoring="roc_auc",
        random_state=0,
        n_iter_no_change=5,
    ).fit(X_CANCER[train], Y_CANCER[train])
    assert len(model.validation_loss_curve_) == len(model.validation_scores_) == model.n_iter_ < 200
    P = model.predict_proba(X_CANCER[held_out])[:, 1]
    from sklearn.metrics import roc_auc_score

    assert model.best_validation_score_ == pytest.approx(roc_auc_score(Y_CANCER[held_out], P))


def test_validation_data_without_early_stopping_is_only_scored():
    model = MLPRegressor(validation_data=(X_DIABETES[:50], Y_DIABETES[:50]), max_iter=7, random_state=0)
    model.fit(X_DIABETES[50:], Y_DIABETES[50:])
    assert len(model.validation_loss_curve_) == 7
    expected = 0.5 * np.mean((model.predict(X_DIABETES[:50]) - Y_DIABETES[:50]) ** 2)
    assert model.validation_loss_curve_[-1] == pytest.approx(expected)


def test_a_time_limit_and_a_progress_bar(capsys):
    model = MLPClassifier(max_iter=10**6, tol=0, n_iter_no_change=np.inf, time_limit=0.2, progress_bar=True)
    model.fit(X_IRIS, Y_IRIS)
    assert 0 < model.n_iter_ < 10**6
    assert "stopped: reached the time limit of 0.2 s" in capsys.readouterr().err
    options = {"solver": "lbfgs", "random_state": 0, "tol": 0, "max_iter": 2000, "max_fun": 10**6}
    free, limited = MLPRegressor(**options), MLPRegressor(time_limit=0.05, **options)
    assert limited.fit(X_DIABETES, Y_DIABETES).n_iter_ < free.fit(X_DIABETES, Y_DIABETES).n_iter_


def test_engine_callbacks_see_the_run():
    class Stop(Callback):
        def on_epoch_end(self, run):
            if run.epoch == 4:
                run.stop = "enough"

    assert MLPClassifier(callbacks=[Stop()]).fit(X_IRIS, Y_IRIS).n_iter_ == 5


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scikit_learns_callbacks_see_every_iteration_and_can_stop_training(solver):
    class Recorder:
        def __init__(self):
            self.scores, self.events = [], []

        def setup(self, estimator, context):
            self.events.append("setup")

        def on_fit_task_begin(self, estimator, context):
            self.events.append(f"begin {context.task_name}")

        def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
            if context.task_name == "iteration":
                self.scores.append(fitted_estimator.score(X, y))
                return len(self.scores) == 4
            return False

        def teardown(self, estimator, context):
            self.events.append("teardown")

    recorder = Recorder()
    model = MLPClassifier(solver=solver, random_state=0).set_callbacks(recorder).fit(X_IRIS, Y_IRIS)
    assert recorder.events == ["setup", "begin fit", *["begin iteration"] * 4, "teardown"]
    assert len(recorder.scores) == 4
    assert recorder.scores[-1] == model.score(X_IRIS, Y_IRIS)


def test_hidden_activations_and_transform_return_the_hidden_layers():
    model = MLPClassifier((6, 4), random_state=0, max_iter=20).fit(X_IRIS, Y_IRIS)
    first, second = model.hidden_activations(X_IRIS)
    np.testing.assert_allclose(first, np.maximum(X_IRIS @ model.coefs_[0] + model.intercepts_[0], 0))
    np.testing.assert_allclose(second, np.maximum(first @ model.coefs_[1] + model.intercepts_[1], 0))
    np.testing.assert_array_equal(model.transform(X_IRIS), second)
    assert list(model.get_feature_names_out()) == [f"mlpclassifier{i}" for i in range(4)]
    deep = MLPClassifier((5, 5, 5), residual=True, normalization="layer", dropout=0.1, max_iter=5)
    assert [h.shape for h in deep.fit(X_IRIS, Y_IRIS).hidden_activations(X_IRIS)] == [(150, 5)] * 3


def test_coefs_are_views_of_the_network():
    model = MLPClassifier(random_state=0, max_iter=5).fit(X_IRIS, Y_IRIS)
    assert isinstance(model.network_, Network)
    np.testing.assert_array_equal(model.network_(X_IRIS), model.predict_proba(X_IRIS))
    model.coefs_[0][...] = 0
    assert not model.network_.params[0]["W"].any()


@pytest.mark.parametrize("n_out", [1, 2, 3])
def test_a_network_becomes_a_classifier_and_trains_further(n_out):
    loss = "binary_cross_entropy" if n_out == 1 else "cross_entropy"
    X, y = (X_IRIS, Y_IRIS) if n_out == 3 else (X_CANCER, Y_CANCER)
    labels = np.array(["a", "b", "c"])[: max(n_out, 2)]
    net = mlp(X.shape[1], 8, n_out, loss=loss, seed=0, dtype="float64")
    model = MLPClassifier.from_network(net, labels, learning_rate_init=0.01, random_state=0)
    assert set(model.predict(X)) <= set(labels)
    if n_out > 1:
        np.testing.assert_array_equal(model.predict_proba(X), net(X))
    before = net.theta.copy()
    for _ in range(50):
        model.partial_fit(X, labels[y])
    assert model.score(X, labels[y]) > 0.9
    np.testing.assert_array_equal(net.theta, before)


def test_a_network_becomes_a_regressor():
    net = mlp(10, 8, 1, seed=0, dtype="float64")
    model = MLPRegressor.from_network(net)
    np.testing.assert_array_equal(model.predict(X_DIABETES), net(X_DIABETES)[:, 0])
    assert model.hidden_layer_sizes == (8,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLPClassifier.from_network(mlp(3, 1)), "network must have a cross-entropy loss, got"),
        (
            lambda: MLPRegressor.from_network(mlp(3, 2, loss="cross_entropy")),
            "network must have a regression loss, got",
        ),
        (
            lambda: MLPClassifier.from_network(mlp(3, 2, loss="cross_entropy"), ["b", "a"]),
            "2 unique labels in sorted order",
        ),
    ],
)
def test_a_network_with_the_wrong_loss_or_classes_is_rejected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("extras", [{}, {"dropout": 0.2, "normalization": "batch"}])
def test_partial_fit_resumes_exactly_where_it_stopped_also_after_pickling(solver, extras):
    options = {"solver": solver, "random_state": 0, "batch_size": 32, "tol": 0, "n_iter_no_change": np.inf} | extras
    whole = MLPClassifier(max_iter=12, **options).fit(X_IRIS, Y_IRIS)
    steps = MLPClassifier(**options)
    for epoch in range(12):
        steps.partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])
        if epoch == 6:
            steps = pickle.loads(pickle.dumps(steps))
    np.testing.assert_array_equal(whole.network_.theta, steps.network_.theta)
    assert whole.loss_curve_ == steps.loss_curve_


@pytest.mark.parametrize("learning_rate", ["invscaling", "adaptive"])
def test_partial_fit_keeps_the_current_learning_rate(learning_rate):
    options = {"solver": "sgd", "learning_rate": learning_rate, "learning_rate_init": 0.5, "shuffle": False}
    options |= {"tol": 10, "n_iter_no_change": 1, "momentum": 0.5, "random_state": 0}
    ours, other = both("Classifier", **options)
    for _ in range(6):
        ours.partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])
        other.partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])
        assert ours._optimizer.learning_rate == pytest.approx(other._optimizer.learning_rate)
    np.testing.assert_allclose(ours.coefs_[0], other.coefs_[0], atol=1e-9)


def test_initial_weights_follow_initialization_and_random_state():
    def initial(**options):
        return MLPClassifier((200,), max_iter=1, learning_rate_init=1e-12, **options).fit(X_IRIS, Y_IRIS).coefs_

    first, last = initial(initialization="he_normal", random_state=0)
    assert first.std() == pytest.approx(np.sqrt(2 / 4), rel=0.1)
    assert last.std() == pytest.approx(np.sqrt(2 / 200), rel=0.1)
    np.testing.assert_array_equal(initial(initialization="he_normal", random_state=0)[0], first)
    assert not np.array_equal(initial(initialization="he_normal", random_state=1)[0], first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "tanh"}, r"architecture: layer 1 was Activation\('relu'\), now Activation\('tanh'\)"),
        ({"hidden_layer_sizes": (7,)}, r"architecture: layer 0 was Dense\(4, 100\), now Dense\(4, 7\)"),
        ({"dropout": 0.2}, r"architecture: layer 2 was Dense\(100, 3\), now Dropout\(0.2\)"),
        ({"label_smoothing": 0.3}, "loss, which was CrossEntropy"),
    ],
)
def test_warm_start_with_changed_parameters_is_rejected(change, message):
    model = MLPClassifier(warm_start=True, max_iter=3).fit(X_IRIS, Y_IRIS)
    with pytest.raises(ValueError, match=f"warm_start=True cannot change the {message}"):
        model.set_params(**change).fit(X_IRIS, Y_IRIS)


def test_warm_start_with_another_loss_is_rejected():
    model = MLPRegressor(warm_start=True, max_iter=3).fit(X_DIABETES, Y_DIABETES).fit(X_DIABETES, Y_DIABETES)
    with pytest.raises(ValueError, match="warm_start=True cannot change the loss, which was SquaredError"):
        model.set_params(loss="huber").fit(X_DIABETES, Y_DIABETES)
    network = mlp(4, 5, 3, loss=CrossEntropy(label_smoothing=0.2), seed=0)
    MLPClassifier.from_network(network, warm_start=True, hidden_layer_sizes=(5,), max_iter=3).fit(X_IRIS, Y_IRIS)


def test_a_warm_started_fit_without_improvement_keeps_the_best_weights():
    options = {"early_stopping": True, "warm_start": True, "validation_data": (X_IRIS, Y_IRIS), "random_state": 0}
    model = MLPClassifier(max_iter=60, learning_rate_init=0.01, **options).fit(X_IRIS, Y_IRIS)
    best = model.best_validation_score_
    model.set_params(learning_rate_init=3.0, max_iter=3).fit(X_IRIS, Y_IRIS)
    assert model.best_validation_score_ == best == model.score(X_IRIS, Y_IRIS) > 0.9


def test_a_validation_split_with_zero_weights_only_is_rejected():
    weight = np.zeros(len(X_IRIS))
    weight[:3] = 1
    with pytest.raises(ValueError, match=r"sample_weight must be > 0 for .*validation_fraction=0.1"):
        MLPClassifier(early_stopping=True, max_iter=3, random_state=3).fit(X_IRIS, Y_IRIS > 0, weight)


def test_weights_whose_sum_would_overflow_are_rejected():
    with pytest.raises(ValueError, match=r"sample_weight must be in \[1e-30, 1e\+30\], got 1e\+37"):
        MLPClassifier(max_iter=3).fit(X_IRIS, Y_IRIS, np.full(len(X_IRIS), 1e37))


def test_a_checkpoint_is_rejected(tmp_path):
    with pytest.raises(ValueError, match="callbacks must not contain a Checkpoint"):
        MLPClassifier(callbacks=[Checkpoint(tmp_path / "iris.checkpoint")]).fit(X_IRIS, Y_IRIS)


@pytest.mark.parametrize("calls_before", [0, 5])
def test_ctrl_c_leaves_lbfgs_with_its_last_iterate(calls_before, monkeypatch):
    calls, iterations = [], []
    original = Network.objective

    def interrupted(self, *rows):
        calls.append(1)
        if len(calls) > calls_before and (calls_before == 0 or iterations):
            raise KeyboardInterrupt
        return original(self, *rows)

    monkeypatch.setattr(Network, "objective", interrupted)
    monkeypatch.setattr(TimeLimit, "is_over", lambda self: iterations.append(1))
    model = MLPClassifier(solver="lbfgs", alpha=1.0, random_state=0, max_iter=100)
    if not calls_before:
        with pytest.raises(KeyboardInterrupt):
            model.fit(X_IRIS, Y_IRIS)
    else:
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            model.fit(X_IRIS, Y_IRIS)
        assert model.n_iter_ == len(iterations) > 0
        network = model.network_.copy()
        network.alpha = 1.0
        value, _ = original(network, *network.check(X_IRIS, Y_IRIS))
        assert model.loss_ == pytest.approx(value)
    assert model.network_.alpha == 0


@pytest.mark.parametrize("activation", [["logistic"], np.array(["logistic"])])
def test_a_sequence_of_activations_has_the_initial_weights_of_the_name(activation):
    options = {"max_iter": 2, "random_state": 0}
    expected = MLPClassifier(activation="logistic", **options).fit(X_IRIS, Y_IRIS)
    model = MLPClassifier(activation=activation, **options).fit(X_IRIS, Y_IRIS)
    np.testing.assert_array_equal(model.coefs_[1], expected.coefs_[1])


def test_early_stopping_can_start_with_a_later_fit():
    model = MLPClassifier(warm_start=True, max_iter=3, random_state=0).fit(X_IRIS, Y_IRIS)
    model.set_params(early_stopping=True).fit(X_IRIS, Y_IRIS)
    assert len(model.validation_scores_) == 3
    assert MLPClassifier(max_iter=3).fit(X_IRIS, Y_IRIS).validation_scores_ is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": ["relu", "tanh"]}, "activation must have one entry"),
        ({"solver": "lbfgs", "clip_norm": 1.0}, "clip_norm requires solver='sgd' or 'adam'"),
    ],
)
def test_a_rejected_fit_leaves_the_model_unchanged(change, message):
    model = MLPClassifier(max_iter=3, random_state=0).fit(X_IRIS, Y_IRIS)
    before = model.predict_proba(X_IRIS)
    with pytest.raises(ValueError, match=message):
        model.set_params(**change).fit(X_IRIS[:, :2], Y_IRIS)
    np.testing.assert_array_equal(model.predict_proba(X_IRIS), before)


def test_weights_can_be_assigned():
    model = MLPClassifier(max_iter=3, random_state=0).fit(X_IRIS, Y_IRIS)
    model.coefs_, model.intercepts_ = [0 * W for W in model.coefs_], [0 * b for b in model.intercepts_]
    np.testing.assert_allclose(model.predict_proba(X_IRIS), 1 / 3)
    with pytest.raises(ValueError, match="coefs_ must have 2 arrays, one per layer, got 1"):
        model.coefs_ = [1]
    with pytest.raises(ValueError, match=r"coefs_\[0\] must have shape \(4, 100\), got shape \(3, 3\)"):
        model.coefs_ = [np.ones((3, 3)), np.ones((100, 3))]


def test_rows_beyond_the_range_of_the_networks_dtype_are_rejected():
    model = MLPClassifier(max_iter=3).fit(X_IRIS.astype(np.float32), Y_IRIS)
    with pytest.raises(ValueError, match="X must be finite in float32"):
        model.predict_proba(np.full((2, 4), 1e39))


@pytest.mark.parametrize("class_weight", [{0: -1}, {0: 0, 1: 0, 2: 0}])
def test_invalid_class_weights_are_rejected(class_weight):
    with pytest.raises(ValueError, match=r"class_weight must be finite and >= 0, .*, got \{0: "):
        MLPClassifier(class_weight=class_weight).fit(X_IRIS, Y_IRIS)


def test_a_multilabel_network_becomes_a_multilabel_classifier():
    net = mlp(20, 8, 5, activation="gelu", dropout=0.1, loss="binary_cross_entropy", seed=0, dtype="float64")
    model = MLPClassifier.from_network(net, learning_rate_init=0.01, random_state=0)
    np.testing.assert_array_equal(model.predict(X_LABELS), net(X_LABELS) > 0.5)
    for _ in range(100):
        model.partial_fit(X_LABELS, Y_LABELS)
    assert model.loss_curve_[-1] < 0.7 * model.loss_curve_[0]
    twin = clone(model).fit(X_LABELS, Y_LABELS)
    assert list(map(str, twin.network_.layers[1:3])) == ["Activation('gelu')", "Dropout(0.1)"]


def test_warm_start_keeps_adams_moments():
    options = {"random_state": 0, "batch_size": 32, "tol": 0, "n_iter_no_change": np.inf}
    whole = MLPClassifier(max_iter=12, **options).fit(X_IRIS, Y_IRIS)
    halves = MLPClassifier(max_iter=6, warm_start=True, **options).fit(X_IRIS, Y_IRIS).fit(X_IRIS, Y_IRIS)
    np.testing.assert_array_equal(whole.network_.theta, halves.network_.theta)


def test_the_same_random_state_gives_the_same_bits():
    a, b = (MLPClassifier(random_state=5, max_iter=10).fit(X_IRIS, Y_IRIS) for _ in "ab")
    np.testing.assert_array_equal(a.network_.theta, b.network_.theta)


def test_divergence_stops_training_and_names_the_batch():
    with pytest.raises(ValueError, match=r"non-finite parameter weights.*diverged: epoch \d+, batch \d+"):
        MLPRegressor(solver="sgd", learning_rate_init=1e3, random_state=0).fit(X_DIABETES, 1e4 * Y_DIABETES)


def test_divergence_under_early_stopping_keeps_the_best_epoch():
    model = MLPRegressor(
        solver="sgd", activation="identity", learning_rate_init=0.9, early_stopping=True, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="weights of the best epoch are restored"):
        model.fit(X_DIABETES, Y_DIABETES)
    assert np.isfinite(model.predict(X_DIABETES)).all()
    assert np.isnan(model.validation_scores_[-1])
    assert model.n_iter_ < 200


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_sparse_rows_train_like_dense_ones(solver, rng):
    X = sparse.random_array((120, 30), density=0.2, random_state=0, format="csr")
    y = (X.sum(axis=1) > np.median(X.sum(axis=1))).astype(int)
    options = {"solver": solver, "random_state": 0, "max_iter": 15, "batch_size": 50}
    dense, compressed = MLPClassifier(**options).fit(X.toarray(), y), MLPClassifier(**options).fit(X, y)
    np.testing.assert_allclose(dense.network_.theta, compressed.network_.theta, rtol=1e-10)
    np.testing.assert_allclose(dense.predict_proba(X), compressed.predict_proba(X.toarray()))
    early = MLPClassifier(early_stopping=True, **options | {"solver": "adam"}).fit(X, y)
    assert early.hidden_activations(X)[0].shape == (120, 100)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_have_the_dtype_of_the_training_data(dtype):
    model = MLPClassifier(max_iter=5, random_state=0).fit(X_IRIS.astype(dtype), Y_IRIS)
    assert model.network_.theta.dtype == dtype
    for X in (X_IRIS.astype(np.float32), X_IRIS, X_IRIS.tolist()):
        assert model.predict_proba(X).dtype == dtype


def test_training_keeps_its_dtype():
    model = MLPClassifier(random_state=0, max_iter=5).fit(X_IRIS.astype(np.float32), Y_IRIS)
    model.partial_fit(X_IRIS, Y_IRIS)
    assert model.network_.theta.dtype == np.float32


def test_the_fast_input_check_rejects_what_the_full_one_does():
    model = MLPClassifier(max_iter=5).fit(X_IRIS, Y_IRIS)
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict(np.full((1, 4), np.nan))
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 4"):
        model.predict(np.ones((1, 3)))
    with pytest.raises(ValueError, match="0 sample"):
        model.predict(np.empty((0, 4)))


def test_estimators_work_in_pipelines_searches_and_clones():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), MLPClassifier(max_iter=20, random_state=0)),
        {"mlpclassifier__dropout": [0.0, 0.1], "mlpclassifier__activation": ["relu", "silu"]},
        cv=2,
    ).fit(X_IRIS, Y_IRIS)
    assert search.best_score_ > 0.7
    model = MLPRegressor("huber", (5,), "silu", dropout=0.1, callbacks=(), random_state=3)
    assert clone(model).get_params() == model.get_params()
    assert cross_val_score(MLPRegressor(random_state=0), X_DIABETES, Y_DIABETES, cv=2).mean() > 0.2
    assert repr(MLPClassifier(dropout=0.1)) == "MLPClassifier(dropout=0.1)"


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_every_parameter_has_scikit_learns_default_and_is_documented(name):
    ours, other = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[name](), getattr(theirs, name)()
    for parameter, default in other.get_params().items():
        assert ours.get_params()[parameter] == default
    section = type(ours).__doc__.split("Attributes\n")[0]
    listed = [
        parameter for line in re.findall(r"^    (\w[\w, ]*)(?: : |$)", section, re.M) for parameter in line.split(", ")
    ]
    assert sorted(set(listed) - {"Parameters"}) == sorted(ours.get_params())
    described = re.findall(r"^    (\w+) : .+", MLPClassifier.__doc__ + section, re.M)
    assert ours.get_params().keys() <= set(described)


def test_the_documented_defaults_are_the_defaults():
    documented = dict(re.findall(r"^    (\w+) : .*default=(.+)$", MLPClassifier.__doc__, re.M))
    for parameter, default in MLPClassifier().get_params().items():
        assert ast.literal_eval(documented[parameter]) == default, parameter


def test_sample_weights_are_routed_through_a_pipeline(rng):
    X, y = minority(rng)
    weight = np.where(y == 1, 9.0, 1.0)
    with config_context(enable_metadata_routing=True):
        model = MLPClassifier(solver="lbfgs", random_state=0).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(scaler, model).fit(X, y, sample_weight=weight)
    alone = clone(model).fit(StandardScaler().fit_transform(X), y, sample_weight=weight)
    np.testing.assert_array_equal(routed.predict_proba(X), alone.predict_proba(StandardScaler().fit_transform(X)))


def test_column_names_are_remembered_and_checked():
    frame = pd.DataFrame(X_IRIS, columns=list("abcd"))
    model = MLPClassifier(max_iter=5, early_stopping=True, scoring="accuracy").fit(frame, Y_IRIS)
    assert list(model.feature_names_in_) == list("abcd")
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X_IRIS)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[list("dcba")])


def test_joblib_workers_train_the_same_model():
    models = joblib.Parallel(n_jobs=2)(
        joblib.delayed(MLPClassifier(random_state=0, max_iter=10).fit)(X_IRIS, Y_IRIS) for _ in range(2)
    )
    here = MLPClassifier(random_state=0, max_iter=10).fit(X_IRIS, Y_IRIS)
    for model in models:
        np.testing.assert_allclose(model.network_.theta, here.network_.theta, rtol=1e-9)


def test_ctrl_c_keeps_what_was_learned():
    class Interrupt(Callback):
        def on_epoch_end(self, run):
            if run.epoch == 20:
                raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model = MLPClassifier(callbacks=[Interrupt()], random_state=0).fit(X_IRIS, Y_IRIS)
    assert model.score(X_IRIS, Y_IRIS) > 0.6


def test_a_target_with_one_column_warns_as_in_scikit_learn():
    X, y = make_regression(30, 3, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        MLPRegressor(max_iter=2).fit(X, y[:, np.newaxis])
    assert any("column-vector" in str(w.message) for w in caught)


@pytest.mark.parametrize("name", ["X", "y", "sample_weight"])
def test_masked_cells_are_rejected(name, rng):
    data = {"X": rng.normal(size=(20, 2)), "y": rng.normal(size=20), "sample_weight": np.ones(20)}
    data[name] = np.ma.masked_less(data[name], 0.5 if name != "sample_weight" else 2)
    with pytest.raises(ValueError, match=f"{name} must have no masked cells, got "):
        MLPRegressor().fit(**data)


@pytest.mark.parametrize(
    ("labels", "types"), [(["a", None], "NoneType, str"), (["a", 1], "int, str"), ([1, None], "NoneType, int")]
)
def test_labels_of_several_types_are_rejected(labels, types):
    with pytest.raises(ValueError, match=f"y must hold labels of one type, got {types}"):
        MLPClassifier(max_iter=1).fit(np.arange(20.0).reshape(10, 2), np.array(labels * 5, object))


def test_strings_of_two_types_are_labels():
    y = np.array(["a", np.str_("b")] * 5, object)
    model = MLPClassifier(max_iter=1).fit(np.arange(20.0).reshape(10, 2), y)
    assert model.classes_.tolist() == ["a", "b"]


def test_negative_weights_are_rejected(rng):
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        MLPRegressor().fit(rng.normal(size=(20, 2)), rng.normal(size=20), sample_weight=-np.ones(20))


@pytest.mark.parametrize("model", [MLPClassifier(max_iter=1), MLPRegressor(max_iter=1)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_overflow_inside_the_network_is_an_error(model, rng):
    X = rng.normal(size=(20, 2)).astype(np.float32)
    model.fit(X, np.arange(20) % 2).coefs_[0][...] *= 100
    for rows in (X, sparse.csr_matrix(X)):
        with pytest.raises(ValueError, match=r"layer 0, Dense\(2, 100\), overflows float32 for X\[0\]"):
            model.predict(rows * np.float32(1e38))
