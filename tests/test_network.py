import copy
import pickle

import numpy as np
import pytest

from chainrule import Activation, BatchNorm, Dense, Dropout, Network, Scale, mlp, train
from chainrule.model.ensemble import Ensemble
from chainrule.nn import network


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


def test_theta_that_is_not_finite_is_refused(net):
    with pytest.raises(ValueError, match="theta must be finite"):
        net.theta = np.full(26, np.nan)


def test_theta_of_another_shape_is_refused(net):
    with pytest.raises(ValueError, match=r"theta must have shape \(26,\), got shape \(3,\)"):
        net.theta = [1, 2, 3]


def test_the_same_seed_gives_the_same_network():
    np.testing.assert_array_equal(mlp(3, 4, 2, seed=5).theta, mlp(3, 4, 2, seed=5).theta)
    assert not np.array_equal(mlp(3, 4, 2, seed=5).theta, mlp(3, 4, 2, seed=6).theta)
    assert not np.array_equal(mlp(3, 4, 2).theta, mlp(3, 4, 2).theta)


@pytest.mark.parametrize("make_twin", [Network.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_whole_and_independent(make_twin, rng):
    net = Network([Dense(3, 4), BatchNorm(4), Activation("relu"), Dense(4, 2)], "cross_entropy", l2=0.1, seed=0)
    X, y = rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 2, 8)
    train(net, X, y, epochs=2, batch_size=4)
    twin = make_twin(net)
    np.testing.assert_array_equal(twin.predict(X), net.predict(X))
    assert twin.loss_and_grad(X, y)[0] == net.loss_and_grad(X, y)[0]
    before = net.predict(X)
    twin.theta = np.zeros_like(twin.theta)
    twin.buffers[...] = 1
    assert not twin.params[0]["W"].any()
    np.testing.assert_array_equal(net.predict(X), before)


def test_a_copy_in_float64_answers_alike(net, rng):
    X = rng.normal(size=(5, 3))
    twin = net.copy(dtype="float64")
    assert twin.theta.dtype == np.float64
    np.testing.assert_allclose(twin.predict(X), net.predict(X), rtol=1e-5)


def test_activations_are_every_layers_output(net, rng):
    X = rng.normal(size=(5, 3)).astype(np.float32)
    Z1, A1, Z2 = net.activations(X)
    np.testing.assert_allclose(Z1, X @ net.params[0]["W"] + net.params[0]["b"], rtol=1e-6)
    np.testing.assert_array_equal(A1, np.maximum(Z1, 0))
    np.testing.assert_array_equal(net.outputs(X), Z2)


def test_predict_goes_through_the_loss_link(rng):
    X = rng.normal(size=(5, 3))
    net = mlp(3, 4, 2, loss="cross_entropy", seed=0)
    np.testing.assert_allclose(net.predict(X).sum(axis=1), 1, rtol=1e-6)
    several_labels = mlp(3, 4, 2, loss="binary_cross_entropy", seed=0).predict(X)
    assert ((several_labels > 0) & (several_labels < 1)).all()
    counts = mlp(3, 4, 2, loss="poisson", seed=0)
    np.testing.assert_allclose(counts.predict(X), np.exp(counts.outputs(X)), rtol=1e-6)


def test_many_rows_are_answered_in_parts_as_few_are(net, rng, monkeypatch):
    monkeypatch.setattr(network, "PREDICT_ELEMENTS", 400)
    net = net.copy()
    n = 205
    assert [part.stop - part.start for part in net._slices(n)] == [100, 100, 100]
    X, y, weight = rng.normal(size=(n, 3)), rng.integers(0, 2, n), rng.random(n)
    P = net.predict(X)
    assert P.shape == (n, 2)
    np.testing.assert_allclose(P[[0, 100, n - 1]], net.predict(X[[0, 100, n - 1]]), rtol=1e-5)
    for w in (None, weight):
        assert net.evaluate(X, y, w) == pytest.approx(net.loss_and_grad(X, y, w)[0], rel=1e-5)


def test_the_callers_rows_stay_as_they_are_where_relu_comes_first(rng):
    X = rng.normal(size=(5, 3)).astype(np.float32)
    before = X.copy()
    for layers in (
        [Activation("relu"), Dense(3, 1)],
        [Dropout(0.5), Activation("identity"), Activation("relu"), Dense(3, 1)],
    ):
        net = Network(layers, seed=0)
        np.testing.assert_allclose(net.predict(X), net.activations(X)[-1])
        np.testing.assert_array_equal(X, before)


def test_no_rows_are_answered_with_no_rows(net):
    assert net.predict(np.empty((0, 3))).shape == (0, 2)


def test_the_gradient_handed_out_is_the_callers_own(net, rng):
    X, y = rng.normal(size=(5, 3)), [0, 1, 0, 1, 0]
    _, first = net.loss_and_grad(X, y)
    kept = first.copy()
    net.loss_and_grad(X[:2], y[:2])
    np.testing.assert_array_equal(first, kept)


def test_penalties_are_on_weight_matrices_alone(rng):
    X, y = rng.normal(size=(5, 3)), [0, 1, 0, 1, 0]
    layers = [Dense(3, 4, biases="normal"), BatchNorm(4), Dense(4, 2, biases="normal")]
    plain, penalised = (Network(layers, "cross_entropy", l1=l1, l2=l2, seed=0) for l1, l2 in ((0, 0), (0.3, 0.7)))
    W = np.concatenate([plain.params[0]["W"].ravel(), plain.params[2]["W"].ravel()])
    extra = 0.3 * np.abs(W).sum() + 0.35 * (W**2).sum()
    (a, grad_a), (b, grad_b) = plain.loss_and_grad(X, y), penalised.loss_and_grad(X, y)
    assert b - a == pytest.approx(extra, rel=1e-5)
    assert penalised.evaluate(X, y) - plain.evaluate(X, y) == pytest.approx(extra, rel=1e-5)
    is_weight = plain.per_parameter({"W": 1}, default=0)
    expected = is_weight * (0.7 * plain.theta + 0.3 * np.sign(plain.theta))
    np.testing.assert_allclose(grad_b - grad_a, expected, atol=1e-6)


def test_per_parameter_goes_by_full_name_then_kind_then_default(net):
    vector = net.per_parameter({"W": 2, "0.W": 3}, default=1)
    np.testing.assert_array_equal(vector, [3] * 12 + [1] * 4 + [2] * 8 + [1] * 2)
    with pytest.raises(ValueError, match=r"a block must be one of 0\.W, 0\.b, 2\.W, 2\.b, W, b"):
        net.per_parameter({"w": 1})


def test_weights_travel_by_layer(net, rng):
    other = mlp(3, 4, 2, loss="cross_entropy", seed=99)
    other.set_weights(net.get_weights())
    np.testing.assert_array_equal(other.theta, net.theta)
    exported = net.get_weights()
    exported[0]["W"][...] = 0
    assert net.params[0]["W"].any()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda w: w.pop(), r"len\(weights\) must be 3, a dict for each layer"),
        (lambda w: w[0].pop("b"), r"weights\[0\] must have the names \['W', 'b'\]"),
        (lambda w: w[2].update(W=np.ones((2, 4))), r"weights\[2\]\['W'\] must have shape \(4, 2\)"),
        (lambda w: w[2].update(b=[1, np.nan]), r"weights\[2\]\['b'\] must be finite, got at \(1,\) it is nan"),
        (lambda w: w[2].update(b=["one", 2]), r"weights\[2\]\['b'\] must hold numbers only"),
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: net.predict(np.ones((2, 4))), r"3 columns, got shape \(2, 4\)"),
        (lambda net: net.predict([[np.nan, 1, 2]]), "X must be finite"),
        (lambda net: net.loss_and_grad(np.ones((2, 3)), [0, 1, 1]), "as many rows, got 2 and 3"),
        (lambda net: net.loss_and_grad(np.empty((0, 3)), np.empty(0, int)), "X must have one row at least"),
        (lambda net: net.loss_and_grad(np.ones((2, 3)), [0, 1], [1, 2, 3]), "sample_weight must have one number a row"),
    ],
)
def test_bad_input_is_refused_with_the_reason(net, call, message):
    with pytest.raises(ValueError, match=message):
        call(net)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp(3), "sizes must hold inputs and outputs"),
        (lambda: mlp(3, 0, 2), r"sizes\[1\] must be an integer >= 1, got 0"),
        (lambda: mlp(3, 2, activation="rely"), "activation must be one of {'identity'"),
        (lambda: mlp(3, 2, output_activation="rely"), "output_activation must be one of {'identity'"),
        (lambda: mlp(3, 2, dropout=1.0), r"dropout must be in \[0, 1\), got 1.0"),
        (lambda: mlp(3, 2, seed=-1), "seed must be an integer >= 0 or a Generator, got -1"),
        (lambda: mlp(3, 2, loss="hinge"), "loss must be one of {'squared_error'"),
        (lambda: mlp(3, 2, l2=-1), "l2 must be finite and >= 0"),
        (lambda: mlp(3, 2, l1=np.nan), "l1 must be finite"),
        (lambda: mlp(3, 2, dtype="float16"), "dtype must be one of {'float32', 'float64'"),
        (lambda: mlp(3, 2).copy(dtype="int32"), "dtype must be one of {'float32', 'float64'"),
        (lambda: mlp(3, 2, dtype=np.int32), "dtype must be one of {'float32', 'float64'"),
    ],
)
def test_bad_options_are_refused_when_the_network_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (None, "weights must be a list, a dict for each layer, got None"),
        ([None] * 3, r"weights\[0\] must be a dict with the names \['W', 'b'\], got None"),
        ([np.ones(2)] * 3, r"weights\[0\] must be a dict"),
    ],
)
def test_what_are_no_weights_by_layer_is_refused(net, weights, message):
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
def test_what_is_not_finite_is_no_row_whatever_layers_make_of_it(layers, row, value):
    net = Network(layers, "cross_entropy", seed=0)
    if "W" in net.params[0]:
        net.params[0]["W"][1] = 0  # nor does it help that no weight takes it
        net.params[0]["W"][2] = -np.sign(value) if value == value else 1
    X = np.ones((5000, 3), np.float32)
    for column in (1, 2):
        Z = X.copy()
        Z[row, column] = value
        for ask in (net.predict, net.outputs, net.infer, Ensemble((net,)).predict):
            with pytest.raises(ValueError, match=rf"X must be finite in float32, got {value}"):
                ask(Z)
    with pytest.raises(ValueError, match=r"X\[0, 0\]=1e\+300"):
        net.predict(np.full((1, 3), 1e300))


