"""The site is built without a warning, names everything public, and needs no network to be read."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule

pytest.importorskip("sphinx_gallery")
DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages, their examples not run: tests of their own run those."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-D", "plot_gallery=0"]
    command += ["-d", str(folder / "doctrees")]
    done = subprocess.run([*command, str(DOCS), str(folder / "html")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_public_name_is_in_the_reference(site):
    pages = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    documented = set(re.findall(r'id="chainrule\.(\w+)"', pages))
    assert set(chainrule.__all__) - documented == set()


def test_no_page_asks_the_network_for_anything(site):
    for page in site.rglob("*.html"):
        asked = re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="(https?:[^"]+)"', page.read_text())
        assert asked == [], page
    assert (site / "_static" / "mathjax" / "tex-chtml.js").exists()


def test_formulas_and_code_are_on_their_pages(site):
    page = (site / "learn" / "softmax.html").read_text()
    assert r"\boxed{\;dZ = P - Y\;}" in page
    assert "shifted" in page


def test_the_search_index_knows_the_words(site):
    index = (site / "searchindex.js").read_text()
    assert '"backpropag' in index or "backpropag:" in index
