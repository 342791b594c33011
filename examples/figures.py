"""A network and its graph
=======================

Diagrams of small networks: one neuron, a 2-2-2 network, and its computational graph.

The graph has a node for each operation (z is a weighted sum, a an activation, C the
cost) and a color for each kind of edge. The derivative of the cost with respect to a
weight is a sum over the paths from the weight to the cost, and each path contributes
the product of the derivatives of its edges. The factors that the derivatives share are
the deltas, and computing them once, from the last layer to the first, is
backpropagation.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

from chainrule import mlp
from chainrule.viz import draw_graph, draw_network

# %%
# Networks of known size
# ----------------------
#
# The library draws every network of a few dozen neurons. The thickness of an edge is
# the size of its weight, its color the sign.


def main(out="examples/output"):
    neuron, network = (
        mlp(
            *sizes,
            activation="sigmoid",
            output_activation="sigmoid",
            loss="squared_error",
            seed=0,
        )
        for sizes in [(2, 1), (2, 2, 2)]
    )
    pictures = {
        "one_neuron": draw_network(neuron),
        "network": draw_network(network),
        "graph": draw_graph(network),
    }
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, ax in pictures.items():
        path = Path(out) / f"{name}.png"
        ax.figure.savefig(path, dpi=120)
        plt.close(ax.figure)
        print(f"wrote {path.name}")
    return {"pictures": list(pictures)}


# %%
# Result
# ------
#
# The graph has one node per operation; the chain rule multiplies along its edges.

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out",
        default="examples/output",
        help="folder for the figures; default: %(default)s",
    )
    main(parser.parse_args().out)
