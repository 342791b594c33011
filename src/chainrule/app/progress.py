"""Progress of what takes long: a live line on a terminal, a line of plain text every ten seconds elsewhere."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import perf_counter
from types import TracebackType
from typing import Self

import rich.progress
from rich.console import Console

from chainrule.training.callbacks import Callback
from chainrule.training.history import History
from chainrule.training.run import Run

INTERVAL_SECONDS = 10.0
"""Time between two lines where there is no terminal."""


class Progress:
    """Follows the training of the members, in one thread or in several, and shows nothing. A context manager."""

    def __init__(self, members: int) -> None:
        self.members = members
        self.n_finished = 0
        self.fractions: dict[int, float] = {}
        self.resumed: dict[int, float] = {}
        self.start = perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: there is nothing to close."""

    def callbacks_for(self, member: int) -> list[Callback]:
        """Return the callbacks for the training of a member."""
        return [ProgressCallback(self, member)]

    def show(self, member: int, run: Run) -> None:
        """Show the state of a member's training after a batch."""

    def finish(self, member: int, run: Run) -> None:
        """Show that a member is trained."""

    @property
    def fraction(self) -> float:
        """The fraction of all planned batches that are done. Members may stop before their last epoch."""
        return sum(self.fractions.values()) / self.members

    @property
    def seconds_remaining(self) -> float:
        """The estimated time until all planned batches are done; resumed ones took no time."""
        done = self.fraction - sum(self.resumed.values()) / self.members
        return (perf_counter() - self.start) * (1 - self.fraction) / done if done > 0 else float("inf")

    def line(self, run: Run) -> str:
        """Return the state of the training in one line, the most important first."""
        remaining = f"about {_duration(self.seconds_remaining)} remaining"
        return f"{self.place}, epoch {run.epoch + 1} of {run.epochs}, {remaining}"

    @property
    def place(self) -> str:
        """How many members are trained."""
        return f"{self.n_finished} of {self.members} members trained"


class ProgressCallback(Callback):
    """Reports the training of one member to a Progress."""

    def __init__(self, progress: Progress, member: int) -> None:
        self.progress, self.member = progress, member

    def on_batch_end(self, run: Run) -> None:
        if self.member not in self.progress.fractions:
            self.progress.resumed[self.member] = run.epoch / run.epochs
        self.progress.fractions[self.member] = run.progress
        self.progress.show(self.member, run)

    def on_train_end(self, run: Run) -> None:
        self.progress.fractions[self.member] = 1.0
        self.progress.n_finished += 1
        self.progress.finish(self.member, run)


class LineDisplay(Progress):
    """Writes a line every ten seconds and one per trained member, for a file or a pipe."""

    def __init__(self, members: int, write: Callable[[str], object] | None = None) -> None:
        super().__init__(members)
        self.write, self.lock, self.next = write or sys.stderr.write, threading.Lock(), self.start + INTERVAL_SECONDS

    def show(self, member: int, run: Run) -> None:
        with self.lock:
            is_due = perf_counter() >= self.next
            if is_due:
                self.next = perf_counter() + INTERVAL_SECONDS
        if is_due:
            values = _last_values(run.history)
            self.write(f"{self.line(run)}{', ' * bool(values)}{values}\n")

    def finish(self, member: int, run: Run) -> None:
        history = run.history
        best = "" if history.best_epoch is None else f" (best: {history.best_epoch + 1})"
        seconds = sum(history.seconds)
        self.write(
            f"member {member + 1} of {self.members}: {len(history)} epochs{best}, "
            f"{_last_values(history)}, {seconds:.1f} s\n"
        )


class LiveDisplay(Progress):
    """Rewrites one line: a bar, the members trained, the epoch, the time remaining, losses and the metric."""

    def __init__(self, members: int, console: Console) -> None:
        super().__init__(members)
        self.bar = rich.progress.Progress(
            rich.progress.BarColumn(bar_width=16),
            # A narrow terminal cuts off the end of the line, so the values of losses and metrics come last.
            rich.progress.TextColumn("{task.fields[line]}  {task.fields[values]}"),
            console=console,
            transient=True,
        )
        self.task = self.bar.add_task("", total=1.0, line=f"{self.place}, starting", values="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def show(self, member: int, run: Run) -> None:
        self.bar.update(
            self.task,
            completed=self.fraction,
            line=self.line(run),
            values=_last_values(run.history),
        )


def _last_values(history: History) -> str:
    """Return the last epoch's training loss, validation loss and last metric, each with its name."""
    shown = {"training loss": history.loss, "validation loss": history.validation_loss}
    for name, column in list(history.metrics.items())[-1:]:
        shown[name.replace("_", " ")] = column
    return ", ".join(f"{name} {column[-1]:.3g}" for name, column in shown.items() if column)


def _duration(seconds: float) -> str:
    """Return a duration in its largest sensible unit: 45 s, 22 min, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def status(text: str, quiet: bool = False, announce: bool = False) -> Iterator[Callable[[str], None]]:
    """Show on standard error what is being done: a spinner on a terminal, a line every ten seconds elsewhere.

    Yields a function that takes how far it has come, such as the number of rows so far. With `announce`, the first line
    is written at once.
    """
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if quiet:
        yield lambda detail: None
    elif console.is_terminal:
        with console.status(f"{text} ...") as spinner:
            yield lambda detail: spinner.update(f"{text}: {detail} ...")
    else:
        if announce:
            console.print(f"{text} ...")
        with _Heartbeat(text) as heartbeat:
            yield heartbeat.update


class _Heartbeat:
    """A context that writes a line to standard error every ten seconds, from a thread of its own."""

    def __init__(self, text: str) -> None:
        self.text, self.detail, self.ended = text, "", threading.Event()
        self.thread = threading.Thread(target=self._beat, args=(perf_counter(), sys.stderr.write), daemon=True)

    def update(self, detail: str) -> None:
        """Set what the next line shows after the text."""
        self.detail = f": {detail}"

    def _beat(self, start: float, write: Callable[[str], object]) -> None:
        while not self.ended.wait(INTERVAL_SECONDS):
            with suppress(OSError, ValueError):  # standard error is closed
                write(f"{self.text}{self.detail}, {_duration(perf_counter() - start)} elapsed\n")

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self.thread.join()
