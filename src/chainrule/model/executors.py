"""Executors: train the members of an ensemble one after the other, or in parallel threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

from chainrule.model.recipe import Member
from chainrule.training.callbacks import Callback
from chainrule.training.run import Run

_POLL_SECONDS = 0.1
"""Interval at which the main thread checks for Ctrl-C."""

MemberTask = Callable[[Sequence[Callback]], Member | None]
"""Trains a member, with these callbacks in addition to its own; None if there is no time left for it."""


class Executor(Protocol):
    """Trains the members, `jobs` of them at a time."""

    jobs: int

    def __call__(self, tasks: Sequence[MemberTask], /) -> list[Member]:
        """Run the tasks and return their members; after Ctrl-C, those that have finished at least one epoch."""


class Serial:
    """Trains one member after the other. Ctrl-C stops the current one, and the others are not started."""

    jobs = 1

    def __call__(self, tasks: Sequence[MemberTask]) -> list[Member]:
        members = []
        for task in tasks:
            member = task([])
            if member is not None and len(member.history):
                members.append(member)
            if member is not None and member.history.interrupted:
                break
        return members


class Threads(Callback):
    """Trains members in `jobs` threads, which release the GIL in matrix products. Ctrl-C stops each after its batch."""

    every_batch = False

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def __call__(self, tasks: Sequence[MemberTask]) -> list[Member]:
        self.stopped = False
        futures: list[Future[Member | None]] = []
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                futures.extend(pool.submit(self._run_unless_stopped, task) for task in tasks)
                while wait(futures, _POLL_SECONDS).not_done:
                    pass  # a signal delivered to another thread is only handled between two waits
            except KeyboardInterrupt:
                pass
            finally:
                self.stopped = True
        members = [future.result() for future in futures]
        return [member for member in members if member is not None and len(member.history)]

    def _run_unless_stopped(self, task: MemberTask) -> Member | None:
        """Run a task unless stopped; if it fails, stop all the others."""
        if self.stopped:
            return None
        try:
            return task([self])
        except BaseException:
            self.stopped = True
            raise

    def on_batch_end(self, run: Run) -> None:
        if self.stopped:
            run.interrupt()
