"""The site builds without warnings, documents every public name, and loads nothing from the network."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import chainrule

pytest.importorskip("sphinx_gallery")
DOCS = Path(__file__).parent.parent / "docs"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A draft of the site: `test_examples.py` runs the examples."""
    folder = tmp_path_factory.mktemp("site")
    options = ["-W", "--keep-going", "-q", "-t", "draft", "-d", folder / "doctrees"]
    command = [sys.executable, "-m", "sphinx", *options, DOCS, folder / "html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_public_name_is_in_the_reference(site):
    pages = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    documented = set(re.findall(r'id="chainrule\.(\w+)"', pages))
    assert {name for name in chainrule.__all__ if not isinstance(getattr(chainrule, name), ModuleType)} <= documented


def test_no_page_loads_anything_from_the_network(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="(https?:[^"]+)"', page.read_text())
        assert loaded == [], page
    assert (site / "_static" / "mathjax" / "tex-chtml.js").exists()


def test_formulas_and_code_are_on_their_pages(site):
    softmax, matrices = ((site / "learn" / f"{name}.html").read_text() for name in ("softmax", "matrices"))
    assert r"\boxed{\;dz = p - y\;}" in softmax
    assert "def backward(dZ):" in re.sub(r"<[^>]+>", "", matrices)


def cells(path):
    notebook = json.loads(path.read_text())
    return [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]


def test_notebooks_alternate_between_text_and_code_and_end_with_a_call(site):
    paths = list((site / "_downloads").rglob("*.ipynb"))
    assert {path.stem for path in paths} == {path.stem for path in (DOCS.parent / "examples").glob("*.py")}
    for path in paths:
        kinds, sources = zip(*cells(path), strict=True)
        assert len(kinds) >= 6, path
        assert kinds == ("markdown", "code") * (len(kinds) // 2), path
        assert "argparse" not in "".join(sources), path
        assert 'main(out="pictures")' in sources[-1]


@pytest.mark.parametrize(
    "name", ["perceptron", *(pytest.param(name, marks=pytest.mark.slow) for name in ("figures", "mnist", "quality"))]
)
def test_a_downloaded_notebook_runs_and_shows_its_pictures(name, site, tmp_path, monkeypatch):
    """In an empty folder, by the kernel of Jupyter; without its images, that of MNIST has nothing to show."""
    nbclient, nbformat = (pytest.importorskip(module) for module in ("nbclient", "nbformat"))
    monkeypatch.delenv("CHAINRULE_MNIST", raising=False)
    (path,) = (site / "_downloads").rglob(f"{name}.ipynb")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = notebook.cells[-1].outputs
    shown = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(shown) == len(list(tmp_path.rglob("*.png")))
    assert len(shown) > 0 or "skipped: pass the path" in outputs[0].text


@pytest.mark.parametrize("term", ["backpropag", "overfit", "hyperparamet", "regular", "vanish", "confus", "predict"])
def test_standard_terms_are_in_the_search_index(term, site):
    index = (site / "searchindex.js").read_text()
    assert re.search(rf'["{{,]{term}\w*"?:', index)


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


def test_figures_to_play_with_take_the_place_of_the_still_ones_and_move(site, browser):
    """On a phone, each page with one has no error, does not scroll sideways, and its figure answers every control."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.set_default_timeout(120_000)  # milliseconds: the machine may be busy
    page.route("**/mathjax/**", lambda route: route.abort())  # setting the formulas takes half of the time
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    played = [path for path in sorted(site.rglob("*.html")) if "data-play=" in path.read_text()]
    assert len(played) == 20
    for path in played:
        page.goto(path.as_uri())
        assert page.evaluate(PLAY) == {"still": 0, "unmoved": [], "width": 390}, path.stem
    assert errors == []


PLAY = """() => {
    const figure = document.querySelector("[data-play]"), unmoved = [];
    const drawn = (control, value) => {
        control.value = value;
        control.dispatchEvent(new Event("input", { bubbles: true }));
        return figure.querySelector(":scope > div").innerHTML;
    };
    for (const control of figure.querySelectorAll("input[type=range]"))
        if (drawn(control, control.min) === drawn(control, control.max)) unmoved.push(control.outerHTML);
    for (const button of figure.querySelectorAll("button")) button.click();
    return { still: figure.querySelectorAll("img").length, unmoved, width: document.documentElement.scrollWidth };
}"""
"""Move every control of the figure from one end to the other and press every button."""
