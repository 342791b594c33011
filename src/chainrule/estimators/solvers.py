"""scikit-learn's three solvers on the engine: what its sgd, adam and lbfgs do beyond a plain training.

`fit_stochastic` and `fit_lbfgs` train `estimator.network_` and keep the estimator's fitted attributes, as scikit-learn
1.9 defines them, up to date from epoch to epoch.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import inf, nan, sqrt
from typing import TYPE_CHECKING, Any, final

import numpy as np
from scipy.optimize import OptimizeResult, minimize
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from chainrule.arrays import Array
from chainrule.errors import DivergenceError
from chainrule.nn.network import Network
from chainrule.training.batches import Batch
from chainrule.training.callbacks import Callback, ProgressBar, TimeLimit
from chainrule.training.checkpoint import Checkpoint
from chainrule.training.memory import keep_freed_memory
from chainrule.training.optimizers import SGD, Adam, AdamW, Optimizer
from chainrule.training.run import Run
from chainrule.training.schedules import as_schedule

if TYPE_CHECKING:
    from chainrule.estimators.base import BaseMLP

LEAST_ADAPTIVE_RATE = 1e-6
NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)
"""What scikit-learn says; where it went wrong is told after it."""
STOPPED_BY_CALLBACK = 99
"""SciPy's status for a callback that raised StopIteration."""


class PenalisedByBatch:
    """The network's objective with scikit-learn's penalty: alpha / 2 sum W^2 over the total weight of the batch."""

    def __init__(self, network: Network, alpha: float) -> None:
        self.network, self.alpha = network, alpha
        self.theta, self.buffers = network.theta, network.buffers
        self.predict = network.predict
        self.first_non_finite, self.largest_output = network.first_non_finite, network.largest_output

    def objective(
        self, X: Array, y: Array, weight: Array | None = None, rng: np.random.Generator | None = None
    ) -> tuple[float, Array]:
        """Return the loss and its gradient."""
        self.network.l2 = self.alpha / (len(X) if weight is None else float(weight.sum()) or inf)
        return self.network.objective(X, y, weight, rng)

    def value(self, X: Array, y: Array, weight: Array | None = None) -> float:
        """Return the loss at inference, without the penalty, which has no meaning for rows not trained on."""
        self.network.l2 = 0.0
        return self.network.value(X, y, weight)


class SparseRows:
    """Rows of a sparse matrix that become dense only batch by batch: as much of an array as training needs."""

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix.tocsr()
        self.shape, self.dtype = matrix.shape, matrix.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice) -> Array:
        return self.matrix[rows].toarray()

    def take(self, rows: Array, axis: int, out: Array, mode: str) -> Array:
        """Write the dense rows into `out`."""
        return self.matrix[rows].toarray(out=out)


def dense_by_batch(X: Any) -> Any:
    """Return an array as it is, and a sparse matrix as `SparseRows`."""
    return SparseRows(X) if issparse(X) else X


@final
@dataclass
class UncorrectedAdam(Adam):
    """Adam with epsilon beside the root of the uncorrected second moment, as in scikit-learn.

    (Kingma & Ba 2015, the last lines of section 2.)
    """

    base_epsilon: float = 1e-8

    def step(self, theta: Array, grad: Array, rate: float | Array | None = None) -> None:
        self.epsilon = self.base_epsilon / sqrt(1 - self.betas[1] ** (self.steps + 1))
        super().step(theta, grad, rate)


def make_optimizer(estimator: BaseMLP) -> Optimizer:
    """Return the solver's optimiser at its first rate; one that has begun hands its moments on (warm_start)."""
    rate = estimator.learning_rate_init
    optimizer: Optimizer
    if estimator.solver == "sgd":
        nesterov = estimator.nesterovs_momentum and estimator.momentum > 0
        optimizer = SGD(rate, estimator.momentum, nesterov)
    elif estimator.weight_decay:
        decay = estimator.network_.per_parameter({"W": estimator.weight_decay}, default=0.0)
        optimizer = AdamW(rate, (estimator.beta_1, estimator.beta_2), estimator.epsilon, weight_decay=decay)
    else:
        betas = estimator.beta_1, estimator.beta_2
        optimizer = UncorrectedAdam(rate, betas, base_epsilon=estimator.epsilon)
    begun = getattr(estimator, "_optimizer", None)
    if type(begun) is type(optimizer):
        optimizer.steps, optimizer.moments = begun.steps, begun.moments
    return optimizer


