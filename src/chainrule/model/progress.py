"""Progress of an ensemble's training: what its members have done, and the time remaining."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isfinite
from time import perf_counter

from chainrule.display import count, format_duration
from chainrule.live import LiveLine
from chainrule.model.executors import Executor, MemberTask
from chainrule.model.recipe import Member
from chainrule.training.callbacks import Callback
from chainrule.training.history import History
from chainrule.training.run import Run


class MembersProgress:
    """Follows the training of the members, in one thread or in several."""

    def __init__(self, members: int) -> None:
        self.members, self.start = members, perf_counter()
        self.preparing = "preparing"
        """What is done before the first batch."""
        self.runs: dict[int, Run] = {}
        self.begun: dict[int, tuple[float, float]] = {}
        """When each started member began, and the fraction that was done then, in an earlier process."""
        self.finished: set[int] = set()
        self.latest: int | None = None
        """The member whose training went on last."""

    def callbacks_for(self, member: int) -> list[Callback]:
        """Return the callbacks for the training of a member."""
        return [_Follow(self, member)]

    def follow(self, member: int, run: Run, begin: float) -> None:
        """Note the state, after a batch, of a member's training that began at a time."""
        self.begun.setdefault(member, (begin, run.epoch / run.epochs))
        self.runs[member], self.latest = run, member

    def finish(self, member: int, run: Run) -> None:
        """Note that a member is trained."""
        self.runs[member] = run
        self.finished.add(member)

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

    def state(self) -> tuple[str, str]:
        """Return how many members are trained, and the time remaining."""
        place = f"{len(self.finished)} of {self.members} members trained"
        seconds = float("inf") if self.latest is None else self.seconds_remaining
        if isfinite(seconds):
            return place, f"about {format_duration(seconds)} remaining"
        elapsed = format_duration(perf_counter() - self.start)
        return place, f"{elapsed} elapsed" if self.latest is not None else f"{self.preparing}, {elapsed} elapsed"

    def line(self) -> str:
        """Return the state in one line, the most important first."""
        place, time = self.state()
        if self.latest is None or len(self.finished) == self.members:
            return f"{place}, {time}"
        run = self.runs[self.latest]
        return f"{place}, member {self.latest + 1}: {epoch_of(run)}, {time}{latest_values(run.history)}"

    def result(self, member: int) -> str:
        """Return what the training of a member came to, in one line."""
        history = self.runs[member].history
        best = "" if history.best_epoch is None else f" (best: {history.best_epoch + 1})"
        epochs = f"{count(len(history), 'epoch')}{best}{latest_values(history)}"
        return f"member {member + 1} of {self.members}: {epochs}, {sum(history.seconds):.1f} s"


class _Follow(Callback):
    """Reports the training of one member."""

    every_batch = False

    def __init__(self, progress: MembersProgress, member: int) -> None:
        self.progress, self.member = progress, member

    def on_train_begin(self, run: Run) -> None:
        self.begin = perf_counter()

    def on_batch_end(self, run: Run) -> None:
        self.progress.follow(self.member, run, self.begin)

    def on_train_end(self, run: Run) -> None:
        self.progress.finish(self.member, run)


class _MembersLine(MembersProgress):
    """Shows the progress of all members in one line; in a file, a line for each member, and one every ten seconds."""

    def __init__(self, members: int) -> None:
        super().__init__(members)
        self.live = LiveLine()

    def follow(self, member: int, run: Run, begin: float) -> None:
        super().follow(member, run, begin)
        if self.live.is_due():
            self.show()

    def finish(self, member: int, run: Run) -> None:
        super().finish(member, run)
        self.live.write(self.result(member))

    def show(self) -> None:
        """Show the state, in place of the last one where that is possible."""
        self.live.show(self.fraction, self.line())


class Watched:
    """Trains the members with another executor, and shows their progress in one line."""

    def __init__(self, executor: Executor) -> None:
        self.executor, self.jobs = executor, executor.jobs

    def __call__(self, tasks: Sequence[MemberTask]) -> list[Member]:
        line = _MembersLine(len(tasks))
        try:
            return self.executor([partial(_watch, task, line, k) for k, task in enumerate(tasks)])
        finally:
            if line.live.in_place:
                line.show()
            line.live.end()


def _watch(task: MemberTask, progress: MembersProgress, member: int, callbacks: Sequence[Callback]) -> Member | None:
    return task([*callbacks, *progress.callbacks_for(member)])


def epoch_of(run: Run) -> str:
    """Return where a training is as text."""
    return f"epoch {min(run.epoch + 1, run.epochs)} of {run.epochs}"


def latest_values(history: History) -> str:
    """Return the last epoch's training loss, validation loss and last metric, each after a comma."""
    shown = {"training loss": history.loss, "validation loss": history.validation_loss}
    for name, column in list(history.metrics.items())[-1:]:
        shown[name.replace("_", " ")] = column
    return "".join(f", {name} {column[-1]:.3g}" for name, column in shown.items() if column)
