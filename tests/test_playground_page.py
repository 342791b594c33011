"""The playground in a real browser: each control, each lesson, own data, sharing, and a server that stops."""

import re
import runpy
import shutil
from itertools import count
from pathlib import Path

import numpy as np
import pytest

import chainrule
from chainrule.app.playground.lessons import LESSONS
from chainrule.app.playground.server import listen
from chainrule.app.playground.settings import CHOICES, from_link
from playing import served

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
expect, PATIENCE = api.expect, 120_000
"""PATIENCE: milliseconds after which something has not happened, even on a busy machine."""
expect.set_options(timeout=PATIENCE)
PENGUINS = (Path(__file__).parent.parent / "examples/data/penguins.csv").read_bytes()


@pytest.fixture(scope="module")
def browser():
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address():
    with served() as address:
        yield address


@pytest.fixture(scope="module")
def pages(browser, address):
    """Two tabs, and what went wrong in them: a script that failed, or a request to anywhere else."""
    contexts = [browser.new_context(viewport={"width": 1280, "height": 800}) for _ in range(2)]
    failures = []

    def note(request):
        if not request.url.startswith((address, address.replace("http", "ws"), "data:", "blob:", "about:")):
            failures.append(request.url)

    tabs = [context.new_page() for context in contexts]
    for page in tabs:
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda message: failures.append(message.text) if message.type == "error" else None)
        page.on("request", note)
    yield tabs, failures
    for context in contexts:
        context.close()


@pytest.fixture
def open_page(pages, address):
    """Open the page with a link, in the first tab or in the second."""
    (tabs, failures), numbers = pages, count()

    def open_page(link="", lesson="", tab=0):
        page = tabs[tab]
        page.goto("about:blank")
        page.goto(f"{address}?{f'lesson={lesson}' if lesson else next(numbers)}{f'#{link}' if link else ''}")
        page.wait_for_selector("body[data-frames]")
        return page

    yield open_page
    assert failures == []


def setup_of(page):
    """Return the settings in the address."""
    return from_link(page.evaluate("location.hash"))


