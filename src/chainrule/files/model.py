"""The model file: data, never code.

An archive (see `chainrule.files.archive`) of a few arrays and one document. The document describes layers, loss and
activations by name, encoder and target by their fields. Names are looked up in the tables of the library and nowhere
else. Networks with the same description are a family, whose arrays have one row per network: `theta` contains the
parameters and `buffers` the running statistics. `bounds`, `scores` and `contrast` are those of
`chainrule.model.ensemble`, `background` that of `chainrule.Predictor`.

    {"format": "chainrule", "version": 2, "kind": "predictor" or "network", "written_by": {"chainrule", "numpy"},
     "families": [{"layers", "loss", "l1", "l2", "dtype", "theta", "buffers"}, ...], "bounds", "scores", "contrast",
     "background", "ensemble": {"weights", "temperature", "smoothing"}, "encoder", "target", "metadata"}

In version 1, whose networks predict no quantiles, the scores are called "residuals".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import groupby
from typing import Any

import numpy as np

import chainrule
from chainrule.arrays import Array, all_finite, require
from chainrule.data.columns import as_plain, build
from chainrule.data.tabular import TabularEncoder
from chainrule.data.targets import TARGETS
from chainrule.errors import look_up
from chainrule.files import archive
from chainrule.files.archive import Format, Path
from chainrule.model import embeddings, neighbors  # noqa: F401 # add their layers to LAYERS
from chainrule.model.ensemble import Ensemble
from chainrule.model.predictor import Predictor
from chainrule.model.quantiles import MeanAndQuantiles
from chainrule.nn.layers import LAYERS
from chainrule.nn.losses import LOSSES
from chainrule.nn.network import Network
from chainrule.nn.vector import lay_out, size_of

FORMAT = Format("chainrule", 2, n_older=1)
_LOSSES = LOSSES | {"mean_and_quantiles": MeanAndQuantiles}
_MAX_LAYERS = 10_000
"""Limit on the layers of all networks together."""


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
    written_by = {"chainrule": chainrule.__version__, "numpy": np.__version__}
    if isinstance(model, Predictor):
        _check_metadata(model.metadata)
    document = _document(model)
    return archive.pack(FORMAT, {"kind": document["kind"], "written_by": written_by} | document)


def digest_of(model: Predictor | Network) -> str:
    """Return a SHA-256 of what a model computes: of all but its metadata, its background and who has written its file.

    Exports contain it, so that one can tell which model they are from.
    """
    document = _document(model)
    return archive.checksum(archive.pack(FORMAT, {k: v for k, v in document.items() if k not in _UNCOMPUTED}))


_UNCOMPUTED = ("metadata", "background")


def _document(model: Predictor | Network) -> dict[str, Any]:
    """Return the model as a tree."""
    networks = _networks(model)
    count = sum(len(network.layers) for network in networks)
    require(count <= _MAX_LAYERS, "model", f"have at most {_MAX_LAYERS:,} layers", count)
    document: dict[str, Any] = {
        "kind": "network",
        "families": [
            _family(description, list(members)) for description, members in groupby(networks, _describe_network)
        ],
    }
    if isinstance(model, Predictor):
        ensemble = model.ensemble
        options = {name: getattr(ensemble, name) for name in ("weights", "temperature", "smoothing")}
        optional = {name: getattr(ensemble, name) for name in ("bounds", "scores", "contrast")}
        optional |= {"background": model.background}
        document |= {name: shortened(array) for name, array in optional.items() if array is not None}
        document |= {
            "kind": "predictor",
            "ensemble": options,
            "encoder": model.encoder.state(),
            "target": {"task": model.target.task} | as_plain(model.target),
            "metadata": model.metadata,
        }
    return document


def _networks(model: Predictor | Network) -> tuple[Network, ...]:
    return model.ensemble.networks if isinstance(model, Predictor) else (model,)


def _check_metadata(metadata: dict[str, Any]) -> None:
    """Raise ValueError if the metadata are not valid JSON."""
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must contain only plain, finite data: {error}") from None


def _family(description: dict[str, Any], networks: list[Network]) -> dict[str, Any]:
    """Return the description with the numbers of all networks that it describes."""
    theta, buffers = (np.stack([getattr(network, name) for network in networks]) for name in ("theta", "buffers"))
    return description | {"theta": shortened(theta), "buffers": shortened(buffers)}


def _describe_network(network: Network) -> dict[str, Any]:
    """Return what a network is but for its numbers."""
    return {
        "layers": [_describe(layer, LAYERS, "layer") for layer in network.layers],
        "loss": _describe(network.loss, _LOSSES, "loss"),
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
        (network,) = _build_networks(document)
        return network
    archive.require_that(isinstance(document["metadata"], dict), "metadata must be an object")
    ensemble = _build_ensemble(document)
    encoder = TabularEncoder.from_state(document["encoder"])
    target, background = build(TARGETS, "task", document["target"]), None
    if "background" in document:
        background = _array(document, "background", (len(document["background"]), encoder.n_features))
        archive.require_that(all_finite(background), "background must be finite")
    return Predictor(encoder, ensemble, target, document["metadata"], background)


def _build_ensemble(document: Mapping[str, Any]) -> Ensemble:
    networks = tuple(_build_networks(document))
    options = {name: document["ensemble"][name] for name in ("weights", "temperature", "smoothing")}
    names = {"bounds": "bounds", "contrast": "contrast", "scores" if document["version"] > 1 else "residuals": "scores"}
    arrays: Any = {names[name]: _floats(document, name) for name in names if name in document}
    return Ensemble(networks, **options, **arrays)


def _floats(document: Mapping[str, Any], name: str) -> Array:
    array = document[name]
    is_real = isinstance(array, np.ndarray) and array.dtype.kind == "f"
    archive.require_that(is_real, f"{name} must be an array of floats")
    return array


def _array(document: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Array:
    array = _floats(document, name)
    require(array.shape == shape, name, f"have shape {shape}", array.shape)
    return array


def _build_networks(document: Mapping[str, Any]) -> list[Network]:
    families = document["families"]
    count = sum(len(family["theta"]) * _count_layers(family["layers"]) for family in families)
    archive.require_that(0 < count <= _MAX_LAYERS, f"a model must have 1 to {_MAX_LAYERS:,} layers, got {count:,}")
    return [network for family in families for network in _build_family(family)]


def _count_layers(descriptions: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of layers described, including nested ones."""
    return sum(1 + _count_layers(description.get("layers", ())) for description in descriptions)


def _build_family(family: Mapping[str, Any]) -> list[Network]:
    """Return networks with their parameters, allocated only after checking that the file contains so many."""
    layers = [_build(LAYERS, "layer", layer) for layer in family["layers"]]
    loss, n_networks = _build(_LOSSES, "loss", family["loss"]), len(family["theta"])
    theta = _array(family, "theta", (n_networks, size_of(lay_out([layer.shapes for layer in layers]))))
    buffers = _array(family, "buffers", (n_networks, size_of(lay_out([layer.buffer_shapes for layer in layers]))))
    archive.require_that(all_finite(theta) and all_finite(buffers), "theta and buffers must be finite")
    options = {name: family[name] for name in ("l1", "l2", "dtype")}
    networks = [Network.empty(layers, loss, **options) for _ in range(n_networks)]
    for k, network in enumerate(networks):
        network.theta[...], network.buffers[...] = theta[k], buffers[k]
    return networks


def _build(table: Mapping[str, type], key: str, description: Mapping[str, Any]) -> Any:
    """Return the layer or loss that `_describe` described."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in description.items()}
    if "layers" in values:
        values["layers"] = [_build(LAYERS, "layer", layer) for layer in values["layers"]]
    return look_up(table, values.pop(key), key)(**values)
