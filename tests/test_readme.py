"""The README and the pages of docs/ are true: the Python blocks of each run in one namespace, and so do commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROSE = {"not-for.md"}


def blocks(page):
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), flags=re.M | re.S)


def name_of(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_python_blocks_run_as_they_stand(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    python = [code for language, code in blocks(page) if language == "python"]
    assert python or page.parent.name == "reference" or page.name in PROSE
    namespace = {}
    for code in python:
        exec(compile(code, page.name, "exec"), namespace)
    printed = capsys.readouterr().out
    for expected in re.findall(r"# prints (.+)$", "\n".join(python), flags=re.M):
        assert expected in printed


COMMANDS = [line for language, code in blocks(PAGES[0]) if language == "sh" for line in code.splitlines()]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("chainrule ")])
def test_the_chainrule_commands_succeed(line, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "readme"
    if not folder.exists():
        folder.mkdir()
        (folder / "examples").symlink_to(ROOT / "examples")
    command = [sys.executable, "-m", "chainrule", *line.split("#")[0].split()[1:]]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_the_make_targets_exist(line):
    assert f"\n{line.split()[1]}:" in (ROOT / "Makefile").read_text()
