"""An archive: named arrays and one JSON document in a single file, read only if it is complete and unchanged.

It is a zip file of uncompressed `.npy` arrays and a deflated JSON document; `numpy.load(path)` opens it too. The
document lists the dtype, shape and CRC-32 of each array. The file ends in a checksum, the hexadecimal SHA-256 of every
byte before it: a truncated or corrupted file is refused before its content is parsed.

The checksum detects accidents, not tampering: whoever edits a file can recompute it. So the content is not trusted
either. Nothing in it is executed, and no memory is allocated for a size before the size is compared with the length of
the file.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from math import isfinite, prod
from stat import S_IMODE
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from chainrule.arrays import Array
from chainrule.errors import ModelFileError, look_up

if TYPE_CHECKING:
    from zipfile import ZipFile

Path = str | os.PathLike[str]

DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float64": np.dtype("<f8")}
MAX_BYTES = 2**31 - 2**20
"""A longer file would need ZIP64, which is not supported."""
MAX_DOCUMENT_BYTES = 7 * 2**20
"""A longer document is not parsed: one of this length describes ten thousand columns and takes up to 200 MB."""
MAX_CONTAINERS = 2**18
"""Limit on the lists and objects in a document (brackets in strings count too): 2 bytes of text take 100 in memory."""
MAX_DIRECTORY_BYTES = 2**20
"""Limit on a zip's directory, which takes about a hundred bytes per entry."""
MAX_HEADER_BYTES = 4096
"""Limit on an array's header in the `.npy` format, which takes about a hundred bytes."""
MAX_MESSAGE_CHARS = 500
"""Limit on the length of an error message: the offending value may be as long as the file."""
CHECKSUM_BYTES = 64
END_BYTES = 22
"""A zip file ends in a record of this length and a comment, here the checksum."""


class Format(NamedTuple):
    """A file format's name and version, and the name of its document."""

    name: str
    version: int
    document: str


# Writing.


