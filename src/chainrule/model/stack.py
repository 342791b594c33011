"""Stacks: networks with the same layers predict few rows together, a call of NumPy for all of them instead of for each.

The forward pass of a layer is that of k networks too (see `chainrule.nn.layers`): rows X (n, n_in), the same for all of
them, become (k, n, n_out) at the first layer that has parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import final

import numpy as np

from chainrule.arrays import Array, all_finite, require_finite_rows
from chainrule.model.embeddings import Lookup
from chainrule.nn.custom import is_custom
from chainrule.nn.inference import Plan
from chainrule.nn.layers import LAYERS
from chainrule.nn.network import Network
from chainrule.nn.vector import views


@final
class Stack:
    """Networks with the same layers, whose parameters are moved into the rows of one matrix."""

    def __init__(self, networks: Sequence[Network]) -> None:
        first, self.networks = networks[0], networks
        self.theta = np.empty((len(networks), first.theta.size), first.dtype)
        for network, row in zip(networks, self.theta):
            network.move_to(row)
        params = views(self.theta, first.blocks, len(first.layers))
        rows = [{name: A[:, np.newaxis] if A.ndim == 2 else A for name, A in named.items()} for named in params]
        self.plan = Plan.of(first.layers, rows)

    @property
    def is_current(self) -> bool:
        """Whether the networks still have their parameters here: those of another stack may have been moved there."""
        return all(network.theta.base is self.theta for network in self.networks)

    def infer(self, X: Array) -> Array:
        """Return the raw outputs (k, n, n_out) of the k networks; raise what `Network.infer` raises."""
        require_finite_rows(X)
        with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite are searched for
            Z = self.plan.run(X)
        return Z if all_finite(Z) else np.stack([network.infer(X) for network in self.networks])


@final
@dataclass(frozen=True, eq=False)
class Alone:
    """A network without others like it, or with custom parts, which take the rows of one network only."""

    network: Network
    is_current = True

    def infer(self, X: Array) -> Array:
        """Return the raw outputs (1, n, n_out)."""
        return self.network.infer(X)[np.newaxis]


def stacks_of(networks: Sequence[Network]) -> list[Stack | Alone]:
    """Return the networks in their order, those with the same layers that follow each other as one stack."""
    stacks: list[Stack | Alone] = []
    for _, group in groupby(networks, lambda network: network.layers):
        alike = list(group)
        stacks += [Stack(alike)] if len(alike) > 1 and all(map(_can_stack, alike)) else map(Alone, alike)
    return stacks


def _can_stack(network: Network) -> bool:
    """Return whether all layers compute several networks at once, and one of them has parameters to tell them apart."""
    layers = network.layers
    if type(network) is not Network or network.buffers.size or not network.theta.size or any(map(is_custom, layers)):
        return False
    # A Lookup takes rows that are the same for all networks.
    lookups = [i for i, layer in enumerate(layers) if isinstance(layer, Lookup)]
    shared = not lookups or lookups[-1] <= network.first_trainable
    return shared and all(type(layer) in LAYERS.values() for layer in layers)
