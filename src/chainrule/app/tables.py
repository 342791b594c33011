"""Files of tables, in and out: CSV of any dialect, Parquet, Arrow, JSON lines, and the standard streams.

A CSV file's separator, encoding and decimal mark are found by looking at its beginning; what was not plain is told in
`notices`. A table can be read whole, or in batches where it may be larger than memory.
"""

import codecs
import csv
import gzip
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import IO, Any

import polars as pl

from chainrule.archive import write_whole
from chainrule.errors import TableError, first_line

STDIN = Path("-")
SEPARATORS = ",;\t|"
SAMPLE_BYTES = 1 << 20
BATCH_ROWS = 50_000
GZIP = b"\x1f\x8b"
BINARY = {b"PAR1": "parquet", b"ARROW1": "arrow", b"PK\x03\x04": "zip"}
"""What files that are no text begin with."""
MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}

ENDINGS = {
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
"""What a file's name ends in -> its kind."""


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written; unless told, as most are."""

    separator: str = ","
    encoding: str = "utf-8"
    decimal_comma: bool = False
    old_mac: bool = False
    padded: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether polars reads it as it is."""
        return self == Dialect(self.separator)

    def notices(self, name: str) -> list[str]:
        """Return what a person should know of a file of this name."""
        told = {
            "is not UTF-8; it is read as Windows-1252, Western European": self.encoding == "cp1252",
            "writes decimals with a comma": self.decimal_comma,
            "has blanks around its cells; they are taken off": self.padded,
        }
        return [f"{name} {notice}" for notice, holds in told.items() if holds]


def dialect_of(sample: bytes) -> tuple[Dialect, list[str]]:
    """Return how a CSV file that begins so is written, and what its columns are called."""
    encoding = next((name for mark, name in MARKS.items() if sample.startswith(mark)), "utf-8")
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        encoding, text = "cp1252", sample.decode("cp1252", "replace")
    old_mac = "\n" not in text and "\r" in text
    text = text.replace("\r", "\n") if old_mac else text
    header = text.split("\n", 1)[0]
    separator = max(SEPARATORS, key=header.count)
    decimal_comma = separator != "," and bool(re.search(r"\d,\d", text)) and not re.search(r"\d\.\d", text)
    names = next(csv.reader([header], delimiter=separator), [])
    padded = any(name != name.strip() for name in names)
    return Dialect(separator, encoding, decimal_comma, old_mac, padded), names


class TableFile:
    """A file of a table, or standard input where `path` is "-", whose `kind` must be told."""

    def __init__(self, path: Path, kind: str | None = None) -> None:
        self.path = path
        self.kind = kind or (ENDINGS[suffix_of(path, ENDINGS)] if path != STDIN else "csv")
        self.notices: list[str] = []
        self.dialect = Dialect()
        self.open: Callable[..., Any] = open
        self.source: Path | bytes = sys.stdin.buffer.read() if path == STDIN else path
        self.name = "standard input" if path == STDIN else path.name
        if path != STDIN:
            require_readable(path)
        elif not self.source:
            raise TableError("standard input is empty; it needs a line of column names and rows under it")
        self.recognize()
        if self.kind == "csv":
            self.look()

    def recognize(self) -> None:
        """Take a file that is called CSV for what its first bytes say it is."""
        if self.kind != "csv":
            return
        with self.readable():
            begin = self.source[:6] if isinstance(self.source, bytes) else first_bytes(self.source, 6)
            if begin.startswith(GZIP):
                if isinstance(self.source, bytes):
                    self.source = gzip.decompress(self.source)
                self.open = gzip.open
        found = next((kind for mark, kind in BINARY.items() if begin.startswith(mark)), None)
        if found == "zip":
            raise TableError(f"{self.name} is an Excel workbook or another zip file; save the table as CSV")
        if found is not None:
            self.notices.append(f"{self.name} is no CSV file but {found.capitalize()}, and read as that")
            self.kind = found

    def look(self) -> None:
        """See by a CSV file's first lines how it is written; TableError where two columns have one name."""
        self.dialect, names = dialect_of(self.sample())
        self.notices += self.dialect.notices(self.name)
        twice = sorted({name for name in names if name and names.count(name) > 1})
        if twice:
            raise TableError(f"{self.name} must name its columns differently, got {twice[0]!r} is there twice")

    def sample(self) -> bytes:
        """Return the first bytes, decompressed."""
        if isinstance(self.source, bytes):
            return self.source[:SAMPLE_BYTES]
        with self.readable():
            if self.source.suffix == ".zst":
                lines = pl.read_csv(self.source, separator="\x01", has_header=False, quote_char=None, n_rows=100)
                return "\n".join(lines.to_series().drop_nulls().cast(pl.String).to_list()).encode()
            with self.open(self.source, "rb") as file:
                return bytes(file.read(SAMPLE_BYTES))

    def read(self, words: Iterable[str] = ()) -> pl.DataFrame:
        """Return the whole table, the columns named in `words` as a CSV file writes them: 01 is no number there.

        TableError tells what cannot be read.
        """
        with self.readable():
            if self.kind != "csv":
                return SCANNERS[self.kind](self.opened()).collect()
            # All rows tell what a column holds: the first decimal, or the first word, may stand in the last one.
            options: dict[str, Any] = {"separator": self.dialect.separator, "decimal_comma": self.dialect.decimal_comma}
            text = self.without_blanks() if self.dialect.padded else self.text()
            kinds = dict.fromkeys(words, pl.String)
            frame = pl.read_csv(text, infer_schema_length=None, schema_overrides=kinds, **options)
            self.notices += self.short_lines()
        return frame

    def batches(self, words: Iterable[str] = ()) -> Iterator[pl.DataFrame]:
        """Yield the rows in order, some at a time, so that they need not fit into memory; one batch at least.

        The cells of a CSV file, whose columns have no types, are text, those of `words` always: see `with_numbers`.
        """
        if self.kind == "csv" and not self.dialect.is_plain:
            frames: Iterable[pl.DataFrame] = self.read(words).iter_slices(BATCH_ROWS)
        elif self.kind == "csv":
            lazy = pl.scan_csv(self.opened(), separator=self.dialect.separator, infer_schema=False)
            frames = lazy.collect_batches(chunk_size=BATCH_ROWS)
        else:
            frames = SCANNERS[self.kind](self.opened()).collect_batches(chunk_size=BATCH_ROWS)
        some = False
        with self.readable():
            for frame in frames:
                some = True
                yield frame
            if not some:
                yield self.read()

    def opened(self) -> Path | BytesIO:
        """Return what polars reads from."""
        return BytesIO(self.source) if isinstance(self.source, bytes) else self.source

    def text(self) -> Path | BytesIO:
        """Return what polars reads text from, in UTF-8."""
        if self.dialect.encoding == "utf-8" and not self.dialect.old_mac:
            return self.opened()
        if isinstance(self.source, bytes):
            content = self.source
        else:
            with self.open(self.source, "rb") as file:
                content = file.read()
        text = content.decode(self.dialect.encoding, "replace")
        return BytesIO((text.replace("\r", "\n") if self.dialect.old_mac else text).encode())

    def without_blanks(self) -> BytesIO:
        """Return the text without the blanks around columns' names and cells."""
        frame = pl.read_csv(self.text(), separator=self.dialect.separator, infer_schema=False)
        frame = frame.rename(str.strip).with_columns(pl.all().str.strip_chars().replace({"": None}))
        return BytesIO(frame.write_csv(separator=self.dialect.separator).encode())

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Turn whatever reading raises into a TableError that says where the trouble is."""
        told = f"{self.path if self.path != STDIN else self.name} cannot be read as {self.kind.upper()}"
        try:
            yield
        except (OSError, EOFError, UnicodeError, pl.exceptions.PolarsError) as error:
            raise TableError(f"{told}: {self.ragged_row() or first_line(error)}") from None
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # what polars raises when its Rust code gives up
                hint = "; save it as Parquet" if self.kind == "arrow" else ""
                raise TableError(f"{told}: {first_line(error)}{hint}") from None
            raise

    def short_lines(self) -> list[str]:
        """Return a notice where lines have fewer cells than the header: what they lack counts as missing."""
        lines = pl.read_csv(self.text(), separator="\x01", has_header=False, quote_char=None, infer_schema=False)
        line = pl.col(lines.columns[0])
        if lines.select((line.str.count_matches('"') % 2 == 1).any()).item():  # quoted cells of several lines
            return []
        cells = lines.select(
            line.str.replace_all('"[^"]*"', "").str.count_matches(self.dialect.separator, literal=True)
        )
        short = (cells.to_series() < cells.item(0, 0)).fill_null(value=False).arg_true()
        if not len(short):
            return []
        told = "1 line has" if len(short) == 1 else f"{len(short):,} lines have"
        return [
            f"{self.name}: {told} too few cells, the first is line {short[0] + 1}; what they lack counts as missing"
        ]

    def ragged_row(self) -> str:
        """Return which line of a CSV file has more cells than the header, if one of the first has."""
        if self.kind != "csv":
            return ""
        with suppress(Exception):
            rows = csv.reader(
                StringIO(self.sample().decode(self.dialect.encoding, "replace")), delimiter=self.dialect.separator
            )
            header = next(rows)
            for row in rows:
                if len(row) > len(header):
                    return f"line {rows.line_num} has {len(row)} cells, and the header names {len(header)} columns"
        return ""


def scan_arrow(source: Any) -> pl.LazyFrame:
    """Return an Arrow file, or the stream format under the same name, which has no such mark at its beginning."""
    begin = source.getvalue()[:6] if isinstance(source, BytesIO) else first_bytes(source, 6)
    return pl.scan_ipc(source) if begin == b"ARROW1" else pl.read_ipc_stream(source).lazy()


def first_bytes(path: Path, n: int) -> bytes:
    """Return the first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(n)


SCANNERS: dict[str, Callable[[Any], pl.LazyFrame]] = {
    "parquet": pl.scan_parquet,
    "arrow": scan_arrow,
    "jsonl": lambda source: pl.scan_ndjson(source, infer_schema_length=None),
}


def with_numbers(frame: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Return a table whose columns of text are numbers where they are named and every cell is one."""
    for name in names:
        if name in frame.columns and frame[name].dtype == pl.String:
            with suppress(pl.exceptions.PolarsError):
                frame = frame.with_columns(pl.col(name).cast(pl.Float64))
    return frame


# Writing.


def write_csv(frames: Iterable[pl.DataFrame], file: IO[bytes], separator: str = ",") -> None:
    """Write tables under each other, one header above."""
    for i, frame in enumerate(frames):
        # Through a text, for polars does not say what went wrong with a file that it writes to.
        file.write(frame.write_csv(separator=separator, include_header=i == 0).encode())


def write_jsonl(frames: Iterable[pl.DataFrame], file: IO[bytes]) -> None:
    """Write a JSON object a row."""
    for frame in frames:
        frame.write_ndjson(file)


WRITERS: dict[str, Callable[[Iterable[pl.DataFrame], IO[bytes]], object]] = {
    ".csv": write_csv,
    ".tsv": lambda frames, file: write_csv(frames, file, "\t"),
    ".parquet": lambda frames, file: pl.concat(frames).write_parquet(file),
    ".arrow": lambda frames, file: pl.concat(frames).write_ipc(file),
    ".feather": lambda frames, file: pl.concat(frames).write_ipc(file),
    ".jsonl": write_jsonl,
    ".ndjson": write_jsonl,
}


def write_table(frames: Iterable[pl.DataFrame], path: Path) -> None:
    """Write tables under each other as the name's ending says, whole or not at all."""
    write = WRITERS[suffix_of(path, WRITERS)]
    write_whole(path, lambda file: write(frames, file))


# Places.


def suffix_of(path: Path, table: Mapping[str, object]) -> str:
    """Return the longest ending in `table` that the path has; TableError lists them when it has none."""
    found = [suffix for suffix in table if path.name.lower().endswith(suffix)]
    if not found:
        if path.is_dir():
            raise TableError(f"{path} is a folder; name a file in it")
        raise TableError(f"{path} must end in one of {' '.join(table)}")
    return max(found, key=len)


def require_readable(path: Path) -> None:
    """Raise TableError unless there is a file with something in it."""
    if not path.exists():
        raise TableError(f"{path}: there is no such file; the present folder is {Path.cwd()}")
    if not path.is_file():
        raise TableError(f"{path} is a folder; name a file in it")
    if not os.stat(path).st_size:
        raise TableError(f"{path} is empty; it needs a line of column names and rows under it")


def require_writable(path: Path) -> None:
    """Raise TableError unless a file can be made at `path`: better now than when the work is done."""
    if path.is_dir():
        raise TableError(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise TableError(f"{path} cannot be written: it is a pipe or a device; name a file")
    folder = path.parent
    if not folder.is_dir():
        raise TableError(f"{path} cannot be written: there is no folder {folder}; make it first")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise TableError(f"{path} cannot be written: {error.strerror or error}; choose another folder") from None
