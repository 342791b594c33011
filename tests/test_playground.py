"""The playground without a browser: its settings, its data, its training, and what a session says about them."""

import ast
import contextlib
import inspect
import json
import runpy
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

import chainrule
from chainrule import check_gradients, datasets, train
from chainrule.app.playground import building, doctor, explain, formula, frames, picture, plane, share
from chainrule.app.playground import session as session_module
from chainrule.app.playground.lessons import LESSONS
from chainrule.app.playground.session import Session, Worker
from chainrule.app.playground.settings import CHOICES, Hidden, Setup, from_link, to_link
from chainrule.app.playground.steps import PHASES, Walk
from chainrule.app.playground.table import Table
from chainrule.app.playground.training import Training
from chainrule.errors import TableError
from chainrule.insight.diagnosis import CHECKS

PENGUINS = (Path(__file__).parent.parent / "examples/data/penguins.csv").read_text()
SMALL = Setup(rows=60, layers=(Hidden(3), Hidden(2)))


def training_of(setup):
    sample = plane.draw(setup)
    return Training(building.fitting(setup, sample), sample)


# Settings.

SETUPS = [
    Setup(),
    Setup(data="xor", layers=()),
    Setup(layers=(Hidden(5, "relu", 0.25, "batch"), Hidden(2, "leaky_relu"), Hidden(3, "selu", 0.0, "layer"))),
    Setup(data="points", points=((0.5, -0.25, 1), (-1.0, 0.125, 3))),
    Setup(data="formula", formula="sin(3*x1) & 'x' #?=% > 0", standardize=False, hide=("data", "doctor")),
    Setup(
        rate=3.14159265358979e-5,
        momentum=0.95,
        optimizer="sgd",
        schedule="cosine",
        l1=1e-4,
        batch=0,
        seed=12,
        outputs=2,
    ),
]


@pytest.mark.parametrize("setup", SETUPS, ids=range(len(SETUPS)))
def test_a_link_leads_back_to_its_settings(setup):
    assert from_link("#" + to_link(setup)) == setup


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("rate=fast", "rate must be a number, got 'fast'"),
        ("rate=-1", "rate must be a number from 1e-06 to 1000, got -1.0"),
        ("rate=nan", "rate must be a number .* got nan"),
        ("epochs=1.5", "epochs must be an integer, got '1.5'"),
        ("optimiser=adam", "a setting must be one of .*'optimizer'.* got 'optimiser'. Did you mean 'optimizer'?"),
        ("data=circel", "data must be one of .*Did you mean 'circle'?"),
        ("layers=4-rellu", "activation must be one of .*Did you mean 'relu'?"),
        ("layers=" + ",".join(["4"] * 13), "layers must be at most 12, got 13"),
        ("layers=17", "units must be an integer from 1 to 16, got 17"),
        ("points=1_2", "points must have 3 numbers each, got '1_2'"),
        ("points=1_99_0", "points must have coordinates within 10"),
    ],
)
def test_a_wrong_link_names_the_setting_and_its_value(link, message):
    with pytest.raises(ValueError, match=message):
        from_link(link)


@pytest.mark.parametrize("changes", [{"layers": 3}, {"layers": [{"width": 3}]}, {"points": [[1, 2]]}, {"rate": True}])
def test_settings_of_a_wrong_type_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Setup().changed(changes)


# Formulas.


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("x1 + 2 x2", lambda a, b: a + 2 * b),
        ("-x1^2 - -x2", lambda a, b: -(a**2) + b),
        ("2^3^x1", lambda a, b: 2 ** (3**a)),
        ("(x1 + 1)(x2 - 1) / 2", lambda a, b: (a + 1) * (b - 1) / 2),
        ("sin(3*x1)*cos(x2) + pi", lambda a, b: np.sin(3 * a) * np.cos(b) + np.pi),
        ("max(x, y) - min(abs(x), .5e0)", lambda a, b: np.maximum(a, b) - np.minimum(np.abs(a), 0.5)),
        ("exp(-x1**2) + sqrt(x2 + 1) + log(2 + x1) + tanh(x2) + sign(x1) + e", lambda a, b: (
            np.exp(-(a**2)) + np.sqrt(b + 1) + np.log(2 + a) + np.tanh(b) + np.sign(a) + np.e)),
        ("x1 > x2", lambda a, b: a > b),
        ("x1 < x2", lambda a, b: a < b),
        ("5", lambda a, b: 5 + 0 * a),
    ],
)  # fmt: skip
def test_a_formula_has_the_values_of_its_function(text, function, rng):
    X = rng.uniform(-0.9, 0.9, (50, 2))
    np.testing.assert_allclose(formula.values(formula.parse(text), X), function(*X.T) * 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a number, x1, x2 or a function here, got the end"),
        ("x1 +", "got the end"),
        ("x1 x1)", r"an operator here, got '\)' at character 6"),
        ("sin x1", r"'\(' here, got 'x1' at character 5"),
        ("sin(x1, x2)", "sin must have 1 argument, got 2"),
        ("x3", "a name in the formula must be one of .* got 'x3'"),
        ("__import__('os')", "must be arithmetic in x1 and x2, got '\"?_"),
        ("x1.real", "must be arithmetic in x1 and x2, got '.' at character 3"),
        ("(" * 100 + "x1" + ")" * 100, "nested at most 40 deep"),
        ("1/x1 > x2 > 0", "an operator here, got '>'"),
    ],
)
def test_a_wrong_formula_says_where(text, message):
    with pytest.raises(ValueError, match=message):
        formula.parse(text)


