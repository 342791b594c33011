"""A model card in Markdown (Mitchell et al. 2019): what a model is for, what it learned from, and how good it is."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from chainrule.app.messages import baseline_of, better_is, column_summary, readable_date
from chainrule.app.scores import format_scores, format_uncertainty
from chainrule.data.targets import ClassTarget
from chainrule.display import count
from chainrule.files.model import digest_of
from chainrule.model.distillation import describe
from chainrule.model.predictor import Predictor


def model_card(predictor: Predictor) -> list[str]:
    """Return the lines of a model's card."""
    metadata = predictor.metadata
    sections = {
        "Model": _model(predictor),
        "Target": _target(predictor),
        "Columns": _columns(predictor),
        "Scores": _scores(predictor),
        "Limits": _limits(predictor),
        "Notices": (f"- {_plain(note)}" for note in [*metadata.get("notices", []), *metadata.get("findings", [])]),
    }
    lines = [f"# {_plain(predictor.target.name)}: {predictor.target.task}"]
    for title, contents in sections.items():
        if found := list(contents):
            lines += ["", f"## {title}", "", *found]
    return lines


def _model(predictor: Predictor) -> Iterator[str]:
    metadata, networks = predictor.metadata, predictor.ensemble.networks
    parameters = sum(network.theta.size for network in networks)
    version = metadata.get("chainrule", "of an unknown version")
    yield f"- {count(len(networks), 'network')} with {parameters:,} parameters, by chainrule {version}"
    yield f"- SHA-256 `{digest_of(predictor)}`"
    if "date" in metadata:
        yield f"- trained {readable_date(metadata['date'])}"
    if "table" in metadata:
        rows = metadata.get("rows", {})
        size = f", {rows['training']:,} training rows" if "training" in rows else ""
        yield f"- trained on {_plain(metadata['table'])}{size}"
    if "distillation" in metadata:
        yield f"- {describe(metadata['distillation'])}"


def _target(predictor: Predictor) -> Iterator[str]:
    target = predictor.target
    if not isinstance(target, ClassTarget):
        yield f"A number with mean {target.means[0]:.6g} and standard deviation {target.stds[0]:.6g} in training."
        return
    yield from _table(["class", "share in training"], zip(target.labels, (f"{p:.1%}" for p in target.frequencies)))


def _columns(predictor: Predictor) -> Iterator[str]:
    about = {column["name"]: column for column in predictor.metadata.get("columns", ())}
    for column in predictor.encoder.columns:
        about.setdefault(column.name, {"name": column.name, "kind": column.kind})
    rows = [(name, column["kind"], column_summary(column)) for name, column in about.items()]
    yield from _table(["column", "kind", "values in training"], rows)


def _scores(predictor: Predictor) -> Iterator[str]:
    metadata = predictor.metadata
    if "scores" not in metadata:
        return
    given = [metadata.get(name, {}) for name in ("scores", "intervals", "baseline")]
    rows = [
        [f"{name.replace('_', ' ')} ({better_is(name)} is better)", *texts]
        for name, texts in format_scores(*given).items()
    ]
    rows += [[name, text, "", ""] for name, text in format_uncertainty(metadata).items()]
    if "tested on" in metadata:
        yield from (f"On {metadata['tested on']}.", "")
    yield from _table(["score", "model", "90% interval", baseline_of(predictor.target)], rows)


def _limits(predictor: Predictor) -> Iterator[str]:
    yield "- Scores hold for rows like those of training. `chainrule drift` compares a table with them."
    if predictor.ensemble.scores is None:
        yield "- The model is not calibrated for prediction intervals or sets."
    yield "- Contributions of columns describe the model; they are no causes."


def _table(head: Sequence[str], rows: Any) -> Iterator[str]:
    """Yield the lines of a table."""
    for cells in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _plain(value: object) -> str:
    """Return a text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(str(value).split()))
