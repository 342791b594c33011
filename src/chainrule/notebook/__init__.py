"""HTML forms of networks, histories, reports and models, as notebooks show them: tables and SVG, without scripts.

Ink is the color of the surrounding text, and all other colors are legible on light and on dark pages.
"""

from chainrule.notebook import models, networks, training
from chainrule.notebook.elements import to_html

__all__ = ["models", "networks", "to_html", "training"]
