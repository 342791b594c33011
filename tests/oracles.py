"""What the library computes, as naive loops over plain numbers: slow, obvious, written from the formulas alone."""

import math

import numpy as np


def dense(X, W, b):
    n, n_in = X.shape
    n_out = W.shape[1]
    Y = np.zeros((n, n_out))
    for i in range(n):
        for j in range(n_out):
            Y[i, j] = b[j] + sum(X[i, k] * W[k, j] for k in range(n_in))
    return Y


def layer_norm(X, gamma, beta, epsilon):
    """Each row minus its mean, divided by its standard deviation."""
    Y = np.zeros_like(X)
    for i, row in enumerate(X):
        mean = sum(row) / len(row)
        variance = sum((x - mean) ** 2 for x in row) / len(row)
        for j, x in enumerate(row):
            Y[i, j] = gamma[j] * (x - mean) / math.sqrt(variance + epsilon) + beta[j]
    return Y


def batch_norm(X, gamma, beta, epsilon):
    """Each column minus its mean, divided by its standard deviation."""
    Y = np.zeros_like(X)
    for j, column in enumerate(X.T):
        mean = sum(column) / len(column)
        variance = sum((x - mean) ** 2 for x in column) / len(column)
        Y[:, j] = [gamma[j] * (x - mean) / math.sqrt(variance + epsilon) + beta[j] for x in column]
    return Y


def gelu(z):
    return 0.5 * z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


ACTIVATIONS = {
    "identity": lambda z: z,
    "step": lambda z: 1.0 if z > 0 else 0.0,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": math.tanh,
    "relu": lambda z: max(0.0, z),
    "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
    "elu": lambda z: z if z > 0 else math.exp(z) - 1,
    "selu": lambda z: 1.0507009873554805 * (z if z > 0 else 1.6732632423543772 * (math.exp(z) - 1)),
    "softplus": lambda z: math.log(1 + math.exp(z)),
    "silu": lambda z: z / (1 + math.exp(-z)),
    "gelu": gelu,
    "mish": lambda z: z * math.tanh(math.log(1 + math.exp(z))),
}


def softmax(row):
    exponentials = [math.exp(z) for z in row]
    return [e / sum(exponentials) for e in exponentials]


def squared_error(z, y):
    return sum((a - b) ** 2 for a, b in zip(z, y, strict=True)) / 2


def absolute_error(z, y):
    return sum(abs(a - b) for a, b in zip(z, y, strict=True))


def huber(z, y, delta=1.0):
    gaps = [abs(a - b) for a, b in zip(z, y, strict=True)]
    return sum(r * r / 2 if r <= delta else delta * (r - delta / 2) for r in gaps)


def quantile(z, y, level=0.5):
    return sum(level * (b - a) if b > a else (1 - level) * (a - b) for a, b in zip(z, y, strict=True))


def poisson(z, y):
    return sum(math.exp(a) - b + (b * (math.log(b) - a) if b > 0 else 0) for a, b in zip(z, y, strict=True))


def binary_cross_entropy(z, y, smoothing=0.0):
    total = 0.0
    for a, b in zip(z, y, strict=True):
        p = 1 / (1 + math.exp(-a))
        b = (1 - smoothing) * b + smoothing / 2
        total -= b * math.log(p) + (1 - b) * math.log(1 - p)
    return total


def cross_entropy(z, y, smoothing=0.0):
    k = len(z)
    target = [1.0 if j == y else 0.0 for j in range(k)] if np.ndim(y) == 0 else y
    target = [(1 - smoothing) * t + smoothing / k for t in target]
    return -sum(t * math.log(p) for t, p in zip(target, softmax(z), strict=True))


LOSSES = {
    "squared_error": squared_error,
    "absolute_error": absolute_error,
    "huber": huber,
    "quantile": quantile,
    "poisson": poisson,
    "binary_cross_entropy": binary_cross_entropy,
    "cross_entropy": cross_entropy,
}


def reduced(row_loss, Z, y, weight=None):
    """Return the mean over rows of a row's loss, with weights divided by their sum."""
    weight = np.ones(len(Z)) if weight is None else weight
    return sum(w * row_loss(z, t) for w, z, t in zip(weight, Z, y, strict=True)) / sum(weight)


def sgd(theta, gradients, rate, momentum=0.0, nesterov=False):
    """Sutskever et al. 2013, eqs. 1 to 4; Nesterov's theta is the look-ahead point, where the gradient is taken."""
    theta = list(theta)
    velocity = [0.0] * len(theta)
    for gradient in gradients:
        for i, g in enumerate(gradient):
            velocity[i] = momentum * velocity[i] - rate * g
            theta[i] += momentum * velocity[i] - rate * g if nesterov else velocity[i]
    return np.array(theta)


def rmsprop(theta, gradients, rate, rho=0.9, epsilon=1e-8):
    theta = list(theta)
    square = [0.0] * len(theta)
    for gradient in gradients:
        for i, g in enumerate(gradient):
            square[i] = rho * square[i] + (1 - rho) * g * g
            theta[i] -= rate * g / (math.sqrt(square[i]) + epsilon)
    return np.array(theta)


def adam(theta, gradients, rate, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0):
    """Kingma & Ba 2015, algorithm 1; with weight_decay, Loshchilov & Hutter 2019, algorithm 2."""
    theta = list(theta)
    m = [0.0] * len(theta)
    v = [0.0] * len(theta)
    for t, gradient in enumerate(gradients, start=1):
        for i, g in enumerate(gradient):
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g * g
            corrected_m = m[i] / (1 - beta1**t)
            corrected_v = v[i] / (1 - beta2**t)
            theta[i] -= rate * weight_decay * theta[i] + rate * corrected_m / (math.sqrt(corrected_v) + epsilon)
    return np.array(theta)


def adam_moments(gradients, beta1=0.9, beta2=0.999):
    """Return m and v of algorithm 1 after these gradients, without bias correction."""
    m = [0.0] * len(gradients[0])
    v = [0.0] * len(gradients[0])
    for gradient in gradients:
        for i, g in enumerate(gradient):
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g**2
    return np.array(m), np.array(v)


def targets_for(name, n, k, rng):
    """Return random targets that the loss with this name accepts."""
    if name == "cross_entropy":
        return rng.integers(0, k, n)
    if name == "binary_cross_entropy":
        return rng.integers(0, 2, (n, k)).astype(float)
    if name == "poisson":
        return rng.poisson(2, (n, k)).astype(float)
    return rng.normal(size=(n, k))
