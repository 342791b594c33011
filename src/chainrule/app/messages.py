"""Texts: lines for people about tables, models, trainings and scores."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chainrule.app.options import TrainOptions
from chainrule.app.scores import Target, format_scores, format_uncertainty
from chainrule.data.targets import ClassTarget
from chainrule.display import aligned, count, format_number, format_numbers
from chainrule.errors import shorten
from chainrule.files.model import digest_of
from chainrule.metrics import METRICS
from chainrule.model.predictor import Predictor
from chainrule.model.seen import TRAINING_ROWS
from chainrule.nn.network import Network

if TYPE_CHECKING:  # a process that describes a model reads no table
    from chainrule.app.plan import Plan
    from chainrule.app.results import Result

_MAX_COLUMNS_SHOWN = 60


def readable_date(text: str) -> str:
    """Return a date in ISO 8601 as 2026-11-25 23:40 UTC, and any other text unchanged."""
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{date.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if date.tzinfo else text


def column_lines(columns: Sequence[Mapping[str, Any]], target: Target) -> list[str]:
    """Return one line per column: name, kind, then categories or range and missing cells, or why it is left out."""
    width = min(30, max(len(name) for name in [target.name, *(column["name"] for column in columns)]))
    lines = [f"  {column['name']:<{width}}  {column['kind']:<9} {column_summary(column)}" for column in columns]
    if len(lines) > _MAX_COLUMNS_SHOWN:
        lines[_MAX_COLUMNS_SHOWN:] = [f"  ... and {len(lines) - _MAX_COLUMNS_SHOWN:,} more"]
    return [*lines, f"  {target.name:<{width}}  target    {_describe_target(target)}"]


def column_summary(column: Mapping[str, Any]) -> str:
    """Return a column's categories or range and its missing cells, or why it is left out."""
    parts = [column["reason"]] if "reason" in column else []
    if "categories" in column:
        parts.append(f"{column['categories']:,} categories")
    if "min" in column:
        ends = column["min"], column["max"]
        parts.append(" to ".join(end if isinstance(end, str) else format_cell(end) for end in ends))
    if column.get("missing") and "reason" not in column:
        parts.append(f"{column['missing']:,} missing")
    return ", ".join(parts)


def format_cell(value: float) -> str:
    """Return a number of the user's table; those of four digits have no separator, because they may be years."""
    return format_number(value, group_from=10_000)


def _describe_target(target: Target) -> str:
    if isinstance(target, ClassTarget):
        return f"{target.n_outputs} classes: {shorten(target.labels)}"
    if set(target.means) == {0.0} and set(target.stds) == {1.0}:
        return "numeric, not standardized"
    mean, std = format_numbers([target.means[0], target.stds[0]], width=target.stds[0])
    return f"numeric, mean {mean}, standard deviation {std}"


def split_lines(plan: "Plan", n_training: str, n_test: int, members: int, source: str) -> list[str]:
    """Return the notices, and the numbers of training rows, test rows and members."""
    split = f"{n_training} training rows, {n_test:,} test rows{source}, {members} members"
    return [*(f"  note: {notice}" for notice in plan.notices), "", split]


def history_line(result: "Result", seconds: float) -> str:
    """Return each member's best epoch, the total time, and notes about the training."""
    histories = result.histories
    epochs = shorten([f"{(history.best_epoch or 0) + 1} of {len(history)}" for history in histories])
    notes = "".join(f"; {note}" for history in histories for note in history.notes)
    interrupted = any(history.interrupted for history in histories)
    restored = "interrupted; restored the best weights of every member trained so far; " if interrupted else ""
    return f"{restored}best epoch of each member: {epochs}; total time {seconds:.1f} s{notes}"


def score_lines(result: "Result", heading: str) -> list[str]:
    """Return a table of the scores, their intervals, and the scores of the baseline."""
    rows = [[heading, "network", "90% interval", baseline_of(result.predictor.target)]]
    for name, texts in format_scores(result.scores, result.intervals, result.baseline).items():
        rows.append([f"{name.replace('_', ' ')} ({better_is(name)} is better)", *texts])
    rows += [[name, text, "", ""] for name, text in format_uncertainty(result.uncertainty).items()]
    return aligned(rows, (38, 8, 20, 18))


def baseline_of(target: Target) -> str:
    """Return the name of the prediction that ignores the inputs."""
    return "class frequencies" if isinstance(target, ClassTarget) else "mean"


def better_is(score: str) -> str:
    """Return whether "higher" or "lower" values of a score are better."""
    return "higher" if METRICS[score].higher_is_better else "lower"


def _as_text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_as_text(entry)}" for name, entry in value.items())
    if isinstance(value, list):
        return ", ".join(map(_as_text, value))
    return format_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def network_lines(network: Network, size: int) -> list[str]:
    """Return a description of a bare network."""
    return [
        f"a network without a table, {network.theta.size:,} parameters, {size / 1024:,.0f} KB:",
        "",
        *str(network).splitlines(),
    ]


def model_lines(predictor: Predictor, size: int) -> list[str]:
    """Return a description of a model: its target, columns, networks, scores and training."""
    metadata, ensemble = predictor.metadata, predictor.ensemble
    n_parameters = sum(network.theta.size for network in ensemble.networks)
    largest = max(ensemble.networks, key=lambda network: network.theta.size)
    n_networks = count(len(ensemble.networks), "network")
    lines = [
        f"{predictor.target.task} of {predictor.target.name}: {_describe_target(predictor.target)}",
        f"{n_networks}, {n_parameters:,} parameters and {size / 1024:,.0f} KB in total; the largest network:",
        "",
        *(column_lines(metadata["columns"], predictor.target)[:-1] if "columns" in metadata else []),
        "",
        *str(largest).splitlines(),
        "",
    ]
    shown_elsewhere = ("columns", "reading", "notices", "findings", "scores", "baseline", "intervals", TRAINING_ROWS)
    as_text: dict[str, Callable[[Any], str]] = {"date": readable_date, "seed": str}
    shown = {"sha256": digest_of(predictor)} | {
        name.replace("_", " "): as_text.get(name, _as_text)(value)
        for name, value in metadata.items()
        if name not in shown_elsewhere and value not in (None, [], "")
    }
    if predictor.background is not None:
        shown["background"] = f"{count(len(predictor.background), 'encoded training row')}, for explanations"
    scores = format_scores(metadata.get("scores", {}), metadata.get("intervals", {}), {})
    shown |= {f"test {name.replace('_', ' ')}": text for name, (text, *_) in scores.items()}
    width = max(map(len, shown), default=0)
    return lines + [f"  {name:<{width}}  {value}" for name, value in shown.items()]


def next_commands(options: TrainOptions) -> list[str]:
    """Return the commands to type after a training: the model's file is the real one, names in capitals are not."""
    model = str(options.output)
    commands = [
        ["predict", model, "NEW_TABLE", "--out", "predictions.csv"],
        ["explain", model, "NEW_TABLE", "--row", "1"],
        ["evaluate", model, "LABELED_TABLE"],
    ]
    if options.report is None:
        commands.append(["report", model, "LABELED_TABLE"])
    return [shlex.join(["chainrule", *command]) for command in [*commands, ["export", model, "--to", "python"]]]
