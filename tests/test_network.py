import copy
import pickle
from xml.etree import ElementTree

import numpy as np
import pytest

import chainrule
import oracles
from chainrule import (
    Activation,
    BatchNorm,
    Bounded,
    Dense,
    Dropout,
    LayerNorm,
    Network,
    Predictor,
    Residual,
    Scale,
    TabularEncoder,
    check_gradients,
    mlp,
    train,
)
from chainrule.data.targets import fit_target
from chainrule.errors import ModelFileError, OutOfRangeError
from chainrule.model.ensemble import Ensemble
from chainrule.nn import inference
from chainrule.nn.losses import LOSSES, Quantile


@pytest.fixture
def net():
    return mlp(3, 4, 2, loss="cross_entropy", seed=0)


def test_theta_is_one_contiguous_vector_and_params_are_views_of_it(net):
    assert net.theta.shape == (3 * 4 + 4 + 4 * 2 + 2,)
    assert net.theta.flags.c_contiguous
    net.params[2]["W"][1, 0] = 42
    assert 42 in net.theta
    net.theta = np.arange(26)
    np.testing.assert_array_equal(net.params[0]["W"], np.arange(12).reshape(3, 4))
    np.testing.assert_array_equal(net.params[2]["b"], [24, 25])


def test_a_theta_that_is_not_finite_is_refused(net):
    with pytest.raises(ValueError, match=r"theta must be finite, got nan at index \(0,\)"):
        net.theta = np.full(26, np.nan)


def test_a_theta_of_another_shape_is_refused(net):
    with pytest.raises(ValueError, match=r"theta .*shape \(26,\), got shape \(3,\)"):
        net.theta = [1, 2, 3]


def test_the_same_seed_gives_the_same_network():
    np.testing.assert_array_equal(mlp(3, 4, 2, seed=5).theta, mlp(3, 4, 2, seed=5).theta)
    assert not np.array_equal(mlp(3, 4, 2, seed=5).theta, mlp(3, 4, 2, seed=6).theta)
    assert not np.array_equal(mlp(3, 4, 2).theta, mlp(3, 4, 2).theta)


