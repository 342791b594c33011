"""Training speed in samples per second over complete epochs, shuffling included, compared with other libraries.

float32, Adam, softmax cross-entropy, ReLU. Each library is used in its fastest form: one call of fit in scikit-learn,
eager mode with the fused Adam in PyTorch, and in JAX an epoch compiled into one scan that shuffles inside. A textbook's
loop over single samples is measured as well.
"""

import warnings
from itertools import pairwise

import numpy as np

from chainrule import Callback, mlp, train
from harness import interleaved, machine, peak, present, publish, seconds, table

SHAPES = {
    (2, 3, 2): (10, 20_000),
    (30, 100, 2): (200, 100_000),
    (784, 30, 10): (10, 10_000),
    (784, 128, 10): (128, 20_480),
    (784, 512, 256, 10): (256, 12_800),
    (50, 256, 256, 256, 2): (256, 38_400),
    (784, 1024, 1024, 10): (1024, 8192),
}
"""Layer sizes -> rows per batch, number of rows."""


LONG_TRAINING = 10_000
"""Epochs planned, of which one is timed: `kernels="auto"` chooses as it does for a long training."""


class OneEpoch(Callback):
    """Stops after the first epoch."""

    def on_epoch_end(self, run):
        run.stop = "one is enough"


def chainrule_with(kernels):
    def contestant(sizes, batch_size, X, y):
        net = mlp(*sizes, loss="cross_entropy", seed=0)

        def epoch():
            options = {"epochs": LONG_TRAINING, "batch_size": batch_size, "kernels": kernels, "seed": 0}
            return seconds(lambda: train(net, X, y, callbacks=OneEpoch(), **options))

        return epoch

    return contestant


def sklearn_fit(sizes, batch_size, X, y):
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(sizes[1:-1], batch_size=batch_size, max_iter=1)
    return lambda: seconds(lambda: model.fit(X, y))


def torch_eager(sizes, batch_size, X, y):
    import torch
    from torch import nn

    layers = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    net, loss = nn.Sequential(*layers[:-1]), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    X, y = torch.from_numpy(X), torch.from_numpy(y)

    def epoch():
        for rows in torch.randperm(len(X)).split(batch_size):
            optimizer.zero_grad()
            loss(net(X[rows]), y[rows]).backward()
            optimizer.step()

    return lambda: seconds(epoch)


def jax_scan(sizes, batch_size, X, y):
    import jax
    import jax.numpy as jnp

    def value(params, X, y):
        for W, b in params[:-1]:
            X = jax.nn.relu(X @ W + b)
        W, b = params[-1]
        log_P = jax.nn.log_softmax(X @ W + b)
        return -jnp.mean(jnp.take_along_axis(log_P, y[:, None], 1))

    def step(state, batch):
        params, m, v, t = state
        grad = jax.grad(value)(params, *batch)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grad)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grad)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), params, m, v)
        return (params, m, v, t), None

    @jax.jit
    def epoch(state, key):
        order = jax.random.permutation(key, len(X)).reshape(-1, batch_size)
        return jax.lax.scan(lambda state, rows: step(state, (X[rows], y[rows])), state, order)[0]

    rng = np.random.default_rng(0)
    params = [
        (jnp.asarray(rng.normal(0, (2 / n_in) ** 0.5, (n_in, n_out)), jnp.float32), jnp.zeros(n_out))
        for n_in, n_out in pairwise(sizes)
    ]
    X, y = jnp.asarray(X), jnp.asarray(y)
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = [(params, zeros, zeros, jnp.zeros(()))]

    def run():
        state[0] = jax.block_until_ready(epoch(state[0], jax.random.key(0)))

    return lambda: seconds(run)


