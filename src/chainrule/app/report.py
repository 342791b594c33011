"""The command `report`, and the report itself: a model on evaluation rows, as one HTML file without other resources."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import viz  # raises MissingExtraError without matplotlib
from chainrule.app import messages
from chainrule.app.csv_file import Show
from chainrule.app.options import ReportOptions
from chainrule.app.reporter import Reporter
from chainrule.app.results import Result, read_to_score, score_on
from chainrule.app.scores import format_scores, format_uncertainty
from chainrule.arrays import Array
from chainrule.data.formats import is_missing
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.display import count
from chainrule.files.archive import write_whole
from chainrule.insight.evaluation import Importance, partial_dependence, permutation_importance, saliency_ranking
from chainrule.metrics import METRICS
from chainrule.pages import render
from chainrule.training.history import History
from chainrule.viz.style import palette_for
from chainrule.viz.svg import Draw, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_ERRORS_SHOWN = 8
_N_DEPENDENCES = 4
"""Number of columns whose partial dependence is shown, the most important first."""
MAX_PERMUTED = 40
"""Number of columns whose permutation importance is measured, preselected by gradient saliency."""
_REPEATS = 5

_Figure = tuple[Draw, float, float, str]
"""A function that draws on Axes, the figure's width and height in inches, and its label."""


def run(options: ReportOptions) -> None:
    """Evaluate a model on a table that includes the target, and write the report."""
    reporter = Reporter()
    predictor, table, _ = read_to_score(options, reporter)
    with reporter.step("scoring the model") as show:
        result = score_on(predictor, table, show=show)
    with reporter.step(f"writing the report {options.output}", announce=True) as show:
        write_report(options.output, result, show)
    reporter.say(f"report  {options.output}")


def write_report(path: Path, result: Result, show: Show = lambda part, fraction: None) -> None:
    """Write the report. The file is complete or absent."""
    page = render("report.html", **_contents(result, show))
    write_whole(path, lambda file: file.write(page.encode()))


def _contents(result: Result, show: Show) -> dict[str, Any]:
    """Return what the template shows, by name; figures are lists of SVG."""
    predictor, metadata = result.predictor, result.predictor.metadata
    importance = _measure_importance(result, show)
    names = importance.ranking[:8]
    training_notes = [f"member {k}: {note}" for k, history in enumerate(result.histories, 1) for note in history.notes]
    return _draw(_figures(result, importance, show), show) | {
        "title": f"{predictor.target.name} from {metadata.get('table', 'a table')}",
        "summary": _summary(result),
        "is_classifier": isinstance(predictor.target, ClassTarget),
        "result_scores": _scores(result),
        "baseline": f"baseline ({messages.baseline_of(predictor.target)})",
        "columns": [_describe_column(column) for column in metadata.get("columns", [])],
        "notices": [*metadata.get("notices", []), *training_notes],
        "n_measured": len(importance.worse),
        "n_columns": len(predictor.encoder.columns),
        "error_columns": ["row", "actual", "predicted", *names],
        "errors": _largest_errors(result, names),
        "findings": metadata.get("findings", []),
        "reproduction": [(label, _entry(metadata[key])) for key, label in _REPRODUCTION.items() if key in metadata],
    }


# Text.


def _summary(result: Result) -> str:
    """Return one sentence about the model and the rows of the report."""
    metadata, networks = result.predictor.metadata, result.predictor.ensemble.networks
    trained = ""
    if "seconds" in metadata:
        trained = f", trained on {metadata['rows']['training']:,} rows in {metadata['seconds']:.1f} s"
    task = result.predictor.target.task
    rows = count(len(result.values), "row")
    if result.histories:  # of the training, not of a later evaluation
        rows = metadata.get("tested on", rows)
    return f"{count(len(networks), 'network')} for {task}{trained}; evaluated on {rows}."


def _scores(result: Result) -> list[dict[str, str]]:
    """Return the scores, their intervals, and the scores of the baseline, as text."""
    shown = [
        {
            "name": name.replace("_", " "),
            "value": value,
            "interval": interval,
            "baseline": of_baseline,
            "better": messages.better_is(name),
        }
        for name, (value, interval, of_baseline) in format_scores(
            result.scores, result.intervals, result.baseline
        ).items()
    ]
    empty = dict.fromkeys(("interval", "baseline", "better"), "")
    shown += [empty | {"name": name, "value": text} for name, text in format_uncertainty(result.uncertainty).items()]
    return shown


