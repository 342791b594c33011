"""What a release promises: public names, dependencies with their oldest versions, and what the files about it say."""

import re
import tomllib
from pathlib import Path

import pytest

import chainrule
from chainrule.deprecation import RENAMED, deprecated, removed_in, renamed
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
    assert re.fullmatch(r"[\w-]+(\[\w+\])?>=\d+(\.\d+)*", requirement)


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


class Rate:
    @renamed("1.3", lr="rate")
    def __init__(self, rate):
        self.rate = rate


def test_what_is_deprecated_works_and_warns_where_it_is_used(monkeypatch):
    with pytest.warns(
        DeprecationWarning, match=r"'lr' of Rate .* since 1\.3 .* removed in 1\.5\. Use 'rate'\."
    ) as caught:
        assert Rate(lr=3).rate == Rate(rate=3).rate == 3
    assert [warning.filename for warning in caught] == [__file__]
    with (
        pytest.warns(DeprecationWarning, match="lr"),
        pytest.raises(TypeError, match="both 'rate' and its old name 'lr'"),
    ):
        Rate(lr=3, rate=3)
    monkeypatch.setitem(RENAMED, "MLP", ("Network", "0.2"))
    with pytest.warns(
        DeprecationWarning, match=r"chainrule\.MLP .* removed in 0\.4\. Use chainrule\.Network\."
    ) as caught:
        assert chainrule.MLP is chainrule.Network
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(DeprecationWarning, match="fit is deprecated since 2.0 and will be removed in 2.2. Use train."):
        deprecated("fit", "Use train", "2.0", stacklevel=1)


def overdue(sources, renamed_names, version):
    """Return the releases that deprecated what a version must not have any more."""
    since = [old for text in sources for old in re.findall(r'(?:deprecated|renamed)\([^)]*?"(\d+\.\d+)"', text)]
    release = tuple(map(int, version.split(".")[:2]))
    due = [
        old
        for old in [*since, *(old for _, old in renamed_names)]
        if tuple(map(int, removed_in(old).split("."))) <= release
    ]
    return sorted(due)


def test_nothing_deprecated_is_due_for_removal():
    used = ['deprecated("a", "Use b", "0.2")', '@renamed("0.3", lr="rate")']
    assert overdue(used, [("B", "0.1")], "0.4.1") == ["0.1", "0.2"]
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.py") if path.name != "deprecation.py"]
    assert overdue(sources, RENAMED.values(), chainrule.__version__) == []


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
