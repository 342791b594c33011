"""The dialect of a CSV file: its encoding, separator and header, detected from the beginning of the file.

The separator is the one by which most lines have as many fields as the first, counted outside quotes. DuckDB's sniffer
read 17 of the 41 files in `tests/test_dialects.py` as intended, since it has no decimal marks by column, and takes
69 MB: it is no dependency.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from chainrule.app.paths import EMPTY
from chainrule.errors import TableError, shorten

SPACES = " "
"""The separator of files whose fields are separated by any number of spaces and tabs."""

BLOCK_CHARS = 1 << 20
"""Characters of a CSV file read at a time: 133 MB took 109 MB and 7.1 s; in larger blocks 170 MB and 6.1 s."""
_SEPARATORS = ",;\t|"
_SAMPLE_RECORDS = 200
_MAX_PREAMBLE = 20
"""Lines above the header are searched no farther."""
_BYTE_ORDER_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_NUMBER = re.compile(r"\s*[$€£]?\s*[+-]?(\d[\d.,]*|[.,]\d+)([eE][+-]?\d+)?\s*[%$€£]?\s*")
_INTEGER = re.compile(r"\s*\d+\s*")
_QUOTED = re.compile(r'(?m)(?:^|(?<=[,;\t|]))"[^"]*(?:""[^"]*)*"(?=[,;\t|]|$)')
"""A quoted field, whose lines are no comments."""


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    `names` are its columns, `start` is the number of characters before its first row, `n_skipped` the number of lines
    above its header, `line` the number of lines before its first row, `n_trailing` the number of columns at the end
    that have neither a name nor cells. `decimal` holds the decimal mark of each column that shows one.
    """

    separator: str = ","
    encoding: str = "utf-8"
    fallback: str = "cp1252"
    header: bool = True
    padded: bool = False
    comments: bool = False
    names: tuple[str, ...] = ()
    start: int = 0
    line: int = 0
    n_skipped: int = 0
    n_trailing: int = 0
    decimal: Mapping[str, str] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Return what holds for other files of the same kind, ready for JSON; `Reading.trained` takes it."""
        state = {"separator": self.separator, "encoding": self.encoding, "header": self.header}
        return state | ({"decimal": dict(self.decimal)} if "," in self.decimal.values() else {})


@dataclass(frozen=True)
class Reading:
    """What is known about a CSV file beforehand: the user's choices, and how the training table was written.

    `expected` are names of columns, which tell a header from a row.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: bool | None = None
    trained: Mapping[str, Any] = field(default_factory=dict)
    expected: Sequence[str] = ()

    @property
    def choices(self) -> list[str]:
        """The options of the command line that the user gave."""
        given = {"--separator": self.separator, "--decimal": self.decimal, "--encoding": self.encoding}
        return [option for option, value in given.items() if value is not None] + (
            [] if self.header is None else ["--header" if self.header else "--no-header"]
        )


def names_in(path: Path, reading: Reading) -> Sequence[str]:
    """Return the columns of a plain CSV file, as its reader will find them; none if it contains other than ASCII.

    A missing column is thus reported at once: importing the reader takes half a second.
    """
    if reading.encoding or not path.is_file():
        return ()
    try:
        with path.open(encoding="ascii") as file:
            text, rest = file.read(BLOCK_CHARS), file.read(1)
        dialect = detect_encoding(text.encode(), reading)
        if dialect.encoding == "utf-8":
            dialect = detect(whole_lines(text, not rest), dialect, reading, path.name)
    except (OSError, UnicodeError, csv.Error, TableError):  # which the reader reports
        return ()
    return dialect.names[: len(dialect.names) - dialect.n_trailing]


def whole_lines(text: str, complete: bool) -> str:
    """Return the whole lines of the beginning of a file, or all of it if it is complete."""
    return text if complete or "\n" not in text else text[: text.rindex("\n") + 1]


def detect_encoding(sample: bytes, reading: Reading) -> Dialect:
    """Return a dialect with the encoding of a file that begins with `sample`."""
    trained = reading.trained.get("encoding")
    fallback = trained if isinstance(trained, str) and _is_single_byte(trained) else "cp1252"
    if reading.encoding:
        return Dialect(encoding=reading.encoding, fallback="")
    for mark, name in _BYTE_ORDER_MARKS.items():
        if sample.startswith(mark):
            return Dialect(encoding=name, fallback=fallback)
    zeros = [sample[start:4000:2].count(0) for start in (0, 1)]
    if max(zeros) > len(sample[:4000]) // 4 and not min(zeros):
        return Dialect(encoding="utf-16-be" if zeros[0] else "utf-16-le", fallback=fallback)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return Dialect(encoding=fallback, fallback=fallback)
    return Dialect(fallback=fallback)


