import csv
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
    [
        ("c", "who.h", "who_predict(x, out);"),
        ("python", "who.py", "python who.py < rows.csv"),
        ("js", "who.mjs", 'import { predict, predictAll } from "./who.mjs";'),
    ],
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


@pytest.mark.parametrize("name", ["my model.py", "class.py", "2.py"])
def test_the_usage_of_a_python_file_with_an_odd_name_works(name, here):
    result = export("who.chainrule", "--to", "python", "--pure", "--out", name)
    *_, test, imported = result.output.splitlines()
    done = subprocess.run(test, shell=True, capture_output=True, text=True, check=True, cwd=here)
    assert "16 golden rows" in done.stdout
    code = f"import importlib; print({imported.replace('rows', '[]')})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_script_for_a_page_defines_a_constant(here):
    result = export("who.chainrule", "--to", "js", "--inline")
    assert result.exit_code == 0, result.output
    text = (here / "who.js").read_text()
    assert "\nconst who = (() => {" in text
    assert "export" not in text
    assert "who.predict(row)" in result.output


@pytest.mark.parametrize("language", ["c", "js"])
def test_the_error_of_8_bit_weights_is_measured_on_a_table(language, here):
    table = TABLES["numbers and categories"]
    columns = [[str(cell) if cell == cell and cell is not None else "" for cell in cells] for cells in table.values()]
    with open("rows.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(table), *zip(*columns)])
    result = export("who.chainrule", "--to", language, "--int8", "--rows", "rows.csv")
    assert result.exit_code == 0, result.output
    (file,) = here.glob("who.[hm]*")
    assert "largest difference this causes on 60 given rows" in file.read_text()


def test_rows_of_a_network_are_a_table_of_numbers(here):
    save(mlp(2, 3, 1, seed=0), "net.chainrule")
    (here / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    assert export("net.chainrule", "--to", "c", "--int8", "--rows", "rows.csv").exit_code == 0
    assert "on 2 given rows" in (here / "net.h").read_text()


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
        (["who.chainrule", "--to", "c", "--rows", "rows.csv"], "--rows requires --int8"),
        (["who.chainrule", "--to", "c", "--inline"], "--inline requires --to js, got --to c"),
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
