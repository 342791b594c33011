import builtins
import datetime
import decimal
import json
import tracemalloc
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chainrule.data import layout, reading
from chainrule.data.cells import missing_rows
from chainrule.data.columns import COLUMNS, CategoryColumn, DateColumn, NumberColumn, as_plain, build
from chainrule.data.reading import read_columns
from chainrule.data.recognition import find_sentinels
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import TARGETS, ClassTarget, NumberTarget, fit_target, task_of
from chainrule.errors import MissingExtraError, TableError

TABLE = {"age": [30.0, 41.0, None, 25.0], "sex": ["f", "m", None, "f"], "city": ["Rome", "Oslo", "Oslo", "Bern"]}
RECORDS = [dict(zip(TABLE, row)) for row in zip(*TABLE.values())]
FORMS = {
    "dict of columns": lambda: TABLE,
    "list of dicts": lambda: RECORDS,
    "list of dicts with names left out": lambda: [{k: v for k, v in row.items() if v is not None} for row in RECORDS],
    "pandas": lambda: pd.DataFrame(TABLE),
    "polars": lambda: pl.DataFrame(TABLE),
    "pyarrow": lambda: pa.table(TABLE),
    "structured array": lambda: np.array(
        [(np.nan if r["age"] is None else r["age"], r["sex"], r["city"]) for r in RECORDS],
        [("age", "f8"), ("sex", "O"), ("city", "U9")],
    ),
    "pandas with nullable types": lambda: pd.DataFrame(TABLE).convert_dtypes(),
    "pandas categories": lambda: pd.DataFrame(TABLE).astype({"sex": "category", "city": "category"}),
    "polars categories": lambda: pl.DataFrame(TABLE).with_columns(pl.col("city").cast(pl.Categorical)),
}


def range_of(n):
    return list(range(n))


def column(values, **options):
    """Return what one column is encoded as."""
    return TabularEncoder(**options).fit_transform({"a": values})


# Reading.


@pytest.mark.parametrize("form", FORMS)
def test_the_same_table_in_any_form_is_encoded_alike(form):
    expected = TabularEncoder().fit_transform(TABLE)
    encoder = TabularEncoder().fit(FORMS[form]())
    np.testing.assert_array_equal(encoder.transform(FORMS[form]()), expected)
    np.testing.assert_array_equal(TabularEncoder().fit(TABLE).transform(FORMS[form]()), expected)


def test_columns_of_a_plain_array_are_named_by_their_index():
    assert list(read_columns(np.eye(3))) == ["x0", "x1", "x2"]
    assert list(read_columns([[1, "a"], [2, "b"]])) == ["x0", "x1"]


def test_a_list_of_rows_keeps_numbers_and_text_in_separate_columns():
    assert [type(c) for c in TabularEncoder().fit([[1, "a"], [2, "b"], [3, "b"]]).columns] == [
        NumberColumn,
        CategoryColumn,
    ]


@pytest.mark.parametrize("form", [scipy.sparse.csr_array, scipy.sparse.csc_matrix, scipy.sparse.coo_array])
def test_a_sparse_matrix_is_encoded_as_the_dense_one(form):
    X = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0], [5.0, 0.0]])
    np.testing.assert_array_equal(TabularEncoder().fit_transform(form(X)), TabularEncoder().fit_transform(X))


def test_a_sparse_matrix_too_large_to_be_dense_is_refused_before_conversion():
    with pytest.raises(TableError, match=r"at most 134,217,728 cells.* got 1,000,000 x 10,000"):
        read_columns(scipy.sparse.csr_array((10**6, 10**4)))


@pytest.mark.parametrize(
    "form",
    [
        lambda values: pd.DataFrame({"a": pd.Categorical(values)}),
        lambda values: {"a": pd.Categorical(values)},
        lambda values: {"a": pd.Series(values, dtype="category")},
        lambda values: pl.DataFrame({"a": [None if v is None else str(v) for v in values]}, {"a": pl.Categorical}),
    ],
)
def test_a_categorical_column_of_numbers_stays_categorical(form):
    encoder = TabularEncoder().fit(form([3, 1, None, 2]))
    assert list(encoder.get_feature_names_out()) == ["a=1", "a=2", "a=3"]
    expected = [[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0]]
    np.testing.assert_array_equal(encoder.transform(form([3, 1, None, 2])), expected)
    np.testing.assert_array_equal(encoder.transform({"a": [3.0, 1, None, "2"]}), expected)


@pytest.mark.parametrize("form", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_data_frame_is_read_column_by_column_and_only_where_it_is_used(form, monkeypatch):
    frame = form(TABLE | {"new": [[1], [2], [3], [4]]})
    encoder = TabularEncoder().fit(TABLE)
    np.testing.assert_array_equal(encoder.transform(frame), encoder.transform(TABLE))
    read, real = [], reading.Frame.__getitem__
    monkeypatch.setattr(reading.Frame, "__getitem__", lambda self, name: read.append(name) or real(self, name))
    encoder.transform(frame)
    assert read == list(TABLE)


def test_data_frames_whose_names_are_equal_as_strings_are_refused():
    with pytest.raises(TableError, match="unique column names when converted to strings, got 1, 1"):
        read_columns(pd.DataFrame([[1, 2]], columns=[1, "1"]))


def test_masked_cells_are_missing():
    X = np.ma.array([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]], mask=[[0, 0], [1, 0], [0, 0]])
    assert list(TabularEncoder().fit(X).get_feature_names_out()) == ["x0", "x0 is missing", "x1"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "got a NoneType"),
        (np.zeros(3), "2-D"),
        (np.zeros((2, 2, 2)), "2-D"),
        ([], "at least one row"),
        ([[1, 2], [3]], "equal length"),
        ([{"a": 1}, 2], "only dicts"),
        ({"a": [1, 2], "b": [1]}, "columns of equal length, got lengths 'a': 2, 'b': 1"),
        ({"a": 3}, r"Pass \[row\], a list of one dict, for a single row"),
        ({"a": np.zeros(3, complex)}, "'a' must contain numbers, text, booleans or dates, got dtype complex128"),
        ({"a": [[1], [2, 3]]}, r"a: left out \(lists or dicts\)"),
        ({1: [1, 2], "1": [3, 4]}, "unique column names, got '1' twice"),
        (pl.LazyFrame({"a": [1]}), "must be in memory"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "unique column names: .*'a'"),
    ],
)
def test_an_invalid_table_is_refused_with_the_reason(table, message):
    with pytest.raises(TableError, match=message):
        TabularEncoder().fit(table)