def _is_single_byte(encoding: str) -> bool:
    try:
        return len(bytes(range(32, 127)).decode(encoding)) == 95 and len(b"\xe9\xe8".decode(encoding)) == 2
    except (LookupError, UnicodeError):
        return False


def detect(text: str, dialect: Dialect, reading: Reading, name: str) -> Dialect:
    """Return the dialect of a file of this name that begins with `text`, decoded, with plain line ends."""
    marked = re.match(r"sep=(.)\n", text, re.IGNORECASE)  # written by Excel
    first = 1 if marked else 0
    comments = _has_comments(_QUOTED.sub("", text).split("\n")[first:])
    lines = _Lines(text, first, comments)
    if not lines.kept:
        raise TableError(f"{name} {EMPTY}")
    separator = reading.separator or (marked and marked[1]) or _separator(lines, reading, name)
    records = list(lines.records(separator))
    padded = separator != SPACES and (_are_padded(records) or lines.have_spaces_after(separator))
    dialect = replace(dialect, separator=separator, comments=comments, padded=padded)
    if padded:
        records = [(line, [cell.strip() for cell in cells]) for line, cells in records]
    i = _header_index([cells for _, cells in records], reading)
    cells = [cells for _, cells in records[i:]]
    header = _has_header(cells, reading)
    if not header and i:  # lines above a table without a header: more likely its rows have more fields
        i, cells = 0, [cells for _, cells in records]
        header = _has_header(cells, reading)
    names = cells[0] if header else [f"column_{j}" for j in range(1, max(map(len, cells)) + 1)]
    names = _with_unnamed(names, cells[1:]) if header else names
    _require_names(names, header, cells[0], reading, name)
    n_trailing = _n_trailing(names, cells[1:])
    names = [other or (f"_unnamed_{j}" if j and "" in names[:j] else "") for j, other in enumerate(names)]
    line = records[i][0] if header else lines.first
    start = len(lines.text_before(line))
    dialect = replace(dialect, header=header, names=tuple(names), n_trailing=n_trailing)
    return replace(dialect, start=start, line=line, n_skipped=i)


def _require_names(names: Sequence[str], header: bool, first: Sequence[str], reading: Reading, name: str) -> None:
    """Raise TableError if two columns have the same name, or the model's columns have names and these have none."""
    duplicates = sorted({other for other in names if other and names.count(other) > 1})
    if duplicates:
        remedy = "" if reading.header else " Rename one, or pass --no-header if the first line is a row."
        raise TableError(f"{name} must have unique column names, got {duplicates[0]!r} more than once.{remedy}")
    if not header and reading.header is None and reading.trained.get("header") is True:
        raise TableError(f"{name} must begin with a line of column names, as the training table did, got {first}")


class _Lines:
    """The first lines of a file, without empty ones, and without comments."""

    def __init__(self, text: str, first: int, comments: bool) -> None:
        self.lines = text.split("\n")
        self.first = first
        self.kept = [
            (i, line)
            for i, line in enumerate(self.lines)
            if i >= first and line.strip() and not (comments and line.startswith("#"))
        ]

    def records(self, separator: str) -> Iterator[tuple[int, list[str]]]:
        """Yield each record with the number of the line after it."""
        text = "\n".join(line for _, line in self.kept[: 4 * _SAMPLE_RECORDS])
        reader = parse(text, separator, padded=True)
        for _, cells in zip(range(_SAMPLE_RECORDS), reader):
            yield self.kept[reader.line_num - 1][0] + 1, cells

    def have_spaces_after(self, separator: str) -> bool:
        """Return whether spaces follow separators in the header or in most lines."""
        lines = [re.sub(r'"[^"]*"', "", line) for _, line in self.kept[:_SAMPLE_RECORDS]]
        followed = [f"{separator} " in line for line in lines]
        return followed[0] or sum(followed) >= 0.9 * len(followed)

    def text_before(self, line: int) -> str:
        """Return the text before the line of that index."""
        return "\n".join([*self.lines[:line], ""]) if line else ""


