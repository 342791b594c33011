import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
from html import escape
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy.stats import binomtest
from typer.testing import CliRunner

from chainrule import mlp
from chainrule import train as train_network
from chainrule.app import cli, commands, csv_file, scores, tables, train
from chainrule.app.tables import TableFile
from chainrule.app.training_display import TrainingDisplay
from chainrule.data.splits import Structure, hold_out
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.files.model import load, save
from chainrule.training.callbacks import Callback

PENGUINS = Path(__file__).parent.parent / "examples/data/penguins.csv"
FAST = ["--quality", "fast", "--folds", "2", "--jobs", "1"]
QUICK = [*FAST, "--epochs", "2", "--quiet"]


def run(*arguments):
    """Run the command in this process; return its exit code, output and errors."""
    return CliRunner().invoke(commands.app, [str(argument) for argument in arguments])


def shell(*arguments, **options):
    """Run the command in a new process."""
    command = [sys.executable, "-m", "chainrule", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def files(folder):
    return sorted(os.listdir(folder))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Run every test in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def house():
    """A small table for regression, with a missing value, a category, an identifier and a constant."""
    rng = np.random.default_rng(0)
    size = rng.uniform(40, 200, 120).round(1)
    frame = pl.DataFrame(
        {
            "house_id": range(120),
            "size": [None if i == 5 else s for i, s in enumerate(size.tolist())],
            "roof": rng.choice(["tile", "slate"], 120).tolist(),
            "country": ["x"] * 120,
            "price": (1000 * size + rng.normal(0, 5000, 120)).round(2),
        }
    )
    frame.write_csv("house.csv")
    return frame


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of the penguins, trained briefly."""
    path = tmp_path_factory.mktemp("model") / "penguins.chainrule"
    assert run("train", PENGUINS, "--target", "species", *FAST, "--epochs", 20, "--out", path, "-q").exit_code == 0
    return path


# Training.


def test_penguins_are_classified_with_the_default_settings():
    done = run("train", PENGUINS, "--target", "species", "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["scores"]["accuracy"] >= 0.97
    assert document["baseline"]["accuracy"] < 0.6
    assert max(document["epochs"]) <= 64


def test_the_output_describes_the_table_the_training_and_the_scores(house, brief_reports):
    done = run("train", "house.csv", "--target", "price", *FAST, "--epochs", 20, "--report", "house.html")
    assert done.exit_code == 0, done.stderr
    for line in (
        "house.csv: 120 rows, 5 columns",
        "house_id  left out  .*identifier",
        r"size +num\w+ +4\d.* to .*, 1 missing",
        "roof +categor\\w+ +2 categories",
        "country +left out +.*constant",
        "price     target    numeric, mean .*, standard deviation .*",
        "96 training rows, 24 test rows, 4 members",
        r"best epoch of each member: \d+ of 20, .*; total time \d+\.\d s",
        "on 24 held-out rows +network +90% interval +mean",
        r"rmse .lower is better. +\d+\S* +\d+\S* to \d+\S* +\d+",
        r"coverage of 90% prediction intervals +\d+\.\d%",
        r"coverage by fifths of the prediction( +\d+%){5}",
        r"Winkler score .lower is better. +\d+",
        r"CRPS .lower is better. +\d+",
        "model +house.chainrule",
        "report +house.html",
        "next:\n  chainrule predict house.chainrule NEW_TABLE --out predictions.csv\n"
        "  chainrule explain house.chainrule NEW_TABLE --row 1\n"
        "  chainrule evaluate house.chainrule LABELED_TABLE\n"
        "  chainrule export house.chainrule --to python\n$",
    ):
        assert re.search(line, done.stdout), line
    assert "\nwriting the report house.html ...\n" in done.stderr
    assert files(".") == ["house.chainrule", "house.csv", "house.html"]
    scores = load("house.chainrule").metadata["scores"]
    assert scores["r2"] > 0.5


def test_quiet_prints_nothing_and_json_prints_a_single_object(house):
    quiet = run("train", "house.csv", "--target", "price", *QUICK)
    assert (quiet.stdout, quiet.stderr) == ("", "")
    done = run("train", "house.csv", "--target", "price", *QUICK, "--json")
    document = json.loads(done.stdout)
    assert done.stderr == ""
    assert document["model"] == "house.chainrule"
    assert document["task"] == "regression"
    assert document["rows"] == {"training": 96, "test": 24}
    assert document["members"] == 4
    kinds = ", ".join(column["kind"] for column in document["columns"])
    assert re.fullmatch(r"left out, num\w+, category, left out", kinds)
    assert set(document["scores"]) == set(document["baseline"]) == set(document["intervals"]) == {"rmse", "mae", "r2"}
    assert all(low < document["scores"][name] < high for name, (low, high) in document["intervals"].items())
    assert 0.5 < document["coverage"] <= 1
    assert np.mean(document["coverage_by_fifth"]) == pytest.approx(document["coverage"], abs=0.02)
    assert 0 < document["crps"] < document["scores"]["rmse"] < document["winkler"]


def test_the_same_seed_gives_the_same_model_and_another_seed_another_model(house):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run("train", "house.csv", "--target", "price", *QUICK, "--out", name, "--seed", seed).exit_code == 0
    a, b, c = (load(name).ensemble.networks[0].theta for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_score_that_is_undefined_on_the_test_rows_is_left_out():
    rare = "x,y\n" + "".join(f"{i % 7},{'rare' if i == 3 else 'usual'}\n" for i in range(40))
    Path("t.csv").write_text(rare)
    document = json.loads(run("train", "t.csv", "--target", "y", *QUICK, "--json").stdout)
    assert (
        set(document["scores"]) == set(document["baseline"]) == set(document["intervals"]) == {"accuracy", "log_loss"}
    )


def test_the_interval_of_a_perfect_score_depends_on_the_number_of_rows():
    target = ClassTarget("y", "str", ("a", "b"), (0.5, 0.5))
    labels = np.array(["a", "b"] * 34, object)
    predictions = np.eye(2)[np.arange(68) % 2] * 0.9 + 0.05
    intervals = scores.score_interval(target, labels, predictions)
    assert intervals["accuracy"] == pytest.approx(proportion_ci(68, 68), abs=1e-6)
    assert intervals["roc_auc"] == pytest.approx(proportion_ci(34, 34), abs=1e-6)
    three = ClassTarget("y", "str", ("a", "b", "c"), (0.4, 0.4, 0.2))
    intervals = scores.score_interval(three, np.array(["a", "b", "c", "c"] * 10, object), np.eye(3)[[0, 1, 2, 0] * 10])
    low = [1 - proportion_ci(10, 10)[0], 1 - proportion_ci(10, 10)[0], 0.5 - proportion_ci(10, 20)[0]]
    assert intervals["balanced_accuracy"][0] == pytest.approx(2.5 / 3 - np.sqrt(np.square(low).sum()) / 3, abs=1e-6)
    assert intervals["balanced_accuracy"][1] == pytest.approx(2.5 / 3 + (proportion_ci(10, 20)[1] - 0.5) / 3, abs=1e-6)


def proportion_ci(hits, n):
    interval = binomtest(hits, n).proportion_ci(0.9, method="wilson")
    return interval.low, interval.high


@pytest.mark.parametrize("p", [0.5, 0.9, 0.98])
def test_the_interval_of_an_accuracy_has_its_nominal_coverage(p):
    rng, target = np.random.default_rng(0), ClassTarget("y", "int64", (0, 1), (0.5, 0.5))
    n_covered = 0
    for _ in range(300):
        y = rng.integers(0, 2, 100)
        predicted = np.where(rng.random(100) < p, y, 1 - y)
        low, high = scores.proportion_intervals(target.encode(y), np.eye(2)[predicted])["accuracy"]
        n_covered += low <= p <= high
    assert 0.85 < n_covered / 300 < 0.96


def test_resampling_fewer_rows_gives_intervals_of_the_same_width(rng, monkeypatch):
    target = NumberTarget("y", (0.0,), (1.0,))
    truth, predictions = rng.normal(size=4000), rng.normal(size=(4000, 1))
    whole = scores.score_interval(target, truth, predictions)
    monkeypatch.setattr(scores, "MAX_RESAMPLED_ROWS", 250)
    fewer = scores.score_interval(target, truth, predictions)
    for name, value in scores.score(target, truth, predictions).items():
        assert fewer[name][0] < value < fewer[name][1]
        assert np.ptp(fewer[name]) == pytest.approx(np.ptp(whole[name]), rel=0.25)


def test_dropped_columns_are_not_used(house):
    assert run("train", "house.csv", "--target", "price", *QUICK, "--drop", "size", "--drop", "house_id").exit_code == 0
    assert [column.name for column in load("house.chainrule").encoder.columns] == ["roof"]


def test_the_task_can_be_chosen():
    pl.DataFrame({"x": range(60), "grade": [i % 3 for i in range(60)]}).write_csv("g.csv")
    assert json.loads(run("train", "g.csv", "--target", "grade", *QUICK, "--json").stdout)["task"] == "classification"
    document = json.loads(run("train", "g.csv", "--target", "grade", *QUICK, "--json", "--task", "regression").stdout)
    assert document["task"] == "regression"


def test_another_table_can_be_tested_on(house):
    house.head(80).write_csv("a.csv")
    house.tail(40).write_csv("b.csv")
    trained = json.loads(run("train", "a.csv", "--target", "price", *QUICK, "--test", "b.csv", "--json").stdout)
    assert trained["rows"] == {"training": 80, "test": 40}
    evaluated = json.loads(run("evaluate", "a.chainrule", "b.csv", "--json").stdout)
    assert evaluated["scores"] == trained["scores"]
    assert evaluated["baseline"] == trained["baseline"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "island,species\nBiscoe,Emperor\n",
            "'species', row 1: expected one of Adelie, Chinstrap, Gentoo, got 'Emperor'",
        ),
        ("island,species\nBiscoe,Adelie\n", "columns 'bill_length_mm', 'bill_depth_mm', .* are missing"),
        ("island\nBiscoe\n", "column 'species'"),
        ("island,species\nBiscoe,\n", "test.csv must have at least one row in which 'species' is known, got none"),
    ],
)
def test_the_test_table_is_checked_before_training(content, message, monkeypatch):
    monkeypatch.setattr(train, "fit_predictor", lambda *_, **__: pytest.fail("training began"))
    Path("test.csv").write_text(content)
    done = run("train", PENGUINS, "--target", "species", "--test", "test.csv")
    assert done.exit_code == 2
    assert re.search(message, done.stderr)


@pytest.mark.parametrize(
    ("patients", "finding"),
    [
        (
            ["a1", "new"],
            r"1 of 2 groups in column 'patient' of b.csv \(50% of its rows\) are trained on",
        ),
        (["new", "other"], None),
        (None, "b.csv has no column 'patient': whether it shares groups with the training rows is not checked"),
    ],
)
def test_groups_of_the_test_table_that_are_trained_on_are_a_finding(patients, finding, house):
    house.with_columns(patient=pl.Series([f"a{i % 12}" for i in range(120)])).write_csv("a.csv")
    test = house.head(40)
    test = test if patients is None else test.with_columns(patient=pl.Series([patients[i % 2] for i in range(40)]))
    test.write_csv("b.csv")
    done = run("train", "a.csv", "--target", "price", "--group", "patient", "--test", "b.csv", *QUICK, "--json")
    found = [text for text in json.loads(done.stdout)["findings"] if "patient" in text]
    assert len(found) == (finding is not None)
    assert finding is None or re.match(finding, found[0])


def test_with_groups_the_intervals_of_scores_are_those_of_whole_groups(rng):
    groups = np.repeat(np.arange(30), 20)
    y = 3 * rng.normal(size=30)[groups] + 0.1 * rng.normal(size=600)
    frame = pl.DataFrame({"x": rng.normal(size=600), "shop": [f"s{k}" for k in groups], "y": y})
    frame[:400].write_csv("a.csv")
    frame[400:].write_csv("b.csv")
    command = ["train", "a.csv", "--target", "y", "--test", "b.csv", *QUICK, "--json"]
    low, high = json.loads(run(*command, "--drop", "shop").stdout)["intervals"]["rmse"]
    grouped = json.loads(run(*command, "--group", "shop").stdout)["intervals"]["rmse"]
    assert np.ptp(grouped) > 2 * (high - low)
    evaluated = json.loads(run("evaluate", "a.chainrule", "b.csv", "--json").stdout)["intervals"]["rmse"]
    assert evaluated == pytest.approx(grouped)


def test_rows_without_a_target_are_left_out_with_a_notice(house):
    incomplete = house.with_columns(pl.when(pl.col("house_id") % 10 == 0).then(None).otherwise("price").alias("price"))
    incomplete.write_csv("house.csv")
    done = run("train", "house.csv", "--target", "price", *QUICK[:-1])
    assert "note: price: 12 rows with a missing target are not used" in done.stdout
    assert sum(load("house.chainrule").metadata["rows"].values()) == 108


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_a_word_such_as_nan_among_numbers_is_a_missing_target(task):
    values = [str(i % 2 if task == "classes" else i * 1.5) for i in range(60)]
    values[7] = "nan"
    Path("t.csv").write_text("x,y\n" + "".join(f"{i % 9},{value}\n" for i, value in enumerate(values)))
    done = run("train", "t.csv", "--target", "y", *QUICK[:-1])
    assert "note: y: 1 row with a missing target is not used" in done.stdout


def test_a_word_such_as_na_among_names_is_a_category_with_a_notice():
    Path("t.csv").write_text(
        "x,z,y\n" + "".join(f"{i},{'uvNA'[i % 3 :][:2]},{['a', 'b', 'NA'][i % 3]}\n" for i in range(60))
    )
    output = run("train", "t.csv", "--target", "y", *QUICK[:-1]).stdout
    assert "note: y: 'NA' is a class; leave cells empty if the target is missing" in output
    assert re.search("note: .*z.*NA.*leave .*cells empty", output)


def test_the_time_limit_is_respected():
    x = np.linspace(-3, 3, 1000)
    pl.DataFrame({"x": x, "y": np.sin(5 * x)}).write_csv("wave.csv")  # every epoch improves the fit a little
    done = run("train", "wave.csv", "--target", "y", *FAST, "--epochs", 10**6, "--time-limit", 1, "--json")
    document = json.loads(done.stdout)
    assert max(document["epochs"]) < 10**6
    assert any("time limit" in finding for finding in document["findings"])


def test_test_rows_do_not_affect_the_training(house):
    first = json.loads(run("train", "house.csv", "--target", "price", *QUICK, "--json").stdout)
    test = hold_out(Structure(np.zeros(120, np.intp)), 0.2, np.random.default_rng(0)).held_out
    changed = house.with_columns(
        pl.when(pl.col("house_id").is_in(test.tolist())).then(1e6).otherwise("price").alias("price")
    )
    changed.write_csv("house.csv")
    theta = load("house.chainrule").ensemble.networks[0].theta
    second = json.loads(run("train", "house.csv", "--target", "price", *QUICK, "--json").stdout)
    np.testing.assert_array_equal(load("house.chainrule").ensemble.networks[0].theta, theta)
    assert first["scores"]["rmse"] < second["scores"]["rmse"]


@pytest.mark.parametrize("n", [10, 37, 1000])
@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_the_same_fraction_of_every_class_is_held_out_to_within_a_row(n, fraction, rng):
    strata = rng.choice(4, n, p=[0.7, 0.2, 0.09, 0.01])
    split = hold_out(Structure(strata), fraction, rng)
    kept, held = split.training, split.held_out
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(n))
    for k in set(strata.tolist()):
        size = int((strata == k).sum())
        assert abs((strata[held] == k).sum() - fraction * size) <= 1
        assert (strata[kept] == k).any()


def test_identifiers_are_not_trained_on_and_copied_to_the_predictions(house):
    house = house.with_columns(tag=pl.concat_str(pl.lit("h"), "house_id"))
    house.write_csv("house.csv")
    assert run("train", "house.csv", "--target", "price", *QUICK, "--id", "tag").exit_code == 0
    assert "tag" not in [column.name for column in load("house.chainrule").encoder.columns]
    done = run("predict", "house.chainrule", "house.csv", "--out", "a.csv")
    assert (done.exit_code, done.stderr) == (0, "")
    assert pl.read_csv("a.csv")["tag"].to_list() == house["tag"].to_list()
    assert pl.read_csv("a.csv").columns == ["tag", "price"]
    run("predict", "house.chainrule", "house.csv", "--out", "b.csv", "--id", "house_id", "--id", "roof")
    assert pl.read_csv("b.csv").columns == ["house_id", "roof", "price"]


def test_identifiers_keep_the_text_of_the_file_even_if_they_are_also_inputs(monkeypatch):
    codes = [f"{10**15 + i:020d},{i % 7}.50" for i in range(40)]
    Path("t.csv").write_text("code,x,y\n" + "".join(f"{code},{i % 2}\n" for i, code in enumerate(codes)))
    assert run("train", "t.csv", "--target", "y", *QUICK).exit_code == 0
    monkeypatch.setattr(csv_file, "BLOCK_CHARS", 100)
    predictions = run("predict", "t.chainrule", "t.csv", "--id", "code", "--id", "x").stdout.splitlines()
    assert [line.rpartition(",")[0] for line in predictions[1:]] == codes


def test_a_column_of_weights_is_expected_in_prediction(house):
    house.with_columns(w=pl.lit(1.5)).write_csv("house.csv")
    assert run("train", "house.csv", "--target", "price", *QUICK, "--weight", "w").exit_code == 0
    assert run("predict", "house.chainrule", "house.csv").stderr == ""


def test_intervals_are_added_to_the_predictions_and_have_their_coverage(house):
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    wide, narrow = (
        pl.read_csv(run("predict", "house.chainrule", "house.csv", "--interval", level).stdout.encode())
        for level in (0.9, 0.5)
    )
    assert wide.columns == ["price", "price low", "price high"]
    assert ((wide["price low"] < narrow["price low"]) & (narrow["price high"] < wide["price high"])).all()
    assert house["price"].is_between(wide["price low"], wide["price high"]).mean() > 0.8


def test_sets_of_classes_are_added_to_the_predictions():
    assert run("train", PENGUINS, "--target", "species", "--out", "p.chainrule", *QUICK).exit_code == 0
    frame = pl.read_csv(run("predict", "p.chainrule", PENGUINS, "--coverage", 0.95).stdout.encode())
    assert frame.columns == ["species", "species set"]
    sets = [text.split("|") for text in frame["species set"]]
    assert [labels[0] for labels in sets] == frame["species"].to_list()
    truth = pl.read_csv(PENGUINS, null_values=["NA", ""])["species"]
    assert np.mean([label in labels for label, labels in zip(truth, sets)]) > 0.9
    done = run("evaluate", "p.chainrule", PENGUINS)
    assert re.search(r"coverage of 90% prediction sets +\d+\.\d%", done.stdout)
    assert re.search(r"classes in a set .lower is better. +\d\.\d\d", done.stdout)


def test_a_column_of_weights_is_not_an_input_and_rows_of_small_weight_have_little_influence():
    x = [i / 10 for i in range(100)] * 2
    y = [value + 5 for value in x[:100]] + [-value for value in x[100:]]
    pl.DataFrame({"x": x, "y": y, "w": [1000.0] * 100 + [0.001] * 100}).write_csv("t.csv")
    assert run("train", "t.csv", "--target", "y", "--weight", "w", *FAST, "--epochs", 30, "-q").exit_code == 0
    model = load("t.chainrule")
    assert [column.name for column in model.encoder.columns] == ["x"]
    assert abs(model.predict([{"x": 5.0}])[0] - 10) < 2


def test_numbers_can_be_declared_categories(house):
    house.with_columns(zone=pl.col("house_id") % 5).write_csv("house.csv")
    assert run("train", "house.csv", "--target", "price", *QUICK, "--category", "zone").exit_code == 0
    assert {column.name: column.kind for column in load("house.chainrule").encoder.columns}["zone"] == "category"


def test_integer_labels_stay_integers_if_some_are_missing():
    pl.DataFrame({"x": range(60), "y": [None if i == 7 else i % 2 for i in range(60)]}).write_csv("t.csv")
    assert run("train", "t.csv", "--target", "y", *QUICK).exit_code == 0
    assert set(run("predict", "t.chainrule", "t.csv").stdout.splitlines()[1:]) <= {"0", "1"}


def test_labels_that_differ_only_in_whitespace_give_a_notice():
    Path("t.csv").write_text("x,y\n" + "".join(f"{i},{['a', 'b', 'a '][i % 3]}\n" for i in range(60)))
    assert (
        "note: y: 'a', 'a ' are different classes; they differ only in spelling"
        in run("train", "t.csv", "--target", "y", *QUICK[:-1]).stdout
    )


def test_control_characters_are_escaped(house):
    house.rename({"roof": "\x1b[31mroof"}).write_csv("house.csv")
    done = run("train", "house.csv", "--target", "price", *QUICK[:-1])
    assert "\\x1b[31mroof" in done.stdout
    assert "\x1b" not in done.stdout


def test_tables_and_predictions_go_through_pipes(model):
    frame = pl.read_csv(PENGUINS, null_values="NA")
    texts = {"csv": frame.write_csv(), "jsonl": frame.write_ndjson()}
    piped = shell("predict", model, "-", "--format", "csv", input=texts["csv"]).stdout
    arguments = ["predict", str(model), "-", "--format", "jsonl"]
    predictions = [piped, CliRunner().invoke(commands.app, arguments, input=texts["jsonl"]).stdout]
    assert predictions == [run("predict", model, PENGUINS).stdout] * 2
    assert len(predictions[0].splitlines()) == 345


def test_batches_give_the_same_predictions_as_the_whole_table(model, monkeypatch):
    whole = pl.read_csv(run("predict", model, PENGUINS, "--proba").stdout.encode())
    monkeypatch.setattr(tables, "BATCH_ROWS", 50)
    monkeypatch.setattr(csv_file, "BLOCK_CHARS", 3000)
    parts = pl.read_csv(run("predict", model, PENGUINS, "--proba").stdout.encode())
    assert parts["species"].equals(whole["species"])
    np.testing.assert_allclose(parts[:, 1:].to_numpy(), whole[:, 1:].to_numpy(), rtol=1e-9)
    lines = PENGUINS.read_text().splitlines()
    place = lines[0].split(",").index("body_mass_g")
    cells = lines[200].split(",")
    cells[place] = "heavy"
    Path("t.csv").write_text("\n".join([*lines[:200], ",".join(cells), *lines[201:]]) + "\n")
    done = run("predict", model, "t.csv", "--out", "predictions.csv")
    assert done.exit_code == 2
    assert re.search("'body_mass_g'.* row 200.* 'heavy'", done.stderr)
    assert files(".") == ["t.csv"]


def test_the_stored_command_names_files_without_their_directories(house, here, monkeypatch):
    (here / "secret").mkdir()
    os.rename("house.csv", "secret/house.csv")
    arguments = [
        "train", f"{here}/secret/house.csv", "--target", "price", "--out=./secret/h.chainrule", "--drop", "a/b", *QUICK,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["/opt/bin/chainrule", *arguments])
    assert run(*arguments[:4], "--out=./secret/h.chainrule", *QUICK).exit_code == 0
    assert "command" not in load("secret/h.chainrule").metadata
    assert run(*arguments[:4], "--out=./secret/h.chainrule", "--keep-command", *QUICK).exit_code == 0
    metadata = load("secret/h.chainrule").metadata
    command = "chainrule train house.csv --target price --out=h.chainrule --drop a/b "
    assert metadata["command"].startswith(command)
    assert "secret" not in json.dumps(metadata)


def test_a_bare_network_is_inspected():
    save(mlp(2, 3, 1, seed=0), "net.chainrule")
    output = run("inspect", "net.chainrule").stdout
    assert output.startswith("a network without a table, 13 parameters, ")
    assert "Dense(2, 3" in output
    document = json.loads(run("inspect", "net.chainrule", "--json").stdout)
    assert (document["networks"], document["parameters"], len(document["layers"])) == (1, 13, 3)


def test_a_model_is_inspected(model):
    output = run("inspect", model).stdout
    for line in (
        r"classification of species: 3 classes: Adelie, Chinstrap, Gentoo",
        r"[24] networks, [\d,]+ parameters and [\d,]+ KB in total; the largest network:",
        r"island +category +3 categories",
        r"bill_length_mm +num\w+ +32.1 to 59.6, 2 missing",
        r"Dense\(\d+, 3\b",
        r"date +\d{4}-\d\d-\d\d \d\d:\d\d UTC\n",
        r"seed +0",
        r"background +64 encoded training rows, for explanations",
        r"test accuracy +(0\.9\d+|1\.0000)",
    ):
        assert re.search(line, output), line
    document = json.loads(run("inspect", model, "--json").stdout)
    assert document["networks"] in (2, 4)
    assert document["background_rows"] == 64
    assert document["bytes"] == model.stat().st_size
    assert document["metadata"]["rows"] == {"training": 276, "test": 68}


def test_a_report_is_written_for_an_existing_model(model, brief_reports):
    Path("penguins.csv").write_text("".join(PENGUINS.read_text().splitlines(keepends=True)[::8]))
    done = run("report", model, "penguins.csv")
    assert (done.exit_code, done.stdout) == (0, "report  penguins.html\n")
    assert done.stderr.startswith("writing the report penguins.html ...\n")
    assert "species" in Path("penguins.html").read_text()
    assert run("report", model, "penguins.csv", "--out", "no/r.html").exit_code == 2


# Progress.


def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=120, legacy_windows=False)


def train_two(display, callback=None):
    """Train two members for two epochs of two batches each."""
    X, y = np.zeros((4, 1)), np.zeros((4, 1))
    for member in range(2):
        callbacks = [*display.callbacks_for(member), *([callback] if callback else [])]
        train_network(mlp(1, 1), X, y, batch_size=2, epochs=2, validation=(X, y), callbacks=callbacks)


def test_without_a_terminal_each_member_has_a_line(capsys):
    with TrainingDisplay(2) as display:
        train_two(display)
    lines = capsys.readouterr().err.splitlines()
    assert [re.sub(r"\d[\d.e-]*", "#", line) for line in lines] == [
        "member # of #: # epochs, training loss #, validation loss #, # s"
    ] * 2
    assert lines[1].startswith("member 2 of 2: 2 epochs")


def test_on_a_terminal_every_member_has_a_bar_and_all_together_the_time_remaining():
    console = terminal()
    with TrainingDisplay(2, console=console) as display:
        fractions, shown = [], []

        class Record(Callback):
            def on_batch_end(self, run):
                fractions.append(display.fraction)
                display.refresh()
                shown.append([task.fields["state"] for task in display.bars.tasks])

        train_two(display, Record())
        display.refresh()
        display.bars.refresh()
    assert fractions == [k / 8 for k in range(1, 9)]
    assert [task.description for task in display.bars.tasks] == ["training", "member 1", "member 2"]
    assert re.fullmatch(r"1 of 2 members trained, about \d+ s remaining", shown[-1][0])
    assert re.fullmatch(r"epoch 2 of 2, training loss \S+, validation loss \S+", shown[-1][2])
    assert "member 2" in console.file.getvalue()
    assert [task.completed for task in display.bars.tasks] == [1, 1, 1]


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (89, "89 s"), (1304, "22 min"), (5000, "83 min"), (5400, "1.5 h")]
)
def test_the_time_remaining_is_shown_in_a_readable_unit(seconds, text, monkeypatch):
    monkeypatch.setattr(TrainingDisplay, "seconds_remaining", seconds)
    with TrainingDisplay(2, silent=True) as display:
        train_two(display)
        assert f"about {text} remaining" in display.line()


def test_findings_about_the_table_are_printed_and_reported(house, brief_reports):
    leaking = house.with_columns(tax=pl.col("price") * 0.07)
    leaking.write_csv("house.csv")
    done = run("train", "house.csv", "--target", "price", *FAST, "--epochs", 5, "--report", "r.html")
    (finding,) = load("house.chainrule").metadata["findings"]
    assert re.search(r"\btax\b", finding)
    assert f"what to try next:\n  {finding}\n" in done.stdout
    assert f"<li>{escape(finding)}</li>".replace("&#x27;", "&#39;") in Path("r.html").read_text()


def test_a_healthy_training_has_no_findings(model):
    assert load(model).metadata["findings"] == []


# Interruption.


class InterruptAt(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, run):
        if run.epoch == self.epoch:
            raise KeyboardInterrupt


def interrupt(monkeypatch, member, epoch):
    """Raise KeyboardInterrupt in one epoch of one member."""
    callbacks = lambda display, k: [InterruptAt(epoch)] if k == member else []  # noqa: E731
    monkeypatch.setattr(TrainingDisplay, "callbacks_for", callbacks)


def test_an_interrupt_keeps_the_best_networks_with_a_message(house, monkeypatch):
    interrupt(monkeypatch, member=1, epoch=3)
    done = run("train", "house.csv", "--target", "price", *FAST, "--epochs", 6)
    assert done.exit_code == 0
    message = r"interrupted; restored the best weights of every .*; best epoch of each member: \d of 6, \d of 3;"
    assert re.search(message, done.stdout)
    assert load("house.chainrule").metadata["epochs"] == [6, 3]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
def test_a_second_interrupt_does_not_lose_the_model(sent, house, monkeypatch):
    score_on = train.score_on

    def interrupt_again(*arguments):
        os.kill(os.getpid(), sent)
        return score_on(*arguments)

    monkeypatch.setattr(train, "score_on", interrupt_again)
    before = signal.getsignal(sent)
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    assert load("house.chainrule").metadata["scores"]
    assert sent == signal.SIGTERM or signal.getsignal(sent) == before


def test_an_interrupted_report_leaves_the_model(house, monkeypatch):
    from chainrule.app import report

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "write_report", interrupt)
    done = run("train", "house.csv", "--target", "price", *QUICK, "--report", "r.html")
    assert (done.exit_code, files(".")) == (130, ["house.chainrule", "house.csv"])
    assert done.stderr == "chainrule: interrupted; the model is written, the report is not\n"


def test_resuming_reports_the_epochs_that_are_done(house):
    options = ["--checkpoint", "c", "--resume", *FAST, "--epochs", 4]
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, member=1, epoch=2)
        assert run("train", "house.csv", "--target", "price", *options).exit_code == 0
    done = run("train", "house.csv", "--target", "price", *options)
    assert re.search(r"resuming from c: the members have been trained for 4, [01], 0, 0 epochs", done.stdout)
    assert load("house.chainrule").metadata["epochs"] == [4] * 4


def test_an_interrupt_before_the_first_epoch_writes_nothing(house, monkeypatch):
    interrupt(monkeypatch, member=0, epoch=0)
    done = run("train", "house.csv", "--target", "price", "--jobs", 1, "--report", "r.html")
    assert done.exit_code == 130
    assert done.stderr == "chainrule: interrupted; nothing was written\n"
    assert files(".") == ["house.csv"]


@pytest.mark.parametrize(("sent", "jobs"), [(signal.SIGINT, "1"), (signal.SIGTERM, "2")])
def test_a_real_interrupt_keeps_a_model_too(sent, jobs, house):
    arguments = ["train", "house.csv", "--target", "price", *FAST[:-1], jobs, "--epochs", "100000"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", NEVER_ENDING.format(arguments=arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            assert any(line.startswith("epoch 5") for line in process.stderr)  # a slow start has lines before it
            process.send_signal(sent)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert "interrupted; restored the best weights" in out
    assert load("house.chainrule").predict([{"size": 100, "roof": "tile"}]).shape == (1,)


NEVER_ENDING = """
import sys
from chainrule.app import cli, training_display
from chainrule.training.callbacks import Callback

class Announce(Callback):
    def on_epoch_end(self, run):
        if not run.stop.startswith("interrupted"):
            run.stop = ""
        if run.epoch == 5:
            print("epoch 5", file=sys.stderr)

training_display.TrainingDisplay.callbacks_for = lambda display, member: [Announce()]
sys.argv = ["chainrule", *{arguments}]
cli.main()
"""


# Predicting and evaluating.


def test_predictions_are_printed_in_the_order_of_the_rows(model):
    done = run("predict", model, PENGUINS)
    assert done.exit_code == 0, done.stderr
    predictions = done.stdout.splitlines()
    assert predictions[0] == "species"
    actual = pl.read_csv(PENGUINS)["species"].to_list()
    assert len(predictions) == 1 + len(actual)
    assert np.mean(np.array(predictions[1:]) == np.array(actual)) > 0.9


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.parquet", "p.arrow", "p.jsonl"])
def test_predictions_are_written_in_the_format_of_the_suffix(name, model):
    assert run("predict", model, PENGUINS, "--out", name, "--proba").exit_code == 0
    frame = TableFile(Path(name)).read()
    assert frame.columns == ["species", "species=Adelie", "species=Chinstrap", "species=Gentoo"]
    P = frame.select(pl.exclude("species")).to_numpy()
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(
        np.array(["Adelie", "Chinstrap", "Gentoo"])[P.argmax(axis=1)], frame["species"].to_numpy()
    )
    assert files(".") == [name]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.parquet", "t.arrow", "t.jsonl", "semicolons.csv"])
def test_the_format_of_the_table_does_not_matter(name, model):
    frame = pl.read_csv(PENGUINS)
    writers = {"t.parquet": frame.write_parquet, "t.arrow": frame.write_ipc, "t.jsonl": frame.write_ndjson}
    if name in writers:
        writers[name](name)
    elif name.endswith(".gz"):
        Path(name).write_bytes(gzip.compress(PENGUINS.read_bytes()))
    else:
        frame.write_csv(name, separator={"t.tsv": "\t", "semicolons.csv": ";"}.get(name, ","))
    assert run("predict", model, name).stdout == run("predict", model, PENGUINS).stdout


def test_column_order_extra_columns_and_unseen_categories_are_accepted(model):
    frame = pl.read_csv(PENGUINS)
    frame.select(*reversed(frame.columns), pl.lit(3).alias("new")).write_csv("t.csv")
    assert run("predict", model, "t.csv").stdout == run("predict", model, PENGUINS).stdout
    frame.head(3).with_columns(pl.lit("Atlantis").alias("island"), pl.lit(None).alias("sex")).write_csv("t.csv")
    assert len(run("predict", model, "t.csv").stdout.splitlines()) == 4


def test_the_prediction_for_a_row_does_not_depend_on_the_other_rows():
    rng = np.random.default_rng(0)
    flags, codes, grades = (rng.choice(pool, 200) for pool in (["true", "false"], ["01", "1", "1e3"], ["7.0", ""]))
    y = (
        (flags == "true") * 5
        + (codes == "01") * 20
        + (codes == "1e3") * 60
        + (grades == "7.0") * 1
        + rng.normal(size=200)
    )
    rows = [f"{flag},{code},{grade},{y:.2f}" for flag, code, grade, y in zip(flags, codes, grades, y)]
    header = "flag,code,grade,y"
    Path("all.csv").write_text("\n".join([header, *rows]))
    done = run("train", "all.csv", "--target", "y", "--category", "code", *FAST, "--epochs", 20, "-q")
    assert done.exit_code == 0, done.stderr
    predictor = load("all.chainrule")
    assert predictor.encoder.columns[1].categories == ("01", "1", "1e3")
    predictions = predictor.predict({"flag": [cell == "true" for cell in flags], "code": codes, "grade": grades})
    assert len(set(predictions)) == 12
    printed = run("predict", "all.chainrule", "all.csv").stdout.splitlines()[1:]
    np.testing.assert_allclose(np.array(printed, float), predictions)
    for i in range(0, 200, 50):  # in a file of one row, these columns look numeric or boolean
        Path("one.csv").write_text(f"{header}\n{rows[i]}\n")
        np.testing.assert_allclose(float(run("predict", "all.chainrule", "one.csv").stdout.split()[1]), predictions[i])
        error = json.loads(run("evaluate", "all.chainrule", "one.csv", "--json").stdout)["scores"]["mae"]
        assert error == pytest.approx(abs(predictions[i] - float(rows[i].rsplit(",", 1)[1])))


def test_codes_with_leading_zeros_stay_text_from_training_to_prediction(rng):
    zips = rng.choice(["00501", "02134", "10001", "94110"], 200).tolist()
    value = {"00501": 10.0, "02134": 40.0, "10001": 20.0, "94110": 30.0}
    rows = [f"{code},{i % 7},{value[code]}" for i, code in enumerate(zips)]
    Path("all.csv").write_text("zip,x,y\n" + "\n".join(rows))
    done = run("train", "all.csv", "--target", "y", "--task", "regression", "--id", "x", *FAST, "--epochs", 30, "-q")
    assert done.exit_code == 0, done.stderr
    predictor = load("all.chainrule")
    assert predictor.encoder.columns[0].categories == ("00501", "02134", "10001", "94110")
    for code in value:
        Path("one.csv").write_text(f"zip,x\n{code},3\n")
        done = run("predict", "all.chainrule", "one.csv")
        assert done.stderr == ""
        assert float(done.stdout.split(",")[-1]) == pytest.approx(value[code], abs=1)
        assert json.loads(run("inspect", "all.chainrule", "--json").stdout)["features"][0] == "zip=00501"


def test_zero_padded_numbers_of_different_lengths_are_numbers():
    Path("t.csv").write_text("x,y\n" + "".join(f"0{i},{i % 2}\n" for i in range(5, 65)))
    assert run("train", "t.csv", "--target", "y", *QUICK).exit_code == 0
    (column,) = load("t.chainrule").encoder.columns
    assert column.kind == "number"
    assert load("t.chainrule").predict([{"x": 7}]).tolist() == load("t.chainrule").predict([{"x": "07"}]).tolist()


def test_labels_with_leading_zeros_stay_text():
    Path("t.csv").write_text("x,y\n" + "".join(f"{i % 7},0{i % 3}\n" for i in range(60)))
    assert run("train", "t.csv", "--target", "y", *QUICK).exit_code == 0
    assert load("t.chainrule").target.labels == ("00", "01", "02")
    assert run("predict", "t.chainrule", "t.csv").stdout.splitlines()[1][0] == "0"


def test_labels_that_look_numeric_in_another_file_are_text():
    rows = [f"{i % 7},{['no', '01', '2e1'][i % 3]}" for i in range(60)]
    Path("all.csv").write_text("x,y\n" + "\n".join(rows))
    assert run("train", "all.csv", "--target", "y", *QUICK).exit_code == 0
    Path("some.csv").write_text("x,y\n1,01\n2,2e1\n")
    done = run("evaluate", "all.chainrule", "some.csv", "--json")
    assert done.exit_code == 0, done.stderr


def test_evaluation_shows_scores_next_to_the_baseline(model):
    done = run("evaluate", model, PENGUINS)
    assert re.search(
        r"on 344 rows +network +90% interval +class frequencies\n +accuracy .* 0\.9\d+ +0\.9\d+ to \S+ +0\.44",
        done.stdout,
    )
    document = json.loads(run("evaluate", model, PENGUINS, "--json").stdout)
    assert document["rows"] == 344
    assert document["scores"]["accuracy"] > 0.9
    assert document["baseline"]["accuracy"] == pytest.approx(152 / 344)
    assert document["scores"]["balanced_accuracy"] > 0.9


def test_a_closed_pipe_is_not_an_error(model):
    pl.concat([pl.read_csv(PENGUINS)] * 60).write_csv("long.csv")
    command = f"{sys.executable} -m chainrule predict {model} long.csv | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout == "species\n"
    assert re.fullmatch(r"(predicting .* elapsed\n)*", done.stderr)


# Errors: one line that says what to do, status 2, nothing written.

DATES = "x,y\n" + "".join(f"{i},2024-01-{i % 9 + 1:02d}\n" for i in range(30))
WORDS = "x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(20))
TRAIN = ["train", "t.csv", "--target", "y"]
MISTAKES = {
    "no such file": (["train", "nothing.csv", "--target", "y"], "", "nothing.csv: no such file"),
    "a directory with an empty file": (["train", ".", "--target", "y"], "", "t.csv is empty"),
    "a directory named like a table": (["train", "directory.csv", "--target", "y"], "", "contains no table"),
    "an unknown suffix": (["train", "t.xlsx", "--target", "y"], "", "must end in one of .csv"),
    "an empty file": (TRAIN, "", "t.csv is empty. A table needs a header line"),
    "bytes that are not a table": (TRAIN, b"x,y\n\xff\xfe\x00\x01,3,4\n" * 20, "t.csv cannot be read as CSV"),
    "rows of several lengths": (TRAIN, "x,y\n1,2\n1,2,3,4\n", "line 3 has 4 fields, but the header has 2 columns"),
    "not a Parquet file": (["train", "t.parquet", "--target", "y"], "PAR1 no", "t.parquet cannot be read as PARQUET"),
    "a broken gzip": (["train", "t.csv.gz", "--target", "y"], b"\x1f\x8b" * 9, "t.csv.gz cannot be read as CSV"),
    "no such target": (["train", "t.csv", "--target", "Y "], WORDS, r"column 'Y '.*'y'"),
    "no similar column": (["train", "t.csv", "--target", "price"], WORDS, "column 'price'.*x.*, .*y"),
    "no such column to drop": ([*TRAIN, "--drop", "z"], WORDS, "column 'z'"),
    "the target dropped": ([*TRAIN, "--drop", "y"], WORDS, "--drop must not name the target, got 'y'"),
    "no rows": (TRAIN, "x,y\n", "the table must have at least 10 rows with a known target, got 0"),
    "one row": (TRAIN, "x,y\n1,2\n", "the table must have at least 10 rows with a known target, got 1"),
    "the target as an identifier": ([*TRAIN, "--id", "y"], WORDS, "--id must not name the target, got 'y'"),
    "the target as categories": ([*TRAIN, "--category", "y"], WORDS, "--category must not name the target, got 'y'"),
    "a target of dates": (TRAIN, DATES, "target 'y' must contain classes or numbers, got dates"),
    "the training table to test on": ([*TRAIN, "--test", "t.csv"], WORDS, "--test must not be the same table as FILE"),
    "two ways to test": ([*TRAIN, "--test", "t.csv", "--test-share", "0.3"], WORDS, "cannot be combined with --test"),
    "resuming from nothing": ([*TRAIN, "--resume"], WORDS, "--resume requires --checkpoint FILE"),
    "the target copied": (["predict", "MODEL", "PENGUINS", "--id", "species"], WORDS, "--id must not name .*species"),
    "nothing but the target": (["train", "t.csv", "--target", "y", "--drop", "x"], WORDS, "at least one input column"),
    "a target with one class": (TRAIN, "x,y\n" + "".join(f"{i},a\n" for i in range(20)), "'y' .* classes"),
    "a constant target": ([*TRAIN, "--task", "regression"], "x,y\n" + "1,5.5\n" * 20, "'y' must vary, got .*5.5"),
    "an empty target": (TRAIN, "x,y\n" + "1,\n" * 20, "target 'y' must contain values, got only missing cells"),
    "a target of identifiers": (TRAIN, "x,y\n" + "".join(f"{i},n{i}\n" for i in range(20)), "'y' .* 20 "),
    "only empty columns": (TRAIN, "x,y\n" + ",a\n,b\n" * 10, "column.* x: left out"),
    "an infinite number": (TRAIN, WORDS.replace("\n7,b", "\ninf,b"), "'x'.* row 8.* inf"),
    "words for regression": ([*TRAIN, "--task", "regression"], WORDS, "'y'.* row 1.* 'a'"),
    "a weight of zero": ([*TRAIN, "--weight", "x"], WORDS, "--weight column 'x', row 1: .* > 0, got 0"),
    "the target as weight": ([*TRAIN, "--weight", "y"], WORDS, "--weight must not name the target, got 'y'"),
    "a mistyped number": (TRAIN, WORDS.replace("\n7,b", "\no7,b") + WORDS[4:], "'x'.* row 8.* 'o7'.* Correct this"),
    "no such column to copy": (["predict", "MODEL", "PENGUINS", "--id", "nr"], WORDS, "column 'nr'"),
    "no directory for the model": ([*TRAIN, "--out", "no/m"], WORDS, "no/m cannot be written: the directory no does"),
    "no directory for the report": ([*TRAIN, "--report", "no/r.html"], WORDS, "the directory no does not exist"),
    "a directory as the model": ([*TRAIN, "--out", "directory.csv"], WORDS, "directory.csv is a directory, not a file"),
    "a read-only place": ([*TRAIN, "--out", "/proc/m"], WORDS, "/proc/m cannot be written"),
    "the table as the model": ([*TRAIN, "--out", "t.csv"], WORDS, "--out must not be the same file as FILE, got t.csv"),
    "one place for two files": ([*TRAIN, "--out", "m", "--report", "m"], WORDS, "--report must not be the same file"),
    "a file that is not a model": (["predict", "junk", "t.csv"], WORDS, r"\bjunk\b.* not a "),
    "model and table swapped": (["predict", "t.csv", "MODEL"], WORDS, "t.csv is a table, .* The model comes first"),
    "no such model": (["predict", "m", "t.csv"], WORDS, r"\bm\b.* no such file"),
    "a bare network": (["evaluate", "net", "t.csv"], WORDS, "net contains a bare network"),
    "a table without the columns": (["predict", "MODEL", "t.csv"], WORDS, "column.* 'island'"),
    "a table without the target": (["evaluate", "MODEL", "t.csv"], WORDS, "column 'species'"),
    "predictions to an unknown suffix": (["predict", "MODEL", "t.csv", "--out", "a.txt"], WORDS, "a.txt must end in"),
    "predictions over the model": (["predict", "m.csv", "t.csv", "--out", "m.csv"], WORDS, "must not be .* as MODEL"),
}  # fmt: skip

USAGE = {
    "--foo": "no option --foo. Run chainrule --help for the list of options.",
    "trian": "no command 'trian'. Did you mean 'train'?",
    "xyz": "no command 'xyz'",
    "train": "FILE is required",
    "train t.csv": "--target is required",
    "train t.csv --target": "--target requires a value",
    "train t.csv --quiet=1": "--quiet takes no value",
    "train t.csv --target y --epoch 3": "no option --epoch. Did you mean --epochs?",
    "train t.csv --target y --lr 3": "no option --lr. Run chainrule train --help for the list of options.",
    "train t.csv --target y --epochs ten": "--epochs must be an integer >= 1, got 'ten'",
    "train t.csv --target y --epochs 2.5": "--epochs must be an integer >= 1, got 2.5",
    "train t.csv --target y --folds 1": "--folds must be an integer >= 2, got 1",
    "train t.csv --target y --seed -1": "--seed must be an integer >= 0, got -1",
    "train t.csv --target y --test-share 0.7": "--test-share must be a number in [0.01, 0.5], got 0.7",
    "train t.csv --target y --time-limit nan": "--time-limit must be a number >= 1, got nan",
    "train t.csv --target y --task class": "--task must be one of {'classification', 'regression'}, got 'class'",
    "train t.csv --target y --format xls": "--format must be one of {'csv', 'parquet', 'arrow', 'jsonl'}, got 'xls'",
    "predict m": "FILE is required",
    "predict m t.csv u.csv": "unexpected argument: u.csv",
    "predict m t.csv --interval high": "--coverage must be a number in [0.001, 0.999], got 'high'",
    "export m --to pyton": "--to must be one of {'onnx', 'c', 'python', 'js'}, got 'pyton'. Did you mean 'python'?",
    "trace m t.csv --row 0": "--row must be an integer >= 1, got 0",
    "trace m t.csv --row 1 --row two": "--row must be an integer >= 1, got 'two'",
    "trace m t.csv --rate -1": "--rate must be a finite number > 0, got -1",
}
"""Arguments -> message."""


@pytest.mark.parametrize("arguments", USAGE)
def test_usage_errors_look_like_all_other_errors(arguments):
    done = run(*arguments.split())
    assert (done.exit_code, done.stdout) == (2, "")
    # The group of commands has no name here, where `chainrule` did not start it.
    assert done.stderr.replace("root ", "chainrule ") == f"chainrule: {USAGE[arguments]}\n"


def test_usage_errors_of_the_command_itself_are_one_line():
    done = shell("train", "t.csv", "--target", "y", "--epochs", "ten")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "chainrule: --epochs must be an integer >= 1, got 'ten'\n"


def test_without_arguments_the_help_is_printed():
    done = run()
    assert done.exit_code == 2
    assert done.stdout.strip() == run("--help").stdout.strip()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_reported_in_one_line(mistake, model, here):
    arguments, content, message = MISTAKES[mistake]
    Path("directory.csv").mkdir()
    for name in {arguments[1], arguments[2], "t.csv"} & {"t.csv", "t.parquet", "t.csv.gz"}:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    Path("junk").write_text("junk")
    save(mlp(2, 2), "net")
    before = files(".")
    places = {"MODEL": model, "PENGUINS": PENGUINS}
    done = run(*[places.get(argument, argument) for argument in arguments])
    assert done.exit_code == 2, done.output
    assert re.search(message, done.stderr), done.stderr
    assert done.stderr.startswith("chainrule: ")
    assert done.stderr.count("\n") == 1
    assert files(".") == before


def test_probabilities_require_a_classification_model(house):
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    done = run("predict", "house.chainrule", "house.csv", "--proba")
    assert (done.exit_code, done.stderr) == (
        2,
        "chainrule: --proba requires a classification model, got house.chainrule, a regression model\n",
    )


def test_a_cell_that_is_not_a_number_is_reported_by_column_row_and_value(house):
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    Path("new.csv").write_text("size,roof\n100,tile\nbig,tile\n")
    done = run("predict", "house.chainrule", "new.csv")
    assert re.fullmatch("chainrule: column 'size'.* row 2.* 'big'\n", done.stderr)


def test_rows_are_numbered_as_in_the_file(house):
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    Path("new.csv").write_text("size,roof,price,spare\n100,tile,,inf\n90,tile,9e4,1\nbig,tile,1e5,2\n")
    assert re.search("row 3.* 'big'", run("evaluate", "house.chainrule", "new.csv").stderr)


def test_columns_that_are_not_used_are_not_checked(house):
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    Path("new.csv").write_text("size,roof,price,spare\n100,tile,1e5,inf\n90,tile,9e4,1\n")
    assert run("evaluate", "house.chainrule", "new.csv").exit_code == 0


def test_a_full_disk_leaves_no_incomplete_model(house, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    done = run("train", "house.csv", "--target", "price", *QUICK)
    assert done.exit_code == 2
    assert "No space left on device" in done.stderr
    assert "Errno" not in done.stderr
    assert files(".") == ["house.csv"]


def test_errors_of_the_command_itself_are_one_line():
    done = shell("train", "nothing.csv", "--target", "y")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("chainrule: nothing.csv: no such file")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("package", ["typer", "polars", "rich", "narwhals", "jinja2"])
def test_without_the_extra_the_command_names_what_to_install(package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        f"chainrule: the command line requires {package}. Install it: pip install 'chainrule[cli]'\n"
    )


MODULES_OF_HELP = {
    "chainrule", "chainrule.app", "chainrule.app.cli", "chainrule.app.commands", "chainrule.app.dialects",
    "chainrule.app.options", "chainrule.app.parsers", "chainrule.app.paths", "chainrule.data", "chainrule.data.parts",
    "chainrule.display", "chainrule.errors",
}  # fmt: skip
TYPER = {"typer", "annotated_doc", "click", "shellingham", "typing_extensions"}
RICH = {"rich", "attr", "attrs"}


@pytest.mark.parametrize(
    ("arguments", "packages"),
    [
        ("--help", TYPER | RICH),
        ("train --help", TYPER | RICH),
        ("trian", TYPER),
        ("train --epohcs 3", TYPER),
        ("export m --to pyton", TYPER),
        ("train no.csv --target x", TYPER),
        ("train house.csv --target prise", TYPER),
        ("predict no.chainrule new.csv", TYPER),
    ],
)
@pytest.mark.usefixtures("house")
def test_help_and_errors_import_the_options_and_what_prints_them(arguments, packages):
    imported = imported_by(arguments)
    assert {name for name in imported if name.startswith("chainrule")} == MODULES_OF_HELP
    assert packages_of(imported) <= packages


def test_inspecting_a_model_imports_no_reader_of_tables(tmp_path):
    save(mlp(2, 3, 1), tmp_path / "m.chainrule")
    packages = packages_of(imported_by(f"inspect {tmp_path / 'm.chainrule'}"))
    assert "numpy" in packages
    assert packages.isdisjoint({"polars", "narwhals", "pydantic", "matplotlib", "jinja2"})


def imported_by(arguments):
    """Return the modules that a command imports."""
    program = (
        "import sys\nat_start = set(sys.modules)\nfrom chainrule.app import cli\n"
        f"sys.argv = ['chainrule', *{arguments.split()}]\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "print('imported:', *sorted(set(sys.modules) - at_start))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.partition("imported: ")[2].split())


def packages_of(modules):
    """Return the packages of modules that are neither Python's nor our own."""
    packages = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"chainrule"}
    return {name for name in packages if not name.startswith("_sysconfigdata")}


