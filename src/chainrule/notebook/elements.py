"""Elements of a page: cards, tables, bars and SVG. Text is escaped, and the result is XML as well as HTML."""

from collections.abc import Collection, Sequence
from functools import cache, singledispatch
from importlib.resources import files
from xml.etree.ElementTree import Element, tostring

Content = Element | str
Point = tuple[float, float]


@singledispatch
def to_html(shown: object) -> str:
    """Return the HTML form of an object: a card with what is worth looking at."""
    return card(type(shown).__name__, "", element("code", str(shown)))


def element(name: str, *content: Content, **attributes: object) -> Element:
    """Return an element; `class_` is the attribute "class", `aria_label` is "aria-label"."""
    made = Element(name, {key.rstrip("_").replace("_", "-"): str(value) for key, value in attributes.items()})
    for part in content:
        if isinstance(part, Element):
            made.append(part)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + part
        else:
            made.text = (made.text or "") + part
    return made


def card(title: str, facts: str, *content: Content, mark: bool | None = None) -> str:
    """Return a card; with a `mark`, a tick or a cross stands before its title."""
    shown = "" if mark is None else "\N{CHECK MARK} " if mark else "\N{BALLOT X} "
    look = "title" if mark is None else "title ok" if mark else "title bad"
    header = element("header", element("span", shown + title, class_=look), pale(facts))
    return tostring(
        element("div", element("style", _stylesheet()), header, *content, class_="chainrule"),
        encoding="unicode",
        short_empty_elements=False,
    )


@cache
def _stylesheet() -> str:
    return files("chainrule.notebook").joinpath("style.css").read_text()


def pale(text: str) -> Element:
    """Return text that recedes."""
    return element("span", text, class_="pale")


def table(
    head: Sequence[str], rows: Sequence[Sequence[Content]], numbers: Collection[int] = (), look: str = ""
) -> Element:
    """Return a table; the columns of these indices are set to the right."""

    def line(kind: str, cells: Sequence[Content]) -> Element:
        looks = [{"class_": "number"} if j in numbers else {} for j in range(len(cells))]
        return element("tr", *(element(kind, cell, **look) for cell, look in zip(cells, looks)))

    body = element("tbody", *(line("td", row) for row in rows))
    return element("table", element("thead", line("th", head)), body, class_=look)


def folded(title: str, *content: Content) -> Element:
    """Return content that a click on its title shows."""
    return element("details", element("summary", title), *content)


def bullets(texts: Sequence[Content]) -> list[Element]:
    """Return a list of points, or nothing if there are none."""
    return [element("ul", *(element("li", text) for text in texts))] if texts else []


def svg(width: float, height: float, label: str, *content: Element) -> Element:
    """Return a drawing; its units are pixels."""
    return element(
        "svg", *content, width=width, height=height, viewBox=f"0 0 {width} {height}", role="img", aria_label=label
    )


def polyline(points: Sequence[Point], look: str) -> Element:
    """Return a line through points."""
    return element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=look)


def segment(start: Point, end: Point, look: str) -> Element:
    """Return a straight line."""
    return element(
        "line", x1=f"{start[0]:.1f}", y1=f"{start[1]:.1f}", x2=f"{end[0]:.1f}", y2=f"{end[1]:.1f}", class_=look
    )


def signed_bar(value: float, largest: float) -> Element:
    """Return a bar to the right of a line for a positive number, and to its left for a negative one."""
    length = 60 * abs(value) / (largest or 1)
    look = "plus" if value >= 0 else "minus"
    bar = element(
        "rect", x=f"{60 if value >= 0 else 60 - length:.1f}", y=3, width=f"{length:.1f}", height=10, class_=look
    )
    return svg(120, 16, f"{value:.3g}", bar, segment((60, 0), (60, 16), "axis"))
