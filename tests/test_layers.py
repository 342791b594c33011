import itertools

import numpy as np
import pytest

import oracles
from chainrule import (
    Activation,
    BatchNorm,
    Bounded,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    Network,
    Residual,
    Scale,
    check_gradients,
    train,
)
from chainrule.errors import GradientError
from chainrule.model.embeddings import LAYERS, Lookup, Periodic, PiecewiseLinear, Select, Unclip
from chainrule.model.neighbors import Log, Softmax
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.losses import LOSSES
from oracles import targets_for

WIDTH = 4
EXAMPLES = {
    "Dense": Dense(WIDTH, WIDTH),
    "Activation": Activation("tanh"),
    "Scale": Scale(WIDTH),
    "Bounded": Bounded(-2.0, 3.0),
    "Dropout": Dropout(0.4),
    "LayerNorm": LayerNorm(WIDTH),
    "BatchNorm": BatchNorm(WIDTH),
    "Residual": Residual([Dense(WIDTH, 5), LayerNorm(5), Activation("relu"), Dropout(0.2), Dense(5, WIDTH)]),
    "PiecewiseLinear": PiecewiseLinear(WIDTH, (2, 0), ((-0.7, 0.1), (-1.0, 0.0, 0.8))),
    "Periodic": Periodic(WIDTH, (1, 2), n_waves=5, n_out=2, sigma=0.3),
    "Lookup": Lookup(WIDTH, (2, 0), (3, 2), n_out=2),
    "Select": Select(WIDTH, (2, 0)),
    "Unclip": Unclip(),
    "Softmax": Softmax(),
    "Log": Log(),
}


def params_of(layer, rng):
    """Return random parameters, so that no test passes because of the initial zeros and ones."""
    return {name: rng.normal(size=shape) for name, shape in layer.shapes.items()} | {
        name: rng.random(shape) + 0.5 for name, shape in layer.buffer_shapes.items()
    }


def test_every_layer_has_an_example():
    assert EXAMPLES.keys() == LAYERS.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_backward_is_the_derivative_in_inputs_and_parameters(name, rng):
    layer = EXAMPLES[name]
    X, params, dY = rng.normal(size=(6, WIDTH)), params_of(layer, rng), rng.normal(size=(6, layer.width_after(WIDTH)))
    grads = {name: np.full(shape, np.nan) for name, shape in layer.shapes.items()}

    def projected():
        return float((layer.forward(X, params, np.random.default_rng(1))[0] * dY).sum())

    _, backward = layer.forward(X, params, np.random.default_rng(1))
    dX = backward(dY, grads)
    for array, gradient in [(X, dX), *((params[k], grads[k]) for k in layer.shapes)]:
        for place in np.ndindex(array.shape):
            kept = array[place]
            array[place] = kept + 1e-6
            above = projected()
            array[place] = kept - 1e-6
            below = projected()
            array[place] = kept
            assert gradient[place] == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("training", [False, True])
def test_input_and_incoming_gradient_are_not_modified(name, training, rng):
    layer = EXAMPLES[name]
    X, params, dY = rng.normal(size=(6, WIDTH)), params_of(layer, rng), rng.normal(size=(6, layer.width_after(WIDTH)))
    X_before, dY_before = X.copy(), dY.copy()
    _, backward = layer.forward(X, params, rng if training else None)
    backward(dY, {name: np.empty(shape) for name, shape in layer.shapes.items()})
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(dY, dY_before)


@pytest.mark.parametrize("name", EXAMPLES)
def test_float32_stays_float32(name, rng):
    layer = EXAMPLES[name]
    net = Network([Dense(3, WIDTH), layer, Dense(layer.width_after(WIDTH), 2)], seed=0)
    for A in net.activations(rng.normal(size=(5, 3))):
        assert A.dtype == np.float32
    _, grad = net.loss_and_grad(rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), rng=rng)
    assert grad.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "loss", "k", "weighted"),
    [
        case
        for case in itertools.product(EXAMPLES, LOSSES, (1, 2, 3), (False, True))
        if case[1:3] != ("cross_entropy", 1)
    ],
)
def test_gradients_of_every_layer_with_every_loss(name, loss, k, weighted, rng):
    layer = EXAMPLES[name]
    layers = [Dense(3, WIDTH), layer, Activation("tanh"), Dense(layer.width_after(WIDTH), k)]
    net = Network(layers, loss, l1=0.01, l2=0.1, seed=1)
    X, y = rng.normal(size=(7, 3)), targets_for(loss, 7, k, rng)
    assert check_gradients(net, X, y, rng.random(7) if weighted else None, directions=2).ok


