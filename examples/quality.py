"""How good is it, and why
=======================

Which penguin is it? A network learns from a table, and its pictures say how far to trust it.

The rows are parted first: the network never sees the third that it is judged on. Which class was taken for which, how
sure one can be of a probability, what shuffling a column costs, and how the answers follow one column: the bill's
length tells Adelies, whose bills are short, from the others. All numbers are those of `chainrule.insight`.
"""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from chainrule.data.reading import read_columns
from chainrule.data.targets import fit_target
from chainrule.insight.evaluation import partial_dependence, permutation_importance
from chainrule.model.fitting import fit_predictor
from chainrule.viz import calibration, confusion, importance, roc
from chainrule.viz import partial_dependence as draw_dependence


def read_csv(path):
    lines = [line.split(",") for line in Path(path).read_text().splitlines()]
    return read_columns([dict(zip(lines[0], line, strict=True)) for line in lines[1:]])


def part(table, rows):
    return {name: column[rows] for name, column in table.items()}


def main(path="examples/data/penguins.csv", out="examples/output", seed=0):
    table = read_csv(path)
    species = table.pop("species")
    target = fit_target("species", species)
    order = np.random.default_rng(seed).permutation(len(species))
    seen, unseen = np.split(order, [2 * len(order) // 3])
    predictor = fit_predictor(part(table, seen), species[seen], target, seed=seed).predictor
    test, y = part(table, unseen), target.encode(species[unseen])
    P = predictor.predict_proba(test)
    accuracy = float(np.mean(P.argmax(axis=1) == y))
    found = permutation_importance(predictor, test, species[unseen])
    print(f"accuracy on {len(y)} unseen penguins: {accuracy:.3f}")
    print(f"what matters most: {', '.join(found.ranking[:3])}")
    draw(y, P, target.labels, found, partial_dependence(predictor, test, found.ranking[0]), Path(out))
    return {"accuracy": accuracy, "ranking": found.ranking}


def draw(y, P, labels, found, dependence, out):
    out.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
    confusion(y, P, labels, axes[0])
    roc(y, P, labels, axes[1])
    calibration(y, P, labels, axes[2])
    figure.savefig(out / "quality.png", dpi=120)
    plt.close(figure)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    importance(found, axes[0])
    draw_dependence(dependence, axes[1], "the answers as one column changes")
    figure.savefig(out / "quality_columns.png", dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="examples/output", help="folder for the pictures")
    main(Path(sys.argv[0]).parent / "data" / "penguins.csv", parser.parse_args().out)
