"""Decimal commas: the decimal mark of each column of text, decided by the cells that only one mark can explain.

"3,5" and "1.234,56" have a decimal comma, "3.5" and "1,234.56" a decimal point. "1,234" and "1.234" may have either;
for them the other cells of the column decide, then the other columns of the table. Dates and addresses have none.
"""

from collections.abc import Iterable, Mapping

import polars as pl

_BEFORE = r"^\s*(?:[$€£¥]|[A-Z]{3})?\s*[+\-\x{2212}]?"
_AFTER = r"(?:[eE][+-]?\d+)?\s*(?:%|[$€£¥]|[A-Za-zµ°²³/]{1,5})?\s*$"
_DOT_GROUPS = r"[1-9]\d{0,2}(?:[.'\x{a0}\x{202f} ]\d{3})+"
_COMMA_GROUPS = r"[1-9]\d{0,2}(?:,\d{3})+"

_EITHER_COMMA = f"{_BEFORE}[1-9]\\d{{0,2}},\\d{{3}}{_AFTER}"
_EITHER_POINT = f"{_BEFORE}[1-9]\\d{{0,2}}\\.\\d{{3}}{_AFTER}"
_COMMA = f"{_BEFORE}(?:(?:\\d*|{_DOT_GROUPS}),\\d+|[1-9]\\d{{0,2}}(?:\\.\\d{{3}}){{2}}){_AFTER}"
_POINT = f"{_BEFORE}(?:(?:\\d*|{_COMMA_GROUPS})\\.\\d+|\\d+\\.|[1-9]\\d{{0,2}}(?:,\\d{{3}}){{2,}}){_AFTER}"
_INTEGER = f"{_BEFORE}\\d+{_AFTER}"
_LONG_INTEGER = f"{_BEFORE}\\d{{4,}}{_AFTER}"
_WITH_COMMA = f"{_BEFORE}(?:(?:\\d*|{_DOT_GROUPS}),\\d+|[1-9]\\d{{0,2}}(?:\\.\\d{{3}}){{1,2}}){_AFTER}"
"""A number in a column with decimal commas that has to be rewritten."""


def decimal_marks(
    frame: pl.DataFrame, separator: str, names: Iterable[str], trained: Mapping[str, str]
) -> dict[str, str]:
    """Return the decimal mark of those of the named text columns that contain decimal numbers.

    `trained` are the marks of the training table's columns, which hold unless all cells have the other one.
    """
    marks: dict[str, str] = {}
    doubtful: dict[str, bool] = {}
    for name in names:
        if not frame[name].str.contains(r"[.,]\d").any():
            continue
        cells = frame[name].drop_nulls().unique()
        either = {",": _count(cells, _EITHER_COMMA), ".": _count(cells, _EITHER_POINT)}
        n_comma, n_point = _count(cells, _COMMA) - either[","], _count(cells, _POINT) - either["."]
        n_numbers = n_comma + n_point + sum(either.values()) + _count(cells, _INTEGER)
        if 2 * n_numbers < len(cells):
            continue
        known = trained.get(name)
        if known in (",", ".") and ({",": n_comma, ".": n_point}[known] or not n_comma + n_point):
            marks[name] = known
        elif n_comma or n_point:
            marks[name] = "," if n_comma > n_point else "."
        elif either["."] and _count(cells, _LONG_INTEGER):  # a number that would need a separator has none
            marks[name] = "."
        elif either[","] and _count(cells, _LONG_INTEGER):
            marks[name] = ","
        elif sum(either.values()):
            doubtful[name] = either[","] > 0
    clear = set(marks.values())
    for name, has_comma in doubtful.items():
        marks[name] = next(iter(clear)) if len(clear) == 1 else "," if has_comma and separator == ";" else "."
    return marks


def _count(cells: pl.Series, pattern: str) -> int:
    return int(cells.str.contains(pattern).sum())


def with_points(frame: pl.DataFrame, marks: Mapping[str, str]) -> pl.DataFrame:
    """Return a table in which the numbers of the columns with decimal commas have decimal points, and no separators."""
    columns = [
        pl.when(pl.col(name).str.contains(_WITH_COMMA))
        .then(pl.col(name).str.replace_all(r"[.'\x{a0}\x{202f} ](\d{3})", "$1").str.replace(",", ".", literal=True))
        .otherwise(pl.col(name))
        .alias(name)
        for name, mark in marks.items()
        if mark == "," and name in frame.columns and frame[name].dtype == pl.String
    ]
    return frame.with_columns(columns)
