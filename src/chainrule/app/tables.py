"""Reading and writing of table files: CSV, Parquet, Arrow, JSON lines, and the standard streams."""

import csv
import gzip
import hashlib
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import polars as pl

from chainrule.app.csv_file import CsvFile, Show
from chainrule.app.dialects import Reading
from chainrule.app.paths import EMPTY, MODEL_BEGIN, OUTPUT_KINDS, STDIN, kind_of, require_table, shown
from chainrule.data.parts import files_of, scan
from chainrule.data.survey import Parts
from chainrule.errors import TableError, first_line, shorten
from chainrule.files.archive import write_whole

BATCH_ROWS = 50_000

_GZIP = b"\x1f\x8b"
_MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"PK\x03\x04": "zip"}
"""First bytes of binary files -> kind."""


class TableFile:
    """A table in a file, or on standard input if `path` is "-". `kind` overrides the kind the file's name indicates.

    Standard input is copied to a temporary file, because detection and several formats need to read it twice: it may be
    larger than memory, and is deleted with the object.
    """

    def __init__(self, path: Path, kind: str | None = None, reading: Reading | None = None) -> None:
        self.path, self.kind = path, require_table(path, kind)
        self.name = shown(path) if path == STDIN else path.name
        self.reading = reading or Reading()
        self.noted: list[str] = []
        source = self._spooled() if path == STDIN else path
        self._sources = files_of(source)
        if not os.stat(self._sources[0]).st_size:
            raise TableError(f"{self.name} {EMPTY}")
        with self._readable():
            self.content = self._opened(self._sources[0])
            if isinstance(self.content, CsvFile):
                self.content.following = [self._csv(of, of.name) for of in self._sources[1:]]

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes of the file, or of all files one after the other, in hexadecimal."""
        total = hashlib.sha256()
        for path in self._sources:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    total.update(block)
        return total.hexdigest()

    @property
    def notices(self) -> list[str]:
        """Notices about how the table is read, complete once it has been read."""
        return list(dict.fromkeys([*self.noted, *self.content.notices]))

    @property
    def state(self) -> dict[str, Any]:
        """What `Reading.trained` takes to read files of the same kind alike."""
        return self.content.state

    @property
    def fraction(self) -> float | None:
        """The fraction of the file that has been read, if it is known."""
        return self.content.fraction

    @property
    def nested(self) -> dict[str, str]:
        """The columns of lists and structs, which are left out, with their types."""
        return self.content.nested

    def read(self, text: Iterable[str] = (), show: Show = lambda rows, fraction: None) -> pl.DataFrame:
        """Return the whole table. The columns named in `text` are read as text, so that 01 stays 01.

        Raises TableError with the line and the reason if the file cannot be read.
        """
        with self._readable():
            return self.content.read(frozenset(text), show)

    def batches(self, text: Iterable[str] = (), numbers: Iterable[str] = ()) -> Iterator[pl.DataFrame]:
        """Yield the rows in order, in at least one batch, so that they need not fit into memory.

        All cells of a CSV file are text, because a batch does not show the type of its columns: see `with_numbers`. The
        columns named in `numbers` may be numbers already, those in `text` are text in every case.
        """
        with self._readable():
            yield from self.content.batches(frozenset(text), BATCH_ROWS, frozenset(numbers))

    def parts(self, text: Iterable[str] = ()) -> Parts:
        """Return the table as `read` does, in order and in parts of about a number of rows."""
        names = frozenset(text)

        def parts(n_rows: int) -> Iterator[pl.DataFrame]:
            with self._readable():
                yield from self.content.parts(names, n_rows)

        return parts

    @property
    def n_cells(self) -> float:
        """About the number of cells."""
        with self._readable():
            return self.content.n_cells

    def require_scalars(self, names: Iterable[str]) -> None:
        """Raise TableError if one of the names is a column of lists or structs, which is left out."""
        for name in names:
            if name in self.nested:
                raise TableError(f"column {name!r} must contain scalars, got {self.nested[name]}")

    def _spooled(self) -> Path:
        """Copy standard input to a temporary file."""
        with tempfile.NamedTemporaryFile(prefix="chainrule-", delete=False) as file:
            weakref.finalize(self, Path(file.name).unlink, missing_ok=True)
            shutil.copyfileobj(sys.stdin.buffer, file)
        return Path(file.name)

    def _opened(self, source: Path) -> "CsvFile | _ColumnarFile":
        """Return the content, of the kind that the first bytes indicate if it is not CSV after all."""
        begin = _first_bytes(source, 24) if self.kind == "csv" else b""
        detected = next((kind for magic, kind in _MAGIC.items() if begin.startswith(magic)), None)
        if begin[8:].startswith(MODEL_BEGIN):
            raise TableError(f"{self.name} is a model or a checkpoint, not a table.")
        if detected == "zip":
            raise TableError(f"{self.name} is an Excel workbook or another zip archive. Save the table as CSV.")
        if detected is not None:
            article = "an" if detected[0] in "aeiou" else "a"
            self.noted.append(
                f"{self.name} is {article} {detected.capitalize()} file; reading it as {detected.capitalize()}"
            )
            self.kind = detected
        if self.kind == "csv":
            return self._csv(source, self.name)
        if self.reading.choices:
            option = self.reading.choices[0]
            raise TableError(f"{option} applies to CSV only, got {self.name}, {self.kind.capitalize()}")
        return _ColumnarFile(self._sources, self.kind)

    def _csv(self, source: Path, name: str) -> CsvFile:
        decompress = gzip.open if _first_bytes(source, 2) == _GZIP else open
        return CsvFile(source, decompress, self.reading, name, self._failure)

    @property
    def _failure(self) -> str:
        return f"{shown(self.path)} cannot be read as {self.kind.upper()}"

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn everything that reading raises into a TableError with the reason."""
        try:
            yield
        except UnicodeError as error:
            encoding = getattr(error, "encoding", self.reading.encoding or "Unicode")
            raise TableError(f"{self._failure}: it is not valid {encoding} text. Pass another --encoding.") from None
        except (OSError, EOFError, csv.Error, pl.exceptions.PolarsError) as error:
            raise TableError(f"{self._failure}: {first_line(error)}") from None
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # raised by polars when its Rust code panics
                remedy = ". Save it as Parquet." if self.kind == "arrow" else ""
                raise TableError(f"{self._failure}: {first_line(error)}{remedy}") from None
            raise


