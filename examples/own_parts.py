"""Parts of your own: a loss and a layer
=====================================

A loss that forgives outliers and a layer that knows of waves, each a dozen lines, and each proved before it is used.

One row in eight of the data is far off. Squared error, for which a miss of 6 counts as 36 of 1, bends the curve towards
them. log cosh grows with the miss and no faster: `(Z, Y) -> (losses, dZ)` is all there is to write.

A network of tanh goes flat where the data ends. If what repeats is known to repeat, a layer can say so: `Harmonics`
turns a number into sines and cosines of one frequency and its multiples, and learns the frequency. Its backward stands
under its forward, as that of every layer here, and the chain rule does the rest.

Neither has to be taken on faith. The first time a part is used its derivative is held against finite differences; the
layer whose sine was never derived is refused, by the name of the parameter that shows it.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from chainrule import Adam, Dense, Layer, Network, check_gradients, mlp, train
from chainrule.errors import GradientError

COLOURS = {"squared error": "#D55E00", "log cosh": "#0072B2", "harmonics": "#009E73"}


def log_cosh(Z, Y):
    """Return log cosh(Z - Y): half the square of a small miss, the size of a large one less log 2."""
    R = Z - Y
    return np.logaddexp(R, -R) - np.log(2), np.tanh(R)


@dataclass(frozen=True)
class Harmonics(Layer):
    """Y = (sin kfx, cos kfx) for k = 1 ... n: one number x on n circles, round which it runs at k times the rate f."""

    n: int
    forgotten: bool = False

    @property
    def sizes(self):
        return 1, 2 * self.n

    @property
    def shapes(self):
        return {"f": (1,)}

    def init(self, params, rng):
        params["f"][...] = 0.9

    def forward(self, X, params, rng=None):
        k = np.arange(1, self.n + 1, dtype=X.dtype)
        sines, cosines = np.sin(k * params["f"] * X), np.cos(k * params["f"] * X)

        def backward(dY, grads, need_dX=True):
            slopes = k * cosines, -k * sines  # by fx
            if self.forgotten:
                slopes = sines, cosines
            dfX = (dY * np.hstack(slopes)).sum(axis=1, keepdims=True)
            grads["f"][...] = (dfX * X).sum()
            return dfX * params["f"]

        return np.hstack([sines, cosines]), backward


def truth(x):
    return np.sin(3 * x) + np.sin(x)


def data(n=400, seed=0):
    """Return x (n, 1) from -3 to 3 and y (n, 1), one in eight of which is 3 to 6 too high."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, (n, 1))
    y = truth(x) + 0.1 * rng.normal(size=x.shape)
    y += (rng.random(x.shape) < 1 / 8) * rng.uniform(3, 6, x.shape)
    return x, y


def fitted(net, x, y, epochs):
    train(net, x, y, optimizer=Adam(0.01), schedule="cosine", epochs=epochs, batch_size=50)
    return net


def main(out="examples/output", epochs=200):
    x, y = data()
    inside, beyond = np.linspace(-3, 3, 400)[:, None], np.linspace(-9, 9, 900)[:, None]
    nets = {
        "squared error": mlp(1, 32, 32, 1, activation="tanh", loss="squared_error", seed=0),
        "log cosh": mlp(1, 32, 32, 1, activation="tanh", loss=log_cosh, seed=0),
        "harmonics": Network([Harmonics(4), Dense(8, 1)], loss=log_cosh, seed=0),
    }
    errors = {}
    for name, net in nets.items():
        if name == "harmonics":
            print(check_gradients(net, x[:20], y[:20]))
        predictions = fitted(net, x, y, epochs).predict(inside)
        errors[name] = float(np.sqrt(np.mean((predictions - truth(inside)) ** 2)))
        print(f"{name}: {errors[name]:.3f} from the truth on average")
    try:
        fitted(Network([Harmonics(4, forgotten=True), Dense(8, 1)], loss=log_cosh, seed=0), x, y, 1)
        refused = ""
    except GradientError as error:
        refused = str(error).splitlines()[0]
        print(*refused.split("; "), sep="\n")
    draw(nets, (x, y), inside, beyond, Path(out))
    far = nets["harmonics"].predict(beyond) - truth(beyond)
    return {"errors": errors, "refused": refused, "beyond": float(np.sqrt(np.mean(far**2)))}


def draw(nets, seen, inside, beyond, out):
    out.mkdir(parents=True, exist_ok=True)
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7.5), layout="constrained")
    for axes, at, names, title in (
        (above, inside, ("squared error", "log cosh"), "a loss of one's own: outliers no longer pull"),
        (below, beyond, ("log cosh", "harmonics"), "a layer of one's own: what repeats goes on repeating"),
    ):
        axes.scatter(*seen, s=8, color="0.65", label="data")
        axes.plot(at, truth(at), "--", color="0.25", label="truth")
        for name in names:
            axes.plot(at, nets[name].predict(at), color=COLOURS[name], linewidth=2, label=name)
        axes.set(title=title, xlabel="x", ylabel="y", ylim=(-3, 9))
        axes.legend(frameon=False, ncols=4, loc="upper left")
    below.axvspan(-3, 3, color="0.95", zorder=0)
    figure.savefig(out / "own_parts.png", dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="examples/output", help="folder for the pictures")
    main(parser.parse_args().out)
