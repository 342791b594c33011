"""Perceptrons: logic gates, an adder and the learning rule
========================================================

The perceptron, Rosenblatt's neuron of 1958, outputs 1 if its weighted sum of inputs
exceeds a threshold, else 0.

Suitable weights turn it into the gates AND, OR and NAND. NAND gates alone can be wired
into every Boolean function. Here they make XOR, a half adder and a 4-bit adder, and the
script tries every input. A single perceptron cannot compute XOR, because no line
separates its classes. If a line does separate the classes, the perceptron's own
learning rule finds one: after each mistake, move the weights by the input, toward it or
away from it.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from chainrule import Activation, Dense, Network
from chainrule.datasets import half_plane, truth_table
from chainrule.viz import learned_line, scatter_labels

# %%
# Gates
# -----
#
# A perceptron is a dense layer with a step. Two weights and a bias make a gate: AND
# needs both inputs to exceed 1.5.

WEIGHTS = {"and": ([1, 1], -1.5), "or": ([1, 1], -0.5), "nand": ([-1, -1], 1.5)}


def perceptron(w=(0, 0), b=0):
    net = Network([Dense(2, 1), Activation("step")])
    net.set_weights([{"W": np.reshape(w, (2, 1)), "b": [b]}, {}])
    return net


GATES = {gate: perceptron(w, b) for gate, (w, b) in WEIGHTS.items()}

# %%
# Circuits
# --------
#
# From here on there are only NANDs. Four of them make XOR, five a half adder, and a
# chain of full adders adds numbers of any length.


def nand(a, b):
    """Return the NAND of two arrays of bits, computed by the perceptron."""
    return GATES["nand"].predict(np.column_stack([a, b])).astype(int)


def xor(a, b):
    c = nand(a, b)
    return nand(nand(a, c), nand(b, c))


def half_adder(a, b):
    """Return the sum and the carry of two bits."""
    c = nand(a, b)
    return nand(nand(a, c), nand(b, c)), nand(c, c)


def full_adder(a, b, carry):
    """Return the sum and the carry of three bits: two half adders, and an OR."""
    first, carry_1 = half_adder(a, b)
    total, carry_2 = half_adder(first, carry)
    return total, nand(nand(carry_1, carry_1), nand(carry_2, carry_2))


def add_4_bits(a, b):
    """Add arrays of integers from 0 to 15, bit by bit from the lowest."""
    total, carry = np.zeros_like(a), np.zeros_like(a)
    for k in range(4):
        bit, carry = full_adder(a >> k & 1, b >> k & 1, carry)
        total += bit << k
    return total + (carry << 4)


# %%
# The learning rule
# -----------------
#
# The weights need not be chosen by hand. Start at 0 and go through the rows; where the
# output is wrong, move the weights by the input. This stops if a line separates the
# classes, and never on XOR.


def learn(net, X, y, max_epochs=1000):
    """Apply the rule until an epoch makes no mistake; return the number of epochs."""
    # Views: changing them changes the network.
    W, b = net.params[0]["W"], net.params[0]["b"]
    for epoch in range(1, max_epochs + 1):
        mistakes = 0
        for x, target in zip(X, y, strict=True):
            error = target - (x @ W[:, 0] + b[0] > 0)
            W[:, 0] += error * x
            b += error
            mistakes += error != 0
        if mistakes == 0:
            return epoch
    raise RuntimeError(f"still making mistakes after {max_epochs} epochs")


# %%
# Trying every input
# ------------------
#
# Every gate and circuit is compared with its truth table: the adder with all 256 sums.


def main(out="examples/output", seed=0):
    wrong = {
        gate: int((net(X)[:, 0] != y).sum())
        for gate, net in GATES.items()
        for X, y in [truth_table(gate)]
    }
    X, y = truth_table("xor")
    a, b = X.T.astype(int)
    wrong["xor from nand"] = int((xor(a, b) != y).sum())
    total, carry = half_adder(a, b)
    wrong["half adder"] = int((total + 2 * carry != a + b).sum())
    a, b = np.divmod(np.arange(256), 16)
    wrong["4-bit adder"] = int((add_4_bits(a, b) != a + b).sum())
    for name, count in wrong.items():
        print(f"{name}: {count} wrong outputs")

    X, y = half_plane(seed=seed)
    net = perceptron()
    epochs = learn(net, X, y)
    mistakes = int((net(X)[:, 0] != y).sum())
    print(f"learning rule: first epoch without a mistake: {epochs};", end=" ")
    print(f"wrong predictions afterward: {mistakes}")
    draw(net, X, y, Path(out))
    return {"wrong": wrong, "epochs": epochs, "mistakes": mistakes}


# %%
# The lines
# ---------
#
# A perceptron outputs 1 on one side of the line w . x + b = 0. The last panel shows the
# line of the learning rule.


def draw(net, X, y, out):
    out.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 4, figsize=(13, 4.1), layout="constrained")
    for (gate, neuron), ax in zip(GATES.items(), axes, strict=False):
        learned_line(
            neuron,
            scatter_labels(
                *truth_table(gate), ax, f"{gate.upper()}, weights chosen by hand"
            ),
        )
        ax.set(xlim=(-0.5, 1.5), ylim=(-0.5, 1.5), xticks=[0, 1], yticks=[0, 1])
    learned_line(net, scatter_labels(X, y, axes[3], "line found by the learning rule"))
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    figure.savefig(out / "perceptron.png", dpi=120)
    plt.close(figure)


# %%
# Result
# ------
#
# No output is wrong.

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out",
        default="examples/output",
        help="folder for the figure; default: %(default)s",
    )
    main(parser.parse_args().out)
