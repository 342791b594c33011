"""What `docs/use/robustness.md` says about invalid and unusual input is true for every interface.

The tables of the page, and more rows here, say what each interface does with a case; CASES defines the cases.
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
from chainrule.app.training_display import TrainingDisplay
from chainrule.errors import DivergenceError, TableError
from chainrule.estimators import tabular
from chainrule.model.embeddings import LAYERS
from chainrule.model.fitting import fit_predictor
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.losses import LOSSES, as_loss
from chainrule.training.callbacks import Callback
from chainrule.training.run import Run
from oracles import targets_for
from test_layers import EXAMPLES, WIDTH, params_of
from test_tabular import CELLS

PAGE = Path(__file__).parent.parent / "docs/use/robustness.md"
N = 40
X = np.random.default_rng(0).normal(size=(N, 3)).round(3)
CLASSES = (X[:, 0] > 0).astype(int)
NUMBERS = X[:, 0] - X[:, 1]


@dataclass(frozen=True)
class Input:
    """A table with its target and weights, rows to predict (the same table by default), and a learning rate."""

    X: Any
    y: Any
    weight: Any = None
    new: Any = None
    rate: float = 1e-3

    @property
    def rows(self):
        return self.X if self.new is None else self.new


# The interfaces.


class Engine:
    """`train`, `Network`."""

    def fit(self, given, callbacks=()):
        """Return a model trained on the input: a regressor if `y` holds floats, else a classifier."""
        columns = np.shape(given.X)[1] if np.ndim(given.X) == 2 else 3
        outputs, loss = (1, "squared_error") if is_regression(given.y) else (2, "cross_entropy")
        net = mlp(columns, 4, outputs, loss=loss, seed=0)
        options = {"optimizer": SGD(given.rate), "epochs": 4, "batch_size": 16, "callbacks": callbacks}
        history = train(net, given.X, given.y, sample_weight=given.weight, seed=0, **options)
        self.message = history.stopped
        return net

    def predict(self, net, rows):
        """Return probabilities or values, one row for each row."""
        return net(rows)

    def save(self, net, path):
        save(net, path)

    def form(self, table):
        """Convert a table for this interface; here, named columns become an array of objects."""
        return np.array(list(zip(*table.values())), object) if isinstance(table, dict) else table


class Estimator(Engine):
    """`MLPClassifier`, `MLPRegressor`."""

    def fit(self, given, callbacks=()):
        options = {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0, "callbacks": callbacks}
        make = MLPRegressor if is_regression(given.y) else MLPClassifier
        model = make(learning_rate_init=given.rate, **options)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(given.X, given.y, sample_weight=given.weight)
        self.message = str(caught[0].message)
        return model

    def predict(self, model, rows):
        return model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)

    def save(self, model, path):
        save(model.network_, path)


class Tabular(Estimator):
    """`TabularClassifier`, `TabularRegressor`."""

    def fit(self, given, callbacks=()):
        make = TabularRegressor if is_regression(given.y) else TabularClassifier
        with pytest.MonkeyPatch.context() as patch:
            watched = partial(fit_predictor, callbacks_for=lambda member: callbacks)
            patch.setattr(tabular, "fit_predictor", lambda *args, **options: watched(*args, **options))
            options = {"quality": "fast", "n_folds": 2, "hidden_layer_sizes": (4,), "epochs": 3, "random_state": 0}
            model = make(**options).fit(given.X, given.y, sample_weight=given.weight)
        self.message = model.histories_[-1].stopped
        return model

    def save(self, model, path):
        model.save(path)

    def form(self, table):
        return table


class RefusedError(ValueError):
    """The command failed with one line on standard error."""


class CommandLine(Tabular):
    """`chainrule train` and `chainrule predict` on CSV files; a model is a path."""

    def fit(self, given, callbacks=(), out="m.chainrule"):
        self.given = given
        weights = {} if given.weight is None else {"weight": given.weight}
        write("t.csv", columns_of(given.X) | {"y": given.y} | weights)
        options = ["--quality", "fast", "--epochs", 3, "--folds", 2, "--jobs", 1, "--out", out]
        options += ["--weight", "weight"] if weights else []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TrainingDisplay, "callbacks_for", lambda display, member: callbacks)
            self.message = run("train", "t.csv", "--target", "y", *options)
        return out

    def predict(self, path, rows):
        write("new.csv", columns_of(rows))
        classes = hasattr(load(path).target, "labels")
        lines = run("predict", path, "new.csv", *["--proba"] * classes).splitlines()
        return np.array([[float(cell) for cell in line[classes:]] for line in csv.reader(lines[1:])])

    def save(self, path, place):
        self.fit(self.given, out=place)


INTERFACES = {"engine": Engine, "estimators": Estimator, "tables": Tabular, "command": CommandLine}


def is_regression(y):
    return np.asarray(y).dtype.kind == "f"


def run(*arguments):
    done = CliRunner().invoke(commands.app, [str(argument) for argument in arguments])
    if done.exit_code:
        assert done.stderr.count("\n") == 1, done.output
        raise RefusedError(done.stderr)
    return done.stdout


def columns_of(rows):
    """Return a dict of columns; the columns of an array are named x0, x1, ..."""
    if isinstance(rows, np.ndarray):
        return {f"x{j}": column for j, column in enumerate(rows.T)}
    return {f"{name} {j}": column for j, (name, column) in enumerate(rows.items())}


def write(path, columns):
    """Write columns as CSV, with their names up to the first space."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([name.split()[0] for name in columns])
        writer.writerows(["" if cell is None else cell for cell in row] for row in zip(*columns.values(), strict=True))


