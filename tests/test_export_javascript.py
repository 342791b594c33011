import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
import zlib
from dataclasses import replace
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import numpy as np
import pytest

from chainrule import Activation, Dense, Network, Predictor, TabularEncoder, mlp
from chainrule.data.columns import DateColumn, NumberColumn, as_plain
from chainrule.data.formats import DATE_ORDERS, DateFormat, NumberFormat
from chainrule.data.reading import read_columns
from chainrule.data.targets import ClassTarget, NumberTarget, fit_target
from chainrule.export import to_js
from chainrule.model.ensemble import Ensemble
from chainrule.model.quantiles import MeanAndQuantiles
from chainrule.nn.losses import SquaredError
from exported import NETWORKS, NUMBERS, TABLES, TARGETS, calibrated, predictions_of, predictor_of, query_table, rows_for

NODE, TSC = shutil.which("node"), shutil.which("tsc") or os.environ.get("TSC")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_node = pytest.mark.skipif(NODE is None, reason="there is no node")


def node(code, *arguments, given=None, zone="UTC"):
    """Run a module in node, with JSON on its standard input; return what it prints as JSON."""
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", code, *map(str, arguments)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TZ": zone},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def called(path, code, given=None, zone="UTC"):
    """Return the value of an expression of the module `m` and the JSON value `given`; an error as its message."""
    return node(
        f"""
        import {{ readFileSync }} from "node:fs";
        const m = await import({json.dumps(path.as_uri())}), given = JSON.parse(readFileSync(0, "utf8"));
        const attempt = (f) => {{ try {{ return f(); }} catch (error) {{ return String(error); }} }};
        console.log(JSON.stringify({code}));
        """,
        given=given,
        zone=zone,
    )


def plain(table):
    """Return a table's columns as JSON has them: None where missing."""
    return {
        name: [None if cell is None or cell != cell else cell for cell in np.asarray(cells, object).tolist()]
        for name, cells in table.items()
    }


def dicts(table):
    return [dict(zip(table, cells)) for cells in zip(*table.values())]


ALL = """
import { readFileSync, readdirSync } from "node:fs";
const directory = process.argv[1], answers = {};
for (const file of readdirSync(directory).filter((name) => name.endsWith(".mjs"))) {
  const m = await import(`file://${directory}/${file}`);
  const input = JSON.parse(readFileSync(`${directory}/${file}.json`, "utf8"));
  const predictions = Array.isArray(input) ? m.predictAll(input) : [...m.predictColumns(input)];
  answers[file.slice(0, -4)] = { predictions, test: m.selfTest() };
}
console.log(JSON.stringify(answers));
"""


@needs_node
def test_javascript_matches_every_network(tmp_path):
    """All networks in one process, to start node only once."""
    expected = {}
    for k, name in enumerate(NETWORKS):
        network, X = NETWORKS[name](), rows_for(name, 100)
        assert to_js(network, tmp_path / f"{k}.mjs").difference < 1e-5
        (tmp_path / f"{k}.mjs.json").write_text(json.dumps(X.tolist()))
        expected[str(k)] = name, network(X)
    answers = node(ALL, tmp_path)
    for k, (name, predictions) in expected.items():
        assert answers[k]["test"]["ok"], name
        scale = max(1, np.abs(predictions).max())
        np.testing.assert_allclose(answers[k]["predictions"], predictions, atol=1e-5 * scale, err_msg=name)


@needs_node
def test_javascript_matches_every_predictor(tmp_path):
    expected = {}
    for kind in TABLES:
        for target in TARGETS:
            name, table = f"{kind}-{target}", query_table(kind, 200)
            predictor = predictor_of(TABLES[kind], TARGETS[target], n_bins=3)
            to_js(predictor, tmp_path / f"{name}.mjs")
            (tmp_path / f"{name}.mjs.json").write_text(json.dumps(plain(table)))
            expected[name] = predictions_of(predictor, table)
    answers = node(ALL, tmp_path)
    for name, predictions in expected.items():
        given = np.reshape(answers[name]["predictions"], predictions.shape)
        scale = np.abs(predictions).max() if name.endswith("numbers") else 1
        assert np.abs(given - predictions).max() < 1e-5 * scale, name
        assert answers[name]["test"]["ok"], name


@pytest.fixture(scope="module")
def who(tmp_path_factory):
    """A predictor of texts from all kinds of columns, and its module."""
    path = tmp_path_factory.mktemp("who") / "who.mjs"
    predictor = predictor_of(TABLES["all kinds"], TARGETS["text"], n_bins=3)
    to_js(predictor, path)
    return predictor, path


