import os
import random
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import perf_counter, process_time, sleep

import numpy as np
import pytest
from typer.testing import CliRunner

from chainrule import (
    SGD,
    Activation,
    Adam,
    AdamW,
    BatchNorm,
    Callback,
    Checkpoint,
    Dense,
    Dropout,
    EarlyStopping,
    Network,
    RMSProp,
    TimeLimit,
    load,
    train,
)
from chainrule.app import commands
from chainrule.arrays import digest
from chainrule.data.reading import read_columns
from chainrule.data.targets import fit_target
from chainrule.errors import ModelFileError
from chainrule.files.archive import flatten, read
from chainrule.files.checkpoint import FORMAT, CheckpointFile
from chainrule.files.model import FORMAT as MODEL_FORMAT
from chainrule.model.executors import Serial, Threads
from chainrule.model.fitting import fit_predictor
from chainrule.training import kernels
from chainrule.training.optimizers import OPTIMIZERS
from chainrule.training.schedules import SCHEDULES, Cosine, ReduceOnPlateau
from fuzz_model_file import ACCIDENTS, edit_document

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(48, 4)), RNG.normal(size=(48, 2))
CASES = {
    **{name: {"optimizer": name} for name in OPTIMIZERS},
    "momentum": {"optimizer": SGD(0.01, momentum=0.9)},
    "nesterov": {"optimizer": SGD(0.01, momentum=0.9, nesterov=True)},
    "vector of decays": {"optimizer": AdamW(weight_decay=np.linspace(0, 0.1, 74).astype(np.float32))},
    **{f"{name} schedule": {"schedule": name} for name in SCHEDULES},
    "plateaus": {"schedule": ReduceOnPlateau(patience=2, factor=0.5)},
    "early stopping": {"optimizer": Adam(0.1), "callbacks": [EarlyStopping(patience=3)]},
    "metrics and weights": {"metrics": ["mae"], "sample_weight": RNG.random(48), "clip_norm": 0.5},
    "rate factors": {"learning_rate_multipliers": {"b": 0.1}, "shuffle": False},
    "another generator": {"generator": np.random.MT19937},
    "float64": {"dtype": "float64"},
    "no validation": {"validation": None},
}


def network(dtype="float32", n_hidden=8):
    layers = [Dense(4, n_hidden), BatchNorm(n_hidden), Activation("tanh"), Dropout(0.3), Dense(n_hidden, 2)]
    return Network(layers, seed=0, dtype=dtype)


def trained(case, callbacks=(), **options):
    """Everything that training leaves behind, as one digest and the epochs it had."""
    options = {"epochs": 12, "batch_size": 16, "validation": (X[:16], Y[:16])} | CASES[case] | options
    net = network(options.pop("dtype", "float32"))
    options["seed"] = np.random.Generator(options.pop("generator", np.random.PCG64)(3))
    history = train(net, X, Y, **options | {"callbacks": [*callbacks, *options.pop("callbacks", [])]})
    results = [np.array(column) for column in history.results.values()]
    rates = [np.array(history.learning_rate), np.array(history.gradient_norm)]
    return digest(net.theta, net.buffers, *results, *rates), len(history), history.best_epoch, history.stopped


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.checkpoint"


class CopyEach(Callback):
    """Keeps a copy of the checkpoint as it was after each epoch but the last."""

    def __init__(self, path):
        self.path = path

    def on_batch_end(self, run):
        if self.path.exists():
            shutil.copy(self.path, self.path.with_name(f"{run.epoch:03}"))


# Bit for bit.


@pytest.mark.parametrize("case", CASES)
def test_training_resumes_from_any_epoch_as_if_never_interrupted(case, path):
    whole = trained(case)
    assert trained(case, [CopyEach(path), Checkpoint(path)]) == whole
    copies = sorted(path.parent.glob("[0-9]*"))
    assert len(copies) == whole[1] - 1
    for copy in [*copies[::4], copies[-1], path]:
        assert trained(case, [Checkpoint(copy, every=100, resume=True)]) == whole