def test_nothing_that_is_typed_is_run():
    names = {node.id for node in ast.walk(ast.parse(inspect.getsource(formula))) if isinstance(node, ast.Name)}
    assert not names & {"eval", "exec", "compile", "__import__"}


def test_a_formula_must_be_finite_and_vary():
    with pytest.raises(ValueError, match="formula must be finite everywhere, got no number at x1 = -0"):
        plane.draw(Setup(data="formula", formula="log(x1)"))
    with pytest.raises(ValueError, match="formula must vary over the plane, got '3'"):
        plane.draw(Setup(data="formula", formula="3"))
    with pytest.raises(ValueError, match="formula must be true for some points and false for others"):
        plane.draw(Setup(data="formula", formula="x1 > 9"))


# Data.


@pytest.mark.parametrize("data", [name for name in CHOICES["data"] if name != "table"])
def test_a_sample_depends_on_its_settings_alone(data):
    setup = Setup(data=data, rows=90, ratio=0.7)
    first, second = plane.draw(setup), plane.draw(setup)
    np.testing.assert_array_equal(first.X, second.X)
    np.testing.assert_array_equal(first.train, second.train)
    assert first.grid.shape == (plane.GRID**2, 2)
    assert data == "points" or first.train.mean() == pytest.approx(0.7, abs=0.02)
    assert data == "points" or not np.array_equal(first.X, plane.draw(replace(setup, sample=1)).X)
    assert not first.is_classification or set(first.y) == set(range(len(first.labels)))


def test_the_circle_is_the_disc_of_the_datasets():
    sample = plane.draw(Setup(data="circle", rows=50, noise=0.0))
    X, y = datasets.disc(50, seed=np.random.default_rng(0))
    np.testing.assert_array_equal(sample.X, X)
    np.testing.assert_array_equal(sample.y, y)


def test_noise_moves_points_and_keeps_their_targets():
    calm, noisy = (plane.draw(Setup(data="xor", noise=noise)) for noise in (0.0, 0.3))
    np.testing.assert_array_equal(calm.y, noisy.y)
    assert np.std(noisy.X - calm.X) == pytest.approx(0.3, rel=0.1)


def test_a_table_is_shown_in_two_of_its_columns_and_learned_in_all():
    table = Table.read("penguins.csv", PENGUINS)
    sample = table.sample(Setup(data="table", across="flipper_length_mm"))
    assert sample.labels == ("Adelie", "Chinstrap", "Gentoo")
    assert sample.axes == ("flipper_length_mm", "bill_length_mm")
    assert {"island=Biscoe", "body_mass_g"} <= set(sample.columns)
    assert sample.X.shape == (344, len(sample.columns))
    assert np.isfinite(sample.places).all()
    across = sample.grid.reshape(plane.GRID, plane.GRID, -1)[:, :, list(sample.columns).index("flipper_length_mm")]
    assert (np.diff(across, axis=1) > 0).all(), "the grid goes from left to right"
    numbers = table.sample(Setup(data="table", target="body_mass_g"))
    assert not numbers.is_classification
    assert len(numbers.y) == 342, "rows without a target are left out"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "broken.csv is empty"),
        ("a,b\n1,2,3,4\n", "broken.csv"),
        ('a,b\n"1,2\n', "broken.csv.*does not end"),
        ("a,b,kind\n" + "1,x,u\n2,y,v\n" * 8, "two numeric columns that span the plane, got a"),
        ("a,b,kind\n" + "".join(f"{i},{i},{'abcdefghij'[i % 10]}\n" for i in range(60)), "at most 8 classes, got 10"),
    ],
)
def test_a_broken_table_says_what_is_wrong(text, message):
    with pytest.raises(TableError, match=message) as error:
        Table.read("broken.csv", text).sample(Setup(data="table"))
    assert "/tmp" not in str(error.value)


# Training.

RUNS = [
    SMALL,
    replace(SMALL, optimizer="sgd", momentum=0.5, rate=0.1, schedule="step"),
    replace(SMALL, optimizer="nesterov", rate=0.123456789),
    replace(SMALL, optimizer="rmsprop", batch=0, l1=1e-3, l2=1e-2),
    replace(SMALL, optimizer="adamw", schedule="cosine", epochs=12, data="three", loss="cross_entropy"),
    replace(SMALL, layers=(Hidden(4, "relu", 0.3, "batch"), Hidden(3, "silu", 0.0, "layer")), outputs=2),
    replace(SMALL, data="hills", loss="huber", schedule="reduce_on_plateau"),
    replace(SMALL, layers=(), output="sigmoid", loss="squared_error", init="uniform", biases="uniform"),
    replace(SMALL, data="slope", standardize=False, optimizer="sgd", rate=40.0, loss="squared_error"),  # diverges
]


