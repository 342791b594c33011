"""What shows a training while it runs: one live line on a terminal, a line a member elsewhere."""

import sys
from collections.abc import Callable
from time import perf_counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from chainrule.training.callbacks import Callback
from chainrule.training.history import History
from chainrule.training.run import Run


class Board:
    """Where the members' trainings are followed, from one thread or from several. A context manager."""

    def __init__(self, members: int) -> None:
        self.members = members
        self.done = 0
        self.shares: dict[int, float] = {}
        self.begun = perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left open."""

    def watch(self, member: int) -> list[Callback]:
        """Return the callbacks of a member."""
        return [Follow(self, member)]

    def show(self, member: int, run: Run) -> None:
        """Tell of a batch or an epoch."""

    def finish(self, member: int, run: Run) -> None:
        """Tell of a member that is trained."""

    @property
    def share(self) -> float:
        """How much of the whole is done, at least: members may stop before their last epoch."""
        return sum(self.shares.values()) / self.members

    @property
    def seconds_left(self) -> float:
        """How long it will take, at most."""
        gone = perf_counter() - self.begun
        return gone * (1 / self.share - 1) if self.share > 0 else float("inf")


class Follow(Callback):
    """Reports one member's run to the board."""

    def __init__(self, board: Board, member: int) -> None:
        self.board, self.member = board, member

    def on_batch_end(self, run: Run) -> None:
        self.board.shares[self.member] = run.progress
        self.board.show(self.member, run)

    def on_train_end(self, run: Run) -> None:
        self.board.shares[self.member] = 1.0
        self.board.done += 1
        self.board.finish(self.member, run)


class Lines(Board):
    """A line a member, for a file or a pipe."""

    def __init__(self, members: int, write: Callable[[str], object] = sys.stderr.write) -> None:
        super().__init__(members)
        self.write = write

    def finish(self, member: int, run: Run) -> None:
        history = run.history
        best = "" if history.best_epoch is None else f", epoch {history.best_epoch + 1} was best"
        seconds = sum(history.seconds)
        self.write(
            f"member {member + 1} of {self.members}: {len(history)} epochs{best}, {numbers(history)}, {seconds:.1f} s\n"
        )


class Live(Board):
    """One line that is rewritten: bar, members, epoch, loss, validation score, and the time left at most."""

    def __init__(self, members: int, console: Console) -> None:
        super().__init__(members)
        self.bar = Progress(
            BarColumn(bar_width=16),
            # What is last is what a narrow terminal cuts off.
            TextColumn("{task.fields[place]}, {task.fields[left]}  {task.fields[numbers]}"),
            console=console,
            transient=True,
        )
        self.task = self.bar.add_task("", total=1.0, place=f"0 of {members} members", numbers="", left="starting")

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
            completed=self.share,
            place=f"member {member + 1} of {self.members}, epoch {run.epoch + 1}/{run.epochs}",
            numbers=numbers(run.history),
            left=f"{self.seconds_left:.0f} s left at most",
        )


def numbers(history: History) -> str:
    """Return the last epoch's loss, validation loss and last metric, short enough for one line."""
    shown = {"loss": history.loss, "validation": history.validation_loss}
    for name, column in list(history.metrics.items())[-1:]:
        shown[name.removeprefix("validation_")] = column
    return ", ".join(f"{name} {column[-1]:.3g}" for name, column in shown.items() if column)
