"""Tables as people write them: what a cell means, in training, at prediction and in exports."""

import datetime
import json
import re
import warnings
from copy import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
from typer.testing import CliRunner

from chainrule import Predictor, TabularClassifier, TabularEncoder, TabularRegressor, mlp
from chainrule.app import commands
from chainrule.data.columns import DateColumn, NumberColumn
from chainrule.data.recognition import find_sentinels, recognize
from chainrule.data.targets import NumberTarget, fit_target, read_target
from chainrule.errors import TableError
from chainrule.export import to_c, to_python
from chainrule.export.steps import infer, program_of
from chainrule.files.model import load
from chainrule.model.scale import is_heavy_tailed

QUICK = {"quality": "fast", "n_folds": 2, "epochs": 3, "random_state": 0}


def cells(*values):
    return np.array(values, object)


def fitted(values, **options):
    """Return the only column that an encoder is fitted to, and the encoder."""
    encoder = TabularEncoder(**options).fit({"a": values})
    return encoder.columns[0], encoder


def again(encoder):
    """Return the encoder after a journey through JSON."""
    return TabularEncoder.from_state(json.loads(json.dumps(encoder.state(), allow_nan=False)))


def run(*arguments):
    return CliRunner().invoke(commands.app, [*map(str, arguments)])


