"""Small tables are encoded and predicted by faster paths, with the same result."""

import threading

import numpy as np
import pandas as pd
import polars as pl
import pytest

from chainrule import TabularClassifier, TabularEncoder
from chainrule.data.columns import NumberColumn
from chainrule.data.layout import Layout
from chainrule.data.reading import FEW_ROWS, read_columns
from chainrule.errors import TableError
from chainrule.model import ensemble as of_ensemble
from chainrule.model.threads import ahead, in_parallel, one_blas_thread


def table(rng, n):
    """A table of every kind, with missing cells."""
    x = rng.normal(size=n)
    return {
        "small": rng.normal(size=n) * 1e-3,
        "huge": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n) * 1e300),
        "count": rng.integers(0, 4, n),
        "id32": rng.integers(0, 99, n).astype(np.int32),
        "flag": rng.random(n) < 0.5,
        "gaps": [None if cell > 1 else round(float(cell), 2) for cell in x],
        "text": [f"{cell:.1f}" for cell in x],
        "day": np.datetime64("2024-01-01") + rng.integers(0, 99, n).astype("m8[D]"),
        "color": rng.choice(["red", "blue", "green"], n).tolist(),
    }


@pytest.mark.parametrize("n_bins", [0, 8])
@pytest.mark.parametrize("n", [1, 7, FEW_ROWS, FEW_ROWS + 1])
def test_numeric_columns_together_have_the_encoding_of_each(n, n_bins, rng):
    cells = table(rng, 600)
    encoder = TabularEncoder(n_bins=n_bins).fit(cells)
    few = read_columns({name: values[:n] for name, values in cells.items()})
    X = encoder.transform(few)
    expected = np.zeros_like(X)
    for column, start, end in encoder.layout.places:
        Layout([column]).encode({column.name: few[column.name]}, expected[:, start:end])
    np.testing.assert_array_equal(X, expected)
    assert sum(isinstance(column, NumberColumn) for column in encoder.columns) >= 6


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("n_bins", [0, 8])
def test_a_matrix_has_the_encoding_of_its_columns(n_bins, dtype, rng):
    M = (rng.normal(size=(700, 5)) * 20).astype(dtype)
    encoder = TabularEncoder(n_bins=n_bins).fit(M)
    for n in (1, 150, 700):
        columns = {f"x{j}": M[:n, j] for j in range(5)}
        np.testing.assert_array_equal(encoder.transform(M[:n]), encoder.transform(columns))


@pytest.mark.parametrize("form", ["dict", "rows", "pandas", "matrix"])
def test_an_infinity_in_a_small_table_is_named_with_its_row(form, rng):
    cells = rng.normal(size=(20, 2))
    encoder = TabularEncoder().fit(cells)
    cells[6, 1] = np.inf
    columns = {"x0": cells[:, 0], "x1": cells[:, 1]}
    tables = {
        "dict": columns,
        "rows": [{"x0": a, "x1": b} for a, b in cells.tolist()],
        "pandas": pd.DataFrame(columns),
        "matrix": cells,
    }
    with pytest.raises(TableError, match="column 'x1', row 107: expected a finite number, got inf"):
        encoder.transform(tables[form], first_row=100)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_small_frame_has_the_columns_of_a_large_one(library, rng, monkeypatch):
    cells = table(rng, 40)
    cells |= {
        "took": (cells["day"] - cells["day"][0]).astype("m8[us]"),
        "other": rng.integers(0, 9, 40),
        "whole": [None, 2**60 + 1, *range(38)],
    }
    frame = pd.DataFrame(cells) if library == "pandas" else pl.DataFrame(cells)
    if library == "pandas":
        frame["nullable"] = pd.array([None, *range(39)], "Int64")
        frame["zoned"] = pd.date_range("2024-01-01", periods=40, tz="Europe/Berlin")
        frame["known"] = pd.Categorical(cells["color"])
        frame["object"] = pd.Series([None, 1, *"abc" * 12, "d", "e"], dtype=object)
    else:
        zoned = pl.col("day").cast(pl.Datetime("us", "Europe/Berlin"))
        clock = pl.col("day").cast(pl.Datetime("us")).dt.time()
        frame = frame.with_columns(zoned=zoned, clock=clock, known=pl.col("color").cast(pl.Categorical))
    frames = {"all": frame} | {name: frame[[name]] for name in ("small", "count", "gaps", "whole")}
    small = {key: read_columns(part) for key, part in frames.items()}
    monkeypatch.setattr("chainrule.data.reading.FEW_ROWS", 0)
    for key, part in frames.items():
        large = read_columns(part)
        assert list(small[key]) == list(large)
        for name in large:
            np.testing.assert_array_equal(small[key][name], large[name])
            assert small[key][name].dtype == large[name].dtype, name