def parse(text: str, separator: str, padded: bool) -> Any:
    """Return an iterator over the records of a text, as lists of cells; `padded`: ignore spaces before a cell."""
    if separator == SPACES:
        text = re.sub(r"(?m)[ \t]+$", "", text).replace("\t", " ")
    return csv.reader(StringIO(text, newline="\n"), delimiter=separator, skipinitialspace=padded or separator == SPACES)


def _has_comments(lines: Sequence[str]) -> bool:
    """Return whether lines that begin with # are comments, and not a header or rows: they have other separators."""
    lines = [line for line in lines[: 4 * _SAMPLE_RECORDS] if line.strip()]
    marked = [line for line in lines if line.startswith("#")]
    others = [line for line in lines if not line.startswith("#")]
    if not marked or not others:
        return False
    shapes = Counter(tuple(line.count(separator) for separator in _SEPARATORS) for line in others)
    return shapes.most_common(1)[0][0] not in {tuple(map(line.count, _SEPARATORS)) for line in marked}


def _separator(lines: _Lines, reading: Reading, name: str) -> str:
    """Return the separator by which the lines make the most regular table."""
    candidates = {separator: [cells for _, cells in lines.records(separator)] for separator in _SEPARATORS}
    trained = reading.trained.get("separator")
    if isinstance(trained, str) and len(trained) == 1 and reading.expected:
        header = next((cells for _, cells in lines.records(trained)), [])
        if {cell.strip() for cell in header} >= set(reading.expected):
            return trained
    scores = {separator: _regularity(records) for separator, records in candidates.items()}
    best = max(scores, key=lambda separator: scores[separator])
    if scores[best][0] > 0:
        return best
    if _are_separated_by_spaces([cells for _, cells in lines.records(SPACES)], name):
        return SPACES
    return max(_SEPARATORS, key=lambda separator: (-max(map(len, candidates[separator])), separator == ","))


def _regularity(records: list[list[str]]) -> tuple[float, int]:
    """Return how regular a table of at least two columns is, and its number of columns.

    The fraction of lines with the usual number of fields, plus the fraction of numbers among their cells, since
    "1,5;2,5" has as many commas as semicolons, or more, but numbers only between semicolons. The first line counts as
    half a table: it has the names.
    """
    counts = Counter(n for n in map(len, records) if n >= 2)
    usual = max(counts, key=lambda n: (counts[n], n), default=0)
    if counts[usual] < 0.3 * len(records) or not usual:
        return 0.0, 0
    cells = [cell for cells in records if len(cells) == usual for cell in cells]
    numeric = sum(not cell or bool(_NUMBER.fullmatch(cell)) for cell in cells) / len(cells)
    return counts[usual] / len(records) + numeric + 0.5 * (len(records[0]) == usual), usual


def _are_separated_by_spaces(records: list[list[str]], name: str) -> bool:
    """Return whether spaces separate the fields: every record has the same number, and a column contains numbers."""
    rows = records[1:] or records
    numeric = sum(any(_NUMBER.fullmatch(cell) for cell in cells) and len(cells) > 1 for cells in rows)
    if len(records[0]) < 2 or numeric < 0.9 * len(rows):
        return False
    for cells in rows:
        if len(cells) not in (len(records[0]), len(rows[0])):
            rule = "must have , ; | or tabs between its fields"
            got = f"spaces and between {min(map(len, records))} and {max(map(len, records))} fields per line"
            raise TableError(f"{name} {rule}, got {got}. Pass --separator, or write the table as CSV.")
    columns = zip(*(cells for cells in rows if len(cells) == len(rows[0])))
    return any(all(_NUMBER.fullmatch(cell) for cell in column) for column in columns)


def _are_padded(records: list[tuple[int, list[str]]]) -> bool:
    """Return whether spaces surround cells or names; those before a cell have been removed already."""
    padded = sum(any(cell != cell.strip() for cell in cells) for _, cells in records)
    return padded >= 0.9 * len(records) or any(cell != cell.strip() for cell in records[0][1])


