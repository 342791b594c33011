"""An archive: named arrays and one document, in a file that is whole or refused.

It is a zip of `.npy` arrays, stored as they are, and one JSON document, deflated; `numpy.load(path)` opens it too. The
document tells the type, shape and checksum of each array. The file ends in the SHA-256, in hexadecimal, of every byte
before it: a file that is cut short, or changed in any place, is refused before anything in it is looked at.

Whoever changes a file on purpose can write that seal as well. So what is read is not believed either: nothing in it is
executed, and no size counts before it has been held against the length of the file.
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
MOST_BYTES = 2**31 - 2**20
"""A longer file would need the zip format's second edition, which is not read."""
MOST_DOCUMENT_BYTES = 7 * 2**20
"""A longer document is refused unread: one of this length describes ten thousand columns and takes up to 200 MB."""
MOST_PARTS = 2**18
"""So is one of more lists and objects, brackets in its texts counted: two bytes of them take a hundred in memory."""
MOST_DIRECTORY_BYTES = 2**20
"""A zip's list of its entries takes some hundred bytes for each."""
MOST_HEADER_BYTES = 4096
"""An array's header in the `.npy` format is some hundred bytes long."""
MOST_TOLD = 500
"""Characters of an error that are shown: what is wrong may be as long as the file."""
SEAL_BYTES = 64
END_BYTES = 22
"""A zip ends in a record of this length and a comment, which is the seal."""


class Format(NamedTuple):
    """What a file is for, its version, and the name of the document in it."""

    name: str
    version: int
    document: str


# Writing.