def expect_setup(page, **settings):
    """Wait until the address has these settings."""
    for _ in range(PATIENCE // 20):
        if all(getattr(setup_of(page), name) == value for name, value in settings.items()):
            return
        page.wait_for_timeout(20)
    raise AssertionError((settings, setup_of(page)))


def play(page, until=3):
    """Play until the epoch, then pause."""
    page.select_option("#speed", "0")
    page.click("#play")
    expect(page.locator("#epoch")).to_have_text(re.compile(rf"^(?!.*\b[0-{until - 1}]$|^$).+"))
    page.click("#play")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Play")


# Time.


def test_it_plays_pauses_steps_and_goes_back(open_page):
    page = open_page("rows=60")
    epoch, button = page.locator("#epoch"), page.locator("#play")
    expect(epoch).to_have_text("0")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(epoch).not_to_have_text("0")
    page.keyboard.press("Escape")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    page.click("#reset")
    expect(epoch).to_have_text("0")
    page.click("[data-step=epoch]")
    expect(epoch).to_have_text("1")
    loss = page.locator("#scores span").nth(4).inner_text()
    page.click("#reset")
    expect(epoch).to_have_text("0")
    page.click("[data-step=epoch]")
    expect(epoch).to_have_text("1")
    assert page.locator("#scores span").nth(4).inner_text() == loss, "the same seed, the same numbers"


def test_shortcuts(open_page):
    page = open_page("rows=60")
    page.locator("body").press("e")
    expect(page.locator("#epoch")).to_have_text("1")
    page.locator("body").press("b")
    expect(page.locator(".phases .now")).to_have_text("forward")
    page.locator("body").press("n")
    expect(page.locator("#inspector")).to_contain_text("row 1 of 10")
    page.locator("body").press("r")
    expect(page.locator("#epoch")).to_have_text("0")
    page.locator("body").press(" ")
    expect(page.locator("#play")).to_have_attribute("aria-pressed", "true")


def test_a_batch_in_four_steps_with_numbers_on_the_diagram(open_page):
    page = open_page("layers=3,2&batch=4&rows=40")
    for phase in ("forward", "loss", "backward", "update"):
        page.click("[data-step=batch]")
        expect(page.locator(".phases .now")).to_have_text(phase)
        assert page.locator("#inspector math").count() > 0
        shown = [text for text in page.locator(".unit .number").all_inner_texts() if text]
        assert len(shown) == {"forward": 2 + 3 + 2 + 1, "loss": 1, "backward": 3 + 2 + 1, "update": 3 + 2 + 1}[phase]
        assert (page.locator("#edges text").count() > 0) == (phase in ("backward", "update"))
    for row in (1, 2):
        for _ in range(3):
            page.click("[data-step=row]")
        expect(page.locator("#inspector")).to_contain_text(f"row {row} of 4")


def test_it_draws_frames_and_never_freezes_while_it_trains(open_page):
    page = open_page("layers=8,8&outputs=2&loss=cross_entropy&batch=1")
    page.select_option("#speed", "0")
    page.click("#play")
    for _ in range(5):
        drawn = page.get_attribute("body", "data-frames")
        expect(page.locator("body")).not_to_have_attribute("data-frames", drawn)
    page.click("#show-test")
    expect(page.locator("#show-test")).not_to_be_checked()


# Every control.


@pytest.fixture(scope="module")
def shared_page(pages, address):
    """The second tab, for tests that change one setting each."""
    page = pages[0][1]
    page.goto(f"{address}#optimizer=sgd&schedule=cosine&layers=3&rows=60")
    page.wait_for_selector("body[data-frames]")
    return page


VALUES = {
    "rate": 0.003, "momentum": 0.5, "epochs": 50, "batch": 25, "l1": 0.001, "l2": 0.01, "seed": 7, "ratio": 0.8,
    "noise": 0.2, "rows": 300, "optimizer": "nesterov", "schedule": "one_cycle", "loss": "huber", "init": "normal",
    "biases": "ones", "output": "tanh", "outputs": 2,
}  # fmt: skip
"""Control -> another value of it."""
SLIDE = """(field, value) => {
    field.value = value;
    for (const type of ["input", "change"]) field.dispatchEvent(new Event(type));
}"""


QUICK = {"rate", "seed", "optimizer", "outputs"}
"""One control of each kind: a range, a number, a list, and one in the dialog of a layer."""


@pytest.mark.parametrize(
    "control", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in VALUES]
)
def test_each_control_changes_its_setting(shared_page, control):
    page, field, value = shared_page, shared_page.locator(f"[data-setting={control}]"), VALUES[control]
    if control in ("output", "outputs"):
        page.click(".column.output button.kind")
    if field.evaluate("field => field.tagName") == "SELECT":
        field.select_option(str(value))
    elif field.get_attribute("type") == "range":
        field.evaluate(SLIDE, value)
    else:
        field.fill(str(value))
        field.press("Enter")
    expect_setup(page, **{control: value})
    if control in ("output", "outputs"):
        page.keyboard.press("Escape")
    expect(page.locator("#banner")).to_be_hidden()


SAMPLES = [name for name in CHOICES["data"] if name not in ("formula", "points", "table")]


