"""`python -m chainrule` is the command `chainrule`."""

from chainrule.app.cli import main

if __name__ == "__main__":
    main()
