"""Predictions of a table's model with 20 numeric columns: one row, 150 rows, and a million rows of a CSV file.

The default classifier, an ensemble, and the small network distilled from it: in Python, exported as C and as
JavaScript, and by the command `chainrule predict`. Beside them, scikit-learn's HistGradientBoosting.
"""

import ctypes
import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from shutil import which
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from chainrule import TabularClassifier
from chainrule.export import to_c, to_js
from harness import interleaved, machine, present, publish, seconds, table

N_COLUMNS, STREAMED = 20, 1_000_000
ROWS = {1: 50, 150: 10}
"""Rows per call -> calls per round, of which the median counts."""
PATIENCE, STREAM_ROUNDS = 300, 3
"""Seconds after which a stream is not repeated, and how often it is otherwise."""

LIBRARY = """
#define MODEL_IMPLEMENTATION
#include "model.h"
void predict(const double *x, float *out, int n)
{
    for (int i = 0; i < n; i++) model_predict(x + i * MODEL_N_IN, out + i * MODEL_N_OUT);
}
"""
SCRIPT = """
const [{predictProba}, {readFileSync}] = [await import(process.argv[2]), await import("node:fs")]
const [rows, counts] = JSON.parse(readFileSync(0, "utf8"))
const times = {}
for (const [n, calls] of Object.entries(counts)) {
  const part = rows.slice(0, n), measured = []
  for (let round = 0; round < 30 * calls; round++) {
    const start = process.hrtime.bigint()
    for (const row of part) predictProba(row)
    measured.push(Number(process.hrtime.bigint() - start) / 1e9)
  }
  times[n] = measured.sort((a, b) => a - b)[measured.length >> 1]
}
console.log(JSON.stringify(times))
"""
TREES = """
import pickle, sys
from pathlib import Path
import polars as pl
model, rows, out = sys.argv[1:]
X = pl.read_csv(rows).to_numpy()
pl.DataFrame({"y": pickle.loads(Path(model).read_bytes()).predict(X)}).write_csv(out)
"""


def fitted():
    """Return our predictors and the trees, fitted to the same rows, and the names of the columns."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, N_COLUMNS))
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(N_COLUMNS)])
    whole = TabularClassifier(epochs=5, random_state=0).fit(frame, y).predictor_
    return {"default": whole, "distilled": whole.distil(epochs=5)}, HistGradientBoostingClassifier().fit(X, y)


# One row and 150.


def python_calls(predictors, trees):
    """Return the functions to time, which take the name of a form of the table's first rows."""
    calls = {f"{name}, {form}": (model.predict, form) for name, model in predictors.items() for form in FORMS}
    return calls | {"HistGradientBoosting, array": (trees.predict, "array")}


FORMS = {
    "array": lambda frame: frame.to_numpy(),
    "dict": lambda frame: {name: frame[name].to_numpy() for name in frame},
    "list of dicts": lambda frame: frame.to_dict("records"),
    "pandas": lambda frame: frame,
    "polars": lambda frame: pl.DataFrame({name: frame[name].to_numpy() for name in frame}),
}


def in_python(predictors, trees, frame):
    """Return the median seconds of a call by contestant and number of rows."""

    def timed(call, rows, repeats):
        return lambda: median(seconds(lambda: call(rows)) for _ in range(repeats))

    times = {}
    for n, repeats in ROWS.items():
        contestants = {
            name: timed(call, FORMS[form](frame[:n]), repeats)
            for name, (call, form) in python_calls(predictors, trees).items()
        }
        for name, value in interleaved(contestants, rounds=3).items():
            times.setdefault(name, {})[n] = value
    return times