# Help, and the report.


COMMANDS = ["train", "predict", "evaluate", "explain", "inspect", "report", "export", "distil", "drift", "trace"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command):
    done = run(command, "--help")
    assert done.exit_code == 0
    assert f"chainrule {command} penguins" in done.stdout


def test_help_shows_defaults():
    text = " ".join(run("train", "--help").stdout.replace("│", " ").split())
    for default in (
        "default",
        "(5, or 3 with --quality fast)",
        "0",
        "(0.2)",
        "(inferred from the target)",
        "(FILE's name with .chainrule)",
    ):
        assert f"[default: {default}]" in text


def test_the_version_is_printed():
    assert re.fullmatch(r"chainrule \d+\.\d+\.\d+\n", run("--version").stdout)


def test_the_report_is_a_single_file_without_external_resources(house):
    house.rename({"size": "大きさ"}).write_csv("house.csv")
    done = run("train", "house.csv", "--target", "price", *QUICK, "--report", "r.html")
    assert (done.exit_code, done.stderr) == (0, "")  # no warnings of characters missing from the font
    page = Path("r.html").read_text()
    assert "price from house.csv" in page
    assert "大きさ" in page
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "Scores",
        "Predictions and residuals",
        "Prediction intervals",
        "Permutation importance",
        "Partial dependence",
        "Explanations",
        "Try the model",
        "Disagreement of the members",
        "Largest errors",
        "Learning curves",
        "Target",
        "Inputs",
        *(["What to try next"] if load("house.chainrule").metadata["findings"] else []),
        "Data and reproduction",
    ]
    assert re.search(r'<th scope="row">trained</th><td>\d{4}-\d\d-\d\d \d\d:\d\d UTC</td>', page)
    assert page.count("<figure><svg ") == 14
    assert not re.search(r"""(src|href)=(?!["']?#)|@import|url\((?!#)|<script """, page)
    assert "default-src 'none'" in page
    assert "#010203" not in page
    assert "prefers-color-scheme: dark" in page


