"""An archive: one tree of plain values and arrays in a single file, read only if it is complete and unchanged.

The layout is that of safetensors, whose packages for Python, PyTorch, Rust and JavaScript read the arrays::

    8 bytes    length of the header, little-endian
    header     {"__metadata__": {"sha256": ..., "document": ...}, "theta": {"dtype": "F32", "shape": [2, 17],
               "data_offsets": [0, 136]}, ...}, in JSON, padded with spaces to a multiple of 8 bytes
    arrays     little-endian, in row-major order, without gaps

The document is the tree as JSON text; in place of each array it has {"$array": name}. The checksum is the hexadecimal
SHA-256 of every byte of the file but its own: a truncated or modified file is refused before its content is parsed.

The checksum detects accidents, not tampering: whoever edits a file can recompute it. So the content is not trusted
either. Nothing in it is executed, and no memory is allocated for a size before the size is compared with the length of
the file.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import file_digest, sha256
from math import isfinite, prod
from stat import S_IMODE
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import ModelFileError, look_up, shorten

Path = str | os.PathLike[str]

Tree = Any
"""Dicts with string keys, lists, strings, numbers, booleans, None, and arrays of _DTYPES."""

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
}
"""From safetensors' name to NumPy's dtype."""
_STORED = {dtype.name: dtype for dtype in _DTYPES.values()}
MAX_HEADER_BYTES = 7 * 2**20
"""A longer header is not parsed: one of this length describes fifty thousand columns and takes up to 200 MB."""
MAX_CONTAINERS = 2**18
"""Limit on the lists and objects in a JSON text (brackets in strings count too): 2 bytes of text take 100 in memory."""
_MAX_DIMENSIONS = 32
"""Arrays have no more in NumPy 1."""
_MAX_MESSAGE_CHARS = 500
"""Limit on the length of an error message: the offending value may be as long as the file."""

_START = b'{"__metadata__":{"sha256":"'
"""Every header begins like this, so the checksum is always in the same place."""
_CHECKSUM_PLACE = 8 + len(_START)
_CHECKSUM_BYTES = 64


class Format(NamedTuple):
    """A file format's name, its version, and how many versions before it are still read."""

    name: str
    version: int
    n_older: int = 0


# Writing.


def pack(form: Format, tree: Mapping[str, Tree]) -> bytes:
    """Return the file's bytes; the same tree gives the same bytes.

    Raises ValueError or TypeError if the tree contains anything else, or exceeds a limit that readers enforce.
    """
    document, arrays = flatten({"format": form.name, "version": form.version} | dict(tree))
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    header: dict[str, Any] = {"__metadata__": {"sha256": "0" * _CHECKSUM_BYTES, "document": text}}
    place = 0
    for name, array in arrays.items():
        kind = next(kind for kind, dtype in _DTYPES.items() if dtype == array.dtype)
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [place, place + array.nbytes]}
        place += array.nbytes
    start = json.dumps(header, separators=(",", ":")).encode()
    start += b" " * (-len(start) % 8)
    require_that(len(start) <= MAX_HEADER_BYTES, f"a file's header must take at most {MAX_HEADER_BYTES:,} bytes")
    _require_few_containers(start)
    return with_checksum(b"".join([len(start).to_bytes(8, "little"), start, *(a.tobytes() for a in arrays.values())]))


def with_checksum(content: bytes) -> bytes:
    """Return the bytes of a file with the checksum replaced by the right one."""
    start, rest = content[:_CHECKSUM_PLACE], memoryview(content)[_CHECKSUM_PLACE + _CHECKSUM_BYTES :]
    checksum = sha256(start)
    checksum.update(rest)
    return b"".join([start, checksum.hexdigest().encode(), rest])


