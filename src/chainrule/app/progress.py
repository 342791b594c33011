"""The live progress bar of a training, drawn by rich."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from chainrule.training.callbacks import Callback
from chainrule.training.history import History
from chainrule.training.loop import Run


class LiveProgress(Callback):
    """One line that is rewritten: bar, epoch, loss, validation score and the time left at most. A context manager."""

    def __init__(self, console: Console) -> None:
        self.bar = Progress(
            BarColumn(bar_width=16),
            # What is last is what a narrow terminal cuts off.
            TextColumn("epoch {task.fields[epoch]}, {task.fields[left]}  {task.fields[numbers]}"),
            console=console,
            transient=True,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def on_train_begin(self, run: Run) -> None:
        self.task = self.bar.add_task("", total=1.0, epoch=f"1/{run.epochs}", numbers="", left="time left unknown")

    def on_batch_end(self, run: Run) -> None:
        assert self.task is not None
        self.bar.update(self.task, completed=run.progress)

    def on_epoch_end(self, run: Run) -> None:
        assert self.task is not None
        gone = sum(run.history.seconds)
        left = gone / (run.epoch + 1) * (run.epochs - run.epoch - 1)
        self.bar.update(
            self.task,
            completed=(run.epoch + 1) / run.epochs,
            epoch=f"{run.epoch + 1}/{run.epochs}",
            numbers=numbers(run.history),
            left=f"{left:.0f} s left",
        )


def numbers(history: History) -> str:
    """Return the last epoch's loss, validation loss and last metric, short enough for one line."""
    shown = {"loss": history.loss, "validation": history.validation_loss}
    for name, column in list(history.metrics.items())[-1:]:
        shown[name.removeprefix("validation_")] = column
    return ", ".join(f"{name} {column[-1]:.3g}" for name, column in shown.items() if column)
