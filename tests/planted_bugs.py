"""Common mistakes as parts of a network: `bug=True` makes the mistake, `bug=False` leaves it out."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from chainrule import SGD, Activation, Dense, Layer, Loss, Network, train
from chainrule.datasets import disc
from chainrule.errors import DivergenceError
from chainrule.nn.losses import softmax

# Layers.


@dataclass(frozen=True)
class Sigmoid(Layer):
    """A = sigmoid(Z). The bug: sigma' is forgotten in the backward pass."""

    bug: bool

    def forward(self, X, params, rng=None):
        A = 1 / (1 + np.exp(-X))

        def backward(dY, grads, need_dX=True):
            return dY if self.bug else dY * A * (1 - A)

        return A, backward


@dataclass(frozen=True)
class Linear(Layer):
    """Y = X W + b from n columns to n, without a bug."""

    n: int
    bug: bool

    @property
    def sizes(self):
        return self.n, self.n

    @property
    def shapes(self):
        return {"W": (self.n, self.n), "b": (self.n,)}

    def init(self, params, rng):
        params["W"][...] = rng.normal(0, 1 / np.sqrt(self.n), (self.n, self.n))

    def forward(self, X, params, rng=None):
        W = params["W"]

        def backward(dY, grads, need_dX=True):
            grads["W"][...] = X.T @ dY
            grads["b"][...] = dY.sum(axis=0)
            return self.pass_back(dY, W, grads)

        return X @ W + params["b"], backward

    def pass_back(self, dY, W, grads):
        return dY @ W.T


class NotTransposed(Linear):
    """The bug: W is not transposed in the backward pass. It is square, so it fits."""

    def pass_back(self, dY, W, grads):
        return dY @ W if self.bug else dY @ W.T


class UpdatedTooEarly(Linear):
    """The bug: W is updated before the error is passed back through it."""

    def pass_back(self, dY, W, grads):
        if self.bug:
            W -= 0.3 * grads["W"]
        return dY @ W.T


class BiasOfOneRow(Linear):
    """The bug: the bias gets the gradient of one row, not the sum over the batch."""

    def pass_back(self, dY, W, grads):
        if self.bug:
            grads["b"][...] = dY[0]
        return dY @ W.T


class ColumnBias(Linear):
    """The bug: the bias is a column; added to a vector it broadcasts to a matrix."""

    def forward(self, X, params, rng=None):
        Y, backward = super().forward(X, params, rng)
        b = params["b"][:, np.newaxis]
        return (np.stack([x @ params["W"] + b for x in X]) if self.bug else Y), backward


class NotCentered(Linear):
    """The bug: weights are drawn between 0 and 1: sums are large and positive."""

    def init(self, params, rng):
        if self.bug:
            params["W"][...] = rng.random((self.n, self.n))
        else:
            super().init(params, rng)


# Losses.


@dataclass(frozen=True)
class CrossEntropyOfRows(Loss):
    """log sum_k exp(Z_k) - Z_y, without a bug."""

    bug: bool

    def predict(self, Z):
        return softmax(Z)

    def targets(self, y, n_out, dtype):
        return np.eye(n_out)[y] if np.ndim(y) == 1 else y

    def per_row(self, Z, Y):
        S = Z - Z.max(axis=1, keepdims=True)
        return np.log(np.exp(S).sum(axis=1)) - (S * Y).sum(axis=1), softmax(Z) - Y


class Summed(CrossEntropyOfRows):
    """The bug: gradients are summed over the batch, but the loss is a mean."""

    def per_row(self, Z, Y):
        losses, dZ = super().per_row(Z, Y)
        return losses, dZ * len(Z) if self.bug else dZ


class Overflowing(CrossEntropyOfRows):
    """The bug: without subtracting the largest logit, exp overflows to inf / inf."""

    def per_row(self, Z, Y):
        if not self.bug:
            return super().per_row(Z, Y)
        with np.errstate(over="ignore", invalid="ignore"):
            P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
        return -np.log((P * Y).sum(axis=1)), P - Y


class LogOfZero(CrossEntropyOfRows):
    """The bug: the logarithm of a probability that has underflowed to 0."""

    def per_row(self, Z, Y):
        if not self.bug:
            return super().per_row(Z, Y)
        with np.errstate(divide="ignore"):
            return -np.log((softmax(Z) * Y).sum(axis=1)), softmax(Z) - Y


# Networks that contain them.

WIDTH = 12


def with_layer(layer, bug):
    layers = [Dense(2, WIDTH), Activation("sigmoid"), layer(bug=bug), Activation("sigmoid"), Dense(WIDTH, 2)]
    return Network(layers, "cross_entropy", seed=0)


def with_loss(loss, bug):
    return Network([Dense(2, WIDTH), Activation("tanh"), Dense(WIDTH, 2)], loss(bug), seed=0)


def with_large_logits(loss, bug):
    """Return a network with logits in the thousands, as unscaled inputs produce them."""
    net = with_loss(loss, bug)
    net.params[-1]["b"][...] = [-2000, 2000]
    return net


BUGS = {
    "sigma' forgotten": partial(with_layer, Sigmoid),
    "W not transposed": partial(with_layer, partial(NotTransposed, WIDTH)),
    "updated too early": partial(with_layer, partial(UpdatedTooEarly, WIDTH)),
    "bias of one row": partial(with_layer, partial(BiasOfOneRow, WIDTH)),
    "column bias": partial(with_layer, partial(ColumnBias, WIDTH)),
    "batch summed": partial(with_loss, Summed),
    "softmax overflows": partial(with_large_logits, Overflowing),
    "log of zero": partial(with_large_logits, LogOfZero),
    "weights not centered": lambda bug: Network(
        [Dense(2, 60), Activation("sigmoid"), NotCentered(60, bug), Activation("sigmoid"), Dense(60, 2)],
        "cross_entropy",
        seed=0,
    ),
}
"""Name -> a function of `bug` that returns the network."""
X, Y = disc(400, seed=0)


def loss_after(name, bug, epochs=100):
    """Train without the library's gradient check; return the last loss, or the name of the error."""
    net = BUGS[name](bug)
    net.gradients_checked = True
    optimizer = SGD(0.3, momentum=0.9)
    try:
        return train(net, X, Y, optimizer=optimizer, epochs=epochs, batch_size=20, max_rollbacks=0, seed=0).loss[-1]
    except (DivergenceError, ValueError) as error:
        return type(error).__name__