class Epochs(Callback):
    """What scikit-learn does between two epochs: record, score, print, adapt the rate, and stop."""

    def __init__(self, estimator: BaseMLP, validation: Batch | None, labels: Any) -> None:
        self.estimator = estimator
        self.validation, self.labels = validation, labels
        self.best_weights: tuple[Array, Array] | None = None

    def on_epoch_end(self, run: Run) -> None:
        est = self.estimator
        est.n_iter_ = run.epoch + 1
        est.t_ += len(run.rows[0])
        est.loss_ = run.history.loss[-1]
        est.loss_curve_.append(est.loss_)
        if est.verbose:
            print(f"Iteration {est.n_iter_}, loss = {est.loss_:.8f}")
        if self.validation is not None:
            est.validation_loss_curve_.append(run.history.validation_loss[-1])
            score = self.score()
            est.validation_scores_.append(score)
            if est.verbose:
                print(f"Validation score: {score:f}")
        if est.early_stopping:
            self.watch_score(est.validation_scores_[-1])
        else:
            self.watch_loss(est.loss_)
        if est.solver == "sgd" and est.learning_rate == "invscaling":
            run.optimizer.learning_rate = est.learning_rate_init / (est.t_ + 1) ** est.power_t
        if est._no_improvement_count > est.n_iter_no_change:
            self.stop_or_slow_down(run)

    def score(self) -> float:
        """Return the score on the validation rows; NaN where the network's answers are not finite."""
        assert self.validation is not None
        X, _, weight = self.validation
        return self.estimator._validation_score(X, self.labels, weight)

    def watch_score(self, score: float) -> None:
        est = self.estimator
        est._no_improvement_count = est._no_improvement_count + 1 if score < est.best_validation_score_ + est.tol else 0
        if score > est.best_validation_score_:
            est.best_validation_score_ = score
            self.keep_weights()

    def watch_loss(self, loss: float) -> None:
        est = self.estimator
        est._no_improvement_count = est._no_improvement_count + 1 if loss > est.best_loss_ - est.tol else 0
        est.best_loss_ = min(est.best_loss_, loss)

    def stop_or_slow_down(self, run: Run) -> None:
        est = self.estimator
        what = "Validation score" if est.early_stopping else "Training loss"
        reason = f"{what} did not improve more than tol={est.tol:f} for {est.n_iter_no_change} consecutive epochs."
        adaptive = est.solver == "sgd" and est.learning_rate == "adaptive"
        if adaptive and run.optimizer.learning_rate > LEAST_ADAPTIVE_RATE:
            run.optimizer.learning_rate /= 5
            est._no_improvement_count = 0
            then = f"Setting learning rate to {run.optimizer.learning_rate:f}"
        else:
            then = "Learning rate too small. Stopping." if adaptive else "Stopping."
            run.stop = reason
        if est.verbose:
            print(reason, then)

    def keep_weights(self) -> None:
        """Note the network's weights as the best ones."""
        network = self.estimator.network_
        self.best_weights = network.theta.copy(), network.buffers.copy()

    def restore_best(self) -> None:
        """Give the network the weights that scored best."""
        if self.best_weights is not None:
            network = self.estimator.network_
            network.theta[...], network.buffers[...] = self.best_weights


