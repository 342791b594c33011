import subprocess
import sys

import pytest
from typer.testing import CliRunner

from chainrule import mlp, save
from chainrule.app.commands import app
from exported import TABLES, TARGETS, predictor_of


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory with a model, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    predictor_of(TABLES["numbers and categories"], TARGETS["text"]).save("who.chainrule")
    return tmp_path


def export(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.mark.parametrize(
    ("language", "file", "used"),
    [("c", "who.h", "who_predict(x, out);"), ("python", "who.py", "python who.py < rows.csv")],
)
def test_the_output_describes_the_file_and_its_use(language, file, used, here):
    result = export("who.chainrule", "--to", language)
    assert result.exit_code == 0, result.output
    first, second, blank, *usage = result.output.splitlines()
    assert first == f"{file}  ({(here / file).stat().st_size / 1024:,.0f} KB)"
    assert second.startswith("largest difference on its 16 golden rows: ")
    assert float(second.rpartition(" ")[2]) < 1e-5
    assert (blank, len(usage)) == ("", 3)
    assert used in usage


def test_the_onnx_usage_names_the_inputs(here):
    pytest.importorskip("onnxruntime")
    result = export("who.chainrule", "--to", "onnx", "--out", here / "other.onnx")
    assert result.exit_code == 0, result.output
    assert (here / "other.onnx").exists()
    assert 'session.run(None, {"numbers": numbers, "categories": categories})' in result.output


def test_the_error_of_8_bit_weights_is_printed(here):
    assert "caused by the 8-bit weights: " in export("who.chainrule", "--to", "c", "--int8").output


def test_a_pure_file_runs_without_packages(here):
    assert export("who.chainrule", "--to", "python", "--pure").exit_code == 0
    done = subprocess.run([sys.executable, "-I", "-S", "who.py", "--test"], capture_output=True, text=True, check=True)
    assert "16 golden rows" in done.stdout


def test_a_bare_network_is_exported_too(here):
    save(mlp(2, 3, 1, seed=0), "net.chainrule")
    assert export("net.chainrule", "--to", "c").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["who.chainrule", "--to", "python", "--int8"], "--int8 requires --to c or js, got --to python"),
        (["who.chainrule", "--to", "c", "--pure"], "--pure requires --to python, got --to c"),
        (["none.chainrule", "--to", "c"], "none.chainrule: "),
        (["who.chainrule", "--to", "c", "--out", "who.chainrule"], "--out must not be the same file as MODEL"),
        (["who.chainrule", "--to", "c", "--out", "no/who.h"], "the directory no does not exist"),
    ],
)
def test_a_mistake_is_reported_in_one_line_and_nothing_is_written(arguments, message, here):
    result = export(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in here.iterdir()] == ["who.chainrule"]
