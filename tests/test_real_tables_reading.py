"""Tables as they are found: files and DataFrames from other programs, from Python and from the command line."""

import datetime
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from typer.testing import CliRunner

from chainrule.app import commands
from chainrule.data.reading import read_columns
from chainrule.data.tabular import TabularEncoder
from chainrule.errors import TableError
from chainrule.files.model import load

QUICK = ["--quality", "fast", "--epochs", "3", "--folds", "2", "--jobs", "1", "--out", "m.chainrule"]
N = 60


def run(*arguments):
    return CliRunner().invoke(commands.app, [str(argument) for argument in arguments])


def train(file, *options, target="y"):
    """Train on a file; return the metadata of the model."""
    done = run("train", file, "--target", target, *QUICK, *options, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def refusal(*arguments):
    """Return the one line with which a command is refused."""
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("chainrule: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def rows():
    """Sizes, shops and prices, as lists."""
    rng = np.random.default_rng(0)
    size = rng.uniform(1, 10, N).round(2)
    return {"size": size.tolist(), "shop": rng.choice(["Köln", "Ulm"], N).tolist(), "y": (300 * size).round(2).tolist()}


def german(number):
    return f"{number:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".")


def write_csv(rows, name="t.csv", *, encoding="utf-8", separator=",", number=str, header=True, extra=()):
    names = [*rows, *(name for name, _ in extra)]
    lines = [separator.join(names)] if header else []
    for i in range(N):
        cells = [number(cell) if isinstance(cell, float) else cell for cell in (rows[name][i] for name in rows)]
        lines.append(separator.join([*cells, *(cell for _, cell in extra)]))
    Path(name).write_text("\n".join([*lines, ""]), encoding=encoding)
    return name


@pytest.mark.parametrize(
    ("cell", "encoding"),
    [
        ("01.03.2024", "utf-8"),
        ("10.0.0.1", "cp1252"),
        ("1.234,56", "utf-16"),
        ("x.y", "utf-8-sig"),
        ("3.2.1", "cp1252"),
    ],
)
def test_a_german_table_gives_the_same_model_as_the_plain_one(cell, encoding, rows):
    plain = train(write_csv(rows))
    name = write_csv(rows, "de.csv", encoding=encoding, separator=";", number=german, extra=[("other", cell)])
    written = train(name, "--drop", "other")
    assert written["data"] == plain["data"]
    assert "decimal commas in size, y" in " ".join(written["notices"])


def test_the_same_raw_file_gives_the_same_numbers(rows):
    """Prediction, evaluation and tracing decide as training did, from the same file or another dialect of it."""
    name = write_csv(rows, "de.csv", encoding="cp1252", separator=";", number=german)
    scores = train(name, "--test-share", "0.5")["scores"]
    assert scores["r2"] > -2
    plain = run("predict", "m.chainrule", write_csv(rows))
    raw = run("predict", "m.chainrule", name)
    assert raw.exit_code == 0
    assert raw.stdout == plain.stdout
    assert "decimal commas" in raw.stderr
    assert run("evaluate", "m.chainrule", name).exit_code == 0
    assert run("trace", "m.chainrule", name, "--out", "trace.txt").exit_code == 0


def test_whole_thousands_are_read_at_prediction_as_in_training(rows):
    rows["size"] = [1000 * size for size in rows["size"]]
    write_csv(rows, "de.csv", separator=";", number=german)
    train("de.csv")
    Path("new.csv").write_text("size;shop\n1.234;Ulm\n5.678;Ulm\n")
    Path("plain.csv").write_text("size,shop\n1234,Ulm\n5678,Ulm\n")
    assert run("predict", "m.chainrule", "new.csv").stdout == run("predict", "m.chainrule", "plain.csv").stdout


def test_options_override_what_is_detected_in_every_command(rows, brief_reports):
    name = write_csv(rows, separator="^", number=german, encoding="cp1250", header=False)
    options = ["--separator", "^", "--decimal", ",", "--encoding", "cp1250", "--no-header"]
    written = train(name, *options, target="column_3")
    assert written["reading"]["separator"] == "^"
    assert written["notices"] == []
    for command in ("predict", "evaluate", "report", "trace"):
        done = run(command, "m.chainrule", name, *options)
        assert done.exit_code == 0, done.stderr
        assert run(command, "m.chainrule", name).exit_code == 0  # as in training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--decimal", "x"], "--decimal must be ',' or '.', got 'x'"),
        (["--separator", "ab"], "--separator must be a single character such as ';'"),
        (["--encoding", "klingon"], "--encoding must be a text encoding such as utf-8 or cp1252, got 'klingon'"),
        (["--encoding", "zip"], "--encoding must be a text encoding"),
        (["--encoding", "ascii"], "t.csv cannot be read as CSV: it is not valid ascii text. Pass another --encoding."),
        (["--separator", ";"], "column 'y' is missing from the table. It has size,shop,y."),
        (["--no-header"], "column 'y' is missing from the table. It has column_1, column_2, column_3."),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, message, rows):
    assert message in refusal("train", write_csv(rows), "--target", "y", *options)


def test_options_of_csv_are_refused_for_other_files(rows):
    pl.DataFrame(rows).write_parquet("t.parquet")
    assert "--decimal applies to CSV only" in refusal("train", "t.parquet", "--target", "y", "--decimal", ",")


def test_a_model_refuses_rows_without_a_header(rows):
    train(write_csv(rows))
    message = refusal("predict", "m.chainrule", write_csv(rows, "new.csv", header=False))
    assert "new.csv must begin with a line of column names, as the training table did" in message


def test_no_row_left_for_testing_is_an_error():
    Path("t.csv").write_text("x,y\n" + "".join(f"{i},class {i}\n" for i in range(30)))
    assert "must have several rows per class" in refusal("train", "t.csv", "--target", "y")


# Cells of other types.


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet", "t.arrow"])
def test_nested_columns_are_left_out_with_a_notice(name, rows):
    frame = pl.DataFrame(rows).with_columns(tags=pl.lit([1, 2]), place=pl.struct("size", "shop"))
    {"t.jsonl": frame.write_ndjson, "t.parquet": frame.write_parquet, "t.arrow": frame.write_ipc}[name](name)
    assert "tags, place: left out (lists or structs)" in train(name)["notices"]
    train(name, "--drop", "tags", "--drop", "place")
    assert "tags, place: left out" in run("predict", "m.chainrule", name).stderr
    assert "column 'tags' must contain scalars, got List" in refusal("train", name, "--target", "tags")
    assert "column 'tags' must contain scalars" in refusal("predict", "m.chainrule", name, "--id", "tags")


@pytest.mark.parametrize("kind", [pl.DataFrame, pd.DataFrame, dict])
def test_nested_columns_are_left_out_in_python_too(kind):
    table = kind({"a": [1.0, 2.0, 3.0], "tags": [[1], [2, 3], []], "place": [{"b": 1}, {"b": 2}, None]})
    assert TabularEncoder().fit(table).left_out == {"tags": "lists or dicts", "place": "lists or dicts"}


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_long_integers_are_text(suffix, rows):
    orders = [10**21 + i for i in range(N)]
    lines = {
        "csv": ["size,order,y", *(f"{rows['size'][i]},{orders[i]},{rows['y'][i]}" for i in range(N))],
        "jsonl": [f'{{"size": {rows["size"][i]}, "order": {orders[i]}, "y": {rows["y"][i]}}}' for i in range(N)],
    }
    Path(f"t.{suffix}").write_text("\n".join(lines[suffix]))
    written = train(f"t.{suffix}")
    assert "order: integers of 20 digits and more are read as text" in written["notices"]
    assert next(column for column in written["columns"] if column["name"] == "order")["kind"] == "left out"
    train(f"t.{suffix}", "--drop", "order")
    assert run("predict", "m.chainrule", f"t.{suffix}", "--id", "order").stdout.split("\n")[1].startswith(f"{10**21},")


def test_long_integers_that_repeat_are_categories_in_python_too():
    encoder = TabularEncoder().fit({"a": [10**20, 10**20 + 1] * 10, "b": ["9" * 25, "9" * 24 + "8"] * 10})
    assert [column.kind for column in encoder.columns] == ["category", "category"]
    np.testing.assert_array_equal(abs(encoder.transform({"a": [10**20, 1], "b": ["9" * 25, "1"]})), [[1, 1], [0, 0]])


def test_the_index_of_pandas_is_not_an_input(rows):
    frame = pd.concat([pd.DataFrame(rows).iloc[:30], pd.DataFrame(rows).iloc[:30]])
    frame.to_parquet("t.parquet")
    assert "__index_level_0__" in pl.read_parquet_schema("t.parquet")
    train("t.parquet")
    encoder = load("m.chainrule").encoder
    assert encoder.left_out == {"__index_level_0__": "index of a DataFrame"}
    frame.reset_index(drop=True).to_parquet("new.parquet")
    assert run("predict", "m.chainrule", "new.parquet").exit_code == 0
    assert run("predict", "m.chainrule", "t.parquet", "--id", "__index_level_0__").stdout.startswith(
        "__index_level_0__,y"
    )


HOURS = [datetime.timedelta(hours=12), datetime.timedelta(days=2), None]
DURATIONS = {
    "list": {"a": HOURS},
    "NumPy": {"a": np.array([720, 2880, "NaT"], "m8[m]")},
    "pandas": pd.DataFrame({"a": pd.to_timedelta(HOURS)}),
    "pandas objects": pd.DataFrame({"a": pd.Series(pd.to_timedelta(HOURS), dtype=object)}),
    "polars": pl.DataFrame({"a": HOURS}),
    "dicts": [{"a": hours} for hours in HOURS],
}


@pytest.mark.parametrize("kind", DURATIONS)
def test_durations_are_numbers_of_days(kind):
    np.testing.assert_array_equal(read_columns(DURATIONS[kind])["a"], [0.5, 2, np.nan])


def test_durations_without_a_unit_are_refused():
    with pytest.raises(TableError, match="must have a unit"):
        read_columns({"a": np.array([1, 2], "m8")})


def test_durations_in_a_file_are_numbers_of_days(rows):
    waits = [datetime.timedelta(hours=size) for size in rows["size"]]
    pl.DataFrame(rows | {"size": waits}).write_parquet("t.parquet")
    written = train("t.parquet")
    assert "size: durations are read as numbers of days" in written["notices"]
    size = next(column for column in written["columns"] if column["name"] == "size")
    assert size["max"] == pytest.approx(max(rows["size"]) / 24)


# Memory.

PEAK = r"""
import re, sys
from pathlib import Path
from chainrule.app.tables import TableFile
for _ in TableFile(Path(sys.argv[1])).batches(): pass
print(int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured by Linux")
@pytest.mark.parametrize(
    ("encoding", "separator", "cell"),
    [("utf-8-sig", " , ", "1.5"), ("cp1252", ";", "1,5"), ("utf-16", ",", "1.5")],
)
def test_every_dialect_is_read_in_batches(encoding, separator, cell):
    """Three times the rows need hardly more memory."""
    row = separator.join([cell, cell, "Köln am Rhein" * 5]) + "\n"
    header = separator.join(["a", "b", "place"]) + "\n"
    peaks = []
    for n_rows in (80_000, 240_000):
        Path("t.csv").write_text(header + row * n_rows, encoding=encoding)
        done = subprocess.run([sys.executable, "-c", PEAK, "t.csv"], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] + 20
