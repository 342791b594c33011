"""Models for the export tests: every layer, activation and loss, and predictors with every kind of column."""

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
from chainrule.data.targets import ClassTarget, fit_target
from chainrule.model.conformal import N_QUANTILES
from chainrule.model.embeddings import LAYERS, Lookup, Periodic, PiecewiseLinear, Select, Unclip
from chainrule.model.ensemble import Ensemble
from chainrule.model.neighbors import Log, Softmax
from chainrule.model.quantiles import MeanAndQuantiles, in_order
from chainrule.nn.activations import ACTIVATIONS
from chainrule.nn.losses import LOSSES, CrossEntropy

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
    "PiecewiseLinear": PiecewiseLinear(WIDTH, (4, 0), ((-0.7, 0.1), (-1.0, 0.0, 0.8))),
    "Periodic": Periodic(WIDTH, (1, 2, 5), n_waves=4, n_out=2, sigma=0.3),
    "Lookup": Lookup(WIDTH, (4, 1), (3, 2), n_out=2),
    "Select": Select(WIDTH, (2, 0)),
    "Unclip": Unclip(),
    "Softmax": Softmax(),
    "Log": Log(),
}
assert LAYER_EXAMPLES.keys() == LAYERS.keys()


def perturbed(network, seed=1):
    """Perturb what training would change, so that no export passes thanks to initial zeros and ones."""
    rng = np.random.default_rng(seed)
    network.theta = network.theta + 0.3 * rng.normal(size=network.theta.shape)
    network.buffers[...] = rng.random(network.buffers.shape) + 0.5
    return network


def with_layer(name):
    """Return a network with that layer first, in the middle, twice in a row and last."""
    layer = LAYER_EXAMPLES[name]
    width = layer.width_after(WIDTH)
    twice = [layer, layer] if width == WIDTH else [layer]  # an embedding takes its own input width only
    layers = [layer, Dense(width, WIDTH), *twice, Activation("mish"), Dense(width, WIDTH), layer]
    return perturbed(Network(layers, "squared_error", seed=0))


NETWORKS = {
    **{f"layer {name}": lambda name=name: with_layer(name) for name in LAYERS},
    **{
        f"activation {name}": lambda name=name: perturbed(mlp(WIDTH, 9, 4, 3, activation=name, seed=0))
        for name in ACTIVATIONS
    },
    **{f"loss {name}": lambda name=name: perturbed(mlp(WIDTH, 9, 3, loss=name, seed=0)) for name in LOSSES},
    "no Dense": lambda: perturbed(Network([LayerNorm(WIDTH), Activation("softplus")], seed=0)),
    "float64": lambda: perturbed(mlp(WIDTH, 9, 3, activation="gelu", loss="cross_entropy", seed=0, dtype="float64")),
    "far from zero": lambda: far_from_zero(),
}


def far_from_zero():
    """Return a network whose first layer subtracts a mean of thousands of standard deviations."""
    network = perturbed(Network([BatchNorm(WIDTH), Dense(WIDTH, 3)], seed=0))
    network.params[0]["mean"][...] = 1e4
    return network


def rows_for(name, n=1000):
    """Return input rows for the network of that name."""
    X = np.random.default_rng(2).normal(size=(n, WIDTH)).astype(np.float32)
    return X + np.float32(1e4) if name == "far from zero" else X


RNG = np.random.default_rng(0)
N = 60
NUMBERS = {
    "height": np.where(RNG.random(N) < 0.2, np.nan, RNG.normal(170, 10, N)),
    "weight": RNG.normal(70, 9, N),
}
CATEGORIES = {
    "color": RNG.choice(["red", "green", "deep blue", '"?@\\*/é'], N).tolist(),
    "sex": RNG.choice(["f", "m", None], N).tolist(),
    "only": [None if i % 3 else "once" for i in range(N)],
    "stars": RNG.integers(1, 5, N).astype(str).tolist(),
}
DATES = {
    "born": (np.datetime64("1990-01-01", "D") + RNG.integers(0, 9000, N)).astype(str).tolist(),
    "seen": [None if i % 9 == 0 else f"2024-03-{1 + i % 28:02d} {i % 24:02d}:30:15.25" for i in range(N)],
}
SHOPS = [f"shop {i % 14}" for i in range(N - 4)] + ["once", "twice", "twice", None]
TABLES = {
    "numbers": NUMBERS,
    "numbers and categories": {"color": CATEGORIES["color"], **NUMBERS, **CATEGORIES},
    "categories": CATEGORIES,
    "many categories": {"shop": SHOPS, **NUMBERS, "street": SHOPS[::-1], "sex": CATEGORIES["sex"]},
    "all kinds": {**DATES, **CATEGORIES, **NUMBERS},
}
TARGETS = {
    "text": RNG.choice(["a", 'b, "c"', "ü"], N),
    "integers": RNG.integers(0, 3, N).astype(np.int16),
    "booleans": RNG.random(N) < 0.5,
    "numbers": RNG.normal(5e4, 1e3, N),
}