@needs_node
def test_rows_are_objects_or_arrays_in_the_order_of_the_schema(who):
    predictor, path = who
    rows = dicts(plain(query_table("all kinds", 20)))
    arrays = [list(row.values()) for row in ({name: row[name] for name in row} for row in rows)]
    by_object, by_array, proba, columns = called(
        path,
        "[m.predictAll(given.rows), given.arrays.map(m.predict), given.rows.map(m.predictProba),"
        " m.schema.columns.map((column) => column.name)]",
        {"rows": rows, "arrays": [[row[c.name] for c in predictor.encoder.columns] for row in rows]},
    )
    assert columns == [column.name for column in predictor.encoder.columns]
    assert len(arrays) == len(rows)
    assert by_object == by_array == predictor.predict(rows).tolist()
    labels = list(predictor.target.labels)
    assert [list(row) for row in proba] == [labels] * len(rows)
    np.testing.assert_allclose([list(row.values()) for row in proba], predictor.predict_proba(rows), atol=1e-5)


@needs_node
def test_predictions_of_columns_fill_a_typed_array(who):
    _, path = who
    table = plain(query_table("all kinds", 5))
    same, kind, message = called(
        path,
        "((out) => [m.predictColumns(given, out) === out, m.predictColumns(given).constructor.name,"
        " attempt(() => m.predictColumns(given, new Float64Array(3)))])(new Float64Array(15))",
        table,
    )
    assert (same, kind) == (True, "Float64Array")
    assert message == "RangeError: out must have length 15, got 3"
    table["sex"] = table["sex"][:-1]
    assert called(path, "attempt(() => m.predictColumns(given))", table).endswith("columns must be of equal length")


INTERVALS = {
    "quantiles": (NumberTarget("y", (5e4,), (1e3,)), None),
    "positive": (NumberTarget("y", (300.0,), (100.0,)), None),
    "logarithm": (NumberTarget("y", (3.0,), (0.7,), transform="log"), None),
    "several": (NumberTarget("y", (1.0, -50.0), (3.0, 4.0)), None),
    "few quantiles": (NumberTarget("y", (0.0,), (1.0,)), MeanAndQuantiles((0.1, 0.3, 0.5, 0.9))),
    "one width": (NumberTarget("y", (0.0,), (1.0,)), SquaredError()),
}
N_MANY = 30
COVERAGES = (0.05, 0.5, 0.7706, 0.9, 0.93, 0.995, 0.9991)


@needs_node
@pytest.mark.parametrize("name", INTERVALS)
def test_intervals_match_the_predictor(name, tmp_path):
    predictor, table = calibrated(TABLES["all kinds"], *INTERVALS[name]), query_table("all kinds", 60)
    to_js(predictor, tmp_path / "m.mjs")
    given = called(
        tmp_path / "m.mjs",
        "given.rows.map((row) => given.coverages.map((c) => m.predictInterval(row, c).flat().map(String)))",
        {"rows": dicts(plain(table)), "coverages": COVERAGES},
    )
    expected = np.stack([predictor.predict_interval(table, coverage) for coverage in COVERAGES], axis=1)
    expected = expected.reshape(len(given), len(COVERAGES), -1)
    finite = expected[np.isfinite(expected)]
    assert len(finite) > expected.size / 2
    np.testing.assert_allclose(np.array(given, float), expected, rtol=1e-5, atol=1e-5 * np.abs(finite).max())


@needs_node
@pytest.mark.parametrize("target", ["text", "integers", "booleans"])
def test_sets_match_the_predictor(target, tmp_path):
    predictor = calibrated(TABLES["all kinds"], fit_target("y", read_columns({"y": TARGETS[target]})["y"]))
    table = query_table("all kinds", 60)
    to_js(predictor, tmp_path / "m.mjs")
    given = called(
        tmp_path / "m.mjs",
        "[false, true].map((byClass) => given.coverages.map("
        "(c) => given.rows.map((row) => m.predictSet(row, c, {byClass}))))",
        {"rows": dicts(plain(table)), "coverages": COVERAGES},
    )
    expected = [[predictor.predict_set(table, c, by_class) for c in COVERAGES] for by_class in (False, True)]
    assert given == expected
    assert len({len(one) for sets in given[0] for one in sets}) > 1
    assert given[0] != given[1]


