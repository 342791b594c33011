"""Write the golden files of the current format version: small models to keep forever, and their predictions.

    python tests/golden/make.py

Run it once, when a version of the format is released; the files of older versions are never changed.
"""

import json
from pathlib import Path

import numpy as np

from chainrule import Activation, BatchNorm, Bounded, Dense, Dropout, LayerNorm, Network, Residual, Scale, mlp, train
from chainrule.data.reading import read_columns
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import fit_target
from chainrule.files.model import FORMAT, save
from chainrule.model.embeddings import Periodic, PiecewiseLinear, Unclip
from chainrule.model.ensemble import Ensemble, best_temperature, weighted_mean
from chainrule.model.predictor import Predictor
from chainrule.model.quantiles import MeanAndQuantiles, in_order
from chainrule.nn.losses import CrossEntropy, softmax

HERE = Path(__file__).parent
LAYERS = [
    Unclip(),
    PiecewiseLinear(4, (3, 1), ((-1.5, 0.0, 0.25), (-2.0, 2.0))),
    Periodic(7, (0, 2), n_waves=3, n_out=2, sigma=0.5),
    Dense(11, 6, "he_normal", "uniform"),
    BatchNorm(6, decay=0.5),
    Activation("relu"),
    Residual([Dense(6, 6), BatchNorm(6), Activation("mish"), Residual([Dense(6, 6)])]),
    Dropout(0.25),
    LayerNorm(6),
    Scale(6),
    Dense(6, 3),
    Bounded(-2, 2.5),
]
WEIGHTS = (0.25, 0.25, 0.5)
"""Of the networks of a predictor, the last of which has other layers."""
TABLE = {
    "length": [1.5, None, 3.25, 1e9, -4.0],
    "color": ["red", "blue", None, "never seen", "green"],
    "born": ["2020-01-31", "2021-07-01T12:30:00", None, "1999-12-31", "2030-06-15"],
    "on": ["yes", "no", "no", None, "yes"],
}


def network():
    net = Network(LAYERS, CrossEntropy(0.1), l1=1e-4, l2=1e-3, seed=0)
    X = np.random.default_rng(1).normal(size=(40, 4))
    train(net, X, np.arange(40) % 3, epochs=3, batch_size=8, seed=0)
    return net


def table(n=60):
    rng = np.random.default_rng(2)
    length = rng.normal(3, 2, n).round(2)
    days = np.datetime64("2020-01-01T00:00") + rng.integers(0, 1500 * 24, n).astype("m8[h]")
    columns = {
        "length": [None if k % 9 == 0 else float(x) for k, x in enumerate(length)],
        "color": rng.choice(["red", "green", "blue"], n).tolist(),
        "born": np.datetime_as_string(days).tolist(),
        "on": rng.choice(["yes", "no"], n).tolist(),
    }
    return read_columns(columns), length


def predictor(values, loss, n_bins, calibrate):
    columns, _ = table()
    encoder, target = TabularEncoder(n_bins=n_bins).fit(columns), fit_target("what", values)
    X, y = encoder.transform(columns), target.encode(values)
    networks = []
    for seed, n_hidden in enumerate((5, 5, 3)):
        net = mlp(X.shape[1], n_hidden, target.n_outputs * loss.width, activation="selu", loss=loss, seed=seed)
        train(net, X[:40], y[:40], epochs=5)
        networks.append(net.copy("float64"))
    outputs = weighted_mean(WEIGHTS, [in_order(loss, net.outputs(X[40:])) for net in networks])
    return Predictor(encoder, calibrate(networks, outputs, y[40:]), target, {"seed": 0, "scores": {"loss": 0.5}})


def classifier():
    labels = np.where(table()[1] > 3, "long é", "short")
    return predictor(labels, CrossEntropy(), 0, of_classes)


def of_classes(networks, outputs, y):
    ensemble = Ensemble(tuple(networks), WEIGHTS, temperature=best_temperature(outputs, y), smoothing=1 / len(y))
    return ensemble.for_sets(softmax(outputs / ensemble.temperature), y)


def of_numbers(networks, outputs, y):
    return Ensemble.of_numbers(networks, outputs, y, np.stack([y.min(axis=0), y.max(axis=0)]), weights=WEIGHTS)


def regressor():
    return predictor(table()[1] * 10 + 5, MeanAndQuantiles((0.1, 0.3, 0.5, 0.7, 0.9)), 4, of_numbers)


def rows_for(net):
    """Inputs (5, n_in) for a bare network."""
    return np.linspace(-2, 2, 5 * net.n_in).reshape(5, -1)


if __name__ == "__main__":
    (HERE / "table.json").write_text(json.dumps(TABLE, indent=1) + "\n")
    for make in (network, classifier, regressor):
        model = make()
        name = f"{make.__name__}-{FORMAT.version}"
        save(model, HERE / f"{name}.chainrule")
        predictions = model(rows_for(model)) if make is network else model.predictions(TABLE)
        (HERE / f"{name}.json").write_text(json.dumps(predictions.tolist(), indent=1) + "\n")
    intervals = json.loads((HERE / "intervals.json").read_text())
    intervals[str(FORMAT.version)] = model.predict_interval(TABLE, 0.75).tolist()
    (HERE / "intervals.json").write_text(json.dumps(intervals, indent=1) + "\n")
