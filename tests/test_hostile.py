"""The page `docs/use/hostile.md` is true: what it says of each kind of input happens at every door.

A door is where a user hands something in. The page says what should happen there; CASES says what is handed in.
"""

import csv
import os
import pickle
import re
import signal
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cache, partial
from multiprocessing import get_context
from operator import methodcaller
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from joblib.externals.loky import get_reusable_executor
from typer.testing import CliRunner

from chainrule import (
    SGD,
    Adam,
    MLPClassifier,
    MLPRegressor,
    TabularClassifier,
    TabularEncoder,
    TabularRegressor,
    load,
    mlp,
    save,
    train,
)
from chainrule.app import commands
from chainrule.app import train as app_train
from chainrule.app.progress import Progress
from chainrule.errors import DivergenceError, TableError
from chainrule.estimators import tabular
from chainrule.model.fitting import fit_predictor
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.layers import LAYERS
from chainrule.nn.losses import LOSSES, as_loss
from chainrule.training.callbacks import Callback
from chainrule.training.loop import Run
from oracles import targets_for
from test_layers import EXAMPLES, WIDTH, params_of
from test_tabular import CELLS

PAGE = Path(__file__).parent.parent / "docs/use/hostile.md"
N = 40
X = np.random.default_rng(0).normal(size=(N, 3)).round(3)
CLASSES = (X[:, 0] > 0).astype(int)
NUMBERS = X[:, 0] - X[:, 1]


@dataclass(frozen=True)
class Handed:
    """What a user hands in: a table with its target and weights, and later rows to answer for."""

    X: Any
    y: Any
    weight: Any = None
    new: Any = None
    rate: float = 1e-3

    @property
    def rows(self):
        return self.X if self.new is None else self.new


# The doors.


class Engine:
    """`train`, `Network`."""

    def fit(self, handed, callbacks=()):
        """Return a model trained on what was handed in, for classes or for numbers as `y` tells."""
        columns = np.shape(handed.X)[1] if np.ndim(handed.X) == 2 else 3
        outputs, loss = (1, "squared_error") if are_numbers(handed.y) else (2, "cross_entropy")
        net = mlp(columns, 4, outputs, loss=loss, seed=0)
        options = {"optimizer": SGD(handed.rate), "epochs": 4, "batch_size": 16, "callbacks": callbacks}
        history = train(net, handed.X, handed.y, sample_weight=handed.weight, **options)
        self.said = history.stopped
        return net

    def answer(self, net, rows):
        """Return probabilities or numbers, a row a row."""
        return net.predict(rows)

    def save(self, net, path):
        save(net, path)

    def form(self, table):
        """Return a table as this door takes it; here columns by name become an array of objects."""
        return np.array(list(zip(*table.values())), object) if isinstance(table, dict) else table


class Estimator(Engine):
    """`MLPClassifier`, `MLPRegressor`."""

    def fit(self, handed, callbacks=()):
        options = {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0, "callbacks": callbacks}
        make = MLPRegressor if are_numbers(handed.y) else MLPClassifier
        model = make(learning_rate_init=handed.rate, **options)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(handed.X, handed.y, sample_weight=handed.weight)
        self.said = str(caught[0].message)
        return model

    def answer(self, model, rows):
        return model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)

    def save(self, model, path):
        save(model.network_, path)


class Tabular(Estimator):
    """`TabularClassifier`, `TabularRegressor`."""

    def fit(self, handed, callbacks=()):
        make = TabularRegressor if are_numbers(handed.y) else TabularClassifier
        with pytest.MonkeyPatch.context() as patch:
            watched = partial(fit_predictor, watch=lambda member: callbacks)
            patch.setattr(tabular, "fit_predictor", lambda *args, watch, **options: watched(*args, **options))
            model = make(n_members=2, epochs=3, random_state=0).fit(handed.X, handed.y, sample_weight=handed.weight)
        self.said = model.histories_[-1].stopped
        return model

    def save(self, model, path):
        model.save(path)

    def form(self, table):
        return table


class RefusedError(ValueError):
    """The command has said in one line what is wrong."""


