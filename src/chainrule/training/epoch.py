"""One epoch: a step against the gradient of each batch."""

from chainrule.training.batches import Batch
from chainrule.training.run import Run


def train_epoch(run: Run) -> None:
    """Train on every batch once.

    To watch it step by step, pass `kernels="numpy"` to `train`: with numba, `run.objective` is an equivalent of
    `run.net.objective`, and small networks go through `compiled.epochs` instead.
    """
    run.begin_epoch()
    for k, batch in enumerate(run.batches()):
        train_batch(run, k, batch)
        if run.stop:
            break
    run.end_epoch()


def train_batch(run: Run, k: int, batch: Batch) -> None:
    """Take one step against the gradient of batch number k."""
    X, y, weight = run.batch_rows = batch
    run.batch = k
    run.loss, grad = run.objective(X, y, weight, run.rng)
    run.gradient_norm = norm = run.norm(grad)
    run.call("on_gradient")
    if norm > run.clip_norm:
        grad *= run.clip_norm / norm
    rate = run.rate
    run.optimizer.step(run.net.theta, grad, rate * run.multipliers)
    batch_weight = len(X) if weight is None else float(weight.sum())
    run.note(k + 1, rate, batch_weight, batch_weight * run.loss, norm)
    run.call("on_batch_end")
