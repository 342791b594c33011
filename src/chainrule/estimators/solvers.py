"""The solvers sgd, adam and lbfgs with the semantics of scikit-learn 1.9, on this library's training loop.

Each is a function of a `Task`, the data of one call of fit; the `SolverOptions`, which an estimator inherits; and the
`FitState`, which it updates after each epoch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf, nan
from typing import Any, final

import numpy as np
from scipy.optimize import OptimizeResult, minimize
from sklearn.exceptions import ConvergenceWarning

from chainrule.arrays import Array
from chainrule.errors import DivergenceError
from chainrule.estimators.hooks import Hooks
from chainrule.estimators.validation import Validation
from chainrule.nn.inference import first_non_finite
from chainrule.nn.network import Network
from chainrule.training.batches import Batch
from chainrule.training.callbacks import Callback, ProgressBar, TimeLimit
from chainrule.training.loop import fit
from chainrule.training.optimizers import SGD, Adam, AdamW, Optimizer
from chainrule.training.run import Run
from chainrule.training.schedules import Schedule, as_schedule

_MIN_ADAPTIVE_RATE = 1e-6
_NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)
"""scikit-learn's message, to which the epoch, batch and layer are appended."""
_STOPPED_BY_CALLBACK = 99
"""SciPy's status for a callback that raised StopIteration."""


@dataclass(eq=False, repr=False, kw_only=True)
class SolverOptions:
    """The parameters of an estimator that its solver reads, with their defaults; see `MLPClassifier`."""

    solver: str = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    tol: float = 1e-4
    verbose: bool | int = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    weight_decay: float = 0.0
    clip_norm: float | None = None
    schedule: str | Schedule | Callable[[float, float], float] | None = None
    time_limit: float | None = None
    progress_bar: bool = False
    callbacks: Sequence[Callback] = ()


@dataclass
class FitState:
    """Counters, curves and the optimizer, from which a later call of fit can resume."""

    n_iter: int = 0
    t: int = 0
    loss: float = nan
    best_loss: float | None = None
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    validation_loss_curve: list[float] = field(default_factory=list)
    best_validation_score: float | None = None
    no_improvement_count: int = 0
    optimizer: Optimizer | None = None
    rng: np.random.Generator | None = None
    """For shuffling and dropout."""


@dataclass(frozen=True)
class Task:
    """One call of fit or partial_fit: a network and the rows to train it on."""

    network: Network
    rows: Batch
    validation: Validation | None
    incremental: bool
    random_state: np.random.RandomState
    hooks: Hooks


# sgd and adam.


def _fit_stochastic(task: Task, options: SolverOptions, state: FitState) -> None:
    epochs = _Epochs(task, options, state)
    run = _make_run(task, options, state)
    state.n_iter = 0
    try:
        fit(run, [epochs, task.hooks, *_extra_callbacks(options), *options.callbacks], max_rollbacks=0)
    except DivergenceError as failure:
        if epochs.best_weights is None:
            raise ValueError(f"{_NON_FINITE} {failure}") from None
        state.validation_scores.append(nan)
        warnings.warn(f"The weights of the best epoch are restored: {failure}", ConvergenceWarning, stacklevel=4)
    if run.history.interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=4)
    elif not task.incremental and not run.history.stopped and state.n_iter == options.max_iter:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({options.max_iter}) reached and the optimization hasn't "
            "converged yet.",
            ConvergenceWarning,
            stacklevel=4,
        )
    if options.early_stopping:
        epochs.restore_best()


def _make_run(task: Task, options: SolverOptions, state: FitState) -> Run:
    """Return the training run of one call of fit, or of one epoch if it is incremental."""
    if state.rng is None:
        state.rng = np.random.default_rng(task.random_state.randint(2**31))
    n = len(task.rows[0])
    batch_size = min(200, n) if options.batch_size == "auto" else int(options.batch_size)
    if batch_size > n:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=5
        )
        batch_size = n
    if state.optimizer is None or not task.incremental:
        state.optimizer = _make_optimizer(task.network, options, state.optimizer)
    return Run(
        net=task.network,
        rows=task.rows,
        validation=None if task.validation is None else task.validation.rows,
        optimizer=state.optimizer,
        schedule=as_schedule(options.schedule or "constant"),
        epochs=1 if task.incremental else options.max_iter,
        batch_size=batch_size,
        metrics=[],
        clip_norm=options.clip_norm or inf,
        multipliers=1.0,
        shuffle=options.shuffle and batch_size < n,
        rng=state.rng,
    )


