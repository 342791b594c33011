"""The display of a training: a bar for each member, or lines of plain text."""

from math import isfinite
from time import perf_counter

from rich.console import Console
from rich.progress import TaskID

from chainrule.app.progress import Display, duration_text
from chainrule.training.callbacks import Callback
from chainrule.training.history import History
from chainrule.training.run import Run

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
        remaining = f"about {duration_text(seconds)} remaining"
        return place, remaining if isfinite(seconds) else f"preparing, {duration_text(self.elapsed)} elapsed"

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
