"""Parsers of option values. A BadParameter holds the rule and the value; `commands` puts the option's name before it.

Nothing here is slow to import: help and usage errors come at once.
"""

import codecs
import re
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any

import typer

from chainrule.errors import look_up


def number(rule: str, fits: Callable[[float], bool], kind: type[float] = float) -> dict[str, Any]:
    """Return the arguments of `typer.Option` for a number; `rule` describes what `fits` checks."""

    def parse(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if fits(value):
                return value
        raise typer.BadParameter(f"must be {rule}, got {_shown(text)}")

    return {"parser": parse, "metavar": "N" if kind is int else "NUMBER"}


def integer(least: int) -> dict[str, Any]:
    """Return the arguments of `typer.Option` for an integer."""
    return number(f"an integer >= {least}", lambda value: value >= least, int)


def size() -> dict[str, Any]:
    """Return the arguments of `typer.Option` for a number of bytes, at least a megabyte, such as 500MB or 2GiB."""

    def parse(text: str) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMGT])(i?)B?", str(text), re.I)
        unit = (1024 if match[3] else 1000) ** (1 + "kmgt".index(match[2].lower())) if match else 0
        n_bytes = int(float(match[1]) * unit) if match else 0
        if n_bytes < 10**6:
            raise typer.BadParameter(f"must be a size >= 1MB such as 500MB or 2GB, got {_shown(str(text))}")
        return n_bytes

    return {"parser": parse, "metavar": "SIZE"}


def choice(kind: type[StrEnum]) -> dict[str, Any]:
    """Return the arguments of `typer.Option` for one of the names in `kind`."""

    def parse(text: str) -> StrEnum:
        try:
            return look_up(kind.__members__, str(text), "")
        except ValueError as error:
            raise typer.BadParameter(str(error).strip()) from None

    def complete(incomplete: str) -> list[str]:
        return [name for name in kind if name.startswith(incomplete)]

    return {"parser": parse, "metavar": "|".join(kind), "autocompletion": complete}


def separator(text: str) -> str:
    """Return a separator of fields: a character, or the name of one."""
    names = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|"}
    separator = names.get(text.lower(), text)
    if not re.fullmatch(r"[^\w.\"\r\n\0]", separator, re.ASCII) or not separator.isascii():
        raise typer.BadParameter(f"must be a single character such as ';', or 'tab' or 'space', got {text!r}")
    return separator


def decimal(text: str) -> str:
    """Return a decimal mark."""
    if text not in (",", "."):
        raise typer.BadParameter(f"must be ',' or '.', got {text!r}")
    return text


def encoding(text: str) -> str:
    """Return the canonical name of a text encoding."""
    try:
        name = codecs.lookup(text).name
        "".encode(name)  # refuses codecs of bytes, such as zip
    except (LookupError, ValueError):
        raise typer.BadParameter(f"must be a text encoding such as utf-8 or cp1252, got {text!r}") from None
    return name


def sizes(text: str) -> str:
    """Return the sizes of layers, separated by commas, as they are."""
    with suppress(ValueError):
        if min(map(int, text.split(","))) >= 1:
            return text
    raise typer.BadParameter(f"must be integers >= 1, separated by commas, such as 128,128, got {_shown(text)}")


def activation(text: str) -> str:
    """Return the name of an activation."""
    from chainrule.nn.activations import ACTIVATIONS

    try:
        look_up(ACTIVATIONS, text, "")
    except ValueError as error:
        raise typer.BadParameter(str(error).strip()) from None
    return text


def goal(text: str) -> str:
    """Return the goal of a threshold, as it is."""
    from chainrule.insight.thresholds import Goal

    try:
        return Goal.parse(text).text
    except ValueError as error:
        raise typer.BadParameter(str(error).removeprefix("goal ")) from None


def _shown(text: str) -> str:
    """Return a value as it is shown in a message: quoted, unless it is a number."""
    try:
        float(text)
    except ValueError:
        return repr(text)
    return str(text)
