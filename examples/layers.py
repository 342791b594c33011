"""The vanishing gradient, and how ReLU avoids it
==============================================

Twelve sigmoid layers fail to learn what twelve ReLU layers learn easily. Their
activations and gradients show why.

Both networks have twelve hidden layers of 30 units and learn to separate the inside of
a disc from the outside. In the forward pass, each sigmoid layer shrinks the differences
between rows, until the last layer outputs nearly the same for all of them. In the
backward pass, each layer multiplies the gradient by sigma'(z), which is at most 1/4. At
the first layer the gradient is eight orders of magnitude smaller than at the last: it
vanishes, and the weights hardly move. The derivative of ReLU is 0 or 1, and with He's
initialization both activations and gradients keep their size.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from chainrule import Adam, mlp, train
from chainrule.datasets import disc
from chainrule.insight.recording import LayerSamples
from chainrule.viz import activation_histograms, gradient_histograms

# %%
# Training both networks
# ----------------------
#
# The networks differ in one word, the activation. A callback records the activations
# and gradients of each layer while they train. The ratio of the largest gradients in
# the first and in the last layer says how much arrives at the front.


def main(out="examples/output", epochs=64):
    X, y = disc(300)
    samples, accuracies, ratios = {}, {}, {}
    for activation in ("sigmoid", "relu"):
        net = mlp(2, *[30] * 12, 2, activation=activation, loss="cross_entropy", seed=0)
        samples[activation] = LayerSamples(X, y)
        train(
            net,
            X,
            y,
            optimizer=Adam(1e-3),
            epochs=epochs,
            batch_size=32,
            callbacks=[samples[activation]],
            seed=0,
        )
        accuracies[activation] = float(np.mean(net.predict(X) == y))
        first, *_, last = (
            np.abs(past[0]).max() for past in samples[activation].gradients.values()
        )
        ratios[activation] = float(first / last)
        print(f"{activation}: accuracy {accuracies[activation]:.3f};")
        print("    largest gradient of the first layer, divided by that of the last,")
        print(f"    before training: {ratios[activation]:.1e}")
    draw(samples, Path(out))
    return {"accuracies": accuracies, "ratios": ratios}


# %%
# Layer by layer
# --------------
#
# Histograms of activations and of gradients, from the first layer to the last and
# through the training.


def draw(samples, out):
    out.mkdir(parents=True, exist_ok=True)
    for activation, seen in samples.items():
        figure, (above, below) = plt.subplots(
            2, 1, figsize=(10, 8.4), layout="constrained"
        )
        activation_histograms(seen, above, f"activations, {activation}")
        gradient_histograms(seen, below, f"weight gradients, {activation}")
        figure.savefig(out / f"layers_{activation}.png", dpi=120)
        plt.close(figure)


# %%
# Result
# ------
#
# With sigmoids the accuracy is that of always answering "outside".

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out",
        default="examples/output",
        help="folder for the figures; default: %(default)s",
    )
    main(parser.parse_args().out)
