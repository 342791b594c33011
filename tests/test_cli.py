import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy.stats import binomtest
from typer.testing import CliRunner

from chainrule import mlp
from chainrule import train as train_network
from chainrule.app import cli, commands, scores, tables, train
from chainrule.app.pipeline import hold_out
from chainrule.app.progress import Board, Lines, Live
from chainrule.app.tables import TableFile
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.model.file import load, save
from chainrule.training.callbacks import Callback

PENGUINS = Path(__file__).parent.parent / "examples/data/penguins.csv"
QUICK = ["--epochs", "2", "--members", "2", "--jobs", "1", "--quiet"]


def run(*arguments):
    """Run the command in this process; `.exit_code`, `.stdout` and `.stderr` say how it went."""
    return CliRunner().invoke(commands.app, [str(argument) for argument in arguments])


def shell(*arguments, **options):
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "chainrule", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def files(folder):
    return sorted(os.listdir(folder))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test starts in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def house():
    """A small table for regression, with a hole, a category, an identifier and a constant."""
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
    """A model of the penguins, trained for a moment."""
    path = tmp_path_factory.mktemp("model") / "penguins.chainrule"
    assert (
        run("train", PENGUINS, "--target", "species", "--members", 3, "--epochs", 20, "--out", path, "-q").exit_code
        == 0
    )
    return path


# Training.


