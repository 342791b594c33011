"""The command `chainrule trace`."""

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from chainrule import Predictor, TabularEncoder, Trace, mlp, save, trace, train
from chainrule.app.commands import app
from chainrule.data.reading import read_columns
from chainrule.data.targets import fit_target
from chainrule.insight.trace.proof import Line, Proof
from chainrule.model.ensemble import Ensemble


def run(*arguments):
    return CliRunner().invoke(app, ["trace", *map(str, arguments)])


@pytest.fixture
def herd(tmp_path, monkeypatch):
    """A directory with a table in which one target is missing, and a model of two networks for it."""
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
    predictor = Predictor(encoder, Ensemble(tuple(nets)), target)
    predictor.save("herd.chainrule")
    return predictor, frame


def step_of(herd, rows, member=1, **options):
    """The trace that the command must print."""
    predictor, frame = herd
    chosen = frame[[row - 1 for row in rows]]
    y = predictor.target.encode(read_columns(chosen)["kind"])
    names = {"columns": ["size", "legs"], "outputs": ["big", "small"]}
    return trace(predictor.ensemble.networks[member - 1], predictor.encoder.transform(chosen), y, **names, **options)


def test_it_prints_the_step_of_a_row(herd):
    result = run("herd.chainrule", "herd.csv", "--row", 3)
    assert result.exit_code == 0, result.output
    assert result.stdout == step_of(herd, [3]).to_text() + "\n"


def test_several_rows_make_a_batch_and_the_default_is_the_first_row(herd):
    assert run("herd.chainrule", "herd.csv", "--row", 7, "--row", 3).stdout == step_of(herd, [7, 3]).to_text() + "\n"
    assert run("herd.chainrule", "herd.csv").stdout == step_of(herd, [1]).to_text() + "\n"


def test_member_rate_and_notation_can_be_chosen(herd):
    result = run("herd.chainrule", "herd.csv", "--member", 2, "--rate", 0.25, "--notation", "column")
    assert result.exit_code == 0, result.output
    assert "SGD(learning_rate=0.25)" in result.stdout
    assert "z¹ⱼ = Σₖ w¹ⱼₖ a⁰ₖ + b¹ⱼ" in result.stdout
    assert result.stdout == step_of(herd, [1], member=2, rate=0.25).to_text("column") + "\n"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("text", lambda step: step.to_text() + "\n"),
        ("latex", Trace.to_latex),
        ("html", Trace.to_html),
        ("json", lambda step: json.dumps(step.to_dict()) + "\n"),
    ],
)
def test_every_format_is_printed_or_written_to_a_file(form, expected, herd, tmp_path):
    shown = run("herd.chainrule", "herd.csv", "--row", 3, "--to", form)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout == expected(step_of(herd, [3]))
    written = run("herd.chainrule", "herd.csv", "--row", 3, "--to", form, "--out", "step")
    assert (written.exit_code, written.stdout) == (0, "")
    assert (tmp_path / "step").read_text(encoding="utf-8") == shown.stdout


def test_verify_reports_success_or_the_line_that_is_wrong(herd, monkeypatch):
    result = run("herd.chainrule", "herd.csv", "--verify", "--to", "json")
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert "wrong" not in result.stderr.lower()
    json.loads(result.stdout)
    monkeypatch.setattr(Trace, "verify", lambda step: Proof((Line("delta1", 1.0, 0.0),), ()))
    result = run("herd.chainrule", "herd.csv", "--verify")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "delta1" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["herd.chainrule", "herd.csv", "--row", 21], "--row must be <= 20, the number of rows, got 21"),
        (["herd.chainrule", "herd.csv", "--row", 5], "the target 'kind' must be known in row 5, got a missing value"),
        (["herd.chainrule", "herd.csv", "--member", 3], "--member must be <= 2, the number of networks, got 3"),
        (["herd.chainrule", "bare.csv"], "kind"),
        (
            ["herd.chainrule", "herd.csv", "--out", "herd.csv"],
            "--out must not be the same file as FILE, got herd.csv for both",
        ),
        (["herd.chainrule", "herd.csv", "--rate", -1], "--rate must be a finite number > 0, got -1"),
        (["lost.chainrule", "herd.csv"], "lost.chainrule"),
        (["net.chainrule", "herd.csv"], "net.chainrule contains a bare network"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_a_mistake_is_reported_in_one_line_with_status_2(arguments, message, herd):
    _, frame = herd
    frame.drop("kind").write_csv("bare.csv")
    save(mlp(2, 1, seed=0), "net.chainrule")
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["--row", 0], ["--member", 0], ["--to", "pdf"]], ids=str)
def test_invalid_options_are_reported_in_one_line(arguments, herd):
    result = run("herd.chainrule", "herd.csv", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"chainrule: {arguments[0]} must be ")
    assert len(result.stderr.splitlines()) == 1