def _header_index(records: list[list[str]], reading: Reading) -> int:
    """Return the index of the record with the column names: titles above a table have a single cell, or none."""
    for i, cells in enumerate(records[:_MAX_PREAMBLE]):
        if reading.expected and set(reading.expected) <= set(cells):
            return i
    usual = Counter(map(len, records)).most_common(1)[0][0]
    if reading.header is False or usual < 2:
        return 0
    for i, cells in enumerate(records[:_MAX_PREAMBLE]):
        filled = sum(map(bool, cells))
        if filled > 1 or (len(cells) == usual and usual == 2):
            return i if len(cells) >= usual - 1 or not i else 0
    return 0


def _has_header(records: list[list[str]], reading: Reading) -> bool:
    """Return whether the first record holds names and not values: its cells differ in kind from those below them."""
    first, rows = records[0], records[1:]
    if reading.header is not None:
        return reading.header
    if not rows or (reading.expected and set(reading.expected) & set(first)):
        return True
    if reading.trained.get("header") is False:
        return False
    numeric, textual = [], []
    for j, cell in enumerate(first):
        below = [cells[j] for cells in rows if len(cells) > j and cells[j]]
        if below and sum(map(bool, map(_NUMBER.fullmatch, below))) >= 0.9 * len(below):
            numeric.append(cell)
        else:
            textual.append((cell, below))
    known = [cell for cell in numeric if cell]
    if not known or not all(map(_NUMBER.fullmatch, known)) or _is_progression(known):
        return True
    recurs = any(cell and cell in below for cell, below in textual)
    broken = any(not _INTEGER.fullmatch(cell) for cell in known) or len(set(known)) < len(known)
    return bool(textual) and not recurs and not broken


def _is_progression(cells: list[str]) -> bool:
    """Return whether numbers are evenly spaced, as years or wavelengths in a header are."""
    try:
        numbers = [float(cell.replace(",", ".")) for cell in cells]
    except ValueError:
        return False
    steps = [b - a for a, b in pairwise(numbers)]
    even = bool(steps) and all(abs(step - steps[0]) <= 1e-6 * abs(steps[0]) for step in steps) and steps[0] > 0
    return even and (len(steps) > 1 or (steps[0] == 1 and numbers[0].is_integer()))


def _with_unnamed(names: list[str], rows: list[list[str]]) -> list[str]:
    """Return the names with an empty one if all rows have one more field: row names, or a trailing separator."""
    n = len(names) + 1
    longer = [cells for cells in rows if len(cells) == n]
    if not rows or len(longer) < len(rows) or (n < 3 and any(cells[-1] for cells in rows)):
        return names
    return [*names, ""] if not any(cells[-1] for cells in rows) else ["", *names]


def _n_trailing(names: Sequence[str], rows: list[list[str]]) -> int:
    """Return how many columns at the end have neither a name nor a cell: lines end in separators."""
    n = 0
    while (
        n < len(names) - 1 and not names[-1 - n] and not any(map(any, (cells[len(names) - 1 - n :] for cells in rows)))
    ):
        n += 1
    return n


def description(dialect: Dialect, name: str, reading: Reading) -> list[str]:
    """Return at most one notice: what was detected in a file of this name that is unusual."""
    parts = []
    if not reading.encoding and dialect.encoding == "cp1252":
        parts.append(("Windows-1252 text (Western European)", "--encoding"))
    elif not reading.encoding and dialect.encoding not in ("utf-8", "utf-8-sig", "utf-16"):
        parts.append((f"{dialect.encoding} text", "--encoding"))
    if not reading.separator and dialect.separator == SPACES:
        parts.append(("spaces as separators", "--separator"))
    if reading.header is None and not dialect.header:
        parts.append((f"no header (columns {shorten(dialect.names, 3)})", "--header"))
    commas = [column for column, mark in dialect.decimal.items() if mark == ","]
    if not reading.decimal and commas:
        parts.append((f"decimal commas in {shorten(commas)}", "--decimal"))
    if dialect.padded:
        parts.append(("whitespace around cells (removed)", ""))
    if dialect.n_skipped:
        lines = "1 line" if dialect.n_skipped == 1 else f"{dialect.n_skipped} lines"
        parts.append((f"{lines} above the header (skipped)", ""))
    if dialect.comments:
        parts.append(("comments that begin with # (skipped)", ""))
    options = [option for _, option in parts if option]
    remedy = f". Override with {', '.join(options)}." if options else ""
    return [f"{name}: detected {'; '.join(part for part, _ in parts)}{remedy}"] if parts else []