def test_an_overflow_that_an_activation_mends_is_answered():
    net = Network([Dense(1, 1), Activation("tanh"), Dense(1, 1)], seed=0)
    net.theta = [1e38, 0, 1, 0]
    np.testing.assert_array_equal(net.predict([[1e30], [-1e30]]), [[1], [-1]])


@pytest.mark.parametrize("ask", ["predict", "outputs"])
def test_numbers_that_grow_too_large_on_the_way_are_no_answer(net, ask):
    X = np.ones((5000, 3), np.float32)
    X[4500] = 3e38
    told = r"small enough for float32, got for X\[4500\], whose .* 3e\+38, the output of layer 0, Dense\(3, 4"
    with pytest.raises(ValueError, match=told):
        getattr(net, ask)(X)


def test_the_largest_output_is_named(net):
    net.params[2]["b"][1] = 1e4
    assert net.largest_output(np.ones((2, 3), np.float32)).startswith("the output of layer 2, Dense(4, 2")


def test_mlp_puts_an_activation_after_each_layer_but_the_last():
    net = mlp(5, 4, 3, 2, activation="tanh", output_activation="sigmoid", dropout=0.1)
    kinds = [type(layer) for layer in net.layers]
    assert kinds == [Dense, Activation, Dropout, Dense, Activation, Dropout, Dense, Activation]
    assert net.layers[-1] == Activation("sigmoid")


@pytest.mark.parametrize("X", [np.ones((4, 6))[:, ::2], np.asfortranarray(np.ones((4, 3))), np.ones((4, 3), np.uint8)])
def test_arrays_of_any_layout_and_number_type_will_do(net, X):
    np.testing.assert_allclose(net.predict(X), net.predict(np.ones((4, 3))))


def test_a_read_only_array_will_do_and_is_left_alone(net):
    X = np.ones((4, 3), np.float32)
    X.flags.writeable = False
    train(net, X, [0, 1, 0, 1], epochs=1, batch_size=2)


def test_the_first_place_that_is_not_finite_is_named(net):
    X, y = np.ones((2, 3), np.float32), np.array([0, 1])
    assert net.first_non_finite(X, y) == ""
    net.params[2]["W"][0, 0] = np.inf
    net.params[0]["b"][...] = 1
    with np.errstate(all="ignore"):
        assert "layer 2, Dense(4, 2" in net.first_non_finite(X, y)
        net.params[0]["W"][0, 0] = np.nan
        assert "layer 0, Dense(3, 4" in net.first_non_finite(X, y)
