"""A museum of slips: each a part of a network with a switch, `slip`, that makes the mistake or leaves it out."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from chainrule import SGD, Activation, Dense, Layer, Loss, Network, train
from chainrule.data.datasets import disc
from chainrule.errors import DivergenceError
from chainrule.nn.losses import softmax

# Layers.


@dataclass(frozen=True)
class Sigmoid(Layer):
    """A = sigmoid(Z); the slip: sigma' is forgotten on the way back."""

    slip: bool

    def forward(self, X, params, rng=None):
        A = 1 / (1 + np.exp(-X))

        def backward(dY, grads, need_dX=True):
            return dY if self.slip else dY * A * (1 - A)

        return A, backward


@dataclass(frozen=True)
class Linear(Layer):
    """Y = X W + b, n columns to n, right as it stands."""

    n: int
    slip: bool

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
            return self.onward(dY, W, grads)

        return X @ W + params["b"], backward

    def onward(self, dY, W, grads):
        return dY @ W.T


class NotTransposed(Linear):
    """The slip: W is not transposed on the way back. It fits, as the matrix is square."""

    def onward(self, dY, W, grads):
        return dY @ W if self.slip else dY @ W.T


class UpdatedFirst(Linear):
    """The slip: W takes its step before the gradient is passed on through it."""

    def onward(self, dY, W, grads):
        if self.slip:
            W -= 0.3 * grads["W"]
        return dY @ W.T


class BiasOfOneRow(Linear):
    """The slip: the bias gets the first row's gradient, not the sum over the batch."""

    def onward(self, dY, W, grads):
        if self.slip:
            grads["b"][...] = dY[0]
        return dY @ W.T


class ColumnBias(Linear):
    """The slip: the bias is a column (n, 1), and added to a vector (n,) makes a square (n, n)."""

    def forward(self, X, params, rng=None):
        Y, backward = super().forward(X, params, rng)
        b = params["b"][:, np.newaxis]
        return (np.stack([x @ params["W"] + b for x in X]) if self.slip else Y), backward


class Uncentred(Linear):
    """The slip: weights are drawn between 0 and 1, so that every sum is large and positive."""

    def init(self, params, rng):
        if self.slip:
            params["W"][...] = rng.random((self.n, self.n))
        else:
            super().init(params, rng)


# Losses.


@dataclass(frozen=True)
class CrossEntropyOfRows(Loss):
    """log sum_k exp(Z_k) - Z_y, right as it stands."""

    slip: bool

    def predict(self, Z):
        return softmax(Z)

    def targets(self, y, n_out, dtype):
        return np.eye(n_out)[y] if np.ndim(y) == 1 else y

    def per_row(self, Z, Y):
        S = Z - Z.max(axis=1, keepdims=True)
        return np.log(np.exp(S).sum(axis=1)) - (S * Y).sum(axis=1), softmax(Z) - Y


class Summed(CrossEntropyOfRows):
    """The slip: gradients are summed over the batch, and the loss is a mean."""

    def per_row(self, Z, Y):
        losses, dZ = super().per_row(Z, Y)
        return losses, dZ * len(Z) if self.slip else dZ


class Overflowing(CrossEntropyOfRows):
    """The slip: softmax without its largest entry taken off first: exp overflows, and infinity by infinity is NaN."""

    def per_row(self, Z, Y):
        if not self.slip:
            return super().per_row(Z, Y)
        with np.errstate(over="ignore", invalid="ignore"):
            P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
        return -np.log((P * Y).sum(axis=1)), P - Y


class LogOfZero(CrossEntropyOfRows):
    """The slip: the logarithm of a probability that has become 0."""

    def per_row(self, Z, Y):
        if not self.slip:
            return super().per_row(Z, Y)
        with np.errstate(divide="ignore"):
            return -np.log((softmax(Z) * Y).sum(axis=1)), softmax(Z) - Y


# What they are put into.

WIDTH = 12


def with_layer(layer, slip):
    layers = [Dense(2, WIDTH), Activation("sigmoid"), layer(slip=slip), Activation("sigmoid"), Dense(WIDTH, 2)]
    return Network(layers, "cross_entropy", seed=0)


def with_loss(loss, slip):
    return Network([Dense(2, WIDTH), Activation("tanh"), Dense(WIDTH, 2)], loss(slip), seed=0)


def far_off(loss, slip):
    """A network whose raw outputs are in the thousands, as they get where inputs are not scaled."""
    net = with_loss(loss, slip)
    net.params[-1]["b"][...] = [-2000, 2000]
    return net


EXHIBITS = {
    "sigma' forgotten": partial(with_layer, Sigmoid),
    "W not transposed": partial(with_layer, partial(NotTransposed, WIDTH)),
    "updated before passed on": partial(with_layer, partial(UpdatedFirst, WIDTH)),
    "bias of one row": partial(with_layer, partial(BiasOfOneRow, WIDTH)),
    "column bias": partial(with_layer, partial(ColumnBias, WIDTH)),
    "batch summed": partial(with_loss, Summed),
    "softmax overflows": partial(far_off, Overflowing),
    "log of zero": partial(far_off, LogOfZero),
    "weights uncentred": lambda slip: Network(
        [Dense(2, 60), Activation("sigmoid"), Uncentred(60, slip), Activation("sigmoid"), Dense(60, 2)],
        "cross_entropy",
        seed=0,
    ),
}
"""Name -> a function of `slip` that returns the network."""
X, Y = disc(400, seed=0)


def loss_after(exhibit, slip, epochs=100):
    """Train without the proof that the library asks of own parts; return the last loss, or why there is none."""
    net = EXHIBITS[exhibit](slip)
    net.gradients_checked = True
    optimizer = SGD(0.3, momentum=0.9)
    try:
        return train(net, X, Y, optimizer=optimizer, epochs=epochs, batch_size=20, max_rollbacks=0, seed=0).loss[-1]
    except (DivergenceError, ValueError) as error:
        return type(error).__name__
