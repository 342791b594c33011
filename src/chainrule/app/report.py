"""The report of a model on evaluation rows: a single HTML file without external resources, for screen and print."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import viz  # raises MissingExtraError without matplotlib
from chainrule.app.messages import baseline_of, better_is, column_summary, count_networks, format_cell, readable_date
from chainrule.app.pipeline import Result, coverage_of
from chainrule.app.scores import format_scores
from chainrule.archive import write_whole
from chainrule.arrays import Array
from chainrule.data.formats import is_missing
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.insight.evaluation import Importance, partial_dependence, permutation_importance, saliency_ranking
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

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --pale: #63666a; --ground: #fff; --line: #d8dbe0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f0f0f0; --pale: #a3a8ae; --ground: #16181b; --line: #3a3f45; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 56rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: var(--ground);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
p, ul { max-width: 42rem; }
.pale { color: var(--pale); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: baseline; white-space: nowrap; }
th { font-weight: 500; }
thead th { border-bottom: 1px solid var(--line); color: var(--pale); font-weight: 400; vertical-align: bottom; }
td.reason { white-space: normal; }
.number { text-align: right; }
.big { font-size: 1.25rem; font-weight: 600; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
.pictures > * { flex: 0 1 auto; min-width: 0; }
code { font-size: .9em; overflow-wrap: anywhere; white-space: pre-wrap; }
svg { display: block; max-width: 100%; height: auto; color: var(--ink); }
@media print { body { max-width: none; } h2 { break-after: avoid; } }
"""


def write_report(path: Path, result: Result) -> None:
    """Write the report. The file is complete or absent."""
    page = _render(result)
    write_whole(path, lambda file: file.write(page.encode()))


