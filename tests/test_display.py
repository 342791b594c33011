import json
import re
from math import inf, isfinite, nan

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from chainrule.app import commands
from chainrule.app.messages import aligned, column_summary
from chainrule.app.scores import format_scores
from chainrule.display import format_number, format_numbers

SINGLE = {
    -0.0: "0",
    7: "7",
    -7: "-7",
    999: "999",
    1000: "1,000",
    12285.0: "12,285",
    1490400.0: "1,490,400",
    -1490400: "-1,490,400",
    20240131: "20,240,131",
    123456789012345: "123,456,789,012,345",
    1e15: "1e+15",
    -2.5e15: "-2.5e+15",
    1234567890123456789: "1.23457e+18",
    6.02214076e23: "6.02214e+23",
    1.7976931348623157e308: "1.79769e+308",
    0.5: "0.5",
    -0.25: "-0.25",
    1 / 3: "0.333333",
    8.314462618: "8.31446",
    99999.96: "100,000",
    12345.678: "12,345.7",
    1234567.8: "1,234,568",
    -1234567.8: "-1,234,568",
    0.0001: "0.0001",
    0.00012345678: "0.000123457",
    0.000012: "1.2e-05",
    -1.23456789e-7: "-1.23457e-07",
    5e-324: "4.94066e-324",
    inf: "infinity",
    -inf: "-infinity",
    nan: "nan",
}


@pytest.mark.parametrize(("value", "text"), SINGLE.items(), ids=SINGLE.values())
def test_a_single_number(value, text):
    assert format_number(value) == text


TOGETHER = {
    "an error in the hundred thousands": ([911943.7, 770238.3, 1049977.0], 279738.7, "912,000 770,000 1,050,000"),
    "an error in the millions": ([9119430.7, 7702380.3, 9930000.0], 2.3e6, "9,120,000 7,700,000 9,930,000"),
    "thousands": ([1234.567, 1200.0, 1270.5], 70.5, "1,234.6 1,200.0 1,270.5"),
    "proportions": ([0.98529, 0.96172, 1.0], 0.03828, "0.9853 0.9617 1.0000"),
    "few rows": ([0.8, 0.55, 0.95], 0.4, "0.800 0.550 0.950"),
    "negative": ([-101181.3, -250000.0, -50.5], 249949.5, "-101,000 -250,000 0"),
    "nearly zero": ([-0.00001, -0.2, 0.1], 0.3, "0.000 -0.200 0.100"),
    "tiny": ([1.2346e-9, 1.1e-9, 1.4e-9], 3e-10, "1.235e-09 1.100e-09 1.400e-09"),
    "tiny, next to a zero": ([1.2345e-9, 0.0], 3e-9, "1.23e-09 0e+00"),
    "huge": ([1.2345e20, 1.1e20, 1.4e20], 3e19, "1.234e+20 1.100e+20 1.400e+20"),
    "narrower than float64": ([123456789.123456, 123456789.123457], 1e-12, "123,456,789.123456 123,456,789.123457"),
    "no width": ([1490400.0, 0.5], 0.0, "1,490,400 0.5"),
    "an unknown width": ([1490400.0, 0.5], nan, "1,490,400 0.5"),
    "an infinite end": ([1490400.0, -inf], inf, "1,490,400 -infinity"),
}


@pytest.mark.parametrize(("values", "width", "text"), TOGETHER.values(), ids=TOGETHER)
def test_numbers_that_belong_together(values, width, text):
    assert " ".join(format_numbers(values, width)) == text


@given(st.floats())
def test_a_single_number_is_short_and_right_to_six_digits(value):
    text = format_number(value)
    assert len(text) <= 20
    if isfinite(value):
        assert float(text.replace(",", "")) == pytest.approx(value, rel=1e-5, abs=5e-324)


