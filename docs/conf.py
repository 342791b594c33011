"""Sphinx configuration of the site. Build it with `make docs`.

The tag `draft` leaves out what takes longest: figures, runs of the examples, and the source code.
"""

import gc
import sys
from pathlib import Path

from sphinx.application import Sphinx

import chainrule

sys.path.insert(0, str(Path(__file__).parent))  # for `directives` and `site_parts`

project = "chainrule"
author = copyright = "The chainrule developers"
version = release = chainrule.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
]
draft = tags.has("draft")  # noqa: F821 # Sphinx defines `tags`
draw_figures = not draft
if draft:
    gc.disable()  # collections would take a fifth of the time: nearly all objects are pages, which stay in memory
else:
    extensions.append("sphinx.ext.viewcode")
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"
suppress_warnings = ["ref.python"]  # errors have two public names, as chainrule.TableError and in chainrule.errors

sphinx_gallery_conf = {
    "plot_gallery": not draft,
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "image_scrapers": ["site_parts.move_pictures"],
    "reset_argv": "site_parts.script_arguments",
    "within_subsection_order": "site_parts.sort_key",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
}

html_theme = "furo"
html_title = "chainrule"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [(f"play/{name}.js", {"defer": "defer"}) for name in ("formulas", "parts", "learn", "train")]
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def setup(app: Sphinx) -> None:
    """Add the directives and the trace of the learning pages; finish notebooks; escape docstrings first."""
    from directives import Drawn, Fold
    from site_parts import escape_markup, finish_notebooks, unlink_words, write_trace

    app.add_config_value("draw_figures", True, "env", bool)
    app.add_directive("drawn", Drawn)
    app.add_directive("fold", Fold)
    app.connect("builder-inited", finish_notebooks, priority=900)  # after the gallery has written them
    app.connect("build-finished", write_trace)
    app.connect("autodoc-process-docstring", escape_markup, priority=100)
    app.connect("doctree-read", unlink_words)
