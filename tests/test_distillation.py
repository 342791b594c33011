import json

import numpy as np
import pytest
from typer.testing import CliRunner

import chainrule
from chainrule import mlp
from chainrule.app.commands import app
from chainrule.data.reading import read_columns
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import fit_target
from chainrule.export import to_c, to_js, to_python
from chainrule.model.ensemble import Ensemble
from chainrule.model.predictor import Predictor
from exported import TABLES, TARGETS, predictor_of

RNG = np.random.default_rng(0)
N = 300
TABLE = {
    "x": RNG.normal(50, 10, N),
    "z": np.where(RNG.random(N) < 0.1, np.nan, RNG.uniform(0, 1, N)),
    "color": RNG.choice(["red", "green", "blue"], N),
}
SIGNAL = (TABLE["x"] - 50) / 10 + (TABLE["color"] == "red")


def teacher_of(values, members=3):
    """Return an ensemble of trained networks."""
    encoder, target = TabularEncoder().fit(TABLE), fit_target("y", read_columns({"y": values})["y"])
    X, y = encoder.transform(TABLE), target.encode(values)
    networks = []
    for seed in range(members):
        network = mlp(encoder.n_features, 64, 64, target.n_outputs, loss=target.loss, seed=seed)
        chainrule.train(network, X, y, optimizer=chainrule.Adam(0.01), epochs=20, seed=seed)
        networks.append(network)
    bounds = None if target.task == "classification" else np.array([[-3.0], [3.0]])
    return Predictor(encoder, Ensemble(tuple(networks), bounds=bounds), target, {"target": "y", "scores": {"mse": 1.0}})


@pytest.fixture(scope="module")
def classifier():
    return teacher_of(np.where(SIGNAL > 0.3, "yes", "no"))


@pytest.fixture(scope="module")
def regressor():
    return teacher_of(100 + 7 * SIGNAL)


def rms(a, b):
    return np.sqrt(np.mean((a - b) ** 2))


@pytest.mark.parametrize("table", [None, TABLE], ids=["from the model", "from a table"])
def test_a_small_network_predicts_what_an_ensemble_does(table, classifier):
    student = classifier.distil(table, sizes=(16,), epochs=20)
    (network,) = student.ensemble.networks
    assert network.theta.size < sum(member.theta.size for member in classifier.ensemble.networks) / 90
    assert rms(student.predict_proba(TABLE), classifier.predict_proba(TABLE)) < 0.04
    assert np.mean(student.predict(TABLE) == classifier.predict(TABLE)) > 0.97
    assert student.classes.tolist() == classifier.classes.tolist()


def test_numbers_are_distilled_too(regressor):
    student = regressor.distil(TABLE, epochs=20)
    assert rms(student.predict(TABLE), regressor.predict(TABLE)) < 0.5
    with pytest.raises(ValueError, match="intervals and quantiles are only available"):
        student.predict_interval(TABLE)


def test_the_loss_is_measured_on_rows_that_were_not_taught(classifier):
    taught_nothing = classifier.distil(TABLE, sizes=(4,), epochs=1)
    record = taught_nothing.metadata["distillation"]
    assert record["measured on"] == "75 rows of the table that it was not taught"
    overall = rms(taught_nothing.predict_proba(TABLE), classifier.predict_proba(TABLE))
    assert record["loss"] == pytest.approx(overall, rel=0.5)
    assert record["largest"] >= record["loss"]
    better = classifier.distil(TABLE, sizes=(16,), epochs=20).metadata["distillation"]
    assert better["loss"] < record["loss"]
    drawn = classifier.distil(sizes=(4,), epochs=1).metadata["distillation"]
    assert drawn["measured on"] == "2,000 rows drawn from the model"


def test_held_out_rows_are_not_taught(regressor, monkeypatch):
    taught = []
    monkeypatch.setattr("chainrule.model.distillation.train", lambda network, X, Y, **options: taught.append(X))
    regressor.distil(TABLE)
    values = np.unique(taught[0][:, 0])
    assert len(np.unique(regressor.encoder.transform(TABLE)[:, 0])) == N
    assert len(values) == N - 75


