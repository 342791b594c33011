"""One vector, many named arrays: the position of each parameter in `theta`, and views of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from chainrule.arrays import Array
from chainrule.nn.layers import Params, Shapes


@dataclass(frozen=True)
class Block:
    """The position of one parameter array in `theta`."""

    layer: int
    name: str
    slice: slice
    shape: tuple[int, ...]

    @property
    def full_name(self) -> str:
        """Layer and name, such as "0.W"; inside a Residual "2.0.W"."""
        return f"{self.layer}.{self.name}"

    @property
    def kind(self) -> str:
        """The name alone, such as "W"."""
        return self.name.rpartition(".")[2]

    @property
    def size(self) -> int:
        """Number of entries."""
        return prod(self.shape)

    def entry_name(self, k: int) -> str:
        """Return the name of the block's k-th entry, such as "0.W[1, 2]"."""
        return f"{self.full_name}[{', '.join(map(str, np.unravel_index(k, self.shape)))}]"

    def __str__(self) -> str:
        return f"{self.full_name} {self.shape}"


def lay_out(shapes: Sequence[Shapes]) -> list[Block]:
    """Assign every layer's arrays consecutive positions in one vector."""
    blocks, start = [], 0
    for i, layer_shapes in enumerate(shapes):
        for name, shape in layer_shapes.items():
            blocks.append(Block(i, name, slice(start, start + prod(shape)), shape))
            start += prod(shape)
    return blocks


def size_of(blocks: Sequence[Block]) -> int:
    """Return the length of the vector that the blocks make up."""
    return blocks[-1].slice.stop if blocks else 0


def views(vector: Array, blocks: Sequence[Block], n_layers: int) -> list[Params]:
    """Return a dict of views of `vector` (n,) or (k, n) for each layer, by parameter name."""
    named: list[Params] = [{} for _ in range(n_layers)]
    for block in blocks:
        named[block.layer][block.name] = vector[..., block.slice].reshape(*vector.shape[:-1], *block.shape)
    return named
