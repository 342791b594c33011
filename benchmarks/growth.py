"""Time and peak memory of an epoch as rows, width and depth grow, with a plot of each. NumPy kernels.

Memory is the peak that training allocates beyond the data and the network. It must stay below the sum of 24 bytes for
each value that a layer outputs for a batch, four vectors of the size of the parameters (Adam's two moments, the weights
of the best epoch, and the weights for a rollback), and 16 bytes per row for the shuffled order and the like.
"""

import tracemalloc
from itertools import pairwise

import matplotlib as mpl
import numpy as np

from chainrule import mlp, train
from harness import RESULTS, machine, present, publish, seconds, table

N_IN, WIDTH, N_OUT, ROWS, BATCH = 20, 64, 3, 20_000, 128
GROWTH = {
    "rows": [(n, (N_IN, WIDTH, WIDTH, N_OUT)) for n in (1000, 10_000, 100_000, 1_000_000)],
    "width": [(ROWS, (N_IN, width, width, N_OUT)) for width in (16, 32, 64, 128, 256, 512, 1024, 2048)],
    "depth": [(ROWS, (N_IN, *depth * [WIDTH], N_OUT)) for depth in (1, 2, 4, 8, 16, 32)],
}
"""Quantity that grows -> number of rows and layer sizes of each measurement."""
SIZE_OF = {"rows": lambda n, sizes: n, "width": lambda n, sizes: sizes[1], "depth": lambda n, sizes: len(sizes) - 2}


def measure(n, sizes):
    """Return the seconds of an epoch, the peak bytes beyond data and network, and the bound on them."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], n)
    net = mlp(*sizes, loss="cross_entropy", seed=0)

    time = seconds(lambda: train(net, X, y, epochs=1, batch_size=BATCH))
    tracemalloc.start()
    train(net, X, y, epochs=2, batch_size=BATCH)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    parameters = sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))
    bound = 4 * 4 * parameters + 24 * BATCH * sum(sizes) + 16 * n + 2**20
    assert peak < bound, f"{sizes}: {peak:,} bytes, above the bound of {bound:,}"
    return time, peak, bound


def draw(quantity, measured):
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    at = [size for size, *_ in measured]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.loglog(at, [time for _, time, _, _ in measured], "o-")
    left.set(xlabel=quantity, ylabel="seconds per epoch", title=f"Time and {quantity}")
    right.loglog(at, [peak / 1e6 for _, _, peak, _ in measured], "o-", label="measured")
    right.loglog(at, [bound / 1e6 for _, _, _, bound in measured], "--", color="gray", label="bound")
    right.set(xlabel=quantity, ylabel="MB beyond data and network", title=f"Memory and {quantity}")
    right.legend(frameon=False)
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / f"growth_{quantity}.png", dpi=110)
    plt.close(figure)


def main():
    rows = []
    for quantity, cases in GROWTH.items():
        measured = [(SIZE_OF[quantity](*case), *measure(*case)) for case in cases]
        draw(quantity, measured)
        rows += [[quantity, f"{size:,}", f"{t:.3f}", f"{p / 1e6:.2f}", f"{b / 1e6:.2f}"] for size, t, p, b in measured]
    publish(
        "growth",
        "Time and memory of an epoch",
        f"{N_IN}-{WIDTH}-{WIDTH}-{N_OUT}, {ROWS:,} rows and batches of {BATCH}, except for the quantity that grows.",
        machine(present("numpy")),
        table(["quantity", "value", "seconds", "MB beyond data and network", "bound, MB"], rows),
        *(f"![{quantity}](growth_{quantity}.png)" for quantity in GROWTH),
    )


if __name__ == "__main__":
    main()
