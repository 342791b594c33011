"""The inputs: the distribution of each column, and how much of it is missing, as small multiples."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.app import messages
from chainrule.app.report.blocks import Card, Cards, Section, Text
from chainrule.app.report.study import Study
from chainrule.app.report.wording import joined, percent
from chainrule.arrays import Array
from chainrule.data.cells import as_dates, factorize, missing_rows
from chainrule.data.columns import CategoryColumn, Column, DateColumn
from chainrule.data.formats import to_text
from chainrule.data.reading import Columns, take_rows
from chainrule.display import count

_MAX_ROWS = 20_000
"""Number of rows that stand for a larger table."""
_N_BINS, _MAX_BARS = 24, 5
_FREQUENT = 0.5
"""Fraction of the cells from which on a single number is mentioned."""


def section(study: Study) -> Section:
    """Return a card for each column of the training rows, or of the evaluation rows if the model was trained before."""
    inputs = study.result.inputs if study.training is None else study.training.inputs
    n = len(next(iter(inputs.values())))
    if n > _MAX_ROWS:
        inputs = take_rows(inputs, np.sort(np.random.default_rng(0).permutation(n)[:_MAX_ROWS]))
    fitted = {column.name: column for column in study.predictor.encoder.columns}
    about = {column["name"]: column for column in study.metadata.get("columns", [])}
    cards = [_card(inputs, fitted.get(name), about.get(name, {}), name) for name in inputs]
    cards.sort(key=lambda card: card.name not in fitted)  # what is left out comes last
    rows = "training rows" if study.training is not None else "rows of this table"
    return Section("Inputs", [Text(_sentence(cards, len(fitted), rows)), Cards(cards)])


def _sentence(cards: list[Card], n_used: int, rows: str) -> str:
    gaps = sorted((card for card in cards if card.missing), key=lambda card: -card.missing)
    unused = len(cards) - n_used
    parts = [f"{n_used} columns are used" + (f", {unused} left out" if unused else "")]
    if gaps:
        most = joined([f"{card.name} ({percent(card.missing)})" for card in gaps[:3]])
        parts.append(f"{len(gaps)} of them with missing cells, most in {most}")
    else:
        parts.append("without missing cells")
    return f"{'; '.join(parts)}. Distributions of the {rows}."


def _card(inputs: Columns, column: Column | None, about: Mapping[str, Any], name: str) -> Card:
    values = inputs[name]
    if column is None:
        missing = float(missing_rows(name, values).mean())
        return Card(name, f"left out: {about.get('reason', 'not used')}", missing)
    if isinstance(column, CategoryColumn):
        return _categories(name, values, messages.column_summary({**about, "missing": 0}))
    if isinstance(column, DateColumn):
        dates = as_dates(name, values, 0, column.format)
        return _dates(name, dates[~np.isnat(dates)], float(np.isnat(dates).mean()))
    numbers = column.read(values)[""]
    return _numbers(name, numbers[~np.isnan(numbers)], float(np.isnan(numbers).mean()))


def _numbers(name: str, known: Array, missing: float) -> Card:
    if not len(known):
        return Card(name, "number", missing)
    about = f"number, median {messages.format_cell(float(np.median(known)))}"
    distinct, counts = np.unique(known, return_counts=True)
    if len(distinct) > 1 and counts.max() >= _FREQUENT * len(known):
        about += f"; {percent(counts.max() / len(known))} are {messages.format_cell(float(distinct[counts.argmax()]))}"
    ends = [messages.format_cell(float(value)) for value in (known.min(), known.max())]
    return Card(name, about, missing, _heights(known), ends)


def _dates(name: str, known: Array, missing: float) -> Card:
    if not len(known):
        return Card(name, "date", missing)
    ends = [str(value.astype("M8[D]")) for value in (known.min(), known.max())]
    return Card(name, "date", missing, _heights(known.astype(np.int64).astype(np.float64)), ends)


def _heights(known: Array) -> list[float]:
    """Return the heights of a histogram's bars, 1 at most; few different numbers have a bar each."""
    scale = float(np.abs(known).max()) or 1.0  # the bins of extreme numbers would overflow
    counts = np.histogram(known / scale, _N_BINS)[0]
    return (counts / counts.max()).round(3).tolist()


def _categories(name: str, values: Array, about: str) -> Card:
    missing = missing_rows(name, values)
    known = values[~missing]
    cells, codes = factorize(name, known)
    counts = np.bincount(codes, minlength=len(cells))
    order = np.argsort(-counts, kind="stable")
    shares = [(to_text(cells[i]), float(counts[i] / len(known))) for i in order[:_MAX_BARS].tolist()]
    rest = counts[order[_MAX_BARS:]]
    if len(rest):
        shares.append((count(len(rest), "other"), float(rest.sum() / len(known))))
    bars = [
        (label, share, percent(share).replace("less than ", "< ").replace("more than ", "> "))
        for label, share in shares
    ]
    return Card(name, about, float(missing.mean()), bars=bars)
