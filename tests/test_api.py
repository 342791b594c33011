"""What people type when they guess: it works, or the message says what was meant."""

import copy
import pickle
import warnings
from importlib import import_module
from types import ModuleType

import matplotlib.pyplot as plt
import numpy as np
import pytest

import chainrule
from chainrule import (
    Activation,
    Adam,
    Callback,
    Dense,
    Dropout,
    EarlyStopping,
    History,
    MLPClassifier,
    MLPRegressor,
    Network,
    TimeLimit,
    check_gradients,
    mlp,
    schedules,
    train,
)

X = np.random.default_rng(0).normal(size=(40, 2))
Y = (X[:, 0] > 0).astype(int)


NAMESPACES = ["datasets", "distributed", "errors", "export", "losses", "metrics", "nn", "schedules", "viz"]


@pytest.mark.parametrize("name", [*NAMESPACES, "nn.layers", "nn.losses"])
def test_a_namespace_is_an_attribute(name):
    module = chainrule
    for part in name.split("."):
        module = getattr(module, part)
    assert isinstance(module, ModuleType)


@pytest.mark.parametrize("name", NAMESPACES)
def test_a_namespace_can_be_imported_in_every_form(name):
    assert import_module(f"chainrule.{name}") is getattr(chainrule, name)


def test_the_namespaces_of_losses_and_schedules_are_complete():
    for namespace, registry in ((chainrule.losses, chainrule.losses.LOSSES), (schedules, schedules.SCHEDULES)):
        for kind in registry.values():
            assert getattr(namespace, kind.__name__) is kind


@pytest.mark.parametrize(
    "name",
    ["SquaredError", "CrossEntropy", "Huber", "Cosine", "OneCycle", "GradientError", "ModelFileError", "batches"],
)
def test_losses_schedules_and_errors_are_at_the_top_level(name):
    assert name in dir(chainrule)
    assert getattr(chainrule, name).__name__ == name


def test_dir_lists_the_public_names_and_nothing_else():
    assert set(dir(chainrule)) == {*chainrule.__all__, "__version__"}
    assert not {"TYPE_CHECKING", "Any", "import_module", "ROOMS", "HOMES"} & set(dir(chainrule))


@pytest.mark.parametrize(
    ("wrong", "meant"), [("Cosin", "Cosine"), ("mpl", "mlp"), ("checkgradients", "check_gradients")]
)
def test_an_unknown_name_suggests_the_closest(wrong, meant):
    with pytest.raises(AttributeError, match=f"module 'chainrule' has no attribute '{wrong}'. Did you mean '{meant}'"):
        getattr(chainrule, wrong)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: train(mlp(2, 2), X, Y, lr=0.1), r"train\(\) .* 'lr'\. Pass optimizer=Adam\(0\.01\)\."),
        (lambda: train(mlp(2, 2), X, Y, learning_rate=0.1), r"'learning_rate'\. Pass optimizer=Adam\(0\.01\)\."),
        (lambda: train(mlp(2, 2), X, Y, validation_data=(X, Y)), r"'validation_data'\. Did you mean 'validation'\?"),
        (lambda: train(mlp(2, 2), X, Y, validation_split=0.2), r"'validation_split'\. .*validation=\(X, y\)"),
        (lambda: train(mlp(2, 2), X, Y, verbose=1), r"'verbose'\. Did you mean 'progress'\?"),
        (lambda: train(mlp(2, 2), X, Y, epoch=1), r"'epoch'\. Did you mean 'epochs'\?"),
        (lambda: Adam(lr=0.1), r"Adam\(\) .* 'lr'\. Did you mean 'learning_rate'\?"),
        (lambda: Dense(2, units=3), r"Dense\(\) .* 'units'\. Did you mean 'n_out'\?"),
        (lambda: Dense(2, 3, activation="relu"), r"'activation'\. Add a layer: Activation\('relu'\)\."),
        (lambda: Dropout(p=0.5), r"'p'\. Did you mean 'rate'\?"),
        (lambda: EarlyStopping(patient=3), r"'patient'\. Did you mean 'patience'\?"),
        (lambda: TimeLimit(second=3), r"'second'\. Did you mean 'seconds'\?"),
        (lambda: mlp(2, 3, random_state=0), r"'random_state'\. Did you mean 'seed'\?"),
        (lambda: Network([Dense(2, 1)], criterion="mse"), r"'criterion'\. Did you mean 'loss'\?"),
        (lambda: mlp(2, 3, nonsense=0), r"'nonsense'$"),
    ],
)
def test_a_wrong_keyword_says_which_was_meant(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fit", r"Use train\(net, X, y\)"),
        ("backward", r"Use net\.loss_and_grad"),
        ("weights", r"Use net\.params"),
        ("predict_probs", "Did you mean 'predict_proba'"),
    ],
)
def test_a_wrong_attribute_of_a_network_says_what_to_use(name, message):
    with pytest.raises(AttributeError, match=message):
        getattr(mlp(2, 3, seed=0), name)


