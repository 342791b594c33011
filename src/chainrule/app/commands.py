"""The command-line application: its commands, and one format for all usage errors."""

import re
import sys
from collections.abc import Callable
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import chainrule
from chainrule.app.export import export_command
from chainrule.app.messages import print_error
from chainrule.app.models import inspect_command, report_command
from chainrule.app.predict import evaluate_command, predict_command
from chainrule.app.trace import trace_command
from chainrule.app.train import train_command

_UsageError: Any = typer.BadParameter.__base__
"""The base class of usage errors. It is private: typer has its own copy of click, or imports click, by version."""


class _Commands(TyperGroup):
    """A group of commands that prints usage errors like all other errors: in one line, with exit status 2."""

    def main(self, *args: Any, **options: Any) -> Any:
        if not options.get("standalone_mode", True):
            return super().main(*args, **options)
        try:
            status = super().main(*args, **(options | {"standalone_mode": False}))
        except _UsageError as error:
            if type(error).__name__ != "NoArgsIsHelpError":  # which has already printed the help text
                print_error(_usage_message(error))
            sys.exit(2)
        except typer.Abort:
            sys.exit(130)
        sys.exit(status if isinstance(status, int) else 0)


def _usage_message(error: Any) -> str:
    """Return the message of a usage error in the form of our own errors."""
    # The classes of these errors are private as well; their attributes tell them apart.
    parameter = getattr(error, "param", None)
    if hasattr(error, "param_type"):
        return f"{_name_of(parameter)} is required"
    if parameter is not None:
        return f"{_name_of(parameter)} {error.message}"
    message = str(error.message).rstrip(".")
    if hasattr(error, "option_name"):
        name = error.option_name
        if hasattr(error, "possibilities"):
            return f"no option {name}. {_option_hint(name, error.ctx)}"
        return f"{name} {'takes no' if 'not take' in message else 'requires a'} value"
    message = re.sub(r"^Got unexpected extra arguments?(?:\(s\))? \((.*)\)$", r"unexpected argument: \1", message)
    message = re.sub(r"^No such command ('.*?')(?:\. (Did you mean '.*?').*)?$", r"no command \1. \2", message)
    message = f"{message}?" if "Did you mean" in message else message.removesuffix(". ")
    return message[:1].lower() + message[1:]


def _option_hint(name: str, context: Any) -> str:
    """Return the option whose name is closest, or how to list them."""
    options = {option.lstrip("-"): option for parameter in context.command.params for option in parameter.opts}
    close = get_close_matches(name.lstrip("-"), options, n=1)
    if close:
        return f"Did you mean {options[close[0]]}?"
    return f"Run {context.command_path} --help for the list of options."


def _name_of(parameter: Any) -> str:
    """Return a parameter's name as it is typed: --epochs for an option, FILE for an argument."""
    names = [name for name in parameter.opts if name.startswith("-")]
    return str(max(names, key=len) if names else parameter.metavar or parameter.name.upper())


app = typer.Typer(
    cls=_Commands,
    help="Train feed-forward neural networks on tables, and use them.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

_COMMANDS: dict[str, Callable[..., None]] = {
    "train": train_command,
    "predict": predict_command,
    "evaluate": evaluate_command,
    "inspect": inspect_command,
    "report": report_command,
    "export": export_command,
    "trace": trace_command,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"chainrule {chainrule.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train feed-forward neural networks on tables, and use them."""