def test_a_data_frame_without_narwhals_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("narwhals"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match="pip install"):
        read_columns(pd.DataFrame(TABLE))


@pytest.mark.parametrize("table", [{"a": []}, np.zeros((0, 2)), np.zeros((3, 0)), {}])
def test_an_empty_table_cannot_be_fitted(table):
    with pytest.raises(TableError, match="at least one row and one column"):
        TabularEncoder().fit(table)


# Numbers.


def test_numbers_are_centered_scaled_and_smoothly_clipped():
    values = np.array([0.0, 1.0, 2.0, 3.0, 100.0])
    z = (values - 2) / (3 - 1)
    np.testing.assert_allclose(column(values)[:, 0], z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-6)


def test_numbers_that_are_mostly_equal_are_scaled_by_their_full_range():
    values = np.array([5.0] * 9 + [9.0])
    z = (values - 5) * 2 / 4
    np.testing.assert_allclose(column(values)[:, 0], z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-6)


def test_a_missing_number_is_encoded_as_the_median_with_an_indicator():
    np.testing.assert_array_equal(column([1.0, 2.0, None, 3.0, np.nan])[[2, 4]], [[0, 1], [0, 1]])


def test_a_number_missing_only_at_prediction_is_encoded_as_the_median():
    encoder = TabularEncoder().fit({"a": [1.0, 2.0, 4.0]})
    np.testing.assert_array_equal(encoder.transform({"a": [None, 2.0, ""]}), [[0], [0], [0]])


@pytest.mark.parametrize("word", ["NA", " nan ", "?", "-", "null", "N/A"])
def test_words_for_missing_values_are_recognized_among_numbers(word):
    assert list(TabularEncoder().fit({"a": ["1", word, "2.5"]}).get_feature_names_out()) == ["a", "a is missing"]


@pytest.mark.parametrize(
    "values",
    [["1", "2", "10"], [decimal.Decimal(1), 2, 10.0], np.array([1, 2, 10], np.uint8), [b"1", b"2", b"10"]],
)
def test_whatever_parses_as_numbers_is_numeric(values):
    np.testing.assert_allclose(column(values), column([1, 2, 10]), rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.0, "n0"], "column 'a', row 3: expected a finite number, got 'n0'"),
        (["1", "1_000", "2"], "row 2: expected a finite number, got '1_000'"),
        ([1.0, np.inf, 2.0], "column 'a', row 2: expected a finite number, got inf"),
        ([1, 10**400, 2], "row 2: expected a finite number, got 1000"),
        (np.array(["2020-01-01"], "M8[ns]"), "column 'a': expected numbers, got dates or times"),
        ([datetime.date(2020, 1, 1)], r"row 1: .*, got datetime.date\(2020, 1, 1\)"),
    ],
)
def test_a_cell_that_is_not_a_finite_number_is_refused_by_column_row_and_value(values, message):
    encoder = TabularEncoder().fit({"a": [1.0, 2.0, 4.0]})
    with pytest.raises(TableError, match=message):
        encoder.transform({"a": values})


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=30))
@settings(max_examples=150)
def test_finite_numbers_of_any_size_are_encoded_within_three(values):
    if len(set(values)) > 1 and not find_sentinels(*np.unique(values, return_counts=True))[0]:
        X = column(np.array(values))
        assert np.isfinite(X).all()
        assert np.abs(X).max() <= 3
        order = np.argsort(values, kind="stable")
        assert (np.diff(X[order, 0]) >= 0).all()


# Bins.


def bin_positions_by_the_formula(x, edges):
    return [[0 if v != v else min(1, max(0, (v - a) / (b - a))) for a, b in pairwise(edges)] for v in x]


def test_bins_rise_from_one_quantile_to_the_next():
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0, np.nan, 32.0, 64.0, 128.0, 256.0])
    encoder = TabularEncoder(n_bins=4).fit({"a": values, "b": ["x", "y"] * 5})
    assert list(encoder.get_feature_names_out()) == ["a", "a is missing", *(f"a bin {j}" for j in (1, 2, 3, 4)), "b=y"]
    new = np.array([*values, -5.0, 3.0, 1000.0])
    X = encoder.transform({"a": new, "b": ["x"] * 13})
    np.testing.assert_allclose(X[:, 2:6], bin_positions_by_the_formula(new, [1, 4, 16, 64, 256]), atol=1e-6)
    np.testing.assert_array_equal(X[:10, :2], column(values))


def test_equal_quantiles_are_merged_into_one_edge():
    encoder = TabularEncoder(n_bins=8).fit({"a": [0.0] * 90 + [1.0] * 8 + [5.0, 9.0]})
    assert encoder.columns[0].edges == (0.0, 9.0)
    np.testing.assert_allclose(encoder.transform({"a": [4.5, None]})[:, 1], [0.5, 0])


def test_there_are_no_bins_by_default():
    assert TabularEncoder().fit({"a": range_of(30)}).n_features == 1


@pytest.mark.parametrize("n_bins", [-1, 2.5, None])
def test_n_bins_must_be_an_integer(n_bins):
    with pytest.raises(ValueError, match="n_bins must be an integer >= 0, got"):
        TabularEncoder(n_bins=n_bins)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=30), st.integers(1, 9))
