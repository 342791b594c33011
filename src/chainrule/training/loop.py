"""Training: `train` checks its arguments and makes a run, `fit` takes it through its epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from math import inf
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike

from chainrule.arrays import Array, all_finite, as_generator, is_integer, require, require_integer
from chainrule.data.rowfile import EncodedRows
from chainrule.errors import suggest_keywords
from chainrule.metrics import AnyMetric, as_metrics
from chainrule.nn.gradcheck import require_gradients
from chainrule.nn.network import Network
from chainrule.training.callbacks import Callback, ProgressBar, as_callbacks, hooks_of
from chainrule.training.epoch import train_epoch
from chainrule.training.guard import DivergedError, Guard, KeepBestIfInterrupted, StepRatio
from chainrule.training.history import History
from chainrule.training.kernels import NUMPY
from chainrule.training.optimizers import Optimizer, as_optimizer
from chainrule.training.run import Run, Trainable
from chainrule.training.schedules import Schedule, as_schedule


@suggest_keywords
def train(
    net: Trainable,
    X: ArrayLike,
    y: ArrayLike,
    *,
    optimizer: str | Optimizer = "adam",
    schedule: str | Schedule | Callable[[float, float], float] = "constant",
    epochs: int = 30,
    batch_size: int | None = 128,
    sample_weight: ArrayLike | None = None,
    more: EncodedRows | None = None,
    validation: Sequence[ArrayLike] | None = None,
    metrics: AnyMetric | Sequence[AnyMetric] = (),
    clip_norm: float | None = None,
    learning_rate_multipliers: Mapping[str, float] | None = None,
    callbacks: Callback | Sequence[Callback] = (),
    max_rollbacks: int = 10,
    shuffle: bool = True,
    kernels: str = "auto",
    progress: bool = False,
    seed: int | np.random.Generator | None = None,
) -> History:
    """Train a network in place and return its history.

    Parameters
    ----------
    net : Network
        Its `theta` changes; whatever happens, its values stay finite.
    X : (n, n_in)
    y : (n,) or (n, n_out)
        As the network's loss requires.
    optimizer : str or Optimizer
        A name, "sgd", "rmsprop", "adam" or "adamw", or an object, which is copied and stays unchanged.
    schedule : str, Schedule or function
        A name from `chainrule.schedules`, an object, or `(epoch, progress) -> factor` on the learning rate.
    epochs : int
        Number of passes over the rows.
    batch_size : int or None
        Rows in each step: None is batch gradient descent, 1 stochastic, k mini-batch. The last batch of an epoch may be
        smaller; its mean is over its own rows.
    sample_weight : (n,), optional
        Weight of each row in the mean of its batch.
    more : EncodedRows, optional
        Further rows to train on, which are on disk.
    validation : (X, y) or (X, y, sample_weight), optional
        Held-out rows, evaluated after each epoch; the weights count in the loss and in the metrics.
    metrics : sequence of str, Metric or function
        Evaluated after each epoch on the validation rows, or on the training rows if there are none: names from
        `chainrule.metrics`, or functions of (y, prediction), for which lower is better.
    clip_norm : float, optional
        Maximum norm of a gradient; longer ones are scaled down to it (Pascanu et al. 2013, algorithm 1).
    learning_rate_multipliers : dict, optional
        Multipliers on the learning rate of single blocks, as for `net.per_parameter`: `{"b": 0.1, "0.scale": 6}`.
    callbacks : Callback or sequence of Callback
        Such as EarlyStopping, TimeLimit, Checkpoint, or custom ones.
    max_rollbacks : int
        How many times a run that diverges may return to its last good weights and halve the learning rate.
    shuffle : bool
        Whether to reorder the rows in each epoch.
    kernels : "auto", "numpy" or "numba"
        What computes everything but matrix products; "auto" takes numba (extra `fast`) where it saves time.
    progress : bool
        Show a progress bar on standard error.
    seed : int, Generator or None
        Seed for shuffling and dropout. The same seed on the same machine gives the same bits; None draws a new one.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If an argument is invalid, before anything is computed.
    GradientError
        If a custom loss, activation or layer has a wrong derivative.
    DivergenceError
        If training diverged although the learning rate was halved `max_rollbacks` times; the network then has its last
        good weights. Ctrl-C is no error: the network gets its best weights so far, and `history.stopped` says so.

    Examples
    --------
    >>> from chainrule import Adam, mlp, train
    >>> net = mlp(2, 8, 2, activation="tanh", loss="cross_entropy", seed=0)
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> history = train(net, X, y, epochs=300, batch_size=None, optimizer=Adam(0.02), seed=0)
    >>> net.predict(X)
    array([0, 1, 1, 0])
    """
    require_integer(epochs, "epochs")
    require(batch_size is None or is_integer(batch_size, 1), "batch_size", "be an integer >= 1 or None", batch_size)
    require_integer(max_rollbacks, "max_rollbacks", least=0)
    require(clip_norm is None or clip_norm > 0, "clip_norm", "be > 0", clip_norm)
    if validation is not None:
        require(len(validation) in (2, 3), "len(validation)", "be 2 or 3: X, y and optionally weight", len(validation))
    rows = net.check(X, y, sample_weight)
    if isinstance(net, Network):
        require_gradients(net, *rows[:2])
    size = min(batch_size or len(rows[0]), len(rows[0]))
    run = Run(
        net=net,
        rows=rows,
        validation=None if validation is None else net.check(*validation),
        optimizer=deepcopy(as_optimizer(optimizer)),
        schedule=deepcopy(as_schedule(schedule)),
        epochs=epochs,
        batch_size=size,
        metrics=as_metrics(metrics),
        clip_norm=clip_norm or inf,
        multipliers=_multipliers(net, learning_rate_multipliers or {}),
        shuffle=shuffle and size < len(rows[0]),
        rng=as_generator(seed),
        kernels=kernels,
        seeded=seed is not None,
        more=more,
    )
    return fit(run, [*as_callbacks(callbacks), *([ProgressBar()] if progress else [])], max_rollbacks)


def _multipliers(net: Trainable, values: Mapping[str, float]) -> float | Array:
    for key, factor in values.items():
        require(0 <= factor < inf, f"learning_rate_multipliers[{key!r}]", "be finite and >= 0", factor)
    return net.per_parameter(values) if values else 1.0


def fit(run: Run, callbacks: Sequence[Callback], max_rollbacks: int = 10) -> History:
    """Train until the last epoch is done or something stops the run; return its history."""
    run.schedule.begin(run.history)
    guard = Guard(max_rollbacks)
    run.callbacks = [guard, KeepBestIfInterrupted(), StepRatio(), *sorted(callbacks, key=lambda c: c.order)]
    run.hooks = hooks_of(run.callbacks)
    run.call("on_train_begin")
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the guard looks for what is not finite
            _train_epochs(run, guard)
    except KeyboardInterrupt:
        run.interrupt()
        if not all_finite(run.net.theta):
            guard.go_back(run)
    finally:
        run.optimizer.update = NUMPY.update  # numba's is only lent: it cannot be pickled
    run.call("on_train_end")
    run.history.stopped = run.stop
    return run.history


def _train_epochs(run: Run, guard: Guard) -> None:
    start = perf_counter()
    while run.epoch < run.epochs and not run.stop:
        try:
            if not run.backend.train_epoch(run):
                train_epoch(run)
            guard.check_epoch(run)
        except DivergedError as failure:
            guard.roll_back(run, failure)
            continue
        run.history.record(run.results | run.measure() | {"seconds": perf_counter() - start})
        start = perf_counter()
        run.schedule.observe(run.history)
        run.call("on_epoch_end")
        run.epoch, run.epoch_fraction = run.epoch + 1, 0.0