# Inputs.


def plain(**changes):
    return replace(Input(X.copy(), NUMBERS.copy()), **changes)


def labeled(y, **changes):
    return replace(Input(X.copy(), y), **changes)


def with_cell(values, value):
    """Return a copy with one cell replaced, in the fourth row."""
    changed = values.copy()
    changed[(3, 1)[: values.ndim]] = value
    return changed


def table(names="abc"):
    return dict(zip(names, X.T, strict=True))


def with_column(*values):
    """Return a table whose column b repeats these values."""
    return table() | {"b": np.array((values * N)[:N], dtype=object)}


def framed(columns):
    return pd.DataFrame(columns)


def twice(frame):
    """Return a DataFrame with two columns of the same name."""
    return frame.rename(columns={"b": "a"})


def later(change):
    """Return a table to train on, with a changed copy of it to predict."""
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


def works_with(make, same_as=None):
    """Return a case: predictions for `make()` are finite, one per row, and equal to those for `same_as()`."""

    def case(interface):
        given, predictions = train_and_predict(interface, make())
        assert np.isfinite(predictions).all()
        assert len(predictions) == n_rows(given.rows)
        if same_as is not None:
            _, expected = train_and_predict(interface, same_as()) if same_as is not plain else of_plain(type(interface))
            np.testing.assert_allclose(predictions, expected, rtol=1e-5, atol=1e-7)

    return case


@cache
def of_plain(interface):
    """The predictions for the plain table, shared by many cases."""
    return train_and_predict(interface(), plain())


def train_and_predict(interface, given):
    """Train and predict, and assert that the input is unchanged, byte for byte."""
    new = None if given.new is None else interface.form(given.new)
    given = replace(given, X=interface.form(given.X), new=new)
    parts = given.X, given.y, given.weight, given.new
    before = [pickle.dumps(part) for part in parts]
    try:
        return given, interface.predict(interface.fit(given), given.rows)
    finally:
        assert [pickle.dumps(part) for part in parts] == before, "the input has been modified"


def n_rows(rows):
    return len(next(iter(rows.values()))) if isinstance(rows, dict) else rows.shape[0]


# Training runs, files, threads and processes.


class RaiseSignal(Callback):
    """Sends this process a signal at the end of the second epoch."""

    def __init__(self, number):
        self.number = number

    def on_epoch_end(self, run):
        if run.epoch == 1:
            signal.raise_signal(self.number)