def checksum(content: bytes) -> str:
    """Return the checksum in a file's bytes."""
    return content[_CHECKSUM_PLACE : _CHECKSUM_PLACE + _CHECKSUM_BYTES].decode()


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file atomically: `path` is replaced only once `write` has filled the new file and it is on the disk.

    An OSError names `path`.
    """
    place = os.path.realpath(path)
    if _is_special(place):
        raise OSError(f"{path} cannot be written: not a regular file")
    folder, name = os.path.split(place)
    # A name may have at most 255 bytes; 50 characters of it show where a leftover comes from.
    unfinished = os.path.join(folder, f".{name[:50]}.{os.urandom(4).hex()}.unfinished")
    try:
        with open(unfinished, "xb") as file:
            with suppress(FileNotFoundError):
                os.chmod(unfinished, S_IMODE(os.stat(place).st_mode))
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, place)
    except BaseException as error:
        with suppress(OSError):
            os.remove(unfinished)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, f"{path} cannot be written: {error.strerror}") from None
        raise
    with suppress(OSError):  # not every system can flush a folder, which makes the renaming itself permanent
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_special(path: Path) -> bool:
    """Return whether the path is a pipe, a socket or a device."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


# Reading. Any fault raises an exception; `refusing` turns it into a ModelFileError.