class Hooks(Callback):
    """Hands the engine's epochs on to callbacks of scikit-learn's own protocol, set with `set_callbacks`."""

    def __init__(self, estimator: BaseMLP, context: Any, X: Any, y: Any, weight: Array | None) -> None:
        self.estimator, self.context = estimator, context
        self.seen = {"X": X, "y": y, "metadata": {"sample_weight": weight}}
        self.left = context.max_subtasks

    def on_train_begin(self, run: Run) -> None:
        self.begin()

    def on_epoch_end(self, run: Run) -> None:
        if self.end():
            run.stop = "a callback asked to stop"
        elif not run.stop:
            self.begin()

    def begin(self) -> None:
        """Open a context for the next iteration, if there will be one."""
        if not self.left:
            return
        self.left -= 1
        self.iteration = self.context.subcontext(task_name="iteration")
        self.iteration.call_on_fit_task_begin(estimator=self.estimator, **self.seen)

    def end(self) -> bool:
        """Close it; return whether a callback asks to stop."""
        attributes = self.estimator._reconstruction_attributes
        return self.iteration.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=attributes, **self.seen
        )


@dataclass(frozen=True)
class Task:
    """One call of fit or partial_fit: validated rows, and what goes with them."""

    X: Any
    Y: Array
    weight: Array | None
    incremental: bool
    random_state: np.random.RandomState
    hooks: Hooks


def fit_stochastic(estimator: BaseMLP, task: Task) -> None:
    """Train by sgd or adam."""
    if estimator.early_stopping and task.incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    if estimator.schedule and task.incremental:
        raise ValueError("partial_fit does not support a schedule: it cannot know how far training will go")
    if estimator.weight_decay and estimator.solver == "sgd":
        raise ValueError("weight_decay needs solver='adam', got 'sgd'; there alpha is the same thing")
    if any(isinstance(callback, Checkpoint) for callback in estimator.callbacks):
        raise ValueError("callbacks must not hold a Checkpoint, which knows nothing of what an estimator remembers")
    X, Y, weight, validation, labels = set_aside(estimator, task)
    if not hasattr(estimator, "_rng"):  # of shuffling and dropout; later calls go on with it
        estimator._rng = np.random.default_rng(task.random_state.randint(2**31))
    n = X.shape[0]
    batch_size = min(200, n) if estimator.batch_size == "auto" else int(estimator.batch_size)
    if batch_size > n:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=4
        )
        batch_size = n
    if not (task.incremental and hasattr(estimator, "_optimizer")):
        estimator._optimizer = make_optimizer(estimator)
    epochs = Epochs(estimator, validation, labels)
    if estimator.early_stopping and estimator.best_validation_score_ > -inf:  # warm_start goes on from the best weights
        epochs.keep_weights()
    extra: list[Callback] = [TimeLimit(estimator.time_limit)] if estimator.time_limit else []
    extra += [ProgressBar()] if estimator.progress_bar else []
    run = Run(
        net=PenalisedByBatch(estimator.network_, estimator.alpha),
        rows=(dense_by_batch(X), estimator._targets(Y), weight),
        validation=validation,
        optimizer=estimator._optimizer,
        schedule=as_schedule(estimator.schedule or "constant"),
        epochs=1 if task.incremental else estimator.max_iter,
        batch_size=batch_size,
        metrics=[],
        clip_norm=estimator.clip_norm or inf,
        factors=1.0,
        shuffle=estimator.shuffle and batch_size < n,
        callbacks=[epochs, task.hooks, *extra, *estimator.callbacks],
        rng=estimator._rng,
        max_rollbacks=0,
    )
    estimator.n_iter_ = 0
    try:
        run.train()
    except DivergenceError as failure:
        give_up(estimator, epochs, failure)
    finally:
        estimator.network_.l2 = 0.0
    if run.history.interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=4)
    elif not task.incremental and not run.history.stopped and estimator.n_iter_ == estimator.max_iter:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the optimization hasn't "
            "converged yet.",
            ConvergenceWarning,
            stacklevel=4,
        )
    if estimator.early_stopping:
        epochs.restore_best()


