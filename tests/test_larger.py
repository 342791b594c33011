"""Tables larger than memory: read in parts, encoded once on disk, and trained on as those that fit."""

import os
import re
from collections import namedtuple
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.dataset as ds
import pytest
from joblib import parallel_config
from typer.testing import CliRunner

from chainrule import (
    Adam,
    Callback,
    Checkpoint,
    Predictor,
    TabularClassifier,
    TabularEncoder,
    TabularRegressor,
    mlp,
    train,
)
from chainrule.app import commands
from chainrule.app.tables import TableFile
from chainrule.data import rowfile
from chainrule.data.rowfile import EncodedRows, RowFile
from chainrule.data.targets import NumberTarget, learn_target
from chainrule.errors import ModelFileError, TableError
from chainrule.files.model import load
from chainrule.model.larger import NO_FOLD, Larger

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
    assert len(EncodedRows(rest, np.copy).sizes) > 2
    assert os.listdir(tmp_path) == []
    windows = [(X.copy(), y.copy()) for X, y, weight in EncodedRows(rest, np.copy).windows(None) if weight is None]
    X, y = map(np.concatenate, zip(*windows))
    others = table[np.setdiff1d(np.arange(N), survey.rows).tolist()]
    order, expected = np.argsort(y), np.argsort(others["y"].to_numpy())
    np.testing.assert_array_equal(y[order], others["y"].to_numpy()[expected])
    np.testing.assert_array_equal(X[order], encoder.transform(others)[expected])
    assert (
        np.ptp([values.mean() for _, values in windows]) < 1
    )  # the target of the sorted table has a standard deviation of 2


def test_a_table_that_fits_gives_the_same_model_in_parts(table, folder):
    few = table[::20].sample(fraction=1.0, shuffle=True, seed=0)
    few.write_csv(folder.parent / "few.csv")
    in_memory = TabularRegressor(**QUICK).fit(few.drop("y"), few["y"])
    for source in (folder.parent / "few.csv", few.lazy()):
        np.testing.assert_array_equal(TabularRegressor(**QUICK).fit(source, "y").predict(few), in_memory.predict(few))
    few = few.with_columns(weight=pl.int_range(len(few)) % 3)
    ties = {"sample_weight": "weight", "groups": "city", "time": "row"}
    in_memory.fit(few.drop("y", "weight", "city"), few["y"], **{name: few[column] for name, column in ties.items()})
    in_parts = TabularRegressor(**QUICK).fit(few.lazy(), "y", **ties)
    np.testing.assert_array_equal(in_parts.predict(few), in_memory.predict(few))


def test_all_rows_of_a_larger_table_are_trained_on(table, folder):
    sources = {"folder": folder, "lazy": table.lazy(), "dataset": ds.dataset(folder)}
    models = {}
    for name, source in sources.items():
        model = TabularClassifier(**QUICK, max_memory=MEMORY, n_jobs=1 + (name == "lazy"))
        with parallel_config("loky"):  # members share a file, so they are in threads after all
            models[name] = model.fit(source, "kind")
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
        (("y", np.ones(N)), "sample_weight must be the name of a column of a table that is read in parts"),
        (("y", None, "cities"), "column 'cities' is missing from the table. Did you mean 'city'"),
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
    return EncodedRows(file, lambda values: values[:, np.newaxis].astype(np.float32))


class Count(Callback):
    def on_train_begin(self, run):
        self.rows, self.steps = [], 0

    def on_batch_end(self, run):
        self.rows += np.ravel(run.batch_rows[1]).tolist()
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
    assert "cannot hold the table: the encoded rows take 0.2 MB, and 0.0 MB are free" in done.output.replace("\n", " ")
    assert os.listdir(tmp_path) == []


