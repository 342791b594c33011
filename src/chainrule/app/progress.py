"""Progress of what takes long: bars on a terminal, a line of plain text every ten seconds elsewhere, or nothing."""

import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from chainrule.display import count, format_duration
from chainrule.model.progress import MembersProgress, epoch_of, latest_values
from chainrule.training.run import Run

INTERVAL_SECONDS = 10.0
"""Time between two lines where there is no terminal, and to the first one: what is quick writes none."""
_REFRESH_SECONDS = 0.2


class Display(ABC):
    """A context in which a terminal shows bars, and any other output a line every ten seconds, from a thread."""

    def __init__(self, silent: bool = False, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        live = console.is_terminal and not silent
        # A narrow terminal cuts off the end of the line, so the values of losses and metrics come last.
        texts = [TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[state]}")]
        self.bars = Progress(
            texts[0], BarColumn(bar_width=16), texts[1], console=console, transient=True, disable=not live
        )
        self.write: Callable[[str], object] = (lambda line: None) if live or silent else sys.stderr.write
        self.start, self.ended = perf_counter(), threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.interval = _REFRESH_SECONDS if live else INTERVAL_SECONDS
        self.silent = silent

    @abstractmethod
    def line(self) -> str:
        """Return the state in one line, the most important first."""

    def refresh(self) -> None:
        """Show the state on a terminal."""

    @property
    def _elapsed(self) -> float:
        """The time since the beginning, in seconds."""
        return perf_counter() - self.start

    def _follow(self) -> None:
        while not self.ended.wait(self.interval):
            with suppress(OSError, ValueError):  # standard error is closed
                self.refresh()
                self.write(f"{self.line()}\n")

    def __enter__(self) -> Self:
        self.bars.start()
        if not self.silent:
            self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        if not self.silent:
            self.thread.join()
        self.bars.stop()


class Step(Display):
    """One thing that takes long, such as reading a file. Call it to show how far it has come.

    With `announce`, a line is written at once where there is no terminal.
    """

    def __init__(self, text: str, silent: bool = False, announce: bool = False, console: Console | None = None) -> None:
        super().__init__(silent, console)
        self.text, self.detail, self.fraction, self.begin = text, "", 0.0, self.start
        self.task = self.bars.add_task(text, total=None, state="")
        if announce:
            self.write(f"{text} ...\n")

    def __call__(self, detail: str, fraction: float | None = None) -> None:
        """Show a detail, such as the number of rows so far, and the fraction that is done, if it is known.

        A fraction that falls begins another part of the work; the time remaining is that of the part.
        """
        if not fraction or fraction < self.fraction:
            self.begin = perf_counter()
        self.detail, self.fraction = detail, fraction or 0.0

    def _state(self) -> str:
        parts = [self.detail] * bool(self.detail) + [f"{format_duration(self._elapsed)} elapsed"]
        if 0 < self.fraction < 1:
            remaining = (perf_counter() - self.begin) * (1 / self.fraction - 1)
            parts.append(f"about {format_duration(remaining)} remaining")
        return ", ".join(parts)

    def line(self) -> str:
        return f"{self.text}{': ' if self.detail else ', '}{self._state()}"

    def refresh(self) -> None:
        total = 1.0 if self.fraction else None
        self.bars.update(self.task, total=total, completed=self.fraction, state=self._state())


_MOST_BARS = 8
"""Members up to which the bars of finished ones stay."""


class TrainingDisplay(MembersProgress, Display):
    """Shows the training of the members: a bar for each, and the time remaining."""

    def __init__(self, members: int, silent: bool = False, console: Console | None = None) -> None:
        Display.__init__(self, silent, console)
        MembersProgress.__init__(self, members)
        self.tasks: dict[int, TaskID] = {-1: self.bars.add_task("training", total=1.0, state="")}

    def finish(self, member: int, run: Run) -> None:
        super().finish(member, run)
        self.write(f"{self.result(member)}\n")

    def refresh(self) -> None:
        self.bars.update(self.tasks[-1], completed=self.fraction, state=", ".join(self.state()))
        for k, run in sorted(self.runs.items()):
            if k not in self.tasks:
                self.tasks[k] = self.bars.add_task(f"member {k + 1}", total=1.0, state="")
            ended = k in self.finished
            state = count(len(run.history), "epoch") if ended else epoch_of(run)
            done = 1.0 if ended else run.progress
            shown = not ended or self.members <= _MOST_BARS
            self.bars.update(self.tasks[k], completed=done, state=f"{state}{latest_values(run.history)}", visible=shown)