@needs_node
def test_intervals_and_sets_are_present_if_the_model_is_calibrated(who, tmp_path):
    predictor, path = who
    names = "['predictInterval', 'predictSet'].map((name) => name in m)"
    assert called(path, names) == [False, False]
    to_js(calibrated(TABLES["numbers"], predictor.target), tmp_path / "set.mjs")
    assert called(tmp_path / "set.mjs", names) == [False, True]
    to_js(calibrated(TABLES["numbers"], INTERVALS["quantiles"][0]), tmp_path / "interval.mjs", int8=True)
    row = {"height": 171, "weight": 70}
    present, (low, high), nine_tenths, refused = called(
        tmp_path / "interval.mjs",
        f"[{names}, m.predictInterval(given), m.predictInterval(given, 0.9),"
        " attempt(() => m.predictInterval(given, 1))]",
        row,
    )
    assert present == [True, False]
    assert low < high
    assert [low, high] == nine_tenths
    assert refused == "RangeError: coverage must be strictly between 0 and 1, got 1"


def with_background(predictor, table, n=6):
    """Return the predictor with the first rows of a table to explain with."""
    few = {name: cells[:n] for name, cells in table.items()}
    parts = predictor.encoder, predictor.ensemble, predictor.target, predictor.metadata
    return Predictor(*parts, predictor.encoder.transform(few))


@needs_node
@pytest.mark.parametrize("case", ["classes", "two classes", "numbers", "many columns"])
def test_contributions_match_the_explanation(case, tmp_path):
    """Exactly for few columns; in the same orders for many."""
    table = TABLES["numbers and categories"]
    target = {"classes": ClassTarget("y", "str", ("a", "b", "c"), (0.2, 0.3, 0.5))}.get(case, INTERVALS["several"][0])
    if case == "two classes":
        target = ClassTarget("y", "bool", (False, True), (0.5, 0.5))
    if case == "many columns":
        table = {f"x{k}": np.random.default_rng(k).normal(size=N_MANY).round(2) for k in range(12)}
        target = INTERVALS["logarithm"][0]
    predictor = with_background(calibrated(table, target), table)
    to_js(predictor, tmp_path / "m.mjs", contributions=True, int8=False)
    rows = dicts(plain({name: cells[6:8] for name, cells in table.items()}))
    given = called(tmp_path / "m.mjs", "given.map(m.explain)", rows)
    expected = predictor.explain(rows)
    assert (expected.permutations is None) == (case != "many columns")
    expected = expected.to_dict()
    for explained, row in zip(given, expected["rows"], strict=True):
        assert explained.keys() == row["outputs"].keys()
        for name, output in row["outputs"].items():
            baseline, prediction, contributions = explained[name].values()
            assert baseline == pytest.approx(expected["baseline"][name], rel=1e-5)
            assert prediction == pytest.approx(output["prediction"], rel=1e-5)
            assert contributions == pytest.approx(output["contributions"], abs=1e-5 * max(1, abs(prediction)))
            assert baseline + sum(contributions.values()) == pytest.approx(prediction, rel=1e-9)


def test_training_rows_are_in_the_file_only_if_asked_for(tmp_path):
    predictor = with_background(calibrated(TABLES["numbers"], INTERVALS["quantiles"][0]), TABLES["numbers"])
    to_js(predictor, tmp_path / "without.mjs")
    to_js(predictor, tmp_path / "with.mjs", contributions=True)
    assert "explain" not in (tmp_path / "without.mjs").read_text()
    assert n_floats(tmp_path / "with.mjs") - n_floats(tmp_path / "without.mjs") == predictor.background.size
    predictor.background = None
    with pytest.raises(ValueError, match="background rows"):
        to_js(predictor, tmp_path / "none.mjs", contributions=True)


def n_floats(path):
    return len(re.search(r'const WEIGHTS = "(.*)"', path.read_text())[1]) * 3 // 16


def test_intervals_need_only_the_weights_of_the_last_layer_again(tmp_path):
    predictor = calibrated(TABLES["all kinds"], INTERVALS["quantiles"][0])
    plain = Predictor(predictor.encoder, replace(predictor.ensemble, scores=None, contrast=None), predictor.target)
    to_js(predictor, tmp_path / "calibrated.mjs")
    to_js(plain, tmp_path / "plain.mjs")
    last_layers = 3 * (12 * 20 + 20 + 3 * 20)  # with the scaling to the target's unit
    added = n_floats(tmp_path / "calibrated.mjs") - n_floats(tmp_path / "plain.mjs")
    assert 999 < added <= 999 + 4 + last_layers


