"""The user's own tables: read as the command line reads them, and encoded as `chainrule train` encodes them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chainrule.app.playground.plane import Sample, grid_points, split
from chainrule.app.playground.settings import Setup
from chainrule.arrays import Array, require
from chainrule.data.cells import missing_rows
from chainrule.data.columns import NumberColumn
from chainrule.data.reading import Columns, named, read_columns, take_rows
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import ClassTarget, learn_target
from chainrule.errors import TableError, shorten

MAX_CLASSES, MAX_COLUMNS = 8, 200


@dataclass(frozen=True)
class Table:
    """A table of the user's own, as it was read."""

    name: str
    columns: Columns
    notices: tuple[str, ...]

    @classmethod
    def read(cls, name: str, text: str) -> Table:
        """Return the table in the text of a CSV file; TableError says what is wrong with it."""
        from chainrule.app.tables import TableFile  # loads polars

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.csv"
            path.write_text(text, encoding="utf-8")
            try:
                file = TableFile(path)
                frame = file.read()
                notices = file.notices
            except TableError as error:
                raise TableError(str(error).replace(str(path), name).replace("table.csv", name)) from None
        columns = read_columns(frame)
        require(len(columns) <= MAX_COLUMNS, "a table", f"have at most {MAX_COLUMNS} columns", len(columns))
        return cls(name, columns, tuple(notice.replace("table.csv", name) for notice in notices))

    def sample(self, setup: Setup) -> Sample:
        """Return the table as a sample: every column but the target is an input."""
        target_name = setup.target or list(self.columns)[-1]
        target, values, notices = learn_target(target_name, named(self.columns, target_name))
        known = np.flatnonzero(~missing_rows(target_name, values))
        labels = tuple(map(str, target.labels)) if isinstance(target, ClassTarget) else ()
        if len(labels) > MAX_CLASSES:
            raise TableError(f"target {target_name!r} must have at most {MAX_CLASSES} classes, got {len(labels)}")
        inputs = take_rows({name: cells for name, cells in self.columns.items() if name != target_name}, known)
        y = target.encode(values[known])
        y = y if labels else y[:, 0]
        rng = np.random.default_rng(setup.sample)
        train = split(len(known), setup.ratio, rng)
        encoder = TabularEncoder().fit(take_rows(inputs, train))
        X = encoder.transform(inputs).astype(np.float64)
        if setup.noise:
            X = X + setup.noise * rng.normal(size=X.shape)
        axes = self._axes(setup, encoder)
        places, extent, grid = _plane_of(inputs, encoder, axes)
        messages = (*self.notices, *notices, *encoder.notices)
        names = tuple(map(str, encoder.get_feature_names_out()))
        note = f"{self.name}: {len(known):,} rows"
        return Sample(X, y, train, places, extent, axes, names, labels, grid, messages, note, self.name)

    def _axes(self, setup: Setup, encoder: TabularEncoder) -> tuple[str, str]:
        """Return the columns that span the plane: the chosen ones, or else the first numeric ones."""
        numeric = [column.name for column in encoder.columns if isinstance(column, NumberColumn)]
        if len(numeric) < 2:
            got = shorten(numeric) or "none"
            raise TableError(f"a table must have two numeric columns that span the plane, got {got}")
        across = setup.across if setup.across in numeric else next(name for name in numeric if name != setup.up)
        up = (
            setup.up if setup.up in numeric and setup.up != across else next(name for name in numeric if name != across)
        )
        return across, up


def _plane_of(
    inputs: Columns, encoder: TabularEncoder, axes: tuple[str, str]
) -> tuple[Array, tuple[float, float, float, float], Array]:
    """Return the rows' places, the extent, and the encoded grid, on which other columns have their typical value."""
    numbers = [inputs[name].astype(np.float64) for name in axes]
    ends = []
    for values in numbers:
        low, high = np.nanmin(values), np.nanmax(values)
        margin = 0.06 * (high - low) or 1.0
        ends += [float(low - margin), float(high + margin)]
    extent = (ends[0], ends[1], ends[2], ends[3])
    places = np.column_stack([np.where(np.isnan(v), low, v) for v, low in zip(numbers, (ends[0], ends[2]))])
    x, y = grid_points(extent).T
    grid = {name: np.repeat(_typical(cells), len(x)) for name, cells in inputs.items()} | dict(zip(axes, (x, y)))
    return places, extent, encoder.transform(grid).astype(np.float64)


def _typical(cells: Array) -> Array:
    """Return a median, or the most frequent cell."""
    if cells.dtype.kind in "iuf":
        finite = cells[np.isfinite(cells)]
        return np.array([np.median(finite) if len(finite) else np.nan])
    found = [cell for cell in cells.tolist() if cell is not None] or [None]
    counts = {cell: found.count(cell) for cell in set(found[:1000])}
    result = np.empty(1, cells.dtype)
    result[0] = max(counts, key=lambda cell: (counts[cell], str(cell)))
    return result
