"""Scores on rows that no model has seen: the networks, simple models trained on the same rows, and no model at all."""

from math import isnan, nan

from chainrule.app import messages
from chainrule.app.report.baselines import rounds
from chainrule.app.report.blocks import Section, Table, Text
from chainrule.app.report.study import Study
from chainrule.app.report.wording import joined, percent, short
from chainrule.app.scores import format_uncertainty
from chainrule.data.targets import ClassTarget
from chainrule.display import format_numbers

_Cell = str | tuple[str, str]


def section(study: Study) -> Section:
    """Return the scores, their intervals, those of the baselines, and how long each was trained."""
    failures = [Text(f"{model.name} failed: {model.failure}") for model in study.baselines if model.failure]
    return Section("Scores", [Text(_verdict(study)), _table(study), *failures])


def _table(study: Study) -> Table:
    result, models = study.result, [model for model in study.baselines if not model.failure]
    head = ["", "network", *(model.name for model in models), messages.baseline_of(study.target)]
    rows: list[list[_Cell]] = []
    for name, value in result.scores.items():
        ends = result.intervals.get(name, ())
        others = [model.scores.get(name, nan) for model in models] + [result.baseline.get(name, nan)]
        texts = format_numbers([value, *ends, *others], width=ends[1] - ends[0] if ends else 0.0)
        interval = " to ".join(texts[1 : 1 + len(ends)])
        shown = ["" if isnan(other) else text for other, text in zip(others, texts[1 + len(ends) :])]
        rows.append([(name.replace("_", " "), f"{messages.better_is(name)} is better"), (texts[0], interval), *shown])
    for name, text in format_uncertainty(result.uncertainty).items():
        rows.append([name, text, *("" for _ in models), ""])
    if study.training is not None:
        seconds = [study.training.seconds, *(model.seconds for model in models)]
        rows.append(["seconds of training", *(f"{value:.1f}" for value in seconds), ""])
    return Table(head, rows, _caption(study), fits=True)


def _caption(study: Study) -> str:
    rows = "Below each score of the network is its 90% interval."
    if not study.baselines:
        return rows
    n_all, n_rows = study.n_training, study.baselines[0].n_rows
    trained = "the same rows" if n_rows == n_all else f"{n_rows:,} of the {n_all:,} rows"
    caption = (
        f"{rows} The models of scikit-learn are trained on {trained} with default settings, and scored on the same "
        f"{study.rows_name}."
    )
    if rounds(study.target.n_outputs) == rounds(1):
        return caption
    return f"{caption} For so many classes, gradient boosting has {rounds(study.target.n_outputs)} rounds, not 100."


def _verdict(study: Study) -> str:
    """Return which model is best, and how sure that is."""
    result = study.result
    name = "log_loss" if isinstance(study.target, ClassTarget) else "rmse"
    own, worst = result.scores.get(name, nan), result.baseline.get(name, nan)
    rivals = {model.name: model.scores[name] for model in study.baselines if name in model.scores}
    metric = name.replace("_", " ").replace("rmse", "RMSE")
    sentence = f"The network's {metric} on {study.n_rows:,} {study.rows_name} is {short(own)}"
    if worst > 0:
        change = f"{percent(abs(1 - own / worst))} {'less' if own <= worst else 'more'}"
        sentence += f", {change} than that of the {messages.baseline_of(study.target)}"
    if not rivals:
        return f"{sentence}."
    best = min(rivals, key=lambda rival: rivals[rival])
    low, high = result.intervals.get(name, (own, own))
    others = joined([f"{short(value)} of {rival}" for rival, value in rivals.items()])
    sentence += f"; it compares with {others}."
    if rivals[best] < low:
        return f"{sentence} {best.capitalize()} is better than the network on these rows: use it, or train for longer."
    if rivals[best] > high:
        return f"{sentence} The network is better than both."
    return f"{sentence} The difference to {best} is within the network's 90% interval: these rows do not decide."
