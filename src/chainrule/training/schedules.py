"""Learning-rate schedules: the factor on the optimiser's rate at each step.

A schedule is a function of `epoch`, epochs done including the fraction of the present one, and `progress`, the share of
the whole training that is done, from 0 to 1. Your own function of the two can stand wherever a name can.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from math import cos, floor, inf, log2, pi
from typing import Any, ClassVar, final

from chainrule.arrays import require
from chainrule.errors import look_up
from chainrule.training.callbacks import require_result
from chainrule.training.history import History


class Schedule(ABC):
    """What every schedule answers."""

    depends_on_n_epochs: ClassVar[bool] = True
    """Whether the factor depends on `progress`, and so on how many epochs there will be."""

    @abstractmethod
    def __call__(self, epoch: float, progress: float) -> float:
        """Return the factor on the learning rate."""

    def begin(self, history: History) -> None:
        """Look at the columns that there will be, and raise ValueError if one that is needed is not among them."""

    def observe(self, history: History) -> None:
        """Look at the epoch that has ended; only schedules that react to results do."""

    def state(self) -> dict[str, Any]:
        """Return what is remembered from epoch to epoch, for a checkpoint, as plain values."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Remember what `state` returned."""


@final
@dataclass(frozen=True)
class Constant(Schedule):
    """1, always."""

    depends_on_n_epochs: ClassVar[bool] = False

    def __call__(self, epoch: float, progress: float) -> float:
        return 1.0


@final
@dataclass(frozen=True)
class Step(Schedule):
    """gamma^k after k times `every` epochs."""

    every: int = 10
    gamma: float = 0.1
    depends_on_n_epochs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.every >= 1, "every", "be >= 1", self.every)
        require(0 < self.gamma <= 1, "gamma", "be in (0, 1]", self.gamma)

    def __call__(self, epoch: float, progress: float) -> float:
        return self.gamma ** floor(epoch / self.every)


@final
@dataclass(frozen=True)
class Exponential(Schedule):
    """gamma^epoch."""

    gamma: float = 0.95
    depends_on_n_epochs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(0 < self.gamma <= 1, "gamma", "be in (0, 1]", self.gamma)

    def __call__(self, epoch: float, progress: float) -> float:
        return float(self.gamma**epoch)


@final
@dataclass(frozen=True)
class InverseScaling(Schedule):
    """1 / (1 + epoch)^power; for powers above 1/2, up to 1, stochastic descent converges (Robbins & Monro 1951)."""

    power: float = 0.5
    depends_on_n_epochs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.power >= 0, "power", "be >= 0", self.power)

    def __call__(self, epoch: float, progress: float) -> float:
        return float((1 + epoch) ** -self.power)


@final
@dataclass(frozen=True)
class Cosine(Schedule):
    """A straight rise over the first `warmup` share of the training, then half a cosine down to `final`.

    (Loshchilov & Hutter 2017, eq. 5, one cycle.)
    """

    warmup: float = 0.05
    final: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.warmup < 1, "warmup", "be in [0, 1)", self.warmup)
        require(0 <= self.final <= 1, "final", "be in [0, 1]", self.final)

    def __call__(self, epoch: float, progress: float) -> float:
        if progress < self.warmup:
            return max(progress, 1e-3 * self.warmup) / self.warmup
        return half_cosine(1.0, self.final, (progress - self.warmup) / (1 - self.warmup))


@final
@dataclass(frozen=True)
class OneCycle(Schedule):
    """From `start` up to 1 at the `peak` share of the training, then down to `final`, both along half a cosine.

    (Smith & Topin 2018, with PyTorch's defaults and its cosine in place of straight lines.)
    """

    peak: float = 0.3
    start: float = 1 / 25
    final: float = 1 / 250_000

    def __post_init__(self) -> None:
        require(0 < self.peak < 1, "peak", "be strictly between 0 and 1", self.peak)
        require(0 <= self.start <= 1, "start", "be in [0, 1]", self.start)
        require(0 <= self.final <= 1, "final", "be in [0, 1]", self.final)

    def __call__(self, epoch: float, progress: float) -> float:
        if progress < self.peak:
            return half_cosine(self.start, 1.0, progress / self.peak)
        return half_cosine(1.0, self.final, (progress - self.peak) / (1 - self.peak))


@final
@dataclass(frozen=True)
class CosLog4(Schedule):
    """(1 - cos(2 pi log2(1 + 15 progress))) / 2: four waves, each twice as long as the last.

    (Holzmueller et al. 2024, RealMLP.)
    """

    def __call__(self, epoch: float, progress: float) -> float:
        return (1 - cos(2 * pi * log2(1 + 15 * progress))) / 2


@final
@dataclass
class ReduceOnPlateau(Schedule):
    """`factor` times less whenever `metric` has not improved by `min_delta` for `patience` epochs.

    `metric` is a column of the history; None: the validation loss when there is one, else the loss.
    """

    metric: str | None = None
    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    least: float = 1e-6
    scale: float = field(default=1.0, init=False, repr=False)
    best: float | None = field(default=None, init=False, repr=False)
    waited: int = field(default=0, init=False, repr=False)
    depends_on_n_epochs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(0 < self.factor < 1, "factor", "be strictly between 0 and 1", self.factor)
        require(self.patience >= 1, "patience", "be >= 1", self.patience)
        require(self.min_delta >= 0, "min_delta", "be >= 0", self.min_delta)
        require(0 <= self.least <= 1, "least", "be in [0, 1]", self.least)

    def __call__(self, epoch: float, progress: float) -> float:
        return self.scale

    def begin(self, history: History) -> None:
        require_result(history, self.metric)

    def observe(self, history: History) -> None:
        metric = self.metric or history.monitor
        if history.improves(metric, self.best, self.min_delta):
            self.best, self.waited = history[metric][-1], 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.scale, self.waited = max(self.scale * self.factor, self.least), 0

    def state(self) -> dict[str, Any]:
        return {"scale": self.scale, "best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        self.scale, self.waited = float(state["scale"]), int(state["waited"])
        self.best = None if state["best"] is None else float(state["best"])


@final
@dataclass(frozen=True)
class OwnSchedule(Schedule):
    """A user's function `(epoch, progress) -> factor`."""

    function: Callable[[float, float], float]

    def __call__(self, epoch: float, progress: float) -> float:
        factor = float(self.function(epoch, progress))
        require(0 <= factor < inf, "schedule", "return a finite factor that is not negative", factor)
        return factor


def half_cosine(first: float, last: float, share: float) -> float:
    """Go from `first` to `last` along half a cosine."""
    return last + (first - last) * (1 + cos(pi * share)) / 2


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": Step,
    "exponential": Exponential,
    "inverse_scaling": InverseScaling,
    "cosine": Cosine,
    "one_cycle": OneCycle,
    "coslog4": CosLog4,
    "reduce_on_plateau": ReduceOnPlateau,
}


def as_schedule(schedule: str | Schedule | Callable[[float, float], float]) -> Schedule:
    """Return the schedule itself, the one of that name with its defaults, or a user's function as one."""
    if isinstance(schedule, Schedule):
        return schedule
    require(not isinstance(schedule, type), "schedule", "be an object, such as Cosine()", schedule)
    return OwnSchedule(schedule) if callable(schedule) else look_up(SCHEDULES, schedule, "schedule")()
