"""Exceptions.

    ChainruleError
    ├── GradientError (ValueError)         a derivative is wrong or does not exist
    ├── DivergenceError (ArithmeticError)  training diverged and could not be recovered
    ├── OutOfRangeError (ValueError)       a value overflowed its dtype inside a network
    ├── ModelFileError (ValueError)        a file is not a valid model or checkpoint
    ├── TableError (ValueError)            a table cannot be read or does not fit the model
    └── MissingExtraError (ImportError)    an optional dependency is not installed

An invalid argument is a plain `ValueError`. Every message has one form: `<name> must be <rule>, got <value>`, followed
by a remedy where one helps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


class ChainruleError(Exception):
    """Base class of the exceptions defined here."""


class GradientError(ChainruleError, ValueError):
    """A derivative is wrong, or was requested of a function that has none."""


class DivergenceError(ChainruleError, ArithmeticError):
    """Training diverged, and lowering the learning rate did not help."""


class OutOfRangeError(ChainruleError, ValueError):
    """A value overflowed its dtype on its way through a network."""


class ModelFileError(ChainruleError, ValueError):
    """A file is not a valid model or checkpoint."""


class TableError(ChainruleError, ValueError):
    """A table cannot be read or does not fit the model."""


class MissingExtraError(ChainruleError, ImportError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} requires the extra {extra!r}. Install it: pip install 'chainrule[{extra}]'")


def look_up(table: Mapping[str, T], name: object, argument: str) -> T:
    """Return `table[name]`, or raise a ValueError that lists the valid names and suggests the closest one."""
    if isinstance(name, str) and name in table:
        return table[name]
    options = ", ".join(map(repr, table))
    raise ValueError(f"{argument} must be one of {{{options}}}, got {name!r}{did_you_mean(name, table)}")


def did_you_mean(name: object, options: Iterable[str]) -> str:
    """Return `". Did you mean 'relu'?"` for the option closest to `name`, or an empty string."""
    from difflib import get_close_matches

    by_lower = {option.lower(): option for option in options}
    close = get_close_matches(name.lower(), by_lower, n=1) if isinstance(name, str) else []
    return f". Did you mean {by_lower[close[0]]!r}?" if close else ""


def shorten(values: Sequence[object], n_shown: int = 8) -> str:
    """Return the first few values, comma-separated."""
    more = f", ... ({len(values)} in total)" if len(values) > n_shown else ""
    return ", ".join(map(str, values[:n_shown])) + more


def first_line(error: BaseException) -> str:
    """Return an error's message up to its first line break."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
