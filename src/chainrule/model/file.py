"""The model file: data, never code.

A zip archive, nothing compressed, of `.npy` arrays and one document, `model.json`; `numpy.load(path)` opens it too.
`theta.npy` holds every parameter, `buffers.npy` the running statistics, of a predictor a row a member; `bounds.npy` and
`residuals.npy` are those of `chainrule.model.ensemble`. The document says what they belong to: layers, loss and
activations by name, encoder and target by their fields. Names resolve through the tables of the library and through
nothing else, and loading believes no size before it has held it against the length of the file.

    model.json  {"format": "chainrule", "version": 1, "kind": "predictor" or "network", "network": {...},
                 "arrays": {"theta": {"dtype", "shape", "crc32"}, ...},
                 "ensemble": {"members", "temperature", "doubt"}, "encoder", "target", "passport"}
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from io import BytesIO
from math import prod
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from chainrule.arrays import Array, all_finite
from chainrule.data.columns import as_plain, build
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import TARGETS
from chainrule.errors import ModelFileError, look_up
from chainrule.model.ensemble import LEVELS, Ensemble
from chainrule.model.predictor import Predictor
from chainrule.nn.layers import LAYERS, Layer, Residual
from chainrule.nn.losses import LOSSES, Loss
from chainrule.nn.network import Network
from chainrule.nn.vector import lay_out, size_of

if TYPE_CHECKING:
    from zipfile import ZipFile

Path = str | os.PathLike[str]

FORMAT, VERSION = "chainrule", 1
DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float64": np.dtype("<f8")}
DOCUMENT = "model.json"
MOST_DOCUMENT_BYTES = 16 * 2**20
"""A longer document is refused unread: one of this length describes tens of thousands of columns."""
MOST_MEMBERS = 1000
MOST_HEADER_BYTES = 4096
"""An array's header in the `.npy` format is some hundred bytes long."""


def save(model: Predictor | Network, path: Path) -> None:
    """Write a Predictor or a bare Network to one file.

    The file appears whole or not at all: it is written beside its place, flushed to the disk and renamed.

    Raises
    ------
    ValueError
        When the model holds a function, loss or layer of the user's own, which a file of data cannot hold; no file is
        touched.
    OSError
        When the place cannot be written.
    """
    if not isinstance(model, Predictor | Network):
        raise ValueError(f"model must be a Predictor or a Network, however: it is a {type(model).__name__}")
    networks = model.ensemble.networks if isinstance(model, Predictor) else (model,)
    if not all(all_finite(network.theta) and all_finite(network.buffers) for network in networks):
        raise ValueError("model must have finite parameters, however: one is not")
    content = pack(model)
    write_whole(path, lambda file: file.write(content))


def load(path: Path) -> Predictor | Network:
    """Return the model that a file of `save` holds.

    Nothing in the file is executed. Raises ModelFileError, and nothing else, when the file cannot be read, is no
    model, is of a later version, or was changed in any way.
    """
    try:
        with open(path, "rb") as file:
            return unpack(file)
    except FileNotFoundError:
        raise ModelFileError(f"{os.fspath(path)}: there is no such file") from None
    except OSError as error:
        raise ModelFileError(f"{os.fspath(path)} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # whatever a stranger's bytes bring about, callers are promised one error to catch
        told = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ModelFileError(f"{os.fspath(path)} is not a model that can be trusted: {told}") from None


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file that takes its place only when it is complete and on the disk."""
    place = os.path.realpath(path)
    folder, name = os.path.split(place)
    unfinished = os.path.join(folder, f".{name}.{os.getpid()}.unfinished")
    try:
        with open(unfinished, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, place)
    except BaseException:
        with suppress(OSError):
            os.remove(unfinished)
        raise
    flush_folder(folder)


def flush_folder(folder: str) -> None:
    """Have the renaming itself reach the disk, on systems where a folder can be flushed."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Packing.


def pack(model: Predictor | Network) -> bytes:
    """Return the file's bytes. The same model gives the same bytes."""
    import json
    from zipfile import ZipFile, ZipInfo

    network = model.ensemble.networks[0] if isinstance(model, Predictor) else model
    arrays = {name: as_stored(array) for name, array in arrays_of(model).items()}
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "kind": "network",
        "network": describe_network(network),
        "arrays": {name: describe_array(array) for name, array in arrays.items()},
    }
    if isinstance(model, Predictor):
        ensemble = model.ensemble
        document |= {
            "kind": "predictor",
            "ensemble": {
                "members": len(ensemble.networks),
                "temperature": ensemble.temperature,
                "doubt": ensemble.doubt,
            },
            "encoder": model.encoder.state(),
            "target": {"task": model.target.task} | as_plain(model.target),
            "passport": model.passport,
        }
    try:
        text = json.dumps(document, allow_nan=False, indent=1).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"passport must hold plain, finite data only, however: {error}") from None
    if len(text) > MOST_DOCUMENT_BYTES:
        raise ValueError(f"model must be described in {MOST_DOCUMENT_BYTES:,} bytes, however: it takes {len(text):,}")
    packed = BytesIO()
    with ZipFile(packed, "w") as archive:
        archive.writestr(ZipInfo(DOCUMENT), text)
        for name, array in arrays.items():
            raw = BytesIO()
            np.lib.format.write_array(raw, array, allow_pickle=False)
            archive.writestr(ZipInfo(f"{name}.npy"), raw.getvalue())
    return packed.getvalue()


