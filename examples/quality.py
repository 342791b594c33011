"""Evaluating a classifier on a table
==================================

A model learns to recognize penguin species from a table; the figures show how good it
is, and why.

The rows are split first, and the model is evaluated on the third that it was not
trained on. The figures show the confusion matrix, ROC curves, the calibration of the
probabilities, permutation importance, and the partial dependence of the predictions on
the most important column. Bill length separates the Adelies, whose bills are short,
from the other species. `chainrule.insight` computes all values.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from chainrule.data.targets import fit_target
from chainrule.datasets import penguins
from chainrule.insight.dependence import partial_dependence
from chainrule.insight.evaluation import permutation_importance
from chainrule.model.fitting import fit_predictor
from chainrule.viz import calibration, confusion, importance, roc
from chainrule.viz import partial_dependence as draw_dependence

# %%
# A table
# -------
#
# The penguins of the Palmer archipelago are part of the library. A table is a dict of
# columns; a missing measurement is NaN. Rows are taken from all columns at once.


def take(table, rows):
    return {name: column[rows] for name, column in table.items()}


# %%
# Fit on two thirds, judge on the rest
# ------------------------------------
#
# The model scales the columns, fills in missing values and encodes categories, all as
# learned from its training rows. Permutation importance asks how much worse the
# predictions become if one column is shuffled.


def main(out="examples/output", seed=0):
    table = penguins()
    species = table.pop("species")
    target = fit_target("species", species)
    order = np.random.default_rng(seed).permutation(len(species))
    training, held_out = np.split(order, [2 * len(order) // 3])
    predictor = fit_predictor(
        take(table, training), species[training], target, seed=seed
    ).predictor
    test, y = take(table, held_out), target.encode(species[held_out])
    P = predictor.predict_proba(test)
    accuracy = float(np.mean(P.argmax(axis=1) == y))
    result = permutation_importance(predictor, test, species[held_out])
    print(f"accuracy on {len(y)} held-out penguins: {accuracy:.3f}")
    print(f"most important columns: {', '.join(result.ranking[:3])}")
    draw(
        y,
        P,
        target.labels,
        result,
        partial_dependence(predictor, test, result.ranking[0]),
        Path(out),
    )
    return {"accuracy": accuracy, "ranking": result.ranking}


# %%
# How good, and why
# -----------------
#
# The first figure is about the predictions, the second about the columns behind them.


def draw(y, P, labels, result, dependence, out):
    out.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
    confusion(y, P, labels, axes[0])
    roc(y, P, labels, axes[1])
    calibration(y, P, labels, axes[2])
    figure.savefig(out / "quality.png", dpi=120)
    plt.close(figure)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    importance(result, axes[0])
    draw_dependence(dependence, axes[1], "partial dependence")
    figure.savefig(out / "quality_columns.png", dpi=120)
    plt.close(figure)


# %%
# Result
# ------
#
# Nearly all penguins that the model has not seen are recognized, mostly by their bills.

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out",
        default="examples/output",
        help="folder for the figures; default: %(default)s",
    )
    main(parser.parse_args().out)
