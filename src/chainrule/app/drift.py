"""The command `drift`: compare a table with what a model was trained on, column by column."""

from chainrule.app.options import DriftOptions
from chainrule.app.paths import shown
from chainrule.app.plan import text_columns, warnings_as
from chainrule.app.reporter import Reporter
from chainrule.app.results import load_predictor, open_table
from chainrule.data.reading import n_rows, read_columns
from chainrule.display import aligned, count
from chainrule.insight.drift import ColumnDrift, drift


def run(options: DriftOptions) -> None:
    """Print a verdict for each column, and for the predictions."""
    reporter = Reporter(as_json=options.as_json)
    predictor = load_predictor(options.model)
    source = open_table(predictor, options.file, options.table)
    with reporter.step(f"reading {shown(options.file)}") as show:
        table = read_columns(source.read(text_columns(predictor), show))
    predictor.encoder.layout.require(table)
    notices: list[str] = []
    with warnings_as(notices):
        columns = drift(predictor, table)
    changed = [column for column in columns if column.verdict not in ("ok", "not known")]
    verdict = f"{count(len(changed), 'column')} changed" if changed else "no column changed"
    rows = [["", "verdict", "distance", "unusual", "missing"], *map(_line, columns)]
    compared = "their ranges" if predictor.background is None else f"{count(len(predictor.background), 'training row')}"
    reporter.say(*aligned(rows), "", f"{verdict}; {count(n_rows(table), 'row')} compared with {compared}")
    reporter.tell(
        {"model": str(options.model), "rows": n_rows(table), "changed": [column.name for column in changed]}
        | {"columns": [column.to_dict() for column in columns]}
    )


def _line(column: ColumnDrift) -> list[str]:
    distance = "" if column.distance is None else f"{column.distance:.2f}"
    missing = f"{column.missing:.1%}" + (
        "" if column.missing_before is None else f", {column.missing_before:.1%} before"
    )
    return [column.name, column.verdict, distance, f"{column.unusual:.1%}", missing]