class _ColumnarFile:
    """A table in files whose columns have types, read by polars."""

    fraction = None

    def __init__(self, sources: Sequence[Path], kind: str) -> None:
        self.scan: Callable[[], pl.LazyFrame] = partial(scan, sources, kind)
        self.state: dict[str, Any] = {}
        self.notices: list[str] = []
        self.nested: dict[str, str] = {}

    def read(self, text: frozenset[str], show: Show) -> pl.DataFrame:
        return self._without_nested(self.scan().collect())

    def batches(
        self, text: frozenset[str], n_rows: int, numbers: frozenset[str] = frozenset()
    ) -> Iterator[pl.DataFrame]:
        """Yield the table in order, in at least one part of about `n_rows` rows."""
        any_batch = False
        for frame in self.scan().collect_batches(chunk_size=n_rows):
            any_batch = True
            yield self._without_nested(frame)
        if not any_batch:
            yield self._without_nested(self.scan().collect())

    parts = batches

    @property
    def n_cells(self) -> float:
        """The number of cells."""
        return float(self.scan().select(pl.len()).collect().item() * len(self.scan().collect_schema()))

    def _without_nested(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a table without columns of lists and structs, and with integers too large for NumPy as text."""
        for name, dtype in frame.schema.items():
            if dtype.is_nested() or dtype == pl.Object:
                self.nested[name] = str(dtype)
                frame = frame.drop(name)
            elif dtype in (pl.Int128, pl.UInt128):
                frame = frame.with_columns(pl.col(name).cast(pl.String))
                self.notices.append(f"{name}: integers of 20 digits and more are read as text")
            elif dtype == pl.Duration:
                self.notices.append(f"{name}: durations are read as numbers of days")
        if self.nested:
            self.notices.append(f"{shorten(list(self.nested))}: left out (lists or structs)")
        return frame


def _first_bytes(path: Path, n: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(n)


def with_numbers(frame: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Return a table with the named text columns converted to numbers, if every cell is one."""
    text = frame.select([name for name in names if frame.schema.get(name) == pl.String])
    numbers = text.cast(pl.Float64, strict=False)  # null where a cell is no number; all columns at once, in parallel
    return frame.with_columns([cells for cells in numbers if cells.null_count() == text[cells.name].null_count()])


# Writing.


def write_csv(frames: Iterable[pl.DataFrame], file: IO[bytes], separator: str = ",") -> None:
    """Write tables one after the other, under a single header."""
    for i, frame in enumerate(frames):
        # By way of a string, because polars does not report why writing to a file failed.
        file.write(frame.write_csv(separator=separator, include_header=i == 0).encode())


def _write_jsonl(frames: Iterable[pl.DataFrame], file: IO[bytes]) -> None:
    for frame in frames:
        frame.write_ndjson(file)


_WRITERS: dict[str, Callable[[Iterable[pl.DataFrame], IO[bytes]], object]] = {
    "csv": write_csv,
    "tsv": lambda frames, file: write_csv(frames, file, "\t"),
    "parquet": lambda frames, file: pl.concat(frames).write_parquet(file),
    "arrow": lambda frames, file: pl.concat(frames).write_ipc(file),
    "jsonl": _write_jsonl,
}


def write_table(frames: Iterable[pl.DataFrame], path: Path) -> None:
    """Write tables one after the other to a file of the kind its suffix indicates. The file is complete or absent."""
    write = _WRITERS[kind_of(path, OUTPUT_KINDS)]
    write_whole(path, lambda file: write(frames, file))