@pytest.mark.parametrize(("activation", "loss"), [(a, loss) for a in ACTIVATIONS if a != "step" for loss in LOSSES])
def test_gradients_of_every_activation_with_every_loss(activation, loss, rng):
    net = Network([Dense(3, 4), Activation(activation), Dense(4, 2), Activation(activation)], loss, seed=2)
    X, y = rng.normal(size=(7, 3)), targets_for(loss, 7, 2, rng)
    assert check_gradients(net, X, y, rng.random(7), directions=2).ok


def test_dense_is_a_weighted_sum(rng):
    layer, X = Dense(3, 2), rng.normal(size=(4, 3))
    params = params_of(layer, rng)
    np.testing.assert_allclose(layer.forward(X, params)[0], oracles.dense(X, params["W"], params["b"]), rtol=1e-13)


@pytest.mark.parametrize(("layer", "oracle"), [(LayerNorm(3), oracles.layer_norm), (BatchNorm(3), oracles.batch_norm)])
def test_normalization_in_training_is_that_of_the_paper(layer, oracle, rng):
    X, params = rng.normal(size=(5, 3)), params_of(layer, rng)
    expected = oracle(X, params["gamma"], params["beta"], layer.epsilon)
    np.testing.assert_allclose(layer.forward(X, params, rng)[0], expected, rtol=1e-12)


