"""A builder for ONNX graphs, which names every node and constant."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import MissingExtraError

try:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise MissingExtraError("export to ONNX", "onnx") from error

__all__ = ["ML_DOMAIN", "Graph", "TensorProto", "helper", "numpy_helper", "onnx", "onnxruntime"]


ML_DOMAIN = "ai.onnx.ml"
"""The second set of standard operators, for preprocessing."""


_LEAST_OPSET = 9
"""The operator set from which on a model may have constants that are not inputs, and all operators but these."""
_SINCE = {"Clip": 12, "Equal": 11, "Mish": 18, "ReduceMean": 18, "TopK": 11}
"""Operators to the set since which they take what the exports give them, and onnxruntime has them."""


class Graph:
    """Nodes and constants with unique names; `opset` is the lowest operator set that has all of the nodes."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.opset = _LEAST_OPSET

    def add(
        self, operator: str, *inputs: str, name: str = "", since: int = 0, n_outputs: int = 1, **attributes: Any
    ) -> str:
        """Add a node, which needs the operator set `since`, and return the name of its first output."""
        self.opset = max(self.opset, since, _SINCE.get(operator, 0))
        name = name or f"{operator}_{len(self.nodes)}"
        outputs = [name, *(f"{name}_{k}" for k in range(1, n_outputs))]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return name

    @property
    def opsets(self) -> list[Any]:
        """The operator sets of the nodes, in their lowest versions; "" is the main one."""
        versions = {"": self.opset, ML_DOMAIN: 2}
        return [
            helper.make_opsetid(domain, versions[domain]) for domain in sorted({"", *(n.domain for n in self.nodes)})
        ]

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name
