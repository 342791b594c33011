"""The display of a training: a bar for each member, or lines of plain text."""

from rich.console import Console
from rich.progress import TaskID

from chainrule.app.progress import Display
from chainrule.display import count
from chainrule.model.progress import MembersProgress, epoch_of, latest_values
from chainrule.training.run import Run

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
