"""The command `report`, and the report itself: a model on evaluation rows, as one HTML file without other resources.

A `Study` computes what the sections look at. `SECTIONS` lists functions from the study to a `Section` of blocks, or to
None if there is nothing to show, in the order of the page. A new section is a module with such a function, and a line
there.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from chainrule import viz  # noqa: F401 # raises MissingExtraError without matplotlib
from chainrule.app.csv_file import Show
from chainrule.app.options import ReportOptions
from chainrule.app.report import (
    calibration,
    classes,
    curves,
    dependence,
    errors,
    explanations,
    importance,
    inputs,
    intervals,
    members,
    numbers,
    origin,
    panel,
    scores,
    target,
    threshold,
)
from chainrule.app.report.blocks import Bullets, Panel, Section
from chainrule.app.report.study import MAX_COMPARED, MAX_PERMUTED, REPEATS, Study
from chainrule.app.reporter import Reporter
from chainrule.app.results import Result, Training, read_to_score, score_on
from chainrule.data.targets import ClassTarget
from chainrule.display import count
from chainrule.files.archive import write_whole
from chainrule.pages import render


def run(options: ReportOptions) -> None:
    """Evaluate a model on a table that includes the target, and write the report."""
    reporter = Reporter()
    predictor, table, source = read_to_score(options, reporter)
    with reporter.step("scoring the model") as show:
        result = score_on(predictor, table, show=show)
    with reporter.step(f"writing the report {options.output}", announce=True) as show:
        size = {"rows": len(table.values), "columns": len(table.inputs) + 1}
        write_report(options.output, result, show, evaluated={"name": source.name, **size, "sha256": source.sha256})
    reporter.say(f"report  {options.output}")


def write_report(
    path: Path,
    result: Result,
    show: Show = lambda part, fraction: None,
    training: Training | None = None,
    baselines: bool = True,
    evaluated: Mapping[str, Any] | None = None,
) -> None:
    """Write the report of a training, or of an evaluation on a table. The file is complete or absent."""
    study = Study(result, training, baselines, show, evaluated)
    sections = [section for make in SECTIONS if (section := make(study)) is not None]
    panels = (block for section in sections for block in section.blocks if isinstance(block, Panel))
    page = render(
        "report.html",
        scripts=" ".join(block.digest for block in panels) or "'none'",
        title=f"{study.target.name} from {study.metadata.get('table', 'a table')}",
        summary=_summary(study),
        sections=[(section.title, section.anchor, list(section.drawn(show))) for section in sections],
    )
    write_whole(path, lambda file: file.write(page.encode()))


def _summary(study: Study) -> str:
    """Return one or two sentences about the model and the rows of the report."""
    metadata, networks = study.metadata, study.ensemble.networks
    trained = duration = ""
    if "seconds" in metadata:
        trained = f", trained on {metadata['rows']['training']:,} rows"
        duration = f" Reading, training and scoring took {metadata['seconds']:.1f} s."
    rows = count(study.n_rows, "row")
    if study.result.histories:  # of the training, not of a later evaluation
        rows = metadata.get("tested on", rows)
    return f"{count(len(networks), 'network')} for {study.target.task}{trained}; evaluated on {rows}.{duration}"


def _notices(study: Study) -> Section | None:
    histories = enumerate(study.result.histories, 1)
    notes = [f"member {k}: {note}" for k, history in histories for note in history.notes]
    lines = [*study.metadata.get("notices", []), *notes]
    return Section("Notices", [Bullets(lines)]) if lines else None


def _findings(study: Study) -> Section | None:
    findings = study.metadata.get("findings", [])
    return Section("What to try next", [Bullets(findings)]) if findings else None


SECTIONS: tuple[Callable[[Study], Section | None], ...] = (
    scores.section,
    classes.section,
    threshold.section,
    numbers.section,
    calibration.section,
    intervals.section,
    importance.section,
    dependence.section,
    explanations.section,
    panel.section,
    members.section,
    errors.section,
    curves.section,
    target.section,
    inputs.section,
    _notices,
    _findings,
    origin.section,
)
"""The sections in the order of the page."""


def seconds_for_report(result: Result, seconds_per_row: float, n_rows: int) -> float:
    """Return about how long a report on more rows takes, of which a figure is timed, like the prediction of a row."""
    study = Study(result)
    figure, n_columns = target.figure(study), len(result.predictor.encoder.columns)
    figure.drawn()  # loads what the others need
    begin = perf_counter()
    figure.drawn()
    is_classifier = isinstance(result.predictor.target, ClassTarget)
    # A learning curve, of which there are two, takes as long as two other figures.
    n_figures = 11 + (7 if is_classifier else 5) + min(n_columns, dependence.N_DEPENDENCES)
    permuted = min(n_rows, 2_000) * (1 + REPEATS * min(n_columns, MAX_PERMUTED))
    explained = dependence.network_rows(n_rows, n_columns) + explanations.network_rows(n_rows, n_columns)
    compared, taught = 2 * min(n_rows, MAX_COMPARED), panel.network_rows(n_rows)
    predicted = permuted + explained + compared + taught
    return panel.SECONDS + n_figures * (perf_counter() - begin) + seconds_per_row * predicted