@pytest.mark.parametrize("seed", range(3))
def test_penguins_are_told_apart_at_the_default_settings(seed):
    done = run("train", PENGUINS, "--target", "species", "--seed", seed, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["scores"]["accuracy"] >= 0.97
    assert told["baseline"]["accuracy"] < 0.6
    assert told["seconds"] < 30


def test_it_says_what_it_understood_and_what_it_did(house):
    done = run("train", "house.csv", "--target", "price", "--epochs", 20, "--report", "house.html")
    assert done.exit_code == 0, done.stderr
    for line in (
        "house.csv: 120 rows, 5 columns",
        "house_id  left out  identifier: all values differ",
        r"size      number    4\d.* to .*, 1 missing",
        "roof      category  2 levels",
        "country   left out  constant",
        "price     target    numbers, mean .*, deviation .*",
        "96 rows to train 5 members on, 24 to test on",
        r"best epochs: \d+ of 20, ",
        "on 24 rows never trained on +network +90 % interval +mean",
        r"rmse .lower is better. +\d+\S* +\d+\S* to \d+\S* +\d+",
        r"rows in their 90 % interval +\d+\.\d%",
        "model +house.chainrule",
        "report +house.html",
    ):
        assert re.search(line, done.stdout), line
    assert files(".") == ["house.chainrule", "house.csv", "house.html"]
    scores = load("house.chainrule").metadata["scores"]
    assert scores["r2"] > 0.5


def test_quiet_says_nothing_and_json_says_one_object(house):
    quiet = run("train", "house.csv", "--target", "price", *QUICK)
    assert (quiet.stdout, quiet.stderr) == ("", "")
    done = run("train", "house.csv", "--target", "price", *QUICK, "--json")
    told = json.loads(done.stdout)
    assert done.stderr == ""
    assert told["model"] == "house.chainrule"
    assert told["task"] == "regression"
    assert told["rows"] == {"training": 96, "test": 24}
    assert told["members"] == 2
    assert [column["kind"] for column in told["columns"]] == ["left out", "number", "category", "left out"]
    assert set(told["scores"]) == set(told["baseline"]) == set(told["spread"]) == {"rmse", "mae", "r2"}
    assert all(low < told["scores"][name] < high for name, (low, high) in told["spread"].items())
    assert 0.5 < told["coverage"] <= 1


def test_the_same_seed_gives_the_same_model_and_another_one_another(house):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run("train", "house.csv", "--target", "price", *QUICK, "--out", name, "--seed", seed).exit_code == 0
    a, b, c = (load(name).ensemble.networks[0].theta for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_score_that_the_test_rows_cannot_tell_is_left_out():
    rare = "x,y\n" + "".join(f"{i % 7},{'rare' if i == 3 else 'usual'}\n" for i in range(40))
    Path("t.csv").write_text(rare)
    told = json.loads(run("train", "t.csv", "--target", "y", *QUICK, "--json").stdout)
    assert set(told["scores"]) == set(told["baseline"]) == set(told["spread"]) == {"accuracy", "log_loss"}


def test_of_a_perfect_score_the_number_of_rows_says_how_far_it_can_be_trusted():
    target = ClassTarget("y", "str", ("a", "b"), (0.5, 0.5))
    labels = np.array(["a", "b"] * 34, object)
    predictions = np.eye(2)[np.arange(68) % 2] * 0.9 + 0.05
    found = scores.spread(target, labels, predictions)
    assert found["accuracy"] == pytest.approx(proportion_ci(68, 68), abs=1e-6)
    assert found["roc_auc"] == pytest.approx(proportion_ci(34, 34), abs=1e-6)
    three = ClassTarget("y", "str", ("a", "b", "c"), (0.4, 0.4, 0.2))
    found = scores.spread(three, np.array(["a", "b", "c", "c"] * 10, object), np.eye(3)[[0, 1, 2, 0] * 10])
    low = [1 - proportion_ci(10, 10)[0], 1 - proportion_ci(10, 10)[0], 0.5 - proportion_ci(10, 20)[0]]
    assert found["balanced_accuracy"][0] == pytest.approx(2.5 / 3 - np.sqrt(np.square(low).sum()) / 3, abs=1e-6)
    assert found["balanced_accuracy"][1] == pytest.approx(2.5 / 3 + (proportion_ci(10, 20)[1] - 0.5) / 3, abs=1e-6)


def proportion_ci(hits, n):
    interval = binomtest(hits, n).proportion_ci(0.9, method="wilson")
    return interval.low, interval.high


@pytest.mark.parametrize("p", [0.5, 0.9, 0.98])
def test_the_interval_of_an_accuracy_holds_it_as_often_as_it_says(p):
    rng, target = np.random.default_rng(0), ClassTarget("y", "int64", (0, 1), (0.5, 0.5))
    held = 0
    for _ in range(300):
        y = rng.integers(0, 2, 100)
        right = np.where(rng.random(100) < p, y, 1 - y)
        low, high = scores.spread_of_shares(target.encode(y), np.eye(2)[right])["accuracy"]
        held += low <= p <= high
    assert 0.85 < held / 300 < 0.96


def test_of_many_rows_fewer_are_drawn_and_the_ends_are_as_near(rng, monkeypatch):
    target = NumberTarget("y", (0.0,), (1.0,))
    truth, predictions = rng.normal(size=4000), rng.normal(size=(4000, 1))
    whole = scores.spread(target, truth, predictions)
    monkeypatch.setattr(scores, "MOST_DRAWN", 250)
    fewer = scores.spread(target, truth, predictions)
    for name, value in scores.score(target, truth, predictions).items():
        assert fewer[name][0] < value < fewer[name][1]
        assert np.ptp(fewer[name]) == pytest.approx(np.ptp(whole[name]), rel=0.25)


def test_dropped_columns_are_not_used(house):
    assert run("train", "house.csv", "--target", "price", *QUICK, "--drop", "size", "--drop", "house_id").exit_code == 0
    assert [column.name for column in load("house.chainrule").encoder.columns] == ["roof"]


def test_the_task_can_be_told():
    pl.DataFrame({"x": range(60), "grade": [i % 3 for i in range(60)]}).write_csv("g.csv")
    assert json.loads(run("train", "g.csv", "--target", "grade", *QUICK, "--json").stdout)["task"] == "classification"
    told = json.loads(run("train", "g.csv", "--target", "grade", *QUICK, "--json", "--task", "regression").stdout)
    assert told["task"] == "regression"


def test_a_table_of_its_own_can_be_tested_on(house):
    house.head(80).write_csv("a.csv")
    house.tail(40).write_csv("b.csv")
    told = json.loads(run("train", "a.csv", "--target", "price", *QUICK, "--test", "b.csv", "--json").stdout)
    assert told["rows"] == {"training": 80, "test": 40}
    judged = json.loads(run("evaluate", "a.chainrule", "b.csv", "--json").stdout)
    assert judged["scores"] == told["scores"]
    assert judged["baseline"] == told["baseline"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "island,species\nBiscoe,Emperor\n",
            "'species', row 1: expected one of Adelie, Chinstrap, Gentoo, .* 'Emperor'",
        ),
        ("island,species\nBiscoe,Adelie\n", "column 'bill_length_mm' is missing"),
        ("island\nBiscoe\n", "column 'species' is missing"),
        ("island,species\nBiscoe,\n", "must have a row whose 'species' is known"),
    ],
)
def test_a_table_to_test_on_is_looked_at_before_the_work_is_done(content, message, monkeypatch):
    monkeypatch.setattr(train, "fit", lambda *_, **__: pytest.fail("training began"))
    Path("test.csv").write_text(content)
    done = run("train", PENGUINS, "--target", "species", "--test", "test.csv")
    assert done.exit_code == 2
    assert re.search(message, done.stderr)


def test_rows_without_a_target_are_left_out_and_that_is_said(house):
    with_holes = house.with_columns(pl.when(pl.col("house_id") % 10 == 0).then(None).otherwise("price").alias("price"))
    with_holes.write_csv("house.csv")
    done = run("train", "house.csv", "--target", "price", *QUICK[:-1])
    assert "note: price: the 12 rows in which it is missing are not used" in done.stdout
    assert sum(load("house.chainrule").metadata["rows"].values()) == 108


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_a_word_for_nothing_among_numbers_is_a_missing_target(task):
    values = [str(i % 2 if task == "classes" else i * 1.5) for i in range(60)]
    values[7] = "nan"
    Path("t.csv").write_text("x,y\n" + "".join(f"{i % 9},{value}\n" for i, value in enumerate(values)))
    done = run("train", "t.csv", "--target", "y", *QUICK[:-1])
    assert "note: y: the 1 row in which it is missing is not used" in done.stdout