@pytest.mark.parametrize("setup", RUNS, ids=range(len(RUNS)))
def test_batch_by_batch_arrives_at_the_numbers_of_train(setup):
    ours, sample = training_of(setup), plane.draw(setup)
    while ours.run.epoch < 6:
        ours.take_batch()
    net = building.network(setup, sample)
    X, X_test = ((X, building.targets(setup, sample, y)) for X, y in map(sample.rows, (True, False)))
    schedule = {"epochs": 6, "schedule": setup.schedule}
    if setup.schedule == "cosine":
        schedule = {"epochs": 12, "schedule": "cosine", "callbacks": StopAfter(6)}
    history = train(
        net, *X, optimizer=building.optimizer(setup), batch_size=setup.batch or None, validation=X_test,
        metrics=building.metric(sample), seed=setup.seed, kernels="numpy", **schedule,
    )  # fmt: skip
    np.testing.assert_array_equal(ours.net.theta, net.theta)
    np.testing.assert_array_equal(ours.net.buffers, net.buffers)
    assert ours.run.history.loss == history.loss
    assert ours.run.history.validation_loss == history.validation_loss
    assert ours.run.history.rollbacks == history.rollbacks
    assert (history.rollbacks > 0) == (setup.rate == 40.0)


class StopAfter(chainrule.Callback):
    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, run):
        if run.epoch + 1 == self.epochs:
            run.stop = "enough"


def test_the_curve_has_the_losses_of_the_network():
    ours = training_of(SMALL)
    ours.take_epoch()
    X, y, _ = ours.run.rows
    loss, test_loss, accuracy, *_ = ours.curve[1]
    assert loss == ours.net.evaluate(X, y)
    assert test_loss == ours.run.history.validation_loss[-1]
    assert accuracy == np.mean(ours.net.predict(X) == y[:, 0])
    assert len(ours.curve[1]) == 5 + 3


def test_settings_change_while_training_goes_on():
    ours = training_of(SMALL)
    ours.take_epoch()
    theta = ours.net.theta.copy()
    ours.set_live(replace(SMALL, rate=0.5, l2=0.1))
    assert (ours.run.rate, ours.net.l2) == (0.5, 0.1)
    np.testing.assert_array_equal(ours.net.theta, theta)
    assert [change.name for change in ours.changes] == ["rate", "l2"]


DIVERGING = Setup(
    data="slope", standardize=False, layers=(), loss="squared_error", optimizer="sgd", momentum=0.99, rate=1000.0
)


def test_a_training_that_fails_for_good_says_so_again():
    ours = training_of(DIVERGING)
    with pytest.raises(chainrule.DivergenceError, match="diverged"):
        to_the_end(ours)
    with pytest.raises(chainrule.DivergenceError, match="diverged"):
        ours.take_batch()
    assert np.isfinite(ours.net.theta).all()


def to_the_end(ours):
    while not ours.ended:
        ours.take_batch()
    ours.set_weight(ours.net.blocks[0], (0, 0), 0.25)


# Steps in slow motion.


@pytest.mark.parametrize("setup", RUNS[:-1], ids=range(len(RUNS) - 1))
def test_a_batch_in_four_steps_is_the_batch(setup):
    slow, fast = training_of(setup), training_of(setup)
    walk = Walk(slow, by_row=False)
    shown = []
    for _ in PHASES:
        walk.advance()
        shown.append(walk.show())
    fast.take_batch()
    assert [each["phase"] for each in shown] == list(PHASES)
    np.testing.assert_array_equal(slow.net.theta, fast.net.theta)
    forward, loss, backward, update = shown
    dense = [block for block in fast.net.blocks if block.kind == "W"]
    for W, gradient, moved in zip(dense, backward["links"], update["links"], strict=True):
        penalty = setup.l2 * (fast.before[W.slice]) + setup.l1 * np.sign(fast.before[W.slice])
        of_loss = (fast.net.grad[W.slice] - penalty).reshape(W.shape)
        total = fast.net.grad[W.slice].reshape(W.shape)
        assert np.allclose(gradient, total, rtol=1e-4, atol=1e-7) or np.allclose(
            gradient, of_loss, rtol=1e-4, atol=1e-7
        )
        np.testing.assert_allclose(moved, fast.update[W.slice].reshape(W.shape), rtol=1e-4, atol=1e-9)
    assert len(forward["units"]) == 2 + len(setup.layers)
    assert loss["loss"] == pytest.approx(fast.run.loss, rel=1e-6) or setup.l2
    assert all("<math>" in each["formulas"][0] for each in shown)


