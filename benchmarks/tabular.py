"""Scores of the tabular estimators at their defaults on fixed splits, divided by the scores of other models.

Reads `name.csv.gz`, `splits.npz` (row numbers `name/split/train` and `test`) and `peers.csv` (dataset, split_seed,
model, metric, value, fit_s), and `kinds.json` (the categories of each table), from the folder CHAINRULE_DATA; skipped
if that is not set. Also scores prediction intervals and sets of classes on unseen rows, and intervals on scikit-learn's
data sets too. With names of data sets as arguments, only those are run, and nothing is written.
"""

import csv
import json
import os
import sys
from pathlib import Path
from time import process_time

import numpy as np
import polars as pl
from sklearn.datasets import load_diabetes, make_friedman1, make_friedman2, make_friedman3, make_sparse_uncorrelated
from sklearn.model_selection import train_test_split

from chainrule import TabularClassifier, TabularRegressor, metrics
from chainrule.data.tabular import read_columns
from harness import machine, publish, table

CLASSES = {
    "penguins": "species",
    "titanicsurvival": "survived",
    "soybean": "Class",
    "german_credit": "credit_risk",
    "credit_data": "Status",
    "bank_marketing": "y",
    "mlc_churn": "churn",
    "wa_churn": "churn",
    "satimage": "classes",
    "letter": "lettr",
    "adult": "income",
}
NUMBERS = {
    "concrete": "compressive_strength",
    "ames": "price",
    "abalone": "rings",
    "bike_hourly": "bikers",
    "california_housing": "MedHouseVal",
    "diamonds": "price",
    "cps1988": "wage",
}
TARGETS = CLASSES | NUMBERS
PEERS = {
    "sklearn_mlp_pipeline": "scikit-learn's MLP in a pipeline",
    "sklearn_mlp_pipeline_y_standardised": "the same, y standardized",
    "realmlp_td_s": "RealMLP-TD-S",
    "realmlp_td": "RealMLP-TD",
    "hist_gradient_boosting": "HistGradientBoosting",
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
}
KEYS = ("dataset", "split_seed", "model", "metric")
SPLITS = 3
COVERAGE = 0.9
LEVELS = np.arange(1, 100) / 100
OTHERS = {
    "diabetes": lambda: load_diabetes(return_X_y=True),
    "friedman1": lambda: make_friedman1(1000, noise=1.0, random_state=0),
    "friedman2": lambda: make_friedman2(1000, noise=100.0, random_state=0),
    "friedman3": lambda: make_friedman3(1000, noise=0.1, random_state=0),
    "sparse_uncorrelated": lambda: make_sparse_uncorrelated(1000, random_state=0),
}


def numbers(model, X, y):
    """Return the root mean squared error, and the scores of the intervals and quantiles."""
    prediction, interval = model.predict(X), model.predict_interval(X, COVERAGE)
    fifths = metrics.coverage_by_part(y, interval, prediction)
    uncertainty = {
        "coverage": metrics.coverage(y, interval),
        **{f"fifth {k}": share for k, share in enumerate(fifths, 1)},
        "Winkler score": metrics.winkler(y, interval, COVERAGE),
        "CRPS": metrics.crps(y, model.predict_quantiles(X, LEVELS), LEVELS),
    }
    return {"rmse": float(np.sqrt(np.mean((prediction - y) ** 2)))}, uncertainty


def classes(model, X, y):
    """Return the error rate and the log loss, and the scores of the sets of classes."""
    P = model.predict_proba(X)
    k = np.searchsorted(model.classes_, y)
    log_loss = float(-np.log(P[np.arange(len(k)), k]).mean())
    uncertainty = {}
    for name, by_class in (("", False), (" by class", True)):
        sets = model.ensemble_.sets(P, COVERAGE, by_class)
        uncertainty[f"coverage{name}"] = metrics.set_coverage(k, sets)
        uncertainty[f"classes in a set{name}"] = metrics.set_size(sets)
    return {"error": float(np.mean(P.argmax(axis=1) != k)), "logloss": log_loss}, uncertainty


def trained(name, X, y, seed):
    """Return a model fitted with its defaults, and the seconds of CPU time it took."""
    start = process_time()
    model = (TabularClassifier if name in CLASSES else TabularRegressor)(random_state=seed).fit(X, y)
    return model, process_time() - start


def fixed_splits(folder, names):
    """Yield the name, the number of the split, and (columns, target) for training and for testing."""
    splits = np.load(folder / "splits.npz")
    kinds = json.loads((folder / "kinds.json").read_text())
    for name in names:
        frame = pl.read_csv(folder / f"{name}.csv.gz", null_values=[""], infer_schema_length=None)
        if name in kinds:
            frame = frame.with_columns(pl.col(kinds[name]["cat"]).cast(pl.String))  # the other models were told so
        columns = read_columns(frame)
        target = columns.pop(TARGETS[name])
        for split in range(SPLITS):
            parts = [splits[f"{name}/{split}/{part}"] for part in ("train", "test")]
            tables = [({key: values[part] for key, values in columns.items()}, target[part]) for part in parts]
            yield name, split, tables


