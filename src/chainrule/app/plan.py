"""Plans: from a table to its target, its training and test rows, and the encoder of its inputs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from chainrule.app.csv_file import Show
from chainrule.app.models import text_columns, warnings_as
from chainrule.app.scores import Target
from chainrule.app.tables import TableFile
from chainrule.arrays import Array
from chainrule.data import reading, splits
from chainrule.data.cells import as_dates, as_numbers, factorize, missing_rows
from chainrule.data.columns import DateColumn, NumberColumn
from chainrule.data.formats import is_missing, to_text
from chainrule.data.reading import Columns
from chainrule.data.recognition import Reading, recognize_cells, require_no_strays
from chainrule.data.statistics import Cells
from chainrule.data.tabular import TabularEncoder, notices_of
from chainrule.data.targets import NumberTarget, clean_target, learn_target
from chainrule.display import count
from chainrule.errors import TableError, require_names
from chainrule.model.fitting import encoder_for
from chainrule.model.predictor import Predictor

_MIN_ROWS = 10
"""Fewer rows cannot be split into training and test rows."""


@dataclass
class Table:
    """A table split into inputs and target.

    `known` are the indices of the rows whose target is known, `rows` the rows' numbers in the file, from 1, `groups`
    the numbers of their groups, if there are some.
    """

    inputs: Columns
    values: Array
    known: Array
    rows: Array
    notices: list[str]
    groups: Array | None = None

    @classmethod
    def of(
        cls,
        inputs: Columns,
        name: str,
        values: Array,
        notices: list[str],
        groups: tuple[str, Array] | None = None,
        rows: Array | None = None,
    ) -> Self:
        """Return the table with these inputs, values of the target, and a column of groups with its name.

        `rows` (n,) are the indices of its rows in the file; default: it has all rows.
        """
        known, rows = np.flatnonzero(~missing_rows(name, values)), np.arange(len(values)) if rows is None else rows
        return cls(inputs, values, known, rows + 1, notices, None if groups is None else factorize(*groups)[1])

    def part(self, rows: Array) -> "Table":
        """Return some rows, all with a known target, as a table."""
        inputs = reading.take_rows(self.inputs, rows)
        groups = None if self.groups is None else self.groups[rows]
        return Table(inputs, self.values[rows], np.arange(len(rows)), self.rows[rows], [], groups)


@dataclass(frozen=True)
class _Ties:
    """The columns that tie rows together, and the group numbers and times of the rows with a known target."""

    group: str | None = None
    time: str | None = None
    groups: Array | None = None
    times: Array | None = None

    @classmethod
    def read(cls, columns: Columns, table: Table, group: str | None, time: str | None) -> Self:
        """Read the columns that --group and --time name; TableError if they cannot divide the rows."""
        cells = {name: reading.named(columns, name)[table.known] for name in (group, time) if name is not None}
        rows = table.rows[table.known] - 1
        groups = None if group is None else splits.group_codes(group, cells[group], "--group", rows)
        times = None if time is None else splits.time_numbers(time, cells[time], "--time", rows)
        return cls(group, time, groups, times)


@dataclass(frozen=True)
class Plan:
    """A table, its target, its training and test rows, which are disjoint, and the encoder of its inputs.

    `groups` and `times` are those of the training rows.
    """

    table: Table
    target: Target
    training: Array
    test: Array
    encoder: TabularEncoder
    ties: _Ties = field(default_factory=_Ties)
    groups: Array | None = None
    times: Array | None = None

    @property
    def notices(self) -> list[str]:
        """The notices to show; columns that are left out are listed in the table of columns already."""
        left_out = notices_of(self.encoder.left_out)
        return self.table.notices + [notice for notice in self.encoder.notices if notice not in left_out]

    def describe_test_rows(self, n_test: int, source: str = "") -> str:
        """Return which rows the scores are on."""
        if source:
            return f"{count(n_test, 'row')} of {source}"
        ties = self.ties
        if ties.groups is None and ties.times is None:
            return count(n_test, "held-out row")
        share = f"the latest {n_test / len(self.table.known):.0%} of rows"
        n_groups = 0 if ties.groups is None else len(np.unique(ties.groups[np.isin(self.table.known, self.test)]))
        if ties.times is None:
            return f"{n_test:,} rows of {n_groups:,} new groups"
        return f"{share} ({n_test:,})" if ties.groups is None else f"{share}, {n_groups:,} new groups"


def make_plan(
    columns: Columns,
    name: str,
    *,
    drop: Sequence[str] = (),
    task: str | None = None,
    categories: Sequence[str] = (),
    group: str | None = None,
    time: str | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    rows: Array | None = None,
) -> Plan:
    """Return the plan for learning the column called `name` from the others, without those in `drop`.

    `rows` (n,) are the indices of the table's rows in its file; default: it has all rows.

    Test rows share no group and no copy with the training rows, and with times, they are the latest ones; see
    `chainrule.data.splits`. With `test_fraction` 0 there are no test rows. Raises TableError if the table cannot be
    learned from.
    """
    inputs, values = _inputs_and_target(columns, name, drop)
    _require_rows(name, clean_target(name, values, task)[0])
    # Before the split, so that errors give the row's number in the file.
    readings = {other: _read_kind(other, cells) for other, cells in inputs.items() if other not in categories}
    target, values, notices = learn_target(name, values, task)
    groups = None if group is None else (group, reading.named(columns, group))
    table = Table.of(inputs, name, values, notices, groups, rows)
    ties = _Ties.read(columns, table, group, time)
    split = _split(table, target, categories, readings, test_fraction, seed, ties)
    training, test = table.known[split.training], table.known[split.held_out]
    if test_fraction and not len(test):
        raise TableError(
            f"target {name!r} must have several rows per class, or no row is left for testing, got {len(table.known)} "
            f"rows and {target.n_outputs} classes. Pass --task regression if it is a number, or --test FILE."
        )
    # From here on only the training rows count; of the test rows, training knows no more than the names of the classes.
    seen = table.values[training]
    if isinstance(target, NumberTarget):
        target = NumberTarget.fit(name, seen)
    else:
        counts = np.bincount(target.encode(seen), minlength=target.n_outputs)
        target = replace(target, frequencies=tuple((counts / counts.sum()).tolist()))
    encoder = encoder_for(target, categories).fit(table.part(training).inputs, readings=readings)
    of_training = (None if of is None else of[split.training] for of in (ties.groups, ties.times))
    return Plan(table, target, training, test, encoder, ties, *of_training)


def _inputs_and_target(columns: Columns, name: str, drop: Sequence[str] = ()) -> tuple[Columns, Array]:
    values = reading.named(columns, name)
    inputs = {other: cells for other, cells in columns.items() if other != name}
    require_names(inputs, drop)
    inputs = {other: cells for other, cells in inputs.items() if other not in drop}
    if not inputs:
        raise TableError(f"the table must have at least one input column, got only the target {name!r}")
    return inputs, values


def _require_rows(name: str, values: Array) -> None:
    n_known = len(values) - int(missing_rows(name, values).sum())
    if len(values) and not n_known:
        raise TableError(f"target {name!r} must contain values, got only missing cells")
    if n_known < _MIN_ROWS:
        raise TableError(f"the table must have at least {_MIN_ROWS} rows with a known target, got {n_known}")


def _read_kind(name: str, values: Array) -> Reading:
    """Return how to read a column; TableError if it contains an infinity, or a few cells of another kind."""
    if values.dtype.kind in "mM":
        return Reading("date")
    cells = Cells.of(name, values) if values.dtype.kind not in "iuf" else None
    kind = Reading("number") if cells is None else recognize_cells(cells.cells, cells.counts.tolist())
    if cells is not None:
        require_no_strays(name, cells, kind, f"pass --category {name} or --drop {name}")
    if kind.kind == "number":
        as_numbers(name, values, 0, kind.number_format)
    return kind


def _split(
    table: Table,
    target: Target,
    categories: Sequence[str],
    readings: dict[str, Reading],
    fraction: float,
    seed: int,
    ties: _Ties,
) -> splits.Split:
    """Return the split of the rows with a known target; the table gets notices about it."""
    known = table.part(table.known)
    y = target.encode(known.values)
    units = ties.groups
    if units is None:
        inputs = _without_identifiers(known.inputs, target, categories, readings)
        units = splits.copies(inputs if ties.times is None else inputs | {"--time": ties.times}, y)
        table.notices += [] if units is None else [splits.describe_copies(units)]
    rows = splits.Structure(splits.strata_of(y), units, ties.times)
    split = splits.hold_out(rows, fraction, np.random.default_rng(seed))
    if ties.groups is not None:
        n_training, n_test = (len(np.unique(ties.groups[part])) for part in (split.training, split.held_out))
        if n_training < 2 or (fraction and not n_test):
            subject, n = f"--group column {ties.group!r}", ties.groups.max() + 1
            rule = "at least 2 groups to train on and 1 to test on" if fraction else "at least 2 groups"
            raise TableError(f"{subject} must have {rule}, got {n} groups with {n_training} among the training rows")
    unused = len(known.known) - len(split.training) - len(split.held_out)
    if unused:
        reason = "early rows of groups to test on, and late rows of the others"
        table.notices.append(f"{unused:,} rows are used neither for training nor for testing: {reason}")
    return split


def _without_identifiers(
    inputs: Columns, target: Target, categories: Sequence[str], readings: dict[str, Reading]
) -> Columns:
    """Return the inputs without the columns that the encoder will leave out because all values differ."""
    n = len(next(iter(inputs.values())))
    different = {name: values for name, values in inputs.items() if len(factorize(name, values)[0]) == n}
    encoder = encoder_for(target, [name for name in categories if name in different])
    try:
        left_out = encoder.fit(different, readings=readings).left_out if different else {}
    except TableError:  # all of them
        left_out = encoder.left_out
    return {name: values for name, values in inputs.items() if name not in left_out}


# Tables to score a model on.


def table_to_score(model: Predictor | Plan, source: TableFile, show: Show = lambda *_: None) -> tuple[Table, Columns]:
    """Return a table to score a model on, and all its columns; TableError if the target is never known."""
    name, n_outputs = model.target.name, len(model.target.output_names)
    if n_outputs > 1:
        raise TableError(f"the model must predict a single target, got {n_outputs}")
    columns = reading.read_columns(source.read(text_columns(model.encoder, model.target), show))
    inputs, values = _inputs_and_target(columns, name)
    group = model.ties.group if isinstance(model, Plan) else next(iter(model.metadata.get("group", [])), None)
    groups = (group, columns[group]) if group in columns else None
    table = Table.of(inputs, name, *clean_target(name, values, model.target.task), groups)
    if not len(table.known):
        raise TableError(f"{source.name} must have at least one row in which {name!r} is known, got none")
    return table, columns


def require_scorable(plan: Plan, held: Table) -> list[str]:
    """Raise TableError unless the table can be scored on, before any training; return the encoder's warnings."""
    plan.target.encode(held.values[held.known])
    notices: list[str] = []
    with warnings_as(notices):
        plan.encoder.transform(held.inputs)
    return notices


