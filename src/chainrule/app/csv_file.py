"""CSV files: tables of any dialect, read in blocks of text, so that they may be larger than memory."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import polars as pl

from chainrule.app.decimals import decimal_marks, with_points
from chainrule.app.dialects import (
    BLOCK_CHARS,
    SPACES,
    Dialect,
    Reading,
    description,
    detect,
    detect_encoding,
    parse,
    whole_lines,
)
from chainrule.errors import TableError, shorten

_ZSTANDARD_ROWS = 50_000
_MAX_QUOTED = 1 << 26
"""Characters after which a quoted field is taken for one that is not closed."""
_LEADING_ZERO = r"^\s*[+-]?0\d"
"""Cells such as 00501 are codes, unless all cells of the column together say that they are numbers."""

Show = Callable[[str, float | None], None]
"""Shows how far work has come: a text, and the fraction that is done, or None where it is not known."""


_BYTES_PER_CELL, _COMPRESSION = 6, 5
"""Size of a cell in text, and how much smaller it is compressed; a rough guess."""


class CsvFile:
    """A table of text cells in a file, which `opener` decompresses. Its dialect is detected as far as not in `reading`.

    `failure` is how messages about what cannot be read begin. The rows of the files in `following` come after its own;
    each file has its own dialect, and all cells of a column decide its type.
    """

    def __init__(self, source: Path, opener: Callable[..., Any], reading: Reading, name: str, failure: str) -> None:
        self.source, self.opener, self.reading, self.name, self.failure = source, opener, reading, name, failure
        self.dialect = Dialect()
        self.file: Any = None
        self.size = source.stat().st_size
        self.notes: list[str] = []
        self.types: dict[str, pl.DataType] = {}
        """The type of each column, as soon as the file is read in parts."""
        self.nested: dict[str, str] = {}
        """A CSV file has no columns of lists or structs."""
        self.following: Sequence[CsvFile] = ()
        self._detect_dialect()

    @property
    def notices(self) -> list[str]:
        """Notices about how the table is read, complete once it has been read."""
        own = description(self.dialect, self.name, self.reading) + self.notes
        return list(dict.fromkeys(own + [notice for file in self.following for notice in file.notes]))

    @property
    def state(self) -> dict[str, Any]:
        """What `Reading.trained` takes to read files of the same kind alike."""
        return self.dialect.state()

    @property
    def fraction(self) -> float | None:
        """The fraction of the file that has been read, if it is known."""
        file = getattr(self.file, "fileobj", self.file)  # of a gzip file the compressed one
        return None if file is None or file.closed or self.following else file.tell() / self.size

    def read(self, text: frozenset[str], show: Show) -> pl.DataFrame:
        """Return the whole table, with columns of numbers and booleans where all cells are such."""
        frames, n_rows = [], 0
        for frame in self._frames():
            frames.append(frame)
            n_rows += len(frame)
            show(f"{n_rows:,} rows", self.fraction)
        frame = self._with_points(pl.concat(frames), text)
        return frame.with_columns([self._typed(frame[name]) for name in frame.columns if name not in text])

    def batches(
        self, text: frozenset[str], n_rows: int, numbers: frozenset[str] = frozenset()
    ) -> Iterator[pl.DataFrame]:
        """Yield the table in order, in at least one part of at most `n_rows` rows.

        All cells are text, but those of `numbers` are floats where a part shows that they have a decimal point, and
        following ones contain nothing else.
        """
        for frame in self._frames(numbers):
            yield from self._with_points(frame, text).iter_slices(n_rows) if len(frame) else [frame]

    def parts(self, text: frozenset[str], n_rows: int) -> Iterator[pl.DataFrame]:
        """Yield the table that `read` returns in order, in at least one part of at most `n_rows` rows."""
        if not self.types:
            self.types = self._types(text)
        booleans = [pl.col(name).str.to_lowercase() == "true" for name, of in self.types.items() if of == pl.Boolean]
        others = {name: of for name, of in self.types.items() if of != pl.Boolean}
        for frame in self.batches(text, n_rows):
            yield frame.with_columns(booleans).cast(others)  # type: ignore[arg-type]

    @property
    def n_cells(self) -> float:
        """About the number of cells."""
        compressed = self.opener is not open or self._is_zstandard()
        own = self.size / _BYTES_PER_CELL * (_COMPRESSION if compressed else 1)
        return own + sum(file.n_cells for file in self.following)

    # Text.

    def _detect_dialect(self) -> None:
        """Detect the dialect of a CSV file from its first block."""
        if not self._is_zstandard():
            with self._binary() as file:
                self.dialect = detect_encoding(file.read(1 << 20), self.reading)
        texts = self._texts()
        text = next(texts, "")
        complete = next(texts, None) is None
        self.dialect = detect(whole_lines(text, complete), self.dialect, self.reading, self.name)

    def _is_zstandard(self) -> bool:
        return self.source.suffix == ".zst"

    def _binary(self) -> Any:
        """Return the decompressed file, opened for reading."""
        self.file = self.opener(self.source, "rb")
        return self.file

    def _texts(self) -> Iterator[str]:
        """Yield the decoded text, whose lines end with a newline; bytes that do not fit the encoding are replaced."""
        if self._is_zstandard():
            lines = pl.scan_csv(self.source, separator="\x01", has_header=False, quote_char=None, infer_schema=False)
            for i, frame in enumerate(lines.collect_batches(chunk_size=_ZSTANDARD_ROWS)):
                text = "\n".join([*frame.to_series().fill_null("").to_list(), ""])
                yield text.removeprefix("\ufeff") if not i else text
            return
        errors = "surrogateescape" if self.dialect.encoding in ("utf-8", "utf-8-sig") else "replace"
        errors = "strict" if self.reading.encoding else errors
        with self._binary() as binary:
            file = TextIOWrapper(binary, self.dialect.encoding, errors)
            while text := file.read(BLOCK_CHARS):
                yield text if text.isascii() or errors != "surrogateescape" else self._repaired(text)

    def _repaired(self, text: str) -> str:
        """Return a text with the bytes that are not UTF-8 decoded by the fallback encoding."""

        def decoded(match: re.Match[str]) -> str:
            return match[0].encode("utf-8", "surrogateescape").decode(self.dialect.fallback, "replace")

        repaired, n_repairs = re.subn("[\udc80-\udcff]+", decoded, text)
        if n_repairs:
            self.notes.append(f"{self.name} has bytes that are not UTF-8; reading them as {self.dialect.fallback}")
        return repaired

    def _blocks(self) -> Iterator[tuple[int, str, str]]:
        """Yield whole records as text, with the number of lines before them, and masked: see `_mask`."""
        line, rest, start = self.dialect.line, "", self.dialect.start
        for text in self._texts():
            rest += text[start:]
            start = max(0, start - len(text))
            masked, end = self._mask(rest)
            if end:
                yield line, rest[:end], masked[:end]
                line += rest.count("\n", 0, end)
                rest = rest[end:]
            if len(rest) > _MAX_QUOTED:
                break
        if rest:
            masked, _ = self._mask(rest + "\n")
            opened = self._opening().search(masked)
            if opened or len(rest) > _MAX_QUOTED:
                number = line + rest.count("\n", 0, opened.end() - 1 if opened else 0) + 1
                raise TableError(f"{self.failure}: the quoted field in line {number:,} does not end")
            yield line, rest, masked

    def _opening(self) -> re.Pattern[str]:
        """Return the pattern of a quote at the begin of a field."""
        separator = r"[ \t]" if self.dialect.separator == SPACES else re.escape(self.dialect.separator)
        return re.compile(rf'(?:\A|(?<=\n)|(?<={separator})){" *" if self.dialect.padded else ""}"')

    def _mask(self, text: str) -> tuple[str, int]:
        """Return a text with its quoted fields overwritten, and the end of its last complete record."""
        if '"' not in text:
            return text, text.rfind("\n") + 1
        opening = self._opening()
        masked = re.sub(opening.pattern + r'[^"]*(?:""[^"]*)*"', lambda match: "x" * len(match[0]), text)
        unclosed = opening.search(masked)
        return masked, masked.rfind("\n", 0, unclosed.start() + 1 if unclosed else len(masked)) + 1

    # Cells.

    def _frames(self, numbers: frozenset[str] = frozenset()) -> Iterator[pl.DataFrame]:
        """Yield the table as tables of text, at least one; `numbers` as for `batches`."""
        names: list[str] = []
        for frame in self._own_frames(numbers):
            names = frame.columns
            yield frame
        for file in self.following:
            for frame in file._own_frames():
                if sorted(frame.columns) != sorted(names):
                    columns = f"{shorten(names)}, got {shorten(frame.columns)} in {file.name}"
                    raise TableError(f"the files of {self.name} must have the same columns, {columns}")
                yield frame.select(names)

    def _own_frames(self, numbers: frozenset[str] = frozenset()) -> Iterator[pl.DataFrame]:
        """Yield the rows of this file as tables of text, at least one; `numbers` as for `batches`."""
        schema: dict[str, Any] = dict.fromkeys(self.dialect.names, pl.String)
        kept = self.dialect.names[: len(schema) - self.dialect.n_trailing]
        n_short, first_short, any_frame = 0, 0, False
        for line, text, masked in self._blocks():
            floats = {name: pl.Float64 for name in numbers if self.dialect.decimal.get(name) == "."}
            frame = self._parsed(line, text, masked, schema | floats)
            if any(frame.schema[name] != pl.Float64 for name in floats):
                numbers = frozenset()  # to try it again would take as long for every block
            if frame.to_series(-1).null_count() and self.dialect.separator != SPACES:
                n, first = self._short_lines(text, masked)
                n_short, first_short = n_short + n, first_short or (line + first if n else 0)
            if len(frame):
                any_frame = True
                yield frame.select(kept)
        if not any_frame:
            yield pl.DataFrame(schema=schema).select(kept)
        if n_short:
            subject = "1 line has" if n_short == 1 else f"{n_short:,} lines have"
            what = f"{subject} too few fields, the first is line {first_short}; missing fields are treated as empty"
            self.notes.append(f"{self.name}: {what}")

    def _parsed(self, line: int, text: str, masked: str, schema: Mapping[str, Any]) -> pl.DataFrame:
        """Return records as a table: by polars, or by Python's slower parser where spaces or quotes are unusual."""
        dialect, quoted = self.dialect, '"' in text
        usual = dialect.separator != SPACES
        if quoted:
            usual &= not (dialect.padded or dialect.comments or '"' in masked or re.search(r"(?m)^\n", masked))
        elif dialect.comments:
            text = re.sub(r"(?m)^(?:#.*)?\n", "", text)
        elif len(schema) > 1 and (text.startswith("\n") or "\n\n" in text):  # a search takes as long as polars itself
            text = re.sub(r"(?m)^\n", "", text)
        frame = self._parsed_by_polars(text, quoted, schema) if usual and text else None
        if frame is None:
            rows = list(self._records(line, text, len(schema)))
            frame = pl.DataFrame(
                dict(zip(schema, zip(*rows))) if rows else None, schema=dict.fromkeys(schema, pl.String)
            )
        frame = frame.with_columns(pl.col(pl.String).str.strip_chars()) if dialect.padded else frame
        return frame.with_columns(pl.col(pl.String).replace({"": None}))

    def _parsed_by_polars(self, text: str, quoted: bool, schema: Mapping[str, Any]) -> pl.DataFrame | None:
        """Return records as a table, of text if one of its floats is none; None if polars does not read them."""
        options: dict[str, Any] = {"separator": self.dialect.separator, "quote_char": '"' if quoted else None}
        of_text = dict.fromkeys(schema, pl.String)
        for types in [schema, of_text] if schema != of_text else [of_text]:
            with suppress(pl.exceptions.PolarsError):
                return pl.read_csv(BytesIO(text.encode()), has_header=False, schema=types, **options)
        return None

    def _records(self, line: int, text: str, n_fields: int) -> Iterator[list[str]]:
        """Yield the records of a text, all of `n_fields` fields; TableError names a line that has more."""
        reader = parse(text, self.dialect.separator, self.dialect.padded)
        for row in reader:
            if not row or (len(row) == 1 < n_fields and not row[0].strip()):
                continue
            if self.dialect.comments and row[0].startswith("#"):
                continue
            if len(row) > n_fields:
                subject = f"{self.failure}: line {line + reader.line_num} has {len(row)} fields"
                other = "the header" if self.dialect.header else "the first line"
                raise TableError(f"{subject}, but {other} has {n_fields} columns")
            yield row + [""] * (n_fields - len(row))

    def _short_lines(self, text: str, masked: str) -> tuple[int, int]:
        """Return how many records have fewer fields than there are columns, and the number of the first one's line."""
        n_separators = len(self.dialect.names) - 1
        n_short = first = place = 0
        for record in masked.removesuffix("\n").split("\n"):
            comment = self.dialect.comments and record.startswith("#")
            if record and not comment and record.count(self.dialect.separator) < n_separators:
                n_short += 1
                first = first or text.count("\n", 0, place) + 1
            place += len(record) + 1
        return n_short, first

    def _with_points(self, frame: pl.DataFrame, text: frozenset[str]) -> pl.DataFrame:
        """Return a table of text with decimal points; the marks found in earlier batches, or in training, hold."""
        trained = self.reading.trained.get("decimal")
        trained = trained if isinstance(trained, dict) else {}
        marks = dict(self.dialect.decimal)
        if self.reading.decimal:
            marks = dict.fromkeys([name for name in frame.columns if name not in text], self.reading.decimal)
        else:
            marks |= {name: trained[name] for name in text & trained.keys() if name in frame.columns}
            open_names = [name for name in frame.columns if name not in marks and name not in text]
            marks |= decimal_marks(frame, self.dialect.separator, open_names, trained)
        self.dialect = replace(self.dialect, decimal=marks)
        return with_points(frame, marks)

    def _types(self, text: frozenset[str]) -> dict[str, pl.DataType]:
        """Return the types that `read` gives to the columns, by a pass over the file that keeps none of it."""
        found: dict[str, set[pl.DataType]] = {}
        for frame in self._frames():
            for cells in self._with_points(frame, text):
                known = cells.name not in text and cells.null_count() < len(cells)
                found.setdefault(cells.name, set()).update([self._typed(cells).dtype] if known else [])
        return {name: _common_type(types) for name, types in found.items()}

    def _typed(self, cells: pl.Series) -> pl.Series:
        """Return a column of text as integers, floats or booleans, if all its cells are such, and none is like 007."""
        if cells.null_count() == len(cells) or cells.str.contains(_LEADING_ZERO).any():
            return cells
        for dtype in (pl.Int64, pl.Float64):
            with suppress(pl.exceptions.PolarsError):
                numbers = cells.cast(dtype)
                if dtype == pl.Float64 and cells.str.contains(r"^[+-]?\d+$").all():
                    self.notes.append(f"{cells.name}: integers of 20 digits and more are read as text")
                    return cells
                return numbers
        lower = cells.str.to_lowercase()
        return lower == "true" if lower.is_in(["true", "false"]).all() else cells


def _common_type(types: set[pl.DataType]) -> pl.DataType:
    """Return the type of a column with parts of these types: text, unless all are numbers, or all booleans."""
    if types == {pl.Int64(), pl.Float64()}:
        return pl.Float64()
    return types.pop() if len(types) == 1 else pl.String()
