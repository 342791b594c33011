"""Golden rows: synthetic rows stored in every export with the model's own predictions, for its self-test.

A model file contains no rows of its training table, so golden rows are drawn, with a fixed seed, from the statistics
kept by the encoder (see `chainrule.data.synthetic`), with every category of every categorical column among them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from chainrule.arrays import Array, as_matrix
from chainrule.data.columns import Column
from chainrule.data.features import categories_of
from chainrule.data.synthetic import DECIMALS, synthetic_table
from chainrule.data.targets import NumberTarget
from chainrule.export import steps as ir
from chainrule.export.steps import Model, as_ensemble
from chainrule.model.predictor import Predictor

TOLERANCE = 1e-5
"""Largest accepted difference between the predictions of an export and of the model, in units of `Golden.units`."""
_MIN_ROWS, _MAX_ROWS = 16, 256
"""Numbers of golden rows; a column with more categories than the minimum needs more."""


@dataclass(frozen=True, eq=False)
class Golden:
    """Golden rows and the model's predictions for them.

    Attributes
    ----------
    rows : list of dict, or (n, n_in)
        Input of a predictor, or of a network.
    X : (n, n_in)
        The same rows, encoded.
    predictions : (n, n_out)
        Probabilities, or values in the target's unit.
    units : (n_out,)
        Divisors of the differences. For a numeric target the largest absolute prediction, for probabilities 1, for a
        bare network the larger of both.
    """

    rows: list[dict[str, Any]] | Array
    X: Array
    predictions: Array
    units: Array

    def difference(self, predictions: Array) -> float:
        """Return the largest difference between `predictions` (n, n_out) and the golden ones, in `units`."""
        return largest_difference(predictions, self.predictions, self.units)

    def require_close(self, difference: float) -> float:
        """Return `difference`; raise ValueError if it exceeds the tolerance, so that no wrong file is written."""
        if not difference <= TOLERANCE:
            raise ValueError(
                f"the exported model must match the model within {TOLERANCE:g} on the golden rows, got a difference of "
                f"{difference:.1e}. Float32 precision is probably too low for this model."
            )
        return difference


def largest_difference(predictions: Array, expected: Array, units: Array) -> float:
    """Return max |predictions - expected| / units. Arrays (n, n_out), units (n_out,)."""
    return float(np.max(np.abs(predictions - expected) / units))


def golden_of(model: Model) -> Golden:
    """Return a model's golden rows."""
    rng = np.random.default_rng(0)
    if isinstance(model, Predictor):
        return _golden_from(model, _golden_rows(model.encoder.columns, rng))
    return _golden_from(model, np.round(rng.normal(size=(_MIN_ROWS, as_ensemble(model).n_in)), DECIMALS))


def _golden_from(model: Model, rows: Any) -> Golden:
    """Return rows with the model's predictions for them."""
    if not isinstance(model, Predictor):
        ensemble = as_ensemble(model)
        X = as_matrix(rows, ensemble.n_in, np.dtype(np.float32))
        predictions = ensemble.predict(X)
        return Golden(X, X, predictions, np.maximum(1, np.abs(predictions).max(axis=0)))
    predictions = model.predictions(rows)
    units = np.ones(predictions.shape[1])
    if isinstance(model.target, NumberTarget):
        predictions = np.reshape(model.target.decode(predictions), predictions.shape)
        largest = np.abs(predictions).max(axis=0)
        units = np.where(largest > 0, largest, 1)
    return Golden(rows, model.encoder.transform(rows), predictions, units)


@dataclass(frozen=True, eq=False)
class SinglePrecision:
    """A model's folded program with weights of 32 or 8 bits, its golden rows, and how far its predictions differ.

    `difference` is that of the arithmetic on the golden rows, `loss` that of 8-bit weights, None without them, and
    `loss_rows` what the loss was measured on.
    """

    program: ir.Program
    golden: Golden
    difference: float
    loss: float | None
    loss_rows: str

    @property
    def notes(self) -> list[str]:
        """What an export says of its 8-bit weights."""
        if self.loss is None:
            return []
        return [f"Weights have 8 bits; largest difference this causes on {self.loss_rows}: {self.loss:.1e}."]


def in_single_precision(model: Model, int8: bool = False, rows: object = None) -> SinglePrecision:
    """Return a model as languages compute it that keep weights in 32 bits, or in 8.

    The loss of 8-bit weights is measured on `rows`, cells of a predictor or (n, n_in) of a network; default: on the
    golden rows. With 8-bit weights, the golden predictions are those of the quantized program.
    """
    program, golden = ir.program_of(model), golden_of(model)
    program = replace(program, members=tuple(map(ir.fold, program.members)))
    loss, loss_rows = None, f"{len(golden.X)} golden rows"
    if rows is not None and not int8:
        raise ValueError("rows must be given with int8=True, whose error they measure")
    if int8:
        program = replace(program, members=tuple(map(ir.quantize, program.members)))
        measured = golden if rows is None else _golden_from(model, rows)
        loss = measured.difference(ir.infer(program, measured.X).astype(np.float64))
        loss_rows = loss_rows if rows is None else f"{len(measured.X):,} given rows"
        golden = replace(golden, predictions=ir.infer(program, golden.X).astype(np.float64))
    difference = golden.require_close(golden.difference(ir.infer(program, golden.X)))
    return SinglePrecision(program, golden, difference, loss, loss_rows)


def days_of(text: str | None) -> float | None:
    """Return the days from 1970-01-01 to a golden date; None if it is missing."""
    return None if text is None else (datetime.fromisoformat(text) - datetime(1970, 1, 1)) / timedelta(days=1)


def _golden_rows(columns: list[Column], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return rows that cover every kind of cell in every column; the last row has every cell missing, where allowed."""
    n_categories = (len(categories_of(column) or ()) + 2 for column in columns)
    n = min(max(_MIN_ROWS - 1, *n_categories), _MAX_ROWS)
    cells = synthetic_table(columns, n, rng)
    last = {column.name: 0.0 if column.source == "X" else None for column in columns}
    return [*({name: values[i] for name, values in cells.items()} for i in range(n)), last]
