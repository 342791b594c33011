"""Paths: the kind of file that a name indicates, and checks that come before any work."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from chainrule.data.parts import KINDS, files_of
from chainrule.errors import ModelFileError, TableError

STDIN = Path("-")

OUTPUT_KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""Suffix of a table to write -> kind."""
FIGURE_KINDS = {".png": "png", ".svg": "svg", ".pdf": "pdf"}
"""Suffix of a figure -> kind."""
MODEL_BEGIN = b'{"__metadata__":'
"""What a model or a checkpoint has from its ninth byte on."""
EMPTY = "is empty. A table needs a header line with column names, followed by rows."


def shown(path: Path) -> str:
    """Return a path as messages name it."""
    return "standard input" if path == STDIN else str(path)


def kind_of(path: Path, kinds: Mapping[str, str]) -> str:
    """Return the kind that a path's longest suffix indicates; TableError lists the suffixes if none does."""
    suffixes = [suffix for suffix in kinds if path.name.lower().endswith(suffix)]
    if not suffixes:
        if path.is_dir():
            raise TableError(f"{path} is a directory, not a file")
        raise TableError(f"{path} must end in one of {' '.join(kinds)}")
    return kinds[max(suffixes, key=len)]


def require_table(path: Path, kind: str | None = None) -> str:
    """Return the kind of a table to read; TableError unless it is known, and the file exists and is not empty."""
    if path == STDIN:
        return kind or "csv"
    files = files_of(path)
    if path.is_dir() and not files:
        raise TableError(f"{path} contains no table: a file whose name ends in one of {' '.join(KINDS)}")
    if files and files != [path]:
        kinds = {require_table(of, kind) for of in files}
        if len(kinds) > 1:
            raise TableError(f"{path} must contain files of one kind, got {' and '.join(sorted(kinds))}")
        return kinds.pop()
    kind = kind or kind_of(path, KINDS)
    if not path.exists():
        raise TableError(f"{path}: no such file. The current directory is {Path.cwd()}.")
    if not path.is_file():
        raise TableError(f"{path} is not a regular file")
    if not os.stat(path).st_size:
        raise TableError(f"{path} {EMPTY}")
    return kind


def require_model(path: Path) -> None:
    """Raise ModelFileError if a model file does not exist, or is a table."""
    if not path.exists():
        raise ModelFileError(f"{path}: no such file")
    if path.is_file() and path.name.lower().endswith(tuple(KINDS)):
        with path.open("rb") as file:
            if file.read(8 + len(MODEL_BEGIN))[8:] != MODEL_BEGIN:
                raise ModelFileError(f"{path} is a table, not a model. The model comes first, then the table.")


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


def check_places(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Raise TableError if an output cannot be written, or would overwrite an input or another output."""
    taken = {path.resolve(): name for name, path in inputs.items() if path not in (None, STDIN)}
    for name, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        if place in taken:
            raise TableError(f"{name} must not be the same file as {taken[place]}, got {path} for both")
        taken[place] = name
        require_writable(path)
