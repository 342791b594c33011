"""Small networks, where calling matrix products takes longer than computing them: many steps in one compiled call.

Only chains of Dense and the library's own activations are small networks. The activations are compiled from their terms
in `chainrule.curves`, the losses from those in `chainrule.costs`, the update rules from `training.optimizers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import costs
from chainrule.arrays import Array
from chainrule.compiled.fused import (
    FusedNetwork,
    adam_loop,
    jit,
    momentum_loop,
    nesterov_loop,
    rmsprop_loop,
    sgd_loop,
    softmax_row,
)
from chainrule.curves import CURVES, scalar_switch, slope_of, value_of
from chainrule.nn.layers import Activation, Dense, Layer
from chainrule.nn.losses import CrossEntropy
from chainrule.nn.network import Network
from chainrule.training import optimizers
from chainrule.training.optimizers import FLUSH_EVERY, Optimizer, flush_denormals

MAX_WORK, UNIT_WORK, MIN_ROWS = 300_000, 128, 4
"""Multiplications for a batch up to which loops are faster than BLAS and the calls around it: one for each parameter
and row, and as long as 128 for an activation. Near the limit, 100-50-10 in batches of 20 takes 0.7 of the time with
relu, 0.6 with sigmoid and 1.4 with tanh; 784-30-10 in batches of 10 takes 0.95, 0.8 and 1. Fewer than 4 rows take as
long as 4."""
RULES: tuple[Any, ...] = (
    optimizers.sgd,
    optimizers.momentum,
    optimizers.nesterov,
    optimizers.rmsprop,
    optimizers.adam,
)
"""The update rules, in the order of `_update`."""

CODES = {name: code for code, name in enumerate(name for name in CURVES if name != "step")}
"""Activations by number; step has no derivative to train with."""
LOSSES = [kind for kind in costs.COSTS if kind is not CrossEntropy]
"""The losses of each output by itself, by number."""
CROSS_ENTROPY = len(LOSSES)


_activate = jit(scalar_switch(map(value_of, CODES)))
_slope = jit(scalar_switch(map(slope_of, CODES)))
_cost = jit(scalar_switch(map(costs.value_of, LOSSES), "y", "c"))
_cost_slope = jit(scalar_switch(map(costs.slope_of, LOSSES), "y", "c"))


@jit
def _add_product(A, B, C):
    """Add A' B to C, four rows of A and B in a pass: each pass reads and writes C. The innermost loop is vectorized."""
    whole = len(A) - len(A) % 4
    for k in range(0, whole, 4):
        for i in range(C.shape[0]):
            w, x, y, z = A[k, i], A[k + 1, i], A[k + 2, i], A[k + 3, i]
            for j in range(C.shape[1]):
                C[i, j] += w * B[k, j] + x * B[k + 1, j] + y * B[k + 2, j] + z * B[k + 3, j]
    for k in range(whole, len(A)):
        for i in range(C.shape[0]):
            w = A[k, i]
            for j in range(C.shape[1]):
                C[i, j] += w * B[k, j]


@jit
def _write_sums(x, W, b, z):
    """Write z = W' x + b, for a layer of more units than the batch has rows."""
    sums = np.zeros((x.shape[1], W.shape[1]), W.dtype)
    _add_product(x, W, sums)
    for j in range(len(z)):
        for r in range(len(sums)):
            z[j, r] = b[j] + sums[r, j]


@jit
def _write_gradient(x, dz, dW):
    """Write dW = x dz', for a layer of more units than the batch has rows."""
    by_row = np.empty((x.shape[1], len(dz)), dW.dtype)
    for j in range(len(dz)):
        for r in range(len(by_row)):
            by_row[r, j] = dz[j, r]
    for i in range(dW.shape[0]):
        for j in range(dW.shape[1]):
            dW[i, j] = 0
    _add_product(x.T, by_row, dW)


@jit
def _forward(theta, sizes, codes, z, a):
    """Fill z (sum of sizes, n) with the sums of every layer, and `a`, which begins with the inputs, with f(z).

    There is a column for each row of the batch. The innermost loop of a product, which is vectorized, is over the rows,
    or over the units where those are more.
    """
    start = first = 0  # of the layer's weights in theta, and of its inputs in a
    n = a.shape[1]
    for k, code in enumerate(codes):
        n_in, n_out = sizes[k], sizes[k + 1]
        after, biases, is_wide = first + n_in, start + n_in * n_out, n_out > n
        if is_wide:
            W, b = theta[start:biases].reshape(n_in, n_out), theta[biases : biases + n_out]
            _write_sums(a[first:after], W, b, z[after : after + n_out])
        for j in range(n_out):
            if not is_wide:
                for r in range(n):
                    z[after + j, r] = theta[biases + j]
                for i in range(n_in):
                    weight = theta[start + i * n_out + j]
                    for r in range(n):
                        z[after + j, r] += weight * a[first + i, r]
            for r in range(n):
                a[after + j, r] = _activate(code, z[after + j, r])
        start, first = biases + n_out, after


