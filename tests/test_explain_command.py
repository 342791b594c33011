"""The command `explain`: what it prints and writes, and its errors."""

import json
import re

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from chainrule import Adam, Predictor, load
from chainrule.app import commands


def run(*arguments):
    """Run the command in this process; return its exit code, output and errors."""
    return CliRunner().invoke(commands.app, ["explain", *map(str, arguments)])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Run every test in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flats(n, seed=0):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "size": rng.uniform(30, 200, n).round(1),
            "city": rng.choice(["Ulm", "Bonn"], n),
            "floor": [None if k % 7 == 0 else f"{k % 5}" for k in range(n)],
        }
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of the price and of the kind of flats."""
    folder, table = tmp_path_factory.mktemp("models"), flats(80)
    price = 3000 * table["size"].to_numpy() + 50_000 * (table["city"].to_numpy() == "Bonn")
    kinds = {"price": price, "kind": np.array(["small", "middle", "large"])[np.digitize(price, [250_000, 400_000])]}
    for name, values in kinds.items():
        options = {"network": (8,), "optimizer": Adam(0.03), "epochs": 60, "seed": 0}
        Predictor.fit(table.with_columns(pl.Series(name, values)), name, **options).save(folder / name)
    return folder


@pytest.fixture
def table():
    flats(12, seed=1).write_csv("flats.csv")
    return flats(12, seed=1)


def test_a_row_is_explained_in_the_unit_of_the_target(models, table):
    done = run(models / "price", "flats.csv", "--row", 3)
    assert done.exit_code == 0, done.stderr
    predicted = load(models / "price").predict(table)[2]
    head = re.match(r"price in row 3: (\S+), from a baseline of (\S+)\n", done.stdout)
    assert float(head[1].replace(",", "")) == pytest.approx(predicted, rel=0.01)
    assert re.search(rf"\n  size +{table['size'][2]} +[+-]\d\S+ +█*│█*\n", done.stdout)
    assert "exact Shapley values; 64 background rows, " in done.stdout


def test_each_given_row_is_explained_for_its_predicted_class(models, table):
    done = run(models / "kind", "flats.csv", "--row", 3, "--row", 8)
    predicted = load(models / "kind").predict(table)
    heads = re.findall(r"log-odds of (\w+) in row (\d)", done.stdout)
    assert heads == [(predicted[2], "3"), (predicted[7], "8")]
    assert "log-odds of middle in row 8" in run(models / "kind", "flats.csv", "--row", 8, "--class", "middle").stdout


def test_without_rows_a_sample_is_summarized(models, table):
    done = run(models / "kind", "flats.csv", "--max-rows", 5, "--columns", 1)
    assert "mean absolute contribution to log-odds of" in done.stdout
    assert "in 5 rows" in done.stdout
    assert "2 other columns" in done.stdout


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_all_contributions_are_written_as_a_table(models, table, suffix):
    assert run(models / "kind", "flats.csv", "--out", f"c{suffix}").exit_code == 0
    read = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}[suffix]
    written = read(f"c{suffix}")
    names = [f"contribution of {name}" for name in ("size", "city", "floor")]
    assert written.columns == ["row", "output", "prediction", "baseline", *names]
    assert written["row"].to_list() == [k for k in range(1, 13) for _ in range(3)]
    total = written["baseline"] + written.select(names).sum_horizontal()
    np.testing.assert_allclose(total, written["prediction"], atol=1e-4)


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_a_figure_is_written(models, table, here, suffix, magic):
    done = run(models / "price", "flats.csv", "--row", 2, "--out", f"c{suffix}")
    assert f"contributions  c{suffix}" in done.stdout
    assert (here / f"c{suffix}").read_bytes().startswith(magic)


def test_json_replaces_the_text(models, table):
    document = json.loads(run(models / "price", "flats.csv", "--row", 12, "--json").stdout)
    assert document["rows"][0]["row"] == 12
    assert document["rows"][0]["values"]["city"] == table["city"][11]
    assert document["unit"] == "target"


def test_a_background_and_a_seed_are_given(models, table):
    flats(100, seed=5).write_csv("other.csv")
    one, same, other = (
        json.loads(
            run(models / "price", "flats.csv", "--row", 1, "--background", "other.csv", "--seed", seed, "--json").stdout
        )
        for seed in (0, 0, 1)
    )
    assert one["background_rows"] == 64
    assert one == same
    assert one["baseline"] != other["baseline"]


def test_rows_of_a_pipe_are_explained(models, table):
    text = table.write_csv()
    done = CliRunner().invoke(commands.app, ["explain", str(models / "price"), "-", "--row", "2"], input=text)
    assert done.exit_code == 0, done.stderr
    assert "price in row 2" in done.stdout


def test_unusual_cells_are_noted(models, table):
    pl.DataFrame({"size": [50.0] * 9, "city": ["Köln"] * 9, "floor": ["1"] * 9}).write_csv("flats.csv")
    done = run(models / "price", "flats.csv", "--max-rows", 9)
    assert done.stdout.count("note: column 'city'") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--row", "13"], "--row must be <= 12, the number of rows, got 13"),
        (["--row", "0"], "--row must be an integer >= 1, got 0"),
        (["--columns", "none"], "--columns must be an integer >= 1, got 'none'"),
        (["--class", "large"], "--class requires a classification model, got price, a regression model"),
        (["--out", "c.txt"], "c.txt must end in one of .csv "),
        (["--out", "flats.csv"], "--out must not be the same file as FILE, got flats.csv for both"),
        (["--background", "absent.csv"], "absent.csv: no such file"),
        (["--background", "narrow.csv"], "columns 'city', 'floor' are missing from the table"),
    ],
)
def test_wrong_options_are_errors_of_one_line(models, table, here, arguments, message):
    pl.DataFrame({"size": [50.0]}).write_csv("narrow.csv")
    (here / "price").write_bytes((models / "price").read_bytes())
    done = run("price", "flats.csv", *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"chainrule: {message}")
    assert done.stderr.count("\n") == 1
    assert not done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("size,city,floor\n", "flats.csv must have at least one row, got only a header"),
        ("", "flats.csv is empty"),
        ("size,city\n40,Ulm\n", "column 'floor' is missing from the table"),
        ("size,city,floor\n40,Ulm,1\nx,Bonn,2\n", "column 'size', row 2: expected a finite number, got 'x'"),
    ],
)
def test_wrong_tables_are_errors_of_one_line(models, here, content, message):
    (here / "flats.csv").write_text(content)
    done = run(models / "price", "flats.csv")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"chainrule: {message}")
    assert done.stderr.count("\n") == 1


def test_an_unknown_class_and_a_model_without_background_are_errors(models, table, here):
    assert run(models / "kind", "flats.csv", "--class", "larg").stderr == (
        "chainrule: --class must be one of 'large', 'middle', 'small', got 'larg'. Did you mean 'large'?\n"
    )
    model = load(models / "price")
    model.background = None
    model.save("bare")
    assert run("bare", "flats.csv").stderr == (
        "chainrule: bare contains no background rows. Pass --background TRAINING_TABLE.\n"
    )
    assert run("bare", "flats.csv", "--background", "flats.csv").exit_code == 0
