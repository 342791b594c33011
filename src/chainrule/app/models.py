"""`chainrule inspect` and `chainrule report`: what a model is, and a page to show it by."""

from pathlib import Path
from typing import Annotated

import typer

from chainrule.app.options import (
    FileArgument,
    JsonOption,
    KindOption,
    ModelArgument,
    check_places,
    load_predictor,
    one_line_errors,
)
from chainrule.app.pipeline import score_on, separate_for
from chainrule.app.say import console_for, model_lines, print_json, tell
from chainrule.app.tables import TableFile


def inspect_command(model: ModelArgument, as_json: JsonOption = False) -> None:
    """Tell what a model is: target, columns, networks, scores, and how it was made.

    Example: `chainrule inspect penguins.chainrule`
    """
    with one_line_errors():
        predictor = load_predictor(model)
        size = model.stat().st_size
        tell(console_for(as_json), model_lines(predictor, size))
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
                    "encoded": predictor.encoder.get_feature_names_out().tolist(),
                    "metadata": predictor.metadata,
                }
            )


def report_command(
    model: ModelArgument,
    file: FileArgument,
    out: Annotated[Path | None, typer.Option(help="Where the page goes; unless told, MODEL's name, .html.")] = None,
    form: KindOption = None,
) -> None:
    """Write a report of a model by a table that holds the target too: one HTML file that needs no network.

    Example: `chainrule report penguins.chainrule more.csv --out penguins.html`
    """
    with one_line_errors():
        out = out or Path(f"{model.name.split('.')[0]}.html")
        check_places({"--out": out}, {"MODEL": model, "FILE": file})
        from chainrule.app.report import write_report  # which says at once what it needs

        predictor = load_predictor(model)
        result = score_on(predictor, separate_for(predictor, TableFile(file, form)))
        write_report(out, result)
        typer.echo(f"report  {out}")
