"""Schema: what a model takes and predicts, as plain data that every export contains as JSON.

    {"schema": 1, "version": of chainrule, "model": SHA-256 or null, "target": name or null,
     "task": "classification", "regression" or "network", "labels": [...] or null, "outputs": number of them,
     "columns": [{"name", "kind": "number", "raw", "date" or "category", "min", "max": of training or null,
                  "categories": [...] or null, "unit": text, "missing": "seen", "unseen" or "refused"}, ...]}

A file of schema 1 may get more entries; a change of these ones is schema 2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import chainrule
from chainrule.data.columns import Column
from chainrule.data.features import Missing, categories_of
from chainrule.data.formats import NumberFormat
from chainrule.export.steps import Program
from chainrule.model.distillation import describe

VERSION = 1
REFUSED, SEEN, UNSEEN = "refused", "seen", "unseen"
"""What is known of missing values: they are an error; training had some; training had none."""


def schema_of(program: Program) -> dict[str, Any]:
    """Return the target, the labels, and for each column its kind, range, categories, unit and missing values.

    The ends of a range are None where the model file does not contain them.
    """
    target = program.target
    ranges = {column["name"]: column for column in program.metadata.get("columns", ()) if "min" in column}
    return {
        "schema": VERSION,
        "version": chainrule.__version__,
        "model": program.digest,
        "target": None if target is None else target.name,
        "task": "network" if target is None else target.task,
        "labels": None if program.labels is None else list(program.labels),
        "outputs": program.n_out,
        "columns": [_column_schema(column, ranges.get(column.name, {})) for column in program.inputs],
    }


def _column_schema(column: Column, ends: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": column.name,
        "kind": KINDS[column.source],
        "min": ends.get("min"),
        "max": ends.get("max"),
        "categories": categories_of(column),
        "unit": column.format.unit if isinstance(column.format, NumberFormat) else "",
        "missing": _missing(column),
    }


KINDS = {"numbers": "number", "X": "raw", "dates": "date", "categories": "category"}
"""From the source of a column to what the schema calls its cells."""


def _missing(column: Column) -> str:
    if column.source == "X":
        return REFUSED
    marked = any(isinstance(feature, Missing) for feature in column.features)
    return SEEN if marked or getattr(column, "missing", 0) > 0 else UNSEEN


def as_json(program: Program) -> str:
    """Return the schema as ASCII text that can stand in a comment or a script."""
    text = json.dumps(schema_of(program), separators=(",", ":"))
    return "".join(f"\\u{ord(c):04x}" if c in "<*@?/" else c for c in text)


def notes_of(program: Program) -> Sequence[str]:
    """Return what every export says of the model beside its schema."""
    return [describe(program.metadata["distillation"])] if "distillation" in program.metadata else []
