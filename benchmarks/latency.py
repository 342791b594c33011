"""Prediction latency of a 784-128-10 network for one row and for 10,000, in chainrule and in other libraries.

Measured for the network alone, and for the network after scaling every column.
"""

import warnings
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from chainrule import Predictor, TabularEncoder, mlp
from chainrule.data.targets import fit_target
from harness import interleaved, machine, present, publish, seconds, table

SIZES = (784, 128, 10)
ROWS = {1: 300, 10_000: 5}
"""Rows per call -> calls per round."""


def bare_numpy(net):
    """The arithmetic alone, as a lower bound for Python with NumPy."""
    (W1, b1), (W2, b2) = [(params["W"], params["b"]) for params in net.params if params]

    def predict(X):
        Z = np.maximum(X @ W1 + b1, 0) @ W2 + b2
        P = np.exp(Z - Z.max(axis=1, keepdims=True))
        return P / P.sum(axis=1, keepdims=True)

    return predict


ENCODER = TabularEncoder().fit(np.random.default_rng(0).normal(size=(1000, SIZES[0])).astype(np.float32))
TARGET = fit_target("digit", np.arange(1000) % SIZES[-1])


def bare_numpy_scaling(net):
    centers, scales = (np.array([getattr(c, name) for c in ENCODER.columns]) for name in ("center", "scale"))
    predict = bare_numpy(net)

    def scaled(X):
        Z = ((X - centers) * scales).astype(np.float32)
        return predict(Z / np.sqrt(1 + (Z / 3) ** 2))

    return scaled


def raw_predictor(net):
    return Predictor(TabularEncoder.raw([f"x{j}" for j in range(net.n_in)]), net, TARGET).predict_proba


def compiled_predictor(net):
    return Predictor(TabularEncoder.raw([f"x{j}" for j in range(net.n_in)]), net, TARGET).compile().predict_proba


def scaling_predictor(net):
    return Predictor(ENCODER, net, TARGET).predict_proba


def our_estimator(net):
    from chainrule import MLPClassifier

    return MLPClassifier.from_network(net).predict_proba


def sklearn_model(net):
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(SIZES[1:-1], max_iter=1)
    model.fit(np.zeros((20, SIZES[0]), np.float32), np.arange(20) % SIZES[-1])
    model.coefs_ = [params["W"] for params in net.params if params]
    model.intercepts_ = [params["b"] for params in net.params if params]
    return model


def sklearn_proba(net):
    return sklearn_model(net).predict_proba


def sklearn_pipeline(net):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(np.random.default_rng(0).normal(size=(1000, SIZES[0])).astype(np.float32))
    return make_pipeline(scaler, sklearn_model(net)).predict_proba


def torch_inference(net):
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10), nn.Softmax(dim=1)).eval()
    with torch.no_grad():
        for layer, params in zip(model, net.params):
            if params:
                layer.weight.copy_(torch.from_numpy(params["W"].T))
                layer.bias.copy_(torch.from_numpy(params["b"]))

    def predict(X):
        with torch.inference_mode():
            return model(torch.from_numpy(X)).numpy()

    return predict


def onnx_model(net):
    """Return the network as the bytes of an ONNX file."""
    from onnx import TensorProto, helper, numpy_helper

    (W1, b1), (W2, b2) = [(params["W"], params["b"]) for params in net.params if params]
    weights = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}
    nodes = [
        helper.make_node("Gemm", ["X", "W1", "b1"], ["Z"]),
        helper.make_node("Relu", ["Z"], ["A"]),
        helper.make_node("Gemm", ["A", "W2", "b2"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["P"], axis=1),
    ]
    X = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", net.n_in])
    P = helper.make_tensor_value_info("P", TensorProto.FLOAT, ["n", net.n_out])
    initial = [numpy_helper.from_array(np.array(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "mlp", [X], [P], initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def onnx_runtime(net):
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_model(net), providers=["CPUExecutionProvider"])
    return lambda X: session.run(None, {"X": X})[0]


def onnx_of_predictor(net):
    """The exported file, which scales like the predictor, in double precision."""
    import onnxruntime

    from chainrule.export import to_onnx

    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        to_onnx(Predictor(ENCODER, net, TARGET), path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda X: session.run(["probabilities"], {"numbers": X.astype(np.float64)})[0]


NETWORK = {
    "bare NumPy": ("numpy", bare_numpy),
    "Network.predict": ("numpy", lambda net: net.predict),
    "Predictor": ("numpy", raw_predictor),
    "Predictor, compiled": ("numba", compiled_predictor),
    "MLPClassifier": ("scikit-learn", our_estimator),
    "scikit-learn": ("scikit-learn", sklearn_proba),
    "PyTorch": ("torch", torch_inference),
    "onnxruntime": ("onnxruntime", onnx_runtime),
}
SCALING = {
    "bare NumPy": ("numpy", bare_numpy_scaling),
    "Predictor": ("numpy", scaling_predictor),
    "scikit-learn, StandardScaler": ("scikit-learn", sklearn_pipeline),
    "onnxruntime, exported Predictor": ("onnxruntime", onnx_of_predictor),
}


def measure(contestants, packages, net):
    """Return a table of the contestants' times, after checking that their predictors agree."""
    predictors = {name: make(net) for name, (package, make) in contestants.items() if package in packages}
    rng, times = np.random.default_rng(0), {}
    for n, repeats in ROWS.items():
        X = rng.normal(size=(n, SIZES[0])).astype(np.float32)
        expected = predictors["bare NumPy"](X)
        for name, predict in predictors.items():
            if "StandardScaler" not in name:  # it has no smooth clipping
                np.testing.assert_allclose(predict(X), expected, atol=1e-5)

        def timed(predict, X=X, repeats=repeats):
            return lambda: median(seconds(lambda: predict(X)) for _ in range(repeats))

        times[n] = interleaved({name: timed(predict) for name, predict in predictors.items()})
    rows = []
    for name in predictors:
        one, many = times[1][name], times[10_000][name]
        rows.append([name, f"{one * 1e6:,.1f}", f"{one / times[1]['bare NumPy']:.2f}", f"{many * 1e3:,.1f}"])
    return table(["library", "one row, us", "relative to bare NumPy", "10,000 rows, ms"], rows)


def main():
    warnings.filterwarnings("ignore")
    packages = present("numpy", "numba", "scikit-learn", "torch", "onnx", "onnxruntime")
    if "onnx" not in packages:
        packages = [package for package in packages if package != "onnxruntime"]
    net = mlp(*SIZES, loss="cross_entropy", seed=0)
    publish(
        "latency",
        "Prediction latency of 784-128-10",
        machine(packages),
        measure(NETWORK, packages, net),
        "With each of the 784 columns scaled first:",
        measure(SCALING, packages, net),
    )


if __name__ == "__main__":
    main()
