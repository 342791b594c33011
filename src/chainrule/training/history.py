"""History: what happened in training, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from chainrule.display import Shown


@dataclass(repr=False)
class History(Shown):
    """One value for each epoch in every list; `history["validation_accuracy"]` reads any of them by name.

    Attributes
    ----------
    loss : list of float
        Mean over the batches of the epoch, penalties included, each at the weights of its step.
    validation_loss : list of float
        At the end of the epoch, in inference mode; empty without validation rows.
    metrics : dict of list of float
        By name, with the prefix "validation_" if measured on validation rows.
    learning_rate : list of float
        At the last step of the epoch, before the multipliers of single blocks.
    gradient_norm : list of float
        Mean Euclidean norm over the batches of the epoch, before clipping.
    step_ratio : list of float
        Length of the epoch's last step divided by that of all weights; NaN if the epoch was cut short. Estimated on
        every k-th parameter if there are more than 131,072.
    seconds : list of float
        Duration of the epoch, validation included.
    notes : list of str
        Events, such as a rollback and its cause.
    rollbacks : int
        How many times training diverged and was restarted from the last good weights with half the learning rate.
    stopped : str
        Why training ended early; "" if all epochs were done.
    interrupted : bool
        Whether Ctrl-C ended training.
    best_epoch : int or None
        The epoch, from 0, whose weights were restored; None: the last one's are kept.
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
    """The column that decides which epoch is best by default: the validation loss if there is one."""
    higher_is_better: set[str] = field(default_factory=set)
    """Columns in which a higher value is better."""

    def __getitem__(self, column: str) -> list[float]:
        """Return a column by name; KeyError lists the valid names."""
        columns = self.columns
        if column not in columns:
            raise KeyError(f"column must be one of {', '.join(columns)}, got {column!r}")
        return columns[column]

    @property
    def results(self) -> dict[str, list[float]]:
        """The losses and metrics, by name."""
        validation = {"validation_loss": self.validation_loss} if self.monitor == "validation_loss" else {}
        return {"loss": self.loss, **validation, **self.metrics}

    @property
    def columns(self) -> dict[str, list[float]]:
        """Every column, by name."""
        others = ("learning_rate", "gradient_norm", "step_ratio", "seconds")
        return self.results | {name: getattr(self, name) for name in others}

    def require(self, metric: str | None) -> None:
        """Raise ValueError unless `metric` is None or will be one of the results."""
        if metric is not None and metric not in self.results:
            remedy = ". validation_ columns require validation=(X, y)." if metric.startswith("validation_") else ""
            names = ", ".join(map(repr, self.results))
            raise ValueError(f"metric must be one of {{{names}}}, got {metric!r}{remedy}")

    def improves(self, column: str, best: float | None, min_delta: float = 0.0) -> bool:
        """Return whether the last value of a column is better than `best` by more than `min_delta`; NaN never is."""
        value = self[column][-1]
        if best is None:
            return not isnan(value)
        gain = value - best if column in self.higher_is_better else best - value
        return gain > min_delta

    def record(self, results: Mapping[str, float]) -> None:
        """Append one epoch's value to every column."""
        for name, column in self.columns.items():
            column.append(results[name])

    def keys(self) -> list[str]:
        """Return the names of the columns."""
        return list(self.columns)

    def to_dict(self) -> dict[str, list[float]]:
        """Return a copy of every column by name; `pandas.DataFrame(history.to_dict())` is a table of epochs."""
        return {name: list(column) for name, column in self.columns.items()}

    def plot(self, ax: Any = None) -> Any:
        """Draw the learning curves; see `chainrule.viz.loss_curves`. Requires the extra `plot`."""
        import chainrule

        return chainrule.viz.loss_curves(self, ax)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        """Return the number of epochs."""
        return len(self.loss)

    def line(self, epoch: int = -1) -> str:
        """Return the losses and metrics of one epoch as text."""
        return "  ".join(f"{name} {column[epoch]:.4g}" for name, column in self.results.items())

    def __repr__(self) -> str:
        """Return the number of epochs, the latest results, and why training ended early."""
        ended = f", stopped: {self.stopped}" if self.stopped else ""
        return f"History({len(self)} epochs{', ' + self.line() if self.loss else ''}{ended})"
