import ast
import csv
import importlib.util
import json
import math
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from chainrule import Activation, Dense, Network, Predictor, TabularEncoder, mlp
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.export import to_python
from chainrule.model.ensemble import Ensemble
from exported import NETWORKS, TABLES, TARGETS, N, predictions_of, predictor_of, query_table, rows_for

FORMS = pytest.mark.parametrize("pure", [False, True], ids=["NumPy", "pure"])


def imported(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dicts(table):
    return [dict(zip(table, cells)) for cells in zip(*table.values())]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("exports")


@FORMS
@pytest.mark.parametrize("name", NETWORKS)
def test_python_matches_every_network(name, pure, place):
    network, X = NETWORKS[name](), rows_for(name, 50)
    written = to_python(network, place / "net.py", pure)
    expected = network(X)
    given = imported(place / "net.py").predict(X.tolist())
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))
    assert written.difference < 1e-5


@FORMS
@pytest.mark.parametrize(
    ("kind", "target"),
    [*((kind, "text") for kind in TABLES), *(("all kinds", name) for name in TARGETS if name != "text")],
)
def test_python_matches_a_predictor_on_dicts(kind, target, pure, place):
    predictor, table = predictor_of(TABLES[kind], TARGETS[target], n_bins=3), query_table(kind, 100)
    to_python(predictor, place / "table.py", pure)
    module, rows = imported(place / "table.py"), dicts(table)
    if target == "numbers":
        np.testing.assert_allclose(module.predict(rows), predictor.predict(table), rtol=1e-6)
    else:
        np.testing.assert_allclose(module.predict_proba(rows), predictions_of(predictor, table), atol=1e-7)
        assert module.predict(rows) == predictor.predict(table).tolist()


UNUSUAL_CELLS = {
    "height": [None, float("nan"), "", " NA ", "171.5", " 1.7e2", True, 171, Decimal("170.25"), np.float32(169.5)],
    "color": ["red", "", None, "violet", 3, 3.0, True, b"green", np.str_("red"), float("nan")],
    "stars": ["1", 1, 1.0, Decimal(2), np.int64(3), "1.0", True, None, 2.5, np.float64(4)],
    "born": [
        "1999-12-31", None, "-", date(2001, 2, 3), datetime(2001, 2, 3, 4, 5, 6, 7), np.datetime64("2001-02-03"),
        "0001-01-01", "9999-12-31", "2000-02-29", "1969-12-31 23:59:59.999999",
    ],
    "seen": [
        "2024-03-01T12:30Z", "2024-03-01 12:30:45.5+0130", "2024-03-01T12:30:45-05:00", "2024-02-29 23:59:59.123456789",
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 5, tzinfo=timezone(timedelta(hours=9))), "",
        float("nan"), np.datetime64("NaT"), "1950-06-15",
    ],
}  # fmt: skip


def test_unusual_cells_are_read_as_the_encoder_reads_them(place):
    predictor = predictor_of(TABLES["all kinds"], TARGETS["numbers"], n_bins=3)
    to_python(predictor, place / "table.py", pure=True)
    module = imported(place / "table.py")
    usual = dicts(TABLES["all kinds"])[0]
    for name, cells in UNUSUAL_CELLS.items():
        for cell in cells:
            row = usual | {name: cell}
            (given,), (expected,) = module.encode(module.MODEL.columns, [row]), predictor.encoder.transform([row])
            np.testing.assert_allclose(given, expected, rtol=1e-6, atol=1e-7, err_msg=f"{name}={cell!r}")


@pytest.mark.parametrize(
    ("name", "cell", "expected"),
    [
        ("height", "tall", "a finite number"),
        ("height", float("inf"), "a finite number"),
        ("height", "1_000", "a finite number"),
        ("born", "20240301", "a date such as 2024-03-01"),
        ("born", "2024-13-01", "a date such as 2024-03-01"),
        ("born", "2024-03-01 12:30+25:00", "a date such as 2024-03-01"),
        ("born", 3, "a date such as 2024-03-01"),
    ],
)
def test_cells_that_the_encoder_rejects_are_rejected(name, cell, expected, place):
    predictor = predictor_of(TABLES["all kinds"], TARGETS["numbers"])
    to_python(predictor, place / "table.py", pure=True)
    usual = dicts(TABLES["all kinds"])[0]
    rows = [usual, usual | {name: cell}]
    with pytest.raises(ValueError, match=re.escape(f"column {name!r}, row 2: expected {expected}, got {cell!r}")):
        imported(place / "table.py").predict(rows)
    with pytest.raises(ValueError, match=rf"column {name!r}.* row 2.* {re.escape(repr(cell))}"):
        predictor.predict(rows)


