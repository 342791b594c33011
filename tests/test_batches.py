import numpy as np
import pytest

from chainrule.training.batches import batches


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
def test_every_row_is_in_one_batch_with_its_target_and_weight(batch_size, shuffled):
    n = 10
    X = np.arange(2.0 * n).reshape(n, 2)
    y, weight = np.arange(n), np.arange(n) + 0.5
    seen = []
    rng = np.random.default_rng(0) if shuffled else None
    for X_batch, y_batch, weight_batch in batches(X, y, weight, batch_size, rng):
        assert len(X_batch) == len(y_batch) == len(weight_batch) <= batch_size
        np.testing.assert_array_equal(X_batch[:, 0], 2 * y_batch)
        np.testing.assert_array_equal(weight_batch, y_batch + 0.5)
        seen += y_batch.tolist()
    assert sorted(seen) == list(range(n))
    assert (seen == list(range(n))) is not shuffled


def test_all_batches_but_the_last_are_full():
    sizes = [len(y) for _, y, _ in batches(np.ones((10, 1)), np.ones(10), None, 4, np.random.default_rng(0))]
    assert sizes == [4, 4, 2]


def test_each_epoch_has_another_order():
    rng, y = np.random.default_rng(0), np.arange(20)
    first, second = ([*np.concatenate([b for _, b, _ in batches(np.ones((20, 1)), y, None, 6, rng)])] for _ in range(2))
    assert first != second


def test_no_weights_stay_none():
    assert all(weight is None for _, _, weight in batches(np.ones((4, 1)), np.ones(4), None, 2, None))


def test_a_memory_mapped_array_is_read_batch_by_batch(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype=np.float32, shape=(10, 2))
    X[...] = np.arange(20).reshape(10, 2)
    for X_batch, y_batch, _ in batches(X, np.arange(10), None, 4, np.random.default_rng(0)):
        np.testing.assert_array_equal(X_batch[:, 0], 2 * y_batch)
