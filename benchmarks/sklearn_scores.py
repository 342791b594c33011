"""Test scores of MLPClassifier and MLPRegressor next to scikit-learn's: same data, same hyperparameters, ten seeds.

The data are scikit-learn's bundled data sets and, if CHAINRULE_DATA is set, three CSV files from that folder.
"""

import os
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import sklearn.neural_network as theirs
from sklearn import datasets
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from chainrule import MLPClassifier, MLPRegressor

SEEDS = 10
MAX_ROWS = 3000
FILES = {"abalone": ("rings", True), "credit_data": ("Status", False), "bank_marketing": ("y", False)}
SOLVERS = {"adam": {}, "sgd": {"learning_rate_init": 0.01}, "lbfgs": {"max_iter": 50}}


def bundled():
    for name in ("digits", "breast_cancer", "wine", "diabetes"):
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        yield name, X, y, name == "diabetes"


def from_folder(folder: Path):
    numeric, categorical = make_column_selector(dtype_include="number"), make_column_selector(dtype_exclude="number")
    for name, (target, regression) in FILES.items():
        table = pl.read_csv(folder / f"{name}.csv.gz", null_values=[""]).to_pandas()[:MAX_ROWS]
        encode = make_column_transformer(
            (SimpleImputer(strategy="median"), numeric),
            (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(sparse_output=False)), categorical),
        )
        yield name, encode.fit_transform(table.drop(columns=target)), table[target].to_numpy(), regression


def scores(name, X, y, regression, solver, options):
    kind = "MLPRegressor" if regression else "MLPClassifier"
    if regression:
        y = (y - y.mean()) / y.std()
    ours = {"MLPRegressor": MLPRegressor, "MLPClassifier": MLPClassifier}[kind]
    results = {"ours": [], "theirs": []}
    for seed in range(SEEDS):
        parts = train_test_split(X, y, test_size=0.3, random_state=seed, stratify=None if regression else y)
        for who, cls in (("ours", ours), ("theirs", getattr(theirs, kind))):
            model = make_pipeline(StandardScaler(), cls(solver=solver, random_state=seed, **options))
            results[who].append(model.fit(parts[0], parts[2]).score(parts[1], parts[3]))
    a, b = np.array(results["ours"]), np.array(results["theirs"])
    error = b.std(ddof=1) / np.sqrt(SEEDS)
    verdict = "ok" if a.mean() >= b.mean() - error else "BEHIND"
    print(f"{name:<16}{solver:<8}{a.mean():>8.4f}{b.mean():>9.4f}{error:>10.4f}  {verdict}", flush=True)


def main():
    warnings.filterwarnings("ignore")
    folder = os.environ.get("CHAINRULE_DATA")
    print(f"{'data set':<16}{'solver':<8}{'ours':>8}{'theirs':>9}{'std err':>10}")
    for data in [*bundled(), *(from_folder(Path(folder)) if folder else ())]:
        for solver, options in SOLVERS.items():
            scores(*data, solver, options)


if __name__ == "__main__":
    main()
