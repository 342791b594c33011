"""Entry point of the command `chainrule`."""

import sys


def main() -> None:
    """Run the command line; if the extra `cli` is not installed, print how to install it and exit with status 2."""
    try:
        import narwhals  # noqa: F401
        import polars  # noqa: F401
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        print(
            f"chainrule: the command line requires {error.name}. Install it: pip install 'chainrule[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    try:
        from chainrule.app.commands import app

        app(prog_name="chainrule")
    except KeyboardInterrupt:  # during the imports, before any command handles it
        print("chainrule: interrupted; nothing was written", file=sys.stderr)
        sys.exit(130)