@pytest.mark.parametrize("name", [SAMPLES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in SAMPLES[1:])])
def test_each_sample_has_a_thumbnail(shared_page, name):
    shared_page.click(f"[data-name={name}]")
    expect_setup(shared_page, data=name)
    expect(shared_page.locator(f"[data-name={name}]")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize(
    "name", [name if name == "first" else pytest.param(name, marks=pytest.mark.slow) for name in LESSONS]
)
def test_each_lesson_opens_and_plays(shared_page, name):
    lesson = LESSONS[name]
    shared_page.select_option("#lesson", name)
    expect(shared_page.locator("#lesson-title")).to_have_text(lesson.title)
    expect(shared_page.locator("#lesson-try")).to_have_text(lesson.try_)
    expect_setup(shared_page, layers=lesson.setup.layers, data=lesson.setup.data, rate=lesson.setup.rate)
    shared_page.click("[data-step=epoch]")
    expect(shared_page.locator("#epoch")).to_have_text("1")


def test_a_new_sample(open_page):
    page = open_page()
    page.click("#sample")
    expect_setup(page, sample=1)


def test_layers_and_units_are_added_and_taken_away(open_page):
    page = open_page("layers=3,2")
    page.click("#more-layers")
    expect(page.locator("#layer-count")).to_have_text("3 hidden layers")
    page.click("#fewer-layers")
    page.click("#fewer-layers")
    expect(page.locator("#layer-count")).to_have_text("1 hidden layer")
    page.get_by_label("Add a unit to layer 1").click()
    expect(page.locator(".column.hidden .unit")).to_have_count(4)
    page.get_by_label("Remove a unit from layer 1").click()
    expect(page.locator(".column.hidden .unit")).to_have_count(3)
    expect(page.locator("#edges path")).to_have_count(2 * 3 + 3)


def test_the_dialog_of_a_layer(open_page):
    page = open_page("layers=3,2")
    page.locator(".column.hidden button.kind").first.click()
    page.select_option("#layer-activation", "relu")
    page.select_option("#layer-norm", "batch")
    page.check("#layer-all")
    page.locator("#layer-dropout").fill("0.25")
    expect(page.locator("#layer-dropout-value")).to_have_text("25 %")
    page.get_by_role("button", name="Done").click()
    first, second = setup_of(page).layers
    assert (first.activation, first.norm, first.dropout, second.dropout) == ("relu", "batch", 0.25, 0.25)
    assert second.activation == "tanh"
    page.locator(".column.hidden button.kind").first.click()
    page.click("#layer-remove")
    expect(page.locator("#layer-count")).to_have_text("1 hidden layer")


def drawn(page):
    """Return what the output and the curve show."""
    return page.evaluate("['surface', 'curve'].map(id => document.getElementById(id).toDataURL())")


def test_what_the_output_and_the_curve_show(open_page):
    page = open_page("rows=60&layers=3")
    play(page)
    for control in (
        "#show-wrong",
        "#show-steps",
        "#show-test",
        "#log-scale",
        "[name=curve][value=metric]",
        "[name=curve][value=norms]",
    ):
        before = drawn(page)
        page.click(control)
        assert drawn(page) != before, control
    assert "W1" in page.get_attribute("#curve", "aria-label")


def test_light_and_dark(open_page):
    page = open_page()
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    page.emulate_media(color_scheme="light")


# Weights.

MIDDLE = """path => {
    const {x, y} = path.getPointAtLength(0.4 * path.getTotalLength());
    return [x, y];
}"""


def test_a_line_shows_its_weight_and_a_click_changes_it(open_page):
    page = open_page("layers=3&rows=60")
    page.click("[data-step=epoch]")
    box = page.locator("#stage").bounding_box()
    x, y = page.locator("#edges path").first.evaluate(MIDDLE)
    page.mouse.move(box["x"] + x, box["y"] + y)
    expect(page.locator("#tip")).to_contain_text("Weight from x1 to unit 1 of layer 1")
    expect(page.locator("#tip")).to_contain_text("last gradient")
    expect(page.locator("#inspector .formula math").first).to_be_visible()
    page.mouse.click(box["x"] + x, box["y"] + y)
    field = page.locator("#inspector input")
    field.fill("2.5")
    field.press("Enter")
    page.mouse.move(5, 5)
    page.mouse.move(box["x"] + x, box["y"] + y)
    expect(page.locator("#tip")).to_contain_text("2.5")
    shown = re.findall(r"\d", page.locator("#inspector .formula math msubsup").first.text_content())
    assert sorted(shown) == ["1", "1", "1"], "layer 1, to unit 1, from input 1"


def test_a_unit_paints_its_map_and_lists_what_leads_to_it(open_page):
    page = open_page("layers=3&rows=60")
    before = drawn(page)
    unit = page.get_by_role("button", name="unit 2 of layer 1", exact=True)
    unit.hover()
    assert drawn(page) != before
    unit.click()
    fields = page.locator("#inspector input")
    expect(fields).to_have_count(3)
    page.get_by_label("Bias of unit 2 of layer 1").fill("-1.25")
    page.get_by_label("Bias of unit 2 of layer 1").press("Enter")
    expect(page.locator("#inspector")).to_contain_text("unit 2 of layer 1")
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#inspector")).to_contain_text("Hover over a line")


def test_the_diagram_by_keyboard(open_page):
    page = open_page("layers=3,2")
    page.get_by_role("button", name="x1", exact=True).focus()
    walk = [("ArrowRight", "unit 1 of layer 1"), ("ArrowDown", "unit 2 of layer 1")]
    walk += [("ArrowRight", "unit 2 of layer 2"), ("ArrowLeft", "unit 2 of layer 1")]
    for key, label in walk:
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == label
    page.keyboard.press("Enter")
    expect(page.locator("#inspector input")).to_have_count(3)


# Own data.


def test_points_are_drawn_with_the_mouse_and_with_keys(open_page):
    page = open_page()
    page.click("#own-points")
    expect_setup(page, data="points")
    box = page.locator("#surface").bounding_box()
    for label, y in ((0, 60), (1, 200)):
        page.check(f"#point-class input[value='{label}']")
        page.mouse.move(box["x"] + 50, box["y"] + y)
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + y, steps=12)
        page.mouse.up()
    page.locator("#surface").press("ArrowRight")
    page.locator("#surface").press("Enter")
    expect(page.locator("#legend")).to_contain_text("class 1")
    expect(page.locator("#link")).to_have_value(re.compile("_1$"))
    points = np.array(setup_of(page).points)
    assert len(points) > 10
    assert set(points[:, 2]) == {0, 1}
    assert points[0, 1] > 0 > points[-2, 1], "the upper row is of class 0"
    play(page)
    page.click("#clear-points")
    expect_setup(page, points=())


