"""Directives of the learning pages: `drawn` shows a figure of `figures.py`, `fold` hides a part until it is opened."""

import json
from html import escape
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

import figures


class Drawn(SphinxDirective):
    """A figure for light and for dark pages. The argument is its name, the content its caption.

    On narrow screens, a `wide` one scrolls sideways instead of becoming illegible. With `play`, a script of
    _static/play takes the place of the pictures and begins with what `start` of the figure's module returns. In a
    draft, blank pictures stand for all figures.
    """

    required_arguments = 1
    option_spec: ClassVar = {"alt": directives.unchanged_required, "wide": directives.flag, "play": directives.flag}
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Draw the figure and return the nodes that show it."""
        name, folder = self.arguments[0], Path(self.env.srcdir) / "_drawn"
        module = name.partition(".")[0]
        self.env.note_dependency(f"figures/{module}.py")
        folder.mkdir(exist_ok=True)
        figure = nodes.container(classes=["drawn", *(["wide"] if "wide" in self.options else [])])
        pictures = figures.save(name, folder) if self.config.draw_figures else figures.blank(folder)
        for theme, paths in pictures.items():
            panels = nodes.container(classes=[f"only-{theme}"])
            for path in paths:
                panels += nodes.image(uri=f"/_drawn/{path.name}", alt=self.options["alt"])
            figure += panels
        caption = nodes.container(classes=["caption"])
        self.state.nested_parse(self.content, self.content_offset, caption)
        figure += caption
        if "play" not in self.options:
            return [figure]
        start = escape(json.dumps(import_module(f"figures.{module}").start()))
        opening = f'<div class="play" data-play="{module}" data-start="{start}">'
        return [nodes.raw("", opening, format="html"), figure, nodes.raw("", "</div>", format="html")]


class Fold(SphinxDirective):
    """A part that is hidden until its title, the argument, is clicked."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the content between the tags of an HTML `details` element."""
        title = nodes.raw("", f"<details><summary>{escape(self.arguments[0])}</summary>", format="html")
        content = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, content)
        return [title, *content.children, nodes.raw("", "</details>", format="html")]
