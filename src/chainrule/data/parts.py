"""Sources: files, lazy DataFrames and datasets, which are read in parts and need not fit into memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from glob import glob
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.errors import MissingExtraError, TableError, first_line

if TYPE_CHECKING:
    from chainrule.data.survey import Parts

KINDS = {
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
"""Suffix of a table to read -> kind."""


def parts_of(source: object) -> Parts | None:
    """Return the parts of a file, a folder, a pattern such as "2024-*.csv", a polars LazyFrame or a pyarrow Dataset.

    None for anything else. Raises TableError for a path without files of a known format.
    """
    if isinstance(source, str | os.PathLike):
        return _batches(_scan_path(Path(source)))
    if hasattr(source, "collect_batches"):
        return _batches(source)
    if hasattr(source, "to_batches") and hasattr(source, "get_fragments"):
        return _batches_of_dataset(source)
    return None


def files_of(path: Path) -> list[Path]:
    """Return the tables in a folder, or that match a pattern, sorted; or the file itself."""
    if path.is_dir():
        return sorted(of for of in path.rglob("*") if of.is_file() and of.name.lower().endswith(tuple(KINDS)))
    is_pattern = any(mark in str(path) for mark in "*?[") and not path.exists()
    return sorted(map(Path, glob(str(path), recursive=True))) if is_pattern else [path]


def scan(files: Sequence[Path], kind: str) -> Any:
    """Return files of one kind, one after the other, as a polars LazyFrame."""
    try:
        polars = import_module("polars")
    except ImportError:
        raise MissingExtraError("reading a file in parts", "cli") from None
    frames = [_SCANNERS[kind](polars, path) for path in files]
    return frames[0] if len(frames) == 1 else polars.concat(frames)


def _scan_path(path: Path) -> Any:
    files = files_of(path)
    kinds = {kind for of in files for suffix, kind in KINDS.items() if of.name.lower().endswith(suffix)}
    if len(kinds) != 1:
        found = " and ".join(sorted(kinds)) or "no table"
        raise TableError(f"{path} must be files of one kind, {', '.join(KINDS)}, got {found}")
    return scan(files, kinds.pop())


def _scan_arrow(polars: Any, path: Path) -> Any:
    """Return an Arrow file, or one in Arrow's stream format, which has the same suffix but no magic bytes."""
    with path.open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
    return polars.scan_ipc(path) if is_file else polars.read_ipc_stream(path).lazy()


def _scan_csv(polars: Any, path: Path) -> Any:
    separator = "\t" if ".tsv" in path.name.lower() else ","
    return polars.scan_csv(path, separator=separator, infer_schema_length=None)


_SCANNERS: dict[str, Callable[[Any, Path], Any]] = {
    "csv": _scan_csv,
    "parquet": lambda polars, path: polars.scan_parquet(path),
    "arrow": _scan_arrow,
    "jsonl": lambda polars, path: polars.scan_ndjson(path, infer_schema_length=None),
}
"""From a kind of file to how polars scans it. All rows of a text file decide the types of its columns."""


def _batches(frame: Any) -> Parts:
    def parts(n_rows: int) -> Iterable[object]:
        try:
            yield from frame.collect_batches(chunk_size=n_rows)
        except Exception as error:
            if type(error).__module__.startswith("polars"):
                raise TableError(f"the table cannot be read: {first_line(error)}") from None
            raise

    return parts


def _batches_of_dataset(dataset: Any) -> Parts:
    table = import_module("pyarrow").Table

    def parts(n_rows: int) -> Iterable[object]:
        for batch in dataset.to_batches(batch_size=n_rows, batch_readahead=1, fragment_readahead=1):
            yield table.from_batches([batch])

    return parts