NUMBERS = {"b": [1.5, np.nan, -2.0], "a": [0.25, 3.0, 7.0], "7": [0.0, 1e300, -1.0], "unused": [1.0, 2.0, 3.0]}
ROWS = [dict(zip(NUMBERS, row)) for row in zip(*NUMBERS.values())]
REORDERED = [{"unused": 1.0, **dict(reversed(row.items()))} for row in ROWS]


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(NUMBERS),
        pd.DataFrame(NUMBERS).rename(columns={"7": 7})[[7, "a", "b"]],
        pd.DataFrame(NUMBERS).assign(a=[0.25, 3, 7], whole=[1, 2, 3], text=["x", "y", None]),
        pl.DataFrame(NUMBERS).select("7", "unused", "b", "a"),
        ROWS,
        REORDERED,
        [ROWS[0], REORDERED[1], ROWS[2]],
        [ROWS[0], ROWS[1] | {"b": None}, ROWS[2] | {"unused": 2**70}],
        [{(int(name) if name == "7" else name): cell for name, cell in row.items()} for row in ROWS],
    ],
    ids=["pandas", "numbered", "mixed", "polars", "rows", "reordered", "both", "gaps", "numbered rows"],
)
def test_columns_are_found_by_name_in_tables_of_floats(table):
    encoder = TabularEncoder().fit(
        {name: [*cells, 4.0, 5.0, 9.0] for name, cells in NUMBERS.items() if name != "unused"}
    )
    expected = encoder.transform({name: np.array(cells) for name, cells in NUMBERS.items()})
    for other in (ROWS, table, REORDERED, table):
        np.testing.assert_array_equal(encoder.transform(other), expected)
    assert read_columns(table)["a"].tolist() == NUMBERS["a"]
    lacking = [{name: cell for name, cell in row.items() if name != "a"} for row in ROWS]
    with pytest.raises(TableError, match="column 'a' is missing"):
        encoder.transform(lacking)


def test_integers_beside_floats_stay_integers():
    assert read_columns([{"a": 1.5, "n": 3}])["n"].dtype == np.int64
    assert read_columns(pd.DataFrame({"a": [1.5], "n": [2**60 + 1]}))["n"].tolist() == [2**60 + 1]


def test_members_in_parallel_predict_what_they_predict_one_after_the_other(rng, monkeypatch, two_blas_threads):
    X = rng.normal(size=(200, 3))
    model = TabularClassifier(epochs=2, random_state=0).fit(X, X[:, 0] > 0)
    parallel = model.predict_proba(X)
    monkeypatch.setattr(of_ensemble, "_MIN_BLAS_WORK", np.inf)
    np.testing.assert_allclose(model.predict_proba(X), parallel, rtol=1e-12)


def test_the_results_of_threads_are_in_order_and_an_error_is_raised():
    assert in_parallel(lambda k: k * k, range(20), 3) == [k * k for k in range(20)]
    before = threading.active_count()

    def fail(k):
        raise ValueError(k)

    with pytest.raises(ValueError, match=r"^\d$"):
        in_parallel(fail, range(20), 3)
    assert threading.active_count() == before


def test_an_item_is_computed_ahead_by_a_thread_and_an_error_comes_in_its_place():
    computed = []

    def squares():
        for k in range(4):
            if k == 3:
                raise ValueError("no fourth")
            computed.append((k, threading.get_ident()))
            yield k * k

    before = threading.active_count()
    items, used = ahead(squares()), []
    with pytest.raises(ValueError, match="no fourth"):
        used.extend(items)
    assert used == [0, 1, 4]
    assert [k for k, _ in computed] == [0, 1, 2]
    assert threading.get_ident() not in dict(computed).values()
    assert list(ahead(iter("abc"))) == ["a", "b", "c"]
    assert threading.active_count() == before


def test_products_have_their_threads_again_after_prediction(two_blas_threads):
    with one_blas_thread as n_threads, one_blas_thread as nested:
        assert n_threads == 2
        assert nested == 1
    with one_blas_thread as again:
        assert again == n_threads
