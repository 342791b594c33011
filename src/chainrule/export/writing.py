"""Writing an export to disk, and the record that is returned to the caller."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from chainrule.files.archive import Path, write_whole


@dataclass(frozen=True)
class Export:
    """A record of an exported file.

    Attributes
    ----------
    path : str
    n_bytes : int
    n_rows : int
        Number of golden rows in the file.
    difference : float
        Largest difference between its predictions and the model's on the golden rows, measured before writing.
    loss : float or None
        Largest difference caused by the 8-bit weights of `int8=True` on the golden rows; None without it.
    loss_of_ends : float or None
        The same of the ends of 90 % prediction intervals, if the model has any.
    """

    path: str
    n_bytes: int
    n_rows: int
    difference: float
    loss: float | None = None
    loss_of_ends: float | None = None


def write(path: Path, content: bytes, n_rows: int, difference: float, *losses: float | None) -> Export:
    """Write the file atomically and return its record."""
    write_whole(path, lambda file: file.write(content))
    return Export(os.fspath(path), len(content), n_rows, difference, *losses)


def stem_of(path: Path) -> str:
    """Return the file name without its suffix as an identifier: ASCII letters, digits and underscores."""
    text = os.path.splitext(os.path.basename(os.fspath(path)))[0]
    name = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")
    return name if name[:1].isalpha() else f"n{name}" if name else "model"
