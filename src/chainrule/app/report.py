"""The report of a model on rows it was not trained on: one HTML file, without network, for light, dark and print."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import viz  # which says what to install where matplotlib is not there
from chainrule.app.pipeline import Result, coverage_of
from chainrule.app.say import count_of, facts
from chainrule.app.scores import show_score
from chainrule.archive import write_whole
from chainrule.data.cells import is_missing
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.insight.evaluation import Importance, partial_dependence, permutation_importance, saliency_ranking
from chainrule.training.metrics import METRICS
from chainrule.viz.style import palette_for
from chainrule.viz.svg import Draw, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_WRONG = 8
"""Rows shown of those that the model got most wrong."""
DEPENDENCES = 4
"""Columns, the most important first, whose partial dependence is shown."""
MOST_SHUFFLED = 40
"""Columns whose importance is measured, by shuffling each `REPEATS` times."""
REPEATS = 5

STYLE = """
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
    """Write the report, whole or not at all."""
    page = render(result)
    write_whole(path, lambda file: file.write(page.encode()))


def render(result: Result) -> str:
    """Return the report's HTML."""
    told, target = result.predictor.metadata, result.predictor.target
    title = f"{target.name} from {told.get('table', 'a table')}"
    found = importances(result)
    sections = [
        ("Scores on rows never trained on", scores_table(result)),
        ("The target", target_picture(result)),
        ("The table", columns_table(told["columns"]) if "columns" in told else ""),
        ("Notices", bullets(told.get("notices", []) + notes(result))),
        ("Learning curves", learning_curves(result)),
        ("How good the answers are", quality(result)),
        ("What matters", importance(result, found)),
        ("How it matters", dependences(result, found)),
        ("The rows it got most wrong", most_wrong(result, found)),
        ("What to try next", bullets(told.get("findings", []))),
        ("How to make it again", definitions(told)),
    ]
    body = "".join(f"<section><h2>{escape(name)}</h2>{html}</section>\n" for name, html in sections if html)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="pale">{escape(summary(result))}</p>
{body}</body>
</html>
"""


def summary(result: Result) -> str:
    """Return what the page is about, in a sentence."""
    told, networks = result.predictor.metadata, result.predictor.ensemble.networks
    trained = f", trained on {told['rows']['training']:,} rows in {told['seconds']:.1f} s" if "seconds" in told else ""
    task = result.predictor.target.task
    return f"{count_of(networks)} for {task}{trained}; measured on {len(result.values):,} others."


# Tables.


def table(head: Iterable[str], rows: Iterable[str]) -> str:
    """Return a table of cells that are HTML already."""
    return (
        f"<div class='wide'><table><thead><tr>{''.join(head)}</tr></thead>"
        f"<tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table></div>"
    )


def scores_table(result: Result) -> str:
    """Return the scores, where they may lie, and the baseline's."""
    baseline = "class shares alone" if isinstance(result.predictor.target, ClassTarget) else "the mean alone"
    head = [
        "<th></th>",
        *(f"<th class='number'>{name}</th>" for name in ("network", "90 % interval", baseline)),
        "<th></th>",
    ]
    rows = [
        f"<th>{name.replace('_', ' ')}</th><td class='number big'>{show_score(name, value)}</td>"
        f"<td class='number pale'>{' to '.join(show_score(name, end) for end in result.spread[name])}</td>"
        f"<td class='number'>{show_score(name, result.baseline[name])}</td>"
        f"<td class='pale'>{'higher' if METRICS[name].higher_is_better else 'lower'} is better</td>"
        for name, value in result.scores.items()
    ]
    covered = coverage_of(result)
    if covered is not None:
        rows.append(
            f"<th>rows in their 90 % interval</th><td class='number big'>{covered:.1%}</td><td></td><td></td><td></td>"
        )
    return table(head, rows)


def columns_table(columns: Sequence[Mapping[str, Any]]) -> str:
    """Return what each column of the table was taken for."""
    head = ["<th>column</th>", "<th>taken for</th>", "<th class='number'>missing</th>", "<th>holds</th>"]
    rows = (
        f"<th>{escape(column['name'])}</th><td>{column['kind']}</td>"
        f"<td class='number'>{column.get('missing') or ''}</td>"
        f"<td class='reason'>{escape(facts({**column, 'missing': 0}))}</td>"
        for column in columns
    )
    return table(head, rows)


def most_wrong(result: Result, found: Importance) -> str:
    """Return the rows whose truth the model expected least, with what it said and what matters most of them."""
    target, predictions = result.predictor.target, result.predictions
    names = found.ranking[:8]
    if isinstance(target, ClassTarget):
        expected = predictions[np.arange(len(predictions)), target.encode(result.values)]
        worst = np.argsort(expected, kind="stable")[:MOST_WRONG]
        worst = worst[predictions[worst].argmax(axis=1) != target.encode(result.values)[worst]]
        said = [f"{label} ({P.max():.0%})" for label, P in zip(target.decode(predictions[worst]), predictions[worst])]
    else:
        truth, predicted = target.numbers(result.values)[:, 0], target.decode(predictions)
        worst = np.argsort(-np.abs(truth - predicted), kind="stable")[:MOST_WRONG]
        said = [f"{value:.5g}" for value in predicted[worst]]
    if not len(worst):
        return "<p>None of these rows was taken for another class.</p>"
    head = [f"<th>{escape(name)}</th>" for name in ("row", "truth", "answer", *names)]
    rows = (
        f"<td class='pale'>{result.rows[i]:,}</td><th>{escape(cell(result.values[i]))}</th><td>{escape(answer)}</td>"
        + "".join(f"<td>{escape(cell(result.inputs[name][i]))}</td>" for name in names)
        for i, answer in zip(worst.tolist(), said)
    )
    return table(head, rows)


