"""Progress of what takes long: bars on a terminal, a line of plain text every ten seconds elsewhere, or nothing."""

import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from math import isfinite
from time import perf_counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from chainrule.training.callbacks import Callback
from chainrule.training.history import History
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
        parts = [self.detail] * bool(self.detail) + [f"{_duration(self._elapsed)} elapsed"]
        if 0 < self.fraction < 1:
            remaining = (perf_counter() - self.begin) * (1 / self.fraction - 1)
            parts.append(f"about {_duration(remaining)} remaining")
        return ", ".join(parts)

    def line(self) -> str:
        return f"{self.text}{': ' if self.detail else ', '}{self._state()}"

    def refresh(self) -> None:
        total = 1.0 if self.fraction else None
        self.bars.update(self.task, total=total, completed=self.fraction, state=self._state())


_MOST_BARS = 8
"""Members up to which the bars of finished ones stay."""


class TrainingDisplay(Display):
    """Follows the training of the members, in one thread or in several: a bar for each, and the time remaining."""

    def __init__(self, members: int, silent: bool = False, console: Console | None = None) -> None:
        super().__init__(silent, console)
        self.members = members
        self.runs: dict[int, Run] = {}
        self.begun: dict[int, tuple[float, float]] = {}
        """When each started member began, and the fraction that was done then, in an earlier process."""
        self.finished: set[int] = set()
        self.latest: Run | None = None
        self.tasks: dict[int, TaskID] = {-1: self.bars.add_task("training", total=1.0, state="")}

    def callbacks_for(self, member: int) -> list[Callback]:
        """Return the callbacks for the training of a member."""
        return [_Follow(self, member)]

    def follow(self, member: int, run: Run, begin: float) -> None:
        """Note the state, after a batch, of a member's training that began at a time."""
        self.begun.setdefault(member, (begin, run.epoch / run.epochs))
        self.runs[member] = self.latest = run

    def finish(self, member: int, run: Run) -> None:
        """Note, and write, that a member is trained."""
        history = run.history
        self.runs[member] = run
        self.finished.add(member)
        best = "" if history.best_epoch is None else f" (best: {history.best_epoch + 1})"
        epochs = f"{len(history)} epochs{best}{_values(history)}"
        self.write(f"member {member + 1} of {self.members}: {epochs}, {sum(history.seconds):.1f} s\n")

    @property
    def fraction(self) -> float:
        """The fraction of all planned batches that are trained, or will not be because their member has stopped."""
        return sum(1.0 if k in self.finished else run.progress for k, run in list(self.runs.items())) / self.members

    @property
    def seconds_remaining(self) -> float:
        """The estimated time until the last member stops; infinite before the first batch.

        Members are expected to train as many of their planned batches as those that have stopped, and at the mean speed
        of those in training; what an earlier process has trained took no time.
        """
        now, begun = perf_counter(), dict(self.begun)
        done = {k: min(run.progress, 1.0) for k, run in list(self.runs.items())}
        active = [k for k in begun if k not in self.finished]
        speeds = [(done[k] - begun[k][1]) / max(now - begun[k][0], 1e-9) for k in active if k in done]
        if not speeds or max(speeds) <= 0:
            return float("inf")
        stops = [done[k] for k in tuple(self.finished)]
        usual = sum(stops) / len(stops) if stops else 1.0
        left = [(usual if done[k] < usual else (1 + done[k]) / 2 if stops else 1.0) - done[k] for k in active]
        waiting = (self.members - len(self.finished) - len(active)) * usual
        return max(max(left), (sum(left) + waiting) / len(active)) * len(speeds) / sum(speeds)

    def _state(self) -> tuple[str, str]:
        place = f"{len(self.finished)} of {self.members} members trained"
        seconds = self.seconds_remaining if self.latest else float("inf")
        remaining = f"about {_duration(seconds)} remaining"
        return place, remaining if isfinite(seconds) else f"preparing, {_duration(self._elapsed)} elapsed"

    def line(self) -> str:
        place, remaining = self._state()
        run = self.latest
        return f"{place}, {remaining}" if run is None else f"{place}, {_epoch(run)}, {remaining}{_values(run.history)}"

    def refresh(self) -> None:
        self.bars.update(self.tasks[-1], completed=self.fraction, state=", ".join(self._state()))
        for k, run in sorted(self.runs.items()):
            if k not in self.tasks:
                self.tasks[k] = self.bars.add_task(f"member {k + 1}", total=1.0, state="")
            ended = k in self.finished
            state = f"{len(run.history)} epochs" if ended else _epoch(run)
            done = 1.0 if ended else run.progress
            shown = not ended or self.members <= _MOST_BARS
            self.bars.update(self.tasks[k], completed=done, state=f"{state}{_values(run.history)}", visible=shown)


class _Follow(Callback):
    """Reports the training of one member to a display."""

    every_batch = False

    def __init__(self, display: TrainingDisplay, member: int) -> None:
        self.display, self.member = display, member

    def on_train_begin(self, run: Run) -> None:
        self.begin = perf_counter()

    def on_batch_end(self, run: Run) -> None:
        self.display.follow(self.member, run, self.begin)

    def on_train_end(self, run: Run) -> None:
        self.display.finish(self.member, run)


def _epoch(run: Run) -> str:
    return f"epoch {min(run.epoch + 1, run.epochs)} of {run.epochs}"


def _values(history: History) -> str:
    """Return the last epoch's training loss, validation loss and last metric, each after a comma."""
    shown = {"training loss": history.loss, "validation loss": history.validation_loss}
    for name, column in list(history.metrics.items())[-1:]:
        shown[name.replace("_", " ")] = column
    return "".join(f", {name} {column[-1]:.3g}" for name, column in shown.items() if column)


def _duration(seconds: float) -> str:
    """Return a duration in its largest sensible unit: 45 s, 22 min, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