def fit_and_listen(model, X, y, **arguments):
    """Return the fitted model and the messages of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, **arguments)
    return model, [str(warning.message) for warning in caught]


# Words for missing values.

WORDS = ["#N/A", "unknown", "n.a.", "--", "<NA>", "NaT", "missing", "?", "-", "NULL", "N/A", "#DIV/0!", "not available"]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.95])
def test_words_among_numbers_are_missing_values(word, fraction, rng):
    numbers = rng.normal(size=200).round(3)
    missing = rng.random(200) < fraction
    text = np.where(missing, word, numbers.astype(str)).tolist()
    column, encoder = fitted(text)
    assert isinstance(column, NumberColumn)
    assert encoder.notices == [f"a: treated as missing: {word!r} ({missing.sum()})"]
    expected = TabularEncoder().fit_transform({"a": np.where(missing, np.nan, numbers)})
    np.testing.assert_allclose(encoder.transform({"a": text}), expected, rtol=1e-5, atol=1e-6)


def test_a_word_that_repeats_among_many_numbers_is_a_missing_value(rng):
    text = [*rng.normal(size=200).round(3).astype(str), *["refused"] * 60]
    column, encoder = fitted(text)
    assert column.format.words == ("refused",)
    assert encoder.notices == ["a: treated as missing: 'refused' (60)"]
    np.testing.assert_array_equal(again(encoder).transform({"a": ["refused", None]})[:, 1], [1, 1])
    with pytest.raises(TableError, match="row 1: expected a finite number, got 'denied'"):
        encoder.transform({"a": ["denied"]})


def test_a_word_among_few_numbers_is_a_category():
    assert fitted(["1", "2", "3", "studio"] * 20)[0].categories == ("1", "2", "3", "studio")


def test_a_mistyped_number_is_named():
    with pytest.raises(TableError, match=r"column 'a', row 41: expected a finite number, got 'o7'\. Correct this cell"):
        fitted([*map(str, range(40)), "o7"])


def test_text_of_which_half_are_numbers_says_so(rng):
    text = [*rng.normal(size=100).astype(str), *(f"street {name}" for name in rng.permutation(100) % 60)]
    assert "100 of 200 values are numbers, the others are not, such as" in " ".join(fitted(text)[1].notices)


@pytest.mark.parametrize("word", ["unknown", "NaT", "--", "never"])
def test_words_among_dates_are_missing_values(word):
    days = [str(np.datetime64("2024-01-01") + i) for i in range(40)]
    column, encoder = fitted([*days, word, word])
    assert isinstance(column, DateColumn)
    assert encoder.notices == [f"a: treated as missing: {word!r} (2)"]
    np.testing.assert_array_equal(again(encoder).transform({"a": [word, None]})[:, -1], [1, 1])


def test_a_mistyped_date_is_named():
    days = [str(np.datetime64("2024-01-01") + i) for i in range(40)]
    with pytest.raises(TableError, match="row 41: expected a date such as 2024-03-01, got '2024-13-45'"):
        fitted([*days, "2024-13-45"])


# Sentinels.


@pytest.mark.parametrize("sentinel", [-999.0, -9999.0, -99999.0])
@pytest.mark.parametrize("kind", ["floats", "integers", "text", "matrix"])
def test_sentinels_are_missing_values(sentinel, kind, rng):
    numbers = rng.integers(0, 90, 100).astype(float)
    numbers[::9] = sentinel
    table = {
        "floats": {"x0": numbers},
        "integers": {"x0": numbers.astype(int)},
        "text": {"x0": numbers.astype(int).astype(str).astype(object)},
        "matrix": numbers[:, np.newaxis],
    }[kind]
    encoder = TabularEncoder().fit(table)
    assert encoder.notices == [f"x0: treated as missing: {sentinel:.15g} (12)"]
    expected = TabularEncoder().fit_transform({"x0": np.where(numbers == sentinel, np.nan, numbers)})
    np.testing.assert_array_equal(encoder.transform(table), expected)
    np.testing.assert_array_equal(again(encoder).transform(table), expected)


@pytest.mark.parametrize(
    ("values", "sentinels", "suspects"),
    [
        ([-999.0, -999, 1, 2, 3, 4, 5], (-999.0,), []),
        ([-999.0, -9999, -999, -9999, 1, 2, 3, 4, 5], (-9999.0, -999.0), []),
        ([-999.0, -999, 0, 10, 2000, 30_000, 4], (-999.0,), []),
        ([-999.0, 1, 2, 3, 4, 5], (), []),  # once
        ([-999.0, -999, 0, 1], (), []),  # too few others
        ([-999.0, -999, -1500, 3000, 1, 2, 3], (), []),  # not the smallest
        ([-999.0, -999, -500, 2000, 1, 2, 3], (), []),  # no farther than the others from each other
        ([999.0, 999, 1, 2, 3, 4, 27], (), [999.0]),
        ([-9.0, -9, 1, 2, 3, 4, 5], (), [-9.0]),
        ([99.0, 99, 70, 20, 30, 40, 50], (), []),
    ],
)
def test_a_sentinel_is_one_by_evidence(values, sentinels, suspects):
    found = find_sentinels(*np.unique(values, return_counts=True))
    assert [tuple(found[0]), list(found[1])] == [sentinels, suspects]


def test_a_suspect_is_named_with_the_remedy():
    _, encoder = fitted([3.0, 5.0, 7.0, 8.0, 9.0, 999.0, 999.0])
    notice = "a: 999 (2 cells) is far from all other values; if it stands for a missing value, leave the cells empty"
    assert encoder.notices == [notice]


# Numbers with units and separators.

WRITTEN = {
    "$12.50": ("${:,.2f}", 1234.5, "$1,234.50"),
    "currency after": ("{:.2f} EUR", 12.5, "12.50 EUR"),
    "percent": ("{:.1f} %", 12.5, "12.5 %"),
    "unit": ("{:.1f} kg", 12.5, "12.5 kg"),
    "glued unit": ("{:.1f}km/h", 12.5, "12.5km/h"),
    "thousands": ("{:,.0f}", 1234567, "1,234,567"),
}


@pytest.mark.parametrize("form", WRITTEN)
def test_written_numbers_are_numbers(form, rng):
    pattern, value, text = WRITTEN[form]
    numbers = rng.uniform(0, 1e6, 100).round(1 if ".1f" in pattern else 0)
    column, encoder = fitted([pattern.format(number) for number in numbers])
    assert isinstance(column, NumberColumn)
    assert "a: read as numbers: " in encoder.notices[0]
    expected = TabularEncoder().fit({"a": numbers}).transform({"a": [float(value)]})
    np.testing.assert_allclose(again(encoder).transform({"a": [text]}), expected, rtol=1e-5)
    np.testing.assert_allclose(encoder.transform({"a": [float(value)]}), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["3,5", "12,25", "7"], [3.5, 12.25, 7]),
        (["1.234,56", "7,5", "12"], [1234.56, 7.5, 12]),
        (["1.234.567", "1.234", "12"], [1234567, 1234, 12]),
        (["1.234", "12,5", "7"], [1234, 12.5, 7]),
        (["1,234", "950", "12,500"], [1234, 950, 12500]),
        (["0,123", "1,234", "5,678"], [0.123, 1.234, 5.678]),
        (["1 234", "1\u00a0234\u00a0567", "7"], [1234, 1234567, 7]),
        (["1\u202f234,5", "7,5", "0,5"], [1234.5, 7.5, 0.5]),
        (["1'234.50", "7", "0.5"], [1234.5, 7, 0.5]),
        (["\u22125", "3", "\u22120.5"], [-5, 3, -0.5]),
        (["(1,234)", "17", "250"], [-1234, 17, 250]),
        (["-$5", "$3", "$0.5"], [-5, 3, 0.5]),
        (["€ 5", "3 €", "7"], [5, 3, 7]),
        (["12,34,567", "1,234", "5"], [1234567, 1234, 5]),
        (["5 °C", "-3 °C", "1e1 °C"], [5, -3, 10]),
    ],
)
def test_numbers_are_read_where_there_is_one_way_to_read_them(texts, numbers):
    reading = recognize("a", cells(*texts))
    assert reading.kind == "number"
    assert [reading.value_of(text) for text in texts] == numbers


@pytest.mark.parametrize(
    "texts",
    [
        ["5 kg", "300 g", "7 kg", "20 g"],
        ["$5", "7 €", "$3", "2 €"],
        ["12,5", "3.25", "7,5", "1.75"],
        ["1.2.3", "1.2.4", "2.0.1"],
        ["192.168.0.1", "10.0.0.1"],
        ["007A", "012A", "013A"],
        ["18-24", "25-34", "35-44"],
        ["A12", "A13", "B7"],
        ["02134", "00501", "10001"],
        ["555-1234", "555-9876"],
    ],
)
def test_codes_and_ambiguous_text_stay_text(texts):
    assert recognize("a", cells(*texts)).kind == "category"


def test_numbers_of_different_units_are_hinted_at():
    text = [f"{i} kg" if i % 2 else f"{i} g" for i in range(100)]
    assert (
        "50 of 100 values are numbers, the others are not, such as"
        in TabularEncoder().fit({"a": text, "b": range(100)}).left_out["a"]
    )


# Dates and times.


@pytest.mark.parametrize(
    ("texts", "dates"),
    [
        (["31.12.2024", "01.02.2024"], ["2024-12-31", "2024-02-01"]),
        (["01.02.2024", "03.04.2024"], ["2024-02-01", "2024-04-03"]),
        (["31/12/2024", "01/02/2024"], ["2024-12-31", "2024-02-01"]),
        (["12/31/2024", "01/02/2024"], ["2024-12-31", "2024-01-02"]),
        (["1/2/24", "31/12/24"], ["2024-02-01", "2024-12-31"]),
        (["1-Jan-24", "31-Dec-99"], ["2024-01-01", "1999-12-31"]),
        (["Jan 5, 2024", "December 31, 2023"], ["2024-01-05", "2023-12-31"]),
        (["2024/1/5", "2024/12/31"], ["2024-01-05", "2024-12-31"]),
        (["2024-03", "2024-12"], ["2024-03-01", "2024-12-01"]),
        (["20240131", "20231201", "20240229"], ["2024-01-31", "2023-12-01", "2024-02-29"]),
        (["14:30", "09:05", "23:59:30"], ["1970-01-01T14:30", "1970-01-01T09:05", "1970-01-01T23:59:30"]),
        (["2:30 PM", "12:05 am"], ["1970-01-01T14:30", "1970-01-01T00:05"]),
        (["31.12.2024 14:30", "01.02.2024 9:05"], ["2024-12-31T14:30", "2024-02-01T09:05"]),
    ],
)
def test_dates_are_read_where_there_is_one_way_to_read_them(texts, dates):
    reading = recognize("a", cells(*texts))
    assert reading.kind == "date"
    assert [reading.value_of(text) for text in texts] == [datetime.datetime.fromisoformat(date) for date in dates]


def test_dates_are_read_the_same_at_prediction():
    text = [f"{day:02}/{month:02}/2024" for month in range(1, 13) for day in (1, 9, 28)]
    column, encoder = fitted(text)
    assert column.format.order == "day, month, year"
    assert encoder.notices == ["a: read as dates: '01/01/2024' as 2024-01-01"]
    X = again(encoder).transform({"a": ["09/02/2024", "2024-02-09", datetime.date(2024, 2, 9)]})
    np.testing.assert_array_equal(X[0], X[1])
    np.testing.assert_array_equal(X[0], X[2])


def test_integers_like_20240131_are_dates():
    numbers = np.array([20240101 + day for day in range(30)])
    column, encoder = fitted(numbers)
    assert isinstance(column, DateColumn)
    np.testing.assert_array_equal(encoder.transform({"a": numbers}), encoder.transform({"a": numbers.astype(str)}))
    assert isinstance(fitted([20240101, 20249999, 20241231, 20240105])[0], NumberColumn)


def test_days_that_may_be_months_are_hinted_at():
    text = [f"{1 + i % 12:02}/{1 + i % 7:02}/2024" for i in range(200)]
    _, encoder = fitted(text)
    assert "the order of day and month is not clear; write the values as 2024-12-31" in encoder.notices[0]


def test_times_of_day_are_numbers_of_a_clock():
    text = [f"{hour:02}:{minute:02}" for hour in range(24) for minute in (0, 17, 42)]
    times = [datetime.time.fromisoformat(each) for each in text]
    column, encoder = fitted(text)
    assert column.parts == ("days", "hour")
    np.testing.assert_array_equal(encoder.transform({"a": times}), encoder.transform({"a": text}))
    np.testing.assert_array_equal(fitted(times)[1].transform({"a": text}), encoder.transform({"a": text}))


# The same value in another spelling.


@pytest.mark.parametrize(
    ("trained", "asked"),
    [  # spellings of the two categories
        ([True, False], [[1, 0], [1.0, 0.0], ["1", "0"], ["true", "FALSE"], ["yes", "no"], ["T", "0 "]]),
        (["yes", "no"], [[True, False], [1, 0], ["Yes", "NO"], ["y", "n"], [np.bool_(1), "0"]]),
        (["red", "blue"], [["RED", "Blue"], [" red", "blue\t"], ["ｒｅｄ", "blue"]]),
        (["new  york", "café"], [["New York", "cafe\u0301"], ["new york ", "CAFÉ"]]),
        (["1", "0"], [[True, False], [1, 0], ["1.0", "0.0"], ["yes", "no"]]),
    ],
)  # fmt: skip
def test_a_category_is_known_in_every_unambiguous_spelling(trained, asked):
    encoder = again(TabularEncoder(categories=["a"]).fit({"a": cells(*trained, *trained)}))
    expected = encoder.transform({"a": cells(*trained)})
    for spelled in asked:
        np.testing.assert_array_equal(encoder.transform({"a": cells(*spelled)}), expected, err_msg=repr(spelled))


def test_numbers_are_known_as_booleans():
    _, encoder = fitted([0, 1, 1, 0])
    expected = encoder.transform({"a": [1, 0]})
    for spelled in ([True, False], ["true", "False"], ["1.0", "0"]):
        np.testing.assert_array_equal(encoder.transform({"a": cells(*spelled)}), expected)


def test_case_tells_categories_apart_if_it_did_in_training():
    _, encoder = fitted(["red", "Red", "blue"] * 3)
    X = encoder.transform({"a": ["red", "Red", "RED", "BLUE"]})
    np.testing.assert_array_equal(X, [[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0]])
    assert encoder.notices == ["a: 'Red', 'red' are different categories; they differ only in spelling"]


def test_whitespace_does_not_make_a_category():
    assert fitted([" x", "x", "x ", "y", "   "])[0].categories == ("x", "y")


def test_mostly_unknown_categories_are_warned_of():
    _, encoder = fitted(["red", "blue", "green"] * 10)
    message = r"column 'a': 67% of the values \(4 of 6\) are unknown, such as 'rot'\. Spell them as in training: blue, "
    with pytest.warns(UserWarning, match=message):
        encoder.transform({"a": ["rot", "rot", "blau", "rot", "green", "red", None, ""]})
    for usual in (["red"] * 9, ["rot"] + ["red"] * 9, ["red", None, None, "", ""], ["rot"]):
        encoder.transform({"a": usual})


def test_rare_categories_are_no_surprise(rng):
    tails = np.array([f"N{i:05}" for i in range(4000)], object)[rng.integers(0, 4000, 8000)]
    _, encoder = fitted(tails)
    encoder.transform({"a": tails[:200]})
    assert encoder.columns[0].unknown > 0.9


def test_python_and_the_command_line_warn_of_unknown_categories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    color = ["red", "blue", "green"] * 20
    pl.DataFrame({"color": color, "y": [1.5, 2.5, 9.0] * 20, "x": range(60)}).write_csv("t.csv")
    pl.DataFrame({"color": ["rot", "blau"] * 10, "x": range(20)}).write_csv("new.csv")
    done = run("train", "t.csv", "--target", "y", "--task", "regression", "--folds", 2, "--epochs", 2, "-q")
    assert done.exit_code == 0, done.stderr
    with pytest.warns(UserWarning, match="column 'color': 100% of the values"):
        load(tmp_path / "t.chainrule").predict({"color": ["rot"] * 9, "x": [1] * 9})
    done = run("predict", "t.chainrule", "new.csv")
    assert done.exit_code == 0
    assert "note: column 'color': 100% of the values (20 of 20) are unknown, such as 'rot'" in done.stderr


# Exports read cells as the model does.


def test_exports_read_cells_as_the_model_does(tmp_path, rng):
    n = 120
    table = {
        "price": [f"${i * 37.5:,.2f}" if i % 7 else "call us" for i in range(n)],
        "age": np.where(np.arange(n) % 5 == 0, -999, np.arange(n) % 80),
        "when": [f"{1 + i % 28:02}.{1 + i % 12:02}.2024" for i in range(n)],
        "at": [f"{i % 24}:{i % 60:02}" for i in range(n)],
        "flag": cells(*[True, False] * (n // 2)),
    }
    encoder = TabularEncoder(n_bins=3).fit(table)
    assert [column.kind for column in encoder.columns] == ["number", "number", "date", "date", "category"]
    network = mlp(encoder.n_features, 8, 1, seed=0)
    predictor = Predictor(encoder, network, NumberTarget("y", (3.0,), (0.5,), "log"))
    rows = [
        {"price": "$1,234.50", "age": -999, "when": "03.04.2024", "at": "7:05", "flag": "yes"},
        {"price": "call us", "age": "41", "when": "2024-04-03", "at": None, "flag": 0},
        {"price": 12.5, "age": True, "when": "unknown", "at": datetime.time(3), "flag": "TRUE"},
    ]
    for pure in (False, True):
        to_python(predictor, tmp_path / "m.py", pure=pure)
        namespace = {"__name__": "m"}
        exec((tmp_path / "m.py").read_text(), namespace)
        np.testing.assert_allclose(namespace["predict"](rows), predictor.predict(rows), rtol=1e-6)
    assert to_c(predictor, tmp_path / "m.h").difference < 1e-5
    assert re.search(r"x\[1\] < \w*\(-999\.0\) .* : NAN\)", (tmp_path / "m.h").read_text())
    program = program_of(predictor)
    np.testing.assert_allclose(infer(program, encoder.transform(rows))[:, 0], predictor.predict(rows), rtol=1e-5)


def test_onnx_treats_sentinels_as_missing(tmp_path):
    pytest.importorskip("onnxruntime")
    from chainrule.export import to_onnx

    table = {"a": [-999.0, 7.0, 1.0, 2.0, 5.0, 3.0] * 4, "b": [1.0, 2.0, 3.0, -9999.0, 4.0, 6.0] * 4}
    table["c"] = [1.0, 2.0] * 12
    encoder = TabularEncoder(n_bins=2).fit(table)
    predictor = Predictor(encoder, mlp(encoder.n_features, 4, 1, seed=0), NumberTarget("y", (0.0,), (1.0,), "log"))
    assert to_onnx(predictor, tmp_path / "m.onnx").difference < 1e-5


# Targets.


@pytest.mark.parametrize(
    ("write", "word"),
    [
        (lambda y: f"{y:.2f}", "unknown"),
        (lambda y: f"${y:.2f}", "call us"),
        (lambda y: f"{1000 * y:,.0f}", "oops"),
        (lambda y: f"{y:.1f} %", "#N/A"),
        (lambda y: f"{y:.2f}".replace(".", ","), "?"),
    ],
)
def test_a_target_that_is_nearly_all_numbers_is_a_regression(write, word, tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    y = rng.uniform(1, 90, 300)
    text = [write(value) for value in y]
    text[41] = word
    pl.DataFrame({"x": y, "price": text}).write_csv("t.csv")
    done = run("train", "t.csv", "--target", "price", "--quality", "fast", "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["task"] == "regression"
    assert document["scores"]["r2"] > 0.9
    assert document["rows"]["training"] + document["rows"]["test"] == 299
    notices = " ".join(document["notices"])
    assert repr(word) in notices
    assert "1 row with a missing target is not used" in notices
    model, messages = fit_and_listen(TabularRegressor(**QUICK), {"x": y}, text)
    for said in messages, model.notices_:
        assert "y: 1 row with a missing target is not used" in said
        assert repr(word) in " ".join(said)
    assert np.flatnonzero(np.isnan(model.residuals_)).tolist() == [41]
    done = run("evaluate", "t.chainrule", "t.csv", "--json")
    assert json.loads(done.stdout)["rows"] == 299


def test_a_regressor_learns_written_numbers_as_numbers(rng):
    y = rng.uniform(1, 90, 100).round(2)
    model, messages = fit_and_listen(TabularRegressor(**QUICK), {"x": y}, [f"${value:,.2f}" for value in y])
    assert "y: read as numbers: '$" in messages[0]
    assert model.predictor_.target == TabularRegressor(**QUICK).fit({"x": y}, y).predictor_.target


@pytest.mark.parametrize(
    ("kind", "values", "cell"),
    [
        (TabularRegressor, np.arange(40.0), np.nan),
        (TabularRegressor, [1, 2] * 20, None),
        (TabularRegressor, [f"{k}.5" for k in range(40)], "oops"),
        (TabularRegressor, np.arange(80.0).reshape(40, 2), np.nan),
        (TabularClassifier, [0, 1] * 20, None),
        (TabularClassifier, np.array([0.0, 1.0] * 20), np.nan),
        (TabularClassifier, ["no", "yes"] * 20, np.nan),
        (TabularClassifier, np.array(["no", "yes"] * 20), " "),
        (TabularClassifier, pd.Series([0, 1] * 20, dtype="Int64"), pd.NA),
    ],
)
def test_rows_with_an_unknown_target_are_not_used(kind, values, cell, rng):
    """As if they were not in the table, nor their weights, groups and times."""
    X, y = rng.normal(size=(40, 2)), copy(values)
    y[7] = cell
    extra = {"sample_weight": rng.uniform(1, 2, 40), "groups": np.arange(40) % 9}
    kept = np.arange(40) != 7
    model, messages = fit_and_listen(kind(**QUICK), X, y, **extra)
    assert "y: 1 row with a missing target is not used" in messages
    expected = kind(**QUICK).fit(X[kept], np.asarray(values)[kept], **{name: of[kept] for name, of in extra.items()})
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    held_out = "residuals_" if kind is TabularRegressor else "out_of_fold_proba_"
    np.testing.assert_array_equal(getattr(model, held_out)[kept], getattr(expected, held_out))
    assert np.isnan(getattr(model, held_out)[7]).all()


def test_validation_rows_with_an_unknown_target_are_not_used():
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20.0)
    held = X[:3], [1.0, None, 3.0]
    with pytest.warns(UserWarning, match="validation_data: y: 1 row with a missing target is not used"):
        model = TabularRegressor(**QUICK, validation_data=held).fit(X, y)
    same = TabularRegressor(**QUICK, validation_data=(X[[0, 2]], [1.0, 3.0])).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), same.predict(X))


@pytest.mark.parametrize("kind", [TabularRegressor, TabularClassifier])
def test_a_target_must_be_known_in_two_rows(kind):
    with pytest.raises(ValueError, match="y must be known in at least 2 rows, got 1"):
        kind(**QUICK).fit({"x": [1.0, 2.0, 3.0]}, [None, 1.0, np.nan])


def test_numbers_among_which_most_are_words_are_no_target():
    with pytest.raises(ValueError, match=r"y must be numeric: could not convert .*'oops'"):
        TabularRegressor(**QUICK).fit({"x": range(40)}, ["1.5", "oops"] * 20)


@pytest.mark.parametrize("values", [["0", "1", "unknown"] * 9, ["1", "2", "x"] * 9, ["$1", "$2"] * 9])
def test_targets_of_few_numbers_are_classes(values):
    read, _ = read_target("y", cells(*values))
    assert fit_target("y", read).task == "classification"


def test_labels_that_differ_in_spelling_are_noticed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    y = ["Yes", "yes", "YES", "No"] * 15
    notice = "y: 'YES', 'Yes', 'yes' are different classes; they differ only in spelling"
    with pytest.warns(UserWarning, match=notice):
        TabularClassifier(**QUICK).fit({"x": np.arange(60)}, y)
    pl.DataFrame({"x": range(60), "y": y}).write_csv("t.csv")
    done = run("train", "t.csv", "--target", "y", "--folds", 2, "--epochs", 2, "--json")
    assert notice in json.loads(done.stdout)["notices"]


@pytest.mark.parametrize("wrong", [1e6, -1e6, 3e8])
def test_a_target_far_from_all_others_is_noticed(wrong, rng):
    y = rng.normal(10, 2, 200)
    y[17] = wrong
    with pytest.warns(
        UserWarning, match=rf"y: {wrong:.6g} in row 18 is more than 100 times as far".replace("+", r"\+")
    ):
        TabularRegressor(**QUICK).fit({"x": rng.normal(size=200)}, y)


def test_a_long_tail_is_not_noticed(rng):
    for sigma in (0.5, 1, 2):
        TabularRegressor(n_folds=2, epochs=1).fit({"x": rng.normal(size=200)}, rng.lognormal(0, sigma, 200))


def test_a_heavy_tailed_target_is_learned_as_its_logarithm(rng, tmp_path):
    x = rng.normal(size=(900, 2))
    y = np.exp(1.2 * x[:, 0] - x[:, 1] + rng.normal(0, 0.6, 900))
    model = TabularRegressor(n_folds=3, epochs=30, random_state=0).fit(x[:600], y[:600])
    target = model.predictor_.target
    assert target.transform == "log"
    assert "learned as its logarithm" in model.predictor_.metadata["notices"][0]
    intervals = model.predict_interval(x[600:])
    assert (intervals > 0).all()
    covered = (intervals[:, 0] <= y[600:]) & (y[600:] <= intervals[:, 1])
    assert 0.84 < covered.mean() < 0.97
    # The predictions are means, not medians, which are a sixth smaller.
    assert model.predict(x[600:]).mean() == pytest.approx(y[600:].mean(), rel=0.15)
    assert (model.predict_quantiles(x[600:], [0.5])[:, 0] < model.predict(x[600:])).all()
    model.save(tmp_path / "m.chainrule")
    twin = load(tmp_path / "m.chainrule")
    np.testing.assert_array_equal(twin.predict(x[600:]), model.predict(x[600:]))
    to_python(model.predictor_, tmp_path / "m.py")
    namespace = {"__name__": "m"}
    exec((tmp_path / "m.py").read_text(), namespace)
    rows = [{"x0": a, "x1": b} for a, b in x[600:620].tolist()]
    np.testing.assert_allclose(namespace["predict"](rows), model.predict(x[600:620]), rtol=1e-6)
    np.testing.assert_allclose(namespace["predict_interval"](rows), intervals[:20], rtol=1e-5)
    np.testing.assert_allclose(model.residuals_[:, 0].mean(), np.abs(y[600:] - model.predict(x[600:])).mean(), rtol=0.3)


def test_other_targets_keep_their_scale(rng):
    x = rng.normal(size=(300, 2))
    for y in (x[:, 0] + 5, np.exp(x[:, 0]) - 1, rng.uniform(1, 2, 300)):
        assert not is_heavy_tailed(y)
    assert is_heavy_tailed(rng.lognormal(0, 1, 300))
    additive = 1 + np.maximum(0, x[:, 0]) * 10 + rng.uniform(0, 3, 300)
    model = TabularRegressor(n_folds=2, epochs=20, random_state=0).fit(x, additive)
    assert model.predictor_.target.transform == "identity"


# Tables of all kinds.

SPELLINGS = {
    "currency": lambda x: [f"${value:,.2f}" for value in x],
    "percent": lambda x: [f"{value:.3f}%" for value in x],
    "decimal commas": lambda x: [f"{value:.3f}".replace(".", ",") for value in x],
    "unit": lambda x: [f"{value:.3f} kg" for value in x],
    "minus sign": lambda x: [f"{value:.3f}".replace("-", "\u2212") for value in x],
    "narrow blanks": lambda x: [f"{value * 1e4:,.0f}".replace(",", "\u202f") for value in x],
    "words": lambda x: [f"{value:.3f}" if i % 20 else "n.a." for i, value in enumerate(x)],
    "sentinel": lambda x: [round(float(value), 3) if i % 20 else -9999.0 for i, value in enumerate(x)],
    "categorical": lambda x: pd.Series([f"{value:.0f}" for value in x], dtype="category"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_table_that_is_written_differently_is_learned_as_well(spelling, rng):
    x = rng.normal(0, 3, 500)
    y = 2 * x + rng.normal(0, 0.5, 500)
    table = pd.DataFrame({"x": SPELLINGS[spelling](x), "z": rng.normal(size=500)})
    model = TabularRegressor(quality="fast", n_folds=2, random_state=0).fit(table[:400], y[:400])
    rmse = np.sqrt(np.mean((model.predict(table[400:]) - y[400:])[1:] ** 2))
    assert rmse < (3.5 if spelling in ("words", "sentinel", "categorical") else 1.2)  # of 6.0
