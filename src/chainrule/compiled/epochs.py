"""Epochs of small networks, in compiled calls of thousands of steps; see `chainrule.compiled.small`."""

import numpy as np

from chainrule.arrays import Array
from chainrule.training.epoch import train_batch
from chainrule.training.run import Run
from chainrule.training.schedules import Constant

MAX_STEPS = 4096
"""Steps in one compiled call, which take some milliseconds. Ctrl-C and callbacks wait for its end."""


def train_epoch(run: Run) -> bool:
    """Train for an epoch as `training.epoch` does, if compiled code can; return whether it could.

    Every compiled call is followed by an ordinary batch, with all hooks: the last one of the epoch, or one whose loss
    or gradient is not finite, which the guard then reports.
    """
    if not _is_possible(run):
        return False
    run.begin_epoch()
    (X, y, _), size, n = run.rows, run.batch_size, run.n_batches
    order = run.rng.permutation(len(X)) if run.shuffle else np.arange(len(X))
    rates = _rates(run)
    k = 0
    while k < n and not run.stop:
        end = min(k + MAX_STEPS, n - 1)
        if k < end:
            rows, some = order[k * size : end * size], rates[k:end]
            done, losses, norms = run.fused.descend(X, y, rows, size, run.clip_norm, run.optimizer, some)
            k += done
            run.note(k, float(rates[k - 1]), done * size, losses, norms)
        rows = order[k * size : (k + 1) * size]
        train_batch(run, k, (X[rows], y[rows], None))
        k += 1
    run.end_epoch()
    return True


def _is_possible(run: Run) -> bool:
    """Return whether the network is small, and no callback needs to see every batch."""
    can_descend = getattr(run.fused, "can_descend", None)
    return (
        can_descend is not None
        and run.more is None
        and not isinstance(run.multipliers, np.ndarray)
        and can_descend(run.rows[2], run.batch_size, run.optimizer)
        and not any(hook.__self__.every_batch for name in ("on_gradient", "on_batch_end") for hook in run.hooks[name])
    )


def _rates(run: Run) -> Array:
    """Return the learning rate of each step of the epoch."""
    if isinstance(run.schedule, Constant):
        return np.full(run.n_batches, run.rate)
    rates = np.empty(run.n_batches)
    for k in range(run.n_batches):
        run.epoch_fraction = k / run.n_batches
        rates[k] = run.rate
    run.epoch_fraction = 0.0
    return rates