def sample_by_sample(sizes, batch_size, X, y):
    """The loops of Nielsen's book: a forward and a backward pass per sample, and a plain step per batch."""
    n, rng = min(len(X), max(batch_size, 100_000 // max(sizes))), np.random.default_rng(0)
    weights = [rng.normal(0, (2 / n_in) ** 0.5, (n_out, n_in)).astype(np.float32) for n_in, n_out in pairwise(sizes)]
    biases = [np.zeros((n_out, 1), np.float32) for n_out in sizes[1:]]
    goals = np.eye(sizes[-1], dtype=np.float32)

    def gradient(x, goal):
        outputs = [x]
        for W, b in zip(weights[:-1], biases[:-1]):
            outputs.append(np.maximum(W @ outputs[-1] + b, 0))
        z = weights[-1] @ outputs[-1] + biases[-1]
        p = np.exp(z - z.max())
        delta = p / p.sum() - goal
        deltas = [delta]
        for W, a in zip(weights[:0:-1], outputs[:0:-1]):
            delta = (W.T @ delta) * (a > 0)
            deltas.insert(0, delta)
        return [delta @ a.T for delta, a in zip(deltas, outputs)], deltas

    def epoch():
        order = rng.permutation(n)
        for start in range(0, n, batch_size):
            rows = order[start : start + batch_size]
            dW, db = [np.zeros_like(W) for W in weights], [np.zeros_like(b) for b in biases]
            for i in rows:
                gradients, deltas = gradient(X[i][:, None], goals[y[i]][:, None])
                dW, db = [a + g for a, g in zip(dW, gradients)], [a + d for a, d in zip(db, deltas)]
            for W, b, gW, gb in zip(weights, biases, dW, db):
                W -= 1e-3 / len(rows) * gW
                b -= 1e-3 / len(rows) * gb

    return lambda: seconds(epoch) * len(X) / n


PEERS = {
    "scikit-learn": ("scikit-learn", sklearn_fit),
    "PyTorch": ("torch", torch_eager),
    "JAX": ("jax", jax_scan),
    "by sample": ("numpy", sample_by_sample),
}


def flops(sizes):
    """Return the operations in the matrix products of one sample: forward, dW and, except in the first layer, dX."""
    return 6 * sum(a * b for a, b in pairwise(sizes)) - 2 * sizes[0] * sizes[1]


def main():
    warnings.filterwarnings("ignore")  # scikit-learn warns that one epoch does not converge
    packages = present("numpy", "numba", "scikit-learn", "torch", "jax")
    ours = {"NumPy": "numpy"} | ({"fast": "auto"} if "numba" in packages else {})
    makers = {name: chainrule_with(kernels) for name, kernels in ours.items()}
    makers |= {name: maker for name, (package, maker) in PEERS.items() if package in packages}
    peers = [name for name in PEERS if name in makers]
    best, speeds, ratios = peak(), [], []
    for sizes, (batch_size, n) in SHAPES.items():
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(n, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], n)
        times = interleaved({name: make(sizes, batch_size, X, y) for name, make in makers.items()})
        best = max(best, peak())
        shape = f"{'-'.join(map(str, sizes))}, {batch_size}"
        speeds.append([shape, *(f"{n / seconds / 1000:,.4g}" for seconds in times.values())])
        ratios.append([shape, *(f"{times[peer] / times[name]:.2f}" for name in ours for peer in peers)])
        ratios[-1] += [flops(sizes) * n / times[name] for name in ours]
        print(*ratios[-1][: -len(ours)], sep="  ", flush=True)
    for row in ratios:
        row[-len(ours) :] = [f"{rate / best:.0%}" for rate in row[-len(ours) :]]
    publish(
        "training_speed",
        "Training speed, thousand samples per second",
        machine(packages),
        table(["shape, batch", *makers], speeds),
        "Speed relative to the other libraries, and the fraction of the machine's peak in matrix products "
        f"({best / 1e9:.0f} GFLOP/s in float32):",
        table(
            ["shape, batch", *(f"{o} / {p}" for o in ours for p in peers), *(f"{o}, fraction of peak" for o in ours)],
            ratios,
        ),
    )


if __name__ == "__main__":
    main()