def test_a_column_missing_from_all_rows_is_named(place):
    to_python(predictor_of(TABLES["numbers"], TARGETS["text"]), place / "table.py", pure=True)
    with pytest.raises(ValueError, match="column 'weight' is missing from the table, which has 'height'"):
        imported(place / "table.py").predict([{"height": 3}])


@pytest.mark.parametrize("rows", [None, 3.5, "text", [None], [[1.0, 2.0]], np.ones((2, 2))])
def test_rows_that_are_not_dicts_are_rejected(place, rows):
    to_python(predictor_of(TABLES["numbers"], TARGETS["text"]), place / "table.py", pure=True)
    with pytest.raises(ValueError, match=r"each row must be a dict of cells, got .+"):
        imported(place / "table.py").predict(rows)


@FORMS
def test_predictions_are_plain_data_that_json_can_write(pure, place):
    predictor, table = predictor_of(TABLES["numbers"], TARGETS["text"]), query_table("numbers", 3)
    to_python(predictor, place / "table.py", pure)
    module = imported(place / "table.py")
    proba = module.predict_proba(dicts(table))
    assert json.loads(json.dumps(proba)) == proba
    assert {type(value) for row in proba for value in row} == {float}
    to_python(NETWORKS["layer Dense"](), place / "net.py", pure)
    outputs = imported(place / "net.py").predict([[1.0, 2, 3, 4, 5, 6]])
    assert json.loads(json.dumps(outputs)) == outputs


@FORMS
def test_dataframes_are_taken_as_rows(pure, place):
    predictor, table = predictor_of(TABLES["all kinds"], TARGETS["text"]), query_table("all kinds", 30)
    to_python(predictor, place / "table.py", pure)
    predict, expected = imported(place / "table.py").predict, predictor.predict(table).tolist()
    frame = pl.DataFrame({name: list(cells) for name, cells in table.items()})
    assert predict(frame) == expected
    pandas = pytest.importorskip("pandas")
    assert predict(pandas.DataFrame({name: list(cells) for name, cells in table.items()})) == expected


@FORMS
def test_a_matrix_is_taken_where_all_columns_are_raw(pure, place):
    network = mlp(3, 4, 2, loss="cross_entropy", seed=0)
    target = ClassTarget("y", "int64", (0, 1), (0.5, 0.5))
    predictor = Predictor(TabularEncoder.raw(["a", "b", "c"]), network, target)
    to_python(predictor, place / "raw.py", pure)
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    module = imported(place / "raw.py")
    assert module.predict(X) == module.predict(X.tolist()) == predictor.predict(dict(zip("abc", X.T))).tolist()
    with pytest.raises(ValueError, match="each row must have 3 values, got 2"):
        module.predict(X[:, :2])
    with pytest.raises(ValueError, match="column 'b', row 1: expected a finite number"):
        module.predict([[1.0, math.nan, 2.0]])


@FORMS
def test_a_network_refuses_rows_that_are_short_or_not_finite(pure, place):
    to_python(mlp(2, 3, 1, activation="relu", seed=0), place / "net.py", pure)
    for row in ([1.0], [1.0, math.nan], [math.inf, 1.0]):
        with pytest.raises(ValueError, match="each row must have 2 finite values"):
            imported(place / "net.py").predict([[1.0, 2.0], row])