# Findings and descriptions.


def shared_groups(name: str, training: Array, columns: Columns, source: str) -> list[str]:
    """Return a finding if groups of a separate test table are among those of the training rows."""
    if name not in columns:
        return [f"{source} has no column {name!r}: whether it shares groups with the training rows is not checked."]
    known = {to_text(group).strip() for group in factorize(name, training)[0]}
    groups, codes = factorize(name, columns[name])
    shared = [i for i, group in enumerate(groups) if not is_missing(group) and to_text(group).strip() in known]
    if not shared:
        return []
    n_rows = int(np.isin(codes, shared).sum())
    return [
        f"{len(shared):,} of {len(groups):,} groups in column {name!r} of {source} ({n_rows / len(codes):.0%} of its "
        "rows) are trained on: the scores do not hold for new groups. Test on other groups."
    ]


def describe_columns(plan: Plan) -> list[dict[str, Any]]:
    """Return for each input its name, its kind, the number of missing cells, and its categories, range or reason."""
    encoder = plan.encoder
    fitted = {column.name: column for column in encoder.columns}
    return [_describe_column(name, values, fitted.get(name), encoder) for name, values in plan.table.inputs.items()]


def _describe_column(name: str, values: Array, column: object, encoder: TabularEncoder) -> dict[str, Any]:
    if isinstance(column, NumberColumn):
        numbers = column.read(values)[""]
        known = numbers[~np.isnan(numbers)]
        summary = {"missing": len(numbers) - len(known), "min": float(known.min()), "max": float(known.max())}
        return {"name": name, "kind": column.kind} | summary
    if isinstance(column, DateColumn):
        dates = as_dates(name, values, 0, column.format)
        known = dates[~np.isnat(dates)]
        days = {"min": str(known.min().astype("M8[D]")), "max": str(known.max().astype("M8[D]"))}
        return {"name": name, "kind": column.kind, "missing": len(dates) - len(known)} | days
    missing = missing_rows(name, values)
    n_missing = int(missing.sum())
    if column is None:
        return {"name": name, "kind": "left out", "missing": n_missing, "reason": encoder.left_out.get(name, "")}
    n_categories = len(factorize(name, values[~missing])[0])
    return {"name": name, "kind": "category", "missing": n_missing, "categories": n_categories}
