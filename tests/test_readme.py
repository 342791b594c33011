"""The README and the pages of docs/ are true: the Python blocks of each run in one namespace, and so do commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROSE = {"not-for.md", "command-line.md"}
"""Pages without Python."""


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


def commands(page):
    return [line for language, code in blocks(page) if language == "sh" for line in code.splitlines()]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
def test_the_commands_succeed_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    told = []
    for line in commands(page):
        if line.startswith("make "):
            assert f"\n{line.split()[1]}:" in (ROOT / "Makefile").read_text()
        elif line.startswith("chainrule "):
            done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (line, done.stderr)
            told += done.stdout.splitlines()
    shown = [line for language, code in blocks(page) if language == "text" for line in code.splitlines()]
    assert set(map(but_for_numbers, shown)) <= set(map(but_for_numbers, told)), "what is shown is what is told"


def but_for_numbers(line):
    return re.sub(r"[\d.,]+|\s+", " ", line)