@pytest.mark.parametrize("make_twin", [Network.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_complete_and_independent(make_twin, rng):
    net = Network([Dense(3, 4), BatchNorm(4), Activation("relu"), Dense(4, 2)], "cross_entropy", l2=0.1, seed=0)
    X, y = rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 2, 8)
    train(net, X, y, epochs=2, batch_size=4)
    twin = make_twin(net)
    np.testing.assert_array_equal(twin(X), net(X))
    assert twin.loss_and_grad(X, y)[0] == net.loss_and_grad(X, y)[0]
    before = net(X)
    twin.theta = np.zeros_like(twin.theta)
    twin.buffers[...] = 1
    assert not twin.params[0]["W"].any()
    np.testing.assert_array_equal(net(X), before)


def test_a_copy_in_float64_has_the_same_outputs(net, rng):
    X = rng.normal(size=(5, 3))
    twin = net.copy(dtype="float64")
    assert twin.theta.dtype == np.float64
    np.testing.assert_allclose(twin(X), net(X), rtol=1e-5)


def test_activations_are_the_output_of_every_layer(net, rng):
    X = rng.normal(size=(5, 3)).astype(np.float32)
    Z1, A1, Z2 = net.activations(X)
    np.testing.assert_allclose(Z1, X @ net.params[0]["W"] + net.params[0]["b"], rtol=1e-6)
    np.testing.assert_array_equal(A1, np.maximum(Z1, 0))
    np.testing.assert_array_equal(net.outputs(X), Z2)


def test_a_call_applies_the_link_function_of_the_loss(rng):
    X = rng.normal(size=(5, 3))
    net = mlp(3, 4, 2, loss="cross_entropy", seed=0)
    np.testing.assert_allclose(net(X).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(net(X), [oracles.softmax(z) for z in net.outputs(X)], rtol=1e-6)
    several_labels = mlp(3, 4, 2, loss="binary_cross_entropy", seed=0)
    np.testing.assert_allclose(several_labels(X), 1 / (1 + np.exp(-several_labels.outputs(X))), rtol=1e-6)
    counts = mlp(3, 4, 2, loss="poisson", seed=0)
    np.testing.assert_allclose(counts(X), np.exp(counts.outputs(X)), rtol=1e-6)


def test_cross_entropy_predicts_the_most_probable_class(rng):
    X, net = rng.normal(size=(50, 3)), mlp(3, 4, 3, loss="cross_entropy", seed=0)
    P, labels = net(X), net.predict(X)
    assert P.shape == (50, 3)
    np.testing.assert_array_equal(net.predict_proba(X), P)
    assert labels.shape == (50,)
    assert labels.dtype.kind == "i"
    assert [list(p).index(max(p)) for p in P] == labels.tolist()
    assert set(labels) == {0, 1, 2}


def test_binary_cross_entropy_with_one_output_predicts_0_or_1(rng):
    X, net = rng.normal(size=(50, 3)), mlp(3, 4, 1, activation="tanh", loss="binary_cross_entropy", seed=0)
    P, labels = net(X), net.predict(X)
    assert P.shape == (50, 1)
    np.testing.assert_array_equal(net.predict_proba(X), np.hstack([1 - P, P]))
    np.testing.assert_allclose(net.predict_proba(X).sum(axis=1), 1, rtol=1e-6)
    assert labels.shape == (50,)
    assert labels.dtype.kind == "i"
    assert labels.tolist() == [int(p > 0.5) for (p,) in P]
    assert set(labels) == {0, 1}


def test_binary_cross_entropy_with_several_outputs_predicts_0_or_1_for_each(rng):
    X, net = rng.normal(size=(50, 3)), mlp(3, 4, 2, loss="binary_cross_entropy", seed=0)
    P, labels = net(X), net.predict(X)
    assert P.shape == labels.shape == (50, 2)
    np.testing.assert_array_equal(net.predict_proba(X), P)
    assert labels.dtype.kind == "i"
    assert labels.tolist() == [[int(p > 0.5) for p in row] for row in P]


@pytest.mark.parametrize("loss", [name for name, loss in LOSSES.items() if not loss.is_classification])
def test_a_regression_network_predicts_its_numbers(loss, rng):
    X = rng.normal(size=(5, 3))
    one, two = (mlp(3, 4, n_out, loss=loss, seed=0) for n_out in (1, 2))
    assert one(X).shape == (5, 1)
    np.testing.assert_array_equal(one.predict(X), one(X)[:, 0])
    assert two(X).shape == (5, 2)
    np.testing.assert_array_equal(two.predict(X), two(X))


def test_several_quantiles_are_predicted_in_columns(rng):
    X, net = rng.normal(size=(5, 3)), mlp(3, 4, 2, loss=Quantile((0.1, 0.9)), seed=0)
    assert net.predict(X).shape == (5, 2)


@pytest.mark.parametrize("loss", ["squared_error", "poisson", lambda Z, Y: ((Z - Y) ** 2, 2 * (Z - Y))])
def test_a_regression_network_has_no_probabilities(loss, rng):
    net = mlp(3, 4, 1, loss=loss, seed=0)
    with pytest.raises(ValueError, match=r"loss .*classes, such as cross_entropy, got '.+'"):
        net.predict_proba(rng.normal(size=(5, 3)))


def test_many_rows_are_predicted_in_slices(net, rng, monkeypatch):
    monkeypatch.setattr(inference, "SLICE_ELEMENTS", 400)
    net = net.copy()
    n = 205
    assert [part.stop - part.start for part in net.plan.slices(n)] == [100, 100, 100]
    X, y, weight = rng.normal(size=(n, 3)), rng.integers(0, 2, n), rng.random(n)
    P = net(X)
    assert P.shape == (n, 2)
    np.testing.assert_allclose(P[[0, 100, n - 1]], net(X[[0, 100, n - 1]]), rtol=1e-5)
    for w in (None, weight):
        assert net.evaluate(X, y, w) == pytest.approx(net.loss_and_grad(X, y, w)[0], rel=1e-5)


def test_the_callers_rows_are_not_modified_where_relu_comes_first(rng):
    X = rng.normal(size=(5, 3)).astype(np.float32)
    before = X.copy()
    for layers in (
        [Activation("relu"), Dense(3, 1)],
        [Dropout(0.5), Activation("identity"), Activation("relu"), Dense(3, 1)],
    ):
        net = Network(layers, seed=0)
        np.testing.assert_allclose(net(X), net.activations(X)[-1])
        np.testing.assert_array_equal(X, before)


def test_no_rows_have_no_predictions(net):
    assert net(np.empty((0, 3))).shape == (0, 2)
    assert net.predict_proba(np.empty((0, 3))).shape == (0, 2)
    assert net.predict(np.empty((0, 3))).shape == (0,)


def test_the_returned_gradient_is_not_overwritten_by_the_next(net, rng):
    X, y = rng.normal(size=(5, 3)), [0, 1, 0, 1, 0]
    _, first = net.loss_and_grad(X, y)
    kept = first.copy()
    net.loss_and_grad(X[:2], y[:2])
    np.testing.assert_array_equal(first, kept)


def test_penalties_apply_to_weight_matrices_only(rng):
    X, y = rng.normal(size=(5, 3)), [0, 1, 0, 1, 0]
    layers = [Dense(3, 4, biases="normal"), BatchNorm(4), Dense(4, 2, biases="normal")]
    plain, penalized = (Network(layers, "cross_entropy", l1=l1, l2=l2, seed=0) for l1, l2 in ((0, 0), (0.3, 0.7)))
    W = np.concatenate([plain.params[0]["W"].ravel(), plain.params[2]["W"].ravel()])
    extra = 0.3 * np.abs(W).sum() + 0.35 * (W**2).sum()
    (a, grad_a), (b, grad_b) = plain.loss_and_grad(X, y), penalized.loss_and_grad(X, y)
    assert b - a == pytest.approx(extra, rel=1e-5)
    assert penalized.evaluate(X, y) - plain.evaluate(X, y) == pytest.approx(extra, rel=1e-5)
    is_weight = plain.per_parameter({"W": 1}, default=0)
    expected = is_weight * (0.7 * plain.theta + 0.3 * np.sign(plain.theta))
    np.testing.assert_allclose(grad_b - grad_a, expected, atol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 20.0])
def test_alpha_is_a_penalty_divided_by_the_total_weight_of_the_batch(alpha, weighted, rng):
    X, y, weight = rng.normal(size=(7, 3)), rng.integers(0, 2, 7), 3 * rng.random(7) if weighted else None
    layers = [Dense(3, 4, biases="normal"), Activation("tanh"), Residual([Dense(4, 4)]), Scale(4), Dense(4, 2)]
    plain, net = (Network(layers, "cross_entropy", l2=0.1, seed=0, dtype="float64") for _ in "ab")
    net.alpha = alpha
    total = weight.sum() if weighted else 7
    matrices = [net.params[0]["W"], net.params[2]["0.W"], net.params[4]["W"]]
    penalty = alpha / 2 * sum(w * w for W in matrices for w in W.ravel()) / total
    (a, grad_a), (b, grad_b) = plain.loss_and_grad(X, y, weight), net.loss_and_grad(X, y, weight)
    assert b - a == pytest.approx(penalty, rel=1e-10)
    is_weight = plain.per_parameter({"W": 1}, default=0)
    np.testing.assert_allclose(grad_b - grad_a, is_weight * alpha * net.theta / total, atol=1e-13)
    assert check_gradients(net, X, y, weight).ok
    assert net.evaluate(X, y, weight) == pytest.approx(plain.evaluate(X, y, weight)), "a term of the training loss only"


def test_per_parameter_looks_up_full_name_then_kind_then_default(net):
    vector = net.per_parameter({"W": 2, "0.W": 3}, default=1)
    np.testing.assert_array_equal(vector, [3] * 12 + [1] * 4 + [2] * 8 + [1] * 2)
    with pytest.raises(ValueError, match=r"a block .*{'0\.W', '0\.b', '2\.W', '2\.b', 'W', 'b'}, got 'w'.*'W'"):
        net.per_parameter({"w": 1})


def test_weights_can_be_copied_layer_by_layer(net, rng):
    other = mlp(3, 4, 2, loss="cross_entropy", seed=99)
    other.set_weights(net.get_weights())
    np.testing.assert_array_equal(other.theta, net.theta)
    exported = net.get_weights()
    exported[0]["W"][...] = 0
    assert net.params[0]["W"].any()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda w: w.pop(), r"len\(weights\) .*3, a dict for each layer, got 2"),
        (lambda w: w[0].pop("b"), r"weights\[0\] .*\['W', 'b'\], got \['W'\]"),
        (lambda w: w[2].update(W=np.ones((2, 4))), r"weights\[2\]\['W'\] .*shape \(4, 2\), got shape \(2, 4\)"),
        (lambda w: w[2].update(b=[1, np.nan]), r"weights\[2\]\['b'\] .*finite, got nan at index \(1,\)"),
        (lambda w: w[2].update(b=["one", 2]), r"weights\[2\]\['b'\] must be numeric: .*'one'"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(net, spoil, message):
    weights, before = mlp(3, 4, 2, seed=99).get_weights(), net.theta.copy()
    spoil(weights)
    with pytest.raises(ValueError, match=message):
        net.set_weights(weights)
    np.testing.assert_array_equal(net.theta, before)


def test_summary_prints_layers_sizes_and_counts(net, capsys):
    net.summary()
    out = capsys.readouterr().out
    assert "Dense(3, 4, 'he_normal')" in out
    assert "(n, 4)          16" in out
    assert out.rstrip().endswith("26")
    assert out == f"{net!r}\n"


def test_repr_is_a_table_of_layers_outputs_and_parameters(net):
    head, rule, *rows, second_rule, last = repr(net).splitlines()
    assert head.split() == ["layer", "output", "parameters"]
    assert set(rule) == set(second_rule) == {"-"}
    assert [row.split("  ")[1] for row in rows] == [
        "Dense(3, 4, 'he_normal')",
        "Activation('relu')",
        str(net.layers[2]),
    ]
    assert [row.split()[-1] for row in rows] == ["16", "0", "10"]
    assert last.startswith("loss CrossEntropy(label_smoothing=0.0)")
    assert last.endswith(" 26")
    assert len(set(map(len, repr(net).splitlines()))) == 1
    assert str(net) == repr(net)


def test_in_a_notebook_a_network_is_the_same_table_in_html(net):
    document = ElementTree.fromstring(net._repr_html_())
    assert [cell.text for cell in document.iter("th")] == [None, "layer", "arrays", "output", "parameters"]
    rows = [["".join(cell.itertext()) for cell in row.iter("td")][1:] for row in document.iter("tr")][1:]
    assert rows == [
        ["inputs", "", "(n, 3)", ""],
        ["0 Dense(3, 4, 'he_normal')", "W 3 × 4, b 4", "(n, 4)", "16"],
        ["1 Activation('relu')", "", "(n, 4)", ""],
        ["2 Dense(4, 2, 'he_normal')", "W 4 × 2, b 2", "(n, 2)", "10"],
    ]
    assert "26 parameters, float32, loss CrossEntropy(label_smoothing=0.0)" in "".join(document.itertext())


def test_names_of_custom_parts_are_escaped_in_html(rng):
    net = mlp(2, 3, 1, activation=lambda Z: (Z, lambda dA: dA), seed=0)
    assert "&lt;lambda&gt;" in net._repr_html_()
    assert "<lambda>" in repr(net)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_saved_network_is_loaded_with_the_same_bits(dtype, tmp_path, rng):
    layers = [
        Dense(3, 4), BatchNorm(4), Activation("mish"), Residual([LayerNorm(4), Dense(4, 4)]), Dropout(0.2), Scale(4),
        Bounded(-2, 3), Dense(4, 2),
    ]  # fmt: skip
    net = Network(layers, "cross_entropy", l1=0.1, l2=0.2, seed=0, dtype=dtype)
    X, y = rng.normal(size=(20, 3)), rng.integers(0, 2, 20)
    train(net, X, y, epochs=2, batch_size=5)
    net.save(tmp_path / "net.chainrule")
    for loaded in (Network.load(tmp_path / "net.chainrule"), chainrule.load(str(tmp_path / "net.chainrule"))):
        assert type(loaded) is Network
        assert (loaded.layers, loaded.loss, loaded.l1, loaded.l2) == (net.layers, net.loss, net.l1, net.l2)
        assert loaded.dtype == net.dtype
        np.testing.assert_array_equal(loaded.theta, net.theta)
        np.testing.assert_array_equal(loaded.buffers, net.buffers)
        np.testing.assert_array_equal(loaded(X), net(X))
        assert repr(loaded) == repr(net)


def test_network_load_refuses_the_file_of_a_predictor(tmp_path):
    encoder, target = TabularEncoder().fit({"a": [1.0, 2.0, 3.0]}), fit_target("y", np.array(["no", "yes", "no"]))
    net = mlp(encoder.n_features, target.n_outputs, loss=target.loss, seed=0)
    Predictor(encoder, net, target).save(tmp_path / "predictor.chainrule")
    with pytest.raises(ModelFileError, match=r"predictor\.chainrule .*Predictor.*chainrule\.load"):
        Network.load(tmp_path / "predictor.chainrule")
    assert isinstance(chainrule.load(tmp_path / "predictor.chainrule"), Predictor)


def test_network_load_refuses_a_file_that_is_not_a_model(tmp_path):
    (tmp_path / "notes.txt").write_text("not a model")
    with pytest.raises(ModelFileError):
        Network.load(tmp_path / "notes.txt")


def test_a_network_with_a_custom_part_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="function"):
        mlp(2, 3, 1, activation=lambda Z: (Z, lambda dA: dA), seed=0).save(tmp_path / "net.chainrule")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: net(np.ones((2, 4))), r"X .*3 columns, got shape \(2, 4\)"),
        (lambda net: net.predict(np.ones((2, 4))), r"X .*3 columns, got shape \(2, 4\)"),
        (lambda net: net.predict_proba(np.ones((2, 4))), r"X .*3 columns, got shape \(2, 4\)"),
        (lambda net: net.predict([[np.nan, 1, 2]]), r"X .*finite in float32, got nan .*X\[0, 0\]"),
        (lambda net: net.loss_and_grad(np.ones((2, 3)), [0, 1, 1]), "X and y .*rows, got 2 and 3"),
        (
            lambda net: net.loss_and_grad(np.empty((0, 3)), np.empty(0, int)),
            r"X .*at least one row, got shape \(0, 3\)",
        ),
        (
            lambda net: net.loss_and_grad(np.ones((2, 3)), [0, 1], [1, 2, 3]),
            r"sample_weight .*\(2,\).*got shape \(3,\)",
        ),
    ],
)
def test_invalid_input_is_refused_with_the_reason(net, call, message):
    with pytest.raises(ValueError, match=message):
        call(net)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp(3), r"sizes .*inputs and outputs, got \(3,\)"),
        (lambda: mlp(), r"sizes .*inputs and outputs, got \(\)"),
        (lambda: mlp([]), r"sizes .*inputs and outputs, got \(\)"),
        (lambda: mlp([3]), r"sizes .*inputs and outputs, got \(3,\)"),
        (lambda: mlp(3, 0, 2), r"sizes\[1\] must be an integer >= 1, got 0"),
        (lambda: mlp([3, 1.5, 2]), r"sizes\[1\] must be an integer >= 1, got 1\.5"),
        (lambda: mlp([3, 4], 2), r"sizes\[0\] must be an integer >= 1, got \[3, 4\]"),
        (lambda: mlp(3, 2, activation="rely"), "activation must be one of {'identity'.*got 'rely'.*'relu'"),
        (
            lambda: mlp(3, 2, output_activation="rely"),
            "output_activation must be one of {'identity'.*got 'rely'.*Did you mean 'relu'",
        ),
        (lambda: mlp(3, 2, weights="he"), "weights must be one of {'zeros'.*got 'he'"),
        (lambda: mlp(3, 2, dropout=1.0), r"dropout must be in \[0, 1\), got 1.0"),
        (lambda: mlp(3, 2, seed=-1), "seed .*integer >= 0.*, got -1"),
        (lambda: mlp(3, 2, loss="hinge"), "loss must be one of {'squared_error'.*got 'hinge'"),
        (lambda: mlp(3, 2, l2=-1), "l2 .*finite and >= 0, got -1"),
        (lambda: mlp(3, 2, l1=np.nan), "l1 .*finite and >= 0, got nan"),
        (lambda: mlp(3, 2, dtype="float16"), "dtype must be one of {'float32', 'float64'}, got 'float16'"),
        (lambda: mlp(3, 2).copy(dtype="int32"), "dtype must be one of {'float32', 'float64'}, got 'int32'"),
        (lambda: mlp(3, 2, dtype=np.int32), "dtype must be one of {'float32', 'float64'}, got 'int32'"),
    ],
)
def test_invalid_options_are_refused_when_the_network_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (None, "weights .*list .*dict for each layer, got None"),
        ([None] * 3, r"weights\[0\] .*dict .*\['W', 'b'\], got None"),
        ([np.ones(2)] * 3, r"weights\[0\] .*dict .*\['W', 'b'\], got array"),
    ],
)
def test_weights_of_another_form_are_refused(net, weights, message):
    with pytest.raises(ValueError, match=message):
        net.set_weights(weights)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 4500])