def score_all(folder, names):
    """Return lists, one entry a split: the scores by (metric, name), the seconds and the uncertainties by name."""
    scores, times, uncertainties = {}, {}, {}
    for name, split, (train, test) in fixed_splits(folder, names):
        model, seconds = trained(name, *train, split)
        results, uncertainty = (classes if name in CLASSES else numbers)(model, *test)
        for metric, value in results.items():
            scores.setdefault((metric, name), []).append(value)
        times.setdefault(name, []).append(seconds)
        uncertainties.setdefault(name, []).append(uncertainty)
        shown = "  ".join(f"{metric} {value:.4f}" for metric, value in results.items())
        print(f"{name:<20}{split}  {shown}  {seconds:.1f} s", flush=True)
    return scores, times, uncertainties


def score_others(uncertainties):
    """Add the scores of the intervals on scikit-learn's tables."""
    for name, load in OTHERS.items():
        X, y = load()
        for split in range(SPLITS):
            X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=split)
            model, _ = trained(name, X_train, y_train, split)
            uncertainties.setdefault(name, []).append(numbers(model, X_test, y_test)[1])


def means(uncertainties, names):
    """Return a table of the scores of the named tables, averaged over splits."""
    shown = {name: runs for name, runs in uncertainties.items() if name in names}
    columns = list(dict.fromkeys(column for runs in shown.values() for column in runs[0]))
    rows = [[name, *(f"{np.mean([run[c] for run in runs]):.3g}" for c in columns)] for name, runs in shown.items()]
    return table(["table", *columns], rows)


def ratio(ours, theirs):
    """Return the geometric mean of our scores divided by theirs, over the splits that the other model was run on."""
    pairs = [(a, b) for a, b in zip(ours, theirs) if b is not None and a > 0 and b > 0]
    return float(np.exp(np.mean([np.log(a / b) for a, b in pairs]))) if pairs else None


def comparison(folder, scores, times):
    """Return the rows of the table of scores and ratios."""
    with open(folder / "peers.csv") as file:
        peers = {tuple(r[key] for key in KEYS): float(r["value"]) for r in csv.DictReader(file)}
    rows, ratios = [], {}
    for (metric, name), values in scores.items():
        cells = []
        for peer in PEERS:
            found = ratio(values, [peers.get((name, str(split), peer, metric)) for split in range(SPLITS)])
            if found is not None and name != "penguins":  # 86 test rows: a ratio of one error to two
                ratios.setdefault((metric, peer), []).append(found)
            cells.append("" if found is None else f"{found:.3f}")
        rows.append([f"{name}, {metric}", f"{np.mean(values):.4g}", *cells, f"{np.mean(times[name]):.1f}"])
    for metric in dict.fromkeys(metric for metric, _ in scores):
        means = [ratios.get((metric, peer)) for peer in PEERS]
        shown = ["" if r is None else f"{np.exp(np.mean(np.log(r))):.3f} ({len(r)})" for r in means]
        rows.append([f"**{metric}**", "", *shown, ""])
    return rows


def main(names):
    if not os.environ.get("CHAINRULE_DATA"):
        print("skipped: set CHAINRULE_DATA to the folder of the tables")
        return
    folder = Path(os.environ["CHAINRULE_DATA"])
    scores, times, uncertainties = score_all(folder, names or TARGETS)
    if not names:
        score_others(uncertainties)
    header = ["table, metric", "chainrule", *(f"/ {peer}" for peer in PEERS.values()), "seconds"]
    parts = [
        machine(["chainrule", "numpy"]),
        f"Means over {SPLITS} splits, seconds of CPU time. Ratios are chainrule's score divided by the other model's, "
        "averaged geometrically over the splits that it was run on: RealMLP-TD, LightGBM and CatBoost on the first "
        "one; below 1 is better. The last rows are geometric means over the tables but penguins, in brackets how many.",
        table(header, comparison(folder, scores, times)),
        "The 90 % prediction intervals on unseen rows: coverage, overall and in fifths of the rows in the order of the "
        "predictions, Winkler score, and CRPS of 99 quantiles:",
        means(uncertainties, [*NUMBERS, *OTHERS]),
        "The 90 % prediction sets on unseen rows, with the coverage on average over rows and over those of each class:",
        means(uncertainties, CLASSES),
    ]
    if names:
        print("\n\n".join(parts))
    else:
        publish("tabular", "Tables", *parts)


if __name__ == "__main__":
    main(sys.argv[1:])
