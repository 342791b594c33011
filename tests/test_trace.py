"""A trace is the network's own step: its values agree with the network and its formulas, and changes are detected."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import oracles
import oracles_seeds
from chainrule import (
    SGD,
    Activation,
    Adam,
    AdamW,
    BatchNorm,
    Bounded,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    Network,
    Optimizer,
    Residual,
    RMSProp,
    Scale,
    mlp,
    trace,
)
from chainrule.costs import COSTS
from chainrule.errors import GradientError
from chainrule.insight.trace.layers import FORMULAS
from chainrule.insight.trace.steps import RULES
from chainrule.model.embeddings import LAYERS, Lookup, Periodic, PiecewiseLinear, Select, Unclip
from chainrule.model.neighbors import Log, Softmax
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.losses import LOSSES, BinaryCrossEntropy, CrossEntropy, Loss, Quantile, SquaredError
from chainrule.training.optimizers import OPTIMIZERS
from chainrule.typeset import LATEX, MATHML, TEXT, title


def middles(d):
    """Return layers of every kind for d columns."""
    return {
        "Dense": [Dense(d, d, biases="normal")],
        "Activation": [Activation("tanh")],
        "Scale": [Scale(d)],
        "Bounded": [Bounded(-1, 2)],
        "Dropout": [Dropout(0.4)],
        "LayerNorm": [LayerNorm(d)],
        "BatchNorm": [BatchNorm(d)],
        "PiecewiseLinear": [PiecewiseLinear(d, (2, 0), ((-0.7, 0.1), (-1.0, 0.0, 0.8)))],
        "Periodic": [Periodic(d, (1,), n_waves=2, n_out=1, sigma=0.3)],
        "Lookup": [Lookup(d, (2, 0), (3, 2), n_out=1, rate=0.2)],
        "Select": [Select(d, tuple(reversed(range(d))))],
        "Unclip": [Unclip()],
        "Softmax": [Softmax()],
        "Log": [Log()],
        "Residual": [Residual([Dense(d, d), Dropout(0.3), Residual([BatchNorm(d), Activation("gelu")]), Dense(d, d)])],
    }


MIDDLES = middles(4)


def width_after(layers, width):
    for layer in layers:
        width = layer.width_after(width)
    return width


def network_with(middle, loss="squared_error", n_out=2, d=4, **options):
    """Return layers between two Dense layers, with parameters that differ from 0 and 1."""
    net = Network(
        [Dense(3, d), *middle, Dense(width_after(middle, d), n_out)], loss, seed=1, dtype="float64", **options
    )
    net.theta += 0.1 * np.random.default_rng(2).normal(size=net.theta.shape)
    return net


def gradient_of(step, net):
    """Return the gradients of the trace as a vector like theta."""
    by_parameter = {quantity.derivative_of: quantity.values for quantity in step if quantity.kind == "gradient"}
    parameters = [quantity.name for quantity in step if quantity.name in by_parameter]
    return np.concatenate([by_parameter[name].ravel() for name in parameters])


def everything(rng, n=5, d=4, kinds=tuple(LAYERS)):
    """Return a trace with every kind of layer, penalty, weight and moment."""
    middle = []
    for kind in kinds:
        middle += middles(width_after(middle, d))[kind]
    net = network_with(middle, CrossEntropy(label_smoothing=0.1), 3, d, l1=0.02, l2=0.3)
    X, y, weight = rng.normal(size=(n, 3)), rng.integers(0, 3, n), rng.uniform(0.5, 2, n)
    return trace(net, X, y, AdamW(0.01), weight, rng=rng)


def assert_correct(step):
    proof = step.verify()
    assert proof.ok, str(proof)


@pytest.mark.parametrize("first", [[Scale(3)], [Residual([Dense(3, 3), Activation("tanh")])], [BatchNorm(3)]])
def test_any_first_layer_is_correct(first, rng):
    net = Network([*first, Dense(3, 4), Activation("tanh"), Dense(4, 2)], seed=1, dtype="float64")
    net.theta += 0.1 * rng.normal(size=net.theta.shape)
    X, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    step = trace(net, X, y, rng=rng)
    assert_correct(step)
    np.testing.assert_allclose(gradient_of(step, net).sum(), net.loss_and_grad(X, y, rng=rng)[1].sum(), rtol=1e-10)


# Reference implementations.


def test_the_sigmoid_network_equals_scalar_backpropagation():
    net = mlp(2, 2, 2, activation="sigmoid", output_activation="sigmoid", biases="normal", seed=3, dtype="float64")
    x, y = [0.05, 0.10], [0.01, 0.99]
    step = trace(net, [x], [y], SGD(0.5))
    W, b = ([net.params[i][name].T.tolist() for i in (0, 2)] for name in ("W", "b"))
    dW, delta = oracles_seeds.column_mlp_row_gradient(W, b, x, y)
    for l in (1, 2):
        np.testing.assert_allclose(step[f"dW{l}"].grid("column"), dW[l - 1], rtol=1e-12)
        np.testing.assert_allclose(step[f"delta{l}"].grid("column")[:, 0], delta[l - 1], rtol=1e-12)
        np.testing.assert_allclose(step[f"db{l}"].grid("column")[:, 0], delta[l - 1], rtol=1e-12)
        np.testing.assert_allclose(step[f"step W{l}"].grid("column"), -0.5 * np.array(dW[l - 1]), rtol=1e-12)
    cost = sum((a - t) ** 2 for a, t in zip(step["a2"].values[0], y)) / 2
    assert step["C"].values == pytest.approx(cost, rel=1e-14)


def test_the_column_form_of_a_sigmoid_network():
    net = mlp(2, 2, 2, activation="sigmoid", output_activation="sigmoid", seed=3)
    step = trace(net, [[0.05, 0.10]], [[0.01, 0.99]])
    equations = {quantity.name: quantity.equation("column", TEXT) for quantity in step}
    assert equations["z2"] == "z²ⱼ = Σₖ w²ⱼₖ a¹ₖ + b²ⱼ"
    assert equations["da2"] == "∂C/∂a²ⱼ = a²ⱼ - yⱼ"
    assert equations["delta2"] == "δ²ⱼ = ∂C/∂a²ⱼ σ'(z²ⱼ)"
    assert equations["da1"] == "∂C/∂a¹ⱼ = Σᵢ w²ᵢⱼ δ²ᵢ"
    assert equations["dW1"] == "∂C/∂w¹ⱼₖ = a⁰ₖ δ¹ⱼ"
    assert equations["db1"] == "∂C/∂b¹ⱼ = δ¹ⱼ"
    assert equations["step W1"] == "Δw¹ⱼₖ = -η ∂C/∂w¹ⱼₖ"


def test_the_softmax_network_equals_scalar_backpropagation_and_its_row_form(rng):
    X, y = rng.normal(size=(6, 2)), rng.integers(0, 3, 6)
    net = mlp(2, 5, 3, activation="relu", loss="cross_entropy", biases="normal", seed=1, dtype="float64")
    step = trace(net, X, y, SGD(0.1))
    arrays = [params[name] for params in net.params if params for name in ("W", "b")]
    for name, found in zip(("dW1", "db1", "dW2", "db2"), oracles_seeds.softmax_net_gradient(*arrays, X, y)):
        np.testing.assert_allclose(step[name].values, found, rtol=1e-11, atol=1e-15)
    equations = {quantity.name: quantity.equation("row", TEXT) for quantity in step}
    assert equations["a1"] == "A₁ = relu(Z₁) = max(0, Z₁)"
    assert equations["P"] == "P = softmax(Z₂)"
    assert equations["delta2"] == "dZ₂ = 1/n (P - Y)"
    assert equations["dW2"] == "dW₂ = A₁ᵀ dZ₂"
    assert equations["da1"] == "dA₁ = dZ₂ W₂ᵀ"


# Every kind of layer, loss and optimizer.


def test_every_layer_loss_and_optimizer_has_formulas():
    assert set(FORMULAS) == set(LAYERS.values())
    assert set(MIDDLES) == set(LAYERS)
    assert set(COSTS) == set(LOSSES.values())
    assert set(RULES) == set(OPTIMIZERS.values())


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("kind", MIDDLES)
def test_the_trace_of_a_layer_is_correct_and_equals_the_networks_step(kind, training, n, rng):
    net = network_with(MIDDLES[kind])
    net.buffers += rng.uniform(0.1, 1, net.buffers.shape)
    X, y, draws = rng.normal(size=(n, 3)), rng.normal(size=(n, 2)), np.random.default_rng(7) if training else None
    step = trace(net, X, y, rng=draws)
    assert_correct(step)
    value, grad = net.loss_and_grad(X, y, rng=draws)
    assert step["C"].values == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(gradient_of(step, net), grad, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("n_out", [1, 2, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_the_trace_of_a_loss_is_correct_and_equals_the_naive_loss(name, n_out, weighted, rng):
    n_out = max(n_out, 2) if name == "cross_entropy" else n_out
    X, y = rng.normal(size=(4, 3)), oracles.targets_for(name, 4, n_out, rng)
    weight = rng.uniform(0.1, 3, 4) if weighted else None
    net = network_with([Activation("tanh")], name, n_out)
    step = trace(net, X, y, sample_weight=weight)
    assert_correct(step)
    naive = oracles.reduced(oracles.LOSSES[name], step["z2"].values, y, weight)
    assert step["C"].values == pytest.approx(naive, rel=1e-10)


@pytest.mark.parametrize(
    ("loss", "n_out"),
    [
        (CrossEntropy(0.2), 3),
        (BinaryCrossEntropy(0.2), 2),
        (SquaredError(1.0), 2),
        (SquaredError(3.0), 2),
        (Quantile((0.1, 0.9)), 2),
    ],
    ids=str,
)
def test_options_of_losses_are_in_their_formulas(loss, n_out, rng):
    y = rng.integers(0, n_out, 4) if isinstance(loss, CrossEntropy) else rng.integers(0, 2, (4, n_out)).astype(float)
    assert_correct(trace(network_with([], loss, n_out), rng.normal(size=(4, 3)), y))


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "step"])
def test_the_trace_of_an_activation_is_correct_for_small_and_large_inputs(name, rng):
    net = network_with([Activation(name)])
    assert_correct(trace(net, rng.normal(size=(4, 3)), rng.normal(size=(4, 2))))
    proof = trace(net, 1e3 * rng.normal(size=(4, 3)), rng.normal(size=(4, 2))).verify()
    assert all(line.ok for line in proof.lines), str(proof)


def test_an_activation_without_a_derivative_raises():
    with pytest.raises(GradientError, match="step cannot be trained by gradient descent"):
        trace(mlp(2, 2, 1, activation="step"), [[1.0, 2.0]], [1.0])


OPTIMIZER_CASES = [
    SGD(0.1),
    SGD(0.1, 0.9),
    SGD(0.1, 0.9, nesterov=True),
    RMSProp(0.01),
    Adam(0.01),
    AdamW(0.01, weight_decay=0.3),
]


@pytest.mark.parametrize("started", [False, True], ids=["initial", "later"])
@pytest.mark.parametrize("optimizer", OPTIMIZER_CASES, ids=str)
def test_the_steps_are_those_of_the_optimizer(optimizer, started, rng):
    net = network_with([Activation("tanh"), Residual([Dense(4, 4)])], l2=0.1)
    optimizer = replace(optimizer)
    X, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    if started:
        for _ in range(3):
            optimizer.step(net.theta, net.loss_and_grad(X, y)[1])
    steps_before, moments_before = optimizer.steps, {name: m.copy() for name, m in optimizer.moments.items()}
    step = trace(net, X, y, optimizer)
    assert_correct(step)
    assert optimizer.steps == steps_before
    for name, moment in moments_before.items():
        np.testing.assert_array_equal(optimizer.moments[name], moment)
    before = net.theta.copy()
    optimizer.step(net.theta, net.loss_and_grad(X, y)[1])
    steps = np.concatenate([quantity.values.ravel() for quantity in step if quantity.kind == "step"])
    np.testing.assert_allclose(steps, net.theta - before, rtol=1e-9, atol=1e-14)


def test_rate_replaces_the_learning_rate_of_the_optimizer(rng):
    net, adam = network_with([]), Adam(0.01)
    X, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    step = trace(net, X, y, rate=0.5)
    assert_correct(step)
    np.testing.assert_allclose(step["step W1"].values, -0.5 * step["dW1"].values)
    assert trace(net, X, y, adam, rate=0.5).optimizer == "Adam(learning_rate=0.5)"
    assert adam.learning_rate == 0.01


def test_weight_decay_may_differ_between_parameters(rng):
    net = network_with([])
    decay = net.per_parameter({"W": 0.5}, default=0)
    step = trace(net, rng.normal(size=(3, 3)), rng.normal(size=(3, 2)), AdamW(0.01, weight_decay=decay))
    assert_correct(step)
    assert "weight_decay" not in step.optimizer


# Custom layers, losses, activations and optimizers.


class Swish(Layer):
    """Y = X sigmoid(beta X)."""

    @property
    def shapes(self):
        return {"beta": (1,)}

    def init(self, params, rng):
        params["beta"][...] = 0.7

    def forward(self, X, params, rng=None):
        beta = params["beta"]
        S = 1 / (1 + np.exp(-beta * X))

        def backward(dY, grads, need_dX=True):
            grads["beta"][...] = self.factor * (dY * X * X * S * (1 - S)).sum()
            return dY * (S + beta * X * S * (1 - S))

        return X * S, backward

    factor = 1.0


class WrongBackward(Swish):
    """The derivative with respect to the input is off by a thousandth; the gradient of beta is correct."""

    def forward(self, X, params, rng=None):
        Y, backward = super().forward(X, params, rng)
        return Y, lambda dY, grads, need_dX=True: 1.001 * backward(dY, grads)


class WrongSwish(Swish):
    """The gradient of beta is off by a thousandth."""

    factor = 1.001


class Hinge(Loss):
    """max(0, 1 - Y Z)."""

    def per_row(self, Z, Y):
        return np.maximum(0, 1 - Y * Z).sum(axis=1), np.where(Y * Z < 1, -Y, 0.0)


class Signs(Optimizer):
    """A step against the sign of the gradient."""

    def step(self, theta, grad, rate=None):
        theta -= self.learning_rate * np.sign(grad)


def test_custom_parts_are_traced(rng):
    def cube(Z):
        return Z**3, lambda dA: dA * 3 * Z**2

    net = Network([Dense(3, 4), Swish(), Activation(cube), Dense(4, 1)], Hinge(), seed=0)
    step = trace(net, rng.normal(size=(4, 3)), [1.0, -1.0, 1.0, 1.0], Signs(0.1))
    assert_correct(step)
    assert step["o1"].equation("row", TEXT) == "O₁ = Swish(Z₁, beta₁)"
    assert step["o1'"].equation("row", TEXT) == "O₁' = cube(O₁)"
    assert step["dbeta1"].equation("row", TEXT) == "dbeta₁ = backward of Swish(dO₁)"
    assert step["delta2"].equation("row", TEXT) == "dZ₂ = 1/n Hinge'(Z₂, Y)"
    assert step["step b2"].equation("row", TEXT) == "Δb₂ = Signs(θ, g)"
    np.testing.assert_allclose(step["step W1"].values, -0.1 * np.sign(step["dW1"].values))


def test_verify_names_the_wrong_derivative_of_a_custom_layer(rng):
    net = Network([Dense(3, 4), WrongSwish(), Dense(4, 1)], seed=0)
    proof = trace(net, rng.normal(size=(4, 3)), rng.normal(size=4)).verify()
    assert proof.wrong == ("dbeta1",)
    assert str(proof).startswith("the trace is WRONG in dbeta1")


def test_verify_names_the_origin_of_a_mistake_first(rng):
    net = Network([Dense(3, 4), WrongBackward(), Dense(4, 1)], seed=0)
    proof = trace(net, rng.normal(size=(4, 3)), rng.normal(size=4)).verify()
    assert proof.wrong == ("delta1", "dW1", "db1"), "gradients computed from a wrong delta are wrong too"


def test_names_of_a_second_layer_of_a_kind_have_a_prime(rng):
    step = trace(network_with([LayerNorm(4), LayerNorm(4)]), rng.normal(size=(2, 3)), rng.normal(size=(2, 2)))
    assert {"gamma1", "gamma1'", "n1", "n1'", "dn1'"} <= {quantity.name for quantity in step}
    assert_correct(step)


# Verification.


def test_a_trace_of_everything_is_correct_and_its_verification_prints_as_a_table(rng):
    step = everything(rng)
    proof = step.verify()
    assert proof.ok, str(proof)
    assert str(proof).startswith(f"the trace is correct: {len(proof.lines)} lines match")
    assert re.search(r"^dW1 +-?\d\.\d+ +-?\d\.\d+ +\d\.\de-\d+$", str(proof), re.MULTILINE)


def tampered(step, name, change):
    quantities = [replace(q, values=change(q.values)) if q.name == name else q for q in step]
    return replace(step, quantities=tuple(quantities))


@pytest.mark.parametrize("kind", MIDDLES)
def test_any_changed_value_is_detected(kind, rng):
    """Every third quantity, beginning with another one for the next kind: most of them are the same for all kinds."""
    step = everything(rng, n=2, d=3, kinds=[kind])
    for quantity in list(step)[list(MIDDLES).index(kind) % 3 :: 3]:
        proof = tampered(step, quantity.name, lambda values: values + 1e-4 * (1 + np.abs(values))).verify()
        assert not proof.ok, quantity.name
        near = {quantity.name} | {other.name for other in step if quantity.name in other.sources}
        assert near & set(proof.wrong), f"{quantity.name} was changed, but {proof.wrong} were reported"


def test_a_tiny_change_of_one_entry_and_a_nan_are_detected(rng):
    net = network_with([])
    step = trace(net, rng.normal(size=(4, 3)), rng.normal(size=(4, 2)))

    def touch(values, by):
        changed = values.copy()
        changed.flat[0] = by(changed.flat[0])
        return changed

    assert tampered(step, "dW1", lambda values: touch(values, lambda v: v * 1.000001)).verify().wrong == (
        "dW1",
        "step W1",
    )
    assert "dW1" in tampered(step, "dW1", lambda values: touch(values, lambda v: np.nan)).verify().wrong


def test_a_wrong_bias_gradient_is_detected(monkeypatch, rng):
    original = Dense.forward

    def forward(self, X, params, rng=None):
        Y, backward = original(self, X, params, rng)

        def altered(dY, grads, need_dX=True):
            dX = backward(dY, grads, need_dX)
            grads["b"] *= 1.001
            return dX

        return Y, altered

    monkeypatch.setattr(Dense, "forward", forward)
    proof = trace(network_with([]), rng.normal(size=(4, 3)), rng.normal(size=(4, 2))).verify()
    assert set(proof.wrong) == {"db1", "db2"}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_wrong_backward_pass_is_detected_in_every_layer(kind, monkeypatch, rng):
    original = LAYERS[kind].forward

    def forward(self, X, params, rng=None):
        Y, backward = original(self, X, params, rng)
        return Y, lambda dY, grads, need_dX=True: 1.001 * backward(dY, grads, need_dX)

    monkeypatch.setattr(LAYERS[kind], "forward", forward)
    step = trace(network_with(MIDDLES[kind]), rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), rng=rng)
    assert not step.verify().ok


@pytest.mark.parametrize("kind", LAYERS)
def test_a_wrong_forward_pass_is_detected_in_every_layer(kind, monkeypatch, rng):
    original = LAYERS[kind].forward

    def forward(self, X, params, rng=None):
        Y, backward = original(self, X, params, rng)
        return 1.001 * Y, lambda dY, grads, need_dX=True: 1.001 * backward(dY, grads, need_dX)

    monkeypatch.setattr(LAYERS[kind], "forward", forward)
    step = trace(network_with(MIDDLES[kind]), rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), rng=rng)
    assert not step.verify().ok


@pytest.mark.parametrize("name", LOSSES)
def test_a_wrong_loss_with_a_consistent_derivative_is_detected(name, monkeypatch, rng):
    original = LOSSES[name].per_row
    monkeypatch.setattr(
        LOSSES[name], "per_row", lambda self, Z, Y: tuple(1.001 * part for part in original(self, Z, Y))
    )
    step = trace(network_with([], name), rng.normal(size=(4, 3)), oracles.targets_for(name, 4, 2, rng))
    assert step.verify().wrong[:1] == ("L",)


@pytest.mark.parametrize("name", ["poisson", "binary_cross_entropy", "cross_entropy"])
def test_a_wrong_link_function_is_detected(name, monkeypatch, rng):
    original = LOSSES[name].predict
    monkeypatch.setattr(LOSSES[name], "predict", lambda self, Z: 1.001 * original(self, Z))
    step = trace(network_with([], name), rng.normal(size=(4, 3)), oracles.targets_for(name, 4, 2, rng))
    assert step.verify().wrong[:1] == ("P",)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "step"])
def test_a_wrong_activation_with_a_consistent_derivative_is_detected(name, monkeypatch, rng):
    original = ACTIVATIONS[name]

    def altered(Z):
        A, backward = original(Z)
        return 1.001 * A, lambda dA: 1.001 * backward(dA)

    monkeypatch.setitem(ACTIVATIONS, name, altered)
    step = trace(network_with([Activation(name)]), rng.normal(size=(4, 3)), rng.normal(size=(4, 2)))
    assert step.verify().wrong[:1] == ("a1",)


def test_names_of_columns_and_outputs_are_in_every_format():
    net, X, y = mlp(2, 2, 2, loss="cross_entropy", seed=0), [[0.5, -1.0]], [1]
    step = trace(net, X, y, columns=["age", "island=<Dream> & 10_%"], outputs=["cat", "dog"])
    assert "columns of X: age, island=<Dream> & 10_%\noutputs: cat, dog\n" in step.to_text()
    assert "island=&lt;Dream&gt; &amp; 10_%" in step.to_html()
    assert r"island=<Dream> \& 10\_\%" in step.to_latex()
    assert step.to_dict()["columns"] == ["age", "island=<Dream> & 10_%"]
    assert "columns of X" not in trace(net, X, y).to_text()
    for argument, names in (("columns", ["age"]), ("outputs", ["a", "b", "c"])):
        with pytest.raises(ValueError, match=f"{argument} must contain 2 names"):
            trace(net, X, y, **{argument: names})


def test_a_factor_after_a_fraction_is_separated_by_a_dot():
    step = trace(mlp(2, 1, loss=SquaredError(factor=1.0), seed=0), [[1.0, 2.0], [0.0, 1.0]], [1.0, 0.0])
    assert "1/n · 2 (Z₁ - Y)" in step.to_text().replace("  ", " ")


def test_outputs_before_the_first_dense_layer_are_not_named_like_the_input():
    step = trace(Network([Activation("tanh"), Activation("sigmoid"), Dense(2, 2)], seed=0), [[0.5, -1.0]], [[0.0, 1.0]])
    column, row = step.to_text("column"), step.to_text("row")
    for formula in ("a^(0')ⱼ = tanh(a⁰ⱼ)", "A₀ = tanh(X)"):
        assert formula in column + row, column
    titles = [quantity.title("column") for quantity in step]
    assert len(set(titles)) == len(titles)


def test_a_large_network_is_verified_along_random_directions(rng):
    net = mlp(20, 30, 3, loss="cross_entropy", seed=0)
    step = trace(net, rng.normal(size=(10, 20)), rng.integers(0, 3, 10))
    assert_correct(step)
    assert "dW1" in tampered(step, "dW1", lambda values: values * 1.0001).verify().wrong


# Arguments.


def test_the_arguments_are_not_changed(rng):
    net = network_with([BatchNorm(4), Dropout(0.5)])
    X, y, weight, draws = rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), np.ones(4), np.random.default_rng(0)
    kept = [array.copy() for array in (net.theta, net.buffers, net.grad, X, y, weight)]
    state = draws.bit_generator.state
    trace(net, X, y, Adam(), weight, rng=draws)
    for array, before in zip((net.theta, net.buffers, net.grad, X, y, weight), kept):
        np.testing.assert_array_equal(array, before)
    assert draws.bit_generator.state == state


def test_the_trace_of_a_float32_network_is_in_float64_and_close_to_its_step(rng):
    net = mlp(3, 4, 2, activation="tanh", loss="cross_entropy", seed=0)
    X, y = rng.normal(size=(4, 3)), [0, 1, 1, 0]
    step = trace(net, X, y)
    assert all(quantity.values.dtype == np.float64 for quantity in step)
    np.testing.assert_allclose(gradient_of(step, net), net.loss_and_grad(X, y)[1], rtol=1e-4, atol=1e-7)


def test_values_are_read_only(rng):
    step = trace(network_with([]), rng.normal(size=(2, 3)), rng.normal(size=(2, 2)))
    with pytest.raises(ValueError, match="read-only"):
        step["W1"].values[0, 0] = 0


def test_masks_replace_those_of_dropout(rng):
    net = network_with([Dropout(0.5), Residual([Dense(4, 4), Dropout(0.2)])])
    X, y = rng.normal(size=(2, 3)), rng.normal(size=(2, 2))
    masks = [[[1, 0, 1, 1], [0, 0, 1, 1]], [[1, 1, 1, 1], [1, 1, 0, 1]]]
    step = trace(net, X, y, masks=masks)
    assert_correct(step)
    np.testing.assert_allclose(step["mask1"].values, masks[0])
    np.testing.assert_allclose(step["mask2"].values, masks[1])
    np.testing.assert_allclose(step["d1"].values, step["z1"].values * masks[0] * 2)


def test_dropout_is_not_recorded_at_inference(rng):
    step = trace(network_with([Dropout(0.5)]), rng.normal(size=(2, 3)), rng.normal(size=(2, 2)))
    assert not {"mask1", "d1"} & {quantity.name for quantity in step}
    assert step["z2"].sources == ("z1", "W2", "b2")


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"masks": []}, r"len\(masks\) must be 1, one mask for each Dropout, got 0"),
        ({"masks": [[[1, 2, 1, 1]]]}, r"masks\[0\] must contain zeros and ones in 1 rows"),
        ({"masks": [[[1, 1]]]}, r"masks must have shape \(1, 4\).* got shape \(1, 2\)"),
        ({"masks": [[[1, 1, 1, 1]]], "rng": np.random.default_rng(0)}, "rng must be None if masks are given"),
        ({"rate": 0.0}, "rate must be finite and > 0, got 0.0"),
        ({"optimizer": "sdg"}, "optimizer must be one of {'sgd'"),
        ({"X": [0.0, 1.0, 2.0]}, r"X must be 2-D with 3 columns, got shape \(3,\)"),
        ({"net": "net"}, "net must be a Network"),
    ],
)
def test_invalid_arguments_raise(arguments, rule):
    valid = {"net": network_with([Dropout(0.5)]), "X": [[0.0, 1.0, 2.0]], "y": [[1.0, 2.0]]}
    with pytest.raises(ValueError, match=rule):
        trace(**(valid | arguments))


def test_an_unknown_name_lists_the_valid_ones(rng):
    step = trace(network_with([]), rng.normal(size=(2, 3)), rng.normal(size=(2, 2)))
    with pytest.raises(ValueError, match=r"name must be one of \{'X', 'W1', 'b1', 'z1'"):
        step["w1"]


# Formats.


def test_sources_precede_the_quantities_computed_from_them(rng):
    step = everything(rng)
    seen = set()
    for quantity in step:
        assert set(quantity.sources) <= seen, quantity.name
        assert (quantity.term is None) == (quantity.kind == "given") == (quantity.sources == ())
        seen.add(quantity.name)
    assert len(seen) == len(step)


@pytest.mark.parametrize("notation", ["row", "column"])
def test_the_text_has_every_quantity_with_aligned_values(notation, rng):
    step = everything(rng)
    lines = step.to_text(notation).splitlines()
    sections = ["Forward pass", "Loss", "Backward pass", "Optimizer step"]
    assert [line for line in lines if line in sections] == sections
    for quantity in step:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"  {quantity.name} "))
        assert quantity.equation(notation, TEXT) in lines[at]
        assert str(quantity.grid(notation).shape) in lines[at]
        matrix = lines[at + 1 : at + 1 + len(quantity.grid(notation))]
        assert len({len(line) for line in matrix}) == 1, "the columns are aligned"
        assert all(line.startswith(" ") for line in matrix)


def test_the_lines_in_the_documentation_are_current():
    page = (Path(__file__).parent.parent / "docs" / "learn" / "trace.md").read_text(encoding="utf-8")
    code, shown = (
        re.search(rf"^```{kind}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1] for kind in ("python", "text")
    )
    namespace = {}
    exec(code.replace("print(step)", ""), namespace)
    printed = iter([line.strip() for line in namespace["step"].to_text().splitlines()])
    for line in shown.splitlines():  # some of the printed lines, in their order
        assert line.strip() in printed, line


def test_the_column_form_is_the_transpose_of_the_row_form():
    net = mlp(3, 2, seed=0)
    net.theta = np.arange(8) / 8
    step = trace(net, [[1.0, 2.0, 3.0]], [[0.0, 1.0]])
    assert re.search(r" 0.00000  0.12500\n +0.25000  0.37500\n +0.50000  0.62500\n", step.to_text("row"))
    assert re.search(r" 0.00000  0.25000  0.50000\n +0.12500  0.37500  0.62500\n", step.to_text("column"))


def test_small_values_keep_their_digits_and_large_arrays_are_abridged(rng):
    net = mlp(50, 40, 1, seed=0)
    step = trace(net, np.where(np.arange(50) == 1, 2.5e-9, 1.5) * np.ones((30, 50)), np.ones(30))
    text = step.to_text()
    assert "2.50e-09" in text
    assert "..." in text
    assert max(map(len, text.splitlines()[1:])) < 130
    assert len(text.splitlines()) < 250


def test_repr_is_the_text_and_notebooks_show_the_page(rng):
    step = trace(network_with([]), rng.normal(size=(2, 3)), rng.normal(size=(2, 2)))
    assert repr(step) == step.to_text()
    assert step._repr_html_().startswith("<iframe srcdoc=")


@pytest.mark.parametrize("form", ["to_text", "to_latex", "to_html"])
def test_an_unknown_notation_raises(form, rng):
    step = trace(network_with([]), rng.normal(size=(2, 3)), rng.normal(size=(2, 2)))
    with pytest.raises(ValueError, match=r"notation must be one of \{'row', 'column'"):
        getattr(step, form)("rows")


def assert_balanced(latex):
    depth = 0
    for token in re.findall(r"\\.|[{}]", latex):
        depth += {"{": 1, "}": -1}.get(token, 0)
        assert depth >= 0
    assert depth == 0
    open_environments = []
    for word, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", latex):
        if word == "begin":
            open_environments.append(name)
        else:
            assert open_environments.pop() == name
    assert not open_environments


@pytest.mark.parametrize("notation", ["row", "column"])
def test_the_latex_is_balanced_and_has_every_quantity(notation, rng):
    step = everything(rng, n=12)
    latex = step.to_latex(notation)
    assert_balanced(latex)
    for quantity in step:
        shown = title(quantity.symbol, LATEX, notation, "")
        assert re.search(rf"^{re.escape(shown)} &= ", latex, re.MULTILINE), quantity.name
    assert latex.count(r"\begin{align*}") == 4
    for matrix in re.findall(r"\\begin\{bmatrix\}(.*?)\\end", latex):
        assert len({row.count("&") for row in matrix.split(r"\\")}) == 1
        assert matrix.split(r"\\")[0].count("&") < 10, "amsmath allows at most 10 columns"
    assert r"label\_smoothing" in latex


class Page(HTMLParser):
    """The tags of a formula; it is an error if one is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_formulas_have_no_double_scripts(rng):
    """LaTeX rejects x^a^b and x_a_b."""
    for step in (everything(rng), everything(rng, n=1)):
        for quantity in step:
            for notation in ("row", "column"):
                equation = quantity.equation(notation)
                assert_balanced(equation)
                assert not re.search(r"[\^_](\{(?:[^{}]|\{[^{}]*\})*\}|\w)'*\^(\{[^{}]*\}|\w)\^", equation), equation
                assert quantity.equation(notation, TEXT)
                assert Page(f"<math>{quantity.equation(notation, MATHML)}</math>").tags


def test_the_dict_is_json_serializable_and_complete(rng):
    step = everything(rng)
    document = json.loads(json.dumps(step.to_dict(), allow_nan=False))
    assert [entry["name"] for entry in document["quantities"]] == [quantity.name for quantity in step]
    for entry, quantity in zip(document["quantities"], step):
        np.testing.assert_array_equal(np.array(entry["values"]), quantity.values)
        assert entry["shape"] == list(quantity.shape)
        assert entry["sources"] == list(quantity.sources)
        assert set(entry["text"]) == set(entry["latex"]) == {"row", "column"}
