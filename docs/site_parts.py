"""What the site needs beside Sphinx: the gallery's pictures and order, and docstrings as the plain text they are."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import matplotlib.pyplot as plt
from sphinx.application import Sphinx
from sphinx_gallery.scrapers import figure_rst

from chainrule import mlp
from chainrule.viz import draw_graph

DRAWN = Path(mkdtemp(prefix="chainrule-gallery-"))
ORDER = ["perceptron", "neuron", "figures", "disc", "spiral", "layers", "quality", "own_parts", "mnist"]


def draw_here(config: Mapping[str, Any], script: str) -> list[str]:
    """Return the arguments that a script is run with."""
    return ["--out", str(DRAWN)]


def pictures(block: object, variables: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return the text that shows the pictures a script has drawn, once they are moved into the site."""
    places: Iterator[str] = variables["image_path_iterator"]
    shown = []
    for drawn in sorted(DRAWN.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        moved = str(Path(next(places)).with_suffix(drawn.suffix))
        shutil.move(drawn, moved)
        shown.append(
            figure_rst([moved], config["src_dir"], drawn.stem.replace("_", " "))
        )  # one by one, as wide as it is
    return "\n".join(shown)


def draw_graph_of_the_text(app: Sphinx) -> None:
    """Draw the graph that `learn/graph.md` walks along."""
    drawn = Path(app.srcdir) / "_drawn"
    drawn.mkdir(exist_ok=True)
    net = mlp(2, 2, 2, activation="sigmoid", output_activation="sigmoid", loss="squared_error", seed=0)
    figure = draw_graph(net).figure
    figure.savefig(drawn / "graph.png", dpi=120)
    plt.close(figure)


def place(filename: str) -> tuple[int, str]:
    """Return what the scripts are sorted by."""
    name = Path(filename).stem
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def as_plain_text(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Keep |x|, x * y and x_ in a docstring from being taken for markup; code between backticks stays as it is."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...", ":")):
            parts = re.split(r"(`[^`]*`)", line)
            parts[::2] = [re.sub(r"[|*]|(?<=\w)_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
            lines[i] = "".join(parts)
