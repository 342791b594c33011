"""Install the wheel in dist/ into fresh environments, with NumPy alone and with each extra, and use it there."""

import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ALONE = """
import json
from importlib.metadata import distributions, version
from importlib.resources import files

import chainrule
from chainrule import Adam, Predictor, check_gradients, load, mlp, train
from chainrule.datasets import disc
from chainrule.export import to_python

X, y = disc(200, seed=0)
net = mlp(2, 16, 2, loss="cross_entropy", seed=0)
assert check_gradients(net, X[:20], y[:20]).ok
train(net, X, y, optimizer=Adam(0.01), epochs=50, batch_size=32, seed=0)
assert (net.predict(X) == y).mean() > 0.9
net.save("disc.chainrule")
assert (load("disc.chainrule").predict(X) == net.predict(X)).all()
to_python(net, "disc.py", pure=True)

table = {"size": [1.0, 1.2, None, 3.1] * 10, "kind": ["small", "small", "large", "large"] * 10}
predictor = Predictor.fit(table, "kind", epochs=5, seed=0)
assert set(predictor.predict([{"size": "1.1"}, {"size": None}])) <= {"small", "large"}

assert files("chainrule").joinpath("py.typed").is_file()
assert chainrule.__version__ == version("chainrule")
installed = {each.metadata["Name"] for each in distributions()} - {"pip", "setuptools"}
assert installed == {"chainrule", "numpy"}, installed
print("chainrule", version("chainrule"), "works with NumPy", version("numpy"), "alone")
"""

NETWORK = """
import numpy as np
from chainrule import Adam, mlp, train

X = np.linspace(-1, 1, 64)[:, np.newaxis]
net = mlp(1, 8, 1, activation="tanh", seed=0)
"""
COMMANDS = """
import subprocess
import sys
from importlib.resources import files

table = str(files("chainrule") / "penguins.csv")
train = ["train", table, "--target", "species", "--epochs", "2", "--folds", "2", "--no-baselines"]
for arguments in ([*train, "--out", "p.chainrule", "--report", "p.html"], ["predict", "p.chainrule", table]):
    subprocess.run([sys.executable, "-m", "chainrule", *arguments], check=True, stdout=subprocess.DEVNULL)
"""
EXAMPLES = {
    "sklearn": """
from chainrule import TabularRegressor

model = TabularRegressor(epochs=2, n_folds=2).fit({"x": [float(i) for i in range(40)]}, list(range(40)))
assert len(model.predict({"x": [3.0]})) == 1
""",
    "plot": NETWORK
    + """
import matplotlib

matplotlib.use("agg")
train(net, X, X, epochs=3, seed=0).plot().figure.savefig("curves.png")
""",
    "cli": COMMANDS,
    "fast": NETWORK
    + """
train(net, X, X, epochs=3, kernels="numba", seed=0)
""",
    "onnx": NETWORK
    + """
from chainrule.export import to_onnx, verify_onnx

to_onnx(net, "net.onnx")
verify_onnx("net.onnx")
""",
    "playground": """
from chainrule.app.playground.server import *
""",
}
"""What each extra is for; an extra that is not listed is installed, and chainrule imported."""


def main() -> None:
    """Raise CalledProcessError if the wheel cannot be installed, or if an example fails."""
    (wheel,) = Path(__file__).parent.parent.glob("dist/*.whl")
    metadata = zipfile.ZipFile(wheel).read(f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/METADATA").decode()
    extras = set(re.findall(r"^Provides-Extra: (.+)$", metadata, flags=re.M)) - {"docs", "dev", "release"}
    use(str(wheel), ["-W", "error", "-c", ALONE])
    for extra in sorted(extras):
        use(f"{wheel}[{extra}]", ["-c", EXAMPLES.get(extra, "import chainrule")])
        print("the extra", extra, "works", flush=True)


def use(requirement: str, arguments: list[str]) -> None:
    """Run Python with these arguments in a fresh environment that has what is required."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))
        install = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", requirement]
        subprocess.run(install, check=True)
        subprocess.run([python, "-I", *arguments], cwd=folder, check=True)


if __name__ == "__main__":
    main()
