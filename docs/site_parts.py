"""Extensions of Sphinx for this site: the gallery's pictures, order and notebooks; docstrings in plain text."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx_gallery.scrapers import figure_rst

from chainrule import trace
from figures import graph

_PICTURES = Path(mkdtemp(prefix="chainrule-gallery-"))
_ORDER = ["perceptron", "neuron", "figures", "disc", "spiral", "layers", "quality", "own_parts", "mnist"]


def script_arguments(config: Mapping[str, Any], script: str) -> list[str]:
    """Return the command-line arguments for a gallery script."""
    return ["--out", str(_PICTURES)]


def move_pictures(block: object, variables: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Move the pictures that a script has drawn into the site and return the reStructuredText that shows them."""
    paths: Iterator[str] = variables["image_path_iterator"]
    parts = []
    for picture in sorted(_PICTURES.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        path = str(Path(next(paths)).with_suffix(picture.suffix))
        shutil.move(picture, path)
        # One figure each: several in one call are shown side by side, scaled down.
        parts.append(figure_rst([path], config["src_dir"], picture.stem.replace("_", " ")))
    return "\n".join(parts)


_RUN_AND_SHOW = """from IPython.display import Image, display

main(out="pictures")
for picture in sorted(Path("pictures").glob("*.*")):
    display(Image(picture))
"""
"""The last cell of a notebook, in place of the command line of the script."""


def finish_notebooks(app: Sphinx) -> None:
    """Let the notebooks of the gallery call `main` and show its pictures, where the scripts read a command line."""
    for path in (Path(app.srcdir) / "gallery").glob("*.ipynb"):
        notebook = json.loads(path.read_text())
        last = notebook["cells"][-1]
        if "argparse" in "".join(last["source"]):
            last["source"] = [_RUN_AND_SHOW]
            for cell in notebook["cells"]:
                cell["source"] = [part.replace("import argparse\n", "") for part in cell["source"]]
            path.write_text(json.dumps(notebook, indent=1))


def write_trace(app: Sphinx, error: Exception | None) -> None:
    """Write the page that `learn/trace.md` embeds: a training step of the network of `learn/graph.md`."""
    if error is None and app.builder.format == "html":
        page = trace(graph.network_of_page(), [graph.X], [graph.Y], rate=0.5).to_html()
        (Path(app.outdir) / "_static" / "trace.html").write_text(page)


def sort_key(filename: str) -> tuple[int, str]:
    """Return the sort key of a gallery script: the listed ones first, then the others by name."""
    name = Path(filename).stem
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def escape_markup(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escape |x|, x * y and x_ in a docstring so that they are not read as markup; keep code between backticks."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...", ":")):
            parts = re.split(r"(`[^`]*`)", line)
            parts[::2] = [re.sub(r"[|*]|(?<=\w)_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
            lines[i] = "".join(parts)
    if what == "property" and lines:
        lines[0] = f": {lines[0]}"  # an empty type, as napoleon takes the text before a colon for one


def unlink_words(app: Sphinx, doctree: nodes.document) -> None:
    """Unlink ordinary words in parameter types, such as `shape`, that are also the names of attributes."""
    for reference in list(doctree.findall(addnodes.pending_xref)):
        if reference["reftype"] == "class" and reference["reftarget"].islower():
            reference.replace_self(reference.children)