@settings(max_examples=100)
def test_bins_of_finite_numbers_of_any_size_rise_from_0_to_1(values, n_bins):
    if len(set(values)) > 1:
        encoder = TabularEncoder(n_bins=n_bins).fit({"a": np.array(values)})
        assume(not encoder.columns[0].format.sentinels)
        X = encoder.transform({"a": np.sort(values)})[:, 1:]
        assert X.shape[1] <= n_bins
        assert (np.diff(X, axis=0) >= 0).all()
        if X.shape[1]:
            assert X.min() == 0
            assert X.max() == 1


# Dates.


WHEN = ["2023-12-31 00:00", "2024-03-01 06:00", "", "2024-07-15 18:30"]
DATE_FORMS = {
    "text": lambda: WHEN,
    "text with T and seconds": lambda: [text.replace(" ", "T") + ":00" * bool(text) for text in WHEN],
    "text with zones": lambda: ["2023-12-31T02:00+02:00", "2024-03-01T06:00Z", None, "2024-07-15 14:30-0400"],
    "datetimes": lambda: [datetime.datetime.fromisoformat(text) if text else None for text in WHEN],
    "datetime64": lambda: np.array(WHEN, "M8[ns]"),
    "datetime64 in minutes": lambda: np.array(WHEN, "M8[m]"),
    "datetime64 in a list": lambda: list(np.array(WHEN, "M8[ms]")),
    "timestamps": lambda: list(pd.to_datetime(WHEN)),
    "pandas": lambda: pd.Series(pd.to_datetime(WHEN)),
    "pandas in another zone": lambda: pd.Series(pd.to_datetime(WHEN)).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
}


@pytest.mark.parametrize("form", DATE_FORMS)
@pytest.mark.parametrize("table", [dict, pd.DataFrame], ids=["dict", "frame"])
def test_dates_in_any_form_are_encoded_alike(form, table):
    expected = column(np.array(WHEN, "M8[us]"))
    given = table({"a": DATE_FORMS[form]()})
    np.testing.assert_array_equal(TabularEncoder().fit_transform(given), expected)


@pytest.mark.parametrize("frame", [pl.DataFrame, pa.table])
def test_date_columns_of_data_frames_are_dates(frame):
    days = [datetime.date(2024, 3, 1), None, datetime.date(2025, 6, 12)]
    moments = [
        datetime.datetime(2024, 3, 1, 5, tzinfo=datetime.UTC),
        None,
        datetime.datetime(2025, 6, 12, 7, tzinfo=datetime.UTC),
    ]
    encoder = TabularEncoder().fit(frame({"day": days, "moment": moments}))
    twin = TabularEncoder().fit({"day": days, "moment": moments})
    assert encoder.columns == twin.columns
    assert [type(c) for c in twin.columns] == [DateColumn, DateColumn]


def test_a_period_is_the_date_of_its_start():
    months = pd.period_range("2023-11", periods=5, freq="M")
    encoder = TabularEncoder().fit(pd.DataFrame({"when": months}))
    assert isinstance(encoder.columns[0], DateColumn)
    as_dates = pd.DataFrame({"when": [*months.to_timestamp()[:4], pd.NaT]})
    as_periods = pd.DataFrame({"when": pd.PeriodIndex([*months[:4], pd.NaT], freq="M")})
    np.testing.assert_array_equal(encoder.transform(as_periods), encoder.transform(as_dates))


def test_a_date_is_elapsed_days_the_year_and_points_on_circles():
    encoder = TabularEncoder().fit(
        {"a": ["2023-01-02", "2024-04-02 06:00", None, "2024-07-06 12:00", "2026-10-08 18:00"]}
    )
    names = [
        "a days",
        "a year",
        *(f"a {part} {wave}" for part in ("month", "weekday", "hour") for wave in ("sin", "cos")),
    ]
    assert list(encoder.get_feature_names_out()) == [*names, "a is missing"]
    assert set(encoder.sources) == {"a"}
    X = encoder.transform({"a": ["2024-04-02 06:00", None]})
    tuesday = 2 * np.pi / 7
    np.testing.assert_allclose(X[0, 2:], [1, 0, np.sin(tuesday), np.cos(tuesday), 1, 0, 0], atol=1e-6)
    assert X[1].tolist() == [0] * 8 + [1]
    days = np.array(["2023-01-02", "2024-04-02T06", "2024-07-06T12", "2026-10-08T18"], "M8[h]").astype(float) / 24
    np.testing.assert_allclose(X[0, 0], column(days)[1, 0], rtol=1e-5)
    np.testing.assert_allclose(X[0, 1], column([2023, 2024, 2024, 2026])[1, 0], rtol=1e-5)


def test_date_parts_that_do_not_vary_are_left_out():
    march = [f"2024-03-{day:02}" for day in range(1, 31)]
    assert list(TabularEncoder().fit({"a": march}).get_feature_names_out()) == [
        "a days",
        "a weekday sin",
        "a weekday cos",
    ]
    assert column(["2024-03-01", None] * 3).ravel().tolist() == [0, 1] * 3


def test_days_before_1970_and_leap_days_are_counted():
    dates = np.array(["1969-12-31T23:00", "1900-02-28T12:00", "2000-02-29T00:00", "1600-07-01T03:00"], "M8[us]")
    hours, weekdays = [], []
    for date in dates.astype(object):
        hours.append(date.hour), weekdays.append(date.weekday())
    X = column(dates)
    angle = np.arctan2(X[:, 6], X[:, 7]) % (2 * np.pi)
    np.testing.assert_allclose(angle * 24 / (2 * np.pi), hours, atol=1e-4)
    angle = np.arctan2(X[:, 4], X[:, 5]) % (2 * np.pi)
    np.testing.assert_allclose(angle * 7 / (2 * np.pi), weekdays, atol=1e-4)


