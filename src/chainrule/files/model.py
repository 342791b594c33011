"""The model file: data, never code.

An archive (see `chainrule.files.archive`) of a few arrays and one document. `theta` contains the parameters and
`buffers` the running statistics, for a predictor with one row per member; `bounds` and `residuals` are those of
`chainrule.model.ensemble`. The document describes what they belong to: layers, loss and activations by name, encoder
and target by their fields. Names are looked up in the tables of the library and nowhere else.

    {"format": "chainrule", "version": 1, "kind": "predictor" or "network", "written_by": {"chainrule", "numpy"},
     "theta", "buffers", "bounds", "residuals", "network": {"layers", "loss", "l1", "l2", "dtype"},
     "ensemble": {"members", "temperature", "smoothing"}, "encoder", "target", "metadata"}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import prod
from typing import Any

import numpy as np

import chainrule
from chainrule.arrays import Array, all_finite, require, require_integer
from chainrule.data.columns import as_plain, build
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import TARGETS
from chainrule.errors import look_up
from chainrule.files import archive
from chainrule.files.archive import Format, Path
from chainrule.model.ensemble import N_QUANTILES, Ensemble
from chainrule.model.predictor import Predictor
from chainrule.nn.layers import LAYERS
from chainrule.nn.losses import LOSSES
from chainrule.nn.network import Network
from chainrule.nn.vector import lay_out, size_of

FORMAT = Format("chainrule", 1)
_MAX_LAYERS = 10_000
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
    archive.write_whole(path, lambda file: file.write(content))


def load(path: Path) -> Predictor | Network:
    """Return the model stored in a file that `save` wrote.

    Nothing in the file is executed. Raises ModelFileError, and no other exception, if the file cannot be read, is not a
    model, has an unsupported version, or was modified in any way.
    """
    with archive.refusing(path, "a model"):
        return _unpack(archive.read(path, FORMAT))


# Packing.


def pack(model: Predictor | Network) -> bytes:
    """Return the file's bytes. The same model gives the same bytes."""
    networks = _networks(model)
    count = sum(len(network.layers) for network in networks)
    require(count <= _MAX_LAYERS, "model", f"have at most {_MAX_LAYERS:,} layers", count)
    document: dict[str, Any] = {
        "kind": "network",
        "written_by": {"chainrule": chainrule.__version__, "numpy": np.__version__},
        "network": _describe_network(networks[0]),
        "theta": np.stack([network.theta for network in networks]),
        "buffers": np.stack([network.buffers for network in networks]),
    }
    if isinstance(model, Network):
        document |= {"theta": model.theta, "buffers": model.buffers}
    else:
        ensemble = model.ensemble
        options = {"members": len(networks), "temperature": ensemble.temperature, "smoothing": ensemble.smoothing}
        optional = {"bounds": ensemble.bounds, "residuals": ensemble.residuals}
        document |= {name: array for name, array in optional.items() if array is not None}
        document |= {
            "kind": "predictor",
            "ensemble": options,
            "encoder": model.encoder.state(),
            "target": {"task": model.target.task} | as_plain(model.target),
            "metadata": _checked_metadata(model.metadata),
        }
    single = {name: shortened(part) for name, part in document.items() if isinstance(part, np.ndarray)}
    return archive.pack(FORMAT, document | single)


def _networks(model: Predictor | Network) -> tuple[Network, ...]:
    return model.ensemble.networks if isinstance(model, Predictor) else (model,)


def _checked_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata unchanged; raise ValueError if they are not valid JSON."""
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must contain only plain, finite data: {error}") from None
    return metadata


def _describe_network(network: Network) -> dict[str, Any]:
    """Return a network's architecture, without its parameters."""
    return {
        "layers": [_describe(layer, LAYERS, "layer") for layer in network.layers],
        "loss": _describe(network.loss, LOSSES, "loss"),
        "l1": network.l1,
        "l2": network.l2,
        "dtype": network.dtype.name,
    }


