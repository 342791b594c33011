"""Sources: files, lazy DataFrames and datasets, which are read in parts and need not fit into memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from glob import glob
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.errors import MissingExtraError, TableError, first_line

if TYPE_CHECKING:
    from chainrule.data.survey import Parts

_SCANNERS: dict[str, Callable[[Any, list[Path]], Any]] = {
    ".parquet": lambda pl, paths: pl.scan_parquet(paths),
    ".arrow": lambda pl, paths: pl.scan_ipc(paths),
    ".feather": lambda pl, paths: pl.scan_ipc(paths),
    ".ipc": lambda pl, paths: pl.scan_ipc(paths),
    ".csv": lambda pl, paths: pl.scan_csv(paths, infer_schema_length=10_000),
    ".tsv": lambda pl, paths: pl.scan_csv(paths, infer_schema_length=10_000, separator="\t"),
    ".jsonl": lambda pl, paths: pl.scan_ndjson(paths, infer_schema_length=10_000),
}
"""From the suffix of files to the function that scans them with polars."""


def parts_of(source: object) -> Parts | None:
    """Return the parts of a file, a folder, a pattern such as "2024-*.csv", a polars LazyFrame or a pyarrow Dataset.

    None for anything else. Raises TableError for a path without files of a known format.
    """
    if isinstance(source, str | os.PathLike):
        return _batches(_scan(Path(source)))
    if hasattr(source, "collect_batches"):
        return _batches(source)
    if hasattr(source, "to_batches") and hasattr(source, "get_fragments"):
        return _batches_of_dataset(source)
    return None


def files_of(path: Path, suffixes: Iterable[str]) -> list[Path]:
    """Return the files in a folder that end so, the files that match a pattern, both sorted, or the file itself."""
    if path.is_dir():
        return sorted(of for of in path.rglob("*") if of.is_file() and of.name.lower().endswith(tuple(suffixes)))
    is_pattern = any(mark in str(path) for mark in "*?[") and not path.exists()
    return sorted(map(Path, glob(str(path), recursive=True))) if is_pattern else [path]


def _scan(path: Path) -> Any:
    files = files_of(path, _SCANNERS)
    suffixes = {of.suffix.lower() for of in files}
    if len(suffixes) != 1 or not suffixes <= _SCANNERS.keys():
        kinds = ", ".join(_SCANNERS)
        raise TableError(f"{path} must be files of one kind, {kinds}, got {', '.join(sorted(suffixes)) or 'no file'}")
    try:
        polars = import_module("polars")
    except ImportError:
        raise MissingExtraError("reading a file in parts", "cli") from None
    return _SCANNERS[suffixes.pop()](polars, files)


def _batches_of_dataset(dataset: Any) -> Parts:
    table = import_module("pyarrow").Table

    def parts(n_rows: int) -> Iterable[object]:
        for batch in dataset.to_batches(batch_size=n_rows, batch_readahead=1, fragment_readahead=1):
            yield table.from_batches([batch])

    return parts


def _batches(frame: Any) -> Parts:
    def parts(n_rows: int) -> Iterable[object]:
        try:
            yield from frame.collect_batches(chunk_size=n_rows)
        except Exception as error:
            if type(error).__module__.startswith("polars"):
                raise TableError(f"the table cannot be read: {first_line(error)}") from None
            raise

    return parts
