import platform
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse

from chainrule.arrays import all_finite, as_generator, as_matrix, as_weights, require, require_integer
from chainrule.errors import MissingExtraError, look_up


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_single_non_finite_element_is_found(bad, rng):
    X = rng.normal(size=(50, 7)).astype(np.float32)
    assert all_finite(X)
    X[31, 4] = bad
    assert not all_finite(X)


def test_finite_values_whose_sum_overflows_are_finite():
    assert all_finite(np.full((10, 10), 3e38, np.float32))


def test_opposite_infinities_do_not_cancel():
    assert not all_finite(np.array([np.inf, -np.inf]))


def test_a_matrix_that_already_fits_is_not_copied(rng):
    X = rng.normal(size=(3, 2)).astype(np.float32)
    assert as_matrix(X, 2, np.float32) is X


@pytest.mark.parametrize("given", [[[1, 2]], ((1.0, 2.0),), np.array([[True, False]]), np.array([[1, 2]], object)])
def test_lists_integers_booleans_and_objects_are_converted(given):
    assert as_matrix(given, 2, np.float32).dtype == np.float32


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((7, 3)), r"X must be 2-D with 4 columns, got shape \(7, 3\)"),
        (np.ones(4), r"X .* 4 columns, got shape \(4,\).*Pass X\[np\.newaxis\]"),
        (np.ones((2, 4, 1)), r"X .* 4 columns, got shape \(2, 4, 1\)"),
        ([[1, 2, 3, "four"]], "X must be numeric: .*'four'"),
        ([[1, 2, 3], [1]], "X must be numeric: .*shape"),
        (np.ones((1, 4), complex), "X .* real numbers, got dtype complex128"),
        ([[1, 2, np.nan, 4]], r"X .* finite in float32, got nan .*X\[0, 2\]"),
        ([[1, 2, 3, 1e300]], r"X .* finite in float32, got 1e\+300 .*X\[0, 3\]"),
        ([[1, 2, 3, None]], r"X .* finite in float32, got None .*X\[0, 3\]"),
        (np.array([["2024-01-01"] * 4], "M8[D]"), r"X .* real numbers, got dtype datetime64\[D\].*Convert"),
        (np.array([[1] * 4], "m8[s]"), r"X .* real numbers, got dtype timedelta64\[s\].*Convert"),
        (np.ma.masked_less([[1, 2, 3, 4]], 3), "X .* masked cells, got 2"),
        (scipy.sparse.eye(4).tocsr(), r"X .* dense, got a csr_matrix.*X\.toarray\(\)"),
    ],
)
def test_an_invalid_matrix_is_refused_with_the_reason(X, message):
    with pytest.raises(ValueError, match=message):
        as_matrix(X, 4, np.float32)


def test_a_masked_array_without_masked_cells_is_an_array():
    np.testing.assert_array_equal(as_matrix(np.ma.masked_less([[1, 2]], 0), 2, np.float32), [[1, 2]])


def test_a_vector_for_one_column_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"X .* 1 column, got shape \(5,\).*Pass X\[:, np\.newaxis\]"):
        as_matrix(np.ones(5), 1, np.float32)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, 2.0], r"sample_weight .*\(3,\).*got shape \(2,\)"),
        ([1, -1, 1], r"sample_weight .*>= 0, got -1\.0 in row 1"),
        ([1, np.nan, 1], "sample_weight .*finite.*, got nan in row 1"),
        ([0, 0, 0], "sample_weight .*positive.*, got all zeros"),
        ([1e37, 1, 1], r"sample_weight .*\[1e-30, 1e\+30\], got 1e\+37"),
        ([1e300, 1, 1], r"sample_weight .*\[1e-30, 1e\+30\], got 1e\+300"),
        ([1e-60, 0, 0], r"sample_weight .*\[1e-30, 1e\+30\], got 1e-60"),
        (["a", "b", "c"], "sample_weight must be numeric: .*'a'"),
        (np.ones(3, complex), "sample_weight .*real numbers, got dtype complex128"),
        (np.ma.masked_less([1, 2, 3], 2), "sample_weight .*masked cells, got 1"),
    ],
)
def test_invalid_weights_are_refused_with_the_reason(weight, message):
    with pytest.raises(ValueError, match=message):
        as_weights(weight, 3, np.float32)


def test_no_weights_stay_none():
    assert as_weights(None, 3, np.float32) is None


def test_require_names_argument_rule_and_value():
    require(True, "rate", "be > 0", 1)
    with pytest.raises(ValueError, match="rate must be > 0, got -1"):
        require(False, "rate", "be > 0", -1)


@pytest.mark.parametrize("value", [0, 1.0, True, "1", None])
def test_what_is_not_an_integer_in_range_is_refused(value):
    require_integer(np.int64(1), "epochs")
    with pytest.raises(ValueError, match=f"epochs must be an integer >= 1, got {value!r}"):
        require_integer(value, "epochs")


@pytest.mark.parametrize("seed", [-1, "zero", 1.5])
def test_an_invalid_seed_is_refused(seed):
    with pytest.raises(ValueError, match=f"seed .*integer >= 0.*, got {seed!r}"):
        as_generator(seed)


def test_an_unknown_name_is_refused_with_the_valid_ones():
    with pytest.raises(ValueError, match=r"loss must be one of {'a', 'b'}, got 'c'$"):
        look_up({"a": 1, "b": 2}, "c", "loss")


@pytest.mark.parametrize("name", ["rellu", "Relu", "RELU"])
def test_a_misspelled_name_is_refused_with_the_closest_one(name):
    with pytest.raises(ValueError, match=rf"activation .*got '{name}'\. Did you mean 'relu'\?$"):
        look_up({"relu": 1, "tanh": 2}, name, "activation")


def test_a_missing_extra_is_reported_with_the_command_that_installs_it():
    with pytest.raises(ImportError, match=r"a figure .*'plot'.*pip install 'chainrule\[plot\]'"):
        raise MissingExtraError("a figure", "plot")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_the_arrays_of_a_batch_reuse_memory():
    program = """
import resource
import numpy as np
import chainrule.arrays

def new_pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    a = np.ones((256, 160), np.float32)
    return (a + 1) * a

step()
before = new_pages()
for _ in range(100):
    step()
print(new_pages() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500  # 100 steps write 12,000 pages
