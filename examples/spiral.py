"""Three descents on a spiral
==========================

Batch, mini-batch and single-sample descent on three spirals wound into each other.

The network is two layers, relu between them and softmax with cross-entropy at the end, whose gradient in the raw
outputs is simply P - Y. Following the mean gradient of all rows takes one sure step an epoch; of 32 rows, ten rougher
ones; of a single row three hundred, rough enough to need a small rate. All three start from the same weights. Epoch for
epoch the single sample gets furthest, but its epochs take longest: look at the seconds.

The second picture shows their ways down, over the loss on the plane that lies closest to all three; the third how the
boundary forms.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from chainrule import SGD, mlp, train
from chainrule.data.datasets import spiral
from chainrule.insight.recording import WeightPath
from chainrule.insight.surface import surface_of_paths
from chainrule.viz import animate_boundary, decision_boundary, descent_paths, loss_curves

DESCENTS = {
    "batch": {"batch_size": None, "optimizer": SGD(1.0), "epochs": 3000},
    "mini-batch of 32": {"batch_size": 32, "optimizer": SGD(0.5), "epochs": 300},
    "single sample": {"batch_size": 1, "optimizer": SGD(0.03), "epochs": 200},
}


def main(out="examples/output", seed=0):
    X, y = spiral(100, arms=3, seed=seed)
    nets, histories, ways, accuracies = {}, {}, {}, {}
    for name, how in DESCENTS.items():
        net = nets[name] = mlp(2, 100, 3, activation="relu", loss="cross_entropy", seed=seed)
        ways[name] = WeightPath()
        histories[name] = train(net, X, y, seed=seed, callbacks=[ways[name]], **how)
        accuracies[name] = float(np.mean(net.predict(X).argmax(axis=1) == y))
        seconds = sum(histories[name].seconds)
        print(f"{name}: accuracy {accuracies[name]:.3f} after {how['epochs']} epochs, {seconds:.1f} s")
    draw(nets, histories, ways, X, y, Path(out))
    return {"accuracies": accuracies}


def draw(nets, histories, ways, X, y, out):
    out.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
    loss_curves(histories, left, "loss of the three descents")
    left.set_xscale("log")
    decision_boundary(nets["mini-batch of 32"], X, y, right, "decision after mini-batches")
    figure.savefig(out / "spiral.png", dpi=120)
    plt.close(figure)

    net = nets["mini-batch of 32"]
    paths = {name: way.thetas for name, way in ways.items()}
    ax = descent_paths(surface_of_paths(net, X, y, list(paths.values())), paths, title="three ways down")
    ax.figure.savefig(out / "spiral_paths.png", dpi=120)
    plt.close(ax.figure)
    animate_boundary(out / "spiral.gif", net, ways["mini-batch of 32"], X, y, frames=40)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="examples/output", help="folder for the picture")
    main(parser.parse_args().out)
