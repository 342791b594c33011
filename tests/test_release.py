"""What a release promises: public names, dependencies with their oldest versions, and what the files about it say."""

import re
import tomllib
from pathlib import Path

import pytest

import chainrule
from public_api import LISTED, public_api

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def test_the_public_interface_is_the_listed_one():
    assert public_api().splitlines() == LISTED.read_text().splitlines(), (
        "the public interface has changed: run `make api`, and describe the change in CHANGELOG.md"
    )


def requirements():
    extras = PROJECT["optional-dependencies"]
    listed = [(extra, each) for extra, all_of_it in extras.items() for each in all_of_it]
    return [("", each) for each in PROJECT["dependencies"]] + [
        (extra, each) for extra, each in listed if not each.startswith("chainrule[")
    ]


@pytest.mark.parametrize(("extra", "requirement"), requirements())
def test_every_dependency_states_its_oldest_version_and_no_newest(extra, requirement):
    assert re.fullmatch(r"[\w-]+>=\d+(\.\d+)*", requirement)


def test_a_dependency_has_one_oldest_version():
    floors = {}
    for _, requirement in requirements():
        name, floor = requirement.split(">=")
        assert floors.setdefault(name, floor) == floor, name


def test_the_supported_pythons_are_the_same_everywhere():
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    ci = (ROOT / ".github/workflows/ci.yml").read_text()
    tested = re.search(r"python: \[(.+)\]", ci).group(1)
    assert re.findall(r"3\.\d+", tested) == PYTHONS
    page = (ROOT / "docs/reference/support.md").read_text()
    assert re.findall(r"^\| Python (3\.\d+)", page, flags=re.M) == PYTHONS


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_no_permissions_but_those_of_its_jobs_and_pins_its_actions(workflow):
    text = workflow.read_text()
    assert "\npermissions: {}\n" in text
    used = re.findall(r"uses: (.+)", text)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/" + r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_the_citation_has_the_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f'\nversion: "{chainrule.__version__}"\n' in citation


def test_make_help_lists_every_command():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", makefile, flags=re.M)
    assert set(targets) == set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.M))
    assert set(targets) == set(re.search(r"^\.PHONY: (.+)$", makefile, flags=re.M).group(1).split())


def test_the_changelog_has_a_date_for_each_release():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)
    assert headings[0] == "Unreleased" or re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", headings[0])
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", heading) for heading in headings[1:])