class CommandLine(Tabular):
    """`chainrule train`, `chainrule predict`, by way of CSV files; a model is its path."""

    def fit(self, handed, callbacks=(), out="m.chainrule"):
        self.handed = handed
        weights = {} if handed.weight is None else {"weight": handed.weight}
        write("t.csv", columns_of(handed.X) | {"y": handed.y} | weights)
        options = [
            "--epochs",
            3,
            "--members",
            2,
            "--jobs",
            1,
            "--out",
            out,
            *(["--weight", "weight"] if weights else []),
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(app_train, "progress_for", lambda *_: Watching(callbacks))
            self.said = run("train", "t.csv", "--target", "y", *options)
        return out

    def answer(self, path, rows):
        write("new.csv", columns_of(rows))
        classes = hasattr(load(path).target, "labels")
        lines = run("predict", path, "new.csv", *["--proba"] * classes).splitlines()
        return np.array([[float(cell) for cell in line[classes:]] for line in csv.reader(lines[1:])])

    def save(self, path, place):
        self.fit(self.handed, out=place)


class Watching(Progress):
    """Shows nothing, and hands every member these callbacks."""

    def __init__(self, callbacks):
        super().__init__(2)
        self.callbacks = callbacks

    def callbacks_for(self, member):
        return self.callbacks


DOORS = {"engine": Engine, "estimators": Estimator, "tables": Tabular, "command": CommandLine}


def are_numbers(y):
    return np.asarray(y).dtype.kind == "f"


def run(*arguments):
    done = CliRunner().invoke(commands.app, [str(argument) for argument in arguments])
    if done.exit_code:
        assert done.stderr.count("\n") == 1, done.output
        raise RefusedError(done.stderr)
    return done.stdout


def columns_of(rows):
    """Return names and columns; an array's are named by their place."""
    if isinstance(rows, np.ndarray):
        return {f"x{j}": column for j, column in enumerate(rows.T)}
    return {f"{name} {j}": column for j, (name, column) in enumerate(rows.items())}


def write(path, columns):
    """Write columns as CSV, their names up to the first blank."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([name.split()[0] for name in columns])
        writer.writerows(["" if cell is None else cell for cell in row] for row in zip(*columns.values(), strict=True))


# What is handed in.


def plain(**changes):
    return replace(Handed(X.copy(), NUMBERS.copy()), **changes)


def labelled(y, **changes):
    return replace(Handed(X.copy(), y), **changes)


def with_cell(values, value):
    """The values but for one, in row 4."""
    spoilt = values.copy()
    spoilt[(3, 1)[: values.ndim]] = value
    return spoilt


def table(names="abc"):
    return dict(zip(names, X.T, strict=True))


def with_column(*values):
    """A table whose column b holds these values over and over."""
    return table() | {"b": np.array((values * N)[:N], dtype=object)}


def framed(columns):
    return pd.DataFrame(columns)


def twice(frame):
    """A DataFrame in which two columns have one name."""
    return frame.rename(columns={"b": "a"})


def later(change):
    """A table to train on, and in another form to answer for."""
    return plain(X=framed(table()), new=change(framed(table())))


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def mapped(array):
    np.save("mapped.npy", array)
    return np.load("mapped.npy", mmap_mode="r")


def masked(array, row=None):
    cells = np.ma.masked_array(array.copy(), mask=np.zeros(array.shape, bool))
    if row is not None:
        cells[row, 1] = np.ma.masked
    return cells


def objects(array):
    return array.astype(object)


WHOLE = (100 * X).astype(int)
RARE = (np.arange(N) == 3).astype(int)
NAMES = np.array(["très bien", "평화 の"])[CLASSES]
DAYS = [date(2024, 1, 1) + timedelta(days=k) for k in range(N)]


def hands(make, same_as=None):
    """A case: the answers to what `make` makes are finite, one a row, and those to what `same_as` makes."""

    def case(door):
        handed, predictions = go_through(door, make())
        assert np.isfinite(predictions).all()
        assert len(predictions) == n_rows(handed.rows)
        if same_as is not None:
            _, expected = go_through(door, same_as()) if same_as is not plain else plainly(type(door))
            np.testing.assert_allclose(predictions, expected, rtol=1e-5, atol=1e-7)

    return case


@cache
def plainly(door):
    """The answers to the plain table, which many a case shares."""
    return go_through(door(), plain())


def go_through(door, handed):
    """Train and answer; what was handed in is afterwards what it was, to the byte."""
    handed = replace(handed, X=door.form(handed.X), new=None if handed.new is None else door.form(handed.new))
    parts = handed.X, handed.y, handed.weight, handed.new
    before = [pickle.dumps(part) for part in parts]
    try:
        return handed, door.answer(door.fit(handed), handed.rows)
    finally:
        assert [pickle.dumps(part) for part in parts] == before, "what was handed in has been changed"


def n_rows(rows):
    return len(next(iter(rows.values()))) if isinstance(rows, dict) else rows.shape[0]


# Runs, files, threads and processes: cases that need more than a table.


class Raise(Callback):
    """Sends this process a signal at the end of the second epoch."""

    def __init__(self, number):
        self.number = number

    def on_epoch_end(self, run):
        if run.epoch == 1:
            signal.raise_signal(self.number)


def interrupted(number):
    """A case: a signal in the middle of a training ends it, and the weights of the best epoch so far answer."""

    def case(door):
        handlers = {sent: signal.getsignal(sent) for sent in (signal.SIGINT, signal.SIGTERM)}
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            model = door.fit(plain(), callbacks=[Raise(number)])
        finally:
            for sent, handler in handlers.items():
                signal.signal(sent, handler)
        assert np.isfinite(door.answer(model, X)).all()
        assert "interrupted" in door.said

    return case


def saved(place, spoil=None):
    """A case: a model that was saved is saved again where it cannot be; what was there stays."""

    def case(door):
        model = door.fit(plain())
        Path("folder").mkdir()
        door.save(model, "kept")
        before = {path.name: path.read_bytes() for path in Path().glob("*") if path.is_file()}
        try:
            with pytest.MonkeyPatch.context() as patch:
                if spoil:
                    spoil(patch)
                door.save(model, place)
        finally:
            assert {path.name: path.read_bytes() for path in Path().glob("*") if path.is_file()} == before
            assert list(Path("folder").iterdir()) == []

    return case


def full(patch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    patch.setattr(os, "fsync", fail)


def answers_in(pool):
    """A case: a model answers in every worker of a pool as it does here."""

    def case(door):
        model = door.fit(plain())
        expected = model.predict(X)
        with pool() as map_over:
            for predictions in map_over(methodcaller("predict", X), [model] * 16):
                np.testing.assert_array_equal(predictions, expected)

    return case


@contextmanager
def threads():
    with ThreadPoolExecutor(16) as pool:
        yield pool.map


@contextmanager
def forked():
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        yield pool.map


@contextmanager
def spawned():
    yield lasting_pool().map


@cache
def lasting_pool():
    """One process for every door, as it takes a second to begin."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


@contextmanager
def of_joblib():
    yield lambda function, models: joblib.Parallel(2)(joblib.delayed(function)(model) for model in models)


CASES = {
    "NaN in `X`": hands(lambda: plain(X=with_cell(X, np.nan)), lambda: plain(X=with_cell(objects(X), None))),
    "an infinity in `X`": hands(lambda: plain(X=with_cell(X, np.inf))),
    "NaN in `y`": hands(lambda: plain(y=with_cell(NUMBERS, np.nan))),
    "an infinity in `y`": hands(lambda: plain(y=with_cell(NUMBERS, np.inf))),
    "huge numbers, to 1e300": hands(lambda: plain(X=X * 1e300)),
    "tiny numbers, from 1e-300": hands(lambda: plain(X=X * 1e-300)),
    "huge targets, to 1e300": hands(lambda: plain(y=NUMBERS * 1e300)),
    "a constant column": hands(lambda: plain(X=table() | {"d": np.full(N, 7.0)})),
    "an empty column": hands(lambda: plain(X=table() | {"d": np.full(N, None, object)}), plain),
    "booleans": hands(lambda: plain(X=X > 0)),
    "integers as strings": hands(lambda: plain(X=objects(WHOLE.astype(str))), lambda: plain(X=WHOLE)),
    "mixed types in a column": hands(
        lambda: plain(X=with_column(1, "two", 3.5)), lambda: plain(X=with_column("1", "two", "3.5"))
    ),
    "dates": hands(lambda: plain(X=with_column(*DAYS))),
    "`Decimal`": hands(lambda: plain(X=np.vectorize(Decimal, [object])(X)), plain),
    "complex numbers": hands(lambda: plain(X=X + 1j)),
    "no rows": hands(lambda: plain(X=X[:0], y=NUMBERS[:0])),
    "one row": hands(lambda: plain(X=X[:1], y=NUMBERS[:1])),
    "`X` and `y` of different lengths": hands(lambda: plain(y=NUMBERS[:-1])),
    "a 3-D array": hands(lambda: plain(X=X[:, :, np.newaxis])),
    "one class": hands(lambda: labelled(np.zeros(N, int))),
    "one row in a class": hands(lambda: labelled(RARE)),
    "labels with blanks and beyond ASCII": hands(lambda: labelled(NAMES), lambda: labelled(CLASSES)),
    "NaN among labels": hands(lambda: labelled(with_cell(objects(NAMES), np.nan))),
    "all weights zero": hands(lambda: plain(weight=np.zeros(N))),
    "a negative weight": hands(lambda: plain(weight=with_cell(np.ones(N), -1))),
    "object arrays": hands(lambda: plain(X=objects(X)), plain),
    "non-contiguous arrays": hands(lambda: plain(X=np.repeat(X, 2, axis=1)[::-1, ::2][::-1]), plain),
    "read-only arrays": hands(lambda: plain(X=read_only(X), y=read_only(NUMBERS)), plain),
    "memory-mapped arrays": hands(lambda: plain(X=mapped(X)), plain),
    "masked arrays, nothing masked": hands(lambda: plain(X=masked(X)), plain),
    "masked arrays": hands(lambda: plain(X=masked(X, row=3))),
    "pandas": hands(lambda: plain(X=framed(table()), y=pd.Series(NUMBERS)), plain),
    "polars": hands(lambda: plain(X=pl.DataFrame(table()), y=pl.Series(NUMBERS)), plain),
    "pyarrow": hands(lambda: plain(X=pa.table(table()), y=pa.array(NUMBERS)), plain),
    "sparse": hands(lambda: plain(X=scipy.sparse.csr_matrix(X)), plain),
    "no rows to answer for": hands(lambda: plain(new=X[:0])),
    "one row to answer for": hands(lambda: plain(new=X[:1])),
    "rows to 3e38 to answer for, in float32": hands(
        lambda: plain(X=np.float32(X), new=np.full((1, 3), 3e38, np.float32))
    ),
    "columns in another order": hands(lambda: later(lambda frame: frame[["c", "a", "b"]]), lambda: later(framed)),
    "an extra column": hands(lambda: later(lambda frame: frame.assign(d=1.0)), lambda: later(framed)),
    "a missing column": hands(lambda: later(lambda frame: frame[["a", "c"]])),
    "two columns of one name": hands(lambda: later(twice)),
    "a category that training had not": hands(
        lambda: plain(X=with_column("yes", "no", "oh"), new=with_column("new")),
        lambda: plain(X=with_column("yes", "no", "oh"), new=with_column(None)),
    ),
    "a learning rate of 1e6": hands(lambda: plain(rate=1e6)),
    "inputs to 1e30": hands(lambda: plain(X=X * 1e30)),
    "targets to 1e30": hands(lambda: plain(y=NUMBERS * 1e30)),
    "Ctrl-C": interrupted(signal.SIGINT),
    "SIGTERM": interrupted(signal.SIGTERM),
    "a full disk": saved("kept", full),
    "no permission to write": saved("/proc/m"),
    "a folder as the model's path": saved("folder"),
    "16 threads": answers_in(threads),
    "fork": answers_in(forked),
    "spawn": answers_in(spawned),
    "joblib's workers": answers_in(of_joblib),
}


# What the page says.


def promises():
    """Yield the section, kind, door and promise of every cell of the page's tables."""
    section = ""
    for line in PAGE.read_text().splitlines():
        section = line.removeprefix("## ") if line.startswith("## ") else section
        if line.startswith("| ") and not line.startswith(("| |", "| ---")):
            kind, *cells = line.strip("| ").split(" | ")
            for door, promise in zip(DOORS, cells, strict=True):
                yield section, kind, door, promise


PROMISES = list(promises())
FOR_TRAINING = {"Numbers and cells", "Rows, labels and weights", "Forms"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test starts in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def last():
    """The processes that cases share end with the last of them."""
    yield
    lasting_pool().shutdown()
    get_reusable_executor().shutdown()


def test_every_case_is_on_the_page_and_every_row_has_its_case():
    assert list(dict.fromkeys(kind for _, kind, _, _ in PROMISES)) == list(CASES)


@pytest.fixture
def epochs(monkeypatch):
    """The epochs that have been trained."""
    done, measure = [], Run.measure
    monkeypatch.setattr(Run, "measure", lambda run: done.append(run.epoch) or measure(run))
    return done


@pytest.mark.parametrize(("kind", "door"), [row[1:3] for row in PROMISES if row[3].startswith("works")])
def test_what_the_page_says_works_works(kind, door):
    CASES[kind](DOORS[door]())


@pytest.mark.parametrize(("section", "kind", "door", "promise"), [row for row in PROMISES if row[3].startswith("`")])
def test_what_the_page_says_is_refused_is_refused_in_these_words(section, kind, door, promise, epochs):
    name, words = re.fullmatch(r"(?:`(\w+)`: )?`(.+)`", promise).groups("ValueError")
    with pytest.raises((ValueError, TypeError, ArithmeticError, OSError)) as caught:
        CASES[kind](DOORS[door]())
    assert name in {base.__name__ for base in type(caught.value).__mro__}
    assert words in str(caught.value)
    assert not (epochs and section in FOR_TRAINING), "it was refused only after work was done"


# Whatever it is that is handed in.

ANYTHING = settings(max_examples=60, deadline=None, derandomize=True, database=None)
SIZES = st.integers(1, 6)
COLUMNS = st.lists(CELLS, min_size=2, max_size=8) | st.lists(st.floats() | st.none(), min_size=2, max_size=8)


def numbers(largest):
    """Matrices of one row to six, of float32 numbers to `largest`; four columns where a layer has its size."""
    shapes = st.tuples(SIZES, st.just(WIDTH))
    return arrays(np.float32, shapes, elements=st.floats(-largest, largest, width=32))


@contextmanager
def or_told(kind, message):
    """Lets an error pass whose message is of that form."""
    try:
        yield
    except kind as error:
        if not re.search(message, str(error)):
            raise


@given(COLUMNS, COLUMNS)
@ANYTHING
def test_a_column_of_anything_is_encoded_in_finite_numbers_or_refused_also_when_new(seen, new):
    with suppress(TableError):
        encoder = TabularEncoder().fit({"a": seen, "b": list(range(len(seen)))})
        encoded = encoder.transform({"a": new, "b": [10**300] * len(new)})
        assert encoded.shape == (len(new), encoder.n_features)
        assert np.isfinite(encoded).all()


@pytest.mark.parametrize("name", LAYERS)
@given(given_in=numbers(2.0**50), training=st.booleans(), seed=st.integers(0, 9))
@settings(ANYTHING, max_examples=20)
def test_a_layer_gives_finite_numbers_both_ways_and_leaves_its_input_alone(name, given_in, training, seed):
    layer, rng = EXAMPLES[name], np.random.default_rng(seed)
    params = {name: array.astype(np.float32) for name, array in params_of(layer, rng).items()}
    before = given_in.tobytes()
    Y, backward = layer.forward(given_in, params, rng if training else None)
    dX = backward(np.ones_like(Y), {name: np.empty(shape, np.float32) for name, shape in layer.shapes.items()})
    assert Y.shape == dX.shape == given_in.shape
    assert np.isfinite(Y).all()
    assert np.isfinite(dX).all()
    assert given_in.tobytes() == before


@pytest.mark.parametrize("name", LOSSES)
@given(Z=numbers(2.0**50), seed=st.integers(0, 9))
@settings(ANYTHING, max_examples=20)
def test_a_loss_is_never_nan_nor_negative_and_its_answers_are_finite(name, Z, seed):
    loss = as_loss(name)
    y = targets_for(name, len(Z), WIDTH, np.random.default_rng(seed))
    value, dZ = loss(Z, loss.targets(y, WIDTH, np.float32))
    assert value >= 0
    assert dZ.shape == Z.shape
    assert not np.isnan(dZ).any()
    assert np.isfinite(loss.predict(Z)).all()


@given(rows=numbers(2.0**127), seed=st.integers(0, 9), activation=st.sampled_from(sorted(ACTIVATIONS)))
@ANYTHING
def test_finite_rows_have_finite_answers_or_an_error_that_names_the_layer(rows, seed, activation):
    net = mlp(WIDTH, 8, 8, 2, activation=activation, loss="cross_entropy", seed=seed)
    net.theta = 10 * net.theta
    with or_told(ValueError, r"X must be small enough for float32, .* the output of layer \d"):
        assert np.isfinite(net.predict(rows)).all()


@given(
    inputs=st.integers(-30, 38),
    targets=st.integers(-30, 38),
    rate=st.integers(-9, 38),
    epochs=st.integers(1, 3),
    n=st.integers(1, 20),
    batch_size=st.integers(1, 8),
    optimizer=st.sampled_from([SGD, Adam]),
    seed=st.integers(0, 9),
)
@example(inputs=0, targets=3, rate=38, epochs=1, n=4, batch_size=8, optimizer=SGD, seed=0)
@ANYTHING
def test_a_training_leaves_finite_weights_or_says_where_it_went_wrong(
    inputs, targets, rate, epochs, n, batch_size, optimizer, seed
):
    rng = np.random.default_rng(seed)
    rows, y = rng.uniform(-1, 1, (n, 3)) * 10.0**inputs, rng.uniform(-1, 1, n) * 10.0**targets
    net = mlp(3, 4, 1, seed=seed)
    with or_told(DivergenceError, r"epoch \d, batch \d+: .*(layer|loss|gradient|weights)"):
        history = train(net, rows, y, epochs=epochs, batch_size=batch_size, optimizer=optimizer(10.0**rate))
        assert np.isfinite(history.loss).all()
    assert np.isfinite(net.theta).all()
    with or_told(ValueError, "X must be small enough"):
        assert np.isfinite(net.predict(rows)).all()
