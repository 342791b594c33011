"""A custom loss and a custom layer
================================

A loss that is robust to outliers and a layer for periodic data, each in a dozen lines
and with its gradient checked.

One row in eight of the data is an outlier. Squared error, which counts an error of 6
like 36 errors of 1, bends the curve toward them. log cosh grows only linearly with the
error. A function `(Z, Y) -> (losses, dZ)` is all you have to write.

A network of tanh units is flat outside the range of its data. If the data is known to
be periodic, a layer can express it: `Harmonics` turns a number into sines and cosines
of one frequency and its multiples, and learns the frequency. As in every layer, the
backward pass stands directly under the forward pass, and the chain rule does the rest.

You do not have to trust either of them. The first time a custom part is used, its
derivative is checked against finite differences. Here a second version of the layer, in
which the derivative of the sine was forgotten, is rejected with the name of the
parameter whose gradient is wrong.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from chainrule import Adam, Dense, Layer, Network, check_gradients, mlp, train
from chainrule.errors import GradientError

# %%
# A loss
# ------
#
# A function of the raw outputs Z and the targets Y that returns the loss of each row
# and its derivative with respect to Z.

COLORS = {"squared error": "#D55E00", "log cosh": "#0072B2", "harmonics": "#009E73"}


def log_cosh(Z, Y):
    """Return log cosh R for R = Z - Y: R^2 / 2 if R is small, |R| - log 2 if large."""
    R = Z - Y
    return np.logaddexp(R, -R) - np.log(2), np.tanh(R)


# %%
# A layer
# -------
#
# A layer names its sizes and the shapes of its parameters, and defines their initial
# values and `forward`. The backward pass is a function inside: it sees X and all
# intermediate values, and writes the gradients of the parameters.


@dataclass(frozen=True)
class Harmonics(Layer):
    """Y = (sin kfx, cos kfx) for k = 1 ... n, with a learned frequency f."""

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
            derivatives = k * cosines, -k * sines  # with respect to fx
            if self.forgotten:
                derivatives = sines, cosines
            dfX = (dY * np.hstack(derivatives)).sum(axis=1, keepdims=True)
            grads["f"][...] = (dfX * X).sum()
            return dfX * params["f"]

        return np.hstack([sines, cosines]), backward


# %%
# Data with outliers
# ------------------
#
# Two sine waves with a little noise. One point in eight is much too high.


def truth(x):
    return np.sin(3 * x) + np.sin(x)


def data(n=400, seed=0):
    """Return x and y, each (n, 1); one y in eight is an outlier, 3 to 6 too high."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, (n, 1))
    y = truth(x) + 0.1 * rng.normal(size=x.shape)
    y += (rng.random(x.shape) < 1 / 8) * rng.uniform(3, 6, x.shape)
    return x, y


def fitted(net, x, y, epochs):
    train(
        net,
        x,
        y,
        optimizer=Adam(0.01),
        schedule="cosine",
        epochs=epochs,
        batch_size=50,
        seed=0,
    )
    return net


# %%
# Three networks, and one that is refused
# ---------------------------------------
#
# The squared error, the robust loss, and the robust loss with the custom layer. Last,
# the layer with the wrong derivative.


def main(out="examples/output", epochs=200):
    x, y = data()
    inside, beyond = np.linspace(-3, 3, 400)[:, None], np.linspace(-9, 9, 900)[:, None]
    nets = {
        "squared error": mlp(
            1, 32, 32, 1, activation="tanh", loss="squared_error", seed=0
        ),
        "log cosh": mlp(1, 32, 32, 1, activation="tanh", loss=log_cosh, seed=0),
        "harmonics": Network([Harmonics(4), Dense(8, 1)], loss=log_cosh, seed=0),
    }
    errors = {}
    for name, net in nets.items():
        if name == "harmonics":
            print(check_gradients(net, x[:20], y[:20]))
        predictions = fitted(net, x, y, epochs)(inside)
        errors[name] = float(np.sqrt(np.mean((predictions - truth(inside)) ** 2)))
        print(f"{name}: RMSE {errors[name]:.3f} against the true curve")
    try:
        fitted(
            Network([Harmonics(4, forgotten=True), Dense(8, 1)], loss=log_cosh, seed=0),
            x,
            y,
            1,
        )
        rejected = ""
    except GradientError as error:
        rejected = str(error).splitlines()[0]
        print(*rejected.split("; "), sep="\n")
    draw(nets, (x, y), inside, beyond, Path(out))
    far = nets["harmonics"](beyond) - truth(beyond)
    return {
        "errors": errors,
        "rejected": rejected,
        "beyond": float(np.sqrt(np.mean(far**2))),
    }


# %%
# Inside and outside the data
# ---------------------------
#
# Above: where there are data. Below: three times as far.


def draw(nets, rows, inside, beyond, out):
    out.mkdir(parents=True, exist_ok=True)
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7.5), layout="constrained")
    for axes, at, names, title in (
        (
            above,
            inside,
            ("squared error", "log cosh"),
            "custom loss: outliers have less influence",
        ),
        (
            below,
            beyond,
            ("log cosh", "harmonics"),
            "custom layer: the pattern continues beyond the data",
        ),
    ):
        axes.scatter(*rows, s=8, color="0.65", label="data")
        axes.plot(at, truth(at), "--", color="0.25", label="true curve")
        for name in names:
            axes.plot(at, nets[name](at), color=COLORS[name], linewidth=2, label=name)
        axes.set(title=title, xlabel="x", ylabel="y", ylim=(-3, 9))
        axes.legend(frameon=False, ncols=4, loc="upper left")
    below.axvspan(-3, 3, color="0.95", zorder=0)
    figure.savefig(out / "own_parts.png", dpi=120)
    plt.close(figure)


# %%
# Result
# ------
#
# The layer that knows about periods is right where the others are flat.

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out",
        default="examples/output",
        help="folder for the figure; default: %(default)s",
    )
    main(parser.parse_args().out)
