"""What can go wrong, by name, and how it is told.

Users' plain mistakes are `ValueError`; the classes are for those that a caller may want to catch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


class ChainruleError(Exception):
    """Any error of this library's own."""


class GradientError(ChainruleError, ValueError):
    """A derivative is wrong, or was asked of something that has none."""


class DivergenceError(ChainruleError, ArithmeticError):
    """Training left the finite numbers and lowering the learning rate did not bring it back."""


class OutOfRangeError(ChainruleError, ValueError):
    """A number has grown, on its way through a network, beyond what its type can hold."""


class ModelFileError(ChainruleError, ValueError):
    """A file is not a model, or not one that can be trusted."""


class TableError(ChainruleError, ValueError):
    """A table cannot be read or does not fit the model."""


class MissingExtraError(ChainruleError, ImportError):
    """A feature needs a package that `pip install chainrule` alone does not bring."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the extra {extra!r}: run  pip install 'chainrule[{extra}]'")


def look_up(table: Mapping[str, T], name: object, argument: str) -> T:
    """Return `table[name]`, or raise a ValueError that lists the names there are."""
    if isinstance(name, str) and name in table:
        return table[name]
    raise ValueError(f"{argument} must be one of {', '.join(table)}; however: {argument}={name!r}")


def shorten(values: Sequence[object], most: int = 8) -> str:
    """Return the first few values as text."""
    more = f", ... ({len(values)} in all)" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more


def first_line(error: BaseException) -> str:
    """Return an error's message up to its first line break."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
