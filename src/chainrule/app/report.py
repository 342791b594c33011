"""The report of a training: one HTML file that needs no network, reads in light and dark and on a phone."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.app.pipeline import HIGHER_IS_BETTER, Result, show_score
from chainrule.arrays import Array
from chainrule.data.targets import ClassTarget, NumberTarget
from chainrule.model.file import write_whole
from chainrule.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 40
MOST_POINTS = 2_000
INK = "#010203"
"""Stands in figures for the colour of the text around them."""

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --pale: #63666a; --ground: #fff; --line: #d8dbe0; --blue: 29 78 137; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f0f0f0; --pale: #a3a8ae; --ground: #16181b; --line: #3a3f45; --blue: 94 156 219; } }
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
.confusion td { min-width: 2.75rem; padding: .35rem .5rem; text-align: right; border: 1px solid var(--line);
  background: rgb(var(--blue) / calc(var(--share) * .6)); }
.confusion th { padding: .35rem .75rem .35rem 0; color: var(--ink); }
svg { display: block; max-width: 100%; height: auto; color: var(--ink); }
@media print { body { max-width: none; } h2 { break-after: avoid; } }
"""


def write_report(path: Path, result: Result) -> None:
    """Write the report, whole or not at all."""
    page = render(result)
    write_whole(path, lambda file: file.write(page.encode()))


def render(result: Result) -> str:
    """Return the report's HTML."""
    told = result.predictor.passport
    classifier = isinstance(result.predictor.target, ClassTarget)
    title = f"{told['target']} from {told['table']}"
    rows = told["rows"]
    sections = [
        ("Scores on rows never trained on", scores_table(result)),
        ("The table", columns_table(told["columns"])),
        ("Notices", bullets(told["notices"] + result.history.notes)),
        ("Learning curve", learning_curve(result.history)),
        ("Which class was taken for which", confusion(result) if classifier else ""),
        ("Predicted against actual", "" if classifier else predicted_against_actual(result)),
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
<p class="pale">A network for {told["task"]}: {rows["training"]:,} rows to train on, {rows["validation"]:,} to choose
the best epoch by, {rows["test"]:,} to test on. {told["seconds"]:.1f} s.</p>
{body}</body>
</html>
"""


# Tables.


def scores_table(result: Result) -> str:
    """Return the scores beside the baseline's."""
    baseline = "class shares alone" if isinstance(result.predictor.target, ClassTarget) else "the mean alone"
    rows = [
        f"<tr><th>{name.replace('_', ' ')}</th><td class='number big'>{show_score(name, value)}</td>"
        f"<td class='number'>{show_score(name, result.baseline[name])}</td>"
        f"<td class='pale'>{'higher' if name in HIGHER_IS_BETTER else 'lower'} is better</td></tr>"
        for name, value in result.scores.items()
    ]
    head = f"<tr><th></th><th class='number'>network</th><th class='number'>{baseline}</th><th></th></tr>"
    return f"<div class='wide'><table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"


def columns_table(columns: Sequence[Mapping[str, Any]]) -> str:
    """Return what each column of the table was taken for."""
    rows = "".join(
        f"<tr><th>{escape(column['name'])}</th><td>{column['kind']}</td>"
        f"<td class='number'>{column['missing'] or ''}</td><td class='reason'>{escape(content(column))}</td></tr>"
        for column in columns
    )
    head = "<tr><th>column</th><th>taken for</th><th class='number'>missing</th><th>holds</th></tr>"
    return f"<div class='wide'><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"


def content(column: Mapping[str, Any]) -> str:
    """Return what a column holds, in words."""
    if "from" in column:
        return f"{column['from']:.6g} to {column['to']:.6g}"
    return f"{column['levels']:,} levels" if "levels" in column else str(column["reason"])


def confusion(result: Result) -> str:
    """Return the confusion matrix: a row an actual class, a column a predicted one, shaded by the row's share."""
    target = result.predictor.target
    assert isinstance(target, ClassTarget)
    k = target.n_outputs
    if k > MOST_CLASSES:
        return f"<p class='pale'>{k} classes are too many to show.</p>"
    pairs = target.encode(result.values) * k + result.answers.argmax(axis=1)
    counts = np.bincount(pairs, minlength=k * k).reshape(k, k)
    totals = np.maximum(counts.sum(axis=1), 1)
    labels = [escape(str(label)) for label in target.labels]
    head = "".join(f"<th class='number'>{label}</th>" for label in labels)
    rows = "".join(
        f"<tr><th>{label}</th>"
        + "".join(f"<td style='--share:{count / total:.3f}'>{count or ''}</td>" for count in row)
        + "</tr>"
        for label, row, total in zip(labels, counts.tolist(), totals.tolist())
    )
    return (
        "<p class='pale'>A row for each actual class, a column for each predicted one.</p><div class='wide'>"
        f"<table class='confusion'><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def definitions(told: Mapping[str, Any]) -> str:
    """Return what reproduces the training."""
    names = ("chainrule", "numpy", "date", "seed", "hidden", "epochs", "best_epoch")
    rows = "".join(f"<tr><th>{name.replace('_', ' ')}</th><td>{escape(str(told[name]))}</td></tr>" for name in names)
    return f"<table><tbody>{rows}</tbody></table>"


def bullets(lines: Sequence[str]) -> str:
    """Return lines as a list; nothing for none."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


# Figures.


def learning_curve(history: History) -> str:
    """Return the losses by epoch."""

    def draw(ax: "Axes") -> None:
        epochs = np.arange(1, len(history) + 1)
        ax.plot(epochs, history.loss, color="#b88600", label="training loss, dropout included")
        ax.plot(epochs, history.validation_loss, color="#4a86c4", linewidth=2, label="validation loss")
        if history.best_epoch is not None:
            ax.axvline(history.best_epoch + 1, color=INK, linewidth=0.8, linestyle=":", label="best epoch, kept")
        ax.set(xlabel="epoch", ylabel="loss", yscale="log")
        ax.legend(frameon=False, labelcolor=INK)

    return svg(draw, 5.6, 3.2, "Losses by epoch")


def predicted_against_actual(result: Result) -> str:
    """Return a point a test row; on the line the two are equal."""
    target = result.predictor.target
    assert isinstance(target, NumberTarget)
    actual, predicted = target.numbers(result.values)[:, 0], target.decode(result.answers)
    some = np.random.default_rng(0).permutation(len(actual))[:MOST_POINTS]

    def draw(ax: "Axes") -> None:
        both: Array = np.concatenate([actual[some], predicted[some]])
        ends = [both.min(), both.max()]
        ax.plot(ends, ends, color=INK, linewidth=0.8, linestyle=":")
        ax.plot(actual[some], predicted[some], "o", color="#4a86c4", markersize=3, alpha=0.5, markeredgewidth=0)
        ax.set(xlabel=f"actual {target.name}", ylabel="predicted")

    return svg(draw, 4.8, 4.4, "Predicted against actual values")


def svg(draw: Callable[["Axes"], None], width: float, height: float, label: str) -> str:
    """Return a figure as SVG text, its ink the colour of the page's text; a note when matplotlib is not there."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        return "<p class='pale'>Figures need matplotlib: run  pip install 'chainrule[plot]'</p>"
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    ink: dict[Any, Any] = dict.fromkeys(inks, INK)
    with rc_context({**ink, "svg.fonttype": "none", "svg.hashsalt": label, "font.family": "sans-serif"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        ax = figure.add_subplot()
        ax.spines[["top", "right"]].set_visible(False)
        ax.patch.set_visible(False)
        draw(ax)
        text = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :].replace(INK, "currentColor")
    return drawing.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
