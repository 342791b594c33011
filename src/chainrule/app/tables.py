"""Reading and writing of table files: CSV in many dialects, Parquet, Arrow, JSON lines, and the standard streams.

A CSV file is read in blocks of text, whatever its dialect (see `chainrule.app.dialects`), so that it may be larger than
memory. Columns whose numbers have decimal commas are found by their cells (see `chainrule.app.decimals`).
"""

import csv
import gzip
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import IO, Any

import polars as pl

from chainrule.app.decimals import decimal_marks, with_points
from chainrule.app.dialects import SPACES, Dialect, Reading, description, detect, detect_encoding, parse
from chainrule.archive import write_whole
from chainrule.errors import TableError, first_line, shorten

STDIN = Path("-")
BATCH_ROWS = 50_000

_BLOCK_CHARS = 1 << 20
"""Characters of a CSV file read at a time: 133 MB took 109 MB and 7.1 s; in larger blocks 170 MB and 6.1 s."""
_MAX_QUOTED = 1 << 26
"""Characters after which a quoted field is taken for one that is not closed."""
_GZIP = b"\x1f\x8b"
_MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"PK\x03\x04": "zip"}
"""First bytes of binary files -> kind."""

_KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".csv.gz": "csv",
    ".tsv.gz": "csv",
    ".csv.zst": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""Suffix of a file's name -> kind."""

_EMPTY = "is empty. A table needs a header line with column names, followed by rows."


