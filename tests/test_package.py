import inspect
import subprocess
import sys

import pytest

import chainrule


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def loaded_by(statement):
    return {name.partition(".")[0] for name in run(f"{statement}; import sys; print(*sys.modules)").split()}


def test_import_loads_no_package_but_numpy():
    extra = loaded_by("import chainrule") - loaded_by("import numpy") - sys.stdlib_module_names
    assert extra == {"chainrule"}


def test_every_public_name_exists_and_is_documented():
    for name in chainrule.__all__:
        public = getattr(chainrule, name)
        assert inspect.getdoc(public), name
        if inspect.isclass(public):
            for method, function in inspect.getmembers(public, inspect.isfunction):
                assert method.startswith("_") or inspect.getdoc(function), f"{name}.{method}"


def test_star_import_imports_the_public_names():
    names = {}
    exec("from chainrule import *", names)
    assert sorted(name for name in names if not name.startswith("__")) == sorted(chainrule.__all__)


def test_the_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    assert version("chainrule") == chainrule.__version__


@pytest.mark.parametrize("name", ["MLPX", "nets"])
def test_an_unknown_name_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=name):
        getattr(chainrule, name)
