"""How the site is built: `make docs`."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

import chainrule

sys.path.insert(0, str(Path(__file__).parent))  # where `site_parts` is

project = "chainrule"
author = copyright = "The chainrule developers"
version = release = chainrule.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"
suppress_warnings = ["ref.python"]  # words of a parameter's type that are names elsewhere

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "image_scrapers": ["site_parts.pictures"],
    "reset_argv": "site_parts.draw_here",
    "within_subsection_order": "site_parts.place",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
}

html_theme = "furo"
html_title = "chainrule"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def setup(app: Sphinx) -> None:
    """Have docstrings read as plain text, before anything else reads them, and the text's own picture drawn."""
    from site_parts import as_plain_text, draw_graph_of_the_text

    app.connect("builder-inited", draw_graph_of_the_text)
    app.connect("autodoc-process-docstring", as_plain_text, priority=100)