def _extra_callbacks(options: SolverOptions) -> list[Callback]:
    extra: list[Callback] = [TimeLimit(options.time_limit)] if options.time_limit else []
    return [*extra, ProgressBar()] if options.progress_bar else extra


def _make_optimizer(network: Network, options: SolverOptions, last: Optimizer | None) -> Optimizer:
    """Return the solver's optimizer at its initial learning rate, with the moments of the last one of its kind."""
    rate, betas = options.learning_rate_init, (options.beta_1, options.beta_2)
    optimizer: Optimizer
    if options.solver == "sgd":
        optimizer = SGD(rate, options.momentum, nesterov=options.nesterovs_momentum and options.momentum > 0)
    elif options.weight_decay:
        decay = network.per_parameter({"W": options.weight_decay}, default=0.0)
        optimizer = AdamW(rate, betas, options.epsilon, weight_decay=decay)
    else:
        optimizer = _UncorrectedAdam(rate, betas, options.epsilon)
    if type(last) is type(optimizer):
        optimizer.steps, optimizer.moments = last.steps, last.moments
    return optimizer


@final
@dataclass
class _UncorrectedAdam(Adam):
    """Adam with epsilon added to the root of the second moment before its bias correction, as in scikit-learn.

    (Kingma & Ba 2015, the last lines of section 2.)
    """

    def arguments(self, rate: Any, t: Any) -> tuple[Any, ...]:
        return (*super().arguments(rate, t)[:-1], self.epsilon)


class _Epochs(Callback):
    """After each epoch, record, score, print, adapt the learning rate and stop, as scikit-learn does."""

    def __init__(self, task: Task, options: SolverOptions, state: FitState) -> None:
        self.network, self.validation = task.network, task.validation
        self.options, self.fit_state = options, state
        self.best_weights: tuple[Array, Array] | None = None
        if options.early_stopping:
            state.best_loss = None
            if state.best_validation_score is not None:  # warm_start resumes from the best weights
                self.keep_weights()

    def on_epoch_end(self, run: Run) -> None:
        options, state = self.options, self.fit_state
        state.n_iter = run.epoch + 1
        state.t += len(run.rows[0])
        state.loss = run.history.loss[-1]
        state.loss_curve.append(state.loss)
        if options.verbose:
            print(f"Iteration {state.n_iter}, loss = {state.loss:.8f}")
        if self.validation is not None:
            state.validation_loss_curve.append(run.history.validation_loss[-1])
            state.validation_scores.append(self.validation.score())
            if options.verbose:
                print(f"Validation score: {state.validation_scores[-1]:f}")
        if options.early_stopping:
            self.watch_score(state.validation_scores[-1])
        else:
            self.watch_loss(state.loss)
        if options.solver == "sgd" and options.learning_rate == "invscaling":
            run.optimizer.learning_rate = options.learning_rate_init / (state.t + 1) ** options.power_t
        if state.no_improvement_count > options.n_iter_no_change:
            self.stop_or_slow_down(run)

    def watch_score(self, score: float) -> None:
        state = self.fit_state
        best = -inf if state.best_validation_score is None else state.best_validation_score
        state.no_improvement_count = state.no_improvement_count + 1 if score < best + self.options.tol else 0
        if score > best:
            state.best_validation_score = score
            self.keep_weights()

    def watch_loss(self, loss: float) -> None:
        state = self.fit_state
        best = inf if state.best_loss is None else state.best_loss
        state.no_improvement_count = state.no_improvement_count + 1 if loss > best - self.options.tol else 0
        state.best_loss = min(best, loss)

    def stop_or_slow_down(self, run: Run) -> None:
        options = self.options
        monitor = "Validation score" if options.early_stopping else "Training loss"
        patience = f"tol={options.tol:f} for {options.n_iter_no_change} consecutive epochs"
        reason = f"{monitor} did not improve more than {patience}."
        adaptive = options.solver == "sgd" and options.learning_rate == "adaptive"
        if adaptive and run.optimizer.learning_rate > _MIN_ADAPTIVE_RATE:
            run.optimizer.learning_rate /= 5
            self.fit_state.no_improvement_count = 0
            action = f"Setting learning rate to {run.optimizer.learning_rate:f}"
        else:
            action = "Learning rate too small. Stopping." if adaptive else "Stopping."
            run.stop = reason
        if options.verbose:
            print(reason, action)

    def keep_weights(self) -> None:
        """Remember the current weights as the best ones."""
        self.best_weights = self.network.theta.copy(), self.network.buffers.copy()

    def restore_best(self) -> None:
        """Restore the weights with the best score."""
        if self.best_weights is not None:
            self.network.theta[...], self.network.buffers[...] = self.best_weights


