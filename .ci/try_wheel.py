"""Install the wheel in dist/ into a fresh environment, which gets NumPy and nothing else, and use it there."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

EXAMPLE = """
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


def main() -> None:
    """Raise CalledProcessError if the wheel cannot be installed, or if the example fails."""
    (wheel,) = Path(__file__).parent.parent.glob("dist/*.whl")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))
        install = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", str(wheel)]
        subprocess.run(install, check=True)
        subprocess.run([python, "-I", "-W", "error", "-c", EXAMPLE], cwd=folder, check=True)


if __name__ == "__main__":
    main()
