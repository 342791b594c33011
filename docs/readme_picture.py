"""Draw the README's picture, docs/_static/readme.png: a network, its decision boundary and its learning curves.

python docs/readme_picture.py
"""

from pathlib import Path

import matplotlib.pyplot as plt

from chainrule import Adam, mlp, train
from chainrule.datasets import disc
from chainrule.viz import decision_boundary, draw_network, loss_curves

_PICTURE = Path(__file__).parent / "_static" / "readme.png"


def draw(path=_PICTURE):
    """Train a small network on points inside and outside a disc, and draw it."""
    X, y = disc(400, seed=0)
    net = mlp(2, 4, 2, activation="tanh", loss="cross_entropy", seed=1)
    history = train(
        net, X[:300], y[:300], optimizer=Adam(0.03), epochs=100, batch_size=30, validation=(X[300:], y[300:]), seed=0
    )
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    draw_network(net, left).set_title("network and weights")
    decision_boundary(net, X[:300], y[:300], middle, "decision boundary")
    loss_curves(history, right, "learning curves")
    figure.savefig(path, dpi=88)
    plt.close(figure)


if __name__ == "__main__":
    draw()