@pytest.mark.parametrize(
    ("values", "row", "value"),
    [
        (["2024-01-01", "soon"], 2, "'soon'"),
        (["2024-13-01"], 1, "'2024-13-01'"),
        (["20240101"], 1, "'20240101'"),
        ([None, 5.5], 2, "5.5"),
        ([np.nan, True], 2, "True"),
        (np.array([np.nan, 3.0]), 2, "3.0"),
        ([datetime.time(3)], 1, "datetime.time"),
        (["2024-01-01"] * 20_000 + ["x"], 20_001, "'x'"),
    ],
)
def test_a_cell_that_is_not_a_date_is_refused_by_column_row_and_value(values, row, value):
    encoder = TabularEncoder().fit({"a": ["2024-01-01", "2024-02-02"]})
    with pytest.raises(TableError, match=f"column 'a', row {row}: expected a date such as 2024-03-01, got {value}"):
        encoder.transform({"a": values})


def test_dates_too_far_for_microseconds_are_refused():
    with pytest.raises(TableError, match="column 'a', row 2: expected a date within 100,000 years of 1970, got 318"):
        TabularEncoder().fit({"a": np.array([0, 10**13], "M8[s]")})


def test_dates_cannot_be_declared_categories():
    with pytest.raises(TableError, match="categories must not name columns of dates or times, got 'a'"):
        TabularEncoder(categories=["a"]).fit({"a": np.array(["2024-01-01"], "M8[D]")})


def test_text_in_other_formats_is_not_a_date():
    assert isinstance(TabularEncoder().fit({"a": ["01/03/2024", "02/03/2024"]}).columns[0], CategoryColumn)
    assert isinstance(TabularEncoder().fit({"a": ["2024-03-01", "2024-03-02", "later"]}).columns[0], CategoryColumn)


def test_missing_dates_are_recognized_in_any_unit():
    for unit in ("D", "ns", "us"):
        assert missing_rows("a", np.array(["2024-01-01", "NaT"], f"M8[{unit}]")).tolist() == [False, True]


@given(st.lists(st.datetimes() | st.none(), min_size=3, max_size=20))
@settings(max_examples=60)
def test_any_dates_are_encoded_within_three_and_grow_with_time(values):
    if len({value for value in values if value}) > 1:
        X = column(values)
        assert np.isfinite(X).all()
        assert np.abs(X).max() <= 3
        known = [i for i, value in enumerate(values) if value]
        order = sorted(known, key=lambda i: values[i])
        assert (np.diff(X[order, 0]) >= 0).all()


# Many columns with a common range.


def pixels(rng, n=50, d=70):
    X = rng.integers(0, 256, (n, d))
    X[0], X[1] = 0, 255
    X[:, :3] = 0
    X[2, 3] = 9
    X[:2, 3] = 0
    return X


def test_pixels_share_one_mean_and_standard_deviation(rng):
    X = pixels(rng)
    encoder = TabularEncoder(n_bins=8).fit(X)
    z = (X[:, 3:] - X[:, 3:].mean()) / X[:, 3:].std()
    np.testing.assert_allclose(encoder.transform(X), z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-5)
    assert encoder.notices == [
        "x3, x4, x5, x6, x7, x8, x9, x10, ... (67 in total): scaled with one common mean and standard deviation, "
        "because they have the same range",
        "x0, x1, x2: left out (constant)",
    ]


def test_columns_that_are_not_pixels_are_scaled_separately(rng):
    X = pixels(rng)
    table = {f"p{j}": X[:, j] for j in range(70)} | {"price": np.linspace(-5, 1e6, 50), "kind": ["a", "b"] * 25}
    table["gaps"] = np.where(X[:, 5] > 9, X[:, 5], np.nan)
    table["code"] = X[:, 9]
    encoder = TabularEncoder(categories=["code"]).fit(table)
    columns = {c.name: c for c in encoder.columns}
    assert columns["price"] == TabularEncoder().fit({"price": table["price"]}).columns[0]
    assert columns["gaps"] == TabularEncoder().fit({"gaps": table["gaps"]}).columns[0]
    assert columns["code"].kind == columns["kind"].kind == "category"
    assert columns["p3"].scale == columns["p9"].scale


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: rng.normal(size=(50, 70)),
        lambda rng: rng.integers(0, 2, (50, 70)),
        lambda rng: pixels(rng) * np.arange(1, 71),
        lambda rng: np.maximum(pixels(rng), np.arange(70)),
        lambda rng: pixels(rng, d=63),
        lambda rng: np.where(rng.random((50, 70)) < 0.1, np.nan, pixels(rng)),
    ],
    ids=["many ranges", "two values", "many maxima", "many minima", "few columns", "missing values"],
)
def test_other_columns_are_scaled_one_by_one(make, rng):
    X = make(rng)
    encoder = TabularEncoder().fit(X)
    assert (
        encoder.columns[9]
        == TabularEncoder().fit({encoder.columns[9].name: X[:, int(encoder.columns[9].name[1:])]}).columns[0]
    )
    assert not any("common mean" in notice for notice in encoder.notices)


# Categories.


def test_two_categories_share_a_column_and_an_unknown_one_is_between_them():
    encoder = TabularEncoder().fit({"a": ["no", "yes", "no"]})
    assert list(encoder.get_feature_names_out()) == ["a=yes"]
    np.testing.assert_array_equal(
        encoder.transform({"a": ["yes", "no", None, "", "perhaps"]}).ravel(), [1, -1, 0, 0, 0]
    )