@jit
def _backward(theta, sizes, codes, z, a, d, grad):
    """Write the gradient; d (sum of sizes, n) ends with the derivative of the loss with respect to the outputs."""
    start, after, n = theta.size, len(z) - sizes[-1], a.shape[1]
    for k in range(len(codes) - 1, -1, -1):
        n_in, n_out = sizes[k], sizes[k + 1]
        biases, first, is_wide = start - n_out, after - n_in, n_out > n
        start = biases - n_in * n_out
        d[first:after] = 0
        for j in range(n_out):
            total = theta.dtype.type(0)
            for r in range(n):
                d[after + j, r] *= _slope(codes[k], z[after + j, r])
                total += d[after + j, r]
            grad[biases + j] = total
            if not is_wide:
                for i in range(n_in):
                    total = theta.dtype.type(0)
                    for r in range(n):
                        total += a[first + i, r] * d[after + j, r]
                    grad[start + i * n_out + j] = total
            for i in range(n_in if k else 0):
                weight = theta[start + i * n_out + j]
                for r in range(n):
                    d[first + i, r] += weight * d[after + j, r]
        if is_wide:
            dW = grad[start:biases].reshape(n_in, n_out)
            _write_gradient(a[first:after], d[after : after + n_out], dW)
        after = first


@jit
def _loss_of_class(z, y, c, share, d):
    """Return the cross-entropy of a row of class y with outputs z and label smoothing c, and write d, its derivative.

    The derivative is multiplied by the row's share in the mean.
    """
    own, rest = z.dtype.type(1) - c, c / z.dtype.type(z.size)
    log_sum = softmax_row(z, share, d)
    loss = log_sum - own * z[y]
    d[y] -= own * share
    if c:
        for j in range(z.size):
            loss -= rest * z[j]
            d[j] -= rest * share
    return loss


@jit
def _loss_of_targets(loss, z, y, c, share, d):
    """Return the loss of a row with outputs z and targets y, and write d as above.

    The loss is CROSS_ENTROPY or LOSSES[loss], with the setting c[j] for output j.
    """
    real = z.dtype.type
    total = real(0)
    if loss == CROSS_ENTROPY:
        log_sum = softmax_row(z, share, d)
        for j in range(z.size):
            target = (real(1) - c[j]) * y[j] + c[j] / real(z.size)
            total += target * (log_sum - z[j])
            d[j] -= target * share
    else:
        for j in range(z.size):
            total += _cost(loss, z[j], y[j], c[j])
            d[j] = _cost_slope(loss, z[j], y[j], c[j]) * share
    return total


@jit
def _objective(theta, sizes, codes, loss, c, X, y, rows, grad):
    """Return the mean loss of some rows of X, and write its gradient; y is class numbers or rows of targets."""
    shape = sizes.sum(), len(rows)
    z, a, d = np.empty(shape, theta.dtype), np.empty(shape, theta.dtype), np.empty(shape, theta.dtype)
    for r, row in enumerate(rows):
        for i in range(sizes[0]):
            a[i, r] = X[row, i]
    _forward(theta, sizes, codes, z, a)
    outputs, dz = a[len(a) - sizes[-1] :], d[len(a) - sizes[-1] :]
    total, share = 0.0, theta.dtype.type(1 / len(rows))
    for r, row in enumerate(rows):
        if y.ndim == 1:  # decided when this is compiled
            total += _loss_of_class(outputs[:, r], y[row], c[0], share, dz[:, r])
        else:
            total += _loss_of_targets(loss, outputs[:, r], y[row], c, share, dz[:, r])
    _backward(theta, sizes, codes, z, a, d, grad)
    return total / len(rows)


@jit
def _penalize(theta, sizes, l1, l2, grad):
    """Return l1 * sum |W| + l2 / 2 * sum W^2 over the weight matrices, and add its gradient."""
    value, start = 0.0, 0
    real = theta.dtype.type
    for k in range(len(sizes) - 1):
        end = start + sizes[k] * sizes[k + 1]
        for i in range(start, end):
            value += l1 * abs(theta[i]) + 0.5 * l2 * theta[i] * theta[i]
            grad[i] += real(l1) * np.sign(theta[i]) + real(l2) * theta[i]
        start = end + sizes[k + 1]
    return value


@jit
def _update(rule, theta, g, m, v, c):
    """Apply RULES[rule] with the moments m and v and the constants c."""
    if rule == 0:
        sgd_loop(theta, g, c[0])
    elif rule == 1:
        momentum_loop(theta, g, m, c[0], c[1])
    elif rule == 2:
        nesterov_loop(theta, g, m, c[0], c[1])
    elif rule == 3:
        rmsprop_loop(theta, g, m, c[0], c[1], c[2], c[3])
    else:
        adam_loop(theta, g, m, v, c[0], c[1], c[2], c[3], c[4], c[5])