def _render(result: Result) -> str:
    """Return the report's HTML."""
    metadata, target = result.predictor.metadata, result.predictor.target
    title = f"{target.name} from {metadata.get('table', 'a table')}"
    importance = _measure_importance(result)
    sections = [
        ("Scores", _scores_table(result)),
        ("Target distribution", _target_distribution(result)),
        ("Columns", _columns_table(metadata["columns"]) if "columns" in metadata else ""),
        ("Notices", _bullets(metadata.get("notices", []) + _training_notes(result))),
        ("Learning curves", _learning_curves(result)),
        ("Prediction quality", _prediction_quality(result)),
        ("Permutation importance", _importance_figure(result, importance)),
        ("Partial dependence", _dependence_figures(result, importance)),
        ("Largest errors", _largest_errors(result, importance)),
        ("What to try next", _bullets(metadata.get("findings", []))),
        ("Reproduce this model", _reproduction_table(metadata)),
    ]
    body = "".join(f"<section><h2>{escape(name)}</h2>{html}</section>\n" for name, html in sections if html)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="pale">{escape(_summary(result))}</p>
{body}</body>
</html>
"""


def _summary(result: Result) -> str:
    """Return one sentence about the model and the rows of the report."""
    metadata, networks = result.predictor.metadata, result.predictor.ensemble.networks
    trained = ""
    if "seconds" in metadata:
        trained = f", trained on {metadata['rows']['training']:,} rows in {metadata['seconds']:.1f} s"
    task = result.predictor.target.task
    rows = f"{len(result.values):,} rows"
    if result.histories:  # of the training, not of a later evaluation
        rows = metadata.get("tested on", rows)
    return f"{count_networks(networks)} for {task}{trained}; evaluated on {rows}."


# Tables.


def _table(head: Iterable[str], rows: Iterable[str]) -> str:
    """Return a table of cells that are HTML already."""
    return (
        f"<div class='wide'><table><thead><tr>{''.join(head)}</tr></thead>"
        f"<tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table></div>"
    )


def _scores_table(result: Result) -> str:
    """Return the scores, their intervals, and the scores of the baseline."""
    baseline = f"baseline: {baseline_of(result.predictor.target)}"
    head = [
        "<th></th>",
        *(f"<th class='number'>{name}</th>" for name in ("network", "90% interval", baseline)),
        "<th></th>",
    ]
    shown = format_scores(result.scores, result.intervals, result.baseline)
    rows = [
        f"<th>{name.replace('_', ' ')}</th><td class='number big'>{score}</td>"
        f"<td class='number pale'>{interval}</td><td class='number'>{of_baseline}</td>"
        f"<td class='pale'>{better_is(name)} is better</td>"
        for name, (score, interval, of_baseline) in shown.items()
    ]
    coverage = coverage_of(result)
    if coverage is not None:
        rows.append(
            "<th>coverage of 90% prediction intervals</th>"
            f"<td class='number big'>{coverage:.1%}</td><td></td><td></td><td></td>"
        )
    return _table(head, rows)


def _columns_table(columns: Sequence[Mapping[str, Any]]) -> str:
    """Return the columns of the table, each with its kind, missing cells and values."""
    head = ["<th>column</th>", "<th>kind</th>", "<th class='number'>missing</th>", "<th>values</th>"]
    rows = (
        f"<th>{escape(column['name'])}</th><td>{column['kind']}</td>"
        f"<td class='number'>{_count(column.get('missing'))}</td>"
        f"<td class='reason'>{escape(column_summary({**column, 'missing': 0}))}</td>"
        for column in columns
    )
    return _table(head, rows)


def _count(n: int | None) -> str:
    return f"{n:,}" if n else ""


def _largest_errors(result: Result, importance: Importance) -> str:
    """Return the rows with the largest loss: actual and predicted target, and the most important columns."""
    target, predictions = result.predictor.target, result.predictions
    names = importance.ranking[:8]
    if isinstance(target, ClassTarget):
        y = target.encode(result.values)
        worst = np.argsort(predictions[np.arange(len(predictions)), y], kind="stable")[:_MAX_ERRORS_SHOWN]
        worst = worst[predictions[worst].argmax(axis=1) != y[worst]]
        labels = target.decode(predictions[worst])
        predicted = [f"{label} ({P.max():.0%})" for label, P in zip(labels, predictions[worst])]
    else:
        actual, values = target.numbers(result.values)[:, 0], target.decode(predictions)
        worst = np.argsort(-np.abs(actual - values), kind="stable")[:_MAX_ERRORS_SHOWN]
        predicted = [format_cell(value) for value in values[worst].tolist()]
    if not len(worst):
        return "<p>Every row is classified correctly.</p>"
    head = [f"<th>{escape(name)}</th>" for name in ("row", "actual", "predicted", *names)]
    rows = (
        f"<td class='pale'>{result.rows[i]:,}</td><th>{escape(_cell(result.values[i]))}</th><td>{escape(text)}</td>"
        + "".join(f"<td>{escape(_cell(result.inputs[name][i]))}</td>" for name in names)
        for i, text in zip(worst.tolist(), predicted)
    )
    caption = "<p class='pale'>The rows with the largest loss, and their values of the most important columns.</p>"
    return caption + _table(head, rows)


def _cell(value: object) -> str:
    """Return a cell of the user's table as text."""
    if is_missing(value):
        return ""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return format_cell(float(value))
    return str(value)


_REPRODUCTION_LABELS = {
    "command": "command",
    "chainrule": "chainrule version",
    "numpy": "NumPy version",
    "date": "trained",
    "seed": "seed",
    "members": "networks",
    "best_epochs": "best epoch of each network",
}


def _reproduction_table(metadata: Mapping[str, Any]) -> str:
    """Return the command and the versions that reproduce the training."""
    rows = (
        f"<th>{label}</th><td class='reason'><code>{escape(_entry(metadata[name]))}</code></td>"
        for name, label in _REPRODUCTION_LABELS.items()
        if name in metadata
    )
    return f"<div class='wide'><table><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table></div>"


def _entry(value: object) -> str:
    """Return an entry of the metadata as text."""
    return ", ".join(map(str, value)) if isinstance(value, list) else readable_date(str(value))


def _training_notes(result: Result) -> list[str]:
    """Return the notes of the members' training histories."""
    return [f"member {k + 1}: {note}" for k, history in enumerate(result.histories) for note in history.notes]