def test_sizes_are_searched_until_the_loss_is_small_enough(regressor):
    first = regressor.distil(TABLE, sizes=(4,), epochs=10).metadata["distillation"]["loss"]
    student = regressor.distil(TABLE, max_loss=0.999 * first, epochs=10)
    record = student.metadata["distillation"]
    assert record["loss"] <= 0.999 * first
    assert record["sizes"] != [4]
    assert regressor.distil(TABLE, max_loss=1.001 * first, epochs=10).metadata["distillation"]["sizes"] == [4]


def test_the_largest_network_within_the_bytes_is_used(classifier):
    student = classifier.distil(max_bytes=1000, epochs=2)
    assert student.metadata["distillation"]["sizes"] == [16]
    assert 4 * student.ensemble.networks[0].theta.size <= 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_bytes": 10}, "max_bytes must be >= 152, the bytes of the smallest network, got 10"),
        ({"max_loss": 1e-9, "max_bytes": 300}, r"max_loss must be >= 0\.\d+, the lowest one found within 300 bytes"),
        ({"sizes": (4,), "max_loss": 0.1}, "sizes must be None with max_loss or max_bytes"),
        ({"table": {"x": [1.0]}}, "table must have at least 8 rows"),
    ],
)
def test_what_cannot_be_met_is_refused_with_what_can(options, message, classifier):
    with pytest.raises(ValueError, match=message):
        classifier.distil(**options, epochs=1)


def test_the_same_seed_gives_the_same_student(classifier):
    thetas = [classifier.distil(sizes=(4,), epochs=1, seed=seed).ensemble.networks[0].theta for seed in (3, 3, 4)]
    np.testing.assert_array_equal(thetas[0], thetas[1])
    assert not np.array_equal(thetas[0], thetas[2])


@pytest.mark.parametrize("kind", ["all kinds", "many categories"])
@pytest.mark.parametrize("given", [False, True], ids=["from the model", "from a table"])
def test_every_kind_of_column_is_distilled(kind, given):
    teacher = predictor_of(TABLES[kind], TARGETS["numbers"], n_bins=3)
    student = teacher.distil(TABLES[kind] if given else None, epochs=1)
    assert student.predict(TABLES[kind]).shape == teacher.predict(TABLES[kind]).shape


def test_files_and_exports_state_the_loss_and_not_the_scores_of_the_teacher(classifier, tmp_path):
    student = classifier.distil(sizes=(4,), epochs=2)
    student.save(tmp_path / "small.chainrule")
    loaded = chainrule.load(tmp_path / "small.chainrule")
    assert loaded.metadata == student.metadata
    assert "scores" not in loaded.metadata
    weights = sum(network.theta.size for network in classifier.ensemble.networks)
    for write, name in [(to_c, "small.h"), (to_js, "small.mjs"), (to_python, "small.py")]:
        write(loaded, tmp_path / name)
        sentence = f"Distilled from {weights:,} weights into 38: on 2,000 rows drawn from the model"
        assert sentence in (tmp_path / name).read_text()


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_command_writes_the_model_and_its_export(classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classifier.save("who.chainrule")
    rows = [",".join(TABLE), *(f"{x:.3f},{'' if z != z else z},{color}" for x, z, color in zip(*TABLE.values()))]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    done = run("distil", "who.chainrule", "rows.csv", "--size", "8", "--to", "js")
    assert done.exit_code == 0, done.output
    assert "75 rows of the table that it was not taught" in done.output
    assert {path.name for path in tmp_path.iterdir()} == {
        "who.chainrule", "rows.csv", "who-small.chainrule", "who-small.mjs",
    }  # fmt: skip
    described = run("inspect", "who-small.chainrule", "--json")
    assert json.loads(described.stdout)["metadata"]["distillation"]["sizes"] == [8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "8", "--max-loss", "0.1"], "--size cannot be combined with --max-loss or --max-bytes"),
        (["--max-bytes", "5"], "max_bytes must be >= 152"),
        (["--out", "who.chainrule"], "--out must not be the same file as MODEL"),
        (["none.csv"], "none.csv: no such file"),
    ],
)
def test_a_mistake_is_reported_in_one_line(arguments, message, classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classifier.save("who.chainrule")
    done = run("distil", "who.chainrule", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["who.chainrule"]
