"""Where the model comes from: the table, the command, versions and seeds, from which it can be trained again."""

from collections.abc import Callable, Mapping
from typing import Any

from chainrule.app import messages
from chainrule.app.report.blocks import Section, Table
from chainrule.app.report.study import Study


def _digest(entry: Mapping[str, Any]) -> str:
    return f"{entry['rows']:,} rows, {entry['columns']:,} columns, SHA-256 {entry['sha256']}"


def _listed(values: list[Any]) -> str:
    return ", ".join(map(str, values))


_ENTRIES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "table": ("training table", str),
    "file": ("its contents", _digest),
    "data": ("SHA-256 of the encoded rows", str),
    "command": ("command, without directories", str),
    "date": ("trained", messages.readable_date),
    "chainrule": ("chainrule version", str),
    "numpy": ("NumPy version", str),
    "seed": ("seed", str),
    "members": ("networks", str),
    "best_epochs": ("best epoch of each network", _listed),
    "temperatures": (
        "temperature of each network in use",
        lambda values: _listed([f"{value:.3f}" for value in values]),
    ),
}
"""Entry of the metadata -> its label, and how it is written."""


def section(study: Study) -> Section:
    """Return what is needed to repeat the training."""
    known = ({} if study.training is None else {"command": study.training.command}) | study.metadata
    shown = [
        (label, write(known[key])) for key, (label, write) in _ENTRIES.items() if known.get(key) not in (None, [], "")
    ]
    if study.evaluated:
        shown.insert(0, ("evaluated on", f"{study.evaluated['name']}: {_digest(study.evaluated)}"))
    networks = {str(network.loss) for network in study.ensemble.networks}
    layers = study.ensemble.networks[0]
    shown.append(
        ("first network", f"{layers.theta.size:,} parameters, {len(layers.layers)} layers, {', '.join(networks)}")
    )
    return Section("Data and reproduction", [Table(("", ""), shown, numeric=False, fits=True)])
