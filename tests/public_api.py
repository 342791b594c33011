"""The public interface as text: each name with its parameters and their defaults.

`make api` writes it to public_api.txt, whose changes are therefore changes that users notice.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import chainrule

LISTED = Path(__file__).with_name("public_api.txt")
WIDTH = 120


def public_api() -> str:
    return "".join(f"{line}\n" for line in module_lines("chainrule", chainrule))


def module_lines(name: str, module: ModuleType) -> Iterator[str]:
    """Yield the names of `__all__`, or of a module that has none, all without an underscore."""
    for key in sorted(getattr(module, "__all__", [key for key in vars(module) if not key.startswith("_")])):
        value = getattr(module, key)
        if module is chainrule.nn:  # modules to read, whose content has its public names elsewhere
            yield f"{name}.{key}"
        elif isinstance(value, ModuleType):
            yield from module_lines(f"{name}.{key}", value)
        elif module is not chainrule and value is getattr(chainrule, key, None):
            yield f"{name}.{key} is chainrule.{key}"
        elif inspect.isclass(value):
            yield from class_lines(f"{name}.{key}", value)
        else:
            yield f"{name}.{key}{parameters(value) if callable(value) else ''}"


def class_lines(name: str, cls: type) -> Iterator[str]:
    """Yield the constructor, then the members but those of public bases and those that the constructor has set."""
    if issubclass(cls, Exception):
        yield f"{name}({', '.join(base.__name__ for base in cls.__bases__)})"
        return
    yield f"{name}{parameters(cls)}"
    for key in sorted(set(dir(cls)) - set(inspect.signature(cls).parameters)):
        home = next(base for base in cls.__mro__ if key in vars(base))
        inherited = home is not cls and home.__name__ in chainrule.__all__
        ours = home.__module__.startswith("chainrule") and not key.startswith("_") and not key.endswith("_request")
        if ours and not inherited:
            member = getattr(cls, key)
            yield f"{name}.{key}{parameters(member) if callable(member) else ''}"


def parameters(function: Any) -> str:
    """Return the signature without annotations, whose text depends on the version of Python."""
    signature = inspect.signature(function)
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    text = str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    return text if len(text) < WIDTH else text.replace(", ", ",\n    ").replace("(", "(\n    ", 1)


if __name__ == "__main__":
    LISTED.write_text(public_api())
