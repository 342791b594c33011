"""Models for the tests of the exports: every layer, activation and loss, and predictors of several kinds of columns."""

import numpy as np

from chainrule import (
    Activation,
    BatchNorm,
    Bounded,
    Dense,
    Dropout,
    LayerNorm,
    Network,
    Predictor,
    Residual,
    Scale,
    TabularEncoder,
    mlp,
)
from chainrule.data.reading import read_columns
from chainrule.data.targets import fit_target
from chainrule.model.ensemble import N_QUANTILES, Ensemble
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.layers import LAYERS
from chainrule.nn.losses import LOSSES

WIDTH = 6
LAYER_EXAMPLES = {
    "Dense": Dense(WIDTH, WIDTH),
    "Activation": Activation("tanh"),
    "Scale": Scale(WIDTH),
    "Bounded": Bounded(-2.0, 3.0),
    "Dropout": Dropout(0.4),
    "LayerNorm": LayerNorm(WIDTH),
    "BatchNorm": BatchNorm(WIDTH),
    "Residual": Residual(
        [Dense(WIDTH, 5), LayerNorm(5), Residual([Activation("relu")]), Dropout(0.2), Dense(5, WIDTH)]
    ),
}
assert LAYER_EXAMPLES.keys() == LAYERS.keys()


def shaken(network, seed=1):
    """Draw what training would have changed, so that no export passes by the initial zeros and ones."""
    rng = np.random.default_rng(seed)
    network.theta = network.theta + 0.3 * rng.normal(size=network.theta.shape)
    network.buffers[...] = rng.random(network.buffers.shape) + 0.5
    return network


def with_layer(name):
    """A network with that layer first, in the middle, twice in a row and last."""
    layer = LAYER_EXAMPLES[name]
    layers = [layer, Dense(WIDTH, WIDTH), layer, layer, Activation("mish"), Dense(WIDTH, WIDTH), layer]
    return shaken(Network(layers, "squared_error", seed=0))


NETWORKS = {
    **{f"layer {name}": lambda name=name: with_layer(name) for name in LAYERS},
    **{
        f"activation {name}": lambda name=name: shaken(mlp(WIDTH, 9, 4, 3, activation=name, seed=0))
        for name in ACTIVATIONS
    },
    **{f"loss {name}": lambda name=name: shaken(mlp(WIDTH, 9, 3, loss=name, seed=0)) for name in LOSSES},
    "no Dense": lambda: shaken(Network([LayerNorm(WIDTH), Activation("softplus")], seed=0)),
    "float64": lambda: shaken(mlp(WIDTH, 9, 3, activation="gelu", loss="cross_entropy", seed=0, dtype="float64")),
    "far from zero": lambda: far_from_zero(),
}


def far_from_zero():
    """A network whose first layer takes a mean off that is thousands of deviations large."""
    network = shaken(Network([BatchNorm(WIDTH), Dense(WIDTH, 3)], seed=0))
    network.params[0]["mean"][...] = 1e4
    return network


def rows_for(name, n=1000):
    """Rows that suit the network of that name."""
    X = np.random.default_rng(2).normal(size=(n, WIDTH)).astype(np.float32)
    return X + np.float32(1e4) if name == "far from zero" else X


RNG = np.random.default_rng(0)
N = 60
NUMBERS = {
    "height": np.where(RNG.random(N) < 0.2, np.nan, RNG.normal(170, 10, N)),
    "weight": RNG.normal(70, 9, N),
}
CATEGORIES = {
    "colour": RNG.choice(["red", "green", "deep blue", '"?@\\*/é'], N).tolist(),
    "sex": RNG.choice(["f", "m", None], N).tolist(),
    "only": [None if i % 3 else "once" for i in range(N)],
    "stars": RNG.integers(1, 5, N).astype(str).tolist(),
}
DATES = {
    "born": (np.datetime64("1990-01-01", "D") + RNG.integers(0, 9000, N)).astype(str).tolist(),
    "seen": [None if i % 9 == 0 else f"2024-03-{1 + i % 28:02d} {i % 24:02d}:30:15.25" for i in range(N)],
}
TABLES = {
    "numbers": NUMBERS,
    "numbers and categories": {"colour": CATEGORIES["colour"], **NUMBERS, **CATEGORIES},
    "categories": CATEGORIES,
    "all kinds": {**DATES, **CATEGORIES, **NUMBERS},
}
TARGETS = {
    "text": RNG.choice(["a", 'b, "c"', "ü"], N),
    "whole numbers": RNG.integers(0, 3, N).astype(np.int16),
    "booleans": RNG.random(N) < 0.5,
    "numbers": RNG.normal(5e4, 1e3, N),
}


def predictor_of(table, target, n_bins=0, members=3, networks=None):
    """An untrained, calibrated predictor: what it answers does not matter, that exports answer it does."""
    encoder = TabularEncoder(categories=["stars"] if "stars" in table else (), n_bins=n_bins).fit(table)
    goal = fit_target("the target", read_columns({"y": target})["y"])
    d, n_out = encoder.n_features, goal.n_outputs
    layers = [Scale(d), Dense(d, 12), Activation("selu"), Dense(12, n_out)]
    networks = [shaken(Network(layers, goal.loss, seed=k, dtype="float64"), k) for k in range(members)]
    if goal.task == "classification":
        ensemble = Ensemble(tuple(networks), temperature=1.7, smoothing=1 / N)
    else:
        residuals = np.linspace(-1, 2, N_QUANTILES)[:, np.newaxis]
        residuals[:10], residuals[980:] = -np.inf, np.inf
        ensemble = Ensemble(tuple(networks), bounds=np.array([[-1.4], [1.1]]), residuals=residuals)
    return Predictor(encoder, ensemble, goal)


def answers_of(predictor, table):
    """What exports answer: probabilities, or numbers in the target's unit, (n, n_out)."""
    predictions = predictor.predictions(table)
    if predictor.target.task == "classification":
        return predictions
    return np.reshape(predictor.target.decode(predictions), predictions.shape)


def asked_table(kind, n=1000):
    """Rows drawn from a table's own cells and others: missing ones, unseen levels, numbers far away."""
    rng = np.random.default_rng(3)
    table = {}
    for name, values in TABLES[kind].items():
        if name in NUMBERS:
            x = (rng.normal(100, 90, n)).astype(np.float32).astype(np.float64)
            x[rng.random(n) < 0.1] = np.nan
            x[:2] = 1e300, -1e300
            table[name] = x
        elif name in DATES:
            days = rng.integers(-25_000 * 128, 47_000 * 128, n) / 128  # which single precision holds exactly
            texts = (np.datetime64("1970-01-01", "s") + (86400 * days).astype(int)).astype(str)
            table[name] = np.where(rng.random(n) < 0.1, None, texts)
        else:
            pool = np.array([*dict.fromkeys(values), None, "never seen", ""], object)
            table[name] = pool[rng.integers(0, len(pool), n)]
    return table


def days_of(cell):
    """Days since 1970 began, NaN for a missing date."""
    return np.nan if cell is None else (np.datetime64(cell, "s") - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
