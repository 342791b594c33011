"""Messages about tables that do not fit, and the progress of what takes long."""

import io
import re
import threading
from pathlib import Path
from time import sleep
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from chainrule import Checkpoint, ModelFileError, Predictor, TabularEncoder, mlp, train
from chainrule.app import commands, csv_file, progress, tables, training_display
from chainrule.app import evaluate as app_evaluate
from chainrule.app import report as app_report
from chainrule.app import train as app_train
from chainrule.app.plan import table_to_score
from chainrule.app.results import score_on
from chainrule.app.tables import TableFile
from chainrule.data.reading import read_columns
from chainrule.data.targets import fit_target
from chainrule.errors import TableError, require_names
from chainrule.files.checkpoint import CheckpointFile
from chainrule.files.model import load
from chainrule.training.callbacks import Callback
from chainrule.training.history import History

QUICK = ["--epochs", "2", "--folds", "2", "--jobs", "1"]


def run(*arguments):
    """Run the command in this process; return its exit code, output and errors."""
    return CliRunner().invoke(commands.app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Run every test in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def birds():
    """A table with two possible targets."""
    rng = np.random.default_rng(0)
    species = rng.choice(["Adelie", "Gentoo"], 80)
    mass = np.where(species == "Adelie", 3700, 5000) + rng.normal(0, 300, 80).round()
    frame = pl.DataFrame(
        {
            "bill_length": mass / 100 + rng.normal(0, 3, 80).round(1),
            "island": rng.choice(["Biscoe", "Dream", "Torgersen"], 80).tolist(),
            "body_mass": mass,
            "species": species.tolist(),
        }
    )
    frame.write_csv("birds.csv")
    return frame


# Columns that are missing.


def refusal(names, needed):
    with pytest.raises(TableError) as raised:
        require_names(dict.fromkeys(names), needed)
    return str(raised.value)


def test_every_missing_column_is_named_with_the_name_that_was_meant():
    assert refusal(["a"], ["a", "b", "c"]) == "columns 'b', 'c' are missing from the table. It has a."
    assert refusal(["Age", "sex", "incme"], ["age", "sex", "income", "town"]) == (
        "columns 'age', 'income', 'town' are missing from the table. "
        "Did you mean 'Age' for 'age', 'incme' for 'income'?"
    )
    assert refusal(["x"], ["y"]) == "column 'y' is missing from the table. It has x."
    assert refusal([], ["y"]) == "column 'y' is missing from the table. It has no columns."
    assert refusal(["size_a", "size_b"], ["size"]).endswith("Did you mean 'size_b' or 'size_a'?")


def test_a_column_that_is_needed_itself_is_not_suggested_for_another():
    assert (
        refusal(["size_1", "n"], ["size_1", "size_2"]) == "column 'size_2' is missing from the table. It has size_1, n."
    )


def test_hundreds_of_missing_columns_are_counted():
    message = refusal(["y"], [f"x{j}" for j in range(300)])
    assert "'x0', 'x1'," in message
    assert "(300 in total)" in message
    assert len(message) < 300


def test_predict_and_evaluate_name_every_missing_column(birds):
    assert run("train", "birds.csv", "--target", "species", "--out", "m", "-q", *QUICK).exit_code == 0
    birds.rename({"body_mass": "Body mass", "island": "isle"}).write_csv("new.csv")
    for command in ("predict", "evaluate", "report"):
        done = run(command, "m", "new.csv")
        assert (done.exit_code, done.stderr) == (
            2,
            "chainrule: columns 'island', 'body_mass' are missing from the table. "
            "Did you mean 'isle' for 'island', 'Body mass' for 'body_mass'?\n",
        ), command
    done = run("train", "birds.csv", "--target", "species", "--drop", "x", "--drop", "ilsand")
    assert (done.exit_code, done.stderr) == (
        2,
        "chainrule: columns 'x', 'ilsand' are missing from the table. Did you mean 'island' for 'ilsand'?\n",
    )


def test_a_predictor_names_every_missing_column():
    table = read_columns({"a": [1, 2, 3, 4], "b": [2, 1, 4, 3], "c": [4, 3, 2, 1]})
    encoder, target = TabularEncoder().fit(table), fit_target("y", np.array([1.0, 2.0, 3.0, 4.5]))
    predictor = Predictor(encoder, mlp(3, 1, loss=target.loss, seed=0), target)
    with pytest.raises(TableError, match="columns 'a', 'b' are missing from the table"):
        predictor.predict([{"c": 1}])
    with pytest.raises(TableError, match=r"columns 'a', 'b', 'c' are missing from the table\. It has x0, x1"):
        predictor.predict(np.zeros((1, 2)))


# Arguments in the wrong order.


@pytest.mark.parametrize("command", ["predict", "evaluate", "report", "trace"])
@pytest.mark.parametrize("table", ["birds.csv", "birds.parquet", "-"])
def test_swapped_arguments_are_explained(command, table, birds):
    birds.write_parquet("birds.parquet")
    done = run(command, table, "m.chainrule")
    assert done.exit_code == 2
    assert re.fullmatch(r"chainrule: .* The model comes first, then the table\.\n", done.stderr)


# Checkpoints of another run.


RESUMED = {
    "target was body_mass, now species": ["--target", "species"],
    "task was regression, now classification": ["--target", "body_mass", "--task", "classification"],
    "columns are now without island": ["--target", "body_mass", "--drop", "island"],
    "seed was 0, now 1": ["--target", "body_mass", "--seed", "1"],
    "number of training rows was 64, now 56": ["--target", "body_mass", "--test-share", "0.3"],
    "number of members was 6, now 9": ["--target", "body_mass", "--folds", "3"],
}


@pytest.mark.parametrize("difference", RESUMED)
def test_resuming_another_run_names_what_differs_in_one_short_line(difference, birds):
    whole = birds.with_columns(body_mass=pl.Series([3000.0 + i % 8 for i in range(80)]))
    whole.write_csv("birds.csv")
    common = ["train", "birds.csv", "--out", "m", "--checkpoint", "model.ck", "-q"]
    assert run(*common, "--target", "body_mass", "--task", "regression", *QUICK).exit_code == 0
    options = RESUMED[difference]
    task = [] if "--task" in options or "species" in options else ["--task", "regression"]
    done = run(*common, *QUICK, *options, *task, "--resume")
    expected = f"chainrule: model.ck is the checkpoint of another run: {difference}\n"
    assert (done.exit_code, done.stderr) == (2, expected)


def test_the_first_layer_that_differs_is_named(tmp_path):
    X, y = np.eye(4), np.arange(4) % 2

    def fit(*sizes):
        net = mlp(4, *sizes, 2, loss="cross_entropy", seed=0)
        train(net, X, y, epochs=2, callbacks=Checkpoint(tmp_path / "c", resume=True), seed=0)

    fit(8, 8)
    for sizes, difference in {(8, 9): "network was Dense(8, 8, ", (8,): "network was Dense(8, 8, "}.items():
        with pytest.raises(ModelFileError) as raised:
            fit(*sizes)
        assert difference in str(raised.value)
        assert len(str(raised.value).split("another run: ")[1]) < 100


def test_what_a_checkpoint_file_is_about_may_be_unknown(tmp_path):
    path = tmp_path / "c"
    net = mlp(1, 1, seed=0)
    train(net, [[0.0], [1.0]], [0.0, 1.0], epochs=1, callbacks=Checkpoint(path), seed=0)
    assert CheckpointFile(path, resume=True, about={"target": "y"}).trainings


# What takes long.


@pytest.fixture
def impatient(monkeypatch):
    """Lines of progress are written all the time, and not every ten seconds."""
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.001)