@jit
def _descend(theta, grad, sizes, codes, loss, c, X, y, order, batch_size, penalty, clip, rule, m, v, constants):
    """Take a step for each row of `constants`, on the next batch of `order`.

    Return the number of steps, and the sums of loss times rows and of gradient norms. A batch whose loss or gradient is
    not finite ends the descent before its step.
    """
    losses = norms = 0.0
    l1, l2, alpha = penalty
    for k in range(len(constants)):
        rows = order[k * batch_size : (k + 1) * batch_size]
        value = _objective(theta, sizes, codes, loss, c, X, y, rows, grad)
        if l1 or l2 or alpha:
            value += _penalize(theta, sizes, l1, l2 + alpha / len(rows), grad)
        square = 0.0
        for i in range(grad.size):
            square += float(grad[i]) * float(grad[i])
        norm = np.sqrt(square)
        if not (np.isfinite(value) and np.isfinite(norm)):
            return k, losses, norms
        if norm > clip:
            for i in range(grad.size):
                grad[i] *= theta.dtype.type(clip / norm)
        _update(rule, theta, grad, m, v, constants[k])
        losses += len(rows) * value
        norms += norm
    return len(constants), losses, norms


class SmallNetwork(FusedNetwork):
    """A network whose batches of few rows go through one compiled loop."""

    def __init__(self, original: Network) -> None:
        self.codes = np.array(activation_codes(original.layers), np.intp)
        self.sizes = np.array([original.n_in, *(layer.n_out for layer in original.layers if isinstance(layer, Dense))])
        self.has_compiled_loss = type(original.loss) in costs.COSTS
        if self.has_compiled_loss:
            kind, setting = type(original.loss), costs.setting_of(original.loss)
            self.loss_code = CROSS_ENTROPY if kind is CrossEntropy else LOSSES.index(kind)
            self.setting = np.full(original.n_out, 0 if setting is None else setting, original.dtype)
        super().__init__(original)

    def descend(
        self, X: Array, y: Array, order: Array, batch_size: int, clip: float, optimizer: Optimizer, rates: Array
    ) -> tuple[int, float, float]:
        """Take a step for each of the rates, on the next batch of `order`; see `_descend`."""
        rule, names = optimizer.rule
        moments = [optimizer.moment(name, self.theta) for name in names]
        m, v = [*moments, self.theta[:0], self.theta[:0]][:2]
        arguments = optimizer.arguments(rates, optimizer.steps + 1 + np.arange(len(rates)))
        constants = np.stack(np.broadcast_arrays(*arguments, rates)[:-1], axis=1)
        penalty = self.l1, self.l2, self.alpha
        begin = optimizer.steps
        result = _descend(
            self._theta, self.grad, self.sizes, self.codes, self.loss_code, self.setting, X, y, order, batch_size,
            penalty, clip, RULES.index(rule), m, v, constants,
        )  # fmt: skip
        optimizer.steps += result[0]
        if optimizer.steps // FLUSH_EVERY > begin // FLUSH_EVERY:
            for moment in moments:
                flush_denormals(moment)
        return result

    def can_descend(self, weight: Array | None, batch_size: int, optimizer: Optimizer) -> bool:
        """Return whether `descend` is possible and faster: it takes no weights, and known losses and rules."""
        return (
            self.has_compiled_loss
            and weight is None
            and self._is_small(batch_size)
            and type(optimizer).step is Optimizer.step
            and optimizer.rule[0] in RULES
        )

    def objective(
        self, X: Array, y: Array, weight: Array | None = None, rng: np.random.Generator | None = None
    ) -> tuple[float, Array]:
        if not self._is_small(len(X)):
            return super().objective(X, y, weight, rng)
        if self.has_compiled_loss and weight is None:
            rows = np.arange(len(X))
            value = _objective(
                self._theta, self.sizes, self.codes, self.loss_code, self.setting, X, y, rows, self.grad
            )  # fmt: skip
        else:
            value = self._with_loss(X, y, weight)
        if self.l1 or self.l2 or self.alpha:
            value += self.penalize(X, weight)
        return value, self.grad

    def _is_small(self, n_rows: int) -> bool:
        return max(n_rows, MIN_ROWS) * (self._theta.size + UNIT_WORK * self.sizes[1:].sum()) <= MAX_WORK

    def _with_loss(self, X: Array, y: Array, weight: Array | None) -> float:
        z, A, d = np.empty((3, int(self.sizes.sum()), len(X)), self.dtype)
        A[: self.n_in] = X.T
        _forward(self._theta, self.sizes, self.codes, z, A)
        value, dZ = self.loss(A[-self.n_out :].T, y, weight)
        d[-self.n_out :] = dZ.T
        _backward(self._theta, self.sizes, self.codes, z, A, d, self.grad)
        return value


def activation_codes(layers: Sequence[Layer]) -> list[int]:
    """Return the code of the activation after each Dense; an empty list if a layer is of another kind."""
    codes: list[int] = []
    for layer in layers:
        if type(layer) is Dense:
            codes.append(CODES["identity"])
            continue
        code = CODES.get(layer.function) if isinstance(layer, Activation) and isinstance(layer.function, str) else None
        if code is None or not codes or codes[-1] != CODES["identity"]:
            return []
        codes[-1] = code
    return codes


def fuse(objective: Any) -> Any:
    """Return an equivalent SmallNetwork or FusedNetwork for a Network, and any other objective unchanged."""
    if type(objective) is not Network:
        return objective
    return (SmallNetwork if activation_codes(objective.layers) else FusedNetwork)(objective)
