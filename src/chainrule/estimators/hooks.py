"""Callbacks of scikit-learn's own protocol, which `set_callbacks` sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.arrays import Array
from chainrule.training.callbacks import Callback
from chainrule.training.run import Run


class Hooks(Callback):
    """Calls scikit-learn's callbacks at the start and the end of each iteration.

    `publish` brings the estimator's fitted attributes up to date; `attributes` returns those with which a callback can
    rebuild it.
    """

    def __init__(
        self,
        estimator: Any,
        context: Any,
        X: Any,
        y: Any,
        weight: Array | None,
        *,
        publish: Callable[[], None],
        attributes: Callable[[], dict[str, Any]],
    ) -> None:
        self.estimator, self.context = estimator, context
        self.fit_data = {"X": X, "y": y, "metadata": {"sample_weight": weight}}
        self.publish, self.attributes = publish, attributes
        self.remaining = context.max_subtasks

    def on_train_begin(self, run: Run) -> None:
        self.begin()

    def on_epoch_end(self, run: Run) -> None:
        if self.end():
            run.stop = "stopped by a callback"
        elif not run.stop:
            self.begin()

    def begin(self) -> None:
        """Open the context of the next iteration, if there is one."""
        if not self.remaining:
            return
        self.remaining -= 1
        self.iteration = self.context.subcontext(task_name="iteration")
        self.iteration.call_on_fit_task_begin(estimator=self.estimator, **self.fit_data)

    def end(self) -> bool:
        """Close the iteration's context; return whether a callback requests a stop."""
        self.publish()
        return self.iteration.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=self.attributes, **self.fit_data
        )