def test_row_by_row_the_shares_add_up_to_the_gradient():
    ours = training_of(SMALL)
    walk, sums, n = Walk(ours, by_row=True), 0.0, 0
    while not walk.done:
        walk.advance()
        shown = walk.show()
        if shown["phase"] == "backward":
            sums, n = sums + np.array(shown["links"][0]), n + 1
            assert shown["where"] == f"row {n} of 10"
    assert n == 10
    np.testing.assert_allclose(sums, ours.net.grads[0]["W"], rtol=1e-4)


def test_a_row_shows_the_numbers_of_the_network():
    ours = training_of(SMALL)
    X, *_ = ours.batch
    activations = ours.net.activations(X[:1])
    walk = Walk(ours, by_row=True)
    walk.advance()
    units = walk.show()["units"]
    np.testing.assert_allclose(units[0], X[0], rtol=1e-5)
    np.testing.assert_allclose(units[1], activations[1][0], rtol=1e-5)
    np.testing.assert_allclose(units[3], ours.net(X[:1])[0], rtol=1e-5)


# Explanations.


def test_a_schedule_that_begins_with_0_is_explained():
    ours = training_of(replace(SMALL, schedule="coslog4"))
    assert ours.run.rate == 0
    assert abs(explain.explain(ours, "0.W", (0, 0))["next"]) < 1e-250


@pytest.mark.parametrize(("name", "index"), [("0.W", (1, 2)), ("0.b", (0,)), ("2.W", (0, 1)), ("4.b", (0,))])
def test_an_explanation_has_the_gradient_of_the_next_batch_and_its_products(name, index):
    ours = training_of(replace(SMALL, batch=3))
    ours.take_epoch()
    said = explain.explain(ours, name, index)
    block = next(block for block in ours.net.blocks if block.full_name == name)
    _, grad = ours.net.loss_and_grad(*ours.batch[:2])
    assert said["value"] == ours.net.params[block.layer][block.name][index]
    assert said["gradient"] == pytest.approx(grad[block.slice].reshape(block.shape)[index], rel=1e-9)
    assert sum(row["product"] for row in said["rows"]) == pytest.approx(said["gradient"], rel=1e-9)
    assert "<mi>J</mi>" not in said["formula"]
    update = said["next"]
    ours.take_batch()
    assert ours.update[block.slice].reshape(block.shape)[index] == pytest.approx(update, rel=1e-6)


# Pictures.