@pytest.mark.parametrize(
    "layers",
    [
        [Dense(3, 4), Activation("relu"), Dense(4, 2)],
        [Activation("step"), Dense(3, 2)],
        [Activation("tanh"), Dense(3, 2)],
        [Scale(3), Activation("sigmoid"), Dense(3, 2)],
        [BatchNorm(3), Activation("tanh"), Dense(3, 2)],
    ],
)
def test_a_row_that_is_not_finite_is_refused_whatever_the_layers(layers, row, value):
    net = Network(layers, "cross_entropy", seed=0)
    if "W" in net.params[0]:
        net.params[0]["W"][1] = 0  # it is refused even where every weight on it is 0
        net.params[0]["W"][2] = -np.sign(value) if value == value else 1
    X = np.ones((5000, 3), np.float32)
    for column in (1, 2):
        Z = X.copy()
        Z[row, column] = value
        for predict in (net, net.predict, net.predict_proba, net.outputs, net.infer, Ensemble((net,)).predict):
            with pytest.raises(ValueError, match=rf"X .*finite in float32, got {value} .*X\[{row}, {column}\]"):
                predict(Z)
    with pytest.raises(ValueError, match=r"X .*finite in float32, got 1e\+300 .*X\[0, 0\]"):
        net.predict(np.full((1, 3), 1e300))


