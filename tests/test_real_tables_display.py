"""Messages about tables that do not fit, and the progress of what takes long."""

import re

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from chainrule import Checkpoint, ModelFileError, Predictor, TabularEncoder, mlp, train
from chainrule.app import commands
from chainrule.data.reading import read_columns, require_names
from chainrule.data.targets import fit_target
from chainrule.errors import TableError
from chainrule.training.checkpoint import CheckpointFile

QUICK = ["--epochs", "2", "--members", "2", "--jobs", "1"]


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
    "number of members was 2, now 3": ["--target", "body_mass", "--members", "3"],
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