def in_c(name, model, frame):
    """Return the seconds of the exported C, called through ctypes, by number of rows."""
    to_c(model, Path("model.h"))
    Path("model.c").write_text(LIBRARY)
    library = Path(f"{name}.so").resolve()
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "model.c", "-o", library, "-lm"], check=True)
    function = ctypes.CDLL(library).predict
    X, P = np.ascontiguousarray(frame, np.float64), np.empty((len(frame), 2), np.float32)

    def predict(n):
        function(ctypes.c_void_p(X.ctypes.data), ctypes.c_void_p(P.ctypes.data), n)

    predict(len(X))
    np.testing.assert_allclose(P, model.predict_proba(frame), atol=1e-4)
    return {n: median(seconds(lambda: predict(n)) for _ in range(30 * calls)) for n, calls in ROWS.items()}  # noqa: B023


def in_javascript(name, model, frame):
    """Return the seconds of the exported JavaScript in Node.js, which takes arrays, by number of rows."""
    path = Path(f"model_{name}.mjs")
    to_js(model, path)
    Path("measure.mjs").write_text(SCRIPT)
    rows = json.dumps([frame.to_numpy().tolist(), ROWS])
    command = ["node", "measure.mjs", f"./{path}"]
    done = subprocess.run(command, input=rows, capture_output=True, text=True, check=True)
    return {int(n): value for n, value in json.loads(done.stdout).items()}


def exported(predictors, frame):
    """Return the seconds of the exported files, by contestant and number of rows."""
    times = {}
    for name, model in predictors.items():
        if which("cc"):
            times[f"{name}, C"] = in_c(name, model, frame)
        if which("node"):
            times[f"{name}, JavaScript"] = in_javascript(name, model, frame)
    return times


# A million rows.


def streamed(predictors, trees, columns):
    """Return the seconds in which a new process reads a CSV file, predicts it and writes the predictions."""
    rng = np.random.default_rng(2)
    rows = pl.DataFrame(dict(zip(columns, rng.normal(size=(N_COLUMNS, STREAMED)).round(4))))
    rows.write_csv("rows.csv")
    Path("trees.pickle").write_bytes(pickle.dumps(trees))
    commands = {"HistGradientBoosting": ["-c", TREES, "trees.pickle", "rows.csv", "out.csv"]}
    for name, model in predictors.items():
        model.save(f"{name}.chainrule")
        commands[name] = ["-m", "chainrule", "predict", f"{name}.chainrule", "rows.csv", "--out", "out.csv"]
    times = {name: [] for name in commands}
    for _ in range(STREAM_ROUNDS):
        for name, command in commands.items():
            if sum(times[name]) < PATIENCE:
                run = lambda: subprocess.run([sys.executable, *command], check=True, capture_output=True)  # noqa: B023, E731
                times[name].append(seconds(run))
    return {name: median(values) for name, values in times.items()}


def main():
    warnings.filterwarnings("ignore")
    predictors, trees = fitted()
    columns = [column.name for column in predictors["default"].encoder.columns]
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(max(ROWS), N_COLUMNS)), columns=columns)
    folder = os.getcwd()
    with TemporaryDirectory() as scratch:
        os.chdir(scratch)
        times = in_python(predictors, trees, frame) | exported(predictors, frame)
        streams = streamed(predictors, trees, columns)
        os.chdir(folder)
    n_networks = len(predictors["default"].ensemble.networks)
    one_row = [[name, f"{of[1] * 1e6:,.1f}", f"{of[150] * 1e3:,.2f}"] for name, of in times.items()]
    publish(
        "answers",
        "Predictions of a model with 20 numeric columns",
        machine(present("numpy", "pandas", "polars", "scikit-learn")),
        f"`default` is an ensemble of {n_networks} networks, `distilled` one small network that was taught by it:",
        table(["model, form of the rows", "one row, us", "150 rows, ms"], one_row),
        f"{STREAMED:,} rows of a CSV file, read, predicted and written by a new process:",
        table(
            ["model", "seconds", "rows per second"],
            [[name, f"{value:,.1f}", f"{STREAMED / value:,.0f}"] for name, value in streams.items()],
        ),
    )


if __name__ == "__main__":
    main()
