"""Prediction latency of small tables in every form, relative to scikit-learn's HistGradientBoosting in the same run."""

import warnings
from statistics import median

import numpy as np
import pandas as pd
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from chainrule import TabularClassifier, TabularRegressor
from harness import interleaved, machine, publish, seconds, table

ROWS = (1, 30, 150)
CALLS = 10
"""Calls per round, of which the median counts."""


def numbers(n_columns):
    rng = np.random.default_rng(0)
    return {f"x{j}": rng.normal(size=150) for j in range(n_columns)}


def mixed():
    rng = np.random.default_rng(0)
    cells = {f"x{j}": np.where(rng.random(150) < 0.1, np.nan, rng.normal(size=150)) for j in range(6)}
    cells |= {f"color{j}": rng.choice(["red", "green", "blue"], 150).astype(object) for j in range(4)}
    return cells | {"day": np.datetime64("2024-01-01") + rng.integers(0, 400, 150).astype("m8[D]")}


TABLES = {"4 numbers": numbers(4), "20 numbers": numbers(20), "11 mixed columns": mixed()}
MODELS = {
    "classifier": (TabularClassifier, HistGradientBoostingClassifier),
    "regressor": (TabularRegressor, HistGradientBoostingRegressor),
}


def forms_of(cells):
    """Return the table in each of its forms."""
    frame = pd.DataFrame(cells)
    forms = {
        "array": frame.to_numpy(),
        "pandas": frame,
        "polars": pl.DataFrame({name: values.tolist() for name, values in cells.items()}, strict=False),
        "dict": cells,
        "list of dicts": frame.astype(object).where(frame.notna(), None).to_dict("records"),
    }
    if forms["array"].dtype == object:
        del forms["array"]
    return forms


def for_trees(frame):
    """Return a table as HistGradientBoosting takes it."""
    return pd.DataFrame(
        {
            name: frame[name].astype("category") if frame[name].dtype.kind == "O" else pd.to_numeric(frame[name])
            for name in frame
        }
    )


def times_of(cells, ours, trees, n):
    """Return the median time of predicting n rows in each form, and that of the trees."""
    first = {name: values[:n] for name, values in cells.items()}
    frame = for_trees(pd.DataFrame(first))
    calls = {"HistGradientBoosting": lambda: trees.predict(frame)}
    calls |= {form: lambda rows=rows: ours.predict(rows) for form, rows in forms_of(first).items()}

    def timed(call):
        return lambda: median(seconds(call) for _ in range(CALLS))

    return interleaved({name: timed(call) for name, call in calls.items()}, rounds=3)


def main():
    warnings.filterwarnings("ignore")
    rows = []
    for what, cells in TABLES.items():
        frame = pd.DataFrame(cells)
        x = np.nan_to_num(cells["x0"])
        for kind, (ours, trees) in MODELS.items():
            y = x > 0 if kind == "classifier" else x
            model = ours(epochs=2, random_state=0).fit(frame, y)
            boosted = trees(categorical_features="from_dtype").fit(for_trees(frame), y)
            for n in ROWS:
                times = times_of(cells, model, boosted, n)
                base = times.pop("HistGradientBoosting")
                shown = [f"{times[f] * 1e3:.2f} ({times[f] / base:.1f})" if f in times else "" for f in FORMS]
                rows.append([f"{what}, {kind}", f"{n}", f"{base * 1e3:.2f}", *shown])
    publish(
        "small_tables",
        "Prediction latency of small tables",
        machine(["numpy", "pandas", "polars", "scikit-learn"]),
        "Milliseconds per call of `predict`, and the ratio to HistGradientBoosting with 100 trees:",
        table(["model", "rows", "HistGradientBoosting", *FORMS], rows),
    )


FORMS = ("array", "pandas", "polars", "dict", "list of dicts")

if __name__ == "__main__":
    main()