# lbfgs.


def _fit_lbfgs(task: Task, options: SolverOptions, state: FitState) -> None:
    """Train with SciPy's L-BFGS-B on the full batch."""
    search = _LBFGS(task, options)
    result = search.run()
    state.n_iter = min(result.nit, options.max_iter)
    state.loss = state.best_loss = float(result.fun)
    if result.status not in (0, _STOPPED_BY_CALLBACK):
        warnings.warn(
            f"lbfgs failed to converge after {state.n_iter} iteration(s): {result.message}. Increase max_iter or "
            "max_fun, or scale the data.",
            ConvergenceWarning,
            stacklevel=4,
        )
    if not (np.isfinite(task.network.theta).all() and np.isfinite(state.loss)):
        place = first_non_finite(task.network, *search.rows) or "the weights"
        raise ValueError(f"{_NON_FINITE} The first non-finite values: {place}.")


class _LBFGS:
    """Minimizes a network's objective on all rows; keeps the last iterate if a callback or Ctrl-C stops it."""

    def __init__(self, task: Task, options: SolverOptions) -> None:
        X, y, weight = task.rows
        self.rows = X[:], y, weight  # a sparse X becomes dense
        self.network, self.hooks, self.options = task.network, task.hooks, options
        self.limit = TimeLimit(options.time_limit or inf)
        theta = task.network.theta.astype(np.float64)
        self.last = OptimizeResult(x=theta, nit=0, status=_STOPPED_BY_CALLBACK)

    def run(self) -> OptimizeResult:
        """Give the network the weights of the result, and return it."""
        options = {"maxfun": self.options.max_fun, "maxiter": self.options.max_iter, "gtol": self.options.tol}
        self.limit.start()
        self.hooks.begin()
        result = self.last
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                result = minimize(
                    self.value_and_gradient,
                    self.last.x,
                    method="L-BFGS-B",
                    jac=True,
                    callback=self.after_iteration,
                    options=options,
                )
        except KeyboardInterrupt:
            if not self.last.nit:
                raise
            warnings.warn("Training interrupted by user.", stacklevel=5)
        finally:
            self.network.theta[...] = result.x
        return result

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        self.network.theta[...] = theta
        value, grad = self.network.objective(*self.rows)
        return value, grad.astype(np.float64)

    def after_iteration(self, intermediate_result: OptimizeResult) -> None:  # SciPy passes it by this name
        if self.options.verbose:
            print(f"L-BFGS iteration, loss = {intermediate_result.fun:.8f}")
        x, fun = intermediate_result.x.copy(), intermediate_result.fun
        self.network.theta[...] = x
        self.last.update(x=x, fun=fun, nit=self.last.nit + 1)
        if self.hooks.end() or self.limit.is_over():
            raise StopIteration
        self.hooks.begin()


SOLVERS = {"sgd": _fit_stochastic, "adam": _fit_stochastic, "lbfgs": _fit_lbfgs}
