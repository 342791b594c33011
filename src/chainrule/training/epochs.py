"""Whole epochs of small networks in compiled calls, between which callbacks and Ctrl-C are looked at."""

import numpy as np

from chainrule.arrays import Array
from chainrule.training.callbacks import Callback, hooks
from chainrule.training.run import Run
from chainrule.training.schedules import Constant

MAX_STEPS = 4096
"""Steps in one call: some milliseconds."""


def train_compiled(run: Run) -> bool:
    """Train for an epoch as `training.loop.train_epoch` does, if compiled code can; return whether it could."""
    if not _is_possible(run):
        return False
    (X, y, _), size, n = run.rows, run.batch_size, run.n_batches
    before_step, after_step = hooks(run.callbacks, "on_gradient"), hooks(run.callbacks, "on_batch_end")
    for hook in hooks(run.callbacks, "on_epoch_begin"):
        hook(run)
    order = run.rng.permutation(len(X)) if run.shuffle else np.arange(len(X))
    rates = _rates(run)
    losses = norms = 0.0
    start = 0
    for end in sorted({*range(MAX_STEPS, n, MAX_STEPS), n - 1, n} - {0}):  # the last step is taken alone
        run.batch = start
        for hook in before_step if start else ():
            hook(run)
        rows = order[start * size : end * size]
        done, loss_sum, norm_sum, run.loss, run.gradient_norm = run.fused.descend(
            X, y, rows, size, run.clip_norm, run.optimizer, rates[start:end]
        )
        if done < end - start:  # the guard names the batch and the place
            rows, run.batch = rows[done * size : (done + 1) * size], start + done
            run.batch_rows = X[rows], y[rows], None
            for hook in before_step:
                hook(run)
        losses, norms, start = losses + loss_sum, norms + norm_sum, end
        run.epoch_fraction = end / n
        for hook in after_step:
            hook(run)
        if run.stop:
            break
    run.cut_short = bool(run.stop)
    n_rows = min(start * size, len(X))
    run.results |= {"loss": losses / n_rows, "gradient_norm": norms / start, "learning_rate": float(rates[start - 1])}
    return True


def _is_possible(run: Run) -> bool:
    """Return whether the network is small, and no callback needs to see every batch."""
    _, y, weight = run.rows
    can_descend = getattr(run.fused, "can_descend", None)
    return (
        can_descend is not None
        and not isinstance(run.multipliers, np.ndarray)
        and can_descend(y, weight, run.batch_size, run.optimizer)
        and not any(callback.every_batch and _sees_batches(callback) for callback in run.callbacks)
    )


def _sees_batches(callback: Callback) -> bool:
    return bool(hooks([callback], "on_gradient") or hooks([callback], "on_batch_end"))


def _rates(run: Run) -> Array:
    """Return the learning rate of each step of the epoch."""
    if isinstance(run.schedule, Constant):
        return np.full(run.n_batches, run.rate)
    rates = np.empty(run.n_batches)
    for k in range(run.n_batches):
        run.epoch_fraction = k / run.n_batches
        rates[k] = run.rate
    return rates