def test_frames_are_read_as_they_were_written(rng):
    arrays = {
        "a": rng.normal(size=(3, 2)).astype(np.float32),
        "b": np.arange(5, dtype=np.uint8),
        "c": np.zeros((0, 4), np.float32),
    }
    header, read = frames.decode(frames.encode("frame", {"epoch": 3, "text": "é"}, arrays))
    assert header == {"type": "frame", "epoch": 3, "text": "é"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize("data", ["circle", "three", "hills"])
def test_the_surface_and_the_maps_are_those_of_the_network(data):
    ours = training_of(replace(SMALL, data=data))
    for _ in range(5):
        ours.take_epoch()
    header, arrays = frames.decode(picture.frame(ours, 0))
    P, surface = ours.net(ours.sample.grid), arrays["surface"].astype(float)
    if data == "hills":
        np.testing.assert_allclose(surface[0], np.clip(128.5 + 127 * P[:, 0] / ours.sample.range[1], 1, 255), atol=1)
    else:
        np.testing.assert_allclose(surface, 255 * P.T, atol=1)
    thinned = ours.net.activations(ours.sample.grid)[1].reshape(plane.GRID, plane.GRID, -1)[::2, ::2]
    np.testing.assert_allclose(arrays["maps"][2], 128.5 + 127 * thinned[:, :, 2].ravel(), atol=1)
    np.testing.assert_array_equal(arrays["theta"], ours.net.theta.astype(np.float32))
    assert arrays["curve"].shape == (6, 8)
    assert header["epoch"] == 5
    if data != "hills":
        wrong = ours.net.predict(ours.sample.X) != ours.sample.y
        np.testing.assert_array_equal(arrays["wrong"], wrong)


def test_the_diagram_knows_the_place_of_every_parameter():
    ours = training_of(replace(SMALL, layers=(Hidden(3, norm="batch", dropout=0.1), Hidden(2))))
    for column in picture.columns_of(ours)[1:]:
        for part in ("W", "b"):
            at, shape = column[part]["at"], column[part]["shape"]
            layer, name = column[part]["name"].split(".")
            np.testing.assert_array_equal(
                ours.net.theta[at : at + np.prod(shape)].reshape(shape), ours.net.params[int(layer)][name]
            )


# The doctor and the lessons.


def test_every_finding_of_the_doctor_has_a_remedy():
    assert set(doctor.REMEDIES) == set(CHECKS)
    for setup in (Setup(), Setup(layers=(Hidden(3, "relu", 0.2),), l2=0.1, init="uniform", data="points", rows=2000)):
        for remedy in doctor.REMEDIES.values():
            label, changes = remedy(setup)
            assert label
            assert (
                setup.changed(changes).to_dict() == setup.to_dict() | json.loads(json.dumps(changes))
                or "layers" in changes
            )


def test_a_remedy_cures():
    ours = training_of(replace(LESSONS["init"].setup, rows=100))
    for _ in range(10):
        ours.take_epoch()
    finding = next(each for each in doctor.examine(ours) if each["kind"] == "dead units")
    cured = training_of(ours.setup.changed(finding["changes"]))
    for _ in range(10):
        cured.take_epoch()
    assert "dead units" not in [each["kind"] for each in doctor.examine(cured)]


def test_the_doctor_leaves_the_training_alone():
    ours, alone = training_of(SMALL), training_of(SMALL)
    for _ in range(6):
        ours.take_epoch()
        doctor.examine(ours)
        alone.take_epoch()
    np.testing.assert_array_equal(ours.net.theta, alone.net.theta)
    np.testing.assert_array_equal(ours.net.grad, alone.net.grad)


CLAIMS = {
    "neuron": lambda t: t.curve[-1][2] > 0.95,
    "xor": lambda t: t.curve[-1][0] > 0.65,
    "vanishing": lambda t: t.curve[-1][5] < 1e-4 * t.curve[-1][-1],
    "rate": lambda t: t.curve[-1][2] < 0.7,
    "dead": lambda t: "dead units" in [each["kind"] for each in doctor.examine(t)],
    "overfitting": lambda t: t.curve[-1][1] > 1.2 * min(row[1] for row in t.curve) and t.curve[-1][0] < 0.4,
    "init": lambda t: np.ptp(t.net.params[0]["W"], axis=1).max() == 0,
}
"""What a lesson says that one sees after 60 epochs."""


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_shows_what_it_says(name):
    lesson = LESSONS[name]
    ours = training_of(lesson.setup)
    assert ours.setup == lesson.setup, "its loss suits its data"
    for _ in range(60 if name in CLAIMS else 1):
        ours.take_epoch()
    assert CLAIMS.get(name, lambda t: t.curve[-1][0] < t.curve[0][0])(ours)


@pytest.mark.parametrize("name", ["first", "disc", "surface"])
def test_the_gradients_of_a_lesson_are_right(name):
    ours = training_of(LESSONS[name].setup)
    assert check_gradients(ours.net, *ours.batch[:2]).ok


# Sharing.


def by_hand(ours):
    ours.set_weight(ours.net.blocks[0], (0, 1), 1.5)
    ours.set_live(replace(ours.setup, rate=0.02))
    for _ in range(5):
        ours.take_batch()
    ours.set_weight(ours.net.blocks[1], (2,), -0.5)
    ours.set_live(replace(ours.setup, l2=0.01, rate=0.05))
    ours.take_batch()


def between_epochs(ours):
    """Change a weight and the rate after the first epoch, and diverge."""
    ours.take_epoch()
    ours.set_weight(ours.net.blocks[0], (0, 1), 1.5)
    ours.set_live(replace(ours.setup, rate=60.0))
    for _ in range(14):
        ours.take_batch()
    ours.set_live(replace(ours.setup, l1=0.5, rate=0.01))
    ours.set_weight(ours.net.blocks[1], (1,), -0.5)
    assert ours.run.history.rollbacks > 0


SHARED = {
    "between epochs": (replace(RUNS[-1], rate=0.01, schedule="reduce_on_plateau"), between_epochs),
    "whole epochs": (SMALL, lambda ours: [ours.take_epoch() for _ in range(3)]),
    "in an epoch": (replace(SMALL, batch=7, l1=1e-3), lambda ours: [ours.take_batch() for _ in range(8)]),
    "by hand": (SMALL, by_hand),
    "a schedule": (replace(SMALL, schedule="one_cycle", epochs=4), lambda ours: ours.take_epoch()),
    "a schedule's end": (replace(SMALL, schedule="cosine", epochs=3), to_the_end),
    "layers": (replace(RUNS[5], batch=0), lambda ours: ours.take_epoch()),
    "diverged": (RUNS[-1], lambda ours: [ours.take_batch() for _ in range(13)]),
    "numbers": (replace(RUNS[6], optimizer="adamw"), lambda ours: ours.take_epoch()),
}


@pytest.mark.parametrize("name", SHARED)
def test_the_script_arrives_at_the_very_same_numbers(name, tmp_path, capsys):
    setup, act = SHARED[name]
    ours = training_of(setup)
    act(ours)
    assert_same_numbers(ours, tmp_path, capsys)


def assert_same_numbers(ours, tmp_path, capsys):
    script = tmp_path / "playground.py"
    script.write_text(share.to_python(ours))
    ran = runpy.run_path(str(script))
    np.testing.assert_array_equal(ran["net"].theta, ours.net.theta)
    X, y, _ = ours.run.rows
    assert f"training loss {ours.net.evaluate(X, y)}" in capsys.readouterr().out


def test_the_script_of_a_table_reads_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("penguins.csv").write_text(PENGUINS)
    setup = Setup(data="table", loss="cross_entropy", layers=(Hidden(3),))
    ours = Training(setup, Table.read("penguins.csv", PENGUINS).sample(setup))
    ours.take_epoch()
    assert_same_numbers(ours, tmp_path, capsys)


@pytest.mark.parametrize("name", SHARED)
def test_a_link_repeats_the_training(name):
    setup, act = SHARED[name]
    ours = training_of(setup)
    act(ours)
    tab = Tab()
    tab.send("open", link=share.to_moment(ours))
    tab.send("pace", speed=1)  # does not matter here
    tab.advance(lambda: not tab.session.playing)
    np.testing.assert_array_equal(tab.session.training.net.theta, ours.net.theta)
    assert tab.session.training.steps == ours.steps
    assert tab.session.setup == ours.setup
    assert tab.send("link") == [{"type": "link", "link": share.to_moment(ours)}]


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("until=-1", "until must be an integer"),
        ("until=1e3", "until must be an integer"),
        ("until=2&changes=1_0.W", "changes must be written as moment_name_index_value, got '1_0.W'"),
        ("until=2&changes=1_9.W_0.0_1", "name must be one of"),
        ("until=2&changes=1_0.W_0.99_1", "index must be a place in shape"),
    ],
)
def test_a_link_that_cannot_be_repeated_says_why(link, message):
    tab = Tab()
    tab.send("open", link=link)
    assert message in tab.last("error")["text"]
    assert not tab.session.playing