def test_an_overflow_that_an_activation_makes_finite_is_no_error():
    net = Network([Dense(1, 1), Activation("tanh"), Dense(1, 1)], seed=0)
    net.theta = [1e38, 0, 1, 0]
    np.testing.assert_array_equal(net([[1e30], [-1e30]]), [[1], [-1]])


@pytest.mark.parametrize("method", ["__call__", "predict", "predict_proba", "outputs"])
def test_values_that_overflow_inside_the_network_are_an_error(net, method):
    X = np.ones((5000, 3), np.float32)
    X[4500] = 3e38
    with pytest.raises(OutOfRangeError, match=r"layer 0, Dense\(3, 4.* float32 .*X\[4500\] .*3e\+38"):
        getattr(net, method)(X)


def test_the_largest_output_is_named(net):
    net.params[2]["b"][1] = 1e4
    assert inference.largest_output(net, np.ones((2, 3), np.float32)).startswith("the output of layer 2, Dense(4, 2")


def test_the_sizes_of_an_mlp_may_be_a_sequence():
    for sizes in ([2, 16, 2], (2, 16, 2), range(2, 5)):
        net, same = mlp(sizes, activation="tanh", seed=0), mlp(*sizes, activation="tanh", seed=0)
        assert net.layers == same.layers
        np.testing.assert_array_equal(net.theta, same.theta)


