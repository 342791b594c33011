import builtins
import datetime
import decimal
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.data.tabular import COLUMNS, CategoryColumn, NumberColumn, TabularEncoder, as_plain, build, read_columns
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


def test_columns_of_a_plain_array_are_named_by_their_place():
    assert list(read_columns(np.eye(3))) == ["x0", "x1", "x2"]
    assert list(read_columns([[1, "a"], [2, "b"]])) == ["x0", "x1"]


def test_a_list_of_rows_keeps_numbers_and_words_apart():
    assert [type(c) for c in TabularEncoder().fit([[1, "a"], [2, "b"], [3, "b"]]).columns] == [
        NumberColumn,
        CategoryColumn,
    ]


def test_masked_cells_are_missing():
    X = np.ma.array([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]], mask=[[0, 0], [1, 0], [0, 0]])
    assert list(TabularEncoder().fit(X).get_feature_names_out()) == ["x0", "x0 is missing", "x1"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "it is a NoneType"),
        (np.zeros(3), "2-D"),
        (np.zeros((2, 2, 2)), "2-D"),
        ([], "one row at least"),
        ([[1, 2], [3]], "one length"),
        ([{"a": 1}, 2], "dicts only"),
        ({"a": [1, 2], "b": [1]}, "equally long, however: 'a' 2, 'b' 1"),
        ({"a": 3}, r"for one row pass \[row\]"),
        ({"a": np.zeros(3, complex)}, "'a' must hold numbers, text or booleans"),
        ({"a": [[1], [2, 3]]}, "'a' must hold simple values"),
        ({1: [1, 2], "1": [3, 4]}, "'1' is there twice"),
        (pl.LazyFrame({"a": [1]}), "cannot be read"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "cannot be read|there twice"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(table, message):
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
def test_a_table_of_nothing_cannot_be_learned_from(table):
    with pytest.raises(TableError, match="one row and one column"):
        TabularEncoder().fit(table)


# Numbers.


def test_numbers_are_centred_scaled_and_softly_clipped():
    values = np.array([0.0, 1.0, 2.0, 3.0, 100.0])
    z = (values - 2) / (3 - 1)
    np.testing.assert_allclose(column(values)[:, 0], z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-6)


def test_numbers_with_most_values_equal_are_scaled_by_their_whole_range():
    values = np.array([5.0] * 9 + [9.0])
    z = (values - 5) * 2 / 4
    np.testing.assert_allclose(column(values)[:, 0], z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-6)


def test_a_missing_number_is_the_median_and_is_pointed_out():
    np.testing.assert_array_equal(column([1.0, 2.0, None, 3.0, np.nan])[[2, 4]], [[0, 1], [0, 1]])


def test_a_number_missing_only_at_prediction_is_the_median():
    encoder = TabularEncoder().fit({"a": [1.0, 2.0, 4.0]})
    np.testing.assert_array_equal(encoder.transform({"a": [None, 2.0, ""]}), [[0], [0], [0]])


@pytest.mark.parametrize("word", ["NA", " nan ", "?", "-", "null", "N/A"])
def test_words_for_missing_are_understood_among_numbers(word):
    assert list(TabularEncoder().fit({"a": ["1", word, "2.5"]}).get_feature_names_out()) == ["a", "a is missing"]


@pytest.mark.parametrize(
    "values",
    [["1", "2", "10"], [decimal.Decimal(1), 2, 10.0], np.array([1, 2, 10], np.uint8), [b"1", b"2", b"10"]],
)
def test_whatever_reads_as_numbers_is_numbers(values):
    np.testing.assert_allclose(column(values), column([1, 2, 10]), rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.0, "n0"], "'a' must hold numbers, however row 3 holds 'n0'"),
        (["1", "1_000", "2"], "row 2 holds '1_000'"),
        ([1.0, np.inf, 2.0], "'a' must hold finite numbers, however row 2 holds inf"),
        ([1, 10**400, 2], "row 2 holds 1000"),
        (np.array(["2020-01-01"], "M8[ns]"), "dates or times"),
        ([datetime.date(2020, 1, 1)], r"row 1 holds datetime.date\(2020, 1, 1\)"),
    ],
)
def test_what_is_no_finite_number_is_refused_by_column_row_and_value(values, message):
    encoder = TabularEncoder().fit({"a": [1.0, 2.0, 4.0]})
    with pytest.raises(TableError, match=message):
        encoder.transform({"a": values})


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=30))
@settings(max_examples=150, deadline=None)
def test_finite_numbers_of_any_size_become_numbers_within_three(values):
    if len(set(values)) > 1:
        X = column(np.array(values))
        assert np.isfinite(X).all()
        assert np.abs(X).max() <= 3
        order = np.argsort(values, kind="stable")
        assert (np.diff(X[order, 0]) >= 0).all()


