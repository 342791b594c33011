"""Deprecations: what is deprecated works for two minor releases, with a warning that says what to use instead.

`deprecated` stands in the body of what is replaced, `renamed` above a function or class whose arguments have new names,
and `RENAMED` lists the top-level names that have new ones. A test fails when one of them is due for removal.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from warnings import warn

_F = TypeVar("_F", bound=Callable[..., Any])

RELEASES = 2
"""Minor releases that warn."""
RENAMED: dict[str, tuple[str, str]] = {}
"""Old top-level name -> the new one, and the release that deprecated the old one, such as ("Network", "0.2")."""


def removed_in(since: str) -> str:
    """Return the release without what the release `since` deprecated.

    Examples
    --------
    >>> removed_in("1.3")
    '1.5'
    """
    major, minor = map(int, since.split("."))
    return f"{major}.{minor + RELEASES}"


def deprecated(old: str, remedy: str, since: str, stacklevel: int = 2) -> None:
    """Warn the caller of the function that calls this: `old` is deprecated since a release, and what to do instead."""
    message = f"{old} is deprecated since {since} and will be removed in {removed_in(since)}. {remedy}."
    warn(message, DeprecationWarning, stacklevel + 1)


def renamed(since: str, **names: str) -> Callable[[_F], _F]:
    """Decorate a function or class that still takes arguments by these old names: `@renamed("1.3", lr="rate")`."""

    def decorate(function: _F) -> _F:
        if isinstance(function, type):
            function.__init__ = decorate(function.__init__)  # type: ignore[misc]
            return function
        name = function.__qualname__.removesuffix(".__init__")

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old in names.keys() & kwargs.keys():
                deprecated(f"the argument {old!r} of {name}", f"Use {names[old]!r}", since)
                if names[old] in kwargs:
                    raise TypeError(f"{name}() got both {names[old]!r} and its old name {old!r}")
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate
