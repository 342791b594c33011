"""The solvers sgd, adam and lbfgs with the semantics of scikit-learn 1.9, on this library's training loop.

`fit_stochastic` and `fit_lbfgs` train `estimator.network_` and update the estimator's fitted attributes after each
epoch.
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
from chainrule.training.loop import Run
from chainrule.training.memory import keep_freed_memory
from chainrule.training.optimizers import SGD, Adam, AdamW, Optimizer
from chainrule.training.schedules import as_schedule

if TYPE_CHECKING:
    from chainrule.estimators.base import BaseMLP

_MIN_ADAPTIVE_RATE = 1e-6
_NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)
"""scikit-learn's message, to which the epoch, batch and layer are appended."""
_STOPPED_BY_CALLBACK = 99
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
        """Return the loss at inference without the penalty, which is not defined for held-out rows."""
        self.network.l2 = 0.0
        return self.network.value(X, y, weight)


class SparseRows:
    """Rows of a sparse matrix that are made dense one batch at a time, with the array methods that training needs."""

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
    """Return a sparse matrix as `SparseRows`, and an array unchanged."""
    return SparseRows(X) if issparse(X) else X


@final
@dataclass
class UncorrectedAdam(Adam):
    """Adam with epsilon added to the root of the second moment before its bias correction, as in scikit-learn.

    (Kingma & Ba 2015, the last lines of section 2.)
    """

    base_epsilon: float = 1e-8

    def step(self, theta: Array, grad: Array, rate: float | Array | None = None) -> None:
        self.epsilon = self.base_epsilon / sqrt(1 - self.betas[1] ** (self.steps + 1))
        super().step(theta, grad, rate)


def make_optimizer(estimator: BaseMLP) -> Optimizer:
    """Return the solver's optimizer at its initial learning rate, with the moments of the last fit (warm_start)."""
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
    last = getattr(estimator, "_optimizer", None)
    if type(last) is type(optimizer):
        optimizer.steps, optimizer.moments = last.steps, last.moments
    return optimizer


class Epochs(Callback):
    """After each epoch, record, score, print, adapt the learning rate and stop, as scikit-learn does."""

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
        """Return the score on the validation rows; NaN if a prediction is not finite."""
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
        monitor = "Validation score" if est.early_stopping else "Training loss"
        reason = f"{monitor} did not improve more than tol={est.tol:f} for {est.n_iter_no_change} consecutive epochs."
        adaptive = est.solver == "sgd" and est.learning_rate == "adaptive"
        if adaptive and run.optimizer.learning_rate > _MIN_ADAPTIVE_RATE:
            run.optimizer.learning_rate /= 5
            est._no_improvement_count = 0
            action = f"Setting learning rate to {run.optimizer.learning_rate:f}"
        else:
            action = "Learning rate too small. Stopping." if adaptive else "Stopping."
            run.stop = reason
        if est.verbose:
            print(reason, action)

    def keep_weights(self) -> None:
        """Remember the current weights as the best ones."""
        network = self.estimator.network_
        self.best_weights = network.theta.copy(), network.buffers.copy()

    def restore_best(self) -> None:
        """Restore the weights with the best score."""
        if self.best_weights is not None:
            network = self.estimator.network_
            network.theta[...], network.buffers[...] = self.best_weights


class Hooks(Callback):
    """Call the callbacks of scikit-learn's own protocol, which `set_callbacks` has set, at each iteration."""

    def __init__(self, estimator: BaseMLP, context: Any, X: Any, y: Any, weight: Array | None) -> None:
        self.estimator, self.context = estimator, context
        self.fit_data = {"X": X, "y": y, "metadata": {"sample_weight": weight}}
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
        attributes = self.estimator._reconstruction_attributes
        return self.iteration.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=attributes, **self.fit_data
        )


@dataclass(frozen=True)
class Task:
    """The validated data of one call of fit or partial_fit."""

    X: Any
    Y: Array
    weight: Array | None
    incremental: bool
    random_state: np.random.RandomState
    hooks: Hooks


def fit_stochastic(estimator: BaseMLP, task: Task) -> None:
    """Train with sgd or adam."""
    if estimator.early_stopping and task.incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    if estimator.schedule and task.incremental:
        raise ValueError("partial_fit does not support schedule, which depends on the number of epochs")
    if estimator.weight_decay and estimator.solver == "sgd":
        raise ValueError("weight_decay requires solver='adam', got 'sgd'. Use alpha instead.")
    if any(isinstance(callback, Checkpoint) for callback in estimator.callbacks):
        raise ValueError("callbacks must not contain a Checkpoint: it is not supported by the scikit-learn estimators")
    X, Y, weight, validation, labels = split_validation(estimator, task)
    if not hasattr(estimator, "_rng"):  # for shuffling and dropout; later calls continue its stream
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
    if estimator.early_stopping and estimator.best_validation_score_ > -inf:  # warm_start resumes from the best weights
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
        _keep_best_or_raise(estimator, epochs, failure)
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


def split_validation(estimator: BaseMLP, task: Task) -> tuple[Any, Array, Array | None, Batch | None, Any]:
    """Split off validation rows for early stopping, or use those of validation_data."""
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
            f"got {X_val.shape[0]} rows"
        )
    if weight is not None and weight_val is not None and not (weight.any() and weight_val.any()):
        raise ValueError(
            "sample_weight must be > 0 for at least one training row and one validation row, got all zeros in a split "
            f"with validation_fraction={estimator.validation_fraction}"
        )
    return X, Y, weight, (dense_by_batch(X_val), estimator._targets(Y_val), weight_val), estimator._labels(Y_val)


def _keep_best_or_raise(estimator: BaseMLP, epochs: Epochs, failure: DivergenceError) -> None:
    """Warn that the best weights of early stopping are kept, or raise ValueError if there are none."""
    if epochs.best_weights is None:
        raise ValueError(f"{_NON_FINITE} {failure}") from None
    estimator.validation_scores_.append(nan)
    warnings.warn(f"The weights of the best epoch are restored: {failure}", ConvergenceWarning, stacklevel=5)


def fit_lbfgs(estimator: BaseMLP, task: Task) -> None:
    """Train with SciPy's L-BFGS-B on the full batch."""
    for option in ("dropout", "weight_decay", "clip_norm", "schedule", "callbacks", "validation_data", "progress_bar"):
        if getattr(estimator, option):
            raise ValueError(f"{option} requires solver='sgd' or 'adam', got 'lbfgs'")
    if estimator.normalization == "batch":
        raise ValueError("normalization='batch' requires solver='sgd' or 'adam', got 'lbfgs'")
    network = estimator.network_
    objective = PenalisedByBatch(network, estimator.alpha)
    hooks = task.hooks
    rows = task.X.toarray() if issparse(task.X) else task.X, estimator._targets(task.Y), task.weight
    last = OptimizeResult(x=network.theta.astype(np.float64), nit=0, status=_STOPPED_BY_CALLBACK)
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
    if result.status not in (0, _STOPPED_BY_CALLBACK):
        warnings.warn(
            f"lbfgs failed to converge after {estimator.n_iter_} iteration(s): {result.message}. Increase max_iter or "
            "max_fun, or scale the data.",
            ConvergenceWarning,
            stacklevel=4,
        )
    if not (np.isfinite(network.theta).all() and np.isfinite(estimator.loss_)):
        raise ValueError(
            f"{_NON_FINITE} The first non-finite values: {network.first_non_finite(*rows) or 'the weights'}."
        )


SOLVERS = {"sgd": fit_stochastic, "adam": fit_stochastic, "lbfgs": fit_lbfgs}
