"""One sigmoid neuron draws a line
===============================

A single sigmoid neuron learns on which side of a line a point lies.

Its output a = sigmoid(w . x + b) is a smooth version of the perceptron's step, so the
loss L = (a - y)^2 / 2 has a gradient, dL/dw = (a - y) a (1 - a) x. Batch gradient
descent takes 1500 steps against its mean over all 100 points, with a learning rate of
2. The neuron is least certain about points near the line w . x + b = 0, where a = 1/2.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from chainrule import SGD, Activation, Dense, Network, train
from chainrule.datasets import half_plane
from chainrule.viz import learned_line, scatter_labels, scatter_predictions

# %%
# Training
# --------
#
# A layer with two inputs and one output, and a sigmoid: three parameters. All 100
# points are one batch.


def fit(seed):
    X, y = half_plane(100, seed=seed)
    net = Network([Dense(2, 1), Activation("sigmoid")], "squared_error", seed=seed)
    history = train(net, X, y, optimizer=SGD(2.0), epochs=1500, batch_size=None, seed=0)
    accuracy = float(np.mean((net(X)[:, 0] > 0.5) == y))
    return net, X, y, history, accuracy


# %%
# Twenty starting points
# ----------------------
#
# Each seed makes other points and other initial weights. The learned line is compared
# with the true one, of which the neuron has only seen the points.


def main(out="examples/output", seeds=range(20)):
    fits = [fit(seed) for seed in seeds]
    accuracies = [accuracy for *_, accuracy in fits]
    print(f"training accuracy over {len(fits)} seeds:", end=" ")
    print(f"minimum {min(accuracies):.2f}, mean {np.mean(accuracies):.3f}")
    net, X, y, history, _ = fits[0]
    w, b = net.params[0]["W"][:, 0], net.params[0]["b"][0]
    print(f"seed {seeds[0]}: cost {history.loss[0]:.3f} -> {history.loss[-1]:.3f}")
    print(f"learned line, scaled: x1 {w[1] / w[0]:+.2f} x2 = {-b / w[0]:.2f};", end=" ")
    print("true line: x1 -1.50 x2 = 0.40")
    draw(net, X, y, Path(out))
    return {"accuracies": accuracies}


# %%
# The output in the plane
# -----------------------
#
# The color of a point is the output of the neuron; it changes at the learned line.


def draw(net, X, y, out):
    out.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5.2), layout="constrained")
    scatter_labels(X, y, left)
    learned_line(net, scatter_predictions(net, X, right))
    figure.colorbar(
        right.collections[0], ax=right, shrink=0.7, label="output of the neuron"
    )
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    figure.savefig(out / "neuron.png", dpi=120)
    plt.close(figure)


# %%
# Result
# ------
#
# All twenty neurons find a line close to the true one.

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out",
        default="examples/output",
        help="folder for the figure; default: %(default)s",
    )
    main(parser.parse_args().out)