def test_a_network_is_copied_and_pickled_as_before():
    net = mlp(2, 3, 2, seed=0)
    for twin in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(twin(X), net(X))


def test_a_layer_is_shown_as_it_is_written():
    assert repr(Dense(2, 3)) == str(Dense(2, 3)) == "Dense(2, 3)"
    assert repr(Activation("ReLU")) == "Activation('relu')"


def test_a_history_plots_in_one_call():
    history = train(mlp(2, 4, 2, loss="cross-entropy", seed=0), X, Y, epochs=3, validation=(X, Y), seed=0)
    axes = history.plot()
    colors = {line.get_color() for line in axes.get_lines()}
    assert len(colors) == 2  # training and validation
    assert isinstance(history, History)
    axes.figure.clear()
    plt.close(axes.figure)


def test_a_gradient_report_shows_what_it_prints():
    report = check_gradients(mlp(2, 3, 2, loss="cross_entropy", seed=0), X[:5], Y[:5])
    assert repr(report) == str(report)
    assert repr(report).startswith("gradients agree")


def test_a_training_without_a_seed_draws_another_order_each_time():
    histories = [train(mlp(2, 8, 2, loss="cross_entropy", seed=0), X, Y, epochs=2, batch_size=5) for _ in "ab"]
    assert histories[0].loss != histories[1].loss


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_the_estimators_reach_the_compiled_kernels_in_a_long_training(estimator):
    pytest.importorskip("numba")
    kernels = []

    class Keep(Callback):
        def on_train_begin(self, run):
            kernels.append(run.kernels)
            run.stop = "seen"

    for max_iter in (2, 100_000):
        estimator(hidden_layer_sizes=(3,), batch_size=10, max_iter=max_iter, callbacks=[Keep()], random_state=0).fit(
            X, Y
        )
    assert kernels == ["numpy", "numba"]


PEOPLE = {"height": [1.1, 1.2, 1.8, 1.9] * 5, "who": ["child", "child", "adult", "adult"] * 5}


@pytest.mark.parametrize(
    "network",
    [
        (8,),
        [16],
        lambda n_in, n_out: mlp(n_in, 8, n_out, loss="cross_entropy", seed=0),
        mlp(1, 2, loss="cross_entropy", seed=0),
    ],
)
def test_a_predictor_is_fitted_to_a_table_in_one_call(network):
    model = chainrule.Predictor.fit(
        PEOPLE, target="who", network=network, optimizer=Adam(0.05), epochs=200, batch_size=None, seed=0
    )
    assert model.predict([{"height": 1.0}, {"height": 1.95}]).tolist() == ["child", "adult"]


@pytest.mark.parametrize(
    ("values", "task", "notices"),
    [
        (["$12.50", "$1,250.00", "7", "8.5"] * 10 + ["unknown"], "regression", ["y: read as", "y: treated as missing"]),
        ([1.0, 0.0, None, 2.0] * 10, "classification", ["y: 10 rows with a missing target are not used"]),
        (["Yes", "yes", "no", "NA"] * 10, "classification", ["y: 'Yes', 'yes' are different", "y: 'NA' is a class"]),
    ],
)
def test_a_predictor_reads_its_target_as_the_command_line_does(values, task, notices):
    table = {"x": list(range(len(values))), "y": values}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = chainrule.Predictor.fit(table, target="y", epochs=1, seed=0)
    assert model.target.task == task
    for notice in notices:
        assert any(str(warning.message).startswith(notice) for warning in caught), notice
        assert any(text.startswith(notice) for text in model.metadata["notices"])
    if task == "regression":
        assert model.target.means[0] == pytest.approx((12.5 + 1250 + 7 + 8.5) / 4)
    else:
        assert model.target.labels in ((0, 1, 2), ("NA", "Yes", "no", "yes"))
        assert model.target.dtype in ("int64", "str")


def test_a_predictor_of_dates_is_refused():
    with pytest.raises(chainrule.TableError, match="must contain classes or numbers, got dates"):
        chainrule.Predictor.fit({"x": [1, 2, 3], "y": ["2024-01-01", "2024-01-02", "2024-01-04"]}, target="y")


def test_a_predictor_of_a_missing_target_names_the_closest_column():
    with pytest.raises(chainrule.TableError, match=r"column 'whoo' is missing from the table\. Did you mean 'who'"):
        chainrule.Predictor.fit(PEOPLE, target="whoo")
