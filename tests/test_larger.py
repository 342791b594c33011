"""Tables larger than memory: read in parts, encoded once on disk, and trained on as those that fit."""

import os
from collections import namedtuple
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.dataset as ds
import pytest
from typer.testing import CliRunner

from chainrule import Callback, Checkpoint, TabularClassifier, TabularEncoder, TabularRegressor, mlp, train
from chainrule.app import commands
from chainrule.app.tables import TableFile
from chainrule.data import rowfile
from chainrule.data.rowfile import RowFile
from chainrule.data.targets import NumberTarget
from chainrule.errors import ModelFileError, TableError
from chainrule.files.model import load
from chainrule.model.larger import Larger

N = 6_000
QUICK = {"quality": "fast", "n_folds": 2, "epochs": 1, "hidden_layer_sizes": (8,), "random_state": 0}
MEMORY = 2**20


@pytest.fixture(scope="module")
def table():
    """Rows that are sorted by the target, with a rare class."""
    rng = np.random.default_rng(0)
    x, city = rng.normal(size=N), rng.choice(["Bern", "Genf", "Chur"], N)
    kind = np.where(x + (city == "Bern") > 0.3, "yes", "no")
    kind[-2:] = "odd"
    frame = pl.DataFrame({"row": np.arange(N) / 7, "x": np.where(rng.random(N) < 0.05, np.nan, x), "city": city})
    return frame.with_columns(kind=kind, y=2 * x + 5).sort("kind", maintain_order=True)


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    """The table as a folder of three files."""
    path = tmp_path_factory.mktemp("parts") / "visits"
    path.mkdir()
    for k in range(3):
        table[k * 2000 : (k + 1) * 2000].write_parquet(path / f"part-{k}.parquet")
    return path


def parts_of(frame):
    return lambda n_rows: frame.iter_slices(n_rows)


def test_every_row_is_either_in_the_sample_or_once_on_disk(table, tmp_path):
    larger = Larger(parts_of(table), "y", MEMORY, folder=tmp_path)
    survey = larger.survey
    assert (survey.n_rows, len(survey.rows)) == (N, 1000)
    np.testing.assert_array_equal(survey.sample["row"], table["row"].to_numpy()[survey.rows])
    encoder = larger.fit(TabularEncoder(), ["row", "x", "city"])
    rest = larger.rest(encoder, NumberTarget.fit("y", survey.sample["y"]))
    assert len(rest.sizes) > 2
    assert os.listdir(tmp_path) == []
    X, y, weight = (
        np.concatenate(arrays) if arrays[0] is not None else None
        for arrays in zip(*((X.copy(), y.copy(), w) for X, y, w in rest.encoded(lambda y: y).windows(None)))
    )
    assert weight is None
    others = table[np.setdiff1d(np.arange(N), survey.rows).tolist()]
    order, expected = np.argsort(y), np.argsort(others["y"].to_numpy())
    np.testing.assert_array_equal(y[order], others["y"].to_numpy()[expected])
    np.testing.assert_array_equal(X[order], encoder.transform(others)[expected])
    means = [float(values.mean()) for _, values, _ in rest.encoded(lambda y: y).windows(None)]
    assert np.ptp(means) < 1  # the target of the sorted table has a standard deviation of 2


def test_a_table_that_fits_gives_the_same_model_in_parts(table, folder):
    few = table[::20].sample(fraction=1.0, shuffle=True, seed=0)
    few.write_csv(folder.parent / "few.csv")
    in_memory = TabularRegressor(**QUICK).fit(few.drop("y"), few["y"])
    for source in (folder.parent / "few.csv", few.lazy()):
        np.testing.assert_array_equal(TabularRegressor(**QUICK).fit(source, "y").predict(few), in_memory.predict(few))


def test_all_rows_of_a_larger_table_are_trained_on(table, folder):
    sources = {"folder": folder, "lazy": table.lazy(), "dataset": ds.dataset(folder)}
    models = {
        name: TabularClassifier(**QUICK, max_memory=MEMORY, n_jobs=1 + (name == "lazy")).fit(source, "kind")
        for name, source in sources.items()
    }
    model = models["folder"]
    for other in models.values():
        np.testing.assert_array_equal(other.predict_proba(table), model.predict_proba(table))
    assert model.predictor_.metadata["rows"]["training"] == N
    assert model.out_of_fold_proba_.shape == (1000, 3)
    assert list(model.classes_) == ["no", "odd", "yes"]
    assert (model.predict(table) == table["kind"].to_numpy()).mean() > 0.85


def test_a_name_of_the_target_is_needed_and_arrays_are_refused(table, folder):
    for arguments, message in (
        (([1.0, 2.0],), "y must be the name of a column"),
        (("nothing",), "column 'nothing' is missing"),
        (("y", np.ones(N)), "sample_weight must be None for a table that is read in parts"),
    ):
        with pytest.raises(ValueError, match=message):
            TabularRegressor(**QUICK).fit(folder, *arguments)
    with pytest.raises(TableError, match="must be files of one kind"):
        TabularRegressor(**QUICK).fit(folder.parent / "none*.parquet", "y")


def rows_on_disk(folder, rng, scale=1.0):
    file = RowFile(folder, 300, 2, bucket_bytes=2000, weighted=True)
    X = rng.normal(size=(300, 2))
    for rows in np.split(X, 3):
        file.append(rows, scale * rows.sum(axis=1), np.ones(100))
    return file.encoded(lambda values: values[:, np.newaxis].astype(np.float32))


