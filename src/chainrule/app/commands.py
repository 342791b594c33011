"""The commands, each in a file of its own: this one puts them on the command line."""

from collections.abc import Callable
from typing import Annotated

import typer

import chainrule
from chainrule.app.export import export_command
from chainrule.app.models import inspect_command, report_command
from chainrule.app.predict import evaluate_command, predict_command
from chainrule.app.trace import trace_command
from chainrule.app.train import train_command

app = typer.Typer(
    help="Feed-forward neural networks for tables: train one on a file, and use it.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

COMMANDS: dict[str, Callable[..., None]] = {
    "train": train_command,
    "predict": predict_command,
    "evaluate": evaluate_command,
    "inspect": inspect_command,
    "report": report_command,
    "export": export_command,
    "trace": trace_command,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"chainrule {chainrule.__version__}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Feed-forward neural networks for tables: train one on a file, and use it."""
