"""The reporter: what a command says while it works and when it is done, as text, as one JSON object, or not at all."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from chainrule.app import progress
from chainrule.display import printable

if TYPE_CHECKING:
    from chainrule.app.training_display import TrainingDisplay


class Reporter:
    """Prints text to standard output and progress to standard error; with `as_json`, one object instead of both."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json, self.silent = as_json, as_json or quiet
        self.console = Console(quiet=self.silent, soft_wrap=True, highlight=False, markup=False, emoji=False)

    def say(self, *lines: str) -> None:
        """Print lines of text unchanged, except for control characters."""
        for line in lines:
            self.console.print(printable(line))

    def say_with_bars(self, text: str) -> None:
        """Print a text with bars beside a vertical line, which a terminal shows in colors."""
        styled = Text(text)
        styled.highlight_regex("\N{FULL BLOCK}+(?=\N{BOX DRAWINGS LIGHT VERTICAL})", "blue")
        styled.highlight_regex("(?<=\N{BOX DRAWINGS LIGHT VERTICAL})\N{FULL BLOCK}+", "dark_orange")
        self.console.print(styled)

    def tell(self, document: Mapping[str, Any]) -> None:
        """Print the document that replaces the text."""
        if self.as_json:
            typer.echo(json.dumps(document, indent=2))

    def step(self, text: str, announce: bool = False) -> progress.Step:
        """Return a context that shows that something is being done."""
        return progress.Step(text, self.silent, announce)

    def training(self, members: int) -> "TrainingDisplay":
        """Return a context that shows the training of the members."""
        from chainrule.app.training_display import TrainingDisplay  # other commands load no training

        return TrainingDisplay(members, self.silent)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM while results are saved, so that a second Ctrl-C does not lose them."""
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}
    with suppress(ValueError):  # handlers can be set from the main thread only
        for number in before:
            signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        with suppress(ValueError):
            for number, handler in before.items():
                signal.signal(number, handler)