def _bullets(lines: Sequence[str]) -> str:
    """Return lines as a list, or an empty string."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


# Figures.


def _target_distribution(result: Result) -> str:
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

        return svg(draw_bars, 5.6, 0.9 + 0.28 * target.n_outputs, "Number of evaluation rows per class")
    numbers = target.numbers(result.values)[:, 0]

    def draw_histogram(ax: "Axes") -> None:
        bins = int(np.clip(2 * np.sqrt(len(numbers)), 5, 40))
        ax.hist(numbers, bins=bins, color=palette_for(ax).blue, alpha=0.6)
        ax.set(xlabel=target.name, ylabel="number of evaluation rows")

    return svg(draw_histogram, 5.6, 2.6, "Histogram of the target over the evaluation rows")


def _learning_curves(result: Result) -> str:
    """Return the training and validation loss of each member by epoch, or an empty string without histories."""
    if not result.histories:
        return ""

    def draw(ax: "Axes") -> None:
        colors = palette_for(ax)
        for k, history in enumerate(result.histories):
            epochs = np.arange(1, len(history) + 1)
            label = ("training", "validation") if k == 0 else (None, None)
            ax.plot(epochs, history.loss, color=colors.orange, linewidth=1, alpha=0.7, label=label[0])
            ax.plot(epochs, history.validation_loss, color=colors.blue, linewidth=1.5, label=label[1])
            if history.best_epoch is not None:
                best = history.best_epoch
                ax.plot(best + 1, history.validation_loss[best], "o", color=colors.blue, markersize=5)
        ax.set(xlabel="epoch", ylabel="loss", yscale="log")
        ax.legend(frameon=False)

    caption = "One pair of curves per network. The dot marks the epoch whose weights are kept."
    if isinstance(result.predictor.target, ClassTarget):
        caption += " The loss includes label smoothing, so it is not comparable to the log loss in the scores."
    return svg(draw, 5.6, 3.2, "Training and validation loss by epoch") + f"<p class='pale'>{caption}</p>"


def _prediction_quality(result: Result) -> str:
    """Return figures that compare predictions with the actual target."""
    target = result.predictor.target
    if isinstance(target, NumberTarget):
        actual, predictions = target.numbers(result.values)[:, 0], target.decode(result.predictions)
        of_predictions = partial(viz.predicted_against_actual, actual, predictions, target.name)
        return _figures(
            (partial(of_predictions, title="Predicted against actual"), 4.4, 4.0, "Predicted against actual"),
            (partial(viz.residuals, actual, predictions, target.name, title="Residuals"), 4.4, 4.0, "Residuals"),
        )
    y, P, labels = target.encode(result.values), result.predictions, target.labels
    width = float(np.clip(0.35 * target.n_outputs, 4.0, 9))
    return _figures(
        _of_classes(viz.confusion, y, P, labels, "Confusion matrix", width + 0.4, width),
        _of_classes(viz.calibration, y, P, labels, "Calibration"),
        _of_classes(viz.roc, y, P, labels, "ROC curve"),
        _of_classes(viz.precision_recall, y, P, labels, "Precision-recall curve"),
    )


def _of_classes(
    draw: Draw, y: Array, P: Array, labels: Sequence[object], title: str, width: float = 4.4, height: float = 4.0
) -> tuple[Draw, float, float, str]:
    return partial(draw, y, P, labels, title=title), width, height, title


def _measure_importance(result: Result) -> Importance:
    """Return the permutation importance of the columns, or of the most salient ones if there are many."""
    predictor = result.predictor
    columns = saliency_ranking(predictor, result.inputs, MAX_PERMUTED)
    return permutation_importance(predictor, result.inputs, result.values, columns=columns, repeats=_REPEATS)


def _importance_figure(result: Result, importance: Importance) -> str:
    n_measured, n_columns = len(importance.worse), len(result.predictor.encoder.columns)
    caption = ""
    if n_measured < n_columns:
        caption = f"<p class='pale'>Measured for {n_measured} of {n_columns:,} columns, those of highest saliency.</p>"
    height = 1.3 + 0.28 * min(n_measured, 20)
    return caption + _figures((partial(viz.importance, importance, title=""), 5.6, height, "Permutation importance"))


def _dependence_figures(result: Result, importance: Importance) -> str:
    """Return the partial dependence of the prediction on the most important columns."""
    columns = importance.ranking[:_N_DEPENDENCES]
    dependences = [partial_dependence(result.predictor, result.inputs, name) for name in columns]
    return _figures(
        *(
            (partial(viz.partial_dependence, one), 4.2, 3.0, f"Partial dependence on {one.column}")
            for one in dependences
        )
    )


def _figures(*figures: tuple[Draw, float, float, str]) -> str:
    """Return figures next to each other: each a function of Axes, with its width, height and label."""
    return f"<div class='pictures'>{''.join(f'<div>{svg(*figure)}</div>' for figure in figures)}</div>"
