import inspect
import subprocess
import sys

import pytest

import chainrule


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def loaded_by(statement):
    return {name.partition(".")[0] for name in run(f"{statement}; import sys; print(*sys.modules)").split()}


def test_import_loads_numpy_and_nothing_else_from_outside():
    extra = loaded_by("import chainrule") - loaded_by("import numpy") - sys.stdlib_module_names
    assert extra == {"chainrule"}


def test_the_public_names_are_all_there_and_all_documented():
    for name in chainrule.__all__:
        thing = getattr(chainrule, name)
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            for method, function in inspect.getmembers(thing, inspect.isfunction):
                assert method.startswith("_") or inspect.getdoc(function), f"{name}.{method}"


def test_star_import_brings_the_public_names():
    out = run("from chainrule import *; print(*sorted(name for name in dir() if not name.startswith('__')))")
    assert out.split() == sorted(chainrule.__all__)


def test_the_version_is_the_installed_ones():
    from importlib.metadata import version

    assert version("chainrule") == chainrule.__version__


@pytest.mark.parametrize("name", ["MLPX", "nets"])
def test_an_unknown_name_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=name):
        getattr(chainrule, name)