def test_three_categories_have_a_column_each_and_an_unknown_one_none():
    encoder = TabularEncoder().fit({"a": ["x", "z", "y", "z"]})
    assert list(encoder.get_feature_names_out()) == ["a=x", "a=y", "a=z"]
    X = encoder.transform({"a": ["y", "z", None, "w"]})
    np.testing.assert_array_equal(X, [[0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("values", [[True, False, True], np.array([True, False, True]), [True, False, None]])
def test_booleans_are_two_categories(values):
    assert column(values)[:2].tolist() == [[1], [-1]]


def test_declared_numbers_are_categories_as_integers_or_floats():
    encoder = TabularEncoder(categories=["a"]).fit({"a": [1, 2, 3, 3]})
    np.testing.assert_array_equal(encoder.transform({"a": [3.0, np.nan, 1.0]}), [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(encoder.transform({"a": ["3"]}), [[0, 0, 1]])


@pytest.mark.parametrize(
    ("categories", "cells", "places"),
    [
        (["1", "2", "3"], ["1.0", "02", "+3", 2.0, "1e0", "4"], [0, 1, 2, 1, None, None]),
        (["01234", "56789", "A1"], [1234, "1234.0", "A1"], [0, 0, 2]),
        (["01", "1", "2"], ["01", "1", 1, "1.0", "002"], [0, 1, 1, None, 2]),
        (["false", "maybe", "true"], [True, "TRUE", np.bool_(False), "maybe", 1], [2, 2, 0, 1, None]),
        (["1234567890123456", "x", "y"], ["1234567890123457", "1234567890123456"], [None, 0]),
    ],
)
def test_a_category_is_found_in_every_spelling_of_files_and_types(categories, cells, places):
    encoder = TabularEncoder(categories=["a"]).fit({"a": categories})
    expected = np.array([[place == k for k in range(3)] for place in places])
    np.testing.assert_array_equal(encoder.transform([{"a": cell} for cell in cells]), expected)
    # A row is encoded the same alone and among others.
    for cell, row in zip(cells, expected):
        np.testing.assert_array_equal(encoder.transform([{"a": cell}]), [row])
    target = ClassTarget("a", "str", tuple(categories), (1 / 3, 1 / 3, 1 / 3))
    known = [cell for cell, place in zip(cells, places) if place is not None]
    encoded = target.encode(np.array(known, object)).tolist()
    assert encoded == [place for place in places if place is not None]


def test_equal_cells_of_different_types_are_different_categories():
    encoder = TabularEncoder().fit({"a": np.array(["True", "1", "1.50", "True"], object)})
    cells = [True, 1, 1.0, decimal.Decimal("1.50"), 1.5]
    together = encoder.transform({"a": np.array(cells, object)})
    assert encoder.columns[0].categories == ("1", "1.50", "True")
    np.testing.assert_array_equal(together, np.eye(3)[[2, 0, 0, 1, 1]])
    np.testing.assert_array_equal(together, encoder.transform({"a": np.array(cells[::-1], object)})[::-1])


def test_only_the_most_frequent_categories_are_kept_with_a_notice():
    values = ["a"] * 5 + ["b"] * 4 + ["c"] * 2 + ["d"]
    encoder = TabularEncoder(max_categories=3).fit({"x": values})
    assert list(encoder.get_feature_names_out()) == ["x=a", "x=b", "x=c"]
    assert encoder.transform({"x": ["d"]}).tolist() == [[0, 0, 0]]
    assert encoder.notices == [
        "x: kept the 3 most frequent categories; the other 1 (8% of values) are encoded as unknown"
    ]


def test_a_column_of_thousands_of_categories_stays_narrow(rng):
    tails = np.array([f"N{i:05}" for i in range(4000)], object)[rng.integers(0, 4000, 30_000)]
    encoder = TabularEncoder().fit({"tail": tails})
    assert encoder.n_features == 50
    assert "kept the 50 most frequent categories; the other" in encoder.notices[0]
    assert "look like" not in encoder.notices[0]
    assert encoder.transform({"tail": tails}).sum(axis=1).max() == 1


def test_a_column_of_many_categories_becomes_their_indices(rng):
    shops = [f"shop {i}" for i in range(7) for _ in range(3)]
    encoder = TabularEncoder(max_categories=6, max_indexed=100)
    X = encoder.fit_transform({"x": rng.normal(size=24), "shop": [*shops, "rare", "rare", None]})
    assert encoder.get_feature_names_out().tolist() == ["x", "shop"]
    assert X[:, 1].tolist() == [k for k in range(1, 8) for _ in range(3)] + [0, 0, 0]
    assert (encoder.numbers, encoder.indices) == ([0], {1: 8})
    assert encoder.notices == [
        "shop: kept the 7 most frequent categories; the other 1 (9% of values) are encoded as unknown"
    ]
    again = TabularEncoder.from_state(json.loads(json.dumps(encoder.state())))
    assert again.transform({"x": [0] * 3, "shop": ["shop 6", "new", None]})[:, 1].tolist() == [7, 0, 0]
    assert again.state() == encoder.state()


@pytest.mark.parametrize(
    ("options", "width"),
    [({}, 6), ({"max_indexed": 6}, 6), ({"max_indexed": 7}, 1), ({"max_categories": 7, "max_indexed": 7}, 7)],
)
def test_columns_are_indexed_only_beyond_the_largest_number_of_categories(options, width):
    shops = [f"shop {i}" for i in range(7) for _ in range(3)]
    assert TabularEncoder(**{"max_categories": 6} | options).fit({"shop": shops}).n_features == width


def test_rare_categories_alone_are_not_indexed():
    codes = [f"shop {i % 40}" for i in range(80)]  # two cells of each
    assert TabularEncoder(max_categories=6, max_indexed=100).fit({"code": codes}).n_features == 6


def test_surprisingly_many_unknown_categories_are_reported_for_indices_too():
    encoder = TabularEncoder(max_categories=6, max_indexed=100).fit({"shop": [f"s{i % 20}" for i in range(100)]})
    with pytest.warns(UserWarning, match=r"column 'shop': 100% of the values \(30 of 30\) are unknown, such as 'S 1'"):
        encoder.transform({"shop": ["S 1"] * 30})


def test_categories_must_be_a_list_of_names():
    with pytest.raises(ValueError, match="categories must be a sequence of names"):
        TabularEncoder(categories="zip")


def test_a_constant_with_missing_cells_encodes_whether_it_is_known():
    np.testing.assert_array_equal(column(["pool", None, "pool", None]).ravel(), [1, 0, 1, 0])
    np.testing.assert_array_equal(column([7.0, None, 7.0, None]).ravel(), [1, 0, 1, 0])


# Columns left out, and tables at prediction.


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("a", [None] * 30, "empty"),
        ("a", [""] * 30, "empty"),
        ("a", [np.nan] * 30, "empty"),
        ("a", [3] * 30, "constant"),
        ("a", ["x"] * 30, "constant"),
        ("a", [True] * 30, "constant"),
        ("a", [f"person {i}" for i in range(30)], "identifier"),
        ("customer_id", range(30), "identifier"),
        ("userId", range(100, 130), "identifier"),
        ("a", np.full(30, "2024-03-01", "M8[D]"), "constant"),
        ("a", np.full(30, "NaT", "M8[ns]"), "empty"),
        ("a", [[i] for i in range(30)], "lists or dicts"),
        ("a", [None, {"b": 1}] * 15, "lists or dicts"),
        ("__index_level_0__", [0, 1, 2] * 10, "index of a DataFrame"),
        ("a", [datetime.time(i % 24) if i % 2 else i for i in range(30)], "mixed or unsupported date/time values"),
        ("a", [datetime.date(2020, 1, 1), "soon"] * 15, "mixed or unsupported date/time values"),
    ],
)
def test_columns_without_information_are_left_out_with_the_reason(name, values, reason):
    encoder = TabularEncoder().fit({name: list(values) if isinstance(values, range) else values, "b": range_of(30)})
    assert [c.name for c in encoder.columns] == ["b"]
    assert reason in encoder.left_out[name]
    assert encoder.notices == [f"{name}: left out ({encoder.left_out[name]})"]
    assert encoder.transform({"b": [3]}).shape == (1, 1)


def test_columns_left_out_for_one_reason_share_a_notice():
    table = {"a": [1] * 30, "b": range_of(30), "c": ["x"] * 30, "d": [None] * 30}
    assert TabularEncoder().fit(table).notices == ["a, c: left out (constant)", "d: left out (empty)"]


def test_a_quantity_whose_values_all_differ_is_not_an_identifier():
    assert TabularEncoder().fit({"year": range_of(30), "valid": range_of(30)}).left_out == {}


def test_that_no_column_is_left_is_an_error():
    with pytest.raises(TableError, match=r"no usable column is left: a: left out \(constant\); b: left out"):
        TabularEncoder().fit({"a": [1, 1], "b": [None, None]})


def test_order_does_not_matter_and_extra_columns_are_ignored():
    encoder = TabularEncoder().fit(TABLE)
    shuffled = {"new": [1, 2, 3, 4], **{name: TABLE[name] for name in reversed(TABLE)}}
    np.testing.assert_array_equal(encoder.transform(shuffled), encoder.transform(TABLE))


def test_notices_for_a_table_name_its_extra_columns():
    encoder = TabularEncoder().fit(TABLE | {"nothing": [None] * 4})
    assert encoder.notices_for(TABLE | {"nothing": [1] * 4}) == []
    assert encoder.notices_for(TABLE | {"new": [1] * 4}) == ["new: ignored, not in the training table"]
    assert encoder.notices_for(pd.DataFrame(TABLE | {"p": 1, "q": 2})) == ["p, q: ignored, not in the training table"]


def test_every_encoded_column_knows_its_source():
    encoder = TabularEncoder(n_bins=2).fit(TABLE | {"when": ["2024-01-01", "2024-05-05", None, ""]})
    assert len(encoder.sources) == encoder.n_features == len(encoder.get_feature_names_out())
    for each in encoder.columns:
        assert each.n_features == len(each.feature_names)
    for source, name in zip(encoder.sources, encoder.get_feature_names_out()):
        assert name.startswith(source)
    assert list(dict.fromkeys(encoder.sources)) == [c.name for c in encoder.columns]


def test_a_missing_column_is_named_with_the_closest_name():
    encoder = TabularEncoder().fit(TABLE)
    with pytest.raises(TableError, match=r"column 'age' is missing from the table\. Did you mean 'Agee'\?"):
        encoder.transform({"Agee": [1], "sex": ["f"], "city": ["Rome"]})


def test_the_callers_data_are_not_modified(rng):
    X = rng.normal(size=(20, 2))
    X[3, 1] = np.nan
    words = np.array(["a", None, "b", ""] * 5, object)
    X.setflags(write=False)
    before = X.copy(), words.copy()
    encoder = TabularEncoder().fit({"n": X[:, 1], "w": words})
    encoder.transform({"n": X[:, 1], "w": words})
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(words, before[1])


def test_no_rows_are_encoded_as_no_rows():
    assert TabularEncoder().fit(TABLE).transform({name: [] for name in TABLE}).shape == (0, 6)


def test_an_encoder_must_be_fitted_first():
    with pytest.raises(ValueError, match="must be fitted before transform"):
        TabularEncoder().transform(TABLE)


def test_the_matrix_is_float32_with_one_name_per_column():
    encoder = TabularEncoder().fit(TABLE)
    assert encoder.transform(TABLE).dtype == np.float32
    assert list(encoder.get_feature_names_out()) == [
        "age",
        "age is missing",
        "sex=m",
        "city=Bern",
        "city=Oslo",
        "city=Rome",
    ]
    assert encoder.n_features == 6


def test_rows_are_encoded_the_same_alone_in_blocks_and_together(rng):
    n = reading.BLOCK + 100
    table = {
        "number": rng.normal(size=n),
        "word": np.array(["a", "b", "c"], object)[rng.integers(0, 3, n)],
        "when": np.datetime64("2024-01-01", "ms") + rng.integers(0, 10**11, n),
    }
    encoder = TabularEncoder(n_bins=3).fit(table)
    X = encoder.transform(table)
    for row in (0, reading.BLOCK - 1, reading.BLOCK, n - 1):
        np.testing.assert_array_equal(encoder.transform({k: v[[row]] for k, v in table.items()})[0], X[row])
    np.testing.assert_array_equal(encoder.transform(pl.DataFrame(table)), X)


def test_a_matrix_is_encoded_as_its_columns_one_by_one(rng, monkeypatch):
    monkeypatch.setattr(layout, "BLOCK_CELLS", 20)  # a few rows at a time
    X = rng.normal(3, 2, (30, 4))
    X[::3, 1] = X[5, 3] = np.nan
    encoder = TabularEncoder().fit({f"x{j}": column for j, column in enumerate(X.T)})
    assert encoder.n_features == 6
    X[7, 0] = np.nan  # not missing in training
    one_by_one = encoder.transform({f"x{j}": column for j, column in enumerate(X.T)})
    np.testing.assert_array_equal(encoder.transform(X), one_by_one)
    np.testing.assert_array_equal(one_by_one[:, 2], np.isnan(X[:, 1]))
    X[11, 2] = -np.inf
    with pytest.raises(TableError, match="column 'x2', row 12: expected a finite number, got -inf"):
        encoder.transform(X)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_a_matrix_of_raw_columns_is_its_own_encoding(dtype, rng):
    X = (10 * rng.normal(size=(30, 3))).astype(dtype)
    encoder = TabularEncoder.raw(["x0", "x1", "x2"])
    encoded = encoder.transform(X)
    assert encoded.dtype == np.float32
    assert (encoded is X) == (dtype == np.float32)
    np.testing.assert_array_equal(encoded, X.astype(np.float32))
    np.testing.assert_array_equal(encoder.transform(np.column_stack([X, X])), encoded)
    swapped = TabularEncoder.raw(["x2", "x0"])
    np.testing.assert_array_equal(swapped.transform(X), encoded[:, [2, 0]])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "expected a number, got a missing value"),
        (1e39, r"expected a number in the range of float32, got 1e\+39"),
    ],
)
def test_a_value_that_a_raw_matrix_cannot_represent_is_named(value, message, rng):
    X = rng.normal(size=(30, 3))
    X[5, 1] = value
    with pytest.raises(TableError, match=f"column 'x1', row 6: {message}"):
        TabularEncoder.raw(["x0", "x1", "x2"]).transform(X)