USUAL = {
    "born": "1999-01-02", "seen": "2024-03-05 10:30:15", "color": "red", "sex": "f", "only": "once", "stars": "2",
    "height": 171.0, "weight": 70.0,
}  # fmt: skip
HOSTILE = {
    "height": [
        "", " ", " NA ", "171.5", " 1.7e2", True, 171, "1 171", "(5)", "-5", "- 5", "0x1F", "12abc", "1_000", "007",
        "true", "False", "+3.", ".5", "1,234", "$5", "5%", "\u22125", "1'234", "1'23", "nan", "inf", "Infinity",
        "1e400", [], {}, "--", "1.2.3", "5e", "e5",
    ],
    "color": ["red", "RED", " red ", "", "violet", 3, 3.5, True, "Deep  Blue", "ｒｅｄ", "deep blue", '"?@\\*/É'],
    "sex": ["f", "m", "M", "true", "1", "no", 0],
    "stars": ["1", 1, 1.0, "1.0", "01", "+2", True, 2.5, "2.", 1e21, 0.00001],
    "born": [
        "1999-12-31", "-", "0001-01-01", "9999-12-31", "2000-02-29", "1900-02-29", "2024-13-01", "2024-04-31", "99-1-1",
        "2024-3-1", "20240301", 3, "2024/03/01", "2024-03-01T24:00", "0000-01-01", "1969-12-31", "n.a.",
    ],
    "seen": [
        "2024-03-01T12:30Z", "2024-03-01 12:30:45.5+0130", "2024-03-01T12:30:45-05:00", "2024-02-29 23:59:59.123456789",
        "2024-03-01T12:30+25:00", "2024-03-01", "1950-06-15", "2024-03-01T12:61",
    ],
}  # fmt: skip


def answers_of(predictor, row):
    """Return the predictor's predictions for a row; None if it refuses it."""
    try:
        return predictor.predictions([row])[0].tolist()
    except (ValueError, TypeError, OverflowError):
        return None


@needs_node
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_unusual_cells_are_read_as_python_reads_them(zone, who):
    predictor, path = who
    rows = [USUAL | {name: cell} for name, cells in HOSTILE.items() for cell in cells]
    given = called(path, "given.map((row) => attempt(() => Object.values(m.predictProba(row))))", rows, zone)
    for row, answer in zip(rows, given):
        expected = answers_of(predictor, row)
        if expected is None:
            assert isinstance(answer, str), (row, answer)
            assert answer.startswith("CellError: column "), row
        else:
            np.testing.assert_allclose(answer, expected, atol=1e-6, err_msg=str(row))


def written_tables():
    """Return predictors of one column that is written in some way, with texts to read."""
    for unit, texts in {
        "$": ["$5", "5$", "-$1.5", "($7)", "5", "€5", "$"],
        "kg": ["5 kg", "5kg", "kg 5", "5 kgs"],
    }.items():
        yield NumberColumn("x", 3.0, 0.4, format=NumberFormat(unit=unit)), texts
    european = NumberFormat(decimal=",", thousands=".", words=("leer",), sentinels=(-999.0,))
    texts = ["1.234,5", "12.34", "1,5", "1.5", "leer", "-999", "1 234", "1.23.456", "7", "1.000.000"]
    yield NumberColumn("x", 3.0, 0.4, indicator=True, format=european), [*texts, -999, 2.5]
    dates = {
        "ISO 8601": ["2024-03-01"],
        "year, month, day": ["2024/3/1", "2024.03.01 10:30"],
        "day, month, year": [
            "1.3.2024",
            "1/3/24",
            "31/12/69",
            "1 March 2024",
            "1st Mar 2024, 3:05 pm",
            "1-3-24",
            "1 Foo 2024",
        ],
        "month, day, year": ["3/1/2024 12:30 AM", "Mar 1, 2024", "13/1/2024", "3/1/2024 13:00 pm"],
        "year, month": ["2024-03", "2024/13"],
        "yyyymmdd": ["20240301", 20240301, 20241301],
        "time of day": ["10:30", "23:59:59.5", "24:00", "1:05 p.m."],
    }
    assert dates.keys() == DATE_ORDERS.keys()
    for order, texts in dates.items():
        parts = ("days", "month", "weekday", "hour")
        yield DateColumn("x", parts, 19000.0, 1e-3, 2000.0, 0.1, True, DateFormat(order)), [*texts, "2024-03-01", "NA"]


