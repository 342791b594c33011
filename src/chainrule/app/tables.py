"""Reading and writing of table files: CSV in many dialects, Parquet, Arrow, JSON lines, and the standard streams.

The separator, encoding and decimal mark of a CSV file are detected from its beginning; unusual ones are reported in
`notices`. A table can be read whole, or in batches if it may be larger than memory.
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
BATCH_ROWS = 50_000

_SEPARATORS = ",;\t|"
_SAMPLE_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"PK\x03\x04": "zip"}
"""First bytes of binary files -> kind."""
_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}

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


@dataclass(frozen=True)
class _Dialect:
    """The format of a CSV file; the defaults are the most common one."""

    separator: str = ","
    encoding: str = "utf-8"
    decimal_comma: bool = False
    old_mac: bool = False
    padded: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether polars can read the file without conversion."""
        return self == _Dialect(self.separator)

    def notices(self, name: str) -> list[str]:
        """Return notices about the unusual properties of a file of this name."""
        notices = {
            "is not UTF-8; reading it as Windows-1252 (Western European)": self.encoding == "cp1252",
            "has decimal commas; reading them as decimal points": self.decimal_comma,
            "has whitespace around cells; stripping it": self.padded,
        }
        return [f"{name} {notice}" for notice, applies in notices.items() if applies]


def _detect_dialect(sample: bytes) -> tuple[_Dialect, list[str]]:
    """Return the dialect and the column names of a CSV file that begins with `sample`."""
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if sample.startswith(mark)), "utf-8")
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        encoding, text = "cp1252", sample.decode("cp1252", "replace")
    old_mac = "\n" not in text and "\r" in text
    text = text.replace("\r", "\n") if old_mac else text
    header = text.split("\n", 1)[0]
    separator = max(_SEPARATORS, key=header.count)
    decimal_comma = separator != "," and bool(re.search(r"\d,\d", text)) and not re.search(r"\d\.\d", text)
    names = next(csv.reader([header], delimiter=separator), [])
    padded = any(name != name.strip() for name in names)
    return _Dialect(separator, encoding, decimal_comma, old_mac, padded), names


