"""Golden rows: synthetic rows stored in every export with the model's own predictions, for its self-test.

A model file contains no rows of its training table, so golden rows are drawn, with a fixed seed, from the statistics
kept by the encoder (see `chainrule.data.synthetic`), with every category of every categorical column among them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np

from chainrule.arrays import Array, all_finite, as_matrix
from chainrule.data.columns import Column
from chainrule.data.features import categories_of
from chainrule.data.synthetic import DECIMALS, synthetic_table
from chainrule.data.targets import NumberTarget
from chainrule.export import steps as ir
from chainrule.export.calibration import COVERAGE, Intervals, intervals_of, set_limits_of
from chainrule.export.steps import Model, as_ensemble
from chainrule.export.writing import Export, write
from chainrule.files.archive import Path
from chainrule.model.conformal import at_level
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
    ends : (n, n_out, 2), optional
        The ends of prediction intervals with a coverage of 90 %, if the model has intervals and they are finite.
    sets : (n, n_out), optional
        True for the classes in a prediction set with that coverage, if the model has sets, and none is a close call.
    """

    rows: list[dict[str, Any]] | Array
    X: Array
    predictions: Array
    units: Array
    ends: Array | None = None
    sets: Array | None = None

    def difference(self, predictions: Array) -> float:
        """Return the largest difference between `predictions` (n, n_out) and the golden ones, in `units`."""
        return largest_difference(predictions, self.predictions, self.units)

    @property
    def all_predictions(self) -> tuple[Array, Array]:
        """The predictions, then the ends and the sets if there are any, (n, columns), and their units."""
        parts, units = [self.predictions], [self.units]
        if self.ends is not None:
            parts.append(self.ends.reshape(len(self.ends), -1))
            units.append(np.maximum(np.repeat(self.units, 2), np.abs(parts[-1]).max(axis=0)))
        if self.sets is not None:
            parts.append(self.sets)
            units.append(np.ones(self.sets.shape[1]))
        return np.concatenate(parts, axis=1), np.concatenate(units)

    def difference_of_ends(self, ends: Array | None) -> float | None:
        """Return the largest difference from golden ends (n, n_out, 2), in units; None if there are none."""
        if self.ends is None or ends is None:
            return None
        units = np.maximum(self.units[:, np.newaxis], np.abs(self.ends).max(axis=0))
        return largest_difference(ends, self.ends, units)

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
    golden = Golden(rows, model.encoder.transform(rows), predictions, units)
    if as_ensemble(model).scores is None:
        return golden
    if isinstance(model.target, NumberTarget):
        ends = model.predict_interval(rows, COVERAGE).reshape(*predictions.shape, 2)
        return replace(golden, ends=ends if all_finite(ends) else None)
    return _with_sets(golden, model)


def _with_sets(golden: Golden, model: Model) -> Golden:
    """Return golden rows with the prediction sets of their predictions, unless rounding may change one."""
    limit = at_level(as_ensemble(model).scores, COVERAGE)[0]  # type: ignore[arg-type]
    if np.any(np.abs(1 - golden.predictions - limit) < TOLERANCE):
        return golden
    return replace(golden, sets=as_ensemble(model).sets(golden.predictions, COVERAGE))


@dataclass(frozen=True)
class Loss:
    """How far 8-bit weights move predictions on some rows, and the ends of 90 % intervals if the model has any."""

    predictions: float
    ends: float | None
    rows: str

    @classmethod
    def of(cls, rows: Golden, program: ir.Program, intervals: Intervals | None, name: str) -> Self:
        """Return the loss of a quantized program and its intervals, measured on these rows."""
        predictions, ends = _computed(rows, program, intervals)
        return cls(rows.difference(predictions), rows.difference_of_ends(ends), f"{len(rows.X):,} {name}")

    def __str__(self) -> str:
        ends = "" if self.ends is None else f", to the ends of 90% intervals: {self.ends:.1e}"
        return f"Weights have 8 bits; largest difference this causes on {self.rows}: {self.predictions:.1e}{ends}."


@dataclass(frozen=True, eq=False)
class SinglePrecision:
    """A model as languages compute it that keep weights in 32 bits, or in 8.

    `difference` is that of its arithmetic on the golden rows, `loss` that of 8-bit weights, None without them.
    """

    program: ir.Program
    intervals: Intervals | None
    set_limits: Array | None
    golden: Golden
    difference: float
    loss: Loss | None

    def write(self, path: Path, text: str) -> Export:
        """Write an export and return its record."""
        losses = () if self.loss is None else (self.loss.predictions, self.loss.ends)
        return write(path, text.encode(), len(self.golden.X), self.difference, *losses)

    @property
    def notes(self) -> list[str]:
        """What an export says of its 8-bit weights."""
        return [] if self.loss is None else [str(self.loss)]


def in_single_precision(model: Model, int8: bool = False, rows: object = None) -> SinglePrecision:
    """Return a model as languages compute it that keep weights in 32 bits, or in 8.

    The loss of 8-bit weights is measured on `rows`, cells of a predictor or (n, n_in) of a network; default: on the
    golden rows. With 8-bit weights, the golden predictions are those of the quantized program.
    """
    if rows is not None and not int8:
        raise ValueError("rows must be given with int8=True, whose error they measure")
    program, golden, intervals = ir.program_of(model), golden_of(model), intervals_of(model, int8)
    program = replace(program, members=tuple(map(ir.fold, program.members)))
    if int8:
        program = replace(program, members=tuple(map(ir.quantize, program.members)))
    loss = None
    if int8:
        measured = golden if rows is None else _golden_from(model, rows)
        loss = Loss.of(measured, program, intervals, "golden rows" if rows is None else "given rows")
        predictions, ends = _computed(golden, program, intervals)
        golden = replace(golden, predictions=predictions, ends=ends, sets=None)
        golden = golden if set_limits_of(model) is None else _with_sets(golden, model)
    predictions, ends = _computed(golden, program, intervals)
    difference = max(golden.difference(predictions), golden.difference_of_ends(ends) or 0.0)
    return SinglePrecision(program, intervals, set_limits_of(model), golden, golden.require_close(difference), loss)


def _computed(golden: Golden, program: ir.Program, intervals: Intervals | None) -> tuple[Array, Array | None]:
    """Return what the exports predict for golden rows, and the ends of the intervals if the rows have any."""
    ends = None if golden.ends is None or intervals is None else intervals.ends(golden.X)
    return ir.infer(program, golden.X).astype(np.float64), ends


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
