"""The pace of a training: how many batches are due."""

from __future__ import annotations

from time import perf_counter

from chainrule.arrays import require

MAX_SPEED = 1e4
MAX_PAUSE_SECONDS = 0.1
"""After a longer interruption, training does not catch up."""


class Pace:
    """A number of epochs per second; 0 is full speed."""

    def __init__(self) -> None:
        self.speed, self._due, self._since = 0.0, 0.0, 0.0

    def set(self, speed: float) -> None:
        """Set the number of epochs per second."""
        require(0 <= speed <= MAX_SPEED, "speed", f"be from 0 to {MAX_SPEED:,.0f}", speed)
        self.speed, self._due = float(speed), 0.0

    def start(self) -> None:
        """Start counting time."""
        self._since = perf_counter()

    def pass_time(self, batches_per_epoch: int) -> None:
        """Add the batches of the time since the last call."""
        now = perf_counter()
        self._due += self.speed * batches_per_epoch * min(now - self._since, MAX_PAUSE_SECONDS)
        self._since = now

    def take(self) -> bool:
        """Return whether a batch is due, which is then taken."""
        if self.speed and self._due < 1:
            return False
        self._due = max(0.0, self._due - 1)
        return True
