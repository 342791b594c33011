"""What was written, and what a caller may want to know of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from chainrule.archive import Path, write_whole


@dataclass(frozen=True)
class Export:
    """A file that was written.

    Attributes
    ----------
    path : str
    n_bytes : int
    n_rows : int
        Golden rows in it.
    difference : float
        The greatest difference of its answers on them from the model's, as computed before it was written.
    loss : float or None
        What `int8` cost: the greatest difference that rounding the weights made there.
    """

    path: str
    n_bytes: int
    n_rows: int
    difference: float
    loss: float | None = None


def write(path: Path, content: bytes, n_rows: int, difference: float, loss: float | None = None) -> Export:
    """Write a file whole or not at all, and say what was written."""
    write_whole(path, lambda file: file.write(content))
    return Export(os.fspath(path), len(content), n_rows, difference, loss)


def identifier(text: str) -> str:
    """Return a text as a name that every language takes: ASCII letters, digits and underscores."""
    name = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")
    return name if name[:1].isalpha() else f"n{name}" if name else "model"


def stem_of(path: Path) -> str:
    """Return a file's name as an identifier, without its ending."""
    return identifier(os.path.splitext(os.path.basename(os.fspath(path)))[0])