@pytest.mark.parametrize("form", [dict, pl.DataFrame])
def test_encoding_takes_little_more_memory_than_its_result(form, rng):
    n = 60_000
    table = {f"x{j}": rng.normal(size=n) for j in range(15)}
    table |= {f"w{j}": np.array(["red", "green", "blue", "black"], object)[rng.integers(0, 4, n)] for j in range(5)}
    table = form(table)
    tracemalloc.start()
    X = TabularEncoder().fit_transform(table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * X.nbytes


CELLS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=False),
    st.integers(-(10**12), 10**12),
    st.sampled_from(["a", "b", "", "2024-03-01", "7", "NA"]),
    st.booleans(),
    st.none(),
    st.dates(),
)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12), st.integers(0, 3))
@settings(max_examples=150)
def test_any_table_is_refused_or_encoded_the_same_after_saving(rows, n_bins):
    table = {"a": [row[0] for row in rows], "b": [row[1] for row in rows], "c": range_of(len(rows))}
    before = {name: list(values) for name, values in table.items()}
    try:
        encoder = TabularEncoder(n_bins=n_bins).fit(table)
    except TableError:
        return
    X = encoder.transform(table)
    assert np.isfinite(X).all()
    assert X.shape == (len(rows), len(encoder.get_feature_names_out()))
    twin = TabularEncoder.from_state(json.loads(json.dumps(encoder.state(), allow_nan=False)))
    np.testing.assert_array_equal(twin.transform({name: table[name] for name in reversed(table)}), X)
    assert all(x is y for name in table for x, y in zip(table[name], before[name]))