def test_ten_seconds_pass_between_two_lines():
    assert progress.INTERVAL_SECONDS == 10


def slow(function):
    """Return a function that takes 50 ms longer."""

    def wrapped(*args, **kwargs):
        sleep(0.05)
        return function(*args, **kwargs)

    return wrapped


TRAINING = (
    r"[0-5] of 6 members trained, member [1-6]: epoch [12] of 2, "
    r"about \d+ s remaining(, training loss \S+, validation loss \S+, .*)?"
)


def test_training_without_a_terminal_writes_lines_with_the_time_remaining(birds, impatient):
    done = run("train", "birds.csv", "--target", "species", *QUICK)
    lines = done.stderr.splitlines()
    assert done.exit_code == 0
    assert sum(bool(re.fullmatch(TRAINING, line)) for line in lines) >= 2, done.stderr
    assert "\x1b" not in done.stderr
    for option in ("--quiet", "--json"):
        assert run("train", "birds.csv", "--target", "species", option, *QUICK).stderr == ""


def test_a_short_training_has_only_its_lines_for_members(birds):
    done = run("train", "birds.csv", "--target", "species", *QUICK)
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [f"member {k} of 6" for k in range(1, 7)]


def test_reading_scoring_predicting_and_reporting_write_lines(birds, impatient, brief_reports, monkeypatch):
    monkeypatch.setattr(TableFile, "read", slow(TableFile.read))
    for module in (app_train, app_evaluate, app_report):
        monkeypatch.setattr(module, "score_on", slow(module.score_on))
    done = run("train", "birds.csv", "--target", "species", "--out", "m", "--report", "r.html", *QUICK)
    for text in ("reading birds.csv", "scoring the model", "writing the report r.html"):
        assert re.search(rf"^{text}(: .*)?, \d+ s elapsed", done.stderr, re.M), text
    monkeypatch.setattr(Predictor, "predictions", slow(Predictor.predictions))
    monkeypatch.setattr(tables, "BATCH_ROWS", 20)
    done = run("predict", "m", "birds.csv")
    assert re.search(r"^predicting birds.csv: \d+ rows, \d+ s elapsed", done.stderr, re.M)
    assert len(done.stdout.splitlines()) == 81
    assert re.search(r"^reading birds.csv(: \d+ rows)?, 0 s elapsed", run("evaluate", "m", "birds.csv").stderr, re.M)
    assert run("evaluate", "m", "birds.csv", "--json").stderr == ""
    assert "scoring the model: predictions, 0 s elapsed" in run("report", "m", "birds.csv", "--out", "r.html").stderr