def arrays_of(model: Predictor | Network) -> dict[str, Array]:
    """Return a model's numbers by name."""
    if isinstance(model, Network):
        return {"theta": model.theta, "buffers": model.buffers}
    ensemble = model.ensemble
    arrays = {
        "theta": np.stack([network.theta for network in ensemble.networks]),
        "buffers": np.stack([network.buffers for network in ensemble.networks]),
    }
    extra = {"bounds": ensemble.bounds, "residuals": ensemble.residuals}
    return arrays | {name: array for name, array in extra.items() if array is not None}


def describe_network(network: Network) -> dict[str, Any]:
    """Return what a network is made of, its numbers apart."""
    return {
        "layers": [describe_layer(layer) for layer in network.layers],
        "loss": describe(network.loss, LOSSES, "loss"),
        "l1": network.l1,
        "l2": network.l2,
        "dtype": network.dtype.name,
    }


def describe_layer(layer: Layer) -> dict[str, Any]:
    """Return a layer's name and fields; those of a Residual's layers lie inside its own."""
    if isinstance(layer, Residual):
        return {"layer": "Residual", "layers": [describe_layer(inner) for inner in layer.layers]}
    return describe(layer, LAYERS, "layer")


def describe(part: Layer | Loss, table: Mapping[str, type], key: str) -> dict[str, Any]:
    """Return under `key` the name that the table has for a part's class, with the part's fields."""
    name = next((name for name, known in table.items() if known is type(part)), None)
    own = [part] if name is None else [value for value in fields_of(part).values() if callable(value)]
    if own or name is None:
        raise ValueError(f"a model with a function of your own cannot be saved: a file holds data, never code; {part}")
    return {key: name} | {field: plain(value) for field, value in fields_of(part).items()}


def fields_of(part: Layer | Loss) -> dict[str, Any]:
    """Return a dataclass's fields by name, as they are."""
    return {field.name: getattr(part, field.name) for field in fields(part)}  # type: ignore[arg-type]


def plain(value: Any) -> Any:
    """Return NumPy's numbers as Python's."""
    if isinstance(value, tuple):
        return [plain(element) for element in value]
    return value.item() if isinstance(value, np.generic) else value


def describe_array(array: Array) -> dict[str, Any]:
    """Return what a reader can hold an array against."""
    return {"dtype": array.dtype.str, "shape": list(array.shape), "crc32": crc32(array)}


def as_stored(array: Array) -> Array:
    """Return the array in the byte order of the file, in single precision where that loses nothing."""
    single = np.ascontiguousarray(array, "<f4")
    return single if np.array_equal(single, array) else np.ascontiguousarray(array, "<f8")


def crc32(array: Array) -> int:
    """Return the checksum of an array's bytes."""
    import zlib

    return zlib.crc32(array.data)


# Unpacking. Whatever is wrong raises; `load` turns it into a ModelFileError.


def unpack(file: BinaryIO) -> Predictor | Network:
    """Return the model in an open file."""
    from zipfile import BadZipFile, ZipFile

    try:
        archive = ZipFile(file)
    except BadZipFile:
        raise ValueError("it is no zip archive, or not a whole one") from None
    with archive:
        sizes = entry_sizes(archive, os.fstat(file.fileno()).st_size)
        document = read_document(archive, sizes)
        read = ArrayReader(archive, sizes, document["arrays"])
        if document["kind"] == "network":
            return build_networks(document["network"], (), read)[0]
        require_that(document["kind"] == "predictor", f"its kind is {document['kind']!r}")
        ensemble = build_ensemble(document["ensemble"], document["network"], read)
    encoder = TabularEncoder.from_state(document["encoder"])
    return Predictor(encoder, ensemble, build(TARGETS, "task", document["target"]), dict(document["passport"]))


def require_that(condition: bool, otherwise: str) -> None:
    """Raise a ValueError that tells what is otherwise, unless the condition holds."""
    if not condition:
        raise ValueError(otherwise)


def entry_sizes(archive: "ZipFile", file_size: int) -> dict[str, int]:
    """Return each entry's length in bytes, once it is sure that reading one cannot give more than the file holds."""
    sizes: dict[str, int] = {}
    for entry in archive.infolist():
        require_that(entry.filename not in sizes, f"the entry {entry.filename!r} is there twice")
        plain_bytes = entry.compress_type == 0 and entry.compress_size == entry.file_size <= file_size
        require_that(plain_bytes and not entry.flag_bits & 1, f"the entry {entry.filename!r} is not stored as it is")
        sizes[entry.filename] = entry.file_size
    wanted = {DOCUMENT, "theta.npy", "buffers.npy"}
    complete = wanted <= set(sizes) <= wanted | {"bounds.npy", "residuals.npy"}
    require_that(complete, f"it must hold {', '.join(sorted(wanted))}, and holds {', '.join(sizes)}")
    return sizes