class Count(Callback):
    def on_train_begin(self, run):
        self.rows, self.steps = [], 0

    def on_batch_end(self, run):
        self.rows += run.batch_rows[1][:, 0].tolist()
        self.steps += 1
        self.n_batches = run.n_batches


def test_an_epoch_has_every_row_in_memory_and_on_disk_once(tmp_path):
    rng = np.random.default_rng(0)
    X, more, counted = rng.normal(size=(40, 2)), rows_on_disk(tmp_path, rng), Count()
    train(mlp(2, 1), X, X[:, 0], more=more, epochs=1, batch_size=16, callbacks=counted, seed=0)
    assert counted.steps == counted.n_batches == sum(-(-size // 16) for size in [40, *more.sizes])
    on_disk = np.concatenate([y[:, 0].copy() for _, y, _ in more.windows(None)])
    np.testing.assert_array_equal(np.sort(counted.rows), np.sort(np.append(X[:, 0].astype(np.float32), on_disk)))


class Killed(Callback):
    def on_epoch_begin(self, run):
        if run.epoch == 2:
            raise InterruptedError


def test_a_run_on_rows_on_disk_is_resumed_with_the_same_bits(tmp_path):
    def net_after(interrupted, scale=1.0):
        rng, net = np.random.default_rng(0), mlp(2, 4, 1, seed=0)
        X = rng.normal(size=(40, 2))
        callbacks = [Checkpoint(tmp_path / "run", resume=True), *([Killed()] if interrupted else [])]
        more = rows_on_disk(tmp_path, rng, scale)
        train(net, X, X.sum(axis=1), more=more, epochs=4, batch_size=16, callbacks=callbacks, seed=0)
        return net.theta

    expected = net_after(False)
    os.remove(tmp_path / "run")
    with pytest.raises(InterruptedError):
        net_after(True)
    np.testing.assert_array_equal(net_after(False), expected)
    with pytest.raises(ModelFileError, match="further rows"):
        net_after(False, scale=2.0)


def test_a_full_disk_is_one_line_and_leaves_nothing(folder, tmp_path, monkeypatch):
    Usage = namedtuple("Usage", "free")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rowfile.shutil, "disk_usage", lambda folder: Usage(1000))
    done = CliRunner().invoke(commands.app, ["train", str(folder), "--target", "y", "--memory", "1MB"])
    assert done.exit_code != 0
    assert "cannot hold the table: the encoded rows take 0.0" in done.output.replace("\n", " ")
    assert os.listdir(tmp_path) == []


def test_the_command_line_trains_on_a_folder_or_a_csv_file_larger_than_memory(table, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table.write_csv("t.csv")
    options = [
        "--target",
        "kind",
        "--memory",
        "1MB",
        "--quality",
        "fast",
        "--folds",
        "2",
        "--epochs",
        "1",
        "--hidden",
        "8",
    ]
    models = []
    for source in (str(folder), "t.csv"):
        done = CliRunner().invoke(commands.app, ["train", source, *options, "--drop", "y", "--out", "m.chainrule"])
        assert done.exit_code == 0, done.output
        assert "6,000 rows, 5 columns" in done.output
        assert "5,800 training rows, 200 test rows" in done.output
        models.append(load(Path("m.chainrule")))
    assert models[0].metadata["rows"] == {"training": 5800, "test": 200}
    np.testing.assert_array_equal(*(model.predict_proba(table) for model in models))
    for words, message in (
        (["t.csv", *options, "--group", "city"], "--group requires a table that fits into 0.001 GB of memory"),
        (["t.csv", "--target", "kind", "--memory", "lots"], "--memory must be a size >= 1MB such as 500MB or 2GB, got"),
        (["t.csv", "--target", "kind", "--memory", "9kB"], "--memory must be a size >= 1MB such as 500MB or 2GB, got"),
    ):
        done = CliRunner().invoke(commands.app, ["train", *words])
        assert done.exit_code != 0
        assert message in " ".join(done.output.split())


def test_csv_files_of_a_folder_are_one_table_whatever_their_dialects(tmp_path):
    (tmp_path / "1.csv").write_text("code,size,late\n007,1,true\n008,2,true\n")
    (tmp_path / "2.csv").write_text("size;code;late\n3;009;false\n4;010;x\n")
    source = TableFile(tmp_path)
    expected = {"code": ["007", "008", "009", "010"], "size": [1, 2, 3, 4], "late": ["true", "true", "false", "x"]}
    assert source.read().to_dict(as_series=False) == expected
    assert pl.concat(source.parts()(2)).to_dict(as_series=False) == expected
    (tmp_path / "3.csv").write_text("code,size\n1,2\n")
    with pytest.raises(TableError, match=r"must have the same columns, code, size, late, got code, size in 3\.csv"):
        TableFile(tmp_path).read()


def test_a_csv_file_in_parts_has_the_types_of_the_whole(tmp_path):
    path = tmp_path / "t.csv"
    head = "number,code,flag,late\n" + "1,007,true,\n" * 3000
    path.write_text(head + "2.5,012,False,x\n" * 3000)
    source = TableFile(path)
    parts = list(source.parts()(1000))
    assert len(parts) > 2
    assert pl.concat(parts).equals(TableFile(path).read())
