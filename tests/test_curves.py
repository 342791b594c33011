"""The activations as terms equal the hand-written ones, in every form that is printed of them."""

import math

import numpy as np
import pytest

from chainrule.curves import CURVES, Z, scalar_functions, slope_of, value_of
from chainrule.nn.activations import ACTIVATIONS
from chainrule.terms import NUMPY, PYTHON

GRID = np.concatenate(
    [np.linspace(-50, 50, 2001), [-1e30, -1e4, -700, -100, -88, -20, -1e-30, 0, 1e-30, 20, 88, 100, 700, 1e4, 1e30]]
)
SMOOTH = [name for name in ACTIVATIONS if name != "step"]
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
