"""Drift: a table is compared with what a model was trained on; and the card that says what that was."""

import json
import re

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from chainrule import Adam, Predictor
from chainrule.app.commands import app
from chainrule.errors import TableError
from chainrule.insight.drift import PREDICTIONS, drift

N = 400


def flats(seed, n=N, **changes):
    rng = np.random.default_rng(seed)
    size, rooms = rng.uniform(30, 200, n).round(1), rng.integers(1, 6, n).astype(float)
    rooms[rng.random(n) < 0.1] = np.nan
    table = {"size": size, "rooms": rooms, "city": rng.choice(["Ulm", "Bonn", "Jena"], n)}
    table["built"] = (np.datetime64("1990-01-01") + rng.integers(0, 9000, n)).astype(str)
    return table | {name: change(table[name]) for name, change in changes.items()}


@pytest.fixture(scope="module")
def model():
    table = flats(0)
    model = Predictor.fit(
        table | {"price": 3000 * table["size"]}, "price", network=(8,), optimizer=Adam(0.03), epochs=5, seed=0
    )
    model.metadata["columns"] = [
        {"name": "size", "kind": "number", "min": 30.0, "max": 200.0, "missing": 0},
        {"name": "rooms", "kind": "number", "min": 1.0, "max": 5.0, "missing": int(np.isnan(table["rooms"]).sum())},
        {"name": "city", "kind": "category", "categories": 3, "missing": 0},
        {"name": "built", "kind": "date", "min": min(table["built"]), "max": max(table["built"]), "missing": 0},
    ]
    model.metadata["rows"] = {"training": N}
    return model


def verdicts(model, table):
    return {column.name: column.verdict for column in drift(model, table)}


def test_rows_like_those_of_training_have_not_drifted(model):
    for seed in range(1, 21):
        assert set(verdicts(model, flats(seed, n=150)).values()) == {"ok"}, seed
    assert list(verdicts(model, flats(1))) == ["size", "rooms", "city", "built", PREDICTIONS]


@pytest.mark.parametrize(
    ("name", "change", "verdict"),
    [
        ("size", lambda x: x * 0.6 + 12, "shifted"),
        ("size", lambda x: np.where(np.arange(len(x)) % 20 == 0, 900, x), "5% outside the range"),
        ("rooms", lambda x: np.where(np.arange(len(x)) % 2, np.nan, x), r"\d\d% missing, \d+% before"),
        ("city", lambda x: np.where(x == "Ulm", "Bonn", x), "shifted"),
        ("city", lambda x: np.where(np.arange(len(x)) % 10 == 0, "Rome", x), "10% unknown categories"),
        ("built", lambda x: np.where(np.arange(len(x)) % 4 == 0, "2031-05-01", x), r"2[56]% outside the range"),
        ("built", lambda x: np.sort(x)[len(x) // 2 :].repeat(2), "shifted"),
    ],
)
@pytest.mark.filterwarnings("ignore:column 'city'")
def test_the_column_that_changed_is_named(name, change, verdict, model):
    found = verdicts(model, flats(1, **{name: change}))
    assert re.match(verdict, found[name]), found[name]
    others = found.keys() - {name, PREDICTIONS}
    assert {found[other] for other in others} == {"ok"}
    assert (found[PREDICTIONS] == "shifted") == (name == "size" and verdict == "shifted")


def test_the_distance_is_that_of_the_distribution_functions(model):
    (size, *_) = drift(model, flats(1, size=lambda x: np.full(len(x), 115.0)))
    z = model.background[:, 0]
    at = model.encoder.transform(flats(1, n=1, size=lambda x: np.array([115.0])))[0, 0]
    assert size.distance == pytest.approx(max((z < at).mean(), (z > at).mean()))
    assert size.probability < 1e-6


def test_a_model_without_training_rows_knows_ranges_only(model):
    bare = Predictor(model.encoder, model.ensemble, model.target, model.metadata)
    columns = {column.name: column for column in drift(bare, flats(1, size=lambda x: x * 2))}
    assert "outside the range" in columns["size"].verdict
    assert columns["size"].distance is None
    assert columns[PREDICTIONS].verdict == "not known"
    with pytest.raises(TableError, match="at least one row"):
        drift(bare, {name: cells[:0] for name, cells in flats(1).items()})


def run(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_prints_a_verdict_for_each_column(model, tmp_path):
    model.save(tmp_path / "m.chainrule")
    pl.DataFrame(flats(1, size=lambda x: x * 0.5)).write_csv(tmp_path / "new.csv")
    text = run("drift", tmp_path / "m.chainrule", tmp_path / "new.csv")
    assert re.search(r"size +\d+% outside the range, shifted", text)
    assert "2 columns changed; 400 rows compared with 64 training rows" in text
    document = json.loads(run("drift", tmp_path / "m.chainrule", tmp_path / "new.csv", "--json"))
    assert document["changed"] == ["size", PREDICTIONS]
    assert [column["name"] for column in document["columns"]] == ["size", "rooms", "city", "built", PREDICTIONS]


def test_the_card_says_what_the_model_learned_from(model, tmp_path):
    model.metadata["notices"] = ["a_b: *odd* | <cells>"]
    model.metadata["scores"] = {"rmse": 1234.5}
    model.save(tmp_path / "m.chainrule")
    card = run("inspect", tmp_path / "m.chainrule", "--markdown")
    described = json.loads(run("inspect", tmp_path / "m.chainrule", "--json"))
    assert card.startswith("# price: regression\n")
    assert f"`{described['sha256']}`" in card
    assert "| size | number | 30 to 200 |" in card
    assert "| rmse (lower is better) |" in card
    assert r"- a\_b: \*odd\* \| \<cells\>" in card
    assert len({line.count(" | ") for line in card.splitlines() if line.startswith("| size")}) == 1
    refused = CliRunner().invoke(app, ["inspect", str(tmp_path / "m.chainrule"), "--markdown", "--json"])
    assert (refused.exit_code, "--markdown cannot be combined with --json" in refused.stderr) == (2, True)