def read_document(archive: "ZipFile", sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return the document, of a format and version that are known."""
    import json

    require_that(sizes[DOCUMENT] <= MOST_DOCUMENT_BYTES, f"{DOCUMENT} is {sizes[DOCUMENT]:,} bytes long")
    document = json.loads(archive.read(DOCUMENT), parse_constant=refuse_constant)
    require_that(isinstance(document, dict) and document.get("format") == FORMAT, f"{DOCUMENT} describes no model")
    version = document.get("version")
    require_that(version == VERSION, f"its format version is {version!r}, and this chainrule reads {VERSION}")
    return document


def refuse_constant(name: str) -> float:
    """Raise for NaN and Infinity, which are not JSON."""
    raise ValueError(f"{DOCUMENT} holds {name}")


def build_ensemble(description: Mapping[str, Any], network: Mapping[str, Any], read: "ArrayReader") -> Ensemble:
    """Return the ensemble that a document describes, its numbers in it."""
    members = description["members"]
    require_that(isinstance(members, int) and 1 <= members <= MOST_MEMBERS, f"it has {members!r} members")
    networks = build_networks(network, (members,), read)
    n_out = networks[0].n_out
    return Ensemble(
        tuple(networks),
        temperature=description["temperature"],
        doubt=description["doubt"],
        bounds=read("bounds", (2, n_out)) if "bounds" in read.told else None,
        residuals=read("residuals", (LEVELS, n_out)) if "residuals" in read.told else None,
    )


def build_networks(description: Mapping[str, Any], members: tuple[int, ...], read: "ArrayReader") -> list[Network]:
    """Return the networks with their numbers in them, made only when the file proves to hold as many as they need."""
    layers = [build_layer(layer) for layer in description["layers"]]
    loss = build_part(LOSSES, "loss", description["loss"])
    dtype = look_up(DTYPES, description["dtype"], "dtype")
    lengths = {
        "theta": size_of(lay_out([layer.shapes for layer in layers])),
        "buffers": size_of(lay_out([layer.buffer_shapes for layer in layers])),
    }
    vectors = {name: np.atleast_2d(read(name, (*members, length))) for name, length in lengths.items()}
    for name, vector in vectors.items():
        require_that(all_finite(vector), f"{name}.npy holds numbers that are not finite")
    networks = []
    for theta, buffers in zip(vectors["theta"], vectors["buffers"]):
        network = Network.unfilled(layers, loss, l1=description["l1"], l2=description["l2"], dtype=dtype.name)
        network.theta[...], network.buffers[...] = theta, buffers
        networks.append(network)
    return networks


def build_layer(description: Mapping[str, Any]) -> Layer:
    """Return the layer that `describe_layer` described."""
    if description["layer"] == "Residual":
        require_that(set(description) == {"layer", "layers"}, "a Residual has layers and nothing else")
        return Residual([build_layer(inner) for inner in description["layers"]])
    layer: Layer = build_part(LAYERS, "layer", description)
    return layer


def build_part(table: Mapping[str, type], key: str, description: Mapping[str, Any]) -> Any:
    """Return the layer or loss that `describe` described."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in description.items()}
    return look_up(table, values.pop(key), key)(**values)


class ArrayReader:
    """Reads the arrays of a file, each checked against the shape that is needed, its size, header and checksum."""

    def __init__(self, archive: "ZipFile", sizes: Mapping[str, int], told: Mapping[str, Any]) -> None:
        arrays = {f"{name}.npy" for name in told}
        require_that(arrays | {DOCUMENT} == set(sizes), f"{DOCUMENT} tells of {', '.join(told)}")
        self.archive, self.sizes, self.told = archive, sizes, told

    def __call__(self, name: str, shape: tuple[int, ...]) -> Array:
        """Return the array of that name."""
        entry, told = f"{name}.npy", self.told[name]
        dtype = next((dtype for dtype in DTYPES.values() if dtype.str == told["dtype"]), None)
        require_that(dtype is not None and told["shape"] == list(shape), f"{DOCUMENT} tells another {name}")
        assert dtype is not None
        n_bytes = prod(shape) * dtype.itemsize
        fits = n_bytes < self.sizes[entry] <= n_bytes + MOST_HEADER_BYTES
        require_that(fits, f"{entry} is {self.sizes[entry]:,} bytes long, and {n_bytes:,} of numbers are needed in it")
        raw = BytesIO(self.archive.read(entry))
        require_that(np.lib.format.read_magic(raw) == (1, 0), f"{entry} is of another version of the npy format")
        found, in_columns, stored = np.lib.format.read_array_header_1_0(raw)
        as_needed = found == shape and stored == dtype and not in_columns and raw.tell() + n_bytes == self.sizes[entry]
        require_that(as_needed, f"{entry} holds {stored} of shape {found}, and {dtype} of shape {shape} is needed")
        array = np.frombuffer(raw.getvalue(), dtype, prod(shape), raw.tell()).reshape(shape)
        require_that(crc32(array) == told["crc32"], f"the checksum of {entry} is another one: its numbers were changed")
        return array