@needs_node
def test_numbers_and_dates_are_read_in_the_format_of_their_column(tmp_path):
    expected = []
    for k, (column, cells) in enumerate(written_tables()):
        state = TabularEncoder().state() | {"columns": [{"kind": column.kind} | as_plain(column)]}
        encoder = TabularEncoder.from_state(json.loads(json.dumps(state)))
        network = mlp(encoder.n_features, 8, 1, seed=k, activation="tanh")
        predictor = Predictor(encoder, network, NumberTarget("y", (0.0,), (1.0,)))
        to_js(predictor, tmp_path / f"{k}.mjs")
        expected += [(k, cell, answers_of(predictor, {"x": cell})) for cell in cells]
    given = node(
        """
        import { readFileSync } from "node:fs";
        const cells = JSON.parse(readFileSync(0, "utf8")), answers = [];
        for (const [k, cell] of cells) {
          const m = await import(`file://${process.argv[1]}/${k}.mjs`);
          try { answers.push(m.predict({ x: cell })); } catch { answers.push(null); }
        }
        console.log(JSON.stringify(answers));
        """,
        tmp_path,
        given=[[k, cell] for k, cell, _ in expected],
    )
    for (k, cell, prediction), answer in zip(expected, given):
        assert (answer is None) == (prediction is None), (k, cell, prediction, answer)
        assert answer is None or answer == pytest.approx(prediction[0], abs=1e-5), (k, cell)
    assert sum(answer is None for answer in given) > 10


@needs_node
def test_values_of_javascript_alone_are_read(who):
    _, path = who
    for other, same in [
        ("{born: new Date(Date.UTC(1999, 0, 2))}", "{}"),
        ("{height: 171n}", "{}"),
        ("{height: undefined}", "{height: NaN}"),
        ("{sex: NaN}", "{sex: null}"),
        ("{stars: 2n}", "{}"),
    ]:
        first, second = called(path, f"[{other}, {same}].map((cells) => m.predictProba({{...given, ...cells}}))", USUAL)
        assert first == second, other


@needs_node
def test_a_bad_cell_names_its_column_row_and_value(who):
    _, path = who
    message, name, fields = called(
        path,
        """((e) => [e.message, e.name, [e.column, e.row, e.value, e instanceof m.CellError]])(
          (() => { try { m.predictAll(given) } catch (error) { return error } })())""",
        [USUAL, USUAL | {"height": "tall"}],
    )
    assert message == 'column "height", row 2: expected a finite number, got "tall"'
    assert (name, fields) == ("CellError", ["height", 2, "tall", True])


@needs_node
def test_a_column_missing_from_all_rows_is_an_error_and_from_some_is_not(who):
    predictor, path = who
    partial_row = {name: cell for name, cell in USUAL.items() if name != "sex"}
    alone, beside, not_an_object, short = called(
        path,
        """[attempt(() => m.predict(given)), m.predictAll([{...given, sex: null}, given]),
          attempt(() => m.predict(3)), attempt(() => m.predict([1, 2]))]""",
        partial_row,
    )
    assert alone == 'RangeError: columns missing from the table: "sex"'
    assert beside == predictor.predict([partial_row | {"sex": None}] * 2).tolist()
    assert not_an_object == "TypeError: a row must be an object of cells, got 3"
    assert short == "RangeError: a row must have 8 cells, got 2"


@needs_node
def test_cells_unlike_those_of_training_are_listed(tmp_path):
    predictor = predictor_of(TABLES["numbers and categories"], TARGETS["text"])
    predictor.metadata["columns"] = [{"name": "height", "kind": "number", "min": 150.0, "max": 190.0}]
    to_js(predictor, tmp_path / "who.mjs")
    row = {name: cells[0] for name, cells in plain(TABLES["numbers and categories"]).items()}
    usual = row | {"height": 170}
    given = called(
        tmp_path / "who.mjs",
        "[m.unusual(given), m.unusual({...given, height: 300, color: 'violet', weight: null, sex: null})]",
        usual,
    )
    assert given == [
        [],
        [
            {"column": "color", "value": "violet", "why": "category"},
            {"column": "height", "value": 300, "why": "range"},
            {"column": "weight", "value": None, "why": "missing"},
        ],
    ]