def _describe_column(column: Mapping[str, Any]) -> dict[str, str]:
    missing = column.get("missing")
    summary = messages.column_summary({**column, "missing": 0})
    return {
        "name": column["name"],
        "kind": column["kind"],
        "missing": f"{missing:,}" if missing else "",
        "summary": summary,
    }


def _largest_errors(result: Result, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows with the largest loss: actual and predicted target, and their cells of some columns."""
    target, predictions = result.predictor.target, result.predictions
    if isinstance(target, ClassTarget):
        y = target.encode(result.values)
        worst = np.argsort(predictions[np.arange(len(predictions)), y], kind="stable")[:_MAX_ERRORS_SHOWN]
        worst = worst[predictions[worst].argmax(axis=1) != y[worst]]
        labels = target.decode(predictions[worst])
        predicted = [f"{label} ({P.max():.0%})" for label, P in zip(labels, predictions[worst])]
    else:
        actual, values = target.numbers(result.values)[:, 0], target.decode(predictions)
        worst = np.argsort(-np.abs(actual - values), kind="stable")[:_MAX_ERRORS_SHOWN]
        predicted = [messages.format_cell(value) for value in values[worst].tolist()]
    return [
        {
            "row": f"{result.rows[i]:,}",
            "actual": _cell(result.values[i]),
            "predicted": text,
            "cells": [_cell(result.inputs[name][i]) for name in names],
        }
        for i, text in zip(worst.tolist(), predicted)
    ]


def _cell(value: object) -> str:
    """Return a cell of the user's table as text."""
    if is_missing(value):
        return ""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return messages.format_cell(float(value))
    return str(value)


_REPRODUCTION = {
    "command": "command",
    "chainrule": "chainrule version",
    "numpy": "NumPy version",
    "date": "trained",
    "seed": "seed",
    "members": "networks",
    "best_epochs": "best epoch of each network",
}
"""Entry of the metadata that helps to reproduce a model -> label."""


def _entry(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else messages.readable_date(str(value))


# Figures.


def _figures(result: Result, importance: Importance, show: Show) -> dict[str, list[_Figure]]:
    height = 1.3 + 0.28 * min(len(importance.worse), 20)
    return {
        "distribution": [_target_distribution(result)],
        "learning_curves": [_learning_curves(result.histories)] if result.histories else [],
        "quality": _prediction_quality(result),
        "importance": [(partial(viz.importance, importance, title=""), 5.6, height, "Permutation importance")],
        "dependences": _dependences(result, importance.ranking[:_N_DEPENDENCES], show),
    }


def _draw(figures: dict[str, list[_Figure]], show: Show) -> dict[str, list[str]]:
    drawn: dict[str, list[str]] = {name: [] for name in figures}
    pairs = [(name, figure) for name, some in figures.items() for figure in some]
    for k, (name, figure) in enumerate(pairs):
        show("figures", k / len(pairs))
        drawn[name].append(svg(*figure))
    return drawn


def _dependences(result: Result, columns: Sequence[str], show: Show) -> list[_Figure]:
    """Return the partial dependence of the prediction on some columns."""
    figures: list[_Figure] = []
    for k, name in enumerate(columns):
        show("partial dependence", k / len(columns))
        dependence = partial_dependence(result.predictor, result.inputs, name)
        figures.append((partial(viz.partial_dependence, dependence), 4.2, 3.0, f"Partial dependence on {name}"))
    return figures


def _target_distribution(result: Result) -> _Figure:
    """Return the distribution of the target over the evaluation rows."""
    target = result.predictor.target
    if isinstance(target, ClassTarget):
        counts = np.bincount(target.encode(result.values), minlength=target.n_outputs)

        def draw_bars(ax: "Axes") -> None:
            places = np.arange(target.n_outputs)
            ax.barh(places, counts, color=palette_for(ax).blue, alpha=0.6, height=0.7)
            ax.set_yticks(places, [str(label)[:30] for label in target.labels])
            ax.invert_yaxis()
            ax.set(xlabel="number of evaluation rows")

        return draw_bars, 5.6, 0.9 + 0.28 * target.n_outputs, "Number of evaluation rows per class"
    numbers = target.numbers(result.values)[:, 0]

    def draw_histogram(ax: "Axes") -> None:
        bins = int(np.clip(2 * np.sqrt(len(numbers)), 5, 40))
        ax.hist(numbers, bins=bins, color=palette_for(ax).blue, alpha=0.6)
        ax.set(xlabel=target.name, ylabel="number of evaluation rows")

    return draw_histogram, 5.6, 2.6, "Histogram of the target over the evaluation rows"


def _learning_curves(histories: Sequence[History]) -> _Figure:
    """Return the training and validation loss of each member by epoch."""

    def draw(ax: "Axes") -> None:
        colors = palette_for(ax)
        for k, history in enumerate(histories):
            epochs = np.arange(1, len(history) + 1)
            label = ("training", "validation") if k == 0 else (None, None)
            ax.plot(epochs, history.loss, color=colors.orange, linewidth=1, alpha=0.7, label=label[0])
            ax.plot(epochs, history.validation_loss, color=colors.blue, linewidth=1.5, label=label[1])
            if history.best_epoch is not None:
                best = history.best_epoch
                ax.plot(best + 1, history.validation_loss[best], "o", color=colors.blue, markersize=5)
        ax.set(xlabel="epoch", ylabel="loss", yscale="log")
        ax.legend(frameon=False)

    return draw, 5.6, 3.2, "Training and validation loss by epoch"


def _prediction_quality(result: Result) -> list[_Figure]:
    """Return figures that compare predictions with the actual target."""
    target = result.predictor.target
    if isinstance(target, NumberTarget):
        actual, predictions = target.numbers(result.values)[:, 0], target.decode(result.predictions)
        drawn = {"Predicted against actual": viz.predicted_against_actual, "Residuals": viz.residuals}
        return [
            (partial(draw, actual, predictions, target.name, title=title), 4.4, 4.0, title)
            for title, draw in drawn.items()
        ]
    y, P, labels = target.encode(result.values), result.predictions, target.labels
    width = float(np.clip(0.35 * target.n_outputs, 4.0, 9))
    curves = {"Calibration": viz.calibration, "ROC curve": viz.roc, "Precision-recall curve": viz.precision_recall}
    title = "Confusion matrix"
    return [
        (partial(viz.confusion, y, P, labels, title=title), width + 0.4, width, title),
        *((partial(draw, y, P, labels, title=title), 4.4, 4.0, title) for title, draw in curves.items()),
    ]


def _measure_importance(result: Result, show: Show) -> Importance:
    """Return the permutation importance of the columns, or of the most salient ones if there are many."""
    predictor = result.predictor
    show("importance of the columns", None)
    columns = saliency_ranking(predictor, result.inputs, MAX_PERMUTED)
    metric = METRICS["log_loss" if isinstance(predictor.target, ClassTarget) else "rmse"]
    n_measured, n_all = 0, 1 + _REPEATS * len(columns)

    def measure(y: Array, prediction: Array) -> float:
        nonlocal n_measured
        show("importance of the columns", n_measured / n_all)
        n_measured += 1
        return metric.function(y, prediction)

    counted = replace(metric, function=measure)
    return permutation_importance(predictor, result.inputs, result.values, counted, columns=columns, repeats=_REPEATS)


def seconds_for_report(result: Result, seconds_per_row: float, n_rows: int) -> float:
    """Return about how long a report on more rows takes, of which a figure is timed, like the prediction of a row."""
    figure, n_columns = _prediction_quality(result)[-1], len(result.predictor.encoder.columns)
    svg(*figure)  # loads what the others need
    begin = perf_counter()
    svg(*figure)
    is_classifier = isinstance(result.predictor.target, ClassTarget)
    # The logarithmic axis of the learning curves takes as long as three figures.
    n_figures = 5 + (4 if is_classifier else 2) + min(n_columns, _N_DEPENDENCES)
    permuted = min(n_rows, 2_000) * (1 + _REPEATS * min(n_columns, MAX_PERMUTED))
    dependent = min(n_rows, 500) * 20 * min(n_columns, _N_DEPENDENCES)
    return n_figures * (perf_counter() - begin) + seconds_per_row * (permuted + dependent)
