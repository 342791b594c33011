"""Learning-rate schedules: a factor on the optimizer's learning rate at each step.

A schedule is a function of `epoch`, the number of epochs done including the fraction of the current one, and of
`progress`, the fraction of the whole training that is done, from 0 to 1. A custom function of the two
works wherever a name does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import signature
from math import cos, floor, inf, log2, pi
from typing import Annotated, Any, ClassVar, final

from chainrule.arrays import Checked, require
from chainrule.errors import look_up
from chainrule.training.history import History


class Schedule(Checked, ABC):
    """Base class of schedules."""

    depends_on_n_epochs: ClassVar[bool] = True
    """Whether the factor depends on `progress`, and so on the total number of epochs."""

    @abstractmethod
    def __call__(self, epoch: float, progress: float) -> float:
        """Return the factor on the learning rate."""

    def begin(self, history: History) -> None:
        """Raise ValueError if the history will not have a column that the schedule needs."""

    def observe(self, history: History) -> None:
        """Called after each epoch; for schedules that react to results."""

    def state(self) -> dict[str, Any]:
        """Return the state kept from epoch to epoch, as plain values, for a checkpoint."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""


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

    every: Annotated[int, ">= 1"] = 10
    gamma: Annotated[float, "in (0, 1]"] = 0.1
    depends_on_n_epochs: ClassVar[bool] = False

    def __call__(self, epoch: float, progress: float) -> float:
        return self.gamma ** floor(epoch / self.every)


@final
@dataclass(frozen=True)
class Exponential(Schedule):
    """gamma^epoch."""

    gamma: Annotated[float, "in (0, 1]"] = 0.95
    depends_on_n_epochs: ClassVar[bool] = False

    def __call__(self, epoch: float, progress: float) -> float:
        return float(self.gamma**epoch)


@final
@dataclass(frozen=True)
class InverseScaling(Schedule):
    """1 / (1 + epoch)^power; for powers above 1/2, up to 1, stochastic descent converges (Robbins & Monro 1951)."""

    power: Annotated[float, ">= 0"] = 0.5
    depends_on_n_epochs: ClassVar[bool] = False

    def __call__(self, epoch: float, progress: float) -> float:
        return float((1 + epoch) ** -self.power)


@final
@dataclass(frozen=True)
class Cosine(Schedule):
    """Linear warm-up over the fraction `warmup` of the training, then half a cosine down to `final`.

    (Loshchilov & Hutter 2017, eq. 5, one cycle.)
    """

    warmup: Annotated[float, "in [0, 1)"] = 0.05
    final: Annotated[float, "in [0, 1]"] = 0.0

    def __call__(self, epoch: float, progress: float) -> float:
        if progress < self.warmup:
            return max(progress, 1e-3 * self.warmup) / self.warmup
        return _half_cosine(1.0, self.final, (progress - self.warmup) / (1 - self.warmup))


@final
@dataclass(frozen=True)
class OneCycle(Schedule):
    """From `start` up to 1 at the fraction `peak` of the training, then down to `final`, both along half a cosine.

    (Smith & Topin 2018, with PyTorch's defaults, and its cosine instead of straight lines.)
    """

    peak: Annotated[float, "strictly between 0 and 1"] = 0.3
    start: Annotated[float, "in [0, 1]"] = 1 / 25
    final: Annotated[float, "in [0, 1]"] = 1 / 250_000

    def __call__(self, epoch: float, progress: float) -> float:
        if progress < self.peak:
            return _half_cosine(self.start, 1.0, progress / self.peak)
        return _half_cosine(1.0, self.final, (progress - self.peak) / (1 - self.peak))


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
    """Multiplies the rate by `factor` when `metric` has not improved by `min_delta` for `patience` epochs.

    `metric` is a column of the history; None: the validation loss if there is one, else the loss. The factor stays at
    least `minimum`.
    """

    metric: str | None = None
    factor: Annotated[float, "strictly between 0 and 1"] = 0.1
    patience: Annotated[int, ">= 1"] = 10
    min_delta: Annotated[float, ">= 0"] = 1e-4
    minimum: Annotated[float, "in [0, 1]"] = 1e-6
    scale: float = field(default=1.0, init=False, repr=False)
    best: float | None = field(default=None, init=False, repr=False)
    waited: int = field(default=0, init=False, repr=False)
    depends_on_n_epochs: ClassVar[bool] = False

    def __call__(self, epoch: float, progress: float) -> float:
        return self.scale

    def begin(self, history: History) -> None:
        history.require(self.metric)

    def observe(self, history: History) -> None:
        metric = self.metric or history.monitor
        if history.improves(metric, self.best, self.min_delta):
            self.best, self.waited = history[metric][-1], 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.scale, self.waited = max(self.scale * self.factor, self.minimum), 0

    def state(self) -> dict[str, Any]:
        return {"scale": self.scale, "best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        self.scale, self.waited = float(state["scale"]), int(state["waited"])
        self.best = None if state["best"] is None else float(state["best"])


@final
@dataclass(frozen=True)
class CustomSchedule(Schedule):
    """A custom function `(epoch, progress) -> factor`."""

    function: Callable[[float, float], float]

    def __post_init__(self) -> None:
        with suppress(ValueError):  # a built-in function may have no signature
            form = signature(self.function)
            try:
                form.bind(0.0, 0.0)
            except TypeError:
                raise TypeError(f"schedule must be a function of (epoch, progress), got {form}") from None

    def __call__(self, epoch: float, progress: float) -> float:
        factor = float(self.function(epoch, progress))
        require(0 <= factor < inf, "schedule", "return a finite factor >= 0", factor)
        return factor


def _half_cosine(first: float, last: float, share: float) -> float:
    """Return the point at the fraction `share` of half a cosine from `first` to `last`."""
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
    """Return the schedule itself, the one with this name and default options, or a custom function as a schedule."""
    if isinstance(schedule, Schedule):
        return schedule
    require(not isinstance(schedule, type), "schedule", "be an object, such as Cosine()", schedule)
    if not callable(schedule):
        return look_up(SCHEDULES, schedule, "schedule")()
    return CustomSchedule(schedule)
