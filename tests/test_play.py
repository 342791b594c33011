"""The formulas of the figures to play with, in docs/_static/formulas.js, are those of the library."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from chainrule import SGD, Activation, Dense, Network, mlp
from chainrule.losses import CrossEntropy
from chainrule.nn.activations import ACTIVATIONS, sigmoid

SCRIPT = Path(__file__).parent.parent / "docs" / "_static" / "formulas.js"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def call(function, **arguments):
    """Return the result of a function of the script."""
    code = f"console.log(JSON.stringify(require({json.dumps(str(SCRIPT))}).{function}({json.dumps(arguments)})))"
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


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


def test_descent_with_momentum():
    curvatures, theta = np.array([1.0, 10.0]), np.array([10.0, 1.0])
    steps, optimizer = [theta.copy()], SGD(0.04, momentum=0.8)
    for _ in range(40):
        optimizer.step(theta, curvatures * theta)
        steps.append(theta.copy())
    found = call("descent", t=[10, 1], curvatures=[1, 10], rate=0.04, momentum=0.8, steps=40)
    np.testing.assert_allclose(found, steps, rtol=1e-12, atol=1e-14)


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
    code = f"console.log(JSON.stringify({Z.tolist()}.map(require({json.dumps(str(SCRIPT))}).ACTIVATIONS.{name})))"
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), ACTIVATIONS[name](Z)[0], rtol=1e-12, atol=1e-15)


def test_shapes_and_spreads(rng):
    code = f"""
        const {{ productShape, spread }} = require({json.dumps(str(SCRIPT))});
        console.log(JSON.stringify([productShape([5, 3], [3, 2]), productShape([5, 3], [5, 2]), spread(ROWS)]))
    """
    rows = rng.normal(size=(7, 3))
    code = code.replace("ROWS", json.dumps(rows.tolist()))
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    product, none, found = json.loads(done.stdout)
    assert (product, none) == ([5, 2], None)
    assert found["between"] == pytest.approx(rows.std(axis=0).mean(), rel=1e-12)
    assert found["size"] == pytest.approx(np.sqrt(np.mean(rows**2)), rel=1e-12)
