"""The model file: data, never code.

An archive (see `chainrule.archive`) of some arrays and one document, `model.json`. `theta.npy` holds every parameter,
`buffers.npy` the running statistics, of a predictor a row a member; `bounds.npy` and `residuals.npy` are those of
`chainrule.model.ensemble`. The document says what they belong to: layers, loss and activations by name, encoder and
target by their fields. Names resolve through the tables of the library and through nothing else.

    model.json  {"format": "chainrule", "version": 1, "kind": "predictor" or "network",
                 "written_by": {"chainrule", "numpy"}, "network": {...},
                 "ensemble": {"members", "temperature", "smoothing"}, "encoder", "target", "metadata",
                 "arrays": {"theta": {"dtype", "shape", "crc32"}, ...}}
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import prod
from typing import Any

import numpy as np

import chainrule
from chainrule.archive import DTYPES, Archive, Format, Path, opened, pack_archive, require_that, write_whole
from chainrule.arrays import Array, all_finite, require
from chainrule.data.columns import as_plain, build
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import TARGETS
from chainrule.errors import look_up
from chainrule.model.ensemble import LEVELS, Ensemble
from chainrule.model.predictor import Predictor
from chainrule.nn.layers import LAYERS, Layer, Residual
from chainrule.nn.losses import LOSSES, Loss
from chainrule.nn.network import Network
from chainrule.nn.vector import lay_out, size_of

FORMAT = Format("chainrule", 1, "model.json")
MOST_LAYERS = 10_000
"""Layers of all members together."""


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
        raise ValueError(f"model must be a Predictor or a Network, got a {type(model).__name__}")
    if not all(all_finite(network.theta) and all_finite(network.buffers) for network in networks_of(model)):
        raise ValueError("model must have finite parameters, got one is not")
    content = pack(model)
    write_whole(path, lambda file: file.write(content))


def load(path: Path) -> Predictor | Network:
    """Return the model that a file of `save` holds.

    Nothing in the file is executed. Raises ModelFileError, and nothing else, when the file cannot be read, is no
    model, is of a later version, or was changed in any way.
    """
    with opened(path, FORMAT, "a model") as archive:
        return unpack(archive)


# Packing.


def pack(model: Predictor | Network) -> bytes:
    """Return the file's bytes. The same model gives the same bytes."""
    networks = networks_of(model)
    count = sum(len(network.layers) for network in networks)
    require(count <= MOST_LAYERS, "model", f"have {MOST_LAYERS:,} layers at most", count)
    document: dict[str, Any] = {
        "kind": "network",
        "written_by": {"chainrule": chainrule.__version__, "numpy": np.__version__},
        "network": describe_network(networks[0]),
    }
    if isinstance(model, Predictor):
        ensemble = model.ensemble
        document |= {
            "kind": "predictor",
            "ensemble": {
                "members": len(networks),
                "temperature": ensemble.temperature,
                "smoothing": ensemble.smoothing,
            },
            "encoder": model.encoder.state(),
            "target": {"task": model.target.task} | as_plain(model.target),
            "metadata": plain_metadata(model.metadata),
        }
    return pack_archive(FORMAT, document, {name: shortened(array) for name, array in arrays_of(model).items()})


def networks_of(model: Predictor | Network) -> tuple[Network, ...]:
    """Return a model's networks."""
    return model.ensemble.networks if isinstance(model, Predictor) else (model,)


def plain_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return a metadata that JSON can hold, or raise ValueError."""
    import json

    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must hold plain, finite data only, got {error}") from None
    return metadata


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


def shortened(array: Array) -> Array:
    """Return the array in single precision where that loses nothing."""
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    return single if np.array_equal(single, array) else array


# Unpacking. Whatever is wrong raises; `load` turns it into a ModelFileError.


def unpack(archive: Archive) -> Predictor | Network:
    """Return the model in an archive."""
    document = archive.document
    odd = set(archive.told) ^ {"theta", "buffers"}
    if document["kind"] == "network":
        require_that(not odd, f"a network has theta and buffers, and this file {', '.join(archive.told)}")
        return build_networks(document["network"], (), archive)[0]
    require_that(document["kind"] == "predictor", f"its kind is {document['kind']!r}")
    require_that(odd <= {"bounds", "residuals"}, f"a predictor has no {', '.join(sorted(odd))}")
    require_that(isinstance(document["metadata"], dict), "its metadata is none")
    ensemble = build_ensemble(document["ensemble"], document["network"], archive)
    encoder = TabularEncoder.from_state(document["encoder"])
    return Predictor(encoder, ensemble, build(TARGETS, "task", document["target"]), document["metadata"])


def build_ensemble(description: Mapping[str, Any], network: Mapping[str, Any], archive: Archive) -> Ensemble:
    """Return the ensemble that a document describes, its numbers in it."""
    members = description["members"]
    require_that(type(members) is int and members >= 1, f"it has {members!r} members")
    networks = build_networks(network, (members,), archive)
    n_out = networks[0].n_out
    return Ensemble(
        tuple(networks),
        temperature=description["temperature"],
        smoothing=description["smoothing"],
        bounds=archive.array("bounds", (2, n_out)) if "bounds" in archive.told else None,
        residuals=archive.array("residuals", (LEVELS, n_out)) if "residuals" in archive.told else None,
    )


def build_networks(description: Mapping[str, Any], members: tuple[int, ...], archive: Archive) -> list[Network]:
    """Return the networks with their numbers in them, made only when the file proves to hold as many as they need."""
    count = count_layers(description["layers"]) * prod(members)
    require_that(count <= MOST_LAYERS, f"it has {count:,} layers")
    layers = [build_layer(layer) for layer in description["layers"]]
    loss = build_part(LOSSES, "loss", description["loss"])
    dtype = look_up(DTYPES, description["dtype"], "dtype")
    lengths = {
        "theta": size_of(lay_out([layer.shapes for layer in layers])),
        "buffers": size_of(lay_out([layer.buffer_shapes for layer in layers])),
    }
    vectors = {name: np.atleast_2d(archive.array(name, (*members, length))) for name, length in lengths.items()}
    for name, vector in vectors.items():
        require_that(all_finite(vector), f"{name}.npy holds numbers that are not finite")
    networks = []
    for theta, buffers in zip(vectors["theta"], vectors["buffers"]):
        network = Network.empty(layers, loss, l1=description["l1"], l2=description["l2"], dtype=dtype.name)
        network.theta[...], network.buffers[...] = theta, buffers
        networks.append(network)
    return networks


def count_layers(descriptions: Sequence[Mapping[str, Any]]) -> int:
    """Return how many layers are described, those inside others among them."""
    return sum(1 + count_layers(description.get("layers", ())) for description in descriptions)


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
