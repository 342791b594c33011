"""Why depth was hard, and what made it easy
=========================================

Twelve layers of sigmoids do not learn what twelve layers of relu do: look at what flows through them.

Both networks have twelve hidden layers of 30 units and learn to tell the inside of a disc. Forward, each layer of
sigmoids shrinks what differs between rows, until the last gives nearly the same for all of them. Back, each multiplies
the gradient by sigma'(z), at most 1/4: the first layer's is smaller than the last one's by eight orders of magnitude,
and nothing moves. Under relu, whose derivative is 1 where it is not 0, and with weights of He's size, both keep theirs.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from chainrule import Adam, mlp, train
from chainrule.data.datasets import disc
from chainrule.insight.recording import LayerSamples
from chainrule.viz import activation_histograms, gradient_histograms


def main(out="examples/output", epochs=64):
    X, y = disc(300)
    samples, accuracies, shares = {}, {}, {}
    for activation in ("sigmoid", "relu"):
        net = mlp(2, *[30] * 12, 2, activation=activation, loss="cross_entropy", seed=0)
        samples[activation] = LayerSamples(X, y)
        train(net, X, y, optimizer=Adam(1e-3), epochs=epochs, batch_size=32, callbacks=[samples[activation]])
        accuracies[activation] = float(np.mean(net.predict(X).argmax(axis=1) == y))
        first, *_, last = (np.abs(past[0]).max() for past in samples[activation].gradients.values())
        shares[activation] = float(first / last)
        print(f"{activation}: accuracy {accuracies[activation]:.3f}; at first the first layer's largest gradient")
        print(f"    is {shares[activation]:.1e} of the last one's")
    draw(samples, Path(out))
    return {"accuracies": accuracies, "shares": shares}


def draw(samples, out):
    out.mkdir(parents=True, exist_ok=True)
    for activation, seen in samples.items():
        figure, (above, below) = plt.subplots(2, 1, figsize=(10, 8.4), layout="constrained")
        activation_histograms(seen, above, f"activations, {activation}")
        gradient_histograms(seen, below, f"gradients of the weights, {activation}")
        figure.savefig(out / f"layers_{activation}.png", dpi=120)
        plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="examples/output", help="folder for the pictures")
    main(parser.parse_args().out)