def test_a_word_for_nothing_among_names_is_a_name_and_that_is_said():
    Path("t.csv").write_text(
        "x,z,y\n" + "".join(f"{i},{'uvNA'[i % 3 :][:2]},{['a', 'b', 'NA'][i % 3]}\n" for i in range(60))
    )
    told = run("train", "t.csv", "--target", "y", *QUICK[:-1]).stdout
    assert "note: y: NA is a class like any other; leave cells empty where it is missing" in told
    assert "note: z: NA is treated as a category; if it stands for a missing value, leave the cell empty" in told


def test_the_time_limit_is_kept():
    x = np.linspace(-3, 3, 4000)
    pl.DataFrame({"x": x, "y": np.sin(5 * x)}).write_csv("wave.csv")  # which every epoch makes a little better
    done = run("train", "wave.csv", "--target", "y", "--epochs", 10**5, "--time-limit", 1, "--json")
    assert 0.5 < json.loads(done.stdout)["seconds"] < 20


def test_test_rows_have_no_say_in_the_training(house):
    first = json.loads(run("train", "house.csv", "--target", "price", *QUICK, "--json").stdout)
    _, test = hold_out(np.zeros(120, np.intp), 0.2, np.random.default_rng(0))
    spoilt = house.with_columns(
        pl.when(pl.col("house_id").is_in(test.tolist())).then(1e6).otherwise("price").alias("price")
    )
    spoilt.write_csv("house.csv")
    theta = load("house.chainrule").ensemble.networks[0].theta
    second = json.loads(run("train", "house.csv", "--target", "price", *QUICK, "--json").stdout)
    np.testing.assert_array_equal(load("house.chainrule").ensemble.networks[0].theta, theta)
    assert first["scores"]["rmse"] < second["scores"]["rmse"]


@pytest.mark.parametrize("n", [10, 37, 1000])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_every_class_is_held_out_alike_to_within_a_row(n, share, rng):
    strata = rng.choice(4, n, p=[0.7, 0.2, 0.09, 0.01])
    kept, held = hold_out(strata, share, rng)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(n))
    for k in set(strata.tolist()):
        size = int((strata == k).sum())
        assert abs((strata[held] == k).sum() - share * size) <= 1
        assert (strata[kept] == k).any()


def test_columns_that_name_rows_are_not_used_and_stay_beside_the_answers(house):
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


def test_what_names_rows_stays_as_it_stands_in_the_file_also_where_it_is_learned_from():
    codes = [f"{10**15 + i:020d}" for i in range(40)]
    Path("t.csv").write_text("code,x,y\n" + "".join(f"{code},{i % 7},{i % 2}\n" for i, code in enumerate(codes)))
    assert run("train", "t.csv", "--target", "y", *QUICK).exit_code == 0
    predictions = run("predict", "t.chainrule", "t.csv", "--id", "code").stdout.splitlines()
    assert [line.split(",")[0] for line in predictions[1:]] == codes


def test_a_column_of_weights_is_known_when_answers_are_asked(house):
    house.with_columns(w=pl.lit(1.5)).write_csv("house.csv")
    assert run("train", "house.csv", "--target", "price", *QUICK, "--weight", "w").exit_code == 0
    assert run("predict", "house.chainrule", "house.csv").stderr == ""


def test_intervals_stand_beside_the_answers_and_hold_their_share(house):
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    wide, narrow = (
        pl.read_csv(run("predict", "house.chainrule", "house.csv", "--interval", share).stdout.encode())
        for share in (0.9, 0.5)
    )
    assert wide.columns == ["price", "price low", "price high"]
    assert ((wide["price low"] < narrow["price low"]) & (narrow["price high"] < wide["price high"])).all()
    assert house["price"].is_between(wide["price low"], wide["price high"]).mean() > 0.8


def test_a_column_of_weights_is_not_learned_from_and_rows_of_little_weight_count_for_little():
    x = [i / 10 for i in range(100)] * 2
    y = [value + 5 for value in x[:100]] + [-value for value in x[100:]]
    pl.DataFrame({"x": x, "y": y, "w": [1000.0] * 100 + [0.001] * 100}).write_csv("t.csv")
    assert run("train", "t.csv", "--target", "y", "--weight", "w", "--epochs", 30, "--members", 2, "-q").exit_code == 0
    model = load("t.chainrule")
    assert [column.name for column in model.encoder.columns] == ["x"]
    assert abs(model.predict([{"x": 5.0}])[0] - 10) < 2


def test_numbers_can_be_declared_codes(house):
    house.with_columns(zone=pl.col("house_id") % 5).write_csv("house.csv")
    assert run("train", "house.csv", "--target", "price", *QUICK, "--category", "zone").exit_code == 0
    assert {column.name: column.kind for column in load("house.chainrule").encoder.columns}["zone"] == "category"


def test_whole_labels_stay_whole_where_some_are_missing():
    pl.DataFrame({"x": range(60), "y": [None if i == 7 else i % 2 for i in range(60)]}).write_csv("t.csv")
    assert run("train", "t.csv", "--target", "y", *QUICK).exit_code == 0
    assert set(run("predict", "t.chainrule", "t.csv").stdout.splitlines()[1:]) <= {"0", "1"}