def test_a_reader_may_close_the_pipe(place):
    to_python(predictor_of(TABLES["numbers"], TARGETS["text"]), place / "table.py")
    lines = "height,weight\n" + "170,70\n" * 50_000
    with subprocess.Popen(
        [sys.executable, place / "table.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdin.write(lines.encode())
        process.stdin.close()
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@FORMS
def test_intervals_match_the_predictor(pure, place):
    predictor, table = predictor_of(TABLES["all kinds"], TARGETS["numbers"]), query_table("all kinds", 20)
    to_python(predictor, place / "table.py", pure)
    module, rows = imported(place / "table.py"), dicts(table)
    for coverage in (0.5, 0.7501, 0.9, 0.9991, 0.995):
        given = module.predict_interval(rows, coverage)
        np.testing.assert_allclose(given, predictor.predict_interval(table, coverage), rtol=1e-6)
    with pytest.raises(ValueError, match="coverage must be strictly between 0 and 1"):
        module.predict_interval(rows, 1)
    with pytest.raises(ValueError, match="predict_proba requires a classifier"):
        module.predict_proba(rows)


@FORMS
def test_several_outputs_per_row_are_predicted(pure, place):
    X, Y = {"x": np.arange(N) % 7.0}, np.random.default_rng(0).normal(3, 100, (N, 2))
    encoder = TabularEncoder().fit(X)
    ensemble = Ensemble(
        (mlp(1, 4, 2, seed=0, dtype="float64"),), bounds=np.array([[-1.0, -1], [1, 1]]), scores=np.ones((999, 2))
    )
    predictor = Predictor(encoder, ensemble, NumberTarget.of("y", Y))
    to_python(predictor, place / "two.py", pure)
    module = imported(place / "two.py")
    np.testing.assert_allclose(module.predict(dicts(X)), predictor.predict(X), rtol=1e-6)
    np.testing.assert_allclose(module.predict_interval(dicts(X), 0.5), predictor.predict_interval(X, 0.5), rtol=1e-6)


@FORMS
def test_no_rows_give_no_predictions(pure, place):
    to_python(predictor_of(TABLES["numbers"], TARGETS["text"]), place / "table.py", pure)
    assert imported(place / "table.py").predict([]) == []


def predicted(path, rows, *interpreter):
    command = [*(interpreter or [sys.executable]), str(path)]
    return subprocess.run(command, input=rows, capture_output=True, text=True, check=True, encoding="utf-8").stdout


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_csv_is_predicted_as_by_the_command_line(separator, place):
    predictor, table = predictor_of(TABLES["all kinds"], TARGETS["text"]), query_table("all kinds", 40)
    to_python(predictor, place / "table.py", pure=True)
    text = (
        pl.DataFrame({name: list(cells) for name, cells in table.items()}).fill_nan(None).write_csv(separator=separator)
    )
    # -I -S leaves only the standard library importable.
    predictions = predicted(place / "table.py", text, sys.executable, "-I", "-S").splitlines()
    expected = predictor.predict(pl.read_csv(text.encode(), separator=separator))
    assert list(csv.reader(predictions)) == [["the target"], *([label] for label in expected)]


def test_numeric_categories_in_a_csv_are_recognized(place):
    predictor = predictor_of({"stars": TABLES["categories"]["stars"]}, TARGETS["numbers"])
    to_python(predictor, place / "stars.py", pure=True)
    given = predicted(place / "stars.py", "stars\n1.0\n2\n03\n").splitlines()[1:]
    assert list(map(float, given)) == pytest.approx(predictor.predict({"stars": [1, 2, 3]}))


def test_booleans_in_a_csv_are_recognized(place):
    predictor = predictor_of({"glasses": [True, False] * (N // 2)}, TARGETS["numbers"])
    to_python(predictor, place / "glasses.py", pure=True)
    given = list(map(float, predicted(place / "glasses.py", "glasses\ntrue\nFALSE\n\n").splitlines()[1:]))
    assert given == pytest.approx(predictor.predict({"glasses": [True, False, None]}))
    assert len(set(given)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line must be a header"),
        ("stars,stars\n1,2\n", "the first line must be a header of unique column names"),
        ("stars,b\n1,2\n1\n", "row 2: expected 2 cells, got 1"),
        ("stars,b\n1,2,3\n", "row 1: expected 2 cells, got 3"),
    ],
)
def test_a_csv_that_is_not_a_table_is_rejected(text, message, place):
    predictor = predictor_of({"stars": TABLES["categories"]["stars"]}, TARGETS["numbers"])
    to_python(predictor, place / "stars.py", pure=True)
    done = subprocess.run([sys.executable, place / "stars.py"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert not done.stdout


def test_a_bare_network_takes_rows_of_numbers(place):
    network = mlp(2, 3, 2, loss="cross_entropy", seed=0)
    to_python(network, place / "net.py", pure=True)
    given = predicted(place / "net.py", "a,b\n1,2\n3,4\n").splitlines()
    assert given[0] == "y0,y1"
    values = [list(map(float, line.split(","))) for line in given[1:]]
    np.testing.assert_allclose(values, network([[1, 2], [3, 4]]), rtol=1e-6)
    assert predicted(place / "net.py", "1,2\n3,4\n").splitlines()[1:] == given[1:]


@FORMS
def test_the_self_test_passes_and_fails_for_a_modified_file(pure, place):
    to_python(predictor_of(TABLES["all kinds"], TARGETS["numbers"]), place / "table.py", pure)
    command = [sys.executable, str(place / "table.py"), "--test"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("16 golden rows: largest difference ")
    text = (place / "table.py").read_text()
    (place / "table.py").write_text(text.replace("1.0507009873554805", "1.06"))
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_a_command_line_error_is_one_line(place):
    to_python(predictor_of(TABLES["numbers"], TARGETS["text"]), place / "table.py", pure=True)
    command = [sys.executable, str(place / "table.py")]
    done = subprocess.run([*command, "--tset"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    done = subprocess.run(command, input="a,b\n1,2\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "columns 'height', 'weight' are missing from the table, which has 'a', 'b'\n",
    )


def older_interpreters():
    """Return the installed interpreters of Python 3.8 to 3.10."""
    paths = [shutil.which(f"python3.{minor}") for minor in (8, 9, 10)]
    paths += [str(path) for minor in (8, 9, 10) for path in Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")]
    return [path for path in paths if path and runs(path)]


def runs(interpreter):
    return subprocess.run([interpreter, "-c", ""], check=False, capture_output=True).returncode == 0


@FORMS
def test_a_file_parses_as_python_3_8(pure, place):
    to_python(predictor_of(TABLES["all kinds"], TARGETS["text"]), place / "table.py", pure)
    ast.parse((place / "table.py").read_text(), feature_version=(3, 8))


def test_older_interpreters_run_it(place):
    interpreters = older_interpreters()
    if not interpreters:
        pytest.skip("no Python 3.8 to 3.10 is installed")
    predictor, table = predictor_of(TABLES["all kinds"], TARGETS["text"]), query_table("all kinds", 20)
    to_python(predictor, place / "table.py", pure=True)
    text = pl.DataFrame({name: list(cells) for name, cells in table.items()}).fill_nan(None).write_csv()
    expected = predicted(place / "table.py", text)
    for interpreter in interpreters:
        assert subprocess.run([interpreter, str(place / "table.py"), "--test"], check=False).returncode == 0
        assert predicted(place / "table.py", text, interpreter) == expected


def test_custom_layers_are_rejected_by_name(tmp_path):
    own = Activation(lambda Z: (Z, lambda dA: dA))
    with pytest.raises(ValueError, match=r"got Activation.* as layer 1"):
        to_python(Network([Dense(2, 2), own]), tmp_path / "net.py")
    with pytest.raises(ValueError, match="must be a Predictor, an Ensemble or a Network, got int"):
        to_python(3, tmp_path / "net.py")
    assert list(tmp_path.iterdir()) == []


def test_names_that_look_like_code_are_escaped(place):
    table = {'"""\nimport os  # \\': [1.0, 2, 3, 4], "b'": ["x\n", '"""', "x\n", '"""']}
    labels = np.array(['"""', "\\", '"""', "\\"])
    predictor = predictor_of(table, labels)
    to_python(predictor, place / 'odd "name".py', pure=True)
    assert imported(place / 'odd "name".py').predict(dicts(table)) == predictor.predict(table).tolist()
