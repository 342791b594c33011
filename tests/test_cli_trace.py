"""`chainrule trace`, as a user calls it."""

import json

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from chainrule import Adam, Predictor, TabularEncoder, mlp, save, trace, train
from chainrule.app.trace import trace_command
from chainrule.data.reading import read_columns
from chainrule.data.targets import fit_target
from chainrule.model.ensemble import Ensemble

app = typer.Typer()
app.command("trace")(trace_command)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def herd(tmp_path, monkeypatch):
    """A folder with a table, a model of two networks for it, and one row whose target is not known."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    size = rng.uniform(1, 2, 20).round(2)
    kind = [None if i == 4 else "big" if s > 1.5 else "small" for i, s in enumerate(size)]
    frame = pl.DataFrame({"size": size, "legs": rng.integers(2, 5, 20), "kind": kind})
    frame.write_csv("herd.csv")
    known = frame.filter(pl.col("kind").is_not_null())
    inputs = read_columns(known.drop("kind"))
    encoder = TabularEncoder().fit(inputs)
    target = fit_target("kind", read_columns(known)["kind"])
    nets = [mlp(encoder.n_features, 3, 2, activation="tanh", loss=target.loss, seed=seed) for seed in (0, 1)]
    X, y = encoder.transform(inputs), target.encode(read_columns(known)["kind"])
    for net in nets:
        train(net, X, y, epochs=2)
    predictor = Predictor(encoder, Ensemble(tuple(nets)), target, {"table": "herd.csv"})
    predictor.save("herd.chainrule")
    return predictor, frame


def test_it_prints_the_step_of_a_row(herd):
    predictor, frame = herd
    result = run("herd.chainrule", "--table", "herd.csv", "--row", 3)
    assert result.exit_code == 0, result.output
    X = predictor.encoder.transform(frame[[2]])
    y = predictor.target.encode(read_columns(frame[[2]])["kind"])
    assert result.stdout == trace(predictor.ensemble.networks[0], X, y).to_text() + "\n"


def test_the_table_trained_on_is_found_and_several_rows_make_a_batch(herd):
    result = run("herd.chainrule", "--row", 3, "--row", 7)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("One training step on 2 rows")


def test_another_member_optimiser_rate_and_notation(herd):
    predictor, frame = herd
    result = run(
        "herd.chainrule", "--member", 2, "--optimizer", "adam", "--learning-rate", 0.25, "--notation", "column"
    )
    assert result.exit_code == 0, result.output
    assert "Adam(learning_rate=0.25)" in result.stdout
    assert "z¹ⱼ = Σₖ w¹ⱼₖ a⁰ₖ + b¹ⱼ" in result.stdout
    X, y = predictor.encoder.transform(frame[[0]]), predictor.target.encode(read_columns(frame[[0]])["kind"])
    step = trace(predictor.ensemble.networks[1], X, y, Adam(0.25))
    assert result.stdout == step.to_text("column") + "\n"


def test_json_latex_proof_and_page(herd):
    document = json.loads(run("herd.chainrule", "--json").stdout)
    assert document["quantities"][0]["name"] == "X"
    assert r"\begin{align*}" in run("herd.chainrule", "--latex").stdout
    assert run("herd.chainrule", "--verify").stdout.startswith("the trace holds")
    result = run("herd.chainrule", "--html", "step.html", "--notation", "column")
    assert result.exit_code == 0
    assert result.stdout == ""
    with open("step.html", encoding="utf-8") as file:
        assert '<body data-notation="column">' in file.read()


@pytest.mark.parametrize(("loss", "target"), [("squared_error", [0.5, 1.5, 2.0]), ("cross_entropy", [0, 1, 1])])
def test_a_bare_network_takes_a_table_of_numbers(loss, target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(mlp(2, 3, 2 if loss == "cross_entropy" else 1, loss=loss, seed=0), "net.chainrule")
    pl.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0, 1, 0], "y": target}).write_csv("rows.csv")
    result = run("net.chainrule", "--table", "rows.csv", "--row", 2)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[4].split() == ["2", "1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["herd.chainrule", "--row", 21], "--row must be 20 at most"),
        (["herd.chainrule", "--row", 5], "the target 'kind' must be known, however: in row 5 it is not"),
        (["herd.chainrule", "--member", 3], "--member must be 2 at most"),
        (["herd.chainrule", "--latex", "--json"], "only one of --latex, --json, --verify can be printed at once"),
        (["herd.chainrule", "--table", "bare.csv"], "--table must hold the target 'kind', however: it has size, legs"),
        (["herd.chainrule", "--html", "herd.csv"], "--html must not be the file of --table"),
        (["herd.chainrule", "--learning-rate", -1], "learning_rate must be above 0"),
        (["lost.chainrule"], "lost.chainrule"),
        (["net.chainrule"], "--table must name a table with the rows"),
        (["net.chainrule", "--table", "herd.csv"], "--table must hold numbers only, 2 columns of inputs"),
        (["net.chainrule", "--table", "bare.csv", "--member", 2], "--member must be 1 for a single network"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_status_2(arguments, said, herd):
    _, frame = herd
    frame.drop("kind").write_csv("bare.csv")
    save(mlp(2, 1, seed=0), "net.chainrule")
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_row_without_a_number_is_told_by_typer(herd):
    assert run("herd.chainrule", "--row", 0).exit_code == 2