def test_labels_that_blanks_tell_apart_are_told():
    Path("t.csv").write_text("x,y\n" + "".join(f"{i},{['a', 'b', 'a '][i % 3]}\n" for i in range(60)))
    assert (
        "note: y: 'a ' and 'a' are two classes; blanks tell them apart"
        in run("train", "t.csv", "--target", "y", *QUICK[:-1]).stdout
    )


def test_a_terminal_is_given_no_control_characters(house):
    house.rename({"roof": "\x1b[31mroof"}).write_csv("house.csv")
    done = run("train", "house.csv", "--target", "price", *QUICK[:-1])
    assert "\\x1b[31mroof" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_table_comes_and_answers_go_through_pipes(form, model):
    frame = pl.read_csv(PENGUINS, null_values="NA")
    text = frame.write_csv() if form == "csv" else frame.write_ndjson()
    predictions = [
        shell("predict", model, "-", "--format", form, input=text).stdout,
        shell("predict", model, PENGUINS).stdout,
    ]
    assert predictions[0] == predictions[1]
    assert len(predictions[0].splitlines()) == 345


def test_rows_are_answered_in_parts_as_they_are_together(model, monkeypatch):
    whole = pl.read_csv(run("predict", model, PENGUINS, "--proba").stdout.encode())
    monkeypatch.setattr(tables, "BATCH_ROWS", 50)
    parts = pl.read_csv(run("predict", model, PENGUINS, "--proba").stdout.encode())
    assert parts["species"].equals(whole["species"])
    np.testing.assert_allclose(parts[:, 1:].to_numpy(), whole[:, 1:].to_numpy(), rtol=1e-9)
    lines = PENGUINS.read_text().splitlines()
    place = lines[0].split(",").index("body_mass_g")
    cells = lines[200].split(",")
    cells[place] = "heavy"
    Path("t.csv").write_text("\n".join([*lines[:200], ",".join(cells), *lines[201:]]) + "\n")
    done = run("predict", model, "t.csv", "--out", "answers.csv")
    assert done.exit_code == 2
    assert "column 'body_mass_g', row 200: expected a finite number, got 'heavy'" in done.stderr
    assert files(".") == ["t.csv"]


def test_a_model_is_inspected(model):
    told = run("inspect", model).stdout
    for line in (
        r"classification of species: 3 classes: Adelie, Chinstrap, Gentoo",
        r"3 networks of [\d,]+ parameters, [\d,]+ KB in all",
        r"island +category +3 levels",
        r"bill_length_mm +number +32.1 to 59.6, 2 missing",
        r"Dense\(256, 256",
        r"seed +0",
        r"test accuracy +(0\.9\d+|1\.0000)",
    ):
        assert re.search(line, told), line
    document = json.loads(run("inspect", model, "--json").stdout)
    assert document["networks"] == 3
    assert document["bytes"] == model.stat().st_size
    assert document["metadata"]["rows"] == {"training": 276, "test": 68}


def test_a_report_is_written_of_a_model_that_is_there(model):
    done = run("report", model, PENGUINS)
    assert (done.exit_code, done.stdout) == (0, "report  penguins.html\n")
    assert "species" in Path("penguins.html").read_text()
    assert run("report", model, PENGUINS, "--out", "no/r.html").exit_code == 2


# Progress.


def followed(board):
    """Follow two members through two epochs of two batches each."""
    X, y = np.zeros((4, 1)), np.zeros((4, 1))
    for member in range(2):
        train_network(mlp(1, 1), X, y, batch_size=2, epochs=2, validation=(X, y), callbacks=board.watch(member))


def test_elsewhere_than_on_a_terminal_each_member_has_a_line():
    written = []
    followed(Lines(2, written.append))
    assert [re.sub(r"\d[\d.e-]*", "#", line) for line in written] == [
        "member # of #: # epochs, loss #, validation #, # s\n"
    ] * 2
    assert written[1].startswith("member 2 of 2: 2 epochs")


def test_on_a_terminal_one_line_tells_how_far_it_is():
    console = Console(file=io.StringIO(), force_terminal=True, width=100, legacy_windows=False)
    with Live(2, console) as board:
        shares = []

        class Look(Callback):
            def on_batch_end(self, run):
                shares.append(board.share)

        X, y = np.zeros((4, 1)), np.zeros((4, 1))
        for member in range(2):
            callbacks = [*board.watch(member), Look()]
            train_network(mlp(1, 1), X, y, batch_size=2, epochs=2, validation=(X, y), callbacks=callbacks)
        board.bar.refresh()
    assert shares == [k / 8 for k in range(1, 9)]
    shown = console.file.getvalue()
    assert "member 2 of 2, epoch 2/2" in shown
    assert re.search(r"\d s left at most", shown)


def test_at_the_end_it_says_what_stands_in_the_way(house):
    leaking = house.with_columns(tax=pl.col("price") * 0.07)
    leaking.write_csv("house.csv")
    done = run("train", "house.csv", "--target", "price", "--epochs", 5, "--jobs", 1, "--report", "r.html")
    message, remedy = (
        "tax alone predicts the target of almost every row",
        "Drop it unless it is known at prediction time",
    )
    finding = f"target leakage: {message}. {remedy}."
    assert f"what to try next:\n  {finding}\n" in done.stdout
    assert load("house.chainrule").metadata["findings"] == [finding]
    assert f"<li>{finding}</li>" in Path("r.html").read_text()


