"""Batch, mini-batch and stochastic gradient descent
=================================================

Batch, mini-batch and stochastic gradient descent on three intertwined spirals.

The network has one hidden ReLU layer and ends in softmax with cross-entropy, whose
gradient with respect to the logits is simply P - Y. With all rows per batch, an epoch
is one exact step; with 32 rows, ten noisier steps; with a single row, three hundred
steps, so noisy that they need a small learning rate. All three runs start from the same
weights. After the same number of epochs, the single-row run is furthest, but its epochs
take longest: compare the times.

The second figure shows the paths of the three runs over the loss, in the plane that is
closest to all three. The third is an animation of the decision boundary as it forms.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from chainrule import SGD, mlp, train
from chainrule.datasets import spiral
from chainrule.insight.recording import WeightPath
from chainrule.insight.surface import surface_of_paths
from chainrule.viz import (
    animate_boundary,
    decision_boundary,
    descent_paths,
    loss_curves,
)

# %%
# Three kinds of descent
# ----------------------
#
# A larger batch has less noise and allows a larger learning rate. Its epochs have fewer
# steps, so it needs more of them.

DESCENTS = {
    "batch": {"batch_size": None, "optimizer": SGD(1.0), "epochs": 3000},
    "mini-batch of 32": {"batch_size": 32, "optimizer": SGD(0.5), "epochs": 300},
    "single sample": {"batch_size": 1, "optimizer": SGD(0.03), "epochs": 200},
}

# %%
# Training
# --------
#
# All three start from the same weights. A callback records the weights after each
# epoch.


def main(out="examples/output", seed=0, frames=40):
    X, y = spiral(100, arms=3, seed=seed)
    nets, histories, paths, accuracies = {}, {}, {}, {}
    for name, options in DESCENTS.items():
        net = nets[name] = mlp(
            2, 100, 3, activation="relu", loss="cross_entropy", seed=seed
        )
        paths[name] = WeightPath()
        histories[name] = train(
            net, X, y, seed=seed, callbacks=[paths[name]], **options
        )
        accuracies[name] = float(np.mean(net.predict(X) == y))
        after = f"{options['epochs']} epochs, {sum(histories[name].seconds):.1f} s"
        print(f"{name}: accuracy {accuracies[name]:.3f} after {after}")
    draw(nets, histories, paths, X, y, Path(out), frames)
    return {"accuracies": accuracies}


# %%
# Losses, paths and boundary
# --------------------------
#
# The paths are drawn over the loss in the plane that is closest to all three. They have
# the same start and different ends: a loss of this kind has many minima.


def draw(nets, histories, paths, X, y, out, frames):
    out.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
    loss_curves(histories, left, "training loss")
    left.set_xscale("log")
    decision_boundary(
        nets["mini-batch of 32"], X, y, right, "decision boundary, mini-batch"
    )
    figure.savefig(out / "spiral.png", dpi=120)
    plt.close(figure)

    net = nets["mini-batch of 32"]
    thetas = {name: path.thetas for name, path in paths.items()}
    ax = descent_paths(
        surface_of_paths(net, X, y, list(thetas.values())),
        thetas,
        title="paths of the three runs",
    )
    ax.figure.savefig(out / "spiral_paths.png", dpi=120)
    plt.close(ax.figure)
    animate_boundary(
        out / "spiral.gif", net, paths["mini-batch of 32"], X, y, frames=frames
    )


# %%
# Result
# ------
#
# All three learn the spirals. Compare the numbers of epochs and the times.

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out",
        default="examples/output",
        help="folder for the figures; default: %(default)s",
    )
    main(parser.parse_args().out)