@pytest.mark.parametrize("change", ["30_rate__nan", "30_0.W_0.0_inf", "30_rate__1e9"])
def test_a_change_in_a_link_that_is_not_possible_pauses_the_training(change):
    tab = Tab()
    tab.send("open", link=f"rows=60&until=60&changes={change}")
    tab.advance(lambda: not tab.session.playing)
    assert tab.last("error")["text"]
    assert np.isfinite(tab.session.training.net.theta).all()


def test_nothing_is_exported_while_it_diverges():
    ours = training_of(replace(RUNS[-1], rate=0.01))
    ours.take_epoch()
    ours.set_weight(ours.net.blocks[-1], (0,), 1e5)
    ours.set_live(replace(ours.setup, rate=1e-6))
    ours.take_batch()
    with pytest.raises(ValueError, match="training must not be diverging"):
        share.to_python(ours)


def test_nothing_is_exported_before_the_first_step():
    with pytest.raises(ValueError, match="at least one step"):
        share.to_python(training_of(SMALL))


def test_the_model_file_is_the_network(tmp_path):
    ours = training_of(SMALL)
    (tmp_path / "a.chainrule").write_bytes(share.to_model(ours))
    np.testing.assert_array_equal(chainrule.load(tmp_path / "a.chainrule").theta, ours.net.theta)


# Sessions.


class Tab:
    """A session with its messages, decoded; `last` is the latest one of each type."""

    def __init__(self):
        self.messages, self.arrays = [], {}
        self.session = Session(self.take)

    def take(self, message):
        header, arrays = (json.loads(message), {}) if isinstance(message, str) else frames.decode(message)
        self.messages.append(header)
        self.arrays[header["type"]] = arrays

    def send(self, kind, **values):
        """Send a message; return the answers."""
        before = len(self.messages)
        self.session.receive(json.dumps({"type": kind, **values}))
        return self.messages[before:]

    def last(self, kind):
        return [message for message in self.messages if message["type"] == kind][-1]

    def advance(self, until, n=2_000):
        for _ in range(n):
            self.session.advance()
            self.session.receive('{"type": "ack"}')
            if until():
                return
        raise AssertionError("it takes too long")


@pytest.fixture
def tab():
    tab = Tab()
    tab.send("open", link=to_link(SMALL))
    return tab


def test_a_tab_opens_with_all_that_the_page_shows(tab):
    kinds = [message["type"] for message in tab.messages]
    assert kinds == ["hello", "thumbnails", "setup", "data", "network", "state", "findings"]
    assert tab.last("setup")["link"] == to_link(SMALL)
    assert [lesson["name"] for lesson in tab.last("hello")["lessons"]] == list(LESSONS)
    tab.session.advance()
    assert tab.last("frame")["epoch"] == 0


def test_a_wrong_link_is_reported_and_the_page_opens_all_the_same():
    tab = Tab()
    answers = tab.send("open", link="rate=x")
    assert [answer["type"] for answer in answers][2:4] == ["error", "setup"]
    assert "rate" in tab.last("error")["text"]


def test_it_plays_and_pauses(tab):
    tab.send("play")
    assert tab.last("state")["playing"]
    tab.advance(lambda: tab.session.training.run.epoch >= 5)
    tab.send("pause")
    assert not tab.last("state")["playing"]
    steps = tab.session.training.steps
    tab.session.advance()
    assert tab.session.training.steps == steps
    assert tab.last("findings")