def test_of_a_training_that_is_well_it_says_no_more_than_the_scores(model):
    assert load(model).metadata["findings"] == []


# Interruption.


class InterruptAt(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, run):
        if run.epoch == self.epoch:
            raise KeyboardInterrupt


class InterruptingBoard(Board):
    """Presses Ctrl-C in that epoch of that member."""

    def __init__(self, member, epoch):
        super().__init__(5)
        self.member, self.epoch = member, epoch

    def watch(self, member):
        return [InterruptAt(self.epoch)] if member == self.member else []


def test_interrupted_the_best_so_far_is_kept_and_that_is_said(house, monkeypatch):
    monkeypatch.setattr(train, "board", lambda *_: InterruptingBoard(1, 3))
    done = run("train", "house.csv", "--target", "price", "--jobs", 1, "--epochs", 6)
    assert done.exit_code == 0
    assert re.search(r"interrupted: the best networks so far are kept; best epochs: \d of 6, \d of 3;", done.stdout)
    assert load("house.chainrule").metadata["epochs"] == [6, 3]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
def test_whoever_interrupts_twice_has_the_model_all_the_same(sent, house, monkeypatch):
    honest = train.score_on

    def pressed_again(*arguments):
        os.kill(os.getpid(), sent)
        return honest(*arguments)

    monkeypatch.setattr(train, "score_on", pressed_again)
    before = signal.getsignal(sent)
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    assert load("house.chainrule").metadata["scores"]
    assert sent == signal.SIGTERM or signal.getsignal(sent) == before


def test_interrupted_before_the_first_epoch_nothing_is_written(house, monkeypatch):
    monkeypatch.setattr(train, "board", lambda *_: InterruptingBoard(0, 0))
    done = run("train", "house.csv", "--target", "price", "--jobs", 1, "--report", "r.html")
    assert done.exit_code == 130
    assert done.stderr == "chainrule: interrupted; no unfinished file is left\n"
    assert files(".") == ["house.csv"]


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
def test_a_real_interrupt_keeps_a_model_too(sent, jobs, house):
    arguments = ["train", "house.csv", "--target", "price", "--epochs", "100000", "--jobs", jobs]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", NEVER_ENDING.format(arguments=arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            assert process.stderr.readline().startswith("epoch 5")
            process.send_signal(sent)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert "interrupted: the best networks so far are kept" in out
    assert load("house.chainrule").predict([{"size": 100, "roof": "tile"}]).shape == (1,)


NEVER_ENDING = """
import sys
from chainrule.app import cli, progress, train
from chainrule.training.callbacks import Callback

class Tell(Callback):
    def on_epoch_end(self, run):
        if not run.stop.startswith("interrupted"):
            run.stop = ""
        if run.epoch == 5:
            print("epoch 5", file=sys.stderr)

class Telling(progress.Board):
    def watch(self, member):
        return [Tell()]

train.board = lambda members, quiet: Telling(members)
sys.argv = ["chainrule", *{arguments}]
cli.main()
"""


# Predicting and evaluating.


def test_predictions_go_to_the_terminal_in_the_rows_order(model):
    done = run("predict", model, PENGUINS)
    assert done.exit_code == 0, done.stderr
    predictions = done.stdout.splitlines()
    assert predictions[0] == "species"
    actual = pl.read_csv(PENGUINS)["species"].to_list()
    assert len(predictions) == 1 + len(actual)
    assert np.mean(np.array(predictions[1:]) == np.array(actual)) > 0.9


@pytest.mark.parametrize("name", ["answers.csv", "answers.tsv", "answers.parquet", "answers.arrow", "answers.jsonl"])
def test_predictions_go_to_a_file_of_the_names_kind(name, model):
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
def test_a_table_may_come_in_any_of_its_forms(name, model):
    frame = pl.read_csv(PENGUINS)
    writers = {"t.parquet": frame.write_parquet, "t.arrow": frame.write_ipc, "t.jsonl": frame.write_ndjson}
    if name in writers:
        writers[name](name)
    elif name.endswith(".gz"):
        Path(name).write_bytes(gzip.compress(PENGUINS.read_bytes()))
    else:
        frame.write_csv(name, separator={"t.tsv": "\t", "semicolons.csv": ";"}.get(name, ","))
    assert run("predict", model, name).stdout == run("predict", model, PENGUINS).stdout


def test_order_extra_columns_and_unseen_levels_do_not_disturb(model):
    frame = pl.read_csv(PENGUINS)
    frame.select(*reversed(frame.columns), pl.lit(3).alias("new")).write_csv("t.csv")
    assert run("predict", model, "t.csv").stdout == run("predict", model, PENGUINS).stdout
    frame.head(3).with_columns(pl.lit("Atlantis").alias("island"), pl.lit(None).alias("sex")).write_csv("t.csv")
    assert len(run("predict", model, "t.csv").stdout.splitlines()) == 4


