"""A line of progress that is updated in place, on a terminal and in a notebook."""

import sys
from html import escape
from importlib import import_module
from threading import Lock
from time import perf_counter
from typing import Any, TextIO

_BAR = 20
"""Characters of the bar."""
_SECONDS_IN_PLACE, _SECONDS_BETWEEN_LINES = 0.1, 10.0
"""Time between two updates, and between two lines where nothing can be updated."""


class LiveLine:
    """A bar with a text that is updated in place, from any thread; each is a line of its own in a file or a pipe.

    Parameters
    ----------
    stream : TextIO, optional
        Default: the output of the notebook's cell, or standard error.
    in_place : bool
        False: always write lines.
    """

    def __init__(self, stream: TextIO | None = None, in_place: bool = True) -> None:
        self.out = stream or sys.stderr
        self.cell = _output_of_cell() if in_place and stream is None else None
        self.in_place = in_place and (self.cell is not None or self.out.isatty())
        self.width, self.shown, self.lock = 0, perf_counter(), Lock()

    def is_due(self) -> bool:
        """Return whether the last update, or the beginning, is long enough ago for another one."""
        return perf_counter() - self.shown > (_SECONDS_IN_PLACE if self.in_place else _SECONDS_BETWEEN_LINES)

    def show(self, fraction: float, text: str) -> None:
        """Show a text with a bar for the fraction that is done."""
        done = int(min(fraction, 1.0) * _BAR)
        line = f"[{'#' * done}{'-' * (_BAR - done)}] {text}"
        with self.lock:
            self.shown = perf_counter()
            self.width = max(self.width, len(line))
            if self.cell is not None:
                self.cell.update({"text/plain": line, "text/html": _as_html(fraction, text)}, raw=True)
            elif self.in_place:
                print(f"\r{line:<{self.width}}", end="", file=self.out, flush=True)
            else:
                print(line, file=self.out, flush=True)

    def write(self, text: str) -> None:
        """Write a line where nothing is updated in place."""
        if not self.in_place:
            print(text, file=self.out, flush=True)

    def end(self) -> None:
        """Go on to the next line."""
        if self.in_place and self.cell is None:
            print(file=self.out, flush=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return LiveLine, (None, False)  # another process cannot update the line of this one


def _output_of_cell() -> Any:
    """Return an output of the notebook's running cell that can be updated; None outside notebooks."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if not hasattr(shell, "kernel"):
        return None
    return import_module("IPython.display").display({"text/plain": ""}, raw=True, display_id=True)


def _as_html(fraction: float, text: str) -> str:
    bar = f'<progress value="{min(fraction, 1.0):.3f}" style="width: 12em; vertical-align: middle"></progress>'
    return f'<div style="font: 13px/1.5 ui-monospace, monospace">{bar} {escape(text)}</div>'