def interrupted(number):
    """Return a case: a signal ends training, and the model predicts with the weights of the best epoch so far."""

    def case(interface):
        handlers = {sent: signal.getsignal(sent) for sent in (signal.SIGINT, signal.SIGTERM)}
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            model = interface.fit(plain(), callbacks=[RaiseSignal(number)])
        finally:
            for sent, handler in handlers.items():
                signal.signal(sent, handler)
        assert np.isfinite(interface.predict(model, X)).all()
        assert "interrupted" in interface.message

    return case


def saved(place, break_disk=None):
    """Return a case: saving at `place` fails, and all files stay as they were."""

    def case(interface):
        model = interface.fit(plain())
        Path("folder").mkdir()
        interface.save(model, "kept")
        before = {path.name: path.read_bytes() for path in Path().glob("*") if path.is_file()}
        try:
            with pytest.MonkeyPatch.context() as patch:
                if break_disk:
                    break_disk(patch)
                interface.save(model, place)
        finally:
            assert {path.name: path.read_bytes() for path in Path().glob("*") if path.is_file()} == before
            assert list(Path("folder").iterdir()) == []

    return case


def full_disk(patch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    patch.setattr(os, "fsync", fail)


def predicts_in(pool):
    """Return a case: every worker of a pool makes the same predictions as this process."""

    def case(interface):
        model = interface.fit(plain())
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
    yield shared_pool().map


@cache
def shared_pool():
    """One process for all interfaces, because it takes a second to start."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


@contextmanager
def joblib_workers():
    yield lambda function, models: joblib.Parallel(2)(joblib.delayed(function)(model) for model in models)


CASES = {
    "NaN in `X`": works_with(lambda: plain(X=with_cell(X, np.nan)), lambda: plain(X=with_cell(objects(X), None))),
    "infinity in `X`": works_with(lambda: plain(X=with_cell(X, np.inf))),
    "NaN in `y`": works_with(lambda: plain(y=with_cell(NUMBERS, np.nan))),
    "infinity in `y`": works_with(lambda: plain(y=with_cell(NUMBERS, np.inf))),
    "values up to 1e300": works_with(lambda: plain(X=X * 1e300)),
    "values down to 1e-300": works_with(lambda: plain(X=X * 1e-300)),
    "targets up to 1e300": works_with(lambda: plain(y=NUMBERS * 1e300)),
    "a constant column": works_with(lambda: plain(X=table() | {"d": np.full(N, 7.0)})),
    "an empty column": works_with(lambda: plain(X=table() | {"d": np.full(N, None, object)}), plain),
    "booleans": works_with(lambda: plain(X=X > 0)),
    "numbers as strings": works_with(lambda: plain(X=objects(WHOLE.astype(str))), lambda: plain(X=WHOLE)),
    "text among numbers": works_with(
        lambda: plain(X=with_column(1, "two", 3.5)), lambda: plain(X=with_column("1", "two", "3.5"))
    ),
    "dates": works_with(lambda: plain(X=with_column(*DAYS))),
    "`Decimal`": works_with(lambda: plain(X=np.vectorize(Decimal, [object])(X)), plain),
    "complex numbers": works_with(lambda: plain(X=X + 1j)),
    "no rows": works_with(lambda: plain(X=X[:0], y=NUMBERS[:0])),
    "one row": works_with(lambda: plain(X=X[:1], y=NUMBERS[:1])),
    "`X` and `y` of different lengths": works_with(lambda: plain(y=NUMBERS[:-1])),
    "a 3-D array": works_with(lambda: plain(X=X[:, :, np.newaxis])),
    "a single class": works_with(lambda: labeled(np.zeros(N, int))),
    "a class with one row": works_with(lambda: labeled(RARE)),
    "labels with spaces and non-ASCII characters": works_with(lambda: labeled(NAMES), lambda: labeled(CLASSES)),
    "NaN among labels": works_with(lambda: labeled(with_cell(objects(NAMES), np.nan))),
    "all weights zero": works_with(lambda: plain(weight=np.zeros(N))),
    "a negative weight": works_with(lambda: plain(weight=with_cell(np.ones(N), -1))),
    "object arrays": works_with(lambda: plain(X=objects(X)), plain),
    "non-contiguous arrays": works_with(lambda: plain(X=np.repeat(X, 2, axis=1)[::-1, ::2][::-1]), plain),
    "read-only arrays": works_with(lambda: plain(X=read_only(X), y=read_only(NUMBERS)), plain),
    "memory-mapped arrays": works_with(lambda: plain(X=mapped(X)), plain),
    "masked arrays, nothing masked": works_with(lambda: plain(X=masked(X)), plain),
    "masked arrays": works_with(lambda: plain(X=masked(X, row=3))),
    "pandas": works_with(lambda: plain(X=framed(table()), y=pd.Series(NUMBERS)), plain),
    "polars": works_with(lambda: plain(X=pl.DataFrame(table()), y=pl.Series(NUMBERS)), plain),
    "pyarrow": works_with(lambda: plain(X=pa.table(table()), y=pa.array(NUMBERS)), plain),
    "sparse matrices": works_with(lambda: plain(X=scipy.sparse.csr_matrix(X)), plain),
    "no rows to predict": works_with(lambda: plain(new=X[:0])),
    "one row to predict": works_with(lambda: plain(new=X[:1])),
    "float32 rows up to 3e38 to predict": works_with(
        lambda: plain(X=np.float32(X), new=np.full((1, 3), 3e38, np.float32))
    ),
    "columns in another order": works_with(lambda: later(lambda frame: frame[["c", "a", "b"]]), lambda: later(framed)),
    "an extra column": works_with(lambda: later(lambda frame: frame.assign(d=1.0)), lambda: later(framed)),
    "a missing column": works_with(lambda: later(lambda frame: frame[["a", "c"]])),
    "two columns of the same name": works_with(lambda: later(twice)),
    "an unknown category": works_with(
        lambda: plain(X=with_column("yes", "no", "oh"), new=with_column("new")),
        lambda: plain(X=with_column("yes", "no", "oh"), new=with_column(None)),
    ),
    "a learning rate of 1e6": works_with(lambda: plain(rate=1e6)),
    "inputs up to 1e30": works_with(lambda: plain(X=X * 1e30)),
    "targets up to 1e30": works_with(lambda: plain(y=NUMBERS * 1e30)),
    "Ctrl-C": interrupted(signal.SIGINT),
    "SIGTERM": interrupted(signal.SIGTERM),
    "a full disk": saved("kept", full_disk),
    "no permission to write": saved("/proc/m"),
    "a folder as the path of the model": saved("folder"),
    "16 threads": predicts_in(threads),
    "fork": predicts_in(forked),
    "spawn": predicts_in(spawned),
    "joblib's workers": predicts_in(joblib_workers),
}


# What the page says, and the rows that it leaves out.

MORE_ROWS = """
### Values
| infinity in `y` | `y must be finite in float32, got inf` | `Input y contains infinity` | `Input y contains infinity` | `column 'y' ... row 4 ... inf` |
| values down to 1e-300 | works | works | works | works |
| targets up to 1e300 | `y must be finite in float32, got ` | `Solver produced non-finite parameter weights` | `target 'y' is too large` | `target 'y' is too large` |
| a constant column | works | works | works | works |
| an empty column | `X must be finite in float32, got None at X[0, 3]` | `Input X contains NaN` | works | works |
| complex numbers | `X must hold real numbers, got dtype complex128` | `Complex data not supported` | `Complex data not supported` | `no usable column` |
### Labels and weights
| no rows | `X must have ... row` | `Found array with 0 sample(s)` | `Found array with 0 sample(s)` | `10 rows` |
| one row | works | works | `n_samples >= 2` | `10 rows` |
| a 3-D array | `X must be 2-D with 3 columns, got shape (40, 3, 1)` | `Found array with dim 3, while dim <= 2 is required` | `Found array with dim 3, while dim <= 2 is required` | — |
| a class with one row | works | works | works | works |
| labels with spaces and non-ASCII characters | `y ... dtype <U9` | works | works | works |
| all weights zero | `sample_weight must be positive in at least one row, got all zeros` | `Sample weights must contain at least one non-zero number` | `Sample weights must contain at least one non-zero number` | `weight ... row 1 ... 0` |
### Forms of data
| masked arrays, nothing masked | works | works | works | — |
### Rows to predict
| no rows to predict | works | `Found array with 0 sample(s)` | `Found array with 0 sample(s)` | works |
| one row to predict | works | works | works | works |
| float32 rows up to 3e38 to predict | `layer 0 ... float32 ... X[0] ... 3e+38` | works | works | works |
| two columns of the same name | — | `Expected unique column names` | `unique column names` | `'a'` |
### Training and saving
| SIGTERM | — | — | — | works |
| a folder as the path of the model | `OSError`: `folder` | `OSError`: `folder` | `OSError`: `folder` | `folder` |
| 16 threads | works | works | works | — |
| fork | works | works | works | — |
| spawn | works | works | works | — |
| joblib's workers | works | works | works | — |
"""  # noqa: E501
GROUPS = {
    "booleans, `Decimal`, numbers as strings": ["booleans", "`Decimal`", "numbers as strings"],
    "pandas, polars, pyarrow": ["pandas", "polars", "pyarrow"],
    "object, non-contiguous, read-only, memory-mapped arrays": [
        "object arrays", "non-contiguous arrays", "read-only arrays", "memory-mapped arrays",
    ],
    "inputs or targets up to 1e30": ["inputs up to 1e30", "targets up to 1e30"],
}  # fmt: skip
"""Rows that stand for several cases."""


def promises():
    """Yield the section, case, interface and promise of every cell of the tables."""
    section = ""
    for line in f"{PAGE.read_text()}{MORE_ROWS}".splitlines():
        section = line.removeprefix("### ") if line.startswith("### ") else section
        if line.startswith("| ") and not line.startswith(("| |", "| ---")):
            row, *cells = line.strip("| ").split(" | ")
            for case in GROUPS.get(row, [row]):
                for interface, promise in zip(INTERFACES, cells, strict=True):
                    yield section, case, interface, promise


PROMISES = list(promises())
BEFORE_TRAINING = {"Values", "Labels and weights", "Forms of data"}
"""Sections whose errors must be raised before the first epoch."""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test starts in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def shared_processes():
    """Shut the shared processes down after the last test."""
    yield
    shared_pool().shutdown()
    get_reusable_executor().shutdown()


def test_every_row_has_a_case_and_every_case_a_row():
    assert sorted({case for _, case, _, _ in PROMISES}) == sorted(CASES)
    assert len(PROMISES) == len(CASES) * len(INTERFACES)


@pytest.fixture
def epochs(monkeypatch):
    """The epochs that have been trained."""
    done, measure = [], Run.measure
    monkeypatch.setattr(Run, "measure", lambda run: done.append(run.epoch) or measure(run))
    return done


@pytest.mark.parametrize(("case", "interface"), [row[1:3] for row in PROMISES if row[3].startswith("works")])
@pytest.mark.filterwarnings("ignore:column .* are unknown:UserWarning", "ignore:y. .* not used:UserWarning")
def test_what_should_work_works(case, interface):
    CASES[case](INTERFACES[interface]())


@pytest.mark.parametrize(
    ("section", "case", "interface", "promise"), [row for row in PROMISES if row[3].startswith("`")]
)
def test_what_should_be_refused_is_refused_with_this_message(section, case, interface, promise, epochs):
    name, message = re.fullmatch(r"(?:`(\w+)`: )?`(.+)`", promise).groups("ValueError")
    with pytest.raises((ValueError, TypeError, ArithmeticError, OSError)) as caught:
        CASES[case](INTERFACES[interface]())
    assert name in {base.__name__ for base in type(caught.value).__mro__}
    assert re.search(".*".join(map(re.escape, message.split(" ... "))), str(caught.value)), str(caught.value)
    assert not (epochs and section in BEFORE_TRAINING), "refused only after an epoch of training"


# Arbitrary input.

ANYTHING = settings(max_examples=60, derandomize=True, database=None)
SIZES = st.integers(1, 6)
COLUMNS = st.lists(CELLS, min_size=2, max_size=8) | st.lists(st.floats() | st.none(), min_size=2, max_size=8)


def numbers(largest):
    """Return a strategy for float32 matrices of one to six rows with values up to `largest`."""
    shapes = st.tuples(SIZES, st.just(WIDTH))
    return arrays(np.float32, shapes, elements=st.floats(-largest, largest, width=32))


@contextmanager
def allowing(kind, message):
    """Suppress errors of this kind whose message matches."""
    try:
        yield
    except kind as error:
        if not re.search(message, str(error)):
            raise


@given(COLUMNS, COLUMNS)
@ANYTHING
@pytest.mark.filterwarnings("ignore:column .* are unknown:UserWarning")
def test_any_column_is_encoded_as_finite_numbers_or_refused(seen, new):
    with suppress(TableError):
        encoder = TabularEncoder().fit({"a": seen, "b": list(range(len(seen)))})
        encoded = encoder.transform({"a": new, "b": [10**300] * len(new)})
        assert encoded.shape == (len(new), encoder.n_features)
        assert np.isfinite(encoded).all()


@pytest.mark.parametrize("name", LAYERS)
@given(X=numbers(2.0**50), training=st.booleans(), seed=st.integers(0, 9))
@settings(ANYTHING, max_examples=20)
def test_a_layer_is_finite_forward_and_backward_and_keeps_its_input(name, X, training, seed):
    layer, rng = EXAMPLES[name], np.random.default_rng(seed)
    params = {name: array.astype(np.float32) for name, array in params_of(layer, rng).items()}
    before = X.tobytes()
    Y, backward = layer.forward(X, params, rng if training else None)
    dX = backward(np.ones_like(Y), {name: np.empty(shape, np.float32) for name, shape in layer.shapes.items()})
    assert Y.shape == (len(X), layer.width_after(WIDTH))
    assert dX.shape == X.shape
    assert np.isfinite(Y).all()
    assert np.isfinite(dX).all()
    assert X.tobytes() == before


@pytest.mark.parametrize("name", LOSSES)
@given(Z=numbers(2.0**50), seed=st.integers(0, 9))
@settings(ANYTHING, max_examples=20)
def test_a_loss_is_never_nan_or_negative_and_its_predictions_are_finite(name, Z, seed):
    loss = as_loss(name)
    y = targets_for(name, len(Z), WIDTH, np.random.default_rng(seed))
    value, dZ = loss(Z, loss.targets(y, WIDTH, np.float32))
    assert value >= 0
    assert dZ.shape == Z.shape
    assert not np.isnan(dZ).any()
    assert np.isfinite(loss.predict(Z)).all()


@given(rows=numbers(2.0**127), seed=st.integers(0, 9), activation=st.sampled_from(sorted(ACTIVATIONS)))
@ANYTHING
def test_finite_rows_have_finite_predictions_or_an_error_that_names_the_layer(rows, seed, activation):
    net = mlp(WIDTH, 8, 8, 2, activation=activation, loss="cross_entropy", seed=seed)
    net.theta = 10 * net.theta
    with allowing(ValueError, r"layer \d"):
        assert np.isfinite(net(rows)).all()


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
def test_training_leaves_finite_weights_or_reports_where_it_diverged(
    inputs, targets, rate, epochs, n, batch_size, optimizer, seed
):
    rng = np.random.default_rng(seed)
    rows, y = rng.uniform(-1, 1, (n, 3)) * 10.0**inputs, rng.uniform(-1, 1, n) * 10.0**targets
    net = mlp(3, 4, 1, seed=seed)
    with allowing(DivergenceError, r"epoch \d, batch \d+: .*(layer|loss|gradient|weights)"):
        history = train(net, rows, y, epochs=epochs, batch_size=batch_size, optimizer=optimizer(10.0**rate))
        assert np.isfinite(history.loss).all()
    assert np.isfinite(net.theta).all()
    with allowing(ValueError, "float32"):
        assert np.isfinite(net(rows)).all()