def test_the_report_shows_classes_and_escapes_the_text_of_the_table():
    rows = "".join(f"{i},{('<b>', 'b & c')[i % 2]}\n" for i in range(40))
    Path("t.csv").write_text("<i>x</i>,y\n" + rows)
    assert run("train", "t.csv", "--target", "y", *QUICK, "--report", "r.html").exit_code == 0
    page = Path("r.html").read_text()
    for title in ("Confusion matrix", "Calibration", "ROC curve", "Precision-recall curve"):
        assert title in page
    assert '<th scope="row">&lt;b&gt;</th>' in page
    assert "&lt;i&gt;x&lt;/i&gt;" in page
    assert "<b>" not in page
    assert "<i>" not in page


def test_the_largest_errors_are_numbered_as_in_the_file(house, brief_reports):
    odd = house.with_columns(price=pl.when(pl.col("house_id") == 70).then(9e6).otherwise("price"))
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    odd[60:].write_csv("odd.csv")
    assert run("report", "house.chainrule", "odd.csv", "--out", "r.html").exit_code == 0
    wrong = Path("r.html").read_text().partition("<h2>Largest errors")[2]
    assert re.search(r'<tr><th scope="row">(\d+)</th>', wrong)[1] == "11"


def test_in_a_wide_table_the_most_salient_columns_are_permuted(house, brief_reports, monkeypatch):
    from chainrule.app.report import study

    monkeypatch.setattr(study, "MAX_PERMUTED", 1)
    options = [*FAST, "--epochs", 20, "--report", "r.html", "-q"]
    assert run("train", "house.csv", "--target", "price", *options).exit_code == 0
    page = Path("r.html").read_text()
    assert "Measured for 1 of 2 columns, those of highest saliency." in page
    assert "Partial dependence on size" in page
    assert "Partial dependence on roof" not in page