# State.


def test_an_encoder_survives_a_json_round_trip():
    table = TABLE | {"when": ["2024-03-01", "2025-04-02 12:30", None, ""]}
    encoder = TabularEncoder(categories=["city"], n_bins=4).fit(table | {"nothing": [None] * 4})
    twin = TabularEncoder.from_state(json.loads(json.dumps(encoder.state(), allow_nan=False)))
    np.testing.assert_array_equal(twin.transform(table), encoder.transform(table))
    assert twin.state() == encoder.state()
    assert twin.columns == encoder.columns


def test_bins_are_optional_in_a_saved_state():
    encoder = TabularEncoder().fit(TABLE)
    state = json.loads(json.dumps(encoder.state()))
    del state["n_bins"]
    for column_state in state["columns"]:
        column_state.pop("edges", None)
    np.testing.assert_array_equal(TabularEncoder.from_state(state).transform(TABLE), encoder.transform(TABLE))


DATE = {"kind": "date", "name": "a", "parts": ["days"], "indicator": False} | {
    f"{part}_{field}": 1.0 for part in ("days", "year") for field in ("center", "scale")
}


def test_a_valid_date_state_is_accepted():
    assert build(COLUMNS, "kind", DATE) == DateColumn("a", ("days",), 1.0, 1.0, 1.0, 1.0, False)


@pytest.mark.parametrize(
    "state",
    [
        {"kind": "number", "name": "a", "center": float("inf"), "scale": 1.0, "indicator": False},
        {"kind": "number", "name": "a", "center": 0.0, "scale": 0.0, "indicator": False},
        {"kind": "number", "name": "a", "center": 0.0, "scale": 1.0, "indicator": 1},
        {"kind": "number", "name": 3, "center": 0.0, "scale": 1.0, "indicator": False},
        {"kind": "number", "name": "a", "center": "0", "scale": 1.0, "indicator": False},
        {"kind": "number", "name": "a", "center": 0.0, "scale": 1.0, "indicator": False, "edges": [1.0]},
        {"kind": "number", "name": "a", "center": 0.0, "scale": 1.0, "indicator": False, "edges": [1.0, 1.0]},
        {"kind": "number", "name": "a", "center": 0.0, "scale": 1.0, "indicator": False, "edges": [0.0, "1"]},
        DATE | {"parts": []},
        DATE | {"parts": ["days", "days"]},
        DATE | {"parts": ["minute"]},
        DATE | {"days_scale": 0.0},
        DATE | {"year_center": float("nan")},
        DATE | {"indicator": 1},
        {"kind": "category", "name": "a", "categories": ["x", ""]},
        {"kind": "category", "name": "a", "categories": ["x", "x"]},
        {"kind": "category", "name": "a", "categories": [1, 2]},
        {"kind": "category", "name": "a", "categories": []},
        {"kind": "magic", "name": "a"},
    ],
)
def test_an_invalid_column_state_is_refused(state):
    with pytest.raises(ValueError, match="must"):
        build(COLUMNS, "kind", state)


