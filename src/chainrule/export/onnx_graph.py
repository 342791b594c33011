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


class Graph:
    """Nodes and constants with unique names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        name = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    @property
    def domains(self) -> set[str]:
        """The sets of operators that the nodes are from; "" is the main one."""
        return {node.domain for node in self.nodes}

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name