def cell(value: object) -> str:
    """Return a table's cell as text."""
    return "" if is_missing(value) else f"{value:.6g}" if isinstance(value, float) else str(value)


def definitions(told: Mapping[str, Any]) -> str:
    """Return what reproduces the training."""
    names = ("command", "chainrule", "numpy", "date", "seed", "members", "best_epochs")
    rows = (
        f"<th>{name.replace('_', ' ')}</th><td class='reason'><code>{escape(str(told[name]))}</code></td>"
        for name in names
        if name in told
    )
    return f"<div class='wide'><table><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table></div>"


def notes(result: Result) -> list[str]:
    """Return what happened in training that a reader should know."""
    return [f"member {k + 1}: {note}" for k, history in enumerate(result.histories) for note in history.notes]


def bullets(lines: Sequence[str]) -> str:
    """Return lines as a list; nothing for none."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


# Pictures.


def target_picture(result: Result) -> str:
    """Return how the target is spread over the rows that are measured on."""
    target = result.predictor.target
    if isinstance(target, ClassTarget):
        counts = np.bincount(target.encode(result.values), minlength=target.n_outputs)

        def bars(ax: "Axes") -> None:
            places = np.arange(target.n_outputs)
            ax.barh(places, counts, color=palette_for(ax).blue, alpha=0.6, height=0.7)
            ax.set_yticks(places, [str(label)[:30] for label in target.labels])
            ax.invert_yaxis()
            ax.set(xlabel="rows measured on")

        return svg(bars, 5.6, 0.9 + 0.28 * target.n_outputs, "Rows measured on, of each class")
    numbers = target.numbers(result.values)[:, 0]

    def histogram(ax: "Axes") -> None:
        bins = int(np.clip(2 * np.sqrt(len(numbers)), 5, 40))
        ax.hist(numbers, bins=bins, color=palette_for(ax).blue, alpha=0.6)
        ax.set(xlabel=target.name, ylabel="rows measured on")

    return svg(histogram, 5.6, 2.6, "Rows measured on, by the target's value")


def learning_curves(result: Result) -> str:
    """Return the losses of each member by epoch; nothing where the training is not known."""
    if not result.histories:
        return ""

    def draw(ax: "Axes") -> None:
        colours = palette_for(ax)
        for k, history in enumerate(result.histories):
            epochs = np.arange(1, len(history) + 1)
            label = ("training", "validation") if k == 0 else (None, None)
            ax.plot(epochs, history.loss, color=colours.orange, linewidth=1, alpha=0.7, label=label[0])
            ax.plot(epochs, history.validation_loss, color=colours.blue, linewidth=1.5, label=label[1])
            if history.best_epoch is not None:
                best = history.best_epoch
                ax.plot(best + 1, history.validation_loss[best], "o", color=colours.blue, markersize=5)
        ax.set(xlabel="epoch", ylabel="loss", yscale="log")
        ax.legend(frameon=False)

    return (
        svg(draw, 5.6, 3.2, "Losses by epoch")
        + "<p class='pale'>A pair of lines for each member; the dot is the epoch that is kept.</p>"
    )


def quality(result: Result) -> str:
    """Return the pictures of what was answered against what was true."""
    target = result.predictor.target
    if isinstance(target, NumberTarget):
        truth, predictions = target.numbers(result.values)[:, 0], target.decode(result.predictions)
        return pictures(
            (
                partial(viz.predicted_against_actual, truth, predictions, target.name),
                4.4,
                4.0,
                "Predicted against actual",
            ),
            (partial(viz.residuals, truth, predictions, target.name), 4.4, 4.0, "Residuals"),
        )
    y, P = target.encode(result.values), result.predictions
    width = float(np.clip(0.35 * target.n_outputs, 4.0, 9))
    return pictures(
        (partial(viz.confusion, y, P, target.labels), width + 0.4, width, "Confusion matrix"),
        (partial(viz.calibration, y, P, target.labels), 4.4, 4.0, "Calibration"),
        (partial(viz.roc, y, P, target.labels), 4.4, 4.0, "ROC curve"),
        (partial(viz.precision_recall, y, P, target.labels), 4.4, 4.0, "Precision and recall"),
    )


def importances(result: Result) -> Importance:
    """Return how much worse the answers get without each column, or each of those that the answers follow most."""
    predictor = result.predictor
    heeded = saliency_ranking(predictor, result.inputs, MOST_SHUFFLED)
    return permutation_importance(predictor, result.inputs, result.values, columns=heeded, repeats=REPEATS)


def importance(result: Result, found: Importance) -> str:
    """Return the picture of that."""
    shown, columns = min(len(found.worse), 20), len(result.predictor.encoder.columns)
    told = f"<p class='pale'>Of the {MOST_SHUFFLED} columns of {columns:,} that the answers follow most.</p>"
    return (told if len(found.worse) < columns else "") + pictures(
        (partial(viz.importance, found), 5.6, 1.3 + 0.28 * shown, "Importance of columns")
    )


def dependences(result: Result, found: Importance) -> str:
    """Return how the answers move with each of the columns that matter most."""
    dependences = [partial_dependence(result.predictor, result.inputs, name) for name in found.ranking[:DEPENDENCES]]
    return pictures(
        *((partial(viz.partial_dependence, one), 4.2, 3.0, f"Dependence on {one.column}") for one in dependences)
    )


def pictures(*wanted: tuple[Draw, float, float, str]) -> str:
    """Return pictures side by side: each a function of Axes, with its width, height and name."""
    return f"<div class='pictures'>{''.join(f'<div>{svg(*one)}</div>' for one in wanted)}</div>"
