"""Three neurons enclose a disc
============================

A network with three hidden neurons separates the inside of a disc from the outside,
which a single neuron cannot do.

Each hidden neuron of the 2-3-2 network draws a soft line, and the output neurons
combine the three half planes into a rounded triangle. The cost is the squared error
(1/2) sum_k (a_k - y_k)^2, where y is the one-hot class, and each step of mini-batch
stochastic gradient descent follows the mean gradient of 10 points. The learning rate
falls from 3 to 0 along half a cosine, because long steps at the end would keep moving
the boundary.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from chainrule import SGD, mlp, train
from chainrule.datasets import disc
from chainrule.viz import decision_boundary, scatter_labels

# %%
# Training
# --------
#
# Three hidden neurons are enough to enclose a region, two are not. The targets are one-
# hot: (1, 0) outside and (0, 1) inside.


def fit(seed):
    X, y = disc(300, seed=seed)
    net = mlp(
        2,
        3,
        2,
        activation="sigmoid",
        output_activation="sigmoid",
        loss="squared_error",
        seed=seed,
    )
    train(
        net,
        X,
        np.eye(2)[y],
        optimizer=SGD(3.0),
        schedule="cosine",
        epochs=1000,
        batch_size=10,
        seed=seed,
    )
    accuracy = float(np.mean(net(X).argmax(axis=1) == y))
    return net, X, y, accuracy


# %%
# Five starting points
# --------------------
#
# Small networks depend on their initial weights, so one run says little. The median of
# five says more.


def main(out="examples/output", seeds=range(5)):
    fits = [fit(seed) for seed in seeds]
    accuracies = [accuracy for *_, accuracy in fits]
    print(
        "training accuracy by seed:",
        " ".join(f"{accuracy:.3f}" for accuracy in accuracies),
    )
    print(f"median: {np.median(accuracies):.3f}")
    draw(*fits[0][:3], Path(out))
    return {"accuracies": accuracies, "median": float(np.median(accuracies))}


# %%
# The boundary
# ------------
#
# Where both outputs are equal, the network changes its mind.


def draw(net, X, y, out):
    out.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 5.2), layout="constrained")
    scatter_labels(X, y, left)
    decision_boundary(
        net, X, y, right, "decision boundary; misclassified points circled"
    )
    figure.legend(
        *right.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    figure.savefig(out / "disc.png", dpi=120)
    plt.close(figure)


# %%
# Result
# ------
#
# The boundary is a rounded triangle: three soft lines.

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out",
        default="examples/output",
        help="folder for the figure; default: %(default)s",
    )
    main(parser.parse_args().out)