def die_and_resume(path, case, kills, seed):
    """Train in child processes that are killed at random moments, then to the end, and print the result."""
    random.seed(seed)
    for k in range(kills + 1):
        child = os.fork()
        if child == 0:
            print(trained(case, [Checkpoint(path, resume=True)], epochs=60), flush=True)
            os._exit(0)
        if k < kills:
            sleep(random.uniform(0.005, 0.05))
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(epochs_of(path) if os.path.exists(path) else 0, flush=True)


def epochs_of(path):
    return read(path, FORMAT)["trainings"]["0"]["state"]["epoch"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize(
    "case", ["adamw", *(pytest.param(name, marks=pytest.mark.slow) for name in ("momentum", "rmsprop", "adam"))]
)
def test_kill_9_at_random_moments_changes_nothing(case, path):
    seed = random.randrange(1000)
    code = f"from test_resume import die_and_resume; die_and_resume({str(path)!r}, {case!r}, 5, {seed})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    assert not done.stderr
    *_, result, epochs = done.stdout.splitlines()
    assert result == str(trained(case, epochs=60)), f"seed {seed}"
    assert int(epochs) > 0


def test_fifty_epochs_and_fifty_more_are_a_hundred(path):
    whole = trained("adam", epochs=100)
    trained("adam", [Checkpoint(path)], epochs=50)
    assert trained("adam", [Checkpoint(path, resume=True)], epochs=100) == whole


def test_a_resumed_run_that_diverges_rolls_back_as_it_would_have(path):
    def run(*callbacks):
        net = network()
        history = train(net, X, Y, optimizer=SGD(1.2), epochs=30, batch_size=16, callbacks=callbacks, seed=0)
        return digest(net.theta, np.array(history.loss)), history.notes

    whole = run(CopyEach(path), Checkpoint(path))
    assert whole[1]
    for copy in sorted(path.parent.glob("[0-9]*"))[::4]:
        assert run(Checkpoint(copy, every=100, resume=True)) == whole


def test_a_finished_training_is_not_done_again(path):
    whole = trained("early stopping", [Checkpoint(path)], epochs=1000)
    assert whole[3].startswith("validation_loss has not improved")

    class Fails(Callback):
        def on_batch_end(self, run):
            raise AssertionError

    assert trained("early stopping", [Fails(), Checkpoint(path, resume=True)], epochs=1000) == whole


def test_the_order_of_callbacks_does_not_matter(path):
    stopped = {"optimizer": Adam(0.1), "epochs": 30, "seed": 0}

    def run(*callbacks, **options):
        net = network()
        history = train(net, X, Y, callbacks=[*callbacks, EarlyStopping(patience=12)], **stopped | options)
        return digest(net.theta), history.best_epoch

    run(Checkpoint(path), epochs=10)
    assert run(Checkpoint(path, resume=True)) == run()


def test_an_epoch_that_is_cut_short_is_not_written(path):
    class StopInTheMiddle(Callback):
        def on_batch_end(self, run):
            if run.epoch == 7:
                run.stop = "enough"

    trained("adam", [StopInTheMiddle(), Checkpoint(path)])
    assert trained("adam", [Checkpoint(path, resume=True)]) == trained("adam")
    (path.parent / "limited").mkdir()
    limited = path.parent / "limited" / "run"
    while trained("adam", [TimeLimit(0.01), Checkpoint(limited, resume=True)])[3]:
        pass
    assert trained("adam", [Checkpoint(limited, resume=True)]) == trained("adam")


# When a checkpoint is saved.


def written_at(path, **options):
    class Look(Callback):
        def on_batch_end(self, run):
            if path.exists() and path.stat().st_mtime_ns not in times:
                times[path.stat().st_mtime_ns] = run.epoch

    times = {}
    trained("adam", [Look(), Checkpoint(path, **options)], epochs=10)
    return list(times.values())


def test_a_checkpoint_is_saved_every_so_many_epochs_and_at_the_end(path):
    assert written_at(path, every=4) == [4, 8]
    assert epochs_of(path) == 10


def test_a_checkpoint_is_not_saved_before_so_many_seconds_have_elapsed(path):
    assert written_at(path, seconds=1000) == []
    assert path.exists()


def test_without_resume_the_file_is_replaced(path):
    trained("sgd", [Checkpoint(path)])
    assert trained("adam", [Checkpoint(path)]) == trained("adam")
    assert trained("adam", [Checkpoint(path, resume=True)]) == trained("adam")


@pytest.mark.parametrize("wrong", [{"every": 0}, {"every": 1.5}, {"seconds": -1}])
def test_wrong_arguments_raise(wrong, path):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Checkpoint(path, **wrong)


# What is refused.

OTHERS = {
    "network was .*Dense(4, 8).*, now .*Dense(4, 9)": {"net": network(n_hidden=9)},
    "network was .*float32, now .*float64": {"net": network("float64")},
    "loss was SquaredError(factor=0.5), now Huber": {"net": Network(network().layers, "huber", seed=0)},
    "l2 was 0.0, now 0.1": {"net": Network(network().layers, l2=0.1, seed=0)},
    "optimizer was Adam(.*), now RMSProp": {"optimizer": RMSProp()},
    "optimizer was Adam(learning_rate=0.001, .*), now Adam(learning_rate=0.1,": {"optimizer": Adam(0.1)},
    "schedule was Cosine(warmup=0.05, .*), now Cosine(warmup=0.1": {"schedule": Cosine(0.1)},
    "epochs was 10, now 20": {"epochs": 20},
    "batch_size was 16, now 8": {"batch_size": 8},
    "shuffle was True, now False": {"shuffle": False},
    "clip_norm was inf, now 2": {"clip_norm": 2},
    "learning_rate_multipliers was 1.0, now float": {"learning_rate_multipliers": {"b": 2}},
    "metrics was , now mae": {"metrics": ["mae"]},
    "callbacks was Guard(.*), KeepBestIfInterrupted(.*), now Guard(.*EarlyStopping(.*patience=10.*)": {
        "stopping": EarlyStopping()
    },
    "X, y and sample_weight was 48 rows of 4 columns, .*, now 48 rows": {"X": X + 1e-6},
    "X, y and sample_weight was 48 rows of 4 columns, .*, now 40 rows": {"X": X[:40], "y": Y[:40]},
    "X, y and sample_weight was": {"sample_weight": np.ones(48)},
    "validation was None, now 5 rows": {"validation": (X[:5], Y[:5])},
    "seed was a generator in state .*, now a generator in state": {"seed": 1},
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_run_is_refused_naming_the_difference(other, path):
    def run(resume, net=None, stopping=None, **options):
        checkpoint = [Checkpoint(path, resume=resume), *([stopping] if stopping else [])]
        options = {"X": X, "y": Y, "epochs": 10, "batch_size": 16, "schedule": "cosine", "seed": 0} | options
        return train(net or network(), callbacks=checkpoint, **options)

    run(False)
    changed = OTHERS[other].get("net", network())
    before = changed.theta.copy()
    difference = ".*".join(re.escape(part) for part in other.split(".*"))
    with pytest.raises(ModelFileError, match=f"run.checkpoint is the checkpoint of another run: {difference}"):
        run(True, **OTHERS[other] | {"net": changed})
    np.testing.assert_array_equal(changed.theta, before)


def test_a_checkpoint_of_more_epochs_than_requested_is_refused(path):
    trained("adam", [Checkpoint(path)], epochs=10)
    with pytest.raises(ModelFileError, match="it has 10 epochs, more than the 5 requested"):
        trained("adam", [Checkpoint(path, resume=True)], epochs=5)


def test_a_model_is_no_checkpoint_and_a_checkpoint_is_no_model(path):
    from chainrule import save

    trained("adam", [Checkpoint(path)])
    with pytest.raises(ModelFileError, match="its format must be 'chainrule', got 'chainrule checkpoint'"):
        load(path)
    save(network(), path)
    with pytest.raises(ModelFileError, match="its format must be 'chainrule checkpoint', got 'chainrule'"):
        Checkpoint(path, resume=True)


def test_a_changed_checkpoint_is_refused_or_stays_a_checkpoint(path, rng):
    trained("early stopping", [Checkpoint(path)], epochs=5)
    content = path.read_bytes()
    refused = 0
    for k in range(200):
        change = rng.choice([*ACCIDENTS[:3], edit_document, edit_document])
        path.write_bytes(change(content, rng))
        start = process_time()
        try:
            with np.errstate(all="ignore"):
                checkpoint = Checkpoint(path, resume=True)
                assert change is edit_document, k
                trained("early stopping", [checkpoint], epochs=6)
        except ModelFileError:
            refused += 1
        assert process_time() - start < 1
    assert refused > 170


# Several trainings in one file.


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=80)
    columns = read_columns({"x": x, "color": rng.choice(["red", "blue"], 80)})
    return columns, np.where(x + 0.3 * rng.normal(size=80) > 0, "yes", "no")


def fitted(table, path=None, workers=None, watch=lambda k: [], n_folds=3, **options):
    columns, values = table
    kept = path and CheckpointFile(path, n_folds, resume=True)
    result = fit_predictor(
        columns,
        values,
        fit_target("y", values),
        **{"quality": "fast", "n_folds": n_folds, "epochs": 8, "options": {"hidden": (8,)}} | options,
        executor=workers or Serial(),
        callbacks_for=lambda k: [*watch(k), *([kept.checkpoint(k)] if kept else [])],
    )
    histories = [np.array(history.validation_loss) for history in result.histories]
    return digest(result.predictor.predict_proba(columns), result.out_of_fold, *histories)


class StoppedError(Exception):
    pass


class DieIn(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, run):
        if run.epoch == self.epoch:
            raise StoppedError


@pytest.fixture(scope="module")
def whole(table):
    return fitted(table)


@pytest.mark.parametrize("workers", [Serial(), Threads(2), Threads(3)], ids=["in turn", "two", "three"])
def test_an_ensemble_resumes_with_every_member(workers, table, whole, path):
    with pytest.raises(StoppedError):
        fitted(table, path, workers, watch=lambda k: [DieIn(5)] if k == 1 else [])
    for member, epoch in ((1, 6), (2, 2), (2, 7)):
        with suppress(StoppedError):  # in threads a member may be done before another one fails
            fitted(table, path, workers, watch=lambda k, m=member, e=epoch: [DieIn(e)] if k == m else [])
    assert fitted(table, path, workers) == whole


def test_an_ensembles_checkpoint_of_other_data_or_members_is_refused(table, path):
    fitted(table, path)
    columns, values = table
    with pytest.raises(ModelFileError, match="another run: number of members was 3, now 4"):
        fitted(table, path, n_folds=4)
    with pytest.raises(ModelFileError, match="X, y and sample_weight was"):
        fitted((columns, values[::-1]), path)


# At the command line.


@pytest.fixture
def csv(tmp_path, table):
    columns, values = table
    rows = zip(columns["x"], columns["color"], values)
    lines = ["x,color,y", *(f"{x},{color},{y}" for x, color, y in rows)]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    return tmp_path


ARGUMENTS = ["train", "table.csv", "--target", "y", "--quality", "fast", "--folds", "4", "--epochs", "20"]
KILLED = """
import os, signal, sys
from chainrule.app import cli, training_display
from chainrule.training.callbacks import Callback

class Die(Callback):
    def on_batch_end(self, run):
        if run.epoch == 7:
            os.kill(os.getpid(), signal.SIGKILL)

watched = training_display.TrainingDisplay.callbacks_for
training_display.TrainingDisplay.callbacks_for = lambda display, k: [*watched(display, k), *([Die()] if k == 3 else [])]
sys.argv = ["chainrule", *{arguments}]
cli.main()
"""
"""A command that is killed in the eighth epoch of its fourth member."""


def arrays_of(path):
    return flatten(read(path, MODEL_FORMAT))[1]


def run(*options):
    return CliRunner().invoke(commands.app, [*ARGUMENTS, *options])


def test_a_killed_command_resumes_to_the_same_model(csv, monkeypatch):
    monkeypatch.chdir(csv)
    options = ["--out", "model.chainrule", "--jobs", "2", "--checkpoint", "c", "--resume"]
    killed = subprocess.run([sys.executable, "-c", KILLED.format(arguments=ARGUMENTS + options)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert Path("c").exists()
    assert not Path("model.chainrule").exists()
    for done in (run(*options), run("--out", "whole.chainrule")):
        assert done.stderr.count(" of 8: ") == 8  # two variants on four folds
        assert done.exit_code == 0
    whole = arrays_of("whole.chainrule")
    assert sum(len(theta) for name, theta in whole.items() if name.endswith("theta")) in (4, 8)
    for name, array in arrays_of("model.chainrule").items():
        np.testing.assert_array_equal(array, whole[name])


def test_resume_needs_to_know_from_what(csv, monkeypatch):
    monkeypatch.chdir(csv)
    done = run("--resume")
    assert "--resume requires --checkpoint" in done.stderr
    assert done.exit_code == 2


def test_a_resumed_run_keeps_the_kernels_it_started_with(path, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(kernels, "START_SECONDS", 10 * 3 * kernels.SAVED_PER_STEP)
    for epochs in (8, 12):  # 12 alone would be long enough for numba
        history = train(network(), X, Y, epochs=epochs, batch_size=16, callbacks=Checkpoint(path, resume=True))
        assert len(history) == epochs


class Clock(Callback):
    """Has no state before the first epoch, and another start time in each run."""

    def __init__(self, unit=1.0):
        self.unit = unit

    def on_train_begin(self, run):
        self.begun, self.seen = perf_counter(), {}

    def on_epoch_end(self, run):
        self.seen[str(run.epoch)] = run.epoch * self.unit

    def state(self):
        return dict(self.seen)

    def restore(self, run, state):
        self.seen = dict(state)


def test_a_custom_callback_resumes_too(path):
    for epochs in (3, 6):
        clock = Clock()
        train(network(), X, Y, epochs=epochs, callbacks=[clock, Checkpoint(path, resume=True)])
        assert clock.seen == {str(epoch): float(epoch) for epoch in range(epochs)}
    with pytest.raises(ModelFileError, match=r"callbacks was .*Clock\(unit=1.0\), now .*Clock\(unit=2.0\)"):
        train(network(), X, Y, epochs=6, callbacks=[Clock(2.0), Checkpoint(path, resume=True)])


def test_an_unseeded_run_resumes_with_the_generator_it_had(path):
    whole = train(network(), X, Y, epochs=6, batch_size=16, callbacks=Checkpoint(path))
    half = path.with_name("half")
    train(network(), X, Y, epochs=3, batch_size=16, callbacks=Checkpoint(half))
    resumed = train(network(), X, Y, epochs=6, batch_size=16, callbacks=Checkpoint(half, resume=True))
    assert len(resumed) == len(whole) == 6
    with pytest.raises(ModelFileError, match="seed was None, now a generator"):
        train(network(), X, Y, epochs=6, batch_size=16, callbacks=Checkpoint(half, resume=True), seed=0)