def test_frames_wait_for_the_page(tab):
    tab.send("play")
    for _ in range(10):
        tab.session._last_frame = 0.0
        tab.session.advance()
    frames_sent = [message for message in tab.messages if message["type"] == "frame"]
    assert len(frames_sent) == 1, "the page has not said that it has drawn the first one"
    tab.send("ack")
    tab.session._last_frame = 0.0
    tab.session.advance()
    assert tab.last("frame")["steps"] > frames_sent[0]["steps"]
    assert tab.last("frame")["first"] > 0, "of the curve, only the rows since the last frame"


def test_the_pace_is_in_epochs_per_second(tab, monkeypatch):
    now = [0.0]
    for module in ("pace", "session"):
        monkeypatch.setattr(f"chainrule.app.playground.{module}.perf_counter", lambda: now[0])
    tab.send("pace", speed=10)
    tab.send("play")
    for _ in range(100):
        now[0] += 0.02
        tab.session.advance()
    assert tab.session.training.run.epoch == pytest.approx(20, abs=1)


def test_a_schedule_ends(tab):
    tab.send("set", changes={"schedule": "cosine", "epochs": 3})
    tab.send("play")
    tab.advance(lambda: not tab.session.playing)
    assert "ended after 3 epochs" in tab.last("notice")["text"]
    assert tab.last("state")["ended"]
    steps = tab.session.training.steps
    for of in ("epoch", "batch", "row"):
        tab.send("step", of=of)
    assert tab.session.training.steps == steps


def test_going_back_to_the_start_repeats_the_numbers(tab):
    thetas = []
    for _ in range(2):
        tab.send("step", of="epoch")
        thetas.append(tab.session.training.net.theta.copy())
        tab.send("reset")
    np.testing.assert_array_equal(*thetas)


def test_steps_of_a_batch_and_of_a_row(tab):
    phases = [tab.send("step", of="batch")[0]["phase"] for _ in range(5)]
    assert phases == [*PHASES, "forward"]
    assert tab.session.training.steps == 1
    assert tab.send("step", of="row")[0]["where"] == "row 1 of 10"
    tab.send("step", of="epoch")
    assert tab.session.training.run.epoch == 1
    assert tab.last("walk")["phase"] == ""


def test_a_weight_is_changed_and_explained(tab):
    (answer,) = tab.send("weight", name="0.W", index=[1, 2], value=0.75)
    assert (answer["type"], answer["value"]) == ("explained", 0.75)
    assert tab.session.training.net.params[0]["W"][1, 2] == 0.75


STARTING_AGAIN = [
    {"data": "spiral"}, {"noise": 0.3}, {"ratio": 0.8}, {"rows": 100}, {"sample": 5}, {"optimizer": "rmsprop"},
    {"batch": 0}, {"loss": "huber"}, {"init": "normal"}, {"biases": "ones"}, {"seed": 3}, {"schedule": "step"},
    {"output": "tanh", "loss": "squared_error"}, {"outputs": 2},
    {"layers": [{"units": 5, "activation": "gelu", "dropout": 0.2, "norm": "layer"}]},
]  # fmt: skip


@pytest.mark.parametrize("changes", STARTING_AGAIN, ids=lambda changes: next(iter(changes)))
def test_other_settings_start_again(tab, changes):
    tab.send("step", of="epoch")
    tab.send("set", changes=changes)
    assert tab.session.training.steps == 0
    assert {name: tab.last("setup")["setup"][name] for name in changes} == changes


def test_data_with_other_targets_choose_a_loss_that_suits_them(tab):
    for data, loss in (
        ("hills", "squared_error"),
        ("three", "cross_entropy"),
        ("circle", "cross_entropy"),
        ("slope", "squared_error"),
    ):
        tab.send("set", changes={"data": data})
        assert tab.last("setup")["setup"]["loss"] == loss
        assert loss in tab.last("setup")["losses"]


def test_points_are_drawn_one_after_the_other(tab):
    tab.send("points", points=[[0.1, 0.2, 0], [0.3, 0.4, 1]])
    tab.send("points", points=[[-0.5, 0.4, 2]])
    assert tab.last("data")["rows"] == 3
    assert tab.last("setup")["setup"]["loss"] == "cross_entropy"
    np.testing.assert_allclose(tab.arrays["data"]["places"][2], [-0.5, 0.4])


def test_a_single_point_is_enough(tab):
    tab.send("points", points=[[0.1, 0.2, 1]])
    assert tab.last("data")["rows"] == 1
    tab.send("step", of="epoch")
    assert tab.session.training.run.epoch == 1


def test_a_formula_is_shown_as_it_was_understood(tab):
    tab.send("set", changes={"data": "formula", "formula": "2x1^2 + x1 sin(x2) > .5"})
    assert tab.last("data")["note"] == "[2 x₁² + x₁ sin(x₂) > 1/2]"