def test_batch_norm_at_inference_uses_the_running_statistics(rng):
    layer = BatchNorm(2, decay=0.5)
    net = Network([layer], seed=0, dtype="float64")
    X = rng.normal(3, 2, size=(500, 2))
    for _ in range(30):
        net.forward(X, rng)
    np.testing.assert_allclose(net.params[0]["mean"], X.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(net.params[0]["variance"], X.var(axis=0, ddof=1), rtol=1e-6)
    before = net.buffers.copy()
    np.testing.assert_allclose(net(X).mean(axis=0), 0, atol=1e-6)
    np.testing.assert_array_equal(net.buffers, before)


def test_batch_norm_normalizes_a_batch_of_one_row_by_its_running_statistics(rng):
    net = Network([BatchNorm(2)], seed=0, dtype="float64")
    x = np.array([[1.0, -2.0]])
    np.testing.assert_array_equal(net.forward(x, rng)[0], net(x))
    np.testing.assert_array_equal(net.buffers, [0, 0, 1, 1])


def test_dropout_keeps_the_mean_and_zeroes_the_fraction(rng):
    Y, _ = Dropout(0.3).forward(np.ones((400, 500), np.float32), {}, rng)
    assert np.mean(Y == 0) == pytest.approx(0.3, abs=0.01)
    assert Y.mean() == pytest.approx(1, abs=0.01)
    assert set(np.unique(Y)) == {np.float32(0), np.float32(1 / 0.7)}


def test_dropout_does_nothing_at_inference(rng):
    X = rng.normal(size=(3, 2))
    assert Dropout(0.9).forward(X, {})[0] is X


def test_a_bounded_output_stays_in_its_range(rng):
    Y, _ = Bounded(-2, 3).forward(rng.normal(scale=1000, size=(50, 3)), {})
    assert (Y.min(), Y.max()) == (-2, 3)
    assert Bounded(-2, 3).forward(np.zeros((1, 1)), {})[0] == 0.5


def test_numpy_bounds_keep_float32(rng):
    assert Bounded(np.float64(0), np.float64(1)).forward(np.ones((1, 1), np.float32), {})[0].dtype == np.float32


def test_a_residual_block_adds_its_layers_output_to_its_input(rng):
    layer = Residual([Dense(3, 3)])
    X, params = rng.normal(size=(4, 3)), params_of(layer, rng)
    expected = X + oracles.dense(X, params["0.W"], params["0.b"])
    np.testing.assert_allclose(layer.forward(X, params)[0], expected, rtol=1e-13)


def test_a_lookup_replaces_each_index_by_a_row_of_its_table(rng):
    layer = Lookup(4, (2, 0), (5, 3), n_out=2)
    X = np.array([[0, 0.5, 4, -1], [2, 0.25, 0, -2], [9, 1, -3, 7], [np.nan, 2, 2, 8]])
    params = params_of(layer, rng)
    first, second = params["E"][:5], params["E"][5:]  # the tables of columns 2 and 0
    rows = [(first[4], second[0]), (first[0], second[2]), (first[0], second[2]), (first[2], second[0])]
    expected = [[x[1], x[3], *a, *b] for x, (a, b) in zip(X, rows)]
    np.testing.assert_array_equal(layer.forward(X, params)[0], expected)
    assert layer.origins == [1, 3, 2, 2, 0, 0]


def test_the_gradient_of_a_lookup_is_the_sum_over_all_rows_with_that_index(rng):
    layer, n = Lookup(3, (1,), (4,), n_out=2), 50
    X, dY = rng.normal(size=(n, 3)), rng.normal(size=(n, 4))
    X[:, 1] = rng.integers(0, 3, n)
    grads = {"E": np.full((4, 2), np.nan)}
    dX = layer.forward(X, params_of(layer, rng))[1](dY, grads)
    np.testing.assert_allclose(grads["E"], [dY[X[:, 1] == k, 2:].sum(axis=0) for k in range(4)], rtol=1e-12)
    np.testing.assert_array_equal(dX, np.column_stack([dY[:, 0], np.zeros(n), dY[:, 1]]))


def test_a_lookup_forgets_the_fraction_of_the_categories_in_training(rng):
    layer, X = Lookup(1, (0,), (3,), n_out=1, rate=0.3), np.full((10_000, 1), 2.0)
    params = {"E": np.array([[5.0], [6.0], [7.0]])}
    Y = layer.forward(X, params, rng)[0]
    assert set(np.unique(Y)) == {5, 7}
    assert np.mean(Y == 5) == pytest.approx(0.3, abs=0.02)
    assert (layer.forward(X, params)[0] == 7).all()


def test_residual_blocks_nest_and_have_running_statistics(rng):
    inner = Residual([Dense(3, 3), BatchNorm(3)])
    net = Network([Dense(2, 3), Residual([inner, Activation("relu")]), Dense(3, 1)], seed=0)
    assert {"0.0.W", "0.0.b", "0.1.gamma", "0.1.beta", "0.1.mean", "0.1.variance"} == net.params[1].keys()
    X = rng.normal(size=(6, 2))
    net.forward(X.astype(np.float32), rng)
    assert net.params[1]["0.1.mean"].any()
    assert check_gradients(net, X, rng.normal(size=6)).ok


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Dense(2, 4), Dense(3, 2)], r"layer 1, Dense\(3, 2\), .*4 inputs .*layer 0, Dense\(2, 4\), got 3"),
        (
            [Dense(2, 4), Activation("relu"), LayerNorm(3)],
            r"layer 2, LayerNorm\(3\), .*4 inputs .*layer 0, Dense\(2, 4\), got 3",
        ),
        ([Dense(2, 4), Residual([Dense(3, 3)])], r"layer 1, Residual\(\[Dense\(3, 3\)\]\), .*4 inputs .*got 3"),
        ([Activation("relu"), Dropout(0.1)], "layers .*at least one that knows its sizes"),
        ([], "layers .*at least one that knows its sizes"),
        ([Dense(2, 3), "relu"], r"layers .*Layer objects, got 'relu' at layers\[1\]"),
        (Dense(2, 3), r"layers .*list of Layer objects, got Dense\(2, 3\)\. Pass \[Dense\(2, 3\)\]"),
        (None, "layers .*list of Layer objects, got None"),
    ],
)
def test_layers_that_do_not_fit_are_refused_and_both_are_named(layers, message):
    with pytest.raises(ValueError, match=message):
        Network(layers)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dense(0, 3),
        lambda: Dense(2, 1.5),
        lambda: Dense(True, 3),
        lambda: Scale(-1),
        lambda: Activation("swoosh"),
        lambda: Dropout(1.0),
        lambda: Bounded(1.0, 1.0),
        lambda: Bounded(0.0, np.inf),
        lambda: BatchNorm(2, decay=1.0),
        lambda: BatchNorm(2, epsilon=0),
        lambda: LayerNorm(2, epsilon=-1),
        lambda: Residual([Dense(2, 3)]),
        lambda: Residual(Dense(3, 3)),
        lambda: Residual([3]),
        lambda: Lookup(3, (3,), (2,)),
        lambda: Lookup(3, (0, 1), (2,)),
        lambda: Lookup(3, (0,), (0,)),
        lambda: Lookup(3, (0,), (2,), rate=1.0),
    ],
)
def test_invalid_options_are_refused_when_the_layer_is_made(make):
    with pytest.raises(ValueError, match="must"):
        make()