@given(st.floats(-1e300, 1e300), st.floats(1e-300, 1e300))
def test_rounding_is_finer_than_the_width(value, width):
    (text,) = format_numbers([value], width)
    assert float(text.replace(",", "")) == pytest.approx(value, rel=1e-13, abs=width / 190)


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((12285.0, 1490400.0), "12,285 to 1,490,400"),
        ((1990.0, 2020.0), "1990 to 2020"),  # years
        ((326.0, 18823.0), "326 to 18,823"),
        ((-3.25, 1234.5), "-3.25 to 1234.5"),
        ((1e-9, 1e22), "1e-09 to 1e+22"),
        (("2024-01-01", "2024-12-31"), "2024-01-01 to 2024-12-31"),
    ],
)
def test_the_range_of_a_column(ends, text):
    assert column_summary({"min": ends[0], "max": ends[1]}) == text


def test_columns_always_have_a_gap():
    rows = [["score", "network", "mean"], ["rmse (lower is better)", "1,234,567,890", "9,876,543,210"], ["", "1", ""]]
    lines = aligned(rows, (10, 4, 4))
    assert lines[1] == "  rmse (lower is better)  1,234,567,890  9,876,543,210"
    assert lines[0] == "  score                         network           mean"
    assert lines[2].endswith("  1")


def test_a_score_its_interval_and_the_baseline_share_a_decimal_place():
    shown = format_scores({"rmse": 911943.7}, {"rmse": (770238.3, 1049977.0)}, {"rmse": 7702380.3})
    assert shown == {"rmse": ("912,000", "770,000 to 1,050,000", "7,702,000")}
    assert format_scores({"rmse": 911943.7}, {}, {}) == {"rmse": ("911,944", "", "")}


@pytest.fixture(scope="module")
def incomes(tmp_path_factory):
    """A table whose target and one of whose inputs are in the millions, and the model of it."""
    folder = tmp_path_factory.mktemp("incomes")
    rng = np.random.default_rng(0)
    weight = np.r_[12285, 1490400, rng.integers(12286, 1490399, 118)]
    frame = pl.DataFrame({"fnlwgt": weight, "income": 5.0 * weight + rng.normal(0, 1e6, 120)})
    frame.write_csv(folder / "t.csv")
    options = ["--epochs", "2", "--folds", "2", "--jobs", "1", "--out", folder / "m.chainrule"]
    done = CliRunner().invoke(commands.app, ["train", str(folder / "t.csv"), "--target", "income", *map(str, options)])
    assert done.exit_code == 0, done.output
    return folder, done.stdout


def test_train_evaluate_and_inspect_show_large_numbers_that_can_be_read(incomes):
    folder, trained = incomes
    model, table = str(folder / "m.chainrule"), str(folder / "t.csv")
    evaluated = CliRunner().invoke(commands.app, ["evaluate", model, table]).stdout
    inspected = CliRunner().invoke(commands.app, ["inspect", model]).stdout
    assert "12,285 to 1,490,400" in trained
    for text in (trained, evaluated):
        assert re.search(r"rmse \(lower is better\) {2,}[\d,]+,000 {2,}[\d,]+ to [\d,]+ {2,}[\d,]+\n", text), text
    assert re.search(r"test rmse +[\d,]+,000\n", inspected)
    for text in (trained, evaluated, inspected):
        assert not re.search(r"\de[+-]\d", text), text
    assert re.search(r"numeric, mean [\d,]+,000, standard deviation [\d,]+,000\n", trained)
    report = CliRunner().invoke(commands.app, ["report", model, table, "--out", str(folder / "r.html")])
    assert report.exit_code == 0
    page = (folder / "r.html").read_text()
    assert not re.search(r"<t[dh][^>]*>[^<]*\de[+-]\d", page)
    assert "12,285" in page
    assert "1,490,400" in page


def test_json_keeps_every_digit(incomes):
    folder, _ = incomes
    done = CliRunner().invoke(commands.app, ["evaluate", str(folder / "m.chainrule"), str(folder / "t.csv"), "--json"])
    rmse = json.loads(done.stdout)["scores"]["rmse"]
    assert rmse > 1e5
    assert rmse != round(rmse, -3)
