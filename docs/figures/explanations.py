"""Figures of `use/explanations.md`."""

import csv
from functools import cache
from pathlib import Path

from matplotlib.axes import Axes

from chainrule import Adam, Explanation, Predictor
from chainrule.viz import beeswarm, waterfall
from figures import new

PENGUINS = Path(__file__).parents[2] / "examples/data/penguins.csv"
GENTOO = 200
"""Index of a row."""


@cache
def explained() -> Explanation:
    """The explanation of all penguins by a single network."""
    with open(PENGUINS) as file:
        rows = [{name: cell.replace("NA", "") for name, cell in row.items()} for row in csv.DictReader(file)]
    model = Predictor.fit(rows, "species", network=(16,), optimizer=Adam(0.01), epochs=60, seed=0)
    return model.explain(rows, permutations=1)


def penguin() -> list[Axes]:
    """The way from the baseline to the prediction for one row."""
    return [waterfall(explained()[GENTOO], new(4.9, 3.4), output="Gentoo")]


def penguins() -> list[Axes]:
    """The contributions to all predictions."""
    return [beeswarm(explained(), new(4.9, 4.2), "Contributions to the log-odds of Gentoo", output="Gentoo")]