def test_without_matplotlib_a_report_names_what_to_install_before_any_work(house, monkeypatch):
    monkeypatch.delattr("chainrule.viz")
    for module in [name for name in sys.modules if name.startswith(("chainrule.viz", "chainrule.app.report"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    Path("m").touch()
    train_command = ["train", "house.csv", "--target", "price", *QUICK, "--report", "r.html"]
    for command in (train_command, ["report", "m", "house.csv"]):
        done = run(*command)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "pip install 'chainrule[plot]'" in done.stderr
    assert files(".") == ["house.csv", "m"]


def test_a_cell_that_is_not_a_number_is_reported_wherever_the_split_puts_it(tmp_path):
    rows = [f"{i % 7},{i % 2}" for i in range(60)]
    rows[33] = "abc,1"
    file = tmp_path / "table.csv"
    file.write_text("\n".join(["a,b", *rows]) + "\n")
    results = [
        run("train", file, "--target", "b", "--seed", seed, "--out", tmp_path / "m.chainrule") for seed in range(4)
    ]
    assert [result.exit_code for result in results] == [2] * 4
    assert all(re.search("row 34.* 'abc'", result.stderr) for result in results)


def test_an_evaluation_on_training_rows_is_called_into_question(tmp_path):
    lines = PENGUINS.read_text().splitlines()
    Path("train.csv").write_text("\n".join(lines[:1] + lines[1::2]))
    Path("new.csv").write_text("\n".join(lines[:1] + lines[2::2]))
    run("train", "train.csv", "--target", "species", *QUICK)
    model = next(iter(sorted(Path().glob("*.chainrule"))))
    assert "of the rows were in the training data" in run("evaluate", model, "train.csv").stdout
    assert "of the rows were in the training data" not in run("evaluate", model, "new.csv").stdout
