"""Files of tables: CSV and Parquet in and out, through polars."""

import gzip
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO

import polars as pl

from chainrule.data.reading import first_line
from chainrule.errors import TableError
from chainrule.model.file import write_whole

SEPARATORS = ",;\t|"


def read_csv(path: Path) -> pl.DataFrame:
    """Read separated values, compressed or not; the separator is the one that the header holds most of."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        header = file.readline(1 << 20).decode("utf-8", "replace")
    separator = max(SEPARATORS, key=header.count)
    # All rows tell what a column holds: the first decimal, or the first word, may stand in the last one.
    return pl.read_csv(path, separator=separator, infer_schema_length=None)


READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
    ".csv.gz": read_csv,
    ".tsv.gz": read_csv,
    ".parquet": pl.read_parquet,
}

WRITERS: dict[str, Callable[[pl.DataFrame, IO[bytes]], object]] = {
    ".csv": pl.DataFrame.write_csv,
    ".tsv": partial(pl.DataFrame.write_csv, separator="\t"),
    ".parquet": pl.DataFrame.write_parquet,
}


def read_table(path: Path) -> pl.DataFrame:
    """Return the table in a file; its name says how it is written. Raises TableError when it cannot be read."""
    suffix = suffix_of(path, READERS)
    if not path.exists():
        raise TableError(f"{path}: there is no such file; the present folder is {Path.cwd()}")
    if not path.is_file():
        raise TableError(f"{path} is a folder; name a file in it")
    if not os.stat(path).st_size:
        raise TableError(f"{path} is empty; it needs a line of column names and rows under it")
    try:
        return READERS[suffix](path)
    except (OSError, EOFError, pl.exceptions.PolarsError) as error:
        kind = suffix.lstrip(".").upper()
        raise TableError(f"{path} cannot be read as {kind}: {first_line(error)}") from None
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # what polars raises when its Rust code gives up
            raise TableError(f"{path} cannot be read: {first_line(error)}") from None
        raise


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a table as its name's ending says, whole or not at all."""
    write = WRITERS[suffix_of(path, WRITERS)]
    write_whole(path, lambda file: write(frame, file))


def suffix_of(path: Path, table: Mapping[str, Callable[..., object]]) -> str:
    """Return the longest ending in `table` that the path has; TableError lists them when it has none."""
    found = [suffix for suffix in table if path.name.lower().endswith(suffix)]
    if not found:
        raise TableError(f"{path} must end in one of {' '.join(table)}")
    return max(found, key=len)


def require_writable(path: Path) -> None:
    """Raise TableError unless a file can be made at `path`: better now than when the work is done."""
    if path.is_dir():
        raise TableError(f"{path} is a folder; name a file in it")
    folder = path.parent
    if not folder.is_dir():
        raise TableError(f"{path} cannot be written: there is no folder {folder}; make it first")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise TableError(f"{path} cannot be written: {error.strerror or error}; choose another folder") from None
