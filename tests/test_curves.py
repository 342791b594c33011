"""The activations as terms equal the hand-written ones, in every form that is printed of them."""

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest

from chainrule import export, mlp, trace, train
from chainrule.curves import CURVES, Z, named, scalar_functions, scalar_switch, slope_of, value_of
from chainrule.languages import JAVASCRIPT, NUMPY, PYTHON
from chainrule.nn.activations import ACTIVATIONS
from chainrule.terms import absolute, greater, where
from chainrule.typeset import TEXT

GRID = np.concatenate(
    [np.linspace(-50, 50, 2001), [-1e30, -1e4, -700, -100, -88, -20, -1e-30, 0, 1e-30, 20, 88, 100, 700, 1e4, 1e30]]
)
FORMS = (value_of, slope_of)
# elu's slope adds 1 to a number close to -1 where it is written by hand, and gelu adds 1 to a tanh close to -1.
TOLERANCE = {"rtol": 1e-12, "atol": 2e-14}


@pytest.fixture(autouse=True)
def nothing_overflows():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        yield


def by_hand(name):
    """Return the values and the slopes of the hand-written activation on the grid."""
    A, backward = ACTIVATIONS[name](GRID)
    return A, np.zeros_like(GRID) if name == "step" else backward(np.ones_like(GRID))


def test_every_activation_is_a_term():
    assert set(CURVES) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_and_slopes_are_those_written_by_hand(name):
    for term, expected in zip((value_of(name), slope_of(name)), by_hand(name)):
        np.testing.assert_allclose(np.broadcast_to(term.value(z=GRID), GRID.shape), expected, **TOLERANCE)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_definitions_have_the_same_values_where_they_do_not_overflow(name):
    moderate = np.abs(GRID) <= 20
    definition = CURVES[name].definition(Z).value(z=GRID[moderate])
    np.testing.assert_allclose(definition, by_hand(name)[0][moderate], rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize("language", [PYTHON, NUMPY])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_printed_python_has_the_same_values(name, language):
    namespace = {"math": math, "np": np}
    for term, expected in zip((value_of(name), slope_of(name)), by_hand(name)):
        exec(language.define("f", term), namespace)
        f = namespace["f"]
        found = [f(z) for z in GRID.tolist()] if language is PYTHON else np.broadcast_to(f(GRID), GRID.shape)
        np.testing.assert_allclose(found, expected, **TOLERANCE)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no JavaScript")
def test_printed_javascript_has_the_same_values():
    names = list(ACTIVATIONS)
    functions = [
        JAVASCRIPT.define(f"f{k}_{n}", term(name)) for k, term in enumerate(FORMS) for n, name in enumerate(names)
    ]
    calls = ", ".join(f"grid.map(f{k}_{n})" for k in range(len(FORMS)) for n in range(len(names)))
    script = f"{''.join(functions)}const grid = {GRID.tolist()};\nconsole.log(JSON.stringify([{calls}]));"
    done = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, check=True)
    expected = [by_hand(name)[k] for k in range(len(FORMS)) for name in names]
    np.testing.assert_allclose(json.loads(done.stdout), expected, **TOLERANCE)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_scalar_functions_take_and_return_floats(name):
    for function, expected in zip(scalar_functions(name), by_hand(name)):
        np.testing.assert_allclose([function(z) for z in GRID.tolist()], expected, **TOLERANCE)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_compiled_functions_keep_the_precision_of_their_argument(name):
    numba = pytest.importorskip("numba")
    for function, expected in zip(scalar_functions(name), by_hand(name)):
        compiled = numba.njit(function, error_model="numpy")
        for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
            found = np.array([compiled(z) for z in GRID.astype(dtype)])
            assert compiled.nopython_signatures[-1].return_type == numba.from_dtype(np.dtype(dtype))
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


# A new activation.


def softsign(Z):
    D = 1 + np.abs(Z)
    return Z / D, lambda dA: dA / (D * D)


@pytest.fixture
def new_activation(monkeypatch):
    """An entry in each of the two tables, as a contributor adds it."""
    monkeypatch.setitem(ACTIVATIONS, "softsign", softsign)
    monkeypatch.setitem(CURVES, "softsign", named("softsign", lambda z: z / (1 + absolute(z))))


def test_a_new_activation_reaches_everything(new_activation, rng, tmp_path):
    net = mlp(3, 8, 2, activation="softsign", seed=0)
    X, y = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(40, 2))
    before = net.evaluate(X, y)
    train(net, X, y, epochs=20, seed=0)
    assert net.evaluate(X, y) < before
    step = trace(net, X[:2], y[:2])
    assert step.verify().ok
    assert step["a1"].equation("row", TEXT) == "A₁ = softsign(Z₁) = Z₁/(1 + |Z₁|)"
    assert (
        step["slope z1"].equation("row", TEXT) == "softsign'(Z₁) = 1/(1 + |Z₁|) - (Z₁/(1 + |Z₁|))/(1 + |Z₁|) ⊙ sign(Z₁)"
    )
    remark = step.exercise(["delta1"]).grade({"delta1": step["da1"].values})["delta1"].remark
    assert remark == "softsign' is missing, in slope z1"
    for pure in (False, True):
        export.to_python(net, tmp_path / "net.py", pure)
        done = subprocess.run([sys.executable, tmp_path / "net.py", "--test"], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout


def test_a_new_activation_is_printed_in_c(new_activation, tmp_path):
    compiler = shutil.which("gcc") or pytest.skip("there is no C compiler")
    export.to_c(mlp(3, 8, 2, activation="softsign", seed=0), tmp_path / "net.h")
    options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-DNET_SELF_TEST", "-x", "c"]
    subprocess.run([compiler, *options, tmp_path / "net.h", "-o", tmp_path / "net", "-lm"], check=True)
    assert subprocess.run([tmp_path / "net"], check=False, capture_output=True).returncode == 0


def test_a_new_activation_is_written_to_onnx(new_activation, tmp_path):
    pytest.importorskip("onnxruntime")
    assert export.to_onnx(mlp(3, 8, 2, activation="softsign", seed=0), tmp_path / "net.onnx").difference < 1e-5


def test_a_new_activation_is_compiled(new_activation):
    numba = pytest.importorskip("numba")
    switch = numba.njit(scalar_switch(map(value_of, CURVES)))
    assert switch(list(CURVES).index("softsign"), -3.0) == -0.75
    assert switch(list(CURVES).index("relu"), 3.0) == 3
    value, slope = map(numba.njit, scalar_functions("softsign"))
    assert (value(3.0), slope(3.0)) == (0.75, pytest.approx(1 / 16))


def test_functions_with_other_constants_have_other_names(monkeypatch):
    """numba's cache tells the functions of a file apart by their names and bytecode, which do not show constants."""
    before = scalar_functions("leaky_relu")[0].__name__
    monkeypatch.setitem(CURVES, "leaky_relu", named("leaky_relu", lambda z: where(greater(z, 0), z, 0.02 * z)))
    assert scalar_functions("leaky_relu")[0].__name__ != before