def test_mlp_puts_an_activation_after_each_layer_but_the_last():
    net = mlp(5, 4, 3, 2, activation="tanh", output_activation="sigmoid", dropout=0.1)
    kinds = [type(layer) for layer in net.layers]
    assert kinds == [Dense, Activation, Dropout, Dense, Activation, Dropout, Dense, Activation]
    assert net.layers[-1] == Activation("sigmoid")


@pytest.mark.parametrize("X", [np.ones((4, 6))[:, ::2], np.asfortranarray(np.ones((4, 3))), np.ones((4, 3), np.uint8)])
def test_arrays_may_have_any_layout_and_numeric_type(net, X):
    np.testing.assert_allclose(net(X), net(np.ones((4, 3))))


def test_a_read_only_array_is_accepted(net):
    X = np.ones((4, 3), np.float32)
    X.flags.writeable = False
    train(net, X, [0, 1, 0, 1], epochs=1, batch_size=2)


def test_the_first_value_that_is_not_finite_is_named(net):
    X, y = np.ones((2, 3), np.float32), np.array([0, 1])
    assert inference.first_non_finite(net, X, y) == ""
    net.params[2]["W"][0, 0] = np.inf
    net.params[0]["b"][...] = 1
    with np.errstate(all="ignore"):
        assert "layer 2, Dense(4, 2" in inference.first_non_finite(net, X, y)
        net.params[0]["W"][0, 0] = np.nan
        assert "layer 0, Dense(3, 4" in inference.first_non_finite(net, X, y)
