"""History: what a training was like, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan


@dataclass(repr=False)
class History:
    """One number an epoch in each list; `history["validation_accuracy"]` reads any of them by name.

    Attributes
    ----------
    loss : list of float
        Mean over the epoch's batches, penalties included, as each was when it was met.
    validation_loss : list of float
        At the epoch's end, at inference; empty without a validation set.
    metrics : dict of list of float
        By name, "validation_" before it when they are measured on the validation set.
    learning_rate : list of float
        At the epoch's last step, before factors of single blocks.
    gradient_norm : list of float
        Mean Euclidean norm over the epoch's batches, before clipping.
    step_ratio : list of float
        Length of the epoch's last step, as a share of that of all weights; NaN where it did not come to that. By every
        k-th parameter where there are more than 131,072.
    seconds : list of float
        Time the epoch took, validation included.
    notes : list of str
        What happened on the way: a rollback and its cause.
    rollbacks : int
        Times it went into the infinite, and was taken back with half the learning rate.
    stopped : str
        Why training ended: "" when all epochs were done.
    interrupted : bool
        Whether Ctrl-C ended it.
    best_epoch : int or None
        The epoch, from 0, whose weights the network was left with; None: the last one's.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    learning_rate: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    step_ratio: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rollbacks: int = 0
    stopped: str = ""
    interrupted: bool = False
    best_epoch: int | None = None
    monitor: str = "loss"
    """The column that says which epoch was best when nothing else does: the validation loss when there is one."""
    higher_is_better: set[str] = field(default_factory=set)
    """Columns in which higher is better."""

    def __getitem__(self, column: str) -> list[float]:
        """Return a column by name; KeyError lists the names there are."""
        columns = self.columns
        if column not in columns:
            raise KeyError(f"no column {column!r}; there are {', '.join(columns)}")
        return columns[column]

    @property
    def results(self) -> dict[str, list[float]]:
        """The columns that say how good the network is: losses and metrics, by name."""
        validation = {"validation_loss": self.validation_loss} if self.monitor == "validation_loss" else {}
        return {"loss": self.loss, **validation, **self.metrics}

    @property
    def columns(self) -> dict[str, list[float]]:
        """Every column that is kept, by name."""
        others = ("learning_rate", "gradient_norm", "step_ratio", "seconds")
        return self.results | {name: getattr(self, name) for name in others}

    def improves(self, column: str, best: float | None, min_delta: float = 0.0) -> bool:
        """Tell whether the column's last value is better than `best` by more than `min_delta`; NaN never is."""
        value = self[column][-1]
        if best is None:
            return not isnan(value)
        gain = value - best if column in self.higher_is_better else best - value
        return gain > min_delta

    def __len__(self) -> int:
        """Return the number of epochs."""
        return len(self.loss)

    def line(self, epoch: int = -1) -> str:
        """Return one epoch's losses and metrics as text."""
        return "  ".join(f"{name} {column[epoch]:.4g}" for name, column in self.results.items())

    def __repr__(self) -> str:
        """Return the number of epochs, the last one's results, and why it ended."""
        ended = f", stopped: {self.stopped}" if self.stopped else ""
        return f"History({len(self)} epochs{', ' + self.line() if self.loss else ''}{ended})"
