"""What the commands say: lines of text for people, and JSON for machines."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich.console import Console

from chainrule.app.pipeline import Plan, Result, coverage_of
from chainrule.app.scores import Target, show_score
from chainrule.data.targets import ClassTarget
from chainrule.errors import shorten
from chainrule.model.predictor import Predictor
from chainrule.training.metrics import METRICS

MOST_COLUMNS_SHOWN = 60


def console_for(silent: bool) -> Console:
    """Return where people read: standard output, every line as it is."""
    return Console(quiet=silent, soft_wrap=True, highlight=False, markup=False, emoji=False)


def tell(console: Console, lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        console.print(printable(line))


def printable(text: str) -> str:
    """Return text with control characters, which a table may hold and a terminal would obey, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document for machines."""
    typer.echo(json.dumps(document, indent=2))


def column_lines(columns: Sequence[Mapping[str, Any]], target: Target) -> list[str]:
    """Return a line a column: name, kind, missing cells, and levels, range or the reason it was left out."""
    width = min(30, max(len(name) for name in [target.name, *(column["name"] for column in columns)]))
    lines = [f"  {column['name']:<{width}}  {column['kind']:<9} {facts(column)}" for column in columns]
    if len(lines) > MOST_COLUMNS_SHOWN:
        lines[MOST_COLUMNS_SHOWN:] = [f"  ... and {len(lines) - MOST_COLUMNS_SHOWN:,} more"]
    return [*lines, f"  {target.name:<{width}}  target    {describe_rows(target)}"]


def count_of(networks: Sequence[object]) -> str:
    """Return how many networks there are, in words."""
    return "1 network" if len(networks) == 1 else f"{len(networks)} networks"


def describe_rows(target: Target) -> str:
    """Return what a target is."""
    if isinstance(target, ClassTarget):
        return f"{target.n_outputs} classes: {shorten(target.labels)}"
    if set(target.means) == {0.0} and set(target.stds) == {1.0}:
        return "numbers, as the network gives them"
    return f"numbers, mean {target.means[0]:.5g}, deviation {target.stds[0]:.5g}"


def facts(column: Mapping[str, Any]) -> str:
    """Return what is known of a column."""
    told = [column["reason"]] if "reason" in column else []
    if "levels" in column:
        told.append(f"{column['levels']:,} levels")
    if "from" in column:
        ends = column["from"], column["to"]
        told.append(" to ".join(end if isinstance(end, str) else f"{end:.6g}" for end in ends))
    if column.get("missing") and "reason" not in column:
        told.append(f"{column['missing']:,} missing")
    return ", ".join(told)


def row_lines(plan: Plan, n_tested: int, members: int, source: str) -> list[str]:
    """Return the notices, and what happens to the rows."""
    split = f"{len(plan.training):,} rows to train {members} members on, {n_tested:,} to test on{source}"
    return [*(f"  note: {notice}" for notice in plan.notices), "", split]


def history_line(result: Result, seconds: float) -> str:
    """Return how the training went."""
    histories = result.histories
    epochs = shorten([f"{(history.best_epoch or 0) + 1} of {len(history)}" for history in histories])
    notes = "".join(f"; {note}" for history in histories for note in history.notes)
    interrupted = any(history.interrupted for history in histories)
    kept = "interrupted: the best networks so far are kept; " if interrupted else ""
    return f"{kept}best epochs: {epochs}; {seconds:.1f} s in all{notes}"


def score_lines(result: Result, heading: str) -> list[str]:
    """Return the scores beside the baseline's, as a table."""
    knowing_nothing = "class shares" if isinstance(result.predictor.target, ClassTarget) else "mean"
    lines = [f"  {heading:<38}{'network':>10}{'90 % interval':>22}{knowing_nothing:>14}"]
    for name, value in result.scores.items():
        told = f"{name.replace('_', ' ')} ({'higher' if METRICS[name].higher_is_better else 'lower'} is better)"
        between = " to ".join(show_score(name, end) for end in result.spread[name])
        baseline = show_score(name, result.baseline[name])
        lines.append(f"  {told:<38}{show_score(name, value):>10}{between:>22}{baseline:>14}")
    covered = coverage_of(result)
    return lines if covered is None else [*lines, f"  {'rows in their 90 % interval':<38}{covered:>10.1%}"]


def in_words(fact: object) -> str:
    """Return a metadata's entry as people write it."""
    if isinstance(fact, Mapping):
        return ", ".join(f"{name} {in_words(value)}" for name, value in fact.items())
    return ", ".join(map(in_words, fact)) if isinstance(fact, list) else str(fact)


def model_lines(predictor: Predictor, size: int) -> list[str]:
    """Return what a model is: its target, columns, networks, scores and history."""
    told, ensemble = predictor.metadata, predictor.ensemble
    network = ensemble.networks[0]
    lines = [
        f"{predictor.target.task} of {predictor.target.name}: {describe_rows(predictor.target)}",
        f"{count_of(ensemble.networks)} of {network.theta.size:,} parameters, {size / 1024:,.0f} KB in all",
        "",
        *(column_lines(told["columns"], predictor.target)[:-1] if "columns" in told else []),
        "",
        *str(network).splitlines(),
        "",
    ]
    elsewhere = ("columns", "notices", "findings", "scores", "baseline", "spread")
    shown = {
        name: in_words(fact) for name, fact in told.items() if name not in elsewhere and fact not in (None, [], "")
    }
    shown |= {f"test {name}": show_score(name, value) for name, value in told.get("scores", {}).items()}
    width = max(map(len, shown), default=0)
    return lines + [f"  {name:<{width}}  {value}" for name, value in shown.items()]