@contextmanager
def refusing(path: Path, what: str) -> Iterator[None]:
    """Turn every error into a ModelFileError with the path and the cause; `what` is the expected kind of file."""
    try:
        yield
    except ModelFileError:
        raise
    except FileNotFoundError:
        raise ModelFileError(f"{os.fspath(path)}: no such file") from None
    except OSError as error:
        raise ModelFileError(f"{os.fspath(path)} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # invalid bytes can raise anything, and callers are promised a single type of error
        cause = f"{error}" if type(error) is ValueError else f"{type(error).__name__}: {error}"
        cause = " ".join(cause[:_MAX_MESSAGE_CHARS].split())
        raise ModelFileError(f"{os.fspath(path)} cannot be read as {what}: {cause}") from None


def require_that(condition: bool, message: str) -> None:
    """Raise a ValueError with that message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def read(path: Path, form: Format) -> dict[str, Tree]:
    """Return the tree in a file of this format; to be called within `refusing`. Arrays are read-only."""
    require_that(not _is_special(path), "not a regular file")
    with open(path, "rb") as file:
        n_header = _verify_checksum(file)
        n_bytes = os.fstat(file.fileno()).st_size - 8 - n_header
        fits = n_bytes >= 0 and n_header <= MAX_HEADER_BYTES
        require_that(fits, f"its header must fit in the file and in {MAX_HEADER_BYTES:,} bytes, got {n_header:,}")
        file.seek(8)
        header = _parse(file.read(n_header))
        document = _parse(header.pop("__metadata__")["document"].encode())
        name, version = document.get("format"), document.get("version")
        require_that(name == form.name, f"its format must be {form.name!r}, got {name!r}")
        versions = range(form.version - form.n_older, form.version + 1)
        rule = f"this version of chainrule reads {' and '.join(map(str, versions))}"
        is_read = type(version) is int and version in versions
        require_that(is_read, f"format version {version!r} is not supported; {rule}")
        arrays = _read_arrays(file, header, n_bytes)
    tree = _unflatten(document, arrays)
    require_that(not arrays, f"its document must contain every array, got others: {shorten(list(arrays))}")
    return tree


def _verify_checksum(file: BinaryIO) -> int:
    """Return the length of the header; raise ValueError unless the file is an archive with the right checksum."""
    start, checksum = file.read(_CHECKSUM_PLACE), file.read(_CHECKSUM_BYTES)
    require_that(start[:2] != b"PK", "zip files of development versions before 0.1 are not supported; train again")
    is_archive = start[8:] == _START and len(checksum) == _CHECKSUM_BYTES
    require_that(is_archive, "not a chainrule file, or truncated")
    actual = file_digest(file, lambda: sha256(start)).hexdigest()  # type: ignore[arg-type]
    require_that(actual.encode() == checksum, "checksum mismatch: the file is corrupted or truncated")
    return int.from_bytes(start[:8], "little")


def _read_arrays(file: BinaryIO, header: Mapping[str, Any], n_bytes: int) -> dict[str, Array]:
    """Return the arrays, having checked that they fill the next `n_bytes` bytes without gaps and overlaps."""
    arrays, place = {}, 0
    for name, spec in header.items():
        dtype, shape = look_up(_DTYPES, spec["dtype"], f"dtype of {name}"), spec["shape"]
        fits = len(shape) <= _MAX_DIMENSIONS and all(type(n) is int and 0 <= n <= n_bytes for n in shape)
        require_that(fits, f"shape of {name} must fit in the file, got [{shorten(shape)}]")
        begin, place = place, place + prod(shape) * dtype.itemsize
        is_next = spec["data_offsets"] == [begin, place] and place <= n_bytes
        require_that(is_next, f"{name} must be at {[begin, place]} of {n_bytes}, got {spec['data_offsets']}")
        arrays[name] = np.frombuffer(file.read(place - begin), dtype).reshape(shape)
    require_that(place == n_bytes, f"its arrays must take {n_bytes:,} bytes, got {place:,}")
    return arrays


def _parse(text: bytes) -> dict[str, Any]:
    """Return a JSON object without repeated keys and without numbers that are not finite."""
    _require_few_containers(text)
    tree = json.loads(text, parse_constant=_finite, parse_float=_finite, object_pairs_hook=_distinct)
    require_that(isinstance(tree, dict), "its JSON must be an object")
    return tree


def _require_few_containers(text: bytes) -> None:
    n_containers = text.count(b"[") + text.count(b"{")
    require_that(
        n_containers <= MAX_CONTAINERS, f"its header must contain at most {MAX_CONTAINERS:,} lists and objects"
    )


def _finite(text: str) -> float:
    number = float(text)
    require_that(isfinite(number), f"its numbers must be finite, got {text}")
    return number


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    require_that(len(members) == len(pairs), f"its keys must be distinct, got {shorten([key for key, _ in pairs])}")
    return members


# Trees as JSON.


def flatten(tree: Tree) -> tuple[Any, dict[str, Array]]:
    """Return a tree as JSON, and its arrays, the widest dtype first, named by their place in the tree.

    An array becomes {"$array": name}, and a float that JSON lacks {"$float": text}. A key that begins with $ gets
    another one.
    """
    arrays: dict[str, Array] = {}
    document = _flatten(tree, arrays, "")
    # PyTorch requires that an array begins at a multiple of its item size.
    return document, dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))


def _flatten(tree: Tree, arrays: dict[str, Array], path: str) -> Any:
    if isinstance(tree, Mapping):
        return {f"${key}" if key[:1] == "$" else key: _flatten(x, arrays, f"{path}.{key}") for key, x in tree.items()}
    if isinstance(tree, list | tuple):
        return [_flatten(value, arrays, f"{path}.{k}") for k, value in enumerate(tree)]
    if isinstance(tree, np.ndarray):
        name = path[1:]
        while name in arrays or name == "__metadata__":
            name += "'"
        arrays[name] = np.asarray(tree, look_up(_STORED, tree.dtype.name, f"dtype of {name}"), order="C")
        return {"$array": name}
    value = tree.item() if isinstance(tree, np.generic) else tree
    return {"$float": repr(value)} if isinstance(value, float) and not isfinite(value) else value


def _unflatten(tree: Any, arrays: dict[str, Array]) -> Tree:
    """Return the tree that `flatten` made JSON of; every array that it contains is removed from `arrays`."""
    if isinstance(tree, list):
        return [_unflatten(value, arrays) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if tree.keys() == {"$array"}:
        require_that(tree["$array"] in arrays, f"the array {tree['$array']!r} must be in the file, and used once")
        return arrays.pop(tree["$array"])
    if tree.keys() == {"$float"}:
        return float(tree["$float"])
    return {key.removeprefix("$"): _unflatten(value, arrays) for key, value in tree.items()}
