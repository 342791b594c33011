"""Time and memory of fresh processes that import a library, load a model and predict a row, or only import.

Times are medians over interleaved runs, minus the time of an empty process. The installed size of a package includes
all its dependencies.
"""

import os
import pickle
import re
import subprocess
import sys
import tempfile
import warnings
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from statistics import median

import numpy as np

from chainrule import mlp, save
from harness import machine, present, publish, seconds, table

ROUNDS = 15
SIZES = (784, 128, 10)
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Allows Python to cache bytecode, as for an installed package."""
PEAK = "\nprint(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) // 1024)"

IMPORTS = {
    "an empty process": "",
    "import numpy": "import numpy",
    "import chainrule": "import numpy, chainrule",
    "from chainrule import load": "from chainrule import load",
    "from chainrule import mlp, train": "from chainrule import mlp, train",
}
ROW = "import numpy as np; X = np.ones((1, 784), np.float32)\n"
PREDICTIONS = {
    "chainrule": ("chainrule", f"{ROW}from chainrule import load; load('model.chainrule').predict(X)"),
    "scikit-learn": ("scikit-learn", f"{ROW}import pickle; pickle.load(open('model.pickle', 'rb')).predict_proba(X)"),
    "PyTorch": (
        "torch",
        f"{ROW}import torch; from torch import nn\n"
        "net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10), nn.Softmax(dim=1))\n"
        "net.load_state_dict(torch.load('model.pt'))\n"
        "with torch.inference_mode(): net(torch.from_numpy(X))",
    ),
    "onnxruntime": (
        "onnxruntime",
        f"{ROW}import onnxruntime; onnxruntime.InferenceSession('model.onnx').run(None, {{'X': X}})",
    ),
}


def write_models(packages):
    """Write a network of the same shape in the format of each library into the working folder."""
    net = mlp(*SIZES, loss="cross_entropy", seed=0)
    save(net, "model.chainrule")
    if "scikit-learn" in packages:
        from sklearn.neural_network import MLPClassifier

        model = MLPClassifier(SIZES[1:-1], max_iter=1)
        model.fit(np.zeros((20, SIZES[0]), np.float32), np.arange(20) % SIZES[-1])
        Path("model.pickle").write_bytes(pickle.dumps(model))
    if "torch" in packages:
        import torch
        from torch import nn

        layers = nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10), nn.Softmax(dim=1)
        torch.save(nn.Sequential(*layers).state_dict(), "model.pt")
    if "onnxruntime" in packages:
        from latency import onnx_model

        Path("model.onnx").write_bytes(onnx_model(net))


def installed(package, seen):
    """Return the size in bytes of a package and its dependencies, without the names already in `seen`."""
    name = re.sub(r"[-_.]+", "-", package).lower()
    if name in seen:
        return 0
    seen.add(name)
    try:
        files_of = distribution(package)
    except PackageNotFoundError:
        return 0
    requirements = [re.match(r"[\w.-]+", line)[0] for line in files_of.requires or [] if "extra ==" not in line]
    files = (path for file in files_of.files or [] if (path := Path(file.locate())).is_file())
    own = sum(path.stat().st_size for path in files)
    if name == "chainrule":  # an editable install: its files are elsewhere
        own = sum(path.stat().st_size for path in Path(sys.modules["chainrule"].__file__).parent.rglob("*.py"))
    return own + sum(installed(other, seen) for other in requirements)


def run(code):
    """Run the code in a new process and return its output."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout


def measure(statements):
    """Return the median time in seconds and the peak memory in megabytes of each program."""
    times, peaks = {name: [] for name in statements}, {}
    for code in statements.values():
        run(code)  # writes the bytecode
    for _ in range(ROUNDS):
        for name, code in statements.items():
            times[name].append(seconds(lambda: run(code)))  # noqa: B023
    for name, code in statements.items():
        peaks[name] = int(run(code + PEAK))
    empty = median(times["an empty process"])
    return {name: (median(times[name]) - empty, peaks[name]) for name in statements}


def main():
    warnings.filterwarnings("ignore")
    packages = present("chainrule", "numpy", "numba", "scikit-learn", "torch", "onnx", "onnxruntime")
    predictions = {name: (package, code) for name, (package, code) in PREDICTIONS.items() if package in packages}
    if "onnx" not in packages:
        predictions.pop("onnxruntime", None)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_models([package for package, _ in predictions.values()])
        results = measure(IMPORTS | {name: code for name, (_, code) in predictions.items()})
    numpy = results["import numpy"][0]
    rows = []
    for name, (time, peak) in results.items():
        size = f"{installed(predictions[name][0], set()) / 1e6:,.0f}" if name in predictions else ""
        process = f"{name}: import, load, predict a row" if name in predictions else name
        rows.append([process, f"{time * 1000:,.0f}", f"{time / numpy:.2f}", f"{peak:,}", size])
    header = ["process", "ms", "relative to import numpy", "peak MB", "installed MB"]
    publish("startup", "Start-up of a fresh process", machine(packages), table(header, rows))


if __name__ == "__main__":
    main()