@needs_node
@pytest.mark.parametrize("int8", [False, True])
def test_the_self_test_passes_and_fails_for_a_modified_file(int8, tmp_path):
    path = tmp_path / "table.mjs"
    written = to_js(predictor_of(TABLES["all kinds"], TARGETS["numbers"]), path, int8=int8)
    result = called(path, "m.selfTest()")
    assert result["rows"] == written.n_rows == 16
    assert result["ok"]
    text = path.read_text()
    for right, wrong in [
        ("1.0507009873554805", "1.06"),
        ("a + b + (c + d)", "a + b"),
        ("** 2", "** 3"),
        ("/ 864e5 +", "/ 864e6 +"),
    ]:
        assert right in text
        path.write_text(text.replace(right, wrong))
        assert not called(path, "m.selfTest()")["ok"], right


@needs_node
@pytest.mark.parametrize(
    ("target", "right", "wrong"),
    [
        (INTERVALS["quantiles"][0], "2 ** -23) ** power", "2 ** -23) ** 0.99"),
        (ClassTarget("y", "str", ("a", "b", "c"), (0.2, 0.3, 0.5)), "1 - P[k] <= setLimit", "1 - P[k] > setLimit"),
    ],
)
def test_the_self_test_checks_intervals_and_sets(target, right, wrong, tmp_path):
    path = tmp_path / "calibrated.mjs"
    to_js(calibrated(TABLES["numbers"], target), path)
    assert called(path, "m.selfTest()")["ok"]
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    assert not called(path, "m.selfTest()")["ok"]


@needs_node
def test_8_bit_weights_are_smaller_and_their_loss_is_measured_on_given_rows(tmp_path):
    network = mlp(3, 64, 64, 2, seed=0, activation="tanh")
    X = np.random.default_rng(0).uniform(1000, 1100, (50, 3)).astype(np.float32)
    exact, quantized = to_js(network, tmp_path / "a.mjs"), to_js(network, tmp_path / "b.mjs", int8=True, rows=X)
    assert quantized.n_bytes < exact.n_bytes / 1.6
    given = np.array(called(tmp_path / "b.mjs", "m.predictAll(given)", X.tolist()))
    units = np.maximum(1, np.abs(network(X)).max(axis=0))
    assert quantized.loss == pytest.approx(np.max(np.abs(given - network(X)) / units), rel=1e-3)
    assert (
        f"8 bits; largest difference this causes on 50 given rows: {quantized.loss:.1e}"
        in (tmp_path / "b.mjs").read_text()
    )
    with pytest.raises(ValueError, match="rows must be given with int8=True"):
        to_js(network, tmp_path / "c.mjs", rows=X)


def test_writing_twice_gives_the_same_bytes(who, tmp_path):
    predictor, path = who
    to_js(predictor, tmp_path / "again.mjs")
    assert (tmp_path / "again.mjs").read_bytes() == path.read_bytes()


ODD = {
    "constructor": [1.0, 2, 3, 4],
    "__proto__": [2.0, 1, 3, 4],
    "b</script><!--": ["x\n", "*/ /* </script>", "x\n", "*/ /* </script>"],
    "\u2028'`${": ["\u2029", '"', "\u2029", '"'],
}


@needs_node
def test_odd_names_are_data(tmp_path):
    labels = np.array(["</script>", "__proto__", "</script>", "__proto__"])
    predictor = predictor_of(ODD, labels)
    to_js(predictor, tmp_path / "odd.mjs")
    text = (tmp_path / "odd.mjs").read_text()
    assert text.isascii()
    assert "</script" not in text
    assert "<!--" not in text
    arrays = [list(cells) for cells in zip(*ODD.values())]
    predicted, names = called(
        tmp_path / "odd.mjs", "[m.predictAll(given), Object.keys(m.predictProba(given[0]))]", arrays
    )
    assert predicted == predictor.predict(ODD).tolist()
    assert names == list(predictor.target.labels)
    missing = called(tmp_path / "odd.mjs", "attempt(() => m.predict({}))")
    assert missing.startswith('RangeError: columns missing from the table: "constructor", "__proto__"')


def test_no_text_is_executed_and_nothing_is_fetched(who):
    _, path = who
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', path.read_text())
    assert not re.findall(r"\b(eval|Function|fetch|document|window|process|require|import|WebAssembly)\b", text)