class TableFile:
    """A table in a file, or on standard input if `path` is "-". `kind` overrides the kind the file's name indicates."""

    def __init__(self, path: Path, kind: str | None = None, reading: Reading | None = None) -> None:
        self.path = path
        self.kind = kind or (_KINDS[suffix_of(path, _KINDS)] if path != STDIN else "csv")
        self.reading = reading or Reading()
        self.dialect = Dialect()
        self.nested: dict[str, str] = {}
        self.open: Callable[..., Any] = open
        self.source: Path | bytes = sys.stdin.buffer.read() if path == STDIN else path
        self.name = "standard input" if path == STDIN else path.name
        self._notices: list[str] = []
        if path != STDIN:
            _require_readable(path)
        elif not self.source:
            raise TableError(f"standard input {_EMPTY}")
        self._detect_kind()
        if self.kind == "csv":
            with self._readable():
                self._detect_dialect()
        elif self.reading.choices:
            raise TableError(
                f"{self.reading.choices[0]} applies to CSV only, got {self.name}, {self.kind.capitalize()}"
            )

    @property
    def notices(self) -> list[str]:
        """Notices about how the table is read, complete once it has been read."""
        how = description(self.dialect, self.name, self.reading) if self.kind == "csv" else []
        return how + list(dict.fromkeys(self._notices))

    @property
    def state(self) -> dict[str, Any]:
        """What `Reading.trained` takes to read files of the same kind alike."""
        return self.dialect.state() if self.kind == "csv" else {}

    def read(self, text: Iterable[str] = ()) -> pl.DataFrame:
        """Return the whole table. The columns named in `text` are read as text, so that 01 stays 01.

        Raises TableError with the line and the reason if the file cannot be read.
        """
        text = frozenset(text)
        with self._readable():
            if self.kind != "csv":
                return self._without_nested(_SCANNERS[self.kind](self._opened()).collect())
            frame = pl.concat(self._frames())
            frame = self._with_points(frame, text)
            typed = [self._typed(frame[name]) for name in frame.columns if name not in text]
            return frame.with_columns(typed)

    def batches(self, text: Iterable[str] = ()) -> Iterator[pl.DataFrame]:
        """Yield the rows in order, in at least one batch, so that they need not fit into memory.

        All cells of a CSV file are text, because a batch does not show the type of its columns: see `with_numbers`. The
        columns named in `text` are text in every case.
        """
        text = frozenset(text)
        with self._readable():
            if self.kind == "csv":
                for frame in self._frames():
                    yield from self._with_points(frame, text).iter_slices(BATCH_ROWS) if len(frame) else [frame]
                return
            any_batch = False
            for frame in _SCANNERS[self.kind](self._opened()).collect_batches(chunk_size=BATCH_ROWS):
                any_batch = True
                yield self._without_nested(frame)
            if not any_batch:
                yield self.read()

    def require_scalars(self, names: Iterable[str]) -> None:
        """Raise TableError if one of the names is a column of lists or structs, which is left out."""
        for name in names:
            if name in self.nested:
                raise TableError(f"column {name!r} must contain scalars, got {self.nested[name]}")

    # Kind and dialect.

    def _detect_kind(self) -> None:
        """Replace the kind CSV by the one that the first bytes indicate, and open compressed files as such."""
        if self.kind != "csv":
            return
        with self._readable():
            begin = self.source[:24] if isinstance(self.source, bytes) else _first_bytes(self.source, 24)
            if begin.startswith(_GZIP):
                if isinstance(self.source, bytes):
                    self.source = gzip.decompress(self.source)
                self.open = gzip.open
        detected = next((kind for magic, kind in _MAGIC.items() if begin.startswith(magic)), None)
        if begin[8:].startswith(b'{"__metadata__":'):
            raise TableError(f"{self.name} is a model or a checkpoint, not a table.")
        if detected == "zip":
            raise TableError(f"{self.name} is an Excel workbook or another zip archive. Save the table as CSV.")
        if detected is not None:
            kind = detected.capitalize()
            self._notices.append(
                f"{self.name} is {'an' if kind[0] in 'AEIOU' else 'a'} {kind} file; reading it as {kind}"
            )
            self.kind = detected

    def _detect_dialect(self) -> None:
        """Detect the dialect of a CSV file from its first block."""
        if not self._is_zstandard():
            with self._binary() as file:
                self.dialect = detect_encoding(file.read(1 << 20), self.reading)
        texts = self._texts()
        text = next(texts, "")
        complete = next(texts, None) is None
        text = text if complete or "\n" not in text else text[: text.rindex("\n") + 1]
        self.dialect = detect(text, self.dialect, self.reading, self.name)

    # Text.

    def _is_zstandard(self) -> bool:
        return isinstance(self.source, Path) and self.source.suffix == ".zst"

    def _opened(self) -> Path | BytesIO:
        """Return the source in a form polars reads."""
        return BytesIO(self.source) if isinstance(self.source, bytes) else self.source

    def _binary(self) -> Any:
        """Return the decompressed file, opened for reading."""
        return BytesIO(self.source) if isinstance(self.source, bytes) else self.open(self.source, "rb")

    def _texts(self) -> Iterator[str]:
        """Yield the decoded text, whose lines end with a newline; bytes that do not fit the encoding are replaced."""
        if self._is_zstandard():
            lines = pl.scan_csv(self._opened(), separator="\x01", has_header=False, quote_char=None, infer_schema=False)
            for i, frame in enumerate(lines.collect_batches(chunk_size=BATCH_ROWS)):
                text = "\n".join([*frame.to_series().fill_null("").to_list(), ""])
                yield text.removeprefix("\ufeff") if not i else text
            return
        errors = "surrogateescape" if self.dialect.encoding in ("utf-8", "utf-8-sig") else "replace"
        errors = "strict" if self.reading.encoding else errors
        with self._binary() as binary:
            file = TextIOWrapper(binary, self.dialect.encoding, errors)
            while text := file.read(_BLOCK_CHARS):
                yield text if text.isascii() or errors != "surrogateescape" else self._repaired(text)

    def _repaired(self, text: str) -> str:
        """Return a text with the bytes that are not UTF-8 decoded by the fallback encoding."""

        def decoded(match: re.Match[str]) -> str:
            return match[0].encode("utf-8", "surrogateescape").decode(self.dialect.fallback, "replace")

        repaired, n_repairs = re.subn("[\udc80-\udcff]+", decoded, text)
        if n_repairs:
            self._notices.append(f"{self.name} has bytes that are not UTF-8; reading them as {self.dialect.fallback}")
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
                raise TableError(f"{self._failure}: the quoted field in line {number:,} does not end")
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

    def _frames(self) -> Iterator[pl.DataFrame]:
        """Yield a CSV file as tables of text, at least one."""
        schema = dict.fromkeys(self.dialect.names, pl.String)
        kept = self.dialect.names[: len(schema) - self.dialect.n_trailing]
        n_short, first_short, any_frame = 0, 0, False
        for line, text, masked in self._blocks():
            frame = self._parsed(line, text, masked, schema)
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
            self._notices.append(f"{self.name}: {what}")

    def _parsed(self, line: int, text: str, masked: str, schema: Mapping[str, Any]) -> pl.DataFrame:
        """Return records as a table: by polars, or by Python's slower parser where spaces or quotes are unusual."""
        dialect, quoted = self.dialect, '"' in text
        usual = dialect.separator != SPACES
        if quoted:
            usual &= not (dialect.padded or dialect.comments or '"' in masked or re.search(r"(?m)^\n", masked))
        elif dialect.comments or len(schema) > 1:
            text = re.sub(r"(?m)^(?:#.*)?\n" if dialect.comments else r"(?m)^\n", "", text)
        frame = self._parsed_by_polars(text, quoted, schema) if usual and text else None
        if frame is None:
            rows = list(self._records(line, text, len(schema)))
            frame = pl.DataFrame(dict(zip(schema, zip(*rows))) if rows else None, schema=schema)
        frame = frame.with_columns(pl.all().str.strip_chars()) if dialect.padded else frame
        return frame.with_columns(pl.all().replace({"": None}))

    def _parsed_by_polars(self, text: str, quoted: bool, schema: Mapping[str, Any]) -> pl.DataFrame | None:
        """Return records as a table, or None if polars does not read them."""
        options: dict[str, Any] = {"separator": self.dialect.separator, "quote_char": '"' if quoted else None}
        with suppress(pl.exceptions.PolarsError):
            return pl.read_csv(BytesIO(text.encode()), has_header=False, schema=schema, **options)
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
                subject = f"{self._failure}: line {line + reader.line_num} has {len(row)} fields"
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

    def _typed(self, cells: pl.Series) -> pl.Series:
        """Return a column of text as integers, floats or booleans, if all its cells are such."""
        if cells.null_count() == len(cells):
            return cells
        for dtype in (pl.Int64, pl.Float64):
            with suppress(pl.exceptions.PolarsError):
                numbers = cells.cast(dtype)
                if dtype == pl.Float64 and cells.str.contains(r"^[+-]?\d+$").all():
                    self._notices.append(f"{cells.name}: integers of 20 digits and more are read as text")
                    return cells
                return numbers
        lower = cells.str.to_lowercase()
        return lower == "true" if lower.is_in(["true", "false"]).all() else cells

    def _without_nested(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a table without columns of lists and structs, and with integers too large for NumPy as text."""
        for name, dtype in frame.schema.items():
            if dtype.is_nested() or dtype == pl.Object:
                self.nested[name] = str(dtype)
                frame = frame.drop(name)
            elif dtype in (pl.Int128, pl.UInt128):
                frame = frame.with_columns(pl.col(name).cast(pl.String))
                self._notices.append(f"{name}: integers of 20 digits and more are read as text")
            elif dtype == pl.Duration:
                self._notices.append(f"{name}: durations are read as numbers of days")
        if self.nested:
            self._notices.append(f"{shorten(list(self.nested))}: left out (lists or structs)")
        return frame

    # Errors.

    @property
    def _failure(self) -> str:
        return f"{self.path if self.path != STDIN else self.name} cannot be read as {self.kind.upper()}"

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn everything that reading raises into a TableError with the reason."""
        try:
            yield
        except UnicodeError as error:
            encoding = getattr(error, "encoding", self.dialect.encoding)
            raise TableError(f"{self._failure}: it is not valid {encoding} text. Pass another --encoding.") from None
        except (OSError, EOFError, csv.Error, pl.exceptions.PolarsError) as error:
            raise TableError(f"{self._failure}: {first_line(error)}") from None
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # raised by polars when its Rust code panics
                remedy = ". Save it as Parquet." if self.kind == "arrow" else ""
                raise TableError(f"{self._failure}: {first_line(error)}{remedy}") from None
            raise


def _scan_arrow(source: Any) -> pl.LazyFrame:
    """Return an Arrow file, or one in Arrow's stream format, which has the same suffix but no magic bytes."""
    begin = source.getvalue()[:6] if isinstance(source, BytesIO) else _first_bytes(source, 6)
    return pl.scan_ipc(source) if begin == b"ARROW1" else pl.read_ipc_stream(source).lazy()


def _first_bytes(path: Path, n: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(n)


_SCANNERS: dict[str, Callable[[Any], pl.LazyFrame]] = {
    "parquet": pl.scan_parquet,
    "arrow": _scan_arrow,
    "jsonl": lambda source: pl.scan_ndjson(source, infer_schema_length=None),
}


def with_numbers(frame: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Return a table with the named text columns converted to numbers, if every cell is one."""
    for name in names:
        if name in frame.columns and frame[name].dtype == pl.String:
            with suppress(pl.exceptions.PolarsError):
                frame = frame.with_columns(pl.col(name).cast(pl.Float64))
    return frame


# Writing.


def write_csv(frames: Iterable[pl.DataFrame], file: IO[bytes], separator: str = ",") -> None:
    """Write tables one after the other, under a single header."""
    for i, frame in enumerate(frames):
        # By way of a string, because polars does not report why writing to a file failed.
        file.write(frame.write_csv(separator=separator, include_header=i == 0).encode())


def _write_jsonl(frames: Iterable[pl.DataFrame], file: IO[bytes]) -> None:
    for frame in frames:
        frame.write_ndjson(file)


WRITERS: dict[str, Callable[[Iterable[pl.DataFrame], IO[bytes]], object]] = {
    ".csv": write_csv,
    ".tsv": lambda frames, file: write_csv(frames, file, "\t"),
    ".parquet": lambda frames, file: pl.concat(frames).write_parquet(file),
    ".arrow": lambda frames, file: pl.concat(frames).write_ipc(file),
    ".feather": lambda frames, file: pl.concat(frames).write_ipc(file),
    ".jsonl": _write_jsonl,
    ".ndjson": _write_jsonl,
}


def write_table(frames: Iterable[pl.DataFrame], path: Path) -> None:
    """Write tables one after the other to a file of the kind its suffix indicates. The file is complete or absent."""
    write = WRITERS[suffix_of(path, WRITERS)]
    write_whole(path, lambda file: write(frames, file))


# Paths.


def suffix_of(path: Path, table: Mapping[str, object]) -> str:
    """Return the longest key of `table` that is a suffix of the path; TableError lists them if none is."""
    suffixes = [suffix for suffix in table if path.name.lower().endswith(suffix)]
    if not suffixes:
        if path.is_dir():
            raise TableError(f"{path} is a directory, not a file")
        raise TableError(f"{path} must end in one of {' '.join(table)}")
    return max(suffixes, key=len)


def has_table_suffix(path: Path) -> bool:
    """Return whether the path ends like a table."""
    return path.name.lower().endswith(tuple(_KINDS))


def _require_readable(path: Path) -> None:
    """Raise TableError unless the path is a file that is not empty."""
    if not path.exists():
        raise TableError(f"{path}: no such file. The current directory is {Path.cwd()}.")
    if not path.is_file():
        raise TableError(f"{path} is a directory, not a file" if path.is_dir() else f"{path} is not a regular file")
    if not os.stat(path).st_size:
        raise TableError(f"{path} {_EMPTY}")


def require_writable(path: Path) -> None:
    """Raise TableError unless a file can be created at `path`: better before the work than after it."""
    if path.is_dir():
        raise TableError(f"{path} is a directory, not a file")
    if path.exists() and not path.is_file():
        raise TableError(f"{path} cannot be written: it is not a regular file")
    directory = path.parent
    if not directory.is_dir():
        raise TableError(f"{path} cannot be written: the directory {directory} does not exist. Create it first.")
    try:
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise TableError(f"{path} cannot be written: {error.strerror or error}. Choose another directory.") from None
