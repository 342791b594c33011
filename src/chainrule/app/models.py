"""The commands `inspect` and `report`: describe a model, and evaluate it in an HTML report."""

from pathlib import Path
from typing import Annotated

import typer

from chainrule.app.messages import console_for, echo, model_lines, print_json
from chainrule.app.options import (
    DecimalOption,
    EncodingOption,
    FileArgument,
    HeaderOption,
    JsonOption,
    KindOption,
    ModelArgument,
    SeparatorOption,
    check_places,
    load_predictor,
    one_line_errors,
    reading_for,
)
from chainrule.app.pipeline import score_on, split_target_for
from chainrule.app.progress import status
from chainrule.app.tables import TableFile


def inspect_command(model: ModelArgument, as_json: JsonOption = False) -> None:
    """Describe a model: its target, columns, networks, scores and training.

    Example: `chainrule inspect penguins.chainrule`
    """
    with one_line_errors():
        predictor = load_predictor(model)
        size = model.stat().st_size
        echo(console_for(as_json), model_lines(predictor, size))
        if as_json:
            networks = predictor.ensemble.networks
            print_json(
                {
                    "model": str(model),
                    "bytes": size,
                    "task": predictor.target.task,
                    "target": predictor.target.name,
                    "networks": len(networks),
                    "parameters": sum(network.theta.size for network in networks),
                    "layers": [str(layer) for layer in networks[0].layers],
                    "features": predictor.encoder.get_feature_names_out().tolist(),
                    "metadata": predictor.metadata,
                }
            )


def report_command(
    model: ModelArgument,
    file: FileArgument,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the report to this file.", show_default="MODEL's name with .html"),
    ] = None,
    form: KindOption = None,
    separator: SeparatorOption = None,
    decimal: DecimalOption = None,
    encoding: EncodingOption = None,
    header: HeaderOption = None,
) -> None:
    """Evaluate a model on a table that includes the target, and write the results as a single HTML file.

    Example: `chainrule report penguins.chainrule more.csv --out penguins.html`
    """
    with one_line_errors():
        out = out or Path(f"{model.name.split('.')[0]}.html")
        check_places({"--out": out}, {"MODEL": model, "FILE": file})
        from chainrule.app.report import write_report  # fails now, before any work, if matplotlib is missing

        predictor = load_predictor(model)
        reading = reading_for(predictor, separator, decimal, encoding, header)
        with status(f"reading {file}"):
            table = split_target_for(predictor, TableFile(file, form, reading))
        with status("scoring the model"):
            result = score_on(predictor, table)
        with status(f"writing the report {out}", announce=True):
            write_report(out, result)
        typer.echo(f"report  {out}")