def test_a_row_is_answered_alike_in_whatever_company_its_cells_stand():
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
    told = run(
        "train", "all.csv", "--target", "y", "--category", "code", "--epochs", 20, "--members", 2, "--jobs", 1, "-q"
    )
    assert told.exit_code == 0, told.stderr
    predictor = load("all.chainrule")
    assert predictor.encoder.columns[1].categories == ("01", "1", "1e3")
    predictions = predictor.predict({"flag": [cell == "true" for cell in flags], "code": codes, "grade": grades})
    assert len(set(predictions)) == 12
    given = run("predict", "all.chainrule", "all.csv").stdout.splitlines()[1:]
    np.testing.assert_allclose(np.array(given, float), predictions)
    for i in range(0, 200, 50):  # a file of one row: what its columns hold looks like numbers, or like true and false
        Path("one.csv").write_text(f"{header}\n{rows[i]}\n")
        np.testing.assert_allclose(float(run("predict", "all.chainrule", "one.csv").stdout.split()[1]), predictions[i])
        error = json.loads(run("evaluate", "all.chainrule", "one.csv", "--json").stdout)["scores"]["mae"]
        assert error == pytest.approx(abs(predictions[i] - float(rows[i].rsplit(",", 1)[1])))


def test_labels_are_words_in_another_file_too():
    rows = [f"{i % 7},{['no', '01', '2e1'][i % 3]}" for i in range(60)]
    Path("all.csv").write_text("x,y\n" + "\n".join(rows))
    assert run("train", "all.csv", "--target", "y", *QUICK).exit_code == 0
    Path("some.csv").write_text("x,y\n1,01\n2,2e1\n")
    told = run("evaluate", "all.chainrule", "some.csv", "--json")
    assert told.exit_code == 0, told.stderr


def test_evaluation_stands_beside_the_baseline(model):
    done = run("evaluate", model, PENGUINS)
    assert re.search(
        r"on 344 rows +network +90 % interval +class shares\n +accuracy .* 0\.9\d+ +0\.9\d+ to \S+ +0\.44", done.stdout
    )
    told = json.loads(run("evaluate", model, PENGUINS, "--json").stdout)
    assert told["rows"] == 344
    assert told["scores"]["accuracy"] > 0.9
    assert told["baseline"]["accuracy"] == pytest.approx(152 / 344)
    assert told["scores"]["balanced_accuracy"] > 0.9


def test_a_reader_that_has_seen_enough_is_no_error(model):
    pl.concat([pl.read_csv(PENGUINS)] * 60).write_csv("long.csv")
    command = f"{sys.executable} -m chainrule predict {model} long.csv | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("species\n", "")


# Whatever is wrong: one line that says what to do, status 2, nothing written.

