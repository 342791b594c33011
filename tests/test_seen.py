import numpy as np
import pytest

from chainrule.model.seen import MAX_HASHES, fraction_seen, sample_rows


@pytest.fixture(params=[50, 20_000, 150_000])
def rows(request, rng):
    return rng.normal(size=(request.param, 4)).astype(np.float32), rng.integers(0, 3, request.param)


def test_a_sample_recognizes_its_own_rows_in_any_order(rows, rng):
    X, y = rows
    sample = sample_rows(X, y)
    assert 0 < len(sample["hashes"]) <= MAX_HASHES
    order = rng.permutation(len(X))
    assert fraction_seen(sample, X[order], y[order]) == 1


def test_other_rows_and_other_targets_are_not_recognized(rows, rng):
    X, y = rows
    sample = sample_rows(X, y)
    assert fraction_seen(sample, rng.normal(size=X.shape), y) == 0
    assert fraction_seen(sample, X, y + 1) < 0.01


def test_the_fraction_of_known_rows_is_estimated(rows, rng):
    X, y = rows
    sample = sample_rows(X, y)
    mixed = np.vstack([X, rng.normal(size=(3 * len(X), 4))]).astype(np.float32)
    assert fraction_seen(sample, mixed, np.tile(y, 4)) == pytest.approx(0.25, abs=0.05)


def test_rounding_and_the_sign_of_zero_do_not_matter(rng):
    X, y = rng.integers(-3, 3, (200, 3)).astype(np.float32), np.zeros(200)
    sample = sample_rows(X, y)
    assert fraction_seen(sample, X * np.float32(1 + 1e-6), -y) == 1


def test_a_table_without_rows_is_not_seen():
    sample = sample_rows(np.ones((3, 2)), np.zeros(3))
    assert fraction_seen(sample, np.empty((0, 2)), np.empty(0)) == 0