# Categories.


def test_two_levels_share_a_column_and_the_unknown_is_between_them():
    encoder = TabularEncoder().fit({"a": ["no", "yes", "no"]})
    assert list(encoder.get_feature_names_out()) == ["a=yes"]
    np.testing.assert_array_equal(
        encoder.transform({"a": ["yes", "no", None, "", "perhaps"]}).ravel(), [1, -1, 0, 0, 0]
    )


def test_three_levels_have_a_column_each_and_the_unknown_none():
    encoder = TabularEncoder().fit({"a": ["x", "z", "y", "z"]})
    assert list(encoder.get_feature_names_out()) == ["a=x", "a=y", "a=z"]
    X = encoder.transform({"a": ["y", "z", None, "w"]})
    np.testing.assert_array_equal(X, [[0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("values", [[True, False, True], np.array([True, False, True]), [True, False, None]])
def test_booleans_are_two_levels(values):
    assert column(values)[:2].tolist() == [[1], [-1]]


def test_declared_numbers_are_categories_whole_or_as_decimals():
    encoder = TabularEncoder(categories=["a"]).fit({"a": [1, 2, 3, 3]})
    np.testing.assert_array_equal(encoder.transform({"a": [3.0, np.nan, 1.0]}), [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(encoder.transform({"a": ["3"]}), [[0, 0, 1]])


def test_only_the_most_frequent_levels_are_kept_and_that_is_said():
    values = ["a"] * 5 + ["b"] * 4 + ["c"] * 2 + ["d"]
    encoder = TabularEncoder(max_levels=3).fit({"x": values})
    assert list(encoder.get_feature_names_out()) == ["x=a", "x=b", "x=c"]
    assert encoder.transform({"x": ["d"]}).tolist() == [[0, 0, 0]]
    assert encoder.notices == [
        "x: its 3 most frequent levels are told apart; the other 1, 8% of its values, count as unseen"
    ]


def test_a_constant_with_holes_tells_whether_it_is_there():
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
        ("a", np.arange(30).astype("M8[D]"), "dates"),
        ("a", [datetime.date(2020, 1, i + 1) for i in range(30)], "dates"),
    ],
)
def test_columns_that_say_nothing_are_left_out_by_name_with_the_reason(name, values, reason):
    encoder = TabularEncoder().fit({name: list(values) if isinstance(values, range) else values, "b": range_of(30)})
    assert [c.name for c in encoder.columns] == ["b"]
    assert reason in encoder.left_out[name]
    assert encoder.notices == [f"{name}: left out, {encoder.left_out[name]}"]
    assert encoder.transform({"b": [3]}).shape == (1, 1)


def test_a_quantity_whose_values_all_differ_is_no_identifier():
    assert TabularEncoder().fit({"year": range_of(30), "valid": range_of(30)}).left_out == {}


def test_when_no_column_is_left_that_is_an_error():
    with pytest.raises(TableError, match="no column is left to learn from: a: left out, it is constant; b: left out"):
        TabularEncoder().fit({"a": [1, 1], "b": [None, None]})


def test_order_does_not_matter_and_extra_columns_are_ignored():
    encoder = TabularEncoder().fit(TABLE)
    shuffled = {"new": [1, 2, 3, 4], **{name: TABLE[name] for name in reversed(TABLE)}}
    np.testing.assert_array_equal(encoder.transform(shuffled), encoder.transform(TABLE))


def test_a_missing_column_is_named_with_the_nearest_there_is():
    encoder = TabularEncoder().fit(TABLE)
    with pytest.raises(TableError, match=r"no column 'age'; did you mean 'Agee'\?"):
        encoder.transform({"Agee": [1], "sex": ["f"], "city": ["Rome"]})


def test_the_callers_data_stay_as_they_are(rng):
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
    with pytest.raises(ValueError, match="fitted first"):
        TabularEncoder().transform(TABLE)


def test_the_matrix_is_float32_with_a_name_a_column():
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


# State.


def test_an_encoder_goes_through_json_and_back():
    encoder = TabularEncoder(categories=["city"]).fit(TABLE | {"nothing": [None] * 4})
    twin = TabularEncoder.from_state(json.loads(json.dumps(encoder.state(), allow_nan=False)))
    np.testing.assert_array_equal(twin.transform(TABLE), encoder.transform(TABLE))
    assert twin.state() == encoder.state()


@pytest.mark.parametrize(
    "state",
    [
        {"kind": "number", "name": "a", "centre": float("inf"), "scale": 1.0, "indicator": False},
        {"kind": "number", "name": "a", "centre": 0.0, "scale": 0.0, "indicator": False},
        {"kind": "number", "name": "a", "centre": 0.0, "scale": 1.0, "indicator": 1},
        {"kind": "number", "name": 3, "centre": 0.0, "scale": 1.0, "indicator": False},
        {"kind": "number", "name": "a", "centre": "0", "scale": 1.0, "indicator": False},
        {"kind": "category", "name": "a", "levels": ["x", "x"]},
        {"kind": "category", "name": "a", "levels": [1, 2]},
        {"kind": "category", "name": "a", "levels": []},
        {"kind": "magic", "name": "a"},
    ],
)
def test_a_state_that_fit_cannot_make_is_refused(state):
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
def test_the_task_is_told_by_the_values(values, task):
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
def test_classes_come_back_as_they_were(values, dtype):
    known = read_columns({"y": values})["y"]
    target = fit_target("y", known, "classification")
    numbers = target.encode(known)
    back = target.decode(np.eye(2)[numbers])
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, known)
    assert target.shares == pytest.approx((1 / 3, 2 / 3)) or target.shares == pytest.approx((2 / 3, 1 / 3))


def test_numbers_come_back_in_their_unit():
    values = np.array([100.0, 300.0, 700.0])
    target = fit_target("y", values, "regression")
    z = target.encode(values)
    assert z.shape == (3, 1)
    assert z.mean() == pytest.approx(0)
    assert z.std() == pytest.approx(1)
    np.testing.assert_allclose(target.decode(z), values)


def test_missing_targets_are_passed_over():
    assert fit_target("y", np.array([1.5, np.nan, 3.5, 9.0])).mean == pytest.approx(14 / 3)
    assert fit_target("y", np.array(["a", None, "b"], object)).labels == ("a", "b")


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["a", "a"], None, "two classes at least, however: all it holds is 'a'"),
        ([None, None], None, "every cell is empty"),
        ([2.0, 2.0, 2.0], "regression", "must vary, however: it is 2 in every row"),
        (["a", "b", "c"], None, "several rows each"),
        (["a", "b"], "regression", "row 1 holds 'a'"),
        ([1.0, np.inf, 3.0], None, "finite numbers, however row 2 holds inf"),
        ([1e200, -1e200, 3.0], None, "squares"),
        ([1.0, 2.0], "clustering", "task must be one of classification, regression"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused_with_the_reason(values, task, message):
    with pytest.raises(ValueError, match=message):
        fit_target("y", read_columns({"y": values})["y"], task)


def test_a_class_that_training_has_not_seen_is_named_by_row():
    target = fit_target("y", np.array(["a", "b", "a"]))
    with pytest.raises(TableError, match="must be one of a, b, however row 2 holds 'c'"):
        target.encode(np.array(["a", "c"]))


@pytest.mark.parametrize(
    "target",
    [
        ClassTarget("y", "str", ("a", "b"), (0.5, 0.5)),
        ClassTarget("y", "bool", (False, True), (0.25, 0.75)),
        NumberTarget("y", 3.5, 0.25),
    ],
)
def test_a_target_goes_through_json_and_back(target):
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
        NumberTarget("y", float("nan"), 1.0),
        NumberTarget("y", 0.0, -1.0),
    ],
)
def test_a_target_that_fit_cannot_make_is_refused(target):
    with pytest.raises(ValueError, match="must"):
        target.check()
