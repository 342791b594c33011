"""One training step in four phases: forward, loss, backward, update, on a batch or row by row, with their numbers.

The numbers are those of `chainrule.trace` on the next batch, with the dropout masks that training draws. The update
trains on the batch: its numbers are the changes of the weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.app.playground.picture import columns_of
from chainrule.app.playground.training import Training
from chainrule.arrays import Array
from chainrule.insight.trace import Trace
from chainrule.insight.trace.quantity import Quantity
from chainrule.typeset import MATHML

PHASES = ("forward", "loss", "backward", "update")
_TEXTS = {
    "forward": "Forward: each unit computes the weighted sum of its inputs and applies its activation.",
    "loss": "Loss: the prediction is compared with the target.",
    "backward": "Backward: the chain rule propagates the derivative of the loss to every weight.",
    "update": "Update: the optimizer moves every weight against its gradient.",
}


_Numbers = tuple[list[Any], list[Any] | None, list[Any] | None]
"""Of the units in each column, and of the weights and the biases that lead to each later column."""
_SHOWN = {"forward": ("forward",), "loss": ("loss",), "backward": ("derivative", "gradient"), "update": ("step",)}
"""Phase -> kinds of the quantities whose formulas it shows."""
_MOST_FORMULAS = 12


class Walk:
    """A walk through the phases of one step; with `by_row`, the first three for each row of the batch in turn."""

    def __init__(self, training: Training, by_row: bool) -> None:
        self.training = training
        self.row = 0 if by_row else None
        self.n_rows = len(training.batch[0])
        self.trace: Trace = training.trace()
        self.columns = columns_of(training)
        self.phase = ""

    def advance(self) -> None:
        """Advance to the next phase; the update trains on the batch."""
        place = PHASES.index(self.phase) + 1 if self.phase else 0
        if self.row is not None and PHASES[place] == "update" and self.row < self.n_rows - 1:
            self.row, place = self.row + 1, 0
        self.phase = PHASES[place]
        if self.phase == "update":
            self.training.take_batch()

    @property
    def done(self) -> bool:
        """Whether the step has been taken."""
        return self.phase == "update"

    def show(self) -> dict[str, Any]:
        """Return the numbers of the phase as plain data.

        `units` has the numbers of each column of the diagram, `links` for each of the later columns those of its
        weights, and `biases` those of its biases; None where the phase has none.
        """
        numbers = {"forward": self._forward, "loss": self._loss, "backward": self._backward, "update": self._update}
        units, links, biases = numbers[self.phase]()
        where = f"row {self.row + 1} of {self.n_rows}" if self.row is not None else f"the batch of {self.n_rows} rows"
        return {
            "phase": self.phase, "text": _TEXTS[self.phase], "where": where,
            "units": units, "links": links, "biases": biases,
            "loss": float(self._of_rows(self.trace["L"].values).sum()),
            "formulas": [f"<math>{quantity.equation('row', MATHML)}</math>" for quantity in self._shown()],
            "done": self.done,
        }  # fmt: skip

    # The numbers of each phase.

    def _forward(self) -> _Numbers:
        return [_rounded(self._of_rows(self._activation(k))) for k in range(len(self.columns))], None, None

    def _loss(self) -> _Numbers:
        units: list[Any] = [None] * len(self.columns)
        units[-1] = _rounded(self._of_rows(self._activation(len(units) - 1)))
        return units, None, None

    def _backward(self) -> _Numbers:
        """The derivatives with respect to z; of a single row its share of the gradient, of a batch the gradient."""
        later = range(1, len(self.columns))
        deltas = [self.trace[f"delta{k}"].values for k in later]
        units = [None, *(_rounded(self._sum(delta)) for delta in deltas)]
        if self.row is None:
            links, biases = ([_rounded(self.trace[f"d{part}{k}"].values) for k in later] for part in "Wb")
            return units, links, biases
        inputs = [self._entering(k)[self.row] for k in later]
        shares = [_rounded(np.outer(a, delta[self.row])) for a, delta in zip(inputs, deltas)]
        return units, shares, units[1:]

    def _update(self) -> _Numbers:
        update = self.training.update
        moved = {block.full_name: update[block.slice].reshape(block.shape) for block in self.training.net.blocks}
        links, biases = ([_rounded(moved[column[part]["name"]]) for column in self.columns[1:]] for part in "Wb")
        return [None] * len(self.columns), links, biases

    # Quantities of the trace.

    @property
    def _names(self) -> set[str]:
        return {quantity.name for quantity in self.trace}

    def _activation(self, k: int) -> Array:
        """Return the outputs of a column for all rows: of the last one the predictions."""
        candidates = ("X",) if k == 0 else (f"a{k}", f"z{k}")
        if k == len(self.columns) - 1:
            candidates = ("P", *candidates)
        return self.trace[next(name for name in candidates if name in self._names)].values

    def _entering(self, k: int) -> Array:
        """Return what enters the weights of column k: the outputs of the column before, after dropout."""
        name = "X" if k == 1 else f"d{k - 1}" if f"d{k - 1}" in self._names else f"a{k - 1}"
        return self.trace[name].values

    def _of_rows(self, values: Array) -> Array:
        """Return the values of the row, or the means over rows."""
        return np.asarray(values.mean(axis=0) if self.row is None else values[self.row])

    def _sum(self, values: Array) -> Array:
        return values.sum(axis=0) if self.row is None else values[self.row]

    def _shown(self) -> list[Quantity]:
        """Return the quantities whose formulas belong to the phase."""
        shown = [quantity for quantity in self.trace if quantity.kind in _SHOWN[self.phase]]
        return shown[: 1 if self.phase == "update" else _MOST_FORMULAS]  # all parameters are updated alike


def _rounded(values: Array) -> Any:
    """Return values as lists of numbers with six digits."""
    return np.array([float(f"{value:.6g}") for value in np.ravel(values)]).reshape(np.shape(values)).tolist()