def set_aside(estimator: BaseMLP, task: Task) -> tuple[Any, Array, Array | None, Batch | None, Any]:
    """Split off the validation rows that early stopping asks for, unless the user brought some."""
    X, Y, weight = task.X, task.Y, task.weight
    if estimator.validation_data is not None:
        X_val, Y_val = estimator._validate_validation_data()
        held_out = dense_by_batch(X_val), estimator._targets(Y_val), None
        return X, Y, weight, held_out, estimator._labels(Y_val)
    if not estimator.early_stopping:
        return X, Y, weight, None, None
    parts = [X, Y] if weight is None else [X, Y, weight]
    split = train_test_split(
        *parts,
        random_state=task.random_state,
        test_size=estimator.validation_fraction,
        stratify=Y if estimator._stratify(Y) else None,
    )
    X, X_val, Y, Y_val = split[:4]
    weight, weight_val = split[4:] or (None, None)
    if X_val.shape[0] < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset, "
            f"however: it would have {X_val.shape[0]} rows"
        )
    if weight is not None and weight_val is not None and not (weight.any() and weight_val.any()):
        raise ValueError(
            "sample_weight must contain at least one non-zero number among the rows to train on, and one among those "
            f"set aside, got {estimator.validation_fraction} leaves none"
        )
    return X, Y, weight, (dense_by_batch(X_val), estimator._targets(Y_val), weight_val), estimator._labels(Y_val)


def give_up(estimator: BaseMLP, epochs: Epochs, failure: DivergenceError) -> None:
    """Keep the best weights that early stopping has seen, with a warning, or raise."""
    if epochs.best_weights is None:
        raise ValueError(f"{NON_FINITE} {failure}") from None
    estimator.validation_scores_.append(nan)
    warnings.warn(f"The weights of the best epoch are kept: {failure}", ConvergenceWarning, stacklevel=5)


def fit_lbfgs(estimator: BaseMLP, task: Task) -> None:
    """Train by SciPy's L-BFGS-B on all rows at once."""
    for option in ("dropout", "weight_decay", "clip_norm", "schedule", "callbacks", "validation_data", "progress_bar"):
        if getattr(estimator, option):
            raise ValueError(f"{option} needs solver='sgd' or 'adam', got 'lbfgs'")
    if estimator.normalization == "batch":
        raise ValueError("normalization='batch' needs solver='sgd' or 'adam', got 'lbfgs'")
    network = estimator.network_
    objective = PenalisedByBatch(network, estimator.alpha)
    hooks = task.hooks
    rows = task.X.toarray() if issparse(task.X) else task.X, estimator._targets(task.Y), task.weight
    last = OptimizeResult(x=network.theta.astype(np.float64), nit=0, status=STOPPED_BY_CALLBACK)
    limit = TimeLimit(estimator.time_limit or inf)
    limit.start()
    keep_freed_memory()

    def value_and_gradient(theta: Array) -> tuple[float, Array]:
        network.theta[...] = theta
        value, grad = objective.objective(*rows)
        return value, grad.astype(np.float64)

    def after_each(intermediate_result: Any) -> None:
        if estimator.verbose:
            print(f"L-BFGS iteration, loss = {intermediate_result.fun:.8f}")
        network.theta[...] = intermediate_result.x
        last.update(x=intermediate_result.x.copy(), fun=intermediate_result.fun, nit=last.nit + 1)
        if hooks.end() or limit.is_over():
            raise StopIteration
        hooks.begin()

    hooks.begin()
    result = last
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            result = minimize(
                value_and_gradient,
                last.x,
                method="L-BFGS-B",
                jac=True,
                callback=after_each,
                options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
            )
    except KeyboardInterrupt:
        if not last.nit:
            raise
        warnings.warn("Training interrupted by user.", stacklevel=4)
    finally:
        network.theta[...], network.l2 = result.x, 0.0
    estimator.n_iter_ = min(result.nit, estimator.max_iter)
    estimator.loss_ = estimator.best_loss_ = float(result.fun)
    if result.status not in (0, STOPPED_BY_CALLBACK):
        warnings.warn(
            f"lbfgs failed to converge after {estimator.n_iter_} iteration(s): {result.message}. Increase max_iter or "
            "max_fun, or scale the data.",
            ConvergenceWarning,
            stacklevel=4,
        )
    if not (np.isfinite(network.theta).all() and np.isfinite(estimator.loss_)):
        raise ValueError(
            f"{NON_FINITE} The first that is not finite: {network.first_non_finite(*rows) or 'the weights'}."
        )


SOLVERS = {"sgd": fit_stochastic, "adam": fit_stochastic, "lbfgs": fit_lbfgs}