def test_a_table_of_ten_thousand_rows(tab):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 10_000))
    places = np.where(np.hypot(a, b) < 1, "in", "out")
    lines = [f"{x:.3f},{y:.3f},{'uv'[i % 2]},{place}" for i, (x, y, place) in enumerate(zip(a, b, places))]
    tab.send("table", name="big.csv", text="\n".join(["width,height,kind,place", *lines]))
    assert tab.last("data")["rows"] == 10_000
    assert tab.last("data")["labels"] == ["in", "out"]
    assert len(tab.arrays["data"]["y"]) == plane.MAX_SHOWN_POINTS
    tab.send("set", changes={"up": "width", "across": "height", "batch": 100})
    assert tab.last("data")["axes"] == ["height", "width"]
    tab.send("step", of="epoch")
    tab.session.advance()
    assert tab.last("frame")["latest"][2] > 0.5


def test_a_broken_table_changes_nothing(tab):
    tab.send("table", name="broken.csv", text='a,b\n"1,2\n')
    assert "broken.csv" in tab.last("error")["text"]
    assert tab.last("setup")["setup"]["data"] == "circle"
    tab.send("step", of="epoch")
    assert tab.session.training.run.epoch == 1


def test_a_link_to_a_table_asks_for_the_file():
    tab = Tab()
    tab.send("open", link="data=table")
    assert "does not contain its table" in tab.last("error")["text"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "Expecting value"),
        ("[]", "a message must have a type"),
        ('{"type": "fly"}', "type must be one of"),
        ('{"type": "step"}', "step: missing a required argument: 'of'"),
        ('{"type": "step", "of": "year"}', "of must be epoch, batch or row, got 'year'"),
        ('{"type": "set", "changes": {"rate": null}}', "rate must be a number"),
        ('{"type": "set", "changes": 3}', "not iterable"),
        ('{"type": "weight", "name": "9.W", "index": [0, 0], "value": 1}', "name must be one of"),
        ('{"type": "weight", "name": "0.W", "index": [0, 9], "value": 1}', "index must be a place in shape"),
        ('{"type": "weight", "name": "0.W", "index": [0, 0], "value": NaN}', "a weight must be a number within"),
        ('{"type": "export", "form": "java"}', "form must be one of"),
        ('{"type": "pace", "speed": -1}', "speed must be from 0 to 10,000"),
        ('{"type": "points", "points": [[1, 2, 7]]}', "a class from 0 to 4"),
    ],
)
def test_a_wrong_message_is_an_answer_not_an_accident(tab, text, message):
    tab.session.receive(text)
    assert message in tab.last("error")["text"]
    tab.send("step", of="epoch")
    assert tab.session.training.run.epoch == 1


def test_a_training_that_fails_pauses_and_says_why(tab):
    tab.send("open", link=to_link(DIVERGING))
    tab.send("play")
    tab.advance(lambda: not tab.session.playing)
    assert "diverged" in tab.last("error")["text"]
    assert tab.last("state")["failure"]
    tab.send("reset")
    assert not tab.last("state")["failure"]


def test_an_error_of_our_own_is_reported_and_the_tab_goes_on(monkeypatch, caplog):
    said = SimpleQueue()
    worker = Worker(said.put)
    monkeypatch.setitem(session_module._METHODS, "pause", lambda self: [].broken)
    worker.start()
    for message in ('{"type": "open"}', '{"type": "pause"}', '{"type": "step", "of": "epoch"}'):
        worker.inbox.put(message)
    worker.close()
    worker.join(timeout=60)
    texts = []
    while not said.empty():
        message = said.get()
        texts += [json.loads(message)] if isinstance(message, str) else []
    assert "AttributeError" in next(message["text"] for message in texts if message["type"] == "error")
    assert texts[-1]["type"] == "state"
    assert "the playground failed" in caplog.text


def test_what_json_lacks_becomes_null(tab):
    tab.session._send_json("notice", value=float("nan"), list=[float("inf"), 1.0])
    assert tab.last("notice") == {"type": "notice", "value": None, "list": [None, 1.0]}


def test_two_tabs_know_nothing_of_each_other():
    first, second = Tab(), Tab()
    for tab in (first, second):
        tab.send("open", link=to_link(SMALL))
    first.send("set", changes={"data": "xor"})
    first.send("step", of="epoch")
    assert second.last("setup")["setup"]["data"] == "circle"
    assert second.session.training.steps == 0


def test_an_export_is_sent_as_a_file(tab, tmp_path):
    tab.send("step", of="epoch")
    (answer,) = tab.send("export", form="python")
    assert answer["name"] == "playground.py"
    assert tab.arrays["file"]["content"].tobytes().decode() == share.to_python(tab.session.training)
    (answer,) = tab.send("export", form="model")
    with contextlib.suppress(FileNotFoundError):
        (tmp_path / answer["name"]).write_bytes(tab.arrays["file"]["content"].tobytes())
    assert chainrule.load(tmp_path / answer["name"]).n_in == 2
