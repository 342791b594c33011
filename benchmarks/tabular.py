"""Scores of the tabular estimators at their defaults beside what peers scored, on fixed splits: ratios, ours to theirs.

Reads `name.csv.gz`, `splits.npz` (row numbers `name/split/train` and `test`) and `peers.csv` (dataset, split_seed,
model, metric, value, fit_s) from the folder CHAINRULE_DATA, and says so where it is not set. Data sets may be named.
"""

import csv
import os
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from chainrule import TabularClassifier, TabularRegressor
from chainrule.data.tabular import read_columns

TARGETS = {
    "penguins": "species",
    "credit_data": "Status",
    "bank_marketing": "y",
    "letter": "lettr",
    "adult": "income",
    "concrete": "compressive_strength",
    "abalone": "rings",
    "bike_hourly": "bikers",
    "california_housing": "MedHouseVal",
    "diamonds": "price",
}
REGRESSIONS = ("concrete", "abalone", "bike_hourly", "california_housing", "diamonds")
PEERS = ("sklearn_mlp_pipeline", "sklearn_mlp_pipeline_y_standardised", "realmlp_td_s", "hist_gradient_boosting")
SPLITS = 3


def our_scores(name, split, columns, target, rows):
    train, test = (({key: values[part] for key, values in columns.items()}, target[part]) for part in rows)
    start = perf_counter()
    if name in REGRESSIONS:
        model = TabularRegressor(random_state=split).fit(*train)
        seconds = perf_counter() - start
        return {"rmse": float(np.sqrt(np.mean((model.predict(test[0]) - test[1]) ** 2)))}, seconds
    model = TabularClassifier(random_state=split).fit(*train)
    seconds = perf_counter() - start
    P = model.predict_proba(test[0])
    y = np.searchsorted(model.classes_, test[1])
    return {
        "error": float(np.mean(P.argmax(axis=1) != y)),
        "logloss": float(-np.log(P[np.arange(len(y)), y]).mean()),
    }, seconds


def main(names):
    folder = os.environ.get("CHAINRULE_DATA")
    if not folder:
        print("skipped: CHAINRULE_DATA names no folder of tables")
        return
    splits = np.load(Path(folder) / "splits.npz")
    with open(Path(folder) / "peers.csv") as file:
        theirs = {(r["dataset"], r["split_seed"], r["model"], r["metric"]): r for r in csv.DictReader(file)}
    ratios = {}
    for name in names or TARGETS:
        frame = pl.read_csv(Path(folder) / f"{name}.csv.gz", null_values=[""], infer_schema_length=None)
        columns = read_columns(frame)
        target = columns.pop(TARGETS[name])
        for split in range(SPLITS):
            rows = splits[f"{name}/{split}/train"], splits[f"{name}/{split}/test"]
            scores, seconds = our_scores(name, split, columns, target, rows)
            told = "  ".join(f"{metric} {value:.4f}" for metric, value in scores.items())
            print(f"{name:<20}{split}  {told}  {seconds:.1f} s", flush=True)
            for metric, value in scores.items():
                for peer in PEERS:
                    row = theirs.get((name, str(split), peer, metric))
                    if row is not None and float(row["value"]) > 0:
                        ratios.setdefault((peer, metric), {}).setdefault(name, []).append(value / float(row["value"]))
    for (peer, metric), by_name in sorted(ratios.items()):
        each = {name: float(np.exp(np.mean(np.log(values)))) for name, values in by_name.items()}
        mean = float(np.exp(np.mean(np.log(list(each.values())))))
        print(f"{metric:<8} / {peer:<36}{mean:.3f}  ", "  ".join(f"{name} {ratio:.2f}" for name, ratio in each.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
