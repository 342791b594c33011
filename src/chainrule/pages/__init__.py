"""Pages: Jinja2 templates with one base and one stylesheet, for HTML files without external resources."""

from typing import Any

from chainrule.errors import MissingExtraError


def render(template: str, **values: Any) -> str:
    """Return a page from a template of this folder; every value is escaped unless the template says otherwise.

    Raises
    ------
    MissingExtraError
        If jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingExtraError("writing a page", "cli") from None
    environment = Environment(
        loader=PackageLoader("chainrule", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)
