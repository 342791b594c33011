import numpy as np
import pytest
import scipy.sparse

from chainrule.arrays import all_finite, as_matrix, as_weights, require
from chainrule.errors import MissingExtraError, look_up


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_number_anywhere_is_seen(bad, rng):
    X = rng.normal(size=(50, 7)).astype(np.float32)
    assert all_finite(X)
    X[31, 4] = bad
    assert not all_finite(X)


def test_a_sum_that_overflows_is_still_finite():
    assert all_finite(np.full((10, 10), 3e38, np.float32))


def test_opposite_infinities_do_not_cancel():
    assert not all_finite(np.array([np.inf, -np.inf]))


def test_a_matrix_that_fits_is_not_copied(rng):
    X = rng.normal(size=(3, 2)).astype(np.float32)
    assert as_matrix(X, 2, np.float32) is X


@pytest.mark.parametrize("given", [[[1, 2]], ((1.0, 2.0),), np.array([[True, False]]), np.array([[1, 2]], object)])
def test_lists_integers_booleans_and_objects_become_numbers(given):
    assert as_matrix(given, 2, np.float32).dtype == np.float32


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((7, 3)), r"X must be 2-D with 4 columns, got shape \(7, 3\)"),
        (np.ones(4), r"is it one row\? X\[np.newaxis\]"),
        (np.ones((2, 4, 1)), r"X.shape=\(2, 4, 1\)"),
        ([[1, 2, 3, "four"]], "X must hold numbers only"),
        ([[1, 2, 3], [1]], "X must hold numbers only"),
        (np.ones((1, 4), complex), "X must hold real numbers"),
        ([[1, 2, np.nan, 4]], r"X must be finite in float32, got nan"),
        ([[1, 2, 3, 1e300]], r"X\[0, 3\]=1e\+300"),
        ([[1, 2, 3, None]], r"X must be finite"),
        (np.array([["2024-01-01"] * 4], "M8[D]"), r"X must hold real numbers, got dtype datetime64\[D\]"),
        (np.array([[1] * 4], "m8[s]"), r"X must hold real numbers, got dtype timedelta64\[s\]"),
        (np.ma.masked_less([[1, 2, 3, 4]], 3), "X must have no masked cell, got 2 are masked"),
        (scipy.sparse.eye(4).tocsr(), r"X must be dense, such as X.toarray\(\), got a csr_matrix"),
    ],
)
def test_what_is_no_matrix_is_refused_with_the_reason(X, message):
    with pytest.raises(ValueError, match=message):
        as_matrix(X, 4, np.float32)


def test_an_array_in_which_nothing_is_masked_is_an_array():
    np.testing.assert_array_equal(as_matrix(np.ma.masked_less([[1, 2]], 0), 2, np.float32), [[1, 2]])


def test_a_vector_for_one_column_is_told_how_to_become_one():
    with pytest.raises(ValueError, match=r"did you mean X\[:, np.newaxis\]"):
        as_matrix(np.ones(5), 1, np.float32)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, 2.0], r"\(3,\), got shape \(2,\)"),
        ([1, -1, 1], "not negative"),
        ([1, np.nan, 1], "finite"),
        ([0, 0, 0], "not be zero in every row"),
        ([1e37, 1, 1], r"its largest number between 1e-30 and 1e\+30, got 1e\+37"),
        ([1e300, 1, 1], r"its largest number between .* however: it is 1e\+300"),
        ([1e-60, 0, 0], r"its largest number between .* however: it is 1e-60"),
        (["a", "b", "c"], "numbers only"),
        (np.ones(3, complex), "real numbers"),
        (np.ma.masked_less([1, 2, 3], 2), "sample_weight must have no masked cell"),
    ],
)
def test_weights_that_cannot_weigh_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        as_weights(weight, 3, np.float32)


def test_no_weights_stay_none():
    assert as_weights(None, 3, np.float32) is None


def test_require_names_argument_rule_and_value():
    require(True, "rate", "be > 0", 1)
    with pytest.raises(ValueError, match="rate must be > 0, got -1"):
        require(False, "rate", "be > 0", -1)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="loss must be one of {'a', 'b', 'got' 'c'"):
        look_up({"a": 1, "b": 2}, "c", "loss")


def test_a_missing_extra_says_what_to_run():
    with pytest.raises(ImportError, match=r"pip install 'chainrule\[plot\]'"):
        raise MissingExtraError("a figure", "plot")
