"""Scores of the tabular estimators at their defaults on fixed splits, divided by the scores of other models.

Reads `name.csv.gz`, `splits.npz` (row numbers `name/split/train` and `test`) and `peers.csv` (dataset, split_seed,
model, metric, value, fit_s) from the folder CHAINRULE_DATA; skipped if that is not set. Also measures the coverage of
prediction intervals on unseen rows, on these regression data sets and on scikit-learn's. With names of data sets as
arguments, only those are run, and nothing is written.
"""

import csv
import os
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl
from sklearn.datasets import load_diabetes, make_friedman1, make_friedman2, make_friedman3, make_sparse_uncorrelated
from sklearn.model_selection import train_test_split

from chainrule import TabularClassifier, TabularRegressor
from chainrule.data.tabular import read_columns
from harness import machine, publish, table

CLASSES = {
    "penguins": "species",
    "credit_data": "Status",
    "bank_marketing": "y",
    "letter": "lettr",
    "adult": "income",
}
NUMBERS = {
    "concrete": "compressive_strength",
    "abalone": "rings",
    "bike_hourly": "bikers",
    "california_housing": "MedHouseVal",
    "diamonds": "price",
}
TARGETS = CLASSES | NUMBERS
PEERS = {
    "sklearn_mlp_pipeline": "scikit-learn's MLP in a pipeline",
    "sklearn_mlp_pipeline_y_standardised": "the same, y standardized",
    "realmlp_td_s": "RealMLP-TD-S",
    "hist_gradient_boosting": "HistGradientBoosting",
}
SPLITS = 3
COVERAGE = 0.9
OTHERS = {
    "diabetes": lambda: load_diabetes(return_X_y=True),
    "friedman1": lambda: make_friedman1(1000, noise=1.0, random_state=0),
    "friedman2": lambda: make_friedman2(1000, noise=100.0, random_state=0),
    "friedman3": lambda: make_friedman3(1000, noise=0.1, random_state=0),
    "sparse_uncorrelated": lambda: make_sparse_uncorrelated(1000, random_state=0),
}


def numbers(model, X, y):
    """Return the root mean squared error and the coverage of the intervals."""
    low, high = model.predict_interval(X, COVERAGE).T
    inside = float(np.mean((low <= y) & (y <= high)))
    return {"rmse": float(np.sqrt(np.mean((model.predict(X) - y) ** 2)))}, inside


def classes(model, X, y):
    """Return the error rate and the log loss, and None for the coverage."""
    P = model.predict_proba(X)
    k = np.searchsorted(model.classes_, y)
    log_loss = float(-np.log(P[np.arange(len(k)), k]).mean())
    return {"error": float(np.mean(P.argmax(axis=1) != k)), "logloss": log_loss}, None


def trained(name, X, y, seed):
    """Return a model fitted with its defaults, and the seconds it took."""
    start = perf_counter()
    model = (TabularClassifier if name in CLASSES else TabularRegressor)(random_state=seed).fit(X, y)
    return model, perf_counter() - start


def fixed_splits(folder, names):
    """Yield the name, the number of the split, and (columns, target) for training and for testing."""
    splits = np.load(folder / "splits.npz")
    for name in names:
        frame = pl.read_csv(folder / f"{name}.csv.gz", null_values=[""], infer_schema_length=None)
        columns = read_columns(frame)
        target = columns.pop(TARGETS[name])
        for split in range(SPLITS):
            parts = [splits[f"{name}/{split}/{part}"] for part in ("train", "test")]
            yield (
                name,
                split,
                [({key: values[part] for key, values in columns.items()}, target[part]) for part in parts],
            )


def main(names):
    folder = os.environ.get("CHAINRULE_DATA")
    if not folder:
        print("skipped: set CHAINRULE_DATA to the folder of the tables")
        return
    folder = Path(folder)
    with open(folder / "peers.csv") as file:
        theirs = {(r["dataset"], r["split_seed"], r["model"], r["metric"]): r for r in csv.DictReader(file)}
    scores, times, coverages = {}, {}, {}
    for name, split, (train, test) in fixed_splits(folder, names or TARGETS):
        model, seconds = trained(name, *train, split)
        results, coverage = (classes if name in CLASSES else numbers)(model, *test)
        for metric, value in results.items():
            scores.setdefault((metric, name), []).append(value)
        times.setdefault(name, []).append(seconds)
        if coverage is not None:
            coverages.setdefault(name, []).append(coverage)
        shown = "  ".join(f"{metric} {value:.4f}" for metric, value in results.items())
        print(f"{name:<20}{split}  {shown}  {seconds:.1f} s", flush=True)
    rows, ratios = [], {}
    for (metric, name), values in scores.items():
        row = [f"{name}, {metric}", f"{np.mean(values):.4g}"]
        for peer in PEERS:
            others = [theirs.get((name, str(split), peer, metric)) for split in range(SPLITS)]
            pairs = [(v, float(other["value"])) for v, other in zip(values, others) if other is not None]
            pairs = [(ours, other) for ours, other in pairs if other > 0 and ours > 0]
            if pairs:
                ratio = float(np.exp(np.mean([np.log(ours / other) for ours, other in pairs])))
                ratios.setdefault((metric, peer), []).append(ratio)
                row.append(f"{ratio:.3f}")
            else:
                row.append("")
        rows.append([*row, f"{np.mean(times[name]):.1f}"])
    for metric in dict.fromkeys(metric for metric, _ in scores):
        means = [ratios.get((metric, peer)) for peer in PEERS]
        rows.append(
            [f"**{metric}**", "", *("" if r is None else f"{np.exp(np.mean(np.log(r))):.3f}" for r in means), ""]
        )
    if not names:
        for name, load in OTHERS.items():
            X, y = load()
            for split in range(SPLITS):
                X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=split)
                model, _ = trained(name, X_train, y_train, split)
                coverages.setdefault(name, []).append(numbers(model, X_test, y_test)[1])
    covered = table(["table", "coverage"], [[n, f"{np.mean(c):.3f}"] for n, c in coverages.items()])
    header = ["table, metric", "chainrule", *(f"/ {peer}" for peer in PEERS.values()), "seconds"]
    parts = [
        machine(["chainrule", "numpy"]),
        f"Means over {SPLITS} splits, on one processor. Ratios are chainrule's score divided by the other model's, "
        "averaged geometrically; below 1 is better.",
        table(header, rows),
        "Coverage of the 90 % prediction intervals on unseen rows:",
        covered,
    ]
    if names:
        print("\n\n".join(parts))
    else:
        publish("tabular", "Tables", *parts)


if __name__ == "__main__":
    main(sys.argv[1:])
