"""Scores on synthetic tables of unusual shapes: few rows, many columns, a rare class, a trend that goes on.

Each table is drawn anew for each seed; the scores are those of rows that no model was trained on.
"""

import warnings

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import average_precision_score, log_loss, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from chainrule import TabularClassifier, TabularRegressor
from harness import machine, publish, table

SEEDS = range(3)


def frame(X):
    return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])


def few_rows(rng):
    X = rng.normal(size=(1_030, 4))
    return frame(X), X @ [1, 2, -1, 0.5] + 0.3 * rng.normal(size=1_030), 30


def beyond_the_range(rng):
    X = rng.uniform(-1, 1, (1_500, 4))
    X[500:] *= 1.5
    return frame(X), X @ [3, 2, -1, 0.5] + 0.2 * rng.normal(size=1_500), 500


def a_trend_that_goes_on(rng):
    X = np.column_stack([np.linspace(0, 1, 1_000), rng.normal(size=(1_000, 3))])
    return frame(X), 5 * X[:, 0] + np.sin(3 * X[:, 1]) + X[:, 2] + 0.3 * rng.normal(size=1_000), 800


def two_hundred_shops(rng):
    shop, x = rng.integers(0, 200, 4_000), rng.normal(size=4_000)
    y = rng.normal(0, 1.6, 200)[shop] + x + 0.3 * rng.normal(size=4_000)
    return pd.DataFrame({"shop": [f"shop {k}" for k in shop], "x": x}), y, 2_000


def more_columns_than_rows(rng):
    X = rng.normal(size=(1_200, 2_000))
    return frame(X), happens(2 * X[:, :5] @ [1, -1, 1, 0.8, -0.8], rng), 200


def a_thousand_postcodes(rng):
    code = rng.integers(0, 1_000, 10_000)
    x = rng.normal(size=10_000)
    y = happens(rng.normal(0, 1.2, 1_000)[code] + 0.5 * x, rng)
    return pd.DataFrame({"postcode": [f"D-{10_000 + k}" for k in code], "x": x}), y, 5_000


def rare_cases(rng):
    X = rng.normal(size=(20_000, 12))
    signal = 1.2 * X[:, 0] + X[:, 1] * X[:, 2] + np.sin(2 * X[:, 3]) + 0.7 * X[:, 4] ** 2
    return frame(X), happens(signal - 6.3, rng), 6_000


def happens(log_odds, rng):
    return (rng.random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))).astype(int)


REGRESSION = (few_rows, beyond_the_range, a_trend_that_goes_on, two_hundred_shops)
CLASSIFICATION = (more_columns_than_rows, a_thousand_postcodes, rare_cases)


def prepared(model, X):
    """Return a linear model behind scaled numbers and one column a category."""
    text = X.select_dtypes(exclude="number").columns.tolist()
    encoder = OneHotEncoder(handle_unknown="ignore")
    return make_pipeline(make_column_transformer((encoder, text), remainder=StandardScaler()), model)


def for_trees(X):
    """Return a table as gradient-boosted trees take it, with at most 255 categories: those of others become numbers."""

    def column(cells):
        if pd.api.types.is_numeric_dtype(cells):
            return cells
        category = cells.astype("category")
        return category if len(category.cat.categories) <= 255 else category.cat.codes

    return X.apply(column)


def lasso():
    return LogisticRegressionCV(penalty="l1", solver="liblinear", Cs=6, scoring="neg_log_loss")


def scores_of(make, metrics, linear, boosted, ours):
    """Return the mean score of each model for each metric, over the seeds."""
    scores = []
    for seed in SEEDS:
        X, y, n = make(np.random.default_rng(seed))
        models = {
            "chainrule": (ours(random_state=seed), X),
            "linear": (prepared(linear(), X), X),
            "trees": (boosted(categorical_features="from_dtype", random_state=seed), for_trees(X)),
        }
        for model, inputs in models.values():
            model.fit(inputs[:n], y[:n])
            answer = model.predict_proba(inputs[n:])[:, 1] if hasattr(model, "predict_proba") else None
            answer = model.predict(inputs[n:]) if answer is None else answer
            scores.append([metric(y[n:], answer) for metric in metrics.values()])
    return np.reshape(scores, (len(SEEDS), 3, len(metrics))).mean(0)


def main():
    warnings.filterwarnings("ignore")
    rows = []
    for makes, metrics, models in (
        (REGRESSION, {"RMSE": root_mean_squared_error}, (RidgeCV, HistGradientBoostingRegressor, TabularRegressor)),
        (
            CLASSIFICATION,
            {"log loss": log_loss, "average precision": average_precision_score},
            (lasso, HistGradientBoostingClassifier, TabularClassifier),
        ),
    ):
        for make in makes:
            X, _, n = make(np.random.default_rng(0))
            scores = scores_of(make, metrics, *models)
            for metric, values in zip(metrics, scores.T, strict=True):
                name = make.__name__.replace("_", " ")
                rows.append([f"{name}, {metric}", f"{n:,}", f"{X.shape[1]:,}", *(f"{value:.3f}" for value in values)])
                print(rows[-1], flush=True)
    publish(
        "unusual_tables",
        "Unusual tables",
        machine(["chainrule", "numpy", "scikit-learn"]),
        "Means over three draws; the rows are those of the training. The linear model is ridge regression or "
        "logistic regression with an L1 penalty, chosen by cross-validation, the trees are HistGradientBoosting:",
        table(["table, metric", "rows", "columns", "chainrule", "linear", "trees"], rows),
    )


if __name__ == "__main__":
    main()
