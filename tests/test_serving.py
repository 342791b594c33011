"""The page about serving a model: what it shows for a browser and for a microcontroller predicts like the model."""

import re
import shutil
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

PAGE = (Path(__file__).parent.parent / "docs/use/serving.md").read_text()
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.M | re.S)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder with the model and the exports of the page, and what the model predicts for its flat."""
    folder = tmp_path_factory.mktemp("serving")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        namespace = {}
        train, *others = blocks("python")
        exports = [block for block in others if re.search(r"^to_(js|c)\(", block, flags=re.M)]
        assert len(exports) == 2
        load = "from chainrule import load\nmodel = load('flats.chainrule')"
        for block in (train, load, *exports):
            exec(block, namespace)
        (price,) = namespace["model"].predict([{"size": 80, "city": "Bonn"}])
    return folder, round(float(price))


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_program_in_c_prints_the_price(served):
    folder, price = served
    (program,) = blocks("c")
    (folder / "main.c").write_text(program)
    subprocess.run(["cc", "-std=c99", "-Werror", "main.c", "-o", "main", "-lm"], cwd=folder, check=True)
    printed = subprocess.run([folder / "main"], capture_output=True, text=True, check=True).stdout
    assert int(printed) == pytest.approx(price, rel=1e-5)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
def test_the_page_in_a_browser_shows_the_price(served):
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    folder, price = served
    (page,) = blocks("html")
    (folder / "index.html").write_text(page)
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *args: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            tab = browser.new_page()
            tab.goto(f"http://127.0.0.1:{server.server_port}/")
            shown = tab.wait_for_function("document.querySelector('output').value").json_value()
            assert int(shown) == pytest.approx(price, rel=1e-5)
        server.shutdown()