def predictor_of(table, target, n_bins=0, members=3, networks=None):
    """Return an untrained predictor with calibration: exports must reproduce its predictions, whatever they are."""
    categories = ["stars"] if "stars" in table else ()
    encoder = TabularEncoder(categories=categories, max_categories=12, max_indexed=20, n_bins=n_bins).fit(table)
    fitted = fit_target("the target", read_columns({"y": target})["y"])
    d, n_out, indices = encoder.n_features, fitted.n_outputs, encoder.indices
    first = [Lookup(d, tuple(indices), tuple(indices.values()), n_out=3, rate=0.1)] if indices else []
    d += 2 * len(indices)
    layers = [*first, Scale(d), Dense(d, 12), Activation("selu"), Dense(12, n_out)]
    networks = [perturbed(Network(layers, fitted.loss, seed=k, dtype="float64"), k) for k in range(members)]
    if fitted.task == "classification":
        ensemble = Ensemble(tuple(networks), temperature=1.7, smoothing=1 / N)
    else:
        residuals = np.linspace(-1, 2, N_QUANTILES)[:, np.newaxis]
        residuals[:10], residuals[980:] = -np.inf, np.inf
        ensemble = Ensemble(tuple(networks), bounds=np.array([[-1.4], [1.1]]), scores=residuals)
    return Predictor(encoder, ensemble, fitted)


def calibrated(table, target, loss=None, members=3):
    """Return an untrained predictor, calibrated on its own rows: of classes, or of numbers with quantiles."""
    encoder = TabularEncoder(categories=["stars"] if "stars" in table else (), n_bins=3).fit(table)
    X = encoder.transform(table)
    loss = loss or (CrossEntropy() if isinstance(target, ClassTarget) else MeanAndQuantiles())
    n_out = target.n_outputs * loss.width
    layers = [Dense(encoder.n_features, 12), Activation("selu"), Dense(12, n_out)]
    networks = [perturbed(Network(layers, loss, seed=k, dtype="float64"), k) for k in range(members)]
    outputs = np.mean([in_order(loss, network.outputs(X)) for network in networks], axis=0)
    rng = np.random.default_rng(4)
    if isinstance(target, ClassTarget):
        P, y = loss.predict(outputs), rng.integers(0, target.n_outputs, len(X))
        return Predictor(encoder, Ensemble(tuple(networks)).for_sets(P, y), target)
    Y = loss.predict(outputs) + rng.normal(size=(len(X), target.n_outputs))
    bounds = np.array([Y.min(axis=0), Y.max(axis=0)])
    return Predictor(encoder, Ensemble.of_numbers(networks, outputs, Y, bounds), target)


def predictions_of(predictor, table):
    """Return what exports predict: probabilities, or values in the target's unit, (n, n_out)."""
    predictions = predictor.predictions(table)
    if predictor.target.task == "classification":
        return predictions
    return np.reshape(predictor.target.decode(predictions), predictions.shape)


def query_table(kind, n=1000):
    """Return rows with cells of the table and others: missing cells, unseen categories, extreme numbers."""
    rng = np.random.default_rng(3)
    table = {}
    for name, values in TABLES[kind].items():
        if name in NUMBERS:
            x = (rng.normal(100, 90, n)).astype(np.float32).astype(np.float64)
            x[rng.random(n) < 0.1] = np.nan
            x[:2] = 1e300, -1e300
            table[name] = x
        elif name in DATES:
            days = rng.integers(-25_000 * 128, 47_000 * 128, n) / 128  # exact in float32
            texts = (np.datetime64("1970-01-01", "s") + (86400 * days).astype(int)).astype(str)
            table[name] = np.where(rng.random(n) < 0.1, None, texts)
        else:
            pool = np.array([*dict.fromkeys(values), *dict.fromkeys(values), None, "never seen", ""], object)
            table[name] = pool[rng.integers(0, len(pool), n)]
    return table


def days_of(cell):
    """Return the days since 1970-01-01, NaN for a missing date."""
    return np.nan if cell is None else (np.datetime64(cell, "s") - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