class TableFile:
    """A table in a file, or on standard input if `path` is "-". `kind` overrides the kind the file's name indicates."""

    def __init__(self, path: Path, kind: str | None = None) -> None:
        self.path = path
        self.kind = kind or (_KINDS[suffix_of(path, _KINDS)] if path != STDIN else "csv")
        self.notices: list[str] = []
        self.dialect = _Dialect()
        self.open: Callable[..., Any] = open
        self.source: Path | bytes = sys.stdin.buffer.read() if path == STDIN else path
        self.name = "standard input" if path == STDIN else path.name
        if path != STDIN:
            _require_readable(path)
        elif not self.source:
            raise TableError(f"standard input {_EMPTY}")
        self._detect_kind()
        if self.kind == "csv":
            self._read_header()

    def read(self, text: Iterable[str] = ()) -> pl.DataFrame:
        """Return the whole table. The columns named in `text` are read as text, so that 01 stays 01.

        Raises TableError with the line and the reason if the file cannot be read.
        """
        with self._readable():
            if self.kind != "csv":
                return _SCANNERS[self.kind](self._opened()).collect()
            # Types are inferred from all rows: the first decimal, or the first word, may be in the last one.
            options: dict[str, Any] = {"separator": self.dialect.separator, "decimal_comma": self.dialect.decimal_comma}
            content = self._stripped() if self.dialect.padded else self._decoded()
            types = dict.fromkeys(text, pl.String)
            frame = pl.read_csv(content, infer_schema_length=None, schema_overrides=types, **options)
            self.notices += self._short_lines()
        return frame

    def batches(self, text: Iterable[str] = ()) -> Iterator[pl.DataFrame]:
        """Yield the rows in order, in at least one batch, so that they need not fit into memory.

        All cells of a CSV file are text, because a batch does not show the type of its columns: see `with_numbers`. The
        columns named in `text` are text in every case.
        """
        if self.kind == "csv" and not self.dialect.is_plain:
            frames: Iterable[pl.DataFrame] = self.read(text).iter_slices(BATCH_ROWS)
        elif self.kind == "csv":
            lazy = pl.scan_csv(self._opened(), separator=self.dialect.separator, infer_schema=False)
            frames = lazy.collect_batches(chunk_size=BATCH_ROWS)
        else:
            frames = _SCANNERS[self.kind](self._opened()).collect_batches(chunk_size=BATCH_ROWS)
        any_batch = False
        with self._readable():
            for frame in frames:
                any_batch = True
                yield frame
            if not any_batch:
                yield self.read()

    def _detect_kind(self) -> None:
        """Replace the kind CSV by the one that the first bytes indicate, and open compressed files as such."""
        if self.kind != "csv":
            return
        with self._readable():
            begin = self.source[:6] if isinstance(self.source, bytes) else _first_bytes(self.source, 6)
            if begin.startswith(_GZIP):
                if isinstance(self.source, bytes):
                    self.source = gzip.decompress(self.source)
                self.open = gzip.open
        detected = next((kind for magic, kind in _MAGIC.items() if begin.startswith(magic)), None)
        if detected == "zip":
            raise TableError(f"{self.name} is an Excel workbook or another zip archive. Save the table as CSV.")
        if detected is not None:
            kind = detected.capitalize()
            self.notices.append(
                f"{self.name} is {'an' if kind[0] in 'AEIOU' else 'a'} {kind} file; reading it as {kind}"
            )
            self.kind = detected

    def _read_header(self) -> None:
        """Detect the dialect of a CSV file; raise TableError if two columns have the same name."""
        self.dialect, names = _detect_dialect(self._sample())
        self.notices += self.dialect.notices(self.name)
        duplicates = sorted({name for name in names if name and names.count(name) > 1})
        if duplicates:
            raise TableError(f"{self.name} must have unique column names, got {duplicates[0]!r} more than once")

    def _sample(self) -> bytes:
        """Return the first bytes, decompressed."""
        if isinstance(self.source, bytes):
            return self.source[:_SAMPLE_BYTES]
        with self._readable():
            if self.source.suffix == ".zst":
                lines = pl.read_csv(self.source, separator="\x01", has_header=False, quote_char=None, n_rows=100)
                return "\n".join(lines.to_series().drop_nulls().cast(pl.String).to_list()).encode()
            with self.open(self.source, "rb") as file:
                return bytes(file.read(_SAMPLE_BYTES))

    def _opened(self) -> Path | BytesIO:
        """Return the source in a form polars reads."""
        return BytesIO(self.source) if isinstance(self.source, bytes) else self.source

    def _decoded(self) -> Path | BytesIO:
        """Return the text of a CSV file in UTF-8, in a form polars reads."""
        if self.dialect.encoding == "utf-8" and not self.dialect.old_mac:
            return self._opened()
        if isinstance(self.source, bytes):
            content = self.source
        else:
            with self.open(self.source, "rb") as file:
                content = file.read()
        text = content.decode(self.dialect.encoding, "replace")
        return BytesIO((text.replace("\r", "\n") if self.dialect.old_mac else text).encode())

    def _stripped(self) -> BytesIO:
        """Return the text of a CSV file without whitespace around column names and cells."""
        frame = pl.read_csv(self._decoded(), separator=self.dialect.separator, infer_schema=False)
        frame = frame.rename(str.strip).with_columns(pl.all().str.strip_chars().replace({"": None}))
        return BytesIO(frame.write_csv(separator=self.dialect.separator).encode())

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn everything that reading raises into a TableError with the line, if it is known, and the reason."""
        failure = f"{self.path if self.path != STDIN else self.name} cannot be read as {self.kind.upper()}"
        try:
            yield
        except (OSError, EOFError, UnicodeError, pl.exceptions.PolarsError) as error:
            raise TableError(f"{failure}: {self._long_line() or first_line(error)}") from None
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # raised by polars when its Rust code panics
                remedy = ". Save it as Parquet." if self.kind == "arrow" else ""
                raise TableError(f"{failure}: {first_line(error)}{remedy}") from None
            raise

    def _short_lines(self) -> list[str]:
        """Return a notice if lines have fewer fields than the header."""
        lines = pl.read_csv(self._decoded(), separator="\x01", has_header=False, quote_char=None, infer_schema=False)
        line = pl.col(lines.columns[0])
        if lines.select((line.str.count_matches('"') % 2 == 1).any()).item():  # a quoted field spans several lines
            return []
        fields = lines.select(
            line.str.replace_all('"[^"]*"', "").str.count_matches(self.dialect.separator, literal=True)
        )
        short = (fields.to_series() < fields.item(0, 0)).fill_null(value=False).arg_true()
        if not len(short):
            return []
        subject = "1 line has" if len(short) == 1 else f"{len(short):,} lines have"
        first = f"the first is line {short[0] + 1}"
        return [f"{self.name}: {subject} too few fields, {first}; missing fields are treated as empty"]

    def _long_line(self) -> str:
        """Return which line in the sample of a CSV file has more fields than the header, or an empty string."""
        if self.kind != "csv":
            return ""
        with suppress(Exception):
            rows = csv.reader(
                StringIO(self._sample().decode(self.dialect.encoding, "replace")), delimiter=self.dialect.separator
            )
            header = next(rows)
            for row in rows:
                if len(row) > len(header):
                    return f"line {rows.line_num} has {len(row)} fields, but the header has {len(header)} columns"
        return ""


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
