"""The formulas of the figures to play with, in docs/_static/play/formulas.js, are those of the library."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from chainrule import SGD, Activation, Adam, Dense, Network, RMSProp, mlp
from chainrule.insight.evaluation import calibration_curve, calibration_error
from chainrule.losses import AbsoluteError, BinaryCrossEntropy, CrossEntropy, Huber, Quantile, SquaredError
from chainrule.nn.activations import ACTIVATIONS, sigmoid
from chainrule.schedules import Cosine

SCRIPT = Path(__file__).parent.parent / "docs" / "_static" / "play" / "formulas.js"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def run(code):
    """Return the value of an expression of the functions of the script."""
    code = f"with (require({json.dumps(str(SCRIPT))})) console.log(JSON.stringify({code}))"
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def call_with(function, *arguments):
    """Return the result of a function of the script."""
    return run(f"{function}(...{json.dumps(arguments)})")


def call(function, **arguments):
    """Return the result of a function of the script that takes its arguments by name."""
    return call_with(function, arguments)


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_the_neuron(loss, rng):
    X, y, w, b = rng.normal(size=(12, 2)), rng.integers(0, 2, 12), rng.normal(size=2), float(rng.normal())
    squared = loss == "squared_error"
    layers = [Dense(2, 1), *([Activation("sigmoid")] if squared else [])]
    net = Network(layers, "squared_error" if squared else "binary_cross_entropy", dtype="float64")
    net.set_weights([{"W": w[:, np.newaxis], "b": [b]}, *([{}] if squared else [])])
    cost, grad = net.loss_and_grad(X, y)
    found = call("neuron", X=X.tolist(), y=y.tolist(), w=w.tolist(), b=b, loss=loss)
    assert found["cost"] == pytest.approx(cost, rel=1e-12)
    np.testing.assert_allclose([*found["dw"], found["db"]], grad, rtol=1e-12)


OPTIMIZERS = {"momentum": SGD(0.04, momentum=0.8), "rmsprop": RMSProp(0.3), "adam": Adam(0.5)}


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_the_paths_of_optimizers(rule):
    curvatures, theta = np.array([1.0, 10.0]), np.array([10.0, 1.0])
    steps, optimizer = [theta.copy()], OPTIMIZERS[rule]
    for _ in range(40):
        optimizer.step(theta, curvatures * theta)
        steps.append(theta.copy())
    options = {"rate": optimizer.learning_rate, "momentum": 0.8, "steps": 40}
    found = call("descent", t=[10, 1], curvatures=[1, 10], rule=rule, **options)
    np.testing.assert_allclose(found, steps, rtol=1e-10, atol=1e-12)


def test_noisy_descent_with_a_falling_rate(rng):
    noise, theta = rng.normal(size=(40, 2)), np.array([10.0, 1.0])
    steps, optimizer, cosine = [theta.copy()], SGD(0.1, momentum=0.5), Cosine(warmup=0)
    for k in range(40):
        gradient = np.array([1.0, 10.0]) * theta + noise[k]
        optimizer.step(theta, gradient, rate=0.1 * cosine(k, k / 40))
        steps.append(theta.copy())
    options = {"rate": 0.1, "momentum": 0.5, "falling": True, "noise": noise.tolist()}
    found = call("descent", t=[10, 1], curvatures=[1, 10], steps=40, **options)
    np.testing.assert_allclose(found, steps, rtol=1e-10, atol=1e-12)


def test_batches_of_a_line(rng):
    x, y = rng.normal(size=7), rng.normal(size=7)
    net, optimizer, lines = Network([Dense(1, 1)], "squared_error", dtype="float64"), SGD(0.1), []
    net.set_weights([{"W": [[-1]], "b": [2]}])
    orders = [rng.permutation(7) for _ in range(2)]
    for order in orders:
        for start in range(0, 7, 3):
            rows = order[start : start + 3]
            optimizer.step(net.theta, net.loss_and_grad(x[rows, np.newaxis], y[rows])[1])
            lines.append(net.theta.copy())
    points = {"x": x.tolist(), "y": y.tolist()}
    orders = [order.tolist() for order in orders]
    found = call("lineDescent", **points, line=[-1, 2], orders=orders, size=3, rate=0.1)
    np.testing.assert_allclose(found[1:], lines, rtol=1e-12)
    cost = net.evaluate(x[:, np.newaxis], y)
    assert call("lineCost", **points, line=net.theta.tolist()) == pytest.approx(cost, rel=1e-12)


def test_descent_and_contours_of_a_quadratic(rng):
    X = rng.normal(size=(50, 2)) * [1, 4]
    H, t = X.T @ X / len(X), np.array([1.1, 0.5])
    smallest, largest = np.linalg.eigvalsh(H)
    optimizer, steps = SGD(2 / (smallest + largest)), [t.copy()]
    for _ in range(15):
        optimizer.step(t, H @ t)
        steps.append(t.copy())
    found = call("quadratic", H=H.tolist(), t=[1.1, 0.5], steps=15)
    np.testing.assert_allclose(found["path"], steps, rtol=1e-10)
    assert found["ratio"] == pytest.approx(largest / smallest, rel=1e-10)
    points = np.array(call("contour", H=H.tolist(), center=[1, -2], level=0.3)) - [1, -2]
    np.testing.assert_allclose(np.einsum("ri,ij,rj->r", points, H, points) / 2, 0.3, rtol=1e-12)
    np.testing.assert_allclose(points[:-1].mean(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize(("height", "pieces"), [(1, 16), (0.8, 14)])
def test_the_folds_of_a_line(height, pieces):
    """The corners lie on the output of a network with a fold in each pair of layers, and it is straight in between."""
    knot, layers = 0.4, 4
    net = Network([Dense(1, 2), Activation("relu"), Dense(2, 1)] * layers, "squared_error", dtype="float64")
    first = {"W": [[1, 1]], "b": [0, -knot]}
    second = {"W": [[height / knot], [-height * (1 / knot + 1 / (1 - knot))]], "b": [0]}
    net.set_weights([first, {}, second] * layers)
    x, y = np.transpose(call("fold", layers=layers, knot=knot, height=height))
    assert len(x) == pieces + 1
    np.testing.assert_allclose(net.outputs(x[:, np.newaxis])[:, 0], y, atol=1e-12)
    middle = (x[1:] + x[:-1]) / 2
    np.testing.assert_allclose(net.outputs(middle[:, np.newaxis])[:, 0], (y[1:] + y[:-1]) / 2, atol=1e-12)


ANSWERS = {
    "squared_error": SquaredError(),
    "huber": Huber(),
    "absolute_error": AbsoluteError(),
    "quantile": Quantile(0.7),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_best_answer_to_several_rows(name):
    y, loss = np.array([1.0, 2.0, 3.0, 4.5, 60.0]), ANSWERS[name]
    options = {"y": y.tolist(), "loss": name, "q": 0.7}
    for answer in (0.3, 3.4, 22.1):
        cost, dZ = loss(np.full((5, 1), answer), y[:, np.newaxis])
        found = call("answerCost", **options, answer=answer)
        assert (found["cost"], found["slope"]) == pytest.approx((cost, dZ.sum()), rel=1e-12)
        np.testing.assert_allclose(found["pulls"], -5 * dZ[:, 0], rtol=1e-12)
    best = call("bestAnswer", **options)
    answers = [best, best - 0.01, best + 0.01, *np.arange(0, 70, 0.1)]
    costs = [loss(np.full((5, 1), answer), y[:, np.newaxis])[0] for answer in answers]
    assert costs[0] == min(costs)


def test_calibration_curves(rng):
    z, T = 3 * rng.normal(size=200), 1.7
    z[:2] = 0, 800  # probabilities at the edges of bins
    y = rng.integers(0, 2, 200)
    curve = calibration_curve(y, 1 / (1 + np.exp(-z / T)))
    found = call("reliability", z=z.tolist(), y=y.tolist(), T=T)
    rows = [[bin_[key] for bin_ in found["curve"]] for key in ("observed", "predicted", "rows")]
    np.testing.assert_allclose(rows, curve, rtol=1e-12)
    assert found["error"] == pytest.approx(calibration_error(*curve), rel=1e-12)
    assert found["cost"] == pytest.approx(BinaryCrossEntropy()(z[:, np.newaxis] / T, y[:, np.newaxis])[0], rel=1e-12)


def test_the_network(rng):
    X, Y = rng.normal(size=(7, 2)), np.eye(2)[rng.integers(0, 2, 7)]
    options = {"activation": "sigmoid", "output_activation": "sigmoid", "biases": "normal", "dtype": "float64"}
    net = mlp(2, 3, 2, **options, loss="squared_error", seed=0)
    parameters = [net.params[i][name].tolist() for i in (0, 2) for name in ("W", "b")]
    cost, grad = net.loss_and_grad(X, Y)
    found = call("network", X=X.tolist(), Y=Y.tolist(), parameters=parameters)
    assert found["cost"] == pytest.approx(cost, rel=1e-12)
    np.testing.assert_allclose(np.concatenate([np.ravel(part) for part in found["gradients"]]), grad, rtol=1e-11)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("h", [1e-1, 1e-3, 1e-5])
def test_finite_differences(h, single):
    dtype = np.float32 if single else np.float64

    def cost(w):
        A, _ = sigmoid(np.array([w], dtype))
        return (A * A)[0]

    found = call("difference", w=1, h=h, single=single)
    step, tolerance = dtype(h), 3e-7 / h if single else 3e-15 / h  # exp may round differently
    assert found["central"] == pytest.approx((cost(1 + step) - cost(1 - step)) / (2 * h), abs=tolerance)
    assert found["oneSided"] == pytest.approx((cost(1 + step) - cost(dtype(1))) / h, abs=tolerance)
    assert found["derivative"] == pytest.approx(0.28746968091443026, rel=1e-15)


@pytest.mark.parametrize("T", [1, 2.5])
def test_softmax(T, rng):
    z, c = 3 * rng.normal(size=3), 1
    cost, dZ = CrossEntropy()(z[np.newaxis] / T, np.array([c]))
    found = call("softmax", z=z.tolist(), c=c, T=T, loss="cross_entropy")
    assert found["cost"] == pytest.approx(cost, rel=1e-12)
    np.testing.assert_allclose(found["dz"], dZ[0], rtol=1e-12, atol=1e-15)

    p, y = np.array(found["p"]), np.eye(3)[c]
    found = call("softmax", z=z.tolist(), c=c, T=T, loss="squared_error")
    assert found["cost"] == pytest.approx(np.sum((p - y) ** 2) / 2, rel=1e-12)
    np.testing.assert_allclose(found["dz"], (np.diag(p) - np.outer(p, p)) @ (p - y), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "silu"])
def test_the_activations(name):
    Z = np.linspace(-6, 6, 13)
    np.testing.assert_allclose(
        run(f"{Z.tolist()}.map(ACTIVATIONS.{name})"), ACTIVATIONS[name](Z)[0], rtol=1e-12, atol=1e-15
    )


def test_products_and_spreads(rng):
    A, B = rng.normal(size=(5, 3)), rng.normal(size=(3, 2))
    np.testing.assert_allclose(call_with("product", A.tolist(), B.tolist()), A @ B, rtol=1e-12)
    assert call_with("product", A.tolist(), A.tolist()) is None
    found = call_with("spread", A.tolist())
    assert found["between"] == pytest.approx(A.std(axis=0).mean(), rel=1e-12)
    assert found["size"] == pytest.approx(np.sqrt(np.mean(A**2)), rel=1e-12)


def test_the_paths_from_a_parameter_to_the_loss(rng):
    """Their products add up to the gradient of the library, from every parameter."""
    x, y = rng.normal(size=2), np.array([0.0, 1.0])
    options = {"activation": "sigmoid", "output_activation": "sigmoid", "biases": "normal", "dtype": "float64"}
    net = mlp(2, 2, 2, **options, loss="squared_error", seed=0)
    cost, grad = net.loss_and_grad(x[np.newaxis], y[np.newaxis])
    parameters = [net.params[i][name].tolist() for i in (0, 2) for name in ("W", "b")]
    places = [(part, *index) for part, array in enumerate(parameters) for index in np.ndindex(np.shape(array))]
    row = {"x": x.tolist(), "y": y.tolist(), "parameters": parameters}
    code = f"{json.dumps(places)}.map((place) => paths({{ ...{json.dumps(row)}, place }}))"
    found = run(code)
    np.testing.assert_allclose([sum(p["product"] for p in each["paths"]) for each in found], grad, rtol=1e-11)
    assert [len(each["paths"]) for each in found] == [2] * 6 + [1] * 6
    assert found[0]["cost"] == pytest.approx(cost, rel=1e-12)
    np.testing.assert_allclose(found[0]["a2"], net.outputs(x[np.newaxis])[0], rtol=1e-12)


def test_the_units_of_a_piecewise_linear_curve(rng):
    points = np.column_stack([[0, 0.2, 0.5, 0.8, 1], rng.normal(size=5)])
    units = call("unitsOf", points=points.tolist())
    np.testing.assert_allclose(call_with("cornersOf", units), points, atol=1e-12)
    units["w"] = [1.0, 1.2, 0.7, -1.0]  # as after training
    net = Network([Dense(1, 4), Activation("relu"), Dense(4, 1)], "squared_error", dtype="float64")
    net.set_weights(
        [{"W": [units["w"]], "b": units["b"]}, {}, {"W": np.reshape(units["v"], (4, 1)), "b": [units["c"]]}]
    )
    x, y = rng.uniform(size=(20, 1)), rng.normal(size=20)
    cost, grad = net.loss_and_grad(x, y)
    found = call("unitsCost", x=x[:, 0].tolist(), y=y.tolist(), units=units)
    assert found["cost"] == pytest.approx(cost, rel=1e-12)
    np.testing.assert_allclose([*found["w"], *found["b"], *found["v"], found["c"]], grad, rtol=1e-9, atol=1e-12)
