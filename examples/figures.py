"""A network, its graph and its derivatives
========================================

The networks of the other examples as diagrams: one neuron, the 2-2-2 network, its graph, and its derivatives.

The graph has a node for each operation, z sums, a activates, C is the cost, and a colour for each kind of edge. The
derivatives have the same colours: each is the product of the derivatives of the edges on the way from the cost to the
weight, summed over the ways there are. What they share are the deltas, and so backpropagation is one pass back.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

from chainrule import mlp
from chainrule.nn.losses import SquaredError
from chainrule.viz import draw_derivatives, draw_graph, draw_network


def main(out="examples/output"):
    neuron, network = (
        mlp(*sizes, activation="sigmoid", output_activation="sigmoid", loss=SquaredError(factor=1.0), seed=0)
        for sizes in [(2, 1), (2, 2, 2)]
    )
    pictures = {
        "one_neuron": draw_network(neuron),
        "network": draw_network(network),
        "graph": draw_graph(network),
        "derivatives": draw_derivatives(network),
    }
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, ax in pictures.items():
        path = Path(out) / f"{name}.png"
        ax.figure.savefig(path, dpi=120)
        plt.close(ax.figure)
        print(f"drew {path.name}")
    return {"pictures": list(pictures)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="examples/output", help="folder for the pictures")
    main(parser.parse_args().out)
