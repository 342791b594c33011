"""The code blocks of the README and of the pages in docs/ run and print what they claim to print."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chainrule.app import commands
from chainrule.model.recipe import Recipe

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROSE = {"not-for.md", "command-line.md", "accuracy.md"}
"""Pages without Python."""


def blocks(page):
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), flags=re.M | re.S)


def name_of(page):
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def few_epochs(monkeypatch):
    """Models of tables train for 8 epochs at most: what pages show of them is in words, and its numbers may differ."""
    planned = Recipe.epochs_for
    monkeypatch.setattr(Recipe, "epochs_for", lambda recipe, n_rows: min(planned(recipe, n_rows), 8))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch, capsys, brief_reports, few_epochs):
    """Python blocks share one namespace, commands share a folder with them, and text blocks show command output."""
    if "from fastapi" in page.read_text():
        pytest.importorskip("fastapi")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    namespace, output, languages = {}, [], set()
    for language, code in blocks(page):
        languages.add(language)
        if language == "python":
            exec(compile(code, page.name, "exec"), namespace)
        elif language == "sh":
            output += [line for command in code.splitlines() for line in run(command)]
    assert "python" in languages or page.parent.name == "reference" or page.name in PROSE
    printed = capsys.readouterr().out
    for expected in re.findall(r"# prints (.+)$", code_of(page, "python"), flags=re.M):
        assert expected in printed
    if "sh" in languages:
        shown = code_of(page, "text").splitlines()
        assert set(map(without_numbers, shown)) <= set(map(without_numbers, output)), "the page shows other output"


def code_of(page, wanted):
    return "\n".join(code for language, code in blocks(page) if language == wanted)


def run(command):
    """Run a `chainrule` command and return the lines it prints; of a `make` command check that its target exists.

    What needs a shell has one; any other command is run in this process, which has imported everything.
    """
    program, *arguments = shlex.split(command) or [""]
    if program == "make":
        assert f"\n{arguments[0]}:" in (ROOT / "Makefile").read_text()
    if program != "chainrule":
        return []
    if set("|<>") & set(command):
        return subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout.splitlines()
    done = CliRunner().invoke(commands.app, arguments)
    assert done.exit_code == 0, (command, done.stderr)
    return done.stdout.splitlines()


def without_numbers(line):
    return re.sub(r"[\d.,]+|\s+", " ", line)


def test_the_picture_of_the_readme_exists_and_is_small():
    (picture,) = re.findall(r"!\[.+\]\((.+)\)", (ROOT / "README.md").read_text())
    assert 0 < (ROOT / picture).stat().st_size < 100_000
