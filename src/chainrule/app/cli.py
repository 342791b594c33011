"""Entry point of the command `chainrule`."""

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command line; if the extra `cli` is not installed, print how to install it and exit with status 2."""
    for package in ("typer", "rich", "polars", "narwhals", "jinja2"):
        if find_spec(package) is None:
            remedy = "Install it: pip install 'chainrule[cli]'"
            print(f"chainrule: the command line requires {package}. {remedy}", file=sys.stderr)
            sys.exit(2)
    try:
        from chainrule.app.commands import app

        app(prog_name="chainrule")
    except KeyboardInterrupt:  # during the imports, before any command handles it
        print("chainrule: interrupted; nothing was written", file=sys.stderr)
        sys.exit(130)