DATES = "x,y\n" + "".join(f"{i},2024-01-{i % 9 + 1:02d}\n" for i in range(30))
WORDS = "x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(20))
TRAIN = ["train", "t.csv", "--target", "y"]
MISTAKES = {
    "no such file": (["train", "nothing.csv", "--target", "y"], "", "nothing.csv: there is no such file"),
    "a folder": (["train", ".", "--target", "y"], "", r"\. is a folder"),
    "a folder named like a table": (["train", "folder.csv", "--target", "y"], "", "is a folder"),
    "an unknown ending": (["train", "t.xlsx", "--target", "y"], "", "must end in one of .csv"),
    "an empty file": (TRAIN, "", "t.csv is empty"),
    "bytes that are no table": (TRAIN, b"x,y\n\xff\xfe\x00\x01,3,4\n" * 20, "t.csv cannot be read as CSV"),
    "rows of several lengths": (TRAIN, "x,y\n1,2\n1,2,3,4\n", "line 3 has 4 cells, and the header names 2 columns"),
    "no real parquet": (["train", "t.parquet", "--target", "y"], "PAR1 no", "t.parquet cannot be read as PARQUET"),
    "a broken gzip": (["train", "t.csv.gz", "--target", "y"], b"\x1f\x8b" * 9, "t.csv.gz cannot be read as CSV"),
    "no such target": (["train", "t.csv", "--target", "Y "], WORDS, r"column 'Y ' is missing .* Did you mean 'y'\?"),
    "no such target, none near": (["train", "t.csv", "--target", "price"], WORDS, "'price' is missing .* has x, y"),
    "no such column to drop": ([*TRAIN, "--drop", "z"], WORDS, "column 'z' is missing"),
    "the target dropped": ([*TRAIN, "--drop", "y"], WORDS, "the target 'y' must not be among --drop"),
    "no rows": (TRAIN, "x,y\n", "10 rows with a target at least, .* it has 0"),
    "one row": (TRAIN, "x,y\n1,2\n", "10 rows with a target at least, .* it has 1"),
    "the target as the rows' name": ([*TRAIN, "--id", "y"], WORDS, "the target 'y' must not be among --drop"),
    "the target as codes": ([*TRAIN, "--category", "y"], WORDS, "--category must not name the target"),
    "a target of dates": (TRAIN, DATES, "target 'y' must hold classes or numbers, got dates"),
    "tested on what it is trained on": ([*TRAIN, "--test", "t.csv"], WORDS, "--test must be another table than FILE"),
    "two ways to test": ([*TRAIN, "--test", "t.csv", "--test-share", "0.3"], WORDS, "not be given with --test"),
    "the answer to keep": (["predict", "MODEL", "PENGUINS", "--id", "species"], WORDS, "--id must not name the column"),
    "nothing but the target": (["train", "t.csv", "--target", "y", "--drop", "x"], WORDS, "a column to learn from"),
    "a target with one class": (TRAIN, "x,y\n" + "".join(f"{i},a\n" for i in range(20)), "at least two classes"),
    "a constant target": ([*TRAIN, "--task", "regression"], "x,y\n" + "1,5.5\n" * 20, "must vary, got 5.5"),
    "a target of nothing": (TRAIN, "x,y\n" + "1,\n" * 20, "target 'y' must hold something, .* every cell is empty"),
    "a target that is a name": (TRAIN, "x,y\n" + "".join(f"{i},n{i}\n" for i in range(20)), "several rows per class"),
    "only columns of nothing": (TRAIN, "x,y\n" + ",a\n,b\n" * 10, "no usable column is left: x: left out .empty"),
    "an infinite number": (TRAIN, WORDS.replace("\n7,b", "\ninf,b"), "'x', row 8: expected a finite number, got inf"),
    "words for regression": ([*TRAIN, "--task", "regression"], WORDS, "'y', row 1: expected a finite number, got 'a'"),
    "a weight that is none": ([*TRAIN, "--weight", "x"], WORDS, "--weight must be .* above 0, however row 1 holds 0"),
    "the target as weight": ([*TRAIN, "--weight", "y"], WORDS, "--weight must not be the target"),
    "a number mistyped": (TRAIN, WORDS.replace("\n7,b", "\no7,b") + WORDS[4:], "row 8: expected a finite number, got 'o7'; mend the 1 such"),
    "intervals of classes": (["predict", "MODEL", "t.csv", "--interval", "0.9"], WORDS, "asked of a model of numbers"),
    "an unknown column to keep": (["predict", "MODEL", "PENGUINS", "--id", "nr"], WORDS, "column 'nr' is missing"),
    "no folder for the model": ([*TRAIN, "--out", "no/m"], WORDS, "no/m cannot be written: there is no folder no"),
    "no folder for the report": ([*TRAIN, "--report", "no/r.html"], WORDS, "there is no folder no"),
    "a folder as the model": ([*TRAIN, "--out", "folder.csv"], WORDS, "folder.csv is a folder"),
    "a place nobody can write": ([*TRAIN, "--out", "/proc/m"], WORDS, "/proc/m cannot be written"),
    "the table as the model": ([*TRAIN, "--out", "t.csv"], WORDS, "--out must not be the file of FILE"),
    "one place for two files": ([*TRAIN, "--out", "m", "--report", "m"], WORDS, "--report must not be the file of"),
    "a model that is none": (["predict", "t.csv", "t.csv"], WORDS, "t.csv cannot be read as a model: not a chainrule file"),
    "a model that is not there": (["predict", "m", "t.csv"], WORDS, "m: no such file"),
    "a bare network": (["evaluate", "net", "t.csv"], WORDS, "net holds a bare network"),
    "a table without the columns": (["predict", "MODEL", "t.csv"], WORDS, "column 'island' is missing"),
    "a table without the target": (["evaluate", "MODEL", "t.csv"], WORDS, "column 'species' is missing"),
    "answers to an unknown ending": (["predict", "MODEL", "t.csv", "--out", "a.txt"], WORDS, "a.txt must end in"),
    "answers over the model": (["predict", "m.csv", "t.csv", "--out", "m.csv"], WORDS, "must not be the file of MODEL"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line(mistake, model, here):
    arguments, content, message = MISTAKES[mistake]
    Path("folder.csv").mkdir()
    for name in {arguments[1], arguments[2], "t.csv"} & {"t.csv", "t.parquet", "t.csv.gz"}:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    save(mlp(2, 2), "net")
    before = files(".")
    places = {"MODEL": model, "PENGUINS": PENGUINS}
    done = run(*[places.get(argument, argument) for argument in arguments])
    assert done.exit_code == 2, done.output
    assert re.search(message, done.stderr), done.stderr
    assert done.stderr.startswith("chainrule: ")
    assert done.stderr.count("\n") == 1
    assert files(".") == before


def test_probabilities_of_numbers_are_refused(house):
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    done = run("predict", "house.chainrule", "house.csv", "--proba")
    assert (done.exit_code, done.stderr) == (
        2,
        "chainrule: --proba must be asked of a classifier, got house.chainrule answers numbers\n",
    )


def test_a_number_that_is_none_is_named_by_column_row_and_value(house):
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    Path("new.csv").write_text("size,roof\n100,tile\nbig,tile\n")
    assert run("predict", "house.chainrule", "new.csv").stderr == (
        "chainrule: column 'size', row 2: expected a finite number, got 'big'\n"
    )


def test_rows_are_counted_as_they_stand_in_the_table(house):
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    Path("new.csv").write_text("size,roof,price,spare\n100,tile,,inf\n90,tile,9e4,1\nbig,tile,1e5,2\n")
    assert "row 3: expected a finite number, got 'big'" in run("evaluate", "house.chainrule", "new.csv").stderr


def test_what_is_wrong_with_a_column_that_is_not_used_does_not_matter(house):
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    Path("new.csv").write_text("size,roof,price,spare\n100,tile,1e5,inf\n90,tile,9e4,1\n")
    assert run("evaluate", "house.chainrule", "new.csv").exit_code == 0


def test_a_full_disk_leaves_no_half_model(house, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    done = run("train", "house.csv", "--target", "price", *QUICK)
    assert done.exit_code == 2
    assert "No space left on device" in done.stderr
    assert files(".") == ["house.csv"]


def test_the_command_itself_tells_a_mistake_in_one_line():
    done = shell("train", "nothing.csv", "--target", "y")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("chainrule: nothing.csv: there is no such file")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("package", ["typer", "polars", "rich", "narwhals"])
def test_without_the_extra_the_command_says_what_to_install(package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        f"chainrule: the command line needs {package}: run  pip install 'chainrule[cli]'\n"
    )


# Help, and the report.


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "inspect", "report"])
def test_help_has_an_example(command):
    done = run(command, "--help")
    assert done.exit_code == 0
    assert f"chainrule {command} penguins" in done.stdout


def test_the_version_is_told():
    assert re.fullmatch(r"chainrule \d+\.\d+\.\d+\n", run("--version").stdout)


def test_the_report_is_one_page_that_needs_nothing_else(house):
    assert run("train", "house.csv", "--target", "price", *QUICK, "--report", "r.html").exit_code == 0
    page = Path("r.html").read_text()
    for part in ("price from house.csv", "Scores on rows", "The table", "Learning curve", "What matters", "most wrong"):
        assert part in page
    assert page.count("<svg ") == 7
    assert not re.search(r"""(src|href)=(?!["']?#)|@import|url\((?!#)|<script""", page)
    assert "#010203" not in page
    assert "prefers-color-scheme: dark" in page


def test_the_report_shows_classes_and_escapes_what_is_written_in_the_table():
    rows = "".join(f"{i},{('<b>', 'b & c')[i % 2]}\n" for i in range(40))
    Path("t.csv").write_text("<i>x</i>,y\n" + rows)
    assert run("train", "t.csv", "--target", "y", *QUICK, "--report", "r.html").exit_code == 0
    page = Path("r.html").read_text()
    assert "which class was taken for which" in page
    assert "<th>&lt;b&gt;</th>" in page
    assert "&lt;i&gt;x&lt;/i&gt;" in page
    assert "<b>" not in page
    assert "<i>" not in page


def test_the_report_names_the_rows_it_got_wrong_as_the_file_counts_them(house):
    odd = house.with_columns(price=pl.when(pl.col("house_id") == 70).then(9e6).otherwise("price"))
    assert run("train", "house.csv", "--target", "price", *QUICK).exit_code == 0
    odd[60:].write_csv("odd.csv")
    assert run("report", "house.chainrule", "odd.csv", "--out", "r.html").exit_code == 0
    wrong = Path("r.html").read_text().partition("most wrong")[2]
    assert re.search(r"<tr><td class='pale'>(\d+)</td>", wrong)[1] == "11"


def test_in_a_wide_table_the_columns_that_answers_follow_most_are_shuffled(house, monkeypatch):
    from chainrule.app import report

    monkeypatch.setattr(report, "MOST_SHUFFLED", 1)
    options = ["--epochs", 20, "--members", 2, "--report", "r.html", "-q"]
    assert run("train", "house.csv", "--target", "price", *options).exit_code == 0
    page = Path("r.html").read_text()
    assert "Of the 1 columns of 2 that the answers follow most" in page
    assert "Dependence on size" in page
    assert "Dependence on roof" not in page


def test_names_that_a_font_has_not_are_no_warning(house):
    house.rename({"size": "大きさ"}).write_csv("house.csv")
    done = run("train", "house.csv", "--target", "price", *QUICK, "--report", "r.html")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "大きさ" in Path("r.html").read_text()


def test_without_matplotlib_a_report_says_what_to_install_before_any_work(house, monkeypatch):
    for module in [name for name in sys.modules if name.startswith(("chainrule.viz", "chainrule.app.report"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr("chainrule.viz", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for command in (["train", "house.csv", "--target", "price", *QUICK, "--report", "r.html"], ["report", "m", "t"]):
        done = run(*command)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "pip install 'chainrule[plot]'" in done.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["house.csv"]


def test_a_cell_that_is_no_number_is_named_by_its_row_in_the_file(tmp_path):
    rows = [f"{i % 7},{i % 2}" for i in range(60)]
    rows[33] = "abc,1"
    file = tmp_path / "table.csv"
    file.write_text("\n".join(["a,b", *rows]) + "\n")
    refusals = [
        run("train", file, "--target", "b", "--seed", seed, "--out", tmp_path / "m.chainrule") for seed in range(4)
    ]
    told = [result.stderr for result in refusals if result.exit_code]
    assert len(told) == 4, "wherever the cell lies"
    assert all("row 34: expected a finite number, got 'abc'" in line for line in told)