def test_a_function_is_typed(open_page):
    page = open_page()
    page.click("#own-formula")
    page.fill("#formula", "x1 * x2 + nonsense")
    page.press("#formula", "Enter")
    expect(page.locator("#banner")).to_contain_text("got 'nonsense'")
    page.fill("#formula", "x1 * x2 > 0")
    page.press("#formula", "Enter")
    expect_setup(page, formula="x1 * x2 > 0", loss="binary_cross_entropy")
    expect(page.locator("#banner")).to_be_hidden()
    page.fill("#formula", "x1 * x2")
    page.press("#formula", "Enter")
    expect_setup(page, loss="squared_error")
    page.uncheck("[data-setting=standardize]")
    expect_setup(page, standardize=False)


def take(page, name, content):
    page.click("#own-table")
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": content})


def test_a_table_of_ten_thousand_rows(open_page):
    rng = np.random.default_rng(0)
    rows = "".join(
        f"{a:.3f},{b:.3f},{c:.3f},{'in' if a * a + b * b < 1 else 'out'}\n" for a, b, c in rng.normal(size=(10_000, 3))
    )
    page = open_page()
    take(page, "big.csv", f"width,height,depth,place\n{rows}".encode())
    expect(page.locator("#data-note")).to_contain_text("big.csv: 10,000 rows")
    expect(page.locator("#legend")).to_contain_text("out")
    page.select_option("#across", "depth")
    expect(page.locator("#axis-x")).to_have_text("depth")
    page.locator("[data-setting=batch]").fill("200")
    page.locator("[data-setting=batch]").press("Enter")
    expect_setup(page, batch=200, across="depth")
    play(page, until=1)
    page.select_option("#target", "width")
    expect(page.locator("#metric-name")).to_have_text("R²")


def test_a_table_is_pasted_and_dropped(open_page):
    page = open_page()
    page.click("#own-table")
    page.fill("#paste", "a,b,kind\n" + "1,2,u\n2,1,v\n3,1,v\n1,3,u\n" * 5)
    page.locator("#paste").blur()
    expect(page.locator("#data-note")).to_contain_text("pasted.csv: 20 rows")
    page.evaluate(
        """text => {
          const files = new DataTransfer();
          files.items.add(new File([text], "penguins.csv"));
          document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true}));
        }""",
        PENGUINS.decode(),
    )
    expect(page.locator("#data-note")).to_contain_text("penguins.csv: 344 rows")


def test_a_broken_table_says_what_is_wrong(open_page):
    page = open_page()
    take(page, "broken.csv", b'a,b\n"1,2\n')
    expect(page.locator("#banner")).to_contain_text("broken.csv cannot be read as CSV")
    page.click("[data-step=epoch]")
    expect(page.locator("#epoch")).to_have_text("1")


# Lessons and the doctor.


def test_a_lesson_is_a_link_and_leads_to_the_next(open_page):
    page = open_page(lesson="xor")
    expect(page.locator("#lesson-title")).to_have_text(LESSONS["xor"].title)
    page.click("#lesson-next")
    expect(page.locator("#lesson-title")).to_have_text(LESSONS["vanishing"].title)
    page.reload()
    expect(page.locator("#lesson-title")).to_have_text(LESSONS["vanishing"].title)


