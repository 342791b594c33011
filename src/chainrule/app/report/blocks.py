"""What a section of the report consists of: sentences, lists, tables, figures and cards."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import Any, ClassVar

from chainrule.app.csv_file import Show
from chainrule.app.report.wording import percent
from chainrule.viz.svg import Draw, svg


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    lines: Sequence[str]
    kind: ClassVar[str] = "bullets"


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows. A cell is a text, or a text and a smaller one below it.

    The other columns are aligned to the right if they are `numeric`. A table that `fits` a telephone's screen breaks
    its cells into lines; others scroll sideways.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str | tuple[str, str]]]
    caption: str = ""
    numeric: bool = True
    fits: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Figure:
    """A function that draws on Axes, the size in inches, a label, and what the figure shows, in a sentence or two."""

    draw: Draw
    width: float
    height: float
    label: str
    caption: str
    kind: ClassVar[str] = "figure"

    def drawn(self) -> str:
        """Return the figure as SVG."""
        return svg(self.draw, self.width, self.height, self.label)


@dataclass(frozen=True)
class Card:
    """The distribution of a column: a histogram with its ends, or bars of categories; heights and shares are <= 1."""

    name: str
    about: str
    missing: float
    heights: Sequence[float] = ()
    ends: Sequence[str] = ()
    bars: Sequence[tuple[str, float, str]] = ()

    @property
    def missing_text(self) -> str:
        """The fraction of missing cells."""
        return f"{percent(self.missing)} missing"


@dataclass(frozen=True)
class Cards:
    """Small multiples."""

    cards: Sequence[Card]
    kind: ClassVar[str] = "cards"


@dataclass(frozen=True)
class Control:
    """A control for the cells of a column: a select of `options`, or an input of this kind, with a slider."""

    name: str
    kind: str
    low: str = ""
    high: str = ""
    step: str = ""
    options: Sequence[str] = ()


@dataclass(frozen=True)
class Panel:
    """Controls for the cells of a row, and what a script shows of the prediction; `rows` are those to start from.

    The first `n_shown` controls are shown, the others on demand.
    """

    target: str
    labels: Sequence[str]
    rows: Sequence[str]
    controls: Sequence[Control]
    n_shown: int
    has_intervals: bool
    script: str
    kind: ClassVar[str] = "panel"

    @staticmethod
    def joined(model: str, data: Mapping[str, Any], code: str) -> str:
        """Return the script of a panel: a model, the data, and the code."""
        described = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", r"\u003c")
        return f"{model}const PANEL = {described};\n{code}"

    @property
    def digest(self) -> str:
        """The source by which a content security policy allows the script."""
        return f"'sha256-{b64encode(sha256(self.script.encode()).digest()).decode()}'"


Block = Text | Bullets | Table | Figure | Cards | Panel


@dataclass(frozen=True)
class Section:
    """A title and its blocks."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """The fragment of a link to the section."""
        return self.title.lower().replace(" ", "-")

    def drawn(self, show: Show) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Yield the kind and the contents of the blocks, neighboring figures together, as SVG."""
        for kind, blocks in groupby(self.blocks, lambda block: block.kind):
            contents = []
            for block in blocks:
                if isinstance(block, Figure):
                    show(block.label, None)
                    contents.append({"svg": block.drawn(), "caption": block.caption})
                else:
                    contents.append(vars(block))
            yield kind, contents
