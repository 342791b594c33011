"""The model file: data, never code.

An archive (see `chainrule.archive`) of a few arrays and one document, `model.json`. `theta.npy` contains the parameters
and `buffers.npy` the running statistics, for a predictor with one row per member; `bounds.npy` and `residuals.npy` are
those of `chainrule.model.ensemble`. The document describes what they belong to: layers, loss and activations by name,
encoder and target by their fields. Names are looked up in the tables of the library and nowhere else.

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
from chainrule.model.ensemble import N_QUANTILES, Ensemble
from chainrule.model.predictor import Predictor
from chainrule.nn.layers import LAYERS, Layer, Residual
from chainrule.nn.losses import LOSSES, Loss
from chainrule.nn.network import Network
from chainrule.nn.vector import lay_out, size_of

FORMAT = Format("chainrule", 1, "model.json")
MAX_LAYERS = 10_000
"""Limit on the layers of all members together."""


def save(model: Predictor | Network, path: Path) -> None:
    """Write a Predictor or a Network to one file.

    The write is atomic: a temporary file in the same folder is flushed to the disk and renamed.

    Raises
    ------
    ValueError
        If the model contains a custom function, loss or layer, which a file of data cannot store, or parameters that
        are not finite; an existing file is left untouched.
    OSError
        If the file cannot be written.
    """
    if not isinstance(model, Predictor | Network):
        raise ValueError(f"model must be a Predictor or a Network, got a {type(model).__name__}")
    if not all(all_finite(network.theta) and all_finite(network.buffers) for network in _networks(model)):
        raise ValueError("model must have finite parameters, got NaN or infinite ones")
    content = pack(model)
    write_whole(path, lambda file: file.write(content))


def load(path: Path) -> Predictor | Network:
    """Return the model stored in a file that `save` wrote.

    Nothing in the file is executed. Raises ModelFileError, and no other exception, if the file cannot be read, is not a
    model, has an unsupported version, or was modified in any way.
    """
    with opened(path, FORMAT, "a model") as archive:
        return _unpack(archive)


# Packing.


def pack(model: Predictor | Network) -> bytes:
    """Return the file's bytes. The same model gives the same bytes."""
    networks = _networks(model)
    count = sum(len(network.layers) for network in networks)
    require(count <= MAX_LAYERS, "model", f"have at most {MAX_LAYERS:,} layers", count)
    document: dict[str, Any] = {
        "kind": "network",
        "written_by": {"chainrule": chainrule.__version__, "numpy": np.__version__},
        "network": _describe_network(networks[0]),
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
            "metadata": _checked_metadata(model.metadata),
        }
    return pack_archive(FORMAT, document, {name: shortened(array) for name, array in _arrays(model).items()})


def _networks(model: Predictor | Network) -> tuple[Network, ...]:
    return model.ensemble.networks if isinstance(model, Predictor) else (model,)


def _checked_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata unchanged; raise ValueError if they are not valid JSON."""
    import json

    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must contain only plain, finite data: {error}") from None
    return metadata


def _arrays(model: Predictor | Network) -> dict[str, Array]:
    """Return a model's arrays by name."""
    if isinstance(model, Network):
        return {"theta": model.theta, "buffers": model.buffers}
    ensemble = model.ensemble
    arrays = {
        "theta": np.stack([network.theta for network in ensemble.networks]),
        "buffers": np.stack([network.buffers for network in ensemble.networks]),
    }
    extra = {"bounds": ensemble.bounds, "residuals": ensemble.residuals}
    return arrays | {name: array for name, array in extra.items() if array is not None}


def _describe_network(network: Network) -> dict[str, Any]:
    """Return a network's architecture, without its parameters."""
    return {
        "layers": [_describe_layer(layer) for layer in network.layers],
        "loss": _describe(network.loss, LOSSES, "loss"),
        "l1": network.l1,
        "l2": network.l2,
        "dtype": network.dtype.name,
    }


def _describe_layer(layer: Layer) -> dict[str, Any]:
    """Return a layer's name and fields; the layers of a Residual are nested."""
    if isinstance(layer, Residual):
        return {"layer": "Residual", "layers": [_describe_layer(inner) for inner in layer.layers]}
    return _describe(layer, LAYERS, "layer")


