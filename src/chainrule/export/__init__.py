"""Exporters: write a model as ONNX, C, JavaScript or Python, with golden rows and a self-test in every file."""

from typing import TYPE_CHECKING, Any

from chainrule.export.c import to_c
from chainrule.export.javascript import to_js
from chainrule.export.python import to_python
from chainrule.export.writing import Export

if TYPE_CHECKING:
    from chainrule.export.onnx import to_onnx, verify_onnx

__all__ = ["Export", "to_c", "to_js", "to_onnx", "to_python", "verify_onnx"]


def __getattr__(name: str) -> Any:
    if name not in ("to_onnx", "verify_onnx"):
        raise AttributeError(f"module 'chainrule.export' has no attribute {name!r}")
    from chainrule.export import onnx  # imported late because it needs the extra `onnx`

    return getattr(onnx, name)
