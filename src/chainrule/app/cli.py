"""The command `chainrule`: where it starts, and what it says when the packages it needs are missing."""

import sys


def main() -> None:
    """Run the command line; without the extra `cli`, say how to get it and exit with status 2."""
    try:
        import narwhals  # noqa: F401
        import polars  # noqa: F401
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        print(f"chainrule: the command line needs {error.name}: run  pip install 'chainrule[cli]'", file=sys.stderr)
        sys.exit(2)
    try:
        from chainrule.app.commands import app

        app(prog_name="chainrule")
    except KeyboardInterrupt:  # while it was still starting
        print("chainrule: interrupted; nothing was begun", file=sys.stderr)
        sys.exit(130)
