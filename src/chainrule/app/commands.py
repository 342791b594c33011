"""The command-line application: its commands, and one format for all errors.

A command is a dataclass of `chainrule.app.options`, whose docstring is its help, and a module of the same name with a
function `run`, which is imported when the command runs: help and usage errors need neither NumPy nor polars.
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from importlib import import_module
from inspect import Parameter, Signature
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, get_type_hints
from warnings import catch_warnings, filterwarnings

import typer
from typer.core import TyperCommand, TyperGroup

import chainrule
from chainrule.app import options
from chainrule.display import printable
from chainrule.errors import ChainruleError, first_line

_COMMANDS: dict[str, type[options.Options]] = {
    "train": options.TrainOptions,
    "predict": options.PredictOptions,
    "evaluate": options.EvaluateOptions,
    "explain": options.ExplainOptions,
    "inspect": options.InspectOptions,
    "report": options.ReportOptions,
    "export": options.ExportOptions,
    "distil": options.DistilOptions,
    "drift": options.DriftOptions,
    "trace": options.TraceOptions,
    "playground": options.PlaygroundOptions,
}
"""Name of a command, and of its module -> its options."""

_UsageError: Any = typer.BadParameter.__base__
"""The base class of usage errors. It is private: typer has its own copy of click, or imports click, by version."""


def _print_error(message: str) -> None:
    typer.echo(f"chainrule: {printable(message)}", err=True)


# From dataclasses to commands.


def _command(name: str, kind: type[Any]) -> Callable[..., None]:
    """Return the function of a command, whose parameters are the fields of its options."""

    def command(**values: Any) -> None:
        with _one_line_errors():
            chosen = _built(kind, values)
            chosen.check()
            import_module(f"chainrule.app.{name}").run(chosen)

    command.__signature__ = Signature(list(_parameters(kind)))  # type: ignore[attr-defined]
    command.__doc__ = options.help_text(kind.__doc__ or "")
    return command


def _parameters(kind: type[Any]) -> Iterator[Parameter]:
    """Yield a parameter for each annotated field of a dataclass, and of those within it."""
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint = hints[field.name]
        if is_dataclass(hint):
            yield from _parameters(hint)  # type: ignore[arg-type]
        elif hasattr(hint, "__metadata__"):
            default = Parameter.empty if field.default is MISSING else field.default
            yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _built(kind: type[Any], values: dict[str, Any]) -> Any:
    """Return the options with these values, including those within them."""
    hints = get_type_hints(kind)
    within = {
        name: _built(hint, values) for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)
    }
    return kind(**{name: values[name] for name in hints if name in values}, **within)


# From words to values.


def _converting(parameters: list[Any]) -> list[Any]:
    """Return parameters that convert their values by themselves: typer's own way imports pydantic, for 0.1 s."""
    for parameter in parameters:
        if hasattr(parameter, "type_descriptor"):  # older versions of typer leave it to click
            parameter.get_runtime_param = lambda: SimpleNamespace(coerce=_converted)
    return parameters


def _converted(value: Any, param: Any, ctx: Any) -> Any:
    """Return the value of a parameter, given as a word, as several, or as its default."""
    kind = param.type_descriptor
    if value is None:
        return () if param.multiple else None
    convert = kind.parameter_info.parser or (Path if kind.is_path else str)
    return [convert(word) for word in value] if kind.is_list else convert(value)


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> Any:
        return _converting(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _import_formatter()
        super().format_help(ctx, formatter)


# Help.


def _import_formatter() -> None:
    """Import typer's formatter of help without two modules that are not used here, in three quarters of the time.

    rich.markdown loads a Markdown parser, and rich.traceback loads pygments for tracebacks, which are never shown.
    """
    unused = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}
    stand_ins = {name: ModuleType(name) for name in unused if name not in sys.modules}
    for name, module in stand_ins.items():
        setattr(module, unused[name], object)
    sys.modules.update(stand_ins)
    try:
        import_module("typer.rich_utils")
    finally:
        for name in stand_ins:
            del sys.modules[name]


# Errors and signals.


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Report errors that the user can fix in one line on standard error, with exit status 2. SIGTERM acts as Ctrl-C."""
    with suppress(ValueError):  # handlers can be set from the main thread only
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        with catch_warnings():  # every command reports them as notices, once
            filterwarnings("ignore", r"column .* are unknown", UserWarning)
            yield
    except BrokenPipeError:
        # The reader, for example `head`, has closed the pipe. Python must not write to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ChainruleError, OSError, ValueError) as error:
        _print_error(_message_of(error))
        raise typer.Exit(2) from None
    except KeyboardInterrupt as interrupt:
        _print_error(f"interrupted; {str(interrupt) or 'nothing was written'}")
        raise typer.Exit(130) from None


def _message_of(error: Exception) -> str:
    """Return an error's message in one line, without the number of an OSError."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return first_line(error)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


# Usage errors.


class _Commands(TyperGroup):
    """A group of commands that prints usage errors like all other errors: in one line, with exit status 2."""

    def get_params(self, ctx: Any) -> Any:
        return _converting(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _import_formatter()
        super().format_help(ctx, formatter)

    def main(self, *args: Any, **options: Any) -> Any:
        if not options.get("standalone_mode", True):
            return super().main(*args, **options)
        try:
            status = super().main(*args, **(options | {"standalone_mode": False}))
        except _UsageError as error:
            if type(error).__name__ != "NoArgsIsHelpError":  # which has already printed the help text
                _print_error(_usage_message(error))
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


# The application.

app = typer.Typer(
    cls=_Commands,
    help="Train feed-forward neural networks on tables, and use them.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for _name, _options in _COMMANDS.items():
    app.command(_name, cls=_Command)(_command(_name, _options))


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"chainrule {chainrule.__version__}")
        raise typer.Exit


@app.callback()
def _shared_options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train feed-forward neural networks on tables, and use them."""