def _describe(part: Layer | Loss, table: Mapping[str, type], key: str) -> dict[str, Any]:
    """Return the name of a layer's or loss's class in `table`, under `key`, and its fields."""
    name = next((name for name, known in table.items() if known is type(part)), None)
    values = _fields(part) if name is not None else {}
    if name is None or any(map(callable, values.values())):
        reason = "model files contain data, never code"
        raise ValueError(f"a model with a custom function, loss or layer cannot be saved ({reason}), got {part}")
    return {key: name} | {field: _plain(value) for field, value in values.items()}


def _fields(part: Layer | Loss) -> dict[str, Any]:
    return {field.name: getattr(part, field.name) for field in fields(part)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    """Return NumPy scalars as Python numbers, and tuples as lists."""
    if isinstance(value, tuple):
        return [_plain(element) for element in value]
    return value.item() if isinstance(value, np.generic) else value


def shortened(array: Array) -> Array:
    """Return the array in single precision if that is lossless."""
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    return single if np.array_equal(single, array) else array


# Unpacking. Any fault raises an exception; `load` turns it into a ModelFileError.


def _unpack(archive: Archive) -> Predictor | Network:
    document = archive.document
    odd = set(archive.specs) ^ {"theta", "buffers"}
    if document["kind"] == "network":
        require_that(not odd, f"a network must have the arrays theta and buffers, got {', '.join(archive.specs)}")
        return _build_networks(document["network"], (), archive)[0]
    require_that(document["kind"] == "predictor", f"kind must be 'predictor' or 'network', got {document['kind']!r}")
    optional = {"bounds", "residuals"}
    require_that(odd <= optional, f"unexpected or missing arrays: {', '.join(sorted(odd - optional))}")
    require_that(isinstance(document["metadata"], dict), "metadata must be an object")
    ensemble = _build_ensemble(document["ensemble"], document["network"], archive)
    encoder = TabularEncoder.from_state(document["encoder"])
    return Predictor(encoder, ensemble, build(TARGETS, "task", document["target"]), document["metadata"])


def _build_ensemble(description: Mapping[str, Any], network: Mapping[str, Any], archive: Archive) -> Ensemble:
    members = description["members"]
    require_that(type(members) is int and members >= 1, f"members must be an integer >= 1, got {members!r}")
    networks = _build_networks(network, (members,), archive)
    n_out = networks[0].n_out
    return Ensemble(
        tuple(networks),
        temperature=description["temperature"],
        smoothing=description["smoothing"],
        bounds=archive.array("bounds", (2, n_out)) if "bounds" in archive.specs else None,
        residuals=archive.array("residuals", (N_QUANTILES, n_out)) if "residuals" in archive.specs else None,
    )


def _build_networks(description: Mapping[str, Any], members: tuple[int, ...], archive: Archive) -> list[Network]:
    """Return the networks with their parameters, allocated only after checking that the file contains so many."""
    count = _count_layers(description["layers"]) * prod(members)
    require_that(count <= MAX_LAYERS, f"a model must have at most {MAX_LAYERS:,} layers, got {count:,}")
    layers = [_build_layer(layer) for layer in description["layers"]]
    loss = _build_part(LOSSES, "loss", description["loss"])
    dtype = look_up(DTYPES, description["dtype"], "dtype")
    lengths = {
        "theta": size_of(lay_out([layer.shapes for layer in layers])),
        "buffers": size_of(lay_out([layer.buffer_shapes for layer in layers])),
    }
    vectors = {name: np.atleast_2d(archive.array(name, (*members, length))) for name, length in lengths.items()}
    for name, vector in vectors.items():
        require_that(all_finite(vector), f"{name}.npy must be finite, got NaN or infinite values")
    networks = []
    for theta, buffers in zip(vectors["theta"], vectors["buffers"]):
        network = Network.empty(layers, loss, l1=description["l1"], l2=description["l2"], dtype=dtype.name)
        network.theta[...], network.buffers[...] = theta, buffers
        networks.append(network)
    return networks


def _count_layers(descriptions: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of layers described, including nested ones."""
    return sum(1 + _count_layers(description.get("layers", ())) for description in descriptions)


def _build_layer(description: Mapping[str, Any]) -> Layer:
    if description["layer"] == "Residual":
        require_that(set(description) == {"layer", "layers"}, "a Residual must have layers and no other fields")
        return Residual([_build_layer(inner) for inner in description["layers"]])
    layer: Layer = _build_part(LAYERS, "layer", description)
    return layer


def _build_part(table: Mapping[str, type], key: str, description: Mapping[str, Any]) -> Any:
    """Return the layer or loss that `_describe` described."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in description.items()}
    return look_up(table, values.pop(key), key)(**values)