@pytest.mark.parametrize("name", ["ReLU", "Leaky_ReLU", "SiLU", "GELU", "Identity", "tanh"])
def test_the_name_of_an_activation_may_be_in_any_case(name):
    layer = Activation(name)
    assert layer == Activation(name.lower())
    assert layer.function == name.lower()
    assert str(layer) == f"Activation({name.lower()!r})"


def test_a_misspelled_activation_is_refused_with_the_closest_name():
    with pytest.raises(ValueError, match=r"function .*'relu'.*, got 'rellu'\. Did you mean 'relu'\?"):
        Activation("rellu")


def test_a_layer_prints_as_the_code_that_makes_it():
    layer = Residual([Dense(3, 3, "he_normal"), Activation("relu")])
    assert str(layer) == "Residual([Dense(3, 3, 'he_normal'), Activation('relu')])"
    assert str(Activation(np.sin)) == "Activation(sin)"


class Recording(Layer):
    """Records whether its backward was called with need_dX."""

    def __init__(self, n_parameters):
        self.n_parameters = n_parameters
        self.need_dX = []

    @property
    def shapes(self):
        return {"unused": (self.n_parameters,)} if self.n_parameters else {}

    def forward(self, X, params, rng=None):
        def backward(dY, grads, need_dX=True):
            self.need_dX.append(need_dX)
            return dY

        return X, backward


def test_dX_is_computed_only_where_it_is_used(rng):
    before, first, second = Recording(0), Recording(1), Recording(1)
    net = Network([before, first, second, Dense(3, 1)], seed=0)
    net.gradients_checked = True
    net.loss_and_grad(rng.normal(size=(5, 3)), rng.normal(size=5))
    assert (before.need_dX, first.need_dX, second.need_dX) == ([], [False], [True])


class Shift(Layer):
    """A custom layer: adds one learned number to every element."""

    def __init__(self, factor=1.0):
        self.factor = factor

    @property
    def shapes(self):
        return {"shift": (1,)}

    def init(self, params, rng):
        params["shift"][...] = 0.5

    def forward(self, X, params, rng=None):
        def backward(dY, grads, need_dX=True):
            grads["shift"][...] = self.factor * dY.sum()
            return dY

        return X + params["shift"], backward


def test_a_custom_layer_trains_with_the_others(rng):
    net = Network([Dense(2, 3), Residual([Shift()]), Dense(3, 1)], seed=0)
    assert "Shift()" in str(net)
    net.loss_and_grad(rng.normal(size=(5, 2)), rng.normal(size=5))
    assert net.gradients_checked


@pytest.mark.parametrize("first_use", [Network.loss_and_grad, train])
def test_a_custom_layer_with_a_wrong_derivative_is_found_and_named(first_use, rng):
    net = Network([Dense(2, 3), Residual([Shift(factor=0.5)]), Dense(3, 1)], seed=0)
    with pytest.raises(GradientError, match=r"most of all in 1\.0\.shift\[0\]"):
        first_use(net, rng.normal(size=(5, 2)), rng.normal(size=5))