# Targets.


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b", "a"], "classification"),
        ([True, False], "classification"),
        ([0.5, 1.5, 0.5], "classification"),
        ([1, 2, 3] * 5, "classification"),
        (["1", "2", "3"] * 5, "classification"),
        ([1, 2, 3, 4], "regression"),
        ([1.5, 2.0, 3.0] * 5, "regression"),
        (range_of(11) * 9, "regression"),
        ([10.0, 20.5, 30.25], "regression"),
    ],
)
def test_the_task_is_inferred_from_the_values(values, task):
    known = read_columns({"y": values})["y"]
    assert task_of("y", known) == task
    assert fit_target("y", known).task == task


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["b", "a", "b"], "<U1"),
        ([True, False, True], "bool"),
        (np.array([3, 1, 3], np.int8), "int8"),
        (np.array([0.5, 1.5, 0.5]), "float64"),
        ([2, 1, 2], "int64"),
        (["é", "日本 語", "é"], "<U4"),
    ],
)
def test_classes_are_decoded_unchanged(values, dtype):
    known = read_columns({"y": values})["y"]
    target = fit_target("y", known, "classification")
    numbers = target.encode(known)
    back = target.decode(np.eye(2)[numbers])
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, known)
    assert target.frequencies == pytest.approx((1 / 3, 2 / 3)) or target.frequencies == pytest.approx((2 / 3, 1 / 3))


def test_numbers_are_decoded_in_their_unit():
    values = np.array([100.0, 300.0, 700.0])
    target = fit_target("y", values, "regression")
    z = target.encode(values)
    assert z.shape == (3, 1)
    assert z.mean() == pytest.approx(0)
    assert z.std() == pytest.approx(1)
    np.testing.assert_allclose(target.decode(z), values)


def test_missing_targets_are_ignored():
    assert fit_target("y", np.array([1.5, np.nan, 3.5, 9.0])).means == pytest.approx((14 / 3,))
    assert fit_target("y", np.array(["a", None, "b"], object)).labels == ("a", "b")


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["a", "a"], None, "at least two classes, got only 'a'"),
        ([None, None], None, "got only missing cells"),
        ([2.0, 2.0, 2.0], "regression", "must vary, got 2 in every row"),
        (["a", "b", "c"], None, "several rows per class, got 3 different values"),
        (["a", "b"], "regression", "row 1: expected a finite number, got 'a'"),
        ([1.0, np.inf, 3.0], None, "row 2: expected a finite number, got inf"),
        ([1e200, -1e200, 3.0], None, "target 'y' is too large or too small to standardize"),
        ([1.0, 2.0], "clustering", "task must be one of {'classification', 'regression'"),
    ],
)
def test_an_unsuitable_target_is_refused_with_the_reason(values, task, message):
    with pytest.raises(ValueError, match=message):
        fit_target("y", read_columns({"y": values})["y"], task)


def test_an_unknown_class_is_named_with_its_row():
    target = fit_target("y", np.array(["a", "b", "a"]))
    with pytest.raises(TableError, match="target 'y', row 2: expected one of a, b, got 'c'"):
        target.encode(np.array(["a", "c"]))


@pytest.mark.parametrize(
    "target",
    [
        ClassTarget("y", "str", ("a", "b"), (0.5, 0.5)),
        ClassTarget("y", "bool", (False, True), (0.25, 0.75)),
        NumberTarget("y", (3.5, 1.0), (0.25, 2.0)),
    ],
)
def test_a_target_survives_a_json_round_trip(target):
    state = json.loads(json.dumps({"task": target.task} | as_plain(target)))
    assert build(TARGETS, "task", state) == target


@pytest.mark.parametrize(
    "target",
    [
        ClassTarget("y", "object", ("a", "b"), (0.5, 0.5)),
        ClassTarget("y", "str", ("a", 1), (0.5, 0.5)),
        ClassTarget("y", "str", ("a",), (1.0,)),
        ClassTarget("y", "str", ("a", "b"), (0.5,)),
        ClassTarget("y", "int8", ("a", "b"), (0.5, 0.5)),
        NumberTarget("y", (float("nan"),), (1.0,)),
        NumberTarget("y", (0.0,), (-1.0,)),
        NumberTarget("y", (0.0,), (1.0, 1.0)),
    ],
)
def test_an_invalid_target_state_is_refused(target):
    with pytest.raises(ValueError, match="must"):
        target.check()


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("{0}/99/{1}", "look like dates; write them as 2024-12-31"),
        ("{0}.{0}.{1}.5", None),
        ("{1},{0:02d}.5", "look like numbers; write them as 1234.5"),
        ("A{1}{0}", None),
        ("{0}{1}-Z", None),
    ],
)
@pytest.mark.parametrize("repeats", [1, 2])
def test_text_that_looks_like_numbers_or_dates_is_noticed(cell, hint, repeats):
    cells = [cell.format(1 + i % 28, 2000 + i // 28) for i in range(120)]
    encoder = TabularEncoder().fit({"x": cells * repeats, "z": np.arange(120.0 * repeats) % 7})
    notices = " ".join(encoder.notices)
    assert ("look like" in notices) == (hint is not None)
    assert (hint or "") in notices