def test_the_command_line_trains_on_a_folder_or_a_csv_file_larger_than_memory(table, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table.write_csv("t.csv")
    options = ["--quality=fast", "--folds=2", "--epochs=1", "--hidden=8", "--target=kind", "--memory=1MB"]
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


@pytest.fixture(scope="module")
def visits():
    """Rows whose labels are random by group and by day, with a weight that is 0 on every tenth row, in no order."""
    rng = np.random.default_rng(1)
    patient, day = rng.integers(0, 150, N), rng.integers(0, 100, N)
    ill = rng.random(150)[patient] < 0.5
    return pl.DataFrame(
        {
            "number": np.arange(N, dtype=float),
            "patient": np.char.add("p", patient.astype(str)),
            "ward": np.char.add("w", patient.astype(str)),
            "when": (np.datetime64("2024-01-01") + day).astype(str),
            "day": day,
            "shift": np.char.add("s", day.astype(str)),
            "season": rng.random(100)[day] < 0.5,
            "weight": np.where(np.arange(N) % 10, 1.5, 0.0),
            "ill": np.where(ill, "yes", "no"),
        }
    )


def test_rows_on_disk_are_of_other_groups_and_earlier_than_those_held_out(visits, tmp_path):
    ties = {"weight": "weight", "group": "patient", "time": "when"}
    larger = Larger(parts_of(visits), "number", MEMORY, folder=tmp_path, **ties)
    rows, sample = larger.survey.rows, larger.survey.sample
    late = sample["day"] >= 70
    held = late & np.isin(sample["patient"], [f"p{k}" for k in range(60)])
    fold = np.where(held, [int(name[1:]) % 3 - 1 for name in sample["patient"]], NO_FOLD)  # -1, 0 and 1, of test rows
    encoder, target = larger.fit(TabularEncoder(), ["day"]), NumberTarget.fit("number", sample["number"])
    training, test = np.flatnonzero(fold != 1), np.flatnonzero(fold == 1)
    file = larger.rest(encoder, target, training, test, fold=fold[training])
    first = min((sample["when"][i], rows[i]) for i in np.flatnonzero(fold != NO_FOLD))
    of_fold = {sample["patient"][i]: fold[i] for i in np.flatnonzero(fold != NO_FOLD)}
    others = visits.with_row_index("i").filter(~pl.col("i").is_in(rows), pl.col("weight") > 0)
    others = others.filter((pl.col("when") < first[0]) | (pl.col("when") == first[0]) & (pl.col("i") < first[1]))
    usable = [(i, of_fold.get(patient, NO_FOLD)) for i, patient in others.select("i", "patient").iter_rows()]
    for without in (None, 0):
        encoded = EncodedRows(file, np.copy, without)
        on_disk = [(y.copy(), weight.copy()) for _, y, weight in encoded.windows(None)]
        y, weight = map(np.concatenate, zip(*on_disk))
        expected = [i for i, k in usable if k not in (1, without)]
        np.testing.assert_array_equal(np.sort(y), expected)
        assert (weight == 1.5).all()
        assert encoded.sizes == [len(y) for y, _ in on_disk]
        assert 0 < len(encoded) < N - len(rows)


def test_neither_groups_nor_later_rows_are_trained_on_and_held_out(visits):
    def fitted(columns, target, **ties):
        table = visits.select(columns)
        model = TabularClassifier(**QUICK | {"epochs": 3}, max_memory=MEMORY, class_weight="balanced")
        P = model.fit(table.lazy(), target, **ties).out_of_fold_proba_
        known = ~np.isnan(P[:, 0])
        truth = Larger(parts_of(table), target, MEMORY).survey.sample[target]
        return model, known.sum(), (model.classes_[P.argmax(axis=1)] == truth)[known].mean()

    columns = ["ill", "ward", "patient", "weight"]
    model, n, accuracy = fitted(columns, "ill", groups="patient", sample_weight="weight")
    assert accuracy < 0.7  # 1 if a patient is trained on and held out
    assert list(model.feature_names_in_) == ["ward"]
    assert 880 < n < 920
    assert 0.88 * N < model.predictor_.metadata["rows"]["training"] < 0.92 * N
    model, n, accuracy = fitted(["season", "shift", "day"], "season", time="day")
    assert accuracy < 0.8  # 1 if days are trained on and held out
    assert list(model.feature_names_in_) == ["shift", "day"]
    assert 150 < n < 250


def test_a_predictor_is_fitted_to_a_path_or_a_larger_table(table, folder):
    options = {"network": (8,), "epochs": 2, "optimizer": Adam(0.02), "seed": 0}
    few = table[::20].drop("row")
    few.write_parquet(folder.parent / "few.parquet")
    in_memory = Predictor.fit(few, "y", **options)
    for source in (folder.parent / "few.parquet", few.lazy()):
        np.testing.assert_array_equal(Predictor.fit(source, "y", **options).predict(few), in_memory.predict(few))
    counted, weighted = Count(), table.select("x", "kind", weight=pl.int_range(N) % 10)
    arguments = {"sample_weight": "weight", "callbacks": counted, "max_memory": MEMORY} | options
    model = Predictor.fit(weighted.lazy(), "kind", **arguments)
    assert 5_400 <= len(counted.rows) / 2 <= 5_600  # those in memory, and of those on disk nine tenths
    assert [column.name for column in model.encoder.columns] == ["x"]
    assert (model.predict(table) == table["kind"].to_numpy()).mean() > 0.75


def test_the_command_line_keeps_groups_times_and_weights_of_a_larger_table(visits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = visits.select("ill", "ward", "patient", "when", weight=pl.col("weight") + 1)
    options = ["--quality=fast", "--folds=2", "--epochs=1", "--hidden=8", "--target=ill", "--out=m.chainrule"]
    options += ["--memory=1MB", "--group=patient", "--time=when", "--weight=weight"]

    def trained(frame):
        frame.write_csv("t.csv")
        return CliRunner().invoke(commands.app, ["train", "t.csv", *options])

    done = trained(table)
    text = " ".join(done.output.split())
    assert done.exit_code == 0, text
    assert "but those of groups that are tested on or held out or that are not earlier than test rows" in text
    metadata = load(Path("m.chainrule")).metadata
    assert 0.3 * N < metadata["rows"]["training"] < 0.8 * N
    assert re.search(r"up to 5,\d\d\d training rows, \d\d test rows", text)
    assert {column["name"] for column in metadata["columns"]} == {"ward", "when"}
    sampled = Larger(parts_of(table), "ill", 10**6).survey.rows.tolist()
    missing = "expected a value, got a missing cell"
    for column, row, value, message in (
        ("weight", 4000, 0.0, "column 'weight', row 4001: expected a weight > 0, got 0"),
        ("patient", 4000, None, f"chainrule: column 'patient', row 4001: {missing}"),
        ("patient", sampled[500], None, f"chainrule: --group column 'patient', row {sampled[500] + 1}: {missing}"),
        ("when", 4000, None, f"chainrule: column 'when', row 4001: {missing}"),
    ):
        cells = table[column].to_list()
        cells[row] = value
        done = trained(table.with_columns(pl.Series(column, cells)))
        assert done.exit_code != 0
        assert message in " ".join(done.output.split())
    assert set(os.listdir()) == {"t.csv", "m.chainrule"}


def test_the_targets_of_a_part_are_read_as_those_of_the_whole_table(tmp_path):
    """A table that is sorted by its target has parts of nothing but mistakes or words for missing values."""
    numbers = np.sort(np.random.default_rng(0).normal(50, 3, N)).round(2)
    known = np.arange(N) < 4_000
    for cells in (np.char.add("$", numbers.astype(str)), (numbers > 49).astype(int).astype(str)):
        expected = np.char.strip(cells, "$").astype(float)
        frame = pl.DataFrame({"x": numbers, "y": np.where(known, cells, "n/a")})
        larger = Larger(parts_of(frame), "y", MEMORY, folder=tmp_path)
        target, _, _ = learn_target("y", larger.survey.sample["y"])
        file = larger.rest(larger.fit(TabularEncoder(), ["x"]), target)
        on_disk = np.concatenate([y.copy() for _, y, _ in EncodedRows(file, np.copy).windows(None)])
        others = np.setdiff1d(np.flatnonzero(known), larger.survey.rows)
        np.testing.assert_array_equal(np.sort(on_disk), expected[others])