def test_what_is_quick_writes_nothing(birds):
    assert run("train", "birds.csv", "--target", "species", "--out", "m", "-q", *QUICK).exit_code == 0
    assert run("predict", "m", "birds.csv").stderr == ""
    assert run("evaluate", "m", "birds.csv").stderr == ""


def test_an_error_ends_the_lines(impatient, capsys):
    n_threads = threading.active_count()
    with pytest.raises(TableError), progress.Step("reading t.csv"):
        raise TableError("no")
    capsys.readouterr()
    sleep(0.02)
    assert capsys.readouterr().err == ""
    assert threading.active_count() == n_threads


def test_on_a_terminal_a_step_shows_the_rows_so_far_and_the_time_remaining(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, legacy_windows=False)
    with progress.Step("predicting [red]t.csv", console=console) as step:
        monkeypatch.setattr(progress, "perf_counter", lambda: step.start + 25)
        step("50,000 rows", 0.25)
        step.refresh()
        step.bars.refresh()
    assert re.search(
        r"predicting \[red\]t.csv .*50,000 rows, 25 s elapsed, about 75 s remaining", console.file.getvalue()
    )


def test_the_fraction_of_a_file_that_is_read_is_shown(birds, monkeypatch):
    monkeypatch.setattr(csv_file, "BLOCK_CHARS", 500)
    seen = []
    TableFile(Path("birds.csv")).read(show=lambda rows, fraction: seen.append((rows, fraction)))
    assert len(seen) > 2
    assert seen[-1] == ("80 rows", 1.0)
    assert [fraction for _, fraction in seen] == sorted(fraction for _, fraction in seen)


def test_the_importances_of_a_report_show_how_far_they_are(birds, brief_reports):
    assert run("train", "birds.csv", "--target", "species", "--out", "m", "-q", *QUICK).exit_code == 0
    predictor = load("m")
    table = table_to_score(predictor, TableFile(Path("birds.csv")))[0]
    shown = []
    result = score_on(predictor, table)
    app_report.write_report(Path("r.html"), result, lambda part, fraction: shown.append((part, fraction)))
    fractions = [fraction for part, fraction in shown if part == "importance of the columns" and fraction is not None]
    assert fractions == [k / 16 for k in range(16)]  # once as it is, and 5 shuffles of 3 columns


def test_the_time_remaining_of_a_resumed_training_counts_only_what_it_trained(tmp_path, monkeypatch):
    X, y = np.zeros((4, 1)), np.zeros((4, 1))
    options = {"batch_size": 2, "seed": 0, "schedule": "constant"}
    train(mlp(1, 1, seed=0), X, y, epochs=98, callbacks=Checkpoint(tmp_path / "c"), **options)
    display, seen, now = training_display.TrainingDisplay(1, silent=True), [], [100.0]

    class Later(Callback):
        def on_batch_end(self, run):
            now[0] += 11  # for each batch
            seen.append(display.line()) if display.runs else None

    monkeypatch.setattr("chainrule.model.progress.perf_counter", lambda: now[0])
    callbacks = [Checkpoint(tmp_path / "c", resume=True), Later(), *display.callbacks_for(0)]
    train(mlp(1, 1, seed=0), X, y, epochs=100, callbacks=callbacks, **options)
    assert "epoch 99 of 100, about 22 s remaining" in seen[0]


def test_members_are_expected_to_stop_as_early_as_those_that_have_stopped(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("chainrule.model.progress.perf_counter", lambda: now[0])
    display = training_display.TrainingDisplay(3, silent=True)

    def run_at(done):
        return SimpleNamespace(progress=done, epoch=0, epochs=100, history=History())

    display.follow(0, run_at(0.25), begin=0.0)
    display.finish(0, run_at(0.25))
    now[0] = 50.0
    display.follow(1, run_at(0.0), begin=40.0)
    display.follow(1, run_at(0.125), begin=40.0)
    # Member 1 trains 0.125 in 10 s and needs as much again; member 2 then needs 20 s.
    assert display.seconds_remaining == pytest.approx(10 + 20)