def test_a_finding_has_a_button_with_its_remedy(open_page):
    page = open_page(lesson="init")
    play(page, until=5)
    finding = page.locator(".finding[data-kind='dead units']").first
    expect(finding).to_contain_text("are dead")
    finding.get_by_role("button").click()
    expect_setup(page, init="auto")


# Sharing.


def test_a_link_opens_the_same_page_with_parts_hidden(open_page, address):
    page = open_page("data=xor&rate=0.05")
    page.click("#share")
    page.check("#hide-parts input[value=seed]")
    page.check("#hide-parts input[value=data]")
    expect_setup(page, hide=("data", "seed"))
    link = page.input_value("#link").partition("#")[2]
    page.click("#copy")
    other = open_page(link, tab=1)
    assert setup_of(other) == setup_of(page)
    expect(other.locator("section.data")).to_be_hidden()
    expect(other.locator("[data-setting=seed]")).to_be_hidden()
    expect(other.locator("[data-setting=rate]")).to_have_value("0.05")


def test_a_link_repeats_the_training_so_far(open_page):
    page = open_page("rows=60&layers=3")
    page.click("[data-step=epoch]")
    page.click("[data-step=epoch]")
    expect(page.locator("#epoch")).to_have_text("2")
    loss = page.locator("#scores span").nth(4).inner_text()
    page.click("#share")
    page.check("#with-training")
    expect(page.locator("#link")).to_have_value(re.compile("until=9"))
    other = open_page(page.input_value("#link").partition("#")[2], tab=1)
    expect(other.locator("#epoch")).to_have_text("2")
    expect(other.locator("#scores span").nth(4)).to_have_text(loss)


def test_a_wrong_link_says_so(open_page):
    page = open_page("rate=fast")
    expect(page.locator("#banner")).to_contain_text("Rate must be a number, got 'fast'.")


def test_exports(open_page, tmp_path, capsys):
    page = open_page("rows=60&layers=3")
    page.click("[data-step=epoch]")
    expect(page.locator("#epoch")).to_have_text("1")
    loss = page.locator("#scores span").nth(4).inner_text()
    page.click("#share")
    for form, name in (
        ("python", "playground.py"),
        ("model", "playground.chainrule"),
        ("svg", "network.svg"),
        ("png", "network.png"),
    ):
        with page.expect_download() as download:
            page.click(f"[data-export={form}]")
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    net = runpy.run_path(str(tmp_path / "playground.py"))["net"]
    assert f"{float(capsys.readouterr().out.split()[2]):.4f}" == loss
    np.testing.assert_array_equal(chainrule.load(tmp_path / "playground.chainrule").theta, net.theta)
    assert (tmp_path / "network.svg").read_text().count("<path") == 2 * 3 + 3
    assert (tmp_path / "network.png").read_bytes().startswith(b"\x89PNG")


# Tabs, phones, and a server that stops.


def test_two_tabs_know_nothing_of_each_other(open_page):
    first, second = open_page("data=xor"), open_page("data=circle", tab=1)
    first.click("[data-step=epoch]")
    expect(first.locator("#epoch")).to_have_text("1")
    expect(second.locator("#epoch")).to_have_text("0")
    assert (setup_of(first).data, setup_of(second).data) == ("xor", "circle")


def test_the_page_goes_on_when_the_server_comes_back(browser):
    listener = listen(None)
    port = listener.getsockname()[1]
    listener.close()
    context = browser.new_context()
    page = context.new_page()
    with served("again", port) as address:
        page.goto(f"{address}#data=xor")
        page.wait_for_selector("body[data-frames]")
    expect(page.locator("#banner")).to_contain_text("The server has stopped")
    with served("again", port):
        expect(page.locator("#banner")).to_be_hidden(timeout=10_000)
        page.click("[data-step=epoch]")
        expect(page.locator("#epoch")).to_have_text("1")
        assert setup_of(page).data == "xor"
        context.close()


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_nothing_is_wider_than_the_screen(open_page, width):
    page = open_page("layers=" + ",".join(["4"] * 8))
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("play", "surface", "stage", "thumbnails"):
        assert page.locator(f"#{name}").is_visible()
    assert page.locator("[data-setting=rate]").is_visible()
    page.set_viewport_size({"width": 1280, "height": 800})


def test_every_control_has_a_name(open_page):
    page = open_page("schedule=cosine&optimizer=sgd")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, canvas[role]")].filter(e =>
          !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length || e.title))
          .map(e => e.outerHTML)"""
    )
    assert nameless == []