def _describe(part: Any, table: Mapping[str, type], key: str) -> dict[str, Any]:
    """Return the name of a layer's or loss's class in `table`, under `key`, and its fields; nested layers likewise."""
    name = next((name for name, known in table.items() if known is type(part)), None)
    values = {} if name is None else {field.name: getattr(part, field.name) for field in fields(part)}
    if name is None or any(map(callable, values.values())):
        reason = "model files contain data, never code"
        raise ValueError(f"a model with a custom function, loss or layer cannot be saved ({reason}), got {part}")
    if "layers" in values:
        values["layers"] = [_describe(layer, LAYERS, "layer") for layer in values["layers"]]
    return {key: name} | values


def shortened(array: Array) -> Array:
    """Return the array in single precision if that is lossless."""
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    return single if np.array_equal(single, array) else array


# Unpacking. Any fault raises an exception; `load` turns it into a ModelFileError.


def _unpack(document: Mapping[str, Any]) -> Predictor | Network:
    kind = document["kind"]
    archive.require_that(kind in ("predictor", "network"), f"kind must be 'predictor' or 'network', got {kind!r}")
    if kind == "network":
        return _build_networks(document, ())[0]
    archive.require_that(isinstance(document["metadata"], dict), "metadata must be an object")
    ensemble = _build_ensemble(document)
    encoder = TabularEncoder.from_state(document["encoder"])
    return Predictor(encoder, ensemble, build(TARGETS, "task", document["target"]), document["metadata"])


def _build_ensemble(document: Mapping[str, Any]) -> Ensemble:
    options = document["ensemble"]
    require_integer(options["members"], "members")
    networks = _build_networks(document, (options["members"],))
    shapes = {"bounds": (2, networks[0].n_out), "residuals": (N_QUANTILES, networks[0].n_out)}
    arrays: Any = {name: _array(document, name, shape) for name, shape in shapes.items() if name in document}
    return Ensemble(tuple(networks), options["temperature"], options["smoothing"], **arrays)


def _array(document: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Array:
    array = document[name]
    is_real = isinstance(array, np.ndarray) and array.dtype.kind == "f"
    archive.require_that(is_real, f"{name} must be an array of floats")
    require(array.shape == shape, name, f"have shape {shape}", array.shape)
    return array


def _build_networks(document: Mapping[str, Any], members: tuple[int, ...]) -> list[Network]:
    """Return the networks with their parameters, allocated only after checking that the file contains so many."""
    description = document["network"]
    count = _count_layers(description["layers"]) * prod(members)
    archive.require_that(count <= _MAX_LAYERS, f"a model must have at most {_MAX_LAYERS:,} layers, got {count:,}")
    layers = [_build(LAYERS, "layer", layer) for layer in description["layers"]]
    loss = _build(LOSSES, "loss", description["loss"])
    n_parameters = size_of(lay_out([layer.shapes for layer in layers]))
    n_buffers = size_of(lay_out([layer.buffer_shapes for layer in layers]))
    thetas = np.atleast_2d(_array(document, "theta", (*members, n_parameters)))
    buffers = np.atleast_2d(_array(document, "buffers", (*members, n_buffers)))
    archive.require_that(all_finite(thetas) and all_finite(buffers), "theta and buffers must be finite")
    networks = []
    for theta, statistics in zip(thetas, buffers):
        network = Network.empty(layers, loss, **{name: description[name] for name in ("l1", "l2", "dtype")})
        network.theta[...], network.buffers[...] = theta, statistics
        networks.append(network)
    return networks


def _count_layers(descriptions: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of layers described, including nested ones."""
    return sum(1 + _count_layers(description.get("layers", ())) for description in descriptions)


def _build(table: Mapping[str, type], key: str, description: Mapping[str, Any]) -> Any:
    """Return the layer or loss that `_describe` described."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in description.items()}
    if "layers" in values:
        values["layers"] = [_build(LAYERS, "layer", layer) for layer in values["layers"]]
    return look_up(table, values.pop(key), key)(**values)
