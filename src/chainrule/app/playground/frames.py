"""Binary messages: a JSON header with names, types and shapes, then the arrays, each at a multiple of four bytes.

4 bytes: length of the header, little-endian | header, padded with spaces | array | array | ...
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.arrays import Array

_KINDS = {"float32": "f4", "uint8": "u1"}


def encode(kind: str, values: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """Return a message; arrays are float32 or uint8."""
    shapes = {name: [_KINDS[array.dtype.name], list(array.shape)] for name, array in arrays.items()}
    header = _padded(json.dumps({"type": kind, **values, "arrays": shapes}).encode(), b" ")
    return b"".join(
        [len(header).to_bytes(4, "little"), header, *(_padded(a.tobytes(), b"\0") for a in arrays.values())]
    )


def decode(message: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the header and the arrays, as the page reads them."""
    place = 4 + int.from_bytes(message[:4], "little")
    header = json.loads(message[4:place])
    arrays = {}
    for name, (kind, shape) in header.pop("arrays").items():
        n_bytes = int(np.prod(shape)) * int(kind[1])
        arrays[name] = np.frombuffer(message[place : place + n_bytes], kind).reshape(shape)
        place += -(-n_bytes // 4) * 4
    return header, arrays


def _padded(content: bytes, filler: bytes) -> bytes:
    return content + filler * (-len(content) % 4)