def pack_archive(form: Format, document: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """Return the file's bytes; the same content gives the same bytes.

    Raises ValueError for a document that JSON cannot hold, for arrays of anything but float32 and float64, and for more
    than a reader would take.
    """
    import json
    from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

    stored = {name: as_stored(array) for name, array in arrays.items()}
    told = {name: describe_array(array) for name, array in stored.items()}
    whole = {"format": form.name, "version": form.version} | dict(document) | {"arrays": told}
    text = json.dumps(whole, allow_nan=False, separators=(",", ":")).encode()
    n_bytes = len(text) + sum(array.nbytes for array in stored.values())
    require_that(n_parts(text) <= MOST_PARTS, f"a file must hold at most {MOST_PARTS:,} lists and objects")
    if len(text) > MOST_DOCUMENT_BYTES or n_bytes > MOST_BYTES - MOST_DIRECTORY_BYTES:
        most = f"{MOST_DOCUMENT_BYTES:,} bytes of description and {MOST_BYTES:,} in all"
        raise ValueError(f"a file must hold at most {most}, got it takes {len(text):,} and {n_bytes:,}")
    packed = BytesIO()
    with ZipFile(packed, "w") as archive:
        archive.writestr(ZipInfo(form.document), text, ZIP_DEFLATED)
        for name, array in stored.items():
            raw = BytesIO()
            np.lib.format.write_array(raw, array, allow_pickle=False)
            archive.writestr(ZipInfo(f"{name}.npy"), raw.getvalue())
        archive.comment = bytes(SEAL_BYTES)
    return sealed(packed.getbuffer())


def n_parts(text: bytes) -> int:
    """Return how many lists and objects a text in JSON can hold at most."""
    return text.count(b"[") + text.count(b"{")


def sealed(content: bytes | memoryview) -> bytes:
    """Return a zip whose comment is as long as a seal with the seal in its place."""
    from hashlib import sha256

    body = content[:-SEAL_BYTES]
    return b"".join([body, sha256(body).hexdigest().encode()])


def as_stored(array: Array) -> Array:
    """Return the array in the byte order of the file."""
    return np.asarray(array, look_up(DTYPES, array.dtype.name, "dtype"), order="C")


def describe_array(array: Array) -> dict[str, Any]:
    """Return what a reader can hold an array against."""
    return {"dtype": array.dtype.str, "shape": list(array.shape), "crc32": crc32(array)}


def crc32(array: Array) -> int:
    """Return the checksum of an array's bytes."""
    import zlib

    return zlib.crc32(array.data)


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file that takes its place only when it is complete and on the disk. OSError names `path`."""
    place = os.path.realpath(path)
    if is_pipe_or_device(place):
        raise OSError(f"{path} cannot be written: it is a pipe or a device, and no file")
    folder, name = os.path.split(place)
    # A name may have 255 bytes; what is left of this one tells whose the file is.
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
    flush_folder(folder)


def is_pipe_or_device(path: Path) -> bool:
    """Tell whether there is something under this name that is neither a file nor a folder."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def flush_folder(folder: str) -> None:
    """Have the renaming itself reach the disk, on systems where a folder can be flushed."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Reading. Whatever is wrong raises; `refusing` turns it into a ModelFileError.


@contextmanager
def refusing(path: Path, what: str) -> Iterator[None]:
    """Turn every error into a ModelFileError that names the file and what is wrong with it."""
    try:
        yield
    except ModelFileError:
        raise
    except FileNotFoundError:
        raise ModelFileError(f"{os.fspath(path)}: there is no such file") from None
    except OSError as error:
        raise ModelFileError(f"{os.fspath(path)} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # whatever a stranger's bytes bring about, callers are promised one error to catch
        told = f"{error}" if type(error) is ValueError else f"{type(error).__name__}: {error}"
        told = " ".join(told[:MOST_TOLD].split())
        raise ModelFileError(f"{os.fspath(path)} is not {what} that can be trusted: {told}") from None


@contextmanager
def opened(path: Path, form: Format, what: str) -> Iterator["Archive"]:
    """Open an archive; whatever is wrong with it, then and later, is a ModelFileError, as `refusing` tells it."""
    with refusing(path, what):
        require_that(not is_pipe_or_device(path), "it is a pipe or a device, and no file")
        with open(path, "rb") as file:
            yield Archive(file, form)


def require_that(condition: bool, otherwise: str) -> None:
    """Raise a ValueError that tells what is otherwise, unless the condition holds."""
    if not condition:
        raise ValueError(otherwise)


class Archive:
    """An open file of one format: its `document`, and its arrays by name, each read when it is asked for."""

    def __init__(self, file: BinaryIO, form: Format) -> None:
        from zipfile import ZipFile

        size = os.fstat(file.fileno()).st_size
        check_end(file, size)
        self.zip = ZipFile(file)
        self.sizes = entry_sizes(self.zip, size)
        require_that(form.document in self.sizes, f"it must hold {form.document}, and holds {', '.join(self.sizes)}")
        self.document = self.read_document(form)
        self.told: dict[str, Any] = self.document["arrays"]
        entries = {f"{name}.npy" for name in self.told} | {form.document}
        odd = ", ".join(sorted(entries ^ set(self.sizes)))
        require_that(not odd, f"{form.document} and the entries do not tell of the same arrays: {odd}")

    def read_document(self, form: Format) -> dict[str, Any]:
        """Return the document, of a format and version that are known."""
        import json

        n_bytes = self.sizes[form.document]
        require_that(n_bytes <= MOST_DOCUMENT_BYTES, f"{form.document} is {n_bytes:,} bytes long")
        with self.zip.open(form.document) as entry:
            text = entry.read(n_bytes)  # without a number, all that the bytes deflate to would be made before it is cut
        require_that(n_parts(text) <= MOST_PARTS, f"{form.document} holds more than {MOST_PARTS:,} lists and objects")
        document = json.loads(text, parse_constant=finite, parse_float=finite)
        known = isinstance(document, dict) and document.get("format") == form.name
        require_that(known, f"{form.document} is not of the format {form.name!r}")
        version = document.get("version")
        told = f"its format version is {version!r}, and this chainrule reads {form.version}"
        require_that(type(version) is int and version == form.version, told)
        return document

    def array(self, name: str, shape: tuple[int, ...] | None = None) -> Array:
        """Return the array of that name, which must have that shape; None: the shape it is told to have."""
        entry, told = f"{name}.npy", self.told[name]
        dtype = next((dtype for dtype in DTYPES.values() if dtype.str == told["dtype"]), None)
        require_that(dtype is not None, f"{entry} is told to be of type {told['dtype']!r}")
        assert dtype is not None
        if shape is None:
            shape = tuple(told["shape"])
            whole = all(type(length) is int and length >= 0 for length in shape)
            require_that(whole, f"{entry} is told to be of shape {shape}")
        require_that(told["shape"] == list(shape), f"{entry} is told to be of shape {told['shape']}, and is {shape}")
        n_bytes = prod(shape) * dtype.itemsize
        fits = n_bytes < self.sizes[entry] <= n_bytes + MOST_HEADER_BYTES
        require_that(fits, f"{entry} is {self.sizes[entry]:,} bytes long, and {n_bytes:,} of numbers are needed in it")
        raw = BytesIO(self.zip.read(entry))
        require_that(np.lib.format.read_magic(raw) == (1, 0), f"{entry} is of another version of the npy format")
        found, in_columns, stored = np.lib.format.read_array_header_1_0(raw)
        as_needed = found == shape and stored == dtype and not in_columns and raw.tell() + n_bytes == self.sizes[entry]
        require_that(as_needed, f"{entry} holds {stored} of shape {found}, and {dtype} of shape {shape} is needed")
        array = np.frombuffer(raw.getvalue(), dtype, prod(shape), raw.tell()).reshape(shape)
        require_that(crc32(array) == told["crc32"], f"the checksum of {entry} is another one: its numbers were changed")
        return array


def check_end(file: BinaryIO, size: int) -> None:
    """Raise ValueError unless the file ends as an archive does, with a small directory and the seal of its content."""
    from hashlib import sha256

    require_that(END_BYTES + SEAL_BYTES <= size <= MOST_BYTES, "it is no zip archive with a seal, or not a whole one")
    file.seek(size - SEAL_BYTES - END_BYTES)
    end, seal = file.read(END_BYTES), file.read(SEAL_BYTES)
    ends = end[:4] == b"PK\5\6" and int.from_bytes(end[20:], "little") == SEAL_BYTES and seal.isalnum()
    require_that(ends, "it is no zip archive with a seal, or not a whole one")
    directory = int.from_bytes(end[12:16], "little")
    require_that(directory <= MOST_DIRECTORY_BYTES, f"its list of entries is {directory:,} bytes long")
    file.seek(max(0, size - SEAL_BYTES - END_BYTES - 20))
    require_that(file.read(4) != b"PK\6\7", "it is of the zip format's second edition")
    file.seek(0)
    digest, left = sha256(), size - SEAL_BYTES
    while left and (part := file.read(min(left, 2**20))):
        digest.update(part)
        left -= len(part)
    require_that(digest.hexdigest().encode() == seal, "its checksum is another one: it was changed, or is not whole")


def entry_sizes(archive: "ZipFile", file_size: int) -> dict[str, int]:
    """Return each entry's length in bytes, once it is sure that reading an array cannot give more than the file holds.

    A document's is what the file says, and may be a lie.
    """
    from zipfile import ZIP_DEFLATED, ZIP_STORED

    sizes: dict[str, int] = {}
    for entry in archive.infolist():
        require_that(entry.filename not in sizes, f"the entry {entry.filename!r} is there twice")
        plain = entry.compress_type == ZIP_STORED and entry.compress_size == entry.file_size <= file_size
        fits = plain or (entry.compress_type == ZIP_DEFLATED and entry.filename.endswith(".json"))
        require_that(fits and not entry.flag_bits & 1, f"the entry {entry.filename!r} is not stored as it is")
        sizes[entry.filename] = entry.file_size
    return sizes


def finite(text: str) -> float:
    """Return the number that a text in JSON writes, and raise for NaN and infinities."""
    number = float(text)
    require_that(isfinite(number), f"the document holds {text}")
    return number
