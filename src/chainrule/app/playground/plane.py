"""Data: random samples, points or a formula of the user, and the plane in which they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from chainrule import datasets, typeset
from chainrule.app.playground import formula
from chainrule.app.playground.settings import Setup
from chainrule.arrays import Array, require
from chainrule.errors import TableError

if TYPE_CHECKING:
    from chainrule.app.playground.table import Table

GRID = 72
"""Points per side of the grid on which maps are computed: 2-8-8-1 takes 4 ms a frame."""
EXTENT = (-1.25, 1.25, -1.25, 1.25)
"""The plane of random samples and points: the square [-1, 1]^2 with a margin for noise."""
MAX_SHOWN_POINTS = 2_000


@dataclass(frozen=True)
class Sample:
    """Rows to train and to test on, and the plane on which they are shown.

    Attributes
    ----------
    X : (n, d)
        The network's inputs.
    y : (n,)
        Class numbers, or numbers.
    train : (n,) bool
        The rows to train on; the others are test rows.
    places : (n, 2)
        Where each row is in the plane.
    extent : left, right, bottom, top
    axes : names of the two axes
    columns : names of the inputs
    labels : names of the classes; empty for numbers
    grid : (GRID^2, d)
        The inputs at the points of a grid over the plane, row by row from the top left.
    notices, note : messages about the data
    source : the file's name, of a table
    """

    X: Array
    y: Array
    train: Array
    places: Array
    extent: tuple[float, float, float, float]
    axes: tuple[str, str]
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    grid: Array
    notices: tuple[str, ...] = ()
    note: str = ""
    source: str = ""

    @property
    def is_classification(self) -> bool:
        """Whether y has classes."""
        return bool(self.labels)

    @cached_property
    def range(self) -> tuple[float, float]:
        """The range of numeric targets that maps resolve, symmetric around 0: it contains 98 % of them."""
        reach = float(np.quantile(np.abs(self.y), 0.98)) or 1.0
        return -reach, reach

    def rows(self, training: bool) -> tuple[Array, Array]:
        """Return X and y of the training or of the test rows; a single row is both."""
        chosen = self.train if training or self.train.all() else ~self.train
        return self.X[chosen], self.y[chosen]

    @cached_property
    def shown(self) -> Array:
        """The indices of the rows that are shown: all, or a fixed random choice."""
        order = np.arange(len(self.X))
        if len(order) > MAX_SHOWN_POINTS:
            order = np.sort(np.random.default_rng(0).permutation(order)[:MAX_SHOWN_POINTS])
        return order


def draw(setup: Setup, table: Table | None = None) -> Sample:
    """Return the sample for these settings; raise ValueError if they do not fit."""
    if setup.data == "table":
        if table is None:
            raise TableError("table must be given first, got none. Drop or paste a CSV file.")
        return table.sample(setup)
    rng = np.random.default_rng(setup.sample)
    X, y, labels, note = _points(setup) if setup.data == "points" else _drawn(setup, rng)
    if not labels and setup.standardize:
        y = (y - y.mean()) / (y.std() or 1.0)
    train = split(len(X), setup.ratio, rng)
    return Sample(X, y, train, X, EXTENT, ("x1", "x2"), ("x1", "x2"), labels, grid_points(EXTENT), note=note)


def grid_points(extent: Sequence[float]) -> Array:
    """Return the points (GRID^2, 2) of a grid over the plane, row by row from the top left."""
    left, right, bottom, top = extent
    x, y = np.meshgrid(np.linspace(left, right, GRID), np.linspace(top, bottom, GRID))
    return np.column_stack([x.ravel(), y.ravel()])


def split(n: int, ratio: float, rng: np.random.Generator) -> Array:
    """Return a mask of the training rows: at least one row, and not all of several."""
    train = np.zeros(n, np.bool_)
    train[rng.permutation(n)[: min(max(1, round(ratio * n)), max(1, n - 1))]] = True
    return train


# Random samples.

_Drawn = tuple[Array, Array]


def _square(n: int, rng: np.random.Generator) -> Array:
    return rng.uniform(-1, 1, (n, 2))


def _xor(n: int, rng: np.random.Generator) -> _Drawn:
    X = _square(n, rng)
    return X, (X[:, 0] * X[:, 1] < 0).astype(np.intp)


def _spiral(n: int, rng: np.random.Generator) -> _Drawn:
    """Two arms with one and a half turns each; those of `datasets.spiral` are easier."""
    y = np.arange(n) % 2
    t = np.sqrt(rng.uniform(0.01, 1, n))
    angle = 3 * np.pi * t + np.pi * y
    return 0.95 * np.column_stack([t * np.sin(angle), t * np.cos(angle)]), y


def _blobs(n: int, rng: np.random.Generator) -> _Drawn:
    y = np.arange(n) % 2
    return np.array([[-0.45, -0.45], [0.45, 0.45]])[y] + rng.normal(0, 0.18, (n, 2)), y


def _slope(n: int, rng: np.random.Generator) -> _Drawn:
    X = _square(n, rng)
    return X, X.sum(axis=1)


def _hills(n: int, rng: np.random.Generator) -> _Drawn:
    X = _square(n, rng)
    centers = ((-0.5, 0.5, 1.0), (0.5, -0.5, 1.0), (0.5, 0.5, -1.0), (-0.5, -0.5, -1.0))
    return X, sum(s * np.exp(-((X[:, 0] - a) ** 2 + (X[:, 1] - b) ** 2) / 0.12) for a, b, s in centers)  # type: ignore[return-value]


def _waves(n: int, rng: np.random.Generator) -> _Drawn:
    X = _square(n, rng)
    return X, np.sin(4 * np.hypot(X[:, 0], X[:, 1]) + np.arctan2(X[:, 1], X[:, 0]))


_SAMPLES: dict[str, tuple[Callable[[int, np.random.Generator], _Drawn], int]] = {
    "circle": (lambda n, rng: datasets.disc(n, seed=rng), 2),
    "xor": (_xor, 2),
    "spiral": (_spiral, 2),
    "three": (lambda n, rng: datasets.spiral(n // 3, 3, 0.0, seed=rng), 3),
    "blobs": (_blobs, 2),
    "line": (lambda n, rng: datasets.half_plane(n, seed=rng), 2),
    "slope": (_slope, 0),
    "hills": (_hills, 0),
    "waves": (_waves, 0),
}
"""Name -> how to draw n rows, and the number of classes; 0 for numbers."""


def _drawn(setup: Setup, rng: np.random.Generator) -> tuple[Array, Array, tuple[str, ...], str]:
    """Return points, targets, class names and a note; noise is added to the points after their targets are computed."""
    note = ""
    if setup.data == "formula":
        term = formula.parse(setup.formula)
        X = _square(setup.rows, rng)
        y, n_classes = formula.values(term, X), 2 if term.op == "greater" else 0
        y = y.astype(np.intp) if n_classes else y
        note = typeset.formula(term, typeset.TEXT)
        require(
            n_classes == 0 or 0 < y.mean() < 1, "formula", "be true for some points and false for others", setup.formula
        )
        require(n_classes > 0 or np.ptp(y) > 0, "formula", "vary over the plane", setup.formula)
    else:
        function, n_classes = _SAMPLES[setup.data]
        X, y = function(setup.rows, rng)
    X = X + setup.noise * rng.normal(size=X.shape) if setup.noise else X
    return X, y, tuple(f"class {k}" for k in range(n_classes)), note


def _points(setup: Setup) -> tuple[Array, Array, tuple[str, ...], str]:
    """Return the points that the user drew."""
    n_classes = 1 + max((label for *_, label in setup.points), default=1)
    labels = tuple(f"class {k}" for k in range(max(2, n_classes)))
    if not setup.points:  # two, so that there is a network to show
        return np.array([[-0.5, 0.0], [0.5, 0.0]]), np.array([0, 1]), labels, "Click on the output to draw points."
    points = np.array(setup.points)
    return points[:, :2], points[:, 2].astype(np.intp), labels, ""