@needs_node
def test_the_runtime_beside_the_model_is_small(tmp_path):
    """What is the same for all models with such columns, as a script within a page and compressed as servers do."""
    runtimes = {}
    for kind in TABLES:
        to_js(predictor_of(TABLES[kind], TARGETS["text"], n_bins=3), tmp_path / "table.js", inline=True)
        text = re.sub(r"const (?:WEIGHTS|GOLDEN|schema) = .*;", "", (tmp_path / "table.js").read_text())
        runtimes[kind] = text[: text.index("function encode")]
    code = """
        import { readFileSync } from "node:fs";
        import { brotliCompressSync } from "node:zlib";
        const texts = Object.values(JSON.parse(readFileSync(0, "utf8")));
        console.log(JSON.stringify(texts.map((text) => brotliCompressSync(text).length)));
    """
    sizes = node(code, given=runtimes)
    assert min(sizes) > 1000
    assert max(sizes) < 4096
    gzipped = {kind: len(zlib.compress(runtime.encode(), 9)) for kind, runtime in runtimes.items()}
    assert gzipped["numbers and categories"] < 3700


@pytest.mark.skipif(TSC is None, reason="there is no tsc: npm install --global typescript")
def test_the_module_has_strict_types(tmp_path):
    for k, (kind, target) in enumerate(
        [("all kinds", "text"), ("numbers", "numbers"), ("many categories", "booleans")]
    ):
        to_js(predictor_of(TABLES[kind], TARGETS[target], n_bins=3), tmp_path / f"m{k}.mjs", int8=k == 1)
    for k, name in enumerate(
        ("layer Residual", "layer Lookup", "layer Periodic", "layer LayerNorm", "loss cross_entropy")
    ):
        to_js(NETWORKS[name](), tmp_path / f"n{k}.mjs")
    to_js(predictor_of(ODD, np.array(["*/", "b", "*/", "b"])), tmp_path / "odd.mjs")
    for name in ("quantiles", "several"):
        to_js(calibrated(TABLES["numbers"], INTERVALS[name][0]), tmp_path / f"{name}.mjs")
    set_predictor = calibrated(TABLES["numbers"], ClassTarget("y", "str", ("a", "b"), (0.5, 0.5)))
    to_js(with_background(set_predictor, TABLES["numbers"]), tmp_path / "set.mjs", contributions=True)
    wide = {f"x{k}": NUMBERS["weight"] + k for k in range(12)}
    to_js(with_background(calibrated(wide, set_predictor.target), wide), tmp_path / "wide.mjs", contributions=True)
    (tmp_path / "use.mts").write_text(
        """
        import { predict, predictAll, predictProba, schema, selfTest, unusual } from "./m0.mjs";
        import { predict as number } from "./m1.mjs";
        import { predictInterval } from "./quantiles.mjs";
        import { predictInterval as intervals } from "./several.mjs";
        import { explain, predictSet } from "./set.mjs";
        const row = { born: "1999-01-02", seen: new Date(), color: "red", sex: null, only: undefined, stars: 3,
                      height: 171, weight: "70" };
        const label: "a" | 'b, "c"' | "\\u00fc" = predict(row);
        const proba: number = predictProba(row)["a"];
        const y: number = number([1, 2]);
        const all: string[] = predictAll([row, row]);
        const low: number = predictInterval([1, 2])[0], high: number = intervals([1, 2], 0.8)[1][1];
        const moved: number = explain([1, 2])["b"].contributions["height"];
        const set: ("a" | "b")[] = predictSet([1, 2], 0.8, { byClass: true });
        // @ts-expect-error
        predict({ born: "1999-01-02" });
        console.log(label, proba, y, all, low, high, moved, set);
        console.log(schema.columns[0].name, selfTest().ok, unusual(row)[0].why);
        """
    )
    flags = ["--allowJs", "--checkJs", "--strict", "--noEmit", "--target", "es2022", "--module", "nodenext"]
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run([TSC, *flags, *files], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


class Handler(SimpleHTTPRequestHandler):
    """Serves files under a strict content security policy."""

    policy = "default-src 'none'; script-src 'self'; base-uri 'none'; require-trusted-types-for 'script'"

    def end_headers(self):
        self.send_header("Content-Security-Policy", self.policy)
        super().end_headers()

    def guess_type(self, path):
        return "text/javascript" if str(path).endswith("js") else super().guess_type(path)

    def log_message(self, *arguments):
        """Be silent."""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_it_runs_under_a_strict_content_security_policy(who, tmp_path):
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    predictor, path = who
    shutil.copy(path, tmp_path / "who.mjs")
    to_js(predictor, tmp_path / "inline.js", inline=True)
    (tmp_path / "page.mjs").write_text(
        f"""import {{ predict, selfTest }} from "./who.mjs";
        let refused = false;
        try {{ eval("1"); }} catch {{ refused = true; }}
        document.title = JSON.stringify([predict({json.dumps(USUAL)}), selfTest().ok, refused]);"""
    )
    (tmp_path / "page.html").write_text('<!doctype html><script type="module" src="page.mjs"></script>')
    script = (tmp_path / "inline.js").read_text() + (
        f"document.title = JSON.stringify([inline.predict({json.dumps(USUAL)}), inline.selfTest().ok, true]);"
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; script-src 'sha256-{digest}'"
    (tmp_path / "inline.html").write_text(
        f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{policy}"><script>{script}</script>'
    )
    server = HTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page()
            errors = []
            page.on("console", lambda message: errors.append(message.text))
            page.on("pageerror", lambda error: errors.append(str(error)))
            for address in (f"http://127.0.0.1:{server.server_port}/page.html", (tmp_path / "inline.html").as_uri()):
                page.goto(address)
                page.wait_for_function("document.title", timeout=60_000)
                assert json.loads(page.title()) == [predictor.predict([USUAL])[0], True, True]
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
    assert [error for error in errors if not re.search("eval|TrustedScript|404", error)] == []


@needs_node
def test_raw_numbers_are_read_as_the_encoder_reads_them(tmp_path):
    raw = Predictor(TabularEncoder.raw(["a"]), mlp(1, 4, 1, seed=0), NumberTarget("y", (1.0,), (3.0,)))
    to_js(raw, tmp_path / "raw.mjs")
    cells = [*HOSTILE["height"], 1e300, "1e300", None, True]
    given = called(tmp_path / "raw.mjs", "given.map((a) => attempt(() => m.predict({a})))", cells)
    for cell, answer in zip(cells, given):
        expected = answers_of(raw, {"a": cell})
        decoded = None if expected is None else pytest.approx(raw.predict([{"a": cell}])[0], rel=1e-5)
        assert (None if isinstance(answer, str) else answer) == decoded, cell


@needs_node
def test_several_outputs_and_classes_that_are_no_texts(tmp_path):
    network = mlp(3, 4, 2, loss="cross_entropy", seed=0)
    booleans = Predictor(
        TabularEncoder.raw(["a", "b", "c"]), network, ClassTarget("y", "bool", (False, True), (0.5, 0.5))
    )
    to_js(booleans, tmp_path / "raw.mjs")
    row = {"a": 1, "b": "2", "c": 0.5}
    label, names, missing = called(
        tmp_path / "raw.mjs",
        "[m.predict(given), Object.keys(m.predictProba(given)), attempt(() => m.predict({...given, b: null}))]",
        row,
    )
    assert label is bool(booleans.predict([{"a": 1.0, "b": 2.0, "c": 0.5}])[0])
    assert names == ["false", "true"]
    assert missing == 'CellError: column "b", row 1: expected a finite number, got null'
    two = Predictor(
        TabularEncoder.raw(["a", "b", "c"]),
        Ensemble((mlp(3, 4, 2, seed=0),)),
        NumberTarget("y", (1.0, 2.0), (3.0, 4.0)),
    )
    to_js(two, tmp_path / "two.mjs")
    np.testing.assert_allclose(
        called(tmp_path / "two.mjs", "m.predict(given)", row),
        two.predict([{"a": 1.0, "b": 2.0, "c": 0.5}])[0],
        rtol=1e-5,
    )
    assert not called(tmp_path / "two.mjs", "'predictProba' in m")


@needs_node
@pytest.mark.parametrize(("file", "name"), [("my model.js", "my_model"), ("class.js", "class_"), ("2.js", "n2")])
def test_a_script_for_a_page_defines_a_constant_that_has_a_valid_name(file, name, tmp_path):
    to_js(mlp(2, 3, 1, seed=0), tmp_path / file, inline=True)
    code = (tmp_path / file).read_text() + f"console.log(JSON.stringify({name}.selfTest().ok));"
    assert node(code) is True


def test_custom_layers_are_rejected_by_name(tmp_path):
    own = Activation(lambda Z: (Z, lambda dA: dA))
    with pytest.raises(ValueError, match=r"got Activation.* as layer 1"):
        to_js(Network([Dense(2, 2), own]), tmp_path / "net.mjs")
    assert list(tmp_path.iterdir()) == []