def pack_archive(form: Format, document: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """Return the file's bytes; the same content gives the same bytes.

    Raises ValueError if the document is not valid JSON, if an array is neither float32 nor float64, or if the file
    exceeds a limit that readers enforce.
    """
    import json
    from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

    stored = {name: _as_stored(array) for name, array in arrays.items()}
    specs = {name: _describe(array) for name, array in stored.items()}
    whole = {"format": form.name, "version": form.version} | dict(document) | {"arrays": specs}
    text = json.dumps(whole, allow_nan=False, separators=(",", ":")).encode()
    n_bytes = len(text) + sum(array.nbytes for array in stored.values())
    require_that(_count_containers(text) <= MAX_CONTAINERS, _too_many_containers(form))
    if len(text) > MAX_DOCUMENT_BYTES or n_bytes > MAX_BYTES - MAX_DIRECTORY_BYTES:
        limits = f"at most {MAX_DOCUMENT_BYTES:,} bytes for {form.document} and {MAX_BYTES:,} bytes in total"
        raise ValueError(f"a file must take {limits}, got {len(text):,} and {n_bytes:,}")
    packed = BytesIO()
    with ZipFile(packed, "w") as archive:
        archive.writestr(ZipInfo(form.document), text, ZIP_DEFLATED)
        for name, array in stored.items():
            raw = BytesIO()
            np.lib.format.write_array(raw, array, allow_pickle=False)
            archive.writestr(ZipInfo(f"{name}.npy"), raw.getvalue())
        archive.comment = bytes(CHECKSUM_BYTES)
    return with_checksum(packed.getbuffer())


def _count_containers(text: bytes) -> int:
    """Return an upper bound on the number of lists and objects in a JSON text."""
    return text.count(b"[") + text.count(b"{")


def _too_many_containers(form: Format) -> str:
    return f"{form.document} must contain at most {MAX_CONTAINERS:,} lists and objects"


def with_checksum(content: bytes | memoryview) -> bytes:
    """Return a zip file with its comment, which has the length of a checksum, replaced by the checksum."""
    from hashlib import sha256

    body = content[:-CHECKSUM_BYTES]
    return b"".join([body, sha256(body).hexdigest().encode()])


def _as_stored(array: Array) -> Array:
    """Return the array in the file's byte order."""
    return np.asarray(array, look_up(DTYPES, array.dtype.name, "dtype"), order="C")


def _describe(array: Array) -> dict[str, Any]:
    return {"dtype": array.dtype.str, "shape": list(array.shape), "crc32": _crc32(array)}


def _crc32(array: Array) -> int:
    import zlib

    return zlib.crc32(array.data)


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
    _flush_folder(folder)


def _is_special(path: Path) -> bool:
    """Return whether the path is a pipe, a socket or a device."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _flush_folder(folder: str) -> None:
    """Flush the renaming itself to the disk, on systems that can flush a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
        cause = " ".join(cause[:MAX_MESSAGE_CHARS].split())
        raise ModelFileError(f"{os.fspath(path)} cannot be read as {what}: {cause}") from None


@contextmanager
def opened(path: Path, form: Format, what: str) -> Iterator["Archive"]:
    """Open an archive; every error, also within the block, becomes a ModelFileError (see `refusing`)."""
    with refusing(path, what):
        require_that(not _is_special(path), "not a regular file")
        with open(path, "rb") as file:
            yield Archive(file, form)


def require_that(condition: bool, message: str) -> None:
    """Raise a ValueError with that message unless the condition holds."""
    if not condition:
        raise ValueError(message)


class Archive:
    """An open file of one format: its `document`, the `specs` of its arrays by name, and the arrays, read on demand."""

    def __init__(self, file: BinaryIO, form: Format) -> None:
        from zipfile import ZipFile

        size = os.fstat(file.fileno()).st_size
        _verify_checksum(file, size)
        self.zip = ZipFile(file)
        self.sizes = _entry_sizes(self.zip, size)
        require_that(form.document in self.sizes, f"{form.document} is missing, got {', '.join(self.sizes)}")
        self.document = self._read_document(form)
        self.specs: dict[str, Any] = self.document["arrays"]
        entries = {f"{name}.npy" for name in self.specs} | {form.document}
        odd = ", ".join(sorted(entries ^ set(self.sizes)))
        require_that(not odd, f"{form.document} and the archive list different arrays: {odd}")

    def _read_document(self, form: Format) -> dict[str, Any]:
        """Return the document after checking its format and version."""
        import json

        n_bytes = self.sizes[form.document]
        rule = f"{form.document} must take at most {MAX_DOCUMENT_BYTES:,} bytes"
        require_that(n_bytes <= MAX_DOCUMENT_BYTES, f"{rule}, got {n_bytes:,}")
        with self.zip.open(form.document) as entry:
            text = entry.read(n_bytes)  # without a limit, zipfile would inflate everything before cutting it off
        require_that(_count_containers(text) <= MAX_CONTAINERS, _too_many_containers(form))
        document = json.loads(text, parse_constant=_finite, parse_float=_finite)
        known = isinstance(document, dict) and document.get("format") == form.name
        require_that(known, f"{form.document} does not have the format {form.name!r}")
        version = document.get("version")
        supported = f"this version of chainrule reads {form.version}"
        is_supported = type(version) is int and version == form.version
        require_that(is_supported, f"format version {version!r} is not supported; {supported}")
        return document

    def array(self, name: str, shape: tuple[int, ...] | None = None) -> Array:
        """Return the array of that name, which must have that shape; None: the shape listed in the document."""
        entry, spec = f"{name}.npy", self.specs[name]
        dtype = next((dtype for dtype in DTYPES.values() if dtype.str == spec["dtype"]), None)
        require_that(dtype is not None, f"{entry}: unsupported dtype {spec['dtype']!r}")
        assert dtype is not None
        if shape is None:
            shape = tuple(spec["shape"])
            valid = all(type(length) is int and length >= 0 for length in shape)
            require_that(valid, f"{entry}: invalid shape {shape}")
        require_that(spec["shape"] == list(shape), f"{entry}: expected shape {shape}, got {spec['shape']}")
        n_bytes = prod(shape) * dtype.itemsize
        fits = n_bytes < self.sizes[entry] <= n_bytes + MAX_HEADER_BYTES
        require_that(fits, f"{entry}: expected {n_bytes:,} bytes and a header, got {self.sizes[entry]:,} bytes")
        raw = BytesIO(self.zip.read(entry))
        require_that(np.lib.format.read_magic(raw) == (1, 0), f"{entry}: unsupported version of the npy format")
        actual_shape, in_columns, actual_dtype = np.lib.format.read_array_header_1_0(raw)
        same = actual_shape == shape and actual_dtype == dtype and not in_columns
        rule = f"expected {dtype} of shape {shape} in row-major order"
        require_that(
            same and raw.tell() + n_bytes == self.sizes[entry],
            f"{entry}: {rule}, got {actual_dtype} of shape {actual_shape}",
        )
        array = np.frombuffer(raw.getvalue(), dtype, prod(shape), raw.tell()).reshape(shape)
        require_that(_crc32(array) == spec["crc32"], f"{entry}: checksum mismatch")
        return array


def _verify_checksum(file: BinaryIO, size: int) -> None:
    """Raise ValueError unless the file ends in a small zip directory and the checksum of its content."""
    from hashlib import sha256

    foreign = "not a chainrule file, or truncated"
    require_that(END_BYTES + CHECKSUM_BYTES <= size <= MAX_BYTES, foreign)
    file.seek(size - CHECKSUM_BYTES - END_BYTES)
    end, checksum = file.read(END_BYTES), file.read(CHECKSUM_BYTES)
    ends = end[:4] == b"PK\5\6" and int.from_bytes(end[20:], "little") == CHECKSUM_BYTES and checksum.isalnum()
    require_that(ends, foreign)
    directory = int.from_bytes(end[12:16], "little")
    rule = f"the zip directory must take at most {MAX_DIRECTORY_BYTES:,} bytes"
    require_that(directory <= MAX_DIRECTORY_BYTES, f"{rule}, got {directory:,}")
    file.seek(max(0, size - CHECKSUM_BYTES - END_BYTES - 20))
    require_that(file.read(4) != b"PK\6\7", "ZIP64 archives are not supported")
    file.seek(0)
    digest, remaining = sha256(), size - CHECKSUM_BYTES
    while remaining and (part := file.read(min(remaining, 2**20))):
        digest.update(part)
        remaining -= len(part)
    matches = digest.hexdigest().encode() == checksum
    require_that(matches, "checksum mismatch: the file is corrupted or truncated")


def _entry_sizes(archive: "ZipFile", file_size: int) -> dict[str, int]:
    """Return the length of each entry in bytes, having checked that no array takes more memory than the file.

    A document's length is what the file claims, and may be wrong.
    """
    from zipfile import ZIP_DEFLATED, ZIP_STORED

    sizes: dict[str, int] = {}
    for entry in archive.infolist():
        require_that(entry.filename not in sizes, f"entry {entry.filename!r} appears twice")
        plain = entry.compress_type == ZIP_STORED and entry.compress_size == entry.file_size <= file_size
        fits = plain or (entry.compress_type == ZIP_DEFLATED and entry.filename.endswith(".json"))
        require_that(fits and not entry.flag_bits & 1, f"entry {entry.filename!r} is compressed or encrypted")
        sizes[entry.filename] = entry.file_size
    return sizes


def _finite(text: str) -> float:
    """Return a JSON number; raise ValueError for NaN and infinities, also for a number that overflows."""
    number = float(text)
    require_that(isfinite(number), f"the document must contain only finite numbers, got {text}")
    return number
