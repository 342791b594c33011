"""Run the command line as `python -m chainrule`."""

from chainrule.app.cli import main

if __name__ == "__main__":
    main()
