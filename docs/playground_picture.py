"""Take the picture of the playground, docs/_static/playground.png, with an installed Chromium.

python docs/playground_picture.py
"""

import shutil
from io import BytesIO
from pathlib import Path
from threading import Thread

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from chainrule.app.playground.server import listen, server

_PICTURE = Path(__file__).parent / "_static" / "playground.png"

_ON_SCREEN = """path => {
    const middle = path.getPointAtLength(0.5 * path.getTotalLength()).matrixTransform(path.getScreenCTM());
    return [middle.x, middle.y];
}"""


def take(path=_PICTURE):
    """Train the first lesson for 60 epochs and save what the page shows."""
    listener = listen(None)
    running = server("picture", listener)
    Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True).start()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 850})
        page.goto(f"http://127.0.0.1:{listener.getsockname()[1]}/picture/")
        page.wait_for_selector("body[data-frames]")
        for epoch in range(60):
            page.click("[data-step=epoch]")
            expect(page.locator("#epoch")).to_have_text(str(epoch + 1))
        x, y = page.locator("#edges path").nth(2).evaluate(_ON_SCREEN)
        page.mouse.click(x, y)
        page.wait_for_selector("#inspector .rule math")
        page.mouse.move(5, 5)
        picture = Image.open(BytesIO(page.screenshot()))
        browser.close()
    picture.convert("RGB").quantize(256).save(path, optimize=True)
    running.should_exit = True


if __name__ == "__main__":
    take()
