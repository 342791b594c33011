"""Statistics of parts of a table: merged in any order, they fit the same encoder."""

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data import statistics
from chainrule.data.statistics import Numbers, merge, quantiles, summarize
from chainrule.data.tabular import TabularEncoder
from chainrule.errors import TableError

N = 3_000


def mixed_table(rng):
    """A table with columns of every kind, of few and of many different cells."""
    gaps = rng.random(N) < 0.1
    return {
        "user_id": rng.permutation(N) + 10**6,
        "repeated_id": np.tile(rng.permutation(N // 2), 2),
        "dose": np.where(gaps, np.nan, rng.lognormal(3, 2, N)),
        "rooms": rng.integers(0, 9, N),
        "depth": np.where(rng.random(N) < 0.2, -999.0, rng.uniform(0, 50, N)),
        "seen": np.array("2024-01-01", "M8[s]") + rng.integers(0, 10**8, N),
        "price": np.array([f"${number:,.2f}" for number in rng.lognormal(6, 1, N)], object),
        "city": np.where(gaps, None, rng.choice(["Bern", "Genf", "Chur"], N)).astype(object),
        "code": np.array([f"k{number}" for number in rng.zipf(1.5, N) % 5000], object),
        "flag": rng.random(N) < 0.5,
    }


def parts_of(table, cuts):
    bounds = [0, *sorted(cuts), N]
    return [
        summarize({name: values[start:stop] for name, values in table.items()}, first_row=start)
        for start, stop in pairwise(bounds)
    ]


@pytest.mark.parametrize("limit", [10_000, 200])
def test_parts_merged_in_any_order_fit_the_same_encoder(limit, monkeypatch):
    monkeypatch.setattr(statistics, "MAX_DISTINCT", limit)
    rng = np.random.default_rng(0)
    table = mixed_table(rng)
    if limit < N:  # of more different cells, the frequent ones are kept, which depends on the order
        del table["price"], table["code"]
    states = []
    for n_cuts in (1, 5, 20):
        parts = parts_of(table, rng.integers(0, N, n_cuts))
        rng.shuffle(parts)
        halves = reduce(merge, parts[: n_cuts // 2], parts[-1]), reduce(merge, parts[n_cuts // 2 : -1])
        states.append(TabularEncoder(max_indexed=100).fit_statistics(merge(*halves)).state())
    assert states[0] == states[1] == states[2]
    whole = TabularEncoder(max_indexed=100).fit(table)
    assert whole.left_out == states[0]["left_out"] == {"user_id": "identifier: all values differ"}
    if limit > N:
        assert states[0] == whole.state()
    else:
        X, merged = (encoder.transform(table) for encoder in (whole, TabularEncoder.from_state(states[0])))
        assert np.abs(X - merged).max() < 0.1
        assert np.abs(X - merged).mean() < 0.01


def test_frequent_cells_survive_among_many_rare_ones(monkeypatch):
    monkeypatch.setattr(statistics, "MAX_DISTINCT", 300)
    rng = np.random.default_rng(1)
    table = {"word": np.array([f"w{k}" for k in rng.zipf(1.3, N)], object)}
    merged = reduce(merge, parts_of(table, range(250, N, 250)))["word"]
    words, counts = np.unique(table["word"].astype(str), return_counts=True)
    assert merged.n_known == N
    assert len(merged.cells) == 300
    found = dict(zip(merged.cells, merged.counts.tolist()))
    for word, count in zip(words.tolist(), counts.tolist()):
        assert count - merged.error <= found.get(word, 0) <= count


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.lists(st.floats(0, 100), min_size=1))
def test_quantiles_of_counted_numbers_have_the_bits_of_numpy(numbers, percents):
    of = Numbers.of(np.array(numbers))
    np.testing.assert_array_equal(
        quantiles(of.values, of.counts, percents), np.percentile(np.array(numbers) + 0.0, percents)
    )


def test_many_numbers_are_grouped_within_the_error_that_is_stated(monkeypatch):
    monkeypatch.setattr(statistics, "MAX_DISTINCT", 500)
    x = np.random.default_rng(2).normal(10, 3, 4000)
    x[::3] = -2.5  # a frequent number stays one
    merged = reduce(merge, [summarize({"x": part}) for part in np.array_split(x, 9)])["x"]
    assert 0 < merged.error < 0.05
    assert len(merged.keys) <= 500
    assert (len(merged), merged.values[0], merged.largest) == (len(x), x.min(), x.max())
    n, mean, square = merged.moments
    np.testing.assert_allclose([n, mean, square / n], [len(x), x.mean(), x.var()])
    percents = np.arange(0, 101, 5)
    exact, estimated = np.percentile(x, percents), quantiles(merged.values, merged.counts, percents)
    assert (exact - estimated >= -1e-12).all()
    assert (exact - estimated <= merged.error * np.abs(exact) + 1e-12).all()


def test_parts_without_a_value_fit_any_type_but_others_must_agree():
    empty, text = ({"x": np.array(cells, object)} for cells in ([None, None], ["a", "b"]))
    numbers = {"x": np.array([np.nan, 1.5, 2.5])}
    merged = merge(summarize(empty), summarize(numbers))["x"]
    assert (len(merged), merged.n_missing) == (5, 3)
    with pytest.raises(TableError, match="'x' must be of one type"):
        merge(summarize(text), summarize(numbers))
    with pytest.raises(TableError, match="same columns, got 'x'"):
        merge(summarize(text), summarize({"y": text["x"]}))
